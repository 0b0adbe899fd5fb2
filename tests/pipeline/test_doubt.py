"""Files of whole numbers that nothing says the meaning of: averaged, with a word where they look like classes."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import rasterio
from affine import Affine
from command import call

import landsat_downsample as ld

VALUES = np.random.default_rng(0)


@pytest.fixture
def raster(tmp_path):
    def make(values, **more) -> str:
        path = tmp_path / "cover.tif"
        facts = {"height": 40, "width": 40, "count": 1, "crs": "EPSG:32632", "transform": Affine(30, 0, 0, 0, -30, 0)}
        with rasterio.open(path, "w", driver="GTiff", dtype=values.dtype, **facts, **more) as file:
            file.write(values.reshape(1, 40, 40))
        return str(path)

    return make


def words_of(act) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        act()
    return [str(one.message) for one in caught]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "uint32"])
def test_what_looks_like_codes_is_averaged_with_a_word(raster, tmp_path, dtype):
    path = raster(VALUES.choice(np.array([0, 3, 7, 90], dtype), 1600), nodata=0)
    words = "cover holds 3 different whole numbers, which look like classes or codes, and was averaged: give "
    (said,) = words_of(lambda: ld.run(ld.plan(path, tmp_path / "run", factor=10)))
    assert said == (f"cover: {words}--method cover=mode if they are, cover=mean if they are not (methods= in Python)")
    (said,) = words_of(lambda: ld.coarsen(ld.open_scene(path)["cover"], factor=10).compute())
    assert said == f"{words}method='mode' if they are, method='mean' if they are not"
    done = call("run", path, "--to", tmp_path / "cli", "--factor", 10)
    assert done.code == 0 and len([line for line in done.lines if "--method cover=mode" in line]) == 1
    for method in ("COVER=mode", "cover=mean"):
        done = call("run", path, "--to", tmp_path / method, "--factor", 10, "--method", method)
        assert done.code == 0 and "whole numbers" not in done.err
    assert words_of(lambda: ld.coarsen(ld.open_scene(path)["cover"], factor=10, method="mode").compute()) == []
    scene = ld.open_scene(path, as_band="continuous")
    assert words_of(lambda: ld.run(ld.plan(scene, tmp_path / "continuous", factor=10))) == []


@pytest.mark.parametrize(
    "values",
    [np.arange(1600) % 100, np.arange(1600) % 2, np.full(1600, 7), np.tile([0, 5], 800)],
    ids=["many", "flags", "one", "one and fill"],
)
def test_what_does_not_is_averaged_without(raster, tmp_path, values):
    path = raster(values.astype("uint8"), nodata=0)
    assert words_of(lambda: ld.run(ld.plan(path, tmp_path / "run", factor=10))) == []
