"""The grammar of product names, as the families' tables have it: what an ID or a file name says by itself. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from landsat_downsample.errors import SceneError
from landsat_downsample.model.family import Family, IdGrammar, families, refused, said, usual

#: Read without `strptime`, whose module, with the names of days and months, takes 3 ms to load.
_ISO_DATES = ("%Y%m%d", "%Y-%m-%d")

_TIFF = re.compile(r"\.tiff?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ProductId:
    """A product ID, such as ``LXSS_LLLL_PPPRRR_YYYYMMDD_yyyymmdd_CC_TX`` of Collection 2, taken apart."""

    id: str
    """As its family writes it."""
    family: Family
    sensor: str
    """Key of the band catalogue: ``oli_tirs``, ``hls_s30`` ..."""
    level: int
    """Processing level."""
    parts: Mapping[str, str] = field(compare=False, repr=False)
    """What it is made of: ``platform``, ``path``, ``tier`` ..., as the family's table names them."""

    def part(self, name: str) -> str:
        """One part of it; empty where it has none."""
        return self.parts.get(name, "")

    @property
    def processed(self) -> str:
        """Day of processing, YYYYMMDD; empty where the ID does not say, as Planetary Computer's item ids."""
        return self.part("processed")

    @property
    def acquisition(self) -> tuple[str, ...]:
        """What other processings of the same acquisition, or tile of it, have in common with it."""
        stages = {"processed", *_grammar(self.family).stages}
        return (self.family.key, *(value for name, value in self.parts.items() if name not in stages))

    @property
    def stage(self) -> tuple[Any, ...]:
        """By which processings of one acquisition are in order: the last one is the greatest."""
        stages = _grammar(self.family).stages
        return (self.processed, *(values.index(self.part(name)) for name, values in stages.items()))

    @property
    def acquired(self) -> datetime:
        """When it was taken, UTC; midnight where the ID says the day only."""
        text, form = self.part("acquired"), _grammar(self.family).acquired
        if form in _ISO_DATES:
            return datetime.fromisoformat(text)
        return datetime.strptime(text, form)

    def properties(self) -> dict[str, Any]:
        """What the name alone says, as STAC properties; of most families it does not say the time of day."""
        day = f"{self.acquired:%Y-%m-%d}"
        time: dict[str, Any] = {
            "datetime": None,
            "start_datetime": f"{day}T00:00:00Z",
            "end_datetime": f"{day}T23:59:59Z",
        }
        grammar = _grammar(self.family)
        if "%H" in grammar.acquired:
            time = {"datetime": f"{self.acquired:%Y-%m-%dT%H:%M:%SZ}"}
        return time | {key: said(entry, self.parts) for key, entry in grammar.properties.items()}


def _grammar(family: Family) -> IdGrammar:
    if family.id is None:
        raise ValueError(family.key)  # no product of it is ever made
    return family.id


@dataclass(frozen=True, slots=True)
class FileName:
    """A file name taken apart."""

    product: ProductId
    suffix: str
    """What follows the product ID, in upper case and without the ending: ``SR_B4``, ``MTL``."""
    ending: str
    """``tif``, ``txt`` ..., in lower case."""


def parse(text: str) -> ProductId | None:
    """Read a product ID, of any family, that `text` begins with; None when there is none.

    >>> parse("LT05_L2SP_090084_19980308_20200909_02_T1").sensor
    'tm'

    Raises
    ------
    SceneError
        The satellite never carried that sensor (``LE08``).
    """
    return _matched(text)[0]


def _matched(text: str) -> tuple[ProductId | None, int]:
    """A product ID, and where in the text it ends."""
    for family in families().values():
        grammar = family.id
        found = re.match(grammar.pattern, text, re.IGNORECASE) if grammar else None
        if grammar is None or found is None or text[found.end() : found.end() + 1].isalnum():
            continue
        cased = str.lower if grammar.lower else str.upper
        parts = {key: cased(value or "") for key, value in found.groupdict().items()}
        try:
            sensor, level = said(grammar.sensor, parts), said(grammar.level, parts)
        except KeyError as error:
            name = error.args[0]
            raise SceneError(f"product id {found.group()!r}: no Landsat is called {name}; was it renamed?") from error
        identity = grammar.form.format(**parts) if grammar.form else cased(found.group())
        return ProductId(identity, family, sensor, level, parts), found.end()
    return None, 0


def parse_file(name: str) -> FileName | None:
    """Take a file name apart; None when it does not begin with a product ID.

    >>> parse_file("LC08_L2SP_008059_20191201_20200825_02_T1_SR_B4.TIF").suffix
    'SR_B4'
    """
    product, end = _matched(name)
    if product is None:
        return None
    rest, _, ending = name[end:].rpartition(".")
    suffix = said(_grammar(product.family).suffix, {**product.parts, "rest": rest.lstrip("_-. ")})
    return FileName(product, suffix.upper(), ending.lower())


def is_tiff(name: str) -> bool:
    """Whether a name ends as a TIFF's does."""
    return bool(_TIFF.search(name))


def folded(name: str) -> str:
    """A file name without what differs between copies of one file: case, and how a TIFF's ending is spelt.

    >>> folded("lc08_b4.tiff")
    'LC08_B4.TIF'
    """
    return _TIFF.sub(".tif", name).upper()


def is_copy(name: str) -> bool:
    """Whether a browser or file manager named it, beside another of that name.

    >>> is_copy("LC08_L2SP_008059_20191201_20200825_02_T1_SR_B4 (1).TIF")
    True
    """
    return bool(re.search(r"( ?\(\d+\)| - copy| copy( \d+)?)\.\w+$", name, re.IGNORECASE))


def stem(name: str) -> str:
    """A file name without its last ending.

    >>> stem("LC08_B7_Memphis_COG.tiff")
    'LC08_B7_Memphis_COG'
    """
    return name.rpartition(".")[0] or name


def family_of(name: str) -> Family | None:
    """Which family a name belongs to; None when it does not say.

    >>> family_of("LC80160142016111LGN00_BQA.TIF").key
    'pre_collection'
    """
    product = parse(name)
    if product is not None:
        return product.family
    return next((family for family in families().values() if family.names and re.match(family.names, name, re.I)), None)


def of_scenes(name: str) -> bool:
    """Whether a name is of a family whose products are opened as scenes."""
    family = family_of(name)
    return family is not None and not family.not_scenes


def sensor_hint(name: str) -> str | None:
    """Sensor that a name without a Collection product ID hints at, else None.

    >>> sensor_hint("L8-B4-Elkton-VA.tiff"), sensor_hint("LC80160142016111LGN00_B4.TIF")
    ('oli_tirs', 'oli_tirs')
    """
    if product := parse(name):
        return product.sensor
    found = re.match(r"L(?:ANDSAT[-_ ]?)?([COTEM]?)0?([1-9])(?=[-_. ]|\d{6})", name, re.IGNORECASE)
    if found is None:
        return None
    letter, satellite = found.group(1).upper(), int(found.group(2))
    if not letter and satellite in (4, 5):
        return None  # Landsat 4 and 5 carried both TM and MSS
    letter = letter or {7: "E", 8: "C", 9: "C"}.get(satellite, "M")
    platforms = _grammar(usual()).sensor
    found_sensor: str | None = platforms.get(f"L{letter}0{satellite}")
    return found_sensor


def unsupported(name: str) -> str | None:
    """Say why files of this name are a kind of product that is not read, and what to take instead; or None.

    >>> unsupported("HLS-VI.L30.T33UUB.2022001T095641.v2.0.NDVI.tif")
    'is an index of HLS (HLS-VI), whose mean is not the index of the means: give the HLS granule that it was made of'
    """
    return next((why for names, why in refused() if re.match(names, name, re.IGNORECASE)), None)
