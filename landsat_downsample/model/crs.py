"""Coordinate reference systems, as far as their names say what they are."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from landsat_downsample.model.gdal import gdal_settings

if TYPE_CHECKING:
    from rasterio.crs import CRS


def known_crs(given: Any) -> CRS:
    """What a user names as a CRS, understood.

    Raises
    ------
    CRSError
        It is unknown. GDAL and PROJ do not say so on stderr themselves, as they do where there is no `Env`.
    """
    from rasterio.crs import CRS

    with gdal_settings():
        return CRS.from_user_input(given)


@cache
def same_crs(one: str, other: str) -> bool:
    """Whether two CRS are one, however they are written."""
    from rasterio.errors import CRSError

    if one == other:
        return True
    try:
        return bool(known_crs(one) == known_crs(other))
    except CRSError:
        return False


@cache
def cf_axes(crs: str) -> dict[str, dict[str, str]]:
    """Attributes of coordinates ``x`` and ``y``: standard name, units and axis, as the CF conventions have them."""
    from pyproj import CRS

    return {axis["axis"].lower(): dict(axis) for axis in CRS.from_user_input(crs).cs_to_cf()}


@cache
def utm_zone(crs: str) -> int | None:
    """The UTM zone, north or south, that a CRS of WGS84 is."""
    from rasterio.crs import CRS

    code = CRS.from_user_input(crs).to_epsg() or 0
    return code % 100 if code // 100 in (326, 327) and 1 <= code % 100 <= 60 else None


@cache
def with_datum(crs: str) -> str:
    """A UTM zone on the ellipsoid of WGS 84 that names no datum, as that of WGS 84; any other CRS as it is.

    >>> with_datum("EPSG:32633")
    'EPSG:32633'
    """
    from rasterio.errors import CRSError

    if not crs.startswith(("PROJCS", "PROJCRS")):
        return crs
    try:
        said = known_crs(crs).to_dict()
    except CRSError:
        return crs
    plain = {"proj": "utm", "ellps": "WGS84", "units": "m", "no_defs": True}
    zone, south = said.pop("zone", 0), said.pop("south", False)
    return f"EPSG:32{7 if south else 6}{zone:02d}" if said == plain else crs


def short_crs(crs: str) -> str:
    """A CRS by its code, else by the name that stands first in its WKT."""
    name = crs.split('"')[1] if crs.count('"') > 1 else crs
    return name if len(name) < 40 else name[:37] + "..."
