"""Tiles that grids are published in: which cells a name means, and which names an area touches."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from landsat_downsample.errors import UsageError

#: Of cells: (first row, first column, rows, columns).
Window = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class NumberedTiles:
    """Tiles of equally many cells, counted from a grid's cell (0, 0)."""

    pattern: str
    """Their names: ``h{column:02d}v{row:02d}``."""
    cells: tuple[int, int]
    """(rows, columns) of cells in a tile."""
    count: tuple[int, int] | None = None
    """(rows, columns) of tiles; None where there is no end to them."""
    northward: bool = False
    """Whether rows of tiles are counted upwards: cell (0, 0) is then the first one below the grid."""

    def find(self, name: str) -> tuple[str, Window]:
        """The name as it should be written, and the cells of that tile.

        Raises
        ------
        UsageError
            There is no such tile.
        """
        words = re.sub(r"\\{(row|column)[^}]*\\}", r"(?P<\1>\\d{1,5})", re.escape(self.pattern))
        found = re.fullmatch(words, name.strip(), re.IGNORECASE)
        row, column = (int(found[axis]) for axis in ("row", "column")) if found else (-1, -1)
        if not found or (self.count and (row >= self.count[0] or column >= self.count[1])):
            raise UsageError(f"tile {name!r} is unknown: {self.described}")
        high, wide = self.cells
        return self.name(row, column), (-(row + 1) * high if self.northward else row * high, column * wide, high, wide)

    def name(self, row: int, column: int) -> str:
        """The name of a tile."""
        return self.pattern.format(row=row, column=column)

    @property
    def described(self) -> str:
        """How names look."""
        if not self.count:
            return f"names look like {self.name(25, 28)}"
        return f"names go from {self.name(0, 0)} to {self.name(self.count[0] - 1, self.count[1] - 1)}"

    def touched(self, window: Window) -> tuple[str, ...]:
        """Names of the tiles that hold any of these cells, row by row from the north."""
        first = window[0] // self.cells[0], window[1] // self.cells[1]
        last = (window[0] + window[2] - 1) // self.cells[0], (window[1] + window[3] - 1) // self.cells[1]
        names = []
        for row in range(first[0], last[0] + 1):
            number = -row - 1 if self.northward else row
            for column in range(first[1], last[1] + 1):
                if number >= 0 <= column and (not self.count or (number < self.count[0] and column < self.count[1])):
                    names.append(self.name(number, column))
        return tuple(names)

    def to_dict(self) -> dict[str, Any]:
        """Describe it in JSON types."""
        return asdict(self) | {"cells": list(self.cells), "count": list(self.count) if self.count else None}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> NumberedTiles:
        """Make it from what `to_dict` gave."""
        return cls(**record | {key: record[key] and tuple(record[key]) for key in ("cells", "count")})
