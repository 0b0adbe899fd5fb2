"""A run in lines on stderr: plain ones for people, JSON for programs, failures alone where quiet is asked for."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Protocol

from landsat_downsample.execution.progress import ProgressCounter
from landsat_downsample.execution.run import Outcome, Progress
from landsat_downsample.model.safe_text import plain
from landsat_downsample.model.words import count_words, duration_words, grouped, size_words

#: Runs of more scenes get a line for each scene instead of each band: 10 000 scenes have 200 000 bands.
SCENES_BY_BAND = 5

#: Seconds: a shorter time left is not shown.
LEAST_LEFT = 1.0

STATUS_WORDS = {"done": "done", "skipped": "is there already, made the same way", "failed": "failed"}


class View(Protocol):
    """One style of telling what goes on. Its methods are called in one thread, but for `say` and `stopping`."""

    def open(self, facts: dict[str, Any]) -> None:
        """Begin: workers, scenes and dashboard are known."""

    def show(self, step: Progress, now: float) -> None:
        """Show a step of the run."""

    def fail(self, outcome: Outcome, trace: str) -> None:
        """Show that a scene failed, with the traceback of a bug."""

    def warn(self, message: str) -> None:
        """Show a warning."""

    def stopping(self, in_hand: int) -> None:
        """Show that no more scenes begin."""

    def close(self) -> None:
        """End what is drawn."""

    def summarise(self, progress: ProgressCounter, now: float, *, interrupted: bool) -> None:
        """Show what was done."""


def failure_line(outcome: Outcome) -> str:
    """Why a scene failed, with its name."""
    text = str(outcome.error)
    return text if outcome.scene_id in text else f"{outcome.scene_id}: {text}"


def stopping_line(in_hand: int) -> str:
    """Say that the scenes in hand are finished, and how to stop now."""
    return f"finishing {count_words(in_hand, 'scene')} in hand; Ctrl-C again to stop now"


def summary(progress: ProgressCounter, now: float, *, interrupted: bool = False) -> str:
    """What became of a run, in one line."""
    parts = [
        f"{grouped(progress.ended[status])} {status}"
        for status in ("done", "skipped", "failed")
        if progress.ended[status] or status == "done"
    ]
    total, rate = progress.scenes_total, progress.mean_rate(now)
    of = f" of {count_words(total, 'scene')}" if total is not None else f" of {grouped(progress.scenes_ended)}"
    end = f", {size_words(rate)}/s" if rate and progress.bytes_in else ""
    line = (
        f"{', '.join(parts)}{of} in {duration_words(progress.elapsed(now))}, {size_words(progress.bytes_in)} read{end}"
    )
    return line + ("; interrupted" if interrupted else "")


def is_batch(progress: ProgressCounter) -> bool:
    """Whether a run is of several scenes, and so worth a summary."""
    return (progress.scenes_total or progress.scenes_ended + len(progress.in_hand)) > 1


def say(line: str) -> None:
    """Print a line on stderr as the command line does."""
    _write(f"landsat-downsample: {plain(line)}\n")


def _write(text: str) -> None:
    """Write at once, as one piece; where nobody takes it the run still goes on."""
    with suppress(OSError):
        sys.stderr.write(text)
        sys.stderr.flush()


class Quiet:
    """Tells of failures only."""

    def open(self, facts: dict[str, Any]) -> None:
        """Nothing to show."""

    def show(self, step: Progress, now: float) -> None:
        """Nothing to show."""

    def fail(self, outcome: Outcome, trace: str) -> None:
        if trace:
            _write(trace)
        say(failure_line(outcome))

    def warn(self, message: str) -> None:
        """Nothing to show."""

    def stopping(self, in_hand: int) -> None:
        say(stopping_line(in_hand))

    def close(self) -> None:
        """Nothing to show."""

    def summarise(self, progress: ProgressCounter, now: float, *, interrupted: bool) -> None:
        """Nothing to show."""


class Plain(Quiet):
    """A line for each band, or for each scene where there are many."""

    def __init__(self, progress: ProgressCounter) -> None:
        self._progress = progress

    def open(self, facts: dict[str, Any]) -> None:
        if facts.get("dashboard"):
            say(f"dashboard: {facts['dashboard']}")

    def show(self, step: Progress, now: float) -> None:
        what = self._what(step)
        if what:
            _write(f"{plain(what)}; {self._facts(now)}\n")

    def _by_scene(self) -> bool:
        scenes = self._progress.scenes_total
        return scenes is None or scenes > SCENES_BY_BAND

    def _what(self, step: Progress) -> str | None:
        if step.done and not self._by_scene():
            return f"{step.done.name} of {step.scene_id} in {step.done.seconds:.1f} s"
        if not step.outcome or step.outcome.status == "failed":
            return None
        if step.outcome.status == "done":
            return f"{step.scene_id} done in {duration_words(step.outcome.seconds)}" if self._by_scene() else None
        return f"{step.scene_id} {STATUS_WORDS[step.outcome.status]}"

    def _facts(self, now: float) -> str:
        progress = self._progress
        rate, left = progress.rate(now), progress.seconds_left(now)
        facts = [_of(progress.scenes_ended, progress.scenes_total, "scenes")] if self._by_scene() else []
        facts += [f"{progress.ended['failed']} failed"] if progress.ended["failed"] else []
        facts += [] if self._by_scene() else [_of(progress.bands, progress.bands_total, "bands")]
        facts += [size_words(progress.bytes_in)] + ([f"{size_words(rate)}/s"] if rate else [])
        facts += [f"{duration_words(left)} left"] if left and left >= LEAST_LEFT else []
        return ", ".join(facts)

    def warn(self, message: str) -> None:
        say(f"warning: {message}")

    def summarise(self, progress: ProgressCounter, now: float, *, interrupted: bool) -> None:
        if is_batch(progress):
            say(summary(progress, now, interrupted=interrupted))


def _of(count: int, total: int | None, noun: str) -> str:
    return f"{count} {noun}" if total is None else f"{count}/{total} {noun}"


class Events:
    """A JSON object a line."""

    def open(self, facts: dict[str, Any]) -> None:
        _event("run-begun", facts)

    def show(self, step: Progress, now: float) -> None:
        if step.begun:
            _event("scene-begun", {"id": step.scene_id, "bands": len(step.plan.targets) if step.plan else None})
        if step.done:
            done = step.done
            facts = {"bytes_in": done.bytes_in, "requests": done.requests, "seconds": round(done.seconds, 3)}
            _event("band-done", {"id": step.scene_id, "band": done.name} | facts)
        if step.outcome:
            _event(f"scene-{step.outcome.status}", step.outcome.to_dict())

    def fail(self, outcome: Outcome, trace: str) -> None:
        """The event of the scene's end has the error."""
        if trace:
            _event("traceback", {"id": outcome.scene_id, "traceback": trace})

    def warn(self, message: str) -> None:
        _event("warning", {"message": message})

    def stopping(self, in_hand: int) -> None:
        _event("stopping", {"scenes_in_hand": in_hand})

    def close(self) -> None:
        """Nothing to show."""

    def summarise(self, progress: ProgressCounter, now: float, *, interrupted: bool) -> None:
        counts = {status: progress.ended[status] for status in ("done", "skipped", "failed")}
        facts = {"scenes": progress.scenes_total, "bands": progress.bands, "bytes_in": progress.bytes_in}
        seconds = {"seconds": round(progress.elapsed(now), 3), "interrupted": interrupted}
        _event("run-ended", counts | facts | seconds)


def _event(name: str, facts: dict[str, Any]) -> None:
    when = datetime.now(UTC).isoformat(timespec="milliseconds")
    _write(json.dumps({"time": when, "event": name} | facts) + "\n")
