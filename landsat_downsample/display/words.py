"""What is said of a run, in lines."""

from __future__ import annotations

from landsat_downsample.execution.progress import ProgressCounter
from landsat_downsample.model.words import count_words, duration_words, grouped, size_words

#: Runs of more scenes are told of by scene, not by band: 10 000 scenes have 200 000 bands.
SCENES_BY_BAND = 5

#: Seconds: a shorter time left is not shown.
LEAST_LEFT = 1.0


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


def is_told_by_scene(progress: ProgressCounter) -> bool:
    """Whether a run has too many bands to tell of each."""
    return progress.scenes_total is None or progress.scenes_total > SCENES_BY_BAND


def so_far(progress: ProgressCounter, now: float) -> str:
    """How far a run is, at the end of a line."""
    by_scene, rate, left = is_told_by_scene(progress), progress.rate(now), progress.seconds_left(now)
    facts = [_of(progress.scenes_ended, progress.scenes_total, "scenes")] if by_scene else []
    facts += [f"{progress.ended['failed']} failed"] if progress.ended["failed"] else []
    facts += [] if by_scene else [_of(progress.bands, progress.bands_total, "bands")]
    facts += [size_words(progress.bytes_in)] + ([f"{size_words(rate)}/s"] if rate else [])
    facts += [f"{duration_words(left)} left"] if left and left >= LEAST_LEFT else []
    return ", ".join(facts)


def share_done(progress: ProgressCounter) -> float | None:
    """Part of the run that is done, by its bands where they are known."""
    if total := progress.bands_total:
        skipped = progress.ended["skipped"] / (progress.scenes_total or 1)
        return skipped + (1 - skipped) * min(progress.bands / total, 1.0)
    scenes = progress.scenes_total
    return progress.scenes_ended / scenes if scenes else None


def scenes_words(progress: ProgressCounter) -> str:
    """Scenes that have ended, in words."""
    total, ended = progress.scenes_total, grouped(progress.scenes_ended)
    words = f"{ended} scenes" if total is None else f"{ended}/{grouped(total)} scenes"
    return words + "".join(
        f", {grouped(count)} {name}" for name in ("failed", "skipped") if (count := progress.ended[name])
    )


def figures(progress: ProgressCounter, now: float) -> str:
    """Bands, speed and time of a run, the most important first."""
    rate, left = progress.rate(now), progress.seconds_left(now)
    bands = grouped(progress.bands)
    if (total := progress.bands_total) is not None:
        bands += f"/{'~' if progress.is_estimate else ''}{grouped(total)}"
    facts = [f"{bands} bands", f"{size_words(rate or 0)}/s"]
    facts += [f"{duration_words(left)} left"] if left is not None else []
    return "  ".join([*facts, f"{size_words(progress.bytes_in)} read", f"{duration_words(progress.elapsed(now))}"])


def _of(count: int, total: int | None, noun: str) -> str:
    return f"{count} {noun}" if total is None else f"{count}/{total} {noun}"
