"""Which pixels each cell of a coarser grid holds, and how much of each. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from landsat_downsample.errors import UsageError
from landsat_downsample.model.grid import Grid, cell_edges
from landsat_downsample.model.lattice import Lattice


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """How the cells of one axis of a coarse grid overlap the pixels of a fine one.

    Cell ``i`` takes pixels ``start[i]`` up to, not including, ``stop[i]``. Its first pixel
    weighs ``head[i]``, its last ``tail[i]`` and every other `unit`, all in the same integer
    units of a fraction of a pixel. A cell without any pixel has ``start == stop``.
    """

    pixels: int
    """Length of the fine axis."""

    start: np.ndarray
    stop: np.ndarray
    head: np.ndarray
    tail: np.ndarray
    whole: np.ndarray
    """Weight that each cell has with pixels everywhere in it, those beyond the fine axis too."""
    unit: int
    """Weight of a pixel that lies wholly inside a cell."""

    block: int
    """Pixels per cell where all cells are whole blocks from pixel 0 on; 0 otherwise."""

    centre: np.ndarray
    """Index of the pixel nearest to each cell's centre, for ``nearest``."""

    @property
    def size(self) -> int:
        """Number of cells."""
        return len(self.start)

    @property
    def extent(self) -> np.ndarray:
        """Total weight of the pixels of each cell, int64."""
        inner = np.maximum(self.stop - self.start - 2, 0) * self.unit
        ends = self.head + np.where(self.stop - self.start > 1, self.tail, 0)
        return np.where(self.stop > self.start, inner + ends, 0)

    @property
    def longest(self) -> int:
        """Largest total weight of a cell, or of one pixel, whichever is more."""
        return max(int(self.whole.max()), self.unit)

    def part(self, first: int, last: int) -> Cells:
        """The cells `first` to `last` alone; pixel indices stay those of the whole axis."""
        cut = slice(first, last)
        arrays = (self.start[cut], self.stop[cut], self.head[cut], self.tail[cut], self.whole[cut])
        return Cells(self.pixels, *arrays, self.unit, self.block, self.centre[cut])

    @property
    def span(self) -> tuple[int, int]:
        """First pixel of any cell, and the pixel after the last."""
        used = self.stop > self.start
        return int(self.start[used].min()), int(self.stop[used].max())

    def shifted(self, first: int, last: int) -> Cells:
        """The same cells over the pixels `first` to `last` alone, counted from `first`."""
        start, stop = np.clip(self.start - first, 0, last - first), np.clip(self.stop - first, 0, last - first)
        block = int(stop[0]) if self.unit == 1 and self.size > 1 else self.block
        # Of two cells the first, cut by the image's edge, may be the shorter one, and the last may lie beyond it.
        if not np.array_equal(start, np.arange(self.size) * block) or not 0 < stop[-1] - start[-1] <= block:
            block = 0
        arrays = start, stop, self.head, self.tail, self.whole
        return Cells(last - first, *arrays, self.unit, block, self.centre - first)

    @classmethod
    def cut(cls, pixels: int, cells: int, ratio: Fraction, offset: Fraction = Fraction(0)) -> Cells:
        """Cut `pixels` pixels into `cells` cells of `ratio` pixels.

        Parameters
        ----------
        offset : Fraction
            Where the first pixel's edge lies, in pixels after the edge of the first cell:
            1/2 for the panchromatic band on a 30 m grid.
        """
        edges, unit = cell_edges(cells, Fraction(ratio), -Fraction(offset))
        low, high = np.clip(edges[:-1], 0, pixels * unit), np.clip(edges[1:], 0, pixels * unit)
        start, stop = low // unit, -(-high // unit)
        stop = np.where(high > low, stop, start)
        single = stop - start == 1
        head = np.where(single, high - low, (start + 1) * unit - low)
        tail = np.where(single, high - low, high - (stop - 1) * unit)
        centre = np.clip((edges[:-1] + edges[1:]) // (2 * unit), 0, pixels - 1)
        # Cells of a raster given as `like` may end before the image, or begin beyond it.
        fits = unit == 1 and not edges[0] and edges[-1] >= pixels and (high > low).all()
        block = int(edges[1]) if fits else 0
        return cls(pixels, start, stop, head, tail, np.diff(edges), unit, block, centre)


@dataclass(frozen=True, slots=True, eq=False)
class Overlay:
    """The cells of a coarse grid over a fine grid, an axis each."""

    rows: Cells
    columns: Cells

    @classmethod
    def of(cls, fine: Grid, coarse: Grid, lattice: Lattice) -> Overlay:
        """Lay `coarse`, a window of `lattice`, over `fine`.

        `fine` is the scene's grid or a band on another one (the 15 m panchromatic band, whose
        edge lies half of its own pixel inside the 30 m frame).

        Raises
        ------
        UsageError
            The two grids have different coordinate reference systems or do not overlap.
        """
        if fine.crs != lattice.crs:
            raise UsageError(f"grids have different CRS: {fine.crs} and {lattice.crs}")
        axes = [
            Cells.cut(pixels, coarse.shape[axis], *lattice.in_pixels(coarse, fine, axis))
            for axis, pixels in enumerate(fine.shape)
        ]
        if any(not cells.extent.any() for cells in axes):
            raise UsageError("grids do not overlap: the band lies outside the scene's frame")
        return cls(*axes)

    @property
    def unit(self) -> int:
        """Area weight of a pixel that lies wholly inside a cell."""
        return self.rows.unit * self.columns.unit

    @property
    def largest(self) -> int:
        """Largest area weight of a cell, or of one pixel, whichever is more."""
        return self.rows.longest * self.columns.longest

    def extent(self, first: int, last: int) -> np.ndarray:
        """Area weight of whole cells of some rows, be there pixels in them or not: (rows, cells), int64."""
        area: np.ndarray = np.multiply.outer(self.rows.whole[first:last], self.columns.whole)
        return area

    def area(self, first: int, last: int) -> np.ndarray:
        """Area weight of the pixels that exist in each cell of some rows: (rows, cells), int64."""
        area: np.ndarray = np.multiply.outer(self.rows.extent[first:last], self.columns.extent)
        return area

    @property
    def window(self) -> tuple[int, int, int, int]:
        """Pixels that any cell takes: (first row, row after the last, first column, column after the last)."""
        return *self.rows.span, *self.columns.span
