"""Many scenes through the real scheduler with stub work: ``python -m benchmarks.simulate [--scenes N]``.

What is real: `run_plans`, `DaskExecutor`, a LocalCluster of worker processes, and `carry_out_on_worker`, which gets
a real Target and Publication for each band and gives back a real Done with a full preview. What is not: sources,
the reduction inside a worker, the picture, and what `publish.publish` writes. So all CPU that is spent is overhead. The
scheduler has a process apart from the client, as it has a pod of its own elsewhere. A million scenes go through
`run_plans` alone, with bands that have ended when they are handed in: that tells what the client keeps of each.
"""

from __future__ import annotations

import argparse
import datetime
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

import distributed
import numpy as np
import psutil
from affine import Affine
from distributed import Client, SchedulerPlugin, WorkerPlugin

import landsat_downsample as ld
from landsat_downsample.execution import cost
from landsat_downsample.execution.cost import Setting
from landsat_downsample.execution.dask_executor import DaskExecutor
from landsat_downsample.execution.outcomes import Outcome
from landsat_downsample.execution.run import Executor, Progress, run_plans
from landsat_downsample.model import bands as bands_module
from landsat_downsample.model.band import Band
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.options import Options
from landsat_downsample.model.plan import ScenePlan, plan_scene
from landsat_downsample.model.product import Product
from landsat_downsample.model.scene import Scene
from landsat_downsample.model.target import Target
from landsat_downsample.pipeline.band import PREVIEW, Done, process
from landsat_downsample.products import picture, publish
from landsat_downsample.storage.publication import Publication

HERE = Path(__file__).parent

#: A full Landsat 8 scene of path 192, row 28: 59.6 million pixels of 30 m.
GRID = Grid((7761, 7681), Affine(30, 0, 300000, 0, -30, 5300000), "EPSG:32633")

#: Bytes of one of its reflectance bands.
SIZE = 85_000_000

BANDS = ("SR_B4", "SR_B5", "SR_B2", "SR_B3", "SR_B6", "SR_B7", "SR_B1", "ST_B10")

#: When the resident memory is looked at: shares of the scenes that have ended.
MOMENTS = (0.01, 0.1, 0.25, 0.5, 0.75, 1.0)

#: Overhead that is allowed, as a share of the CPU time of a full-size reflectance band.
ALLOWED = 0.05


# What is asked for ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StubRequest:
    """A scene that is opened without anything being read: see `execution.run.Request`."""

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
        href, specs = self.source["source"], bands_module.specs("oli_tirs", 2)
        bands = {}
        for name in BANDS[: self.bands]:
            spec = specs[name]
            where = f"{href}/{self.label}_{name}.TIF"
            bands[name] = Band(spec, where, GRID, spec.dtype, spec.fill, (256, 256), size=SIZE, etag="0" * 32)
        scene = Scene(self.label, href, GRID, bands, sensor="oli_tirs", level=2, requester_pays=True)
        return plan_scene(scene, self.dest, Options(factor=10))


def stub_process(target: Target, publication: Publication, *_: object, preview: np.ndarray) -> Done:
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


def stub_publish(item: ScenePlan, done: Sequence[Done], publication: Publication, *_: object) -> str:
    """Say where the item of a product would be."""
    return f"{publication.href}/{item.marker}"


class StubWork(WorkerPlugin):
    """Puts the stub where workers reduce targets, in those too that start later."""

    def setup(self, worker) -> None:
        from landsat_downsample.execution import work

        height, width = min(GRID.height // 10 + 1, PREVIEW), min(GRID.width // 10 + 1, PREVIEW)
        preview = np.random.default_rng(1).integers(7273, 43636, (height, width)).astype("uint16")
        work.process = partial(stub_process, preview=preview)


class Held(SchedulerPlugin):
    """Notes the largest number of tasks that the scheduler holds."""

    def start(self, scheduler) -> None:
        self.scheduler, scheduler.most_held = scheduler, 0

    def update_graph(self, scheduler, **_) -> None:
        scheduler.most_held = max(scheduler.most_held, len(scheduler.tasks))


class AtOnce:
    """An executor whose work has ended when it is handed in."""

    width, part = 2, ""

    def __init__(self) -> None:
        self._preview = np.zeros((PREVIEW, PREVIEW), "uint16")

    def submit(self, work) -> Future[Done]:
        """Give back what a target gives."""
        ended = Future()
        ended.set_result(stub_process(work.target, work.publication, preview=self._preview))
        return ended

    def halt(self, group: str) -> None:
        """Nothing is at work."""

    def close(self, *, now: bool = False) -> None:
        """Nothing is open."""


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

    def __call__(self, step: Progress) -> None:
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
    load: float = 0.0
    """Of the machine in the run's last minute."""

    @property
    def total(self) -> float:
        """CPU seconds of all processes."""
        return sum(self.cpu.values())


def simulate(scenes: int, bands: int, workers: int, *, direct: bool = True) -> Figures:
    """Run stub scenes of so many bands each through the real path; see `cluster` for ``direct``."""
    with ExitStack() as stack:
        dest = stack.enter_context(tempfile.TemporaryDirectory(prefix="simulated-"))
        client, processes = stack.enter_context(cluster(workers, direct=direct))
        _run_stubs(DaskExecutor(client, owned=True), 20, bands, f"{dest}/warm")
        watch, before, begun = Watch(scenes, processes), processes.cpu(), time.perf_counter()
        outcomes = _run_stubs(DaskExecutor(client, owned=True), scenes, bands, f"{dest}/out", watch)
        wall, after = time.perf_counter() - begun, processes.cpu()
        held = client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.most_held)
    statuses = {status: sum(o.status == status for o in outcomes) for status in {o.status for o in outcomes}}
    return Figures(
        scenes, sum(o.files for o in outcomes), workers, wall, {name: after[name] - before[name] for name in after},
        watch.memory, watch.walls, held, statuses, sum(o.requests for o in outcomes), os.getloadavg()[0],
    )  # fmt: skip


def client_alone(scenes: int) -> tuple[Watch, float]:
    """Run stub scenes of one band each without a cluster; what was seen, and CPU seconds."""
    me = Processes([psutil.Process()], [], [])
    watch, before = Watch(scenes, me), me.cpu()["client"]
    with tempfile.TemporaryDirectory(prefix="simulated-") as dest:
        _run_stubs(AtOnce(), scenes, 1, dest, watch)
    return watch, me.cpu()["client"] - before


def _run_stubs(executor: Executor, scenes: int, bands: int, dest: str, report=None) -> Sequence[Outcome]:
    os.makedirs(dest, exist_ok=True)
    requests = (StubRequest(number, bands, dest) for number in range(scenes))
    kept = publish.publish, picture.shown_bands
    publish.publish, picture.shown_bands = stub_publish, lambda plan: frozenset()
    try:
        return run_plans(requests, executor=executor, report=report)
    finally:
        publish.publish, picture.shown_bands = kept


# The report -------------------------------------------------------------------------------------


def reference(repeats: int = 5) -> float:
    """Median CPU seconds of a real full-size reflectance band, here and under the load of the moment."""
    from benchmarks.scenes import full_scene
    from benchmarks.steady import target_of

    target = target_of(full_scene(), BANDS[0], 10)
    taken = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            begun = time.process_time()
            process(target, Publication(folder, "reference"))
            taken.append(time.process_time() - begun)
    return median(taken)


@dataclass(frozen=True, slots=True)
class Record:
    """What is told of a simulation."""

    main: Figures
    few: Figures
    apart: Figures
    """The targets of ``few`` in fewer scenes, right after it: tells what a target costs from what a scene does."""
    through: Figures
    """Results that come through the scheduler."""
    beside: float
    """CPU seconds of a real band right after ``through``."""
    band: tuple[float, float]
    """The same before and after the main run."""
    alone: tuple[Watch, float]
    """Of `client_alone`."""

    def split(self) -> tuple[float, float]:
        """CPU seconds of overhead for a target, and for a scene besides."""
        rows = [[run.targets, run.scenes] for run in (self.few, self.apart)]
        return tuple(np.linalg.solve(np.array(rows, float), [self.few.total, self.apart.total]))


def report(record: Record) -> str:
    """The record as a Markdown section."""
    from benchmarks.machine import processor

    parts = [
        "# A run of many scenes, simulated",
        f"{datetime.date.today()}; {processor()}, {os.cpu_count()} cores that others use as well; "
        f"Python {sys.version.split()[0]}, "
        f"distributed {distributed.__version__}. `python -m benchmarks.simulate`.",
        __doc__.partition("\n\n")[2].strip().replace("\n", " "),
        *_overhead(record),
        "## Memory, and tasks held",
        "\n".join(_memory(record.main)),
        "## The client alone",
        "\n".join(_alone(*record.alone)),
        "## Predicted by `cost`",
        "Stub bands say that they took 2 requests each, as real ones do "
        "(tests/execution/test_cost.py). Overhead is predicted "
        "from the second and third line above.",
        "\n".join(_predicted(record.main)),
    ]
    return "\n\n".join(parts) + "\n"


def _overhead(record: Record) -> list[str]:
    straight, scheduled = "straight from workers", "through the scheduler"
    runs = ((record.main, straight), (record.few, straight), (record.apart, straight), (record.through, scheduled))
    rows = ["| scenes | bands each | results | client | scheduler | workers | sum | targets/s | wall s | load |"]
    rows += ["|" + " --- |" * 10]
    for run, how in runs:
        each = " | ".join(f"{1000 * seconds / run.targets:.1f}" for seconds in (*run.cpu.values(), run.total))
        last = f"{run.targets / run.wall:.0f} | {run.wall:.0f} | {run.load:.1f}"
        rows.append(f"| {run.scenes} | {run.targets // run.scenes} | {how} | {each} | {last} |")
    target, scene = record.split()
    band, main = sum(record.band) / 2, record.main
    share, scheduler = main.total / main.targets / band, main.cpu["scheduler"] / main.targets
    return [
        "## Overhead",
        "Milliseconds of CPU for a target, by process:",
        "\n".join(rows),
        f"By the second and third line a target costs {1000 * target:.1f} ms, and a scene {1000 * scene:.1f} ms.",
        f"A real full-size band ({BANDS[0]}, factor 10, encoded and stored) took {record.band[0]:.2f} s of CPU before "
        f"the long run and {record.band[1]:.2f} s after it, under the same load: the overhead of a target is "
        f"**{share:.1%}** of it, {'less' if share < ALLOWED else 'MORE'} than {ALLOWED:.0%}. The scheduler alone takes "
        f"{scheduler / band:.1%}: it could feed some {band / scheduler:.0f} workers of one thread. Through the "
        f"scheduler it is {record.through.total / record.through.targets / record.beside:.1%} of the "
        f"{record.beside:.2f} s that the band took then.",
    ]


def _memory(run: Figures) -> list[str]:
    rows = ["| scenes ended | after s | client MiB | scheduler MiB | workers MiB |", "|" + " --- |" * 5]
    for share, memory in run.memory.items():
        figures = " | ".join(f"{mib:.0f}" for mib in memory.values())
        rows.append(f"| {share:.0%} | {run.walls[share]:.0f} | {figures} |")
    first, last = (run.memory[share]["client"] for share in (0.5, 1.0))
    kept = (last - first) * 2**20 / (run.scenes / 2)
    ended = ", ".join(f"{count} {status}" for status, count in sorted(run.statuses.items()))
    return [
        *rows,
        "",
        f"The scheduler never held more than {run.held} tasks. The client keeps {kept:.0f} bytes of each scene that "
        f"has ended: its outcome, and the place that it went to. Scheduler and workers grow while dask's own cache "
        f"of key names fills, which holds 100 000 of them. Outcomes: {ended}.",
    ]


def _alone(watch: Watch, seconds: float) -> list[str]:
    first, last = (watch.memory[share]["client"] for share in (0.5, 1.0))
    kept = (last - first) * 2**20 / (watch.scenes / 2)
    return [
        "| scenes ended | client MiB |",
        "| --- | --- |",
        *(f"| {round(share * watch.scenes)} | {memory['client']:.0f} |" for share, memory in watch.memory.items()),
        "",
        f"{kept:.0f} bytes of each scene are kept, and {1000 * seconds / watch.scenes:.2f} ms of CPU spent on it.",
    ]


def _predicted(run: Figures) -> list[str]:
    """What `cost` tells of these scenes, beside what was measured."""
    plan = StubRequest(0, run.targets // run.scenes, "s3://bucket/out").plan()
    reported = cost.cost_of(plan).like(run.scenes)
    reads = cost.total(cost.reduction(target, Setting()) for target in plan.targets).times(run.scenes)
    pairs = {
        "scenes": (reported.scenes, sum(run.statuses.values())),
        "targets": (reported.targets, run.targets),
        "requests for bands": (reads.requests, run.requests),
        "overhead, core-hours": (reported.overhead_seconds / 3600, run.total / 3600),
    }
    rows = ["| | predicted | measured | ratio |", "| --- | --- | --- | --- |"]
    return rows + [f"| {name} | {a:.6g} | {b:.6g} | {a / b:.2f} |" for name, (a, b) in pairs.items()]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulate", description=__doc__.partition(":")[0])
    parser.add_argument("--scenes", type=int, default=20_000, help="on workers (default 20000)")
    parser.add_argument("--alone", type=int, default=1_000_000, help="in the client alone (default 1000000)")
    parser.add_argument("--targets-per-scene", type=int, default=1, choices=range(1, len(BANDS)), help="(default 1)")
    parser.add_argument("--workers", type=int, default=2, help="worker processes (default 2)")
    given = parser.parse_args()
    fewer = max(given.scenes // 10, 20)
    few = simulate(fewer, 1, given.workers)
    apart = simulate(max(fewer // len(BANDS), 1), len(BANDS), given.workers)
    through = simulate(fewer, 1, given.workers, direct=False)
    before = reference()
    long = simulate(given.scenes, given.targets_per_scene, given.workers)
    after = reference()
    text = report(Record(long, few, apart, through, before, (before, after), client_alone(given.alone)))
    (HERE / "SIMULATION.md").write_text(text)
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
