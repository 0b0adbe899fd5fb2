"""Leftovers of crashes at a destination: distinguished from work that is going on, and removed on demand."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from landsat_downsample.errors import UsageError
from landsat_downsample.model.location import S3, Location
from landsat_downsample.model.policy import Policy
from landsat_downsample.storage import transport
from landsat_downsample.storage.leftovers import Leftover, leftovers, remove_leftover
from landsat_downsample.storage.publication import Publication
from landsat_downsample.storage.publication_objects import Objects
from landsat_downsample.storage.retry import RetryBudget

#: Seconds without a write after which work is taken to have ended.
SAFE_AGE = 3600.0


@dataclass(frozen=True, slots=True)
class FoundLeftover:
    """A leftover that `clean` found, and what is to be done about it.

    Examples
    --------
    >>> import os
    >>> os.makedirs("out/.scene_downsampled.partial-" + 32 * "0")   # as a killed run leaves one
    >>> [(found.state, found.to_dict()["kind"]) for found in ld.clean("out", older_than=0)]
    [('leftover', 'partial')]
    """

    leftover: Leftover
    age: float | None
    """Seconds since the last write to it; None where the store does not say."""
    state: str
    """``leftover`` (safe to remove), ``active`` (written to lately), ``kept`` (an old product whose
    replacement never came) or ``removed``."""

    def to_dict(self) -> dict[str, Any]:
        """Describe it in JSON types."""
        left = self.leftover
        facts = {"href": Location(left.href).shown, "kind": left.kind, "state": self.state, "files": left.files}
        return facts | {"bytes": left.size, "age_seconds": None if self.age is None else round(self.age)}


def clean(
    dest: str | os.PathLike[str], *, delete: bool = False, older_than: float = SAFE_AGE
) -> tuple[FoundLeftover, ...]:
    """List what crashes left at a destination, and delete it if asked to.

    Products and files of others are neither listed nor touched.

    Parameters
    ----------
    dest : str or path
        Folder or prefix that holds products.
    delete : bool
        Whether to delete leftovers; what is active or kept stays.
    older_than : float
        Seconds since the last write below which somebody may still be at work.

    Returns
    -------
    tuple of FoundLeftover

    Raises
    ------
    UsageError
        Nothing can be deleted at such a place.
    ReadError
        The destination cannot be listed.
    WriteError
        A leftover cannot be removed.

    Examples
    --------
    >>> outcomes = ld.run(ld.plan(scene, "out", factor=10, bands="red"))
    >>> ld.clean("out", delete=True)   # removes what a killed run left; here there was none
    ()
    """
    place, policy = Location(os.fspath(dest)), Policy.from_environ()
    if not place.is_writable:
        raise UsageError(f"cannot clean {place!r}: give a folder, s3:// or another fsspec store")
    if not older_than >= 0:
        raise UsageError(f"older_than {older_than!r} must be at least 0 seconds")
    found = []
    for left in leftovers(place, policy=policy):
        entry = _judged(left, older_than, policy)
        if entry is not None and delete and entry.state == "leftover":
            remove_leftover(left, policy=policy)
            entry = FoundLeftover(left, entry.age, "removed")
        found += [entry] if entry else []
    return tuple(found)


def _judged(left: Leftover, older_than: float, policy: Policy) -> FoundLeftover | None:
    place = Location(left.href)
    if not place.is_local and left.kind != "probe" and not _is_ours(place, policy):
        return None
    written = _last_local_write(place.path) if place.is_local else _last_write(place, policy)
    age = None if written is None else max(0.0, time.time() - written)
    if left.kind == "replaced" and not os.path.lexists(_final(left)):
        return FoundLeftover(left, age, "kept")
    active = age < older_than if age is not None else older_than > 0
    return FoundLeftover(left, age, "active" if active else "leftover")


def _final(left: Leftover) -> str:
    """Where the product of a hidden folder would be visible."""
    folder, name = os.path.split(Location(left.href).path)
    return os.path.join(folder, name[1:].rpartition(f".{left.kind}-")[0])


def _last_local_write(path: str) -> float | None:
    times = []
    for top, _, files in os.walk(path):
        for one in (top, *(os.path.join(top, name) for name in files)):
            try:
                times.append(os.lstat(one).st_mtime)
            except FileNotFoundError:  # somebody is at work
                times.append(time.time())
    return max(times, default=None)


def _entries(place: Location, policy: Policy) -> list[dict[str, Any]]:
    def attempt(seconds: float) -> list[dict[str, Any]]:
        try:
            return transport.listing(place, deep=True, policy=policy, seconds=seconds)
        except FileNotFoundError:
            return []

    return RetryBudget(policy).call(f"cannot list {place!r}", attempt)


def _last_write(place: Location, policy: Policy) -> float | None:
    found = [
        entry.get("LastModified") or entry.get("created") or entry.get("mtime") for entry in _entries(place, policy)
    ]
    times = [value.timestamp() if isinstance(value, datetime) else value for value in found]
    known = [value for value in times if isinstance(value, (int, float))]
    return max(known) if known and len(known) == len(times) else None


def _is_ours(place: Location, policy: Policy) -> bool:
    """Whether every object was put by a publication; stores without metadata cannot say."""
    if place.kind not in S3:
        return True
    objects = Objects(Publication(place.parent.href, place.name, policy=policy))
    heads = [objects.head(Location(entry["name"]).name) for entry in _entries(place, policy)]
    return all(head is None or "publication" in dict(head.metadata) for head in heads)
