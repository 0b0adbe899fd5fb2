"""Items as one table: stac-geoparquet, written by rustac where it is installed."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from landsat_downsample.cubes.catalogued_items import COLLECTION, TABLE
from landsat_downsample.errors import WriteError

#: What gives it.
EXTRA = "landsat-downsample[geoparquet]"


def available() -> bool:
    """Whether tables can be written here."""
    try:
        import rustac  # noqa: F401
    except ImportError:
        return False
    return True


def table(items: Iterable[tuple[str, dict[str, Any]]], collection: str) -> bytes:
    """Make the file of some items.

    Parameters
    ----------
    items : iterable of (str, dict)
        Names of products, and their items.
    collection : str
        Id of the collection that they are of.

    Raises
    ------
    WriteError
        No table can hold all of them.
    """
    import rustac

    rows = [_row(name, item, collection) for name, item in items]
    with tempfile.TemporaryDirectory(prefix="landsat-downsample-") as folder:
        path = os.path.join(folder, "items.parquet")
        # Not its asynchronous twin: a notebook has an event loop already.
        try:
            rustac.write_sync(path, rows, format="geoparquet", parquet_compression="zstd(3)")
        except rustac.RustacError as error:
            raise WriteError(f"no {TABLE} was made: rustac refuses these items: {error}") from error
        with open(path, "rb") as file:
            return file.read()


def _row(name: str, item: dict[str, Any], collection: str) -> dict[str, Any]:
    """An item as it reads from where the table is."""
    assets = {
        key: asset if _is_elsewhere(asset["href"]) else asset | {"href": f"./{quote(name)}/{asset['href'][2:]}"}
        for key, asset in item["assets"].items()
    }
    link = {"rel": "collection", "href": f"./{COLLECTION}", "type": "application/json"}
    # rustac takes no null geometry; what is empty is nowhere too.
    place = {} if item.get("geometry") else {"geometry": {"type": "Polygon", "coordinates": []}}
    row = item | place | {"assets": assets, "collection": collection, "links": [*item.get("links", ()), link]}
    filled: dict[str, Any] = _filled(row) if "{}" in json.dumps(row) else row
    return filled


def _is_elsewhere(href: str) -> bool:
    """Whether it names a file otherwise than products do: somebody has edited the item."""
    return not href.startswith("./")


def _filled(value: Any) -> Any:
    """Without empty objects, which no column of Parquet can be."""
    if isinstance(value, dict):
        return {key: _filled(one) for key, one in value.items() if one != {}}
    return [_filled(one) for one in value] if isinstance(value, list) else value
