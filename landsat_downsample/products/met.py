"""met.json: what a product is, what it was made from, and how, for people and for scripts."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Sequence
from typing import Any

import numpy as np
import rasterio
from rasterio.crs import CRS

from landsat_downsample import __version__
from landsat_downsample.model.band import Band
from landsat_downsample.model.bands import BandSpec, find
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.index_bands import found_inputs
from landsat_downsample.model.indices import MEAN_OF_INDEX, index_of
from landsat_downsample.model.location import Location
from landsat_downsample.model.methods import STATS
from landsat_downsample.model.plan import ScenePlan
from landsat_downsample.model.product import FRACTIONS, Product
from landsat_downsample.model.scene import Scene
from landsat_downsample.model.target import Target
from landsat_downsample.products.grid_facts import (
    describe_cells,
    describe_projection,
    describe_ties,
    software,
    why_no_mtl,
)

#: Methods that pick or count stored values, so that nothing is ever rounded.
EXACT = frozenset({"conservative", "count", "majority", "max", "min", "mode", "nearest"})

#: Options that came later, and what products of before were made with.
DEFAULTS = {"units": "dn", "index": [], "index_order": MEAN_OF_INDEX}

#: GDAL's names of numpy's data types, where they are not numpy's own with a capital.
GDAL_TYPES = {"uint8": "Byte", "uint16": "UInt16", "uint32": "UInt32", "uint64": "UInt64"}


def dumps(record: dict[str, Any]) -> bytes:
    r"""Encode a record as JSON: the same record gives the same bytes.

    >>> dumps({"gsd": 300})
    b'{\n  "gsd": 300\n}\n'
    """
    return (json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def public_href(location: Location) -> str:
    """Turn a location into an href that may be published: the file name of a local one, no query of a remote one.

    >>> public_href(Location("/home/me/LC08_B4.TIF")), public_href(Location("https://host/LC08_B4.TIF?sig=abc"))
    ('LC08_B4.TIF', 'https://host/LC08_B4.TIF')
    """
    if location.kind == "tar":
        return Location.in_tar(location.member, Location(public_href(location.archive))).href
    return Location(location.href.rstrip("/")).name if location.is_local else location.shown


def versions() -> dict[str, str]:
    """Versions of the software that decides a product's bytes, by name."""
    return {
        "landsat-downsample": __version__,
        "numpy": np.__version__,
        "rasterio": rasterio.__version__,
        "GDAL": rasterio.__gdal_version__,
    }


def source_identity(scene: Scene, parameters: dict[str, Any]) -> dict[str, Any]:
    """Tell which bytes and which parameters make a product, for resuming and for provenance.

    Hrefs are left out, so that a mirror of the same bytes counts as the same source; bands are
    counted by their USGS names, however they were asked for.

    Parameters
    ----------
    scene : Scene
    parameters : dict
        What was asked, as `Options.to_dict` gives it: JSON values, no paths. Of the scene's bands
        those in ``bands`` count (all without it), and the quality band, which says where others are fill.

    Returns
    -------
    dict
        ``parameters``, ``sources`` (band -> size, etag and checksum) and ``fingerprint``, the
        SHA-256 of both in canonical JSON.
    """
    asked = _canonical(scene, parameters)
    names = {*asked.get("bands", scene.bands), scene.quality.name if scene.quality else ""}
    names |= {band.name for index in asked.get("index", ()) for band in found_inputs(scene, index_of(index)).values()}
    sources = {
        name: {"size": band.size, "etag": band.etag, "checksum": band.checksum}
        for name, band in sorted(scene.bands.items())
        if name in names
    }
    record = {"source": scene.id, "parameters": asked, "sources": sources}
    canonical = json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return {**record, "fingerprint": hashlib.sha256(canonical.encode()).hexdigest()}


def _canonical(scene: Scene, parameters: dict[str, Any]) -> dict[str, Any]:
    """The same parameters for the same product: USGS names, whatever the order and the alias asked for."""
    specs = {name: band.spec for name, band in scene.bands.items()}

    def usgs(name: str) -> str:
        spec = find(name, specs)
        return spec.name if spec else name.upper()

    asked = {key: value for key, value in parameters.items() if value is not None}
    for name, default in DEFAULTS.items():  # of which products of before say nothing
        if asked.get(name) == default:
            del asked[name]
    if not asked.get("index"):
        asked.pop("index_order", None)
    if "bands" in asked:
        asked["bands"] = sorted({usgs(name) for name in asked["bands"]})
    if "methods" in asked:
        asked["methods"] = {usgs(name): method for name, method in asked["methods"].items()}
    if "index" in asked:
        asked["index"] = sorted(asked["index"])
    if "mask" in asked:
        spec = scene.quality.spec if scene.quality else None
        fields = {flag: spec.field(flag) if spec else None for flag in asked["mask"]}
        asked["mask"] = sorted({field.name if field else flag for flag, field in fields.items()})
    return asked


def met(plan: ScenePlan, products: Sequence[Product], extra_files: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """Describe a product in full: a block like gdalinfo's for each raster, and where it all came from.

    Parameters
    ----------
    plan : ScenePlan
        Its scene with what its pixels showed.
    products : sequence of Product
    extra_files : sequence of dict
        The other files: ``key``, ``filename``, ``media type``, ``roles``, ``size``, ``sha256``.

    Returns
    -------
    dict
        JSON values only; no local path, host name, signature or password, and no time, so that its bytes repeat.
    """
    scene, grid, parameters = plan.scene, plan.coarse, plan.options.to_dict()
    why = why_no_mtl(plan)
    record = {
        "name": plan.name,
        "fingerprint": source_identity(scene, parameters)["fingerprint"],
        "source": _source(scene),
        "parameters": parameters,
        "grid": {**_frame(grid), **describe_cells(plan)},
        "projection": describe_projection(plan),
        "files": [_file(product, plan) for product in products],
        "other_files": [dict(extra) for extra in extra_files],
        "absent": list(scene.absent),
        "notes": sorted({note for product in products for note in product.notes} | ({why} if why else set())),
        "versions": {**versions(), **software(plan), "python": platform.python_version()},
    }
    known: dict[str, Any] = _compact(record)
    return known


def _source(scene: Scene) -> dict[str, Any]:
    return {
        "id": scene.id,
        "href": public_href(scene.location),
        "item": scene.item_href and public_href(Location(scene.item_href)),
        "sensor": scene.sensor,
        "level": scene.level,
        "datetime": scene.properties.get("datetime"),
        "grid": _frame(scene.grid),
        "bands": {name: _source_band(band) for name, band in scene.bands.items()},
        "metadata": {kind: public_href(Location(href)) for kind, href in sorted(scene.metadata.items())},
    }


def _source_band(band: Band) -> dict[str, Any]:
    height, width = band.grid.shape
    return {
        "href": public_href(band.location),
        "size": band.size,
        "etag": band.etag,
        "checksum": band.checksum,
        "shape": [height, width],
        "resolution": list(band.grid.resolution),
    }


def _frame(grid: Grid) -> dict[str, Any]:
    return {
        "crs": grid.crs,
        "shape": list(grid.shape),
        "bounds": list(grid.bounds),
        "resolution": list(grid.resolution),
    }


def _file(product: Product, plan: ScenePlan) -> dict[str, Any]:
    """The block of one raster, in gdalinfo's words and orders: sizes are [x, y] here."""
    grid, band, index = plan.coarse, plan.band(product.band), plan.index(product.band)
    return {
        "file": product.filename,
        "band": product.band,
        "source": public_href(band.location) if band and not index else None,
        "index": describe_index(index) if index else None,
        "bytes": product.size,
        "sha256": product.sha256,
        "reducer": product.method,
        "rounding": _rounding(product, band, plan),
        "valid_fraction": product.valid_fraction,
        **describe_ties(plan, source_pixels(plan, product)),
        "driver": "GTiff",
        "layout": "COG",
        "size": [grid.width, grid.height],
        "coordinateSystem": {"code": grid.crs, "wkt": CRS.from_user_input(grid.crs).to_wkt()},
        "geoTransform": list(grid.transform.to_gdal()),
        "cornerCoordinates": _corners(grid),
        "bands": [_band(product, band, index) for index in range(len(product.names) or 1)],
        "notes": list(product.notes),
    }


def describe_index(target: Target) -> dict[str, Any]:
    """What an index is made of, and how."""
    index = index_of(target.index)
    return {
        "name": index.name,
        "formula": index.formula,
        "order": None if index.plain else target.index_order,
        "limits": None if index.plain else list(index.limits),
        "bands": {name: band.name for name, band in zip(index.bands, target.inputs, strict=True)},
        "mask": list(target.mask) or None,
        "reference": index.source,
    }


def rounded_in_words(plan: ScenePlan) -> str:
    """How values become what is stored."""
    if plan.options.units == "scaled":
        return "in physical units (scale and offset applied to the exact result, rounded once to a float)"
    return "rounded half to even"


def _rounding(product: Product, band: Band | None, plan: ScenePlan) -> str | None:
    index = plan.index(product.band)
    if (
        (plan.options.units == "scaled" or (index and index.computed))
        and band
        and not band.spec.categorical
        and product.method != "count"
    ):
        return f"once, to {product.dtype}"
    return None if product.method in EXACT else "half to even"


def source_pixels(plan: ScenePlan, product: Product) -> Grid | None:
    """The pixels that a file was made from."""
    quality = plan.scene.quality
    band = quality if product.band == FRACTIONS else plan.band(product.band)
    return band.grid if band else None


def _corners(grid: Grid) -> dict[str, Any]:
    left, bottom, right, top = grid.bounds
    return {
        "upperLeft": [left, top],
        "lowerLeft": [left, bottom],
        "upperRight": [right, top],
        "lowerRight": [right, bottom],
        "center": [(left + right) / 2, (bottom + top) / 2],
    }


def _band(product: Product, band: Band | None, index: int) -> dict[str, Any]:
    block = product.block_shape and list(product.block_shape[::-1])
    statistics = statistics_of(product, band.spec if band else None, index)
    return {
        "band": index + 1,
        "type": GDAL_TYPES.get(product.dtype, product.dtype.capitalize()),
        "block": block,
        "description": product.names[index] if product.names else band and _title(product, band),
        "noDataValue": nodata_value(product.nodata),
        "scale": product.scale,
        "offset": product.offset,
        "unit": product.unit,
        "minimum": statistics.get("minimum"),
        "maximum": statistics.get("maximum"),
        "mean": statistics.get("mean"),
        "stdDev": statistics.get("stddev"),
        "validPercent": statistics.get("valid_percent"),
        "overviews": [{"size": [width, height]} for height, width in product.overviews],
    }


def _title(product: Product, band: Band) -> str:
    title = band.description or band.spec.title
    return f"{title}: {STATS[product.stat]}" if product.stat else title


def statistics_of(product: Product, spec: BandSpec | None, index: int) -> dict[str, Any]:
    """Statistics of one band of a product as JSON numbers.

    Those that are not finite (no valid cell) are left out, and so are mean and deviation of
    codes and classes, which mean nothing.
    """
    given = product.statistics[index] if index < len(product.statistics) else {}
    numbers = {key: value.item() if isinstance(value, np.generic) else value for key, value in given.items()}
    numbers.setdefault("valid_percent", round(100 * product.valid_fraction, 6))
    senseless = ("mean", "stddev") if spec and spec.categorical else ()
    return {
        key: value
        for key, value in numbers.items()
        if key not in senseless and value is not None and np.isfinite(value)
    }


def nodata_value(nodata: float | None) -> float | int | str | None:
    """Nodata as JSON can hold it, and STAC wants it: a number, or ``nan``.

    >>> nodata_value(0.0), nodata_value(float("nan"))
    (0, 'nan')
    """
    if nodata is None:
        return None
    if not np.isfinite(nodata):
        return str(float(nodata))
    return int(nodata) if float(nodata).is_integer() else float(nodata)


def _compact(record: Any) -> Any:
    """Leave out what is not known, at every depth, but keep empty lists and what was asked."""
    if isinstance(record, dict):
        return {
            key: value if key == "parameters" else _compact(value) for key, value in record.items() if value is not None
        }
    return [_compact(value) for value in record] if isinstance(record, list) else record
