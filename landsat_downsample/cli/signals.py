"""What Ctrl-C, SIGTERM and a time limit do to a command."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

#: Signals that asked to stop now. A KeyboardInterrupt may be turned into another error on its way: `threading`
#: does so with its locks. No Event: a handler that comes in the middle of another would wait for its lock forever.
signals_taken: list[int] = []

_STOPPING = (signal.SIGINT, signal.SIGTERM)
_Handler = Callable[[int, FrameType | None], object] | int | None
_before: dict[int, _Handler] = {}  # their handlers when the command began


def timed_out() -> bool:
    """Whether it was the time limit that asked so."""
    return any(number not in _STOPPING for number in signals_taken)


def begin_to_listen() -> None:
    """Let Ctrl-C and SIGTERM stop a command that begins."""
    signals_taken.clear()
    _before.update((number, signal.getsignal(number)) for number in _STOPPING)
    on_signals(interrupt)


def on_signals(handler: _Handler, *numbers: int) -> None:
    """Set a handler for SIGINT and SIGTERM, or for the signals named; only the main thread can.

    What was ignored when the command began stays so: scripts start what works in the background like that.
    """
    if threading.current_thread() is threading.main_thread():
        for number in numbers or _STOPPING:
            if _before.get(number) != signal.SIG_IGN:
                signal.signal(number, handler)


def leave_signals() -> None:
    """Do about signals what was done before the command began."""
    for number, handler in _before.items():
        if handler is not None:  # one that Python did not set, and cannot
            on_signals(handler, number)


def interrupt(signum: int, frame: FrameType | None) -> NoReturn:
    """Stop now."""
    signals_taken.append(signum)
    raise KeyboardInterrupt


def interrupt_again(dropped: sys.UnraisableHookArgs) -> None:
    """Raise again what came in a callback or destructor, whose errors Python drops: import has such callbacks."""
    main = threading.main_thread().ident
    if dropped.exc_type is KeyboardInterrupt and signals_taken and main is not None:
        # From beside the main thread: what is raised in here is dropped as well.
        _thread.start_new_thread(signal.pthread_kill, (main, signals_taken[-1]))
    else:
        sys.__unraisablehook__(dropped)


@contextmanager
def draining(stop: threading.Event, announce: Callable[[], object]) -> Iterator[None]:
    """Let the first Ctrl-C set ``stop`` and call ``announce``, and the second one stop now."""
    from queue import SimpleQueue

    # A handler must not wait for a lock, nor write to stderr: it may have come in the middle of either.
    asked: SimpleQueue[bool] = SimpleQueue()

    def first(signum: int, frame: FrameType | None) -> None:
        on_signals(interrupt, signal.SIGINT)
        asked.put(True)

    def wait() -> None:
        if asked.get():
            stop.set()
            announce()

    waiter = threading.Thread(target=wait, daemon=True)
    waiter.start()
    on_signals(first, signal.SIGINT)
    try:
        yield
    finally:
        on_signals(interrupt, signal.SIGINT)
        asked.put(False)
        waiter.join()


@contextmanager
def limited(seconds: float | None) -> Iterator[None]:
    """Stop now after so many seconds."""
    if not seconds:
        yield
        return

    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
