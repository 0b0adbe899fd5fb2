"""Cloud-optimised GeoTIFFs as bytes in memory: the same array gives the same bytes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import rasterio
from rasterio.io import MemoryFile

from landsat_downsample._errors import WriteError
from landsat_downsample._grid import Grid

#: Side of a block in pixels; the USGS's own choice.
BLOCK = 256


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


def cog_bytes(data: np.ndarray, grid: Grid, layer: Layer) -> bytes:
    """Encode bands as a COG.

    Parameters
    ----------
    data : ndarray, shape (bands, y, x)
    grid : Grid
        Its shape must be that of the data.

    Returns
    -------
    bytes
        DEFLATE with the predictor of the type, 256-pixel blocks, own overviews,
        ``AREA_OR_POINT=Area``: a cell is a mean over an area.

    Raises
    ------
    WriteError
        GDAL cannot encode it.
    """
    count, height, width = data.shape
    profile = {
        "driver": "COG",
        "count": count,
        "height": height,
        "width": width,
        "dtype": data.dtype.name,
        "crs": grid.crs,
        "transform": grid.transform,
        "nodata": layer.nodata,
        "compress": "DEFLATE",
        "predictor": "YES",
        "level": 6,
        "blocksize": BLOCK,
        "bigtiff": "IF_SAFER",
        "interleave": "BAND" if count > 1 else None,
        "overview_resampling": layer.resampling.upper(),
        "num_threads": "1",
    }
    if tuple(map(int, rasterio.__gdal_version__.split(".")[:2])) < (3, 11):
        profile.pop("interleave")  # came to the COG driver with GDAL 3.11
    try:
        with MemoryFile() as memory:
            with memory.open(**{k: v for k, v in profile.items() if v is not None}) as dataset:
                dataset.write(data)
                _describe(dataset, layer)
            return memory.read()
    except (rasterio.errors.RasterioError, rasterio.errors.CRSError) as error:
        raise WriteError(f"cannot encode {count} bands of {height} x {width} {data.dtype} as a COG: {error}") from error


def overview_shapes(shape: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """(height, width) of the overviews that GDAL's COG driver makes: halved until one block holds all.

    >>> overview_shapes((775, 760))
    ((387, 380), (193, 190))
    """
    shapes, level = [], 2
    while max(shape) * 2 // level > BLOCK:
        shapes.append((max(1, shape[0] // level), max(1, shape[1] // level)))
        level *= 2
    return tuple(shapes)


def _describe(dataset, layer: Layer) -> None:
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
