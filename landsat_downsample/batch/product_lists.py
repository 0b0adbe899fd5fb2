"""Which finished products the words of a command line name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from landsat_downsample.batch.entry import Entry
from landsat_downsample.batch.record import names_in
from landsat_downsample.batch.scene_lists import read_entries
from landsat_downsample.errors import LandsatDownsampleError, UsageError
from landsat_downsample.model.location import Location
from landsat_downsample.model.product import MARKER, SUFFIX


def products(words: Iterable[str]) -> list[str | LandsatDownsampleError]:
    """List folders of products, each once; what names none is the error that says so.

    Parameters
    ----------
    words : iterable of str
        Each a product's folder or STAC item, a destination that holds products, ``@LIST``, or ``-`` (a list on stdin).
    """
    return list(dict.fromkeys(found for entry in read_entries(words) for found in _of(entry)))


def _of(entry: Entry) -> Iterator[str | LandsatDownsampleError]:
    if entry.error or not isinstance(entry.source, str):
        yield entry.error or UsageError(f"{entry.label} is an item, not the place of a product: give its href")
        return
    href = entry.source.rstrip("/")
    if href.endswith(SUFFIX + MARKER):
        yield href.rpartition("/")[0] or "."
        return
    try:
        names = [] if href.endswith(SUFFIX) else sorted(names_in(Location(href)))
    except LandsatDownsampleError as error:
        yield error
        return
    inside = [(Location(href) / name).href for name in names if name.endswith(SUFFIX)]
    yield from inside or (href,)
