"""One planned band of a product: what is read, what is made of it, and how it is called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from landsat_downsample.model import flags
from landsat_downsample.model.band import Band
from landsat_downsample.model.cells import Overlay
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.lattice import Lattice
from landsat_downsample.model.methods import output_dtype
from landsat_downsample.model.projection import Projection
from landsat_downsample.model.safe_text import plain
from landsat_downsample.model.units import physical_dtype


@dataclass(frozen=True, slots=True, repr=False)
class Target:
    """One band to reduce: all that a worker must know, and nothing big."""

    scene_id: str
    band: Band
    filename: str
    method: str
    """A reducer, or the policy of a quality band."""
    qa: str
    """The policy, for a file that turns out to be a quality band when its codes are read."""
    coarse: Grid
    lattice: Lattice
    """Where the cells of `coarse` lie, exactly."""
    projection: Projection | None = None
    """From the band's coordinates to those of `coarse`, where they differ."""
    min_valid: float = 0.0
    quality: Band | None = None
    """QA_PIXEL, where it says which pixels count."""
    mask: tuple[str, ...] = ()
    fractions: str | None = None
    """File name of QA_FRACTIONS, for the target that gives it."""
    codes_written: bool = True
    """False where only the fractions of a quality band are wanted."""
    stats: tuple[str, ...] = ()
    """Statistics, a file each, of which `method` is the first; empty for one file, of `method`."""
    scaling: tuple[float, float] | None = None
    """Scale and offset that make physical values of the band's; None where cells are stored as it is."""
    index: str = ""
    """Spectral index that it is, of `inputs`; `band` stands for it."""
    index_order: str = ""
    inputs: tuple[Band, ...] = ()

    def __repr__(self) -> str:
        height, width = self.coarse.shape
        names = ", ".join([*self.files.values(), *([self.fractions] if self.fractions else [])])
        names = names.replace(self.scene_id, "...")
        return plain(f"<Target {self.band.name}: {', '.join(self.methods)}, {height} x {width} cells -> {names}>")

    @property
    def key(self) -> str:
        """Readable name for logs and the dashboard."""
        return f"{self.band.name} {self.scene_id}"

    @property
    def bytes_in(self) -> int:
        """Bytes of the files to read, as far as known."""
        return sum(band.size or 0 for band in (*self.sources, *([self.quality] if self.quality else [])))

    @property
    def sources(self) -> tuple[Band, ...]:
        """The bands whose pixels it is made of."""
        return self.inputs or (self.band,)

    @property
    def computed(self) -> bool:
        """Whether its pixels are computed from those of several bands."""
        return len(self.inputs) > 1

    @property
    def methods(self) -> tuple[str, ...]:
        """How its pixels are reduced: to one file each."""
        return self.stats or (self.method,)

    @property
    def files(self) -> dict[str, str]:
        """Name of the file of each method; statistics other than the mean are named after it."""
        if not self.codes_written:
            return {}
        stem, dot, ending = self.filename.rpartition(".")
        other = {stat: f"{stem}_{stat.upper()}{dot}{ending}" for stat in self.stats if stat != "mean"}
        return {method: other.get(method, self.filename) for method in self.methods}

    @property
    def dtypes(self) -> dict[str, np.dtype]:
        """Type of a cell in the file of each method."""
        stored = np.dtype(self.band.dtype)
        stored = physical_dtype(stored) if self.scaling else stored
        return {method: output_dtype(method, stored) for method in self.files}

    def overlay(self) -> Overlay:
        """The coarse cells over this band's own pixels."""
        return Overlay.of(self.band.grid, self.coarse, self.lattice)

    def to_dict(self) -> dict[str, Any]:
        """Describe it in JSON types."""
        record = {name: getattr(self, name) for name in self.__slots__}
        record |= {k: record[k].to_dict() for k in ("band", "coarse", "lattice")}
        record |= {k: record[k].to_dict() if record[k] else None for k in ("quality", "projection")}
        record |= {k: list(record[k]) for k in ("mask", "stats")}
        record["inputs"] = [band.to_dict() for band in self.inputs]
        record["scaling"] = list(self.scaling) if self.scaling else None
        return record

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Target:
        """Make it from what `to_dict` gave."""
        return cls(
            **{
                **record,
                "band": Band.from_dict(record["band"]),
                "coarse": Grid.from_dict(record["coarse"]),
                "lattice": Lattice.from_dict(record["lattice"]),
                "projection": Projection.from_dict(record["projection"]) if record["projection"] else None,
                "quality": Band.from_dict(record["quality"]) if record["quality"] else None,
                "mask": tuple(record["mask"]),
                "stats": tuple(record["stats"]),
                "inputs": tuple(map(Band.from_dict, record["inputs"])),
                "scaling": tuple(record["scaling"]) if record["scaling"] else None,
            }
        )


def bytes_of_cell(target: Target) -> int:
    """Bytes of a cell in all files of a target, before they are compressed."""
    fractions = len(flags.fraction_names(target.band.spec)) if target.fractions else 0
    return sum(cell_sizes(target)) + fractions


def cell_sizes(target: Target) -> list[int]:
    """Bytes of a cell in the file of each method."""
    return [dtype.itemsize for dtype in target.dtypes.values()]
