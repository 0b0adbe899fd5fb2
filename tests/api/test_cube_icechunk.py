"""A cube in an Icechunk repository: a snapshot for each run, and no date lost whoever commits beside it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import s3
import xarray as xr
import zarr
from conftest_s3 import s3_env, seaweed  # noqa: F401 - fixtures

import landsat_downsample as ld
from landsat_downsample.errors import WriteError
from landsat_downsample.model.location import Location
from landsat_downsample.storage.lease import Lease

#: Icechunk comes with the extra ``test-slow``; zarr warns of text in arrays, which its specification has not settled.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")]

NAMES = ["red", "qa_pixel", "cloud", "red_std"]
BOUNDS = (257000, 5203000, 262000, 5215000)


@pytest.fixture(scope="module", name="made")
def _made(tmp_path_factory) -> list[Path]:
    """Products of five dates, by time."""
    folder = tmp_path_factory.mktemp("series")
    scenes = ld.make_scenes(folder / "source", dates=5, size=(171, 163), bands=["SR_B4", "QA_PIXEL"])
    done = ld.run(ld.plan(scenes, str(folder / "out"), factor=2, stats=["mean", "std"]), workers=2)
    return [Path(outcome.href).parent for outcome in sorted(done, key=lambda one: one.scene_id[17:25])]


def repository(place: Path | str) -> Any:
    import icechunk

    icechunk.set_logs_filter("error")
    if isinstance(place, Path):
        return icechunk.Repository.open(icechunk.local_filesystem_storage(str(place)))
    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    how = {"endpoint_url": os.environ["AWS_ENDPOINT_URL"], "allow_http": True, "force_path_style": True}
    return icechunk.Repository.open(icechunk.s3_storage(bucket=bucket, prefix=prefix, from_env=True, **how))


def check(place: Path | str, products: list[Path]) -> xr.Dataset:
    """The branch has the cells of products, by another path: `open_products`."""
    store = repository(place).readonly_session("main").store
    cube = xr.open_zarr(store, consolidated=False, mask_and_scale=False).load()
    expected = ld.open_products(products, NAMES)
    both = {axis: np.intersect1d(cube[axis], expected[axis]) for axis in ("x", "y")}
    assert both["x"].size > 40 and both["y"].size > 40
    part, expected = cube.sel(both), expected.sel(both).load()
    for name in NAMES:
        assert part[name].dtype == expected[name].dtype
        np.testing.assert_array_equal(part[name], expected[name])
    assert part["product"].values.tolist() == expected["product"].values.tolist()
    return cube


def messages(place: Path | str) -> list[str]:
    return [one.message for one in repository(place).ancestry(branch="main")][:-1]


@pytest.mark.parametrize("shards", [True, False])
@pytest.mark.parametrize("store", ["disk", "s3"])
def test_each_run_is_a_snapshot(made, tmp_path, s3_env, store, shards):  # noqa: F811
    place = tmp_path / "cube" if store == "disk" else f"s3://{s3.BUCKET}/{tmp_path.name}/cube"
    how = {"format": "icechunk", "dates_per_shard": 2, "shards": shards, "bounds": BOUNDS}
    for number in (3, 5):
        outcome = ld.cube(made[:number], place, NAMES, **how)
        assert outcome.dates == number and outcome.notes == []
        last = check(place, made[:number])
    assert ld.cube(made, place, format="icechunk").added == ()
    assert [one.partition(":")[0] for one in messages(place)] == ["2 dates", "3 dates"]
    assert made[4].name.removesuffix("_downsampled") in messages(place)[0]
    ld.cube(made, tmp_path / "cube.zarr", NAMES, bounds=BOUNDS)
    plain = xr.open_zarr(tmp_path / "cube.zarr", mask_and_scale=False).load()
    xr.testing.assert_equal(last, plain)
    assert all(last[name].attrs == plain[name].attrs for name in plain.variables)
    red = zarr.open_group(repository(place).readonly_session("main").store, mode="r")["red"]
    assert (red.shards is not None) == shards and red.fill_value == 0


def test_a_second_writer_is_refused_and_another_commit_loses_nothing(made, tmp_path):
    place = tmp_path / "cube"
    ld.cube(made[:2], place, NAMES, format="icechunk", bounds=BOUNDS)
    with Lease(Location(str(place))), pytest.raises(WriteError, match="another process writes"):
        ld.cube(made, place, format="icechunk")

    def another_commit(done: int, total: int) -> None:
        if done == total:
            session = repository(place).writable_session("main")
            zarr.open_group(session.store).attrs["note"] = "of somebody else"
            session.commit("of somebody else")

    with pytest.raises(WriteError, match=r"another process committed to .* meanwhile: nothing is lost, run it again"):
        ld.cube(made, place, format="icechunk", report=another_commit)
    assert check(place, made[:2]).attrs["note"] == "of somebody else"
    assert len(ld.cube(made, place, format="icechunk").added) == 3
    check(place, made)


KILLED = """
import os, signal, sys
import landsat_downsample as ld
def report(done, total):
    if done == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
ld.cube(sys.argv[3:], sys.argv[2], format="icechunk", report=report)
"""


def test_of_a_killed_run_nothing_is_seen(made, tmp_path):
    place = tmp_path / "cube"
    ld.cube(made[:2], place, NAMES, format="icechunk", bounds=BOUNDS)
    for moment in range(len(NAMES) + 1):
        words = [sys.executable, "-c", KILLED, str(moment), str(place), *map(str, made)]
        assert subprocess.run(words, capture_output=True, check=False).returncode == -signal.SIGKILL
        check(place, made[:2])
    assert ld.cube(made, place, format="icechunk").dates == 5
    check(place, made)


def test_refusals(made, tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("")
    with pytest.raises(ld.UsageError, match=r"no repository that Icechunk [\d.]+ reads: choose another place"):
        ld.cube(made, tmp_path / "other", format="icechunk")
    with pytest.raises(ld.UsageError, match="Icechunk cannot write 'memory:"):
        ld.cube(made, "memory://cube", format="icechunk")
    monkeypatch.setitem(sys.modules, "icechunk", None)
    with pytest.raises(ld.UsageError, match=r"not installed: pip install 'landsat-downsample\[icechunk\]'"):
        ld.cube(made, tmp_path / "cube", format="icechunk")
