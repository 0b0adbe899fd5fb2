"""Larger cells made of cells: what a reduction of the pixels straight to the larger ones would give. Pure.

Sums, counts, extremes and flags of any pixel compose; a mean comes of sums and counts, a share of the pixels that it
means. Nothing here is a mean of rounded means, unless its counts weigh it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from landsat_downsample.model.bands import BandSpec
from landsat_downsample.model.flags import codes_of, fill_mask, stored_as
from landsat_downsample.reduce.bits import NO_PERCENT, agrees, cloudy, flag, levels_of, threshold
from landsat_downsample.reduce.rule import Rule
from landsat_downsample.reduce.values import place_fill

#: Pixels of a cell up to which its percentages, which are rounded, tell how many pixels they mean.
COUNTABLE = 100

#: Quotients of sums of fractions of pixels may be off by this part: one so near to a half is a half.
_HAIR = 2.0**-44


@dataclass(frozen=True, slots=True)
class Coarser:
    """How larger cells of one variable are made."""

    how: str
    """One of `HOW`."""
    dtype: str
    fill: float
    """What an empty cell holds."""
    fill_is_legal: bool = False
    """Whether a cell with data may hold it too."""
    spec: BandSpec | None = None
    """Of a bit field."""
    pixels: int | None = None
    """Of a cell, where they are so few that percentages tell how many they mean."""

    def __call__(self, cells: Sequence[np.ndarray], n: int) -> np.ndarray:
        """Values of larger cells.

        Parameters
        ----------
        cells : sequence of ndarray
            What it is made of (as of `HOW`), each of shape (n * rows, n * columns); of cells that are not there fill.
        n : int
            Cells along a side of a larger one.

        Returns
        -------
        ndarray
            (rows, columns), of `dtype`.
        """
        return HOW[self.how](self, cells, n).astype(self.dtype, copy=False)

    def _stored(self, total: np.ndarray, count: np.ndarray) -> np.ndarray:
        """Quotients as the variable stores them; fill where nothing is counted."""
        empty, dtype = count == 0, np.dtype(self.dtype)
        quotient = total / np.where(empty, 1, count)
        stored = (quotient if dtype.kind == "f" else _rounded(quotient)).astype(dtype)
        rule = Rule("mean", dtype, self.fill, self.fill, fill_is_legal=self.fill_is_legal)
        place_fill(stored, empty, rule, above=(total, count))
        return stored


def fold(ufunc: np.ufunc, cells: np.ndarray, n: int) -> np.ndarray:
    """All n x n cells of each larger one, put together by a ufunc of two arguments."""
    for _ in range(2):  # rows, then columns
        made = cells[::n].copy(order="K")
        for k in range(1, n):
            ufunc(made, cells[k::n], out=made)
        cells = made.T
    return cells


def _rounded(quotient: np.ndarray) -> np.ndarray:
    """Half to even, also where the sums of fractions of pixels put a half a hair beside it."""
    half = np.floor(quotient) + 0.5
    return np.rint(np.where(np.abs(quotient - half) <= np.abs(quotient) * _HAIR, half, quotient))


def _mean(rule: Coarser, cells: Sequence[np.ndarray], n: int) -> np.ndarray:
    sums, counts = cells
    return rule._stored(fold(np.add, np.nan_to_num(sums), n), fold(np.add, counts, n))


def _mean_by_count(rule: Coarser, cells: Sequence[np.ndarray], n: int) -> np.ndarray:
    means, counts = cells
    return rule._stored(fold(np.add, np.where(counts > 0, means * counts, 0), n), fold(np.add, counts, n))


def _rms(rule: Coarser, cells: Sequence[np.ndarray], n: int) -> np.ndarray:
    values, counts = cells
    squares = np.where(counts > 0, np.square(values, dtype="float64") * counts, 0)
    count = fold(np.add, counts, n)
    root = np.sqrt(fold(np.add, squares, n) / np.maximum(count, 1e-300))
    return rule._stored(root, (count > 0).astype("float64"))


def _std(rule: Coarser, cells: Sequence[np.ndarray], n: int) -> np.ndarray:
    """Variance within cells, and between them (Chan, Golub, LeVeque 1983, The American Statistician 37, 242-247)."""
    values, sums, counts = cells
    sums, values = np.nan_to_num(sums), np.nan_to_num(values).astype("float64")
    count, some = fold(np.add, counts, n), np.where(counts > 0, counts, 1)
    mean = fold(np.add, sums, n) / np.where(count > 0, count, 1)
    apart = sums / some - mean.repeat(n, 0).repeat(n, 1)
    spread = fold(np.add, counts * (np.square(values) + np.square(apart)), n)
    return np.where(count > 0, np.sqrt(spread / np.where(count > 0, count, 1)), np.nan)


def _sum(rule: Coarser, cells: Sequence[np.ndarray], n: int) -> np.ndarray:
    (sums,) = cells
    return np.where(fold(np.logical_and, np.isnan(sums), n), np.nan, fold(np.add, np.nan_to_num(sums), n))


def _count(rule: Coarser, cells: Sequence[np.ndarray], n: int) -> np.ndarray:
    return fold(np.add, cells[0], n)


def _extreme(ufunc: np.ufunc) -> Callable[[Coarser, Sequence[np.ndarray], int], np.ndarray]:
    def made(rule: Coarser, cells: Sequence[np.ndarray], n: int) -> np.ndarray:
        (values,) = cells
        if values.dtype.kind == "f":
            return fold(np.fmin if ufunc is np.minimum else np.fmax, values, n)  # NaN is no data
        limits = np.iinfo(values.dtype)
        there = values != values.dtype.type(rule.fill)
        worst = limits.max if ufunc is np.minimum else limits.min
        found = fold(ufunc, np.where(there, values, values.dtype.type(worst)), n)
        return np.where(fold(np.logical_or, there, n), found, values.dtype.type(rule.fill))

    return made


def _valid(rule: Coarser, cells: Sequence[np.ndarray], n: int) -> np.ndarray:
    """Percent of the whole cell: those of cells that are not there are none of its valid pixels."""
    (percent,) = cells
    whole = rule.pixels or 100
    counts = _counted(percent, np.float64(whole), rule.pixels)
    made = _rounded(100 * fold(np.add, counts, n) / (whole * n * n))
    return np.where(fold(np.logical_and, percent == NO_PERCENT, n), NO_PERCENT, made)


def _share(rule: Coarser, cells: Sequence[np.ndarray], n: int) -> np.ndarray:
    valid, counts = _shares(rule, *cells)
    total = fold(np.add, valid, n)
    made = _rounded(100 * fold(np.add, counts, n) / np.where(total > 0, total, 1))
    return np.where(total > 0, made, NO_PERCENT)


def _shares(rule: Coarser, percent: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Valid pixels of each cell, and those that a percentage means, in any unit."""
    whole = _counted(valid, np.float64(rule.pixels or 100), rule.pixels)
    if not rule.pixels:  # fewer than half a percent are some
        whole = np.where((whole == 0) & (percent != NO_PERCENT), 0.25, whole)
    return whole, _counted(percent, whole, rule.pixels)


def _counted(percent: np.ndarray, whole: np.ndarray | np.float64, pixels: int | None) -> np.ndarray:
    part = np.where(percent == NO_PERCENT, 0, percent) * whole / 100
    return np.rint(part) if pixels else part


def _codes(rule: Coarser, cells: Sequence[np.ndarray], n: int) -> np.ndarray:
    """Flag by flag, as the conservative policy does of pixels; the water of QA_PIXEL by its share and the valid one."""
    assert rule.spec is not None
    spec, codes = rule.spec, codes_of(cells[0], rule.spec).astype(np.uint16)
    there = codes & fill_mask(spec) == 0
    valid, some = fold(np.add, there.astype(np.float64), n), fold(np.logical_or, there, n)
    out = np.zeros(some.shape, np.uint16)
    for field in spec.fields:
        if field.rule == "clear" or field.name == "fill":
            continue
        reached = np.zeros(some.shape, np.uint16)
        for level in levels_of(field):
            if threshold(field, "conservative") == "majority":
                whole, part = (fold(np.add, one, n) for one in _shares(rule, *cells[1:]))
                reached[agrees("majority", part, whole)] = level
            else:
                has = there & flag(codes, field, level)
                part = fold(np.add, has.astype(np.float64), n)
                reached[agrees(threshold(field, "conservative"), part, valid)] = level
        out |= reached << np.uint16(field.offset)
    if clear := spec.field("clear"):
        out |= np.where(cloudy(out, spec), 0, clear.mask).astype(np.uint16)
    low = fold(np.minimum, np.where(there, codes, np.uint16(0xFFFF)), n)
    high = fold(np.maximum, np.where(there, codes, np.uint16(0)), n)
    alone = np.where(low == high, low, out)  # one code gives itself, as one of pixels does
    return np.where(some, stored_as(alone, spec), np.uint16(rule.fill))


#: How larger cells are made, and of what: arrays of cells, in that order.
HOW: dict[str, Callable[[Coarser, Sequence[np.ndarray], int], np.ndarray]] = {
    "mean": _mean,  # sum, count
    "mean by count": _mean_by_count,  # mean, count
    "rms": _rms,  # rms, count
    "std": _std,  # std, sum, count
    "sum": _sum,
    "count": _count,
    "min": _extreme(np.minimum),
    "max": _extreme(np.maximum),
    "valid": _valid,
    "share": _share,  # share, valid
    "codes": _codes,  # codes; water, valid where water goes by majority
}
