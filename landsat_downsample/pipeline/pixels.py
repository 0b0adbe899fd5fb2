"""Pixels of a band, streamed in order through one handle: opened and closed in one thread.

GDAL reads only pixels whose bytes `_store` has verified; tiles are decoded while they arrive.
Rows are read 1:1, so that no overview can stand in for them, and in order, so that each block
is decoded once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import Any, TypeVar

import numpy as np
import rasterio
from rasterio.errors import RasterioError
from rasterio.windows import Window

from landsat_downsample.errors import ReadError
from landsat_downsample.model import flags
from landsat_downsample.model.band import Band
from landsat_downsample.model.bands import BandSpec
from landsat_downsample.model.cells import Overlay
from landsat_downsample.model.gdal import gdal_settings
from landsat_downsample.model.grid import Grid, cell_edges
from landsat_downsample.model.location import Location
from landsat_downsample.model.plan import BLOCK_CACHE
from landsat_downsample.model.policy import Policy
from landsat_downsample.pipeline.tiles import TileRows, open_tiles
from landsat_downsample.reduce import native
from landsat_downsample.reduce.area_shares import TILE
from landsat_downsample.reduce.area_values import StripSums
from landsat_downsample.reduce.areas import ROWS, Areas
from landsat_downsample.reduce.kernels import Strip
from landsat_downsample.reduce.values import Parts
from landsat_downsample.scenes.header import open_raster
from landsat_downsample.storage import cancellation, files
from landsat_downsample.storage.fetch_request import FetchRequest, PixelWindow
from landsat_downsample.storage.local_file import LocalFile


def gdal_environment() -> rasterio.Env:
    """The GDAL settings that reads rely on, for the thread that enters it."""
    return gdal_settings(
        GDAL_CACHEMAX=BLOCK_CACHE,
        GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR",
        GTIFF_IGNORE_READ_ERRORS=False,
        GDAL_NUM_THREADS="1",
    )


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rows:
    """An open band, read by rows."""

    source: TileRows | rasterio.DatasetReader
    """What reads: tiles, for the layouts that USGS ships, else GDAL."""
    location: Location
    columns: tuple[int, int]
    """First column that is read, and the one after the last."""
    file: LocalFile
    """The file it is read from, and what it took to get it."""

    @property
    def tiles(self) -> TileRows | None:
        """What reads, unless it is GDAL."""
        return self.source if isinstance(self.source, TileRows) else None

    def read(self, start: int, stop: int, number: int = 1) -> np.ndarray:
        """Pixel rows `start` to `stop` in the width that is open, of a band of the file: (rows, width).

        Raises
        ------
        ReadError
            A block is missing or damaged, or the work was asked to stop.
        """
        cancellation.check()
        if isinstance(self.source, TileRows):  # of files of one band
            return self.source.read(start, stop)
        window = Window(self.columns[0], start, self.columns[1] - self.columns[0], stop - start)
        try:
            pixels: np.ndarray = self.source.read(number, window=window)
        except RasterioError as error:
            raise ReadError(
                f"cannot decode rows {start}-{stop} of {self.location!r}: the file is damaged or cut short; "
                "fetch it again"
            ) from error
        return pixels

    def sums(
        self, overlay: Overlay, nodata: float | None, threads: int, *, moments: bool = False
    ) -> Iterator[tuple[Any, ...]] | None:
        """As of `_tiles.TileRows.sums`, or None where pixels must be read."""
        tiles, fit = self.tiles, native.moments_fit if moments else native.sums_fit
        if tiles is None or tiles.dtype.itemsize != 2 or not fit(overlay):
            return None
        return tiles.sums(overlay, nodata, threads, moments=moments)

    def area_sums(self, areas: Areas, nodata: float | None) -> StripSums | None:
        """What makes weights and sums of strips of which no pixel is kept; None where pixels must be read."""
        tiles = self.tiles
        if tiles is None or tiles.dtype.itemsize != 2 or tiles.image.block_shape != (ROWS, TILE):
            return None
        if areas.window != (0, tiles.image.shape[0], 0, tiles.image.shape[1]):
            return None

        def sums(strip: Strip, *, moments: bool) -> Parts | None:
            decode = partial(tiles.decode_shares, strip)
            return areas.decoded_sums(decode, tiles.dtype, nodata, strip, moments=moments)

        return sums

    def readers(self, count: int) -> list[Rows]:
        """Readers for as many threads at one time; one where GDAL reads, or where rows are still arriving in order."""
        tiles = self.tiles
        if tiles is None or tiles.arriving is not None:
            return [self]
        return [self, *(replace(self, source=tiles.again()) for _ in range(count - 1))]


def fetch_band(band: Band, window: PixelWindow | None = None) -> AbstractContextManager[LocalFile]:
    """A file that GDAL can open, with the band's full-resolution bytes (of a window) verified."""
    return files.fetch(_request(band, window))


def _request(band: Band, window: PixelWindow | None) -> FetchRequest:
    etag = None if band.location.is_local else band.etag  # of a local file it is a digest of its ends
    return FetchRequest(band.location, band.size, etag, band.checksum, Policy.of(band), window)


def read_band(band: Band, window: PixelWindow | None, work: Callable[[Rows], T]) -> tuple[T, LocalFile]:
    """Call ``work`` with the pixels of a band; of a remote one while they arrive, and anew if they arrived wrong.

    Parameters
    ----------
    window : tuple of int, optional
        The pixels that will be read; all by default.
    work : callable
        Reads rows, from top to bottom. It must keep nothing of an earlier call.

    Returns
    -------
    object
        What ``work`` gave.
    LocalFile
        What it took: requests and bytes.
    """
    window = _part(band, window)

    def with_rows(file: LocalFile) -> T:
        with _open_file(band, window, file) as rows:
            return work(rows)

    return files.fetch_streaming(_request(band, window), with_rows)


@contextmanager
def open_rows(band: Band, window: PixelWindow | None = None) -> Iterator[Rows]:
    """Open the pixels of a band, verified; closed on exit, in the same thread.

    Parameters
    ----------
    window : tuple of int, optional
        The pixels that will be read; all by default.
    """
    window = _part(band, window)
    with fetch_band(band, window) as file, _open_file(band, window, file) as rows:
        yield rows


def _part(band: Band, window: PixelWindow | None) -> PixelWindow | None:
    """A window that is not the whole band."""
    return None if window == (0, band.grid.height, 0, band.grid.width) else window


@contextmanager
def _open_file(band: Band, window: PixelWindow | None, file: LocalFile) -> Iterator[Rows]:
    location = band.location
    with ExitStack() as stack:
        stack.enter_context(gdal_environment())
        tiles, columns = None, window[2:] if window else (0, band.grid.width)
        if not window:
            tiles = stack.enter_context(open_tiles(file, location, band.dtype, lambda: _nodata_of(file, location)))
        source = tiles or stack.enter_context(open_raster(file.gdal_path, location))
        height, width = source.image.shape if isinstance(source, TileRows) else source.shape
        if (height, width) != band.grid.shape:
            raise ReadError(
                f"{location!r} is {height} x {width} pixels but was planned as "
                f"{band.grid.height} x {band.grid.width}: it changed since; plan again"
            )
        if tiles is None and file.arriving is not None:  # GDAL would not wait
            file.arriving.settle()
        elif tiles is None and not file.compared:  # GDAL takes one damaged block in eight for pixels
            files.check_blocks(file, location, window)
        yield Rows(source, location, columns, file)


def _nodata_of(file: LocalFile, location: Location) -> float | None:
    with open_raster(file.gdal_path, location) as dataset:
        nodata: float | None = dataset.nodata
    return nodata


@dataclass(frozen=True, slots=True)
class MaskBand:
    """The quality band that says which pixels of another band count."""

    rows: Rows
    spec: BandSpec
    bits: int
    """A pixel whose code has any of these bits set does not count."""
    touching: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None
    """Where the grids differ: first and last quality row of each row, and the same for columns."""

    def ok(self, start: int, stop: int) -> np.ndarray:
        """Which pixels of rows `start` to `stop` count: bool (rows, width)."""
        good: np.ndarray
        if self.touching is None:
            good = (self._codes(start, stop) & self.bits) == 0
            return good
        top, bottom, left, right = self.touching
        first, last = int(top[start]), int(bottom[stop - 1]) + 1
        bad = (self._codes(first, last) & self.bits) != 0
        top, bottom = top[start:stop] - first, bottom[start:stop] - first
        wide: np.ndarray = bad[:, left] | bad[:, right]
        good = ~(wide[top] | wide[bottom])
        return good

    def _codes(self, start: int, stop: int) -> np.ndarray:
        return flags.codes_of(self.rows.read(start, stop), self.spec)


@contextmanager
def open_mask_band(quality: Band, bits: int, fine: Grid, window: PixelWindow | None = None) -> Iterator[MaskBand]:
    """Open a quality band beside a window of a band on the grid `fine`.

    A pixel of a finer grid (the 15 m panchromatic band) counts only if every quality pixel
    that it touches lets it.
    """
    same = quality.grid.shape == fine.shape and quality.grid.transform.almost_equals(fine.transform, 1e-6)
    if same:
        with open_rows(quality, window) as rows:
            yield MaskBand(rows, quality.spec, bits, None)
        return
    top, bottom, left, right = _touching(fine, quality.grid)
    _, _, first, last = window or (0, fine.height, 0, fine.width)
    left, right = left[first:last], right[first:last]
    rows_needed = (int(top[window[0]]), int(bottom[window[1] - 1]) + 1) if window else (0, quality.grid.height)
    part = (*rows_needed, int(left[0]), int(right[-1]) + 1)
    with open_rows(quality, part) as rows:
        yield MaskBand(rows, quality.spec, bits, (top, bottom, left - part[2], right - part[2]))


def _touching(fine: Grid, quality: Grid) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    spans = []
    for axis, (step, wide) in enumerate(zip(fine.resolution, quality.resolution, strict=True)):
        ahead = quality.transform.f - fine.transform.f if axis == 0 else fine.transform.c - quality.transform.c
        edges, unit = cell_edges(fine.shape[axis], Fraction(step) / Fraction(wide), Fraction(ahead) / Fraction(wide))
        low, high = edges[:-1] // unit, -(-edges[1:] // unit) - 1
        spans += [np.clip(low, 0, quality.shape[axis] - 1), np.clip(high, 0, quality.shape[axis] - 1)]
    return tuple(spans)
