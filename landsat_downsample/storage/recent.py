"""What was used last, up to a bound: the caches that threads of one process share."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from landsat_downsample.storage.locks import process_lock

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

#: Of all of them: held for a few steps at a time.
_lock = process_lock()


class Recent(Generic[K, V]):
    """A mapping that forgets what was not used for longest; threads may share it, and no step walks all of it.

    Parameters
    ----------
    limit : int
        What all values may weigh.
    weigh : callable, optional
        Weight of a value, which does not change; 1 by default, so that the limit is a number of values.

    Examples
    --------
    >>> recent = Recent(2)
    >>> recent.put("a", 1), recent.put("b", 2), recent.get("a"), recent.put("c", 3), recent.get("b")
    (None, None, 1, None, None)
    """

    def __init__(self, limit: int, weigh: Callable[[V], int] = lambda value: 1) -> None:
        self._limit, self._weigh = limit, weigh
        self._values: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self.total = 0
        """Weight of all values."""

    def __len__(self) -> int:
        return len(self._values)

    def put(self, key: K, value: V) -> None:
        """Remember a value, in place of another of that key."""
        weight = self._weigh(value)
        with _lock:
            self.drop(key)
            self._values[key] = value, weight
            self.total += weight
            while self.total > self._limit:
                self.total -= self._values.popitem(last=False)[1][1]

    def get(self, key: K) -> V | None:
        """Give what is remembered, as used just now."""
        with _lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key][0]

    def setdefault(self, key: K, value: V) -> V:
        """Give what is remembered, else remember and give ``value``."""
        with _lock:
            found = self.get(key)
            if found is None:
                self.put(key, value)
            return value if found is None else found

    def drop(self, key: K) -> None:
        """Forget a value, if it is there."""
        with _lock:
            self.total -= self._values.pop(key, (None, 0))[1]
