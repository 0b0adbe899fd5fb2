from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import landsat_downsample as ld
from landsat_downsample.api.scene import open_scene
from landsat_downsample.errors import SceneError, UsageError
from landsat_downsample.formats import stac_item, stac_source
from landsat_downsample.formats.scene_files import File
from landsat_downsample.model.location import Location

DATA = os.environ.get("LANDSAT_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="LANDSAT_DATA is not set")
ID = "LC08_L2SP_008059_20191201_20200825_02_T1"
REMOTE = Location("https://host.example/items/scene.json")
ITEM = Location("/d/i.json")


def item(assets, **more):
    return {"type": "Feature", "id": ID, "properties": {}, "assets": assets, **more}


# Where hrefs may point -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("href", "base", "expected"),
    [
        ("./B4.TIF", "/data/a/item.json", "/data/a/B4.TIF"),
        ("../b/B4.TIF", "/data/a/item.json", "/data/b/B4.TIF"),
        ("/else/B4.TIF", "/data/a/item.json", "/else/B4.TIF"),
        ("http://127.0.0.1/B4.TIF", "/data/a/item.json", "http://127.0.0.1/B4.TIF"),
        ("B4.TIF", "tar://x/item.json::/data/a.tar", "tar://B4.TIF::/data/a.tar"),
        ("B4.TIF", "https://host.example/a/item.json", "https://host.example/a/B4.TIF"),
        ("../B4.TIF", "https://host.example/a/item.json?sig=1", "https://host.example/B4.TIF?sig=1"),
        ("s3://bucket/B4.TIF", REMOTE.href, "s3://bucket/B4.TIF"),
        ("https://other.example/B4.TIF", "s3://bucket/item.json", "https://other.example/B4.TIF"),
        ("./x/B4.TIF", "s3://bucket/a/item.json", "s3://bucket/a/x/B4.TIF"),
        ("../B4.TIF", "memory://a/b/item.json", "memory://a/B4.TIF"),
        ("http://127.0.0.1:8080/B4.TIF", "http://127.0.0.1:8080/item.json", "http://127.0.0.1:8080/B4.TIF"),
    ],
)
def test_hrefs_are_made_absolute(href, base, expected):
    assert stac_source.resolve(href, Location(base)).href == expected


@pytest.mark.parametrize("base", [REMOTE, Location("s3://bucket/a/item.json")])
@pytest.mark.parametrize(
    "href",
    [
        "file:///etc/passwd",
        "file:/etc/passwd",
        "/etc/passwd",
        "\\\\server\\share",
        "//127.0.0.1/B4.TIF",
        "tar://B4.TIF::/data/a.tar",
        "simplecache::file:///etc/passwd",
        "memory://a/B4.TIF",
        "ftp://host.example/B4.TIF",
        "gopher:B4.TIF",
        "http://localhost/B4.TIF",
        "http://LOCALHOST./B4.TIF",
        "http://127.0.0.1/B4.TIF",
        "http://127.1/B4.TIF",
        "http://2130706433/B4.TIF",
        "http://0x7f000001/B4.TIF",
        "http://0.0.0.0/B4.TIF",
        "http://[::1]/B4.TIF",
        "http://[::ffff:127.0.0.1]/B4.TIF",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fe80::1%25eth0]/B4.TIF",
        "http://metadata.google.internal/B4.TIF",
        "http://user:secret@127.0.0.1/B4.TIF",
    ],
)
def test_remote_documents_point_to_remote_places_only(href, base):
    with pytest.raises(SceneError, match="refused") as caught:
        stac_source.resolve(href, base)
    assert "secret" not in str(caught.value)


def test_a_remote_document_does_not_leave_its_store():
    with pytest.raises(SceneError, match="leaves its store"):
        stac_source.resolve("../../../B4.TIF", Location("s3://bucket/a/item.json"))


def test_hostile_assets_are_refused_whatever_they_are():
    for name in (f"{ID}_SR_B4.TIF", f"{ID}_MTL.txt"):
        with pytest.raises(SceneError, match="refused"):
            stac_source.listing([(item({"x": {"href": f"file:///etc/{name}"}}), REMOTE)], REMOTE)


# What documents are --------------------------------------------------------------------------


def test_documents_that_are_no_scene():
    with pytest.raises(SceneError, match="web page"):
        stac_source.load(b"<html>log in</html>", REMOTE)
    with pytest.raises(SceneError, match="not JSON"):
        stac_source.load(b"{", REMOTE)
    with pytest.raises(SceneError, match="bare int"):
        stac_source.load(b"3", REMOTE)
    with pytest.raises(SceneError, match="not JSON"):
        stac_source.load(b"[" * 100_000, REMOTE)
    with pytest.raises(SceneError, match="other things"):
        stac_source.items([1, 2], REMOTE)
    with pytest.raises(SceneError, match="neither"):
        stac_source.links({"a": 1}, REMOTE)
    with pytest.raises(SceneError, match="no assets"):
        stac_source.listing([(item(None), REMOTE)], REMOTE)


def test_catalogues_point_to_items():
    record = {"type": "Catalog", "links": [{"rel": "self", "href": "x"}, {"rel": "item", "href": "./a/item.json"}]}
    assert stac_source.links(record, Location("/data/catalog.json")) == ([Location("/data/a/item.json")], [])
    assert stac_source.items({"type": "FeatureCollection", "features": [item({})]}, REMOTE) == [item({})]


def test_an_item_with_one_file_of_its_own_name_is_a_single_file():
    asset = {"data": {"href": "cog.tif", "file:size": 7, "file:checksum": "1220ab"}}
    at = Location("/d/cog.json")
    found = stac_source.listing([(item(asset, id="cog"), at)], at)
    assert found.single_file and found.files[""] == File(Location("/d/cog.tif"), 7, "1220ab", asset_key="data")
    band = {"red": {"href": f"{ID}_SR_B4.TIF"}}
    assert not stac_source.listing([(item(band), at)], at).single_file


def test_bands_under_other_file_names_are_found_by_key_and_common_name():
    assets = {
        "red": {"href": "a.tif"},
        "x": {"href": "b.tif", "eo:bands": [{"common_name": "nir08"}]},
        "qa_pixel": {"href": "c.tif"},
        "foo": {"href": "d.tif"},
        "thumbnail": {"href": "t.png"},
    }
    properties = {"platform": "LANDSAT_8", "landsat:correction": "L2SP", "instruments": ["oli"]}
    found = stac_source.listing([(item(assets, id="mine", properties=properties), ITEM)], ITEM)
    assert (found.id, found.sensor, found.level) == ("mine", "oli_tirs", 2)
    assert list(found.files) == ["SR_B4", "SR_B5", "QA_PIXEL"]
    assert found.skipped == ("d.tif",)


def test_items_of_something_else():
    assets = {"a": {"href": "a.tif"}, "b": {"href": "b.tif"}}
    with pytest.raises(SceneError, match="not a Landsat scene"):
        stac_source.listing([(item(assets, id="S2A", properties={"platform": "sentinel-2a"}), REMOTE)], REMOTE)
    tiles = {"red": {"href": "LC08_CU_003010_20200101_20210504_02_DSWE_INTR.TIF"}, "x": {"href": "y.TIF"}}
    with pytest.raises(SceneError, match="Level-3 product of ARD"):
        stac_source.listing([(item(tiles, id="LC08_CU_003010"), REMOTE)], REMOTE)
    old = {name: {"href": f"LC08_L1TP_016037_20170813_20170814_01_RT_{name}.TIF"} for name in ("B4", "B5")}
    with pytest.raises(SceneError, match="Collection 1"):
        stac_source.listing([(item(old, id="x"), REMOTE)], REMOTE)


# Items given as such -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    """A scene's folder, and its two items."""
    scene = ld.make_scene(tmp_path_factory.mktemp("items"), size=(61, 57), bands=["SR_B4", "ST_B10", "QA_PIXEL"])
    return scene, [json.loads(path.read_text()) for path in sorted(scene.glob("*_stac.json"))]


def test_items_are_opened_as_their_folder_is(synthetic):
    scene, both = synthetic
    base = scene / "items.json"  # it need not exist: only its folder does
    opened, folder = open_scene(both, base=base), open_scene(scene)
    assert opened.bands.keys() == folder.bands.keys() and opened.grid == folder.grid
    assert [band.href for band in opened.bands.values()] == [band.href for band in folder.bands.values()]
    assert list(open_scene(both[0], base=base).bands) == ["SR_B4", "QA_PIXEL"]
    assert list(open_scene([stac_item.slim(one) for one in both], base=base).bands) == list(folder.bands)
    assert list(open_scene(both, base=base, bands="red").bands) == ["SR_B4", "QA_PIXEL"]


def test_items_start_at_the_current_directory_without_a_base(synthetic, monkeypatch, tmp_path):
    scene, both = synthetic
    monkeypatch.chdir(scene)
    assert open_scene(both).id == scene.name
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ld.ReadError, match="no such file"):
        open_scene(both)


def test_what_is_no_item_is_refused(synthetic):
    _, both = synthetic
    for wrong in ({}, [], {"type": "Catalog"}, [both[0], 3]):
        with pytest.raises(UsageError, match="neither an href nor a STAC item"):
            open_scene(wrong)
    with pytest.raises(UsageError, match="a STAC item is not one"):
        open_scene(both[0], as_band="SR_B4")


def test_remote_items_may_not_name_this_machine(synthetic):
    scene, both = synthetic
    with pytest.raises(SceneError, match="refused"):
        open_scene(item({"red": {"href": f"{scene}/{ID}_SR_B4.TIF"}}), base=REMOTE.href)
    link = {"links": [{"rel": "self", "href": f"file://{scene}/item.json"}]}
    assert stac_item.own_location(both[0] | link, REMOTE) == REMOTE  # and so its hrefs do not start at a local folder


@pytest.mark.parametrize(
    ("link", "base", "expected"),
    [
        ("https://api.example/items/x", "https://api.example/search", "https://api.example/items/x"),
        ("./x.json", "s3://bucket/a/list.json", "s3://bucket/a/x.json"),
        ("http://127.0.0.1/x", "https://api.example/search", "https://api.example/search"),
        ("/etc/x.json", "https://api.example/search", "https://api.example/search"),
        ("https://[broken", "https://api.example/search", "https://api.example/search"),
        ("https://api.example/items/x", "/data/list.json", "/data/list.json"),
    ],
)
def test_where_an_item_is(link, base, expected):
    item = {"links": [{"rel": "root", "href": "r"}, {"rel": "self", "href": link}]}
    assert stac_item.own_location(item, Location(base)).href == expected


@needs_data
def test_nothing_is_lost_that_a_scene_needs():
    places = sorted(Path(DATA).glob("stactools-landsat/*/*_stac.json"))
    records = [json.loads(path.read_text()) for path in places]
    for name in ("landsat-c2-l2-pc.json", "landsat-c2-l1-pc.json"):
        records += json.loads(Path(DATA, "stac-items/planetary-computer", name).read_text())
    assert len(records) > 8
    for record in records:
        whole = stac_source.listing([(record, REMOTE)], REMOTE)
        assert stac_source.listing([(stac_item.slim(record), REMOTE)], REMOTE) == whole
        assert stac_source.listing([(stac_item.without_secrets(stac_item.slim(record)), REMOTE)], REMOTE) == whole


# Real items ----------------------------------------------------------------------------------


def read(path):
    return json.loads((Path(DATA) / path).read_text())


@needs_data
def test_planetary_computer_level_2():
    first = read("stac-items/planetary-computer/landsat-c2-l2-pc.json")[0]
    found = stac_source.listing([(first, REMOTE)], REMOTE)
    assert found.id == "LC09_L2SP_089090_20240417_20240418_02_T1"
    assert (found.sensor, found.level, found.requester_pays) == ("oli_tirs", 2, False)
    assert len(found.files) == 19 and not found.skipped
    assert found.files["SR_B4"].location.href.startswith("https://landsateuwest.blob.core.windows.net/landsat-c2/")
    assert sorted(found.metadata) == ["ANG.txt", "MTL.json", "MTL.txt", "MTL.xml"]
    assert found.properties["datetime"] == "2024-04-17T23:46:20.477296Z"
    assert found.properties["eo:cloud_cover"] == 97.54 and found.properties["sci:doi"]
    assert not {"proj:epsg", "created", "description"} & found.properties.keys()


@needs_data
def test_planetary_computer_mss():
    first = read("stac-items/planetary-computer/landsat-c2-l1-pc.json")[0]
    found = stac_source.listing([(first, REMOTE)], REMOTE)
    assert (found.sensor, list(found.files)) == ("mss45", ["B1", "B2", "B3", "B4", "QA_PIXEL", "QA_RADSAT"])


@needs_data
def test_several_scenes_are_refused():
    records = [(one, REMOTE) for one in read("stac-items/planetary-computer/landsat-c2-l2-pc.json")]
    with pytest.raises(SceneError, match="several scenes"):
        stac_source.listing(records, REMOTE)


@needs_data
def test_usgs_items_are_read_from_the_requester_pays_bucket():
    folder = "stactools-landsat/assets3/"
    records = [(read(f"{folder}{ID}_{kind}_stac.json"), ITEM) for kind in ("SR", "ST")]
    found = stac_source.listing(records, ITEM.parent)
    assert found.id == ID and found.requester_pays
    assert len(found.files) == 19
    assert all(
        file.location.href.startswith("s3://usgs-landsat/collection02/level-2/") for file in found.files.values()
    )
    assert all(one.href.startswith("s3://usgs-landsat/") for one in found.metadata.values())


@needs_data
def test_alternates_and_checksums_of_usgs_items():
    name = "LM03_L1GS_001001_19780510_20200907_02_T2"
    found = stac_source.listing([(read(f"stactools-landsat/mss/{name}_stac.json"), REMOTE)], REMOTE)
    assert found.requester_pays and list(found.files) == ["B4", "B5", "B6", "B7", "QA_PIXEL", "QA_RADSAT"]
    folder = f"s3://usgs-landsat/collection02/level-1/standard/mss/1978/001/001/{name}/"
    assert found.files["B4"].location.href == f"{folder}{name}_B4.TIF"
    assert found.files["B4"].checksum.startswith("134000")  # sha2-512


@needs_data
def test_older_usgs_items_without_alternates():
    folder = "eo-datasets/LT05_L2SP_090084_19980308_20200909_02_T1/"
    record = read(f"{folder}LT05_L2SP_090084_19980308_20200909_02_T1_ST_stac.json")
    found = stac_source.listing([(record, REMOTE)], REMOTE)
    assert found.requester_pays and found.files["ST_B6"].location.href == (
        "s3://usgs-landsat/collection02/level-2/standard/tm/1998/090/084/LT05_L2SP_090084_19980308_20200909_02_T1/"
        "LT05_L2SP_090084_19980308_20200909_02_T1_ST_B6.TIF"
    )
    assert "datetime" not in found.properties  # it has a bare date


@needs_data
@pytest.mark.parametrize(
    "path", sorted(Path(DATA or ".").glob("stactools-landsat/*/*_stac.json")), ids=lambda p: p.name
)
def test_every_usgs_item(path):
    record = json.loads(path.read_text())
    found = stac_source.listing([(record, REMOTE)], REMOTE)
    assert path.name.startswith(found.id) and found.files and not found.skipped
    assert found.sensor and found.specs.keys() == found.files.keys()


@needs_data
def test_a_copy_beside_a_local_item_is_preferred():
    record = read(f"stactools-landsat/assets3/{ID}_SR_stac.json")
    siblings = {ITEM: [f"{ID}_SR_B4.TIF"]}
    files = stac_source.listing([(record, ITEM)], ITEM, siblings).files
    assert files["SR_B4"] == File(ITEM.parent / f"{ID}_SR_B4.TIF", asset_key="SR_B4.TIF")
    assert files["SR_B5"].location.href.startswith("s3://")
