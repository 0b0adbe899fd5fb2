"""The STAC properties that an MTL gives. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from landsat_downsample.formats.mtl.document import Mtl
from landsat_downsample.formats.mtl.frame import number

_INSTRUMENTS = {
    "OLI_TIRS": ["oli", "tirs"],
    "OLI": ["oli"],
    "TIRS": ["tirs"],
    "ETM": ["etm+"],
    "ETM+": ["etm+"],
    "TM": ["tm"],
    "MSS": ["mss"],
}

#: STAC property -> MTL keys that hold it, best first.
_WORDS = {
    "landsat:scene_id": ("LANDSAT_SCENE_ID",),
    "landsat:wrs_type": ("WRS_TYPE",),
    "landsat:collection_number": ("COLLECTION_NUMBER",),
    "landsat:collection_category": ("COLLECTION_CATEGORY",),
    "landsat:correction": ("PROCESSING_LEVEL", "DATA_TYPE"),
    "landsat:product_generated": ("DATE_PRODUCT_GENERATED", "FILE_DATE"),
}


def properties(mtl: Mtl) -> dict[str, Any]:
    """STAC properties that the MTL gives; others are left out.

    Returns
    -------
    dict
        datetime (RFC 3339, UTC), platform, instruments, ``eo:cloud_cover`` (percent), ``view:*``
        (degrees; the azimuth within 0 to 360 as STAC wants it), ``landsat:*`` and ``sci:doi``.
    """
    platform = re.fullmatch(r"LANDSAT_?([1-9])", (mtl.find("SPACECRAFT_ID") or "").upper())
    found = {
        "datetime": _datetime(mtl),
        "platform": f"landsat-{platform[1]}" if platform else None,
        "instruments": _INSTRUMENTS.get(mtl.find("SENSOR_ID") or ""),
        "eo:cloud_cover": _percent(mtl.find("CLOUD_COVER")),
        **_view(mtl),
        "landsat:wrs_path": _three_digits(mtl.find("WRS_PATH")),
        "landsat:wrs_row": _three_digits(mtl.find("WRS_ROW")),
        "landsat:cloud_cover_land": _percent(mtl.find("CLOUD_COVER_LAND")),
        "sci:doi": _doi(mtl.find("DIGITAL_OBJECT_IDENTIFIER")),
    }
    for name, keys in _WORDS.items():
        found[name] = next((value for key in keys if (value := mtl.find(key))), None)
    return {name: value for name, value in found.items() if value is not None}


def _datetime(mtl: Mtl) -> str | None:
    """Acquisition time, cut to microseconds: the MTL has seven decimals."""
    day, time = mtl.find("DATE_ACQUIRED"), mtl.find("SCENE_CENTER_TIME")
    match = re.fullmatch(r"(\d\d:\d\d:\d\d)(?:\.(\d*))?Z?", time or "")
    if not day or not match:
        return None
    fraction = (match[2] or "")[:6].ljust(6, "0")
    try:
        moment = datetime.fromisoformat(f"{day}T{match[1]}.{fraction}").replace(tzinfo=UTC)
    except ValueError:
        return None
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _view(mtl: Mtl) -> dict[str, float | None]:
    azimuth = number(mtl.find("SUN_AZIMUTH"))
    roll = number(mtl.find("ROLL_ANGLE"))
    pointing = mtl.find("NADIR_OFFNADIR")
    off_nadir = 0 if pointing == "NADIR" else abs(roll) if pointing == "OFFNADIR" and roll is not None else None
    return {
        "view:sun_azimuth": None if azimuth is None else round(azimuth % 360, 8),
        "view:sun_elevation": number(mtl.find("SUN_ELEVATION")),
        "view:off_nadir": off_nadir,
    }


def _percent(text: str | None) -> float | None:
    """A cloud cover; -1 means that nobody knows."""
    value = number(text)
    return value if value is not None and 0 <= value <= 100 else None


def _three_digits(text: str | None) -> str | None:
    return f"{int(text):03d}" if text and re.fullmatch(r"\d{1,3}", text) else None


def _doi(text: str | None) -> str | None:
    match = re.search(r"10\.\d{4,9}/\S+", text or "")
    return match[0] if match else None
