"""A cube as a plain folder of COGs: one of each variable and date, all of the same cells, and a STAC item of each date.

The item is written when all files of its date are there, and says that they are; the collection of items comes last.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from landsat_downsample.cubes.catalogued_items import COLLECTION
from landsat_downsample.cubes.common_grid import CommonGrid
from landsat_downsample.cubes.cube_state import further_dates, rules
from landsat_downsample.cubes.growing import CubeOutcome, CubeRequest
from landsat_downsample.cubes.mosaic_item import FINGERPRINT, PARAMETERS, SOURCES, mosaic_item, name_of
from landsat_downsample.cubes.mosaic_work import MosaicWork, StoredMosaic
from landsat_downsample.cubes.passes import Date, dates, fingerprint
from landsat_downsample.cubes.reduced_scene import ReducedScene, moment
from landsat_downsample.cubes.series import Series
from landsat_downsample.cubes.stac_collection import collection, dimensions
from landsat_downsample.errors import MissingError, UsageError
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.lattice import Lattice
from landsat_downsample.model.location import Location
from landsat_downsample.pipeline.cog import Layer
from landsat_downsample.products.met import dumps
from landsat_downsample.storage import files, small_objects
from landsat_downsample.storage.lease import Lease

if TYPE_CHECKING:
    from landsat_downsample.execution.run import Executor

#: Items of a remote store that are read at once.
_THREADS = 16

_TITLE = {"title": "Landsat dates, downsampled", "description": "One COG of each variable and date, all of one grid."}

#: Items by the names of their dates.
Items = dict[str, dict[str, Any]]


def write_mosaics(
    scenes: Sequence[ReducedScene],
    to: Location,
    request: CubeRequest,
    executor: Executor,
    told: Callable[[int, int], object] = lambda done, total: None,
) -> CubeOutcome:
    """Write a COG of each variable and date that the folder does not have; dates whose products changed anew.

    Raises
    ------
    UsageError
        The folder holds something else; products do not lie on its grid, or were made by other rules.
    WriteError
        Another process writes it, or the store refuses.
    ReadError
        A product cannot be read.
    """
    with Lease(to) as lease:
        if to.is_local:
            small_objects.sweep(to)
        items = _items_of(to)
        growth = _further(scenes, items, request) if items else _first(scenes, request)
        for name, item in _made(growth, to, executor, told):
            lease.check()
            small_objects.put(to / f"{name}.json", dumps(item))
            items[name] = item
        lease.check()
        times = [time for item in items.values() if (time := moment(item["properties"]["datetime"])) is not None]
        whole = collection(
            to, dimensions(growth.grid, times), items, _before(to) or _TITLE, lambda name: f"{name}.json"
        )
        small_objects.put(to / COLLECTION, dumps(whole))
    return growth.outcome(to, len(items))


@dataclass(frozen=True, slots=True)
class _Growth:
    series: Series | None
    """The dates that are to be made; None where there are none."""
    parameters: dict[str, Any]
    """How the folder is made: grid, variables and their rules, what a date is."""
    told: dict[str, tuple[str, ...]]

    @property
    def grid(self) -> Grid:
        return Grid.from_dict(self.parameters["grid"])

    def outcome(self, to: Location, count: int) -> CubeOutcome:
        added = dict.fromkeys(scene.id for scene in self.series.scenes) if self.series else ()
        return CubeOutcome(to.shown, count, tuple(added), **self.told)


def _first(scenes: Sequence[ReducedScene], request: CubeRequest) -> _Growth:
    series = Series.begun(scenes, request.names, request.bounds, request.group, request.indices)
    parameters = {
        "lattice": series.common.lattice.to_dict(),
        "grid": series.common.grid.to_dict(),
        "rules": {variable.name: rules(variable, series) for variable in series.variables},
        "group": request.group,
        "bounded": request.bounds is not None,
    }
    return _Growth(series, parameters, {})


def _further(scenes: Sequence[ReducedScene], items: Items, request: CubeRequest) -> _Growth:
    parameters = next(iter(items.values()))["properties"][PARAMETERS]
    request.check_variables(parameters["rules"].keys())
    group, bounded = parameters["group"], parameters["bounded"]
    common = CommonGrid(Lattice.from_dict(parameters["lattice"]), Grid.from_dict(parameters["grid"]))
    if request.group not in (None, group):
        raise UsageError(f"the cube has dates by {group or 'scene'}, not by {request.group}: leave out group")
    if request.bounds is not None and common.over(request.bounds) != common:
        raise UsageError("the cube has other bounds: leave them out, or make one at another place")
    for scene in scenes:
        common.check(scene)
    here = [scene for scene in scenes if common.touches(scene)]
    new = [date for date in dates(here, group) if _differs(items.get(name_of(date, group)), date)]
    found = {scene.id for scene in scenes}
    held = dict.fromkeys(one for item in items.values() for one in item["properties"][SOURCES])
    told = {
        "withdrawn": tuple(one for one in held if one not in found),
        "cut": tuple(scene.id for date in new for scene in date if not (bounded or common.holds(scene))),
    }
    series = further_dates(common, new, parameters["rules"])
    return _Growth(series if series.variables else None, parameters, told)


def _differs(item: Mapping[str, Any] | None, date: Date) -> bool:
    return item is None or item["properties"].get(FINGERPRINT) != fingerprint(date)


def _made(
    growth: _Growth, to: Location, executor: Executor, told: Callable[[int, int], object]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and item of each date, as soon as its files are stored."""
    series, group = growth.series, uuid.uuid4().hex
    if series is None:
        return
    names = [name_of(date, growth.parameters["group"]) for date in series.dates]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(f"two dates would be called {twice}: make a cube of each, or give names of bands of one")
    stored: list[list[StoredMosaic]] = [[] for _ in names]
    waiting: dict[Future[Any], int] = {}
    try:
        for at, name in enumerate(names):
            for work in _works(series, at, name, to, group):
                waiting[executor.submit(work)] = at
        total = len(waiting)
        told(0, total)
        left = [sum(one == at for one in waiting.values()) for at in range(len(names))]
        while waiting:
            done, _ = wait(waiting, timeout=1.0, return_when=FIRST_COMPLETED)
            for future in done:
                at = waiting.pop(future)
                stored[at].append(future.result())
                left[at] -= 1
                if not left[at]:
                    order = sorted(stored[at], key=lambda one: list(growth.parameters["rules"]).index(one.variable))
                    yield names[at], mosaic_item(names[at], series.dates[at], series, order, growth.parameters)
            told(total - len(waiting), total)
    except BaseException:
        executor.halt(group)
        raise


def _works(series: Series, at: int, name: str, to: Location, group: str) -> Iterator[MosaicWork]:
    """The files of a date: of the variables that it has."""
    grid = series.common.grid
    for variable in series.variables:
        if not any(scene.location.href in variable.layers for scene in series.dates[at]):
            continue
        band = variable.first.band
        layer = Layer(
            variable.fill,
            "nearest" if band.spec.categorical else "average",
            (band.description or variable.first.name,),
            band.scale,
            band.offset,
            band.unit,
        )
        parts = tuple(series.parts(variable, at, (0, grid.height, 0, grid.width)))
        place = (to / f"{name}_{variable.name}.tif").href
        yield MosaicWork(group, variable.name, name, place, grid, variable.dtype, variable.fill, layer, parts)


def _items_of(to: Location) -> Items:
    """The items of dates that are complete."""
    try:
        names = [name for name in files.list_names(to) if name.endswith(".json") and name != COLLECTION]
    except MissingError:
        return {}
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="items") as pool:
        read = list(pool.map(lambda name: files.read_bytes(to / name), names))
    found = {}
    for name, data in zip(names, read, strict=True):
        try:
            item = json.loads(data)
            missing = {PARAMETERS, FINGERPRINT, SOURCES} - set(item["properties"])
        except (ValueError, TypeError, KeyError):
            item, missing = {}, {PARAMETERS}
        if missing:
            raise UsageError(f"{to / name!r} is no date of a cube of this library: choose another place")
        found[name.removesuffix(".json")] = item
    return found


def _before(to: Location) -> dict[str, Any]:
    """The collection that is there."""
    try:
        found = json.loads(files.read_bytes(to / COLLECTION)) if files.exists(to / COLLECTION) else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
