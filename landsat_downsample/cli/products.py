"""The finished products of a run on stdout: a JSON line each, or a table on a terminal."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from typing import Any

from landsat_downsample.cli.arguments import relative_href
from landsat_downsample.display.tables import console, table
from landsat_downsample.execution.outcomes import Outcome
from landsat_downsample.execution.run import Progress
from landsat_downsample.model.words import KIB, count_words, size_words

#: Products that the table shows; a screen of a long run has them after the others scrolled away, in its report.
SHOWN = 40


class Products:
    """Takes the steps of a run and prints what was published; hrefs of what lies in a folder may be relative to it."""

    def __init__(self, relative_to: str | None = None) -> None:
        self._relative_to = relative_to
        self._kept: list[Outcome] = []
        self._more = 0
        """Products that are not kept for the table."""
        self._terminal = sys.stdout.isatty()

    def __enter__(self) -> Products:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        self._close()

    def __call__(self, step: Progress) -> None:
        """Print a product that a step has finished, or keep it for the table."""
        if (outcome := step.outcome) is None or outcome.error:
            return
        outcome = replace(outcome, href=outcome.href and relative_href(outcome.href, self._relative_to))
        if not self._terminal:
            _print_line(_record(outcome))
        elif len(self._kept) < SHOWN:
            self._kept.append(outcome)
        else:
            self._more += 1

    def _close(self) -> None:
        if not self._kept:
            return
        rows = table("scene", "status", "files", "read", "seconds")
        for outcome in self._kept:
            read, seconds = size_words(outcome.bytes_in), f"{outcome.seconds:.1f}"
            rows.add_row(outcome.scene_id, outcome.status, str(outcome.files), read, seconds)
        out = console()
        out.print(rows)
        for outcome in self._kept:
            out.print(outcome.href, soft_wrap=True)
        if self._more:
            more = count_words(self._more, "product")
            out.print(f"and {more} more beside them: their record and report.html are in _runs")


def _record(outcome: Outcome) -> dict[str, Any]:
    return {
        "id": outcome.scene_id,
        "status": outcome.status,
        "href": outcome.href,
        "files": outcome.files,
        "bytes_in": outcome.bytes_in,
        "requests": outcome.requests,
        "peak_memory": peak_memory(),
        "seconds": round(outcome.seconds, 3),
    }


def peak_memory() -> int:
    """Bytes of memory that this process has had at most so far."""
    try:
        # Not what `resource` says: that begins with the memory of the process that started this one.
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            return next(int(line.split()[1]) * KIB for line in file if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return _peak_by_resource()


def _peak_by_resource() -> int:
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * KIB  # macOS counts bytes, Linux KiB


def _print_line(record: dict[str, Any]) -> None:
    try:
        print(json.dumps(record), flush=True)
    except BrokenPipeError:  # the reader of our stdout has gone, the work that was asked for has not
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
