"""Where the bytes of a TIFF lie: directories and blocks, never pixels.

Reads classic TIFF and BigTIFF of either byte order, trusting nothing: every number is
checked against the size of the file before it is followed.
TiffLayout after the TIFF 6.0 specification, BigTIFF, and the "ghost area" of GDAL's COG driver
(https://gdal.org/drivers/raster/cog.html).
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from landsat_downsample.errors import ReadError
from landsat_downsample.formats import tiff_agreement
from landsat_downsample.formats.tiff_layout import Directory, TiffLayout

MAX_DIRECTORIES = 256
MAX_ENTRIES = 4096
#: Bytes of values that its directories keep apart, and blocks of all its images; a Landsat band has a thousand or two.
MAX_VALUES, MAX_BLOCKS = 64 << 20, 1 << 21
#: Pixels of a side; the panchromatic band has 17 000.
MAX_SIDE = 1 << 16
#: Bytes that an image and a block decode to: the panchromatic band has 0.5 GiB, a 30 m band as one strip 0.12.
MAX_IMAGE, MAX_BLOCK = 4 << 30, 512 << 20

#: Bytes before a block that repeat its length, in a COG by GDAL.
LEADER = 4

DEFLATE = (8, 32946)
_UNCOMPRESSED = 1
_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_INTEGERS = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}
_REWRITE = "gdal_translate -of COG IN OUT"
_GHOST = b"GDAL_STRUCTURAL_METADATA_SIZE="

T = TypeVar("T", int, np.ndarray)

#: What a directory says of each tag: type, count, offset of the value.
Tags = dict[int, tuple[int, int, int]]

Read = Callable[[int, int], bytes]
"""Read (offset, length): exactly that many bytes, or an exception."""


def parse(read: Read, size: int) -> TiffLayout:
    """Find every image of a TIFF.

    Parameters
    ----------
    read : callable
        ``read(offset, length)`` gives exactly that many bytes.
    size : int
        Bytes of the whole file.

    Raises
    ------
    ReadError
        If it is no TIFF, is cut, or its directories make no sense.
    """
    head = read(0, min(size, 16))
    order, wide = _signature(head, size)
    parser = _Parser(read, size, order, wide)
    first = struct.unpack(order + ("Q" if wide else "I"), head[8:16] if wide else head[4:8])[0]
    directories = parser.follow(first)
    if not directories:
        raise ReadError("TIFF has no image: it was not written to its end, or is damaged")
    return TiffLayout(directories, tuple(parser.parts), _trailer(read, size, 16 if wide else 8))


def _signature(head: bytes, size: int) -> tuple[str, bool]:
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    version = struct.unpack(order + "H", head[2:4])[0] if order and len(head) >= 4 else 0
    if order is None or version not in (42, 43):
        raise ReadError(f"not a TIFF: {describe(head)}")
    if size < (16 if version == 43 else 8):
        raise ReadError(f"TIFF ends after {size} bytes: it was cut")
    if version == 43 and struct.unpack(order + "HH", head[4:8]) != (8, 0):
        raise ReadError("BigTIFF header is damaged")
    return order, version == 43


def describe(head: bytes) -> str:
    """Say what bytes look like, when they are not what was expected.

    >>> describe(b"<!DOCTYPE html>")
    'it is a web page (a login form or an error page?)'
    """
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:16].lower()
    if not head:
        return "it is empty"
    if start.startswith((b"<!doctype h", b"<html", b"<head", b"<!--")):
        return "it is a web page (a login form or an error page?)"
    if start.startswith((b"<", b"{")):
        return "it is XML or JSON text (an error message of the server?)"
    if start.startswith((b"\x1f\x8b", b"pk\x03\x04")):
        return "it is a compressed archive"
    if head.count(0) == len(head):
        return "it begins with zeros (a file not written to its end?)"
    return "it begins with other bytes"


@dataclass(slots=True)
class _Parser:
    """State of one walk through the directories."""

    read: Read
    size: int
    order: str
    wide: bool
    values: int = 0
    blocks: int = 0
    parts: list[tuple[int, int]] = field(init=False)

    def __post_init__(self) -> None:
        self.parts = [(0, 16 if self.wide else 8)]

    def follow(self, first: int) -> tuple[Directory, ...]:
        found: list[Directory] = []
        seen: set[int] = set()
        queue = [first]
        while queue:
            offset = queue.pop(0)
            if offset in seen:
                raise ReadError("TIFF directories form a loop: the file is damaged")
            seen.add(offset)
            if len(seen) > MAX_DIRECTORIES:
                raise ReadError(
                    f"TIFF has more than {MAX_DIRECTORIES} images: the file is damaged or not a Landsat band"
                )
            tags, following = self.directory(offset)
            found.append(self.image(tags))
            queue += self.integers(tags, 330)[:MAX_DIRECTORIES].tolist()
            queue += [following] if following else []
        return tuple(found)

    def take(self, offset: int, length: int, what: str) -> bytes:
        if offset < 8 or offset + length > self.size:
            raise ReadError(f"TIFF is cut or damaged: its {what} would end at byte {offset + length} of {self.size}")
        return self.read(offset, length)

    def directory(self, offset: int) -> tuple[Tags, int]:
        """Read one directory: its tags and the offset of the next."""
        head, entry, link = (8, 20, 8) if self.wide else (2, 12, 4)
        form = self.order + ("HHQQ" if self.wide else "HHII")
        count = struct.unpack(self.order + ("Q" if self.wide else "H"), self.take(offset, head, "directory"))[0]
        if not 1 <= count <= MAX_ENTRIES:
            raise ReadError(f"TIFF directory of {count} entries: the file is damaged")
        body = self.take(offset + head, count * entry + link, "directory")
        self.parts.append((offset, head + count * entry + link))
        tags, before = {}, 0
        for i in range(count):
            tag, kind, number, value = struct.unpack_from(form, body, i * entry)
            if tag <= before:
                raise ReadError(f"TIFF tag {tag} follows tag {before}: the file is damaged")
            before = tag
            length = _TYPE_SIZES.get(kind, 0) * number
            inline = length <= (8 if self.wide else 4)
            where = offset + head + i * entry + (12 if self.wide else 8) if inline else value
            if not inline:
                if where < 8 or where + length > self.size:
                    raise ReadError(
                        f"TIFF is cut or damaged: tag {tag} would end at byte {where + length} of {self.size}"
                    )
                self.values += length
                if self.values > MAX_VALUES:
                    raise ReadError(
                        f"TIFF has more than {MAX_VALUES >> 20} MiB of tags: the file is damaged or not a Landsat band"
                    )
                self.parts.append((where, length))
            if length:
                tags[tag] = (kind, number, where)
        return tags, struct.unpack_from(self.order + ("Q" if self.wide else "I"), body, count * entry)[0]

    def integers(self, tags: Tags, tag: int) -> np.ndarray:
        kind, number, where = tags.get(tag, (0, 0, 0))
        if not number:
            return np.zeros(0, "u8")
        if kind not in _INTEGERS:
            raise ReadError(f"TIFF tag {tag} has type {kind}: the file is damaged")
        data = self.take(where, number * _TYPE_SIZES[kind], f"tag {tag}")
        return np.frombuffer(data, self.order + _INTEGERS[kind]).astype("u8")

    def number(self, tags: Tags, tag: int, default: int) -> int:
        values = self.integers(tags, tag)
        return int(values[0]) if values.size else default

    def nodata(self, tags: Tags) -> bytes | None:
        _, number, where = tags.get(42113, (0, 0, 0))
        return self.take(where, min(number, 64), "nodata value").rstrip(b"\0 ") if number else None

    def image(self, tags: Tags) -> Directory:
        height, width = self.number(tags, 257, 0), self.number(tags, 256, 0)
        tiled = 324 in tags
        rows = self.number(tags, 323 if tiled else 278, height)
        block = (rows, self.number(tags, 322, 0)) if tiled else (min(rows, height), width)
        none = np.zeros(0, "u8")
        found = Directory(
            (height, width),
            block,
            self.number(tags, 277, 1),
            self.number(tags, 258, 1),
            self.number(tags, 284, 1) == 2,
            self.number(tags, 259, 1),
            bool(self.number(tags, 254, 0) & 5),
            tiled,
            none,
            none,
            self.number(tags, 317, 1),
            self.number(tags, 339, 1),
            self.number(tags, 266, 1),
            self.order == "<",
            bool(self.number(tags, 254, 0) & 4),
            self.nodata(tags),
        )
        _check_sizes(found)
        self.blocks += found.blocks
        if self.blocks > MAX_BLOCKS:
            raise ReadError(f"TIFF has more than {MAX_BLOCKS} blocks: rewrite it with larger ones ({_REWRITE})")
        return self.located(found, tags)

    def located(self, image: Directory, tags: Tags) -> Directory:
        """The image with its tables, which are not read unless they are as long as it has blocks."""
        offsets, counts = (324, 325) if image.tiled else (273, 279)
        listed = tuple(tags.get(tag, (0, 0, 0))[1] for tag in (offsets, counts))
        alone = not image.tiled and listed == (1, 0)
        if image.blocks != listed[0] or not (image.blocks == listed[1] or alone):
            raise ReadError(
                f"TIFF image of {image.blocks} blocks lists {listed[0]} offsets and {listed[1]} sizes: "
                "the file is damaged"
            )
        where = self.integers(tags, offsets)
        # Early writers left the count of a single strip out: it runs to the end, or to a directory.
        ends = [start for start, _ in self.parts if start > where[0]] if alone else []
        rest = min(max(min([*ends, self.size]) - int(where[0]), 0), _most_stored(image.decoded_size(0))) if alone else 0
        return replace(image, offsets=where, counts=np.array([rest], "u8") if alone else self.integers(tags, counts))


def _check_sizes(image: Directory) -> None:
    """Refuse what no band of Landsat is, before any table is read."""
    if min(*image.shape, *image.block_shape, image.samples, image.bits) < 1:
        raise ReadError(f"TIFF image of shape {image.shape} in blocks of {image.block_shape}: the file is damaged")
    (height, width), (rows, columns) = image.shape, image.block_shape
    needed, whole = image.decoded_size(0), image.decoded_size(0) * image.blocks
    if max(height, width, rows, columns) > MAX_SIDE or whole > MAX_IMAGE:
        raise ReadError(
            f"TIFF image of {height} x {width} pixels in blocks of {rows} x {columns} is too large for a Landsat band: "
            "the file is damaged, or cut it first (gdal_translate -srcwin X Y WIDTH HEIGHT IN OUT)"
        )
    if needed > MAX_BLOCK:
        raise ReadError(
            f"TIFF block of {rows} x {columns} pixels would need {needed >> 20} MiB of memory, "
            f"more than {MAX_BLOCK >> 20}: rewrite it with small blocks ({_REWRITE})"
        )


def _most_stored(decoded: T) -> T:
    """Bytes that a compressor may make of a block that it only makes longer (LZW: half as much again), and tables."""
    most: T = decoded + decoded // 2 + (64 << 10)
    return most


def _trailer(read: Read, size: int, start: int) -> int:
    if size < start + 43:
        return 0
    ghost = read(start, 43)
    digits = ghost[len(_GHOST) : len(_GHOST) + 6]
    if not ghost.startswith(_GHOST) or not digits.isdigit() or start + 43 + int(digits) > size:
        return 0
    text = read(start + 43, min(int(digits), 4096))
    edited = b"KNOWN_INCOMPATIBLE_EDITION=YES" in text
    return 4 if b"BLOCK_TRAILER=LAST_4_BYTES_REPEATED" in text and not edited else 0


def check_complete(read: Read, size: int) -> TiffLayout:
    """Refuse a TIFF of which any part lies beyond its end: one cut on its way.

    Blocks with offset and size 0 are legitimate: never written, all nodata.

    Raises
    ------
    ReadError
        If a directory, a tag or a block is not inside the file, or what it says twice it says differently.
    """
    layout = parse(read, size)
    for image in layout.directories:
        _check_blocks_inside(image, size, layout.trailer)
    tiff_agreement.check(layout)
    return layout


def _check_blocks_inside(image: Directory, size: int, trailer: int) -> None:
    there = image.counts > 0
    if not there.any():
        return
    offsets, counts = image.offsets[there], image.counts[there]
    limit = np.uint64(size)
    # Compared without a sum first: offsets near 2**64 must not wrap around.
    if (offsets < 8).any() or (offsets > limit).any() or (counts > limit).any():
        raise ReadError(f"TIFF is cut or damaged: a block lies beyond its {size} bytes")
    end = int((offsets + counts).max()) + trailer
    if end > size:
        raise ReadError(f"TIFF is cut: its blocks end at byte {end}, the file at {size}; fetch it again")
    plane = math.prod(image.grid)
    last = np.arange(image.blocks) % plane == plane - 1  # of strips it may have fewer rows
    sizes = np.where(last, image.decoded_size(plane - 1), image.decoded_size(0))[there].astype("u8")
    if image.compression == _UNCOMPRESSED and (counts < sizes).any():
        raise ReadError("TIFF is damaged: an uncompressed block is smaller than its pixels")
    if (counts > _most_stored(sizes)).any():
        raise ReadError("TIFF is damaged: a block takes more bytes than its pixels can need")


def full_resolution_run(layout: TiffLayout) -> tuple[int, int] | None:
    """Find the one range of bytes that holds all full-resolution blocks and little else.

    Returns
    -------
    tuple of int, or None
        (start, stop), or None where blocks are scattered, absent or interleaved with others.
    """
    image, *others = layout.directories
    there = image.counts > 0
    if image.reduced or not there.any() or any(not other.reduced for other in others):
        return None
    ends = image.offsets[there] + image.counts[there]
    start, stop = int(image.offsets[there].min()), int(ends.max()) + layout.trailer
    # A mask of the same size is full resolution too, though its type says mask.
    if any(other.shape == image.shape for other in others):
        return None
    # Gaps: a 4-byte leader and trailer per block, and no more than 1 % besides.
    used = int(image.counts[there].sum()) + 8 * int(there.sum())
    return (start, stop) if used >= 0.99 * (stop - start) else None


def verifiable(image: Directory) -> bool:
    """Tell whether blocks carry a checksum of their own (zlib's adler32 in DEFLATE)."""
    return image.compression in DEFLATE


def blocks_under(image: Directory, window: tuple[int, int, int, int]) -> np.ndarray:
    """Find the stored blocks that hold the pixels of a window.

    Parameters
    ----------
    window : tuple of int
        (first row, row after the last, first column, column after the last).

    Returns
    -------
    ndarray of int
        Indices into the block arrays, ascending; blocks that are absent (sparse) are left out.
    """
    top, bottom, left, right = window
    rows, columns = image.block_shape
    down, across = image.grid
    row, column = np.arange(top // rows, -(-bottom // rows)), np.arange(left // columns, -(-right // columns))
    plane = (row[:, None] * across + column).ravel()
    planes = image.samples if image.planar else 1
    every = (np.arange(planes)[:, None] * (down * across) + plane).ravel()
    return every[image.counts[every] > 0]


def spans_of(image: Directory, blocks: np.ndarray, trailer: int) -> list[tuple[int, int]]:
    """Byte ranges (start, stop) that hold some blocks, joined where they touch."""
    spans: list[tuple[int, int]] = []
    for index in blocks[np.argsort(image.offsets[blocks], kind="stable")].tolist():
        start, stop = int(image.offsets[index]), int(image.offsets[index] + image.counts[index]) + trailer
        if spans and start - spans[-1][1] <= LEADER:
            spans[-1] = (spans[-1][0], max(stop, spans[-1][1]))
        else:
            spans.append((start, stop))
    return spans


def check_blocks(read: Read, image: Directory, blocks: np.ndarray | None = None) -> None:
    """Decompress DEFLATE blocks, all or some, to their end and compare adler32 and length.

    GDAL does not: libtiff stops when the block is full, so a flipped bit that makes the
    stream longer passes as pixels (12 % of random flips, measured with GDAL 3.10).

    Raises
    ------
    ReadError
        If a block is damaged.
    """
    for index in (np.flatnonzero(image.counts) if blocks is None else blocks).tolist():
        data = read(int(image.offsets[index]), int(image.counts[index]))
        wanted = image.decoded_size(index)
        stream = zlib.decompressobj()
        try:
            length = len(stream.decompress(data, wanted + 1))
        except zlib.error as error:
            raise ReadError(f"block {index} is damaged: {error}") from error
        if length != wanted or not stream.eof:
            raise ReadError(f"block {index} is damaged: it holds {length} bytes where {wanted} belong")
