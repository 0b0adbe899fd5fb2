"""`verify` on cells of other projections: right products pass, wrong ones do not, and its areas are shapely's."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from command import write_tif
from polygon_cells import cells as polygon_cells

import landsat_downsample as ld
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.lattice import Lattice
from landsat_downsample.model.options import Options
from landsat_downsample.model.plan import plan_scene
from landsat_downsample.model.projection import Projection
from landsat_downsample.model.target_grid import TargetGrid
from landsat_downsample.products import verify as module
from landsat_downsample.products.cell_outline import areas_inside, cell_areas
from landsat_downsample.products.recompute_areas import AreaCell, wrong_code

BANDS = ["SR_B4", "ST_EMSD", "ST_CDIST", "QA_PIXEL", "QA_RADSAT"]
SINUSOIDAL = "+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m +no_defs"
GRIDS = ["modis:500m", "latlon:0.005", "EPSG:3035@1000", "ease2-n:3km", "EPSG:32632@70", "EPSG:32733@480"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return ld.make_scene(tmp_path_factory.mktemp("scenes"), size=(307, 283), bands=BANDS)


def made(folder: Path, out: Path, **options) -> Path:
    (outcome,) = ld.run([plan_scene(ld.open_scene(folder), str(out), Options(**options))])
    return Path(outcome.href).parent


def recomputed(report: ld.Report) -> list[str]:
    return [line for line in report.checked if "recomputed from polygons, all right" in line]


# Areas


@pytest.mark.parametrize("seed", range(40))
def test_areas_are_those_of_shapely(seed):
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 60)))
    radius = rng.uniform(0.2, 7)
    x = rng.uniform(-1, 10) + radius * np.cos(angles) * rng.uniform(0.3, 1.5)
    y = rng.uniform(-1, 9) + radius * np.sin(angles)
    if seed % 3 == 0:
        x, y = np.rint(x), np.rint(y)  # along the edges of pixels
    if seed % 2:
        x, y = x[::-1], y[::-1]
    polygon = shapely.Polygon(np.column_stack([x, y]))
    columns, rows = np.meshgrid(np.arange(9), np.arange(8))
    expected = shapely.area(shapely.intersection(shapely.box(columns, rows, columns + 1, rows + 1), polygon.buffer(0)))
    if polygon.is_valid:
        assert np.abs(areas_inside(x, y, (8, 9)) - expected).max() < 1e-12


@pytest.mark.parametrize(
    ("image_crs", "crs", "place", "side", "pixel"),
    [
        ("EPSG:32614", SINUSOIDAL, (-100.0, 40.0), 463.312716527917, 30),
        ("EPSG:32633", SINUSOIDAL, (14.5, 79.0), 463.312716527917, 30),
        ("EPSG:32633", "EPSG:4326", (13.0, 62.0), 0.05, 30),
        ("EPSG:32760", "EPSG:4326", (179.99, -17.0), 0.05, 30),
        ("EPSG:3031", "EPSG:6932", (50.0, -75.0), 3000.0, 30),
        ("EPSG:32622", "EPSG:4326", (-50.0, 81.5), 0.2, 300),
    ],
)
def test_areas_of_cells_are_those_of_finely_cut_polygons(image_crs, crs, place, side, pixel):
    from pyproj import Transformer

    left, top = (30 * np.rint(n / 30) for n in Transformer.from_crs(4326, image_crs, always_xy=True).transform(*place))
    image = Grid((401, 397), rasterio.Affine(pixel, 0, left - 15, 0, -pixel, top + 15), image_crs)
    projection = Projection.between(image, crs)
    x, y = projection.forward(np.array([left + 200 * pixel]), np.array([top - 200 * pixel]))
    grid = Grid((1, 1), rasterio.Affine(side, 0, x[0], 0, -side, y[0] + side), crs)
    found = cell_areas(image, grid, projection, (0, 0))
    [expected] = polygon_cells(crs, [grid.bounds[0:4]], image_crs, image.transform, image.shape, segments=256)
    rows, columns = expected.shares.shape
    window = np.zeros(image.shape)
    window[expected.row : expected.row + rows, expected.column : expected.column + columns] = expected.shares
    held = np.zeros(image.shape)
    at = slice(found.row, found.row + found.shares.shape[0]), slice(found.column, found.column + found.shares.shape[1])
    held[at] = found.shares
    assert np.abs(held - window).max() < 2e-4
    assert found.area == pytest.approx(expected.shares.sum(), rel=1e-5)
    assert (found.near | (found.shares == 0)).all()


def test_a_cell_beyond_the_edge_of_the_map_is_not_recomputed():
    image = Grid((300, 300), rasterio.Affine(30, 0, 6e5, 0, -30, 6.65e6), "EPSG:32660")
    projection = Projection.between(image, SINUSOIDAL)
    edge = np.pi * 6371007.181 * np.cos(np.radians(60))
    grid = Grid((1, 2), rasterio.Affine(1000, 0, edge - 1500, 0, -1000, np.radians(60) * 6371007.181), SINUSOIDAL)
    assert cell_areas(image, grid, projection, (0, 0)) is not None
    assert cell_areas(image, grid, projection, (0, 1)) is None


# Right products


@pytest.mark.parametrize("grid", GRIDS)
def test_right_products_pass(folder, tmp_path, grid):
    report = ld.verify(str(made(folder, tmp_path, grid=grid)), source=str(folder), blocks=12)
    assert not report.wrong
    assert [line.partition(":")[0] for line in recomputed(report)] == [*BANDS[:4], "QA_FRACTIONS", "QA_RADSAT"]


@pytest.mark.parametrize("qa", ["majority", "mode"])
def test_statistics_masks_and_policies_pass(folder, tmp_path, qa):
    stats = ("mean", "median", "rms", "min", "max", "sum", "std", "count")
    options = {"stats": stats, "mask": ("cloud",), "min_valid": 0.5, "qa": qa, "methods": {"ST_CDIST": "mode"}}
    product = made(folder, tmp_path, grid="EPSG:3035@600", **options)
    report = ld.verify(str(product), source=str(folder), blocks=12)
    assert not report.wrong and len(recomputed(report)) == len(stats) + 5


@pytest.mark.parametrize(
    "recipe",
    [
        {"level": 1, "bands": ["B4", "B8", "SAA", "VAA", "SZA", "QA_PIXEL"]},
        {"level": 2, "bands": ["SR_B4", "QA_PIXEL"], "southern": True},
        {"level": 1, "sensor": "mss", "bands": ["B3", "QA_PIXEL"]},
        {"level": 1, "sensor": "etm", "bands": ["B1", "B8", "QA_PIXEL"]},
    ],
)
def test_products_of_other_sensors_and_places_pass(tmp_path, recipe):
    folder = ld.make_scene(tmp_path / "in", size=(233, 211), **recipe)
    product = made(folder, tmp_path / "out", grid="latlon:0.01", mask=("cloud",))
    report = ld.verify(str(product), source=str(folder), blocks=12)
    assert not report.wrong and len(recomputed(report)) == len(recipe["bands"]) + 1


@pytest.mark.parametrize("grid", ["modis:1km", "latlon:0.05", "EPSG:6933@6000", "EPSG:3413@1500"])
@pytest.mark.parametrize(
    ("pixel", "crs", "top"),
    [
        (30, "EPSG:32622", 9_150_015),
        (30, "EPSG:32633", 8_800_215),
        (300, "EPSG:32622", 9_000_015),
        (450, "EPSG:32614", 4_600_215),
    ],
)
def test_white_noise_passes_up_to_82_degrees_and_with_pixels_of_coarse_products(tmp_path, pixel, crs, top, grid):
    noise = np.random.default_rng(pixel).integers(1, 65536, (151, 139)).astype("uint16")
    transform = rasterio.Affine(pixel, 0, 450_015, 0, -pixel, top)
    scene = write_tif(tmp_path / "noise_B4.TIF", noise, crs=crs, transform=transform, nodata=0)
    product = made(scene, tmp_path / "out", grid=grid)
    assert not ld.verify(str(product), source=str(scene), blocks=30).wrong


def test_cells_of_a_tile_are_taken_where_the_scene_is(folder, tmp_path):
    product = made(folder, tmp_path, grid="modis:1km:h18v04", bands=("SR_B4",))
    report = ld.verify(str(product), source=str(folder), blocks=12)
    assert not report.wrong and recomputed(report) == ["SR_B4: 12 cells recomputed from polygons, all right (mean)"]


# Wrong ones


def _spoil(product: Path, name: str, change) -> None:
    (path,) = product.glob(f"*_{name}.TIF")
    with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as raster:
        change(raster)


def _reported(product: Path, folder: Path) -> list[str]:
    """What the recomputation finds, whatever became of the bytes."""
    report = module.Report()
    (path,) = product.glob("*.met.json")
    told = properties(product), json.loads(path.read_text())
    module._check_cells(str(product), told, ld.open_scene(folder), report, (40, 0))
    return report.wrong


def properties(product: Path) -> dict:
    (path,) = product.glob("*.stac.json")
    return json.loads(path.read_text())["properties"]


@pytest.mark.parametrize("name", ["SR_B4", "ST_EMSD", "ST_CDIST", "QA_PIXEL", "QA_FRACTIONS"])
def test_a_wrong_cell_is_found(folder, tmp_path, name):
    product = made(folder, tmp_path, grid="EPSG:3035@1000")
    off = {"QA_PIXEL": 1 << 3}.get(name, 3)

    def change(raster):
        data = raster.read()
        data[:, -1, -1] ^= off
        data[:, 3:9, 3:9] = data[:, 3:9, 3:9] ^ off if name == "QA_PIXEL" else data[:, 3:9, 3:9] + off
        raster.write(data)

    _spoil(product, name, change)
    [wrong] = _reported(product, folder)
    assert wrong.startswith(f"{name}: ") and "its polygon gives" in wrong


@pytest.mark.parametrize("stat", ["std", "sum", "count", "median", "min", "max"])
def test_a_wrong_statistic_is_found(folder, tmp_path, stat):
    product = made(folder, tmp_path, grid="EPSG:3035@1000", bands=("SR_B4",), stats=(stat,))
    _spoil(
        product,
        f"SR_B4_{stat.upper()}",
        lambda raster: raster.write((raster.read() * 1.01 + 1).astype(raster.dtypes[0])),
    )
    assert [line.partition(":")[0] for line in _reported(product, folder)] == [f"SR_B4 {stat}"]


def test_cells_counted_from_another_corner_are_found(folder, tmp_path):
    """By a tenth of a pixel: nothing in the file tells."""
    right = Lattice("EPSG:3035", (Fraction(0), Fraction(0)), (Fraction(500), Fraction(500)))
    off = replace(right, origin=(Fraction(3), Fraction(-3)))
    shifted, straight = (
        made(folder, tmp_path / name, grid=TargetGrid("x", lattice), bands=("SR_B4",))
        for name, lattice in (("shifted", off), ("straight", right))
    )
    target = plan_scene(ld.open_scene(folder), "x", Options(grid=TargetGrid("x", right), bands=("SR_B4",))).targets[0]
    for product, is_wrong in ((shifted, True), (straight, False)):
        (path,) = product.glob("*_SR_B4.TIF")
        with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as raster:
            assert raster.shape == target.coarse.shape
            raster.transform = target.coarse.transform
        report = module.Report()
        facts = {"reducer": "mean", "file": path.name, "band": "SR_B4"}
        module._check_areas(str(product), (target, target.projection), facts, report, (40, 0))
        assert bool(report.wrong) == is_wrong


def test_a_file_that_says_another_place_or_crs_is_found(folder, tmp_path):
    product = made(folder, tmp_path, grid="EPSG:3035@1000", bands=("SR_B4",))

    def shift(raster):
        raster.transform = raster.transform @ rasterio.Affine.translation(1, 0)

    _spoil(product, "SR_B4", shift)
    assert _reported(product, folder) == ["the rasters lie on other cells than its parameters and its source give"]

    def other(raster):
        raster.transform = raster.transform @ rasterio.Affine.translation(-1, 0)
        raster.crs = "EPSG:3034"

    _spoil(product, "SR_B4", other)
    assert _reported(product, folder) == ["the rasters lie on another CRS than its parameters and its source give"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("proj:shape", [5, 5]), ("proj:transform", [1000, 0, 0, 0, -1000, 0]), ("proj:code", "EPSG:3034")],
)
def test_an_item_that_says_another_place_than_its_files_is_found(folder, tmp_path, name, value):
    product = made(folder, tmp_path, grid="EPSG:3035@1000", bands=("SR_B4",))
    assert not module.verify(str(product)).wrong
    (path,) = product.glob("*.stac.json")
    item = json.loads(path.read_text())
    item["properties"][name] = value
    path.write_text(json.dumps(item))
    assert module.verify(str(product)).wrong == [f"STAC item: {name} is not that of the rasters"]


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        ({"grid": "modis:500m"}, {"grid": "modis:250m", "first_cell": [1, 2], "cell_area": 238.0}),
        ({"grid": "zone", "factor": 7}, {"grid": "scene", "first_cell": [1, 2], "ratio": [7, 7.5], "factor": 8}),
    ],
)
def test_facts_of_another_grid_are_found(folder, tmp_path, options, facts):
    product = made(folder, tmp_path, bands=("SR_B4",), **options)
    (path,), (met,) = product.glob("*.stac.json"), product.glob("*.met.json")
    item, record = json.loads(path.read_text()), json.loads(met.read_text())
    own = {f"landsat_ds:{name}": fact for name, fact in facts.items()} | {"gsd": 211.5, "landsat_ds:source_gsd": 15.0}
    for name, fact in own.items():
        path.write_text(json.dumps(item | {"properties": item["properties"] | {name: fact}}))
        [wrong] = ld.verify(product, source=folder, blocks=1).wrong
        right = item["properties"][name]
        assert wrong == f"STAC item: {name} is {fact!r}, its parameters and its source give {right!r}"
    path.write_text(json.dumps(item))
    for name, fact in facts.items():
        met.write_text(json.dumps(record | {"grid": record["grid"] | {name: fact}}))
        [wrong] = _reported(product, folder)
        assert wrong.startswith(f"met.json: {name} is {fact!r}, ")


def test_other_tie_points_are_told_of(folder, tmp_path):
    product = made(folder, tmp_path, grid="EPSG:3035@1000", bands=("SR_B4",))
    (path,) = product.glob("*.met.json")
    met = json.loads(path.read_text())
    met["files"][0]["tie_points"] = "0" * 16
    report = module.Report()
    module._check_cells(str(product), (properties(product), met), ld.open_scene(folder), report, (4, 0))
    assert not report.wrong and any("other tie points" in line for line in report.checked)


# What hangs on a sliver


def test_codes_are_not_judged_where_a_sliver_or_a_tie_decides(folder):
    spec = ld.open_scene(folder).bands["QA_PIXEL"].spec
    clear, cloud = 21824, 22280
    cell = AreaCell(
        values=np.array([clear, clear, cloud]),
        shares=np.array([1.0, 1.0, 1e-4]),
        near=np.array([clear, clear, cloud]),
        slack=1e-3,
        area=2.0001,
        min_valid=0.0,
        unit=1.0,
    )
    assert wrong_code(cell, clear, "conservative", spec) == wrong_code(cell, cloud, "conservative", spec) == ""
    held = replace(cell, shares=np.array([1.0, 1.0, 0.4]), area=2.4)
    assert "cloud 1" in wrong_code(held, clear, "conservative", spec)
    tie = replace(cell, shares=np.array([0.5, 0.5, 1.0]), area=2.0)
    assert wrong_code(tie, cloud, "majority", spec) == wrong_code(
        tie, cloud ^ spec.field("cloud").mask, "majority", spec
    )


# Places


@pytest.mark.parametrize(
    ("crs", "place", "grid"),
    [
        ("EPSG:32614", (-100.0, 40.0), "ard:480"),
        ("EPSG:32755", (149.0, -35.0), "dea:300"),
        ("EPSG:32633", (14.5, 79.0), "modis:500m"),
        ("EPSG:32760", (179.99, -17.0), "latlon:0.01"),
        ("EPSG:32601", (-179.99, 66.0), "ease2-m:1km"),
        ("EPSG:32660", (179.9, 52.0), "modis:1km"),
        ("EPSG:32631", (3.0, 81.9), "latlon:0.05"),
        ("EPSG:3031", (50.0, -82.0), "ease2-s:3km"),
        ("EPSG:3031", (180.0, -80.0), "latlon:0.05"),
    ],
)
def test_products_of_every_place_say_what_is_true(tmp_path, crs, place, grid):
    from pyproj import Transformer

    x, y = (30 * np.rint(n / 30) for n in Transformer.from_crs(4326, crs, always_xy=True).transform(*place))
    values = np.random.default_rng(7).integers(1, 60000, (251, 247), "uint16")
    values[50:90, 20:70] = 0
    source = write_tif(
        tmp_path / "a.tif", values, crs=crs, nodata=0, transform=rasterio.Affine(30, 0, x - 3705, 0, -30, y + 3765)
    )
    product = made(source, tmp_path / "out", grid=grid)
    report = ld.verify(str(product), source=str(source), blocks=30)
    assert not report.wrong and len(recomputed(report)) == 1
    assert "the STAC 1.1.0 item is valid" in report.checked
    item = json.loads((product / f"{product.name}.stac.json").read_text())
    outline = shapely.geometry.shape(item["geometry"])
    assert outline.is_valid
    to_degrees = Transformer.from_crs(crs, 4326, always_xy=True)
    inner = rasterio.open(source).bounds
    corners = np.array(
        [(x, y) for x in (inner.left + 90, inner.right - 90) for y in (inner.bottom + 90, inner.top - 90)]
    )
    assert shapely.contains_xy(outline, *to_degrees.transform(*corners.T)).all()
    crosses = abs(abs(place[0]) - 180) < 0.02
    assert (outline.geom_type == "MultiPolygon") == crosses == (item["bbox"][0] > item["bbox"][2])
