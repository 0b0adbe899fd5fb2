"""The xarray face: lazy bands, and `coarsen` for any raster that rioxarray understands.

A coarse block is made by the reducers that `run` uses. Where the array is one of ours,
untouched, a block streams its rows from the file through one handle (a third of the cost of
``xarray.coarsen().mean()``); where the user has changed the pixels, the same reducers take
whatever rows the array gives.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from affine import Affine

from landsat_downsample import _bands, _quality
from landsat_downsample._errors import SceneError, UsageError
from landsat_downsample._grid import Cells, Grid, Overlay, ratio_for
from landsat_downsample._pixels import open_companion, open_rows
from landsat_downsample._plan import words
from landsat_downsample._reduce import Reducer, Rule, output_dtype, reduce_strips, reducer_for
from landsat_downsample._scene import Band, Scene

#: Source rows per block of a lazy result: a quarter of a scene, so that two to four threads share it.
BLOCK_ROWS = 2048

#: Which of our bands an untouched lazy array came from, by the name of its dask graph, which
#: is a digest of the band: the newest few, so that a long session does not grow.
_origin: dict[str, _Origin] = {}
ORIGINS = 4096


@dataclass(frozen=True, eq=False)
class _Origin:
    """A lazy array's own band, and the quality band beside it."""

    band: Band
    quality: Band | None


@dataclass(frozen=True, slots=True)
class _Request:
    """What `coarsen` was asked for, checked."""

    method: str | None
    qa: str
    mask: tuple[str, ...]
    min_valid: Fraction


def lazy_band(scene: Scene, band: Band):
    """A band as a DataArray backed by dask: (y, x), stored values, nothing read yet.

    Chunks are whole rows of blocks. Attributes hold the catalogue's scale, offset and unit as
    ``scale_factor``, ``add_offset`` and ``units``; values are DN, not scaled.
    """
    import dask
    import dask.array as da
    import xarray as xr

    height, width = band.grid.shape
    step = max(1, BLOCK_ROWS // band.block_shape[0]) * band.block_shape[0]
    read = dask.delayed(_read_rows, pure=True)
    chunks = [
        da.from_delayed(
            read(band, start, min(start + step, height), dask_key_name=f"read-{band.name}-{_token(band)}-{start}"),
            (min(step, height - start), width),
            np.dtype(band.dtype),
        )
        for start in range(0, height, step)
    ]
    data = da.concatenate(chunks, axis=0)
    array = xr.DataArray(data, dims=("y", "x"), name=band.name, attrs=_attributes(scene, band))
    _origin[data.name] = _Origin(band, scene.bands.get("QA_PIXEL"))
    if len(_origin) > ORIGINS:
        _origin.pop(next(iter(_origin)))
    return _georeference(array, band.grid, band.nodata)


def lazy_dataset(scene: Scene, names: Iterable[str] | None = None):
    """Several bands as a Dataset, by USGS name; all on the scene's grid.

    Raises
    ------
    UsageError
        A name the scene does not have, or bands on two grids (the panchromatic one beside others).
    """
    import xarray as xr

    wanted = list(scene.bands) if names is None else [scene.band(name).name for name in names]
    grids = {scene.bands[name].grid.shape for name in wanted}
    if names is None and len(grids) > 1:
        wanted = [name for name in wanted if scene.bands[name].grid.shape == scene.grid.shape]
    elif len(grids) > 1:
        raise UsageError(f"bands {', '.join(wanted)} lie on different grids: take the panchromatic band by itself")
    return xr.Dataset({name: lazy_band(scene, scene.bands[name]) for name in wanted})


def _token(value) -> str:
    from dask.base import tokenize

    return tokenize(str(value))


def _read_rows(band: Band, start: int, stop: int) -> np.ndarray:
    with open_rows(band) as rows:
        return rows.read(start, stop)


def _attributes(scene: Scene, band: Band) -> dict:
    spec = band.spec
    record = {
        "long_name": spec.title or spec.name,
        "units": band.unit or spec.unit,
        "scale_factor": band.scale if band.scale is not None else spec.scale,
        "add_offset": band.offset if band.offset is not None else spec.offset,
        "landsat_band": spec.name,
        "landsat_sensor": scene.sensor,
        "landsat_level": scene.level,
        "landsat_product_id": None if scene.lone else scene.id,
    }
    return {key: value for key, value in record.items() if value is not None}


def _georeference(array, grid: Grid, nodata: float | None):
    import rioxarray  # noqa: F401  (registers the .rio accessor)

    y, x = grid.coordinates()
    array = array.assign_coords(y=y, x=x)
    array = array.rio.write_crs(grid.crs).rio.write_transform(grid.transform)
    return array if nodata is None else array.rio.write_nodata(nodata)


def coarsen(
    obj, *, factor=None, resolution=None, size=None, method=None, qa="conservative", mask=(), min_valid=0.0
):
    """Reduce a raster to coarser cells, lazily, each band by what it means.

    Parameters
    ----------
    obj : xarray.DataArray or xarray.Dataset
        Rasters with a CRS and dimensions (..., y, x), from `Scene` or from rioxarray. A
        Dataset's QA_PIXEL serves as the mask of its other variables.
    factor, resolution, size : optional
        Exactly one: pixels per cell; cell size in CRS units; or (width, height) in cells, where a 0
        keeps the aspect.
    method : str, optional
        Reducer instead of the band's own: mean, median, min, max, sum, std, rms, mode, nearest.
    qa : str
        Policy for bit fields: conservative, majority, mode, nearest.
    mask : str or sequence of str
        Flags of QA_PIXEL whose pixels are left out of continuous bands.
    min_valid : float
        Least share of valid pixels in a cell that holds data, 0 to 1.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        The same names, attributes, CRS and dtype on the coarse grid; dask where the input was dask.

    Raises
    ------
    UsageError
        The cells do not fit the grid, or a bit field was to be averaged.
    SceneError
        The object has no CRS or no regular north-up grid.

    Examples
    --------
    >>> import landsat_downsample as ld                                  # doctest: +SKIP
    >>> red = ld.coarsen(ld.open_scene("scene")["red"], factor=10)       # doctest: +SKIP
    """
    import xarray as xr

    request = _Request(method, _quality.check_policy(qa), words(mask), Fraction(str(min_valid)))
    target = {"factor": factor, "resolution": resolution, "size": size}
    if isinstance(obj, xr.Dataset):
        quality = _quality_of(obj)
        parts = {
            name: _coarsen_array(array, target, request, quality) if {"y", "x"} <= set(map(str, array.dims)) else array
            for name, array in obj.data_vars.items()
        }
        return xr.Dataset(parts, attrs=obj.attrs)
    return _coarsen_array(obj, target, request, None)


def fractions(quality, *, factor=None, resolution=None, size=None):
    """Percent of valid, clear, cloudy ... pixels in each cell of a QA_PIXEL array.

    Parameters
    ----------
    quality : xarray.DataArray
        QA_PIXEL, (y, x).
    factor, resolution, size : optional
        As in `coarsen`.

    Returns
    -------
    xarray.Dataset
        uint8 variables ``valid``, ``clear``, ``cloud`` ...; percent, 255 = no data.
    """
    import xarray as xr

    quality, grid, coarse, overlay = _cells(quality, {"factor": factor, "resolution": resolution, "size": size})
    spec = _spec(quality)
    names = _quality.fraction_names(spec)
    rule = _quality.QualityRule(spec, fractions=True)
    job = _Job(rule, overlay, pick=1, dtype="uint8", bands=len(names))
    data = _blocks(quality.data, None, job, _source_of(quality))
    attrs = {"units": "percent", "landsat_band": "QA_FRACTIONS"}
    arrays = {
        name: _georeference(xr.DataArray(data[k], dims=("y", "x"), attrs=attrs | {"long_name": name}), coarse, 255)
        for k, name in enumerate(names)
    }
    return xr.Dataset(arrays)


def _quality_of(dataset):
    return next((a for n, a in dataset.data_vars.items() if a.attrs.get("landsat_band", str(n).upper()) == "QA_PIXEL"), None)


def _coarsen_array(array, target: dict, request: _Request, quality):
    import xarray as xr

    if array.ndim > 2:
        lead = next(dim for dim in array.dims if dim not in ("y", "x"))
        planes = [_coarsen_array(array.isel({lead: k}), target, request, quality) for k in range(array.sizes[lead])]
        return xr.concat(planes, dim=array[lead] if lead in array.coords else lead).transpose(..., "y", "x")
    array, grid, coarse, overlay = _cells(array, target)
    spec = _spec(array)
    rule = _rule(array, spec, request)
    source = _source_of(array)
    companion = _companion(spec, request, source, quality, array)
    dtype = array.dtype if spec.kind == "bits" else output_dtype(rule.method, array.dtype)
    job = _Job(rule, overlay, pick=0, dtype=np.dtype(dtype).name, bits=companion[1])
    data = _blocks(array.data, companion[0], job, replace(source, quality=source.quality if companion[1] else None) if source else None)
    out = xr.DataArray(data, dims=("y", "x"), name=array.name, attrs=_kept_attributes(array, spec, rule))
    fill = (spec.fill if spec.kind == "bits" else rule.fill)
    known = array.rio.nodata is not None or spec.fill is not None or request.mask or out.dtype != array.dtype
    return _georeference(out, coarse, fill if known else None)


def _kept_attributes(array, spec, rule) -> dict:
    attrs = {k: v for k, v in array.attrs.items() if k not in ("_FillValue", "missing_value", "grid_mapping")}
    if spec.kind != "bits" and rule.method in ("std", "sum"):
        attrs.pop("add_offset", None)  # an offset cancels in a deviation and multiplies in a sum
    return attrs


def _cells(array, target: dict):
    """The array north-up, its grid, the coarse grid, and the cells between them."""
    import rioxarray  # noqa: F401

    if {"y", "x"} - set(map(str, array.dims)):
        try:
            array = array.rename({array.rio.y_dim: "y", array.rio.x_dim: "x"})
        except Exception as error:
            raise SceneError(f"cannot coarsen an array of dimensions {array.dims}: it needs y and x") from error
    if array.rio.crs is None:
        raise SceneError("cannot coarsen an array without a CRS: give it one with .rio.write_crs('EPSG:...')")
    if array.sizes["y"] > 1 and "y" in array.coords and array.y[0] < array.y[-1]:
        array = array.isel(y=slice(None, None, -1))
    grid = _grid_of(array)
    ratio = ratio_for(grid, **target)
    coarse = grid.coarsen(ratio)
    return array, grid, coarse, Overlay.of(grid, coarse, grid, ratio)


def _grid_of(array) -> Grid:
    """The grid that the coordinates say; the stored transform may be stale after a selection."""
    from landsat_downsample._read import crs_name

    transform = array.rio.transform()
    origin, steps = [], []
    for dim, step in (("x", transform.a), ("y", transform.e)):
        if dim not in array.coords:
            raise SceneError(f"cannot coarsen an array without {dim} coordinates: assign pixel centres to it")
        centre = np.asarray(array[dim], np.float64)
        if len(centre) > 1:
            step = (centre[-1] - centre[0]) / (len(centre) - 1)
            if np.abs(centre[0] + np.arange(len(centre)) * step - centre).max() > abs(step) * 1e-3:
                raise SceneError(f"cannot coarsen: the {dim} coordinates are not evenly spaced; was the array coarsened by xarray?")
        origin.append(centre[0] - step / 2)
        steps.append(step)
    exact = Affine(steps[0], 0.0, origin[0], 0.0, steps[1], origin[1])
    stored = transform.almost_equals(exact, 1e-6 * abs(steps[0]))
    return Grid((array.sizes["y"], array.sizes["x"]), transform if stored else exact, crs_name(array.rio.crs))


def _spec(array) -> _bands.BandSpec:
    name = str(array.attrs.get("landsat_band", array.name or "band"))
    sensor = array.attrs.get("landsat_sensor", "oli_tirs")
    level = int(array.attrs.get("landsat_level", 2))
    foreign = "landsat_band" not in array.attrs
    found = _bands.find(name, _bands.specs(str(sensor), level)) or _bands.find(name, _bands.specs("tm", level))
    if found is None or (foreign and not found.categorical):
        return _bands.unknown(name)  # a foreign array's own nodata speaks for itself
    if found.kind == "bits" and array.dtype.kind not in "ui":
        raise UsageError(
            f"cannot coarsen {name} as {array.dtype}: its codes are bits and must stay integers; open it unmasked and unscaled"
        )
    return found


def _rule(array, spec, request: _Request):
    if spec.kind == "bits":
        if request.method not in (None, "mode", "nearest"):
            raise UsageError(
                f"method {request.method!r} for {spec.name} is refused: its values are bits; use mode or nearest, or qa="
            )
        return _quality.QualityRule(spec, request.method or request.qa, request.min_valid)
    if spec.kind == "class" and request.method in ("mean", "median", "sum", "std", "rms"):
        raise UsageError(f"method {request.method!r} for {spec.name} is refused: its values are classes; use mode or nearest")
    nodata = array.rio.nodata
    nodata = spec.fill if nodata is None else nodata
    method = request.method or spec.method
    floating = array.dtype.kind == "f" or output_dtype(method, array.dtype) != array.dtype
    return Rule(
        method=method,
        dtype=np.dtype(array.dtype),
        nodata=None if nodata is None else float(nodata),
        fill=np.nan if floating and (nodata is None or np.isnan(nodata) or array.dtype.kind != "f") else float(nodata or 0),
        fill_is_legal=spec.fill_from is not None,
        min_valid=request.min_valid,
        degrees=spec.scale or 1.0,
    )


def _source_of(array) -> _Origin | None:
    name = getattr(array.data, "name", None)
    return _origin.get(name) if isinstance(name, str) else None


def _companion(spec, request: _Request, source: _Origin | None, quality, array) -> tuple:
    """The array that says which pixels count (None: from the file), and the bits to test (0: none)."""
    wanted = request.mask if not spec.categorical else ()
    have = quality if quality is not None and quality.shape == array.shape else None
    if not wanted and not spec.fill_from:
        return None, 0
    qa_spec = source.quality.spec if source and source.quality else _spec(have) if have is not None else None
    if qa_spec is None:
        if wanted:
            raise UsageError(f"mask {','.join(wanted)!r} needs QA_PIXEL: coarsen a Dataset that holds it")
        return None, 0
    bits = _quality.mask_bits(qa_spec, wanted) | (_quality.fill_mask(qa_spec) if spec.fill_from else 0)
    if source and source.quality:
        return None, bits
    return have.data, bits


@dataclass(frozen=True, slots=True)
class _Job:
    """What one block needs besides its rows; small, so that a task is a few kilobytes."""

    rule: Rule | _quality.QualityRule
    overlay: Overlay
    pick: int
    """Which of the reducer's arrays is wanted."""
    dtype: str
    bits: int = 0
    """Quality bits of pixels that do not count."""
    bands: int = 0
    """Leading dimension of the result, 0 for none."""

    def part(self, first: int, last: int) -> _Job:
        return replace(self, overlay=Overlay(self.overlay.rows.part(first, last), self.overlay.columns))

    def reducer(self) -> Reducer:
        if isinstance(self.rule, _quality.QualityRule):
            return _quality.Quality(self.rule, self.overlay, {})
        return reducer_for(self.rule, self.overlay)

    def run(self, read) -> np.ndarray:
        parts = [arrays[self.pick] for _, arrays in reduce_strips(self.reducer(), self.overlay, read)]
        return np.concatenate(parts, axis=-2).astype(self.dtype, copy=False)


def _blocks(data, quality, job: _Job, source: _Origin | None):
    """The reduced array: at once for NumPy, else a dask array of one block per row range."""
    rows = job.overlay.rows
    if not hasattr(data, "dask"):
        return _reduce_rows(np.asarray(data), None if quality is None else np.asarray(quality), job, 0)
    import dask
    import dask.array as da

    token = _token((data.name, getattr(quality, "name", None), repr(job.rule), job.bits, job.pick, rows.stop.tobytes()))
    label = getattr(getattr(job.rule, "spec", None), "name", "band")
    reduce_rows, reduce_file = dask.delayed(_reduce_rows, pure=True), dask.delayed(_reduce_file, pure=True)
    blocks = []
    for first, last in _row_ranges(rows):
        start, stop, part = int(rows.start[first]), int(rows.stop[last - 1]), job.part(first, last)
        key = f"coarsen-{label}-{token}-{first}"
        if source:
            block = reduce_file(source.band, source.quality, part, dask_key_name=key)
        else:
            ok = None if quality is None else quality[start:stop]
            block = reduce_rows(data[start:stop], ok, part, start, dask_key_name=key)
        shape = (last - first, job.overlay.columns.size)
        blocks.append(da.from_delayed(block, (job.bands, *shape) if job.bands else shape, np.dtype(job.dtype)))
    return da.concatenate(blocks, axis=-2)


def _row_ranges(rows: Cells) -> list[tuple[int, int]]:
    """Cell rows of each block: about `BLOCK_ROWS` source rows."""
    high = max(1, int((rows.stop - rows.start).max()))
    step = max(1, BLOCK_ROWS // high)
    return [(first, min(first + step, rows.size)) for first in range(0, rows.size, step)]


def _reduce_rows(values: np.ndarray, quality: np.ndarray | None, job: _Job, start: int) -> np.ndarray:
    def read(a: int, b: int):
        ok = None if quality is None else (quality[a - start : b - start] & job.bits) == 0
        return values[a - start : b - start], ok

    return job.run(read)


def _reduce_file(band: Band, quality: Band | None, job: _Job) -> np.ndarray:
    from contextlib import ExitStack

    with ExitStack() as stack:
        rows = stack.enter_context(open_rows(band))
        companion = stack.enter_context(open_companion(quality, job.bits, band.grid)) if quality else None
        return job.run(lambda a, b: (rows.read(a, b), companion.ok(a, b) if companion else None))
