"""What real files hold that is odd, in synthetic twins that need no download: same layout, same oddity."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
from command import write_tif
from item_cases import dated_item, planetary_item, usgs_item
from lattices import coarse_grid
from product_cases import EXTRA, LONE

import landsat_downsample as ld
from landsat_downsample.api.scene import open_scene
from landsat_downsample.errors import ReadError, SceneError
from landsat_downsample.formats import stac_item, stac_source
from landsat_downsample.formats.mtl import frame, parse, rewrite
from landsat_downsample.formats.mtl import properties as properties_module
from landsat_downsample.formats.mtl.coarse import coarse_changes, notes
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.location import Location
from landsat_downsample.model.scene import Scene
from landsat_downsample.products import stac

REMOTE = Location("https://host.example/items/scene.json")
ITEM = Location("/d/i.json")
#: Sensor and level of `make_scene`, and the sensor that the product is read as.
KINDS = [("oli", 2, "oli_tirs"), ("oli", 1, "oli_tirs"), ("etm", 2, "etm"), ("etm", 1, "etm"), ("tm", 2, "tm")]
KINDS += [("tm", 1, "tm"), ("mss", 1, "mss45"), ("mss123", 1, "mss123")]


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: f"{kind[0]}-{kind[1]}")
def made(request, tmp_path_factory) -> tuple[Path, str, int]:
    """A scene of each sensor and level, what it is read as, and its level."""
    sensor, level, read_as = request.param
    return ld.make_scene(tmp_path_factory.mktemp("made"), sensor=sensor, level=level, size=(60, 50)), read_as, level


# Folders ---------------------------------------------------------------------------------------


def test_a_folder_of_every_sensor(made):
    folder, sensor, level = made
    scene = open_scene(folder)
    assert (scene.id, scene.sensor, scene.level, scene.absent) == (folder.name, sensor, level, ())
    assert scene.properties["datetime"].endswith("Z") and scene.properties["platform"].startswith("landsat-")
    assert Scene.from_dict(json.loads(json.dumps(scene.to_dict()))) == scene
    for kind in ("MTL.txt", "MTL.json", "MTL.xml"):
        if kind in scene.metadata:
            assert open_scene(scene.metadata[kind]).bands == scene.bands


def test_a_folder_with_few_of_its_files_names_the_others_absent(tmp_path):
    folder = ld.make_scene(tmp_path, size=(60, 50))
    for path in folder.glob("*.TIF"):
        if not path.name.endswith(("SR_B4.TIF", "ST_B10.TIF")):
            path.unlink()
    with pytest.warns(UserWarning, match="not found"):
        scene = open_scene(folder)
    assert list(scene.bands) == ["SR_B4", "ST_B10"] and len(scene.absent) == 17


def test_a_crop_without_georeference_takes_the_grid_of_the_mtl(tmp_path):
    """The panchromatic band begins half of its own pixel beside the others, as USGS has it."""
    folder = ld.make_scene(tmp_path, level=1, size=(60, 50), bands=["B4", "B8", "QA_PIXEL"])
    whole = open_scene(folder)
    grids = {name: band.grid for name, band in whole.bands.items()}
    for path in folder.glob("*.TIF"):
        with rasterio.open(path) as source:
            data, nodata = source.read(1), source.nodata
        path.unlink()
        with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
            write_tif(path, data, crs=None, transform=None, nodata=nodata)
    scene = open_scene(folder)
    assert {name: band.grid for name, band in scene.bands.items()} == grids
    assert scene.grid == whole.grid and isinstance(scene.grid, Grid)
    assert open_scene(folder / f"{folder.name}_B8.TIF").grid == grids["B8"]


def test_a_folder_of_many_scenes_is_refused(tmp_path):
    for seed in range(4):
        for path in ld.make_scene(tmp_path / "in", size=(60, 50), seed=seed, bands=["SR_B4"]).iterdir():
            path.rename(tmp_path / path.name)
    with pytest.raises(SceneError, match="holds 4 scenes: LC0"):
        open_scene(tmp_path)


def test_an_mtl_from_before_the_collections_is_refused(tmp_path):
    (tmp_path / "LC80010052015083LGN00_MTL.txt").write_text(
        "GROUP = L1_METADATA_FILE\n  GROUP = METADATA_FILE_INFO\n"
        '    LANDSAT_SCENE_ID = "LC80010052015083LGN00"\n    FILE_DATE = 2015-03-24T20:52:10Z\n'
        "  END_GROUP = METADATA_FILE_INFO\n  GROUP = PRODUCT_METADATA\n"
        '    DATA_TYPE = "L1T"\n    SPACECRAFT_ID = "LANDSAT_8"\n    SENSOR_ID = "OLI_TIRS"\n'
        '    FILE_NAME_BAND_4 = "LC80010052015083LGN00_B4.TIF"\n  END_GROUP = PRODUCT_METADATA\n'
        "END_GROUP = L1_METADATA_FILE\nEND\n"
    )
    with pytest.raises(SceneError, match="older than the Collections"):
        open_scene(tmp_path)


# Lone files ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "band", "kind", "candidates"),
    [
        ("l8_B4.tif", "B4", "continuous", ()),
        ("l8_B10.tif", "B10", "continuous", ()),
        ("l8_BQA.tif", "BQA", "bits", ("c1", "pre")),
        ("LC08_B7_Memphis_COG.tiff", "B7", "continuous", ()),
        ("L8-B8-Elkton-VA.tiff", "B8", "continuous", ()),
        ("L8-BQA-Elkton-VA.tiff", "BQA", "bits", ("c1", "pre")),
        ("cog.tif", "cog", "continuous", ("c1", "pre", "qa_pixel")),
        ("LC08_L1TP_016037_20170813_20170814_01_RT_B4.TIF", "B4", "continuous", ()),
        ("LC08_L1TP_016037_20170813_20170814_01_RT_BQA.TIF", "BQA", "bits", ()),
        ("LC08_L2SP_008059_20191201_20200825_02_T1_QA_PIXEL.TIF", "QA_PIXEL", "bits", ()),
    ],
)
def test_what_a_single_file_is_by_its_name(name, band, kind, candidates, tmp_path):
    values = 20480 if name == "cog.tif" else 1  # of a code that any kind of quality band may hold
    scene = open_scene(write_tif(tmp_path / name, np.full((40, 50), values, "uint16")))
    spec = scene.band(band).spec
    assert scene.lone and (spec.kind, spec.candidates) == (kind, candidates)


def test_a_single_file_of_floats(tmp_path):
    scene = open_scene(write_tif(tmp_path / "issue_22.tif", np.ones((40, 50), "float32")))
    spec = scene.band("issue_22").spec
    assert scene.lone and (spec.kind, spec.candidates) == ("continuous", ())


@pytest.mark.parametrize("names", [["l8_B4.tif", "l8_BQA.tif"], ["L8-B4-Elkton-VA.tiff", "L8-B8-Elkton-VA.tiff"]])
def test_a_folder_of_single_files_is_refused(names, tmp_path):
    for name in names:
        write_tif(tmp_path / name)
    with pytest.raises(SceneError, match="one by one"):
        open_scene(tmp_path)


def test_a_file_of_many_bands_is_refused(tmp_path):
    path = write_tif(tmp_path / "all.tif", np.ones((4, 40, 50), "uint8"))
    with pytest.raises((SceneError, ReadError), match="alpha band"):
        open_scene(path)


# Items -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Path:
    return ld.make_scene(tmp_path_factory.mktemp("scene"), size=(60, 50))


def test_items_of_planetary_computer(scene):
    found = stac_source.listing([(planetary_item(scene), REMOTE)], REMOTE)
    assert (found.id, found.sensor, found.level) == (scene.name, "oli_tirs", 2)  # the date that its own ID lacks
    assert len(found.files) == 19 and not found.skipped and not found.requester_pays
    assert found.files["SR_B4"].location.href.startswith(
        "https://landsateuwest.blob.core.windows.net/landsat-c2/level-2/"
    )
    assert sorted(found.metadata) == ["ANG.txt", "MTL.json", "MTL.txt", "MTL.xml"]
    assert found.properties["eo:cloud_cover"] == 97.54 and found.properties["sci:doi"]
    assert not {"proj:epsg", "created", "description"} & found.properties.keys()


def test_an_item_of_planetary_computer_with_mss(tmp_path):
    folder = ld.make_scene(tmp_path, sensor="mss", level=1, size=(60, 50))
    found = stac_source.listing([(planetary_item(folder, level=1), REMOTE)], REMOTE)
    assert (found.sensor, sorted(found.files)) == ("mss45", ["B1", "B2", "B3", "B4", "QA_PIXEL", "QA_RADSAT"])


def test_an_old_item_of_usgs_with_a_bare_date(tmp_path):
    folder = ld.make_scene(tmp_path, sensor="tm", size=(60, 50))
    found = stac_source.listing([(dated_item(folder), REMOTE)], REMOTE)
    place = f"s3://usgs-landsat/collection02/level-2/standard/tm/1998/090/084/{folder.name}"
    assert found.requester_pays and found.files["ST_B6"].location.href == f"{place}/{folder.name}_ST_B6.TIF"
    assert "datetime" not in found.properties


@pytest.mark.parametrize("alternates", [True, False])
def test_items_of_usgs_are_read_from_the_bucket_whose_readers_pay(alternates, scene):
    record = usgs_item(scene, alternates=alternates)
    found = stac_source.listing([(record, ITEM)], ITEM.parent)
    assert found.id == scene.name and found.requester_pays and len(found.files) == 19
    folder = "s3://usgs-landsat/collection02/level-2/standard/oli-tirs/2019/008/059"
    assert found.files["SR_B4"].location.href == f"{folder}/{scene.name}/{scene.name}_SR_B4.TIF"
    assert all(file.location.href.startswith("s3://usgs-landsat/") for file in found.files.values())
    assert all(one.href.startswith("s3://usgs-landsat/") for one in found.metadata.values())
    assert found.files["SR_B4"].checksum.startswith("1340")
    assert found.properties["datetime"] == "2019-12-01T15:13:51.861099Z" and "created" not in found.properties


def test_a_copy_beside_an_item_of_usgs_is_preferred(scene):
    siblings = {ITEM: [f"{scene.name}_SR_B4.TIF"]}
    files = stac_source.listing([(usgs_item(scene), ITEM)], ITEM, siblings).files
    assert files["SR_B4"].location.href == f"/d/{scene.name}_SR_B4.TIF"
    assert files["SR_B5"].location.href.startswith("s3://")


@pytest.mark.parametrize("item", [usgs_item, planetary_item])
def test_nothing_is_lost_that_a_scene_needs(item, made):
    folder, sensor, level = made
    record = item(folder, level=level)
    whole = stac_source.listing([(record, REMOTE)], REMOTE)
    assert whole.sensor == sensor and whole.files and not whole.skipped
    assert whole.specs.keys() == whole.files.keys()
    assert stac_source.listing([(stac_item.slim(record), REMOTE)], REMOTE) == whole
    assert stac_source.listing([(stac_item.without_secrets(stac_item.slim(record)), REMOTE)], REMOTE) == whole


@pytest.mark.parametrize("item", [usgs_item, planetary_item])
def test_items_of_several_scenes_are_refused(item, scene, tmp_path):
    other = ld.make_scene(tmp_path, size=(60, 50), seed=1, bands=["SR_B4"])
    with pytest.raises(SceneError, match="several scenes"):
        stac_source.listing([(item(one), REMOTE) for one in (scene, other)], REMOTE)


def test_a_collection_without_items_is_refused(tmp_path):
    record = {"type": "Collection", "id": "landsat-c2-l2", "links": [{"rel": "license", "href": "https://x.example"}]}
    (tmp_path / "collection.json").write_text(json.dumps(record))
    with pytest.raises(SceneError, match="points to no STAC item"):
        open_scene(tmp_path / "collection.json")


@pytest.mark.parametrize(("kind", "has", "lacks"), [("SR", "SR_B4", "ST_B10"), ("ST", "ST_B10", "SR_B4")])
def test_an_item_beside_its_files(kind, has, lacks, scene):
    found = open_scene(scene / f"{scene.name}_{kind}_stac.json")
    assert found.id == scene.name and found.item_href.endswith("_stac.json")
    assert has in found.bands and lacks not in found.bands


@pytest.mark.parametrize("item", [usgs_item, planetary_item, dated_item])
def test_what_others_say_of_a_scene_makes_a_valid_item(item, scene):
    properties = item(scene)["properties"]
    case = replace(LONE, scene=replace(LONE.scene, properties=properties))
    record = stac.item(case.plan, case.products, EXTRA)
    assert stac.validate_item(record) == []


# MTLs ------------------------------------------------------------------------------------------


def test_mtls_are_rewritten_byte_by_byte_and_agree(made):
    folder, *_ = made
    made_anew = []
    for path in sorted(folder.glob("*_MTL.*")):
        data, kind = path.read_bytes(), parse.kind_of(path.name)
        mtl = parse.parse(data, kind)
        same = {(entry.group, entry.key): entry.value for entry in mtl.entries}
        assert rewrite.rewrite(mtl, {}) == rewrite.rewrite(mtl, same) == data
        if kind == "xml":
            reported = {(group.tag, e.tag): e.text or "" for group in ElementTree.fromstring(data) for e in group}
            assert reported == same
        grid = frame.frame(mtl)
        corner = [float(mtl.find(f"CORNER_LR_PROJECTION_{axis}_PRODUCT")) for axis in "XY"]
        _, bottom, right, _ = grid.bounds
        step_y, step_x = grid.resolution
        assert [right - step_x / 2, bottom + step_y / 2] == pytest.approx(corner, abs=1e-3)
        coarse, dropped = coarse_grid(grid, 5), {next(iter(mtl.files().values())): None}
        changes = coarse_changes(mtl, coarse=coarse, files=dropped)
        again = parse.parse(rewrite.rewrite(mtl, changes, notes(coarse)), kind)
        assert frame.frame(again) == coarse and properties_module.properties(again) == properties_module.properties(mtl)
        made_anew.append(again)
    assert len(made_anew) >= 2 and all(again.groups == made_anew[0].groups for again in made_anew)


def test_corners_of_an_mtl_come_out_of_its_own_grid(made):
    folder, *_ = made
    mtl = parse.parse((folder / f"{folder.name}_MTL.txt").read_bytes(), "txt")
    changes = coarse_changes(mtl, coarse=frame.frame(mtl))
    corners = {key: value for key, value in changes.items() if "_LAT_" in key[1] or "_LON_" in key[1]}
    assert len(corners) == 8
    for key, value in corners.items():
        assert float(value) == pytest.approx(float(mtl.get(*key)), abs=4e-5)


def test_what_an_mtl_says_of_a_scene_is_what_its_items_say(made):
    folder, *_ = made
    same = ("datetime", "eo:cloud_cover", "view:sun_azimuth", "view:sun_elevation", "landsat:scene_id")
    same += tuple(f"landsat:{key}" for key in ("wrs_type", "wrs_path", "wrs_row", "collection_number", "correction"))
    reported = [
        properties_module.properties(parse.parse(path.read_bytes(), parse.kind_of(path.name)))
        for path in folder.glob("*_MTL.*")
    ]
    items = [json.loads(path.read_text())["properties"] for path in folder.glob("*_stac.json")]
    assert reported and items
    for each in reported + items:
        assert {key: each.get(key) for key in same} == {key: items[0].get(key) for key in same}
