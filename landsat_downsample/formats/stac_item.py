"""Single STAC items: which scene one belongs to, where it is, and the part of it that opening the scene needs. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection
from contextlib import suppress
from typing import Any

from landsat_downsample.errors import SceneError
from landsat_downsample.formats import product_id, stac_source
from landsat_downsample.formats.checked_item import checked, is_item, links
from landsat_downsample.formats.scene_files import metadata_kind
from landsat_downsample.model.location import Location, container, redact

__all__ = ["checked", "is_item", "own_location", "scene_id", "slim", "without_secrets"]


def scene_id(item: dict[str, Any]) -> str:
    """Name the scene that an item is of: its product ID where its id holds one.

    USGS has two items for one scene, which differ by an ending.

    >>> scene_id({"id": "LC08_L2SP_008059_20191201_20200825_02_T1_ST"})
    'LC08_L2SP_008059_20191201_20200825_02_T1'
    """
    text = str(item.get("id", ""))
    try:
        product = product_id.parse(text)
    except SceneError:
        product = None
    return product.id if product else re.sub("_(SR|ST)$", "", text)


def own_location(item: dict[str, Any], base: Location, allowed: Collection[str] | None = None) -> Location:
    """Where an item itself is: its ``self`` link, as far as the document it was read from may say so.

    An item on this machine is where it was read: its link often says where it was downloaded from.
    """
    if base.is_local:
        return base
    for link in links(item, "self")[:1]:
        with suppress(SceneError, ValueError):
            return stac_source.resolve(link["href"], base, allowed)
    return base


def slim(item: dict[str, Any]) -> dict[str, Any]:
    """Keep of an item what opening its scene needs; about a tenth of a Planetary Computer item.

    Signatures of the Planetary Computer are dropped: they last 45 minutes, and readers sign anew.

    Raises
    ------
    SceneError
        See `checked`.
    """
    made = checked(item)
    made.pop("bbox", None)
    return made | {"assets": {key: _slim_asset(one) for key, one in made["assets"].items() if _is_wanted(one)}}


def without_secrets(item: dict[str, Any]) -> dict[str, Any]:
    """An item as `slim` gives it, whose hrefs hold no signature, user name or password."""
    assets = {key: _public_asset(asset) for key, asset in item["assets"].items()}
    return item | {"assets": assets, "links": [link | {"href": redact(link["href"])} for link in item["links"]]}


def _public_asset(asset: dict[str, Any]) -> dict[str, Any]:
    made = asset | {"href": redact(asset["href"])}
    if "alternate" in asset:
        s3 = asset["alternate"]["s3"]
        made["alternate"] = {"s3": s3 | {"href": redact(s3["href"])}}
    return made


def _is_wanted(asset: dict[str, Any]) -> bool:
    location = Location(asset["href"])
    if location.kind == "tar":
        return True
    name = location.name
    return bool(metadata_kind(name)) or stac_source.is_raster(asset, name)


def _slim_asset(asset: dict[str, Any]) -> dict[str, Any]:
    unsigned = redact(asset["href"])
    made = asset | ({"href": unsigned} if container(Location(unsigned)) else {})
    if not stac_source.login_rule(asset["href"]):  # elsewhere its alternates are passed over
        made.pop("alternate", None)
    return made


def is_item_name(name: str) -> bool:
    """Whether a file is called as USGS, DEA and we call items.

    >>> is_item_name("LC08_L2SP_008059_20191201_20200825_02_T1_SR_stac.json")
    True
    """
    return name.lower().endswith(("_stac.json", ".stac.json", ".stac-item.json"))
