"""Tables of what was measured, in Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import median

from benchmarks.bounds import Bound
from benchmarks.cluster import Way, ceiling, speed_up
from benchmarks.cube_peers import Store
from benchmarks.cubes import Cubes
from benchmarks.grid_peers import AVERAGE
from benchmarks.grids import GRID, Grids
from benchmarks.growth import exponent
from benchmarks.several import Pairs
from benchmarks.steady import Steady
from benchmarks.whole import OURS, Row


def table(head: list[str], rows: Iterable[list[str]]) -> list[str]:
    """Lines of a table.

    Examples
    --------
    >>> table(["a", "b"], [["1", "2"]])
    ['| a | b |', '| --- | --- |', '| 1 | 2 |']
    """
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def figure(value: float, digits: int = 2) -> str:
    """A number, or a dash for what was not measured."""
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def steady_table(rows: list[Steady]) -> list[str]:
    """CPU seconds by factor and case, and the ratios of ours to the others."""
    names = [name for name in ("floor", "ours", "decode", "plain decode", "plain") if name in rows[0].seconds]
    others = [name for name in names if name not in ("ours", "plain")]
    head = ["factor", *names, *(f"ours / {name}" for name in others), "exact"]
    cells = []
    for row in rows:
        costs = [figure(row.middle(name), 3) for name in names]
        ratios = [figure(row.middle("ours") / row.middle(name)) for name in others]
        cells.append([f"{row.factor:g}", *costs, *ratios, "yes" if row.same else "NO"])
    return table(head, cells)


def statistics_table(pairs: Pairs) -> list[str]:
    """CPU seconds of the mean and of five statistics, by the cells, and their ratio."""
    rows = [[cells, figure(mean, 3), figure(five, 3), figure(five / mean)] for cells, (mean, five) in pairs.items()]
    return table(["cells", "mean", "all five", "all five / mean"], rows)


def cubes_table(found: Cubes) -> list[str]:
    """What a cube costs, and its reading."""
    rows = [
        ["written by ours, CPU s", figure(found.ours)],
        ["copied by the simplest loop, CPU s", figure(found.loop)],
        ["products opened by their items, wall s", figure(found.opened, 3)],
        ["one cell over all dates, wall s", figure(found.series, 3)],
        ["one date of one band, wall s", figure(found.map, 3)],
        ["one cell over 1000 dates, from disk, wall s", figure(found.long_series, 3)],
        ["one date of these, from disk, wall s", figure(found.long_map, 3)],
        ["both hold the same", "yes" if found.same else "NO"],
    ]
    return table(["what", "measured"], rows)


def stores_table(found: dict[str, Store]) -> list[str]:
    """What it takes to make a store of full-size scenes, and the ratios of ours to each peer."""
    ours, rows = found["ours"].cost, []
    for name, store in found.items():
        if store.cost is None or ours is None:
            rows.append([name, *["-"] * 5, store.answer])
            continue
        cost = store.cost
        ratios = [figure(ours.cpu / cost.cpu), figure(ours.memory / cost.memory)]
        rows.append([name, figure(cost.cpu), figure(cost.wall), f"{cost.memory:.0f}", *ratios, store.answer])
    return table(["made by", "CPU s", "wall s", "peak MiB", "ours / it, CPU", "memory", "answer"], rows)


def whole_table(rows: list[Row]) -> list[str]:
    """Costs of programs with the same work, and their ratios to ours."""
    ours = next(row for row in rows if row.name == OURS)
    base = {kind: ours.middle(kind) for kind in ("cpu", "wall")}
    head = ["program", "CPU s, min / median", "wall s, min / median", "peak MiB", "ours / it, CPU", "wall", "answer"]
    return table(head, [_whole_cells(row, base) for row in rows])


def _whole_cells(row: Row, base: dict[str, float]) -> list[str]:
    if not row.costs:
        return [row.name, *["-"] * 5, row.answer]
    columns = {kind: [getattr(cost, kind) for cost in row.costs] for kind in ("cpu", "wall", "memory")}
    costs = [f"{min(columns[kind]):.2f} / {median(columns[kind]):.2f}" for kind in ("cpu", "wall")]
    ratios = [figure(base[kind] / row.middle(kind)) for kind in ("cpu", "wall")]
    name = row.name if len(row.costs) > 1 else f"{row.name} (once)"
    return [name, *costs, f"{max(columns['memory']):.0f}", *ratios, row.answer or "-"]


def cluster_table(ways: list[Way]) -> list[str]:
    """Threads and workers beside each other."""
    head = ["where", "wall s", "bands at work, s", "time lost", "CPU s of the calling process"]
    cells = [
        [way.name, figure(way.wall), figure(way.working), f"{100 * way.lost:.1f} %", figure(way.cpu)] for way in ways
    ]
    return [
        *table(head, cells),
        "",
        f"Two workers are {speed_up(ways):.2f} x as fast as one, two processes without dask {ceiling(ways):.2f} x.",
    ]


def grids_lines(found: Grids) -> list[str]:
    """CPU seconds of scenes by grid; of one band, beside peers."""
    head = ["grid", "side of a cell, pixels", "scene", "scene, blocks", "ratio"]
    cells = [
        [
            grid,
            figure(side, 1),
            *(figure(found.middle(grid, case)) for case in ("cells", "blocks")),
            figure(found.ratio(grid, "cells", "blocks")),
        ]
        for grid, side in found.sides.items()
    ]
    lone, ours = found.middle("lone band", "cells"), found.middle("lone band", "blocks")
    lines = [
        *table(head, cells),
        "",
        f"- geometry of {GRID}, once a scene: {found.middle('geometry', 'anew'):.3f}; {found.kept:.0f} MiB are kept",
        f"- one band on {GRID}, geometry included: {lone:.3f}; on blocks of the same size: {ours:.3f}",
        f"- one band without C: {found.middle('without C', 'cells'):.2f}; on blocks:"
        f" {found.middle('without C', 'blocks'):.2f}",
        "",
    ]
    rows = []
    for peer in found.peers:
        seconds = found.middle(AVERAGE, "all") if peer.name == AVERAGE else peer.seconds
        costs = figure(seconds), figure(peer.pixels / 1e6), figure(1e6 * seconds / peer.pixels, 3)
        rows.append([peer.name, *costs, figure(found.beside(peer), 4), peer.answer])
    head = [f"one band on {GRID} by", "CPU s", "Mpx", "CPU s / Mpx", "ours / it", "answer"]
    return [*lines, *table(head, rows)]


def growth_lines(sizes: dict[float, float], counts: dict[int, float], programs: dict[str, dict]) -> list[str]:
    """CPU seconds by pixels and bands, with the exponents, and what one band more costs a whole program."""
    lines = [
        "- " + ", ".join(f"{n:.1f} Mpx: {s:.3f}" for n, s in sorted(sizes.items())),
        f"- exponent over {max(sizes) / min(sizes):.0f} x pixels: {exponent(sizes):.3f}",
        "- " + ", ".join(f"{n} bands: {s:.2f}" for n, s in sorted(counts.items())),
        f"- exponent over {min(counts)}-{max(counts)} bands: {exponent(counts):.3f}",
    ]
    for name, costs in programs.items():
        (one, first), (many, last) = sorted(costs.items())
        more = (last - first) / (many - one)
        lines.append(f"- {name}: {first:.2f} for {one} band, {last:.2f} for {many}, so {more:.2f} a band more")
    return lines


def bounds_table(bounds: list[Bound]) -> list[str]:
    """What was promised, and whether it holds."""
    return table(
        ["bound", "asked", "measured", "met"],
        [
            [
                f"{bound.name} ({bound.note})" if bound.note else bound.name,
                bound.asked,
                "not measured" if math.isnan(bound.measured) else f"{bound.measured:.3g}",
                "yes" if bound.met else "NO",
            ]
            for bound in bounds
        ],
    )
