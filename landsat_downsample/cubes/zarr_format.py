"""How a cube lies in Zarr version 3: chunks and shards as bytes, and the documents that describe them.

Documents are zarr's own, made in memory, and chunks have the bytes that it gives them; the store is ours to write.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from landsat_downsample.errors import ReadError, UsageError

#: Cells of a side of an inner chunk: a cell's series and a date's map both take few of them.
INNER = 64

#: Cells of a side of a shard, at most: 20 dates of 16 bits are 40 MiB.
LARGEST = 1024

#: Of a chunk of cubes without shards: dates, rows, columns.
PLAIN = (10, 256, 256)

#: Dates in a chunk of coordinates: so many that one is rarely full.
DATES = 4096

#: Bytes at the head of a shard, before its chunks, which no index points to: the digest of what went into it.
HEAD = 32

#: Offset and length in a shard's index of a chunk that is not there.
ABSENT = np.iinfo("<u8").max


def needed() -> Any:
    """The library zarr.

    Raises
    ------
    UsageError
        It is not installed, or too old.
    """
    try:
        import zarr
    except ImportError as error:
        raise UsageError("cubes need zarr: pip install 'landsat-downsample[cube]'") from error
    if int(zarr.__version__.split(".")[0]) < 3:
        raise UsageError(
            f"cubes need zarr 3, and {zarr.__version__} is installed: pip install 'landsat-downsample[cube]'"
        )
    return zarr


@dataclass(frozen=True, slots=True)
class ChunkFormat:
    """How the values of one variable are cut, compressed and stored."""

    dtype: str
    fill: float
    chunk: tuple[int, int, int]
    """Dates, rows, columns of what is compressed as one."""
    shard: tuple[int, int, int] | None
    """Of a file of many such chunks; None where each has its own."""
    largest: int = LARGEST
    """Cells of a side of one piece of work, at most: a multiple of `INNER`."""

    @classmethod
    def of(
        cls,
        dtype: str,
        fill: float | None,
        dates: int,
        grid: tuple[int, int],
        *,
        sharded: bool,
        largest: int = LARGEST,
    ) -> ChunkFormat:
        """For a variable on a grid of some height and width."""
        fill = 0 if fill is None else fill
        if not sharded:
            rows, columns = (math.gcd(side, largest) for side in PLAIN[1:])
            return cls(dtype, fill, (dates, rows, columns), None, largest)
        sides = [min(-(-size // INNER) * INNER, largest) for size in grid]
        return cls(dtype, fill, (dates, INNER, INNER), (dates, sides[0], sides[1]), largest)

    @property
    def block(self) -> tuple[int, int, int]:
        """Dates, rows, columns of one piece of work: a shard, or as many chunks."""
        dates, *sides = self.chunk
        rows, columns = self.shard[1:] if self.shard else (self.largest // side * side for side in sides)
        return dates, rows, columns

    def keywords(self) -> dict[str, Any]:
        """What zarr makes such an array of."""
        from zarr.codecs import BloscCodec

        number = np.dtype(self.dtype).type(self.fill)
        return {
            "dtype": self.dtype,
            "fill_value": number,
            "chunks": self.chunk,
            "shards": self.shard,
            "compressors": BloscCodec(cname="zstd", clevel=5, shuffle="shuffle"),
            # A chunk that is not there was not written: one of fill alone is.
            "config": {"write_empty_chunks": True},
        }

    def encoded(self, values: np.ndarray) -> dict[tuple[int, int], bytes]:
        """Compressed chunks of a block of values (dates, rows, columns), by row and column; of a shard all that it has.

        As zarr makes them, which hands each to a thread of its own: that takes five times as long. Dates, rows and
        columns that values lack are fill.
        """
        codec, made = _blosc(), {}
        for place, at in self._places(values.shape):
            chunk = np.full(self.chunk, self.fill, np.dtype(self.dtype).newbyteorder("<"))
            part = values[at]
            chunk[tuple(map(slice, part.shape))] = part
            made[place] = codec.encode(chunk)
        return made

    def decoded(self, files: Mapping[tuple[int, int], bytes], shape: tuple[int, int, int]) -> np.ndarray:
        """Values of a block, from its files; fill where there is none.

        Raises
        ------
        ReadError
            A file is damaged.
        """
        codec, values = _blosc(), np.full(shape, self.fill, self.dtype)
        chunks = self._chunks(files[0, 0]) if self.shard and files else files
        for place, at in self._places(shape):
            if place in chunks:
                part = values[at]
                try:
                    chunk = np.frombuffer(codec.decode(chunks[place]), np.dtype(self.dtype).newbyteorder("<"))
                    part[...] = chunk.reshape(self.chunk)[tuple(map(slice, part.shape))]
                except (RuntimeError, ValueError) as error:  # as Blosc and NumPy have it
                    raise ReadError(
                        "the cube is damaged: a chunk cannot be unpacked; make it anew elsewhere"
                    ) from error
        return values

    def _places(self, shape: tuple[int, ...]) -> Iterator[tuple[tuple[int, int], tuple[slice, slice, slice]]]:
        """Row and column of each chunk of a block, and where its values lie; of a shard of all that it has."""
        dates, high, wide = self.chunk
        rows, columns = (-(-side // part) for side, part in zip((self.shard or shape)[1:], (high, wide), strict=True))
        for i, j in product(range(rows), range(columns)):
            yield (i, j), (slice(dates), slice(i * high, (i + 1) * high), slice(j * wide, (j + 1) * wide))

    def _chunks(self, shard: bytes) -> dict[tuple[int, int], memoryview]:
        """Chunks in the file of a shard."""
        index, view = _index_of(shard, self._count), memoryview(shard)
        where = zip(self._places(()), index.tolist(), strict=True)
        return {place: view[at : at + size] for (place, _), (at, size) in where if at != ABSENT}

    @property
    def _count(self) -> int:
        """Chunks of a shard."""
        assert self.shard is not None
        return math.prod(whole // part for whole, part in zip(self.shard, self.chunk, strict=True))

    def replacing(self, old: bytes | None, chunks: Mapping[tuple[int, int], bytes], digest: bytes) -> bytes:
        """The file of a shard that takes the place of another one, for readers who have read the index of that.

        Its chunks stay where they were, so that a reader who knows where finds them: index and chunks are two requests,
        and between them the file may be replaced. Only one earlier version is kept.
        """
        assert len(digest) == HEAD
        size, before, room = sum(map(len, chunks.values())), b"", 0
        if old is not None:
            known = _index_of(old, self._count)
            there = known[known[:, 0] != ABSENT]
            first, last = int(there[:, 0].min()), int(there.sum(axis=1).max())
            room = first - HEAD
            before = old[first:last] if size <= room else old[HEAD:last]
        ahead = size <= room  # of those that are kept
        at, index = HEAD if ahead else HEAD + len(before), {}
        laid = sorted(chunks, key=_along_z)
        for place in laid:
            index[place] = at, len(chunks[place])
            at += len(chunks[place])
        body = [chunks[place] for place in laid]
        tail = np.array([index[place] for place in chunks], "<u8").tobytes()
        parts = [*body, bytes(room - size), before] if ahead else [before, *body]
        return b"".join([digest, *parts, tail, _checksum(tail)])


def _blosc() -> Any:
    from numcodecs.blosc import Blosc

    return Blosc(cname="zstd", clevel=5, shuffle=Blosc.SHUFFLE)


def _along_z(place: tuple[int, int]) -> list[tuple[int, int]]:
    """What sorts chunks along a Z-curve, as zarr lays them: bits of column and row in turn.

    >>> sorted([(0, 2), (1, 1), (1, 0), (0, 1), (0, 0)], key=_along_z)
    [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2)]
    """
    row, column = place
    return [(column >> bit & 1, row >> bit & 1) for bit in reversed(range(16))]


def _index_of(shard: bytes, count: int) -> np.ndarray:
    """Offset and length (count, 2) of each chunk of a shard, whose end is that."""
    tail = shard[-16 * count - 4 :]
    if len(tail) < 16 * count + 4 or _checksum(tail[:-4]) != tail[-4:]:
        raise ReadError("the cube is damaged: the index of a shard has another checksum; make it anew elsewhere")
    return np.frombuffer(tail[:-4], "<u8").reshape(count, 2)


def _checksum(data: bytes) -> bytes:
    from google_crc32c import value

    return int(value(data)).to_bytes(4, "little")


@contextmanager
def quiet() -> Iterator[None]:
    """Without zarr's warnings of what its specification has not settled yet: strings, consolidated metadata."""
    needed()
    from zarr.errors import ZarrUserWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ZarrUserWarning)
        yield


@dataclass(frozen=True, slots=True)
class Described:
    """One array of a cube, for its documents."""

    dimensions: tuple[str, ...]
    attributes: dict[str, Any]
    values: np.ndarray | None = None
    """Of coordinates, which are written with the documents."""
    form: ChunkFormat | None = None
    """Of data, which are not."""
    shape: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class DescribedGroup:
    """A group of a cube, for its documents."""

    arrays: Mapping[str, Described]
    attributes: Mapping[str, Any]


def documents(groups: Mapping[str, DescribedGroup]) -> dict[str, bytes]:
    """All documents of a cube, and the chunks of its coordinates, by key; the last one is that of the root.

    Parameters
    ----------
    groups : mapping of str to DescribedGroup
        By path; that of the root is empty. Each has consolidated metadata, which a reader of it alone needs.
    """
    zarr = needed()
    from zarr.storage import MemoryStore

    store: dict[str, Any] = {}
    with quiet():
        memory = MemoryStore(store)
        for path in sorted(groups):
            made = zarr.create_group(memory, path=path, zarr_format=3, attributes=dict(groups[path].attributes))
            for name, one in groups[path].arrays.items():
                if one.form:
                    how = {"dimension_names": one.dimensions, "attributes": one.attributes}
                    made.create_array(name, shape=one.shape, **one.form.keywords(), **how)
                else:
                    _coordinate(made, name, one)
        for path in sorted(groups, reverse=True):
            zarr.consolidate_metadata(memory, path=path)
    # Chunks, documents of arrays, of groups, of the root: what a document tells of is there.
    order = sorted(store, key=lambda key: (key.endswith("zarr.json"), -key.count("/"), key))
    return {key: store[key].to_bytes() for key in order}


def _coordinate(root: Any, name: str, one: Described) -> None:
    values = np.asarray(one.values)
    text = values.dtype.kind in "UO"
    chunks = tuple(
        DATES if dimension == "time" else size for dimension, size in zip(one.dimensions, values.shape, strict=True)
    )
    array = root.create_array(
        name,
        shape=values.shape,
        dtype=str if text else values.dtype,
        chunks=chunks,
        dimension_names=one.dimensions,
        attributes=one.attributes,
        config={"write_empty_chunks": True},
    )
    array[...] = values.astype(object) if text else values


def read_coordinate(document: Mapping[str, Any], chunks: list[bytes]) -> np.ndarray:
    """Values of a coordinate, of its document and its chunks."""
    import json

    from zarr.core.buffer import default_buffer_prototype
    from zarr.storage import MemoryStore

    make = default_buffer_prototype().buffer.from_bytes
    store = {"zarr.json": make(json.dumps(document).encode())}
    store |= {f"c/{number}": make(data) for number, data in enumerate(chunks)}
    with quiet():
        values: np.ndarray = np.asarray(needed().open_array(MemoryStore(store), mode="r")[...])
    return values
