from __future__ import annotations

import pytest

from landsat_downsample.errors import SceneError
from landsat_downsample.formats import product_id


@pytest.mark.parametrize(
    ("text", "sensor", "level"),
    [
        ("LC08_L2SP_008059_20191201_20200825_02_T1", "oli_tirs", 2),
        ("LC09_L1TP_010065_20220129_20220131_02_T1", "oli_tirs", 1),
        ("LO08_L1GT_099120_20191129_20201016_02_T2", "oli_tirs", 1),
        ("LT09_L1GS_099120_20221129_20221130_02_T2", "oli_tirs", 1),
        ("LT08_L1TP_099120_20191129_20201016_02_T2", "oli_tirs", 1),
        ("LE07_L2SR_090084_20210331_20210426_02_T1", "etm", 2),
        ("LT04_L2SP_002026_19830110_20200918_02_T1", "tm", 2),
        ("LT05_L1TP_090084_19980308_20200909_02_T1", "tm", 1),
        ("LM05_L1GS_001001_19850524_20210918_02_T2", "mss45", 1),
        ("LM01_L1GS_005037_19720823_20200909_02_T2", "mss123", 1),
    ],
)
def test_sensor_and_level_of_every_platform(text, sensor, level):
    product = product_id.parse(text)
    assert (product.id, product.sensor, product.level) == (text, sensor, level)
    assert product_id.parse(text.lower()) == product


def test_planetary_computer_leaves_out_the_processing_date():
    product = product_id.parse("LC09_L2SP_089090_20240417_02_T1")
    assert (f"{product.acquired:%Y%m%d}", product.processed, product.part("collection")) == ("20240417", "", "02")


@pytest.mark.parametrize("text", ["", "red", "LC08_L2SP_008059", "LC08_L2SP_008059_20191201_20200825_02_T1X", "x_LC08"])
def test_other_text_is_no_product_id(text):
    assert product_id.parse(text) is None


def test_landsat_that_never_was_is_refused():
    with pytest.raises(SceneError, match="no Landsat is called LE08"):
        product_id.parse("LE08_L1TP_008059_20191201_20200825_02_T1")


@pytest.mark.parametrize(
    ("name", "suffix", "ending"),
    [
        ("_SR_B4.TIF", "SR_B4", "tif"),
        ("_B6_VCID_1.TIF", "B6_VCID_1", "tif"),
        ("_MTL.json", "MTL", "json"),
        ("_thumb_small.jpeg", "THUMB_SMALL", "jpeg"),
        ("_SR_B4.TIF.ovr", "SR_B4.TIF", "ovr"),
        ("_sr_b4.tiff", "SR_B4", "tiff"),
    ],
)
def test_file_names(name, suffix, ending):
    parts = product_id.parse_file("LE07_L2SP_090084_20210331_20210426_02_T1" + name)
    assert (parts.product.sensor, parts.suffix, parts.ending) == ("etm", suffix, ending)


@pytest.mark.parametrize(
    ("name", "family", "hint"),
    [
        ("LC08_L1TP_016037_20170813_20170814_01_RT_BQA.TIF", "collection1", "oli_tirs"),
        ("LC08_L2SP_008059_20191201_20200825_02_T1_QA_PIXEL.TIF", "collection2", "oli_tirs"),
        ("LE70160142003111EDC00_B4.TIF", "pre_collection", "etm"),
        ("LC08_B7_Memphis_COG.tiff", None, "oli_tirs"),
        ("l8_BQA.tif", None, "oli_tirs"),
        ("L5_B4.tif", None, None),
        ("LT5-B4.tif", None, "tm"),
        ("L1TP_B4.tif", None, None),
        ("cog.tif", None, None),
        ("landsat-7_B4.tif", None, "etm"),
    ],
)
def test_what_other_names_say(name, family, hint):
    found = product_id.family_of(name)
    assert (found and found.key, product_id.sensor_hint(name)) == (family, hint)


def test_a_name_knows_the_day_but_not_the_time():
    properties = product_id.parse("LM01_L1GS_005037_19720823_20200909_02_T2").properties()
    assert properties["datetime"] is None
    assert properties["start_datetime"] == "1972-08-23T00:00:00Z"
    assert (properties["platform"], properties["instruments"], properties["landsat:wrs_type"]) == (
        "landsat-1",
        ["mss"],
        "1",
    )


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("LC08_CU_003010_20200101_20210504_02_DSWE_INTR.TIF", "give the ARD tile"),
        ("HLS.S30.T33UUB.2022001T095641.v1.4.Fmask.tif", "version 2.0"),
        ("HLS.L30.39TVF.2020158.165.v1.5.hdf", "version 2.0"),
        ("HLS-VI.S30.T06WVS.2024120T211159.v2.0.EVI.tif", "give the HLS granule"),
        ("S2B_MSIL2A_20190629T212529_N0212_R043_T06VVN_20201006T080531.SAFE", "give HLS S30"),
        ("S2A_29RKH_20200219_0_L2A", "give HLS S30"),
        ("S2B_T37MGP_20240710T073012_L2A", "give HLS S30"),
        ("T06VVN_20190629T212529_B04_10m.tif", "give HLS S30"),
        ("ga_s2am_nbart_3-2-1_49JFM_2016-12-14_final_band02.tif", "give HLS S30"),
        ("ga_ls_wo_3_088080_2020-05-25_final_water.tif", "give the scene"),
    ],
)
def test_other_products_are_recognised(name, instead):
    assert instead in str(product_id.unsupported(name))


@pytest.mark.parametrize(
    "name", ["HLS.S30.T33UUB.2022001T095641.v2.0.Fmask.tif", "LC08_CU_003010_20200101_20210504_02_SR_B4.TIF", "B04.tif"]
)
def test_what_is_read_is_not_taken_for_them(name):
    assert product_id.unsupported(name) is None
