"""Indices of products in time: as they are, and made of the bands' means where products have none."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
import zarr

import landsat_downsample as ld
from landsat_downsample.cli.main import main
from landsat_downsample.errors import UsageError

BANDS = ["SR_B4", "SR_B5", "ST_B10", "QA_PIXEL"]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> dict[str, Path]:
    """Products of three dates with an index, in both orders, and without."""
    folder = tmp_path_factory.mktemp("series")
    scenes = ld.make_scenes(folder / "source", dates=3, size=(91, 83), bands=BANDS)
    for name, asked in {
        "index": {"index": "ndvi,lst", "stats": "mean,std,count"},
        "means": {"index": "ndvi", "index_order": "index-of-means"},
        "plain": {},
    }.items():
        ld.run(ld.plan(scenes, folder / name, factor=4, mask="cloud", **asked))
    return {name: folder / name for name in ("index", "means", "plain")}


def opened(store) -> xr.Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)
        return xr.open_zarr(store).load()


def of_bands(series: xr.Dataset) -> np.ndarray:
    """The index of the means that products store, from their whole numbers, in float64."""
    nir, red = (series[band].values.astype("f8") * 2.75e-5 - 0.2 for band in ("nir08", "red"))
    valid = (series.nir08.values != 0) & (series.red.values != 0)
    return np.where(valid, np.clip((nir - red) / (nir + red), -1, 1), np.nan)


def test_products_open_with_their_indices(made):
    series = ld.open_products(made["index"])
    assert {"ndvi", "ndvi_std", "ndvi_count", "lst", "lst_std", "red", "red_std"} <= set(series)
    for path, got in zip(sorted(made["index"].glob("*/*_NDVI.TIF")), series.ndvi, strict=True):
        with rasterio.open(path) as file:
            stored = file.read(1)
        cells = got.dropna("y", how="all").dropna("x", how="all").values
        np.testing.assert_array_equal(cells[~np.isnan(cells)], stored[~np.isnan(stored)])
    said = series.ndvi.attrs
    assert (said["long_name"], said["cell_methods"]) == ("normalised difference vegetation index", "area: mean")
    assert said["landsat_index_order"] == "mean-of-index" and said["landsat_formula"]
    assert series.ndvi_std.attrs["cell_methods"] == "area: standard_deviation"
    assert series.lst.attrs["standard_name"] == "surface_temperature" and series.lst.attrs["units"] == "kelvin"
    scaled = ld.open_products(made["index"], ["ndvi", "lst"], scaled=True)
    np.testing.assert_array_equal(scaled.ndvi, series.ndvi)
    np.testing.assert_array_equal(scaled.lst, series.lst)


def test_an_index_of_means_is_made_of_bands(made):
    series = ld.open_products(made["plain"], ["ndvi_of_means", "nir08", "red", "lst"])
    np.testing.assert_allclose(series.ndvi_of_means, of_bands(series), rtol=0, atol=1e-7)
    assert series.ndvi_of_means.dtype == "float32" and np.isnan(series.ndvi_of_means.rio.nodata)
    assert series.ndvi_of_means.attrs["cell_methods"] == "area: mean (of the bands, whose index it is)"
    accessor = series.landsat.index("ndvi")
    np.testing.assert_allclose(series.ndvi_of_means, accessor, rtol=0, atol=2e-6)
    own = ld.open_products(made["means"], ["ndvi_of_means"]).ndvi_of_means
    # Of means that were not rounded, and, at edges where bands do not end together, of pixels that all of them have.
    difference = np.abs(own - series.ndvi_of_means).values
    assert np.nanmedian(difference) < 1e-4 and np.nanmax(difference) > 0
    assert np.isfinite(series.lst).any()


@pytest.mark.parametrize("kind", ["zarr", "netcdf", "cog"])
def test_a_cube_takes_them_or_makes_them(made, tmp_path, kind):
    place = tmp_path / {"zarr": "cube.zarr", "netcdf": "cube.nc", "cog": "cube"}[kind]
    products = sorted(made["plain"].glob("*_downsampled"), key=lambda path: path.name[17:25])
    expected = ld.open_products(products, ["ndvi_of_means"]).ndvi_of_means.load()
    for some in (products[:2], products):
        ld.cube(some, place, "red,nir08", index="ndvi", format=kind, bounds=expected.rio.bounds())
    if kind == "cog":
        for path, wanted in zip(sorted(place.rglob("*ndvi_of_means*.tif*")), expected.values, strict=True):
            with rasterio.open(path) as file:
                np.testing.assert_array_equal(file.read(1), wanted)
                assert np.isnan(file.nodata)
        return
    cube = opened(place) if kind == "zarr" else xr.open_dataset(place).load()
    assert set(cube) - {"spatial_ref"} >= {"red", "nir08", "ndvi_of_means"} and "ndvi" not in cube
    np.testing.assert_array_equal(cube.ndvi_of_means, expected)
    assert cube.ndvi_of_means.attrs["landsat_index_order"] == "index-of-means"
    assert cube.ndvi_of_means.attrs["references"].startswith("Rouse")


def test_the_command_line_takes_those_of_products(made, tmp_path, capsys):
    words = ["cube", str(made["index"]), "--to", str(tmp_path / "a.zarr"), "--bands", "red", "--index", "ndvi,lst"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["dates"] == 3
    cube = opened(tmp_path / "a.zarr")
    assert {"red", "ndvi", "lst"} <= set(cube)
    np.testing.assert_array_equal(cube.ndvi, ld.open_products(made["index"], "ndvi").ndvi)


@pytest.mark.parametrize("name", ["index", "means", "plain"])
def test_the_greatest_index_chooses_the_date(made, name):
    series = ld.open_products(
        made[name], ["red", "nir08", *([] if name == "plain" else ["ndvi"] if name == "index" else ["ndvi_of_means"])]
    )
    picked = ld.composite(series, "3000D", how="max:ndvi").red.values[0]
    index = series["ndvi" if name == "index" else "ndvi_of_means"] if name != "plain" else series.landsat.index("ndvi")
    red = series.red.values
    known = np.where((red != 0) & np.isfinite(index.values), index.values, -np.inf)
    best = np.take_along_axis(red, known.argmax(0)[None], 0)[0]
    there = np.isfinite(known).any(0)
    np.testing.assert_array_equal(picked[there], best[there])
    assert there.any()


def test_means_of_an_index_over_time_are_weighted_by_its_pixels(made):
    series = ld.open_products(made["index"], ["ndvi", "ndvi_count"]).load()
    count = series.ndvi_count.where(series.ndvi.notnull(), 0)
    wanted = (series.ndvi.fillna(0).astype("f8") * count).sum("time") / count.sum("time")
    np.testing.assert_allclose(ld.composite(series, "3000D").ndvi[0], wanted, rtol=1e-6)


def test_a_product_as_a_scene_has_its_index(made):
    product = min(path for path in made["index"].iterdir() if path.name.endswith("_downsampled"))
    ld.open_scene(product)  # without a warning of files that it does not know
    dataset = xr.open_dataset(product, engine="landsat", bands=["red", "ndvi"])
    with rasterio.open(next(product.glob("*_NDVI.TIF"))) as file:
        np.testing.assert_array_equal(dataset.ndvi, file.read(1))


def test_what_is_refused(made):
    with pytest.raises(UsageError, match="no product has 'nbr_of_means', nor swir22: they have"):
        ld.open_products(made["plain"], ["nbr_of_means"])
    with pytest.raises(UsageError, match="no product has 'ndvi', nor"):
        ld.open_products(made["plain"], ["ndvi"])
    with pytest.raises(UsageError, match="index 'ndwj' is unknown"):
        ld.cube(made["plain"], "cube.zarr", index="ndwj")
    with pytest.raises(UsageError, match="one was made by mean, the other by index-of-means: reduce both alike"):
        paths = [sorted(made[name].glob("*_downsampled"))[k] for k, name in enumerate(("means", "plain"))]
        ld.open_products(paths, ["ndvi_of_means"])
