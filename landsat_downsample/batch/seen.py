"""Products that a run on record has seen whole, known again by listings: nothing of them or their sources is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, replace
from itertools import groupby, islice

from landsat_downsample.batch import record
from landsat_downsample.batch.ahead import Ahead
from landsat_downsample.batch.requests import SceneRequest, product_of
from landsat_downsample.errors import LandsatDownsampleError
from landsat_downsample.model.location import S3, Location
from landsat_downsample.model.plan import ScenePlan
from landsat_downsample.model.policy import Policy
from landsat_downsample.model.product import MARKER, SUFFIX
from landsat_downsample.storage.leftovers import names_left
from landsat_downsample.storage.listed import File, listed, neighbours

#: Records that are looked into, the newest first, and lines of all of them.
RECORDS, LINES = 16, 250_000

#: Prefixes of a store that one thread lists after another, and threads that do.
NEIGHBOURS, LISTING = 128, 8


@dataclass(frozen=True, slots=True)
class Look:
    """What a scene's source was when its turn came, before anything of it was read."""

    scene_id: str
    place: Location
    source: str = ""
    """Digest of its listing."""
    known: str = ""
    """The stamp of its product, where that is there as it was seen, and was found so beside others."""

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
        self._ahead: Ahead[SceneRequest, str] | None = None

    @classmethod
    def of(cls, requests: Sequence[SceneRequest], suffix: str) -> Seen | None:
        """Those of earlier runs to the destination of requests, which is one; `suffix` is that of a part's record.

        None where products may be replaced, or each scene has several.
        """
        order = requests[0].order
        if order.overwrite or order.tiles:
            return None
        policy = Policy.from_environ()
        policy = replace(policy, requester_pays=policy.requester_pays or order.requester_pays)
        wanted = {product_of(one.entry) for one in requests if one.kept is None} - {None}
        seen = cls(order.dest, order.options.to_dict(), _recorded(order.dest, suffix, wanted), policy)
        if seen._stamps and (seen._dest.kind in S3 or any(map(_is_stored, requests))):
            seen._ahead = Ahead(requests, seen._find)
        return seen

    def look(self, request: object) -> Look | None:
        """Look at a source; None where its name does not tell its product, or it cannot be listed."""
        if not isinstance(request, SceneRequest) or not (place := _place(request)):
            return None
        product, ahead = product_of(request.entry) or "", self._ahead
        if ahead and (known := ahead.of(request)):
            return Look(product, place, known=known)
        found = self._listed(place)
        return Look(product, place, _digest(place.href, found)) if found else None

    def _find(self, requests: Sequence[SceneRequest]) -> dict[int, str]:
        """Stamps of the products of some requests that are there as they were seen, by the `id` of a request.

        What is listed here counts for nothing else: of all others both sides are listed when their turn comes.
        """
        asked = {id(one): (place, product_of(one.entry) or "") for one in requests if (place := _place(one))}
        folders = {product: self._dest / (product + SUFFIX) for _, product in asked.values()}
        files = self._listed_together([place for place, _ in asked.values()], list(folders.values()))
        found: dict[int, str] = {}
        for number, (place, product) in asked.items():
            source, made = files.get(place.href), files.get(folders[product].href)
            if source and made and product + SUFFIX not in self._left:
                stamp = self._stamped(product, _digest(place.href, source), made)
                if bytes.fromhex(stamp) in self._stamps:
                    found[number] = stamp
        return found

    def _listed_together(self, *sides: Sequence[Location]) -> Mapping[str, list[File]]:
        """Files of places by their hrefs, those of a store many at one time; not of all, where that cannot be."""
        found = {place.href: self._listed(place) for places in sides for place in places if place.is_local}
        slices = [some for places in sides for some in _slices(place for place in places if place.kind in S3)]

        def lists(some: list[Location]) -> None:
            for place, files in neighbours(some, self._policy):
                found[place.href] = files

        with ThreadPoolExecutor(LISTING, thread_name_prefix="listing") as pool:
            for future in [pool.submit(copy_context().run, lists, some) for some in slices]:
                try:
                    future.result()
                except LandsatDownsampleError:  # who may list a scene's prefix may not be allowed to list more
                    self._ahead = None
        return found

    def there(self, look: Look) -> tuple[str, str] | None:
        """The item of the product that was made of this source, and its stamp, where both are as they were then."""
        if look.known:
            return self._item(look), look.known
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
        return self._stamped(look.scene_id, look.source, found) if found else ""

    def _stamped(self, scene_id: str, source: str, product: list[File]) -> str:
        return _digest(scene_id, source, self._asked, product)

    def _listed(self, place: Location) -> list[File]:
        if not (place.is_local or place.kind in S3):
            return []
        try:
            return listed(place, self._policy)
        except LandsatDownsampleError:  # whoever reads it will say why
            return []


def _is_stored(request: SceneRequest) -> bool:
    source = request.entry.source
    return isinstance(source, str) and Location(source).kind in S3


def _place(request: SceneRequest) -> Location | None:
    """Where the files of a request's source are; None where its name does not tell its product, or it is opened."""
    source = request.entry.source
    if request.kept is not None or not isinstance(source, str) or product_of(request.entry) is None:
        return None
    return Location(Location(source).path) if Location(source).is_local else Location(source)


def _slices(places: Iterable[Location]) -> Iterator[list[Location]]:
    """Places that follow each other in the order of their store, of one bucket each."""
    in_order = sorted(set(places), key=lambda place: place.href)
    for _, some in groupby(in_order, lambda place: place.host):
        bucket = list(some)
        yield from (bucket[at : at + NEIGHBOURS] for at in range(0, len(bucket), NEIGHBOURS))


def _digest(*facts: object) -> str:
    return hashlib.sha256(json.dumps(facts).encode(errors="replace")).hexdigest()[:32]


def _recorded(dest: str, suffix: str, wanted: set[str | None]) -> Iterable[str]:
    """Stamps on record, the newest first, until there are some of all products that are wanted.

    What cannot be read is left out.
    """
    left = LINES
    with suppress(LandsatDownsampleError):
        for run in [run for run in reversed(record.run_ids(dest)) if not suffix or run.endswith(suffix)][:RECORDS]:
            for line in islice(record.outcomes((Location(dest) / record.RUNS / run).href), left):
                left -= 1
                if isinstance(stamp := line.get("stamp"), str) and len(stamp) == 32:
                    wanted.discard(str(line.get("id")))
                    yield stamp
            if not wanted:
                return
