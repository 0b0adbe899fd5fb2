"""The client of processing services: against pygeoapi, against the service of this machine, and its refusals."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from ades_cases import CWL, ogc_package, pygeoapi
from command import wait_until
from loopback import serving

import landsat_downsample as ld
from landsat_downsample.errors import ReadError, UsageError
from landsat_downsample.ogc import http
from landsat_downsample.ogc import job as job_module
from landsat_downsample.ogc.client import ades
from landsat_downsample.ogc.http import TOKEN, AdesError

BANDS = ["SR_B4", "QA_PIXEL"]


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return ld.make_scene(tmp_path_factory.mktemp("scene"), size=(151, 139), bands=BANDS)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.delenv(TOKEN, raising=False)
    monkeypatch.setattr(http, "RETRY_BUDGET", 5.0)


# Part 1, against pygeoapi -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def there(tmp_path_factory):
    with pygeoapi(tmp_path_factory.mktemp("pygeoapi")) as url, ades(url) as service:
        yield service


@pytest.mark.slow
def test_a_real_service_runs_a_scene(there, scene, tmp_path):
    assert [summary["id"] for summary in there.processes()] == ["downsample"]
    assert "factor" in there.describe("downsample")["inputs"]
    inputs = {"scene": str(scene), "to": str(tmp_path), "factor": 7, "bands": "red"}
    reported = []
    job = there.execute("downsample", inputs)
    status = job.wait(deadline=200, report=reported.append)
    assert (status.state, status.job_id) == ("successful", job.id) and reported[-1] == status
    assert status.finished and there.job(job.id).status() == status
    (document,) = job.results()["outputs"]  # pygeoapi's own way to put it
    href = document["item"]["href"]
    assert ld.verify(os.path.dirname(href), source=str(scene)).wrong == []


@pytest.mark.slow
def test_a_real_service_says_why_a_job_failed(there, scene, tmp_path):
    job = there.execute("downsample", {"scene": str(scene), "to": str(tmp_path), "factor": 7, "bands": "nope"})
    with pytest.raises(AdesError, match=f"job '{job.id}' failed") as caught:
        job.wait(deadline=200)
    assert "\n" not in str(caught.value) and caught.value.kind == "failed"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_real_service_refuses(there):
    with pytest.raises(AdesError, match=r"cannot describe process 'nothing'.*404") as caught:
        there.describe("nothing")
    assert caught.value.status == 404
    with pytest.raises(AdesError, match="cannot execute 'nothing'"):
        there.execute("nothing", {})
    with pytest.raises(AdesError, match=r"cannot ask for the status of job 'nothing'.*404"):
        there.job("nothing").status()
    with pytest.raises(AdesError, match="405"):  # it knows no Part 2
        there.deploy(ogc_package())


@pytest.mark.slow
def test_a_job_of_a_real_service_is_dismissed_when_an_error_leaves_the_block(there, scene, tmp_path):
    inputs = {"scene": str(scene), "to": str(tmp_path), "factor": 7, "pause": 600}
    with (
        pytest.raises(AdesError, match=r"still .* after 0.1 s: wait again"),
        there.execute("downsample", inputs) as job,
    ):
        job.wait(deadline=0.1)
    with pytest.raises(AdesError, match="404"):
        job.status()


# Part 2, against the service of this machine ----------------------------------------------------


@pytest.fixture(scope="module")
def here():
    with ades("local") as service:
        yield service


@pytest.fixture
def process(here):
    made = here.deploy(ogc_package())
    yield made
    here.undeploy(made)


def test_a_package_is_deployed_described_replaced_and_undeployed(here, tmp_path):
    package = tmp_path / "package.json"
    package.write_text(json.dumps(ogc_package()))
    assert here.deploy(package) == "shrink"
    with pytest.raises(AdesError, match=r"'shrink' is there already \(status 409, duplicated-process\).*replace=True"):
        here.deploy(package)
    assert here.describe("shrink")["inputs"]["factor"]["schema"] == {"type": "number", "default": 10}
    other = ogc_package(CWL.replace("default: 10", "default: 20"))
    assert here.deploy(other, replace=True) == "shrink"
    assert here.describe("shrink")["inputs"]["factor"]["schema"]["default"] == 20
    here.undeploy("shrink")
    assert here.processes() == []
    with pytest.raises(AdesError, match="no-such-process"):
        here.replace("shrink", other)


def test_plain_cwl_is_deployed_too(here, tmp_path):
    package = tmp_path / "package.cwl"
    package.write_text(CWL)
    assert here.deploy(package, workflow="shrink") == "shrink"
    assert here.describe("shrink")["version"] == "0.1.0"
    here.undeploy("shrink")
    with pytest.raises(AdesError, match="workflow-not-found"):
        here.deploy(package, workflow="grow")
    package.write_text(CWL.replace('"string?"', "string?"))  # YAML 1.2, as cwltool takes it
    assert here.deploy(package) == "shrink"
    with pytest.raises(UsageError, match="name the workflow"):
        here.deploy(package, replace=True)
    here.undeploy("shrink")


@pytest.mark.slow
def test_a_deployed_package_runs_and_its_result_is_a_scene(here, process, scene, tmp_path):
    job = here.execute(process, {"scene": {"href": str(scene)}, "factor": 5, "bands": "red,qa_pixel"})
    assert job.wait(deadline=200).state == "successful"
    catalogue = ld.stage_in(job.results()["product"]["href"], tmp_path)
    fetched = ld.open_scene(catalogue)
    direct = ld.coarsen(ld.open_scene(scene)["red"], factor=5)
    assert (fetched["red"].values == direct.values).all()


@pytest.mark.slow
def test_a_failing_package_says_why(here, process, scene):
    job = here.execute(process, {"scene": {"href": str(scene)}, "bands": "nope"})
    with pytest.raises(AdesError, match=r"failed: landsat-downsample: .*band 'nope' is not in"):
        job.wait(deadline=200)
    with pytest.raises(AdesError, match="execution-failed"):
        job.results()
    gone = here.execute(process, {"scene": {"href": str(scene.parent / "gone")}})
    with pytest.raises(AdesError, match="gone"):
        gone.wait(deadline=200)


def test_a_job_is_dismissed(here, process, scene):
    job = here.execute(process, {"scene": {"href": str(scene)}})
    with pytest.raises(AdesError, match="result-not-ready"):
        job.results()
    running = here._local.jobs[job.id]
    job.dismiss()
    with pytest.raises(AdesError, match="no-such-job"):
        job.status()
    wait_until(lambda: running.child is None or running.child.poll() is not None)
    assert running.state == "dismissed"


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({}, "input scene is missing"),
        ({"scene": {"href": "x"}, "facto": 1}, "there is no input facto; there are scene"),
    ],
)
def test_inputs_are_checked(here, process, inputs, said):
    with pytest.raises(AdesError, match=said) as caught:
        here.execute(process, inputs)
    assert (caught.value.status, caught.value.kind) == (400, "invalid-parameter")


def test_what_is_no_package_is_refused(here, tmp_path):
    for text in ("{}", "[1]", "hello", "\x00"):
        (tmp_path / "p.json").write_text(text)
        with pytest.raises(UsageError, match="is no application package"):
            here.deploy(tmp_path / "p.json")
    with pytest.raises(AdesError, match="cannot be read"):
        here.deploy({"executionUnit": [{"value": "hello"}], "processDescription": {"id": "x"}})
    with pytest.raises(ReadError):
        here.deploy(tmp_path / "nothing.cwl")


def test_only_who_knows_the_token_is_served(here):
    with pytest.raises(AdesError, match=rf"status 401, unauthorized\): see that {TOKEN} holds a token"):
        ades(here.url).processes()
    with pytest.raises(AdesError, match="401"):
        ades(here.url, token=lambda: "wrong").deploy(ogc_package())


def test_files_of_a_job_do_not_lead_out_of_it(here, process, scene):
    job = here.execute(process, {"scene": {"href": str(scene)}})
    for path in ("../order.json", "%2e%2e/order.json", "/etc/passwd"):
        with pytest.raises(AdesError, match="404"):
            here._client.get(f"{job.url}/files/{path}", "cannot look")
    job.dismiss()


# A service that misbehaves ----------------------------------------------------------------------


@contextmanager
def answering(*replies):
    """A server that gives these replies in turn, (status, headers, body), the last one for ever."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, headers, body = replies[min(len(seen), len(replies) - 1)]
            seen.append((self.command, self.path, dict(self.headers)))
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = answer

        def log_message(self, *args):
            pass

    with serving(Handler) as address:
        yield ades(address), seen


RUNNING = (200, {}, {"jobID": "7", "status": "running", "progress": 40})
DONE = (200, {}, {"jobID": "7", "status": "successful", "progress": 100})


def test_waiting_outlives_passing_errors():
    busy = (503, {"Retry-After": "0.1"}, b"busy")
    with answering(busy, RUNNING, (429, {}, b""), (502, {}, b"<html>"), DONE) as (service, seen):
        reported = []
        assert service.job("7").wait(deadline=200, report=reported.append).progress == 100
    assert [str(status) for status in reported] == ["running, 40 %", "successful, 100 %"]
    assert len(seen) == 5


def test_waiting_backs_off(monkeypatch):
    monkeypatch.setattr(job_module, "FIRST", 0.05)
    with answering(RUNNING) as (service, seen), pytest.raises(AdesError, match=r"still running, 40 % after 1 s"):
        service.job("7").wait(deadline=1)
    assert len(seen) <= 7  # 0.05 s and half as much again each time


def test_an_outage_is_waited_for(monkeypatch):
    monkeypatch.setattr(http, "RETRY_BUDGET", 0.3)
    monkeypatch.setattr(job_module, "MOST", 0.2)
    down = (503, {}, b"")
    with answering(*[down] * 8, DONE) as (service, seen):
        assert service.job("7").wait(deadline=200).state == "successful"
    assert len(seen) >= 9


def test_what_was_sent_is_not_sent_again():
    with answering((503, {}, b"")) as (service, seen), pytest.raises(AdesError, match="status 503: try again later"):
        service.execute("p", {})
    assert len(seen) == 1


def test_a_job_is_where_the_service_says_or_where_the_standard_says():
    made = {"jobID": "a b", "status": "accepted"}
    inside = (201, {"Location": "http://10.0.0.7:5000/jobs/a%20b"}, made)  # what a service behind a proxy thinks
    with answering(inside, DONE) as (service, seen):
        job = service.execute("p", {})
        job.status()
    assert seen[0][1:2] == ("/processes/p/execution",) and seen[0][2]["Prefer"] == "respond-async"
    assert (job.id, seen[1][1]) == ("a b", "/jobs/a%20b")
    with answering((201, {"Location": "/other/jobs/9"}, b""), DONE) as (service, seen):
        assert service.execute("p", {}).status().ended
    assert seen[1][1] == "/other/jobs/9"


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ((200, {"Content-Type": "text/html"}, b"<html>"), "the answer (text/html) is no JSON object"),
        ((200, {}, [1]), "is no JSON object"),
        ((400, {}, b"\xff\xfe"), "Bad Request (status 400)"),
        ((500, {}, {"code": "NoApplicableCode", "description": "broken\nhere"}), "broken here (status 500, NoApplic"),
        ((404, {}, {"type": "http://x/no-such-process", "detail": "gone"}), "gone (status 404, no-such-process)"),
        ((200, {"Content-Length": "50"}, b"{}"), "the body was cut"),
    ],
)
def test_every_answer_is_one_line(reply, said):
    with answering(reply) as (service, _), pytest.raises((AdesError, ReadError)) as caught:
        service.describe("p")
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert str(caught.value).startswith("cannot describe process 'p': ")


def test_a_service_that_runs_at_once_is_reported():
    with (
        answering((200, {}, {"item": 1})) as (service, _),
        pytest.raises(AdesError, match="at once instead of as a job"),
    ):
        service.execute("p", {})


def test_processes_are_listed_page_by_page():
    first = {"processes": [{"id": "a"}], "links": [{"rel": "next", "href": "/processes?offset=1"}]}
    with answering((200, {}, first), (200, {}, {"processes": [{"id": "b"}]})) as (service, seen):
        assert [summary["id"] for summary in service.processes()] == ["a", "b"]
    assert seen[1][1] == "/processes?offset=1"


def test_a_media_type_that_is_not_taken_is_followed_by_the_other(tmp_path):
    (tmp_path / "p.cwl").write_text(CWL)
    with answering((415, {}, {}), (201, {"Location": "/processes/shrink"}, b"")) as (service, seen):
        assert service.deploy(tmp_path / "p.cwl") == "shrink"
    assert [headers["Content-Type"] for *_, headers in seen] == ["application/cwl", "application/cwl+yaml"]


# Secrets ----------------------------------------------------------------------------------------

CANARY = "canary-5f1d"


def test_the_token_goes_where_it_should_and_nowhere_else(monkeypatch):
    monkeypatch.setenv(TOKEN, CANARY)
    with answering(DONE) as (service, seen), answering(DONE) as (other, stolen):
        with answering((302, {"Location": f"{other.url}/jobs/7"}, b"")) as (detour, _):
            assert detour.job("7").status().ended
        service.job("7").status()
    assert seen[0][2]["Authorization"] == f"Bearer {CANARY}"
    assert "Authorization" not in stolen[0][2]
    assert CANARY not in repr(service) + repr(service.job("7"))


def test_a_redirect_within_the_service_keeps_the_token():
    with answering((307, {"Location": "/there"}, b""), DONE) as (service, seen):
        ades(service.url, token=lambda: CANARY).job("7").status()
    assert [(path, headers["Authorization"]) for _, path, headers in seen[1:]] == [("/there", f"Bearer {CANARY}")]


def test_a_redirected_deployment_is_no_success():
    moved = (301, {"Location": "https://new.example.com/processes"}, b"")
    said = r"status 301.*its address is now https://new"
    with answering(moved) as (service, seen), pytest.raises(AdesError, match=said):
        service.deploy(ogc_package())
    assert len(seen) == 1


def test_an_echoed_token_is_not_shown():
    echo = (403, {}, {"title": f"Bearer {CANARY} is not allowed"})
    with answering(echo) as (service, _), pytest.raises(AdesError) as caught:
        ades(service.url, token=lambda: CANARY).processes()
    assert CANARY not in str(caught.value) and "is not allowed" in str(caught.value)


@pytest.mark.parametrize("spec", ["", "here", "ftp://x", "http://", "https://me:secret@x", "https://x/?token=secret"])
def test_what_is_no_service_is_refused(spec):
    with pytest.raises(UsageError) as caught:
        ades(spec)
    assert "secret" not in str(caught.value)


def test_a_token_is_neither_text_nor_sent_in_the_clear():
    with pytest.raises(UsageError, match="token must be a function") as caught:
        ades("https://x", token=CANARY)
    assert CANARY not in str(caught.value)
    with pytest.raises(UsageError, match="unencrypted: use its https://"):
        ades("http://ades.example.com", token=lambda: CANARY).processes()


def test_a_service_that_is_not_there(monkeypatch):
    monkeypatch.setattr(http, "RETRY_BUDGET", 0.5)
    with answering(DONE) as (service, _):
        pass
    gone = ades(service.url)
    with pytest.raises(ReadError, match=r"cannot list the processes: .*gave up after \d+ tries"):
        gone.processes()
    with pytest.raises(ReadError, match=r"cannot execute 'p': .*see that the service runs"):
        gone.execute("p", {})


def test_a_closed_service_leaves_nothing():
    with ades("local") as service:
        folder = Path(service._local._scratch.name)
        assert folder.is_dir()
    assert not folder.exists()
    with pytest.raises(ReadError):
        service.execute("p", {})
