"""A run in parts, told from the records of its parts alone."""

from __future__ import annotations

import json
import os
import re
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from command import call, spawn, wait_until

from landsat_downsample.batch import runs
from landsat_downsample.batch.record import new_run_id, run_id_of
from landsat_downsample.batch.runs import outcomes_of, status
from landsat_downsample.errors import UsageError

NAME = "parts-of-3-1a2b3c4d"
BEGUN = datetime.now(UTC) - timedelta(minutes=10)


def written(dest: Path, which: str, minute: int, outcomes: dict[str, str], *, listed: int = 8, **changes) -> str:
    """Put a record there, as a part does that begins in that minute; outcomes by scene."""
    begun = BEGUN + timedelta(minutes=minute)
    run = f"{begun:%Y%m%dT%H%M%SZ}-{minute:04x}-{which}-of-3-1a2b3c4d"
    folder = dest / "_runs" / run
    folder.mkdir(parents=True)
    good = {name: list(outcomes.values()).count(name) for name in ("done", "skipped", "failed")}
    usual = {
        "state": "ended",
        "begun": begun.isoformat(),
        "alive": (begun + timedelta(seconds=30)).isoformat(),
        "seconds": 30.0,
        "every": 5.0,
        "scenes": {"total": len(outcomes), "in_hand": 0, **good},
        "bands": {"done": 2, "known": 2},
        "bytes": {"in": 1000, "out": 10},
        "rate": 5.0,
        "eta": None,
        "version": "0.1.0",
        "options": {"factor": 10},
        "part": {"number": 1, "of": 3, "scenes": listed},
        "failures": [
            {"id": name, "cause": "ReadError", "error": "why"} for name in outcomes if outcomes[name] == "failed"
        ],
    }
    (folder / "status.json").write_text(json.dumps(usual | changes))
    lines = [{"id": name, "status": what, "source": f"/data/{name}", "ended": 7.0} for name, what in outcomes.items()]
    (folder / "outcomes.ndjson").write_text("".join(json.dumps(line | {"error": None}) + "\n" for line in lines))
    (folder / "scenes.ndjson").write_text("".join(json.dumps({"source": f"/data/{name}"}) + "\n" for name in outcomes))
    return run


def now(**changes) -> dict:
    return {"state": "running", "alive": datetime.now(UTC).isoformat()} | changes


def test_parts_add_up(tmp_path):
    written(tmp_path, "part-1", 0, {"a": "done", "b": "skipped", "c": "done"})
    written(tmp_path, "part-2", 2, {"d": "done", "e": "done", "f": "failed"})
    written(tmp_path, "part-3", 1, {"g": "done", "h": "done"})
    found = status(tmp_path)
    assert (found.id, found.state, found.total, found.listed) == (NAME, "ended", 8, 8)
    assert (found.done, found.skipped, found.failed, found.bytes_in, found.bands_done) == (6, 1, 1, 3000, 6)
    assert found.seconds == 150.0, "from the first one's beginning to the last one's end"
    assert found.exit_code == 3 and found.failures[0]["id"] == "f"
    assert {line["id"]: line["ended"] for line in outcomes_of(found.href)}["d"] == 127.0
    assert call("status", tmp_path).out.splitlines()[0] == f"run {NAME}: 3 parts, 3 ended"
    assert "/_runs/*-of-3-1a2b3c4d/outcomes.ndjson" in call("status", tmp_path).out


def test_a_part_that_did_not_begin_is_named(tmp_path):
    written(tmp_path, "part-1", 0, {"a": "done", "b": "done", "c": "done"})
    written(tmp_path, "part-3", 1, {"g": "done", "h": "done"})
    found = status(tmp_path)
    assert (found.missing, found.total, found.done, found.exit_code) == ((2,), 8, 5, 3)
    out = call("status", tmp_path).out
    assert "3 parts, 2 ended, 1 not begun" in out and "not begun: 2; run each with its list and --part 2/3" in out


def test_parts_without_a_scene_are_not_missing(tmp_path):
    written(tmp_path, "part-1", 0, {"a": "done"}, listed=1)
    found = status(tmp_path)
    assert (found.missing, found.total, found.exit_code) == ((), 1, 0)


def test_one_part_that_is_silent_is_named_while_others_work(tmp_path):
    written(tmp_path, "part-1", 0, {"a": "done", "b": "done"}, **now(eta=40.0))
    written(tmp_path, "part-2", 0, {"d": "done"}, state="running")
    written(tmp_path, "part-3", 1, {"g": "done", "h": "done"}, **now(eta=90.0))
    found = status(tmp_path)
    assert found.silent and found.exit_code == 1 and found.eta is None and found.rate == 10.0
    out = call("status", tmp_path).out
    assert "3 parts, 2 at work, 1 without a heartbeat" in out
    assert re.search(r"part 2/3 \(\S+-part-2-of-3-1a2b3c4d\): no heartbeat for \d+ s; it was running", out)


def test_parts_at_work_are_well(tmp_path):
    written(tmp_path, "part-1", 0, {"a": "done"}, **now(eta=40.0, workers=2))
    written(tmp_path, "part-2", 0, {"d": "done"}, **now(eta=90.0, workers=3))
    written(tmp_path, "part-3", 0, {"g": "done", "h": "done"})
    found = status(tmp_path)
    assert (found.state, found.exit_code, found.eta, found.workers) == ("running", 0, 90.0, 5)


def test_a_repetition_takes_the_place_of_what_it_repeats(tmp_path):
    written(tmp_path, "part-1", 0, {"a": "done", "b": "done", "c": "done"})
    written(tmp_path, "part-2", 0, {"d": "done", "e": "failed"}, state="running")  # killed
    written(tmp_path, "part-3", 0, {"g": "done", "h": "done"})
    written(tmp_path, "part-2", 5, {"d": "skipped", "e": "done", "f": "done"})
    found = status(tmp_path)
    assert (found.done, found.skipped, found.failed, found.total, found.exit_code) == (8, 0, 0, 8, 0)
    assert found.failures == () and not found.silent and [one.state for one in found.parts] == ["ended"] * 3


def test_a_retry_of_all_parts_settles_them(tmp_path):
    written(tmp_path, "part-1", 0, {"a": "done", "b": "failed", "c": "done"})
    written(tmp_path, "part-2", 0, {"d": "done"}, state="running", scenes={"total": 3, "done": 1})  # killed
    written(tmp_path, "part-3", 0, {"g": "done", "h": "done"}, state="failed", reason="interrupted")
    written(tmp_path, "parts", 5, {"b": "done", "e": "done", "f": "failed"})
    found = status(tmp_path)
    assert (found.done, found.failed, found.total, found.state, found.exit_code) == (7, 1, 8, "ended", 3)
    assert sorted(line["id"] for line in outcomes_of(found.href)) == list("abcdefgh")


def test_parts_of_another_list_are_told_of(tmp_path):
    written(tmp_path, "part-1", 0, {"a": "done", "b": "done", "c": "done"})
    other = written(tmp_path, "part-2", 1, {"d": "done"})
    os.rename(tmp_path / "_runs" / other, tmp_path / "_runs" / other.replace("1a2b3c4d", "00000000"))
    out = call("status", tmp_path, "--run", NAME).out
    assert "parts of another list, or of other options, are there too: parts-of-3-00000000" in out


def test_records_that_lie_are_not_believed(tmp_path):
    written(tmp_path, "part-1", 0, {"a": "done"}, part={"scenes": "many"}, begun=3)
    run = written(tmp_path, "part-1", 1, {"a": "done"}, part=[], begun="yesterday", seconds=-1)
    (tmp_path / "_runs" / run / "outcomes.ndjson").write_text('{"status": []}\n[]\n{"source": 3, "status": "done"}\n')
    found = status(tmp_path)
    assert found.missing == () and found.id == NAME
    assert call("report", tmp_path).code == 0


def test_a_run_in_parts_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no part of"):
        runs.of_run(str(tmp_path / "_runs" / NAME))
    written(tmp_path, "part-1", 0, {"a": "done"})
    assert call("status", tmp_path, "--run", "parts-of-4-1a2b3c4d").code == 2


def test_a_part_that_is_killed_is_seen_and_repeated(tmp_path):
    """On a real run: the part's second attempt, as a job array makes it, leaves nothing of the first to be seen."""
    import landsat_downsample as ld

    scenes = [ld.make_scene(tmp_path / "scenes", size=(101, 87), bands=["SR_B4"], seed=seed) for seed in range(4)]
    words = ("run", *scenes, "--to", tmp_path / "out", "--factor", 7)
    process = spawn(*words, "--part", "2/2", "--min-spin-time", 0)
    wait_until(lambda: list(tmp_path.glob("out/_runs/*-part-2-of-2-*/status.json")) or process.poll() is not None)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert call(*words, "--part", "1/2", "-q").code == 0
    assert call(*words, "--part", "2/2", "-q").code == 0
    found = status(tmp_path / "out")
    assert (found.done + found.skipped, found.failed, found.total, found.exit_code) == (4, 0, 4, 0)
    assert len(found.parts) == 2 and len(list((tmp_path / "out" / "_runs").iterdir())) == 3


def test_runs_of_one_second_are_in_their_order():
    begun = [datetime(2026, 11, 29, 14, 10, 23, part * 20, tzinfo=UTC) for part in range(0, 49_999, 7)]
    ids = [new_run_id(moment) for moment in begun]
    assert ids == sorted(ids) and all(run_id_of(f"out/_runs/{name}") == name for name in ids)
