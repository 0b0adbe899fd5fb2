"""A cube as one NetCDF-4 file, by the CF conventions: written whole under another name, then renamed or uploaded."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from pyproj import CRS

from landsat_downsample.cubes.block_work import block_works, results
from landsat_downsample.cubes.growing import CubeOutcome, CubeRequest
from landsat_downsample.cubes.reduced_scene import ReducedScene
from landsat_downsample.cubes.series import Series, Variable
from landsat_downsample.errors import LandsatDownsampleError, UsageError, WriteError
from landsat_downsample.model.crs import cf_axes
from landsat_downsample.model.location import Location
from landsat_downsample.storage import files
from landsat_downsample.storage.hdf5_sink import Hdf5Sink
from landsat_downsample.storage.large_objects import put_file
from landsat_downsample.storage.lease import Lease
from landsat_downsample.storage.remote_file import RemoteFile

if TYPE_CHECKING:
    from landsat_downsample.execution.run import Executor

#: Dates, rows and columns of a chunk, and of what is read as one piece: a cell's series and a date's map both take few.
CHUNK, PIECE = (10, 256, 256), (10, 1024, 1024)

#: CDO knows no smaller unit; in float64, which holds tenths of a microsecond of our times.
SECONDS = {"units": "seconds since 1970-01-01", "calendar": "standard"}


def write_netcdf(
    scenes: Sequence[ReducedScene],
    to: Location,
    request: CubeRequest,
    executor: Executor,
    told: Callable[[int, int], object] = lambda done, total: None,
) -> CubeOutcome:
    """Write all dates of products into one file, in place of the one that is there.

    Raises
    ------
    UsageError
        h5netcdf is not installed, or the place is a folder; else as of `growing.write_cube`.
    WriteError
        Another process writes it, or the place refuses.
    ReadError
        A product cannot be read.
    """
    _needed()
    if to.is_local and os.path.isdir(to.path):
        raise UsageError(f"{to!r} is a folder: a NetCDF cube is a file, such as {(to / 'cube.nc')!r}")
    if files.exists(to):
        _check_own(to)
    series = Series.begun(scenes, request.names, request.bounds, request.group, request.indices)
    with Lease(to) as lease, _aside(to) as path:
        try:
            _write(path, series, executor, told)
        except OSError as error:
            if isinstance(error, LandsatDownsampleError):
                raise
            reason = "no space left" if error.errno == errno.ENOSPC else (error.strerror or str(error)).lower()
            raise WriteError(f"cannot write {to!r}: {reason}; choose another destination") from error
        lease.check()
        put_file(path, to)
    added = dict.fromkeys(scene.id for scene in series.scenes)
    return CubeOutcome(to.shown, len(series.dates), tuple(added))


def _needed() -> Any:
    try:
        import h5netcdf  # type: ignore[import-untyped]
    except ImportError as error:
        raise UsageError("NetCDF needs h5netcdf: pip install 'landsat-downsample[netcdf]'") from error
    return h5netcdf


def _check_own(to: Location) -> None:
    """Refuse to put a cube in place of a file that is none."""
    source = None if to.is_local else RemoteFile(to)
    try:
        with _needed().File(source or to.path, "r") as file:
            own = "landsat_grid" in file.attrs
    except OSError:  # no HDF5
        if source and source.error:
            raise source.error from None
        own = False
    if not own:
        raise UsageError(f"{to!r} is there, and no cube of this library: choose another place")


@contextmanager
def _aside(to: Location) -> Iterator[str]:
    """A path to write to, beside a place on a disk; what a killed run left there is written over."""
    if not to.is_local:
        with tempfile.TemporaryDirectory(prefix="landsat-downsample-") as folder:
            yield os.path.join(folder, to.name)
        return
    folder, name = os.path.split(to.path)
    path = os.path.join(folder, f".{name}.part")
    try:
        yield path
    finally:
        with suppress(FileNotFoundError):
            os.unlink(path)


def _write(path: str, series: Series, executor: Executor, told: Callable[[int, int], object]) -> None:
    works = [work for variable in series.variables for work in block_works(series, variable, PIECE)]
    with closing(Hdf5Sink(path)) as sink:
        try:
            with _needed().File(sink, "w") as file:
                _describe(file, series)
                for variable in series.variables:
                    _declare(file, series, variable)
                told(0, len(works))
                for number, (work, cells) in enumerate(results(executor, works), 1):
                    file.variables[work.variable][work.place] = cells
                    sink.check()
                    told(number, len(works))
        except (OSError, RuntimeError, KeyError, ValueError):
            sink.check()  # what HDF5 makes of bytes that it wrote and that are not there
            raise
    sink.check()


def _describe(file: Any, series: Series) -> None:
    """Dimensions, coordinates, and what the file says of itself."""
    grid, lattice = series.common.grid, series.common.lattice
    file.dimensions = {"time": None, "y": grid.height, "x": grid.width, "bnds": 2}
    file.resize_dimension("time", len(series.dates))
    _say(file, series.attributes())
    known = series.coordinates()
    dimension, times, attrs = known["time"]
    known["time"] = dimension, times.astype("datetime64[us]").astype("int64") / 1e6, attrs | SECONDS
    for name, (dimension, values, attrs) in known.items():
        _coordinate(file, name, (dimension,), np.asarray(values), attrs)
    for name, centres, edges in zip("yx", lattice.centres(grid), lattice.edges(grid), strict=True):
        _coordinate(file, name, (name,), centres, cf_axes(grid.crs)[name] | {"bounds": f"{name}_bnds"})
        _coordinate(file, f"{name}_bnds", (name, "bnds"), np.stack([edges[:-1], edges[1:]], -1), {})
    t = grid.transform
    mapping = CRS.from_user_input(grid.crs).to_cf() | {"GeoTransform": f"{t.c!r} {t.a!r} 0.0 {t.f!r} 0.0 {t.e!r}"}
    _coordinate(file, "spatial_ref", (), np.array(0, "int32"), mapping)


def _coordinate(file: Any, name: str, dimensions: tuple[str, ...], values: np.ndarray, attrs: dict[str, Any]) -> None:
    if values.dtype.kind == "U":
        import h5py  # type: ignore[import-untyped]

        made = file.create_variable(name, dimensions, dtype=h5py.string_dtype())
        made[...] = values.astype(object)
    else:
        made = file.create_variable(name, dimensions, data=values)
    _say(made, attrs)


def _say(what: Any, attrs: dict[str, Any]) -> None:
    """Attributes; text in the form that tools from before NetCDF-4 read too."""
    for key, value in attrs.items():
        plain = isinstance(value, str) and value.isascii()
        what.attrs[key] = np.bytes_(value.encode()) if plain else value


def _declare(file: Any, series: Series, variable: Variable) -> None:
    """A variable without its cells."""
    dtype, attrs = np.dtype(variable.dtype), variable.attributes(series.scenes)
    shape = (len(series.dates), *series.common.grid.shape)
    # `_FillValue` only of what has a scale, which is meant to become floats: codes stay integers.
    fill = variable.fill if "scale_factor" in attrs or dtype.kind == "f" else None
    if variable.first.stat == "count":
        fill = None
    elif fill is None and variable.fill is not None:
        attrs["nodata"] = dtype.type(variable.fill)
    made = file.create_variable(
        variable.name,
        ("time", "y", "x"),
        dtype=dtype,
        chunks=tuple(min(step, size) for step, size in zip(CHUNK, shape, strict=True)),
        compression="gzip",
        compression_opts=4,
        shuffle=True,
        fillvalue=None if fill is None else dtype.type(fill),
    )
    aside = " ".join(name for name in series.coordinates() if name != "time")
    _say(made, attrs | {"grid_mapping": "spatial_ref", "coordinates": aside})
