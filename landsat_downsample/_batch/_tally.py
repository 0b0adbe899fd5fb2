"""What a run has done so far, counted from its steps. Pure: whoever counts tells the time."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from landsat_downsample._batch._record import plain
from landsat_downsample._run import Progress

#: Seconds over which the rate is taken.
MINUTE = 60.0

#: Failures told of in a sign of life.
LAST = 5


@dataclass(slots=True)
class Tally:
    """Counts of a run; their size does not grow with its scenes."""

    total: int | None = None
    """Scenes asked for; None where nobody knows yet."""
    ended: Counter[str] = field(default_factory=Counter)
    """Scenes by status: done, skipped, failed."""
    in_hand: dict[str, list[int]] = field(default_factory=dict)
    """Scenes at work: bands, and how many of them are done."""
    bands_done: int = 0
    bands_known: int = 0
    """Bands of the scenes that have begun; those that a failed scene will never have are taken off."""
    bytes_in: int = 0
    bytes_out: int = 0
    failures: deque = field(default_factory=lambda: deque(maxlen=LAST))
    began: float | None = None
    """Seconds into the run of the first step that cost work."""
    samples: deque = field(default_factory=lambda: deque([(0.0, 0)]))
    """(seconds, bytes in) over the last minute."""

    def take(self, step: Progress, now: float) -> None:
        """Count a step at ``now`` seconds into the run."""
        if self.began is None and not (step.outcome and step.outcome.status == "skipped"):
            self.began = now
        if step.begun and step.plan is not None:
            self.in_hand[step.scene_id] = [len(step.plan.targets), 0]
            self.bands_known += len(step.plan.targets)
        if step.done is not None:
            self.bands_done += 1
            self.bytes_in += step.done.bytes_in
            self.bytes_out += sum(product.size for product in step.done.products)
            if step.scene_id in self.in_hand:
                self.in_hand[step.scene_id][1] += 1
        if step.outcome is not None:
            self._end(step)

    def _end(self, step: Progress) -> None:
        bands, done = self.in_hand.pop(step.scene_id, (0, 0))
        self.bands_known -= bands - done
        self.ended[step.outcome.status] += 1
        if step.outcome.error is not None:
            cause = type(step.outcome.error).__name__
            text = plain(step.outcome.error, 500)
            self.failures.append({"id": plain(step.scene_id, 300), "cause": cause, "error": text})

    def sample(self, now: float) -> None:
        """Note the bytes so far, for the rate; one note older than a minute is kept."""
        self.samples.append((now, self.bytes_in))
        while len(self.samples) > 2 and self.samples[1][0] <= now - MINUTE:
            self.samples.popleft()

    def rate(self, now: float) -> float:
        """Bytes read a second over the last minute."""
        since, count = self.samples[0]
        return (self.bytes_in - count) / (now - since) if now > since else 0.0

    def eta(self, now: float) -> float | None:
        """Seconds to the end at the pace so far; scenes that were there already count for no work."""
        parts = sum(done / bands for bands, done in self.in_hand.values() if bands)
        worked = self.ended["done"] + self.ended["failed"] + parts
        if self.total is None or self.began is None or not worked:
            return None
        left = self.total - self.ended.total() - parts
        return max(0.0, (now - self.began) / worked * left)

    def facts(self, now: float) -> dict:
        """Describe it in JSON types: a part of ``status.json``."""
        eta = self.eta(now)
        scenes = {"total": self.total, **{name: self.ended[name] for name in ("done", "skipped", "failed")}}
        return {
            "scenes": scenes | {"in_hand": len(self.in_hand)},
            "bands": {"done": self.bands_done, "known": self.bands_known},
            "bytes": {"in": self.bytes_in, "out": self.bytes_out},
            "rate": round(self.rate(now), 1),
            "eta": None if eta is None else round(eta, 1),
            "failures": list(self.failures),
        }
