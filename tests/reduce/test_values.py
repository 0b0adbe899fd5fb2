"""Every reducer against exact arithmetic, one cell at a time, on sizes that nothing divides."""

from __future__ import annotations

import cmath
import math
from fractions import Fraction

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from lattices import coarse_grid, corner_lattice
from oracles import whole_area

from landsat_downsample import UsageError
from landsat_downsample.model.bands import BandSpec, specs, unknown
from landsat_downsample.model.cells import Cells, Overlay
from landsat_downsample.model.grid import Grid, ratio_for
from landsat_downsample.model.methods import METHODS
from landsat_downsample.model.plan import STRIP_ROWS
from landsat_downsample.reduce import kernels
from landsat_downsample.reduce import values as values_module
from landsat_downsample.reduce.rule import Rule, declared_nodata, rule_of
from landsat_downsample.reduce.values import reduce_strips, reducer_for

SHAPE = 97, 103
HALF = Fraction(1, 2)


def overlay_of(shape, factor, offset=0) -> Overlay:
    if isinstance(factor, tuple):
        grid = Grid(shape, Affine(30, 0, 0, 0, -30, 0), "EPSG:32618")
        ratio = ratio_for(grid, size=factor)
        return Overlay.of(grid, coarse_grid(grid, ratio), corner_lattice(grid, ratio))
    ratio, offset = Fraction(str(factor)), Fraction(offset)
    return Overlay(*(Cells.cut(n, math.ceil((n + offset) / ratio), ratio, offset) for n in shape))


def spans(axis: Cells, i: int) -> list[tuple[int, Fraction]]:
    """(pixel, share of it) for the pixels of one cell."""
    pixels = list(range(int(axis.start[i]), int(axis.stop[i])))
    share = {p: Fraction(1) for p in pixels}
    if pixels:
        share[pixels[-1]] = Fraction(int(axis.tail[i]), axis.unit)
        share[pixels[0]] = Fraction(int(axis.head[i]), axis.unit)
    return list(share.items())


def cells_of(values, good, overlay):
    """(index, [(value, area)] of the valid pixels, area of the whole cell) for every cell."""
    for i in range(overlay.rows.size):
        for j in range(overlay.columns.size):
            pairs = [
                (values[r, c].item(), high * wide, bool(good[r, c]))
                for r, high in spans(overlay.rows, i)
                for c, wide in spans(overlay.columns, j)
            ]
            yield (i, j), [(v, w) for v, w, ok in pairs if ok], whole_area(overlay, i, j)


def exact_mean(pairs) -> Fraction:
    return sum(Fraction(v) * w for v, w in pairs) / sum(w for _, w in pairs)


def exact_means(values, good, overlay) -> np.ndarray:
    """Mean of every cell as a Fraction, or None: whole numbers times whole weights, in Python's integers."""
    down, across = (
        np.zeros((overlay.rows.size, values.shape[0]), int),
        np.zeros((overlay.columns.size, values.shape[1]), int),
    )
    for table, axis in ((down, overlay.rows), (across, overlay.columns)):
        for i in range(axis.size):
            for pixel, share in spans(axis, i):
                table[i, pixel] = share * axis.unit
    scale = 1 << (60 if values.dtype.kind == "f" else 0)  # makes whole numbers of floats
    whole = np.where(good, values, 0)
    if scale > 1:
        whole = np.array([int(Fraction(v) * scale) for v in whole.ravel().tolist()], object).reshape(values.shape)
    total = down @ (whole.astype(int) if scale == 1 else whole) @ across.T
    count = down @ good.astype(int) @ across.T
    pairs = zip(total.ravel(), count.ravel(), strict=True)
    means = [Fraction(int(t), int(n) * scale) if n else None for t, n in pairs]
    return np.array(means, object).reshape(total.shape)


def run(rule, overlay, values, ok=None):
    parts = reduce_strips(
        reducer_for(rule, overlay), overlay, lambda a, b: (values[a:b], None if ok is None else ok[a:b])
    )
    return np.concatenate([data for _, (data,) in parts])


def image(dtype, nodata, seed=0, shape=SHAPE) -> np.ndarray:
    """Noise, with holes and a hole wider than a cell."""
    random = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        values = random.normal(0, 1e4, shape).astype(dtype)
    else:
        limits = np.iinfo(dtype)
        values = random.integers(limits.min, limits.max, shape, endpoint=True, dtype=dtype)
    if nodata is not None:
        values[random.random(shape) < 0.3] = nodata
        values[:35, :33] = nodata
    return values


def valid(values, nodata):
    if nodata is None:
        return np.ones(values.shape, bool)
    return ~np.isnan(values) if np.isnan(nodata) else values != nodata


FACTORS = [2, 3, 7, 10, 16, 30, 2.5, (100, 0), (10, 9)]
STORED = [
    ("uint8", 0),
    ("uint8", 255),
    ("uint8", None),
    ("uint16", 0),
    ("int16", -9999),
    ("int16", None),
    ("int32", -9999),
    ("uint32", 0),
    ("float32", np.nan),
    ("float32", -9999.0),
]


def stored_mean(mean, rule):
    """What a cell of that exact mean must hold."""
    if mean is None:
        return rule.fill
    if rule.dtype.kind == "f":
        return rule.dtype.type(float(mean))
    near = round(mean)
    if near == rule.fill and not rule.fill_is_legal:
        limits = np.iinfo(rule.dtype)
        near += 1 if (mean >= near or near == limits.min) and near < limits.max else -1
    return near


@pytest.mark.parametrize(("dtype", "nodata"), STORED)
@pytest.mark.parametrize("factor", FACTORS)
def test_mean_is_the_exact_mean_to_the_last_bit(dtype, nodata, factor):
    shape = (41, 103) if factor == (100, 0) else SHAPE
    values, overlay = image(dtype, nodata, shape=shape), overlay_of(shape, factor)
    mask = np.random.default_rng(1).random(shape) < 0.7
    for ok, mask_role in ((None, ""), (mask, "mask")):
        rule = rule_of(unknown("x"), dtype, nodata, method="mean", min_valid=Fraction(0), mask_role=mask_role)
        good = valid(values, nodata) & (True if ok is None else ok)
        found = run(rule, overlay, values, ok)
        assert found.dtype == np.dtype(dtype)
        means = exact_means(values, good, overlay)
        wanted = np.array([stored_mean(mean, rule) for mean in means.ravel()], dtype).reshape(found.shape)
        np.testing.assert_array_equal(found, wanted)


@settings(max_examples=25)
@given(
    st.integers(1, 23),
    st.integers(1, 23),
    st.fractions(1, 6, max_denominator=7),
    st.sampled_from([0, Fraction(1, 2), Fraction(1, 3)]),
    st.integers(0, 99),
)
def test_mean_over_any_cells(height, width, ratio, offset, seed):
    values = image("uint16", 0, seed, (height + 35, width + 35))
    overlay = overlay_of(values.shape, ratio, offset)
    rule = Rule("mean", np.dtype("uint16"), 0, 0)
    found = run(rule, overlay, values)
    for cell, mean in np.ndenumerate(exact_means(values, values != 0, overlay)):
        assert found[cell] == stored_mean(mean, rule)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("factor", [2.5, 31])
@pytest.mark.parametrize(("dtype", "nodata"), [("uint16", 0), ("int16", -9999), ("float32", np.nan)])
def test_results_do_not_depend_on_the_strips(method, factor, dtype, nodata, monkeypatch):
    values, overlay = image(dtype, nodata, 3), overlay_of(SHAPE, factor)
    rule = rule_of(unknown("x"), dtype, nodata, method=method, min_valid=Fraction(1, 3), mask_role="")
    once = run(rule, overlay, values)
    for limit in (1, 30, 10_000):
        monkeypatch.setattr(
            values_module, "groups", lambda rows, whole, limit=limit: kernels.groups(rows, whole=whole, limit=limit)
        )
        np.testing.assert_array_equal(run(rule, overlay, values), once)


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
def test_cells_higher_than_a_strip(dtype):
    shape = 1301, 29
    values = image(dtype, 0, 4, shape)
    for factor in (600, Fraction(1101, 2)):
        overlay = Overlay(
            *(Cells.cut(n, math.ceil(n / Fraction(min(factor, n))), Fraction(min(factor, n))) for n in shape)
        )
        assert int((overlay.rows.stop - overlay.rows.start).max()) > STRIP_ROWS
        rule = Rule("mean", np.dtype(dtype), 0, 0)
        found = run(rule, overlay, values)
        for cell, mean in np.ndenumerate(exact_means(values, values != 0, overlay)):
            assert found[cell] == stored_mean(mean, rule)


@pytest.mark.parametrize(("dtype", "value"), [("uint16", 65535), ("uint32", 4294967295), ("int32", -2147483648)])
@pytest.mark.parametrize("factor", [300, "300.0001", "75.9137"])
def test_sums_longer_than_32_and_64_bits(dtype, value, factor):
    shape = 301, 302
    values = np.full(shape, value, dtype)
    values[0, 0] -= np.sign(value)
    overlay = overlay_of(shape, factor)
    for method in ("mean", "rms", "min"):
        rule = Rule(method, np.dtype(dtype), None, 0, fill_is_legal=True)
        found = run(rule, overlay, values)
        if method == "mean":
            assert (found == value).all()  # one pixel in 90 000 rounds away
        elif value > 0:
            assert np.abs(found.astype(float) - value).max() <= 1
    total = run(Rule("sum", np.dtype(dtype), None, np.nan), overlay, values)
    assert total.sum() == pytest.approx(float(values.astype(object).sum()), rel=1e-12)
    spread = run(Rule("std", np.dtype(dtype), None, np.nan), overlay, values)
    assert spread[0, 0] > 0
    assert spread[0, 0] < 0.1
    assert (spread[1:, 1:] == 0).all()


def test_sixty_four_bit_numbers_of_notebooks():
    random = np.random.default_rng(8)
    for dtype in ("int64", "uint64"):
        limits = np.iinfo(dtype)
        values = random.integers(limits.min, limits.max, (23, 29), dtype=dtype)
        overlay = overlay_of(values.shape, 5)
        found = run(Rule("mean", np.dtype(dtype), None, 0, fill_is_legal=True), overlay, values)
        for cell, pairs, _ in cells_of(values, np.ones(values.shape, bool), overlay):
            assert abs(int(found[cell]) - exact_mean(pairs)) <= HALF


def weighted(pairs, at: Fraction) -> list:
    """Values at which half of the area is reached: two where it is reached exactly."""
    total, running, found = sum(w for _, w in pairs), Fraction(0), []
    for value, weight in sorted(pairs):
        if running < total * at <= running + weight or running == total * at:
            found.append(value)
        running += weight
    return [
        found[0],
        found[1] if len(found) > 1 and sum(w for v, w in pairs if v <= found[0]) == total * at else found[0],
    ]


def mode_of(pairs):
    areas: dict = {}
    for value, weight in pairs:
        areas[value] = areas.get(value, 0) + weight
    return min(areas, key=lambda v: (-areas[v], v))


def expected(method, pairs, dtype):
    area = sum(w for _, w in pairs)
    whole = round if dtype.kind != "f" else float
    squares = sum(Fraction(v) ** 2 * w for v, w in pairs) / area
    low, high = weighted(pairs, HALF)
    return {
        "min": lambda: min(v for v, _ in pairs),
        "max": lambda: max(v for v, _ in pairs),
        "sum": lambda: float(sum(Fraction(v) * w for v, w in pairs)),
        "mode": lambda: mode_of(pairs),
        "median": lambda: whole((Fraction(low) + Fraction(high)) / 2),
        "rms": lambda: whole(math.sqrt(squares)),
        "std": lambda: math.sqrt(squares - exact_mean(pairs) ** 2),
    }[method]()


@pytest.mark.parametrize("dtype", ["uint8", "int16"])
@pytest.mark.parametrize("method", ["median", "mode"])
@pytest.mark.parametrize("factor", [400, Fraction(801, 2)])
def test_cells_of_many_pixels_are_counted_not_sorted(dtype, method, factor, monkeypatch):
    values = (image("int16", None, 16, (401, 402)) % 97 + 3).astype(dtype)
    values[::3, ::2] = 0
    ok = np.random.default_rng(17).random(values.shape) < 0.5
    overlay, rule = overlay_of(values.shape, factor), Rule(method, np.dtype(dtype), 0, 0)
    counted = run(rule, overlay, values), run(rule, overlay, values, ok)
    monkeypatch.setattr(values_module, "MANY_PIXELS", 1 << 30)
    for found, mask in zip(counted, (None, ok), strict=True):
        np.testing.assert_array_equal(found, run(rule, overlay, values, mask))


@pytest.mark.parametrize("method", ["min", "max", "median", "mode", "std", "rms", "sum"])
@pytest.mark.parametrize("factor", [2, 7, 30, 2.5, (40, 0)])
@pytest.mark.parametrize(("dtype", "nodata"), [("uint8", 255), ("int16", -9999), ("float32", np.nan)])
def test_other_reducers_against_brute_force(method, factor, dtype, nodata):
    shape = 47, 41
    values, overlay = image(dtype, nodata, 11, shape), overlay_of(shape, factor)
    if method == "mode":  # few values, so that shares tie
        few = (np.abs(np.nan_to_num(values)) % 4).astype(dtype)
        values = np.where(valid(values, nodata), few, values)
    rule = rule_of(unknown("x"), dtype, nodata, method=method, min_valid=Fraction(0), mask_role="")
    found = run(rule, overlay, values)
    assert found.dtype == {"sum": "float64", "std": "float32"}.get(method, dtype)
    for cell, pairs, _ in cells_of(values, valid(values, nodata), overlay):
        if not pairs:
            assert found[cell] == rule.fill or (np.isnan(rule.fill) and np.isnan(found[cell]))
        elif method in ("min", "max", "mode") or (method == "median" and np.dtype(dtype).kind != "f"):
            assert found[cell] == expected(method, pairs, rule.dtype), cell
        else:
            largest = max(abs(v) for v, _ in pairs)
            near = pytest.approx(expected(method, pairs, rule.dtype), rel=1e-6, abs=1e-7 * largest)
            assert found[cell] == near, cell


@pytest.mark.parametrize("factor", [2, 3, 30, 2.5])
def test_nearest_takes_the_pixel_under_the_centre_fill_or_not(factor):
    values, overlay = image("uint16", 0, 12), overlay_of(SHAPE, factor)
    found = run(Rule("nearest", np.dtype("uint16"), 0, 0), overlay, values)
    ratio = Fraction(str(factor))
    for i, j in np.ndindex(found.shape):
        at = tuple(min(math.floor((k + HALF) * ratio), n - 1) for k, n in zip((i, j), SHAPE, strict=True))
        assert found[i, j] == values[at]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("dtype", "nodata"), [("uint16", 0), ("int16", -9999), ("float32", np.nan), ("uint8", 255)])
def test_cells_of_fill_stay_fill(method, dtype, nodata):
    values, overlay = np.full((50, 41), nodata, dtype), overlay_of((50, 41), 7)
    rule = rule_of(unknown("x"), dtype, nodata, method=method, min_valid=Fraction(0), mask_role="")
    found = run(rule, overlay, values)
    assert (np.isnan(found) if np.isnan(rule.fill) else found == (0 if method == "count" else nodata)).all()


# Fill ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "fill", "pixels", "stored"),
    [
        ("uint16", 0, [1, 1], 1),
        ("int16", -9999, [-9998, -10000], -9998),  # the mean is the fill value itself
        ("int16", -9999, [-9998, -9998, -9998, -10000, -10000], -9998),
        ("int16", -9999, [-9998, -9998, -10000, -10000, -10000], -10000),
        ("uint8", 255, [254, 254, 254], 254),
        ("uint8", 0, [0, 0], 0),
        ("uint8", 128, [127, 129], 129),
        ("uint8", 128, [127, 127, 129], 127),
        ("float32", -9999.0, [-9998.0, -10000.0], np.nextafter(np.float32(-9999), np.float32(0))),
        ("float32", 0.0, [-1.0, 1.0], np.nextafter(np.float32(0), np.float32(1))),
    ],
)
def test_a_valid_cell_never_becomes_fill(dtype, fill, pixels, stored):
    values = np.array([pixels], dtype)
    found = run(Rule("mean", np.dtype(dtype), fill, fill), overlay_of_row(len(pixels)), values)
    assert found[0, 0] == stored


def overlay_of_row(width: int) -> Overlay:
    return Overlay(Cells.cut(1, 1, Fraction(1)), Cells.cut(width, 1, Fraction(width)))


@pytest.mark.parametrize("method", ["mean", "min", "max", "median", "mode", "rms", "nearest", "circular"])
def test_where_nothing_is_fill_zero_is_a_value(method):
    """A file without nodata: a cell of zeros stays zero."""
    rule = rule_of(unknown("x"), "uint8", None, method=method, min_valid=Fraction(0), mask_role="")
    assert run(rule, overlay_of_row(5), np.zeros((1, 5), "uint8"))[0, 0] == 0
    assert declared_nodata(rule) is None


@pytest.mark.parametrize("method", ["mean", "min", "max", "median", "mode", "nearest", "circular"])
def test_a_mask_makes_zero_fill_where_no_value_was(method):
    rule = rule_of(unknown("x"), "uint8", None, method=method, min_valid=Fraction(0), mask_role="mask")
    ok = np.array([[True] * 4 + [False] * 4])
    cells = Overlay(Cells.cut(1, 1, Fraction(1)), Cells.cut(8, 2, Fraction(4)))
    assert list(run(rule, cells, np.zeros((1, 8), "uint8"), ok)[0]) == [1, 0]
    assert declared_nodata(rule) == 0


def test_gap_masks_keep_their_gaps():
    spec = specs("etm", 1)["GM_B1"]
    rule = rule_of(spec, "uint8", None, method=spec.method, min_valid=Fraction(0), mask_role="")
    assert run(rule, overlay_of_row(5), np.array([[0, 0, 0, 1, 1]], "uint8"))[0, 0] == 0


@pytest.mark.parametrize(
    "share", [Fraction(0), Fraction(1, 4), Fraction(1, 3), Fraction("0.3333333333333333"), Fraction(1)]
)
@pytest.mark.parametrize("factor", [7, 2.5, 30, (40, 0)])
@pytest.mark.parametrize("method", ["mean", "min", "median", "circular", "sum"])
def test_min_valid_is_a_share_of_the_whole_cell(share, factor, method):
    shape = 61, 47
    values, overlay = image("int16", -9999, 13, shape), overlay_of(shape, factor)
    values[:9] = 5  # full cells too
    rule = rule_of(unknown("x"), "int16", -9999, method=method, min_valid=share, mask_role="")
    found = run(rule, overlay, values)
    for cell, pairs, area in cells_of(values, values != -9999, overlay):
        enough = pairs and sum(w for _, w in pairs) >= share * area
        holds = not np.isnan(found[cell]) if method == "sum" else found[cell] != -9999
        assert holds == bool(enough), cell


def test_min_valid_does_not_overflow_in_huge_cells():
    values = np.ones((300, 7000), "uint8")
    values[:, ::3] = 0
    overlay = Overlay(Cells.cut(300, 1, Fraction(300)), Cells.cut(7000, 1, Fraction(7000)))
    for share, stored in ((Fraction("0.3333333333333333"), 1), (Fraction("0.6666666666666666"), 0)):
        rule = Rule("mean", np.dtype("uint8"), 0, 0, min_valid=share)
        assert run(rule, overlay, values)[0, 0] == stored


# Angles --------------------------------------------------------------------------------------

DEGREES = Rule("circular", np.dtype("int16"), None, 0, fill_is_legal=True, degrees=0.01)


@pytest.mark.parametrize(
    ("angles", "mean"),
    [
        ([17900, -17900, 17900], 17967),
        ([-17950, 17930], -18000 + 36000 - 10),
        ([-9000, -9000], -9000),
        ([-14906, -14906, -14906], -14906),
        ([0, 0], 0),
        ([-100, 100], 0),
        ([8212, -9788, 8212, 8212], 8212),  # the view azimuth jumps by 180 degrees at nadir
    ],
)
def test_azimuths_are_averaged_on_the_circle_with_their_sign(angles, mean):
    found = run(DEGREES, overlay_of_row(len(angles)), np.array([angles], "int16"))[0, 0]
    assert abs(int(found) - mean) <= 1


@settings(max_examples=60)
@given(st.lists(st.integers(-18000, 18000), min_size=1, max_size=30), st.sampled_from(["int16", "float32", "int32"]))
def test_azimuths_against_complex_numbers(angles, dtype):
    mean = sum(cmath.rect(1, math.radians(a / 100)) for a in angles)
    rule = Rule("circular", np.dtype(dtype), None, 0, fill_is_legal=True, degrees=0.01)
    found = run(rule, overlay_of_row(len(angles)), np.array([angles], dtype))[0, 0]
    if abs(mean) > 1e-2:
        turn = (float(found) - math.degrees(cmath.phase(mean)) * 100 + 18000) % 36000 - 18000
        assert abs(turn) <= 0.6
    assert -18000 <= found <= 18000


def test_azimuths_without_sign_run_from_0_to_360():
    rule = Rule("circular", np.dtype("uint16"), 65535, 65535, degrees=0.01)
    for angles, mean in (([35990, 35990], 35990), ([35999, 0, 36000], 0), ([27000, 65535], 27000)):
        assert run(rule, overlay_of_row(len(angles)), np.array([angles], "uint16"))[0, 0] == mean


@pytest.mark.parametrize("factor", [7, 2.5, (40, 0)])
def test_azimuths_of_weighted_cells_and_masks(factor):
    shape = 41, 47
    values = np.random.default_rng(14).integers(-18000, 18000, shape, dtype="int16")
    ok = np.random.default_rng(15).random(shape) < 0.6
    overlay = overlay_of(shape, factor)
    found = run(DEGREES, overlay, values, ok)
    for cell, pairs, _ in cells_of(values, ok, overlay):
        vector = sum(cmath.rect(float(w), math.radians(v / 100)) for v, w in pairs)
        if not pairs:
            assert found[cell] == 0
        elif abs(vector) > 1e-2:
            turn = (found[cell] - math.degrees(cmath.phase(vector)) * 100 + 18000) % 36000 - 18000
            assert abs(turn) <= 0.6


def test_a_zenith_of_zero_is_an_angle():
    spec = specs("oli_tirs", 1)["VZA"]
    ok = np.array([[True, True, False, False]])
    values = np.array([[0, 0, 0, 0]], "int16")
    overlay = Overlay(Cells.cut(1, 1, Fraction(1)), Cells.cut(4, 2, Fraction(2)))
    rule = rule_of(spec, "int16", None, method="mean", min_valid=Fraction(0), mask_role="fill")
    assert rule.nodata is None
    assert list(run(rule, overlay, values, ok)[0]) == [0, 0]
    mixed = np.array([[0, 100, 0, 100]], "int16")
    assert list(run(rule, overlay, mixed, np.ones((1, 4), bool))[0]) == [50, 50]


def test_without_quality_band_a_zero_angle_is_taken_as_fill():
    spec = specs("oli_tirs", 1)["VZA"]
    rule = rule_of(spec, "int16", None, method="mean", min_valid=Fraction(0), mask_role="")
    assert rule.nodata == 0
    assert run(rule, overlay_of_row(2), np.array([[0, 100]], "int16"))[0, 0] == 100


# The rule ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "case",
    [
        (unknown("x"), "uint16", 0.0, "mean", "", 0, 0),
        (unknown("x"), "int16", -9999.0, "rms", "", -9999, -9999),
        (unknown("x"), "uint8", None, "mean", "", 0, None),
        (unknown("x"), "float32", None, "mean", "", np.nan, np.nan),
        (unknown("x"), "float32", -9999.0, "std", "", -9999, -9999),
        (unknown("x"), "uint16", 0.0, "std", "", np.nan, np.nan),
        (BandSpec("SAA", "azimuth", fill_from="QA_PIXEL"), "int16", None, "circular", "fill", 0, None),
        (BandSpec("SAA", "azimuth", fill_from="QA_PIXEL"), "int16", None, "circular", "mask", -32768, -32768),
    ],
)
def test_what_a_cell_without_data_holds(case):
    spec, dtype, nodata, method, mask_role, fill, declared = case
    rule = rule_of(spec, dtype, nodata, method=method, min_valid=Fraction(0), mask_role=mask_role)
    np.testing.assert_equal(rule.fill, fill)
    np.testing.assert_equal(declared_nodata(rule), declared)


def test_an_unknown_method_is_refused():
    with pytest.raises(UsageError, match="choose one of mean"):
        reducer_for(Rule("cubic", np.dtype("u1"), 0, 0), overlay_of_row(2))
