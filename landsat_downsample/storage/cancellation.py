"""Asking long work to stop: who started it raises a flag, and loops look at it between strips."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from landsat_downsample.errors import ReadError

_FLAG: ContextVar[threading.Event | None] = ContextVar("stop", default=None)


@contextmanager
def stoppable(flag: threading.Event) -> Iterator[None]:
    """Work of this thread inside the context ends at its next `check` once `flag` is set."""
    token = _FLAG.set(flag)
    try:
        yield
    finally:
        _FLAG.reset(token)


def check() -> None:
    """Go on, or end the work that nobody waits for any more.

    Raises
    ------
    ReadError
        The work was asked to stop.
    """
    flag = _FLAG.get()
    if flag is not None and flag.is_set():
        raise ReadError("stopped: the run was interrupted, or another band of the scene failed")


def pause(seconds: float) -> None:
    """Wait, but not longer than the work is wanted.

    Raises
    ------
    ReadError
        The work was asked to stop.
    """
    flag = _FLAG.get()
    if flag is None:
        time.sleep(seconds)
    else:
        flag.wait(seconds)
        check()
