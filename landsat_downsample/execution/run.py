"""Run plans: targets side by side, a scene published when all of its bands are there."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Iterable, Sized
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from landsat_downsample.errors import LandsatDownsampleError, ReadError, WriteError
from landsat_downsample.execution.destination import Places
from landsat_downsample.execution.interrupts import undisturbed
from landsat_downsample.execution.outcomes import Outcome, Outcomes
from landsat_downsample.execution.threads import Threads, threads_for
from landsat_downsample.execution.work import BandWork, Work
from landsat_downsample.model.plan import ScenePlan
from landsat_downsample.model.policy import Policy
from landsat_downsample.model.safe_text import plain
from landsat_downsample.model.words import part_words, size_words
from landsat_downsample.pipeline.band import Done
from landsat_downsample.products import publish
from landsat_downsample.products.picture import EarlyPicture
from landsat_downsample.storage import cancellation
from landsat_downsample.storage.bugs import wrapped
from landsat_downsample.storage.publication import Publication

#: Scenes whose bands are in hand at one time: the next one starts while the last bands of this one end.
SCENES_AT_ONCE = 2

#: Scenes opened ahead, and published at one time: both wait for stores more than they compute.
OPENING, PUBLISHING = 8, 4


#: Seconds after which a signal is noticed at the latest.
NOTICED = 1.0


@dataclass(frozen=True, slots=True, repr=False)
class Progress:
    """A step of a run, for whoever shows it or keeps it on record.

    Examples
    --------
    >>> def show(step):
    ...     if step.done:
    ...         print(step.scene_id, step.done.name)
    >>> outcomes = ld.run(ld.plan(scene, "out", factor=10, bands="red"), report=show)
    LC08_L2SP_192028_20230714_20230724_02_T1 SR_B4
    """

    scene_id: str
    """As of its outcome."""
    plan: ScenePlan | None = None
    """None where the source could not be opened."""
    begun: bool = False
    """Its bands are handed in now."""
    done: Done | None = None
    """A band of it is reduced and stored."""
    outcome: Outcome | None = None
    """All of it has ended."""

    def __repr__(self) -> str:
        steps = [f"{len(self.plan.targets)} bands begun"] if self.begun and self.plan else []
        if done := self.done:
            steps.append(f"{done.name} done, {size_words(done.bytes_in)} read in {done.seconds:.1f} s")
        steps += [f"{self.outcome.status}"] if self.outcome else []
        return plain(f"<Progress {self.scene_id}: {'; '.join(steps) or 'opened'}>", 500)


class Request(Protocol):
    """A scene that is to be reduced, and not opened yet."""

    @property
    def label(self) -> str:
        """What to call it as long as its ID is not known; free of secrets."""

    @property
    def source(self) -> dict[str, Any]:
        """As `Outcome.source`."""

    def plan(self) -> ScenePlan:
        """Open it, headers only, and plan it."""


class Look(Protocol):
    """What was seen of a scene's source before it was opened."""

    @property
    def scene_id(self) -> str:
        """ID of the scene that its name tells."""


L = TypeVar("L", bound=Look)


class Seen(Protocol[L]):
    """Products that earlier runs made or found whole, known again without opening their sources."""

    def look(self, request: object) -> L | None:
        """Look at a source; None where that would not tell enough."""

    def there(self, look: L) -> tuple[str, str] | None:
        """The item of its product and its stamp, where both are as they were seen."""

    def stamp(self, look: L, plan: ScenePlan) -> str:
        """What to keep of a product that is there now."""


class Executor(Protocol):
    """Where targets are reduced: the threads of this process, or a dask cluster."""

    @property
    def width(self) -> int:
        """Pieces of work that are done at one time."""

    part: str
    """Which part of the run the work to be handed in belongs to, for whoever looks at the executor."""

    def submit(self, work: Work) -> Future[Any]:
        """Begin it, now or when its turn comes."""

    def halt(self, group: str) -> None:
        """Take back and stop the work of a group."""

    def close(self, *, now: bool = False) -> None:
        """End; with `now`, without waiting for work."""


@dataclass(slots=True, eq=False)
class _Work:
    """A scene in hand: opened, then its bands reduced, then published."""

    number: int
    request: ScenePlan | Request
    opening: Future[_Opened | _Found]
    plan: ScenePlan | None = None
    """Known once it is opened, or at least planned."""
    begun: float = 0.0
    done: list[Done] = field(default_factory=list)
    waiting: set[Future[Any]] = field(default_factory=set)
    error: BaseException | None = None
    picture: EarlyPicture | None = None
    ending: Future[Outcome] | None = None

    @property
    def opened(self) -> _Opened:
        """What its opening gave, once that has ended well."""
        opened = self.opening.result()
        assert isinstance(opened, _Opened)
        return opened

    @property
    def awaited(self) -> set[Future[Any]]:
        """What it waits for now."""
        return self.waiting or {self.ending or self.opening}

    @property
    def name(self) -> str:
        """Its scene's ID, or what to call it until that is known."""
        if isinstance(self.request, ScenePlan):
            return self.request.id
        return self.plan.id if self.plan else self.request.label

    def outcome(self, status: str, **facts: Any) -> Outcome:
        """What became of it."""
        request = self.request
        source = {"source": request.scene.href} if isinstance(request, ScenePlan) else request.source
        seconds = time.perf_counter() - self.begun if self.begun else 0.0
        return Outcome(facts.pop("scene_id", self.name), status, source=source, seconds=seconds, **facts)


def run_plans(
    requests: Iterable[ScenePlan | Request],
    *,
    workers: int | None = None,
    executor: Executor | None = None,
    report: Callable[[Progress], object] | None = None,
    stop: threading.Event | None = None,
    policy: Policy | None = None,
    seen: Seen[Any] | None = None,
) -> Outcomes:
    """Reduce and publish scenes.

    Parameters
    ----------
    requests : iterable of ScenePlan or Request
        Taken and opened a few at a time, as the work needs them.
    workers : int, optional
        Threads; as many as there are CPUs, and two more for remote sources, so that bands are
        fetched while others are decoded.
    executor : Executor, optional
        What reduces the targets; closed at the end. Threads of this process by default.
    report : callable, optional
        Called with every step, in the calling thread.
    stop : threading.Event, optional
        Once it is set no further scene begins; those in hand are finished.
    policy : Policy, optional
        As of `HostQueue`, for threads of this process; an executor that is given has its own.
    seen : Seen, optional
        What earlier runs know of products that are there; those are not opened.

    Returns
    -------
    Outcomes
        One for each scene that began or could not, in their order. A failed scene leaves
        nothing under its final name, and does not stop the others; unless the destination
        would refuse them too (`WriteError.for_all`): no further scene begins then.

    Raises
    ------
    UsageError
        The number of workers is not one or more.
    """
    if workers is not None:
        threads_for(workers, local=True)  # refused before anything is opened

    def threads(plan: ScenePlan) -> Executor:
        local = plan.targets[0].band.location.is_local
        return Threads(threads_for(workers, local=local), policy=policy)

    run = _Run(requests, executor, threads, report or (lambda step: None), stop or threading.Event(), seen=seen)
    return run.outcomes()


class _Run:
    """One run's state, all of it in the hands of the calling thread."""

    def __init__(
        self,
        requests: Iterable[ScenePlan | Request],
        executor: Executor | None,
        make: Callable[[ScenePlan], Executor],
        report: Callable[[Progress], object],
        stop: threading.Event,
        *,
        seen: Seen[Any] | None,
    ) -> None:
        """Without an executor, one is made once the first scene is known."""
        self._requests = enumerate(requests)
        self._executor, self._make, self._seen = executor, make, seen
        self._report, self._stop, self._abandoned = report, stop, threading.Event()
        self._openers = ThreadPoolExecutor(OPENING, thread_name_prefix="opening")
        self._publishers = ThreadPoolExecutor(PUBLISHING, thread_name_prefix="publishing")
        self._total = len(requests) if isinstance(requests, Sized) else None
        self._places = Places(self._total or 1)
        self._refused = False
        self._active: list[_Work] = []
        self._outcomes = Outcomes()

    def outcomes(self) -> Outcomes:
        """Do it."""
        try:
            while True:
                self._fill()
                if not self._active:
                    return self._outcomes
                # A scene that is opened and not begun waits for others, which have begun.
                awaited = (work.awaited for work in self._active if work.begun or work.plan is None)
                # A signal that comes just before Python begins to wait is noticed when it has waited.
                wait(set().union(*awaited), timeout=NOTICED, return_when=FIRST_COMPLETED)
                for work in list(self._active):
                    self._advance(work)
        finally:
            with undisturbed():
                self._clean()

    def _fill(self) -> None:
        """Keep scenes opened ahead, and enough bands in hand for every worker."""
        while not self._is_stopping() and sum(not work.begun for work in self._active) < OPENING:
            if (following := next(self._requests, None)) is None:
                break
            opening = self._openers.submit(_open, following[1], self._places, self._seen, self._abandoned)
            self._active.append(_Work(*following, opening))
        for work in [work for work in self._active if work.plan and not work.begun]:
            if self._is_stopping():
                self._active.remove(work)
            elif self._hungry():
                self._begin(work)

    def _is_stopping(self) -> bool:
        return self._refused or self._stop.is_set()

    def _hungry(self) -> bool:
        """Whether another scene is to begin: two at least, and enough bands in hand for every worker.

        Not while a destination is slow to take those that are reduced: they would pile up in memory.
        """
        begun = [work for work in self._active if work.begun]
        if sum(work.ending is not None for work in begun) >= 2 * PUBLISHING:
            return False
        width = self._executor.width if self._executor else 1
        return len(begun) < SCENES_AT_ONCE or sum(len(work.waiting) for work in begun) < 2 * width

    def _advance(self, work: _Work) -> None:
        """Take in what has ended of a scene, and let its next step begin."""
        if work.plan is None:
            if work.opening.done():
                self._take(work)
        elif work.ending is not None:
            if work.ending.done():
                self._leave(work, work.ending.result())
        elif work.begun:
            self._collect(work)
            if not work.waiting:
                with undisturbed():  # a pool that is cut while it starts a thread does not know it, nor wait for it
                    work.ending = self._publishers.submit(_end, work, self._abandoned)

    def _take(self, work: _Work) -> None:
        """Take a scene that is opened; or say at once what became of it."""
        error = work.opening.exception()
        if error is None and isinstance(found := work.opening.result(), _Found):
            self._leave(work, work.outcome("skipped", href=found.there, stamp=found.stamp, scene_id=found.scene_id))
        elif error is None:
            work.plan = work.opened.plan
            if work.opened.there:
                self._leave(work, work.outcome("skipped", href=work.opened.there, stamp=work.opened.known))
        elif isinstance(error, _NotBegun):
            work.plan = error.plan
            self._leave(work, work.outcome("failed", error=error.reason))
        elif isinstance(error, Exception):
            self._leave(work, work.outcome("failed", error=wrapped(error, f"cannot open {work.name!r}")))
        else:
            raise error

    def _begin(self, work: _Work) -> None:
        opened = work.opened
        if self._executor is None:
            self._executor = self._make(opened.plan)
        work.begun = time.perf_counter()
        self._executor.part = part_words(work.number, self._total) if self._total else ""
        work.picture = picture = EarlyPicture(opened.plan, self._publishers)
        for target in sorted(opened.plan.targets, key=lambda target: not picture.shows(target.band.name)):
            band = BandWork(target, opened.publication, alone=len(opened.plan.targets) == 1)
            work.waiting.add(self._executor.submit(band))
        self._report(Progress(work.name, work.plan, begun=True))

    def _collect(self, work: _Work) -> None:
        """Take in the targets that have ended."""
        for future in [future for future in work.waiting if future.done()]:
            work.waiting.discard(future)
            if future.cancelled():
                continue
            error = future.exception()
            if error is None:
                work.done.append(done := future.result())
                if work.picture:
                    with undisturbed():  # as of `_advance`
                        work.picture.add(done)
                    if work.picture.is_drawn:
                        work.done = [replace(part, preview=part.preview[:0].copy()) for part in work.done]
                self._report(Progress(work.name, work.plan, done=done))
                if done.doubt:
                    _warn_of_doubt(done, work.opened.plan)
            elif work.error is None:
                work.error = error
                self._halt(work)

    def _leave(self, work: _Work, outcome: Outcome) -> None:
        self._active.remove(work)
        if getattr(outcome.error, "for_all", False):
            if self._refused and not work.begun:
                return  # it did not begin, as all that come after it
            self._refused = True
        self._outcomes.add(work.number, outcome)
        self._report(Progress(work.name, work.plan, outcome=outcome))

    def _halt(self, work: _Work) -> None:
        """Take back what has not begun, and let what has begun end at its next strip."""
        if self._executor is not None and work.waiting:
            self._executor.halt(work.opened.publication.token)

    def _clean(self) -> None:
        """End all work, and leave nothing behind of scenes that were interrupted."""
        self._abandoned.set()
        self._openers.shutdown(wait=False, cancel_futures=True)
        for work in self._active:
            self._halt(work)
        if self._executor is not None:
            self._executor.close(now=True)
        self._publishers.shutdown(wait=True, cancel_futures=True)
        for work in self._active:
            ended = work.ending is not None and work.ending.done() and not work.ending.cancelled()
            if work.plan is not None and not ended:
                with suppress(LandsatDownsampleError):
                    work.opened.publication.abort()


@dataclass(frozen=True, slots=True)
class _Opened:
    plan: ScenePlan
    publication: Publication
    there: str | None
    """Its product's STAC item, where it is done already, or in hand."""
    known: str
    """The stamp of that product, where it was looked at."""
    stamp: Callable[[], str]
    """Gives what to keep of its product, once that is there."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A scene that was not opened: its product is there, as an earlier run has seen it."""

    scene_id: str
    there: str
    stamp: str


class _NotBegun(LandsatDownsampleError):
    """A scene was opened, and cannot begin."""

    def __init__(self, plan: ScenePlan, reason: LandsatDownsampleError) -> None:
        super().__init__(str(reason))
        self.plan, self.reason = plan, reason


def _open(
    request: ScenePlan | Request, places: Places, seen: Seen[Any] | None, abandoned: threading.Event
) -> _Opened | _Found:
    """Open and plan a scene, and look at its destination; in a thread."""
    with cancellation.stoppable(abandoned):
        look = seen.look(request) if seen else None
        if seen and look and (found := seen.there(look)):
            return _Found(look.scene_id, *found)
        plan = request if isinstance(request, ScenePlan) else request.plan()
        try:
            first = places.take(plan, plan.scene.href if isinstance(request, ScenePlan) else request.label)
            publication = Publication(plan.dest, plan.name, overwrite=plan.overwrite)
            publish.check_apart(plan)
            if first and places.has_leftovers(plan):
                publication.sweep()
            try:
                there = not first or publish.already_done(plan)
            except ReadError:  # where it cannot even be looked for, the reason may be one for all scenes
                places.try_one(plan)
                raise
            if not there:
                places.try_one(plan)
        except Exception as error:
            raise _NotBegun(plan, wrapped(error, f"cannot begin {plan.name!r}", WriteError)) from error

        def stamp() -> str:
            return seen.stamp(look, plan) if seen and look else ""

        known = stamp() if there and first else ""
    return _Opened(plan, publication, (plan.location / plan.marker).href if there else None, known, stamp)


def _end(work: _Work, abandoned: threading.Event) -> Outcome:
    """Publish a scene, or take back what was stored of it; in a thread."""
    facts = {
        "files": sum(len(part.products) for part in work.done),
        "bytes_in": sum(part.bytes_in for part in work.done),
        "requests": sum(part.requests for part in work.done),
    }
    try:
        if work.error is not None:
            raise work.error
        with cancellation.stoppable(abandoned):
            drawn = work.picture.result() if work.picture else None
            href = publish.publish(work.opened.plan, work.done, work.opened.publication, drawn)
    except Exception as error:
        why = wrapped(error, f"cannot publish {work.opened.plan.name!r}", WriteError)
        return _failed(work, publish.overtaken(work.opened.plan, why), facts)
    return work.outcome("done", href=href, stamp=work.opened.stamp(), **facts)


def _warn_of_doubt(done: Done, plan: ScenePlan) -> None:
    """Warn of a mean that may be wrong, unless it was asked for."""
    if done.name.lower() in map(str.lower, plan.options.methods):
        return
    with suppress(Warning):  # where warnings are errors: the work goes on all the same
        warnings.warn(
            f"{plan.scene.id}: {done.name} {done.doubt}: give --method {done.name}=mode if they are, "
            f"{done.name}=mean if they are not (methods= in Python)",
            stacklevel=2,
        )


def _failed(work: _Work, error: LandsatDownsampleError, facts: dict[str, int]) -> Outcome:
    with suppress(LandsatDownsampleError):  # the first error is the one to report
        work.opened.publication.abort()
    return work.outcome("failed", error=error, **facts)
