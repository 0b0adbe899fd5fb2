"""Finished products of destinations, as values: their items are read, none of their rasters."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from landsat_downsample.batch import time_range
from landsat_downsample.batch.product_lists import products
from landsat_downsample.cubes.catalogued_items import catalogued
from landsat_downsample.cubes.reduced_scene import ReducedScene
from landsat_downsample.errors import LandsatDownsampleError, ReadError, SceneError, UsageError
from landsat_downsample.model.location import Location
from landsat_downsample.model.product import MARKER, SUFFIX
from landsat_downsample.storage import files

#: Items of a remote store that are read at once.
_THREADS = 16


def found_products(source: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[ReducedScene]:
    """Read the items of products; of a destination's catalogue those that it keeps as they are now.

    Parameters
    ----------
    source : str, path or iterable of them
        Destinations of runs, folders of products, their items, or ``@LIST``. A folder in a destination that has no
        item yet is not finished, and passed over.

    Raises
    ------
    UsageError
        There is no product.
    SceneError
        An item is not of a product of this library.
    ReadError
        It cannot be read.
    """
    words = [os.fspath(one) for one in ([source] if isinstance(source, str | os.PathLike) else source)]
    named = {word.rstrip("/") for word in words}
    folders = []
    for found in products(words):
        if isinstance(found, LandsatDownsampleError):
            raise found
        folders.append(Location(found))
    local = bool(folders) and folders[0].is_local
    known = catalogued(folders, at_least=2 if local else _THREADS)
    if local:
        read = [_read(folder, named, known) for folder in folders]
    else:
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="items") as pool:
            read = list(pool.map(lambda folder: _read(folder, named, known), folders))
    scenes = [scene for scene in read if scene]
    if not scenes:
        raise UsageError(f"{', '.join(words[:3])}: no finished product: give the destination of a run, or products")
    return scenes


def in_time(scenes: Sequence[ReducedScene], text: str | None) -> list[ReducedScene]:
    """Those of a date or range, as STAC writes it; all of None.

    Raises
    ------
    UsageError
        It is no date or range, or none is of that time.
    """
    if text is None:
        return list(scenes)
    first, last = (
        None if one is None else np.datetime64(one.replace(tzinfo=None), "ns") for one in time_range.parse(text)
    )
    found = [
        scene
        for scene in scenes
        if scene.time is not None and (first is None or scene.time >= first) and (last is None or scene.time <= last)
    ]
    if not found:
        raise UsageError(f"datetime {text!r}: none of the {len(scenes)} products is of that time")
    return found


def _read(folder: Location, named: set[str], known: Mapping[str, dict[str, Any]]) -> ReducedScene | None:
    item = folder / (folder.name + MARKER)
    if folder.href in known:
        return ReducedScene.of(known[folder.href], item)
    try:
        data = files.read_bytes(item)
    except ReadError as error:
        if folder.name.endswith(SUFFIX) and folder.href not in named and not files.exists(item):
            return None  # under way
        if not folder.name.endswith(SUFFIX):
            raise UsageError(f"{folder!r} holds no finished product: give the destination of a run") from error
        raise UsageError(f"{folder!r} is not a finished product: {error}") from error
    try:
        record = json.loads(data)
    except ValueError as error:
        raise SceneError(f"{item!r} is not JSON: {error}") from error
    return ReducedScene.of(record, item)
