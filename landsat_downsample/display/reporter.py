"""What a person or a program sees while a run goes on: its steps as records of the log, and a display of them."""

from __future__ import annotations

import logging
import sys
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

from landsat_downsample.display.handlers import Lines, Quiet, as_json, showing, timed
from landsat_downsample.display.words import is_batch, is_told_by_scene, so_far, summary
from landsat_downsample.execution.outcomes import Outcome
from landsat_downsample.execution.progress import ProgressCounter
from landsat_downsample.execution.run import Progress
from landsat_downsample.execution.threads import threads_for
from landsat_downsample.model import environment
from landsat_downsample.model.log import DEBUG, ERROR, INFO, LOGGER, WARNING, tell, tell_trace
from landsat_downsample.model.words import count_words, duration_words
from landsat_downsample.products.grid_facts import doubts
from landsat_downsample.storage.bugs import Traces, is_bug, warn

if TYPE_CHECKING:
    from distributed import Client

#: Seconds between two questions for the number of workers.
ASK = 3.0


class Picture(Protocol):
    """What is drawn of a run, again and again."""

    def open(self, dashboard: str | None) -> None:
        """Begin."""

    def refresh(self) -> None:
        """Take note that a step was made."""

    def stopping(self) -> None:
        """Take note that no more scenes begin."""

    def close(self, *, interrupted: bool) -> None:
        """End what is drawn."""

    def name_report(self, href: str) -> None:
        """Take note of the page of the run, after its end."""


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


def style_of_python(progress: bool | None) -> str | None:
    """Choose the style for a program in Python: ``notebook`` in Jupyter; else nothing, or if asked for as a shell.

    Parameters
    ----------
    progress : bool, optional
        Whether a display is wanted; by default in Jupyter.
    """
    from landsat_downsample.display.notebook import is_here

    if progress is False:
        return None
    if is_here():
        return "notebook"
    return choose_style() if progress else None


def _can_redraw() -> bool:
    return sys.stderr.isatty() and (environment.read("TERM") or "").lower() not in ("dumb", "unknown")


class Reporter:
    """Tells the logger each step of a run, and shows it; a context manager, called with each `Progress`.

    Parameters
    ----------
    scenes : int or None
        Sources of the run; None where their number is not known.
    style : str, optional
        What is shown: ``live`` (a terminal), ``notebook``, ``plain`` or ``json`` (lines on stderr), ``quiet`` (failures
        only); nothing by default.
    client : distributed.Client, optional
        Whose workers reduce; its dashboard is linked.
    workers : int, optional
        Threads that were asked for, without a client.
    verbose : bool
        Tell how each failure came about, not only the first bug of ours.
    summary_later : bool
        Whether something is said between the display and the summary: who does so calls `summarise` then.
    """

    def __init__(
        self,
        *,
        scenes: int | None,
        style: str | None = None,
        client: Client | None = None,
        workers: int | None = None,
        verbose: bool = False,
        summary_later: bool = False,
    ) -> None:
        self._later, self._interrupted = summary_later, False
        self._closed: float | None = None
        self._said: set[str] = set()
        self._traces, self._client, self._workers = Traces(verbose=verbose), client, workers
        self._progress = ProgressCounter(scenes, time.monotonic())
        self._lock = threading.RLock()
        self._picture, self._handler = self._make(style)
        self._shown = ExitStack()
        self._ended = threading.Event()

    def _make(self, style: str | None) -> tuple[Picture | None, logging.Handler | None]:
        if style == "live":
            from landsat_downsample.display.live import Above, Live

            live = Live(self._progress, self._lock, lambda: self._workers)
            return live, Above(live)
        if style == "notebook":
            from landsat_downsample.display.notebook import Notebook

            return Notebook(self._progress, self._lock, lambda: self._workers), None
        handlers = {"plain": lambda: Lines(timed), "json": lambda: Lines(as_json, DEBUG), "quiet": Quiet}
        return None, handlers[style]() if style else None

    def __enter__(self) -> Reporter:
        if self._client is not None:
            threading.Thread(target=self._count_workers, args=[self._client], name="count-workers", daemon=True).start()
        if self._handler is not None:
            self._shown.enter_context(showing(self._handler))
        dashboard, scenes = self._dashboard(), self._progress.scenes
        if self._picture is not None:
            self._picture.open(dashboard)
        words, level = (f"dashboard: {dashboard}", INFO) if dashboard else ("the run begins", DEBUG)
        tell("run-begun", words, level, scenes=scenes, workers=self._workers, dashboard=dashboard)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        self._ended.set()
        self._closed, self._interrupted = time.monotonic(), kind is not None
        if self._picture is not None:
            self._picture.close(interrupted=self._interrupted)
        if not self._later:
            self.summarise()

    def summarise(self, report: str | None = None) -> None:
        """Tell what became of the run, and where its page is: its last line."""
        if (now := self._closed) is None:
            return
        if self._picture is not None and report:
            self._picture.name_report(report)
        counts = {status: self._progress.ended[status] for status in ("done", "skipped", "failed")}
        tell(
            "run-ended", summary(self._progress, now, interrupted=self._interrupted),
            INFO if is_batch(self._progress) else DEBUG, **counts, scenes=self._progress.scenes_total,
            bands=self._progress.bands, bytes_in=self._progress.bytes_in,
            seconds=round(self._progress.elapsed(now), 3), interrupted=self._interrupted,
        )  # fmt: skip
        self._shown.close()

    def __call__(self, step: Progress) -> None:
        """Take a step."""
        now = time.monotonic()
        with self._lock:
            self._progress.take(step, now)
            if step.begun and step.plan and self._client is None:
                self._workers = threads_for(self._workers, local=step.plan.targets[0].band.location.is_local)
        if self._picture is not None:
            self._picture.refresh()
        if step.begun:
            bands = len(step.plan.targets) if step.plan else None
            tell("scene-begun", f"{step.scene_id} begun", DEBUG, id=step.scene_id, bands=bands)
            for doubt in doubts(step.plan) if step.plan else ():
                if doubt not in self._said:
                    self._said.add(doubt)  # once a run
                    tell("warning", doubt, WARNING)
        if step.done:
            self._tell_band(step, now)
        if step.outcome:
            self._tell_end(step.outcome, now)

    def _tell_band(self, step: Progress, now: float) -> None:
        done, level = step.done, DEBUG if is_told_by_scene(self._progress) else INFO
        if done is None or not LOGGER.isEnabledFor(level):
            return
        words = f"{done.name} of {step.scene_id} in {done.seconds:.1f} s; {so_far(self._progress, now)}"
        facts = {"bytes_in": done.bytes_in, "requests": done.requests, "seconds": round(done.seconds, 3)}
        tell("band-done", words, level, id=step.scene_id, band=done.name, **facts)

    def _tell_end(self, outcome: Outcome, now: float) -> None:
        if outcome.error:
            tell_trace(self._traces.of(outcome.error), id=outcome.scene_id)
            tell("scene-failed", outcome.reason, ERROR, **outcome.to_dict())
            return
        how = f"done in {duration_words(outcome.seconds)}"
        how = how if outcome.status == "done" else "is there already, made the same way"
        words = f"{outcome.scene_id} {how}; {so_far(self._progress, now)}"
        tell(f"scene-{outcome.status}", words, **outcome.to_dict())

    def stopping(self) -> None:
        """Tell that the scenes in hand are still finished; not from a signal's handler, which may have cut a line."""
        if self._ended.is_set():
            return
        if self._picture is not None:
            self._picture.stopping()
        in_hand = len(self._progress.in_hand)
        words = f"finishing {count_words(in_hand, 'scene')} in hand; Ctrl-C again to stop now"
        tell("stopping", words, scenes_in_hand=in_hand)

    def _dashboard(self) -> str | None:
        if self._client is None:
            return None
        from landsat_downsample.execution.cluster import dashboard_link, lacks_dashboard

        if lacks_dashboard(self._client):
            tell("warning", "there is no dashboard: pip install bokeh where the scheduler runs", WARNING)
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
