"""Batches as a shell runs them: lists, records, retries, Ctrl-C to a whole process group, time limits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from command import BESIDE, call, command, holds, products, wait_until
from fault_proxy import FaultProxy, FileServer
from staging_cases import PATIENT, files

import landsat_downsample as ld
from landsat_downsample.testing import simulated_load

FACTOR = ("--factor", 7)
BANDS = ["SR_B4", "QA_PIXEL"]
SLOW = [pytest.mark.slow, pytest.mark.timeout(900)]


def records(dest: Path) -> list[Path]:
    return sorted(dest.glob("_runs/*Z-*"))


def outcomes(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "outcomes.ndjson").read_text().splitlines()]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("scenes")
    return [ld.make_scene(folder, size=(331, 287), bands=BANDS, seed=seed) for seed in range(6)]


@pytest.fixture
def web(scenes, monkeypatch):
    """The scenes on a web server that can be kept from answering; see `remote`."""
    for name, value in PATIENT.items():
        monkeypatch.setenv(name, value)
    stored = {f"/{scene.name}/{name}": data for scene in scenes for name, data in files(scene).items()}
    with FileServer(stored) as server, FaultProxy(server.endpoint) as proxy:
        yield proxy


def remote(web: FaultProxy, scenes: list[Path]) -> list[str]:
    return [f"{web.endpoint}/{scene.name}/{scene.name}_MTL.json" for scene in scenes]


def test_a_list_gives_what_its_scenes_give_and_a_record(scenes, tmp_path):
    listed = tmp_path / "scenes.txt"
    listed.write_text("# a list\n\n" + "\n".join(map(str, scenes)) + f"\n{tmp_path / 'nowhere'}\n")
    result = call("run", f"@{listed}", "--to", tmp_path / "out", *FACTOR)
    assert result.code == 3 and result.err.count("nowhere") == 1, result.err
    for scene in scenes:
        assert call("run", scene, "--to", tmp_path / "alone", *FACTOR, "-q").code == 0
    assert products(tmp_path / "out") == products(tmp_path / "alone")
    assert not records(tmp_path / "alone"), "one scene needs no record"
    (run,) = records(tmp_path / "out")
    assert {"scenes.ndjson", "outcomes.ndjson", "status.json", "report.html"} <= set(os.listdir(run))
    reported = {line["id"]: line for line in outcomes(run)}
    assert [line["status"] for line in reported.values()].count("done") == 6
    assert reported[str(tmp_path / "nowhere")]["cause"] == "MissingError"
    assert "no such file" in reported[str(tmp_path / "nowhere")]["error"]


def test_what_failed_is_tried_again_and_nothing_else(scenes, tmp_path):
    damaged = next(scenes[0].glob("*_SR_B4.TIF"))
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[: len(whole) // 2])
    try:
        assert call("run", *scenes[:3], "--to", tmp_path / "out", *FACTOR, "-q").code == 3
    finally:
        damaged.write_bytes(whole)
    (run,) = records(tmp_path / "out")
    for where in (run, run / "outcomes.ndjson"):
        again = call("run", "--retry-failed", where, "--to", tmp_path / "again", *FACTOR)
        assert again.code == 0, again.err
        assert list(products(tmp_path / "again")) == [f"{scenes[0].name}_downsampled"]
    call("run", "--retry-failed", run, "--to", tmp_path / "out", *FACTOR, "-q")
    assert call("run", *scenes[:3], "--to", tmp_path / "whole", *FACTOR, "-q").code == 0
    assert products(tmp_path / "out") == products(tmp_path / "whole")


def test_a_retry_of_a_run_without_failures_has_nothing_to_do(scenes, tmp_path):
    assert call("run", *scenes[:2], "--to", tmp_path / "out", *FACTOR, "-q").code == 0
    result = call("run", "--retry-failed", records(tmp_path / "out")[0], "--to", tmp_path / "out", *FACTOR)
    assert result.code == 0 and "nothing is left to do" in result.err and len(result.lines) == 1


@pytest.mark.parametrize(
    ("words", "reported"),
    [
        ((), "which scenes"),
        (("SCENE", "--stac", "https://example.com"), "more than one of them"),
        (("SCENE", "--bbox", "1,2,3,4"), "--bbox belongs to a search"),
        (("--stac", "https://example.com"), "--collection"),
        (("SCENE", "--min-spin-time", "5", "--max-spin-time", "1"), "spin time"),
        (("SCENE", "--max-spin-time", "4000"), "spin time"),
        (("SCENE", "--requests-per-host", "0"), "at least 1"),
        (("SCENE", "--timeout", "soon"), "number of seconds"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_in_a_line(words, reported, scenes, tmp_path):
    words = [scenes[0] if word == "SCENE" else word for word in words]
    result = call("run", *words, "--to", tmp_path / "out", *FACTOR)
    assert result.code == 2 and len(result.lines) == 1 and reported in result.err, result.err
    assert not (tmp_path / "out").exists()


def test_simulated_load_is_cpu_time(scenes, tmp_path, monkeypatch):
    """By a clock that stands still while nothing is computed: what only waited would never end."""
    monkeypatch.setattr(simulated_load, "time", SimpleNamespace(monotonic=time.thread_time))
    begun = time.thread_time()
    words = ("--min-spin-time", 0.2, "--max-spin-time", 0.3)
    assert call("run", scenes[0], "--to", tmp_path / "out", *FACTOR, "-q", *words).code == 0
    assert time.thread_time() - begun >= 0.2


@pytest.mark.slow
def test_a_time_limit_ends_the_run_with_nothing_half_published(scenes, web, tmp_path):
    web.hold("_SR_B4.TIF")
    words = command("run", *scenes[:2], *remote(web, scenes[2:]), "--to", tmp_path / "out", *FACTOR, "--timeout", 2)
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 75 and "time limit" in done.stderr, done.stderr
    assert [name for name in holds(tmp_path / "out") if name.startswith(".")] == []


@pytest.mark.slow
def test_a_source_that_does_not_answer_is_a_failure_that_may_pass(tmp_path, monkeypatch):
    monkeypatch.setenv("LANDSAT_DOWNSAMPLE_BUDGET", "1")
    result = call("run", "http://127.0.0.1:9/scene_MTL.json", "--to", tmp_path / "out", *FACTOR)
    assert result.code == 75 and len(result.lines) == 1, result.err


# Ctrl-C, as a terminal sends it: to every process of the group ---------------------------------


def start(words: list[str]) -> subprocess.Popen:
    """Start a run in a process group of its own."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(words, start_new_session=True, **pipes)


def held(words: list[str], web: FaultProxy) -> subprocess.Popen:
    """Start a run whose source keeps it waiting in the midst of its first scenes."""
    web.plan().hold("_SR_B4.TIF")
    process = start(words)
    wait_until(lambda: web.holding, process)
    return process


def read_until(reported: str, process: subprocess.Popen) -> str:
    """Wait for a line on stderr."""
    for line in process.stderr:
        if reported in line:
            return line
    raise AssertionError("the run ended at once")


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("cluster", ["none", pytest.param("local", marks=SLOW)])
@pytest.mark.slow
def test_ctrl_c_once_finishes_what_is_in_hand_and_twice_stops(cluster, scenes, web, tmp_path):
    words = (*remote(web, scenes), *FACTOR, "--cluster", cluster, "--workers", 1)
    once = held(command("run", "--to", tmp_path / "once", *words), web)
    os.killpg(once.pid, signal.SIGINT)
    read_until("finishing", once)
    web.let_go()
    _, err = once.communicate()
    made = products(tmp_path / "once")
    assert once.returncode == 130 and "did not begin" in err, err
    assert 1 <= len(made) < len(scenes)

    (run,) = records(tmp_path / "once")
    assert call("run", "--retry-failed", run, "--to", tmp_path / "once", *FACTOR, "-q").code == 0
    assert len(products(tmp_path / "once")) == len(scenes), "what never began is taken up"
    assert made.items() <= products(tmp_path / "once").items()

    twice = held(command("run", "--to", tmp_path / "twice", *words), web)
    children = psutil.Process(twice.pid).children(recursive=True)
    os.killpg(twice.pid, signal.SIGINT)
    read_until("finishing", twice)
    os.killpg(twice.pid, signal.SIGINT)
    _, err = twice.communicate()
    assert twice.returncode == 130 and "Traceback" not in err and "leaked" not in err, err
    assert all(name in BESIDE or name.endswith("_downsampled") for name in holds(tmp_path / "twice"))
    _, alive = psutil.wait_procs(children)
    assert not alive, "a cluster that was made is closed on every way out"


@pytest.mark.parametrize("cluster", ["none", pytest.param("local", marks=SLOW)])
def test_what_was_started_deaf_to_ctrl_c_stays_so_and_ends_by_sigterm(cluster, scenes, web, tmp_path):
    """As scripts start what works in the background, for the Ctrl-C that is meant for what works in front."""
    words = (*remote(web, scenes[:2]), *FACTOR, "--cluster", cluster, "--workers", 1)
    deaf = ("sh", "-c", 'trap "" INT; exec "$@"', "sh")
    process = held([*deaf, *command("run", "--to", tmp_path / "whole", *words)], web)
    os.killpg(process.pid, signal.SIGINT)
    os.killpg(process.pid, signal.SIGINT)
    web.let_go()
    _, err = process.communicate()
    assert process.returncode == 0 and "interrupted" not in err, err
    assert len(products(tmp_path / "whole")) == 2

    process = held([*deaf, *command("run", "--to", tmp_path / "ended", *words)], web)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate()
    assert process.returncode == 130 and "interrupted" in err, err
    assert not products(tmp_path / "ended")


# A scheduler that dies -------------------------------------------------------------------------


def dask(*argv) -> subprocess.Popen:
    """A dask command, from the program that distributed brings."""
    words = [sys.executable, "-m", "dask", *map(str, argv)]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


@pytest.mark.slow
def test_a_scheduler_that_dies_fails_what_is_left_and_ends_the_run(scenes, web, tmp_path):
    """While all scenes but the first are kept waiting by their source."""
    sources = [ld.make_scene(tmp_path / "in", size=(83, 71), bands=BANDS, seed=100)]
    sources += remote(web, scenes)
    web.hold("_SR_B4.TIF")
    file = tmp_path / "scheduler.json"
    scheduler = dask("scheduler", "--host", "127.0.0.1", "--port", 0, "--no-dashboard", "--scheduler-file", file)
    wait_until(file.exists, scheduler)
    worker = dask("worker", "--scheduler-file", file, "--nthreads", 1, "--no-dashboard", "--local-directory", tmp_path)
    try:
        process = start(command("run", *sources, "--to", tmp_path / "out", *FACTOR, "--cluster", file))
        read_until(" scenes, ", process)
        scheduler.kill()
        _, err = process.communicate()
    finally:
        for made in (scheduler, worker):
            made.kill()
            made.wait()
    assert process.returncode == 3, err
    done = products(tmp_path / "out")
    assert list(done) == [f"{sources[0].name}_downsampled"]
    failed = [line for line in err.splitlines() if " ERROR landsat-downsample: band " in line]
    assert len(failed) == len(scenes), err
    assert all("was lost" in line for line in failed) and "the scheduler was lost" in err, err
    assert all(name in BESIDE or name in done for name in holds(tmp_path / "out"))


# Overnight ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_two_hundred_scenes_and_two_of_full_size_with_a_killed_worker_and_a_corrupt_source(tmp_path):
    bands = ["SR_B4", "QA_PIXEL"]
    sources = [ld.make_scene(tmp_path / "in", size=(83, 71), bands=bands, seed=seed) for seed in range(200)]
    sources += [ld.make_scene(tmp_path / "in", bands=bands, seed=seed) for seed in (200, 201)]
    corrupt = next(sources[100].glob("*_SR_B4.TIF"))
    data = bytearray(corrupt.read_bytes())
    data[len(data) // 2] ^= 0x10
    corrupt.write_bytes(data)
    listed = tmp_path / "scenes.txt"
    listed.write_text("\n".join(map(str, reversed(sources))))

    serial = call("run", f"@{listed}", "--to", tmp_path / "serial", *FACTOR, "-q", "--cluster", "none", "--workers", 1)
    assert serial.code == 3, serial.err
    words = ("--to", tmp_path / "dask", *FACTOR, "--cluster", "local", "--workers", 2)
    process = start(command("run", f"@{listed}", *words))
    read_until(" scenes, ", process)
    worker_of(process).kill()
    out, err = process.communicate()
    assert process.returncode == 3, err
    assert len(out.splitlines()) == 201
    failed = [line for line in outcomes(records(tmp_path / "dask")[0]) if line["status"] == "failed"]
    assert [line["id"] for line in failed] == [sources[100].name]
    assert "SR_B4" in failed[0]["error"]
    (record,) = records(tmp_path / "dask")
    beat = json.loads((record / "status.json").read_text())
    assert (beat["workers_most"], beat["workers_lost"]) == (2, 1)
    assert "2, 1 lost" in (record / "report.html").read_text()
    assert len(products(tmp_path / "dask")) == 201
    assert products(tmp_path / "dask") == products(tmp_path / "serial")


def worker_of(process: subprocess.Popen) -> psutil.Process:
    """A dask worker of a run that is at work."""
    children = psutil.Process(process.pid).children(recursive=True)
    workers = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    return max(workers, key=lambda child: sum(child.cpu_times()[:2]))
