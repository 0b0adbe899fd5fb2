"""What one listing tells of the files of a folder or prefix."""

from __future__ import annotations

import os

from landsat_downsample.errors import ReadError
from landsat_downsample.model.location import Location
from landsat_downsample.model.policy import Policy


def listed(place: Location, policy: Policy) -> list[tuple[str, int, str]]:
    """Name, bytes, and time in nanoseconds or ETag of each file directly in a folder or prefix, or of a local file.

    Returns
    -------
    list
        In the order of their names; empty where there is nothing, or a store tells no ETags.

    Raises
    ------
    ReadError
        It cannot be listed.
    """
    return _local(place.path) if place.is_local else _remote(place, policy)


def _local(path: str) -> list[tuple[str, int, str]]:
    try:
        if os.path.isdir(path):
            with os.scandir(path) as entries:
                found = [(entry.name, entry.stat()) for entry in entries if entry.is_file()]
        else:
            found = [("", os.stat(path))]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ReadError(f"cannot list {path!r}: {(error.strerror or 'it failed').lower()}") from error
    return sorted((name, facts.st_size, str(facts.st_mtime_ns)) for name, facts in found)


def _remote(place: Location, policy: Policy) -> list[tuple[str, int, str]]:
    from landsat_downsample.storage import transport  # here: a folder needs nothing of what it loads
    from landsat_downsample.storage.retry import RetryBudget

    def attempt(seconds: float) -> list[tuple[str, int, str]]:
        try:
            entries = transport.listing(place, deep=False, policy=policy, seconds=seconds)
        except FileNotFoundError:
            return []
        files = [entry for entry in entries if entry["type"] == "file"]
        if not all(entry.get("ETag") for entry in files):
            return []
        return sorted((Location(one["name"]).name, int(one["size"]), str(one["ETag"])) for one in files)

    return RetryBudget(policy).call(f"cannot list {place!r}", attempt)
