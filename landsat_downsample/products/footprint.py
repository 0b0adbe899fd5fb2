"""The outline of a grid on the globe, as GeoJSON wants it, and its pixel size in metres."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from rasterio._err import CPLE_BaseError  # `transform` lets GDAL's own errors through, and these have no public name
from rasterio.crs import CRS
from rasterio.warp import transform

from landsat_downsample.model.grid import Grid

#: Pieces of each side of the frame at least, and metres of one at most. The edge of a 240 km frame at 80 degrees of
#: latitude then stays within 100 m of its true course, less than a coarse cell; so does that of a tile of 10 degrees.
PIECES, PIECE = 8, 30_000

#: Decimals of a degree: 1 cm on the ground, as RFC 7946 section 11.2 advises to stop somewhere.
DECIMALS = 7

#: Metres per degree of latitude on the mean sphere (radius 6371008.8 m).
METRES_PER_DEGREE = 111195.08

#: PROJ's names of projections whose metres are the longer the further they lie from the equator.
MERCATOR = ("merc", "webmerc")

#: Cells within which a point of the frame must come back from longitude and latitude to where it was.
SAME_PLACE = 0.01

Ring = list[tuple[float, float]]


def spacing(grid: Grid) -> float:
    """Pixel size in metres: the larger of the two sides, whatever the unit of the CRS; on the ground for Mercator's.

    >>> from affine import Affine
    >>> spacing(Grid((2, 2), Affine(300, 0, 0, 0, -300, 0), "EPSG:32621"))
    300.0
    """
    crs = CRS.from_user_input(grid.crs)
    unit = METRES_PER_DEGREE if crs.is_geographic else crs.linear_units_factor[1]
    if crs.to_dict().get("proj") in MERCATOR:
        left, bottom, right, top = grid.bounds
        _, (latitude,) = transform(grid.crs, "EPSG:4326", [(left + right) / 2], [(bottom + top) / 2])
        unit *= math.cos(math.radians(latitude))
    return round(max(grid.resolution) * unit, 6)


def footprint(grid: Grid, *, has_edge: bool = False) -> tuple[dict[str, Any] | None, list[float] | None]:
    """Outline and bounding box of a grid's frame in longitude and latitude (WGS 84).

    Sides are densified, exterior rings run counter-clockwise. A frame that crosses the 180th
    meridian is cut there into a MultiPolygon, and its box has west > east (RFC 7946, sections
    3.1.9 and 5.2); a frame around a pole reaches down to the pole.

    Parameters
    ----------
    has_edge : bool
        Whether the map of its CRS ends somewhere, as the sinusoidal one does at 180 degrees, beyond which
        points still get a longitude: that of another place.

    Returns
    -------
    (dict, list of float) or (None, None)
        GeoJSON geometry and [west, south, east, north]; None where the frame leaves the domain
        of its projection, which STAC expresses as a null geometry without a box.
    """
    x, y = zip(*_frame(grid), strict=True)
    try:
        longitudes, latitudes = transform(grid.crs, "EPSG:4326", x, y)
    except CPLE_BaseError:
        return None, None
    if not all(map(math.isfinite, [*longitudes, *latitudes])):
        return None, None
    if has_edge:
        back = transform("EPSG:4326", grid.crs, longitudes, latitudes)
        off = (abs(a - b) for axis, old in zip(back, (x, y), strict=True) for a, b in zip(axis, old, strict=True))
        if not max(off) < SAME_PLACE * min(grid.resolution):
            return None, None
    ring = _unwrap(longitudes, latitudes)
    west, east = min(lon for lon, _ in ring), max(lon for lon, _ in ring)
    worlds = range(math.floor((west + 180) / 360), math.ceil((east + 180) / 360))
    parts = [_rounded(part) for part in (_world(ring, number) for number in worlds) if part]
    return _geometry(parts), _box(parts, whole=east - west >= 360)


def _frame(grid: Grid) -> Ring:
    """Counter-clockwise outline in CRS coordinates from the lower left, not closed."""
    left, bottom, right, top = grid.bounds
    corners = [(left, bottom), (right, bottom), (right, top), (left, top), (left, bottom)]
    pieces = max(PIECES, math.ceil(spacing(grid) * max(grid.shape) / PIECE))
    steps = [step / pieces for step in range(pieces)]
    return [
        (x0 + (x1 - x0) * step, y0 + (y1 - y0) * step) for (x0, y0), (x1, y1) in pairwise(corners) for step in steps
    ]


def _unwrap(longitudes: list[float], latitudes: list[float]) -> Ring:
    """Ring whose longitudes never jump; around a pole it is closed along the pole."""
    ring = [(longitudes[0], latitudes[0])]
    for lon, lat in zip([*longitudes[1:], longitudes[0]], [*latitudes[1:], latitudes[0]], strict=True):
        ring.append((lon + 360 * round((ring[-1][0] - lon) / 360), lat))
    last = ring.pop()
    if abs(last[0] - ring[0][0]) > 180:
        pole = math.copysign(90, sum(latitudes))
        ring += [last, (last[0], pole), (ring[0][0], pole)]
    return ring


def _world(ring: Ring, number: int) -> Ring:
    """The part of an unwrapped ring between -180 and 180, that many turns away; [] if none."""
    low, high = 360 * number - 180, 360 * number + 180
    part = _clip(_clip(ring, low, 1), high, -1)
    if abs(_area(part)) < 1e-12:
        return []
    return [(lon - 360 * number, lat) for lon, lat in part]


def _clip(ring: Ring, limit: float, side: int) -> Ring:
    """Keep what lies east (`side` 1) or west (-1) of a meridian (Sutherland and Hodgman, 1974)."""
    kept: Ring = []
    for (lon0, lat0), (lon1, lat1) in pairwise(ring[-1:] + ring):
        inside0, inside1 = (side * (lon - limit) >= 0 for lon in (lon0, lon1))
        if inside0 != inside1:
            kept.append((limit, lat0 + (lat1 - lat0) * (limit - lon0) / (lon1 - lon0)))
        if inside1:
            kept.append((lon1, lat1))
    return kept


def _area(ring: Ring) -> float:
    """Signed area in square degrees, positive for a counter-clockwise ring."""
    sides = pairwise(ring + ring[:1])
    return sum(lon0 * lat1 - lon1 * lat0 for (lon0, lat0), (lon1, lat1) in sides) / 2


def _rounded(ring: Ring) -> Ring:
    """Rounded and closed, without repeated points."""
    points = [(round(lon, DECIMALS), round(lat, DECIMALS)) for lon, lat in ring]
    points = [point for before, point in pairwise(points[-1:] + points) if point != before]
    return [*points, points[0]]


def _geometry(parts: list[Ring]) -> dict[str, Any]:
    rings = [[[list(point) for point in part]] for part in parts]
    if len(rings) == 1:
        return {"type": "Polygon", "coordinates": rings[0]}
    return {"type": "MultiPolygon", "coordinates": rings}


def _box(parts: list[Ring], *, whole: bool) -> list[float]:
    """[west, south, east, north]; `whole` where it goes all around the globe."""
    south = min(lat for part in parts for _, lat in part)
    north = max(lat for part in parts for _, lat in part)
    if whole:
        return [-180.0, south, 180.0, north]
    # Parts come from west to east, so that the first begins and the last ends the frame.
    return [min(lon for lon, _ in parts[0]), south, max(lon for lon, _ in parts[-1]), north]
