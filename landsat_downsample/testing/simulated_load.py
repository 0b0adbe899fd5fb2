"""Simulated load: CPU time spent on nothing, to try out schedulers, quotas and time limits."""

from __future__ import annotations

import random
import time

from landsat_downsample.errors import UsageError
from landsat_downsample.storage import cancellation

#: Seconds.
LONGEST = 3600.0


def check_spin(shortest: float, longest: float) -> None:
    """Refuse a span of seconds that makes no sense.

    Raises
    ------
    UsageError
        It is negative, too long, or ends before it begins.
    """
    if not 0 <= shortest <= longest <= LONGEST:
        raise UsageError(
            f"spin time from {shortest:g} to {longest:g} s: give 0 <= min <= max <= {LONGEST:g} seconds of CPU load"
        )


def spin(shortest: float, longest: float) -> float:
    """Keep one CPU busy for a random time.

    Parameters
    ----------
    shortest, longest : float
        Seconds.

    Returns
    -------
    float
        Seconds that it was.
    """
    check_spin(shortest, longest)
    seconds = random.uniform(shortest, longest)
    until = time.monotonic() + seconds
    count = 0
    while time.monotonic() < until:
        cancellation.check()
        for _ in range(10_000):
            count += 1
    return seconds
