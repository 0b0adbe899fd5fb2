"""Check a finished product, and recompute random cells of it by a second code path.

`recompute` and `recompute_areas` are the second path, which shares nothing with the reducers.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from os import PathLike, fspath
from typing import Any
from urllib.parse import unquote

import numpy as np
import rasterio

from landsat_downsample.errors import LandsatDownsampleError, UsageError, VerifyError
from landsat_downsample.formats.multihash import multihash
from landsat_downsample.model.crs import same_crs
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.location import Location
from landsat_downsample.model.options import Options
from landsat_downsample.model.plan import ScenePlan, plan_scene
from landsat_downsample.model.product import MARKER, SUFFIX
from landsat_downsample.model.projection import Projection, proj_version
from landsat_downsample.model.safe_text import plain
from landsat_downsample.model.scene import Scene
from landsat_downsample.model.shown import Shown
from landsat_downsample.model.target import Target
from landsat_downsample.model.ties import covering, tie_facts
from landsat_downsample.products import recompute_areas
from landsat_downsample.products.cell_outline import cell_areas
from landsat_downsample.products.footprint import spacing
from landsat_downsample.products.grid_facts import describe_cells
from landsat_downsample.products.recompute import SECOND_PATH, Cell, Number, index_of_means, is_index_of_means
from landsat_downsample.products.source_pixels import open_source
from landsat_downsample.products.stac import validate_item
from landsat_downsample.scenes import checksums
from landsat_downsample.scenes.header import open_raster
from landsat_downsample.scenes.open import open_scene
from landsat_downsample.storage import files

#: Checks that held, of those that a report shows.
SHOWN = 30


@dataclass(slots=True, repr=False)
class Report:
    """What was checked of a product, and what is wrong: true where nothing is.

    Examples
    --------
    >>> report = Report("out/scene_downsampled", checked=["the item is valid"], wrong=["file 'a.TIF' cannot be read"])
    >>> bool(report), len(report.wrong), str(report.error())
    (False, 1, "'out/scene_downsampled' is not right: file 'a.TIF' cannot be read")
    >>> report
    <Report out/scene_downsampled: 1 wrong>
      wrong    file 'a.TIF' cannot be read
      checked  the item is valid
    """

    product: str = ""
    """Where it is."""
    checked: list[str] = field(default_factory=list)
    """A line for each check that held, or could not be made."""
    wrong: list[str] = field(default_factory=list)
    """A line for each that did not."""

    def __bool__(self) -> bool:
        return not self.wrong

    def error(self) -> VerifyError:
        """What to raise where something is wrong."""
        more = f"; and {len(self.wrong) - 3} more" if len(self.wrong) > 3 else ""
        return VerifyError(f"{self.product!r} is not right: {'; '.join(self.wrong[:3])}{more}", self)

    def _shown(self) -> Shown:
        head = f"Report {self.product}: {f'{len(self.wrong)} wrong' if self.wrong else 'nothing wrong'}"
        shown, left = self.checked[:SHOWN], len(self.checked) - SHOWN
        rows = [*(("wrong", line) for line in self.wrong), *(("checked", line) for line in shown)]
        return Shown((head,), (), tuple(rows), (f"and {left} more checked",) if left > 0 else ())

    def __repr__(self) -> str:
        shown = self._shown()
        lines = [f"<{plain(shown.above[0])}>", *(f"  {word:<7}  {plain(line)}" for word, line in shown.rows)]
        return "\n".join([*lines, *(f"  {line}" for line in shown.below)])

    def _repr_html_(self) -> str:
        return self._shown().html()


def verify(
    product: str | PathLike[str],
    *,
    source: str | PathLike[str] | Scene | None = None,
    blocks: int = 16,
    seed: int = 0,
    check: bool = False,
) -> Report:
    """Check a product's files, item and grids; with its source, recompute cells of every band.

    Parameters
    ----------
    product : str or path
        Folder of the product, or its item: the `href` of an outcome.
    source : str, path or Scene, optional
        The source scene. Without it the pixels cannot be checked.
    blocks : int
        Random cells to recompute in each band; edge cells are always among them.
    seed : int
        Which random cells.
    check : bool
        Raise a VerifyError if anything is wrong; else the report alone tells.

    Returns
    -------
    Report
        True where nothing is wrong; a line for each check that held, and for each that did not.

    Raises
    ------
    UsageError
        There is no product at that place.
    VerifyError
        Something is wrong, with `check`; it carries the report.

    Examples
    --------
    >>> (outcome,) = ld.run(ld.plan(scene, "out", factor=10, bands="red"))
    >>> report = ld.verify(outcome.href, source=scene)
    >>> bool(report), report.checked[-1]
    (True, 'SR_B4: 16 cells recomputed, all equal (mean)')
    """
    if blocks < 1:
        raise UsageError(f"blocks {blocks!r} must be at least 1")
    product = fspath(product)
    if product.endswith(MARKER):
        product = Location(product).parent.href
    report = Report(Location(product).shown)
    item, met = _read_metadata(product)
    _check_files(product, item, met, report)
    _check_item(item, report)
    _check_grids(product, item["properties"], met, report)
    if source is None:
        report.checked.append("pixels not recomputed: give the source (--source; source= in Python) to check them")
    elif not report.wrong:
        scene = source if isinstance(source, Scene) else open_scene(source)
        _check_cells(product, (item["properties"], met), scene, report, (blocks, seed))
    if check and not report:
        raise report.error()
    return report


def _read_metadata(product: str) -> tuple[dict[str, Any], dict[str, Any]]:
    records = []
    names = files.list_names(product)
    for ending in (MARKER, ".met.json"):
        name = next((name for name in names if name.endswith(SUFFIX + ending)), None)
        if name is None:
            raise UsageError(f"{product!r} is not a finished product: it holds no *{SUFFIX}{ending}")
        records.append(json.loads(files.read_bytes(Location(product) / name)))
    return records[0], records[1]


def _check_files(product: str, item: dict[str, Any], met: dict[str, Any], report: Report) -> None:
    sizes = {}
    for asset in item["assets"].values():
        name = unquote(asset["href"].removeprefix("./"))
        data = _bytes(product, name, report)
        if data is None:
            continue
        sizes[name] = len(data)
        digest = multihash(hashlib.sha256(data).hexdigest())
        if (asset["file:size"], asset["file:checksum"]) != (len(data), digest):
            report.wrong.append(f"file {name!r} is not the one that was published: its size or SHA-256 differs")
    for record in met["files"]:
        if record["file"] in sizes and record["bytes"] != sizes[record["file"]]:
            report.wrong.append(f"file {record['file']!r} has another size than met.json says")
    if not report.wrong:
        report.checked.append(f"{len(sizes)} files have the size and SHA-256 that the item records")


def _bytes(product: str, name: str, report: Report) -> bytes | None:
    try:
        return files.read_bytes(Location(product) / name, limit=1 << 32)
    except LandsatDownsampleError as error:
        report.wrong.append(f"file {name!r} of the item cannot be read: {error}")
        return None


def _check_item(item: dict[str, Any], report: Report) -> None:
    try:
        problems = validate_item(item)
    except UsageError as error:
        report.checked.append(f"item not validated: {error}")
        return
    report.wrong += [f"STAC item: {problem}" for problem in problems]
    if not problems:
        report.checked.append(f"the STAC {item['stac_version']} item is valid")


def _check_grids(product: str, told: dict[str, Any], met: dict[str, Any], report: Report) -> None:
    lie = set()
    for record in met["files"]:
        with _open(product, record["file"]) as raster:
            lie.add((raster.shape, tuple(raster.transform)[:6], raster.crs.to_wkt() if raster.crs else ""))
    if len(lie) > 1:
        report.wrong.append("the rasters do not lie on one grid")
        return
    ((shape, transform, crs),) = lie
    right = {
        "proj:shape": told["proj:shape"] == list(shape),
        # Half a cell is taken off and put on again where a file counts from centres: the last digit may change.
        "proj:transform": np.allclose(told["proj:transform"][:6], transform, rtol=1e-12, atol=0),
        "proj:code": same_crs(told.get("proj:code") or told.get("proj:wkt2", ""), crs),
        "proj:epsg": (code := told.get("proj:epsg")) is None or same_crs(f"EPSG:{code}", crs),
    }
    report.wrong += [
        f"STAC item: {name} is not that of the rasters" for name, is_right in right.items() if not is_right
    ]
    if all(right.values()):
        report.checked.append(f"{len(met['files'])} rasters lie on one grid, that of the item")


@contextmanager
def _open(product: str, filename: str) -> Iterator[rasterio.DatasetReader]:
    location = Location(product) / filename
    with files.fetch(files.FetchRequest(location)) as file, open_raster(file.gdal_path, location) as raster:
        yield raster


def _check_cells(
    product: str,
    told: tuple[dict[str, Any], dict[str, Any]],
    scene: Scene,
    report: Report,
    sample: tuple[int, int],
) -> None:
    """Compare a product, and what is told of it (the item's properties, met.json), with what its source gives."""
    properties, met = told
    if scene.id != met["source"]["id"]:
        report.wrong.append(f"the source is {scene.id!r}, but the product was made from {met['source']['id']!r}")
        return
    try:
        count = checksums.compare(band.location for band in scene.bands.values())
    except LandsatDownsampleError as error:
        report.wrong.append(f"the source: {error}")
        return
    if count:
        report.checked.append(f"{count} source files have the checksums that lie beside them")
    written = {record["file"]: record for record in met["files"]}
    item = plan_scene(scene, ".", Options.from_dict(_options(met)))
    if not _lies_where_planned(product, met, item, report):
        return
    _check_facts(properties, met, item, report)
    for target in item.targets:
        _check_ties(target, written, report)
        names = [target.filename, *target.files.values(), *([target.fractions] if target.projection else [])]
        for filename in dict.fromkeys(name for name in names if name in written):
            if target.projection is None:
                _check_band(product, target, written[filename], report, sample)
            else:
                _check_areas(product, (target, target.projection), written[filename], report, sample)


def _lies_where_planned(product: str, met: dict[str, Any], item: ScenePlan, report: Report) -> bool:
    """Whether the rasters, which lie on one grid, lie on the one that the parameters ask for."""
    grid = item.coarse
    with _open(product, met["files"][0]["file"]) as raster:
        off = np.abs(np.subtract(tuple(raster.transform)[:6], tuple(grid.transform)[:6])) > 1e-6 * min(grid.resolution)
        wrong = {
            "another CRS": not (raster.crs and same_crs(raster.crs.to_wkt(), grid.crs)),
            "other cells": bool(off.any()) or raster.shape != grid.shape,
        }
    for what, is_wrong in wrong.items():
        if is_wrong:
            report.wrong.append(f"the rasters lie on {what} than its parameters and its source give")
    return not any(wrong.values())


def _check_facts(properties: dict[str, Any], met: dict[str, Any], item: ScenePlan, report: Report) -> None:
    """Compare what item and met.json say of the grid with what it is."""
    facts = describe_cells(item)
    own = {f"landsat_ds:{name}": fact for name, fact in facts.items()}
    own |= {"gsd": spacing(item.coarse), "landsat_ds:source_gsd": spacing(item.scene.grid)}
    for file, told, right in (("STAC item", properties, own), ("met.json", met["grid"], facts)):
        report.wrong += [
            f"{file}: {name} is {told.get(name)!r}, its parameters and its source give {fact!r}"
            for name, fact in right.items()
            if not _alike(told.get(name), fact)
        ]


def _alike(told: Any, right: Any) -> bool:
    """Whether two facts are the same, numbers but for the last of their six decimals."""
    if isinstance(right, list):
        return isinstance(told, list) and len(told) == len(right) and all(map(_alike, told, right))
    if isinstance(right, str):
        return bool(told == right)
    return isinstance(told, int | float) and bool(abs(told - right) < 2e-6)


def _check_ties(target: Target, written: dict[str, Any], report: Report) -> None:
    """Compare the positions that PROJ gives here with those that a product was made by."""
    made = written.get(target.filename, {}).get("tie_points")
    if target.projection is None or made is None:
        return
    if made != tie_facts(target.band.grid, target.lattice, target.projection).digest:
        report.checked.append(
            f"{target.band.name}: this PROJ ({proj_version()}) gives other tie points than the product was made by, "
            "so that weights may differ in their last part"
        )


def _options(met: dict[str, Any]) -> dict[str, Any]:
    known = dict.fromkeys(("factor", "resolution", "size", "bands", "bounds"))
    return {**known, "mask": [], "methods": {}, **met["parameters"]}


def _check_band(product: str, target: Target, written: dict[str, Any], report: Report, sample: tuple[int, int]) -> None:
    name, method = target.band.name, written["reducer"]
    name += f" {method}" if target.stats else ""
    recompute = index_of_means if is_index_of_means(target, method) else SECOND_PATH.get(method)
    if recompute is None:
        report.checked.append(f"{name}: {method} has no second code path; files and grid only")
        return
    with _open(product, written["file"]) as raster:
        stored, nodata = raster.read(1), raster.nodata
    bad, tolerance = [], 1e-7 if target.computed else 1e-9 if target.scaling else 0.0
    cells = list(_sample_reached(target, None, *sample))
    with open_source(target) as source:
        for cell in cells:
            expected = recompute(Cell(source, cell))
            expected = nodata if expected is None else expected
            if expected is not None and not _same(stored[cell], expected, method, tolerance):
                bad.append((cell, stored[cell], expected))
    if bad:
        cell, got, expected = bad[0]
        report.wrong.append(
            f"{name}: {len(bad)} of {len(cells)} cells differ; cell {cell} holds {got}, its pixels give {expected}"
        )
    else:
        report.checked.append(f"{name}: {len(cells)} cells recomputed, all equal ({method})")


def _check_areas(
    product: str,
    planned: tuple[Target, Projection],
    written: dict[str, Any],
    report: Report,
    sample: tuple[int, int],
) -> None:
    """Recompute cells of another projection."""
    target, projection = planned
    spec, method = target.band.spec, written["reducer"]
    name = written["band"] + (f" {method}" if target.stats else "")
    fractions = written["file"] == target.fractions
    if not fractions and not recompute_areas.checkable(method, spec):
        report.checked.append(f"{name}: {method} has no second code path; files and grid only")
        return
    with _open(product, written["file"]) as raster:
        stored, nodata = raster.read(), raster.nodata
        cells = Grid(raster.shape, raster.transform, target.coarse.crs)
    bad, count = [], 0
    with open_source(target) as source:
        for at in dict.fromkeys(_sample_reached(target, projection, *sample)):
            areas = cell_areas(target.band.grid, cells, projection, at)
            if areas is None:  # beyond the edge of the map
                continue
            cell, got = recompute_areas.AreaCell.of(source, areas), stored[:, at[0], at[1]]
            count += 1
            if fractions:
                expected = recompute_areas.wrong_percent(cell, got.tolist(), spec)
            elif method in ("conservative", "majority"):
                expected = recompute_areas.wrong_code(cell, int(got[0]), method, spec)
            else:
                expected = recompute_areas.wrong(cell, float(got[0]), method, nodata)
            if expected:
                bad.append((at, got.tolist() if fractions else got[0], expected))
    if bad:
        at, value, expected = bad[0]
        report.wrong.append(
            f"{name}: {len(bad)} of {count} cells differ; cell {at} holds {value}, its polygon gives {expected}"
        )
    else:
        report.checked.append(f"{name}: {count} cells recomputed from polygons, all right ({method})")


def _sample_reached(target: Target, projection: Projection | None, count: int, seed: int) -> Iterator[tuple[int, int]]:
    """Cells like those of `_sample`, of the part of the grid that the source reaches: a tile may be larger."""
    image, lattice = target.band.grid, target.lattice
    reached = covering(image, lattice, projection) if projection else lattice.covering(image)
    begins = zip(lattice.first(reached), lattice.first(target.coarse), strict=True)
    shapes = zip(reached.shape, target.coarse.shape, strict=True)
    spans = [
        (max(first - begin, 0), min(first - begin + size, limit))
        for (first, begin), (size, limit) in zip(begins, shapes, strict=True)
    ]
    (top, bottom), (left, right) = spans
    for row, column in _sample((bottom - top, right - left), count, seed):
        yield top + row, left + column


def _same(got: np.integer[Any] | np.floating[Any], expected: Number, method: str, tolerance: float) -> bool:
    """Whether a cell holds what is expected; `tolerance` is of floats beside their rounding."""
    if isinstance(expected, float) and math.isnan(expected):
        return bool(np.isnan(got))
    if method == "count":  # an exact number, rounded to float64 once
        return bool(got == float(expected))
    if method == "circular":  # in degrees, or in hundredths of them; a turn apart is the same direction
        turn, most = (360, 1e-2) if np.dtype(got.dtype).kind == "f" else (36000, 1)
        return abs((float(got) - float(expected) + turn / 2) % turn - turn / 2) <= most
    if method == "std" or np.dtype(got.dtype).kind == "f":
        return math.isclose(float(got), float(expected), rel_tol=1e-6, abs_tol=tolerance)
    return int(got) == int(expected)


def _sample(shape: tuple[int, int], count: int, seed: int) -> Iterator[tuple[int, int]]:
    """The last cell, and random ones: (row, column)."""
    random = np.random.default_rng(seed)
    yield shape[0] - 1, shape[1] - 1
    for _ in range(count - 1):
        yield int(random.integers(shape[0])), int(random.integers(shape[1]))
