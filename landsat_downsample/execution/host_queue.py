"""Whose turn it is: earlier scenes first, and from one host no more at once than it should be asked for. Pure."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Callable
from typing import Generic, TypeVar

from landsat_downsample.model.policy import Policy

T = TypeVar("T")


class HostQueue(Generic[T]):
    """Items that wait for a worker.

    Parameters
    ----------
    policy : Policy, optional
        Says how many items of one host may be at work at one time, over all workers; each makes one request at a
        time. From the environment if not given.
    """

    def __init__(self, policy: Policy | None = None) -> None:
        self._per_host = (policy or Policy.from_environ()).per_host
        self._queues: dict[str | None, list[tuple[int, int, T]]] = {}
        self._working: Counter[str] = Counter()
        self._sequence = itertools.count()

    def __len__(self) -> int:
        return sum(len(queue) for queue in self._queues.values())

    def push(self, order: int, name: str | None, item: T) -> None:
        """Let an item of a host wait; those of a lower order go first, and among equals the earlier one."""
        heapq.heappush(self._queues.setdefault(name, []), (order, next(self._sequence), item))

    def pop(self) -> T | None:
        """Give the next item that may go to work now; None where there is none."""
        free = [name for name in self._queues if name is None or self._working[name] < self._per_host]
        if not free:
            return None
        name = min(free, key=lambda one: self._queues[one][0][:2])
        item = heapq.heappop(self._queues[name])[2]
        if not self._queues[name]:
            del self._queues[name]
        if name is not None:
            self._working[name] += 1
        return item

    def ended(self, name: str | None) -> None:
        """An item of that host is at work no more."""
        if name is not None:
            self._working[name] -= 1
            if not self._working[name]:
                del self._working[name]

    def withdraw(self, unwanted: Callable[[T], bool]) -> list[T]:
        """Take out the items that need not wait any more."""
        gone = []
        for name, queue in list(self._queues.items()):
            kept = [entry for entry in queue if not unwanted(entry[2])]
            gone += [entry[2] for entry in queue if unwanted(entry[2])]
            if kept:
                heapq.heapify(kept)
                self._queues[name] = kept
            else:
                del self._queues[name]
        return gone
