"""What was written of a band: the facts that its metadata repeat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from landsat_downsample.errors import UsageError

#: What names of products end with, and their markers: STAC items, which make them complete.
SUFFIX, MARKER = "_downsampled", ".stac.json"

FRACTIONS = "QA_FRACTIONS"


def same_product(one: str, other: str, name: str) -> UsageError:
    """What to raise where two sources would be one product."""
    return UsageError(
        f"{one!r} and {other!r} would both be written to {name!r}: "
        "give one of them, or run them apart to different places"
    )


@dataclass(frozen=True, slots=True)
class Product:
    """One file of a product as it was written: the facts that its metadata repeat."""

    band: str
    """USGS name, or ``QA_FRACTIONS``."""
    filename: str
    method: str
    """Reducer as recorded: ``mean``, ``conservative``, ``circular`` ..."""
    dtype: str
    nodata: float | None
    size: int
    """Bytes of the file."""
    sha256: str
    """Hex digest of its bytes."""
    valid_fraction: float
    """Share of cells that hold data, 0 to 1."""
    statistics: tuple[dict[str, Any], ...]
    """Per band: ``minimum``, ``maximum``, ``mean``, ``stddev`` of the stored values of valid cells."""
    names: tuple[str, ...] = ()
    """Names of the bands of a file with several (QA_FRACTIONS)."""
    scale: float | None = None
    offset: float | None = None
    unit: str | None = None
    notes: tuple[str, ...] = ()
    """What a reader must know: ``0.2 % of the source pixels hold impossible codes`` ..."""
    block_shape: tuple[int, int] | None = None
    """(height, width) of a block on disk."""
    overviews: tuple[tuple[int, int], ...] = ()
    """(height, width) of each overview, largest first."""
    etag: str | None = None
    """As an object store answered when it took the file; in no metadata."""
    stat: str = ""
    """Statistic of the band, beside its mean, that its name tells; empty for a file of the band's own name."""

    @property
    def key(self) -> str:
        """What it is called among the files of a product: ``SR_B4``, ``SR_B4_STD``."""
        return f"{self.band}_{self.stat.upper()}" if self.stat else self.band
