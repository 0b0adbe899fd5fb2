"""A run's destination, tried once before its first scene begins."""

from __future__ import annotations

import os
from contextlib import suppress

from landsat_downsample.errors import WriteError
from landsat_downsample.model import location
from landsat_downsample.model.plan import ScenePlan
from landsat_downsample.model.product import SUFFIX
from landsat_downsample.storage.probe import try_place


def refusal_of(item: ScenePlan, scenes: int) -> WriteError | None:
    """Try a scene's destination, which is to take so many like it; what it says against that.

    Products that are there are taken for some of the scenes: to be sure, each would have to be looked for.
    """
    needed, left = 0.0, scenes
    if scenes > 1 and location.is_local(item.dest):
        from landsat_downsample.execution.cost import cost_of  # not above: only a run of many needs it

        path = location.local_path(item.dest)
        with suppress(OSError):
            left = max(1, scenes - sum(name.endswith(SUFFIX) for name in os.listdir(path)))
        needed = cost_of(item).bytes_out * left
    try:
        try_place(item.dest, needed, f"{left} scenes like {item.scene.id}")
    except WriteError as error:
        return error
    return None
