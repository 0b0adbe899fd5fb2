"""Reducers and policies that users may name."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from landsat_downsample.errors import UsageError
from landsat_downsample.model.bands import BandSpec
from landsat_downsample.model.nearest import did_you_mean

METHODS = ("mean", "median", "min", "max", "sum", "std", "rms", "count", "mode", "nearest", "circular")

#: What a continuous band may give beside its mean, each to a file of its own, and what it is called. In the order of
#: their files: the first one that is asked for stands for the band in the browse picture.
STATS = {
    "mean": "mean",
    "median": "median",
    "rms": "root mean square",
    "min": "minimum",
    "max": "maximum",
    "sum": "sum",
    "std": "standard deviation",
    "count": "area of the valid pixels, in pixels",
}

#: What no class or code survives.
_COMPUTED = ("mean", "median", "sum", "std", "rms", "circular")

POLICIES = ("conservative", "majority", "mode", "nearest")


def output_dtype(method: str, dtype: np.dtype) -> np.dtype:
    """Stored type of a reduced band: the source's, except for sums, deviations and counts.

    A count is float64 whatever the cells: it is exact where they cut pixels too, products of several grids stack,
    and a mean times a count does not overflow.
    """
    return np.dtype({"sum": "float64", "std": "float32", "count": "float64"}.get(method, dtype))


def check_stats(asked: Iterable[str]) -> tuple[str, ...]:
    """Return known statistics, each once and in the order of `STATS`, or raise UsageError."""
    asked = tuple(asked)
    if not asked:
        raise UsageError(f"stats is an empty list: name some of {', '.join(STATS)}, or leave it out for the mean")
    for stat in asked:
        if stat not in STATS:
            near = did_you_mean(str(stat), STATS)
            raise UsageError(f"stats {stat!r} is unknown{near}: choose some of {', '.join(STATS)}")
    return tuple(stat for stat in STATS if stat in asked)


def check_policy(policy: str) -> str:
    """Return a known policy name, or raise UsageError."""
    if policy not in POLICIES:
        near = did_you_mean(policy, POLICIES)
        raise UsageError(f"qa policy {policy!r} is unknown{near}: choose one of {', '.join(POLICIES)}")
    return policy


def check_method(method: str | None, spec: BandSpec) -> None:
    """Refuse, by UsageError, a reducer that makes of bits or classes what they do not say."""
    name = spec.name
    if spec.kind == "bits" and method not in (None, "mode", "nearest"):
        raise UsageError(
            f"method {method!r} for {name} is refused: its values are bits, and the {method} of two codes "
            f"is a third code or none; use mode or nearest, or qa for all quality bands"
        )
    computed = (*_COMPUTED, "min", "max", "count") if spec.fields else _COMPUTED
    if spec.kind == "class" and method in computed:
        raise UsageError(f"method {method!r} for {name} is refused: its values are classes; use mode or nearest")
