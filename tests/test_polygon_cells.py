"""The oracle of cells on any grid, against areas known by hand."""

from __future__ import annotations

import math

import numpy as np
import polygon_cells as oracle
import pytest
import shapely
from affine import Affine
from pyproj import Transformer

PIXELS = Affine(30, 0, 500_025, 0, -30, 4_400_085)


def polygon_at(*corners: tuple[float, float]) -> shapely.Polygon:
    """In the plane of the source, from (column, row)."""
    return shapely.Polygon([PIXELS @ corner for corner in corners])


def test_areas_known_by_hand():
    found = oracle.weights(polygon_at((3.25, 2), (5.5, 2), (5.5, 4.75), (3.25, 4.75)), PIXELS, (23, 17))
    assert found[:2] == (2, 3)
    np.testing.assert_allclose(found.shares, np.outer([1, 1, 0.75], [0.75, 1, 0.5]), atol=1e-9)
    triangle = oracle.weights(polygon_at((2, 1), (4, 1), (2, 2)), PIXELS, (23, 17))
    np.testing.assert_allclose(triangle.shares, [[0.75, 0.25]], atol=1e-9)


def test_a_cell_beyond_the_frame_has_the_pixels_that_are_there():
    square = polygon_at((-2.5, 21.5), (1.5, 21.5), (1.5, 25), (-2.5, 25))
    found = oracle.weights(square, PIXELS, (23, 17))
    assert found[:2] == (21, 0)
    np.testing.assert_allclose(found.shares, [[0.5, 0.25], [1, 0.5]], atol=1e-9)
    nothing = oracle.weights(polygon_at((-5, 0), (-3, 0), (-3, 2), (-5, 2)), PIXELS, (23, 17))
    assert nothing.shares.size == 0
    assert math.isnan(oracle.weighted_mean(np.ones((23, 17)), np.ones((23, 17), bool), nothing))


@pytest.mark.parametrize(
    "crs, source, at, side",
    [
        (oracle.SINUSOIDAL, "EPSG:32614", (500_000, 4_427_757), 463.312716527917),
        ("EPSG:4326", "EPSG:32633", (13.4, 61.97), 0.01),
        ("EPSG:3035", "EPSG:32635", (5_100_000, 4_400_000), 500),
        ("EPSG:32733", "EPSG:32633", (400_005, 9_700_000), 240),
    ],
    ids=["sinusoidal", "latlon", "laea", "southern"],
)
def test_cells_share_pixels_out_without_gap_or_overlap(crs, source, at, side):
    x, y = at
    if crs == oracle.SINUSOIDAL:  # that place in it
        x, y = Transformer.from_crs(source, crs, always_xy=True).transform(*at)
    bounds = [(x + i * side, y + j * side, x + (i + 1) * side, y + (j + 1) * side) for j in range(3) for i in range(4)]
    left, top = Transformer.from_crs(crs, source, always_xy=True).transform(x, y)
    transform, shape = Affine(30, 0, round(left / 30) * 30 - 3000, 0, -30, round(top / 30) * 30 + 4500), (300, 310)
    total = np.zeros(shape)
    for row, column, shares in oracle.cells(crs, bounds, source, transform, shape, segments=16):
        assert shares.min() >= 0 and shares.max() <= 1
        total[row : row + shares.shape[0], column : column + shares.shape[1]] += shares
    whole = oracle.cell_polygon(crs, x, y, x + 4 * side, y + 3 * side, source_crs=source, segments=16 * 12)
    assert total.max() <= 1 + 1e-9
    assert (np.abs(total - 1) < 1e-9).sum() > 0.8 * total.sum()
    # chords of the one are not those of the other: 16 and 48 of a cell's side
    assert total.sum() == pytest.approx(whole.area / 900, rel=1e-7)


def test_positions_are_those_of_the_tile_whose_corner_is_published():
    """Upper-left corner of h24v04: 50 N, 93.34342961162473 E."""
    side = 6371007.181 * math.pi / 18
    left, top = -18 * side + 24 * side, 9 * side - 4 * side
    tile = oracle.cell_polygon(oracle.SINUSOIDAL, left, top - 500, left + 500, top, source_crs="EPSG:4326", segments=4)
    lon, lat = tile.exterior.coords[12]  # left side, from the top
    assert (lon, lat) == pytest.approx((93.34342961162473, 50), abs=1e-9)


def test_means_and_areas_count_valid_pixels_only():
    values, valid = np.arange(6.0).reshape(2, 3), np.array([[True, False, True], [True, True, True]])
    found = oracle.weights(polygon_at((0.5, 0), (3, 0), (3, 1), (0.5, 1)), PIXELS, (2, 3))
    assert oracle.weighted_mean(values, valid, found) == pytest.approx((0.5 * 0 + 2) / 1.5, abs=1e-9)
    assert oracle.valid_area(valid, found) == pytest.approx(1.5, abs=1e-9)
