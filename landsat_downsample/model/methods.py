"""Reducers and policies that users may name."""

from __future__ import annotations

from landsat_downsample.errors import UsageError
from landsat_downsample.model.nearest import did_you_mean

METHODS = ("mean", "median", "min", "max", "sum", "std", "rms", "mode", "nearest", "circular")

#: What no class or code survives.
_COMPUTED = ("mean", "median", "sum", "std", "rms", "circular")

POLICIES = ("conservative", "majority", "mode", "nearest")


def check_policy(policy: str) -> str:
    """Return a known policy name, or raise UsageError."""
    if policy not in POLICIES:
        near = did_you_mean(policy, POLICIES)
        raise UsageError(f"qa policy {policy!r} is unknown{near}: choose one of {', '.join(POLICIES)}")
    return policy


def check_method(method: str | None, kind: str, name: str) -> None:
    """Refuse, by UsageError, a reducer that makes of bits or classes what they do not say."""
    if kind == "bits" and method not in (None, "mode", "nearest"):
        raise UsageError(
            f"method {method!r} for {name} is refused: its values are bits, and the {method} of two codes "
            f"is a third code or none; use mode or nearest, or qa for all quality bands"
        )
    if kind == "class" and method in _COMPUTED:
        raise UsageError(f"method {method!r} for {name} is refused: its values are classes; use mode or nearest")
