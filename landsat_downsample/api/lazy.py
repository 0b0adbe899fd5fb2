"""The xarray face: `coarsen` for any raster that rioxarray understands.

A coarse block is made by the reducers that `run` uses. Where the array is one of ours,
untouched, a block streams its rows from the file through one handle (a third of the cost of
``xarray.coarsen().mean()``); where the user has changed the pixels, the same reducers take
whatever rows the array gives.
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterable
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np

from landsat_downsample.api.array_blocks import Job, Request, blocks
from landsat_downsample.api.array_grid import (
    axes,
    georeference,
    grid_of,
    north_up,
    other_coordinates,
    with_grid_mappings,
)
from landsat_downsample.api.array_mask import MaskBand, is_quality, mask_band_of
from landsat_downsample.api.array_meaning import (
    FLAGS,
    NODATA,
    Meaning,
    check_mask,
    meaning_of,
    origin_of,
    planes_of,
)
from landsat_downsample.api.given_grid import given_grid
from landsat_downsample.api.index_cells import index_cells
from landsat_downsample.errors import UsageError
from landsat_downsample.model import flags, methods
from landsat_downsample.model.band_attributes import reduced_attributes, share_attributes
from landsat_downsample.model.bands import unknown
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.grid_request import GridRequest
from landsat_downsample.model.indices import check_indices, check_order, warn_of_stats
from landsat_downsample.model.methods import METHODS, output_dtype
from landsat_downsample.model.nearest import did_you_mean
from landsat_downsample.model.placement import Placement
from landsat_downsample.model.product import FRACTIONS
from landsat_downsample.model.region import beyond_use
from landsat_downsample.model.target_grid import TargetGrid
from landsat_downsample.model.units import scaling_of
from landsat_downsample.model.words import words
from landsat_downsample.reduce.bits import QualityRule
from landsat_downsample.reduce.rule import Rule, declared_nodata, rule_of

if TYPE_CHECKING:
    import xarray as xr

    from landsat_downsample.api.array_mask import Plane

Raster = TypeVar("Raster", bound="xr.DataArray | xr.Dataset")


@overload
def coarsen(
    obj: Raster,
    *,
    factor: float | None = None,
    resolution: float | None = None,
    size: tuple[int, int] | None = None,
    grid: Any = None,
    like: Any = None,
    anchor: tuple[float, float] | None = None,
    method: str | None = None,
    qa: str = "conservative",
    mask: str | Iterable[str] = (),
    min_valid: float = 0.0,
    stats: None = None,
    index: str | Iterable[str] = (),
    index_order: str = "mean-of-index",
) -> Raster: ...


@overload
def coarsen(
    obj: Raster,
    *,
    factor: float | None = None,
    resolution: float | None = None,
    size: tuple[int, int] | None = None,
    grid: Any = None,
    like: Any = None,
    anchor: tuple[float, float] | None = None,
    qa: str = "conservative",
    mask: str | Iterable[str] = (),
    min_valid: float = 0.0,
    stats: str | Iterable[str],
    index: str | Iterable[str] = (),
    index_order: str = "mean-of-index",
) -> xr.Dataset: ...


def coarsen(
    obj: xr.DataArray | xr.Dataset,
    *,
    factor: float | None = None,
    resolution: float | None = None,
    size: tuple[int, int] | None = None,
    grid: Any = None,
    like: Any = None,
    anchor: tuple[float, float] | None = None,
    method: str | None = None,
    qa: str = "conservative",
    mask: str | Iterable[str] = (),
    min_valid: float = 0.0,
    stats: str | Iterable[str] | None = None,
    index: str | Iterable[str] = (),
    index_order: str = "mean-of-index",
) -> xr.DataArray | xr.Dataset:
    """Reduce a raster to coarser cells, lazily, each band by what it means.

    Parameters
    ----------
    obj : xarray.DataArray or xarray.Dataset
        Rasters with a CRS and dimensions (..., y, x). QA_PIXEL of a Dataset or stack masks the rest.
        An array that was computed from a band (xarray dropped its ``encoding``) is not that band:
        NaN, not a stated 0 or 1, is no data; conditions give shares; integers must say what they are.
    factor, resolution, size : optional
        Exactly one, or none with a grid that has cells of its own: pixels per cell; cell size in CRS units; or
        (width, height), 0 to keep the aspect.
    grid : str, TargetGrid, Grid, GeoBox or DataArray, optional
        ``zone``, the default with factor and resolution: cells are counted from a corner that all
        scenes of a CRS share, so that what comes of two dates aligns. ``scene``, implied by size:
        from the array's own upper-left corner, as ``xarray.coarsen`` does. Or a grid with cells of its own:
        ``modis:500m`` or another name, ``EPSG:3035@500``, ``like:HREF``, or an object, as of `plan`.
    like : str, path or object, optional
        The raster, cube or object whose cells to take: all of them, so that the result aligns with it.
    anchor : (float, float), optional
        (x, y) of any corner of a cell in CRS units, in place of the zone's.
    method : str, optional
        Reducer instead of the band's own: mean, median, min, max, sum, std, rms, mode, nearest.
    qa : str
        Policy for bit fields: conservative, majority, mode, nearest.
    mask : str or sequence of str
        Flags of QA_PIXEL whose pixels are left out of continuous bands.
    min_valid : float
        Least share of valid pixels in a cell that holds data, 0 to 1.
    stats : str or sequence of str, optional
        Statistics from one read: any of mean, median, rms, min, max, sum, std and count (the area of valid pixels, in
        pixels). Of bands that are averaged: codes, classes and angles of a Dataset are reduced as ever.
    index : str or sequence of str, optional
        Spectral indices of a Dataset's bands, as further variables: ``ndvi``, ``evi``, ``lst`` ... as of `plan`.
    index_order : str
        ``mean-of-index``: each pixel's index, then the mean of them, ``ndvi``; ``index-of-means``: the index of the
        bands' means over pixels that hold data in all of them, ``ndvi_of_means``.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        The same names, attributes, CRS and dtype on the coarse grid; dask where the input was dask. With `stats` a
        Dataset: of an array ``mean``, ``std`` ...; of a Dataset ``red`` for the mean, ``red_std`` for another one.

    Raises
    ------
    UsageError
        The cells do not fit, codes were to be averaged, or which pixels hold data is not known.
    SceneError
        The object has no CRS or no regular north-up grid.

    Examples
    --------
    >>> red = ld.coarsen(scene["red"], factor=10)
    >>> red.shape, red.dtype, red.rio.resolution()
    ((50, 60), dtype('uint16'), (300.0, -300.0))
    >>> clear = ld.coarsen(scene.dataset(["red", "qa_pixel"]), factor=10, mask="cloud,shadow")
    >>> bands = scene.dataset(["red", "nir08", "qa_pixel"])
    >>> ld.coarsen(bands, factor=10, mask="cloud", index="ndvi")["ndvi"].dtype
    dtype('float32')
    >>> list(ld.coarsen(scene["red"], factor=10, stats="mean,std,count"))
    ['mean', 'std', 'count']
    >>> ld.coarsen(scene["red"], grid="modis:500m").sizes["y"]
    35
    """
    import xarray as xr

    request = _request(method, qa, mask, min_valid, stats)
    target = GridRequest(factor, resolution, size, given_grid(grid, like), anchor)
    wanted = check_indices(words(index))
    warn_of_stats(wanted, check_order(index_order), request.stats)
    if isinstance(obj, xr.DataArray):
        if wanted:
            raise UsageError(f"index {', '.join(wanted)} is made of several bands: coarsen a Dataset that holds them")
        made = _coarsen_array(obj, target, request, None)
        if stats is None:
            return made[""]
        if "" in made:
            raise UsageError(f"stats of {obj.name!r} would mean nothing: it holds codes, classes or angles")
        return xr.Dataset({stat: array.rename(stat) for stat, array in made.items()})
    if not isinstance(obj, xr.Dataset):
        raise UsageError(f"cannot coarsen a {type(obj).__name__}: give a DataArray or Dataset, such as scene['red']")
    obj = with_grid_mappings(obj)
    quality = next(((a, None) for n, a in obj.data_vars.items() if is_quality(n, a)), None)
    parts: dict[Hashable, xr.DataArray] = {}
    for name, array in obj.data_vars.items():
        made = _coarsen_array(array, target, request, quality) if axes(array) else {"": array}
        parts |= {name if stat in ("", "mean") else f"{name}_{stat}": part for stat, part in made.items()}
    for one in wanted:
        parts |= index_cells(obj, (one, index_order), request, lambda fine: placed_over(fine, target), quality)
    return xr.Dataset(parts, attrs=obj.attrs)


def _request(
    method: str | None, qa: str, mask: str | Iterable[str], min_valid: float, stats: str | Iterable[str] | None
) -> Request:
    if method is not None and method not in METHODS:
        near = did_you_mean(str(method), METHODS)
        raise UsageError(f"method {method!r} is unknown{near}: choose one of {', '.join(METHODS)}")
    try:
        share = Fraction(str(min_valid))
    except ValueError as error:
        raise UsageError(f"min_valid {min_valid!r} is not a number: give a share from 0 to 1") from error
    if not 0 <= share <= 1:
        raise UsageError(f"min_valid {min_valid!r} must lie between 0 and 1: it is a share of the pixels")
    if stats is not None and method is not None:
        raise UsageError(f"method {method!r} and stats are two answers to one question: give one of them")
    wanted = () if stats is None else methods.check_stats(words(stats))
    return Request(method, methods.check_policy(qa), words(mask), share, wanted)


def fractions(
    quality: xr.DataArray,
    *,
    factor: float | None = None,
    resolution: float | None = None,
    size: tuple[int, int] | None = None,
    grid: Any = None,
    like: Any = None,
    anchor: tuple[float, float] | None = None,
) -> xr.Dataset:
    """Percent of valid, clear, cloudy and other pixels in each cell of a QA_PIXEL array.

    Parameters
    ----------
    quality : xarray.DataArray
        QA_PIXEL, (y, x).
    factor, resolution, size, grid, like, anchor : optional
        As in `coarsen`.

    Returns
    -------
    xarray.Dataset
        uint8 variables ``valid``, ``clear``, ``cloud`` ...; percent, 255 = no data.

    Examples
    --------
    >>> shares = ld.fractions(scene["qa_pixel"], factor=10)
    >>> list(shares)
    ['valid', 'clear', 'cloud', 'cloud_shadow', 'snow', 'water', 'cirrus']
    >>> shares["cloud"].dtype, shares["cloud"].attrs["units"]
    (dtype('uint8'), 'percent')
    """
    import xarray as xr

    names = axes(quality)
    single = [dim for dim in quality.dims if dim not in names and quality.sizes[dim] == 1]
    quality = north_up(quality.squeeze(single, drop=True))
    if quality.ndim != 2:
        raise UsageError(f"cannot give fractions of dimensions {quality.dims}: take one time or band of it")
    spec, source = meaning_of(quality).spec, origin_of(quality)
    if not spec.fields:
        raise UsageError(f"cannot give fractions of {quality.name!r}: they are made from QA_PIXEL or its like")
    bands = flags.fraction_names(spec)
    fine = grid_of(quality)
    placed = placed_over(fine, GridRequest(factor, resolution, size, given_grid(grid, like), anchor))
    rule = QualityRule(spec, fractions=True)
    job = Job(rule, fine, placed, dtype="uint8", pick=1, bands=len(bands))
    (data,) = blocks(quality.data, None, job, source)
    coords = other_coordinates(quality)
    arrays = {
        name: georeference(
            xr.DataArray(data[k], dims=("y", "x"), coords=coords, attrs=share_attributes(name)),
            placed.coarse,
            255,
            placed.lattice,
        )
        for k, name in enumerate(bands)
    }
    for array in arrays.values():
        array.encoding["source"] = FRACTIONS  # goes when pixels are computed
    return xr.Dataset(arrays)


def placed_over(image: Grid, request: GridRequest) -> Placement:
    """The cells that are asked for; of a grid that was given, and not named, all."""
    placed = Placement.of(image, request.target(image), whole=isinstance(request.grid, TargetGrid))
    if placed.projection and (far := beyond_use(image, placed.lattice.crs)):
        warnings.warn(far, stacklevel=4)
    return placed


def _coarsen_array(
    array: xr.DataArray, target: GridRequest, request: Request, quality: Plane | None
) -> dict[str, xr.DataArray]:
    """Reduce the last two dimensions of an array, plane by plane of the others.

    Returns
    -------
    dict
        An array for each statistic; or under an empty name, reduced by its own method.
    """
    import xarray as xr

    names = axes(array)
    array = north_up(array)
    grid = grid_of(array)
    placed = placed_over(grid, target)
    check_mask(array)
    grids, planes = (grid, placed), planes_of(array)
    if quality is None and len(planes) > 1:
        quality = next((plane for plane in planes if plane[1].spec.quality), None)
    if request.stats and len({meaning.spec.averaged for _, meaning in planes}) > 1:
        raise UsageError(
            f"stats of {array.name!r} would mean nothing for some of its planes: take the others by themselves"
        )
    made = {}
    parts = [_reduced(part, meaning, grids, request, quality) for part, meaning in planes]
    for stat in parts[0]:
        of_stat = [part[stat] for part in parts]
        data, kept, nodata = of_stat[0] if len(parts) == 1 else _joined(array, planes, of_stat)
        out = xr.DataArray(data, dims=array.dims, coords=other_coordinates(array), name=array.name, attrs=kept)
        if "source" in array.encoding and out.dtype == array.dtype:
            out.encoding["source"] = array.encoding["source"]  # coarser, but still the band
        made[stat] = georeference(out, placed.coarse, nodata, placed.lattice).rename(
            dict(zip(("y", "x"), names, strict=True))
        )
    return made


def _reduced(
    array: xr.DataArray,
    meaning: Meaning,
    grids: tuple[Grid, Placement],
    request: Request,
    quality: Plane | None,
) -> dict[str, tuple[Any, dict[str, Any], float | None]]:
    """Data, attributes and nodata value of an array of one meaning, (..., y, x): of each statistic."""
    spec, source = meaning.spec, origin_of(array)
    mask_band = mask_band_of(array, spec, request, quality)
    if array.dtype.kind == "b":
        array = array.astype("float32")
    _warn_of_plain_mean(array, meaning, request)
    stats = request.stats if spec.averaged else ()
    rule, *others = [_rule(array, meaning, request, mask_band, stat) for stat in stats or ("",)]
    dtype = array.dtype if isinstance(rule, QualityRule) else output_dtype(rule.method, array.dtype)
    plain = array.dtype.kind in "iu" and request.method is None and spec == unknown(spec.name)
    job = Job(
        rule,
        *grids,
        dtype=np.dtype(dtype).name,
        bits=mask_band.bits,
        quality=mask_band.spec,
        request=request,
        doubt=meaning.doubt,
        plain=spec.name if plain else None,
        others=tuple(one for one in others if isinstance(one, Rule)),
    )
    lead = array.shape[:-2]
    planes = [blocks(array.data[at], mask_band.plane(at), job, mask_band.origin(source)) for at in np.ndindex(lead)]
    made = {}
    for stat, one, parts in zip(stats or ("",), (rule, *others), zip(*planes, strict=True), strict=True):
        data = parts[0] if not lead else _stacked(list(parts), lead)
        codes = np.nan if data.dtype.kind == "f" else spec.fill
        nodata = codes if isinstance(one, QualityRule) else declared_nodata(one)
        kept = _kept_attributes(array, meaning, one)
        if stat not in ("", "mean"):
            kept["landsat_statistic"] = stat
            kept["long_name"] = f"{kept.get('long_name', spec.name)}: {methods.STATS[stat]}"
        made[stat] = data, kept, nodata
    return made


def _joined(array: xr.DataArray, planes: list[Any], parts: list[Any]) -> tuple[Any, ...]:
    """Planes of several meanings as one; a nodata value is stated where it is that of all."""
    axis = next(k for k, n in enumerate(planes[0][0].shape) if n != array.shape[k])
    data, kept, nodata = zip(*parts, strict=True)
    if any(hasattr(part, "dask") for part in data):
        import dask.array as da

        joined = da.concatenate(data, axis)
    else:
        joined = np.concatenate(data, axis)
    return joined, kept[0], nodata[0] if len(set(map(str, nodata))) == 1 else None


def _warn_of_plain_mean(array: xr.DataArray, meaning: Meaning, request: Request) -> None:
    was = meaning.was
    if was and request.method is None and was.method not in ("mean", "bits"):
        warnings.warn(
            f"{meaning.spec.name} as {array.dtype} is not what {was.name} stores: averaged as plain numbers; "
            f"give method={was.method!r} if its values still are those of {was.name}",
            stacklevel=5,
        )


def _stacked(planes: list[Any], lead: tuple[int, ...]) -> Any:
    if hasattr(planes[0], "dask"):
        import dask.array as da

        return da.stack(planes).reshape(*lead, *planes[0].shape)
    return np.stack(planes).reshape(*lead, *planes[0].shape)


def _kept_attributes(array: xr.DataArray, meaning: Meaning, rule: Rule | QualityRule) -> dict[str, Any]:
    """What still holds: of a computed array not which band it was, and of its mean not what codes mean."""
    stale = {"grid_mapping", *NODATA} | (FLAGS if not meaning.spec.categorical else set())
    computed = meaning.was or meaning.masked
    kept = {k: v for k, v in array.attrs.items() if k not in stale and not (computed and k == "landsat_band")}
    left = None
    if isinstance(rule, Rule) and "scale_factor" in kept:
        stated = float(kept["scale_factor"]), float(kept.get("add_offset", 0))
        if (left := scaling_of(rule.method, stated)) != stated:
            kept = {key: value for key, value in kept.items() if key not in ("scale_factor", "add_offset")}
            kept |= {"scale_factor": left[0]} if left else {}
    if not isinstance(rule, Rule):
        return reduced_attributes(kept, rule.policy)
    lost = "scale_factor" in array.attrs and left is None
    return reduced_attributes(kept, rule.method, stored=lost)


def _rule(
    array: xr.DataArray, meaning: Meaning, request: Request, mask_band: MaskBand, stat: str
) -> Rule | QualityRule:
    spec = meaning.spec
    methods.check_method(request.method, spec)
    if spec.fields:
        return QualityRule(spec, request.method or spec.policy(request.qa), request.min_valid)
    method = stat or request.method or spec.method
    rule = rule_of(
        spec, array.dtype, meaning.nodata, method=method, min_valid=request.min_valid, mask_role=mask_band.role
    )
    return replace(rule, fill=np.nan) if meaning.masked and method != "count" else rule
