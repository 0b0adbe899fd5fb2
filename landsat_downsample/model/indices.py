"""Spectral indices: of which bands they are made, how, and who defined them. Pure."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from importlib import resources
from math import lcm
from typing import Any

import numpy as np

from landsat_downsample.errors import UsageError
from landsat_downsample.model.bands import BandSpec
from landsat_downsample.model.nearest import did_you_mean

#: Which comes first, the index of each pixel or the mean of each band. The first one is the default.
ORDERS = MEAN_OF_INDEX, INDEX_OF_MEANS = ("mean-of-index", "index-of-means")

#: What is added to the names of indices of means, so that nobody takes one for the other.
OF_MEANS = "_OF_MEANS"

#: Common names of bands, and those of the same of other sensors.
_ALSO = {"lwir11": ("lwir",)}

#: Scale and offset of the values of a band.
Scaling = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Terms:
    """Numerator and denominator of an index as sums of whole multiples of stored numbers, so that both are exact."""

    numerator: tuple[int, ...]
    """Of each band, and the constant."""
    denominator: tuple[int, ...]

    def of(self, values: Sequence[Any], one: Any = 1) -> tuple[Any, Any]:
        """Both for stored numbers of the bands; of sums of `one` as many numbers as it says."""
        above, below = (
            sum((factor * value for factor, value in zip(factors, [*values, one], strict=True) if factor), 0)
            for factors in (self.numerator, self.denominator)
        )
        return above, below


@dataclass(frozen=True, slots=True)
class Index:
    """A spectral index, of physical values: reflectance, or kelvin.

    Examples
    --------
    >>> index = index_of("NDVI")
    >>> index.bands, index.formula, index.value(0.5, 0.25)
    (('nir08', 'red'), '(nir08 - red) / (nir08 + red)', array(0.33333333))
    """

    name: str
    title: str
    numerator: str
    denominator: str
    """As Python writes them, of the names of `bands`."""
    bands: tuple[str, ...]
    """Common names of its bands, in the order in which numerator and denominator name them."""
    source: str
    """Who defined it."""
    unit: str = "1"
    """Of the index, and of its bands."""

    @property
    def limits(self) -> tuple[float, float]:
        """Beyond them the nearer one is taken: see ``indices.json``."""
        return (-1.0, 1.0) if self.unit == "1" else (-np.inf, np.inf)

    @property
    def plain(self) -> bool:
        """Whether it is a band as it is, by a name that all sensors share."""
        return self.formula in self.bands

    @property
    def formula(self) -> str:
        """In one line, for people."""
        if self.denominator == "1":
            return self.numerator
        parts = self.numerator, self.denominator
        above, below = (f"({part})" if re.search(r" [-+] [^()]*(\(|$)", part) else part for part in parts)
        return f"{above} / {below}"

    def exact(self, values: Iterable[Any]) -> tuple[Any, Any]:
        """Numerator and denominator of fractions, which they are again where the formula has no root."""
        known = dict(zip(self.bands, values, strict=True))
        above, below = (
            _evaluated(re.sub(r"(?<![\w.])[\d.]+", r"Fraction('\g<0>')", part), known)
            for part in (self.numerator, self.denominator)
        )
        return above, below

    def value(self, *values: Any) -> np.ndarray:
        """The index of physical values, float64: within its limits, NaN where it has none.

        It has none where the denominator is 0, or a value is NaN.
        """
        known = {band: np.asarray(value, np.float64) for band, value in zip(self.bands, values, strict=True)}
        with np.errstate(all="ignore"):
            return self.ratio(_evaluated(self.numerator, known), _evaluated(self.denominator, known))

    def ratio(self, above: Any, below: Any) -> np.ndarray:
        """Numerator by denominator, as of `value`."""
        with np.errstate(all="ignore"):
            made = np.divide(above, below, dtype=np.float64)
            return np.where(np.isfinite(made), np.clip(made, *self.limits), np.nan)

    def terms(self, scalings: Iterable[Scaling]) -> Terms | None:
        """Whole factors of numbers stored with scales and offsets; None of a formula with a root."""
        if "**" in self.numerator:
            return None
        exact = [(Fraction(repr(float(scale))), Fraction(repr(float(offset)))) for scale, offset in scalings]
        none, size = [Fraction(0)] * len(self.bands), range(len(self.bands))
        constant = self.exact(none)
        by_band = [self.exact([*none[:k], Fraction(1), *none[k + 1 :]]) for k in size]
        both = []
        for side in (0, 1):
            factors = [by_band[k][side] - constant[side] for k in size]
            shift = sum(factor * offset for factor, (_, offset) in zip(factors, exact, strict=True))
            both.append([f * scale for f, (scale, _) in zip(factors, exact, strict=True)] + [constant[side] + shift])
        whole = lcm(*(Fraction(factor).denominator for side in both for factor in side))
        above, below = (tuple(int(factor * whole) for factor in side) for side in both)
        return Terms(above, below)

    def told(self, order: str) -> str:
        """Formula and order in words."""
        if self.plain:
            return self.formula
        return f"mean of {self.formula}" if order == MEAN_OF_INDEX else f"{self.formula} of means"

    def spec(self, order: str = MEAN_OF_INDEX) -> BandSpec:
        """What a band of it is: ``NDVI``, or ``NDVI_OF_MEANS``."""
        means = order == INDEX_OF_MEANS and not self.plain  # of which both orders give the same
        name = self.name.upper() + (OF_MEANS if means else "")
        title = self.title[0].upper() + self.title[1:] + (", of the bands' means" if means else "")
        return BandSpec(name, "continuous", title, dtype="float32", unit=self.unit, key=name.lower())


@cache
def _table() -> dict[str, Index]:
    record = json.loads(resources.files(__package__).joinpath("indices.json").read_text("utf-8"))
    made = {}
    for name, row in record["indices"].items():
        words = re.findall(r"[a-z]\w*", f"{row['numerator']} {row['denominator']}")
        made[name] = Index(name, bands=tuple(dict.fromkeys(words)), **row)
    return made


def _evaluated(formula: str, values: dict[str, Any]) -> Any:
    """What a formula of our own table gives."""
    return eval(_compiled(formula), {"__builtins__": {}, "Fraction": Fraction}, values)


@cache
def _compiled(formula: str) -> Any:
    return compile(formula, "indices.json", "eval")


#: By name.
INDICES = _table()


def index_of(name: str) -> Index:
    """The index of a name, in any case.

    Raises
    ------
    UsageError
        There is none of this name.
    """
    found = INDICES.get(name.lower())
    if found is None:
        near = did_you_mean(name.lower(), INDICES)
        raise UsageError(f"index {name!r} is unknown{near}: choose one of {', '.join(INDICES)}")
    return found


def check_indices(names: Iterable[str]) -> tuple[str, ...]:
    """Known indices, each once, in small letters; or raise UsageError."""
    return tuple(dict.fromkeys(index_of(str(name)).name for name in names))


def check_order(order: str) -> str:
    """Return a known order, or raise UsageError."""
    if order not in ORDERS:
        near = did_you_mean(str(order), ORDERS)
        raise UsageError(f"index order {order!r} is unknown{near}: choose one of {', '.join(ORDERS)}")
    return order


def common_names(band: str) -> tuple[str, ...]:
    """What a band of an index may be called, by sensor."""
    return (band, *_ALSO.get(band, ()))


def stats_of(index: Index, order: str, asked: Iterable[str]) -> tuple[str, ...]:
    """Those of some statistics that an index gives: all, or of means its own and the count of their pixels."""
    if order == MEAN_OF_INDEX or index.plain:
        return tuple(asked)
    found = tuple(stat for stat in asked if stat in ("mean", "count"))
    return found if "mean" in found else ()


def warn_of_stats(names: Iterable[str], order: str, asked: Iterable[str] | None) -> None:
    """Tell of statistics that are asked for and that an index of means does not have."""
    asked = tuple(asked or ())
    means = [name for name in names if not index_of(name).plain]
    if means and (lost := set(asked).difference(stats_of(index_of(means[0]), order, asked))):
        warnings.warn(
            f"no {', '.join(stat for stat in asked if stat in lost)} of {', '.join(means)}: an index of means has its "
            f"mean, and the count beside it; index order {MEAN_OF_INDEX} gives all",
            stacklevel=3,
        )


def called(name: str) -> tuple[Index, str] | None:
    """The index, and its order, that a name stands for: ``NDVI``, ``NDVI_OF_MEANS``; None where it is of none."""
    order = ORDERS[name.upper().endswith(OF_MEANS)]
    index = INDICES.get(name.lower().removesuffix(OF_MEANS.lower()))
    return (index, order) if index else None
