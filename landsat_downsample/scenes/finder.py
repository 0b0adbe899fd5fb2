"""From an href to the list of a scene's files, whatever form the scene comes in; no raster is opened."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from landsat_downsample.errors import MissingError, NoSceneError, ReadError, SceneError
from landsat_downsample.formats import granule, product_id, scene_files, stac_item, stac_source
from landsat_downsample.formats.mtl import parse
from landsat_downsample.formats.mtl import properties as properties_module
from landsat_downsample.formats.mtl.document import MAX_BYTES, Mtl
from landsat_downsample.formats.product_id import ProductId
from landsat_downsample.formats.scene_files import File, Listing
from landsat_downsample.model.family import Family, metadata_kinds
from landsat_downsample.model.location import WEB, Location
from landsat_downsample.model.policy import Policy
from landsat_downsample.model.product import MARKER, SUFFIX
from landsat_downsample.model.words import grouped
from landsat_downsample.scenes.validity import SIDECARS
from landsat_downsample.storage.files import exists, list_folders, list_names, read_bytes
from landsat_downsample.storage.regular_files import open_regular

_MTL = re.compile(r"(?:^|[_-])MTL\.(json|txt|xml)$", re.IGNORECASE)
_ITEM = re.compile(r"/items/[^/]+/?$")
_FORMATS = ("json", "txt", "xml")

#: Items are a few kB; a search result may hold hundreds.
_JSON_LIMIT = 32 << 20
#: Catalogue, its children, their children: our own stage-in writes one level.
_DEPTH = 4
_MAX_ITEMS = 16


@dataclass(frozen=True, slots=True)
class Source:
    """A listing, and the MTL where it was read on the way."""

    listing: Listing
    mtl: Mtl | None = None
    policy: Policy | None = None
    """How to read its files, where a document led to them."""


def single_file(location: Location) -> Listing:
    """A single file, whatever it is called."""
    return Listing(product_id.stem(location.name), location, files={"": File(location)}, single_file=True)


@dataclass(frozen=True, slots=True)
class Finder:
    """Finds the files of scenes, with one policy for all that it asks of remote stores."""

    policy: Policy

    def find(self, location: Location) -> Source:
        """List the files of what a user names.

        Parameters
        ----------
        location : Location
            A GeoTIFF, a folder or prefix, an MTL or another family's metadata file, a STAC item, catalogue or
            collection, or a tar.

        Raises
        ------
        SceneError
            It is no Landsat scene, or several.
        ReadError
            It cannot be listed or read.
        """
        name = location.name
        if product_id.is_tiff(name):
            return Source(single_file(location))
        if location.is_archive:
            return self._folder(location, list_names(location, policy=self.policy))
        if found := _MTL.search(name):
            return self._next_to_mtl(location, name[: found.start()])
        if (product := product_id.parse(name)) and product.family.reads(name):
            names = [n for n in list_names(location.parent, policy=self.policy) if product_id.parse(n) == product]
            source = self._of_product(location.parent, names, [], product)
            return replace(source, listing=replace(source.listing, location=location))
        if name.lower().endswith((".json", ".geojson")) or (location.kind in WEB and _ITEM.search(location.shown)):
            return self._json(location)
        here = location.kind == "file"
        return self._local(location) if here else self._folder(location, list_names(location, policy=self.policy))

    def of_items(self, items: Sequence[dict[str, Any]], base: Location) -> Source:
        """List the files of the scene that STAC items describe.

        Parameters
        ----------
        items : sequence of dict
            Of one scene.
        base : Location
            Where they were read.

        Raises
        ------
        SceneError
            They are no Landsat scene, or several, or point where they must not.
        """
        led = self._led_by(base)
        entries = [(item, stac_item.own_location(item, base, led.policy.allow_hosts)) for item in items]
        return led._stac(iter(entries), entries[0][1])

    def _led_by(self, location: Location) -> Finder:
        return Finder(self.policy.led_by(location))

    def read_mtl(self, metadata: dict[str, Location]) -> Mtl | None:
        """Read the first of a scene's MTL files, or None when it has none."""
        for kind in ("MTL.json", "MTL.txt", "MTL.xml"):
            if kind in metadata:
                return self._parse(metadata[kind])
        return None

    def sibling_mtl(self, location: Location) -> Mtl | None:
        """The MTL of the product that a single file belongs to, from the same folder."""
        product = product_id.parse(location.name)
        if product is None:
            return None
        folder, start = location.parent, location.name[: len(product.id)]
        for kind in _FORMATS:
            candidate = folder / (start + ("_mtl." if start.islower() else "_MTL.") + kind)
            if exists(candidate, policy=self.policy):
                return self._parse(candidate)
        return None

    def _parse(self, location: Location) -> Mtl:
        kind = parse.kind_of(location.name)
        try:
            return parse.parse(read_bytes(location, limit=MAX_BYTES, policy=self.policy), kind)
        except SceneError as error:
            raise SceneError(f"{location!r}: {error}") from error

    def _local(self, location: Location) -> Source:
        path = location.path
        here = Location(path)
        if os.path.isdir(path):
            return self._folder(here, list_names(here, policy=self.policy))
        if not os.path.exists(path):
            gone = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            raise MissingError(f"cannot open {location!r}: no such file or folder") from gone
        with open_regular(path) as file:
            start = file.read(512)
        if start[:2] in (b"II", b"MM"):
            return Source(single_file(here))
        if start.lstrip()[:1] in (b"{", b"["):
            return self._json(here)
        raise ReadError(f"cannot open {location!r}: it is not a GeoTIFF, a folder, an MTL, a STAC item or a tar")

    def _folder(self, location: Location, names: list[str]) -> Source:
        """The one scene among the files of a folder."""
        names = [name for name in names if not name.startswith(".")]
        rasters = [name for name in names if product_id.is_tiff(name)]
        mtls = [name for name in names if _MTL.search(name)]
        if not mtls and len(rasters) == 1 and (own := product_id.stem(rasters[0]) + MARKER) in names:
            return self._stac(self._collect([location / own]), location)  # a single file that was staged
        _refuse_others(location, [*rasters, *mtls])
        ids = {product.id: product for name in [*rasters, *mtls] if (product := product_id.parse(name))}
        if len(ids) > 1:
            raise SceneError(
                f"{location!r} holds {len(ids)} scenes: {', '.join(sorted(ids))}; "
                "give the MTL file of one, or one folder for each"
            )
        if mtls or ids:
            return self._of_product(location, names, mtls, next(iter(ids.values()), None))
        return self._folder_without_names(location, names, rasters)

    def _folder_without_names(self, location: Location, names: list[str], rasters: list[str]) -> Source:
        """A folder in which no file is named after a product: a catalogue, or items."""
        if why := product_id.unsupported(Location(location.href.rstrip("/")).name):
            raise SceneError(f"{location!r} {why}")
        catalogues = [name for name in names if name.lower() in ("catalog.json", "collection.json")]
        if catalogues:
            return self._json(location / sorted(catalogues)[0])
        if found := _items_among(names, location):
            return self._stac(self._collect(found), location)
        if rasters:
            raise SceneError(
                f"{location!r} holds {len(rasters)} TIFFs but no MTL and no Landsat product id "
                f"in their names ({rasters[0]} ...): give the files one by one"
            )
        hint = _below(location, self.policy)
        raise NoSceneError(f"{location!r} holds no Landsat scene: no band, MTL or STAC item among its files{hint}")

    def _of_product(self, location: Location, names: list[str], mtls: list[str], product: ProductId | None) -> Source:
        metadata = _metadata(location, names, product)
        mtl = self.read_mtl(metadata)
        product = _agreed(mtl, product, location)
        listed = tuple(mtl.files().values()) if mtl else ()
        specs, files, skipped = scene_files.sort_bands(names, product, listed)
        absent = [band for band in scene_files.sort_bands(listed, product, listed)[0] if band not in specs]
        if not files and (items := _items_among(names, location)):
            return self._stac(self._collect(items), location)
        if not files and (copies := [name for name in names if product_id.is_copy(name)]):
            raise SceneError(
                f"{location!r} holds no band of {product.id} under its own name, but {len(copies)} "
                f"files named as copies are, such as {copies[0]!r}: give them their names back"
            )
        if not files:
            raise NoSceneError(
                f"{location!r} holds no band of {product.id}"
                + (f": its MTL lists {', '.join(absent[:4])} ..." if absent else "")
            )
        # Of a product of ours, for the keys of its assets; of any without an MTL, for when it was taken.
        own = [
            name for name in names if (product_id.parse(name) == product if not mtl else name.endswith(SUFFIX + MARKER))
        ]
        said = self._beside(location, own)
        known = self._read_by_family(metadata, product)
        keys = {name: key for item in said for name, key in stac_source.asset_keys(item).items()}
        return Source(
            Listing(
                id=product.id,
                location=location,
                sensor=product.sensor,
                level=product.level,
                specs=specs,
                files={band: self._file(location, name, names, keys.get(name)) for band, name in files.items()},
                absent=tuple(absent),
                metadata=metadata,
                properties=_properties(product, mtl, known | ({} if mtl else stac_source.properties(said))),
                skipped=skipped,
            ),
            mtl,
        )

    def _read_by_family(self, metadata: dict[str, Location], product: ProductId) -> dict[str, Any]:
        """What files that are no MTL say of a scene, by the readers of its family's table."""
        said: dict[str, Any] = {}
        for kind, place in metadata.items():
            if reader := product.family.metadata[kind].reader:
                try:
                    said |= granule.properties(reader, read_bytes(place, limit=MAX_BYTES, policy=self.policy))
                except SceneError as error:
                    raise SceneError(f"{place!r}: {error}") from error
        return said

    def _beside(self, folder: Location, names: list[str]) -> list[dict[str, Any]]:
        """The STAC items among some files of a folder."""
        return [item for item, _ in self._collect(_items_among(names, folder))]

    def _file(self, folder: Location, name: str, names: list[str], key: str | None) -> File:
        sidecars = tuple(folder / (name + end) for end in SIDECARS if name + end in names)
        return File(folder / name, sidecars=sidecars, asset_key=key)

    def _next_to_mtl(self, location: Location, stem: str) -> Source:
        """The scene of an MTL file: what it lists, in its own folder."""
        name, folder = location.name, location.parent
        try:
            names = list_names(folder, policy=self.policy)
        except ReadError:
            names = []
        if name not in names:  # no listing: every file that the MTL lists must be there
            names = [name, *self._parse(location).files().values()]
            names = list(dict.fromkeys(n for n in names if n == name or not _MTL.search(n)))
        ours = [n for n in names if n.lower().startswith(stem.lower())]
        _refuse_others(location, [name])
        source = self._of_product(folder, ours, [name], product_id.parse(name))
        return Source(replace(source.listing, location=location), source.mtl)

    def _json(self, location: Location) -> Source:
        """A JSON document: an item, a list of items, a catalogue, or an MTL under another name."""
        data = read_bytes(location, limit=_JSON_LIMIT, policy=self.policy)
        record = stac_source.load(data, location)
        if isinstance(record, dict) and "LANDSAT_METADATA_FILE" in record:
            raise SceneError(f"{location!r} is an MTL: give it its name, ending in _MTL.json")
        led = self._led_by(location)
        return led._stac(led._items(record, location, _DEPTH), location)

    def _collect(self, locations: Iterable[Location], depth: int = 0) -> Iterator[tuple[dict[str, Any], Location]]:
        for location in locations:
            record = stac_source.load(read_bytes(location, limit=_JSON_LIMIT, policy=self.policy), location)
            yield from self._led_by(location)._items(record, location, depth)

    def _items(
        self, record: dict[str, Any] | list[Any], location: Location, depth: int
    ) -> Iterator[tuple[dict[str, Any], Location]]:
        """Every item that a document holds or points to, with where it was read."""
        found = stac_source.items(record, location)
        if found is not None or isinstance(record, list):
            yield from ((item, location) for item in found or ())
            return
        items, children = stac_source.links(record, location, self.policy.allow_hosts)
        if depth < 1:
            raise SceneError(f"{location!r} is a catalogue nested too deep: give the one that has the items")
        yield from self._collect(chain(items, children), depth - 1)

    def _stac(self, entries: Iterator[tuple[dict[str, Any], Location]], location: Location) -> Source:
        taken = []
        for entry in entries:
            taken.append(entry)
            if len(taken) > _MAX_ITEMS:
                raise SceneError(f"{location!r} points to more than {_MAX_ITEMS} items: give one scene at a time")
        if not taken:
            raise SceneError(f"{location!r} points to no STAC item")
        led = self
        for _, base in taken:
            led = led._led_by(base)
        local = {base: base.parent for _, base in taken if base.is_local}
        siblings = {base: list_names(folder, policy=self.policy) for base, folder in local.items()}
        listing = stac_source.listing(taken, location, siblings, led.policy.allow_hosts)
        product = product_id.parse(listing.id)
        here = all(place.is_local for place in listing.metadata.values())
        mtl = self.read_mtl(listing.metadata) if here and not listing.single_file else None
        return Source(replace(listing, properties=_properties(product, mtl, listing.properties)), mtl, led.policy)


def _items_among(names: list[str], folder: Location) -> list[Location]:
    """STAC items among the files of a folder: USGS has one for reflectance and one for temperature."""
    return [folder / name for name in names if stac_item.is_item_name(name)]


def _below(location: Location, policy: Policy) -> str:
    """What to give where a folder holds scenes each in a folder or archive of its own."""
    try:
        found = [] if location.is_archive else list_folders(location, policy=policy)
    except (ReadError, OSError):
        found = []
    if not found:
        return ""
    what = "1 folder or archive" if len(found) == 1 else f"{grouped(len(found))} folders or archives"
    how = f"as {location.path}/*" if location.is_local else "or a list of them, @FILE or -"
    return f"; it holds {what}, such as {Location(found[0].shown).name!r}: give them one by one, {how}"


def _refuse_others(location: Location, names: Iterable[str]) -> None:
    """Refuse products whose files look like a scene's but mean something else."""
    met: dict[str, Family] = {}
    for name in names:
        if why := product_id.unsupported(name):
            raise SceneError(f"{location!r}: {name!r} {why}")
        if family := product_id.family_of(name):
            met[family.key] = family
    reasons = [met[key].not_scenes for key in sorted(met)]
    if reasons and all(reasons):
        raise SceneError(f"{location!r} {reasons[0]}: give its files one by one")


def _metadata(location: Location, names: list[str], product: ProductId | None) -> dict[str, Location]:
    """Where a product's metadata files are, by kind; a renamed MTL counts, another product's file does not."""
    found = {}
    for name in names:
        kind, other = scene_files.metadata_kind(name), product_id.parse(name)
        ours = product is None or kind in product.family.metadata
        if kind and ours and (other == product or other is None):
            found[kind] = location / name
    return {kind: found[kind] for kind, _ in metadata_kinds() if kind in found}


def _agreed(mtl: Mtl | None, product: ProductId | None, location: Location) -> ProductId:
    """The product that file names and the MTL agree on.

    The MTL of a downsampled product keeps the source's id, so that they agree there too.
    """
    said = (mtl.find("LANDSAT_PRODUCT_ID", ("PRODUCT_CONTENTS", "METADATA_FILE_INFO", "")) or "") if mtl else ""
    meant = product_id.parse(said)
    if (agreed := product or meant) is None:
        raise SceneError(
            f"{location!r}: its MTL is older than the Collections or names no product, "
            "not read as a scene: give its files one by one"
        )
    if product is not None and meant is not None and product.id != meant.id:
        raise SceneError(f"{location!r}: files are of {product.id}, the MTL is of {meant.id}")
    scene_files.catalogue(agreed)
    return agreed


def _properties(product: ProductId | None, mtl: Mtl | None, item: dict[str, Any] | None = None) -> dict[str, Any]:
    """What is known of a scene: from its item, else its MTL, else its name."""
    properties = product.properties() if product else {}
    if mtl:
        properties |= properties_module.properties(mtl)
    properties |= item or {}
    if properties.get("datetime"):
        properties = {k: v for k, v in properties.items() if k not in ("start_datetime", "end_datetime")}
    return properties
