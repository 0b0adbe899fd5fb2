"""A parsed MTL: its values, and where in its bytes each of them lies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

#: Real MTLs have 8 to 24 kB; what is larger than this is something else.
MAX_BYTES = 4 * 1024 * 1024

#: Root, group, value: no real MTL is deeper.
MAX_DEPTH = 8

#: Group that a rewrite adds.
RECORD = "DOWNSAMPLING_RECORD"

#: Where a product's files are listed: Collection 2, Collection 1 and older, JSON without groups.
CONTENTS = ("PRODUCT_CONTENTS", "PRODUCT_METADATA", "")

#: Where its grid is described. LEVEL1_PROJECTION_PARAMETERS is not among them: in a Level 2
#: product it describes the Level 1 source.
SPATIAL = ("PROJECTION_ATTRIBUTES", "PRODUCT_METADATA", "PROJECTION_PARAMETERS", "")

GRIDS = ("PANCHROMATIC", "REFLECTIVE", "THERMAL")

BOM = b"\xef\xbb\xbf"

Changes = dict[tuple[str, str], str | None]

Record = Mapping[str, str | int | float]


@dataclass(frozen=True, slots=True)
class MtlEntry:
    """One value of an MTL and where it lies."""

    group: str
    key: str
    value: str
    """Without quotes and escapes."""
    start: int
    """Where the value begins in the bytes, quotes included."""
    stop: int
    cut: tuple[int, int]
    """What goes when the key is removed: its line, its element, its member with a comma."""


@dataclass(frozen=True, slots=True)
class MtlLayout:
    """Where the next group would go, and how it would look."""

    at: int
    newline: bytes = b""
    group_indent: bytes = b""
    entry_indent: bytes = b""
    equals: bytes = b" = "
    """Between key and value."""


@dataclass(frozen=True, slots=True)
class Mtl:
    """An MTL as it was read: its bytes, and the values found in them, in order."""

    kind: str
    """``txt``, ``json`` or ``xml``."""
    data: bytes
    root: str
    """Name of the outermost group: ``LANDSAT_METADATA_FILE``, ``L1_METADATA_FILE``; empty without one."""
    entries: tuple[MtlEntry, ...]
    layout: MtlLayout

    @property
    def groups(self) -> dict[str, dict[str, str]]:
        """Group -> key -> unquoted value, in the file's order; the first of a repeated key."""
        groups: dict[str, dict[str, str]] = {}
        for entry in self.entries:
            groups.setdefault(entry.group, {}).setdefault(entry.key, entry.value)
        return groups

    def get(self, group: str, key: str, default: str | None = None) -> str | None:
        """Unquoted value of `key` in `group`."""
        return next((entry.value for entry in self.entries if (entry.group, entry.key) == (group, key)), default)

    def find(self, key: str, groups: Iterable[str] | None = None) -> str | None:
        """Unquoted value of `key` in the first group that has it, or in the first of `groups`."""
        if groups is None:
            return next((entry.value for entry in self.entries if entry.key == key), None)
        return next((value for group in groups if (value := self.get(group, key)) is not None), None)

    def files(self) -> dict[str, str]:
        """``FILE_NAME_*`` -> name of each file of the product, in the file's order."""
        group = self._contents()
        return {
            entry.key: entry.value
            for entry in self.entries
            if entry.group == group and entry.key.startswith("FILE_NAME_")
        }

    def _contents(self) -> str:
        present = {entry.group for entry in self.entries}
        return next((group for group in CONTENTS if group in present), "")
