"""Whole objects brought to this disk byte for byte: verified, synced, and renamed only when right."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from landsat_downsample.errors import ReadError, WriteError, read_error
from landsat_downsample.formats.tiff import check_complete, describe
from landsat_downsample.model.location import Location
from landsat_downsample.model.policy import Policy
from landsat_downsample.storage import cancellation, tar
from landsat_downsample.storage.fetch_request import FetchRequest
from landsat_downsample.storage.regular_files import open_regular
from landsat_downsample.storage.remote import Remote
from landsat_downsample.storage.retry import Mismatch
from landsat_downsample.storage.sinks import FileSink, HashSink

CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Whole:
    """An object to copy, and what is known of its bytes."""

    location: Location
    size: int | None = None
    etag: str | None = None
    """Identity it must still have in its store."""
    digests: tuple[tuple[str, str], ...] = ()
    """(algorithm, hex digest) it must have."""
    tiff: bool = False
    """Whether it must be a complete TIFF."""


class _Sink(FileSink):
    """Stops receiving when nobody waits for the bytes any more."""

    __slots__ = ()

    def __call__(self, data: bytes) -> None:
        cancellation.check()
        FileSink.__call__(self, data)


def copy(source: Whole, folder: str, name: str, policy: Policy) -> tuple[int, str]:
    """Copy an object into a folder under a name that it gets once all of it is there and right.

    Returns
    -------
    (size, sha256)
        Of its bytes.

    Raises
    ------
    ReadError
        It is absent, was cut, damaged or changed.
    WriteError
        The folder cannot hold it.
    """
    part = os.path.join(folder, f".{name}.{uuid.uuid4().hex}")
    try:
        with open(part, "xb+") as file:
            fill(source, file.fileno(), policy)
            os.fsync(file.fileno())
            sink = FileSink(file.fileno())
            size, found = os.fstat(file.fileno()).st_size, sink.digest("sha256")
        os.replace(part, os.path.join(folder, name))
    except ReadError:  # of the source, which may be one of the system too
        raise
    except OSError as error:
        raise WriteError(f"cannot write {name!r} to {folder!r}: {(error.strerror or 'it failed').lower()}") from error
    finally:
        if os.path.lexists(part):
            os.unlink(part)
    return size, found


def fill(source: Whole, handle: int, policy: Policy) -> None:
    """Write all bytes of an object into an open, empty file."""
    if source.location.is_local:
        _fill_local(source, handle)
        return
    remote = Remote(FetchRequest(source.location, source.size, source.etag, policy=policy))
    remote.persist(lambda: _fill_remote(source, remote, handle))


def _fill_remote(source: Whole, remote: Remote, handle: int) -> None:
    cancellation.check()
    os.ftruncate(handle, 0)
    sink = _Sink(handle)
    answer = remote.get(None, sink)
    proven = remote.prove(answer, sink)
    _compare(source, sink, Mismatch)
    if source.tiff:
        try:
            check_complete(sink.read, sink.count)
        except ReadError as error:
            raise _judged(source, sink.read(0, 512), error) from error
    if not (proven or source.digests or answer.sealed):
        _read_again(remote, sink)


def _judged(source: Whole, head: bytes, error: ReadError) -> Exception:
    """Cut bytes may come whole the next time; a login page will not become a raster."""
    if "web page" in describe(head):
        return ReadError(f"cannot read {source.location!r}: {error}")
    return Mismatch(str(error))


def _read_again(remote: Remote, sink: FileSink) -> None:
    """Read once more and compare: nothing else guards bytes over a bare connection without digests.

    As a range, and one byte longer: its total shows a body that was cut the same way twice.
    """
    again = HashSink()
    remote.get((0, sink.count + 1) if sink.count else None, again)
    if again.state.hexdigest() != sink.digest("sha256"):
        raise Mismatch("two reads gave different bytes")


def _compare(source: Whole, sink: FileSink, error: type[Exception]) -> None:
    for name, expected in source.digests:
        if sink.digest(name) != expected:
            raise error(f"its bytes do not have the {name} checksum that is given for it")


def _fill_local(source: Whole, handle: int) -> None:
    sink = _Sink(handle)
    try:
        _each_chunk(source.location, sink)
        _compare(source, sink, ReadError)
        if source.size is not None and sink.count != source.size:
            raise ReadError(f"it has {sink.count} bytes where {source.size} were expected; it was changed")
        if source.tiff:
            check_complete(sink.read, sink.count)
    except ReadError as error:
        raise read_error(f"cannot read {source.location!r}: {error}", error) from error


def _each_chunk(location: Location, take: Callable[[bytes], object]) -> None:
    """Hand on the bytes of a local file, or of a member of a local tar."""
    path, offset, left = _place(location)
    try:
        file = open_regular(path)
    except OSError as error:
        raise read_error((error.strerror or "it cannot be opened").lower(), error) from error
    with file:
        file.seek(offset)
        while left is None or left > 0:
            data = file.read(CHUNK if left is None else min(CHUNK, left))
            if not data and left:
                raise ReadError(f"it ended {left} bytes too early")
            if not data:
                return
            take(data)
            left = None if left is None else left - len(data)


def _place(location: Location) -> tuple[str, int, int | None]:
    if location.kind != "tar":
        return location.path, 0, None
    found = tar.find(location.member, location.archive)
    return location.archive.path, found.offset, found.size


def digest(location: Location, algorithm: str = "sha256") -> str:
    """Hash a local file, or a member of a local tar.

    Raises
    ------
    ReadError
        It cannot be read.
    """
    state = hashlib.new(algorithm, usedforsecurity=False)
    try:
        _each_chunk(location, state.update)
    except (ReadError, OSError) as error:
        reason = error if isinstance(error, ReadError) else error.strerror
        raise read_error(f"cannot read {location!r}: {reason}", error) from error
    return state.hexdigest()
