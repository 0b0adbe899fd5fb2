"""Pixels of a band read tile by tile, for the layouts that USGS ships; GDAL reads all others.

Two tiles are inflated side by side, by a decoder that takes what zlib takes, as the other reader does. The
checksum of every tile is compared, so that a flipped bit is an error and not a pixel, and a tile
row is decoded once however the strips straddle it.
"""

from __future__ import annotations

import math
import mmap
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from landsat_downsample.errors import ReadError
from landsat_downsample.formats.tiff import DEFLATE
from landsat_downsample.formats.tiff_layout import Directory
from landsat_downsample.model.cells import Overlay
from landsat_downsample.model.location import Location
from landsat_downsample.reduce import native
from landsat_downsample.reduce.in_order import in_order
from landsat_downsample.reduce.kernels import Strip
from landsat_downsample.reduce.native import _native
from landsat_downsample.storage import cancellation
from landsat_downsample.storage.local_file import LocalFile

if TYPE_CHECKING:
    from landsat_downsample.storage.streaming import Arriving

#: Whether tiles are decoded here; GDAL reads instead where they are not.
available = _native is not None and sys.byteorder == "little"

#: Bytes that are inflated in one call, and cells whose sums it is to make (16 bytes each); one row of tiles at least.
TOGETHER, CELLS = 32 << 20, 1 << 18

_DTYPES = {(8, 1): np.uint8, (16, 1): np.uint16, (16, 2): np.int16}


@dataclass(slots=True)
class TileRows:
    """An open band. `read` is for one thread, from top to bottom: each tile is then decoded once."""

    handle: int
    location: Location
    offset: int
    """First byte of the TIFF in the open file."""
    image: Directory
    dtype: np.dtype
    empty: int
    """Value of the pixels of a tile that was never written."""
    rows: np.ndarray
    """Rows decoded last."""
    arriving: Arriving | None = None
    """What to wait for, while the file is not all there."""
    top: int = 0
    """Pixel row of their first."""
    buffers: list[np.ndarray] = field(default_factory=list)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Pixel rows `start` to `stop` in full width: (rows, width).

        Raises
        ------
        ReadError
            A tile is missing or damaged, or the work was asked to stop.
        """
        high, bottom = self.image.block_shape[0], self.top + len(self.rows)
        known = self.rows[start - self.top :] if self.top <= start < bottom else self.rows[:0]
        if stop - start <= len(known):
            return known[: stop - start]
        top = start if len(known) else start // high * high
        bottom = min(-(-stop // high) * high, self.image.shape[0])
        rows = self._buffer(bottom - top)
        rows[: len(known)] = known
        for span in self._spans(top + len(known), bottom, self._most):
            self._call(_native.decode, span, rows[span.start - top : span.stop - top])
        self.rows, self.top = rows, top
        return rows[start - top : stop - top]

    def sums(
        self, overlay: Overlay, nodata: float | None, threads: int = 1, *, moments: bool = False
    ) -> Iterator[tuple[Any, ...]]:
        """Add up 16-bit pixels tile by tile, none of which is kept; in full width.

        Parameters
        ----------
        threads : int
            How many decode at one time; the sums are the same.
        moments : bool
            Whether squares and extremes are asked for too.

        Yields
        ------
        first : int
            A cell row.
        weights, sums : ndarray of int64
            (cells, cells): of the valid pixels of that cell row, and those that follow. Later ones
            are written over them.
        squares, least, most : ndarray
            With `moments`, as of `native.cell_moments`.

        Raises
        ------
        ReadError
            As of `read`.
        """
        rows, width = overlay.rows, overlay.columns.size
        flip, missing = native.pixel_facts(self.dtype, nodata)
        top, bottom = int(rows.start.min()), int(rows.stop.max())
        down = -(-(bottom - top) // self.image.block_shape[0])
        most = min(self._most, CELLS * down // max(rows.size * width, 1) // (2 if moments else 1))
        if threads > 1:  # each is to have its part, and the last ones are to end together
            most = min(most // threads, -(-down // (2 * threads)))
        rooms: list[np.ndarray] = []
        first, known = 0, np.zeros((4 if moments else 2, 0, width), np.int64)
        known_ends = np.zeros((2, 0, width), np.uint16)
        add_up = partial(self._sums_of, overlay, (flip, missing), rooms, len(known))
        with closing(in_order(add_up, self._spans(top, bottom, most), threads)) as parts:
            for span, room, sums, ends in parts:
                before = known.shape[1]
                sums[:, :before] += known  # of cells that began above
                complete = int(np.searchsorted(rows.stop[first : first + sums.shape[1]], span.stop, side="right"))
                if flip:
                    sums[1, :complete] -= flip * sums[0, :complete]
                if moments:
                    np.minimum(ends[0, :before], known_ends[0], out=ends[0, :before])
                    np.maximum(ends[1, :before], known_ends[1], out=ends[1, :before])
                    known_ends = ends[:, complete:]
                    yield first, *native.moments_of(sums[:, :complete], ends[:, :complete], flip, self.dtype)
                else:
                    yield first, *sums[:, :complete]
                first, known = first + complete, sums[:, complete:].copy()
                rooms.append(room)
        beyond = np.zeros((5 if moments else 2, rows.size - first, width), np.int64)  # cells without pixels
        yield first, *beyond

    def _sums_of(
        self, overlay: Overlay, facts: tuple[int, int], rooms: list[np.ndarray], planes: int, span: range
    ) -> tuple[range, np.ndarray, np.ndarray, np.ndarray]:
        """The span, room that is taken from those at hand or made, in it sums of its cell rows; and their extremes."""
        rows, width = overlay.rows, overlay.columns.size
        last = int(np.searchsorted(rows.start, span.stop))
        ended, begun = np.searchsorted(rows.stop, span.start, side="right"), np.searchsorted(rows.start, span.start)
        first = int(min(ended, begun))  # of cells without pixels some have ended, and not begun
        try:
            room = rooms.pop()
        except IndexError:
            room = np.zeros((planes, 0, width), np.int64)
        if last - first > room.shape[1]:
            room = _room(planes, last - first, width)
        sums, strip = room[:, : last - first], Strip(first, last, span.start, span.stop)
        sums[:] = 0
        ends = native.ends_of(strip, overlay) if planes > 2 else np.zeros((0, 0, 0), np.uint16)
        axes = native.axes(overlay, strip)
        self._call(_native.decode_sums, span, len(span), *facts, *axes, sums[1], sums[0], *sums[2:], *ends)
        return span, room, sums, ends

    def decode_shares(self, strip: Strip, *facts: object) -> None:
        """Call `_native.decode_shares` for a row of tiles, with what it takes after where they are; for any thread.

        Raises
        ------
        ReadError
            As of `read`.
        """
        (span,) = self._spans(strip.start, strip.stop, 1)
        self._call(_native.decode_shares, span, len(span), *facts)

    def again(self) -> TileRows:
        """The same band for another thread, which has its own rows in hand."""
        return replace(self, rows=self.rows[:0], top=0, buffers=[])

    def _buffer(self, height: int) -> np.ndarray:
        """Room for pixel rows: that of an earlier read, if no array of it is in use, as its memory is warm."""
        for k in range(len(self.buffers)):
            # Its references: the list, and the argument.
            if len(self.buffers[k]) >= height and sys.getrefcount(self.buffers[k]) <= 2:
                return self.buffers[k][:height]
        spare = self.image.block_shape[0]  # strips differ in height by less than that
        self.buffers = [*self.buffers[-1:], np.empty((height + spare, self.image.shape[1]), self.dtype)]
        return self.buffers[-1][:height]

    def _spans(self, first: int, last: int, most: int) -> Iterator[range]:
        """Pixel rows of whole rows of tiles, cut short by `last` or the image, for as many calls; from `first`'s on.

        A call takes at most so many rows of tiles, and several where it may, as a tile that is inflated alone,
        at the end, takes longer; of a file that still arrives one row, once that is there.
        """
        high = self.image.block_shape[0]
        step = high * (1 if self.arriving is not None else max(most, 1))
        for start in range(first // high * high, last, step):
            span = range(start, min(start + step, -(-last // high) * high, self.image.shape[0]))
            if self.arriving is not None:
                self.arriving.wait(int((self.image.offsets + self.image.counts)[self._tiles(span)].max()))
            yield span

    @property
    def _most(self) -> int:
        """Rows of tiles for one call."""
        return TOGETHER // (self.image.grid[1] * math.prod(self.image.block_shape) * self.dtype.itemsize)

    def _tiles(self, span: range) -> slice:
        """The tiles of a span, among all of the image."""
        high, across = self.image.block_shape[0], self.image.grid[1]
        return slice(span.start // high * across, -(-span.stop // high) * across)

    def _call(self, function: Callable[..., Any], span: range, *to: object) -> None:
        """Let a function of C decode some rows of tiles."""
        cancellation.check()
        image, tiles = self.image, self._tiles(span)
        layout = (self.dtype.itemsize, *image.block_shape, image.predictor, self.empty, image.shape[1])
        try:
            function(self.handle, self.offset, image.offsets[tiles], image.counts[tiles], layout, *to)
        except (OSError, EOFError, ValueError) as error:
            raise ReadError(
                f"cannot decode rows {span.start}-{span.stop} of {self.location!r}: "
                "the file is damaged or cut short; fetch it again"
            ) from error


def _room(*shape: int) -> np.ndarray:
    """Room for int64, from the kernel.

    The C library, once it has freed a block of some MiB, takes others of that size from its heap, where a file in
    memory that grows (a COG) leaves holes.
    """
    size = math.prod(shape)
    return np.frombuffer(mmap.mmap(-1, max(8 * size, 1)), np.int64, size).reshape(shape)


@contextmanager
def open_tiles(
    file: LocalFile, location: Location, dtype: str, nodata: Callable[[], float | None]
) -> Iterator[TileRows | None]:
    """Open a TIFF for reading by tiles, or yield None where only GDAL can.

    Parameters
    ----------
    file : LocalFile
        As `files.fetch` or `files.fetch_streaming` gives it.
    location : Location
        What messages name.
    dtype : str
        What GDAL says that the file holds.
    nodata : callable
        Gives what GDAL says of the pixels without data; asked where tiles were never written.
    """
    if not available:
        yield None
        return
    handle = os.open(file.path, os.O_RDONLY)
    try:
        image, held = file.layout.directories[0], np.dtype(dtype)
        empty = _empty(image, held, nodata)
        if empty is None or not supported(image) or np.dtype(_DTYPES[image.bits, image.sample_format]) != held:
            yield None
            return
        rows = np.empty((0, image.shape[1]), held)
        yield TileRows(handle, location, file.offset, image, held, empty, rows, file.arriving)
    finally:
        os.close(handle)


def supported(image: Directory) -> bool:
    """Whether an image is one that this module decodes as GDAL does."""
    absent = image.counts == 0
    return (
        image.tiled
        and image.little_endian
        and image.fill_order == 1
        and image.samples == 1
        and image.compression in DEFLATE
        and image.predictor in (1, 2)
        and (image.bits, image.sample_format) in _DTYPES
        and bool((image.offsets[absent] == 0).all())
    )


def _empty(image: Directory, dtype: np.dtype, nodata: Callable[[], float | None]) -> int | None:
    """The value GDAL gives to pixels never written, or None where that is not plain."""
    if image.counts.all() or (value := nodata()) is None:
        return 0
    if dtype.kind not in "iu" or not float(value).is_integer():
        return None
    limits = np.iinfo(dtype)
    return int(value) if limits.min <= value <= limits.max else None
