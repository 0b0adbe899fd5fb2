"""Reducers of bit fields: flag by flag, level by level, never an average of codes.

Most cells of a quality band hold one code only; two bitwise folds find them, and they give
back their code. For the others the pixels are counted by code, and every question (any,
all, majority, highest level, most frequent code, percent of cloud) is answered from that
histogram.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from landsat_downsample._bands import BandSpec, BitField, specs
from landsat_downsample._errors import SceneError, UsageError
from landsat_downsample._grid import Overlay
from landsat_downsample._kernels import Strip, divide_half_even, fold, sum_rows, windows
from landsat_downsample._reduce import cell_extent, too_few

POLICIES = ("conservative", "majority", "mode", "nearest")

#: Bands of QA_FRACTIONS, in order, where the sensor has their flag.
FRACTIONS = ("valid", "clear", "cloud", "cloud_shadow", "snow", "water", "cirrus")

#: Percent value of a cell without valid pixels.
NO_PERCENT = 255

#: Set on pixels that another band declares fill, in codes that have no fill bit of their own.
#: No quality band of Collection 2 that lacks a fill bit uses bit 15.
OUTSIDE = 1 << 15

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


def fraction_names(spec: BandSpec) -> tuple[str, ...]:
    """Bands of QA_FRACTIONS for a quality band: those whose flag the sensor has."""
    return tuple(name for name in FRACTIONS if name == "valid" or spec.field(name))


def flag(codes: np.ndarray, field: BitField, level: int = 1) -> np.ndarray:
    """Whether each code has a flag set, or a level of at least `level`: bool."""
    return (codes >> field.offset & (1 << field.length) - 1) >= level


def fill_mask(spec: BandSpec) -> int:
    """Bits that mark a pixel without data."""
    fill = spec.field("fill")
    return fill.mask if fill else OUTSIDE


def cloudy(codes: np.ndarray, spec: BandSpec) -> np.ndarray:
    """Whether each code says cloud or dilated cloud, the opposite of clear (USGS's definition)."""
    fields = [spec.field(name) for name in ("cloud", "dilated_cloud")]
    return (codes & sum(field.mask for field in fields if field)) != 0


def percent_flag(codes: np.ndarray, spec: BandSpec, name: str) -> np.ndarray:
    """Whether each code counts for one band of QA_FRACTIONS: bool. Fill counts for none."""
    valid = (codes & fill_mask(spec)) == 0
    if name == "valid":
        return valid
    if name == "clear":
        return valid & ~cloudy(codes, spec)
    return valid & flag(codes, spec.field(name))


@dataclass(frozen=True, slots=True)
class _Cells:
    """Partial result: one code where a cell is uniform, a histogram where it is not."""

    code: np.ndarray
    """(rows, cells): the code of uniform cells; anything in the mixed ones."""
    mixed: np.ndarray
    """Flat indices of the mixed cells, ascending."""
    codes: np.ndarray
    """Codes of the histogram, ascending."""
    counts: np.ndarray
    """(mixed cells, codes): area weight of each code, int64."""
    area: np.ndarray
    """(rows, cells): area weight of the pixels seen."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Reducer of a quality band; finishes into the code, and the percentages if asked."""

    rule: QualityRule
    overlay: Overlay
    tally: dict[int, int]
    """Pixels of each code seen so far (area weights where cells cut pixels): filled as strips pass."""

    @property
    def whole(self) -> bool:
        return self.rule.policy == "nearest"

    def partial(self, values: np.ndarray, ok: np.ndarray | None, strip: Strip) -> _Cells:
        codes = self._codes(values, ok)
        low = fold(np.bitwise_and, codes, self.overlay, strip)
        high = fold(np.bitwise_or, codes, self.overlay, strip)
        mixed = np.flatnonzero(low != high)
        area = self._area(strip)
        cells = _Cells(low, mixed, *self._histogram(codes, strip, mixed), area)
        self._count(cells)
        return replace(cells, code=self._centre(codes, strip)) if self.rule.policy == "nearest" else cells

    def merge(self, one: _Cells, other: _Cells) -> _Cells:
        """Join two parts of the same cells: the union of their codes, counted."""
        codes = np.union1d(np.union1d(one.codes, other.codes), np.union1d(one.code, other.code))
        counts = np.zeros((one.code.size, len(codes)), np.int64)
        for part in (one, other):
            counts[part.mixed[:, None], np.searchsorted(codes, part.codes)[None, :]] += part.counts
            uniform = np.setdiff1d(np.arange(part.code.size), part.mixed)
            counts[uniform, np.searchsorted(codes, part.code.ravel()[uniform])] += part.area.ravel()[uniform]
        return _Cells(one.code, np.arange(one.code.size), codes, counts, one.area + other.area)

    def finish(self, cells: _Cells, first: int, last: int) -> tuple[np.ndarray, ...]:
        spec = self.rule.spec
        valid_codes = (cells.codes & fill_mask(spec)) == 0
        valid = np.where((cells.code & fill_mask(spec)) == 0, cells.area, 0)
        valid.flat[cells.mixed] = cells.counts @ valid_codes
        code = cells.code.copy()
        if self.rule.policy != "nearest" and len(cells.mixed):
            code.flat[cells.mixed] = self._decide(cells, valid_codes, valid.flat[cells.mixed])
        empty = too_few(valid, self.overlay, first, self.rule.min_valid)
        if self.rule.policy == "nearest":
            empty |= (code & fill_mask(spec)) != 0
        code[empty] = spec.fill or 0
        stored = code.astype(spec.dtype or code.dtype)
        if not self.rule.fractions:
            return (stored,)
        return stored, self._percent(cells, valid, first, last)

    def _codes(self, values, ok):
        codes = values.astype(np.uint16) if values.dtype != np.uint16 else values
        return codes if ok is None else np.where(ok, codes, np.uint16(OUTSIDE))

    def _area(self, strip):
        rows = self.overlay.rows
        if strip.start <= rows.start[strip.first] and strip.stop >= rows.stop[strip.last - 1]:
            return cell_extent(self.overlay, strip.first, strip.last)
        ones = np.ones((strip.stop - strip.start, 1), np.uint8)
        return sum_rows(ones, rows, strip, np.int64) * self.overlay.columns.extent

    def _centre(self, codes, strip):
        return codes[np.ix_(self.overlay.rows.centre[strip.first : strip.last] - strip.start, self.overlay.columns.centre)]

    def _histogram(self, codes, strip, mixed):
        flat = np.ascontiguousarray(codes).ravel()
        seen = np.zeros(1 << 16, bool)
        for _, index, _ in windows(self.overlay, strip, mixed):
            seen[flat[index]] = True
        present = np.flatnonzero(seen).astype(np.uint16)
        rank = np.zeros(1 << 16, np.int32)
        rank[present] = np.arange(len(present))
        counts = np.zeros((len(mixed), len(present)), np.int64)
        for part, index, weight in windows(self.overlay, strip, mixed):
            slot = rank[flat[index]] + np.arange(len(index))[:, None] * len(present)
            sums = np.bincount(slot.ravel(), weight.ravel(), len(index) * len(present))
            counts[part] = sums.reshape(len(index), -1)
        return present, counts

    def _count(self, cells):
        uniform = np.ones(cells.code.size, bool)
        uniform[cells.mixed] = False
        sums = np.bincount(cells.code.ravel()[uniform], cells.area.ravel()[uniform])
        for code in np.flatnonzero(sums):
            self.tally[int(code)] = self.tally.get(int(code), 0) + int(sums[code])
        for code, count in zip(cells.codes, cells.counts.sum(0)):
            self.tally[int(code)] = self.tally.get(int(code), 0) + int(count)

    def _decide(self, cells, valid_codes, valid):
        codes, counts = cells.codes[valid_codes], cells.counts[:, valid_codes]
        if not len(codes):
            return np.zeros(len(cells.mixed), np.uint16)
        most = codes[np.argmax(counts, axis=1)]
        if self.rule.policy == "mode":
            return most
        alone = (counts > 0).sum(1) == 1  # one code beside fill: give it back as it is
        return np.where(alone, most, decide_fields(self.rule.spec, self.rule.policy, codes, counts, valid))

    def _percent(self, cells, valid, first, last):
        names = fraction_names(self.rule.spec)
        out = np.empty((len(names), *cells.code.shape), np.uint8)
        extent = cell_extent(self.overlay, first, last)
        for band, name in zip(out, names):
            part = np.where(percent_flag(cells.code, self.rule.spec, name), cells.area, 0)
            part.flat[cells.mixed] = cells.counts @ percent_flag(cells.codes, self.rule.spec, name)
            whole = extent if name == "valid" else valid
            band[:] = divide_half_even(part * 100, whole, 200 * int(extent.max()))
            if name != "valid":
                band[valid == 0] = NO_PERCENT
        return out


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
        rule = "majority" if policy == "majority" else field.rule
        reached = np.zeros(len(counts), np.uint16)
        for level in _levels(field):
            part = counts @ flag(codes, field, level)
            reached[_agrees(rule, part, valid)] = level
        out |= reached << np.uint16(field.offset)
    clear = spec.field("clear")
    if clear:
        out |= np.where(cloudy(out, spec), 0, clear.mask).astype(np.uint16)
    return out


def _levels(field: BitField) -> list[int]:
    """Levels above 0 that a code may hold; a reserved one in a source counts as the level below it."""
    top = 1 << field.length
    return [level for level in range(1, top) if not field.levels or field.levels[level] != "reserved"]


def _agrees(rule: str, part: np.ndarray, valid: np.ndarray) -> np.ndarray:
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


def check_tally(tally: dict[int, int], spec: BandSpec, name: str) -> int:
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
    codes = np.array(sorted(tally), np.int64)
    counts = np.array([tally[int(code)] for code in codes], np.int64)
    valid = (codes & fill_mask(spec)) == 0
    bad = impossible(codes, spec) if len(codes) else np.zeros(0, bool)
    wrong = int(counts[bad].sum())
    if 2 * wrong > counts[valid].sum():
        worst = int(codes[bad][np.argmax(counts[bad])])
        raise SceneError(
            f"{name} holds code {worst}, which no {spec.name} of this sensor in Collection 2 can have"
            f"{_looks_like(worst)}: check where the file comes from, or rename it to what it is"
        )
    return wrong


def _looks_like(code: int) -> str:
    for key, words in (("c1", "Collection 1"), ("pre", "pre-Collection")):
        if not impossible(np.array([code]), specs(key, 1)["BQA"])[0]:
            return f" (it looks like a {words} quality band)"
    return ""


def recognise(codes: np.ndarray, candidates: tuple[str, ...]) -> BandSpec | None:
    """The quality band whose table explains every code seen, or None.

    Parameters
    ----------
    codes : ndarray of int
        Distinct codes of the whole file.
    candidates : tuple of str
        ``c1``, ``pre`` or ``qa_pixel`` (any Collection 2 sensor), the likeliest first.
    """
    tables = {
        "c1": specs("c1", 1)["BQA"],
        "pre": specs("pre", 1)["BQA"],
        "qa_pixel": specs("oli_tirs", 2)["QA_PIXEL"],
    }
    for key in candidates:
        spec = tables[key]
        data = codes[(codes & fill_mask(spec)) == 0]
        if len(data) and not impossible(data, spec).any():
            return spec
    return None


def check_policy(policy: str) -> str:
    """Return a known policy name, or raise UsageError."""
    if policy not in POLICIES:
        raise UsageError(f"qa policy {policy!r} is unknown: choose one of {', '.join(POLICIES)}")
    return policy


def mask_bits(spec: BandSpec, flags: tuple[str, ...]) -> int:
    """Bits of QA_PIXEL that a mask of flags tests.

    Raises
    ------
    UsageError
        This sensor's quality band has no such flag.
    """
    bits = 0
    for name in flags:
        field = spec.field(name)
        if field is None or field.length != 1 or field.name in ("fill", "clear"):
            have = ", ".join(f.name for f in spec.fields if f.length == 1 and f.name not in ("fill", "clear"))
            raise UsageError(f"mask {name!r} is not a flag of this scene's {spec.name}: choose from {have}")
        bits |= field.mask
    return bits
