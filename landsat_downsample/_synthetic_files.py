"""The text files of a synthetic scene: MTL in three formats, angle coefficients, STAC items.

Groups, keys, order and number formats are those of Collection 2 products; the values are our own.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from rasterio.warp import transform as warp_points

from landsat_downsample._bands import BandSpec
from landsat_downsample._synthetic_bands import CALIBRATION, KELVIN, REFLECTANCE
from landsat_downsample._synthetic_recipe import CORNERS, Recipe

ORIGIN = "Image courtesy of the U.S. Geological Survey"
SCENE_TIME = "10:04:17.2530990Z"

#: Ending of FILE_NAME_... and DATA_TYPE_... keys, by band.
KEYS = {
    "QA_PIXEL": "QUALITY_L1_PIXEL", "QA_RADSAT": "QUALITY_L1_RADIOMETRIC_SATURATION",
    "VAA": "ANGLE_SENSOR_AZIMUTH_BAND_4", "VZA": "ANGLE_SENSOR_ZENITH_BAND_4",
    "SAA": "ANGLE_SOLAR_AZIMUTH_BAND_4", "SZA": "ANGLE_SOLAR_ZENITH_BAND_4",
    "ST_TRAD": "THERMAL_RADIANCE", "ST_URAD": "UPWELL_RADIANCE", "ST_DRAD": "DOWNWELL_RADIANCE",
    "ST_ATRAN": "ATMOSPHERIC_TRANSMITTANCE", "ST_EMIS": "EMISSIVITY", "ST_EMSD": "EMISSIVITY_STDEV",
    "ST_CDIST": "CLOUD_DISTANCE", "SR_ATMOS_OPACITY": "ATMOSPHERIC_OPACITY",
    "SR_CLOUD_QA": "QUALITY_L2_SURFACE_REFLECTANCE_CLOUD", "SR_QA_AEROSOL": "QUALITY_L2_AEROSOL",
    "ST_QA": "QUALITY_L2_SURFACE_TEMPERATURE",
}  # fmt: skip

#: Order of the bands that are not images in PRODUCT_CONTENTS.
ORDER = tuple(name for name in KEYS if name.startswith(("ST_", "SR_"))) + ("QA_PIXEL", "QA_RADSAT")
ANGLES = ("VAA", "VZA", "SAA", "SZA")

#: Peak radiance of the sun at one astronomical unit is not written to an MTL; these three words are.
DOI = {1: {"oli": "P975CC9B", "etm": "P9TU80IG", "tm": "P918ROHC", "mss": "P9AF14YV", "mss123": "P9AF14YV"},
       2: {"oli": "P9OGBGM6", "etm": "P9C7I13B", "tm": "P9IAXOVV"}}  # fmt: skip


class Bare(str):
    """A value that ODL writes without quotes: a number, a date."""


Groups = dict[str, dict[str, str]]


@dataclass(frozen=True)
class Contents:
    """What was written to a scene's folder, as its metadata tells it."""

    recipe: Recipe
    bands: tuple[BandSpec, ...]
    """Bands written, those without an entry in the MTL (gap masks) left out."""
    cloud_cover: float
    """Percent of the pixels with data that are cloud."""
    saturated: frozenset[str]
    """Names of the bands with saturated pixels, without prefix: ``B1``."""

    def file_name(self, suffix: str) -> str:
        """Name of the file of a band or a text, such as ``SR_B4.TIF`` or ``MTL.json``."""
        return f"{self.recipe.product_id}_{suffix}"

    @property
    def images(self) -> tuple[BandSpec, ...]:
        """The bands that are images, by number; the surface temperature of TM and ETM+ among them."""
        late = 9 if self.recipe.sensor == "oli" and self.recipe.level == 2 else 0
        images = [spec for spec in self.bands if _is_image(spec.name)]
        return tuple(
            sorted(images, key=lambda spec: (_number(spec.name) + late * spec.name.startswith("ST"), spec.name))
        )

    @cached_property
    def corners(self) -> dict[str, tuple[float, float, float, float]]:
        """Centre of each corner pixel: ``UL`` -> (x, y, latitude, longitude)."""
        left, bottom, right, top = self.recipe.grid.bounds
        half = self.recipe.mission.step / 2
        points = {"UL": (left, top), "UR": (right, top), "LL": (left, bottom), "LR": (right, bottom)}
        xy = [(x + half if x == left else x - half, y - half if y == top else y + half) for x, y in points.values()]
        lon, lat = warp_points(self.recipe.grid.crs, "EPSG:4326", *zip(*xy, strict=True))
        return {
            name: (*point, *place) for name, point, place in zip(points, xy, zip(lat, lon, strict=True), strict=True)
        }


def _is_image(name: str) -> bool:
    return name.removeprefix("SR_").removeprefix("ST_").startswith("B")


def _number(name: str) -> int:
    return int(name.rpartition("B")[2].partition("_")[0])


def mtl_key(name: str) -> str:
    """Ending of the MTL keys of a band: ``BAND_4`` of SR_B4, ``BAND_ST_B10`` of ST_B10."""
    if name in KEYS:
        return KEYS[name]
    return f"BAND_{name}" if name.startswith("ST_") else f"BAND_{name.removeprefix('SR_')[1:]}"


# MTL


def mtl_groups(contents: Contents) -> Groups:
    """The whole MTL: values by key, by group, in the order of USGS."""
    recipe = contents.recipe
    groups = {
        "PRODUCT_CONTENTS": _product_contents(contents),
        "IMAGE_ATTRIBUTES": _image_attributes(contents),
        "PROJECTION_ATTRIBUTES": _projection_attributes(contents),
    }
    if recipe.level == 2:
        groups["LEVEL2_PROCESSING_RECORD"] = _level2_record(contents)
        groups["LEVEL2_SURFACE_REFLECTANCE_PARAMETERS"] = _level2_reflectance(contents)
        groups["LEVEL2_SURFACE_TEMPERATURE_PARAMETERS"] = _level2_temperature(contents)
    groups["LEVEL1_PROCESSING_RECORD"] = _level1_record(contents)
    groups.update(_level1_calibration(recipe))
    groups["LEVEL1_PROJECTION_PARAMETERS"] = _level1_projection(recipe)
    if recipe.sensor != "oli":
        names = [mtl_key(name) for name in CALIBRATION[recipe.sensor]]
        groups["PRODUCT_PARAMETERS"] = {f"CORRECTION_GAIN_{name}": "CPF" for name in names}
    return {name: group for name, group in groups.items() if group}


def mtl_text(groups: Groups) -> bytes:
    """The MTL in ODL, as ``_MTL.txt`` has it."""
    lines = ["GROUP = LANDSAT_METADATA_FILE"]
    for name, group in groups.items():
        lines.append(f"  GROUP = {name}")
        lines += [
            f"    {key} = {value if isinstance(value, Bare) else f'{chr(34)}{value}{chr(34)}'}"
            for key, value in group.items()
        ]
        lines.append(f"  END_GROUP = {name}")
    return "\n".join([*lines, "END_GROUP = LANDSAT_METADATA_FILE", "END", ""]).encode()


def mtl_json(groups: Groups) -> bytes:
    """The MTL in JSON, on one line with every value a string, as ``_MTL.json`` has it."""
    return json.dumps({"LANDSAT_METADATA_FILE": groups}).encode()


def mtl_xml(groups: Groups) -> bytes:
    """The MTL in XML, as ``_MTL.xml`` has it."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<LANDSAT_METADATA_FILE>"]
    for name, group in groups.items():
        lines.append(f"  <{name}>")
        lines += [f"    <{key}>{escape(value)}</{key}>" for key, value in group.items()]
        lines.append(f"  </{name}>")
    return "\n".join([*lines, "</LANDSAT_METADATA_FILE>", ""]).encode()


def _identity(contents: Contents, level: int) -> dict[str, str]:
    recipe = contents.recipe
    return {
        "ORIGIN": ORIGIN,
        "DIGITAL_OBJECT_IDENTIFIER": f"https://doi.org/10.5066/{DOI[level][recipe.sensor]}",
    }


def _product_contents(contents: Contents) -> dict[str, str]:
    recipe = contents.recipe
    by_name = {spec.name: spec for spec in contents.bands}
    quality = [by_name[name] for name in ORDER if name in by_name]
    angles = [by_name[name] for name in ANGLES if name in by_name]
    group = _identity(contents, recipe.level) | {
        "LANDSAT_PRODUCT_ID": recipe.product_id,
        "PROCESSING_LEVEL": recipe.product_id.split("_")[1],
        "COLLECTION_NUMBER": Bare("02"),
        "COLLECTION_CATEGORY": "T1",
        "OUTPUT_FORMAT": "GEOTIFF",
    }
    group |= _file_names(contents, [*contents.images, *quality])
    if recipe.mission.sensor_id != "MSS":
        group["FILE_NAME_ANGLE_COEFFICIENT"] = contents.file_name("ANG.txt")
    group |= _file_names(contents, angles)
    group["FILE_NAME_METADATA_ODL"] = contents.file_name("MTL.txt")
    group["FILE_NAME_METADATA_XML"] = contents.file_name("MTL.xml")
    group |= {f"DATA_TYPE_{mtl_key(spec.name)}": spec.dtype.upper() for spec in [*contents.images, *quality, *angles]}
    if recipe.mission.sensor_id == "MSS":
        group |= {f"PRESENT_{mtl_key(spec.name)}": "Y" for spec in contents.images}
    return group


def _file_names(contents: Contents, bands: Iterable[BandSpec]) -> dict[str, str]:
    return {f"FILE_NAME_{mtl_key(spec.name)}": contents.file_name(f"{spec.name}.TIF") for spec in bands}


def _image_attributes(contents: Contents) -> dict[str, str]:
    recipe = contents.recipe
    (path, row), (elevation, azimuth) = recipe.path_row, recipe.sun
    wrs = {"WRS_PATH": Bare(path), "WRS_ROW": Bare(row)}
    oli = recipe.sensor == "oli"
    group = {"SPACECRAFT_ID": f"LANDSAT_{recipe.satellite}", "SENSOR_ID": recipe.mission.sensor_id}
    group |= {"WRS_TYPE": Bare(recipe.mission.orbit_type)} | (
        wrs if oli else {k: Bare(f"{int(v):03d}") for k, v in wrs.items()}
    )
    if oli:
        group |= {"NADIR_OFFNADIR": "NADIR"} | {f"TARGET_{key}": value for key, value in wrs.items()}
    cover = Bare(f"{contents.cloud_cover:.2f}")
    group |= {"DATE_ACQUIRED": Bare(recipe.acquired.isoformat()), "SCENE_CENTER_TIME": SCENE_TIME}
    group |= {"STATION_ID": recipe.mission.station, "CLOUD_COVER": cover, "CLOUD_COVER_LAND": cover}
    group |= {key: Bare(9) for key in (("IMAGE_QUALITY_OLI", "IMAGE_QUALITY_TIRS") if oli else ("IMAGE_QUALITY",))}
    reflective = [name for name in CALIBRATION[recipe.sensor] if not (oli and name in ("B10", "B11"))]
    group |= {f"SATURATION_{mtl_key(name)}": "Y" if name in contents.saturated else "N" for name in reflective}
    if oli:
        group["ROLL_ANGLE"] = Bare("-0.001")
    group |= {"SUN_AZIMUTH": Bare(f"{azimuth:.8f}"), "SUN_ELEVATION": Bare(f"{elevation:.8f}")}
    group["EARTH_SUN_DISTANCE"] = Bare(f"{_sun_distance(recipe):.7f}")
    if oli:
        group |= {"TRUNCATION_OLI": "UPPER", "TIRS_SSM_MODEL": "FINAL", "TIRS_SSM_POSITION_STATUS": "ESTIMATED"}
    elif recipe.mission.sensor_id != "MSS":
        group |= {
            "SENSOR_MODE": "BUMPER",
            "SENSOR_MODE_SLC": "OFF" if recipe.has_gaps else "ON",
            "SENSOR_ANOMALIES": "NONE",
        }
    return group


def _sun_distance(recipe: Recipe) -> float:
    """Astronomical units between earth and sun, to 1e-4: an ellipse with its perihelion on 4 January."""
    return 1 - 0.01672 * math.cos(math.radians(0.9856 * (recipe.acquired.timetuple().tm_yday - 4)))


def _cells(recipe: Recipe, pan: bool) -> dict[str, str]:
    """Grid cell sizes of the groups of bands a product has."""
    step = recipe.mission.step
    cells = {"PANCHROMATIC": step / 2} if pan else {}
    cells["REFLECTIVE"] = step
    if recipe.mission.sensor_id != "MSS":
        cells["THERMAL"] = step
    return {f"GRID_CELL_SIZE_{name}": Bare(f"{size:.2f}") for name, size in cells.items()}


def _projection_attributes(contents: Contents) -> dict[str, str]:
    recipe = contents.recipe
    pan = "B8" in recipe.bands
    group = _projection(recipe) | _cells(recipe, pan)
    grids = ({"PANCHROMATIC": recipe.pan_grid} if pan else {}) | {"REFLECTIVE": recipe.grid}
    if recipe.mission.sensor_id != "MSS":
        grids["THERMAL"] = recipe.grid
    for name, grid in grids.items():
        group |= {f"{name}_LINES": Bare(grid.height), f"{name}_SAMPLES": Bare(grid.width)}
    group["ORIENTATION"] = "NORTH_UP"
    for name, (_, _, latitude, longitude) in contents.corners.items():
        group |= {
            f"CORNER_{name}_LAT_PRODUCT": Bare(f"{latitude:.5f}"),
            f"CORNER_{name}_LON_PRODUCT": Bare(f"{longitude:.5f}"),
        }
    for name, (x, y, _, _) in contents.corners.items():
        group |= {f"CORNER_{name}_PROJECTION_{axis}_PRODUCT": Bare(f"{at:.3f}") for axis, at in (("X", x), ("Y", y))}
    return group


def _projection(recipe: Recipe) -> dict[str, str]:
    return {"MAP_PROJECTION": "UTM", "DATUM": "WGS84", "ELLIPSOID": "WGS84", "UTM_ZONE": Bare(recipe.zone)}


def _level2_record(contents: Contents) -> dict[str, str]:
    recipe = contents.recipe
    oli = recipe.sensor == "oli"
    sources = ("MODIS", "Calculated", "MODIS", "MODIS") if oli else ("TOMS", "NCEP", "NCEP", "NCEP")
    group = _identity(contents, 2) | {
        "REQUEST_ID": "L2",
        "LANDSAT_PRODUCT_ID": recipe.product_id,
        "PROCESSING_LEVEL": "L2SP",
        "OUTPUT_FORMAT": "GEOTIFF",
        "DATE_PRODUCT_GENERATED": Bare(f"{recipe.processed:%Y-%m-%d}T09:31:05Z"),
        "PROCESSING_SOFTWARE_VERSION": "LPGS_16.3.0",
        "ALGORITHM_SOURCE_SURFACE_REFLECTANCE": "LaSRC_1.6.0" if oli else "LEDAPS_3.4.0",
    }
    group |= {
        f"DATA_SOURCE_{what}": source
        for what, source in zip(("OZONE", "PRESSURE", "WATER_VAPOR", "AIR_TEMPERATURE"), sources, strict=True)
    }
    return group | {"ALGORITHM_SOURCE_SURFACE_TEMPERATURE": "st_1.5.0", "DATA_SOURCE_REANALYSIS": "GEOS-5 FP-IT"}


def _level2_reflectance(contents: Contents) -> dict[str, str]:
    (scale, offset), names = REFLECTANCE, [mtl_key(s.name) for s in contents.images if s.name.startswith("SR_")]
    group = {}
    for name in names:
        group |= {
            f"REFLECTANCE_{what}_{name}": Bare(f"{dn * scale + offset:.6f}")
            for what, dn in (("MAXIMUM", 65535), ("MINIMUM", 1))
        }
    for name in names:
        group |= {f"QUANTIZE_CAL_MAX_{name}": Bare(65535), f"QUANTIZE_CAL_MIN_{name}": Bare(1)}
    group |= {f"REFLECTANCE_MULT_{name}": Bare("2.75e-05") for name in names}
    return group | {f"REFLECTANCE_ADD_{name}": Bare("-0.2") for name in names}


def _level2_temperature(contents: Contents) -> dict[str, str]:
    scale, offset = KELVIN
    group = {}
    for name in [mtl_key(spec.name) for spec in contents.images if spec.name.startswith("ST_")]:
        group |= {
            f"TEMPERATURE_{what}_{name}": Bare(f"{dn * scale + offset:.6f}")
            for what, dn in (("MAXIMUM", 65535), ("MINIMUM", 1))
        }
        group |= {f"QUANTIZE_CAL_MAXIMUM_{name}": Bare(65535), f"QUANTIZE_CAL_MINIMUM_{name}": Bare(1)}
        group |= {f"TEMPERATURE_MULT_{name}": Bare(scale), f"TEMPERATURE_ADD_{name}": Bare(offset)}
    return group


def _level1_record(contents: Contents) -> dict[str, str]:
    recipe = contents.recipe
    product = recipe.product_id_at("L1TP")
    group = _identity(contents, 1) | {
        "REQUEST_ID": "L2",
        "LANDSAT_SCENE_ID": recipe.scene_id,
        "LANDSAT_PRODUCT_ID": product,
        "PROCESSING_LEVEL": "L1TP",
        "COLLECTION_CATEGORY": "T1",
        "OUTPUT_FORMAT": "GEOTIFF",
        "DATE_PRODUCT_GENERATED": Bare(f"{recipe.processed:%Y-%m-%d}T09:12:48Z"),
        "PROCESSING_SOFTWARE_VERSION": "LPGS_16.3.0",
    }
    quality = ("QA_PIXEL", "QA_RADSAT")
    group |= {f"FILE_NAME_{mtl_key(name)}": f"{product}_{name}.TIF" for name in (*CALIBRATION[recipe.sensor], *quality)}
    if recipe.mission.sensor_id != "MSS":
        group["FILE_NAME_ANGLE_COEFFICIENT"] = f"{product}_ANG.txt"
        group |= {f"FILE_NAME_{mtl_key(name)}": f"{product}_{name}.TIF" for name in ANGLES}
    group |= {f"FILE_NAME_METADATA_{kind}": f"{product}_MTL.{end}" for kind, end in (("ODL", "txt"), ("XML", "xml"))}
    return group | {
        "DATA_SOURCE_ELEVATION": "GLS2000",
        "GROUND_CONTROL_POINTS_VERSION": Bare(5),
        "GROUND_CONTROL_POINTS_MODEL": Bare(612),
        "GEOMETRIC_RMSE_MODEL": Bare("5.412"),
        "GEOMETRIC_RMSE_MODEL_Y": Bare("3.908"),
        "GEOMETRIC_RMSE_MODEL_X": Bare("3.744"),
    }


def _level1_calibration(recipe: Recipe) -> Groups:
    """Groups that tell what a Level 1 DN means, with the extremes that follow from scale and offset."""
    top = 65535 if recipe.sensor == "oli" else 255
    table = {
        mtl_key(name): (values, recipe.sensor != "mss" and values[2] > 100)
        for name, values in CALIBRATION[recipe.sensor].items()
    }
    reflective = [name for name, (_, thermal) in table.items() if not thermal]
    groups: Groups = {
        f"LEVEL1_{name}": {} for name in ("MIN_MAX_RADIANCE", "MIN_MAX_REFLECTANCE", "MIN_MAX_PIXEL_VALUE")
    }
    for name, (values, thermal) in table.items():
        for what, at, decimals in (("RADIANCE", 0, 5), ("REFLECTANCE", 2, 6)):
            if what == "RADIANCE" or not thermal:
                extremes = (("MAXIMUM", top), ("MINIMUM", 1))
                line = {
                    f"{what}_{end}_{name}": Bare(f"{values[at] * dn + values[at + 1]:.{decimals}f}")
                    for end, dn in extremes
                }
                groups[f"LEVEL1_MIN_MAX_{what}"] |= line
        groups["LEVEL1_MIN_MAX_PIXEL_VALUE"] |= {
            f"QUANTIZE_CAL_MAX_{name}": Bare(top),
            f"QUANTIZE_CAL_MIN_{name}": Bare(1),
        }
    groups["LEVEL1_RADIOMETRIC_RESCALING"] = (
        {f"RADIANCE_MULT_{name}": Bare(f"{table[name][0][0]:.4E}") for name in table}
        | {f"RADIANCE_ADD_{name}": Bare(f"{table[name][0][1]:.5f}") for name in table}
        | {f"REFLECTANCE_MULT_{name}": Bare(f"{table[name][0][2]:.4E}") for name in reflective}
        | {f"REFLECTANCE_ADD_{name}": Bare(f"{table[name][0][3]:.6f}") for name in reflective}
    )
    groups["LEVEL1_THERMAL_CONSTANTS"] = {
        f"K{n}_CONSTANT_{name}": Bare(values[1 + n])
        for name, (values, thermal) in table.items()
        if thermal
        for n in (1, 2)
    }
    return groups


def _level1_projection(recipe: Recipe) -> dict[str, str]:
    group = _projection(recipe) | _cells(recipe, "B8" in CALIBRATION[recipe.sensor])
    group |= {"ORIENTATION": "NORTH_UP", "RESAMPLING_OPTION": "CUBIC_CONVOLUTION"}
    return group | ({"SCAN_GAP_INTERPOLATION": Bare("2.0")} if recipe.has_gaps else {})


# angle coefficients


def angle_text(contents: Contents) -> bytes:
    """The angle coefficient file: header, projection, and the geometry of each band; its models are constant."""
    recipe = contents.recipe
    numbers = [_ang_number(name) for name in CALIBRATION[recipe.sensor]]
    header = {"LANDSAT_SCENE_ID": f'"{recipe.scene_id}"', "SPACECRAFT_ID": f'"{_ang_spacecraft(recipe)}"'}
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
    groups = {"FILE_HEADER": header, "PROJECTION": projection}
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


def _angle_model(recipe: Recipe, band: str, pan: bool) -> dict:
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


# STAC

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


def _stac_item(contents: Contents, part: str, names: list[str], folder: Path) -> dict:
    recipe = contents.recipe
    ring = _outline(recipe)
    lon, lat = zip(*ring, strict=True)
    identity, level = recipe.product_id + part, recipe.level
    texts = [
        end for end in ("ANG.txt", "MTL.txt", "MTL.xml", "MTL.json") if (folder / contents.file_name(end)).exists()
    ]
    assets = {_asset_key(recipe.bands[name]): _band_asset(contents, recipe.bands[name], folder) for name in names}
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


def _stac_properties(contents: Contents) -> dict:
    recipe = contents.recipe
    elevation, azimuth = recipe.sun
    path, row = recipe.path_row
    cover = round(contents.cloud_cover, 2)
    return {
        "datetime": f"{recipe.acquired.isoformat()}T{SCENE_TIME[:-2]}Z",
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


def _asset_key(spec: BandSpec) -> str:
    """Name of a band's asset: common name, ``qa_pixel``, ``ATRAN``, ``VAA``."""
    if spec.common_name:
        return spec.common_name
    if spec.name.startswith("ST_"):
        return spec.name.removeprefix("ST_")
    return spec.name.removeprefix("SR_").lower() if "_" in spec.name else spec.name


def _asset(contents: Contents, suffix: str, folder: Path, *, title: str, roles: list[str]) -> dict:
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


def _band_asset(contents: Contents, spec: BandSpec, folder: Path) -> dict:
    roles = ["data"] if _is_image(spec.name) else ["metadata"]
    asset = _asset(contents, f"{spec.name}.TIF", folder, title=spec.title, roles=roles)
    step = contents.recipe.mission.step // (2 if spec.group == "panchromatic" else 1)
    band = {"name": spec.name.removeprefix("SR_").removeprefix("ST_"), "common_name": spec.common_name, "gsd": step}
    if spec.wavelength:
        asset["eo:bands"] = [{k: v for k, v in band.items() if v} | {"center_wavelength": spec.wavelength[0]}]
    raster = {"data_type": spec.dtype, "nodata": spec.fill, "spatial_resolution": step}
    raster |= {"scale": spec.scale, "offset": spec.offset, "unit": spec.unit}
    asset["raster:bands"] = [{key: value for key, value in raster.items() if value is not None}]
    if spec.fields:
        asset["classification:bitfields"] = [_bitfield(field) for field in spec.fields]
    if spec.group == "panchromatic":
        grid = contents.recipe.pan_grid
        asset |= {"proj:shape": list(grid.shape), "proj:transform": list(grid.transform)[:6]}
    return asset


def _bitfield(field) -> dict:
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
