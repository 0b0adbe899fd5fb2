"""What dask workers run: one piece of work, reported when it begins, asked to stop between two strips."""

from __future__ import annotations

import threading
from typing import Any

from landsat_downsample.execution.work import Work
from landsat_downsample.storage import cancellation
from landsat_downsample.storage.bugs import wrapping
from landsat_downsample.storage.recent import Recent

#: Groups of this worker's tasks, by token; the oldest are forgotten beyond this number.
REMEMBERED = 4096
_flags: Recent[str, threading.Event] = Recent(REMEMBERED)


def carry_out_on_worker(work: Work, topic: str, key: tuple[Any, ...]) -> Any:
    """Do a piece of work on a dask worker.

    Raises
    ------
    LandsatDownsampleError
        Whatever fails is raised as one of the family, so that it can be pickled and reported.
    """
    from distributed import get_worker

    worker = get_worker()
    limit = worker.memory_manager.memory_limit or 0
    worker.log_event(topic, {"key": key, "worker": worker.address, "memory_limit": limit})
    with wrapping(f"{work.label} failed"), cancellation.stoppable(_flag(work.group)):
        cancellation.check()
        return work.carry_out(lambda: 1)


def stop_on_worker(token: str) -> None:
    """Ask this worker's tasks of one group to end at their next strip, and those to come at once."""
    _flag(token).set()


def _flag(token: str) -> threading.Event:
    return _flags.setdefault(token, threading.Event())
