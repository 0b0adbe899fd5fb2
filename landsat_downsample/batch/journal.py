"""The record of a run, kept while it goes on: what was asked for, a heartbeat, and every outcome.

What is written stays readable whatever becomes of the process. The writing is done on a thread of
its own: a store that is slow or gone costs the record, never the run.
"""

from __future__ import annotations

import json
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from landsat_downsample import __version__
from landsat_downsample.batch.record import RUNS, machine_mark, new_run_id
from landsat_downsample.batch.record_writer import RecordWriter
from landsat_downsample.execution.outcomes import Outcome
from landsat_downsample.execution.progress import ProgressCounter
from landsat_downsample.execution.run import Progress
from landsat_downsample.model.location import Location
from landsat_downsample.model.policy import Policy
from landsat_downsample.model.safe_text import plain, scrubbed
from landsat_downsample.storage.bugs import is_bug, warn

#: Seconds between two heartbeats.
EVERY = 5.0

#: Seconds that one write of the record may take, all retries included, and that the end waits for the last ones.
BUDGET, END_WAIT = 30.0, 60.0

#: Seconds over which a heartbeat takes its rate.
MINUTE = 60.0


class Journal:
    """Keeps the record of a run in ``DEST/_runs/<run id>/``; called with each step of it.

    Parameters
    ----------
    dest : str
        Folder or prefix that the products go to.
    entries : bytes or callable
        Lines of ``scenes.ndjson``; or what writes them, given the href (on the journal's thread).
    total : int or None
        Scenes asked for.
    about : mapping, optional
        JSON values that say how the run is made: ``workers`` (a number, or a callable that gives
        it, asked for each heartbeat), ``dashboard`` (a link), ``options`` (a dict). What is
        named like a secret, and what hrefs carry of them, is taken out.
    every : float
        Seconds between two heartbeats.
    of : str
        What it is of, where it is a part of a run: `Share.suffix`.

    Examples
    --------
    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as dest:
    ...     with Journal(dest, entries=b"", total=0) as journal:
    ...         pass  # run_plans(plans, report=journal)
    ...     sorted(os.listdir(journal.href))
    ['outcomes.ndjson', 'scenes.ndjson', 'status.json']
    """

    def __init__(
        self,
        dest: str | os.PathLike[str],
        *,
        entries: bytes | Callable[[str], object],
        total: int | None,
        about: Mapping[str, Any] | None = None,
        every: float = EVERY,
        of: str = "",
    ) -> None:
        self.id = new_run_id(of=of)
        folder = Location(os.fspath(dest)) / RUNS / self.id
        self.href = folder.href
        self.report: str | None = None
        """Its page, once that is made of it."""
        self._about, self._every = dict(about or {}), every
        self._progress, self._lock = ProgressCounter(total), threading.Lock()
        self._started, self._begun = time.monotonic(), _now()
        self._state, self._refused = "running", False
        self._reason: str | None = None
        self._final: tuple[str, str | None] = ("ended", None)
        self._steps: queue.SimpleQueue[bytes | dict[str, Any] | None] = queue.SimpleQueue()
        policy = Policy.from_environ()
        self._writer = RecordWriter(folder, entries, replace(policy, budget=min(policy.budget, BUDGET)))
        # A daemon: a disk that hangs must not keep this process from ending.
        self._thread = threading.Thread(target=self._keep, name="landsat-downsample-journal", daemon=True)

    def __enter__(self) -> Journal:
        self._started, self._begun = time.monotonic(), _now()
        self._thread.start()
        return self

    def __call__(self, step: Progress) -> None:
        """Take a step of the run in; never waits for the store."""
        now = self._seconds()
        line = None if step.outcome is None else _line(step.outcome, now)
        self._refused |= getattr(step.outcome and step.outcome.error, "for_all", False)
        with self._lock:
            self._progress.take(step, now)
            if line is not None:
                self._steps.put(line)

    def stopping(self) -> None:
        """Record that no more scenes are begun."""
        self._state = "stopping"
        self._count()

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if kind is not None:
            interrupted = issubclass(kind, KeyboardInterrupt)
            reason = "interrupted" if interrupted else plain(f"{kind.__name__}: {error}", 500)
            self._final = ("failed", reason)
        elif self._progress.scenes_ended != self._progress.scenes and self._refused:
            self._final = ("ended", "stopped early: the destination takes nothing more")
        elif self._state == "stopping" and self._progress.scenes_ended != self._progress.scenes:
            self._final = ("ended", "stopped early, as asked")
        self._steps.put(None)
        self._thread.join(END_WAIT)
        if self._thread.is_alive():
            self._writer.complain(f"its end was not written in {END_WAIT:g} s")

    def _seconds(self) -> float:
        return time.monotonic() - self._started

    def _count(self) -> None:
        """Queue a heartbeat behind the lines of what it counts: none counts an outcome that is not on record."""
        with self._lock:
            self._steps.put(facts(self._progress, self._seconds()))

    def _keep(self) -> None:
        """Write what comes until the end: lines at once, a heartbeat every few seconds."""
        due = time.monotonic()
        while True:
            if time.monotonic() >= due:
                self._count()
                due = time.monotonic() + self._every
            try:
                item = self._steps.get(timeout=max(0.0, due - time.monotonic()))
            except queue.Empty:
                continue
            if item is None:
                self._state, self._reason = self._final  # not before: all outcomes are in by now
                self._writer.end(partial(self._status, facts(self._progress, self._seconds())))
                return
            if isinstance(item, bytes):
                self._writer.add(item)
            else:
                self._writer.send_heartbeat(partial(self._status, item))
                due = time.monotonic() + self._every

    def _status(self, progressed: dict[str, Any]) -> bytes:
        """Encode a heartbeat with what was counted."""
        about = {key: scrubbed(_asked(value), key) for key, value in self._about.items()}
        if self._state in ("ended", "failed"):
            about.pop("dashboard", None)  # nobody answers there any more
        record = {
            "id": self.id,
            "format": 1,
            "version": __version__,
            "machine": machine_mark(self.id),
            "state": self._state,
            "reason": self._reason,
            "begun": _rfc3339(self._begun),
            "alive": _rfc3339(_now()),
            "seconds": round(self._seconds(), 3),
            "every": self._every,
            **progressed,
            **about,
        }
        return (json.dumps(record, indent=1, allow_nan=False) + "\n").encode()


def facts(progress: ProgressCounter, now: float) -> dict[str, Any]:
    """Describe what was counted in JSON types: a part of ``status.json``."""
    left = progress.seconds_left(now)
    scenes = {"total": progress.scenes, **{name: progress.ended[name] for name in ("done", "skipped", "failed")}}
    return {
        "scenes": scenes | {"in_hand": len(progress.in_hand)},
        "bands": {"done": progress.bands, "known": progress.bands_known},
        "bytes": {"in": progress.bytes_in, "out": progress.bytes_out},
        "rate": round(progress.rate_over(now, MINUTE), 1),
        "eta": None if left is None else round(left, 1),
        "failures": [
            {"id": plain(one.scene_id, 300), "cause": one.cause, "error": plain(one.message, 500)}
            for one in progress.failures
        ],
    }


def _asked(value: object) -> object:
    if not callable(value):
        return value
    try:
        return value()
    except Exception as error:  # a cluster that is going away cannot say how many workers it has
        if is_bug(error):
            warn(error, "the record of the run lacks what this would tell")
        return None


def _now() -> datetime:
    return datetime.now(UTC)


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _line(outcome: Outcome, now: float) -> bytes:
    """Encode an outcome, with the second of the run in which it came."""
    record = outcome.to_dict() | {"ended": round(now, 3)}
    if outcome.error is not None:
        record["error"] = plain(record["error"])
    return json.dumps(record).encode() + b"\n"
