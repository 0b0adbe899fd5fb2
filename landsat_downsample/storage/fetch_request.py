"""What to fetch of a band, and what is known of its bytes."""

from __future__ import annotations

from dataclasses import dataclass

from landsat_downsample.model.location import Location
from landsat_downsample.model.policy import Policy

#: (first row, row after the last, first column, column after the last).
PixelWindow = tuple[int, int, int, int]

#: Bytes of a header that are fetched first, at most in all, and in how many requests.
HEADER = 64 << 10
HEADER_LIMIT = 1 << 20
HEADER_PARTS = 8

#: Ranges of one area of interest: a run of blocks for each row of them, 31 in a full Landsat band.
MAX_SPANS = 64
#: Shares of a file: if one run of blocks is less, it alone is fetched; if several are, those are.
WORTHWHILE, PARTIAL = 0.9, 0.5


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """What to fetch, and what it must be."""

    location: Location
    size: int | None = None
    """Bytes it had when it was planned; another size now is an error."""
    etag: str | None = None
    """Identity it had in its store when it was planned; another one now is an error."""
    checksum: str | None = None
    """Hexadecimal multihash (STAC ``file:checksum``), compared over the whole object."""
    policy: Policy | None = None
    """Retry budget and who pays; from the environment if not given."""
    window: PixelWindow | None = None
    """Pixels that will be read: of a remote file only the blocks under them need to come."""
