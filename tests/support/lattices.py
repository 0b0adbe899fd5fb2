"""Cells counted from a grid's own corner, for tests that need no others."""

from __future__ import annotations

from fractions import Fraction

from landsat_downsample.model.grid import Grid
from landsat_downsample.model.lattice import Lattice


def corner_lattice(grid: Grid, ratio: Fraction | int | tuple[Fraction | int, Fraction | int]) -> Lattice:
    """Cells of `ratio` pixels, counted from the grid's upper-left corner."""
    ry, rx = ratio if isinstance(ratio, tuple) else (ratio, ratio)
    y, x = (Fraction(step) for step in grid.resolution)
    return Lattice(grid.crs, (Fraction(grid.transform.f), Fraction(grid.transform.c)), (ry * y, rx * x))


def coarse_grid(grid: Grid, ratio: Fraction | int | tuple[Fraction | int, Fraction | int]) -> Grid:
    """Those of them that cover the grid."""
    return corner_lattice(grid, ratio).covering(grid)
