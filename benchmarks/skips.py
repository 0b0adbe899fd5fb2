"""Skipping: what a run costs for each scene whose product is there already, on a disk and in an S3 store.

``python -m benchmarks.skips [--scenes N] [--rounds N]``. One scene (19 bands, 25 files; its product 27) is reduced. The
others are its files under other names, empty but for the products' items, which the catalogue reads: a run that knows a
product by its listing opens nothing of it. They lie as USGS lays them out, and are listed in that order. The store
(SeaweedFS) computes on the same cores.
"""

from __future__ import annotations

import argparse
import http.client
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import landsat_downsample as ld
from benchmarks.network import _pointed_to
from landsat_downsample.api.carry_out import carry_out
from landsat_downsample.batch.journal import Journal
from landsat_downsample.batch.plans import Plans
from landsat_downsample.batch.requests import SceneRequest
from landsat_downsample.batch.seen import Seen
from landsat_downsample.execution.outcomes import Outcome, Outcomes
from landsat_downsample.execution.run import Progress, run_plans
from landsat_downsample.model.policy import Policy
from landsat_downsample.testing.seaweed import BUCKET, Seaweed

FACTOR = 10
#: Dates of one path and row in a year, as of one satellite.
DATES = 23
SUFFIX = "_downsampled"


def places(count: int) -> list[str]:
    """Folders of scenes as USGS lays them out: year, path, row, product ID."""
    found = []
    for number in range(count):
        frame, date = divmod(number, DATES)
        path, row = 1 + frame // 100, 1 + frame % 100
        day = time.strftime("%Y%m%d", time.gmtime(1672531200 + 86400 * (16 * date + path % 16)))
        found.append(f"oli-tirs/2023/{path:03}/{row:03}/LC08_L2SP_{path:03}{row:03}_{day}_20240101_02_T1")
    return found


def make(folder: Path, count: int) -> list[str]:
    """Scenes in ``folder/in``, the products of all of them in ``folder/out``; gives the places of the scenes."""
    model, found = ld.make_scene(folder / "model", size=(240, 220)), places(count)
    scene, name = folder / "in" / found[0], Path(found[0]).name
    _copy(model, scene, name, whole=True)
    ld.run(ld.plan(str(scene), folder / "out", factor=FACTOR))
    product = folder / "out" / (name + SUFFIX)
    item = (product / f"{product.name}.stac.json").read_bytes()
    for place in found[1:]:
        other = Path(place).name
        _copy(scene, folder / "in" / place, other)
        _copy(product, made := folder / "out" / (other + SUFFIX), other)
        (made / f"{made.name}.stac.json").write_bytes(item.replace(name.encode(), other.encode()))
    return found


def _copy(source: Path, target: Path, name: str, *, whole: bool = False) -> None:
    """Its files, of another scene by name; empty where they are not read."""
    target.mkdir(parents=True)
    old = source.name.removesuffix(SUFFIX)
    for path in source.iterdir():
        data = path.read_bytes().replace(old.encode(), name.encode()) if whole else b""
        (target / path.name.replace(old, name)).write_bytes(data)


def remember(plans: Plans, dest: str) -> None:
    """Write the record of a run that found all products whole."""
    seen = Seen.of(plans.requests, "")

    def outcome(request: SceneRequest) -> Outcome:
        look = seen.look(SceneRequest(request.entry, request.order))
        return Outcome(look.scene_id, "skipped", source=request.source, stamp=seen._stamp(look))

    with Journal(dest, entries=b"", total=len(plans)) as journal, ThreadPoolExecutor(8) as pool:
        for one in pool.map(outcome, plans.requests):
            journal(Progress(one.scene_id, outcome=one))


def upload(folder: Path, server: Seaweed) -> None:
    """Put scenes and products, all but the first one, into the store: by its filer, in a fifth of what S3 takes."""
    own = threading.local()

    def put(path: Path) -> None:
        if not hasattr(own, "filer"):
            own.filer = http.client.HTTPConnection("127.0.0.1", server.port - 1)
        own.filer.request("PUT", f"/buckets/{BUCKET}/{path.relative_to(folder)}", path.read_bytes())
        answer = own.filer.getresponse()
        answer.read()
        assert answer.status < 300, (path, answer.status)

    first = Path(places(1)[0]).name + SUFFIX
    paths = [*(folder / "in").rglob("*.*"), *(folder / "out").glob(f"*{SUFFIX}/*")]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, (path for path in paths if path.is_file() and path.parent.name != first)))


@dataclass(frozen=True, slots=True)
class Cost:
    """Milliseconds a scene, each the least of several rounds."""

    cpu: float
    server: float
    wall: float


def measure(sources: Sequence[str], dest: str, rounds: int, server: Seaweed | None = None) -> dict[str, Cost]:
    """What skipping them costs: as `run_plans` does it, and a whole run with record, report and catalogue."""
    ld.run(ld.plan(sources[0], dest, factor=FACTOR))
    plans = ld.plan(list(sources), dest, factor=FACTOR)
    remember(plans, dest)
    ld.catalogue(dest)
    os.sync()  # what was made just now is written by the same cores

    def skip() -> Outcomes:
        return run_plans(plans.requests, seen=Seen.of(plans.requests, ""))

    def whole() -> Outcomes:
        return carry_out(plans.requests, policy=Policy.from_environ(), style=None, record=True)

    return {
        name: _least(call, len(plans), rounds, server) for name, call in (("skipping", skip), ("the whole run", whole))
    }


def _least(call: Callable[[], Outcomes], scenes: int, rounds: int, server: Seaweed | None) -> Cost:
    taken = []
    for _ in range(rounds):
        wall, cpu, served = time.perf_counter(), time.process_time(), _cpu_of(server)
        outcomes = call()
        seconds = time.process_time() - cpu, _cpu_of(server) - served, time.perf_counter() - wall
        assert {one.status for one in outcomes} == {"skipped"}, outcomes
        taken.append([1000 * one / scenes for one in seconds])
    return Cost(*map(min, zip(*taken, strict=True)))


def _cpu_of(server: Seaweed | None) -> float:
    """Seconds that a store has computed (Linux)."""
    if server is None or server.process is None:
        return 0.0
    words = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def table(scenes: int, rows: dict[str, dict[str, Cost]]) -> list[str]:
    """Markdown: what a scene costs, and all of them take."""
    head = ("where", "what", "CPU ms a scene", "of the store", "wall ms a scene", f"wall s of {scenes}")
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * 2}{' --: |' * 4}"]
    for where, costs in rows.items():
        for what, cost in costs.items():
            figures = f"{cost.cpu:.2f} | {cost.server:.2f} | {cost.wall:.2f} | {cost.wall * scenes / 1000:.1f}"
            lines.append(f"| {where} | {what} | {figures} |")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.skips", description=__doc__.partition(":")[0])
    parser.add_argument("--scenes", type=int, default=10_000, help="that are there (default 10 000)")
    parser.add_argument("--rounds", type=int, default=3, help="of each case; the least counts (default 3)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="landsat-downsample-skips-") as name:
        folder, rows = Path(name), {}
        there = make(folder, asked.scenes)
        server = Seaweed().start()
        try:
            upload(folder, server)
            with _pointed_to(server.endpoint):
                sources = [f"s3://{BUCKET}/in/{place}" for place in there]
                rows["S3"] = measure(sources, f"s3://{BUCKET}/out", asked.rounds, server)
        finally:
            server.stop()
        rows["disk"] = measure([str(folder / "in" / place) for place in there], str(folder / "out"), asked.rounds)
    print("\n".join(table(asked.scenes, rows)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
