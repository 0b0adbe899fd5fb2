"""A tile reaches beyond its scene: its cells there are fill, and those over the scene what they are without it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import landsat_downsample as ld
from landsat_downsample.model.named_grids import named
from landsat_downsample.model.options import Options
from landsat_downsample.model.plan import plan_scene
from landsat_downsample.pipeline.band import reduce_target
from landsat_downsample.reduce import native

METHODS = {"SR_B2": "std", "SR_B3": "min", "SR_B4": "median", "SR_B5": "nearest", "SR_B6": "mode", "SR_B7": "sum"}
SHAPE = (366, 366)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    made = ld.make_scene(
        tmp_path_factory.mktemp("scenes"), size=(131, 117), bands=[*METHODS, "QA_PIXEL", "SR_QA_AEROSOL"]
    )
    return ld.open_scene(made)


@pytest.mark.parametrize(
    "asked",
    [{}, {"methods": METHODS, "qa": "nearest"}, {"mask": ("cloud",), "min_valid": 0.5, "qa": "majority"}],
    ids=["by default", "by other methods", "masked"],
)
@pytest.mark.parametrize("kernel", ["C", "NumPy"])
def test_cells_of_a_tile_beyond_the_scene_are_fill(scene, asked, kernel, monkeypatch):
    if kernel == "NumPy":
        monkeypatch.setattr(native, "_native", None)
    tile = named("mgrs:33TTN:300", scene.grid)
    free = replace(tile, shape=None, tile=None, tiles=None, name="free")
    plans = [plan_scene(scene, "out", Options(grid=grid, **asked)) for grid in (tile, free)]
    assert plans[0].coarse.shape == SHAPE
    row, column, height, width = tile.window(plans[1].coarse)
    rows, columns = slice(max(row, 0), row + height), slice(max(column, 0), column + width)
    for whole, part in zip(*(plan.targets for plan in plans), strict=True):
        made, own = reduce_target(whole), reduce_target(part)
        for outer, inner, fill in ((made.data, own.data, own.nodata), (made.fractions, own.fractions, 255)):
            if inner is None:
                continue
            wanted = np.full((*inner.shape[:-2], *SHAPE), fill, inner.dtype)
            if inner.ndim == 3:
                wanted[0] = 0  # percent of valid pixels
            wanted[..., rows, columns] = inner[..., rows.start - row :, columns.start - column :]
            np.testing.assert_array_equal(outer, wanted)
