"""STAC items as rows of a table: stac-geoparquet, as rustac and stac-geoparquet write it."""

from __future__ import annotations

import os
import tempfile
from typing import Any

from landsat_downsample.errors import UsageError
from landsat_downsample.model.location import Location
from landsat_downsample.model.safe_text import plain
from landsat_downsample.storage import files

#: Bytes of a table.
LIMIT = 1 << 30

ENDINGS = (".parquet", ".geoparquet")


def is_geoparquet(href: str) -> bool:
    """Whether an href is that of a table of items, by its name."""
    return href.partition("?")[0].lower().endswith(ENDINGS)


def read_items(href: str) -> dict[str, Any]:
    """Read the items of a table, as an ItemCollection.

    Raises
    ------
    UsageError
        rustac is not installed, or it is no such table.
    ReadError
        It cannot be read.
    """
    try:
        import rustac
    except ImportError as error:
        raise UsageError(
            f"list {Location(href)!r} needs rustac, which is not here: pip install 'landsat-downsample[geoparquet]'"
        ) from error
    location = Location(href)
    data = files.read_bytes(location, limit=LIMIT)
    with tempfile.TemporaryDirectory(prefix="landsat-downsample-") as folder:
        path = os.path.join(folder, "items.parquet")  # rustac takes hrefs, and would ask a store in ways of its own
        with open(path, "wb") as file:
            file.write(data)
        try:
            found = rustac.read_sync(path)
        except rustac.RustacError as error:
            words = plain(str(error), 200).rstrip(".")
            raise UsageError(f"list {location!r} is no stac-geoparquet that can be read: {words}") from error
    return {"type": "FeatureCollection", "features": list(found.get("features", ()))}
