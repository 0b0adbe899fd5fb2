"""A local STAC item and the files it lists: found, and held against their sizes and checksums."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

from landsat_downsample.errors import ReadError, SceneError, UsageError, read_error
from landsat_downsample.formats import stac_source
from landsat_downsample.formats.multihash import parse_multihash
from landsat_downsample.model.location import Location
from landsat_downsample.model.product import MARKER
from landsat_downsample.products.staging.staged_item import CATALOGUE
from landsat_downsample.storage import verified_copy
from landsat_downsample.storage.regular_files import open_regular

_LIMIT = 32 << 20


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file that an item lists."""

    name: str
    """Plain name in the item's own folder."""
    size: int | None
    checksum: tuple[str, str] | None
    """(algorithm, hex digest)"""
    etag: str | None = None
    """Of the source that it was staged from."""


@dataclass(frozen=True, slots=True)
class LocalItem:
    """A STAC item on this machine."""

    folder: str
    record: dict[str, Any]
    data: bytes
    """As it is on disk."""
    name: str
    """What it is called: its file name without ``.stac.json``, or else its id."""
    catalogued: bool
    """Whether a catalogue led to it; if not, its own name did, as with our products."""

    def files(self) -> list[ListedFile]:
        """List its files.

        Raises
        ------
        SceneError
            An asset lies elsewhere, so that the folder does not hold all of it.
        """
        assets = self.record.get("assets")
        if not isinstance(assets, dict) or not assets:
            raise SceneError(f"item {self.name!r} in {self.folder!r} lists no files: there is nothing to publish")
        found = [_listed(key, asset, self) for key, asset in assets.items()]
        return list({file.name: file for file in found}.values())


def find(folder: str) -> LocalItem | None:
    """Find the one item of a folder: behind its catalogue, or named ``<product>.stac.json``; None without any.

    Raises
    ------
    UsageError
        There are several, or the catalogue's item is missing.
    ReadError
        It cannot be read or is no STAC item.
    """
    names = sorted(os.listdir(folder))
    if CATALOGUE in names:
        return _behind_catalogue(folder)
    markers = [name for name in names if name.endswith(MARKER) and not name.startswith(".")]
    if len(markers) > 1:
        raise UsageError(f"{folder!r} holds {len(markers)} items: {', '.join(markers[:4])}; give a folder with one")
    return _read(os.path.join(folder, markers[0]), catalogued=False) if markers else None


def _behind_catalogue(folder: str) -> LocalItem:
    path = os.path.join(folder, CATALOGUE)
    items, children = stac_source.links(_load(path)[0], Location(path))
    if len(items) != 1 or children:
        raise UsageError(
            f"{path!r} points to {len(items)} items and {len(children)} catalogues: give one with one item"
        )
    item = items[0].href
    if "://" in item or os.path.commonpath((os.path.abspath(item), folder)) != folder:
        raise UsageError(f"{path!r} points to an item outside of {folder!r}: it is not self-contained")
    return _read(item, catalogued=True)


def _read(path: str, *, catalogued: bool) -> LocalItem:
    record, data = _load(path)
    if record.get("type") != "Feature" or not isinstance(record.get("id"), str):
        raise ReadError(f"{path!r} is not a STAC item")
    filename = os.path.basename(path)
    name = filename.removesuffix(MARKER) if filename.endswith(MARKER) else record["id"]
    return LocalItem(os.path.dirname(path), record, data, name, catalogued)


def _load(path: str) -> tuple[dict[str, Any], bytes]:
    try:
        with open_regular(path) as file:
            data = file.read(_LIMIT + 1)
        record = json.loads(data)
    except OSError as error:
        raise read_error(f"cannot read {path!r}: {(error.strerror or 'it failed').lower()}", error) from error
    except (ValueError, RecursionError) as error:
        raise ReadError(f"cannot read {path!r}: it is not JSON, or too large for a STAC item") from error
    if not isinstance(record, dict):
        raise ReadError(f"cannot read {path!r}: it is not a JSON object")
    return record, data


def _listed(key: str, asset: dict[str, Any], item: LocalItem) -> ListedFile:
    href = asset.get("href") if isinstance(asset, dict) else None
    name = href.removeprefix("./") if isinstance(href, str) else ""
    if not name or name.startswith(".") or any(sign in name for sign in ("/", "\\", "\0")):
        raise SceneError(
            f"asset {key!r} of item {item.name!r} is not a file beside it: the folder is not self-contained"
        )
    size = asset.get("file:size")
    checksum = parse_multihash(asset.get("file:checksum"))
    return ListedFile(name, size if isinstance(size, int) else None, checksum, asset.get("landsat_ds:source_etag"))


def damage(item: LocalItem, file: ListedFile) -> str | None:
    """Say what is wrong with a file of an item, or None: it is there, of its size and with its checksum."""
    path = os.path.join(item.folder, file.name)
    if not os.path.isfile(path) or os.path.islink(path):
        return f"{file.name!r} is missing"
    size = os.path.getsize(path)
    if file.size not in (None, size):
        return f"{file.name!r} has {size} bytes where its item says {file.size}"
    if file.checksum and verified_copy.digest(Location(path), file.checksum[0]) != file.checksum[1]:
        return f"{file.name!r} does not have the {file.checksum[0]} checksum that its item says"
    return None


def first_damage(item: LocalItem) -> str | None:
    """Say what is wrong with the first damaged file of an item, or None."""
    return next((wrong for file in item.files() if (wrong := damage(item, file))), None)
