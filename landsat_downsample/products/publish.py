"""From reduced bands to a finished product: picture, metadata, and the item that commits it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from typing import Any

from landsat_downsample.errors import LandsatDownsampleError, UsageError, WriteError
from landsat_downsample.formats.mtl import coarse, parse, rewrite
from landsat_downsample.formats.product_id import folded
from landsat_downsample.formats.scene_files import check_metadata
from landsat_downsample.model.gdal import gdal_settings
from landsat_downsample.model.location import Location
from landsat_downsample.model.plan import ScenePlan
from landsat_downsample.model.policy import Policy
from landsat_downsample.model.product import Product
from landsat_downsample.model.scene import Scene
from landsat_downsample.pipeline.band import Done
from landsat_downsample.products import met as met_module
from landsat_downsample.products import stac
from landsat_downsample.products.grid_facts import why_no_mtl
from landsat_downsample.products.met import dumps, source_identity
from landsat_downsample.products.picture import draw
from landsat_downsample.storage.files import list_names, read_bytes
from landsat_downsample.storage.publication import Publication, read_marker
from landsat_downsample.storage.publication_place import Stored

_MEDIA = {
    "txt": "text/plain",
    "json": "application/json",
    "xml": "application/xml",
    "yaml": "application/yaml",
    "png": "image/png",
}

#: What an MTL, which has one file name for a band, says of its other statistics.
_STATISTICS_FILES = "other statistics of a band than its mean are in files named after them: see the STAC item"


def publish(item: ScenePlan, done: Sequence[Done], publication: Publication, picture: bytes | None = None) -> str:
    """Write everything but the bands, the STAC item last, and make the product visible.

    The picture is drawn here unless it was before.

    Returns
    -------
    str
        The href of the STAC item.
    """
    item = replace(item, scene=known_scene(item.scene, done))
    order = {target.band.name: k for k, target in enumerate(item.targets)}
    done = sorted(done, key=lambda part: order[part.name])
    products = [product for part in done for product in part.products]
    # The picture is drawn while the texts are rewritten and stored.
    with gdal_settings(), ThreadPoolExecutor(1, thread_name_prefix="picture") as pool:
        drawing = pool.submit(copy_context().run, _picture, item, done, picture)
        extra = [_put(publication, *text) for text in _texts(item, products)]
        extra.append(
            _put(publication, f"{item.name}.browse.png", drawing.result(), "browse", ["thumbnail", "overview"])
        )
        record = dumps(met_module.met(item, products, extra))
        extra.append(_put(publication, f"{item.name}.met.json", record, "met.json", ["metadata"]))
        marker = dumps(stac.item(item, products, extra))
    expected = {product.filename: Stored(product.sha256, product.etag) for product in products}
    publication.commit(item.marker, marker, expected=expected)
    return (item.location / item.marker).href


def known_scene(scene: Scene, done: Sequence[Done]) -> Scene:
    """The scene with what its pixels showed of bands whose name says nothing."""
    specs = {part.name: part.spec for part in done if part.name in scene.bands}
    bands = {name: replace(band, spec=specs.get(name, band.spec)) for name, band in scene.bands.items()}
    return replace(scene, bands=bands)


def _put(publication: Publication, filename: str, data: bytes, key: str, roles: list[str]) -> dict[str, Any]:
    stored = publication.put(filename, data)
    return {
        "key": key,
        "filename": filename,
        "media type": _MEDIA[filename.rpartition(".")[2].lower()],
        "roles": roles,
        "size": len(data),
        "sha256": stored.sha256,
    }


def _picture(item: ScenePlan, done: Sequence[Done], drawn: bytes | None) -> bytes:
    if drawn := drawn or done[0].picture:
        return drawn
    return draw(*([part for part in done if not item.index(part.name)] or done), title=item.scene.id)


def _texts(item: ScenePlan, products: Sequence[Product]) -> Iterator[tuple[str, bytes, str, list[str]]]:
    """Name, bytes, asset key and roles of each text that goes with the bands."""
    scene = item.scene
    if scene.lone:
        return
    places = {kind: Location(href) for kind, href in sorted(scene.metadata.items())}
    kinds = {kind: place.name for kind, place in places.items()}
    written = {product.filename: product.dtype for product in products} | dict.fromkeys(kinds.values())
    policy, without = Policy.of(scene), why_no_mtl(item)
    for kind, place in places.items():
        if without and kind.startswith("MTL."):
            continue
        data = read_bytes(place, policy=policy)
        check_metadata(kind, data, place)
        if kind.startswith("MTL."):
            data = rewrite_mtl(data, kinds[kind], item, written)
        yield kinds[kind], data, kind, ["metadata"]


def rewrite_mtl(data: bytes, filename: str, item: ScenePlan, written: dict[str, str | None]) -> bytes:
    """An MTL for the coarse grid: only what changed is changed, and a record of it is added.

    `written` has the type of each band by the name of its file, and None for other files.
    """
    mtl = parse.parse(data, parse.kind_of(filename))
    made = {folded(name): name for name in written}
    files = {name: made.get(folded(name)) for name in mtl.files().values()}
    types = {name: dtype for name, new in files.items() if new and (dtype := written[new])}
    changes = coarse.coarse_changes(mtl, coarse=item.coarse, files=files, dtypes=types)
    if item.options.units == "scaled":
        changes |= coarse.unit_changes(mtl)
    scene, identity = item.scene, source_identity(item.scene, item.options.to_dict())
    record = {
        "SOURCE_PRODUCT_ID": scene.id,
        # A local name says nothing to anybody else, and would tell a folder from a tar of the same bytes.
        **({} if scene.location.is_local else {"SOURCE_HREF": met_module.public_href(scene.location)}),
        **_cell_size(item),
        "GRID_MODE": item.options.grid_request.described(item.lattice),
        "NODATA_RULE": f"a cell is fill when less than {item.options.min_valid:g} of its pixels, or none, are valid",
        "UNITS": item.options.units,
        "ROUNDING": "half to even" if item.options.units == "dn" else "once, to a float",
        **{f"METHOD_{t.band.name.upper()}": ",".join(t.methods) for t in item.targets if t.codes_written},
        **({"STATISTICS_FILES": _STATISTICS_FILES} if any(t.stats for t in item.targets) else {}),
        "MASK": ",".join(item.options.mask) or "none",
        "SOFTWARE_VERSION": f"landsat-downsample {met_module.versions()['landsat-downsample']}",
        "FINGERPRINT": identity["fingerprint"],
        **coarse.notes(item.coarse),
    }
    return rewrite.rewrite(mtl, changes, record)


def _cell_size(item: ScenePlan) -> dict[str, float]:
    """The size of a cell in pixels; on another projection, where their sides are not side by side, its mean area."""
    if item.projection:
        return {"CELL_AREA_IN_PIXELS": round(item.cell_area, 6)}
    return {f"CELL_SIZE_IN_PIXELS_{axis}": float(side) for axis, side in zip("YX", item.ratio, strict=True)}


def check_apart(item: ScenePlan) -> None:
    """Refuse a source that lies inside the product it would become.

    Raises
    ------
    UsageError
        Reading and replacing the same folder would destroy it.
    """
    if not item.destination.is_local:
        return
    product = os.path.realpath(item.location.path)
    for source in (band.location for target in item.targets for band in target.sources):
        if not source.is_local:
            continue
        path = os.path.realpath((source.archive if source.kind == "tar" else source).path)
        if os.path.commonpath((product, path)) == product:
            raise UsageError(
                f"source {item.scene.href!r} lies inside {product!r}, which it would replace: "
                "choose another destination"
            )


def already_done(item: ScenePlan) -> bool:
    """Whether the product is there, made from the same bytes with the same parameters.

    Raises
    ------
    WriteError
        A product of that name is there, but made otherwise, or something that is no product;
        nothing is raised when it may be overwritten.
    """
    if item.overwrite:
        return False
    marker = read_marker(item.destination, item.name, item.marker)
    if marker is None:
        _refuse_foreign(item)
        return False
    identity = source_identity(item.scene, item.options.to_dict())
    if marker.get("properties", {}).get("landsat_ds:fingerprint") == identity["fingerprint"]:
        _refuse_incomplete(item, marker)
        return True
    made = marker.get("properties", {}).get("processing:expression", {}).get("expression", {})
    had = source_identity(item.scene, made)["parameters"]
    raise WriteError(
        f"product {item.name!r} is already at {item.destination!r}, but "
        f"{difference(had, identity['parameters'])}: choose another place, or replace it with --overwrite"
    )


def overtaken(item: ScenePlan, error: LandsatDownsampleError) -> LandsatDownsampleError:
    """Why a product could not be stored: that another run has published it, made otherwise, since this one began."""
    if isinstance(error, WriteError) and not error.for_all:
        try:
            already_done(item)
        except WriteError as told:
            return told
        except LandsatDownsampleError:  # what cannot be read now says nothing
            pass
    return error


def _refuse_incomplete(item: ScenePlan, marker: dict[str, Any]) -> None:
    """Do not call a product done whose files were removed since."""
    wanted = {Location(asset["href"]).name for asset in marker.get("assets", {}).values()}
    lost = sorted(wanted - set(list_names(item.location)))
    if lost:
        raise WriteError(
            f"product {item.name!r} at {item.destination!r} has lost {', '.join(lost[:3])}"
            + (f" and {len(lost) - 3} more files" if len(lost) > 3 else "")
            + ": make it again with --overwrite"
        )


def _refuse_foreign(item: ScenePlan) -> None:
    """Say before any work is done that the final name is taken."""
    if not item.destination.is_local or not os.path.lexists(path := item.location.path):
        return
    if not os.path.isdir(path) or os.listdir(path):
        raise WriteError(
            f"{item.location!r} is there already and is no product of ours (it has no {item.marker}): "
            "move it away, choose another place, or replace it with --overwrite"
        )


def difference(had: dict[str, Any], want: dict[str, Any]) -> str:
    """Say in a few words how the product that is there differs from the one asked for, by their parameters."""
    had, want = (met_module.DEFAULTS | parameters for parameters in (had, want))
    changed = [key for key in sorted({*had, *want}) if (had.get(key) or None) != (want.get(key) or None)]
    if not changed:
        return "its source has changed since (size, ETag or checksum)"
    return f"was made with {_listed(had, changed)}; asked for is {_listed(want, changed)}"


#: Of these exactly one is given: the others need no mention.
_EITHER = ("factor", "resolution", "size")


def _listed(parameters: dict[str, Any], keys: Sequence[str]) -> str:
    named = [_words(key, parameters.get(key)) for key in keys if parameters.get(key) or key not in _EITHER]
    return ", ".join(named)


def _words(key: str, value: Any) -> str:
    if not value:
        return "all bands" if key == "bands" else f"no {key}"
    if isinstance(value, dict):
        value = value["name"] if key == "grid" else [f"{name}={method}" for name, method in value.items()]
    return f"{key} {','.join(map(str, value)) if isinstance(value, list) else value}"
