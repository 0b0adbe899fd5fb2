"""The grid that an MTL gives. Pure."""

from __future__ import annotations

import math

from affine import Affine

from landsat_downsample.errors import UsageError
from landsat_downsample.formats.mtl.document import GRIDS, RECORD, SPATIAL, Mtl
from landsat_downsample.model.grid import Grid


def frame(mtl: Mtl, group: str = "reflective") -> Grid | None:
    """Grid that the MTL describes for a group of bands.

    Corners in an MTL are the centres of pixels; the grid's transform starts half a pixel
    outside. Landsat uses the northern UTM zones on both hemispheres (with negative northings in
    the south), and polar stereographic in Antarctica.

    Parameters
    ----------
    group : str
        ``reflective``, ``thermal`` or ``panchromatic``. The panchromatic frame has the same first centre.

    Returns
    -------
    Grid or None
        None where the MTL does not say, or says something that is no Landsat frame.
    """
    name = group.upper()
    if name not in GRIDS:
        raise UsageError(f"group {group!r}: give reflective, thermal or panchromatic")
    keys = (
        f"{name}_LINES",
        f"{name}_SAMPLES",
        f"GRID_CELL_SIZE_{name}",
        "CORNER_UL_PROJECTION_X_PRODUCT",
        "CORNER_UL_PROJECTION_Y_PRODUCT",
    )
    told = [value for key in keys if (value := number(mtl.find(key, SPATIAL))) is not None]
    crs = _crs(mtl)
    if crs is None or len(told) < len(keys):
        return None
    height, width, step_x, x, y = told
    if min(height, width) < 1 or step_x <= 0:
        return None
    step_y = _recorded_step_y(mtl) or step_x
    return Grid((int(height), int(width)), Affine(step_x, 0.0, x - step_x / 2, 0.0, -step_y, y + step_y / 2), crs)


def _recorded_step_y(mtl: Mtl) -> float | None:
    """Height of cells that are not square, which only our own record has: of the latest one."""
    records = [name for name in mtl.groups if name.startswith(RECORD)]
    return number(mtl.get(records[-1], "GRID_CELL_SIZE_Y")) if records else None


def _crs(mtl: Mtl) -> str | None:
    def said(key: str) -> str | None:
        return mtl.find(key, SPATIAL)

    if said("DATUM") not in (None, "WGS84") or said("ORIENTATION") not in (None, "NORTH_UP"):
        return None
    zone = number(said("UTM_ZONE"))
    if said("MAP_PROJECTION") == "UTM" and zone is not None and zone in range(1, 61):
        return f"EPSG:{32600 + int(zone)}"
    antarctic = {"TRUE_SCALE_LAT": -71, "VERTICAL_LON_FROM_POLE": 0, "FALSE_EASTING": 0, "FALSE_NORTHING": 0}
    if said("MAP_PROJECTION") == "PS" and all(number(said(key)) in (None, n) for key, n in antarctic.items()):
        return "EPSG:3031"
    return None


def number(text: str | None) -> float | None:
    """Convert the text of an MTL to a finite number, or None."""
    try:
        value = float(text) if text else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None
