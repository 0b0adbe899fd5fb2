"""The object-store way to publish: each object in one conditional request, the marker last."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from landsat_downsample.errors import WriteError
from landsat_downsample.model.location import S3, Location
from landsat_downsample.model.product import MARKER
from landsat_downsample.storage import remote, transport
from landsat_downsample.storage.fetch_request import FetchRequest
from landsat_downsample.storage.publication_place import Place, Stored
from landsat_downsample.storage.remote import Remote
from landsat_downsample.storage.retry import Mismatch, RetryBudget, classify
from landsat_downsample.storage.transport import HttpResponse

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Objects:
    """A publication's place in an object store."""

    place: Place

    @property
    def marker(self) -> str:
        """Filename of the object that makes the product complete."""
        return f"{self.place.name}{MARKER}"

    def put(self, filename: str, data: bytes, digest: str) -> str | None:
        """Put an object under its final key; gives its ETag, where the store says one."""
        if self.place.overwrite:
            self._withdraw(filename)
        return self._store(filename, data, digest, create=not self.place.overwrite)

    def _withdraw(self, filename: str) -> None:
        """Take the marker of the product to be replaced away before anything of it changes."""
        for name in {self.marker, filename} if filename.endswith(MARKER) else {self.marker}:
            found = self.head(name)
            if found is not None and dict(found.metadata).get("publication") != self.place.token:
                self.call(name, partial(self.delete, name))

    def _store(self, filename: str, data: bytes, digest: str, *, create: bool) -> str | None:
        of = self.place
        location = of.location / filename
        metadata = {"sha256": digest, "publication": of.token}

        def store(seconds: float, *, create: bool) -> str | None:
            return transport.put(location, data, metadata=metadata, create=create, policy=of.policy, seconds=seconds)

        def attempt(seconds: float) -> str | None:
            try:
                return store(seconds, create=create)
            except Exception as error:
                status = classify(error).status
                if status == 409:
                    raise Mismatch("another write of it is under way") from None
                if not create or status not in (412, 501):
                    raise
                return None if self._is_ours(filename, digest, seconds) else store(seconds, create=False)

        return self.call(filename, attempt)

    def _is_ours(self, filename: str, digest: str, seconds: float) -> bool:
        """Tell whether the object there is our own write, whose answer got lost.

        If not, it may be written: there is none (a store without conditional writes), or it has
        the same bytes by another publication and would go with it, should that one abort.
        """
        found = self._look(filename, seconds)
        if found is None:
            return False
        metadata = dict(found.metadata)
        if (metadata.get("sha256") or self._hash(filename)) != digest:
            raise WriteError(
                f"cannot publish {self.place.location!r}: {filename!r} exists with other content, left over or of a "
                "run that makes it with another grid or options; choose another destination, remove leftovers "
                "(landsat-downsample clean), or allow it with --overwrite"
            )
        return metadata.get("publication", self.place.token) == self.place.token

    def _hash(self, filename: str) -> str:
        request = FetchRequest(self.place.location / filename, policy=self.place.policy)
        return hashlib.sha256(remote.read_whole(Remote(request), 1 << 33)).hexdigest()

    def _look(self, filename: str, seconds: float) -> HttpResponse | None:
        try:
            return transport.head(self.place.location / filename, policy=self.place.policy, seconds=seconds)
        except Exception as error:
            if classify(error).status == 404:
                return None
            raise

    def head(self, filename: str) -> HttpResponse | None:
        """Return what the store says of an object."""
        return self.call(filename, lambda seconds: self._look(filename, seconds))

    def delete(self, filename: str, seconds: float) -> None:
        """Delete an object."""
        transport.delete(self.place.location / filename, policy=self.place.policy, seconds=seconds)

    def call(self, filename: str, attempt: Callable[[float], T]) -> T:
        """Make attempts within the retry budget."""
        of = self.place
        return RetryBudget(of.policy, WriteError).call(f"cannot write {filename!r} to {of.location!r}", attempt)

    def commit(self, marker: str, data: bytes, expected: dict[str, Stored]) -> None:
        """Compare what was put, then put the marker."""
        listed = self._listed_etags() if any(one.etag for one in expected.values()) else {}
        for filename, stored in expected.items():
            if stored.etag and listed.get(filename) == stored.etag:  # one request for all of them
                continue
            found = self.head(filename)
            if found is None or (dict(found.metadata).get("sha256") or self._hash(filename)) != stored.sha256:
                raise WriteError(f"cannot publish {self.place.location!r}: {filename!r} did not arrive as it was sent")
        if self.place.overwrite:
            self._sweep(set(expected) | {marker})
        self.put(marker, data, hashlib.sha256(data).hexdigest())

    def _listed_etags(self) -> dict[str, str | None]:
        """As of `_listed`; none where the store does not list: who may write may not be allowed to."""
        try:
            return self._listed() if self.place.location.kind in S3 else {}
        except WriteError as error:
            if error.passing:
                raise
            return {}

    def _sweep(self, kept: set[str]) -> None:
        """Remove objects of the replaced product that the new one does not have."""
        for filename in self.names():
            found = self.head(filename) if filename not in kept else None
            if found is not None and dict(found.metadata).get("publication", self.place.token) != self.place.token:
                self.call(filename, partial(self.delete, filename))

    def names(self) -> list[str]:
        """List the objects that lie under the product's prefix."""
        return sorted(self._listed())

    def _listed(self) -> dict[str, str | None]:
        """The ETags of the objects right under the product's prefix, as far as the listing says, by their names."""
        of = self.place

        def attempt(seconds: float) -> list[dict[str, Any]]:
            try:
                return transport.listing(of.location, deep=False, policy=of.policy, seconds=seconds)
            except FileNotFoundError:
                return []

        files = (one for one in self.call("", attempt) if one["type"] != "directory")
        return {Location(one["name"]).name: transport.bare_etag(one.get("ETag")) for one in files}

    def abort(self) -> None:
        # The marker first: bands without a marker are no product; a marker without bands would promise one.
        """Delete what was put, the marker first."""
        for filename in sorted(self.names(), key=lambda name: name != self.marker):
            found = self.head(filename)
            if found is not None and dict(found.metadata).get("publication") == self.place.token:
                self.call(filename, partial(self.delete, filename))
