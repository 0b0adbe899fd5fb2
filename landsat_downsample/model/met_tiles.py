"""Which tiles of a grid an image meets."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from landsat_downsample.errors import UsageError
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.placement import Placement
from landsat_downsample.model.target_grid import TargetGrid

#: Pixels from point to point within an image: tiles are larger.
INNER = 64


def met_tiles(
    image: Grid, target: TargetGrid, bounds: tuple[float, float, float, float] | None = None
) -> tuple[str, ...]:
    """Names of the tiles that hold any of an image, row by row from the north; none where the grid has no tiles.

    Parameters
    ----------
    bounds : (float, float, float, float), optional
        Area of interest in units of the grid's CRS.

    Raises
    ------
    UsageError
        As of `Placement.of`.
    """
    return () if target.tiles is None else _met(image, target.untiled(), bounds)


@lru_cache(maxsize=16)
def _met(image: Grid, target: TargetGrid, bounds: tuple[float, float, float, float] | None) -> tuple[str, ...]:
    placed = Placement.of(image, target)
    cells = placed.coarse.within(bounds) if bounds else placed.coarse
    if placed.projection is None:
        return target.touched(cells)
    # Tiles at the corners of the window may lie beside an image that lies askew in it.
    x, y = placed.projection.forward(*_points(image))
    found = []
    for name in target.touched(cells):
        left, bottom, right, top = target.of_tile(name).bounds
        if ((left <= x) & (x < right) & (bottom < y) & (y <= top)).any():
            found.append(name)
    return tuple(found)


def cells_met(
    image: Grid, target: TargetGrid, bounds: tuple[float, float, float, float] | None = None
) -> dict[str, Any]:
    """Which cells and tiles of a grid an image meets, in JSON types.

    Returns
    -------
    dict
        ``grid``, its name; ``first``, row and column of the first cell; ``shape``, rows and columns from there on;
        ``tiles``, names.
    """
    placed = Placement.of(image, target)
    cells = placed.coarse.within(bounds) if bounds else placed.coarse
    row, column, height, width = target.window(cells)
    tiles = [target.tile] if target.tile else list(met_tiles(image, target, bounds))
    return {"grid": target.name, "first": [row, column], "shape": [height, width], "tiles": tiles}


def check_tile(image: Grid, target: TargetGrid) -> None:
    """Refuse a tile that an image does not reach.

    Raises
    ------
    UsageError
        It names those that it does.
    """
    if target.tile is None:
        return
    met = met_tiles(image, target)
    if target.tile not in met:
        raise UsageError(
            f"the scene does not reach tile {target.tile} of grid {target.untiled().name}: it reaches "
            f"{', '.join(met) or 'none'}"
        )


def _points(image: Grid) -> tuple[np.ndarray, np.ndarray]:
    """(x, y) of the middles of the pixels along an image's frame, and of some within it, for tiles that lie inside."""
    t, (height, width) = image.transform, image.shape
    rows, columns = np.arange(height) + 0.5, np.arange(width) + 0.5
    lines = (rows[[0, -1]], columns), (rows, columns[[0, -1]]), (rows[::INNER], columns[::INNER])
    x, y = zip(*(np.meshgrid(t.c + across * t.a, t.f + down * t.e) for down, across in lines), strict=True)
    return np.concatenate([part.ravel() for part in x]), np.concatenate([part.ravel() for part in y])


def cells_line(met: dict[str, Any]) -> str:
    """Say which cells and tiles of a grid are met."""
    (row, column), (height, width) = met["first"], met["shape"]
    cells = f"rows {row} to {row + height - 1}, columns {column} to {column + width - 1} of grid {met['grid']}"
    return f"{cells}; tiles {' '.join(met['tiles'])}" if met["tiles"] else cells
