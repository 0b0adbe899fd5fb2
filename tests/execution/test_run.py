"""Runs: the same bytes whatever the threads, the source's form and the interruptions; bounded memory."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import s3
from command import call, digests, holds, peak_mib, spawn, spawn_begun, wait_until
from conftest_s3 import apply, proxied, s3_env, seaweed  # noqa: F401 - fixtures
from fault_proxy import FaultProxy, FileServer
from staging_cases import PATIENT, served, to_s3

import landsat_downsample as ld

FACTOR = ("--factor", 5)
BANDS = ["SR_B2", "SR_B3", "SR_B4", "ST_CDIST", "QA_PIXEL", "QA_RADSAT"]


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Path:
    return ld.make_scene(tmp_path_factory.mktemp("scenes"), size=(331, 287), bands=BANDS)


@pytest.fixture(scope="module")
def medium(tmp_path_factory) -> Path:
    """A scene that takes about a second or two, so that there are moments to be interrupted in."""
    return ld.make_scene(tmp_path_factory.mktemp("medium"), size=(1500, 1400), bands=BANDS)


def product(dest: Path, scene: Path) -> Path:
    return dest / f"{scene.name}_downsampled"


def tar_of(scene: Path, path: Path, *, prefix: str = "") -> Path:
    with tarfile.open(path, "w") as tar:
        for name in sorted(os.listdir(scene)):
            tar.add(scene / name, prefix + name)
    return path


# The same bytes --------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_bytes_do_not_depend_on_the_threads(workers, scene, tmp_path):
    assert call("run", scene, "--to", tmp_path / "auto", *FACTOR, "-q").code == 0
    assert call("run", scene, "--to", tmp_path / "some", *FACTOR, "-q", "--workers", workers).code == 0
    assert digests(product(tmp_path / "some", scene)) == digests(product(tmp_path / "auto", scene))


def test_a_run_takes_away_what_killed_ones_left_of_its_own_products(scene, tmp_path):
    left = [tmp_path / f".{name}_downsampled.partial-{'0' * 32}" for name in (scene.name, "other")]
    for folder in left:
        folder.mkdir()
    assert call("run", scene, "--to", tmp_path, *FACTOR, "-q").code == 0
    assert holds(tmp_path) == sorted([left[1].name, product(tmp_path, scene).name])


#: They record where the source was, so that they may differ with its form; all else may not.
TELLS_ITS_SOURCE = (".met.json", ".stac.json")


def test_bytes_do_not_depend_on_the_form_of_the_source(scene, tmp_path):
    name = scene.name
    forms = {
        "folder": scene,
        "slash": f"{scene}/",
        "file": scene.as_uri(),
        "txt": scene / f"{name}_MTL.txt",
        "xml": scene / f"{name}_MTL.xml",
        "json": scene / f"{name}_MTL.json",
        "tar": tar_of(scene, tmp_path / f"{name}.tar"),
        "deep": tar_of(scene, tmp_path / "deep.tar", prefix=f"{name}/"),
    }
    made = {}
    for form, href in forms.items():
        result = call("run", href, "--to", tmp_path / form, *FACTOR, "-q")
        assert result.code == 0, result.err
        found = digests(product(tmp_path / form, scene))
        made[form] = {key: digest for key, digest in found.items() if not key.endswith(TELLS_ITS_SOURCE)}
        assert len(found) == len(made[form]) + 2
    for form, found in made.items():
        assert found == made["folder"], form


def test_the_same_bytes_from_another_place_are_the_same_product(scene, tmp_path):
    assert call("run", scene, "--to", tmp_path / "out", *FACTOR, "-q").code == 0
    result = call("run", tar_of(scene, tmp_path / "x.tar"), "--to", tmp_path / "out", *FACTOR, "-q")
    assert result.code == 0 and json.loads(result.out)["status"] == "skipped"


def test_a_second_run_does_nothing(scene, tmp_path):
    first = call("run", scene, "--to", tmp_path, *FACTOR, "-q")
    times = {path: path.stat().st_mtime_ns for path in product(tmp_path, scene).iterdir()}
    second = call("run", scene, "--to", tmp_path, "--factor", "5.0")
    assert (first.code, second.code) == (0, 0)
    assert (json.loads(first.out)["status"], json.loads(second.out)["status"]) == ("done", "skipped")
    assert json.loads(first.out)["href"] == json.loads(second.out)["href"]
    assert "is there already" in second.err
    assert {path: path.stat().st_mtime_ns for path in product(tmp_path, scene).iterdir()} == times


def test_python_and_the_shell_make_the_same_product(scene, tmp_path):
    options = {"factor": 5.0, "bands": "red,QA_PIXEL", "mask": "cloud", "methods": {"red": "median"}}
    (outcome,) = ld.run(ld.plan(scene, tmp_path / "python", **options))
    words = ("--bands", "red,QA_PIXEL", "--mask", "cloud", "--method", "red=median")
    assert call("run", scene, "--to", tmp_path / "shell", *FACTOR, *words, "-q").code == 0
    assert outcome.status == "done" and os.path.dirname(outcome.href) == str(product(tmp_path / "python", scene))
    assert digests(product(tmp_path / "python", scene)) == digests(product(tmp_path / "shell", scene))


def test_python_raises_once_and_keeps_what_succeeded(scene, tmp_path):
    other = ld.make_scene(tmp_path / "other", size=(131, 117), bands=["SR_B4", "QA_PIXEL"], seed=4)
    plans = ld.plan([other, scene], tmp_path / "out", factor=5)
    path = other / f"{other.name}_SR_B4.TIF"
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(ld.RunError, match="1 of 2 scenes failed") as caught:
        ld.run(plans)
    assert [outcome.status for outcome in caught.value.outcomes] == ["failed", "done"]
    assert holds(tmp_path / "out") == [f"{scene.name}_downsampled"]


# Nothing leaks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["folder", "tar", "lone"])
def test_products_know_nothing_of_this_machine(form, scene, tmp_path):
    forms = {"folder": scene, "tar": tar_of(scene, tmp_path / "x.tar"), "lone": scene / f"{scene.name}_SR_B4.TIF"}
    result = call("run", forms[form], "--to", tmp_path / "out", *FACTOR)
    assert result.code == 0
    places = [str(scene.parent).encode(), str(tmp_path).encode(), os.getcwd().encode()]
    for path in (tmp_path / "out").rglob("*.*"):
        for place in places if path.is_file() else ():
            assert place not in path.read_bytes(), path
    record = json.loads(result.out)
    record.pop("href")
    assert str(tmp_path) not in json.dumps(record) + result.err


# Interruptions ---------------------------------------------------------------------------------


def interrupted(process: subprocess.Popen) -> None:
    """Exit code 130, and one line more than the progress."""
    _, err = process.communicate()
    assert process.returncode == 130, err
    reported = [line for line in err.splitlines() if line.startswith("landsat-downsample")]
    assert (
        len(reported) <= 2 and "interrupted" in reported[-1] and all("finishing" in line for line in reported[:-1])
    ), err
    assert "Traceback" not in err and "Exception" not in err


def seconds_of_a_run(scene: Path, dest: Path) -> float:
    process, begun = spawn_begun("run", scene, "--to", dest, *FACTOR, "-q"), time.perf_counter()
    process.communicate()
    assert process.returncode == 0
    return time.perf_counter() - begun


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("count", [5, pytest.param(15, marks=pytest.mark.slow)])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_an_interruption_at_any_moment_leaves_nothing(number, count, medium, tmp_path):
    length = seconds_of_a_run(medium, tmp_path / "whole")
    whole = digests(product(tmp_path / "whole", medium))
    moments = random.Random(f"{number} {count}").sample(range(100), count)
    for moment in sorted(moments):
        dest = tmp_path / str(moment)
        process = spawn_begun("run", medium, "--to", dest, *FACTOR)
        time.sleep(moment / 100 * length)
        process.send_signal(number)
        if number == signal.SIGINT:  # the first one lets the scene finish, if it comes while the scene is in hand
            time.sleep(0.02)
            process.send_signal(number)
        code = process.wait()
        if code == 0 or (code == -number and not dest.exists()):  # it was faster, or had no handlers yet
            process.communicate()
        else:
            interrupted(process)
        assert holds(dest) in ([], [product(dest, medium).name])
        assert not holds(dest) or digests(product(dest, medium)) == whole


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("pool", ["landsat-downsample", "publishing"])
def test_an_interruption_while_a_thread_starts_leaves_nothing(pool, scene, tmp_path, monkeypatch):
    """The thread is at work by then: whoever cleans up must know it, and wait for it."""
    start, threads = threading.Thread.start, []

    def interrupted_start(thread):
        start(thread)
        if thread.name.startswith(pool):
            threads.append(thread)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(threading.Thread, "start", interrupted_start)
    with pytest.raises(KeyboardInterrupt):
        ld.run(ld.plan(scene, tmp_path, factor=5))
    at_work = [thread.name for thread in threads if thread.is_alive()]
    for thread in threads:
        thread.join()
    assert threads and not at_work
    assert holds(tmp_path) in ([], [product(tmp_path, scene).name])


@pytest.mark.usefixtures("ctrl_c")
def test_an_interruption_where_python_drops_errors_is_not_lost():
    """In a weakref's callback, as import has them."""
    code = (
        "import signal, sys, time, weakref\n"
        "from landsat_downsample.cli.verbs import doctor; from landsat_downsample.cli.main import main\n"
        "def verb(arguments):\n"
        "    thing = type('Thing', (), {})()\n"
        "    kept = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGINT))\n"
        "    del thing\n"
        "    time.sleep(30)\n"
        "    return 0\n"
        "doctor._doctor = verb\n"
        "sys.exit(main())\n"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    interrupted(subprocess.Popen([sys.executable, "-c", code, "doctor"], **pipes))


@pytest.fixture
def web(scene, monkeypatch):
    """The scene on a web server that keeps a run waiting in its midst; see `held`."""
    apply(monkeypatch, PATIENT)
    with FileServer(served(scene)) as server, FaultProxy(server.endpoint) as proxy:
        proxy.hold("_SR_B4.TIF")
        yield proxy


def held(web: FaultProxy, scene: Path, dest: Path, *words: str) -> subprocess.Popen:
    """Start a run, and wait until some of the product is stored and the source keeps back the rest."""
    process = spawn("run", f"{web.endpoint}/scene/{scene.name}_MTL.json", "--to", dest, *FACTOR, "-q", *words)
    wait_until(lambda: web.holding and any(name.startswith(".") for name in holds(dest)), process)
    return process


@pytest.mark.usefixtures("ctrl_c")
def test_repeated_signals_do_not_disturb_the_cleaning(scene, web, tmp_path):
    dest = tmp_path / "out"
    process = held(web, scene, dest)
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
        time.sleep(0.02)
    interrupted(process)
    assert holds(dest) == []


def test_a_killed_run_leaves_only_hidden_folders_and_can_be_repeated(scene, web, tmp_path):
    dest = tmp_path / "out"
    process = held(web, scene, dest)
    process.kill()
    process.communicate()
    left = holds(dest)
    assert left and all(name.startswith(f".{scene.name}_downsampled.partial-") for name in left)
    for place in (dest, tmp_path / "fresh"):
        assert call("run", scene, "--to", place, *FACTOR, "-q").code == 0
    assert digests(product(dest, scene)) == digests(product(tmp_path / "fresh", scene))


def test_an_interrupted_replacement_keeps_the_old(scene, web, tmp_path):
    dest = tmp_path / "out"
    assert call("run", scene, "--to", dest, "--factor", 9, "-q").code == 0
    old = digests(product(dest, scene))
    process = held(web, scene, dest, "--overwrite")
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 130
    assert holds(dest) == [f"{scene.name}_downsampled"]
    assert digests(product(dest, scene)) == old


# Memory ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def full(tmp_path_factory) -> Path:
    """Two bands of a full-size scene."""
    return ld.make_scene(tmp_path_factory.mktemp("full"), bands=["SR_B4", "SR_B5", "QA_PIXEL"])


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("factor", [2, 10, 7000])
def test_a_full_band_needs_less_than_400_mib(factor, full, tmp_path):
    path = full / f"{full.name}_SR_B4.TIF"
    code, peak = peak_mib("run", path, "--to", tmp_path, "--factor", factor, "-q")
    print(f"factor {factor}: {peak:.0f} MiB")
    assert code == 0 and peak < 400


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("factor", [2, 10])
def test_a_full_scene_on_two_workers_needs_less_than_a_gib(factor, full, tmp_path):
    words = ("--mask", "cloud", "--workers", 2, "-q")
    code, peak = peak_mib("run", full, "--to", tmp_path, "--factor", factor, *words)
    print(f"factor {factor}: {peak:.0f} MiB")
    assert code == 0 and peak < 1024


# Stores ----------------------------------------------------------------------------------------


def test_requester_pays_is_said_for_every_read_of_a_run(scene, proxied, seaweed, tmp_path):  # noqa: F811
    href = to_s3(seaweed, scene, "pays-run")
    result = call("run", href, "--to", tmp_path, *FACTOR, "-q", "--requester-pays")
    assert result.code == 0, result.err
    assert any("_MTL.txt" in seen.path for seen in proxied.seen)
    payers = {name.lower(): value for seen in proxied.seen for name, value in seen.headers.items()}
    assert payers["x-amz-request-payer"] == "requester"
    assert all("x-amz-request-payer" in map(str.lower, seen.headers) for seen in proxied.seen)


@pytest.mark.parametrize("place", ["disk", "s3"])
def test_two_runners_at_the_same_moment_make_one_product(place, scene, s3_env, tmp_path):  # noqa: F811
    assert call("run", scene, "--to", tmp_path / "alone", *FACTOR, "-q").code == 0
    dest = tmp_path / "both" if place == "disk" else f"s3://{s3.BUCKET}/{tmp_path.name}"
    with ThreadPoolExecutor(3) as pool:
        plans = [ld.plan(scene, dest, factor=5) for _ in range(3)]
        outcomes = [outcome for found in pool.map(ld.run, plans) for outcome in found]
    assert {outcome.status for outcome in outcomes} <= {"done", "skipped"}
    assert call("clean", dest, "--older-than", 0).out == ""
    if place == "disk":
        assert holds(dest) == [f"{scene.name}_downsampled"]
        assert digests(product(dest, scene)) == digests(product(tmp_path / "alone", scene))
    assert json.loads(call("run", scene, "--to", dest, *FACTOR, "-q").out)["status"] == "skipped"


@pytest.mark.parametrize("place", ["disk", "s3"])
def test_of_two_runs_with_different_grids_at_once_one_is_told_of_the_other(place, scene, s3_env, tmp_path):  # noqa: F811
    dest = tmp_path / "out" if place == "disk" else f"s3://{s3.BUCKET}/{tmp_path.name}"
    one, other = ({"bands": ["red"], "grid": grid} for grid in ("zone:150", "EPSG:3035@300"))
    found = []

    def overtake(step):
        if step.begun:
            found.extend(ld.run(ld.plan(scene, dest, **one), check=False))

    found += ld.run(ld.plan(scene, dest, **other), check=False, report=overtake)
    [told] = [str(outcome.error) for outcome in found if outcome.error]
    if place == "disk":  # the hidden folder of the first one to end takes the name
        assert f"is already at '{dest}', but was made with grid zone, resolution 150; asked for is grid EPSG" in told
        assert holds(dest) == [f"{scene.name}_downsampled"]
    else:  # the other's band may be there before its item is
        assert "was made with grid" in told or "of a run that makes it with another grid or options" in told
    assert sorted(outcome.status for outcome in found) == ["done", "failed"]


@pytest.mark.parametrize("place", ["disk", "s3"])
def test_a_product_that_lost_a_file_is_not_called_done(place, scene, s3_env, tmp_path):  # noqa: F811
    dest = tmp_path / "out" if place == "disk" else f"s3://{s3.BUCKET}/{tmp_path.name}"
    assert call("run", scene, "--to", dest, *FACTOR, "-q").code == 0
    name = f"{scene.name}_SR_B4.TIF"
    if place == "disk":
        (product(dest, scene) / name).unlink()
    else:
        key = f"{tmp_path.name}/{scene.name}_downsampled/{name}"
        s3_env.client().delete_object(Bucket=s3.BUCKET, Key=key)
    result = call("run", scene, "--to", dest, *FACTOR, "-q")
    assert result.code == 1 and f"has lost {name}: make it again with --overwrite" in result.err
    assert call("run", scene, "--to", dest, *FACTOR, "-q", "--overwrite").code == 0
    assert json.loads(call("run", scene, "--to", dest, *FACTOR, "-q").out)["status"] == "skipped"


def test_a_remote_source_that_changed_is_refused_with_the_difference(s3_env, tmp_path):  # noqa: F811
    scene = ld.make_scene(tmp_path, size=(131, 117), bands=["SR_B4", "QA_PIXEL"])
    href = to_s3(s3_env, scene, tmp_path.name)
    assert call("run", href, "--to", tmp_path / "out", *FACTOR, "-q").code == 0
    band = scene / f"{scene.name}_SR_B4.TIF"
    data = bytearray(band.read_bytes())
    data[-20] ^= 1  # as many bytes, another ETag
    band.write_bytes(data)
    to_s3(s3_env, scene, tmp_path.name)
    result = call("run", href, "--to", tmp_path / "out", *FACTOR, "-q")
    assert result.code == 1 and "its source has changed since" in result.err
