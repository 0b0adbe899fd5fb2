"""One piece of a cube: the dates of a variable in one block, read from products and stored as one file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from landsat_downsample.cubes.cell_blocks import Part, block
from landsat_downsample.cubes.zarr_format import HEAD, ChunkFormat
from landsat_downsample.errors import ReadError
from landsat_downsample.model.location import Location
from landsat_downsample.storage import cancellation, files, small_objects

#: Bytes that a file of a cube may have to be read back.
LIMIT = 1 << 32


@dataclass(frozen=True, slots=True)
class ShardWork:
    """As of `execution.work.Work`."""

    group: str
    variable: str
    array: str
    """Href of the variable's array."""
    form: ChunkFormat
    at: tuple[int, int, int]
    """Of the block, counted in blocks: dates, rows, columns."""
    shape: tuple[int, int]
    """Rows and columns: of the last ones fewer."""
    kept: int
    """Dates of the block that are in the cube already, and stay."""
    dates: tuple[tuple[Part, ...], ...] = field(repr=False)
    """What products give to each further one."""
    inputs: tuple[str, ...] = field(repr=False)
    """What identifies all dates of the block, those that are kept too."""

    @property
    def names(self) -> tuple[str, str]:
        """As of `Work`."""
        return self.variable, f"{'/'.join(map(str, self.at))}"

    @property
    def label(self) -> str:
        """As of `Work`."""
        return f"{self.variable} of the cube, block {'/'.join(map(str, self.at))}"

    @property
    def host(self) -> str | None:
        """As of `Work`: that of its first product."""
        part = next((part for date in self.dates for part in date), None)
        return part.source.band.location.host if part else None

    @property
    def bytes_in(self) -> int:
        """As of `Work`."""
        return sum(part.source.band.size or 0 for date in self.dates for part in date)

    @property
    def digest(self) -> bytes:
        """What the file begins with that is made of the same: 32 bytes."""
        said = json.dumps([self.inputs, self.at, self.shape, repr(self.form)])
        return hashlib.sha256(said.encode()).digest()

    def carry_out(self, idle_threads: Callable[[], int]) -> int:
        """Write it, unless an earlier run did; the number of bytes that were written."""
        found = {place: files.read_bytes(where, limit=LIMIT) for place, where in self._files() if files.exists(where)}
        if self.form.shard and (old := found.get((0, 0))) and old[:HEAD] == self.digest:
            return 0
        values = np.full((self.form.block[0], *self.shape), self.form.fill, self.form.dtype)
        if self.kept and not found:
            raise ReadError(f"the cube is damaged: {self.array!r} lacks dates that it had; make it anew elsewhere")
        if self.kept:
            values[: self.kept] = self.form.decoded(found, values.shape)[: self.kept]
        for number, parts in enumerate(self.dates, self.kept):
            cancellation.check()
            values[number] = block(parts, self.shape, self.form.dtype, self.form.fill)[0]
        written = 0
        for place, made in self.form.encoded(values).items():
            data = self.form.replacing(found.get(place), made, self.digest) if self.form.shard else made
            small_objects.put(self._file(place), data)
            written += len(data)
        return written

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
