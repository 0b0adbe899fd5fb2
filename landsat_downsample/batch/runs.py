"""What is on record of a run: how far it is, and what became of its scenes.

A run in parts has a record for each part, and one more for each repetition of a part and each retry: here they
are put together.
"""

from __future__ import annotations

import json
import os
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import repeat
from typing import Any

from landsat_downsample.batch.entry import entries_of, gathered
from landsat_downsample.batch.parts import Part
from landsat_downsample.batch.record import (
    RUNS,
    find_run,
    number_of_parts,
    outcomes,
    part_number,
    records_of,
    run_id_of,
    run_ids,
)
from landsat_downsample.batch.requests import place_key
from landsat_downsample.batch.status import Status, moment, of_folder
from landsat_downsample.errors import LandsatDownsampleError
from landsat_downsample.execution.progress import LAST
from landsat_downsample.model.location import Location
from landsat_downsample.model.policy import Policy
from landsat_downsample.model.safe_text import plain

#: Records that are read at one time.
READING = 16

#: What the records of a run in parts add up to.
_SUMS = ("done", "skipped", "failed", "bands_done", "bands_known", "bytes_in", "bytes_out")


def status(place: str | os.PathLike[str], *, run: str | None = None) -> Status:
    """Tell how far a run is.

    Parameters
    ----------
    place : str or path
        Where its products go, or the folder of its record (``DEST/_runs/<run id>``).
    run : str, optional
        Its id; the latest run by default, with all of its parts.

    Returns
    -------
    Status
        What the run said of itself last: its state, counts, speed, last failures.

    Raises
    ------
    UsageError
        No such run is on record there.
    ReadError
        The record cannot be read.

    Examples
    --------
    >>> outcomes = ld.run(ld.plan(scene, "out", factor=10, bands="red"), record=True)
    >>> ld.status("out").state
    'ended'
    """
    return of_run(find_run(place, run))


def all_of(dest: str | os.PathLike[str]) -> list[Status]:
    """Tell how far each run to a destination is, the oldest first; of one in parts, each part.

    Raises
    ------
    UsageError
        No run is on record there.
    ReadError
        A record cannot be read.
    """
    dest = os.fspath(dest)
    find_run(dest)  # refuses a place without any
    return [status((Location(dest) / RUNS / run).href) for run in run_ids(dest)]


def of_run(folder: str) -> Status:
    """Tell how far a run is by its folder, from `find_run`.

    Raises
    ------
    UsageError, ReadError
        As `status`.
    """
    policy = Policy.from_environ()
    folders = records_of(folder)
    found = _read(folders, policy)
    return found[0] if folders == [folder] else _join(folder, found, policy)


def outcomes_of(folder: str, *, policy: Policy | None = None) -> Iterator[dict[str, Any]]:
    """Read what became of the scenes of a run, each once, with the second of the run in which it ended.

    Where a part was repeated or retried, what came last counts; a product that was only found there counts as
    what made it.

    Parameters
    ----------
    folder : str
        From `find_run`.
    policy : Policy, optional
        Retry budget; from the environment if not given.

    Raises
    ------
    UsageError, ReadError
        The record cannot be read.
    """
    policy = policy or Policy.from_environ()
    folders = records_of(folder)
    if folders == [folder]:
        yield from outcomes(folder, policy=policy)
        return
    last = _last(folders, policy) if _is_repeated(folders) else None
    found = _read(folders, policy)
    begun = _begun(found)
    for which, one in enumerate(found):
        late = _after(one, begun)
        for number, record in enumerate(outcomes(folders[which], policy=policy)):
            if last is None or (which, number) in last:
                ended = record.get("ended")
                yield record | ({"ended": ended + late} if isinstance(ended, (int, float)) else {})


def _read(folders: Sequence[str], policy: Policy) -> list[Status]:
    """Read records, several at a time: a job array has thousands of parts."""
    if len(folders) == 1:
        return [of_folder(folders[0], policy)]
    with ThreadPoolExecutor(READING) as pool:
        return list(pool.map(of_folder, folders, repeat(policy)))


def _join(folder: str, found: Sequence[Status], policy: Policy) -> Status:
    """Put the records of a run in parts together; they come in the order of time."""
    parts = _telling(found)
    at_work = [one for one in parts if one.at_work]
    missing, total = _count_scenes(number_of_parts(run_id_of(folder)), found)
    begun, quietest = _begun(found), max(at_work or parts, key=lambda one: one.age or 0.0)
    sums: dict[str, Any] = {name: sum(getattr(one, name) for one in found) for name in _SUMS}
    whole = replace(
        found[-1],
        id=run_id_of(folder),
        href=plain(folder),
        state="running" if at_work else "failed" if any(one.state == "failed" for one in parts) else "ended",
        reason=None if at_work else next((one.reason for one in parts if one.reason), None),
        begun=begun,
        seconds=max(_after(one, begun) + one.seconds for one in found),
        age=quietest.age,
        every=quietest.every,
        total=total,
        in_hand=sum(one.in_hand for one in at_work),
        rate=sum(one.rate for one in at_work if not one.silent),
        eta=None if missing else _longest(at_work),
        workers=_added(one.workers for one in at_work or parts),
        workers_most=_added(one.workers_most for one in parts),
        workers_lost=_added(one.workers_lost for one in parts),
        dashboard=None,
        overwrite=any(one.overwrite for one in found),
        requester_pays=any(one.requester_pays for one in found),
        version=", ".join(sorted({one.version for one in found if one.version})) or None,
        failures=tuple(failure for one in parts for failure in one.failures)[-LAST:],
        parts=parts,
        missing=missing,
        **sums,
    )
    return _settled(whole, folder, policy) if _is_repeated([one.id for one in found]) else whole


def _telling(found: Sequence[Status]) -> tuple[Status, ...]:
    """The records that tell the state: of each part the latest, but for what a retry of all parts took over."""
    latest = {part_number(one.id) or 0: (order, one) for order, one in enumerate(found)}
    retry = latest[0][0] if 0 in latest else -1
    return tuple(
        one
        for _, (order, one) in sorted(latest.items())
        if order >= retry or (one.at_work and not one.silent) or one.state == "ended"
    )


def _count_scenes(of: int, found: Sequence[Status]) -> tuple[tuple[int, ...], int]:
    """Count the scenes of a run in parts; name the parts that have some and have not begun."""
    listed = max(one.listed or 0 for one in found)
    sizes = {number: Part(number, of).size(listed) for number in range(1, of + 1)}
    begun: dict[int, int] = {}
    for one in found:
        if number := part_number(one.id):
            # A part may have more than its share: copies of its scenes, which fail.
            begun[number] = max(begun.get(number, 0), one.total or sizes.get(number, 0))
    missing = tuple(number for number, size in sizes.items() if size and number not in begun)
    return missing, sum((sizes | begun).values())


def _settled(whole: Status, folder: str, policy: Policy) -> Status:
    """Count each scene once: some were tried in more than one record."""
    counts: Counter[str] = Counter()
    failures: deque[dict[str, Any]] = deque(maxlen=LAST)
    for record in outcomes_of(folder, policy=policy):
        counts[str(record.get("status"))] += 1
        if record.get("status") == "failed":
            failures.append({name: plain(record.get(name), 500) for name in ("id", "cause", "error")})
    done, skipped, failed = (counts[name] for name in ("done", "skipped", "failed"))
    return replace(whole, failures=tuple(failures), done=done, skipped=skipped, failed=failed)


def _is_repeated(records: Sequence[str]) -> bool:
    """Whether a scene may be on more than one of the records."""
    numbers = [part_number(run_id_of(one)) for one in records]
    return None in numbers or len(set(numbers)) < len(numbers)


def _last(folders: Sequence[str], policy: Policy) -> set[tuple[int, int]]:
    """The outcomes that count, by record and line."""
    last: dict[str, tuple[tuple[int, int], Any]] = {}
    for which, folder in enumerate(folders):
        for number, record in enumerate(outcomes(folder, policy=policy)):
            key, ended = _key(record), record.get("status")
            if not (ended == "skipped" and key in last and last[key][1] == "done"):
                last[key] = ((which, number), ended)
    return {where for where, _ in last.values()}


def _key(record: dict[str, Any]) -> str:
    """What identifies the scene of an outcome among those of its run, on any machine."""
    try:
        entry = gathered(entries_of(record))[0]
    except (LandsatDownsampleError, IndexError):
        return json.dumps(record.get("id"))
    return place_key(entry) if entry.error is None else f"! {entry.error}"


def _added(numbers: Iterable[int | None]) -> int | None:
    """Sum of what is known; None where nothing is."""
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def _begun(found: Sequence[Status]) -> str | None:
    return min((one.begun for one in found if one.begun and moment(one.begun)), default=None)


def _after(one: Status, begun: str | None) -> float:
    """Seconds from the beginning of the first part to that of this one."""
    first, own = moment(begun), moment(one.begun)
    return max(0.0, (own - first).total_seconds()) if first and own else 0.0


def _longest(at_work: Sequence[Status]) -> float | None:
    """Seconds until the last part ends; None where one does not know."""
    left = [one.eta for one in at_work]
    return None if not left or None in left else max(seconds for seconds in left if seconds is not None)
