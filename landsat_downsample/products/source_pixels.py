"""Pixels of a source, and which of them count, read apart from the pipeline: what `verify` recomputes cells from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import rasterio
from rasterio.windows import Window

from landsat_downsample.model.band import Band
from landsat_downsample.model.bands import BandSpec
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.indices import INDEX_OF_MEANS, index_of
from landsat_downsample.model.target import Target
from landsat_downsample.pipeline.pixels import fetch_band
from landsat_downsample.scenes.header import open_raster

#: Parts of 1 in which the index of a pixel is counted: `reduce.index_pixels.BITS`.
_PARTS = 1 << 24


@dataclass(frozen=True, slots=True)
class SourcePixels:
    """The open rasters that a target is made from."""

    target: Target
    pixels: tuple[rasterio.DatasetReader, ...]
    """Of each of its sources."""
    quality: rasterio.DatasetReader | None

    def read(self, row: int, column: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Values of a window of pixels, and which of them count; of an index its own, by its formula as it is written.

        Of an index of means values of all its bands, in physical units: (bands, height, width).
        """
        if not height * width:
            return np.zeros((height, width), self.target.band.dtype), np.zeros((height, width), bool)
        window = Window(column, row, width, height)
        read = [self._band(band, file, window) for band, file in zip(self.target.sources, self.pixels, strict=True)]
        values, counts = [value for value, _ in read], np.logical_and.reduce([count for _, count in read])
        if self.target.quality is not None and self.quality is not None:
            counts &= ~self._flagged(self.target.quality, self.quality, (row, column), counts.shape)
        if not self.target.computed:
            return values[0], counts
        pairs = zip(values, (band.scaling or (1, 0) for band in self.target.sources), strict=True)
        physical = [value.astype(np.float64) * scale + offset for value, (scale, offset) in pairs]
        if self.target.index_order == INDEX_OF_MEANS:
            return np.stack(physical), counts
        index = index_of(self.target.index).value(*physical)
        return np.rint(index * _PARTS) / _PARTS, counts & ~np.isnan(index)

    def _band(self, band: Band, file: rasterio.DatasetReader, window: Window) -> tuple[np.ndarray, np.ndarray]:
        spec, values = band.spec, file.read(1, window=window)
        counts = np.ones(values.shape, bool)
        nodata = spec.fill if spec.fields and not spec.field("fill") else None if spec.fields else band.nodata
        if nodata is not None:
            counts &= values != nodata
        if values.dtype.kind == "f":
            counts &= ~np.isnan(values)
        alone = self.target.quality is None and spec.fill_from and spec.kind != "bits"
        return values, counts & (values != 0) if alone else counts

    def _flagged(
        self, quality: Band, raster: rasterio.DatasetReader, first: tuple[int, int], shape: tuple[int, ...]
    ) -> np.ndarray:
        """Which pixels touch one that is masked or fill: the 15 m band's up to four."""
        names = (*self.target.mask, "fill") if self.target.band.spec.fill_from else self.target.mask
        low, high = zip(
            *(_touched(self.target.band.grid, quality.grid, axis, first[axis], shape[axis]) for axis in (0, 1)),
            strict=True,
        )
        (top, left), (bottom, right) = ([int(n.min()) for n in low], [int(n.max()) for n in high])
        codes = raster.read(1, window=Window(left, top, right - left + 1, bottom - top + 1))
        bad = np.zeros(codes.shape, bool)
        for name in names:
            bad |= has_flag(codes, quality.spec, name)
        found = np.zeros(shape, bool)
        for rows in range(int((high[0] - low[0]).max()) + 1):
            for columns in range(int((high[1] - low[1]).max()) + 1):
                at = np.minimum(low[0] + rows, high[0]) - top, np.minimum(low[1] + columns, high[1]) - left
                found |= bad[np.ix_(*at)]
        return found


def has_flag(values: np.ndarray, spec: BandSpec, name: str) -> np.ndarray:
    """Whether stored values of a quality band have a flag, or are a class; none of those that say no data has one."""
    flag = spec.field(name)
    if flag is None:
        return (values == spec.fill) if name == "fill" and spec.fill is not None else np.zeros(values.shape, bool)
    if flag.value is not None:
        is_class: np.ndarray = values == flag.value
        return is_class
    has: np.ndarray = values & np.array(flag.mask, values.dtype) != 0
    return has if spec.field("fill") or spec.fill is None else has & (values != spec.fill)


def _touched(fine: Grid, wide: Grid, axis: int, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """First and last pixel of another grid that each of some rows or columns touches."""
    ratio = fine.resolution[axis] / wide.resolution[axis]
    shift = (fine.transform.c - wide.transform.c) if axis else (wide.transform.f - fine.transform.f)
    start = shift / wide.resolution[axis] + np.arange(first, first + count) * ratio
    ends = np.floor(start + 1e-9), np.ceil(start + ratio - 1e-9) - 1
    low, high = (np.clip(end.astype(np.int64), 0, wide.shape[axis] - 1) for end in ends)
    return low, high


@contextmanager
def open_source(target: Target) -> Iterator[SourcePixels]:
    """Open the bands of a target as they were read for the product."""
    with ExitStack() as stack:

        def opened(band: Band) -> rasterio.DatasetReader:
            file = stack.enter_context(fetch_band(band))
            return stack.enter_context(open_raster(file.gdal_path, band.location))

        pixels = tuple(map(opened, target.sources))
        yield SourcePixels(target, pixels, opened(target.quality) if target.quality else None)
