"""What a dask cluster costs beside the work: `python -m benchmarks.cluster [SCENE]`.

Bands of a full-size scene, several times, interleaved: on one thread of this process, on one worker,
on two. What is lost is time in which a worker has no band at work: scheduling, results on their way,
and the scene's publication at the end. A cluster's start and end are not in it. Medians.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import landsat_downsample as ld
from benchmarks.interleave import rounds
from benchmarks.scenes import TEN

REPEATS = 3
WAYS = {"one thread": ("none", 1), "one worker": ("local", 1), "two workers": ("local", 2)}


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


def measured(scene: ld.Scene, folder: str, spec: str, workers: int) -> tuple[float, float, float]:
    """CPU seconds of this process, wall seconds, and seconds that bands were at work, of a scene's reduction."""
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


def measure(path: Path, repeats: int) -> list[Way]:
    """The ways, interleaved."""
    scene = ld.open_scene(path, bands=TEN)
    found = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        for names in rounds(list(WAYS), repeats):
            for name in names:
                found[name].append(measured(scene, folder, *WAYS[name]))
    middle = {name: map(statistics.median, zip(*runs, strict=True)) for name, runs in found.items()}
    return [Way(name, WAYS[name][1], *middle[name]) for name in WAYS]


def speed_up(ways: list[Way]) -> float:
    """How many times as fast two workers are as one."""
    wall = {way.name: way.wall for way in ways}
    return wall["one worker"] / wall["two workers"]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = sys.argv[1] if len(sys.argv) > 1 else ld.make_scene(Path(folder), bands=TEN)
        ways = measure(Path(path), REPEATS)
    print(f"{len(TEN)} full-size bands, factor 10, median of {REPEATS}")
    for way in ways:
        reported = (
            f"bands at work {way.working:5.2f} s, lost {100 * way.lost:4.1f} %, CPU of this process {way.cpu:.2f} s"
        )
        print(f"{way.name:<12} {way.wall:5.2f} s wall, {reported}")
    print(f"two workers are {speed_up(ways):.2f} x one")


if __name__ == "__main__":
    main()
