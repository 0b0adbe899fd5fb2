"""The grid that a product is a window of."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from landsat_downsample.errors import UsageError
from landsat_downsample.model.crs import same_crs
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.lattice import Lattice
from landsat_downsample.model.mgrs import SIDE, MgrsTiles
from landsat_downsample.model.tiles import NumberedTiles, Window


@dataclass(frozen=True, slots=True)
class TargetGrid:
    """Cells of a known place, with the name that users know the grid by."""

    name: str
    """``modis:500m``, ``mgrs:32TQM:300``, ``EPSG:3035@500``, ``zone``."""
    lattice: Lattice
    shape: tuple[int, int] | None = None
    """(rows, columns) of the whole grid, from the lattice's cell (0, 0) on; None where it has no end."""
    tiles: NumberedTiles | MgrsTiles | None = None
    """How it is cut into tiles, if it is."""
    tile: str | None = None
    """The name of the one tile that is asked for: ``h18v04``."""
    wraps: bool = False
    """Whether it goes once round the Earth: what lies across its right edge is counted on, not cut off."""

    @property
    def extent(self) -> Window | None:
        """The cells that are asked for: those of the tile, else of the whole grid; None where it has no end."""
        if self.tile and isinstance(self.tiles, NumberedTiles):
            return self.tiles.find(self.tile)[1]
        return (0, 0, *self.shape) if self.shape else None

    def on_crs_of(self, image: Grid) -> TargetGrid:
        """The same grid, its CRS written as the image's if it is the same: cells are then cut without projection."""
        if self.lattice.crs == image.crs or not same_crs(self.lattice.crs, image.crs):
            return self
        return replace(self, lattice=replace(self.lattice, crs=image.crs))

    def grid(self, window: Window) -> Grid:
        """The grid that some of its cells make."""
        return self.lattice.grid(window)

    def window(self, cells: Grid) -> Window:
        """Which cells a grid of them is."""
        return (*self.lattice.first(cells), *cells.shape)

    def cut(self, cells: Grid) -> Grid | None:
        """Of the cells that an image touches those of the grid; of a tile all, if it is touched; else None."""
        if not self.extent:
            return cells
        found = self.window(cells)
        first = [max(at, begin) for at, begin in zip(found[:2], self.extent[:2], strict=True)]
        last = [min(found[k] + found[k + 2], self.extent[k] + self.extent[k + 2]) for k in (0, 1)]
        if self.wraps and not self.tile:
            first[1], last[1] = found[1], found[1] + found[3]
        if first[0] >= last[0] or first[1] >= last[1]:
            return None
        if self.tile:
            return self.grid(self.extent)
        return self.grid((first[0], first[1], last[0] - first[0], last[1] - first[1]))

    def touched(self, cells: Grid) -> tuple[str, ...]:
        """Names of the tiles that a grid of such cells touches; none where the grid has no tiles."""
        if isinstance(self.tiles, MgrsTiles):
            return self.tiles.touched(cells.bounds)
        return self.tiles.touched(self.window(cells)) if self.tiles else ()

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(left, bottom, right, top) of the cells that are asked for; infinite where there is no end to them."""
        return self.grid(self.extent).bounds if self.extent else (-math.inf, -math.inf, math.inf, math.inf)

    @property
    def described(self) -> str:
        """Name it, in a line."""
        return f"tile {self.tile} of grid {self.untiled().name}" if self.tile else f"grid {self.name}"

    def untiled(self) -> TargetGrid:
        """The whole of the grid that this is a tile of; of a tile with a corner of its own, its cells without end."""
        if self.tile is None:
            return self
        shape = self.shape if isinstance(self.tiles, NumberedTiles) else None
        return replace(self, name=self.name.replace(f":{self.tile.removeprefix('T')}", ""), shape=shape, tile=None)

    def of_tile(self, name: str) -> TargetGrid:
        """The part of the grid that a tile is.

        Raises
        ------
        UsageError
            There is no such tile.
        """
        if self.tiles is None:
            raise UsageError(f"grid {self.name} has no tiles")
        if isinstance(self.tiles, NumberedTiles):
            tile, _ = self.tiles.find(name)
            return replace(self, name=f"{self.untiled().name}:{tile}", tile=tile)
        tile, lattice = self.tiles.find(name)
        side = int(SIDE / self.tiles.cell)
        word = f"mgrs:{tile.removeprefix('T')}:{decimal(self.tiles.cell)}"
        return replace(self, name=word, lattice=lattice, shape=(side, side), tile=tile)

    def to_dict(self) -> dict[str, Any]:
        """Describe it in JSON types."""
        return {
            "name": self.name,
            "lattice": self.lattice.to_dict(),
            "shape": list(self.shape) if self.shape else None,
            "tiles": self.tiles.to_dict() if self.tiles else None,
            "tile": self.tile,
            "wraps": self.wraps,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> TargetGrid:
        """Make it from what `to_dict` gave."""
        tiles = record["tiles"]
        kind = NumberedTiles if tiles and "pattern" in tiles else MgrsTiles
        return cls(
            record["name"],
            Lattice.from_dict(record["lattice"]),
            tuple(record["shape"]) if record["shape"] else None,
            kind.from_dict(tiles) if tiles else None,
            record["tile"],
            record["wraps"],
        )


def decimal(value: Fraction) -> str:
    """A number as people write it, exactly.

    >>> decimal(Fraction(1, 20)), decimal(Fraction(300)), decimal(Fraction(1, 112))
    ('0.05', '300', '1/112')
    """
    digits = next((n for n in range(18) if (value * 10**n).denominator == 1), None)
    return str(value) if digits is None else f"{Decimal(int(value * 10**digits)).scaleb(-digits):f}"
