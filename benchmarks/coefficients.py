"""CPU seconds that `landsat_downsample.execution.cost` is made of: ``python -m benchmarks.coefficients [--repeats N]``.

A full-size reflectance band and a full-size QA_PIXEL are reduced, encoded and stored at several factors: what they
share is the cost of pixels, what grows with the cells is theirs. A band of few pixels gives what a target costs
anyhow, a scene of such bands what a scene does. The remote part is fetched from an S3 server on this machine.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

import landsat_downsample as ld
from benchmarks import machine
from benchmarks.scenes import full_scene
from landsat_downsample.pipeline.band import process, reduce_target
from landsat_downsample.products import publish
from landsat_downsample.storage import small_objects
from landsat_downsample.storage.publication import Publication
from landsat_downsample.testing.seaweed import BUCKET, Seaweed, environ

FACTORS = (3, 4, 6, 10, 30, 64)


def seconds(call: Callable[[], object], repeats: int) -> float:
    """Median CPU seconds of this process, all of its threads."""
    taken = []
    for _ in range(repeats):
        begun = time.process_time()
        call()
        taken.append(time.process_time() - begun)
    return median(taken)


def target_seconds(scene: Path, band: str, factor: float, folder: str, repeats: int) -> tuple[int, int, float]:
    """Pixels, cells, and CPU seconds of one target: read, reduced, encoded and stored."""
    plan = ld.plan(scene, folder, factor=factor, bands=[band])[0]
    target = plan.targets[0]
    publication = Publication(folder, f"{band}_{factor}", overwrite=True)
    taken = seconds(lambda: process(target, publication), repeats)
    publication.abort()
    return int(np.prod(target.band.grid.shape)), int(np.prod(target.coarse.shape)), taken


def line(rows: list[tuple[int, int, float]]) -> tuple[float, float]:
    """Seconds per pixel and per cell that fit (pixels, cells, seconds) best."""
    matrix = np.array([[pixels, cells] for pixels, cells, _ in rows], float)
    return tuple(np.linalg.lstsq(matrix, np.array([taken for *_, taken in rows]), rcond=None)[0])


def scene_seconds(folder: str, repeats: int) -> dict[str, float]:
    """What a scene costs beside its targets: opened, and published."""
    scene = ld.make_scene(f"{folder}/small", size=(64, 60), seed=1)
    opened, published, small = [], [], []
    for k in range(repeats):
        begun = time.process_time()
        (plan,) = ld.plan(scene, f"{folder}/out{k}", factor=4)
        opened.append(time.process_time() - begun)
        publication = Publication(plan.dest, plan.name)
        begun = time.process_time()
        done = [process(target, publication) for target in plan.targets]
        small.append((time.process_time() - begun) / len(done))
        begun = time.process_time()
        publish.publish(plan, done, publication)
        published.append(time.process_time() - begun)
    bands = len(plan.targets)
    return {"target": median(small), "open, a band": median(opened) / bands, "publish small": median(published)}


def publish_seconds(scene: Path, folder: str, repeats: int) -> float:
    """CPU seconds that the publication of a full-size scene takes: most of it is the picture."""
    (plan,) = ld.plan(scene, folder, factor=10)
    taken = []
    for _ in range(repeats):
        publication = Publication(folder, plan.name, overwrite=True)
        done = [process(target, publication) for target in plan.targets]
        begun = time.process_time()
        publish.publish(plan, done, publication)
        taken.append(time.process_time() - begun)
    return median(taken)


def remote_seconds(scene: Path, repeats: int) -> tuple[float, float]:
    """CPU seconds per byte that comes from a store, not from a disk, and per small object that goes there and back."""
    (path,) = scene.glob("*_SR_B4.TIF")
    server = Seaweed().start()
    try:
        for name, value in environ(server.endpoint).items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})
        server.client().put_object(Bucket=BUCKET, Key=path.name, Body=path.read_bytes())
        near, far = (
            ld.plan(str(href), "out", factor=10)[0].targets[0] for href in (path, f"s3://{BUCKET}/{path.name}")
        )
        received = reduce_target(far).received
        taken = [seconds(lambda target=target: reduce_target(target), repeats) for target in (near, far)]
        small = (
            seconds(lambda: [small_objects.put(f"s3://{BUCKET}/small", b"x" * 20_000) for _ in range(50)], repeats) / 50
        )
        return (taken[1] - taken[0]) / received, small
    finally:
        server.stop()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coefficients", description=__doc__.partition(":")[0])
    parser.add_argument("--repeats", type=int, default=3, help="of each case; the median counts (default 3)")
    repeats = parser.parse_args().repeats
    before, scene = machine.load(), full_scene()
    print("\n".join(machine.described(before, machine.load())), "\n")
    with tempfile.TemporaryDirectory() as folder:
        for band in ("SR_B4", "QA_PIXEL"):
            rows = [target_seconds(scene, band, factor, folder, repeats) for factor in FACTORS]
            pixel, cell = line(rows)
            print(f"{band}: {1e9 * pixel:.2f} ns a pixel, {1e9 * cell:.0f} ns a cell")
            for factor, (pixels, cells, taken) in zip(FACTORS, rows, strict=True):
                print(f"  factor {factor:g}: {taken:.3f} s, fitted {pixel * pixels + cell * cells:.3f} s")
        for name, taken in scene_seconds(folder, 2 * repeats).items():
            print(f"{name}: {1000 * taken:.1f} ms")
        print(f"publish full-size, factor 10: {1000 * publish_seconds(scene, f'{folder}/full', repeats):.1f} ms")
    byte, request = remote_seconds(scene, repeats)
    print(f"remote: {1e9 * byte:.2f} ns a byte received; {1000 * request:.2f} ms a small object put")


if __name__ == "__main__":
    main()
