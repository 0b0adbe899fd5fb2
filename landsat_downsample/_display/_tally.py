"""How far a run is: counted from its steps, with the time handed in. Pure."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from landsat_downsample._run import Progress

#: Seconds that a rate looks back, and bands that it counts at least: bytes are told of when a band is
#: done, so that with slow bands half a minute may hold none.
RATE_SECONDS, RATE_BANDS = 30.0, 8

#: The same for the pace that tells what time is left, which should not jump.
PACE_SECONDS, PACE_BANDS = 300.0, 64


@dataclass(slots=True)
class InHand:
    """A scene whose bands are at work."""

    scene_id: str
    bands: int
    done: int = 0


@dataclass(slots=True)
class Tally:
    """What has been done, and what seems to be left."""

    scenes: int | None
    """Sources of the run; None as long as nobody knows."""
    begun: float
    """When the run began, by the clock that tells `take` the time."""
    in_hand: dict[int, InHand] = field(default_factory=dict)
    ended: Counter[str] = field(default_factory=Counter)
    """Scenes by status."""
    bands: int = 0
    """Bands done."""
    bytes_in: int = 0
    _opened: int = 0
    """Scenes whose number of bands is known."""
    _expected: int = 0
    """Bands of those."""
    _dropped: int = 0
    """Bands of failed scenes that will never be done."""
    _samples: deque[tuple[float, int]] = field(default_factory=deque)
    """When a band was done, and its bytes."""

    def take(self, step: Progress, now: float) -> None:
        """Count a step."""
        # By the plan itself: of two sources of one scene, the second is refused while the first is in hand.
        key = id(step.plan)
        if step.plan is not None and not step.outcome and key not in self.in_hand:
            self.in_hand[key] = InHand(step.scene_id, len(step.plan.targets))
            self._opened += 1
            self._expected += len(step.plan.targets)
        if step.done:
            self.in_hand[key].done += 1
            self.bands += 1
            self.bytes_in += step.done.bytes_in
            self._samples.append((now, step.done.bytes_in))
            while len(self._samples) > PACE_BANDS and self._samples[0][0] < now - PACE_SECONDS:
                self._samples.popleft()
        if step.outcome:
            scene = self.in_hand.pop(key, None)
            self._dropped += scene.bands - scene.done if scene else 0
            self.ended[step.outcome.status] += 1

    @property
    def scenes_ended(self) -> int:
        return sum(self.ended.values())

    @property
    def scenes_total(self) -> int | None:
        """Sources of the run, never fewer than were seen."""
        return None if self.scenes is None else max(self.scenes, self.scenes_ended + len(self.in_hand))

    @property
    def bands_total(self) -> int | None:
        """Bands of the run: counted for scenes that have begun, by their mean for the others."""
        left = self._scenes_left()
        if left and not self._opened:
            return None
        known = self._expected - self._dropped
        return None if left is None else known + (round(left * self._expected / self._opened) if left else 0)

    @property
    def is_estimate(self) -> bool:
        """Whether `bands_total` is more than a count."""
        return self._scenes_left() != 0

    def _scenes_left(self) -> int | None:
        """Scenes that have not begun."""
        total = self.scenes_total
        return None if total is None else total - self.scenes_ended - len(self.in_hand)

    def elapsed(self, now: float) -> float:
        return max(now - self.begun, 0.0)

    def rate(self, now: float) -> float | None:
        """Bytes per second lately; None as long as there is nothing to tell."""
        count, total, seconds = self._lately(now, RATE_SECONDS, RATE_BANDS)
        return total / seconds if count and seconds > 0 else None

    def seconds_left(self, now: float) -> float | None:
        """Seconds until the last band is done, if bands go on as they did lately."""
        total, (count, _, seconds) = self.bands_total, self._lately(now, PACE_SECONDS, PACE_BANDS)
        return None if total is None or not count else max(total - self.bands, 0) * seconds / count

    def mean_rate(self, now: float) -> float | None:
        """Bytes per second since the beginning."""
        seconds = self.elapsed(now)
        return self.bytes_in / seconds if seconds > 0 else None

    def _lately(self, now: float, seconds: float, least: int) -> tuple[int, int, float]:
        """Bands, bytes and seconds of the latest stretch of time."""
        count = total = 0
        since = self.begun
        for when, size in reversed(self._samples):
            if count >= least and when < now - seconds:
                since = when
                break
            count, total = count + 1, total + size
        return count, total, max(now - since, 0.0)
