from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from lattices import coarse_grid, corner_lattice

from landsat_downsample import UsageError
from landsat_downsample.model.cells import Cells, Overlay
from landsat_downsample.model.grid import MAX_DENOMINATOR, Grid, exact_ratio, ratio_for

FULL = Grid((7741, 7591), Affine(30, 0, 171285, 0, -30, 275115), "EPSG:32618")
PAN = Grid((15481, 15181), Affine(15, 0, 171292.5, 0, -15, 275107.5), "EPSG:32618")
# Pixel sizes of a real scene that someone thinned to 512 x 512 pixels.
THINNED = Grid((512, 512), Affine(444.78515625, 0, 171285, 0, -453.57421875, 275115), "EPSG:32618")


def weights(cells: Cells) -> np.ndarray:
    """Weight of every pixel in every cell, as fractions of a pixel: (cells, pixels)."""
    table = np.zeros((cells.size, cells.pixels), object)
    for i in range(cells.size):
        for p in range(int(cells.start[i]), int(cells.stop[i])):
            table[i, p] = cells.unit
        if cells.stop[i] > cells.start[i]:
            table[i, int(cells.stop[i]) - 1] = int(cells.tail[i])
            table[i, int(cells.start[i])] = int(cells.head[i])
    return table * Fraction(1, cells.unit)


def overlaps(pixels: int, count: int, ratio: Fraction, offset: Fraction) -> np.ndarray:
    """The same from the definition: the length that pixel and cell have in common."""
    table = np.zeros((count, pixels), object)
    for i in range(count):
        for p in range(pixels):
            low, high = max(i * ratio, p + offset), min((i + 1) * ratio, p + 1 + offset)
            table[i, p] = max(Fraction(0), high - low)
    return table


ratios = st.fractions(min_value=1, max_value=9, max_denominator=12)
offsets = st.fractions(min_value=0, max_value=Fraction(3, 2), max_denominator=4)


@settings(max_examples=80)
@given(st.integers(1, 40), ratios, offsets)
def test_weights_are_the_lengths_in_common(pixels, ratio, offset):
    count = math.ceil((pixels + offset) / ratio)
    cells = Cells.cut(pixels, count, ratio, offset)
    found = weights(cells)
    assert (found == overlaps(pixels, count, ratio, offset)).all()
    assert (found.sum(0) == 1).all()  # no pixel lost, none counted twice
    assert [Fraction(int(e), cells.unit) for e in cells.extent] == list(found.sum(1))
    assert [Fraction(int(e), cells.unit) for e in cells.whole] == [ratio] * count


@settings(max_examples=40)
@given(st.integers(1, 40), st.integers(1, 9), st.data())
def test_a_part_keeps_the_cells_it_names(pixels, ratio, data):
    cells = Cells.cut(pixels, -(-pixels // ratio), Fraction(ratio))
    first = data.draw(st.integers(0, cells.size - 1))
    last = data.draw(st.integers(first + 1, cells.size))
    part = cells.part(first, last)
    assert (weights(part) == weights(cells)[first:last]).all()
    assert (part.centre == cells.centre[first:last]).all()
    assert part.size == last - first


@pytest.mark.parametrize("ratio", [Fraction(2), Fraction(3), Fraction(5, 2), Fraction(7591, 100)])
def test_the_centre_is_the_pixel_under_the_middle(ratio):
    cells = Cells.cut(103, math.ceil(103 / ratio), ratio)
    for i, found in enumerate(cells.centre):
        middle = (i + Fraction(1, 2)) * ratio
        assert found == min(math.floor(middle), 102)


@pytest.mark.parametrize("factor", [1, 2, 3, 7, 10, 16, 30, 2.5, 75.91, "100/3"])
@pytest.mark.parametrize("grid", [FULL, THINNED])
def test_a_coarse_grid_keeps_the_origin_and_covers_the_source(grid, factor):
    ratio = ratio_for(grid, factor=Fraction(factor) if isinstance(factor, str) else factor)
    coarse = coarse_grid(grid, ratio)
    left, bottom, right, top = coarse.bounds
    assert (left, top) == (grid.bounds[0], grid.bounds[3])
    assert right >= grid.bounds[2] - 1e-3
    assert bottom <= grid.bounds[1] + 1e-3
    assert right - grid.bounds[2] < coarse.resolution[1] + 1e-3
    assert grid.bounds[1] - bottom < coarse.resolution[0] + 1e-3
    assert coarse.resolution[0] == pytest.approx(grid.resolution[0] * float(ratio[0]), abs=1e-9)
    overlay = Overlay.of(grid, coarse, corner_lattice(grid, ratio))
    for cells, pixels in ((overlay.rows, grid.height), (overlay.columns, grid.width)):
        assert int(cells.extent.sum()) == pixels * cells.unit


@pytest.mark.parametrize("factor", [1, 2, 7, 10, Fraction(5, 2), Fraction(7591, 100)])
def test_pan_pixels_lie_half_a_pixel_inside(factor):
    ratio = ratio_for(FULL, factor=factor)
    overlay = Overlay.of(PAN, coarse_grid(FULL, ratio), corner_lattice(FULL, ratio))
    for cells, pixels in ((overlay.rows, 15481), (overlay.columns, 15181)):
        assert int(cells.extent.sum()) == pixels * cells.unit
        assert cells.start[0] == 0
        assert cells.stop[-1] == pixels
        assert cells.unit < MAX_DENOMINATOR
    if factor == 7:  # half, 13 whole ones, half; the first one begins inside
        assert Fraction(int(overlay.rows.extent[0]), overlay.rows.unit) == Fraction(27, 2)
        assert Fraction(int(overlay.rows.extent[1]), overlay.rows.unit) == 14


def test_weights_of_thinned_pan_pixels_stay_small():
    pan = Grid((1023, 1023), Affine(222.39, 0, 171292.5, 0, -226.79, 275107.5), "EPSG:32618")
    ratio = ratio_for(THINNED, size=(100, 0))
    overlay = Overlay.of(pan, coarse_grid(THINNED, ratio), corner_lattice(THINNED, ratio))
    assert overlay.rows.unit <= MAX_DENOMINATOR
    assert overlay.columns.unit <= MAX_DENOMINATOR
    assert int(overlay.columns.extent.max()) * int(overlay.rows.extent.max()) * 65535 < 1 << 63


DECIMATED = Grid((60, 60), Affine(3860.5, 0, 594285, 0, -3910.5, -2121285), "EPSG:32655")
MANY = Grid((2570, 2570), Affine(90.117, 0, 171285, 0, -90.1171, 275115), "EPSG:32618")


@pytest.mark.parametrize("factor", [2, 10, Fraction(7591, 100)])
@pytest.mark.parametrize(
    ("scene", "steps"), [(DECIMATED, (3860.25, 3910.25)), (THINNED, (222.39, 226.79)), (MANY, (90.1, 45.0613))]
)
def test_no_edge_over_another_grid_drifts(scene, steps, factor):
    factor, (wide, high), t = min(factor, 60), steps, scene.transform
    shape = math.ceil(scene.height * -t.e / high), math.ceil(scene.width * t.a / wide)
    pan = Grid(shape, Affine(wide, 0, t.c + 7.5, 0, -high, t.f - 7.5), scene.crs)
    ratio = ratio_for(scene, factor=factor)
    overlay = Overlay.of(pan, coarse_grid(scene, ratio), corner_lattice(scene, ratio))
    for cells, step, own in ((overlay.rows, high, -t.e), (overlay.columns, wide, t.a)):
        assert cells.unit <= MAX_DENOMINATOR
        edges = [(i * Fraction(factor) * Fraction(own) - Fraction(7.5)) / Fraction(step) for i in range(cells.size + 1)]
        found = [Fraction(int(n), cells.unit) for n in np.cumsum(cells.extent)]
        assert all(abs(min(a, cells.pixels) - b) < Fraction(1, 10_000) for a, b in zip(edges[1:], found, strict=True))


def test_edges_are_right_to_the_millimetre():
    for kind in ({"size": (100, 0)}, {"factor": 75.91}, {"resolution": 2277.3}):
        coarse = coarse_grid(FULL, ratio_for(FULL, **kind))
        assert coarse.shape == (102, 100)
        assert coarse.resolution == pytest.approx((2277.3, 2277.3), abs=1e-9)
        assert coarse.bounds == pytest.approx((171285, 275115 - 102 * 2277.3, 171285 + 227730, 275115), abs=1e-3)


@pytest.mark.parametrize(
    ("size", "shape"),
    [
        ((100, 0), (102, 100)),
        ((0, 100), (100, 99)),  # 7741 / 100 = 77.41 pixels a cell: 98.06 columns
        ((100, 50), (50, 100)),
        ((7591, 7741), (7741, 7591)),
        ((1, 1), (1, 1)),
        ((100.0, 0.0), (102, 100)),
    ],
)
def test_size_gives_as_many_cells(size, shape):
    assert coarse_grid(FULL, ratio_for(FULL, size=size)).shape == shape


def test_one_side_makes_cells_square_on_the_ground():
    height, width = coarse_grid(THINNED, ratio_for(THINNED, size=(100, 0))).resolution
    assert height == pytest.approx(width, rel=1e-7)
    assert width == pytest.approx(444.78515625 * 5.12)


def test_resolution_is_a_length_on_the_ground():
    assert ratio_for(FULL, resolution=300) == (10, 10)
    assert ratio_for(THINNED, resolution=4447.8515625)[1] == 10
    assert coarse_grid(FULL, ratio_for(FULL, resolution=75)).resolution == (75, 75)
    tall, wide = coarse_grid(THINNED, ratio_for(THINNED, resolution=1000)).resolution
    assert (tall, wide) == pytest.approx((1000, 1000), rel=1e-7)


def test_degrees_are_as_exact_as_metres():
    step = 0.000269494585236
    grid = Grid((3000, 4000), Affine(step, 0, 10, 0, -step, 50), "EPSG:4326")
    assert ratio_for(grid, resolution=10 * step) == (10, 10)
    fine = Grid((3000, 4000), Affine(1e-5, 0, 10, 0, -1e-5, 50), "EPSG:4326")
    assert ratio_for(fine, resolution="0.00025") == (25, 25)
    assert ratio_for(fine, size=(400, 0)) == (10, 10)


@pytest.mark.parametrize("factor", [2, 2.0, "2", np.int64(2), np.float32(2), Fraction(2), 1.9999999999, "2e0"])
def test_a_factor_in_any_words(factor):
    assert ratio_for(FULL, factor=factor) == (2, 2)


def test_odd_factors_become_small_fractions():
    assert exact_ratio(0.1 + 0.2) == Fraction(3, 10)
    assert ratio_for(FULL, factor=10 / 3)[0] == Fraction(10, 3)
    assert ratio_for(FULL, factor=math.pi)[0].denominator <= MAX_DENOMINATOR


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ({}, "exactly one"),
        ({"factor": 2, "size": (1, 1)}, "exactly one"),
        ({"factor": 0}, "greater than zero"),
        ({"factor": -3}, "greater than zero"),
        ({"factor": "x"}, "not a number"),
        ({"factor": math.nan}, "not a number"),
        ({"factor": math.inf}, "not a number"),
        ({"factor": 0.5}, "finer than the source"),
        ({"factor": 8000}, "larger than the image"),
        ({"resolution": 10}, "finer than the source"),
        ({"resolution": 1e9}, "larger than the image"),
        ({"size": (0, 0)}, "positive"),
        ({"size": (-1, 5)}, "positive"),
        ({"size": (8000, 0)}, "finer than the source"),
        ({"size": (10.5, 0)}, "whole numbers"),
        ({"size": (math.inf, 0)}, "whole numbers"),
        ({"size": "100,0"}, "whole numbers"),
        ({"size": (1, 2, 3)}, "whole numbers"),
        ({"size": 100}, "whole numbers"),
    ],
)
def test_impossible_requests_are_refused(kind, words):
    with pytest.raises(UsageError, match=words):
        ratio_for(FULL, **kind)


@pytest.mark.parametrize(
    ("shape", "transform", "words"),
    [
        ((0, 5), Affine(30, 0, 0, 0, -30, 0), "at least 1"),
        ((5, 5), Affine(30, 1, 0, 0, -30, 0), "rotated"),
        ((5, 5), Affine(30, 0, 0, 0, 30, 0), "to the north"),
        ((5, 5), Affine(-30, 0, 0, 0, -30, 0), "to the east"),
    ],
)
def test_grids_that_are_not_north_up_are_refused(shape, transform, words):
    with pytest.raises(UsageError, match=words):
        Grid(shape, transform, "EPSG:32618")


def test_grids_must_lie_over_each_other():
    ratio = (Fraction(10), Fraction(10))
    away = Grid((10, 10), Affine(30, 0, 0, 0, -30, 9e6), "EPSG:32618")
    with pytest.raises(UsageError, match="do not overlap"):
        Overlay.of(away, coarse_grid(FULL, ratio), corner_lattice(FULL, ratio))
    other = Grid((10, 10), FULL.transform, "EPSG:32619")
    with pytest.raises(UsageError, match="different CRS"):
        Overlay.of(other, coarse_grid(FULL, ratio), corner_lattice(FULL, ratio))


def test_coordinates_are_centres_and_json_brings_a_grid_back():
    y, x = THINNED.coordinates()
    assert (len(y), len(x)) == THINNED.shape
    assert x[0] == 171285 + 444.78515625 / 2
    assert y[-1] == pytest.approx(THINNED.bounds[1] + 453.57421875 / 2, abs=1e-6)
    assert Grid.from_dict(THINNED.to_dict()) == THINNED
