"""A run on record: the journal while it goes on, its page at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from landsat_downsample.batch.requests import SceneRequest
from landsat_downsample.errors import UsageError
from landsat_downsample.model.log import tell
from landsat_downsample.storage.bugs import warn

if TYPE_CHECKING:
    from landsat_downsample.batch.journal import Journal
    from landsat_downsample.batch.parts import Share
    from landsat_downsample.batch.requests import Order
    from landsat_downsample.execution.dask_executor import DaskExecutor
    from landsat_downsample.model.options import Options


@contextmanager
def recorded(
    requests: Sequence[SceneRequest], share: Share | None, *, workers: int | None, executor: DaskExecutor | None
) -> Iterator[Journal]:
    """Keep the record of a run at its destination; at the end make a page of it.

    Raises
    ------
    UsageError
        There is nothing to record, or its scenes have not one destination and the same options.
    """
    from landsat_downsample.batch.journal import Journal
    from landsat_downsample.batch.search_cache import freeze
    from landsat_downsample.execution.cluster import dashboard_link

    orders = [request.order for request in requests]
    if not orders or any(_common(one) != _common(orders[0]) for one in orders):
        raise UsageError("a record is of plans for one destination with the same options: run the others apart")
    about: dict[str, object] = {"options": orders[0].options.to_dict(), "workers": workers}
    if executor is not None:
        staff = executor.staff
        about |= {"workers": lambda: staff.now, "workers_most": lambda: staff.most, "workers_lost": lambda: staff.lost}
        about["dashboard"] = dashboard_link(executor.client)
    asked = {
        "tiles": orders[0].tiles,
        "overwrite": orders[0].overwrite,
        "requester_pays": any(request.requester_pays for request in requests),
    }
    about |= {name: True for name, said in asked.items() if said}
    if share is not None:
        about["part"] = share.to_dict()
    entries = [request.entry for request in requests]
    journal = Journal(
        orders[0].dest, entries=lambda href: freeze(entries, href), total=len(requests), about=about,
        of=share.suffix if share else "",
    )  # fmt: skip
    with journal:
        yield journal
    journal.report = _report(journal.href)


def _common(order: Order) -> tuple[str, Options, bool]:
    return order.dest, order.options, order.overwrite


def _report(folder: str) -> str | None:
    """Make the page of a run; where that fails the run is still what it was."""
    from landsat_downsample.batch.report import write_report

    try:
        href = write_report(folder)
    except Exception as error:
        warn(error, "no report was made")
        return None
    tell("report", f"report: {href}", href=href)
    return href
