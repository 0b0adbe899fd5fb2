"""Items that a destination's catalogue keeps, as they were read, and what its listing tells of those that are there.

The catalogue's table (Parquet) cannot give an item back: its times have milliseconds, its nodata values are floats, and
nulls are gone. So items themselves are kept beside it, in one file, each with the size and time (or ETag) of its own.
"""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from landsat_downsample.errors import MissingError, ReadError
from landsat_downsample.model.location import S3, Location
from landsat_downsample.model.policy import Policy
from landsat_downsample.model.product import MARKER, SUFFIX
from landsat_downsample.storage import files
from landsat_downsample.storage.listed import below

#: What a catalogue is: two files for readers, one of its own.
COLLECTION, TABLE, KEPT = "collection.json", "items.parquet", "_catalogue.json.gz"

_VERSION = 2
#: Bytes of all items, packed and as JSON: some 100 000 products.
_PACKED, _LIMIT = 1 << 28, 1 << 31

#: Threads that list a store, and products that are worth one more.
_LISTING, _WORTHWHILE = 8, 100

#: Bytes of a file, and its time in nanoseconds or its ETag; empty where a store tells neither.
Stamp = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Listing:
    """What one listing of a destination tells."""

    items: dict[str, Stamp] = field(default_factory=dict)
    """Of finished products, by their names."""
    files: dict[str, Stamp] = field(default_factory=dict)
    """Of the catalogue's files that are there."""

    @classmethod
    def of(cls, dest: Location, likely: Collection[str] = ()) -> Listing:
        """List a destination; its objects in a store, its products' items on a disk.

        Parameters
        ----------
        likely : collection of str
            Products that it may have, by which a store's listing is shared out among threads.

        Raises
        ------
        ReadError
            It cannot be listed.
        """
        if dest.is_local:
            return _local_listing(dest)
        return _s3_listing(dest, likely) if dest.kind in S3 else _remote_listing(dest)


@dataclass(frozen=True, slots=True)
class KeptItems:
    """Items as they were when a catalogue was written; unpacked only where they are asked for."""

    stamps: dict[str, Stamp] = field(default_factory=dict)
    """By the product's name."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Of the files that were written for readers."""
    packed: bytes = field(default=b"", repr=False)

    @classmethod
    def read(cls, dest: Location) -> KeptItems:
        """Read them; none where there are none, or what is there is damaged.

        Raises
        ------
        ReadError
            They are there and cannot be read.
        """
        try:
            return cls._parsed(files.read_bytes(dest / KEPT, limit=_PACKED))
        except MissingError:
            return cls()
        except (ValueError, TypeError, KeyError, AttributeError, zlib.error):
            return cls()  # made anew

    @classmethod
    def _parsed(cls, data: bytes) -> KeptItems:
        head = zlib.decompressobj(31)
        record, packed = json.loads(head.decompress(data, _LIMIT)), head.unused_data
        if (record["version"], record["crc32"]) != (_VERSION, zlib.crc32(packed)):
            return cls()
        return cls({name: (size, when) for name, (size, when) in record["stamps"].items()}, record["sizes"], packed)

    @classmethod
    def of(cls, stamps: dict[str, Stamp], items: dict[str, dict[str, Any]], sizes: dict[str, int]) -> KeptItems:
        """Pack them; stamps and items are of the same products."""
        return cls(stamps, sizes, _gzipped(items))

    def dumped(self) -> bytes:
        """The file that `read` reads: what tells whether the items are still as they were, then these."""
        head = {"version": _VERSION, "sizes": self.sizes, "crc32": zlib.crc32(self.packed), "stamps": self.stamps}
        return _gzipped(head) + self.packed

    @property
    def items(self) -> dict[str, dict[str, Any]]:
        """By the product's name; none where they are too many to unpack."""
        try:
            found: dict[str, dict[str, Any]] = json.loads(
                zlib.decompressobj(31).decompress(self.packed, _LIMIT) or "{}"
            )
        except (ValueError, zlib.error):
            return {}
        return found

    def current(self, listing: Listing) -> dict[str, dict[str, Any]]:
        """Those that are what the listing tells of, by the product's name."""
        names = [name for name, stamp in self.stamps.items() if stamp[1] and listing.items.get(name) == stamp]
        items = self.items if names else {}
        return {name: items[name] for name in names if name in items}

    def are_all(self, listing: Listing) -> bool:
        """Whether a listing tells of these items and files, as they are, and of no others."""
        there = {name: size for name, (size, _) in listing.files.items()}
        return self.stamps == listing.items and all(when for _, when in self.stamps.values()) and self.sizes == there


def _gzipped(record: dict[str, Any]) -> bytes:
    return gzip.compress(json.dumps(record, separators=(",", ":")).encode() + b"\n", 6, mtime=0)


def catalogued(folders: Iterable[Location], *, at_least: int) -> Mapping[str, dict[str, Any]]:
    """Items of products that a catalogue beside them keeps as they are now, by the product's href.

    Parameters
    ----------
    folders : iterable of Location
        Of products.
    at_least : int
        How many of one destination are worth its listing.
    """
    asked: dict[str, list[Location]] = {}
    for folder in folders:
        asked.setdefault(folder.parent.href, []).append(folder)
    found: dict[str, dict[str, Any]] = {}
    for some in asked.values():
        dest = some[0].parent
        if len(some) < at_least or not dest.is_writable:
            continue
        try:
            kept = KeptItems.read(dest)
            known = kept.current(Listing.of(dest, kept.stamps)) if kept.stamps else {}
        except ReadError:  # each item says what is wrong
            continue
        found |= {folder.href: known[folder.name] for folder in some if folder.name in known}
    return found


def _local_listing(dest: Location) -> Listing:
    found = Listing()
    with files.reading(dest), os.scandir(dest.path) as entries:
        for entry in entries:
            name = entry.name
            if name in (COLLECTION, TABLE):
                found.files[name] = _stamp(entry.path)
            elif name.endswith(SUFFIX) and not name.startswith("."):
                try:
                    found.items[name] = _stamp(os.path.join(entry.path, name + MARKER))
                except (FileNotFoundError, NotADirectoryError):
                    continue  # under way
    return found


def _stamp(path: str) -> Stamp:
    known = os.stat(path)
    return known.st_size, str(known.st_mtime_ns)


def _s3_listing(dest: Location, likely: Collection[str]) -> Listing:
    step = max(len(likely) // _LISTING, _WORTHWHILE)
    objects = below(dest, sorted(likely)[step::step][: _LISTING - 1], Policy.from_environ())
    stamps = {name: (size, etag.strip('"')) for name, (size, etag) in objects.items()}
    return Listing(
        {folder: stamps[name] for name in stamps if (folder := _product_of(name))},
        {name: stamps[name] for name in (COLLECTION, TABLE) if name in stamps},
    )


def _product_of(name: str) -> str:
    """The product whose item has a name below a destination; empty of other files."""
    folder, _, file = name.rpartition("/")
    return folder if folder.endswith(SUFFIX) and "/" not in folder and file == folder + MARKER else ""


def _remote_listing(dest: Location) -> Listing:
    from landsat_downsample.storage import transport  # not above: a disk needs none of it
    from landsat_downsample.storage.retry import RetryBudget

    policy = Policy.from_environ()

    def attempt(seconds: float) -> list[dict[str, Any]]:
        try:
            return transport.listing(dest, deep=True, policy=policy, seconds=seconds)
        except FileNotFoundError:
            return []

    found, place = Listing(), dest.href.partition("://")[2].strip("/")
    for entry in RetryBudget(policy).call(f"cannot list {dest!r}", attempt):
        name = entry["name"].strip("/").removeprefix(place).strip("/")
        if name in (COLLECTION, TABLE):
            found.files[name] = _told(entry)
        elif folder := _product_of(name):
            found.items[folder] = _told(entry)
    return found


def _told(entry: dict[str, Any]) -> Stamp:
    """What a store tells of an object."""
    tag = entry.get("ETag") or entry.get("etag") or entry.get("LastModified") or entry.get("mtime")
    tag = tag or entry.get("created") or ""
    return int(entry["size"] or 0), tag.isoformat() if isinstance(tag, datetime) else str(tag).strip('"')
