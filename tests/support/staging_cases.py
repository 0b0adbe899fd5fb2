"""Scenes to stage, servers that have them, and what must hold of every staged folder."""

from __future__ import annotations

import json
import os
from pathlib import Path

import s3

import landsat_downsample as ld
from landsat_downsample.products.staging.staged_item import CATALOGUE

#: Silence is soon taken for a fault, and every fault is borne.
QUICK = {"LANDSAT_DOWNSAMPLE_BUDGET": "1000", "LANDSAT_DOWNSAMPLE_TIMEOUT": "1"}
#: For runs that are kept waiting: what ends them must be something else.
PATIENT = {"LANDSAT_DOWNSAMPLE_BUDGET": "1000", "LANDSAT_DOWNSAMPLE_TIMEOUT": "1000"}
BANDS = ["SR_B4", "SR_B5", "QA_PIXEL"]


def small(folder: Path, **settings) -> Path:
    """A scene with three bands."""
    return ld.make_scene(folder, **({"size": (331, 287), "bands": BANDS} | settings))


def files(folder: Path | str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def own_files(folder: Path) -> set[str]:
    """Names of the two files that staging adds."""
    return {CATALOGUE, f"{folder.name}.stac.json"}


def visible(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if not name.startswith(".")) if folder.is_dir() else []


def served(scene: Path, prefix: str = "/scene") -> dict[str, bytes]:
    return {f"{prefix}/{name}": data for name, data in files(scene).items()}


def to_s3(server, scene: Path, prefix: str) -> str:
    client = server.client()
    for name, data in files(scene).items():
        client.put_object(Bucket=s3.BUCKET, Key=f"{prefix}/{scene.name}/{name}", Body=data)
    return f"s3://{s3.BUCKET}/{prefix}/{scene.name}"


def check_catalogue(path: str) -> None:
    """Hold a staged folder against pystac and its core schemas: one item, nothing but what lies beside it."""
    import jsonschema
    import pystac
    from pystac.validation.local_validator import get_local_schema_cache
    from referencing import Registry, Resource

    schemas = {uri: Resource.from_contents(schema) for uri, schema in get_local_schema_cache().items()}
    registry = Registry().with_resources(schemas.items())
    catalogue = pystac.Catalog.from_file(path)
    (item,) = catalogue.get_items(recursive=True)
    assert item.get_root() is catalogue and item.get_parent() is catalogue
    records = {"/catalog.json": Path(path), "/item.json": Path(item.get_self_href())}
    for end, place in records.items():
        (schema,) = [
            one.contents for uri, one in schemas.items() if uri.endswith(f"{end[:-5]}-spec/json-schema{end}")
        ] or [next(one.contents for uri, one in schemas.items() if uri.endswith(end))]
        jsonschema.Draft7Validator(schema, registry=registry).validate(json.loads(place.read_text()))
    folder = Path(path).parent
    for asset in item.assets.values():
        assert asset.href.startswith("./") and (folder / asset.href).is_file()
        assert (folder / asset.href).stat().st_size == asset.extra_fields["file:size"]
    listed = {asset.href.removeprefix("./") for asset in item.assets.values()}
    assert listed | own_files(folder) == set(os.listdir(folder))
