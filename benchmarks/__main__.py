"""Measure everything side by side and write RESULTS.md and growth.png: ``python -m benchmarks [--repeats N]``."""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

import landsat_downsample as ld
from benchmarks import steady, whole
from benchmarks.floor import Floor
from landsat_downsample import _process, _tiles
from landsat_downsample._reduce import _fast

HERE = Path(__file__).parent
CACHE = HERE / ".cache"
BANDS = ("SR_B2", "SR_B3", "SR_B4", "SR_B5", "QA_PIXEL")
SIZES = {"full": None, "quarter": (3840, 3840), "sixteenth": (1792, 2048)}
FACTOR = 10


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition(":")[0])
    parser.add_argument("--repeats", type=int, default=5, help="of each case; the median counts (default 5)")
    repeats = parser.parse_args().repeats
    scenes = {name: scene_of(name) for name in SIZES}
    floor = Floor.build(CACHE)
    tables = {band: steady.measure(scenes["full"], band, floor, repeats) for band in ("SR_B4", "QA_PIXEL")}
    sizes, counts = growth_in_pixels(scenes, repeats), growth_in_bands(scenes["full"], repeats)
    (path,) = scenes["full"].glob("*_SR_B4.TIF")
    right = _process.reduce_target(steady.target_of(scenes["full"], "SR_B4", FACTOR)).data
    others = whole.measure(scenes["full"], path, FACTOR, repeats, right)
    text = report(tables, others, sizes, counts, repeats)
    (HERE / "RESULTS.md").write_text(text)
    plot(sizes, counts)
    sys.stdout.write(text)
    return 0


def scene_of(name: str) -> Path:
    """A synthetic scene, made once."""
    folder = CACHE / name
    made = sorted(folder.glob("L*")) if folder.is_dir() else []
    if made and list(made[0].glob("*_MTL.txt")):
        return made[0]
    return ld.make_scene(folder, bands=BANDS if name == "full" else ("SR_B4",), size=SIZES[name], seed=1)


def growth_in_pixels(scenes: dict[str, Path], repeats: int) -> dict[float, float]:
    """Median CPU seconds of one band by millions of pixels."""
    targets = [steady.target_of(scene, "SR_B4", FACTOR) for scene in scenes.values()]
    size = {index: target.band.grid.width * target.band.grid.height / 1e6 for index, target in enumerate(targets)}
    cases = {index: lambda target=target: _process.reduce_target(target) for index, target in enumerate(targets)}
    return {size[index]: median(s) for index, s in steady.interleave(cases, repeats).items()}


def growth_in_bands(scene: Path, repeats: int) -> dict[int, float]:
    """Median CPU seconds of one process by the number of bands it reduces: 1 to 16."""
    target = steady.target_of(scene, "SR_B4", FACTOR)
    cases = {n: lambda n=n: [_process.reduce_target(target) for _ in range(n)] for n in (1, 2, 4, 8, 16)}
    return {n: median(s) for n, s in steady.interleave(cases, max(3, repeats // 2)).items()}


def exponent(costs: dict) -> float:
    """Growth between the smallest and the largest: 1 is linear."""
    import math

    low, high = min(costs), max(costs)
    return math.log(costs[high] / costs[low]) / math.log(high / low)


def report(tables, others, sizes, counts, repeats) -> str:
    lines = ["# What it costs", "", *machine(repeats)]
    for band, rows in tables.items():
        lines += ["", f"## Steady state: {band}", "", *steady_table(rows)]
    lines += ["", f"## Whole processes: one band (SR_B4), factor {FACTOR}", "", *whole_table(others)]
    lines += ["", "## Growth", "", "CPU seconds of a warm worker, one band SR_B4; see growth.png.", ""]
    lines += ["- " + ", ".join(f"{n:.1f} Mpx: {s:.3f}" for n, s in sorted(sizes.items()))]
    lines += [f"- exponent over {max(sizes) / min(sizes):.0f} x pixels: {exponent(sizes):.2f}"]
    lines += ["- " + ", ".join(f"{n} bands: {s:.2f}" for n, s in sorted(counts.items()))]
    lines += [f"- exponent over 1-16 bands: {exponent(counts):.2f}", ""]
    return "\n".join(lines)


def machine(repeats: int) -> list[str]:
    names = ("numpy", "rasterio", "deflate", "xarray", "rioxarray", "dask", "odc-stac", "stackstac", "rio-tiler")
    fast = "in use" if _fast.available() and _tiles.deflate else "NOT in use"
    return [
        f"{datetime.date.today()}; {processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end; "
        f"Python {platform.python_version()}; {', '.join(f'{name} {_version(name)}' for name in names)}. "
        f"Extension and tile reader {fast}.",
        "",
        f"Synthetic full-size bands, page cache warm. CPU is user + system seconds, minimum / median of {repeats} "
        "interleaved repeats. A ratio is between medians.",
    ]


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def steady_table(rows: list[dict]) -> list[str]:
    base = "floor" if "floor" in rows[0]["seconds"] else "plain decode"
    names = list(rows[0]["seconds"])
    lines = [f"Ratios to {base} (at the whole part of the factor).", ""]
    lines += [_row(["factor", *names, f"ours / {base}", "ours / decode", "ours / plain decode", "bit-identical"])]
    lines += [_row(["---"] * (len(names) + 5))]
    for row in rows:
        middle = {name: median(s) for name, s in row["seconds"].items()}
        costs = [f"{min(s):.3f} / {median(s):.3f}" for s in row["seconds"].values()]
        ratios = [f"{middle['ours'] / middle[name]:.2f}" for name in (base, "decode", "plain decode")]
        lines.append(_row([f"{row['factor']:g}", *costs, *ratios, "yes" if row["same"] else "NO"]))
    return lines


def whole_table(rows: list[dict]) -> list[str]:
    ours = next(row for row in rows if row["name"] == whole.OURS)
    base = median(cost.cpu for cost in ours["costs"])
    lines = [_row(["program", "CPU s min / median", "wall s min / median", "peak MiB", "CPU / ours", "answer"])]
    lines += [_row(["---"] * 6)]
    for row in rows:
        if not row["costs"]:
            lines.append(_row([row["name"], "", "", "", "", row["answer"]]))
            continue
        cpu, wall = ([getattr(cost, kind) for cost in row["costs"]] for kind in ("cpu", "wall"))
        peak = max(cost.memory for cost in row["costs"])
        figures = [f"{min(cpu):.2f} / {median(cpu):.2f}", f"{min(wall):.2f} / {median(wall):.2f}", f"{peak:.0f}"]
        lines.append(_row([row["name"], *figures, f"{median(cpu) / base:.2f}", row["answer"]]))
    return lines


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def plot(sizes: dict[float, float], counts: dict[int, float]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for axis, costs, label in zip(axes, (sizes, counts), ("million pixels of a band", "bands"), strict=True):
        x = sorted(costs)
        axis.plot(x, [costs[n] for n in x], "o-", label=f"measured, exponent {exponent(costs):.2f}")
        axis.plot(x, [costs[x[-1]] * n / x[-1] for n in x], "--", color="0.6", label="linear")
        axis.set(xscale="log", yscale="log", xlabel=label, ylabel="CPU s")
        axis.set_xticks(x, [f"{n:.3g}" for n in x])
        axis.set_yticks([costs[n] for n in x], [f"{costs[n]:.2g}" for n in x])
        axis.minorticks_off()
        axis.legend(frameon=False)
    figure.savefig(HERE / "growth.png", dpi=110)


if __name__ == "__main__":
    begun = time.perf_counter()
    code = main()
    print(f"took {time.perf_counter() - begun:.0f} s", file=sys.stderr)
    sys.exit(code)
