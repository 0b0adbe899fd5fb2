"""Cells of another projection laid over the pixels of an image: sums, folds and pairs by the areas that they share."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from landsat_downsample.model.grid import Grid
from landsat_downsample.model.lattice import Lattice
from landsat_downsample.model.projection import Projection
from landsat_downsample.model.ties import OFF, STEP, Outlines, Ties, positions
from landsat_downsample.reduce import native
from landsat_downsample.reduce.area_shares import UNIT, Shares, shares_of, shares_of_pixels
from landsat_downsample.reduce.kernels import Strip
from landsat_downsample.reduce.packed_shares import PackedShares, share_areas

#: Pixel rows of a strip: a row of USGS's tiles, so that each tile is decoded once.
ROWS = 256

#: Bytes of shares that are kept for other bands of their images; those of more are made anew by each band. Those of a
#: scene take 15 MiB for cells of 1 km, 34 to 47 for 500 m and 81 to 116 for 250 m: most where cells are sheared.
KEPT = 128 << 20

#: Part of a cell's side by which its edge may be off beyond the image, where only areas are asked for.
BEYOND = 1e-4

#: Images, or parts of them, whose shares are kept at one time.
IMAGES = 12


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """How much some cells have of some values: ascending by cell, then by value, each pair once."""

    cell: np.ndarray
    value: np.ndarray
    weight: np.ndarray

    @classmethod
    def of(cls, cell: np.ndarray, value: np.ndarray, weight: np.ndarray) -> Pairs:
        """Put pairs in order, and equal ones together."""
        order = np.lexsort((value, cell))
        cell, value, weight = cell[order], value[order], weight[order]
        edge = np.ones(len(cell), bool)
        edge[1:] = (cell[1:] != cell[:-1]) | (value[1:] != value[:-1])
        at = np.flatnonzero(edge)
        return cls(cell[at], value[at], np.add.reduceat(weight, at) if len(at) else weight)

    @classmethod
    def none(cls) -> Pairs:
        """No pairs."""
        return cls(*(np.empty(0, np.int64),) * 3)

    @property
    def starts(self) -> np.ndarray:
        """Where each cell's begin."""
        edge = np.ones(len(self.cell), bool)
        edge[1:] = self.cell[1:] != self.cell[:-1]
        return np.flatnonzero(edge)

    def joined(self, other: Pairs) -> Pairs:
        """Return these and those."""
        if not len(self.cell):
            return other
        at = np.searchsorted(other.cell, self.cell[-1], side="right")  # from here on all cells are others
        ours, theirs = ([getattr(pairs, name) for name in self.__slots__] for pairs in (self, other))
        both = Pairs.of(*(np.concatenate([one, two[:at]]) for one, two in zip(ours, theirs, strict=True)))
        return Pairs(*(np.concatenate([getattr(both, name), getattr(other, name)[at:]]) for name in self.__slots__))

    def where(self, chosen: np.ndarray) -> Pairs:
        """Some of them."""
        return Pairs(self.cell[chosen], self.value[chosen], self.weight[chosen])


def areas_of(fine: Grid, coarse: Grid, lattice: Lattice, projection: Projection) -> Areas:
    """Lay the cells of `coarse`, a window of `lattice`, over `fine`: once for all bands of a scene on its grid.

    Raises
    ------
    UsageError
        The projection gives the image no place.
    """
    return _RECENT.find((fine, coarse, lattice, projection))


class Areas:
    """How the pixels of an image share their area among cells of another projection.

    What `model.cells.Overlay` is for cells whose sides are rows and columns of pixels.
    """

    unit = UNIT

    def __init__(self, fine: Grid, coarse: Grid, lattice: Lattice, projection: Projection) -> None:
        self._fine, self._coarse, self._lattice, self._projection = fine, coarse, lattice, projection
        self.ties = Ties.of(fine, lattice, projection)
        row, column = lattice.first(coarse)
        self._cells = (row, row + coarse.height, column, column + coarse.width)
        self.window = _pixels_of(self.ties, self._cells)
        if self.window[0] == self.window[1]:
            self.strips = [Strip(0, coarse.height, 0, 0)]
        else:
            starts = [self.window[0], *range(self.window[0] // ROWS * ROWS + ROWS, self.window[1], ROWS)]
            self.strips = self._to_the_ends([self._strip(start) for start in starts])
        self._shares: dict[int, Shares | PackedShares] = {}
        self._locks = {strip.start: threading.Lock() for strip in self.strips}
        self._at = threading.local()  # the strip that a thread is at, for which it asks several times

    @property
    def shape(self) -> tuple[int, int]:
        """Of the window of cells."""
        return self._coarse.shape

    def _strip(self, start: int) -> Strip:
        stop = min(start + ROWS - start % ROWS, self.window[1])
        ties = self.ties.down[start // self.ties.step : -(-stop // self.ties.step) + 1]
        first, last = int(ties.min()) >> self.ties.bits, (int(ties.max()) >> self.ties.bits) + 1
        top, height = self._cells[0], self.shape[0]
        first = min(max(first - top, 0), height)
        return Strip(first, min(max(last - top, first), height), start, stop)

    def _to_the_ends(self, strips: list[Strip]) -> list[Strip]:
        """Let the cell rows of strips, each of which touches those of the next, be all of the window's."""
        top, bottom = min(s.first for s in strips), max(s.last for s in strips)
        return [
            replace(s, first=0 if s.first == top else s.first, last=self.shape[0] if s.last == bottom else s.last)
            for s in strips
        ]

    def shares(self, strip: Strip) -> Shares:
        """Of the pixels of a strip, in the columns of `window`; cells are numbered from the strip's first row on."""
        made = self._shared_out(strip)
        return made if isinstance(made, Shares) else made.listed()

    def _shared_out(self, strip: Strip) -> Shares | PackedShares:
        """The shares of a strip, made once as long as there is room for all that is made."""
        with self._locks[strip.start]:
            known = self._shares.get(strip.start)
            if known is None and getattr(self._at, "start", None) == strip.start:
                known = self._at.shares
            if known is not None:
                return known
            top = self._cells[0]
            cells = (top + strip.first, top + strip.last, *self._cells[2:])
            pixels = strip.start, strip.stop, *self.window[2:]
            made: Shares | PackedShares | None = share_areas(self.ties, pixels, cells)
            if made is None:
                made = shares_of_pixels(self.ties, pixels, cells)
            if _RECENT.has_room(self, made.nbytes):
                self._shares[strip.start] = made
            else:
                self._at.start, self._at.shares = strip.start, made
            return made

    @property
    def nbytes(self) -> int:
        """Bytes of the shares that are kept."""
        return sum(made.nbytes for made in list(self._shares.values()))

    def forget(self) -> None:
        """Keep no shares."""
        self._shares.clear()

    def extent(self, first: int, last: int) -> np.ndarray:
        """Area of whole cells of some rows, (rows, cells): int64, a pixel being `unit`."""
        return self._inside[first:last] + self.outside[first:last]

    @cached_property
    def _inside(self) -> np.ndarray:
        """Area of the image's pixels in each cell."""
        out = np.zeros(self.shape, np.int64)
        for strip in self.strips:
            out[strip.first : strip.last] += self.weights(strip)
        return out

    @cached_property
    def largest(self) -> int:
        """A bound of the area of any cell, in the units of `extent`."""
        high, wide = self.ties.largest_cell
        return max(int(high * wide + 1), 1) * UNIT

    def sum(self, values: np.ndarray, strip: Strip) -> np.ndarray:
        """Weighted sums of the pixels of a strip: int64, or float64 of floats; (cells, cells)."""
        shares, flat = self.shares(strip), values.ravel()
        dtype = np.float64 if flat.dtype.kind == "f" else np.int64
        sums = _of_runs(np.add, flat.astype(dtype, copy=False), shares)
        return self._scatter(shares, strip, sums, flat[shares.part_pixel].astype(dtype), dtype)

    def weights(self, strip: Strip) -> np.ndarray:
        """Area of the pixels of a strip, (cells, cells)."""
        shares = self._shared_out(strip)
        if isinstance(shares, Shares):
            return self._scatter(shares, strip, shares.run_length, 1, np.int64)
        nothing = np.zeros(shares.shape, np.uint16)
        return shares.sums(nothing, None, None)[0].reshape(-1, self.shape[1])

    def valid_sums(
        self, values: np.ndarray, ok: np.ndarray | None, nodata: float | None, strip: Strip
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Weights and weighted sums of valid pixels, (cells, cells) both; None where only `sum` makes them."""
        shares, wide = self._shared_out(strip), native.sixteen(values)
        if isinstance(shares, Shares):
            return None
        if values.dtype == np.int32 and self.largest < 1 << 32:
            count, total = shares.whole(values, ok, nodata, moments=False)
        elif wide is None:
            return None
        else:
            count, total = shares.sums(wide, ok, nodata)
        return count.reshape(-1, self.shape[1]), total.reshape(-1, self.shape[1])

    def decoded_sums(
        self, decode: Callable[..., None], dtype: np.dtype, nodata: float | None, strip: Strip, *, moments: bool
    ) -> tuple[np.ndarray, ...] | None:
        """As `valid_sums`, or `valid_moments`, of the tiles that are a strip: `decode` as of `PackedShares.decoded`."""
        shares = self._shared_out(strip)
        if isinstance(shares, Shares) or (moments and self.largest >= 1 << 30):
            return None
        return self._in_rows(shares.decoded(decode, dtype, nodata, moments=moments), dtype)

    def _in_rows(self, made: tuple[np.ndarray, ...], dtype: np.dtype) -> tuple[np.ndarray, ...]:
        """What `PackedShares` adds up, (cells, cells) each; extremes as pixels are."""
        sums, ends = made[:3], made[3:]
        return tuple(part.reshape(-1, self.shape[1]) for part in (*sums, *(end.astype(dtype) for end in ends)))

    def valid_moments(
        self, values: np.ndarray, ok: np.ndarray | None, nodata: float | None, strip: Strip
    ) -> tuple[np.ndarray, ...] | None:
        """As of `native.cell_moments`; None where only `sum` and `fold` make them."""
        shares, wide = self._shared_out(strip), native.sixteen(values)
        if isinstance(shares, Shares):
            return None
        if values.dtype == np.int32 and self.largest < 1 << 32:
            return self._in_rows(shares.whole(values, ok, nodata, moments=True), values.dtype)
        if wide is None or self.largest >= 1 << 30:
            return None
        return self._in_rows(shares.moments(wide, ok, nodata), values.dtype)

    def _scatter(
        self, shares: Shares, strip: Strip, runs: np.ndarray, parts: np.ndarray | int, dtype: type
    ) -> np.ndarray:
        out: np.ndarray = np.zeros((strip.last - strip.first) * self.shape[1], dtype)
        np.add.at(out, shares.run_cell, runs * dtype(UNIT))
        np.add.at(out, shares.part_cell, parts * shares.part_weight.astype(dtype))
        return out.reshape(-1, self.shape[1])

    def fold(self, ufunc: np.ufunc, values: np.ndarray, strip: Strip) -> np.ndarray:
        """``minimum`` or ``maximum`` of the pixels that each cell touches; without any, what changes neither."""
        shares, flat = self.shares(strip), values.ravel()
        limits = np.finfo(flat.dtype) if flat.dtype.kind == "f" else np.iinfo(flat.dtype)
        worst = limits.max if ufunc is np.minimum else limits.min
        if flat.dtype.kind == "f":
            worst = np.inf if ufunc is np.minimum else -np.inf
        out = np.full((strip.last - strip.first) * self.shape[1], worst, flat.dtype)
        ufunc.at(out, shares.run_cell, _of_runs(ufunc, flat, shares))
        ufunc.at(out, shares.part_cell, flat[shares.part_pixel])
        return out.reshape(-1, self.shape[1])

    def code_pairs(self, codes: np.ndarray, strip: Strip, counts: np.ndarray) -> tuple[Pairs, np.ndarray]:
        """As `pairs`, of 16-bit codes, all of which count; and add the pixels of each to `counts`, int64 (65536,)."""
        shares, first = self._shared_out(strip), strip.first * self.shape[1]
        if isinstance(shares, Shares):
            counts += np.bincount(codes.ravel(), minlength=len(counts))
            return self.pairs(codes, None, strip)
        cell, code, weight = shares.pairs(codes, counts)
        return Pairs(cell + first, code, weight), cell + first

    def pairs(self, values: np.ndarray, good: np.ndarray | None, strip: Strip) -> tuple[Pairs, np.ndarray]:
        """What each cell of a strip has of each value that counts, and the cells that the strip touches.

        Cells are numbered from the window's first, row by row.
        """
        shares, flat = self.shares(strip), values.ravel()
        offsets = np.arange(int(shares.run_length.sum())) - np.repeat(
            np.cumsum(shares.run_length) - shares.run_length, shares.run_length
        )
        pixel = np.concatenate([np.repeat(shares.run_start, shares.run_length) + offsets, shares.part_pixel])
        cell = np.concatenate([np.repeat(shares.run_cell, shares.run_length), shares.part_cell])
        weight = np.concatenate([np.full(len(offsets), UNIT), shares.part_weight])
        touched = np.zeros((strip.last - strip.first) * self.shape[1], bool)
        touched[cell] = True
        if good is not None:
            kept = good.ravel()[pixel]
            pixel, cell, weight = pixel[kept], cell[kept], weight[kept]
        before = strip.first * self.shape[1]
        return Pairs.of(cell + before, flat[pixel], weight), np.flatnonzero(touched) + before

    def centres_in(self, strip: Strip) -> tuple[np.ndarray, np.ndarray]:
        """Cells whose centre lies in a strip, numbered from the window's first, and the pixel of it that holds it."""
        row, column = self._centres
        cells = np.flatnonzero((row >= strip.start) & (row < strip.stop))
        row, column = row[cells] - strip.start, column[cells] - self.window[2]
        return cells, row * (self.window[3] - self.window[2]) + column

    @cached_property
    def _centres(self) -> tuple[np.ndarray, np.ndarray]:
        """Pixel row and column that hold the centre of each cell; row -1 where none does."""
        y, x = self._coarse.coordinates()
        x, y = (axis.ravel() for axis in self._projection.backward(*np.meshgrid(x, y)))
        t, (top, bottom, left, right) = self._fine.transform, self.window
        with np.errstate(invalid="ignore"):
            column, row = np.floor((x - t.c) / t.a), np.floor((y - t.f) / t.e)
            inside = (row >= top) & (row < bottom) & (column >= left) & (column < right)
            return np.where(inside, row, -1).astype(np.int64), np.where(inside, column, 0).astype(np.int64)

    @property
    def _block(self) -> int:
        """Side, in pixels, of the blocks that are counted beyond the image: large ones where cells are large."""
        step, side = self.ties.step, min(self.ties.largest_cell)
        while step < STEP and (2 * step / self.ties.step) ** 2 * OFF <= BEYOND * side:
            step *= 2
        return step

    @cached_property
    def outside(self) -> np.ndarray:
        """Area of the cells beyond the image's edges."""
        out = np.zeros(self._coarse.height * self._coarse.width, np.int64)
        step = self._block
        high, wide = (-(-int(n + 2) // step) for n in self.ties.largest_cell)
        height, width = self._fine.shape
        down, right = np.arange(-high, 1) * step, np.arange(-wide, 1) * step
        full = np.concatenate([right, np.arange(step, width, step), width + np.arange(wide + 1) * step])
        middle = np.concatenate([np.arange(0, height, step), [height]])
        # Beyond the edge of a map a projection goes on at its other side: blocks across it have no place.
        limit = 4 * step * self.ties.longest_side
        beside = (down, full), (height - down[::-1], full), (middle, right), (middle, width - right[::-1])
        for rows, columns in beside:
            corners = positions(self._fine, self._lattice, self._projection, (rows, columns), self.ties.corner_bits)
            unit = UNIT * step * step  # blocks at the image's edges are smaller
            outlines = Outlines.between(corners).without_torn(limit)
            shares = shares_of(outlines, self.ties.outline_bits, self._cells, unit)
            size = np.multiply.outer(np.diff(rows), np.diff(columns)).ravel()
            np.add.at(out, shares.run_cell, _of_runs(np.add, size, shares) * UNIT)
            part = shares.part_weight * size[shares.part_pixel]
            np.add.at(out, shares.part_cell, (part + step * step // 2) // (step * step))
        return out.reshape(self.shape)


def _of_runs(ufunc: np.ufunc, flat: np.ndarray, shares: Shares) -> np.ndarray:
    """A ufunc over the pixels of each run."""
    if not len(shares.run_start):
        return flat[:0]
    edges = np.stack([shares.run_start, shares.run_start + shares.run_length], axis=1).ravel()
    edges = edges[:-1] if edges[-1] == len(flat) else edges  # no index may lie past the end
    found: np.ndarray = ufunc.reduceat(flat, edges)[::2]
    return found


def _pixels_of(ties: Ties, cells: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """The pixels that may touch some cells: first row, row after the last, columns likewise; all 0 without any."""

    def spans(axis: np.ndarray, first: int, last: int) -> np.ndarray:
        four = axis[:-1, :-1], axis[:-1, 1:], axis[1:, :-1], axis[1:, 1:]
        return (np.minimum.reduce(four) < last << ties.bits) & (np.maximum.reduce(four) > first << ties.bits)

    touched = spans(ties.down, *cells[:2]) & spans(ties.right, *cells[2:])
    if not touched.any():
        return 0, 0, 0, 0
    rows, columns = (np.flatnonzero(touched.any(axis)) for axis in (1, 0))
    (first, last), (left, right) = ((int(n[0]) * ties.step, int(n[-1] + 1) * ties.step) for n in (rows, columns))
    return first, min(last, ties.shape[0]), left, min(right, ties.shape[1])


class _Recent:
    """Images that were asked for last, whose shares take bounded memory together."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[Any, ...], Areas] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, key: tuple[Any, ...]) -> Areas:
        """The cells over an image, made where they are not known."""
        with self._lock:
            if key not in self._known:
                self._known[key] = Areas(*key)
            self._known.move_to_end(key)
            if len(self._known) > IMAGES:
                self._known.popitem(last=False)
            return self._known[key]

    def has_room(self, areas: Areas, size: int) -> bool:
        """Whether some bytes more may be kept, those of other images being given up first, the oldest ones."""
        with self._lock:
            others = [other for other in self._known.values() if other is not areas]
            held = [other.nbytes for other in others]
            while others and areas.nbytes + size + sum(held) > KEPT:
                others.pop(0).forget()
                held.pop(0)
            return areas.nbytes + size <= KEPT


_RECENT = _Recent()
