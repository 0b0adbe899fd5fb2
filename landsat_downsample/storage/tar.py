"""Uncompressed tar archives read in place: a member is a range of the archive's bytes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, BinaryIO

from landsat_downsample.errors import MissingError, ReadError, read_error
from landsat_downsample.model.location import Location
from landsat_downsample.storage.regular_files import open_regular

if TYPE_CHECKING:
    import tarfile

MAX_MEMBERS = 10_000

#: Bytes that the headers of all members may have: those of a Landsat scene have some 20 kB. What tar puts in them (long
#: names, attributes, maps of sparse files) is read whole.
MAX_HEADERS = 16 << 20


@dataclass(frozen=True, slots=True)
class Member:
    """A file of an archive: where its bytes are."""

    name: str
    """As the archive spells it, without a leading ``./``."""
    offset: int
    """First byte of the file in the archive."""
    size: int


def members(archive: Location) -> dict[str, Member]:
    """List the files of an archive by their plain names.

    Files may be at the top or one folder down, as tools that pack a scene's folder leave them.

    Raises
    ------
    ReadError
        If the archive is absent, remote, compressed or cut, or holds anything but plain
        files and folders inside itself.
    """
    if not archive.is_local:
        raise ReadError(f"cannot read {archive!r} in place: bring it here first (landsat-downsample stage-in)")
    path = archive.path
    try:
        stat = os.stat(path)
        return dict(_scan(path, stat.st_size, stat.st_mtime_ns))
    except OSError as error:
        raise read_error(f"cannot read archive {archive!r}: {error.strerror or error}", error) from error


@lru_cache(maxsize=32)
def _scan(path: str, size: int, _mtime: int) -> tuple[tuple[str, Member], ...]:
    import tarfile

    found: dict[str, Member] = {}
    try:
        with open_regular(path) as raw:
            _refuse_compressed(raw.read(6), path)
            raw.seek(0)
            # typeshed asks for what is written and closed too
            with tarfile.open(fileobj=_Headers(raw, path), mode="r:") as tar:  # type: ignore[call-overload]
                for count, info in enumerate(tar):
                    if count >= MAX_MEMBERS:
                        raise ReadError(
                            f"archive {path!r} has more than {MAX_MEMBERS} members: it is not a Landsat scene"
                        )
                    if (member := _check(info, path, size)) is not None:
                        found[_plain(member, found, path)] = member
    except (tarfile.TarError, EOFError, *_UPSET) as error:
        why = error if isinstance(error, tarfile.TarError) else f"a header makes no sense ({type(error).__name__})"
        raise ReadError(f"archive {path!r} is damaged or not a tar: {why}") from error
    return tuple(found.items())


#: What `tarfile` raises at headers that it does not expect, besides its own errors.
_UPSET = (ValueError, TypeError, LookupError, ArithmeticError, RecursionError)


class _Headers:
    """A file of which no more is read than headers may have."""

    def __init__(self, raw: BinaryIO, path: str) -> None:
        self._raw, self._path, self._left = raw, path, MAX_HEADERS
        self.seek, self.tell = raw.seek, raw.tell

    def read(self, size: int) -> bytes:
        self._left -= size
        if not 0 <= size <= MAX_HEADERS or self._left < 0:
            raise ReadError(f"archive {self._path!r} has headers of more than {MAX_HEADERS} bytes: download it again")
        return self._raw.read(size)


def _refuse_compressed(magic: bytes, path: str) -> None:
    tools = {b"\x1f\x8b": "gunzip", b"BZh": "bunzip2", b"\xfd7zXZ\x00": "unxz", b"PK\x03\x04": "unzip"}
    for sign, tool in tools.items():
        if magic.startswith(sign):
            raise ReadError(
                f"archive {path!r} is compressed: its bands cannot be read in place; unpack it ({tool}, tar)"
            )


def _check(info: tarfile.TarInfo, path: str, size: int) -> Member | None:
    name = info.name.removeprefix("./")
    parts = name.split("/")
    if info.name.startswith(("/", "\\")) or ".." in parts or (len(name) > 1 and name[1] == ":"):
        raise ReadError(f"archive {path!r}: member {info.name!r} points outside of it; refused")
    if info.isdir():
        return None
    if not info.isreg() or info.issparse():
        raise ReadError(f"archive {path!r}: member {info.name!r} is a link, a device or sparse; only files are read")
    if info.size < 0 or info.offset_data + info.size > size:
        raise ReadError(f"archive {path!r} ends inside member {info.name!r}: it was cut; download it again")
    return Member(name, info.offset_data, info.size)


def _plain(member: Member, found: dict[str, Member], path: str) -> str:
    folder, _, name = member.name.rpartition("/")
    if "/" in folder:
        raise ReadError(f"archive {path!r}: member {member.name!r} is more than one folder down; unpack it first")
    if name in found:
        raise ReadError(f"archive {path!r} holds {name!r} twice: {found[name].name!r} and {member.name!r}")
    return name


def find(member: str, archive: Location) -> Member:
    """Find a member by its plain name, or by its name with the folder.

    Raises
    ------
    ReadError
        If there is no such member, or the archive cannot be read.
    """
    listing = members(archive)
    found = listing.get(member.rpartition("/")[2])
    if found is None or member.removeprefix("./") not in (found.name, found.name.rpartition("/")[2]):
        raise MissingError(f"archive {archive!r} has no member {member!r}: it holds {', '.join(sorted(listing)[:5])}")
    return found
