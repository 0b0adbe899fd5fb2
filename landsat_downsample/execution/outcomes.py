"""What became of all scenes of a run, as a sequence that shows itself; of a long run most of it lies on a disk."""

from __future__ import annotations

import pickle
import tempfile
import threading
import weakref
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from typing import IO, Any, overload

from landsat_downsample.errors import LandsatDownsampleError
from landsat_downsample.model.safe_text import plain
from landsat_downsample.model.shown import Shown
from landsat_downsample.model.words import count_words, size_words

#: Outcomes that are shown, and reasons of failures.
SHOWN, REASONS = 20, 5

#: Outcomes that are kept in memory; those that come after lie in a file without a name, at 16 bytes each here.
KEPT = 10_000


@dataclass(frozen=True, slots=True, repr=False)
class Outcome:
    """What became of one scene.

    Examples
    --------
    >>> (outcome,) = ld.run(ld.plan(scene, "out", factor=10, bands="red"))
    >>> outcome.status, outcome.files, outcome.reason
    ('done', 1, '')
    >>> outcome.to_dict()["id"]
    'LC08_L2SP_192028_20230714_20230724_02_T1'
    """

    scene_id: str
    """Its product ID; the href of its source where that could not be opened."""
    status: str
    """``done``, ``skipped`` (it was there already) or ``failed``."""
    href: str | None = None
    """The product's STAC item."""
    error: LandsatDownsampleError | None = None
    files: int = 0
    """Rasters written."""
    bytes_in: int = 0
    """Bytes read: those that came over the network, else of the local files."""
    requests: int = 0
    """Requests to remote stores, retries included."""
    seconds: float = 0.0
    source: dict[str, Any] | None = None
    """What was asked for, as a line of a list of scenes holds it; free of secrets."""
    stamp: str = ""
    """What the record knows the product by, so that a later run can pass it by: see `batch.seen`."""

    @property
    def reason(self) -> str:
        """Why it failed, with its name; empty where it did not."""
        text = str(self.error or "")
        return text if not text or self.scene_id in text else f"{self.scene_id}: {text}"

    def __repr__(self) -> str:
        if self.error:
            text = f"{self.scene_id}: failed, {type(self.error).__name__}: {self.error}"
        else:
            work = f", {count_words(self.files, 'file')}, {size_words(self.bytes_in)} read in {self.seconds:.1f} s"
            text = f"{self.scene_id}: {self.status}{work if self.files else ''}, {self.href}"
        return plain(f"<Outcome {text}>", 500)

    def to_dict(self) -> dict[str, Any]:
        """Describe it in JSON types: a line of ``outcomes.ndjson``."""
        return {
            "id": self.scene_id,
            "status": self.status,
            "href": self.href,
            "files": self.files,
            "bytes_in": self.bytes_in,
            "requests": self.requests,
            "seconds": round(self.seconds, 3),
            "cause": type(self.error).__name__ if self.error else None,
            "error": str(self.error) if self.error else None,
            **({"stamp": self.stamp} if self.stamp else {}),
            **(self.source or {}),
        }


class Outcomes(Sequence[Outcome]):
    """What became of each scene; slices are of the same kind.

    Parameters
    ----------
    given : iterable of Outcome
        The first ones.
    kept : int, optional
        How many are kept in memory.

    Examples
    --------
    >>> outcomes = ld.run(ld.plan(scene, "out", factor=10, bands="red"))
    >>> len(outcomes), outcomes[0].status, [outcome.files for outcome in outcomes]
    (1, 'done', [1])
    """

    def __init__(self, given: Iterable[Outcome] = (), *, kept: int | None = None) -> None:
        self._limit, self._lock = KEPT if kept is None else kept, threading.Lock()
        self._kept: list[Outcome] = []
        self._file: IO[bytes] | None = None
        self._numbers, self._places = array("q"), array("q")
        """What each is ordered by, as they came; and where it is: in memory from -1 down, in the file from 0 up."""
        self._order: Sequence[int] | None = None
        for number, outcome in enumerate(given):
            self.add(number, outcome)

    def add(self, number: int, outcome: Outcome) -> None:
        """Take an outcome, whose place in the order is that of its number."""
        self._places.append(self._place(outcome))
        self._numbers.append(number)
        self._order = None

    def _place(self, outcome: Outcome) -> int:
        if len(self._kept) >= self._limit:
            try:
                with self._lock:
                    if self._file is None:
                        self._file = tempfile.TemporaryFile(prefix="landsat-downsample-")  # noqa: SIM115
                        weakref.finalize(self, self._file.close)
                    place = self._file.seek(0, 2)
                    self._file.write(pickle.dumps(outcome, pickle.HIGHEST_PROTOCOL))
                return place
            except Exception:  # no room, or what does not become a pickle: memory takes it
                pass
        self._kept.append(outcome)
        return -len(self._kept)

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> Outcome: ...
    @overload
    def __getitem__(self, index: slice) -> Outcomes: ...
    def __getitem__(self, index: int | slice) -> Outcome | Outcomes:
        if self._order is None:
            self._order = array("q", sorted(range(len(self)), key=self._numbers.__getitem__))
        if isinstance(index, slice):
            return Outcomes((self._at(self._places[one]) for one in self._order[index]), kept=self._limit)
        return self._at(self._places[self._order[index]])

    def _at(self, place: int) -> Outcome:
        if place < 0 or self._file is None:
            return self._kept[-place - 1]
        with self._lock:
            self._file.seek(place)
            found: Outcome = pickle.load(self._file)
        return found

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(_same, self, other))

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (list(self),)

    def _shown(self) -> Shown:
        counts = Counter(one.status for one in self)
        said = ", ".join(f"{counts[status]} {status}" for status in ("done", "skipped", "failed") if counts[status])
        # What failed comes first: of many scenes nobody would find it.
        first = nsmallest(SHOWN, self, key=lambda one: one.error is None)
        rows = [
            (one.scene_id, one.status, str(one.files), size_words(one.bytes_in), f"{one.seconds:.1f}") for one in first
        ]
        below = [f"and {len(self) - SHOWN} more"] if len(self) > SHOWN else []
        failed = [one for one in first if one.error]
        below += [one.reason for one in failed[:REASONS]]
        below += [f"and {len(failed) - REASONS} more failed, as their errors say"] if len(failed) > REASONS else []
        head = f"{count_words(len(self), 'scene')}: {said}" if self else "no scenes"
        columns = ("scene", "status", "files", "read", "seconds") if rows else ()
        return Shown((head,), columns, tuple(rows), tuple(below))

    def __repr__(self) -> str:
        return self._shown().text()

    def _repr_html_(self) -> str:
        return self._shown().html()


def _same(one: object, other: object) -> bool:
    return one is other or one == other
