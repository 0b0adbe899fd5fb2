"""What a person or a program sees while a run goes on, and the tables of ``plan`` and ``info``.

stderr gets the steps, stdout the finished products.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

from landsat_downsample.cli.display.lines import Events, Plain, Quiet, View
from landsat_downsample.cli.display.products import Products
from landsat_downsample.execution.progress import ProgressCounter
from landsat_downsample.execution.run import Progress
from landsat_downsample.execution.threads import threads_for
from landsat_downsample.products.grid_facts import why_no_mtl
from landsat_downsample.storage.bugs import BugWarning, Traces, is_bug, warn

if TYPE_CHECKING:
    from distributed import Client

#: Seconds between two questions for the number of workers.
ASK = 3.0


def choose_style(*, quiet: bool = False, log_format: str | None = None) -> str:
    """Choose ``live``, ``plain``, ``json`` or ``quiet``: as asked for, else live on a terminal and plain elsewhere.

    Parameters
    ----------
    log_format : str, optional
        ``plain`` or ``json``. JSON is for programs, and printed even where ``quiet`` is asked for.
    """
    if log_format == "json":
        return "json"
    if quiet:
        return "quiet"
    return "live" if log_format is None and _can_redraw() else "plain"


def _can_redraw() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")


class Reporter:
    """Shows the steps of a run and prints its products; a context manager, called with each `Progress`.

    Parameters
    ----------
    scenes : int or None
        Sources of the run; None where their number is not known.
    style : str
        ``live``, ``plain``, ``json`` (lines on stderr) or ``quiet`` (failures only).
    client : distributed.Client, optional
        Whose workers reduce; its dashboard is linked.
    workers : int, optional
        Threads that were asked for, without a client.
    verbose : bool
        Show how each failure came about, not only the first bug of ours.
    summary_later : bool
        Whether something is said between the display and the summary: who does so calls `summarise` then.
    relative_to : str, optional
        Folder to which the hrefs of products in it are relative on stdout.
    """

    def __init__(
        self,
        *,
        scenes: int | None,
        style: str,
        client: Client | None = None,
        workers: int | None = None,
        verbose: bool = False,
        summary_later: bool = False,
        relative_to: str | None = None,
    ) -> None:
        self._later, self._interrupted = summary_later, False
        self._closed: float | None = None
        self._said: set[str] = set()
        self._traces, self._client, self._workers = Traces(verbose=verbose), client, workers
        self._progress = ProgressCounter(scenes, time.monotonic())
        self._lock = threading.RLock()
        self._view = self._make(style)
        self._products = Products(relative_to)
        self._ended = threading.Event()
        self._warner = warnings.showwarning

    def _make(self, style: str) -> View:
        if style == "live":
            from landsat_downsample.cli.display.live import Live

            return Live(self._progress, self._lock, lambda: self._workers)
        views: dict[str, Callable[[], View]] = {"plain": lambda: Plain(self._progress), "json": Events, "quiet": Quiet}
        return views[style]()

    def __enter__(self) -> Reporter:
        if self._client is not None:
            threading.Thread(target=self._count_workers, args=[self._client], name="count-workers", daemon=True).start()
        self._view.open({"scenes": self._progress.scenes, "workers": self._workers, "dashboard": self._dashboard()})
        self._warner, warnings.showwarning = warnings.showwarning, self._warn
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        self._ended.set()
        warnings.showwarning = self._warner
        self._closed, self._interrupted = time.monotonic(), kind is not None
        self._view.close()
        self._products.close()
        if not self._later:
            self.summarise()

    def summarise(self) -> None:
        """Tell what became of the run: its last line."""
        if self._closed is not None:
            self._view.summarise(self._progress, self._closed, interrupted=self._interrupted)

    def __call__(self, step: Progress) -> None:
        """Take a step."""
        now = time.monotonic()
        with self._lock:
            self._progress.take(step, now)
            if step.begun and step.plan and self._client is None:
                self._workers = threads_for(self._workers, local=step.plan.targets[0].band.location.is_local)
        self._view.show(step, now)
        if step.begun and step.plan and (without := why_no_mtl(step.plan)) and without not in self._said:
            self._said.add(without)  # once a run
            self._view.warn(without)
        if step.outcome and step.outcome.error:
            self._view.fail(step.outcome, self._traces.of(step.outcome.error))
        elif step.outcome:
            self._products.take(step.outcome)

    def stopping(self) -> None:
        """Tell that the scenes in hand are still finished; not from a signal's handler, which may have cut a line."""
        if not self._ended.is_set():
            self._view.stopping(len(self._progress.in_hand))

    def _warn(self, message: Warning | str, *where: object, **more: object) -> None:
        self._view.warn(str(message) if isinstance(message, BugWarning) else " ".join(str(message).split()))

    def _dashboard(self) -> str | None:
        if self._client is None:
            return None
        from landsat_downsample.execution.cluster import dashboard_link, lacks_dashboard

        if lacks_dashboard(self._client):
            self._view.warn("there is no dashboard: pip install bokeh where the scheduler runs")
        return dashboard_link(self._client)

    def _count_workers(self, client: Client) -> None:
        """Keep the number of workers up to date; a scheduler that is slow to answer must not hold up the run."""
        while True:
            try:
                self._workers = len(client.nthreads())
            except Exception as error:
                self._workers = None
                if is_bug(error) and client.status == "running":  # else the executor reports it
                    warn(error, "cannot count the workers")
                    return
            if self._ended.wait(ASK):
                return
