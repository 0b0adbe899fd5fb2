"""Grids and the cells that a coarse grid cuts out of a fine one.

Everything here is exact: positions are `fractions.Fraction`s of a source pixel, so
that a ratio such as 75.91 or the half-pixel offset of the panchromatic band gives
integer area weights, and sums of integers stay exact whatever the factor.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from affine import Affine

from landsat_downsample.errors import UsageError

#: Ratios are kept as fractions no finer than this: 1e-4 of a source pixel is 3 mm, and
#: weights up to 1e4 leave room in int64 for the sum of any cell of 16-bit pixels.
MAX_DENOMINATOR = 10_000


def exact_ratio(value: float | int | str | Fraction) -> Fraction:
    """Turn a ratio of pixel sizes into a small fraction.

    >>> exact_ratio(2.5)
    Fraction(5, 2)
    """
    return Fraction(value).limit_denominator(MAX_DENOMINATOR)


def cell_edges(count: int, step: Fraction, start: Fraction) -> tuple[np.ndarray, int]:
    """Positions of `count` + 1 edges, each of them as near to ``start + i * step`` as integers can say.

    Returns
    -------
    edges : ndarray of int64
        Exact where the denominators are small; else each is rounded by itself, so that none drifts.
    unit : int
        How many of these integers make one pixel, `MAX_DENOMINATOR` at most where they are rounded.
    """
    step, start = meant(step, count), meant(start)
    unit = math.lcm(step.denominator, start.denominator)
    if unit <= MAX_DENOMINATOR:
        return np.arange(count + 1, dtype=np.int64) * int(step * unit) + int(start * unit), unit
    first, pace, half = int(start * unit), int(step * unit), unit // 2  # in Python's integers: `unit` may be long
    rounded = [((first + i * pace) * MAX_DENOMINATOR + half) // unit for i in range(count + 1)]
    return np.array(rounded, np.int64), MAX_DENOMINATOR


def meant(value: Fraction, times: int = 1) -> Fraction:
    """The small fraction that a quotient of floats is meant to be; itself where `times` of it would be elsewhere."""
    small = exact_ratio(value)
    return small if abs(small - value) * times * 100 * MAX_DENOMINATOR <= 1 else value


@dataclass(frozen=True, slots=True)
class Grid:
    """A north-up raster grid: shape, transform and coordinate reference system.

    Examples
    --------
    >>> grid = scene.grid
    >>> grid.height, grid.width, grid.resolution, grid.bounds
    (500, 600, (30.0, 30.0), (256185.0, 5201415.0, 274185.0, 5216415.0))
    >>> y, x = grid.coordinates()   # centres of pixels
    >>> float(y[0]), float(x[0])
    (5216400.0, 256200.0)
    >>> grid.within((260000, 5204000, 263000, 5207000)).shape
    (101, 101)
    >>> ld.Grid.from_dict(grid.to_dict()) == grid
    True
    """

    shape: tuple[int, int]
    """(height, width) in pixels."""

    transform: Affine
    """Maps (column, row) of a pixel corner to CRS coordinates; no rotation."""

    crs: str
    """Coordinate reference system as an authority string (``EPSG:32621``) or WKT."""

    def __post_init__(self) -> None:
        height, width = self.shape
        if height < 1 or width < 1:
            raise UsageError(f"grid of shape {self.shape!r}: both sides must be at least 1 pixel")
        if self.transform.b or self.transform.d:
            raise UsageError("grid is rotated or sheared: only north-up grids are supported; warp the file first")
        if self.transform.a <= 0 or self.transform.e >= 0:
            raise UsageError(
                f"grid has pixel size ({self.transform.a:g}, {self.transform.e:g}): "
                "x must grow to the east, y to the north"
            )

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.shape[0]

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.shape[1]

    @property
    def resolution(self) -> tuple[float, float]:
        """Pixel size (y, x) in CRS units, both positive."""
        return -self.transform.e, self.transform.a

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(left, bottom, right, top): outer edges, as in rasterio."""
        left, top = self.transform.c, self.transform.f
        right = left + self.width * self.transform.a
        bottom = top + self.height * self.transform.e
        return left, bottom, right, top

    def coordinates(self) -> tuple[np.ndarray, np.ndarray]:
        """Pixel centres (y, x) as float64 arrays of lengths height and width."""
        x = self.transform.c + (np.arange(self.width) + 0.5) * self.transform.a
        y = self.transform.f + (np.arange(self.height) + 0.5) * self.transform.e
        return y, x

    def within(self, bounds: tuple[float, float, float, float]) -> Grid:
        """The part of this grid that covers an area: whole pixels, none outside this grid.

        Parameters
        ----------
        bounds : (float, float, float, float)
            (left, bottom, right, top) in CRS units.

        Raises
        ------
        UsageError
            The area is empty or lies outside.
        """
        left, bottom, right, top = bounds
        t, slack = self.transform, 1e-6  # a millionth of a pixel: an edge written in decimal is meant exactly
        first_column, first_row = (math.floor(n + slack) for n in ((left - t.c) / t.a, (top - t.f) / t.e))
        last_column, last_row = (math.ceil(n - slack) for n in ((right - t.c) / t.a, (bottom - t.f) / t.e))
        first_column, first_row = max(first_column, 0), max(first_row, 0)
        last_column, last_row = min(last_column, self.width), min(last_row, self.height)
        if left >= right or bottom >= top or first_column >= last_column or first_row >= last_row:
            raise UsageError(
                f"bounds {left:.10g},{bottom:.10g},{right:.10g},{top:.10g} hold nothing of the image, which spans "
                f"{','.join(f'{edge:.10g}' for edge in self.bounds)} (left,bottom,right,top in CRS units)"
            )
        origin = t.c + first_column * t.a, t.f + first_row * t.e
        shape = last_row - first_row, last_column - first_column
        return Grid(shape, Affine(t.a, 0.0, origin[0], 0.0, t.e, origin[1]), self.crs)

    def to_dict(self) -> dict[str, Any]:
        """Describe it in JSON types."""
        return {"shape": list(self.shape), "transform": list(self.transform)[:6], "crs": self.crs}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Grid:
        """Make it from what `to_dict` gave."""
        return cls(tuple(record["shape"]), Affine(*record["transform"]), record["crs"])


def ratio_for(
    grid: Grid,
    *,
    factor: float | None = None,
    resolution: float | None = None,
    size: tuple[int, int] | None = None,
) -> tuple[Fraction, Fraction]:
    """Cell size in source pixels, (y, x), from exactly one of factor, resolution or size.

    Parameters
    ----------
    grid : Grid
        The source grid.
    factor : int or float, optional
        Source pixels per cell along each axis, at least 1.
    resolution : float, optional
        Cell size in CRS units (metres for Landsat).
    size : (int, int), optional
        (width, height) of the result in cells; a 0 keeps the aspect, as ``gdalwarp -ts W 0`` does.

    Raises
    ------
    UsageError
        None or several were given, or the cell would be finer than a pixel or larger than the image.
    """
    name, value = how_small(factor, resolution, size)
    if name == "size":
        ratios = _ratio_of_size(grid, *value)
    else:
        step_y, step_x = grid.resolution if name == "resolution" else (1, 1)
        ratios = exact_ratio(value / Fraction(step_y)), exact_ratio(value / Fraction(step_x))
    ry, rx = ratios
    cell = f"cell of {float(ry):g} x {float(rx):g} pixels is"
    if min(ratios) < 1:
        raise UsageError(f"{cell} finer than the source: give a larger one")
    if ry > grid.height or rx > grid.width:
        raise UsageError(f"{cell} larger than the image of {grid.height} x {grid.width}: give a smaller factor")
    return ratios


def how_small(
    factor: float | None = None, resolution: float | None = None, size: Iterable[float | str] | None = None
) -> tuple[str, Any]:
    """The name and the value, checked, of the one that is given: a Fraction, or (width, height).

    Raises
    ------
    UsageError
        None or several were given, or not what it may be.
    """
    asked: dict[str, Any] = {"factor": factor, "resolution": resolution, "size": size}
    given = [name for name, value in asked.items() if value is not None]
    if len(given) != 1:
        found = " and ".join(given) or "none; or a grid with cells of its own, such as modis:500m"
        raise UsageError(f"give exactly one of factor, resolution and size, not {found}")
    [name] = given
    if name != "size":
        return name, positive(name, asked[name])
    width, height = width_height(asked[name])
    if min(width, height) < 0 or width == height == 0:
        raise UsageError(f"size {width},{height} must be positive; one of the two may be 0 to keep the aspect")
    return name, (width, height)


def width_height(size: Iterable[float | str]) -> tuple[int, int]:
    """Two whole numbers that a user gave.

    >>> width_height(["100", "0"])
    (100, 0)
    """
    try:
        given = list(size)
        width, height = (int(n) for n in given)
        if [width, height] != [float(n) for n in given]:
            raise ValueError("not whole")
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"size {size!r} is not two whole numbers: give width,height such as 100,0") from error
    return width, height


def positive(name: str, value: object) -> Fraction:
    """Turn a number that a user gave into an exact one greater than zero.

    >>> positive("factor", "2.5")
    Fraction(5, 2)
    """
    try:
        ratio = Fraction(value if isinstance(value, (int, Fraction)) else str(value))
    except (ValueError, OverflowError, ZeroDivisionError) as error:
        raise UsageError(f"{name} {value!r} is not a number: give one greater than zero") from error
    if ratio <= 0:
        raise UsageError(f"{name} {value!r} must be greater than zero")
    return ratio


def _ratio_of_size(grid: Grid, width: int, height: int) -> tuple[Fraction, Fraction]:
    step_y, step_x = (Fraction(step) for step in grid.resolution)
    if not height:  # square cells in CRS units, as wide as the width asks for
        rx = Fraction(grid.width, width)
        return exact_ratio(rx * step_x / step_y), rx
    if not width:
        ry = Fraction(grid.height, height)
        return ry, exact_ratio(ry * step_y / step_x)
    return Fraction(grid.height, height), Fraction(grid.width, width)
