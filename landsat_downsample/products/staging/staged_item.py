"""The catalogue of a staged scene: one STAC item, every file beside it by relative href. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from landsat_downsample.formats.multihash import multihash
from landsat_downsample.model.bands import BandSpec
from landsat_downsample.model.location import Location, redact
from landsat_downsample.model.product import MARKER
from landsat_downsample.model.scene import Scene
from landsat_downsample.products.band_fields import band_fields
from landsat_downsample.products.footprint import footprint, spacing
from landsat_downsample.products.grid_facts import crs_fields
from landsat_downsample.products.met import public_href
from landsat_downsample.products.stac import EXTENSIONS, FIRST_LIGHT, NO_END

GEOTIFF = "image/tiff; application=geotiff"
CATALOGUE = "catalog.json"
#: Ending of the item's name.

_KEPT = ("platform", "instruments", "constellation", "mission", "eo:cloud_cover")
_KEPT_PREFIXES = ("landsat:", "view:", "sci:")


@dataclass(frozen=True, slots=True)
class StagedFile:
    """One file of a staged scene."""

    key: str
    """Asset key: the band's in the item it came from, or in USGS's items; or the kind of metadata."""
    name: str
    size: int
    sha256: str
    spec: BandSpec | None = None
    """What it means, if it is a band."""
    etag: str | None = None
    """Identity of the source in its store, so that staging it again can see that nothing changed."""


def item(name: str, scene: Scene, files: Sequence[StagedFile]) -> dict[str, Any]:
    """Build the STAC item of a staged scene; the same bytes staged again give the same item."""
    geometry, bbox = footprint(scene.grid)
    source = public_href(Location(scene.item_href or scene.href))
    record = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [_uri(prefix) for prefix in ("eo:", "file:", "proj:")],
        "id": name,
        "geometry": geometry,
        "bbox": bbox,
        "properties": _properties(scene),
        "links": [
            {"rel": "root", "href": f"./{CATALOGUE}", "type": "application/json"},
            {"rel": "parent", "href": f"./{CATALOGUE}", "type": "application/json"},
            {"rel": "derived_from", "href": source, "title": "Where it came from"},
        ],
        "assets": {file.key: _asset(file) for file in files},
    }
    if bbox is None:
        del record["bbox"]
    return record


def catalogue(name: str, scene: Scene) -> dict[str, Any]:
    """Build the catalogue that points to the one item."""
    return {
        "type": "Catalog",
        "stac_version": "1.1.0",
        "id": name,
        "description": f"{scene.id}, brought here with all the files that its item lists.",
        "links": [
            {"rel": "root", "href": f"./{CATALOGUE}", "type": "application/json"},
            {"rel": "item", "href": f"./{name}{MARKER}", "type": "application/geo+json"},
        ],
    }


def _uri(prefix: str) -> str:
    name, version = EXTENSIONS[prefix]
    return f"https://stac-extensions.github.io/{name}/{version}/schema.json"


def _properties(scene: Scene) -> dict[str, Any]:
    source = {key: value for key, value in scene.properties.items() if value is not None}
    kept = {key: source[key] for key in source if key in _KEPT or key.startswith(_KEPT_PREFIXES)}
    if "view:sun_azimuth" in kept:  # USGS counts from -180 to 180
        kept["view:sun_azimuth"] = round(kept["view:sun_azimuth"] % 360, 8)
    if kept.get("eo:cloud_cover", 0) < 0:  # USGS writes -1 for "not assessed"
        del kept["eo:cloud_cover"]
    return {
        **_time(source),
        **dict(sorted(kept.items())),
        "gsd": spacing(scene.grid),
        **crs_fields(scene.grid.crs),
        "proj:shape": list(scene.grid.shape),
        "proj:transform": list(scene.grid.transform)[:6],
        "title": scene.id,
    }


def _time(source: dict[str, Any]) -> dict[str, Any]:
    when = source.get("datetime")
    if not when or re.fullmatch(r"\d{4}-\d{2}-\d{2}", when):
        start, end = (f"{when}T00:00:00Z", f"{when}T23:59:59Z") if when else (FIRST_LIGHT, NO_END)
        start, end = source.get("start_datetime", start), source.get("end_datetime", end)
        return {"datetime": None, "start_datetime": start, "end_datetime": end}
    zoned = when if re.search(r"(Z|[+-]\d\d:\d\d)$", when) else f"{when}Z"
    return {"datetime": zoned.replace(" ", "T")}


def _asset(file: StagedFile) -> dict[str, Any]:
    record = {
        "href": f"./{file.name}",
        "type": GEOTIFF if file.spec else _media(file.name),
        "roles": ["data"] if file.spec else ["metadata"],
        "file:size": file.size,
        "file:checksum": multihash(file.sha256),
    }
    if file.spec:
        band = {"name": file.spec.name, "description": file.spec.title, "eo:common_name": file.spec.common_name}
        bands = [{k: v for k, v in band.items() if v}]
        record |= {"title": file.spec.title or file.spec.name, **band_fields(bands)}
    if file.etag:
        record["landsat_ds:source_etag"] = file.etag
    return record


def _media(name: str) -> str:
    endings = {"json": "application/json", "xml": "application/xml"}
    return endings.get(name.rpartition(".")[2].lower(), "text/plain")


def scrubbed(data: bytes) -> bytes:
    """Take signatures and passwords out of every URL of a JSON document; the same bytes where there are none.

    >>> scrubbed(b'{"href": "https://host/B4.TIF?sig=SECRET"}')
    b'{"href": "https://host/B4.TIF"}'
    """
    record = json.loads(data)
    clean = _scrub(record)
    return data if clean == record else json.dumps(clean, ensure_ascii=False).encode()


def _scrub(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _scrub(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_scrub(one) for one in value]
    return redact(value) if isinstance(value, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", value) else value
