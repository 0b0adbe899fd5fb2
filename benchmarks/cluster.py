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
from pathlib import Path

import landsat_downsample as ld

REPEATS = 3
BANDS = ["SR_B1", "SR_B2", "SR_B3", "SR_B4", "SR_B5", "SR_B6", "SR_B7", "ST_B10", "QA_PIXEL", "SR_QA_AEROSOL"]


def measured(scene: ld.Scene, folder: str, spec: str, workers: int) -> tuple[float, float, float]:
    """CPU seconds of this process, wall seconds, and seconds that bands were at work, of a scene's reduction."""
    working = []

    def note(step) -> None:
        if step.done:
            working.append(step.done.seconds)

    with ld.cluster(spec, workers=workers) as client:
        threads = None if client else workers
        plans = ld.plan(scene, f"{folder}/warm", factor=64, bands=BANDS, overwrite=True)
        ld.run(plans, client=client, workers=threads)  # imports, and pages of the files
        plans = ld.plan(scene, tempfile.mkdtemp(dir=folder), factor=10, bands=BANDS)
        cpu, wall = time.process_time(), time.perf_counter()
        ld.run(plans, client=client, workers=threads, report=note)
        return time.process_time() - cpu, time.perf_counter() - wall, sum(working)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = sys.argv[1] if len(sys.argv) > 1 else ld.make_scene(Path(folder), bands=BANDS)
        scene = ld.open_scene(path, bands=BANDS)
        ways = {"one thread": ("none", 1), "one worker": ("local", 1), "two workers": ("local", 2)}
        found = {way: [] for way in ways}
        for _ in range(REPEATS):
            for way, (spec, workers) in ways.items():
                found[way].append(measured(scene, folder, spec, workers))
    middle = {way: [statistics.median(column) for column in zip(*runs, strict=True)] for way, runs in found.items()}
    print(f"{len(BANDS)} full-size bands, factor 10, median of {REPEATS}")
    for way, (cpu, wall, working) in middle.items():
        width = ways[way][1]
        lost = width * wall / working - 1
        told = f"bands at work {working:5.2f} s, lost {100 * lost:4.1f} %, CPU of this process {cpu:.2f} s"
        print(f"{way:<12} {wall:5.2f} s wall, {told}")
    print(f"two workers are {middle['one worker'][1] / middle['two workers'][1]:.2f} x one")


if __name__ == "__main__":
    main()
