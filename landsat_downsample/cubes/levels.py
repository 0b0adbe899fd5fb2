"""Levels of a cube: which there may be, on which cells, and how each variable of them is made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from landsat_downsample.cubes.cell_blocks import Window
from landsat_downsample.cubes.common_grid import CommonGrid
from landsat_downsample.cubes.reduced_scene import ReducedScene
from landsat_downsample.cubes.series import Variable
from landsat_downsample.cubes.zarr_format import INNER, LARGEST
from landsat_downsample.errors import UsageError
from landsat_downsample.model.indices import OF_MEANS
from landsat_downsample.model.lattice import Lattice
from landsat_downsample.reduce.bits import threshold
from landsat_downsample.reduce.coarser import COUNTABLE, Coarser

#: Cells of the base along a side of what is read as one, at most.
READ = 2 * LARGEST

#: Why a variable is not in the levels, by how its cells were made.
_LEFT_OUT = {
    "median": "a median of medians is none of the pixels",
    "mode": "the most frequent class of cells is not that of their pixels",
    "nearest": "no cell holds the pixel at the centre of a larger one",
    "circular": "cells do not tell how far the directions of their pixels agree",
    "majority": "how many pixels have each flag is not kept",
    "rms": "how many pixels were squared is not kept",
    "std": "deviations need the sums and counts beside them: --stats mean,sum,std,count",
    "mean": "how many pixels were averaged is not kept",
}

#: What a variable of the levels says of itself, by how it is made.
_SAID = {
    "mean by count": "mean of cells weighted by count, within 1 of the mean of the pixels: products kept no sums",
    "rms": "root mean square of cells weighted by count, within 1 of that of the pixels",
    "std": "from sums, counts and deviations of cells, which are rounded to float32",
}
_OF_PERCENTS = {
    "valid": "mean of the percentages of cells, within 1 of that of the pixels",
    "share": "of rounded percentages: what it means of the whole cell is within 2 percent of the pixels' share",
    "codes": "flags as of the pixels, but for water where about half of the valid pixels are",
}


def checked(levels: Iterable[int] | None) -> tuple[int, ...]:
    """Levels that a cube can have.

    Raises
    ------
    UsageError
        They are no numbers above 1 of which each is a multiple of the one before, or too coarse.
    """
    if isinstance(levels, str) or not isinstance(levels, Iterable | None):
        raise UsageError(f"levels {levels!r} are no numbers of cells: give them as (2, 4, 8)")
    found = tuple(levels or ())
    for number, before in zip(found, (1, *found), strict=False):
        if isinstance(number, bool) or not isinstance(number, int) or number <= before or number % before:
            raise UsageError(f"levels {_words(found)} are none: give numbers, each a multiple of the one before: 2,4,8")
    if found and found[-1] * INNER > READ:
        raise UsageError(f"levels {_words(found)}: the last one can be {READ // INNER} at most")
    return found


def _words(levels: Iterable[Any]) -> str:
    return ",".join(map(str, levels))


@dataclass(frozen=True, slots=True)
class Level:
    """Cells of a level: of the base's lattice, `number` times as large, as many as touch its cells."""

    number: int
    """Cells of the base along a side of one; 1: the base itself."""
    common: CommonGrid
    """Its own cells."""
    begins: tuple[int, int]
    """Row and column of the base where its first cell begins: 0 or less."""

    @classmethod
    def of(cls, base: CommonGrid, number: int) -> Level:
        """Find it."""
        (y, x), (high, wide) = base.lattice.origin, base.lattice.cell
        lattice = Lattice(base.lattice.crs, (y, x), (high * number, wide * number))
        (top, left), (height, width) = base.lattice.first(base.grid), base.grid.shape
        row, column = top // number, left // number
        shape = -(-(top + height) // number) - row, -(-(left + width) // number) - column
        return cls(
            number, CommonGrid(lattice, lattice.grid((row, column, *shape))), (-(top % number), -(left % number))
        )

    def blocks(self, block: tuple[int, int, int]) -> tuple[int, int]:
        """Rows and columns of its blocks of some dates, rows and columns."""
        rows, columns = (-(-size // side) for size, side in zip(self.common.grid.shape, block[1:], strict=True))
        return rows, columns

    def window(self, block: tuple[int, int, int], at: tuple[int, int]) -> Window | None:
        """Its cells in a block; None where it has no such block."""
        (_, high, wide), (height, width) = block, self.common.grid.shape
        top, left = at[0] * high, at[1] * wide
        return (top, min(top + high, height), left, min(left + wide, width)) if top < height and left < width else None

    def under(self, window: Window) -> Window:
        """The cells of the base that some of its cells are made of, which may reach beyond the base."""
        (top, left), n = self.begins, self.number
        return top + window[0] * n, top + window[1] * n, left + window[2] * n, left + window[3] * n


def largest_block(levels: Sequence[int], level: int) -> int:
    """Cells of a side of a level's blocks, at most: those of all levels lie over the same cells of the base."""
    if level == 1:
        return LARGEST
    whole = INNER * levels[-1]
    return READ // whole * whole // level


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the levels of a variable are made."""

    how: str
    """As of `Coarser`."""
    of: tuple[str, ...]
    """Variables of products."""
    pixels: int | None = None
    """As of `Coarser`."""

    @property
    def said(self) -> str:
        """What the variable says of it; empty where it is what the pixels would give."""
        by_percent = self.pixels is None and (self.how in ("valid", "share") or len(self.of) > 1)
        return _OF_PERCENTS.get(self.how, "") if by_percent and self.how in _OF_PERCENTS else _SAID.get(self.how, "")

    def coarser(self, variable: Variable, dtype: str, fill: float) -> Coarser:
        """What makes it."""
        band = variable.first.band
        spec = band.spec if self.how == "codes" else None
        return Coarser(self.how, dtype, fill, variable.marked is None, spec, self.pixels)

    def variables(self, variable: Variable, scenes: Iterable[ReducedScene]) -> list[Variable]:
        """What is read of the products that have a variable."""
        having = _having(variable, scenes)
        return [Variable.of(having, name) for name in self.of]

    def check(self, variable: Variable, scenes: Iterable[ReducedScene]) -> None:
        """Refuse products that lack what the levels of a cube are made of.

        Raises
        ------
        UsageError
            One does.
        """
        for scene in _having(variable, scenes):
            if lacking := [name for name in self.of if not scene.find(name)]:
                raise UsageError(
                    f"{scene.id} lacks {', '.join(lacking)}, of which the cube's levels of {variable.name} are made: "
                    "reduce it with the same --stats"
                )
            if self.pixels is not None and pixels_of(scene) != self.pixels:
                raise UsageError(f"{scene.id} has other pixels than those that {variable.name} of the cube was made of")

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Recipe:
        """Make it from JSON types."""
        return cls(record["how"], tuple(record["of"]), record["pixels"])


def recipes(variables: Iterable[Variable], scenes: Sequence[ReducedScene]) -> tuple[dict[str, Recipe], tuple[str, ...]]:
    """How each variable is made, and which are left out, with the reason.

    Raises
    ------
    UsageError
        Products were made so that their levels would be wrong.
    """
    if scene := next((scene for scene in scenes if scene.options.get("min_valid")), None):
        raise UsageError(f"{scene.id} was made with --min-valid, which lost pixels that levels need: reduce it without")
    made: dict[str, Recipe] = {}
    without: dict[str, list[str]] = {}
    uncounted = []
    for variable in variables:
        found = _recipe(variable, _having(variable, scenes))
        if isinstance(found, Recipe):
            made[variable.name] = found
        elif found == _LEFT_OUT["mean"] and variable.first.band.spec.averaged:
            uncounted.append(variable.name)
        else:
            without.setdefault(found, []).append(variable.name)
    if uncounted:
        raise UsageError(
            f"levels of {', '.join(uncounted)} need the pixels' counts: reduce with --stats mean,sum,count"
        )
    return made, tuple(f"{', '.join(names)}, because {why}" for why, names in without.items())


def _recipe(variable: Variable, scenes: Sequence[ReducedScene]) -> Recipe | str:
    """How levels of a variable are made, or why they are not."""
    layer = variable.first
    spec, method = layer.band.spec, layer.stat or layer.method
    sums, counts = (f"{layer.key}_{stat}" for stat in ("sum", "count"))
    name = layer.common_name

    def kept(*names: str) -> bool:
        return all(scene.find(name) for scene in scenes for name in names)

    if layer.share:
        return Recipe(
            "valid" if name == "valid" else "share", (name, "valid")[: 1 + (name != "valid")], _pixels(scenes)
        )
    if spec.kind == "bits":
        return _flags(variable, scenes) if method == "conservative" else _LEFT_OUT.get(method, _LEFT_OUT["majority"])
    if layer.inputs or (method == "mean" and spec.name.endswith(OF_MEANS)):
        return "it is to be computed of the level's own bands, as it was of cells'"
    if method in ("min", "max") and variable.marked is None:
        return "no value says which cells have no data"
    for how, made_by, parts in (
        ("sum", "sum", (name,)),
        ("count", "count", (name,)),
        ("min", "min", (name,)),
        ("max", "max", (name,)),
        ("mean", "mean", (sums, counts)),
        ("mean by count", "mean", (name, counts)),
        ("rms", "rms", (name, counts)),
        ("std", "std", (name, sums, counts)),
    ):
        if method == made_by and kept(*parts):
            return Recipe(how, parts)
    return _LEFT_OUT.get(method, f"{method} of cells is not that of their pixels")


def _flags(variable: Variable, scenes: Sequence[ReducedScene]) -> Recipe | str:
    spec, name = variable.first.band.spec, variable.first.common_name
    if any(field.value is not None for field in spec.fields):
        return _LEFT_OUT["mode"]
    by_majority = [field.name for field in spec.fields if threshold(field, "conservative") == "majority"]
    if not by_majority:
        return Recipe("codes", (name,))
    shares = (*by_majority, "valid")
    if spec.quality and all(scene.find(share) for scene in scenes for share in shares):
        return Recipe("codes", (name, *shares), _pixels(scenes))
    return f"{' and '.join(by_majority)} go by the majority of pixels, which are not counted"


def _having(variable: Variable, scenes: Iterable[ReducedScene]) -> list[ReducedScene]:
    return [scene for scene in scenes if scene.location.href in variable.layers]


def _pixels(scenes: Sequence[ReducedScene]) -> int | None:
    found = {pixels_of(scene) for scene in scenes}
    return found.pop() if len(found) == 1 else None


def pixels_of(scene: ReducedScene) -> int | None:
    """Pixels of a cell, or parts of them, where they are so few that whole percentages tell how many they mean.

    Cells of the zone and of the scene begin at corners of 30 m pixels, which cut others into halves.
    """
    ratio, anchor = scene.properties.get("landsat_ds:ratio"), scene.options.get("anchor")
    if not ratio or anchor is not None:
        return None
    parts = 1 if scene.properties.get("landsat_ds:source_gsd") == 30 else 2
    # Edges of cells of 10/3 pixels cut these into thirds: all weights are whole in thirds of a side.
    high, wide = (Fraction(one * parts).limit_denominator(COUNTABLE).numerator for one in ratio)
    return high * wide if high * wide <= COUNTABLE else None
