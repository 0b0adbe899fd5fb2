"""A file for HDF5 to write to that never refuses: what the disk refused is told afterwards.

HDF5 1.14 ends the process where a write fails and the file is closed then (SIGSEGV), or prints pages.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer  # of the standard library from Python 3.12 on


class Hdf5Sink(io.RawIOBase):
    """A new file, as h5py takes it; after the first write that fails nothing is written any more.

    Parameters
    ----------
    path : str
        Of the file; one that is there is emptied.
    """

    def __init__(self, path: str) -> None:
        self.error: OSError | None = None
        self._at, self._file = 0, open(path, "w+b", buffering=0)  # noqa: SIM115 - closed by `close`

    def check(self) -> None:
        """Raise what the disk said.

        Raises
        ------
        OSError
            A write failed.
        """
        if self.error is not None:
            raise self.error

    def _unless_failed(self, act: Callable[[], object]) -> None:
        if self.error is None:
            try:
                act()
            except OSError as error:
                self.error = error

    def readable(self) -> bool:  # noqa: D102 - as of io.RawIOBase
        return True

    def writable(self) -> bool:  # noqa: D102
        return True

    def seekable(self) -> bool:  # noqa: D102
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:  # noqa: D102
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at}.get(whence)
        self._at = offset + (os.fstat(self._file.fileno()).st_size if start is None else start)
        return self._at

    def tell(self) -> int:  # noqa: D102
        return self._at

    def readinto(self, buffer: Buffer, /) -> int:  # noqa: D102
        view = memoryview(buffer).cast("B")
        data = os.pread(self._file.fileno(), len(view), self._at)
        view[: len(data)] = data
        view[len(data) :] = bytes(len(view) - len(data))
        self._at += len(view)
        return len(view)

    def write(self, data: Buffer, /) -> int:  # noqa: D102
        view = memoryview(data).cast("B")

        def all_of_it() -> None:
            done = 0
            while done < len(view):
                done += os.pwrite(self._file.fileno(), view[done:], self._at + done)

        self._unless_failed(all_of_it)
        self._at += len(view)
        return len(view)

    def truncate(self, size: int | None = None) -> int:  # noqa: D102
        length = self._at if size is None else size
        self._unless_failed(lambda: os.ftruncate(self._file.fileno(), length))
        return length

    def flush(self) -> None:  # noqa: D102
        return None

    def close(self) -> None:
        """Bring it to the disk."""
        if not self.closed:
            self._unless_failed(lambda: os.fsync(self._file.fileno()))
            self._file.close()
        super().close()
