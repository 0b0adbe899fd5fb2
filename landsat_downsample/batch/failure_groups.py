"""Failures of a run, grouped by what made them. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
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


def causes(records: Sequence[dict[str, Any]]) -> list[Cause]:
    """Group failed outcomes, the most frequent cause first."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for record in records:
        kind = plain(record.get("cause") or "unknown", 60)
        groups.setdefault((kind, pattern_of(record)), []).append(record)
    made = [
        Cause(kind, pattern, len(members), tuple(map(_failure, members[:ROWS])))
        for (kind, pattern), members in groups.items()
    ]
    return sorted(made, key=lambda cause: (-cause.count, cause.kind, cause.pattern))


def _failure(record: dict[str, Any]) -> Failure:
    return Failure(
        plain(record.get("id") or "unknown", 200), band_of(record), plain(record.get("error") or "no message", 500)
    )
