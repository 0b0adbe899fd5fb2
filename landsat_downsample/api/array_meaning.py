"""What an array means: which band it is, whether it still is that band, and which of its pixels say nothing.

xarray keeps attributes through arithmetic (2025.11 and later), and names always. `encoding`, which says how pixels
are stored, stays with a selection and goes with every computation: an array without it was computed, and is not the
band that its attributes name.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
from rasterio.enums import MaskFlags
from rasterio.errors import RasterioError

from landsat_downsample.errors import UsageError
from landsat_downsample.formats.product_id import FileName, parse_file
from landsat_downsample.model import bands
from landsat_downsample.model.band import Band
from landsat_downsample.model.bands import BandSpec
from landsat_downsample.model.location import Location
from landsat_downsample.scenes import validity
from landsat_downsample.storage.recent import Recent

if TYPE_CHECKING:
    import xarray as xr

#: Where a nodata value is stated, as rioxarray looks for it; the first two are of CF.
NODATA = ("_FillValue", "missing_value", "fill_value", "nodata")

#: What says that values are classes: CF conventions 3.5, and Open Data Cube.
FLAGS = frozenset(("flag_values", "flag_masks", "flags_definition"))

#: Results of thresholds and differences, which a computed array holds as values though its attributes say "no data".
NATURAL = (0, 1)


@dataclass(frozen=True, eq=False)
class Origin:
    """A lazy array's own band, and the quality band beside it."""

    band: Band
    quality: Band | None


#: Which of our bands an untouched lazy array came from, by the name of its dask graph, which
#: is a digest of the band: the last few used, so that a long session does not grow.
origins: Recent[str, Origin] = Recent(4096)


def origin_of(array: xr.DataArray) -> Origin | None:
    """The band that a lazy array of ours reads, untouched."""
    name = getattr(array.data, "name", None)
    return origins.get(name) if isinstance(name, str) else None


@dataclass(frozen=True, slots=True)
class Meaning:
    """What the pixels of an array, or of one plane of it, are."""

    spec: BandSpec
    nodata: float | None = None
    """Value of a pixel without data, beside NaN."""
    masked: bool = False
    """Whether NaN is what a cell without data holds, whatever the stored band has."""
    doubt: float | None = None
    """What a computed array may hold against its band's meaning: that nodata value as data, flags instead of codes."""
    was: BandSpec | None = None
    """The band that a computed array came from, where it says so."""


def meaning_of(array: xr.DataArray, plane: str | None = None) -> Meaning:
    """What an array is; or a plane of a stack, which bears a name.

    Raises
    ------
    UsageError
        It holds codes in a type that cannot hold them, or integers that may or may not be data.
    """
    if origin := origin_of(array):
        return Meaning(origin.band.spec, origin.band.nodata)
    label, kept = str(plane or array.name or array.attrs.get("landsat_band", "the array")), is_kept(array)
    if array.dtype.kind == "b":
        return Meaning(bands.unknown(label), masked=True)
    found = _own(array, kept) or _foreign(array, plane, kept)
    believed = _holds_codes if found and found.categorical else _is_stored
    if found and believed(array, found, plane, kept):
        flag = 1.0 if found.kind == "bits" and "landsat_band" in array.attrs and not kept else None
        return _with_nodata(array, Meaning(found, doubt=flag), kept)
    return _with_nodata(array, Meaning(bands.unknown(label), was=found), kept)


def codes_of(array: xr.DataArray) -> BandSpec | None:
    """The bit field or classes that an array holds by its own word or its name, in whatever type; None for numbers."""
    if origin := origin_of(array):
        return origin.band.spec if origin.band.spec.categorical else None
    kept = is_kept(array)
    own, file = _own(array, kept), _file_of(array) if kept else None
    if own:
        return own if own.categorical else None
    return next((spec for name in _names(array, file) if (spec := _categorical(array, name, file))), None)


def spec_named(name: str, product: tuple[str, int] | None = None) -> BandSpec | None:
    """The band that a name stands for in a product, sensor and level; by default in those of Level-2."""
    tables = [product] if product else [("oli_tirs", 2), ("tm", 2)]
    return next((spec for key in tables if (spec := bands.find(name, bands.specs(*key)))), None)


def check_mask(array: xr.DataArray) -> None:
    """Look whether a file on this disk has a mask that an array opened from it has lost.

    Raises
    ------
    UsageError
        It has, and the array's integers cannot say which pixels were masked.
    """
    with _file_behind(array) as file:
        flags = {flag for band in file.mask_flag_enums for flag in band} if file else ()
        source = file.name if file else ""
    if MaskFlags.per_dataset in flags and array.dtype.kind in "iu":
        raise UsageError(
            f"cannot coarsen what was opened from {source!r}: the file's mask says which pixels are valid, "
            "and the array does not; open it with rioxarray.open_rasterio(..., masked=True)"
        )


@contextmanager
def _file_behind(array: xr.DataArray) -> Iterator[rasterio.DatasetReader | None]:
    """The file on this disk that rioxarray opened an array from, unmasked."""
    source, stored = str(array.encoding.get("source", "")), array.encoding.get("rasterio_dtype")
    with ExitStack() as stack:
        file = None
        if stored == array.dtype.name and os.path.isfile(source):
            with suppress(RasterioError):  # the array may still be read where its file is no longer a raster
                file = stack.enter_context(rasterio.open(source))
        yield file


def _says_classes(array: xr.DataArray, label: str) -> bool:
    """Whether attributes, or the file's colour table, say that integers are classes."""
    if not FLAGS.isdisjoint(array.attrs):
        return True
    with _file_behind(array) as file:
        if file is None:
            return False
        place = Location(file.name)
        return validity.meaning(file, bands.unknown(label), validity.sidecars(place), place).categorical


def planes_of(array: xr.DataArray) -> list[tuple[xr.DataArray, Meaning]]:
    """The array (..., y, x) in parts of one meaning each; a stack of bands is cut along them."""
    dim, names = _named_steps(array)
    if dim is None:
        return [(array, meaning_of(array))]
    parts = [(array.isel({dim: [k]}), meaning_of(array.isel({dim: k}), name)) for k, name in enumerate(names)]
    first = parts[0][1]
    alike = all(replace(m, spec=replace(m.spec, name=first.spec.name)) == first for _, m in parts)
    return [(array, first)] if alike else parts


def unstacked(array: xr.DataArray) -> xr.DataArray | xr.Dataset:
    """A stack of bands as a Dataset of them; anything else as it is."""
    import xarray as xr

    dim, names = _named_steps(array)
    if dim is None:
        return array
    parts = {name: array.isel({dim: k}, drop=True) for k, name in enumerate(names)}
    for part in parts.values():
        part.encoding = array.encoding
    return xr.Dataset(parts, attrs=array.attrs)


def _named_steps(array: xr.DataArray) -> tuple[Hashable, list[str]]:
    """The dimension of a stack of bands, and what they are called."""
    labels = {dim: array.coords[dim].values.tolist() for dim in array.dims[:-2] if dim in array.coords}
    labels["band"] = labels.get("band", [])
    if isinstance(array.attrs.get("long_name"), (tuple, list)) and not _words(labels["band"]):
        labels["band"] = list(array.attrs["long_name"])  # of a file of several bands, as rioxarray has it
    found = [(dim, names) for dim, names in labels.items() if _words(names) and array.sizes.get(dim) == len(names)]
    return found[0] if found else (None, [])


def _words(names: list[Any]) -> bool:
    return bool(names) and all(isinstance(name, str) for name in names)


def is_kept(array: xr.DataArray) -> bool:
    """Whether pixels are as somebody stored or made them: no computation dropped their encoding."""
    if "landsat_band" in array.attrs:  # of ours as we opened it, or as it came back from NetCDF or Zarr
        return not {"source", "preferred_chunks"}.isdisjoint(array.encoding)
    return bool(array.encoding)


def _own(array: xr.DataArray, kept: bool) -> BandSpec | None:
    """The band of ours that its attributes name, unless the user has given it another name."""
    name = array.attrs.get("landsat_band")
    found = name and _find(array, str(name), None)
    renamed = array.name is not None and not kept and _categorical(array, str(array.name), None) is None
    return None if found and found.categorical and renamed else found or None


def _foreign(array: xr.DataArray, plane: str | None, kept: bool) -> BandSpec | None:
    """What names, flags and the file say of somebody else's array."""
    file = _file_of(array) if kept else None
    for name in [plane] if plane else _names(array, file):
        if spec := _categorical(array, name, file):
            return spec
    label = str(plane or array.name or "the array")
    if array.dtype.kind in "iu" and _says_classes(array, label):
        return BandSpec(name=label, kind="class", method="mode")
    suffix = plane or (file.suffix if file else None)
    return None if suffix is None else _find(array, suffix, file)


def _names(array: xr.DataArray, file: FileName | None) -> list[str]:
    """Everything that an array may be called, the most telling first."""
    coordinates = [array.coords[c] for c in ("band", "variable") if c in array.coords and not array.coords[c].dims]
    said = [array.name, *(c.item() for c in coordinates), array.attrs.get("long_name"), file and file.suffix]
    return [name for name in said if isinstance(name, str) and name and " " not in name]


def _file_of(array: xr.DataArray) -> FileName | None:
    """The Landsat file that somebody else's array says it was opened from."""
    href = str(array.encoding.get("source", "")).partition("?")[0]
    return parse_file(href.replace("\\", "/").rpartition("/")[2])


def _stored(array: xr.DataArray) -> str:
    """The type in which the pixels are stored, or were until they were masked."""
    dtype = array.encoding.get("rasterio_dtype", array.encoding.get("dtype", array.dtype))
    return str(np.dtype(dtype))


def _find(array: xr.DataArray, name: str, file: FileName | None) -> BandSpec | None:
    sensor = str(array.attrs.get("landsat_sensor", file.product.sensor if file else "oli_tirs"))
    level = int(array.attrs.get("landsat_level", file.product.level if file else 2))
    return bands.find(name, bands.specs(sensor, level))


def _categorical(array: xr.DataArray, name: str, file: FileName | None) -> BandSpec | None:
    """The spec of codes that a name stands for, of any sensor."""
    tables = (bands.specs(*key) for key in (("oli_tirs", 2), ("tm", 2), ("etm", 1)))
    known = [_find(array, name, file), *(bands.find(name, table) for table in tables)]
    return next((spec for spec in known if spec and spec.categorical), None) or bands.coded(name)


def _is_stored(array: xr.DataArray, spec: BandSpec, plane: str | None, kept: bool) -> bool:
    """Whether values are those of a band, as it stores them."""
    return bool(kept or plane) and spec.dtype == _stored(array) and array.encoding.get("scale_factor", 1) == 1


def _holds_codes(array: xr.DataArray, spec: BandSpec, plane: str | None, kept: bool) -> bool:
    """Whether an array has the codes that its name stands for: in integers, or in floats that were codes when stored.

    Names of tables that we do not have say nothing of floats that were computed.
    """
    wide = array.dtype.kind in "iu" and array.dtype.itemsize >= np.dtype(spec.dtype or "u1").itemsize
    masked = array.dtype.kind == "f" and kept and np.dtype(_stored(array)).kind in "iu"
    if wide or (plane and array.dtype.kind == "f") or (masked and spec.kind == "class"):
        return True
    if not spec.dtype:
        return False
    words = ": open it unmasked and unscaled"
    if not masked:
        words = ", or, if it was computed from them, another name, or the condition itself (bool) for the share of true"
    raise UsageError(
        f"cannot coarsen {spec.name} as {array.dtype}: its codes are {spec.kind} and must stay integers; "
        f"give {spec.dtype}{words}"
    )


def _with_nodata(array: xr.DataArray, meaning: Meaning, kept: bool) -> Meaning:
    """Add which value says that a pixel has no data."""
    spec, floats = meaning.spec, array.dtype.kind == "f"
    key, stated = _stated(array)
    if stated is None:
        filled = spec.dtype == array.dtype.name
        return replace(meaning, nodata=spec.fill if filled else None, masked=floats)
    value = float(stated)
    typed = getattr(stated, "dtype", None)  # CF: that of the pixels it was stated for
    stale = typed is not None and typed.kind in "iu" and typed != array.dtype
    if floats and (stale or not kept):
        doubted = value in NATURAL
        return replace(meaning, nodata=None if doubted else value, masked=True, doubt=value if doubted else None)
    known = key != "encoding" and ("landsat_band" in array.attrs or (typed is not None and key in NODATA[:2]))
    if not floats and not spec.categorical and (stale or (known and not kept)):
        raise UsageError(
            f"cannot coarsen {array.name or 'the array'}: its {array.dtype} pixels were computed, and whether "
            f"{value:g} still means no data is not known: leave pixels out as NaN (.where(...)), or say "
            f".rio.write_nodata({value:g}, encoded=True), or array.attrs = {{}} if every value counts"
        )
    return replace(meaning, nodata=value, masked=False)


def _stated(array: xr.DataArray) -> tuple[str, Any]:
    """Where a nodata value other than NaN is stated, and which; an encoded one of integers is said after all else."""
    said = [("encoding", array.encoding.get("_FillValue"))] if array.dtype.kind in "iu" else []
    said += [(key, array.attrs.get(key)) for key in NODATA if "_FillValue" not in array.encoding]
    for key, value in said:
        try:
            if value is not None and not np.isnan(float(value)):
                return key, value
        except (TypeError, ValueError):
            continue
    return "", None
