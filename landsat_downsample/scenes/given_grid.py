"""Grids that are given by something to read: another raster or cube, or a file that describes a CRS."""

from __future__ import annotations

import json
import os
import re
import warnings
from contextlib import ExitStack, suppress
from typing import Any

import rasterio
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError

from landsat_downsample.errors import LandsatDownsampleError, UsageError
from landsat_downsample.model.crs import known_crs
from landsat_downsample.model.free_grids import of_raster, on_multiples
from landsat_downsample.model.gdal import gdal_settings
from landsat_downsample.model.location import Location
from landsat_downsample.model.policy import Policy
from landsat_downsample.model.target_grid import TargetGrid
from landsat_downsample.scenes.header import OPTIONS, crs_name, open_raster
from landsat_downsample.scenes.open import open_with
from landsat_downsample.storage import files

#: What GDAL may open on this disk: formats that lead nowhere else.
DRIVERS = ("GTiff", "netCDF", "HDF4", "HDF5", "JP2OpenJPEG", "HFA", "ENVI", "AAIGrid")

LIKE = "like:"


def read_grid(word: str | TargetGrid | None, policy: Policy | None = None) -> str | TargetGrid | None:
    """A grid as it is asked for, with what ``like:HREF`` and ``FILE@SIZE`` lead to; other words as they are.

    Raises
    ------
    UsageError
        It leads to nothing that has a grid.
    ReadError
        It cannot be read.
    """
    if not isinstance(word, str):
        return word
    if word.lower().startswith(LIKE):
        return _like(word[len(LIKE) :], policy or Policy.from_environ())
    file, sign, size = word.rpartition("@")
    if not sign or re.fullmatch(r"\w+:\w+", file) or not file:
        return word
    return _described_by(Location.checked(file), size, policy or Policy.from_environ())


def of_placed(given: Any, name: str) -> TargetGrid:
    """The grid of what has ``crs``, ``transform`` and ``shape``, or ``.rio``: a GeoBox, a dataset, a DataArray.

    Raises
    ------
    UsageError
        It has no CRS, or no regular grid.
    """
    import rioxarray  # noqa: F401  (registers the .rio accessor)

    if hasattr(given, "rio"):
        return _of_array(given, name)
    transform = getattr(given, "transform", None)
    transform = given.affine if transform is None or callable(transform) else transform
    return of_raster(_crs(given.crs, name), rasterio.Affine(*tuple(transform)[:6]), tuple(given.shape), name)


def _of_array(array: Any, name: str) -> TargetGrid:
    try:
        shape, transform = (array.rio.height, array.rio.width), array.rio.transform(recalc=True)
        crs = array.rio.crs
    except Exception as error:  # rioxarray has several families of errors
        raise UsageError(f"grid {name!r} has none that is regular: {error}") from error
    return of_raster(_crs(crs, name), transform, shape, name)


def _crs(given: Any, name: str) -> str:
    try:
        found = crs_name(known_crs(given)) if given else None
    except CRSError:
        found = None
    if not found:
        raise UsageError(f"grid {name!r} has no CRS that is known: give it one first")
    return found


def _like(href: str, policy: Policy) -> TargetGrid:
    """The grid of a raster, cube, scene or product."""
    location = Location.checked(href)
    name = f"{LIKE}{location.name}"
    path = location.path if location.is_local else None
    if path and (path.rstrip("/").endswith((".zarr", ".nc", ".nc4"))):
        return _of_cube(path, location, name)
    if path and os.path.isfile(path) and not path.lower().endswith((".tif", ".tiff", ".json", ".txt", ".tar")):
        return _of_file(path, location, name)
    if location.name.lower().endswith((".tif", ".tiff")):
        with ExitStack() as stack, files.reading(location):
            file = stack.enter_context(files.header(files.FetchRequest(location, policy=policy)))
            stack.enter_context(gdal_settings(**OPTIONS))
            source = stack.enter_context(open_raster(file.gdal_path, location, pixels=False))
            return of_raster(_crs(source.crs, name), source.transform, source.shape, name)
    grid = open_with(policy, href).grid
    return of_raster(grid.crs, grid.transform, grid.shape, name)


def _of_file(path: str, location: Location, name: str) -> TargetGrid:
    """The grid of a raster of another format than GeoTIFF."""
    for driver in DRIVERS:
        with suppress(RasterioError), gdal_settings(**OPTIONS), warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # said better by `of_raster`
            with rasterio.open(path, driver=driver) as source:
                return of_raster(_crs(source.crs, name), source.transform, source.shape, name)
    raise UsageError(f"cannot take the grid of {location!r}: GDAL finds no raster in it: give one")


def _of_cube(path: str, location: Location, name: str) -> TargetGrid:
    """The grid of the first variable of a cube that lies on one: by GDAL, else by xarray and its engines."""
    if os.path.isfile(path):
        with suppress(UsageError):
            return _of_file(path, location, name)
    import rioxarray  # noqa: F401
    import xarray as xr

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of engines that look for metadata in several places
            cube = xr.open_dataset(path, decode_coords="all")
        with cube:
            found = next((array for array in cube.data_vars.values() if array.rio.crs and array.ndim >= 2), None)
            if found is not None:
                return _of_array(found, name)
    except LandsatDownsampleError:
        raise
    except Exception as error:  # of an engine of xarray's, or that there is none
        line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UsageError(f"cannot take the grid of {location!r}: xarray cannot open it ({line})") from error
    raise UsageError(f"cannot take the grid of {location!r}: no variable of it has a CRS, y and x: give a raster")


def _described_by(location: Location, size: str, policy: Policy) -> TargetGrid:
    """Cells on multiples of a size in the CRS that a file of WKT or PROJJSON describes."""
    text = files.read_bytes(location, policy=policy).decode("utf-8", "replace").strip()
    try:
        crs = known_crs(json.loads(text) if text.startswith("{") else text)
    except (CRSError, ValueError, TypeError):
        raise UsageError(f"{location!r} describes no CRS: give a file of WKT or PROJJSON") from None
    return on_multiples(crs_name(crs) or "", size, location.name)
