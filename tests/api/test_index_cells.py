"""Indices of lazy arrays: the very cells that a run writes, whatever they are made from."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from command import call

import landsat_downsample as ld
from landsat_downsample.errors import UsageError
from landsat_downsample.model.options import Options
from landsat_downsample.model.plan import plan_scene
from landsat_downsample.pipeline.band import reduce_target

BANDS = ["SR_B2", "SR_B4", "SR_B5", "ST_B10", "QA_PIXEL"]
ORDERS = ["mean-of-index", "index-of-means"]


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> ld.Scene:
    return ld.open_scene(ld.make_scene(tmp_path_factory.mktemp("scenes"), size=(131, 117), bands=BANDS))


def of_run(scene: ld.Scene, name: str, order: str, **options) -> dict[str, np.ndarray]:
    plan = plan_scene(scene, "out", Options(bands=("none",), index=(name,), index_order=order, **options))
    made = reduce_target(plan.targets[0])
    return {part.method: part.data for part in (made, *made.others)}


@pytest.mark.filterwarnings("ignore:no std of")
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("ndvi", {"factor": 7}),
        ("evi", {"resolution": 100}),
        ("msavi", {"factor": 7}),
        ("lst", {"resolution": 100}),
        ("ndvi", {"grid": "modis:500m"}),
    ],
    ids=str,
)
def test_cells_are_those_of_a_run(scene, name, order, cells):
    wanted = of_run(
        scene, name, order, mask=("cloud", "shadow"), min_valid=0.3, stats=("mean", "std", "count"), **cells
    )
    lazy = scene.dataset(["blue", "red", "nir08", "lwir11", "qa_pixel"])
    key = name if order == "mean-of-index" or name == "lst" else f"{name}_of_means"
    for dataset in (lazy, lazy.drop_vars("qa_pixel"), lazy.compute()):
        made = dataset.landsat.coarsen(
            mask="cloud,shadow", min_valid=0.3, stats="mean,std,count", index=name, index_order=order, **cells
        )
        for method, values in wanted.items():
            array = made[key if method == "mean" else f"{key}_{method}"]
            np.testing.assert_array_equal(array, values)
            assert array.dtype == values.dtype
        assert ("std" in wanted) == (order == "mean-of-index" or name == "lst") == (f"{key}_std" in made)


def test_attributes_say_what_it_is(scene):
    dataset = scene.dataset(["red", "nir08"])
    ndvi = ld.coarsen(dataset, factor=7, index="ndvi").ndvi
    assert {key: ndvi.attrs[key] for key in ("long_name", "standard_name", "units", "references", "cell_methods")} == {
        "long_name": "normalised difference vegetation index",
        "standard_name": "normalized_difference_vegetation_index",
        "units": "1",
        "references": "Rouse et al. 1974, NASA SP-351, 309-317",
        "cell_methods": "area: mean",
    }
    assert ndvi.attrs["landsat_formula"] == "(nir08 - red) / (nir08 + red)"
    assert ndvi.attrs["landsat_index_order"] == "mean-of-index" and np.isnan(ndvi.rio.nodata)
    means = ld.coarsen(dataset, factor=7, index="ndvi", index_order="index-of-means").ndvi_of_means
    assert means.attrs["cell_methods"] == "area: mean (of the bands, whose index it is)"
    np.testing.assert_array_equal(means.landsat.scaled(), means)


def test_of_physical_values_and_of_several_dates(scene):
    stored = scene.dataset(["red", "nir08"])
    wanted = ld.coarsen(stored, factor=7, index="ndvi").ndvi
    physical = ld.coarsen(stored.landsat.scaled(), factor=7, index="ndvi").ndvi
    np.testing.assert_allclose(physical, wanted, rtol=0, atol=1e-5)
    dates = xr.concat([stored, stored.isel(y=slice(None, None))], "date", combine_attrs="override")
    for name, band in stored.data_vars.items():
        dates[name].encoding = band.encoding
    of_dates = ld.coarsen(dates, factor=7, index="ndvi").ndvi
    assert of_dates.dims == ("date", "y", "x")
    for one in of_dates:
        np.testing.assert_array_equal(one, wanted)


@pytest.mark.parametrize(
    ("asked", "said"),
    {
        "ld.coarsen(d.red, factor=7, index='ndvi')": "index ndvi is made of several bands: coarsen a Dataset",
        "ld.coarsen(d, factor=7, index='nbr')": "nbr needs nir08, swir22, and swir22 is not among red, nir08",
        "ld.coarsen(d, factor=7, index='ndvj')": "index 'ndvj' is unknown .did you mean ndvi",
        "ld.coarsen(d, factor=7, index='ndvi', index_order='means')": "index order 'means' is unknown",
    }.items(),
)
def test_what_is_refused(scene, asked, said):
    d = scene.dataset(["red", "nir08"])
    with pytest.raises(UsageError, match=said):
        eval(asked, {"ld": ld, "d": d})


def test_statistics_that_an_index_of_means_does_not_have_are_told(scene, tmp_path):
    how = {"factor": 7, "index": "ndvi", "index_order": "index-of-means", "stats": "mean,std,count"}
    words = "no std of ndvi: an index of means has its mean, and the count beside it"
    with pytest.warns(UserWarning, match=words):
        cells = ld.coarsen(scene.dataset(["red", "nir08"]), **how)
    assert {"ndvi_of_means", "ndvi_of_means_count", "red_std"} <= set(cells)
    with pytest.warns(UserWarning, match=words):
        ld.plan(scene, "out", **how)
    shell = [f"--{key.replace('_', '-')}={value}" for key, value in how.items()]
    result = call("plan", ld.make_scene(tmp_path, size=(61, 47), bands=BANDS), "--to", tmp_path, *shell)
    assert result.code == 0 and result.err.count(words) == len(result.lines) == 1
