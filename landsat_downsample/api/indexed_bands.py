"""Bands of a scene as arrays that are read where they are indexed, as xarray's own backends give them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from landsat_downsample.api.lazy_bands import (
    acquired,
    bands_of_one_grid,
    described,
    read_rows,
    rows_of_a_chunk,
    scene_attributes,
)
from landsat_downsample.api.product_layers import FurtherLayer, further_layers
from landsat_downsample.model.band import Band
from landsat_downsample.model.scene import Scene
from landsat_downsample.model.words import words

Names = str | Iterable[str] | None


class Pixels(BackendArray):
    """The pixels of a band, read where they are indexed: the rows in which they lie."""

    def __init__(self, band: Band, read: Callable[[int, int], np.ndarray]) -> None:
        self.read, self.shape, self.dtype = read, band.grid.shape, np.dtype(band.dtype)

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
        pixels: np.ndarray = self.read(first, last)[at, columns]
        return pixels


def indexed_dataset(scene: Scene, names: Names, dropped: str | Iterable[str] | None, *, decode: bool) -> xr.Dataset:
    """Bands of one grid, and of a product its statistics and shares; stored values, or decoded as CF says."""
    further, named = _asked(scene, names)
    bands = {} if named == [] else bands_of_one_grid(scene, named)
    return _dataset(scene, _in_order(names, bands | further), dropped, decode)


def indexed_groups(
    scene: Scene, names: Names, dropped: str | Iterable[str] | None, *, decode: bool
) -> dict[str, xr.Dataset]:
    """Bands in a group for each size of their pixels, ``/30m``, below one that says what the scene is."""
    further, named = _asked(scene, names)
    bands = {name: scene.band(name) for name in (scene.bands if named is None else named)}
    groups: dict[str, dict[str, Band | FurtherLayer]] = {}
    for name, one in _in_order(names, bands | further).items():
        grid = one.grid if isinstance(one, Band) else one.layer.band.grid
        groups.setdefault(f"/{grid.resolution[0]:g}m", {})[name] = one
    made = {group: _dataset(scene, some, dropped, decode) for group, some in groups.items()}
    return {"/": xr.Dataset(attrs=scene_attributes(scene)), **made}


def _asked(scene: Scene, names: Names) -> tuple[dict[str, FurtherLayer], list[str] | None]:
    """What is asked for beside bands, and the names of those; None for all."""
    wanted = None if names is None else words(names)
    further = further_layers(scene, wanted)
    return further, None if wanted is None else [name for name in wanted if name not in further]


def _in_order(names: Names, found: dict[str, Band | FurtherLayer]) -> dict[str, Band | FurtherLayer]:
    return found if names is None else {name: found[name] for name in words(names)}


def _dataset(
    scene: Scene, chosen: dict[str, Band | FurtherLayer], dropped: str | Iterable[str] | None, decode: bool
) -> xr.Dataset:
    left_out = words(dropped or ())
    arrays = {name: _array(scene, one) for name, one in chosen.items() if name not in left_out}
    dataset = xr.Dataset(arrays, attrs=scene_attributes(scene))
    return xr.decode_cf(dataset, decode_times=False, decode_coords=False) if decode else dataset


def _array(scene: Scene, one: Band | FurtherLayer) -> xr.DataArray:
    if isinstance(one, Band):
        array = described(scene, one, _indexed(one, partial(read_rows, one)))
        band = one
    else:
        band = one.layer.band
        array = one.described(_indexed(band, one.read), acquired(scene))
    array.encoding["preferred_chunks"] = {"y": rows_of_a_chunk(band), "x": band.grid.width}  # what `chunks={}` takes
    return array


def _indexed(band: Band, read: Callable[[int, int], np.ndarray]) -> indexing.LazilyIndexedArray:
    return indexing.LazilyIndexedArray(Pixels(band, read))
