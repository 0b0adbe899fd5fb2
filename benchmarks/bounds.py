"""What was promised, beside what was measured. A bound that could not be measured is not met."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import mean

from benchmarks.cluster import Way, ceiling, speed_up
from benchmarks.cube_peers import Store
from benchmarks.cubes import Cubes
from benchmarks.grid_peers import AVERAGE, EXACT, SUMS
from benchmarks.grids import GRID, Grids
from benchmarks.growth import exponent
from benchmarks.network import BOUND, beside_cores, ratio
from benchmarks.peers import COARSEN, DECODE, ODC, STACKSTAC, THREADS
from benchmarks.several import Pairs
from benchmarks.steady import BETWEEN, Steady
from benchmarks.whole import HELP, NOTHING, ONE, OURS, PARALLEL, SCENE, TRANSLATE, Row

NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Bound:
    """One promise."""

    name: str
    measured: float
    """NaN where it could not be measured."""
    high: float = math.inf
    low: float = -math.inf
    unit: str = "x"
    note: str = ""
    """Which of several cases it is, for instance."""

    @property
    def met(self) -> bool:
        """Whether it holds."""
        return self.low <= self.measured <= self.high

    @property
    def asked(self) -> str:
        """The promise in words."""
        if self.low == self.high:
            return f"{self.low:g} {self.unit}"
        if self.low == -math.inf:
            return f"at most {self.high:g} {self.unit}"
        if self.high == math.inf:
            return f"at least {self.low:g} {self.unit}"
        return f"{self.low:g} to {self.high:g}"


def of_steady(values: list[Steady], flags: list[Steady]) -> list[Bound]:
    """A warm worker: values of a continuous band, flags of QA_PIXEL."""
    whole = {row.factor: row.middle("ours") / row.middle("floor") for row in values if row.factor == int(row.factor)}
    dear, ratio = _worst(whole)
    means = Bound("mean, CPU / fused floor, any factor", ratio, 1.35, note=f"worst: factor {dear:g}")
    beside = {row.factor: row.middle("ours") / row.middle("decode") for row in flags}
    dear, ratio = _worst(beside)
    note = f"worst: factor {dear:g}; at factor 10 {beside.get(10, NAN):.2f}"
    return [
        means,
        Bound("QA_PIXEL, flags and fractions, CPU / its decode by ours", ratio, 2.0, note=note),
        *(_weighted(rows, what) for rows, what in ((values, "mean"), (flags, "QA_PIXEL"))),
        Bound("factors whose cells are exact", _share(values + flags), 100, 100, unit="%"),
    ]


def _worst(ratios: dict[float, float]) -> tuple[float, float]:
    return max(ratios.items(), key=lambda item: (math.isnan(item[1]), item[1]))


def _share(rows: list[Steady]) -> float:
    return 100 * mean(row.same for row in rows)


def _weighted(rows: list[Steady], what: str) -> Bound:
    """Area weights beside blocks: a broken factor and the mean of the whole ones around it, same band."""
    cost = {row.factor: row.middle("ours") for row in rows}
    ratios = {broken: cost[broken] / mean(cost[whole] for whole in around) for broken, around in BETWEEN.items()}
    broken, ratio = _worst(ratios)
    reported = ", ".join(f"{factor:g} beside {' and '.join(map(str, BETWEEN[factor]))}" for factor in ratios)
    return Bound(f"area weights / blocks, CPU, {what}", ratio, 1.2, note=f"worst: factor {broken:g} ({reported})")


def of_statistics(pairs: Pairs) -> list[Bound]:
    """All statistics of a band beside its mean alone."""
    name = "five statistics stored, CPU / the mean alone"
    return [Bound(f"{name}, {cells}", five / one, 1.5) for cells, (one, five) in pairs.items()]


def of_memory(extra: dict[str, float | None]) -> list[Bound]:
    """MiB beyond imports, by what was measured."""
    return [
        Bound(f"memory beyond imports, {name}", NAN if grown is None else grown, 64, unit="MiB")
        for name, grown in extra.items()
    ]


def of_whole(rows: list[Row]) -> list[Bound]:
    """Whole processes."""
    known = {(row.group, row.name): row for row in rows}

    def ratio(group: str, kind: str, name: str) -> float:
        return known[group, OURS].middle(kind) / known[group, name].middle(kind)

    def peak(group: str) -> float:
        return max((cost.memory for cost in known[group, OURS].costs), default=NAN)

    peers = [
        Bound(f"scene, {reported} / {name}", ratio(SCENE, kind, name), 0.35)
        for name in (ODC, STACKSTAC, COARSEN)
        for kind, reported in (("cpu", "CPU"), ("wall", "wall"))
    ]
    return [
        Bound("scene, CPU / gdal_translate", ratio(SCENE, "cpu", TRANSLATE), 0.65),
        Bound("scene, wall / gdal_translate on all cores", ratio(SCENE, "wall", PARALLEL), 0.75),
        *peers,
        *_newest(ratio),
        Bound("one band, wall / gdal_translate", ratio(ONE, "wall", TRANSLATE), 1.0),
        Bound("one band, peak memory", peak(ONE), 150, unit="MiB"),
        Bound("scene, peak memory", peak(SCENE), 250, unit="MiB"),
        Bound("--help", known[NOTHING, HELP].middle("cpu"), 0.3, unit="CPU s"),
        Bound("answers of ours that are exact", _exact(rows), 100, 100, unit="%"),
    ]


def _newest(ratio: Callable[[str, str, str], float]) -> list[Bound]:
    """Beside the GDAL that is in rasterio: what its newest reader takes to decode, and its averages, on all cores."""
    return [
        Bound("scene, CPU / LIBERTIFF decoding alone, on all cores", ratio(SCENE, "cpu", DECODE), 0.85),
        Bound("scene, wall / LIBERTIFF decoding alone, on all cores", ratio(SCENE, "wall", DECODE), 1.0),
        Bound("scene, CPU / rasterio average, on all cores", ratio(SCENE, "cpu", THREADS), 0.6),
        Bound("scene, wall / rasterio average, on all cores", ratio(SCENE, "wall", THREADS), 0.5),
        Bound("one band, wall / LIBERTIFF decoding alone, on all cores", ratio(ONE, "wall", DECODE), 1.0),
        Bound("one band, wall / rasterio average, on all cores", ratio(ONE, "wall", THREADS), 0.6),
    ]


def _exact(rows: list[Row]) -> float:
    return 100 * mean(row.answer == "exact" for row in rows if row.name == OURS)


def of_network(rows: list[dict]) -> list[Bound]:
    """Remote bands, one and several, by store and link."""
    found = []
    for latency in sorted({row["link"][0] for row in rows}):
        worst = max((row for row in rows if row["link"][0] == latency), key=ratio)
        rate = f" at {worst['link'][1] / 1e6:.0f} MB/s" if worst["link"][1] else ""
        cores = f"beside what the cores allow {beside_cores(worst):.2f}"
        note = f"worst: {worst['store']}{rate}, bands: {worst['bands']}; {cores}"
        name = f"wall / max(fetch, decode), {1000 * latency:.0f} ms latency"
        found.append(Bound(name, ratio(worst), BOUND, note=note))
    return found


def of_growth(sizes: dict[float, float], counts: dict[int, float]) -> list[Bound]:
    """Exponents of the cost."""
    pixels = f"exponent over {max(sizes) / min(sizes):.0f} x pixels"
    bands = f"exponent over {min(counts)}-{max(counts)} bands"
    return [Bound(pixels, exponent(sizes), 1.05, 0.95), Bound(bands, exponent(counts), 1.05, 0.95)]


def of_cluster(ways: list[Way]) -> list[Bound]:
    """Workers of a LocalCluster."""
    note = f"two processes without dask: {ceiling(ways):.2f}"
    return [Bound("two worker processes / one, speed", speed_up(ways), low=1.85, note=note)]


def of_cubes(found: Cubes) -> list[Bound]:
    """A hundred products as one store."""
    return [
        Bound("a cube of 100 products / the simplest loop, CPU", found.ours / found.loop if found.same else NAN, 1.3),
        Bound("one cell of a cube over 100 dates", found.series, 0.1, unit="s"),
        Bound("one date of one band of a cube", found.map, 0.1, unit="s"),
        Bound("one cell of a cube over 1000 dates, from disk", found.long_series, 0.1, unit="s"),
        Bound("one of its dates, from disk", found.long_map, 0.1, unit="s"),
    ]


def of_stores(found: dict[str, Store]) -> list[Bound]:
    """Scenes to a store, beside peers."""
    ours, verdicts = found["ours"].cost, []
    for name, store in found.items():
        if name == "ours" or (store.cost is None and store.answer.startswith("absent")):
            continue
        both = ours is not None and store.cost is not None
        cpu, memory = (ours.cpu / store.cost.cpu, ours.memory / store.cost.memory) if both else (NAN, NAN)
        verdicts.append(Bound(f"run + cube / {name} to Zarr, CPU", cpu, 0.3))
        verdicts.append(Bound(f"run + cube / {name} to Zarr, peak memory", memory, 0.25))
    return verdicts


def of_grids(found: Grids) -> list[Bound]:
    """Cells of other projections."""
    by_size: dict[bool, dict[str, float]] = {True: {}, False: {}}
    for grid, side in found.sides.items():
        by_size[side >= 15][grid] = found.ratio(grid, "cells", "blocks")
    scenes = []
    for large, what, most in ((True, "15 pixels and more", 1.3), (False, "8 pixels", 1.6)):
        worst, ratio = _worst(by_size[large])
        name = f"a scene on other grids / blocks of the same size, CPU, cells of {what}"
        scenes.append(Bound(name, ratio, most, note=f"worst: {worst}"))
    lone = found.ratio("lone band", "cells", "blocks")
    return [
        Bound(f"geometry of {GRID}, once a scene", found.middle("geometry", "anew"), 0.25, unit="CPU s"),
        Bound(f"geometry of {GRID} that is kept", found.kept, 64, unit="MiB"),
        Bound(f"one band on {GRID}, geometry included / blocks, CPU", lone, 2.2),
        *scenes,
        Bound(f"one band on {GRID} without C / blocks without C", found.ratio("without C", "cells", "blocks"), 4),
        *(_beside(found, *peer) for peer in ((AVERAGE, 0.6), (SUMS, 0.02), (EXACT, 0.02))),
        Bound(f"cells of {GRID} that C and NumPy make alike", 100 * found.same, 100, 100, unit="%"),
    ]


def _beside(found: Grids, name: str, most: float) -> Bound:
    (peer,) = (peer for peer in found.peers if peer.name == name)
    note = peer.answer if peer.answer.startswith("absent") else ""
    return Bound(f"one band on {GRID}, geometry included / {name}, CPU", found.beside(peer), most, note=note)
