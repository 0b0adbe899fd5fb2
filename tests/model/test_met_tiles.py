"""Tiles that a scene meets, against polygons of its frame in the grid's plane."""

from __future__ import annotations

import pytest
from affine import Affine
from rasterio.warp import transform
from shapely import Polygon, box

from landsat_downsample.errors import UsageError
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.grid_request import GridRequest
from landsat_downsample.model.met_tiles import cells_met, check_tile, met_tiles
from landsat_downsample.model.target_grid import TargetGrid


def frame(zone: int, x: int, y: int, shape: tuple[int, int] = (7801, 7641)) -> Grid:
    return Grid(shape, Affine(30, 0, x - 15, 0, -30, y + 15), f"EPSG:326{zone:02d}")


def outline(image: Grid, crs: str) -> Polygon:
    """The frame in another plane, its sides cut in a thousand."""
    left, bottom, right, top = image.bounds
    steps = [k / 1000 for k in range(1000)]
    ring = [(left + (right - left) * s, top) for s in steps] + [(right, top + (bottom - top) * s) for s in steps]
    ring += [(right + (left - right) * s, bottom) for s in steps] + [(left, bottom + (top - bottom) * s) for s in steps]
    return Polygon(zip(*transform(image.crs, crs, *zip(*ring, strict=True)), strict=True))


#: Frames at borders of tiles: 40 N 100 W, Alaska, Siberia, Zambia, the Pyrenees; all sheared on the sinusoidal map.
FRAMES = [
    frame(14, 300_000, 4_500_000), frame(14, 360_000, 4_540_020), frame(6, 390_000, 7_200_000),
    frame(52, 330_000, 7_800_000), frame(35, 550_020, -1_000_020), frame(31, 300_000, 4_800_000),
]  # fmt: skip


@pytest.mark.parametrize("image", FRAMES, ids=lambda image: f"{image.crs}-{image.transform.c:.0f}")
@pytest.mark.parametrize("word", ["modis:500m", "web:z8", "hls:300", "ard:300"])
def test_tiles_are_those_that_the_frame_overlaps(image, word):
    asked = GridRequest(grid=word)
    try:
        grid = asked.target(image)
    except UsageError:
        assert word == "ard:300" and image.crs not in ("EPSG:32614", "EPSG:32606")
        return
    area = outline(image, grid.lattice.crs)
    found = met_tiles(image, grid)
    window = grid.lattice.covering(image) if word == "hls:300" else grid.grid(_around(grid, area, 300))
    candidates = {*found, *grid.touched(window)}
    overlap = {name: box(*grid.of_tile(name).bounds).intersection(area).area for name in candidates}
    pixel = area.area / (image.height * image.width)
    assert {name for name, shared in overlap.items() if shared > 100 * pixel} <= set(found)
    assert all(overlap[name] > 0 for name in found)
    check_tile(image, grid.of_tile(found[-1]))
    for name in sorted(candidates - set(found))[:1]:
        with pytest.raises(UsageError, match=f"does not reach tile {name} of grid .*: it reaches {found[0]}"):
            check_tile(image, grid.of_tile(name))


def _around(grid: TargetGrid, area: Polygon, margin: int) -> tuple[int, int, int, int]:
    """Cells of a window around an area."""
    left, bottom, right, top = area.bounds
    (y, x), (high, wide) = grid.lattice.origin, grid.lattice.cell
    row, column = int((float(y) - top) / high) - margin, int((left - float(x)) / wide) - margin
    return row, column, int((top - bottom) / high) + 2 * margin, int((right - left) / wide) + 2 * margin


def test_a_tile_at_a_corner_of_the_window_that_the_askew_frame_passes_by_is_not_met():
    image = frame(14, 200_010, 4_440_000)
    grid = GridRequest(grid="modis:500m").target(image)
    window = grid.touched(grid.grid(_around(grid, outline(image, grid.lattice.crs), 0)))
    assert set(met_tiles(image, grid)) < set(window)


def test_cells_are_told_by_their_numbers():
    image = frame(33, 256_200, 5_216_400, (577, 611))
    met = cells_met(image, GridRequest(grid="modis:500m").target(image))
    assert met["grid"] == "modis:500m" and met["tiles"] == ["h18v04"]
    assert met["first"][0] // 2400 == 4 and met["first"][1] // 2400 == 18
    assert cells_met(image, GridRequest(grid="zone:300").target(image)) == {
        "grid": "zone", "first": [-17388, 854], "shape": [58, 62], "tiles": [],
    }  # fmt: skip
    part = cells_met(image, GridRequest(grid="zone:300").target(image), (256_200, 5_215_000, 256_300, 5_215_100))
    assert part["shape"] == [1, 1]
