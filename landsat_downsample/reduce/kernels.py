"""Array kernels over the cells of an axis: exact sums, folds and windows.

A strip is a run of whole pixel rows, shape (rows, width). Every kernel first reduces its
rows, then its columns, so that a pixel is touched once and the second pass is small.
NumPy alone reaches 2 GB/s this way; ``np.add.reduceat`` with a cast is 15 times slower.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from landsat_downsample.model.cells import Cells, Overlay
from landsat_downsample.model.plan import STRIP_ROWS

#: Cell rows of a strip: at small factors the sums of its cells are larger than its pixels.
STRIP_CELLS = 128

#: Below this many pixels per cell, adding strided slices beats a reduction over a short axis.
SHORT_BLOCK = 24

#: Pixels gathered at once by `windows`: what medians make of them takes 50 bytes each, and is to stay in the cache.
WINDOW_PIXELS = 1 << 18


@dataclass(frozen=True, slots=True)
class Strip:
    """Pixel rows ``start`` to ``stop`` that feed the cell rows ``first`` to ``last``."""

    first: int
    last: int
    start: int
    stop: int


def shared_rows(rows: Cells, strip: Strip) -> int:
    """Pixel rows of a strip that the strip before it has too: cells that are no whole blocks share them."""
    before = int(rows.stop[strip.first - 1]) if strip.first else 0
    return max(0, before - strip.start)


def groups(rows: Cells, *, whole: bool = False, limit: int = STRIP_ROWS) -> Iterator[list[Strip]]:
    """Cut the rows into strips of at most `limit` pixel rows and `STRIP_CELLS` cell rows, in order.

    Each item lists the strips that complete some cell rows: one strip as a rule, several
    where a single cell is higher than `limit`; never several with ``whole=True``.
    """
    first = 0
    while first < rows.size:
        fitting = int(np.searchsorted(rows.stop[first:], rows.start[first] + limit, side="right"))
        last = first + min(max(fitting, 1), STRIP_CELLS)
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
    out: np.ndarray = np.empty((count, width), dtype)
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
        running: np.ndarray = np.zeros((len(sums), columns.pixels + 1), dtype)
        np.cumsum(sums, axis=1, dtype=dtype, out=running[:, 1:])
        inner = running[:, last] - running[:, np.minimum(first + 1, last)]
    head: np.ndarray = np.where(columns.stop > columns.start, columns.head, 0).astype(dtype)
    ends = sums[:, first].astype(dtype) * head
    total = inner * dtype(columns.unit) + ends + sums[:, last].astype(dtype) * columns.tail.astype(dtype)
    return np.where(single, ends, total)


def _sum_blocks(sums: np.ndarray, columns: Cells, dtype: type) -> np.ndarray:
    block, full = columns.block, columns.pixels // columns.block
    out: np.ndarray = np.empty((len(sums), columns.size), dtype)
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
            if high > low:
                ufunc.reduce(values[low - strip.start : high - strip.start], axis=0, out=folded[k])
            else:
                folded[k] = 0  # a cell without pixels: it is empty whatever this says
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


@dataclass(frozen=True, slots=True)
class Windows:
    """The pixels of some cells in a strip, gathered cell by cell."""

    rows: np.ndarray
    """Pixel rows of each cell, within the strip: (cells, high, 1); or the cell row of whole blocks: (cells,)."""
    columns: np.ndarray
    """Pixel columns of each cell: (cells, 1, wide); or the cell column of whole blocks: (cells,)."""
    weight: np.ndarray | None
    """Integer area weights, int64 (cells, pixels); 0 on padding; None where every pixel weighs 1."""
    block: int = 0
    """Pixels per side of whole blocks; 0 where rows and columns are listed."""

    def gather(self, values: np.ndarray) -> np.ndarray:
        """Pixels of a strip by cell: (cells, pixels)."""
        if not self.block:
            return values[self.rows, self.columns].reshape(len(self.rows), -1)
        block, (high, wide) = self.block, (n // self.block for n in values.shape)
        tiles = values[: high * block, : wide * block].reshape(high, block, wide, block).transpose(0, 2, 1, 3)
        return tiles[self.rows, self.columns].reshape(len(self.rows), -1)


def windows(
    overlay: Overlay, strip: Strip, cells: np.ndarray, *, limit: int = 0
) -> Iterator[tuple[np.ndarray, Windows]]:
    """Where the pixels of some cells lie in a strip, and what they weigh, in bounded portions.

    Parameters
    ----------
    cells : ndarray of int
        Flat indices of cells within the strip's cell rows.
    limit : int
        Most cells in a portion; 0 for as many as `WINDOW_PIXELS` holds.

    Yields
    ------
    part : ndarray of int
        Which of `cells`.
    windows : Windows
    """
    high, wide = _largest(overlay, strip)
    portion = max(1, min(WINDOW_PIXELS // max(high * wide, 1), limit or WINDOW_PIXELS))
    whole = _whole_blocks(overlay, strip, cells)
    for chosen in (np.flatnonzero(whole), np.flatnonzero(~whole)):
        for begin in range(0, len(chosen), portion):
            part = chosen[begin : begin + portion]
            row, column = np.divmod(cells[part], overlay.columns.size)
            if whole[part[0]]:
                yield part, Windows(row, column, None, overlay.rows.block)
            else:
                yield part, _listed(overlay, strip, (row, column), (high, wide))


def _largest(overlay: Overlay, strip: Strip) -> tuple[int, int]:
    """Most pixels (rows, columns) of a cell in a strip."""
    rows, columns = overlay.rows, overlay.columns
    high = int((rows.stop - rows.start)[strip.first : strip.last].max())
    return min(high, strip.stop - strip.start), int((columns.stop - columns.start).max())


def _whole_blocks(overlay: Overlay, strip: Strip, cells: np.ndarray) -> np.ndarray:
    """Which cells are whole, square blocks, from the strip's first row on."""
    rows, columns = overlay.rows, overlay.columns
    block = rows.block
    if not block or block != columns.block or strip.start != rows.start[strip.first]:
        return np.zeros(len(cells), bool)
    row, column = np.divmod(cells, columns.size)
    return (row < (strip.stop - strip.start) // block) & (column < columns.pixels // block)


def _listed(overlay: Overlay, strip: Strip, cells: tuple[Any, ...], size: tuple[int, int]) -> Windows:
    r, wr = _axis_window(overlay.rows, cells[0] + strip.first, size[0], (strip.start, strip.stop))
    c, wc = _axis_window(overlay.columns, cells[1], size[1], (0, overlay.columns.pixels))
    plain = (wr == 1).all() and (wc == 1).all()
    weight = None if plain else (wr[:, :, None] * wc[:, None, :]).reshape(len(wr), -1)
    return Windows((r - strip.start)[:, :, None], c[:, None, :], weight)


def _axis_window(axis: Cells, cells: np.ndarray, length: int, limits: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    start, stop = axis.start[cells][:, None], axis.stop[cells][:, None]
    index = np.maximum(start, limits[0]) + np.arange(length)
    weight = np.where(index == stop - 1, axis.tail[cells][:, None], np.int64(axis.unit))
    weight = np.where(index == start, axis.head[cells][:, None], weight)
    weight[index >= np.minimum(stop, limits[1])] = 0
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
    wide = object if total.dtype == object else np.int64
    total, some = total.astype(wide), some.astype(wide)
    quotient = total // some
    rest = total - quotient * some
    twice = rest - (some - rest)
    return quotient + ((twice > 0) | ((twice == 0) & (quotient % 2 == 1)))
