"""File names that are safe everywhere, from whatever a URL ends in. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

#: Bytes of a name: hidden names of work in progress add 42 to it, and most disks allow 255.
LONGEST = 160


def plain_name(text: str) -> str:
    """Make a plain file name: letters, digits and ``. _ + -``, no leading dot or dash.

    >>> plain_name("a b;$(touch x)&'.TIF"), plain_name("../.."), plain_name("LE07_B8.TIF")
    ('a_b_touch_x_.TIF', 'unnamed', 'LE07_B8.TIF')
    """
    name = re.sub(r"[^\w.+-]+", "_", text).lstrip(".-").rstrip(".")
    stem, dot, ending = name.rpartition(".")
    if len(name.encode()) > LONGEST:
        stem, dot, ending = (stem, dot, ending) if dot and len(ending) < 10 else (name, "", "")
        room = LONGEST - len((dot + ending).encode())
        name = stem.encode()[:room].decode(errors="ignore") + dot + ending
    return name if re.search(r"[^\W_]", name) else "unnamed"


def distinct(name: str, taken: Iterable[str]) -> str:
    """Number a name that is taken already, whatever the case of its letters.

    >>> distinct("B4.TIF", ["b4.tif"])
    'B4-2.TIF'
    """
    used = {other.lower() for other in taken}
    stem, dot, ending = name.rpartition(".")
    stem, tail = (stem, dot + ending) if stem else (name, "")
    found, number = name, 2
    while found.lower() in used:
        found, number = f"{stem}-{number}{tail}", number + 1
    return found
