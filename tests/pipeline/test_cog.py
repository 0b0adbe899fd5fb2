"""What `cog` writes, as rasterio and rio-cogeo read it."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import Resampling
from rasterio.io import MemoryFile
from rasterio.shutil import copy
from rio_cogeo import cog_validate

from landsat_downsample import WriteError
from landsat_downsample.model.grid import Grid
from landsat_downsample.pipeline.cog import BLOCK, BY_BAND, Layer, cog, overview_shapes

SHAPES = [(1, 1), (41, 48), (255, 257), (256, 256), (257, 40), (513, 511), (775, 760), (90, 1030), (1543, 1025)]


def grid(shape) -> Grid:
    return Grid(shape, Affine(299.7, 0, 171285, 0, -301.3, -1014600), "EPSG:32637")


def image(shape, dtype="uint16", bands=1) -> np.ndarray:
    values = np.random.default_rng(0).integers(1, 200, (bands, *shape))
    values[:, : shape[0] // 3] = 0
    return values.astype(dtype)


def cog_bytes(*given) -> bytes:
    with cog(*given) as encoded:
        return bytes(encoded)


def opened(data: bytes):
    memory = MemoryFile(data)
    return memory, memory.open()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
def test_files_are_strictly_valid_and_give_the_pixels_back(shape, dtype):
    data = image(shape, dtype)
    encoded = cog_bytes(data, grid(shape), Layer(nodata=0))
    memory, raster = opened(encoded)
    with memory, raster:
        np.testing.assert_array_equal(raster.read(), data)
        assert raster.nodata == 0
        assert raster.profile["compress"] == "deflate"
        assert tuple(raster.transform) == pytest.approx(tuple(grid(shape).transform), abs=1e-9)
        assert raster.crs.to_epsg() == 32637
        assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert raster.tags()["AREA_OR_POINT"] == "Area"
        factors = raster.overviews(1)
        tiled = max(shape) > BLOCK
    with MemoryFile(encoded) as memory:
        valid, errors, warnings = cog_validate(memory.name, strict=True, quiet=True)
        assert valid, (errors, warnings)
    assert len(factors) == len(overview_shapes(shape))
    assert bool(factors) == tiled
    for level, expected in enumerate(overview_shapes(shape)):
        with MemoryFile(encoded) as memory, memory.open(overview_level=level) as small:
            assert small.shape == expected


@pytest.mark.parametrize("shape", [(775, 760), (1543, 1025)])
def test_overviews_of_codes_hold_only_codes_and_others_are_means(shape):
    data = np.random.default_rng(1).choice(np.array([1, 21824, 22280, 55052], "uint16"), (1, *shape))
    codes = cog_bytes(data, grid(shape), Layer(nodata=1, resampling="nearest"))
    means = cog_bytes(data, grid(shape), Layer(nodata=1, resampling="average"))
    for level in range(len(overview_shapes(shape))):
        with MemoryFile(codes) as memory, memory.open(overview_level=level) as small:
            assert set(np.unique(small.read())) <= set(np.unique(data))
    with MemoryFile(means) as memory, memory.open(overview_level=0) as small:
        assert not set(np.unique(small.read())) <= set(np.unique(data))


@pytest.mark.parametrize("nodata", [0, 1, -9999, 255, np.nan, None])
def test_tags_are_kept(nodata):
    layer = Layer(nodata, "average", ("thermal", "other"), scale=0.00341802, offset=149.0, unit="kelvin")
    data = image((41, 48), "float32", 2)
    memory, raster = opened(cog_bytes(data, grid((41, 48)), layer))
    with memory, raster:
        np.testing.assert_equal(raster.nodata, nodata)
        assert raster.descriptions == ("thermal", "other")
        assert raster.scales == (0.00341802,) * 2
        assert raster.offsets == (149.0,) * 2
        assert raster.units == ("kelvin",) * 2


def test_nothing_is_said_that_is_not_known():
    memory, raster = opened(cog_bytes(image((41, 48)), grid((41, 48)), Layer(None)))
    with memory, raster:
        assert raster.descriptions == (None,)
        assert (raster.scales, raster.offsets, raster.units) == ((1.0,), (0.0,), (None,))
        assert raster.nodata is None
        assert not {"TIFFTAG_DATETIME", "TIFFTAG_SOFTWARE"} & set(raster.tags())


def test_the_same_array_gives_the_same_bytes_in_any_thread():
    data = image((775, 760), bands=3)
    layer = Layer(0, descriptions=("a", "b", "c"), scale=2.75e-5, offset=-0.2)
    found = [cog_bytes(data, grid((775, 760)), layer)]
    with rasterio.Env(GDAL_NUM_THREADS="ALL_CPUS", GDAL_CACHEMAX=1 << 20):
        found.append(cog_bytes(data, grid((775, 760)), layer))
    work = [threading.Thread(target=lambda: found.append(cog_bytes(data, grid((775, 760)), layer))) for _ in range(3)]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert len(found) == 5
    assert len(set(found)) == 1


@pytest.mark.parametrize(
    ("dtype", "alike", "level"),
    [("uint8", False, 5), ("int16", False, 1), ("float32", False, 2), ("float64", False, 5), ("float64", True, 5)],
)
def test_the_bytes_are_those_of_a_dataset_with_a_copy_of_the_pixels(dtype, alike, level):
    data, place = image((775, 760), dtype, 2), grid((775, 760))
    if dtype.startswith("float"):
        data += 0.3
    if alike:  # as counts of cells that cut pixels: one number, but for the frame's edge
        data[:], data[..., 75:] = data[..., :1], 110.25
    facts = {"count": 2, "height": 775, "width": 760, "dtype": dtype, "crs": place.crs, "transform": place.transform}
    predictor = 1 if alike else 3 if dtype.startswith("float") else 2
    options = {"compress": "DEFLATE", "predictor": predictor, "tiled": True, "zlevel": level}
    options |= {"blockxsize": BLOCK, "blockysize": BLOCK, "bigtiff": "IF_SAFER", "copy_src_overviews": True}
    with MemoryFile() as memory:
        with rasterio.open("", "w", driver="MEM", nodata=0, **facts) as plain:
            plain.write(data)
            plain.update_tags(AREA_OR_POINT="Area")
            plain.build_overviews([2, 4], Resampling.average)
            copy(plain, memory.name, driver="GTiff", interleave="BAND" if BY_BAND else "PIXEL", **options)
        assert cog_bytes(data, place, Layer(0)) == memory.read()


def test_a_crs_without_authority_is_kept():
    wkt = rasterio.crs.CRS.from_string("+proj=laea +lat_0=-45 +lon_0=12.25 +datum=WGS84 +units=m").to_wkt()
    square = Grid((41, 48), Affine(300, 0, 0, 0, -300, 0), wkt)
    memory, raster = opened(cog_bytes(image((41, 48)), square, Layer(0)))
    with memory, raster:
        assert raster.crs == rasterio.crs.CRS.from_wkt(wkt)


def test_what_gdal_cannot_encode_is_an_error_of_ours():
    with pytest.raises(WriteError, match="cannot encode 1 bands of 41 x 48"):
        cog_bytes(image((41, 48)), Grid((41, 48), Affine(300, 0, 0, 0, -300, 0), "EPSG:999999"), Layer(0))
