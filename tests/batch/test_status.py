"""How far a run is, told from its record alone."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import s3
from command import call, wait_until
from conftest_s3 import s3_env, seaweed  # noqa: F401 - fixtures

from landsat_downsample import UsageError
from landsat_downsample.batch.journal import Journal
from landsat_downsample.batch.record import find_run, new_run_id, run_ids
from landsat_downsample.batch.runs import status
from landsat_downsample.batch.status import from_record
from landsat_downsample.errors import ReadError
from landsat_downsample.execution.outcomes import Outcome
from landsat_downsample.execution.run import Progress

NOW = datetime(2026, 11, 22, 21, 55, 0, tzinfo=UTC)


def record(**changes) -> dict:
    """What a run says of itself, 3 s before NOW."""
    usual = {
        "state": "running",
        "begun": "2026-11-22T21:50:49Z",
        "alive": "2026-11-22T21:54:57Z",
        "seconds": 248.0,
        "every": 5.0,
        "scenes": {"total": 10, "done": 4, "skipped": 1, "failed": 0, "in_hand": 2},
        "bands": {"done": 40, "known": 60},
        "bytes": {"in": 1 << 30, "out": 1 << 20},
        "rate": 5e6,
        "eta": 90.0,
        "workers": 4,
        "dashboard": "http://127.0.0.1:8787/status",
        "failures": [],
    }
    return usual | changes


def scenes(done: int = 0, failed: int = 0, skipped: int = 0, total: int | None = 10) -> dict:
    return {"total": total, "done": done, "skipped": skipped, "failed": failed, "in_hand": 0}


def written(dest: Path, **changes) -> str:
    """Put a record at a destination, as if a run had done so now; its id."""
    run = new_run_id()
    folder = dest / "_runs" / run
    folder.mkdir(parents=True)
    alive = datetime.now(UTC).isoformat()
    (folder / "status.json").write_text(json.dumps(record(alive=alive) | changes))
    return run


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, 0),
        ({"state": "stopping"}, 0),
        ({"alive": "2026-11-22T21:53:00Z"}, 1),  # two minutes of silence
        ({"alive": "2026-11-22T21:53:00Z", "every": 30.0}, 0),  # four heartbeats missed: not yet dead
        ({"alive": "2026-11-22T22:53:00Z"}, 0),  # its clock is ahead of ours
        ({"state": "ended", "alive": "2026-11-20T00:00:00Z", "scenes": scenes(9, skipped=1)}, 0),
        ({"state": "ended", "scenes": scenes(9, failed=1)}, 3),
        ({"state": "ended", "scenes": scenes(9)}, 3),  # stopped early
        ({"state": "ended", "scenes": scenes(failed=10)}, 1),
        ({"state": "ended", "scenes": scenes(3, total=None)}, 0),
        ({"state": "failed", "scenes": scenes(9)}, 3),
        ({"state": "failed", "scenes": scenes()}, 1),
        ({"state": "no such state", "alive": None}, 1),
    ],
)
def test_the_exit_code_says_what_a_script_must_know(changes, code):
    assert from_record(record(**changes), "out/_runs/20261122T215049Z-3f2a", NOW).exit_code == code


def test_a_record_that_lies_about_its_types_is_not_believed():
    wrong = {key: value for value in ([], "x", -1) for key in record()}
    wrong |= {"scenes": [1], "bytes": "many", "rate": float("nan"), "eta": True, "failures": [3, {"id": {}}]}
    found = from_record(wrong | {"dashboard": "\x1b]0;owned\x07http://x"}, "out/_runs/20261122T215049Z-3f2a", NOW)
    assert (found.total, found.done, found.bytes_in, found.rate, found.eta) == (None, 0, 0, 0.0, None)
    assert found.failures == ({"id": None, "cause": None, "error": None},)
    assert "\x1b" not in found.dashboard
    json.dumps(found.to_dict(), allow_nan=False)


def test_a_run_is_seen_from_outside_from_its_beginning_to_its_end(tmp_path):
    journal = Journal(str(tmp_path), entries=b"", total=2, about={"workers": 4}, every=0.05)
    with journal:
        wait_until((Path(journal.href) / "status.json").exists)
        result = call("status", tmp_path)
        assert result.code == 0 and re.search(rf"run {journal.id}: running, seen .+ ago", result.out)
        assert "0 of 2 scenes done, 0 failed, 0 in hand" in result.out and "4 workers" in result.out
        journal(Progress("a", outcome=Outcome("a", "done", "out/a/a.stac.json")))
        journal(Progress("b", outcome=Outcome("b", "failed", error=ReadError("cannot read 'b': status 404"))))
    result = call("status", tmp_path)
    assert result.code == 3
    assert re.search(r"1 of 2 scenes done, 1 failed$", result.out, re.M)
    assert "failed: b: cannot read 'b': status 404" in result.out or "failed: cannot read 'b': status 404" in result.out
    line = json.loads(call("status", journal.href, "--json").out)
    assert (line["id"], line["state"], line["done"], line["failed"]) == (journal.id, "ended", 1, 1)


def test_a_killed_run_gives_no_heartbeat(tmp_path):
    code = (
        "import sys, time\n"
        "from landsat_downsample.batch.journal import Journal\n"
        "with Journal(sys.argv[1], entries=b'', total=9) as journal:\n"
        "    print(journal.id, flush=True)\n"
        "    time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    run = process.stdout.readline().strip()
    path = tmp_path / "_runs" / run / "status.json"
    wait_until(path.exists, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    found = json.loads(path.read_bytes())
    assert found["state"] == "running"
    found["alive"] = (datetime.fromisoformat(found["alive"]) - timedelta(seconds=100)).isoformat()  # time passes
    path.write_text(json.dumps(found))
    result = call("status", tmp_path)
    assert result.code == 1
    assert re.search(r"no heartbeat for 1\d\d s; it was running", result.out)


def test_a_run_that_never_said_anything_is_known_by_its_folder(tmp_path):
    (tmp_path / "_runs" / "20200101T000000Z-00ff").mkdir(parents=True)
    result = call("status", tmp_path)
    assert result.code == 1 and "no heartbeat for" in result.out
    (tmp_path / "_runs" / new_run_id()).mkdir()
    result = call("status", tmp_path)
    assert result.code == 0 and "no heartbeat yet" in result.out


def test_the_latest_run_is_meant_unless_another_is_named(tmp_path, monkeypatch):
    first = written(tmp_path, state="ended", scenes=scenes(failed=10))
    os.rename(tmp_path / "_runs" / first, tmp_path / "_runs" / "20200101T000000Z-00ff")
    second = written(tmp_path)
    (tmp_path / "_runs" / "search-3f2a.ndjson").write_text("")  # what is no run is none
    assert run_ids(str(tmp_path)) == ["20200101T000000Z-00ff", second]
    assert status(tmp_path).id == second and call("status", tmp_path).code == 0
    assert call("status", tmp_path, "--run", "20200101T000000Z-00ff").code == 1
    monkeypatch.chdir(tmp_path / "_runs" / second)
    assert status(".").id == second and find_run(".") == str(tmp_path / "_runs" / second)
    result = call("status", tmp_path, "--all")
    assert result.code == 0 and [line.split()[0] for line in result.out.splitlines()] == run_ids(str(tmp_path))
    lines = [json.loads(line) for line in call("status", tmp_path, "--all", "--json").out.splitlines()]
    assert [line["state"] for line in lines] == ["ended", "running"]


@pytest.mark.parametrize("verb", ["status", "report"])
def test_no_run_there_is_wrong_usage(verb, tmp_path):
    for words in ([tmp_path], [tmp_path / "nowhere"], [tmp_path, "--run", "20200101T000000Z-00ff"]):
        result = call(verb, *words)
        assert result.code == 2 and len(result.lines) == 1 and "on record" in result.err, result
    written(tmp_path)
    result = call(verb, tmp_path, "--run", "../../etc")
    assert result.code == 2 and "the latest is" in result.err
    with pytest.raises(UsageError, match="no run is on record"):
        find_run(tmp_path / "nowhere")


def test_a_terminal_is_not_steered_by_a_record(tmp_path):
    bad = {"id": "a\x1b[2J", "cause": "ReadError", "error": "no\x9b31m \u202ereversed\nsecond line"}
    written(tmp_path, failures=[bad, {}], reason="\x07")
    for options in ([], ["--all"], ["--json"]):
        out = call("status", tmp_path, *options).out
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", out)
    assert call("status", tmp_path).out.count("failed: ") == 2


@pytest.mark.parametrize("text", ["", "{", "[1]", "\x00"])
def test_a_damaged_record_is_an_error_of_one_line(text, tmp_path):
    run = written(tmp_path)
    (tmp_path / "_runs" / run / "status.json").write_text(text)
    result = call("status", tmp_path)
    assert result.code == 1 and len(result.lines) == 1 and "it was not written by a run" in result.err


def test_a_run_on_s3_is_seen_too(s3_env):  # noqa: F811
    dest = f"s3://{s3.BUCKET}/status"
    assert call("status", dest).code == 2
    with Journal(dest, entries=b"", total=1) as journal:
        journal(Progress("a", outcome=Outcome("a", "done", f"{dest}/a/a.stac.json")))
    with Journal(dest, entries=b"", total=1) as other:
        pass
    assert status(dest, run=journal.id).done == 1
    # Runs of the same second have no order.
    assert sorted(run_ids(dest)) == sorted([journal.id, other.id])
    result = call("status", journal.href, "--json")
    assert result.code == 0 and json.loads(result.out)["href"] == journal.href


@pytest.mark.parametrize(("failed", "more"), [(2, ""), (1234, "and 1232 more failed; ")])
def test_more_failures_than_are_reported_are_counted_and_placed(failed, more, tmp_path):
    reported = [{"id": f"scene {number}", "cause": "ReadError", "error": "cannot read it"} for number in range(2)]
    run = written(tmp_path, scenes=scenes(4, failed=failed, total=2000), failures=reported)
    last = call("status", tmp_path).out.splitlines()[-1]
    assert last.strip() == f"{more}each stands in {tmp_path}/_runs/{run}/outcomes.ndjson"


@pytest.mark.parametrize(
    ("link", "far"),
    [
        ("http://127.0.0.1:8787/status", None),
        ("http://localhost:8787/status", None),
        ("http://[::1]:8787/status", None),
        ("http://10.0.0.7:8787/status", "http://10.0.0.7:8787/status"),
        ("https://hub.example.org/user/a/proxy/8787/status", "https://hub.example.org/user/a/proxy/8787/status"),
        ("/user/a/proxy/8787/status", "/user/a/proxy/8787/status"),
    ],
)
def test_a_dashboard_of_the_machine_itself_is_offered_there_only(link, far, tmp_path, monkeypatch):
    journal = Journal(str(tmp_path), entries=b"", total=2, about={"dashboard": link}, every=0.05)
    with journal:
        wait_until((Path(journal.href) / "status.json").exists)
        assert status(tmp_path).dashboard == link and f"dashboard {link}" in call("status", tmp_path).out
        monkeypatch.setattr(socket, "gethostname", lambda: "another-machine")
        assert status(tmp_path).dashboard == far
        assert (f"dashboard {link}" in call("status", tmp_path).out) == (far is not None)
        assert socket.gethostname() not in (Path(journal.href) / "status.json").read_text()
