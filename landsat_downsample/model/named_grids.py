"""Grids by the names that users know: the facts stand in ``grids.json``, each with its source."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from importlib import resources
from typing import Any

from landsat_downsample.errors import UsageError
from landsat_downsample.model.crs import utm_zone
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.lattice import Lattice
from landsat_downsample.model.mgrs import MgrsTiles
from landsat_downsample.model.nearest import did_you_mean
from landsat_downsample.model.target_grid import TargetGrid, decimal
from landsat_downsample.model.tiles import NumberedTiles

#: Other names of families.
ALIASES = {"mgrs": "hls"}

#: Zoom levels whose cells are not everywhere finer than a pixel.
ZOOMS = range(13)


@dataclass(frozen=True, slots=True)
class GridName:
    """A word for a grid, understood."""

    family: str
    cell: str
    """A size of its family as that writes it, metres, degrees or a zoom level."""
    region: str | None = None
    tile: str | None = None
    centred: bool = False
    """Whether cells have their centres, not their edges, on the multiples of their size."""

    @property
    def word(self) -> str:
        """The name as it should be written."""
        if self.family == "hls" and self.tile:
            return f"mgrs:{self.tile.removeprefix('T')}:{self.cell}"
        parts = (self.family, self.region, self.cell, self.tile, "center" if self.centred else None)
        return ":".join(filter(None, parts))


@cache
def record() -> dict[str, Any]:
    """What ``grids.json`` holds."""
    found: dict[str, Any] = json.loads(resources.files(__package__).joinpath("grids.json").read_text("utf-8"))
    for family in found["families"].values():
        if isinstance(family.get("sizes"), str):
            family["sizes"] = found["families"][family["sizes"]]["sizes"]
    return found


def canonical(word: str) -> str:
    """The word for a grid as it should be written, so that equal requests are recorded alike.

    >>> canonical("MODIS:0.5km:h18v4"), canonical("mgrs:t32tqm:300"), canonical("latlon:1/20")
    ('modis:500m:h18v04', 'mgrs:32TQM:300', 'latlon:0.05')

    Raises
    ------
    UsageError
        There is no such grid, size, region or tile.

    Examples
    --------
    >>> canonical("MODIS:500m")
    'modis:500m'
    """
    return _parsed(word).word


def named(word: str, image: Grid) -> TargetGrid:
    """The grid that a word means, of an image where it depends on its place.

    Raises
    ------
    UsageError
        There is no such grid, or none where the image is.

    Examples
    --------
    >>> named("modis:500m", scene.grid).name
    'modis:500m'
    """
    name = _parsed(word)
    family = record()["families"][name.family]
    if "sizes" in family:
        return _of_sizes(name, family)
    if name.family == "latlon":
        return _degrees(name, family)
    if name.family == "hls":
        return _of_zone(name, family, image)
    if name.family == "web":
        return _zoom(name, family)
    return _in_region(name, family, image)


def listed() -> list[dict[str, Any]]:
    """What there is of each family, in JSON types.

    Examples
    --------
    >>> [grid["grid"] for grid in listed()][:3]
    ['modis', 'viirs', 'ease2-m']
    """
    found = []
    for name, family in record()["families"].items():
        sizes, tiles = family.get("sizes"), family.get("tiles", {})
        crs = family.get("crs", "UTM zone")
        found.append(
            {
                "grid": name,
                "title": family["title"],
                "crs": crs,
                "wkt": record()["crs"].get(crs) if sizes else None,
                "sizes": list(sizes) if sizes else family["free"],
                "regions": list(family.get("regions", ())),
                "tiles": tiles.get("looks"),
                "examples": [f"{name}:{size}" for size in family.get("examples") or list(sizes)[:1]],
                "sources": [record()["sources"][key] for key in family["source"]],
            }
        )
    return found


def examples() -> list[str]:
    """A word of each family and size.

    >>> examples()[:3]
    ['modis:1km', 'modis:500m', 'modis:250m']
    """
    families = record()["families"].items()
    return [f"{name}:{size}" for name, family in families for size in family.get("sizes") or family["examples"]]


@cache
def _parsed(word: str) -> GridName:
    head, *parts = word.strip().split(":")
    typed = head.lower()
    family_name = ALIASES.get(typed, typed)
    families = record()["families"]
    if family_name not in families:
        known = [*families, *ALIASES, "zone", "scene"]
        raise UsageError(
            f"grid {word!r} is unknown{did_you_mean(typed, known)}: choose zone, scene, one of {', '.join(families)} "
            "(the verb grids lists their sizes), CRS@SIZE such as EPSG:3035@500, or like:FILE"
        )
    family = families[family_name]
    cell, region, tile, centred = None, None, None, False
    for part in parts:
        if size := _size(part, family_name, family):
            cell = size
        elif part.upper() in family.get("regions", ()):
            region = part.upper()
        elif part.lower() in ("center", "centre") and family_name == "latlon":
            centred = True
        elif "tiles" in family and _TILE.match(part) and not _SIZE.fullmatch(part):
            tile = part
        else:
            raise UsageError(f"grid {word!r} has no {part!r}: {_offer(family_name, family)}")
    if cell is None:
        raise UsageError(f"grid {word!r} does not say how large its cells are: {_offer(family_name, family)}")
    name = GridName(family_name, cell, region, tile, centred)
    return GridName(family_name, cell, region, _tile(name, family, word), centred) if tile else name


#: A length, or none.
_NUMBER = r"(\d+(?:\.\d+)?)(m|km)?"
#: What looks like a size, if perhaps of another family, and what looks like a tile.
_SIZE, _TILE = re.compile(rf"{_NUMBER}|z\d+"), re.compile(r"[a-z]*\d", re.IGNORECASE)


def _offer(name: str, family: dict[str, Any]) -> str:
    """How words of a family look."""
    given = list(family.get("sizes") or family["examples"])
    return f"give {' or '.join(f'{name}:{size}' for size in given)}"


def _size(part: str, name: str, family: dict[str, Any]) -> str | None:
    """A size as its family writes it; None where the part is none of its sizes."""
    text = part.strip().lower()
    if name == "web":
        return text if re.fullmatch(r"z\d{1,2}", text) and int(text[1:]) in ZOOMS else None
    if name == "latlon":
        if not re.fullmatch(r"\d+(\.\d+)?|\d+/[1-9]\d*", text):
            return None
        degrees = Fraction(text)
        if not degrees or 180 % degrees:
            raise UsageError(f"grid {name}:{part}: such cells do not divide 180 degrees; give one that does, as 0.05")
        return decimal(degrees)
    found = re.fullmatch(_NUMBER, text)
    if not found:
        return None
    metres = Fraction(found[1]) * (1000 if found[2] == "km" else 1)
    if "sizes" not in family:
        return decimal(metres) if metres else None
    return next((size for size in family["sizes"] if _metres(size) == metres), None)


def _metres(size: str) -> Fraction:
    return Fraction(size.removesuffix("km")) * 1000 if size.endswith("km") else Fraction(size.removesuffix("m"))


def _tile(name: GridName, family: dict[str, Any], word: str) -> str:
    """The tile of a name as it should be written."""
    if "regions" in family and not name.region:
        regions = " or ".join(f"{name.family}:{region}:{name.cell}:{name.tile}" for region in family["regions"])
        raise UsageError(f"grid {word!r} does not say the region of its tile: give {regions}")
    tiles = _tiles(name, family)
    if tiles is None:
        raise UsageError(f"grid {word!r}: {_uneven(name, family)}")
    try:
        return tiles.find(name.tile or "")[0]
    except UsageError as error:
        raise UsageError(f"grid {word!r}: {error}") from None


def _uneven(name: GridName, family: dict[str, Any]) -> str:
    side, cell = family["tiles"]["side"], Fraction(name.cell)
    whole = [size for size in range(30, side + 1, 10) if side % size == 0]
    near = sorted(sorted(whole, key=lambda size: abs(size - cell))[:2])
    return f"tiles of {side} m hold no whole number of such cells; {near[0]} m and {near[1]} m divide them"


def _tiles(name: GridName, family: dict[str, Any], zone: int | None = None) -> NumberedTiles | MgrsTiles | None:
    """The tiles of a grid; None where it has none, or none that hold whole cells."""
    scheme = family.get("tiles")
    if scheme is None:
        return None
    if name.family == "web":
        count = 2 ** int(name.cell[1:])
        return NumberedTiles(scheme["pattern"], (256, 256), (count, count))
    if "sizes" in family:
        side = family["sizes"][name.cell]["tile"]
        return NumberedTiles(scheme["pattern"], (side, side), tuple(scheme["count"]))
    cell = Fraction(name.cell)
    if scheme["side"] % cell:
        return None
    if name.family == "hls":
        return MgrsTiles(cell, zone)
    side, region = int(scheme["side"] / cell), family.get("regions", {}).get(name.region, {})
    count = tuple(region["count"]) if region else None
    return NumberedTiles(scheme["pattern"], (side, side), count, scheme.get("northward", False))


def _corner(given: list[str]) -> tuple[Fraction, Fraction]:
    x, y = map(Fraction, given)
    return y, x


def _of_sizes(name: GridName, family: dict[str, Any]) -> TargetGrid:
    size = family["sizes"][name.cell]
    span, parts = size["cell"]
    cell, tiles = Fraction(span) / parts, _tiles(name, family)
    shape = size.get("shape") or [count * size["tile"] for count in family["tiles"]["count"]]
    crs = record()["crs"].get(family["crs"], family["crs"])
    lattice = Lattice(crs, _corner(size.get("upper_left") or family["upper_left"]), (cell, cell))
    return TargetGrid(name.word, lattice, tuple(shape), tiles, name.tile, family.get("wraps", False))


def _degrees(name: GridName, family: dict[str, Any]) -> TargetGrid:
    cell = Fraction(name.cell)
    ahead = cell / 2 if name.centred else Fraction(0)
    shape = int(180 / cell) + name.centred, int(360 / cell)
    lattice = Lattice(family["crs"], (90 + ahead, -180 - ahead), (cell, cell))
    return TargetGrid(name.word, lattice, shape, wraps=True)


def _zoom(name: GridName, family: dict[str, Any]) -> TargetGrid:
    y, x = _corner(family["upper_left"])
    side = 256 * 2 ** int(name.cell[1:])
    lattice = Lattice(family["crs"], (y, x), (2 * y / side, 2 * y / side))
    return TargetGrid(name.word, lattice, (side, side), _tiles(name, family), name.tile, wraps=True)


def _of_zone(name: GridName, family: dict[str, Any], image: Grid) -> TargetGrid:
    """Of HLS: a tile, or the cells of the image's zone, counted as Sentinel-2 and HLS count their pixels."""
    cell = Fraction(name.cell)
    if name.tile:
        tile, lattice = MgrsTiles(cell).find(name.tile)
        tiles = MgrsTiles(cell, utm_zone(lattice.crs))
        return TargetGrid(name.word, lattice, None, tiles).of_tile(tile)
    zone = utm_zone(image.crs)
    if zone is None:
        raise UsageError(
            f"grid {name.word} is that of the scene's UTM zone, but the scene lies in none: name a tile, as 32TQM:300"
        )
    lattice = Lattice(f"EPSG:326{zone:02d}", (Fraction(0), Fraction(0)), (cell, cell))
    return TargetGrid(name.word, lattice, None, _tiles(name, family, zone))


def _in_region(name: GridName, family: dict[str, Any], image: Grid) -> TargetGrid:
    """Of ARD and DEA: cells of any size, counted from a corner that tiles are counted from."""
    regions, cell = family.get("regions"), Fraction(name.cell)
    region, crs = family, family["crs"]
    if regions:
        chosen = name.region or _region_of(image, family)
        name = GridName(name.family, name.cell, chosen, name.tile)
        region = regions[chosen]
        crs = _albers(region)
    shape = None
    if regions:
        rows, columns = (-(-count * family["tiles"]["side"] // cell) for count in region["count"])
        shape = int(rows), int(columns)
    lattice = Lattice(crs, _corner(region["upper_left"]), (cell, cell))
    return TargetGrid(name.word, lattice, shape, _tiles(name, family), name.tile)


def _albers(region: dict[str, Any]) -> str:
    template: str = record()["crs"]["albers"]
    return re.sub(r"\{(\d)\}", lambda found: str(region["parameters"][int(found[1])]), template)


def _region_of(image: Grid, family: dict[str, Any]) -> str:
    """The region in whose tiles the middle of an image lies."""
    from rasterio.warp import transform

    left, bottom, right, top = image.bounds
    for name, region in family["regions"].items():
        [x], [y] = transform(image.crs, _albers(region), [(left + right) / 2], [(bottom + top) / 2])
        north, west = _corner(region["upper_left"])
        down, across = ((far - near) / family["tiles"]["side"] for far, near in ((north, y), (x, west)))
        if 0 <= down < region["count"][0] and 0 <= across < region["count"][1]:
            return str(name)
    raise UsageError(
        f"the scene lies in none of the regions of {family['title']} ({', '.join(family['regions'])}): give another "
        "grid, or a region"
    )
