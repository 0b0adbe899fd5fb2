"""What the directories of a TIFF say, as values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Directory:
    """One image of a TIFF: a full-resolution raster, an overview or a mask."""

    shape: tuple[int, int]
    block_shape: tuple[int, int]
    """(rows, columns) of a tile or strip; the last strip may have fewer rows."""
    samples: int
    bits: int
    planar: bool
    """Whether each sample has blocks of its own."""
    compression: int
    reduced: bool
    """Whether it is an overview or a mask, by its NewSubfileType."""
    tiled: bool
    offsets: np.ndarray
    counts: np.ndarray
    predictor: int = 1
    sample_format: int = 1
    """1 unsigned, 2 signed, 3 floating point."""
    fill_order: int = 1
    little_endian: bool = True
    mask: bool = False
    """Whether it says which pixels of another image are valid."""
    nodata: bytes | None = None
    """What GDAL's tag says of the pixels without data, as it stands there."""

    @property
    def grid(self) -> tuple[int, int]:
        """(rows, columns) of blocks in one plane."""
        return -(-self.shape[0] // self.block_shape[0]), -(-self.shape[1] // self.block_shape[1])

    @property
    def blocks(self) -> int:
        """Blocks of all planes."""
        down, across = self.grid
        return down * across * (self.samples if self.planar else 1)

    def decoded_size(self, index: int) -> int:
        """Count the bytes that a block holds once decompressed."""
        down, across = self.grid
        rows, columns = self.block_shape
        if not self.tiled:
            rows = min(rows, self.shape[0] - (index % (down * across)) // across * rows)
        return rows * -(-columns * self.bits * (1 if self.planar else self.samples) // 8)


@dataclass(frozen=True, slots=True)
class TiffLayout:
    """All images of a TIFF and where its parts lie."""

    directories: tuple[Directory, ...]
    parts: tuple[tuple[int, int], ...]
    """(offset, length) of the header, the directories and the tag values kept apart."""
    trailer: int
    """Bytes that follow each block: 4 in a COG by GDAL, else 0."""
