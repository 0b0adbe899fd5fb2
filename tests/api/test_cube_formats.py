"""A cube as one NetCDF file, and as a folder of COGs: the cells of the Zarr cube, whole or not there."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import command
import numpy as np
import pytest
import rasterio
import s3
import xarray as xr
from conftest_s3 import s3_env, seaweed  # noqa: F401 - fixtures
from rio_cogeo.cogeo import cog_validate

import landsat_downsample as ld
from landsat_downsample.errors import WriteError
from landsat_downsample.model.location import Location
from landsat_downsample.products.stac import validate_item
from landsat_downsample.storage import small_objects
from landsat_downsample.storage.lease import Lease

NAMES = ["red", "qa_pixel", "cloud", "red_count", "red_std"]


@pytest.fixture(scope="module", name="made")
def _made(tmp_path_factory) -> list[Path]:
    """Products of two dates of two rows, by time."""
    folder = tmp_path_factory.mktemp("formats")
    scenes = ld.make_scenes(folder / "source", dates=2, rows=2, size=(97, 83), bands=["SR_B4", "QA_PIXEL"])
    done = ld.run(ld.plan(scenes, str(folder / "out"), factor=3, stats=["mean", "std", "count"]), workers=2)
    return [Path(one.href).parent for one in sorted(done, key=lambda one: (one.scene_id[17:25], one.scene_id[10:16]))]


def stored(path, **how) -> xr.Dataset:
    return xr.open_dataset(path, engine="h5netcdf", mask_and_scale=False, **how)


@pytest.mark.parametrize("group", [None, "pass"])
def test_netcdf_has_the_cells_of_the_products(made, tmp_path, group):
    outcome = ld.cube(made, tmp_path / "cube.nc", NAMES, group=group)
    expected = ld.open_products(made, NAMES, group=group).load()
    assert outcome.dates == expected.sizes["time"] == (2 if group else 4) and len(outcome.added) == 4
    with stored(tmp_path / "cube.nc", decode_coords="all") as cube:
        assert list(cube) == NAMES
        for name in NAMES:
            assert cube[name].dtype == expected[name].dtype
            np.testing.assert_array_equal(cube[name], expected[name])
        for name in ("product", "wrs_row", "cloud_cover", "sun_azimuth", "x", "y"):
            assert cube[name].values.tolist() == expected[name].values.tolist()
        assert abs(cube.time.values - expected.time.values).max() < np.timedelta64(1000, "ns")
        assert cube.qa_pixel.attrs["flag_masks"].dtype == "uint16" and cube.qa_pixel.attrs["nodata"] == 1
        assert cube.rio.crs.to_epsg() == 32633 and cube.rio.transform() == expected.rio.transform()
        np.testing.assert_array_equal(cube.x_bnds.mean("bnds"), cube.x)
    with xr.open_dataset(tmp_path / "cube.nc", engine="h5netcdf") as cube:
        dn = expected.red.values
        np.testing.assert_allclose(cube.red, np.where(dn == 0, np.nan, dn * 2.75e-5 - 0.2), rtol=1e-12)
        assert cube.qa_pixel.dtype == "uint16" and cube.cloud.dtype == "uint8"
    assert os.listdir(tmp_path) == ["cube.nc"]


def test_netcdf_is_written_whole_in_place_of_the_one_before(made, tmp_path):
    place = tmp_path / "cube.nc"
    ld.cube(made[:1], place, ["red"])
    before = place.read_bytes()
    (tmp_path / ".cube.nc.part").write_bytes(b"of a run that was killed")
    broken = Path(shutil.copytree(made[1], tmp_path / "out" / made[1].name))
    next(broken.glob("*_SR_B4.TIF")).write_bytes(b"II*\0 no more")
    with pytest.raises(ld.ReadError, match="SR_B4"):
        ld.cube([made[0], broken], place, ["red"])
    assert place.read_bytes() == before and not (tmp_path / ".cube.nc.part").exists()
    assert ld.cube(made, place, ["red"]).dates == 4
    with stored(place) as cube:
        assert cube.sizes["time"] == 4
    with Lease(Location(str(place))), pytest.raises(WriteError, match="another process writes"):
        ld.cube(made[:1], place, ["red"])


@pytest.mark.parametrize("group", [None, "pass"])
def test_each_date_and_variable_is_a_cog(made, tmp_path, group):
    outcome = ld.cube(made, tmp_path / "cogs", NAMES, format="cog", group=group)
    expected = ld.open_products(made, NAMES, group=group).load()
    assert outcome.dates == expected.sizes["time"] and len(outcome.added) == 4
    days = sorted({path.name[17:25] for path in made})
    rows = ["192"] if group else ["192028", "192029"]
    names = [f"{day}_LC08_L2SP_{row}" for day in days for row in rows]
    wanted = {f"{name}{end}" for name in names for end in (".json", *(f"_{one}.tif" for one in NAMES))}
    assert {*os.listdir(tmp_path / "cogs")} == wanted | {"collection.json"}
    for at, name in enumerate(names):
        item = json.loads((tmp_path / "cogs" / f"{name}.json").read_text())
        problems = [one for one in validate_item(item) if not one.startswith("product:")]
        assert problems == [] and list(item["assets"]) == NAMES
        assert item["properties"]["landsat_ds:sources"] == expected["product"].values[at].split(" ")
        for variable in NAMES:
            path = tmp_path / "cogs" / f"{name}_{variable}.tif"
            assert cog_validate(path, strict=True)[0]
            (band,) = item["assets"][variable]["raster:bands"]
            with rasterio.open(path) as file:
                cells = file.read(1)
                np.testing.assert_array_equal(cells, expected[variable][at])
                assert file.crs.to_epsg() == 32633 and file.transform == expected.rio.transform()
                assert file.descriptions[0] and file.scales[0] == band.get("scale", 1)
                if variable in ("red", "qa_pixel"):
                    assert file.nodata == band["nodata"] == {"red": 0, "qa_pixel": 1}[variable]
                    valid = cells[cells != file.nodata].astype("f8")
                    assert float(file.tags(1)["STATISTICS_MAXIMUM"]) == band["statistics"]["maximum"] == valid.max()
                    assert ("STATISTICS_MEAN" in file.tags(1)) == (variable == "red")
                if variable == "red":
                    np.testing.assert_allclose(band["statistics"]["mean"], valid.mean())


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_cogs_of_dates_that_are_there_are_left_as_they_are(made, tmp_path):
    folder, products = tmp_path / "cogs", Path(shutil.copytree(made[0].parent, tmp_path / "out"))
    bounds = (256000, 5205000, 261000, 5215000)
    ld.cube([products / path.name for path in made[:2]], folder, ["red", "qa_pixel"], format="cog", bounds=bounds)
    stamps = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    outcome = ld.cube(products, folder, format="cog")
    assert len(outcome.added) == 2 and outcome.dates == 4 and outcome.notes == []
    kept = {name for name, stamp in stamps.items() if (folder / name).stat().st_mtime_ns == stamp}
    assert kept == {*stamps} - {"collection.json"}
    before = content(folder)
    assert ld.cube(products, folder, format="cog").added == () and content(folder) == before
    ld.cube(products, tmp_path / "once", ["red", "qa_pixel"], format="cog", bounds=bounds)
    once = content(tmp_path / "once")
    assert {name: data for name, data in once.items() if name != "collection.json"} == {
        name: data for name, data in before.items() if name != "collection.json"
    }
    item = next((products / made[3].name).glob("*.stac.json"))
    record = json.loads(item.read_text())
    record["properties"]["landsat_ds:fingerprint"] = "0" * 64
    item.write_text(json.dumps(record))
    shutil.rmtree(products / made[0].name)
    outcome = ld.cube(products, folder, format="cog")
    assert outcome.added == (made[3].name.removesuffix("_downsampled"),) and outcome.dates == 4
    assert outcome.withdrawn == (made[0].name.removesuffix("_downsampled"),)


def test_the_collection_of_cogs_opens_in_pystac(made, tmp_path):
    import pystac

    ld.cube(made, tmp_path / "cogs", ["red"], format="cog")
    found = pystac.Collection.from_file(tmp_path / "cogs" / "collection.json")
    items = list(found.get_items())
    assert len(items) == 4 and all(Path(item.assets["red"].get_absolute_href()).is_file() for item in items)
    assert found.extra_fields["cube:dimensions"]["x"]["step"] == 90


def test_refusals(made, tmp_path, monkeypatch):
    def refused(match, *to, **how):
        with pytest.raises(ld.UsageError, match=match):
            ld.cube(made, tmp_path.joinpath(*to), ["red"], **how)

    refused("format 'netcfd' is unknown .did you mean netcdf", "cube", format="netcfd")
    for name in ("cube.tif", "CUBE.TIFF", "cube.zarr.zip"):
        refused("is called like a file that is no cube: give CUBE.zarr, CUBE.nc or a folder of COGs", name)
    refused("dates_per_shard is of the format zarr, icechunk: leave it out with netcdf", "cube.nc", dates_per_shard=3)
    refused("shards is of the format zarr, icechunk: leave it out with cog", "cube", format="cog", shards=False)
    refused("levels is of the format zarr: leave it out with netcdf", "cube.nc", levels=(2, 4))
    (tmp_path / "folder.nc").mkdir()
    refused("is a folder: a NetCDF cube is a file", "folder.nc")
    (tmp_path / "folder.nc" / "other.json").write_text("{}")
    refused("is no date of a cube of this library", "folder.nc", format="cog")
    ld.cube(made[:1], tmp_path / "cogs", ["red"], format="cog", group="pass")
    refused("cogs' holds .*, which is no part of a Zarr cube: choose another place", "cogs")
    (tmp_path / "stack").mkdir()
    shutil.copytree(made[0], tmp_path / "stack" / made[0].name)
    refused("stack' holds .*_downsampled, which is no part of a Zarr cube", "stack")
    (tmp_path / "text.nc").write_text("of a colleague")
    refused("text.nc' is there, and no cube of this library: choose another place", "text.nc")
    assert (tmp_path / "text.nc").read_text() == "of a colleague"
    other = ld.run(ld.plan(sorted((made[0].parents[1] / "source").iterdir())[0], str(tmp_path / "other"), factor=6))
    with pytest.raises(ld.UsageError, match="does not lie on the grid of the cube"):
        ld.cube(Path(other[0].href).parent, tmp_path / "cogs", format="cog")
    monkeypatch.setitem(sys.modules, "h5netcdf", None)
    refused(r"NetCDF needs h5netcdf: pip install 'landsat-downsample\[netcdf\]'", "cube.nc")
    assert not (tmp_path / "cube.nc").exists()


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
ld.cube(sys.argv[3:], sys.argv[2], ["red", "qa_pixel"], format="cog", workers=1)
"""


@pytest.mark.slow
def test_a_folder_of_cogs_is_made_good_after_a_kill_at_any_file(made, tmp_path):
    ld.cube(made, tmp_path / "once", ["red", "qa_pixel"], format="cog")
    once = content(tmp_path / "once")
    for moment in range(len(once)):
        folder = tmp_path / str(moment) / "once"
        words = [sys.executable, "-c", KILLED, str(moment), str(folder), *map(str, made)]
        assert subprocess.run(words, capture_output=True, check=False).returncode == -signal.SIGKILL
        items = [path for path in folder.glob("2*.json")]
        for item in items:  # a date that has an item has all of its files
            for asset in json.loads(item.read_text())["assets"].values():
                assert content(folder)[asset["href"].removeprefix("./")] == once[asset["href"].removeprefix("./")]
        assert len(ld.cube(made, folder, ["red", "qa_pixel"], format="cog").added) == 4 - len(items)
        assert content(folder) == once


#: As on a disk that is full for all but small files.
FULL = """
import resource, signal, sys
import landsat_downsample.cli.main as cli
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["netcdf", "cog"])
def test_a_full_disk_is_one_line(made, tmp_path, kind):
    words = [sys.executable, "-c", FULL, "cube", *map(str, made), "--to", str(tmp_path / "cube"), "--format", kind]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert "cannot write" in line and "choose another destination" in line
    left = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert not [name for name in left if name.startswith(".") or name.endswith(".json") or kind == "netcdf"]


@pytest.mark.slow
def test_in_a_store(made, tmp_path, s3_env):  # noqa: F811
    import fsspec

    to = f"s3://{s3.BUCKET}/{tmp_path.name}"
    for _ in range(2):
        assert ld.cube(made, f"{to}/cube.nc", NAMES).dates == 4
    small_objects.put(f"{to}/text.nc", b"of a colleague")
    with pytest.raises(ld.UsageError, match=r"text.nc' is there, and no cube of this library: choose another place"):
        ld.cube(made, f"{to}/text.nc", NAMES)
    small_objects.remove(Location(f"{to}/text.nc"))
    assert len(ld.cube(made[:2], f"{to}/cogs", NAMES, format="cog").added) == 2
    assert len(ld.cube(made, f"{to}/cogs", format="cog").added) == 2
    expected = ld.open_products(made, NAMES).load()
    options = {"key": os.environ["AWS_ACCESS_KEY_ID"], "secret": os.environ["AWS_SECRET_ACCESS_KEY"]}
    fs = fsspec.filesystem("s3", client_kwargs={"endpoint_url": os.environ["AWS_ENDPOINT_URL"]}, **options)
    fs.get(f"{s3.BUCKET}/{tmp_path.name}/", str(tmp_path / "here"), recursive=True)
    assert sorted(os.listdir(tmp_path / "here")) == ["cogs", "cube.nc"]
    with stored(tmp_path / "here" / "cube.nc") as cube:
        for name in NAMES:
            np.testing.assert_array_equal(cube[name], expected[name])
    for at, path in enumerate(sorted((tmp_path / "here" / "cogs").glob("*_red.tif"))):
        with rasterio.open(path) as file:
            part = expected.red[at].rio.clip_box(*file.bounds)
            np.testing.assert_array_equal(part, file.read(1)[-part.shape[0] :, : part.shape[1]])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["netcdf", "cog"])
def test_by_dask_workers(made, tmp_path, kind):
    words = ["--format", kind, "--cluster", "local", "--workers", "2", "--bands", ",".join(NAMES)]
    running = command.spawn("cube", *made, "--to", tmp_path / "cube", *words)
    out, err = running.communicate(timeout=200)
    assert running.returncode == 0, err
    assert json.loads(out)["dates"] == 4 and err == ""
    ld.cube(made, tmp_path / "once", NAMES, format=kind)
    if kind == "cog":
        one, other = (content(tmp_path / name) for name in ("cube", "once"))
        assert {**one, "collection.json": b""} == {**other, "collection.json": b""}
    else:
        with stored(tmp_path / "cube") as one, stored(tmp_path / "once") as other:
            xr.testing.assert_identical(one.load(), other.load())
