"""What was written of a band: the facts that its metadata repeat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SUFFIX = "_downsampled"

FRACTIONS = "QA_FRACTIONS"


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
