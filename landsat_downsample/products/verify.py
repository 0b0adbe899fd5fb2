"""Check a finished product, and recompute random cells of it by a second code path.

The second path shares nothing with the reducers: it reads a cell's own pixel window and
answers with Python's exact fractions, one cell at a time.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any
from urllib.parse import unquote

import numpy as np
import rasterio
from rasterio.windows import Window

from landsat_downsample.errors import LandsatDownsampleError, UsageError
from landsat_downsample.formats.multihash import multihash
from landsat_downsample.model.band import Band
from landsat_downsample.model.bands import BandSpec, BitField
from landsat_downsample.model.grid import Grid, cell_edges
from landsat_downsample.model.location import Location
from landsat_downsample.model.plan import Options, Target, plan_scene
from landsat_downsample.model.product import MARKER, SUFFIX
from landsat_downsample.model.scene import Scene
from landsat_downsample.pipeline.pixels import fetch_band
from landsat_downsample.products.stac import validate_item
from landsat_downsample.scenes import checksums
from landsat_downsample.scenes.header import open_raster
from landsat_downsample.scenes.open import open_scene
from landsat_downsample.storage import files


@dataclass(slots=True)
class Report:
    """What was checked, and what is wrong."""

    checked: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def verify(product: str, *, source: str | None = None, blocks: int = 16, seed: int = 0) -> Report:
    """Check a product's files, item and grids; with its source, recompute cells of every band.

    Parameters
    ----------
    product : str
        Folder of the product.
    source : str, optional
        Href of the source scene. Without it the pixels cannot be checked.
    blocks : int
        Random cells to recompute in each band; edge cells are always among them.
    seed : int
        Which random cells.

    Returns
    -------
    Report
        One line for each check that held, and one for each that did not.

    Raises
    ------
    UsageError
        There is no product at that place.
    """
    if blocks < 1:
        raise UsageError(f"blocks {blocks!r} must be at least 1")
    report = Report()
    item, met = _read_metadata(product)
    _check_files(product, item, met, report)
    _check_item(item, report)
    _check_grids(product, met, report)
    if source is None:
        report.checked.append("pixels not recomputed: give the source with --source to check them")
    elif not report.wrong:
        _check_cells(product, met, open_scene(source), report, (blocks, seed))
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


def _check_grids(product: str, met: dict[str, Any], report: Report) -> None:
    shapes = set()
    for record in met["files"]:
        with _open(product, record["file"]) as raster:
            shapes.add((raster.shape, tuple(raster.transform)[:6], str(raster.crs)))
    if len(shapes) == 1:
        report.checked.append(f"{len(met['files'])} rasters lie on one grid")
    else:
        report.wrong.append("the rasters do not lie on one grid")


@contextmanager
def _open(product: str, filename: str) -> Iterator[rasterio.DatasetReader]:
    location = Location(product) / filename
    with files.fetch(files.FetchRequest(location)) as file, open_raster(file.gdal_path, location) as raster:
        yield raster


def _check_cells(product: str, met: dict[str, Any], scene: Scene, report: Report, sample: tuple[int, int]) -> None:
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
    for target in item.targets:
        for filename in dict.fromkeys((target.filename, *target.files.values())):
            if filename in written:
                _check_band(product, target, written[filename], report, sample)


def _options(met: dict[str, Any]) -> dict[str, Any]:
    known = dict.fromkeys(("factor", "resolution", "size", "bands", "bounds"))
    return {**known, "mask": [], "methods": {}, **met["parameters"]}


def _check_band(product: str, target: Target, written: dict[str, Any], report: Report, sample: tuple[int, int]) -> None:
    name, method = target.band.name, written["reducer"]
    name += f" {method}" if target.stats else ""
    recompute = SECOND_PATH.get(method)
    if recompute is None:
        report.checked.append(f"{name}: {method} has no second code path; files and grid only")
        return
    with _open(product, written["file"]) as raster:
        stored, nodata = raster.read(1), raster.nodata
    bad = []
    cells = list(_sample(stored.shape, *sample))
    with _source(target.band) as pixels, _source(target.quality) as quality:
        for cell in cells:
            expected = recompute(_Cell(target, cell, pixels, quality))
            expected = nodata if expected is None else expected
            if expected is not None and not _same(stored[cell], expected, method):
                bad.append((cell, stored[cell], expected))
    if bad:
        cell, got, expected = bad[0]
        report.wrong.append(
            f"{name}: {len(bad)} of {len(cells)} cells differ; cell {cell} holds {got}, its pixels give {expected}"
        )
    else:
        report.checked.append(f"{name}: {len(cells)} cells recomputed, all equal ({method})")


def _same(got: np.integer[Any] | np.floating[Any], expected: float, method: str) -> bool:
    if isinstance(expected, float) and math.isnan(expected):
        return bool(np.isnan(got))
    if method == "count":  # an exact number, rounded to float64 once
        return bool(got == float(expected))
    if method in ("std", "circular") or np.dtype(got.dtype).kind == "f":
        return math.isclose(float(got), float(expected), rel_tol=1e-6, abs_tol=1.0 if method == "circular" else 0.0)
    return int(got) == int(expected)


def _sample(shape: tuple[int, int], count: int, seed: int) -> Iterator[tuple[int, int]]:
    """The last cell, and random ones: (row, column)."""
    random = np.random.default_rng(seed)
    yield shape[0] - 1, shape[1] - 1
    for _ in range(count - 1):
        yield int(random.integers(shape[0])), int(random.integers(shape[1]))


@contextmanager
def _source(band: Band | None) -> Iterator[rasterio.DatasetReader | None]:
    if band is None:
        yield None
        return
    with fetch_band(band) as file, open_raster(file.gdal_path, band.location) as raster:
        yield raster


Recompute = Callable[["_Cell"], float | None]


@dataclass(frozen=True, slots=True)
class _Cell:
    """One coarse cell and the open rasters that it is recomputed from."""

    target: Target
    index: tuple[int, int]
    pixels: rasterio.DatasetReader
    quality: rasterio.DatasetReader | None

    def weighted(self) -> list[tuple[int | float, Fraction]]:
        """(value, share of a pixel) for every valid pixel of the cell."""
        rows, columns = (self._span(axis) for axis in (0, 1))
        window = Window(columns[0][0], rows[0][0], len(columns), len(rows))
        values = self.pixels.read(1, window=window)
        found = []
        for i, (row, high) in enumerate(rows):
            for j, (column, wide) in enumerate(columns):
                value = values[i, j].item()
                if self._counts(value, row, column):
                    found.append((value, high * wide))
        return found

    def _span(self, axis: int) -> list[tuple[int, Fraction]]:
        """Pixels that the cell overlaps along an axis, and how much of each."""
        target, fine = self.target, self.target.band.grid
        ratio, offset = target.lattice.in_pixels(target.coarse, fine, axis)
        edges, unit = cell_edges(target.coarse.shape[axis], ratio, -offset)
        low, high = (Fraction(int(edges[self.index[axis] + end]), unit) for end in (0, 1))
        low, high = max(low, Fraction(0)), min(high, Fraction(fine.shape[axis]))
        pixels = range(math.floor(low), math.ceil(high))
        return [(p, min(high, Fraction(p + 1)) - max(low, Fraction(p))) for p in pixels]

    def _counts(self, value: float, row: int, column: int) -> bool:
        band, spec, quality = self.target.band, self.target.band.spec, self.target.quality
        if band.nodata is not None and value == band.nodata and spec.kind != "bits":
            return False
        if isinstance(value, float) and math.isnan(value):
            return False
        if spec.fill_from and self.quality is None and spec.kind != "bits":
            return value != 0
        if self.quality is None or quality is None:
            return True
        codes = self._quality_codes(self.quality, quality.grid, row, column)
        names = (*self.target.mask, "fill") if spec.fill_from else self.target.mask
        flags = [flag for name in names if (flag := quality.spec.field(name))]
        return not any(code >> flag.offset & 1 for code in codes for flag in flags)

    def _quality_codes(self, quality: rasterio.DatasetReader, wide: Grid, row: int, column: int) -> list[int]:
        """Codes of the quality pixels that a pixel touches: one, or up to four for the 15 m band."""
        fine = self.target.band.grid
        spans = []
        for axis, at in ((0, row), (1, column)):
            ratio = fine.resolution[axis] / wide.resolution[axis]
            shift = _edge(fine, axis) - _edge(wide, axis)
            start = (shift if axis else -shift) / wide.resolution[axis] + at * ratio
            low, high = math.floor(start + 1e-9), math.ceil(start + ratio - 1e-9) - 1
            spans.append([min(max(k, 0), wide.shape[axis] - 1) for k in range(low, high + 1)])
        (top, *_, bottom), (left, *_, right) = ([s[0], s[-1]] for s in spans)
        window = Window(left, top, right - left + 1, bottom - top + 1)
        return [int(code) for code in quality.read(1, window=window).ravel()]


def _edge(grid: Grid, axis: int) -> float:
    return grid.transform.c if axis else grid.transform.f


def _covered(pairs: Sequence[tuple[float, Fraction]]) -> Fraction:
    return sum((share for _, share in pairs), Fraction(0))


def _enough(cell: _Cell, pairs: Sequence[tuple[float, Fraction]]) -> bool:
    """Whether the valid pixels cover the share of the cell that was asked for."""
    area, covered = _covered(cell._span(0)) * _covered(cell._span(1)), _covered(pairs)
    return covered > 0 and covered >= Fraction(str(cell.target.min_valid)) * area


def _mean(cell: _Cell) -> float | None:
    pairs = cell.weighted()
    if not _enough(cell, pairs):
        return None
    exact = sum((Fraction(v) * w for v, w in pairs), Fraction(0)) / _covered(pairs)
    if isinstance(pairs[0][0], float):
        return float(exact)
    nodata = cell.target.band.nodata
    value = round(exact)  # Python rounds fractions half to even
    if value == nodata and not cell.target.band.spec.fill_from:
        value += 1 if exact >= value and value < np.iinfo(cell.target.band.dtype).max else -1
    return value


def _extreme(choose: Callable[[Iterable[float]], float]) -> Recompute:
    def compute(cell: _Cell) -> float | None:
        pairs = cell.weighted()
        return choose(v for v, _ in pairs) if _enough(cell, pairs) else None

    return compute


def _rms(cell: _Cell) -> float | None:
    pairs = cell.weighted()
    if not _enough(cell, pairs):
        return None
    return round(math.sqrt(sum(Fraction(v) ** 2 * w for v, w in pairs) / _covered(pairs)))


def _sum(cell: _Cell) -> float | None:
    pairs = cell.weighted()
    return float(sum(Fraction(v) * w for v, w in pairs)) if _enough(cell, pairs) else None


def _std(cell: _Cell) -> float | None:
    pairs = cell.weighted()
    if not _enough(cell, pairs):
        return None
    mean, square = (sum(Fraction(v) ** power * w for v, w in pairs) / _covered(pairs) for power in (1, 2))
    return math.sqrt(square - mean**2)


def _count(cell: _Cell) -> float:
    return float(_covered(cell.weighted()))  # however few they are


def _median(cell: _Cell) -> float | None:
    pairs = sorted(cell.weighted())
    if not _enough(cell, pairs):
        return None
    half, running, middle = _covered(pairs) / 2, Fraction(0), []
    for value, share in pairs:
        if running <= half <= running + share:
            middle.append(value)
        running += share
    exact = Fraction(middle[0]) / 2 + Fraction(middle[-1]) / 2
    return float(exact) if isinstance(middle[0], float) else round(exact)


def _circular(cell: _Cell) -> float | None:
    pairs = cell.weighted()
    if not _enough(cell, pairs):
        return None
    unit = math.radians(cell.target.band.spec.scale or 1.0)
    east, north = (sum(f(v * unit) * float(w) for v, w in pairs) for f in (math.sin, math.cos))
    return math.atan2(east, north) / unit


def _code(policy: str) -> Recompute:
    def compute(cell: _Cell) -> float | None:
        spec = cell.target.band.spec
        fill = spec.field("fill")
        pairs = [(int(v), w) for v, w in cell.weighted() if not (fill and int(v) & fill.mask)]
        if not _enough(cell, pairs):
            return spec.fill or 0
        codes = {v for v, _ in pairs}
        if len(codes) == 1:
            return codes.pop()
        decided = (f for f in spec.fields if f is not fill and f.rule != "clear")
        return sum(_field(f, policy, pairs) << f.offset for f in decided) | _clear(spec, policy, pairs)

    return compute


def _field(bits: BitField, policy: str, pairs: Sequence[tuple[int, Fraction]]) -> int:
    total = _covered(pairs)
    reached = 0
    for level in range(1, 1 << bits.length):
        if bits.levels and bits.levels[level] == "reserved":
            continue
        share = sum(w for v, w in pairs if (v >> bits.offset) % (1 << bits.length) >= level)
        rule = "majority" if policy == "majority" else bits.rule
        if {"all": share == total, "majority": 2 * share >= total}.get(rule, share > 0):
            reached = level
    return reached


def _clear(spec: BandSpec, policy: str, pairs: Sequence[tuple[int, Fraction]]) -> int:
    clear = spec.field("clear")
    if clear is None:
        return 0
    clouds = [f for f in (spec.field("cloud"), spec.field("dilated_cloud")) if f]
    return 0 if any(_field(f, policy, pairs) for f in clouds) else clear.mask


def _mode(cell: _Cell) -> float | None:
    """The value that covers most of the cell, the smallest of equals; of the valid codes of a quality band."""
    fill = cell.target.band.spec.field("fill")
    pairs = [(v, w) for v, w in cell.weighted() if not (fill and int(v) & fill.mask)]
    if not _enough(cell, pairs):
        return cell.target.band.spec.fill
    share: dict[float, Fraction] = {}
    for value, weight in pairs:
        share[value] = share.get(value, Fraction(0)) + weight
    return min(share, key=lambda value: (-share[value], value))


SECOND_PATH: dict[str, Recompute] = {
    "mean": _mean,
    "mode": _mode,
    "min": _extreme(min),
    "max": _extreme(max),
    "rms": _rms,
    "sum": _sum,
    "std": _std,
    "count": _count,
    "median": _median,
    "circular": _circular,
    "conservative": _code("conservative"),
    "majority": _code("majority"),
}
