"""The floor: floor.c compiled here, with the libdeflate that comes with rasterio or the system."""

from __future__ import annotations

import ctypes
import ctypes.util
import mmap
import shutil
import subprocess
from pathlib import Path

import numpy as np
import rasterio

from landsat_downsample.formats import tiff

SOURCE = Path(__file__).with_name("floor.c")


class Floor:
    """Sums of a band by C alone; `Floor.build` gives None where there is no compiler or no libdeflate."""

    def __init__(self, library: ctypes.CDLL, inflate: ctypes.CDLL):
        inflate.libdeflate_alloc_decompressor.restype = ctypes.c_void_p
        self.library, self.inflate = library, inflate
        self.state = ctypes.c_void_p(inflate.libdeflate_alloc_decompressor())

    @classmethod
    def build(cls, cache: Path) -> Floor | None:
        bundled = sorted(Path(rasterio.__file__).parent.with_name("rasterio.libs").glob("libdeflate*"))
        name = str(bundled[0]) if bundled else ctypes.util.find_library("deflate")
        compiler = shutil.which("cc") or shutil.which("gcc")
        if not name or not compiler:
            return None
        built = cache / "floor.so"
        subprocess.run([compiler, "-O3", "-fPIC", "-shared", SOURCE, "-o", built], check=True)
        return cls(ctypes.CDLL(str(built)), ctypes.CDLL(name))

    def sums(self, path: Path, factor: int) -> tuple[np.ndarray, np.ndarray]:
        """Sums and counts of the pixels that are not 0, by cells of `factor` pixels; only inflates for factor 0."""
        with open(path, "rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        image = tiff.parse(lambda start, length: data[start : start + length], len(data)).directories[0]
        if (image.predictor, image.bits, image.block_shape[0]) != (2, 16, image.block_shape[1]):
            raise ValueError(f"{path}: the floor is for 16 bits, predictor 2 and square tiles")
        shape = tuple(-(-n // factor) if factor else 1 for n in image.shape)
        total, count = np.zeros(shape, np.uint32), np.zeros(shape, np.uint32)
        whole = [ctypes.c_int64(n) for n in (*image.shape, image.block_shape[0], factor)]
        arrays = [_pointer(a) for a in (np.frombuffer(data, np.uint8), image.offsets, image.counts)]
        inflate = self.inflate.libdeflate_zlib_decompress
        if self.library.floor_sums(inflate, self.state, *arrays, *whole, _pointer(total), _pointer(count)):
            raise ValueError(f"{path} is damaged")
        return total, count


def _pointer(array: np.ndarray) -> ctypes.c_void_p:
    return array.ctypes.data_as(ctypes.c_void_p)


def numpy_sums(path: Path, factor: int) -> tuple[np.ndarray, np.ndarray]:
    """The same sums and counts by NumPy of what GDAL reads: what every answer is compared with."""
    with rasterio.open(path) as source:
        height, width = source.shape
        total = np.zeros((-(-height // factor), -(-width // factor)), np.uint64)
        count = np.zeros(total.shape, np.uint64)
        for cell, row in enumerate(range(0, height, factor)):
            values = source.read(1, window=((row, min(row + factor, height)), (0, width)))
            starts = np.arange(0, width, factor)
            total[cell] = np.add.reduceat(values.sum(axis=0, dtype=np.uint64), starts)
            count[cell] = np.add.reduceat((values != 0).sum(axis=0, dtype=np.uint64), starts)
    return total, count


def exact_mean(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """The answer: rounded half to even, 0 where there is nothing, never 0 where there is something."""
    mean = np.rint(total / np.maximum(count, 1)).astype(np.uint16)
    return np.where(count == 0, 0, np.maximum(mean, 1)).astype(np.uint16)
