"""The shares of pixels among cells in a tenth of the memory, made and read in C."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from landsat_downsample.model.ties import Ties
from landsat_downsample.reduce.area_shares import Shares, Window
from landsat_downsample.reduce.native import BEYOND, _native, number_of, pixel_facts

#: Weights and sums, and squares, least and greatest values where they are asked for: (cells,) each.
Moments = tuple[np.ndarray, ...]


@dataclass(frozen=True, slots=True, eq=False)
class PackedShares:
    """What `area_shares.Shares` holds, as `_areas.c` packs it."""

    words: bytes
    begins: bytes
    """Where the words of each tile begin and the last ones end, int64."""
    shape: tuple[int, int]
    """(rows, columns) of the pixels."""
    cells: int
    wide: int
    """Cells of a row."""

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return len(self.words) + len(self.begins)

    @property
    def _facts(self) -> tuple[bytes, bytes, int, int, int, int]:
        return (self.words, self.begins, *self.shape, self.cells, self.wide)

    def listed(self) -> Shares:
        """Return them as arrays, in the order of their pixels."""
        runs, parts = _native.count_shares(*self._facts)
        arrays = [np.empty(n, np.int64) for n in (runs, runs, runs, parts, parts, parts)]
        _native.list_shares(*self._facts, *arrays)
        orders = np.argsort(arrays[0], kind="stable"), np.argsort(arrays[3], kind="stable")
        return Shares(*(array[orders[k // 3]] for k, array in enumerate(arrays)))

    def sums(self, values: np.ndarray, ok: np.ndarray | None, nodata: float | None) -> Moments:
        """Weights and weighted sums of the valid ones of 16-bit pixels: int64 (cells,), twice."""
        ok = None if ok is None else np.ascontiguousarray(ok, bool)
        return self._add_up(lambda *to: _native.sum_shares(*self._facts, values, ok, *to), values.dtype, nodata, 0)

    def moments(self, values: np.ndarray, ok: np.ndarray | None, nodata: float | None) -> Moments:
        """As of `sums`, with those of squares, and the least and greatest of the valid pixels that a cell touches."""
        ok = None if ok is None else np.ascontiguousarray(ok, bool)
        return self._add_up(lambda *to: _native.sum_shares(*self._facts, values, ok, *to), values.dtype, nodata, 3)

    def whole(self, values: np.ndarray, ok: np.ndarray | None, nodata: float | None, *, moments: bool) -> Moments:
        """As of `sums` or `moments`, of int32; squares are Python's integers where int64 does not hold them."""
        made = [np.zeros(self.cells, np.int64) for _ in range(4 if moments else 2)]
        limits = np.iinfo(np.int32)
        ends = [np.full(self.cells, end, np.int32) for end in (limits.max, limits.min)] if moments else []
        ok = None if ok is None else np.ascontiguousarray(ok, bool)
        none = number_of(nodata, values.dtype, BEYOND)
        _native.sum_whole_shares(*self._facts, np.ascontiguousarray(values), ok, none, *made, *ends)
        total, count, *halves = made
        if not moments:
            return count, total
        lower, upper = halves if int(halves[1].max(initial=0)) < 1 << 30 else (half.astype(object) for half in halves)
        return count, total, (upper << 32) + lower, *ends

    def decoded(self, decode: Callable[..., None], dtype: np.dtype, nodata: float | None, *, moments: bool) -> Moments:
        """As of `sums` or `moments`, of tiles in a file: `decode` is `_native.decode_shares` with where they are."""
        words, begins, _, _, cells, wide = self._facts

        def add(flip: int, missing: int, *to: np.ndarray) -> None:
            decode(flip, missing, words, begins, cells, wide, *to)

        return self._add_up(add, dtype, nodata, 3 if moments else 0)

    def _add_up(self, add: Callable[..., None], dtype: np.dtype, nodata: float | None, more: int) -> Moments:
        """What a function of C adds up of pixels as ascending numbers, as sums of what they are."""
        flip, missing = pixel_facts(dtype, nodata)
        count, total, *squares = np.zeros((3 if more else 2, self.cells), np.int64)
        ends = [np.full(self.cells, (1 << 16) - 1, np.uint16), np.zeros(self.cells, np.uint16)] if more else []
        add(flip, missing, total, count, *squares, *ends)
        total -= flip * count
        if not flip:  # squares are of pixels less 1 << 15
            squares = [part + (total << 16) - (count << 30) for part in squares]
        return count, total, *squares, *(end ^ np.uint16(flip) for end in ends)

    def pairs(self, codes: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Cell, code and weight of all that cells have of 16-bit codes, ascending by cell, then by code.

        Adds the pixels of each code to `counts`, int64 (65536,).
        """
        made = _native.pair_shares(*self._facts, codes, counts)
        cell, code, weight = (np.frombuffer(part, dtype) for part, dtype in zip(made, "qHq", strict=True))
        return cell, code, weight


def share_areas(ties: Ties, pixels: Window, window: Window) -> PackedShares | None:
    """Share out the pixels of some rows and columns as `area_shares.shares_of_pixels` does; None without the extension.

    Columns begin at a tie point.
    """
    high, wide = window[1] - window[0], window[3] - window[2]
    if _native is None or high * wide >= 1 << 31 or pixels[0] == pixels[1]:
        return None
    made = _native.share_areas(ties.down, ties.right, ties.down.shape[1], ties.step, ties.bits, pixels, window)
    return PackedShares(*made, (pixels[1] - pixels[0], pixels[3] - pixels[2]), high * wide, wide)
