"""Several statistics of a band beside its mean alone: CPU seconds of a warm worker, from file to stored products."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

import landsat_downsample as ld
from benchmarks.interleave import cpu_seconds
from landsat_downsample.pipeline.band import process
from landsat_downsample.storage.publication import Publication

FIVE = "mean,std,min,max,count"
#: Cells of blocks, of parts of pixels, and of another projection.
CELLS = {"factor 10": {"factor": 10}, "500 m": {"resolution": 500}, "modis:500m": {"grid": "modis:500m"}}

#: CPU seconds of the mean and of all five, by the cells.
Pairs = dict[str, tuple[float, float]]


def measure(scene: Path, band: str, repeats: int) -> Pairs:
    """Median CPU seconds; the cases of all cells in turn."""
    with tempfile.TemporaryDirectory() as folder:
        cases = {
            (name, stats): _stored(scene, Path(folder), band, {**cells, "stats": stats})
            for name, cells in CELLS.items()
            for stats in (None, FIVE)
        }
        for call in cases.values():
            call()  # what is made once for a scene, and known then
        found = cpu_seconds(cases, repeats)
    return {name: (median(found[name, None]), median(found[name, FIVE])) for name in CELLS}


def _stored(scene: Path, folder: Path, band: str, options: dict) -> Callable[[], None]:
    (plan,) = ld.plan(scene, folder, bands=band, **options)

    def run() -> None:
        publication = Publication(plan.dest, plan.name)
        process(plan.targets[0], publication)
        publication.abort()

    return run
