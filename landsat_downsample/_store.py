"""Bytes in and out of any place: listed, fetched and verified before a raster reader sees them.

Knows no rasters beyond where their bytes lie; knows no pixels.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import fsspec

from landsat_downsample import _tar
from landsat_downsample._errors import ReadError
from landsat_downsample._hrefs import basename, is_local, is_tar, join, local_path, redact, scheme, split_tar, tar_href
from landsat_downsample._publication import Publication, read_marker

__all__ = [
    "Publication",
    "basename",
    "exists",
    "fetch",
    "header",
    "is_local",
    "is_tar",
    "join",
    "list_names",
    "local_path",
    "read_bytes",
    "read_marker",
    "redact",
    "tar_href",
]

LIMIT = 64 << 20


def list_names(href: str) -> list[str]:
    """List the plain names of the files directly in a folder, prefix or tar."""
    try:
        if is_tar(href):
            return sorted(_tar.members(href))
        if is_local(href):
            with os.scandir(local_path(href)) as entries:
                return sorted(entry.name for entry in entries if entry.is_file())
        fs, path = fsspec.core.url_to_fs(href)
        names = [basename(e["name"]) for e in fs.ls(path, detail=True) if e["type"] == "file"]
        return sorted(name for name in names if name)
    except (OSError, ValueError, ImportError) as error:
        raise ReadError(f"cannot list {redact(href)!r}: {type(error).__name__}") from error


def exists(href: str) -> bool:
    """Tell whether there is a file or folder."""
    if scheme(href) == "tar":
        member, archive = split_tar(href)
        return member.rpartition("/")[2] in _tar.members(archive)
    if is_local(href):
        return os.path.exists(local_path(href))
    fs, path = fsspec.core.url_to_fs(href)
    return fs.exists(path)


def read_bytes(href: str, *, limit: int = LIMIT) -> bytes:
    """Read a small object whole."""
    try:
        if scheme(href) == "tar":
            member, archive = split_tar(href)
            found = _tar.find(member, archive)
            if found.size > limit:
                raise ReadError(f"{redact(href)!r} has {found.size} bytes: more than the {limit} allowed here")
            with open(local_path(archive), "rb") as file:
                file.seek(found.offset)
                return file.read(found.size)
        if is_local(href):
            with open(local_path(href), "rb") as file:
                data = file.read(limit + 1)
        else:
            fs, path = fsspec.core.url_to_fs(href)
            data = fs.cat_file(path)
    except (OSError, ValueError, ImportError) as error:
        raise ReadError(
            f"cannot read {redact(href)!r}: {getattr(error, 'strerror', None) or type(error).__name__}"
        ) from error
    if len(data) > limit:
        raise ReadError(f"{redact(href)!r} has more than the {limit} bytes allowed here")
    return data


@contextmanager
def header(href: str, size: int | None = None) -> Iterator[str]:
    """Yield a path GDAL can open to read tags and layout only."""
    with fetch(href, size=size) as path:
        yield path


@contextmanager
def fetch(href: str, *, size: int | None = None, etag: str | None = None, checksum: str | None = None) -> Iterator[str]:
    """Yield a path GDAL can open with all full-resolution bytes verified."""
    if scheme(href) == "tar":
        member, archive = split_tar(href)
        found = _tar.find(member, archive)
        yield f"/vsisubfile/{found.offset}_{found.size},{local_path(archive)}"
    elif is_local(href):
        if not os.path.isfile(local_path(href)):
            raise ReadError(f"cannot read {href!r}: no such file")
        yield local_path(href)
    else:
        handle, path = tempfile.mkstemp(prefix="landsat-downsample-", suffix=".tif")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(read_bytes(href, limit=1 << 40))
            yield path
        finally:
            os.unlink(path)
