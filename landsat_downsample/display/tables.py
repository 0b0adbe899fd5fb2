"""The tables of ``plan``, ``info`` and others on stdout."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from landsat_downsample.model.crs import short_crs
from landsat_downsample.model.environment import Variable, read
from landsat_downsample.model.location import redact
from landsat_downsample.model.met_tiles import cells_line
from landsat_downsample.model.plan import ScenePlan, estimate
from landsat_downsample.model.safe_text import plain
from landsat_downsample.model.scene import Scene
from landsat_downsample.model.words import count_words, duration_words, grouped, size_words
from landsat_downsample.products.grid_facts import doubts

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

    from landsat_downsample.execution.cost import Cost, Prices


def console() -> Console:
    """Make a console on stdout that shows any text safely; in a file or pipe nothing is wrapped or cut."""
    from rich.console import Console

    class Safe(Console):
        def print(self, *parts: object, **settings: Any) -> None:
            super().print(*(plain(part) if isinstance(part, str) else part for part in parts), **settings)

    return Safe(width=None if sys.stdout.isatty() else 10_000, highlight=False, markup=False, emoji=False)


def table(*columns: str) -> Table:
    """Begin a table without lines."""
    from rich.table import Table

    class Safe(Table):
        def add_row(self, *cells: RenderableType | None, **settings: Any) -> None:
            super().add_row(*(plain(cell) if isinstance(cell, str) else cell for cell in cells), **settings)

    made = Safe(box=None, pad_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def show_scene(scene: Scene, met: dict[str, Any] | None = None) -> None:
    """Print what a scene is: one table of its bands."""
    out = console()
    left, bottom, right, top = scene.grid.bounds
    step_y, step_x = scene.grid.resolution
    kind = f"{scene.sensor or 'unknown sensor'}{f', level {scene.level}' if scene.level else ''}"
    out.print(f"{scene.id}  ({kind})")
    size = f"{scene.grid.height} x {scene.grid.width} pixels of {step_y:g} x {step_x:g}"
    out.print(f"grid    {size}, {short_crs(scene.grid.crs)}")
    out.print(f"bounds  left {left:.3f}  bottom {bottom:.3f}  right {right:.3f}  top {top:.3f}")
    if met:
        out.print(f"cells   {cells_line(met)}")
    for key, word in (("datetime", "date"), ("eo:cloud_cover", "cloud")):
        if key in scene.properties:
            out.print(f"{word:<7} {scene.properties[key]}{' %' if word == 'cloud' else ''}")
    rows = table("band", "common name", "what it is", "type", "fill", "reduced by", "size")
    for band in scene.bands.values():
        spec = band.spec
        fill = spec.fill_from or ("" if band.nodata is None else f"{band.nodata:g}")
        how = "flag by flag" if spec.kind == "bits" else spec.method
        size = size_words(band.size) if band.size else ""
        rows.add_row(band.name, spec.common_name or "", spec.title, band.dtype, fill, how, size)
    out.print(rows)
    if scene.absent:
        out.print(f"listed but not here: {', '.join(scene.absent)}")


def show_grids(grids: list[dict[str, Any]]) -> None:
    """Print which grids there are, one a line or two."""
    rows = table("grid", "what it is", "sizes", "CRS", "tiles")
    for grid in grids:
        sizes, title = grid["sizes"], " ".join([grid["title"], *grid["regions"]])
        if not isinstance(sizes, str):
            same = all(size.endswith("km") for size in sizes)
            sizes = f"{' '.join(size.removesuffix('km') for size in sizes)} km" if same else " ".join(sizes)
        rows.add_row(grid["grid"], title, sizes, grid["crs"], grid["tiles"] or "")
    console().print(rows)


def show_environment(variables: Iterable[Variable]) -> None:
    """Print environment variables: what each is for, and its value, of a secret whether there is one."""
    rows = table("variable", "what for", "where not set", "value")
    for one in variables:
        rows.add_row(one.name, one.meaning, one.default, value_of(one) or "")
    console().print(rows)


def value_of(variable: Variable) -> str | None:
    """What may be said of the value of an environment variable; None where it is not set."""
    value = read(variable.name)
    return value if value is None else "(set)" if variable.secret else redact(value)


def show_plan(item: ScenePlan) -> None:
    """Print what would be done with a scene."""
    out, shown = console(), item.shown(*doubts(item))
    for line in shown.above:
        out.print(line, soft_wrap=True)
    rows = table(*shown.columns)
    for row in shown.rows:
        rows.add_row(*row)
    out.print(rows)
    for line in shown.below:
        out.print(line, soft_wrap=True)


def show_plan_line(item: ScenePlan) -> None:
    """Print what would be done with a scene in a line."""
    cost, (height, width) = estimate(item), item.coarse.shape
    console().print(
        f"{item.scene.id} -> {item.dest}/{item.name}: {count_words(len(item.targets), 'band')}, "
        f"{height} x {width} cells, {size_words(cost['bytes_in'])} to read, "
        f"at most {size_words(cost['bytes_out'])} to write",
        soft_wrap=True,
    )


def show_cost(cost: Cost, scenes: int, prices: Prices) -> None:
    """Print what the scenes of a plan cost, what so many like them would, and what that assumes."""
    out, many = console(), cost.like(scenes)
    out.print(f"{count_words(round(cost.scenes), 'scene')}: {_cost_words(cost, prices)}", soft_wrap=True)
    name = "a million scenes" if scenes == 1_000_000 else count_words(scenes, "scene")
    kept = many.dollars(prices)["storage_month"]
    out.print(
        f"{name} like {'it' if cost.scenes == 1 else 'these'}: {_cost_words(many, prices)}; "
        f"then {_dollars(kept)} a month to keep them",
        soft_wrap=True,
    )
    out.print(
        f"assumed: dask workers on 2.5 GHz vCPUs, nothing fails, nothing is there yet; {prices.core_hour:g} $ a "
        f"core-hour, {prices.thousand_gets:g} $ and {prices.thousand_puts:g} $ for 1000 GET and PUT at S3, "
        f"{prices.egress_gb:g} $ a GB that leaves the source's region, {prices.storage_gb_month:g} $ a GB and month "
        "(list prices of us-west-2; --price changes them)",
        soft_wrap=True,
    )


def _cost_words(cost: Cost, prices: Prices) -> str:
    """CPU time, requests, bytes and dollars, for people."""
    hours = cost.core_seconds / 3600
    time = f"{grouped(round(hours))} core-hours" if hours >= 10 else f"{duration_words(cost.core_seconds)} of a core"
    paid = ", ".join(
        f"{n} {_dollars(v)}" for n, v in cost.dollars(prices).items() if n not in ("total", "storage_month")
    )
    return (
        f"{time} ({cost.overhead_seconds / cost.core_seconds:.1%} of it dask's), "
        f"{grouped(round(cost.requests))} requests, {_decimal(cost.bytes_in)} in, {_decimal(cost.bytes_out)} out, "
        f"{_dollars(cost.dollars(prices)['total'])} ({paid})"
    )


def _dollars(amount: float) -> str:
    """Two digits that count, at least: cents alone would make scenes look alike."""
    if amount >= 10:
        return f"${grouped(round(amount))}"
    return f"${amount:.2f}" if amount >= 0.1 or not amount else f"${amount:.6f}".rstrip("0")


def _decimal(count: float) -> str:
    """Bytes as they are paid for: powers of 1000."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size or unit == "MB":
            return f"{count / size:.3g} {unit}" if count < 1000 * size else f"{grouped(round(count / size))} {unit}"
    raise AssertionError
