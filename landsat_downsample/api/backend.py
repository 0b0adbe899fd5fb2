"""``xr.open_dataset(scene, engine="landsat")`` and ``xr.open_datatree``: the entry point of xarray.

xarray loads it with every file that it is not told the engine of, so that it must be light.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import xarray as xr
from xarray.backends import BackendEntrypoint

from landsat_downsample.formats.product_id import parse

if TYPE_CHECKING:
    from landsat_downsample.model.scene import Scene

#: What may follow a product ID in the last part of a path that this engine opens without being asked for: of a scene,
#: and of a product of ours, perhaps of a tile.
_ENDING = re.compile(r"(\.tar|_MTL\.(txt|json|xml)|(_[0-9A-Za-z]+)?_downsampled(\.tar|\.stac\.json)?)?")


class LandsatBackend(BackendEntrypoint):
    """A Landsat scene as a Dataset of one grid, or as a tree with a group for each size of pixels."""

    description = "Landsat scenes: folders, prefixes, tars, MTL files, STAC items"
    supports_groups = True

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether the last part of a path is a Landsat product ID: without a look at it."""
        try:
            name = os.fspath(filename_or_obj)
        except TypeError:
            return False
        name = name.rstrip("/").rpartition("/")[2] if isinstance(name, str) else ""
        product = parse(name)
        if product is None or not name.upper().startswith(product.id.upper()):
            return False
        return _ENDING.fullmatch(name, len(product.id)) is not None

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        mask_and_scale: bool = False,
        drop_variables: str | Iterable[str] | None = None,
        bands: str | Iterable[str] | None = None,
        requester_pays: bool = False,
        decode_times: Any = None,
        decode_coords: Any = None,
    ) -> xr.Dataset:
        """Open bands of one grid, stored values unless ``mask_and_scale=True``; all but the panchromatic by default.

        `bands` names variables as of `Scene.dataset`; what opens as a scene is what `open_scene` takes, or a Scene.
        `decode_times` and `decode_coords` change nothing: the time is one, and ``spatial_ref`` is a coordinate.
        """
        from landsat_downsample.api.indexed_bands import indexed_dataset

        scene = _scene(filename_or_obj, requester_pays=requester_pays)
        return indexed_dataset(scene, bands, drop_variables, decode=mask_and_scale)

    def open_groups_as_dict(
        self,
        filename_or_obj: Any,
        *,
        mask_and_scale: bool = False,
        drop_variables: str | Iterable[str] | None = None,
        bands: str | Iterable[str] | None = None,
        requester_pays: bool = False,
        decode_times: Any = None,
        decode_coords: Any = None,
    ) -> dict[str, xr.Dataset]:
        """Open all bands, those of each pixel size in a group: ``/30m``, ``/15m``; arguments as of `open_dataset`."""
        from landsat_downsample.api.indexed_bands import indexed_groups

        scene = _scene(filename_or_obj, requester_pays=requester_pays)
        return indexed_groups(scene, bands, drop_variables, decode=mask_and_scale)

    def open_datatree(self, filename_or_obj: Any, **how: Any) -> xr.DataTree:
        """Open all bands as a tree with a group for each pixel size; arguments as of `open_groups_as_dict`."""
        return xr.DataTree.from_dict(self.open_groups_as_dict(filename_or_obj, **how))


def _scene(given: Any, *, requester_pays: bool) -> Scene:
    from landsat_downsample.api.scene import open_scene
    from landsat_downsample.model.scene import Scene

    return given if isinstance(given, Scene) else open_scene(given, requester_pays=requester_pays)
