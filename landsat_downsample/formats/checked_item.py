"""STAC items of others: a field is taken over where it has the type that it must have, and left out otherwise. Pure.

Whatever reads a field of an item reads it from what `checked` gives, and need not ask for its type again.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeGuard

from landsat_downsample.errors import SceneError, UsageError
from landsat_downsample.formats.product_id import is_tiff
from landsat_downsample.model.location import Location

#: Texts that a product repeats of its source, and how they begin: the bare date of USGS items of 2020 is no moment.
_DATE = r"\d{4}-\d\d-\d\d"
_TEXTS = {"datetime": _DATE + "T", "start_datetime": _DATE, "end_datetime": _DATE, "platform": ""}
_PREFIXES = ("view:", "landsat:", "sci:")

#: No file has as many bytes, and no number that means something is as large: JSON has them all the same.
_LARGEST, _ENDLESS = 1 << 53, 1e300


def is_item(record: object) -> TypeGuard[dict[str, Any]]:
    """Whether a JSON value looks like a STAC item."""
    return isinstance(record, dict) and record.get("type") == "Feature"


def checked(record: object) -> dict[str, Any]:
    """Take over of an item what opening its scene needs, and nothing that has another type than it must have.

    Raises
    ------
    SceneError
        It is no item, has no id or no assets, or the href of a raster is none.
    """
    if not is_item(record):
        raise SceneError(f"a {type(record).__name__} is not a STAC item: give one, or an href")
    name, assets = record.get("id"), record.get("assets")
    if not _is_text(name):
        raise SceneError("a STAC item has no id, or one that is no text: give one that says which scene it is of")
    if not isinstance(assets, dict):
        raise SceneError(f"STAC item {name!r} has no assets: give one that lists its files")
    found = {key: asset for key, one in assets.items() if (asset := _asset(name, key, one))}
    made = {key: record[key] for key in ("type", "stac_version", "collection") if isinstance(record.get(key), str)}
    made |= {"id": name, "properties": properties(record.get("properties")), "assets": found}
    if _are(record.get("bbox"), _is_number):
        made["bbox"] = record["bbox"]
    return made | {"links": [{"rel": "self", "href": link["href"]} for link in links(record, "self")[:1]]}


def links(record: object, rel: str) -> list[dict[str, Any]]:
    """Links of one kind that a document has."""
    found = record.get("links") if isinstance(record, dict) else None
    return [
        link
        for link in (found if isinstance(found, list) else ())
        if isinstance(link, dict) and link.get("rel") == rel and isinstance(link.get("href"), str)
    ]


def properties(record: object) -> dict[str, Any]:
    """Properties of an item that a product repeats of its source."""
    if not isinstance(record, dict):
        return {}
    made = {
        key: record[key] for key, form in _TEXTS.items() if _is_text(record.get(key)) and re.match(form, record[key])
    }
    if _are(record.get("instruments"), _is_text):
        made["instruments"] = record["instruments"]
    if _is_number(record.get("eo:cloud_cover")):
        made["eo:cloud_cover"] = record["eo:cloud_cover"]
    for key in (key for key in record if key.startswith(_PREFIXES)):
        if _is_number(record[key]) if key.startswith("view:") else _is_plain(record[key]):
            made[key] = record[key]
    return made


def _asset(item: str, key: str, record: object) -> dict[str, Any] | None:
    """A file of an item; None where it says of no file, or of one that is no raster where it cannot be."""
    if not isinstance(record, dict) or not isinstance(record.get("href"), str):
        return None
    href = record["href"]
    made = {name: record[name] for name in ("href", "type", "file:checksum") if isinstance(record.get(name), str)}
    try:
        Location.checked(href)
    except UsageError as error:
        if not is_tiff(href) and "tiff" not in made.get("type", "").lower():
            return None
        raise SceneError(f"STAC item {item!r}, asset {key!r}: {error}") from error
    size = record.get("file:size")
    if isinstance(size, int) and not isinstance(size, bool) and 0 <= size < _LARGEST:
        made["file:size"] = size
    if isinstance(record.get("storage:requester_pays"), bool):
        made["storage:requester_pays"] = record["storage:requester_pays"]
    bands = record.get("eo:bands")
    if names := [one["common_name"] for one in (bands if isinstance(bands, list) else ()) if _has_name(one)]:
        made["eo:bands"] = [{"common_name": name} for name in names]
    if alternate := _s3(record.get("alternate")):
        made["alternate"] = {"s3": alternate}
    return made


def _s3(alternate: object) -> dict[str, Any] | None:
    """Where the asset is on S3, as USGS says it besides its own href."""
    record = alternate.get("s3") if isinstance(alternate, dict) else None
    if not isinstance(record, dict) or not isinstance(record.get("href"), str):
        return None
    try:
        Location.checked(record["href"])
    except UsageError:
        return None
    pays = record.get("storage:requester_pays")
    return {"href": record["href"]} | ({"storage:requester_pays": pays} if isinstance(pays, bool) else {})


def _has_name(band: object) -> bool:
    return isinstance(band, dict) and _is_text(band.get("common_name"))


def _are(value: object, usable: Callable[[object], bool]) -> bool:
    return isinstance(value, list) and bool(value) and all(map(usable, value))


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _ENDLESS


def _is_text(value: object) -> TypeGuard[str]:
    """Whether it is a word or line that says something and can be shown."""
    return isinstance(value, str) and bool(value.strip()) and value.isprintable()


def _is_plain(value: object, depth: int = 3) -> bool:
    """Whether JSON can hold it again, within some depth."""
    if isinstance(value, list | dict):
        parts = value if isinstance(value, list) else [*value, *value.values()]
        return depth > 0 and all(_is_plain(part, depth - 1) for part in parts)
    if isinstance(value, str):
        return not re.search("[\ud800-\udfff]", value)
    return isinstance(value, bool) or _is_number(value)
