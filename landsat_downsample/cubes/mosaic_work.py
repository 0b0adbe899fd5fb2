"""One file of a folder of mosaics: a variable of one date, put together of products and stored as a COG."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from landsat_downsample.cubes.cell_blocks import Part, block
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.location import Location
from landsat_downsample.pipeline.cell_statistics import statistics_of_cells
from landsat_downsample.pipeline.cog import Layer, cog
from landsat_downsample.storage import cancellation, small_objects


@dataclass(frozen=True, slots=True)
class StoredMosaic:
    """What was stored."""

    variable: str
    size: int
    sha256: str
    statistics: dict[str, float]
    """Of stored values of valid cells: empty where there is none."""


@dataclass(frozen=True, slots=True)
class MosaicWork:
    """As of `execution.work.Work`."""

    group: str
    variable: str
    date: str
    """What the date is called."""
    to: str
    """Href of the file."""
    grid: Grid
    dtype: str
    fill: float | None
    layer: Layer
    """What the file says of its band, but for statistics."""
    parts: tuple[Part, ...] = field(repr=False)

    @property
    def names(self) -> tuple[str, str]:
        """As of `Work`."""
        return self.variable, self.date

    @property
    def label(self) -> str:
        """As of `Work`."""
        return f"{self.variable} of {self.date}"

    @property
    def host(self) -> str | None:
        """As of `Work`: that of its first product."""
        return self.parts[0].source.band.location.host if self.parts else None

    @property
    def bytes_in(self) -> int:
        """As of `Work`."""
        return sum(part.source.band.size or 0 for part in self.parts)

    def carry_out(self, idle_threads: Callable[[], int]) -> StoredMosaic:
        """Write it."""
        cells = block(self.parts, self.grid.shape, self.dtype, self.fill)
        cancellation.check()
        _, statistics = statistics_of_cells(cells[0], self.layer.nodata)
        told = ("minimum", "maximum") if self.layer.resampling == "nearest" else tuple(statistics)
        statistics = {key: float(one) for key, one in statistics.items() if key in told}
        with cog(cells, self.grid, replace(self.layer, statistics=statistics)) as encoded:
            data = bytes(encoded)
        small_objects.put(Location(self.to), data)
        return StoredMosaic(self.variable, len(data), hashlib.sha256(data).hexdigest(), statistics)
