"""Dates and neighbours of one world, in frames as USGS lays them: what differs from scene to scene of a series."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from landsat_downsample.errors import UsageError
from landsat_downsample.testing.synthetic.recipe import CORNERS, Frame, Recipe

#: Metres between the places where USGS lets a frame begin and end.
LATTICE = 300

#: How far dates move a frame at most, as parts of its sides: of full scenes 220 pixels sideways and 10 up or down.
WANDER = 0.029, 0.0013

#: Parts of a frame's footprint from one row and one path to the next; the rest is seen by both.
ROW_STEP, PATH_STEP = 0.92, 0.62

#: Most rows and paths: more of them would leave the zone.
MOST = 9, 4


def recipes(first: Recipe, *, dates: int, rows: int, paths: int) -> list[Recipe]:
    """Every scene of a series: by date, then by path, then by row.

    Parameters
    ----------
    first : Recipe
        A lone scene, whose sides are rounded to those that USGS has: ten pixels times a whole number, plus one.
    dates : int
        Passes over each path, spread over a year as the orbit allows.
    rows, paths : int
        Neighbours to the south and to the west, the first among them.
    """
    for name, count, most in (("dates", dates, 366), ("rows", rows, MOST[0]), ("paths", paths, MOST[1])):
        if not 1 <= count <= most:
            raise UsageError(f"{name} {count}: a synthetic series has from 1 to {most} {name}")
    wrs1 = first.mission.orbit_type == 1
    cycle, next_path = (18, 1) if wrs1 else (16, 7)
    every = cycle * max(1, round(365 / dates / cycle))
    return [
        _framed(first, date * every + path * next_path, path, row)
        for date in range(dates)
        for path in range(paths)
        for row in range(rows)
    ]


def _framed(first: Recipe, days: int, path: int, row: int) -> Recipe:
    step = LATTICE // first.mission.step
    width, height = size = tuple(max(1, round((side - 1) / step)) * step + 1 for side in first.size)
    upper_left, upper_right, _, lower_left = np.array(CORNERS) * size
    place = row * ROW_STEP * (lower_left - upper_left) - path * PATH_STEP * (upper_right - upper_left)
    larger = (0, 0)
    if days or path or row:
        rng = np.random.default_rng([first.seed, days, path, row])
        most = [max(step, part * side) for part, side in zip(WANDER, size, strict=True)]
        place = place + rng.uniform(-1, 1, 2) * most
        larger = tuple((rng.integers(0, 2, 2) * step).tolist())
    right, down = (int(n) for n in np.rint(place / step) * step)
    frame = Frame((width, height), days, path, row, (right, down))
    return replace(first, size=(width + larger[0], height + larger[1]), frame=frame)
