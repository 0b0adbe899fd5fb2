"""Blocks of a series read by an executor, and given in order: a few at a time, whatever a cube is stored as."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from landsat_downsample.cubes.cell_blocks import Part, Window, block
from landsat_downsample.cubes.series import Series, Variable
from landsat_downsample.storage import cancellation

if TYPE_CHECKING:
    from landsat_downsample.execution.run import Executor

#: Blocks that are read while one is stored, beside those that workers are at.
AHEAD = 2


@dataclass(frozen=True, slots=True)
class BlockWork:
    """As of `execution.work.Work`: some dates of a variable in a window, read from products."""

    group: str
    variable: str
    first: int
    """Date that it begins with, in the whole array."""
    window: Window
    dtype: str
    fill: float | None
    dates: tuple[tuple[Part, ...], ...] = field(repr=False)
    """What products give to each."""

    @property
    def names(self) -> tuple[str, str]:
        """As of `Work`."""
        return self.variable, f"{self.first}/{self.window[0]}/{self.window[2]}"

    @property
    def label(self) -> str:
        """As of `Work`."""
        return f"{self.variable} of the cube, block {self.names[1]}"

    @property
    def host(self) -> str | None:
        """As of `Work`: that of its first product."""
        part = next((part for date in self.dates for part in date), None)
        return part.source.band.location.host if part else None

    @property
    def bytes_in(self) -> int:
        """As of `Work`."""
        return sum(part.source.band.size or 0 for date in self.dates for part in date)

    @property
    def place(self) -> tuple[slice, slice, slice]:
        """Dates, rows and columns of it in the whole array."""
        top, bottom, left, right = self.window
        return slice(self.first, self.first + len(self.dates)), slice(top, bottom), slice(left, right)

    def carry_out(self, idle_threads: Callable[[], int]) -> np.ndarray:
        """Cells as stored: (dates, rows, columns)."""
        shape = self.window[1] - self.window[0], self.window[3] - self.window[2]
        values = np.empty((len(self.dates), *shape), self.dtype)
        for number, parts in enumerate(self.dates):
            cancellation.check()
            values[number] = block(parts, shape, self.dtype, self.fill)[0]
        return values


def block_works(
    series: Series, variable: Variable, steps: tuple[int, int, int], before: int = 0
) -> Iterator[BlockWork]:
    """Pieces of a variable of so many dates, rows and columns, in the order of the array; `before` dates are there."""
    group, (height, width) = uuid.uuid4().hex, series.common.grid.shape
    dates, rows, columns = steps
    whole = before + len(series.dates)
    for start in range(before // dates * dates, whole, dates):
        first, last = max(start, before), min(start + dates, whole)
        for top in range(0, height, rows):
            for left in range(0, width, columns):
                window = (top, min(top + rows, height), left, min(left + columns, width))
                parts = tuple(tuple(series.parts(variable, at - before, window)) for at in range(first, last))
                yield BlockWork(group, variable.name, first, window, variable.dtype, variable.fill, parts)


def results(executor: Executor, works: Iterable[BlockWork]) -> Iterator[tuple[BlockWork, Any]]:
    """Each piece of work with what came of it, in order; no more in memory than workers are at, and a few."""
    waiting: deque[tuple[BlockWork, Future[Any]]] = deque()
    try:
        for work in works:
            waiting.append((work, executor.submit(work)))
            if len(waiting) >= executor.width + AHEAD:
                yield waiting[0][0], waiting.popleft()[1].result()
        while waiting:
            yield waiting[0][0], waiting.popleft()[1].result()
    finally:
        for group in {work.group for work, _ in waiting}:
            executor.halt(group)
