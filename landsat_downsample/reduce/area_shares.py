"""How pixels share their area among cells of another projection, in whole numbers. The same numbers come from C."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from landsat_downsample.model.ties import Outlines, Ties

Window = tuple[int, int, int, int]

#: Weight of a whole pixel. The shares of one pixel add up to it, so that nothing is lost and nothing counts twice.
#: Shares are then right to 4e-4 of a pixel, means of cells of 500 m to 0.02 DN (root mean square).
UNIT = 4096


#: Columns after which runs begin anew: those of USGS's tiles, each of which can then be added up by itself.
TILE = 256


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


def shares_of_pixels(ties: Ties, pixels: Window, window: Window) -> Shares:
    """Share out the pixels of some rows and columns of an image: first row, row after the last, columns likewise."""
    top, bottom, *columns = pixels
    made = [Shares(*(np.empty(0, np.int64),) * 6)]
    for row in range(top - top % ties.step, bottom, ties.step):  # so many that arrays stay in the processor's cache
        first, last = max(row, top), min(row + ties.step, bottom)
        shares = shares_of(ties.outlines((first, last), (columns[0], columns[1])), ties.outline_bits, window)
        before = (first - top) * (columns[1] - columns[0])
        shares.run_start[:] += before
        shares.part_pixel[:] += before
        made.append(shares)
    return Shares(*(np.concatenate([getattr(part, name) for part in made]) for name in Shares.__slots__))


def shares_of(outlines: Outlines, bits: int, window: Window, unit: int = UNIT) -> Shares:
    """Share out pixels.

    Parameters
    ----------
    bits : int
        A cell is ``2**bits`` units of the outlines.
    window : (int, int, int, int)
        Cell rows and columns that are counted, first and past the last of each. Cells are numbered from its first,
        row by row.
    unit : int
        What the weights of a pixel add up to.
    """
    half = [abs(column) + abs(row) for column, row in zip(outlines.by_column, outlines.by_row, strict=True)]
    first = [centre - reach for centre, reach in zip(outlines.centre, half, strict=True)]
    high = [centre + reach for centre, reach in zip(outlines.centre, half, strict=True)]
    low, high = [axis >> bits for axis in first], [np.right_shift(axis, bits, out=axis) for axis in high]
    shared = (low[0] != high[0]) | (low[1] != high[1])
    (row, column), wide = low, window[3] - window[2]
    inside = row.min() >= window[0] and row.max() < window[1] and column.min() >= window[2] and column.max() < window[3]
    runs = _runs(low, shared, window, inside=inside)
    pixels = np.flatnonzero(shared)
    first, high = [axis.ravel()[pixels] for axis in first], [axis.ravel()[pixels] for axis in high]
    low = [axis >> bits for axis in first]
    touched = Touched(outlines, np.divmod(pixels, shared.shape[1]), [axis & (1 << bits) - 1 for axis in first], bits)
    parts = [(np.empty(0, np.int64),) * 3]
    spans = [after - first + 1 for first, after in zip(low, high, strict=True)]
    most = int(spans[1].max(initial=0)) + 1
    kinds = spans[0] * most + spans[1]
    for kind in np.flatnonzero(np.bincount(kinds)).tolist():
        tall, across = divmod(kind, most)
        chosen = np.flatnonzero(kinds == kind)
        weight = _weights(touched, chosen, (tall, across), unit)
        to_row = low[0][chosen][:, None] + np.repeat(np.arange(tall), across)
        to_column = low[1][chosen][:, None] + np.tile(np.arange(across), tall)
        kept = weight > 0
        if not inside or to_row.max() >= window[1] or to_column.max() >= window[3]:
            kept &= _within(to_row, to_column, window)
        cell = to_row * wide + (to_column - (window[0] * wide + window[2]))
        parts.append((np.broadcast_to(pixels[chosen][:, None], weight.shape)[kept], cell[kept], weight[kept]))
    pixel, cell, weight = (np.concatenate(items) for items in zip(*parts, strict=True))
    order = np.argsort(pixel, kind="stable")
    return Shares(*runs, pixel[order], cell[order], weight[order])


def _within(row: np.ndarray, column: np.ndarray, window: Window) -> np.ndarray:
    """Whether cells are among those that are counted."""
    found: np.ndarray = (row >= window[0]) & (row < window[1]) & (column >= window[2]) & (column < window[3])
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Touched:
    """Some pixels of outlines, from the edges of the first cells that they touch on: (down, right)."""

    outlines: Outlines
    place: tuple[np.ndarray, np.ndarray]
    """Rows and columns of the pixels."""
    first: list[np.ndarray]
    """Where they begin, in units."""
    bits: int

    def along(self, axis: int, chosen: np.ndarray) -> list[np.ndarray]:
        """Of some of them, on an axis, in cells: their centres, and half sides."""
        row, column = (at[chosen] for at in self.place)
        both = self.outlines.by_column[axis], self.outlines.by_row[axis]
        sides = [side[0][column] if len(side) == 1 else side[row, column] for side in both]
        centre = self.first[axis][chosen] + abs(sides[0]) + abs(sides[1])
        return [part * 2.0**-self.bits for part in (centre, *sides)]  # small whole numbers of it: exact


def _weights(touched: Touched, chosen: np.ndarray, span: tuple[int, int], unit: int) -> np.ndarray:
    """Weights of some pixels in the cells of `span` from the first one that each touches: (n, cells)."""
    if sorted(span) == [1, 2]:
        before = np.rint(share_before(*touched.along(int(span[1] == 2), chosen)) * unit).astype(np.int64)
        return np.stack([before, unit - before], axis=1)
    v, u = (touched.along(axis, chosen) for axis in (0, 1))
    corners = [[m - c - r, m + c - r, m + c + r, m - c + r] for m, c, r in (v, u)]
    if span != (2, 2):
        area = areas(np.array(corners), *span)
        whole = area[:, 0]
        for k in range(1, area.shape[1]):
            whole = whole + area[:, k]
        return quantised(area / whole[:, None], unit)
    left, above = share_before(*u), share_before(*v)
    both = _area_above(_edges(np.array(corners[1]), np.array(corners[0]), 1), 1) / (-4 * (u[1] * v[2] - u[2] * v[1]))
    return quantised(np.stack([both, above - both, left - both, 1 - left - above + both], axis=1), unit)


def share_before(centre: np.ndarray, by_column: np.ndarray, by_row: np.ndarray) -> np.ndarray:
    """Share of parallelograms that lies before position 1 on an axis, by their half sides along it.

    The width of a parallelogram along the other axis rises, stays and falls: the share is quadratic, linear, quadratic.
    """
    one, other = 2 * abs(by_column), 2 * abs(by_row)
    short, long = np.minimum(one, other), np.maximum(one, other)
    x = 1 - (centre - abs(by_column) - abs(by_row))
    rest = short + long - x
    with np.errstate(divide="ignore", invalid="ignore"):
        bend, slope = 0.5 / (short * long), 1 / long
        rising, falling = x * x * bend, 1 - rest * rest * bend
    return np.where(x < short, rising, np.where(x <= long, (x - short * 0.5) * slope, falling))


def _runs(
    low: list[np.ndarray], shared: np.ndarray, window: Window, *, inside: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Start, length and cell of the rows of pixels that lie whole in one cell that is counted."""
    edge = np.ones(shared.shape, bool)
    differs = (part[:, 1:] != part[:, :-1] for part in (*low, shared))
    np.logical_or.reduce([*differs], out=edge[:, 1:])
    edge[:, ::TILE] = True
    start = np.flatnonzero(edge)
    length = np.diff(start, append=shared.size)
    kept = ~shared.ravel()[start]
    start, length = start[kept], length[kept]
    row, column = (axis.ravel()[start] for axis in low)
    cell = (row - window[0]) * (window[3] - window[2]) + (column - window[2])
    if inside:
        return start, length, cell
    kept = _within(row, column, window)
    return start[kept], length[kept], cell[kept]


def areas(corners: np.ndarray, high: int, across: int) -> np.ndarray:
    """Area that quadrilaterals have in each of `high` x `across` unit cells: (n, cells), their sum the area of each.

    The area above v = b and left of u = a is the closed line integral of min(v, b) du, with all that lies beyond a
    pressed onto it; those of cells are its differences.
    """
    v, u = corners
    n = v.shape[1]
    up_to = np.zeros((high + 1, across + 1, n))
    for a in range(1, across + 1):
        edges = _edges(u, v, a if a < across else None)
        for b in range(1, high + 1):
            up_to[b, a] = _area_above(edges, b if b < high else None)
    cells = (up_to[1:, 1:] - up_to[:-1, 1:]) - (up_to[1:, :-1] - up_to[:-1, :-1])
    return cells.reshape(high * across, n).T


Edges = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _edges(u: np.ndarray, v: np.ndarray, a: int | None) -> Edges:
    """u0, v0, u1 and v1, (4, n) each, of the edges of quadrilaterals; what lies beyond u = a is pressed onto it.

    The order of operations is C's, here and below.
    """
    u0, v0, u1, v1 = u, v, u[[1, 2, 3, 0]], v[[1, 2, 3, 0]]
    if a is None:
        return u0, v0, u1, v1
    beyond0, beyond1 = u0 >= a, u1 >= a
    with np.errstate(divide="ignore", invalid="ignore"):
        there = v0 + (a - u0) / (u1 - u0) * (v1 - v0)
    return (
        np.where(beyond0, float(a), u0),
        np.where(beyond0, np.where(beyond1, 0.0, there), v0),
        np.where(beyond1, float(a), u1),
        np.where(beyond1, np.where(beyond0, 0.0, there), v1),
    )


def _area_above(edges: Edges, b: int | None) -> np.ndarray:
    """The closed line integrals of min(v, b) du: (n,)."""
    u0, v0, u1, v1 = edges
    made = (v0 + v1) * 0.5 * (u1 - u0)
    if b is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            middle = u0 + (b - v0) / (v1 - v0) * (u1 - u0)
            falls = (v0 + b) * 0.5 * (middle - u0) + b * (u1 - middle)
            rises = b * (middle - u0) + (b + v1) * 0.5 * (u1 - middle)
        low0, low1 = v0 < b, v1 < b
        made = np.where(low0, np.where(low1, made, falls), np.where(low1, rises, b * (u1 - u0)))
    total: np.ndarray = made[0] + made[1] + made[2] + made[3]
    return total


def quantised(share: np.ndarray, unit: int) -> np.ndarray:
    """Shares of pixels (n, cells) as whole numbers that add up to `unit`: rounded, and the largest takes the rest."""
    weight = np.rint(share * unit).astype(np.int64)
    weight[np.arange(len(weight)), np.argmax(weight, axis=1)] += unit - weight.sum(1)
    return weight
