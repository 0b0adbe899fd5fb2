"""Bytes in and out of any place: listed, fetched and verified before a raster reader sees them.

Sources are local paths, ``file://``, members of an uncompressed tar (``tar://MEMBER::ARCHIVE``),
``http(s)://``, ``s3://`` and whatever else fsspec knows. GDAL never sees the network: a remote
band is fetched into a local file, and proven right before GDAL reads a pixel of it, or before
what was made of its pixels counts. What talks to remote stores is loaded by the functions here
once they are given one: local files need none of it, and it takes longer than they do.
"""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, TypeVar

from landsat_downsample.errors import LandsatDownsampleError, ReadError, read_error
from landsat_downsample.formats import tiff
from landsat_downsample.formats.multihash import parse_multihash
from landsat_downsample.formats.tiff_layout import TiffLayout
from landsat_downsample.model.location import Location
from landsat_downsample.model.policy import Policy
from landsat_downsample.storage import tar
from landsat_downsample.storage.fetch_request import FetchRequest, PixelWindow
from landsat_downsample.storage.leftovers import Leftover, leftovers, names_left, remove_leftover
from landsat_downsample.storage.local_file import LocalFile
from landsat_downsample.storage.publication import Publication, read_marker
from landsat_downsample.storage.regular_files import irregular, open_regular

if TYPE_CHECKING:
    from landsat_downsample.storage.remote import Remote
    from landsat_downsample.storage.streaming import Arriving

__all__ = [
    "FetchRequest",
    "Leftover",
    "LocalFile",
    "Policy",
    "Publication",
    "check_blocks",
    "exists",
    "fetch",
    "fetch_streaming",
    "header",
    "leftovers",
    "list_names",
    "names_left",
    "read_bytes",
    "read_marker",
    "reading",
    "remove_leftover",
]

LIMIT = 64 << 20

T = TypeVar("T")


def list_names(href: str | Location, *, policy: Policy | None = None) -> list[str]:
    """List the plain names of the files directly in a folder, prefix, web index or tar.

    Raises
    ------
    ReadError
        If it does not exist or cannot be listed.
    """
    location = Location.of(href)
    if location.is_archive:
        return sorted(tar.members(location))
    if not location.is_local:
        from landsat_downsample.storage import remote as remote_module

        return remote_module.list_names(location, policy or Policy.from_environ())
    try:
        with os.scandir(location.path) as entries:
            return sorted(entry.name for entry in entries if entry.is_file())
    except OSError as error:
        raise read_error(f"cannot list {location!r}: {_reason(error)}", error) from error


def list_folders(location: Location, *, policy: Policy | None = None) -> list[Location]:
    """List the folders and archives directly in a folder, prefix or web index.

    Raises
    ------
    ReadError
        If it does not exist or cannot be listed.
    """
    if location.is_local:
        with os.scandir(location.path) as entries:
            found = [entry.name for entry in entries if entry.is_dir() or Location(entry.name).is_archive]
    else:
        from landsat_downsample.storage import transport
        from landsat_downsample.storage.retry import RetryBudget

        policy = policy or Policy.from_environ()
        listed = RetryBudget(policy).call(
            f"cannot list {location!r}",
            lambda seconds: transport.listing(location, deep=False, policy=policy, seconds=seconds),
        )
        below = [(Location(entry["name"].partition("?")[0]), entry["type"]) for entry in listed]
        found = [one.name for one, kind in below if kind == "directory" or one.href.endswith("/") or one.is_archive]
    return [location / name for name in sorted(set(found)) if name and not name.startswith(".")]


def exists(href: str | Location, *, policy: Policy | None = None) -> bool:
    """Tell whether there is a file, an object, a member of a tar, or a folder.

    Raises
    ------
    ReadError
        If the store cannot say: it refuses access or does not answer.
    """
    location = Location.of(href)
    if location.kind == "tar":
        return location.name in tar.members(location.archive)
    if location.is_local:
        return os.path.exists(location.path)
    from landsat_downsample.storage import remote as remote_module

    return remote_module.exists(location, policy or Policy.from_environ())


def read_bytes(href: str | Location, *, limit: int = LIMIT, policy: Policy | None = None) -> bytes:
    """Read a small object whole: metadata, a STAC item.

    Parameters
    ----------
    href : str or Location
        Where it is.
    limit : int
        Bytes it may have.
    policy : Policy, optional
        Retry budget and who pays; from the environment if not given.

    Raises
    ------
    ReadError
        If it is absent, too large, or did not arrive right.
    """
    location = Location.of(href)
    if not _here(location):
        from landsat_downsample.storage import remote as remote_module
        from landsat_downsample.storage.remote import Remote

        return remote_module.read_whole(Remote(FetchRequest(location, policy=policy)), limit)
    path, offset, size = _place(location)
    if size > limit:
        raise ReadError(f"cannot read {location!r}: its {size} bytes are more than the {limit} allowed here")
    try:
        with open_regular(path) as file:
            file.seek(offset)
            data = file.read(size)
    except OSError as error:
        raise read_error(f"cannot read {location!r}: {_reason(error)}", error) from error
    if len(data) != size:
        raise ReadError(f"cannot read {location!r}: it ended after {len(data)} of {size} bytes")
    return data


@contextmanager
def header(request: FetchRequest) -> Iterator[LocalFile]:
    """Yield a file that GDAL can open to read tags and layout, not pixels.

    A remote file is a sparse local one of the full size that holds the header only; it is
    removed at the end of the context. Its ``etag`` is the identity that a remote store gives
    these bytes, for `fetch` to insist on; None for local files.

    Raises
    ------
    ReadError
        If it is no TIFF, was cut, changed, or cannot be read.
    """
    if _here(request.location):
        yield _verified_local(request)
        return
    from landsat_downsample.storage import remote as remote_module
    from landsat_downsample.storage.remote import Remote

    with _spill() as (handle, path):
        remote = Remote(request)
        layout = remote_module.spill_header(remote, handle)
        yield _copy(path, remote, layout)


@contextmanager
def fetch(request: FetchRequest) -> Iterator[LocalFile]:
    """Yield a file that GDAL can open, with all full-resolution bytes there and verified.

    Open it with ``OVERVIEW_LEVEL=NONE``: where a remote file keeps overviews apart they are
    not fetched. A remote file is removed at the end of the context.

    Raises
    ------
    ReadError
        If it is no TIFF, was cut, damaged, changed, or cannot be read.
    """
    if _here(request.location):
        yield _verified_local(request)
        return
    from landsat_downsample.storage import remote as remote_module
    from landsat_downsample.storage.remote import Remote

    remote = Remote(request)
    with _spill() as (handle, path):
        layout = remote_module.spill_band(remote, handle)
        yield _copy(path, remote, layout)


def fetch_streaming(request: FetchRequest, work: Callable[[LocalFile], T]) -> tuple[T, LocalFile]:
    """Call ``work`` with a file as `fetch` gives it, as soon as the header is there where all blocks come in one range.

    The file has an ``arriving`` then: `work` has to wait with it for the bytes it reads, and to compare
    the checksum of each block, or to have `Arriving.settle` do both. What it gives counts only once
    all bytes have arrived right; until then it may be called anew, within one retry budget.

    Parameters
    ----------
    work : callable
        Reads the pixels. What it raises comes through, unless the bytes were to blame and a retry may help.

    Returns
    -------
    object
        What ``work`` gave.
    LocalFile
        It is gone; for what it took.

    Raises
    ------
    ReadError
        As `fetch`.
    """
    if _here(request.location):
        file = _verified_local(request)
        return work(file), file
    from landsat_downsample.storage import streaming
    from landsat_downsample.storage.remote import Remote

    remote = Remote(request)
    with _spill() as (handle, path):
        found, layout = streaming.fetch_streaming(remote, handle, lambda *facts: work(_copy(path, remote, *facts)))
        return found, _copy(path, remote, layout)


def _copy(path: str, remote: Remote, layout: TiffLayout, arriving: Arriving | None = None) -> LocalFile:
    """The local copy of a remote file: as long as that, though parts of it may lack."""
    size = remote.size or os.path.getsize(path)
    return LocalFile(path, 0, size, layout, remote.etag, remote.received, remote.requests, remote.compared, arriving)


def check_blocks(file: LocalFile, source: Location, window: PixelWindow | None = None) -> None:
    """Compare the checksums that the DEFLATE blocks of a local file carry, for a reader that does not.

    Parameters
    ----------
    file : LocalFile
        All of it is there.
    source : Location
        Where it came from, for the message.
    window : tuple of int, optional
        Only the blocks under these pixels.

    Raises
    ------
    ReadError
        A block is damaged.
    """
    image = file.layout.directories[0]
    if not tiff.verifiable(image):
        return
    with open_regular(file.path) as opened:

        def read(start: int, length: int) -> bytes:
            return _read_exactly(opened.fileno(), file.offset + start, length)

        try:
            tiff.check_blocks(read, image, tiff.blocks_under(image, window) if window else None)
        except ReadError as error:
            raise ReadError(f"cannot read {source!r}: {error}; fetch it again") from error


def _here(location: Location) -> bool:
    """Whether no network is needed; a remote tar is refused where it is read."""
    return location.kind in ("file", "tar")


def _verified_local(request: FetchRequest) -> LocalFile:
    location = request.location
    path, offset, there = _place(location)
    if request.size not in (None, there):
        raise ReadError(
            f"cannot read {location!r}: it has {there} bytes where {request.size} were expected; plan again"
        )
    try:
        with open_regular(path) as file:
            layout = tiff.check_complete(
                lambda start, length: _read_exactly(file.fileno(), offset + start, length), there
            )
            _compare(file, offset, there, request.checksum)
    except ReadError as error:
        raise read_error(f"cannot read {location!r}: {error}", error) from error
    except OSError as error:
        raise read_error(f"cannot read {location!r}: {_reason(error)}", error) from error
    return LocalFile(path, offset, there, layout)


def _place(location: Location) -> tuple[str, int, int]:
    """Find the local (path, offset, size) of a file or of a member of a tar."""
    if location.kind == "tar":
        inside = tar.find(location.member, location.archive)
        return location.archive.path, inside.offset, inside.size
    path = location.path
    try:
        found = os.stat(path)
        if why := irregular(found.st_mode):
            raise ReadError(f"cannot read {location!r}: {why}")
        return path, 0, found.st_size
    except OSError as error:
        raise read_error(f"cannot read {location!r}: {_reason(error)}", error) from error


def _read_exactly(handle: int, offset: int, length: int) -> bytes:
    data = os.pread(handle, length, offset)
    if len(data) != length:
        raise ReadError(f"it ended at byte {offset + len(data)} while it was read")
    return data


def _compare(file: IO[bytes], offset: int, size: int, checksum: str | None) -> None:
    known = parse_multihash(checksum)
    if known is None:
        return
    state = hashlib.new(known[0], usedforsecurity=False)
    for start in range(0, size, 1 << 20):
        state.update(_read_exactly(file.fileno(), offset + start, min(1 << 20, size - start)))
    if state.hexdigest() != known[1]:
        raise ReadError(f"its bytes do not have the {known[0]} checksum that its catalogue gives; fetch it again")


#: Bytes on disk below which a copy is given back to it at once: a thread would take longer to start.
SMALL = 4 << 20

#: An open file has a name here for as long as its process lives (Linux).
_OPEN_FILES = "/proc/self/fd"


@contextmanager
def _spill() -> Iterator[tuple[int, str]]:
    """Make an empty temporary file; gone at the end whatever happens, a SIGKILL too where the system can."""
    nameless = os.path.isdir(_OPEN_FILES)
    make = tempfile.TemporaryFile if nameless else tempfile.NamedTemporaryFile  # the first has no name at any moment
    try:
        file = make(prefix="landsat-downsample-", suffix=".tif")
    except OSError as error:
        raise ReadError(f"cannot make a local copy in {tempfile.gettempdir()!r}: {_reason(error)}") from error
    try:
        yield file.fileno(), f"{_OPEN_FILES}/{file.fileno()}" if nameless else file.name
    finally:
        _close(file) if nameless else file.close()


def _close(file: IO[bytes]) -> None:
    """Close a file without waiting for it: to give a band's copy back to a disk can take a third of its decoding."""
    if os.fstat(file.fileno()).st_blocks * 512 < SMALL:
        file.close()
        return
    try:
        last = os.dup(file.fileno())  # the file is `file` no more, and nobody can reach it by that path
    except OSError:  # no more files may be open
        file.close()
        return
    file.close()
    try:
        threading.Thread(target=os.close, args=(last,), name="landsat-downsample-close").start()
    except RuntimeError:  # no more threads: the process ends
        os.close(last)


@contextmanager
def reading(location: Location) -> Iterator[None]:
    """Tell what the system says of a file that vanished, or that can be read no more, as an error of the source."""
    try:
        yield
    except OSError as error:
        if error.errno is None or isinstance(error, LandsatDownsampleError):  # a library's own, or told already
            raise
        raise read_error(f"cannot read {location!r}: {_reason(error)}", error) from error


def _reason(error: OSError) -> str:
    known = {
        errno.ENOENT: "no such file or folder",
        errno.ENOTDIR: "it is not a folder",
        errno.EACCES: "permission denied",
    }
    return known.get(error.errno or 0, (error.strerror or type(error).__name__).lower())
