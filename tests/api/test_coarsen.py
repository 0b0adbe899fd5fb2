"""The xarray face against the files that `process` makes, and against foreign arrays."""

from __future__ import annotations

import pickle
import subprocess
import sys
import textwrap
from fractions import Fraction
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
import rioxarray
import xarray as xr
from affine import Affine
from lattices import coarse_grid

import landsat_downsample as ld
from landsat_downsample.model.options import Options
from landsat_downsample.model.plan import plan_scene
from landsat_downsample.pipeline.band import reduce_target


@pytest.fixture(scope="session", name="folders")
def _folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("coarsen")
    kinds = [("oli", 1), ("oli", 2), ("etm", 1), ("tm", 2), ("mss", 1)]
    return {k: ld.make_scene(folder, sensor=k[0], level=k[1], size=(331, 287), seed=4) for k in kinds}


@pytest.fixture(name="oli")
def _oli(folders):
    return ld.open_scene(str(folders["oli", 2]))


def reduced(scene, **options):
    plan = plan_scene(scene, "out", Options(**options))
    return {target.band.name: (target, reduce_target(target)) for target in plan.targets}


def same(array, target, wanted):
    assert array.dtype == wanted.data.dtype
    np.testing.assert_array_equal(array.values, wanted.data)
    np.testing.assert_equal(array.rio.nodata, wanted.nodata)
    assert array.rio.transform() == target.coarse.transform
    assert array.rio.transform(recalc=True).almost_equals(target.coarse.transform, 1e-6)
    assert array.rio.crs.to_string() == target.coarse.crs
    assert array.rio.bounds() == pytest.approx(target.coarse.bounds, abs=1e-3)


@pytest.mark.parametrize(
    "kind", [("oli", 1), ("oli", 2), ("etm", 1), ("tm", 2), ("mss", 1)], ids=lambda k: f"{k[0]}{k[1]}"
)
@pytest.mark.parametrize("options", [{"factor": 7}, {"size": (50, 0), "min_valid": 0.5}], ids=["blocks", "weights"])
def test_both_faces_give_the_same_cells(folders, kind, options):
    scene = ld.open_scene(str(folders[kind]))
    dataset = ld.coarsen(scene.dataset(), **options)
    files = reduced(scene, **options)
    assert len(dataset) == len([n for n in files if n not in ("B8", "GM_B8")])
    for name, array in dataset.data_vars.items():
        same(array, *files[name])
        same(ld.coarsen(scene[name], **options), *files[name])


def test_the_mask_too(folders):
    scene = ld.open_scene(str(folders["tm", 2]))
    files = reduced(scene, factor=7, mask=("cloud", "shadow"), qa="majority")
    dataset = ld.coarsen(scene.dataset(), factor=7, mask="cloud,shadow", qa="majority")
    for name, array in dataset.data_vars.items():
        same(array, *files[name])
    same(ld.coarsen(scene["SR_B4"], factor=7, mask=["cloud", "shadow"]), *files["SR_B4"])


@pytest.mark.parametrize("options", [{"factor": 7}, {"size": (50, 0), "min_valid": 0.5}], ids=["blocks", "weights"])
def test_statistics_come_of_one_read(folders, options):
    scene, stats = ld.open_scene(str(folders["oli", 2])), "count,mean,median,std,min,max,rms,sum"
    target, first = reduced(scene, bands=("red",), stats=tuple(stats.split(",")), **options)["SR_B4"]
    for pixels in (scene["red"], scene["red"].compute()):
        dataset = ld.coarsen(pixels, stats=stats, **options)
        assert list(dataset) == [one.method for one in (first, *first.others)] and len(dataset) == 8
        for one in (first, *first.others):
            same(dataset[one.method], target, one)
    assert dataset["std"].attrs["long_name"] == "Red surface reflectance: standard deviation"
    assert "scale_factor" in dataset["std"].attrs and "scale_factor" not in dataset["count"].attrs
    blocks = ld.coarsen(scene["red"], stats="mean,std", **options)
    assert len({key for key in blocks.__dask_graph__() if str(key).startswith("coarsen-")}) == 1  # both of one task


def test_statistics_of_a_dataset_are_named_after_their_bands(oli):
    options = {"factor": 7, "mask": "cloud"}
    made = ld.coarsen(oli.dataset(["red", "ST_CDIST", "qa_pixel"]), stats=["std", "mean"], **options)
    assert list(made) == ["red", "red_std", "ST_CDIST", "qa_pixel"]
    plain = ld.coarsen(oli.dataset(["red", "ST_CDIST", "qa_pixel"]), **options)
    for name, array in plain.data_vars.items():
        xr.testing.assert_identical(made[name], array)


def test_statistics_that_mean_nothing_are_refused(oli):
    with pytest.raises(ld.UsageError, match="stats of 'QA_PIXEL' would mean nothing"):
        ld.coarsen(oli["qa_pixel"], factor=7, stats="mean")
    with pytest.raises(ld.UsageError, match="some of its planes"):
        ld.coarsen(oli.dataset(["red", "qa_pixel"]).to_array("band"), factor=7, stats="mean")
    with pytest.raises(ld.UsageError, match="method 'min' and stats"):
        ld.coarsen(oli["red"], factor=7, stats="mean", method="min")
    with pytest.raises(ld.UsageError, match="did you mean mean"):
        ld.coarsen(oli["red"], factor=7, stats="men")


def test_the_pan_band_alone_keeps_its_own_grid_where_asked(folders):
    scene = ld.open_scene(str(folders["oli", 1]))
    assert ld.coarsen(scene["pan"], factor=10).rio.transform() == Affine(150, 0, 256185, 0, -150, 5216415)
    pan = ld.coarsen(scene["pan"], factor=10, grid="scene")
    assert pan.rio.transform() == coarse_grid(scene.bands["B8"].grid, (Fraction(10), Fraction(10))).transform
    assert pan.dtype == np.uint16


def test_a_single_quality_band_without_name_is_not_averaged(oli, tmp_path):
    path = tmp_path / "something.tif"
    path.write_bytes(Path(oli.bands["QA_PIXEL"].href).read_bytes())
    scene = ld.open_scene(str(path))
    ((target, wanted),) = reduced(scene, factor=7).values()
    assert wanted.spec.kind == "bits"
    found = ld.coarsen(scene[target.band.name], factor=7)
    np.testing.assert_array_equal(found.values, wanted.data)


# Lazy ----------------------------------------------------------------------------------------


def test_nothing_is_read_before_it_is_computed(folders, tmp_path):
    folder = tmp_path / folders["oli", 2].name
    folder.mkdir()
    for file in folders["oli", 2].iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    scene = ld.open_scene(str(folder))
    lazy = ld.coarsen(scene.dataset(["red", "qa_pixel"]), factor=7, mask="cloud")
    for file in folder.glob("*.TIF"):
        file.unlink()
    assert isinstance(lazy["red"].data, da.Array)
    with pytest.raises(ld.ReadError):
        lazy.compute(scheduler="synchronous")


def test_tasks_and_graphs_are_small():
    from landsat_downsample.model.band import Band
    from landsat_downsample.model.bands import specs

    grid = ld.Grid((7801, 7641), Affine(30, 0, 3e5, 0, -30, 5e6), "EPSG:32633")
    bands = {
        name: Band(specs("oli_tirs", 2)[name], f"/nowhere/{name}.TIF", grid, "uint16", fill, (256, 256))
        for name, fill in (("SR_B4", 0), ("QA_PIXEL", 1))
    }
    scene = ld.Scene("LC08_X", "/nowhere", grid, bands, "oli_tirs", 2)
    lazy = ld.coarsen(scene.dataset(), factor=2, mask="cloud")
    assert lazy["SR_B4"].shape == (3901, 3821)
    assert max(lazy["SR_B4"].data.numblocks) <= 8
    for array in lazy.data_vars.values():
        (graph,) = dask.optimize(array.data)
        tasks = dict(graph.__dask_graph__())
        assert len(tasks) <= 20
        assert max(len(pickle.dumps(task)) for task in tasks.values()) < 50_000


def test_two_results_of_different_width_are_not_mixed_up(oli):
    wide, narrow = (ld.coarsen(oli["red"], size=size) for size in ((60, 41), (48, 41)))
    assert wide.data.name != narrow.data.name
    found = dask.compute(wide, narrow)
    assert [a.shape for a in found] == [(41, 60), (41, 48)]


def test_names_attributes_and_coordinates(oli):
    array = ld.coarsen(oli["red"], factor=7, grid="scene")
    assert array.name == "SR_B4"
    assert array.dims == ("y", "x")
    assert array.attrs["scale_factor"] == 2.75e-5
    assert array.attrs["add_offset"] == -0.2
    assert array.attrs["landsat_band"] == "SR_B4"
    y, x = coarse_grid(oli.grid, (Fraction(7), Fraction(7))).coordinates()
    np.testing.assert_array_equal(array.y, y)
    np.testing.assert_array_equal(array.x, x)
    assert "add_offset" not in ld.coarsen(oli["red"], factor=7, method="std").attrs


@pytest.mark.parametrize("chunks", [{"y": 13, "x": 29}, {"y": 287, "x": 1}, {"y": (100, 1, 186), "x": (31, 300)}])
def test_chunks_do_not_matter(oli, chunks):
    for name in ("SR_B4", "QA_PIXEL", "ST_CDIST"):
        wanted = ld.coarsen(oli[name], factor=10)
        np.testing.assert_array_equal(ld.coarsen(oli[name].chunk(chunks), factor=10).values, wanted.values)


def test_a_selection_is_coarsened_from_its_own_corner(oli):
    array = oli["red"].isel(y=slice(11, 200), x=slice(40, 301))
    found = ld.coarsen(array, factor=7, grid="scene").compute()
    assert found.rio.bounds()[0] == pytest.approx(oli.grid.bounds[0] + 40 * 30)
    assert found.rio.bounds()[3] == pytest.approx(oli.grid.bounds[3] - 11 * 30)
    values = array.values
    for i, j in np.ndindex(found.shape):
        block = values[i * 7 : i * 7 + 7, j * 7 : j * 7 + 7]
        good = block[block > 0]
        assert found.values[i, j] == (max(1, round(Fraction(int(good.sum()), good.size))) if good.size else 0)


def test_changed_pixels_are_those_that_count(oli):
    red = oli["red"]
    clear = red.where(red > 9000)
    found = ld.coarsen(clear, factor=7).compute()
    assert found.dtype.kind == "f"
    values = clear.values
    for i, j in np.ndindex(found.shape):
        block = values[i * 7 : i * 7 + 7, j * 7 : j * 7 + 7]
        good = block[~np.isnan(block)].astype("f8")
        np.testing.assert_allclose(found.values[i, j], good.mean() if good.size else np.nan, rtol=1e-6)


def test_a_changed_quality_band_is_the_one_that_masks(oli):
    dataset = oli.dataset(["red", "qa_pixel"])
    everything = dataset.assign(qa_pixel=dataset["qa_pixel"] | np.uint16(8))
    assert (ld.coarsen(everything, factor=7, mask="cloud")["red"] == 0).all()
    nothing = dataset.assign(qa_pixel=dataset["qa_pixel"] & np.uint16(0xFFF7))
    np.testing.assert_array_equal(
        ld.coarsen(nothing, factor=7, mask="cloud")["red"], ld.coarsen(dataset, factor=7)["red"]
    )


def test_a_scene_opened_without_quality_band_does_not_borrow_it(folders):
    whole = ld.open_scene(str(folders["oli", 2]))
    red = whole["red"]
    wanted = ld.coarsen(red, factor=7, mask="cloud").values
    alone = ld.open_scene(str(folders["oli", 2] / whole.bands["SR_B4"].href.rpartition("/")[2]))["SR_B4"]
    with pytest.raises(ld.UsageError, match="needs QA_PIXEL"):
        ld.coarsen(alone, factor=7, mask="cloud")
    np.testing.assert_array_equal(ld.coarsen(red, factor=7, mask="cloud").values, wanted)


def test_fractions(oli):
    files = reduced(oli, factor=7)["QA_PIXEL"][1]
    for quality in (oli["QA_PIXEL"], oli["QA_PIXEL"].load(), oli["QA_PIXEL"].expand_dims("band")):
        found = ld.fractions(quality, factor=7)
        assert list(found) == ["valid", "clear", "cloud", "cloud_shadow", "snow", "water", "cirrus"]
        np.testing.assert_array_equal(np.stack([a.values for a in found.data_vars.values()]), files.fractions)
        assert found["cloud"].rio.nodata == 255
        assert found["cloud"].attrs["units"] == "percent"
    with pytest.raises(ld.UsageError, match="made from QA_PIXEL"):
        ld.fractions(oli["red"], factor=7)


def test_plots(oli):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    ld.coarsen(oli["red"], factor=7).plot()
    plt.close("all")


# Foreign arrays ------------------------------------------------------------------------------

SHAPE = 97, 61


def foreign(values, *, name=None, nodata=None, lead=(), chunks=None, ascending=False, dims=("y", "x")) -> xr.DataArray:
    height, width = values.shape[-2:]
    y = 4e6 - 30 * (np.arange(height) + 0.5)
    x = 5e5 + 30 * (np.arange(width) + 0.5)
    array = xr.DataArray(values, dims=(*lead, *dims), name=name, coords={dims[0]: y, dims[1]: x})
    array = array.rio.write_crs("EPSG:32633")
    if nodata is not None:
        array = array.rio.write_nodata(nodata)
    if ascending:
        array = array.isel({dims[0]: slice(None, None, -1)})
    return array.chunk(chunks) if chunks else array


def noise(dtype="uint16", shape=SHAPE, holes=0.2):
    random = np.random.default_rng(0)
    values = random.integers(1, 200, shape).astype(dtype)
    values[random.random(shape) < holes] = 0
    return values


def means(values, factor=10, good=None):
    good = values != 0 if good is None else good
    shape = tuple(-(-n // factor) for n in values.shape)
    found = np.zeros(shape, values.dtype)
    for i, j in np.ndindex(shape):
        at = np.s_[i * factor : (i + 1) * factor, j * factor : (j + 1) * factor]
        chosen = values[at][good[at]]
        found[i, j] = round(Fraction(int(chosen.sum()), chosen.size)) if chosen.size else 0
    return found


@pytest.mark.parametrize("chunks", [None, {"y": 17, "x": 23}])
def test_foreign_arrays_of_numpy_and_dask(chunks):
    values = noise()
    found = ld.coarsen(foreign(values, nodata=0, chunks=chunks), factor=10, grid="scene")
    assert isinstance(found.data, da.Array) == bool(chunks)
    np.testing.assert_array_equal(found.values, means(values))
    assert found.rio.nodata == 0
    assert found.rio.transform() == Affine(300, 0, 5e5, 0, -300, 4e6)


@pytest.mark.parametrize("chunks", [None, {"band": 1, "y": 17}])
def test_leading_dimensions_and_their_coordinates_are_kept(chunks):
    values = np.stack([noise(), noise()[::-1], noise()[:, ::-1]])
    array = foreign(values, nodata=0, lead=("band",), chunks=chunks)
    array = array.assign_coords(band=[3, 1, 7], wavelength=("band", [0.4, 0.5, 0.6]), time=np.datetime64("2023-07-14"))
    found = ld.coarsen(array, factor=10, grid="scene")
    assert found.dims == ("band", "y", "x")
    assert list(found.band) == [3, 1, 7]
    assert list(found.wavelength) == [0.4, 0.5, 0.6]
    assert found.time == np.datetime64("2023-07-14")
    for plane, source in zip(found.values, values, strict=True):
        np.testing.assert_array_equal(plane, means(source))
    four = ld.coarsen(array.expand_dims("time").transpose("y", "x", "time", "band"), factor=10, grid="scene")
    assert set(four.dims) == {"time", "band", "y", "x"}
    np.testing.assert_array_equal(four.transpose("time", "band", "y", "x").values[0], found.values)


def test_an_opened_file_has_a_band_dimension(oli, tmp_path):
    wanted = ld.coarsen(oli["red"], factor=7)
    for chunks in (None, True):
        found = ld.coarsen(rioxarray.open_rasterio(oli.bands["SR_B4"].href, chunks=chunks), factor=7)
        assert found.dims == ("band", "y", "x")
        np.testing.assert_array_equal(found.values[0], wanted.values)
        found.rio.to_raster(tmp_path / "x.tif")
        again = rioxarray.open_rasterio(tmp_path / "x.tif")
        assert again.rio.transform() == wanted.rio.transform()
        assert again.rio.nodata == 0
    masked = ld.coarsen(rioxarray.open_rasterio(oli.bands["SR_B4"].href, masked=True), factor=7)
    assert masked.dtype == np.float32
    assert (np.isnan(masked.values[0]) == (wanted.values == 0)).all()
    np.testing.assert_allclose(np.nan_to_num(masked.values[0]), wanted.values, atol=0.51)


def test_ascending_rows_give_the_same_picture():
    values, quality = noise(), np.where(noise(holes=0.5) == 0, 8, 0).astype("uint16") + 21824
    up = xr.Dataset({"red": foreign(values, nodata=0, ascending=True), "QA_PIXEL": foreign(quality, ascending=True)})
    for chunks in (None, {"y": 20}):
        found = ld.coarsen(up.chunk(chunks) if chunks else up, factor=10, grid="scene", mask="cloud")
        np.testing.assert_array_equal(found["red"].values, means(values, good=(values != 0) & (quality & 8 == 0)))
        assert found.y[0] > found.y[-1]


def test_other_names_of_dimensions():
    values = noise()
    array = foreign(values, nodata=0, dims=("latitude", "longitude"))
    found = ld.coarsen(xr.Dataset({"a": array, "scalar": ((), 5)}), factor=10, grid="scene")
    assert found["a"].dims == ("latitude", "longitude")
    np.testing.assert_array_equal(found["a"].values, means(values))
    assert found["scalar"] == 5


def test_floats_with_nan_and_without_nodata():
    values = noise("float32")
    values[values == 0] = np.nan
    found = ld.coarsen(foreign(values), factor=10, grid="scene")
    assert found.dtype == np.float32
    for i, j in np.ndindex(found.shape):
        block = values[i * 10 : i * 10 + 10, j * 10 : j * 10 + 10].astype("f8")
        assert found.values[i, j] == np.float32(np.nanmean(block))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "int64", "uint64"])
def test_whole_numbers_without_nodata_average_their_zeros(dtype):
    values = noise(dtype)
    values[:10, :10] = 0
    found = ld.coarsen(foreign(values), factor=10, grid="scene")
    np.testing.assert_array_equal(found.values, means(values, good=np.ones(SHAPE, bool)))
    assert found.rio.nodata is None


def test_a_stack_in_time_is_masked_by_the_quality_of_its_time():
    values = np.stack([noise(), noise()])
    quality = np.full(values.shape, 21824, "uint16")
    quality[1] |= 8
    stack = xr.Dataset({"red": foreign(values, nodata=0, lead=("time",)), "qa_pixel": foreign(quality, lead=("time",))})
    found = ld.coarsen(stack, factor=10, grid="scene", mask="cloud")["red"].values
    np.testing.assert_array_equal(found[0], means(values[0]))
    assert (found[1] == 0).all()


# What xarray's own coarsen gets wrong (reference: four measured traps) --------------------------


def test_the_last_cell_does_not_bend_the_grid(tmp_path):
    array = foreign(noise(), nodata=0)
    found = ld.coarsen(array, factor=10, grid="scene")
    assert np.ptp(np.diff(found.x)) == 0
    assert found.rio.resolution() == (300, -300)
    found.rio.to_raster(tmp_path / "x.tif")
    assert rioxarray.open_rasterio(tmp_path / "x.tif").rio.bounds() == (5e5, 4e6 - 3000, 5e5 + 2100, 4e6)


def test_the_stored_transform_is_not_stale():
    found = ld.coarsen(foreign(noise(), nodata=0), factor=8, grid="scene")
    assert found.rio.transform() == found.rio.transform(recalc=True) == Affine(240, 0, 5e5, 0, -240, 4e6)


def test_the_type_stays():
    for dtype in ("uint8", "uint16", "int16", "float32"):
        assert ld.coarsen(foreign(noise(dtype), nodata=0), factor=10, grid="scene").dtype == dtype


def test_fill_is_not_averaged():
    values = np.array([[0, 1000], [1000, 1000]], "uint16")
    assert ld.coarsen(foreign(values, nodata=0), factor=2, grid="scene").item() == 1000


@pytest.mark.parametrize(("dim", "shape"), [("x", (17, 1)), ("y", (1, 17))])
def test_one_row_or_column_must_say_how_large_its_pixels_are(dim, shape):
    y, x = 4e6 - 15 - 30 * np.arange(shape[0]), 5e5 + 15 + 30 * np.arange(shape[1])
    line = xr.DataArray(noise()[: shape[0], : shape[1]], {"y": y, "x": x}, ("y", "x")).rio.write_crs("EPSG:32632")
    with pytest.raises(ld.SceneError, match=f"single {dim} coordinate .*write_transform"):
        ld.coarsen(line, factor=2, grid="scene")
    told = line.rio.write_transform(Affine(30, 0, 5e5, 0, -30, 4e6))
    assert ld.coarsen(told, grid="EPSG:3035@600", method="count").sum() == 17


def test_what_xarray_coarsened_is_refused_where_its_grid_is_bent():
    bent = foreign(noise(), nodata=0).coarsen(y=10, x=10, boundary="pad").mean()
    with pytest.raises(ld.SceneError, match="not evenly spaced"):
        ld.coarsen(bent, factor=2)


# Refusals ------------------------------------------------------------------------------------


def test_codes_are_never_averaged(oli):
    with pytest.raises(ld.UsageError, match="its values are bits"):
        ld.coarsen(oli["QA_PIXEL"], factor=7, method="mean")
    with pytest.raises(ld.UsageError, match="must stay integers"):
        ld.coarsen(oli["QA_PIXEL"].astype("float32").rename("QA_PIXEL"), factor=7)
    codes = np.random.default_rng(0).choice(np.array([1, 21824, 22280, 55052], "uint16"), SHAPE)
    for name in ("QA_PIXEL", "qa_pixel"):
        found = ld.coarsen(foreign(codes, name=name), factor=10, grid="scene")
        assert found.rio.nodata == 1
        assert (found.values & 8).all()
    for name in ("BQA", "GM_B1"):
        found = ld.coarsen(foreign(codes, name=name), factor=10, grid="scene")
        assert set(np.unique(found)) <= set(np.unique(codes))
        with pytest.raises(ld.UsageError, match="classes"):
            ld.coarsen(foreign(codes, name=name), factor=10, grid="scene", method="mean")


@pytest.mark.parametrize("kind", [("oli", 2), ("tm", 2), ("mss", 1)], ids=lambda k: f"{k[0]}{k[1]}")
@pytest.mark.parametrize("name", [None, "quality"], ids=["unnamed", "renamed"])
def test_codes_of_an_opened_file_are_known_by_its_name(folders, kind, name):
    scene = ld.open_scene(str(folders[kind]))
    for band in (b for b in scene.bands.values() if b.spec.kind == "bits" and not b.spec.fill_from):
        opened = rioxarray.open_rasterio(band.href).rename(name)
        found = ld.coarsen(opened.isel(x=slice(0, 300)), factor=7)
        wanted = ld.coarsen(scene[band.name].isel(x=slice(0, 300)), factor=7)
        np.testing.assert_array_equal(found.values[0], wanted.values)
        with pytest.raises(ld.UsageError, match="its values are bits"):
            ld.coarsen(opened, factor=7, method="mean")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "exactly one"),
        ({"factor": 2, "method": "cubic"}, "choose one of"),
        ({"factor": 2, "qa": "best"}, "choose one of"),
        ({"factor": 2, "min_valid": 2}, "between 0 and 1"),
        ({"factor": 2, "min_valid": "x"}, "not a number"),
        ({"factor": 2, "mask": "cloud"}, "needs QA_PIXEL"),
        ({"factor": 999}, "larger than the image"),
    ],
)
def test_impossible_requests_are_refused(options, words):
    with pytest.raises(ld.UsageError, match=words):
        ld.coarsen(foreign(noise(), nodata=0), **options)


def test_arrays_that_are_no_rasters_are_refused():
    with pytest.raises(ld.SceneError, match="without a CRS"):
        ld.coarsen(
            xr.DataArray(noise(), dims=("y", "x"), coords={"y": -np.arange(97.0), "x": np.arange(61.0)}), factor=2
        )
    with pytest.raises(ld.SceneError, match="needs y and x"):
        ld.coarsen(xr.DataArray(noise(), dims=("a", "b")), factor=2)
    with pytest.raises(ld.UsageError, match="cannot coarsen a ndarray: give a DataArray"):
        ld.coarsen(noise(), factor=2)
    with pytest.raises(ld.UsageError, match="complex64"):
        ld.coarsen(foreign(noise().astype("complex64")), factor=2)
    with pytest.raises(ld.SceneError, match="coordinates"):
        ld.coarsen(foreign(noise()).drop_vars("x"), factor=2)


# Processes -----------------------------------------------------------------------------------


def run_script(body: str) -> subprocess.CompletedProcess:
    script = textwrap.dedent(body)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)


def test_an_interpreter_leaves_in_silence(folders):
    done = run_script(f"""
        import landsat_downsample as ld
        scene = ld.open_scene({str(folders["oli", 2])!r})
        kept = scene.dataset(["red", "qa_pixel"])
        lazy = ld.coarsen(kept, factor=7, mask="cloud")
        half = ld.coarsen(scene["nir08"].isel(y=slice(0, 100)), factor=7)
        print(int(lazy.compute()["red"].max() > 0), half.shape)
    """)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 (15, 48)\n", "")


@pytest.mark.slow
def test_blocks_computed_in_other_processes(folders):
    done = run_script(f"""
        import numpy as np, landsat_downsample as ld
        from dask.distributed import Client
        if __name__ == "__main__":
            scene = ld.open_scene({str(folders["oli", 2])!r})
            lazy = ld.coarsen(scene.dataset(), factor=7, mask="cloud")
            here = lazy.compute(scheduler="synchronous")
            with Client(n_workers=2, threads_per_worker=1, dashboard_address=None) as client:
                there = lazy.compute()
            print(here.identical(there), len(there))
    """)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "True 19\n"
