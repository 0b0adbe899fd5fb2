"""Synthetic scenes: layout, agreement of their parts with each other, and the same bytes every time."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
from rasterio.warp import transform as warp_points

from landsat_downsample.errors import UsageError, WriteError
from landsat_downsample.model import bands as bands_module
from landsat_downsample.testing.synthetic.make import make_scene
from landsat_downsample.testing.synthetic.recipe import MISSIONS, Recipe
from landsat_downsample.testing.synthetic.tables import SATURATION_BIT

PRODUCTS = [("oli", 1), ("oli", 2), ("etm", 1), ("etm", 2), ("tm", 1), ("tm", 2), ("mss", 1), ("mss123", 1)]
SIZE = (331, 287)

#: QA_PIXEL codes of real files: LC08 008059, LE07 and LT05 090084, and products of their bits over water, snow, cirrus.
OLI_CODES = {
    1, 21762, 21824, 21890, 21952, 22018, 22080, 22280, 23826, 23888, 24082, 24144, 30048,
    54534, 54596, 54662, 54724, 54790, 54852, 55052, 56598, 56660, 56854, 56916,
}  # fmt: skip
TM_CODES = {1, 5440, 5442, 5504, 5506, 5696, 5698, 5896, 7440, 7442, 7696, 7698, 13664}
MSS_CODES = {1, 256, 512, 776}
CODES = {"oli": OLI_CODES, "etm": TM_CODES, "tm": TM_CODES, "mss": MSS_CODES, "mss123": MSS_CODES}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Folder of each product, made once."""
    base = tmp_path_factory.mktemp("scenes")
    return {product: make_scene(base, sensor=product[0], level=product[1], size=SIZE) for product in PRODUCTS}


def read(folder, band):
    with rasterio.open(folder / f"{folder.name}_{band}.TIF") as source:
        return source.read(1)


def odl(folder):
    """Values of the MTL.txt by (group, key), unquoted."""
    values, group = {}, None
    for line in (folder / f"{folder.name}_MTL.txt").read_text().splitlines():
        key, _, value = (part.strip() for part in line.partition("="))
        if key == "GROUP":
            group = value
        elif value and not key.startswith("END"):
            values[group, key] = value.strip('"')
    return values


@pytest.mark.parametrize("product", PRODUCTS)
def test_every_band_of_the_catalogue_is_there_with_its_type(scenes, product):
    folder, specs = scenes[product], bands_module.specs(MISSIONS[product[0]].catalogue, product[1])
    assert {path.name for path in folder.glob("*.TIF")} == {f"{folder.name}_{name}.TIF" for name in specs}
    for name, spec in specs.items():
        with rasterio.open(folder / f"{folder.name}_{name}.TIF") as source:
            assert source.dtypes == (spec.dtype,)
            assert source.crs.to_epsg() == 32633
            assert source.tags()["AREA_OR_POINT"] == "Point"
            assert (source.scales, source.offsets) == ((1.0,), (0.0,))
            tagged = product[1] == 2 and spec.kind == "continuous"
            assert source.nodata == (spec.fill if tagged else None)


@pytest.mark.parametrize("product", [("oli", 1), ("mss", 1)])
def test_grid_is_anchored_at_a_multiple_of_300_metres_and_pan_lies_half_a_pixel_inside(scenes, product):
    folder, step = scenes[product], MISSIONS[product[0]].step
    with rasterio.open(folder / f"{folder.name}_QA_PIXEL.TIF") as source:
        assert (source.width, source.height) == SIZE
        x, y = source.xy(0, 0)
        assert (x % 300, y % 300, source.transform.a, source.transform.e) == (0, 0, step, -step)
    if product[0] == "oli":
        with rasterio.open(folder / f"{folder.name}_B8.TIF") as pan:
            assert (pan.width, pan.height) == (2 * SIZE[0] - 1, 2 * SIZE[1] - 1)
            assert pan.xy(0, 0) == (x, y)
            assert (pan.bounds.left, pan.bounds.top) == (x - 7.5, y + 7.5)


def offsets_of_first_directory(path):
    """(sizes, offsets) of the full-resolution tiles, from the TIFF's own tables."""
    data = path.read_bytes()
    assert data[:4] == b"II*\0"
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    tables = {}
    for entry in range(count):
        tag, kind, length, value = struct.unpack_from("<HHII", data, start + 2 + 12 * entry)
        if tag in (324, 325):
            code = {3: "H", 4: "I"}[kind]
            place = value if length * struct.calcsize(code) > 4 else start + 2 + 12 * entry + 8
            tables[tag] = struct.unpack_from(f"<{length}{code}", data, place)
    return tables[325], tables[324], len(data)


def test_layout_is_that_of_usgs(tmp_path):
    folder = make_scene(tmp_path, size=(1100, 1031), bands=["SR_B4", "QA_PIXEL"])
    for band in ("SR_B4", "QA_PIXEL"):
        path = folder / f"{folder.name}_{band}.TIF"
        with rasterio.open(path) as source:
            assert source.block_shapes == [(256, 256)]
            assert source.overviews(1) == [2, 4, 8]
            assert source.compression.name == "deflate"
            structure = source.tags(ns="IMAGE_STRUCTURE")
            assert (structure["LAYOUT"], structure["PREDICTOR"]) == ("COG", "2")
        sizes, offsets, length = offsets_of_first_directory(path)
        assert len(offsets) == 5 * 5
        assert np.ptp(np.diff(offsets) - np.array(sizes[:-1])) == 0  # one run, nothing but the same leader between
        assert offsets[-1] + sizes[-1] <= length <= offsets[-1] + sizes[-1] + 4
        assert offsets[0] > length * 0.1  # the overviews come first


@pytest.mark.parametrize("product", PRODUCTS)
def test_quality_codes_are_possible_and_real(scenes, product):
    codes = set(np.unique(read(scenes[product], "QA_PIXEL")).tolist())
    fields = bands_module.specs(MISSIONS[product[0]].catalogue, product[1])["QA_PIXEL"].fields
    assert not any(code & ~sum(field.mask for field in fields) for code in codes)
    assert codes <= CODES[product[0]]
    assert len(codes) >= (3 if product[0].startswith("mss") else 7)


def test_quality_agrees_with_the_pixels(scenes):
    folder = scenes["oli", 2]
    qa, nir, red, swir = (read(folder, band).astype(float) for band in ("QA_PIXEL", "SR_B5", "SR_B4", "SR_B6"))
    qa = qa.astype(int)
    clear = qa == 21824
    assert np.median(nir[qa == 21952]) < 9000
    assert np.median(nir[clear]) > 13000
    assert np.median(red[qa == 22280]) > 30000 > np.median(red[clear])
    assert np.median(nir[qa == 23888]) < 0.85 * np.median(nir[clear])
    snow = qa == 30048
    assert np.median(red[snow]) > 2 * np.median(swir[snow])
    temperature, distance = read(folder, "ST_B10"), read(folder, "ST_CDIST")
    assert np.median(temperature[qa == 22280]) < np.median(temperature[clear])
    seen = distance != -9999
    assert np.array_equal(distance[seen & (qa != 1)] == 0, (qa & 8 != 0)[seen & (qa != 1)])


def test_cirrus_band_is_bright_where_quality_says_so(scenes):
    qa, cirrus = read(scenes["oli", 1], "QA_PIXEL"), read(scenes["oli", 1], "B9")
    assert cirrus[qa & 4 != 0].min() > np.median(cirrus[qa == 21824])


@pytest.mark.parametrize("product", PRODUCTS)
def test_fill_of_an_image_is_fill_of_quality_and_never_the_reverse_only(scenes, product):
    folder = scenes[product]
    qa = read(folder, "QA_PIXEL")
    images = [
        n
        for n in bands_module.specs(MISSIONS[product[0]].catalogue, product[1])
        if re.fullmatch(r"(SR_)?B\d+", n) and n != "B8"
    ]
    empty = {name: read(folder, name) == 0 for name in images}
    for mask in empty.values():
        assert not (mask & (qa != 1)).any()
    assert 0 < np.count_nonzero((qa == 1) & ~empty[images[0]]) < 0.06 * qa.size
    assert len({mask.tobytes() for mask in empty.values()}) > 1  # each band has its own
    if product[0] != "etm":
        assert 0.25 < (qa == 1).mean() < 0.4


def test_surface_temperature_has_holes_of_its_own(scenes):
    qa, kelvin, emissivity = (read(scenes["tm", 2], band) for band in ("QA_PIXEL", "ST_B6", "ST_EMIS"))
    holes = (kelvin == 0) & (qa != 1)
    assert 0 < holes.sum() < 0.01 * qa.size
    assert (emissivity[holes] == -9999).all()


@pytest.mark.parametrize("product", PRODUCTS)
def test_radsat_is_set_exactly_where_a_band_saturates(scenes, product):
    folder = scenes[product]
    radsat = read(folder, "QA_RADSAT")
    for name in bands_module.specs(MISSIONS[product[0]].catalogue, product[1]):
        bit = SATURATION_BIT.get(name.removeprefix("SR_"))
        if bit is not None and not name.startswith("ST_"):
            values = read(folder, name)
            assert np.array_equal(values == np.iinfo(values.dtype).max, radsat >> bit & 1 == 1), name
    assert radsat.any()
    assert not radsat[read(folder, "QA_PIXEL") == 1].any()


def test_aerosol_and_cloud_codes_are_possible(scenes):
    for product, band in ((("oli", 2), "SR_QA_AEROSOL"), (("tm", 2), "SR_CLOUD_QA")):
        fields = bands_module.specs(MISSIONS[product[0]].catalogue, 2)[band].fields
        codes = np.unique(read(scenes[product], band)).tolist()
        assert len(codes) > 4
        assert not any(code & ~sum(field.mask for field in fields) for code in codes)
    aerosol, qa = read(scenes["oli", 2], "SR_QA_AEROSOL"), read(scenes["oli", 2], "QA_PIXEL")
    assert np.array_equal(aerosol == 1, qa == 1)


def test_angles_jump_at_nadir_and_are_zero_outside(scenes):
    folder = scenes["oli", 1]
    azimuth, zenith, qa = read(folder, "VAA"), read(folder, "VZA"), read(folder, "QA_PIXEL")
    inside = qa != 1
    assert -18000 <= azimuth[inside].min() < -7000 < 9000 < azimuth[inside].max() <= 18000
    assert not np.any((azimuth[inside] > -7500) & (azimuth[inside] < 9000))
    assert 0 <= zenith[inside].min() < 30
    assert 700 < zenith[inside].max() < 800
    assert azimuth[0, 0] == zenith[0, 0] == 0
    elevation = float(odl(folder)["IMAGE_ATTRIBUTES", "SUN_ELEVATION"])
    assert abs(read(folder, "SZA")[inside].mean() / 100 - (90 - elevation)) < 0.5


def test_scan_gaps_are_a_fifth_of_the_swath_and_the_gap_masks_say_where(tmp_path):
    bands = ["B3", "B8", "GM_B3", "GM_B8", "QA_PIXEL", "SZA"]
    folder = make_scene(tmp_path, sensor="etm", level=1, size=(900, 870), bands=bands)
    swath, qa = read(folder, "SZA") != 0, read(folder, "QA_PIXEL")
    assert 0.17 < (qa[swath] == 1).mean() < 0.25
    middle = qa[300:570, 440:460]
    assert (middle == 1).mean() < 0.03  # none at nadir
    for band in ("B3", "B8"):
        data, mask = read(folder, band), read(folder, f"GM_{band}")
        assert set(np.unique(mask)) == {0, 1}
        assert (data[mask == 0] == 0).all()
        assert np.count_nonzero((mask == 1) & (data == 0)) <= 20  # specks


@pytest.mark.parametrize("product", PRODUCTS)
def test_the_three_mtl_formats_agree_with_each_other_and_with_the_rasters(scenes, product):
    folder = scenes[product]
    values = odl(folder)
    root = json.loads((folder / f"{folder.name}_MTL.json").read_text())["LANDSAT_METADATA_FILE"]
    assert values == {(group, key): value for group, keys in root.items() for key, value in keys.items()}
    tree = ElementTree.parse(folder / f"{folder.name}_MTL.xml").getroot()
    assert values == {(group.tag, item.tag): item.text for group in tree for item in group}
    contents = {key: value for (group, key), value in values.items() if group == "PRODUCT_CONTENTS"}
    rasters = {name for key, name in contents.items() if key.startswith("FILE_NAME_") and name.endswith(".TIF")}
    assert rasters == {path.name for path in folder.glob("*.TIF") if "_GM_" not in path.name}
    for key, name in contents.items():
        if name in rasters:
            with rasterio.open(folder / name) as source:
                assert contents[key.replace("FILE_NAME", "DATA_TYPE")] == source.dtypes[0].upper()
        elif key.startswith("FILE_NAME_"):
            assert (folder / name).exists()


@pytest.mark.parametrize("southern", [False, True])
def test_corners_are_centres_of_pixels(tmp_path, southern):
    folder = make_scene(tmp_path, size=(61, 47), bands=["QA_PIXEL", "SR_B4"], southern=southern)
    values = {key: value for (group, key), value in odl(folder).items() if group == "PROJECTION_ATTRIBUTES"}
    assert (values["REFLECTIVE_SAMPLES"], values["REFLECTIVE_LINES"]) == ("61", "47")
    with rasterio.open(folder / f"{folder.name}_SR_B4.TIF") as source:
        assert source.crs.to_epsg() == (32637 if southern else 32633)
        for name, row, column in (("UL", 0, 0), ("UR", 0, 60), ("LL", 46, 0), ("LR", 46, 60)):
            x, y = source.xy(row, column)
            assert (
                float(values[f"CORNER_{name}_PROJECTION_X_PRODUCT"]),
                float(values[f"CORNER_{name}_PROJECTION_Y_PRODUCT"]),
            ) == (x, y)
            (lon,), (lat,) = warp_points(source.crs, "EPSG:4326", [x], [y])
            assert values[f"CORNER_{name}_LAT_PRODUCT"] == f"{lat:.5f}"
            assert values[f"CORNER_{name}_LON_PRODUCT"] == f"{lon:.5f}"
        assert (source.bounds.top < 0) == southern


def test_calibration_of_the_mtl_gives_plausible_reflectance(scenes):
    for product, band, key in ((("tm", 1), "B4", "BAND_4"), (("oli", 1), "B5", "BAND_5")):
        values = odl(scenes[product])
        mult, add = (
            float(values["LEVEL1_RADIOMETRIC_RESCALING", f"REFLECTANCE_{what}_{key}"]) for what in ("MULT", "ADD")
        )
        sun = np.sin(np.radians(float(values["IMAGE_ATTRIBUTES", "SUN_ELEVATION"])))
        qa, dn = read(scenes[product], "QA_PIXEL"), read(scenes[product], band)
        nir = np.median(dn[qa == (5440 if product[0] == "tm" else 21824)] * mult + add) / sun
        assert 0.15 < nir < 0.5


def test_stac_items_describe_the_files(scenes):
    for product, endings in ((("oli", 2), ("_SR", "_ST")), (("etm", 1), ("",)), (("mss", 1), ("",))):
        folder = scenes[product]
        items = [json.loads((folder / f"{folder.name}{end}_stac.json").read_text()) for end in endings]
        named = {asset["href"] for item in items for asset in item["assets"].values()}
        assert all((folder / href).exists() and href.startswith("./") for href in named)
        assert {f"./{path.name}" for path in folder.glob("*.TIF") if "_GM_" not in path.name} <= named
        properties = items[0]["properties"]
        assert properties["proj:shape"] == [SIZE[1], SIZE[0]]
        assert 0 < properties["eo:cloud_cover"] < 40


def test_product_ids_follow_the_grammar():
    pattern = re.compile(r"L[COTEM]0[1-9]_L[12](TP|SP)_\d{6}_\d{8}_\d{8}_02_T1")
    for sensor, level in PRODUCTS:
        for seed in (0, 1, 7):
            assert pattern.fullmatch(Recipe(sensor, level, (50, 50), seed).product_id)


def contents_of(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_same_arguments_same_bytes_whatever_the_threads(tmp_path):
    size = (700, 531)
    here = contents_of(make_scene(tmp_path / "a", size=size, bands=["SR_B3", "ST_CDIST", "QA_PIXEL"]))
    script = (
        "from landsat_downsample.testing.synthetic.make import make_scene\n"
        f"make_scene({str(tmp_path / 'b')!r}, size={size}, bands=['SR_B3', 'ST_CDIST', 'QA_PIXEL'])"
    )
    alone = {"GDAL_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", script], check=True, env=os.environ | alone)
    if hasattr(os, "sched_setaffinity"):
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(before)})
        try:
            single = make_scene(tmp_path / "c", size=size, bands=["SR_B3", "ST_CDIST", "QA_PIXEL"])
        finally:
            os.sched_setaffinity(0, before)
        assert contents_of(single) == here
    (there,) = (tmp_path / "b").iterdir()
    assert contents_of(there) == here


def test_another_seed_is_another_scene(tmp_path):
    folders = [make_scene(tmp_path, size=(80, 90), seed=seed, bands=["SR_B4"]) for seed in (0, 1, 2)]
    assert len({folder.name for folder in folders}) == 3
    assert not np.array_equal(read(folders[0], "SR_B4"), read(folders[1], "SR_B4"))


def test_a_band_is_the_same_alone_or_in_company(scenes, tmp_path):
    folder = make_scene(tmp_path, size=SIZE, bands=["ST_QA", "SR_B2"])
    assert {path.name[len(folder.name) + 1 :] for path in folder.glob("*.TIF")} == {"ST_QA.TIF", "SR_B2.TIF"}
    for band in ("ST_QA", "SR_B2"):
        assert np.array_equal(read(folder, band), read(scenes["oli", 2], band))
    listed = [
        value for (group, _), value in odl(folder).items() if group == "PRODUCT_CONTENTS" and value.endswith(".TIF")
    ]
    assert sorted(listed) == sorted(path.name for path in folder.glob("*.TIF"))


@pytest.mark.parametrize("size", [(40, 40), (41, 257), (258, 43)])
@pytest.mark.parametrize("product", [("oli", 1), ("etm", 2), ("mss123", 1)])
def test_odd_sizes_work(tmp_path, product, size):
    folder = make_scene(tmp_path, sensor=product[0], level=product[1], size=size)
    qa = read(folder, "QA_PIXEL")
    assert qa.shape == (size[1], size[0])
    assert (qa == 1).any()
    assert (qa != 1).any()


def test_making_a_scene_again_leaves_nothing_of_the_old_one(tmp_path):
    make_scene(tmp_path, size=(50, 60), bands=["SR_B4", "SR_B5"])
    folder = make_scene(tmp_path, size=(70, 60), bands=["SR_B4"])
    assert [path.name for path in folder.glob("*.TIF")] == [f"{folder.name}_SR_B4.TIF"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sensor": "avhrr"}, "choose one of oli"),
        ({"sensor": "mss", "level": 2, "size": (50, 50)}, "no level 2 of mss: it has 1"),
        ({"level": 3, "size": (50, 50)}, "no level 3 of oli: it has 1 and 2"),
        ({"size": (39, 50)}, "at least 40"),
        ({"size": 50}, "two whole numbers"),
        ({"size": (50, 50), "bands": ["B4"]}, "no band B4"),
        ({"size": (50, 50), "bands": []}, "no bands"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        make_scene(tmp_path, **options)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_a_write_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WriteError, match="cannot write"):
        make_scene(tmp_path / "file", size=(50, 50), bands=["SR_B4"])


@pytest.mark.slow
def test_a_full_size_band_is_as_large_as_a_real_one(tmp_path):
    folder = make_scene(tmp_path, bands=["SR_B4", "QA_PIXEL"])
    path = folder / f"{folder.name}_SR_B4.TIF"
    with rasterio.open(path) as source:
        assert source.shape == (7801, 7641)
        assert source.overviews(1) == [2, 4, 8, 16, 32]
    assert 60e6 < path.stat().st_size < 90e6
    qa = read(folder, "QA_PIXEL")
    assert 0.28 < (qa == 1).mean() < 0.38
    assert {int(code) for code in np.unique(qa)} <= OLI_CODES
