"""The second code path of `verify`, for cells whose sides are rows and columns of pixels.

It shares nothing with the reducers: it reads a cell's own pixel window and answers with Python's exact fractions, one
cell at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from landsat_downsample.model.bands import BandSpec, BitField
from landsat_downsample.model.grid import cell_edges
from landsat_downsample.model.indices import INDEX_OF_MEANS, index_of
from landsat_downsample.model.target import Target
from landsat_downsample.products.source_pixels import SourcePixels

Number = int | float | Fraction

#: Pixels along an axis, and how much of each lies in a cell.
Span = list[tuple[int, Fraction]]

Recompute = Callable[["Cell"], Number | None]


@dataclass(frozen=True, slots=True)
class Cell:
    """One coarse cell and the open rasters that it is recomputed from."""

    source: SourcePixels
    index: tuple[int, int]

    @property
    def target(self) -> Target:
        """What it is a cell of."""
        return self.source.target

    def weighted(self) -> list[tuple[Number, Fraction]]:
        """(value, pixels and parts of pixels that have it) of the valid ones; physical values as exact fractions."""
        scale, offset = map(Fraction, self.target.scaling or (1, 0))
        physical = self.target.scaling is not None
        rows, columns = (self.span(axis) for axis in (0, 1))
        values, counts = self.source.read(rows[0][0], columns[0][0], len(rows), len(columns))
        values = values.reshape(-1, *counts.shape)[0]  # of several bands the first: they are counted
        return [
            (scale * Fraction(value) + offset if physical else value, times * share)
            for share, here in _alike(rows, columns)
            for value, times in _counted(values[here][counts[here]])
        ]

    def weighted_bands(self) -> list[list[tuple[Number, Fraction]]]:
        """Of each band (physical value, pixels and parts of pixels that have it), of those valid in all of them."""
        rows, columns = (self.span(axis) for axis in (0, 1))
        values, counts = self.source.read(rows[0][0], columns[0][0], len(rows), len(columns))
        return [
            [
                (value, times * share)
                for share, here in _alike(rows, columns)
                for value, times in _counted(band[here][counts[here]])
            ]
            for band in values
        ]

    def span(self, axis: int) -> Span:
        """Pixels that the cell overlaps along an axis, and how much of each."""
        target, fine = self.target, self.target.band.grid
        ratio, offset = target.lattice.in_pixels(target.coarse, fine, axis)
        edges, unit = cell_edges(target.coarse.shape[axis], ratio, -offset)
        low, high = (Fraction(int(edges[self.index[axis] + end]), unit) for end in (0, 1))
        low, high = max(low, Fraction(0)), min(high, Fraction(fine.shape[axis]))
        pixels = range(math.floor(low), math.ceil(high))
        return [(p, min(high, Fraction(p + 1)) - max(low, Fraction(p))) for p in pixels]


def _alike(rows: Span, columns: Span) -> Iterator[tuple[Fraction, tuple[np.ndarray, ...]]]:
    """Pixels of which the same share lies in the cell: all but those at its edges."""
    high_rows: dict[Fraction, list[int]] = {}
    wide_columns: dict[Fraction, list[int]] = {}
    for axis, found in ((rows, high_rows), (columns, wide_columns)):
        for at, (_, share) in enumerate(axis):
            found.setdefault(share, []).append(at)
    for high, i in high_rows.items():
        for wide, j in wide_columns.items():
            yield high * wide, np.ix_(i, j)


def _counted(values: np.ndarray) -> list[tuple[Number, int]]:
    found, times = np.unique(values, return_counts=True)
    return list(zip(found.tolist(), times.tolist(), strict=True))


def _covered(pairs: Sequence[tuple[Any, Fraction]]) -> Fraction:
    return sum((share for _, share in pairs), Fraction(0))


def _enough(cell: Cell, pairs: Sequence[tuple[Any, Fraction]]) -> bool:
    """Whether the valid pixels cover the share of the cell that was asked for."""
    area, covered = _covered(cell.span(0)) * _covered(cell.span(1)), _covered(pairs)
    return covered > 0 and covered >= Fraction(str(cell.target.min_valid)) * area


def _mean(cell: Cell) -> Number | None:
    pairs = cell.weighted()
    if not _enough(cell, pairs):
        return None
    exact = sum((Fraction(v) * w for v, w in pairs), Fraction(0)) / _covered(pairs)
    if not isinstance(pairs[0][0], int):
        return float(exact)
    nodata = cell.target.band.nodata
    value = round(exact)  # Python rounds fractions half to even
    if value == nodata and not cell.target.band.spec.fill_from:
        value += 1 if exact >= value and value < np.iinfo(cell.target.band.dtype).max else -1
    return value


def _extreme(choose: Callable[[Iterable[Number]], Number]) -> Recompute:
    def compute(cell: Cell) -> Number | None:
        pairs = cell.weighted()
        return choose(v for v, _ in pairs) if _enough(cell, pairs) else None

    return compute


def _rms(cell: Cell) -> float | None:
    pairs = cell.weighted()
    if not _enough(cell, pairs):
        return None
    root = math.sqrt(sum(Fraction(v) ** 2 * w for v, w in pairs) / _covered(pairs))
    return round(root) if isinstance(pairs[0][0], int) else root


def _sum(cell: Cell) -> float | None:
    pairs = cell.weighted()
    return float(sum(Fraction(v) * w for v, w in pairs)) if _enough(cell, pairs) else None


def _std(cell: Cell) -> float | None:
    pairs = cell.weighted()
    if not _enough(cell, pairs):
        return None
    mean, square = (sum(Fraction(v) ** power * w for v, w in pairs) / _covered(pairs) for power in (1, 2))
    return math.sqrt(square - mean**2)


def _count(cell: Cell) -> float:
    return float(_covered(cell.weighted()))  # however few they are


def _median(cell: Cell) -> float | None:
    pairs = sorted(cell.weighted())
    if not _enough(cell, pairs):
        return None
    half, running, middle = _covered(pairs) / 2, Fraction(0), []
    for value, share in pairs:
        if running <= half <= running + share:
            middle.append(value)
        running += share
    exact = Fraction(middle[0]) / 2 + Fraction(middle[-1]) / 2
    return round(exact) if isinstance(middle[0], int) else float(exact)


def _circular(cell: Cell) -> float | None:
    pairs = cell.weighted()
    if not _enough(cell, pairs):
        return None
    unit = math.radians(1.0 if cell.target.scaling else cell.target.band.spec.scale or 1.0)
    east, north = (sum(f(v * unit) * float(w) for v, w in pairs) for f in (math.sin, math.cos))
    angle, turn = math.atan2(east, north) / unit, 2 * math.pi / unit
    positive = np.dtype(cell.target.band.dtype).kind == "u" or cell.target.band.spec.positive
    return angle % turn if positive else angle


def _code(policy: str) -> Recompute:
    def compute(cell: Cell) -> float | None:
        spec = cell.target.band.spec
        fill = spec.field("fill")
        pairs = [(int(v), w) for v, w in cell.weighted() if not (fill and int(v) & fill.mask)]
        if not _enough(cell, pairs):
            return spec.fill or 0
        codes = {v for v, _ in pairs}
        if len(codes) == 1:
            return codes.pop()
        decided = (f for f in spec.fields if f is not fill and f.rule != "clear")
        return sum(_field(f, policy, pairs) << f.offset for f in decided) | _clear(spec, policy, pairs)

    return compute


def _field(bits: BitField, policy: str, pairs: Sequence[tuple[int, Fraction]]) -> int:
    total = _covered(pairs)
    reached = 0
    for level in range(1, 1 << bits.length):
        if bits.levels and bits.levels[level] == "reserved":
            continue
        share = sum(w for v, w in pairs if (v >> bits.offset) % (1 << bits.length) >= level)
        rule = "majority" if policy == "majority" else bits.rule
        if {"all": share == total, "majority": 2 * share >= total}.get(rule, share > 0):
            reached = level
    return reached


def _clear(spec: BandSpec, policy: str, pairs: Sequence[tuple[int, Fraction]]) -> int:
    clear = spec.field("clear")
    if clear is None:
        return 0
    clouds = [f for f in spec.fields if f.obscures]
    return 0 if any(_field(f, policy, pairs) for f in clouds) else clear.mask


def _mode(cell: Cell) -> Number | None:
    """The value that covers most of the cell, the smallest of equals; of the valid codes of a quality band."""
    fill = cell.target.band.spec.field("fill")
    pairs = [(v, w) for v, w in cell.weighted() if not (fill and int(v) & fill.mask)]
    if not _enough(cell, pairs):
        return None if cell.target.scaling else cell.target.band.spec.fill
    share: dict[Number, Fraction] = {}
    for value, weight in pairs:
        share[value] = share.get(value, Fraction(0)) + weight
    return min(share, key=lambda value: (-share[value], value))


def is_index_of_means(target: Target, method: str) -> bool:
    """Whether `index_of_means` recomputes a cell, and none of the others."""
    return target.computed and target.index_order == INDEX_OF_MEANS and method == "mean"


def index_of_means(cell: Cell) -> float | None:
    """The index of the exact means of its bands."""
    bands = cell.weighted_bands()
    if not _enough(cell, bands[0]):
        return None
    covered = _covered(bands[0])
    sums = [sum((Fraction(v) * w for v, w in pairs), Fraction(0)) for pairs in bands]
    index = index_of(cell.target.index)
    above, below = index.exact(total / covered for total in sums)
    return min(max(float(above / below), index.limits[0]), index.limits[1]) if below else None


SECOND_PATH: dict[str, Recompute] = {
    "mean": _mean,
    "mode": _mode,
    "min": _extreme(min),
    "max": _extreme(max),
    "rms": _rms,
    "sum": _sum,
    "std": _std,
    "count": _count,
    "median": _median,
    "circular": _circular,
    "conservative": _code("conservative"),
    "majority": _code("majority"),
}
