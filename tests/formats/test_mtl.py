"""The MTL: what is read, what a rewrite changes, and that it changes nothing else."""

from __future__ import annotations

import json
import os
import pickle
from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree

import pytest
from affine import Affine
from lattices import coarse_grid
from rasterio.crs import CRS
from rasterio.warp import transform as warp_points

from landsat_downsample.errors import SceneError, UsageError
from landsat_downsample.formats.mtl import frame, parse, properties, rewrite
from landsat_downsample.formats.mtl.coarse import coarse_changes, notes
from landsat_downsample.formats.mtl.document import MAX_BYTES, RECORD, Mtl
from landsat_downsample.model.grid import Grid

DATA = Path(os.environ.get("LANDSAT_DATA", "/nonexistent"))
REAL = sorted(DATA.glob("**/*_MTL.*")) if DATA.is_dir() else []
needs_data = pytest.mark.skipif(not REAL, reason="LANDSAT_DATA is not set")

ID = "LC08_L1TP_065045_20211205_20211215_02_T1"
BARE = {"02", "8", "2021-12-05", "15.00", "30.00", "65", "12.50", "-1", "2", "4", "-0.001", "155.7", "45.1"}
BARE |= {"2021-12-15T00:59:51Z", "7741", "7591", "15481", "15181", "2.0000E-05"}
PROJECTION = {
    "MAP_PROJECTION": "UTM",
    "DATUM": "WGS84",
    "UTM_ZONE": "4",
    "GRID_CELL_SIZE_PANCHROMATIC": "15.00",
    "GRID_CELL_SIZE_REFLECTIVE": "30.00",
    "GRID_CELL_SIZE_THERMAL": "30.00",
    "PANCHROMATIC_LINES": "15481",
    "PANCHROMATIC_SAMPLES": "15181",
    "REFLECTIVE_LINES": "7741",
    "REFLECTIVE_SAMPLES": "7591",
    "THERMAL_LINES": "7741",
    "THERMAL_SAMPLES": "7591",
    "ORIENTATION": "NORTH_UP",
    **{f"CORNER_{c}_{axis}_PRODUCT": "0.00000" for c in ("UL", "UR", "LL", "LR") for axis in ("LAT", "LON")},
    "CORNER_UL_PROJECTION_X_PRODUCT": "378300.000",
    "CORNER_UL_PROJECTION_Y_PRODUCT": "-1014600.000",
    "CORNER_UR_PROJECTION_X_PRODUCT": "606000.000",
    "CORNER_UR_PROJECTION_Y_PRODUCT": "-1014600.000",
    "CORNER_LL_PROJECTION_X_PRODUCT": "378300.000",
    "CORNER_LL_PROJECTION_Y_PRODUCT": "-1246800.000",
    "CORNER_LR_PROJECTION_X_PRODUCT": "606000.000",
    "CORNER_LR_PROJECTION_Y_PRODUCT": "-1246800.000",
}
GROUPS = {
    "PRODUCT_CONTENTS": {
        "DIGITAL_OBJECT_IDENTIFIER": "https://doi.org/10.5066/P975CC9B",
        "LANDSAT_PRODUCT_ID": ID,
        "PROCESSING_LEVEL": "L1TP",
        "COLLECTION_NUMBER": "02",
        "COLLECTION_CATEGORY": "T1",
        "FILE_NAME_BAND_1": f"{ID}_B1.TIF",
        "FILE_NAME_BAND_2": f"{ID}_B2.TIF",
        "FILE_NAME_METADATA_ODL": f"{ID}_MTL.txt",
        "DATA_TYPE_BAND_1": "UINT16",
        "DATA_TYPE_BAND_2": "UINT16",
        "PRESENT_BAND_1": "Y",
    },
    "IMAGE_ATTRIBUTES": {
        "SPACECRAFT_ID": "LANDSAT_8",
        "SENSOR_ID": "OLI_TIRS",
        "WRS_TYPE": "2",
        "WRS_PATH": "65",
        "WRS_ROW": "45",
        "NADIR_OFFNADIR": "NADIR",
        "DATE_ACQUIRED": "2021-12-05",
        "SCENE_CENTER_TIME": "20:59:59.9999999Z",
        "CLOUD_COVER": "12.50",
        "CLOUD_COVER_LAND": "-1",
        "ROLL_ANGLE": "-0.001",
        "SUN_AZIMUTH": "155.7",
        "SUN_ELEVATION": "45.1",
    },
    "PROJECTION_ATTRIBUTES": PROJECTION,
    "LEVEL1_PROCESSING_RECORD": {
        "LANDSAT_SCENE_ID": "LC80650452021339LGN00",
        "DATE_PRODUCT_GENERATED": "2021-12-15T00:59:51Z",
        "FILE_NAME_BAND_1": f"{ID}_B1.TIF",
        "NOTE": "a & b < c",
    },
    "LEVEL1_RADIOMETRIC_RESCALING": {"REFLECTANCE_MULT_BAND_1": "2.0000E-05"},
    "LEVEL1_PROJECTION_PARAMETERS": {
        "GRID_CELL_SIZE_PANCHROMATIC": "15.00",
        "GRID_CELL_SIZE_REFLECTIVE": "30.00",
        "RESAMPLING_OPTION": "CUBIC_CONVOLUTION",
    },
}


def as_txt(groups: dict, root: str = "LANDSAT_METADATA_FILE", end: str = "\n") -> bytes:
    lines = [f"GROUP = {root}"]
    for name, values in groups.items():
        lines.append(f"  GROUP = {name}")
        bare = BARE | {v for k, v in values.items() if k.startswith("CORNER_")}
        lines += [
            f"    {key} = {value}" if value in bare else f'    {key} = "{value}"' for key, value in values.items()
        ]
        lines.append(f"  END_GROUP = {name}")
    return end.join([*lines, f"END_GROUP = {root}", "END", ""]).encode()


def as_json(groups: dict, indent: int | None = None) -> bytes:
    return json.dumps({"LANDSAT_METADATA_FILE": groups}, indent=indent).encode()


def as_xml(groups: dict, end: str = "\n") -> bytes:
    def escaped(text: str) -> str:
        return text.replace("&", "&amp;").replace("<", "&lt;")

    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<LANDSAT_METADATA_FILE>"]
    for name, values in groups.items():
        lines.append(f"  <{name}>")
        lines += [f"    <{key}>{escaped(value)}</{key}>" for key, value in values.items()]
        lines.append(f"  </{name}>")
    return end.join([*lines, "</LANDSAT_METADATA_FILE>", ""]).encode()


BLANKS = as_txt(GROUPS).replace(b"    WRS_ROW = 45", b"\tWRS_ROW\t=  45 \t").replace(b"155.7", b"155.7 ")
LOOSE = b"\xef\xbb\xbf" + as_txt(GROUPS).replace(b"  GROUP = IMAGE", b"\n \n  GROUP = IMAGE")
VARIANTS = {
    "txt": ("txt", as_txt(GROUPS)),
    "txt crlf": ("txt", as_txt(GROUPS, end="\r\n")),
    "txt nul padding": ("txt", as_txt(GROUPS) + b"\0" * 700),
    "txt stray tabs and blanks": ("txt", BLANKS),
    "txt without END": ("txt", as_txt(GROUPS).removesuffix(b"END\n")),
    "txt bytes after END": ("txt", as_txt(GROUPS) + b"\n\xff not text = GROUP"),
    "txt bom, blank lines": ("txt", LOOSE),
    "json": ("json", as_json(GROUPS)),
    "json compact": ("json", json.dumps({"LANDSAT_METADATA_FILE": GROUPS}, separators=(",", ":")).encode()),
    "json indented": ("json", as_json(GROUPS, 4) + b"\n"),
    "json crlf": ("json", as_json(GROUPS, 2).replace(b"\n", b"\r\n")),
    "json without root": ("json", json.dumps(GROUPS, indent=1).encode()),
    "json escaped": ("json", as_json(GROUPS).replace(b"LANDSAT_8", b"\\u004cANDSAT_8")),
    "xml": ("xml", as_xml(GROUPS)),
    "xml crlf": ("xml", as_xml(GROUPS, end="\r\n")),
    "xml minified": ("xml", as_xml(GROUPS, end="").replace(b"    <", b"<").replace(b"  <", b"<")),
    "xml bom, comment, attribute": (
        "xml",
        b"\xef\xbb\xbf" + as_xml(GROUPS).replace(b"<WRS_ROW>", b"<!-- > --><WRS_ROW unit='a>b'>"),
    ),
}
variants = pytest.mark.parametrize(("kind", "data"), VARIANTS.values(), ids=VARIANTS)


def coarse_frame(crs: str = "EPSG:32604", ratio=10) -> Grid:
    return coarse_grid(Grid((7741, 7591), Affine(30, 0, 378285, 0, -30, -1014585), crs), ratio)


def edited(kind: str, data: bytes, coarse: Grid) -> Mtl:
    mtl = parse.parse(data, kind)
    files = {f"{ID}_B2.TIF": None}
    changes = coarse_changes(mtl, coarse=coarse, files=files, dtypes={f"{ID}_B1.TIF": "float32"})
    record = {
        "SOURCE_PRODUCT_ID": ID,
        "FACTOR": 10,
        "RESOLUTION": 300.5,
        "REDUCER": 'mean of "valid" <pixels> & more\nEND',
    }
    return parse.parse(rewrite.rewrite(mtl, changes, record | notes(coarse)), kind)


# Reading


@variants
def test_every_variant_reads_the_same(kind, data):
    assert parse.parse(data, kind).groups == GROUPS


@variants
def test_without_edits_nothing_changes(kind, data):
    mtl = parse.parse(data, kind)
    same = {(entry.group, entry.key): entry.value for entry in mtl.entries}
    assert rewrite.rewrite(mtl, {}) == rewrite.rewrite(mtl, same) == data
    assert pickle.loads(pickle.dumps(mtl)) == mtl


def test_lookup():
    mtl = parse.parse(as_txt(GROUPS), "txt")
    assert mtl.root == "LANDSAT_METADATA_FILE"
    assert mtl.get("PROJECTION_ATTRIBUTES", "UTM_ZONE") == "4"
    assert mtl.get("PROJECTION_ATTRIBUTES", "UTM_ZOO") is None
    assert mtl.get("NO_GROUP", "UTM_ZONE", "none") == "none"
    assert mtl.find("GRID_CELL_SIZE_REFLECTIVE") == "30.00"
    assert mtl.find("GRID_CELL_SIZE_REFLECTIVE", ["IMAGE_ATTRIBUTES"]) is None
    assert list(mtl.files()) == ["FILE_NAME_BAND_1", "FILE_NAME_BAND_2", "FILE_NAME_METADATA_ODL"]


def test_kind_of():
    assert [parse.kind_of(name) for name in ("a_MTL.txt", "a.b_MTL.JSON", "MTL.xml")] == ["txt", "json", "xml"]
    with pytest.raises(SceneError, match="its format is unknown"):
        parse.kind_of("a_MTL.pdf")


@pytest.mark.parametrize(
    ("kind", "data", "message"),
    [
        ("txt", b"", "holds no group"),
        ("txt", b"\0" * 100, "holds no group"),
        ("txt", b"<html><body>please log in</body></html>", "line 1: .* is not KEY = value"),
        ("txt", as_txt(GROUPS)[:2000], "cut short|is not KEY"),
        ("txt", as_txt(GROUPS).replace(b"END_GROUP = IMAGE_ATTRIBUTES", b""), "closes no open group"),
        ("txt", b"GROUP = A\n" * 5000, "deeper than"),
        ("txt", b"GROUP = A\nEND_GROUP = A\nEND\n", "holds no values"),
        ("txt", b"K = " + b" " * (MAX_BYTES + 1), "more than"),
        ("json", b"", "cannot be read"),
        ("json", as_json(GROUPS)[:-1], "cannot be read"),
        ("json", as_json(GROUPS).decode().encode("utf-16"), "cannot be read"),
        ("json", b"[1, 2]", "holds a list where groups"),
        ("json", b'{"A": {"B": [1]}}', "holds a list"),
        ("json", b'{"A": {}}', "holds no values"),
        ("json", b'{"A":' * 100_000, "too deep|cannot be read"),
        ("json", b'{"A":' * 20 + b"1" + b"}" * 20, "deeper than"),
        ("xml", b"", "cannot be read"),
        ("xml", as_xml(GROUPS)[:-10], "cannot be read"),
        ("xml", b"<A>text only</A>", "holds no values"),
        ("xml", b"<A>" * 100 + b"</A>" * 100, "deeper than"),
        ("xml", as_xml(GROUPS).decode().encode("utf-16"), "cannot be read"),
    ],
)
def test_what_is_no_mtl_is_refused(kind, data, message):
    with pytest.raises(SceneError, match=message):
        parse.parse(data, kind)


@pytest.mark.parametrize(
    "attack",
    [
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><A><B><C>&x;</C></B></A>',  # reads a file
        '<!DOCTYPE a SYSTEM "http://localhost:1/a.dtd"><A><B><C>1</C></B></A>',  # fetches a DTD
        '<!DOCTYPE a [<!ENTITY % p SYSTEM "file:///etc/hostname"> %p;]><A><B><C>1</C></B></A>',
        '<!DOCTYPE a [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;">]><A><B><C>&b;</C></B></A>',  # billion laughs
        "<!DOCTYPE html><html><body>log in</body></html>",
        "<A><B><C>&undefined;</C></B></A>",
    ],
)
def test_xml_attacks_are_refused(attack):
    for data in (attack.encode(), b'<?xml version="1.0"?>\n' + attack.encode(), attack.encode("utf-16")):
        with pytest.raises(SceneError):
            parse.parse(data, "xml")


# Rewriting


@variants
def test_formats_agree_after_the_same_rewrite(kind, data):
    reported = edited(kind, data, coarse_frame()).groups
    reference = edited("txt", as_txt(GROUPS), coarse_frame()).groups
    record = reported[RECORD]
    assert record["REDUCER"].replace('"', "'") == "mean of 'valid' <pixels> & more END"  # ODL has no escape for "
    record["REDUCER"] = record["REDUCER"].replace('"', "'")
    assert reported == reference
    assert list(reported) == [*GROUPS, RECORD]


@variants
def test_only_edited_lines_change(kind, data):
    mtl = parse.parse(data, kind)
    out = rewrite.rewrite(mtl, {("IMAGE_ATTRIBUTES", "CLOUD_COVER"): "99.5"})
    assert out == data.replace(b"12.50", b"99.50")
    new = rewrite.rewrite(mtl, {}, {"FACTOR": 8, "METHOD": "mean"})
    at = mtl.layout.at
    assert new.startswith(data[:at])
    assert new.endswith(data[at:])
    added = new[at : len(new) - len(data[at:])]
    assert added.count(b"\n") == added.count(b"\r\n" if b"\r\n" in data else b"\n")


def test_new_group_looks_like_the_others():
    record = {"FACTOR": 8, "METHOD": "mean"}
    txt = rewrite.rewrite(parse.parse(as_txt(GROUPS, end="\r\n"), "txt"), {}, record)
    assert txt.endswith(
        b"  END_GROUP = LEVEL1_PROJECTION_PARAMETERS\r\n  GROUP = DOWNSAMPLING_RECORD\r\n    FACTOR = 8\r\n"
        b'    METHOD = "mean"\r\n  END_GROUP = DOWNSAMPLING_RECORD\r\nEND_GROUP = LANDSAT_METADATA_FILE\r\nEND\r\n'
    )
    expected = GROUPS | {RECORD: {"FACTOR": "8", "METHOD": "mean"}}
    for indent in (None, 1, 4):
        assert rewrite.rewrite(parse.parse(as_json(GROUPS, indent), "json"), {}, record) == as_json(expected, indent)
    for end in ("\n", "\r\n"):
        assert rewrite.rewrite(parse.parse(as_xml(GROUPS, end), "xml"), {}, record) == as_xml(expected, end)


def test_flat_json_keeps_its_style():
    flat = {key: value for values in GROUPS.values() for key, value in values.items()}
    mtl = parse.parse(json.dumps(flat, indent=4).encode(), "json")
    assert mtl.root == ""
    assert mtl.get("", "UTM_ZONE") == "4"
    out = rewrite.rewrite(mtl, {}, {"FACTOR": 8})
    assert out == json.dumps(flat | {RECORD: {"FACTOR": "8"}}, indent=4).encode()
    assert frame.frame(mtl) == frame.frame(parse.parse(as_txt(GROUPS), "txt"))


def test_a_second_downsampling_keeps_the_first_record():
    for kind, data in (("txt", as_txt(GROUPS)), ("json", as_json(GROUPS)), ("xml", as_xml(GROUPS))):
        once = parse.parse(rewrite.rewrite(parse.parse(data, kind), {}, {"FACTOR": 2}), kind)
        twice = parse.parse(rewrite.rewrite(once, {}, {"FACTOR": 4}), kind)
        assert list(twice.groups)[-2:] == [RECORD, RECORD + "_2"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("30.00", "300", "300.00"),
        ("30.00", "2277.3", "2277.30"),
        ("30.00", "227.73", "227.73"),
        ("30.00", "75.9125", "75.9125"),  # more decimals, so that none is lost
        ("378300.000", "378435", "378435.000"),
        ("378300.0", "1e5", "100000.0"),
        ("7741", "97", "97"),
        ("7741", "97.0", "97"),
        ("30", "2277.3", "2277.3"),
        ("-0.00000", "-1.5", "-1.50000"),
        ("02", "02", "02"),  # not a quantity: left alone
        ("15", "v1.10", "v1.10"),
    ],
)
def test_numbers_keep_their_format(old, new, expected):
    for kind, data in (("txt", f"GROUP = A\nK = {old}\nEND_GROUP = A\n"), ("xml", f"<A><G><K>{old}</K></G></A>")):
        mtl = parse.parse(data.encode(), kind)
        (entry,) = mtl.entries
        out = rewrite.rewrite(mtl, {(entry.group, "K"): new})
        assert out == data.replace(old, expected).encode()


@variants
def test_removing_leaves_a_readable_file(kind, data):
    names = list(GROUPS["PRODUCT_CONTENTS"])
    groups = (names[:1], names[:3], names[-1:], names[-3:], names[1:4], names[:1] + names[-1:], names[:2] + names[4:6])
    for removed in (*groups, names):
        mtl = parse.parse(data, kind)
        out = rewrite.rewrite(mtl, {("PRODUCT_CONTENTS", name): None for name in removed})
        left = {key: value for key, value in GROUPS["PRODUCT_CONTENTS"].items() if key not in removed}
        assert parse.parse(out, kind).groups.get("PRODUCT_CONTENTS", {}) == left
        if kind == "json":
            json.loads(out.decode("utf-8-sig"))
        if kind == "txt":
            assert len(out.splitlines()) == len(data.splitlines()) - len(removed)


def test_values_cannot_break_out():
    evil = {"NOTE": 'x"\nEND_GROUP = A </NOTE><B>\\", "C": "\x00\u00e9'}
    for kind, data in (("txt", as_txt(GROUPS)), ("json", as_json(GROUPS)), ("xml", as_xml(GROUPS))):
        mtl = parse.parse(data, kind)
        out = rewrite.rewrite(mtl, {("LEVEL1_PROCESSING_RECORD", "NOTE"): evil["NOTE"]}, evil)
        again = parse.parse(out, kind)
        assert list(again.groups) == [*GROUPS, RECORD]
        text = evil["NOTE"].replace("\n", " ").replace("\0", " ")
        text = text.replace('"', "'") if kind == "txt" else text
        assert again.get(RECORD, "NOTE") == again.get("LEVEL1_PROCESSING_RECORD", "NOTE") == text


def test_empty_xml_element_takes_a_value():
    mtl = parse.parse(b"<A><G><K/><L></L></G></A>", "xml")
    out = rewrite.rewrite(mtl, {("G", "K"): "1", ("G", "L"): "2"})
    assert out == b"<A><G><K>1</K><L>2</L></G></A>"


def test_wrong_edits_are_refused():
    mtl = parse.parse(as_txt(GROUPS), "txt")
    with pytest.raises(UsageError, match="no such key"):
        rewrite.rewrite(mtl, {("PRODUCT_CONTENTS", "UTM_ZONE"): "1"})
    with pytest.raises(UsageError, match="record key"):
        rewrite.rewrite(mtl, {}, {"A = B": "1"})


# The coarse grid


@pytest.mark.parametrize("ratio", [1, 2, 7, 8, 10, (8, 16), "75.91"])
def test_corners_to_the_millimetre(ratio):
    ratio = Fraction(ratio) if isinstance(ratio, str) else ratio
    coarse = coarse_frame(ratio=ratio)
    mtl = edited("txt", as_txt(GROUPS), coarse)
    ry, rx = ratio if isinstance(ratio, tuple) else (ratio, ratio)
    rows, columns = -(-7741 // ry), -(-7591 // rx)
    # reference 4.8: the old first centre moves by (f - 1) / 2 pixels, the last lies N - 1 cells on
    left, top = 378300 + (rx - 1) / 2 * 30, -1014600 - (ry - 1) / 2 * 30
    right, bottom = left + (columns - 1) * rx * 30, top - (rows - 1) * ry * 30
    for corner, x, y in (("UL", left, top), ("UR", right, top), ("LL", left, bottom), ("LR", right, bottom)):
        said = [float(mtl.get("PROJECTION_ATTRIBUTES", f"CORNER_{corner}_PROJECTION_{axis}_PRODUCT")) for axis in "XY"]
        assert said == pytest.approx([float(x), float(y)], abs=1e-4, rel=0)
        lon, lat = warp_points(CRS.from_epsg(32604), CRS.from_epsg(4326), [float(x)], [float(y)])
        assert float(mtl.find(f"CORNER_{corner}_LAT_PRODUCT")) == pytest.approx(lat[0], abs=6e-6)
        assert float(mtl.find(f"CORNER_{corner}_LON_PRODUCT")) == pytest.approx(lon[0], abs=6e-6)
        assert lat[0] < 0  # a southern scene in a northern zone
    assert int(mtl.find("PANCHROMATIC_LINES")) == int(mtl.find("REFLECTIVE_LINES")) == rows
    assert int(mtl.find("THERMAL_SAMPLES")) == columns
    back = frame.frame(mtl)
    assert (back.shape, back.crs) == (coarse.shape, coarse.crs)
    assert tuple(back.transform) == pytest.approx(tuple(coarse.transform), abs=1e-6, rel=0)


def test_what_the_coarse_grid_changes_and_what_not():
    mtl = edited("txt", as_txt(GROUPS), coarse_frame())
    contents = mtl.groups["PRODUCT_CONTENTS"]
    assert contents == {
        key: value for key, value in GROUPS["PRODUCT_CONTENTS"].items() if not key.endswith("_BAND_2")
    } | {"DATA_TYPE_BAND_1": "FLOAT32"}
    assert mtl.get("PROJECTION_ATTRIBUTES", "GRID_CELL_SIZE_PANCHROMATIC") == "300.00"
    assert mtl.get("LEVEL1_PROJECTION_PARAMETERS", "GRID_CELL_SIZE_PANCHROMATIC") == "300.00"
    for group in ("IMAGE_ATTRIBUTES", "LEVEL1_PROCESSING_RECORD", "LEVEL1_RADIOMETRIC_RESCALING"):
        assert mtl.groups[group] == GROUPS[group]
    assert "whole source scene" in mtl.get(RECORD, "STATISTICS_NOTE")
    assert mtl.get(RECORD, "GRID_CELL_SIZE_Y") is None


def test_level_2_keeps_what_describes_its_level_1_source():
    data = as_txt(GROUPS).replace(b'PROCESSING_LEVEL = "L1TP"', b'PROCESSING_LEVEL = "L2SP"')
    mtl = edited("txt", data, coarse_frame())
    assert mtl.groups["LEVEL1_PROJECTION_PARAMETERS"] == GROUPS["LEVEL1_PROJECTION_PARAMETERS"]
    assert mtl.get("PROJECTION_ATTRIBUTES", "GRID_CELL_SIZE_REFLECTIVE") == "300.00"


def test_renamed_and_missing_files():
    mtl = parse.parse(as_txt(GROUPS), "txt")
    files = {f"{ID}_B1.TIF": None, f"{ID}_B2.TIF": "b2.tif", "unknown.TIF": None}
    changes = coarse_changes(mtl, coarse=coarse_frame(), files=files)
    reported = {key: value for (group, key), value in changes.items() if group == "PRODUCT_CONTENTS"}
    assert reported == {
        "FILE_NAME_BAND_1": None,
        "DATA_TYPE_BAND_1": None,
        "PRESENT_BAND_1": "N",
        "FILE_NAME_BAND_2": "b2.tif",
    }
    assert "LEVEL1_PROCESSING_RECORD" not in {group for group, _ in changes}


def test_cells_that_are_not_square_are_reported():
    coarse = coarse_frame(ratio=(8, 16))
    reported = notes(coarse)
    assert reported["GRID_CELL_SIZE_Y"] == 240
    mtl = edited("xml", as_xml(GROUPS), coarse)
    assert mtl.find("GRID_CELL_SIZE_REFLECTIVE") == "480.00"
    assert frame.frame(mtl).resolution == (240, 480)


def test_unknown_crs_is_an_error():
    with pytest.raises(SceneError, match="no latitude and longitude"):
        coarse_changes(parse.parse(as_txt(GROUPS), "txt"), coarse=coarse_frame(crs="EPSG:999999"))


def test_frames():
    mtl = parse.parse(as_txt(GROUPS), "txt")
    assert frame.frame(mtl) == Grid((7741, 7591), Affine(30, 0, 378285, 0, -30, -1014585), "EPSG:32604")
    assert frame.frame(mtl, "thermal") == frame.frame(mtl)
    # same first centre: its edge lies 7.5 m inside
    pan = frame.frame(mtl, "panchromatic")
    assert pan == Grid((15481, 15181), Affine(15, 0, 378292.5, 0, -15, -1014592.5), "EPSG:32604")
    with pytest.raises(UsageError):
        frame.frame(mtl, "pan")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("REFLECTIVE_LINES = 7741", "X = 1"),
        ("REFLECTIVE_LINES = 7741", "REFLECTIVE_LINES = 0"),
        ("UTM_ZONE = 4", "UTM_ZONE = 61"),
        ("UTM_ZONE = 4", "UTM_ZONE = four"),
        ('MAP_PROJECTION = "UTM"', 'MAP_PROJECTION = "AEA"'),
        ('DATUM = "WGS84"', 'DATUM = "NAD27"'),
        ('ORIENTATION = "NORTH_UP"', 'ORIENTATION = "NOM"'),
        ("PROJECTION_X_PRODUCT = 378300.000", "PROJECTION_X_PRODUCT = nan"),
    ],
)
def test_no_frame_where_the_mtl_does_not_say(old, new):
    data = as_txt(GROUPS)
    assert old.encode() in data
    assert frame.frame(parse.parse(data.replace(old.encode(), new.encode()), "txt")) is None


# STAC properties


def test_properties():
    assert properties.properties(parse.parse(as_xml(GROUPS), "xml")) == {
        "datetime": "2021-12-05T20:59:59.999999Z",
        "platform": "landsat-8",
        "instruments": ["oli", "tirs"],
        "eo:cloud_cover": 12.5,
        "view:sun_azimuth": 155.7,
        "view:sun_elevation": 45.1,
        "view:off_nadir": 0,
        "landsat:scene_id": "LC80650452021339LGN00",
        "landsat:wrs_path": "065",
        "landsat:wrs_row": "045",
        "landsat:wrs_type": "2",
        "landsat:collection_number": "02",
        "landsat:collection_category": "T1",
        "landsat:correction": "L1TP",
        "landsat:product_generated": "2021-12-15T00:59:51Z",
        "sci:doi": "10.5066/P975CC9B",
    }


def test_nothing_is_invented():
    assert properties.properties(parse.parse(b"GROUP = A\nK = 1\nEND_GROUP = A\n", "txt")) == {}
    odd = b'SPACECRAFT_ID = "EO1"\nSENSOR_ID = "ALI"\nCLOUD_COVER = -1.00\nDATE_ACQUIRED = 2021-13-01\nWRS_PATH = x\n'
    odd += b'SCENE_CENTER_TIME = "01:02:03Z"\nNADIR_OFFNADIR = "OFFNADIR"\nSUN_AZIMUTH = nan\n'
    assert properties.properties(parse.parse(b"GROUP = A\n" + odd + b"END_GROUP = A\n", "txt")) == {}


def test_azimuth_and_roll_as_stac_has_them():
    data = (
        as_txt(GROUPS)
        .replace(b"155.7", b"-68.94902577")
        .replace(b'"NADIR"', b'"OFFNADIR"')
        .replace(b"-0.001", b"-14.2")
    )
    reported = properties.properties(parse.parse(data, "txt"))
    assert (reported["view:sun_azimuth"], reported["view:off_nadir"]) == (291.05097423, 14.2)


# Real files


@needs_data
@pytest.mark.parametrize("path", REAL, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_real_files(path):
    data, kind = path.read_bytes(), parse.kind_of(path.name)
    mtl = parse.parse(data, kind)
    same = {(entry.group, entry.key): entry.value for entry in mtl.entries}
    assert rewrite.rewrite(mtl, {}) == rewrite.rewrite(mtl, same) == data
    grid = frame.frame(mtl)
    assert grid is not None
    assert mtl.files()
    corner = [float(mtl.find(f"CORNER_LR_PROJECTION_{axis}_PRODUCT")) for axis in "XY"]
    _, bottom, right, _ = grid.bounds
    step_y, step_x = grid.resolution
    assert [right - step_x / 2, bottom + step_y / 2] == pytest.approx(corner, abs=1e-3)
    assert {"datetime", "platform", "instruments", "landsat:wrs_path", "view:sun_elevation"} <= set(
        properties.properties(mtl)
    )
    coarse = coarse_grid(grid, 8 if grid.width > 1000 else 5)
    again = parse.parse(rewrite.rewrite(mtl, coarse_changes(mtl, coarse=coarse), notes(coarse)), kind)
    assert frame.frame(again) == coarse
    assert again.files() == mtl.files()
    assert properties.properties(again) == properties.properties(mtl)
    spatial = ("CORNER_", "GRID_CELL_SIZE_", "REFLECTIVE_", "THERMAL_", "PANCHROMATIC_")
    changed = {(e.key) for e, old in zip(again.entries, mtl.entries, strict=False) if e.value != old.value}
    assert all(key.startswith(spatial) for key in changed)
    _own_reader_agrees(rewrite.rewrite(again, {}), kind, again)


def _own_reader_agrees(data: bytes, kind: str, mtl: Mtl) -> None:
    """Values as the standard library reads them from a rewritten JSON or XML."""
    if kind == "json":
        content = json.loads(data)
        content = content.get(mtl.root, content)
        reported = {(g, k): v for g, values in content.items() if isinstance(values, dict) for k, v in values.items()}
        reported |= {("", key): value for key, value in content.items() if isinstance(value, str)}
    elif kind == "xml":
        reported = {(group.tag, e.tag): e.text or "" for group in ElementTree.fromstring(data) for e in group}
    else:
        return
    assert reported == {(entry.group, entry.key): entry.value for entry in mtl.entries}


@needs_data
def test_real_trios_agree_and_stay_in_agreement():
    trios = [path for path in REAL if path.suffix == ".xml" and path.with_suffix(".txt") in REAL]
    assert len(trios) >= 5
    for path in trios:
        forms = [path.with_suffix(ending) for ending in (".txt", ".xml", ".json")]
        read = [parse.parse(form.read_bytes(), form.suffix[1:]) for form in forms if form in REAL]
        coarse = coarse_grid(frame.frame(read[0]), 10)
        dropped = {next(iter(read[0].files().values())): None}
        made = [
            parse.parse(
                rewrite.rewrite(m, coarse_changes(m, coarse=coarse, files=dropped), {"FACTOR": 10, "METHOD": "mean"}),
                m.kind,
            )
            for m in read
        ]
        assert all(m.groups == made[0].groups for m in made), path


@needs_data
def test_real_corners_from_their_own_grid():
    """The lat/lon USGS computed, from the grid their MTL describes; its projection code differs far off the zone."""
    for path in REAL:
        mtl = parse.parse(path.read_bytes(), parse.kind_of(path.name))
        if "xlandsat" in str(path):  # cropped, lat/lon of the whole scene left in
            continue
        changes = coarse_changes(mtl, coarse=frame.frame(mtl))
        corners = {key: value for key, value in changes.items() if "_LAT_" in key[1] or "_LON_" in key[1]}
        assert len(corners) == 8
        for key, value in corners.items():
            assert float(value) == pytest.approx(float(mtl.get(*key)), abs=4e-5), (path.name, key)


@needs_data
def test_real_properties_agree_with_usgs_items():
    compared = 0
    for path in (DATA / "stactools-landsat").glob("mss/*_MTL.xml"):
        items = list(path.parent.glob(path.name.replace("_MTL.xml", "*tac.json")))
        if not items:
            continue
        reported = properties.properties(parse.parse(path.read_bytes(), "xml"))
        item = json.loads(items[0].read_text())["properties"]
        same = ("datetime", "eo:cloud_cover", "view:sun_elevation", "landsat:scene_id", "landsat:wrs_type")
        same += ("landsat:wrs_path", "landsat:wrs_row", "landsat:collection_number", "landsat:correction")
        assert {key: reported.get(key) for key in same} == {key: item.get(key) for key in same}
        assert reported["view:sun_azimuth"] == pytest.approx(item["view:sun_azimuth"] % 360)
        compared += 1
    assert compared
