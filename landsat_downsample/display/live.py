"""The live display of a run on a terminal."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from landsat_downsample.display.handlers import Lines, in_words
from landsat_downsample.display.words import figures, scenes_words, share_done
from landsat_downsample.execution.progress import ProgressCounter
from landsat_downsample.model.safe_text import plain

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.table import Table
    from rich.text import Text

#: Scenes in hand that are shown one by one.
SHOWN = 8

#: Events that the display shows by itself.
SHOWN_ANYWAY = {"run-begun", "scene-begun", "band-done", "scene-done"}

#: Pictures a second.
PACE = 4


class Live:
    """Redraws a few lines at the bottom of the terminal; what is said meanwhile stays above them.

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
        from rich.console import Console
        from rich.live import Live as Screen

        self._progress, self._lock, self._workers = progress, lock, workers
        self._dashboard: str | None = None
        self._stopping = False
        self._console = Console(stderr=True, highlight=False, markup=False, emoji=False)
        self._screen = Screen(
            get_renderable=self._picture,
            console=self._console,
            refresh_per_second=PACE,
            transient=True,
            # stdout is data: it must not come to the terminal that stderr is.
            redirect_stdout=False,
        )
        self._logs = _logs_above()

    def open(self, dashboard: str | None) -> None:
        self._dashboard = dashboard
        self._screen.start()
        self._logs.__enter__()

    def refresh(self) -> None:
        """Nothing to do: it draws itself anew some times a second."""

    def stopping(self) -> None:
        self._stopping = True

    def close(self, *, interrupted: bool) -> None:
        self._logs.__exit__(None, None, None)
        self._screen.stop()

    def name_report(self, href: str) -> None:
        """Nothing to do: a line of the log has it."""

    def say(self, line: str) -> None:
        """Print a line above the picture, or where it was."""
        self._console.print(line, soft_wrap=True)

    def _picture(self) -> Group:
        from rich.console import Group

        with self._lock:
            now = time.monotonic()
            return Group(*self._figures(now), *self._scenes())

    def _figures(self, now: float) -> Iterator[RenderableType]:
        """The lines of figures; each is cut at the terminal's width, the most important first."""
        progress = self._progress
        yield self._bar_line()
        yield _line(figures(progress, now))
        count = self._workers()
        where = [] if count is None else [f"{count} worker{'' if count == 1 else 's'}"]
        where += [self._dashboard] if self._dashboard else []
        if where:
            yield _line("  ".join(where), style="dim", whole=True)

    def _bar_line(self) -> Table:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        progress, table, share = self._progress, Table.grid(padding=(0, 1)), share_done(self._progress)
        words = scenes_words(progress)
        cells: list[RenderableType] = [_line(words, style="bold red" if progress.ended["failed"] else "bold")]
        if self._stopping:
            cells.append(_line("stopping", style="bold yellow"))
        elif share is not None:
            width = max(8, min(40, self._console.width - len(words) - 8))
            cells += [ProgressBar(total=1.0, completed=share, width=width), _line(f"{share:.0%}")]
        table.add_row(*cells)
        return table

    def _scenes(self) -> Iterator[RenderableType]:
        waiting = list(self._progress.in_hand.values())
        for scene in waiting[:SHOWN]:
            counted = f"{scene.done}/{scene.bands}"
            room = self._console.width - len(counted) - 5
            name = plain(scene.scene_id)
            name = name if len(name) <= room else f"...{name[3 - room :]}"
            yield _line(f"  {name}  {counted}")
        if len(waiting) > SHOWN:
            yield _line(f"  and {len(waiting) - SHOWN} more in hand", style="dim")


class Above(Lines):
    """Prints above the display what is worth a line beside it."""

    def __init__(self, live: Live) -> None:
        super().__init__(in_words)
        self._live = live

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        if getattr(record, "event", None) not in SHOWN_ANYWAY:
            self._live.say(self._words(record))


def _line(text: str, *, style: str = "", whole: bool = False) -> Text:
    from rich.text import Text

    if whole:
        return Text(text, style=style, overflow="fold")
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


@contextmanager
def _logs_above() -> Iterator[None]:
    """Let log lines go through the display too: their handlers keep the stream that they were made with."""
    names = [None, *logging.root.manager.loggerDict]
    handlers = {handler for name in names for handler in getattr(logging.getLogger(name), "handlers", ())}
    moved = [
        (handler, handler.stream)
        for handler in handlers
        if type(handler) is logging.StreamHandler and handler.stream is sys.__stderr__
    ]
    for handler, _ in moved:
        handler.setStream(sys.stderr)
    try:
        yield
    finally:
        for handler, stream in moved:
            handler.setStream(stream)
