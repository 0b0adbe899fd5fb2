"""One picture of a month, a season or a year out of many dates, each cell weighted by the pixels seen of it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from landsat_downsample.api import array_values
from landsat_downsample.api.array_grid import axes
from landsat_downsample.api.array_meaning import codes_of, meaning_of
from landsat_downsample.errors import UsageError
from landsat_downsample.model import flags
from landsat_downsample.model.indices import OF_MEANS
from landsat_downsample.model.nearest import did_you_mean
from landsat_downsample.model.words import words

if TYPE_CHECKING:
    import xarray as xr

    from landsat_downsample.model.bands import BandSpec

#: Periods by name, as pandas writes them; others are taken as they are: 16D.
PERIODS = {"month": "MS", "season": "QS-DEC", "year": "YS"}

#: Of how a variable was stored, what holds for its composites.
KEPT = ("source", "preferred_chunks", "dtype", "_FillValue", "scale_factor", "add_offset", "grid_mapping")

#: What is made of the dates of a period.
HOW = {
    "mean": "mean over the pixels seen",
    "median": "median of the dates",
    "best": "the date with most pixels seen",
    "max": "the date where the index is greatest",
}


#: How dates of other variables than averaged ones become one, as CF says it.
_BY_KIND = {
    "count": "sum",
    "codes": "maximum (flags of any date)",
    "classes": "mode (the most frequent of the dates)",
    "directions": "mean (of directions)",
}


def composite(
    cube: xr.Dataset, every: str = "month", how: str = "mean", *, mask: str | Iterable[str] = ()
) -> xr.Dataset:
    """Put the dates of each period together, lazily where the cube is.

    Parameters
    ----------
    cube : xarray.Dataset
        Dates (time, y, x) from `open_products` or a cube, stored values or physical units. A cell of a date counts by
        ``red_count``, its valid pixels (of products made with ``stats=["mean", "count"]``); where there is none by the
        percentage ``clear``; else by one.
    every : str
        ``month``, ``season`` (from December on), ``year``, or a length such as ``16D``. Periods without a date are
        left out.
    how : str
        ``mean`` of bands that are averaged, weighted so: whatever order dates come in. Stored integers are rounded half
        to even: with ``red_sum`` (products with ``stats="mean,sum,count"``) to the mean of all pixels of the period,
        else within 1 of it. ``median`` of the dates, unweighted. ``best``: each cell from the date that has most of it.
        ``max:ndvi``: from the date where an index is greatest, the cube's own or that of its bands.
    mask : str or sequence of str
        Flags of QA_PIXEL whose cells are left out, as of `coarsen`. Products that were reduced with a mask need none.

    Returns
    -------
    xarray.Dataset
        The same variables in the same types, ``time`` the beginnings of periods and ``time_bnds`` their ends, and
        ``observations``: the dates that count. With mean and median, flags are those of any date, levels the highest,
        classes the most frequent (the smaller of equals), azimuths means of directions; shares and other statistics
        are weighted like the bands, counts are added up.

    Raises
    ------
    UsageError
        There are no dates, or no such period, way, flag or band.

    Examples
    --------
    >>> done = ld.run(ld.plan(scene, "out", factor=50, bands=["red", "qa_pixel"], stats="mean,count"))
    >>> monthly = ld.composite(ld.open_products("out", scaled=True), "month")
    >>> monthly["red"].dims, str(monthly["time"].values[0])[:10], int(monthly["observations"].max())
    (('time', 'y', 'x'), '2023-07-01', 1)
    """
    import xarray as xr

    if not isinstance(cube, xr.Dataset) or "time" not in cube.dims:
        raise UsageError("a composite is made of a Dataset with a dimension time: from open_products, or a cube")
    way, _, index = how.partition(":")
    ways = [f"{one}:INDEX" if one == "max" else one for one in HOW]
    if way not in HOW or bool(index) != (way == "max"):
        raise UsageError(f"how {how!r} is unknown{did_you_mean(how, ways)}: choose {', '.join(ways)}")
    wanted, periods = words(mask), list(_periods(cube["time"].to_index(), every))
    made = [_of_period(cube.isel(time=at), way, index, wanted) for _, at in periods]
    time = xr.DataArray(np.array([start for (start, _), _ in periods], "datetime64[ns]"), dims="time", name="time")
    joined = xr.concat(made, time, coords="minimal", compat="override", combine_attrs="override")
    ends = np.array([span for span, _ in periods], "datetime64[ns]")
    joined = joined.assign_coords(time_bnds=(("time", "bnds"), ends))
    joined["time"].attrs |= {
        "standard_name": "time",
        "long_name": "beginning of the period",
        "units_metadata": "leap_seconds: utc",
        "axis": "T",
        "bounds": "time_bnds",
    }
    joined["time"].encoding = {"units": "seconds since 1970-01-01", "calendar": "proleptic_gregorian"}
    for name, array in joined.data_vars.items():
        if name in cube:  # whether its numbers are stored ones, or scaled, is known as before
            array.encoding = {key: cube[name].encoding[key] for key in KEPT if key in cube[name].encoding}
    return joined


def _periods(times: Any, every: str) -> Iterator[tuple[tuple[Any, Any], np.ndarray]]:
    """First moment and end of each period with a date, and which dates those are."""
    import pandas as pd  # type: ignore[import-untyped]

    try:
        offset = pd.tseries.frequencies.to_offset(PERIODS.get(every, every))
    except ValueError as error:
        near = did_you_mean(every, PERIODS)
        raise UsageError(f"every {every!r} is no period{near}: give month, season, year or 16D") from error
    for start, at in pd.Series(np.arange(len(times)), index=times).resample(offset):
        if len(at):
            yield (start, start + offset), at.to_numpy()


def _of_period(part: xr.Dataset, way: str, index: str, mask: tuple[str, ...]) -> xr.Dataset:
    """All dates of a Dataset as one, without ``time``."""
    import xarray as xr

    part = part.chunk(time=-1) if part.chunks else part
    rasters = {name: array for name, array in part.data_vars.items() if axes(array) and "time" in array.dims}
    first = next((name for name, array in rasters.items() if _averaged(array)), None)
    if first is None:
        raise UsageError("a composite needs a band that is averaged, such as red: the cube has none")
    weights = {name: _weight(part, name, mask) for name in rasters}
    score = _index(part, index).where(weights[first] > 0) if index else weights[first]
    made = {}
    for name, array in rasters.items():
        kind, fill = _kind(array), _fill(array)
        if way in ("best", "max"):
            made[name] = _over_time(_pick, array, score, fill=fill)
        elif kind == "count":
            made[name] = array.sum("time", dtype=array.dtype)
        elif way == "mean" and array.dtype.kind in "iu" and f"{name}_sum" in rasters and f"{name}_count" in rasters:
            sums, counts = (part[f"{name}_{stat}"].where(weights[name] > 0, 0) for stat in ("sum", "count"))
            made[name] = _over_time(_quotient, sums, counts, fill=fill, dtype=array.dtype)
        elif kind == "codes":
            made[name] = _over_time(_any, array, weights[name], fill=fill, spec=codes_of(array))
        elif kind == "classes":
            made[name] = _over_time(_most_frequent, array, weights[name], fill=fill)
        elif kind == "directions":
            degrees = float(array.attrs.get("scale_factor", 1))
            made[name] = _over_time(_direction, array, weights[name], fill=fill, degrees=degrees)
        else:
            made[name] = _over_time(_median if way == "median" else _mean, array, weights[name], fill=fill)
        over_area = array.attrs.get("cell_methods", "area: mean")
        made[name].attrs = array.attrs | {"cell_methods": f"{over_area} time: {_cell_method(kind, way)}"}
    seen = (weights[first] > 0).sum("time").astype("uint16")
    made["observations"] = seen.assign_attrs(standard_name="number_of_observations", units="1", long_name="dates seen")
    kept = {name: c for name, c in part.coords.items() if "time" not in c.dims}
    for array in made.values():
        array.attrs = _own(array.attrs)
    return xr.Dataset({name: array.reset_coords(drop=True) for name, array in made.items()}, kept, _own(part.attrs))


def _index(part: xr.Dataset, name: str) -> xr.DataArray:
    """An index that the dates have; else that of their bands."""
    word = name.lower()
    found = next((part[key] for key in (word, word + OF_MEANS.lower()) if key in part), None)
    return array_values.index(part, name) if found is None else found


def _own(attrs: dict[str, Any]) -> dict[str, Any]:
    """Without what a Zarr store says of itself, which NetCDF cannot hold either."""
    return {key: value for key, value in attrs.items() if ":" not in key and key != "zarr_conventions"}


def _cell_method(kind: str, way: str) -> str:
    """How a variable's dates became one, as CF says it."""
    if way in ("best", "max"):
        return f"point ({HOW[way]})"
    return _BY_KIND.get(kind) or f"{way} ({HOW[way]})"


def _kind(array: xr.DataArray) -> str:
    if array.attrs.get("landsat_statistic") == "count":
        return "count"
    if spec := codes_of(array):
        return "classes" if spec.kind == "class" else "codes"
    if meaning_of(array).spec.kind == "azimuth" or "(of directions)" in array.attrs.get("cell_methods", ""):
        return "directions"
    return "share" if array.attrs.get("units") == "percent" else "values"


def _averaged(array: xr.DataArray) -> bool:
    return _kind(array) == "values" and meaning_of(array).spec.kind == "continuous"


def _fill(array: xr.DataArray) -> float | None:
    """What stands for no data in an array; NaN of floats."""
    if array.dtype.kind == "f":
        return float("nan")
    stated = array.attrs.get("_FillValue", array.attrs.get("nodata"))
    return meaning_of(array).nodata if stated is None else float(stated)


def _weight(part: xr.Dataset, name: Hashable, mask: tuple[str, ...]) -> xr.DataArray:
    """How much each cell of a variable counts, float64: 0 where it holds nothing, or a flag."""
    import xarray as xr

    array, fill = part[name], _fill(part[name])
    valid = xr.ones_like(array, bool) if fill is None else array.notnull() if np.isnan(fill) else array != fill
    if _kind(array) not in ("values", "directions"):
        return valid.astype("float64")
    statistic = array.attrs.get("landsat_statistic")
    by = part.get(f"{str(name).removesuffix(f'_{statistic}')}_count")
    by = part.get("clear") if by is None else by
    if by is not None:
        unknown = _fill(by)
        known = by.notnull() if unknown is None or np.isnan(unknown) else by != unknown
        weight = by.where(known, 0).astype("float64").where(valid, 0)
    else:
        weight = valid.astype("float64")
    return weight.where(_clear(part, mask), 0) if mask else weight


def _clear(part: xr.Dataset, mask: tuple[str, ...]) -> xr.DataArray:
    quality = array_values.quality_of(part)
    spec = None if quality is None else codes_of(quality)
    if quality is None or spec is None:
        raise UsageError(f"mask {','.join(mask)!r} needs QA_PIXEL among the variables")
    clear: xr.DataArray = array_values.lacks(quality, spec, flags.mask_bits(spec, mask))
    return clear


def _over_time(
    work: Callable[..., np.ndarray], array: xr.DataArray, by: xr.DataArray, *, dtype: Any = None, **how: Any
) -> xr.DataArray:
    """Apply a function of (..., time) and (..., time) to two arrays."""
    import xarray as xr

    made: xr.DataArray = xr.apply_ufunc(
        work,
        array,
        by,
        input_core_dims=[["time"], ["time"]],
        kwargs=how if dtype is None else how | {"dtype": dtype},
        dask="parallelized",
        output_dtypes=[array.dtype if dtype is None else dtype],
    )
    return made


def _mean(values: np.ndarray, weights: np.ndarray, fill: float | None) -> np.ndarray:
    """Weighted mean, NaN or fill where nothing counts."""
    products = np.where(weights > 0, values, 0).astype("float64") * weights
    return _quotient(products, weights, fill, values.dtype)


def _quotient(sums: np.ndarray, weights: np.ndarray, fill: float | None, dtype: np.dtype) -> np.ndarray:
    """Sum of sums by sum of weights. Both are whole numbers of 4096ths: float64 holds their sums exactly."""
    total, number = sums.sum(-1), weights.sum(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        made = np.where(number > 0, total / number, np.nan)
    if dtype.kind == "f":
        return made.astype(dtype)
    return _stored(np.rint(np.nan_to_num(made)), number > 0, dtype, fill)


def _median(values: np.ndarray, weights: np.ndarray, fill: float | None) -> np.ndarray:
    """Median of the dates that count; of an even number the mean of both in the middle, rounded half to even."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of cells without any date
        made: np.ndarray = np.nanmedian(np.where(weights > 0, values, np.nan).astype("float64"), axis=-1)
    if values.dtype.kind == "f":
        return made.astype(values.dtype)
    return _stored(np.rint(np.nan_to_num(made)), ~np.isnan(made), values.dtype, fill)


def _stored(made: np.ndarray, known: np.ndarray, dtype: np.dtype, fill: float | None) -> np.ndarray:
    """Whole numbers in the type of stored values, none that is known becoming fill."""
    if fill is not None:
        away = fill + 1 if fill < np.iinfo(dtype).max else fill - 1
        made = np.where(known, np.where(made == fill, away, made), fill)
    stored: np.ndarray = made.astype(dtype)
    return stored


def _any(codes: np.ndarray, weights: np.ndarray, fill: float | None, spec: BandSpec) -> np.ndarray:
    """All flags that any date has, and the highest of each level; fill where none holds data."""
    seen = np.where(weights > 0, codes, 0).astype(codes.dtype)
    found: np.ndarray = np.bitwise_or.reduce(seen, axis=-1)
    for field in spec.fields:
        if field.length > 1:
            bits = codes.dtype.type(field.mask)
            found = (found & ~bits) | (seen & bits).max(-1)
    if fill is not None:
        found = np.where((weights > 0).any(-1), found, fill).astype(codes.dtype)
    return found


def _most_frequent(values: np.ndarray, weights: np.ndarray, fill: float | None) -> np.ndarray:
    """The class of most dates, the smaller of equals; fill where none holds data."""
    classes = np.unique(values)
    dates = np.stack([((values == one) & (weights > 0)).sum(-1) for one in classes], -1)
    found: np.ndarray = classes[dates.argmax(-1)]
    return found if fill is None else np.where(dates.any(-1), found, fill).astype(values.dtype)


def _direction(values: np.ndarray, weights: np.ndarray, fill: float | None, degrees: float) -> np.ndarray:
    """Angle of the weighted mean of unit vectors; from 0 to 360 where no date has one below 0."""
    angle = np.deg2rad(np.where(weights > 0, values, 0).astype("float64") * degrees)
    mean = np.arctan2((weights * np.sin(angle)).sum(-1), (weights * np.cos(angle)).sum(-1))
    made, turn = np.rad2deg(mean) / degrees, 360 / degrees
    known = np.asarray((weights > 0).any(-1))
    whole = values.dtype.kind in "iu"
    made = np.rint(made) if whole else made
    made = np.where((angle < 0).any(-1), made, made % (round(turn) if whole else turn))
    return _stored(made, known, values.dtype, fill) if whole else np.where(known, made, np.nan).astype(values.dtype)


def _pick(values: np.ndarray, score: np.ndarray, fill: float | None) -> np.ndarray:
    """The value of the date with the highest score, the first of several; fill where no date has one above 0."""
    rank = np.where(np.isnan(score), -np.inf, score) if score.dtype.kind == "f" else np.where(score > 0, score, -1)
    best = rank.argmax(-1)[..., None]
    found = np.take_along_axis(values, best, -1)[..., 0]
    nothing = np.take_along_axis(rank, best, -1)[..., 0] == rank.dtype.type(-np.inf if score.dtype.kind == "f" else -1)
    chosen: np.ndarray = found if fill is None else np.where(nothing, fill, found).astype(values.dtype)
    return chosen
