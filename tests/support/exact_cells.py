"""Cells of whole pixels, one at a time, in Python's exact fractions: what products of any family are held against."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np

Cell = Callable[[list[int]], int | float]


def windows(pixels: np.ndarray, factor: int) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """Each cell and its pixels; those at the right and bottom edge have fewer."""
    for row in range(-(-pixels.shape[0] // factor)):
        for column in range(-(-pixels.shape[1] // factor)):
            yield (
                (row, column),
                pixels[row * factor : (row + 1) * factor, column * factor : (column + 1) * factor],
            )


def expected(pixels: np.ndarray, factor: int, fill: float, cell: Cell) -> np.ndarray:
    """What cells should hold: fill where no pixel is valid, else what `cell` makes of the valid ones."""
    shape = tuple(-(-side // factor) for side in pixels.shape)
    made = np.full(shape, fill, np.float64)
    for at, window in windows(pixels, factor):
        valid = window[~np.isnan(window) if np.isnan(fill) else window != fill].tolist()
        if valid:
            made[at] = cell(valid)
    return made


def mean(fill: int) -> Cell:
    """Half to even, and never fill: one step to the side of the exact mean."""

    def of(values: list[int]) -> int:
        exact = Fraction(sum(values), len(values))
        rounded = round(exact)
        return rounded + (1 if exact >= fill else -1) if rounded == fill else rounded

    return of


def direction(values: list[int]) -> float:
    """Hundredths of a degree clockwise from north, 0 to 36000."""
    east, north = (sum(f(math.radians(v / 100)) for v in values) for f in (math.sin, math.cos))
    return math.degrees(math.atan2(east, north)) * 100 % 36000


def fmask(values: list[int]) -> int:
    """HLS: cloud, adjacent, shadow and snow of any pixel, water of half of them, the highest aerosol."""
    if len(set(values)) == 1:
        return values[0]
    code = sum(1 << bit for bit in range(5) if any(v >> bit & 1 for v in values))
    code |= (2 * sum(v >> 5 & 1 for v in values) >= len(values)) << 5
    return code | max(v >> 6 for v in values) << 6


def mode(values: list[int]) -> int:
    """The most frequent value, the smallest of equals."""
    return min(set(values), key=lambda value: (-values.count(value), value))
