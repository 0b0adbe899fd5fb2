"""Where cells lie: on a lattice without end, in exact numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from affine import Affine

from landsat_downsample.model.grid import Grid, meant


@dataclass(frozen=True, slots=True)
class Lattice:
    """Cells without end, counted down and to the right from one corner.

    All numbers are exact, so that any two windows of a lattice fit together.
    """

    crs: str
    origin: tuple[Fraction, Fraction]
    """(y, x) of the upper-left corner of cell (0, 0), in CRS units."""
    cell: tuple[Fraction, Fraction]
    """(height, width) of a cell in CRS units, both positive."""

    def covering(self, fine: Grid) -> Grid:
        """The cells that hold any part of a grid."""
        ranges = []
        for axis, step in enumerate(fine.resolution):
            pixels = self.cell[axis] / Fraction(step)
            # An edge that floats put a hair beyond a cell's does not reach into the next cell.
            before = meant(self._distance(fine, axis) / Fraction(step))
            first, last = math.floor(before / pixels), math.ceil((before + fine.shape[axis]) / pixels)
            ranges.append((first, last - first))
        (row, height), (column, width) = ranges
        return self.grid((row, column, height, width))

    def grid(self, window: tuple[int, int, int, int]) -> Grid:
        """The grid that some cells make: row and column of the upper-left one, height and width."""
        row, column, *shape = window
        y, x = self.origin[0] - row * self.cell[0], self.origin[1] + column * self.cell[1]
        transform = Affine(float(self.cell[1]), 0.0, float(x), 0.0, -float(self.cell[0]), float(y))
        return Grid((shape[0], shape[1]), transform, self.crs)

    def first(self, window: Grid) -> tuple[int, int]:
        """(row, column) of the upper-left cell of a grid of such cells."""
        row, column = (round(self._distance(window, axis) / self.cell[axis]) for axis in (0, 1))
        return row, column

    def centres(self, window: Grid) -> tuple[np.ndarray, np.ndarray]:
        """Centres (y, x) of the cells of a window, each the float next to it: windows that overlap have the same."""
        row, column = self.first(window)
        y = (self.origin[0] - self.cell[0] / 2, -self.cell[0], range(row, row + window.height))
        x = (self.origin[1] + self.cell[1] / 2, self.cell[1], range(column, column + window.width))
        return _floats(*y), _floats(*x)

    def edges(self, window: Grid) -> tuple[np.ndarray, np.ndarray]:
        """Edges (y, x) between the cells of a window and around it, as exact as `centres`."""
        row, column = self.first(window)
        y = (self.origin[0], -self.cell[0], range(row, row + window.height + 1))
        x = (self.origin[1], self.cell[1], range(column, column + window.width + 1))
        return _floats(*y), _floats(*x)

    def in_pixels(self, window: Grid, fine: Grid, axis: int) -> tuple[Fraction, Fraction]:
        """Length of a cell along an axis, and from the first cell's edge to that of `fine`, in its pixels."""
        step = Fraction(fine.resolution[axis])
        ahead = self._distance(fine, axis) - self.first(window)[axis] * self.cell[axis]
        return self.cell[axis] / step, ahead / step

    def _distance(self, grid: Grid, axis: int) -> Fraction:
        """From the lattice's corner to the upper-left edge of a grid, downwards or to the right."""
        if axis == 0:
            return self.origin[0] - Fraction(grid.transform.f)
        return Fraction(grid.transform.c) - self.origin[1]

    def to_dict(self) -> dict[str, Any]:
        """Describe it in JSON types."""
        return {"crs": self.crs, "origin": [str(n) for n in self.origin], "cell": [str(n) for n in self.cell]}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Lattice:
        """Make it from what `to_dict` gave."""
        (y, x), (height, width) = ([Fraction(n) for n in record[key]] for key in ("origin", "cell"))
        return cls(record["crs"], (y, x), (height, width))


def _floats(start: Fraction, step: Fraction, numbers: range) -> np.ndarray:
    """The floats nearest to ``start + number * step``: Python rounds quotients of integers right."""
    below = math.lcm(start.denominator, step.denominator)
    first, by = (n.numerator * (below // n.denominator) for n in (start, step))
    return np.array([(first + number * by) / below for number in numbers])
