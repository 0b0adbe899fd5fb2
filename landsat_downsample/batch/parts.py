"""Shares of a list: which scenes the I-th of N parts of a run has, the same on every machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from landsat_downsample.batch.entry import Entry
from landsat_downsample.batch.record import number_of_parts, part_of
from landsat_downsample.batch.requests import place_key
from landsat_downsample.errors import UsageError
from landsat_downsample.model.options import Options
from landsat_downsample.model.words import count_words


@dataclass(frozen=True, slots=True)
class Part:
    """One of the equal parts of a run."""

    number: int
    """Counted from 1."""
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @classmethod
    def parse(cls, text: str) -> Part:
        """Read ``I/N``.

        Raises
        ------
        UsageError
            It is none; one that counts from 0 is told what to do.

        Examples
        --------
        >>> Part.parse("3/10")
        Part(number=3, of=10)
        """
        number, slash, of = text.strip().partition("/")
        if not (slash and number.isdecimal() and of.isdecimal()):
            raise UsageError(f"part {text!r} is not I/N, such as 3/10: the third of ten")
        part = cls(int(number), int(of))
        if not 1 <= part.number <= part.of:
            counted = ": where tasks are numbered from 0, give $((INDEX + 1))/N" if not part.number else ""
            raise UsageError(f"part {text!r} is not one of 1/{part.of} to {part.of}/{part.of}{counted}")
        return part

    @classmethod
    def made_of(cls, given: object) -> Part:
        """Take ``(3, 10)`` or ``"3/10"``.

        Raises
        ------
        UsageError
            As of `parse`.
        """
        pair = given.split("/") if isinstance(given, str) else list(given) if isinstance(given, Iterable) else [given]
        return cls.parse("/".join(str(one).strip() for one in pair))

    def size(self, scenes: int) -> int:
        """Scenes of this part where all parts together have so many."""
        return len(range(self.number - 1, scenes, self.of))


@dataclass(frozen=True, slots=True)
class Share:
    """What one part of a run has of its list."""

    part: Part | None
    """None stands for all parts: a retry of what failed in any."""
    entries: list[Entry]
    run: str
    """Name of the run, which all parts of the same list and options share."""
    scenes: int
    """Of the whole list."""

    @property
    def suffix(self) -> str:
        """Ends the name of its record."""
        return part_of(self.run, self.part.number if self.part else None)

    @property
    def nothing(self) -> str:
        """Say why there is nothing to do."""
        return f"part {self.part} has nothing to do: its list has {count_words(self.scenes, 'scene')}"

    def to_dict(self) -> dict[str, int | None]:
        """Describe it in JSON types: a part of ``status.json``."""
        of = number_of_parts(self.run)
        return {"number": self.part.number if self.part else None, "of": of, "scenes": self.scenes}


def share(entries: Iterable[Entry], part: Part, options: Options) -> Share:
    """Take every N-th scene of a list.

    It depends on nothing but the words of the list: not on this machine's files, clock or locale.
    Neighbours in a list cost alike, so that parts of every N-th scene cost alike too. Sources that
    by their names make one product are in one part, which takes the first of them, as a whole run
    does; so no two parts write to one place.

    Parameters
    ----------
    entries : iterable of Entry
        All of the list.
    part : Part
        Which part, of how many.
    options : Options
        What the run is asked to make; another run of the same list has another name.
    """
    places: dict[str, int] = {}
    mine = []
    for entry in entries:
        key = place_key(entry)
        if entry.error is not None:  # one that fails is in nobody's way, whatever it is called
            key = f"! {len(places)} {key}"
        if places.setdefault(key, len(places)) % part.of == part.number - 1:
            mine.append(entry)
    known = json.dumps([list(places), options.to_dict()], sort_keys=True)
    name = f"parts-of-{part.of}-{hashlib.sha256(known.encode(errors='replace')).hexdigest()[:8]}"
    return Share(part, mine, name, len(places))
