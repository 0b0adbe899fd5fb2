"""Entries: the scenes that a list or search names, as values; made of hrefs, STAC items and lines of a record."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from landsat_downsample.errors import LandsatDownsampleError, UsageError
from landsat_downsample.formats import checked_item, stac_item, stac_source
from landsat_downsample.model.location import Location, redact, redacted_repr
from landsat_downsample.model.safe_text import plain


@dataclass(frozen=True, slots=True)
class Entry:
    """One scene of a list."""

    __repr__ = redacted_repr

    source: str | dict[str, Any] | list[dict[str, Any]]
    """An href; a STAC item; or the items of one scene, of which USGS has two (SR and ST). Items are cut down to
    what opening them needs (`stac_item.slim`)."""
    base: str | None = None
    """Where items were read: relative hrefs of their assets start there, and a remote one limits what they may
    point to. None for hrefs, and for items from stdin, which start at the current directory."""
    error: LandsatDownsampleError | None = None
    """Why it is none that can be opened; its source only tells then which one that is. It fails when its turn comes,
    as a scene that is not there does, and the others are done."""
    origin: str | None = None
    """The remote list that named it, which limits what it may lead to."""
    tile: str | None = None
    """The grid of the one tile that is wanted of it, such as ``modis:500m:h18v04``, in place of the grid asked for."""
    unproven: bool = False
    """Whether `base` is only what its items say of themselves, which is trusted no more than their other hrefs."""

    @property
    def items(self) -> list[dict[str, Any]]:
        """Its STAC items; none where it is an href."""
        if isinstance(self.source, str):
            return []
        return [self.source] if isinstance(self.source, dict) else self.source

    @property
    def label(self) -> str:
        """What to call it before it is opened: the product ID of an item, else the href without secrets."""
        return redact(self.source) if isinstance(self.source, str) else stac_item.scene_id(self.items[0])

    @property
    def key(self) -> tuple[str, str]:
        """What two entries of the same scene of one list share."""
        if self.error:
            return ("!", str(self.error))
        if isinstance(self.source, str):
            return (self.tile or "", self.source)
        return (f"{self.tile or ''}{self.base or '-'}", self.label or json.dumps(self.source))

    @property
    def identity(self) -> str:
        """What identifies it among the scenes of its run, there and on record."""
        named = _lasting(self.source) if isinstance(self.source, str) and not self.error else self.key[1]
        return f"{named} {self.tile}" if self.tile else named

    def to_dict(self) -> dict[str, Any]:
        """Describe it in JSON types, as a line of a frozen list: paths absolute, no signatures or passwords."""
        if self.error:
            return {"source": self.source, "invalid": plain(self.error)}
        if isinstance(self.source, str):
            return {"source": _lasting(self.source), **self._origin(), **self._tile()}
        items = [stac_item.without_secrets(item) for item in self.items]
        base = _lasting(self.base) if self.base else os.path.join(os.getcwd(), "-")
        return {
            "source": items if isinstance(self.source, list) else items[0],
            "base": base,
            **({"unproven": True} if self.unproven else {}),
            **self._origin(),
            **self._tile(),
        }

    def _origin(self) -> dict[str, Any]:
        return {"origin": redact(self.origin)} if self.origin else {}

    def _tile(self) -> dict[str, Any]:
        return {"tile": self.tile} if self.tile else {}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Entry:
        """Make it from what `to_dict` gave.

        Raises
        ------
        UsageError
            It is no such record.
        """
        found = gathered(entries_of(record))
        if len(found) != 1:
            raise UsageError(f"{len(found)} entries where one was expected: give one line of a list")
        return found[0]


def gathered(entries: Iterable[Entry]) -> list[Entry]:
    """Join the items of one scene, and drop entries given twice."""
    found: dict[tuple[str, str], tuple[Entry, dict[Any, dict[str, Any]]]] = {}
    for entry in entries:
        _, items = found.setdefault(entry.key, (entry, {}))
        for item in entry.items:
            items.setdefault(item.get("id"), item)
    return [_with(first, list(items.values())) for first, items in found.values()]


def _with(first: Entry, items: list[dict[str, Any]]) -> Entry:
    """The entry of a scene with all of its items: itself, where it has them."""
    alone = len({item.get("id") for item in first.items}) == len(items)
    return first if alone else replace(first, source=items)


def item_entry(item: Any, base: str | None, where: str = "", limits: str | None = None) -> Entry:
    """Make the entry of a STAC item; of one that is none, an entry that fails, and says where it stands."""
    try:
        return Entry(stac_item.slim(item), base, origin=_origin(limits))
    except LandsatDownsampleError as error:
        return failing_entry(item, error, where)


def failing_entry(what: object, error: LandsatDownsampleError, where: str = "") -> Entry:
    """Make an entry that fails when its turn comes, under the name of what it was made of."""
    name = what.get("id") if isinstance(what, dict) else what
    name = name if isinstance(name, str) and name.strip() else "an entry without a name"
    return Entry(plain(name, 80), error=UsageError(f"{where}{error}"))


def _origin(limits: str | None) -> str | None:
    return limits if limits and not Location(limits).is_local else None


def entries_of(record: Any, base: str | None = None, limits: str | None = None) -> Iterator[Entry]:
    """Entries of a JSON value.

    Parameters
    ----------
    base : str, optional
        Where items in it were read.
    limits : str, optional
        The list it stands in, if that may limit what it points to.
    """
    if isinstance(record, str):
        yield href_entry(record, limits)
    elif isinstance(record, list):
        yield from _of_many(record, base, limits)
    elif checked_item.is_item(record):
        yield item_entry(record, base, limits=limits)
    elif isinstance(record, dict) and record.get("type") == "FeatureCollection":
        yield from _of_collection(record, base, limits)
    elif isinstance(record, dict) and isinstance(record.get("invalid"), str):
        yield failing_entry(record.get("source"), UsageError(record["invalid"]))
    elif isinstance(record, dict) and record.get("source") is not None:
        said = record.get("origin")
        limits = _origin(limits) or (said if isinstance(said, str) else limits)
        tile = record["tile"] if isinstance(record.get("tile"), str) else None
        for entry in entries_of(record["source"], _base(record, base, limits), limits):
            yield replace(entry, tile=tile, unproven=record.get("unproven") is True)
    elif isinstance(record, dict) and isinstance(record.get("href"), str) and "status" not in record:
        yield href_entry(record["href"], limits)
    else:
        raise UsageError(refusal(record))


def _of_collection(record: dict[str, Any], base: str | None, limits: str | None) -> Iterator[Entry]:
    items = record.get("features")
    if not isinstance(items, list) or (items and not any(map(checked_item.is_item, items))):
        raise UsageError("a FeatureCollection of other things than STAC items")
    for number, item in enumerate(items, 1):
        yield item_entry(item, base, f"item {number}: ", limits)


def _of_many(records: list[Any], base: str | None, limits: str | None) -> Iterator[Entry]:
    """Entries of a JSON list, each by itself."""
    for number, one in enumerate(records, 1):
        try:
            found = list(entries_of(one, base, limits))
        except (LandsatDownsampleError, RecursionError) as error:
            why = UsageError("nested too deep") if isinstance(error, RecursionError) else error
            found = [failing_entry(one, why, f"value {number}: ")]
        yield from found


def _base(record: dict[str, Any], base: str | None, limits: str | None) -> str | None:
    """Where the items of a line of a frozen list were read; a remote list may not say on this machine."""
    said = record.get("base")
    return _resolved(said, limits) if isinstance(said, str) and said else base


def href_entry(href: str, limits: str | None) -> Entry:
    """Make the entry of an href; of one that is none, or that a remote list may not name, one that fails."""
    try:
        Location.checked(href)
        if href.endswith("://***"):  # `redact`
            raise UsageError(f"{href!r} was not kept on record, as its @ may come after a password: give the href anew")
        return Entry(_resolved(href, limits), origin=_origin(limits))
    except LandsatDownsampleError as error:
        return failing_entry(href, error)


def _resolved(href: str, limits: str | None) -> str:
    if limits is None or (list_location := Location(limits)).is_local:
        return href
    return stac_source.resolve(href, list_location).href


def refusal(record: Any) -> str:
    """Say why a JSON value is no entry, and what to give."""
    if not isinstance(record, dict):
        return f"a bare {type(record).__name__}; give an href or a STAC item"
    if "status" in record:
        return "an outcome that does not say its source; give the list that was run"
    if record.get("type") in ("Catalog", "Collection"):
        return f"a STAC {record['type']}, which is no list; give its items, or the catalogue of one scene without @"
    return f"neither an href nor a STAC item; it has {', '.join(map(str, list(record)[:5])) or 'nothing'}"


def _lasting(href: str) -> str:
    """An href as it may be kept: absolute and without secrets."""
    return Location(href).path if "://" not in href else redact(href)
