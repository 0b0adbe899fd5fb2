"""Products in physical units against NumPy's float64 pixels, and what a product of stored numbers says of its own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rioxarray
import xarray as xr
from PIL import Image

import landsat_downsample as ld
from landsat_downsample.errors import RunError, UsageError
from landsat_downsample.model.plan import ScenePlan

SIZE, FACTOR = (131, 117), 6
SCALING = {"SR_B4": (2.75e-5, -0.2), "ST_B10": (0.00341802, 149.0), "ST_EMIS": (0.0001, 0.0)}
STATS = ("mean", "median", "rms", "min", "max", "sum", "std", "count")
HAIR = 2.0**-22


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    bands = ["SR_B2", "SR_B3", "SR_B4", "ST_B10", "ST_EMIS", "QA_PIXEL"]
    return Path(ld.make_scene(tmp_path_factory.mktemp("scenes"), size=SIZE, bands=bands))


@pytest.fixture(scope="module")
def products(folder, tmp_path_factory) -> dict[str, Path]:
    """The product of each units, with every statistic."""
    out = tmp_path_factory.mktemp("out")
    made = {}
    for units in ("dn", "scaled"):
        plans = ld.plan(folder, out / units, factor=FACTOR, grid="scene", units=units, stats=STATS)
        made[units] = Path(ld.run(plans)[0].href).parent
    return made


def pixels(folder: Path, band: str) -> np.ndarray:
    """Physical values of a band in float64, NaN where there is no data."""
    with rasterio.open(next(folder.glob(f"*_{band}.TIF"))) as source:
        values, nodata = source.read(1), source.nodata
    scale, offset = SCALING[band]
    return np.where(values == nodata, np.nan, values.astype("float64") * scale + offset)


def cells(values: np.ndarray) -> np.ndarray:
    """(y, x, pixels): those of each cell, NaN beyond the frame."""
    height, width = (-(-side // FACTOR) for side in values.shape)
    whole = np.full((height * FACTOR, width * FACTOR), np.nan)
    whole[: values.shape[0], : values.shape[1]] = values
    return whole.reshape(height, FACTOR, width, FACTOR).swapaxes(1, 2).reshape(height, width, -1)


def path_of(product: Path, band: str, stat: str = "mean") -> Path:
    return next(product.glob(f"*_{band}{'' if stat == 'mean' else '_' + stat.upper()}.TIF"))


ORACLE = {
    "mean": np.nanmean,
    "median": np.nanmedian,
    "rms": lambda values, axis: np.sqrt(np.nanmean(values**2, axis)),
    "min": np.nanmin,
    "max": np.nanmax,
    "sum": np.nansum,
    "std": np.nanstd,
}


@pytest.mark.filterwarnings("ignore:.*(empty slice|All-NaN|Degrees of freedom):RuntimeWarning")
@pytest.mark.parametrize("stat", ORACLE)
@pytest.mark.parametrize("band", SCALING)
def test_physical_cells_are_those_of_physical_pixels(folder, products, band, stat):
    parts = cells(pixels(folder, band))
    expected = np.where(np.isnan(parts).all(2), np.nan, ORACLE[stat](parts, axis=2))
    with rasterio.open(path_of(products["scaled"], band, stat)) as raster:
        got = raster.read(1)
        assert raster.dtypes == ("float64" if stat == "sum" else "float32",)
        assert np.isnan(raster.nodata)
        assert (raster.scales, raster.offsets) == ((1.0,), (0.0,))
        assert raster.units == (
            "kelvin" if band == "ST_B10" else "emissivity coefficient" if band == "ST_EMIS" else "1",
        )
    assert np.isnan(got).any()
    # float64 pixels add up with errors of their own; a deviation of 0 takes the root of one of them
    np.testing.assert_allclose(got, expected, rtol=2 * HAIR, atol=2e-8 if stat == "std" else 1e-12, equal_nan=True)


def test_the_mean_is_rounded_once(folder, products):
    """Not the stored mean, which is a whole number, scaled: the nearest float32 of the exact one."""
    parts = cells(pixels(folder, "SR_B4"))
    full = ~np.isnan(parts).any(2)
    with rasterio.open(path_of(products["scaled"], "SR_B4")) as raster:
        got = raster.read(1)
    np.testing.assert_array_max_ulp(got[full], parts[full].mean(1).astype("float32"), 1)
    with rasterio.open(path_of(products["dn"], "SR_B4")) as raster:
        stored = raster.read(1)[full]
    assert np.abs(got[full] - (stored * 2.75e-5 - 0.2)).max() > 1e-6


@pytest.mark.parametrize("band", SCALING)
@pytest.mark.parametrize("stat", ["mean", "min", "std"])
def test_other_readers_get_physical_values_of_stored_numbers(products, band, stat):
    """By the tags: rioxarray, and xarray's engine of it; GDAL and QGIS read the same ones."""
    path = path_of(products["dn"], band, stat)
    scale, offset = SCALING[band]
    offset = 0 if stat == "std" else offset
    with rasterio.open(path) as raster:
        stored, nodata = raster.read(1), raster.nodata
        assert (raster.scales, raster.offsets) == ((scale,), (offset,))
    empty = np.isnan(stored) if stat == "std" else stored == nodata
    expected = np.where(empty, np.nan, stored.astype("float64") * scale + offset)
    with rioxarray.open_rasterio(path, mask_and_scale=True) as opened:
        np.testing.assert_allclose(opened.values[0], expected, rtol=HAIR, atol=HAIR)
    with xr.open_dataset(path, engine="rasterio") as opened:
        np.testing.assert_allclose(opened.band_data.values[0], expected, rtol=HAIR, atol=HAIR)


@pytest.mark.parametrize("stat", ["rms", "sum"])
def test_what_no_two_numbers_make_physical_has_no_scale(products, stat):
    with rasterio.open(path_of(products["dn"], "SR_B4", stat)) as raster:
        assert (raster.scales, raster.offsets, raster.units) == ((1.0,), (0.0,), (None,))
    with rasterio.open(path_of(products["dn"], "ST_EMIS", stat)) as raster:  # no offset: its scale holds
        assert raster.scales == (0.0001,)


def test_codes_and_counts_are_the_same_in_any_units(products):
    for name in ("QA_PIXEL", "QA_FRACTIONS", "SR_B4_COUNT"):
        one, other = (next(product.glob(f"*_{name}.TIF")).read_bytes() for product in products.values())
        assert one == other


def test_the_item_says_what_the_file_says(products):
    item = json.loads(next(products["scaled"].glob("*.stac.json")).read_text())
    (band,), (pixels,) = (item["assets"]["red"][form] for form in ("bands", "raster:bands"))
    assert (band["data_type"], band["unit"]) == (pixels["data_type"], pixels["unit"]) == ("float32", "1")
    assert not {"raster:scale", "raster:offset", "scale", "offset", "nodata"} & {*band, *pixels}  # NaN says itself
    (count,) = item["assets"]["red_count"]["bands"]
    assert (count["data_type"], count["unit"]) == ("float64", "pixel")
    assert item["properties"]["landsat_ds:units"] == "scaled"
    assert "rounded once to a float" in item["properties"]["processing:lineage"]
    met = json.loads(next(products["scaled"].glob("*.met.json")).read_text())
    rounding = {file["file"].split("T1_")[1]: file.get("rounding") for file in met["files"]}
    assert rounding["SR_B4.TIF"] == rounding["SR_B4_MIN.TIF"] == "once, to float32"
    assert rounding["SR_B4_COUNT.TIF"] is rounding["QA_PIXEL.TIF"] is None


def test_the_mtl_gives_its_readers_what_is_there(folder, products):
    text = next(products["scaled"].glob("*_MTL.txt")).read_text()
    assert "REFLECTANCE_MULT_BAND_4 = 1.0\n" in text and "REFLECTANCE_ADD_BAND_4 = 0.0\n" in text
    assert 'DATA_TYPE_BAND_4 = "FLOAT32"' in text and 'UNITS = "scaled"' in text
    group = text.split("GROUP = LEVEL2_SURFACE_TEMPERATURE_PARAMETERS")[1]
    assert "TEMPERATURE_ADD_BAND_ST_B10 = 0.0\n" in group and "QUANTIZE_CAL" not in group
    level1 = "GROUP = LEVEL1_RADIOMETRIC_RESCALING"
    source = next(folder.glob("*_MTL.txt")).read_text()
    assert text.split(level1)[1].splitlines()[:20] == source.split(level1)[1].splitlines()[:20]


def test_both_products_are_verified(folder, products):
    for product in products.values():
        report = ld.verify(product, source=folder)
        assert report, report.wrong
        assert any("SR_B4 rms" in line for line in report.checked)


def test_verify_finds_a_wrong_physical_cell(folder, tmp_path):
    plans = ld.plan(folder, tmp_path, factor=FACTOR, bands="SR_B4", units="scaled", mask="cloud")
    product = Path(ld.run(plans)[0].href).parent
    assert ld.verify(product, source=folder)
    path = path_of(product, "SR_B4")
    with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as raster:
        raster.write(raster.read() * np.float32(1.00001))
    assert not ld.verify(product, source=folder)


def test_cells_of_another_projection_are_in_physical_units_too(folder, tmp_path):
    plans = ld.plan(
        folder, tmp_path, grid="EPSG:3035@240", bands="SR_B4,ST_B10", units="scaled", stats="mean,std,median"
    )
    report = ld.verify(Path(ld.run(plans)[0].href).parent, source=folder)
    assert report, report.wrong


def test_angles_are_in_degrees(tmp_path):
    folder = ld.make_scene(tmp_path / "scene", level=1, size=SIZE, bands=["SAA", "SZA", "QA_PIXEL"])
    plans = ld.plan(folder, tmp_path / "out", factor=FACTOR, units="scaled")
    product = Path(ld.run(plans)[0].href).parent
    assert ld.verify(product, source=folder)
    (dn,) = ld.run(ld.plan(folder, tmp_path / "dn", factor=FACTOR))
    for band in ("SAA", "SZA"):
        with (
            rasterio.open(path_of(product, band)) as raster,
            rasterio.open(path_of(Path(dn.href).parent, band)) as other,
        ):
            degrees, stored = raster.read(1), other.read(1)
            assert (raster.units, other.scales) == (("degree",), (0.01,))
        np.testing.assert_allclose(degrees, np.where(np.isnan(degrees), np.nan, stored * 0.01), atol=0.00501)


def test_a_product_in_physical_units_is_a_scene_again(products, tmp_path):
    scene = ld.open_scene(products["scaled"])
    stored, scaled = scene.dataset(["red", "QA_PIXEL"]), scene.dataset(["red", "QA_PIXEL"], scaled=True)
    np.testing.assert_array_equal(stored.red, scaled.red)
    assert stored.QA_PIXEL.dtype == scaled.QA_PIXEL.dtype == "uint16"
    assert stored.red.attrs["units"] == "1" and "scale_factor" not in stored.red.attrs
    lazily = ld.coarsen(stored, factor=3).red.values
    for units in ("dn", "scaled"):  # there is nothing to scale
        plans = ld.plan(products["scaled"], tmp_path / units, factor=3, units=units)
        product = Path(ld.run(plans)[0].href).parent
        assert ld.verify(product, source=products["scaled"])
        with rasterio.open(path_of(product, "SR_B4")) as raster:
            assert (raster.dtypes, raster.units) == (("float32",), ("1",))
            np.testing.assert_array_equal(raster.read(1), lazily)


def test_the_picture_is_the_same(products):
    one, other = (np.asarray(Image.open(next(product.glob("*.browse.png"))), int) for product in products.values())
    assert np.abs(one - other).max() <= 2


def test_other_units_are_another_product(folder, products):
    for units, there in (("dn", "scaled"), ("scaled", "dn")):
        plans = ld.plan(folder, products[there].parent, factor=FACTOR, grid="scene", units=units, stats=STATS)
        with pytest.raises(RunError, match=f"was made with units {there}; asked for is units {units}"):
            ld.run(plans)
    plans = ld.plan(folder, products["dn"].parent, factor=FACTOR, grid="scene", stats=STATS)
    assert ld.run(plans)[0].status == "skipped"


def test_a_plan_says_what_it_writes(folder):
    (plan,) = ld.plan(folder, "out", factor=FACTOR, units="scaled", stats="mean,sum")
    assert ScenePlan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan
    text = repr(plan)
    assert "physical values" in text and "float32" in text and "float64" in text
    (dn,) = ld.plan(folder, "out", factor=FACTOR, bands="SR_B4")
    (scaled,) = ld.plan(folder, "out", factor=FACTOR, bands="SR_B4", units="scaled")
    from landsat_downsample.model.plan import estimate

    assert estimate(scaled)["bytes_out"] == 2 * estimate(dn)["bytes_out"]


def test_what_has_no_stated_scale_is_refused(folder, tmp_path):
    level1 = ld.make_scene(tmp_path / "scene", level=1, size=(51, 47), bands=["B4", "B8", "QA_PIXEL"])
    with pytest.raises(UsageError, match=r"nothing states the scale of B4, B8 \(Level-1 .* in the MTL\)"):
        ld.plan(level1, tmp_path, factor=2, units="scaled")
    with pytest.raises(UsageError, match=r"units 'scald' are unknown \(did you mean scaled\?\)"):
        ld.plan(folder, tmp_path, factor=2, units="scald")


def test_a_cube_of_products_is_not_scaled_twice(products):
    cubes = {units: ld.open_products(product.parent, ["red"]) for units, product in products.items()}
    assert "scale_factor" in cubes["dn"].red.attrs and "scale_factor" not in cubes["scaled"].red.attrs
    physical = cubes["scaled"].red
    np.testing.assert_array_equal(physical, cubes["scaled"].landsat.scaled().red)
    np.testing.assert_allclose(physical, cubes["dn"].landsat.scaled().red, atol=2.75e-5 / 2 + HAIR)
