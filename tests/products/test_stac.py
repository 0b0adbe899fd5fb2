from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from product_cases import CASES, EAST, EXTRA, LONE, MSS, OLI, OPTIONS, ROSS, TM, WEST, Case, frame, product

from landsat_downsample.model.grid import Grid
from landsat_downsample.products import met, stac
from landsat_downsample.products.footprint import footprint, spacing
from landsat_downsample.products.stac import EXTENSIONS


def make(case: Case) -> dict:
    return stac.item(case.plan, case.products, EXTRA)


@pytest.fixture(params=CASES, name="any_case")
def _any_case(request) -> Case:
    return CASES[request.param]


def test_items_of_every_kind_are_valid(any_case):
    assert stac.validate_item(make(any_case)) == []


def test_an_item_survives_pystac_unchanged(any_case):
    import pystac

    record = json.loads(met.dumps(make(any_case)))
    again = pystac.Item.from_dict(json.loads(met.dumps(record)), migrate=False).to_dict(transform_hrefs=False)
    assert again["assets"] == record["assets"]
    assert again["properties"].keys() >= record["properties"].keys() - {"datetime"}


def test_the_same_inputs_give_the_same_bytes(any_case):
    assert met.dumps(make(any_case)) == met.dumps(make(any_case))
    assert met.dumps(make(any_case)).endswith(b"}\n")


def test_nothing_local_or_secret_is_written(any_case):
    scene = replace(
        any_case.scene,
        item_href="https://me:pass@host/items/x.json?sig=SIGNED",
        href="https://blob.host/c2/x_MTL.json?se=2026&sig=SIGNED",
    )
    for record in (make(any_case), make(replace(any_case, scene=scene))):
        text = met.dumps(record).decode()
        for word in ("/home", "/data/in", "secret", "file:/", "SIGNED", "pass"):
            assert word not in text
        assert all(asset["href"].startswith("./") for asset in record["assets"].values())


def test_links_name_the_source_without_its_signature():
    signed = "https://host/items/x.json?sig=SIGNED"
    links = make(replace(OLI, scene=replace(OLI.scene, item_href=signed, href="https://blob/x_MTL.json")))["links"]
    assert [(link["rel"], link["href"]) for link in links] == [
        ("derived_from", "https://host/items/x.json"),
        ("via", "https://blob/x_MTL.json"),
        ("cite-as", "https://doi.org/10.5066/P9OGBGM6"),
    ]
    assert make(OLI)["links"][0]["href"] == f"{OLI.scene.id}_MTL.txt"  # a local source by its file name


# Geometry


@pytest.mark.parametrize("name", ["oli", "mss", "antarctic", "ross", "east", "west"])
def test_footprint_covers_the_frame_that_pyproj_and_shapely_draw(name):
    import pyproj
    import shapely

    grid = CASES[name].grid
    record = make(CASES[name])
    outline = shapely.geometry.shape(record["geometry"])
    assert outline.is_valid
    left, bottom, right, top = grid.bounds
    rng = np.random.default_rng(0)
    x, y = rng.uniform(left - 3e4, right + 3e4, 2000), rng.uniform(bottom - 3e4, top + 3e4, 2000)
    lon, lat = pyproj.Transformer.from_crs(grid.crs, 4326, always_xy=True).transform(x, y)
    depth = np.minimum.reduce([x - left, right - x, y - bottom, top - y])  # metres inside the frame
    far = np.abs(depth) > 100  # sides are drawn in straight pieces
    assert (shapely.contains_xy(outline, lon, lat) == (depth > 0))[far].all()
    west, south, east, north = record["bbox"]
    inside = (lon >= west) & (lon <= east) if west <= east else (lon >= west) | (lon <= east)
    assert (inside & (lat >= south) & (lat <= north))[depth > 100].all()


def test_exterior_rings_run_counter_clockwise_and_are_closed(any_case):
    import shapely

    geometry = make(any_case)["geometry"]
    polygons = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    for (ring,) in polygons:
        assert ring[0] == ring[-1]
        assert shapely.LinearRing(ring).is_ccw
        assert max(abs(lon) for lon, _ in ring) <= 180


@pytest.mark.parametrize("case", [EAST, WEST, ROSS])
def test_a_frame_across_the_180th_meridian_is_cut(case):
    record = make(case)
    west, _, east, _ = record["bbox"]
    assert record["geometry"]["type"] == "MultiPolygon"
    assert west > 0 > east
    for (ring,) in record["geometry"]["coordinates"]:
        assert len({lon > 0 for lon, _ in ring}) == 1
        assert any(abs(lon) == 180 for lon, _ in ring)


def test_a_frame_around_the_pole_reaches_it():
    geometry, bbox = footprint(frame("EPSG:3031", -115000.0, 115000.0))
    assert bbox[:3] == [-180, -90, 180]
    assert min(lat for (ring,) in geometry["coordinates"] for _, lat in ring) == -90


def test_a_frame_that_leaves_its_projection_has_no_geometry():
    lost = Grid((10, 10), frame().transform @ frame().transform.translation(1e9, 1e9), "EPSG:32618")
    record = make(replace(LONE, grid=lost))
    assert record["geometry"] is None
    assert "bbox" not in record
    assert stac.validate_item(record) == []


@pytest.mark.parametrize(
    ("crs", "step", "metres"),
    [("EPSG:32618", 300.0, 300.0), ("EPSG:2263", 100.0, 30.48006), ("EPSG:4326", 0.01, 1111.9508)],
)
def test_spacing_is_in_metres_whatever_the_unit(crs, step, metres):
    grid = Grid((2, 2), frame(step=step).transform, crs)
    assert spacing(grid) == pytest.approx(metres, rel=1e-6)


# Properties


def test_the_grid_is_known_by_its_edges():
    properties = make(OLI)["properties"]
    assert (properties["proj:code"], properties["proj:epsg"]) == ("EPSG:32618", 32618)
    assert properties["proj:shape"] == [760, 775]  # ceil of 7591 and 7741 tenths
    assert properties["proj:transform"] == [300, 0, 171285, 0, -300, 275115]
    assert properties["proj:bbox"] == [171285, 275115 - 760 * 300, 171285 + 775 * 300, 275115]
    assert (properties["gsd"], properties["landsat_ds:source_gsd"]) == (300, 30)
    assert (properties["landsat_ds:factor"], properties["landsat_ds:ratio"]) == (10, [10, 10])


def test_a_grid_without_an_authority_is_given_in_wkt():
    from rasterio.crs import CRS

    wkt = CRS.from_proj4("+proj=tmerc +lon_0=-75.1 +k=0.9991 +datum=WGS84").to_wkt()
    record = make(replace(LONE, grid=replace(LONE.grid, crs=wkt)))
    assert record["properties"]["proj:code"] is record["properties"]["proj:epsg"] is None
    assert "-75.1" in record["properties"]["proj:wkt2"]
    assert stac.validate_item(record) == []


def test_source_properties_are_kept_and_put_right():
    assert make(OLI)["properties"]["landsat:wrs_path"] == "008"
    assert make(OLI)["properties"]["landsat:cloud_cover_land"] == 81.02
    assert make(MSS)["properties"]["view:sun_azimuth"] == 210.5  # USGS: -149.5
    assert "eo:cloud_cover" not in make(TM)["properties"]  # USGS: -1, not assessed


def test_extensions_are_declared_where_used_only():
    declared = {prefix: stac._uri(prefix) for prefix in EXTENSIONS}
    assert make(OLI)["stac_extensions"] == list(declared.values())
    assert declared["landsat:"] not in make(TM)["stac_extensions"]  # lacks what that schema requires
    assert make(LONE)["stac_extensions"] == [declared[p] for p in ("eo:", "file:", "processing:", "proj:", "raster:")]


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ("2019-12-01T15:19:42Z", ["2019-12-01T15:19:42Z", None, None]),
        ("2019-12-01 15:19:42", ["2019-12-01T15:19:42Z", None, None]),  # no zone said: UTC
        ("2019-12-01", [None, "2019-12-01T00:00:00Z", "2019-12-01T23:59:59Z"]),
        (None, [None, "1972-07-23T00:00:00Z", "9999-12-31T23:59:59Z"]),
    ],
)
def test_time_is_what_is_known(known, expected):
    scene = replace(LONE.scene, properties={"datetime": known})
    properties = make(replace(LONE, scene=scene))["properties"]
    assert [properties.get(key) for key in ("datetime", "start_datetime", "end_datetime")] == expected
    assert ("landsat_ds:datetime_unknown" in properties) == (known is None)


def test_no_time_of_making_is_written():
    assert "created" not in make(OLI)["properties"]


# Assets


def test_a_band_keeps_its_physical_meaning():
    asset = make(OLI)["assets"]["red"]
    assert asset["roles"] == ["data", "reflectance"]
    made = next(made for made in OLI.products if made.band == "SR_B4")
    assert (asset["file:size"], asset["file:checksum"]) == (made.size, f"1220{made.sha256}")
    (band,) = asset["bands"]
    assert (band["name"], band["eo:common_name"], band["eo:center_wavelength"]) == ("SR_B4", "red", 0.65)
    assert (band["raster:scale"], band["raster:offset"], band["nodata"]) == (2.75e-05, -0.2, 0)
    assert band["statistics"] == {"minimum": 1, "maximum": 9, "mean": 4.25, "stddev": 1.5, "valid_percent": 75}


def test_scale_offset_and_unit_are_those_of_the_file():
    made = product(OLI.scene.bands["SR_B4"].spec, "x_SR_B4.TIF")
    for scale, offset, unit in ((2.0, 1.0, "1"), (2.75e-05, None, None), (None, None, "kelvin")):
        made = replace(made, scale=scale, offset=offset, unit=unit)
        (reported,) = make(replace(OLI, products=(made,)))["assets"]["red"]["bands"]
        assert tuple(map(reported.get, ("raster:scale", "raster:offset", "unit"))) == (scale, offset, unit)


def test_codes_have_no_mean():
    (band,) = make(OLI)["assets"]["qa_pixel"]["bands"]
    assert band["statistics"] == {"minimum": 1, "maximum": 9, "valid_percent": 75}


def test_nan_never_reaches_the_json():
    asset = make(LONE)["assets"]["B1"]
    (band,) = asset["bands"]
    assert "nodata" not in band | asset["raster:bands"][0]
    assert band["statistics"] == {"valid_percent": 0}


def test_fractions_have_a_band_each():
    bands = make(OLI)["assets"]["qa_fractions"]["bands"]
    assert [band["name"] for band in bands] == ["valid", "clear", "cloud", "cloud_shadow", "snow", "water", "cirrus"]
    assert {(band["nodata"], band["unit"]) for band in bands} == {(255, "%")}


def test_other_files_are_assets_too():
    assets = make(OLI)["assets"]
    assert assets["MTL.txt"]["roles"] == ["metadata"]
    assert assets["browse"]["file:size"] == 20


@pytest.mark.parametrize(
    ("policy", "field", "words"),
    [
        ("conservative", "fill", "every source pixel"),
        ("conservative", "cloud", "any valid source pixel"),
        ("conservative", "water", "at least half"),
        ("conservative", "cloud_confidence", "highest level"),
        ("conservative", "clear", "neither the cloud nor the dilated cloud"),
        ("majority", "fill", "every source pixel"),
        ("majority", "cloud", "at least half"),
        ("majority", "cloud_confidence", "median level"),
        ("majority", "clear", "neither the cloud nor the dilated cloud"),
        ("mode", "cloud", "most frequent code"),
        ("nearest", "water", "nearest to the cell's centre"),
    ],
)
def test_flags_say_what_they_mean_after_the_reduction(policy, field, words):
    band = OLI.scene.bands["QA_PIXEL"]
    case = replace(OLI, products=(product(band.spec, "x_QA_PIXEL.TIF", policy),))
    found = {f["name"]: f for f in make(case)["assets"]["qa_pixel"]["classification:bitfields"]}
    assert words in found[field]["description"]


def test_bit_fields_are_those_of_the_sensor():
    fields = make(MSS)["assets"]["qa_pixel"]["classification:bitfields"]
    assert [(f["name"], f["offset"], f["length"]) for f in fields] == [
        ("fill", 0, 1),
        ("cloud", 3, 1),
        ("cloud_confidence", 8, 2),
    ]
    assert [c["name"] for c in fields[2]["classes"]] == ["none", "low", "medium", "high"]


# Validation


@pytest.mark.parametrize(
    ("where", "value", "complaint"),
    [
        (("properties", "proj:shape"), [0, 5], "projection"),
        (("properties", "proj:epsg"), "32618", "projection"),
        (("assets", "red", "eo:bands"), [{"name": "SR_B4", "common_name": "infrared"}], "eo"),
        (("assets", "red", "raster:bands"), [{"scale": "1"}], "raster"),
        (("properties", "view:sun_azimuth"), -10, "view"),
        (("properties", "datetime"), "yesterday", "core"),
        (("properties", "landsat:wrs_path"), "8", "landsat"),
        (("assets", "red", "href"), "/home/me/B4.TIF", "product"),
        (("assets", "red", "file:checksum"), "00ff", "file"),
        (("assets", "qa_pixel", "classification:bitfields"), [], "classification"),
        (("assets", "red", "bands"), [{"name": "SR_B4", "raster:scale": "1"}], "raster"),
        (("assets", "red", "bands"), [{"name": "SR_B4", "eo:common_name": "infrared"}], "eo"),
        (("stac_extensions",), ["https://example.org/x.json"], "extension without a schema"),
        (("stac_version",), "1.0.0", "core"),
    ],
)
def test_validation_finds_what_is_wrong(where, value, complaint):
    record = make(OLI)
    holder = record
    for key in where[:-1]:
        holder = holder[key]
    holder[where[-1]] = value
    assert any(problem.startswith(complaint) for problem in stac.validate_item(record))


def test_every_extension_has_a_schema_of_ours():
    names = {name for name, _ in EXTENSIONS.values()} | {"product"}
    folder = Path(stac.__file__).parent / "schemas"
    assert {path.stem for path in folder.glob("*.json")} == names
    assert all(stac._schema(name)["$schema"] for name in names)


def test_building_an_item_imports_neither_pystac_nor_jsonschema():
    import subprocess
    import sys

    heavy = "{'pystac', 'jsonschema', 'xarray'}"
    code = f"import sys, landsat_downsample.products.stac; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_parameters_are_recorded_but_do_not_move_the_place():
    assert make(OLI)["properties"]["processing:expression"]["expression"] | {"methods": {}} == OPTIONS.to_dict()
    other = make(replace(OLI, options=replace(OPTIONS, min_valid=0.5)))
    assert other["geometry"] == make(OLI)["geometry"]
    assert other["properties"]["landsat_ds:fingerprint"] != make(OLI)["properties"]["landsat_ds:fingerprint"]


def real_properties() -> list[dict]:
    """Properties of every real item at hand: USGS's of several ages, and Planetary Computer's."""
    folder = os.environ.get("LANDSAT_DATA")
    if not folder:
        pytest.skip("LANDSAT_DATA is not set")
    found = []
    for path in sorted(Path(folder).rglob("*.json")):
        record = json.loads(path.read_text())
        records = record if isinstance(record, list) else [record]
        found += [r["properties"] for r in records if "stac_version" in r and r.get("type") == "Feature"]
    return found


def test_properties_of_real_items_make_valid_items():
    known = real_properties()
    assert len(known) > 20
    for properties in known:
        made = make(replace(LONE, scene=replace(LONE.scene, properties=properties)))
        assert stac.validate_item(made) == []
        assert stac._uri("landsat:") in made["stac_extensions"] or "landsat:correction" not in properties
