"""Products appear whole or not at all, and nobody's product is overwritten by accident.

Local folders: files gather in a hidden folder beside the final one, which a rename makes
visible. Object stores have no rename: each object goes to its final key in one request,
and the product counts as there only once its marker, the last object, is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from landsat_downsample.errors import MissingError, ReadError
from landsat_downsample.model.location import Location
from landsat_downsample.model.policy import Policy
from landsat_downsample.storage.publication_folder import Folder
from landsat_downsample.storage.publication_place import Place, Stored, check_plain
from landsat_downsample.storage.regular_files import open_regular

if TYPE_CHECKING:
    from landsat_downsample.storage.publication_objects import Objects


class Publication(Place):
    """One product on its way to its final name.

    May be pickled and used from several processes at once: what holds it together is ``token``.

    Examples
    --------
    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     publication = Publication(folder, "scene_downsampled")
    ...     stored = publication.put("B4.TIF", b"...")
    ...     publication.commit("scene_downsampled.stac.json", b"{}")
    ...     sorted(os.listdir(publication.href))
    ['B4.TIF', 'scene_downsampled.stac.json']
    """

    __slots__ = ()

    def put(self, filename: str, data: bytes | memoryview) -> Stored:
        """Store one file of the product, under a name that nobody takes for a result yet.

        Returns
        -------
        Stored
            What `commit` expects to find.

        Raises
        ------
        WriteError
            If the destination refuses, is full, or holds another file of that name.
        """
        check_plain(filename, "file name")
        digest = hashlib.sha256(data).hexdigest()
        if self.location.is_local:
            Folder(self).put(filename, data)
            return Stored(digest)
        return Stored(digest, self._objects().put(filename, bytes(data), digest))

    def commit(self, marker_filename: str, data: bytes, *, expected: Mapping[str, Stored] | None = None) -> None:
        """Write the marker and make the product visible.

        Parameters
        ----------
        marker_filename : str
            Written last: ``<name>.stac.json``.
        data : bytes
            Its JSON.
        expected : mapping, optional
            What `put` gave of all other files, by filename; each must be there, or nothing is published.

        Raises
        ------
        WriteError
            If a file is missing, or a different product has the name already.
        """
        check_plain(marker_filename, "marker name")
        place = Folder(self) if self.location.is_local else self._objects()
        place.commit(marker_filename, data, dict(expected or {}))

    def abort(self) -> None:
        """Remove what this publication stored; what others stored stays."""
        place = Folder(self) if self.location.is_local else self._objects()
        place.abort()

    def sweep(self) -> None:
        """Remove hidden folders that killed publications of this product left on this machine's disk.

        Objects need no sweeping: the next publication of the product writes over them.
        """
        if self.location.is_local:
            Folder(self).sweep()

    def _objects(self) -> Objects:
        from landsat_downsample.storage.publication_objects import (
            Objects,  # here: folders need nothing of what it loads
        )

        return Objects(self)


def read_marker(
    dest: str | Location, name: str, filename: str, *, policy: Policy | None = None
) -> dict[str, Any] | None:
    """Read the marker of a product; None if there is no such product.

    Raises
    ------
    ReadError
        If it is there but cannot be read or is not a JSON object.
    """
    location = Location.of(dest) / name / filename
    data: bytes | None
    if location.is_local:
        try:
            with open_regular(location.path) as file:
                data = file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise ReadError(f"cannot read {location!r}: {(error.strerror or 'it failed').lower()}") from error
    else:
        data = _read_if_there(location, policy or Policy.from_environ())
    try:
        found = json.loads(data) if data is not None else None
    except ValueError as error:
        raise ReadError(f"marker {location!r} is not JSON: remove it or choose another destination") from error
    if found is not None and not isinstance(found, dict):
        raise ReadError(f"marker {location!r} is not a JSON object: remove it or choose another destination")
    return found


def _read_if_there(location: Location, policy: Policy) -> bytes | None:
    from landsat_downsample.storage import remote
    from landsat_downsample.storage.fetch_request import FetchRequest
    from landsat_downsample.storage.remote import Remote

    try:
        return remote.read_whole(Remote(FetchRequest(location, policy=policy)), 64 << 20)
    except MissingError:
        return None
