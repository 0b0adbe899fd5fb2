"""What Python users give for scenes besides hrefs: STAC items as dicts, and as the objects of pystac."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

from landsat_downsample.errors import UsageError
from landsat_downsample.formats.checked_item import is_item, links
from landsat_downsample.formats.stac_item import scene_id
from landsat_downsample.model.location import Location


def given_items(source: object) -> tuple[list[dict[str, Any]], str | None]:
    """The items of one scene, and where they say that they were read.

    Raises
    ------
    UsageError
        It is something else.
    """
    found = list(_items(source))
    if not found:
        raise no_source(source)
    return [item for item, _ in found], next((place for _, place in found if place), None)


def given_scenes(sources: object) -> Iterator[tuple[Any, str | None]]:
    """What to open for each scene among sources, and where its items say that they were read.

    Items of one scene, of which USGS has two, come together.
    """
    if isinstance(sources, str | os.PathLike) or is_stac(sources) or not isinstance(sources, Iterable):
        sources = [sources]
    scenes: dict[object, tuple[Any, str | None]] = {}
    for number, source in enumerate(sources):
        if not is_stac(source):
            scenes[number] = (source, None)
            continue
        for item, place in _items(source):
            scenes.setdefault(scene_id(item) or (number, len(scenes)), ([], place))[0].append(item)
    yield from scenes.values()


def is_stac(source: object) -> bool:
    """Whether it is a STAC item, or several, as a dict or as an object of pystac."""
    return isinstance(source, dict) or _has_dict(source)


def _has_dict(source: object) -> bool:
    """Whether it is an object of pystac or of its like, which need not be installed here; no mapping."""
    several = not callable(getattr(source, "items", len))
    return callable(getattr(source, "to_dict", None)) and (hasattr(source, "assets") or several)


def _items(source: object) -> Iterator[tuple[dict[str, Any], str | None]]:
    """Items, each with where it says that it was read."""
    if is_item(source):
        place = _self(source)
        # A copy here of one from there has its old link.
        yield source, place if place and Location(place).is_local else None
    elif isinstance(source, dict) and isinstance(source.get("features"), list):
        for item in source["features"]:
            yield from _items(item)
    elif hasattr(source, "assets") and callable(to_dict := getattr(source, "to_dict", None)):
        item = to_dict(transform_hrefs=False)  # which would ask its catalogue, over the network if need be
        if not is_item(item):
            raise no_source(source)
        yield item, _self(item)
    elif isinstance(source, Iterable) and not isinstance(source, str | bytes | dict):
        for item in source:
            yield from _items(item)
    else:
        raise no_source(source)


def _self(item: dict[str, Any]) -> str | None:
    """The ``self`` link of an item."""
    return next((link["href"] for link in links(item, "self")), None)


def no_source(source: object) -> UsageError:
    """Say that it is neither an href nor an item, and what to give."""
    name = getattr(source, "name", None)
    hint = f" such as its name, {name!r}" if isinstance(name, str) and not isinstance(source, dict) else ""
    return UsageError(
        f"source is neither an href nor a STAC item but of type {type(source).__name__!r}: give an href{hint}, an "
        "item, or the items of one scene"
    )
