"""How many requests one host has to answer at one time."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from landsat_downsample.storage import cancellation

#: Seconds after which work that was asked to stop does, while it waits for a server.
PROMPT = 0.1


class Gate:
    """Lets so many through at one time, in the order in which they came: a small write is not passed by for ever."""

    def __init__(self, most: int) -> None:
        self._most, self._free = most, most
        self._waiting: deque[threading.Event] = deque()
        self._lock = threading.Lock()

    @contextmanager
    def turn(self, seconds: float) -> Iterator[float]:
        """Wait for a turn, and hold it as long as the body; gives the seconds that are left.

        Raises
        ------
        TimeoutError
            None came in that time.
        ReadError
            The work was asked to stop.
        """
        until, mine = time.monotonic() + seconds, threading.Event()
        with self._lock:
            self._waiting.append(mine)
            self._admit()
        try:
            while not mine.wait(PROMPT):
                cancellation.check()
                if time.monotonic() >= until:
                    raise TimeoutError(f"no turn among {self._most} requests to its host")
            yield max(0.05, until - time.monotonic())
        finally:
            with self._lock:
                if mine.is_set():
                    self._free += 1
                else:
                    self._waiting.remove(mine)
                self._admit()

    def _admit(self) -> None:
        while self._free and self._waiting:
            self._free -= 1
            self._waiting.popleft().set()
