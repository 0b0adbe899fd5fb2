"""What an MTL says of a coarser grid. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from landsat_downsample.errors import ReadError, SceneError
from landsat_downsample.formats.mtl.document import CONTENTS, GRIDS, SPATIAL, Changes, Mtl
from landsat_downsample.formats.mtl.rewrite import decimal
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.shortage import shortage


def coarse_changes(
    mtl: Mtl,
    *,
    coarse: Grid,
    files: Mapping[str, str | None] | None = None,
    dtypes: Mapping[str, str] | None = None,
) -> Changes:
    """What changes in an MTL when every band of its product is put on one coarse grid.

    Only keys that the MTL has are changed. In LEVEL1_PROJECTION_PARAMETERS, which says how
    the Level 1 source was made, the cell size changes only when the product is Level 1 itself.

    Parameters
    ----------
    mtl : Mtl
        Of the source.
    coarse : Grid
        The grid of all bands. The MTL has one cell size for both axes: it gets the x one; see `notes`.
    files : dict of str to str or None, optional
        Old file name -> new one, or None for a file that is not written: its FILE_NAME_* and
        DATA_TYPE_* go. Names that are not mentioned stay.
    dtypes : dict of str to str, optional
        Old file name -> numpy name of its new data type, where it changed.

    Returns
    -------
    dict of (group, key) to str or None
        For `rewrite`.

    Raises
    ------
    SceneError
        The grid's CRS is unknown, so that the corners have no latitude and longitude.
    """
    places = [*SPATIAL, "LEVEL1_PROJECTION_PARAMETERS"] if _level(mtl) == 1 else SPATIAL
    wanted = _grid_values(coarse)
    if (zone := northern_zone(coarse.crs)) and mtl.find("MAP_PROJECTION", places) == "UTM":
        wanted["UTM_ZONE"] = str(zone)
    changes: Changes = {
        (entry.group, entry.key): wanted[entry.key]
        for entry in mtl.entries
        if entry.group in places and entry.key in wanted
    }
    return changes | _file_changes(mtl, files or {}, dtypes or {})


def unit_changes(mtl: Mtl) -> Changes:
    """What changes where the bands of a Level-2 product hold physical values.

    Who applies the factors that an MTL states must get what is there: they become 1 and 0. The range of stored
    numbers (QUANTIZE_CAL_*) is left out: there are none. That of the values stays. Factors of the Level-1 source,
    in groups of their own, stay too.
    """
    changes: Changes = {}
    for entry in mtl.entries:
        if not entry.group.startswith("LEVEL2_SURFACE_"):
            continue
        if "_MULT_BAND_" in entry.key:
            changes[entry.group, entry.key] = "1.0"
        elif "_ADD_BAND_" in entry.key:
            changes[entry.group, entry.key] = "0.0"
        elif entry.key.startswith("QUANTIZE_CAL_"):
            changes[entry.group, entry.key] = None
    return changes


def can_say(crs: str, other: str) -> bool:
    """Whether the MTL of a scene in one CRS has the fields to name another: of two UTM zones as USGS counts them.

    Readers take every zone for a northern one, and fields of another projection are not there to be changed.

    >>> can_say("EPSG:32631", "EPSG:32632"), can_say("EPSG:32731", "EPSG:32732"), can_say("EPSG:32631", "EPSG:3031")
    (True, False, False)
    """
    return northern_zone(crs) is not None and northern_zone(other) is not None


def northern_zone(crs: str) -> int | None:
    """Number of the UTM zone, north, on WGS84 that a CRS is."""
    from rasterio.crs import CRS

    code = CRS.from_user_input(crs).to_epsg() or 0
    return code - 32600 if 32601 <= code <= 32660 else None


def notes(coarse: Grid) -> dict[str, str | float]:
    """What a reader of the rewritten MTL must know, as entries for the record."""
    step_y, step_x = coarse.resolution
    parameters: dict[str, str | float] = {
        "STATISTICS_NOTE": "cloud cover, saturation, image quality and geometric errors are the whole source scene's",
    }
    if not math.isclose(step_y, step_x, rel_tol=1e-9):
        parameters["GRID_CELL_SIZE_Y"] = float(decimal(step_y, 9))
        parameters["GRID_CELL_SIZE_NOTE"] = "cells are not square: GRID_CELL_SIZE_* is the x size"
    return parameters


def _level(mtl: Mtl) -> int | None:
    word = mtl.find("PROCESSING_LEVEL", CONTENTS) or mtl.find("DATA_TYPE", CONTENTS) or ""
    return int(word[1]) if re.match(r"L\d", word) else None


def _file_changes(mtl: Mtl, files: Mapping[str, str | None], dtypes: Mapping[str, str]) -> Changes:
    group = mtl._contents()
    present = mtl.groups.get(group, {})
    changes: Changes = {}
    for key, name in mtl.files().items():
        what = key.removeprefix("FILE_NAME_")
        new = files.get(name, name)
        if new != name:
            changes[group, key] = new
        if new is None:
            changes[group, f"DATA_TYPE_{what}"] = None
            if f"PRESENT_{what}" in present:  # MSS: whether the product has the band
                changes[group, f"PRESENT_{what}"] = "N"
        elif name in dtypes and f"DATA_TYPE_{what}" in present:
            changes[group, f"DATA_TYPE_{what}"] = dtypes[name].upper()
    return changes


def _grid_values(coarse: Grid) -> dict[str, str]:
    """Every key that describes the grid -> its value, whether or not an MTL has it."""
    _, step_x = coarse.resolution
    values = {}
    for name in GRIDS:
        values[f"GRID_CELL_SIZE_{name}"] = decimal(step_x, 9)
        values[f"{name}_LINES"] = str(coarse.height)
        values[f"{name}_SAMPLES"] = str(coarse.width)
    corners = _corners(coarse)
    positions = zip(corners.items(), _lonlat(coarse.crs, list(corners.values())), strict=True)
    for (corner, (x, y)), (lon, lat) in positions:
        values[f"CORNER_{corner}_PROJECTION_X_PRODUCT"] = decimal(x, 6)
        values[f"CORNER_{corner}_PROJECTION_Y_PRODUCT"] = decimal(y, 6)
        values[f"CORNER_{corner}_LAT_PRODUCT"] = decimal(lat, 5)
        values[f"CORNER_{corner}_LON_PRODUCT"] = decimal(lon, 5)
    return values


def _corners(grid: Grid) -> dict[str, tuple[float, float]]:
    """CRS coordinates (x, y) of the centres of the four corner cells."""
    t = grid.transform
    left, right = t.c + 0.5 * t.a, t.c + (grid.width - 0.5) * t.a
    top, bottom = t.f + 0.5 * t.e, t.f + (grid.height - 0.5) * t.e
    return {"UL": (left, top), "UR": (right, top), "LL": (left, bottom), "LR": (right, bottom)}


def _lonlat(crs: str, points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Longitude and latitude in degrees; by transform, so that no hemisphere is assumed."""
    from rasterio.errors import RasterioError
    from rasterio.warp import transform

    try:
        lons, lats = transform(crs, "EPSG:4326", *map(list, zip(*points, strict=True)))
    except (RasterioError, ValueError) as error:  # CRSError is only a ValueError
        if words := shortage(error):
            raise ReadError(f"corners of a grid have no latitude and longitude: {words}") from error
        raise SceneError(f"corners of a grid with CRS {crs!r} have no latitude and longitude: {error}") from error
    return list(zip(lons, lats, strict=True))
