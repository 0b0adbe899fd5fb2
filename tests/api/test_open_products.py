"""Products of one grid open as one Dataset over time: their own cells, placed by nobody but their transforms."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
import s3
import xarray as xr
from conftest_s3 import s3_env, seaweed  # noqa: F401 - fixtures
from rasterio.merge import merge

import landsat_downsample as ld
from landsat_downsample.products.staging.stage_out import stage_out

FILL = {"red": 0, "qa_pixel": 1, "valid": 255, "red_count": 0, "red_std": np.nan}


@pytest.fixture(scope="module", name="made")
def _made(tmp_path_factory) -> Path:
    """Three dates of two rows, cells of 7 pixels, with the counts of their pixels."""
    folder = tmp_path_factory.mktemp("series")
    scenes = ld.make_scenes(folder / "source", dates=3, rows=2, size=(171, 163), bands=["SR_B4", "SR_B5", "QA_PIXEL"])
    plans = ld.plan(scenes, str(folder / "out"), factor=7, stats=["mean", "std", "count"])
    assert {outcome.status for outcome in ld.run(plans, workers=2)} == {"done"}
    return folder / "out"


def files(made: Path, ending: str) -> list[Path]:
    """Of all products, by time: rows of a pass follow each other from north to south."""
    return sorted(made.glob(f"*/*_{ending}.TIF"), key=lambda path: (path.name[17:25], path.name[10:16]))


def pasted(path: Path, cube: xr.Dataset, fill: float, number: int = 1) -> np.ndarray:
    """Cells of a file on the cells of a cube, by coordinates."""
    with rasterio.open(path) as source:
        cells, transform = source.read(number), source.transform
    found = np.full((cube.sizes["y"], cube.sizes["x"]), fill, cells.dtype)
    left, top = cube.x.values[0] - transform.a / 2, cube.y.values[0] - transform.e / 2
    column, row = (round(n) for n in ((transform.c - left) / transform.a, (transform.f - top) / transform.e))
    found[row : row + cells.shape[0], column : column + cells.shape[1]] = cells
    return found


@pytest.mark.parametrize(
    ("name", "ending", "number"),
    [
        ("red", "SR_B4", 1),
        ("qa_pixel", "QA_PIXEL", 1),
        ("valid", "QA_FRACTIONS", 1),
        ("red_count", "SR_B4_COUNT", 1),
        ("red_std", "SR_B4_STD", 1),
    ],
)
def test_cells_are_those_of_the_files(made, name, ending, number):
    cube = ld.open_products(made, [name])
    assert cube.sizes["time"] == 6 and cube[name].dims == ("time", "y", "x")
    for at, path in enumerate(files(made, ending)):
        np.testing.assert_array_equal(cube[name][at].values, pasted(path, cube, FILL[name], number))
        assert path.name.startswith(str(cube["product"].values[at]))


def test_names_are_those_that_were_asked_for(made):
    cube = ld.open_products(made, "SR_B4,NIR08,sr_b5_std,cloud")
    assert list(cube) == ["SR_B4", "NIR08", "sr_b5_std", "cloud"]
    assert cube.NIR08.attrs["landsat_band"] == "SR_B5"
    every = ld.open_products(made)
    assert {"red", "red_std", "red_count", "nir08", "qa_pixel", "valid", "clear"} <= set(every)
    assert set(ld.open_products(made, ["QA_FRACTIONS"])) < set(every)


def test_arrays_say_what_they_are(made):
    cube = ld.open_products(made, ["red", "qa_pixel"])
    assert cube.rio.crs.to_epsg() == 32633 or cube.red.rio.crs.to_epsg()
    assert {"flag_masks", "flag_values", "flag_meanings"} <= set(cube.qa_pixel.attrs)
    assert cube.red.rio.nodata == 0 and cube.red.attrs["scale_factor"] == 2.75e-5
    item = json.loads(next(files(made, "SR_B4")[0].parent.glob("*.stac.json")).read_text())["properties"]
    assert str(cube.time.values[0])[:23] == item["datetime"][:23]
    assert cube.cloud_cover.values[0] == item["eo:cloud_cover"]
    assert (cube.wrs_path.values[0], cube.sun_elevation.values[0]) == ("192", item["view:sun_elevation"])
    with rasterio.open(files(made, "SR_B4")[0]) as source:
        assert abs(cube.red.rio.transform().a) == source.transform.a


def test_physical_units(made):
    stored, scaled = (ld.open_products(made, ["red", "qa_pixel", "valid"], scaled=how) for how in (False, True))
    dn = stored.red.values.astype("float64")
    expected = np.where(dn == 0, np.nan, dn * 2.75e-5 - 0.2).astype("float32")
    np.testing.assert_array_equal(scaled.red.values, expected)
    assert scaled.qa_pixel.dtype == "uint16" and np.isnan(scaled.valid.values[stored.valid.values == 255]).all()
    stats = ld.open_products(made, ["red_std", "red_count"], scaled=True)
    plain = ld.open_products(made, ["red_std", "red_count"])
    np.testing.assert_allclose(stats.red_std.values, plain.red_std.values.astype("f8") * 2.75e-5, rtol=1e-6)
    np.testing.assert_array_equal(stats.red_count.values, plain.red_count.values)
    assert plain.red_count.attrs["units"] == "1" and "scale_factor" not in plain.red_count.attrs
    assert plain.red_count.attrs["standard_name"] == "number_of_observations"
    masked = ld.open_products(made, ["red"], masked=True)
    np.testing.assert_array_equal(np.isnan(masked.red.values), dn == 0)
    masked.landsat.coarsen(factor=3)  # the accessor knows what they are


def test_rows_of_a_pass_are_one_date(made):
    cube = ld.open_products(made, ["red", "qa_pixel", "red_count"], group="pass")
    assert cube.sizes["time"] == 3 and cube.wrs_row.values.tolist() == ["028 029"] * 3
    red, counts = files(made, "SR_B4"), files(made, "SR_B4_COUNT")
    for at in range(3):
        rows = slice(2 * at, 2 * at + 2)
        cells = [pasted(path, cube, 0) for path in red[rows]]
        held = [np.where(a == 0, -1, pasted(path, cube, 0)) for a, path in zip(cells, counts[rows], strict=True)]
        expected = np.where(held[1] > held[0], cells[1], cells[0])
        np.testing.assert_array_equal(cube.red[at].values, expected)
        # Where both rows have all of a cell they have the same of it, and a mosaic is that too.
        inner = [h == 49 for h in held]
        np.testing.assert_array_equal(cells[0][inner[0] & inner[1]], cells[1][inner[0] & inner[1]])
        mosaic, _ = merge([str(path) for path in red[rows]], bounds=cube.rio.bounds())
        both = ~((held[0] > 0) & (held[1] > 0))
        assert (cube.red[at].values == mosaic[0])[both].all()


def test_without_counts_the_share_of_valid_pixels_decides(made, tmp_path):
    shutil.copytree(made, tmp_path / "out")
    for item in (tmp_path / "out").glob("*/*.stac.json"):
        record = json.loads(item.read_text())
        kept = {key: a for key, a in record["assets"].items() if not a["href"].endswith("_COUNT.TIF")}
        item.write_text(json.dumps(record | {"assets": kept}))
    cube = ld.open_products(tmp_path / "out", ["red"], group="pass")
    shares, red = files(made, "QA_FRACTIONS"), files(made, "SR_B4")
    cells = [pasted(path, cube, 0) for path in red[:2]]
    held = [
        np.where(c == 0, -1.0, np.where((s := pasted(path, cube, 255)) == 255, 0, s).astype(float))
        for c, path in zip(cells, shares, strict=False)
    ]
    np.testing.assert_array_equal(cube.red[0].values, np.where(held[1] > held[0], cells[1], cells[0]))


def test_a_part_of_it(made):
    whole = ld.open_products(made, ["red"])
    y, x = whole.y.values[30:40], whole.x.values[3:9]
    bounds = (x[0] - 100, y[-1] - 100, x[-1] + 100, y[0] + 100)
    part = ld.open_products(made, ["red"], bounds=bounds)
    xr.testing.assert_equal(part.load(), whole.sel(time=part.time, y=y, x=x).load())
    late = ld.open_products(made, ["red"], datetime="2023-11/..")
    assert late.sizes["time"] == 4 and late.time.values[0] > np.datetime64("2023-11-01")
    corner = whole.rio.transform_bounds("EPSG:4326")
    west = {
        "type": "Polygon",
        "coordinates": [[[corner[0], corner[1]], [corner[0], corner[3]], [corner[0] + 0.01, corner[3]]]],
    }
    assert 0 < ld.open_products(made, ["red"], geometry=west).sizes["x"] < whole.sizes["x"] / 2


def test_no_raster_is_opened_before_cells_are_wanted(made, tmp_path):
    for item in made.glob("*/*.stac.json"):
        (tmp_path / item.parent.name).mkdir()
        shutil.copy(item, tmp_path / item.parent.name)
    (tmp_path / "LC08_L2SP_192028_20990101_20990102_02_T1_downsampled").mkdir()  # under way: it has no item
    cube = ld.open_products(tmp_path, scaled=True)
    assert cube.sizes["time"] == 6
    with pytest.raises(ld.ReadError, match=r"SR_B4\.TIF"):
        cube.red[0].load()


@pytest.mark.slow
def test_workers_read(made):
    cube = ld.open_products(made, ["red"])
    graph = pickle.loads(pickle.dumps(cube.red.data.__dask_graph__()))
    assert len(pickle.dumps(graph)) < 6 * 4000  # bytes a date
    with_threads = cube.red.data.compute(scheduler="threads")
    np.testing.assert_array_equal(cube.red.data.compute(scheduler="processes", num_workers=2), with_threads)


@pytest.mark.slow
def test_another_projection_has_its_own_coordinates(made, tmp_path):
    scenes = sorted((made.parent / "source").iterdir())[:4]
    assert {o.status for o in ld.run(ld.plan(scenes, str(tmp_path), bands="red", grid="modis:500m"), workers=2)} == {
        "done"
    }
    cube = ld.open_products(tmp_path, ["red"])
    side = 20015109.355797417 * 2 / 86400
    assert np.abs((cube.x.values + 20015109.355797417) / side % 1 - 0.5).max() < 1e-6
    for at, path in enumerate(files(tmp_path, "SR_B4")):
        np.testing.assert_array_equal(cube.red[at].values, pasted(path, cube, 0))


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"factor": 8}, r"do not share a grid: their cells are 210 and 240 large; .*--grid zone:240"),
        ({"resolution": 210, "anchor": (0, 0)}, r"do not share a grid: the edges .* of a cell apart"),
        ({"grid": "EPSG:3035@300"}, r"their CRS are EPSG:32633 and EPSG:3035; .*--grid EPSG:3035@300"),
    ],
    ids=str,
)
def test_products_of_two_grids_are_named(made, tmp_path, how, words):
    scenes = sorted((made.parent / "source").iterdir())
    shutil.copytree(made, tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / f"{scenes[-1].name}_downsampled")
    ld.run(ld.plan(scenes[-1], str(tmp_path / "out"), bands="red", **how))
    with pytest.raises(ld.UsageError, match=words) as raised:
        ld.open_products(tmp_path / "out")
    assert scenes[-1].name in str(raised.value)


def test_products_of_two_rules_are_named(made, tmp_path):
    scenes = sorted((made.parent / "source").iterdir())
    ld.run(ld.plan(scenes[0], str(tmp_path), factor=7))
    ld.run(ld.plan(scenes[1], str(tmp_path), factor=7, mask="cloud"))
    with pytest.raises(ld.UsageError, match=r"is no series: mask was \[\] for one and \['cloud'\] for the other"):
        ld.open_products(tmp_path, ["red"])


def test_a_usgs_name_that_means_two_things(tmp_path):
    for sensor in ("oli", "tm"):
        scene = ld.make_scene(tmp_path / "source", sensor=sensor, size=(90, 80), bands=["SR_B3", "SR_B4", "QA_PIXEL"])
        ld.run(ld.plan(scene, str(tmp_path / "out"), factor=9))
    with pytest.raises(ld.UsageError, match=r"SR_B4 of .* is no series: the name means .* ask by common name"):
        ld.open_products(tmp_path / "out", ["SR_B4"])
    cube = ld.open_products(tmp_path / "out", ["red", "green", "qa_pixel"], scaled=True)
    assert [sorted(set(cube.platform.values))] == [["landsat-5", "landsat-8"]]
    assert np.isfinite(cube.red).any(("y", "x")).all()
    assert cube.landsat.mask("cloud").red.shape == cube.red.shape


def test_of_two_processings_the_last_counts(made, tmp_path):
    shutil.copytree(made, tmp_path / "out")
    (tmp_path / "source").mkdir()
    first = sorted((made.parent / "source").iterdir())[0]
    later = first.name[:26] + str(int(first.name[26:34]) + 1) + first.name[34:]
    for file in first.iterdir():
        new = tmp_path / "source" / later / file.name.replace(first.name, later)
        new.parent.mkdir(exist_ok=True)
        new.write_bytes(
            file.read_bytes().replace(first.name.encode(), later.encode()) if "MTL" in file.name else file.read_bytes()
        )
    ld.run(ld.plan(tmp_path / "source" / later, str(tmp_path / "out"), factor=7, stats=["mean", "std", "count"]))
    with pytest.warns(UserWarning, match="one acquisition: the one that was processed last"):
        cube = ld.open_products(tmp_path / "out", ["red"], group="pass")
    assert cube.sizes["time"] == 3 and any(later in name for name in cube["product"].values)


def test_nothing_there(made, tmp_path):
    with pytest.raises(ld.UsageError, match="holds no finished product"):
        ld.open_products(tmp_path)
    with pytest.raises(ld.UsageError, match=r"no product has 'rde' \(did you mean red\?\)"):
        ld.open_products(made, "rde")
    with pytest.raises(ld.UsageError, match="none of the 6 products is of that time"):
        ld.open_products(made, datetime="1990")
    with pytest.raises(ld.UsageError, match=r"bounds .* hold nothing"):
        ld.open_products(made, bounds=(0, 0, 10, 10))
    with pytest.raises(ld.UsageError, match="group 'day' is unknown"):
        ld.open_products(made, group="day")
    with pytest.raises(ld.UsageError, match="two answers"):
        ld.open_products(made, bounds=(0, 0, 10, 10), geometry={})
    with pytest.raises(ld.UsageError, match="is no area"):
        ld.open_products(made, geometry="here")


@pytest.mark.slow
def test_from_a_store(made, s3_env, tmp_path):  # noqa: F811
    for item in sorted(made.glob("*/*.stac.json"))[:4]:
        stage_out(item.parent, f"s3://{s3.BUCKET}/{tmp_path.name}")
    there = ld.open_products(f"s3://{s3.BUCKET}/{tmp_path.name}", ["red", "valid"])
    here = ld.open_products([item.parent for item in sorted(made.glob("*/*.stac.json"))[:4]], ["red", "valid"])
    xr.testing.assert_equal(here.load(), there.load())


def test_what_is_written_comes_back(made, tmp_path):
    cube = ld.open_products(made, ["red", "qa_pixel"])
    cube.to_netcdf(tmp_path / "cube.nc", engine="h5netcdf")
    back = xr.open_dataset(tmp_path / "cube.nc", engine="h5netcdf", decode_coords="all", mask_and_scale=False)
    for name in cube:
        np.testing.assert_array_equal(back[name].values, cube[name].values)
        assert back[name].dtype == cube[name].dtype


def test_tiles_of_a_scene_are_one_date(made, tmp_path):
    scene = sorted((made.parent / "source").iterdir())[0]
    whole = ld.open_products(made / f"{scene.name}_downsampled", ["red"])
    left, bottom, right, top = whole.rio.bounds()
    middle = left + 210 * 13
    for name, bounds in (("west", (left, bottom, middle, top)), ("east", (middle, bottom, right, top))):
        ld.run(ld.plan(scene, str(tmp_path / name), bands="red", factor=7, bounds=bounds))
    cube = ld.open_products([tmp_path / "west", tmp_path / "east"], ["red"])
    assert cube["product"].values.tolist() == [scene.name]
    xr.testing.assert_equal(cube.load(), whole.load())


def test_masked_dates_are_still_stored_numbers(made):
    """Masked, then an index: of reflectance, where no cloud is."""
    series = ld.open_products(made, ["red", "nir08", "qa_pixel"])
    ndvi = series.landsat.mask("cloud,shadow").landsat.index("ndvi")
    red, nir = (series[name].values * 2.75e-5 - 0.2 for name in ("red", "nir08"))
    seen = (series.red.values > 0) & (series.nir08.values > 0) & ((series.qa_pixel.values & 0b11000) == 0)
    wanted = np.where(seen, np.clip((nir - red) / (nir + red), -1, 1), np.nan)
    assert seen.any()
    np.testing.assert_allclose(ndvi.values, wanted, atol=1e-5)
