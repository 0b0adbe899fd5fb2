"""STAC items, catalogues and collections as sources of scenes: parsed, without fetching anything. Pure.

Three flavours of item are known: USGS (whose main hrefs need a login, so that its S3 alternates
are taken), Planetary Computer (asset keys are common names, item ids lack the processing date)
and Element84 Earth Search. What a remote document says is not trusted: it may point to remote
places only, so that opening a scene cannot be made to read this machine's files or services.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urljoin, urlsplit, urlunsplit

from landsat_downsample.errors import SceneError
from landsat_downsample.formats import checked_item, product_id
from landsat_downsample.formats.product_id import ProductId
from landsat_downsample.formats.scene_files import File, Listing, catalogue, is_of_product, metadata_kind
from landsat_downsample.model.bands import BandSpec, find, specs
from landsat_downsample.model.family import HrefRule, href_rules
from landsat_downsample.model.inner_hosts import host_name, is_inside
from landsat_downsample.model.location import BUCKETS, WEB, Location
from landsat_downsample.model.policy import Policy

_REMOTE = (*WEB, "s3")

_IPV6 = re.compile(r"\[[0-9A-Fa-f:.]*\]")

#: Keys of assets that a product repeats of its source: such as can be typed, and shown.
_PLAIN_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{,63}")


def load(data: bytes, location: Location) -> dict[str, Any] | list[Any]:
    """Parse a JSON document.

    Raises
    ------
    SceneError
        It is not JSON.
    """
    try:
        record = json.loads(data)
    except (ValueError, RecursionError) as error:
        start = data.lstrip()[:1]
        what = "a web page (a login or error page?)" if start == b"<" else "not JSON"
        raise SceneError(f"{location!r} is {what}: give a STAC item, a catalogue or an MTL file") from error
    if not isinstance(record, dict | list):
        raise SceneError(f"{location!r} holds a bare {type(record).__name__}: give a STAC item or a catalogue")
    return record


def items(record: dict[str, Any] | list[Any], location: Location) -> list[dict[str, Any]] | None:
    """The items that a document holds itself: one, or those of a search result; None for anything else."""
    if checked_item.is_item(record):
        return [record]
    if isinstance(record, dict) and record.get("type") == "FeatureCollection":
        record = record.get("features", [])
    if isinstance(record, list):
        if not all(map(checked_item.is_item, record)):
            raise SceneError(f"{location!r} is a list of other things than STAC items")
        return record
    return None


def links(
    record: dict[str, Any], location: Location, allowed: Collection[str] | None = None
) -> tuple[list[Location], list[Location]]:
    """Where the items are, and of the child catalogues, that a catalogue or collection points to."""
    if record.get("type") not in ("Catalog", "Collection") and "links" not in record:
        raise SceneError(f"{location!r} is neither a STAC item nor a catalogue, nor an MTL file")
    items, children = ([link["href"] for link in checked_item.links(record, rel)] for rel in ("item", "child"))
    return [resolve(one, location, allowed) for one in items], [resolve(one, location, allowed) for one in children]


def listing(
    entries: list[tuple[dict[str, Any], Location]],
    location: Location,
    siblings: Mapping[Location, Iterable[str]] | None = None,
    allowed: Collection[str] | None = None,
) -> Listing:
    """List the files of the scene that STAC items describe.

    Parameters
    ----------
    entries : list of (item, location)
        Items of one scene (USGS has one for reflectance and one for temperature), and where each was read.
    location : Location
        What was asked for.
    siblings : mapping of Location to iterable of str, optional
        For each item's location, the names of the files in its own folder when that is on this
        machine: those are taken in place of remote ones.
    allowed : collection of str, optional
        As in `resolve`.

    Raises
    ------
    SceneError
        They are not one scene of Landsat Collection 2, or point where they must not.
    """
    files: dict[str, tuple[str, dict[str, Any], File]] = {}
    metadata: dict[str, Location] = {}
    pays = False
    entries = [(checked_item.checked(item), base) for item, base in entries]
    for item, base in entries:
        for key, asset in item["assets"].items():
            file, payer = _file(asset, base, (siblings or {}).get(base, ()), allowed)
            name = file.location.name
            kind = metadata_kind(name)
            if kind:
                metadata.setdefault(kind, file.location)
            elif is_raster(asset, name):
                file = replace(file, asset_key=key if _PLAIN_KEY.fullmatch(key) else None)
                files.setdefault(name, (key, asset, file))
                pays = pays or payer
    first, base = entries[0]
    common = Listing(
        "",
        location,
        metadata=metadata,
        properties=properties(item for item, _ in entries),
        item_href=base.shown,
        requester_pays=pays,
    )
    if _is_single_file(first, files):
        name, (_, _, file) = next(iter(files.items()))
        return replace(common, id=product_id.stem(name), files={"": file}, single_file=True)
    return _scene(entries, files, common)


def asset_keys(item: dict[str, Any] | list[Any]) -> dict[str, str]:
    """Keys of the assets of a product of ours, by file name; not the USGS names that they were in its first items.

    Raises
    ------
    SceneError
        It is no item.
    """
    assets = checked_item.checked(item)["assets"].items()
    keys = {Location(asset["href"]).name: key for key, asset in assets if _PLAIN_KEY.fullmatch(key)}
    return {name: key for name, key in keys.items() if not product_id.stem(name).endswith(f"_{key}")}


def _scene(entries: list[tuple[dict[str, Any], Location]], files: dict[str, Any], common: Listing) -> Listing:
    ids = [item["id"] for item, _ in entries]
    product = _product(ids, files)
    if product is None and len(set(ids)) > 1:
        raise SceneError(
            f"{len(ids)} STAC items without a Landsat product id: {', '.join(ids[:4])}; open them one by one"
        )
    sensor, level = (
        (product.sensor, product.level)
        if product
        else _sensor_of(properties(item for item, _ in entries), ids[0], files)
    )
    known = catalogue(product) if product else specs(sensor, level)
    found, skipped = _bands(files, known)
    if not found:
        raise SceneError(
            f"STAC item {ids[0]!r} has no asset that is a Landsat band: it has {', '.join(files) or 'none'}"
        )
    bands = [name for name in known if name in found]
    return replace(
        common,
        id=product.id if product else re.sub("_(SR|ST)$", "", ids[0]),
        sensor=sensor,
        level=level,
        specs={band: found[band][0] for band in bands},
        files={band: found[band][1] for band in bands},
        skipped=skipped,
    )


def _bands(
    files: dict[str, Any], known: dict[str, BandSpec]
) -> tuple[dict[str, tuple[BandSpec, File]], tuple[str, ...]]:
    """What each asset means and where it is, by USGS name; and names of rasters that mean nothing to us."""
    found: dict[str, tuple[BandSpec, File]] = {}
    skipped = []
    for name, (key, asset, file) in files.items():
        spec = _spec(name, key, asset, known)
        if spec is not None:
            found.setdefault(spec.name, (spec, file))
        elif not is_of_product(
            parts.suffix if (parts := product_id.parse_file(name)) else product_id.stem(name), known
        ):
            skipped.append(name)
    return found, tuple(skipped)


def properties(items: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """What items of one scene say of it; the first one that says something counts."""
    merged: dict[str, Any] = {}
    for item in items:
        merged = {**checked_item.properties(item.get("properties")), **merged}
    return merged


def is_raster(asset: dict[str, Any], name: str) -> bool:
    """Whether an asset is a TIFF, by its name or its media type."""
    return product_id.is_tiff(name) or "tiff" in asset.get("type", "").lower()


def _is_single_file(item: dict[str, Any], files: dict[str, Any]) -> bool:
    """Whether an item is about a single file rather than a scene with a single band."""
    if len(files) != 1:
        return False
    name = next(iter(files))
    return item["id"] == product_id.stem(name) or not product_id.of_scenes(name)


def _product(ids: list[str], files: dict[str, Any]) -> ProductId | None:
    """The one product that the names of files, or else the ids of items, speak of."""
    for name in (*files, *ids):
        if why := product_id.unsupported(name):
            raise SceneError(f"{name!r} {why}")
    for texts in (files, ids):
        found = {product.id: product for text in texts if (product := product_id.parse(text))}
        if len(found) > 1:
            raise SceneError(
                f"STAC items of several scenes: {', '.join(sorted(found))}; give a list of scenes as @FILE, "
                "or open them one by one"
            )
        if found:
            return next(iter(found.values()))
    return None


def _sensor_of(properties: dict[str, Any], item_id: str, names: Mapping[str, object]) -> tuple[str, int]:
    """Sensor and level that an item's properties give, where no name does."""
    platform = re.fullmatch(r"landsat[-_ ]?([1-9])", properties.get("platform", "").lower())
    instruments = properties.get("instruments", ())
    level = re.match(r"L([12])", str(properties.get("landsat:correction", "")))
    if platform and level:
        number = int(platform.group(1))
        mss = number < 4 or "mss" in instruments
        letter = {7: "E", 8: "C", 9: "C"}.get(number, "M" if mss else "T")
        sensor = product_id.sensor_hint(f"L{letter}0{number}_")
        if sensor:
            return sensor, int(level.group(1))
    if platform and names:
        raise SceneError(
            f"STAC item {item_id!r} is of Landsat, but of another family of products than USGS's Collection 2: "
            f"its files have names such as {next(iter(names))!r}; give that scene, or its files one by one"
        )
    raise SceneError(f"STAC item {item_id!r} is not a Landsat scene: neither its file names nor its properties say so")


def _spec(name: str, key: str, asset: dict[str, Any], known: dict[str, BandSpec]) -> BandSpec | None:
    parts = product_id.parse_file(name)
    if parts is not None:
        return find(parts.suffix, known)
    words = [key, *(band["common_name"] for band in asset.get("eo:bands", ()))]
    return next((spec for word in words if word and (spec := find(re.sub(r"\.TIF$", "", word), known))), None)


def _file(
    asset: dict[str, Any], base: Location, siblings: Iterable[str], allowed: Collection[str] | None
) -> tuple[File, bool]:
    """Where an asset is best read from, and whether its reader pays."""
    href, pays = asset["href"], asset.get("storage:requester_pays", False)
    said = Location(href)
    here = {product_id.folded(one): one for one in siblings} if said.kind not in ("file", "tar") else {}
    if here and (found := here.get(product_id.folded(said.name))):
        return File(base.parent / found), False  # a copy on this machine; its bytes may differ
    if rule := login_rule(href):
        alternate = asset.get("alternate", {}).get(rule.alternate, {})
        href = alternate.get("href") or rule.instead + href.removeprefix(rule.begins)
        pays = alternate.get("storage:requester_pays", rule.pays)
    found_at = resolve(href, base, allowed)
    pays = pays or any(rule.pays and found_at.href.startswith(rule.instead) for rule in href_rules())
    return File(found_at, asset.get("file:size"), asset.get("file:checksum")), pays


def login_rule(href: str) -> HrefRule | None:
    """Where else the file is that an href gives after a login only; None where it may be read there."""
    return next((rule for rule in href_rules() if rule.instead and href.startswith(rule.begins)), None)


def resolve(href: str, base: Location, allowed: Collection[str] | None = None) -> Location:
    """Find what an href of a document names.

    Parameters
    ----------
    href : str
        As the document at `base` has it. A document on this machine may point anywhere; a remote
        one only to remote places, and to no host of this machine or its own network but its own.
    allowed : collection of str, optional
        Hosts that may be inside all the same, as `inner_hosts.canonical` spells them; those of the environment if not
        given. What other names resolve to is judged when they are connected to.

    Raises
    ------
    SceneError
        It points where it must not.
    UsageError
        It is no href.
    """
    found = Location.checked(href)
    if base.is_local:
        if "://" in href or href.startswith("/"):
            return found
        if base.kind == "tar" or base.is_archive:
            return base.parent / posixpath.basename(href)
        return Location(posixpath.normpath(posixpath.join(base.parent.href, href)))
    if "://" not in href:
        return _relative(href, base)
    if found.kind not in (*_REMOTE, base.kind) or "::" in _IPV6.sub("", href):
        raise _refused(found, base, "only http(s) and s3 are allowed there")
    if found.kind not in BUCKETS:
        host = host_name(found)
        if found.kind not in WEB and host != host_name(base):
            raise _refused(found, base, "another host is not allowed there")
        if host != host_name(base) and is_inside(host) and host not in _allowed(allowed):
            raise _refused(
                found, base, f"that is this machine or its own network (if it is meant: --allow-host {host})"
            )
    return found


def _allowed(hosts: Collection[str] | None) -> Collection[str]:
    return Policy.from_environ().allow_hosts if hosts is None else hosts


def _relative(href: str, base: Location) -> Location:
    if href.startswith("/") or "\\" in href or re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", href):
        raise _refused(Location(href), base, "a path of a machine is not allowed there")
    if base.kind in WEB:
        parts = urlsplit(urljoin(base.href, href))
        query = parts.query or urlsplit(base.href).query  # a signature for the item's folder
        return Location(urlunsplit((parts.scheme, parts.netloc, parts.path, query, "")))
    head, _, key = base.parent.href.partition("://")
    path = posixpath.normpath(posixpath.join(key, href))
    if path.startswith(".."):
        raise _refused(Location(href), base, "it leaves its store")
    return Location(f"{head}://{path}")


def _refused(found: Location, base: Location, why: str) -> SceneError:
    return SceneError(f"{base!r} points to {found!r}: {why}; refused")
