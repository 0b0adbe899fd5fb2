"""Grids made for another part of the Earth: which are refused, which are told of, and what is offered instead."""

from __future__ import annotations

import pytest
from affine import Affine
from command import call, write_tif

import landsat_downsample as ld
from landsat_downsample.errors import UsageError
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.grid_request import GridRequest
from landsat_downsample.model.placement import Placement
from landsat_downsample.model.region import beyond_use, offer


def at(crs: str, left: float, top: float) -> Grid:
    return Grid((71, 67), Affine(30, 0, left, 0, -30, top), crs)


ITALY = at("EPSG:32633", 300015, 5200005)
SYDNEY = at("EPSG:32656", 300015, -3749985)
KANSAS = at("EPSG:32614", 399885, 4600215)
FIJI = at("EPSG:32601", 179985, -1899885)  # on both sides of 180 degrees
CHUKOTKA = at("EPSG:32660", 399885, 7200015)
DOME_C = at("EPSG:3031", 1349985, -899985)
EQUATOR = at("EPSG:32633", 300015, 1005)


@pytest.mark.parametrize(
    ("image", "grid", "why"),
    [
        (ITALY, "dea:300", "grid dea:300, which is for 93.4E to 173.3E, 60.5S to 8.5S"),
        (FIJI, "dea:300", "grid dea:300, which is"),
        (ITALY, "ease2-s:1km", "grid ease2-s:1km, which is for 180.0W to 180.0E, 90.0S to 0.0N"),
        (SYDNEY, "ease2-n:25km", "grid ease2-n:25km, which is"),
        (KANSAS, "eea:1km", "grid eea:1km: give"),
        (ITALY, "ard:CU:300", "grid ard:CU:300: give"),
    ],
)
def test_a_named_grid_of_elsewhere_is_refused_with_those_that_serve(image, grid, why):
    with pytest.raises(UsageError, match=f"the scene does not reach {why}") as caught:
        Placement.of(image, GridRequest(grid=grid).target(image))
    sinusoidal = "" if image == FIJI else "modis, viirs, "
    assert f"give one of its place: zone, {sinusoidal}ease2-m" in str(caught.value)


@pytest.mark.parametrize(
    ("image", "regional"),
    [
        (ITALY, {"ease2-n", "eea", "hls"}),
        (SYDNEY, {"ease2-s", "dea", "hls"}),
        (KANSAS, {"ease2-n", "ard", "hls"}),
        (CHUKOTKA, {"ease2-n", "ard", "hls"}),
        (FIJI, {"ease2-s", "hls"}),
        (DOME_C, {"ease2-s"}),
    ],
)
def test_what_is_offered_has_cells_there(image, regional):
    offered = offer(image).partition(": ")[2].partition(" (")[0].split(", ")
    assert {name for name in offered if name in ("ease2-n", "ease2-s", "eea", "ard", "dea", "hls")} == regional
    for name in set(offered) - {"zone", "web"}:  # Web Mercator ends at 85 degrees
        size = {"latlon": "0.05", "ard": "300", "dea": "300", "hls": "300"}.get(name, "1km")
        assert Placement.of(image, GridRequest(grid=f"{name}:{size}").target(image)).coarse.width


@pytest.mark.parametrize(
    ("image", "crs", "is_far"),
    [
        (ITALY, "EPSG:3577", True),
        (ITALY, "EPSG:3035", False),
        (ITALY, "EPSG:2154", False),  # of France: beside it
        (ITALY, "EPSG:32655", False),
        (ITALY, "EPSG:3413", True),
        (ITALY, "EPSG:4326", False),
        (FIJI, "EPSG:3832", False),  # from 98.69 E on to 68 W
        (ITALY, "EPSG:3832", True),
        (DOME_C, "EPSG:3031", False),
        (SYDNEY, "EPSG:3031", True),
        (EQUATOR, "EPSG:6931", False),
        (ITALY, "+proj=laea +lat_0=10 +lon_0=100 +type=crs", False),  # nobody says where it is for
    ],
)
def test_a_crs_that_is_made_for_far_away_is_told_of(image, crs, is_far):
    assert bool(beyond_use(image, crs)) == is_far


def test_it_is_told_by_plan_once_by_run_and_by_coarsen(tmp_path):
    one, other = (write_tif(tmp_path / f"{name}.tif") for name in ("one", "other"))
    words = "EPSG:3577 is made for 112.8E to 153.7E, 43.7S to 9.9S, and the scene lies far from there"
    options = ("--to", str(tmp_path / "out"), "--grid", "EPSG:3577@300")
    assert words in " ".join(call("plan", str(one), *options).out.split())
    told = call("run", str(one), str(other), *options)
    assert told.code == 0 and told.err.count(words) == 1
    with pytest.warns(UserWarning, match=words):
        ld.coarsen(ld.open_scene(one).dataset(), grid="EPSG:3577@300")
