"""The local way to publish: a hidden folder beside the final one, which a rename makes visible."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from landsat_downsample._errors import WriteError
from landsat_downsample._store._hrefs import local_path

if TYPE_CHECKING:
    from landsat_downsample._store._publication import Publication


@dataclass(frozen=True, slots=True)
class Folder:
    """A publication's place on the local disk."""

    publication: Publication

    @property
    def final(self) -> str:
        return local_path(self.publication.href)

    def hidden(self, kind: str) -> str:
        of = self.publication
        return os.path.join(local_path(of.dest), f".{of.name}.{kind}-{of.token}")

    def put(self, filename: str, data: bytes) -> None:
        staging = self.hidden("partial")
        part = os.path.join(staging, f".{filename}.{uuid.uuid4().hex}")
        try:
            os.makedirs(staging, exist_ok=True)
            try:
                _write_synced(part, data)
                os.replace(part, os.path.join(staging, filename))
            except BaseException:
                _unlink(part)
                raise
        except OSError as error:
            raise self._refused(filename, error) from error

    def commit(self, marker: str, data: bytes, expected: dict[str, str]) -> None:
        staging = self.hidden("partial")
        for filename, digest in expected.items():
            if _digest(os.path.join(staging, filename)) != digest:
                raise WriteError(
                    f"cannot publish {self.publication.href!r}: {filename!r} did not arrive as it was sent"
                )
        self.put(marker, data)
        try:
            _sync_folder(staging)
            self._show(staging)
            _sync_folder(os.path.dirname(self.final))
        except OSError as error:
            raise self._refused(marker, error) from error

    def _show(self, staging: str) -> None:
        try:
            # Atomic, and refused by the system if the name holds anything: no check can be overtaken.
            os.rename(staging, self.final)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
            self._show_over(staging)

    def _show_over(self, staging: str) -> None:
        if os.path.isdir(self.final) and _contents(self.final) == _contents(staging):
            shutil.rmtree(staging)
            return
        if not self.publication.overwrite:
            raise WriteError(
                f"cannot publish {self.publication.href!r}: it exists with other content; "
                "choose another destination or allow it with --overwrite"
            )
        old = self.hidden("replaced")
        os.rename(self.final, old)
        try:
            os.rename(staging, self.final)
        except OSError:
            os.rename(old, self.final)
            raise
        shutil.rmtree(old) if os.path.isdir(old) else os.unlink(old)

    def abort(self) -> None:
        shutil.rmtree(self.hidden("partial"), ignore_errors=True)

    def _refused(self, filename: str, error: OSError) -> WriteError:
        known = {
            errno.ENOSPC: "no space left; free some or choose another destination",
            errno.EDQUOT: "the quota is used up; free some or choose another destination",
            errno.EROFS: "it is read-only; choose another destination",
            errno.EACCES: "permission denied; choose another destination or its permissions",
        }
        reason = known.get(error.errno, (error.strerror or type(error).__name__).lower())
        return WriteError(f"cannot write {filename!r} to {self.publication.dest!r}: {reason}")


def _write_synced(path: str, data: bytes) -> None:
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
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _contents(folder: str) -> dict[str, str | None]:
    return {name: _digest(os.path.join(folder, name)) for name in os.listdir(folder)}
