"""A remote object as a file to read from: its blocks come when they are asked for."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

from landsat_downsample.errors import ReadError
from landsat_downsample.model.location import Location
from landsat_downsample.storage.fetch_request import FetchRequest
from landsat_downsample.storage.remote import Remote
from landsat_downsample.storage.sinks import BytesSink

if TYPE_CHECKING:
    from typing_extensions import Buffer  # of the standard library from Python 3.12 on

#: Bytes that come with one request.
_BLOCK = 1 << 16


class RemoteFile(io.RawIOBase):
    """An object of a store, as h5py takes it: a look at what describes a file, not at all of it."""

    def __init__(self, location: Location) -> None:
        self.error: ReadError | None = None
        """What the store said; h5py keeps the error of a file object to itself."""
        self._remote, self._at, self._blocks = Remote(FetchRequest(location)), 0, dict[int, bytes]()
        self._block(0)

    def _block(self, number: int) -> bytes:
        if number not in self._blocks:
            start = number * _BLOCK
            stop = start + _BLOCK if self._remote.size is None else min(start + _BLOCK, self._remote.size)

            def attempt() -> bytes:
                sink = BytesSink(_BLOCK)
                self._remote.get((start, stop), sink)
                return sink.data()

            self._blocks[number] = self._remote.persist(attempt)
        return self._blocks[number]

    def readable(self) -> bool:  # noqa: D102 - as of io.RawIOBase
        return True

    def seekable(self) -> bool:  # noqa: D102
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:  # noqa: D102
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._remote.size or 0}[whence]
        return self._at

    def tell(self) -> int:  # noqa: D102
        return self._at

    def readinto(self, buffer: Buffer, /) -> int:  # noqa: D102
        view, done = memoryview(buffer).cast("B"), 0
        while done < len(view) and self._at < (self._remote.size or 0):
            number, first = divmod(self._at, _BLOCK)
            try:
                part = self._block(number)[first : first + len(view) - done]
            except ReadError as error:
                self.error = error
                raise
            view[done : done + len(part)] = part
            done, self._at = done + len(part), self._at + len(part)
        return done
