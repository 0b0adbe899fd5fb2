"""Whether a grid is made for the part of the Earth where an image lies."""

from __future__ import annotations

from landsat_downsample.errors import UsageError
from landsat_downsample.model.crs import short_crs, utm_zone
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.named_grids import named, record
from landsat_downsample.model.projection import Degrees, area_of_use, in_degrees
from landsat_downsample.model.target_grid import TargetGrid

#: Degrees around the area of use of a CRS within which nothing is said: it follows borders, and maps serve beyond.
BESIDE = 10.0


def check_region(image: Grid, target: TargetGrid) -> None:
    """Refuse a named grid of a part of the Earth that an image does not reach.

    Raises
    ------
    UsageError
        It names the grids that have cells where the image lies.
    """
    region = record()["families"].get(target.name.partition(":")[0], {}).get("region")
    if region and not _meet(in_degrees(image), region):
        raise UsageError(f"the scene does not reach grid {target.name}, which is for {_said(region)}: {offer(image)}")


def beyond_use(image: Grid, crs: str) -> str:
    """Say that a CRS is made for a place far from an image; nothing where it is not.

    Zones of UTM serve their neighbours, and either side of the equator.
    """
    used = None if utm_zone(crs) else area_of_use(crs)
    if not used or _meet(in_degrees(image), _widened(used)):
        return ""
    return (
        f"{short_crs(crs)} is made for {_said(used)}, and the scene lies far from there: cells may be far from square "
        "on the ground (the verb grids lists other grids)"
    )


def offer(image: Grid) -> str:
    """Name the grids that have cells where the middle of an image lies."""
    from rasterio.warp import transform

    left, bottom, right, top = image.bounds
    place, found = in_degrees(image), []
    for name, family in record()["families"].items():
        if place[0] > place[2] and family.get("crs") == "sinusoidal":  # it is torn at 180 degrees
            continue
        size = next(iter(family.get("sizes") or family["examples"]))
        try:
            grid = named(f"{name}:{size}", image)
        except UsageError:  # it has no part there
            continue
        [x], [y] = transform(image.crs, grid.lattice.crs, [(left + right) / 2], [(bottom + top) / 2])
        west, south, east, north = grid.bounds
        if west <= x <= east and south <= y <= north and _meet(place, family.get("region", (-180, -90, 180, 90))):
            found.append(name)
    return f"give one of its place: zone, {', '.join(found)} (the verb grids lists their sizes)"


def _meet(one: Degrees, other: Degrees) -> bool:
    """Whether two areas, of which the west may be greater than the east, have a part in common."""
    wide = [(east - west) % 360 or 360 for west, _, east, _ in (one, other)]
    beside = (other[0] - one[0]) % 360 <= wide[0] or (one[0] - other[0]) % 360 <= wide[1]
    return beside and one[1] <= other[3] and other[1] <= one[3]


def _widened(area: Degrees) -> Degrees:
    west, south, east, north = area
    round_the_earth = ((east - west) % 360 or 360) + 2 * BESIDE >= 360
    west, east = (-180, 180) if round_the_earth else (west - BESIDE, east + BESIDE)
    return west, south - BESIDE, east, north + BESIDE


def _said(area: Degrees) -> str:
    west, south, east, north = area
    return f"{_side(west, 'EW')} to {_side(east, 'EW')}, {_side(south, 'NS')} to {_side(north, 'NS')}"


def _side(degrees: float, letters: str) -> str:
    return f"{abs(degrees):.1f}{letters[degrees < 0]}"
