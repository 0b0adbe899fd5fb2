"""Scenes that a run is asked for, each opened when its turn comes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from landsat_downsample.batch.entry import Entry
from landsat_downsample.batch.geoparquet import is_geoparquet
from landsat_downsample.errors import LandsatDownsampleError, SceneError, UsageError
from landsat_downsample.formats.product_id import is_tiff, parse, stem
from landsat_downsample.model.grid_request import PLACEMENTS
from landsat_downsample.model.location import Location, redacted_repr
from landsat_downsample.model.options import Options
from landsat_downsample.model.plan import ScenePlan, plan_scene, tiles_of
from landsat_downsample.model.policy import Policy
from landsat_downsample.model.product import SUFFIX, same_product
from landsat_downsample.model.scene import Scene
from landsat_downsample.scenes.open import open_with, unproven

#: Scenes whose headers are read at one time to learn which tiles they meet.
_OPENED_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked of every scene of a run."""

    __repr__ = redacted_repr

    options: Options
    dest: str
    overwrite: bool = False
    requester_pays: bool = False
    tiles: bool = False
    """A product for each tile of the grid that a scene meets."""


@dataclass(slots=True)
class SceneRequest:
    """A scene of a list, on order: see `_run.Request`."""

    entry: Entry
    order: Order
    _kept: ScenePlan | None = None

    @classmethod
    def of(cls, plan: ScenePlan) -> SceneRequest:
        """Make the request of a scene that is planned already."""
        return cls(Entry(plan.scene.href), Order(plan.options, plan.dest, plan.overwrite), plan)

    @property
    def label(self) -> str:
        """Product ID of an item, else the href without secrets."""
        return self.entry.label

    @property
    def source(self) -> dict[str, Any]:
        """What was asked for, as a line of a frozen list holds it."""
        return self.entry.to_dict()

    @property
    def requester_pays(self) -> bool:
        """Whether its reader has agreed to pay, by the order, the environment or the scene that was opened."""
        bands = self._kept.scene.bands.values() if self._kept else ()
        agreed = self.order.requester_pays or Policy.from_environ().requester_pays
        return agreed or any(band.requester_pays for band in bands)

    def plan(self) -> ScenePlan:
        """Open it, headers only, and plan it.

        Raises
        ------
        SceneError, ReadError
            It cannot be opened.
        UsageError
            It does not have what is asked for.
        """
        if self._kept is not None:
            return self._kept
        if self.entry.error is not None:
            raise self.entry.error
        order, options, scene = self.order, self.order.options, _opened(self.entry, self.order)
        tile = self.entry.tile
        if order.tiles and not tile:  # it could not be opened when its tiles were looked for
            tile, *others = tiles_of(scene, options)
            if others:
                raise UsageError(f"{self.label!r} meets {len(others) + 1} tiles, as is known only now: run it again")
        options = replace(options, grid=tile) if tile else options
        return plan_scene(scene, order.dest, options, overwrite=order.overwrite)

    def keep(self) -> ScenePlan:
        """Plan it as `plan` does, and keep that: it is opened once."""
        self._kept = self.plan()
        return self._kept

    @property
    def kept(self) -> ScenePlan | None:
        """Its plan, where that is made."""
        return self._kept


def by_tiles(entries: Iterable[Entry], order: Order) -> list[Entry]:
    """An entry for each tile that a scene meets, by the headers of all of them.

    One that cannot be opened stays as it is, and fails when its turn comes.

    Raises
    ------
    UsageError
        The grid has no tiles.
    """
    if not isinstance(order.options.grid, str) or order.options.grid in PLACEMENTS or "@" in order.options.grid:
        raise UsageError("--tiles needs a --grid that has tiles, such as modis:500m, ard:300 or hls:300")

    def found(entry: Entry) -> list[Entry]:
        if entry.tile or entry.error:
            return [entry]
        try:
            return [replace(entry, tile=grid) for grid in tiles_of(_opened(entry, order), order.options)]
        except LandsatDownsampleError:
            return [entry]

    with warnings.catch_warnings(), ThreadPoolExecutor(_OPENED_AT_ONCE, thread_name_prefix="tiles") as pool:
        warnings.simplefilter("ignore")  # they are given when its turn comes
        return [one for several in pool.map(found, entries) for one in several]


def _opened(entry: Entry, order: Order) -> Scene:
    policy = Policy.from_environ()
    policy = replace(policy, requester_pays=policy.requester_pays or order.requester_pays)
    policy = policy.led_by(Location(entry.origin)) if entry.origin else policy
    policy = unproven(policy, entry.base) if entry.unproven else policy
    options = order.options
    return open_with(policy, entry.source, base=entry.base, bands=options.bands, indices=options.index)


def sample(requests: Sequence[SceneRequest], tries: int = 3) -> ScenePlan | None:
    """Plan the first scene that can be opened, to learn what the others are like; it is opened once.

    Returns
    -------
    ScenePlan or None
        None where none of the first ``tries`` can be opened: the run will report why.
    """
    for request in requests[:tries]:
        with warnings.catch_warnings(record=True) as caught:
            try:
                request.keep()
            except Exception:  # the run meets it again, with its warnings
                continue
        for one in caught:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
        return request.kept
    return None


def distinct(entries: Iterable[Entry], *, listed: bool = False) -> list[Entry]:
    """Entries without those given twice, however they are spelt.

    Parameters
    ----------
    listed : bool
        Whether they are of a list: one that is in another's way then fails by itself.

    Raises
    ------
    UsageError
        By their names, two sources would be written to one place.
    """
    kept: dict[str, tuple[str, Entry]] = {}
    for entry in entries:
        identity = _identity(entry)
        name = (entry.error is None and _product_name(entry, Location(identity).name)) or identity
        name = f"{name} {entry.tile}" if entry.tile else name
        other, _ = kept.setdefault(name, (identity, entry))
        if other != identity:
            error = same_product(other, identity, name + SUFFIX)
            if not listed:
                raise error
            kept.setdefault(str(error), (identity, Entry(entry.label, error=error)))
    return [entry for _, entry in kept.values()]


def names_list(words: Iterable[str]) -> bool:
    """Whether words of a command line name a list."""
    return any(word == "-" or word.startswith("@") or is_geoparquet(word) for word in words)


def product_of(entry: Entry) -> str | None:
    """The ID of the product whose folder, prefix or tar an entry names; None where its name does not say so."""
    if entry.error is not None or entry.tile or not isinstance(entry.source, str):
        return None
    place = Location(entry.source.rstrip("/"))
    found = _product_name(entry, place.name)
    return found if found and (place.name == found or place.is_archive) else None


def place_key(entry: Entry) -> str:
    """Tell where an entry's product goes, as far as its own words tell: nothing of this machine is looked at.

    Returns
    -------
    str
        Its product's name, else its source in one spelling; of an entry that fails, what it is called.
    """
    if entry.error is not None:
        return entry.label
    spelling = _without_mtl(entry.label.rstrip("/"))
    place = Location(spelling)
    name = (
        spelling.rpartition("/")[2] if place.is_local else place.name
    )  # not by its absolute path: it is this machine's
    key = _product_name(entry, name) or spelling
    return f"{key} {entry.tile}" if entry.tile else key


def _identity(entry: Entry) -> str:
    """One spelling for a source, whatever links of this machine it is named by."""
    if entry.error is not None:
        return str(entry.error)
    if not isinstance(entry.source, str):
        return entry.label
    source = Location(entry.source)
    if source.is_local and not source.is_archive:
        return _without_mtl(os.path.realpath(source.path))
    return _without_mtl(source.shown.rstrip("/"))


def _without_mtl(href: str) -> str:
    """The folder that is named after a scene, for an MTL of that scene in it."""
    folder, _, name = href.rpartition("/")
    product, mtl, _ = name.partition("_MTL.")
    return folder if mtl and product and product == folder.rpartition("/")[2] else href


def _product_name(entry: Entry, name: str) -> str | None:
    """The product ID, or a single file's name, as far as the source's own name says it."""
    if isinstance(entry.source, str) and is_tiff(name):
        return stem(name)
    try:
        product = parse(name)
    except SceneError:
        return None
    return product.id if product else None
