"""Which cells are asked for, of any image."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from landsat_downsample.errors import UsageError
from landsat_downsample.model import free_grids, named_grids
from landsat_downsample.model.grid import Grid, how_small, ratio_for
from landsat_downsample.model.lattice import Lattice
from landsat_downsample.model.target_grid import TargetGrid

#: How cells of any size are placed: counted from a corner that all scenes of a CRS share, or from the scene's own.
PLACEMENTS = ("zone", "scene")

#: A corner (x, y) of a 30 m pixel of every Collection 2 scene, in its own CRS: USGS puts pixel centres, of 15, 30 and
#: 60 m alike, on multiples of the pixel size (seen in the headers of 790 scenes of 26 UTM zones and one polar one).
CORNER = (-15, 15)
PIXEL_SIZES = (15, 30, 60)


@dataclass(frozen=True, slots=True)
class GridRequest:
    """Which cells are asked for, of any image: how small, and counted from where.

    Raises
    ------
    UsageError
        A grid that is unknown, or contradicts size or anchor; no cell size, or several.
    """

    factor: float | None = None
    resolution: float | None = None
    size: tuple[int, int] | None = None
    grid: str | TargetGrid | None = None
    """One of `PLACEMENTS`, the name of a grid that has cells of its own, or such a grid; None: ``scene`` with size,
    which divides a scene's own frame, else ``zone``."""
    anchor: tuple[float, float] | None = None
    """(x, y) of any corner of a cell, in place of the zone's."""

    def __post_init__(self) -> None:
        if isinstance(self.grid, str) and (found := re.fullmatch(r"zone:(\d+(?:\.\d+)?)m?", self.grid)):
            self._refuse_others("zone:METRES", ("factor", "resolution", "size"))
            object.__setattr__(self, "grid", "zone")
            object.__setattr__(self, "resolution", float(found[1]))
        if self.anchor is not None:
            object.__setattr__(self, "anchor", _anchor(self.anchor))
        object.__setattr__(self, "grid", self.grid or ("scene" if self.size else "zone"))
        if self.grid not in PLACEMENTS:
            name = _canonical(self.grid) if isinstance(self.grid, str) else self.grid.name  # type: ignore[union-attr]
            self._refuse_others(name, ("factor", "resolution", "size", "anchor"))
            object.__setattr__(self, "grid", name if isinstance(self.grid, str) else self.grid)
            return
        if self.size and self.grid != "scene":
            raise UsageError(
                f"size divides a scene's own frame: leave out grid {self.grid!r}, or give factor or resolution"
            )
        if self.anchor and self.grid == "scene":
            raise UsageError("anchor goes with grid 'zone': cells of grid 'scene' begin at the scene's own corner")
        how_small(self.factor, self.resolution, self.size)

    def _refuse_others(self, name: str, others: Iterable[str]) -> None:
        given = [other for other in others if getattr(self, other) is not None]
        if given:
            raise UsageError(f"grid {name!r} says itself how large its cells are and where: leave out {given[0]}")

    def target(self, image: Grid) -> TargetGrid:
        """The grid that the product of an image is a window of; refuses cells finer than its pixels or too large."""
        if isinstance(self.grid, TargetGrid):
            return self.grid.on_crs_of(image)
        if self.grid not in PLACEMENTS:
            word = str(self.grid)
            found = free_grids.at_size(word) if "@" in word else named_grids.named(word, image)
            return found.on_crs_of(image)
        ratio = ratio_for(image, factor=self.factor, resolution=self.resolution, size=self.size)
        steps = Fraction(image.resolution[0]), Fraction(image.resolution[1])
        corner = Fraction(image.transform.f), Fraction(image.transform.c)
        if self.anchor:
            corner = Fraction(self.anchor[1]), Fraction(self.anchor[0])
        elif self.grid == "zone":
            corner = _zone_corner(steps, corner)
        return TargetGrid(str(self.grid), Lattice(image.crs, corner, (ratio[0] * steps[0], ratio[1] * steps[1])))

    def lattice(self, image: Grid) -> Lattice:
        """Where the cells lie over an image."""
        return self.target(image).lattice

    def described(self, lattice: Lattice) -> str:
        """Say where cells begin, for metadata."""
        if self.grid == "scene":
            return "cells counted from the upper left edge of the source, rounded up at the lower right"
        y, x = map(float, lattice.origin)
        name = self.grid.name if isinstance(self.grid, TargetGrid) else self.grid
        named = "" if name == "zone" else f"grid {name}, "
        return f"{named}cells counted from x {x:.10g}, y {y:.10g}; those that the source covers in part included"


def _canonical(word: str) -> str:
    return free_grids.at_size(word).name if "@" in word else named_grids.canonical(word)


def _anchor(value: Iterable[float]) -> tuple[float, float]:
    try:
        x, y = (float(number) for number in value)
    except (TypeError, ValueError) as error:
        raise UsageError(f"anchor {value!r} is not two numbers: give x,y of a corner of any cell") from error
    if not (math.isfinite(x) and math.isfinite(y)):
        raise UsageError(f"anchor {x:.10g},{y:.10g} is no place: give x,y of a corner of any cell in CRS units")
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
