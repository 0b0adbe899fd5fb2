"""Which pieces of work the new dates of a cube are: every block that one falls into, of the cube and of its levels."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from landsat_downsample.cubes.cell_blocks import Window
from landsat_downsample.cubes.cube_state import CubeState
from landsat_downsample.cubes.levels import Level
from landsat_downsample.cubes.series import Series, Variable
from landsat_downsample.cubes.shard_work import Shard, ShardWork, Source
from landsat_downsample.model.location import Location
from landsat_downsample.reduce.coarser import Coarser


@dataclass(frozen=True, slots=True)
class _Made:
    """A variable of some levels, and what it is made of."""

    name: str
    levels: Sequence[Level]
    read: Sequence[tuple[Variable, str, float | None]] = ()
    """Variables of products, type and fill; none where no new date has any: then all is fill."""
    coarser: Coarser | None = None


def works(before: CubeState, series: Series, ids: Sequence[str], to: Location) -> Iterator[ShardWork]:
    """Works that add dates to a cube.

    Parameters
    ----------
    before : CubeState
        The cube without them.
    series : Series
        The dates.
    ids : sequence of str
        What identifies each date of the cube, those of before too.
    to : Location
        Where the cube is.
    """
    group, layout = uuid.uuid4().hex, before.layout
    found = {variable.name: variable for variable in series.variables}
    for name, stored in layout.variables.items():
        base, *coarse = layout.grids
        if (variable := found.get(name)) is None:
            made = [_Made(name, [base]), _Made(name, coarse)]
        else:
            made = [_Made(name, [base], [(variable, stored.dtype, stored.fill)])]
        if variable and name in layout.recipes:
            parts = layout.recipes[name].variables(variable, series.scenes)
            coarser = layout.recipes[name].coarser(variable, stored.dtype, stored.fill)
            made.append(_Made(name, coarse, [(one, one.dtype, one.fill) for one in parts], coarser))
        for one in made[: 1 + (name in layout.recipes)]:
            yield from _pieces(before, series, ids, one, (group, to))


def _pieces(
    before: CubeState, series: Series, ids: Sequence[str], made: _Made, where: tuple[str, Location]
) -> Iterator[ShardWork]:
    """Of one variable, by block: those of its levels lie over the same cells of the base."""
    (group, to), layout = where, before.layout
    forms = [layout.form(made.name, level) for level in made.levels]
    step = forms[0].block[0]
    counts = [level.blocks(form.block) for level, form in zip(made.levels, forms, strict=True)]
    rows, columns = (range(max(one[axis] for one in counts)) for axis in (0, 1))
    for t, i, j in product(range(before.count // step, -(-len(ids) // step)), rows, columns):
        kept = max(0, before.count - t * step)
        new = range(t * step + kept, min(len(ids), (t + 1) * step))
        there = [
            (level, form, window)
            for level, form in zip(made.levels, forms, strict=True)
            if (window := level.window(form.block, (i, j)))
        ]
        read = _joined([level.under(window) for level, _, window in there], layout.common.grid.shape)
        yield ShardWork(
            group,
            made.name,
            tuple(
                Shard(
                    (to / layout.path(level.number) / made.name).href,
                    form,
                    (t, i, j),
                    _shape(window),
                    level.number,
                    (level.under(window)[0] - read[0], level.under(window)[2] - read[2]),
                )
                for level, form, window in there
            ),
            _shape(read),
            kept,
            tuple(
                Source(dtype, fill, tuple(tuple(series.parts(one, at - before.count, read)) for at in new))
                for one, dtype, fill in made.read
            ),
            made.coarser,
            (repr(layout.common), *ids[t * step : (t + 1) * step]),
        )


def _joined(windows: Sequence[Window], shape: tuple[int, int]) -> Window:
    """The cells of the base that any of some windows has."""
    tops, bottoms, lefts, rights = zip(*windows, strict=True)
    return max(min(tops), 0), min(max(bottoms), shape[0]), max(min(lefts), 0), min(max(rights), shape[1])


def _shape(window: Window) -> tuple[int, int]:
    return window[1] - window[0], window[3] - window[2]
