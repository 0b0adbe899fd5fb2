"""What metadata files without an MTL's form say of a scene, as STAC properties. Pure.

Each reader takes the bytes of one kind of file, which a family's table names, and gives what it finds there.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from xml.etree import ElementTree

from landsat_downsample.errors import SceneError

#: What XML that comes with scenes never has, and what entities that grow without end need.
_DECLARATIONS = (b"<!DOCTYPE", b"<!ENTITY")


def properties(reader: str, data: bytes) -> dict[str, Any]:
    """Read a file by the reader that its family's table names.

    Raises
    ------
    SceneError
        It cannot be read.
    """
    return {key: value for key, value in READERS[reader](data).items() if value is not None}


def _xml(data: bytes) -> ElementTree.Element:
    if any(word in data for word in _DECLARATIONS):
        raise SceneError("it declares a document type, which no metadata of a scene does; fetch it again")
    try:
        return ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise SceneError(f"it cannot be read: {error}; fetch it again") from error


def _cmr(data: bytes) -> dict[str, Any]:
    """The granule record of HLS (``cmr.xml``); of several Landsat scenes in one granule the first counts."""
    root = _xml(data)
    said = {
        one.findtext("Name", ""): (one.findtext("Values/Value") or "").strip()
        for one in root.iterfind("AdditionalAttributes/AdditionalAttribute")
    }
    zenith = _number(said.get("MEAN_SUN_ZENITH_ANGLE"))
    platform = root.findtext("Platforms/Platform/ShortName", "").strip().lower()
    return {
        "datetime": root.findtext("Temporal/RangeDateTime/BeginningDateTime"),
        "platform": platform or None,
        "eo:cloud_cover": _number(said.get("CLOUD_COVERAGE")),
        "view:sun_azimuth": _number(said.get("MEAN_SUN_AZIMUTH_ANGLE")),
        "view:sun_elevation": None if zenith is None else round(90 - zenith, 8),
    }


def _ard(data: bytes) -> dict[str, Any]:
    """The metadata of a tile of US ARD: shares are of the tile; when it was seen its first source scene says."""
    root = _xml(data)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]  # the namespace is another for each version
    tile, scene = (root.find(f"{part}_metadata/global_metadata") for part in ("tile", "scene"))
    if tile is None:
        raise SceneError("it lacks the metadata of a tile; fetch it again")
    day, time = (None, None) if scene is None else map(scene.findtext, ("acquisition_date", "scene_center_time"))
    zoned = f"{day}T{(time or '').strip().rstrip('Z')[:15]}Z"  # to microseconds
    platform = (tile.findtext("satellite") or "").strip().lower().replace("_", "-")
    return {
        "datetime": zoned if day and time else None,
        "platform": platform or None,
        "eo:cloud_cover": _number(tile.findtext("cloud_cover")),
        "landsat:scene_count": _whole(tile.findtext("scene_count")),
    }


def _odc(data: bytes) -> dict[str, Any]:
    """The dataset document of Open Data Cube (``odc-metadata.yaml``), whose properties are STAC's by older names."""
    import yaml  # only these documents need it, and it takes a third as long to load as NumPy

    try:
        said = yaml.safe_load(data)["properties"]
        known = {key: value for key, value in said.items() if isinstance(value, str | int | float | datetime)}
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise SceneError(f"it cannot be read: {str(error).splitlines()[0]}; fetch it again") from error
    instrument = str(known.get("eo:instrument", "")).lower()
    time = known.get("datetime")
    return {
        "datetime": f"{time:%Y-%m-%dT%H:%M:%S.%f}Z" if isinstance(time, datetime) else time,
        "platform": known.get("eo:platform"),
        "instruments": instrument.split("_") if instrument else None,
        "eo:cloud_cover": known.get("eo:cloud_cover"),
        "view:sun_azimuth": known.get("eo:sun_azimuth"),
        "view:sun_elevation": known.get("eo:sun_elevation"),
        "landsat:scene_id": known.get("landsat:landsat_scene_id"),
        **{key: value for key, value in known.items() if key in ("landsat:wrs_path", "landsat:wrs_row")},
    }


def _whole(text: str | None) -> int | None:
    number = _number(text)
    return None if number is None else int(number)


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


READERS: dict[str, Callable[[bytes], dict[str, Any]]] = {"ard": _ard, "cmr": _cmr, "odc": _odc}
