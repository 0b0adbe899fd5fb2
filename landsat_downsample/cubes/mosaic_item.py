"""What a folder of mosaics says of a date: its name, and its STAC item. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from landsat_downsample import __version__
from landsat_downsample.cubes.mosaic_work import StoredMosaic
from landsat_downsample.cubes.passes import Date, fingerprint
from landsat_downsample.cubes.series import Series, Variable
from landsat_downsample.formats import product_id
from landsat_downsample.formats.multihash import multihash
from landsat_downsample.products.band_fields import band_fields
from landsat_downsample.products.footprint import footprint, spacing
from landsat_downsample.products.grid_facts import crs_fields
from landsat_downsample.products.met import nodata_value
from landsat_downsample.products.stac import COG, KEPT, KEPT_PREFIXES, KEPT_VIEW, extensions

#: Properties of an item of ours: how the folder was made, and what the date was made of.
PARAMETERS, FINGERPRINT, SOURCES = "landsat_ds:cube", "landsat_ds:fingerprint", "landsat_ds:sources"


def name_of(date: Date, group: str | None) -> str:
    """What the files of a date begin with: day, and what IDs say before it: of Landsat sensor, level, path and row.

    ``20230714_LC08_L2SP_192028``; of a pass without the row. Of scenes with other names the whole of it.
    """
    scene = date[0]
    day = str(scene.time)[:10].replace("-", "")
    known = product_id.parse(scene.id)
    path = str(scene.properties.get("landsat:wrs_path") or "")
    if group == "pass" and path:
        return f"{day}_{scene.id[:9] + '_' if known else ''}{path}"
    return f"{day}_{scene.id.partition(known.part('acquired'))[0].rstrip('_.') if known else scene.id}"


def mosaic_item(
    name: str, date: Date, series: Series, stored: Sequence[StoredMosaic], parameters: Mapping[str, Any]
) -> dict[str, Any]:
    """The STAC 1.1 item of a date, with relative hrefs.

    Parameters
    ----------
    name : str
        As of `name_of`.
    stored : sequence of StoredMosaic
        Its files, ``{name}_{variable}.tif``.
    parameters : mapping
        How the folder was made.
    """
    grid = series.common.grid
    geometry, box = footprint(grid)
    variables = {variable.name: variable for variable in series.variables}
    record: dict[str, Any] = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": name,
        "geometry": geometry,
        **({"bbox": box} if box else {}),
        "properties": {
            **_common(date),
            "title": f"{', '.join(dict.fromkeys(scene.id for scene in date))}, downsampled",
            "gsd": spacing(grid),
            **crs_fields(grid.crs),
            "proj:shape": list(grid.shape),
            "proj:transform": list(grid.transform)[:6],
            "proj:bbox": list(grid.bounds),
            "processing:lineage": "Products of one date on one grid: each cell whole from that with most valid pixels.",
            "processing:software": {"landsat-downsample": __version__},
            FINGERPRINT: fingerprint(date),
            SOURCES: list(dict.fromkeys(scene.id for scene in date)),
            PARAMETERS: dict(parameters),
        },
        "links": [],
        "assets": {one.variable: _asset(name, one, variables[one.variable], spacing(grid)) for one in stored},
    }
    record["stac_extensions"] = extensions(record)
    return record


def _common(date: Date) -> dict[str, Any]:
    """Properties that all products of a date agree on, means of cloud cover and place of the sun, and when it was."""
    said = [scene.properties for scene in date]
    kept = {
        key: value
        for key, value in said[0].items()
        if key.startswith(KEPT_PREFIXES) or key in KEPT
        if all(other.get(key) == value for other in said)
    }
    for key in ("eo:cloud_cover", *KEPT_VIEW):
        numbers = [one[key] for one in said if isinstance(one.get(key), int | float)]
        if numbers:
            kept[key] = round(float(np.mean(numbers)), 8)
    first, last = date[0].time, date[-1].time
    assert first is not None and last is not None  # `passes.dates` refuses what has no time
    kept["datetime"] = _text(first)
    if len(date) > 1:
        kept |= {"start_datetime": _text(first), "end_datetime": _text(last)}
    return kept


def _text(time: np.datetime64) -> str:
    return f"{time.astype('datetime64[us]')}Z"


def _asset(name: str, stored: StoredMosaic, variable: Variable, size: float) -> dict[str, Any]:
    layer, spec = variable.first, variable.first.band.spec
    band = {
        "name": layer.name,
        "description": layer.band.description,
        "data_type": layer.band.dtype,
        "nodata": nodata_value(variable.fill),
        "unit": layer.band.unit,
        "statistics": stored.statistics or None,
        "raster:scale": layer.band.scale,
        "raster:offset": layer.band.offset,
        "raster:spatial_resolution": size,
        "eo:common_name": spec.common_name if not (layer.stat or layer.share) else None,
    }
    return {
        "href": f"./{name}_{stored.variable}.tif",
        "type": COG,
        "title": layer.band.description or spec.title or layer.name,
        "roles": ["data-mask" if spec.categorical else "data"],
        "file:size": stored.size,
        "file:checksum": multihash(stored.sha256),
        "landsat_ds:method": layer.method,
        **band_fields([{key: value for key, value in band.items() if value is not None}]),
    }
