"""The bits of a quality band that masks and fractions are made of. Pure."""

from __future__ import annotations

from functools import cache

import numpy as np

from landsat_downsample.errors import UsageError
from landsat_downsample.model.bands import BandSpec
from landsat_downsample.model.nearest import did_you_mean

#: Bands of QA_FRACTIONS, in order, where the sensor has their flag.
FRACTION_NAMES = ("valid", "clear", "cloud", "cloud_shadow", "snow", "water", "cirrus")

#: Set on pixels that another band declares fill, in codes that have no fill bit of their own.
#: No quality band of Collection 2 that lacks a fill bit uses bit 15.
OUTSIDE = 1 << 15


#: Set on values of a band of classes that are none of them.
UNKNOWN = 1 << 14


def fraction_names(spec: BandSpec) -> tuple[str, ...]:
    """Bands of QA_FRACTIONS for a quality band: those whose flag the sensor has."""
    has = {name for name in FRACTION_NAMES if (field := spec.field(name)) and not field.reserved}
    has |= {"valid"} | ({"clear"} if obscuring(spec) else set())
    return tuple(name for name in FRACTION_NAMES if name in has)


def codes_of(values: np.ndarray, spec: BandSpec) -> np.ndarray:
    """Stored values of a band as codes in which every flag and class is a bit, and no data is one too.

    Where fill is a value and not a bit (255 of an 8-bit Fmask) it would read as every flag set: it becomes `OUTSIDE`.

    Parameters
    ----------
    values : ndarray of int
        As stored.

    Returns
    -------
    ndarray
        The values themselves where they are such codes; else uint16.

    """
    table = _tables(spec)
    if table is None:
        return values
    if values.dtype == np.uint8:
        codes: np.ndarray = table[0][values]
        return codes
    inside = (values >= 0) & (values <= 0xFF)
    return np.where(inside, table[0][np.where(inside, values, 0)], np.uint16(UNKNOWN))


def stored_as(codes: np.ndarray, spec: BandSpec) -> np.ndarray:
    """Turn codes of `codes_of` into values as the band stores them."""
    table = _tables(spec)
    return codes if table is None else table[1][codes]


def empty_code(spec: BandSpec) -> int:
    """The code of a cell without data."""
    return (spec.fill or 0) if _tables(spec) is None else OUTSIDE


@cache
def _tables(spec: BandSpec) -> tuple[np.ndarray, np.ndarray] | None:
    """Codes of the 256 values, and values of the 65536 codes; None where values are codes."""
    classes = {value: field.mask for value, field in spec.classes.items()}
    if not spec.fields or spec.fill is None or (spec.field("fill") and not classes):
        return None
    codes = np.full(256, UNKNOWN, np.uint16) if classes else np.arange(256, dtype=np.uint16)
    values = np.full(1 << 16, spec.fill, np.uint8)
    for value, mask in classes.items():
        codes[value], values[mask] = mask, value
    if not classes:
        values[:256] = np.arange(256)
    codes[spec.fill] = OUTSIDE
    return codes, values


def fill_mask(spec: BandSpec) -> int:
    """Bits that mark a pixel without data."""
    fill = spec.field("fill")
    return fill.mask if fill else OUTSIDE


def without_data(values: np.ndarray, spec: BandSpec) -> np.ndarray:
    """Which stored values of a quality band say that there is no data: bool."""
    found: np.ndarray = codes_of(values, spec).astype(np.uint16, copy=False) & fill_mask(spec) != 0
    return found


def obscuring(spec: BandSpec) -> int:
    """Bits of the flags that a clear pixel has none of."""
    return sum(field.mask for field in spec.fields if field.obscures)


def mask_bits(spec: BandSpec, flags: tuple[str, ...]) -> int:
    """Bits of a quality band that a mask of flags tests.

    Raises
    ------
    UsageError
        This sensor's quality band has no such flag.
    """
    bits = 0
    for name in flags:
        field = spec.field(name)
        if field is None or field.length != 1 or field.name in ("fill", "clear"):
            have = [f.name for f in spec.fields if f.length == 1 and f.name not in ("fill", "clear")]
            near = did_you_mean(name, have)
            raise UsageError(f"mask {name!r} is not a flag of {spec.name}{near}: choose from {', '.join(have)}")
        bits |= field.mask
    return bits


def meanings(spec: BandSpec) -> dict[str, tuple[int, int]]:
    """Mask and value of every flag, and of every level of the longer fields, by name.

    >>> from landsat_downsample.model.bands import specs
    >>> found = meanings(specs("oli_tirs", 2)["QA_PIXEL"])
    >>> found["water"], found["cloud_confidence_high"]
    ((128, 128), (768, 768))
    """
    found = {}
    for field in spec.fields:
        if field.length == 1:
            found[field.name] = field.mask, field.mask
        for level, name in enumerate(field.levels):
            found[f"{field.name}_{name.replace(' ', '_')}"] = field.mask, level << field.offset
    return found
