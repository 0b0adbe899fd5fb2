from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import rasterio
from product_cases import CASES, EXTRA, LONE, OLI, OPTIONS, Case

from landsat_downsample.model.location import Location
from landsat_downsample.products import met
from landsat_downsample.products.stac import item


def make(case: Case) -> dict:
    return met.met(case.plan, case.products, EXTRA)


@pytest.mark.parametrize("name", CASES)
def test_met_is_json_and_repeats(name):
    data = met.dumps(make(CASES[name]))
    assert data == met.dumps(make(CASES[name]))
    assert json.loads(data)["name"] == f"{CASES[name].scene.id}_downsampled"


@pytest.mark.parametrize("name", CASES)
def test_nothing_local_or_secret_is_written(name):
    text = met.dumps(make(CASES[name])).decode()
    for word in ("/home", "/data/in", "secret", "file:/"):
        assert word not in text


def test_signatures_are_left_out():
    bands = {k: replace(b, href=f"https://u:pass@host/{k}.TIF?sig=SIGNED") for k, b in OLI.scene.bands.items()}
    scene = replace(OLI.scene, bands=bands, href="https://host/x_MTL.json?sig=SIGNED")
    record = make(replace(OLI, scene=scene))
    assert record["source"]["bands"]["SR_B4"]["href"] == "https://host/SR_B4.TIF"
    assert "SIGNED" not in str(record)
    assert "pass@" not in str(record)


@pytest.mark.parametrize(
    ("href", "public"),
    [
        ("/home/me/a b.TIF", "a b.TIF"),
        ("/home/me/scene/", "scene"),
        ("file:///home/me/B4.TIF", "B4.TIF"),
        ("s3://usgs-landsat/c2/B4.TIF", "s3://usgs-landsat/c2/B4.TIF"),
        ("https://k:s@h/B4.TIF?sig=1#x", "https://h/B4.TIF"),
        ("tar://in/B4.TIF::/home/me/scene.tar", "tar://in/B4.TIF::scene.tar"),
    ],
)
def test_public_href(href, public):
    assert met.public_href(Location(href)) == public


def test_a_raster_is_described_as_gdal_describes_it(tmp_path):
    made, grid = OLI.products[0], OLI.grid
    path = tmp_path / "x.tif"
    options = {"dtype": made.dtype, "crs": grid.crs, "transform": grid.transform, "nodata": made.nodata, "count": 1}
    with rasterio.open(path, "w", driver="GTiff", height=grid.height, width=grid.width, **options) as target:
        target.write(np.ones((1, *grid.shape), made.dtype))
    block = make(OLI)["files"][0]
    with rasterio.open(path) as source:
        assert block["size"] == [source.width, source.height]
        assert block["geoTransform"] == list(source.transform.to_gdal())
        assert block["coordinateSystem"]["wkt"] == source.crs.to_wkt()
        assert block["cornerCoordinates"]["upperLeft"] == [source.bounds.left, source.bounds.top]
        assert block["cornerCoordinates"]["lowerRight"] == [source.bounds.right, source.bounds.bottom]
        assert block["bands"][0]["noDataValue"] == source.nodata
    assert block["bands"][0]["type"] == "UInt16"
    assert block["bands"][0]["block"] == [512, 512]
    assert block["bands"][0]["overviews"] == [{"size": [388, 380]}]
    assert (block["sha256"], block["bytes"], block["valid_fraction"]) == (made.sha256, made.size, 0.75)


def test_rounding_is_reported_where_there_was_any():
    files = {block["band"]: block for block in make(OLI)["files"]}
    assert (files["SR_B4"]["reducer"], files["SR_B4"]["rounding"]) == ("mean", "half to even")
    assert files["QA_PIXEL"]["reducer"] == "conservative"
    assert "rounding" not in files["QA_PIXEL"]
    assert "rounding" not in files["ST_CDIST"]  # the minimum is a stored value


def test_several_bands_have_a_block_each():
    block = make(OLI)["files"][-1]
    assert [band["description"] for band in block["bands"]][:2] == ["valid", "clear"]
    assert {band["type"] for band in block["bands"]} == {"Byte"}


def test_a_band_of_nothing_but_nodata_has_no_statistics():
    (band,) = make(LONE)["files"][0]["bands"]
    assert band["noDataValue"] == "nan"
    assert "mean" not in band
    assert band["validPercent"] == 0


def test_absent_bands_and_notes_are_reported():
    scene = replace(OLI.scene, absent=("ST_QA",))
    made = (replace(OLI.products[0], notes=("3 impossible codes",)),)
    record = make(replace(OLI, scene=scene, products=made))
    assert record["absent"] == ["ST_QA"]
    assert record["notes"] == record["files"][0]["notes"] == ["3 impossible codes"]


def test_versions_are_reported():
    assert make(OLI)["versions"].keys() == {"landsat-downsample", "numpy", "rasterio", "GDAL", "python"}


def test_ratio_is_reported_in_y_x_order():
    record = make(replace(OLI, ratio=(Fraction("75.91"), Fraction(4))))["grid"]
    assert record["ratio"] == [75.91, 4]
    assert "factor" not in record


# Fingerprints


def fingerprint(scene=OLI.scene, **changes) -> str:
    return met.source_identity(scene, {**OPTIONS.to_dict(), **changes})["fingerprint"]


def test_item_and_met_carry_the_same_fingerprint():
    properties = item(OLI.plan, OLI.products)["properties"]
    assert properties["landsat_ds:fingerprint"] == make(OLI)["fingerprint"] == fingerprint()


@pytest.mark.parametrize("change", [{"factor": 8}, {"qa": "majority"}, {"mask": ["cloud"]}, {"min_valid": 0.5}])
def test_other_parameters_make_another_product(change):
    assert fingerprint(**change) != fingerprint()


@pytest.mark.parametrize("change", [{"size": 1}, {"etag": "abc"}, {"checksum": "1220ff"}])
def test_other_bytes_make_another_product(change):
    bands = {**OLI.scene.bands, "SR_B4": replace(OLI.scene.bands["SR_B4"], **change)}
    changed = replace(OLI.scene, bands=bands)
    assert fingerprint(changed) != fingerprint()
    assert fingerprint(changed, bands=["SR_B5"]) == fingerprint(bands=["SR_B5"])  # that band was not asked for


def test_the_place_of_the_source_does_not_count():
    moved = {k: replace(b, href=f"s3://mirror/{k}.TIF") for k, b in OLI.scene.bands.items()}
    assert fingerprint(replace(OLI.scene, bands=moved, href="s3://mirror/")) == fingerprint()


def test_the_way_bands_and_flags_are_named_does_not_count():
    assert fingerprint(bands=["red", "QA_PIXEL"]) == fingerprint(bands=["qa_pixel", "SR_B4"])
    assert fingerprint(mask=["shadow", "cloud"]) == fingerprint(mask=["cloud", "cloud_shadow"])
    assert fingerprint(methods={"red": "max"}) == fingerprint(methods={"SR_B4": "max"})
