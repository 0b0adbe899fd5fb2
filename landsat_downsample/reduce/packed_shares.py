"""The shares of pixels among cells in a tenth of the memory, made and read in C."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from landsat_downsample.model.ties import Ties
from landsat_downsample.reduce.area_shares import Shares, Window
from landsat_downsample.reduce.native import _native, pixel_facts


@dataclass(frozen=True, slots=True, eq=False)
class PackedShares:
    """What `area_shares.Shares` holds, as `_areas.c` packs it."""

    words: bytes
    pixels: int
    cells: int
    wide: int
    """Cells of a row."""

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return len(self.words)

    def listed(self) -> Shares:
        """Return them as arrays."""
        facts = self.words, self.pixels, self.cells, self.wide
        runs, parts = _native.count_shares(*facts)
        arrays = [np.empty(n, np.int64) for n in (runs, runs, runs, parts, parts, parts)]
        _native.list_shares(*facts, *arrays)
        return Shares(*arrays)

    def sums(self, values: np.ndarray, ok: np.ndarray | None, nodata: float | None) -> tuple[np.ndarray, np.ndarray]:
        """Weights and weighted sums of the valid ones of 16-bit pixels: int64 (cells,), twice."""
        count, total = np.zeros((2, self.cells), np.int64)
        ok = None if ok is None else np.ascontiguousarray(ok, bool)
        flip, missing = pixel_facts(values.dtype, nodata)
        _native.sum_shares(self.words, values, ok, flip, missing, self.wide, total, count)
        total -= flip * count
        return count, total

    def moments(self, values: np.ndarray, ok: np.ndarray | None, nodata: float | None) -> tuple[np.ndarray, ...]:
        """As of `sums`, with those of squares, and the least and greatest of the valid pixels that a cell touches."""
        flip, missing = pixel_facts(values.dtype, nodata)
        count, total, squares = np.zeros((3, self.cells), np.int64)
        least, most = np.full(self.cells, (1 << 16) - 1, np.uint16), np.zeros(self.cells, np.uint16)
        ok = None if ok is None else np.ascontiguousarray(ok, bool)
        ends = least, most
        _native.sum_shares(self.words, values, ok, flip, missing, self.wide, total, count, squares, *ends)
        total -= flip * count
        squares -= 2 * flip * total + flip * flip * count
        return count, total, squares, *(end ^ np.uint16(flip) for end in ends)

    def pairs(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Cell, code and weight of all that cells have of 16-bit codes, ascending by cell, then by code."""
        made = _native.pair_shares(self.words, codes, self.cells, self.wide)
        cell, code, weight = (np.frombuffer(part, dtype) for part, dtype in zip(made, "qHq", strict=True))
        return cell, code, weight


def share_areas(ties: Ties, pixels: Window, window: Window) -> PackedShares | None:
    """Share out the pixels of some rows and columns as `area_shares.shares_of_pixels` does; None without the extension.

    Columns begin at a tie point.
    """
    high, wide = window[1] - window[0], window[3] - window[2]
    if _native is None or high * wide >= 1 << 31 or pixels[0] == pixels[1]:
        return None
    words = _native.share_areas(ties.down, ties.right, ties.down.shape[1], ties.bits + 10, pixels, window)
    count = (pixels[1] - pixels[0]) * (pixels[3] - pixels[2])
    return PackedShares(words, count, high * wide, wide)
