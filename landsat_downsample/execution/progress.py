"""How far a run is: counted from its steps, with the time handed in. Pure."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from landsat_downsample.execution.run import Progress

#: Seconds that a rate looks back, and bands that it counts at least: bytes are reported when a band is
#: done, so that with slow bands half a minute may hold none.
RATE_SECONDS, RATE_BANDS = 30.0, 8

#: The same for the pace that tells what time is left, which should not jump.
PACE_SECONDS, PACE_BANDS = 300.0, 64

#: Seconds within which bands that are done count as one sample, so that their number has a bound.
TICK = 0.05

#: Failures that are remembered.
LAST = 5

#: Characters that are kept of a failure's message.
MESSAGE = 2000


@dataclass(slots=True)
class InHand:
    """A scene whose bands are at work."""

    scene_id: str
    bands: int
    done: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """A scene that failed, in its error's words: not made safe to show."""

    scene_id: str
    cause: str
    """Class of the error."""
    message: str


@dataclass(slots=True)
class Sample:
    """Bands that were done at one time."""

    when: float
    bands: int
    bytes_in: int


@dataclass(slots=True)
class ProgressCounter:
    """What has been done, and what seems to be left; its size does not grow with the run."""

    scenes: int | None
    """Sources of the run; None as long as nobody knows."""
    begun: float = 0.0
    """When the run began, by the clock that tells `take` the time."""
    in_hand: dict[int, InHand] = field(default_factory=dict)
    ended: Counter[str] = field(default_factory=Counter)
    """Scenes by status: done, skipped, failed."""
    bands: int = 0
    """Bands done."""
    bytes_in: int = 0
    bytes_out: int = 0
    failures: deque[Failure] = field(default_factory=lambda: deque(maxlen=LAST))
    """The last ones."""
    _at_work: float | None = None
    """When the first step came that cost work: scenes that were there already are passed by in no time."""
    _opened: int = 0
    """Scenes whose number of bands is known."""
    _expected: int = 0
    """Bands of those."""
    _dropped: int = 0
    """Bands of failed scenes that will never be done."""
    _samples: deque[Sample] = field(default_factory=deque)

    def take(self, step: Progress, now: float) -> None:
        """Count a step."""
        if self._at_work is None and not (step.outcome and step.outcome.status == "skipped"):
            self._at_work = now
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
            self.bytes_out += sum(product.size for product in step.done.products)
            self._sample(now, step.done.bytes_in)
        if step.outcome:
            scene = self.in_hand.pop(key, None)
            self._dropped += scene.bands - scene.done if scene else 0
            self.ended[step.outcome.status] += 1
            if error := step.outcome.error:
                self.failures.append(Failure(step.scene_id, type(error).__name__, str(error)[:MESSAGE]))

    def _sample(self, now: float, size: int) -> None:
        if self._samples and now - self._samples[-1].when < TICK:
            self._samples[-1].bands += 1
            self._samples[-1].bytes_in += size
        else:
            self._samples.append(Sample(now, 1, size))
        while len(self._samples) > PACE_BANDS and self._samples[0].when < now - PACE_SECONDS:
            self._samples.popleft()

    @property
    def scenes_ended(self) -> int:
        """Scenes of which it is known what became of them."""
        return sum(self.ended.values())

    @property
    def scenes_total(self) -> int | None:
        """Sources of the run, never fewer than were seen."""
        return None if self.scenes is None else max(self.scenes, self.scenes_ended + len(self.in_hand))

    @property
    def bands_known(self) -> int:
        """Bands of the scenes that have begun, without those that a failed scene will never have."""
        return self._expected - self._dropped

    @property
    def bands_total(self) -> int | None:
        """Bands of the run: counted for scenes that have begun, by their mean for the others."""
        left = self._scenes_left()
        if left and not self._opened:
            return None
        return None if left is None else self.bands_known + (round(left * self._expected / self._opened) if left else 0)

    @property
    def is_estimate(self) -> bool:
        """Whether `bands_total` is more than a count."""
        return self._scenes_left() != 0

    def _scenes_left(self) -> int | None:
        """Scenes that have not begun."""
        total = self.scenes_total
        return None if total is None else total - self.scenes_ended - len(self.in_hand)

    def elapsed(self, now: float) -> float:
        """Seconds since the beginning."""
        return max(now - self.begun, 0.0)

    def rate(self, now: float) -> float | None:
        """Bytes per second lately; None as long as nothing is known."""
        count, total, seconds = self._lately(now, RATE_SECONDS, RATE_BANDS)
        return total / seconds if count and seconds > 0 else None

    def rate_over(self, now: float, seconds: float) -> float:
        """Bytes per second over the last so many seconds, `PACE_SECONDS` at most; 0 where nothing was read."""
        _, total, spent = self._lately(now, seconds, 0)
        return total / spent if spent > 0 else 0.0

    def seconds_left(self, now: float) -> float | None:
        """Seconds until the last band is done, if bands go on as they did lately; None while that is unknown."""
        failed, left = self.ended["failed"], self._scenes_left()
        if not self._opened and failed and left is not None and self._at_work is not None:
            return (now - self._at_work) / failed * left  # sources fail one after the other
        total, (count, _, seconds) = self.bands_total, self._lately(now, PACE_SECONDS, PACE_BANDS)
        return None if total is None or not count else max(total - self.bands, 0) * seconds / count

    def mean_rate(self, now: float) -> float | None:
        """Bytes per second since the beginning."""
        seconds = self.elapsed(now)
        return self.bytes_in / seconds if seconds > 0 else None

    def _lately(self, now: float, seconds: float, least: int) -> tuple[int, int, float]:
        """Bands, bytes and seconds of the latest stretch of time."""
        count = total = 0
        since = self.begun if self._at_work is None else self._at_work
        for sample in reversed(self._samples):
            if count >= least and sample.when < now - seconds:
                since = sample.when
                break
            count, total = count + sample.bands, total + sample.bytes_in
        return count, total, max(now - since, 0.0)
