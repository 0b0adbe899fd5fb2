"""What of an earlier run is to be tried again: of all of it, or of one of its parts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from landsat_downsample.batch import record as record_module
from landsat_downsample.batch.entry import Entry, entries_of, gathered, refusal
from landsat_downsample.batch.parts import Part, Share, share
from landsat_downsample.batch.plans import Plans
from landsat_downsample.batch.record import OUTCOMES, SCENES, dest_of, find_run, part_number, run_id_of
from landsat_downsample.batch.requests import Order, SceneRequest, by_tiles, distinct
from landsat_downsample.batch.runs import of_run
from landsat_downsample.batch.scene_lists import Where, numbered, recorded_entries
from landsat_downsample.batch.status import Status
from landsat_downsample.errors import UsageError
from landsat_downsample.model.location import Location
from landsat_downsample.model.options import Options
from landsat_downsample.model.safe_text import scrubbed
from landsat_downsample.storage import files


@dataclass(frozen=True, slots=True)
class Retry:
    """Scenes to be tried again."""

    entries: list[Entry]
    share: Share | None = None
    """What they are of, where their outcomes belong to a run in parts."""
    busy: tuple[str, ...] = ()
    """Parts that are at work: what they have not ended yet is left to them."""


def retry(href: str, order: Order, part: Part | None = None) -> Retry:
    """List what is to be tried again of an earlier run.

    Parameters
    ----------
    href : str
        As `retry_entries` takes it. A destination whose latest run is in parts means all of its parts.
    order : Order
        What is asked now: outcomes belong to the earlier run in parts where that was asked for the same.
    part : Part, optional
        Of a run in that many parts: what is left of this part. Of anything else: this share of what is left.

    Raises
    ------
    UsageError
        It is something else, or that part is not on record.
    ReadError
        It cannot be read.
    """
    if _is_file(href) or _has_outcomes(href):
        return _shared(retry_entries(href), order, part)
    folder = find_run(href)
    run, own = record_module.run_in_parts(run_id_of(folder)), part_number(run_id_of(folder))
    of = record_module.number_of_parts(run) if run else 1
    if run is None or (own and part not in (None, Part(own, of))):
        return _shared(retry_entries(folder), order, part)
    if part and part.of != of:
        raise UsageError(f"part {part} is none of the run {run!r}, which is in {of} parts: give --part I/{of}")
    found = of_run(folder)
    busy: tuple[str, ...] = ()
    if own:
        part, entries = Part(own, of), retry_entries(folder)
    elif part:
        entries = _left_of_part(folder, part, found.listed or 0)
    else:
        entries, busy = _left_of_all(folder, found)
    same = found.options == scrubbed(order.options.to_dict()) and _is_at(order.dest, dest_of(folder))
    return Retry(entries, Share(part, entries, run, found.listed or 0) if same else None, busy)


def run_of(href: str) -> Status | None:
    """What is on record of the run that `retry` means by an href; None where that is a file or folder by itself.

    Raises
    ------
    UsageError, ReadError
        As of `retry`.
    """
    place = Location(href).parent.href if _is_file(href) else href
    alone = _is_file(href) or _has_outcomes(href)
    return None if alone and not record_module.is_run_folder(place) else of_run(find_run(place))


def left_of(href: str) -> Plans:
    """Plan again what is left of the last run that is on record at a destination, with the options that it had.

    Raises
    ------
    UsageError
        No run is on record there, or its record does not say its options.
    ReadError
        It cannot be read.
    """
    folder = find_run(href)
    asked = of_run(folder)
    if not asked.options:
        raise UsageError(f"the record {Location(folder)!r} does not say its options: plan its scenes.ndjson anew")
    order = Order(
        Options.from_dict(asked.options),
        dest_of(folder),
        overwrite=asked.overwrite,
        requester_pays=asked.requester_pays,
        tiles=asked.tiles,
    )
    left = retry(folder, order)
    entries = distinct(left.entries, listed=True)
    entries = by_tiles(entries, order) if order.tiles else entries
    return Plans([SceneRequest(entry, order) for entry in entries], left.share)


def retry_entries(href: str) -> list[Entry]:
    """List the scenes of an earlier run that are to be tried again.

    Parameters
    ----------
    href : str
        An ``outcomes.ndjson``: its scenes that failed. Or the folder of a run, or a destination, whose latest
        run is meant: those without an outcome (it was interrupted) too. All are one's own record, so that
        a remote one may name local paths.

    Returns
    -------
    list of Entry
        Empty when none failed.

    Raises
    ------
    UsageError
        It is something else.
    ReadError
        It cannot be read.
    """
    if _is_file(href):
        return _unfinished([], _outcomes(href))
    folder = href if _has_outcomes(href) else find_run(href)
    records = record_module.records_of(folder)
    return _unfinished(_listed(records), _ended(records))


def _shared(entries: list[Entry], order: Order, part: Part | None) -> Retry:
    shared = share(entries, part, order.options) if part else None
    return Retry(shared.entries if shared else entries, shared)


def _left_of_all(folder: str, found: Status) -> tuple[list[Entry], tuple[str, ...]]:
    """What is left of a run in parts, without what parts that are at work may still come to; and those parts."""
    busy = {one.id for one in found.parts if one.at_work and not one.silent}
    records = record_module.records_of(folder)
    idle = [record for record in records if run_id_of(record) not in busy]
    return _unfinished(_listed(idle), _ended(records)), tuple(sorted(busy))


def _left_of_part(folder: str, part: Part, listed: int) -> list[Entry]:
    """What is left of one part, whichever record its scenes were tried in last."""
    records = record_module.records_of(folder)
    scenes = _listed(record for record in records if part_number(run_id_of(record)) == part.number)
    if not scenes and part.size(listed):
        where = Location(dest_of(folder))
        raise UsageError(f"part {part} is not on record at {where!r}: run it with its list, not with --retry-failed")
    own = {entry.identity for entry in scenes}
    return [entry for entry in _unfinished(scenes, _ended(records)) if entry.identity in own]


def _is_at(place: str, dest: str) -> bool:
    """Whether two spellings are of one destination."""
    places = (Location(one) for one in (place, dest))
    return len({one.path if one.is_local else one.href.rstrip("/") for one in places}) == 1


def _is_file(href: str) -> bool:
    local = Location(href).is_local and os.path.isfile(Location(href).path)
    return local or href.lower().endswith((".ndjson", ".jsonl"))


def _has_outcomes(href: str) -> bool:
    return not record_module.is_run_folder(href) and files.exists(Location(href) / OUTCOMES)


def _listed(records: Iterable[str]) -> list[Entry]:
    scenes = (Location(record) / SCENES for record in records)
    return gathered(entry for one in scenes if files.exists(one) for entry in recorded_entries(one.href))


def _ended(records: Iterable[str]) -> Iterator[dict[str, Any]]:
    return chain.from_iterable(map(record_module.outcomes, records))


def _unfinished(listed: list[Entry], outcomes: Iterable[dict[str, Any]]) -> list[Entry]:
    """Of the scenes of a run those whose last outcome is a failure, and those listed that have none."""
    last: dict[str, tuple[Entry, str]] = {}
    for record in outcomes:
        for entry in gathered(entries_of(record)):
            last[entry.identity] = (entry, record.get("status", ""))
    failed = [entry for entry, status in last.values() if status == "failed"]
    return gathered([*failed, *(entry for entry in listed if entry.identity not in last)])


def _outcomes(href: str) -> Iterator[dict[str, Any]]:
    """Outcomes of a file of them, each checked."""
    for number, record in numbered(href):
        with Where(href, number):
            if not isinstance(record, dict) or "status" not in record:
                raise UsageError("not an outcome of a run; give its outcomes.ndjson")
            if record.get("source") is None:
                raise UsageError(refusal(record))
        yield record
