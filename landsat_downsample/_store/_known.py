"""Headers read when a scene was opened, handed on to the reads of its pixels in the same process."""

from __future__ import annotations

from dataclasses import dataclass

from landsat_downsample._store._tiff import Layout

#: Bytes of all headers kept; one of a full Landsat band takes about 20 KiB.
LIMIT = 32 << 20


@dataclass(slots=True)
class Header:
    """What describes a remote TIFF, and what it cost to get."""

    parts: list[tuple[int, bytes]]
    """(offset, bytes) of pieces of the file."""
    layout: Layout
    size: int
    """Bytes of the whole object."""
    requests: int
    received: int

    def __post_init__(self) -> None:
        end = max(offset + length for offset, length in self.layout.parts)
        self.parts = [(start, data[: end - start]) for start, data in self.parts if start < end]

    def claim(self) -> tuple[int, int]:
        """(requests, bytes) it cost, for the first who uses it; nothing for the others."""
        cost = self.requests, self.received
        self.requests = self.received = 0
        return cost


_known: dict[tuple[str, str], Header] = {}


def keep(href: str, etag: str | None, header: Header) -> None:
    """Remember a header, if its object has an identity that the next read can insist on."""
    if not etag or etag.startswith("W/"):
        return
    _known[href, etag] = header
    # Copied before it is walked through: other threads keep theirs meanwhile.
    held = [(key, sum(len(data) for _, data in one.parts)) for key, one in list(_known.items())]
    excess = sum(size for _, size in held) - LIMIT
    for key, size in held:
        if excess <= 0:
            return
        _known.pop(key, None)
        excess -= size


def find(href: str, etag: str | None, size: int | None) -> Header | None:
    """Give the header of an object of that identity and size, if it is remembered."""
    found = _known.get((href, etag)) if etag else None
    return found if found is not None and size in (None, found.size) else None


def forget(href: str, etag: str | None) -> None:
    """Read it anew the next time."""
    _known.pop((href, etag), None)
