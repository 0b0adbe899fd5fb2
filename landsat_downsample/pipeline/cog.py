"""Cloud-optimised GeoTIFFs as bytes in memory: the same array gives the same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from rasterio.dtypes import dtype_rev, typename_fwd
from rasterio.enums import Resampling
from rasterio.io import DatasetWriter, MemoryFile
from rasterio.shutil import copy

from landsat_downsample.errors import WriteError
from landsat_downsample.model.gdal import gdal_settings
from landsat_downsample.model.grid import Grid

#: Side of a block in pixels; the USGS's own choice.
BLOCK = 256

#: Whether a COG's bands may lie one after the other: readers before GDAL 3.11 expect them pixel by pixel.
BY_BAND = tuple(map(int, rasterio.__gdal_version__.split(".")[:2])) >= (3, 11)


@dataclass(frozen=True, slots=True)
class Layer:
    """What a written file says of its bands."""

    nodata: float | None
    resampling: str = "average"
    """How its overviews are made: ``nearest`` for codes and classes."""
    descriptions: tuple[str | None, ...] = (None,)
    scale: float | None = None
    offset: float | None = None
    unit: str | None = None
    statistics: dict[str, float] = field(default_factory=dict)
    """Of a file of one band: ``minimum``, ``maximum``, ``mean``, ``stddev``, as GDAL keeps them."""


@contextmanager
def cog(data: np.ndarray, grid: Grid, layer: Layer) -> Iterator[memoryview]:
    """Encode bands as a COG, in memory while the context lasts.

    Parameters
    ----------
    data : ndarray, shape (bands, y, x)
    grid : Grid
        Its shape must be that of the data.

    Yields
    ------
    memoryview
        DEFLATE with the predictor of the type, 256-pixel blocks, own overviews,
        ``AREA_OR_POINT=Area``: a cell is a mean over an area.

    Raises
    ------
    WriteError
        GDAL cannot encode it.
    """
    with MemoryFile() as memory:
        try:
            # As GDAL's COG driver does it, but for the overviews, which that compresses twice.
            with _plain(np.ascontiguousarray(data), grid, layer) as dataset:
                factors = [2 << level for level in range(len(overview_shapes(data.shape[1:])))]
                if factors:
                    with gdal_settings(GDAL_OVR_CHUNKYSIZE=_rows_at_once(data.shape[2])):
                        dataset.build_overviews(factors, Resampling[layer.resampling])
                copy(dataset, memory.name, driver="GTiff", copy_src_overviews=True, **_encoding(data, layer))
        except (rasterio.errors.RasterioError, rasterio.errors.CRSError) as error:
            count, height, width = data.shape
            what = f"{count} bands of {height} x {width} {data.dtype}"
            raise WriteError(f"cannot encode {what} as a COG: {error}") from error
        yield memory.getbuffer()  # its `read` would copy


def _rows_at_once(width: int) -> int:
    """Rows that GDAL makes overviews of at one time, in some 5 bytes a cell: 4 MiB of them, but whole blocks.

    At most its own 1024: where a height is odd, a row of an overview at their edge lacks the part of a row beyond.

    >>> _rows_at_once(764), _rows_at_once(3820)
    (1024, 256)
    """
    return min(max((4 << 20) // (5 * width) // BLOCK, 1) * BLOCK, 1024)


@contextmanager
def _plain(data: np.ndarray, grid: Grid, layer: Layer) -> Iterator[DatasetWriter]:
    """A dataset, not encoded yet."""
    with in_memory(data, grid.transform) as dataset:
        dataset.crs, dataset.nodata = grid.crs, layer.nodata
        _describe(dataset, layer)
        yield dataset


@contextmanager
def in_memory(data: np.ndarray, transform: Affine) -> Iterator[DatasetWriter]:
    """A dataset whose pixels are the own memory of an array (bands, y, x), which is contiguous: they are there once."""
    count, height, width = data.shape
    facts = {
        "DATAPOINTER": data.ctypes.data,
        "PIXELS": width,
        "LINES": height,
        "BANDS": count,
        "DATATYPE": typename_fwd[dtype_rev[data.dtype.name]],
        "GEOTRANSFORM": "/".join(f"{term:.17g}" for term in transform.to_gdal()),
    }
    name = "MEM:::" + ",".join(f"{key}={value}" for key, value in facts.items())
    # Asked for since GDAL 3.10, lest a name from elsewhere gives such an address.
    with gdal_settings(GDAL_MEM_ENABLE_OPEN="YES"), rasterio.open(name, "r+", driver="MEM") as dataset:
        yield dataset


def _encoding(data: np.ndarray, layer: Layer) -> dict[str, Any]:
    """Creation options of GDAL's GTiff driver."""
    averaged, width = layer.resampling == "average", data.dtype.itemsize
    some = data[..., ::16, :]
    alike = data.dtype.kind == "f" and np.count_nonzero(some[..., 1:] == some[..., :-1]) > some.size / 2
    return {
        "compress": "DEFLATE",
        # Counts of blocks repeat each other, whole or not: with their bytes apart they take a fifth longer or more, and
        # are larger by a third. Those of sheared cells do not.
        "predictor": 1 if alike else 3 if data.dtype.kind == "f" else 2,
        # Values of 16 bits hold few repetitions: what is not looked for long makes files 1 to 3 % smaller, in a fifth
        # less time, and those of 32 bits 1 % larger, in an eighth less. At 6, the default, codes and shares take a
        # fifth longer or more for 1 to 3 % of size.
        "zlevel": width // 2 if averaged and width in (2, 4) else 5,
        "tiled": True,
        "blockxsize": BLOCK,
        "blockysize": BLOCK,
        "bigtiff": "IF_SAFER",
        "interleave": "BAND" if len(data) > 1 and BY_BAND else "PIXEL",
        "num_threads": "1",
    }


def overview_shapes(shape: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """(height, width) of the overviews: halved until one block holds all.

    >>> overview_shapes((775, 760))
    ((388, 380), (194, 190))
    """
    shapes, level = [], 2
    while max(shape) * 2 // level > BLOCK:
        shapes.append((-(-shape[0] // level), -(-shape[1] // level)))
        level *= 2
    return tuple(shapes)


def _describe(dataset: rasterio.io.DatasetWriter, layer: Layer) -> None:
    dataset.update_tags(AREA_OR_POINT="Area")
    bands = range(1, dataset.count + 1)
    for band, description in zip(bands, layer.descriptions, strict=False):
        if description:
            dataset.set_band_description(band, description)
    if layer.scale is not None or layer.offset is not None:
        dataset.scales = [1.0 if layer.scale is None else layer.scale] * dataset.count
        dataset.offsets = [layer.offset or 0.0] * dataset.count
    if layer.unit:
        dataset.units = [layer.unit] * dataset.count
    if layer.statistics:
        dataset.update_tags(1, **{f"STATISTICS_{key.upper()}": f"{one!r}" for key, one in layer.statistics.items()})
