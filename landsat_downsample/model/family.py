"""Product families: kinds of products with names, bands and flags of their own, each one table in ``families/``.

No other code knows which families there are: it asks the table of the scene or name at hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class IdGrammar:
    """How product IDs of a family are written, and what they say."""

    pattern: str
    """With a named group for each part; matched in any case, and compiled, as all patterns here, when it first is."""
    lower: bool
    """Whether parts are written in lower case; else in upper case."""
    form: str | None
    """The ID made of its parts, where that is not what the pattern matches."""
    suffix: Any
    """What a file is called after its ID, by the parts of its name and `rest`, what follows them."""
    acquired: str
    """Format of the part ``acquired``, as of `datetime.strptime`."""
    sensor: Any
    level: Any
    properties: Mapping[str, Any]
    """STAC properties; each of these four as `said` takes them."""
    stages: Mapping[str, Sequence[str]]
    """Parts that tell one processing of an acquisition from another, and their values from the first to the last."""


@dataclass(frozen=True, slots=True)
class MetadataKind:
    """A kind of file that comes with the bands."""

    file: str
    """Pattern of what its name ends with, in any case."""
    begins: bytes
    """Pattern of its first bytes."""
    holds: bytes
    what: str
    """What it is called in messages."""
    reader: str
    """Who reads the scene's properties from it: a module of ``formats``; empty where nobody does."""


@dataclass(frozen=True, slots=True)
class HrefRule:
    """What hrefs that begin alike ask of who reads them."""

    begins: str
    alternate: str = ""
    """Key of the asset's alternate that is taken instead, of hrefs that give a login page."""
    instead: str = ""
    """What the beginning becomes where an item has no such alternate; empty where the href itself is read."""
    pays: bool = False
    """Whether readers pay there, where an item does not say."""
    access: str = ""
    """``earthdata``: by a login of NASA; ``anonymous``: S3 requests unsigned; empty: by what credentials there are."""
    keys: str = ""
    """Service that gives temporary keys of a bucket after a login."""
    region: str = ""
    """Region of a bucket of Amazon's."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Family:
    """One kind of product."""

    key: str
    title: str
    file: str
    """Name of a band's file, of ``{id}`` and ``{band}``."""
    id: IdGrammar | None
    names: str
    """Pattern of what names of files begin with where no ID is in them; empty where there is none."""
    not_scenes: str
    """Why products of it are no scenes, but single files; empty where they are scenes."""
    metadata: Mapping[str, MetadataKind]
    hrefs: tuple[HrefRule, ...]
    archive: str
    """Where its maker keeps a product: of the parts of its ID, ``{id}``, ``{level}``, ``{year}`` and ``{folder}``."""
    folders: Mapping[str, str]
    """What ``{folder}`` is for each sensor."""
    signed: tuple[str, ...]
    """Storage accounts of the Planetary Computer that have its files."""
    unknown_datum: str
    """The datum of its UTM grids whose files name none; empty where they name it."""
    sources: Mapping[str, str]
    """Where the facts of its bands are from, by the keys that they name."""
    bits: Mapping[str, Any]
    bands: tuple[Mapping[str, Any], ...]

    def __repr__(self) -> str:
        return f"<Family {self.key}>"

    @property
    def sensors(self) -> frozenset[str]:
        """Keys of its tables of bands."""
        return frozenset(sensor for band in self.bands for sensor in band["sensors"])

    def reads(self, name: str) -> bool:
        """Whether a file's name is that of metadata from which a scene's properties are read."""
        return any(kind.reader and re.search(kind.file, name, re.IGNORECASE) for kind in self.metadata.values())

    def file_name(self, identity: str, band: str) -> str:
        """Name of a band's file.

        >>> of_sensor("oli_tirs").file_name("LC08_L2SP_008059_20191201_20200825_02_T1", "SR_B4")
        'LC08_L2SP_008059_20191201_20200825_02_T1_SR_B4.TIF'
        """
        return self.file.format(id=identity, band=band)


def said(entry: Any, parts: Mapping[str, str]) -> Any:
    """What an entry of a table says of an ID: a text with parts put in, or that of one part's values.

    >>> said({"of": "sensor", "C": ["oli", "tirs"]}, {"sensor": "C"}), said("{path}", {"path": "192"})
    (['oli', 'tirs'], '192')
    """
    if isinstance(entry, dict):
        entry = entry[parts[entry["of"]]]
    return entry.format(**parts) if isinstance(entry, str) else entry


@cache
def families() -> Mapping[str, Family]:
    """Every family, by its key."""
    tables = sorted(resources.files(__package__).joinpath("families").iterdir(), key=lambda table: table.name)
    records = {table.name.removesuffix(".json"): json.loads(table.read_text("utf-8")) for table in tables}
    for record in records.values():
        for loan in reversed(record.get("borrows", ())):
            _borrow(record, loan, records[loan["family"]])
    return {key: _family(key, record) for key, record in records.items()}


def _borrow(record: dict[str, Any], loan: dict[str, Any], lender: dict[str, Any]) -> None:
    """Put bands of another family, which its files are bit by bit, before a family's own."""
    names, sensors = loan.get("names"), loan["sensors"]
    bands = []
    for band in lender["bands"]:
        own = [sensors[sensor] for sensor in band["sensors"] if sensor in sensors]
        if own and band["level"] in (0, loan["level"]) and (names is None or band["name"] in names):
            bands.append({**band, "sensors": own, "level": loan.get("as_level", band["level"])})
    record["bands"] = bands + record["bands"]
    for part in ("bits", "sources"):
        record[part] = lender[part] | record[part]


@cache
def of_sensor(sensor: str | None) -> Family | None:
    """The family that a sensor's tables of bands are of; None where there is none."""
    return next((family for family in families().values() if sensor in family.sensors), None)


def file_name(sensor: str | None, identity: str, band: str) -> str:
    """Name of a band's file in a product of a sensor; of an unknown one as USGS has it."""
    return (of_sensor(sensor) or usual()).file_name(identity, band)


def usual() -> Family:
    """The family that names are of which do not say: bare bands (``B4``), satellites (``L8``)."""
    return families()["collection2"]


def metadata_kinds() -> Iterator[tuple[str, MetadataKind]]:
    """Kinds of metadata files of all families, by name."""
    for family in families().values():
        yield from family.metadata.items()


@cache
def href_rules() -> tuple[HrefRule, ...]:
    """What is known of hosts, whatever the family."""
    return tuple(rule for family in families().values() for rule in family.hrefs)


def access_rule(href: str) -> HrefRule | None:
    """How a host or bucket is read that credentials of the user's stores are not for; None for any other.

    >>> access_rule("s3://dea-public-data/baseline/ga_ls8c_ard_3/x.tif").access
    'anonymous'
    """
    href = re.sub("^s3a://", "s3://", href)
    return next((rule for rule in href_rules() if rule.access and href.startswith(rule.begins)), None)


@cache
def earthdata_hosts() -> frozenset[str]:
    """Web hosts that give files after an Earthdata login."""
    rules = (rule for rule in href_rules() if rule.access == "earthdata" and rule.begins.startswith("https://"))
    return frozenset(urlsplit(rule.begins).netloc for rule in rules)


@cache
def refused() -> tuple[tuple[str, str], ...]:
    """Patterns of names of products that are not read, and of each what it is and what to take instead."""
    table = json.loads(resources.files(__package__).joinpath("refused.json").read_text("utf-8"))
    return tuple((one["names"], f"{one['is']}: {one['instead']}") for one in table)


@cache
def signed_accounts() -> frozenset[str]:
    """Storage accounts of the Planetary Computer whose blobs need a token."""
    return frozenset(account for family in families().values() for account in family.signed)


def _family(key: str, record: dict[str, Any]) -> Family:
    return Family(
        key=key,
        title=record["title"],
        file=record["file"],
        id=_grammar(record["id"]) if "id" in record else None,
        names=record.get("names", ""),
        not_scenes=record.get("not_scenes", ""),
        metadata={name: _kind(kind) for name, kind in record.get("metadata", {}).items()},
        hrefs=tuple(HrefRule(**rule) for rule in record.get("hrefs", ())),
        archive=record.get("archive", ""),
        folders=record.get("folders", {}),
        signed=tuple(record.get("signed", ())),
        unknown_datum=record.get("unknown_datum", ""),
        sources=record["sources"],
        bits=record["bits"],
        bands=tuple(record["bands"]),
    )


def _grammar(record: dict[str, Any]) -> IdGrammar:
    return IdGrammar(
        pattern=record["pattern"],
        lower=record.get("lower", False),
        form=record.get("form"),
        suffix=record.get("suffix", "{rest}"),
        acquired=record["acquired"],
        sensor=record["sensor"],
        level=record["level"],
        properties=record["properties"],
        stages=record.get("stages", {}),
    )


def _kind(record: dict[str, str]) -> MetadataKind:
    return MetadataKind(
        file=record["file"],
        begins=record["begins"].encode("latin-1"),
        holds=record["holds"].encode(),
        what=record["what"],
        reader=record.get("reader", ""),
    )
