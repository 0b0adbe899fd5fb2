"""``xr.open_dataset(scene, engine="landsat")`` and ``xr.open_datatree``: the entry point of xarray.

Arrays are read where they are indexed, or by dask where ``chunks=`` is given.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray, BackendEntrypoint
from xarray.core import indexing

from landsat_downsample.api.lazy_bands import bands_of_one_grid, described, read_rows, rows_of_a_chunk, scene_attributes
from landsat_downsample.api.scene import open_scene
from landsat_downsample.formats.product_id import parse
from landsat_downsample.model.band import Band
from landsat_downsample.model.scene import Scene
from landsat_downsample.model.words import words

#: What may follow a product ID in the last part of a path that this engine opens without being asked for.
ENDINGS = ("", ".tar", "_MTL.txt", "_MTL.json", "_MTL.xml")


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


class LandsatBackend(BackendEntrypoint):
    """A Landsat scene as a Dataset of one grid, or as a tree of its grids (``30m``, ``15m``)."""

    description = "Landsat scenes: folders, prefixes, tars, MTL files, STAC items"
    supports_groups = True

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether the last part of a path is a Landsat product ID: without a look at it."""
        try:
            name = os.fspath(filename_or_obj).rstrip("/").rpartition("/")[2]
        except (TypeError, AttributeError):
            return False
        product = parse(name)
        return product is not None and name[len(product.id) :] in ENDINGS and name.upper().startswith(product.id)

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        mask_and_scale: bool = False,
        drop_variables: str | Iterable[str] | None = None,
        bands: str | Iterable[str] | None = None,
        requester_pays: bool = False,
    ) -> xr.Dataset:
        """Open bands of one grid, stored values unless ``mask_and_scale=True``; all but the panchromatic by default.

        `bands` names variables as of `Scene.dataset`; what opens as a scene is what `open_scene` takes, or a Scene.
        """
        scene = _scene(filename_or_obj, requester_pays=requester_pays)
        return _dataset(scene, bands_of_one_grid(scene, bands), mask_and_scale, drop_variables)

    def open_groups_as_dict(
        self,
        filename_or_obj: Any,
        *,
        mask_and_scale: bool = False,
        drop_variables: str | Iterable[str] | None = None,
        bands: str | Iterable[str] | None = None,
        requester_pays: bool = False,
    ) -> dict[str, xr.Dataset]:
        """Open all bands, those of each pixel size in a group: ``/30m``, ``/15m``."""
        scene = _scene(filename_or_obj, requester_pays=requester_pays)
        names = list(scene.bands) if bands is None else words(bands)
        groups: dict[str, dict[str, Band]] = {}
        for name in names:
            band = scene.band(name)
            groups.setdefault(f"/{band.grid.resolution[0]:g}m", {})[name] = band
        made = {group: _dataset(scene, chosen, mask_and_scale, drop_variables) for group, chosen in groups.items()}
        return {"/": xr.Dataset(attrs=scene_attributes(scene)), **made}

    def open_datatree(
        self,
        filename_or_obj: Any,
        *,
        mask_and_scale: bool = False,
        drop_variables: str | Iterable[str] | None = None,
        bands: str | Iterable[str] | None = None,
        requester_pays: bool = False,
    ) -> xr.DataTree:
        """Open all bands as a tree with a group for each pixel size."""
        return xr.DataTree.from_dict(
            self.open_groups_as_dict(
                filename_or_obj,
                mask_and_scale=mask_and_scale,
                drop_variables=drop_variables,
                bands=bands,
                requester_pays=requester_pays,
            )
        )


def _scene(given: Any, *, requester_pays: bool) -> Scene:
    return given if isinstance(given, Scene) else open_scene(given, requester_pays=requester_pays)


def _dataset(
    scene: Scene, bands: dict[str, Band], mask_and_scale: bool, drop_variables: str | Iterable[str] | None
) -> xr.Dataset:
    dropped = {drop_variables} if isinstance(drop_variables, str) else set(drop_variables or ())
    arrays = {name: _array(scene, band) for name, band in bands.items() if name not in dropped}
    dataset = xr.Dataset(arrays, attrs=scene_attributes(scene))
    return xr.decode_cf(dataset, decode_times=False, decode_coords=False) if mask_and_scale else dataset


def _array(scene: Scene, band: Band) -> xr.DataArray:
    array = described(scene, band, indexing.LazilyIndexedArray(Pixels(band)))
    array.encoding["preferred_chunks"] = {"y": rows_of_a_chunk(band), "x": band.grid.width}  # what `chunks={}` takes
    return array
