"""Publishing a product's folder: checked before anything is sent, verified before it becomes visible."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from landsat_downsample.errors import LandsatDownsampleError, ReadError, UsageError, WriteError, read_error
from landsat_downsample.model.location import Location
from landsat_downsample.model.product import MARKER, SUFFIX
from landsat_downsample.products.met import dumps
from landsat_downsample.products.staging import item_files
from landsat_downsample.products.staging.file_names import plain_name
from landsat_downsample.products.staging.item_files import ListedFile, LocalItem
from landsat_downsample.storage.files import exists, read_bytes
from landsat_downsample.storage.publication import Publication
from landsat_downsample.storage.publication_objects import Objects
from landsat_downsample.storage.publication_place import Stored

#: Files sent at once; each is in memory while it is sent.
_THREADS = 3
_OUTWARD = ("root", "parent", "self", "collection")


@dataclass(frozen=True, slots=True)
class Sent:
    """What one file must be when it has arrived."""

    name: str
    size: int
    sha256: str
    md5: str


def stage_out(folder: str | os.PathLike[str], dest: str | os.PathLike[str], *, overwrite: bool = False) -> str:
    """Publish a product's folder at a destination, whole or not at all, and verify what arrived.

    Parameters
    ----------
    folder : str or path
        Local folder: a product of ours, a folder that holds exactly one, or a staged folder
        whose ``catalog.json`` points to one item.
    dest : str or path
        Folder or prefix; the product becomes ``dest/<name>/``.
    overwrite : bool
        Replace another product of that name.

    Returns
    -------
    str
        Href of the published STAC item.

    Raises
    ------
    UsageError
        The folder does not hold exactly one product.
    ReadError
        A file is missing or damaged; nothing was sent.
    WriteError
        The destination refused, holds another product of that name, or did not keep what was sent.

    Examples
    --------
    >>> from pathlib import Path
    >>> (outcome,) = ld.run(ld.plan(scene, "out", factor=10, bands="red"))
    >>> product = Path(outcome.href).parent
    >>> ld.stage_out(product, "published").rpartition("/")[2]
    'LC08_L2SP_192028_20230714_20230724_02_T1_downsampled.stac.json'
    """
    item = _product(_local(Location(os.fspath(folder))))
    dest = os.fspath(dest)
    name = plain_name(item.name)
    data = _published(item)
    marker = f"{name}{MARKER}"
    publication = Publication(dest, name, overwrite)
    files = _checked(item, marker)
    href = (Location(dest) / name / marker).href
    if publication.location.is_local and os.path.realpath(publication.location.path) == item.folder:
        raise UsageError(f"cannot publish {item.folder!r} to {dest!r}: that is where it is; choose another destination")
    if _is_there(publication, marker, data, files):
        return href
    try:
        expected = _send(publication, item, files)
        publication.commit(marker, data, expected=expected)
    except BaseException:
        with suppress(LandsatDownsampleError):  # the first error is the one to report
            publication.abort()
        raise
    _verify(publication, [Sent(marker, len(data), *_digests(data))])
    return href


# What to send ---------------------------------------------------------------------------------


def _local(folder: Location) -> str:
    if folder.kind != "file":
        raise UsageError(f"cannot publish {folder!r}: give a local folder")
    path = os.path.realpath(folder.path)
    if not os.path.isdir(path):
        raise UsageError(f"cannot publish {folder!r}: {'it is a file' if os.path.exists(path) else 'no such folder'}")
    return path


def _product(folder: str) -> LocalItem:
    """The one product in a folder, or in the folders directly in it."""
    try:
        item = item_files.find(folder)
        if item is not None:
            return item
        inner = [entry.path for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith(".")]
        found = [item for path in sorted(inner) if (item := item_files.find(path)) is not None]
    except ReadError:
        raise
    except OSError as error:
        raise read_error(f"cannot read {folder!r}: {(error.strerror or 'it failed').lower()}", error) from error
    if len(found) != 1:
        what = (
            f"{len(found)} products: {', '.join(item.name for item in found[:4])}" if found else "no finished product"
        )
        raise UsageError(f"{folder!r} holds {what}; give the folder of one, with its *{MARKER}")
    return found[0]


def _published(item: LocalItem) -> bytes:
    """The item's own bytes; without links to a catalogue that stays behind."""
    links = item.record.get("links") or []
    kept = [link for link in links if not (link.get("rel") in _OUTWARD and "://" not in str(link.get("href")))]
    return item.data if kept == links else dumps({**item.record, "links": kept})


def _checked(item: LocalItem, marker: str) -> list[Sent]:
    """Hold every file against the item before anything is sent."""
    sent = []
    for file in item.files():
        wrong = item_files.damage(item, file)
        if wrong is None and file.checksum is None and item.name.endswith(SUFFIX):
            wrong = f"its item has no checksum of {file.name!r}"
        if wrong is None and file.name == marker:
            wrong = f"{file.name!r} is listed as a file of itself"
        if wrong:
            raise ReadError(f"cannot publish {item.folder!r}: it is incomplete or damaged: {wrong}; nothing was sent")
        data = _bytes(item, file.name)
        sent.append(Sent(file.name, len(data), *_digests(data)))
    return sent


def _bytes(item: LocalItem, name: str) -> bytes:
    return read_bytes(os.path.join(item.folder, name), limit=1 << 32)


def _digests(data: bytes) -> tuple[str, str]:
    return hashlib.sha256(data).hexdigest(), hashlib.md5(data, usedforsecurity=False).hexdigest()


# Sending it -----------------------------------------------------------------------------------


def _is_there(publication: Publication, marker: str, data: bytes, files: Sequence[Sent]) -> bool:
    """Whether the same product is there already, complete.

    Raises
    ------
    WriteError
        Another one is there, or this one but damaged, and may not be replaced.
    """
    place = publication.location / marker
    if not exists(place, policy=publication.policy):
        return False
    same = read_bytes(place, policy=publication.policy) == data
    wrong = "it holds another product of that name"
    if same:
        try:
            _verify(publication, files)
            return True
        except WriteError as error:
            wrong = str(error)
    if publication.overwrite:
        return False
    raise WriteError(
        f"cannot publish to {publication.location!r}: {wrong}; "
        "choose another destination, or replace it with --overwrite"
    )


def _send(publication: Publication, item: LocalItem, files: Sequence[Sent]) -> dict[str, Stored]:
    """Send every file and verify that each has arrived; nothing is visible as a product yet."""

    def send(file: Sent) -> Stored:
        stored = publication.put(file.name, _bytes(item, file.name))
        if stored.sha256 != file.sha256:
            raise ReadError(f"cannot publish {item.folder!r}: {file.name!r} was changed while it was sent")
        return stored

    with ThreadPoolExecutor(_THREADS, thread_name_prefix="stage-out") as pool:
        waiting = [pool.submit(send, file) for file in files]
        try:
            expected = {file.name: future.result() for file, future in zip(files, waiting, strict=True)}
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    if not publication.location.is_local:  # a folder is read back by the commit itself
        _verify(publication, files)
    return expected


def _verify(publication: Publication, files: Sequence[Sent]) -> None:
    """Ask the destination what it has, and compare sizes and checksums.

    Raises
    ------
    WriteError
        A file is missing or is another one.
    """
    for file in files:
        wrong = _local_fault(publication, file) if publication.location.is_local else _fault(publication, file)
        if wrong:
            raise WriteError(f"{file.name!r} did not arrive at {publication.location!r} right: {wrong}")


def _local_fault(publication: Publication, file: Sent) -> str | None:
    item = LocalItem(publication.location.path, {}, b"", publication.name, catalogued=False)
    return item_files.damage(item, ListedFile(file.name, file.size, ("sha256", file.sha256)))


def _fault(publication: Publication, file: Sent) -> str | None:
    found = Objects(publication).head(file.name)
    if found is None:
        return "it is not there"
    if found.size != file.size:
        return f"it has {found.size} bytes, {file.size} were sent"
    if dict(found.metadata).get("sha256", file.sha256) != file.sha256:
        return "its sha256 is another one"
    if dict(found.digests).get("md5", file.md5) != file.md5:
        return "its ETag is another one"
    return None
