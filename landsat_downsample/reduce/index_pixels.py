"""An index of pixels as whole numbers, and of means: what gives the same bytes in any order, by any number of threads.

Of bands that are stored as integers with a scale and an offset, numerator and denominator of an index are whole
numbers, up to one common factor: both are exact in float64, and so is the question whether the denominator is 0. Their
quotient is rounded twice, to float64 and to a multiple of 2**-24, and never again until the cell is stored. Multiples
are added up as integers, without loss, whatever strips an image is cut into.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property

import numpy as np

from landsat_downsample.model.band import Band
from landsat_downsample.model.cells import Overlay
from landsat_downsample.model.indices import INDEX_OF_MEANS, Index, Scaling, Terms, index_of
from landsat_downsample.reduce import native
from landsat_downsample.reduce.areas import Areas
from landsat_downsample.reduce.kernels import Strip
from landsat_downsample.reduce.rule import Rule
from landsat_downsample.reduce.values import Moments, Parts, too_few, valid_pixels

#: The part of 1 that an index is counted in: half of what float32 can tell apart below 1.
BITS = 24

#: What stands for a pixel that has no index.
NONE = np.iinfo(np.int32).min

#: Pixels that are computed at one time, so that what becomes of them stays in the processor's cache.
PORTION = 1 << 15

#: Rows of a strip: what becomes of the pixels of several bands is to stay in the cache too.
ROWS = 64

#: Numbers below are exact in float64.
_EXACT = 1 << 53


@dataclass(frozen=True)
class IndexPixels:
    """How the pixels of an index come of those of its bands.

    Parameters
    ----------
    index : Index
    scalings : tuple of (float, float)
        Scale and offset of each band; (1, 0) of physical values.
    nodata : tuple of float or None
        Of each band, beside NaN.
    """

    index: Index
    scalings: tuple[Scaling, ...]
    nodata: tuple[float | None, ...]

    @classmethod
    def of(cls, index: str, bands: Iterable[Band]) -> IndexPixels:
        """Of bands as their headers describe them."""
        pairs = [(band.scaling or (1.0, 0.0), band.spec.fill if band.nodata is None else band.nodata) for band in bands]
        return cls(index_of(index), tuple(s for s, _ in pairs), tuple(n for _, n in pairs))

    @cached_property
    def terms(self) -> Terms | None:
        """Whole factors of stored numbers; None where there are none, or too large ones."""
        found = self.index.terms(self.scalings)
        most = max((sum(map(abs, side)) for side in (found.numerator, found.denominator)), default=0) if found else 0
        return found if most << 16 < _EXACT else None

    def valid(self, values: Sequence[np.ndarray], ok: np.ndarray | None) -> np.ndarray | None:
        """Which pixels hold data in all bands; None where all do."""
        for band, nodata in zip(values, self.nodata, strict=True):
            ok = valid_pixels(band, ok, nodata)
        return ok

    def whole(self, values: Sequence[np.ndarray], ok: np.ndarray | None) -> np.ndarray:
        """The index of pixels in multiples of 2**-24, int32; `NONE` where it has none: same shape.

        Parameters
        ----------
        values : sequence of ndarray
            Pixels of each band, as stored: (rows, width).
        ok : ndarray of bool, or None
            Which count besides those that hold data.
        """
        if self.terms and len(values) > 1:
            limits = *self.index.limits, 1 << BITS
            made = native.index_pixels(values, ok, self.nodata, (self.terms.numerator, self.terms.denominator, limits))
            if made is not None:
                return made
        shape = values[0].shape
        out = np.empty(shape, np.int32)
        step = max(1, PORTION // max(shape[1], 1))
        for start in range(0, shape[0], step):
            rows = slice(start, start + step)
            part = [band[rows] for band in values]
            made = self.physical(part)
            good = self.valid(part, None if ok is None else ok[rows])
            made = np.rint(made * (1 << BITS))
            made[np.isnan(made) if good is None else ~good | np.isnan(made)] = NONE
            out[rows] = made
        return out

    def given(
        self, values: Sequence[np.ndarray], ok: np.ndarray | None, rule: Rule
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """What rules reduce, and which pixels count: the bands for an index of means, else the index itself."""
        if isinstance(rule, MeansRule):
            return np.asarray(values), self.valid(values, ok)
        return self.whole(values, ok), None

    def physical(self, values: Sequence[np.ndarray]) -> np.ndarray:
        """The index of stored numbers, be they data or not, float64; NaN where it has none."""
        if self.terms and all(band.dtype.kind in "iu" and band.dtype.itemsize <= 2 for band in values):
            return self.index.ratio(*self.terms.of([band.astype(np.float64) for band in values]))
        pairs = zip(values, self.scalings, strict=True)
        return self.index.value(*(band.astype(np.float64) * scale + offset for band, (scale, offset) in pairs))

    def of_sums(self, sums: Sequence[np.ndarray], count: np.ndarray) -> np.ndarray:
        """The index of the means that sums of stored numbers make, float64; NaN where there is none."""
        totals = [total.astype(np.float64) for total in sums]
        if self.terms:
            return self.index.ratio(*self.terms.of(totals, count.astype(np.float64)))
        pairs = zip(totals, self.scalings, strict=True)
        return self.index.value(*(total / np.maximum(count, 1) * scale + offset for total, (scale, offset) in pairs))


@dataclass(frozen=True, slots=True)
class MeansRule(Rule):
    """As of `Rule`, of an index of the means of bands: `dtype` is theirs."""

    pixels: IndexPixels = field(kw_only=True)


def index_rules(
    pixels: IndexPixels, order: str, methods: Sequence[str], dtype: np.dtype, min_valid: Fraction
) -> list[Rule]:
    """What to do, by each method, with what `IndexPixels.whole` gives; for an index of means with bands of a type."""
    nothing, cells = float("nan"), np.dtype(np.float32)
    rule = Rule("mean", np.dtype(np.int32), NONE, nothing, False, min_valid, 1.0, (2.0**-BITS, 0.0), cells, 1 << BITS)
    if order == INDEX_OF_MEANS:
        rule = MeansRule("mean", dtype, None, nothing, False, min_valid, 1.0, (1.0, 0.0), cells, pixels=pixels)
    counted = {method: method == "count" for method in methods}
    rule = replace(rule, strip_rows=ROWS)
    return [replace(rule, method=m, fill=0 if c else nothing, fill_is_legal=c) for m, c in counted.items()]


class IndexOfMeans:
    """The index of the bands' means over pixels that hold data in all of them: of sums, which are exact.

    As of `Reducer`; pixels are those of all bands, (bands, rows, width).
    """

    whole = False

    def __init__(self, rules: Sequence[MeansRule], overlay: Overlay | Areas) -> None:
        self._rules, self._overlay, self._bands = rules, overlay, len(rules[0].pixels.index.bands)
        self._sums = Moments(replace(rules[0], method="mean"), overlay)

    def partial(self, values: np.ndarray, ok: np.ndarray | None, strip: Strip) -> Parts:
        """The area of the pixels that count, and a sum for each band."""
        if not values.size and isinstance(self._overlay, Overlay):  # all of its cells lie beyond the image
            values = np.zeros((self._bands, 1, values.shape[-1]), values.dtype)
            ok = np.zeros(values.shape[1:], bool)
        planes = values if values.size else [values] * self._bands
        made = [self._sums.partial(plane, ok, strip) for plane in planes]
        return made[0][0], *(total for _, total in made)

    def merge(self, one: Parts, other: Parts) -> Parts:
        """Join what two strips gave of the same cells."""
        return self._sums.merge(one, other)

    def finish(self, partial: Parts, first: int, last: int) -> Parts:
        """The index, and the count, as they are asked for."""
        count, *sums = partial
        made: dict[str, np.ndarray] = {"count": count / self._overlay.unit}
        index, least = self._rules[0].pixels.of_sums(sums, count), self._rules[0].min_valid
        index[too_few(count, self._overlay, first, least)] = np.nan
        made["mean"] = index
        return tuple(made[rule.method].astype(rule.stored) for rule in self._rules)
