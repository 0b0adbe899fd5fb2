"""What crashes leave at destinations: listed and removed, never mistaken for results."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from functools import partial
from typing import Any

from landsat_downsample.errors import ReadError, WriteError
from landsat_downsample.model.location import Location
from landsat_downsample.model.policy import Policy
from landsat_downsample.model.product import MARKER, SUFFIX
from landsat_downsample.storage.probe import NAME
from landsat_downsample.storage.publication import Publication

#: Ending of a product's name.
_HIDDEN = re.compile(r"^\.(.+)\.(partial|replaced)-[0-9a-f]{32}$")


@dataclass(frozen=True, slots=True)
class Leftover:
    """What a crash left at a destination: never a result, safe to remove when no run is at work."""

    href: str
    kind: str
    """``partial`` (never published), ``replaced`` (an old product), ``unmarked`` (objects without a marker) or
    ``probe`` (what a store was tried by)."""
    files: int
    size: int
    """Bytes of all files."""


def leftovers(dest: str | Location, *, policy: Policy | None = None) -> tuple[Leftover, ...]:
    """List what crashed or running publications left at a destination."""
    location = Location.of(dest)
    if location.is_local:
        return _local_leftovers(location.path)
    return _object_leftovers(location, policy or Policy.from_environ())


def _local_leftovers(folder: str) -> tuple[Leftover, ...]:
    try:
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    except OSError as error:
        raise ReadError(f"cannot list {folder!r}: {(error.strerror or 'it failed').lower()}") from error
    found = []
    for name in names:
        match = _HIDDEN.match(name)
        path = os.path.join(folder, name)
        if match:
            sizes = [os.path.getsize(os.path.join(top, file)) for top, _, files in os.walk(path) for file in files]
            found.append(Leftover(path, match.group(2), len(sizes), sum(sizes)))
    return tuple(found)


def names_left(folder: Location) -> frozenset[str]:
    """Names of products that hidden folders of a local destination belong to; none where it cannot be listed."""
    try:
        with os.scandir(folder.path) as entries:
            hidden = [match for entry in entries if entry.name[0] == "." and (match := _HIDDEN.match(entry.name))]
    except OSError:
        return frozenset()
    return frozenset(match[1] for match in hidden)


def _object_leftovers(dest: Location, policy: Policy) -> tuple[Leftover, ...]:
    from landsat_downsample.storage import transport
    from landsat_downsample.storage.retry import RetryBudget

    retry_budget = RetryBudget(policy)

    def attempt(seconds: float) -> list[dict[str, Any]]:
        try:
            return transport.listing(dest, deep=True, policy=policy, seconds=seconds)
        except FileNotFoundError:
            return []

    groups: dict[str, list[tuple[str, int]]] = {}
    for entry in retry_budget.call(f"cannot list {dest!r}", attempt):
        folder, _, name = entry["name"].rpartition("/")
        groups.setdefault(folder, []).append((name, int(entry["size"] or 0)))
    found = []
    for folder, files in sorted(groups.items()):
        found += [
            Leftover(f"{dest.kind}://{folder.lstrip('/')}/{name}", "probe", 1, size)
            for name, size in files
            if name.startswith(NAME)
        ]
        product = folder.rpartition("/")[2]
        if product.endswith(SUFFIX) and f"{product}{MARKER}" not in dict(files):
            href = f"{dest.kind}://{folder.lstrip('/')}"
            found.append(Leftover(href, "unmarked", len(files), sum(size for _, size in files)))
    return tuple(found)


def remove_leftover(leftover: Leftover, *, policy: Policy | None = None) -> None:
    """Remove what a crash left; a product that was completed meanwhile is refused.

    Raises
    ------
    WriteError
        If it cannot be removed, or has become a product.
    """
    policy = policy or Policy.from_environ()
    location = Location(leftover.href)
    if location.is_local:
        try:
            if os.path.isdir(leftover.href):
                shutil.rmtree(leftover.href)
            else:
                os.unlink(leftover.href)
        except OSError as error:
            raise WriteError(f"cannot remove {leftover.href!r}: {(error.strerror or 'it failed').lower()}") from error
        return
    if leftover.kind == "probe":
        from landsat_downsample.storage import small_objects

        small_objects.remove(location, policy=policy)
        return
    from landsat_downsample.storage.publication_objects import Objects

    place = Objects(Publication(location.parent.href, location.name, policy=policy))
    if place.head(place.marker) is not None:
        raise WriteError(f"will not remove {location!r}: it was published meanwhile")
    for filename in place.names():
        place.call(filename, partial(place.delete, filename))
