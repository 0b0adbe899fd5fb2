"""The grid that products share: whether they do, and which cells of it are asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

from rasterio.warp import transform_geom

from landsat_downsample.cubes.reduced_scene import ReducedScene
from landsat_downsample.errors import UsageError
from landsat_downsample.model import free_grids, named_grids
from landsat_downsample.model.crs import same_crs
from landsat_downsample.model.free_grids import meant_float
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.grid_request import PLACEMENTS
from landsat_downsample.model.lattice import Lattice

#: Corners may be off by this part of a cell: they are floats.
SAME_PLACE = 1e-6

Bounds = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class CommonGrid:
    """The lattice of some products, and the cells of it that they have together."""

    lattice: Lattice
    grid: Grid

    @classmethod
    def of(cls, scenes: Sequence[ReducedScene]) -> CommonGrid:
        """Find it.

        Raises
        ------
        UsageError
            Two of them do not lie on one lattice.
        """
        lattice = _lattice(scenes[0])
        for scene in scenes[1:]:
            if why := _differs(lattice, scene):
                raise UsageError(
                    f"{scenes[0].id} and {scene.id} do not share a grid: {why}; reduce both to one, such as "
                    f"--grid {_cure(scenes[0], scene)}, or open them apart"
                )
        firsts = [lattice.first(scene.grid) for scene in scenes]
        top, left = (min(first[axis] for first in firsts) for axis in (0, 1))
        bottom, right = (
            max(first[axis] + scene.grid.shape[axis] for first, scene in zip(firsts, scenes, strict=True))
            for axis in (0, 1)
        )
        return cls(lattice, lattice.grid((top, left, bottom - top, right - left)))

    def check(self, scene: ReducedScene) -> None:
        """Refuse a product whose cells are not of its lattice.

        Raises
        ------
        UsageError
            They are not.
        """
        if why := _differs(self.lattice, scene):
            raise UsageError(f"{scene.id} does not lie on the grid of the cube: {why}; reduce it to that grid")

    def within(self, bounds: Bounds) -> CommonGrid:
        """The cells of it that an area touches, (left, bottom, right, top) in CRS units."""
        part = self.grid.within(bounds)
        return CommonGrid(self.lattice, self.lattice.grid((*self.lattice.first(part), *part.shape)))

    def over(self, bounds: Bounds) -> CommonGrid:
        """All cells of the lattice that touch an area, whichever products have them.

        Raises
        ------
        UsageError
            The area is empty.
        """
        left, bottom, right, top = map(float, bounds)
        if left >= right or bottom >= top:
            raise UsageError(f"bounds {left:.10g},{bottom:.10g},{right:.10g},{top:.10g} are empty: reverse them")
        (y, x), (high, wide) = self.lattice.origin, self.lattice.cell
        hair = Fraction(1, 1_000_000)  # of a cell: an edge written in decimal is meant exactly
        first = math.floor((y - Fraction(top)) / high + hair), math.floor((Fraction(left) - x) / wide + hair)
        last = math.ceil((y - Fraction(bottom)) / high - hair), math.ceil((Fraction(right) - x) / wide - hair)
        return CommonGrid(self.lattice, self.lattice.grid((*first, last[0] - first[0], last[1] - first[1])))

    def place(self, scene: ReducedScene) -> tuple[int, int]:
        """(row, column) of a product's upper-left cell, counted from that of this grid."""
        return _place(self.lattice, self.grid, scene.grid)

    def holds(self, scene: ReducedScene) -> bool:
        """Whether a product has none but these cells."""
        return all(
            at >= 0 and at + length <= size
            for at, size, length in zip(self.place(scene), self.grid.shape, scene.grid.shape, strict=True)
        )

    def touches(self, scene: ReducedScene) -> bool:
        """Whether a product has any of these cells."""
        return all(
            at < size and at + length > 0
            for at, size, length in zip(self.place(scene), self.grid.shape, scene.grid.shape, strict=True)
        )


@lru_cache(maxsize=4096)  # asked for by each variable
def _place(lattice: Lattice, common: Grid, grid: Grid) -> tuple[int, int]:
    (top, left), (row, column) = lattice.first(common), lattice.first(grid)
    return row - top, column - left


def bounds_of(geometry: Any, crs: str) -> Bounds:
    """Bounds, in a CRS, of a geometry in degrees of longitude and latitude: GeoJSON, or what has `__geo_interface__`.

    Raises
    ------
    UsageError
        It is neither.
    """
    shape = getattr(geometry, "__geo_interface__", geometry)
    shape = shape.get("geometry", shape) if isinstance(shape, dict) else shape
    try:
        found = list(_points(transform_geom("OGC:CRS84", crs, shape)["coordinates"]))
        x, y = zip(*found, strict=True)
    except (TypeError, KeyError, ValueError, IndexError, AttributeError) as error:
        raise UsageError(
            f"geometry {type(geometry).__name__} is no area: give GeoJSON or a shapely geometry, in degrees"
        ) from error
    return min(x), min(y), max(x), max(y)


def _points(coordinates: Any) -> Any:
    if isinstance(coordinates[0], int | float):
        yield coordinates[:2]
    else:
        for part in coordinates:
            yield from _points(part)


def _lattice(scene: ReducedScene) -> Lattice:
    """The lattice that a product's cells are numbered on: exact for grids with a name, else as its floats are meant."""
    if scene.grid_name not in PLACEMENTS:
        try:
            word = scene.grid_name
            found = free_grids.at_size(word) if "@" in word else named_grids.named(word, scene.grid)
        except UsageError:  # of a file: like:..., cells.wkt@500
            found = None
        if found and not _differs(found.lattice, scene):
            return Lattice(scene.grid.crs, found.lattice.origin, found.lattice.cell)
    t = scene.grid.transform
    high, wide = meant_float(-t.e), meant_float(t.a)
    row, column = scene.first_cell
    return Lattice(scene.grid.crs, (meant_float(t.f) + row * high, meant_float(t.c) - column * wide), (high, wide))


def _differs(lattice: Lattice, scene: ReducedScene) -> str:
    """Why a product's cells are not those of a lattice; empty where they are."""
    if lattice.crs != scene.grid.crs and not same_crs(lattice.crs, scene.grid.crs):
        return f"their CRS are {_short(lattice.crs)} and {_short(scene.grid.crs)}"
    for axis, step in enumerate(scene.grid.resolution):
        cell = lattice.cell[axis]
        if abs(Fraction(step) / cell - 1) * max(scene.grid.shape) > SAME_PLACE:
            return f"their cells are {float(cell):g} and {step:g} large"
        edge = Fraction(scene.grid.transform.f if axis == 0 else scene.grid.transform.c)
        cells = (lattice.origin[axis] - edge) / cell
        if abs(cells - round(cells)) > SAME_PLACE:
            return f"the edges of their cells are {float(abs(cells - round(cells))):.2g} of a cell apart"
    return ""


def _short(crs: str) -> str:
    return crs if len(crs) < 20 else crs.partition('"')[2].partition('"')[0]


def _cure(one: ReducedScene, other: ReducedScene) -> str:
    """A grid that would hold both."""
    coarser = max(one.grid.resolution[0], other.grid.resolution[0])
    if name := next((scene.grid_name for scene in (one, other) if scene.grid_name not in PLACEMENTS), None):
        return name
    return f"zone:{coarser:g}" if same_crs(one.grid.crs, other.grid.crs) else f"{one.grid.crs}@{coarser:g}"
