"""Array kernels over the cells of an axis: exact sums, folds and windows.

A strip is a run of whole pixel rows, shape (rows, width). Every kernel first reduces its
rows, then its columns, so that a pixel is touched once and the second pass is small.
NumPy alone reaches 2 GB/s this way; ``np.add.reduceat`` with a cast is 15 times slower.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from landsat_downsample._grid import Cells, Overlay

#: Rows of a strip: enough to amortise a read, few enough to stay in a megabyte-sized cache.
STRIP_ROWS = 512

#: Below this many pixels per cell, adding strided slices beats a reduction over a short axis.
SHORT_BLOCK = 24

#: Pixels gathered at once by `windows`: bounds the memory of medians and mixed cells.
WINDOW_PIXELS = 1 << 21


@dataclass(frozen=True, slots=True)
class Strip:
    """Pixel rows ``start`` to ``stop`` that feed the cell rows ``first`` to ``last``."""

    first: int
    last: int
    start: int
    stop: int


def groups(rows: Cells, *, whole: bool = False, limit: int = STRIP_ROWS) -> Iterator[list[Strip]]:
    """Cut the rows into strips of at most `limit` pixel rows, in order.

    Each item lists the strips that complete some cell rows: one strip as a rule, several
    where a single cell is higher than `limit`; never several with ``whole=True``.
    """
    first = 0
    while first < rows.size:
        fitting = int(np.searchsorted(rows.stop[first:], rows.start[first] + limit, side="right"))
        last = first + max(fitting, 1)
        start, stop = int(rows.start[first]), int(rows.stop[last - 1])
        step = stop - start if whole or stop - start <= limit else limit
        yield [Strip(first, last, a, min(a + step, stop)) for a in range(start, stop, max(step, 1))] or [
            Strip(first, last, start, stop)
        ]
        first = last


def sum_rows(values: np.ndarray, rows: Cells, strip: Strip, dtype: type) -> np.ndarray:
    """Weighted sums of a strip's pixel rows into its cell rows: (cells, width)."""
    count = strip.last - strip.first
    height, width = values.shape
    if rows.block and height == count * rows.block:
        return values.reshape(count, rows.block, width).sum(1, dtype=dtype)
    out = np.empty((count, width), dtype)
    for k in range(count):
        cell = strip.first + k
        low, high = max(int(rows.start[cell]), strip.start), min(int(rows.stop[cell]), strip.stop)
        part = values[low - strip.start : max(high, low) - strip.start]
        total = part.sum(0, dtype=dtype)
        if rows.unit > 1:
            total *= dtype(rows.unit)
            if low == rows.start[cell] and high > low:
                total -= part[0].astype(dtype) * dtype(rows.unit - rows.head[cell])
            if high == rows.stop[cell] and rows.stop[cell] - rows.start[cell] > 1 and high > low:
                total -= part[-1].astype(dtype) * dtype(rows.unit - rows.tail[cell])
        out[k] = total
    return out


def sum_columns(sums: np.ndarray, columns: Cells, dtype: type) -> np.ndarray:
    """Weighted sums of row sums (k, width) into cells: (k, cells)."""
    if columns.block:
        return _sum_blocks(sums, columns, dtype)
    single = columns.stop - columns.start <= 1
    first = np.minimum(columns.start, columns.pixels - 1)
    last = np.maximum(columns.stop - 1, 0)
    if np.issubdtype(dtype, np.floating):  # differences of running sums would lose digits
        inner = _reduceat_sum(sums.astype(dtype), np.minimum(first + 1, last), last)
    else:
        running = np.zeros((len(sums), columns.pixels + 1), dtype)
        np.cumsum(sums, axis=1, dtype=dtype, out=running[:, 1:])
        inner = running[:, last] - running[:, np.minimum(first + 1, last)]
    total = inner * dtype(columns.unit)
    total += sums[:, first].astype(dtype) * np.where(columns.stop > columns.start, columns.head, 0).astype(dtype)
    total += np.where(single, dtype(0), sums[:, last].astype(dtype) * columns.tail.astype(dtype))
    return np.where(single, sums[:, first].astype(dtype) * np.where(columns.stop > columns.start, columns.head, 0).astype(dtype), total)


def _sum_blocks(sums: np.ndarray, columns: Cells, dtype: type) -> np.ndarray:
    block, full = columns.block, columns.pixels // columns.block
    out = np.empty((len(sums), columns.size), dtype)
    body = sums[:, : full * block]
    if block <= SHORT_BLOCK:
        np.copyto(out[:, :full], body[:, ::block])
        for k in range(1, block):
            out[:, :full] += body[:, k::block]
    else:
        body.reshape(len(sums), full, block).sum(2, dtype=dtype, out=out[:, :full])
    if full < columns.size:
        sums[:, full * block :].sum(1, dtype=dtype, out=out[:, full])
    return out


def _reduceat_sum(values: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    out = _reduceat(np.add, values, start, np.maximum(stop, start + 1))
    out[:, stop <= start] = 0
    return out


def _reduceat(ufunc: np.ufunc, values: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """``ufunc`` over ``values[:, start[i]:stop[i]]``; the ranges may overlap."""
    padded = np.concatenate([values, values[:, -1:]], axis=1)  # reduceat takes no index past the end
    return ufunc.reduceat(padded, np.stack([start, stop], axis=1).ravel(), axis=1)[:, ::2]


def fold(ufunc: np.ufunc, values: np.ndarray, overlay: Overlay, strip: Strip) -> np.ndarray:
    """``minimum``, ``maximum``, ``bitwise_and`` or ``bitwise_or`` over the pixels of each cell: (cells, cells).

    A pixel that a cell touches at all counts in full.
    """
    rows, columns, count = overlay.rows, overlay.columns, strip.last - strip.first
    height, width = values.shape
    if rows.block and height == count * rows.block:
        folded = ufunc.reduce(values.reshape(count, rows.block, width), axis=1)
    else:
        folded = np.empty((count, width), values.dtype)
        for k, cell in enumerate(range(strip.first, strip.last)):
            low, high = max(int(rows.start[cell]), strip.start), min(int(rows.stop[cell]), strip.stop)
            ufunc.reduce(values[low - strip.start : high - strip.start], axis=0, out=folded[k])
    block, full = columns.block, columns.pixels // columns.block if columns.block else 0
    if not full:
        return _reduceat(ufunc, folded, columns.start, columns.stop)
    out = np.empty((count, columns.size), values.dtype)
    body = folded[:, : full * block]
    if block <= SHORT_BLOCK:
        np.copyto(out[:, :full], body[:, ::block])
        for k in range(1, block):
            ufunc(out[:, :full], body[:, k::block], out=out[:, :full])
    else:
        ufunc.reduce(body.reshape(count, full, block), axis=2, out=out[:, :full])
    if full < columns.size:
        ufunc.reduce(folded[:, full * block :], axis=1, out=out[:, full])
    return out


def windows(overlay: Overlay, strip: Strip, cells: np.ndarray) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Where the pixels of some cells lie in a strip, and what they weigh, in bounded portions.

    Parameters
    ----------
    cells : ndarray of int
        Flat indices of cells within the strip's cell rows.

    Yields
    ------
    part : slice
        Which of `cells`.
    index : ndarray of int, shape (n, m)
        Flat pixel indices into the strip.
    weight : ndarray of int64, shape (n, m)
        Integer area weights; 0 where a cell has fewer than m pixels.
    """
    rows, columns = overlay.rows, overlay.columns
    high = int(min((rows.stop - rows.start)[strip.first : strip.last].max(), strip.stop - strip.start))
    wide = int((columns.stop - columns.start).max())
    portion = max(1, WINDOW_PIXELS // (high * wide))
    for begin in range(0, len(cells), portion):
        part = slice(begin, begin + portion)
        row, column = np.divmod(cells[part], columns.size)
        r, wr = _axis_window(rows, row + strip.first, high, (strip.start, strip.stop))
        c, wc = _axis_window(columns, column, wide, (0, columns.pixels))
        index = (r - strip.start)[:, :, None] * columns.pixels + c[:, None, :]
        weight = wr[:, :, None] * wc[:, None, :]
        yield part, index.reshape(len(row), -1), weight.reshape(len(row), -1)


def _axis_window(axis: Cells, cells: np.ndarray, length: int, limits: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    start = np.maximum(axis.start[cells], limits[0])[:, None]
    index = start + np.arange(length)
    weight = np.full(index.shape, axis.unit, np.int64)
    weight[index == axis.stop[cells][:, None] - 1] = 0
    weight += np.where(index == axis.stop[cells][:, None] - 1, axis.tail[cells][:, None], 0)
    weight = np.where(index == axis.start[cells][:, None], axis.head[cells][:, None], weight)
    outside = index >= np.minimum(axis.stop[cells], limits[1])[:, None]
    weight[outside] = 0
    return np.minimum(index, limits[1] - 1), weight


def divide_half_even(total: np.ndarray, count: np.ndarray, bound: int) -> np.ndarray:
    """Exact quotients of integers, rounded half to even, as float64 or int64; 0 where `count` is 0.

    Parameters
    ----------
    bound : int
        Largest value of ``abs(total) * 2`` possible. Below 2**52 the float64 quotient rounds to
        the same integer as the exact one: two quotients of such integers that differ, differ by
        more than the spacing of float64 there.
    """
    some = np.maximum(count, 1)
    if bound < 1 << 52:
        return np.rint(np.divide(total, some, dtype=np.float64))
    quotient, rest = np.divmod(total.astype(np.int64), some.astype(np.int64))
    twice = rest - (some.astype(np.int64) - rest)
    return quotient + ((twice > 0) | ((twice == 0) & (quotient & 1 == 1)))
