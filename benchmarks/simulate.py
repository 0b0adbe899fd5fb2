"""Many scenes through the real scheduler with stub work: ``python -m benchmarks.simulate [--scenes N]``.

What is real: `_run.run_plans`, `DaskExecutor`, a LocalCluster of worker processes, and `reduce_on_worker`, which gets
a real Target and Publication for each band and gives back a real Done with a full preview. What is not: sources,
the reduction inside a worker, and what `_publish.publish` writes, of which only the product's folder is made. So all
CPU that is spent is overhead. The scheduler has a process apart from the client, as it has a pod of its own elsewhere.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import multiprocessing
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import psutil
from affine import Affine
from distributed import Client, SchedulerPlugin, WorkerPlugin

import landsat_downsample as ld
from landsat_downsample import _bands, _publish, _run
from landsat_downsample._cluster._dask_executor import DaskExecutor
from landsat_downsample._grid import Grid
from landsat_downsample._plan import Options, Product, ScenePlan, Target, plan_scene
from landsat_downsample._process import PREVIEW, Done
from landsat_downsample._scene import Band, Scene

HERE = Path(__file__).parent

#: A full Landsat 8 scene of path 192, row 28: 59.6 million pixels of 30 m.
GRID = Grid((7761, 7681), Affine(30, 0, 300000, 0, -30, 5300000), "EPSG:32633")

#: Bytes of one of its reflectance bands.
SIZE = 85_000_000

BANDS = ("SR_B4", "SR_B5", "SR_B2", "SR_B3", "SR_B6", "SR_B7", "SR_B1", "ST_B10")

#: When the resident memory is looked at: shares of the scenes that have ended.
MOMENTS = (0.01, 0.1, 0.25, 0.5, 0.75, 1.0)

#: CPU seconds that a full-size reflectance band takes, and how much more may be overhead.
FULL_BAND, ALLOWED = 0.3, 0.05


# What is asked for ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StubRequest:
    """A scene that is opened without anything being read: see `_run.Request`."""

    number: int
    bands: int
    dest: str

    @property
    def label(self) -> str:
        """Its product ID."""
        path, row = self.number % 233 + 1, self.number // 233 % 248 + 1
        day = datetime.date(2014, 1, 1) + datetime.timedelta(16 * (self.number // (233 * 248)))
        return f"LC08_L2SP_{path:03d}{row:03d}_{day:%Y%m%d}_{day:%Y%m%d}_02_T1"

    @property
    def source(self) -> dict:
        """As a line of a list has it."""
        return {"source": f"s3://usgs-landsat/collection02/level-2/standard/oli-tirs/{self.label}"}

    def plan(self) -> ScenePlan:
        """Plan it as if its headers had been read."""
        href, specs = self.source["source"], _bands.specs("oli_tirs", 2)
        bands = {}
        for name in BANDS[: self.bands]:
            spec = specs[name]
            where = f"{href}/{self.label}_{name}.TIF"
            bands[name] = Band(spec, where, GRID, spec.dtype, spec.fill, (256, 256), size=SIZE, etag="0" * 32)
        scene = Scene(self.label, href, GRID, bands, sensor="oli_tirs", level=2, requester_pays=True)
        return plan_scene(scene, self.dest, Options(factor=10))


def stub_process(target: Target, publication: ld._store.Publication, preview: np.ndarray) -> Done:
    """Give back what a target gives, all but the work."""
    numbers = {"minimum": 7301.0, "maximum": 43210.0, "mean": 11234.5, "stddev": 2345.6}
    band, coarse = target.band, target.coarse
    overviews = ((coarse.height // 2, coarse.width // 2), (coarse.height // 4, coarse.width // 4))
    product = Product(
        band=band.name, filename=target.filename, method=target.method, dtype=band.dtype, nodata=band.nodata,
        size=1_100_000, sha256="0" * 64, valid_fraction=0.7, statistics=(numbers,), block_shape=(512, 512),
        overviews=overviews,
    )  # fmt: skip
    return Done(band.name, (product,), preview, band.nodata, band.spec, {}, target.bytes_in, 2, 0.0)


def stub_publish(item: ScenePlan, done: Sequence[Done], publication: ld._store.Publication) -> str:
    """Make a product's folder and nothing in it."""
    os.mkdir(publication.href)
    return f"{publication.href}/{item.marker}"


class StubWork(WorkerPlugin):
    """Puts the stub where workers reduce targets, in those too that start later."""

    def setup(self, worker) -> None:
        from landsat_downsample._cluster import _dask_tasks

        height, width = min(GRID.height // 10 + 1, PREVIEW), min(GRID.width // 10 + 1, PREVIEW)
        preview = np.random.default_rng(1).integers(7273, 43636, (height, width)).astype("uint16")
        _dask_tasks.process = partial(stub_process, preview=preview)


class Held(SchedulerPlugin):
    """Notes the largest number of tasks that the scheduler holds."""

    def start(self, scheduler) -> None:
        self.scheduler, scheduler.most_held = scheduler, 0

    def update_graph(self, scheduler, **_) -> None:
        scheduler.most_held = max(scheduler.most_held, len(scheduler.tasks))


# The cluster ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes of a run, by what they are."""

    client: list[psutil.Process]
    scheduler: list[psutil.Process]
    workers: list[psutil.Process]

    def cpu(self) -> dict[str, float]:
        """CPU seconds so far, user and system."""
        return {name: sum(sum(p.cpu_times()[:2]) for p in getattr(self, name)) for name in self.__slots__}

    def memory(self) -> dict[str, float]:
        """Resident MiB."""
        return {name: sum(p.memory_info().rss for p in getattr(self, name)) / 2**20 for name in self.__slots__}


def _keep_cluster(workers: int, pipe) -> None:
    with ld.cluster("local", workers=workers) as client:
        pipe.send(client.scheduler.address)
        pipe.recv()


@contextmanager
def cluster(workers: int, *, direct: bool = True) -> Iterator[tuple[Client, Processes]]:
    """A client, and a LocalCluster in a process apart whose workers have the stub.

    Parameters
    ----------
    workers : int
        Worker processes, of one thread each.
    direct : bool
        Whether results come straight from the workers, as in ``--cluster local``, or through the scheduler.
    """
    pipe, end = multiprocessing.Pipe()
    keeper = multiprocessing.get_context("spawn").Process(target=_keep_cluster, args=(workers, end))
    keeper.start()
    try:
        if not pipe.poll(60):
            raise SystemExit("the cluster did not start within a minute")
        with ld.cluster(pipe.recv()) as client:
            client.direct_to_workers = direct
            client.register_plugin(StubWork())
            client.register_plugin(Held())
            pids = client.run(os.getpid).values()
            me, it = psutil.Process(), psutil.Process(keeper.pid)
            yield client, Processes([me], [it], [psutil.Process(pid) for pid in pids])
    finally:
        pipe.send(None)
        keeper.join(30)


# The run ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class Watch:
    """Looks at the processes as scenes end."""

    scenes: int
    processes: Processes
    ended: int = 0
    memory: dict[float, dict[str, float]] = field(default_factory=dict)
    walls: dict[float, float] = field(default_factory=dict)
    begun: float = field(default_factory=time.perf_counter)

    def __call__(self, step: _run.Progress) -> None:
        if step.outcome is None:
            return
        self.ended += 1
        for share in MOMENTS:
            if self.ended == max(1, round(share * self.scenes)):
                self.memory[share] = self.processes.memory()
                self.walls[share] = time.perf_counter() - self.begun


@dataclass(frozen=True, slots=True)
class Figures:
    """What a run of stub scenes took."""

    scenes: int
    targets: int
    workers: int
    wall: float
    cpu: dict[str, float]
    """Seconds by client, scheduler, workers."""
    memory: dict[float, dict[str, float]]
    """MiB by the share of scenes that had ended."""
    walls: dict[float, float]
    held: int
    """Most tasks that the scheduler held."""
    statuses: dict[str, int]
    requests: int

    @property
    def total(self) -> float:
        """CPU seconds of all processes."""
        return sum(self.cpu.values())


def simulate(scenes: int, bands: int, workers: int, *, direct: bool = True) -> Figures:
    """Run stub scenes of so many bands each through the real path; see `cluster` for ``direct``."""
    with ExitStack() as stack:
        dest = stack.enter_context(tempfile.TemporaryDirectory(prefix="simulated-"))
        client, processes = stack.enter_context(cluster(workers, direct=direct))
        _run_stubs(client, 20, bands, f"{dest}/warm")
        watch, before, begun = Watch(scenes, processes), processes.cpu(), time.perf_counter()
        outcomes = _run_stubs(client, scenes, bands, f"{dest}/out", watch)
        wall, after = time.perf_counter() - begun, processes.cpu()
        held = client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.most_held)
    statuses = {status: sum(o.status == status for o in outcomes) for status in {o.status for o in outcomes}}
    return Figures(
        scenes, sum(o.files for o in outcomes), workers, wall, {name: after[name] - before[name] for name in after},
        watch.memory, watch.walls, held, statuses, sum(o.requests for o in outcomes),
    )  # fmt: skip


def _run_stubs(client: Client, scenes: int, bands: int, dest: str, report=None) -> list[_run.Outcome]:
    os.mkdir(dest)
    requests = (StubRequest(number, bands, dest) for number in range(scenes))
    kept, _publish.publish = _publish.publish, stub_publish
    try:
        return _run.run_plans(requests, executor=DaskExecutor(client, owned=True), report=report)
    finally:
        _publish.publish = kept


# The report -------------------------------------------------------------------------------------


def reference() -> float:
    """CPU seconds of a full-size reflectance band here and now, under the same load as the simulation."""
    from benchmarks.__main__ import scene_of
    from benchmarks.steady import target_of
    from landsat_downsample import _process

    target = target_of(scene_of("full"), "SR_B4", 10)
    taken = []
    for _ in range(5):
        begun = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            _process.process(target, ld._store.Publication(folder, "reference"))
        taken.append(time.process_time() - begun)
    return sorted(taken)[2]
