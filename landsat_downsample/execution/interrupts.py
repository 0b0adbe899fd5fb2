"""Ctrl-C at a bad moment: what must not be cut in two ends first."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

#: What may raise a KeyboardInterrupt between any two steps of the main thread: Ctrl-C, a request to end, a time limit.
_SIGNALS = signal.SIGINT, signal.SIGTERM, signal.SIGALRM


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let the body end before a signal that comes meanwhile takes effect; signals reach the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    ours = [number for number in _SIGNALS if signal.getsignal(number) is not None]  # None: not set by Python
    handlers = {number: signal.signal(number, lambda number, frame: came.append(number)) for number in ours}
    try:
        yield
    finally:
        for number, handler in reversed(handlers.items()):  # Ctrl-C last: it may raise before the next one
            signal.signal(number, handler)
        for caught in came:
            signal.raise_signal(caught)
