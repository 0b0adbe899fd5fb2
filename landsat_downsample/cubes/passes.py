"""Which products are one date: the rows of one pass of a satellite, or each by itself."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from itertools import groupby

import numpy as np

from landsat_downsample.cubes.reduced_scene import ReducedScene
from landsat_downsample.errors import UsageError
from landsat_downsample.formats import product_id

#: A path is flown in less time than this, and not again for longer.
ONE_PASS = np.timedelta64(12, "h")

Date = tuple[ReducedScene, ...]


def dates(scenes: Sequence[ReducedScene], group: str | None) -> list[Date]:
    """Products by date: the tiles of one scene, or with ``pass`` of all rows of a path that were taken in one pass.

    Of two products of one acquisition the one whose source was processed last counts, of two of one source the first.

    Raises
    ------
    UsageError
        A product has no time, or `group` is none.
    """
    if group not in (None, "pass"):
        raise UsageError(f"group {group!r} is unknown: give 'pass', or leave it out for a date per scene")
    if undated := next((scene for scene in scenes if scene.time is None), None):
        raise UsageError(f"{undated.id} has no time: leave it out, as dates cannot be put in order without it")
    same = _track if group else _source
    found: list[list[ReducedScene]] = []
    for _, members in groupby(sorted(_latest(scenes), key=lambda scene: (same(scene), _when(scene))), same):
        last: ReducedScene | None = None
        for scene in members:
            if last and _time(scene) - _time(last) < ONE_PASS:
                found[-1].append(scene)
            else:
                found.append([scene])
            last = scene
    return sorted(map(tuple, found), key=lambda date: _when(date[0]))


def acquisition(scene_id: str) -> tuple[str, ...]:
    """What other processings of a scene have in common with it, by its ID."""
    product = product_id.parse(scene_id)
    return product.acquisition if product else (scene_id,)


def fingerprint(date: Date) -> str:
    """What identifies the products of a date: another one where one of them is made otherwise."""
    said = "\n".join(f"{scene.id} {scene.properties.get('landsat_ds:fingerprint')}" for scene in date)
    return hashlib.sha256(said.encode()).hexdigest()


def _latest(scenes: Sequence[ReducedScene]) -> list[ReducedScene]:
    """Each cell of an acquisition once."""
    kept: dict[tuple[object, ...], list[ReducedScene]] = {}
    for scene in sorted(scenes, key=lambda scene: (scene.stage, scene.id)):
        others = kept.setdefault(scene.acquisition, [])
        if others and others[0].id != scene.id:
            warnings.warn(
                f"{others[0].id} and {scene.id} are one acquisition: the one that was processed last, {scene.id}, is "
                "taken",
                stacklevel=5,
            )
            others.clear()
        if not (twice := next((other for other in others if scene.grid == other.grid), None)):  # else another tile
            others.append(scene)
        elif fingerprint((twice,)) != fingerprint((scene,)):
            warnings.warn(f"{scene.id} is there twice, made otherwise: {twice.location!r} is taken", stacklevel=5)
    return [scene for some in kept.values() for scene in some]


def _source(scene: ReducedScene) -> tuple[str, ...]:
    return (scene.id,)


def _track(scene: ReducedScene) -> tuple[str, ...]:
    """Satellite and path; the scene itself where it has no path."""
    said = scene.properties
    path = said.get("landsat:wrs_path")
    return (str(said.get("platform")), str(path)) if path else (scene.id,)


def _time(scene: ReducedScene) -> np.datetime64:
    if scene.time is None:
        raise ValueError(scene.id)  # `dates` has refused it
    return scene.time


def _when(scene: ReducedScene) -> tuple[np.datetime64, str]:
    return _time(scene), scene.id
