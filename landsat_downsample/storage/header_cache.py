"""Headers read when a scene was opened, handed on to the reads of its pixels in the same process."""

from __future__ import annotations

from dataclasses import dataclass, field

from landsat_downsample.formats.tiff_layout import TiffLayout
from landsat_downsample.model.location import Location
from landsat_downsample.storage.recent import Recent
from landsat_downsample.storage.transport import HttpResponse

#: Bytes of all headers kept; one of a full Landsat band takes about 20 KiB.
LIMIT = 32 << 20

#: Bytes that one takes beside its parts, about: its layout, and what holds it together.
OVERHEAD = 4 << 10


@dataclass(slots=True)
class Header:
    """What describes a remote TIFF, and what it cost to get."""

    parts: list[tuple[int, bytes]]
    """(offset, bytes) of pieces of the file."""
    layout: TiffLayout
    size: int
    """Bytes of the whole object."""
    requests: int
    received: int
    whole: HttpResponse | None = None
    """Of an object all of which is here: what the store said of it."""
    _unclaimed: list[tuple[int, int]] = field(init=False)

    def __post_init__(self) -> None:
        end = self.size if self.whole else max(offset + length for offset, length in self.layout.parts)
        self.parts = [(start, data[: end - start]) for start, data in self.parts if start < end]
        self._unclaimed = [(self.requests, self.received)]

    def claim(self) -> tuple[int, int]:
        """(requests, bytes) it cost, for the first who uses it; nothing for the others."""
        try:
            return self._unclaimed.pop()  # in one step: of two threads one gets it
        except IndexError:
            return 0, 0


_headers: Recent[tuple[Location, str | None], Header] = Recent(
    LIMIT, lambda header: OVERHEAD + sum(len(data) for _, data in header.parts)
)


def keep(location: Location, etag: str | None, header: Header) -> None:
    """Remember a header, if its object has an identity that the next read can insist on."""
    if etag and not etag.startswith("W/"):
        _headers.put((location, etag), header)


def find(location: Location, etag: str | None, size: int | None) -> Header | None:
    """Give the header of an object of that identity and size, if it is remembered."""
    found = _headers.get((location, etag))
    return found if found is not None and size in (None, found.size) else None


def forget(location: Location, etag: str | None) -> None:
    """Read it anew the next time."""
    _headers.drop((location, etag))
