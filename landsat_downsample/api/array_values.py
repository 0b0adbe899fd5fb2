"""What pixels say: arrays without their clouds, in physical units, flag by flag, as an index.

For bands that `open_scene` opened, and for those of others (odc-stac, stackstac, rioxarray, Zarr) as far as
names and attributes say what they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from landsat_downsample.api.array_blocks import whole_codes
from landsat_downsample.api.array_grid import axes
from landsat_downsample.api.array_mask import is_quality, tested_bits
from landsat_downsample.api.array_meaning import NODATA, codes_of, is_kept, meaning_of, origin_of, spec_named
from landsat_downsample.api.lazy_bands import lazy_pixels
from landsat_downsample.errors import UsageError
from landsat_downsample.model import flags as flags_module
from landsat_downsample.model.band_attributes import index_attributes
from landsat_downsample.model.indices import Index, common_names, index_of
from landsat_downsample.model.words import words

if TYPE_CHECKING:
    import xarray as xr

    from landsat_downsample.model.bands import BandSpec

Raster = TypeVar("Raster", "xr.DataArray", "xr.Dataset")

#: Where a scale and an offset are stated: by CF, and by STAC.
SCALES = (("scale_factor", "add_offset"), ("scale", "offset"))
SCALED = frozenset(word for pair in SCALES for word in pair)

#: Units of counts and shares, which are stored as they are.
PLAIN = ("1", "pixel", "percent")

#: No reflectance is greater, and no stored number of a valid pixel that has a scale is less.
REFLECTANCE = 100


def masked(obj: Raster, flags: str | Iterable[str] = (), *, qa: xr.DataArray | None = None) -> Raster:
    """NaN where there is no data, and where QA_PIXEL has one of `flags`; bit fields and classes stay as they are.

    Parameters
    ----------
    obj : xarray.DataArray or xarray.Dataset
        Stored values, or physical ones.
    flags : str or sequence of str
        Flags of QA_PIXEL, as of `coarsen`: ``cloud,shadow``.
    qa : xarray.DataArray, optional
        QA_PIXEL on the same grid; by default that of the Dataset, or of the scene that a band came from.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        Floats where there were integers; scale and offset are stated as before.

    Raises
    ------
    UsageError
        There is no QA_PIXEL, it has no such flag, or it lies on other pixels.
    """
    wanted = words(flags)
    return _each(obj, lambda array, quality: _masked(array, wanted, quality), qa)


def scaled(obj: Raster, *, scale: float | None = None, offset: float | None = None, level: int | None = None) -> Raster:
    """Physical units (reflectance, kelvin), NaN where there is no data; bit fields and classes stay as they are.

    Parameters
    ----------
    obj : xarray.DataArray or xarray.Dataset
        Arrays that state their scale, or come from a file whose name does. What is in physical units stays so.
    scale, offset : float, optional
        Instead of what is stated: physical = scale * stored + offset.
    level : int, optional
        2 says that bands without a stated scale are those of Landsat Collection 2 Level-2, by their names.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        float32, or float64 where values have more than 16 bits.

    Raises
    ------
    UsageError
        Nothing states the scale of integers, or whether it has been applied is not known.
    """
    given = None if scale is None and offset is None else (1.0 if scale is None else scale, offset or 0.0)
    return _each(obj, lambda array, quality: _scaled(array, quality, given, level), None)


def flags(obj: xr.DataArray | xr.Dataset) -> xr.Dataset:
    """Boolean variables, one for each flag and level of a bit field: ``cloud``, ``water``, ``cloud_confidence_high``.

    Parameters
    ----------
    obj : xarray.DataArray or xarray.Dataset
        A bit field of any sensor, or a Dataset that holds QA_PIXEL.

    Raises
    ------
    UsageError
        It is no bit field whose flags are known.
    """
    import xarray as xr

    array = obj if isinstance(obj, xr.DataArray) else quality_of(obj)
    spec = None if array is None else codes_of(array)
    known = {} if array is None else flags_module.meanings(spec) if spec else _cf_flags(array)
    if not known or array is None:
        raise UsageError(f"{_called(obj)} has no flags: take QA_PIXEL or another bit field, or a Dataset that holds it")
    titles = {field.name: field.description for field in spec.fields} if spec else {}
    found = {}
    for name, (mask, value) in known.items():
        found[name] = _apply(_holds, array, dtype=bool, spec=spec, mask=mask, value=value).rename(name)
        found[name].attrs = {"long_name": titles.get(name, name.replace("_", " "))}
    return xr.Dataset(found)


def index(dataset: xr.Dataset, name: str, *, level: int | None = None) -> xr.DataArray:
    """A spectral index of reflectances: ``ndvi``, ``evi``, ``savi``, ``msavi``, ``ndmi``, ``nbr``, ``ndwi`` ...

    Between -1 and 1, as USGS's own: where reflectances are negative, a ratio has no bound. ``lst`` is the surface
    temperature in kelvin.

    Parameters
    ----------
    dataset : xarray.Dataset
        Bands by common name (``red``, ``nir08``), or by USGS name where they say of which sensor; scaled first
        where they are not yet. Floats that state no scale are taken as reflectances.
    name : str
        One of the table in `landsat_downsample.model.indices`, which has their sources.
    level : int, optional
        As of `scaled`.

    Raises
    ------
    UsageError
        The index is unknown, a band of it is not there, or its scale is not known.
    """
    wanted = index_of(name)
    bands = [scaled(array, level=level) for array in bands_of(dataset, wanted)]

    def formula(*values: np.ndarray) -> np.ndarray:
        highest = max(v[np.isfinite(v)].max(initial=0) for v in values)
        if wanted.unit == "1" and highest > REFLECTANCE:
            raise UsageError(f"{name} is made of reflectances, and its bands hold {highest:g}: scale them first")
        return wanted.value(*values).astype("float32")

    made = _apply(formula, *bands, dtype="float32").rename(name.lower())
    made.attrs = index_attributes(wanted)
    return made


def bands_of(dataset: xr.Dataset, wanted: Index) -> list[xr.DataArray]:
    """The variables that an index is made of, in the order of its formula.

    Raises
    ------
    UsageError
        One is not there.
    """
    named = {
        _common_name(key, array): array
        for key, array in dataset.data_vars.items()
        if "landsat_statistic" not in array.attrs  # a deviation or count of a band is not the band
    }
    found = [next((named[name] for name in common_names(band) if name in named), None) for band in wanted.bands]
    if missing := [band for band, array in zip(wanted.bands, found, strict=True) if array is None]:
        have = ", ".join(map(str, dataset.data_vars))
        raise UsageError(f"{wanted.name} needs {', '.join(wanted.bands)}, and {', '.join(missing)} is not among {have}")
    return [array for array in found if array is not None]


def stored_or_physical(
    arrays: list[xr.DataArray],
) -> tuple[list[xr.DataArray], list[tuple[float, float]], list[float | None]]:
    """Bands as they are stored, where all are integers that state a scale, else in physical units.

    Returns
    -------
    arrays, scalings, nodata
        What makes physical values of each, and which of its numbers are none.
    """
    scalings = [_stated(array) if array.dtype.kind in "iu" else None for array in arrays]
    if all(scalings):
        return arrays, [s for s in scalings if s], [meaning_of(array).nodata for array in arrays]
    return [scaled(array) for array in arrays], [(1.0, 0.0)] * len(arrays), [None] * len(arrays)


def quality_of(dataset: xr.Dataset) -> xr.DataArray | None:
    """The QA_PIXEL of a Dataset, if it holds one."""
    return next((array for name, array in dataset.data_vars.items() if is_quality(name, array)), None)


def _each(
    obj: Raster, change: Callable[[xr.DataArray, xr.DataArray | None], xr.DataArray], qa: xr.DataArray | None
) -> Raster:
    """Change each raster of a Dataset, beside its quality band."""
    import xarray as xr

    if isinstance(obj, xr.DataArray):
        return change(obj, qa)
    qa = quality_of(obj) if qa is None else qa
    return obj.assign({name: change(array, qa) for name, array in obj.data_vars.items() if axes(array)})


def _is_data(array: xr.DataArray) -> bool:
    """Whether numbers of an array are measurements, as far as is known without looking at them."""
    return array.dtype.kind in "uif" and codes_of(array) is None and not meaning_of(array).spec.categorical


def _masked(
    array: xr.DataArray, wanted: tuple[str, ...], quality: xr.DataArray | None, fill: float | None = None
) -> xr.DataArray:
    if not _is_data(array):
        return array
    meaning = meaning_of(array)
    nodata = fill if meaning.nodata is None else meaning.nodata
    valid = None if nodata is None or np.isnan(nodata) else array != nodata
    if wanted or meaning.spec.fill_from:
        clear = _clear(array, wanted, quality)
        valid = clear if valid is None else valid if clear is None else valid & clear
    floats = array.dtype if array.dtype.kind == "f" else np.dtype("f4" if array.dtype.itemsize <= 2 else "f8")
    made = array.astype(floats) if valid is None else array.where(valid).astype(floats)
    made.attrs = {key: value for key, value in array.attrs.items() if key not in NODATA}
    kept = ("source", "preferred_chunks", "grid_mapping")  # what says that pixels are as they were stored
    made.encoding = {key: array.encoding[key] for key in kept if key in array.encoding}
    if array.dtype.kind in "iu" and nodata is not None:  # so that it is stored as it was
        made.encoding |= {"dtype": array.dtype.name, "_FillValue": array.dtype.type(nodata)}
    return made


def _clear(array: xr.DataArray, wanted: tuple[str, ...], quality: xr.DataArray | None) -> xr.DataArray | None:
    """Where the quality band has none of the flags, nor says that there is no data; None without one."""
    import xarray as xr

    origin = origin_of(array)
    if quality is None and origin and origin.quality:
        pixels, spec = lazy_pixels(origin.quality, origin.quality), origin.quality.spec
        quality = xr.DataArray(pixels, coords={dim: array.coords[dim] for dim in array.dims}, dims=array.dims)
    elif quality is not None:
        found = codes_of(quality)
        if found is None or not found.fields:
            raise UsageError(f"{_called(quality)} is no quality band: give QA_PIXEL, by this name")
        spec = found
    elif wanted:
        raise UsageError(f"mask {','.join(wanted)!r} needs QA_PIXEL: mask a Dataset that holds it, or give it as qa=")
    else:
        return None
    if any(not np.array_equal(array[dim], quality[dim]) for dim in quality.dims if dim in array.dims):
        raise UsageError(f"{_called(quality)} does not lie on the pixels of {_called(array)}: give both on one grid")
    return lacks(quality, spec, tested_bits(spec, wanted, meaning_of(array).spec))


def lacks(quality: xr.DataArray, spec: BandSpec, bits: int) -> xr.DataArray:
    """Where a quality band has none of some bits."""
    return _apply(_lacks, quality, dtype=bool, spec=spec, bits=bits)


def _scaled(
    array: xr.DataArray, quality: xr.DataArray | None, given: tuple[float, float] | None, level: int | None
) -> xr.DataArray:
    if not _is_data(array):
        return array
    if array.attrs.get("units") in PLAIN and not given and SCALED.isdisjoint(array.attrs):
        return _masked(array, (), quality)
    terms, known = given or _stated(array), "landsat_level" in array.attrs or not SCALED.isdisjoint(array.encoding)
    spec = spec_named(str(array.name)) if level == 2 and terms is None and not known else None
    if spec and spec.scale is not None:
        terms = spec.scale, spec.offset or 0.0
    if terms is None and array.dtype.kind != "f":
        raise UsageError(
            f"cannot scale {_called(array)}: nothing states its scale; give scale= and offset=, "
            "or level=2 if it is a band of Landsat Collection 2 Level-2 (Level-1 numbers have their factors in the MTL)"
        )
    made = _masked(array, (), quality, spec.fill if spec and array.dtype.kind in "iu" else None)
    doubted = _called(array) if array.dtype.kind == "f" and not known and not given else None
    scale, offset = terms or (None, 0.0)
    made = _apply(_physical, made, dtype=made.dtype, scale=scale, offset=offset, doubted=doubted)
    made.attrs = {key: value for key, value in array.attrs.items() if key not in {*NODATA, *SCALED}}
    made.encoding = {key: value for key, value in array.encoding.items() if key == "grid_mapping"}
    return made


def _stated(array: xr.DataArray) -> tuple[float, float] | None:
    """Scale and offset that are still to be applied, as attributes or the file's name state them.

    Raises
    ------
    UsageError
        They are stated of floats that were computed: perhaps with them.
    """
    if not SCALED.isdisjoint(array.encoding):
        return None  # applied when it was opened
    for scale, offset in SCALES:
        pair = float(array.attrs.get(scale, 1)), float(array.attrs.get(offset, 0))
        if pair != (1, 0):
            if array.dtype.kind == "f" and not is_kept(array):
                raise UsageError(
                    f"cannot scale {_called(array)}: its floats were computed, and whether with its {scale} is not "
                    "known; scale it before, or give scale= and offset="
                )
            return pair
    spec = meaning_of(array).spec
    return None if spec.scale is None else (spec.scale, spec.offset or 0.0)


def _common_name(name: Any, array: xr.DataArray) -> str:
    """What a variable is, as indices name bands."""
    attrs = array.attrs
    known = "landsat_sensor" in attrs and "landsat_level" in attrs
    table = (str(attrs["landsat_sensor"]), int(attrs["landsat_level"])) if known else None
    spec = spec_named(str(attrs.get("landsat_band", name)), table)
    if spec and (known or str(name).upper() != spec.name):  # SR_B4 is red or nir: it depends on the sensor
        return spec.common_name or spec.name
    return str(name)


def _cf_flags(array: xr.DataArray) -> dict[str, tuple[int, int]]:
    """Flags as attributes of the CF conventions state them."""
    names = str(array.attrs.get("flag_meanings", "")).split()
    masks, values = array.attrs.get("flag_masks"), array.attrs.get("flag_values")
    if masks is None and values is None:
        return {}
    masks = np.atleast_1d(masks if masks is not None else np.full(len(names), -1)).tolist()
    values = masks if values is None else np.atleast_1d(values).tolist()
    return {name: (mask, value) for name, mask, value in zip(names, masks, values, strict=False)}


def _called(obj: xr.DataArray | xr.Dataset) -> str:
    return repr(str(obj.name)) if getattr(obj, "name", None) is not None else f"the {type(obj).__name__}"


def _apply(work: Callable[..., np.ndarray], *arrays: Any, dtype: Any = None, **how: Any) -> xr.DataArray:
    import xarray as xr

    made: xr.DataArray = xr.apply_ufunc(
        work, *arrays, kwargs=how, dask="parallelized", output_dtypes=[dtype], join="exact"
    )
    return made


def _holds(values: np.ndarray, spec: BandSpec | None, mask: int, value: int) -> np.ndarray:
    stored, known = whole_codes(values)
    codes = flags_module.codes_of(stored, spec) if spec else stored
    found: np.ndarray = (codes & mask) == value
    if spec and not spec.field("fill"):  # a level of 0 is none of what has no data
        found &= ~flags_module.without_data(stored, spec)
    return found if known is None else found & known


def _lacks(values: np.ndarray, spec: BandSpec, bits: int) -> np.ndarray:
    codes, known = whole_codes(values)
    clear: np.ndarray = (flags_module.codes_of(codes, spec) & bits) == 0
    return clear if known is None else clear & known


def _physical(values: np.ndarray, scale: float | None, offset: float, doubted: str | None) -> np.ndarray:
    """Scale numbers; floats of which nothing says whether they are, `doubted`, are looked at."""
    number = values[np.isfinite(values)] if doubted else values[:0]
    if scale is None:
        if number.size and number.max() > REFLECTANCE and (number == np.rint(number)).all():
            raise UsageError(
                f"cannot scale {doubted}: nothing states a scale, and its floats are whole numbers up to "
                f"{number.max():g}, as stored: give scale= and offset=, or level=2 if they are of Level-2"
            )
        return values
    if number.size and number.max() <= REFLECTANCE:
        raise UsageError(f"cannot scale {doubted}: its floats, up to {number.max():g}, are no stored numbers")
    return (values.astype("float64") * scale + offset).astype(values.dtype)
