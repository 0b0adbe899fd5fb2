"""Finished products of one grid as a Dataset over time, straight from their files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from landsat_downsample.api import array_values
from landsat_downsample.api.array_blocks import token
from landsat_downsample.api.array_grid import georeference
from landsat_downsample.cubes.cell_blocks import block
from landsat_downsample.cubes.common_grid import Bounds, CommonGrid, bounds_of
from landsat_downsample.cubes.found_products import found_products, in_time
from landsat_downsample.cubes.passes import dates
from landsat_downsample.cubes.series import Series, Variable
from landsat_downsample.errors import UsageError

if TYPE_CHECKING:
    import dask.array as da
    import xarray as xr

#: Rows and columns of a chunk, of one date: products of coarse cells are mostly smaller.
CHUNK = 2048


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
        statistics as ``red_std``, shares of QA_FRACTIONS as ``cloud``. By default all, by common name.
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
    scenes = in_time(found_products(source), datetime)
    common = CommonGrid.of(scenes)
    if geometry is not None:
        bounds = bounds_of(geometry, common.grid.crs)
    if bounds is not None:
        common = common.within(bounds)
        scenes = [scene for scene in scenes if common.touches(scene)]
    if not scenes:
        raise UsageError("no product touches these bounds")
    series = Series.of(common, dates(scenes, group), names)
    return _dataset(series, "scaled" if scaled else "masked" if masked else "")


def _dataset(series: Series, how: str) -> xr.Dataset:
    import xarray as xr

    made = {variable.name: _array(series, variable) for variable in series.variables}
    dataset = xr.Dataset(made, coords=series.coordinates(), attrs=series.attributes())
    if how == "scaled":
        return array_values.scaled(dataset)
    return array_values.masked(dataset) if how else dataset


def _array(series: Series, variable: Variable) -> xr.DataArray:
    import xarray as xr

    data = _lazy(series, variable)
    attrs = variable.attributes(series.scenes)
    array = xr.DataArray(data, dims=("time", "y", "x"), name=variable.name, attrs=attrs)
    array.encoding = {  # goes when pixels are computed
        "dtype": array.dtype.name,
        "preferred_chunks": dict(zip(array.dims, (part[0] for part in data.chunks), strict=True)),
    }
    nodata = None if variable.first.stat == "count" else variable.fill
    return georeference(array, series.common.grid, nodata, series.common.lattice)


def _lazy(series: Series, variable: Variable) -> da.Array:
    import dask.array as da

    steps = [da.core.normalize_chunks(CHUNK, (size,))[0] for size in series.common.grid.shape]
    files = [(layer.band.href, layer.number) for layer in variable.layers.values()]
    key = f"products-{variable.name}-{token((variable.name, series.common.grid, variable.fill, files))}"
    rows, columns = ([sum(axis[:n]) for n in range(len(axis))] for axis in steps)
    graph: dict[tuple[Any, ...], Any] = {}
    for at in range(len(series.dates)):
        for i, high in enumerate(steps[0]):
            for j, wide in enumerate(steps[1]):
                parts = series.parts(variable, at, (rows[i], rows[i] + high, columns[j], columns[j] + wide))
                graph[key, at, i, j] = (block, parts, (high, wide), variable.dtype, variable.fill)
    return da.Array(graph, key, ((1,) * len(series.dates), *steps), variable.dtype)
