"""Indices of the bands of a Dataset on a coarser grid."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from landsat_downsample.api.array_blocks import Job, Request, blocks
from landsat_downsample.api.array_grid import axes, georeference, grid_of, north_up, other_coordinates
from landsat_downsample.api.array_mask import mask_band_of
from landsat_downsample.api.array_meaning import origin_of
from landsat_downsample.api.array_values import bands_of, stored_or_physical
from landsat_downsample.api.lazy_bands import lazy_pixels
from landsat_downsample.errors import UsageError
from landsat_downsample.model.band_attributes import index_attributes, reduced_attributes
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.indices import Index, index_of, stats_of
from landsat_downsample.model.methods import STATS
from landsat_downsample.model.placement import Placement
from landsat_downsample.reduce.index_pixels import IndexPixels, index_rules
from landsat_downsample.reduce.rule import Rule, declared_nodata, rule_of

if TYPE_CHECKING:
    import xarray as xr

    from landsat_downsample.api.array_mask import Plane


def index_cells(
    dataset: xr.Dataset,
    asked: tuple[str, str],
    request: Request,
    place: Callable[[Grid], Placement],
    quality: Plane | None,
) -> dict[Hashable, xr.DataArray]:
    """An index by its name and order, and its further statistics, by the names of variables.

    Raises
    ------
    UsageError
        A band is not there, or lies on other pixels than the others, or its scale is not known.
    """
    index, order = index_of(asked[0]), asked[1]
    arrays, scalings, nodata = stored_or_physical([north_up(array) for array in bands_of(dataset, index)])
    first = arrays[0]
    if any(array.dims != first.dims or array.shape != first.shape for array in arrays):
        raise UsageError(f"index {index.name} needs bands of the same pixels: {', '.join(str(a.name) for a in arrays)}")
    mask_band = mask_band_of(first, index.spec(order), request, quality)
    if mask_band.bits and mask_band.array is None:
        mask_band = replace(mask_band, array=_own_quality(first))
    pixels = IndexPixels(index, tuple(scalings), tuple(nodata))
    rules = _rules(pixels, order, arrays, request, mask_band.role)
    fine = grid_of(first)
    job = Job(
        rules[0],
        fine,
        place(fine),
        dtype=rules[0].stored.name,
        bits=mask_band.bits,
        quality=mask_band.spec,
        request=request,
        others=tuple(rules[1:]),
        index=None if index.plain else pixels,
    )
    planes = []
    for at in np.ndindex(first.shape[:-2]):
        bands = [array.data[at] for array in arrays]
        planes.append(blocks(bands[0] if index.plain else _beside(bands), mask_band.plane(at), job, None))
    made = (
        _described(parts, rule, first, job.placed, (index, order))
        for rule, parts in zip(rules, zip(*planes, strict=True), strict=True)
    )
    return {array.name: array for array in made}


def _rules(pixels: IndexPixels, order: str, arrays: list[xr.DataArray], request: Request, mask_role: str) -> list[Rule]:
    """What to do with the pixels of bands, by each statistic that is asked for."""
    index, share, dtype = pixels.index, request.min_valid, np.result_type(*(array.dtype for array in arrays))
    methods = stats_of(index, order, request.stats) or ("mean",)
    if not index.plain:
        return index_rules(pixels, order, methods, dtype, share)
    scaling, nodata = pixels.scalings[0] if dtype.kind in "iu" else None, pixels.nodata[0]
    known: dict[str, Any] = {
        "spec": index.spec(order),
        "dtype": dtype,
        "nodata": nodata,
        "min_valid": share,
        "scaling": scaling,
    }
    return [rule_of(**known, method=method, mask_role=mask_role) for method in methods]


def _described(
    parts: tuple[Any, ...], rule: Rule, first: xr.DataArray, placed: Placement, asked: tuple[Index, str]
) -> xr.DataArray:
    """Cells of the planes of an index, as an array that says what they are."""
    import xarray as xr

    index, order = asked
    key, attrs, lead = index.spec(order).asset_key, index_attributes(index, order), first.shape[:-2]
    if rule.method != "mean":
        key = f"{key}_{rule.method}"
        attrs |= {"landsat_statistic": rule.method, "long_name": f"{attrs['long_name']}: {STATS[rule.method]}"}
    data = parts[0] if not lead else _beside(list(parts)).reshape(*lead, *parts[0].shape)
    attrs = reduced_attributes(attrs, rule.method)
    made = xr.DataArray(data, dims=first.dims, coords=other_coordinates(first), name=key, attrs=attrs)
    made = georeference(made, placed.coarse, declared_nodata(rule), placed.lattice)
    return made.rename(dict(zip(("y", "x"), axes(first), strict=True)))


def _own_quality(array: xr.DataArray) -> xr.DataArray | None:
    """The quality band of the scene that a lazy array of ours came from."""
    import xarray as xr

    origin = origin_of(array)
    if origin is None or origin.quality is None:
        return None
    return xr.DataArray(lazy_pixels(origin.quality, origin.quality), dims=array.dims, name=origin.quality.name)


def _beside(planes: list[Any]) -> Any:
    """Arrays along a dimension before theirs."""
    if any(hasattr(plane, "dask") for plane in planes):
        import dask.array as da

        return da.stack(planes)
    return np.stack([np.asarray(plane) for plane in planes])
