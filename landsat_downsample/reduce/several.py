"""Several statistics of the same pixels, which are read once and counted once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

import numpy as np

from landsat_downsample.model.cells import Overlay
from landsat_downsample.reduce import native
from landsat_downsample.reduce.areas import Areas
from landsat_downsample.reduce.index_pixels import IndexOfMeans, MeansRule
from landsat_downsample.reduce.kernels import Strip
from landsat_downsample.reduce.rule import Rule
from landsat_downsample.reduce.values import Parts, Reducer, reducer_for

#: What each statistic is finished from.
NEEDS = {
    "count": ("count",),
    "mean": ("count", "total"),
    "sum": ("count", "total"),
    "std": ("count", "total", "squares"),
    "rms": ("count", "total", "squares"),
    "min": ("count", "min"),
    "max": ("count", "max"),
    "median": ("count", "median"),
}


#: What the C kernel makes of 16-bit pixels in one pass; the first two alone in less time.
MOMENTS = ("count", "total", "squares", "min", "max")


def reducer_of(rules: Sequence[Rule], overlay: Overlay | Areas) -> Reducer:
    """The reducer of a continuous or class band that gives an array for each rule."""
    if isinstance(rules[0], MeansRule):
        return IndexOfMeans(cast("Sequence[MeansRule]", rules), overlay)
    return Several(rules, overlay) if rules[0].method in NEEDS else reducer_for(rules[0], overlay)


def finish_sums(reducer: Several, sums: Iterable[tuple[Any, ...]]) -> Iterator[tuple[slice, Parts]]:
    """What `reduce_strips` yields, from sums that were made without it: the first cell row, and an array of each.

    Those of `MOMENTS`, or the first two of them.
    """
    for first, *parts in sums:
        last, known = first + len(parts[0]), dict(zip(MOMENTS, parts, strict=False))
        if first < last:
            yield slice(first, last), reducer.finish(tuple(known[name] for name in reducer.names), first, last)


class Several:
    """The reducers of some rules side by side: what each gives, in their order.

    The one that needs most of counts and sums makes them for all; of the others only what it does not have is kept.
    """

    def __init__(self, rules: Sequence[Rule], overlay: Overlay | Areas) -> None:
        self._reducers = [(NEEDS[rule.method], reducer_for(rule, overlay)) for rule in rules]
        # Sums before an extreme, and that before a median.
        names, self._sums = max(
            self._reducers, key=lambda part: ("median" not in part[0], {"min", "max"}.isdisjoint(part[0]), len(part[0]))
        )
        self._others = {needs[1]: made for needs, made in self._reducers if needs[1:] and needs[1] not in names}
        self.names = (*names, *self._others)
        self._size = len(names)
        self._rule, self._overlay = rules[0], overlay

    @property
    def whole(self) -> bool:
        """Whether all pixels of a cell must come in one strip, as one of them wants it."""
        return any(reducer.whole for _, reducer in self._reducers)

    @property
    def moments(self) -> bool:
        """Whether more than counts and totals are needed."""
        return not {"count", "total", "median"}.issuperset(self.names)

    def partial(self, values: np.ndarray, ok: np.ndarray | None, strip: Strip) -> Parts:
        """An array for each of `names`."""
        made = self._at_once(values, ok, strip) if self.moments else None
        if made is not None:
            known = dict(zip(MOMENTS, made, strict=True))
            ranked = {n: r.partial(values, ok, strip)[1] for n, r in self._others.items() if n not in known}
            return tuple((known | ranked)[name] for name in self.names)
        sums = self._sums.partial(values, ok, strip)
        return (*sums, *(reducer.partial(values, ok, strip)[1] for reducer in self._others.values()))

    def _at_once(self, values: np.ndarray, ok: np.ndarray | None, strip: Strip) -> Parts | None:
        """An array for each of `MOMENTS`; None where the kernel does not make them."""
        if isinstance(self._overlay, Areas):
            return self._overlay.valid_moments(values, ok, self._rule.nodata, strip)
        return native.cell_moments(values, ok, self._rule.nodata, self._overlay, strip)

    def merge(self, one: Parts, other: Parts) -> Parts:
        """Join what two strips gave of the same cells."""
        size = self._size
        pairs = zip(self._others.values(), one[size:], other[size:], strict=True)
        rest = (reducer.merge((one[0], a), (other[0], b))[1] for reducer, a, b in pairs)
        return (*self._sums.merge(one[:size], other[:size]), *rest)

    def finish(self, partial: Parts, first: int, last: int) -> Parts:
        """The arrays of all, as they are stored."""
        known = dict(zip(self.names, partial, strict=True))
        return tuple(
            array
            for needs, reducer in self._reducers
            for array in reducer.finish(tuple(known[name] for name in needs), first, last)
        )
