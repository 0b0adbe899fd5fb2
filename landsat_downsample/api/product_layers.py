"""What a product of this library has beside the bands of its scene: statistics, shares of pixels, indices."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from landsat_downsample.api.array_grid import georeference
from landsat_downsample.cubes.cell_blocks import source_of
from landsat_downsample.cubes.reduced_scene import Layer, ReducedScene
from landsat_downsample.cubes.series import Variable
from landsat_downsample.model.indices import called
from landsat_downsample.model.location import Location
from landsat_downsample.model.product import MARKER, SUFFIX
from landsat_downsample.model.scene import Scene
from landsat_downsample.storage import files


@dataclass(frozen=True)
class FurtherLayer:
    """A statistic, a share or an index of a product."""

    product: ReducedScene
    layer: Layer

    def read(self, first: int, last: int) -> np.ndarray:
        """Rows, as stored."""
        return source_of(self.layer).read((first, last, 0, self.layer.band.grid.width))

    def described(self, pixels: Any, time: xr.Variable | None) -> xr.DataArray:
        """Its cells (y, x), with all that is known of it."""
        layer, band = self.layer, self.layer.band
        variable = Variable(layer.name, {self.product.location.href: layer})
        array = xr.DataArray(pixels, dims=("y", "x"), name=layer.name, attrs=variable.attributes([self.product]))
        array.encoding = {"source": band.location.shown, "dtype": band.dtype}  # goes when cells are computed
        if time is not None:
            array.coords["time"] = time
        return georeference(array, band.grid, None if layer.stat == "count" else variable.fill)


def further_layers(scene: Scene, names: Iterable[str] | None) -> dict[str, FurtherLayer]:
    """Those of a scene that is a product of ours, by the names that were asked for: ``red_std``, ``cloud``.

    By default all, by USGS name: ``SR_B4_std``. None of a scene that is no product.
    """
    product = _product(scene.location)
    if product is None:
        return {}
    if names is None:
        named = {one.share or "_".join(filter(None, (one.band.name, one.stat))): one for one in product.layers.values()}
    else:
        named = {name: one for name in names if not scene.spec(name) and (one := product.find(name))}
    return {
        name: FurtherLayer(product, one)
        for name, one in named.items()
        if one.share or one.stat or called(one.band.name)
    }


def _product(place: Location) -> ReducedScene | None:
    """The product that a folder, an item or a tar is; None where it is none of ours."""
    item = place.name if place.name.endswith(MARKER) else place.name.removesuffix(".tar") + MARKER
    if not item.endswith(SUFFIX + MARKER):
        return None
    at = place if place.name == item else place / item
    return ReducedScene.of(json.loads(files.read_bytes(at)), at) if files.exists(at) else None
