"""Bringing a scene to this disk: every file whole and verified, with a catalogue, visible all at once."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import replace

from landsat_downsample import _stop, _store
from landsat_downsample._errors import UsageError, WriteError
from landsat_downsample._metadata import dumps
from landsat_downsample._scene import open_with
from landsat_downsample._staging import _archive, _cargo, _staged_before, _staged_item
from landsat_downsample._staging._cargo import Cargo, Raster
from landsat_downsample._staging._staged_item import CATALOGUE, ITEM, StagedFile
from landsat_downsample._store import _whole
from landsat_downsample._store._hrefs import scheme
from landsat_downsample._store._place_folder import Folder
from landsat_downsample._store._policy import Policy

#: Files copied at once: enough to hide the latency of a store.
_THREADS = 4


def stage_in(
    href: str | os.PathLike,
    folder: str | os.PathLike,
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
    """
    href, folder = os.fspath(href), _local(os.fspath(folder))
    policy = Policy.from_environ().allowing(allow_hosts)
    policy = replace(policy, requester_pays=policy.requester_pays or requester_pays)
    with _archive.readable(href, folder, policy) as place, _archive.told_as(href, place):
        scene = open_with(policy, place, bands=bands)
        policy = Policy.of(scene)
        cargo = _cargo.load(scene, href, policy)
        if place != href:
            cargo = replace(cargo, scene=replace(scene, href=_store.redact(href)))
        return _deliver(cargo, folder, policy, overwrite=overwrite)


def _local(folder: str) -> str:
    if not _store.is_local(folder) or scheme(folder) != "file":
        raise UsageError(f"cannot stage into {_store.redact(folder)!r}: give a local folder")
    return _store.local_path(folder)


def _deliver(cargo: Cargo, folder: str, policy: Policy, *, overwrite: bool) -> str:
    final = os.path.join(folder, cargo.name)
    if _staged_before.lies_in(cargo, final):
        _staged_before.check_stays(final)
        return os.path.join(final, CATALOGUE)
    there = None if overwrite else _staged_before.look(final, cargo)
    if there is not None and _staged_before.is_same(there, cargo):
        return os.path.join(final, CATALOGUE)
    publication = _store.Publication(folder, cargo.name, overwrite, policy=policy)
    try:
        files = _copy_all(cargo, publication)
        if there is not None:
            _staged_before.refuse_difference(there, files, final)
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
