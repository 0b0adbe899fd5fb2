"""Reducers of bit fields: flag by flag, level by level, never an average of codes.

Most cells of a quality band hold one code only, and give it back. For the others the pixels
are counted by code, and every question (any, all, majority, highest level, most frequent
code, percent of cloud) is answered from those counts. Codes come in runs, so that runs are
counted, not pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache

import numpy as np

from landsat_downsample.errors import SceneError
from landsat_downsample.model.bands import BandSpec, BitField, specs
from landsat_downsample.model.cells import Overlay
from landsat_downsample.model.flags import (
    OUTSIDE,
    codes_of,
    empty_code,
    fill_mask,
    fraction_names,
    obscuring,
    stored_as,
)
from landsat_downsample.reduce import native
from landsat_downsample.reduce.kernels import Strip, divide_half_even, fold, groups, shared_rows, windows
from landsat_downsample.reduce.native import MEANING, MOST_LEVELS, RULES, Answers, Meaning
from landsat_downsample.reduce.values import ReadRows, least_area, reduce_strips

#: Percent value of a cell without valid pixels.
NO_PERCENT = 255


#: Pixel rows of a strip, whose codes are in memory twice: as many as a row of tiles has, each of which is decoded once.
QUALITY_ROWS = 256

#: Cells times codes of one histogram; more are done in portions.
HISTOGRAM_SIZE = 1 << 22


@dataclass(frozen=True, slots=True)
class QualityRule:
    """What the reducer must know of a quality band."""

    spec: BandSpec
    policy: str = "conservative"
    min_valid: Fraction = Fraction(0)
    fractions: bool = False
    """Whether to give the percentages of QA_FRACTIONS too."""


def flag(codes: np.ndarray, field: BitField, level: int = 1) -> np.ndarray:
    """Whether each code has a flag set, or a level of at least `level`: bool."""
    return (codes >> field.offset & (1 << field.length) - 1) >= level


def cloudy(codes: np.ndarray, spec: BandSpec) -> np.ndarray:
    """Whether each code has a flag that obscures the ground, the opposite of clear: for USGS cloud or dilated cloud."""
    return (codes & obscuring(spec)) != 0


def percent_flag(codes: np.ndarray, spec: BandSpec, name: str) -> np.ndarray:
    """Whether each code counts for one band of QA_FRACTIONS: bool. Fill counts for none."""
    valid = (codes & fill_mask(spec)) == 0
    if name == "valid":
        return valid
    if name == "clear":
        return valid & ~cloudy(codes, spec)
    field = spec.field(name)
    return valid & flag(codes, field) if field else np.zeros_like(valid)


@cache
def _percent_table(spec: BandSpec) -> np.ndarray:
    """Percentages of a uniform cell by its code: uint64 of 8 bytes, one for each band of QA_FRACTIONS."""
    codes = np.arange(1 << 16).astype(np.uint16)
    table = np.zeros((len(codes), 8), np.uint8)
    for k, name in enumerate(fraction_names(spec)):
        table[:, k] = np.where(percent_flag(codes, spec, name), 100, 0)
        if name != "valid":
            table[(codes & fill_mask(spec)) != 0, k] = NO_PERCENT
    return table.view(np.uint64).ravel()


@cache
def meaning_of(spec: BandSpec, policy: str) -> Meaning | None:
    """The codes of a quality band as the C kernel needs them; None where it has too many levels."""
    fields = [field for field in spec.fields if field.rule != "clear" and field.name != "fill"]
    levels = [(field, level) for field in fields for level in levels_of(field)]
    if len(levels) > MOST_LEVELS:
        return None
    codes, table = np.arange(1 << 16).astype(np.uint16), np.zeros(1 << 16, MEANING)
    for k, (field, level) in enumerate(levels):
        table["reached"] |= flag(codes, field, level).astype(np.uint32) << np.uint32(k)
    for k, name in enumerate(fraction_names(spec)):
        table["question"] |= percent_flag(codes, spec, name).astype(np.uint8) << np.uint8(k)
    table["percent"] = _percent_table(spec).view(np.uint8).reshape(-1, 8)
    rules = [RULES.index(threshold(field, policy)) for field, _ in levels]
    clear = spec.field("clear")
    return Meaning(
        codes=table,
        levels=np.array([(r, f.mask, n << f.offset) for r, (f, n) in zip(rules, levels, strict=True)], np.int64),
        policy={"mode": 1, "nearest": 2}.get(policy, 0),
        fill_mask=fill_mask(spec),
        fill=empty_code(spec),
        clear=clear.mask if clear else 0,
        cloudy=obscuring(spec),
    )


@dataclass(frozen=True, slots=True)
class Histogram:
    """Area weight of each code in some cells."""

    codes: np.ndarray
    """Ascending, uint16."""
    counts: np.ndarray
    """(cells, codes), float64: whole numbers, exact below 2**53, in the type that products are fast in."""


@dataclass(frozen=True, slots=True)
class _Cells:
    """Partial result: one code where a cell is uniform, and what decides the others."""

    code: np.ndarray
    """(rows, cells): the code of uniform cells, or the centre's; anything in mixed ones."""
    mixed: np.ndarray
    """Flat indices of the mixed cells, ascending."""
    codes: np.ndarray
    """Codes among the pixels, ascending."""
    pixels: np.ndarray
    """The strip that the mixed cells are counted in; empty once counted."""
    strip: Strip
    counted: Histogram | None = None
    """Of all cells, where a cell spans several strips."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A reduced quality band."""

    codes: np.ndarray
    """(rows, cells), of the band's own type."""
    percent: np.ndarray | None
    """uint8 (bands of QA_FRACTIONS, rows, cells), if asked for."""
    code_counts: dict[int, int]
    """Source pixels by code."""

    @classmethod
    def of(cls, rule: QualityRule, codes: np.ndarray, percent: np.ndarray, counts: np.ndarray) -> Summary:
        """Make it from codes of 16 bits, and the pixels of each of the 65536."""
        stored = stored_as(codes, rule.spec).astype(rule.spec.dtype or np.uint16, copy=False)
        known = {int(code): int(counts[code]) for code in np.flatnonzero(counts)}
        return cls(stored, percent if len(percent) else None, known)


def reduce_quality(rule: QualityRule, overlay: Overlay, read: ReadRows) -> Summary:
    """Reduce a quality band, strip by strip."""
    shape = overlay.rows.size, overlay.columns.size
    planes = len(fraction_names(rule.spec)) if rule.fractions else 0
    codes: np.ndarray = np.empty(shape, np.uint16)
    percent: np.ndarray = np.empty((planes, *shape), np.uint8)
    answers = Answers(codes, percent, np.zeros(1 << 16, np.int64))
    meaning = meaning_of(rule.spec, rule.policy) if native.answers_quality(overlay) else None
    if meaning is None:
        for part, arrays in reduce_strips(Quality(rule, overlay, answers.counts), overlay, read):
            for whole, finished in zip((codes, percent), arrays, strict=False):
                whole[..., part, :] = finished
    else:
        for (strip,) in groups(overlay.rows, whole=True, limit=QUALITY_ROWS):
            least = least_area(overlay.extent(strip.first, strip.last), rule.min_valid) if rule.min_valid else None
            pixels = whole_codes(*read(strip.start, strip.stop), rule.spec)
            native.quality(pixels, overlay, strip, meaning, answers, least=least)
    return Summary.of(rule, codes, percent, answers.counts)


@dataclass(frozen=True, slots=True)
class Quality:
    """Reducer by histograms: without the extension, and for cells that do not fit a strip."""

    rule: QualityRule
    overlay: Overlay
    code_counts: np.ndarray
    """Source pixels of each code seen so far: int64 (65536,), filled as strips pass."""

    @property
    def whole(self) -> bool:
        """Whether cells need all of their pixels in one strip."""
        return self.rule.policy == "nearest"

    def partial(self, values: np.ndarray, ok: np.ndarray | None, strip: Strip) -> _Cells:
        codes = whole_codes(values, ok, self.rule.spec)
        own = _own_codes(codes, self.overlay, strip)
        self.code_counts[:] += own
        shared = codes[: shared_rows(self.overlay.rows, strip)]
        present = np.flatnonzero(own + count_codes(shared) if shared.size else own).astype(np.uint16)
        low, high = (fold(ufunc, codes, self.overlay, strip) for ufunc in (np.bitwise_and, np.bitwise_or))
        # Of those that reach beyond the image the valid share is one of the whole cell.
        edge = self.overlay.extent(strip.first, strip.last) != self.overlay.area(strip.first, strip.last)
        mixed = np.flatnonzero((low != high) | edge)
        code = self._centre(codes, strip) if self.rule.policy == "nearest" else low
        return _Cells(code, mixed, present, codes, strip)

    def merge(self, one: _Cells, other: _Cells) -> _Cells:
        """Join two parts of the same cells: the union of their codes, counted."""
        codes = np.union1d(one.codes, other.codes)
        counts = np.zeros((one.code.size, len(codes)))
        for part in (one, other):
            histogram = part.counted or self._count_all(part)
            counts[:, np.searchsorted(codes, histogram.codes)] += histogram.counts
        joined = Histogram(codes, counts)
        return _Cells(one.code, np.arange(one.code.size), codes, one.pixels[:0], one.strip, joined)

    def finish(self, cells: _Cells, first: int, last: int) -> tuple[np.ndarray, ...]:
        spec, nearest = self.rule.spec, self.rule.policy == "nearest"
        none = np.uint16(empty_code(spec))
        extent = self.overlay.extent(first, last)
        # A band may end before the last cells begin.
        empty = (cells.code & fill_mask(spec) != 0) | (self.overlay.area(first, last) == 0)
        code = np.where(empty, none, cells.code)
        percent = percent_of_uniform(self.rule.spec, code) if self.rule.fractions else None
        share = self.rule.min_valid
        least = least_area(extent, share) if share else np.ones(code.shape, np.int8)
        for part, histogram in self._histograms(cells):
            at = cells.mixed[part]
            valid = histogram.counts @ ((histogram.codes & fill_mask(spec)) == 0)
            decided = code.flat[at] if nearest else decide(self.rule, histogram, valid)
            code.flat[at] = np.where(valid < least.flat[at], none, decided)
            if percent is not None:
                percent.reshape(len(percent), -1)[:, at] = percentages(spec, histogram, valid, extent.flat[at])
        return (code,) if percent is None else (code, percent)

    def _centre(self, codes: np.ndarray, strip: Strip) -> np.ndarray:
        rows, columns = self.overlay.rows.centre[strip.first : strip.last] - strip.start, self.overlay.columns
        return codes[np.ix_(np.clip(rows, 0, len(codes) - 1), columns.centre)]

    def _histograms(self, cells: _Cells) -> Iterator[tuple[np.ndarray, Histogram]]:
        """Histograms of the mixed cells in bounded portions, each with which of them it is about."""
        if cells.counted:
            yield np.arange(len(cells.mixed)), cells.counted
            return
        portion = max(1, HISTOGRAM_SIZE // max(len(cells.codes), 1))
        if native.answers_histogram(self.overlay):
            yield from self._fast_histograms(cells, portion)
            return
        rank = np.zeros(1 << 16, np.intp)
        rank[cells.codes] = np.arange(len(cells.codes))
        for part, window in windows(self.overlay, cells.strip, cells.mixed, limit=portion):
            pixels = window.gather(cells.pixels)
            at = _run_starts(pixels)
            length = np.diff(at, append=pixels.size)
            if window.weight is not None:
                length = np.add.reduceat(window.weight.ravel(), at)
            slot = at // pixels.shape[1] * len(cells.codes) + rank[pixels.ravel()[at]]
            counts = np.bincount(slot, length, len(part) * len(cells.codes)).reshape(len(part), -1)
            yield part, Histogram(cells.codes, counts)

    def _fast_histograms(self, cells: _Cells, portion: int) -> Iterator[tuple[np.ndarray, Histogram]]:
        for begin in range(0, len(cells.mixed), portion):
            part = np.arange(begin, min(begin + portion, len(cells.mixed)))
            counts = native.histogram(cells.pixels, self.overlay, cells.strip, cells.mixed[part], cells.codes)
            yield part, Histogram(cells.codes, counts)

    def _count_all(self, cells: _Cells) -> Histogram:
        counts = np.zeros((cells.code.size, len(cells.codes)))
        for part, histogram in self._histograms(replace(cells, mixed=np.arange(cells.code.size))):
            counts[part] = histogram.counts
        return Histogram(cells.codes, counts)


def percent_of_uniform(spec: BandSpec, code: np.ndarray) -> np.ndarray:
    """Bands of QA_FRACTIONS for cells that hold one code, uint8 (bands, ...)."""
    table = _percent_table(spec)[code].view(np.uint8).reshape(*code.shape, 8)
    return np.ascontiguousarray(np.moveaxis(table, -1, 0)[: len(fraction_names(spec))])


def decide(rule: QualityRule, histogram: Histogram, valid: np.ndarray) -> np.ndarray:
    """Code of each cell, by the policy, from its histogram and the weight of its valid pixels."""
    data = (histogram.codes & fill_mask(rule.spec)) == 0
    codes, counts = histogram.codes[data], histogram.counts[:, data]
    if not len(codes):
        return np.zeros(len(valid), np.uint16)
    most: np.ndarray = codes[np.argmax(counts, axis=1)]
    if rule.policy == "mode":
        return most
    alone = counts.max(axis=1) == valid  # one code beside fill: give it back as it is
    return np.where(alone, most, decide_fields(rule.spec, rule.policy, codes, counts, valid))


def percentages(spec: BandSpec, histogram: Histogram, valid: np.ndarray, extent: np.ndarray) -> np.ndarray:
    """Bands of QA_FRACTIONS for some cells, uint8 (bands, cells), from their histogram, valid and whole weight."""
    names = fraction_names(spec)
    questions = np.stack([percent_flag(histogram.codes, spec, name) for name in names], axis=1)
    parts = np.ascontiguousarray((histogram.counts @ questions.astype(np.float64)).T)
    out = np.empty((len(names), len(valid)), np.uint8)
    for k, name in enumerate(names):
        whole = extent if name == "valid" else valid
        out[k] = divide_half_even(parts[k] * 100, whole, 200 * int(extent.max(initial=0)))
        if name != "valid":
            out[k, valid == 0] = NO_PERCENT
    return out


def whole_codes(values: np.ndarray, ok: np.ndarray | None, spec: BandSpec) -> np.ndarray:
    """Pixels as codes of 16 bits; those that do not count lie outside."""
    codes = codes_of(values, spec).astype(np.uint16, copy=False)
    return np.ascontiguousarray(codes if ok is None else np.where(ok, codes, np.uint16(OUTSIDE)))


def _own_codes(codes: np.ndarray, overlay: Overlay, strip: Strip) -> np.ndarray:
    """Pixels of each code in a strip: int64 (65536,). A row that two strips share counts once."""
    return count_codes(codes[shared_rows(overlay.rows, strip) :])


def count_codes(codes: np.ndarray) -> np.ndarray:
    """Pixels of each of the 65536 codes."""
    counts = native.tally(codes)
    if counts is not None:
        return counts
    at = _run_starts(codes.reshape(1, -1))
    return np.bincount(codes.ravel()[at], np.diff(at, append=codes.size), 1 << 16).astype(np.int64)


def _run_starts(pixels: np.ndarray) -> np.ndarray:
    """Flat indices where a run of equal pixels starts; a run ends with its row."""
    edge = np.empty(pixels.shape, bool)
    edge[:, :1] = True
    np.not_equal(pixels[:, 1:], pixels[:, :-1], out=edge[:, 1:])
    return np.flatnonzero(edge)


def decide_fields(spec: BandSpec, policy: str, codes: np.ndarray, counts: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Code of each cell from its histogram of valid codes, field by field.

    A two-bit level is reduced as the thresholds "at least 1, 2, 3": any of them for the
    highest level, the majority of them for the median level. So two levels never mix into a
    third (01 | 10 = 11), and a flag and its confidence stay consistent.
    """
    out = np.zeros(len(counts), np.uint16)
    for field in spec.fields:
        if field.rule == "clear" or field.name == "fill":
            continue
        rule = threshold(field, policy)
        reached = np.zeros(len(counts), np.uint16)
        for level in levels_of(field):
            has = flag(codes, field, level)
            if has.any():
                reached[agrees(rule, counts @ has.astype(np.float64), valid)] = level
        out |= reached << np.uint16(field.offset)
    clear = spec.field("clear")
    if clear:
        out |= np.where(cloudy(out, spec), 0, clear.mask).astype(np.uint16)
    return out


def threshold(field: BitField, policy: str) -> str:
    """How many of the valid pixels must reach a level of a field: ``any``, ``majority`` or ``all``."""
    rule = "majority" if policy == "majority" else field.rule
    return rule if rule in ("majority", "all") else "any"


def levels_of(field: BitField) -> list[int]:
    """Levels above 0 that a code may hold; a reserved one in a source counts as the level below it."""
    top = 1 << field.length
    return [level for level in range(1, top) if not field.levels or field.levels[level] != "reserved"]


def agrees(rule: str, part: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Whether enough of the valid pixels of each cell reach a level, as `threshold` asks: bool."""
    if rule == "all":
        return part == valid
    if rule == "majority":
        return 2 * part >= valid  # a tie sets the flag: the cautious side
    return part > 0


def impossible(codes: np.ndarray, spec: BandSpec) -> np.ndarray:
    """Which codes this band cannot hold: bits outside its fields, reserved levels, or a level that is never 0.

    A pixel without data is always possible.
    """
    codes = np.asarray(codes, np.int64)
    known = sum(field.mask for field in spec.fields)
    bad = (codes & ~np.int64(known)) != 0
    for field in spec.fields:
        level = codes >> field.offset & (1 << field.length) - 1
        if "reserved" in field.levels:
            bad |= level == field.levels.index("reserved")
        if field.always:
            bad |= level == 0
    return bad & ((codes & fill_mask(spec)) == 0)


def check_codes(code_counts: dict[int, int], spec: BandSpec, name: str) -> int:
    """Refuse a quality band most of whose valid pixels hold codes it cannot have.

    Returns
    -------
    int
        Number of impossible pixels, when they are few enough to be a blemish.

    Raises
    ------
    SceneError
        More than half of the valid pixels are impossible: the file is not what its name says.
    """
    codes = np.array(sorted(code_counts), np.int64)
    counts = np.array([code_counts[int(code)] for code in codes], np.int64)
    valid = (codes & fill_mask(spec)) == 0
    bad = impossible(codes, spec) if len(codes) else np.zeros(0, bool)
    wrong = int(counts[bad].sum())
    if 2 * wrong > counts[valid].sum():
        worst = int(codes[bad][np.argmax(counts[bad])])
        raise SceneError(
            f"{name} holds code {worst}, which no {spec.name} of this sensor can have"
            f"{_looks_like(worst)}: check where the file comes from, or rename it to what it is"
        )
    return wrong


def _looks_like(code: int) -> str:
    for key, words in (("c1", "Collection 1"), ("pre", "pre-Collection")):
        if not impossible(np.array([code]), specs(key, 1)["BQA"])[0]:
            return f" (it looks like a {words} quality band)"
    return ""


def seem_classes(codes: np.ndarray, nodata: float | None, pixels: int) -> str:
    """Say so of integers that look like classes: a few different ones among many pixels, and not just 0 and 1.

    Parameters
    ----------
    codes : ndarray of int
        Distinct values of the pixels, or all of them.
    """
    found = np.setdiff1d(codes, [] if nodata is None else [nodata])
    if pixels < 1024 or not 1 < len(found) <= 16 or int(found[-1]) - int(found[0]) == 1:
        return ""
    return f"holds {len(found)} different whole numbers, which look like classes or codes, and was averaged"


def recognise(codes: np.ndarray, candidates: tuple[str, ...]) -> BandSpec | None:
    """The quality band whose table explains every code seen, or None.

    Parameters
    ----------
    codes : ndarray of int
        Distinct codes of the whole file.
    candidates : tuple of str
        ``c1``, ``pre`` or ``qa_pixel`` (Collection 2, all but MSS), the likeliest first.
    """
    tables = {
        "c1": (specs("c1", 1)["BQA"],),
        "pre": (specs("pre", 1)["BQA"],),
        # That of MSS has too few bits to distinguish it from an image.
        "qa_pixel": (specs("oli_tirs", 2)["QA_PIXEL"], specs("tm", 2)["QA_PIXEL"]),
    }
    for spec in (spec for key in candidates for spec in tables[key]):
        data = codes[(codes & fill_mask(spec)) == 0]
        if len(data) and not impossible(data, spec).any():
            return spec
    return None
