"""What a file says of its cells: how many are valid, their extremes, mean and deviation."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from landsat_downsample.reduce.bits import count_codes

#: Rows of cells whose statistics are taken at one time.
_ROWS = 64


def statistics_of_cells(data: np.ndarray, nodata: float | None) -> tuple[float, dict[str, Any]]:
    """Share of valid cells, and their statistics; by rows: float64 of all cells of a 15 m band would be half a GiB."""
    exact = np.int64 if data.dtype.kind in "iu" else np.float64
    narrow = data.dtype.kind in "iu" and data.dtype.itemsize <= 2
    if data.dtype == np.uint8:
        facts = _facts_of_bytes(data, nodata)
    else:
        facts = [
            (part.size, part.min(), part.max(), part.sum(dtype=exact).item(), _squares(part) if narrow else 0)
            for part in _valid_parts(data, nodata)
        ]
    if not facts:
        return 0.0, {}
    sizes, low, high, totals, squares = zip(*facts, strict=True)
    count, total = sum(sizes), sum(totals)
    mean = float(total / count)
    if narrow:  # in integers, of which only the quotient is rounded
        variance = (count * sum(squares) - total**2) / count**2
    else:
        variance = sum(np.square(p - mean, dtype=np.float64).sum().item() for p in _valid_parts(data, nodata)) / count
    known = {"minimum": float(min(low)), "maximum": float(max(high)), "mean": mean, "stddev": math.sqrt(variance)}
    return count / data.size, known


def _facts_of_bytes(data: np.ndarray, nodata: float | None) -> list[tuple[Any, ...]]:
    """As of the valid part of other data, from how often there is each value: codes and percentages come in runs."""
    counts, values = np.zeros(256, np.int64), np.arange(256)
    for start in range(0, len(data), _ROWS):
        counts += count_codes(data[start : start + _ROWS].astype(np.uint16))[:256]
    found = values[_valid(values, nodata) & (counts > 0)]
    counts = counts[found]
    if not len(found):
        return []
    return [(counts.sum().item(), found[0], found[-1], (counts @ found).item(), (counts @ found**2).item())]


def _squares(narrow: np.ndarray) -> int:
    """The sum of the squares of integers of 16 bits at most, which 64 bits hold."""
    wide = narrow.astype(np.int64)
    return (wide @ wide).item()


def _valid_parts(data: np.ndarray, nodata: float | None) -> Iterator[np.ndarray]:
    """Valid cells of some rows at a time, where there are any."""
    for start in range(0, len(data), _ROWS):
        rows = data[start : start + _ROWS]
        part = rows[_valid(rows, nodata)]
        if part.size:
            yield part


def _valid(data: np.ndarray, nodata: float | None) -> np.ndarray:
    if nodata is None:
        return np.ones(data.shape, bool)
    valid: np.ndarray = ~np.isnan(data) if np.isnan(nodata) else data != nodata
    return valid
