"""The other text files of a synthetic scene: angle coefficients and STAC items."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.warp import transform as warp_points

from landsat_downsample.model.bands import BandSpec, BitField
from landsat_downsample.testing.synthetic.mtl import Contents, is_image
from landsat_downsample.testing.synthetic.recipe import CORNERS, Recipe
from landsat_downsample.testing.synthetic.tables import CALIBRATION


def angle_text(contents: Contents) -> bytes:
    """The angle coefficient file: header, projection, and the geometry of each band; its models are constant."""
    recipe = contents.recipe
    numbers = [_ang_number(name) for name in CALIBRATION[recipe.sensor]]
    header: dict[str, Any] = {
        "LANDSAT_SCENE_ID": f'"{recipe.scene_id}"',
        "SPACECRAFT_ID": f'"{_ang_spacecraft(recipe)}"',
    }
    if recipe.has_gaps:
        header["MODE"] = '"SLC_OFF"'
    header |= {"NUMBER_OF_BANDS": len(numbers), "BAND_LIST": f"({', '.join(str(n) for n in numbers)})"}
    corners = {f"{name}_CORNER": f"({x:11.3f}, {y:12.3f})" for name, (x, y, _, _) in contents.corners.items()}
    projection = {
        "ELLIPSOID_AXES": "(6378137.000000, 6356752.314200)",
        "MAP_PROJECTION": '"UTM"',
        "PROJECTION_UNITS": '"METERS"',
        "DATUM": '"WGS84"',
        "ELLIPSOID": '"WGS84"',
        "UTM_ZONE": recipe.zone,
    } | corners
    groups: dict[str, dict[str, Any]] = {"FILE_HEADER": header, "PROJECTION": projection}
    for name, number in zip(CALIBRATION[recipe.sensor], numbers, strict=True):
        groups[f"RPC_BAND{number:02d}"] = _angle_model(recipe, f"BAND{number:02d}", name == "B8")
    lines = []
    for name, group in groups.items():
        lines += [f"GROUP = {name}", *(f"  {key} = {value}" for key, value in group.items()), f"END_GROUP = {name}"]
    return "\n".join([*lines, "END", ""]).encode()


def _ang_spacecraft(recipe: Recipe) -> str:
    return {"etm": "L7_ETM", "tm": "L5_TM"}.get(recipe.sensor, f"LANDSAT_{recipe.satellite}")


def _ang_number(name: str) -> int:
    """Number of a band in an angle file: 61 and 62 for the two gains of ETM+."""
    return int(name[1:].replace("_VCID_", ""))


def _angle_model(recipe: Recipe, band: str, pan: bool) -> dict[str, Any]:
    grid = recipe.pan_grid if pan else recipe.grid
    elevation, azimuth = (math.radians(angle) for angle in recipe.sun)
    sun = (math.cos(elevation) * math.sin(azimuth), math.cos(elevation) * math.cos(azimuth), math.sin(elevation))
    corners = np.array(CORNERS) * (grid.width - 1, grid.height - 1)
    model = {
        "NUM_L1T_LINES": grid.height,
        "NUM_L1T_SAMPS": grid.width,
        "L1T_IMAGE_CORNER_LINES": _vector(corners[:, 1]),
        "L1T_IMAGE_CORNER_SAMPS": _vector(corners[:, 0]),
        "PIXEL_SIZE": f"{grid.resolution[0]:.3f}",
        "MEAN_HEIGHT": "420.000",
        "MEAN_L1T_LINE_SAMP": f"({(grid.height - 1) / 2:.3f}, {(grid.width - 1) / 2:.3f})",
        "MEAN_SAT_VECTOR": "(-0.002117094, -0.000981203,  0.998102774)",
        "MEAN_SUN_VECTOR": f"({', '.join(f'{part:12.9f}' for part in sun)})",
    }
    return {f"{band}_{key}": value for key, value in model.items()}


def _vector(values: np.ndarray) -> str:
    return f"({', '.join(f'{value:11.6f}' for value in values)})"


EXTENSIONS = (
    "https://landsat.usgs.gov/stac/landsat-extension/v1.1.1/schema.json",
    "https://stac-extensions.github.io/view/v1.0.0/schema.json",
    "https://stac-extensions.github.io/projection/v1.0.0/schema.json",
    "https://stac-extensions.github.io/eo/v1.0.0/schema.json",
    "https://stac-extensions.github.io/file/v1.0.0/schema.json",
    "https://stac-extensions.github.io/raster/v1.0.0/schema.json",
    "https://stac-extensions.github.io/classification/v1.0.0/schema.json",
)
COG_TYPE = "image/vnd.stac.geotiff; cloud-optimized=true"


def stac_items(contents: Contents, folder: Path) -> dict[str, bytes]:
    """STAC items by file name, as LandsatLook has them: one for reflectance and one for temperature at Level 2.

    Parameters
    ----------
    folder : Path
        Where the scene's other files are: their checksums go into the items.
    """
    shared = ("QA_PIXEL", "QA_RADSAT")
    if contents.recipe.level == 1:
        parts = {"": [spec.name for spec in contents.bands]}
    else:
        parts = {
            f"_{p}": [s.name for s in contents.bands if s.name in shared or s.name.startswith(p)] for p in ("SR", "ST")
        }
    return {
        f"{contents.recipe.product_id}{part}_stac.json": json.dumps(
            _stac_item(contents, part, names, folder), indent=2
        ).encode()
        for part, names in parts.items()
        if set(names) - set(shared)
    }


def _stac_item(contents: Contents, part: str, names: list[str], folder: Path) -> dict[str, Any]:
    recipe = contents.recipe
    ring = _outline(recipe)
    lon, lat = zip(*ring, strict=True)
    identity, level = recipe.product_id + part, recipe.level
    texts = [
        end for end in ("ANG.txt", "MTL.txt", "MTL.xml", "MTL.json") if (folder / contents.file_name(end)).exists()
    ]
    assets = {recipe.bands[name].asset_key: _band_asset(contents, recipe.bands[name], folder) for name in names}
    assets |= {end: _asset(contents, end, folder, title=f"{end} file", roles=["metadata"]) for end in texts}
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": list(EXTENSIONS),
        "id": identity,
        "description": f"Landsat Collection 2 Level-{level} Product, synthetic",
        "bbox": [min(lon), min(lat), max(lon), max(lat)],
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": _stac_properties(contents),
        "links": [{"rel": "self", "href": f"./{identity}_stac.json"}],
        "collection": f"landsat-c2l{level}{part.lower().replace('_', '-')}",
        "assets": assets,
    }


def _outline(recipe: Recipe) -> list[list[float]]:
    """Closed ring of (longitude, latitude) round the footprint."""
    left, bottom, right, top = recipe.grid.bounds
    xs = [left + x * (right - left) for x, _ in CORNERS]
    ys = [top - y * (top - bottom) for _, y in CORNERS]
    lon, lat = warp_points(recipe.grid.crs, "EPSG:4326", xs, ys)
    points = [[round(x, 6), round(y, 6)] for x, y in zip(lon, lat, strict=True)]
    return [points[0], *points[:0:-1], points[0]]


def _stac_properties(contents: Contents) -> dict[str, Any]:
    recipe = contents.recipe
    elevation, azimuth = recipe.sun
    path, row = recipe.path_row
    cover = round(contents.cloud_cover, 2)
    return {
        "datetime": f"{recipe.centre_time:%Y-%m-%dT%H:%M:%S.%f}Z",
        "eo:cloud_cover": cover,
        "view:sun_azimuth": round(azimuth, 8),
        "view:sun_elevation": round(elevation, 8),
        "view:off_nadir": 0,
        "platform": f"LANDSAT_{recipe.satellite}",
        "instruments": recipe.mission.sensor_id.split("_"),
        "landsat:cloud_cover_land": cover,
        "landsat:wrs_type": str(recipe.mission.orbit_type),
        "landsat:wrs_path": f"{path:03d}",
        "landsat:wrs_row": f"{row:03d}",
        "landsat:scene_id": recipe.scene_id,
        "landsat:collection_category": "T1",
        "landsat:collection_number": "02",
        "landsat:correction": recipe.product_id.split("_")[1],
        "proj:epsg": int(recipe.grid.crs.removeprefix("EPSG:")),
        "proj:shape": list(recipe.grid.shape),
        "proj:transform": list(recipe.grid.transform)[:6],
    }


def _asset(contents: Contents, suffix: str, folder: Path, *, title: str, roles: list[str]) -> dict[str, Any]:
    name = contents.file_name(suffix)
    media = {"txt": "text/plain", "xml": "application/xml", "json": "application/json"}.get(
        suffix.rpartition(".")[2], COG_TYPE
    )
    digest = hashlib.sha512()
    with open(folder / name, "rb") as file:
        while chunk := file.read(1 << 22):
            digest.update(chunk)
    return {
        "title": title,
        "type": media,
        "roles": roles,
        "href": f"./{name}",
        "file:checksum": f"1340{digest.hexdigest()}",
    }


def _band_asset(contents: Contents, spec: BandSpec, folder: Path) -> dict[str, Any]:
    roles = ["data"] if is_image(spec.name) else ["metadata"]
    asset = _asset(contents, f"{spec.name}.TIF", folder, title=spec.title, roles=roles)
    step = contents.recipe.mission.step // (2 if spec.group == "panchromatic" else 1)
    band = {"name": spec.name.removeprefix("SR_").removeprefix("ST_"), "common_name": spec.common_name, "gsd": step}
    if spec.wavelength:
        asset["eo:bands"] = [{k: v for k, v in band.items() if v} | {"center_wavelength": spec.wavelength[0]}]
    raster: dict[str, Any] = {"data_type": spec.dtype, "nodata": spec.fill, "spatial_resolution": step}
    raster |= {"scale": spec.scale, "offset": spec.offset, "unit": spec.unit}
    asset["raster:bands"] = [{key: value for key, value in raster.items() if value is not None}]
    if spec.fields:
        asset["classification:bitfields"] = [_bitfield(field) for field in spec.fields]
    if spec.group == "panchromatic":
        grid = contents.recipe.pan_grid
        asset |= {"proj:shape": list(grid.shape), "proj:transform": list(grid.transform)[:6]}
    return asset


def _bitfield(field: BitField) -> dict[str, Any]:
    levels = field.levels or (f"not_{field.name}", field.name)
    classes = [
        {"name": name, "value": value, "description": name.replace("_", " ")} for value, name in enumerate(levels)
    ]
    return {
        "name": field.name,
        "offset": field.offset,
        "length": field.length,
        "description": field.description,
        "classes": classes,
    }
