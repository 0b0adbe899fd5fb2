"""Where the record of a run lies, and how its small files are written and read.

``DEST/_runs/<run id>/`` holds ``scenes.ndjson`` (what was asked for), ``status.json`` (a heartbeat),
``outcomes.ndjson`` (a line for each scene that has ended) and ``report.html``. While a run
to an object store goes on, its outcomes lie in pieces: ``outcomes-00001.ndjson`` ...

Each part of a run in parts (``--part``) has a record of its own, whose name ends in
``-part-3-of-10-1a2b3c4d``; the last word is made of the list and the options, so that those of
one run are found by their names.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from landsat_downsample.errors import ReadError, UsageError, read_error
from landsat_downsample.model.location import Location
from landsat_downsample.model.policy import Policy
from landsat_downsample.storage import files
from landsat_downsample.storage.regular_files import open_regular

#: Folder of a destination that holds the records of its runs.
RUNS = "_runs"
SCENES, STATUS, OUTCOMES, REPORT = "scenes.ndjson", "status.json", "outcomes.ndjson", "report.html"

#: A run in parts has a name; a record of it says which part it is of, or that it is of all of them (a retry).
_RUN_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{4,6}(?:-(?:part-(\d+)|parts)-(of-\d+-[0-9a-f]{8}))?")
_IN_PARTS = re.compile(r"parts-of-(\d+)-[0-9a-f]{8}")
_PIECE = re.compile(r"outcomes-\d{5,}\.ndjson")

#: Bytes of a remote file of a record, which is read whole; a local one is read line by line.
LIMIT = 128 << 20


def new_run_id(now: datetime | None = None, *, of: str = "") -> str:
    """Name a run after its beginning, so that names sort by time.

    Parameters
    ----------
    now : datetime, optional
        When it begins.
    of : str
        What it is of, for a part of a run: `part_of`.

    Examples
    --------
    >>> new_run_id(datetime(2026, 11, 22, 21, 50, 49, 500_000, tzinfo=UTC))[:-2]
    '20261122T215049Z-8000'
    """
    now = (now or datetime.now(UTC)).astimezone(UTC)
    part_of_second = (now.microsecond << 16) // 1_000_000  # runs of one second are in their order too
    stamp = f"{now:%Y%m%dT%H%M%SZ}-{part_of_second:04x}{os.urandom(1).hex()}"
    return f"{stamp}-{of}" if of else stamp


def part_of(run_in_parts: str, number: int | None) -> str:
    """Say in the name of a record which part it is of; None: of all.

    >>> part_of("parts-of-10-1a2b3c4d", 3)
    'part-3-of-10-1a2b3c4d'
    """
    return run_in_parts if number is None else run_in_parts.replace("parts", f"part-{number}", 1)


def run_in_parts(run: str) -> str | None:
    """Tell which run in parts a record or report is of, by its name; None of a whole run.

    >>> run_in_parts("20261122T215049Z-3f2a-part-3-of-10-1a2b3c4d")
    'parts-of-10-1a2b3c4d'
    """
    if _IN_PARTS.fullmatch(run):
        return run
    match = _RUN_ID.fullmatch(run)
    return f"parts-{match[2]}" if match and match[2] else None


def part_number(run: str) -> int | None:
    """Tell which part a record is of, by its name; None of a whole run, and of one of all parts."""
    match = _RUN_ID.fullmatch(run)
    return int(match[1]) if match and match[1] else None


def number_of_parts(run_in_parts: str) -> int:
    """Tell how many parts a run has, by its name."""
    match = _IN_PARTS.fullmatch(run_in_parts)
    return int(match[1]) if match else 1


def piece_name(number: int) -> str:
    """Name a piece of the outcomes, counted from 1."""
    return f"outcomes-{number:05d}.ndjson"


def run_ids(dest: str) -> list[str]:
    """List the runs to a destination that are on record, the oldest first.

    Raises
    ------
    ReadError
        The destination cannot be listed.
    """
    return sorted(name for name in names_in(Location(dest) / RUNS) if _RUN_ID.fullmatch(name))


def names_in(folder: Location) -> list[str]:
    """List the names of files and folders directly in a folder or prefix; none where there is no such.

    Raises
    ------
    ReadError
        It cannot be listed.
    """
    return _local_names(folder) if folder.is_local else _remote_names(folder, Policy.from_environ())


def _local_names(folder: Location) -> list[str]:
    try:
        return os.listdir(folder.path)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise ReadError(f"cannot list {folder!r}: {(error.strerror or 'it failed').lower()}") from error


def _remote_names(folder: Location, policy: Policy) -> list[str]:
    from landsat_downsample.storage import transport  # not above: a record on this disk needs none of it
    from landsat_downsample.storage.retry import RetryBudget

    def attempt(seconds: float) -> list[dict[str, Any]]:
        try:
            return transport.listing(folder, deep=False, policy=policy, seconds=seconds)
        except FileNotFoundError:
            return []

    entries = RetryBudget(policy).call(f"cannot list {folder!r}", attempt)
    return [entry["name"].rstrip("/").rpartition("/")[2] for entry in entries]


def machine_mark(run: str) -> str:
    """Make what the record of a run is known by on the machine that wrote it, and that tells others nothing of it."""
    return hashlib.sha256(f"{run} {socket.gethostname()}".encode()).hexdigest()[:16]


def find_run(place: str | os.PathLike[str], run: str | None = None) -> str:
    """Give the folder of a run's record; of a run in parts the one of its common report.

    Parameters
    ----------
    place : str or path
        The destination of the run, or the folder itself.
    run : str, optional
        Its id, or that of a run in parts; the latest run by default, with all of its parts.

    Raises
    ------
    UsageError
        There is no such run.
    ReadError
        The destination cannot be listed.
    """
    location = Location(os.fspath(place))
    dest = location.path if location.is_local else location.href
    if is_run_folder(dest) and run in (None, run_id_of(dest)):
        return dest.rstrip("/")
    found = run_ids(dest)
    if not found:
        raise UsageError(f"no run is on record at {Location(dest)!r}: give the --to of a run of several scenes")
    if run is not None and run not in found and run not in map(run_in_parts, found):
        raise UsageError(f"no run {run!r} is on record at {Location(dest)!r}: the latest is {found[-1]}")
    return (Location(dest) / RUNS / (run or run_in_parts(found[-1]) or found[-1])).href


def records_of(folder: str) -> list[str]:
    """List the folders that the record of a run is in, the oldest first: of a run in parts those of its parts.

    Parameters
    ----------
    folder : str
        From `find_run`.

    Raises
    ------
    UsageError
        There is none.
    ReadError
        The destination cannot be listed.
    """
    name, dest = run_id_of(folder), dest_of(folder)
    if not _IN_PARTS.fullmatch(name):
        return [folder]
    found = [(Location(dest) / RUNS / run).href for run in run_ids(dest) if run_in_parts(run) == name]
    if not found:
        raise UsageError(f"no part of {name!r} is on record at {Location(dest)!r}: give the --to of its parts")
    return found


def is_run_folder(place: str) -> bool:
    """Tell whether an href is the folder of one run's record, or of one in parts, by its name."""
    parts = place.rstrip("/").rsplit("/", 2)
    return len(parts) > 1 and parts[-2] == RUNS and bool(_RUN_ID.fullmatch(parts[-1]) or _IN_PARTS.fullmatch(parts[-1]))


def run_id_of(folder: str) -> str:
    """Return the run id that a folder of a record is named after."""
    return folder.rstrip("/").rpartition("/")[2]


def dest_of(folder: str) -> str:
    """Give the destination of a run from the folder of its record."""
    return folder.rstrip("/").rsplit("/", 2)[0]


def read_status(folder: str, *, policy: Policy | None = None) -> dict[str, Any] | None:
    """Read a run's heartbeat; None before the first one.

    Raises
    ------
    ReadError
        It is there but cannot be read, or is not a JSON object.
    """
    location = Location(folder) / STATUS
    if not files.exists(location, policy=policy):
        return None
    data = files.read_bytes(location, policy=policy)
    try:
        record = json.loads(data)
    except ValueError as error:
        raise ReadError(f"{location!r} is not JSON: it was not written by a run") from error
    if not isinstance(record, dict):
        raise ReadError(f"{location!r} is not a JSON object: it was not written by a run")
    return record


def outcomes(folder: str, *, policy: Policy | None = None) -> Iterator[dict[str, Any]]:
    """Read what became of the scenes of a run, in the order in which they ended.

    A line that a crash cut short is left out; a run that goes on or was killed has its lines in
    pieces on an object store, which are put together here.

    Raises
    ------
    ReadError
        The record cannot be read.
    """
    names = files.list_names(folder, policy=policy)
    whole = [OUTCOMES] if OUTCOMES in names else sorted(filter(_PIECE.fullmatch, names), key=_piece_number)
    for name in whole:
        for line in _lines(Location(folder) / name, policy):
            record = _parsed(line)
            if record is not None:
                yield record


def _lines(location: Location, policy: Policy | None) -> Iterator[bytes]:
    """Lines of a file that are whole."""
    if not location.is_local:
        data = files.read_bytes(location, limit=LIMIT, policy=policy)
        yield from data[: data.rfind(b"\n") + 1].splitlines()
        return
    try:
        with open_regular(location.path) as file:
            yield from (line for line in file if line.endswith(b"\n"))
    except OSError as error:
        raise read_error(f"cannot read {location!r}: {(error.strerror or 'it failed').lower()}", error) from error


def _piece_number(name: str) -> int:
    return int(name[len("outcomes-") : -len(".ndjson")])


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None
