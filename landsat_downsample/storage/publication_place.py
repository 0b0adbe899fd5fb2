"""Where a product goes, and whose it is: what a publication and its storage both know."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from typing import NamedTuple

from landsat_downsample.errors import UsageError
from landsat_downsample.model.location import Location, redacted_repr
from landsat_downsample.model.policy import Policy


class Stored(NamedTuple):
    """What is known of a file that was stored."""

    sha256: str
    """Of its bytes, hexadecimal."""
    etag: str | None = None
    """As the object store answered; its listings say the same for as long as nobody writes over it."""


@dataclass(frozen=True, slots=True)
class Place:
    """A product's place at a destination, on a disk or in an object store."""

    __repr__ = redacted_repr

    dest: str
    """Folder or prefix that holds products."""
    name: str
    """Of the product's folder."""
    overwrite: bool = False
    """Whether a product of this name may be replaced."""
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    """Tells this publication's objects from those of others."""
    policy: Policy = field(default_factory=Policy.from_environ)
    location: Location = field(init=False, repr=False)
    """Final place of the product."""

    def __post_init__(self) -> None:
        check_plain(self.name, "product name")
        dest = Location(self.dest)
        if not dest.is_writable:
            raise UsageError(f"cannot publish to {dest!r}: give a folder, s3:// or another fsspec store")
        if dest.is_local:
            # Absolute from here on: a worker in another process has a current folder of its own.
            object.__setattr__(self, "dest", dest.path)
        object.__setattr__(self, "location", dest / self.name)

    @property
    def href(self) -> str:
        """Final place of the product, as a string."""
        return self.location.href


def check_plain(name: str, what: str) -> None:
    """Refuse a name that would lead to another folder, or be hidden."""
    if not name or name.startswith(".") or re.search(r"[/\\\x00-\x1f]", name):
        raise UsageError(f"{what} {name!r} is not a plain name")
