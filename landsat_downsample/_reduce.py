"""Reducers of continuous and class bands: NumPy in, NumPy out, strip by strip.

A reducer turns the pixels of a strip into a *partial* result per cell, merges the partials
of a cell that spans several strips, and finishes them into stored values. Sums of integers
are exact, so results do not depend on how the image was cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

import numpy as np

from landsat_downsample._errors import UsageError
from landsat_downsample._grid import Overlay
from landsat_downsample._kernels import Strip, divide_half_even, fold, groups, sum_columns, sum_rows, windows

#: Reads pixel rows ``start`` to ``stop``: values (rows, width), and which of them count
#: (bool, same shape) or None where the values alone say so.
ReadRows = Callable[[int, int], tuple[np.ndarray, np.ndarray | None]]

METHODS = ("mean", "median", "min", "max", "sum", "std", "rms", "mode", "nearest", "circular")


@dataclass(frozen=True, slots=True)
class Rule:
    """What a reducer must know of a band besides its pixels."""

    method: str
    dtype: np.dtype
    """Stored type of the source."""
    nodata: float | None
    """Value of a pixel without data; None where no value says so."""
    fill: float
    """Value of a cell without data."""
    fill_is_legal: bool = False
    """Whether `fill` may also be the value of a valid cell (angles, where 0 is both)."""
    min_valid: Fraction = Fraction(0)
    """Least share of a cell's pixels, by area, that must be valid."""
    degrees: float = 1.0
    """Degrees per stored unit, for ``circular``."""


class Reducer(Protocol):
    """Partial, merge, finish."""

    whole: bool
    """Whether all pixels of a cell must come in one strip."""

    def partial(self, values: np.ndarray, ok: np.ndarray | None, strip: Strip) -> Any: ...
    def merge(self, one: Any, other: Any) -> Any: ...
    def finish(self, partial: Any, first: int, last: int) -> tuple[np.ndarray, ...]: ...


def reduce_strips(reducer: Reducer, overlay: Overlay, read: ReadRows) -> Iterator[tuple[slice, tuple[np.ndarray, ...]]]:
    """Stream an image through a reducer, in order, holding one strip at a time.

    Yields
    ------
    rows : slice
        Cell rows that are finished.
    arrays : tuple of ndarray
        What the reducer gives for them, each of shape (rows, cells) or (bands, rows, cells).
    """
    for strips in groups(overlay.rows, whole=reducer.whole):
        merged = None
        for strip in strips:
            values, ok = read(strip.start, strip.stop)
            part = reducer.partial(values, ok, strip)
            merged = part if merged is None else reducer.merge(merged, part)
        first, last = strips[0].first, strips[0].last
        yield slice(first, last), reducer.finish(merged, first, last)


def reducer_for(rule: Rule, overlay: Overlay) -> Reducer:
    """The reducer of a continuous or class band.

    Raises
    ------
    UsageError
        Unknown method.
    """
    if rule.method in ("mean", "sum", "std", "rms"):
        return Moments(rule, overlay)
    if rule.method == "circular":
        return Circular(rule, overlay)
    if rule.method in ("min", "max"):
        return Extreme(rule, overlay)
    if rule.method in ("median", "mode"):
        return Ranked(rule, overlay)
    if rule.method == "nearest":
        return Nearest(rule, overlay)
    raise UsageError(f"method {rule.method!r} is unknown: choose one of {', '.join(METHODS)}")


def output_dtype(method: str, dtype: np.dtype) -> np.dtype:
    """Stored type of a reduced band: the source's, except for sums and deviations."""
    return np.dtype({"sum": "float64", "std": "float32"}.get(method, dtype))


def valid_pixels(values: np.ndarray, ok: np.ndarray | None, nodata: float | None) -> np.ndarray | None:
    """Which pixels count; None where all of them do."""
    good = ok
    if nodata is not None and not np.isnan(nodata):
        differs = values != values.dtype.type(nodata) if _holds(values.dtype, nodata) else None
        good = differs if good is None else good if differs is None else good & differs
    if values.dtype.kind == "f":
        number = ~np.isnan(values)
        good = number if good is None else good & number
    return good


def _holds(dtype: np.dtype, value: float) -> bool:
    """Whether a type can hold a value, so that comparing with it makes sense."""
    if dtype.kind == "f":
        return True
    limits = np.iinfo(dtype)
    return float(value).is_integer() and limits.min <= value <= limits.max


def cell_extent(overlay: Overlay, first: int, last: int) -> np.ndarray:
    """Area weight of the pixels that exist in each cell: (rows, cells), int64."""
    return np.multiply.outer(overlay.rows.extent[first:last], overlay.columns.extent)


def too_few(count: np.ndarray, overlay: Overlay, first: int, min_valid: Fraction) -> np.ndarray:
    """Cells without a valid pixel, or with fewer than the share asked for."""
    empty = count == 0
    if min_valid > 0:
        extent = cell_extent(overlay, first, first + len(count))
        empty |= count.astype(np.int64) * min_valid.denominator < extent * min_valid.numerator
    return empty


def _largest_cell(overlay: Overlay) -> int:
    return int(overlay.rows.extent.max()) * int(overlay.columns.extent.max())


@dataclass(frozen=True, slots=True)
class Moments:
    """Mean, sum, standard deviation and root mean square from exact sums."""

    rule: Rule
    overlay: Overlay
    whole = False

    def partial(self, values, ok, strip):
        good = valid_pixels(values, ok, self.rule.nodata)
        zero_fill = ok is None and self.rule.nodata == 0 and values.dtype.kind != "f"
        clean = values if good is None or zero_fill else np.where(good, values, values.dtype.type(0))
        sums = [self._count(good, strip), self._total(clean, strip)]
        if self.rule.method in ("std", "rms"):
            sums.append(self._total(np.square(clean, dtype=_wide(values.dtype)), strip))
        return tuple(sums)

    def merge(self, one, other):
        return tuple(a.astype(_wide(a.dtype)) + b for a, b in zip(one, other))

    def finish(self, partial, first, last):
        count, total, *squares = partial
        rule = self.rule
        empty = too_few(count, self.overlay, first, rule.min_valid)
        if rule.method == "mean":
            return (self._mean(count, total, empty),)
        if rule.method == "sum":
            area = self.overlay.rows.unit * self.overlay.columns.unit
            result = total.astype(np.float64) / area
        elif rule.method == "rms":
            with np.errstate(invalid="ignore", divide="ignore"):
                result = np.sqrt(squares[0].astype(np.float64) / count)
            return (self._store(result, empty),)
        else:
            result = np.sqrt(_variance(count, total, squares[0]))
        result[empty] = np.nan
        return (result.astype(output_dtype(rule.method, rule.dtype)),)

    def _count(self, good, strip):
        if good is None:
            return cell_extent(self.overlay, strip.first, strip.last) if self._covers(strip) else self._area(strip)
        rows = self.overlay.rows
        narrow = int(rows.extent.max()) < 1 << 16
        sums = sum_rows(good.view(np.uint8), rows, strip, np.uint16 if narrow else np.int64)
        return sum_columns(sums, self.overlay.columns, np.uint32 if _largest_cell(self.overlay) < 1 << 32 else np.int64)

    def _covers(self, strip):
        rows = self.overlay.rows
        return strip.start <= rows.start[strip.first] and strip.stop >= rows.stop[strip.last - 1]

    def _area(self, strip):
        ones = np.ones((strip.stop - strip.start, 1), np.uint8)
        return sum_rows(ones, self.overlay.rows, strip, np.int64) * self.overlay.columns.extent

    def _total(self, clean, strip):
        rows, columns = self.overlay.rows, self.overlay.columns
        if clean.dtype.kind == "f":
            return sum_columns(sum_rows(clean, rows, strip, np.float64), columns, np.float64)
        row_type, cell_type = (_lane(clean.dtype, area) for area in (int(rows.extent.max()), _largest_cell(self.overlay)))
        return sum_columns(sum_rows(clean, rows, strip, row_type), columns, cell_type)

    def _mean(self, count, total, empty):
        if total.dtype.kind == "f":
            with np.errstate(invalid="ignore", divide="ignore"):
                return self._store(total / count, empty)
        bound = 2 * _largest_cell(self.overlay) * _magnitude(self.rule.dtype)
        return self._store(divide_half_even(total, count, bound), empty, total=total, count=count)

    def _store(self, result, empty, *, total=None, count=None):
        rule = self.rule
        if rule.dtype.kind != "f":
            result = np.rint(result)
        stored = np.where(empty, 0, result).astype(rule.dtype)
        stored = keep_off_fill(stored, empty, rule, total, count)
        stored[empty] = rule.fill
        return stored


def keep_off_fill(stored, empty, rule, total=None, count=None):
    """Move valid cells that rounded onto the fill value one step off it, to the side of the exact mean."""
    if rule.fill_is_legal or np.isnan(rule.fill) or rule.dtype.kind == "f" or not _holds(rule.dtype, rule.fill):
        return stored
    hit = (stored == rule.fill) & ~empty
    if not hit.any():
        return stored
    limits = np.iinfo(rule.dtype)
    above = np.ones(stored.shape, bool) if total is None else total >= int(rule.fill) * count.astype(np.int64)
    above = (above | (rule.fill == limits.min)) & (rule.fill != limits.max)
    stored[hit] = np.where(above[hit], int(rule.fill) + 1 if rule.fill < limits.max else limits.max - 1, int(rule.fill) - 1)
    return stored


def _variance(count, total, squares):
    """Population variance; in integers while the exact numerator fits, else in Python's."""
    n = np.maximum(count, 1)
    if total.dtype.kind == "f":
        return np.maximum(squares / n - np.square(total / n), 0)
    exact = n.astype(object) * squares.astype(object) - total.astype(object) ** 2
    return exact.astype(np.float64) / np.square(n.astype(np.float64))


def _wide(dtype):
    return np.float64 if np.dtype(dtype).kind == "f" else np.int64


def _magnitude(dtype: np.dtype) -> int:
    """Largest absolute value of an integer type."""
    limits = np.iinfo(dtype)
    return max(int(limits.max), -int(limits.min))


def _lane(dtype: np.dtype, area: int) -> type:
    """Smallest fast accumulator that holds `area` pixels of a type: half the memory traffic."""
    bound = _magnitude(dtype) * area
    if np.dtype(dtype).kind == "u" and bound < 1 << 32:
        return np.uint32
    return np.int32 if bound < 1 << 31 else np.int64


@dataclass(frozen=True, slots=True)
class Circular:
    """Mean direction: angle of the mean unit vector (Fisher 1993, Statistical Analysis of Circular Data, 2.3.1).

    Sines and cosines are rounded to 24 bits, so that their sums are integers and exact; the
    mean direction is then right to 1e-7 radian, far below the 0.01 degree that is stored.
    """

    rule: Rule
    overlay: Overlay
    whole = False

    def partial(self, values, ok, strip):
        moments = Moments(self.rule, self.overlay)
        good = valid_pixels(values, ok, self.rule.nodata)
        angle = np.deg2rad(np.where(good, values, 0).astype(np.float64) * self.rule.degrees) if good is not None else np.deg2rad(
            values.astype(np.float64) * self.rule.degrees
        )
        parts = [moments._count(good, strip)]
        for wave in (np.sin, np.cos):
            whole = np.rint(wave(angle) * (1 << 24)).astype(np.int64)
            if good is not None:
                whole[~good] = 0
            rows = sum_rows(whole, self.overlay.rows, strip, np.int64)
            parts.append(sum_columns(rows, self.overlay.columns, np.int64))
        return tuple(parts)

    def merge(self, one, other):
        return tuple(a + b for a, b in zip(one, other))

    def finish(self, partial, first, last):
        count, sine, cosine = partial
        rule = self.rule
        empty = too_few(count, self.overlay, first, rule.min_valid)
        angle = np.rad2deg(np.arctan2(sine, cosine)) / rule.degrees
        if rule.dtype.kind == "u":  # a type without sign holds 0 to 360 degrees
            angle = np.mod(angle, 360 / rule.degrees)
        if rule.dtype.kind != "f":
            angle = np.rint(angle)
        stored = angle.astype(rule.dtype)
        stored[empty] = rule.fill
        return (stored,)


@dataclass(frozen=True, slots=True)
class Extreme:
    """Smallest or largest valid value of the pixels that a cell touches."""

    rule: Rule
    overlay: Overlay
    whole = False

    @property
    def _ufunc(self):
        return np.minimum if self.rule.method == "min" else np.maximum

    def partial(self, values, ok, strip):
        good = valid_pixels(values, ok, self.rule.nodata)
        if values.dtype.kind == "f":
            worst = np.inf
        else:
            worst = np.iinfo(values.dtype).max
        if self.rule.method == "max":
            worst = -np.inf if values.dtype.kind == "f" else np.iinfo(values.dtype).min
        clean = values if good is None else np.where(good, values, values.dtype.type(worst))
        count = Moments(self.rule, self.overlay)._count(good, strip)
        return count, fold(self._ufunc, np.ascontiguousarray(clean), self.overlay, strip)

    def merge(self, one, other):
        return one[0].astype(np.int64) + other[0], self._ufunc(one[1], other[1])

    def finish(self, partial, first, last):
        count, extreme = partial
        stored = extreme.copy()
        stored[too_few(count, self.overlay, first, self.rule.min_valid)] = self.rule.fill
        return (stored,)


@dataclass(frozen=True, slots=True)
class Ranked:
    """Area-weighted median, or the value that covers most of the cell (the smallest of equals)."""

    rule: Rule
    overlay: Overlay
    whole = True

    def partial(self, values, ok, strip):
        good = valid_pixels(values, ok, self.rule.nodata)
        shape = strip.last - strip.first, self.overlay.columns.size
        count = np.zeros(shape[0] * shape[1], np.int64)
        result = np.zeros(count.shape, np.float64 if self.rule.method == "median" else values.dtype)
        pick = _weighted_median if self.rule.method == "median" else _weighted_mode
        flat = np.ascontiguousarray(values).ravel()
        for part, index, weight in windows(self.overlay, strip, np.arange(count.size)):
            if good is not None:
                weight = weight * good.ravel()[index]
            count[part] = weight.sum(1)
            result[part] = pick(flat[index], weight)
        return count.reshape(shape), result.reshape(shape)

    def merge(self, one, other):
        raise AssertionError("a whole cell comes in one strip")

    def finish(self, partial, first, last):
        count, result = partial
        empty = too_few(count, self.overlay, first, self.rule.min_valid)
        moments = Moments(self.rule, self.overlay)
        return (moments._store(result.astype(np.float64) if self.rule.method == "median" else result, empty),)


def _weighted_median(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    order = np.argsort(values, axis=1, kind="stable")
    values, weight = np.take_along_axis(values, order, 1), np.take_along_axis(weight, order, 1)
    running = np.cumsum(weight, axis=1)
    twice, total = 2 * running, running[:, -1:]
    low = np.argmax(twice >= total, axis=1)
    high = np.argmax((twice > total) & (weight > 0), axis=1)
    low = np.where(total[:, 0] > 0, low, 0)
    rows = np.arange(len(values))
    return (values[rows, low].astype(np.float64) + values[rows, high].astype(np.float64)) / 2


def _weighted_mode(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    order = np.argsort(values, axis=1, kind="stable")
    values, weight = np.take_along_axis(values, order, 1), np.take_along_axis(weight, order, 1)
    last = np.ones(values.shape, bool)
    last[:, :-1] = values[:, 1:] != values[:, :-1]
    running = np.cumsum(weight, axis=1)
    before = np.maximum.accumulate(np.where(last, running, 0), axis=1)
    share = np.where(last, running, 0)
    share[:, 1:] -= np.where(last[:, 1:], before[:, :-1], 0)
    return values[np.arange(len(values)), np.argmax(share, axis=1)]


@dataclass(frozen=True, slots=True)
class Nearest:
    """The pixel nearest to the cell's centre, fill or not."""

    rule: Rule
    overlay: Overlay
    whole = True

    def partial(self, values, ok, strip):
        rows = self.overlay.rows.centre[strip.first : strip.last] - strip.start
        picked = np.ix_(rows, self.overlay.columns.centre)
        good = valid_pixels(values, ok, self.rule.nodata)
        return values[picked], None if good is None else good[picked]

    def merge(self, one, other):
        raise AssertionError("a whole cell comes in one strip")

    def finish(self, partial, first, last):
        values, good = partial
        stored = values.copy()
        if good is not None:
            stored[~good] = self.rule.fill
        return (stored,)
