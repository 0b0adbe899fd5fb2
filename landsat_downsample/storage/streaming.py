"""A band that is decoded while it arrives: its reader waits for the bytes that it needs next."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TypeVar

from landsat_downsample.formats.tiff_layout import TiffLayout
from landsat_downsample.storage import cancellation
from landsat_downsample.storage.host_gate import PROMPT
from landsat_downsample.storage.remote import (
    Begun,
    Remote,
    begin_band,
    compare_blocks,
    complete_band,
    persist_band,
)
from landsat_downsample.storage.sinks import FileSink

T = TypeVar("T")


@dataclass(slots=True)
class Arriving:
    """The full-resolution blocks of a remote TIFF on their way into a file, received by a thread.

    Used as a context manager: on every way out the thread has ended before the file may be closed.
    """

    remote: Remote
    begun: Begun
    sink: FileSink
    """Writes where the one range begins that lacks."""
    wanted: int = 0
    """Where the bytes end that the reader waits for."""
    ended: bool = False
    error: Exception | None = None
    """Why it ended too early."""
    change: threading.Condition = field(default_factory=threading.Condition)
    halt: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread = field(init=False)

    def __enter__(self) -> Arriving:
        self.thread = threading.Thread(target=self._receive, name="landsat-downsample-receive", daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.halt.set()
        self.thread.join()

    @property
    def count(self) -> int:
        """Bytes of the range that are there: written first and counted then, so that who sees the count may read."""
        return self.sink.count

    def __call__(self, data: bytes) -> None:
        """Take bytes in and wake those that wait for them."""
        self.sink(data)
        if self._there(self.wanted):
            with self.change:
                self.change.notify()

    def _there(self, stop: int) -> bool:
        return self.sink.offset + self.sink.count >= stop

    def _receive(self) -> None:
        try:
            with cancellation.stoppable(self.halt):
                self.remote.get(self.begun.spans[0], self)
        except Exception as error:  # raised where it is waited for
            self.error = error
        finally:
            with self.change:
                self.ended = True
                self.change.notify()

    def wait(self, stop: int) -> None:
        """Wait until all bytes of the file before ``stop`` are there.

        Raises
        ------
        Exception
            Whatever ended the answer too early, or the work was asked to stop.
        """
        if self._there(stop):
            return
        with self.change:
            self.wanted = stop
            while not (self.ended or self._there(stop)):
                self.change.wait(PROMPT)
                cancellation.check()
        if self.error is not None and not self._there(stop):
            raise self.error

    def finish(self) -> None:
        """Wait until the whole answer is there and was found to be of the right length and object."""
        while not self.ended:
            self.wait(self.begun.spans[0][1] + 1)
        if self.error is not None:
            raise self.error

    def settle(self) -> None:
        """Wait for all of it and compare the checksums of the blocks, for a reader that does not."""
        cancellation.check()
        self.finish()
        compare_blocks(self.remote, self.sink, self.begun.layout)


def fetch_streaming(
    remote: Remote, handle: int, work: Callable[[TiffLayout, Arriving | None], T]
) -> tuple[T, TiffLayout]:
    """Fetch a band into an empty file and call ``work`` meanwhile, again and again until the bytes were right.

    ``work`` gets the layout, and None where all bytes are there and verified: a band that comes whole, or of a
    window. See `files.fetch_streaming`.
    """

    def attempt() -> tuple[TiffLayout, Future[T]]:
        begun = begin_band(remote, handle)
        if begun is None or remote.request.window:
            layout = complete_band(remote, handle, begun)
            return layout, _call(lambda: work(layout, None))
        with Arriving(remote, begun, FileSink(handle, begun.spans[0][0])) as arriving:
            called = _call(lambda: work(begun.layout, arriving))
            # What went wrong with bytes that nobody had verified yet is judged once they are:
            # a damaged block is a `Mismatch` here, and may be right the next time.
            arriving.finish() if called.exception() is None else arriving.settle()
            return begun.layout, called

    layout, called = persist_band(remote, attempt)
    return called.result(), layout


def _call(work: Callable[[], T]) -> Future[T]:
    """What ``work`` gives, or what it raises: no error of the network, and none to try again for."""
    called: Future[T] = Future()
    try:
        called.set_result(work())
    except Exception as error:
        called.set_exception(error)
    return called
