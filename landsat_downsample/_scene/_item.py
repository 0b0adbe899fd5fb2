"""Single STAC items: which scene one belongs to, where it is, and the part of it that opening the scene needs. Pure."""

from __future__ import annotations

import re

from landsat_downsample._errors import SceneError
from landsat_downsample._scene import _product_id, _stac_source
from landsat_downsample._scene._listing import metadata_kind
from landsat_downsample._store._hrefs import basename, is_local, redact, scheme

_FIELDS = ("type", "stac_version", "id", "collection")
_ASSET_FIELDS = ("href", "type", "file:size", "file:checksum", "storage:requester_pays")
_S3_FIELDS = ("href", "storage:requester_pays")


def is_item(record: object) -> bool:
    """Whether a JSON value looks like a STAC item."""
    return isinstance(record, dict) and record.get("type") == "Feature"


def scene_id(item: dict) -> str:
    """Name the scene that an item is of: its product ID where its id holds one.

    USGS has two items for one scene, which differ by an ending.

    >>> scene_id({"id": "LC08_L2SP_008059_20191201_20200825_02_T1_ST"})
    'LC08_L2SP_008059_20191201_20200825_02_T1'
    """
    text = str(item.get("id", ""))
    try:
        product = _product_id.parse(text)
    except SceneError:
        product = None
    return product.id if product else re.sub("_(SR|ST)$", "", text)


def own_href(item: dict, base: str) -> str:
    """Where an item itself is: its ``self`` link, as far as the document it was read from may say so.

    An item on this machine is where it was read: its link often tells where it was downloaded from.
    """
    if is_local(base):
        return base
    for link in item.get("links") or ():
        if isinstance(link, dict) and link.get("rel") == "self" and isinstance(link.get("href"), str):
            try:
                return _stac_source.resolve(link["href"], base)
            except (SceneError, ValueError):
                return base
    return base


def slim(item: dict) -> dict:
    """Keep of an item what opening its scene needs; about a tenth of a Planetary Computer item.

    Signatures of the Planetary Computer are dropped: they last 45 minutes, and readers sign anew.
    """
    made = {name: item[name] for name in _FIELDS if name in item}
    properties = item.get("properties")
    made["properties"] = _stac_source.kept(properties) if isinstance(properties, dict) else {}
    assets = item.get("assets")
    if isinstance(assets, dict):
        made["assets"] = {key: _slim_asset(one) for key, one in assets.items() if _is_wanted(one)}
    links = [one for one in item.get("links") or () if isinstance(one, dict) and one.get("rel") == "self"]
    made["links"] = [{"rel": "self", "href": one["href"]} for one in links[:1] if isinstance(one.get("href"), str)]
    return made


def without_secrets(item: dict) -> dict:
    """An item as `slim` gives it, whose hrefs hold no signature, user name or password."""
    assets = {key: _public_asset(asset) for key, asset in (item.get("assets") or {}).items()}
    links = [link | {"href": redact(link["href"])} for link in item.get("links") or ()]
    return item | ({"assets": assets} if "assets" in item else {}) | {"links": links}


def _public_asset(asset: dict) -> dict:
    made = asset | {"href": redact(asset["href"])}
    s3 = (asset.get("alternate") or {}).get("s3") or {}
    if isinstance(s3.get("href"), str):
        made["alternate"] = {"s3": s3 | {"href": redact(s3["href"])}}
    return made


def _is_wanted(asset: object) -> bool:
    if not isinstance(asset, dict) or not isinstance(asset.get("href"), str):
        return False
    if scheme(asset["href"]) == "tar":
        return True
    name = basename(asset["href"])
    return bool(metadata_kind(name)) or _stac_source.is_raster(asset, name)


def _slim_asset(asset: dict) -> dict:
    from landsat_downsample._store import _signing  # not above: a scene that is no item needs none of it

    made = {name: asset[name] for name in _ASSET_FIELDS if name in asset}
    unsigned = redact(asset["href"])
    if _signing.container(unsigned):
        made["href"] = unsigned
    s3 = (asset.get("alternate") or {}).get("s3") if asset["href"].startswith(_stac_source.USGS_LOGIN) else None
    if isinstance(s3, dict):
        made["alternate"] = {"s3": {name: s3[name] for name in _S3_FIELDS if name in s3}}
    bands = [one for one in asset.get("eo:bands") or () if isinstance(one, dict) and "common_name" in one]
    if bands:
        made["eo:bands"] = [{"common_name": one["common_name"]} for one in bands]
    return made
