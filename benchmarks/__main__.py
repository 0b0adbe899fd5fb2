"""Measure everything side by side and write RESULTS.md and growth.png: ``python -m benchmarks [--repeats N]``."""

from __future__ import annotations

import argparse
import compileall
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import landsat_downsample
from benchmarks import (
    bounds,
    cluster,
    cube_peers,
    cubes,
    grids,
    growth,
    machine,
    memory,
    network,
    report,
    scenes,
    several,
    steady,
    whole,
)
from benchmarks.floor import Floor
from benchmarks.scenes import CACHE

HERE = Path(__file__).parent
FACTOR = 10
VALUES, FLAGS = "SR_B4", "QA_PIXEL"

HOW = """\
Synthetic bands, laid out as USGS lays them out, all files in the page cache. Cases run in turn, each round beginning
with another one; a figure is the median of {repeats} rounds and a ratio is between medians. CPU is user + system.
Answers are compared with exact means (integer sums by NumPy, rounded half to even). What is fair and what is not
stands at the head of steady.py, grids.py, whole.py and peers.py."""
STEADY = """\
CPU seconds. floor: floor.c, no more than inflating, undoing the predictor and adding up (its whole part for a broken
factor). decode: our reader without a reduction; plain: the same without C, by GDAL and NumPy. exact: the mean at whole
factors equals NumPy's integer sums; at broken ones, and for QA_PIXEL, our two code paths (C, NumPy) give the same."""
GRIDS = f"""\
CPU seconds. A scene of {len(scenes.EIGHT)} bands, the geometry of its cells made anew each time and shared by all,
beside blocks of the same size in the scene's zone; QA_PIXEL gives flags and fractions. Peers that take minutes a band
were given cells in the middle, once, their pixels decoded beforehand; what a pixel costs is compared. The heads of
grids.py and grid_peers.py tell more."""
CUBES = """\
Of eight bands, one thread, shards of 20 dates. The peer copies decoded cells into arrays of the same shards by the
simplest loop that is right; it keeps no coordinates, cannot grow, and leaves half a store where it is killed."""
STORES = """\
Eight bands, once each, a process each with what it starts. Ours writes products (COGs, metadata, items) and then the
store; peers the store alone: averages of full-resolution pixels, QA_PIXEL by nearest neighbour. See cube_peers.py."""
WHOLE = """\
Continuous bands by average, QA_PIXEL by nearest neighbour where ours reduces flag by flag and gives fractions.
Only ours writes COGs, metadata and a browse picture: gdal_translate writes plain, uncompressed tiles, which is the
cheapest that it can, and peers in Python only arrays. Peak of the largest process."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; return 0 whether the bounds are met or not."""
    asked = _parser().parse_args(argv)
    # As pip does with peers: under PYTHONDONTWRITEBYTECODE each process compiles anew, a third of a lone band's CPU.
    for package in (Path(landsat_downsample.__file__).parent, HERE):
        compileall.compile_dir(package, quiet=1)
    before, scene = machine.load(), _said("scene", lambda: scenes.full_scene(CACHE, asked.size and tuple(asked.size)))
    floor = Floor.build(CACHE)
    text, picture = measured(scene, floor, asked)
    head = ["# What it costs", "", *machine.described(before, machine.load()), "", HOW.format(repeats=asked.repeats)]
    text = "\n".join([*head, *text, ""])
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "RESULTS.md").write_text(text)
    picture(asked.out / "growth.png")
    sys.stdout.write(text)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition(":")[0])
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="of each case; the median counts (5)")
    parser.add_argument(
        "--size", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"), help="of the scene, in pixels (that of a real one)"
    )
    parser.add_argument("--out", type=Path, default=HERE, metavar="FOLDER", help="for RESULTS.md and growth.png")
    return parser


def measured(scene: Path, floor: Floor | None, asked: argparse.Namespace) -> tuple[list[str], Callable[[Path], None]]:
    """Lines of the report, and what draws the picture to a path."""
    tables = {
        band: _said(f"steady state, {band}", lambda band=band: steady.measure(scene, band, floor, asked.repeats))
        for band in (VALUES, FLAGS)
    }
    five = _said("statistics", lambda: several.measure(scene, VALUES, asked.repeats))
    extra = _said("memory", lambda: memory_of(scene))
    others = _said("other grids", lambda: grids.measure(scene, asked.repeats))
    store = _said("a cube", lambda: cubes.measure(scene, asked.repeats))
    days = _said("three dates", lambda: scenes.dates(CACHE, asked.size and tuple(asked.size)))
    stores = _said("scenes to a store", lambda: cube_peers.measure(days, FACTOR))
    programs = _said("whole processes", lambda: whole.measure(scene, FACTOR, asked.repeats))
    ways = _said("workers", lambda: cluster.measure(scene, asked.repeats))
    remote = _said("over the network", lambda: network.measure(scene, asked.repeats))
    small = scenes.SEED_SIZE if asked.size is None else (256, 256)
    bands = _said("bands that grow", lambda: scenes.growing_bands(CACHE, small))
    sizes = _said("growth in pixels", lambda: growth.in_pixels(bands, FACTOR, asked.repeats))
    counts = _said("growth in bands", lambda: growth.in_bands(scene, FACTOR, asked.repeats))
    costs = _costs(programs)
    lines = _steady_sections(tables, extra)
    lines += ["", f"Statistics of {VALUES} ({several.FIVE}) from one read, encoded and stored:", ""]
    lines += report.statistics_table(five) + _grids_section(others)
    lines += ["", "## A cube of a hundred products", "", CUBES, "", *report.cubes_table(store)]
    lines += ["", f"{len(days)} full-size scenes to a store: run and cube beside others", "", STORES, ""]
    lines += report.stores_table(stores)
    lines += _whole_sections(programs)
    lines += [
        "",
        "## Workers",
        "",
        f"{len(scenes.TEN)} bands, warm, factor {FACTOR}; starting and ending left out.",
        "",
    ]
    lines += [*report.cluster_table(ways), "", "## Over the network", "", *network.table(remote), ""]
    lines += ["## Growth", "", "CPU seconds of a warm worker; see growth.png.", ""]
    lines += report.growth_lines(sizes, counts, costs)
    verdicts = [
        *bounds.of_steady(*tables.values()),
        *bounds.of_statistics(five),
        *bounds.of_memory(extra),
        *bounds.of_grids(others),
        *bounds.of_cubes(store),
        *bounds.of_stores(stores),
        *bounds.of_whole(programs),
        *bounds.of_cluster(ways),
        *bounds.of_network(remote),
        *bounds.of_growth(sizes, counts),
    ]
    lines += ["", "## Bounds", "", *report.bounds_table(verdicts)]
    return lines, lambda out: growth.plot(sizes, counts, costs, out)


def memory_of(scene: Path) -> dict[str, float | None]:
    """MiB of one band beyond imports; the products of a factor of 2 are 25 times those of 10."""
    cases = {(band, factor) for band in (VALUES, FLAGS) for factor in (2, FACTOR)}
    return {
        f"{band}, factor {factor}": memory.measure(scene, band, factor) for band, factor in sorted(cases, reverse=True)
    }


def _costs(programs: list[whole.Row]) -> dict[str, dict[int, float]]:
    """Median CPU seconds of ours and gdal_translate, if that is there, by the number of bands."""
    counts = {whole.ONE: 1, whole.SCENE: len(scenes.EIGHT)}
    return {
        name: {counts[row.group]: row.middle("cpu") for row in programs if row.name == name}
        for name in (whole.OURS, whole.TRANSLATE)
        if all(row.costs for row in programs if row.name == name)
    }


def _steady_sections(tables: dict[str, list[steady.Steady]], extra: dict[str, float | None]) -> list[str]:
    lines = ["", "## Steady state: a warm worker, one band after another", "", STEADY]
    for band, rows in tables.items():
        lines += ["", f"### {band}", "", *report.steady_table(rows)]
    lines += ["", "Memory at its peak beyond imports, reduction and COG together, in a fresh process:", ""]
    return lines + [f"- {name}: {'-' if grown is None else f'{grown:.0f} MiB'}" for name, grown in extra.items()]


def _grids_section(others: grids.Grids) -> list[str]:
    return ["", "## Other grids: a warm worker", "", GRIDS, "", *report.grids_lines(others)]


def _whole_sections(programs: list[whole.Row]) -> list[str]:
    lines = ["", f"## Whole processes, factor {FACTOR}", "", WHOLE]
    for group in (whole.ONE, whole.SCENE):
        rows = [row for row in programs if row.group == group]
        lines += ["", f"### {group[0].upper()}{group[1:]}", "", *report.whole_table(rows)]
    return lines


def _said(what: str, call: Callable):
    """Do it, and tell on stderr how long it took."""
    begun = time.perf_counter()
    found = call()
    print(f"{what}: {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
    return found


if __name__ == "__main__":
    sys.exit(main())
