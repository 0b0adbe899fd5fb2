"""Continuous and class bands on cells of another projection, whose rows a strip of pixels does not hold whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Protocol

import numpy as np

from landsat_downsample.reduce.areas import Areas, Pairs
from landsat_downsample.reduce.in_order import in_order
from landsat_downsample.reduce.kernels import Strip
from landsat_downsample.reduce.rule import Rule
from landsat_downsample.reduce.several import MOMENTS, Several, reducer_of
from landsat_downsample.reduce.values import Parts, ReadRows, Reducer, read_strip, reducer_for, valid_pixels


class StripSums(Protocol):
    """Adds up the valid pixels of a strip, of which nothing is kept."""

    def __call__(self, strip: Strip, *, moments: bool) -> Parts | None:
        """The first two of `several.MOMENTS`, or all, (cells, cells) each; None where it cannot."""


def reduce_areas(
    rules: list[Rule], areas: Areas, reads: list[ReadRows], sums: StripSums | None = None
) -> list[np.ndarray]:
    """Reduce a continuous or class band by each rule, (cells, cells): strips in order, of which each reader holds one.

    Where sums and extremes are all that is asked for, `sums` is tried before a strip is read.
    What is added up comes of one pass over the pixels; what ranks or picks them takes one of its own. The cells are
    the same, however many readers there are: each has a thread.
    """
    outs = [np.empty(areas.shape, rule.stored) for rule in rules]
    added: list[tuple[Rule, np.ndarray]] = []
    for rule, out in zip(rules, outs, strict=True):
        if rule.method in ("median", "mode"):
            [out[:]] = reducer_for(rule, areas).finish(_ranked(rule, areas, reads[0]), 0, len(out))
        elif rule.method == "nearest":
            [out[:]] = reducer_for(rule, areas).finish(_nearest(rule, areas, reads[0]), 0, len(out))
        else:
            added.append((rule, out))
    if added:
        reducer = reducer_of([rule for rule, _ in added], areas)
        partial = _partials(reducer, reads, added[0][0].dtype)
        if sums and isinstance(reducer, Several) and set(reducer.names) <= set(MOMENTS):
            partial = _summed(reducer, sums, partial)
        for first, waiting in _merged(reducer, areas, partial, len(reads)):
            last = first + len(waiting[0])
            for (_, out), data in zip(added, reducer.finish(waiting, first, last), strict=True):
                out[first:last] = data
    return outs


def _summed(several: Several, sums: StripSums, read: Callable[[Strip], Parts]) -> Callable[[Strip], Parts]:
    """Partial results of a strip by `sums`, or else by reading it."""

    def partial(strip: Strip) -> Parts:
        made = sums(strip, moments=several.moments)
        if made is None:
            return read(strip)
        known = dict(zip(MOMENTS, made, strict=False))
        return tuple(known[name] for name in several.names)

    return partial


def _partials(reducer: Reducer, reads: list[ReadRows], dtype: np.dtype) -> Callable[[Strip], Parts]:
    """What reads a strip and gives the partial results of its cells, for as many threads as there are readers."""
    free: SimpleQueue[ReadRows] = SimpleQueue()
    for read in reads:
        free.put(read)

    def partial(strip: Strip) -> Parts:
        read = free.get()
        try:
            part: Parts = reducer.partial(*read_strip(read, strip, dtype), strip)
            return part
        finally:
            free.put(read)

    return partial


def _merged(
    reducer: Reducer, areas: Areas, partial: Callable[[Strip], Parts], threads: int
) -> Iterator[tuple[int, Parts]]:
    """Partial results of cell rows that no strip which follows touches: the first row, and what to finish."""
    low, waiting = areas.strips[0].first, None
    for k, part in enumerate(in_order(partial, areas.strips, threads)):
        strip = areas.strips[k]
        waiting = part if waiting is None else _stacked(reducer.merge, (low, waiting), (strip.first, part))
        low = min(low, strip.first)
        done = min((later.first for later in areas.strips[k + 1 :]), default=low + len(waiting[0]))
        if done > low:
            yield low, tuple(rows[: done - low] for rows in waiting)
            low, waiting = done, tuple(rows[done - low :] for rows in waiting)


def _stacked(merge: Callable[[Parts, Parts], Parts], one: tuple[int, Parts], other: tuple[int, Parts]) -> Parts:
    """Partial results of two ranges of cell rows that touch, each from a row on: merged where they overlap."""
    (a, upper), (b, lower) = sorted((one, other), key=lambda item: item[0])
    after, last = a + len(upper[0]), b + len(lower[0])
    end = min(after, last)
    both = merge(tuple(rows[b - a : end - a] for rows in upper), tuple(rows[: end - b] for rows in lower))
    start, rest = (a, upper) if after > last else (b, lower)
    parts = zip(upper, both, rest, strict=True)
    return tuple(np.concatenate([head[: b - a], middle, tail[end - start :]]) for head, middle, tail in parts)


def whole_cells(areas: Areas, pairs_of: Callable[[Strip], tuple[Pairs, np.ndarray]]) -> Iterator[Pairs]:
    """All that some cells have of each value, once no strip that follows touches them."""
    waiting = Pairs.none()
    for strip in areas.strips:
        pairs, touched = pairs_of(strip)
        later = np.zeros(areas.shape[0] * areas.shape[1], bool)
        later[touched] = True
        over = ~later[waiting.cell]
        yield waiting.where(over)
        waiting = waiting.where(~over).joined(pairs)
    yield waiting


def _ranked(rule: Rule, areas: Areas, read: ReadRows) -> Parts:
    """Area of the valid pixels of each cell, and the value that is asked for."""
    pick = _median if rule.method == "median" else _mode
    size = areas.shape[0] * areas.shape[1]
    count, found = np.zeros(size, np.int64), np.zeros(size, np.float64 if pick is _median else rule.dtype)

    def pairs_of(strip: Strip) -> tuple[Pairs, np.ndarray]:
        values, ok = read_strip(read, strip, rule.dtype)
        return areas.pairs(values, valid_pixels(values, ok, rule.nodata), strip)

    for pairs in whole_cells(areas, pairs_of):
        if len(pairs.cell):
            cells = pairs.cell[pairs.starts]
            count[cells] = np.add.reduceat(pairs.weight, pairs.starts)
            found[cells] = pick(pairs)
    return count.reshape(areas.shape), found.reshape(areas.shape)


def _median(pairs: Pairs) -> np.ndarray:
    """Middle of the values of each cell by area; of two middle ones their mean."""
    running = np.cumsum(pairs.weight)
    before = running[pairs.starts] - pairs.weight[pairs.starts]
    total = np.add.reduceat(pairs.weight, pairs.starts)
    low = np.searchsorted(running, before + (total + 1) // 2, side="left")
    high = np.searchsorted(running, before + total // 2, side="right")
    return (pairs.value[low].astype(np.float64) + pairs.value[high].astype(np.float64)) / 2


def _mode(pairs: Pairs) -> np.ndarray:
    """The value that covers most of each cell, the smallest of equals."""
    most = np.maximum.reduceat(pairs.weight, pairs.starts)
    is_most = pairs.weight == np.repeat(most, np.diff(pairs.starts, append=len(pairs.cell)))
    at = np.where(is_most, np.arange(len(pairs.cell)), len(pairs.cell))
    found: np.ndarray = pairs.value[np.minimum.reduceat(at, pairs.starts)]
    return found


def _nearest(rule: Rule, areas: Areas, read: ReadRows) -> Parts:
    """The pixel that holds each cell's centre, and whether it is valid."""
    found, good = np.zeros(areas.shape, rule.dtype), np.zeros(areas.shape, bool)
    for strip in areas.strips:
        values, ok = read_strip(read, strip, rule.dtype)
        valid = valid_pixels(values, ok, rule.nodata)
        cells, pixels = areas.centres_in(strip)
        found.flat[cells] = values.ravel()[pixels]
        good.flat[cells] = True if valid is None else valid.ravel()[pixels]
    return found, good
