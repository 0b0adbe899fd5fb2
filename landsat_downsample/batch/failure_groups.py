"""Failures of a run, grouped by what made them. Pure."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

from landsat_downsample.model.safe_text import plain

#: Groups, and rows of each of them, that a page shows.
GROUPS, ROWS = 20, 10

_PLACE = re.compile(r"'[^']*'|\"[^\"]*\"|[A-Za-z][A-Za-z0-9+.-]*://\S+")
_NUMBER = re.compile(r"(?<!status )(?<![\w.])\d[\d.,]*(?![\w])")
_BANDS = r"(?:(?:SR|ST|QA|VZA|VAA|SZA|SAA|GM|BQA|B\d)[A-Z0-9_]*)"
#: As messages spell it ("band SR_B4 of ..."), and as the names of USGS's files end.
_BAND = re.compile(rf"\bband ({_BANDS})\b|_T[12R]T?_({_BANDS})\.TIF")


@dataclass(frozen=True, slots=True)
class Failure:
    """A scene that failed."""

    id: str
    band: str
    """Empty where the message names none."""
    message: str


@dataclass(frozen=True, slots=True)
class Cause:
    """Scenes that failed for the same reason."""

    kind: str
    """Class of the error."""
    pattern: str
    """The message without what differs from scene to scene."""
    count: int
    shown: tuple[Failure, ...]

    @property
    def left(self) -> int:
        """Scenes that are not shown."""
        return self.count - len(self.shown)


def band_of(record: dict[str, Any]) -> str:
    """Name the band that made a scene fail, as far as its outcome says.

    >>> band_of({"error": "band SR_B4 LC08_... failed: its worker was killed"})
    'SR_B4'
    """
    if isinstance(record.get("band"), str):
        return plain(record["band"], 40)
    found = _BAND.search(str(record.get("error") or ""))
    return (found[1] or found[2]) if found else ""


def pattern_of(record: dict[str, Any]) -> str:
    """Take out of an error's message what differs from scene to scene.

    >>> pattern_of({"id": "LC08", "error": "cannot read 's3://b/LC08_B4.TIF': status 503; gave up after 7 tries"})
    'cannot read …: status 503; gave up after … tries'
    """
    text = _PLACE.sub("…", plain(record.get("error") or "no message", 500))
    name = plain(record.get("id") or "")
    text = text.replace(name, "…") if name else text
    text = _NUMBER.sub("…", re.sub(rf"\b{_BANDS}\b", "…", text))
    return re.sub(r"…([\s-]*…)+", "…", text)


class Causes:
    """Failed outcomes by what made them; of each cause only those that a page shows are kept."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._shown: defaultdict[tuple[str, str], list[Failure]] = defaultdict(list)

    def add(self, record: dict[str, Any]) -> None:
        """Take a failed outcome."""
        cause = plain(record.get("cause") or "unknown", 60), pattern_of(record)
        self._counts[cause] += 1
        if len(shown := self._shown[cause]) < ROWS:
            shown.append(_failure(record))

    def grouped(self) -> list[Cause]:
        """The causes, the most frequent one first."""
        made = [Cause(*cause, count, tuple(self._shown[cause])) for cause, count in self._counts.items()]
        return sorted(made, key=lambda cause: (-cause.count, cause.kind, cause.pattern))


def _failure(record: dict[str, Any]) -> Failure:
    return Failure(
        plain(record.get("id") or "unknown", 200), band_of(record), plain(record.get("error") or "no message", 500)
    )
