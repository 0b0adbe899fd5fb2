"""Coordinate reference systems, as far as their names say what they are."""

from __future__ import annotations

from functools import cache


@cache
def same_crs(one: str, other: str) -> bool:
    """Whether two CRS are one, however they are written."""
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    if one == other:
        return True
    try:
        return bool(CRS.from_user_input(one) == CRS.from_user_input(other))
    except CRSError:
        return False


@cache
def utm_zone(crs: str) -> int | None:
    """The UTM zone, north or south, that a CRS of WGS84 is."""
    from rasterio.crs import CRS

    code = CRS.from_user_input(crs).to_epsg() or 0
    return code % 100 if code // 100 in (326, 327) and 1 <= code % 100 <= 60 else None


def short_crs(crs: str) -> str:
    """A CRS by its code, else by the name that stands first in its WKT."""
    name = crs.split('"')[1] if crs.count('"') > 1 else crs
    return name if len(name) < 40 else name[:37] + "..."
