"""How a cube lies in Zarr version 3: chunks and shards as bytes, and the documents that describe them.

All bytes of chunks and documents are zarr's own, made in memory; the store that they go to is ours to write.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from landsat_downsample.errors import UsageError

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
        """Files of a block of values (dates, rows, columns), by row and column among the files of the block."""
        with quiet():
            store: dict[str, Any] = {}
            self._array(store, values.shape)[...] = values
        return {
            (int(parts[2]), int(parts[3])): found.to_bytes()
            for key, found in store.items()
            if len(parts := key.split("/")) == 4
        }

    def decoded(self, files: Mapping[tuple[int, int], bytes], shape: tuple[int, int, int]) -> np.ndarray:
        """Values of a block, from its files; fill where there is none."""
        from zarr.core.buffer import default_buffer_prototype

        with quiet():
            store: dict[str, Any] = {}
            array = self._array(store, shape)
            make = default_buffer_prototype().buffer.from_bytes
            store |= {f"c/0/{i}/{j}": make(data) for (i, j), data in files.items()}
            values: np.ndarray = np.asarray(array[...])
        return values

    def _array(self, store: dict[str, Any], shape: tuple[int, ...]) -> Any:
        from zarr.storage import MemoryStore

        return needed().create_array(MemoryStore(store), shape=shape, **self.keywords())

    def replacing(self, old: bytes | None, new: bytes, digest: bytes) -> bytes:
        """The file of a shard that takes the place of another one, for readers who have read the index of that.

        Its chunks stay where they were, so that a reader who knows where finds them: index and chunks are two requests,
        and between them the file may be replaced. Only one earlier version is kept.
        """
        assert self.shard is not None and len(digest) == HEAD
        count = int(np.prod([whole // part for whole, part in zip(self.shard, self.chunk, strict=True)]))
        body, index = _split(new, count)
        before = b""
        if old is not None:
            kept, known = _split(old, count)
            there = known[known[:, 0] != ABSENT]
            first, last = int(there[:, 0].min()), int(there.sum(axis=1).max())
            room = first - HEAD
            if len(body) <= room:
                return _joined(digest + body + bytes(room - len(body)) + kept[first:last], _moved(index, HEAD))
            before = kept[HEAD:last]
        return _joined(digest + before + body, _moved(index, HEAD + len(before)))


def _split(shard: bytes, count: int) -> tuple[bytes, np.ndarray]:
    """Chunks, and index (count, 2) of offset and length, of a shard whose index is its end."""
    size = 16 * count + 4
    return shard[:-size], np.frombuffer(shard[-size:-4], "<u8").reshape(count, 2)


def _moved(index: np.ndarray, by: int) -> np.ndarray:
    moved = index.copy()
    moved[index[:, 0] != ABSENT, 0] += np.uint64(by)
    return moved


def _joined(body: bytes, index: np.ndarray) -> bytes:
    from google_crc32c import value

    tail = index.astype("<u8").tobytes()
    return body + tail + int(value(tail)).to_bytes(4, "little")


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
