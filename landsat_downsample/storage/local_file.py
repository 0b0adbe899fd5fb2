"""A band's file on this disk, as GDAL and the tile reader open it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from landsat_downsample.formats.tiff_layout import TiffLayout

if TYPE_CHECKING:
    from landsat_downsample.storage.streaming import Arriving


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A TIFF that is a file, or a part of one, and what the store said of the object behind it."""

    path: str
    offset: int
    """Its first byte in the file; not 0 for a member of a tar."""
    size: int
    layout: TiffLayout
    etag: str | None = None
    """Identity that a remote store gives these bytes."""
    received: int = 0
    """Bytes that came over the network for it so far; 0 for local files."""
    requests: int = 0
    compared: bool = False
    """Whether the checksums that its DEFLATE blocks carry were compared already: see `files.check_blocks`."""
    arriving: Arriving | None = None
    """What to wait for before any pixel is read; None where all bytes are there."""

    @property
    def gdal_path(self) -> str:
        """What GDAL opens."""
        return f"/vsisubfile/{self.offset}_{self.size},{self.path}" if self.offset else self.path
