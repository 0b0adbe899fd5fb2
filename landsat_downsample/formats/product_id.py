"""The grammar of Landsat names: what a product ID or a file name says by itself. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from landsat_downsample.errors import SceneError

_PRODUCT = re.compile(
    r"(?P<platform>L[COTEM]0[1-9])_(?P<correction>L1TP|L1GT|L1GS|L2SP|L2SR)_(?P<path>\d{3})(?P<row>\d{3})"
    r"_(?P<acquired>\d{8})(?:_(?P<processed>\d{8}))?_(?P<collection>0[12])_(?P<tier>RT|T1|T2)",
    re.IGNORECASE,
)
_PRE_COLLECTION = re.compile(r"(?P<platform>L[COTEM][1-9])\d{6}\d{7}[A-Z]{3}\d{2}", re.IGNORECASE)
_ARD = re.compile(r"L[COTEM]0[1-9]_(CU|AK|HI)_\d{6}_\d{8}", re.IGNORECASE)
_HLS = re.compile(r"HLS\.[LS]30\.", re.IGNORECASE)
_TIFF = re.compile(r"\.tiff?$", re.IGNORECASE)

_SENSORS = {
    **dict.fromkeys(("LC08", "LC09", "LO08", "LO09", "LT08", "LT09"), "oli_tirs"),
    "LE07": "etm",
    **dict.fromkeys(("LT04", "LT05"), "tm"),
    **dict.fromkeys(("LM04", "LM05"), "mss45"),
    **dict.fromkeys(("LM01", "LM02", "LM03"), "mss123"),
}
_INSTRUMENTS = {"C": ["oli", "tirs"], "O": ["oli"], "E": ["etm+"], "M": ["mss"]}


@dataclass(frozen=True, slots=True)
class ProductId:
    """A Landsat product ID, ``LXSS_LLLL_PPPRRR_YYYYMMDD_yyyymmdd_CC_TX``, taken apart."""

    id: str
    """As written, in upper case."""
    platform: str
    """Sensor letter and satellite: ``LC08``."""
    correction: str
    """``L1TP``, ``L1GT``, ``L1GS``, ``L2SP`` or ``L2SR``."""
    path: str
    row: str
    acquired: str
    """Day of acquisition, YYYYMMDD."""
    processed: str
    """Day of processing, YYYYMMDD; empty in Planetary Computer's item ids, which leave it out."""
    collection: str
    """``01`` or ``02``."""
    tier: str
    """``RT``, ``T1`` or ``T2``."""

    @property
    def sensor(self) -> str:
        """Key of the band catalogue: ``oli_tirs``, ``etm``, ``tm``, ``mss45`` or ``mss123``."""
        return _SENSORS[self.platform]

    @property
    def level(self) -> int:
        """Processing level, 1 or 2."""
        return int(self.correction[1])

    def properties(self) -> dict[str, Any]:
        """What the name alone says, as STAC properties; the time of day is not in it."""
        day = "-".join((self.acquired[:4], self.acquired[4:6], self.acquired[6:]))
        thermal_only = self.platform in ("LT08", "LT09")
        return {
            "datetime": None,
            "start_datetime": f"{day}T00:00:00Z",
            "end_datetime": f"{day}T23:59:59Z",
            "platform": f"landsat-{int(self.platform[2:])}",
            "instruments": ["tirs"] if thermal_only else _INSTRUMENTS.get(self.platform[1], ["tm"]),
            "landsat:correction": self.correction,
            "landsat:wrs_type": "1" if self.platform in ("LM01", "LM02", "LM03") else "2",
            "landsat:wrs_path": self.path,
            "landsat:wrs_row": self.row,
            "landsat:collection_number": self.collection,
            "landsat:collection_category": self.tier,
        }


@dataclass(frozen=True, slots=True)
class FileName:
    """A file name taken apart."""

    product: ProductId
    suffix: str
    """What follows the product ID, in upper case and without the ending: ``SR_B4``, ``MTL``."""
    ending: str
    """``tif``, ``txt`` ..., in lower case."""


def parse(text: str) -> ProductId | None:
    """Read a product ID, of Collection 1 or 2, that `text` begins with; None when there is none.

    >>> parse("LT05_L2SP_090084_19980308_20200909_02_T1").sensor
    'tm'

    Raises
    ------
    SceneError
        The satellite never carried that sensor (``LE08``).
    """
    found = _PRODUCT.match(text)
    if found is None or text[found.end() : found.end() + 1].isalnum():
        return None
    parts = {key: (value or "").upper() for key, value in found.groupdict().items()}
    if parts["platform"] not in _SENSORS:
        raise SceneError(f"product id {found.group()!r}: no Landsat is called {parts['platform']}; was it renamed?")
    return ProductId(id=found.group().upper(), **parts)


def parse_file(name: str) -> FileName | None:
    """Take a file name apart; None when it does not begin with a product ID.

    >>> parse_file("LC08_L2SP_008059_20191201_20200825_02_T1_SR_B4.TIF").suffix
    'SR_B4'
    """
    product = parse(name)
    if product is None:
        return None
    rest, _, ending = name[len(product.id) :].rpartition(".")
    return FileName(product, rest.lstrip("_-. ").upper(), ending.lower())


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


def era(name: str) -> str | None:
    """Which catalogue a name belongs to: ``c2``, ``c1``, ``pre``, or None when it does not say.

    >>> era("LC80160142016111LGN00_BQA.TIF")
    'pre'
    """
    product = parse(name)
    if product is not None:
        return "c2" if product.collection == "02" else "c1"
    return "pre" if _PRE_COLLECTION.match(name) else None


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
    return _SENSORS.get(f"L{letter}0{satellite}")


def unsupported(name: str) -> str | None:
    """Say why files of this name are another kind of Landsat product, or None.

    >>> unsupported("HLS.L30.T33UUB.2022001T095641.v2.0.B04.tif")
    'is Harmonized Landsat Sentinel (HLS), which is tiled and flagged in another way'
    """
    if _ARD.match(name):
        return "is an Analysis Ready Data tile (ARD), which is cut and gridded in another way"
    if _HLS.match(name):
        return "is Harmonized Landsat Sentinel (HLS), which is tiled and flagged in another way"
    return None
