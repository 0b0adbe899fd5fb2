"""Products in time on the grid they share: which variables they make, and of which files each block of one comes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from landsat_downsample import __version__
from landsat_downsample.cubes.cell_blocks import FileBand, IndexOfFiles, MarkedByQuality, Part, Window, source_of
from landsat_downsample.cubes.common_grid import Bounds, CommonGrid
from landsat_downsample.cubes.passes import Date, dates
from landsat_downsample.cubes.reduced_scene import DECISIVE, Layer, ReducedScene
from landsat_downsample.errors import UsageError
from landsat_downsample.model.band import Band
from landsat_downsample.model.band_attributes import (
    TIME,
    band_attributes,
    index_attributes,
    reduced_attributes,
    share_attributes,
)
from landsat_downsample.model.indices import INDEX_OF_MEANS, called, index_of
from landsat_downsample.model.nearest import did_you_mean
from landsat_downsample.model.product import FRACTIONS
from landsat_downsample.model.words import names_or_all

#: A date's coordinates: property of items -> name, attributes.
BY_TIME = {
    "platform": ("platform", {"standard_name": "platform_name", "long_name": "satellite"}),
    "landsat:wrs_path": ("wrs_path", {"long_name": "path of the Worldwide Reference System"}),
    "landsat:wrs_row": ("wrs_row", {"long_name": "row of the Worldwide Reference System"}),
    "eo:cloud_cover": (
        "cloud_cover",
        {"standard_name": "cloud_area_fraction", "long_name": "cloud cover of the scene", "units": "percent"},
    ),
    "view:sun_azimuth": (
        "sun_azimuth",
        {
            "standard_name": "solar_azimuth_angle",
            "long_name": "azimuth of the sun at the centre of the scene",
            "units": "degree",
        },
    ),
    "view:sun_elevation": (
        "sun_elevation",
        {
            "standard_name": "solar_elevation_angle",
            "long_name": "elevation of the sun at the centre of the scene",
            "units": "degree",
        },
    ),
}

#: Dimension, values, attributes: what xarray makes a variable of.
Coordinate = tuple[str, Any, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable of a series: the layer of each product that has it."""

    name: str
    layers: dict[str, Layer] = field(repr=False)
    """By the place of the product's item."""

    @classmethod
    def of(cls, scenes: Sequence[ReducedScene], name: str, *, exact: bool = False) -> Variable:
        """Find it in the products that have it; of an `exact` name, in those of which it is the common name.

        Raises
        ------
        UsageError
            None has, or what they have of it cannot be compared.
        """
        having = [(scene, layer) for scene in scenes if (layer := scene.find(name, exact=exact))]
        having = [(scene, layer) for scene, layer in having if layer.share] or having
        if not having:
            have = _all_names(scenes)
            if index := called(name):
                without = [band for band in index[0].bands if band not in have] or ["all of its bands"]
                raise UsageError(f"no product has {name!r}, nor {', '.join(without)}: they have {', '.join(have)}")
            raise UsageError(f"no product has {name!r}{did_you_mean(name, have)}: they have {', '.join(have)}")
        for scene, layer in having[1:]:
            if why := _differs(*having[0], scene, layer):
                raise UsageError(
                    f"{name} of {having[0][0].id} and of {scene.id} is no series: {why}; or name other variables"
                )
        return cls(name, {scene.location.href: layer for scene, layer in having})

    @property
    def first(self) -> Layer:
        """The layer of the first product that has it: the others are stored alike."""
        return next(iter(self.layers.values()))

    @property
    def dtype(self) -> str:
        """Stored type."""
        return self.first.band.dtype

    @property
    def fill(self) -> float | None:
        """What stands for no data: as products mark it, else a number that no cell has; None where none is known."""
        return _unused(self.first.band) if self.marked is None else self.marked

    @property
    def marked(self) -> float | None:
        """What cells of products hold that have no data: the nodata value, no pixels of a count, NaN of floats."""
        layer = self.first
        if layer.stat == "count":
            return 0
        if layer.band.nodata is None and layer.band.dtype.startswith("float"):
            return float("nan")
        return layer.band.spec.fill if layer.band.nodata is None else layer.band.nodata

    def attributes(self, scenes: Iterable[ReducedScene]) -> dict[str, Any]:
        """What it says of itself."""
        layer, described = self.first, self.first.band.description
        if layer.share:
            return share_attributes(layer.share, described)
        tables = {(scene.sensor, scene.level) for scene in scenes if scene.location.href in self.layers}
        attrs = band_attributes(layer.band, *(tables.pop() if len(tables) == 1 else (None, None)))
        if index := called(layer.band.name):
            attrs |= index_attributes(*index)
        if layer.stat:  # an offset is none of a deviation's, nor any scale a count's: only what the file says holds
            attrs["landsat_statistic"] = layer.stat
            said = {"long_name": described, "scale_factor": layer.band.scale, "add_offset": layer.band.offset}
            attrs = {key: value for key, value in attrs.items() if key not in said or key == "long_name"}
            attrs |= {key: value for key, value in said.items() if value is not None}
        lost = layer.stat != "" and layer.band.scale is None and layer.band.spec.scale is not None
        return reduced_attributes(attrs, layer.method, stored=lost)


@dataclass(frozen=True, slots=True)
class Series:
    """Dates of products that lie on one grid."""

    common: CommonGrid
    dates: tuple[Date, ...]
    variables: tuple[Variable, ...]

    @classmethod
    def of(
        cls,
        common: CommonGrid,
        dates: Sequence[Date],
        names: Iterable[str] | str | None,
        *,
        indices: Iterable[str] = (),
        exact: Collection[str] = (),
    ) -> Series:
        """Find the variables that are asked for; all by default, by the names that mean the same for all sensors.

        `exact` are those of `names` that mean bands of this common name alone: HLS has ``nir08`` of both satellites,
        and a wider ``nir`` of Sentinel-2; elsewhere ``nir`` is a word for ``nir08``.

        Raises
        ------
        UsageError
            No product has one, or what products have of it cannot be compared.
        """
        scenes = [scene for date in dates for scene in date]
        chosen = names_or_all(names)
        if chosen is None:
            chosen = exact = tuple(_all_names(scenes))
        wanted = dict.fromkeys((*_with_shares(scenes, chosen), *as_made(scenes, indices)))
        return cls(common, tuple(dates), tuple(Variable.of(scenes, name, exact=name in exact) for name in wanted))

    @classmethod
    def begun(
        cls,
        scenes: Sequence[ReducedScene],
        names: Iterable[str] | str | None,
        bounds: Bounds | None = None,
        group: str | None = None,
        indices: Iterable[str] = (),
    ) -> Series:
        """All dates of products, on the cells that they have together or on those of an area.

        Raises
        ------
        UsageError
            They share no grid, or none touches the area; else as of `of`.
        """
        common = CommonGrid.of(scenes)
        if bounds is not None:
            common = common.over(bounds)
            if not (scenes := [scene for scene in scenes if common.touches(scene)]):
                raise UsageError("no product touches these bounds")
        return cls.of(common, dates(scenes, group), names, indices=indices)

    @property
    def scenes(self) -> list[ReducedScene]:
        """All products."""
        return [scene for date in self.dates for scene in date]

    def parts(self, variable: Variable, at: int, wanted: Window) -> list[Part]:
        """What each product of a date gives to some rows and columns of the common grid.

        Raises
        ------
        UsageError
            Cells are missing of a variable that no value of says so.
        """
        date, parts = self.dates[at], []
        for scene in date:
            layer = variable.layers.get(scene.location.href)
            if layer is None:
                continue
            row, column = self.common.place(scene)
            height, width = layer.band.grid.shape
            first, last = max(wanted[0], row), min(wanted[1], row + height)
            left, right = max(wanted[2], column), min(wanted[3], column + width)
            if first < last and left < right:
                weight = _weight(scene, layer) if len(date) > 1 else None
                window = (first - row, last - row, left - column, right - column)
                source = _source(scene, layer, variable.fill)
                parts.append(Part(source, window, (first - wanted[0], left - wanted[2]), weight))
        whole = (0, wanted[1] - wanted[0], 0, wanted[3] - wanted[2])
        if (
            variable.layers
            and variable.fill is None
            and not any(part.at == (0, 0) and _size(part) == whole[1::2] for part in parts)
        ):
            raise UsageError(
                f"{variable.name} has no nodata value, and products do not all have the same cells: open them apart"
            )
        return parts

    def decisive(self, variable: Variable) -> dict[str, Any]:
        """Options of the products of a variable that decide what cells hold."""
        scene = next(scene for scene in self.scenes if scene.location.href in variable.layers)
        return {option: scene.options.get(option) for option in DECISIVE}

    def coordinates(self) -> dict[str, Coordinate]:
        """What is known of each date."""
        times = np.array([date[0].time for date in self.dates], "datetime64[ns]")
        ids = [" ".join(dict.fromkeys(scene.id for scene in date)) for date in self.dates]
        found: dict[str, Coordinate] = {
            "time": ("time", times, TIME | {"axis": "T"}),
            "product": ("time", ids, {"long_name": "source scenes"}),
        }
        for key, (name, attrs) in BY_TIME.items():
            values = [[scene.properties.get(key) for scene in date] for date in self.dates]
            if "units" in attrs:  # of several rows their mean
                means = [np.mean([one for one in some if one is not None] or [np.nan]) for some in values]
                found[name] = ("time", np.array(means, "float64"), dict(attrs))
            else:
                texts = [" ".join(dict.fromkeys(str(one) for one in some if one is not None)) for some in values]
                found[name] = ("time", texts, dict(attrs))
        return found

    def attributes(self) -> dict[str, Any]:
        """What a Dataset of them says of itself."""
        return {
            "Conventions": "CF-1.11",
            "title": "Landsat scenes, downsampled",
            "history": f"dates put together by landsat-downsample {__version__}",
            "landsat_grid": self.scenes[0].grid_name,
        }


def as_made(scenes: Sequence[ReducedScene], indices: Iterable[str]) -> list[str]:
    """Names of variables of indices: those of files where all products have them, else of means."""
    means = {name: index_of(name).spec(INDEX_OF_MEANS).asset_key for name in indices}
    return [name if all(scene.find(name) for scene in scenes) else means[name] for name in means]


def _all_names(scenes: Sequence[ReducedScene]) -> Iterable[str]:
    return dict.fromkeys(layer.common_name for scene in scenes for layer in scene.layers.values())


def _with_shares(scenes: Sequence[ReducedScene], names: Iterable[str]) -> Iterator[str]:
    """Names, in place of QA_FRACTIONS those of its shares."""
    for name in names:
        if name.upper() == FRACTIONS:
            yield from (layer.share for scene in scenes for layer in scene.layers.values() if layer.share)
        else:
            yield name


def _differs(one: ReducedScene, of_one: Layer, other: ReducedScene, of_other: Layer) -> str:
    """Why the values of two products cannot be compared; empty where they can."""
    if of_one.common_name != of_other.common_name:
        return (
            f"the name means {of_one.common_name} in one and {of_other.common_name} in the other: "
            "ask by common name, which means the same for all sensors"
        )
    for fact in ("dtype", "scale", "offset", "unit"):
        values = getattr(of_one.band, fact), getattr(of_other.band, fact)
        if values[0] != values[1]:
            return f"their {fact} is {values[0]} and {values[1]}: open them apart, or reduce both alike"
    if str(of_one.band.nodata) != str(of_other.band.nodata):
        return f"their nodata value is {of_one.band.nodata} and {of_other.band.nodata}"
    if of_one.method != of_other.method:
        return f"one was made by {of_one.method}, the other by {of_other.method}: reduce both alike"
    for option in DECISIVE:
        if one.options.get(option) != other.options.get(option):
            pair = one.options.get(option), other.options.get(option)
            return f"{option} was {pair[0]!r} for one and {pair[1]!r} for the other: reduce both alike"
    return ""


def _unused(band: Band) -> int | None:
    """A number that no cell of a band has, where the catalogue says which there may be.

    A bit that no table uses (QA_RADSAT, SR_CLOUD_QA), a class that is none (GM_B1); of angles the lowest of the type,
    as in US ARD.
    """
    spec, limits = band.spec, np.iinfo(band.dtype)
    if spec.dtype != band.dtype:
        return None
    if spec.kind == "bits":
        return 1 << (limits.bits - 1)
    return limits.max if spec.kind == "class" else limits.min or None


def _source(scene: ReducedScene, layer: Layer, fill: float | None) -> FileBand | IndexOfFiles | MarkedByQuality:
    spec, quality = layer.band.spec, scene.layers.get(layer.band.spec.fill_from or "")
    if spec.categorical or layer.stat or layer.band.nodata is not None or quality is None or fill is None:
        return source_of(layer)
    return MarkedByQuality(FileBand.of(layer), FileBand.of(quality), quality.band.spec, fill)


def _size(part: Part) -> tuple[int, int]:
    return part.window[1] - part.window[0], part.window[3] - part.window[2]


def _weight(scene: ReducedScene, layer: Layer) -> FileBand | None:
    """How many valid pixels of a band each cell has: its count where it was kept, else the share by QA_PIXEL."""
    found = scene.layers.get(f"{layer.band.name}_COUNT") or scene.layers.get("valid")
    return FileBand.of(found) if found else None
