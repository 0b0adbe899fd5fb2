"""TIFFs of every layout for tests, made by GDAL from seeded pixels."""

from __future__ import annotations

import warnings
from functools import lru_cache
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile
from rasterio.transform import from_origin

from landsat_downsample.formats.tiff import parse
from landsat_downsample.storage.local_file import LocalFile

warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)


@lru_cache(maxsize=32)
def pixels(height: int, width: int, count: int = 1, seed: int = 0) -> np.ndarray:
    """Make terrain-like uint16 pixels of shape (count, height, width), a corner of them fill."""
    rng = np.random.default_rng(seed)
    ground = rng.normal(0, 60, (count, height, width)).cumsum(1).cumsum(2) / 40 + rng.normal(9000, 30, (height, width))
    ground[:, : height // 3, : width // 4] = 0
    return np.clip(ground, 0, 60000).astype("u2")


def tiff(array: np.ndarray, driver: str = "GTiff", **options) -> bytes:
    """Write pixels of shape (count, y, x) with any creation options."""
    count, height, width = array.shape
    profile = dict(count=count, height=height, width=width, dtype=array.dtype, nodata=0, crs="EPSG:32621")
    profile["transform"] = from_origin(300000, 5500000, 30, 30)
    with MemoryFile() as memory:
        with memory.open(driver=driver, **profile, **options) as dataset:
            dataset.write(array)
        return memory.read()


@lru_cache(maxsize=8)
def cog(height: int = 700, width: int = 600, block: int = 128, seed: int = 0) -> bytes:
    """Write a COG as USGS does: DEFLATE, predictor 2, overviews in front."""
    return tiff(pixels(height, width, seed=seed), "COG", compress="DEFLATE", predictor=2, blocksize=block)


def local_file(path: str | Path, offset: int = 0, size: int | None = None) -> LocalFile:
    """A file as `files.fetch` gives it, whatever its blocks hold."""
    data = Path(path).read_bytes()[offset:][:size]
    layout = parse(lambda start, length: data[start : start + length], len(data))
    return LocalFile(str(path), offset, len(data), layout)


def read(path: str) -> np.ndarray:
    """Read full-resolution pixels as the library does."""
    with rasterio.open(path, OVERVIEW_LEVEL="NONE") as dataset:
        return dataset.read()
