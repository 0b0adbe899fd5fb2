"""Cells of one date in a block of a common grid, out of the files of the products that have them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from landsat_downsample.cubes.reduced_scene import Layer
from landsat_downsample.model.band import Band
from landsat_downsample.model.bands import BandSpec, unknown
from landsat_downsample.model.flags import without_data
from landsat_downsample.model.indices import called
from landsat_downsample.pipeline.pixels import open_rows
from landsat_downsample.reduce.index_pixels import IndexPixels

#: (first row, past the last, first column, past the last).
Window = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class FileBand:
    """One band of a file: what a task needs in order to read it, and no more."""

    band: Band
    number: int

    @classmethod
    def of(cls, layer: Layer) -> FileBand:
        """Where a layer is, without what it means."""
        return cls(replace(layer.band, spec=unknown(layer.name)), layer.number)

    def read(self, window: Window) -> np.ndarray:
        """Cells of a window, as stored: (rows, columns)."""
        with open_rows(self.band, window) as rows:
            return rows.read(window[0], window[1], self.number)


@dataclass(frozen=True, slots=True)
class IndexOfFiles:
    """An index of the means of bands that files hold."""

    index: str
    sources: tuple[FileBand, ...]

    @property
    def band(self) -> Band:
        """The first of its bands."""
        return self.sources[0].band

    def read(self, window: Window) -> np.ndarray:
        """Cells of a window, float32; NaN where a band holds none, or they have no index."""
        pixels = IndexPixels.of(self.index, (source.band for source in self.sources))
        values = [source.read(window) for source in self.sources]
        made, valid = pixels.physical(values), pixels.valid(values, None)
        return np.where(True if valid is None else valid, made, np.nan).astype(np.float32)


@dataclass(frozen=True, slots=True)
class MarkedByQuality:
    """A band of a file whose fill is a legal number too (angles): its quality band says which cells hold no data."""

    file: FileBand
    quality: FileBand
    spec: BandSpec
    """Of the quality band."""
    fill: float
    """What stands for it in the series."""

    @property
    def band(self) -> Band:
        """That of the file."""
        return self.file.band

    def read(self, window: Window) -> np.ndarray:
        """Cells of a window in the file's type."""
        cells = self.file.read(window)
        without = without_data(self.quality.read(window), self.spec) & (cells == 0)
        return np.where(without, cells.dtype.type(self.fill), cells)


def source_of(layer: Layer) -> FileBand | IndexOfFiles:
    """What reads the cells of a layer."""
    if not layer.inputs:
        return FileBand.of(layer)
    index, _ = called(layer.band.name) or (None, "")
    assert index is not None
    return IndexOfFiles(index.name, tuple(map(FileBand.of, layer.inputs)))


@dataclass(frozen=True, slots=True)
class Part:
    """What one product gives to a block."""

    source: FileBand | IndexOfFiles | MarkedByQuality
    window: Window
    """Its cells that lie in the block."""
    at: tuple[int, int]
    """(row, column) of the first of them in the block."""
    weight: FileBand | None = None
    """How many valid pixels each cell has, of products beside which others have the same cells."""


def block(parts: Sequence[Part], shape: tuple[int, int], dtype: str, fill: float | None) -> np.ndarray:
    """Cells of one date: (1, rows, columns).

    Each cell is taken whole from the product that has most valid pixels of it, from the first of several: where rows
    of a pass overlap they show the same pixels, which a mean of both would count twice.
    """
    made = np.full((1, *shape), 0 if fill is None else fill, dtype)
    most = np.full(shape, -1.0) if len(parts) > 1 else None
    for part in parts:
        cells = part.source.read(part.window)
        place = tuple(slice(at, at + size) for at, size in zip(part.at, cells.shape, strict=True))
        if most is None:
            made[0][place] = cells
            continue
        weights = _weights(part, cells, fill)
        better = weights > most[place]
        made[0][place][better] = cells[better]
        most[place][better] = weights[better]
    return made


def _weights(part: Part, cells: np.ndarray, fill: float | None) -> np.ndarray:
    """Valid pixels of each cell, in any unit; -1 where it has none."""
    valid = np.ones(cells.shape, bool)
    if fill is not None:
        valid = ~np.isnan(cells) if np.isnan(fill) else cells != fill
    weights = np.ones(cells.shape) if part.weight is None else part.weight.read(part.window).astype("float64")
    if part.weight is not None and part.weight.band.nodata is not None:
        weights[weights == part.weight.band.nodata] = 0
    return np.where(valid, weights, -1.0)
