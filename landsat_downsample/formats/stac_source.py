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
from landsat_downsample.formats.scene_files import File, Listing, catalogue, metadata_kind
from landsat_downsample.model.bands import BandSpec, find, specs
from landsat_downsample.model.inner_hosts import host_name, is_inside
from landsat_downsample.model.location import (
    BUCKETS,
    basename,
    check,
    is_local,
    is_tar,
    join,
    redact,
    scheme,
    split_tar,
)
from landsat_downsample.model.policy import Policy
from landsat_downsample.model.product import FRACTIONS

_WEB = ("http", "https")
_REMOTE = (*_WEB, "s3")

_IPV6 = re.compile(r"\[[0-9A-Fa-f:.]*\]")

#: USGS serves the same tree twice: after a login here, and to requesters who pay on S3.
USGS_LOGIN = "https://landsatlook.usgs.gov/data/"
_USGS_BUCKET = "s3://usgs-landsat/"


def load(data: bytes, href: str) -> dict[str, Any] | list[Any]:
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
        raise SceneError(f"{redact(href)!r} is {what}: give a STAC item, a catalogue or an MTL file") from error
    if not isinstance(record, dict | list):
        raise SceneError(f"{redact(href)!r} holds a bare {type(record).__name__}: give a STAC item or a catalogue")
    return record


def items(record: dict[str, Any] | list[Any], href: str) -> list[dict[str, Any]] | None:
    """The items that a document holds itself: one, or those of a search result; None for anything else."""
    if checked_item.is_item(record):
        return [record]
    if isinstance(record, dict) and record.get("type") == "FeatureCollection":
        record = record.get("features", [])
    if isinstance(record, list):
        if not all(map(checked_item.is_item, record)):
            raise SceneError(f"{redact(href)!r} is a list of other things than STAC items")
        return record
    return None


def links(record: dict[str, Any], href: str, allowed: Collection[str] | None = None) -> tuple[list[str], list[str]]:
    """Hrefs of the items, and of the child catalogues, that a catalogue or collection points to."""
    if record.get("type") not in ("Catalog", "Collection") and "links" not in record:
        raise SceneError(f"{redact(href)!r} is neither a STAC item nor a catalogue, nor an MTL file")
    items, children = ([link["href"] for link in checked_item.links(record, rel)] for rel in ("item", "child"))
    return [resolve(one, href, allowed) for one in items], [resolve(one, href, allowed) for one in children]


def listing(
    entries: list[tuple[dict[str, Any], str]],
    href: str,
    siblings: Mapping[str, Iterable[str]] | None = None,
    allowed: Collection[str] | None = None,
) -> Listing:
    """List the files of the scene that STAC items describe.

    Parameters
    ----------
    entries : list of (item, href)
        Items of one scene (USGS has one for reflectance and one for temperature), and where each was read.
    href : str
        What was asked for.
    siblings : mapping of str to iterable of str, optional
        For each item's href, the names of the files in its own folder when that is on this
        machine: those are taken in place of remote ones.
    allowed : collection of str, optional
        As in `resolve`.

    Raises
    ------
    SceneError
        They are not one scene of Landsat Collection 2, or point where they must not.
    """
    files: dict[str, tuple[str, dict[str, Any], File]] = {}
    metadata: dict[str, str] = {}
    pays = False
    entries = [(checked_item.checked(item), base) for item, base in entries]
    for item, base in entries:
        for key, asset in item["assets"].items():
            file, payer = _file(asset, base, (siblings or {}).get(base, ()), allowed)
            name = basename(file.href)
            kind = metadata_kind(name)
            if kind:
                metadata.setdefault(kind, file.href)
            elif is_raster(asset, name):
                files.setdefault(name, (key, asset, file))
                pays = pays or payer
    first, base = entries[0]
    common = Listing(
        "",
        href,
        metadata=metadata,
        properties=_properties(entries),
        item_href=redact(base),
        requester_pays=pays,
    )
    if _is_single_file(first, files):
        name, (_, _, file) = next(iter(files.items()))
        return replace(common, id=product_id.stem(name), files={"": file}, single_file=True)
    return _scene(entries, files, common)


def _scene(entries: list[tuple[dict[str, Any], str]], files: dict[str, Any], common: Listing) -> Listing:
    ids = [item["id"] for item, _ in entries]
    product = _product(ids, files)
    if product is None and len(set(ids)) > 1:
        raise SceneError(
            f"{len(ids)} STAC items without a Landsat product id: {', '.join(ids[:4])}; open them one by one"
        )
    sensor, level = (product.sensor, product.level) if product else _sensor_of(_properties(entries), ids[0], files)
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
        elif not product_id.stem(name).endswith(FRACTIONS):
            skipped.append(name)
    return found, tuple(skipped)


def _properties(entries: list[tuple[dict[str, Any], str]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for item, _ in entries:
        merged = {**item["properties"], **merged}
    return merged


def is_raster(asset: dict[str, Any], name: str) -> bool:
    """Whether an asset is a TIFF, by its name or its media type."""
    return product_id.is_tiff(name) or "tiff" in asset.get("type", "").lower()


def _is_single_file(item: dict[str, Any], files: dict[str, Any]) -> bool:
    """Whether an item is about a single file rather than a scene with a single band."""
    if len(files) != 1:
        return False
    name = next(iter(files))
    return item["id"] == product_id.stem(name) or product_id.era(name) != "c2"


def _product(ids: list[str], files: dict[str, Any]) -> ProductId | None:
    """The one product that the names of files, or else the ids of items, speak of."""
    for name in (*files, *ids):
        if why := product_id.unsupported(name):
            raise SceneError(f"{name!r} {why}: give a Collection 2 scene")
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
        return known.get(parts.suffix)
    words = [key, *(band["common_name"] for band in asset.get("eo:bands", ()))]
    return next((spec for word in words if word and (spec := find(re.sub(r"\.TIF$", "", word), known))), None)


def _file(
    asset: dict[str, Any], base: str, siblings: Iterable[str], allowed: Collection[str] | None
) -> tuple[File, bool]:
    """Where an asset is best read from, and whether its reader pays."""
    href, pays = asset["href"], asset.get("storage:requester_pays", False)
    name = basename(href) if scheme(href) != "tar" else ""
    here = {product_id.folded(one): one for one in siblings} if scheme(href) != "file" else {}
    if found := here.get(product_id.folded(name)):
        return File(join(folder_of(base), found)), False  # a copy on this machine; its bytes may differ
    if href.startswith(USGS_LOGIN):
        alternate = asset.get("alternate", {}).get("s3", {})
        href = alternate.get("href") or _USGS_BUCKET + href.removeprefix(USGS_LOGIN)
        pays = alternate.get("storage:requester_pays", True)
    href = resolve(href, base, allowed)
    return File(href, asset.get("file:size"), asset.get("file:checksum")), pays or href.startswith(_USGS_BUCKET)


def folder_of(href: str) -> str:
    """The folder or prefix that holds a file; the archive, for a member of one.

    >>> folder_of("https://host/a/item.json?sig=x")
    'https://host/a?sig=x'
    """
    kind = scheme(href)
    if kind == "tar":
        return split_tar(href)[1]
    if kind in _WEB:
        parts = urlsplit(href)
        return urlunsplit((parts.scheme, parts.netloc, posixpath.dirname(parts.path), parts.query, ""))
    return href.rpartition("/")[0] or "/"


def resolve(href: str, base: str, allowed: Collection[str] | None = None) -> str:
    """Make an href of a document absolute.

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
    check(href)
    if is_local(base):
        if "://" in href or href.startswith("/"):
            return href
        if scheme(base) == "tar" or is_tar(base):
            return join(folder_of(base), posixpath.basename(href))
        return posixpath.normpath(posixpath.join(folder_of(base), href))
    if "://" not in href:
        return _relative(href, base)
    if scheme(href) not in (*_REMOTE, scheme(base)) or "::" in _IPV6.sub("", href):
        raise _refused(href, base, "only http(s) and s3 are allowed there")
    if scheme(href) not in BUCKETS:
        host = host_name(href)
        if scheme(href) not in _WEB and host != host_name(base):
            raise _refused(href, base, "another host is not allowed there")
        if host != host_name(base) and is_inside(host) and host not in _allowed(allowed):
            raise _refused(href, base, f"that is this machine or its own network (if it is meant: --allow-host {host})")
    return href


def _allowed(hosts: Collection[str] | None) -> Collection[str]:
    return Policy.from_environ().allow_hosts if hosts is None else hosts


def _relative(href: str, base: str) -> str:
    if href.startswith("/") or "\\" in href or re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", href):
        raise _refused(href, base, "a path of a machine is not allowed there")
    if scheme(base) in _WEB:
        parts = urlsplit(urljoin(base, href))
        query = parts.query or urlsplit(base).query  # a signature for the item's folder
        return urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))
    head, _, key = folder_of(base).partition("://")
    path = posixpath.normpath(posixpath.join(key, href))
    if path.startswith(".."):
        raise _refused(href, base, "it leaves its store")
    return f"{head}://{path}"


def _refused(href: str, base: str, why: str) -> SceneError:
    return SceneError(f"{redact(base)!r} points to {redact(href)!r}: {why}; refused")
