"""Where the pixels of an image lie on a grid of another projection: exact at tie points, bilinear between them."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from affine import Affine

from landsat_downsample.errors import UsageError
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.lattice import Lattice
from landsat_downsample.model.projection import Projection

#: Most pixels from tie point to tie point; halved until positions between them are right to `OFF`, which pixels of 30 m
#: need from some 70 degrees on (8 to 83 degrees), larger pixels everywhere.
STEP = 16

#: Pixels by which positions between tie points may be off. An edge that crosses a pixel is 1.41 of its sides long at
#: most, and shares are rounded to 1/4096 of a pixel: weights are then right to 0.001 of a pixel.
OFF = 4e-4

#: Blocks between tie points, along either axis, in which that is measured.
MEASURED = 16

#: Tie points of an image, about: in a scene of 30 m they are at least 4 pixels apart, also at the creases of a map.
MOST = 1 << 22

#: Tie points are rounded to a power of two of a cell that is at most this part of a pixel. Positions between them
#: are then whole numbers too, whatever the order in which they are made.
PARTS_OF_A_PIXEL = 4096

#: Largest ratio between the areas that the pixels of an image have on a grid: beyond it the projection is torn.
TORN = 64.0

#: Pixels within which a point of the frame must come back to where it was.
SAME_PLACE = 1e-3

#: Position of a point that a projection gives no place.
FAR = -(1 << 60)


@dataclass(frozen=True, slots=True, eq=False)
class Outlines:
    """Pixels as parallelograms: all those between the same four tie points have one shape.

    Pairs of (down, right), each int64 (rows, columns), sides also (1, columns) where all rows have the same; a cell
    being ``2**outline_bits`` units: `Ties`.
    """

    centre: tuple[np.ndarray, np.ndarray]
    by_column: tuple[np.ndarray, np.ndarray]
    """From the centre to the middle of the right side."""
    by_row: tuple[np.ndarray, np.ndarray]
    """From the centre to the middle of the lower side."""

    @classmethod
    def between(cls, corners: tuple[np.ndarray, np.ndarray]) -> Outlines:
        """Make them from corners (rows + 1, columns + 1), a cell of which is a quarter of the units of outlines."""
        made = [
            (
                axis[:-1, :-1] + axis[:-1, 1:] + axis[1:, :-1] + axis[1:, 1:],
                axis[:-1, 1:] - axis[:-1, :-1] + axis[1:, 1:] - axis[1:, :-1],
                axis[1:, :-1] - axis[:-1, :-1] + axis[1:, 1:] - axis[:-1, 1:],
            )
            for axis in corners
        ]
        centre, by_column, by_row = zip(*made, strict=True)
        return cls(centre, by_column, by_row)

    def without_torn(self, limit: int) -> Outlines:
        """The same, those with a longer half side than `limit` far away and of no size."""
        sides = *self.by_column, *self.by_row
        torn = np.logical_or.reduce([abs(side) > limit for side in sides])
        centre = [np.where(torn, FAR, axis) for axis in self.centre]
        by_column, by_row = ([np.where(torn, 0, side) for side in pair] for pair in (self.by_column, self.by_row))
        return Outlines((centre[0], centre[1]), (by_column[0], by_column[1]), (by_row[0], by_row[1]))


@dataclass(frozen=True, slots=True, eq=False)
class Ties:
    """Positions of pixel corners on the cells of a lattice, in whole units of a small part of a cell.

    Tie point (i, j) is the upper-left corner of pixel (step i, step j); the last lie on or beyond the image's edges.
    """

    shape: tuple[int, int]
    """Of the image, (height, width) in pixels."""
    down: np.ndarray
    """int64 (ties, ties): from the upper edge of cell row 0 downwards."""
    right: np.ndarray
    """int64 (ties, ties): from the left edge of cell column 0 to the right."""
    bits: int
    """A cell is ``2**bits`` units at tie points."""
    step: int = STEP
    """Pixels from one to the next: a power of two."""

    @classmethod
    @lru_cache(maxsize=2)  # a plan asks for those that its bands will need
    def of(cls, image: Grid, lattice: Lattice, projection: Projection) -> Ties:
        """Project the tie points of an image.

        Raises
        ------
        UsageError
            The image has no place on the grid, or no unique one; or cells are finer than its pixels.
        """
        here, there = _projected(image, projection, *_lines(image, STEP))
        _check_finite(there)
        down, right = _in_cells(lattice, there)
        area = _areas(down, right) / STEP**2
        _check_unique(projection, image, (here, there), area)
        _check_cells(area, lattice)
        pixels = 1 / math.sqrt(float(np.median(np.abs(area))))  # along a side of a cell
        bits = max(1, math.ceil(math.log2(PARTS_OF_A_PIXEL * pixels)))
        step = _step(image, projection)
        if step < STEP:
            _, there = _projected(image, projection, *_lines(image, step))
            down, right = _in_cells(lattice, there)
        return cls(image.shape, _rounded(down, bits), _rounded(right, bits), bits, step)

    @property
    def corner_bits(self) -> int:
        """A cell is ``2**corner_bits`` units at corners of pixels: ``step**2`` of them are one of tie points."""
        return self.bits + 2 * (self.step.bit_length() - 1)

    @property
    def outline_bits(self) -> int:
        """A cell is ``2**outline_bits`` units of outlines: four of them are one of corners."""
        return self.corner_bits + 2

    @property
    def digest(self) -> str:
        """Names the positions: the same wherever PROJ gives the same."""
        return hashlib.sha256(np.stack([self.down, self.right]).astype("<i8").tobytes()).hexdigest()[:16]

    @property
    def cell_area(self) -> float:
        """Mean area of a cell, in pixels."""
        return float((1 << 2 * self.bits) * self.step**2 / np.abs(_areas(self.down, self.right)).mean())

    def corners(self, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions (down, right) of the corners of pixels, int64 (rows, columns), in units of corners."""
        return self._between(self.down, rows, columns), self._between(self.right, rows, columns)

    def _between(self, ties: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Bilinear between tie points: in integers, so that nothing depends on the order of the sums."""
        step = self.step
        i, j = np.minimum(rows // step, len(ties) - 2), np.minimum(columns // step, ties.shape[1] - 2)
        below, after = (rows - i * step)[:, None], columns - j * step
        # Few lines are asked for: only their ends are taken, not all ties of their rows.
        left, right = (ties[np.ix_(i, k)] * (step - below) + ties[np.ix_(i + 1, k)] * below for k in (j, j + 1))
        made: np.ndarray = left * (step - after) + right * after
        return made

    def outlines(self, rows: tuple[int, int], columns: tuple[int, int]) -> Outlines:
        """Of the pixels of some rows, all between the same tie points, and columns: first and past the last."""
        step, i, at = self.step, rows[0] // self.step, np.arange(*columns)
        first, last = columns[0] // step, -(-columns[1] // step)
        inside = slice(columns[0] - first * step, columns[1] - first * step)
        after, j = 2 * np.arange(step) + 1, at // step
        below = (2 * (np.arange(*rows) % step) + 1)[:, None]
        made = []
        for ties in (self.down[i : i + 2], self.right[i : i + 2]):
            edge = (ties[0] * (2 * step - below) + ties[1] * below)[:, first : last + 1]
            centre = np.diff(edge, axis=1)[:, :, None] * after  # block by block: as few steps as there can be
            centre += 2 * step * edge[:, :-1, None]
            across, along = np.diff(ties, axis=1), np.diff(ties, axis=0)
            by_column, by_row = across[:1] + across[1:], along[:, :-1] + along[:, 1:]
            flat = centre.reshape(len(centre), -1)[:, inside]
            made.append((flat, step * by_column[:, j], step * by_row[:, j]))
        (down, down_column, down_row), (right, right_column, right_row) = made
        return Outlines((down, right), (down_column, right_column), (down_row, right_row))

    @property
    def longest_side(self) -> int:
        """Longest half side of a pixel's outline, along either axis, in the units of outlines."""
        steps = [np.diff(ties, axis=axis) for ties in (self.down, self.right) for axis in (0, 1)]
        return 2 * self.step * max(int(abs(step).max()) for step in steps)

    @property
    def largest_cell(self) -> tuple[float, float]:
        """Most pixels, down and across, from side to side of a cell."""
        one = float(1 << self.bits)
        down, right = self.down / one, self.right / one
        (v_row, v_column), (u_row, u_column) = (
            (np.diff(axis, axis=0)[:, :-1] / self.step, np.diff(axis, axis=1)[:-1] / self.step)
            for axis in (down, right)
        )
        area = np.abs(u_column * v_row - u_row * v_column)
        high, wide = (abs(v_column) + abs(u_column)) / area, (abs(v_row) + abs(u_row)) / area
        return float(high.max()), float(wide.max())


class TieFacts(NamedTuple):
    """What is told of `Ties`."""

    digest: str
    step: int
    cell_area: float


@lru_cache(maxsize=16)
def tie_facts(image: Grid, lattice: Lattice, projection: Projection) -> TieFacts:
    """Facts of the tie points of an image, which outlive them."""
    ties = Ties.of(image, lattice, projection)
    return TieFacts(ties.digest, ties.step, ties.cell_area)


def positions(
    image: Grid, lattice: Lattice, projection: Projection, lines: tuple[np.ndarray, np.ndarray], bits: int
) -> tuple[np.ndarray, np.ndarray]:
    """Positions (down, right), in ``2**-bits`` of a cell, where lines of pixel corners cross: (rows, columns).

    The lines may lie beyond its edges; what has no place there is far away.
    """
    _, there = _projected(image, projection, *lines)
    down, right = (_rounded(axis, bits) for axis in _in_cells(lattice, there))
    return down, right


def covering(image: Grid, lattice: Lattice, projection: Projection) -> Grid:
    """The cells of a lattice, in another projection, that hold any part of an image.

    Raises
    ------
    UsageError
        As of `Ties.of`.
    """
    ties = Ties.of(image, lattice, projection)
    (top, bottom), (left, right) = outline(ties)
    one = 1 << ties.corner_bits
    first, last = (top // one, left // one), (-(-bottom // one), -(-right // one))
    y, x = (lattice.origin[0] - first[0] * lattice.cell[0], lattice.origin[1] + first[1] * lattice.cell[1])
    transform = Affine(float(lattice.cell[1]), 0.0, float(x), 0.0, -float(lattice.cell[0]), float(y))
    return Grid((max(last[0] - first[0], 1), max(last[1] - first[1], 1)), transform, lattice.crs)


def outline(ties: Ties) -> tuple[tuple[int, int], tuple[int, int]]:
    """Least and greatest position of an image on a grid, downwards and to the right: both lie on its frame."""
    rows, columns = (np.arange(n + 1) for n in ties.shape)
    sides = [(rows[[0, -1]], columns), (rows, columns[[0, -1]])]
    down, right = zip(*(ties.corners(*side) for side in sides), strict=True)
    found = [(int(min(a.min() for a in axis)), int(max(a.max() for a in axis))) for axis in (down, right)]
    return found[0], found[1]


def _lines(image: Grid, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of tie points."""
    rows, columns = (np.arange(-(-n // step) + 1) * step for n in image.shape)
    return rows, columns


def _step(image: Grid, projection: Projection) -> int:
    """The largest step at which positions between tie points are right to `OFF`, or the least of all."""
    step = STEP
    while step > 1 and 4 * math.prod(image.shape) < MOST * step**2 and _off(image, projection, step) > OFF:
        step //= 2
    return step


def _off(image: Grid, projection: Projection, step: int) -> float:
    """Pixels by which bilinear positions are off at most: in the middles of blocks between tie points and their sides.

    Sides tell where a block's middle does not: what is bent one way along rows and the other way along columns.
    """
    starts = (np.unique(np.linspace(0, -(-n // step) - 1, MEASURED).astype(int)) * step for n in image.shape)
    rows, columns = (np.add.outer(start, [0, step / 2, step]).ravel() for start in starts)
    here, there = _projected(image, projection, rows, columns)
    for axis in there:
        axis[1::3] = (axis[::3] + axis[2::3]) / 2
        axis[:, 1::3] = (axis[:, ::3] + axis[:, 2::3]) / 2
    (x, y), back, (high, wide) = here, projection.backward(*there), image.resolution
    return float(np.hypot((back[0] - x) / wide, (back[1] - y) / high).max())


def _projected(
    image: Grid, projection: Projection, rows: np.ndarray, columns: np.ndarray
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """(x, y) of pixel corners in the image's CRS, and on the grid, side by side on a map that repeats."""
    t = image.transform
    x, y = np.meshgrid(t.c + columns * t.a, t.f + rows * t.e)
    there, up = projection.forward(x, y)
    if projection.map_edges:
        there = there + projection.period * np.rint((_middle(image, projection) - there) / projection.period)
    return (x, y), (there, up)


@lru_cache(maxsize=16)
def _middle(image: Grid, projection: Projection) -> float:
    """X on the grid of an image's middle, on the map in which the image's left end lies right of the left edge."""
    (left, _), period = projection.map_edges or (0.0, 0.0), projection.period
    x, y = np.meshgrid(*(np.linspace(a, b, 9) for a, b in zip(image.bounds[:2], image.bounds[2:], strict=True)))
    there, _ = projection.forward(x, y)
    middle = float(there[4, 4])
    there = there + period * np.rint((middle - there) / period)
    turns = math.floor((there.min() - left) / period) if np.isfinite(there).all() else 0
    return middle - turns * period


def _in_cells(lattice: Lattice, there: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Positions (down, right) from the corner of a lattice, in cells."""
    (top, left), (high, wide) = (tuple(map(float, pair)) for pair in (lattice.origin, lattice.cell))
    return (top - there[1]) / high, (there[0] - left) / wide


def _rounded(where: np.ndarray, bits: int) -> np.ndarray:
    whole = np.rint(where * float(1 << bits))
    return np.where(np.isfinite(whole), whole, FAR).astype(np.int64)


def _areas(down: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Area of each block between tie points, in cells; negative where the block is turned over."""
    a, b = down[1:, 1:] - down[:-1, :-1], right[1:, 1:] - right[:-1, :-1]
    c, d = down[1:, :-1] - down[:-1, 1:], right[1:, :-1] - right[:-1, 1:]
    area: np.ndarray = (a * d - b * c) / -2
    return area


def _check_finite(there: tuple[np.ndarray, ...]) -> None:
    """Refuse a projection that gives no finite place to an image."""
    if not all(np.isfinite(axis).all() for axis in there):
        raise UsageError(
            "the grid's projection has no place for a part of the image: choose a grid made for its region"
        )


def _check_unique(
    projection: Projection, image: Grid, places: tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]], area: np.ndarray
) -> None:
    """Refuse a projection that gives no unique place, here and there, to an image."""
    here, there = places
    frame = np.ones(here[0].shape, bool)
    frame[1:-1, 1:-1] = False
    back = projection.backward(*(axis[frame] for axis in there))
    off = [abs(b - axis[frame]) / step for b, axis, step in zip(back, here, image.resolution[::-1], strict=True)]
    torn = area.min() * area.max() <= 0 or np.abs(area).max() > TORN * np.abs(area).min()
    if torn or not all((distance < SAME_PLACE).all() for distance in off):
        raise UsageError(
            "the grid's projection is torn within the image, as the sinusoidal one is at 180 degrees: choose a grid "
            "that goes on there, such as zone, latlon:0.01 or ease2-m:1km, or give the part of the image on one side"
        )


def _check_cells(area: np.ndarray, lattice: Lattice) -> None:
    """Refuse cells that are finer than a pixel anywhere in the image."""
    pixels = 1 / float(np.abs(area).max())
    if pixels < 1:
        high, wide = (float(side) for side in lattice.cell)
        scale = math.sqrt(1 / pixels) * 1.0001
        least = " x ".join(f"{side * scale:.4g}" for side in ((high, wide) if high != wide else (high,)))
        raise UsageError(
            f"cells of {wide:.6g} x {high:.6g} hold {pixels:.2g} pixels where they are smallest in the image, "
            f"which is finer than the source: give at least {least}"
        )
