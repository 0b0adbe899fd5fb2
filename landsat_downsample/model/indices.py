"""Spectral indices: of which bands they are made, how, and who defined them. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from landsat_downsample.errors import UsageError
from landsat_downsample.model.nearest import did_you_mean


@dataclass(frozen=True, slots=True)
class Index:
    """A spectral index, of reflectances."""

    title: str
    bands: tuple[str, ...]
    """Common names of its bands, in the order in which `formula` takes them."""
    formula: Callable[..., Any]
    source: str
    """Who defined it."""


def _difference(a: Any, b: Any) -> Any:
    return (a - b) / (a + b)


#: By name.
INDICES = {
    "ndvi": Index(
        "normalised difference vegetation index",
        ("nir08", "red"),
        _difference,
        "Rouse et al. 1974, NASA SP-351, 309-317",
    ),
    "evi": Index(
        "enhanced vegetation index",
        ("nir08", "red", "blue"),
        lambda nir, red, blue: 2.5 * (nir - red) / (nir + 6 * red - 7.5 * blue + 1),
        "Huete et al. 2002, Remote Sensing of Environment 83, 195-213",
    ),
    "savi": Index(
        "soil-adjusted vegetation index (L = 0.5)",
        ("nir08", "red"),
        lambda nir, red: 1.5 * (nir - red) / (nir + red + 0.5),
        "Huete 1988, Remote Sensing of Environment 25, 295-309",
    ),
    "msavi": Index(
        "modified soil-adjusted vegetation index (MSAVI2)",
        ("nir08", "red"),
        lambda nir, red: (2 * nir + 1 - ((2 * nir + 1) ** 2 - 8 * (nir - red)) ** 0.5) / 2,
        "Qi et al. 1994, Remote Sensing of Environment 48, 119-126",
    ),
    "ndmi": Index(
        "normalised difference moisture index",
        ("nir08", "swir16"),
        _difference,
        "Wilson and Sader 2002, Remote Sensing of Environment 80, 385-396",
    ),
    "nbr": Index(
        "normalised burn ratio",
        ("nir08", "swir22"),
        _difference,
        "Key and Benson 2006, USDA Forest Service RMRS-GTR-164-CD, LA 1-55",
    ),
    "nbr2": Index(
        "normalised burn ratio 2",
        ("swir16", "swir22"),
        _difference,
        "USGS, Landsat Surface Reflectance-derived Spectral Indices",
    ),
    "ndwi": Index(
        "normalised difference water index (of open water)",
        ("green", "nir08"),
        _difference,
        "McFeeters 1996, International Journal of Remote Sensing 17, 1425-1432",
    ),
    "mndwi": Index(
        "modified normalised difference water index",
        ("green", "swir16"),
        _difference,
        "Xu 2006, International Journal of Remote Sensing 27, 3025-3033",
    ),
    "ndsi": Index(
        "normalised difference snow index",
        ("green", "swir16"),
        _difference,
        "Hall et al. 1995, Remote Sensing of Environment 54, 127-140",
    ),
    "ndbi": Index(
        "normalised difference built-up index",
        ("swir16", "nir08"),
        _difference,
        "Zha et al. 2003, International Journal of Remote Sensing 24, 583-594",
    ),
}


def index_of(name: str) -> Index:
    """The index of a name, in any case.

    >>> index_of("NDVI").bands
    ('nir08', 'red')

    Raises
    ------
    UsageError
        There is none of this name.
    """
    found = INDICES.get(name.lower())
    if found is None:
        near = did_you_mean(name.lower(), INDICES)
        raise UsageError(f"index {name!r} is unknown{near}: choose one of {', '.join(INDICES)}")
    return found
