"""Where an array lies: its axes, and the grid that its coordinates say."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine

from landsat_downsample.errors import SceneError, UsageError
from landsat_downsample.model.crs import cf_axes
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.lattice import Lattice
from landsat_downsample.scenes.header import crs_name

if TYPE_CHECKING:
    import xarray as xr

#: Names of (y, x) besides those that rioxarray knows (y, x, latitude, longitude, CF attributes); in any case.
AXES = (("y", "x"), ("lat", "lon"), ("lat", "long"), ("latitude", "longitude"), ("northing", "easting"))

#: Coordinates may be off by this part of a pixel, where rounding explains it.
ROUNDED = 0.1


def axes(array: xr.DataArray) -> tuple[Any, ...]:
    """Names of an array's spatial dimensions (y, x); empty if it has none."""
    from rioxarray.exceptions import MissingSpatialDimensionError

    try:
        return array.rio.y_dim, array.rio.x_dim
    except MissingSpatialDimensionError:
        spelled = {str(dim).lower(): dim for dim in array.dims}
        found = [(spelled[y], spelled[x]) for y, x in AXES if y in spelled and x in spelled]
        return found[0] if len(found) == 1 and len(spelled) == len(array.dims) else ()


def north_up(array: xr.DataArray) -> xr.DataArray:
    """The array as (..., y, x), its first row in the north.

    Raises
    ------
    SceneError
        It has no spatial dimensions or no CRS.
    UsageError
        Its pixels are no numbers.
    """
    names = axes(array)
    if not names:
        raise SceneError(
            f"cannot coarsen an array of dimensions {array.dims}: it needs y and x; "
            "say which they are with .rio.set_spatial_dims(x_dim=..., y_dim=...)"
        )
    _crs(array)
    if array.dtype.kind not in "uifb":
        raise UsageError(f"cannot coarsen {array.dtype} pixels: make numbers of them first, such as .astype('float32')")
    renamed = {old: new for old, new in zip(names, ("y", "x"), strict=True) if old != new}
    array = (array.rename(renamed) if renamed else array).transpose(..., "y", "x")
    if array.sizes["y"] > 1 and "y" in array.coords and array.y[0] < array.y[-1]:
        array = array.isel(y=slice(None, None, -1))
    return array


def _crs(array: xr.DataArray) -> str:
    name = crs_name(array.rio.crs)
    if name is None:
        raise SceneError("cannot coarsen an array without a CRS: give it one with .rio.write_crs('EPSG:...')")
    return name


def grid_of(array: xr.DataArray) -> Grid:
    """The grid that the coordinates say; the stored transform may be stale after a selection."""
    mapping = array.coords.get(array.rio.grid_mapping)
    written = mapping is not None and mapping.attrs.get("GeoTransform")  # else it is made of the coordinates
    stored = Affine.from_gdal(*map(float, written.split())) if written else array.rio.transform()
    (left, wide), (top, high) = (
        _axis(array, dim, edge, step, written=bool(written))
        for dim, edge, step in (("x", stored.c, stored.a), ("y", stored.f, stored.e))
    )
    shape = array.sizes["y"], array.sizes["x"]
    return Grid(shape, Affine(wide, 0.0, left, 0.0, high, top), _crs(array))


def _axis(array: xr.DataArray, dim: str, edge: float, step: float, *, written: bool) -> tuple[float, float]:
    """Outer edge and pixel size of an axis: the stored ones, shifted, where they explain the coordinates."""
    if dim not in array.coords:
        raise SceneError(f"cannot coarsen an array without {dim} coordinates: assign pixel centres to it")
    centre = np.asarray(array[dim], np.float64)
    if len(centre) == 1 and not written:  # rioxarray takes 1 for it
        raise SceneError(
            f"cannot coarsen: a single {dim} coordinate does not say how large a pixel is: "
            "give the array its transform with .rio.write_transform(...)"
        )
    index, slack = np.arange(len(centre)), _slack(centre)
    if not np.isfinite(centre).all() or not step:
        raise SceneError(f"cannot coarsen: the {dim} coordinates or its stored transform are no numbers of a grid")
    own = edge + round((centre[0] - edge) / step - 0.5) * step  # a selection moves the corner by whole pixels
    off = np.abs(own + (index + 0.5) * step - centre).max() / abs(step)
    if off <= max(1e-6, min(slack / abs(step), ROUNDED) if written else 0.0):
        return own, step
    if len(centre) == 1:
        return centre[0] - step / 2, step
    step = (centre[-1] - centre[0]) / (len(centre) - 1)
    off = np.abs(centre[0] + index * step - centre).max() / abs(step)
    if not off <= max(1e-3, min(2 * slack / abs(step), ROUNDED)):
        raise SceneError(
            f"cannot coarsen: the {dim} coordinates are not evenly spaced (by {off:.2g} of a pixel); "
            "was the array coarsened by xarray? It needs the pixel centres of a regular grid"
        )
    if off > 1e-6:  # the line that rounding leaves nearest to the exact one
        step, first = np.polyfit(index, centre, 1).tolist()
        return first - step / 2, step
    return centre[0] - step / 2, step


def _slack(centre: np.ndarray) -> float:
    """How far rounding may have moved coordinates: to float32, or to some digits after the point."""
    if len(centre) > 1 and (centre == centre.astype(np.float32)).all():
        return float(np.spacing(np.abs(centre).max().astype(np.float32)))
    digits = next((n for n in range(10) if (np.round(centre, n) == centre).all()), None)
    return 0.0 if digits is None else 0.5 * 10.0**-digits


def georeference(array: xr.DataArray, grid: Grid, nodata: float | None, lattice: Lattice | None = None) -> xr.DataArray:
    """An array (..., y, x) with the coordinates, transform and CRS of a grid, and its nodata value.

    Coordinates of a window of a lattice are the very same floats in all windows.
    """
    import rioxarray  # noqa: F401  (registers the .rio accessor)

    centres = lattice.centres(grid) if lattice else grid.coordinates()
    array = array.assign_coords(
        {name: (name, at, cf_axes(grid.crs)[name]) for name, at in zip("yx", centres, strict=True)}
    )
    for name in "yx":  # without it NetCDF's coordinates state NaN as fill, which CF forbids
        array[name].encoding["_FillValue"] = None
    array = array.rio.write_crs(grid.crs).rio.write_transform(grid.transform)
    return array if nodata is None else _stating(array, nodata)


def _stating(array: xr.DataArray, nodata: float) -> xr.DataArray:
    """State a nodata value: of codes and plain integers so that readers of NetCDF and Zarr do not make them floats.

    ``_FillValue`` does, whoever opens the file; what has a scale is meant to become floats.
    """
    if array.dtype.kind in "iu" and "scale_factor" not in array.attrs:
        return array.assign_attrs(nodata=array.dtype.type(nodata))
    stated: xr.DataArray = array.rio.write_nodata(nodata)
    return stated


def with_grid_mappings(dataset: xr.Dataset) -> xr.Dataset:
    """A Dataset whose grid mappings are coordinates: xarray opens NetCDF and Zarr with them among the variables."""
    return dataset.set_coords([name for name, array in dataset.data_vars.items() if "grid_mapping_name" in array.attrs])


def other_coordinates(array: xr.DataArray) -> dict[Hashable, Any]:
    """Coordinates that do not depend on the pixel: time, band ..."""
    return {
        name: coordinate.variable
        for name, coordinate in array.coords.items()
        if not {"y", "x"} & set(coordinate.dims) and "grid_mapping_name" not in coordinate.attrs
    }
