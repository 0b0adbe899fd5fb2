"""One band on cells of another projection by other programs, in this process: their CPU seconds and their answers.

- rasterio's `average` (wrong: see docs/average.md) takes the whole band, decoding included, as ours does;
- GDAL's `sum` over `sum` of ones with `tolerance=0`, and exactextract, are right and take minutes a band. They are
  given the pixels of some cells in the middle, decoded beforehand; costs are compared by pixel. For exactextract the
  cells' outlines are made beforehand too, of four chords a side.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import rasterio
from affine import Affine
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.warp import reproject, transform
from rasterio.windows import Window

from landsat_downsample.model.grid import Grid
from landsat_downsample.model.target import Target
from landsat_downsample.model.ties import tie_facts

#: Cells of the part, down and across, at most; and the least pixels of the image's shorter side to each of them.
PART, ROOM = 40, 100
#: Chords of a side of a cell.
CHORDS = 4
AVERAGE, SUMS, EXACT = "rasterio average", "GDAL sum / sum(1), tolerance 0", "exactextract"


@dataclass(frozen=True, slots=True)
class Peer:
    """A program, once."""

    name: str
    seconds: float
    """CPU; NaN where it is absent."""
    pixels: float
    """In the cells that it was asked for."""
    answer: str
    """How its cells differ from ours; or why it is absent."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some cells, and the pixels around them."""

    values: np.ndarray
    transform: Affine
    crs: str
    nodata: float
    cells: Grid
    pixels: float


def average(target: Target) -> np.ndarray:
    """The whole band by GDAL's warper, straight from its file."""
    coarse = target.coarse
    there = {"crs": coarse.crs, "transform": coarse.transform, "height": coarse.height, "width": coarse.width}
    with (
        rasterio.open(target.band.location.href, OVERVIEW_LEVEL="NONE") as source,
        WarpedVRT(source, src_crs=target.band.grid.crs, resampling=Resampling.average, **there) as warped,
    ):
        return warped.read(1)


def measured(target: Target, right: np.ndarray) -> list[Peer]:
    """What each gives for the cells of a target, ours being `right`; costs of those that take a part of it."""
    height, width = target.band.grid.shape
    side = min(PART, min(height, width) // ROOM)
    row, column = (n // 2 - side // 2 for n in right.shape)
    part = _part(target, row, column, side)
    ours = right[row : row + side, column : column + side]
    whole = Peer(AVERAGE, float("nan"), height * width, _differ(average(target), right))
    return [whole, *(_peer(name, call, part, ours) for name, call in ((SUMS, _sums), (EXACT, _exactextract)))]


def _peer(name: str, call: Callable[[Part], Callable[[], np.ndarray]], part: Part, ours: np.ndarray) -> Peer:
    try:
        ready = call(part)
    except ImportError as error:
        return Peer(name, float("nan"), part.pixels, f"absent: {error}")
    begun = time.process_time()
    found = ready()
    return Peer(name, time.process_time() - begun, part.pixels, _differ(found, ours))


def _differ(found: np.ndarray, ours: np.ndarray) -> str:
    """How far cells differ that both of them have."""
    both = (found > 0) & (ours > 0)
    return f"differs from ours by {np.abs(found[both] - ours[both].astype(float)).max():.3g} DN at most"


def _part(target: Target, row: int, column: int, side: int) -> Part:
    coarse, fine = target.coarse, target.band.grid
    cells = Grid((side, side), coarse.transform @ Affine.translation(column, row), coarse.crs)
    x, y = _outlines(cells, fine.crs)
    columns, rows = (x - fine.transform.c) / fine.transform.a, (y - fine.transform.f) / fine.transform.e
    left, top = int(columns.min()) - 2, int(rows.min()) - 2
    window = Window(left, top, int(columns.max()) + 3 - left, int(rows.max()) + 3 - top)
    with rasterio.open(target.band.location.href) as source:
        values = source.read(1, window=window)
    area = tie_facts(fine, target.lattice, target.projection).cell_area
    at = fine.transform @ Affine.translation(left, top)
    return Part(values, at, fine.crs, target.band.nodata, cells, area * side * side)


def _outlines(cells: Grid, crs: str) -> tuple[np.ndarray, np.ndarray]:
    """Outlines of cells in another CRS: x and y, (cells, points), row by row."""
    steps = np.arange(CHORDS) / CHORDS
    ahead, none = steps, np.zeros(CHORDS)
    across = np.concatenate([ahead, none + 1, 1 - ahead, none, [0]])
    down = np.concatenate([none, ahead, none + 1, 1 - ahead, [0]])
    row, column = (axis.reshape(-1, 1) for axis in np.indices(cells.shape))
    x = cells.transform.c + (column + across) * cells.transform.a
    y = cells.transform.f + (row + down) * cells.transform.e
    found = transform(cells.crs, crs, x.ravel(), y.ravel())
    return tuple(np.reshape(axis, x.shape) for axis in found)


def _sums(part: Part) -> Callable[[], np.ndarray]:
    if tuple(map(int, rasterio.__version__.split(".")[:2])) < (1, 5):
        raise ImportError(f"rasterio {rasterio.__version__} cannot ask GDAL for a tolerance, 1.5 can")
    valid = part.values != part.nodata
    images = np.where(valid, part.values, 0).astype(float), valid.astype(float)
    where = {"src_crs": part.crs, "src_transform": part.transform}
    where |= {"dst_crs": part.cells.crs, "dst_transform": part.cells.transform}

    def run() -> np.ndarray:
        made = []
        for image in images:
            out = np.zeros(part.cells.shape)
            reproject(image, out, resampling=Resampling.sum, tolerance=0, **where)
            made.append(out)
        return made[0] / np.maximum(made[1], 1e-9)

    return run


def _exactextract(part: Part) -> Callable[[], np.ndarray]:
    from exactextract import exact_extract
    from exactextract.raster import NumPyRasterSource

    (height, width), t = part.values.shape, part.transform
    edges = t.c, t.f + height * t.e, t.c + width * t.a, t.f
    raster = NumPyRasterSource(part.values, *edges, nodata=part.values.dtype.type(part.nodata).item(), name="band")
    rings = np.stack(_outlines(part.cells, part.crs), axis=2).tolist()
    cells = [
        {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}} for ring in rings
    ]

    def run() -> np.ndarray:
        found = exact_extract(raster, cells, ["mean"])
        means = [feature["properties"]["mean"] or 0 for feature in found]
        return np.reshape(np.array(means, float), part.cells.shape)

    return run
