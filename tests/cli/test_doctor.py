"""The doctor: each check on real stores, servers and workers, good ones and bad ones; and no secret in any line."""

from __future__ import annotations

import http.server
import json
import os
from pathlib import Path
from typing import ClassVar

import conftest_s3
import pytest
import s3
from command import call, holds
from conftest_s3 import s3_env, seaweed  # noqa: F401 - fixtures
from loopback import serving

import landsat_downsample as ld
from landsat_downsample.cli.doctor.examine import Asked, examine
from landsat_downsample.cli.doctor.finding import Finding, cleaned, secrets
from landsat_downsample.cli.doctor.here import scratch
from landsat_downsample.storage import filesystems

BANDS = ["SR_B4", "QA_PIXEL"]


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Path:
    return ld.make_scene(tmp_path_factory.mktemp("scenes"), size=(151, 139), bands=BANDS)


def states(asked: Asked) -> dict[str, tuple[str, str]]:
    """State and fact of each check."""
    found = {finding.what: (finding.state, finding.fact) for finding in examine(asked)}
    assert all("\n" not in fact and "unexpectedly" not in fact for _, fact in found.values()), found
    return found


def keys(monkeypatch, served, pair: tuple[str, str]) -> None:
    conftest_s3.apply(monkeypatch, s3.environ(served.endpoint, pair))
    forget(monkeypatch)


def forget(monkeypatch) -> None:
    """Let S3 clients look for credentials anew: a process keeps its clients."""
    monkeypatch.setattr(filesystems, "_filesystems", {})


# The command -----------------------------------------------------------------------------------


def test_nothing_asked_is_nothing_wrong():
    result = call("doctor")
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert all(line[:4] in ("ok  ", "--  ") for line in lines)
    assert any(line.startswith("ok  versions: landsat-downsample ") and "GDAL" in line for line in lines)
    assert [line for line in lines if "not asked" in line]


def test_json_has_a_line_for_each_check(scene, tmp_path):
    result = call("doctor", scene, "--to", tmp_path, "--json")
    assert result.code == 0
    records = [json.loads(line) for line in result.out.splitlines()]
    assert all(list(record) == ["state", "what", "fact"] for record in records)
    assert {record["what"]: record["state"] for record in records}["source"] == "ok"


def test_a_failure_does_not_end_the_others(tmp_path):
    result = call("doctor", tmp_path / "nothing.tar", "--to", tmp_path / "out")
    assert result.code == 1
    found = {line[4:].partition(":")[0]: line[:2] for line in result.out.splitlines()}
    assert (found["source"], found["destination"]) == ("no", "ok")


def test_wrong_usage_is_reported_as_ever():
    assert call("doctor", "--too").code == 2


# Folders ---------------------------------------------------------------------------------------


def test_folders_are_left_as_they_were(scene, tmp_path):
    before = holds(scene)
    found = states(Asked(str(scene), str(tmp_path / "deep" / "out")))
    assert found["source"] == ("ok", found["source"][1]) and "2 bands" in found["source"][1]
    assert found["destination"][0] == "ok"
    assert holds(tmp_path) == [] and holds(scene) == before


def test_a_destination_that_is_there_keeps_what_it_holds(tmp_path):
    (tmp_path / "kept").write_text("x")
    assert states(Asked(to=str(tmp_path)))["destination"][0] == "ok"
    assert holds(tmp_path) == ["kept"]


@pytest.mark.parametrize("dest", ["/proc/nowhere", "/dev/null/deeper", "https://example.com/out", ""])
def test_a_destination_that_takes_nothing(dest):
    assert states(Asked(to=dest))["destination"][0] == "no"


# Object stores ---------------------------------------------------------------------------------


def put_scene(served, scene: Path, prefix: str) -> str:
    for path in scene.iterdir():
        served.client().put_object(Bucket=s3.BUCKET, Key=f"{prefix}/{path.name}", Body=path.read_bytes())
    return f"s3://{s3.BUCKET}/{prefix}"


def objects(served, prefix: str) -> list[str]:
    listed = served.client().list_objects_v2(Bucket=s3.BUCKET, Prefix=prefix)
    return [entry["Key"] for entry in listed.get("Contents", [])]


def test_a_good_store(s3_env, scene):  # noqa: F811
    source = put_scene(s3_env, scene, "doctor/in")
    found = states(Asked(source, f"s3://{s3.BUCKET}/doctor/out"))
    assert found["source"][0] == "ok"
    assert found["destination"] == (
        "ok",
        f"s3://{s3.BUCKET}/doctor/out: an object was written, a second one of its name refused, both removed",
    )
    reported = f"access key from the environment (AWS_ACCESS_KEY_ID), for {s3_env.endpoint}"
    assert found["credentials"] == ("ok", reported)
    assert "needed" in found["scratch space"][1] and found["scratch space"][0] == "ok"
    assert objects(s3_env, "doctor/out") == []


def test_wrong_keys(s3_env, monkeypatch):  # noqa: F811
    keys(monkeypatch, s3_env, ("nobodyskey", "nobodyssecret"))
    found = states(Asked(f"s3://{s3.BUCKET}/doctor/in", f"s3://{s3.BUCKET}/doctor/out"))
    assert found["source"][0] == found["destination"][0] == "no"
    assert "check credentials" in found["destination"][1]
    assert found["credentials"][0] == "ok"  # there are some; that they are wrong is the store's to say
    assert "nobodys" not in str(found)


def test_keys_that_may_only_read(s3_env, scene, monkeypatch):  # noqa: F811
    source = put_scene(s3_env, scene, "doctor/readonly")
    keys(monkeypatch, s3_env, s3.RO)
    found = states(Asked(source, f"s3://{s3.BUCKET}/doctor/out"))
    assert found["source"][0] == "ok"
    assert found["destination"][0] == "no" and "access denied" in found["destination"][1]


def test_a_bucket_that_is_not_there(s3_env, monkeypatch):  # noqa: F811
    keys(monkeypatch, s3_env, s3.RW)
    assert states(Asked("s3://nowhere-at-all/scene"))["source"][0] == "no"


def test_no_keys_at_all(s3_env, monkeypatch, tmp_path):  # noqa: F811
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    state, fact = states(Asked(to=f"s3://{s3.BUCKET}/doctor/out"))["credentials"]
    assert state == "no" and "AWS_PROFILE" in fact


def test_keys_of_a_profile_are_named_by_their_place(s3_env, monkeypatch, tmp_path):  # noqa: F811
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    path = tmp_path / "credentials"
    path.write_text(f"[default]\naws_access_key_id = {s3.RW[0]}\naws_secret_access_key = {s3.RW[1]}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
    state, fact = states(Asked(to=f"s3://{s3.BUCKET}/doctor/out"))["credentials"]
    assert state == "ok" and "the credentials file" in fact


class _Overwriting(http.server.BaseHTTPRequestHandler):
    """A store that knows no conditions: every object is taken."""

    protocol_version = "HTTP/1.1"  # answers a client that waits for leave to send
    held: ClassVar[dict[str, bytes]] = {}

    def do_PUT(self):
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size) if size else b""
        self.held[self.path] = _unframed(body) if "aws-chunked" in self.headers.get("Content-Encoding", "") else body
        self._answer(200, b"")

    def do_GET(self):
        body = self.held.get(self.path.partition("?")[0])
        self._answer(404 if body is None else 200, body or b"")

    def do_DELETE(self):
        self.held.pop(self.path, None)
        self._answer(204, b"")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


def _unframed(body: bytes) -> bytes:
    """The data of a body that was sent in chunks."""
    data, rest = b"", body
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size.partition(b";")[0], 16)
        if not length:
            return data
        data, rest = data + rest[:length], rest[length + 2 :]
    return data


def test_a_store_without_conditions_is_reported(s3_env, monkeypatch):  # noqa: F811
    with serving(_Overwriting) as address:
        conftest_s3.apply(monkeypatch, s3.environ(address))
        state, fact = states(Asked(to="s3://bucket/out"))["destination"]
        assert state == "no" and "no conditional ones" in fact
        assert _Overwriting.held == {}


# Web servers and workers -----------------------------------------------------------------------


def test_a_web_server_is_asked_from_here_and_from_a_worker(scene):
    with serving(folder=scene.parent) as url:
        found = states(Asked(f"{url}/{scene.name}/{scene.name}_MTL.json", cluster="local"))
    assert found["source"][0] == "ok"
    assert found["cluster"][0] == "ok" and found["workers"][0] == "ok"
    assert found["source from a worker"][0] == "ok" and scene.name in found["source from a worker"][1]
    assert found["scratch space on workers"][0] == "ok" and "needed" in found["scratch space on workers"][1]
    assert found["dashboard"][0] in ("ok", "--")
    assert found["requester pays"] == ("--", "not asked (--requester-pays)")


@pytest.mark.slow
def test_requester_pays_is_answered_from_a_worker(s3_env, scene):  # noqa: F811
    source = put_scene(s3_env, scene, "doctor/pays")
    found = states(Asked(source, cluster="local", requester_pays=True))
    assert found["requester pays"][0] == "ok" and "tcp://" in found["requester pays"][1]
    missing = states(Asked(f"s3://{s3.BUCKET}/doctor/none", cluster="local", requester_pays=True))
    assert missing["source from a worker"][0] == missing["requester pays"][0] == "no"


@pytest.mark.slow
def test_a_cluster_that_is_none():
    found = states(Asked(cluster="tcp://127.0.0.1:9"))
    assert found["cluster"][0] == "no" and "does not answer" in found["cluster"][1]
    assert states(Asked(cluster="sky"))["cluster"][0] == "no"


def test_no_kubernetes_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))
    found = states(Asked(cluster="kubernetes"))
    assert found["kubernetes"][0] == "no"
    assert found["cluster"] == ("--", "not tried: it would not come about")


# Space -----------------------------------------------------------------------------------------


def test_too_little_space_is_reported():
    short = scratch(100 << 20, "/tmp", largest=80 << 20, at_once=4)
    assert short.state == "no" and "320.0 MiB needed (4 x the largest band)" in short.fact
    assert scratch(400 << 20, "/tmp", largest=80 << 20, at_once=4).state == "ok"
    assert scratch(1, "/tmp", largest=0, at_once=4).state == "ok"  # read in place


# Secrets ---------------------------------------------------------------------------------------

CANARIES = ("canarykeyid", "canarysecretkey", "canarytoken", "canaryuser", "canarypassword", "canarysignature")


@pytest.mark.slow
def test_no_secret_in_any_line(s3_env, monkeypatch, tmp_path):  # noqa: F811
    values = dict(zip(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"), CANARIES, strict=False))
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_env.endpoint.replace("//", "//canaryuser:canarypassword@"))
    monkeypatch.setenv("LANDSAT_DOWNSAMPLE_BUDGET", "2")
    forget(monkeypatch)
    for source in (
        f"s3://{s3.BUCKET}/doctor/in",
        "https://canaryuser:canarypassword@127.0.0.1:9/B4.TIF?sig=canarysignature",
        "nonsense://canaryuser:canarypassword@host/x?sig=canarysignature",
        str(tmp_path / "nothing"),
    ):
        for dest in (f"s3://{s3.BUCKET}/doctor/out", "https://canaryuser:canarypassword@host/?sig=canarysignature"):
            result = call("doctor", source, "--to", dest, "--requester-pays")
            assert result.code == 1
            reported = result.out + result.err
            assert not [word for word in CANARIES if word in reported], reported
            assert len(result.out.splitlines()) == 9


def test_what_slips_into_a_line_is_blacked_out(monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "canarykeyid")
    hidden = secrets(["https://canaryuser:canarypassword@host/x?sig=canarysignature&v=1"])
    line = cleaned(Finding("no", "source", f"{' '.join(CANARIES[3:])}\ncanarykeyid host"), hidden)
    assert str(line) == "no  source: *** *** *** *** host"
    assert os.environ["SOME_API_KEY"] == "canarykeyid"
