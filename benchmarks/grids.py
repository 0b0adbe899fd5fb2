"""Cells of other projections beside blocks of the same size: CPU seconds of a warm worker, interleaved.

Fairness: all in one thread of one process, on the same files in the page cache. Blocks are cells of the scene's own
zone whose side is that of the other grid's cells by area, so that they cut pixels too. The scene's pixels are taken as
if they lay in other zones, where MODIS's cells are sheared (by 52 degrees in Dakota) and those of ARD are turned (by
20 in Oregon): only the CRS in the plan changes. What is called geometry is projecting tie points and sharing out all
pixels among cells; it is forgotten before each case that is said to include it, and kept for all bands of that case,
as a run keeps it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np

import landsat_downsample as ld
from benchmarks.grid_peers import AVERAGE, Peer, average, measured
from benchmarks.interleave import cpu_seconds
from benchmarks.scenes import EIGHT
from benchmarks.steady import plain
from landsat_downsample.model.target import Target
from landsat_downsample.model.ties import Ties, tie_facts
from landsat_downsample.pipeline.band import Reduced, reduce_target
from landsat_downsample.reduce import areas
from landsat_downsample.reduce.packed_shares import share_areas

DAKOTA, OREGON, AUSTRIA = "EPSG:32614", "EPSG:32610", "EPSG:32633"
#: Grid -> the zone in which the scene is taken to lie.
GRIDS = {
    "modis:250m": DAKOTA,
    "modis:500m": DAKOTA,
    "ard:480": OREGON,
    "latlon:0.01": DAKOTA,
    "ease2-n:1km": DAKOTA,
    "eea:1km": AUSTRIA,
}
#: The grid of all that is measured on one grid, and the band.
GRID, BAND = "modis:500m", "SR_B4"

Cost = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Grids:
    """What was measured."""

    sides: dict[str, float]
    """Of a cell, in pixels, by grid."""
    seconds: dict[Cost, list[float]]
    """CPU seconds, one a round, by grid (or what else it is about) and case."""
    kept: float
    """MiB of geometry kept for further bands."""
    same: bool
    """Whether the cells are the same with C and without."""
    pixels: int
    """Of a band."""
    peers: list[Peer]

    def middle(self, about: str, case: str) -> float:
        """Median CPU seconds of a case; NaN where it was not measured."""
        found = self.seconds.get((about, case))
        return median(found) if found else float("nan")

    def ratio(self, about: str, case: str, base: str) -> float:
        """Of the medians of two cases."""
        return self.middle(about, case) / self.middle(about, base)

    def beside(self, peer: Peer) -> float:
        """CPU of a pixel, ours / a peer's: one band, geometry and decoding included."""
        theirs = self.middle(peer.name, "all") if math.isnan(peer.seconds) else peer.seconds
        return (self.middle("lone band", "cells") / self.pixels) / (theirs / peer.pixels)


def measure(path: Path, repeats: int) -> Grids:
    """Scenes on all grids, and one band on one of them in several ways."""
    scene = ld.open_scene(path, bands=EIGHT)
    sides, cases = {}, {}
    for grid, zone in GRIDS.items():
        lying = _lying(scene, zone)
        cells = _targets(lying, grid=grid)
        sides[grid] = _side(cells[0])
        cases[grid, "cells"] = _anew(cells)
        cases[grid, "blocks"] = _each(_targets(lying, resolution=_rounded(cells[0], sides[grid])))
    lying = _lying(scene, GRIDS[GRID])
    (cells,) = _targets(lying, grid=GRID, bands=[BAND])
    (blocks,) = _targets(lying, resolution=_rounded(cells, sides[GRID]), bands=[BAND])
    (right,) = _anew([cells])()
    kept = next(iter(areas._RECENT._known.values())).nbytes / 2**20
    cases["geometry", "anew"] = lambda: geometry(cells)
    cases["lone band", "cells"] = _anew([cells])
    cases["lone band", "blocks"] = _each([blocks])
    cases[AVERAGE, "all"] = lambda: average(cells)
    seconds = cpu_seconds(cases, repeats)
    without = []
    seconds |= cpu_seconds(
        {
            ("without C", "cells"): plain(lambda: without.append(_anew([cells])())),
            ("without C", "blocks"): plain(_each([blocks])),
        },
        1,  # it takes many seconds
    )
    same = np.array_equal(right.data, without[0][0].data)
    height, width = cells.band.grid.shape
    return Grids(sides, seconds, kept, same, height * width, measured(cells, right.data))


def geometry(target: Target) -> int:
    """Share out all pixels of a band's image anew; return the bytes of it."""
    Ties.of.cache_clear()
    made = areas.Areas(target.band.grid, target.coarse, target.lattice, target.projection)
    top, left = target.lattice.first(target.coarse)
    right, columns = left + target.coarse.width, made.window[2:]
    shares = [
        share_areas(made.ties, (s.start, s.stop, *columns), (top + s.first, top + s.last, left, right))
        for s in made.strips
    ]
    return sum(part.nbytes for part in shares if part)


def _lying(scene: ld.Scene, zone: str) -> ld.Scene:
    """The scene in another zone, its coordinates the same."""
    bands = {name: replace(band, grid=replace(band.grid, crs=zone)) for name, band in scene.bands.items()}
    return replace(scene, grid=replace(scene.grid, crs=zone), bands=bands)


def _targets(scene: ld.Scene, **how) -> list[Target]:
    (plan,) = ld.plan(scene, Path(scene.href).parent / "nowhere", **how)
    return list(plan.targets)


def _side(target: Target) -> float:
    """Of a cell, in pixels, by its area."""
    return tie_facts(target.band.grid, target.lattice, target.projection).cell_area ** 0.5


def _rounded(target: Target, side: float) -> float:
    """Metres, to 0.1, of a side in pixels."""
    return round(side * target.band.grid.resolution[0], 1)


def _each(targets: Iterable[Target]) -> Callable[[], list[Reduced]]:
    return lambda: [reduce_target(target) for target in targets]


def _anew(targets: Iterable[Target]) -> Callable[[], list[Reduced]]:
    """Reduce bands by geometry that they make."""

    def run() -> list[Reduced]:
        Ties.of.cache_clear()
        areas._RECENT = areas._Recent()
        return _each(targets)()

    return run
