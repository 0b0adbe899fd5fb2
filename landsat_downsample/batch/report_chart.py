"""How fast a run went: its scenes cut into bins of time, and those drawn as SVG in the colours of the page.

The lines of SVG are written here: matplotlib would take longer to load than the rest of a run, and more memory.
"""

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

#: Height of a drawing, in pixels; (first, last) row of pixels of both its panels; width of a letter.
HEIGHT, PANELS, LETTER = 330, ((22, 140), (174, 292)), 7


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
    return 86_400 * math.ceil(extent / most / 86_400)


def draw(bins: Bins, width: int) -> str:
    """Draw bytes read a second above scenes that ended, as an SVG element so many pixels wide."""
    byte, rate = next((size, unit) for size, unit in _BYTES if bins.rates.max() >= size or size == 1)
    rates, tops = bins.rates / byte, np.vstack([np.zeros_like(bins.ended[0]), bins.ended.cumsum(axis=0)])
    panels = (
        (f"Read, {rate}", ("read",), np.vstack([np.zeros_like(rates), rates]), _ticks(max(float(rates.max()), 1e-9))),
        (f"Scenes ended, in each {_span(bins.width)}", STATUSES, tops, _ticks(int(tops[-1].max()))),
    )
    left = 12 + LETTER * max(len(_label(tick)) for *_, ticks in panels for tick in ticks)
    scale = (width - 12 - left) / bins.seconds
    edges = left + scale * np.minimum(np.arange(len(rates) + 1) * bins.width, bins.seconds)
    parts = [_panel(panel, rows, edges) for panel, rows in zip(panels, PANELS, strict=True)]
    parts.append(_time_axis(bins.seconds, step_for(bins.seconds, max(2, width // 70)), (left, scale, width - 12)))
    size = f'width="{width}pt" height="{HEIGHT}pt" viewBox="0 0 {width} {HEIGHT}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-size="12">\n{"".join(parts)}</svg>\n'


def _panel(panel: tuple[str, Sequence[str], np.ndarray, list[float]], rows: tuple[int, int], edges: np.ndarray) -> str:
    """Draw areas above each other, each from one line of values to the next, with a title and ticks."""
    (title, names, lines, ticks), (top, bottom) = panel, rows
    left, right = edges[0], edges[-1]
    heights = bottom - lines * (bottom - top) / ticks[-1]
    parts = [_text((left, top - 8), "start", title, "ink")]
    for tick, y in zip(ticks, np.linspace(bottom, top, len(ticks)), strict=True):
        parts += [_line((left, y), (right, y), "line"), _text((left - 7, y + 4), "end", _label(tick), "soft")]
    for name, below, above in zip(names, heights, heights[1:], strict=False):
        x, there, back = edges.repeat(2)[1:-1], above.repeat(2), below.repeat(2)
        points = zip([*x, *x[::-1]], [*there, *back[::-1]], strict=True)
        line = f"; fill-opacity: 0.2; stroke: var(--{name})" if name == "read" else ""
        outline = " L ".join(_at(*point) for point in points)
        parts.append(f'<path d="M {outline} Z" style="fill: var(--{name}){line}"/>\n')
    return "".join([*parts, _line((left, bottom), (right, bottom), "soft")])


def _time_axis(seconds: float, step: float, frame: tuple[float, float, float]) -> str:
    """Draw ticks of time below both panels; `frame` is its left end, pixels a second, its right end."""
    second, unit = next((size, unit) for size, unit in _UNITS if step >= size or size == 1)
    (left, scale, right), parts = frame, []
    for number in range(int(seconds / step + 1e-6) + 1):
        x = left + scale * step * number
        parts += [_line((x, bottom), (x, bottom + 4), "soft") for _, bottom in PANELS]
        parts.append(_text((x, PANELS[-1][1] + 18), "middle", f"{number * step / second:g}", "soft"))
    return "".join([*parts, _text((right, HEIGHT - 2), "end", f"{unit} since the beginning", "soft")])


def _ticks(top: float) -> list[float]:
    """Choose round numbers from 0 up to at least `top`, four steps at most; whole ones for a whole number.

    >>> _ticks(7), _ticks(0.3)
    ([0, 2, 4, 6, 8], [0.0, 0.1, 0.2, 0.3])
    """
    unit = 10.0 ** math.floor(math.log10(top / 4))
    step = next(unit * many for many in (1, 2, 5, 10, 20) if top <= 4 * unit * many)
    if isinstance(top, int):
        step = max(1, round(step))
    return [round(number * step, 12) for number in range(math.ceil(top / step - 1e-9) + 1)]


def _label(tick: float) -> str:
    return f"{tick:,.10g}"


def _at(x: float, y: float) -> str:
    return f"{x:.1f} {y:.1f}"


def _line(start: tuple[float, float], end: tuple[float, float], colour: str) -> str:
    return f'<path d="M {_at(*start)} L {_at(*end)}" style="stroke: var(--{colour}); stroke-width: 0.8"/>\n'


def _text(place: tuple[float, float], anchor: str, text: str, colour: str) -> str:
    x, y = place
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" style="fill: var(--{colour})">{text}</text>\n'


def _span(seconds: float) -> str:
    size, unit = next((size, unit) for size, unit in _UNITS if seconds >= size or size == 1)
    count = seconds / size
    return unit.rstrip("s") if count == 1 else f"{count:g} {unit}"
