"""A cube by dask workers, by stores that refuse, on a full disk, and under the eyes of a reader."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import command
import pytest
import s3
import xarray as xr
from conftest_s3 import proxied, seaweed  # noqa: F401 - fixtures

import landsat_downsample as ld
from landsat_downsample.errors import WriteError
from landsat_downsample.model.location import Location
from landsat_downsample.model.policy import Policy
from landsat_downsample.storage import files

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")]

NAMES = ["red", "qa_pixel", "red_count"]
BOUNDS = (257000, 5203000, 262000, 5215000)


@pytest.fixture(scope="module", name="made")
def _made(tmp_path_factory) -> list[Path]:
    """Products of twelve dates, by time."""
    folder = tmp_path_factory.mktemp("series")
    scenes = ld.make_scenes(folder / "source", dates=12, size=(171, 163), bands=["SR_B4", "QA_PIXEL"])
    done = ld.run(ld.plan(scenes, str(folder / "out"), factor=2, stats=["mean", "sum", "count"]), workers=2)
    return [Path(outcome.href).parent for outcome in sorted(done, key=lambda one: one.scene_id[17:25])]


def content(store: Path) -> dict[str, bytes]:
    """All files of a store by name."""
    return {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*") if path.is_file()}


def cells(store: str | Path, **how) -> xr.Dataset:
    return xr.open_zarr(store, mask_and_scale=False, **how)


@pytest.fixture(scope="module", name="once")
def _once(made, tmp_path_factory) -> Path:
    """The cube of all dates, by threads."""
    to = tmp_path_factory.mktemp("once") / "cube.zarr"
    ld.cube(made, to, NAMES, bounds=BOUNDS, dates_per_shard=2)
    return to


@pytest.fixture(scope="module", name="client")
def _client():
    from distributed import Client, LocalCluster

    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "silence_logs": 50}
    with LocalCluster(**options, dashboard_address=None) as cluster, Client(cluster) as client:
        yield client


def test_workers_make_the_same_bytes(made, once, client, tmp_path):
    ld.cube(made[:5], tmp_path / "cube.zarr", NAMES, bounds=BOUNDS, dates_per_shard=2, client=client)
    ld.cube(made, tmp_path / "cube.zarr", client=client)
    xr.testing.assert_identical(cells(tmp_path / "cube.zarr").load(), cells(once).load())
    ld.cube(made, tmp_path / "whole.zarr", NAMES, bounds=BOUNDS, dates_per_shard=2, client=client)
    assert content(tmp_path / "whole.zarr") == content(once)
    assert client.status == "running"


def test_workers_make_the_same_levels(made, client, tmp_path):
    how = {"bounds": BOUNDS, "dates_per_shard": 2, "levels": (2, 4)}
    for name, place in (("threads", None), ("workers", client)):
        ld.cube(made[:5], tmp_path / f"{name}.zarr", NAMES, client=place, **how)
        ld.cube(made, tmp_path / f"{name}.zarr", client=place)
    assert content(tmp_path / "workers.zarr") == content(tmp_path / "threads.zarr")


def test_a_worker_that_is_killed_loses_nothing(made, once, client, tmp_path):
    killed = []

    def kill(done: int, total: int) -> None:
        if not killed:  # all work has been handed in
            address, pid = next(iter(client.run(os.getpid).items()))
            os.kill(pid, signal.SIGKILL)
            killed.append((address, done, total))

    ld.cube(made, tmp_path / "cube.zarr", NAMES, bounds=BOUNDS, dates_per_shard=2, client=client, report=kill)
    ((_, done, total),) = killed
    assert done == 0 < total
    assert content(tmp_path / "cube.zarr") == content(once)


def test_by_the_command_on_a_local_cluster(made, once, tmp_path):
    bounds = ",".join(map(str, BOUNDS))
    words = ["--to", tmp_path / "cube.zarr", "--bands", ",".join(NAMES), "--bounds", bounds, "--dates-per-shard", "2"]
    running = command.spawn("cube", *made, *words, "--cluster", "local", "--workers", "2")
    out, err = running.communicate(timeout=200)
    assert running.returncode == 0, err
    assert json.loads(out)["dates"] == 12 and err == ""
    assert content(tmp_path / "cube.zarr") == content(once)


#: As on a disk that is full for all but the smallest files: `once` has larger shards, and smaller documents.
FULL = """
import resource, signal, sys
import landsat_downsample.cli.main as cli
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limit = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("what", ["shard", "root"])
def test_a_full_disk_is_one_line_and_leaves_the_cube_as_it_was(made, once, tmp_path, what):
    cube = tmp_path / "cube.zarr"
    ld.cube(made[:4], cube, NAMES, bounds=BOUNDS, dates_per_shard=2)
    before = cells(cube).load()
    sizes = {path.name: path.stat().st_size for path in sorted(once.glob("**/*"), key=lambda p: p.stat().st_size)}
    largest = max(p.stat().st_size for p in once.glob("*/**/*") if p.is_file())
    limit = 4000 if what == "shard" else sizes["zarr.json"] - 1
    if what == "root":  # nothing else is as large
        assert largest < limit, "the test's cells are too many"
    words = [sys.executable, "-c", FULL, str(limit), "cube", *map(str, made), "--to", str(cube)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert "cannot write" in line and "choose another destination" in line
    xr.testing.assert_identical(cells(cube).load(), before)
    assert not [path for path in cube.rglob(".*")]
    assert len(ld.cube(made, cube).added) == 8
    xr.testing.assert_identical(cells(cube).load(), cells(once).load())


def s3_cells(to: str) -> xr.Dataset:
    """The cube in the store, by s3fs past the proxy."""
    options = {"key": os.environ["AWS_ACCESS_KEY_ID"], "secret": os.environ["AWS_SECRET_ACCESS_KEY"]}
    options["client_kwargs"] = {"endpoint_url": s3.server().endpoint}
    return cells(to, storage_options=options).load()


#: Which PUT is refused, and how.
REFUSALS = [(fault, part) for fault in ("forbidden", "slowdown") for part in ("/c/3/", "cube.zarr/zarr.json")]


@pytest.mark.parametrize("refusal", REFUSALS, ids=str)
def test_a_store_that_refuses(made, tmp_path, proxied, monkeypatch, refusal):  # noqa: F811
    fault, part = refusal
    to = f"s3://{s3.BUCKET}/{tmp_path.name}/cube.zarr"
    ld.cube(made[:4], to, NAMES, bounds=BOUNDS, dates_per_shard=2)
    before = s3_cells(to)
    with monkeypatch.context() as broken:
        broken.setattr(Policy, "from_environ", lambda: Policy(budget=8, base=0.05, cap=0.5))
        broken.setattr(proxied, "_next_fault", lambda r: fault if r.method == "PUT" and part in r.path else None)
        with pytest.raises(WriteError) as told:
            ld.cube(made, to)
    assert "\n" not in str(told.value) and "cannot write" in str(told.value) and part in str(told.value)
    xr.testing.assert_identical(s3_cells(to), before)
    assert len(ld.cube(made, to).added) == 8
    ld.cube(made, tmp_path / "here.zarr", NAMES, bounds=BOUNDS, dates_per_shard=2)
    xr.testing.assert_identical(s3_cells(to), cells(tmp_path / "here.zarr").load())
    assert not files.exists(Location(to).parent / ".cube.zarr.lock")


#: Reads the dates that it was told of, again and again: by a cube opened before, and by one opened anew.
READER = """
import sys, warnings
import numpy as np, xarray as xr
warnings.simplefilter("ignore")
first = xr.open_zarr(sys.argv[1], mask_and_scale=False)
expected, reads = first.isel(time=slice(0, 2)).load(), 0
print("ready", flush=True)
import threading
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), ended.set()), daemon=True).start()
while not ended.is_set():
    for cube in (first, xr.open_zarr(sys.argv[1], mask_and_scale=False)):
        found = cube.isel(time=slice(0, 2)).load()
        for name in expected:
            np.testing.assert_array_equal(found[name], expected[name])
        reads += 1
    print(reads, flush=True)
"""


@pytest.mark.parametrize("shards", [True, False])
def test_a_reader_sees_its_dates_while_others_are_added(made, tmp_path, shards):
    cube = tmp_path / "cube.zarr"
    ld.cube(made[:2], cube, NAMES, bounds=BOUNDS, shards=shards)
    words = [sys.executable, "-c", READER, str(cube)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, **pipes) as reader:
        assert reader.stdout.readline() == "ready\n"
        for number in range(3, 13):
            assert len(ld.cube(made[:number], cube).added) == 1
            if not reader.stdout.readline():  # it has read once more; nothing where it has failed
                break
        _, err = reader.communicate("\n")
    assert reader.returncode == 0, err[-3000:]
    assert cells(cube).sizes["time"] == 12
