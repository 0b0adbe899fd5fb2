"""What Python users give for many scenes: lists by name, hrefs, opened scenes, STAC items, the result of a search."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from landsat_downsample.batch.entry import Entry, failing_entry, gathered, href_entry
from landsat_downsample.batch.geoparquet import is_geoparquet
from landsat_downsample.batch.parts import Part, share
from landsat_downsample.batch.plans import Plans
from landsat_downsample.batch.requests import Order, SceneRequest, by_tiles, distinct, names_list
from landsat_downsample.batch.scene_lists import read_entries
from landsat_downsample.batch.search_result import SearchResult
from landsat_downsample.errors import LandsatDownsampleError
from landsat_downsample.formats import stac_item
from landsat_downsample.model.location import Location
from landsat_downsample.model.plan import plan_scene, plan_tiles
from landsat_downsample.model.scene import Scene
from landsat_downsample.scenes.given_items import given_scenes, is_stac, no_source


def planned(sources: object, order: Order, part: Part | None = None) -> Plans:
    """Plan what is given, or a part of it: the same that the command line takes for ``--part``.

    Raises
    ------
    UsageError
        It is no source; a list has nothing in it; two sources make one product; no scene has what is asked for.
    LandsatDownsampleError
        One source is given, and it cannot be opened.
    """
    one = isinstance(sources, str | os.PathLike | Scene | SearchResult) or is_stac(sources)
    parts = [sources] if one or not isinstance(sources, Iterable) else list(sources)
    entries: list[Entry] = []
    scenes: dict[int, Scene] = {}
    for entry, scene in _entries(parts):
        entries.append(entry)
        scenes |= {} if scene is None else {id(entry): scene}
    listed = any(isinstance(part, SearchResult) or _names_list(part) for part in parts)
    kept = gathered(entries)
    if part is None:
        requests = list(_requests(distinct(kept, listed=listed), scenes, order))
        return Plans(requests).check(alone=one and not listed and len(requests) == 1)
    made = {id(request.entry): request for request in _requests(kept, scenes, order)}
    own = share([request.entry for request in made.values()], part, order.options)
    mine = distinct(own.entries, listed=listed)
    return Plans([made.get(id(entry)) or SceneRequest(entry, order) for entry in mine], own).check()


def _requests(entries: list[Entry], scenes: dict[int, Scene], order: Order) -> Iterator[SceneRequest]:
    """What is asked of each entry, `scenes` has those that are open already by the `id` of their entries."""
    if order.tiles:  # of scenes that are open first: the others are opened side by side
        for entry in entries:
            if id(entry) in scenes:
                yield from _by_tiles(entry, scenes[id(entry)], order)
        entries = by_tiles((entry for entry in entries if id(entry) not in scenes), order)
    for entry in entries:
        scene = scenes.get(id(entry))
        plan = plan_scene(scene, order.dest, order.options, overwrite=order.overwrite) if scene else None
        yield SceneRequest(entry, order, plan)


def _by_tiles(entry: Entry, scene: Scene, order: Order) -> Iterator[SceneRequest]:
    """What is asked of an opened scene: a product for each tile that it meets."""
    for plan in plan_tiles(scene, order.dest, order.options, overwrite=order.overwrite):
        tile = plan.options.grid if isinstance(plan.options.grid, str) else None
        yield SceneRequest(replace(entry, tile=tile), order, plan)


def _names_list(source: object) -> bool:
    if isinstance(source, os.PathLike):
        return is_geoparquet(os.fspath(source))
    return isinstance(source, str) and names_list([source]) and source != "-"


def _entries(parts: list[Any]) -> Iterator[tuple[Entry, Scene | None]]:
    """Entries of what is given, in its order, with the scenes that are open already; the items of one scene are one."""
    items = [part for part in parts if is_stac(part) and not isinstance(part, Scene)]
    for part in parts:
        if isinstance(part, SearchResult):
            yield from ((entry, None) for entry in part.entries)
        elif isinstance(part, Scene):
            yield Entry(part.href), part
        elif _names_list(part):
            yield from ((entry, None) for entry in read_entries([os.fspath(part)]))
        elif isinstance(part, str | os.PathLike):
            yield href_entry(os.fspath(part), None), None
        elif is_stac(part):
            found = given_scenes(items) if part is items[0] else ()
            yield from ((_of_items(*one), None) for one in found)
        elif isinstance(part, Iterable):
            yield from _entries(list(part))
        else:
            raise no_source(part)


def _of_items(items: list[dict[str, Any]], place: str | None) -> Entry:
    try:
        slim = [stac_item.slim(item) for item in items]
    except LandsatDownsampleError as error:
        return failing_entry(items[0], error)
    return Entry(slim, place, unproven=place is not None and not Location(place).is_local)
