"""What a staged scene is made of: its bands, and the small files that go with them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from landsat_downsample import _store
from landsat_downsample._bands import BandSpec
from landsat_downsample._errors import ReadError, SceneError
from landsat_downsample._scene import Scene, _checksums, _stac_source
from landsat_downsample._scene._listing import METADATA, check_metadata
from landsat_downsample._staging import _staged_item
from landsat_downsample._staging._names import distinct, plain_name
from landsat_downsample._staging._staged_item import CATALOGUE, ITEM
from landsat_downsample._store import _tiff, _whole
from landsat_downsample._store._hrefs import scheme, split_tar
from landsat_downsample._store._multihash import parse_multihash
from landsat_downsample._store._policy import Policy

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
    source: _whole.Whole
    spec: BandSpec


@dataclass(frozen=True, slots=True)
class Cargo:
    """Everything that makes up a staged scene."""

    name: str
    scene: Scene
    texts: tuple[Text, ...]
    rasters: tuple[Raster, ...]

    @property
    def names(self) -> set[str]:
        """Names of all its files, but for item and catalogue."""
        return {part.name for part in (*self.texts, *self.rasters)}


def load(scene: Scene, href: str, policy: Policy) -> Cargo:
    """List what to bring of an opened scene, and read its small files.

    Parameters
    ----------
    scene : Scene
        With the bands that are wanted.
    href : str
        What was asked for, signature and all.
    policy : Policy
        Patience and who pays.

    Raises
    ------
    ReadError
        A small file cannot be read, or is not what its checksum says.
    SceneError
        What should be a STAC item is not.
    """
    name = plain_name(scene.id)
    taken = [CATALOGUE, f"{name}{ITEM}"]
    texts = list(_texts(scene, href, policy, taken))
    known = _md5_sums(texts)
    for text in texts:
        _check_text(text, known, scene)
    rasters = []
    for band in scene.bands.values():
        filename = _store.basename(band.href)
        digests = [parse_multihash(band.checksum), ("md5", known[filename]) if filename in known else None]
        source = _whole.Whole(band.href, band.size, band.etag, tuple(d for d in digests if d), tiff=True)
        rasters.append(Raster(band.name, _take(filename, taken), source, band.spec))
    return Cargo(name, scene, tuple(texts), tuple(rasters))


def _take(filename: str, taken: list[str]) -> str:
    taken.append(distinct(plain_name(filename), taken))
    return taken[-1]


def _texts(scene: Scene, href: str, policy: Policy, taken: list[str]) -> Iterator[Text]:
    """Metadata, the item it came from, and what USGS puts beside them."""
    for kind, place in scene.metadata.items():
        data = _store.read_bytes(place, policy=policy)
        yield Text(kind, _take(_store.basename(place), taken), data)
    if scene.item_href:
        place = href if _store.redact(href) == scene.item_href else scene.item_href
        filename = _store.basename(place)
        filename = filename if filename.lower().endswith("json") else f"{filename}_stac.json"
        yield Text("source-item", _take(filename, taken), _scrubbed(place, policy))
    elif not scene.lone:
        for place in _beside(scene, policy):
            name = _take(_store.basename(place), taken)
            if name.lower().endswith("_md5.txt"):
                yield Text(_MD5, name, _store.read_bytes(place, policy=policy))
            else:
                yield Text(name.removeprefix(f"{scene.id}_"), name, _scrubbed(place, policy))


def _scrubbed(place: str, policy: Policy) -> bytes:
    data = _store.read_bytes(place, policy=policy)
    try:
        return _staged_item.scrubbed(data)
    except (ValueError, RecursionError) as error:
        raise SceneError(f"{_store.redact(place)!r} is not JSON: give a STAC item") from error


def _beside(scene: Scene, policy: Policy) -> list[str]:
    band = next(iter(scene.bands.values())).href
    folder = split_tar(band)[1] if scheme(band) == "tar" else _stac_source.folder_of(band)
    try:
        names = _store.list_names(folder, policy=policy)
    except ReadError:  # a web server without folder listings
        return []
    ours = [name for name in names if name.upper().startswith(scene.id) and name.lower().endswith(_KEPT_ENDINGS)]
    return [_store.join(folder, name) for name in ours[:8]]


def _md5_sums(texts: Sequence[Text]) -> dict[str, str]:
    """MD5 by file name, as ``_MD5.txt`` of EarthExplorer has them."""
    lists = (_checksums.md5_sums(text.data) for text in texts if text.key == _MD5)
    return {name: digest for found in lists for name, (_, digest) in found.items()}


def _check_text(text: Text, known: dict[str, str], scene: Scene) -> None:
    place = scene.metadata.get(text.key, text.name)
    if "web page" in _tiff.describe(text.data[:512]):
        raise ReadError(f"cannot read {_store.redact(place)!r}: {_tiff.describe(text.data[:512])}")
    if text.key in METADATA:
        check_metadata(text.key, text.data, place)
    expected = known.get(_store.basename(place))
    if expected and hashlib.md5(text.data, usedforsecurity=False).hexdigest() != expected:
        raise ReadError(f"cannot read {_store.redact(place)!r}: it does not have the MD5 that _MD5.txt gives")
