"""How fast a run went, as geometry for a drawing: bins, ticks, paths. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

STATUSES = ("done", "skipped", "failed")

#: Widths of a bin of time, and steps between ticks, in seconds, that people read easily.
STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)

_UNITS = ((86_400, "days"), (3600, "hours"), (60, "minutes"), (1, "seconds"))
_BYTES = ((1 << 30, "GiB/s"), (1 << 20, "MiB/s"), (1 << 10, "KiB/s"), (1, "B/s"))

#: Room for the labels left of a panel, above it and below it, and the panel's own height, in pixels.
LEFT, RIGHT, ABOVE, BELOW, HEIGHT = 52, 12, 26, 22, 110


@dataclass(frozen=True, slots=True)
class Bins:
    """A run cut into equal times."""

    width: float
    """Seconds."""
    seconds: float
    """Of the run; the last bin may be shorter."""
    rates: np.ndarray
    """Bytes read a second in each bin."""
    ended: np.ndarray
    """(status, bin) scenes that ended, in the order of `STATUSES`."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One set of axes."""

    title: str
    top: float
    bottom: float
    ticks: tuple[tuple[float, str], ...]
    """(y, label)."""
    shapes: tuple[tuple[str, str], ...]
    """(class, SVG path)."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing, in pixels."""

    width: int
    height: int
    left: float
    right: float
    panels: tuple[Panel, ...]
    ticks: tuple[tuple[float, str], ...]
    """(x, label)."""
    unit: str
    """Of time."""


def cut(events: Iterable[tuple[float, float, int, str]], seconds: float, most: int) -> Bins | None:
    """Bin the scenes of a run.

    Parameters
    ----------
    events : iterable of (ended, seconds, bytes, status)
        Second of the run in which a scene ended, how long it took, bytes read for it. They are
        spread evenly over the time that it took.
    seconds : float
        Of the whole run.
    most : int
        Bins at most.

    Returns
    -------
    Bins or None
        None where there is nothing to draw.
    """
    events = [event for event in events if event[3] in STATUSES and 0 <= event[0] < 1e9]
    seconds = max([seconds, *(event[0] for event in events)])
    if not events or seconds <= 0:
        return None
    width = step_for(seconds, most)
    count = math.ceil(seconds / width)
    edges = np.minimum(np.arange(count + 1) * width, seconds)
    read, ended = np.zeros(count), np.zeros((len(STATUSES), count), int)
    for end, took, size, status in events:
        ended[STATUSES.index(status), min(int(end / width), count - 1)] += 1
        _spread(read, edges, (max(0.0, end - max(took, 1e-3)), end), size)
    return Bins(width, seconds, read / np.maximum(np.diff(edges), 1e-9), ended)


def _spread(read: np.ndarray, edges: np.ndarray, span: tuple[float, float], size: float) -> None:
    start, stop = span
    width = edges[1] - edges[0]
    first, last = (min(int(when / width), len(read) - 1) for when in span)
    if stop <= start:
        read[first] += size
        return
    shared = np.minimum(stop, edges[first + 1 : last + 2]) - np.maximum(start, edges[first : last + 1])
    read[first : last + 1] += size * np.maximum(shared, 0) / (stop - start)


def step_for(extent: float, most: int) -> float:
    """Choose the least step that cuts an extent of time into at most so many.

    >>> step_for(600, 60), step_for(3600 * 9, 6)
    (10, 7200)
    """
    for step in STEPS:
        if extent / step <= most:
            return step
    days = extent / most / 86_400
    return 86_400 * _nice(days)


def _nice(value: float) -> float:
    """The least 1, 2 or 5 times a power of ten that is not less."""
    power = 10 ** math.floor(math.log10(value))
    return float(next(factor * power for factor in (1, 2, 5, 10) if factor * power >= value * (1 - 1e-9)))


def levels(top: float, *, most: int = 4, whole: bool = False) -> list[float]:
    """Choose round values from 0 to at least ``top``.

    >>> levels(37.2), levels(2, whole=True)
    ([0.0, 10.0, 20.0, 30.0, 40.0], [0.0, 1.0, 2.0])
    """
    step = _nice(max(top, 1e-9) / most)
    if whole:
        step = max(1.0, step)
    return [step * k for k in range(math.ceil(top / step - 1e-9) + 1)] if top > 0 else [0.0, step]


def draw(bins: Bins, width: int) -> Chart:
    """Lay out two panels above one axis of time: bytes read a second, scenes that ended."""
    right, tops = width - RIGHT, (ABOVE, 2 * ABOVE + HEIGHT + 10)
    scale = (right - LEFT) / bins.seconds
    edges = [LEFT + scale * min(k * bins.width, bins.seconds) for k in range(len(bins.rates) + 1)]
    panels = (_rate_panel(bins, edges, tops[0]), _scene_panel(bins, edges, tops[1]))
    step = step_for(bins.seconds, max(2, (right - LEFT) // 70))
    size, unit = next((size, unit) for size, unit in _UNITS if step >= size or size == 1)
    ticks = tuple(
        (round(LEFT + scale * step * k, 1), f"{step * k / size:g}") for k in range(int(bins.seconds / step + 1e-9) + 1)
    )
    return Chart(width, tops[1] + HEIGHT + BELOW + 18, LEFT, right, panels, ticks, unit)


def _rate_panel(bins: Bins, edges: Sequence[float], top: float) -> Panel:
    most = float(bins.rates.max())
    size, unit = next((size, unit) for size, unit in _BYTES if most >= size or size == 1)
    marks = levels(most / size)
    bottom, scale = top + HEIGHT, HEIGHT / marks[-1]
    line = [f"M{edges[0]:.1f},{bottom:.1f}"]
    for rate, stop in zip(bins.rates, edges[1:], strict=True):
        line.append(f"V{bottom - scale * rate / size:.1f}H{stop:.1f}")
    return Panel(
        f"Read, {unit}", top, bottom, _ticks(marks, bottom, scale), (("read", f"{''.join(line)}V{bottom:.1f}Z"),)
    )


def _scene_panel(bins: Bins, edges: Sequence[float], top: float) -> Panel:
    marks = levels(float(bins.ended.sum(axis=0).max()), whole=True)
    bottom, scale = top + HEIGHT, HEIGHT / marks[-1]
    below, shapes = np.zeros(len(bins.rates)), []
    for status, counts in zip(STATUSES, bins.ended, strict=True):
        path = [
            # Half a pixel of air between bars, where they are wide enough for it.
            f"M{left:.1f},{bottom - scale * base:.1f}V{bottom - scale * (base + n):.1f}"
            f"H{max(right - 0.5, left + 0.5):.1f}V{bottom - scale * base:.1f}Z"
            for n, base, left, right in zip(counts, below, edges, edges[1:], strict=False)
            if n
        ]
        below = below + counts
        shapes += [(status, "".join(path))] if path else []
    return Panel(f"Scenes ended, in each {_span(bins.width)}", top, bottom, _ticks(marks, bottom, scale), tuple(shapes))


def _ticks(marks: Sequence[float], bottom: float, scale: float) -> tuple[tuple[float, str], ...]:
    return tuple((round(bottom - scale * mark, 1), f"{mark:,.10g}") for mark in marks)


def _span(seconds: float) -> str:
    size, unit = next((size, unit) for size, unit in _UNITS if seconds >= size or size == 1)
    count = seconds / size
    return unit.rstrip("s") if count == 1 else f"{count:g} {unit}"
