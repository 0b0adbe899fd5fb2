"""What a person sees while a run goes on, and the tables of ``plan`` and ``info``.

On a terminal stderr shows a live display; elsewhere a plain line for each step. stdout gets a
JSON line for each finished product, or a table on a terminal.
"""

from __future__ import annotations

import json
import sys
import time

from landsat_downsample._plan import ScenePlan, estimate
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
        self._live = not quiet and sys.stderr.isatty()
        self._total = sum(len(plan.targets) for plan in plans)
        self._bytes_total = sum(target.band.size or 0 for plan in plans for target in plan.targets)
        self._bands = self._bytes = 0
        self._begun = time.perf_counter()
        self._finished: list[Outcome] = []
        self._bar = None

    def __enter__(self) -> Reporter:
        if self._live:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[facts]}"), TimeRemainingColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task("bands", total=self._total, facts="")
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
            self._bytes += step.done.bytes_in
            self._show(f"{step.done.name} of {step.plan.scene.id}", step.done.seconds)
        elif step.outcome and step.kind == "outcome":
            self._finish(step.outcome)

    def _show(self, what: str, seconds: float) -> None:
        rate = self._bytes / max(time.perf_counter() - self._begun, 1e-9)
        facts = f"{self._bands}/{self._total} bands, {size_words(self._bytes)} in, {size_words(rate)}/s"
        if self._bar:
            self._bar.update(self._task, completed=self._bands, facts=facts)
        elif not self._quiet:
            left = (time.perf_counter() - self._begun) * (self._total - self._bands) / max(self._bands, 1)
            print(f"{what}: {seconds:.1f} s; {facts}, {left:.0f} s left", file=sys.stderr)

    def _finish(self, outcome: Outcome) -> None:
        if outcome.error:
            return
        self._finished.append(outcome)
        if sys.stdout.isatty():
            return
        record = {
            "id": outcome.scene_id,
            "status": outcome.status,
            "href": outcome.href,
            "files": outcome.bands,
            "bytes_in": outcome.bytes_in,
            "seconds": round(outcome.seconds, 3),
        }
        print(json.dumps(record), flush=True)


def _console(width: int | None = None):
    from rich.console import Console

    return Console(width=width or (None if sys.stdout.isatty() else 120), highlight=False)


def _product_table(outcomes: list[Outcome]) -> None:
    from rich.table import Table

    table = Table("scene", "status", "files", "read", "seconds", box=None, pad_edge=False)
    for outcome in outcomes:
        table.add_row(
            outcome.scene_id, outcome.status, str(outcome.bands), size_words(outcome.bytes_in), f"{outcome.seconds:.1f}"
        )
    console = _console()
    console.print(table)
    for outcome in outcomes:
        console.print(outcome.href, soft_wrap=True)


def show_scene(scene: Scene) -> None:
    """Print what a scene is: one table of its bands."""
    from rich.table import Table

    console = _console()
    left, bottom, right, top = scene.grid.bounds
    step_y, step_x = scene.grid.resolution
    console.print(f"{scene.id}  ({scene.sensor or 'unknown sensor'}{f', level {scene.level}' if scene.level else ''})")
    console.print(f"grid    {scene.grid.height} x {scene.grid.width} pixels of {step_y:g} x {step_x:g}, {_short(scene.grid.crs)}")
    console.print(f"bounds  left {left:.3f}  bottom {bottom:.3f}  right {right:.3f}  top {top:.3f}")
    for key in ("datetime", "eo:cloud_cover"):
        if key in scene.properties:
            console.print(f"{key.rpartition(':')[2]:<7} {scene.properties[key]}")
    table = Table("band", "common name", "what it is", "type", "fill", "reduced by", "size", box=None, pad_edge=False)
    for band in scene.bands.values():
        spec = band.spec
        fill = spec.fill_from or ("" if band.nodata is None else f"{band.nodata:g}")
        table.add_row(
            band.name, spec.common_name or "", spec.title, band.dtype, fill,
            "flag by flag" if spec.kind == "bits" else spec.method, size_words(band.size) if band.size else "",
        )  # fmt: skip
    console.print(table)
    if scene.absent:
        console.print(f"listed but not here: {', '.join(scene.absent)}")


def _short(crs: str) -> str:
    return crs if len(crs) < 40 else crs[:37] + "..."


def show_plan(item: ScenePlan) -> None:
    """Print what would be done with a scene."""
    from rich.table import Table

    console, cost = _console(), estimate(item)
    step_y, step_x = item.coarse.resolution
    ry, rx = (float(r) for r in item.ratio)
    console.print(f"{item.scene.id} -> {item.dest}/{item.name}")
    console.print(
        f"cells of {step_y:.10g} x {step_x:.10g} ({ry:g} x {rx:g} pixels): {item.coarse.height} x {item.coarse.width}, "
        f"{_short(item.coarse.crs)}"
    )
    table = Table("band", "reduced by", "source", "result", "type", "read", "file", box=None, pad_edge=False)
    for target in item.targets:
        height, width = target.band.grid.shape
        table.add_row(
            target.band.name, target.method + (f", without {'+'.join(target.mask)}" if target.mask else ""),
            f"{height} x {width}", f"{item.coarse.height} x {item.coarse.width}", target.band.dtype,
            size_words(target.band.size or 0), target.filename if target.codes_written else target.fractions,
        )  # fmt: skip
    console.print(table)
    console.print(
        f"{len(item.targets)} bands, {size_words(cost['bytes_in'])} to read, {size_words(cost['bytes_decoded'])} decoded, "
        f"at most {size_words(cost['bytes_out'])} before compression; about {size_words(cost['peak_memory'])} of memory "
        f"for each band at work"
    )
