"""What takes the bytes of an answer: a file, memory, or only their hash."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from typing import Any, Protocol

from landsat_downsample.errors import ReadError
from landsat_downsample.storage import cancellation

#: No Landsat band is larger; a server that promises more is not believed.
WHOLE_LIMIT = 16 << 30


class CountingSink(Protocol):
    """Takes the bytes of an answer, and counts them."""

    @property
    def count(self) -> int:
        """Bytes so far."""

    def __call__(self, data: bytes) -> None:
        """Take the next ones."""


@dataclass(slots=True)
class FileSink:
    """Bytes of an answer, written to an open file from an offset on."""

    handle: int
    offset: int = 0
    count: int = 0

    def __call__(self, data: bytes) -> None:
        """Write bytes at their place in the file."""
        view = memoryview(data)
        if self.count + len(view) > WHOLE_LIMIT:
            raise ReadError(f"more than {WHOLE_LIMIT} bytes came: too many for a Landsat band")
        while view:
            written = os.pwrite(self.handle, view, self.offset + self.count)
            self.count += written
            view = view[written:]

    def read(self, offset: int, length: int) -> bytes:
        """Read back what was written; short only beyond its end."""
        return os.pread(self.handle, length, offset)

    def digest(self, name: str) -> str:
        """Hash the whole file."""
        state = hashlib.new(name, usedforsecurity=False)
        offset = 0
        while data := os.pread(self.handle, 1 << 20, offset):
            state.update(data)
            offset += len(data)
        return state.hexdigest()


@dataclass(slots=True)
class BytesSink:
    """Bytes of an answer, kept in memory up to a limit."""

    limit: int
    parts: list[bytes] = field(default_factory=list)
    count: int = 0

    def __call__(self, data: bytes) -> None:
        """Keep bytes, up to the limit."""
        self.count += len(data)
        if self.count > self.limit:
            raise ReadError(f"it has more than the {self.limit} bytes allowed here")
        self.parts.append(data)

    def digest(self, name: str) -> str:
        """Hash all of it."""
        state = hashlib.new(name, usedforsecurity=False)
        for part in self.parts:
            state.update(part)
        return state.hexdigest()

    def data(self) -> bytes:
        """Join all of it."""
        return b"".join(self.parts)


@dataclass(slots=True)
class HashSink:
    """Bytes that need only be hashed."""

    state: Any = field(default_factory=hashlib.sha256)
    count: int = 0

    def __call__(self, data: bytes) -> None:
        """Hash bytes."""
        cancellation.check()
        self.state.update(data)
        self.count += len(data)
