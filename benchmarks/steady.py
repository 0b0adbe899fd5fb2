"""A warm worker, one band after another: CPU seconds of the reduction alone, interleaved with the floor.

Fairness: floor and ours run one thread, in one process, on the same files in the page cache; both compare every
tile's checksum. The floor maps the file, ours reads it (a mapped file that is cut kills the process); the floor
inflates by the libdeflate that comes with rasterio, one tile at a time, ours two tiles at a time by code of its own,
which is why it can be below the floor. Neither is compiled for this very CPU; both choose code for it when they are
loaded. The floor has no final division, no area weights, no QA rules: at a broken factor its whole part stands for
it, and for QA_PIXEL decode is the measure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

import landsat_downsample as ld
from benchmarks.floor import Floor, exact_mean, numpy_sums
from benchmarks.interleave import cpu_seconds
from benchmarks.scenes import band_of
from landsat_downsample.model.plan import STRIP_ROWS
from landsat_downsample.pipeline import pixels, tiles
from landsat_downsample.pipeline.band import reduce_target
from landsat_downsample.reduce import native, packed_shares

FACTORS = (2, 2.5, 3, 4, 5, 7, 10, 10.5, 11, 16, 30, 64)
#: Factors at which an installation without a compiler is measured too.
PLAIN_FACTORS = (2, 2.5, 10, 64)
#: A broken factor and the whole ones around it: area weights beside blocks.
BETWEEN = {2.5: (2, 3), 10.5: (10, 11)}


@dataclass(frozen=True, slots=True)
class Steady:
    """One band at one factor."""

    band: str
    factor: float
    same: bool
    """Whether ours gives the same with and without C, and for the mean at a whole factor what NumPy's sums give."""
    seconds: dict[str, list[float]]
    """CPU seconds by case, one a round."""

    def middle(self, case: str) -> float:
        """Median CPU seconds of a case; NaN where it was not measured."""
        return median(self.seconds[case]) if self.seconds.get(case) else float("nan")


def target_of(source: Path, band: str, factor: float):
    """The planned target of one band of a scene's folder, or of a single file; QA_PIXEL with its fractions."""
    asked = {"bands": [band]} if source.is_dir() else {}
    (plan,) = ld.plan(
        source, to=source.parent / "nowhere", factor=factor, grid="scene", **asked
    )  # as the floor and peers count
    return next(target for target in plan.targets if target.band.name == band)


def decode(target) -> None:
    """Only read every pixel."""
    height = target.band.grid.height
    with pixels.open_rows(target.band) as rows:
        for start in range(0, height, STRIP_ROWS):
            rows.read(start, min(start + STRIP_ROWS, height))


def plain(call: Callable) -> Callable:
    """The same without extension and tile reader: what an installation without a compiler does."""

    def run():
        kept = native._native, packed_shares._native, tiles.available
        native._native, packed_shares._native, tiles.available = None, None, False
        try:
            return call()
        finally:
            native._native, packed_shares._native, tiles.available = kept

    return run


def measure(scene: Path, band: str, floor: Floor | None, repeats: int) -> list[Steady]:
    """One row for each factor. Their rounds go over all factors, so that factors can be compared too."""
    path = band_of(scene, band)
    cases, same = {}, {}
    for factor in FACTORS:
        target = target_of(scene, band, factor)
        cases |= {(factor, name): call for name, call in _cases(target, path, factor, floor).items()}
        same[factor] = _same(target, path, factor)
    found = cpu_seconds(cases, repeats)
    return [
        Steady(band, factor, same[factor], {name: found[of, name] for of, name in found if of == factor})
        for factor in FACTORS
    ]


def _cases(target, path: Path, factor: float, floor: Floor | None) -> dict[str, Callable]:
    cases = {"ours": lambda: reduce_target(target), "decode": lambda: decode(target)}
    cases["plain decode"] = plain(cases["decode"])
    if factor in PLAIN_FACTORS:
        cases["plain"] = plain(cases["ours"])
    return ({"floor": lambda: floor.sums(path, int(factor))} if floor else {}) | cases


def _same(target, path: Path, factor: float) -> bool:
    """Whether ours is right: by sums that NumPy takes of what GDAL reads, or by the path without C."""
    ours, other = reduce_target(target), plain(lambda: reduce_target(target))()
    same = np.array_equal(ours.data, other.data) and ours.code_counts == other.code_counts
    same = same and (ours.fractions is None or np.array_equal(ours.fractions, other.fractions))
    if ours.method == "mean" and factor == int(factor):
        same = same and np.array_equal(ours.data, exact_mean(*numpy_sums(path, int(factor))))
    return bool(same)
