"""How a band's values are reduced, and what the result is stored as."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from landsat_downsample.model.bands import BandSpec
from landsat_downsample.model.methods import output_dtype
from landsat_downsample.model.plan import STRIP_ROWS
from landsat_downsample.model.units import physical_dtype


@dataclass(frozen=True, slots=True)
class Rule:
    """What a reducer must know of a band besides its pixels."""

    method: str
    dtype: np.dtype
    """Stored type of the source."""
    nodata: float | None
    """Value of a pixel without data; None where no value says so."""
    fill: float
    """Value of a cell without data."""
    fill_is_legal: bool = False
    """Whether `fill` may also be the value of a valid cell (angles, where 0 is both)."""
    min_valid: Fraction = Fraction(0)
    """Least share of a cell's pixels, by area, that must be valid."""
    degrees: float = 1.0
    """Degrees per stored unit, for ``circular``."""
    scaling: tuple[float, float] | None = None
    """Scale, above 0, and offset that make physical values of stored ones; None to store cells as pixels are."""
    physical: np.dtype | None = None
    """Type of those values; by default one that tells all of the stored ones apart."""
    largest: int | None = None
    """Largest absolute value of a valid pixel, where it is less than the type holds."""
    positive: bool = False
    """Whether directions count from 0 to 360 in a type that has a sign."""
    strip_rows: int = STRIP_ROWS
    """Pixel rows that are read at one time."""

    @property
    def stored(self) -> np.dtype:
        """Type of a cell."""
        physical = self.physical or physical_dtype(self.dtype)
        return output_dtype(self.method, physical if self.scaling else self.dtype)


def rule_of(
    spec: BandSpec,
    dtype: str | np.dtype,
    nodata: float | None,
    *,
    method: str,
    min_valid: Fraction,
    mask_role: str,
    scaling: tuple[float, float] | None = None,
) -> Rule:
    """What to do with a continuous or class band, from what the catalogue and its file say.

    Parameters
    ----------
    nodata : float or None
        What the file or the array says, else the catalogue.
    mask_role : str
        What its mask band is read for: ``mask``, ``fill``, or empty without one.
    scaling : (float, float), optional
        Scale and offset that make physical values of stored ones, where these are wanted.
    """
    dtype = np.dtype(dtype)
    stored = nodata if nodata is not None else spec.fill
    alone = spec.fill_from is not None and not mask_role
    fill: float
    if method == "count":
        fill = 0  # the number of valid pixels in a cell that has none
    elif scaling or output_dtype(method, dtype) != dtype:
        fill = np.nan
    elif stored is None and dtype.kind == "i" and mask_role == "mask":
        fill = np.iinfo(dtype).min  # as in US ARD: 0 is an angle, and a height
    elif stored is None:
        fill = np.nan if dtype.kind == "f" else 0
    else:
        fill = stored
    return Rule(
        method=method,
        dtype=dtype,
        nodata=(stored or 0) if alone else nodata,
        fill=fill,
        fill_is_legal=method == "count" or (nodata is None and mask_role != "mask"),
        min_valid=min_valid,
        degrees=spec.scale or 1.0,
        positive=spec.positive,
        scaling=scaling,
    )


def declared_nodata(rule: Rule) -> float | None:
    """The nodata value that a reduced band states: none where its fill may be data too."""
    return None if rule.fill_is_legal and not np.isnan(rule.fill) else rule.fill


def _holds(dtype: np.dtype, value: float) -> bool:
    """Whether a type can hold a value, so that comparing with it makes sense."""
    if dtype.kind == "f":
        return True
    limits = np.iinfo(dtype)
    return float(value).is_integer() and limits.min <= value <= limits.max
