"""The record of a run: complete, readable after a kill, and never in the run's way."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import s3
from command import wait_until
from conftest_s3 import apply, s3_env, seaweed  # noqa: F401 - fixtures

import landsat_downsample as ld
from landsat_downsample.api.scene import open_scene
from landsat_downsample.batch import record as record_module
from landsat_downsample.batch import record_writer
from landsat_downsample.batch.journal import Journal, facts
from landsat_downsample.batch.record import STATUS, read_status, run_ids
from landsat_downsample.batch.record_writer import RecordWriter
from landsat_downsample.errors import ReadError
from landsat_downsample.execution.outcomes import Outcome
from landsat_downsample.execution.progress import ProgressCounter
from landsat_downsample.execution.run import Progress, run_plans
from landsat_downsample.model.location import Location
from landsat_downsample.model.options import Options
from landsat_downsample.model.plan import plan_scene
from landsat_downsample.storage import files, small_objects


def ended(number: int, status: str = "done", error: Exception | None = None) -> Progress:
    name = f"LC08_{number:05d}"
    return Progress(name, outcome=Outcome(name, status, f"out/{name}/{name}.stac.json", error))


def record_of(journal: Journal) -> dict:
    return json.loads((Path(journal.href) / "status.json").read_bytes())


# A run on record -------------------------------------------------------------------------------


def test_a_run_leaves_its_record(tmp_path):
    names = ["SR_B2", "SR_B3", "SR_B4", "QA_PIXEL"]
    scenes = [ld.make_scene(tmp_path / "scenes", size=(151, 139), seed=seed, bands=names) for seed in (1, 2, 3)]
    damaged = scenes[2] / f"{scenes[2].name}_SR_B3.TIF"
    damaged.write_bytes(damaged.read_bytes()[:-2000])
    dest = str(tmp_path / "out")
    good = [plan_scene(open_scene(str(scene)), dest, Options(factor=5)) for scene in scenes[:2]]
    bad = plan_scene(open_scene(str(scenes[2]), bands=["SR_B2"]), dest, Options(factor=5, bands=("SR_B2",)))
    os.unlink(scenes[2] / f"{scenes[2].name}_SR_B2.TIF")
    about = {"workers": lambda: 3, "options": {"factor": 5}}
    with Journal(dest, entries=b'{"source": "a"}\n' * 3, total=3, about=about) as journal:
        outcomes = run_plans([*good, bad], report=journal)

    assert [outcome.status for outcome in outcomes] == ["done", "done", "failed"]
    folder = Path(journal.href)
    assert folder.parent == tmp_path / "out" / "_runs"
    assert sorted(os.listdir(folder)) == ["outcomes.ndjson", "scenes.ndjson", "status.json"]
    assert (folder / "scenes.ndjson").read_bytes() == b'{"source": "a"}\n' * 3

    lines = [json.loads(line) for line in (folder / "outcomes.ndjson").read_text().splitlines()]
    for outcome in outcomes:
        line = next(line for line in lines if line["id"] == outcome.scene_id)
        assert 0 <= line.pop("ended") < 300
        assert line == outcome.to_dict()

    status = record_of(journal)
    assert status["state"] == "ended" and status["workers"] == 3 and status["options"] == {"factor": 5}
    assert status["scenes"] == {"total": 3, "done": 2, "skipped": 0, "failed": 1, "in_hand": 0}
    # Five rasters of four bands each: QA_PIXEL gives two.
    written = [path.stat().st_size for path in Path(dest).glob("*_downsampled/*.TIF")]
    assert status["bands"] == {"done": 8, "known": 8}
    assert status["bytes"] == {"in": sum(outcome.bytes_in for outcome in outcomes), "out": sum(written)}
    assert [failure["cause"] for failure in status["failures"]] == ["MissingError"]


def test_the_state_is_reported_when_it_changes(tmp_path):
    with Journal(str(tmp_path), entries=b"", total=2, every=600) as journal:
        path = Path(journal.href) / "status.json"
        wait_until(path.exists)
        assert record_of(journal)["state"] == "running"
        journal.stopping()
        wait_until(lambda: record_of(journal)["state"] == "stopping")
    reported = record_of(journal)
    assert (reported["state"], reported["reason"]) == ("ended", "stopped early, as asked")
    with Journal(str(tmp_path), entries=b"", total=1) as journal:
        journal(ended(1))
        journal.stopping()  # too late: nothing was left to begin
    reported = record_of(journal)
    assert (reported["state"], reported["reason"]) == ("ended", None)


@pytest.mark.parametrize(
    ("error", "reason"), [(KeyboardInterrupt(), "interrupted"), (MemoryError("no more"), "MemoryError: no more")]
)
def test_a_run_that_breaks_off_says_so(error, reason, tmp_path):
    with pytest.raises(type(error)), Journal(str(tmp_path), entries=b"", total=2) as journal:
        journal(ended(1))
        raise error
    assert (record_of(journal)["state"], record_of(journal)["reason"]) == ("failed", reason)
    assert len(list(record_module.outcomes(journal.href))) == 1


def test_signs_of_life_go_on_without_any_step(tmp_path):
    with Journal(str(tmp_path), entries=b"", total=None, every=0.05) as journal:
        wait_until((Path(journal.href) / "status.json").exists)
        first = record_of(journal)["alive"]
        wait_until(lambda: record_of(journal)["alive"] > first)


def test_no_heartbeat_counts_an_outcome_that_is_not_on_record(monkeypatch, tmp_path):
    """A scene that ends while a heartbeat is on its way, after the outcomes were written."""
    put, seen = RecordWriter._put, []

    def looking(self, name, data):
        if name == STATUS:
            seen.append((json.loads(data)["scenes"]["failed"], len(list(record_module.outcomes(self.folder.href)))))
        put(self, name, data)

    monkeypatch.setattr(RecordWriter, "_put", looking)
    journal = Journal(str(tmp_path), entries=lambda href: journal(ended(1, "failed")), total=1, every=600)
    with journal:
        wait_until(lambda: seen)
    assert seen == [(0, 0), (1, 1)]


def test_what_writes_the_list_of_scenes_may_be_given_instead(tmp_path):
    with Journal(str(tmp_path), entries=lambda href: small_objects.put(href, b'{"source": "b"}\n'), total=1) as journal:
        pass
    assert (Path(journal.href) / "scenes.ndjson").read_bytes() == b'{"source": "b"}\n'


def test_no_secret_gets_into_a_record(tmp_path):
    canary = "c4n4ry"
    about = {
        "options": {
            "stac": f"https://me:{canary}@host/v1?token={canary}",
            "aws_secret_access_key": canary,
            "sources": [f"https://host/a.TIF?sig={canary}"],
            "header": {"Authorization": f"Bearer {canary}"},
        },
        "dashboard": f"https://hub/user/me/proxy/8787/status?token={canary}",
    }
    error = ReadError(f"cannot read 'https://host/B4.TIF?X-Amz-Signature={canary}': status 403\nhttps://a:{canary}@b/")
    with Journal(str(tmp_path), entries=b"", total=1, about=about, every=600) as journal:
        wait_until((Path(journal.href) / "status.json").exists)
        early = (Path(journal.href) / "status.json").read_text()
        journal(ended(1, "failed", error))
    assert "https://hub/user/me/proxy/8787/status" in early
    texts = [early, *(path.read_text() for path in Path(journal.href).iterdir())]
    assert any("https://host/B4.TIF" in text for text in texts[1:])
    assert not [text for text in texts if canary in text]


# Kills -----------------------------------------------------------------------------------------

_ENDLESS = """\
import sys
from landsat_downsample.batch.journal import Journal, facts
from landsat_downsample.execution.outcomes import Outcome
from landsat_downsample.execution.run import Progress
dest, pause = sys.argv[1], float(sys.argv[2])
import time
with Journal(dest, entries=b'{"source": "a"}\\n', total=10**6, every=0.2) as journal:
    print(journal.href, flush=True)
    for number in range(10**6):
        name = f"scene {number} " + "x" * (number % 977)
        journal(Progress(name, outcome=Outcome(name, "done")))
        time.sleep(pause)
"""


def killed(dest: str, seconds: float, pause: float, *, least: int) -> str:
    """Run a journal in a process, kill it at some moment after its first lines; the folder of its record."""
    words = [sys.executable, "-c", _ENDLESS, dest, str(pause)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        folder = process.stdout.readline().strip()
        wait_until(lambda: _there(folder) >= least, process)
        time.sleep(seconds)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    return folder


def _there(folder: str) -> int:
    try:
        return sum(1 for _ in record_module.outcomes(folder)) if read_status(folder) else 0
    except ReadError:
        return 0


@pytest.mark.parametrize("seed", range(3))
def test_what_was_written_survives_a_kill(seed, tmp_path):
    folder = killed(str(tmp_path), random.Random(seed).uniform(0, 0.5), 0, least=50)
    found = [record["id"] for record in record_module.outcomes(folder)]
    assert found == [f"scene {number} " + "x" * (number % 977) for number in range(len(found))]
    data = (Path(folder) / "outcomes.ndjson").read_bytes()
    assert all(json.loads(line) for line in data[: data.rfind(b"\n") + 1].splitlines())
    assert (Path(folder) / "scenes.ndjson").read_bytes() == b'{"source": "a"}\n'
    assert record_module.read_status(folder)["state"] == "running"


def test_a_line_that_was_cut_does_not_count(tmp_path):
    with Journal(str(tmp_path), entries=b"", total=2) as journal:
        journal(ended(1))
        journal(ended(2))
    path = Path(journal.href) / "outcomes.ndjson"
    data = path.read_bytes()
    for cut in range(len(data)):
        path.write_bytes(data[:cut])
        assert len(list(record_module.outcomes(journal.href))) == data[:cut].count(b"\n")


def test_what_was_written_survives_a_kill_on_s3(s3_env):  # noqa: F811
    dest = f"s3://{s3.BUCKET}/killed"
    folder = killed(dest, 0.3, 0.0005, least=1100)
    found = [record["id"] for record in record_module.outcomes(folder)]
    assert found == [f"scene {number} " + "x" * (number % 977) for number in range(len(found))]
    assert len(found) >= 1100
    assert [name for name in files.list_names(folder) if name.startswith("outcomes")][:2] == [
        "outcomes-00001.ndjson",
        "outcomes-00002.ndjson",
    ]
    assert files.read_bytes(Location(folder) / "scenes.ndjson") == b'{"source": "a"}\n'


# Object stores ---------------------------------------------------------------------------------


def test_parts_become_one_on_s3(s3_env):  # noqa: F811
    dest, count = f"s3://{s3.BUCKET}/parts", 1203
    with Journal(dest, entries=b"", total=count, every=0.2) as journal:
        for number in range(count):
            journal(ended(number))
        wait_until(lambda: _there(journal.href) == count)
        names = files.list_names(journal.href)
        assert [name for name in names if name.startswith("outcomes")] == [
            record_module.piece_name(n) for n in (1, 2, 3)
        ]
    assert files.list_names(journal.href) == ["outcomes.ndjson", "scenes.ndjson", "status.json"]
    assert [record["id"] for record in record_module.outcomes(journal.href)] == [f"LC08_{n:05d}" for n in range(count)]
    assert run_ids(dest) == [journal.id]


def test_many_outcomes_stay_in_parts_on_s3(s3_env, monkeypatch):  # noqa: F811
    monkeypatch.setattr(record_writer, "MERGED", 1000)
    with Journal(f"s3://{s3.BUCKET}/large", entries=b"", total=600) as journal:
        for number in range(600):
            journal(ended(number))
    assert "outcomes.ndjson" not in files.list_names(journal.href)
    assert [record["id"] for record in record_module.outcomes(journal.href)] == [f"LC08_{n:05d}" for n in range(600)]


# Trouble ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_store_that_does_not_answer_costs_the_record_only(monkeypatch):
    monkeypatch.setenv("LANDSAT_DOWNSAMPLE_BUDGET", "2")
    monkeypatch.setenv("LANDSAT_DOWNSAMPLE_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:  # takes connections, says nothing
        apply(monkeypatch, s3.environ(f"http://127.0.0.1:{silent.getsockname()[1]}"))
        with warnings.catch_warnings(record=True) as reported:
            warnings.simplefilter("always")
            with Journal("s3://bucket/out", entries=b"", total=2000, every=0.2) as journal:
                for number in range(2000):
                    journal(ended(number))
                wait_until(lambda: reported)
    lines = [str(one.message) for one in reported if "record of this run" in str(one.message)]
    assert len(lines) == 1 and "goes on without it" in lines[0]


def test_a_store_that_comes_back_gets_the_record(tmp_path):
    (tmp_path / "out").write_text("a file where a folder should be")
    journal = Journal(str(tmp_path / "out"), entries=b"{}\n", total=1, every=0.05)
    with pytest.warns(UserWarning, match="cannot keep the record") as reported, journal:
        journal(ended(1))
        wait_until(lambda: len(reported))
        (tmp_path / "out").unlink()
        wait_until((Path(journal.href) / "status.json").exists)
    assert [record["id"] for record in record_module.outcomes(journal.href)] == ["LC08_00001"]
    assert (Path(journal.href) / "scenes.ndjson").read_bytes() == b"{}\n"


def test_a_full_disk_leaves_no_half_line(tmp_path):
    """A limit on the size of files stands for the disk: what goes beyond is refused, the first part of it is not."""
    code = (
        "import resource, signal, sys, warnings\n"
        "from pathlib import Path\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))\n"
        "from landsat_downsample.batch.journal import Journal\n"
        "from landsat_downsample.execution.outcomes import Outcome\n"
        "from landsat_downsample.execution.run import Progress\n"
        "with Journal(sys.argv[1], entries=b'', total=99) as journal:\n"
        "    for number in range(99):\n"
        "        journal(Progress(str(number), outcome=Outcome(str(number), 'done')))\n"
        "data = (Path(journal.href) / 'outcomes.ndjson').read_bytes()\n"
        "print(len(data), data.endswith(b'\\n'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    size, whole = done.stdout.split()
    assert 3000 < int(size) <= 4000 and whole == "True"
    assert done.stderr.count("cannot keep the record") == 1


@pytest.mark.slow
def test_memory_does_not_grow_with_the_scenes(tmp_path):
    plan = SimpleNamespace(targets=[None] * 3)
    done = SimpleNamespace(bytes_in=100, products=[SimpleNamespace(size=10)])

    def peak(count: int) -> int:
        with Journal(str(tmp_path), entries=b"", total=count) as journal:
            tracemalloc.start()
            for number in range(count):
                name = f"LC08_{number:05d}"
                journal(Progress(name, plan, begun=True))
                journal(Progress(name, plan, done=done))
                journal(replace(ended(number, "failed", ReadError("no " * 50)), plan=plan))
                if number % 50 == 0:
                    wait_until(journal._steps.empty)
            found = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return found

    peak(50)  # what is imported late
    assert peak(10_000) < peak(500) + 300_000  # the lines alone have 3 MB


# Counting --------------------------------------------------------------------------------------


def _plan(bands: int) -> SimpleNamespace:
    return SimpleNamespace(targets=[None] * bands)


def _done(size: int) -> SimpleNamespace:
    return SimpleNamespace(bytes_in=size, products=[SimpleNamespace(size=7), SimpleNamespace(size=3)])


def test_a_counter_counts_by_hand():
    progress, first, second = ProgressCounter(4), _plan(4), _plan(2)
    progress.take(ended(1, "skipped"), 1.0)
    progress.take(Progress("a", first, begun=True), 2.0)
    progress.take(Progress("b", second, begun=True), 2.0)
    for now in (4.0, 5.0, 6.0):
        progress.take(Progress("a", first, done=_done(1000)), now)
    reported = facts(progress, 6.0)
    assert reported["scenes"] == {"total": 4, "done": 0, "skipped": 1, "failed": 0, "in_hand": 2}
    assert reported["bands"] == {"done": 3, "known": 6} and reported["bytes"] == {"in": 3000, "out": 30}
    # 3 bands in the 4 s since work began; of those in hand 3 are left, and the last scene has 3 as it seems.
    assert reported["eta"] == pytest.approx(4 / 3 * (3 + 3), abs=0.05)
    assert reported["rate"] == pytest.approx(3000 / 4)
    progress.take(Progress("a", first, outcome=Outcome("a", "failed", error=ReadError("no"))), 7.0)
    reported = facts(progress, 7.0)
    assert reported["bands"] == {"done": 3, "known": 5}, "the fourth band of a will never come"
    assert reported["failures"] == [{"id": "a", "cause": "ReadError", "error": "no"}]
    assert reported["scenes"]["in_hand"] == 1


def test_a_rate_is_of_the_last_minute():
    progress, plan = ProgressCounter(None), _plan(60)
    for second in range(0, 300, 5):
        progress.take(Progress("a", plan, done=_done(100 if second < 200 else 5000)), float(second))
    # 12 intervals of 5 s hold 12 x 5000 bytes.
    assert facts(progress, 295.0)["rate"] == pytest.approx(12 * 5000 / 60)
    assert facts(progress, 295.0)["eta"] is None, "nobody knows how many scenes there are"
    assert facts(progress, 900.0)["rate"] == 0, "nothing was read in the last minute"


def test_the_time_left_is_reported_where_no_source_can_be_opened():
    progress = ProgressCounter(100)
    for number in range(20):
        progress.take(ended(number, "failed", ReadError("status 404")), 10.0 + number)
    assert facts(progress, 30.0)["eta"] == pytest.approx(80)


def test_a_counter_has_a_bound_on_what_it_keeps():
    progress, plan = ProgressCounter(None), _plan(1 << 20)
    for number in range(100_000):  # a thousand bands a second
        progress.take(Progress("a", plan, done=_done(1)), number / 1000)
    assert len(progress._samples) <= 2000
    assert progress.rate(100.0) == pytest.approx(1000, rel=0.01)


def test_only_the_last_failures_are_reported():
    progress = ProgressCounter(99)
    for number in range(40):
        progress.take(ended(number, "failed", ReadError("x" * 9000)), float(number))
    reported = facts(progress, 40.0)
    assert [failure["id"] for failure in reported["failures"]] == [f"LC08_{n:05d}" for n in range(35, 40)]
    assert len(json.dumps(reported)) < 5000


def test_what_says_ended_has_every_outcome(tmp_path):
    """Signs of life all the time while the last lines are written: none may be ahead of the lines."""
    count = 3000
    with Journal(str(tmp_path), entries=b"", total=count, every=0.001) as journal:
        path = Path(journal.href) / "status.json"
        early: list[int] = []

        def look() -> None:
            while journal._thread.is_alive():
                if path.exists() and record_of(journal)["state"] == "ended":
                    early.append(len(list(record_module.outcomes(journal.href))))

        watcher = threading.Thread(target=look)
        watcher.start()
        for number in range(count):
            journal(ended(number))
    watcher.join()
    assert set(early) <= {count} and record_of(journal)["state"] == "ended"
