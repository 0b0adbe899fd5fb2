"""Facts about a run's next scenes, found for many of them at one time: cheaper, and told only while they are new."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

R = TypeVar("R")
V = TypeVar("V")

#: Scenes of the first window, and of the largest one.
FIRST, MOST = 64, 1024

#: Windows that are kept: scenes are opened side by side, and one of them may still be of the last window.
KEPT = 3

#: Seconds for which what was found counts.
FRESH = 60.0


@dataclass(frozen=True, slots=True)
class _Window(Generic[V]):
    """Some scenes that follow each other."""

    ids: frozenset[int]
    begun: float
    found: Future[Mapping[int, V]]
    """By the `id` of a scene."""


class Ahead(Generic[R, V]):
    """Looks for facts a window of scenes at a time, one window ahead of what is asked for; threads may share it.

    Parameters
    ----------
    scenes : iterable
        In the order in which they will be asked for.
    find : callable
        Gives what it can find of some scenes, by their `id`; called in another thread, with the context of who asked.
    """

    def __init__(self, scenes: Iterable[R], find: Callable[[Sequence[R]], Mapping[int, V]]) -> None:
        self._scenes, self._find = iter(scenes), find
        self._windows: deque[_Window[V]] = deque(maxlen=KEPT)
        self._lock, self._size = threading.Lock(), FIRST
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="ahead")

    def of(self, scene: R) -> V | None:
        """What was found of a scene; None where that is nothing, or too old."""
        with self._lock:
            window = self._window(scene) or (self._begin() and self._window(scene))
        if not window:
            return None
        found = window.found.result()
        return found.get(id(scene)) if time.monotonic() - window.begun < FRESH else None

    def _window(self, scene: R) -> _Window[V] | None:
        window = next((window for window in self._windows if id(scene) in window.ids), None)
        if window and window is self._windows[-1]:
            self._begin()
        return window

    def _begin(self) -> bool:
        """Begin the next window; False where there is none."""
        if not (scenes := list(islice(self._scenes, self._size))):
            return False
        self._size = min(4 * self._size, MOST)
        found = self._pool.submit(copy_context().run, self._find, scenes)
        self._windows.append(_Window(frozenset(map(id, scenes)), time.monotonic(), found))
        return True
