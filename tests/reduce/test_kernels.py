from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landsat_downsample.model.cells import Cells, Overlay
from landsat_downsample.reduce import kernels
from landsat_downsample.reduce.kernels import Strip, divide_half_even, fold, groups, sum_columns, sum_rows, windows


def cells(pixels: int, ratio, offset=0) -> Cells:
    ratio, offset = Fraction(ratio), Fraction(offset)
    return Cells.cut(pixels, math.ceil((pixels + offset) / ratio), ratio, offset)


def weight_of(axis: Cells) -> np.ndarray:
    table = np.zeros((axis.size, axis.pixels), np.int64)
    for i in range(axis.size):
        table[i, axis.start[i] : axis.stop[i]] = axis.unit
        if axis.stop[i] > axis.start[i]:
            table[i, axis.stop[i] - 1] = axis.tail[i]
            table[i, axis.start[i]] = axis.head[i]
    return table


AXES = [
    (97, 2, 0),
    (97, 7, 0),
    (97, 30, 0),
    (97, 97, 0),
    (97, Fraction(5, 2), 0),
    (97, Fraction(7591, 100), 0),
    (97, 14, Fraction(1, 2)),
    (97, 1, 0),
    (97, Fraction(8, 7), 0),
    (5, 4, 0),
]


@pytest.mark.parametrize("limit", [1, 16, 40, 512])
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("axis", AXES)
def test_strips_feed_every_cell_all_of_its_rows_once(axis, limit, whole):
    rows, done = cells(*axis), 0
    for strips in groups(rows, whole=whole, limit=limit):
        first, last = strips[0].first, strips[0].last
        assert first == done
        done = last
        taken = [row for strip in strips for row in range(strip.start, strip.stop)]
        assert taken == list(range(int(rows.start[first]), int(rows.stop[last - 1])))
        assert len({(s.first, s.last) for s in strips}) == 1
        if whole:
            assert len(strips) == 1
        elif len(strips) > 1 or last - first > 1:
            assert all(strip.stop - strip.start <= limit for strip in strips)
    assert done == rows.size


@pytest.mark.parametrize("dtype", ["u1", "i2"])
@pytest.mark.parametrize("down", AXES[1:7:2])
@pytest.mark.parametrize("across", AXES)
def test_sums_are_products_with_the_weights(down, across, dtype):
    rows, columns = cells(*down), cells(*across)
    limits = np.iinfo(dtype)
    values = np.random.default_rng(5).integers(limits.min, limits.max, (rows.pixels, columns.pixels), endpoint=True)
    values = values.astype(dtype)
    wanted = weight_of(rows) @ values.astype(np.int64) @ weight_of(columns).T
    strip = Strip(0, rows.size, 0, rows.pixels)
    assert (sum_columns(sum_rows(values, rows, strip, np.int64), columns, np.int64) == wanted).all()
    real = sum_columns(sum_rows(values.astype("f4"), rows, strip, np.float64), columns, np.float64)
    assert (real == wanted).all()
    parts = 0
    for top in range(0, rows.pixels, 16):  # strips that cut cells
        part = Strip(0, rows.size, top, min(top + 16, rows.pixels))
        parts = parts + sum_rows(values[top : top + 16], rows, part, np.int64)
    assert (sum_columns(parts, columns, np.int64) == wanted).all()


@pytest.mark.parametrize("ufunc", [np.minimum, np.bitwise_or])
@pytest.mark.parametrize("down", AXES[1:7:2])
@pytest.mark.parametrize("across", AXES)
def test_folds_take_every_pixel_that_a_cell_touches(ufunc, down, across):
    rows, columns = cells(*down), cells(*across)
    values = np.random.default_rng(6).integers(0, 1 << 16, (rows.pixels, columns.pixels)).astype("u2")
    overlay = Overlay(rows, columns)
    found = fold(ufunc, values, overlay, Strip(0, rows.size, 0, rows.pixels))
    for i in range(rows.size):
        for j in range(columns.size):
            block = values[rows.start[i] : rows.stop[i], columns.start[j] : columns.stop[j]]
            assert found[i, j] == ufunc.reduce(block.ravel())


@pytest.mark.parametrize("portion", [1, 60, 1 << 20])
@pytest.mark.parametrize("down", AXES[1::2])
@pytest.mark.parametrize("across", AXES[:4])
def test_windows_hold_the_pixels_and_weights_of_each_cell(down, across, portion, monkeypatch):
    monkeypatch.setattr(kernels, "WINDOW_PIXELS", portion)
    rows, columns = cells(*down), cells(*across)
    values = np.arange(1, rows.pixels * columns.pixels + 1).reshape(rows.pixels, columns.pixels)
    wy, wx = weight_of(rows), weight_of(columns)
    wanted = np.random.default_rng(7).permutation(rows.size * columns.size)[:9]
    seen = []
    for part, window in windows(Overlay(rows, columns), Strip(0, rows.size, 0, rows.pixels), wanted):
        pixels = window.gather(values)
        weight = np.ones(pixels.shape, int) if window.weight is None else window.weight
        for cell, row, w in zip(wanted[part], pixels, weight, strict=True):
            i, j = divmod(int(cell), columns.size)
            table = np.outer(wy[i], wx[j])
            assert dict(zip(row[w > 0], w[w > 0], strict=True)) == dict(
                zip(values[table > 0], table[table > 0], strict=True)
            )
        seen += list(part)
    assert sorted(seen) == list(range(len(wanted)))


@settings(max_examples=300)
@given(st.integers(-(1 << 62), 1 << 62), st.integers(1, 1 << 40))
def test_quotients_round_half_to_even(total, count):
    for bound in (2 * abs(total), 1 << 62):
        found = divide_half_even(np.array([total]), np.array([count]), bound)
        assert int(found[0]) == round(Fraction(total, count))


@settings(max_examples=100)
@given(st.integers(-(1 << 90), 1 << 90), st.integers(1, 1 << 60))
def test_quotients_of_long_sums_round_half_to_even(total, count):
    found = divide_half_even(np.array([total], object), np.array([count], object), 1 << 100)
    assert int(found[0]) == round(Fraction(total, count))


@settings(max_examples=100)
@given(st.integers(-(1 << 30), 1 << 30), st.integers(1, 1 << 20))
def test_exact_halves_go_to_the_even_side(whole, half):
    total, count = (2 * whole + 1) * half, 2 * half
    for bound in (1 << 51, 1 << 60):
        found = divide_half_even(np.array([total]), np.array([count]), bound)
        assert int(found[0]) == round(Fraction(2 * whole + 1, 2))


def test_nothing_divided_by_nothing_is_zero():
    for bound in (10, 1 << 60):
        assert divide_half_even(np.array([0]), np.array([0]), bound)[0] == 0
