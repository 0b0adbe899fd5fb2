"""How the cost of a warm worker grows with pixels and with bands, and the picture of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks.interleave import cpu_seconds
from benchmarks.scenes import EIGHT
from benchmarks.steady import target_of
from landsat_downsample.pipeline.band import reduce_target

COUNTS = (1, 2, 4, 8, 16)


def in_pixels(bands: list[Path], factor: int, repeats: int) -> dict[float, float]:
    """Median CPU seconds of one band by its millions of pixels; nothing is subtracted."""
    targets = [target_of(path, "SR_B4", factor) for path in bands]
    size = [math.prod(target.band.grid.shape) / 1e6 for target in targets]
    cases = dict(zip(size, map(_reduction, targets), strict=True))
    return {number: median(seconds) for number, seconds in cpu_seconds(cases, repeats).items()}


def in_bands(scene: Path, factor: int, repeats: int) -> dict[int, float]:
    """Median CPU seconds by the number of bands, one after another: the seven continuous ones, again and again."""
    targets = [target_of(scene, band, factor) for band in EIGHT if band.startswith("SR_B")]
    cases = {n: _reduction(*(targets[k % len(targets)] for k in range(n))) for n in COUNTS}
    return {number: median(seconds) for number, seconds in cpu_seconds(cases, repeats).items()}


def _reduction(*targets) -> Callable:
    return lambda: [reduce_target(target) for target in targets]


def exponent(costs: dict[float, float]) -> float:
    """The power of the size that costs grow with: least squares over the logarithms of all points.

    Examples
    --------
    >>> exponent({1: 3.0, 2: 6.0, 4: 12.0})
    1.0
    """
    x, y = ([math.log(value) for value in values] for values in (costs, costs.values()))
    middle, height = sum(x) / len(x), sum(y) / len(y)
    slope = sum((a - middle) * (b - height) for a, b in zip(x, y, strict=True))
    return round(slope / sum((a - middle) ** 2 for a in x), 12)


def plot(sizes: dict[float, float], counts: dict[int, float], programs: dict[str, dict[int, float]], out: Path) -> None:
    """Draw costs beside lines of exponent 1, and whole programs by the number of their bands."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
    for axis, costs, label in zip(axes, (sizes, counts), ("million pixels of a band", "bands"), strict=False):
        _grown(axis, costs, label)
    for name, costs in programs.items():
        (one, first), (many, last) = sorted(costs.items())
        reported = f"{name.partition(' -r')[0]}:\n{(last - first) / (many - one):.2f} s a band more"
        axes[2].plot([one, many], [first, last], "o-", label=reported)
    axes[2].set(xlabel="bands of one process", ylabel="CPU s", title="whole programs", ylim=(0, None))
    axes[2].margins(y=0.3)
    axes[2].legend(frameon=False, fontsize="small", loc="upper left")
    figure.savefig(out, dpi=110)
    pyplot.close(figure)


def _grown(axis, costs: dict[float, float], label: str) -> None:
    x = sorted(costs)
    axis.plot(x, [costs[n] for n in x], "o-", label=f"measured, exponent {exponent(costs):.3f}")
    middle = math.exp(sum(math.log(costs[n] / n) for n in x) / len(x))
    axis.plot(x, [middle * n for n in x], "--", color="0.6", label="linear")
    axis.set(xscale="log", yscale="log", xlabel=label, ylabel="CPU s", title=f"warm worker, by {label}")
    axis.set_xticks(x, [f"{n:.3g}" for n in x])
    axis.set_yticks([costs[n] for n in x], [f"{costs[n]:.2g}" for n in x])
    axis.minorticks_off()
    axis.legend(frameon=False)
