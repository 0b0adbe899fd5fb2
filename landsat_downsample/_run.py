"""Run plans: targets side by side, a scene published when all of its bands are there."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from landsat_downsample import _publish, _store
from landsat_downsample._errors import LandsatDownsampleError, ReadError
from landsat_downsample._plan import ScenePlan, Target
from landsat_downsample._process import Done, process

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
    bands: int = 0
    bytes_in: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Progress:
    """A step of a run, for whoever shows it."""

    kind: str
    """``scene`` (begun), ``band`` (done) or ``outcome``."""
    plan: ScenePlan
    done: Done | None = None
    outcome: Outcome | None = None


@dataclass(slots=True)
class _Work:
    """A scene in hand."""

    plan: ScenePlan
    publication: _store.Publication
    begun: float
    done: list[Done] = field(default_factory=list)
    waiting: set[Future] = field(default_factory=set)
    error: BaseException | None = None


def run_plans(
    plans: Iterable[ScenePlan], *, workers: int | None = None, report: Callable[[Progress], None] | None = None
) -> list[Outcome]:
    """Reduce and publish scenes on the threads of this process.

    Parameters
    ----------
    plans : iterable of ScenePlan
        Taken one at a time, as the work needs them.
    workers : int, optional
        Threads; as many as there are CPUs. GDAL and NumPy release the interpreter's lock.
    report : callable, optional
        Told of every step, in the calling thread.

    Returns
    -------
    list of Outcome
        One for each plan, in their order. A failed scene leaves nothing under its final name,
        and does not stop the others.
    """
    report = report or (lambda step: None)
    queue, outcomes, active = iter(plans), {}, []
    order: list[ScenePlan] = []
    pool = ThreadPoolExecutor(workers or os.cpu_count() or 1, thread_name_prefix="landsat-downsample")
    try:
        while True:
            while len(active) < SCENES_AT_ONCE and (plan := next(queue, None)) is not None:
                order.append(plan)
                outcome = _begin(plan, pool, active)
                report(Progress("scene", plan, outcome=outcome))
                if outcome:
                    outcomes[id(plan)] = _tell(report, plan, outcome)
            if not active:
                return [outcomes[id(plan)] for plan in order]
            wait(set().union(*(work.waiting for work in active)), return_when=FIRST_COMPLETED)
            for work in [work for work in active if _collect(work, report)]:
                active.remove(work)
                outcomes[id(work.plan)] = _tell(report, work.plan, _end(work))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        for work in active:  # interrupted: leave nothing behind
            work.publication.abort()


def _tell(report: Callable, plan: ScenePlan, outcome: Outcome) -> Outcome:
    report(Progress("outcome", plan, outcome=outcome))
    return outcome


def _begin(plan: ScenePlan, pool: ThreadPoolExecutor, active: list[_Work]) -> Outcome | None:
    """Start a scene's targets; or say at once what became of it."""
    try:
        if _publish.already_done(plan):
            return Outcome(plan.scene.id, "skipped", _store.join(plan.dest, plan.name, plan.marker))
        publication = _store.Publication(plan.dest, plan.name, overwrite=plan.overwrite)
    except LandsatDownsampleError as error:
        return Outcome(plan.scene.id, "failed", error=error)
    work = _Work(plan, publication, time.perf_counter())
    work.waiting = {pool.submit(_process, target, publication) for target in plan.targets}
    active.append(work)
    return None


def _process(target: Target, publication: _store.Publication) -> Done:
    try:
        return process(target, publication)
    except LandsatDownsampleError:
        raise
    except MemoryError as error:
        raise ReadError(f"band {target.key} needs more memory than there is: give a larger machine, or fewer workers") from error
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
            report(Progress("band", work.plan, done=future.result()))
        elif work.error is None:
            work.error = error
            for other in work.waiting:
                other.cancel()
    return not work.waiting


def _end(work: _Work) -> Outcome:
    """Publish a scene, or take back what was stored of it."""
    facts = {
        "bands": sum(len(part.products) for part in work.done),
        "bytes_in": sum(part.bytes_in for part in work.done),
    }
    try:
        if work.error is not None:
            raise work.error
        href = _publish.publish(work.plan, work.done, work.publication)
        return Outcome(work.plan.scene.id, "done", href, seconds=time.perf_counter() - work.begun, **facts)
    except LandsatDownsampleError as error:
        work.publication.abort()
        return Outcome(work.plan.scene.id, "failed", error=error, seconds=time.perf_counter() - work.begun, **facts)
    except BaseException:
        work.publication.abort()
        raise
