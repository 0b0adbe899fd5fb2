"""Run plans: targets side by side, a scene published when all of its bands are there."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import Protocol

from landsat_downsample import _publish, _stop, _store
from landsat_downsample._errors import LandsatDownsampleError, ReadError, UsageError, WriteError
from landsat_downsample._plan import ScenePlan, Target
from landsat_downsample._process import Done, process

#: Threads that wait for the network while as many as there are CPUs decode.
FETCHING = 2

#: Scenes whose bands are in hand at one time: the next one starts while the last bands of this one end.
SCENES_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one scene."""

    scene_id: str
    status: str
    """``done``, ``skipped`` (it was there already) or ``failed``."""
    href: str | None = None
    """The product's STAC item."""
    error: LandsatDownsampleError | None = None
    files: int = 0
    """Rasters written."""
    bytes_in: int = 0
    """Bytes read: those that came over the network, else of the local files."""
    requests: int = 0
    """Requests to remote stores, retries included."""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Progress:
    """A step of a run, for whoever shows it."""

    plan: ScenePlan
    done: Done | None = None
    """A band of it is reduced and stored."""
    outcome: Outcome | None = None
    """All of it has ended."""


class Executor(Protocol):
    """Where targets are reduced: the threads of this process, or a dask cluster."""

    width: int
    """Targets at work at one time."""

    def submit(self, target: Target, publication: _store.Publication) -> Future: ...
    def halt(self, publication: _store.Publication) -> None: ...
    def close(self, *, now: bool = False) -> None: ...


class Threads:
    """Reduces targets on threads of this process; GDAL and NumPy release the interpreter's lock."""

    def __init__(self, width: int) -> None:
        self.width = width
        self._pool = ThreadPoolExecutor(width, thread_name_prefix="landsat-downsample")
        self._flags: dict[str, threading.Event] = {}

    def submit(self, target: Target, publication: _store.Publication) -> Future:
        """Hand a target in."""
        flag = self._flags.setdefault(publication.token, threading.Event())
        return self._pool.submit(_process, target, publication, flag)

    def halt(self, publication: _store.Publication) -> None:
        """Let the targets of a scene end at their next strip."""
        self._flags.setdefault(publication.token, threading.Event()).set()

    def close(self, *, now: bool = False) -> None:
        """Wait for the targets that have begun; of the others too, but for ``now``."""
        self._pool.shutdown(wait=True, cancel_futures=now)


@dataclass(slots=True)
class _Work:
    """A scene in hand."""

    plan: ScenePlan
    publication: _store.Publication
    executor: Executor
    begun: float
    done: list[Done] = field(default_factory=list)
    waiting: set[Future] = field(default_factory=set)
    error: BaseException | None = None

    def halt(self) -> None:
        """Take back what has not begun, and let what has begun end at its next strip."""
        self.executor.halt(self.publication)
        for future in self.waiting:
            future.cancel()


def run_plans(
    plans: Iterable[ScenePlan],
    *,
    workers: int | None = None,
    executor: Executor | None = None,
    report: Callable[[Progress], None] | None = None,
) -> list[Outcome]:
    """Reduce and publish scenes.

    Parameters
    ----------
    plans : iterable of ScenePlan
        Taken one at a time, as the work needs them.
    workers : int, optional
        Threads; as many as there are CPUs, and two more for remote sources, so that bands are
        fetched while others are decoded.
    executor : Executor, optional
        What reduces the targets; closed at the end. Threads of this process by default.
    report : callable, optional
        Told of every step, in the calling thread.

    Returns
    -------
    list of Outcome
        One for each plan, in their order. A failed scene leaves nothing under its final name,
        and does not stop the others.

    Raises
    ------
    UsageError
        The number of workers is not one or more.
    """
    report, plans, active = report or (lambda step: None), iter(plans), []
    first = next(plans, None)
    if first is None:
        return []
    queue = enumerate(chain([first], plans))
    outcomes: dict[int, Outcome] = {}
    executor = executor or Threads(_threads(workers, first))
    try:
        while True:
            while _hungry(active, executor) and (entry := next(queue, None)) is not None:
                number, plan = entry
                if outcome := _begin(number, plan, executor, active):
                    outcomes[number] = outcome
                    report(Progress(plan, outcome=outcome))
            if not active:
                return [outcomes[number] for number in sorted(outcomes)]
            wait(set().union(*(work.waiting for _, work in active)), return_when=FIRST_COMPLETED)
            for number, work in [entry for entry in active if _collect(entry[1], report)]:
                outcomes[number] = _end(work)
                active.remove((number, work))
                report(Progress(work.plan, outcome=outcomes[number]))
    finally:
        with _undisturbed():
            _clean(executor, [work for _, work in active])


def _hungry(active: list[tuple[int, _Work]], executor: Executor) -> bool:
    """Whether another scene is to begin: two at least, and enough bands in hand for every worker."""
    return len(active) < SCENES_AT_ONCE or sum(len(work.waiting) for _, work in active) < 2 * executor.width


def _threads(workers: int | None, plan: ScenePlan) -> int:
    if workers is None:
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return cpus if _store.is_local(plan.targets[0].band.href) else cpus + FETCHING
    if workers < 1:
        raise UsageError(f"workers {workers!r} must be at least 1: it is a number of threads")
    return workers


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let the cleaning end: a second Ctrl-C would leave what it was to remove."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _clean(executor: Executor, active: list[_Work]) -> None:
    """End all work, and leave nothing behind of scenes that were interrupted."""
    for work in active:
        work.halt()
    executor.close(now=True)
    for work in active:
        with suppress(LandsatDownsampleError):
            work.publication.abort()


def _begin(number: int, plan: ScenePlan, executor: Executor, active: list) -> Outcome | None:
    """Start a scene's targets; or say at once what became of it."""
    try:
        publication = _store.Publication(plan.dest, plan.name, overwrite=plan.overwrite)
        _publish.check_apart(plan)
        publication.sweep()
        if _publish.already_done(plan):
            return Outcome(plan.scene.id, "skipped", _store.join(plan.dest, plan.name, plan.marker))
    except LandsatDownsampleError as error:
        return Outcome(plan.scene.id, "failed", error=error)
    work = _Work(plan, publication, executor, time.perf_counter())
    active.append((number, work))
    for target in plan.targets:
        work.waiting.add(executor.submit(target, publication))
    return None


def _process(target: Target, publication: _store.Publication, stop: threading.Event) -> Done:
    try:
        with _stop.stoppable(stop):
            return process(target, publication)
    except LandsatDownsampleError:
        raise
    except MemoryError as error:
        raise ReadError(
            f"band {target.key} needs more memory than there is: give a larger machine, or fewer workers"
        ) from error
    except Exception as error:
        raise ReadError(f"band {target.key} failed unexpectedly: {type(error).__name__}: {error}") from error


def _collect(work: _Work, report: Callable) -> bool:
    """Take in the targets that have ended; True when none is left."""
    for future in [future for future in work.waiting if future.done()]:
        work.waiting.discard(future)
        if future.cancelled():
            continue
        error = future.exception()
        if error is None:
            work.done.append(future.result())
            report(Progress(work.plan, done=future.result()))
        elif work.error is None:
            work.error = error
            work.halt()
    return not work.waiting


def _end(work: _Work) -> Outcome:
    """Publish a scene, or take back what was stored of it."""
    facts = {
        "files": sum(len(part.products) for part in work.done),
        "bytes_in": sum(part.bytes_in for part in work.done),
        "requests": sum(part.requests for part in work.done),
    }
    try:
        if work.error is not None:
            raise work.error
        href = _publish.publish(work.plan, work.done, work.publication)
    except LandsatDownsampleError as error:
        return _failed(work, error, facts)
    except Exception as error:
        failure = WriteError(f"cannot publish {work.plan.name!r}: {type(error).__name__}: {error}")
        failure.__cause__ = error
        return _failed(work, failure, facts)
    return Outcome(work.plan.scene.id, "done", href, seconds=time.perf_counter() - work.begun, **facts)


def _failed(work: _Work, error: LandsatDownsampleError, facts: dict) -> Outcome:
    with suppress(LandsatDownsampleError):  # the first error is the one to tell
        work.publication.abort()
    return Outcome(work.plan.scene.id, "failed", error=error, seconds=time.perf_counter() - work.begun, **facts)
