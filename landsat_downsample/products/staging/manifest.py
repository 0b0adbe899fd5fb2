"""What a staged scene is made of: its bands, and the small files that go with them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from landsat_downsample.errors import ReadError, SceneError
from landsat_downsample.formats import tiff
from landsat_downsample.formats.multihash import parse_multihash
from landsat_downsample.formats.scene_files import check_metadata
from landsat_downsample.model.bands import BandSpec
from landsat_downsample.model.location import Location
from landsat_downsample.model.policy import Policy
from landsat_downsample.model.product import MARKER
from landsat_downsample.model.scene import Scene
from landsat_downsample.products.staging import staged_item
from landsat_downsample.products.staging.file_names import distinct, plain_name
from landsat_downsample.products.staging.staged_item import CATALOGUE
from landsat_downsample.scenes import checksums
from landsat_downsample.storage import files
from landsat_downsample.storage.verified_copy import Whole

#: Of a USGS folder, beside bands and metadata.
_KEPT_ENDINGS = ("_md5.txt", "_stac.json")
_MD5 = "MD5.txt"


@dataclass(frozen=True, slots=True)
class Text:
    """A small file that is in memory already."""

    key: str
    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Raster:
    """A band to copy."""

    key: str
    name: str
    source: Whole
    spec: BandSpec


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything that makes up a staged scene."""

    name: str
    scene: Scene
    texts: tuple[Text, ...]
    rasters: tuple[Raster, ...]

    @property
    def names(self) -> set[str]:
        """Names of all its files, but for item and catalogue."""
        return {text.name for text in self.texts} | {raster.name for raster in self.rasters}


def load_manifest(scene: Scene, asked: Location, policy: Policy) -> Manifest:
    """List what to bring of an opened scene, and read its small files.

    Parameters
    ----------
    scene : Scene
        With the bands that are wanted.
    asked : Location
        What was asked for, signature and all.
    policy : Policy
        Retry budget and who pays.

    Raises
    ------
    ReadError
        A small file cannot be read, or is not what its checksum says.
    SceneError
        What should be a STAC item is not.
    """
    name = plain_name(scene.id)
    taken = [CATALOGUE, f"{name}{MARKER}"]
    texts = list(_texts(scene, asked, policy, taken))
    known = _md5_sums(texts)
    for text in texts:
        _check_text(text, known, scene)
    rasters: list[Raster] = []
    keys = {text.key for text in texts}
    for band in scene.bands.values():
        filename = band.location.name
        digests = [parse_multihash(band.checksum), ("md5", known[filename]) if filename in known else None]
        source = Whole(band.location, band.size, band.etag, tuple(d for d in digests if d), tiff=True)
        key = band.asset_key or band.spec.asset_key  # as its item has it, so that products of it have it too
        key = band.name if key in keys else key
        keys.add(key)
        rasters.append(Raster(key, _take(filename, taken), source, band.spec))
    return Manifest(name, scene, tuple(texts), tuple(rasters))


def _take(filename: str, taken: list[str]) -> str:
    taken.append(distinct(plain_name(filename), taken))
    return taken[-1]


def _texts(scene: Scene, asked: Location, policy: Policy, taken: list[str]) -> Iterator[Text]:
    """Metadata, the item it came from, and what USGS puts beside them."""
    for kind, href in scene.metadata.items():
        place = Location(href)
        yield Text(kind, _take(place.name, taken), files.read_bytes(place, policy=policy))
    if scene.item_href:
        place = asked if asked.shown == scene.item_href else Location(scene.item_href)
        filename = place.name
        filename = filename if filename.lower().endswith("json") else f"{filename}_stac.json"
        yield Text("source-item", _take(filename, taken), _scrubbed(place, policy))
    elif not scene.lone:
        for place in _beside(scene, policy):
            name = _take(place.name, taken)
            if name.lower().endswith("_md5.txt"):
                yield Text(_MD5, name, files.read_bytes(place, policy=policy))
            else:
                yield Text(name.removeprefix(scene.id).lstrip("_."), name, _scrubbed(place, policy))


def _scrubbed(place: Location, policy: Policy) -> bytes:
    data = files.read_bytes(place, policy=policy)
    try:
        return staged_item.scrubbed(data)
    except (ValueError, RecursionError) as error:
        raise SceneError(f"{place!r} is not JSON: give a STAC item") from error


def _beside(scene: Scene, policy: Policy) -> list[Location]:
    folder = next(iter(scene.bands.values())).location.parent
    try:
        names = files.list_names(folder, policy=policy)
    except ReadError:  # a web server without folder listings
        return []
    start = scene.id.lower()
    ours = [name for name in names if name.lower().startswith(start) and name.lower().endswith(_KEPT_ENDINGS)]
    return [folder / name for name in ours[:8]]


def _md5_sums(texts: Sequence[Text]) -> dict[str, str]:
    """MD5 by file name, as ``_MD5.txt`` of EarthExplorer has them."""
    lists = (checksums.md5_sums(text.data) for text in texts if text.key == _MD5)
    return {name: digest for found in lists for name, (_, digest) in found.items()}


def _check_text(text: Text, known: dict[str, str], scene: Scene) -> None:
    place = Location(scene.metadata.get(text.key, text.name))
    if "web page" in tiff.describe(text.data[:512]):
        raise ReadError(f"cannot read {place!r}: {tiff.describe(text.data[:512])}")
    if text.key in scene.metadata:
        check_metadata(text.key, text.data, place)
    expected = known.get(place.name)
    if expected and hashlib.md5(text.data, usedforsecurity=False).hexdigest() != expected:
        raise ReadError(f"cannot read {place!r}: it does not have the MD5 that _MD5.txt gives")
