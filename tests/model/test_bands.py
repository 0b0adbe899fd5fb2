"""The catalogue against the inventories of the USGS, and against the STAC items of real scenes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from landsat_downsample.model.bands import coded, find, specs, unknown

DATA = os.environ.get("LANDSAT_DATA", "")
ANGLES = {"VAA", "VZA", "SAA", "SZA"}
QUALITY = {"QA_PIXEL", "QA_RADSAT"}
THERMAL = {"ST_TRAD", "ST_URAD", "ST_DRAD", "ST_ATRAN", "ST_EMIS", "ST_EMSD", "ST_CDIST", "ST_QA"}


def numbered(prefix: str, *numbers) -> set[str]:
    return {f"{prefix}{n}" for n in numbers}


GAPS = numbered("GM_B", 1, 2, 3, 4, 5, "6_VCID_1", "6_VCID_2", 7, 8)
INVENTORY = {
    ("mss123", 1): numbered("B", 4, 5, 6, 7) | QUALITY,
    ("mss45", 1): numbered("B", 1, 2, 3, 4) | QUALITY,
    ("tm", 1): numbered("B", *range(1, 8)) | QUALITY | ANGLES,
    ("etm", 1): numbered("B", 1, 2, 3, 4, 5, "6_VCID_1", "6_VCID_2", 7, 8) | QUALITY | ANGLES | GAPS,
    ("oli_tirs", 1): numbered("B", *range(1, 12)) | QUALITY | ANGLES,
    ("tm", 2): numbered("SR_B", 1, 2, 3, 4, 5, 7) | {"ST_B6", "SR_ATMOS_OPACITY", "SR_CLOUD_QA"} | THERMAL | QUALITY,
    ("oli_tirs", 2): numbered("SR_B", *range(1, 8)) | {"ST_B10", "SR_QA_AEROSOL"} | THERMAL | QUALITY,
}
INVENTORY["etm", 2] = INVENTORY["tm", 2]
SCALES = {
    "ST_TRAD": 0.001, "ST_URAD": 0.001, "ST_DRAD": 0.001, "ST_ATRAN": 0.0001, "ST_EMIS": 0.0001, "ST_EMSD": 0.0001,
    "ST_CDIST": 0.01, "ST_QA": 0.01, "SR_ATMOS_OPACITY": 0.001,
}  # fmt: skip


@pytest.mark.parametrize("product", INVENTORY, ids=lambda p: f"{p[0]}{p[1]}")
def test_every_band_of_a_product_is_there(product):
    found = specs(*product)
    assert set(found) == INVENTORY[product]
    for name, spec in found.items():
        assert spec.source
        assert spec.title
        check(name, spec, product)


def check(name, spec, product):
    sensor, level = product
    if name in QUALITY | {"SR_QA_AEROSOL", "SR_CLOUD_QA"}:
        assert spec.kind == "bits"
        assert spec.dtype == ("uint16" if name in QUALITY else "uint8")
        assert spec.fill == {"QA_PIXEL": 1, "SR_QA_AEROSOL": 1}.get(name)
        assert spec.fill_from == ({"QA_RADSAT": "QA_PIXEL", "SR_CLOUD_QA": "QA_PIXEL"}.get(name))
        assert spec.scale is None
    elif name in GAPS:
        assert (spec.kind, spec.dtype, spec.fill, spec.method) == ("class", "uint8", None, "mode")
    elif name in ANGLES:
        kind = "azimuth" if name[1:] == "AA" else "continuous"
        assert (spec.kind, spec.dtype, spec.fill, spec.fill_from) == (kind, "int16", None, "QA_PIXEL")
        assert spec.scale == 0.01
        assert spec.method == ("circular" if kind == "azimuth" else "mean")
    elif name in THERMAL | {"SR_ATMOS_OPACITY"}:
        assert (spec.kind, spec.dtype, spec.fill) == ("continuous", "int16", -9999)
        assert spec.scale == SCALES[name]
        assert spec.method == {"ST_CDIST": "min", "ST_EMSD": "rms"}.get(name, "mean")
    else:
        small = level == 1 and sensor != "oli_tirs"
        assert (spec.kind, spec.dtype, spec.fill) == ("continuous", "uint8" if small else "uint16", 0)
        assert spec.method == "mean"
        if level == 2:
            wanted = (0.00341802, 149.0) if name.startswith("ST") else (2.75e-5, -0.2)
            assert (spec.scale, spec.offset) == wanted
    assert spec.group == ("panchromatic" if name in ("B8", "GM_B8") else spec.group)


@pytest.mark.parametrize("product", INVENTORY, ids=lambda p: f"{p[0]}{p[1]}")
def test_bit_fields_do_not_overlap_and_common_names_are_unique(product):
    names = [name for spec in specs(*product).values() if (name := spec.common_name)]
    assert len(names) == len(set(names))
    for spec in specs(*product).values():
        seen = 0
        for field in spec.fields:
            assert not seen & field.mask
            seen |= field.mask
            assert len(field.levels) == (4 if field.length == 2 else 0)
            assert field.rule in {"all", "any", "majority", "max", "clear"}
        assert bool(seen) == (spec.kind == "bits")


def test_bands_answer_to_their_names():
    oli = specs("oli_tirs", 2)
    for name in ("SR_B4", "sr_b4", "red", "RED"):
        assert find(name, oli).name == "SR_B4"
    assert find("nir", oli).name == "SR_B5"
    assert find("swir1", oli).name == "SR_B6"
    assert find("thermal", oli).name == "ST_B10"
    assert find("B4", oli) is None
    assert find("pan", specs("etm", 1)).name == "B8"
    assert specs("mss45", 1)["QA_PIXEL"].field("shadow") is None
    assert oli["QA_PIXEL"].field("shadow").offset == 4
    assert not unknown("x").categorical


SENSOR_OF = {"LC": "oli_tirs", "LO": "oli_tirs", "LE": "etm", "LM": "mss"}


def real_assets():
    """(file, sensor, level, band, asset) of every raster asset of the real items."""
    for path in sorted(Path(DATA).glob("**/*.json")):
        record = json.loads(path.read_text())
        items = [i for i in (record if isinstance(record, list) else [record]) if i.get("type") == "Feature"]
        for asset in (asset for item in items for asset in item.get("assets", {}).values()):
            name = asset.get("href", "").rpartition("/")[2].partition("?")[0]
            if name.upper().endswith(".TIF") and name.count("_") >= 7 and name[35:37] == "02":
                platform, number, level = name[:2], int(name[2:4]), int(name[6])
                sensor = SENSOR_OF.get(platform) or "tm"
                sensor = ("mss123" if number < 4 else "mss45") if sensor == "mss" else sensor
                yield name, sensor, level, name[41:-4], asset


def check_assets(assets) -> tuple[int, int]:
    """Hold the catalogue against what items say of their files; how many assets and bit fields there were."""
    seen = fields = 0
    for name, sensor, level, band, asset in assets:
        spec = specs(sensor, level).get(band)
        assert spec is not None, name
        seen += 1
        for stored in asset.get("raster:bands", []):
            if "scale" in stored and spec.scale is not None:
                assert stored["scale"] == pytest.approx(spec.scale), name
            if spec.offset is not None and "offset" in stored:
                assert stored["offset"] == pytest.approx(spec.offset), name
            if spec.dtype and "data_type" in stored:
                assert stored["data_type"] == spec.dtype, name
            if "nodata" in stored and spec.fill is not None:
                assert stored["nodata"] == spec.fill, name
        for stored in asset.get("classification:bitfields", []):
            fields += 1
            known = next((f for f in spec.fields if f.offset == stored["offset"]), None)
            if stored["name"] == "unused" or "unused" in stored.get("description", "").lower():
                continue
            assert known is not None, (name, stored["name"], stored["offset"])
            assert known.length == stored["length"], (name, stored["name"])
    return seen, fields


@pytest.mark.skipif(not DATA, reason="LANDSAT_DATA is not set")
def test_the_catalogue_agrees_with_real_items():
    seen, fields = check_assets(real_assets())
    assert seen > 100
    assert fields > 20


def bit_fields(words: str) -> list[dict]:
    """Fields of a band by ``name:first bit``, or ``name:first bit:length``."""
    parts = (word.split(":") for word in words.split())
    return [{"name": name, "offset": int(first), "length": int(*rest or "1")} for name, first, *rest in parts]


def raster(dtype: str, **more) -> dict:
    return {"raster:bands": [{"data_type": dtype, **more}]}


#: What items say of a file, by the tables in the USGS's guides to the products of Collection 2.
REFLECTANCE = raster("uint16", nodata=0, scale=2.75e-5, offset=-0.2)
TEMPERATURE = raster("uint16", nodata=0, scale=0.00341802, offset=149.0)
PIXEL = "fill:0 dilated_cloud:1 unused:2 cloud:3 cloud_shadow:4 snow:5 clear:6 water:7 "
PIXEL += "cloud_confidence:8:2 cloud_shadow_confidence:10:2 snow_confidence:12:2 unused:14:2"
CIRRUS = PIXEL.replace("unused:2", "cirrus:2").replace("unused:14:2", "cirrus_confidence:14:2")
AEROSOL = "fill:0 retrieval:1 water:2 unused:3:2 interpolated:5 level:6:2"
CLOUD = "dark_dense_vegetation:0 cloud:1 cloud_shadow:2 adjacent:3 snow:4 water:5"
ASSETS = {
    ("oli_tirs", 2): {
        "SR_B1": REFLECTANCE, "SR_B7": REFLECTANCE, "ST_B10": TEMPERATURE,
        "ST_TRAD": raster("int16", nodata=-9999, scale=0.001), "ST_EMIS": raster("int16", nodata=-9999, scale=0.0001),
        "ST_CDIST": raster("int16", nodata=-9999, scale=0.01), "ST_QA": raster("int16", nodata=-9999, scale=0.01),
        "QA_PIXEL": raster("uint16", nodata=1) | {"classification:bitfields": bit_fields(CIRRUS)},
        "SR_QA_AEROSOL": raster("uint8", nodata=1) | {"classification:bitfields": bit_fields(AEROSOL)},
        "QA_RADSAT": raster("uint16") | {"classification:bitfields": bit_fields(
            " ".join(f"band{n}:{n - 1}" for n in (1, 2, 3, 4, 5, 6, 7, 9)) + " occlusion:11")},
    },
    ("tm", 2): {
        "SR_B7": REFLECTANCE, "ST_B6": TEMPERATURE,
        "SR_ATMOS_OPACITY": raster("int16", nodata=-9999, scale=0.001),
        "QA_PIXEL": raster("uint16", nodata=1) | {"classification:bitfields": bit_fields(PIXEL)},
        "SR_CLOUD_QA": raster("uint8") | {"classification:bitfields": bit_fields(CLOUD)},
    },
    ("mss45", 1): {"B1": raster("uint8", nodata=0), "QA_RADSAT": raster("uint16")},
    ("oli_tirs", 1): {"B8": raster("uint16", nodata=0), "VZA": raster("int16", scale=0.01)},
}  # fmt: skip


@pytest.mark.parametrize("product", ASSETS, ids=lambda p: f"{p[0]}{p[1]}")
def test_the_catalogue_agrees_with_items_as_the_usgs_describes_its_files(product):
    sensor, level = product
    assets = [(band, sensor, level, band, asset) for band, asset in ASSETS[product].items()]
    assert check_assets(assets)[0] == len(assets)


@pytest.mark.parametrize(
    "name",
    [
        "LC08_L1TP_192028_20230714_20230724_02_T1_Fmask4",
        "LC80060522014113LGN00_cfmask",
        "pixel_qa",
        "PIXELQA",
        "sr_cfmask",
        "oa_fmask",
        "landcover_2019",
        "SCL",
        "BQA",
        "cloud_mask",
    ],
)
def test_names_of_codes_that_the_catalogue_has_no_table_of(name):
    spec = coded(name)
    assert (spec.name, spec.kind, spec.method) == (name, "class", "mode")


@pytest.mark.parametrize(
    "name", ["red", "SR_B4", "masked", "ndvi", "subclass", "unmasked_red", "reflectance", "B4", "water"]
)
def test_names_that_say_nothing_of_codes(name):
    assert coded(name) is None
