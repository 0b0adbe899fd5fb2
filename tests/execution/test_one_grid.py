"""Scenes of several zones on one grid: workers give the bytes of one thread, and neighbours fit together."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from command import call, products
from frames import frame, frames
from rasterio.merge import merge

import landsat_downsample as ld

SCENES = 60


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("grid", ["modis:500m", "ease2-m:1km"])
def test_a_list_of_scenes_gives_the_same_bytes_on_workers_and_on_one_thread(grid, tmp_path):
    """Neighbours and dates with flags, north and south of the equator; and files of other zones."""
    made = ld.make_scenes(tmp_path / "north", dates=2, rows=2, paths=2, size=(251, 271), bands=["SR_B4", "QA_PIXEL"])
    made += ld.make_scenes(tmp_path / "south", paths=2, size=(241, 231), bands=["ST_B10", "QA_PIXEL"], southern=True)
    made += frames(tmp_path, SCENES - len(made))
    listed = tmp_path / "scenes.txt"
    listed.write_text("".join(f"{path}\n" for path in made))
    words = "run", f"@{listed}", "--grid", grid, "--stats", "mean,std,count", "--min-valid", 0.25, "-q"
    for name, workers in (("serial", ("none", 1)), ("workers", ("local", 2))):
        done = call(*words, "--to", tmp_path / name, "--cluster", workers[0], "--workers", workers[1])
        assert done.code == 0, done.err
    serial = products(tmp_path / "serial")
    assert len(serial) == SCENES
    assert products(tmp_path / "workers") == serial


@pytest.fixture(scope="module", name="neighbours")
def _neighbours(tmp_path_factory) -> list[Path]:
    """The same ground in two zones, on both sides of their border and not far from it."""
    folder = tmp_path_factory.mktemp("neighbours")
    centres = {32: (12, 47), 33: (12.03, 47.01)}
    return [frame(folder / f"zone{zone}_B4.TIF", zone, centre, (307, 289)) for zone, centre in centres.items()]


@pytest.mark.parametrize("grid", ["modis:500m", "ease2-m:1km", "ease2-n:1km", "latlon:0.01", "eea:1km"])
def test_neighbours_of_two_zones_have_the_very_same_cells(grid, neighbours, tmp_path):
    done = ld.run(ld.plan(neighbours, tmp_path, grid=grid, min_valid=1), workers=1)
    items = [json.loads(Path(outcome.href).read_text())["properties"] for outcome in done]
    files = sorted(tmp_path.glob("*/*.TIF"))
    arrays = [ld.coarsen(ld.open_scene(path)["B4"], grid=grid, min_valid=1).compute() for path in neighbours]
    spans = [
        [range(first, first + n) for first, n in zip(item["landsat_ds:first_cell"], array.shape, strict=True)]
        for item, array in zip(items, arrays, strict=True)
    ]

    cube = xr.concat(arrays, "zone", join="outer", fill_value=0)  # coordinates that differ would be more cells
    cube = cube.sortby("y", ascending=False)
    assert list(cube.shape[1:]) == [len({*one, *other}) for one, other in zip(*spans, strict=True)]
    one, other = cube.values.astype(int)
    both = (one > 0) & (other > 0)
    assert both.sum() > 20 and np.abs(one - other)[both].max() <= 2

    mosaic, at = merge(list(map(str, files)))
    corner = [min(one.start, other.start) for one, other in zip(*spans, strict=True)]
    for file, array, (rows, columns) in zip(files, arrays, spans, strict=True):
        with rasterio.open(file) as product:
            np.testing.assert_array_equal(product.read(1), array)
            across, down = ~at @ (product.transform.c, product.transform.f)
        assert (down, across) == pytest.approx((rows[0] - corner[0], columns[0] - corner[1]), abs=1e-6)
    np.testing.assert_array_equal(mosaic[0], np.where(one > 0, one, other))


def test_frames_overlap(tmp_path):
    """What the list is made of: else there would be no neighbours in it."""
    made = [rasterio.open(path) for path in frames(tmp_path, 7)]
    assert len({file.crs for file in made}) == 4
    for file in made:
        file.close()
    assert all(one.shape != other.shape for one, other in pairwise(made))
