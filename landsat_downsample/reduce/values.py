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

from landsat_downsample.errors import UsageError
from landsat_downsample.model.cells import Overlay
from landsat_downsample.model.methods import METHODS
from landsat_downsample.model.plan import STRIP_ROWS
from landsat_downsample.reduce import native
from landsat_downsample.reduce.areas import Areas
from landsat_downsample.reduce.kernels import Strip, divide_half_even, fold, groups, sum_columns, sum_rows, windows
from landsat_downsample.reduce.rule import Rule, _holds

#: Reads pixel rows ``start`` to ``stop``: values (rows, width), and which of them count
#: (bool, same shape) or None where the values alone say so.
ReadRows = Callable[[int, int], tuple[np.ndarray, np.ndarray | None]]

#: Arrays of one strip: sums and counts of its cells, or the reduced values.
Parts = tuple[np.ndarray, ...]

#: Pixels of a cell beyond which values are counted before they are sorted.
MANY_PIXELS = 1 << 17


def read_strip(read: ReadRows, strip: Strip, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray | None]:
    """The pixels of a strip, which may have none: cells may lie beside an image."""
    return read(strip.start, strip.stop) if strip.start < strip.stop else (np.empty((0, 0), dtype), None)


class Reducer(Protocol):
    """Partial results of the cells of a strip, merged where strips cut a cell, finished for some cell rows."""

    @property
    def whole(self) -> bool:
        """Whether all pixels of a cell must come in one strip."""

    def partial(self, values: np.ndarray, ok: np.ndarray | None, strip: Strip) -> Any: ...
    def merge(self, one: Any, other: Any) -> Any: ...
    def finish(self, partial: Any, first: int, last: int) -> Parts: ...


def reduce_strips(
    reducer: Reducer, overlay: Overlay, read: ReadRows, limit: int = STRIP_ROWS
) -> Iterator[tuple[slice, Parts]]:
    """Stream an image through a reducer, in order, holding one strip at a time, of `limit` pixel rows at most.

    Yields
    ------
    rows : slice
        Cell rows that are finished.
    arrays : tuple of ndarray
        What the reducer gives for them, each of shape (rows, cells) or (bands, rows, cells).
    """
    for strips in groups(overlay.rows, whole=reducer.whole, limit=limit):
        merged = None
        for strip in strips:
            values, ok = read(strip.start, strip.stop)
            if not len(values):  # all of its cells lie beyond the image: a row that none of them holds
                values = np.zeros((1, values.shape[1]), values.dtype)
                ok = np.zeros(values.shape, bool)
            part = reducer.partial(values, ok, strip)
            merged = part if merged is None else reducer.merge(merged, part)
        first, last = strips[0].first, strips[0].last
        finished = reducer.finish(merged, first, last)
        del part, merged  # not beside those of the next strip
        yield slice(first, last), finished


def reducer_for(rule: Rule, overlay: Overlay | Areas) -> Reducer:
    """The reducer of a continuous or class band.

    Raises
    ------
    UsageError
        Unknown method.
    """
    if rule.method in ("mean", "sum", "std", "rms"):
        return Moments(rule, overlay)
    if rule.method == "count":
        return Count(rule, overlay)
    if rule.method == "circular":
        return Circular(rule, overlay)
    if rule.method in ("min", "max"):
        return Extreme(rule, overlay)
    if rule.method in ("median", "mode"):
        return Ranked(rule, overlay)
    if rule.method == "nearest":
        return Nearest(rule, overlay)
    raise UsageError(f"method {rule.method!r} is unknown: choose one of {', '.join(METHODS)}")


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


def least_area(extent: np.ndarray, share: Fraction) -> np.ndarray:
    """Least area weight of valid pixels that cells need to hold data, of those that they have in all: int64."""
    most = int(extent.max(initial=0))
    wide = np.int64 if share.numerator * most < 1 << 62 else object  # a share such as 1/3 is a long fraction
    need: np.ndarray = np.maximum(-(-share.numerator * extent.astype(wide) // share.denominator), 1).astype(np.int64)
    return need


def too_few(count: np.ndarray, overlay: Overlay | Areas, first: int, min_valid: Fraction) -> np.ndarray:
    """Cells without a valid pixel, or with fewer than the share asked for."""
    if min_valid > 0:
        return count < least_area(overlay.extent(first, first + len(count)), min_valid)
    return count == 0


def cell_sums(values: np.ndarray, overlay: Overlay | Areas, strip: Strip, magnitude: int) -> np.ndarray:
    """Weighted sums of the pixels of a strip, exact for integers whose absolute values are at most `magnitude`."""
    if isinstance(overlay, Areas):
        return overlay.sum(values, strip)
    rows, columns = overlay.rows, overlay.columns
    if values.dtype.kind == "f":
        return sum_columns(sum_rows(values, rows, strip, np.float64), columns, np.float64)
    signed = values.dtype.kind == "i"
    row_type, cell_type = (_lane(magnitude * area, signed) for area in (rows.longest, overlay.largest))
    return sum_columns(sum_rows(values, rows, strip, row_type), columns, cell_type)


@dataclass(frozen=True, slots=True)
class CellValues:
    """What reducers of values share: cells are summed where strips cut them, and finished from a weight and a value."""

    rule: Rule
    overlay: Overlay | Areas
    whole = False

    def merge(self, one: Parts, other: Parts) -> Parts:
        """Join what two strips gave of the same cells."""
        assert not self.whole, "a whole cell comes in one strip"
        return tuple(np.add(a, b, dtype=_wide(a.dtype)) for a, b in zip(one, other, strict=True))

    def finish(self, partial: Parts, first: int, last: int) -> Parts:
        """Store the value of each cell, or fill where too few of its pixels count."""
        count, result = partial
        return (self._store(result, too_few(count, self.overlay, first, self.rule.min_valid)),)

    def _store(
        self, result: np.ndarray, empty: np.ndarray, above: tuple[np.ndarray, np.ndarray] | None = None
    ) -> np.ndarray:
        """Values as the band stores them, with fill in empty cells; `above` as of `place_fill`."""
        rule = self.rule
        if rule.scaling:
            return self._physical(result, empty)
        if rule.dtype.kind != "f" and result.dtype.kind == "f":
            result = np.rint(result)
        stored = np.where(empty, result.dtype.type(0), result).astype(rule.dtype)
        place_fill(stored, empty, rule, above=above)
        return stored

    def _physical(self, result: np.ndarray, empty: np.ndarray) -> np.ndarray:
        """Results in stored units as physical values: computed in float64, rounded once; NaN in empty cells."""
        scale, offset = self.rule.scaling or (1.0, 0.0)
        return np.where(empty, np.nan, result.astype(np.float64) * scale + offset).astype(self.rule.stored)

    def _count(self, good: np.ndarray | None, strip: Strip) -> np.ndarray:
        """Area weight of the pixels of each cell that count."""
        if good is not None:
            return cell_sums(good.view(np.uint8), self.overlay, strip, 1)
        if isinstance(self.overlay, Areas):
            return self.overlay.weights(strip)
        rows = self.overlay.rows
        if strip.start <= rows.start[strip.first] and strip.stop >= rows.stop[strip.last - 1]:
            return self.overlay.area(strip.first, strip.last)
        ones = np.ones((strip.stop - strip.start, 1), np.uint8)
        return sum_rows(ones, rows, strip, np.int64) * self.overlay.columns.extent


class Moments(CellValues):
    """Mean, sum, standard deviation and root mean square from exact sums."""

    def partial(self, values: np.ndarray, ok: np.ndarray | None, strip: Strip) -> Parts:
        if self.rule.method in ("mean", "sum"):
            if isinstance(self.overlay, Areas):
                made = self.overlay.valid_sums(values, ok, self.rule.nodata, strip)
            else:
                made = native.cell_sums(values, ok, self.rule.nodata, self.overlay, strip)
            if made is not None:
                return made
        good = valid_pixels(values, ok, self.rule.nodata)
        zero_fill = ok is None and self.rule.nodata == 0 and values.dtype.kind != "f"
        clean = values if good is None or zero_fill else np.where(good, values, values.dtype.type(0))
        sums = [self._count(good, strip), self._total(clean, strip)]
        if self.rule.method in ("std", "rms"):
            if clean.dtype.itemsize == 8:
                clean = clean.astype(np.float64)  # no integer type holds the squares
            largest = self.rule.largest
            sums.append(self._total(_square(clean), strip, None if largest is None else largest**2))
        return tuple(sums)

    def finish(self, partial: Parts, first: int, last: int) -> Parts:
        count, total, *squares = partial
        rule = self.rule
        if rule.method == "mean" and not rule.min_valid:  # the division shows which are empty
            return (self._mean(count, total),)
        empty = too_few(count, self.overlay, first, rule.min_valid)
        if rule.method == "mean":
            return (self._mean(np.where(empty, 0, count), total),)
        scale, offset = rule.scaling or (1.0, 0.0)
        if rule.method == "sum":
            result = (total.astype(np.float64) * scale + count * offset) / self.overlay.unit
        elif rule.method == "rms" and rule.scaling:
            # As the physical mean and the deviation make it: the squares of both terms would nearly cancel.
            mean = total / np.maximum(count, 1) * scale + offset
            result = np.hypot(mean, scale * np.sqrt(self._variance(count, total, squares[0])))
        elif rule.method == "rms":
            with np.errstate(invalid="ignore", divide="ignore"):
                result = np.sqrt(squares[0].astype(np.float64) / count)
            if rule.dtype.kind != "f":  # |-2**31| is no int32
                result = np.minimum(result, np.iinfo(rule.dtype).max)
            return (self._store(result, empty),)
        else:
            result = scale * np.sqrt(self._variance(count, total, squares[0]))
        result[empty] = np.nan
        return (result.astype(rule.stored),)

    def _variance(self, count: np.ndarray, total: np.ndarray, squares: np.ndarray) -> np.ndarray:
        largest = 1 if self.rule.dtype.kind == "f" else self.rule.largest or _magnitude(self.rule.dtype)
        return _variance(count, total, squares, (self.overlay.largest * largest) ** 2)

    def _total(self, clean: np.ndarray, strip: Strip, largest: int | None = None) -> np.ndarray:
        if clean.dtype.kind == "f":
            return cell_sums(clean, self.overlay, strip, 0)
        magnitude = largest or _magnitude(clean.dtype)
        if magnitude * self.overlay.largest < 1 << 63:
            clean = clean.view(np.int64) if clean.dtype == np.uint64 else clean  # as no value reaches the last bit
            return cell_sums(clean, self.overlay, strip, magnitude)
        # Sums that int64 cannot hold, from sums of 16-bit digits: exact, in Python's integers.
        total = np.zeros((), object)
        for shift in range(0, 8 * clean.dtype.itemsize, 16):
            digit = clean >> clean.dtype.type(shift)  # the last one keeps the sign
            last = shift + 16 >= 8 * clean.dtype.itemsize
            digit = digit if last else digit & clean.dtype.type(0xFFFF)
            total = total + (cell_sums(digit, self.overlay, strip, 1 << 16).astype(object) << shift)
        return total

    def _mean(self, count: np.ndarray, total: np.ndarray) -> np.ndarray:
        """Means of the cells whose count is not 0; the others are empty."""
        if self.rule.scaling:
            return self._physical(total / np.maximum(count, 1), count == 0)
        if total.dtype.kind == "f":
            with np.errstate(invalid="ignore", divide="ignore"):
                return self._store(total / count, count == 0)
        bound = 2 * self.overlay.largest * _magnitude(self.rule.dtype)
        stored = native.means(count, total, self.rule) if bound < 1 << 52 else None
        if stored is not None:
            return stored
        return self._store(divide_half_even(total, count, bound), count == 0, (total, count))


def place_fill(
    stored: np.ndarray, empty: np.ndarray, rule: Rule, *, above: tuple[np.ndarray, np.ndarray] | None = None
) -> None:
    """Give empty cells the fill value, and move valid ones that hold it one step off it, in place.

    Parameters
    ----------
    above : (ndarray, ndarray), optional
        Sums and counts: the step goes to the side of the exact mean; upwards without them.
    """
    stored[empty] = rule.fill
    if rule.fill_is_legal or np.isnan(rule.fill) or not _holds(rule.dtype, rule.fill):
        return
    hit = np.flatnonzero((stored == rule.fill) & ~empty)
    if not len(hit):
        return
    if rule.dtype.kind == "f":
        stored.flat[hit] = np.nextafter(rule.dtype.type(rule.fill), rule.dtype.type(np.inf))
        return
    fill, limits = int(rule.fill), np.iinfo(rule.dtype)
    up = np.ones(len(hit), bool)
    if above is not None:
        total, count = (part.flat[hit].astype(object) for part in above)
        up = (total >= fill * count).astype(bool)
    up = (up | (fill == limits.min)) & (fill != limits.max)
    stored.flat[hit] = np.where(up, min(fill + 1, limits.max), max(fill - 1, limits.min)).astype(rule.dtype)


def _variance(count: np.ndarray, total: np.ndarray, squares: np.ndarray, bound: int) -> np.ndarray:
    """Population variance; in int64 where the exact numerator fits, else in Python's integers."""
    n = np.maximum(count, 1)
    if squares.dtype.kind == "f":
        return np.maximum(squares / n - np.square(total.astype(np.float64) / n), 0)
    spread = native.spreads(count, total, squares)
    if spread is None:
        wide = np.int64 if bound < 1 << 62 else object
        whole, total, squares = n.astype(wide), total.astype(wide), squares.astype(wide)
        spread = (whole * squares - total * total).astype(np.float64)
    return spread / np.square(n.astype(np.float64))


def _square(values: np.ndarray) -> np.ndarray:
    """Squares in the smallest type that holds them all; a negative number wraps, its square does not."""
    if values.dtype.kind == "f":
        return np.square(values, dtype=np.float64)
    wide = {1: np.uint16, 2: np.uint32}.get(values.dtype.itemsize, np.uint64)
    return np.square(values, dtype=wide, casting="unsafe")


def _wide(dtype: np.dtype) -> type:
    """The type that sums of a type are merged in."""
    return {"f": np.float64, "O": object}.get(dtype.kind, np.int64)


def _magnitude(dtype: np.dtype) -> int:
    """Largest absolute value of an integer type."""
    limits = np.iinfo(dtype)
    return max(int(limits.max), -int(limits.min))


def _lane(bound: int, signed: bool) -> type:
    """Smallest fast accumulator of sums up to a bound: half the memory traffic."""
    if not signed and bound < 1 << 32:
        return np.uint32
    return np.int32 if bound < 1 << 31 else np.int64


class Circular(CellValues):
    """Mean direction: angle of the mean unit vector (Fisher 1993, Statistical Analysis of Circular Data, 2.3.1).

    Sines and cosines are rounded to 24 bits, so that their sums are integers and exact; the
    mean direction is then right to 1e-7 radian, far below the 0.01 degree that is stored.
    """

    def partial(self, values: np.ndarray, ok: np.ndarray | None, strip: Strip) -> Parts:
        good = valid_pixels(values, ok, self.rule.nodata)
        parts = [self._count(good, strip)]
        for wave in (np.sin, np.cos):
            whole = self._wave(wave, values)
            if good is not None:
                whole = np.where(good, whole, np.int32(0))
            parts.append(cell_sums(whole, self.overlay, strip, 1 << 24))
        return tuple(parts)

    def _wave(self, wave: np.ufunc, values: np.ndarray) -> np.ndarray:
        """Sines or cosines as int32: looked up where the stored type is small, else computed."""
        if values.dtype.kind in "ui" and values.dtype.itemsize <= 2:
            unsigned = np.dtype(f"u{values.dtype.itemsize}")
            every = np.arange(1 << 8 * unsigned.itemsize).astype(unsigned).view(values.dtype)
            return self._whole(wave, every)[values.view(unsigned)]
        return self._whole(wave, values)

    def _whole(self, wave: np.ufunc, values: np.ndarray) -> np.ndarray:
        angle = np.deg2rad(np.nan_to_num(values.astype(np.float64)) * self.rule.degrees)
        bits = min(24, 62 - self.overlay.largest.bit_length())
        return np.rint(wave(angle) * (1 << bits)).astype(np.int32)

    def finish(self, partial: Parts, first: int, last: int) -> Parts:
        count, sine, cosine = partial
        angle = np.rad2deg(np.arctan2(sine, cosine)) / self.rule.degrees
        if self.rule.dtype.kind == "u" or self.rule.positive:  # 0 up to, not including, 360 degrees
            whole = angle if self.rule.scaling or self.rule.dtype.kind == "f" else np.rint(angle)
            angle = np.mod(whole, round(360 / self.rule.degrees))
        return super().finish((count, angle), first, last)


class Extreme(CellValues):
    """Smallest or largest valid value of the pixels that a cell touches."""

    @property
    def _ufunc(self) -> np.ufunc:
        return np.minimum if self.rule.method == "min" else np.maximum

    def partial(self, values: np.ndarray, ok: np.ndarray | None, strip: Strip) -> Parts:
        good = valid_pixels(values, ok, self.rule.nodata)
        least, most = -np.inf, np.inf
        if values.dtype.kind != "f":
            least, most = np.iinfo(values.dtype).min, np.iinfo(values.dtype).max
        worst = most if self.rule.method == "min" else least
        clean = values if good is None else np.where(good, values, values.dtype.type(worst))
        clean = np.ascontiguousarray(clean)
        if isinstance(self.overlay, Areas):
            return self._count(good, strip), self.overlay.fold(self._ufunc, clean, strip)
        return self._count(good, strip), fold(self._ufunc, clean, self.overlay, strip)

    def merge(self, one: Parts, other: Parts) -> Parts:
        return one[0].astype(np.int64) + other[0], self._ufunc(one[1], other[1])


class Ranked(CellValues):
    """Area-weighted median, or the value that covers most of the cell (the smallest of equals)."""

    whole = True

    def partial(self, values: np.ndarray, ok: np.ndarray | None, strip: Strip) -> Parts:
        assert isinstance(self.overlay, Overlay)
        good = valid_pixels(values, ok, self.rule.nodata)
        low, high = (fold(ufunc, values, self.overlay, strip) for ufunc in (np.minimum, np.maximum))
        result = low.astype(np.float64 if self.rule.method == "median" else values.dtype, copy=False)
        pick = _weighted_median if self.rule.method == "median" else _weighted_mode
        mixed = np.flatnonzero(low != high)  # the others hold one value
        for part, window in windows(self.overlay, strip, mixed):
            pixels = window.gather(values)
            weight = None if good is None else window.gather(good)
            if window.weight is not None:
                weight = window.weight if weight is None else window.weight * weight
            if pixels.shape[1] > MANY_PIXELS and values.dtype.kind in "ui" and values.dtype.itemsize <= 2:
                pixels, weight = _tallied(pixels, weight)
            weight = np.ones(pixels.shape, np.int64) if weight is None else weight.astype(np.int64, copy=False)
            result.flat[mixed[part]] = pick(pixels, weight)
        return self._count(good, strip), result


def _tallied(pixels: np.ndarray, weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Every value of a small integer type, and the weight of each in each cell: less to sort than the pixels."""
    limits = np.iinfo(pixels.dtype)
    every = np.arange(limits.min, limits.max + 1)
    counts = np.zeros((len(pixels), len(every)), np.int64)
    for cell, line in enumerate(pixels):
        for start in range(0, len(line), MANY_PIXELS):  # in portions: bincount makes 8 bytes of each pixel
            part = slice(start, start + MANY_PIXELS)
            weights = None if weight is None else weight[cell, part]
            counts[cell] += np.bincount(line[part].astype(np.int64) - limits.min, weights, len(every)).astype(np.int64)
    return np.broadcast_to(every.astype(pixels.dtype), counts.shape), counts


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


class Count(CellValues):
    """Area of the valid pixels, in source pixels; it says how many there are also where they are too few."""

    def partial(self, values: np.ndarray, ok: np.ndarray | None, strip: Strip) -> Parts:
        return (self._count(valid_pixels(values, ok, self.rule.nodata), strip),)

    def finish(self, partial: Parts, first: int, last: int) -> Parts:
        return (partial[0] / self.overlay.unit,)


class Nearest(CellValues):
    """The pixel nearest to the cell's centre, fill or not; of cells beyond the image fill."""

    whole = True

    def partial(self, values: np.ndarray, ok: np.ndarray | None, strip: Strip) -> Parts:
        assert isinstance(self.overlay, Overlay)
        rows, columns = self.overlay.rows.part(strip.first, strip.last), self.overlay.columns
        inside = np.multiply.outer(rows.stop > rows.start, columns.stop > columns.start)
        picked = np.ix_(np.clip(rows.centre - strip.start, 0, len(values) - 1), columns.centre)
        good = valid_pixels(values, ok, self.rule.nodata)
        if good is None and inside.all():
            return (values[picked],)
        return values[picked], inside if good is None else good[picked] & inside

    def finish(self, partial: Parts, first: int, last: int) -> Parts:
        values, *known = partial
        if not known and not self.rule.scaling:
            return (values,)
        return (self._store(values, ~known[0] if known else np.zeros(values.shape, bool)),)
