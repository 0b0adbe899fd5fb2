"""Over the network: a remote band beside its fetch alone and its decoding alone, interleaved.

``python -m benchmarks.network [--repeats N]``. The servers and the proxies that add latency run in processes of
their own, but on the same machine: what they compute is taken from what is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import landsat_downsample as ld
from benchmarks.steady import decode, target_of
from landsat_downsample.execution import threads
from landsat_downsample.model.policy import Policy
from landsat_downsample.pipeline.band import reduce_target
from landsat_downsample.storage.fetch_request import FetchRequest
from landsat_downsample.storage.remote import FileSink, Remote, begin_band
from landsat_downsample.testing import seaweed
from landsat_downsample.testing.seaweed import BUCKET, Seaweed

BANDS = ("SR_B2", "SR_B3", "SR_B4", "SR_B5")
FACTOR = 10
LINKS = ((0.0, 0.0), (0.03, 0.0), (0.03, 50e6))
"""(seconds that a proxy adds to each request, bytes per second of a connection; 0: as many as come).

The last leaves CPUs idle, as a store far away does.
"""
BOUND = 1.2


def fetch(target) -> None:
    """Only get every byte into a file: what `fetch` asks for, and nothing compared or decoded."""
    with tempfile.TemporaryFile() as file:
        remote = Remote(FetchRequest(target.band.location, etag=target.band.etag, policy=Policy()))
        begun = begin_band(remote, file.fileno())
        for span in begun.spans:
            remote.get(span, FileSink(file.fileno(), span[0]))


def each(work: Callable, targets: list, width: int) -> Callable[[], None]:
    """Work on all targets, as many at one time as a run would."""

    def run() -> None:
        if len(targets) == 1:
            work(targets[0])
            return
        with ThreadPoolExecutor(width) as pool:
            list(pool.map(work, targets))

    return run


@dataclass(frozen=True, slots=True)
class Taken:
    """What one call took."""

    wall: float
    """Seconds."""
    cpu: float
    """Seconds of this process."""
    busy: float
    """Share of the machine's cores that were at work, whoever used them; NaN where the system does not tell."""


def interleave(cases: dict[str, Callable], repeats: int) -> dict[str, list[Taken]]:
    """What each case took, in turn."""
    taken = {name: [] for name in cases}
    for _ in range(repeats):
        for name, call in cases.items():
            wall, cpu, idle = time.perf_counter(), time.process_time(), _idle()
            call()
            wall = time.perf_counter() - wall
            busy = 1 - (_idle() - idle) / wall / (os.cpu_count() or 1)
            taken[name].append(Taken(wall, time.process_time() - cpu, busy))
    return taken


def _idle() -> float:
    """Seconds for which cores of this machine had nothing to do, since it started."""
    try:
        words = Path("/proc/stat").read_text().split(maxsplit=6)
    except OSError:
        return float("nan")
    return (int(words[4]) + int(words[5])) / os.sysconf("SC_CLK_TCK")


def measure(scene: Path, repeats: int) -> list[dict]:
    """One row for each store, latency and number of bands: seconds by case, and whether the cells are right."""
    rows = []
    with ExitStack() as stack:
        for store, serve in (("S3", _s3), ("HTTP", _http)):
            upstream, prefix = stack.enter_context(serve(scene))
            for link in LINKS:
                # A link without limits needs no proxy, which would compute on the cores that are measured.
                place = f"http://127.0.0.1:{stack.enter_context(_proxy(upstream, link))}" if any(link) else upstream
                with _pointed_to(place):
                    base = prefix or f"{place}/{scene.name}"
                    rows += [_row(scene, base, repeats, (store, link), count) for count in (1, len(BANDS))]
    return rows


def _row(scene: Path, base: str, repeats: int, where: tuple[str, tuple[float, float]], count: int) -> dict:
    near = [target_of(scene, band, FACTOR) for band in BANDS[:count]]
    (plan,) = ld.plan(f"{base}/{scene.name}_MTL.json", to=scene.parent / "nowhere", factor=FACTOR, bands=BANDS[:count])
    far = list(plan.targets)
    reduce = reduce_target
    width = threads.threads_for(None, local=False)
    ours = reduce if count > 1 else partial(reduce, idle_threads=threads.cpus)  # as a run does
    cases = {
        "fetch": each(fetch, far, width),
        "decode": each(decode, near, threads.cpus()),
        "ours": each(ours, far, width),
        "from disk": each(ours, near, threads.cpus()),
    }
    results = [(reduce(one), reduce(other)) for one, other in zip(near, far, strict=True)]
    same = all((one.data == other.data).all() for one, other in results)
    requests = sum(other.requests for _, other in results)
    taken = interleave(cases, repeats)
    return {"store": where[0], "link": where[1], "bands": count, "same": same, "requests": requests, "taken": taken}


def ratio(row: dict) -> float:
    """Shortest wall time of ours over the longer of those of fetch and decode: noise only adds to wall time."""
    least = {name: min(one.wall for one in taken) for name, taken in row["taken"].items()}
    return least["ours"] / max(least["fetch"], least["decode"])


def busy(row: dict) -> float:
    """Share of the cores, those of servers and proxy with them, at work while ours was."""
    return _middle(row["taken"]["ours"], "busy")


def beside_cores(row: dict) -> float:
    """Ours over the shortest wall time that these cores allow, which serve, receive and decode the bytes."""
    cores = os.cpu_count() or 1
    fetched = min(one.busy * one.wall * cores for one in row["taken"]["fetch"])
    decoded = min(one.cpu for one in row["taken"]["decode"])
    least = {name: min(one.wall for one in taken) for name, taken in row["taken"].items()}
    return least["ours"] / max(least["fetch"], least["decode"], (fetched + decoded) / cores)


def _middle(taken: list[Taken], kind: str) -> float:
    return median(getattr(one, kind) for one in taken)


def table(rows: list[dict]) -> list[str]:
    """Markdown: what was measured, and how it compares with the bound."""
    names = list(rows[0]["taken"])
    lines = [
        f"Wall s, minimum / median (median CPU s of this process), factor {FACTOR}. Ratio: ours / max(fetch, decode)",
        f"of the minima; wanted: {BOUND} at most. Decode takes one thread a band; ours all cores for a lone one,",
        f"as a run does. Busy: share of the {os.cpu_count()} cores at work meanwhile, with servers and proxies, which",
        "compute on the same cores. Cores: ours / max(fetch, decode, CPU s of both, servers too, / cores), below 1 of",
        "which no reader can come here.",
        "",
        f"| store | latency ms | MB/s | bands | requests | {' | '.join(names)} | ratio | busy | cores | as from disk |",
        f"|{' --- |' * (len(names) + 9)}",
    ]
    for row in rows:
        costs = [
            f"{min(one.wall for one in taken):.2f} / {_middle(taken, 'wall'):.2f} ({_middle(taken, 'cpu'):.2f})"
            for taken in row["taken"].values()
        ]
        latency, rate = row["link"]
        link = f"{1000 * latency:.0f}", f"{rate / 1e6:.0f}" if rate else "any"
        facts = row["store"], *link, str(row["bands"]), str(row["requests"])
        ratios = f"{ratio(row):.2f}", f"{busy(row):.0%}", f"{beside_cores(row):.2f}"
        lines.append(f"| {' | '.join((*facts, *costs, *ratios, 'yes' if row['same'] else 'NO'))} |")
    return lines


# --- servers ------------------------------------------------------------------------------


@contextmanager
def _s3(scene: Path) -> Iterator[tuple[str, str]]:
    server = Seaweed().start()
    try:
        client = server.client()
        for path in scene.iterdir():
            client.put_object(Bucket=BUCKET, Key=f"{scene.name}/{path.name}", Body=path.read_bytes())
        yield server.endpoint, f"s3://{BUCKET}/{scene.name}"
    finally:
        server.stop()


@contextmanager
def _http(scene: Path) -> Iterator[tuple[str, None]]:
    with _process_of("serve", str(scene.parent)) as port:
        yield f"http://127.0.0.1:{port}", None


@contextmanager
def _proxy(upstream: str, link: tuple[float, float]) -> Iterator[int]:
    with _process_of("relay", upstream.rpartition(":")[2], *map(str, link)) as port:
        yield port


@contextmanager
def _process_of(*words: str) -> Iterator[int]:
    """This module as a server in a process of its own; its port."""
    command = [sys.executable, "-m", "benchmarks.network", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@contextmanager
def _pointed_to(endpoint: str) -> Iterator[None]:
    """S3 clients of this process talk to an endpoint meanwhile."""
    kept = dict(os.environ)
    for name, value in seaweed.environ(endpoint).items():
        os.environ.pop(name, None) if value is None else os.environ.update({name: value})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(kept)


async def serve(folder: str) -> None:
    """A plain web server of a folder, with ranges."""
    from aiohttp import web

    app = web.Application()
    app.router.add_static("/", folder)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


async def relay(port: str, latency: str, rate: str) -> None:
    """Pass bytes to a port of this machine and back; each request, a packet on loopback, waits first."""
    pace = 1 / float(rate) if float(rate) else 0.0

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wait: float, pace: float) -> None:
        free = 0.0
        try:
            while data := await reader.read(1 << 20):
                free = max(free, time.monotonic()) + len(data) * pace
                await asyncio.sleep(wait or max(0.0, free - time.monotonic()))
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", int(port), limit=1 << 20)
        await asyncio.gather(pump(reader, back, float(latency), 0), pump(there, writer, 0, pace))

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=1 << 20)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> int:
    from benchmarks.scenes import full_scene

    if sys.argv[1:2] in (["serve"], ["relay"]):
        asyncio.run({"serve": serve, "relay": relay}[sys.argv[1]](*sys.argv[2:]))
    parser = argparse.ArgumentParser(prog="python -m benchmarks.network", description=__doc__.partition(":")[0])
    parser.add_argument("--repeats", type=int, default=7, help="of each case (default 7)")
    rows = measure(full_scene(), parser.parse_args().repeats)
    print("\n".join(table(rows)))
    print(f"\npeak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
