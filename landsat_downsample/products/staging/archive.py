"""Archives that cannot be read in place: a remote one is fetched whole, a compressed one unpacked, for a while."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from landsat_downsample.errors import LandsatDownsampleError, ReadError, WriteError, read_error
from landsat_downsample.formats import tiff
from landsat_downsample.model.location import Location
from landsat_downsample.model.policy import Policy
from landsat_downsample.products.staging.file_names import plain_name
from landsat_downsample.storage import cancellation, verified_copy
from landsat_downsample.storage.regular_files import open_regular
from landsat_downsample.storage.sinks import WHOLE_LIMIT
from landsat_downsample.storage.verified_copy import Whole

_Opener = type[gzip.GzipFile] | type[bz2.BZ2File] | type[lzma.LZMAFile]
_OPENERS: dict[bytes, _Opener] = {b"\x1f\x8b": gzip.GzipFile, b"BZh": bz2.BZ2File, b"\xfd7zXZ\x00": lzma.LZMAFile}


@contextmanager
def readable(location: Location, folder: str, policy: Policy) -> Iterator[Location]:
    """Yield where an archive can be read in place; any other location as it is.

    Parameters
    ----------
    location : Location
        Anything; what is not a tar passes.
    folder : str
        Local folder in which a hidden one may hold copies until the context ends.
    policy : Policy
        Retry budget of the download.

    Raises
    ------
    ReadError
        It cannot be fetched or is no archive.
    """
    if not location.is_archive or (location.is_local and _compression(location.path) is None):
        yield location
        return
    name = plain_name(location.name)
    hidden = os.path.join(folder, f".{name}.partial-{uuid.uuid4().hex}")
    try:
        os.makedirs(hidden)
    except OSError as error:
        raise WriteError(f"cannot write to {folder!r}: {(error.strerror or 'it failed').lower()}") from error
    try:
        yield _brought(location, hidden, name, policy)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


@contextmanager
def told_as(location: Location, copy: Location) -> Iterator[None]:
    """Let errors name what was asked for rather than its copy, which is gone when they are read."""
    try:
        yield
    except LandsatDownsampleError as error:
        if copy == location:
            raise
        raise type(error)(str(error).replace(copy.href, location.shown)) from error.__cause__


def _brought(location: Location, hidden: str, name: str, policy: Policy) -> Location:
    path = location.path if location.is_local else os.path.join(hidden, name)
    if not location.is_local:
        verified_copy.copy(Whole(location), hidden, name, policy)
        with open_regular(path) as file:
            head = file.read(512)
        if "web page" in tiff.describe(head) or "text" in tiff.describe(head) or not head:
            raise ReadError(f"cannot read {location!r}: {tiff.describe(head)}, not a tar")
    plain = os.path.join(hidden, f"{name.partition('.tar')[0].removesuffix('.tgz')}.tar")
    if (opener := _compression(path)) is None:
        os.rename(path, plain)  # its name need not say that it is not compressed
        return Location(plain)
    unpacked = f"{plain}.unpacked"
    _decompress(opener, path, unpacked, location)
    os.rename(unpacked, plain)
    return Location(plain)


def _compression(path: str) -> _Opener | None:
    try:
        with open_regular(path) as file:
            head = file.read(6)
    except OSError as error:
        raise read_error(f"cannot read {path!r}: {(error.strerror or 'it failed').lower()}", error) from error
    return next((opener for sign, opener in _OPENERS.items() if head.startswith(sign)), None)


def _decompress(opener: _Opener, path: str, target: str, location: Location) -> None:
    count = 0
    try:
        with opener(path, "rb") as packed, open(target, "xb") as file:
            while data := packed.read(1 << 20):
                cancellation.check()
                count += len(data)
                if count > WHOLE_LIMIT:
                    raise ReadError(f"cannot read {location!r}: it unpacks to more than {WHOLE_LIMIT} bytes; refused")
                file.write(data)
    except (EOFError, OSError, lzma.LZMAError) as error:
        if isinstance(error, OSError) and error.errno:
            raise WriteError(f"cannot unpack {location!r}: {(error.strerror or 'it failed').lower()}") from error
        raise ReadError(f"cannot read {location!r}: its compression is damaged or cut; download it again") from error
