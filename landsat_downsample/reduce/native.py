"""The kernels of 16-bit bands in C, where the extension was built; the same numbers as NumPy gives.

Each function returns None where it does not apply: no extension, another type, cells too large
for its counters. The caller then takes the plain path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from landsat_downsample.errors import UsageError
from landsat_downsample.model.cells import Cells, Overlay
from landsat_downsample.model.plan import STRIP_ROWS
from landsat_downsample.reduce.kernels import Strip, shared_rows

if TYPE_CHECKING:
    from landsat_downsample.reduce.rule import Rule

if TYPE_CHECKING:
    from landsat_downsample.reduce import _native as _native  # noqa: PLC0414 - pipeline.tiles calls it too
else:
    try:
        from landsat_downsample.reduce import _native
    except ImportError:  # built without a compiler
        _native = None

#: What functions of C are called, take and mean: as in _native.c.
INTERFACE = 6

if _native is not None and getattr(_native, "INTERFACE", 1) != INTERFACE:
    raise UsageError(
        f"the compiled kernel {_native.__file__} is of another version than the Python code beside it: "
        "reinstall landsat-downsample (of a clone: pip install -e .)"
    )

#: Codes of 16 bits.
_CODES = 1 << 16

#: Most bands of an index in C, and a number that no pixel of it, nor a whole number of 32 bits, holds.
_BANDS, BEYOND = 3, 1 << 40


def available() -> bool:
    """Whether the extension was built."""
    return _native is not None


def cell_sums(
    values: np.ndarray, ok: np.ndarray | None, nodata: float | None, overlay: Overlay, strip: Strip
) -> tuple[np.ndarray, np.ndarray] | None:
    """Weights and weighted sums of the valid pixels of each cell of a strip: int64 (cells, cells), twice.

    Parameters
    ----------
    ok : ndarray of bool, or None
        Which pixels count besides those that differ from `nodata`.
    """
    wide, shape = sixteen(values), (strip.last - strip.first, overlay.columns.size)
    ok = None if ok is None else np.ascontiguousarray(ok, bool)
    if values.dtype == np.int32 and _native is not None and _weights_fit(overlay) and overlay.largest < 1 << 32:
        total, count = np.empty(shape, np.int64), np.empty(shape, np.int64)
        facts = values.shape[1], number_of(nodata, values.dtype, BEYOND)
        _native.whole_sums(np.ascontiguousarray(values), ok, *facts, *axes(overlay, strip), total, count)
        return count, total
    if wide is None or not sums_fit(overlay):
        return None
    total, count = np.empty(shape, np.int64), np.empty(shape, np.int64)
    _native.sums(wide, ok, wide.shape[1], *pixel_facts(values.dtype, nodata), *axes(overlay, strip), total, count)
    return count, total


def cell_moments(
    values: np.ndarray, ok: np.ndarray | None, nodata: float | None, overlay: Overlay, strip: Strip
) -> tuple[np.ndarray, ...] | None:
    """As of `cell_sums`, with the sums of the squares, int64, and the least and greatest valid value of each cell."""
    wide = sixteen(values)
    if wide is None or not moments_fit(overlay):
        return None
    flip, missing = pixel_facts(values.dtype, nodata)
    sums, ends = np.empty((4, strip.last - strip.first, overlay.columns.size), np.int64), ends_of(strip, overlay)
    ok = None if ok is None else np.ascontiguousarray(ok, bool)
    count, total, *halves = sums
    _native.sums(wide, ok, wide.shape[1], flip, missing, *axes(overlay, strip), total, count, *halves, *ends)
    return moments_of(sums, ends, flip, values.dtype)


def ends_of(strip: Strip, overlay: Overlay) -> np.ndarray:
    """The least and the greatest number of cells that have none yet: uint16 (2, cells, cells)."""
    ends = np.zeros((2, strip.last - strip.first, overlay.columns.size), np.uint16)
    ends[0] = _CODES - 1
    return ends


def moments_of(sums: np.ndarray, ends: np.ndarray, flip: int, dtype: np.dtype) -> tuple[np.ndarray, ...]:
    """Counts, totals, squares, least and greatest values, from what C gives: of flipped numbers, but for the totals."""
    count, total, lower, upper = sums
    squares = (upper << 16) + lower
    if flip:
        squares -= 2 * flip * total + flip * flip * count
    least, most = (ends ^ np.uint16(flip)).astype(dtype)
    return count, total, squares, least, most


def moments_fit(overlay: Overlay) -> bool:
    """As `sums_fit`, of squares too."""
    return sums_fit(overlay) and overlay.largest < 1 << 30


def sums_fit(overlay: Overlay) -> bool:
    """Whether sums of the pixel rows of a cell fit their counters, which are 32 bits wide, and those of cells 64."""
    return _weights_fit(overlay) and int(overlay.rows.extent.max()) * (_CODES - 1) < 1 << 32


def _weights_fit(overlay: Overlay) -> bool:
    """Whether the weights of an axis are those that C takes: _native.c."""
    return max(int(axis.extent.max(initial=0)) for axis in (overlay.rows, overlay.columns)) < 1 << 30


def index_pixels(
    values: Sequence[np.ndarray],
    ok: np.ndarray | None,
    nodata: Sequence[float | None],
    formula: Sequence[Sequence[float]],
) -> np.ndarray | None:
    """The index of pixels in parts of 1: int32, or its least number where there is none.

    Parameters
    ----------
    values : sequence of ndarray
        Pixels of two or three bands.
    formula : (sequence, sequence, sequence)
        Whole factors of the bands, and the constant, of numerator and denominator; limits, and how many parts 1 has.
    """
    bands = [wide for band in values if (wide := sixteen(band)) is not None]
    if len(bands) < len(values) or len(bands) > _BANDS or len({band.dtype for band in bands}) > 1:
        return None
    more = _BANDS - len(bands)
    terms = [[*side[:-1], *[0.0] * more, side[-1]] for side in formula[:2]]
    none = [number_of(value, bands[0].dtype, BEYOND) for value in nodata]
    out = np.empty(bands[0].shape, np.int32)
    ok = None if ok is None else np.ascontiguousarray(ok, bool)
    facts = np.array([*terms[0], *terms[1], *formula[2]], np.float64), np.array([*none, *[BEYOND] * more], np.int64)
    first, second, third = (*bands, *bands[:1] * more)
    _native.index_pixels(first, second, third, ok, *facts, bands[0].dtype.kind == "i", out)
    return out


def number_of(nodata: float | None, dtype: np.dtype, otherwise: int) -> int:
    """A nodata value as a type holds it; else some other number."""
    limits = np.iinfo(dtype)
    held = nodata is not None and float(nodata).is_integer() and limits.min <= nodata <= limits.max
    return int(nodata) if held and nodata is not None else otherwise


def pixel_facts(dtype: np.dtype, nodata: float | None) -> tuple[int, int]:
    """What turns the bits of a pixel into an ascending number, and the bits of one without data, or -1."""
    if nodata is not None:
        limits = np.iinfo(dtype)
        held = float(nodata).is_integer() and limits.min <= nodata <= limits.max
        nodata = int(nodata) % _CODES if held else None
    return _CODES // 2 if dtype.kind == "i" else 0, -1 if nodata is None else nodata


def means(count: np.ndarray, total: np.ndarray, rule: Rule) -> np.ndarray | None:
    """Exact means rounded half to even, off the fill value unless that is legal: (cells, cells).

    Sums must be below 2**51, so that float64 quotients round as the exact ones do.
    """
    dtype, fill = rule.dtype, rule.fill
    if _native is None or dtype not in (np.uint16, np.int16) or {count.dtype, total.dtype} != {np.dtype(np.int64)}:
        return None
    limits = np.iinfo(dtype)
    if not (float(fill).is_integer() and limits.min <= fill <= limits.max):
        return None
    out = np.empty(count.shape, dtype)
    facts = np.array([fill, rule.fill_is_legal, limits.min, limits.max], np.int64)
    _native.means(np.ascontiguousarray(total), np.ascontiguousarray(count), out, facts)
    return out


def spreads(count: np.ndarray, total: np.ndarray, squares: np.ndarray) -> np.ndarray | None:
    """``count * squares - total ** 2`` of int64, rounded to float64 once."""
    if _native is None or {part.dtype for part in (count, total, squares)} != {np.dtype(np.int64)}:
        return None
    out = np.empty(count.shape)
    one, other, third = (np.ascontiguousarray(part) for part in (count, total, squares))
    _native.spreads(one, other, third, out)
    return out


@dataclass(frozen=True, slots=True, eq=False)
class Meaning:
    """A quality band's codes under a policy, as `quality` needs them."""

    codes: np.ndarray
    """`MEANING`, shape (65536,)."""
    levels: np.ndarray
    """Index in `RULES`, bits of the field, bits of the level; ascending in each field: int64 (levels, 3)."""
    policy: int
    """0: level by level, 1: the code of most pixels, 2: that of the centre."""
    fill_mask: int
    fill: int
    clear: int
    """Bit that is set where none of `cloudy` is; 0 without one."""
    cloudy: int

    def facts(self, planes: int) -> tuple[int, int, int, int, int, int]:
        """All but the arrays, as C takes them, with how many percentages are asked for."""
        return self.policy, self.fill_mask, self.fill, self.clear, self.cloudy, planes


#: What a code means: the levels that it reaches, the percentages that it counts for (the first:
#: whether it is valid), and those of a cell that holds nothing else.
MEANING = np.dtype([("reached", "<u4"), ("question", "u1"), ("pad", "u1", 3), ("percent", "u1", 8)])

#: How many of a cell's valid pixels must reach a level: any of them, half of them, all.
RULES = ("any", "majority", "all")

#: Bits of `MEANING.reached`.
MOST_LEVELS = 32


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Where `quality` writes, strip by strip."""

    codes: np.ndarray
    """uint16 (cells, cells)."""
    percent: np.ndarray
    """uint8 (percentages, cells, cells)."""
    counts: np.ndarray
    """Source pixels of each code: int64 (65536,)."""


def answers_quality(overlay: Overlay) -> bool:
    """Whether `quality` applies: strips hold cells whole, and 200 times the weight of a cell is exact in float64."""
    rows, columns = overlay.rows, overlay.columns
    whole = int((rows.stop - rows.start).max()) <= STRIP_ROWS
    return (
        _native is not None
        and whole
        and max(rows.longest, columns.longest) < 1 << 30
        and 200 * overlay.largest < 1 << 52
    )


def quality(
    codes: np.ndarray, overlay: Overlay, strip: Strip, meaning: Meaning, answers: Answers, *, least: np.ndarray | None
) -> None:
    """Answer for the cells of a strip, all of whose pixels are at hand.

    Parameters
    ----------
    codes : ndarray of uint16
        Pixels of the strip, contiguous.
    least : ndarray of int64, or None
        Weight of valid pixels that a mixed cell needs: (cells, cells); 1 without it.
    """
    rows, columns = overlay.rows, overlay.columns
    if not len(codes):  # all of its cells lie beyond the image
        codes = np.full((1, codes.shape[1]), meaning.fill, np.uint16)
    down = np.clip(rows.centre[strip.first : strip.last] - strip.start, 0, len(codes) - 1)
    wholes = rows.whole[strip.first : strip.last], columns.whole
    along = np.concatenate([down, columns.centre, *wholes]).astype(np.int64)
    facts = meaning.facts(len(answers.percent))
    own = shared_rows(rows, strip)  # those are counted in the strip before
    given = codes, codes.shape[1], *axes(overlay, strip), meaning.codes, meaning.levels, facts, least, along
    _native.quality(*given, own, answers.counts, strip.first, answers.codes, answers.percent)


def answers_pairs(largest: int) -> bool:
    """Whether `judge_pairs` applies: 200 times the weight of a cell, `largest` at most, is exact in float64."""
    return _native is not None and 200 * largest < 1 << 52


def judge_pairs(
    pairs: tuple[np.ndarray, np.ndarray, np.ndarray],
    meaning: Meaning,
    answers: Answers,
    beyond: np.ndarray,
    *,
    least: np.ndarray | None,
    centres: np.ndarray | None,
) -> None:
    """Answer for cells from what they have of each code.

    Parameters
    ----------
    pairs : (ndarray of int64, of uint16, of int64)
        Cells, ascending, codes, and weights.
    beyond : ndarray of int64
        Area of each cell of `answers` beyond the image.
    least : ndarray of int64, or None
        Weight of valid pixels that each cell of `answers` needs; 1 without it.
    centres : ndarray of uint16, or None
        Code of the centre of each cell of `answers`, where the policy asks for it.
    """
    facts, to = meaning.facts(len(answers.percent)), (answers.codes, answers.percent)
    _native.judge_pairs(*pairs, meaning.codes, meaning.levels, facts, least, beyond, centres, *to)


def answers_histogram(overlay: Overlay) -> bool:
    """Whether `histogram` applies."""
    return _native is not None and _weights_fit(overlay)


def histogram(codes: np.ndarray, overlay: Overlay, strip: Strip, cells: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Area weight of each code in some cells of a strip: float64 (cells, codes).

    Parameters
    ----------
    codes : ndarray of uint16
        Pixels of the strip, contiguous.
    cells : ndarray of int
        Flat indices of cells within the strip's cell rows.
    present : ndarray of uint16
        Codes of the strip, ascending: the columns.
    """
    ranks = np.zeros(_CODES, np.int32)
    ranks[present] = np.arange(len(present))
    counts = np.zeros((len(cells), len(present)))
    if counts.size:
        cells = np.ascontiguousarray(cells, np.int64)
        _native.histogram(codes, codes.shape[1], *axes(overlay, strip), cells, ranks, counts)
    return counts


def tally(codes: np.ndarray) -> np.ndarray | None:
    """Pixels of each code: int64 (65536,)."""
    wide = sixteen(codes)
    if wide is None:
        return None
    counts = np.zeros(_CODES, np.int64)
    _native.tally(wide, counts)
    return counts


def sixteen(values: np.ndarray) -> np.ndarray | None:
    """The pixels as contiguous 16-bit integers, or None where they cannot be."""
    if _native is None or values.dtype not in (np.uint8, np.uint16, np.int16):
        return None
    return np.ascontiguousarray(values, np.uint16 if values.dtype == np.uint8 else values.dtype)


def axes(overlay: Overlay, strip: Strip) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The axes of a strip's cells, as C takes them."""
    columns = overlay.columns
    across = np.stack([columns.start, columns.stop, columns.head, columns.tail]).astype(np.int64)
    return (_rows_of(overlay.rows, strip), overlay.rows.unit, 0), (across, columns.unit, columns.block)


def _rows_of(rows: Cells, strip: Strip) -> np.ndarray:
    """The strip's part of its cell rows; where it cuts one, the pixels at the cut weigh what they are."""
    part = slice(strip.first, strip.last)
    start, stop, head, tail = rows.start[part], rows.stop[part], rows.head[part], rows.tail[part]
    low, high = np.maximum(start, strip.start), np.minimum(stop, strip.stop)
    high = np.maximum(low, high)
    first = np.where(low == start, head, np.where(low == stop - 1, tail, rows.unit))
    last = np.where(high == stop, tail, rows.unit)
    return np.stack([low - strip.start, high - strip.start, first, last]).astype(np.int64)
