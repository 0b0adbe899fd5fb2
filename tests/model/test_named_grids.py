"""Grids by name: the check values of those who publish them, and PROJ, say where their cells are."""

from __future__ import annotations

import json
import pickle
from fractions import Fraction

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.warp import transform

from landsat_downsample.errors import UsageError
from landsat_downsample.model.free_grids import at_size, of_raster
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.grid_request import GridRequest
from landsat_downsample.model.mgrs import MgrsTiles, corner
from landsat_downsample.model.named_grids import canonical, examples, named, record
from landsat_downsample.model.target_grid import TargetGrid
from landsat_downsample.model.tiles import NumberedTiles

KANSAS = Grid((101, 77), Affine(30, 0, 500_000 - 15, 0, -30, 4_430_000 + 15), "EPSG:32614")
SOUTH = Grid((101, 77), Affine(30, 0, 700_005, 0, -30, -3_899_985), "EPSG:32655")
ANTARCTIC = Grid((101, 77), Affine(30, 0, -15, 0, -30, 1_700_025), "EPSG:3031")


def on_the_map(crs: str, longitude: float, latitude: float) -> tuple[float, float]:
    [x], [y] = transform("EPSG:4326", crs, [longitude], [latitude])
    return x, y


def cell_of(grid: TargetGrid, longitude: float, latitude: float) -> tuple[float, float]:
    """(row, column) of a place, not rounded."""
    x, y = on_the_map(grid.lattice.crs, longitude, latitude)
    (top, left), (height, width) = grid.lattice.origin, grid.lattice.cell
    return (float(top) - y) / float(height), (x - float(left)) / float(width)


@pytest.mark.parametrize(("size", "cells"), [("1km", 1200), ("500m", 2400), ("250m", 4800)])
def test_tiles_of_modis_are_where_its_web_page_says(size, cells):
    grid = named(f"modis:{size}:h24v04", KANSAS)
    assert cell_of(grid, 93.34342961162473, 50) == pytest.approx((4 * cells, 24 * cells), abs=1e-5)
    assert grid.extent == (4 * cells, 24 * cells, cells, cells)
    assert grid.shape == (18 * cells, 36 * cells)
    crs = CRS.from_user_input(grid.lattice.crs)
    assert crs == CRS.from_string("+proj=sinu +R=6371007.181 +units=m")
    # the corner that metadata of h18v04 files give, to their millimetre
    assert grid.of_tile("h18v04").name == f"modis:{size}:h18v04"
    corner_ = grid.grid(grid.of_tile("h18v04").extent).transform
    assert (corner_.c, corner_.f) == pytest.approx((0, 5559752.598333), abs=1e-3)


@pytest.mark.parametrize(
    ("word", "cell"),
    [
        ("modis:1km", 926.625433055833),
        ("modis:500m", 463.312716527917),
        ("viirs:375m", 370.650173222222),
        ("ease2-m:9km", 9008.055210146),
        ("ease2-m:3km", 3002.6850700487),
        ("ease2-m:1km", 1000.89502334956),
        ("ease2-m:3.125km", 3128.1575),
        ("ease2-m:1.5625km", 1564.07875),
        ("web:z10", 152.8740565703525),
    ],
)
def test_cells_are_as_large_as_files_say(word, cell):
    assert [float(side) for side in named(word, KANSAS).lattice.cell] == pytest.approx([cell] * 2, rel=1e-12)


@pytest.mark.parametrize("family", [name for name in record()["families"] if name.startswith("ease2")])
def test_ease_grids_lie_about_the_middle_of_their_maps(family):
    for size in record()["families"][family]["sizes"]:
        grid = named(f"{family}:{size}", KANSAS)
        (rows, columns), (height, width) = grid.shape, grid.lattice.cell
        middle = grid.lattice.origin[0] - rows * height / 2, grid.lattice.origin[1] + columns * width / 2
        assert max(map(abs, middle)) < 1e-6


@pytest.mark.parametrize(
    ("word", "latitude"), [("ease2-m:36km", 85.0445664), ("ease2-m:25km", 84.4397903), ("web:z8", 85.0511287798066)]
)
def test_the_map_of_the_world_ends_at_the_latitude_that_is_told(word, latitude):
    grid = named(word, KANSAS)
    assert cell_of(grid, -180, latitude) == pytest.approx((0, 0), abs=1e-5)
    assert cell_of(grid, 180, -latitude) == pytest.approx(grid.shape, abs=1e-5)


def test_degrees_are_counted_in_whole_numbers():
    grid = named("latlon:0.05", KANSAS)
    assert grid.shape == (3600, 7200) and grid.lattice.cell == (Fraction(1, 20),) * 2
    assert grid.grid((1000, 1500, 1, 1)).bounds == (-105, 39.95, -104.95, 40)
    centred = named("latlon:1/112:centre", KANSAS)
    assert centred.name == "latlon:1/112:center" and centred.shape == (20161, 40320)
    assert centred.lattice.origin == (90 + Fraction(1, 224), -180 - Fraction(1, 224))
    # the corner of a product of 5/112 degrees
    coarse = named("latlon:5/112:center", KANSAS).grid((224, 0, 1, 1))
    assert (coarse.transform.c, coarse.transform.f) == pytest.approx((-180.0223, 80.0223), abs=5e-5)
    assert named("latlon:0.25:center", KANSAS).shape == (721, 1440)
    assert named("latlon:0.25", KANSAS).shape == (720, 1440)


@pytest.mark.parametrize(
    ("place", "region", "upper_left"),
    [
        ((-99, 40), "CU", (-2565585, 3314805)),
        ((-150, 64), "AK", (-2201715, 2474325)),
        ((-155.5, 19.5), "HI", (-444345, 2168895)),
    ],
)
def test_ard_is_counted_from_the_corner_of_the_region_where_the_scene_is(place, region, upper_left):
    zone = f"EPSG:326{int((place[0] + 180) // 6) + 1}"
    x, y = (round(side / 30) * 30 for side in on_the_map(zone, *place))
    image = Grid((101, 77), Affine(30, 0, x - 15, 0, -30, y + 15), zone)
    grid = GridRequest(grid="ard:300").target(image)
    assert grid.name == f"ard:{region}:300" and grid.lattice.origin == (upper_left[1], upper_left[0])
    row, column = (int(n // 500) for n in cell_of(grid, *place))
    assert f"h{column:03d}v{row:03d}" in grid.touched(grid.grid((row * 500, column * 500, 1, 1)))
    with pytest.raises(UsageError, match="none of the regions"):
        GridRequest(grid="ard:300").target(SOUTH)


def test_a_tile_of_ard_is_where_its_corner_says():
    grid = named("ard:CU:h018v014:300", KANSAS)
    assert grid.name == "ard:CU:300:h018v014" and grid.shape == (11000, 16500)
    cells = grid.grid(grid.extent)
    assert cells.bounds == (134415, 1064805, 284415, 1214805)
    odd = named("ard:CU:480", KANSAS)
    assert odd.tiles is None and odd.shape == (6875, 10313), "the last column is cut by the edge"


def test_tiles_of_australia_are_counted_from_the_south_west():
    grid = named("dea:320:x28y25", SOUTH)
    cells = grid.grid(grid.extent)
    # x10y10 of the numbering before 2024, whose corner was another
    assert cells.bounds == (-2688000 + 960000, -5472000 + 960000, -2688000 + 1056000, -5472000 + 1056000)
    assert grid.touched(cells) == ("x28y25",)
    assert grid.touched(grid.grid((grid.extent[0] - 1, grid.extent[1], 2, 301))) == (
        "x28y26", "x29y26", "x28y25", "x29y25",
    )  # fmt: skip


#: Names, zones and upper left corners that headers of tiles have.
HEADERS = [
    ("T32TQM", "EPSG:32632", (699960, 4700040)),
    ("T19LBJ", "EPSG:32619", (199980, -1099980)),
    ("T13TDE", "EPSG:32613", (399960, 4500000)),
    ("T32UPU", "EPSG:32632", (600000, 5400000)),
    ("T31TCJ", "EPSG:32631", (300000, 4900020)),
    ("T11SMS", "EPSG:32611", (399960, 3700020)),
    ("T33UUP", "EPSG:32633", (300000, 5400000)),
]


@pytest.mark.parametrize(("tile", "crs", "upper_left"), HEADERS, ids=[row[0] for row in HEADERS])
def test_mgrs_tiles_have_the_corners_of_their_headers(tile, crs, upper_left):
    grid = named(f"mgrs:{tile}:300", KANSAS)
    assert grid.name == f"mgrs:{tile[1:]}:300" and grid.lattice.crs == crs
    left, top = float(grid.lattice.origin[1]), float(grid.lattice.origin[0])
    assert (left, top) == upper_left
    assert grid.extent == (0, 0, 366, 366) and grid.grid(grid.extent).bounds[2] == left + 109800
    middle = grid.grid((180, 180, 1, 1))
    assert tile in grid.touched(middle)


@pytest.mark.parametrize(("easting", "left"), [*enumerate([99960, 199980, 300000, 399960, 499980, 600000], 1)])
def test_every_square_has_its_corner(easting, left):
    assert corner(easting * 100_000, 5_100_000) == (left, 5_200_020)


def test_a_southern_tile_of_sentinel_2_is_at_the_same_place_with_a_false_northing():
    top = named("mgrs:19LBL:300", KANSAS).lattice.origin[0] + 10_000_000
    assert top % 60 == 40


@given(longitude=st.floats(-179.9, 179.9), latitude=st.floats(-79.9, 83.9))
def test_a_tile_that_an_area_touches_is_found_by_its_name(longitude, latitude):
    zone = int((longitude + 180) // 6) + 1
    x, y = on_the_map(f"EPSG:326{zone:02d}", longitude, latitude)
    names = MgrsTiles(Fraction(300), zone).touched((x, y, x + 1, y + 1))
    odd = (56 <= latitude < 65 and zone in (31, 32)) or (latitude >= 71 and zone in range(31, 38))
    assert names or odd
    for name in names:
        known, lattice = MgrsTiles(Fraction(300), zone).find(name)
        assert known == name
        assert lattice.origin[1] <= x + 1 and x <= lattice.origin[1] + 109_800
        assert lattice.origin[0] >= y and y + 1 >= lattice.origin[0] - 109_800


def test_hls_is_counted_in_the_zone_of_the_scene():
    grid = GridRequest(grid="hls:300").target(SOUTH)
    assert grid.lattice.crs == "EPSG:32655" and grid.lattice.origin == (0, 0)
    assert GridRequest(grid="HLS:0.3km").target(KANSAS).lattice.crs == "EPSG:32614"
    with pytest.raises(UsageError, match="name a tile"):
        GridRequest(grid="hls:300").target(ANTARCTIC)


def test_eea_and_web_tiles():
    grid = named("eea:1km", KANSAS)
    assert grid.grid((0, 0, 1, 1)).bounds == (900000, 5499000, 901000, 5500000)
    assert named("web:z10:x163y395", KANSAS).extent == (395 * 256, 163 * 256, 256, 256)
    row, column = cell_of(named("web:z10", KANSAS), 0, 0)
    assert (row, column) == pytest.approx((2**17, 2**17), abs=1e-3)


@pytest.mark.parametrize("word", examples())
def test_every_word_that_is_offered_is_understood_and_survives_json(word):
    grid = GridRequest(grid=word).target(KANSAS)
    assert TargetGrid.from_dict(json.loads(json.dumps(grid.to_dict()))) == grid
    assert pickle.loads(pickle.dumps(grid)) == grid
    assert GridRequest(grid=grid.name).target(KANSAS) == grid
    assert canonical(canonical(word)) == canonical(word)


@pytest.mark.parametrize(
    ("word", "same"),
    [
        ("MODIS:0.5km:H18V4", "modis:500m:h18v04"),
        ("mgrs:t2kna:300m", "mgrs:02KNA:300"),
        ("latlon:1/20", "latlon:0.05"),
        ("ard:cu:h1v2:300.0", "ard:CU:300:h001v002"),
        ("epsg:3035@0500", "EPSG:3035@500"),
        ("EPSG:4326@1/112,0.010", "EPSG:4326@1/112,0.01"),
        ("hls:32TQM:300", "mgrs:32TQM:300"),
    ],
)
def test_one_grid_has_one_name(word, same):
    assert GridRequest(grid=word).grid == same


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("modus:500m", r"unknown \(did you mean modis\?\).*zone, scene.*modis.*like:FILE"),
        ("modis", "does not say how large its cells are: give modis:1km or modis:500m or modis:250m"),
        ("modis:463m", "no '463m': give modis:1km or modis:500m"),
        ("modis:500m:h36v04", "tile 'h36v04' is unknown: names go from h00v00 to h35v17"),
        ("modis:500m:x1y2", "tile 'x1y2' is unknown: names go from h00v00"),
        ("ease2-m:9km:h1v1", "no 'h1v1'"),
        ("ease2-n:7km", "no '7km': give ease2-n:36km or"),
        ("latlon:0.07", "do not divide 180 degrees"),
        ("latlon:0", "do not divide 180 degrees"),
        ("ard:PR:300", "no 'PR': give ard:300"),
        ("ard:300:h018v014", "does not say the region of its tile: give ard:CU:300:h018v014 or ard:AK"),
        ("ard:CU:480:h018v014", "tiles of 150000 m hold no whole number"),
        ("mgrs:32TQM:1km", "tiles of 109800 m hold no whole number of such cells; 900 m and 1220 m divide them"),
        ("mgrs:32TQM", "does not say how large"),
        ("mgrs:61TQM:300", "tile '61TQM' is unknown: names look like T32TQM"),
        ("mgrs:32TAM:300", "unknown"),
        ("mgrs:32CQM:300", "no such square lies in zone 32, band C"),
        ("web:z13", "no 'z13': give web:z8"),
        ("EPSG:1@500", "unknown; give a code"),
        ("EPSG:4978@500", "neither projected nor geographic"),
        ("EPSG:3035@", "is no cell size"),
        ("EPSG:3035@0", "is no cell size"),
        ("EPSG:3035@1,2,3", "is no cell size"),
        ("ESRI:54008@463.3127", "28 km off.*give modis:500m"),
        ("ESRI:53008@926.625433", "give modis:1km"),
        ("ESRI:54008@370.65", "give viirs:375m"),
    ],
)
def test_what_is_no_grid_is_refused_with_what_there_is(word, message):
    with pytest.raises(UsageError, match=message) as caught:
        GridRequest(grid=word).target(KANSAS)
    assert "\n" not in str(caught.value)


def test_another_sinusoidal_projection_is_a_grid_of_its_own():
    assert at_size("ESRI:54008@500").lattice.cell == (500, 500)


@pytest.mark.parametrize("other", [{"factor": 2}, {"resolution": 300}, {"size": (3, 0)}, {"anchor": (0, 0)}])
def test_a_grid_with_cells_of_its_own_goes_without_other_sizes(other):
    [name] = other
    with pytest.raises(UsageError, match=f"says itself how large its cells are and where: leave out {name}"):
        GridRequest(grid="modis:500m", **other)


def test_a_zone_may_be_named_with_its_cell_size():
    assert GridRequest(grid="zone:300") == GridRequest(resolution=300)
    assert GridRequest(grid="zone:300", anchor=(0, 0)).target(KANSAS).lattice.origin == (0, 0)
    with pytest.raises(UsageError, match="leave out factor"):
        GridRequest(grid="zone:300", factor=2)


def test_a_grid_on_the_crs_of_the_scene_is_written_as_the_scene_writes_it():
    wkt = CRS.from_epsg(32614).to_wkt()
    image = Grid(KANSAS.shape, KANSAS.transform, wkt)
    assert GridRequest(grid="EPSG:32614@300").lattice(image).crs == wkt
    assert GridRequest(grid="EPSG:32614@300").lattice(KANSAS).crs == "EPSG:32614"
    assert GridRequest(grid="hls:300").lattice(image).crs == wkt


def test_the_part_of_a_grid_that_a_scene_touches_is_cut_at_its_edge_and_a_tile_is_whole():
    grid = named("modis:1km", KANSAS)
    touched = grid.grid((-3, 1150, 10, 100))
    assert grid.window(grid.cut(touched)) == (0, 1150, 7, 100)
    assert grid.touched(grid.cut(touched)) == ("h00v00", "h01v00")
    tile = grid.of_tile("h01v00")
    assert grid.window(tile.cut(touched)) == (0, 1200, 1200, 1200)
    assert grid.of_tile("h02v00").cut(touched) is grid.cut(grid.grid((-30, 1150, 10, 100))) is None
    assert grid.of_tile("h02v00").described == "tile h02v00 of grid modis:1km"


def test_a_raster_whose_rows_run_north_is_turned_and_a_rotated_one_refused():
    down = of_raster("EPSG:4326", Affine(0.05, 0, -180, 0, -0.05, 90), (3600, 7200), "a")
    assert of_raster("EPSG:4326", Affine(0.05, 0, -180, 0, 0.05, -90), (3600, 7200), "a") == down
    assert down.lattice == named("latlon:0.05", KANSAS).lattice and down.shape == (3600, 7200)
    with pytest.raises(UsageError, match="rotated"):
        of_raster("EPSG:3035", Affine.rotation(3) @ Affine(30, 0, 0, 0, -30, 0), (3, 3), "a")
    with pytest.raises(UsageError, match="x must grow to the east"):
        of_raster("EPSG:3035", Affine(-30, 0, 0, 0, -30, 0), (3, 3), "a")


@given(
    window=st.tuples(*[st.integers(-50, 50)] * 2, *[st.integers(1, 40)] * 2),
    cells=st.tuples(*[st.integers(1, 9)] * 2),
    northward=st.booleans(),
)
def test_numbered_tiles_cover_what_they_are_said_to(window, cells, northward):
    row, column, rows, columns = window
    tiles = NumberedTiles("x{column}y{row}", cells, (6, 5), northward)
    found = np.zeros((200, 200), int)
    for name in tiles.touched((row, column, rows, columns)):
        known, (first, left, high, wide) = tiles.find(name)
        assert known == name and (high, wide) == cells
        found[100 + first : 100 + first + high, 100 + left : 100 + left + wide] += 1
    asked = np.zeros_like(found)
    asked[100 + row : 100 + row + rows, 100 + column : 100 + column + columns] = 1
    inside = np.zeros_like(found)
    top = 100 - 6 * cells[0] if northward else 100
    inside[top : top + 6 * cells[0], 100 : 100 + 5 * cells[1]] = 1
    assert found.max() <= 1 and (found[(asked & inside) == 1] == 1).all()


def test_cells_across_the_end_of_the_map_are_counted_on():
    grid = named("latlon:0.5", KANSAS)
    assert grid.window(grid.cut(grid.grid((100, 710, 10, 20)))) == (100, 710, 10, 20)
    assert of_raster("EPSG:4326", Affine(0.5, 0, -180, 0, -0.5, 90), (360, 720), "a").wraps
    assert not of_raster("EPSG:4326", Affine(0.5, 0, -180, 0, -0.5, 90), (360, 719), "a").wraps
