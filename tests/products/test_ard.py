"""Products of US ARD tiles: Albers without a code, several scenes in a tile, quality bands of both collections."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
from support import exact_cells

import landsat_downsample as ld
from landsat_downsample.formats import stac_source
from landsat_downsample.model.location import Location
from landsat_downsample.testing.synthetic.make import make_scene

DATA = Path(os.environ.get("LANDSAT_DATA", "")) / "changify"
needs_data = pytest.mark.skipif("LANDSAT_DATA" not in os.environ, reason="LANDSAT_DATA is not set")

#: Cells of 240 m from the corner of a tile are 8 pixels wide; neither side is a multiple of that.
FACTOR, SIZE = 8, (62, 54)
BANDS = ["SR_B4", "TOA_B4", "BT_B10", "SAA", "QA_PIXEL", "QA_LINEAGE"]


@pytest.fixture(scope="module")
def tile(tmp_path_factory):
    folder = make_scene(tmp_path_factory.mktemp("ard"), sensor="ard", size=SIZE, bands=BANDS)
    target = tmp_path_factory.mktemp("products")
    [outcome] = ld.run(ld.plan(str(folder), str(target), grid="ard:240"), progress=False)
    assert outcome.status == "done", outcome
    return folder, target / f"{folder.name}_downsampled"


def read(folder: Path, name: str) -> np.ndarray:
    with rasterio.open(folder / name) as raster:
        return raster.read(1)


def test_cells_of_the_ard_grid_are_blocks_of_pixels_of_each_band(tile):
    folder, made = tile
    for name, fill, cell in (
        ("SR_B4", 0, exact_cells.mean(0)),
        ("TOA_B4", 0, exact_cells.mean(0)),
        ("BT_B10", 0, exact_cells.mean(0)),
        ("QA_LINEAGE", 0, exact_cells.mode),
    ):
        file = f"{folder.name}_{name}.TIF"
        wanted = exact_cells.expected(read(folder, file), FACTOR, fill, cell)
        np.testing.assert_array_equal(read(made, file), wanted, name)
    assert set(np.unique(read(made, f"{folder.name}_QA_LINEAGE.TIF"))) == {0, 1, 2}
    with rasterio.open(made / f"{folder.name}_SR_B4.TIF") as raster:
        assert raster.crs.to_epsg() is None and raster.crs.to_dict()["proj"] == "aea"
        assert (raster.transform.c, raster.transform.f) == (-2565585 + 5 * 150000, 3314805 - 2 * 150000)


def test_the_product_is_right_and_reads_as_a_scene(tile):
    folder, made = tile
    assert (report := ld.verify(str(made), source=str(folder))), report.wrong
    item = json.loads((made / f"{made.name}.stac.json").read_text())
    said = item["properties"]
    assert said["proj:code"] is None and "proj:wkt2" in said and said["datetime"] == "2023-07-05T10:04:17.253099Z"
    assert (said["landsat:grid_horizontal"], said["landsat:grid_vertical"], said["landsat:grid_region"]) == (
        "005",
        "002",
        "CU",
    )
    assert said["landsat:scene_count"] == 2 and said["platform"] == "landsat-8"
    assert item["assets"]["qa_lineage"]["landsat_ds:method"] == "mode"
    again = ld.open_scene(str(made))
    assert (again.id, again.sensor, again.band("red").name) == (folder.name, "ard_oli_tirs", "SR_B4")
    assert again.band("toa_red").name == "TOA_B4"


def test_of_two_processings_of_a_tile_the_later_one_counts_in_a_series(tile, tmp_path):
    folder, _ = tile
    later = tmp_path / folder.name.replace("_20230715_", "_20240101_")
    later.mkdir()
    for path in folder.iterdir():
        (later / path.name.replace(folder.name, later.name)).write_bytes(path.read_bytes())
    made = tmp_path / "out"
    plans = ld.plan([str(folder), str(later)], str(made), grid="ard:240", bands="red")
    assert [outcome.status for outcome in ld.run(plans, progress=False)] == ["done"] * 2
    with pytest.warns(UserWarning, match="one acquisition: the one that was processed last"):
        series = ld.open_products(str(made), "red")
    assert list(series["product"].values) == [later.name]


def test_a_tar_and_an_item_are_the_same_tile(tile, tmp_path):
    folder, _ = tile
    with tarfile.open(tmp_path / f"{folder.name}.tar", "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.add(path, path.name)
    scene = ld.open_scene(str(tmp_path / f"{folder.name}.tar"))
    assert sorted(scene) == sorted(BANDS) and scene.properties["landsat:scene_count"] == 2
    root = f"https://landsatlook.usgs.gov/tile/collection02/oli-tirs/2023/CU/005/002/{folder.name}"
    assets = {name.lower(): {"href": f"{root}/{folder.name}_{name}.TIF"} for name in BANDS}
    item = {"type": "Feature", "stac_version": "1.0.0", "id": f"{folder.name}_SR", "properties": {}, "assets": assets}
    listing = stac_source.listing([(item, Location("https://host/item"))], Location("x"))
    place = listing.files["SR_B4"].location.href
    assert place == f"s3://usgs-landsat-ard/collection02/oli-tirs/2023/CU/005/002/{folder.name}/{folder.name}_SR_B4.TIF"
    assert listing.requester_pays and listing.id == folder.name


def test_level_3_products_are_refused_by_name(tile, tmp_path):
    folder, _ = tile
    shutil.copy(folder / f"{folder.name}_QA_LINEAGE.TIF", tmp_path / f"{folder.name}_DSWE_INWM.TIF")
    for source in (tmp_path, tmp_path / f"{folder.name}_DSWE_INWM.TIF"):
        with pytest.raises(ld.SceneError, match=r"Level-3 product of ARD .* give the ARD tile"):
            ld.open_scene(str(source))


def pixel_qa(fields: dict[int, str], confidences: list[int], clear: int):
    """A cell of PIXELQA of Collection 1, by rule of each flag's bit."""

    def of(values: list[int]) -> int:
        if len(set(values)) == 1:
            return values[0]
        code = 0
        for bit, rule in fields.items():
            has = sum(v >> bit & 1 for v in values)
            code |= (has > 0 if rule == "any" else 2 * has >= len(values)) << bit
        code |= 0 if code & clear else 2
        return code | sum(max(v >> bit & 3 for v in values) << bit for bit in confidences)

    return of


@needs_data
def test_real_tile_of_collection_1(tmp_path):
    folder = DATA / "LC08_CU_005002_20150314_20170713_C01_V01_crop"
    name = "LC08_CU_005002_20150314_20170713_C01_V01"
    [outcome] = ld.run(ld.plan(str(folder), str(tmp_path), factor=11, grid="scene"), progress=False)
    assert outcome.status == "done", outcome
    made = tmp_path / f"{name}_downsampled"
    oli = pixel_qa({2: "majority", 3: "any", 4: "any", 5: "any", 10: "any"}, [6, 8], 0b111100)
    for band, fill, cell in (
        ("BTB10", -9999, exact_cells.mean(-9999)),
        ("LINEAGEQA", 0, exact_cells.mode),
        ("PIXELQA", 1, oli),
    ):
        wanted = exact_cells.expected(read(folder, f"{name}_{band}.tif"), 11, fill, cell)
        np.testing.assert_array_equal(read(made, f"{name}_{band}.tif"), wanted, band)
    assert (report := ld.verify(str(made), source=str(folder))), report.wrong
    with rasterio.open(made / f"{name}_BTB10.tif") as raster:
        assert (raster.scales[0], raster.units[0]) == (0.1, "kelvin")


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["LT05_CU_005002_19850302_20170711_C01_V01", "LE07_CU_005002_19991020_20170712_C01_V01"]
)
def test_whole_real_tiles_of_collection_1(tmp_path, name):
    [outcome] = ld.run(ld.plan(str(DATA / name), str(tmp_path), grid="scene", factor=40), progress=False)
    assert outcome.status == "done", outcome
    tm = pixel_qa({2: "majority", 3: "any", 4: "any", 5: "any"}, [6], 0b111100)
    for band, fill, cell in (("PIXELQA", 1, tm), ("LINEAGEQA", 0, exact_cells.mode)):
        wanted = exact_cells.expected(read(DATA / name, f"{name}_{band}.tif"), 40, fill, cell)
        np.testing.assert_array_equal(read(tmp_path / f"{name}_downsampled", f"{name}_{band}.tif"), wanted, band)
    assert (report := ld.verify(str(tmp_path / f"{name}_downsampled"), source=str(DATA / name))), report.wrong


@needs_data
def test_a_real_file_of_a_tile_alone_and_a_tar_of_them(tmp_path):
    file = DATA / "LE07_CU_005002_19991020_20170712_C01_V01" / "LE07_CU_005002_19991020_20170712_C01_V01_RADSATQA.tif"
    scene = ld.open_scene(str(file))
    assert scene.sensor == "ard1_etm" and scene.band("RADSATQA").dtype == "uint8"
    tar = ld.open_scene(str(DATA / "LC08_CU_005002_20150314_20170713_C01_V01_QA.tar"))
    assert sorted(tar) == ["LINEAGEQA", "PIXELQA", "RADSATQA", "SRAEROSOLQA"] and tar.band("RADSATQA").dtype == "uint16"
