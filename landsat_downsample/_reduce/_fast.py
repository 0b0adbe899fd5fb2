"""The kernels of 16-bit bands in C, where the extension was built; the same numbers as NumPy gives.

Each function returns None where it does not apply: no extension, another type, cells too large
for its counters. The caller then takes the plain path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from landsat_downsample._grid import Cells, Overlay
from landsat_downsample._reduce._kernels import Strip

if TYPE_CHECKING:
    from landsat_downsample._reduce import Rule

try:
    from landsat_downsample._reduce import _fused
except ImportError:  # built without a compiler
    _fused = None

#: Codes of 16 bits.
_CODES = 1 << 16


def available() -> bool:
    """Whether the extension was built."""
    return _fused is not None


def cell_sums(
    values: np.ndarray, ok: np.ndarray | None, nodata: float | None, overlay: Overlay, strip: Strip
) -> tuple[np.ndarray, np.ndarray] | None:
    """Weights and weighted sums of the valid pixels of each cell of a strip: int64 (cells, cells), twice.

    Parameters
    ----------
    ok : ndarray of bool, or None
        Which pixels count besides those that differ from `nodata`.
    """
    wide = _sixteen(values)
    # Sums of the pixel rows of a cell are 32 bits wide.
    if wide is None or int(overlay.rows.extent.max()) * (_CODES - 1) >= 1 << 32:
        return None
    if nodata is not None:
        limits = np.iinfo(values.dtype)
        held = float(nodata).is_integer() and limits.min <= nodata <= limits.max
        nodata = int(nodata) % _CODES if held else None
    shape = strip.last - strip.first, overlay.columns.size
    total, count = np.empty(shape, np.int64), np.empty(shape, np.int64)
    flip = _CODES // 2 if values.dtype.kind == "i" else 0
    ok = None if ok is None else np.ascontiguousarray(ok, bool)
    missing = -1 if nodata is None else nodata
    _fused.sums(wide, ok, wide.shape[1], flip, missing, *_axes(overlay, strip), total, count)
    return count, total


def means(count: np.ndarray, total: np.ndarray, empty: np.ndarray, rule: Rule) -> np.ndarray | None:
    """Exact means rounded half to even, off the fill value unless that is legal: (cells, cells).

    Sums must be below 2**51, so that float64 quotients round as the exact ones do.
    """
    dtype, fill = rule.dtype, rule.fill
    if _fused is None or dtype not in (np.uint16, np.int16) or {count.dtype, total.dtype} != {np.dtype(np.int64)}:
        return None
    limits = np.iinfo(dtype)
    if not (float(fill).is_integer() and limits.min <= fill <= limits.max):
        return None
    counted = np.where(empty, 0, count) if rule.min_valid else count
    out = np.empty(count.shape, dtype)
    facts = np.array([fill, rule.fill_is_legal, limits.min, limits.max], np.int64)
    _fused.means(np.ascontiguousarray(total), np.ascontiguousarray(counted), out, facts)
    return out


def folds(codes: np.ndarray, overlay: Overlay, strip: Strip) -> tuple[np.ndarray, np.ndarray] | None:
    """Bitwise AND and OR of the codes that each cell touches: (cells, cells), twice."""
    wide = _sixteen(codes)
    if wide is None:
        return None
    shape = strip.last - strip.first, overlay.columns.size
    low, high = np.empty(shape, np.uint16), np.empty(shape, np.uint16)
    _fused.folds(wide, wide.shape[1], *_axes(overlay, strip), low, high)
    return low, high


def histogram(
    codes: np.ndarray, overlay: Overlay, strip: Strip, cells: np.ndarray, present: np.ndarray
) -> np.ndarray | None:
    """Area weight of each code in some cells of a strip: float64 (cells, codes).

    Parameters
    ----------
    cells : ndarray of int
        Flat indices of cells within the strip's cell rows.
    present : ndarray of uint16
        Codes of the strip, ascending: the columns.
    """
    wide = _sixteen(codes)
    if wide is None:
        return None
    ranks = np.zeros(_CODES, np.int32)
    ranks[present] = np.arange(len(present))
    counts = np.zeros((len(cells), len(present)))
    if counts.size:
        cells = np.ascontiguousarray(cells, np.int64)
        _fused.histogram(wide, wide.shape[1], *_axes(overlay, strip), cells, ranks, counts)
    return counts


def tally(codes: np.ndarray) -> np.ndarray | None:
    """Number of pixels of each code: int64 (65536,)."""
    wide = _sixteen(codes)
    if wide is None:
        return None
    counts = np.zeros(_CODES, np.int64)
    _fused.tally(wide, counts)
    return counts


def _sixteen(values: np.ndarray) -> np.ndarray | None:
    """The pixels as contiguous 16-bit integers, or None where they cannot be."""
    if _fused is None or values.dtype not in (np.uint8, np.uint16, np.int16):
        return None
    return np.ascontiguousarray(values, np.uint16 if values.dtype == np.uint8 else values.dtype)


def _axes(overlay: Overlay, strip: Strip) -> tuple[tuple, tuple]:
    columns = overlay.columns
    across = np.stack([columns.start, columns.stop, columns.head, columns.tail]).astype(np.int64)
    return (_rows_of(overlay.rows, strip), overlay.rows.unit, 0), (across, columns.unit, columns.block)


def _rows_of(rows: Cells, strip: Strip) -> np.ndarray:
    """The strip's part of its cell rows; where it cuts one, the pixels at the cut weigh what they are."""
    part = slice(strip.first, strip.last)
    start, stop, head, tail = rows.start[part], rows.stop[part], rows.head[part], rows.tail[part]
    low, high = np.maximum(start, strip.start), np.minimum(stop, strip.stop)
    high = np.maximum(low, high)
    first = np.where(low == start, head, np.where(low == stop - 1, tail, rows.unit))
    last = np.where(high == stop, tail, rows.unit)
    return np.stack([low - strip.start, high - strip.start, first, last]).astype(np.int64)
