"""Bands of an asset in the forms that readers look for: STAC 1.1's, and those from before it. Pure.

Version 2 of the extensions eo and raster took ``eo:bands`` and ``raster:bands`` out: items that have them beside
``bands`` declare version 1.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

#: Fields of ``bands`` of STAC 1.1, by their names in ``eo:bands`` and in ``raster:bands``.
_EO = {
    "name": "name",
    "common_name": "eo:common_name",
    "description": "description",
    "center_wavelength": "eo:center_wavelength",
    "full_width_half_max": "eo:full_width_half_max",
}
_RASTER = {
    "nodata": "nodata",
    "data_type": "data_type",
    "unit": "unit",
    "scale": "raster:scale",
    "offset": "raster:offset",
    "spatial_resolution": "raster:spatial_resolution",
    "statistics": "statistics",
}


def band_fields(bands: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """``bands`` of an asset, and the same as ``eo:bands`` and ``raster:bands``.

    Files with several bands have no ``raster:bands``: `stackstac.stack(items)`, which takes all assets, refuses an item
    where one has. NaN is not said to be nodata, which it is of floats anyway: the word ``nan`` is no number, and rustac
    refuses it, as do columns of Parquet that hold numbers for other products.

    Parameters
    ----------
    bands : sequence of dict
        In the fields of STAC 1.1.

    Examples
    --------
    >>> band_fields([{"name": "SR_B4", "eo:common_name": "red", "data_type": "uint16"}])["eo:bands"]
    [{'name': 'SR_B4', 'common_name': 'red'}]
    """
    bands = [{key: value for key, value in band.items() if (key, value) != ("nodata", "nan")} for band in bands]
    fields = {"bands": bands, "eo:bands": [_renamed(band, _EO) for band in bands]}
    pixels = [_renamed(band, _RASTER) for band in bands]
    return fields | ({"raster:bands": pixels} if len(pixels) == 1 and pixels[0] else {})


def _renamed(band: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {new: band[old] for new, old in names.items() if old in band}
