"""Scenes and their bands, opened from whatever form Landsat comes in: headers only, no pixels."""

from __future__ import annotations

from dataclasses import dataclass, field

from landsat_downsample._bands import BandSpec
from landsat_downsample._grid import Grid


@dataclass(frozen=True, slots=True)
class Band:
    """One raster of a scene: what it means, where it is, and what its header says."""

    spec: BandSpec
    href: str
    """Where its bytes are: an absolute path, a URL, or ``tar://MEMBER::ARCHIVE``."""
    grid: Grid
    dtype: str
    """Stored data type, as numpy names it."""
    nodata: float | None
    """The file's nodata tag, else the catalogue's fill, else None."""
    block_shape: tuple[int, int]
    """(height, width) of a block on disk."""
    scale: float | None = None
    """Scale in the file's own tags; None where it has none."""
    offset: float | None = None
    unit: str | None = None
    description: str | None = None
    area_or_point: str | None = None
    """``Point`` or ``Area`` as the file's tag says."""
    size: int | None = None
    """Bytes of the file."""
    etag: str | None = None
    """Identity of these bytes where the store gives one."""
    checksum: str | None = None
    """Multihash (hex) from a STAC item's ``file:checksum``, to verify what is fetched."""

    @property
    def name(self) -> str:
        """USGS name: ``SR_B4``."""
        return self.spec.name


@dataclass(frozen=True, slots=True)
class Scene:
    """A Landsat scene, or a lone file: an id, one grid, and its bands by USGS name."""

    id: str
    """Landsat product ID, or the lone file's name without its ending."""
    href: str
    """What was opened, free of signatures and passwords."""
    grid: Grid
    """The grid that all bands share, but for the panchromatic one."""
    bands: dict[str, Band]
    sensor: str | None = None
    """Catalogue key: ``oli_tirs``, ``etm``, ``tm``, ``mss45``, ``mss123``; None when unknown."""
    level: int | None = None
    lone: bool = False
    """Whether it is a single file rather than a scene."""
    absent: tuple[str, ...] = ()
    """Bands the scene's own metadata lists but that are not there."""
    metadata: dict[str, str] = field(default_factory=dict)
    """Metadata files by kind: ``MTL.txt``, ``MTL.json``, ``MTL.xml``, ``ANG.txt`` -> href."""
    properties: dict = field(default_factory=dict)
    """STAC properties known of it: datetime, platform, instruments, eo:cloud_cover, view:*, landsat:*."""
    item_href: str | None = None
    """The STAC item it came from, if it did."""
    requester_pays: bool = False
    """Whether its storage says that readers pay."""
