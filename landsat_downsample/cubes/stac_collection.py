"""The STAC collection of a destination's products: where and when they are, what they hold, where each is. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import numpy as np

from landsat_downsample.cubes.catalogued_items import COLLECTION, TABLE
from landsat_downsample.cubes.common_grid import CommonGrid
from landsat_downsample.cubes.reduced_scene import ReducedScene
from landsat_downsample.errors import UsageError
from landsat_downsample.formats.multihash import multihash
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.location import Location
from landsat_downsample.model.product import MARKER
from landsat_downsample.products.grid_facts import crs_fields
from landsat_downsample.products.stac import FIRST_LIGHT

_EXTENSION = "https://stac-extensions.github.io/{}/schema.json"
DATACUBE, FILE = _EXTENSION.format("datacube/v2.2.0"), _EXTENSION.format("file/v2.1.0")

#: What somebody may have written into it, and stays.
_OWN = ("id", "title", "description", "keywords", "license", "providers")
#: Properties of items: those that are told as the values there are, and as a range.
_VALUES = ("platform", "constellation", "instruments", "gsd", "proj:code", "processing:level", "landsat:wrs_path")
_RANGES = ("eo:cloud_cover", "view:sun_elevation")
#: What assets say of one file rather than of all of them.
_OF_ONE = ("href", "file:size", "file:checksum", "landsat_ds:valid_fraction", "statistics")


def collection(
    dest: Location,
    dimensions: dict[str, Any],
    items: Mapping[str, dict[str, Any]],
    before: dict[str, Any],
    href: Callable[[str], str] = lambda name: f"{name}/{name}{MARKER}",
) -> dict[str, Any]:
    """Describe products as a STAC 1.1 collection, with relative links.

    Parameters
    ----------
    dest : Location
        Where they are.
    dimensions : dict
        Of the cube that they make; empty where they make none.
    items : mapping
        Items by name.
    before : dict
        The collection that is there, whose title, description and licence stay; empty where there is none.
    href : callable
        Gives the place of an item by its name, from here.
    """
    made: dict[str, Any] = {
        "type": "Collection",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": dest.name or "products",
        "title": "Landsat scenes, downsampled",
        "description": "Landsat scenes on coarser grids: continuous bands are means of all valid pixels of a cell, "
        "quality flags are reduced by what they mean.",
        "license": "other",  # products have that of their sources
        **{key: before[key] for key in _OWN if before.get(key)},
        "extent": {"spatial": {"bbox": [_box(items.values())]}, "temporal": {"interval": [_interval(items.values())]}},
        "summaries": _summaries(items.values()),
        "item_assets": _item_assets(items.values()),
        "links": list(_links(items, href)),
        "assets": {},
    }
    if dimensions:
        made |= {"cube:dimensions": dimensions, "stac_extensions": [DATACUBE]}
    return made


def with_table(made: dict[str, Any], data: bytes) -> dict[str, Any]:
    """The same with the table of its items as an asset."""
    asset = {
        "href": f"./{TABLE}",
        "type": "application/vnd.apache.parquet",
        "title": "The items as one table (stac-geoparquet)",
        "roles": ["collection-mirror"],
        "file:size": len(data),
        "file:checksum": multihash(hashlib.sha256(data).hexdigest()),
    }
    return made | {"assets": {"items": asset}, "stac_extensions": [*made["stac_extensions"], FILE]}


def _links(items: Mapping[str, dict[str, Any]], href: Callable[[str], str]) -> Iterable[dict[str, Any]]:
    yield {"rel": "root", "href": f"./{COLLECTION}", "type": "application/json"}
    cited = {
        link["href"]: link for item in items.values() for link in item.get("links", ()) if link.get("rel") == "cite-as"
    }
    yield from (cited[href] for href in sorted(cited))
    for name in sorted(items):
        place = f"./{quote(href(name))}"
        yield {"rel": "item", "href": place, "type": "application/geo+json", "title": items[name]["id"]}


def _box(items: Iterable[dict[str, Any]]) -> list[float]:
    """The smallest box around those of all items; west > east where it crosses the 180th meridian."""
    boxes = [box for item in items if isinstance(box := item.get("bbox"), list) and len(box) == 4]
    if not boxes:
        return [-180.0, -90.0, 180.0, 90.0]
    west, east = _around([(box[0], box[2]) for box in boxes])
    return [west, min(box[1] for box in boxes), east, max(box[3] for box in boxes)]


def _around(spans: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """West and east of all spans of longitude: what is left out is the widest gap between them."""
    unrolled = sorted((west, east if east >= west else east + 360) for west, east in spans)
    joined = [unrolled[0]]
    for west, east in unrolled[1:]:
        if west <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(east, joined[-1][1])
        else:
            joined.append((west, east))
    after = [*(west for west, _ in joined[1:]), joined[0][0] + 360]
    gaps = [west - east for (_, east), west in zip(joined, after, strict=True)]
    widest = max(range(len(gaps)), key=lambda at: gaps[at] + (at == len(gaps) - 1) * 1e-9)
    if gaps[widest] <= 0:
        return -180.0, 180.0
    west, east = joined[(widest + 1) % len(joined)][0], joined[widest][1]
    return west, east if east <= 180 else round(east - 360, 7)


def _interval(items: Iterable[dict[str, Any]]) -> list[str | None]:
    """First and last moment; of products without a date nothing is known."""
    dated = [item["properties"] for item in items if not item["properties"].get("landsat_ds:datetime_unknown")]
    ends = [tuple(said.get("datetime") or said.get(f"{end}_datetime") for end in ("start", "end")) for said in dated]
    known = [pair for pair in ends if all(pair)]
    if not known:
        return [FIRST_LIGHT, None]
    return [min((first for first, _ in known), key=_moment), max((last for _, last in known), key=_moment)]


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _summaries(items: Iterable[dict[str, Any]]) -> dict[str, Any]:
    told = [item["properties"] for item in items]
    found: dict[str, Any] = {}
    for key in _VALUES:
        values = [said[key] for said in told if said.get(key) is not None]
        each = [one for value in values for one in (value if isinstance(value, list) else [value])]
        if plain := {one for one in each if isinstance(one, str | int | float)}:
            found[key] = sorted(plain, key=lambda one: (isinstance(one, str), one))
    for key in _RANGES:
        numbers = [said[key] for said in told if isinstance(said.get(key), int | float)]
        if numbers:
            found[key] = {"minimum": min(numbers), "maximum": max(numbers)}
    return found


def _item_assets(items: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """What assets of one key have in common."""
    found: dict[str, Any] = {}
    for item in items:
        for key, asset in item["assets"].items():
            plain = _general(asset)
            found[key] = _common(found[key], plain) if key in found else plain
    return dict(sorted(found.items()))


def _general(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _general(one) for key, one in value.items() if key not in _OF_ONE}
    return [_general(one) for one in value] if isinstance(value, list) else value


def _common(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    if one == other:
        return one
    bands: list[Any] = [one.get("bands"), other.get("bands")]
    kept = {key: value for key, value in one.items() if key in other and other[key] == value}
    if all(bands) and len(bands[0]) == len(bands[1]):
        kept["bands"] = [_common(a, b) for a, b in zip(*bands, strict=True)]
    return kept


def dimensions_of(scenes: Sequence[ReducedScene]) -> dict[str, Any]:
    """The dimensions of the cube that products on one lattice make; none where they do not."""
    times = [scene.time for scene in scenes if scene.time is not None]
    try:
        grid = CommonGrid.of(scenes).grid if scenes and len(times) == len(scenes) else None
    except UsageError:
        grid = None
    return {} if grid is None else dimensions(grid, times)


def dimensions(grid: Grid, times: Iterable[np.datetime64]) -> dict[str, Any]:
    """The dimensions of a cube of some moments on a grid."""
    left, bottom, right, top = grid.bounds
    crs = crs_fields(grid.crs)
    system = {"reference_system": crs["proj:epsg"] or crs["proj:projjson"]}
    high, wide = grid.resolution
    order = sorted(times)
    span = [f"{time.astype('datetime64[us]')}Z" for time in (order[0], order[-1])]
    return {
        "time": {"type": "temporal", "extent": span},
        "y": {"type": "spatial", "axis": "y", "extent": [bottom, top], "step": high, **system},
        "x": {"type": "spatial", "axis": "x", "extent": [left, right], "step": wide, **system},
    }
