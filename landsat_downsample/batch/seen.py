"""Products that a run on record has seen whole, known again by listings: nothing of them or their sources is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice

from landsat_downsample.batch import record
from landsat_downsample.batch.requests import SceneRequest, product_of
from landsat_downsample.errors import LandsatDownsampleError
from landsat_downsample.model.location import S3, Location
from landsat_downsample.model.plan import ScenePlan
from landsat_downsample.model.policy import Policy
from landsat_downsample.model.product import MARKER, SUFFIX
from landsat_downsample.storage.leftovers import names_left
from landsat_downsample.storage.listed import listed

#: Records that are looked into, the newest first, and lines of all of them.
RECORDS, LINES = 16, 250_000


@dataclass(frozen=True, slots=True)
class Look:
    """What a scene's source was when its turn came, before anything of it was read."""

    scene_id: str
    place: Location
    source: str
    """Digest of its listing."""

    def holds(self, plan: ScenePlan) -> bool:
        """Whether all that a scene is made of lies in what was listed."""
        files = [band.location for band in plan.scene.bands.values()] + [*map(Location, plan.scene.metadata.values())]
        folders = {(file.archive if file.kind == "tar" else file.parent).href.rstrip("/") for file in files}
        return folders == {self.place.href.rstrip("/")}


class Seen:
    """Stamps of products that are at a destination: digests of what was asked, and of the listings of both sides.

    Parameters
    ----------
    dest : str
        Where the products are.
    options : dict
        What is asked of each scene.
    stamps : iterable of str
        Of products that earlier runs made or found whole.
    policy : Policy
        How to list what is in a store.
    """

    def __init__(self, dest: str, options: dict[str, object], stamps: Iterable[str], policy: Policy) -> None:
        self._dest, self._policy = Location(dest), policy
        self._asked = json.dumps(options, sort_keys=True)
        self._stamps = {bytes.fromhex(stamp) for stamp in stamps}
        self._left = names_left(self._dest) if self._dest.is_local else frozenset()

    @classmethod
    def of(cls, requests: Iterable[SceneRequest], suffix: str) -> Seen | None:
        """Those of earlier runs to the destination of requests, which is one; `suffix` is that of a part's record.

        None where products may be replaced, or each scene has several.
        """
        order = next(iter(requests)).order
        if order.overwrite or order.tiles:
            return None
        policy = Policy.from_environ()
        policy = replace(policy, requester_pays=policy.requester_pays or order.requester_pays)
        return cls(order.dest, order.options.to_dict(), _recorded(order.dest, suffix), policy)

    def look(self, request: object) -> Look | None:
        """Look at a source; None where its name does not tell its product, or it cannot be listed."""
        if not isinstance(request, SceneRequest) or request.kept is not None:
            return None
        product, source = product_of(request.entry), request.entry.source
        if product is None or not isinstance(source, str):
            return None
        place = Location(Location(source).path) if Location(source).is_local else Location(source)
        found = self._listed(place)
        return Look(product, place, _digest(place.href, found)) if found else None

    def there(self, look: Look) -> tuple[str, str] | None:
        """The item of the product that was made of this source, and its stamp, where both are as they were then."""
        if not self._stamps or look.scene_id + SUFFIX in self._left:
            return None
        stamp = self._stamp(look)
        return (self._item(look), stamp) if stamp and bytes.fromhex(stamp) in self._stamps else None

    def stamp(self, look: Look, plan: ScenePlan) -> str:
        """What to keep of a product that is there now; empty where it would not be found again."""
        return self._stamp(look) if plan.name == look.scene_id + SUFFIX and look.holds(plan) else ""

    def _item(self, look: Look) -> str:
        name = look.scene_id + SUFFIX
        return (self._dest / name / (name + MARKER)).href

    def _stamp(self, look: Look) -> str:
        found = self._listed(self._dest / (look.scene_id + SUFFIX))
        return _digest(look.scene_id, look.source, self._asked, found) if found else ""

    def _listed(self, place: Location) -> list[tuple[str, int, str]]:
        if not (place.is_local or place.kind in S3):
            return []
        try:
            return listed(place, self._policy)
        except LandsatDownsampleError:  # whoever reads it will say why
            return []


def _digest(*facts: object) -> str:
    return hashlib.sha256(json.dumps(facts).encode(errors="replace")).hexdigest()[:32]


def _recorded(dest: str, suffix: str) -> Iterable[str]:
    """Stamps on record; what cannot be read is left out."""
    with suppress(LandsatDownsampleError):
        runs = [run for run in reversed(record.run_ids(dest)) if not suffix or run.endswith(suffix)][:RECORDS]
        lines = (line for run in runs for line in record.outcomes((Location(dest) / record.RUNS / run).href))
        for line in islice(lines, LINES):
            if isinstance(stamp := line.get("stamp"), str) and len(stamp) == 32:
                yield stamp
