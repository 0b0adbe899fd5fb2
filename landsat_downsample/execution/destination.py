"""The places that a run writes to: no two scenes to one, each destination tried once before its first scene begins."""

from __future__ import annotations

import os
import threading
from contextlib import suppress

from landsat_downsample.errors import WriteError
from landsat_downsample.model.plan import ScenePlan
from landsat_downsample.model.product import SUFFIX, same_product
from landsat_downsample.storage import leftovers
from landsat_downsample.storage.probe import try_place


class Places:
    """Where the scenes of a run go: no two to one place; and what killed runs left there."""

    def __init__(self, scenes: int) -> None:
        self._lock, self._trying, self._scenes = threading.Lock(), threading.Lock(), scenes
        self._tried: dict[str, WriteError | None] = {}
        self._taken: dict[str, dict[str, str]] = {}
        """Hrefs of scenes, by destination and product."""
        self._leftovers: dict[str, frozenset[str]] = {}

    def has_leftovers(self, plan: ScenePlan) -> bool:
        """Whether a killed publication of the product left something, when the run first looked at its destination.

        A destination is listed once: to list it for each of its products takes longer with each of them.
        """
        if not plan.destination.is_local:
            return False
        with self._lock:
            if plan.dest not in self._leftovers:
                self._leftovers[plan.dest] = leftovers.names_left(plan.destination)
            return plan.name in self._leftovers[plan.dest]

    def try_one(self, plan: ScenePlan) -> None:
        """Try a destination before the first scene that is to go there; what it refuses once, it refuses all.

        Raises
        ------
        WriteError
            It does, or has no room for what the scenes will take.
        """
        with self._trying:
            if plan.dest not in self._tried:
                self._tried[plan.dest] = _refusal_of(plan, self._scenes)
            if (error := self._tried[plan.dest]) is not None:
                raise error

    def take(self, plan: ScenePlan, label: str) -> bool:
        """Take a scene's place; False where the same scene has it already, having been asked for twice.

        Parameters
        ----------
        plan : ScenePlan
        label : str
            What its request calls it: kept in place of an href that is the same, which would take as much again.

        Raises
        ------
        UsageError
            Another scene of the run has it.
        """
        href = plan.scene.href
        with self._lock:
            taken = self._taken.setdefault(plan.dest, {})
            first = plan.name not in taken
            other = taken.setdefault(plan.name, label if label == href else href)
        if other != href:
            raise same_product(other, href, plan.name)
        return first


def _refusal_of(item: ScenePlan, scenes: int) -> WriteError | None:
    """Try a scene's destination, which is to take so many like it; what it says against that.

    Products that are there are taken for some of the scenes: to be sure, each would have to be looked for.
    """
    needed, left = 0.0, scenes
    if scenes > 1 and item.destination.is_local:
        from landsat_downsample.execution.cost import cost_of  # not above: only a run of many needs it

        with suppress(OSError):
            left = max(1, scenes - sum(name.endswith(SUFFIX) for name in os.listdir(item.destination.path)))
        needed = cost_of(item).bytes_out * left
    try:
        try_place(item.destination, needed, f"{left} scenes like {item.scene.id}")
    except WriteError as error:
        return error
    return None
