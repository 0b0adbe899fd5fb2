"""Composites of periods are the means over all pixels that were seen in them."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
import zarr

import landsat_downsample as ld

FACTOR = 7


@pytest.fixture(scope="module", name="sources")
def _sources(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("series")
    scenes = ld.make_scenes(folder, dates=23, size=(91, 83), bands=["SR_B4", "SR_B5", "QA_PIXEL"], seed=2)
    return sorted(scenes, key=lambda path: path.name[17:25])


@pytest.fixture(scope="module", name="out")
def _out(sources) -> Path:
    out = sources[0].parent / "out"
    how = {"factor": FACTOR, "mask": "cloud,shadow", "stats": "mean,sum,count"}
    assert {o.status for o in ld.run(ld.plan(sources, str(out), **how), workers=2)} == {"done"}
    return out


def cells_of(cube: xr.Dataset, path: Path, factor: int = FACTOR):
    """Sums and counts of the clear pixels of a scene on the cells of a cube, in whole numbers."""
    band, quality = (path / f"{path.name}_{name}.TIF" for name in ("SR_B4", "QA_PIXEL"))
    with rasterio.open(band) as file, rasterio.open(quality) as flags:
        pixels, transform = file.read(1).astype("int64"), file.transform
        clear = (pixels != 0) & ((flags.read(1) & 0b11000) == 0)
    step = 30 * factor
    left, top = cube.x.values[0] - step / 2, cube.y.values[0] + step / 2
    column = ((transform.c + 15 + 30 * np.arange(pixels.shape[1]) - left) // step).astype(int)
    row = ((top - (transform.f - 15 - 30 * np.arange(pixels.shape[0]))) // step).astype(int)
    shape = cube.sizes["y"], cube.sizes["x"]
    sums, counts = np.zeros(shape, "int64"), np.zeros(shape, "int64")
    at = tuple(np.meshgrid(row, column, indexing="ij"))
    np.add.at(sums, at, np.where(clear, pixels, 0))
    np.add.at(counts, at, clear)
    return sums, counts


@pytest.mark.parametrize("stats", ["with sums", "without sums"])
def test_a_mean_is_that_of_all_clear_pixels_of_the_period(sources, out, stats):
    names = ["red", "red_count", "red_sum"] if stats == "with sums" else ["red", "red_count"]
    cube = ld.open_products(out, names)
    made = ld.composite(cube, "month").load()
    assert made.red.dtype == "uint16" and made.sizes["time"] > 6
    for at, month in enumerate(made.time.values):
        of_month = [path for path in sources if path.name[17:23] == str(month)[:7].replace("-", "")]
        sums, counts = (sum(part) for part in zip(*(cells_of(cube, path) for path in of_month), strict=True))
        expected = np.where(counts > 0, np.rint(sums / np.maximum(counts, 1)), 0)
        off = np.abs(made.red[at].values - expected)
        assert off.max() <= (0 if stats == "with sums" else 1)
        np.testing.assert_array_equal(made.red_count[at].values, counts)
    assert set(made.observations.values.ravel()) > {0, 1}
    scaled = made.landsat.scaled().red.values  # numbers are known to be stored ones
    np.testing.assert_allclose(scaled, np.where(made.red == 0, np.nan, made.red * 2.75e-5 - 0.2), rtol=1e-6)


@pytest.mark.slow
def test_it_does_not_matter_in_what_order_dates_come(out):
    cube = ld.open_products(out, ["red", "red_count", "qa_pixel"]).load()
    whole = ld.composite(cube, "season")
    for size in (1, 2, 5):
        xr.testing.assert_identical(ld.composite(cube.chunk(time=size), "season").load(), whole)
    shuffled = cube.isel(time=np.random.default_rng(1).permutation(cube.sizes["time"]))
    again = ld.composite(shuffled.sortby("time"), "season")
    xr.testing.assert_identical(again.red, whole.red)
    assert whole.time_bnds.values[0, 0] == whole.time.values[0] and (np.diff(whole.time_bnds.values) > 0).all()


@pytest.mark.parametrize("how", ["median", "best", "max:ndvi"])
def test_other_ways(out, how):
    cube = ld.open_products(out, ["red", "nir08", "qa_pixel", "clear", "red_count"]).load()
    made = ld.composite(cube, "year", how)
    assert made.sizes["time"] == len({str(time)[:4] for time in cube.time.values})
    for at, year in enumerate(made.time.dt.year.values):
        part = cube.sel(time=cube.time.dt.year == year)
        red, count = part.red.values.astype("float64"), part.red_count.values
        seen = (red != 0) & (count > 0)
        if how == "median":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                expected = np.nan_to_num(np.rint(np.nanmedian(np.where(seen, red, np.nan), axis=0)))
        else:
            score = np.where(seen, count, -1.0)
            if how == "max:ndvi":
                a, b = (part[name].values * 2.75e-5 - 0.2 for name in ("nir08", "red"))
                with np.errstate(all="ignore"):
                    score = np.where(seen & (part.nir08.values != 0), ((a - b) / (a + b)).astype("float32"), -np.inf)
            best = score.argmax(0)[None]
            expected = np.where(seen.any(0), np.take_along_axis(red, best, 0)[0], 0)
            codes = np.take_along_axis(part.qa_pixel.values, best, 0)[0]
            np.testing.assert_array_equal(made.qa_pixel[at].values[seen.any(0)], codes[seen.any(0)])
        np.testing.assert_array_equal(made.red[at].values, expected)


def test_flags_and_shares(out):
    cube = ld.open_products(out, ["red", "qa_pixel", "clear", "cloud"]).load()
    made = ld.composite(cube, "year")
    part = cube.sel(time=cube.time.dt.year == made.time.dt.year.values[0])
    held = part.qa_pixel.values != 1
    codes = np.where(held, part.qa_pixel.values, 0)
    expected = np.bitwise_or.reduce(codes & 0xFF, axis=0)
    for bits in (0x300, 0xC00, 0x3000, 0xC000):  # confidences: low and medium of two dates are not high
        expected |= (codes & bits).max(axis=0)
    np.testing.assert_array_equal(made.qa_pixel[0].values, np.where(held.any(0), expected, 1))
    share = np.where(part.cloud.values == 255, np.nan, part.cloud.values.astype("float64"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mean = np.nan_to_num(np.rint(np.nanmean(share, axis=0)), nan=255)
    np.testing.assert_array_equal(made.cloud[0].values, mean)


@pytest.mark.slow
def test_of_a_cube_in_physical_units(sources, out, tmp_path):
    ld.cube(out, tmp_path / "cube.zarr", ["red", "nir08", "red_count", "qa_pixel"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)
        cube = xr.open_zarr(tmp_path / "cube.zarr")
    made = ld.composite(cube, "season").load()
    stored = ld.composite(ld.open_products(out, ["red", "red_count"]), "season").load()
    valid = stored.red.values != 0
    np.testing.assert_array_equal(np.isnan(made.red.values), ~valid)
    off = np.abs(made.red.values - (stored.red.values * 2.75e-5 - 0.2))[valid]
    assert off.max() <= 0.5001 * 2.75e-5
    assert made.landsat.index("ndvi").sizes["time"] == made.sizes["time"]


def test_a_mask_leaves_cells_out(sources, tmp_path):
    ld.run(ld.plan(sources[:8], str(tmp_path), factor=FACTOR), workers=2)
    cube = ld.open_products(tmp_path, ["red", "qa_pixel"]).load()
    made = ld.composite(cube, "year", mask="cloud,shadow")
    part = cube.sel(time=cube.time.dt.year == made.time.dt.year.values[0])
    good = (part.red.values != 0) & ((part.qa_pixel.values & 0b11000) == 0)
    np.testing.assert_array_equal(made.observations[0].values, good.sum(0))
    total = np.where(good, part.red.values, 0).sum(0, dtype="int64")
    expected = np.where(good.any(0), np.rint(total / np.maximum(good.sum(0), 1)), 0)
    np.testing.assert_array_equal(made.red[0].values, expected)


def test_statistics_of_a_band_are_not_the_band(sources, out):
    cube = ld.open_products(out, ["red", "nir08", "red_count", "red_sum"])
    expected = ld.open_products(out, ["red", "nir08"]).landsat.index("ndvi")
    np.testing.assert_array_equal(cube.landsat.index("ndvi").values, expected.values)
    scene = ld.open_scene(sources[0])
    reduced = ld.coarsen(scene.dataset(["red", "nir08"]), factor=FACTOR, stats="mean,count")
    assert reduced.red_count.attrs["landsat_statistic"] == "count"
    one = cube[["red_sum", "red_count"]].isel(time=[0]).assign(clear=cube.red_count[:1].astype("uint8") * 0)
    made = ld.composite(one.assign(red=cube.red[:1]), "year")  # weighted like the band: by its count
    np.testing.assert_array_equal(made.red_sum, one.red_sum)
    np.testing.assert_array_equal(
        reduced.landsat.index("ndvi").values,
        ld.coarsen(scene.dataset(["red", "nir08"]), factor=FACTOR).landsat.index("ndvi").values,
    )


def test_refusals(out):
    cube = ld.open_products(out, ["red", "red_count"])
    for how, words in (
        ({"how": "maen"}, r"'maen' is unknown \(did you mean mean\?\)"),
        ({"how": "max"}, r"did you mean max:INDEX\?\): choose mean, median, best, max:INDEX"),
        ({"how": "max:"}, r"did you mean max:INDEX\?\)"),
        ({"every": "moth"}, r"'moth' is no period \(did you mean month\?\)"),
        ({"mask": "cloud"}, "mask 'cloud' needs QA_PIXEL"),
        ({"how": "max:ndvi"}, "ndvi needs nir08"),
    ):
        with pytest.raises(ld.UsageError, match=words):
            ld.composite(cube, **how)
    with pytest.raises(ld.UsageError, match="a Dataset with a dimension time"):
        ld.composite(cube.red)
    with pytest.raises(ld.UsageError, match="needs a band that is averaged"):
        ld.composite(cube[["red_count"]])


@pytest.mark.slow
def test_a_composite_of_a_cube_goes_to_netcdf_and_zarr(sources, out, tmp_path):
    ld.cube(out, tmp_path / "cube.zarr", ["red", "red_count", "qa_pixel"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)
        made = ld.composite(xr.open_zarr(tmp_path / "cube.zarr", mask_and_scale=False), "year").load()
        made.to_netcdf(tmp_path / "year.nc", engine="h5netcdf")
        made.to_zarr(tmp_path / "year.zarr")
        zarred = xr.open_zarr(tmp_path / "year.zarr", mask_and_scale=False)
    with xr.open_dataset(tmp_path / "year.nc", engine="h5netcdf", mask_and_scale=False) as back:
        for name in made:
            np.testing.assert_array_equal(back[name].values, made[name].values)
            np.testing.assert_array_equal(zarred[name].values, made[name].values)
