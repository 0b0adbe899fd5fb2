"""The writing side of a run's record: lines on this machine, small files at the destination, never an exception."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise

from landsat_downsample.batch import record
from landsat_downsample.batch.record import OUTCOMES, SCENES, STATUS
from landsat_downsample.model.location import Location
from landsat_downsample.model.policy import Policy
from landsat_downsample.model.safe_text import plain
from landsat_downsample.storage import small_objects
from landsat_downsample.storage.bugs import is_bug, warn

#: Lines of a piece of the outcomes on an object store: such a piece is some 200 kB, written anew every few seconds.
PIECE = 500

#: Bytes of outcomes that are put together into one object at the end; beyond, they stay in pieces.
MERGED = 64 << 20

#: Lines that wait in memory for a disk that is full.
BACKLOG = 20_000


class Spool:
    """Lines in a file of this machine: after a kill each is whole, or its end is missing and it does not count."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self.size = 0
        self.lines = 0
        self.cuts = [0]
        """Where each piece begins, and the last one ends once it is full."""

    def append(self, line: bytes) -> None:
        """Write a line whole, or leave the file as it was and raise the OSError."""
        try:
            if os.pwrite(self._handle, line, self.size) != len(line):
                raise OSError("the disk is full")
        except OSError:
            os.ftruncate(self._handle, self.size)
            raise
        self.size += len(line)
        self.lines += 1
        if self.lines % PIECE == 0:
            self.cuts.append(self.size)

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes from `start` to `stop`."""
        return os.pread(self._handle, stop - start, start)

    def close(self) -> None:
        """Write what is left to the disk and close the file."""
        with suppress(OSError):
            os.fsync(self._handle)
        os.close(self._handle)


@dataclass(slots=True)
class RecordWriter:
    """Writes a record, warns once if it cannot, and tries again with the next heartbeat."""

    folder: Location
    entries: bytes | Callable[[str], object] | None
    """None once they are written."""
    policy: Policy
    spool: Spool | None = None
    backlog: deque[bytes] = field(default_factory=lambda: deque(maxlen=BACKLOG))
    sent: int = 0
    """Bytes of outcomes that the object store has."""
    warned: bool = False

    def add(self, line: bytes) -> None:
        """Keep a line: on a disk it is there at once, on an object store with the next heartbeat."""
        self.backlog.append(line)
        self._attempt(self._flush)

    def send_heartbeat(self, status: Callable[[], bytes]) -> None:
        """Send a heartbeat."""
        self._attempt(lambda: self._send_heartbeat(status))

    def end(self, status: Callable[[], bytes]) -> None:
        """Complete the record: the outcomes first, so that what says "ended" has them all."""
        self._attempt(lambda: self._end(status))
        if self.spool is not None:
            self.spool.close()

    def complain(self, why: object) -> None:
        """Warn, the first time."""
        if not self.warned:
            self.warned = True
            text = f"cannot keep the record of this run: {plain(why)}; the run goes on without it"
            with suppress(Warning):  # where warnings are errors: of no use on this thread
                warnings.warn(text, stacklevel=2)

    def _attempt(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # whatever it is, the run is worth more than its record
            if is_bug(error) and not self.warned:
                self.warned = True
                warn(error, "cannot keep the record of this run, which goes on without it")
            self.complain(error)

    def _flush(self) -> None:
        if self.spool is None:
            self.spool = Spool(self._open())
        while self.backlog:
            self.spool.append(self.backlog[0])
            self.backlog.popleft()

    def _open(self) -> int:
        """The file of the outcomes; for an object store a nameless one, which the pieces are cut from."""
        if self.folder.is_local:
            os.makedirs(self.folder.path, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
            return os.open((self.folder / OUTCOMES).path, flags, 0o666)
        with tempfile.TemporaryFile(prefix="landsat-downsample-") as file:
            return os.dup(file.fileno())

    def _send_heartbeat(self, status: Callable[[], bytes]) -> None:
        self._flush()
        if self.entries is not None:
            self._freeze()
        if not self.folder.is_local:
            self._send_pieces()
        self._put(STATUS, status())

    def _freeze(self) -> None:
        if callable(self.entries):
            self.entries((self.folder / SCENES).href)
        elif self.entries is not None:
            self._put(SCENES, self.entries)
        self.entries = None

    def _send_pieces(self) -> None:
        """Put the pieces that have grown since the last time."""
        if (spool := self.spool) is None:
            return
        starts = [*spool.cuts, spool.size]
        for number, (start, stop) in enumerate(pairwise(starts), 1):
            if stop > max(start, self.sent):
                self._put(record.piece_name(number), spool.read(start, stop))
                self.sent = stop

    def _end(self, status: Callable[[], bytes]) -> None:
        if self.folder.is_local or self.spool is None or self.spool.size > MERGED:
            self._send_heartbeat(status)
            return
        self._flush()
        self._put(OUTCOMES, self.spool.read(0, self.spool.size))
        pieces = -(-self.spool.lines // PIECE) if self.sent else 0
        self.sent = self.spool.size
        self._send_heartbeat(status)
        for number in range(1, pieces + 1):
            small_objects.remove(self.folder / record.piece_name(number), policy=self.policy)

    def _put(self, name: str, data: bytes) -> None:
        small_objects.put(self.folder / name, data, policy=self.policy)
