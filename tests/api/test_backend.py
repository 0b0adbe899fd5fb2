"""`xr.open_dataset(scene, engine="landsat")` and `xr.open_datatree`, against rasterio."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import rasterio
import xarray as xr

import landsat_downsample as ld

SIZE = (331, 287)


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory):
    return Path(ld.make_scene(tmp_path_factory.mktemp("backend"), size=SIZE, seed=4))


@pytest.fixture(scope="module", name="etm")
def _etm(tmp_path_factory):
    return Path(ld.make_scene(tmp_path_factory.mktemp("backend"), sensor="etm", level=1, size=SIZE, seed=4))


def stored(folder, name) -> np.ndarray:
    with rasterio.open(next(folder.glob(f"*_{name}.TIF"))) as file:
        return file.read(1)


def test_xarray_knows_the_engine():
    assert "landsat" in xr.backends.list_engines()


@pytest.mark.parametrize("chunks", [None, {}], ids=str)
def test_a_scene_is_a_dataset_of_what_is_stored(folder, chunks):
    found = xr.open_dataset(folder, engine="landsat", chunks=chunks)
    wanted = ld.open_scene(folder).dataset()
    assert set(found) == {path.stem.partition("_T1_")[2] for path in folder.glob("*.TIF")}
    for name, array in found.data_vars.items():
        assert isinstance(array.variable._data, da.Array) == (chunks is not None)
        np.testing.assert_array_equal(array, stored(folder, name))
    xr.testing.assert_identical(found.compute(), wanted.compute())


def test_chunks_are_rows_of_blocks_by_default(tmp_path):
    folder = ld.make_scene(tmp_path, size=(40, 4500), bands=["SR_B4", "QA_PIXEL"])
    red = xr.open_dataset(folder, engine="landsat", chunks={}).SR_B4
    assert red.chunks == ld.open_scene(folder)["red"].chunks == ((2048, 2048, 404), (40,))


@pytest.mark.parametrize(
    "at",
    [
        (slice(3, 50, 3), slice(None, None, -1)),
        (slice(None, None, -7), 5),
        (11, slice(2, 300, 11)),
        (-1, -1),
        (slice(5, 5), slice(None)),
        ([5, 2, 200], [1, 1, 330]),
        (np.arange(287) % 5 == 0, slice(0, 1)),
    ],
    ids=str,
)
def test_indexing_is_numpys(folder, at):
    rows, columns = at
    found = xr.open_dataset(folder, engine="landsat").SR_B4.isel(y=rows, x=columns)
    values = stored(folder, "SR_B4")[rows]
    np.testing.assert_array_equal(found, values[..., columns])


def test_pixels_are_read_where_they_are_asked_for(folder, tmp_path):
    here = tmp_path / folder.name
    shutil.copytree(folder, here)
    opened, chunked = (xr.open_dataset(here, engine="landsat", chunks=chunks) for chunks in (None, {}))
    copies = [pickle.loads(pickle.dumps(one)) for one in (opened, chunked)]
    np.testing.assert_array_equal(copies[0].QA_PIXEL, stored(folder, "QA_PIXEL"))
    np.testing.assert_array_equal(copies[1].QA_PIXEL, stored(folder, "QA_PIXEL"))
    for file in here.glob("*.TIF"):
        file.unlink()
    for one in (opened, chunked):
        with pytest.raises(ld.ReadError):
            one.SR_B4.load()


@pytest.mark.parametrize("chunks", [None, {}], ids=str)
def test_cells_are_those_of_the_scene(folder, chunks):
    found = xr.open_dataset(folder, engine="landsat", chunks=chunks).landsat.coarsen(factor=7, mask="cloud")
    wanted = ld.coarsen(ld.open_scene(folder).dataset(), factor=7, mask="cloud")
    assert isinstance(found.SR_B4.data, da.Array) == (chunks is not None)
    xr.testing.assert_identical(found.compute(), wanted.compute())


def test_bands_names_and_what_is_dropped(folder):
    found = xr.open_dataset(folder, engine="landsat", bands="red,nir08,qa_pixel", drop_variables="nir08")
    assert list(found) == ["red", "qa_pixel"]
    np.testing.assert_array_equal(found.red, stored(folder, "SR_B4"))
    with pytest.raises(ld.UsageError, match="band 'rouge' is not in"):
        xr.open_dataset(folder, engine="landsat", bands=["rouge"])


def test_masked_and_scaled_as_others_do_it(folder):
    found = xr.open_dataset(folder, engine="landsat", bands=["red", "qa_pixel"], mask_and_scale=True)
    red = stored(folder, "SR_B4")
    np.testing.assert_allclose(found.red, np.where(red == 0, np.nan, red * 2.75e-5 - 0.2), rtol=1e-12)
    assert found.qa_pixel.dtype == "uint16"
    xr.testing.assert_identical(found.landsat.scaled().load(), found.load())
    cells = found.landsat.coarsen(factor=7, mask="cloud")
    exact = ld.coarsen(ld.open_scene(folder).dataset(["red", "qa_pixel"]), factor=7, mask="cloud").landsat.scaled()
    np.testing.assert_allclose(cells.red, exact.red, atol=2.75e-5 / 2 + 1e-6)


def test_a_tree_has_a_group_for_each_size_of_pixels(etm):
    scene = ld.open_scene(etm)
    for chunks in (None, {}):
        tree = xr.open_datatree(etm, engine="landsat", chunks=chunks)
        assert set(tree.groups) == {"/", "/30m", "/15m"}
        assert tree.attrs["id"] == scene.id
        assert set(tree["15m"].data_vars) == {"B8", "GM_B8"}
        assert set(tree["30m"].data_vars) == set(scene.bands) - {"B8", "GM_B8"}
        np.testing.assert_array_equal(tree["15m/B8"], stored(etm, "B8"))
        np.testing.assert_array_equal(tree["30m/B4"], stored(etm, "B4"))
        assert tree["15m/B8"].rio.resolution() == (15, -15)
    groups = xr.open_groups(etm, engine="landsat", bands=["pan", "red"])
    assert {name: list(group) for name, group in groups.items()} == {"/": [], "/15m": ["pan"], "/30m": ["red"]}
    cells = tree["15m"].to_dataset().landsat.coarsen(factor=7)
    xr.testing.assert_identical(cells.B8.compute(), ld.coarsen(scene["pan"], factor=7).compute())


def test_a_scene_that_is_open_and_a_single_file(folder):
    scene = ld.open_scene(folder)
    for chunks in (None, {}):
        found = xr.open_dataset(scene, engine="landsat", chunks=chunks)
        xr.testing.assert_identical(found.compute(), scene.dataset().compute())
    red = xr.open_dataset(next(folder.glob("*_SR_B4.TIF")), engine="landsat")
    np.testing.assert_array_equal(red.SR_B4, stored(folder, "SR_B4"))


def test_scenes_are_known_by_their_names(folder):
    assert xr.open_dataset(f"{folder}/").attrs["id"] == folder.name
    guess = xr.backends.list_engines()["landsat"].guess_can_open
    name = folder.name
    ours = (name, f"/a/{name}", f"s3://b/{name}/", f"https://host/{name}.tar", f"{name}_MTL.json", Path(name))
    product = f"{name}_downsampled"
    products = (product, f"s3://b/{product}/", f"{name}_h18v04_downsampled", f"{product}.stac.json", f"{product}.tar")
    theirs = (
        f"{name}_SR_B4.TIF",
        f"{name}.nc",
        f"{name}.zarr",
        f"{name}_downsampled.nc",
        f"{name}_downsampled.zarr",
        f"{name}_cube_of_downsampled",
        "cube.nc",
        f"x{name}",
        b"CDF",
        None,
        5,
    )
    assert all(guess(one) for one in (*ours, *products))
    assert not any(guess(one) for one in theirs)


@pytest.mark.parametrize("units", ["dn", "scaled"])
def test_a_product_opens_as_its_scene_does(folder, tmp_path, units):
    """By its folder, its item, a tar of it; codes stay codes."""
    (outcome,) = ld.run(ld.plan(folder, tmp_path, factor=7, bands="red,lwir11,QA_PIXEL", units=units))
    product = Path(outcome.href).parent
    archive = shutil.make_archive(str(product), "tar", product)
    wanted = ld.open_scene(product).dataset().compute()
    for place in (product, f"{product}/", outcome.href, archive):
        found = xr.open_dataset(place)
        assert {name: array.dtype for name, array in found.items() if name in wanted} == dict(wanted.dtypes)
        assert {"valid", "cloud"} < set(found) - set(wanted)
        for name in wanted:
            np.testing.assert_array_equal(found[name], wanted[name])
        with rasterio.open(next(product.glob("*_QA_FRACTIONS.TIF"))) as file:
            np.testing.assert_array_equal(found.valid, file.read(1))
    physical = xr.open_dataset(product, mask_and_scale=True)
    for name in ("SR_B4", "ST_B10"):
        np.testing.assert_allclose(physical[name], wanted.landsat.scaled()[name], rtol=1e-6)
    assert physical.QA_PIXEL.dtype == "uint16"


def test_what_other_engines_are_asked_is_no_error(folder):
    """rioxarray's users write ``decode_coords="all"``: the reference system is a coordinate anyway."""
    plain = xr.open_dataset(folder, engine="landsat", bands="red")
    for how in ({"decode_coords": "all"}, {"decode_times": False}, {"decode_cf": False}):
        xr.testing.assert_identical(xr.open_dataset(folder, engine="landsat", bands="red", **how), plain)
        assert set(xr.open_datatree(folder, engine="landsat", bands="red", **how).children) == {"30m"}


def test_dates_open_as_a_cube_of_cells(tmp_path):
    folders = ld.make_scenes(tmp_path, size=SIZE, dates=2)

    def reduced(dataset):
        return dataset.landsat.coarsen(factor=10, mask="cloud").landsat.scaled()[["red"]]

    cube = xr.open_mfdataset(
        folders,
        engine="landsat",
        bands="red,qa_pixel",
        preprocess=reduced,
        combine="nested",
        concat_dim="time",
        join="outer",
        compat="override",
        coords="minimal",
        combine_attrs="drop_conflicts",
    )
    assert np.isfinite(cube.red).any(("y", "x")).all()
    for folder, found in zip(folders, cube.red, strict=True):
        wanted = reduced(ld.open_scene(folder).dataset(["red", "qa_pixel"])).red
        assert found.time == wanted.time
        np.testing.assert_array_equal(found.sel(x=wanted.x, y=wanted.y), wanted)


def test_files_of_others_do_not_pay_for_it():
    """xarray loads all engines to find one for a file."""
    code = "from landsat_downsample.api.backend import LandsatBackend; LandsatBackend().guess_can_open('x.nc')"
    code += "; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name for name in done.stdout.split() if name.startswith("landsat_downsample.")}
    assert loaded == {
        *(f"landsat_downsample.{name}" for name in ("api", "errors", "formats", "model")),
        *(f"landsat_downsample.api.{name}" for name in ("accessor", "backend", "registration")),
        "landsat_downsample.formats.product_id",
        "landsat_downsample.model.family",
    }
    assert "rasterio" not in done.stdout.split()


def test_a_product_has_its_statistics_and_shares(folder, tmp_path):
    bands = ["red", "qa_pixel"]
    (done,) = ld.run(ld.plan(folder, str(tmp_path), factor=7, bands=bands, stats="mean,std,count"))
    product = Path(done.href).parent
    found = xr.open_dataset(product, engine="landsat", chunks={})
    assert list(found)[:4] == ["SR_B4", "QA_PIXEL", "SR_B4_std", "SR_B4_count"]
    assert {"valid", "cloud_shadow"} < set(found)
    names = ["cloud", "red_std", "red", "red_count"]
    asked, tree = (open_(product, engine="landsat", bands=names) for open_ in (xr.open_dataset, xr.open_datatree))
    assert list(asked) == list(tree["210m"].data_vars) == names
    with rasterio.open(product / f"{done.scene_id}_QA_FRACTIONS.TIF") as file:
        np.testing.assert_array_equal(asked.cloud, file.read(file.descriptions.index("cloud") + 1))
    np.testing.assert_array_equal(asked.red_std, stored(product, "SR_B4_STD"))
    np.testing.assert_array_equal(found.SR_B4_count, stored(product, "SR_B4_COUNT"))
    assert asked.red_count.attrs["landsat_statistic"] == "count" and asked.time == found.time
    assert asked.red_std.attrs["landsat_band"] == "SR_B4" and asked.cloud.attrs["units"] == "percent"
    with pytest.raises(ld.UsageError, match="band 'red_max' is not in"):
        xr.open_dataset(product, engine="landsat", bands=["red_max"])
