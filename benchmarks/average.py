"""How far averages on other grids are from the mean of what lies in a cell: ``python -m benchmarks.average``.

GDAL's warper averages a rectangle of pixels in place of a cell. Here what it gives is compared with exact areas of
pixels in the cells' polygons, by place, grid and texture, and one cell is drawn. Writes the table into
``docs/average.md`` and the picture beside it.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import rasterio
import rioxarray
from affine import Affine
from pyproj import Transformer
from rasterio.enums import Resampling
from rasterio.warp import reproject

import landsat_downsample as ld

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))
import polygon_cells as oracle  # noqa: E402, as the tests import it

PAGE = ROOT / "docs" / "average.md"
BEGIN, END = "<!-- by python -m benchmarks.average -->\n", "<!-- end -->\n"

ALBERS = "+proj=aea +lat_0=23 +lon_0=-96 +lat_1=29.5 +lat_2=45.5 +x_0=0 +y_0=0 +datum=WGS84 +units=m +no_defs"
MODIS_SIDE = 1111950.519667


class Raster(NamedTuple):
    """Where the pixels of an image, or the cells of a target, lie."""

    crs: str
    transform: Affine
    shape: tuple[int, int]
    name: str = ""
    """Of a target: what this library calls its grid."""


@dataclass(frozen=True)
class Case:
    """A piece of a UTM zone, and a grid to take its means on."""

    place: str
    zone: str
    centre: tuple[float, float]
    """Longitude and latitude."""
    grid: str
    target: str
    cell: float
    anchor: tuple[float, float]
    """Any corner of the grid's cells."""
    name: str
    """What this library calls the grid."""
    metres: float
    """Side of a cell, about."""

    def source(self, side: int) -> Raster:
        """Square image of `side` pixels of 30 m at the place, on the lattice of Landsat."""
        x, y = Transformer.from_crs("EPSG:4326", self.zone, always_xy=True).transform(*self.centre)
        left, top = round(x / 300) * 300 - 15 - 30 * (side // 2), round(y / 300) * 300 + 15 + 30 * (side // 2)
        return Raster(self.zone, Affine(30, 0, left, 0, -30, top), (side, side))

    def lattice(self, source: Raster) -> Raster:
        """The cells around an image."""
        rows, columns = source.shape
        edge = np.linspace(0, 1, 65)
        along = np.concatenate((edge, edge, 0 * edge, 0 * edge + 1)) * columns
        down = np.concatenate((0 * edge, 0 * edge + 1, edge, edge)) * rows
        at = source.transform.a * along + source.transform.c, source.transform.e * down + source.transform.f
        x, y = Transformer.from_crs(source.crs, self.target, always_xy=True).transform(*at)
        (x0, y0), size = self.anchor, self.cell
        first, last = math.floor((min(x) - x0) / size), math.ceil((max(x) - x0) / size)
        upper, lower = math.ceil((max(y) - y0) / size), math.floor((min(y) - y0) / size)
        transform = Affine(size, 0, x0 + first * size, 0, -size, y0 + upper * size)
        return Raster(self.target, transform, (upper - lower, last - first), self.name)


_MODIS = oracle.SINUSOIDAL, MODIS_SIDE / 2400, (-20015109.354, 10007554.677), "modis:500m", 463
_COARSER = oracle.SINUSOIDAL, MODIS_SIDE / 1200, (-20015109.354, 10007554.677), "modis:1km", 927
_KANSAS = "Kansas, 40° N", "EPSG:32614", (-100, 40)
CASES = (
    Case(*_KANSAS, "MODIS 500 m", *_MODIS),
    Case(*_KANSAS, "MODIS 1 km", *_COARSER),
    Case(*_KANSAS, "lat/lon 0.01°", "EPSG:4326", 0.01, (-180, 90), "latlon:0.01", 1110),
    Case(*_KANSAS, "lat/lon 0.05°", "EPSG:4326", 0.05, (-180, 90), "latlon:0.05", 5560),
    Case(
        "Oregon, 44° N", "EPSG:32610", (-121.5, 44),
        "Landsat ARD, 480 m", ALBERS, 480, (-2565585, 3314805), "ard:480", 480,
    ),
    Case("Finland, 62° N", "EPSG:32635", (26, 62), "EPSG:3035, 500 m", "EPSG:3035", 500, (0, 0), "EPSG:3035@500", 500),
    Case("Siberia, 65° N", "EPSG:32651", (120, 65), "MODIS 500 m", *_MODIS),
)  # fmt: skip

Method = Callable[[np.ndarray, Raster, Raster], np.ndarray]


def gdal_average(pixels: np.ndarray, source: Raster, target: Raster) -> np.ndarray:
    """What rasterio, and all that stands on it, calls the average."""
    return _warped(pixels, source, target, Resampling.average)


def gdal_sum(pixels: np.ndarray, source: Raster, target: Raster) -> np.ndarray:
    """GDAL's sum of the pixels over its sum of ones, which goes by polygons; exact, where rasterio can ask for it."""
    exact = {"tolerance": 0} if rasterio.__version__ >= "1.5" else {}
    total, areas = (_warped(x, source, target, Resampling.sum, **exact) for x in (pixels, np.ones_like(pixels)))
    with np.errstate(invalid="ignore"):
        return total / areas


def rioxarray_match(pixels: np.ndarray, source: Raster, target: Raster) -> np.ndarray:
    """The same by rioxarray."""
    import xarray as xr

    def array(values: np.ndarray, raster: Raster) -> xr.DataArray:
        made = xr.DataArray(values, dims=("y", "x")).rio.write_crs(raster.crs).rio.write_nodata(np.nan)
        return made.rio.write_transform(raster.transform)

    like = array(np.zeros(target.shape), target)
    return array(pixels, source).rio.reproject_match(like, resampling=Resampling.average).values


def ours(pixels: np.ndarray, source: Raster, target: Raster) -> np.ndarray:
    """What this library makes of a file, as floats: of whole numbers it makes whole numbers."""
    found = np.full(target.shape, np.nan)
    profile = {"driver": "GTiff", "count": 1, "dtype": "float32", "crs": source.crs, "transform": source.transform}
    with TemporaryDirectory() as folder:
        path, out = Path(folder) / "image.tif", Path(folder) / "out"
        with rasterio.open(path, "w", height=source.shape[0], width=source.shape[1], **profile) as file:
            file.write(pixels.astype("float32"), 1)
        (outcome,) = ld.run(ld.plan(path, out, grid=target.name), workers=1)
        if outcome.status != "done":
            raise RuntimeError(outcome.error)
        (product,) = out.glob("*/*.TIF")
        with rasterio.open(product) as file:
            column, row = (round(n) for n in ~target.transform @ (file.transform.c, file.transform.f))
            found[row : row + file.height, column : column + file.width] = file.read(1)
    return found


#: Column of the table -> what fills it.
METHODS: dict[str, Method] = {
    "GDAL `average`": gdal_average,
    "GDAL `sum` / `sum` of ones": gdal_sum,
    "landsat-downsample": ours,
}


def _warped(pixels: np.ndarray, source: Raster, target: Raster, how: Resampling, **options) -> np.ndarray:
    found = np.full((*pixels.shape[:-2], *target.shape), np.nan)
    where = {"src_crs": source.crs, "src_transform": source.transform, "src_nodata": np.nan}
    where |= {"dst_crs": target.crs, "dst_transform": target.transform, "dst_nodata": np.nan}
    reproject(pixels, found, resampling=how, **where, **options)
    return found


def textures(side: int, folder: Path) -> dict[str, np.ndarray]:
    """Images of `side` pixels: fields, woods and clouds of a synthetic scene, and one without larger shapes."""
    scene = ld.make_scene(folder, size=(side * 5 // 3, side * 5 // 3), bands=["SR_B5"], seed=1)
    with rasterio.open(scene / f"{scene.name}_SR_B5.TIF") as file:
        at = side // 3
        landscape = file.read(1, window=((at, at + side), (at, at + side))).astype(float)
    assert (landscape == 0).mean() < 1e-3  # no fill but single pixels
    landscape[landscape == 0] = landscape.mean()
    spectrum = np.fft.rfft2(np.random.default_rng(11).standard_normal((side, side)))
    squared = np.fft.fftfreq(side)[:, None] ** 2 + np.fft.rfftfreq(side)[None, :] ** 2
    fine = np.fft.irfft2(spectrum * np.exp(-squared * (2 * np.pi * 2) ** 2 / 2), s=(side, side))
    return {"landscape": landscape, "fine": 12_000 + 2_500 * fine / fine.std()}


class Truth(NamedTuple):
    """Cells of a target that lie within an image, and what pixels each of them holds."""

    rows: np.ndarray
    columns: np.ndarray
    weights: list[oracle.Weights]


def truth(source: Raster, target: Raster, metres: float, most: int) -> Truth:
    """`most` cells at random, or all."""
    height, width = target.shape
    x, y = np.meshgrid(np.arange(width + 1), np.arange(height + 1))
    x, y = target.transform.a * x + target.transform.c, target.transform.e * y + target.transform.f
    x, y = Transformer.from_crs(target.crs, source.crs, always_xy=True).transform(x, y)
    column, row = (x - source.transform.c) / 30, (source.transform.f - y) / 30
    inside = (column > 2) & (row > 2) & (column < source.shape[1] - 2) & (row < source.shape[0] - 2)
    rows, columns = np.nonzero(inside[1:, 1:] & inside[:-1, 1:] & inside[1:, :-1] & inside[:-1, :-1])
    if len(rows) > most:
        chosen = np.sort(np.random.default_rng(3).choice(len(rows), most, replace=False))
        rows, columns = rows[chosen], columns[chosen]
    bounds = [_bounds(target, j, i) for j, i in zip(rows.tolist(), columns.tolist(), strict=True)]
    segments = oracle.segments_of(metres)
    found = oracle.cells(target.crs, bounds, source.crs, source.transform, source.shape, segments=segments)
    return Truth(rows, columns, found)


def _bounds(target: Raster, row: int, column: int) -> tuple[float, float, float, float]:
    left, top = target.transform @ (column, row)
    right, bottom = target.transform @ (column + 1, row + 1)
    return left, bottom, right, top


def errors(case: Case, images: dict[str, np.ndarray], methods: dict[str, Method], most: int) -> dict[str, list]:
    """By texture: for each method the error in percent of the spread (root mean square), and the largest one."""
    (side, _) = next(iter(images.values())).shape
    source = case.source(side)
    target = case.lattice(source)
    cells = truth(source, target, case.metres, most)
    found = {}
    for texture, pixels in images.items():
        valid = np.ones(pixels.shape, bool)
        means = np.array([oracle.weighted_mean(pixels, valid, weights) for weights in cells.weights])
        off = [method(pixels, source, target)[cells.rows, cells.columns] - means for method in methods.values()]
        found[texture] = [(100 * np.sqrt(np.mean(e**2)) / means.std(), np.abs(e).max()) for e in off]
    return found


def table(cases: Iterable[Case], images: dict[str, np.ndarray], methods: dict[str, Method], most: int) -> list[str]:
    """Lines of the table, in Markdown."""
    lines = [f"| place | grid | texture | {' | '.join(methods)} |", "|---|---|---|" + "--:|" * len(methods)]
    for case in cases:
        for texture, pairs in errors(case, images, methods, most).items():
            words = (f"{_short(percent)} % ({_short(largest)} DN)" for percent, largest in pairs)
            lines.append(f"| {case.place} | {case.grid} | {texture} | {' | '.join(words)} |")
    return lines


def _short(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return (
        f"{value:.1f}"
        if value >= 1
        else f"{value:.2f}"
        if value >= 0.01
        else f"{value:.1g}"
        if value >= 1e-4
        else "< 0.0001"
    )


def put(lines: list[str], page: Path) -> None:
    """Replace the table of the page."""
    head, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    assert rest, f"no line {BEGIN!r} in {page.name}"
    _, _, tail = rest.partition(END)
    page.write_text(head + BEGIN + "\n".join(["", *lines, "", ""]) + END + tail, encoding="utf-8")


def as_average(case: Case, pixels: np.ndarray) -> bool:
    """Whether rioxarray gives the very numbers that GDAL's average gives."""
    source = case.source(len(pixels))
    target = case.lattice(source)
    found, expected = (method(pixels, source, target) for method in (rioxarray_match, gdal_average))
    return np.array_equal(found, expected, equal_nan=True)


def _versions(same: bool) -> str:
    return (
        f"GDAL {rasterio.__gdal_version__}, rasterio {rasterio.__version__}. "
        f"`reproject_match` of rioxarray {rioxarray.__version__} gives "
        f"{'the same numbers' if same else 'other numbers'} as `average`."
    )


def gdal_weights(case: Case, source: Raster, bounds: tuple[float, float, float, float], window: Raster) -> np.ndarray:
    """Weight of each pixel of a window in GDAL's average of one cell: what it makes of each pixel alone."""
    left, _, _, top = bounds
    cell = Raster(case.target, Affine(case.cell, 0, left, 0, -case.cell, top), (1, 1))
    count = window.shape[0] * window.shape[1]
    alone = np.eye(count).reshape(count, *window.shape)
    return _warped(alone, window, cell, Resampling.average).reshape(window.shape)


def draw(case: Case, out: Path) -> None:
    """Draw one cell: the pixels that lie in it, and those that GDAL averages."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    source = case.source(600)
    target = case.lattice(source)
    bounds = _bounds(target, target.shape[0] // 2, target.shape[1] // 2)
    segments = oracle.segments_of(case.metres)
    outline = oracle.cell_polygon(case.target, *bounds, source_crs=case.zone, segments=segments)
    x, y = (np.array(line) for line in outline.exterior.coords.xy)
    column, row = (x - source.transform.c) / 30, (source.transform.f - y) / 30
    first, top = math.floor(column.min()) - 3, math.floor(row.min()) - 3
    shape = math.ceil(row.max()) + 3 - top, math.ceil(column.max()) + 3 - first
    window = Raster(source.crs, source.transform @ Affine.translation(first, top), shape)
    column, row = column - first, row - top

    true = np.zeros(shape)
    found = oracle.weights(outline, window.transform, shape)
    true[found.row :, found.column :][: found.shares.shape[0], : found.shares.shape[1]] = found.shares
    gdal = gdal_weights(case, source, bounds, window)
    gdal /= gdal.max()

    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.4), layout="constrained", sharey=True)
    within = 100 * np.minimum(true, gdal).sum() / gdal.sum()
    titles = (
        f"In the cell: {true.sum():.0f} pixels' area",
        f"Averaged by GDAL: {gdal.sum():.0f} pixels' area, {within:.0f} % in the cell",
    )
    for axis, title, weights in zip(axes, titles, (true, gdal), strict=True):
        image = axis.pcolormesh(weights, cmap="Blues", vmin=0, vmax=1.4, edgecolors="0.8", linewidth=0.4)
        axis.plot(column, row, color="black", linewidth=2.2, label="the cell, where the pixels lie")
        axis.set(title=title, aspect="equal", xlim=(0, shape[1]), ylim=(shape[0], 0), xlabel="pixels of 30 m")
    left, right, upper, lower = _rectangle(gdal)
    axes[1].plot(
        [left, right, right, left, left], [upper, upper, lower, lower, upper],
        color="#D55E00", linestyle="--", linewidth=2.2, label="GDAL's rectangle",
    )  # fmt: skip
    figure.colorbar(
        image, ax=axes, label="weight of a pixel", boundaries=np.linspace(0, 1, 51), ticks=[0, 0.5, 1], shrink=0.8
    )
    handles, labels = axes[1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(f"One cell of {case.grid} in {case.place}", fontsize="x-large")
    figure.savefig(out, dpi=110, metadata={"Software": None})
    pyplot.close(figure)


def _rectangle(weights: np.ndarray) -> tuple[float, float, float, float]:
    """Left, right, upper and lower side of the rectangle whose pixels have these weights, the whole ones 1."""
    (upper, lower), (left, right) = ((int(n.min()), int(n.max())) for n in np.nonzero(weights > 1e-9))
    middle = weights[(upper + lower) // 2], weights[:, (left + right) // 2]
    return left + 1 - middle[0][left], right + middle[0][right], upper + 1 - middle[1][upper], lower + middle[1][lower]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.average", description=__doc__.partition(":")[0])
    parser.add_argument("--cells", type=int, default=2000, metavar="N", help="at most, of each grid (2000)")
    parser.add_argument("--side", type=int, default=2046, metavar="N", help="of the images, in pixels (2046)")
    asked = parser.parse_args()
    with TemporaryDirectory() as folder:
        images = textures(asked.side, Path(folder))
    lines = table(CASES, images, METHODS, asked.cells)
    same = all(as_average(case, images["fine"]) for case in CASES)
    put(
        [*lines, "", _versions(same), f"{asked.side} x {asked.side} pixels, at most {asked.cells} cells of each grid."],
        PAGE,
    )
    draw(CASES[0], PAGE.with_suffix(".png"))
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
