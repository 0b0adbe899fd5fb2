"""Products of DEA's Landsat: classes for a quality band, -999, angles as floats; DE Africa's are of USGS."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
from support import exact_cells

import landsat_downsample as ld
from landsat_downsample.formats import stac_source
from landsat_downsample.model.location import Location
from landsat_downsample.testing.synthetic.make import make_scene

DATA = Path(os.environ.get("LANDSAT_DATA", ""))
needs_data = pytest.mark.skipif("LANDSAT_DATA" not in os.environ, reason="LANDSAT_DATA is not set")

FACTOR, SIZE = 7, (62, 54)
BANDS = [
    "nbart_red",
    "nbart_nir",
    "nbart_panchromatic",
    "oa_fmask",
    "oa_nbart_contiguity",
    "oa_solar_azimuth",
    "oa_satellite_view",
]
#: What the files of some are called in the source.
SOURCE = {
    "nbart_red": "nbart:band04",
    "oa_fmask": "oa:fmask",
    "oa_nbart_contiguity": "oa:nbart-contiguity",
    "oa_solar_azimuth": "oa:solar-azimuth",
    "oa_satellite_view": "oa:satellite-view",
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """A dataset, whose reflectance has numbers about its fill and whose azimuths have some about north; its product."""
    folder = make_scene(tmp_path_factory.mktemp("dea"), sensor="dea", size=SIZE, bands=BANDS)
    change(folder, "nbart_red", {(20, 20): -998, (20, 21): -1000, (21, 20): -999, (27, 27): -1200})
    change(folder, "oa_solar_azimuth", {(30, 30): 359.5, (30, 31): 1.25, (31, 30): 0.0})
    change(folder, "oa_fmask", {(25, 25): 0, (25, 26): 4, (25, 27): 3})
    target = tmp_path_factory.mktemp("products")
    [outcome] = ld.run(ld.plan(str(folder), str(target), factor=FACTOR, grid="scene"), progress=False)
    assert outcome.status == "done", outcome
    return folder, target / f"{folder.name}_downsampled"


def source_file(folder: Path, band: str) -> Path:
    group, rest = SOURCE[band].split(":")
    return folder / f"{folder.name.replace('_ard_', f'_{group}_')}_{rest}.tif"


def change(folder: Path, band: str, changes: dict[tuple[int, int], float]) -> None:
    with rasterio.open(source_file(folder, band), "r+", IGNORE_COG_LAYOUT_BREAK="YES") as raster:
        pixels = raster.read(1)
        for at, value in changes.items():
            pixels[at] = value
        raster.write(pixels, 1)


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as raster:
        return raster.read(1)


def test_every_band_holds_the_exact_cells_of_its_pixels(dataset):
    folder, made = dataset
    for band, fill, cell in (
        ("nbart_red", -999, exact_cells.mean(-999)),
        ("oa_fmask", 0, exact_cells.mode),
        ("oa_nbart_contiguity", 255, min),
    ):
        wanted = exact_cells.expected(read(source_file(folder, band)), FACTOR, fill, cell)
        np.testing.assert_array_equal(read(made / f"{folder.name}_{band}.tif"), wanted, band)
    azimuth = read(made / f"{folder.name}_oa_solar_azimuth.tif")
    pixels = read(source_file(folder, "oa_solar_azimuth"))
    wanted = exact_cells.expected(pixels * 100, FACTOR, np.nan, exact_cells.direction) / 100
    assert np.nanmax(np.abs((azimuth - wanted + 180) % 360 - 180)) < 1e-3 and azimuth.dtype == "float32"
    assert (np.isnan(azimuth) == np.isnan(wanted)).all() and 0 <= np.nanmin(azimuth) < np.nanmax(azimuth) < 360
    view = exact_cells.expected(read(source_file(folder, "oa_satellite_view")), FACTOR, np.nan, np.mean)
    np.testing.assert_allclose(read(made / f"{folder.name}_oa_satellite_view.tif"), view, rtol=1e-6)


def test_shares_and_masks_come_from_classes(dataset, tmp_path):
    folder, made = dataset
    classes = read(source_file(folder, "oa_fmask"))
    with rasterio.open(made / f"{folder.name}_QA_FRACTIONS.tif") as raster:
        shares = dict(zip(raster.descriptions, raster.read(), strict=True))
    assert list(shares) == ["valid", "clear", "cloud", "cloud_shadow", "snow", "water"]
    for name, wanted in {"cloud": [2], "cloud_shadow": [3], "snow": [4], "water": [5], "clear": [1, 4, 5]}.items():
        for at, window in exact_cells.windows(classes, FACTOR):
            valid = window[window != 0]
            assert abs(shares[name][at] - (100 * np.isin(valid, wanted).mean() if valid.size else 255)) <= 0.5
    plan = ld.plan(
        str(folder), str(tmp_path), factor=FACTOR, grid="scene", bands="red", mask="cloud,shadow", min_valid=0.1
    )
    assert ld.run(plan, progress=False)[0].status == "done"
    pixels = np.where(np.isin(classes, [2, 3]), np.int16(-999), read(source_file(folder, "nbart_red")))
    wanted = exact_cells.expected(pixels, FACTOR, -999, exact_cells.mean(-999))
    for at, window in exact_cells.windows(pixels, FACTOR):
        if np.count_nonzero(window != -999) < 0.1 * FACTOR**2:
            wanted[at] = -999
    made = tmp_path / f"{folder.name}_downsampled"
    np.testing.assert_array_equal(read(made / f"{folder.name}_nbart_red.tif"), wanted)
    lazy = ld.open_scene(str(folder)).dataset(["red", "oa_fmask"])
    assert list(lazy["oa_fmask"].attrs["flag_values"]) == [1, 2, 3, 4, 5] and "flag_masks" not in lazy["oa_fmask"].attrs
    np.testing.assert_array_equal(lazy["oa_fmask"].landsat.flags["water"], classes == 5)
    again = ld.coarsen(lazy, factor=FACTOR, grid="scene", mask="cloud,shadow", min_valid=0.1)
    np.testing.assert_array_equal(again["red"], wanted)
    fmask = ld.coarsen(lazy["oa_fmask"], factor=FACTOR, grid="scene")
    np.testing.assert_array_equal(fmask, exact_cells.expected(classes, FACTOR, 0, exact_cells.mode))


def test_other_reducers_of_classes_are_refused(dataset):
    with pytest.raises(ld.UsageError, match="its values are classes; use mode or nearest"):
        ld.plan(str(dataset[0]), "out", factor=FACTOR, methods={"oa_fmask": "max"})[0]


def test_the_product_is_right_and_reads_as_a_scene(dataset):
    folder, made = dataset
    assert (report := ld.verify(str(made), source=str(folder))), report.wrong
    item = json.loads((made / f"{made.name}.stac.json").read_text())
    assert {one["value"] for one in item["assets"]["oa_fmask"]["classification:classes"]} == {0, 1, 2, 3, 4, 5}
    assert item["properties"]["landsat:wrs_path"] == "088" and item["properties"]["platform"] == "landsat-8"
    again = ld.open_scene(str(made))
    assert (again.id, again.band("nir").name, again.band("pan").name) == (
        folder.name,
        "nbart_nir",
        "nbart_panchromatic",
    )


def test_a_folder_and_an_item_without_a_name_are_the_same_scene(dataset):
    folder, _ = dataset
    by_item = ld.open_scene(str(folder / f"{folder.name}.stac-item.json"))
    by_folder = ld.open_scene(str(folder))
    assert by_item.id == by_folder.id == folder.name and sorted(by_item) == sorted(by_folder) == sorted(BANDS)
    assert by_item.properties["datetime"] == by_folder.properties["datetime"]
    assert by_item.grid == by_folder.grid and by_folder.grid.transform.f == -3077085


@pytest.mark.parametrize("words", [b"--- {", b"---\n# schemas.opendatacube.org/dataset\nproperties: 3\n"])
def test_a_damaged_dataset_document_is_told_of(dataset, tmp_path, words):
    folder, _ = dataset
    for path in folder.iterdir():
        if not path.name.endswith("yaml"):
            (tmp_path / path.name).symlink_to(path)
    (tmp_path / f"{folder.name}.odc-metadata.yaml").write_bytes(words)
    with pytest.raises(ld.SceneError, match=r"odc-metadata\.yaml.*cannot be read"):
        ld.open_scene(str(tmp_path))


@needs_data
@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("odc-tools/ga_ls8c_ard_3-1-0_088080_2020-05-25_final.stac-item.json", 22),
        ("eo-datasets-c1/tostac/ga_ls8c_ard_3-1-0_088080_2020-05-25_final.stac-item_expected.json", 31),
    ],
)
def test_real_items(name, count):
    item = json.loads((DATA / name).read_text())
    listing = stac_source.listing([(item, Location("https://host/item"))], Location("x"))
    assert (listing.id, listing.sensor) == ("ga_ls8c_ard_3-1-0_088080_2020-05-25_final", "dea_oli_tirs")
    assert len(listing.files) == count and not listing.skipped
    for band, file in listing.files.items():
        assert file.asset_key == band
        assert file.location.name == item["assets"][band]["href"].rpartition("/")[2]


def test_de_africa_has_the_scenes_of_usgs_under_its_own_roof():
    name = "LC08_L2SP_182078_20200525_20200820_02_T1"
    root = "https://deafrica-landsat.s3.af-south-1.amazonaws.com/collection02/level-2/standard/oli-tirs/2020/182/078"
    keys = {"SR_B4": "SR_B4", "QA_PIXEL": "QA_PIXEL", "ST_B10": "ST_B10"}
    assets = {key: {"href": f"{root}/{name}/{name}_{band}.TIF", "type": "image/tiff"} for band, key in keys.items()}
    assets["MTL.json"] = {"href": f"{root}/{name}/{name}_MTL.json"}
    identity = "d9b22ea6-c0b6-5d76-9bb0-5b6bd2e5e7ad"
    item = {"type": "Feature", "stac_version": "1.0.0", "id": identity, "properties": {}, "assets": assets}
    listing = stac_source.listing([(item, Location("https://explorer.digitalearth.africa/item"))], Location("x"))
    assert (listing.id, listing.sensor, listing.level) == (name, "oli_tirs", 2)
    assert {band: file.location.href for band, file in listing.files.items()} == {
        band: f"{root}/{name}/{name}_{band}.TIF" for band in ("SR_B4", "ST_B10", "QA_PIXEL")
    }
    assert not listing.requester_pays and list(listing.metadata) == ["MTL.json"]
