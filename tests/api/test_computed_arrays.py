"""Arrays that are no longer the band they came from, whatever their attributes say; stacks; codes of other origin."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
import rioxarray
import xarray as xr
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin

import landsat_downsample as ld

F = 4
RED = np.random.default_rng(1).integers(8000, 12000, (8, 16)).astype("uint16")
RED[:, :6] = 0
RED[3, 9] = 0
LATER = (RED + np.random.default_rng(2).integers(-1, 2, RED.shape) * (RED > 0)).astype("uint16")
CODES = np.random.default_rng(4).choice(np.array([1, 21824, 21952, 22280, 23888], "uint16"), (8, 16))


def mean(values, good=None):
    values = np.where(True if good is None else good, values.astype("f8"), np.nan)
    blocks = values.reshape(values.shape[0] // F, F, values.shape[1] // F, F)
    with np.errstate(invalid="ignore"):
        count = (~np.isnan(blocks)).sum((1, 3))
        return np.nansum(blocks, (1, 3)) / np.where(count, count, np.nan)


def raster(values, nodata=0, **more):
    height, width = values.shape[-2:]
    y, x = 5100000 - 30.0 * (np.arange(height) + 0.5), 300000 + 30.0 * (np.arange(width) + 0.5)
    dims = (*(f"d{k}" for k in range(values.ndim - 2)), "y", "x")
    array = xr.DataArray(values, dims=dims, coords={"y": y, "x": x}, **more).rio.write_crs("EPSG:32633")
    return array if nodata is None else array.rio.write_nodata(nodata)


def placed(array):
    """The array with the CRS that old arithmetic drops from its coordinates."""
    return array if array.rio.crs else array.rio.write_crs("EPSG:32633")


def opened(folder, name, values, count=1, **profile):
    path = folder / name
    grid = {
        "crs": "EPSG:32633",
        "transform": from_origin(300000, 5100000, 30, 30),
        "dtype": values.dtype,
        "count": count,
    }
    with rasterio.open(
        path, "w", driver="GTiff", height=values.shape[0], width=values.shape[1], **grid, **profile
    ) as file:
        file.write(values, 1)
    return path


@pytest.fixture(name="attributes", params=[True, False], ids=["kept", "dropped"], autouse=True)
def _attributes(request):
    """As xarray does from 2025.11 on, and as it did before."""
    with xr.set_options(keep_attrs=request.param):
        yield request.param


@pytest.fixture(name="bands", params=["made", "opened", "dask", "stacked"])
def _bands(request, tmp_path):
    """The same two dates as arrays of other libraries have them."""
    if request.param == "opened":
        paths = [opened(tmp_path, f"{k}.tif", values, nodata=0) for k, values in enumerate((RED, LATER))]
        return [rioxarray.open_rasterio(path).squeeze("band", drop=True) for path in paths]
    a, b = raster(RED), raster(LATER)
    if request.param == "stacked":
        a, b = xr.concat([a, b], "time")
    return [a.chunk(y=3), b.chunk(y=5)] if request.param == "dask" else [a, b]


@pytest.fixture(scope="module", name="scene")
def _scene(tmp_path_factory):
    return ld.open_scene(str(ld.make_scene(tmp_path_factory.mktemp("computed"), size=(96, 64), seed=4)))


COMPUTED = {
    "masked": lambda a, b: a.where(a != 0),
    "reflectance": lambda a, b: a.where(a != 0) * 2.75e-5 - 0.2,
    "share": lambda a, b: (a > 10000).astype("float32"),
    "share of float64": lambda a, b: (a > 10000) * 1.0,
    "condition": lambda a, b: a > 10000,
    "missing": lambda a, b: a.where(a != 0).isnull(),
    "change": lambda a, b: b.astype("float64") - a.astype("float64"),
    "change where both are": lambda a, b: b.where(b != 0) - a.where(a != 0),
    "index": lambda a, b: (b.where(b != 0) - a.where(a != 0)) / (b.where(b != 0) + a.where(a != 0)),
    "filled": lambda a, b: a.where(a != 0).fillna(1.0),
    "clipped": lambda a, b: a.where(a != 0).clip(9000, 11000),
    "rolled": lambda a, b: a.where(a != 0).rolling(y=3, min_periods=1).mean(),
    "zero on purpose": lambda a, b: a.where(a > 10000, 0.0),
}


@pytest.mark.filterwarnings("ignore:pixels of 0 were averaged:UserWarning")
@pytest.mark.parametrize("what", COMPUTED)
def test_what_was_computed_is_not_the_band(bands, what):
    array = placed(COMPUTED[what](*bands))
    found = ld.coarsen(array, factor=F)
    assert found.dtype == (np.float32 if array.dtype == bool else array.dtype)
    np.testing.assert_allclose(found.values, mean(array.values), rtol=1e-6, atol=1e-9)
    again = ld.coarsen(found, factor=2).values
    np.testing.assert_equal(np.isnan(again), np.isnan(found.values).reshape(1, 2, 2, 2).all((1, 3)))


INTEGERS = {
    "moved": lambda a, b: a + np.uint16(1),
    "clipped": lambda a, b: a.clip(1, 9000),
    "left out by 0": lambda a, b: a.where(a > 10000, 0),
    "difference": lambda a, b: b.astype("int32") - a.astype("int32"),
    "wider": lambda a, b: a.astype("int32"),
    "flag": lambda a, b: (a > 10000).astype("uint8"),
}


@pytest.mark.filterwarnings("ignore:an array of 0 and 1 calls 0 no data:UserWarning")
@pytest.mark.parametrize("what", INTEGERS)
def test_computed_integers_say_what_their_nodata_is_or_are_refused(bands, what):
    array = placed(INTEGERS[what](*bands))
    plain = array.copy()
    plain.attrs = {}
    with_all = ld.coarsen(plain, factor=F).values
    np.testing.assert_array_equal(with_all, np.rint(mean(array.values)))
    if "_FillValue" not in array.attrs:  # dropped with the other attributes: nothing says that 0 is no data
        np.testing.assert_array_equal(ld.coarsen(array, factor=F), with_all)
        return
    with pytest.raises(ld.UsageError, match=r"still means no data is not known: .*encoded=True.*attrs = {}"):
        ld.coarsen(array, factor=F)
    said = ld.coarsen(array.rio.write_nodata(0, encoded=True), factor=F)
    wanted = np.nan_to_num(np.rint(mean(array.values, array.values != 0)))
    assert (np.abs(said - wanted) <= (what == "difference")).all()  # a mean of 0 is moved off the nodata value
    assert said.rio.nodata == 0


SELECTED = {
    "as it is": lambda a: a,
    "rows": lambda a: a.isel(y=slice(4, 8)),
    "by label": lambda a: a.sel(x=slice(300120, 300480)),
    "chunked": lambda a: a.chunk(y=3),
    "persisted": lambda a: a.chunk(y=3).persist(),
    "computed": lambda a: a.chunk(y=3).compute(),
    "copied": lambda a: a.copy(deep=True),
    "renamed": lambda a: a.rename("something"),
    "south up": lambda a: a.sortby("y"),
    "over time": lambda a: xr.concat([a, a], "time"),
    "in a dataset": lambda a: xr.Dataset({"a": a})["a"],
    "coarsened before": lambda a: ld.coarsen(a, factor=1),
}


@pytest.mark.parametrize("what", SELECTED)
def test_a_selection_still_is_the_band(bands, what):
    array = SELECTED[what](bands[0])
    found = ld.coarsen(array, factor=F)
    values = array.transpose(..., "y", "x").values
    values = values[..., ::-1, :] if what == "south up" else values
    wanted = np.rint(mean(values.reshape(-1, values.shape[-1]), values.reshape(-1, values.shape[-1]) != 0))
    np.testing.assert_array_equal(found.values.reshape(wanted.shape), np.nan_to_num(wanted))
    assert (found.dtype, found.rio.nodata) == (np.uint16, 0)


def test_a_nodata_value_that_no_arithmetic_gives_is_believed_in_floats_too(attributes):
    height = RED.astype("float32") - 9000
    height[RED == 0] = -9999
    for array in (raster(height, -9999), raster(height, -9999) * np.float32(1))[: 1 + attributes]:
        found = ld.coarsen(array, factor=F)
        np.testing.assert_allclose(found.where(found != -9999), mean(height, RED != 0), rtol=1e-6)


def test_numbers_of_a_band_made_floats_are_reported(attributes):
    array = raster(np.tile(RED, (2, 2))).astype("float32")
    if attributes:
        with pytest.warns(UserWarning, match="pixels of 0 were averaged as values"):
            ld.coarsen(array, factor=F)


# Own scenes ----------------------------------------------------------------------------------


@pytest.mark.filterwarnings("error::UserWarning")
def test_own_bands_by_any_way_to_their_pixels(scene):
    for name in ("SR_B4", "QA_PIXEL", "ST_CDIST", "ST_EMSD", "QA_RADSAT"):
        lazy = scene[name]
        wanted = ld.coarsen(lazy, factor=F)
        for same in (lazy.compute(), lazy.persist(), lazy.chunk(y=7), lazy.isel(y=slice(None)).load(), wanted):
            found = ld.coarsen(same, factor=1 if same is wanted else F)
            xr.testing.assert_equal(found.compute(), wanted.compute())
            assert found.rio.nodata == wanted.rio.nodata or name == "QA_RADSAT"
        two = ld.coarsen(xr.concat([lazy, lazy], "time"), factor=F)
        np.testing.assert_array_equal(two.values, np.stack([wanted.values] * 2))


def test_own_bands_that_were_computed(scene, attributes):
    nir, red, quality = (scene[name] for name in ("nir08", "red", "qa_pixel"))
    ndvi = (nir.where(nir != 0) - red.where(red != 0)) / (nir.where(nir != 0) + red.where(red != 0))
    np.testing.assert_allclose(ld.coarsen(ndvi, factor=F), mean(ndvi.values), rtol=1e-6)
    for condition in ((quality & 8) != 0, nir > 20000):
        for share in (condition, condition.astype("float32").rename("share")):
            np.testing.assert_allclose(ld.coarsen(share, factor=F), mean(condition.values), rtol=1e-6)
        assert "landsat_band" not in ld.coarsen(condition, factor=F).attrs
    if attributes:
        with pytest.raises(ld.UsageError, match="whether 0 still means no data is not known"):
            ld.coarsen(red + np.uint16(1), factor=F)
    for dtype in ("float32", "uint8"):
        with pytest.raises(
            ld.UsageError, match=r"must stay integers; .* another name, or the condition itself \(bool\)"
        ):
            ld.coarsen(((quality & 8) != 0).astype(dtype), factor=F)
    with pytest.raises(ld.SceneError, match="which no QA_PIXEL of this sensor"):
        ld.coarsen(quality & np.uint16(8), factor=F).compute()


def test_flags_cast_to_the_type_of_codes_are_refused(scene, attributes):
    flag = ((scene["SR_QA_AEROSOL"] >> 6) == 1).astype("uint8").compute()
    assert set(np.unique(flag)) == {0, 1}
    if attributes:
        with pytest.raises(ld.UsageError, match="a flag, and no codes; give the condition itself"):
            ld.coarsen(flag, factor=F)


def test_flags_whose_zero_is_called_no_data_are_reported():
    flag = xr.DataArray((RED > 10000).astype("uint8"), coords=raster(RED).coords, dims=("y", "x"), attrs={"nodata": 0})
    with pytest.warns(UserWarning, match="an array of 0 and 1 calls 0 no data"):
        ld.coarsen(flag, factor=F)


def test_fractions_may_be_coarsened_further(scene):
    found = ld.coarsen(ld.fractions(scene["qa_pixel"], factor=F)["cloud"], factor=2)
    assert found.rio.nodata == 255
    assert (found.values == 255).any()


def test_a_computed_band_of_another_reducer_is_averaged_with_a_word(scene, attributes):
    distance = scene["ST_CDIST"].where(scene["QA_PIXEL"] != 1) * 0.01
    if attributes:
        with pytest.warns(UserWarning, match=r"is not what ST_CDIST stores: averaged .* method='min'"):
            found = ld.coarsen(distance, factor=F)
        np.testing.assert_allclose(found, mean(distance.values), rtol=1e-6)


# Codes and stacks ----------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.* is not what .* stores:UserWarning")
@pytest.mark.parametrize(
    "more",
    [
        {"attrs": {"flag_values": [1, 5], "flag_meanings": "a b"}},
        {"attrs": {"flag_masks": [1, 4], "flag_meanings": "a b"}},
        {"attrs": {"flags_definition": {"fmask": {}}}},
        {"name": "fmask"},
        {"name": "LC80060522014113LGN00_cfmask"},
        {"name": "oa_fmask"},
        {"name": "pixel_qa"},
        {"attrs": {"long_name": "Fmask4"}},
        {"coords": {"band": "SCL"}},
    ],
    ids=str,
)
def test_codes_that_say_so_are_not_averaged(more):
    codes = np.random.default_rng(0).choice(np.array([1, 5], "uint8"), (40, 40))
    array = raster(codes, None, name=more.get("name")).assign_attrs(more.get("attrs", {}))
    array = array.assign_coords(more.get("coords", {}))
    for chunks in (None, {"y": 16}):
        found = ld.coarsen(array.chunk(chunks) if chunks else array, factor=10)
        assert set(np.unique(found)) <= {1, 5}
        with pytest.raises(ld.UsageError, match="classes"):
            ld.coarsen(array, factor=10, method="mean")
    share = (array == 5).astype("float32")
    if "name" not in more:
        np.testing.assert_allclose(
            ld.coarsen(share, factor=10), (codes == 5).reshape(4, 10, 4, 10).mean((1, 3)), rtol=1e-6
        )
    np.testing.assert_allclose(
        ld.coarsen(array == 5, factor=10), (codes == 5).reshape(4, 10, 4, 10).mean((1, 3)), rtol=1e-6
    )


def test_what_looks_like_codes_is_reported():
    codes = np.random.default_rng(0).choice(np.array([1, 5], "uint8"), (40, 40))
    with pytest.warns(UserWarning, match="look like classes or codes, and was averaged: give method='mode'"):
        ld.coarsen(raster(codes, None, name="north"), factor=10)


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize(
    "values", [np.arange(1600).reshape(40, 40) % 100, np.eye(40), np.full((40, 40), 7)], ids=["many", "flags", "one"]
)
def test_what_does_not_look_like_codes_is_not_reported(values):
    ld.coarsen(raster(values.astype("uint8"), None, name="north"), factor=10)
    ld.coarsen(raster(np.tile(np.array([1, 5], "uint8"), (40, 20)), None), factor=10, method="mean")


def stack_of(kind):
    dataset = xr.Dataset({"red": raster(RED), "qa_pixel": raster(CODES, None)})
    stack = dataset.to_array("band")
    if kind == "long_name":
        return stack.assign_coords(band=[1, 2]).assign_attrs(long_name=("SR_B4", "QA_PIXEL"))
    if kind == "variable":
        return dataset.to_array()
    if kind == "stackstac":
        stack = stack.astype("float64").where((stack != 0) & (stack != 1)).expand_dims("time")
    return stack.chunk(y=3) if kind == "dask" else stack


@pytest.mark.parametrize("kind", ["to_array", "variable", "stackstac", "long_name", "dask"])
def test_each_plane_of_a_stack_by_its_own_meaning(kind):
    stack = stack_of(kind)
    found = ld.coarsen(stack, factor=F)
    assert (found.dims, found.dtype) == (stack.dims, stack.dtype)
    codes = ld.coarsen(raster(CODES, None, name="QA_PIXEL"), factor=F).values
    red = mean(RED, RED != 0)  # the catalogue's fill, where the stack states none
    red = np.nan_to_num(red if kind == "stackstac" else np.rint(red))
    last = found.values.reshape(2, 2, 4)
    np.testing.assert_array_equal(np.nan_to_num(last[1], nan=1), codes)
    np.testing.assert_allclose(np.nan_to_num(last[0]), red)
    if kind == "stackstac":
        assert np.isnan(found.rio.nodata)


def test_the_quality_plane_of_a_stack_masks_the_others():
    for kind in ("to_array", "stackstac"):
        stack = stack_of(kind)
        red = ld.coarsen(stack, factor=F, mask="cloud").values.reshape(2, 2, 4)[0]
        values = stack.values.reshape(2, 8, 16)[0]
        wanted = mean(values, (CODES & 8 == 0) & (values != 0) & ((CODES != 1) | (kind == "to_array")))
        np.testing.assert_allclose(np.nan_to_num(red), np.nan_to_num(np.rint(wanted) if kind == "to_array" else wanted))


def test_a_scaled_stack_with_a_quality_plane_is_refused():
    with pytest.raises(ld.UsageError, match="holds fractions"):
        ld.coarsen(stack_of("stackstac") * 2.75e-5 - 0.2, factor=F)


def test_an_own_stack(scene):
    stack = scene.dataset(["red", "nir08", "qa_pixel"]).to_array("band")
    found = ld.coarsen(stack, factor=F)
    for name in ("red", "nir08", "qa_pixel"):
        np.testing.assert_array_equal(found.sel(band=name), ld.coarsen(scene[name], factor=F))


# Files that somebody else opened ---------------------------------------------------------------


def masked_file(folder, kind):
    valid = np.where(RED > 9000, 255, 0).astype("uint8")
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=kind == "internal"):
        path = opened(folder, f"{kind}.tif", RED, count=2 if kind == "alpha" else 1)
        with rasterio.open(path, "r+") as file:
            if kind == "alpha":
                file.colorinterp = [ColorInterp.gray, ColorInterp.alpha]
                file.write(valid.astype("uint16") * 257, 2)
            else:
                file.write_mask(valid)
    return path


@pytest.mark.parametrize("kind", ["internal", "msk", "alpha"])
@pytest.mark.parametrize("chunks", [None, {"y": 4}])
def test_a_mask_is_honoured_or_its_loss_refused(tmp_path, kind, chunks):
    path = masked_file(tmp_path, kind)
    found = ld.coarsen(rioxarray.open_rasterio(path, masked=True, chunks=chunks), factor=F)
    np.testing.assert_allclose(found[0], mean(RED, RED > 9000), rtol=1e-6)
    with pytest.raises(ld.UsageError, match=r"the file's mask says .* masked=True"):
        ld.coarsen(rioxarray.open_rasterio(path, chunks=chunks), factor=F)
    with pytest.raises(ld.SceneError, match="which pixels are valid"):
        ld.open_scene(str(path))


def test_a_colour_table_says_classes_in_both_faces(tmp_path):
    codes = np.random.default_rng(0).choice(np.array([1, 5, 9], "uint8"), (40, 40))
    path = opened(tmp_path, "north.tif", codes)
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {k: (k, 255 - k, k, 255) for k in range(256)})
    single = ld.coarsen(ld.open_scene(str(path))["north"], factor=10)
    found = ld.coarsen(rioxarray.open_rasterio(path), factor=10)
    np.testing.assert_array_equal(found[0], single)
    assert set(np.unique(found)) <= {1, 5, 9}


def test_nodata_of_a_sidecar_is_honoured(tmp_path):
    path = opened(tmp_path, "x.tif", RED)
    (tmp_path / "x.tif.aux.xml").write_text(
        "<PAMDataset><PAMRasterBand band='1'><NoDataValue>0</NoDataValue></PAMRasterBand></PAMDataset>"
    )
    found = ld.coarsen(rioxarray.open_rasterio(path), factor=F)
    np.testing.assert_array_equal(found[0], np.nan_to_num(np.rint(mean(RED, RED != 0))))
    np.testing.assert_array_equal(found[0], ld.coarsen(ld.open_scene(str(path))["x"], factor=F))


def test_an_opened_landsat_file_means_what_its_name_says(tmp_path):
    name = "LC08_L1TP_192028_20230714_20230724_02_T1_SAA.TIF"
    values = np.where(np.arange(128).reshape(8, 16) % 2, 17900, -17900).astype("int16")
    path = opened(tmp_path, name, values)
    single = ld.coarsen(ld.open_scene(str(path))["SAA"], factor=F)
    np.testing.assert_array_equal(ld.coarsen(rioxarray.open_rasterio(path), factor=F)[0], single)
    assert (np.abs(single) == 18000).all()


# Grids ---------------------------------------------------------------------------------------

STEP = 0.00026949458523585647  # 30 m


@pytest.mark.parametrize(
    "change",
    [lambda v: v, np.float32, lambda v: np.round(v, 6), lambda v: np.round(v, 5)],
    ids=["exact", "f4", "6", "5"],
)
@pytest.mark.parametrize("shape", [(40, 24), (400, 1200)], ids=["small", "large"])
def test_rounded_coordinates_are_those_of_the_grid_that_was_meant(change, shape):
    y, x = 46.9 - STEP * (np.arange(shape[0]) + 0.5), -120.7 + STEP * (np.arange(shape[1]) + 0.5)
    coords = {"y": change(y), "x": change(x)}
    array = xr.DataArray(np.ones(shape, "uint8"), dims=("y", "x"), coords=coords).rio.write_crs("EPSG:4326")
    found = ld.coarsen(array, factor=F)
    bounds = -120.7, 46.9 - STEP * shape[0], -120.7 + STEP * shape[1], 46.9
    assert found.rio.bounds() == pytest.approx(bounds, abs=STEP * 0.02)
    written = array.rio.write_transform(rasterio.Affine(STEP, 0, -120.7, 0, -STEP, 46.9))
    found = ld.coarsen(written.isel(y=slice(8, None), x=slice(4, None)), factor=F)
    assert found.rio.bounds() == pytest.approx((bounds[0] + 4 * STEP, *bounds[1:3], 46.9 - 8 * STEP), abs=STEP * 1e-6)


@pytest.mark.parametrize("at", [0, 20, 39])
def test_a_centre_out_of_place_is_refused_in_any_type(at):
    y, x = 46.9 - STEP * (np.arange(40) + 0.5), -120.7 + STEP * (np.arange(40) + 0.5)
    for change in (lambda v: v, np.float32, lambda v: np.round(v, 6)):
        moved = x.copy()
        moved[at] += 0.3 * STEP
        array = xr.DataArray(np.ones((40, 40), "uint8"), dims=("y", "x"), coords={"y": y, "x": change(moved)})
        with pytest.raises(ld.SceneError, match="not evenly spaced"):
            ld.coarsen(array.rio.write_crs("EPSG:4326"), factor=F)


@pytest.mark.parametrize("names", [("lat", "lon"), ("Y", "X"), ("northing", "easting"), ("Latitude", "Longitude")])
def test_axes_by_other_usual_names(names):
    array = raster(RED).rename(dict(zip(("y", "x"), names, strict=True)))
    found = ld.coarsen(array, factor=F)
    assert found.dims == names
    np.testing.assert_array_equal(found.values, ld.coarsen(raster(RED), factor=F).values)


def test_axes_of_unknown_names_are_said_by_the_user():
    array = raster(RED).rename(y="rows", x="columns")
    with pytest.raises(ld.SceneError, match=r"needs y and x; say which they are with \.rio\.set_spatial_dims"):
        ld.coarsen(array, factor=F)
    found = ld.coarsen(array.rio.set_spatial_dims(x_dim="columns", y_dim="rows"), factor=F)
    np.testing.assert_array_equal(found.values, ld.coarsen(raster(RED), factor=F).values)
