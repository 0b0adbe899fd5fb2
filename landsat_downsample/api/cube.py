"""Products as one cube: a Zarr store that grows, or another format."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from landsat_downsample.cubes.common_grid import Bounds
from landsat_downsample.cubes.formats import format_of
from landsat_downsample.cubes.found_products import found_products, in_time
from landsat_downsample.cubes.growing import CubeOutcome, CubeRequest
from landsat_downsample.cubes.levels import checked
from landsat_downsample.errors import UsageError
from landsat_downsample.execution.cluster import on_client
from landsat_downsample.execution.threads import Threads, threads_for
from landsat_downsample.model.indices import check_indices
from landsat_downsample.model.location import Location
from landsat_downsample.model.log import WARNING, tell
from landsat_downsample.model.words import names_or_all, words

if TYPE_CHECKING:
    from distributed import Client


def cube(
    source: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    to: str | os.PathLike[str],
    names: Iterable[str] | str | None = None,
    *,
    datetime: str | None = None,
    bounds: Bounds | None = None,
    group: str | None = None,
    index: str | Iterable[str] = (),
    format: str | None = None,
    dates_per_shard: int | None = None,
    shards: bool | None = None,
    levels: Iterable[int] | None = None,
    workers: int | None = None,
    client: Client | None = None,
    report: Callable[[int, int], object] | None = None,
) -> CubeOutcome:
    """Make a cube (time, y, x) of products, or add to it the dates that it does not have.

    Stored values, as in the products; `xarray.open_zarr` reads it with their scales. A reader sees the dates before, or
    all of the new ones; two writers at once are refused; what was killed is made good by the next call.

    Parameters
    ----------
    source : str, path or iterable of them
        As of `open_products`.
    to : str or path
        Folder or prefix, ``CUBE.zarr``; of NetCDF a file, ``CUBE.nc``.
    names : iterable of str, optional
        Variables, as of `open_products`. A cube that is there keeps those that it began with,
        and others are refused.
    datetime : str, optional
        As of `open_products`: of which time products are looked at.
    bounds : (float, float, float, float), optional
        (left, bottom, right, top) of its cells in CRS units; by default those of the products that it begins with.
        Later products are cut at them.
    group : str, optional
        As of `open_products`.
    index : str or iterable of str, optional
        Spectral indices beside `names`: ``ndvi``, as it is in products that were made with ``index="ndvi"``; where
        not all were, ``ndvi_of_means``, the index of the bands' means as products store them.
    format : str, optional
        ``zarr``, the default. ``netcdf``, the default where ``to`` ends with ``.nc``: one NetCDF-4 file by the CF
        conventions, written whole each time, and there only once it is complete. ``cog``: a folder with a COG of each
        date and variable and a STAC item of each date; dates whose products were made anew are, too.
        ``icechunk``: the arrays of the Zarr cube in a repository, a snapshot for each call.
    dates_per_shard : int, optional
        Of Zarr and Icechunk: dates in one file of a variable, by default 20. More of them make a cell's series quicker
        and a date's map slower.
    shards : bool, optional
        Of Zarr and Icechunk: False makes a file for each chunk, of at most 10 dates, which GDAL 3.12 reads too.
    levels : iterable of int, optional
        Of a new Zarr cube: larger cells beside its own, ``(2, 4, 8)`` times as large, each what a reduction of the
        scenes straight to them would give, where products tell (``--stats mean,sum,count``). What products do not tell
        is left out of them, and named in the outcome's notes. The cube itself is then the group ``1``, its levels are
        ``2`` ...: `xarray.open_datatree`.
    workers : int, optional
        Threads; as many as there are CPUs.
    client : distributed.Client, optional
        Whose workers write instead. It is left open.
    report : callable, optional
        Told how many of how many files are done.

    Returns
    -------
    CubeOutcome
        What was added, and what was not.

    Raises
    ------
    UsageError
        Products share no grid, or not that of the cube; or were made by other rules; or lack what levels are made of;
        or the place holds something else; or the format has no such option, or needs a package that is not installed.
    WriteError
        Another process writes it, or the store refuses.
    ReadError
        A product cannot be read.

    Examples
    --------
    >>> done = ld.run(ld.plan(scene, "out", factor=50, bands=["red", "qa_pixel"]))
    >>> ld.cube("out", "cube.zarr", ["red", "qa_pixel"]).dates
    1
    >>> import xarray as xr
    >>> xr.open_zarr("cube.zarr")["red"].dims
    ('time', 'y', 'x')
    """
    wanted = checked(levels)
    scenes = in_time(found_products(source), datetime)
    place = Location.checked(os.fspath(to))
    place = Location(place.path) if place.is_local else place
    if not place.is_writable:
        raise UsageError(f"cannot write {place!r}: give a folder, s3:// or another fsspec store")
    kind, chosen = format_of(format, place)
    chosen.check(kind, {"dates_per_shard": dates_per_shard, "shards": shards, "levels": levels})
    sharded, dates = shards is not False, 20 if dates_per_shard is None else dates_per_shard
    request = CubeRequest(
        names_or_all(names),
        bounds,
        group,
        dates if sharded else min(dates, 10),
        sharded,
        wanted,
        check_indices(words(index)),
    )
    local = scenes[0].location.is_local
    executor = on_client(client) or Threads(threads_for(workers, local=local))
    try:
        outcome = chosen.write(scenes, place, request, executor, report or (lambda done, total: None))
    except BaseException:
        executor.close(now=True)
        raise
    executor.close()
    for note in outcome.notes:
        tell("cube", note, WARNING)
    return outcome
