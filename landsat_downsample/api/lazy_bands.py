"""Bands of a scene as lazy arrays, and what these carry: names, time, attributes of the CF conventions."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from landsat_downsample import __version__
from landsat_downsample.api.array_blocks import BLOCK_ROWS, token
from landsat_downsample.api.array_grid import georeference
from landsat_downsample.api.array_meaning import Origin, origins
from landsat_downsample.errors import UsageError
from landsat_downsample.model.band import Band
from landsat_downsample.model.band_attributes import TIME, band_attributes
from landsat_downsample.model.family import of_sensor
from landsat_downsample.model.scene import Scene
from landsat_downsample.model.words import names_or_all
from landsat_downsample.pipeline.pixels import open_rows

if TYPE_CHECKING:
    import dask.array as da
    import xarray as xr


def lazy_band(scene: Scene, band: Band) -> xr.DataArray:
    """A band as a DataArray backed by dask: (y, x), stored values, nothing read yet.

    Chunks are whole rows of blocks. Attributes hold the catalogue's scale, offset and unit as
    ``scale_factor``, ``add_offset`` and ``units``; values are DN, not scaled.
    """
    return described(scene, band, lazy_pixels(band, scene.quality))


def lazy_pixels(band: Band, quality: Band | None) -> da.Array:
    """The pixels of a band, of which it is known that they are, and which quality band lies beside them."""
    import dask.array as da
    from dask.delayed import delayed

    height, width = band.grid.shape
    step = rows_of_a_chunk(band)
    read = delayed(read_rows, pure=True)
    digest = token((band, quality))  # the quality band too: `origins` must not mix up two scenes that share a file
    chunks = [
        da.from_delayed(
            read(band, start, min(start + step, height), dask_key_name=f"read-{band.name}-{digest}-{start}"),
            (min(step, height - start), width),
            np.dtype(band.dtype),
        )
        for start in range(0, height, step)
    ]
    data: da.Array = da.concatenate(chunks, axis=0)
    origins.put(data.name, Origin(band, quality))
    return data


def lazy_dataset(scene: Scene, names: Iterable[str] | str | None = None) -> xr.Dataset:
    """Several bands as a Dataset, by the names that were asked for; all on one grid.

    Raises
    ------
    UsageError
        A name the scene does not have, or bands on two grids (the panchromatic one beside others).
    """
    import xarray as xr

    chosen = bands_of_one_grid(scene, names)
    return xr.Dataset({name: lazy_band(scene, band) for name, band in chosen.items()}, attrs=scene_attributes(scene))


def bands_of_one_grid(scene: Scene, names: Iterable[str] | str | None) -> dict[str, Band]:
    """The bands that were asked for, by the names they were asked by; by default all on the scene's grid."""
    if (names := names_or_all(names)) is None:
        return {name: band for name, band in scene.bands.items() if band.grid.shape == scene.grid.shape}
    chosen = {name: scene.band(name) for name in names if name}
    if len({band.grid.shape for band in chosen.values()}) > 1:
        raise UsageError(f"bands {', '.join(chosen)} lie on different grids: take the panchromatic band by itself")
    return chosen


def rows_of_a_chunk(band: Band) -> int:
    """Rows that are read at a time: of whole blocks."""
    return max(1, BLOCK_ROWS // band.block_shape[0]) * band.block_shape[0]


def read_rows(band: Band, start: int, stop: int) -> np.ndarray:
    """Pixel rows of a band, as stored."""
    with open_rows(band) as rows:
        return rows.read(start, stop)


def described(scene: Scene, band: Band, data: Any) -> xr.DataArray:
    """Pixels of a band, with all that is known of it."""
    import xarray as xr

    array = xr.DataArray(data, dims=("y", "x"), name=band.name, attrs=_attributes(scene, band))
    array.encoding = {"source": band.location.shown, "dtype": band.dtype}  # goes when pixels are computed
    if (time := acquired(scene)) is not None:
        array.coords["time"] = time
    return georeference(array, band.grid, band.nodata)


def scene_attributes(scene: Scene) -> dict[str, Any]:
    """What a Dataset says of its scene, under the names of the CF and ACDD conventions, and of STAC."""
    said = scene.properties
    record = {
        "Conventions": "CF-1.11",
        "history": f"opened by landsat-downsample {__version__}",
        "title": " ".join(part for part in (_product_words(scene), scene.id) if part),
        "id": scene.id,
        "platform": said.get("platform"),
        "instrument": ", ".join(said.get("instruments") or ()) or None,
        "processing_level": said.get("landsat:correction"),
        "landsat_wrs_path": said.get("landsat:wrs_path"),
        "landsat_wrs_row": said.get("landsat:wrs_row"),
        "cloud_cover": said.get("eo:cloud_cover"),
    }
    return {key: value for key, value in record.items() if value is not None}


def _product_words(scene: Scene) -> str:
    if scene.lone or scene.level is None:
        return ""
    family = of_sensor(scene.sensor)
    return f"{family.title} Level-{scene.level} scene" if family else ""


def acquired(scene: Scene) -> xr.Variable | None:
    """When a scene was taken, UTC; the start of its day where nothing but its name says when."""
    import xarray as xr

    said = scene.properties.get("datetime") or scene.properties.get("start_datetime")
    with suppress(ValueError):  # what others wrote into an item
        moment = datetime.fromisoformat(str(said))
        moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
        return xr.Variable((), np.datetime64(moment.replace(tzinfo=None), "ns"), TIME)
    return None


def _attributes(scene: Scene, band: Band) -> dict[str, Any]:
    record = band_attributes(band, scene.sensor, scene.level)
    return record if scene.lone else record | {"landsat_product_id": scene.id}
