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


def test_a_name_is_of_one_band_whichever_satellite_comes_first(tmp_path):
    for name in ("hls-l30", "hls-s30"):
        ld.make_scene(tmp_path / "hls", sensor=name, size=(61, 57))
    ld.run(ld.plan(sorted((tmp_path / "hls").iterdir()), str(tmp_path / "out"), factor=4))
    both = ld.open_products(tmp_path / "out").load()
    l30, s30 = (ld.open_products(folder).load() for folder in sorted((tmp_path / "out").glob("HLS*")))
    assert set(both) == {*l30, *s30} and "nir" not in l30
    for at, one in enumerate((l30, s30)):
        for name in both:
            found = both[name][at]
            np.testing.assert_array_equal(found, one[name][0] if name in one else np.full_like(found, found.rio.nodata))
    with pytest.raises(ld.UsageError, match="the name means nir08 in one and nir in the other"):
        ld.open_products(tmp_path / "out", ["nir"])


def test_a_cube_of_one_satellite_refuses_the_same_name_of_another_band(tmp_path):
    for sensor in ("etm", "oli"):
        scene = ld.make_scene(tmp_path, sensor=sensor, size=(171, 163), bands=["SR_B3", "SR_B4", "QA_PIXEL"])
        ld.run(ld.plan(scene, str(tmp_path / sensor), factor=4))
    bounds = (257000, 5203000, 262000, 5215000)
    for form in ("zarr", "cog"):
        ld.cube(tmp_path / "etm", tmp_path / form, ["SR_B4"], bounds=bounds, format=form)
        with pytest.raises(ld.UsageError, match="no part of the cube: its band is red, and nir08 there"):
            ld.cube([tmp_path / "etm", tmp_path / "oli"], tmp_path / form, format=form)


def renamed(folder, old, new):
    """A copy of a scene or product under another ID."""
    copy = folder.parent / folder.name.replace(old, new)
    for path in folder.iterdir():
        data = path.read_bytes()
        copy.mkdir(exist_ok=True)
        (copy / path.name.replace(old, new)).write_bytes(
            data.replace(old.encode(), new.encode()) if path.suffix in (".json", ".yaml") else data
        )
    return copy


def test_of_interim_and_final_scenes_the_final_one_counts_in_any_order(tmp_path):
    scene = ld.make_scene(tmp_path, sensor="dea", size=(61, 57), bands=["nbart_red", "oa_fmask"])
    ld.run(ld.plan(scene, str(tmp_path / "out"), factor=4))
    final = (tmp_path / "out" / f"{scene.name}_downsampled").absolute()
    interim, nrt = (renamed(final, "_final", f"_{stage}") for stage in ("interim", "nrt"))
    for some, last in (([final, interim], final), ([interim, final], final), ([interim, nrt], interim)):
        with pytest.warns(UserWarning, match=f"one acquisition: .* {last.name.removesuffix('_downsampled')}, is taken"):
            assert ld.open_products(some)["product"].item() == last.name.removesuffix("_downsampled")
    for one in (interim, final):
        ld.cube(one, tmp_path / "cogs", format="cog")
    assert [path.name for path in tmp_path.glob("cogs/*red.tif")] == ["20230706_ga_ls8c_ard_3-2-1_088080_red.tif"]
    ld.cube(interim, tmp_path / "cube.zarr")
    outcome = ld.cube(final, tmp_path / "cube.zarr")  # at the same moment, and no date of its own
    assert (outcome.dates, outcome.changed) == (1, (scene.name,))
