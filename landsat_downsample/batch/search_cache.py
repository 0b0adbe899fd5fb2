"""Lists of scenes kept on record: a run, its repetition and its retry see the same ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from landsat_downsample.batch.entry import Entry, gathered, item_entry
from landsat_downsample.batch.record import RUNS
from landsat_downsample.batch.scene_lists import recorded_entries
from landsat_downsample.batch.stac_query import Query
from landsat_downsample.batch.stac_search import search
from landsat_downsample.model.location import Location
from landsat_downsample.storage import files, small_objects


def found(query: Query, *, report: Callable[[str], None] = lambda line: None) -> list[Entry]:
    """Search, and list the scenes found: items of one scene are one entry.

    Raises
    ------
    UsageError, ReadError
        See `stac_search.search`.
    """
    items = enumerate(search(query, report=report), 1)
    return gathered(item_entry(item, query.url, f"item {number} of the search: ") for number, item in items)


def frozen(
    query: Query, dest: str, *, again: bool = False, report: Callable[[str], None] = lambda line: None
) -> tuple[str, list[Entry]]:
    """List the scenes of a search; searched once for a destination, and read from its record from then on.

    Parameters
    ----------
    query : Query
        What is wanted; another one has a record of its own.
    dest : str
        Folder or prefix that products go to.
    again : bool
        Search anew, and keep what is found now.
    report : callable, optional
        Gets a line now and then while the search goes on.

    Returns
    -------
    (href, entries)
        The record, ``DEST/_runs/search-DIGEST.ndjson``, and what it lists.

    Raises
    ------
    UsageError, ReadError
        The search fails, finds nothing, or its record is damaged.
    WriteError
        The record cannot be written.
    """
    href = (Location(dest) / RUNS / f"search-{query.digest}.ndjson").href
    if not again and files.exists(href):
        return href, recorded_entries(href)
    entries = found(query, report=report)
    if not freeze(entries, href, create=not again):
        return href, recorded_entries(href)  # the same search, run beside this one, was first
    return href, entries


def freeze(entries: Iterable[Entry], href: str, *, create: bool = False) -> bool:
    """Write a list of scenes, whole or not at all; free of signatures and passwords.

    Parameters
    ----------
    entries : iterable of Entry
        Its lines.
    href : str
        A file or object.
    create : bool
        Leave a list that is there already as it is.

    Returns
    -------
    bool
        Whether it was written.

    Raises
    ------
    WriteError
        The place refuses it.
    """
    lines = (json.dumps(entry.to_dict(), separators=(",", ":")) + "\n" for entry in entries)
    return small_objects.put(href, "".join(lines).encode(), create=create)
