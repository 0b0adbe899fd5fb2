"""A cube holds the cells of its products, grows by whole dates, and survives writers that are killed or meet."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import command
import numpy as np
import pytest
import s3
import xarray as xr
import zarr
from conftest_s3 import s3_env, seaweed  # noqa: F401 - fixtures

import landsat_downsample as ld
from landsat_downsample.cubes.zarr_format import ABSENT, HEAD, ChunkFormat, _index_of
from landsat_downsample.errors import WriteError
from landsat_downsample.model.location import Location
from landsat_downsample.storage.lease import Lease

NAMES = ["red", "qa_pixel", "valid", "red_count", "red_std"]
BOUNDS = (257000, 5203000, 262000, 5215000)


@pytest.fixture(scope="module", name="made")
def _made(tmp_path_factory) -> list[Path]:
    """Products of seven dates, by time."""
    folder = tmp_path_factory.mktemp("series")
    scenes = ld.make_scenes(folder / "source", dates=7, size=(171, 163), bands=["SR_B4", "QA_PIXEL"])
    done = ld.run(ld.plan(scenes, str(folder / "out"), factor=2, stats=["mean", "std", "count"]), workers=2)
    return [Path(outcome.href).parent for outcome in sorted(done, key=lambda one: one.scene_id[17:25])]


def opened(store, **how) -> xr.Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)
        return xr.open_zarr(store, mask_and_scale=False, **how)


def check(store, products, **how) -> xr.Dataset:
    """A cube has the cells of its products, by another path: `open_products`."""
    cube, expected = opened(store, **how).load(), ld.open_products(products, NAMES).load()
    both = {axis: np.intersect1d(cube[axis], expected[axis]) for axis in ("x", "y")}
    assert both["x"].size > 40 and both["y"].size > 40
    part, expected = cube.sel(both), expected.sel(both)
    for name in NAMES:
        np.testing.assert_array_equal(part[name].values, expected[name].values)
    assert (part.time.values == expected.time.values).all()
    assert part["product"].values.tolist() == expected["product"].values.tolist()
    return cube


@pytest.mark.parametrize("shards", [True, False])
def test_a_cube_has_the_cells_of_its_products(made, tmp_path, shards):
    outcome = ld.cube(made, tmp_path / "cube.zarr", NAMES, shards=shards, dates_per_shard=3)
    assert outcome.dates == 7 and outcome.added == tuple(path.name.removesuffix("_downsampled") for path in made)
    cube = check(tmp_path / "cube.zarr", made)
    check(tmp_path / "cube.zarr", made, consolidated=False)
    assert [cube[name].dtype for name in NAMES] == ["u2", "u2", "u1", "f8", "f4"]
    assert os.listdir(tmp_path) == ["cube.zarr"]
    root = zarr.open_group(tmp_path / "cube.zarr", mode="r")
    assert root["red"].shards == ((3, 128, 128) if shards else None)
    assert root["red"].fill_value == 0 and root["qa_pixel"].fill_value == 1
    # Every file is there: one that is not would be read as fill.
    assert len(list((tmp_path / "cube.zarr" / "red" / "c").glob("*/*/*"))) == 3


def test_dates_are_added_one_by_one(made, tmp_path):
    for number in range(1, 8):
        outcome = ld.cube(made[:number], tmp_path / "cube.zarr", NAMES, dates_per_shard=3)
        assert (outcome.dates, len(outcome.added)) == (number, 1) and len(outcome.notes) == bool(outcome.cut)
    ld.cube(made, tmp_path / "once.zarr", NAMES, bounds=tuple(opened(tmp_path / "cube.zarr").attrs["spatial:bbox"]))
    one, other = opened(tmp_path / "cube.zarr").load(), opened(tmp_path / "once.zarr").load()
    xr.testing.assert_equal(one, other)
    assert ld.cube(made, tmp_path / "cube.zarr").added == ()


@pytest.mark.parametrize("sharded", [True, False])
@pytest.mark.parametrize(("dtype", "fill"), [("uint16", 1), ("float32", np.nan), ("uint8", 255)])
def test_zarr_reads_blocks_at_the_edges_of_an_array(sharded, dtype, fill):
    shape = 5, 200, 131
    form = ChunkFormat.of(dtype, fill, 3, shape[1:], sharded=sharded, largest=128)
    values = np.random.default_rng(4).integers(0, 200, shape).astype(dtype)
    dates, rows, columns = form.block
    store = {}
    array = zarr.create_array(zarr.storage.MemoryStore(store), shape=shape, **form.keywords())
    for t, i, j in np.ndindex(2, 2, 2):
        part = values[t * dates :, i * rows :, j * columns :][:dates, :rows, :columns]
        files = form.encoded(part)
        if sharded:
            files = {(0, 0): form.replacing(None, files, bytes(32))}
        np.testing.assert_array_equal(form.decoded(files, part.shape), part)
        per = [1, 1] if sharded else [whole // chunk for whole, chunk in zip(form.block, form.chunk, strict=True)][1:]
        for (row, column), data in files.items():
            store[f"c/{t}/{i * per[0] + row}/{j * per[1] + column}"] = zarr.core.buffer.cpu.Buffer.from_bytes(data)
    np.testing.assert_array_equal(array[...], values)


def test_a_shard_that_is_cut_short_is_told_of(made, tmp_path):
    ld.cube(made[:1], tmp_path / "cube.zarr", ["red"])
    (shard,) = (tmp_path / "cube.zarr" / "red" / "c").glob("*/*/*")
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(ld.ReadError, match="damaged"):
        ld.cube(made[:2], tmp_path / "cube.zarr", ["red"])


def swapped(data: bytes, start: int, stop: int) -> bytes:
    return data[:start] + bytes(byte ^ 255 for byte in data[start:stop]) + data[stop:]


@pytest.mark.parametrize("sharded", [True, False])
@pytest.mark.parametrize("damage", [lambda data: swapped(data, HEAD, HEAD + 99), lambda data: swapped(data, 0, 48)])
def test_a_chunk_that_is_damaged_is_told_of(damage, sharded):
    form = ChunkFormat.of("uint16", 0, 3, (70, 60), sharded=sharded)
    files = form.encoded(np.arange(3 * 70 * 60, dtype="uint16").reshape(3, 70, 60))
    if sharded:
        files = {(0, 0): form.replacing(None, files, bytes(HEAD))}
    with pytest.raises(ld.ReadError, match="the cube is damaged: a chunk"):
        form.decoded(files | {(0, 0): damage(files[0, 0])}, (3, 70, 60))
    if not sharded:
        for other in (
            b"",
            files[0, 0][:-1],
            ChunkFormat.of("uint16", 0, 1, (2, 2), sharded=True).encoded(np.ones((1, 2, 2)))[0, 0],
        ):
            with pytest.raises(ld.ReadError, match="the cube is damaged: a chunk"):
                form.decoded({(0, 0): other}, (3, 70, 60))


def test_who_has_read_the_index_of_a_shard_finds_its_chunks_in_the_next_one():
    form = ChunkFormat.of("uint16", 0, 20, (200, 131), sharded=True)
    values = np.random.default_rng(3).integers(1, 5000, (20, 200, 131)).astype("uint16")
    count, before = 4 * 3, None
    for number in range(1, 21):
        some = np.where(np.arange(20)[:, None, None] < number, values, 0).astype("uint16")
        after = form.replacing(before, form.encoded(some), bytes(32))
        np.testing.assert_array_equal(form.decoded({(0, 0): after}, values.shape), some)
        if before is not None:
            index = _index_of(before, count)
            for offset, length in index[index[:, 0] != ABSENT].tolist():
                assert after[offset : offset + length] == before[offset : offset + length]
        before = after
    assert len(before) < 3 * sum(map(len, form.encoded(values).values()))


def test_readers_find_crs_masks_and_scales(made, tmp_path):
    import rioxarray  # noqa: F401

    ld.cube(made, tmp_path / "cube.zarr", NAMES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)
        cube = xr.open_zarr(tmp_path / "cube.zarr", decode_coords="all")
    product = ld.open_scene(made[0])
    assert cube.red.rio.crs.to_epsg() == 32633
    assert cube.red.rio.transform().a == product.grid.transform.a
    stored = opened(tmp_path / "cube.zarr").red.values
    np.testing.assert_allclose(cube.red.values, np.where(stored == 0, np.nan, stored * 2.75e-5 - 0.2))
    assert cube.qa_pixel.dtype == "uint16" and cube.valid.dtype == "uint8"
    assert "cloud" in cube.qa_pixel.attrs["flag_meanings"]
    assert cube.landsat.mask("cloud").red.isnull().sum() > cube.red.isnull().sum()
    place = zarr.open_group(tmp_path / "cube.zarr", mode="r")["red"].attrs
    assert {one["name"] for one in place["zarr_conventions"]} == {"proj:", "spatial:"}
    assert place["proj:code"] == "EPSG:32633" and place["spatial:shape"] == list(stored.shape[1:])


def test_bounds_are_those_of_the_cube(made, tmp_path):
    outcome = ld.cube(made[:2], tmp_path / "cube.zarr", NAMES, bounds=BOUNDS)
    assert outcome.dates == 2
    outcome = ld.cube(made, tmp_path / "cube.zarr", bounds=BOUNDS)
    assert len(outcome.added) == 5 and outcome.notes == []
    cube = check(tmp_path / "cube.zarr", made)
    left, bottom, right, top = cube.attrs["spatial:bbox"]
    assert left <= BOUNDS[0] < left + 60 and right - 60 < BOUNDS[2] <= right
    assert bottom <= BOUNDS[1] < bottom + 60 and top - 60 < BOUNDS[3] <= top
    with pytest.raises(ld.UsageError, match="the cube has other bounds"):
        ld.cube(made, tmp_path / "cube.zarr", bounds=(257000, 5203000, 261000, 5215000))


def test_what_is_not_as_it_was_is_told(made, tmp_path):
    products = Path(shutil.copytree(made[0].parent, tmp_path / "out"))
    first, second, third = (products / path.name for path in made[:3])
    ld.cube([first, third], tmp_path / "cube.zarr", NAMES, bounds=BOUNDS)
    item = next(third.glob("*.stac.json"))
    record = json.loads(item.read_text())
    record["properties"]["landsat_ds:fingerprint"] = "0" * 64
    item.write_text(json.dumps(record))
    outcome = ld.cube([second, third, products / made[3].name], tmp_path / "cube.zarr")
    ids = [path.name.removesuffix("_downsampled") for path in made]
    assert outcome.added == (ids[3],) and outcome.dates == 3
    assert (outcome.withdrawn, outcome.earlier, outcome.changed) == ((ids[0],), (ids[1],), (ids[2],))
    assert len(outcome.notes) == 3 and all("\n" not in note for note in outcome.notes)


def test_a_satellite_without_a_band_leaves_it_empty(made, tmp_path):
    scenes = ld.make_scenes(tmp_path / "source", dates=9, size=(171, 163), bands=["QA_PIXEL"])[7:]
    done = ld.run(ld.plan(scenes, str(tmp_path / "out"), factor=2, stats=["mean", "std", "count"]), workers=2)
    ld.cube(made[:2], tmp_path / "cube.zarr", NAMES, bounds=BOUNDS)
    assert len(ld.cube([*made[:2], *(Path(o.href).parent for o in done)], tmp_path / "cube.zarr").added) == 2
    cube = opened(tmp_path / "cube.zarr")
    assert (cube.red[2:] == 0).all() and (cube.red[:2] != 0).any() and (cube.qa_pixel[2:] != 1).any()


def test_refusals(made, tmp_path):
    ld.cube(made[:2], tmp_path / "cube.zarr", ["red", "qa_pixel"])
    scene = next((made[0].parent.parent / "source").glob("*_2024*"))
    ld.run(ld.plan(scene, str(tmp_path / "coarser"), factor=4))
    with pytest.raises(ld.UsageError, match="does not lie on the grid of the cube: their cells are 60 and 120 large"):
        ld.cube(tmp_path / "coarser", tmp_path / "cube.zarr")
    ld.run(ld.plan(scene, str(tmp_path / "masked"), factor=2, mask="cloud"))
    with pytest.raises(ld.UsageError, match=r"red of .* is no part of the cube: its options"):
        ld.cube(tmp_path / "masked", tmp_path / "cube.zarr")
    for more in ({"names": ["red", "valid"]}, {"index": "lst"}):
        with pytest.raises(
            ld.UsageError, match=r"the cube has no (valid|lst): it has red, qa_pixel; ask for these, or"
        ):
            ld.cube(made, tmp_path / "cube.zarr", **more)
    with pytest.raises(ld.UsageError, match="the cube has dates by scene, not by pass"):
        ld.cube(made, tmp_path / "cube.zarr", group="pass")
    (tmp_path / "other.zarr").mkdir()
    zarr.open_group(tmp_path / "other.zarr", mode="w")
    with pytest.raises(ld.UsageError, match="no cube of this library"):
        ld.cube(made, tmp_path / "other.zarr")
    with pytest.raises(ld.UsageError, match="must lie between 1 and 1000"):
        ld.cube(made, tmp_path / "new.zarr", dates_per_shard=0)
    assert not (tmp_path / "new.zarr").exists()


def test_a_product_that_cannot_be_read_changes_nothing(made, tmp_path):
    products = Path(shutil.copytree(made[0].parent, tmp_path / "out"))
    paths = [products / path.name for path in made]
    ld.cube(paths[:2], tmp_path / "cube.zarr", NAMES, dates_per_shard=3)
    next(paths[4].glob("*_SR_B4.TIF")).write_bytes(b"II*\0 no more")
    with pytest.raises(ld.ReadError, match="SR_B4"):
        ld.cube(paths, tmp_path / "cube.zarr")
    check(tmp_path / "cube.zarr", paths[:2])
    shutil.copy(next(made[4].glob("*_SR_B4.TIF")), paths[4])
    assert len(ld.cube(paths, tmp_path / "cube.zarr").added) == 5
    check(tmp_path / "cube.zarr", made)


#: A writer that ends itself with SIGKILL when it stores its Nth file: at that moment, on any machine.
KILLED = """
import os, signal, sys
import landsat_downsample as ld
from landsat_downsample.storage import small_objects
left, put = int(sys.argv[1]), small_objects.put
def counted(href, data, **how):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return put(href, data, **how)
small_objects.put = counted
ld.cube(sys.argv[3:], sys.argv[2], workers=1)
"""


@pytest.mark.slow
def test_killed_at_any_file_it_is_as_before_or_after_and_the_next_run_makes_it_good(made, tmp_path):
    ld.cube(made[:4], tmp_path / "before.zarr", NAMES, dates_per_shard=3, bounds=BOUNDS)
    after, killed = None, 0
    for moment in range(0, 40, 2):
        cube = Path(shutil.copytree(tmp_path / "before.zarr", tmp_path / f"{moment}.zarr"))
        words = [sys.executable, "-c", KILLED, str(moment), str(cube), *map(str, made)]
        ended = subprocess.run(words, capture_output=True, check=False)
        killed += ended.returncode == -signal.SIGKILL
        dates = check(cube, made[: opened(cube).sizes["time"]]).sizes["time"]
        assert dates in ((4,) if ended.returncode else (7,))
        ld.cube(made, cube)
        last = check(cube, made)
        assert after is None or last.identical(after)
        after = last
    assert killed == 20


HOLDING = """
import sys, landsat_downsample as ld
from landsat_downsample.cubes import growing
carry_out = growing._carry_out
def held(*what):
    print("holding", flush=True)
    sys.stdin.readline()
    return carry_out(*what)
growing._carry_out = held
print(len(ld.cube(sys.argv[2:], sys.argv[1]).added))
"""


@pytest.mark.slow
def test_a_second_writer_is_refused(made, tmp_path):
    cube = tmp_path / "cube.zarr"
    words = [sys.executable, "-c", HOLDING, str(cube), *map(str, made[:4])]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline() == "holding\n"
        with pytest.raises(WriteError, match=r"another process writes .*cube\.zarr.*: try again when it has ended"):
            ld.cube(made, cube)
        first.stdin.write("\n")
        first.stdin.flush()
        assert first.stdout.readline() == "4\n"
    assert len(ld.cube(made, cube).added) == 3
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as second:
        second.kill()
    assert ld.cube(made, cube).added == ()


@pytest.mark.slow
def test_in_an_object_store(made, tmp_path, s3_env):  # noqa: F811
    to = f"s3://{s3.BUCKET}/{tmp_path.name}/cube.zarr"
    ld.cube(made[:3], to, NAMES, bounds=BOUNDS)
    assert len(ld.cube(made, to).added) == 4
    options = {"key": os.environ["AWS_ACCESS_KEY_ID"], "secret": os.environ["AWS_SECRET_ACCESS_KEY"]}
    options["client_kwargs"] = {"endpoint_url": os.environ["AWS_ENDPOINT_URL"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)
        there = xr.open_zarr(to, mask_and_scale=False, storage_options=options).load()
    ld.cube(made, tmp_path / "here.zarr", NAMES, bounds=BOUNDS)
    xr.testing.assert_equal(there, opened(tmp_path / "here.zarr").load())


@pytest.mark.slow
def test_a_lease_in_an_object_store(tmp_path, s3_env):  # noqa: F811
    place = Location(f"s3://{s3.BUCKET}/{tmp_path.name}/cube.zarr")
    first = Lease(place, renewed=0.2, lease=60)
    with first:
        with pytest.raises(WriteError, match="another run writes"), Lease(place, renewed=0.2, lease=60):
            pass
        first.check()
    with Lease(place, renewed=0.2, lease=60):  # it was given back
        pass
    dead = Lease(place, renewed=3600)  # one whose process was killed: it gives no sign
    dead._put(create=True)
    with Lease(place, renewed=0.2, lease=0.5) as next_one:
        next_one.check()
    paused = Lease(place, renewed=0.2, lease=60)
    with paused:
        Lease(place)._put()  # taken over meanwhile
        command.wait_until(lambda: paused._lost)
        with pytest.raises(WriteError, match=r"another process writes .* by now"):
            paused.check()


def test_a_cube_of_before_grows(made, tmp_path):
    """Without edges of cells, with other attributes, and its own record as it is in place of text."""
    cube = tmp_path / "cube.zarr"
    ld.cube(made[:3], cube, NAMES, bounds=BOUNDS)
    root = json.loads((cube / "zarr.json").read_text())
    root["attributes"]["landsat_ds:cube"] = json.loads(root["attributes"]["landsat_ds:cube"])
    arrays = root["consolidated_metadata"]["metadata"]
    for axis in "xy":
        del arrays[f"{axis}_bnds"], arrays[axis]["attributes"]["bounds"]
        shutil.rmtree(cube / f"{axis}_bnds")
    arrays["red_count"]["attributes"]["units"] = "pixel"
    arrays["time"]["attributes"] = {"units": "microseconds since 1970-01-01", "calendar": "proleptic_gregorian"}
    (cube / "zarr.json").write_text(json.dumps(root))
    assert len(ld.cube(made, cube).added) == 4
    grown = check(cube, made)
    assert grown.red_count.attrs["units"] == "pixel" and grown.x_bnds.shape == (grown.sizes["x"], 2)
    assert ld.composite(grown, "year").red_count.dtype == "float64"
