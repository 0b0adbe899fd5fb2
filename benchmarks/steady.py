"""A warm worker, one band after another: CPU seconds of the reduction alone, interleaved with the floor."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import landsat_downsample as ld
from benchmarks.floor import Floor, exact_mean
from landsat_downsample import _pixels, _process, _tiles
from landsat_downsample._reduce import _fast, _kernels

FACTORS = (2, 3, 4, 10, 30, 64, 2.5, 75.91)


def interleave(cases: dict[str, Callable], repeats: int) -> dict[str, list[float]]:
    """CPU seconds of each case: the cases in turn, so that a noisy moment strikes all of them alike."""
    seconds = {name: [] for name in cases}
    for _ in range(repeats):
        for name, call in cases.items():
            begun = time.process_time()
            call()
            seconds[name].append(time.process_time() - begun)
    return seconds


def target_of(scene: Path, band: str, factor: float):
    """The planned target of one band."""
    (plan,) = ld.plan(scene, to=scene.parent / "nowhere", factor=factor, bands=[band])
    return next(target for target in plan.targets if target.band.name == band)


def decode(target) -> None:
    """Only read every pixel."""
    height = target.band.grid.height
    with _pixels.open_rows(target.band) as rows:
        for start in range(0, height, _kernels.STRIP_ROWS):
            rows.read(start, min(start + _kernels.STRIP_ROWS, height))


def plain(call: Callable) -> Callable:
    """The same without extension and tile reader: what an installation without a compiler does."""

    def run():
        kept = _fast._fused, _tiles.deflate
        _fast._fused, _tiles.deflate = None, None
        try:
            return call()
        finally:
            _fast._fused, _tiles.deflate = kept

    return run


def measure(scene: Path, band: str, floor: Floor | None, repeats: int) -> list[dict]:
    """One row for each factor: seconds by case, and whether all gave the same pixels."""
    (path,) = scene.glob(f"*_{band}.TIF")
    rows = []
    for factor in FACTORS:
        target = target_of(scene, band, factor)
        reduce = lambda target=target: _process.reduce_target(target)  # noqa: E731
        read = lambda target=target: decode(target)  # noqa: E731
        cases = {"ours": reduce, "plain": plain(reduce), "decode": read, "plain decode": plain(read)}
        ours, other = reduce(), plain(reduce)()
        same = _equal(ours, other)
        whole = int(factor)
        if floor:
            cases = {"floor": lambda whole=whole: floor.sums(path, whole)} | cases
            if ours.method == "mean" and factor == whole:
                same = same and np.array_equal(ours.data, exact_mean(*floor.sums(path, whole)))
        rows.append({"band": band, "factor": factor, "same": bool(same), "seconds": interleave(cases, repeats)})
    return rows


def _equal(one, other) -> bool:
    fractions = one.fractions is None or np.array_equal(one.fractions, other.fractions)
    return fractions and np.array_equal(one.data, other.data) and one.tally == other.tally
