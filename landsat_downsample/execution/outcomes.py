"""What became of all scenes of a run, as a list that shows itself."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from landsat_downsample.model.shown import Shown
from landsat_downsample.model.words import count_words, size_words

if TYPE_CHECKING:
    from landsat_downsample.execution.run import Outcome

#: Outcomes that are shown, and reasons of failures.
SHOWN, REASONS = 20, 5


class Outcomes(list["Outcome"]):
    """A list of what became of each scene."""

    def _shown(self) -> Shown:
        counts = Counter(one.status for one in self)
        said = ", ".join(f"{counts[status]} {status}" for status in ("done", "skipped", "failed") if counts[status])
        # What failed comes first: of many scenes nobody would find it.
        first = sorted(self, key=lambda one: one.error is None)[:SHOWN]
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
