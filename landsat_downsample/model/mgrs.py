"""Tiles of HLS and Sentinel-2: squares of 109.8 km over those of 100 km of the Military Grid Reference System."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from landsat_downsample.errors import UsageError
from landsat_downsample.model.lattice import Lattice

SIDE = 109_800
SQUARE = 100_000
#: Of latitude from 80 south: 8 degrees each, the last one 12.
BANDS = "CDEFGHJKLMNPQRSTUVWX"
#: Columns of squares begin with A, J and S in turn, rows with A and F.
COLUMNS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
ROWS = "ABCDEFGHJKLMNPQRSTUV"
SCALE, RADIUS = 0.9996, 6_378_137
#: Zones of Norway and Svalbard that are wider, narrower or absent: degrees west and east of their middle.
WIDTHS = {
    (31, "V"): (-3, 0), (32, "V"): (-6, 3), (31, "X"): (-3, 6), (32, "X"): (0, 0), (33, "X"): (-6, 6),
    (34, "X"): (0, 0), (35, "X"): (-6, 6), (36, "X"): (0, 0), (37, "X"): (-6, 3),
}  # fmt: skip
LOOKS = "names look like T32TQM: UTM zone, latitude band, column and row of the square"


@dataclass(frozen=True, slots=True)
class MgrsTiles:
    """The tiles of one UTM zone, each with cells counted from its own corner: they overlap by 9.8 km."""

    cell: Fraction
    """Side of a cell, which divides that of a tile."""
    zone: int | None = None
    """None: of any zone."""

    def find(self, name: str) -> tuple[str, Lattice]:
        """The name as it should be written, and the cells of that tile, counted from its corner.

        Raises
        ------
        UsageError
            There is no such tile.
        """
        found = re.fullmatch(r"T?(\d{1,2})([C-HJ-NP-X])([A-HJ-NP-Z])([A-HJ-NP-V])", name.strip().upper())
        digits, band, column, row = found.groups() if found else ("0", "", "", "")
        zone = int(digits)
        easting = (COLUMNS.find(column) - (zone - 1) % 3 * 8 + 1) * SQUARE
        if not found or not 1 <= zone <= 60 or not 1 <= easting // SQUARE <= 8:
            raise UsageError(f"tile {name!r} is unknown: {LOOKS}")
        least, most = _latitudes(band)
        middle = _northing((least + most) / 2)
        northing = (ROWS.index(row) - (0 if zone % 2 else 5)) * SQUARE
        northing += round((middle - SQUARE / 2 - northing) / (20 * SQUARE)) * 20 * SQUARE
        low, high = _northing(least), _northing(most)
        if not (low - SQUARE < northing < high + SQUARE / 2 and _within_zone(zone, band, easting, northing)):
            raise UsageError(f"tile {name!r} is unknown: no such square lies in zone {zone}, band {band}")
        if self.zone not in (None, zone):
            raise UsageError(f"tile {name!r} lies in another zone than {self.zone}")
        crs = f"EPSG:326{zone:02d}"
        left, top = corner(easting, northing)
        return f"T{zone:02d}{band}{column}{row}", Lattice(crs, (Fraction(top), Fraction(left)), (self.cell, self.cell))

    def touched(self, bounds: tuple[float, float, float, float]) -> tuple[str, ...]:
        """Names of the tiles that an area (left, bottom, right, top) of the zone touches, row by row from the north."""
        left, bottom, right, top = bounds
        names = []
        for row in range(math.floor(top / SQUARE), math.floor(bottom / SQUARE) - 3, -1):
            for column in range(max(1, math.floor(left / SQUARE) - 2), min(8, math.floor(right / SQUARE)) + 1):
                west, north = corner(column * SQUARE, row * SQUARE)
                reached = west < right and west + SIDE > left and north - SIDE < top and north > bottom
                if reached and (name := self._name(column * SQUARE, row * SQUARE)):
                    names.append(name)
        return tuple(names)

    def to_dict(self) -> dict[str, Any]:
        """Describe it in JSON types."""
        return {"cell": str(self.cell), "zone": self.zone}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> MgrsTiles:
        """Make it from what `to_dict` gave."""
        return cls(Fraction(record["cell"]), record["zone"])

    def _name(self, easting: int, northing: int) -> str | None:
        """The name of a square of this zone; None where the zone does not reach so far."""
        zone = self.zone or 0
        latitude = _latitude(easting + SQUARE / 2, northing + SQUARE / 2)
        if not -80.5 <= latitude < 84.5:  # a square at either end reaches beyond it
            return None
        band = BANDS[min(max(math.floor((latitude + 80) / 8), 0), 19)]
        if not _within_zone(zone, band, easting, northing):
            return None
        column = COLUMNS[(zone - 1) % 3 * 8 + easting // SQUARE - 1]
        return f"T{zone:02d}{band}{column}{ROWS[(northing // SQUARE + (0 if zone % 2 else 5)) % 20]}"


def corner(easting: int, northing: int) -> tuple[int, int]:
    """(left, top) of the tile over a square, whose lower left corner is given, all in the northern zone's frame."""
    return easting // 60 * 60, -(-(northing + SQUARE) // 60) * 60


def _latitudes(band: str) -> tuple[int, int]:
    least = -80 + 8 * BANDS.index(band)
    return least, 84 if band == "X" else least + 8


def _northing(latitude: float) -> float:
    """Of a point on the zone's middle: the length of the WGS84 meridian, to metres."""
    angle = math.radians(latitude)
    return SCALE * (111_132.954 * latitude - 16_038.509 * math.sin(2 * angle) + 16.833 * math.sin(4 * angle))


def _latitude(easting: float, northing: float) -> float:
    """Of a point of a zone, to a hundredth of a degree."""
    latitude = northing / 111_100
    for _ in range(4):
        off = (easting - 500_000) ** 2 / (2 * RADIUS) * math.tan(math.radians(latitude))
        latitude += (northing - off - _northing(latitude)) / 111_100
    return latitude


def _within_zone(zone: int, band: str, easting: int, northing: int) -> bool:
    """Whether any of a square lies within its zone's degrees of longitude."""
    west, east = WIDTHS.get((zone, band), (-3, 3))
    nearest = min(abs(_latitude(500_000, northing + side)) for side in (0, SQUARE))
    degree = SCALE * RADIUS * math.cos(math.radians(nearest)) * math.radians(1)
    return west < east and west * degree < easting + SQUARE - 500_000 and easting - 500_000 < east * degree
