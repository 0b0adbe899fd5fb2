"""Bringing a scene to this disk: every file whole and verified, with a catalogue, visible all at once."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import replace

from landsat_downsample.errors import UsageError, WriteError
from landsat_downsample.model.location import Location
from landsat_downsample.model.policy import Policy
from landsat_downsample.model.product import MARKER
from landsat_downsample.products.met import dumps
from landsat_downsample.products.staging import archive, staged_before, staged_item
from landsat_downsample.products.staging.manifest import Manifest, Raster, load_manifest
from landsat_downsample.products.staging.staged_item import CATALOGUE, StagedFile
from landsat_downsample.scenes.open import open_with
from landsat_downsample.storage import cancellation, verified_copy
from landsat_downsample.storage.publication import Publication
from landsat_downsample.storage.publication_folder import Folder
from landsat_downsample.storage.publication_place import Stored

#: Files copied at once: enough to hide the latency of a store.
_THREADS = 4


def stage_in(
    href: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    bands: Iterable[str] | str | None = None,
    requester_pays: bool = False,
    overwrite: bool = False,
    allow_hosts: Iterable[str] = (),
) -> str:
    """Bring a scene or a single file into a local folder, with a self-contained STAC catalogue.

    Files are exact copies, visible all at once or not at all; the same again is no work.

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
    allow_hosts : iterable of str
        As in `open_scene`.

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

    Examples
    --------
    >>> catalogue = ld.stage_in("LC08_L2SP_192028_20230714_20230724_02_T1", "staged")
    >>> ld.open_scene(catalogue).id
    'LC08_L2SP_192028_20230714_20230724_02_T1'
    """
    location, folder = Location(os.fspath(href)), _local(Location(os.fspath(folder)))
    policy = Policy.from_environ().allowing(allow_hosts)
    policy = replace(policy, requester_pays=policy.requester_pays or requester_pays)
    with archive.readable(location, folder, policy) as place, archive.told_as(location, place):
        scene = open_with(policy, place.href, bands=bands)
        policy = Policy.of(scene)
        manifest = load_manifest(scene, location, policy)
        if place != location:
            manifest = replace(manifest, scene=replace(scene, href=location.shown))
        return _deliver(manifest, folder, policy, overwrite=overwrite)


def _local(folder: Location) -> str:
    if folder.kind != "file":
        raise UsageError(f"cannot stage into {folder!r}: give a local folder")
    return folder.path


def _deliver(manifest: Manifest, folder: str, policy: Policy, *, overwrite: bool) -> str:
    final = os.path.join(folder, manifest.name)
    if staged_before.lies_in(manifest, final):
        staged_before.check_stays(final)
        return os.path.join(final, CATALOGUE)
    there = None if overwrite else staged_before.look(final, manifest)
    if there is not None and staged_before.is_same(there, manifest):
        return os.path.join(final, CATALOGUE)
    publication = Publication(folder, manifest.name, overwrite, policy=policy)
    try:
        files = _copy_all(manifest, publication)
        if there is not None:
            staged_before.refuse_difference(there, files, final)
            publication.abort()
            return os.path.join(final, CATALOGUE)
        record = staged_item.item(manifest.name, manifest.scene, files)
        expected = {file.name: Stored(file.sha256) for file in files}
        expected[f"{manifest.name}{MARKER}"] = publication.put(f"{manifest.name}{MARKER}", dumps(record))
        catalogue = dumps(staged_item.catalogue(manifest.name, manifest.scene))
        publication.commit(CATALOGUE, catalogue, expected=expected)
    except BaseException:
        publication.abort()
        raise
    return os.path.join(final, CATALOGUE)


def _copy_all(manifest: Manifest, publication: Publication) -> list[StagedFile]:
    """Copy several files at once; the first error stops the others."""
    files = []
    for text in manifest.texts:
        files.append(StagedFile(text.key, text.name, len(text.data), publication.put(text.name, text.data).sha256))
    stop, staging = threading.Event(), Folder(publication).hidden("partial")
    _make_folder(staging)
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="stage-in")
    try:
        waiting = [pool.submit(_copy, part, staging, publication.policy, stop) for part in manifest.rasters]
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
    with cancellation.stoppable(stop):
        size, digest = verified_copy.copy(part.source, staging, part.name, policy)
    return StagedFile(part.key, part.name, size, digest, part.spec, part.source.etag)
