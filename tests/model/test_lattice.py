"""Cells counted from a corner that all scenes of a zone share, against positions counted by hand."""

from __future__ import annotations

import math
import pickle
from fractions import Fraction

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from landsat_downsample.errors import UsageError
from landsat_downsample.model.cells import Overlay
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.grid_request import GridRequest
from landsat_downsample.model.lattice import Lattice

UTM = "EPSG:32633"


def frame(left: float, top: float, width: int, height: int, step: float = 30) -> Grid:
    return Grid((height, width), Affine(step, 0, left, 0, -step, top), UTM)


def areas(fine: Grid, coarse: Grid) -> list[np.ndarray]:
    """For each axis, how much of each pixel lies in each cell: (cells, pixels), lengths in CRS units as fractions."""
    found = []
    for axis in (0, 1):
        step, cell = fine.resolution[axis], coarse.resolution[axis]
        begin = (fine.transform.c, coarse.transform.c) if axis else (-fine.transform.f, -coarse.transform.f)
        pixels = [(Fraction(begin[0]) + i * Fraction(step), Fraction(step)) for i in range(fine.shape[axis])]
        cells = [(Fraction(begin[1]) + i * Fraction(cell), Fraction(cell)) for i in range(coarse.shape[axis])]
        shared = [[max(0, min(c + w, p + s) - max(c, p)) for p, s in pixels] for c, w in cells]
        found.append(np.array(shared, dtype=object))
    return found


@given(
    column=st.integers(-20_000, 20_000),
    row=st.integers(-20_000, 20_000),
    size=st.tuples(*[st.integers(40, 90)] * 2),
    factor=st.sampled_from([1, 2, 3, 7, 8, 16, 33, Fraction(5, 2), Fraction(100, 3)]),
    step=st.sampled_from([15, 30, 60]),
)
def test_cells_are_those_of_the_zone_and_hold_what_lies_in_them(column, row, size, factor, step):
    # centres of pixels of any size are multiples of it
    fine = frame(column * step - step / 2, row * step + step / 2, *size, step)
    lattice = GridRequest(factor=float(factor) if factor.denominator == 2 else factor).lattice(fine)
    coarse = lattice.covering(fine)
    cell = Fraction(factor) * step
    assert lattice == Lattice(UTM, (Fraction(15), Fraction(-15)), (cell, cell))
    if factor.denominator == 1:
        assert (Fraction(coarse.transform.c) + 15) % cell == (Fraction(coarse.transform.f) - 15) % cell == 0
        overlay = Overlay.of(fine, coarse, lattice)
        for cells, wanted in zip((overlay.rows, overlay.columns), areas(fine, coarse), strict=True):
            found = np.zeros(wanted.shape, dtype=object)
            for i in range(cells.size):
                found[i, cells.start[i] : cells.stop[i]] = cells.unit
                if cells.stop[i] > cells.start[i]:
                    found[i, cells.stop[i] - 1] = int(cells.tail[i])
                    found[i, cells.start[i]] = int(cells.head[i])
            assert (found * step == wanted * cells.unit).all()
            assert (wanted.sum(1) > 0).all(), "a cell without a pixel"
            assert (wanted.sum(0) == step).all(), "a pixel is lost, or counts twice"


@pytest.mark.parametrize("moved", [(1, 0), (0, 1), (7, 13), (-220, 10), (13, -7)])
@pytest.mark.parametrize(
    "request_", [{"factor": 16}, {"resolution": 1000}, {"factor": 2.5, "anchor": (100, 7)}], ids=str
)
def test_frames_that_wander_have_cells_in_common(moved, request_):
    ask = GridRequest(**request_)
    one, other = frame(256185, 5216415, 101, 77), frame(256185 + 30 * moved[0], 5216415 - 30 * moved[1], 101, 77)
    lattice = ask.lattice(one)
    assert ask.lattice(other) == lattice
    ends = []
    for fine in (one, other):
        coarse = lattice.covering(fine)
        y, x = coarse.resolution
        left, bottom, right, top = coarse.bounds
        assert left <= fine.bounds[0] < left + x and right - x < fine.bounds[2] <= right
        assert bottom <= fine.bounds[1] < bottom + y and top - y < fine.bounds[3] <= top
        row, column = lattice.first(coarse)
        ends.append((row, column, coarse))
    (row, column, a), (row2, column2, b) = ends
    assert b.transform.c - a.transform.c == pytest.approx((column2 - column) * a.transform.a, abs=1e-9)
    assert a.transform.f - b.transform.f == pytest.approx((row2 - row) * a.transform.a, abs=1e-9)


@pytest.mark.parametrize(
    ("fine", "corner"),
    [
        (frame(399960, 5000040, 50, 50), (0, 0)),  # HLS: corners, not centres, on multiples of 30 m
        (frame(399960, 5000040, 50, 50, 10), (0, 0)),
        (frame(-1099990, -299, 50, 50, 20), (1, -10)),
        (frame(256192.5, 5216407.5, 50, 50, 15), (15, -15)),
        (frame(256170, 5216430, 50, 50, 60), (15, -15)),
        (frame(1000.25, 2000.125, 50, 50, 0.25), (2000.125, 1000.25)),  # no whole number: its own corner
    ],
)
def test_images_on_other_lattices_have_the_cells_of_their_own_pixels(fine, corner):
    assert GridRequest(factor=3).lattice(fine).origin == corner
    if corner != (15, -15):
        overlay = Overlay.of(fine, (lattice := GridRequest(factor=3).lattice(fine)).covering(fine), lattice)
        assert overlay.rows.unit == overlay.columns.unit == 1, "pixels are cut"


def test_a_scene_and_a_size_are_counted_from_the_scenes_own_corner():
    fine = frame(256185 + 90, 5216415 - 30, 101, 77)
    for ask in (GridRequest(factor=16, grid="scene"), GridRequest(size=(7, 0))):
        coarse = ask.lattice(fine).covering(fine)
        assert ask.grid == "scene"
        assert (coarse.transform.c, coarse.transform.f) == (fine.transform.c, fine.transform.f)
        assert coarse.width == math.ceil(101 / Fraction(ask.lattice(fine).cell[1], 30))


def test_an_edge_that_floats_put_beyond_a_cells_begins_no_other_cell():
    step = 30.000000000000004
    fine = Grid((20, 20), Affine(step, 0, 0.1 + 0.2, 0, -step, 0.3), UTM)
    assert GridRequest(factor=10, anchor=(0.3, 0.3)).lattice(fine).covering(fine).shape == (2, 2)


def test_it_survives_its_trips():
    lattice = GridRequest(factor=2.5, anchor=(0.1, 7)).lattice(frame(256185, 5216415, 101, 77))
    assert Lattice.from_dict(lattice.to_dict()) == pickle.loads(pickle.dumps(lattice)) == lattice


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"factor": 3, "grid": "zones"}, "'zones' is unknown (did you mean zone?)"),
        ({"factor": 3, "grid": "modis"}, "does not say how large its cells are: give modis:1km or modis:500m"),
        ({"size": (3, 0), "grid": "zone"}, "size divides a scene's own frame"),
        ({"size": (3, 0), "anchor": (0, 0)}, "anchor goes with grid 'zone'"),
        ({"factor": 3, "grid": "scene", "anchor": (0, 0)}, "anchor goes with grid 'zone'"),
        ({"factor": 3, "anchor": (0,)}, "is not two numbers"),
        ({"factor": 3, "anchor": (0, math.nan)}, "is no place"),
        ({"factor": 3, "anchor": "ab"}, "is not two numbers"),
    ],
)
def test_what_contradicts_itself_is_refused(options, words):
    with pytest.raises(UsageError) as caught:
        GridRequest(**options)
    assert words in str(caught.value)


@given(
    cell=st.sampled_from([Fraction("463.312716527917"), Fraction(1, 100), Fraction(100, 3), Fraction(30)]),
    first=st.tuples(*[st.integers(-40_000, 40_000)] * 2),
    moved=st.tuples(*[st.integers(0, 20)] * 2),
)
def test_centres_are_the_same_in_all_windows(cell, first, moved):
    lattice = Lattice(UTM, (Fraction("10007554.677"), Fraction(-180)), (cell, cell))

    def window(row: int, column: int) -> Grid:
        left, top = float(lattice.origin[1] + column * cell), float(lattice.origin[0] - row * cell)
        return Grid((30, 31), Affine(float(cell), 0, left, 0, -float(cell), top), UTM)

    (y, x), (below, beside) = (
        lattice.centres(window(*place)) for place in (first, tuple(a + b for a, b in zip(first, moved, strict=True)))
    )
    assert len(y) == 30 and len(x) == 31
    assert y[moved[0] :].tolist() == below[: 30 - moved[0]].tolist()
    assert x[moved[1] :].tolist() == beside[: 31 - moved[1]].tolist()
    assert x[4] == float(lattice.origin[1] + (first[1] + Fraction(9, 2)) * cell)
    assert y[4] == float(lattice.origin[0] - (first[0] + Fraction(9, 2)) * cell)
