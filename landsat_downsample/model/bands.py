"""The catalogue: what each band of a product means, and so how it may be reduced.

The facts live in the families' tables (``families/*.json``), each with its source; this module only looks them up.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from landsat_downsample.model.family import families

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Names people use besides the USGS name and the STAC common name.
ALIASES = {"nir": "nir08", "swir1": "swir16", "swir2": "swir22", "panchromatic": "pan", "thermal": "lwir11"}

#: Words for flags, accepted wherever flags are named (``mask="cloud,shadow"``): what families call them.
FLAG_WORDS = {
    "shadow": ("cloud_shadow",),
    "dilated": ("dilated_cloud", "adjacent"),
    "adjacent": ("dilated_cloud", "adjacent_cloud"),
    "dilated_cloud": ("adjacent",),
}


#: Names of class and bit bands that no family has, or that mean other codes in each: of CFMask, Fmask, Collection 1
#: Level 2 (USGS LSDS-1368), US ARD, Sentinel-2, DEA, NLCD and WorldCover.
_CODED = re.compile(
    r"(?<![a-z0-9])(?:fmask\d*|cfmask|cfmask_conf|pixel_?qa|radsat_?qa|lineage_?qa|bqa|qa60|sr_aerosol|sr_cloud_qa|scl|dswe"
    r"|land_?cover|lulc|nlcd|worldcover|cropland_?data_?layer|class|classes|classification|labels?"
    r"|(?:cloud|shadow|snow|water|land)?_?mask)(?![a-z0-9])"
)


@dataclass(frozen=True, slots=True)
class BitField:
    """One flag (1 bit) or level (2 bits) of a quality band."""

    name: str
    offset: int
    """Position of its lowest bit."""
    length: int
    """1 for a flag, 2 for a level of 0 to 3."""
    rule: str
    """How a coarse cell takes it from its valid pixels under the conservative policy:
    ``all``, ``any``, ``majority``, ``max``, or ``clear`` (recomputed from the cloud flags)."""
    description: str
    levels: tuple[str, ...] = ()
    """Meaning of each level of a 2-bit field."""
    always: bool = False
    """Whether every valid pixel has a level above 0: by which a wrong file is recognised."""
    obscures: bool = False
    """Whether a pixel that has it is not clear."""
    reserved: bool = False
    """Whether it stands in the table and is never set: no share of pixels is given of it."""
    value: int | None = None
    """Stored value of the class that it is, in bands of classes: its bit is in `flags.codes_of` only."""

    @property
    def mask(self) -> int:
        """The bits of this field, in place."""
        return ((1 << self.length) - 1) << self.offset


@dataclass(frozen=True, slots=True)
class BandSpec:
    """What the catalogue knows of a band."""

    name: str
    """USGS name, the suffix of the file: ``SR_B4``, ``QA_PIXEL``."""
    kind: str
    """``continuous``, ``azimuth`` (averaged on the circle), ``class`` or ``bits`` (never averaged)."""
    title: str = ""
    common_name: str | None = None
    """STAC common name: ``red``."""
    dtype: str | None = None
    fill: int | None = None
    """Stored value of a pixel without data; None where no value says so."""
    fill_from: str | None = None
    """Band whose fill says which pixels have no data, where `fill` cannot."""
    scale: float | None = None
    offset: float | None = None
    unit: str | None = None
    method: str = "mean"
    """Reducer of a coarse cell; ``bits`` means field by field."""
    fields: tuple[BitField, ...] = ()
    group: str = "reflective"
    """MTL group of its grid: ``reflective``, ``thermal`` or ``panchromatic``."""
    wavelength: tuple[float, float] | None = None
    """Centre and full width at half maximum, in micrometres."""
    key: str | None = None
    """Key of its asset in USGS's STAC items where it is not the common name; the Planetary Computer writes it small."""
    positive: bool = False
    """Whether azimuths count from 0 to 360 in a type that has a sign."""
    suffixes: tuple[str, ...] = ()
    """What its file is called after the ID, where that is not its name."""
    standard_name: str | None = None
    """Of physical values, by the CF conventions."""
    quality: bool = False
    """Whether its flags say of the whole scene what pixels show: QA_PIXEL."""
    source: str = ""
    """Keys of the sources of its family's table."""
    candidates: tuple[str, ...] = ()
    """What a file of unknown meaning may turn out to be, once its codes are read: ``c1``, ``pre``, ``qa_pixel``."""

    @property
    def categorical(self) -> bool:
        """Whether a mean of its values has no meaning."""
        return self.kind in ("bits", "class")

    @property
    def physical(self) -> bool:
        """Whether its file holds physical values, as floats, where the catalogue knows of integers."""
        return self.dtype is not None and self.dtype.startswith("float")

    def as_physical(self, dtype: str) -> BandSpec:
        """The same band in physical units: nothing is left to be scaled, and no number says that there is no data."""
        return replace(self, dtype=dtype, scale=None, offset=None, fill=None)

    def stored_as(self, dtype: str, unit: str | None, *, scaled: bool) -> BandSpec:
        """What it means in a file of a type, which states a unit, and a scale or none.

        Floats with a unit and without a scale are physical values; those without either say nothing.
        """
        physical = dtype.startswith("float") and unit and not scaled and self.scale is not None
        return self.as_physical(dtype) if physical else self

    @property
    def averaged(self) -> bool:
        """Whether its cells are plain means, beside which other statistics may be asked for."""
        return self.kind == "continuous" and self.method == "mean" and self.unit != "degree"

    @property
    def asset_key(self) -> str:
        """Key of its asset in USGS's STAC items: ``red``, ``qa_pixel``, ``TRAD``; its name where none is known."""
        return self.key or self.common_name or self.name

    @property
    def classes(self) -> dict[int, BitField]:
        """The classes of a band that holds such, by their stored values."""
        return {field.value: field for field in self.fields if field.value is not None}

    def policy(self, qa: str) -> str:
        """How its cells are made where no method is asked for: that of all quality bands, if it holds bits."""
        return qa if self.kind == "bits" else self.method

    def field(self, name: str) -> BitField | None:
        """The field called `name` (or by its short word), or None."""
        wanted = (name, *FLAG_WORDS.get(name, ()))
        return next((field for word in wanted for field in self.fields if field.name == word), None)

    @property
    def names(self) -> frozenset[str]:
        """Every name it answers to, in lower case."""
        return frozenset(name.lower() for name in (self.name, self.common_name, self.key, *self.suffixes) if name)


@lru_cache(maxsize=4096)  # asked for by each file of many products
def unknown(name: str) -> BandSpec:
    """The spec of a band the catalogue does not know: a continuous one without a fixed fill."""
    return BandSpec(name=name, kind="continuous", title="")


def coded(name: str) -> BandSpec | None:
    """The spec of integers whose name says that they are classes or codes of a table we do not have.

    >>> coded("LC80060522014113LGN00_cfmask").method
    'mode'
    """
    if not _CODED.search(name.lower()):
        return None
    return BandSpec(name=name, kind="class", method="mode")


@cache
def _catalogue() -> tuple[dict[str, Any], ...]:
    return tuple(_meant(band, family.bits) for family in families().values() for band in family.bands)


def _meant(record: Mapping[str, Any], bits: Mapping[str, Any]) -> dict[str, Any]:
    """A band of a table in the fields of `BandSpec`, and whose it is."""
    band = dict(record)
    fields = [dict(field) for field in bits.get(band.pop("bits", None), ())]
    for number, one in enumerate(band.pop("classes", ())):
        fields.append({"offset": number, "length": 1, "rule": "any", **one})
    band["fields"] = tuple(BitField(**{**field, "levels": tuple(field.get("levels", ()))}) for field in fields)
    if band["kind"] == "bits":
        band["method"] = "bits"
    elif band["kind"] == "azimuth":
        band["method"] = "circular"
    for name in ("wavelength", "suffixes"):
        if band.get(name) is not None:
            band[name] = tuple(band[name])
    return band


@cache
def specs(sensor: str, level: int) -> dict[str, BandSpec]:
    """Every band of a product, by USGS name.

    Parameters
    ----------
    sensor : str
        ``mss123``, ``mss45``, ``tm``, ``etm``, ``oli_tirs`` ..., as the tables of families have them; ``c1`` and
        ``pre`` hold the quality bands of Collection 1 and of the time before it.
    level : int
        Processing level, 1 or 2.
    """
    bands = (
        {key: value for key, value in band.items() if key not in ("sensors", "level")}
        for band in _catalogue()
        if sensor in band["sensors"] and band["level"] in (0, level)
    )
    return {band["name"]: BandSpec(**band) for band in bands}


@cache
def quality_names() -> frozenset[str]:
    """What the quality bands of all families are called, in lower case."""
    return frozenset(band["name"].lower() for band in _catalogue() if band.get("quality"))


def find(name: str, candidates: Mapping[str, BandSpec]) -> BandSpec | None:
    """The band of `candidates` that answers to `name`: its own name, a common name, or a word that people use."""
    word = name.lower()
    own = candidates.get(name) or next((spec for key, spec in candidates.items() if key.lower() == word), None)
    wanted = (word, ALIASES.get(word, word))
    return own or next((spec for one in wanted for spec in candidates.values() if one in spec.names), None)
