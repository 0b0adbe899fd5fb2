"""Bringing a scene to this disk: every file whole and verified, with a catalogue, visible all at once."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace

from landsat_downsample import _archive, _item_files, _stac_source, _staged_item, _stop, _store, _tiff, _whole
from landsat_downsample._bands import BandSpec
from landsat_downsample._errors import LandsatDownsampleError, ReadError, SceneError, UsageError, WriteError
from landsat_downsample._hrefs import scheme, split_tar
from landsat_downsample._metadata import dumps
from landsat_downsample._names import distinct, plain_name
from landsat_downsample._place_folder import Folder
from landsat_downsample._remote import parse_multihash
from landsat_downsample._retry import Policy
from landsat_downsample._scene import Scene, open_scene
from landsat_downsample._staged_item import CATALOGUE, ITEM, StagedFile

#: Files copied at once: enough to hide the latency of a store.
_THREADS = 4
#: Of a USGS folder, beside bands and metadata.
_KEPT_ENDINGS = ("_md5.txt", "_stac.json")
MD5 = "MD5.txt"


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


def stage_in(
    href: str | os.PathLike,
    folder: str | os.PathLike,
    *,
    bands: Iterable[str] | str | None = None,
    requester_pays: bool = False,
    overwrite: bool = False,
) -> str:
    """Bring a scene or a single file into a local folder, with a self-contained STAC catalogue.

    Files are exact copies. Nothing is visible under the final name before all of it is there;
    the same again is no work.

    Parameters
    ----------
    href : str or path
        What `open_scene` takes, and besides a remote tar or a compressed one.
    folder : str or path
        Local folder; the scene gets a folder of its own in it, named after its id.
    bands : iterable of str, optional
        USGS or common names of the bands to bring (QA_PIXEL comes along); all by default.
    requester_pays : bool
        Whether to pay for reading, where the storage asks for it.
    overwrite : bool
        Replace a folder of that name that holds something else.

    Returns
    -------
    str
        Path of ``catalog.json``: `open_scene` takes it, or the folder that it is in.

    Raises
    ------
    SceneError, ReadError
        It is no scene, or did not arrive right.
    WriteError
        The folder refuses, or holds other content under that name.
    UsageError
        The scene has no such band, or the folder is not local.
    """
    href, folder = os.fspath(href), os.fspath(folder)
    if not _store.is_local(folder) or scheme(folder) != "file":
        raise UsageError(f"cannot stage into {_store.redact(folder)!r}: give a local folder")
    folder, policy = _store.local_path(folder), Policy.from_environ()
    policy = replace(policy, requester_pays=policy.requester_pays or requester_pays)
    with _archive.readable(href, folder, policy) as place, _archive.told_as(href, place):
        scene = open_scene(place, bands=bands, requester_pays=requester_pays)
        policy = replace(policy, requester_pays=scene.requester_pays)
        cargo = _cargo(scene, href, policy)
        if place != href:
            cargo = replace(cargo, scene=replace(scene, href=_store.redact(href)))
        return _deliver(cargo, folder, policy, overwrite=overwrite)


# What to bring --------------------------------------------------------------------------------


def _cargo(scene: Scene, href: str, policy: Policy) -> Cargo:
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


def _texts(scene: Scene, href: str, policy: Policy, taken: list[str]):
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
                yield Text(MD5, name, _store.read_bytes(place, policy=policy))
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
    found = {}
    for text in texts:
        if text.key == MD5:
            pairs = [line.split() for line in text.data.decode("ascii", "replace").splitlines()]
            found |= {pair[1].lstrip("*"): pair[0].lower() for pair in pairs if len(pair) == 2 and len(pair[0]) == 32}
    return found


def _check_text(text: Text, known: dict[str, str], scene: Scene) -> None:
    place = scene.metadata.get(text.key, text.name)
    if "web page" in _tiff.describe(text.data[:512]):
        raise ReadError(f"cannot read {_store.redact(place)!r}: {_tiff.describe(text.data[:512])}")
    expected = known.get(_store.basename(place))
    if expected and hashlib.md5(text.data, usedforsecurity=False).hexdigest() != expected:
        raise ReadError(f"cannot read {_store.redact(place)!r}: it does not have the MD5 that _MD5.txt gives")


# Bringing it ----------------------------------------------------------------------------------


def _deliver(cargo: Cargo, folder: str, policy: Policy, *, overwrite: bool) -> str:
    final = os.path.join(folder, cargo.name)
    there = None if overwrite else _staged_before(final, cargo)
    if there is not None and _is_same(there, cargo):
        return os.path.join(final, CATALOGUE)
    publication = _store.Publication(folder, cargo.name, overwrite, policy=policy)
    try:
        files = _copy_all(cargo, publication)
        if there is not None:
            _refuse_difference(there, files, final)
            publication.abort()
            return os.path.join(final, CATALOGUE)
        record = _staged_item.item(cargo.name, cargo.scene, files)
        digests = {file.name: file.sha256 for file in files}
        digests[f"{cargo.name}{ITEM}"] = publication.put(f"{cargo.name}{ITEM}", dumps(record))
        catalogue = dumps(_staged_item.catalogue(cargo.name, cargo.scene))
        publication.commit(CATALOGUE, catalogue, expected=digests)
    except BaseException:
        publication.abort()
        raise
    return os.path.join(final, CATALOGUE)


def _copy_all(cargo: Cargo, publication: _store.Publication) -> list[StagedFile]:
    """Copy several files at once; the first error stops the others."""
    files = []
    for text in cargo.texts:
        files.append(StagedFile(text.key, text.name, len(text.data), publication.put(text.name, text.data)))
    stop, staging = threading.Event(), Folder(publication).hidden("partial")
    _make_folder(staging)
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="stage-in")
    try:
        waiting = [pool.submit(_copy, part, staging, publication.policy, stop) for part in cargo.rasters]
        wait(waiting, return_when=FIRST_EXCEPTION)
        failed = [future for future in waiting if future.done() and not future.cancelled() and future.exception()]
        for future in failed:
            future.result()
        return [*(future.result() for future in waiting), *files]
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _make_folder(path: str) -> None:
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise WriteError(f"cannot write to {path!r}: {(error.strerror or 'it failed').lower()}") from error


def _copy(part: Raster, staging: str, policy: Policy, stop: threading.Event) -> StagedFile:
    with _stop.stoppable(stop):
        size, digest = _whole.copy(part.source, staging, part.name, policy)
    return StagedFile(part.key, part.name, size, digest, part.spec, part.source.etag)


# What is there already ------------------------------------------------------------------------


def _staged_before(final: str, cargo: Cargo) -> _item_files.LocalItem | None:
    """The whole scene that an earlier staging left under this name.

    Raises
    ------
    WriteError
        Something else has the name.
    """
    if not os.path.lexists(final) or (os.path.isdir(final) and not os.listdir(final)):
        return None
    try:
        there = _item_files.find(final) if os.path.isdir(final) else None
        wrong = "nothing that was staged" if there is None or not there.catalogued else _item_files.first_damage(there)
        names = set() if wrong else {file.name for file in there.files()}
    except LandsatDownsampleError as error:
        wrong = str(error)
    if wrong is None and names != cargo.names:
        wrong = f"other files ({_some(names - cargo.names, 'besides')}{_some(cargo.names - names, 'without')})".replace(
            "; )", ")"
        )
    if wrong:
        raise _refused(final, wrong)
    return there


def _some(names: set[str], word: str) -> str:
    return f"{word} {', '.join(sorted(names)[:3])}{' ...' if len(names) > 3 else ''}; " if names else ""


def _refused(final: str, what: str) -> WriteError:
    return WriteError(
        f"cannot stage into {final!r}: it is there and holds {what}; "
        "choose another folder, move it away, or replace it with --overwrite"
    )


def _is_same(there: _item_files.LocalItem, cargo: Cargo) -> bool:
    """Whether what is there is known to be the same, without bringing anything.

    Raises
    ------
    WriteError
        It is known to be something else.
    """
    listed = {file.name: file for file in there.files()}
    for text in cargo.texts:
        if listed[text.name].checksum != ("sha256", hashlib.sha256(text.data).hexdigest()):
            raise _refused(there.folder, f"another {text.name}")
    return all([_is_same_raster(there, listed[part.name], part.source) for part in cargo.rasters])


def _is_same_raster(there: _item_files.LocalItem, file: _item_files.ListedFile, source: _whole.Whole) -> bool:
    if source.size not in (None, file.size):
        raise _refused(there.folder, f"another {file.name} ({file.size} bytes, the source has {source.size})")
    if source.etag and file.etag == source.etag:
        return True
    if not _store.is_local(source.href):
        return False
    if file.checksum != ("sha256", _whole.digest(source.href)):
        raise _refused(there.folder, f"another {file.name}")
    return True


def _refuse_difference(there: _item_files.LocalItem, files: Sequence[StagedFile], final: str) -> None:
    listed = {file.name: file.checksum for file in there.files()}
    for file in files:
        if listed.get(file.name) != ("sha256", file.sha256):
            raise _refused(final, f"another {file.name}")
