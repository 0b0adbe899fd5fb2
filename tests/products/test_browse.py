"""The browse picture, against oracles: fill, size, colours, stretch, bytes."""

from __future__ import annotations

import io
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from landsat_downsample.model import bands
from landsat_downsample.products import browse
from landsat_downsample.products.browse import (
    AEROSOL_CLASSES,
    CLOUD_CLASSES,
    CODE_COLOURS,
    GAMMA,
    KNEE,
    SATURATION_COLOURS,
)

OLI2, OLI1, TM2, MSS = (bands.specs(*key) for key in (("oli_tirs", 2), ("oli_tirs", 1), ("tm", 2), ("mss123", 1)))


@pytest.fixture
def short_turns():
    """Threads take turns often: what is not safe shows."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def picture(arrays, specs, nodata=None, **options):
    """RGBA of what render draws, and the file itself."""
    nodata = nodata if nodata is not None else {name: specs[name].fill for name in arrays}
    image = Image.open(io.BytesIO(browse.render(arrays, specs, nodata, **options)))
    assert image.format == "PNG" and image.mode == "RGBA"
    return np.asarray(image), image


def ground(shape, names, seed=0):
    """Land with a frame of fill: stored surface reflectance, and its valid cells."""
    rng = np.random.default_rng(seed)
    valid = np.zeros(shape, bool)
    valid[1:-2, 2:-1] = True
    return {name: np.where(valid, rng.integers(8000, 16000, shape), 0).astype("uint16") for name in names}, valid


@pytest.mark.parametrize(
    ("names", "specs", "shown"),
    [
        (("SR_B2", "SR_B3", "SR_B4", "ST_B10"), OLI2, "SR_B4, SR_B3, SR_B2"),
        (("B2", "B3", "B4", "B8"), OLI1, "B4, B3, B2"),
        (("B4", "B5", "B6", "B7"), MSS, "B6, B5, B4"),  # no blue: false colour
        (("B4", "B5", "B7"), MSS, "B7, B5, B4"),
        (("SR_B5", "SR_B6", "SR_B7"), OLI2, "SR_B7, SR_B6, SR_B5"),
        (("SR_B5", "ST_B10"), OLI2, "SR_B5"),  # one band is grey
        (("ST_EMIS", "ST_B10", "QA_PIXEL"), OLI2, "ST_B10"),
        (("QA_RADSAT", "QA_PIXEL"), OLI2, "QA_PIXEL"),
        (("SZA", "SAA", "QA_PIXEL"), OLI1, "QA_PIXEL"),  # a quality band shows more than a ramp of angles
    ],
)
def test_chooses_the_most_telling_bands(names, specs, shown):
    arrays = {name: np.full((5, 4), 5440, "uint16") for name in names}
    _, image = picture(arrays, {name: specs[name] for name in names}, title="a scene")
    assert image.text == {"Title": "a scene", "Description": shown}


@pytest.mark.parametrize("names", [("SR_B4", "SR_B3", "SR_B2"), ("SR_B5",)])
def test_fill_and_only_fill_is_transparent(names):
    arrays, valid = ground((101, 103), names)
    rgba, _ = picture(arrays, OLI2)
    np.testing.assert_array_equal(rgba[..., 3], np.where(valid, 255, 0))
    assert not rgba[~valid].any()


@pytest.mark.parametrize(
    ("shape", "size"),
    [((100, 102), (100, 102)), ((512, 77), (512, 77)), ((1031, 700), (512, 348)), ((3, 2000), (1, 512))],
)
def test_size_fits_512_and_never_grows(shape, size):
    arrays = {"SR_B4": np.full(shape, 9000, "uint16")}
    assert picture(arrays, OLI2)[0].shape == (*size, 4)


def test_reduced_by_area_over_valid_cells():
    rng = np.random.default_rng(3)
    band = rng.integers(0, 5, (700, 1024)).astype("uint16") * 4000
    values, alpha = browse._shrink([band], band > 0)
    blocks = band.reshape(350, 2, 512, 2).astype("float64")
    count = (blocks > 0).sum((1, 3))
    np.testing.assert_allclose(values[0], blocks.sum((1, 3)) / np.maximum(count, 1), rtol=1e-12)
    np.testing.assert_allclose(alpha, count / 4, rtol=1e-12)


def test_no_fringe_at_the_edge_of_fill():
    band = np.full((601, 1203), 12000, "uint16")
    band[:, :500] = 0
    rgba, _ = picture({"SR_B4": band}, OLI2)
    seen = rgba[rgba[..., 3] > 0]
    assert len(np.unique(seen[:, :3])) == 1  # of one colour, however little of a cell is valid
    assert (rgba[..., 3] == 0).any() and ((rgba[..., 3] > 0) & (rgba[..., 3] < 255)).any()


def test_same_input_same_bytes():
    arrays, _ = ground((60, 61), ("SR_B4", "SR_B3", "SR_B2"))
    codes = {"QA_PIXEL": np.where(arrays["SR_B4"] > 9000, 21824, 22280).astype("uint16")}
    for some in (arrays, codes):
        assert len({browse.render(some, OLI2, {}, title="é 日") for _ in range(2)}) == 1


def test_drawn_in_threads_without_a_warning(short_turns):
    cells = {"SR_B4": np.full((9, 7), 9000, "uint16")}
    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(lambda _: picture(cells, OLI2)[0].shape, range(400)))) == 400


def test_stretch_is_monotone():
    ramp = np.linspace(1, 65535, 2000).astype("uint16").reshape(40, 50)
    rgba, _ = picture({"SR_B4": ramp, "QA_PIXEL": np.where(ramp < 15000, 21824, 22280).astype("uint16")}, OLI2)
    grey = rgba[..., 0].astype(int).ravel()
    assert (np.diff(grey) >= 0).all() and grey[0] == 0 and grey[-1] == 255


def test_cloud_does_not_crush_the_land():
    arrays, valid = ground((80, 90), ("SR_B4", "SR_B3", "SR_B2"), seed=5)
    arrays["QA_PIXEL"] = np.where(valid, 21824, 1).astype("uint16")
    for name in ("SR_B4", "SR_B3", "SR_B2"):
        arrays[name][:60][valid[:60]] = 40000
    without, _ = picture({name: arrays[name] for name in ("SR_B4", "SR_B3", "SR_B2")}, OLI2)
    arrays["QA_PIXEL"][:60][valid[:60]] = 22280
    rgba, _ = picture(arrays, OLI2)
    land = np.s_[60:-2, 2:-1, :3]
    assert rgba[land].mean() > 1.2 * without[land].mean()
    assert np.ptp(rgba[land].astype(int)) > 1.2 * np.ptp(without[land].astype(int))


def test_grey_stays_grey():
    rng = np.random.default_rng(1)
    band = rng.integers(7500, 30000, (50, 50)).astype("uint16")
    rgba, _ = picture({name: band for name in ("SR_B4", "SR_B3", "SR_B2")}, OLI2)
    assert (np.ptp(rgba[..., :3].astype(int), axis=-1) == 0).all()


@pytest.mark.parametrize("points", [(7800.0, 13000.0, 65000.0), (-0.1, 0.3, 0.3), (0.0, 1.0, 1.0)])
def test_the_tone_of_a_value_is_that_of_one_beside_it_by_less_than_a_16_bit_step(points):
    low, high, white = points
    top, half = max(white, np.nextafter(high, np.inf)), 0.5001 * (white - low) / 65535

    def exact(values):
        knee = max(KNEE, (high - low) / (white - low))
        return np.rint(255 * np.interp(values, (low, high, top), (0, knee, 1)) ** (1 / GAMMA))

    values = np.random.default_rng(0).uniform(low - 0.1 * (white - low), white + 0.1 * (white - low), 50_000)
    [levels] = browse._tone(values[None], points)
    assert (exact(values - half) <= levels).all() and (levels <= exact(values + half)).all()


@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize("title", [None, "LC08 é", "日"])
def test_a_png_holds_what_was_encoded(smooth, title):
    rgba = np.random.default_rng(4).integers(0, 256, (23, 31, 4)).astype("uint8")
    image = Image.open(io.BytesIO(browse._png(rgba, title, ("B4", "B3"), smooth=smooth)))
    np.testing.assert_array_equal(np.asarray(image), rgba)
    assert image.text == {"Description": "B4, B3"} | ({"Title": title} if title else {})


@pytest.mark.parametrize(
    "arrays",
    [
        {"SR_B4": np.zeros((7, 5), "uint16")},  # all fill
        {"SR_B4": np.full((1, 1), 9000, "uint16")},
        {"SR_B4": np.full((1, 1), 9000, "uint16"), "SR_B3": np.zeros((1, 1), "uint16")},
        {"ST_CDIST": np.full((9, 700), -9999, "int16")},
        {"QA_PIXEL": np.ones((5, 5), "uint16")},
        {"QA_PIXEL": np.full((1, 1), 21824, "uint16")},
        {name: np.zeros((1031, 600), "uint16") for name in ("SR_B4", "SR_B3", "SR_B2", "QA_PIXEL")},
    ],
)
def test_degenerate_products_have_a_picture(arrays):
    rgba, _ = picture(arrays, OLI2)
    assert rgba.size


def test_float_band_with_nan():
    band = np.linspace(0, 1, 20, dtype="float32").reshape(4, 5)
    band[1, 2], band[3, 4] = np.nan, np.inf
    rgba, _ = picture({"ndvi": band}, {"ndvi": bands.unknown("ndvi")}, {"ndvi": np.nan})
    np.testing.assert_array_equal(rgba[..., 3] == 0, ~np.isfinite(band))


def test_all_fill_band_gives_way_to_one_with_data():
    arrays = {"SR_B4": np.zeros((3, 3), "uint16"), "ST_B10": np.arange(40000, 40009, dtype="uint16").reshape(3, 3)}
    assert picture(arrays, OLI2)[1].text["Description"] == "ST_B10"


def test_a_composite_with_a_band_of_fill_gives_way_to_one_without():
    arrays, _ = ground((20, 30), ("SR_B2", "SR_B3", "SR_B4", "SR_B5"))
    arrays["SR_B2"][:] = 0
    assert picture(arrays, OLI2)[1].text["Description"] == "SR_B5, SR_B4, SR_B3"


# --- quality bands

WATER, CLEAR, CLOUD, SHADOW = 21952, 21824, 22280, 23888
C1, PRE = bands.specs("c1", 1), bands.specs("pre", 1)


def colours(table=CLOUD_CLASSES):
    return {entry.label: entry.colour for entry in table}


@pytest.mark.parametrize(
    ("name", "specs", "labels"),
    [
        (
            "QA_PIXEL",
            OLI2,
            {
                CLEAR: "Clear",
                WATER: "Water",
                CLOUD: "Cloud",
                SHADOW: "Cloud shadow",
                30048: "Snow or ice",
                54596: "Cirrus",
            }
            | {21762: "Dilated cloud", 55052: "Cloud"},
        ),
        ("QA_PIXEL", TM2, {5440: "Clear", 5504: "Water", 5896: "Cloud", 7440: "Cloud shadow"}),
        ("QA_PIXEL", MSS, {0: "Clear", 776: "Cloud", 256: "Clear", 64: "Clear"}),
        (
            "SR_CLOUD_QA",
            TM2,
            {0: "Clear", 1: "Dense dark vegetation", 2: "Cloud", 4: "Cloud shadow", 8: "Dilated cloud"},
        ),
        ("BQA", C1, {2720: "Clear", 2800: "Cloud", 2976: "Cloud shadow", 3744: "Snow or ice", 6816: "Cirrus"}),
        (
            "BQA",
            PRE,
            {20480: "Clear", 49152: "Cloud", 53248: "Cloud", 28672: "Cirrus", 48: "Water", 2: "Dropped pixel"},
        ),
    ],
)
def test_class_colours(name, specs, labels):
    codes = np.array([[*labels]], specs[name].dtype)
    rgba, _ = picture({name: codes}, specs)
    assert [tuple(cell[:3]) for cell in rgba[0, : codes.size]] == [colours()[label] for label in labels.values()]
    assert (rgba[0, : codes.size, 3] == 255).all()


def test_aerosol_and_saturation_colours():
    levels = {2: "Climatology", 66: "Low aerosol", 130: "Medium aerosol", 194: "High aerosol", 70: "Water", 1: None}
    rgba, _ = picture({"SR_QA_AEROSOL": np.array([[*levels]], "uint8")}, OLI2)
    known = colours(AEROSOL_CLASSES)
    assert [tuple(cell[:3]) for cell in rgba[0, :5]] == [known[label] for label in [*levels.values()][:5]]
    assert not rgba[0, 5].any()
    rgba, _ = picture({"QA_RADSAT": np.array([[0, 1, 65, 263, 2048]], "uint16")}, OLI2)
    assert [tuple(cell[:3]) for cell in rgba[0, :4]] == [*SATURATION_COLOURS]
    assert tuple(rgba[0, 4, :3]) == colours()["Terrain occlusion"]


def test_fill_of_radsat_comes_from_qa_pixel():
    arrays = {"QA_RADSAT": np.array([[0, 1]], "uint16"), "QA_PIXEL": np.array([[1, CLEAR]], "uint16")}
    valid = browse._valid("QA_RADSAT", arrays, OLI2, {})
    np.testing.assert_array_equal(valid, [[False, True]])


def test_codes_are_never_averaged():
    rng = np.random.default_rng(2)
    codes = rng.choice([1, CLEAR, WATER, CLOUD, SHADOW], (1201, 907)).astype("uint16")
    rgba, _ = picture({"QA_PIXEL": codes}, OLI2)
    drawn = rgba[:512, :387]
    palette = {(*colour, 255) for colour in colours().values()} | {(0, 0, 0, 0)}
    assert {tuple(int(v) for v in cell) for cell in np.unique(drawn.reshape(-1, 4), axis=0)} <= palette
    nearest = codes[np.ix_(*(((2 * np.arange(n) + 1) * side // (2 * n)) for n, side in ((512, 1201), (387, 907))))]
    np.testing.assert_array_equal(drawn[..., 3] == 0, nearest == 1)


def test_legend_is_opaque_and_beside_the_picture():
    rgba, _ = picture({"QA_PIXEL": np.full((10, 12), CLOUD, "uint16")}, OLI2, title="LC08_L2SP_008059")
    assert (rgba[:10, :12, :3] == colours()["Cloud"]).all()
    assert not rgba[10:, :12].any() and (rgba[:, 12:, 3] == 255).all()


def test_unknown_classes_by_value():
    specs = {"GM_B1": bands.specs("etm", 1)["GM_B1"]}
    rgba, _ = picture({"GM_B1": np.array([[0, 1, 1]], "uint8")}, specs)
    assert [tuple(cell[:3]) for cell in rgba[0, :3]] == [CODE_COLOURS[i] for i in (0, 1, 1)]
    rgba, _ = picture({"GM_B1": np.arange(20, dtype="uint8").reshape(2, 10)}, specs)
    assert len(np.unique(rgba[:2, :10].reshape(-1, 4), axis=0)) == len(CODE_COLOURS) + 1


def check_natural_colours(arrays) -> None:
    """A forest looks like one, and clouds are white."""
    rgba, _ = picture(arrays, OLI2)
    valid = np.logical_and.reduce([arrays[name] > 0 for name in ("SR_B4", "SR_B3", "SR_B2")])
    np.testing.assert_array_equal(rgba[..., 3] > 0, valid)
    red, green, blue = np.moveaxis(rgba[(arrays["QA_PIXEL"] == CLEAR) & valid][:, :3], 1, 0).astype(float)
    assert green.mean() > red.mean() > blue.mean() and 60 < green.mean() < 150
    thick = valid & (arrays["SR_B4"] > 21800)  # reflectance over 0.4: no land seen through it
    bright = rgba[thick][:, :3].astype(float)
    assert bright.mean() > 215 and np.ptp(bright.mean(axis=0)) < 8


def test_a_forest_under_clouds():
    rng = np.random.default_rng(1)
    cloudy, noise = np.zeros((90, 80), bool), rng.normal(0, 0.003, (90, 80))
    cloudy[:30], noise[:, :4] = True, np.nan  # at the edge there is no data
    reflectance = {"SR_B4": 0.031, "SR_B3": 0.045, "SR_B2": 0.022}
    arrays = {
        name: np.nan_to_num((np.where(cloudy, 0.62, land) + noise + 0.2) / 2.75e-5).round().astype("uint16")
        for name, land in reflectance.items()
    }
    arrays["QA_PIXEL"] = np.where(np.isnan(noise), 1, np.where(cloudy, CLOUD, CLEAR)).astype("uint16")
    check_natural_colours(arrays)


@pytest.mark.skipif("LANDSAT_DATA" not in os.environ, reason="needs the real files")
def test_real_scene():
    folder = Path(os.environ["LANDSAT_DATA"], "stactools-landsat/assets3")
    arrays = {}
    for name in ("SR_B4", "SR_B3", "SR_B2", "QA_PIXEL"):
        with rasterio.open(next(folder.glob(f"*_{name}.TIF"))) as source:
            arrays[name] = source.read(1)
    check_natural_colours(arrays)


@pytest.mark.parametrize("size", [1, 2, 3, 10, 101, 998])
def test_percentiles_are_those_of_numpy_to_the_last_bit(size):
    cells = np.random.default_rng(size).normal(0, 1e4, size)
    for values in (cells, np.rint(cells / 1e4), np.full(size, 0.1)):
        for shares in ((1, 98), (98, 99.7)):
            assert browse._percentiles(values, *shares).tolist() == np.percentile(values, shares).tolist()
