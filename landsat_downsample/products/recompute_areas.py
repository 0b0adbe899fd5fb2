"""Cells of another projection recomputed from the areas that their outlines give: the second code path of `verify`.

Outlines and reducers agree within 0.001 of a pixel, so that a cell is right where it lies within what such weights can
give. Of decisions that hang on a sliver or on a tie nothing is said.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from landsat_downsample.model.bands import BandSpec, BitField
from landsat_downsample.model.flags import fraction_names
from landsat_downsample.model.indices import Index, index_of
from landsat_downsample.products.cell_outline import TOUCH, CellAreas
from landsat_downsample.products.source_pixels import SourcePixels, has_flag

#: By how many pixels the weight of one that a cell cuts may be off.
WEIGHT = TOUCH

#: What no value of a fraction is: no pixel of the cell is valid.
NO_PERCENT = 255

Range = tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class AreaCell:
    """The valid pixels of a cell: those it holds a part of, and those it may touch."""

    values: np.ndarray
    shares: np.ndarray
    near: np.ndarray
    """Values of pixels that the cell may touch."""
    slack: float
    """By how much the area of its valid pixels may be off."""
    area: float
    """Of the whole cell."""
    min_valid: float
    unit: float
    """Radians of a stored unit, for angles."""
    index: Index | None = None
    """What is made of the means of several bands, whose values are (bands, pixels) then."""

    @classmethod
    def of(cls, source: SourcePixels, areas: CellAreas) -> AreaCell:
        """Read the pixels under a cell."""
        values, counts = source.read(areas.row, areas.column, *areas.shares.shape)
        spec, least = source.target.band.spec, source.target.min_valid
        if spec.kind == "bits" and (fill := spec.field("fill")):
            counts &= values & np.array(fill.mask, values.dtype) == 0
        held = counts & (areas.shares > 0)
        cut = int((counts & areas.near & (areas.shares < 1 - TOUCH)).sum())
        shares, near = areas.shares[held], values[..., counts & areas.near]
        wide = np.int64 if values.dtype.kind in "iu" else np.float64
        scale, offset = source.target.scaling or (1, 0)
        numbers = [part.astype(wide) * scale + offset for part in (values[..., held], near)]
        unit = math.radians(1 if source.target.scaling else spec.scale or 1)
        index = index_of(source.target.index) if values.ndim > 2 else None
        return cls(numbers[0], shares, numbers[1], WEIGHT * cut, areas.area, least, unit, index)

    @property
    def whole(self) -> bool:
        """Whether values are whole numbers, which results are rounded to."""
        return self.values.dtype.kind == "i"

    @property
    def covered(self) -> float:
        """Area of the valid pixels."""
        return float(self.shares.sum())

    @property
    def sure(self) -> np.ndarray:
        """Values of pixels that the cell touches beyond doubt."""
        return self.values[..., self.shares > TOUCH]

    @property
    def three(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Values of the pixels that it holds, surely touches and may touch."""
        return self.values, self.sure, self.near

    @property
    def enough(self) -> bool | None:
        """Whether valid pixels cover the share that was asked for; None where nobody can tell."""
        if not self.near.size:
            return False
        least, off = self.min_valid * self.area, self.slack + self.min_valid * WEIGHT * 4 * math.sqrt(self.area)
        if self.covered - off > least and self.sure.size:
            return True
        return False if self.covered + off < least else None

    def spread(self, terms: np.ndarray) -> float:
        """By how much a mean of terms of the pixels, whose middle is 0, may be off: errors of weights partly cancel."""
        cut = self.shares < 1 - TOUCH
        return WEIGHT * float(np.linalg.norm(terms[cut].astype(np.float64))) / self.covered

    def mean(self, terms: np.ndarray) -> float:
        """The mean of terms of the pixels."""
        return float((self.shares * terms).sum() / self.covered)


def wrong(cell: AreaCell, got: float, method: str, nodata: float | None) -> str:
    """Say what a cell should hold, where it holds something else; nothing where it is right, or in doubt."""
    if method == "count":
        return _outside(got, _around(cell.covered, cell.slack))
    is_fill = nodata is not None and (got == nodata or (math.isnan(nodata) and math.isnan(got)))
    if cell.enough is not True:
        return f"{nodata:g}, as fill" if cell.enough is False and nodata is not None and not is_fill else ""
    return _index_of_means(cell, cell.index, got) if cell.index else _CHECKS[method](cell, got)


def checkable(method: str, spec: BandSpec) -> bool:
    """Whether there is a second code path for a method."""
    return method in _CHECKS or method == "count" or (method in ("conservative", "majority") and bool(spec.fields))


def _around(middle: float, off: float) -> Range:
    return middle - off, middle + off


def _outside(got: float, limits: Range) -> str:
    """What is expected where a value lies outside of its limits; beyond them float32 may round."""
    low, high = limits
    hair = 1e-6 * max(abs(low), abs(high))
    if low - hair <= got <= high + hair:
        return ""
    return f"{low:.6g}" if high - low < 1e-6 * abs(low) else f"{low:.6g} to {high:.6g}"


def _rounded(cell: AreaCell, off: float) -> float:
    """By how much a result may be off: at least by 1 where it is a whole number."""
    return max(1.0, off + 0.5) if cell.whole else off


def _mean(cell: AreaCell, got: float) -> str:
    middle = cell.mean(cell.values)
    return _outside(got, _around(middle, _rounded(cell, cell.spread(cell.values - middle))))


def _index_of_means(cell: AreaCell, index: Index, got: float) -> str:
    means = [cell.mean(band) for band in cell.values]
    middle, off = float(index.value(*means)), 0.0
    for k, mean in enumerate(means):
        spread = cell.spread(cell.values[k] - mean)
        moved = (index.value(*means[:k], mean + sign * spread, *means[k + 1 :]) for sign in (-1, 1))
        off += max(abs(float(value) - middle) for value in moved)
    if math.isnan(middle) or math.isnan(got):
        return "" if math.isnan(middle) == math.isnan(got) else f"{middle:.6g}"
    return _outside(got, _around(middle, off))


def _rms(cell: AreaCell, got: float) -> str:
    squares = cell.values.astype(np.float64) ** 2
    middle = cell.mean(squares)
    root = math.sqrt(middle)
    off = cell.spread(squares - middle) / (2 * root or 1)
    return _outside(got, _around(root, _rounded(cell, off)))


def _std(cell: AreaCell, got: float) -> str:
    squares = (cell.values - cell.mean(cell.values)) ** 2
    middle = cell.mean(squares)
    low, high = _around(middle, cell.spread(squares - middle))
    return _outside(got, (math.sqrt(max(low, 0)), math.sqrt(high)))


def _sum(cell: AreaCell, got: float) -> str:
    off = WEIGHT * float(np.abs(cell.values[cell.shares < 1 - TOUCH]).sum())
    return _outside(got, _around(cell.mean(cell.values) * cell.covered, off))


def _min(cell: AreaCell, got: float) -> str:
    return _outside(got, (float(cell.near.min()), float(cell.sure.min())))


def _max(cell: AreaCell, got: float) -> str:
    return _outside(got, (float(cell.sure.max()), float(cell.near.max())))


def _median(cell: AreaCell, got: float) -> str:
    order = np.argsort(cell.values, kind="stable")
    values, running = cell.values[order], np.cumsum(cell.shares[order])
    half = running[-1] / 2
    low, high = (values[min(int(np.searchsorted(running, half + off)), len(values) - 1)] for off in _slack(cell))
    rounding = 0.5 if cell.whole else 0.0
    return _outside(got, (float(low) - rounding, float(high) + rounding))


def _slack(cell: AreaCell) -> Range:
    return -cell.slack - 1e-9, cell.slack + 1e-9


def _mode(cell: AreaCell, got: float) -> str:
    values, at = np.unique(cell.values, return_inverse=True)
    areas = np.bincount(at, cell.shares)
    best = areas.max()
    likely = values[areas >= best - 2 * cell.slack]
    return "" if np.isclose(got, likely, rtol=1e-6, atol=0).any() else " or ".join(f"{value:g}" for value in likely[:3])


def _circular(cell: AreaCell, got: float) -> str:
    angles = cell.values * cell.unit
    east, north = cell.mean(np.sin(angles)), cell.mean(np.cos(angles))
    length = math.hypot(east, north) * cell.covered
    off = (1 if cell.whole else 0.01) + (cell.slack / length / cell.unit if length else math.inf)
    expected, turn = math.atan2(east, north) / cell.unit, 2 * math.pi / cell.unit
    apart = abs((got - expected + turn / 2) % turn - turn / 2)
    return "" if apart <= off else f"{expected:.6g}"


_CHECKS: dict[str, Callable[[AreaCell, float], str]] = {
    "mean": _mean,
    "rms": _rms,
    "std": _std,
    "sum": _sum,
    "min": _min,
    "max": _max,
    "median": _median,
    "mode": _mode,
    "circular": _circular,
}


# --- quality bands


def wrong_code(cell: AreaCell, got: int, policy: str, spec: BandSpec) -> str:
    """The same of a code that was decided field by field."""
    fill = spec.fill or 0
    if cell.enough is not True:
        return f"{fill}, as fill" if cell.enough is False and got != fill else ""
    alone = np.unique(cell.near)
    if len(alone) == 1:
        return "" if got == alone[0] else str(alone[0])
    if len(np.unique(cell.sure)) == 1:  # a sliver decides whether that code is given back as it is
        return ""
    fields = [field for field in spec.fields if field.rule != "clear" and field.name != "fill"]
    levels = {field.name: _level(cell, field, policy) for field in fields}
    clear = spec.field("clear")
    if clear:
        clouds = [levels[field.name] for field in spec.fields if field.obscures]
        fields.append(clear)
        levels[clear.name] = None if None in clouds else int(not any(clouds))
    off = [
        f"{field.name} {level}"
        for field in fields
        if (level := levels[field.name]) is not None and (got & field.mask) >> field.offset != level
    ]
    return ", ".join(off)


def _level(cell: AreaCell, field: BitField, policy: str) -> int | None:
    """Level of a field; None where it hangs on a sliver or a tie."""
    rule = "majority" if policy == "majority" else field.rule
    reached = 0
    for level in range(1, 1 << field.length):
        if field.levels and field.levels[level] == "reserved":
            continue
        answer = _reaches(cell, rule, *((codes & field.mask) >> field.offset >= level for codes in cell.three))
        if answer is None:
            return None
        reached = level if answer else reached
    return reached


def _reaches(cell: AreaCell, rule: str, has: np.ndarray, sure: np.ndarray, near: np.ndarray) -> bool | None:
    """Whether pixels that have something decide for it, by a rule of how many must; which have it, as of `three`."""
    if rule == "majority":
        over = 2 * float(cell.shares[has].sum()) - cell.covered
        return None if abs(over) <= 2 * cell.slack + 1e-9 else over > 0
    surely, perhaps = (bool(some.all() if rule == "all" else some.any()) for some in (sure, near))
    return surely if surely == perhaps else None


def wrong_percent(cell: AreaCell, got: Sequence[int], spec: BandSpec) -> str:
    """The same of the shares of pixels in a cell, in percent, of which each may be off by one."""
    for name, percent in zip(fraction_names(spec), got, strict=True):
        if name == "valid":
            expected = 100 * cell.covered / cell.area
        elif cell.covered <= cell.slack:  # perhaps none
            continue
        else:
            expected = 100 * cell.mean(_counted(cell.values, spec, name))
        if not len(cell.near) and name != "valid":
            expected = NO_PERCENT
        if abs(percent - expected) > 1:
            return f"{name} {expected:.4g}"
    return ""


def _counted(codes: np.ndarray, spec: BandSpec, name: str) -> np.ndarray:
    """Whether each valid code counts for a fraction."""
    names = [field.name for field in spec.fields if field.obscures] if name == "clear" else [name]
    found: np.ndarray = np.logical_or.reduce([has_flag(codes, spec, one) for one in names])
    return ~found if name == "clear" else found
