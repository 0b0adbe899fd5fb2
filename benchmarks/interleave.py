"""The one way of measuring: cases in turn, so that a noisy moment strikes all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Sequence


def rounds(names: Sequence[Hashable], repeats: int) -> Iterator[list]:
    """The cases of each round; each round begins with another one, so that none always follows the same.

    Examples
    --------
    >>> list(rounds(["a", "b"], 2))
    [['a', 'b'], ['b', 'a']]
    """
    for number in range(repeats):
        start = number % len(names)
        yield [*names[start:], *names[:start]]


def cpu_seconds(cases: dict[Hashable, Callable], repeats: int) -> dict[Hashable, list[float]]:
    """CPU seconds (user and system, all threads of this process) of each case, one number a round."""
    seconds = {name: [] for name in cases}
    for names in rounds(list(cases), repeats):
        for name in names:
            begun = time.process_time()
            cases[name]()
            seconds[name].append(time.process_time() - begun)
    return seconds
