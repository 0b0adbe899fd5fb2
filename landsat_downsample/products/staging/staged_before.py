"""What already has the name that a scene is to be staged under: the same, or something to be left alone."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

from landsat_downsample.errors import LandsatDownsampleError, UsageError, WriteError
from landsat_downsample.products.staging import item_files
from landsat_downsample.products.staging.item_files import ListedFile, LocalItem
from landsat_downsample.products.staging.manifest import Manifest
from landsat_downsample.products.staging.staged_item import StagedFile
from landsat_downsample.storage import verified_copy
from landsat_downsample.storage.verified_copy import Whole


def look(final: str, manifest: Manifest) -> LocalItem | None:
    """The whole scene that an earlier staging left under this name.

    Raises
    ------
    WriteError
        Something else has the name.
    """
    if not os.path.lexists(final) or (os.path.isdir(final) and not os.listdir(final)):
        return None
    try:
        there = item_files.find(final) if os.path.isdir(final) else None
        wrong = "nothing that was staged" if there is None or not there.catalogued else item_files.first_damage(there)
        names = {file.name for file in there.files()} if there and not wrong else set()
    except LandsatDownsampleError as error:
        wrong = str(error)
    if wrong is None and names != manifest.names:
        parts = [_some("besides", names - manifest.names), _some("without", manifest.names - names)]
        wrong = f"other files ({'; '.join(part for part in parts if part)})"
    if wrong:
        raise _refused(final, wrong)
    return there


def lies_in(manifest: Manifest, final: str) -> bool:
    """Whether the source is the very folder that it would be staged as."""
    sources = [part.source.location for part in manifest.rasters]
    paths = [os.path.realpath(source.path) for source in sources if source.kind == "file"]
    return os.path.realpath(final) in {os.path.dirname(path) for path in paths}


def check_stays(final: str) -> None:
    """Make sure that a scene that lies at its place already was staged there.

    Raises
    ------
    UsageError
        It was not staged, or is damaged; it cannot be brought into its own folder.
    """
    there = item_files.find(final)
    wrong = "it was not staged" if there is None or not there.catalogued else item_files.first_damage(there)
    if wrong:
        raise UsageError(f"cannot stage {final!r} into itself ({wrong}): choose another folder")


def _some(word: str, names: set[str]) -> str:
    return f"{word} {', '.join(sorted(names)[:3])}{' ...' if len(names) > 3 else ''}" if names else ""


def _refused(final: str, what: str) -> WriteError:
    return WriteError(
        f"cannot stage into {final!r}: it is there and holds {what}; "
        "choose another folder, move it away, or replace it with --overwrite"
    )


def is_same(there: LocalItem, manifest: Manifest) -> bool:
    """Whether what is there is known to be the same, without bringing anything.

    Raises
    ------
    WriteError
        It is known to be something else.
    """
    listed = {file.name: file for file in there.files()}
    for text in manifest.texts:
        if listed[text.name].checksum != ("sha256", hashlib.sha256(text.data).hexdigest()):
            raise _refused(there.folder, f"another {text.name}")
    # a list, so that no difference goes unseen behind a band that cannot be judged
    return all([_is_same_raster(there, listed[part.name], part.source) for part in manifest.rasters])


def _is_same_raster(there: LocalItem, file: ListedFile, source: Whole) -> bool:
    if source.size not in (None, file.size):
        raise _refused(there.folder, f"another {file.name} ({file.size} bytes, the source has {source.size})")
    if source.etag and file.etag == source.etag:
        return True
    if not source.location.is_local:
        return False
    if file.checksum != ("sha256", verified_copy.digest(source.location)):
        raise _refused(there.folder, f"another {file.name}")
    return True


def refuse_difference(there: LocalItem, files: Sequence[StagedFile], final: str) -> None:
    """Refuse files that were brought and are other ones than those that are there."""
    listed = {file.name: file.checksum for file in there.files()}
    for file in files:
        if listed.get(file.name) != ("sha256", file.sha256):
            raise _refused(final, f"another {file.name}")
