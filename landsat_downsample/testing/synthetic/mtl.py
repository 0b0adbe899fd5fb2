"""The MTL of a synthetic scene: what its files hold, in the three formats of USGS.

Groups, keys, order and number formats are those of Collection 2 products; the values are our own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from xml.sax.saxutils import escape

from rasterio.warp import transform as warp_points

from landsat_downsample.model.bands import BandSpec
from landsat_downsample.testing.synthetic.recipe import Recipe
from landsat_downsample.testing.synthetic.tables import CALIBRATION, KELVIN, REFLECTANCE

ORIGIN = "Image courtesy of the U.S. Geological Survey"

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
ORDER = (*(name for name in KEYS if name.startswith(("ST_", "SR_"))), "QA_PIXEL", "QA_RADSAT")
ANGLES = ("VAA", "VZA", "SAA", "SZA")

#: DIGITAL_OBJECT_IDENTIFIER of each product family, by level.
DOI = {1: {"oli": "P975CC9B", "etm": "P9TU80IG", "tm": "P918ROHC", "mss": "P9AF14YV", "mss123": "P9AF14YV"},
       2: {"oli": "P9OGBGM6", "etm": "P9C7I13B", "tm": "P9IAXOVV"}}  # fmt: skip


class Bare(str):
    """A value that ODL writes without quotes: a number, a date."""


Groups = dict[str, dict[str, str]]


@dataclass(frozen=True)
class Contents:
    """What was written to a scene's folder, as its metadata lists it."""

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
        images = [spec for spec in self.bands if is_image(spec.name)]
        return tuple(sorted(images, key=lambda spec: (_number(spec.name), spec.name)))

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


def is_image(name: str) -> bool:
    """Whether a band is an image of the ground: ``B4``, ``SR_B4``, ``ST_B10``."""
    return name.removeprefix("SR_").removeprefix("ST_").startswith("B")


def _number(name: str) -> int:
    return int(name.rpartition("B")[2].partition("_")[0])


def mtl_key(name: str) -> str:
    """Ending of the MTL keys of a band: ``BAND_4`` of SR_B4, ``BAND_ST_B10`` of ST_B10."""
    if name in KEYS:
        return KEYS[name]
    return f"BAND_{name}" if name.startswith("ST_") else f"BAND_{name.removeprefix('SR_')[1:]}"


def groups_of(contents: Contents) -> Groups:
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


def to_odl(groups: Groups) -> bytes:
    """The MTL in ODL, as ``_MTL.txt`` has it."""
    lines = ["GROUP = LANDSAT_METADATA_FILE"]
    for name, group in groups.items():
        values = {key: value if isinstance(value, Bare) else f'"{value}"' for key, value in group.items()}
        lines += [
            f"  GROUP = {name}",
            *(f"    {key} = {value}" for key, value in values.items()),
            f"  END_GROUP = {name}",
        ]
    return "\n".join([*lines, "END_GROUP = LANDSAT_METADATA_FILE", "END", ""]).encode()


def to_json(groups: Groups) -> bytes:
    """The MTL in JSON, on one line with every value a string, as ``_MTL.json`` has it."""
    return json.dumps({"LANDSAT_METADATA_FILE": groups}).encode()


def to_xml(groups: Groups) -> bytes:
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
    group |= {
        f"DATA_TYPE_{mtl_key(spec.name)}": str(spec.dtype).upper() for spec in [*contents.images, *quality, *angles]
    }
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
    group |= {
        "DATE_ACQUIRED": Bare(recipe.acquired.isoformat()),
        "SCENE_CENTER_TIME": f"{recipe.centre_time:%H:%M:%S.%f}0Z",
    }
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
    group: dict[str, str] = {}
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
    group: dict[str, str] = {}
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
    """Groups that say what a Level 1 DN means, with the extremes that follow from scale and offset."""
    top = 65535 if recipe.sensor == "oli" else 255
    table = {mtl_key(name): values for name, values in CALIBRATION[recipe.sensor].items()}
    thermal = {name: values[2:] for name, values in table.items() if values[2] > 100}
    reflective = {name: values[2:] for name, values in table.items() if name not in thermal}
    dn = {"MAX": top, "MIN": 1}
    return {
        "LEVEL1_MIN_MAX_RADIANCE": _extremes("RADIANCE", {name: values[:2] for name, values in table.items()}, dn, 5),
        "LEVEL1_MIN_MAX_REFLECTANCE": _extremes("REFLECTANCE", reflective, dn, 6),
        "LEVEL1_MIN_MAX_PIXEL_VALUE": {
            f"QUANTIZE_CAL_{end}_{name}": Bare(value) for name in table for end, value in dn.items()
        },
        "LEVEL1_RADIOMETRIC_RESCALING": {
            **{f"RADIANCE_MULT_{name}": Bare(f"{values[0]:.4E}") for name, values in table.items()},
            **{f"RADIANCE_ADD_{name}": Bare(f"{values[1]:.5f}") for name, values in table.items()},
            **{f"REFLECTANCE_MULT_{name}": Bare(f"{scale:.4E}") for name, (scale, _) in reflective.items()},
            **{f"REFLECTANCE_ADD_{name}": Bare(f"{offset:.6f}") for name, (_, offset) in reflective.items()},
        },
        "LEVEL1_THERMAL_CONSTANTS": {
            f"K{n}_CONSTANT_{name}": Bare(value)
            for name, values in thermal.items()
            for n, value in enumerate(values, 1)
        },
    }


def _extremes(what: str, scalings: dict[str, tuple[float, float]], dn: dict[str, int], decimals: int) -> dict[str, str]:
    """Physical values of the greatest and the least DN of each band."""
    return {
        f"{what}_{end}IMUM_{name}": Bare(f"{scale * value + offset:.{decimals}f}")
        for name, (scale, offset) in scalings.items()
        for end, value in dn.items()
    }


def _level1_projection(recipe: Recipe) -> dict[str, str]:
    group = _projection(recipe) | _cells(recipe, "B8" in CALIBRATION[recipe.sensor])
    group |= {"ORIENTATION": "NORTH_UP", "RESAMPLING_OPTION": "CUBIC_CONVOLUTION"}
    return group | ({"SCAN_GAP_INTERPOLATION": Bare("2.0")} if recipe.has_gaps else {})
