"""The serial executor and its threads: work done in this process. What comes out of it is the specification."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from landsat_downsample.errors import UsageError
from landsat_downsample.execution.host_queue import HostQueue
from landsat_downsample.execution.interrupts import undisturbed
from landsat_downsample.model.policy import Policy
from landsat_downsample.storage import cancellation
from landsat_downsample.storage.bugs import wrapping
from landsat_downsample.storage.recent import Recent

if TYPE_CHECKING:
    from landsat_downsample.execution.work import Work

#: Threads that wait for the network while as many as there are CPUs decode.
FETCHING = 2

#: Scenes whose wish to end is remembered, the last ones; far fewer are in hand at one time.
REMEMBERED = 4096


@dataclass(slots=True, eq=False)
class _Item:
    work: Work
    future: Future[Any]
    stop: threading.Event


class Threads:
    """Works on threads of this process; GDAL and NumPy release the interpreter's lock.

    Parameters
    ----------
    width : int
        Threads.
    policy : Policy, optional
        As of `HostQueue`.
    """

    def __init__(self, width: int, *, policy: Policy | None = None) -> None:
        self.width, self.part = width, ""
        self._pool = ThreadPoolExecutor(width, thread_name_prefix="landsat-downsample")
        self._lock = threading.Lock()
        self._queue: HostQueue[_Item] = HostQueue(policy)
        self._flags: Recent[str, threading.Event] = Recent(REMEMBERED)
        self._group, self._order = "", 0
        self._working = 0

    def submit(self, work: Work) -> Future[Any]:
        """Hand work in."""
        with self._lock:
            if work.group != self._group:  # groups come one after the other: the last one is all to remember
                self._group, self._order = work.group, self._order + 1
            item = _Item(work, Future(), self._flags.setdefault(work.group, threading.Event()))
            self._queue.push(self._order, work.host, item)
        with undisturbed():  # a pool that is cut while it starts a thread does not know it, nor wait for it
            self._pool.submit(self._work)
        return item.future

    def halt(self, group: str) -> None:
        """Take back a group's work that has not begun; let the rest end at its next strip."""
        with self._lock:
            self._flags.setdefault(group, threading.Event()).set()
            gone = self._queue.withdraw(lambda item: item.work.group == group)
        for item in gone:
            item.future.cancel()
            item.future.set_running_or_notify_cancel()

    def close(self, *, now: bool = False) -> None:
        """Wait for the work that has begun; for the rest too, but for ``now``."""
        if now:
            with self._lock:
                gone = self._queue.withdraw(lambda item: True)
            for item in gone:
                item.future.cancel()
                item.future.set_running_or_notify_cancel()
        self._pool.shutdown(wait=True)

    def _work(self) -> None:
        """Work until nothing may be done: what a host that is asked enough must give is left to the threads at it."""
        while (item := self._next()) is not None:
            try:
                if item.future.set_running_or_notify_cancel():
                    _settle(item, self._idle_threads)
            finally:
                with self._lock:
                    self._working -= 1
                    self._queue.ended(item.work.host)

    def _next(self) -> _Item | None:
        with self._lock:
            item = self._queue.pop()
            self._working += item is not None
            return item

    def _idle_threads(self) -> int:
        """Threads for a piece that begins now: more than one where no other waits for them."""
        with self._lock:
            return 1 if self._queue else max(1, min(self.width, cpus()) // self._working)


def _settle(item: _Item, idle_threads: Callable[[], int]) -> None:
    try:
        item.future.set_result(_process(item, idle_threads))
    except BaseException as error:  # whoever waits for the future is to hear of it
        item.future.set_exception(error)


def _process(item: _Item, idle_threads: Callable[[], int]) -> Any:
    with wrapping(f"{item.work.label} failed"), cancellation.stoppable(item.stop):
        cancellation.check()
        return item.work.carry_out(idle_threads)


def threads_for(workers: int | None, *, local: bool) -> int:
    """Threads for a run: as many as there are CPUs, and two more where bands come over a network.

    Raises
    ------
    UsageError
        The number asked for is not one or more.
    """
    if workers is None:
        return cpus() + (0 if local else FETCHING)
    if workers < 1:
        raise UsageError(f"workers {workers!r} must be at least 1: it is a number of threads")
    return workers


def cpus() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
