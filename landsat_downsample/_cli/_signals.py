"""What Ctrl-C, SIGTERM and a time limit do to a command."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: A KeyboardInterrupt may be turned into another error on its way: `threading` does so with its locks.
told_to_stop = threading.Event()

#: Set where it was the time limit that told so.
timed_out = threading.Event()


def on_signals(handler, *numbers: int) -> None:
    """Set a handler for SIGINT and SIGTERM, or for the signals named; only the main thread can."""
    if threading.current_thread() is threading.main_thread():
        for number in numbers or (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, handler)


def interrupt(signum, frame):
    """Stop now."""
    told_to_stop.set()
    raise KeyboardInterrupt


@contextmanager
def draining(stop: threading.Event, tell: Callable[[], None]) -> Iterator[None]:
    """Let the first Ctrl-C set ``stop`` and call ``tell``, and the second one stop now."""

    def first(signum, frame):
        on_signals(interrupt, signal.SIGINT)
        stop.set()

    def wait():
        stop.wait()
        if not over.is_set():
            tell()

    # A handler may come in the middle of a write to stderr, and must not write there itself.
    over, teller = threading.Event(), threading.Thread(target=wait, daemon=True)
    teller.start()
    on_signals(first, signal.SIGINT)
    try:
        yield
    finally:
        on_signals(interrupt, signal.SIGINT)
        if not stop.is_set():
            over.set()
            stop.set()
            teller.join()
            stop.clear()


@contextmanager
def limited(seconds: float | None) -> Iterator[None]:
    """Stop now after so many seconds."""
    if not seconds:
        yield
        return

    def expired(signum, frame):
        timed_out.set()
        interrupt(signum, frame)

    signal.signal(signal.SIGALRM, expired)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
