"""What a person sees while a run goes on, and the tables of ``plan`` and ``info``.

On a terminal stderr shows a live display; elsewhere a plain line for each step. stdout gets a
JSON line for each finished product, or a table on a terminal.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter

from landsat_downsample._plan import FRACTIONS, ScenePlan, Target, estimate
from landsat_downsample._run import Outcome, Progress
from landsat_downsample._scene import Scene

KIB = 1024


def size_words(count: float) -> str:
    """Bytes for people.

    >>> size_words(70_254_592)
    '67.0 MiB'
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < KIB or unit == "GiB":
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= KIB
    raise AssertionError


class Reporter:
    """Shows the steps of a run and prints its products."""

    def __init__(self, plans: list[ScenePlan], *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._total = sum(len(plan.targets) for plan in plans)
        self._bands = self._bytes = 0
        self._done: Counter[str] = Counter()
        """Bands by scene."""
        self._begun = time.perf_counter()
        self._finished: list[Outcome] = []
        self._bar = _bar(self._total) if not quiet and sys.stderr.isatty() else None

    def __enter__(self) -> Reporter:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *exc) -> None:
        if self._bar:
            self._bar.stop()
        if sys.stdout.isatty() and self._finished:
            _product_table(self._finished)

    def __call__(self, step: Progress) -> None:
        if step.done:
            self._bands += 1
            self._done[step.plan.name] += 1
            self._bytes += step.done.bytes_in
            self._show(f"{step.done.name} of {step.plan.scene.id} in {step.done.seconds:.1f} s")
        elif step.outcome:
            self._finish(step.outcome)
            if step.outcome.status != "done":  # what is left to do has shrunk
                self._total -= len(step.plan.targets) - self._done[step.plan.name]
                self._show(f"{step.outcome.scene_id} {_WORDS[step.outcome.status]}")

    def _show(self, what: str) -> None:
        spent = time.perf_counter() - self._begun
        facts = f"{self._bands}/{self._total} bands, {size_words(self._bytes)}, {size_words(self._bytes / spent)}/s"
        if self._bar:
            self._bar.update(0, completed=self._bands, total=self._total, facts=facts)
        elif not self._quiet:
            left = spent * (self._total - self._bands) / max(self._bands, 1)
            print(f"{what}; {facts}" + (f", {left:.0f} s left" if left >= 1 else ""), file=sys.stderr, flush=True)

    def _finish(self, outcome: Outcome) -> None:
        if outcome.error:
            return
        self._finished.append(outcome)
        if not sys.stdout.isatty():
            _print_line(_record(outcome))


_WORDS = {"skipped": "is there already, made the same way", "failed": "failed"}


def _bar(total: int):
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[facts]}"), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    bar.add_task("reducing", total=total, facts="")
    return bar


def _record(outcome: Outcome) -> dict:
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


def _print_line(record: dict) -> None:
    try:
        print(json.dumps(record), flush=True)
    except BrokenPipeError:  # the reader of our stdout has gone, the work that was asked for has not
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _console():
    """A console on stdout; in a file or pipe nothing is wrapped or cut."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 10_000, highlight=False, markup=False, emoji=False)


def _table(*columns: str):
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _product_table(outcomes: list[Outcome]) -> None:
    table = _table("scene", "status", "files", "read", "seconds")
    for outcome in outcomes:
        read, seconds = size_words(outcome.bytes_in), f"{outcome.seconds:.1f}"
        table.add_row(outcome.scene_id, outcome.status, str(outcome.files), read, seconds)
    console = _console()
    console.print(table)
    for outcome in outcomes:
        console.print(outcome.href, soft_wrap=True)


def show_scene(scene: Scene) -> None:
    """Print what a scene is: one table of its bands."""
    console = _console()
    left, bottom, right, top = scene.grid.bounds
    step_y, step_x = scene.grid.resolution
    kind = f"{scene.sensor or 'unknown sensor'}{f', level {scene.level}' if scene.level else ''}"
    console.print(f"{scene.id}  ({kind})")
    size = f"{scene.grid.height} x {scene.grid.width} pixels of {step_y:g} x {step_x:g}"
    console.print(f"grid    {size}, {_short(scene.grid.crs)}")
    console.print(f"bounds  left {left:.3f}  bottom {bottom:.3f}  right {right:.3f}  top {top:.3f}")
    for key, word in (("datetime", "date"), ("eo:cloud_cover", "cloud")):
        if key in scene.properties:
            console.print(f"{word:<7} {scene.properties[key]}{' %' if word == 'cloud' else ''}")
    table = _table("band", "common name", "what it is", "type", "fill", "reduced by", "size")
    for band in scene.bands.values():
        spec = band.spec
        fill = spec.fill_from or ("" if band.nodata is None else f"{band.nodata:g}")
        how = "flag by flag" if spec.kind == "bits" else spec.method
        size = size_words(band.size) if band.size else ""
        table.add_row(band.name, spec.common_name or "", spec.title, band.dtype, fill, how, size)
    console.print(table)
    if scene.absent:
        console.print(f"listed but not here: {', '.join(scene.absent)}")


def _short(crs: str) -> str:
    return crs if len(crs) < 40 else crs[:37] + "..."


def show_plan(item: ScenePlan) -> None:
    """Print what would be done with a scene."""
    console, cost = _console(), estimate(item)
    step_y, step_x = item.coarse.resolution
    ry, rx = (float(r) for r in item.ratio)
    console.print(f"{item.scene.id} -> {item.dest}/{item.name}", soft_wrap=True)
    console.print(
        f"{item.coarse.height} x {item.coarse.width} cells of {step_y:.10g} x {step_x:.10g} "
        f"({ry:.6g} x {rx:.6g} pixels), {_short(item.coarse.crs)}"
    )
    if item.options.mask:
        console.print(f"masked: without the pixels that QA_PIXEL flags as {', '.join(item.options.mask)}")
    table = _table("band", "reduced by", "source", "type", "read", "file")
    for target in item.targets:
        for row in _rows_of(target):
            table.add_row(*row)
    console.print(table)
    console.print(
        f"{size_words(cost['bytes_in'])} to read, {size_words(cost['bytes_decoded'])} decoded, "
        f"at most {size_words(cost['bytes_out'])} to write; "
        f"about {size_words(cost['peak_memory'])} of memory for each band at work",
        soft_wrap=True,
    )


def _rows_of(target: Target) -> list[tuple[str, ...]]:
    """A row of the plan's table for each file that a target gives."""
    height, width = target.band.grid.shape
    method = target.method + (", masked" if target.mask else "")
    size, source = size_words(target.bytes_in), f"{height} x {width}"
    rows = []
    if target.codes_written:
        rows.append((target.band.name, method, source, target.band.dtype, size, _tail(target, target.filename)))
    if target.fractions:
        rows.append((FRACTIONS, "fractions", source, "uint8", "" if rows else size, _tail(target, target.fractions)))
    return rows


def _tail(target: Target, filename: str) -> str:
    """A file's name without the scene's, which stands above the table."""
    return filename.replace(target.scene_id, "...", 1)
