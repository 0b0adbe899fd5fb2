"""Work on a dask cluster, behind futures of the standard library; never stuck, never silent.

One thread owns all state and acts on messages: a target handed in, begun, ended; a scene given
up. Between messages it looks after the cluster: whatever dask itself would wait for without end
is reported as a failure of the targets that it concerns.
"""

from __future__ import annotations

import itertools
import queue
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from landsat_downsample.errors import InternalError, LandsatDownsampleError, ReadError
from landsat_downsample.execution.dask_worker import carry_out_on_worker, stop_on_worker
from landsat_downsample.execution.host_queue import HostQueue
from landsat_downsample.execution.work import Work
from landsat_downsample.model.policy import Policy
from landsat_downsample.storage.bugs import is_bug, warn, wrapped

if TYPE_CHECKING:
    import distributed
    from dask.typing import Key

#: Seconds for a result to come; straight from a worker of this machine it takes milliseconds, or the worker is
#: dead, and dask would try for half a minute to reach it.
FETCH, FETCH_DIRECT = 30.0, 5.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to wait for what, in seconds, and how often to try again."""

    piece: float = 900.0
    """For one piece of work from its beginning, besides the time for its bytes."""
    slowest: float = 250_000.0
    """Bytes per second that its source gives at the least."""
    starved: float = 120.0
    """Without any worker, until the targets in hand are given up."""
    deserted: float = 1200.0
    """Without any worker, until all targets are."""
    stalled: float = 180.0
    """With workers, but no target at work."""
    lost: float = 60.0
    """Without the scheduler."""
    retries: int = 1
    """Further tries of a target that died with its worker, or hung. Errors that it raises are final."""
    ending: float = 20.0
    """For targets at work to end when the run is given up."""
    poll: float = 2.0
    """Between two looks at the cluster."""

    def of(self, work: Work) -> float:
        """Return the seconds that a piece of work may take."""
        return self.piece + work.bytes_in / self.slowest


@dataclass(slots=True)
class Staff:
    """Workers of the cluster, as often as it is looked at."""

    now: int = 0
    most: int = 0
    """That were there at one time."""
    lost: int = 0
    """That went without being asked to."""


class WorkFuture(Future[Any]):
    """What will become of a piece of work. To cancel one asks its whole group to end: see `DaskExecutor.halt`."""

    def __init__(self, halt: Callable[[], None]) -> None:
        super().__init__()
        self._halt = halt

    def cancel(self) -> bool:
        """Ask the scene to end. False: what has begun ends by itself, soon, and is waited for."""
        if not self.done():
            self._halt()
        return False


@dataclass(slots=True)
class _Item:
    work: Work
    future: WorkFuture
    order: int
    """Of its scene: earlier ones first, so that scenes get finished."""
    part: str
    tries: int = 0
    begun: float | None = None
    worker: str | None = None
    memory_limit: int = 0
    sent: distributed.Future[Any] | None = field(default=None, repr=False)
    key: tuple[str | int, ...] = ()
    """Of its present try: no two are alike, so that nothing is taken for something done before."""


class DaskExecutor:
    """Works on a dask client's cluster.

    Parameters
    ----------
    client : distributed.Client
        From `cluster`.
    limits : Limits, optional
        How patient to be.
    owned : bool
        Whether the cluster is this run's alone: only then are workers restarted.
    policy : Policy, optional
        As of `HostQueue`.
    """

    def __init__(
        self,
        client: distributed.Client,
        *,
        limits: Limits | None = None,
        owned: bool = False,
        policy: Policy | None = None,
    ) -> None:
        self._client, self._limits, self._owned = client, limits or Limits(), owned
        self.part = ""
        self._inbox: queue.SimpleQueue[tuple[Callable[[Any], bool | None], Any]] = queue.SimpleQueue()
        self._group, self._order = "", 0
        self._queue: HostQueue[_Item] = HostQueue(policy)
        self._in_flight: dict[Key, _Item] = {}
        if client.scheduler is None:
            raise ReadError("the client of the cluster is closed: connect another one")
        self._workers: dict[str, int] = {}
        self.staff = Staff()
        self._meet(client.sync(client.scheduler.ncores, callback_timeout=30))
        self._fed = self._active = self._heard = self._looked = self._staffed = time.monotonic()
        self._revived = False
        self._closing: float | None = None
        self._gone: LandsatDownsampleError | None = None
        self._run, self._tries = uuid.uuid4().hex[:8], itertools.count(1)
        self._topic = f"landsat-downsample-{self._run}"
        client.subscribe_topic(self._topic, lambda event: self._inbox.put((self._on_begun, event[1])))
        self._thread = threading.Thread(target=self._live, name="landsat-downsample-dask", daemon=True)
        self._thread.start()

    @property
    def client(self) -> distributed.Client:
        """Of the cluster."""
        return self._client

    @property
    def width(self) -> int:
        """Targets that the cluster works on at one time."""
        return max(sum(self._workers.values()), 1)

    def submit(self, work: Work) -> WorkFuture:
        """Hand work in; it is sent to the cluster when its turn comes."""
        if not self._thread.is_alive():
            raise RuntimeError("submit to an executor that is closed")
        future = WorkFuture(lambda: self.halt(work.group))
        if work.group != self._group:  # groups come one after the other: the last one is all to remember
            self._group, self._order = work.group, self._order + 1
        self._inbox.put((self._on_submit, _Item(work, future, self._order, self.part)))
        return future

    def halt(self, group: str) -> None:
        """Take back a group's work that has not begun; let the rest end at its next strip."""
        self._inbox.put((self._on_halt, group))

    def __enter__(self) -> DaskExecutor:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: object) -> None:
        self.close(now=kind is not None)

    def close(self, *, now: bool = False) -> None:
        """Wait for all targets, or give them up at once, and leave the cluster as it is."""
        self._inbox.put((self._on_close, now))
        self._thread.join()

    # Everything below runs in the executor's own thread.

    def _live(self) -> None:
        ended = False
        while not ended:
            try:
                ended = self._act()
            except Exception as error:  # a client that was closed, or a mistake of ours: reported either way
                left = ReadError("the scheduler was lost") if self._client.status == "closed" else None
                self._lose(left or wrapped(error, "the cluster was left"))
        self._try(self._client.unsubscribe_topic, self._topic)

    def _act(self) -> bool:
        """Act on a message, and look after the cluster; True after the last message."""
        try:
            act, argument = self._inbox.get(timeout=self._limits.poll)
        except queue.Empty:
            pass
        else:
            if act(argument):
                return True
        if self._gone is None and time.monotonic() - self._looked >= self._limits.poll:
            self._look()
            self._looked = time.monotonic()
        self._pump()
        return False

    def _lose(self, why: LandsatDownsampleError) -> None:
        """The cluster is gone for good: targets that are still to come fail at once."""
        self._gone = why
        self._fail_all(why)

    def _on_submit(self, item: _Item) -> None:
        if self._gone is not None:
            item.future.set_exception(_failure(item, self._gone))
            return
        self._queue.push(item.order, item.work.host, item)

    def _on_begun(self, event: dict[str, Any]) -> None:
        if item := self._in_flight.get(tuple(event["key"])):
            item.begun = self._active = time.monotonic()
            item.worker, item.memory_limit = event["worker"], event["memory_limit"]

    def _on_halt(self, token: str) -> None:
        for item in self._queue.withdraw(lambda item: item.work.group == token):
            Future.cancel(item.future)
            item.future.set_running_or_notify_cancel()
        if any(item.work.group == token for item in self._in_flight.values()):
            run = self._client._run
            self._ask(run, stop_on_worker, token, wait=False, on_error="ignore")

    def _on_close(self, now: bool) -> bool:
        if now and self._closing is None:
            self._closing = time.monotonic()
            for token in {item.work.group for item in self._in_flight.values()}:
                self._on_halt(token)
        # What has begun would store its files after its scene was cleared away; it ends at its next strip.
        patient = self._closing is None or time.monotonic() - self._closing < self._limits.ending
        if patient and (self._in_flight or self._queue):
            # Asked again until nothing is left.
            threading.Timer(0.1, self._inbox.put, [(self._on_close, now)]).start()
            return False
        for item in self._in_flight.values():
            if item.sent is not None:
                self._try(item.sent.cancel)
        self._fail_all(ReadError("the run was interrupted"))
        scheduler = self._client.scheduler if self._gone is None else None
        if scheduler is not None and (workers := self._ask(scheduler.ncores)) is not None:
            self._meet(workers)  # some may have gone since the last look
        return True

    def _pump(self) -> None:
        """Keep the cluster fed, and its scheduler small: what waits, waits here."""
        window = 2 * self.width + 4
        while len(self._in_flight) < window and (item := self._queue.pop()) is not None:
            if not self._in_flight:
                self._active = time.monotonic()
            item.begun = item.worker = None
            # dask's progress has a bar for what stands before the run's name, and counts in it only what is handed
            # out: how far the run is, the bar's name must tell.
            name = f"{item.part or 'reduce'}-{self._run}"
            item.key = (name, *item.work.names, next(self._tries))
            self._in_flight[item.key] = item  # before it is sent, which may fail
            item.sent = self._client.submit(
                carry_out_on_worker,
                item.work,
                self._topic,
                item.key,
                key=item.key,
                priority=-item.order,
                pure=False,
            )
            item.sent.add_done_callback(lambda sent: self._inbox.put((self._on_landed, sent)))

    def _on_landed(self, sent: distributed.Future[Any]) -> None:
        item = self._in_flight.get(sent.key)
        if item is None or item.sent is not sent:
            return
        from distributed import KilledWorker

        try:
            done = sent.result(timeout=FETCH_DIRECT if self._client.direct_to_workers else FETCH)
        except TimeoutError:  # its worker died with the result, which is made anew
            sent.add_done_callback(lambda sent: self._inbox.put((self._on_landed, sent)))
            return
        except LandsatDownsampleError as error:
            self._settle(item, error)
        except KilledWorker:
            self._again(item, _killed(item))
        except BaseException as error:  # cancelled: the scheduler forgot it; or lost on the way
            self._again(item, f"was lost by the cluster ({type(error).__name__})", error)
        else:
            self._settle(item, done)

    def _land(self, item: _Item) -> None:
        """It is with the cluster no more."""
        if self._in_flight.pop(item.key, None):
            self._queue.ended(item.work.host)

    def _settle(self, item: _Item, result: object) -> None:
        self._land(item)
        self._active, item.sent = time.monotonic(), None
        if isinstance(result, BaseException):
            item.future.set_exception(result)
        else:
            item.future.set_result(result)

    def _again(self, item: _Item, what: str, error: BaseException | None = None) -> None:
        """Try a target once more, or report that it failed."""
        if item.tries >= self._limits.retries or self._closing is not None:
            name = item.work.label
            bug = wrapped(error, f"{name} failed") if error is not None and is_bug(error) else None
            self._settle(item, bug or ReadError(f"{name} {what}"))
            return
        self._land(item)
        item.tries += 1
        self._on_submit(item)

    def _look(self) -> None:
        now, limits = time.monotonic(), self._limits
        scheduler = self._client.scheduler if self._client.status == "running" else None
        workers = self._ask(scheduler.ncores) if scheduler is not None else None
        if workers is None:
            if now - self._heard > limits.lost or self._client.status == "closed":
                self._lose(ReadError(f"the scheduler was lost: no answer for {now - self._heard:.0f} s"))
            return
        self._heard = now
        self._meet(workers)
        self._staffed = now if workers or not self._in_flight else self._staffed
        if now - self._staffed > limits.deserted:
            self._lose(ReadError(f"there was no worker for {limits.deserted:g} s"))
            return
        for item in list(self._in_flight.values()):
            if item.worker and item.worker not in workers:
                item.begun = item.worker = None
            elif item.begun and now - item.begun > limits.of(item.work):
                self._unhang(item)
        if workers or not self._in_flight:
            self._fed = now
        if now - self._fed > limits.starved:
            self._revive(f"there was no worker for {limits.starved:g} s: see why workers do not start or stay")
        elif any(item.begun for item in self._in_flight.values()) or not self._in_flight:
            self._active, self._revived = now, False
        elif workers and self._owned and now - self._active > limits.stalled:
            self._revive(f"no worker began with it in {limits.stalled:g} s: see the scheduler's log")

    def _meet(self, workers: dict[str, int]) -> None:
        """Take note of the workers that are there, and of those that are gone."""
        for address in self._workers.keys() - workers.keys():
            scheduler = self._client.scheduler
            events = self._ask(scheduler.events, topic=address) if scheduler is not None else None
            # One that was retired, or whose cluster was made smaller, was expected to go.
            self.staff.lost += not any(isinstance(event, dict) and event.get("expected") for _, event in events or ())
        self._workers = dict(workers)
        self.staff.now, self.staff.most = len(workers), max(self.staff.most, len(workers))

    def _unhang(self, item: _Item) -> None:
        worker, seconds = item.worker, self._limits.of(item.work)
        if item.sent is not None:
            item.sent.cancel()
        self._again(item, f"did not end within {seconds:.0f} s on worker {worker}: see that its source answers")
        if self._owned:
            self._ask(self._client._restart_workers, [worker], 20, False)

    def _revive(self, what: str) -> None:
        """Restart all workers, once; where that does not help, or they are not ours, fail."""
        now = time.monotonic()
        self._fed = self._active = now
        if not self._owned or self._revived:
            self._fail_all(ReadError(what))
            return
        self._revived = True
        for item in list(self._in_flight.values()):
            self._land(item)
            item.tries += 1
            self._on_submit(item)
        self._ask(self._client._restart, timeout=30, wait_for_workers=False)

    def _fail_all(self, why: LandsatDownsampleError) -> None:
        items = [*self._in_flight.values(), *self._queue.withdraw(lambda item: True)]
        for item in list(self._in_flight.values()):
            self._land(item)
        for item in items:
            item.future.set_exception(_failure(item, why))

    def _ask(self, call: Callable[..., Any], *arguments: object, **options: object) -> Any:
        """Ask the scheduler; None if it does not answer in time."""
        return self._try(self._client.sync, call, *arguments, callback_timeout=self._limits.lost / 2, **options)

    def _try(self, call: Callable[..., Any], *arguments: object, **options: object) -> Any:
        """Call the client; None where its scheduler does not answer, which `_look` reports when it lasts."""
        try:
            return call(*arguments, **options)
        except Exception as error:
            if not isinstance(error, OSError) and self._client.status != "closed":
                warn(error, "cannot ask the cluster")
            return None


def _failure(item: _Item, why: LandsatDownsampleError) -> LandsatDownsampleError:
    """Why work failed that is not to blame itself; a bug stays what it is."""
    return why if isinstance(why, InternalError) else ReadError(f"{item.work.label} failed: {why}")


def _killed(item: _Item) -> str:
    limit = f", whose limit is {item.memory_limit / 2**30:.2f} GiB" if item.memory_limit else ""
    return (
        f"died with its worker again and again, most likely out of memory{limit}: "
        "give workers more memory, or fewer threads"
    )
