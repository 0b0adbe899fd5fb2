"""What pyramid tools make of a cube, beside a reduction of its scenes straight to the larger cells.

``python -m benchmarks.pyramids`` prints the table of docs/cube.md. Tools that are not installed are left out:
``pip install topozarr ndpyramid`` on Python 3.12.
"""

from __future__ import annotations

import math
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import rasterio
import xarray as xr
from rasterio.enums import Resampling

import landsat_downsample as ld

FACTOR, LEVELS = 10, (2, 4, 8)
SIZE = (2471, 2263)
SCALE, OFFSET, CLOUD = 2.75e-05, -0.2, 8
NAMES = ["red", "red_count", "qa_pixel"]

#: Stored values of `red` and `qa_pixel` by level: (rows, columns) of one date.
Levels = Mapping[int, Mapping[str, np.ndarray]]


@dataclass(frozen=True, slots=True)
class Answer:
    """How far one tool's levels are from the pixels', all levels taken together."""

    tool: str
    bias: float
    """Mean difference of `red` where all pixels are valid, in stored numbers."""
    inside: float
    """Largest difference there."""
    edges: float
    """Largest difference where fill begins."""
    codes: float
    """Percent of codes of QA_PIXEL that are others."""
    cloud: float
    """Percent of cells whose cloud flag is another one."""
    missing: int
    """Cells with data that it does not have."""

    def row(self) -> str:
        """For the page."""
        bias = round(self.bias, 2) + 0.0  # no -0.00
        far = f"{bias:+.2f} | {self.inside:.0f} | {self.edges:.0f}"
        return f"| {self.tool} | {far} | {self.codes:.1f} | {self.cloud:.1f} | {self.missing} |"


def main() -> None:
    """Print the table."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        for answer in measure(Path(folder)):
            print(answer.row(), flush=True)


def measure(folder: Path, size: tuple[int, int] = SIZE) -> Iterator[Answer]:
    """Make a scene, its products and a cube with levels; judge ours, then those of each tool."""
    scene = ld.make_scene(folder / "source", size=size, bands=["SR_B4", "QA_PIXEL"])
    # From a corner of the largest cells on, as the tools count theirs from the array's; to the scene's own edges.
    left, bottom, right, top = ld.open_scene(scene).grid.bounds
    cell = LEVELS[-1] * 30 * FACTOR
    bounds = (-15 + math.ceil((left + 15) / cell) * cell, bottom, right, 15 + math.floor((top - 15) / cell) * cell)
    straight = {}
    for level in (1, *LEVELS):
        how = {"factor": level * FACTOR, "stats": ["mean", "sum", "count"], "bands": ["red", "qa_pixel"]}
        ld.run(ld.plan(scene, folder / str(level), **how))
        straight[level] = ld.open_products(folder / str(level), NAMES).isel(time=0).load()
    cube = folder / "cube.zarr"
    ld.cube(folder / "1", cube, ["red", "qa_pixel"], bounds=bounds, levels=LEVELS)
    base = xr.open_zarr(cube, group="1")
    ours = {level: xr.open_zarr(cube, group=str(level), mask_and_scale=False).isel(time=0) for level in LEVELS}
    place = {level: (one.y.values, one.x.values) for level, one in ours.items()}
    expected = {level: straight[level].sel(y=y, x=x) for level, (y, x) in place.items()}
    yield judged("`--levels 2,4,8`", expected, {n: {k: one[k].values for k in TAKEN} for n, one in ours.items()})
    for package, levels in TOOLS:
        try:
            release = rasterio.__gdal_version__ if package == "GDAL" else version(package)
            yield judged(f"{package} {release}: {levels.__doc__}", expected, levels(base, folder))
        except (ImportError, PackageNotFoundError):
            print(f"{package} is not installed")


TAKEN = ("red", "qa_pixel")


def judged(tool: str, expected: Mapping[int, xr.Dataset], levels: Levels) -> Answer:
    """Compare, where the tool has cells."""
    far, edge, codes, cloud, missing = [], [], [], [], 0
    for level, truth in expected.items():
        whole = truth.red_count.values == (level * FACTOR) ** 2
        red, qa = (np.asarray(levels[level][name]).astype("int64") for name in TAKEN)
        rows, columns = (min(one, other) for one, other in zip(red.shape, whole.shape, strict=True))
        valid = truth.red.values > 0
        missing += int(valid.sum() - valid[:rows, :columns].sum())
        cut = np.s_[:rows, :columns]
        wrong = (red[cut] - truth.red.values[cut]).astype("int64")
        far.append(wrong[whole[cut]])
        edge.append(wrong[(valid & ~whole)[cut]])
        there = truth.qa_pixel.values[cut]
        codes.append((qa[cut] != there)[there != 1])
        cloud.append((qa[cut] & CLOUD != there & CLOUD)[there != 1])
    inside, edges = np.concatenate(far), np.concatenate(edge)
    shares = [100 * float(np.concatenate(some).mean()) for some in (codes, cloud)]
    return Answer(tool, float(inside.mean()), np.abs(inside).max(), np.abs(edges).max(), *shares, missing)


def _stored(red: np.ndarray) -> np.ndarray:
    """Reflectance as stored numbers; 0 where there is none."""
    return np.where(np.isnan(red), 0, np.rint((np.nan_to_num(red) - OFFSET) / SCALE))


def by_xarray(base: xr.Dataset, folder: Path) -> Levels:
    """`coarsen(y=2, x=2, boundary="trim").mean()`, level from level, as stored types"""
    made, cells = {}, base[[*TAKEN]].isel(time=0)
    for level in LEVELS:
        cells = cells.coarsen(y=2, x=2, boundary="trim").mean()
        cells["qa_pixel"] = cells.qa_pixel.astype("uint16")
        made[level] = {"red": _stored(cells.red.values), "qa_pixel": cells.qa_pixel.values}
    return made


def by_truncation(base: xr.Dataset, folder: Path) -> Levels:
    """`coarsen(...).mean().astype("uint16")` of stored numbers without fill"""
    made, cells = {}, base[[*TAKEN]].isel(time=0)
    cells["red"] = (("y", "x"), np.where(np.isnan(cells.red), np.nan, _stored(cells.red.values)))
    for level in LEVELS:
        cells = cells.coarsen(y=2, x=2, boundary="trim").mean()
        whole = np.nan_to_num(cells.red.values).astype("uint16")
        cells["red"] = (("y", "x"), np.where(whole == 0, np.nan, whole))
        cells["qa_pixel"] = cells.qa_pixel.astype("uint16")
        made[level] = {"red": whole, "qa_pixel": cells.qa_pixel.values}
    return made


def by_ndpyramid(base: xr.Dataset, folder: Path) -> Levels:
    """`pyramid_coarsen`"""
    from ndpyramid import pyramid_coarsen

    tree = pyramid_coarsen(base[[*TAKEN]].isel(time=0), factors=[1, *LEVELS], dims=["y", "x"], boundary="trim")
    levels = {level: tree[str(number)].to_dataset() for number, level in enumerate(LEVELS, 1)}
    return {
        level: {"red": _stored(one.red.values), "qa_pixel": one.qa_pixel.values.astype("uint16")}
        for level, one in levels.items()
    }


def by_topozarr(base: xr.Dataset, folder: Path) -> Levels:
    """`create_pyramid(method="mean")`"""
    return _topozarr(folder, "mean")


def by_topozarr_nearest(base: xr.Dataset, folder: Path) -> Levels:
    """`create_pyramid(method="nearest")`"""
    return _topozarr(folder, "nearest")


def _topozarr(folder: Path, method: str) -> Levels:
    from topozarr import create_pyramid

    stored = xr.open_zarr(folder / "cube.zarr", group="1", mask_and_scale=False)[[*TAKEN]].load()
    for one in stored.variables.values():
        one.encoding = {}
    stored = stored.drop_vars(["spatial_ref"], errors="ignore").proj.assign_crs(spatial_ref="EPSG:32633")
    to = folder / f"topozarr-{method}.zarr"
    create_pyramid(stored, factors=[1, *LEVELS], method=method).write(str(to))
    opened = {level: xr.open_zarr(to, group=str(n), mask_and_scale=False) for n, level in enumerate(LEVELS, 1)}
    return {level: {name: one[name].isel(time=0).values for name in TAKEN} for level, one in opened.items()}


def by_gdal(base: xr.Dataset, folder: Path) -> Levels:
    """overviews: `-r average` for red, `-r mode` for QA_PIXEL"""
    made: dict[int, dict[str, np.ndarray]] = {level: {} for level in LEVELS}
    stored = xr.open_zarr(folder / "cube.zarr", group="1", mask_and_scale=False)
    for name, how, nodata in (("red", Resampling.average, 0), ("qa_pixel", Resampling.mode, 1)):
        cells, path = stored[name].isel(time=0).values, folder / f"{name}.tif"
        facts = {"driver": "GTiff", "height": cells.shape[0], "width": cells.shape[1], "count": 1, "dtype": "uint16"}
        with rasterio.open(path, "w", nodata=nodata, **facts) as file:
            file.write(cells, 1)
        with rasterio.open(path, "r+") as file:
            file.build_overviews([*LEVELS], how)
        for number, level in enumerate(LEVELS):
            with rasterio.open(path, overview_level=number) as file:
                made[level][name] = file.read(1)
    return made


TOOLS: tuple[tuple[str, Callable[[xr.Dataset, Path], Levels]], ...] = (
    ("xarray", by_xarray),
    ("xarray", by_truncation),
    ("ndpyramid", by_ndpyramid),
    ("topozarr", by_topozarr),
    ("topozarr", by_topozarr_nearest),
    ("GDAL", by_gdal),
)

if __name__ == "__main__":
    main()
