"""Finished products of one grid as a Dataset over time, straight from their files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from landsat_downsample.api import array_values
from landsat_downsample.api.array_blocks import token
from landsat_downsample.api.array_grid import georeference
from landsat_downsample.api.lazy_bands import band_attributes
from landsat_downsample.batch import time_range
from landsat_downsample.cubes.cell_blocks import FileBand, Part, block
from landsat_downsample.cubes.common_grid import Bounds, CommonGrid, bounds_of
from landsat_downsample.cubes.found_products import found_products
from landsat_downsample.cubes.passes import Date, dates
from landsat_downsample.cubes.reduced_scene import DECISIVE, Layer, ReducedScene
from landsat_downsample.errors import UsageError
from landsat_downsample.model import flags
from landsat_downsample.model.nearest import did_you_mean
from landsat_downsample.model.product import FRACTIONS
from landsat_downsample.model.words import words

if TYPE_CHECKING:
    import dask.array as da
    import xarray as xr

#: Rows and columns of a chunk, of one date: products of coarse cells are mostly smaller.
CHUNK = 2048

#: A date's coordinates: property of its item -> name, what it is, units.
BY_TIME = {
    "platform": ("platform", "satellite", None),
    "landsat:wrs_path": ("wrs_path", "path of the Worldwide Reference System", None),
    "landsat:wrs_row": ("wrs_row", "row of the Worldwide Reference System", None),
    "eo:cloud_cover": ("cloud_cover", "cloud cover of the scene", "percent"),
    "view:sun_azimuth": ("sun_azimuth", "azimuth of the sun at the centre of the scene", "degree"),
    "view:sun_elevation": ("sun_elevation", "elevation of the sun at the centre of the scene", "degree"),
}


def open_products(
    source: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    names: Iterable[str] | str | None = None,
    *,
    datetime: str | None = None,
    bounds: Bounds | None = None,
    geometry: Any = None,
    group: str | None = None,
    masked: bool = False,
    scaled: bool = False,
) -> xr.Dataset:
    """Open the products of a destination lazily, as a Dataset over time: only their items are read.

    Parameters
    ----------
    source : str, path or iterable of them
        Destinations of `run`, folders of products, their STAC items, or ``@LIST``.
    names : iterable of str, optional
        Variables, each by common name (``red``), which means the same for all sensors, or by USGS name (``SR_B4``);
        statistics as ``red_STD``, shares of QA_FRACTIONS as ``cloud``. By default all, by common name.
    datetime : str, optional
        A date, month, year or range, as STAC writes them: ``2023-06/2023-08``.
    bounds : (float, float, float, float), optional
        (left, bottom, right, top) of the cells to open, in units of the products' CRS.
    geometry : optional
        In place of bounds: GeoJSON or what has ``__geo_interface__``, in longitude and latitude, whose bounds count.
    group : str, optional
        ``pass``: the rows of a path that a satellite took in one pass are one date. A cell that several of them have
        is taken whole from the one with most valid pixels of it.
    masked, scaled : bool
        As of `Scene.dataset`: NaN where there is no data; physical units too. Stored values by default.

    Returns
    -------
    xarray.Dataset
        Variables (time, y, x), backed by dask, a chunk for each date. Where a date has no cells, or no such band: the
        variable's nodata value. By time: product, platform, path, row, cloud cover and place of the sun.

    Raises
    ------
    UsageError
        There are no products, they share no grid, were made by different rules, or none has such a variable.
    SceneError
        An item is not of a product of this library.
    ReadError
        An item cannot be read.

    Examples
    --------
    >>> done = ld.run(ld.plan(scene, "out", factor=50, bands=["red", "qa_pixel"]))
    >>> cube = ld.open_products("out", ["red", "qa_pixel"], scaled=True)
    >>> cube["red"].dims, cube["red"].shape, cube["platform"].item()
    (('time', 'y', 'x'), (1, 11, 13), 'landsat-8')
    """
    if bounds is not None and geometry is not None:
        raise UsageError("bounds and geometry are two answers to one question: give one of them")
    scenes = _in_time(found_products(source), datetime)
    common = CommonGrid.of(scenes)
    if geometry is not None:
        bounds = bounds_of(geometry, common.grid.crs)
    if bounds is not None:
        common = common.within(bounds)
        scenes = [scene for scene in scenes if common.touches(scene)]
    if not scenes:
        raise UsageError("no product touches these bounds")
    return _dataset(dates(scenes, group), common, names, how="scaled" if scaled else "masked" if masked else "")


def _in_time(scenes: Sequence[ReducedScene], text: str | None) -> list[ReducedScene]:
    if text is None:
        return list(scenes)
    first, last = (
        None if one is None else np.datetime64(one.replace(tzinfo=None), "ns") for one in time_range.parse(text)
    )
    found = [
        scene
        for scene in scenes
        if scene.time is not None and (first is None or scene.time >= first) and (last is None or scene.time <= last)
    ]
    if not found:
        raise UsageError(f"datetime {text!r}: none of the {len(scenes)} products is of that time")
    return found


def _dataset(series: Sequence[Date], common: CommonGrid, names: Iterable[str] | str | None, how: str) -> xr.Dataset:
    import xarray as xr

    scenes = [scene for date in series for scene in date]
    made = {}
    for name, layers in _chosen(scenes, names).items():
        made[name] = _variable(name, layers, series, common)
    if how:
        made = {name: _changed(array, how) for name, array in made.items()}
    return xr.Dataset(made, coords=_coordinates(series), attrs=_attributes(scenes))


def _changed(array: xr.DataArray, how: str) -> xr.DataArray:
    """In physical units, or NaN where there is no data; counts and shares have no other units."""
    plain = array.attrs.get("units") in ("pixel", "percent")
    return array_values.scaled(array) if how == "scaled" and not plain else array_values.masked(array)


#: The layer of each product that has it.
Layers = dict[int, Layer]


def _chosen(scenes: Sequence[ReducedScene], names: Iterable[str] | str | None) -> dict[str, Layers]:
    """The layers that each name means."""
    if names is None:
        names = dict.fromkeys(layer.common_name for scene in scenes for layer in scene.layers.values())
    chosen: dict[str, Layers] = {}
    for name in words(names):
        if name.upper() == FRACTIONS:
            shares = dict.fromkeys(la.share for scene in scenes for la in scene.layers.values() if la.share)
            chosen |= {share: _named(scenes, share) for share in shares}
        else:
            chosen[name] = _named(scenes, name)
    return chosen


def _named(scenes: Sequence[ReducedScene], name: str) -> Layers:
    found = {id(scene): layer for scene in scenes if (layer := scene.find(name))}
    if not found:
        have = dict.fromkeys(layer.common_name for scene in scenes for layer in scene.layers.values())
        raise UsageError(f"no product has {name!r}{did_you_mean(name, have)}: they have {', '.join(have)}")
    first = next(scene for scene in scenes if id(scene) in found)
    for scene in scenes:
        if id(scene) in found and (why := _differs(first, found[id(first)], scene, found[id(scene)])):
            raise UsageError(f"{name} of {first.id} and of {scene.id} is no series: {why}")
    return found


def _differs(one: ReducedScene, of_one: Layer, other: ReducedScene, of_other: Layer) -> str:
    """Why the values of two products are not comparable; empty where they are."""
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
            values = one.options.get(option), other.options.get(option)
            return f"{option} was {values[0]!r} for one and {values[1]!r} for the other: reduce both alike"
    return ""


def _variable(name: str, layers: Layers, series: Sequence[Date], common: CommonGrid) -> xr.DataArray:
    import xarray as xr

    some = next(iter(layers.values()))
    fill = _fill(some)
    data = _lazy(name, layers, series, common, fill)
    scene = next(scene for date in series for scene in date if id(scene) in layers)
    attrs = band_attributes(some.band, scene.sensor, scene.level)
    if len({(scene.sensor, scene.level) for date in series for scene in date if id(scene) in layers}) > 1:
        attrs = {key: value for key, value in attrs.items() if key not in ("landsat_sensor", "landsat_level")}
    if some.share:
        attrs = {"long_name": some.band.description or some.share, "units": "percent", "landsat_band": FRACTIONS}
    elif some.stat:
        attrs["long_name"] = some.band.description or attrs["long_name"]
    array = xr.DataArray(data, dims=("time", "y", "x"), name=name, attrs=attrs)
    array.encoding = {  # goes when pixels are computed
        "dtype": array.dtype.name,
        "preferred_chunks": dict(zip(array.dims, (part[0] for part in data.chunks), strict=True)),
    }
    return georeference(array, common.grid, None if some.stat == "count" else fill, common.lattice)


def _fill(layer: Layer) -> float | None:
    """What stands for no data: the nodata value, no pixels of a count, NaN of other floats; None where nothing does.

    Bit fields without a fill bit (QA_RADSAT) get one that none of them uses.
    """
    spec, nodata = layer.band.spec, layer.band.nodata
    if layer.stat == "count":
        return 0
    if nodata is None and layer.band.dtype.startswith("float"):
        return float("nan")
    if nodata is None and spec.fill is None and spec.kind == "bits" and layer.band.dtype == "uint16":
        return flags.OUTSIDE
    return spec.fill if nodata is None else nodata


def _lazy(name: str, layers: Layers, series: Sequence[Date], common: CommonGrid, fill: float | None) -> da.Array:
    import dask.array as da

    height, width = common.grid.shape
    dtype = next(iter(layers.values())).band.dtype
    steps = [da.core.normalize_chunks(CHUNK, (size,))[0] for size in (height, width)]
    key = f"products-{name}-{token((name, common.grid, fill, [(la.band.href, la.number) for la in layers.values()]))}"
    graph: dict[tuple[Any, ...], Any] = {}
    for at, date in enumerate(series):
        row = 0
        for i, high in enumerate(steps[0]):
            column = 0
            for j, wide in enumerate(steps[1]):
                parts = _parts(date, layers, common, (row, row + high, column, column + wide))
                if fill is None and (not parts or parts[0].window != (0, high, 0, wide)):
                    raise UsageError(
                        f"{name} has no nodata value, and products do not all have the same cells: open them apart"
                    )
                graph[key, at, i, j] = (block, parts, (high, wide), dtype, fill)
                column += wide
            row += high
    return da.Array(graph, key, ((1,) * len(series), *steps), dtype)


def _parts(date: Date, layers: Layers, common: CommonGrid, wanted: tuple[int, int, int, int]) -> list[Part]:
    """What each product of a date gives to some rows and columns of the common grid."""
    parts = []
    for scene in date:
        layer = layers.get(id(scene))
        if layer is None:
            continue
        row, column = common.place(scene)
        height, width = layer.band.grid.shape
        first, last = max(wanted[0], row), min(wanted[1], row + height)
        left, right = max(wanted[2], column), min(wanted[3], column + width)
        if first < last and left < right:
            weight = _weight(scene, layer) if len(date) > 1 else None
            window = (first - row, last - row, left - column, right - column)
            parts.append(Part(FileBand.of(layer), window, (first - wanted[0], left - wanted[2]), weight))
    return parts


def _weight(scene: ReducedScene, layer: Layer) -> FileBand | None:
    """How many valid pixels of a band each cell has: its count where it was kept, else the share by QA_PIXEL."""
    found = scene.layers.get(f"{layer.band.name}_COUNT") or scene.layers.get("valid")
    return FileBand.of(found) if found else None


def _coordinates(series: Sequence[Date]) -> dict[str, Any]:
    times = [date[0].time for date in series]
    coordinates: dict[str, Any] = {
        "time": ("time", np.array(times, "datetime64[ns]"), {"standard_name": "time", "long_name": "time, UTC"}),
        "product": ("time", [" ".join(scene.id for scene in date) for date in series], {"long_name": "source scenes"}),
    }
    for key, (name, title, unit) in BY_TIME.items():
        values = [[scene.properties.get(key) for scene in date] for date in series]
        if unit:  # of several rows their mean
            found = [np.mean([one for one in some if one is not None] or [np.nan]) for some in values]
            coordinates[name] = ("time", np.array(found, "float64"), {"long_name": title, "units": unit})
        else:
            texts = [" ".join(dict.fromkeys(str(one) for one in some if one is not None)) for some in values]
            coordinates[name] = ("time", texts, {"long_name": title})
    return coordinates


def _attributes(scenes: Sequence[ReducedScene]) -> dict[str, Any]:
    return {
        "Conventions": "CF-1.11",
        "title": f"{len(scenes)} Landsat scenes, downsampled",
        "landsat_grid": scenes[0].grid_name,
    }
