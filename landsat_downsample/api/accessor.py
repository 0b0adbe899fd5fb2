"""The accessor ``.landsat`` of xarray's Dataset and DataArray. It is there once this module is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import MethodType
from typing import Any

import xarray as xr


@xr.register_dataset_accessor("landsat")
class DatasetAccessor:
    """Landsat bands of a Dataset: coarser, without clouds, in physical units, as flags, as an index.

    Examples
    --------
    >>> ds = scene.dataset(["red", "nir08", "qa_pixel"])
    >>> coarse = ds.landsat.coarsen(factor=10, mask="cloud,shadow")
    >>> coarse.landsat.scaled()["red"].dtype
    dtype('float32')
    >>> ds.landsat.mask("cloud,shadow").landsat.index("ndvi").name
    'ndvi'
    >>> ds.landsat.flags.cloud.dtype
    dtype('bool')
    """

    def __init__(self, obj: xr.Dataset) -> None:
        self._obj = obj

    @property
    def coarsen(self) -> Callable[..., xr.Dataset]:
        """`landsat_downsample.coarsen` of it, with the same arguments."""
        from landsat_downsample.api.lazy import coarsen

        return MethodType(coarsen, self._obj)

    @property
    def flags(self) -> xr.Dataset:
        """Boolean variables, one for each flag and level of QA_PIXEL: ``cloud``, ``cloud_confidence_high``."""
        from landsat_downsample.api import array_values

        return array_values.flags(self._values())

    def mask(self, flags: str | Iterable[str] = (), *, qa: xr.DataArray | None = None) -> xr.Dataset:
        """NaN where there is no data, and where QA_PIXEL (or `qa`) has one of the flags, such as ``cloud,shadow``."""
        from landsat_downsample.api import array_values

        return array_values.masked(self._values(), flags, qa=qa)

    def scaled(self, *, level: int | None = None) -> xr.Dataset:
        """Physical units, NaN where there is no data; ``level=2`` for bands of Level-2 that state no scale."""
        from landsat_downsample.api import array_values

        return array_values.scaled(self._values(), level=level)

    def index(self, name: str, *, level: int | None = None) -> xr.DataArray:
        """A spectral index by name, such as ``ndvi``, of bands that are scaled first where they are not yet."""
        from landsat_downsample.api import array_values

        return array_values.index(self._values(), name, level=level)

    def _values(self) -> xr.Dataset:
        return self._obj


@xr.register_dataarray_accessor("landsat")
class DataArrayAccessor:
    """A Landsat band, or a stack of bands along a dimension with their names.

    Of a stack the others than `coarsen` give a Dataset: its bands differ in type and meaning.

    Examples
    --------
    >>> scene["red"].landsat.coarsen(factor=10).landsat.scaled().dtype
    dtype('float32')
    >>> scene["red"].landsat.mask("cloud,shadow").dtype
    dtype('float32')
    >>> list(scene["qa_pixel"].landsat.flags)[:3]
    ['fill', 'dilated_cloud', 'cirrus']
    >>> scene.dataset(["red", "nir08"]).to_array().landsat.index("ndvi", level=2).shape
    (500, 600)
    """

    def __init__(self, obj: xr.DataArray) -> None:
        self._obj = obj

    @property
    def coarsen(self) -> Callable[..., Any]:
        """`landsat_downsample.coarsen` of it, with the same arguments."""
        from landsat_downsample.api.lazy import coarsen

        return MethodType(coarsen, self._obj)

    @property
    def flags(self) -> xr.Dataset:
        """Boolean variables, one for each flag and level of a bit field: ``cloud``, ``water`` ..."""
        from landsat_downsample.api import array_values

        return array_values.flags(self._values())

    def mask(self, flags: str | Iterable[str] = (), *, qa: xr.DataArray | None = None) -> xr.DataArray | xr.Dataset:
        """NaN where there is no data, and where QA_PIXEL (its scene's, or `qa`) has one of the flags."""
        from landsat_downsample.api import array_values

        made: xr.DataArray | xr.Dataset = array_values.masked(self._values(), flags, qa=qa)
        return made

    def scaled(
        self, *, scale: float | None = None, offset: float | None = None, level: int | None = None
    ) -> xr.DataArray | xr.Dataset:
        """Physical units, NaN where there is no data; ``scale * stored + offset`` where they are given."""
        from landsat_downsample.api import array_values

        made: xr.DataArray | xr.Dataset = array_values.scaled(self._values(), scale=scale, offset=offset, level=level)
        return made

    def index(self, name: str, *, level: int | None = None) -> xr.DataArray:
        """A spectral index of a stack of bands, such as ``ndvi``."""
        from landsat_downsample.api import array_values

        values = self._values()
        return array_values.index(values if isinstance(values, xr.Dataset) else values.to_dataset(), name, level=level)

    def _values(self) -> Any:
        from landsat_downsample.api.array_meaning import unstacked

        return unstacked(self._obj)
