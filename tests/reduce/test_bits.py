"""Bit fields against the tables of the USGS, cell by cell, with an oracle that knows nothing of our kernels."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import CODES, PIXEL, SENSORS, level, one_cell, shares, whole_area

from landsat_downsample import SceneError, UsageError
from landsat_downsample.model.bands import specs
from landsat_downsample.model.cells import Cells, Overlay
from landsat_downsample.model.flags import fraction_names, mask_bits
from landsat_downsample.model.methods import POLICIES, check_policy
from landsat_downsample.reduce import kernels, native
from landsat_downsample.reduce import values as values_module
from landsat_downsample.reduce.bits import (
    NO_PERCENT,
    QualityRule,
    check_codes,
    decide_fields,
    impossible,
    recognise,
    reduce_quality,
)


def pixels_of(codes, overlay, i, j):
    return [(int(codes[r, c]), h * w) for r, h in shares(overlay.rows, i) for c, w in shares(overlay.columns, j)]


def overlay_of(shape, factor, offset=0) -> Overlay:
    ratio = Fraction(str(factor))
    return Overlay(*(Cells.cut(n, math.ceil((n + offset) / ratio), ratio, Fraction(offset)) for n in shape))


def run(codes, overlay, rule, ok=None, code_counts=None):
    found = reduce_quality(rule, overlay, lambda a, b: (codes[a:b], None if ok is None else ok[a:b]))
    if code_counts is not None:
        code_counts |= found.code_counts
    return (found.codes,) if found.percent is None else (found.codes, found.percent)


def scene(sensor, shape=(53, 61), seed=0) -> np.ndarray:
    """Patches, noise, and a corner of fill."""
    random, pool = np.random.default_rng(seed), np.array(CODES[sensor], "u2")
    codes = np.kron(pool[random.integers(0, len(pool), (9, 9))], np.ones((8, 8), "u2"))[: shape[0], : shape[1]]
    noise = random.random(shape) < 0.08
    codes[noise] = pool[random.integers(0, len(pool), noise.sum())]
    codes[:14, :9] = 1
    return codes


def pixel_spec(sensor):
    return specs(sensor, 1)["QA_PIXEL"]


@pytest.mark.parametrize("sensor", SENSORS)
@pytest.mark.parametrize("policy", ["conservative", "majority", "mode"])
@pytest.mark.parametrize("factor", [2, 7, 10, 30, 2.5])
def test_every_cell_follows_the_table(sensor, policy, factor):
    codes = scene(sensor)
    overlay = overlay_of(codes.shape, factor)
    (found,) = run(codes, overlay, QualityRule(pixel_spec(sensor), policy))
    assert found.dtype == np.uint16
    for i, j in np.ndindex(found.shape):
        assert found[i, j] == one_cell(pixels_of(codes, overlay, i, j), PIXEL[sensor], policy), (i, j)


@pytest.mark.parametrize("factor", [2, 7, 30, 2.5])
def test_nearest_takes_the_centre_pixel(factor):
    codes = scene("oli_tirs")
    overlay = overlay_of(codes.shape, factor)
    (found,) = run(codes, overlay, QualityRule(pixel_spec("oli_tirs"), "nearest"))
    ratio = Fraction(str(factor))
    for i, j in np.ndindex(found.shape):
        at = tuple(
            min(math.floor((k + Fraction(1, 2)) * ratio), n - 1) for k, n in zip((i, j), codes.shape, strict=True)
        )
        assert found[i, j] == codes[at]


@pytest.mark.parametrize("sensor", SENSORS)
@pytest.mark.parametrize("policy", POLICIES)
def test_uniform_blocks_give_back_their_code(sensor, policy):
    pool = np.array(CODES[sensor], "u2")
    codes = np.kron(pool, np.ones((7, 7), "u2")).reshape(7, -1)
    (found,) = run(codes, overlay_of(codes.shape, 7), QualityRule(pixel_spec(sensor), policy))
    assert list(found[0]) == list(pool)
    codes[3, 3::7] = 1  # fill beside one code changes nothing but for the centre
    if policy != "nearest":
        (found,) = run(codes, overlay_of(codes.shape, 7), QualityRule(pixel_spec(sensor), policy))
        assert list(found[0]) == list(pool)


@pytest.mark.parametrize("sensor", SENSORS)
@pytest.mark.parametrize("policy", POLICIES)
@settings(max_examples=25)
@given(data=st.data())
def test_codes_are_possible_and_flags_agree(sensor, policy, data):
    pool = sorted(set(CODES[sensor]))
    blocks = data.draw(st.lists(st.lists(st.sampled_from(pool), min_size=9, max_size=9), min_size=1, max_size=6))
    codes = np.array(blocks, "u2").reshape(3 * len(blocks), 3)
    (found,) = run(codes, overlay_of(codes.shape, 3), QualityRule(pixel_spec(sensor), policy))
    for block, code in zip(blocks, found.ravel().tolist(), strict=True):
        valid = {c for c in block if not c & 1}
        if policy == "nearest":
            assert code == block[4]
            continue
        assert (code == 1) == (not valid)
        if not valid or code in valid:
            continue
        assert not code & 1
        assert all(level(code, offset, 2) != 2 for offset in (10, 12, 14))
        for _, offset, length, _rule in PIXEL[sensor]:  # no level that no pixel has: 01 | 10 = 11
            if length == 2:
                assert level(code, offset, 2) in {level(c, offset, 2) for c in valid}
        if sensor[:3] != "mss":
            assert bool(code & 64) == (not code & 0b1010)
        assert not impossible(np.array([code]), pixel_spec(sensor)).any()
        if policy == "conservative":
            for _, offset, _length, rule in PIXEL[sensor]:
                if rule == "any":
                    assert level(code, offset, 1) == max(level(c, offset, 1) for c in valid)


@pytest.mark.parametrize("sensor", SENSORS)
def test_real_codes_are_possible(sensor):
    assert not impossible(np.array(CODES[sensor]), pixel_spec(sensor)).any()


@pytest.mark.parametrize(
    ("sensor", "code"),
    [
        ("oli_tirs", 2720),  # Collection 1, clear
        ("oli_tirs", 20480),  # pre-Collection
        ("oli_tirs", 5440),  # TM: no cirrus confidence
        ("oli_tirs", 23888 & ~(3 << 10) | 2 << 10),  # a reserved level
        ("tm", 21824),  # OLI
        ("tm", 672),  # Collection 1
        ("mss45", 5440),
    ],
)
def test_codes_of_other_tables_are_not(sensor, code):
    assert impossible(np.array([code]), pixel_spec(sensor))[0]


# Other quality bands -------------------------------------------------------------------------

AEROSOL = [("fill", 0, 1, "fill"), ("retrieval", 1, 1, "majority"), ("water", 2, 1, "majority")]
AEROSOL += [("interpolated", 5, 1, "any"), ("cloud_c", 6, 2, "max")]  # all four levels, as in cloud confidence
CLOUD = [("ddv", 0, 1, "majority"), ("cloud", 1, 1, "any"), ("shadow", 2, 1, "any"), ("near", 3, 1, "any")]
CLOUD += [("snow", 4, 1, "any"), ("water", 5, 1, "majority")]
OTHERS = [
    ("oli_tirs", "SR_QA_AEROSOL", AEROSOL, [1, 2, 6, 32, 66, 96, 98, 100, 130, 160, 162, 164, 194, 224, 226, 228]),
    ("tm", "SR_CLOUD_QA", CLOUD, [0, 1, 2, 4, 8, 12, 16, 32, 34, 36, 48]),
    ("oli_tirs", "QA_RADSAT", [(f"b{k}", k, 1, "any") for k in (*range(7), 8, 11)], [0, 1, 3, 64, 256, 2048, 2303]),
    ("etm", "QA_RADSAT", [(f"b{k}", k, 1, "any") for k in (*range(7), 8, 9)], [0, 1, 3, 32, 288, 512]),
    ("tm", "QA_RADSAT", [(f"b{k}", k, 1, "any") for k in (*range(7), 9)], [0, 1, 3, 64, 127, 512]),
    ("mss45", "QA_RADSAT", [(f"b{k}", k, 1, "any") for k in (*range(7), 9)], [0, 1, 3, 15, 512]),
]


@pytest.mark.parametrize("band", OTHERS, ids=lambda b: f"{b[0]}-{b[1]}")
@pytest.mark.parametrize("policy", ["conservative", "majority", "mode"])
@pytest.mark.parametrize("factor", [3, 16, 2.5])
def test_the_other_quality_bands_follow_their_tables(band, policy, factor):
    sensor, name, table, pool = band
    spec = (specs(sensor, 2) or specs(sensor, 1))[name] if sensor != "mss45" else specs(sensor, 1)[name]
    random = np.random.default_rng(1)
    codes = np.array(pool, spec.dtype)[random.integers(0, len(pool), (41, 37))]
    codes[:10, :10] = pool[0]
    ok = None
    if spec.fill_from:
        ok = random.random(codes.shape) < 0.8
        ok[20:, 20:] = False
    overlay = overlay_of(codes.shape, factor)
    (found,) = run(codes, overlay, QualityRule(spec, policy), ok)
    assert found.dtype == np.dtype(spec.dtype)
    for i, j in np.ndindex(found.shape):
        pairs = pixels_of(codes, overlay, i, j)
        if ok is not None:  # shift up, so that bit 0 can say fill as in the other bands
            kept = [bool(f) for f, _ in pixels_of(ok, overlay, i, j)]
            pairs = [(c << 1 if k else 1, a) for (c, a), k in zip(pairs, kept, strict=True)]
            moved = [(n, o + 1, length, r) for n, o, length, r in table]
            wanted = one_cell(pairs, moved, policy)
            assert found[i, j] == (0 if wanted == 1 else wanted >> 1), (i, j)
        else:
            assert found[i, j] == one_cell(pairs, table, policy), (i, j)


# Percentages ---------------------------------------------------------------------------------


def percent_of(name: str, pairs, area: Fraction = Fraction(0)) -> int:
    """Of valid pixels; or of `area`, that of the whole cell, for the valid ones."""
    valid = [(c, a) for c, a in pairs if not c & 1]
    covered = sum(a for _, a in valid)
    if name == "valid":
        return round(100 * covered / area)
    if not valid:
        return NO_PERCENT
    bit = {"cloud": 8, "cloud_shadow": 16, "snow": 32, "water": 128, "cirrus": 4}.get(name)
    chosen = [a for c, a in valid if (not c & 0b1010 if name == "clear" else c & bit)]
    return round(100 * sum(chosen, Fraction(0)) / covered)


@pytest.mark.parametrize("sensor", SENSORS)
@pytest.mark.parametrize("factor", [2, 10, 16, 2.5])
def test_percentages_are_exact_whatever_the_policy(sensor, factor):
    codes = scene(sensor, seed=3)
    overlay = overlay_of(codes.shape, factor)
    spec = pixel_spec(sensor)
    names, (_, first) = fraction_names(spec), run(codes, overlay, QualityRule(spec, POLICIES[0], fractions=True))
    right = np.empty((len(names), *first.shape[1:]), np.uint8)
    for i, j in np.ndindex(right.shape[1:]):
        pairs = pixels_of(codes, overlay, i, j)
        right[:, i, j] = [percent_of(name, pairs, whole_area(overlay, i, j)) for name in names]
    np.testing.assert_array_equal(first, right, strict=True)
    for policy in POLICIES[1:]:
        _, found = run(codes, overlay, QualityRule(spec, policy, fractions=True))
        np.testing.assert_array_equal(found, right, policy, strict=True)


def test_fractions_name_the_flags_that_the_sensor_has():
    assert fraction_names(pixel_spec("oli_tirs"))[-1] == "cirrus"
    assert fraction_names(pixel_spec("tm")) == ("valid", "clear", "cloud", "cloud_shadow", "snow", "water")
    assert fraction_names(pixel_spec("mss45")) == ("valid", "cloud")


# Strips, giant cells, counts -----------------------------------------------------------------


@pytest.mark.parametrize("extension", [True, False])
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("factor", [7, 2.5, 31, 53])
def test_codes_do_not_depend_on_the_strips(policy, factor, extension, monkeypatch):
    if not extension:
        monkeypatch.setattr(native, "_native", None)
    codes, rule = scene("oli_tirs", seed=4), QualityRule(pixel_spec("oli_tirs"), policy, Fraction(1, 3), True)
    overlay, code_counts = overlay_of(codes.shape, factor), {}
    once = run(codes, overlay, rule, code_counts=code_counts)
    for limit in (1, 10, 30, 9999):
        monkeypatch.setattr(
            values_module, "groups", lambda rows, whole, limit=limit: kernels.groups(rows, whole=whole, limit=limit)
        )
        monkeypatch.setattr(kernels, "WINDOW_PIXELS", 50 * limit)
        again: dict = {}
        for a, b in zip(once, run(codes, overlay, rule, code_counts=again), strict=True):
            np.testing.assert_array_equal(a, b)
        assert again == code_counts


@pytest.mark.parametrize("factor", [2, 7, 2.5, "7.13", 53])
def test_the_counts_hold_every_pixel_once(factor):
    codes, code_counts = scene("tm", seed=5), {}
    run(codes, overlay_of(codes.shape, factor), QualityRule(pixel_spec("tm")), code_counts=code_counts)
    values, counts = np.unique(codes, return_counts=True)
    assert code_counts == dict(zip(values.tolist(), counts.tolist(), strict=True))


def test_giant_cells():
    codes = np.tile(scene("oli_tirs", seed=6), (25, 1))[:1301]
    for factor in (600, "550.5"):
        ratio = Fraction(factor)
        overlay = Overlay(Cells.cut(1301, math.ceil(1301 / ratio), ratio), Cells.cut(61, 2, Fraction(61, 2)))
        code_counts: dict = {}
        found, percent = run(
            codes, overlay, QualityRule(pixel_spec("oli_tirs"), fractions=True), code_counts=code_counts
        )
        assert sum(code_counts.values()) == codes.size
        for i, j in np.ndindex(found.shape):
            pairs = pixels_of(codes, overlay, i, j)
            assert found[i, j] == one_cell(pairs, PIXEL["oli_tirs"], "conservative")
            assert percent[2, i, j] == percent_of("cloud", pairs)


@pytest.mark.parametrize("share", [Fraction(1, 4), Fraction("0.3333333333333333"), Fraction(1)])
@pytest.mark.parametrize("policy", POLICIES)
def test_min_valid_makes_cells_fill(share, policy):
    codes = scene("tm", seed=7)
    codes[np.random.default_rng(7).random(codes.shape) < 0.4] = 1
    overlay = overlay_of(codes.shape, 7)
    (found,) = run(codes, overlay, QualityRule(pixel_spec("tm"), policy, share))
    for i, j in np.ndindex(found.shape):
        pairs = pixels_of(codes, overlay, i, j)
        covered = sum(a for c, a in pairs if not c & 1)
        if not covered or covered < share * whole_area(overlay, i, j):
            assert found[i, j] == 1
        elif policy != "nearest":
            assert found[i, j] == one_cell(pairs, PIXEL["tm"], policy)


def test_many_codes_in_one_strip():
    """As noisy as a quality band can be: 400 codes, every pixel its own run."""
    codes = (np.random.default_rng(8).integers(0, 400, (200, 200)) * 2).astype("u2")
    spec = pixel_spec("oli_tirs")
    (found,) = run(codes, overlay_of(codes.shape, 20), QualityRule(spec))
    high = np.bitwise_or.reduce(codes.reshape(10, 20, 10, 20), axis=(1, 3))
    flags = 0b0011_1110  # any
    assert ((found & flags) == (high & flags)).all()


# What a file is ------------------------------------------------------------------------------


def test_a_file_of_another_collection_is_refused_with_the_reason():
    spec = pixel_spec("oli_tirs")
    with pytest.raises(SceneError, match=r"code 2720, which no QA_PIXEL .* Collection 1 quality band"):
        check_codes({1: 500, 2720: 90, 2800: 10}, spec, "LC08_QA_PIXEL")
    with pytest.raises(SceneError, match="pre-Collection"):
        check_codes({1: 5, 20480: 90}, spec, "LC08_QA_PIXEL")
    with pytest.raises(SceneError, match="code 5440"):
        check_codes({5440: 3, 21824: 2}, spec, "LC08_QA_PIXEL")


def test_a_few_impossible_codes_are_a_blemish():
    assert check_codes({21824: 1000, 2720: 7, 1: 3}, pixel_spec("oli_tirs"), "x") == 7
    assert check_codes({}, pixel_spec("oli_tirs"), "x") == 0
    assert check_codes({1: 10}, pixel_spec("oli_tirs"), "x") == 0


@pytest.mark.parametrize(
    ("codes", "title"),
    [
        (CODES["oli_tirs"], "Pixel quality"),
        (CODES["tm"], "Pixel quality"),
        ([1, 5440, 5504], "Pixel quality"),  # would all be Collection 1 codes, were its medium levels used
        ([1, 2720, 2724, 2800, 6896], "Quality assessment, Collection 1"),
        ([1, 672, 676, 680, 1696], "Quality assessment, Collection 1"),  # TM: no cirrus
        ([1, 20480, 36896, 61472], "Quality assessment, pre-Collection"),
        ([1], None),
        ([0, 100, 200, 3000], None),
        (list(range(256)), None),
        ([0, 1, 255], None),
    ],
)
def test_a_nameless_file_is_known_by_its_codes(codes, title):
    found = recognise(np.unique(codes), ("c1", "pre", "qa_pixel"))
    assert (found.title if found else None) == title


def test_policies_and_masks_are_checked():
    assert check_policy("mode") == "mode"
    with pytest.raises(UsageError, match="choose one of conservative"):
        check_policy("mean")
    spec = pixel_spec("tm")
    assert mask_bits(spec, ("cloud", "shadow", "dilated")) == 0b11010
    for flag in ("cirrus", "fill", "clear", "cloud_confidence", "nonsense"):
        with pytest.raises(UsageError, match="not a flag"):
            mask_bits(spec, (flag,))


def test_levels_never_mix():
    spec = pixel_spec("oli_tirs")
    codes = np.array([1 << 8, 2 << 8], "u2")
    counts = np.array([[1.0, 1.0], [3.0, 1.0], [1.0, 3.0]])
    found = decide_fields(spec, "conservative", codes, counts, counts.sum(1))
    assert list(found >> 8 & 3) == [2, 2, 2]
    found = decide_fields(spec, "majority", codes, counts, counts.sum(1))
    assert list(found >> 8 & 3) == [2, 1, 2]
