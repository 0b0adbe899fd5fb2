"""Scenes whose files do not have the very names that their metadata gives them."""

from __future__ import annotations

import json
import os
import shutil
import warnings

import pytest
import rasterio
from command import call
from tiffs import pixels

import landsat_downsample as ld
from landsat_downsample.errors import SceneError
from landsat_downsample.formats.mtl import parse

BANDS = ("SR_B4", "ST_B10", "QA_PIXEL")


@pytest.fixture(scope="module")
def renamed(tmp_path_factory):
    """Copies a small scene to a folder, where each of its files gets another name."""
    scene = ld.make_scene(tmp_path_factory.mktemp("made"), size=(150, 140), bands=BANDS)

    def copy(folder, rename):
        made = folder / scene.name
        made.mkdir(parents=True)
        for path in scene.iterdir():
            shutil.copy(path, made / rename(path.name))
        return made

    return copy


SPELLINGS = {
    "tif": lambda name: name.replace(".TIF", ".tif"),
    "tiff": lambda name: name.replace(".TIF", ".tiff"),
    "TIFF": lambda name: name.replace(".TIF", ".TIFF"),
    "lower": str.lower,
    "rasters lower": lambda name: name.lower() if name.endswith(".TIF") else name,
    "metadata lower": lambda name: name if name.endswith(".TIF") else name.lower(),
}


@pytest.mark.parametrize("rename", SPELLINGS.values(), ids=SPELLINGS)
def test_files_in_another_case_are_the_ones_that_the_mtl_lists(renamed, rename, tmp_path):
    folder = renamed(tmp_path / "in", rename)
    done = call("run", folder, "--to", tmp_path / "out", "--factor", 10, "-q")
    assert (done.code, done.err) == (0, "")
    (product,) = (tmp_path / "out").iterdir()
    (record,) = product.glob("*.met.json")
    assert json.loads(record.read_text())["absent"] == []
    (path,) = (p for p in product.iterdir() if p.name.lower().endswith("_mtl.txt"))
    listed = parse.parse(path.read_bytes(), "txt").files().values()
    assert {name for name in listed if name.endswith(".TIF")} == {p.name for p in product.glob("*_T1_[SQ]*.TIF")} - {
        f"{folder.name}_QA_FRACTIONS.TIF"
    }


@pytest.mark.parametrize("rename", SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize("kind", ["item", "mtl"])
def test_an_item_and_an_mtl_find_the_files_beside_them_in_another_case(renamed, rename, kind, tmp_path):
    folder = renamed(tmp_path, rename)
    ending = {"item": "_sr_stac.json", "mtl": "_mtl.txt"}[kind]
    (href,) = (path for path in folder.iterdir() if path.name.lower().endswith(ending))
    if kind == "item":  # as USGS has it: the item's own hrefs are remote
        item = json.loads(href.read_text())
        for asset in item["assets"].values():
            asset["href"] = "https://landsat.invalid/" + asset["href"].removeprefix("./")
        href.write_text(json.dumps(item))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scene = ld.open_scene(href)
    assert {"SR_B4", "QA_PIXEL"} <= set(scene.bands)
    assert {os.path.dirname(band.href) for band in scene.bands.values()} == {str(folder)}


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_single_file_in_lower_case_finds_its_mtl(renamed, tmp_path):
    folder = renamed(tmp_path, str.lower)
    band = next(folder.glob("*_sr_b4.tif"))
    grid = ld.open_scene(band).grid
    height, width = grid.shape
    with rasterio.open(band, "w", driver="GTiff", width=width, height=height, count=1, dtype="uint16") as file:
        file.write(pixels(height, width))
    assert ld.open_scene(band).grid == grid


@pytest.mark.parametrize("mark", [" (1)", "(2)", " - Copy", " copy 2"])
def test_files_named_as_copies_by_a_browser_are_distinguished_from_a_scene_without_bands(renamed, mark, tmp_path):
    folder = renamed(tmp_path, lambda name: name.replace(".", f"{mark}.", 1))
    with pytest.raises(SceneError, match=r"9 files named as copies are, such as .*give them their names back"):
        ld.open_scene(folder)


def test_an_item_of_another_family_of_products_is_named_as_such():
    href = "s3://bucket/ls8_mosaic_088080_2020-05-25_band04.tif"
    other = href.replace("band04", "band02")
    item = {
        "type": "Feature",
        "id": "2aa69fcf",
        "properties": {"platform": "landsat-8", "instruments": ["oli", "tirs"]},
        "assets": {"mosaic_red": {"href": href}, "mosaic_blue": {"href": other}},
    }
    with pytest.raises(SceneError, match=r"another family of products than USGS's Collection 2.*ls8_mosaic"):
        ld.open_scene(item)
