"""What an array says of the band that it holds, by the CF conventions (1.11, table of standard names 93)."""

from __future__ import annotations

from typing import Any

import numpy as np

from landsat_downsample.model import flags
from landsat_downsample.model.band import Band
from landsat_downsample.model.indices import INDEX_OF_MEANS, Index
from landsat_downsample.model.product import FRACTIONS

#: Of moments of acquisition.
TIME = {
    "standard_name": "time",
    "long_name": "time of acquisition, UTC",
    "units_metadata": "leap_seconds: utc",
}

#: Of Level-1 bands, whose numbers are none of these unless the source says their unit.
_AT_SENSOR = {"1": "toa_bidirectional_reflectance", "kelvin": "toa_brightness_temperature"}

#: Of shares of pixels.
_SHARES = {
    "valid": "area_fraction",
    "clear": "clear_sky_area_fraction",
    "cloud": "cloud_area_fraction",
    "snow": "surface_snow_area_fraction",
}

#: Standard names of indices.
_INDICES = {"ndvi": "normalized_difference_vegetation_index", "lst": "surface_temperature"}

#: Units of USGS as UDUNITS writes them.
_UNITS = {"emissivity coefficient": "1", "watt/steradian/square_meter/micrometer": "W m-2 sr-1 um-1"}

#: Units that mean one thing of a temperature and another of a difference.
_TEMPERATURES = ("kelvin", "degree_Celsius")

#: How cells come of pixels: CF's methods by ours.
_CELL_METHODS = {
    "mean": "mean",
    "circular": "mean (of directions)",
    "median": "median",
    "min": "minimum",
    "max": "maximum",
    "sum": "sum",
    "std": "standard_deviation",
    "rms": "root_mean_square",
    "count": "sum",
    "fraction": "mean",
    "mode": "mode",
    "nearest": "point",
    "conservative": "maximum (flags of any pixel, fill of all)",
    "majority": "mode (flag by flag)",
    INDEX_OF_MEANS: "mean (of the bands, whose index it is)",
}


def band_attributes(band: Band, sensor: str | None, level: int | None) -> dict[str, Any]:
    """What an array says of its band, whatever scene it is of."""
    spec = band.spec
    stated = band.unit or spec.unit
    record = {
        "long_name": spec.title or spec.name,
        **_quantity(band, _UNITS.get(stated, stated) if stated else None),
        "scale_factor": band.scale if band.scale is not None else spec.scale,
        "add_offset": band.offset if band.offset is not None else spec.offset,
        "landsat_band": spec.name,
        "landsat_sensor": sensor,
        "landsat_level": level,
        **flag_attributes(band),
    }
    return {key: value for key, value in record.items() if value is not None}


def _quantity(band: Band, unit: str | None) -> dict[str, Any]:
    """Standard name and unit of physical values, stored or after scaling; of other numbers their unit alone."""
    spec, physical = band.spec, band.scaling is not None or np.dtype(band.dtype).kind == "f"
    if spec.categorical:
        return {"standard_name": "quality_flag" if spec.kind == "bits" else None, "units": unit}
    if not physical:
        return {"units": unit}
    name = spec.standard_name or (_AT_SENSOR.get(str(unit)) if spec.wavelength else None)
    scale = "difference" if str(name).endswith("standard_error") else "on_scale"
    unit = unit or ("1" if spec.scale is not None else None)
    return {
        "standard_name": name,
        "units": unit,
        "units_metadata": f"temperature: {scale}" if unit in _TEMPERATURES else None,
    }


def index_attributes(index: Index, order: str | None = None) -> dict[str, Any]:
    """What an array says that holds a spectral index; of cells, in which order it was made."""
    said = {
        "long_name": index.title,
        "standard_name": _INDICES.get(index.name),
        "units": index.unit,
        "units_metadata": "temperature: on_scale" if index.unit == "kelvin" else None,
        "references": index.source,
        "landsat_index": index.name,
        "landsat_formula": index.formula,
        "landsat_index_order": None if index.plain else order,
    }
    return {key: value for key, value in said.items() if value is not None}


def share_attributes(name: str, title: str | None = None) -> dict[str, Any]:
    """What an array says that holds shares of pixels, in percent."""
    said = {"long_name": title or name.replace("_", " "), "units": "percent", "cell_methods": "area: mean"}
    return said | {"landsat_band": FRACTIONS} | ({"standard_name": _SHARES[name]} if name in _SHARES else {})


def reduced_attributes(attrs: dict[str, Any], method: str, *, stored: bool = False) -> dict[str, Any]:
    """What cells say that were made of a band's pixels.

    Parameters
    ----------
    attrs : dict
        Of the band, without a scale that does not hold of the cells.
    method : str
        Reducer or policy.
    stored : bool
        Whether cells are in stored numbers that no scale makes physical values of: a sum of integers with an offset.
    """
    made = dict(attrs)
    if method == "count":
        made |= {"standard_name": "number_of_observations", "units": "1", "landsat_statistic": "count"}
    elif stored:
        made.pop("standard_name", None)
        made["units"] = "1"
    if method == "count" or stored:
        made.pop("units_metadata", None)
    elif method == "std" and "units_metadata" in made:
        made["units_metadata"] = "temperature: difference"
    if method == "mean" and attrs.get("landsat_index_order") == INDEX_OF_MEANS:
        method = INDEX_OF_MEANS
    if method in _CELL_METHODS:
        made["cell_methods"] = f"area: {_CELL_METHODS[method]}"
    return made


def flag_attributes(band: Band) -> dict[str, Any]:
    """The flags of a bit field, as the CF conventions (section 3.5) have them.

    Fields that are 0 are left out: values must not repeat.
    """
    known = {name: pair for name, pair in flags.meanings(band.spec).items() if pair[1]}
    if not known or np.dtype(band.dtype).kind not in "iu":
        return {}
    if classes := band.spec.classes:
        names = " ".join(field.name for field in classes.values())
        return {"flag_values": np.array(list(classes), band.dtype), "flag_meanings": names}
    masks, values = zip(*known.values(), strict=True)
    return {
        "flag_masks": np.array(masks, band.dtype),
        "flag_values": np.array(values, band.dtype),
        "flag_meanings": " ".join(known),
    }
