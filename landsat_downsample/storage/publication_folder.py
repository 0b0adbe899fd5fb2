"""The local way to publish: a hidden folder beside the final one, which a rename makes visible."""

from __future__ import annotations

import errno
import fcntl
import filecmp
import hashlib
import os
import re
import shutil
import uuid
from contextlib import suppress
from dataclasses import dataclass

from landsat_downsample.errors import WriteError
from landsat_downsample.storage.locks import process_lock
from landsat_downsample.storage.publication_place import Place, Stored
from landsat_downsample.storage.regular_files import open_regular

#: What the system says where nothing more can be written.
_REFUSALS = {
    errno.ENOSPC: "no space left; free some or choose another destination",
    errno.EDQUOT: "the quota is used up; free some or choose another destination",
    errno.EROFS: "it is read-only; choose another destination",
    errno.EACCES: "permission denied; choose another destination or its permissions",
}


def refusal(error: OSError) -> str:
    """Say why something could not be written, and what to do."""
    if error.errno == errno.ENOTDIR:  # of this product's folder perhaps: no reason to stop the others
        return "not a directory: a file stands in the way; choose another destination"
    return _REFUSALS.get(error.errno or 0, (error.strerror or type(error).__name__).lower())


@dataclass(frozen=True, slots=True)
class Folder:
    """A publication's place on the local disk."""

    place: Place

    @property
    def final(self) -> str:
        """Where the product is once it is published."""
        return self.place.location.path

    def hidden(self, kind: str) -> str:
        """Return the path of a hidden folder beside the final one."""
        of = self.place
        return os.path.join(os.path.dirname(self.final), f".{of.name}.{kind}-{of.token}")

    def put(self, filename: str, data: bytes | memoryview) -> None:
        """Write a file to the hidden folder."""
        staging = self.hidden("partial")
        part = os.path.join(staging, f".{filename}.{uuid.uuid4().hex}")
        try:
            _hold(staging)
            try:
                _write_synced(part, data)
                os.replace(part, os.path.join(staging, filename))
            except BaseException:
                _unlink(part)
                raise
        except OSError as error:
            raise self._refused(filename, error) from error

    def commit(self, marker: str, data: bytes, expected: dict[str, Stored]) -> None:
        """Write the marker and rename the hidden folder."""
        staging = self.hidden("partial")
        for filename, stored in expected.items():
            if _digest(os.path.join(staging, filename)) != stored.sha256:
                raise WriteError(f"cannot publish {self.place.href!r}: {filename!r} did not arrive as it was sent")
        self.put(marker, data)
        try:
            _remove_parts(staging)
            _sync_folder(staging)
            self._show(staging)
            _sync_folder(os.path.dirname(self.final))
        except OSError as error:
            raise self._refused(marker, error) from error
        finally:
            _release(staging)

    def _show(self, staging: str) -> None:
        try:
            # Atomic, and refused by the system if the name holds anything: no check can be overtaken.
            os.rename(staging, self.final)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
            self._show_over(staging)

    def _show_over(self, staging: str) -> None:
        if os.path.isdir(self.final) and _same_files(self.final, staging):
            shutil.rmtree(staging)
            return
        if not self.place.overwrite:
            raise WriteError(
                f"cannot publish {self.place.href!r}: it exists with other content; "
                "choose another destination or allow it with --overwrite"
            )
        old = self.hidden("replaced")
        os.rename(self.final, old)
        try:
            os.rename(staging, self.final)
        except OSError:
            os.rename(old, self.final)
            raise
        shutil.rmtree(old, ignore_errors=True) if os.path.isdir(old) else os.unlink(old)

    def abort(self) -> None:
        """Remove the hidden folder."""
        shutil.rmtree(self.hidden("partial"), ignore_errors=True)
        _release(self.hidden("partial"))

    def sweep(self) -> None:
        """Remove what killed publications of this product left; where somebody is at work stays."""
        folder, name = os.path.split(self.final)
        ours = re.compile(rf"\.{re.escape(name)}\.(partial|replaced)-[0-9a-f]{{32}}")
        with suppress(OSError):
            for found in filter(None, map(ours.fullmatch, os.listdir(folder))):
                # Without its successor, a product that was replaced is the only one there is.
                if found[1] == "partial" or os.path.lexists(self.final):
                    _remove_idle(os.path.join(folder, found[0]))

    def _refused(self, filename: str, error: OSError) -> WriteError:
        made = WriteError(f"cannot write {filename!r} to {self.place.dest!r}: {refusal(error)}")
        made.for_all = error.errno in _REFUSALS
        return made


#: Name of a file until all of its bytes are there.
_PART = re.compile(r"\..+\.[0-9a-f]{32}")

#: Locks of this process: open handles of the hidden folders that it works in.
_held: dict[str, int] = {}
_lock = process_lock()


def _hold(folder: str) -> None:
    """Make a folder and lock it; the system takes the lock back when this process ends, however it ends."""
    with _lock:
        for other in [path for path in _held if not os.path.isdir(path)]:
            _release(other)  # made visible or removed by another process
        while folder not in _held:
            os.makedirs(folder, exist_ok=True)
            with suppress(FileNotFoundError):
                _held.update(_locked(folder))


def _locked(folder: str) -> dict[str, int]:
    """The handle of a folder, locked; none where it was swept between its making and its locking."""
    handle = os.open(folder, os.O_RDONLY)
    with suppress(OSError):  # not every file system has locks
        fcntl.flock(handle, fcntl.LOCK_SH)
    if os.path.isdir(folder) and os.path.samestat(os.fstat(handle), os.stat(folder)):
        return {folder: handle}
    os.close(handle)
    return {}


def _release(folder: str) -> None:
    with _lock:
        handle = _held.pop(folder, None)
    if handle is not None:
        os.close(handle)


def _remove_idle(folder: str) -> None:
    """Remove a hidden folder that no process holds."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(handle)


def _remove_parts(folder: str) -> None:
    """Remove files that never got their name: those of a worker that was killed while it wrote."""
    for name in filter(_PART.fullmatch, os.listdir(folder)):
        os.unlink(os.path.join(folder, name))


def _write_synced(path: str, data: bytes | memoryview) -> None:
    with open(path, "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: str) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return


def _digest(path: str) -> str | None:
    try:
        with open_regular(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _same_files(folder: str, other: str) -> bool:
    """Whether two folders hold the same files, byte for byte."""
    names = os.listdir(folder)
    if sorted(names) != sorted(os.listdir(other)):
        return False
    pairs = [(os.path.join(folder, name), os.path.join(other, name)) for name in names]
    try:
        # The smallest first: documents say when they were made, and differ where anything does.
        pairs.sort(key=lambda pair: os.path.getsize(pair[0]))
        return all(filecmp.cmp(*pair, shallow=False) for pair in pairs)
    except OSError:  # what cannot be read is not the same
        return False
    finally:
        filecmp.clear_cache()  # it knows files by size and time
