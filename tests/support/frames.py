"""Frames of one smooth earth, in whatever zone: what neighbours see of the same place is the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.warp import transform

LONLAT = "EPSG:4326"


def frame(path: Path, zone: int, centre: tuple[float, float], shape: tuple[int, int]) -> Path:
    """A file of a band around a longitude and latitude, whose values go by longitude and latitude alone.

    Within 500 m they change by some 60 of 18 000.
    """
    crs, (height, width) = f"EPSG:{32600 + zone}", shape
    (x,), (y,) = transform(LONLAT, crs, *([n] for n in centre))
    left, top = round(x / 300) * 300 - 15 - 30 * (width // 2), round(y / 300) * 300 + 15 + 30 * (height // 2)
    at = Affine(30, 0, left, 0, -30, top)
    row, column = np.indices(shape) + 0.5
    lon, lat = (np.reshape(n, shape) for n in transform(crs, LONLAT, *(n.ravel() for n in at @ (column, row))))
    values = np.rint(10_000 + 4_000 * np.sin(2 * lon) + 5_000 * np.cos(3 * lat)).astype("uint16")
    profile = {"driver": "GTiff", "height": height, "width": width, "count": 1, "dtype": "uint16", "nodata": 0}
    with rasterio.open(path, "w", crs=crs, transform=at, **profile) as file:
        file.write(values, 1)
    return path


def frames(folder: Path, count: int) -> Iterator[Path]:
    """Frames of odd sizes in four zones of Europe, each overlapping the one before."""
    for number in range(count):
        lon, lat = 0.4 + 23.2 * number / count, 47 + np.sin(number / 9)
        shape = 181 + 2 * (number % 7), 203 + 4 * (number % 5)
        yield frame(folder / f"frame{number:04d}_B4.TIF", 31 + int(lon // 6), (lon, lat), shape)
