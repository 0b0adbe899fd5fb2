"""Several statistics of the same pixels, which are read once and counted once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from landsat_downsample.model.cells import Overlay
from landsat_downsample.reduce.areas import Areas
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


def reducer_of(rules: Sequence[Rule], overlay: Overlay | Areas) -> Reducer:
    """The reducer of a continuous or class band that gives an array for each rule."""
    return reducer_for(rules[0], overlay) if len(rules) == 1 else Several(rules, overlay)


class Several:
    """The reducers of some rules side by side: what each gives, in their order.

    The one that needs most of counts and sums makes them for all; of the others only what it does not have is kept.
    """

    def __init__(self, rules: Sequence[Rule], overlay: Overlay | Areas) -> None:
        self._reducers = [(NEEDS[rule.method], reducer_for(rule, overlay)) for rule in rules]
        summing = [part for part in self._reducers if len(set(part[0]) - {"min", "max", "median"}) == len(part[0])]
        names, self._sums = max(summing or self._reducers, key=lambda part: len(part[0]))
        self._others = {needs[1]: made for needs, made in self._reducers if needs[1:] and needs[1] not in names}
        self.names = (*names, *self._others)
        self._size = len(names)

    @property
    def whole(self) -> bool:
        """Whether all pixels of a cell must come in one strip, as one of them wants it."""
        return any(reducer.whole for _, reducer in self._reducers)

    def partial(self, values: np.ndarray, ok: np.ndarray | None, strip: Strip) -> Parts:
        """An array for each of `names`."""
        sums = self._sums.partial(values, ok, strip)
        return (*sums, *(reducer.partial(values, ok, strip)[1] for reducer in self._others.values()))

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
