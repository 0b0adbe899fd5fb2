"""TIFFs written field by field: what no library writes, or takes too long to write."""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Sequence

import numpy as np

_SIZES = {3: "H", 4: "I", 12: "d"}

ASCII, SHORT, LONG, DOUBLE = 2, *_SIZES


def directory(tags: dict[int, tuple[int, Sequence]], at: int, following: int = 0) -> bytes:
    """A directory of classic TIFF that begins at byte `at`, with its values behind it; text by its length and place."""
    head, values, end = b"", b"", at + 2 + 12 * len(tags) + 4
    for tag, (kind, numbers) in sorted(tags.items()):
        count, data = len(numbers), struct.pack(f"<{len(numbers)}{_SIZES.get(kind, 'I')}", *numbers)
        if kind == ASCII:
            count, data = numbers[0], data[4:]
        elif len(data) > 4:
            values, data = values + data, struct.pack("<I", end + len(values))
        head += struct.pack("<HHI", tag, kind, count) + data.ljust(4, b"\0")
    return struct.pack("<H", len(tags)) + head + struct.pack("<I", following) + values


def tiled(
    shape: tuple[int, int],
    block: tuple[int, int],
    streams: Sequence[bytes] = (),
    *,
    bits: int = 16,
    predictor: int = 1,
    counts: Sequence[int] | None = None,
    offsets: Sequence[int] | None = None,
    more: dict[int, tuple[int, Sequence]] | None = None,
) -> bytes:
    """A tiled TIFF of one DEFLATE band on a 30 m grid, its tiles after the directory, or tables as given."""
    counts = [len(stream) for stream in streams] if counts is None else counts
    tags = {
        256: (LONG, [shape[1]]),
        257: (LONG, [shape[0]]),
        258: (SHORT, [bits]),
        259: (SHORT, [8]),
        262: (SHORT, [1]),
        277: (SHORT, [1]),
        317: (SHORT, [predictor]),
        322: (LONG, [block[1]]),
        323: (LONG, [block[0]]),
        325: (LONG, counts),
        33550: (DOUBLE, [30, 30, 0]),
        33922: (DOUBLE, [0, 0, 0, 300000, 5500000, 0]),
        34735: (SHORT, [1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32621]),
    } | (more or {})
    first = 8 + len(directory(tags | {324: (LONG, offsets or counts)}, 8))
    if offsets is None:
        before = itertools.accumulate(map(len, streams), initial=first)
        offsets = [place if stream else 0 for place, stream in zip(before, streams, strict=False)]
    tags[324] = (LONG, offsets)
    return struct.pack("<2sHI", b"II", 42, 8) + directory(tags, 8) + b"".join(streams)


def tiles(values: np.ndarray, block: tuple[int, int]) -> list[np.ndarray]:
    """An image cut into blocks, padded with its last row and column."""
    down, across = (-size % side for size, side in zip(values.shape, block, strict=True))
    padded = np.pad(values, ((0, down), (0, across)), "edge")
    return [
        padded[y : y + block[0], x : x + block[1]]
        for y in range(0, len(padded), block[0])
        for x in range(0, padded.shape[1], block[1])
    ]


def image(values: np.ndarray, block: tuple[int, int], *, predictor: int = 1, level: int = 6) -> bytes:
    """A tiled TIFF of unsigned pixels."""
    cut = tiles(values, block)
    if predictor == 2:
        cut = [np.diff(tile, axis=1, prepend=np.zeros((len(tile), 1), tile.dtype)) for tile in cut]
    streams = [zlib.compress(np.ascontiguousarray(tile).tobytes(), level) for tile in cut]
    return tiled(values.shape, block, streams, bits=8 * values.itemsize, predictor=predictor)
