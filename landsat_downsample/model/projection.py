"""From the coordinates of an image to those of a grid in another coordinate reference system, by one PROJ operation."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from landsat_downsample.errors import UsageError
from landsat_downsample.model.grid import Grid

if TYPE_CHECKING:
    from pyproj import CRS, Transformer

#: Ellipsoids (semi-major axis in metres) that no datum shift of more than a metre or two sets apart from WGS 84's,
#: as those of ETRS89, NAD83 and GDA94 are; and how far an axis may differ from it.
WGS84_AXIS, AXIS_SLACK = 6378137.0, 1.0

#: Held while PROJ's package is imported (threads that do so at the same time get parts of it), and while an operation
#: is chosen: whether PROJ may use a network, and what is warned of, are settings of the whole process.
_ALONE = threading.RLock()

#: West, south, east and north.
Degrees = tuple[float, float, float, float]

#: Projections whose x grows with longitude alone, so that the map repeats to the left and right (PROJ's names).
CYLINDRICAL = {"merc", "webmerc", "cea", "eqc", "mill"}


@dataclass(frozen=True, slots=True)
class Projection:
    """How coordinates of one CRS become those of another: x to the east, y to the north, whatever a CRS says.

    One operation, chosen once for a scene, serves all of its points, bands and workers.
    """

    definition: str
    """PROJ pipeline."""
    map_edges: tuple[float, float] | None = None
    """x of the left and right edge of the map, where it repeats beyond them."""

    @classmethod
    def between(cls, image: Grid, crs: str) -> Projection:
        """Choose the operation from the CRS of an image to another, the best one that PROJ has for its place.

        Shifts that PROJ would have to fetch from a network are not taken.

        Raises
        ------
        UsageError
            PROJ knows no way, or none between the two datums.
        """
        with _ALONE:
            return cls(*_chosen(image, crs))

    def forward(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates (x, y) of the grid, on any of the maps where it repeats; infinite where there are none."""
        x, y = _transformer(self.definition).transform(x, y)
        return x, y

    @property
    def period(self) -> float:
        """Width of a map that repeats; 0 of others."""
        return self.map_edges[1] - self.map_edges[0] if self.map_edges else 0.0

    def backward(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates (x, y) of the image; infinite where there are none."""
        if self.map_edges:
            x = self.map_edges[0] + np.mod(x - self.map_edges[0], self.period)
        x, y = _transformer(self.definition).transform(x, y, direction="INVERSE")
        return x, y

    def to_dict(self) -> dict[str, Any]:
        """Describe it in JSON types."""
        return {"definition": self.definition, "map_edges": list(self.map_edges) if self.map_edges else None}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Projection:
        """Make it from what `to_dict` gave."""
        return cls(record["definition"], tuple(record["map_edges"]) if record["map_edges"] else None)


def proj_version() -> str:
    """The version of PROJ that coordinates are made by."""
    with _ALONE:
        import pyproj

    return str(pyproj.proj_version_str)


@lru_cache(maxsize=16)
def _transformer(definition: str) -> Transformer:
    with _ALONE, _no_network():
        from pyproj import Transformer

        return Transformer.from_pipeline(definition)


@lru_cache(maxsize=16)  # PROJ takes as long as for ten thousands of points
def _chosen(image: Grid, crs: str) -> tuple[str, tuple[float, float] | None]:
    """Definition and map edges of the projection from an image to a CRS."""
    from pyproj.exceptions import ProjError
    from pyproj.transformer import AreaOfInterest, TransformerGroup

    source, target = _crs(image.crs), _crs(crs)
    west, south, east, north = _degrees(image, source)
    area = AreaOfInterest(west, south, east, north)
    try:
        with _no_network(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that grids, which are not there, would do better
            found = TransformerGroup(source, target, always_xy=True, area_of_interest=area).transformers
    except ProjError as error:
        raise _no_way(image.crs, crs) from error
    if not found:
        raise _no_way(image.crs, crs)
    _check_datum(found[0], target)
    return found[0].definition, _map_edges(target)


@lru_cache(maxsize=64)
def _crs(name: str) -> CRS:
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        return CRS.from_user_input(name)
    except CRSError as error:
        raise UsageError(f"CRS {name!r} is unknown to PROJ: give EPSG:CODE, or WKT") from error


@contextmanager
def _no_network() -> Iterator[None]:
    """Without the grids that PROJ may fetch: numbers must not depend on whether a machine has a network."""
    from pyproj import network

    before = network.is_network_enabled()  # type: ignore[attr-defined]
    network.set_network_enabled(False)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        network.set_network_enabled(before)  # type: ignore[attr-defined]


@lru_cache(maxsize=16)
def in_degrees(image: Grid) -> Degrees:
    """West, south, east and north of an image; the west is greater than the east where it lies across 180 degrees.

    Raises
    ------
    UsageError
        It lies outside of where its CRS is defined.
    """
    with _ALONE:
        crs = _crs(image.crs)
        _degrees(image, crs)
        west, south, east, north = _to_degrees(crs).transform_bounds(*image.bounds)
        return west, south, east, north


def area_of_use(name: str) -> Degrees | None:
    """West, south, east and north of where a CRS is meant to be used; None where nobody says so."""
    with _ALONE:
        area = _crs(name).area_of_use
    return area.bounds if area else None


@lru_cache(maxsize=64)
def _to_degrees(crs: CRS) -> Transformer:
    from pyproj import Transformer

    return Transformer.from_crs(crs, crs.geodetic_crs or "EPSG:4326", always_xy=True)


def _degrees(image: Grid, crs: CRS) -> Degrees:
    """West, south, east, north of the middle of an image: where it is, wide enough for no more than that."""
    left, bottom, right, top = image.bounds
    longitude, latitude = _to_degrees(crs).transform((left + right) / 2, (bottom + top) / 2)
    if not (np.isfinite(longitude) and np.isfinite(latitude)):
        raise UsageError(f"the image lies outside of where its CRS {image.crs.partition('[')[0]} is defined")
    return longitude, latitude, longitude, latitude


def _no_way(source: str, target: str) -> UsageError:
    return UsageError(
        f"PROJ knows no way from {source.partition('[')[0]} to {target.partition('[')[0]}: name another grid"
    )


def _check_datum(operation: Transformer, target: CRS) -> None:
    """Refuse a datum, other than one near WGS 84, to which PROJ would go without a shift."""
    geodetic = target.geodetic_crs
    datum, ellipsoid = (geodetic.datum, geodetic.ellipsoid) if geodetic else (None, None)
    # A sphere that stands for no datum, as that of MODIS, takes latitudes as they are.
    if "Ballpark" not in operation.description or datum is None or datum.name.lower().startswith("unknown"):
        return
    sphere = ellipsoid is None or ellipsoid.inverse_flattening == 0
    if ellipsoid is not None and not sphere and abs(ellipsoid.semi_major_metre - WGS84_AXIS) > AXIS_SLACK:
        raise UsageError(
            f"datum {datum.name!r} lies up to hundreds of metres off, and this PROJ has no shift to it: "
            "choose a grid on WGS 84, or install the package proj-data"
        )


def _map_edges(target: CRS) -> tuple[float, float] | None:
    """Where a map repeats: x of longitudes 180 degrees left and right of its middle."""
    from pyproj import Proj

    if target.is_geographic:
        return -180.0, 180.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that PROJ's old strings lose the datum, which is not asked for
        facts = target.to_dict()
        if facts.get("proj") not in CYLINDRICAL:
            return None
        middle = float(facts.get("lon_0", 0))
        x, _ = Proj(target)(np.array([middle, middle + 90]), np.zeros(2))
    return float(x[0] - 2 * (x[1] - x[0])), float(x[0] + 2 * (x[1] - x[0]))
