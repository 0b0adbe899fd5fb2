"""xarray's own doors: the engine, the accessor `.landsat`, and what arrays carry into files and back."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import rasterio
import rioxarray
import xarray as xr

import landsat_downsample as ld
from landsat_downsample.model.bands import specs
from landsat_downsample.model.indices import INDICES

KINDS = [("oli", 1), ("oli", 2), ("etm", 1), ("tm", 2), ("mss", 1)]
SIZE = (331, 287)


@pytest.fixture(scope="module", name="folders")
def _folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("xarray")
    return {k: Path(ld.make_scene(folder, sensor=k[0], level=k[1], size=SIZE, seed=4)) for k in KINDS}


@pytest.fixture(name="oli")
def _oli(folders):
    return ld.open_scene(folders["oli", 2])


def stored(scene, name) -> np.ndarray:
    with rasterio.open(scene.band(name).href) as file:
        return file.read(1)


def reflectance(scene, name) -> np.ndarray:
    values = stored(scene, name)
    return np.where(values == 0, np.nan, values * 2.75e-5 - 0.2).astype("float32")


def clear(scene, bits=8 | 16) -> np.ndarray:
    return (stored(scene, "QA_PIXEL") & bits) == 0


# What arrays carry ---------------------------------------------------------------------------


def test_variables_have_the_names_that_were_asked_for(oli):
    assert list(oli.dataset(["red", "nir", "Qa_Pixel", "SR_B4"])) == ["red", "nir", "Qa_Pixel", "SR_B4"]
    assert list(oli.dataset("red,nir08")) == ["red", "nir08"]
    assert set(oli.dataset()) == set(oli.bands)
    assert oli.dataset(["red"]).red.attrs["landsat_band"] == "SR_B4"
    with pytest.raises(ld.UsageError, match="did you mean red"):
        oli.dataset(["redd"])


def test_time_is_that_of_the_scene(oli, folders, tmp_path):
    wanted = np.datetime64(oli.properties["datetime"].removesuffix("Z"), "ns")
    for array in (
        oli["red"],
        oli.dataset(["red"]),
        ld.coarsen(oli["red"], factor=7),
        ld.fractions(oli["QA_PIXEL"], factor=7),
    ):
        assert array.time.dtype == "datetime64[ns]" and array.time.ndim == 0 and array.time.values == wanted
    file = next(folders["oli", 2].glob("*_SR_B4.TIF"))
    (tmp_path / file.name).write_bytes(file.read_bytes())  # its day is in its name
    assert ld.open_scene(tmp_path / file.name)["SR_B4"].time.values == wanted.astype("datetime64[D]")
    (tmp_path / "any.tif").write_bytes(file.read_bytes())
    assert "time" not in ld.open_scene(tmp_path / "any.tif")["any"].coords


def test_dates_concatenate(oli):
    later = oli.dataset(["red"]).assign_coords(time=np.datetime64("2030-01-01", "ns"))
    cube = xr.concat([oli.dataset(["red"]), later], "time")
    assert cube.red.dims == ("time", "y", "x")


def test_a_dataset_says_what_it_is(oli):
    said = oli.dataset(["red"]).attrs
    product = oli.id.split("_")
    assert said["Conventions"] == "CF-1.11"
    assert said["platform"] == "landsat-8" and said["processing_level"] == product[1]
    assert said["landsat_wrs_path"] + said["landsat_wrs_row"] == product[2]
    assert oli.id in said["title"]
    assert ld.coarsen(oli.dataset(["red"]), factor=7).attrs == said


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_flags_by_the_cf_conventions_and_as_variables(folders, kind):
    scene = ld.open_scene(folders[kind])
    dataset = scene.dataset()
    for name, array in dataset.data_vars.items():
        fields = specs(scene.sensor, scene.level)[name].fields
        assert ("flag_masks" in array.attrs) == bool(fields)
        if not fields:
            continue
        values, found = stored(scene, name), array.landsat.flags
        masks, codes = array.attrs["flag_masks"], array.attrs["flag_values"]
        names = array.attrs["flag_meanings"].split()
        assert masks.dtype == codes.dtype == array.dtype and len(masks) == len(names) == len(
            set(zip(masks, codes, strict=True))
        )
        # CF forbids values that repeat: fields that are 0 are flags of ours, and not among its attributes.
        nothing = [f"{field.name}_{field.levels[0].replace(' ', '_')}" for field in fields if field.levels]
        assert [flag for flag in found if flag not in nothing] == names and len(set(codes.tolist())) == len(codes)
        for flag, mask, code in zip(names, masks, codes, strict=True):
            assert found[flag].dtype == bool
            np.testing.assert_array_equal(found[flag], (values & mask) == code)
        for field in fields:
            if field.length == 1:
                np.testing.assert_array_equal(found[field.name], (values >> field.offset) & 1 == 1)
    xr.testing.assert_identical(dataset.landsat.flags, dataset["QA_PIXEL"].landsat.flags)


def test_masked_and_scaled(oli):
    names = ["red", "ST_CDIST", "lwir11", "qa_pixel"]
    masked, scaled = oli.dataset(names, masked=True), oli.dataset(names, scaled=True)
    red = stored(oli, "red")
    np.testing.assert_array_equal(masked.red, np.where(red == 0, np.nan, red))
    np.testing.assert_array_equal(scaled.red, reflectance(oli, "red"))
    kelvin = stored(oli, "lwir11")
    np.testing.assert_array_equal(scaled.lwir11, np.where(kelvin == 0, np.nan, kelvin * 0.00341802 + 149).astype("f4"))
    distance = stored(oli, "ST_CDIST")
    np.testing.assert_array_equal(scaled.ST_CDIST, np.where(distance == -9999, np.nan, distance * 0.01).astype("f4"))
    assert scaled.lwir11.attrs["units"] == "kelvin" and "scale_factor" not in scaled.lwir11.attrs
    for dataset in (masked, scaled):
        assert all(isinstance(array.data, da.Array) for array in dataset.data_vars.values())
        assert dataset.red.dtype == "float32" and dataset.qa_pixel.dtype == "uint16"
        assert np.isnan(dataset.red.rio.nodata if dataset.red.rio.nodata is not None else np.nan)
    xr.testing.assert_identical(scaled, scaled.landsat.scaled())  # once is enough


def test_angles_have_no_value_for_no_data_but_that_of_qa_pixel(folders):
    scene = ld.open_scene(folders["oli", 1])
    found = scene.dataset(["SZA", "QA_PIXEL"], scaled=True).SZA
    fill = stored(scene, "QA_PIXEL") & 1 == 1
    np.testing.assert_array_equal(found, np.where(fill, np.nan, stored(scene, "SZA") * 0.01).astype("f4"))
    xr.testing.assert_equal(
        scene.dataset(["SZA"], scaled=True).SZA, found
    )  # of the scene, where it is not in the Dataset


def test_the_mean_of_clear_reflectance(oli):
    """As the README does it; of DN with their zeros it would be another number."""
    cells = ld.coarsen(oli.dataset(["red", "qa_pixel"]), factor=10, grid="scene", mask="cloud,shadow").landsat.scaled()
    pixels = np.where(clear(oli), reflectance(oli, "red"), np.nan)
    blocks = pixels[:280, :330].reshape(28, 10, 33, 10).swapaxes(1, 2).reshape(28, 33, 100)
    count = np.isfinite(blocks).sum(-1)
    wanted = np.nansum(blocks.astype("f8"), -1) / np.where(count, count, np.nan)
    np.testing.assert_allclose(cells.red[:28, :33], wanted, atol=2.75e-5 / 2 + 1e-7)


# Files and back ------------------------------------------------------------------------------


def there_and_back(dataset, folder, kind, **how):
    folder.mkdir(exist_ok=True)
    if kind == "netcdf":
        dataset.to_netcdf(folder / "cube.nc", engine="h5netcdf")
        return xr.open_dataset(folder / "cube.nc", engine="h5netcdf", **how)
    dataset.to_zarr(folder / "cube.zarr", zarr_format=int(kind[-1]), consolidated=False)
    return xr.open_zarr(folder / "cube.zarr", consolidated=False, **how)


FILES = ["netcdf", "zarr2", "zarr3"]


@pytest.mark.parametrize("file", FILES)
def test_codes_stay_integers_and_numbers_become_reflectance(oli, tmp_path, file):
    dataset = oli.dataset(["red", "qa_pixel", "QA_RADSAT", "SR_QA_AEROSOL"])
    found = there_and_back(dataset, tmp_path, file)
    for name in ("qa_pixel", "QA_RADSAT", "SR_QA_AEROSOL"):
        assert found[name].dtype == dataset[name].dtype
        np.testing.assert_array_equal(found[name], stored(oli, name))
        assert found[name].attrs["flag_meanings"] == dataset[name].attrs["flag_meanings"]
    np.testing.assert_allclose(found.red, reflectance(oli, "red"), rtol=1e-6)
    assert found.attrs == dataset.attrs
    assert found.time.values == dataset.time.values
    xr.testing.assert_identical(
        found.qa_pixel.landsat.flags.drop_vars("spatial_ref", errors="ignore").load(),
        dataset.qa_pixel.landsat.flags.drop_vars("spatial_ref").load(),
    )
    np.testing.assert_allclose(found.landsat.scaled().red, reflectance(oli, "red"), rtol=1e-6)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("what", ["pixels", "cells", "physical cells"])
def test_a_second_journey_loses_nothing(oli, tmp_path, file, what):
    """Opened as reflectance and stored again: the same integers, or floats, lie in both files."""
    dataset = oli.dataset(["red", "lwir11", "ST_CDIST", "qa_pixel"])
    if what != "pixels":
        dataset = ld.coarsen(dataset, factor=7, mask="cloud")
    if what == "physical cells":
        dataset = dataset.landsat.scaled()
    dataset = dataset.load()
    first = there_and_back(dataset, tmp_path / "first", file).load()
    second = there_and_back(first, tmp_path / "second", file, mask_and_scale=False)
    for name in dataset:
        assert second[name].dtype == dataset[name].dtype
        np.testing.assert_array_equal(second[name], dataset[name])
        assert first[name].dtype.kind == ("u" if name == "qa_pixel" else "f")


@pytest.mark.parametrize("file", FILES)
def test_level_1_numbers_stay_integers(folders, tmp_path, file):
    scene = ld.open_scene(folders["oli", 1])
    found = there_and_back(scene.dataset(["red", "qa_pixel"]), tmp_path, file)
    assert found.red.dtype == "uint16"
    np.testing.assert_array_equal(found.red, stored(scene, "red"))
    cells = ld.coarsen(found, factor=7, mask="cloud")
    wanted = ld.coarsen(scene.dataset(["red", "qa_pixel"]), factor=7, mask="cloud")
    np.testing.assert_array_equal(cells.red, wanted.red)
    np.testing.assert_array_equal(cells.qa_pixel, wanted.qa_pixel)


@pytest.mark.parametrize("file", FILES)
def test_stored_numbers_are_those_of_the_scene(oli, tmp_path, file):
    dataset = oli.dataset(["red", "ST_CDIST", "qa_pixel"])
    found = there_and_back(dataset, tmp_path, file, mask_and_scale=False)
    for name in dataset:
        assert found[name].dtype == dataset[name].dtype
        np.testing.assert_array_equal(found[name], stored(oli, name))
    cells, wanted = (ld.coarsen(one, factor=7, mask="cloud") for one in (found, dataset))
    for name in dataset:
        np.testing.assert_array_equal(cells[name], wanted[name])
        assert cells[name].rio.nodata == wanted[name].rio.nodata
    np.testing.assert_array_equal(found.landsat.scaled().red, reflectance(oli, "red"))


@pytest.mark.parametrize("file", FILES)
def test_cells_and_masked_numbers_come_back(oli, tmp_path, file):
    cells = ld.coarsen(oli.dataset(["red", "qa_pixel"], masked=True), factor=7, mask="cloud")
    found = there_and_back(cells.landsat.scaled(), tmp_path, file)
    np.testing.assert_array_equal(found.red, cells.landsat.scaled().red)
    np.testing.assert_array_equal(found.qa_pixel, cells.qa_pixel)
    (tmp_path / "masked").mkdir()
    masked = there_and_back(oli.dataset(["red"], masked=True), tmp_path / "masked", file)
    np.testing.assert_allclose(masked.red, reflectance(oli, "red"), rtol=1e-6)


# The accessor --------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["landsat_downsample, xarray", "xarray, landsat_downsample", "xarray"])
def test_the_accessor_is_there_whichever_import_is_first(first):
    code = f"import {first}; print(hasattr(xarray.Dataset, 'landsat'), hasattr(xarray.DataArray, 'landsat'))"
    code += "; print(xarray.__spec__.loader is xarray.__loader__, type(xarray.__loader__).__name__)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    there = str("landsat" in first)
    assert done.stdout.split() == [there, there, "True", "SourceFileLoader"]


def test_coarsen_is_the_function(oli):
    dataset = oli.dataset(["red", "qa_pixel"])
    xr.testing.assert_identical(
        dataset.landsat.coarsen(factor=7, mask="cloud"), ld.coarsen(dataset, factor=7, mask="cloud")
    )
    xr.testing.assert_identical(oli["red"].landsat.coarsen(factor=7), ld.coarsen(oli["red"], factor=7))
    assert "resolution" in (dataset.landsat.coarsen.__doc__ or "")


def test_masks(oli):
    dataset = oli.dataset(["red", "qa_pixel"])
    red = np.where((stored(oli, "red") == 0) | ~clear(oli), np.nan, stored(oli, "red"))
    for found in (
        dataset.landsat.mask("cloud,shadow").red,
        dataset.compute().landsat.mask(["cloud", "shadow"]).red,
        oli["red"].landsat.mask("cloud,shadow"),
        oli["red"].compute().landsat.mask("cloud,shadow", qa=oli["qa_pixel"]),
        dataset.transpose("x", "y").landsat.mask("cloud,shadow").red.T,
    ):
        np.testing.assert_array_equal(found, red)
    masked = dataset.landsat.mask("cloud,shadow")
    np.testing.assert_array_equal(masked.qa_pixel, stored(oli, "qa_pixel"))
    np.testing.assert_array_equal(masked.landsat.scaled().red, np.where(clear(oli), reflectance(oli, "red"), np.nan))
    exact = ld.coarsen(dataset, factor=7, mask="cloud,shadow").landsat.scaled().red
    np.testing.assert_allclose(ld.coarsen(masked, factor=7).landsat.scaled().red, exact, atol=2.75e-5 / 2 + 1e-6)


@pytest.mark.parametrize("kind", [("oli", 2), ("tm", 2)], ids=str)
@pytest.mark.parametrize("name", INDICES)
def test_indices_are_of_reflectances(folders, kind, name):
    scene = ld.open_scene(folders[kind])
    blue, green, red, nir, swir16, swir22 = (
        reflectance(scene, band).astype("f8") for band in ("blue", "green", "red", "nir08", "swir16", "swir22")
    )
    hot = {"oli": "lwir11", "tm": "lwir"}[kind[0]]
    temperature = np.where(stored(scene, hot), stored(scene, hot) * 0.00341802 + 149.0, np.nan)
    wanted = {
        "ndvi": lambda: (nir - red) / (nir + red),
        "evi": lambda: 2.5 * (nir - red) / (nir + 6 * red - 7.5 * blue + 1),
        "savi": lambda: 1.5 * (nir - red) / (nir + red + 0.5),
        "msavi": lambda: (2 * nir + 1 - np.sqrt((2 * nir + 1) ** 2 - 8 * (nir - red))) / 2,
        "ndmi": lambda: (nir - swir16) / (nir + swir16),
        "nbr": lambda: (nir - swir22) / (nir + swir22),
        "nbr2": lambda: (swir16 - swir22) / (swir16 + swir22),
        "ndwi": lambda: (green - nir) / (green + nir),
        "mndwi": lambda: (green - swir16) / (green + swir16),
        "ndsi": lambda: (green - swir16) / (green + swir16),
        "ndbi": lambda: (swir16 - nir) / (swir16 + nir),
        "lst": lambda: temperature,
    }[name]()
    wanted = wanted if name == "lst" else np.clip(wanted, -1, 1)
    by_usgs_name = scene.dataset()  # SR_B4 is red of one sensor, and near infrared of the other
    by_common_name = scene.dataset(["blue", "green", "red", "nir08", "swir16", "swir22", hot])
    for dataset in (by_usgs_name, by_common_name, by_common_name.landsat.scaled(), by_usgs_name.landsat.mask()):
        found = dataset.landsat.index(name.upper())
        assert found.name == name and found.dtype == "float32" and found.attrs["references"]
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_an_index_of_cells(oli):
    cells = oli.dataset(["red", "nir08", "qa_pixel"]).landsat.coarsen(factor=7, mask="cloud")
    red, nir = (cells.landsat.scaled()[name].values.astype("f8") for name in ("red", "nir08"))
    np.testing.assert_allclose(cells.landsat.index("ndvi"), (nir - red) / (nir + red), rtol=1e-5)


#: What is asked of a Dataset `d` or a band `b`, and what is said.
REFUSED = {
    "d.landsat.mask('clouds')": "mask 'clouds' is not a flag of QA_PIXEL (did you mean cloud?)",
    "d[['red']].isel(x=slice(9)).landsat.mask('cloud')": "needs QA_PIXEL: mask a Dataset that holds it",
    "b.landsat.mask('cloud', qa=d.red)": "'red' is no quality band",
    "b.landsat.mask('cloud', qa=d.qa_pixel[1:])": "does not lie on the pixels of",
    "b.landsat.flags": "'SR_B4' has no flags: take QA_PIXEL",
    "d[['red']].landsat.flags": "the Dataset has no flags",
    "d.landsat.index('ndvi')": "ndvi needs nir08, red, and nir08 is not among red, qa_pixel",
    "d.landsat.index('ndvj')": "index 'ndvj' is unknown (did you mean ndvi?)",
    "(b * 1.0).landsat.scaled()": "its floats were computed, and whether with its scale_factor is not known",
    "b.drop_attrs().landsat.scaled()": "nothing states its scale",
    "b.drop_attrs().astype('f4').landsat.scaled()": "whole numbers up to",
    "(b.drop_attrs() * 2.75e-5).rename('red').landsat.scaled(level=2)": "are no stored numbers",
    "xr.Dataset({'red': b.drop_attrs() * 1.5, 'nir08': b.drop_attrs() * 2.5}).landsat.index('ndvi')": "scale them",
}


@pytest.mark.parametrize(("asked", "said"), REFUSED.items(), ids=REFUSED)
def test_what_cannot_be_known_is_refused(oli, asked, said):
    names = {"d": oli.dataset(["red", "qa_pixel"]).compute(), "b": oli["red"].compute(), "xr": xr}
    names["b"].encoding = oli["red"].encoding
    if "drop_attrs" in asked:
        names["b"] = xr.DataArray(stored(oli, "red"), coords=names["b"].coords, dims=("y", "x"), name="SR_B4")
    with pytest.raises(ld.UsageError, match=re.escape(said)):
        eval(asked, names).load()


def test_level_1_states_no_scale(folders):
    scene = ld.open_scene(folders["oli", 1])
    with pytest.raises(ld.UsageError, match=r"nothing states its scale.*Level-1 numbers have their factors in the MTL"):
        scene.dataset(["red"], scaled=True)
    found = scene["red"].landsat.scaled(scale=2e-5, offset=-0.1)
    values = stored(scene, "red")
    np.testing.assert_array_equal(found, np.where(values == 0, np.nan, values * 2e-5 - 0.1).astype("f4"))


# Arrays of others ----------------------------------------------------------------------------


@pytest.mark.parametrize("masked", [False, True])
def test_rioxarray(oli, masked):
    red = rioxarray.open_rasterio(oli.bands["SR_B4"].href, masked=masked)
    quality = rioxarray.open_rasterio(oli.bands["QA_PIXEL"].href)
    np.testing.assert_array_equal(red.landsat.scaled()[0], reflectance(oli, "red"))  # the file's name says what it is
    wanted = np.where(clear(oli) & (stored(oli, "red") != 0), stored(oli, "red"), np.nan)
    np.testing.assert_array_equal(red.landsat.mask("cloud,shadow", qa=quality)[0], wanted)
    np.testing.assert_array_equal(quality.landsat.flags.water[0], stored(oli, "QA_PIXEL") & 128 == 128)


@pytest.fixture(scope="module", name="item")
def _item(folders, tmp_path_factory):
    import pystac

    out = tmp_path_factory.mktemp("out")
    ld.run(ld.plan(folders["oli", 2], out, factor=2, grid="scene"))
    path = next(out.rglob("*stac.json"))  # pystac would take out proj:epsg, by which stackstac finds the grid
    item = pystac.Item.from_dict(json.loads(path.read_text()), href=str(path), migrate=False)
    item.make_asset_hrefs_absolute()
    return item


def loaded(item, by):
    names = ["red", "nir08", "qa_pixel"]
    if by == "odc":
        import odc.stac

        return odc.stac.load([item], bands=names, chunks={})
    import stackstac

    return stackstac.stack([item], assets=names, rescale=False, snap_bounds=False)


@pytest.mark.slow  # they come with the extra `test-slow`
@pytest.mark.filterwarnings("ignore")  # theirs
@pytest.mark.parametrize("by", ["odc", "stackstac"])
def test_items_that_others_loaded(item, by):
    array = loaded(item, by)
    scene = ld.open_scene(item)
    cloud = stored(scene, "QA_PIXEL") & 8 == 8
    np.testing.assert_array_equal(array.landsat.flags.cloud[0], cloud)
    values = stored(scene, "red")
    gone = cloud | (values == 0)
    if by == "stackstac":  # it makes NaN of a quality band's fill
        gone |= stored(scene, "QA_PIXEL") == 1
    np.testing.assert_array_equal(array.landsat.mask("cloud").red[0], np.where(gone, np.nan, values))
    red, nir = reflectance(scene, "red"), reflectance(scene, "nir08")
    np.testing.assert_allclose(array.landsat.scaled(level=2).red[0], red, rtol=1e-6)
    np.testing.assert_allclose(array.landsat.index("ndvi", level=2)[0], (nir - red) / (nir + red), rtol=1e-4, atol=1e-5)
    with pytest.raises(ld.UsageError, match="nothing states"):  # `red` may be Sentinel's, or of Level-1
        array.landsat.scaled().red.load()
