"""Grids that are given as objects of other libraries, or by something to read."""

from __future__ import annotations

from os import PathLike, fspath
from typing import Any

from landsat_downsample.errors import UsageError
from landsat_downsample.model.free_grids import of_raster
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.target_grid import TargetGrid
from landsat_downsample.scenes.given_grid import LIKE, of_placed, read_grid


def given_grid(grid: Any, like: Any = None) -> str | TargetGrid | None:
    """Understand what ``grid=`` and ``like=`` may be.

    Parameters
    ----------
    grid : str, Grid, TargetGrid or any object with a grid
        A word, or what `like` may be.
    like : str, path or any object with a grid
        A raster, cube or product; an odc-geo GeoBox or another object with ``crs``, ``transform`` and ``shape``; an
        xarray object.

    Raises
    ------
    UsageError
        Both are given, or it is none of these.
    ReadError
        What it leads to cannot be read.
    """
    if like is not None:
        if grid is not None:
            raise UsageError("grid and like both say where cells lie: give one of them")
        text = fspath(like) if isinstance(like, (str, PathLike)) else None
        grid = like if text is None else text if text.lower().startswith(LIKE) else f"{LIKE}{text}"
    if grid is None or isinstance(grid, (str, TargetGrid)):
        return read_grid(grid)
    if isinstance(grid, PathLike):
        return read_grid(f"{LIKE}{fspath(grid)}")
    name = f"{LIKE}{type(grid).__name__}"
    if isinstance(grid, Grid):
        return of_raster(grid.crs, grid.transform, grid.shape, name)
    if hasattr(grid, "dims") or all(hasattr(grid, part) for part in ("crs", "shape")):  # xarray's, or a GeoBox
        return of_placed(grid, name)
    raise UsageError(
        f"grid of type {type(grid).__name__} is none: give a word such as 'modis:500m', a raster's path, or an object "
        "with crs, transform and shape"
    )
