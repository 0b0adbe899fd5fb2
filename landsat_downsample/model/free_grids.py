"""Grids that have no name of their own: multiples of a size in any CRS, and those that other rasters lie on."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import cache

from affine import Affine

from landsat_downsample.errors import UsageError
from landsat_downsample.model.crs import known_crs, same_crs
from landsat_downsample.model.lattice import Lattice
from landsat_downsample.model.named_grids import record
from landsat_downsample.model.target_grid import TargetGrid, decimal

#: Of a cell: what is so near to the cells of MODIS is meant to be them.
NEAR = Fraction(1, 1000)


@cache
def at_size(word: str) -> TargetGrid:
    """Understand ``CRS@SIZE`` or ``CRS@X,Y``: cells on multiples of their size, counted from (0, 0).

    >>> at_size("epsg:3035@500").name, at_size("EPSG:4326@1/112,0.01").lattice.cell
    ('EPSG:3035@500', (Fraction(1, 100), Fraction(1, 112)))

    Raises
    ------
    UsageError
        The CRS is unknown or no map, or the size is no number.
    """
    crs, _, size = word.strip().rpartition("@")
    if re.fullmatch(r"\w+:\w+", crs):
        crs = crs.upper()
    return on_multiples(crs, size, crs)


def on_multiples(crs: str, size: str, name: str) -> TargetGrid:
    """Cells on multiples of their size in a CRS, which goes by a name."""
    check_crs(crs, name)
    sides = [side.strip() for side in size.split(",")]
    numbers = [re.fullmatch(r"(\d+(?:\.\d+)?|\d+/[1-9]\d*)", side) for side in sides]
    if not all(numbers) or len(sides) > 2 or not all(Fraction(side) for side in sides):
        raise UsageError(f"grid '{name}@{size}': {size!r} is no cell size; give one number or X,Y in units of the CRS")
    wide, high = Fraction(sides[0]), Fraction(sides[-1])
    check_sphere(crs, wide, name)
    words = dict.fromkeys((decimal(wide), decimal(high)))
    return TargetGrid(f"{name}@{','.join(words)}", Lattice(crs, (Fraction(0), Fraction(0)), (high, wide)))


def of_raster(crs: str, transform: Affine, shape: tuple[int, int], name: str) -> TargetGrid:
    """The grid of another raster: its cells, as far as it reaches; rows from south to north are turned.

    Raises
    ------
    UsageError
        It is rotated or mirrored, or its CRS is no map.
    """
    from rasterio.crs import CRS

    check_crs(crs, name)
    if transform.b or transform.d:
        raise UsageError(f"grid {name!r} is rotated: give a raster whose rows run from west to east; warp it first")
    height, width = (int(side) for side in shape)
    if transform.a <= 0 or not transform.e or height < 1 or width < 1:
        raise UsageError(
            f"grid {name!r} of {height} x {width} cells of ({transform.a:g}, {transform.e:g}) is none: x must grow to "
            "the east, and there must be cells"
        )
    cell = abs(meant_float(transform.e)), meant_float(transform.a)
    top, left = meant_float(transform.f), meant_float(transform.c)
    if transform.e > 0:
        top += height * cell[0]
    check_sphere(crs, cell[1], name)
    wraps = CRS.from_user_input(crs).is_geographic and width * cell[1] == 360
    return TargetGrid(name, Lattice(crs, (top, left), cell), (height, width), wraps=wraps)


def meant_float(value: float) -> Fraction:
    """The fraction that a float is the nearest one to, if it is a simple one: 1/112 of a degree; else the float."""
    simple = Fraction(value).limit_denominator(100_000)
    return simple if float(simple) == value else Fraction(value)


def check_crs(crs: str, name: str) -> None:
    """Refuse what is no map of the Earth.

    Raises
    ------
    UsageError
        The CRS is unknown, geocentric or vertical.
    """
    from rasterio.errors import CRSError

    try:
        known = known_crs(crs)
    except CRSError:
        raise UsageError(f"grid of CRS {name!r}: it is unknown; give a code such as EPSG:3035, or a file") from None
    if not (known.is_projected or known.is_geographic):
        raise UsageError(f"grid of CRS {name!r}: it is neither projected nor geographic; give one that is")


def check_sphere(crs: str, cell: Fraction, name: str) -> None:
    """Refuse cells of MODIS in another sinusoidal projection than that of MODIS.

    Raises
    ------
    UsageError
        ESRI:54008, for one, is that of the WGS84 ellipsoid, where places lie up to 28 km off.
    """
    from rasterio.crs import CRS

    modis = record()["families"]["modis"], record()["families"]["viirs"]
    sizes = {label: size["cell"] for family in modis for label, size in family["sizes"].items()}
    meant = next((k for k, (span, n) in sizes.items() if abs(cell * n / Fraction(span) - 1) < NEAR), None)
    if meant is None or same_crs(crs, record()["crs"]["sinusoidal"]):
        return
    known = CRS.from_user_input(crs).to_dict()
    if known.get("proj") == "sinu" and not known.get("lon_0"):
        family = "viirs" if meant == "375m" else "modis"
        raise UsageError(
            f"grid of CRS {name!r} has cells of MODIS, but is not on its sphere of 6371007.181 m: places lie up to "
            f"28 km off (on WGS84); give {family}:{meant}"
        )
