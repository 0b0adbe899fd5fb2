"""What products on cells of another projection say of themselves, held against what others read from them."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from command import call

import landsat_downsample as ld
from landsat_downsample.display.handlers import in_words, shell
from landsat_downsample.display.reporter import Reporter
from landsat_downsample.display.tables import show_plan
from landsat_downsample.execution.run import run_plans
from landsat_downsample.formats.mtl import frame, parse
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.options import Options
from landsat_downsample.model.plan import ScenePlan, estimate, plan_scene
from landsat_downsample.model.projection import proj_version
from landsat_downsample.model.ties import Ties
from landsat_downsample.products import stac
from landsat_downsample.products.footprint import footprint, spacing

BANDS = ["SR_B4", "SR_B5", "QA_PIXEL"]
SINUSOIDAL = "+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m +no_defs"

#: Grids, and how others write their CRS.
GRIDS = {
    "modis:500m": SINUSOIDAL,
    "latlon:0.01": "EPSG:4326",
    "EPSG:3035@1000": "EPSG:3035",
    "ease2-n:3km": "EPSG:6931",
    "EPSG:3857@500": "EPSG:3857",
    "EPSG:32632@480": "EPSG:32632",
    "EPSG:32733@480": "EPSG:32733",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return ld.make_scene(tmp_path_factory.mktemp("scenes"), size=(307, 283), bands=BANDS)


def made(folder: Path, out: Path, grid: str, **options) -> tuple[ScenePlan, Path]:
    plan = plan_scene(ld.open_scene(folder), str(out), Options(grid=grid, **options))
    (outcome,) = ld.run([plan])
    return plan, Path(outcome.href).parent


@pytest.fixture(scope="module")
def products(folder, tmp_path_factory) -> dict[str, tuple[ScenePlan, Path]]:
    out = tmp_path_factory.mktemp("out")
    return {grid: made(folder, out / str(k), grid) for k, grid in enumerate(GRIDS)}


def record(product: Path, ending: str) -> dict:
    return json.loads((product / f"{product.name}{ending}").read_text())


@pytest.mark.parametrize("grid", GRIDS)
def test_files_and_items_name_the_same_crs_to_other_readers(products, grid):
    import pystac
    import rioxarray
    from pystac.extensions.projection import ProjectionExtension

    plan, product = products[grid]
    expected = pyproj.CRS(GRIDS[grid])
    item = record(product, ".stac.json")
    assert stac.validate_item(item) == []
    properties = item["properties"]
    code = properties["proj:code"]
    assert (code is None) == (grid == "modis:500m")
    told = [code] if code else [properties["proj:wkt2"], properties["proj:projjson"]]
    path = product / f"{plan.scene.id}_SR_B4.TIF"
    with rasterio.open(path) as raster:
        assert raster.shape == tuple(properties["proj:shape"])
        assert tuple(raster.transform)[:6] == tuple(properties["proj:transform"])
        assert tuple(raster.bounds) == pytest.approx(properties["proj:bbox"], abs=0)
        told.append(raster.crs.to_wkt())
    told.append(rioxarray.open_rasterio(path).rio.crs.to_wkt())
    told.append(ProjectionExtension.ext(pystac.Item.from_dict(item, href=str(product / plan.marker))).crs_string)
    x, y = (np.array(axis) for axis in ((13.1, 14.7), (47.3, 48.9)))
    places = [
        pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(x, y) for crs in [expected, *told]
    ]
    assert np.ptp(places, axis=0).max() < 1e-6  # of a metre or a degree


@pytest.mark.parametrize("grid", GRIDS)
def test_the_footprint_is_that_of_the_cells(products, grid):
    plan, product = products[grid]
    outline = shapely.geometry.shape(record(product, ".stac.json")["geometry"])
    assert outline.is_valid and outline.exterior.is_ccw
    left, bottom, right, top = plan.coarse.bounds
    rng, (width, height) = np.random.default_rng(0), (right - left, top - bottom)
    x = rng.uniform(left - width / 5, right + width / 5, 2000)
    y = rng.uniform(bottom - height / 5, top + height / 5, 2000)
    lon, lat = pyproj.Transformer.from_crs(GRIDS[grid], 4326, always_xy=True).transform(x, y)
    depth = np.minimum.reduce([x - left, right - x, y - bottom, top - y]) / max(plan.coarse.resolution)
    far = np.abs(depth) > 0.05
    assert (shapely.contains_xy(outline, lon, lat) == (depth > 0))[far].all()


@pytest.mark.parametrize("grid", GRIDS)
def test_cells_are_counted_in_the_grids_own_numbering(products, grid):
    plan, product = products[grid]
    properties, met = record(product, ".stac.json")["properties"], record(product, ".met.json")
    assert properties["landsat_ds:grid"] == met["grid"]["grid"] == grid
    (row, column), (height, width) = properties["landsat_ds:first_cell"], map(float, plan.lattice.cell)
    (y, x), (left, _, _, top) = map(float, plan.lattice.origin), plan.coarse.bounds
    assert (x + column * width, y - row * height) == pytest.approx((left, top), rel=1e-12)
    # by the areas of the scene's own corners in the CRS of the grid
    frame_of = shapely.segmentize(shapely.box(*plan.scene.grid.bounds), 300)
    to_grid = pyproj.Transformer.from_crs(plan.scene.grid.crs, GRIDS[grid], always_xy=True)
    there = shapely.transform(frame_of, lambda xy: np.column_stack(to_grid.transform(*xy.T)))
    pixels = np.prod(plan.scene.grid.shape) / (there.area / (width * height))
    assert properties["landsat_ds:cell_area"] == met["grid"]["cell_area"] == pytest.approx(pixels, rel=2e-3)
    assert "landsat_ds:ratio" not in properties and "ratio" not in met["grid"]


def test_what_decides_the_weights_is_recorded(products):
    plan, product = products["modis:500m"]
    item, met = record(product, ".stac.json"), record(product, ".met.json")
    assert met["projection"] == item["properties"]["landsat_ds:projection"]
    assert met["projection"]["PROJ"] == met["versions"]["PROJ"] == proj_version()
    assert item["properties"]["processing:software"]["PROJ"] == proj_version()
    assert met["projection"]["parts_of_a_pixel"] == 4096
    operation = pyproj.Transformer.from_pipeline(met["projection"]["operation"])
    own = pyproj.Transformer.from_crs(plan.scene.grid.crs, SINUSOIDAL, always_xy=True)
    left, bottom, right, top = plan.scene.grid.bounds
    corners = np.array([left, right]), np.array([bottom, top])
    assert np.allclose(operation.transform(*corners), own.transform(*corners), rtol=0, atol=1e-6)
    digest = Ties.of(plan.scene.grid, plan.lattice, plan.projection).digest
    assert {file["tie_points"] for file in met["files"]} == {digest}
    assert item["assets"]["red"]["landsat_ds:tie_points"] == digest
    assert {file["tie_step"] for file in met["files"]} == {item["assets"]["red"]["landsat_ds:tie_step"]} == {16}


def test_a_product_without_an_mtl_knows_its_moment_by_its_item(products):
    plan, product = products["modis:500m"]
    assert not list(product.glob("*_MTL.*"))
    item = record(product, ".stac.json")["properties"]
    assert ld.open_scene(product).properties["datetime"] == item["datetime"] == plan.scene.properties["datetime"]
    [path] = product.glob("*.stac.json")
    assert ld.open_scene(product).properties == ld.open_scene(path).properties


def test_bands_of_other_pixels_have_tie_points_of_their_own(tmp_path):
    folder = ld.make_scene(tmp_path, size=(211, 187), level=1, bands=["B4", "B8", "QA_PIXEL"])
    plan, product = made(folder, tmp_path / "out", "EPSG:3035@600")
    digests = {file["band"]: file["tie_points"] for file in record(product, ".met.json")["files"]}
    assert digests["B4"] == digests["QA_PIXEL"] == digests["QA_FRACTIONS"] != digests["B8"]
    assert digests["B8"] == Ties.of(plan.scene.bands["B8"].grid, plan.lattice, plan.projection).digest


# MTL


@pytest.mark.parametrize("grid", GRIDS)
def test_an_mtl_is_there_where_it_can_tell_the_truth(products, grid):
    plan, product = products[grid]
    notes = record(product, ".stac.json")["properties"].get("landsat_ds:notes", [])
    found = {path.suffix[1:]: path.read_bytes() for path in product.glob("*_MTL.*")}
    if grid != "EPSG:32632@480":
        assert not found
        assert [note for note in record(product, ".met.json")["notes"] if note.startswith("no MTL")] == notes != []
        return
    assert len(found) == 3 and not notes
    for kind, data in found.items():
        mtl = parse.parse(data, kind)
        said = frame.frame(mtl)
        assert (said.crs, said.shape) == ("EPSG:32632", plan.coarse.shape)
        assert tuple(said.transform) == pytest.approx(tuple(plan.coarse.transform))
        assert mtl.get("LEVEL1_PROJECTION_PARAMETERS", "UTM_ZONE") == "33"  # the Level 1 source's, as it was
        assert float(mtl.get("DOWNSAMPLING_RECORD", "CELL_AREA_IN_PIXELS")) == pytest.approx(256, rel=2e-3)
        assert mtl.get("DOWNSAMPLING_RECORD", "CELL_SIZE_IN_PIXELS_X") is None


@pytest.mark.parametrize("grid", GRIDS)
def test_products_open_as_scenes(products, grid):
    plan, product = products[grid]
    for source in (product, product / plan.marker):
        again = ld.open_scene(source)
        assert again.grid.shape == plan.coarse.shape
        assert pyproj.CRS(again.grid.crs).equals(pyproj.CRS(plan.coarse.crs), ignore_axis_order=True)


def test_a_level_1_mtl_names_the_zone_everywhere(tmp_path):
    folder = ld.make_scene(tmp_path, size=(131, 117), level=1, bands=["B4", "QA_PIXEL"])
    _, product = made(folder, tmp_path / "out", "EPSG:32632@600")
    for path in product.glob("*_MTL.*"):
        mtl = parse.parse(path.read_bytes(), path.suffix[1:])
        assert {entry.value for entry in mtl.entries if entry.key == "UTM_ZONE"} == {"32"}


def test_that_the_mtl_is_left_out_is_said_once_while_it_runs(folder, tmp_path, capfd):
    scene = ld.open_scene(folder)
    plans = [plan_scene(scene, str(tmp_path / name), Options(grid="ease2-n:3km")) for name in "ab"]
    show_plan(plans[0])
    assert "no MTL" in capfd.readouterr().out
    with shell(in_words), Reporter(scenes=2, style="plain") as reporter:
        run_plans(plans, report=reporter)
    assert capfd.readouterr().err.count("no MTL") == 1


def test_a_plan_says_how_large_cells_are_and_what_it_costs(folder):
    done = call("plan", folder, "--grid", "modis:500m")
    assert done.code == 0, done.err
    assert "239.3 pixels on average), MODIS sinusoidal" in done.out
    assert "no MTL" in done.out and "core-hours" in done.out


# Azimuths


@pytest.mark.parametrize("grid", ["modis:500m", "EPSG:3035@600"])
def test_azimuths_are_those_from_true_north_on_every_grid(tmp_path, grid):
    folder = ld.make_scene(tmp_path, size=(211, 187), level=1, bands=["SAA", "QA_PIXEL"])
    frame_of = ld.open_scene(folder).grid
    beacon = 20.0, 41.0  # longitude and latitude of a place some hundred kilometres away
    (path,) = Path(folder).glob("*_SAA.TIF")
    with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as raster:
        raster.write(np.rint(100 * _azimuths(frame_of, beacon)).astype(np.int16), 1)
    plan, product = made(folder, tmp_path / "out", grid, min_valid=1)
    with rasterio.open(product / path.name) as raster, rasterio.open(next(product.glob("*_QA_PIXEL.TIF"))) as codes:
        stored, full = raster.read(1) / 100, codes.read(1) & 1 == 0
    expected = _azimuths(plan.coarse, beacon)
    assert full.sum() > 20
    assert np.abs(stored - expected)[full].max() < 0.03
    corner = pyproj.Transformer.from_crs(plan.coarse.crs, 4326, always_xy=True).transform(*plan.coarse.bounds[:2])
    convergence = pyproj.Proj(plan.coarse.crs).get_factors(*corner).meridian_convergence
    assert abs(convergence) > 1  # degrees: turned, they would be seen to be
    (file,) = (file for file in record(product, ".met.json")["files"] if file["band"] == "SAA")
    assert any("true north" in note for note in file["notes"])


def _azimuths(grid: Grid, beacon: tuple[float, float]) -> np.ndarray:
    """From each centre of a grid to a place, in degrees clockwise from the meridian."""
    y, x = grid.coordinates()
    lon, lat = pyproj.Transformer.from_crs(grid.crs, 4326, always_xy=True).transform(*np.meshgrid(x, y))
    there = [np.full(lon.shape, degrees) for degrees in beacon]
    azimuth: np.ndarray = pyproj.Geod(ellps="WGS84").inv(lon, lat, *there)[0]
    return azimuth


# Places at the edge of a map


def test_a_window_across_180_degrees_is_cut_there():
    grid = Grid((40, 60), Affine(0.05, 0, 178.5, 0, -0.05, -16), "EPSG:4326")  # to 181.5 E
    geometry, bbox = footprint(grid)
    assert geometry["type"] == "MultiPolygon"
    assert bbox == pytest.approx([178.5, -18, -178.5, -16])
    assert shapely.geometry.shape(geometry).area == pytest.approx(3 * 2)


def test_a_frame_beyond_the_edge_of_its_map_has_no_outline_of_its_own():
    crs = pyproj.CRS(SINUSOIDAL).to_wkt()
    x, y = pyproj.Transformer.from_crs(4326, SINUSOIDAL, always_xy=True).transform(179.0, 60.0)
    inside, beyond = (Grid((300, 300), Affine(463.3, 0, x - d, 0, -463.3, y), crs) for d in (400_000, 20_000))
    assert footprint(inside, has_edge=True)[0] == footprint(inside)[0]
    assert footprint(beyond, has_edge=True) == (None, None)


def test_large_tiles_are_outlined_as_finely_as_scenes():
    crs = pyproj.CRS(SINUSOIDAL).to_wkt()
    side = 1111950.519667
    grid = Grid((2400, 2400), Affine(side / 2400, 0, 0, 0, -side / 2400, 6 * side), crs)
    outline = shapely.geometry.shape(footprint(grid, has_edge=True)[0])
    along = np.linspace(0, side, 997)
    right = pyproj.Transformer.from_crs(SINUSOIDAL, 4326, always_xy=True).transform(0 * along + side, 6 * side - along)
    degrees = shapely.distance(outline.exterior, shapely.points(*right)).max()
    assert degrees * 111_195 < 100


def test_pixel_size_of_mercator_is_that_on_the_ground():
    x, y = pyproj.Transformer.from_crs(4326, 3857, always_xy=True).transform(10.0, 60.0)
    grid = Grid((100, 100), Affine(600, 0, x - 30_000, 0, -600, y + 30_000), "EPSG:3857")
    _, _, metres = pyproj.Geod(ellps="WGS84").inv(*_degrees(3857, x - 300, y), *_degrees(3857, x + 300, y))
    assert spacing(grid) == pytest.approx(metres, rel=0.005)  # of a sphere


def _degrees(crs: int, x: float, y: float) -> tuple[float, float]:
    return pyproj.Transformer.from_crs(crs, 4326, always_xy=True).transform(x, y)


@pytest.mark.parametrize("side", [61, 500])
def test_the_plan_of_a_median_says_how_much_memory_sorting_takes(tmp_path, side):
    shape = 1041, 1507
    values = np.random.default_rng(3).integers(1, 60000, shape, np.uint16)
    profile = {"driver": "GTiff", "height": shape[0], "width": shape[1], "count": 1, "dtype": "uint16", "nodata": 0}
    place = {"crs": "EPSG:32633", "transform": rasterio.Affine(30, 0, 256185, 0, -30, 5216415)}
    with rasterio.open(tmp_path / "noise.tif", "w", tiled=True, **profile, **place) as raster:
        raster.write(values, 1)
    plan = ld.plan(tmp_path / "noise.tif", tmp_path / "out", grid=f"EPSG:3035@{side}", methods={"noise": "median"})
    tracemalloc.start()
    try:
        ld.run(plan, workers=1)
        held = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert held < estimate(plan[0])["peak_memory"] < 3 * held
