"""The accessor ``.landsat`` of xarray's Dataset and DataArray. It is there once this module is loaded."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from types import MethodType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast, overload

import xarray as xr

Made_co = TypeVar("Made_co", covariant=True)

if TYPE_CHECKING:

    class BandArray(xr.DataArray):
        """What checkers see of an array of a scene: of xarray's own they take any attribute, misspelt ones too.

        It is one band; of a stack, which is no array of a scene, the accessor gives a Dataset.
        """

        landsat: DataArrayAccessor

    class BandDataset(xr.Dataset):
        """The same of a Dataset of a scene."""

        landsat: DatasetAccessor

        @overload
        def __getitem__(self, key: Hashable) -> BandArray: ...
        @overload
        def __getitem__(self, key: Iterable[Hashable]) -> BandDataset: ...
        def __getitem__(self, key: Any) -> Any: ...


class Coarsen(Protocol[Made_co]):
    """`landsat_downsample.coarsen` of an object that is given already."""

    @overload
    def __call__(
        self,
        *,
        factor: float | None = None,
        resolution: float | None = None,
        size: tuple[int, int] | None = None,
        grid: Any = None,
        like: Any = None,
        anchor: tuple[float, float] | None = None,
        method: str | None = None,
        qa: str = "conservative",
        mask: str | Iterable[str] = (),
        min_valid: float = 0.0,
        stats: None = None,
        index: str | Iterable[str] = (),
        index_order: str = "mean-of-index",
    ) -> Made_co: ...
    @overload
    def __call__(
        self,
        *,
        factor: float | None = None,
        resolution: float | None = None,
        size: tuple[int, int] | None = None,
        grid: Any = None,
        like: Any = None,
        anchor: tuple[float, float] | None = None,
        qa: str = "conservative",
        mask: str | Iterable[str] = (),
        min_valid: float = 0.0,
        stats: str | Iterable[str],
        index: str | Iterable[str] = (),
        index_order: str = "mean-of-index",
    ) -> BandDataset: ...


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
    def coarsen(self) -> Coarsen[BandDataset]:
        """`landsat_downsample.coarsen` of it, with the same arguments."""
        from landsat_downsample.api.lazy import coarsen

        return cast("Coarsen[BandDataset]", MethodType(coarsen, self._obj))

    @property
    def flags(self) -> BandDataset:
        """Boolean variables, one for each flag and level of QA_PIXEL: ``cloud``, ``cloud_confidence_high``."""
        from landsat_downsample.api import array_values

        return cast("BandDataset", array_values.flags(self._values()))

    def mask(self, flags: str | Iterable[str] = (), *, qa: xr.DataArray | None = None) -> BandDataset:
        """NaN where there is no data, and where QA_PIXEL (or `qa`) has one of the flags, such as ``cloud,shadow``."""
        from landsat_downsample.api import array_values

        return cast("BandDataset", array_values.masked(self._values(), flags, qa=qa))

    def scaled(self, *, level: int | None = None) -> BandDataset:
        """Physical units, NaN where there is no data; ``level=2`` for bands of Level-2 that state no scale."""
        from landsat_downsample.api import array_values

        return cast("BandDataset", array_values.scaled(self._values(), level=level))

    def index(self, name: str, *, level: int | None = None) -> BandArray:
        """A spectral index by name, such as ``ndvi``, of bands that are scaled first where they are not yet."""
        from landsat_downsample.api import array_values

        return cast("BandArray", array_values.index(self._values(), name, level=level))

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
    def coarsen(self) -> Coarsen[BandArray]:
        """`landsat_downsample.coarsen` of it, with the same arguments."""
        from landsat_downsample.api.lazy import coarsen

        return cast("Coarsen[BandArray]", MethodType(coarsen, self._obj))

    @property
    def flags(self) -> BandDataset:
        """Boolean variables, one for each flag and level of a bit field: ``cloud``, ``water`` ..."""
        from landsat_downsample.api import array_values

        return cast("BandDataset", array_values.flags(self._values()))

    def mask(self, flags: str | Iterable[str] = (), *, qa: xr.DataArray | None = None) -> BandArray:
        """NaN where there is no data, and where QA_PIXEL (its scene's, or `qa`) has one of the flags."""
        from landsat_downsample.api import array_values

        made: BandArray = array_values.masked(self._values(), flags, qa=qa)
        return made

    def scaled(self, *, scale: float | None = None, offset: float | None = None, level: int | None = None) -> BandArray:
        """Physical units, NaN where there is no data; ``scale * stored + offset`` where they are given."""
        from landsat_downsample.api import array_values

        made: BandArray = array_values.scaled(self._values(), scale=scale, offset=offset, level=level)
        return made

    def index(self, name: str, *, level: int | None = None) -> BandArray:
        """A spectral index of a stack of bands, such as ``ndvi``."""
        from landsat_downsample.api import array_values

        values = self._values()
        dataset = values if isinstance(values, xr.Dataset) else values.to_dataset()
        return cast("BandArray", array_values.index(dataset, name, level=level))

    def _values(self) -> Any:
        from landsat_downsample.api.array_meaning import unstacked

        return unstacked(self._obj)
