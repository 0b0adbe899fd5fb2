"""Bands of a scene as arrays that are read where they are indexed, as xarray's own backends give them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from landsat_downsample.api.lazy_bands import bands_of_one_grid, described, read_rows, rows_of_a_chunk, scene_attributes
from landsat_downsample.model.band import Band
from landsat_downsample.model.scene import Scene
from landsat_downsample.model.words import words

Names = str | Iterable[str] | None


class Pixels(BackendArray):
    """The pixels of a band, read where they are indexed: the rows in which they lie."""

    def __init__(self, band: Band) -> None:
        self.band, self.shape, self.dtype = band, band.grid.shape, np.dtype(band.dtype)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        """Read what is asked for."""
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._read)

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        rows, columns = key
        wanted = range(self.shape[0])[rows] if isinstance(rows, slice) else [int(rows)]
        if not len(wanted):
            nothing: np.ndarray = np.empty(self.shape, self.dtype)[key]
            return nothing
        first, last = min(wanted), max(wanted) + 1
        at: Any = slice(None, None, wanted.step) if isinstance(wanted, range) else 0
        pixels: np.ndarray = read_rows(self.band, first, last)[at, columns]
        return pixels


def indexed_dataset(scene: Scene, names: Names, dropped: str | Iterable[str] | None, *, decode: bool) -> xr.Dataset:
    """Bands of one grid, stored values unless they are to be decoded as the CF conventions say."""
    return _dataset(scene, bands_of_one_grid(scene, names), dropped, decode)


def indexed_groups(
    scene: Scene, names: Names, dropped: str | Iterable[str] | None, *, decode: bool
) -> dict[str, xr.Dataset]:
    """Bands in a group for each size of their pixels, ``/30m``, below one that says what the scene is."""
    groups: dict[str, dict[str, Band]] = {}
    for name in scene.bands if names is None else words(names):
        band = scene.band(name)
        groups.setdefault(f"/{band.grid.resolution[0]:g}m", {})[name] = band
    made = {group: _dataset(scene, bands, dropped, decode) for group, bands in groups.items()}
    return {"/": xr.Dataset(attrs=scene_attributes(scene)), **made}


def _dataset(scene: Scene, bands: dict[str, Band], dropped: str | Iterable[str] | None, decode: bool) -> xr.Dataset:
    left_out = words(dropped or ())
    arrays = {name: _array(scene, band) for name, band in bands.items() if name not in left_out}
    dataset = xr.Dataset(arrays, attrs=scene_attributes(scene))
    return xr.decode_cf(dataset, decode_times=False, decode_coords=False) if decode else dataset


def _array(scene: Scene, band: Band) -> xr.DataArray:
    array = described(scene, band, indexing.LazilyIndexedArray(Pixels(band)))
    array.encoding["preferred_chunks"] = {"y": rows_of_a_chunk(band), "x": band.grid.width}  # what `chunks={}` takes
    return array
