"""What a dask cluster costs beside the work: `python -m benchmarks.cluster [SCENE]`.

Bands of a full-size scene, several times, interleaved: on one thread of this process, on one worker,
on two; and in one and two processes without dask, which publish nothing: what two cores give at most. What is lost is
time in which a worker has no band at work: scheduling, results on their way, and the scene's publication at the end.
Starts and ends are not in it. Medians.
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import landsat_downsample as ld
from benchmarks.interleave import rounds
from benchmarks.scenes import TEN
from landsat_downsample.pipeline.band import process
from landsat_downsample.storage.publication import Publication

REPEATS = 3


@dataclass(frozen=True, slots=True)
class Way:
    """One way of reducing a scene: medians, in seconds."""

    name: str
    width: int
    """Threads or worker processes."""
    cpu: float
    """Of this process: scheduler and client, and the work itself where it is done by threads."""
    wall: float
    working: float
    """Wall time of all bands, added up."""

    @property
    def lost(self) -> float:
        """Share of the workers' time in which they had no band."""
        return self.width * self.wall / self.working - 1


#: CPU seconds of this process, wall seconds, and seconds that bands were at work.
Measured = tuple[float, float, float]


def in_processes(scene: ld.Scene, folder: str, workers: int) -> Measured:
    """Bands reduced and stored in processes that get them as they become free, and nothing else."""

    def plan(factor: int) -> ld.ScenePlan:
        (plan,) = ld.plan(scene, tempfile.mkdtemp(dir=folder), factor=factor, bands=TEN)
        return plan

    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        pool.map(_stored, plan(64).targets, chunksize=len(TEN) // workers)  # each imports, and reads a share
        targets = plan(10).targets
        cpu, wall = time.process_time(), time.perf_counter()
        seconds = pool.map(_stored, targets, chunksize=1)
        return time.process_time() - cpu, time.perf_counter() - wall, sum(seconds)


def _stored(target) -> float:
    with tempfile.TemporaryDirectory() as folder:
        return process(target, Publication(folder, "product")).seconds


def on_cluster(scene: ld.Scene, folder: str, workers: int, spec: str = "local") -> Measured:
    """A scene reduced by `ld.run`."""
    working = []

    def note(step) -> None:
        if step.done:
            working.append(step.done.seconds)

    with ld.cluster(spec, workers=workers) as client:
        threads = None if client else workers
        plans = ld.plan(scene, f"{folder}/warm", factor=64, bands=TEN, overwrite=True)
        ld.run(plans, client=client, workers=threads)  # imports, and pages of the files
        plans = ld.plan(scene, tempfile.mkdtemp(dir=folder), factor=10, bands=TEN)
        cpu, wall = time.process_time(), time.perf_counter()
        ld.run(plans, client=client, workers=threads, report=note)
        return time.process_time() - cpu, time.perf_counter() - wall, sum(working)


WAYS: dict[str, tuple[Callable[..., Measured], int]] = {
    "one thread": (partial(on_cluster, spec="none"), 1),
    "one worker": (on_cluster, 1),
    "two workers": (on_cluster, 2),
    "one process, no dask": (in_processes, 1),
    "two processes, no dask": (in_processes, 2),
}


def measure(path: Path, repeats: int) -> list[Way]:
    """The ways, interleaved."""
    scene = ld.open_scene(path, bands=TEN)
    found = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        for names in rounds(list(WAYS), repeats):
            for name in names:
                work, width = WAYS[name]
                found[name].append(work(scene, folder, width))
    middle = {name: map(statistics.median, zip(*runs, strict=True)) for name, runs in found.items()}
    return [Way(name, WAYS[name][1], *middle[name]) for name in WAYS]


def speed_up(ways: list[Way], one: str = "one worker", two: str = "two workers") -> float:
    """How many times as fast two workers are as one."""
    wall = {way.name: way.wall for way in ways}
    return wall[one] / wall[two]


def ceiling(ways: list[Way]) -> float:
    """How many times as fast two processes are as one where nothing is scheduled or published."""
    return speed_up(ways, "one process, no dask", "two processes, no dask")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = sys.argv[1] if len(sys.argv) > 1 else ld.make_scene(Path(folder), bands=TEN)
        ways = measure(Path(path), REPEATS)
    print(f"{len(TEN)} full-size bands, factor 10, median of {REPEATS}")
    for way in ways:
        reported = (
            f"bands at work {way.working:5.2f} s, lost {100 * way.lost:4.1f} %, CPU of this process {way.cpu:.2f} s"
        )
        print(f"{way.name:<22} {way.wall:5.2f} s wall, {reported}")
    print(f"two workers are {speed_up(ways):.2f} x one, two processes without dask {ceiling(ways):.2f}")


if __name__ == "__main__":
    main()
