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

from landsat_downsample import _bands
from landsat_downsample._errors import SceneError, UsageError
from landsat_downsample._grid import Cells, Grid, Overlay, ratio_for
from landsat_downsample._nearest import did_you_mean
from landsat_downsample._pixels import Rows, open_companion, open_rows, read_band
from landsat_downsample._plan import words
from landsat_downsample._process import recognised
from landsat_downsample._recent import Recent
from landsat_downsample._reduce import (
    METHODS,
    Rule,
    _quality,
    declared_nodata,
    output_dtype,
    reduce_strips,
    reducer_for,
    rule_of,
)
from landsat_downsample._scene import Band, Scene
from landsat_downsample._scene._product_id import FileName, parse_file

#: Source rows per block of a lazy result: a quarter of a scene, so that two to four threads share it.
BLOCK_ROWS = 2048

#: Which of our bands an untouched lazy array came from, by the name of its dask graph, which
#: is a digest of the band: the newest few, so that a long session does not grow.
ORIGINS = 4096
_origin: Recent[str, _Origin] = Recent(ORIGINS)


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
    quality = scene.bands.get("QA_PIXEL")
    token = _token((band, quality))  # the quality band too: `_origin` must not mix up two scenes that share a file
    chunks = [
        da.from_delayed(
            read(band, start, min(start + step, height), dask_key_name=f"read-{band.name}-{token}-{start}"),
            (min(step, height - start), width),
            np.dtype(band.dtype),
        )
        for start in range(0, height, step)
    ]
    data = da.concatenate(chunks, axis=0)
    array = xr.DataArray(data, dims=("y", "x"), name=band.name, attrs=_attributes(scene, band))
    _origin.put(data.name, _Origin(band, quality))
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


def coarsen(obj, *, factor=None, resolution=None, size=None, method=None, qa="conservative", mask=(), min_valid=0.0):
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

    request = _request(method, qa, mask, min_valid)
    target = {"factor": factor, "resolution": resolution, "size": size}
    if isinstance(obj, xr.DataArray):
        return _coarsen_array(obj, target, request, None)
    if not isinstance(obj, xr.Dataset):
        raise UsageError(
            f"cannot coarsen a {type(obj).__name__}: give a DataArray or Dataset, such as scene['red'] or "
            "rioxarray.open_rasterio(...)"
        )
    quality = next((a for n, a in obj.data_vars.items() if _is_quality(n, a)), None)
    parts = {n: _coarsen_array(a, target, request, quality) if _axes(a) else a for n, a in obj.data_vars.items()}
    return xr.Dataset(parts, attrs=obj.attrs)


def _request(method, qa, mask, min_valid) -> _Request:
    if method is not None and method not in METHODS:
        near = did_you_mean(str(method), METHODS)
        raise UsageError(f"method {method!r} is unknown{near}: choose one of {', '.join(METHODS)}")
    try:
        share = Fraction(str(min_valid))
    except ValueError as error:
        raise UsageError(f"min_valid {min_valid!r} is not a number: give a share from 0 to 1") from error
    if not 0 <= share <= 1:
        raise UsageError(f"min_valid {min_valid!r} must lie between 0 and 1: it is a share of the pixels")
    return _Request(method, _quality.check_policy(qa), words(mask), share)


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

    names = _axes(quality)
    single = [dim for dim in quality.dims if dim not in names and quality.sizes[dim] == 1]
    quality = _north_up(quality.squeeze(single, drop=True))
    if quality.ndim != 2:
        raise UsageError(f"cannot give fractions of dimensions {quality.dims}: take one time or band of it")
    spec, source = _spec(quality), _source_of(quality)
    if spec.kind != "bits":
        raise UsageError(f"cannot give fractions of {quality.name!r}: they are made from QA_PIXEL")
    bands = _quality.fraction_names(spec)
    grid = _grid_of(quality)
    ratio = ratio_for(grid, factor=factor, resolution=resolution, size=size)
    rule = _quality.QualityRule(spec, fractions=True)
    job = _Job(rule, grid, grid.coarsen(ratio), ratio, dtype="uint8", pick=1, bands=len(bands))
    data = _blocks(quality.data, None, job, source)
    attrs = {"units": "percent", "landsat_band": "QA_FRACTIONS"}
    coords = _other_coordinates(quality)
    arrays = {
        name: _georeference(
            xr.DataArray(data[k], dims=("y", "x"), coords=coords, attrs=attrs | {"long_name": name}), job.coarse, 255
        )
        for k, name in enumerate(bands)
    }
    return xr.Dataset(arrays)


def _is_quality(name, array) -> bool:
    return str(array.attrs.get("landsat_band", name)).upper() == "QA_PIXEL" and bool(_axes(array))


def _coarsen_array(array, target: dict, request: _Request, quality):
    """Reduce the last two dimensions of an array, plane by plane of the others."""
    import xarray as xr

    names = _axes(array)
    array = _north_up(array)
    grid = _grid_of(array)
    ratio = ratio_for(grid, **target)
    spec, source = _spec(array), _source_of(array)
    companion = _companion(array, spec, request, quality)
    rule = _rule(array, spec, request, companion)
    dtype = array.dtype if spec.kind == "bits" else output_dtype(rule.method, array.dtype)
    job = _Job(rule, grid, grid.coarsen(ratio), ratio, dtype=np.dtype(dtype).name, bits=companion.bits, request=request)
    lead = array.shape[:-2]
    planes = [_blocks(array.data[at], companion.plane(at), job, companion.origin(source)) for at in np.ndindex(lead)]
    data = planes[0] if not lead else _stacked(planes, lead)
    attrs = _kept_attributes(array, spec, rule)
    out = xr.DataArray(data, dims=array.dims, coords=_other_coordinates(array), name=array.name, attrs=attrs)
    nodata = spec.fill if spec.kind == "bits" else declared_nodata(rule)
    return _georeference(out, job.coarse, nodata).rename(dict(zip(("y", "x"), names, strict=True)))


def _stacked(planes: list, lead: tuple[int, ...]):
    if hasattr(planes[0], "dask"):
        import dask.array as da

        return da.stack(planes).reshape(*lead, *planes[0].shape)
    return np.stack(planes).reshape(*lead, *planes[0].shape)


def _kept_attributes(array, spec, rule) -> dict:
    attrs = {k: v for k, v in array.attrs.items() if k not in ("_FillValue", "missing_value", "grid_mapping")}
    if spec.kind != "bits" and rule.method in ("std", "sum"):
        attrs.pop("add_offset", None)  # an offset cancels in a deviation and multiplies in a sum
    return attrs


def _other_coordinates(array) -> dict:
    """Coordinates that do not depend on the pixel: time, band ..."""
    return {
        name: coordinate.variable
        for name, coordinate in array.coords.items()
        if not {"y", "x"} & set(coordinate.dims) and "grid_mapping_name" not in coordinate.attrs
    }


def _axes(array) -> tuple:
    """Names of an array's spatial dimensions (y, x); empty if it has none."""
    from rioxarray.exceptions import MissingSpatialDimensionError

    try:
        return array.rio.y_dim, array.rio.x_dim
    except MissingSpatialDimensionError:
        return ()


def _north_up(array):
    """The array as (..., y, x), its first row in the north."""
    names = _axes(array)
    if not names:
        raise SceneError(f"cannot coarsen an array of dimensions {array.dims}: it needs y and x")
    if array.rio.crs is None:
        raise SceneError("cannot coarsen an array without a CRS: give it one with .rio.write_crs('EPSG:...')")
    if array.dtype.kind not in "uif":
        raise UsageError(f"cannot coarsen {array.dtype} pixels: make numbers of them first, such as .astype('float32')")
    renamed = {old: new for old, new in zip(names, ("y", "x"), strict=True) if old != new}
    array = (array.rename(renamed) if renamed else array).transpose(..., "y", "x")
    if array.sizes["y"] > 1 and "y" in array.coords and array.y[0] < array.y[-1]:
        array = array.isel(y=slice(None, None, -1))
    return array


def _grid_of(array) -> Grid:
    """The grid that the coordinates say; the stored transform may be stale after a selection."""
    from landsat_downsample._scene._read import crs_name

    transform = array.rio.transform()
    origin, steps = [], []
    for dim, stored in (("x", transform.a), ("y", transform.e)):
        if dim not in array.coords:
            raise SceneError(f"cannot coarsen an array without {dim} coordinates: assign pixel centres to it")
        centre, step = np.asarray(array[dim], np.float64), stored
        if len(centre) > 1:
            step = (centre[-1] - centre[0]) / (len(centre) - 1)
            if np.abs(centre[0] + np.arange(len(centre)) * step - centre).max() > abs(step) * 1e-3:
                raise SceneError(
                    f"cannot coarsen: the {dim} coordinates are not evenly spaced; was the array coarsened by xarray?"
                )
        origin.append(centre[0] - step / 2)
        steps.append(step)
    exact = Affine(steps[0], 0.0, origin[0], 0.0, steps[1], origin[1])
    stored = transform.almost_equals(exact, 1e-6 * abs(steps[0]))
    return Grid((array.sizes["y"], array.sizes["x"]), transform if stored else exact, crs_name(array.rio.crs))


def _spec(array) -> _bands.BandSpec:
    source = _source_of(array)
    if source:
        return source.band.spec
    file = _file_of(array)
    name = str(array.attrs.get("landsat_band", array.name or "band"))
    found = _named(array, name, file)
    if file and not found.categorical and "landsat_band" not in array.attrs:
        of_file = _named(array, file.suffix, file)  # rioxarray gives a GeoTIFF's array no name
        name, found = (file.suffix, of_file) if of_file.categorical else (name, found)
    if found.kind == "bits" and array.dtype.kind not in "ui":
        raise UsageError(
            f"cannot coarsen {name} as {array.dtype}: its codes are bits and must stay integers; "
            "open it unmasked and unscaled"
        )
    return found


def _file_of(array) -> FileName | None:
    """The Landsat file that somebody else's array says it was opened from."""
    href = str(array.encoding.get("source", "")).partition("?")[0]
    return parse_file(href.replace("\\", "/").rpartition("/")[2])


def _named(array, name: str, file: FileName | None) -> _bands.BandSpec:
    sensor = str(array.attrs.get("landsat_sensor", file.product.sensor if file else "oli_tirs"))
    level = int(array.attrs.get("landsat_level", file.product.level if file else 2))
    found = _bands.find(name, _bands.specs(sensor, level))
    own = found is not None and ("landsat_band" in array.attrs or found.categorical)
    return found if own else _foreign(name)


def _foreign(name: str) -> _bands.BandSpec:
    """What the name of somebody else's array says: only that it holds codes; its own nodata speaks for the rest."""
    for sensor, level in (("oli_tirs", 2), ("tm", 2), ("etm", 1)):
        found = _bands.find(name, _bands.specs(sensor, level))
        if found and found.categorical:
            return found
    if name.upper() == "BQA":  # Collection 1 or older, which the name does not tell: codes stay codes
        return _bands.BandSpec(name=name, kind="class", method="mode")
    return _bands.unknown(name)


def _rule(array, spec, request: _Request, companion: _Companion):
    if spec.kind == "bits":
        if request.method not in (None, "mode", "nearest"):
            raise UsageError(
                f"method {request.method!r} for {spec.name} is refused: its values are bits; "
                "use mode or nearest, or qa="
            )
        return _quality.QualityRule(spec, request.method or request.qa, request.min_valid)
    if spec.kind == "class" and request.method in ("mean", "median", "sum", "std", "rms", "circular"):
        raise UsageError(
            f"method {request.method!r} for {spec.name} is refused: its values are classes; use mode or nearest"
        )
    nodata = array.rio.nodata
    nodata = spec.fill if nodata is None else float(nodata)
    method = request.method or spec.method
    rule = rule_of(spec, array.dtype, nodata, method=method, min_valid=request.min_valid, beside=companion.tells)
    if array.dtype.kind == "f" and spec.dtype and np.dtype(spec.dtype).kind != "f":
        rule = replace(rule, fill=np.nan)  # the stored fill means nothing once pixels were masked or scaled
    return rule


def _source_of(array) -> _Origin | None:
    name = getattr(array.data, "name", None)
    return _origin.get(name) if isinstance(name, str) else None


@dataclass(frozen=True, slots=True)
class _Companion:
    """Which quality band says which pixels count, and where it is."""

    bits: int = 0
    """Quality bits of pixels that do not count; 0 where there is no quality band."""
    tells: str = ""
    """``mask`` or ``fill``; empty where there is none."""
    array: object = None
    """(..., y, x), north up; None where it is read from its file."""

    def plane(self, at: tuple[int, ...]):
        """Its pixels beside one plane of the array."""
        if self.array is None:
            return None
        return self.array.data[at[len(at) - (self.array.ndim - 2) :]]

    def origin(self, source: _Origin | None) -> _Origin | None:
        """Where a block may be read from, instead of taking the pixels it is given."""
        if source is None or self.array is not None:
            return None
        return source if self.bits else _Origin(source.band, None)


def _companion(array, spec, request: _Request, quality) -> _Companion:
    wanted = request.mask if not spec.categorical else ()
    if not wanted and not spec.fill_from:
        return _Companion()
    tells, source = "mask" if wanted else "fill", _source_of(array)
    quality = None if quality is None else _beside(array, _north_up(quality))
    own = _source_of(quality) if quality is not None else None
    if source and source.quality and (quality is None or (own and own.band == source.quality)):
        return _Companion(_tested(source.quality.spec, wanted, spec), tells)
    if quality is not None:
        return _Companion(_tested(_spec(quality), wanted, spec), tells, quality)
    if wanted:
        raise UsageError(f"mask {','.join(wanted)!r} needs QA_PIXEL: coarsen a Dataset that holds it on the same grid")
    return _Companion()


def _tested(quality: _bands.BandSpec, wanted: tuple[str, ...], spec: _bands.BandSpec) -> int:
    return _quality.mask_bits(quality, wanted) | (_quality.fill_mask(quality) if spec.fill_from else 0)


def _beside(array, quality):
    """A quality array whose planes lie beside those of another; None if they do not."""
    extra = [dim for dim in quality.dims if dim not in array.dims]
    if any(quality.sizes[dim] > 1 for dim in extra):
        return None
    quality = quality.squeeze(extra, drop=True) if extra else quality
    return quality if quality.shape == array.shape[array.ndim - quality.ndim :] else None


@dataclass(frozen=True, slots=True)
class _Job:
    """What one block needs besides its rows; small, so that a task is a few kilobytes."""

    rule: Rule | _quality.QualityRule
    fine: Grid
    coarse: Grid
    ratio: tuple[Fraction, Fraction]
    dtype: str
    pick: int = 0
    """Which of the reducer's arrays is wanted."""
    bits: int = 0
    """Quality bits of pixels that do not count."""
    bands: int = 0
    """Leading dimension of the result, 0 for none."""
    request: _Request | None = None
    rows: tuple[int, int] | None = None
    """Cell rows of the block, first and past the last; None for all."""

    def overlay(self) -> Overlay:
        whole = Overlay.of(self.fine, self.coarse, self.fine, self.ratio)
        return whole if self.rows is None else Overlay(whole.rows.part(*self.rows), whole.columns)

    def run(self, read) -> np.ndarray:
        overlay = self.overlay()
        if isinstance(self.rule, _quality.QualityRule):
            found = _quality.reduce_quality(self.rule, overlay, read)
            wanted = found.percent if self.pick else found.codes
        else:
            parts = [data for _, (data,) in reduce_strips(reducer_for(self.rule, overlay), overlay, read)]
            wanted = np.concatenate(parts)
        return wanted.astype(self.dtype, copy=False)


def _blocks(data, quality, job: _Job, source: _Origin | None):
    """The reduced array: at once for NumPy, else a dask array of one block per row range."""
    if not hasattr(data, "dask"):
        return _reduce_rows(np.asarray(data), None if quality is None else np.asarray(quality), job, 0)
    import dask
    import dask.array as da

    rows = job.overlay().rows
    token = _token((data.name, getattr(quality, "name", None) or id(quality), repr(job)))
    label = getattr(getattr(job.rule, "spec", None), "name", "band")
    reduce_rows, reduce_file = dask.delayed(_reduce_rows, pure=True), dask.delayed(_reduce_file, pure=True)
    blocks = []
    for first, last in _row_ranges(rows, whole=bool(source and source.band.spec.candidates)):
        start, stop, part = int(rows.start[first]), int(rows.stop[last - 1]), replace(job, rows=(first, last))
        key = f"coarsen-{label}-{token}-{first}"
        if source:
            block = reduce_file(source.band, source.quality, part, dask_key_name=key)
        else:
            ok = None if quality is None else quality[start:stop]
            block = reduce_rows(data[start:stop], ok, part, start, dask_key_name=key)
        shape = (last - first, job.coarse.width)
        blocks.append(da.from_delayed(block, (job.bands, *shape) if job.bands else shape, np.dtype(job.dtype)))
    return da.concatenate(blocks, axis=-2)


def _row_ranges(rows: Cells, *, whole: bool) -> list[tuple[int, int]]:
    """Cell rows of each block: about `BLOCK_ROWS` source rows, or all of a file whose meaning all its codes tell."""
    if whole:
        return [(0, rows.size)]
    high = max(1, int((rows.stop - rows.start).max()))
    step = max(1, BLOCK_ROWS // high)
    return [(first, min(first + step, rows.size)) for first in range(0, rows.size, step)]


def _reduce_rows(values: np.ndarray, quality: np.ndarray | None, job: _Job, start: int) -> np.ndarray:
    def read(a: int, b: int):
        ok = None if quality is None else (quality[a - start : b - start] & job.bits) == 0
        return values[a - start : b - start], ok

    return job.run(read)


def _reduce_file(band: Band, quality: Band | None, job: _Job) -> np.ndarray:
    from contextlib import nullcontext

    with open_companion(quality, job.bits, band.grid) if quality else nullcontext() as companion:

        def reduce(rows: Rows) -> np.ndarray:
            spec = recognised(band.spec, rows, (0, band.grid.height))
            known = job
            if spec is not band.spec and spec.kind == "bits":
                request = job.request
                known = replace(job, rule=_quality.QualityRule(spec, request.method or request.qa, request.min_valid))
            return known.run(lambda a, b: (rows.read(a, b), companion.ok(a, b) if companion else None))

        return read_band(band, None, reduce)[0]
