"""Grids that other rasters, cubes, products and files of a CRS give: GDAL, xarray and PROJ write what is read."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
import rioxarray  # noqa: F401  (registers the .rio accessor)
import xarray as xr
from affine import Affine
from rasterio.crs import CRS

import landsat_downsample as ld
from landsat_downsample.errors import ReadError, UsageError
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.named_grids import named
from landsat_downsample.model.options import Options
from landsat_downsample.model.target_grid import TargetGrid
from landsat_downsample.scenes.given_grid import read_grid

HERE = Affine(37, 0, 256_000, 0, -53, 5_216_000)
IMAGE = Grid((5, 7), HERE, "EPSG:32633")


def raster(path, transform=HERE, crs="EPSG:32633", *, shape=(5, 7), bands=1, driver="GTiff"):
    height, width = shape
    options = {"driver": driver, "height": height, "width": width, "count": bands, "dtype": "uint8"}
    with rasterio.open(path, "w", crs=crs, transform=transform, **options) as file:
        file.write(np.ones((bands, *shape), "uint8"))
    return path


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return ld.make_scene(tmp_path_factory.mktemp("scenes"), size=(131, 117), bands=["SR_B4", "QA_PIXEL"])


@pytest.mark.parametrize(
    ("name", "driver", "bands"), [("a.tif", "GTiff", 1), ("a.tif", "GTiff", 3), ("a.img", "HFA", 2)]
)
def test_a_raster_of_any_bands_gives_its_cells_and_their_extent(tmp_path, name, driver, bands):
    found = read_grid(f"like:{raster(tmp_path / name, driver=driver, bands=bands)}")
    assert found.name == f"like:{name}" and found.shape == (5, 7)
    assert found.grid((0, 0, 5, 7)) == IMAGE
    with rasterio.open(tmp_path / name) as file:
        assert tuple(found.grid(found.extent).bounds) == tuple(file.bounds)


def test_a_raster_that_is_stored_south_up_is_turned(tmp_path):
    path = raster(tmp_path / "a.tif", Affine(37, 0, 256_000, 0, 53, 5_216_000 - 5 * 53))
    assert read_grid(f"like:{path}").grid((0, 0, 5, 7)) == IMAGE


@pytest.mark.parametrize(
    ("transform", "crs", "message"),
    [
        (Affine(37, 3, 0, 3, -53, 0), "EPSG:32633", "is rotated"),
        (HERE, None, "no CRS that is known"),
        (Affine(463.3127, 0, 0, 0, -463.3127, 0), "ESRI:54008", "28 km off"),
    ],
)
def test_what_is_no_grid_of_ours_is_refused(tmp_path, transform, crs, message):
    with pytest.raises(UsageError, match=message):
        read_grid(f"like:{raster(tmp_path / 'a.tif', transform, crs)}")


def test_a_scene_and_a_product_of_it_give_theirs(scene, tmp_path):
    opened = ld.open_scene(scene)
    assert read_grid(f"like:{scene}").grid((0, 0, 117, 131)) == opened.grid
    [outcome] = ld.run(ld.plan(scene, tmp_path, factor=7))
    folder = outcome.href.rpartition("/")[0]
    [plan] = ld.plan(scene, tmp_path / "again", like=folder)
    assert plan.coarse == ld.plan(scene, tmp_path, factor=7)[0].coarse
    assert plan.options.grid.name == f"like:{scene.name}_downsampled"
    assert str(tmp_path) not in json.dumps(plan.options.to_dict())


def test_a_cube_gives_that_of_its_first_variable_with_y_and_x(tmp_path):
    cube, engines = array().astype("float32").to_dataset(name="ndvi"), xr.backends.list_engines()
    if engines.keys() & {"h5netcdf", "netcdf4", "scipy"}:
        cube.to_netcdf(tmp_path / "cube.nc")
        assert read_grid(f"like:{tmp_path / 'cube.nc'}").grid((0, 0, 5, 7)) == IMAGE
    if "zarr" in engines:
        cube.to_zarr(tmp_path / "cube.zarr", consolidated=False)
        assert read_grid(f"like:{tmp_path / 'cube.zarr'}").grid((0, 0, 5, 7)) == IMAGE
    (tmp_path / "none.zarr").mkdir()
    with pytest.raises(UsageError, match="xarray cannot open it"):
        read_grid(f"like:{tmp_path / 'none.zarr'}")


def test_what_is_not_there_is_no_grid(tmp_path):
    with pytest.raises(ReadError, match="no such file"):
        read_grid(f"like:{tmp_path / 'nix.tif'}")
    (tmp_path / "a.img").write_text("no raster")
    with pytest.raises(UsageError, match="finds no raster in it"):
        read_grid(f"like:{tmp_path / 'a.img'}")
    (tmp_path / "a.nc").write_text("no cube")
    with pytest.raises(UsageError, match="xarray cannot open it"):
        read_grid(f"like:{tmp_path / 'a.nc'}")


@pytest.mark.parametrize("form", ["wkt", "projjson"])
def test_a_file_that_describes_a_crs_gives_multiples_of_a_size_in_it(tmp_path, form):
    crs = CRS.from_string("+proj=laea +lat_0=47 +lon_0=11 +datum=WGS84")
    text = crs.to_wkt() if form == "wkt" else json.dumps(crs.to_dict(projjson=True))
    (tmp_path / "alps.txt").write_text(text)
    found = read_grid(f"{tmp_path}/alps.txt@250,300")
    assert found.name == "alps.txt@250,300" and found.lattice.cell == (300, 250) and found.shape is None
    assert CRS.from_user_input(found.lattice.crs) == crs
    (tmp_path / "none.txt").write_text("no CRS")
    with pytest.raises(UsageError, match="describes no CRS"):
        read_grid(f"{tmp_path}/none.txt@250")


class GeoBox:
    """As odc-geo has it: a CRS object, an affine, a shape; and dimensions, though it is no array."""

    dims = coords = ("y", "x")

    crs = CRS.from_epsg(32633)
    affine = transform = HERE
    shape = (5, 7)


def array() -> xr.DataArray:
    y, x = IMAGE.coordinates()
    return xr.DataArray(np.zeros((2, 5, 7)), dims=("time", "y", "x"), coords={"y": y, "x": x}).rio.write_crs(IMAGE.crs)


@pytest.mark.parametrize("name", ["Grid", "GeoBox", "DataArray", "Dataset", "upside down", "dataset of rasterio"])
def test_objects_of_other_libraries_are_grids(scene, tmp_path, name):
    given = {
        "Grid": lambda: IMAGE,
        "GeoBox": GeoBox,
        "DataArray": array,
        "Dataset": lambda: array().to_dataset(name="a"),
        "upside down": lambda: array().isel(y=slice(None, None, -1)),
        "dataset of rasterio": lambda: rasterio.open(raster(tmp_path / "a.tif")),
    }[name]()
    for key in ("grid", "like"):
        [plan] = ld.plan(scene, tmp_path, **{key: given})
        grid = plan.options.grid
        assert isinstance(grid, TargetGrid) and grid.grid((0, 0, 5, 7)) == IMAGE
        assert Options.from_dict(json.loads(json.dumps(plan.options.to_dict()))) == plan.options
        assert plan.coarse.crs == "EPSG:32633" and plan.coarse.resolution == (53, 37)


def test_grid_and_like_are_one_question(scene, tmp_path):
    with pytest.raises(UsageError, match="give one of them"):
        ld.plan(scene, tmp_path, grid="zone", like=IMAGE)
    with pytest.raises(UsageError, match="type list is none"):
        ld.plan(scene, tmp_path, like=[1, 2])
    with pytest.raises(UsageError, match="leave out factor"):
        ld.plan(scene, tmp_path, like=IMAGE, factor=2)


def test_arrays_are_coarsened_to_the_cells_of_another(scene):
    red = ld.open_scene(scene)["red"]
    left, _, _, top = ld.open_scene(scene).grid.bounds
    other = Grid((20, 20), Affine(90, 0, left, 0, -90, top), "EPSG:32633")
    found = ld.coarsen(red, like=other)
    wanted = red.values[:60, :60].reshape(20, 3, 20, 3).mean((1, 3))
    whole = (red.values[:60, :60] != 0).reshape(20, 3, 20, 3).all((1, 3))
    assert found.shape == (20, 20) and whole.any()
    assert (found.values[whole] == np.rint(wanted[whole])).all()
    wide = Grid((60, 70), Affine(90, 0, left - 900, 0, -90, top + 900), "EPSG:32633")
    beyond = ld.coarsen(red, like=wide)
    assert beyond.shape == (60, 70) and (beyond.values[10:30, 10:30] == found.values).all()
    assert not beyond.values[:10].any() and not beyond.values[:, :10].any() and not beyond.values[:, 60:].any()
    assert ld.coarsen(red, grid="EPSG:32633@90").rio.transform().c % 90 == 0
    quality = ld.open_scene(scene)["QA_PIXEL"]
    assert ld.fractions(quality, like=other).sizes == {"y": 20, "x": 20}


def test_options_with_a_name_are_the_same_after_json():
    asked = Options(grid="MODIS:500m:h18v4", bands=("SR_B4",))
    assert Options.from_dict(json.loads(json.dumps(asked.to_dict()))) == asked
    assert asked.grid == "modis:500m:h18v04" and asked.factor is None
    assert Options(grid="zone:300") == Options(resolution=300)
    assert named(asked.grid, IMAGE).extent == (9600, 43200, 2400, 2400)
