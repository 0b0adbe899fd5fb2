"""Pixels of a source, and which of them count, read apart from the pipeline: what `verify` recomputes cells from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import rasterio
from rasterio.windows import Window

from landsat_downsample.model.band import Band
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.plan import Target
from landsat_downsample.pipeline.pixels import fetch_band
from landsat_downsample.scenes.header import open_raster


@dataclass(frozen=True, slots=True)
class SourcePixels:
    """The open rasters that a target is made from."""

    target: Target
    pixels: rasterio.DatasetReader
    quality: rasterio.DatasetReader | None

    def read(self, row: int, column: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Values of a window of pixels, and which of them count."""
        band, spec = self.target.band, self.target.band.spec
        if not height * width:
            return np.zeros((height, width), band.dtype), np.zeros((height, width), bool)
        values = self.pixels.read(1, window=Window(column, row, width, height))
        counts = np.ones(values.shape, bool)
        if band.nodata is not None and spec.kind != "bits":
            counts &= values != band.nodata
        if values.dtype.kind == "f":
            counts &= ~np.isnan(values)
        if self.target.quality is None:
            return values, counts & (values != 0) if spec.fill_from and spec.kind != "bits" else counts
        if self.quality is not None:
            counts &= ~self._flagged(self.target.quality, self.quality, (row, column), values.shape)
        return values, counts

    def _flagged(
        self, quality: Band, raster: rasterio.DatasetReader, first: tuple[int, int], shape: tuple[int, ...]
    ) -> np.ndarray:
        """Which pixels touch one that is masked or fill: the 15 m band's up to four."""
        names = (*self.target.mask, "fill") if self.target.band.spec.fill_from else self.target.mask
        bits = sum(flag.mask for name in names if (flag := quality.spec.field(name)))
        low, high = zip(
            *(_touched(self.target.band.grid, quality.grid, axis, first[axis], shape[axis]) for axis in (0, 1)),
            strict=True,
        )
        (top, left), (bottom, right) = ([int(n.min()) for n in low], [int(n.max()) for n in high])
        codes = raster.read(1, window=Window(left, top, right - left + 1, bottom - top + 1))
        bad = codes & np.array(bits, codes.dtype) != 0
        found = np.zeros(shape, bool)
        for rows in range(int((high[0] - low[0]).max()) + 1):
            for columns in range(int((high[1] - low[1]).max()) + 1):
                at = np.minimum(low[0] + rows, high[0]) - top, np.minimum(low[1] + columns, high[1]) - left
                found |= bad[np.ix_(*at)]
        return found


def _touched(fine: Grid, wide: Grid, axis: int, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """First and last pixel of another grid that each of some rows or columns touches."""
    ratio = fine.resolution[axis] / wide.resolution[axis]
    shift = (fine.transform.c - wide.transform.c) if axis else (wide.transform.f - fine.transform.f)
    start = shift / wide.resolution[axis] + np.arange(first, first + count) * ratio
    ends = np.floor(start + 1e-9), np.ceil(start + ratio - 1e-9) - 1
    low, high = (np.clip(end.astype(np.int64), 0, wide.shape[axis] - 1) for end in ends)
    return low, high


@contextmanager
def open_source(band: Band | None) -> Iterator[rasterio.DatasetReader | None]:
    """Open a band as it was read for the product; None for none."""
    if band is None:
        yield None
        return
    with fetch_band(band) as file, open_raster(file.gdal_path, band.location) as raster:
        yield raster
