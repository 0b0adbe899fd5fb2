"""A run with all that stands around it: its record, what is told and shown of it. For the shell and for Python."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING

from landsat_downsample.batch.recorded import recorded
from landsat_downsample.batch.requests import SceneRequest
from landsat_downsample.batch.seen import Seen
from landsat_downsample.display.reporter import Reporter
from landsat_downsample.errors import UsageError
from landsat_downsample.execution.cluster import on_client
from landsat_downsample.execution.outcomes import Outcomes
from landsat_downsample.execution.run import Progress, run_plans
from landsat_downsample.model.location import Location
from landsat_downsample.model.policy import Policy
from landsat_downsample.storage.bugs import warn

if TYPE_CHECKING:
    from distributed import Client

    from landsat_downsample.batch.journal import Journal
    from landsat_downsample.batch.parts import Share

#: What lets somebody stop a run: given whom to tell then, a context as long as the run lasts.
Stoppable = Callable[[Callable[[], object]], AbstractContextManager[object]]


def carry_out(
    requests: Iterable[SceneRequest],
    *,
    policy: Policy,
    style: str | None,
    workers: int | None = None,
    client: Client | None = None,
    owned: bool = False,
    record: bool = False,
    share: Share | None = None,
    verbose: bool = False,
    listeners: Sequence[Callable[[Progress], object]] = (),
    stop: threading.Event | None = None,
    stoppable: Stoppable | None = None,
) -> Outcomes:
    """Reduce and publish scenes, and tell of it.

    Parameters
    ----------
    requests : iterable of SceneRequest
        A sequence, where a record is kept.
    policy, workers, stop
        As of `run_plans`.
    style, verbose
        As of `Reporter`.
    client : distributed.Client, optional
        Whose workers reduce.
    owned : bool
        As of `on_client`.
    record : bool
        Whether to keep the record of the run at its destination.
    share : Share, optional
        Which part of a run it is.
    listeners : sequence of callable
        Called with each step, after the record and the display. Those that are context managers are left when the
        display has ended, before the report.
    stoppable : callable, optional
        Lets somebody set `stop`.
    """
    number = len(requests) if isinstance(requests, Sequence) else None
    executor = on_client(client, owned=owned, policy=policy)
    with ExitStack() as stack:
        if executor is not None:
            stack.callback(executor.close, now=True)
        reporter = Reporter(
            scenes=number, style=style, client=client, workers=workers, verbose=verbose, summary_later=True
        )
        # The record ends after the display: the address of its page comes below that, and the summary last of all.
        journal, seen = None, None
        stack.callback(lambda: reporter.summarise(journal.report if journal else None))
        if record and isinstance(requests, Sequence):
            if requests:  # not of a run that broke off: the next one makes up for it
                stack.push(lambda kind, *_: _catalogue(requests[0].order.dest) if kind is None else None)
                seen = Seen.of(requests, share.suffix if share else "")
            journal = stack.enter_context(recorded(requests, share, workers=workers, executor=executor))
        for listener in listeners:
            if isinstance(listener, AbstractContextManager):
                stack.enter_context(listener)
        stack.enter_context(reporter)
        told: list[Journal | Reporter] = [*([journal] if journal else []), reporter]
        if stoppable is not None:
            stack.enter_context(stoppable(lambda: [one.stopping() for one in told]))
        return run_plans(
            requests,
            workers=workers,
            executor=executor,
            report=lambda step: [listener(step) for listener in (*told, *listeners)],
            stop=stop,
            policy=policy,
            seen=seen,
        )


def _catalogue(dest: str) -> None:
    """Keep the catalogue of a run's destination; where that fails the run is still what it was."""
    from landsat_downsample.api.catalogue import tell_of
    from landsat_downsample.cubes.catalogue import keep

    try:
        tell_of(keep(Location(dest)))
    except UsageError:  # no scene of it became a product
        return
    except Exception as error:
        warn(error, "no catalogue was kept")
