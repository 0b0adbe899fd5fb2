"""The display of a run below a cell of Jupyter: a bar, what failed, and the cluster's dashboard."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from html import escape
from typing import Any

from landsat_downsample.display.words import figures, scenes_words, share_done, summary
from landsat_downsample.execution.progress import ProgressCounter
from landsat_downsample.model.safe_text import plain

#: Seconds between two pictures.
PACE = 0.25

_CELL = "padding: 0 1em 0 0; text-align: left; vertical-align: top"


def is_here() -> bool:
    """Whether this is a kernel of Jupyter, which shows HTML."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


class Notebook:
    """Shows how far a run is, and in the end what became of it, in one output of the cell.

    Parameters
    ----------
    progress : ProgressCounter
        What is shown; read under `lock`.
    lock : context manager
        Held while the counts change.
    workers : callable
        How many there are now; None where nobody knows.
    """

    def __init__(self, progress: ProgressCounter, lock: threading.RLock, workers: Callable[[], int | None]) -> None:
        self._progress, self._lock, self._workers = progress, lock, workers
        self._dashboard: str | None = None
        self._state, self._drawn = "running", 0.0
        self._ended: float | None = None
        self._handle: Any = None
        self._report: str | None = None

    def open(self, dashboard: str | None) -> None:
        from IPython.display import display

        self._dashboard = dashboard
        self._handle = display(self, display_id=True)  # type: ignore[no-untyped-call]

    def refresh(self) -> None:
        if time.monotonic() - self._drawn >= PACE:
            self._draw()

    def stopping(self) -> None:
        self._state = "stopping"

    def close(self, *, interrupted: bool) -> None:
        self._state, self._ended = "interrupted" if interrupted else "ended", time.monotonic()
        self._draw()

    def name_report(self, href: str) -> None:
        self._report = href
        self._draw()

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        if self._handle is not None:
            self._handle.update(self)

    def __repr__(self) -> str:
        with self._lock:
            lines = [self._line(), *(f"failed: {why}" for why in self._failures())]
            lines += [f"report: {plain(self._report)}"] if self._report else []
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        with self._lock:
            share = share_done(self._progress)
            bar = "" if self._ended else f'<progress max="1" value="{share or 0:.3f}" style="width: 20em"></progress> '
            head = f"{bar}{escape(self._line())}"
            rows = "".join(f'<tr><td style="{_CELL}">failed</td><td style="{_CELL}">{escape(why)}</td></tr>'
                           for why in self._failures())  # fmt: skip
        return f"<div><p>{head}{self._where()}</p>{f'<table>{rows}</table>' if rows else ''}</div>"

    def _line(self) -> str:
        if self._ended:
            return summary(self._progress, self._ended, interrupted=self._state == "interrupted")
        state = "stopping, " if self._state == "stopping" else ""
        return f"{state}{scenes_words(self._progress)}  {figures(self._progress, time.monotonic())}"

    def _failures(self) -> list[str]:
        """The last failures, and how many more there were."""
        progress = self._progress
        lines = [
            plain(one.message if one.scene_id in one.message else f"{one.scene_id}: {one.message}", 300)
            for one in progress.failures
        ]
        left = progress.ended["failed"] - len(lines)
        return [*lines, f"and {left} more before them"] if left > 0 else lines

    def _where(self) -> str:
        """Who works, and where one can watch it; in the end where the report is."""
        if self._ended:
            return f"<br>report: {escape(plain(self._report))}" if self._report else ""
        count = self._workers()
        parts = [] if count is None else [f"{count} worker{'' if count == 1 else 's'}"]
        if self._dashboard:
            link = escape(self._dashboard, quote=True)
            parts.append(f'<a href="{link}" target="_blank" rel="noopener">dashboard</a>')
        return f"<br>{', '.join(parts)}" if parts else ""
