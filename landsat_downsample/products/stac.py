"""The STAC item of a downsampled product: its identity, its place, its files, and what became of the flags.

The item is a plain dict. pystac is not imported to build it: importing it takes 0.75 s, longer
than the whole job for one band; `validate_item` uses it, where it is installed.

Fields of our own start with ``landsat_ds:`` and are not declared in ``stac_extensions``, since
no schema of theirs is published; ``schemas/product.json`` holds what they promise.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from importlib import resources
from typing import Any
from urllib.parse import quote

from landsat_downsample.errors import UsageError
from landsat_downsample.formats.multihash import multihash
from landsat_downsample.model.band import Band
from landsat_downsample.model.bands import BandSpec, BitField
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.location import Location
from landsat_downsample.model.methods import STATS
from landsat_downsample.model.plan import ScenePlan
from landsat_downsample.model.product import Product
from landsat_downsample.model.scene import Scene
from landsat_downsample.model.target import Target
from landsat_downsample.products.band_fields import band_fields
from landsat_downsample.products.footprint import footprint, spacing
from landsat_downsample.products.grid_facts import (
    cells_in_words,
    crs_fields,
    describe_cells,
    describe_projection,
    describe_ties,
    software,
    why_no_mtl,
)
from landsat_downsample.products.met import (
    describe_index,
    dumps,
    nodata_value,
    public_href,
    rounded_in_words,
    source_identity,
    source_pixels,
    statistics_of,
    versions,
)

__all__ = ["EXTENSIONS", "dumps", "item", "validate_item"]

#: Declared where an item uses them: prefix of the fields -> (name of our schema, version).
EXTENSIONS = {
    "classification:": ("classification", "v2.0.0"),
    "eo:": ("eo", "v1.1.0"),
    "file:": ("file", "v2.1.0"),
    "landsat:": ("landsat", "v2.0.0"),
    "processing:": ("processing", "v1.2.0"),
    "proj:": ("projection", "v1.2.0"),
    "raster:": ("raster", "v1.1.0"),
    "sci:": ("scientific", "v1.0.0"),
    "view:": ("view", "v1.1.0"),
}

#: Of items made before these said ``eo:bands``, ``raster:bands`` and ``proj:epsg``, which version 2 does without.
FORMER = {"eo:": "v2.0.0", "proj:": "v2.0.0", "raster:": "v2.0.0"}

COG = "image/tiff; application=geotiff; profile=cloud-optimized"

#: Source properties that stay true of the product.
KEPT = ("platform", "instruments", "constellation", "mission", "eo:cloud_cover")
KEPT_PREFIXES = ("landsat:", "sci:")
KEPT_VIEW = ("view:off_nadir", "view:sun_azimuth", "view:sun_elevation")

#: The Landsat extension's schema refuses an item that lacks one of these.
LANDSAT_REQUIRED = frozenset(
    f"landsat:{name}"
    for name in (
        "scene_id",
        "collection_category",
        "collection_number",
        "wrs_type",
        "wrs_path",
        "wrs_row",
        "cloud_cover_land",
        "correction",
    )
)

#: Common names of version 1 of the extension eo: others are ours, such as rededge071.
COMMON_NAMES = frozenset((
    "blue", "cirrus", "coastal", "green", "lwir", "lwir11", "lwir12", "nir", "nir08", "nir09", "pan", "red", "swir16",
    "swir22",
))  # fmt: skip

#: Limits of an unknown acquisition: the launch of Landsat 1, and the last instant RFC 3339 can write.
FIRST_LIGHT, NO_END = "1972-07-23T00:00:00Z", "9999-12-31T23:59:59Z"

#: What a coarse cell's flag or level says, by policy or, for the conservative one, by rule.
MEANINGS = {
    "all": "set where every source pixel of the cell has it",
    "any": "set where any valid source pixel of the cell has it",
    "majority": "set where at least half of the cell's valid source pixels have it",
    "max": "the highest level of the cell's valid source pixels",
    "clear": "set where the cell itself has neither the cloud nor the dilated cloud flag",
    "median": "the median level of the cell's valid source pixels",
    "mode": "as in the most frequent code of the cell's valid source pixels",
    "nearest": "as in the one source pixel nearest to the cell's centre",
}

#: Asset roles of bands by what they hold, as the CF conventions name it.
KINDS = {
    "surface_bidirectional_reflectance": "reflectance",
    "toa_bidirectional_reflectance": "reflectance",
    "surface_temperature": "temperature",
    "toa_brightness_temperature": "temperature",
}

#: Asset roles of the flags of a quality band.
FLAG_ROLES = {"cloud": "cloud", "cloud_shadow": "cloud-shadow", "snow": "snow-ice", "water": "water-mask"}


def item(plan: ScenePlan, products: Sequence[Product], extra_files: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """Build the STAC 1.1 item of a product.

    Parameters are those of `landsat_downsample.products.met.met`. A scene whose date is known to the
    day only gets that day as an interval; one without any date, as a single file may be, gets
    ``datetime: null``, the whole time of Landsat and ``landsat_ds:datetime_unknown``.

    Returns
    -------
    dict
        JSON values only, relative asset hrefs, no ``self`` link: the item may be moved with its files.
    """
    scene, grid = plan.scene, plan.coarse
    geometry, bbox = footprint(grid, has_edge=bool(plan.projection and not plan.projection.map_edges))
    if geometry is None and plan.projection:  # its frame reaches beyond the edge of the map: the scene does not
        geometry, bbox = footprint(scene.grid)
    properties = {
        **_time(scene.properties.get("datetime")),
        **_kept(scene.properties),
        **_projection(grid),
        **_processing(plan, products),
        **_own(plan, products),
        "title": f"{scene.id}, downsampled",
        "gsd": spacing(grid),
    }
    keys = asset_keys(scene, products, [extra["key"] for extra in extra_files])
    assets = {key: _asset(product, plan) for key, product in zip(keys, products, strict=True)}
    assets |= {extra["key"]: _extra_asset(extra) for extra in extra_files}
    record: dict[str, Any] = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": plan.name,
        "geometry": geometry,
        "bbox": bbox,
        "properties": dict(sorted(properties.items())),
        "links": list(_links(scene)),
        "assets": assets,
    }
    if bbox is None:
        del record["bbox"]
    record["stac_extensions"] = extensions(record)
    return record


def asset_keys(scene: Scene, products: Iterable[Product], taken: Sequence[str] = ()) -> list[str]:
    """Name the assets of a product's files as their source names its own: what was written for that finds them here.

    Those are the keys of the STAC item that the scene came from, else of USGS's items: ``red``, ``qa_pixel``. A further
    statistic adds its name: ``red_std``. Where another file has that key, the product's own name is taken.
    """
    keys: list[str] = []
    for product in products:
        band = scene.bands.get(product.band)
        key = (band.asset_key or band.spec.asset_key) if band else product.band.lower()
        wanted = (f"{key}_{product.stat}" if product.stat else key, product.key, product.filename)
        keys.append(next(one for one in wanted if one not in keys and one not in taken))
    return keys


def _time(when: str | None) -> dict[str, Any]:
    if not when:
        interval = {"start_datetime": FIRST_LIGHT, "end_datetime": NO_END}
        return {"datetime": None, **interval, "landsat_ds:datetime_unknown": True}
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", when):
        return {"datetime": None, "start_datetime": f"{when}T00:00:00Z", "end_datetime": f"{when}T23:59:59Z"}
    zoned = when if re.search(r"(Z|\+00:00)$", when) else f"{when}Z"
    return {"datetime": zoned.replace(" ", "T")}


def _kept(source: dict[str, Any]) -> dict[str, Any]:
    """Properties of the source scene, put right where older items break today's schemas."""
    kept = {key: value for key, value in source.items() if key in KEPT or key.startswith(KEPT_PREFIXES)}
    kept |= {key: source[key] for key in KEPT_VIEW if source.get(key) is not None}
    if "view:sun_azimuth" in kept:  # USGS counts from -180 to 180
        kept["view:sun_azimuth"] = round(kept["view:sun_azimuth"] % 360, 8)
    if kept.get("eo:cloud_cover", 0) < 0:  # USGS writes -1 for "not assessed"
        del kept["eo:cloud_cover"]
    for key in ("landsat:wrs_path", "landsat:wrs_row"):
        if key in kept:
            kept[key] = str(kept[key]).zfill(3)
    return kept


def _projection(grid: Grid) -> dict[str, Any]:
    return {
        **crs_fields(grid.crs),
        "proj:shape": list(grid.shape),
        "proj:transform": list(grid.transform)[:6],
        "proj:bbox": list(grid.bounds),
    }


def _processing(plan: ScenePlan, products: Sequence[Product]) -> dict[str, Any]:
    methods = ", ".join(sorted({product.method for product in products}))
    used = {**versions(), **software(plan)}
    fields = {
        "processing:lineage": f"{cells_in_words(plan)}, reduced by {methods}: "
        f"continuous bands over valid pixels only, {rounded_in_words(plan)}; quality flags by their meaning.",
        "processing:software": used,
        "processing:version": used["landsat-downsample"],
        "processing:expression": {"format": "landsat-downsample", "expression": _without_empty(plan.options.to_dict())},
    }
    if plan.scene.level:
        fields["processing:level"] = f"L{plan.scene.level}"
    return fields


def _without_empty(record: dict[str, Any]) -> dict[str, Any]:
    """Leave out objects without fields, which a column of Parquet cannot be: rustac refuses the whole item."""
    return {key: value for key, value in record.items() if value != {}}


def _own(plan: ScenePlan, products: Sequence[Product]) -> dict[str, Any]:
    scene, options = plan.scene, plan.options
    fields = {
        "source_id": scene.id,
        "source_gsd": spacing(scene.grid),
        "fingerprint": source_identity(scene, options.to_dict())["fingerprint"],
        "methods": {product.key: product.method for product in products},
        "qa_policy": options.qa,
        "mask": list(options.mask) or None,
        "min_valid": options.min_valid,
        "units": options.units,
        "index_order": options.index_order if options.index else None,
        "absent": list(scene.absent) or None,
        "projection": describe_projection(plan),
        "notes": [why] if (why := why_no_mtl(plan)) else None,
        **describe_cells(plan),
    }
    return {f"landsat_ds:{key}": value for key, value in fields.items() if value is not None}


def _links(scene: Scene) -> Iterator[dict[str, Any]]:
    """Where the product comes from, without signatures; a local source by its file name only."""
    source = Location(scene.item_href or scene.href)
    found = {"rel": "derived_from", "href": public_href(source), "title": f"Source scene {scene.id}"}
    if scene.item_href:
        found["type"] = "application/geo+json"
    if source.is_local:
        found["title"] += " (a local copy)"
    yield found
    via = public_href(scene.location)
    if scene.item_href and via != found["href"] and not scene.location.is_local:
        yield {"rel": "via", "href": via, "title": "Where the source's files were read"}
    doi = scene.properties.get("sci:doi")
    if doi:
        yield {"rel": "cite-as", "href": f"https://doi.org/{doi}", "title": "How to cite the source"}


def relative_href(filename: str) -> str:
    """The href of a file beside the item; what a URL cannot hold is percent-encoded.

    >>> relative_href("my scene #1.TIF")
    './my%20scene%20%231.TIF'
    """
    return "./" + quote(filename)


def _asset(product: Product, plan: ScenePlan) -> dict[str, Any]:
    grid, band, index = plan.coarse, plan.band(product.band), plan.index(product.band)
    spec = band.spec if band else None
    bands = [_band(product, band, grid, index) for index in range(len(product.names) or 1)]
    record = {
        "href": relative_href(product.filename),
        "type": COG,
        "title": _title(product, spec),
        "roles": _roles(product, spec, index),
        **_file_fields(product.size, product.sha256),
        "landsat_ds:method": product.method,
        "landsat_ds:valid_fraction": product.valid_fraction,
        **band_fields(bands),
    }
    if product.names:
        record["title"] = "Shares of the source pixels, in percent"
    if index:
        facts = describe_index(index)
        record["landsat_ds:index"] = {key: fact for key, fact in facts.items() if fact is not None}
    if product.notes:
        record["landsat_ds:notes"] = list(product.notes)
    ties = describe_ties(plan, source_pixels(plan, product))
    record |= {f"landsat_ds:{name}": fact for name, fact in ties.items()}
    if spec and spec.classes:
        record["classification:classes"] = [_class(spec, value) for value in sorted({*spec.classes, spec.fill or 0})]
    elif spec and spec.fields:
        record["classification:bitfields"] = [_bitfield(field, product.method) for field in spec.fields]
    return record


def _title(product: Product, spec: BandSpec | None) -> str:
    title = (spec.title if spec else "") or product.band
    return f"{title}: {STATS[product.stat]}" if product.stat else title


def _roles(product: Product, spec: BandSpec | None, index: Target | None) -> list[str]:
    if spec is None or not spec.categorical:
        made_of = index.inputs[0].spec if index and not index.computed else spec
        kind = KINDS.get((made_of.standard_name if made_of else None) or "", "index" if index else None)
        roles = ["data", kind if product.method != "count" else None, product.stat]
        return [role for role in roles if role]
    flags = [role for flag, role in FLAG_ROLES.items() if spec.field(flag)]
    saturation = ["saturation"] if any(field.name.startswith("band") for field in spec.fields) else []
    return ["data-mask", *flags, *saturation]


def _file_fields(size: int, sha256: str) -> dict[str, Any]:
    """Multihash: 0x12 says SHA-256, 0x20 that 32 bytes follow."""
    return {"file:size": size, "file:checksum": multihash(sha256)}


def _band(product: Product, band: Band | None, grid: Grid, index: int) -> dict[str, Any]:
    spec = band.spec if band else None
    name = product.names[index] if product.names else product.key
    fields = {
        "name": name,
        "description": _share(name) if product.names else spec and spec.title and _title(product, spec),
        "data_type": product.dtype,
        "nodata": nodata_value(product.nodata),
        "unit": product.unit,
        "statistics": statistics_of(product, spec, index),
        "raster:scale": product.scale,
        "raster:offset": product.offset,
        "raster:spatial_resolution": spacing(grid),
        # one file answers to it, so that who asks for the red band gets the mean
        "eo:common_name": spec.common_name if spec and spec.common_name in COMMON_NAMES and not product.stat else None,
    }
    if spec and spec.wavelength:
        fields["eo:center_wavelength"], fields["eo:full_width_half_max"] = spec.wavelength
    return {key: value for key, value in fields.items() if value not in (None, "")}


def _share(name: str) -> str:
    if name == "valid":
        return "share of the cell's source pixels that hold data"
    return f"share of the cell's valid source pixels that are {name.replace('_', ' ')}"


def _class(spec: BandSpec, value: int) -> dict[str, Any]:
    field = spec.classes.get(value)
    if field is None:
        return {"value": value, "name": "fill", "description": "no data", "nodata": True}
    return {"value": value, "name": field.name, "description": field.description}


def _bitfield(field: BitField, policy: str) -> dict[str, Any]:
    levels = field.levels or (f"not_{field.name}", field.name)
    classes = [
        {
            "value": value,
            "name": re.sub(r"[^0-9A-Za-z_-]+", "_", level),
            "description": _class_text(field, value, level),
        }
        for value, level in enumerate(levels)
    ]
    if field.name == "fill":
        classes[1]["nodata"] = True
    return {
        "name": field.name,
        "description": f"{field.description}: {MEANINGS[_meaning(field, policy)]}",
        "offset": field.offset,
        "length": field.length,
        "classes": classes,
    }


def _meaning(field: BitField, policy: str) -> str:
    """Which of `MEANINGS` holds: fill and clear follow their own rule under every policy that goes field by field."""
    if policy in ("mode", "nearest"):
        return policy
    if policy == "majority" and field.rule not in ("all", "clear"):
        return "median" if field.length > 1 else "majority"
    return field.rule


def _class_text(field: BitField, value: int, level: str) -> str:
    if field.levels:
        return f"{field.description}: {level}"
    return field.description if value else f"not: {field.description}"


def _extra_asset(extra: dict[str, Any]) -> dict[str, Any]:
    return {
        "href": relative_href(extra["filename"]),
        "type": extra["media type"],
        "title": extra.get("title", extra["key"]),
        "roles": list(extra["roles"]),
        **_file_fields(extra["size"], extra["sha256"]),
    }


def extensions(record: dict[str, Any]) -> list[str]:
    """Schemas of the extensions whose fields the item holds."""
    fields = set(_keys(record))
    if not fields >= LANDSAT_REQUIRED:
        fields = {key for key in fields if not key.startswith("landsat:")}
    return [_uri(prefix) for prefix in EXTENSIONS if any(key.startswith(prefix) for key in fields)]


def _keys(record: dict[str, Any]) -> Iterator[str]:
    for holder in (record["properties"], *record["assets"].values()):
        yield from holder
        for band in holder.get("bands", ()):
            yield from band


def _uri(prefix: str, former: str = "") -> str:
    name, version = EXTENSIONS[prefix]
    return f"https://stac-extensions.github.io/{name}/{former or version}/schema.json"


def validate_item(record: dict[str, Any]) -> list[str]:
    """Check an item against the core schema and those of its extensions, without a network.

    The core schema is pystac's copy; the extensions' are our own, of the fields we write.

    Returns
    -------
    list of str
        A line for each problem; empty for a valid item.

    Raises
    ------
    UsageError
        jsonschema or pystac is not installed.
    """
    try:
        import jsonschema
        from pystac.validation.local_validator import get_local_schema_cache
        from referencing import Registry, Resource
    except ImportError as error:
        raise UsageError("cannot check the STAC item: pip install 'pystac[validation]' first") from error
    schemas = {uri: Resource.from_contents(schema) for uri, schema in get_local_schema_cache().items()}
    registry = Registry().with_resources(schemas.items())
    core = next(schema.contents for uri, schema in schemas.items() if uri.endswith("/item.json"))
    shipped = {_uri(prefix): name for prefix, (name, _) in EXTENSIONS.items()}
    shipped |= {_uri(prefix, version): EXTENSIONS[prefix][0] for prefix, version in FORMER.items()}
    problems = [f"extension without a schema here: {uri}" for uri in record["stac_extensions"] if uri not in shipped]
    wanted = [shipped[uri] for uri in record["stac_extensions"] if uri in shipped]
    checks = {"core": core, **{name: _schema(name) for name in [*wanted, "product"]}}
    for name, schema in checks.items():
        validator = jsonschema.Draft7Validator(schema, registry=registry)
        problems += [f"{name}: {error.json_path}: {error.message}" for error in validator.iter_errors(record)]
    return problems


def _schema(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(resources.files(__package__).joinpath("schemas", f"{name}.json").read_bytes())
    return schema
