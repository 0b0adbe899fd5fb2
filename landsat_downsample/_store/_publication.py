"""Products appear whole or not at all, and nobody's product is overwritten by accident.

Local folders: files gather in a hidden folder beside the final one, which a rename makes
visible. Object stores have no rename: each object goes to its final key in one request,
and the product counts as there only once its marker, the last object, is.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from landsat_downsample._errors import ReadError, UsageError
from landsat_downsample._store._hrefs import is_local, join, local_path, redact, redacted_repr, scheme
from landsat_downsample._store._place_folder import Folder
from landsat_downsample._store._policy import Policy
from landsat_downsample._store._regular import open_regular

if TYPE_CHECKING:
    from landsat_downsample._store._place_objects import Objects


@dataclass(frozen=True, slots=True)
class Publication:
    """One product on its way to its final name.

    May be pickled and used from several processes at once: what holds it together is ``token``.

    Examples
    --------
    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     publication = Publication(folder, "scene_downsampled")
    ...     digest = publication.put("B4.TIF", b"...")
    ...     publication.commit("scene_downsampled.stac.json", b"{}")
    ...     sorted(os.listdir(publication.href))
    ['B4.TIF', 'scene_downsampled.stac.json']
    """

    __repr__ = redacted_repr

    dest: str
    """Folder or prefix that holds products."""
    name: str
    """Of the product's folder."""
    overwrite: bool = False
    """Whether a product of this name may be replaced."""
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    """Tells this publication's objects from those of others."""
    policy: Policy = field(default_factory=Policy.from_environ)

    def __post_init__(self) -> None:
        _plain(self.name, "product name")
        if scheme(self.dest) in ("http", "https", "tar"):
            raise UsageError(f"cannot publish to {redact(self.dest)!r}: give a folder, s3:// or another fsspec store")
        if is_local(self.dest) and scheme(self.dest) == "file":
            # Absolute from here on: a worker in another process has a current folder of its own.
            object.__setattr__(self, "dest", local_path(self.dest))

    @property
    def href(self) -> str:
        """Final place of the product."""
        return join(self.dest, self.name)

    def put(self, filename: str, data: bytes | memoryview) -> str:
        """Store one file of the product, under a name that nobody takes for a result yet.

        Returns
        -------
        str
            SHA-256 of the bytes, hexadecimal.

        Raises
        ------
        WriteError
            If the destination refuses, is full, or holds another file of that name.
        """
        _plain(filename, "file name")
        digest = hashlib.sha256(data).hexdigest()
        if is_local(self.dest):
            Folder(self).put(filename, data)
        else:
            self._objects().put(filename, bytes(data), digest)
        return digest

    def commit(self, marker_filename: str, data: bytes, *, expected: Mapping[str, str] | None = None) -> None:
        """Write the marker and make the product visible.

        Parameters
        ----------
        marker_filename : str
            Written last: ``<name>.stac.json``.
        data : bytes
            Its JSON.
        expected : mapping, optional
            SHA-256 by filename of all other files; each must be there, or nothing is published.

        Raises
        ------
        WriteError
            If a file is missing, or a different product has the name already.
        """
        _plain(marker_filename, "marker name")
        place = Folder(self) if is_local(self.dest) else self._objects()
        place.commit(marker_filename, data, dict(expected or {}))

    def abort(self) -> None:
        """Remove what this publication stored; what others stored stays."""
        place = Folder(self) if is_local(self.dest) else self._objects()
        place.abort()

    def sweep(self) -> None:
        """Remove hidden folders that killed publications of this product left on this machine's disk.

        Objects need no sweeping: the next publication of the product writes over them.
        """
        if is_local(self.dest):
            Folder(self).sweep()

    def _objects(self) -> Objects:
        from landsat_downsample._store._place_objects import Objects  # here: folders need nothing of what it loads

        return Objects(self)


def _plain(name: str, what: str) -> None:
    if not name or name.startswith(".") or re.search(r"[/\\\x00-\x1f]", name):
        raise UsageError(f"{what} {name!r} is not a plain name")


def read_marker(dest: str, name: str, filename: str, *, policy: Policy | None = None) -> dict | None:
    """Read the marker of a product; None if there is no such product.

    Raises
    ------
    ReadError
        If it is there but cannot be read or is not a JSON object.
    """
    href = join(dest, name, filename)
    if is_local(href):
        try:
            with open_regular(local_path(href)) as file:
                data = file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise ReadError(f"cannot read {href!r}: {(error.strerror or 'it failed').lower()}") from error
    else:
        data = _read_if_there(href, policy or Policy.from_environ())
    try:
        found = json.loads(data) if data is not None else None
    except ValueError as error:
        raise ReadError(f"marker {redact(href)!r} is not JSON: remove it or choose another destination") from error
    if found is not None and not isinstance(found, dict):
        raise ReadError(f"marker {redact(href)!r} is not a JSON object: remove it or choose another destination")
    return found


def _read_if_there(href: str, policy: Policy) -> bytes | None:
    from landsat_downsample._store import _remote

    return _remote.read_whole(_remote.Remote(href, policy), 64 << 20) if _remote.exists(href, policy) else None
