"""Other readers open a cube by what their users type: each row of ``docs/cube.md``, by the real package."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
import venv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
import zarr

import landsat_downsample as ld

#: The readers come with the extra ``test-slow``; what they warn of is theirs.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

PAGE = Path(ld.__file__).parents[1] / "docs" / "cube.md"
TABLE = PAGE.read_text().partition("| reader | typed | seen |\n")[2].partition("\n\n")[0]
ROWS = re.findall(r"^\| ([^|]+?) \| `(.+?)` \| .* \|$", TABLE, re.MULTILINE)
NAMES = ["red", "lwir11", "qa_pixel", "valid", "clear", "red_std", "red_count"]
SCALE, OFFSET = 2.75e-05, -0.2


#: What a reader's row needs beside what is imported above it, where that is not the reader's own name.
MODULES = {
    "odc-geo": ["odc.geo.xr"],
    "cf-xarray": ["cf_xarray"],
    "rio-tiler": ["rio_tiler.io.xarray"],
    "titiler-xarray": ["titiler.xarray.io"],
    "zarr-cm": ["zarr_cm", "zarr"],
    "GDAL": ["rasterio"],
    "odc-stac": ["odc.stac"],
}


@pytest.fixture(scope="module", name="made")
def _made(tmp_path_factory) -> Path:
    """A folder with products, their cube, and the same without shards."""
    folder = tmp_path_factory.mktemp("cubes")
    bands = ["SR_B4", "ST_B10", "QA_PIXEL"]
    scenes = ld.make_scenes(folder / "source", dates=3, size=(271, 163), bands=bands)
    ld.run(ld.plan(scenes, str(folder / "out"), factor=2, stats=["mean", "std", "count"]), workers=2)
    ld.cube(folder / "out", folder / "demo/cube.zarr", NAMES)
    ld.cube(folder / "out", folder / "plain.zarr", NAMES, shards=False)
    ld.cube(folder / "out", folder / "cube.nc", NAMES)
    ld.cube(folder / "out", folder / "cogs", NAMES, format="cog")
    return folder


@pytest.fixture(name="stored")
def _stored(made) -> xr.Dataset:
    """The cells by another way: the products' own files."""
    return ld.open_products(made / "out", NAMES).load()


@pytest.fixture(name="red")
def _red(stored) -> np.ndarray:
    dn = stored.red.values
    return np.where(dn == 0, np.nan, dn * SCALE + OFFSET)


def typed(reader: str, made: Path, monkeypatch, at: int = 0) -> Any:
    """What the page says to type for a reader gives."""
    monkeypatch.chdir(made)
    names: dict[str, Any] = {}
    (block,) = re.findall(r"^```python\n([^`]*?path = [^`]*?)^```", PAGE.read_text(), re.MULTILINE)
    exec(block, names)
    code = [code for name, code in ROWS if name.partition(" ")[0] == reader][at]
    for module in MODULES.get(reader, [reader]):
        importlib.import_module(module)
        names[module.partition(".")[0]] = importlib.import_module(module.partition(".")[0])
    return eval(code, names)


@pytest.mark.parametrize("at", [0, 1])
def test_xarray(made, red, stored, monkeypatch, at):
    cube = typed("xarray", made, monkeypatch, at)
    assert {*cube.data_vars} == {*NAMES}
    np.testing.assert_allclose(cube.red, red, rtol=1e-12)
    kelvin = stored.lwir11.values
    np.testing.assert_allclose(cube.lwir11, np.where(kelvin == 0, np.nan, kelvin * 0.00341802 + 149), rtol=1e-12)
    for name in ("qa_pixel", "valid", "clear", "red_count"):
        assert cube[name].dtype == stored[name].dtype
        np.testing.assert_array_equal(cube[name], stored[name])
    np.testing.assert_array_equal(cube.time, stored.time)
    np.testing.assert_array_equal(cube.x, stored.x)
    np.testing.assert_array_equal(cube.x_bnds[1:, 0], cube.x_bnds[:-1, 1])
    np.testing.assert_allclose(cube.y_bnds.mean("bnds"), cube.y)
    assert cube.y_bnds[0, 0] == stored.rio.bounds()[3]


def test_stored_values(made, stored, monkeypatch):
    cube, array = typed("xarray", made, monkeypatch, 2), typed("zarr", made, monkeypatch)
    for name in NAMES:
        np.testing.assert_array_equal(cube[name], stored[name])
    np.testing.assert_array_equal(array[...], stored.red)
    assert array.fill_value == 0 and array.attrs["scale_factor"] == SCALE


@pytest.mark.parametrize("how", [{"decode_coords": "all"}, {}, {"consolidated": False}])
def test_rioxarray(made, stored, monkeypatch, how):
    first = typed("rioxarray", made, monkeypatch)
    for found in (first, xr.open_zarr("demo/cube.zarr", **how).red.rio):
        assert found.crs.to_epsg() == 32633
        assert found.transform() == stored.rio.transform() and found.bounds() == stored.rio.bounds()
        assert found.encoded_nodata == 0 and np.isnan(found.nodata)
    codes = xr.open_zarr("demo/cube.zarr", **how).qa_pixel
    assert codes.rio.nodata == 1 and codes.dtype == "uint16"


def test_rioxarray_by_geozarr_alone(made, stored, tmp_path):
    """Where CF's grid mapping is not there. rioxarray reads GeoZarr from 0.22 on, which Python 3.11 does not get."""
    import rioxarray
    from packaging.version import Version

    ld.cube(made / "out", tmp_path / "cube.zarr", NAMES)
    array = zarr.open_group(tmp_path / "cube.zarr")["red"]
    assert array.attrs["proj:code"] == "EPSG:32633"
    assert array.attrs["spatial:transform"] == list(stored.rio.transform())[:6]
    alone = xr.open_zarr(tmp_path / "cube.zarr").drop_vars("spatial_ref").red
    alone.encoding.pop("grid_mapping", None)
    alone.attrs.pop("grid_mapping", None)
    if Version(rioxarray.__version__) >= Version("0.22"):
        assert alone.rio.crs.to_epsg() == 32633 and alone.rio.transform() == stored.rio.transform()
    else:
        assert alone.rio.crs is None


def test_odc_geo(made, stored, monkeypatch):
    box = typed("odc-geo", made, monkeypatch)
    assert box.crs.epsg == 32633 and box.shape == stored.red.shape[1:]
    assert tuple(box.affine)[:6] == tuple(stored.rio.transform())[:6]


def test_cf_xarray(made, stored, monkeypatch):
    found = typed("cf-xarray", made, monkeypatch)
    np.testing.assert_array_equal(found, stored.qa_pixel.values & 8 == 8)
    cube = xr.open_zarr("demo/cube.zarr")
    codes, fields = stored.qa_pixel.values, cube.qa_pixel.attrs["flag_meanings"].split()
    assert len(fields) == 20
    np.testing.assert_array_equal(cube.qa_pixel.cf == "clear", codes & 64 == 64)
    np.testing.assert_array_equal(cube.qa_pixel.cf == "cloud_confidence_high", codes & 0x300 == 0x300)
    assert cube.cf["projection_x_coordinate"].name == "x" and cube.cf["T"].name == "time"
    assert cube.cf.get_bounds("x").name == "x_bnds"
    assert set(cube.cf.standard_names["surface_bidirectional_reflectance"]) == {"red", "red_std"}


def test_rio_tiler(made, red, stored, monkeypatch):
    from rio_tiler.io.xarray import XarrayReader

    codes = xr.open_zarr(made / "demo/cube.zarr").qa_pixel
    for reader, wanted, nothing in (
        (typed("rio-tiler", made, monkeypatch), red, np.isnan(red)),
        (XarrayReader(codes), stored.qa_pixel.values, stored.qa_pixel.values == 1),
    ):
        assert reader.crs.to_epsg() == 32633 and reader.bounds == stored.rio.bounds()
        image = reader.part(reader.bounds, bounds_crs=reader.crs, dst_crs=reader.crs)
        np.testing.assert_array_equal(np.ma.getmaskarray(image.array), nothing)
        np.testing.assert_allclose(image.array.data[~nothing], wanted[~nothing])


def test_titiler_xarray(made, red, stored, monkeypatch):
    with typed("titiler-xarray", made, monkeypatch) as reader:
        assert reader.crs.to_epsg() == 32633 and reader.bounds == stored.rio.bounds()
        image = reader.part(reader.bounds, bounds_crs=reader.crs, dst_crs=reader.crs)
    np.testing.assert_allclose(image.array.filled(np.nan)[0], red[0])


def test_rasterix(made, stored, monkeypatch):
    index = typed("rasterix", made, monkeypatch).xindexes["x"]
    assert type(index).__name__ == "RasterIndex" and index.crs.to_epsg() == 32633
    assert index.transform() == stored.rio.transform()


def test_geozarr(made, monkeypatch):
    import zarr_cm

    typed("zarr-cm", made, monkeypatch)
    group = zarr.open_group("demo/cube.zarr", mode="r")
    for node in (group, *(group[name] for name in NAMES)):
        zarr_cm.validate_all(dict(node.attrs))
        found = zarr_cm.detect_revisions(dict(node.attrs))
        assert set(found) == {"proj", "spatial"} and None not in found.values()


def test_gdal(made, stored, monkeypatch):
    version = tuple(map(int, rasterio.__gdal_version__.split(".")[:2]))
    if version < (3, 12):
        with pytest.raises(rasterio.RasterioIOError, match="Unsupported codec: bytes"):
            typed("GDAL", made, monkeypatch)
    else:
        with typed("GDAL", made, monkeypatch) as raster:
            np.testing.assert_array_equal(raster.read(1), stored.red[0])
            assert raster.crs.to_epsg() == 32633 and raster.nodata == 0
            assert raster.transform == stored.rio.transform()
    if version < (3, 13):
        with pytest.raises(rasterio.RasterioIOError, match="Unsupported codec: sharding_indexed"):
            rasterio.open('ZARR:"demo/cube.zarr":/red:0')


def test_xarray_of_netcdf(made, red, stored, monkeypatch):
    cube = typed("xarray", made, monkeypatch, 3)
    np.testing.assert_allclose(cube.red, red, rtol=1e-12)
    np.testing.assert_array_equal(cube.qa_pixel, stored.qa_pixel)
    assert cube.rio.crs.to_epsg() == 32633 and cube.red.rio.transform() == stored.rio.transform()
    typed("odc-geo", made, monkeypatch)
    assert tuple(cube.odc.geobox.affine)[:6] == tuple(stored.rio.transform())[:6]
    typed("cf-xarray", made, monkeypatch)
    np.testing.assert_array_equal(cube.qa_pixel.cf == "cloud", stored.qa_pixel.values & 8 == 8)


def test_xarray_writes_a_zarr_cube_as_netcdf(made, stored, monkeypatch):
    """As the page says."""
    monkeypatch.chdir(made)
    (lines,) = re.findall(r"^```python\n(for one in [^`]*)^```", PAGE.read_text(), re.MULTILINE)
    exec(lines, {"cube": xr.open_zarr("demo/cube.zarr")})
    np.testing.assert_array_equal(xr.open_dataset("demo/by-xarray.nc").qa_pixel, stored.qa_pixel)


def test_gdal_of_netcdf(made, stored, monkeypatch):
    with typed("GDAL", made, monkeypatch, 1) as raster:
        np.testing.assert_array_equal(raster.read(), stored.red)
        assert raster.crs.to_epsg() == 32633 and raster.transform == stored.rio.transform()
        assert raster.nodata == 0 and raster.scales[0] == SCALE and raster.offsets[0] == OFFSET


@pytest.mark.parametrize("program", ["ncdump", "CDO", "gdalbuildvrt"])
def test_programs(made, stored, monkeypatch, program):
    """Of packages netcdf-bin, cdo and gdal-bin."""
    (row,) = (code for name, code in ROWS if name.startswith(program))
    if shutil.which(row.split()[0]) is None:
        pytest.skip(f"{row.split()[0]} is not installed")
    monkeypatch.chdir(made)
    done = subprocess.run(row, shell=True, capture_output=True, text=True, check=True)
    if program == "gdalbuildvrt":
        with rasterio.open("red.vrt") as raster:
            np.testing.assert_array_equal(raster.read(), stored.red)
            assert raster.transform == stored.rio.transform() and raster.nodata == 0
    else:
        for time in stored.time.values:
            assert str(time)[:10] in done.stdout and str(time)[11:19] in done.stdout


def test_odc_stac(made, stored, monkeypatch):
    import pystac

    monkeypatch.setattr("builtins.pystac", pystac, raising=False)
    found = typed("odc-stac", made, monkeypatch)
    np.testing.assert_array_equal(found.red, stored.red)
    assert found.odc.geobox.affine == stored.rio.transform()


LEVELS = (1, 2, 4)


@pytest.fixture(scope="module", name="levels")
def _levels(made) -> dict[int, xr.Dataset]:
    """The same scenes reduced straight to the cells of each level, beside their cube with levels."""
    scenes = sorted((made / "source").iterdir())
    for level in LEVELS:
        ld.run(ld.plan(scenes, made / f"level-{level}", factor=2 * level, stats=["mean", "sum", "count"]), workers=2)
    for name, shards in (("levels", True), ("plain-levels", False)):
        ld.cube(made / "level-1", made / f"{name}.zarr", ["red", "qa_pixel"], levels=LEVELS[1:], shards=shards)
    return {level: ld.open_products(made / f"level-{level}", ["red", "qa_pixel"]).load() for level in LEVELS}


def test_levels_in_rioxarray_and_odc_geo(made, levels):
    import odc.geo.xr  # noqa: F401
    import rioxarray  # noqa: F401

    tree = xr.open_datatree(made / "levels.zarr", engine="zarr", decode_coords="all")
    for level, straight in levels.items():
        alone = xr.open_zarr(made / "levels.zarr", group=str(level), decode_coords="all")
        for found in (tree[str(level)], alone):
            np.testing.assert_array_equal(found.red.encoding["dtype"], straight.red.dtype)
            np.testing.assert_allclose(found.red, np.where(straight.red == 0, np.nan, straight.red * SCALE + OFFSET))
            np.testing.assert_array_equal(found.qa_pixel, straight.qa_pixel)
            assert found.red.rio.crs.to_epsg() == 32633 and found.red.rio.bounds() == straight.rio.bounds()
            assert found.red.odc.geobox.crs.epsg == 32633 and found.red.odc.geobox.shape == straight.red.shape[1:]
            assert tuple(found.red.odc.geobox.affine)[:6] == tuple(straight.rio.transform())[:6]


def test_levels_by_geozarr(made, levels):
    import zarr_cm

    root = zarr.open_group(made / "levels.zarr", mode="r")
    zarr_cm.validate_all(dict(root.attrs))
    assert set(zarr_cm.detect_revisions(dict(root.attrs))) == {"proj", "spatial", "multiscales"}
    document = {"zarr_format": 3, "node_type": "group", "attributes": dict(root.attrs)}
    zarr_cm.multiscales.validate_group_metadata(document)
    assert [one["asset"] for one in root.attrs["multiscales"]["layout"]] == [str(level) for level in LEVELS]
    for one, (level, straight) in zip(root.attrs["multiscales"]["layout"], levels.items(), strict=True):
        for node in (root[str(level)], root[f"{level}/red"]):
            zarr_cm.validate_all(dict(node.attrs))
        assert one["transform"]["scale"] == [level, level] and one.get("derived_from", "1") == "1"
        assert one["spatial:transform"] == list(straight.rio.transform())[:6]
        assert one["spatial:shape"] == list(straight.red.shape[1:])


def test_levels_in_gdal(made, levels):
    for level, straight in levels.items():
        dataset = f'ZARR:"{made}/plain-levels.zarr":/{level}/red:1'
        if tuple(map(int, rasterio.__gdal_version__.split(".")[:2])) < (3, 12):
            with pytest.raises(rasterio.RasterioIOError, match="Unsupported codec: bytes"):
                rasterio.open(dataset)
            continue
        with rasterio.open(dataset) as raster:
            np.testing.assert_array_equal(raster.read(1), straight.red[1])
            assert raster.crs.to_epsg() == 32633 and raster.nodata == 0
            assert raster.transform == straight.rio.transform()


@pytest.fixture(scope="module", name="checker")
def _checker(tmp_path_factory) -> Path:
    """In an environment of its own: netCDF4 and HDF5 of its own, and forty packages beside."""
    folder = tmp_path_factory.mktemp("checker")
    venv.create(folder, with_pip=True)
    words = [folder / "bin" / "python", "-m", "pip", "install", "-q", "compliance-checker>=6.1,<7"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder / "bin" / "compliance-checker"


#: What it would rather have: other types than those of Landsat's numbers, and of JSON's; and it takes edges for data.
RATHER = (
    r"Variable is not of type byte, short, or int|When attribute scale_factor is of type double|[xy]_bnds's spatio-"
)


def check_cf(checker: Path, file: Path) -> None:
    """It has nothing to say of a file but what it would rather have."""
    (row,) = (code for name, code in ROWS if name.startswith("compliance"))
    words = [checker, *row.split()[1:-1], "-c", "strict", file]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    errors, _, warned = done.stdout.partition("  Warnings  ")
    assert "potential issue" in errors or "All tests passed" in errors, done.stderr
    found = re.findall(r"^\* (.*)", errors.partition("  Errors  ")[2], re.MULTILINE)
    assert found == [], "\n".join(found)
    others = [line for line in re.findall(r"^\* (.*)", warned, re.MULTILINE) if not re.match(RATHER, line)]
    assert others == [], "\n".join(others)


@pytest.fixture(scope="module", params=[1, 2], name="reduced")
def _reduced(tmp_path_factory, request) -> Path:
    """A folder with a scene of Level 1 or 2, and its product with all statistics."""
    folder = tmp_path_factory.mktemp("reduced")
    scene = ld.make_scene(folder / "source", size=(171, 163), level=request.param)
    ld.run(ld.plan(scene, str(folder / "out"), factor=2, stats=["mean", "sum", "std", "count"]))
    return folder


def test_compliance_checker(checker, reduced, tmp_path):
    ld.cube(reduced / "out", tmp_path / "cube.nc")
    check_cf(checker, tmp_path / "cube.nc")


def opened(way: str, folder: Path) -> xr.Dataset:
    """What each way of the library gives of a scene or its product."""
    scene, product = next((folder / "source").iterdir()), next((folder / "out").glob("*_downsampled"))
    if way == "coarsen":
        return ld.coarsen(ld.open_scene(scene).dataset(), factor=3, stats="mean,sum,std,count")
    if way.startswith("engine"):
        decode = way == "engine, decoded"
        return xr.open_dataset(scene if decode else product, engine="landsat", mask_and_scale=decode)
    dates = ld.open_products(folder / "out")
    return ld.composite(dates, "month") if way == "composite" else dates


@pytest.mark.parametrize("way", ["open_products", "composite", "coarsen", "engine", "engine, decoded"])
def test_compliance_checker_of_arrays(checker, reduced, tmp_path, way):
    opened(way, reduced).to_netcdf(tmp_path / "arrays.nc", engine="h5netcdf")
    check_cf(checker, tmp_path / "arrays.nc")


def test_each_row_of_the_page_is_tested():
    readers = {
        "xarray", "zarr", "rioxarray", "odc-geo", "cf-xarray", "rio-tiler", "titiler-xarray", "rasterix", "zarr-cm",
        "GDAL", "compliance-checker", "ncdump", "CDO", "gdalbuildvrt", "odc-stac",
    }  # fmt: skip
    assert {name.partition(" ")[0] for name, _ in ROWS} == readers
    assert len(ROWS) == len(re.findall(r"^\| (?!---)", TABLE, re.MULTILINE))
