"""The bits of a quality band that masks and fractions are made of. Pure."""

from __future__ import annotations

from landsat_downsample.errors import UsageError
from landsat_downsample.model.bands import BandSpec
from landsat_downsample.model.nearest import did_you_mean

#: Bands of QA_FRACTIONS, in order, where the sensor has their flag.
FRACTION_NAMES = ("valid", "clear", "cloud", "cloud_shadow", "snow", "water", "cirrus")

#: Set on pixels that another band declares fill, in codes that have no fill bit of their own.
#: No quality band of Collection 2 that lacks a fill bit uses bit 15.
OUTSIDE = 1 << 15


def fraction_names(spec: BandSpec) -> tuple[str, ...]:
    """Bands of QA_FRACTIONS for a quality band: those whose flag the sensor has."""
    return tuple(name for name in FRACTION_NAMES if name == "valid" or spec.field(name))


def fill_mask(spec: BandSpec) -> int:
    """Bits that mark a pixel without data."""
    fill = spec.field("fill")
    return fill.mask if fill else OUTSIDE


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
