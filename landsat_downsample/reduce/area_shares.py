"""How pixels share their area among cells of another projection, in whole numbers. The same numbers come from C."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from landsat_downsample.model.ties import Ties

Window = tuple[int, int, int, int]
Point = tuple[np.ndarray, np.ndarray]

#: Weight of a whole pixel. The shares of one pixel add up to it, so that nothing is lost and nothing counts twice.
#: Shares are then right to 4e-4 of a pixel, means of cells of 500 m to 0.02 DN (root mean square).
UNIT = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Shares:
    """Which cells the pixels of a strip belong to. Pixels count from the strip's first, row by row.

    A run is a row of pixels that lie whole in one cell; a part is what a cell has of one pixel.
    """

    run_start: np.ndarray
    run_length: np.ndarray
    run_cell: np.ndarray
    part_pixel: np.ndarray
    part_cell: np.ndarray
    part_weight: np.ndarray
    """1 to `UNIT`; all parts of a pixel, those of cells outside the window too, add up to `UNIT`."""

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return sum(getattr(self, name).nbytes for name in self.__slots__)


def shares_of(corners: tuple[np.ndarray, np.ndarray], bits: int, window: Window, unit: int = UNIT) -> Shares:
    """Share out the pixels of a strip.

    Parameters
    ----------
    corners : tuple of ndarray of int64
        Positions of the corners of its pixels, downwards and to the right, in parts of a cell: (rows + 1, columns + 1).
    bits : int
        A cell is ``2**bits`` such parts.
    window : (int, int, int, int)
        Cell rows and columns that are counted, first and past the last of each. Cells are numbered from its first,
        row by row.
    unit : int
        What the weights of a pixel add up to.
    """
    down, right = corners
    low_row, high_row = _range_of(down >> bits)
    low_column, high_column = _range_of(right >> bits)
    whole = (low_row == high_row) & (low_column == high_column)
    wide = window[3] - window[2]
    inside = (low_row >= window[0]) & (low_row < window[1]) & (low_column >= window[2]) & (low_column < window[3])
    runs = _runs(np.where(whole & inside, (low_row - window[0]) * wide + low_column - window[2], -1))
    pixels = np.flatnonzero(~whole)
    outlines = _outlines(corners, bits, (low_row, low_column), pixels)
    low_row, low_column = low_row.ravel()[pixels], low_column.ravel()[pixels]
    spans = high_row.ravel()[pixels] - low_row + 1, high_column.ravel()[pixels] - low_column + 1
    parts = [(np.empty(0, np.int64),) * 3]
    for high, across in sorted(set(zip(*(n.tolist() for n in spans), strict=True))):
        chosen = np.flatnonzero((spans[0] == high) & (spans[1] == across))
        weight = quantised(areas(outlines[:, :, chosen], high, across), unit)
        row = low_row[chosen][:, None] + np.repeat(np.arange(high), across)
        column = low_column[chosen][:, None] + np.tile(np.arange(across), high)
        kept = (weight > 0) & (row >= window[0]) & (row < window[1]) & (column >= window[2]) & (column < window[3])
        cell = (row - window[0]) * wide + column - window[2]
        parts.append((np.broadcast_to(pixels[chosen][:, None], weight.shape)[kept], cell[kept], weight[kept]))
    pixel, cell, weight = (np.concatenate(items) for items in zip(*parts, strict=True))
    order = np.argsort(pixel, kind="stable")
    return Shares(*runs, pixel[order], cell[order], weight[order])


def shares_of_pixels(ties: Ties, pixels: Window, window: Window) -> Shares:
    """Share out the pixels of some rows and columns of an image: first row, row after the last, columns likewise."""
    if pixels[0] == pixels[1]:
        return Shares(*(np.empty(0, np.int64),) * 6)
    rows, columns = np.arange(pixels[0], pixels[1] + 1), np.arange(pixels[2], pixels[3] + 1)
    return shares_of(ties.corners(rows, columns), ties.bits + 8, window)


def _range_of(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest of the four corners of each pixel."""
    four = corners[:-1, :-1], corners[:-1, 1:], corners[1:, :-1], corners[1:, 1:]
    return np.minimum.reduce(four), np.maximum.reduce(four)


def _runs(cell: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Start, length and cell of the rows of equal cells; those numbered -1 are left out."""
    edge = np.empty(cell.shape, bool)
    edge[:, 0] = True
    np.not_equal(cell[:, 1:], cell[:, :-1], out=edge[:, 1:])
    start = np.flatnonzero(edge)
    length, number = np.diff(start, append=cell.size), cell.ravel()[start]
    kept = number >= 0
    return start[kept], length[kept], number[kept]


def _outlines(
    corners: tuple[np.ndarray, np.ndarray], bits: int, first: tuple[np.ndarray, np.ndarray], pixels: np.ndarray
) -> np.ndarray:
    """Corners of some pixels, clockwise from the upper left, in cells from the first one that each touches: (2, 4, n).

    Exact: the differences are small whole numbers of 2**-bits.
    """
    row, column = np.divmod(pixels, corners[0].shape[1] - 1)
    around = (row, column), (row, column + 1), (row + 1, column + 1), (row + 1, column)
    made = [
        [(axis[at] - (start.ravel()[pixels] << bits)) * 2.0**-bits for at in around]
        for axis, start in zip(corners, first, strict=True)
    ]
    return np.array(made)


def areas(corners: np.ndarray, high: int, across: int) -> np.ndarray:
    """Area that quadrilaterals have in each of `high` x `across` unit cells: (n, cells), their sum the area of each.

    The area above v = b and left of u = a is the closed line integral of min(v, b) du, with all that lies beyond a
    pressed onto it; those of cells are its differences.
    """
    v, u = corners
    n = v.shape[1]
    up_to = np.zeros((high + 1, across + 1, n))
    for b in range(1, high + 1):
        for a in range(1, across + 1):
            up_to[b, a] = _area_up_to(u, v, a if a < across else None, b if b < high else None)
    cells = (up_to[1:, 1:] - up_to[:-1, 1:]) - (up_to[1:, :-1] - up_to[:-1, :-1])
    return cells.reshape(high * across, n).T


def _area_up_to(u: np.ndarray, v: np.ndarray, a: int | None, b: int | None) -> np.ndarray:
    total = np.zeros(u.shape[1])
    for k in range(4):
        total = total + _edge((u[k], v[k]), (u[(k + 1) % 4], v[(k + 1) % 4]), a, b)
    return total


def _edge(start: Point, end: Point, a: int | None, b: int | None) -> np.ndarray:
    """The integral of min(v, b) du along the part of an edge that is left of a. Its order of operations is C's."""
    (u0, v0), (u1, v1) = start, end
    with np.errstate(divide="ignore", invalid="ignore"):
        if a is not None:
            beyond0, beyond1 = u0 >= a, u1 >= a
            there = v0 + (a - u0) / (u1 - u0) * (v1 - v0)
            u0, v0, u1, v1 = (
                np.where(beyond0, float(a), u0),
                np.where(beyond0, np.where(beyond1, 0.0, there), v0),
                np.where(beyond1, float(a), u1),
                np.where(beyond1, np.where(beyond0, 0.0, there), v1),
            )
        under = (v0 + v1) * 0.5 * (u1 - u0)
        if b is None:
            return under
        middle = u0 + (b - v0) / (v1 - v0) * (u1 - u0)
        falls = (v0 + b) * 0.5 * (middle - u0) + b * (u1 - middle)
        rises = b * (middle - u0) + (b + v1) * 0.5 * (u1 - middle)
    low0, low1 = v0 < b, v1 < b
    return np.where(low0, np.where(low1, under, falls), np.where(low1, rises, b * (u1 - u0)))


def quantised(area: np.ndarray, unit: int) -> np.ndarray:
    """Shares of pixels (n, cells) as whole numbers that add up to `unit`: rounded, and the largest takes the rest."""
    whole = area[:, 0]
    for k in range(1, area.shape[1]):
        whole = whole + area[:, k]
    weight = np.rint(area / whole[:, None] * unit).astype(np.int64)
    weight[np.arange(len(weight)), np.argmax(weight, axis=1)] += unit - weight.sum(1)
    return weight
