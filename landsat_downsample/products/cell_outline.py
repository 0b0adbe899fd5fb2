"""Areas of pixels in a cell of another projection, by the cell's outline: the second code path of `verify`.

The reducers project pixels onto cells. This projects a cell's outline back onto the pixels, and adds up what lies to
the right of each piece of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from landsat_downsample.model.grid import Grid
from landsat_downsample.model.projection import Projection

#: Straight pieces of each side at least, and pixels by which one may leave the curve that the side is.
PIECES, BENT = 8, 1e-4

#: Pixels within which a point of the outline must come back to where it was.
SAME_PLACE = 1e-3

#: Share of a pixel that rounding may leave of none.
NOTHING = 1e-13

#: Pixels by which weights may be off: those of the reducers, and of the outline.
TOUCH = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class CellAreas:
    """The pixels of an image that a cell holds, in a window of them."""

    row: int
    column: int
    shares: np.ndarray
    """float64 (rows, columns): share of each pixel's area."""
    near: np.ndarray
    """bool (rows, columns): which pixels the cell may touch, as far as anybody can tell."""
    area: float
    """Of the whole cell in pixels, also beyond the image."""


@lru_cache(maxsize=256)
def cell_areas(image: Grid, cells: Grid, projection: Projection, cell: tuple[int, int]) -> CellAreas | None:
    """What a cell (row, column) of a grid holds of an image; None where its outline leaves the map."""
    outline = _outline(image, cells, projection, cell)
    if outline is None:
        return None
    x, y = outline
    column, row = (max(math.floor(axis.min() - TOUCH), 0) for axis in (x, y))
    last = [min(math.ceil(axis.max() + TOUCH), n) for axis, n in ((x, image.width), (y, image.height))]
    shape = max(last[1] - row, 0), max(last[0] - column, 0)
    x, y = x - column, y - row
    wider = (x + np.sign(x - x.mean()) * TOUCH, y + np.sign(y - y.mean()) * TOUCH)
    near = areas_inside(*wider, shape) > 0
    return CellAreas(row, column, areas_inside(x, y, shape), near, abs(_signed_area(x, y)))


def _outline(
    image: Grid, cells: Grid, projection: Projection, cell: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray] | None:
    """Corners (x, y) of a cell's outline, in pixels of an image from its upper left corner."""
    rough = _back(image, cells, projection, cell, 2 * PIECES)
    if rough is None:
        return None
    # Every other corner, from the middle of those beside it: the error of pieces goes with the square of their length.
    off = [axis[1::2] - (axis[::2] + np.roll(axis[::2], -1)) / 2 for axis in rough]
    pieces = math.ceil(PIECES * math.sqrt(np.hypot(*off).max() / BENT))
    return _back(image, cells, projection, cell, max(PIECES, pieces))


def _back(
    image: Grid, cells: Grid, projection: Projection, cell: tuple[int, int], pieces: int
) -> tuple[np.ndarray, np.ndarray] | None:
    along, none = np.arange(pieces) / pieces, np.zeros(pieces)
    right = np.concatenate((along, none + 1, 1 - along, none))
    down = np.concatenate((none, along, none + 1, 1 - along))
    t = cells.transform
    there = t.c + (cell[1] + right) * t.a, t.f + (cell[0] + down) * t.e
    here = projection.backward(*there)
    if not all(np.isfinite(axis).all() for axis in here):
        return None
    again = projection.forward(*here)
    off = again[0] - there[0]
    if projection.period:
        off -= projection.period * np.rint(off / projection.period)
    if max(np.abs(off).max() / t.a, np.abs(again[1] - there[1]).max() / -t.e) > SAME_PLACE:
        return None
    s = image.transform
    return (here[0] - s.c) / s.a, (here[1] - s.f) / s.e


def areas_inside(x: np.ndarray, y: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Area of each pixel of an image that lies inside a polygon with these corners, in pixels.

    A piece of the outline within one pixel cuts off what lies to its right there, and all of the pixels further right
    in its row; over the whole outline, up and down, all but the inside cancels.

    >>> areas_inside(np.array([0.5, 2.5, 2.5, 0.5]), np.array([0.0, 0.0, 0.5, 0.5]), (1, 3))
    array([[0.25, 0.5 , 0.25]])
    """
    own, beyond = np.zeros(shape), np.zeros(shape)
    for (x0, x1), (y0, y1) in zip(pairwise([*x, x[0]]), pairwise([*y, y[0]]), strict=True):
        crossings = [_crossings(x0, x1), _crossings(y0, y1)]
        along = np.unique(np.concatenate([[0.0, 1.0], *crossings]))
        right, down = x0 + along * (x1 - x0), y0 + along * (y1 - y0)
        middle, height = (right[1:] + right[:-1]) / 2, np.diff(down)
        row, column = np.floor((down[1:] + down[:-1]) / 2).astype(int), np.floor(middle).astype(int)
        inside = (row >= 0) & (row < shape[0]) & (column < shape[1])
        row, column, middle, height = row[inside], column[inside], middle[inside], height[inside]
        left = column < 0  # all of the row lies right of it
        np.add.at(own, (row[~left], column[~left]), (height * (column + 1 - middle))[~left])
        np.add.at(beyond, (row[~left], column[~left]), height[~left])
        if shape[1]:
            np.add.at(own, (row[left], 0), height[left])
            np.add.at(beyond, (row[left], 0), height[left])
    found: np.ndarray = own + np.cumsum(beyond, axis=1) - beyond
    np.clip(found if _signed_area(x, y) > 0 else -found, 0, 1, out=found)
    found[found < NOTHING] = 0
    return found


def _crossings(start: float, stop: float) -> np.ndarray:
    """Where, from 0 to 1 along the way from a number to another, whole numbers lie."""
    low, high = sorted((start, stop))
    whole = np.arange(math.floor(low) + 1, math.ceil(high))
    return (whole - start) / (stop - start) if len(whole) else whole.astype(float)


def _signed_area(x: np.ndarray, y: np.ndarray) -> float:
    """Positive where corners run up the right side first, with y downwards: where `height` there adds."""
    return float((np.roll(x, -1) * y - x * np.roll(y, -1)).sum() / 2)
