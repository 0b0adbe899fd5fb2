"""What is asked of a STAC API, and whether an item is what was asked for. Pure."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime as Moment
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from landsat_downsample.batch import time_range
from landsat_downsample.errors import SceneError, UsageError
from landsat_downsample.formats import product_id
from landsat_downsample.formats.product_id import ProductId
from landsat_downsample.model.location import WEB, Location, redact, redacted_repr
from landsat_downsample.model.words import words

#: Items in a page: Planetary Computer and Earth Search refuse or time out on much larger ones.
PAGE = 100

#: Seconds: 100 000 scenes are a thousand pages.
SEARCH_TIME = 3600

#: What the three known hosts call their Landsat collections, by a part of the API's URL.
COLLECTIONS = {
    "planetarycomputer.microsoft.com": ("landsat-c2-l2", "landsat-c2-l1"),
    "earth-search.aws.element84.com": ("landsat-c2-l2",),
    "landsatlook.usgs.gov": ("landsat-c2l2-sr", "landsat-c2l2-st", "landsat-c2l1"),
}

_TIERS = ("T1", "T2", "RT")
_CLOUD, _PATH, _ROW = "eo:cloud_cover", "landsat:wrs_path", "landsat:wrs_row"
_TIER = "landsat:collection_category"


@dataclass(frozen=True, slots=True)
class Query:
    """A search for Landsat scenes; checked, and spelled in one way, when it is made.

    Raises
    ------
    UsageError
        Something in it makes no sense.
    """

    __repr__ = redacted_repr

    url: str
    """Of the STAC API, or of its ``/search``."""
    collections: tuple[str, ...]
    """As the API calls them: ``landsat-c2-l2`` at the Planetary Computer and Earth Search (level 1:
    ``landsat-c2-l1``); ``landsat-c2l2-sr`` and ``landsat-c2l2-st`` at USGS, which make one scene together."""
    bbox: tuple[float, float, float, float] | None = None
    """(west, south, east, north) in degrees; west > east crosses the antimeridian."""
    datetime: str | None = None
    """A date or range; kept as an RFC 3339 range."""
    path_row: tuple[str, ...] = ()
    """``PPP/RRR``, any of these."""
    cloud_cover: float | None = None
    """Most per cent of cloud; scenes that do not state theirs do not fit."""
    tier: str | None = None
    """``T1``, ``T2`` or ``RT``."""
    limit: int | None = None
    """Most scenes to take."""
    search_time: float = SEARCH_TIME
    """Seconds after which a search that is not at its end fails."""

    def __post_init__(self) -> None:
        if (url := Location(self.url)).kind not in WEB:
            raise UsageError(f"STAC API {url!r} is not a http(s) URL: give that of the API")
        collections = words(self.collections or (), empty=True)
        if not collections or not all(collections):
            known = [names for host, names in COLLECTIONS.items() if host in self.url] or COLLECTIONS.values()
            names = dict.fromkeys(name for names in known for name in names)
            raise UsageError(f"a search needs collections: give such as {', '.join(names)}")
        if self.cloud_cover is not None and not 0 <= self.cloud_cover <= 100:
            raise UsageError(f"cloud cover {self.cloud_cover!r} is not 0 to 100 per cent")
        if self.tier is not None and self.tier.upper() not in _TIERS:
            raise UsageError(f"tier {self.tier!r} is unknown: give {', '.join(_TIERS)}")
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"limit {self.limit!r} must be at least 1")
        if not self.search_time >= 0:
            raise UsageError(f"search time {self.search_time!r} must be 0 seconds or more")
        self._spell()

    def _spell(self) -> None:
        spelled = {
            "url": _root(self.url),
            "collections": tuple(dict.fromkeys(words(self.collections))),
            "bbox": _bbox(self.bbox),
            "datetime": time_range.words(time_range.parse(self.datetime)) if self.datetime is not None else None,
            "path_row": tuple(dict.fromkeys(_path_row(text) for text in words(self.path_row or (), empty=True))),
            "tier": self.tier and self.tier.upper(),
        }
        for name, value in spelled.items():
            object.__setattr__(self, name, value)

    def to_dict(self) -> dict[str, Any]:
        """Describe what is asked for in JSON types, without secrets; how long to search is no part of it."""
        record = {name: value for name, value in dataclasses.asdict(self).items() if value not in (None, ())}
        del record["search_time"]
        return record | {"url": redact(self.url)}

    @property
    def digest(self) -> str:
        """A short name for it: 12 hex digits, the same for the same search on every machine."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def __str__(self) -> str:
        asked = {name: value for name, value in self.to_dict().items() if name not in ("url", "limit")}
        return "; ".join(f"{name} {_plain(value)}" for name, value in asked.items())

    # The question ----------------------------------------------------------------------------

    def body(self, conforms: Iterable[str]) -> dict[str, Any]:
        """The question as an API takes it by POST.

        Parameters
        ----------
        conforms : iterable of str
            Conformance classes that the API declares. Properties are asked for by the Query
            extension, else by CQL2; where it has neither, `fits` alone chooses.
        """
        conforms = " ".join(conforms)
        page = min(PAGE, self.limit * len(self.collections)) if self.limit else PAGE
        body: dict[str, Any] = {"collections": list(self.collections), "limit": page}
        body |= {"bbox": list(self.bbox)} if self.bbox else {}
        body |= {"datetime": self.datetime} if self.datetime else {}
        wanted = self._properties()
        if wanted and "item-search#query" in conforms:
            body["query"] = {name: {sign: value} for name, sign, value in wanted}
        elif wanted and "item-search#filter" in conforms and "cql2-json" in conforms:
            body |= {"filter-lang": "cql2-json", "filter": _cql2(wanted)}
        return body

    def _properties(self) -> list[tuple[str, str, object]]:
        wanted: list[tuple[str, str, object]] = []
        for name, part in ((_PATH, 0), (_ROW, 1)) if self.path_row else ():
            values = list(dict.fromkeys(text.split("/")[part] for text in self.path_row))
            wanted.append((name, "eq", values[0]) if len(values) == 1 else (name, "in", values))
        if self.cloud_cover is not None:
            wanted.append((_CLOUD, "lte", self.cloud_cover))
        if self.tier:
            wanted.append((_TIER, "eq", self.tier))
        return wanted

    # The answer ------------------------------------------------------------------------------

    def fits(self, item: dict[str, Any]) -> bool:
        """Whether a checked item is what was asked for: some APIs pass over what they do not know."""
        properties, product = item["properties"], _product(item)
        return (
            item.get("collection", self.collections[0]) in self.collections
            and is_landsat(item)
            and (not self.path_row or _place_of(properties, product) in self.path_row)
            and (self.cloud_cover is None or _clear(properties.get(_CLOUD), self.cloud_cover))
            and (not self.tier or self.tier == (properties.get(_TIER) or (product.part("tier") if product else None)))
            and (not self.datetime or _within(properties, time_range.parse(self.datetime)))
            and (not self.bbox or _touches(item.get("bbox"), self.bbox))
        )


def is_landsat(item: dict[str, Any]) -> bool:
    """Whether an item says that it is of a Landsat."""
    return item["properties"].get("platform", "").lower().startswith("landsat") or _product(item) is not None


def _product(item: dict[str, Any]) -> ProductId | None:
    try:
        return product_id.parse(item["id"])
    except SceneError:
        return None


def _root(url: str) -> str:
    """The URL of an API, of that or of its search."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=re.sub(r"(/search)?/*$", "", parts.path), fragment=""))


def _plain(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _cql2(wanted: list[tuple[str, str, object]]) -> dict[str, Any]:
    signs = {"eq": "=", "lte": "<=", "in": "in"}
    parts = [{"op": signs[sign], "args": [{"property": name}, value]} for name, sign, value in wanted]
    return parts[0] if len(parts) == 1 else {"op": "and", "args": parts}


def _bbox(bbox: Iterable[float] | None) -> tuple[float, float, float, float] | None:
    if bbox is None:
        return None
    found = tuple(float(number) for number in bbox)
    if len(found) == 4 and all(map(math.isfinite, found)):
        west, south, east, north = found
        if max(abs(west), abs(east)) <= 180 and -90 <= south <= north <= 90:
            return west, south, east, north
    raise UsageError(f"bbox {_plain(found)} is not west,south,east,north in degrees, such as 5.9,45.8,10.5,47.8")


def _path_row(text: str) -> str:
    found = re.fullmatch(r"0*(\d{1,3})\s*/\s*0*(\d{1,3})", text.strip())
    if not found or not (1 <= int(found[1]) <= 251 and 1 <= int(found[2]) <= 248):
        raise UsageError(f"path and row {text!r} are not PPP/RRR, such as 008/059 (1/1 to 251/248)")
    return f"{int(found[1]):03}/{int(found[2]):03}"


def _place_of(properties: dict[str, Any], product: ProductId | None) -> str | None:
    try:
        return f"{int(properties[_PATH]):03}/{int(properties[_ROW]):03}"
    except (KeyError, TypeError, ValueError):
        return f"{product.part('path')}/{product.part('row')}" if product else None


def _clear(cover: float | None, most: float) -> bool:
    """USGS writes -1 where cloud was not looked for."""
    return cover is not None and 0 <= cover <= most


def _within(properties: dict[str, Any], span: tuple[Moment | None, Moment | None]) -> bool:
    moments = [properties.get(name) for name in ("datetime", "start_datetime", "end_datetime")]
    try:
        found = [one for text in moments if text for one in time_range.parse(str(text)) if one]
    except UsageError:
        return False
    first, last = span
    return bool(found) and (last is None or min(found) <= last) and (first is None or max(found) >= first)


def _touches(bbox: list[float] | None, wanted: tuple[float, float, float, float]) -> bool:
    """Whether two boxes share ground; an item that has none is the API's word."""
    if not bbox or len(bbox) not in (4, 6):
        return True
    west, south, east, north = bbox if len(bbox) == 4 else (bbox[0], bbox[1], bbox[3], bbox[4])
    across = any(a <= d and c <= b for a, b in _spans(west, east) for c, d in _spans(wanted[0], wanted[2]))
    return across and south <= wanted[3] and wanted[1] <= north


def _spans(west: float, east: float) -> list[tuple[float, float]]:
    return [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]
