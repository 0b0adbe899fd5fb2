"""How fast a run went: its scenes cut into bins of time, and those drawn as SVG in the colours of the page."""

from __future__ import annotations

import io
import math
import re
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STATUSES = ("done", "skipped", "failed")

#: Widths of a bin of time, and steps between ticks, in seconds, that people read easily.
STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)

_UNITS = ((86_400, "days"), (3600, "hours"), (60, "minutes"), (1, "seconds"))
_BYTES = ((1 << 30, "GiB/s"), (1 << 20, "MiB/s"), (1 << 10, "KiB/s"), (1, "B/s"))

#: Height of a drawing, in pixels.
HEIGHT = 330

#: Colours that stand in for variables of the page's style, as matplotlib knows no variables.
_COLOURS = {name: f"#0000{number:02x}" for number, name in enumerate(("ink", "soft", "line", "read", *STATUSES), 1)}


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
class Ended:
    """Scenes that ended, column by column: 25 bytes a scene, where a tuple takes 200."""

    when: array[float] = field(default_factory=lambda: array("d"))
    """Seconds from the beginning of the run."""
    took: array[float] = field(default_factory=lambda: array("d"))
    """Seconds."""
    size: array[float] = field(default_factory=lambda: array("d"))
    """Bytes read."""
    status: array[int] = field(default_factory=lambda: array("B"))
    """Its place in `STATUSES`."""

    def add(self, when: float, took: float, size: float, status: str) -> None:
        """Take one more."""
        self.when.append(when)
        self.took.append(took)
        self.size.append(size)
        self.status.append(STATUSES.index(status))


def cut(scenes: Ended, seconds: float, most: int) -> Bins | None:
    """Bin the scenes of a run.

    Parameters
    ----------
    scenes : Ended
        The bytes of each are spread evenly over the time that it took.
    seconds : float
        Of the whole run.
    most : int
        Bins at most.

    Returns
    -------
    Bins or None
        None where there is nothing to draw.
    """
    when, took, size, status = map(np.asarray, (scenes.when, scenes.took, scenes.size, scenes.status))
    when, took, size, status = (column[when < 1e9] for column in (when, took, size, status))
    seconds = max(seconds, when.max(initial=0))
    if not len(when) or seconds <= 0:
        return None
    width = step_for(seconds, most)
    count = math.ceil(seconds / width)
    edges = np.minimum(np.arange(count + 1) * width, seconds)
    places = status * count + np.minimum(when // width, count - 1).astype(int)
    begun = np.maximum(0, when - np.maximum(took, 1e-3))
    rate = size / np.maximum(when - begun, 1e-9)
    read = [np.dot(rate, np.clip(edge - begun, 0, np.maximum(when - begun, 1e-9))) for edge in edges]
    ended = np.bincount(places, minlength=len(STATUSES) * count).reshape(len(STATUSES), count)
    return Bins(width, seconds, np.diff(read) / np.maximum(np.diff(edges), 1e-9), ended)


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
    import matplotlib  # not above: nothing else of a run needs it

    out = io.StringIO()
    # Text stays text, and neither IDs nor metadata change from one time to the next.
    style = {"svg.fonttype": "none", "svg.hashsalt": f"{width}", "text.usetex": False}
    with matplotlib.rc_context({**style, "font.family": ["DejaVu Sans"], "font.size": 12}):  # type: ignore[dict-item]
        _figure(bins, width).savefig(out, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = out.getvalue()
    for name, colour in _COLOURS.items():
        text = text.replace(colour, f"var(--{name})")
    return re.sub('<g id="[^"]*"', "<g", text[text.index("<svg") :])  # they are the same in each drawing of a page


def _figure(bins: Bins, width: int) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.ticker import MultipleLocator

    figure = Figure((width / 72, HEIGHT / 72), dpi=72, layout="constrained", facecolor="none")
    upper, lower = figure.subplots(2, sharex=True)
    step = step_for(bins.seconds, max(2, width // 70))
    second, unit = next((size, unit) for size, unit in _UNITS if step >= size or size == 1)
    edges = np.minimum(np.arange(len(bins.rates) + 1) * bins.width, bins.seconds) / second
    most = float(bins.rates.max())
    byte, rate = next((size, unit) for size, unit in _BYTES if most >= size or size == 1)
    read = _COLOURS["read"]
    upper.stairs(bins.rates / byte, edges, fill=True, facecolor=(read, 0.2), edgecolor=read, linewidth=1.2)
    tops = np.vstack([np.zeros_like(bins.ended[0]), bins.ended.cumsum(axis=0)])
    for status, bottom, top in zip(STATUSES, tops, tops[1:], strict=False):
        lower.stairs(top, edges, baseline=bottom, fill=True, color=_COLOURS[status])
    _dress(upper, f"Read, {rate}", max(most / byte, 1e-9))
    _dress(lower, f"Scenes ended, in each {_span(bins.width)}", int(tops[-1].max()))
    lower.set_xlabel(f"{unit} since the beginning", loc="right", color=_COLOURS["soft"])
    lower.set_xlim(0, edges[-1])
    lower.xaxis.set_major_locator(MultipleLocator(step / second))
    lower.xaxis.set_major_formatter("{x:g}")
    return figure


def _dress(axes: Axes, title: str, top: float) -> None:
    """Give axes a title, round ticks up to at least `top`, and the colours of the page."""
    from matplotlib.ticker import MaxNLocator

    axes.set(facecolor="none", axisbelow=True)
    axes.set_title(title, loc="left", color=_COLOURS["ink"], fontsize=13)
    ticks = MaxNLocator(4, integer=isinstance(top, int), steps=[1, 2, 5, 10]).tick_values(0, top)
    axes.set_yticks(ticks, [f"{tick:,.10g}" for tick in ticks])
    axes.set_ylim(0, ticks[-1])
    axes.grid(axis="y", color=_COLOURS["line"])
    axes.tick_params(color=_COLOURS["soft"], labelcolor=_COLOURS["soft"], left=False)
    axes.spines[["left", "right", "top"]].set_visible(False)
    axes.spines["bottom"].set_color(_COLOURS["soft"])


def _span(seconds: float) -> str:
    size, unit = next((size, unit) for size, unit in _UNITS if seconds >= size or size == 1)
    count = seconds / size
    return unit.rstrip("s") if count == 1 else f"{count:g} {unit}"
