"""Bands that no value marks in products (angles, cloud codes of TM, gap masks) in time, and in composites."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import landsat_downsample as ld


@pytest.fixture(scope="module", name="gaps")
def _gaps(tmp_path_factory):
    """Two dates of a Level-1 scene of ETM+, whose frames differ."""
    folder = tmp_path_factory.mktemp("etm")
    bands = ["B3", "QA_PIXEL", "VAA", "SZA", "GM_B1"]
    scenes = ld.make_scenes(folder, sensor="etm", level=1, dates=2, size=(203, 161), bands=bands)
    assert {one.status for one in ld.run(ld.plan(scenes, str(folder / "out"), factor=7), workers=1)} == {"done"}
    return folder / "out"


def test_dates_of_other_frames_have_a_value_for_no_data(gaps):
    cube = ld.open_products(gaps).load()
    empty = cube.qa_pixel == 1
    assert 0.1 < empty.mean() < 0.9
    for name, fill in {"VAA": -32768, "SZA": -32768}.items():
        np.testing.assert_array_equal(cube[name] == fill, empty)
    assert set(np.unique(cube.GM_B1)) == {0, 1, 255}
    ld.cube(gaps, gaps.parent / "cube.zarr")
    stored = xr.open_zarr(gaps.parent / "cube.zarr")
    np.testing.assert_array_equal(stored.SZA.isnull(), empty)
    np.testing.assert_allclose(stored.SZA, cube.SZA.where(~empty) * 0.01)
    np.testing.assert_array_equal(stored.GM_B1, cube.GM_B1)


def test_a_composite_of_azimuths_and_classes(gaps):
    cube = ld.open_products(gaps, ["red", "VAA", "GM_B1"]).load()
    cube["VAA"][0] = cube.VAA[0].where(cube.VAA[0] == -32768, 17000)
    cube["VAA"][1] = cube.VAA[1].where(cube.VAA[1] == -32768, -16000)
    made = ld.composite(cube, "2000D")
    there = (cube.VAA != -32768).values
    expected = np.select([there.all(0), there[0], there[1]], [-17500, 17000, -16000], -32768)
    np.testing.assert_array_equal(made.VAA[0], expected)
    assert made.VAA.attrs["cell_methods"].endswith("time: mean (of directions)")
    one, other = cube.GM_B1.values
    np.testing.assert_array_equal(made.GM_B1[0], np.minimum(one, other))  # the smaller of equals; 255 is no class
