"""Where cells lie: on one lattice for all scenes of a zone, or counted from a scene's own corner."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from affine import Affine

from landsat_downsample.errors import UsageError
from landsat_downsample.model.grid import Grid, meant, ratio_for
from landsat_downsample.model.nearest import did_you_mean

#: How cells are placed: counted from a corner that all scenes of a CRS share, or from the scene's own.
PLACEMENTS = ("zone", "scene")

#: A corner (x, y) of a 30 m pixel of every Collection 2 scene, in its own CRS: USGS puts pixel centres, of 15, 30 and
#: 60 m alike, on multiples of the pixel size (seen in the headers of 790 scenes of 26 UTM zones and one polar one).
CORNER = (-15, 15)
PIXEL_SIZES = (15, 30, 60)


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
        y, x = self.origin[0] - row * self.cell[0], self.origin[1] + column * self.cell[1]
        transform = Affine(float(self.cell[1]), 0.0, float(x), 0.0, -float(self.cell[0]), float(y))
        return Grid((height, width), transform, self.crs)

    def first(self, window: Grid) -> tuple[int, int]:
        """(row, column) of the upper-left cell of a grid of such cells."""
        row, column = (round(self._distance(window, axis) / self.cell[axis]) for axis in (0, 1))
        return row, column

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

    def described(self, request: GridRequest) -> str:
        """Say where cells begin, for metadata."""
        if request.grid == "scene":
            return "cells counted from the upper left edge of the source, rounded up at the lower right"
        y, x = map(float, self.origin)
        return f"cells counted from x {x:.10g}, y {y:.10g}; those that the source covers in part included"

    def to_dict(self) -> dict[str, Any]:
        """Describe it in JSON types."""
        return {"crs": self.crs, "origin": [str(n) for n in self.origin], "cell": [str(n) for n in self.cell]}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Lattice:
        """Make it from what `to_dict` gave."""
        (y, x), (height, width) = ([Fraction(n) for n in record[key]] for key in ("origin", "cell"))
        return cls(record["crs"], (y, x), (height, width))


@dataclass(frozen=True, slots=True)
class GridRequest:
    """Which cells are asked for, of any image: how small, and counted from where.

    Raises
    ------
    UsageError
        A grid that is unknown, or contradicts size or anchor.
    """

    factor: float | None = None
    resolution: float | None = None
    size: tuple[int, int] | None = None
    grid: str | None = None
    """One of `PLACEMENTS`; None: ``scene`` with size, which divides a scene's own frame, else ``zone``."""
    anchor: tuple[float, float] | None = None
    """(x, y) of any corner of a cell, in place of the zone's."""

    def __post_init__(self) -> None:
        if self.anchor is not None:
            object.__setattr__(self, "anchor", _anchor(self.anchor))
        object.__setattr__(self, "grid", self.grid or ("scene" if self.size else "zone"))
        if self.grid not in PLACEMENTS:
            near = did_you_mean(str(self.grid), PLACEMENTS)
            raise UsageError(f"grid {self.grid!r} is unknown{near}: choose one of {', '.join(PLACEMENTS)}")
        if self.size and self.grid != "scene":
            raise UsageError(
                f"size divides a scene's own frame: leave out grid {self.grid!r}, or give factor or resolution"
            )
        if self.anchor and self.grid == "scene":
            raise UsageError("anchor goes with grid 'zone': cells of grid 'scene' begin at the scene's own corner")

    def lattice(self, image: Grid) -> Lattice:
        """Lay the cells over an image; refuses those that are finer than its pixels or larger than itself."""
        ratio = ratio_for(image, factor=self.factor, resolution=self.resolution, size=self.size)
        steps = Fraction(image.resolution[0]), Fraction(image.resolution[1])
        corner = Fraction(image.transform.f), Fraction(image.transform.c)
        if self.anchor:
            corner = Fraction(self.anchor[1]), Fraction(self.anchor[0])
        elif self.grid == "zone":
            corner = _zone_corner(steps, corner)
        return Lattice(image.crs, corner, (ratio[0] * steps[0], ratio[1] * steps[1]))


def _anchor(value: Iterable[float]) -> tuple[float, float]:
    try:
        x, y = (float(number) for number in value)
    except (TypeError, ValueError) as error:
        raise UsageError(f"anchor {value!r} is not two numbers: give x,y of a corner of any cell") from error
    if not (math.isfinite(x) and math.isfinite(y)):
        raise UsageError(f"anchor {x:g},{y:g} is no place: give x,y of a corner of any cell in CRS units")
    return x, y


def _zone_corner(steps: tuple[Fraction, Fraction], corner: tuple[Fraction, Fraction]) -> tuple[Fraction, Fraction]:
    """(y, x) of a corner that all images share whose pixels lie on one lattice."""
    x, y = CORNER
    y_phase, x_phase = ((edge + step / 2) % step for edge, step in zip(corner, steps, strict=True))
    if all(step in PIXEL_SIZES for step in steps) and not y_phase and not x_phase:
        return Fraction(y), Fraction(x)
    if any(step.denominator > 1 for step in steps):
        return corner  # a rounded number of degrees: counted from far away, cells would lie anywhere
    # The upper-left corner of the pixel that holds the origin of the CRS, or would if the image went so far.
    return corner[0] % steps[0], -(-corner[1] % steps[1])
