"""One piece of a cube: the dates of a variable in one block, read from products and stored as a file of each level."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from landsat_downsample.cubes.cell_blocks import Part, block
from landsat_downsample.cubes.zarr_format import HEAD, ChunkFormat
from landsat_downsample.errors import ReadError
from landsat_downsample.model.location import Location
from landsat_downsample.reduce.coarser import Coarser
from landsat_downsample.storage import cancellation, files, small_objects

#: Bytes that a file of a cube may have to be read back.
LIMIT = 1 << 32


@dataclass(frozen=True, slots=True)
class Shard:
    """A block of an array: one file, or of cubes without shards one for each chunk."""

    array: str
    """Href."""
    form: ChunkFormat
    at: tuple[int, int, int]
    """Counted in blocks: dates, rows, columns."""
    shape: tuple[int, int]
    """Rows and columns: of the last ones fewer."""
    level: int = 1
    """Cells of the products along a side of one of its own."""
    start: tuple[int, int] = (0, 0)
    """Where it begins in the cells that are read, in rows and columns of these: before them, where below 0."""

    @property
    def place(self) -> tuple[Any, ...]:
        """What identifies it, wherever the cube is."""
        return self.at, self.shape, self.level, self.start, repr(self.form)

    def found(self) -> dict[tuple[int, int], bytes]:
        """Its files that are there, by their place in the block."""
        return {place: files.read_bytes(where, limit=LIMIT) for place, where in self._files() if files.exists(where)}

    def begun(self, kept: int, dates: int, found: Mapping[tuple[int, int], bytes]) -> np.ndarray:
        """Values (dates, rows, columns) with those dates that its files have, `kept` of them."""
        if kept and not found:
            raise ReadError(f"the cube is damaged: {self.array!r} lacks dates that it had; make it anew elsewhere")
        values = np.full((dates, *self.shape), self.form.fill, self.form.dtype)
        if kept:
            try:
                values[:kept] = self.form.decoded(found, (kept, *self.shape))
            except ReadError as error:
                raise ReadError(f"cannot add dates to {self.array!r}: {error}") from error
        return values

    def cells(self, sources: Sequence[np.ndarray], fills: Sequence[float], coarser: Coarser | None) -> np.ndarray:
        """Values (rows, columns) of one date, of the cells that were read."""
        if coarser is None:
            return sources[0]
        whole = self.shape[0] * self.level, self.shape[1] * self.level
        placed = [_placed(cells, self.start, whole, fill) for cells, fill in zip(sources, fills, strict=True)]
        return coarser(placed, self.level)

    def store(self, values: np.ndarray, found: Mapping[tuple[int, int], bytes], digest: bytes) -> int:
        """Write it in place of what was found; the number of bytes."""
        files_of = self.form.encoded(values)
        if self.form.shard:
            files_of = {(0, 0): self.form.replacing(found.get((0, 0)), files_of, digest)}
        for place, data in files_of.items():
            small_objects.put(self._file(place), data)
        return sum(map(len, files_of.values()))

    def _files(self) -> Sequence[tuple[tuple[int, int], Location]]:
        """Place among the files of the block, and location, of each."""
        if self.form.shard:
            return [((0, 0), self._file((0, 0)))]
        rows, columns = (-(-size // part) for size, part in zip(self.shape, self.form.chunk[1:], strict=True))
        return [((i, j), self._file((i, j))) for i in range(rows) for j in range(columns)]

    def _file(self, place: tuple[int, int]) -> Location:
        per = (1, 1) if self.form.shard else [b // c for b, c in zip(self.form.block, self.form.chunk, strict=True)][1:]
        row, column = (at * many + one for at, many, one in zip(self.at[1:], per, place, strict=True))
        return Location(self.array) / "c" / str(self.at[0]) / str(row) / str(column)


@dataclass(frozen=True, slots=True)
class Source:
    """A variable of the products that values are made of."""

    dtype: str
    fill: float | None
    dates: tuple[tuple[Part, ...], ...] = field(repr=False)
    """What products give to each date."""


@dataclass(frozen=True, slots=True)
class ShardWork:
    """As of `execution.work.Work`."""

    group: str
    variable: str
    shards: tuple[Shard, ...]
    """The same dates and area: of the cube itself, or of each of its levels."""
    shape: tuple[int, int]
    """Rows and columns of the cells that are read."""
    kept: int
    """Dates of the block that are in the cube already, and stay."""
    sources: tuple[Source, ...] = field(repr=False)
    """Of the further dates; none where these are all fill."""
    coarser: Coarser | None
    """How levels are made of them; None where they are the values."""
    inputs: tuple[str, ...] = field(repr=False)
    """What identifies the cells, and all dates of the block, those that are kept too."""

    @property
    def names(self) -> tuple[str, str]:
        """As of `Work`."""
        return self.variable, "/".join(map(str, self.shards[0].at))

    @property
    def label(self) -> str:
        """As of `Work`."""
        levels = "" if self.coarser is None else "levels of "
        return f"{levels}{self.variable} of the cube, block {'/'.join(map(str, self.shards[0].at))}"

    @property
    def host(self) -> str | None:
        """As of `Work`: that of its first product."""
        part = next(self._parts(), None)
        return part.source.band.location.host if part else None

    @property
    def bytes_in(self) -> int:
        """As of `Work`."""
        return sum(part.source.band.size or 0 for part in self._parts())

    def _parts(self) -> Iterator[Part]:
        return (part for source in self.sources for date in source.dates for part in date)

    def _digest(self, shard: Shard) -> bytes:
        """What the file begins with that is made of the same: 32 bytes."""
        said = json.dumps([self.inputs, shard.place, repr(self.coarser)])
        return hashlib.sha256(said.encode()).digest()

    def carry_out(self, idle_threads: Callable[[], int]) -> int:
        """Write what an earlier run did not; the number of bytes that were written."""
        waiting, new = [], len(self.sources[0].dates) if self.sources else 0
        for shard in self.shards:
            found, digest = shard.found(), self._digest(shard)
            if not shard.form.shard or found.get((0, 0), b"")[:HEAD] != digest:
                waiting.append((shard, shard.begun(self.kept, self.kept + new, found), found, digest))
        fills = [source.fill or 0 for source in self.sources]
        for number in range(new if waiting else 0):
            cancellation.check()
            cells = [block(one.dates[number], self.shape, one.dtype, one.fill)[0] for one in self.sources]
            for shard, values, *_ in waiting:
                values[self.kept + number] = shard.cells(cells, fills, self.coarser)
        return sum(shard.store(values, found, digest) for shard, values, found, digest in waiting)


def _placed(cells: np.ndarray, start: tuple[int, int], shape: tuple[int, int], fill: float) -> np.ndarray:
    """A window of cells that may begin before them and end behind, with fill there."""
    ends = [min(at + size, have) for at, size, have in zip(start, shape, cells.shape, strict=True)]
    if min(start) >= 0 and all(end - at == size for at, end, size in zip(start, ends, shape, strict=True)):
        return cells[start[0] : ends[0], start[1] : ends[1]]
    made = np.full(shape, fill, cells.dtype)
    inner = tuple(slice(max(at, 0), end) for at, end in zip(start, ends, strict=True))
    made[tuple(slice(one.start - at, one.stop - at) for one, at in zip(inner, start, strict=True))] = cells[inner]
    return made
