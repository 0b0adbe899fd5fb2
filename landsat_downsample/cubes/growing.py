"""A cube made, or grown by the dates that it does not have: written by many, made visible by one document."""

from __future__ import annotations

from collections.abc import Callable, KeysView, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from landsat_downsample.cubes.common_grid import Bounds
from landsat_downsample.cubes.cube_state import CubeState, Layout, Stored, further_dates
from landsat_downsample.cubes.levels import recipes
from landsat_downsample.cubes.passes import Date, acquisition, dates, fingerprint
from landsat_downsample.cubes.reduced_scene import ReducedScene
from landsat_downsample.cubes.series import Series
from landsat_downsample.cubes.shard_work import ShardWork
from landsat_downsample.cubes.works import works
from landsat_downsample.cubes.zarr_format import needed
from landsat_downsample.errors import UsageError
from landsat_downsample.model.indices import OF_MEANS
from landsat_downsample.model.location import Location
from landsat_downsample.model.product import FRACTIONS
from landsat_downsample.storage import small_objects
from landsat_downsample.storage.lease import Lease

if TYPE_CHECKING:
    from landsat_downsample.execution.run import Executor


@dataclass(frozen=True, slots=True)
class CubeOutcome:
    """What became of a cube.

    Examples
    --------
    >>> done = ld.run(ld.plan(scene, "out", factor=50, bands=["red", "qa_pixel"]))
    >>> outcome = ld.cube("out", "cube.zarr")
    >>> outcome.added, outcome.notes
    (('LC08_L2SP_192028_20230714_20230724_02_T1',), [])
    """

    href: str
    """Where it is."""
    dates: int
    """That it has now."""
    added: tuple[str, ...] = ()
    """Source scenes of the dates that were added."""
    changed: tuple[str, ...] = ()
    """Scenes that are in it, and whose products were made otherwise since: they stay as they were."""
    withdrawn: tuple[str, ...] = ()
    """Scenes that are in it, and whose products are not there any more: they stay."""
    earlier: tuple[str, ...] = ()
    """Scenes that are earlier than its last date: a cube that has them is to be made anew."""
    cut: tuple[str, ...] = ()
    """Added scenes that reach beyond its cells."""
    without_levels: tuple[str, ...] = ()
    """Variables that the levels of a new cube do not have, and why: by reason."""

    @property
    def notes(self) -> list[str]:
        """A line for all that is not as it was asked for."""
        told = {
            "changed": "in the cube otherwise than they are now, and stay so: make it anew at another place",
            "withdrawn": "in the cube and gone from the products: they stay",
            "earlier": "earlier than the cube's last date, and left out: make it anew at another place",
            "cut": "cut at the cube's edge: its cells are those of its first products, or of its bounds",
        }
        lines = [
            f"{len(scenes)} of the scenes are {text} ({', '.join(scenes[:3])}{', ...' if len(scenes) > 3 else ''})"
            for kind, text in told.items()
            if (scenes := getattr(self, kind))
        ]
        left = [f"left out of the levels: {'; '.join(self.without_levels)}"] if self.without_levels else []
        return lines + left


@dataclass(frozen=True, slots=True)
class CubeRequest:
    """What a cube is to be, where it begins; what it is, where it grows."""

    names: tuple[str, ...] | None = None
    """Variables; None for all."""
    bounds: Bounds | None = None
    group: str | None = None
    dates_per_shard: int = 20
    sharded: bool = True
    levels: tuple[int, ...] = ()
    """As of `levels.checked`."""
    indices: tuple[str, ...] = ()
    """Beside them."""

    def __post_init__(self) -> None:
        if not 1 <= self.dates_per_shard <= 1000:
            raise UsageError(f"dates per shard {self.dates_per_shard!r} must lie between 1 and 1000")

    def check_variables(self, there: KeysView[str]) -> None:
        """Refuse to add variables to a cube, which keeps those that it began with.

        Raises
        ------
        UsageError
            It lacks one that is asked for.
        """
        lacking = [name for name in self.names or () if name not in there and name.upper() != FRACTIONS]
        lacking += [name for name in self.indices if there.isdisjoint((name, f"{name}{OF_MEANS.lower()}"))]
        if lacking:
            raise UsageError(
                f"the cube has no {', '.join(lacking)}: it has {', '.join(there)}; ask for these, or make one at "
                "another place"
            )


def write_cube(
    scenes: Sequence[ReducedScene],
    to: Location,
    request: CubeRequest,
    executor: Executor,
    told: Callable[[int, int], object] = lambda done, total: None,
) -> CubeOutcome:
    """Make a cube of products, or add to one what it does not have.

    Shards first, then coordinates, then the documents of arrays, that of the root last: a reader sees the dates before,
    or all. What a killed run left is used or written over by the next one.

    Raises
    ------
    UsageError
        The place holds something else; products do not lie on its grid, or were made by other rules.
    WriteError
        Another process writes it, or the store refuses.
    ReadError
        A product cannot be read.
    """
    needed()
    with Lease(to) as lease:
        known = CubeState.read(to)
        growth = growth_of(scenes, known, request)
        if growth.series is None:
            return growth.outcome(to)
        _carry_out(growth.works(to), executor, told)
        lease.check()
        after = growth.after()
        for key, data in after.documents(growth.series.attributes()).items():
            if key == "zarr.json":
                lease.check()
            small_objects.put(_key(to, key), data)
        return growth.outcome(to)


def growth_of(scenes: Sequence[ReducedScene], known: CubeState | None, request: CubeRequest) -> Growth:
    """What a cube is to get of products; `known` is what is there.

    Raises
    ------
    UsageError
        They do not lie on its grid, or were made by other rules.
    """
    return _first(scenes, request) if known is None else _further(scenes, known, request)


@dataclass(frozen=True, slots=True)
class Growth:
    """What a cube gets."""

    before: CubeState
    """The cube as it is; of a new one its layout."""
    series: Series | None
    """The dates that are new; None where there are none."""
    told: dict[str, tuple[str, ...]]

    def works(self, to: Location) -> list[ShardWork]:
        """Files to be written."""
        assert self.series is not None
        ids = [*_fingerprints(self.before), *(fingerprint(date) for date in self.series.dates)]
        return list(works(self.before, self.series, ids, to))

    def after(self) -> CubeState:
        """The cube with the dates that are new."""
        assert self.series is not None
        return self.before.with_dates(self.series, [fingerprint(date) for date in self.series.dates])

    def outcome(self, to: Location) -> CubeOutcome:
        """What became of it."""
        added = tuple(scene.id for scene in self.series.scenes) if self.series else ()
        dates_now = self.before.count + (len(self.series.dates) if self.series else 0)
        return CubeOutcome(to.shown, dates_now, tuple(dict.fromkeys(added)), **self.told)


def _first(scenes: Sequence[ReducedScene], request: CubeRequest) -> Growth:
    series = Series.begun(scenes, request.names, request.bounds, request.group, request.indices)
    made, without = recipes(series.variables, series.scenes) if request.levels else ({}, ())
    if request.levels and not made:
        raise UsageError(f"no variable can have levels: {'; '.join(without)}")
    layout = Layout(
        series.common,
        {variable.name: Stored.of(variable, series) for variable in series.variables},
        request.dates_per_shard,
        request.sharded,
        request.group,
        request.bounds is not None,
        request.levels,
        made,
    )
    return Growth(CubeState(layout, {}), series, {"without_levels": without})


def _further(scenes: Sequence[ReducedScene], known: CubeState, request: CubeRequest) -> Growth:
    layout = known.layout
    request.check_variables(layout.variables.keys())
    _check_request(layout, request)
    for scene in scenes:
        layout.common.check(scene)
    here = [scene for scene in scenes if layout.common.touches(scene)]
    of_ids = dict(zip(known.coordinates["product"][0].tolist(), _fingerprints(known), strict=True))
    in_it = {one for product in of_ids for one in product.split(" ")}
    taken = {acquisition(one) for one in in_it}
    new: list[Date] = []
    changed, earlier = [], []
    last = np.datetime64(int(known.coordinates["time"][0][-1]), "us")
    for date in dates(here, layout.group):
        ids = list(dict.fromkeys(scene.id for scene in date))
        if taken.isdisjoint(map(acquisition, ids)):
            time = date[0].time
            if time is not None and time.astype("datetime64[us]") < last:
                earlier += ids
            else:
                new.append(date)
        elif of_ids.get(" ".join(ids)) != fingerprint(date):
            changed += ids
    found = {scene.id for scene in scenes}
    told = {
        "changed": tuple(changed),
        "earlier": tuple(earlier),
        "withdrawn": tuple(one for one in dict.fromkeys(" ".join(of_ids).split(" ")) if one not in found),
        "cut": tuple(scene.id for date in new for scene in date if not (layout.bounded or layout.common.holds(scene))),
    }
    if not new:
        return Growth(known, None, told)
    series = further_dates(layout.common, new, {name: one.rules for name, one in layout.variables.items()})
    for variable in series.variables:
        if recipe := layout.recipes.get(variable.name):
            recipe.check(variable, series.scenes)
    return Growth(known, series, told)


def _check_request(layout: Layout, request: CubeRequest) -> None:
    """Refuse to make of a cube what it is not."""
    if request.group not in (None, layout.group):
        raise UsageError(f"the cube has dates by {layout.group or 'scene'}, not by {request.group}: leave out group")
    if request.bounds is not None and layout.common.over(request.bounds) != layout.common:
        raise UsageError("the cube has other bounds: leave them out, or make one at another place")
    if request.levels and request.levels != layout.levels:
        has = f"the levels {','.join(map(str, layout.levels))}" if layout.levels else "no levels"
        raise UsageError(f"the cube has {has}: leave levels out, or make one at another place")


def _carry_out(works: Sequence[ShardWork], executor: Executor, told: Callable[[int, int], object]) -> None:
    waiting = {executor.submit(work) for work in works}
    try:
        told(0, len(works))
        while waiting:
            done, waiting = wait(waiting, timeout=1.0, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()
            told(len(works) - len(waiting), len(works))
    except BaseException:
        executor.halt(works[0].group)
        raise


def _fingerprints(state: CubeState) -> list[str]:
    found: list[str] = state.coordinates["fingerprint"][0].tolist() if state.coordinates else []
    return found


def _key(to: Location, key: str) -> Location:
    for part in key.split("/"):
        to = to / part
    return to
