"""Reducers and policies that users may name."""

from __future__ import annotations

from landsat_downsample.errors import UsageError
from landsat_downsample.model.nearest import did_you_mean

METHODS = ("mean", "median", "min", "max", "sum", "std", "rms", "mode", "nearest", "circular")

POLICIES = ("conservative", "majority", "mode", "nearest")


def check_policy(policy: str) -> str:
    """Return a known policy name, or raise UsageError."""
    if policy not in POLICIES:
        near = did_you_mean(policy, POLICIES)
        raise UsageError(f"qa policy {policy!r} is unknown{near}: choose one of {', '.join(POLICIES)}")
    return policy
