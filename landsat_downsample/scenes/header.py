"""Source rasters: the only module that opens them."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning, RasterioError, RasterioIOError

from landsat_downsample.errors import ReadError, SceneError
from landsat_downsample.model.band import Band
from landsat_downsample.model.bands import BandSpec
from landsat_downsample.model.gdal import gdal_settings
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.location import Location
from landsat_downsample.model.policy import Policy
from landsat_downsample.scenes import raster_header, validity
from landsat_downsample.scenes.raster_header import RasterLayout
from landsat_downsample.storage import files
from landsat_downsample.storage.local_file import LocalFile
from landsat_downsample.storage.locks import process_lock
from landsat_downsample.storage.regular_files import open_regular

#: No sidecar files (.ovr, .tfw): what a folder happens to hold must not change what is read. Those that say
#: which pixels are valid, or what they mean, are looked for (`_validity`).
OPTIONS = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GTIFF_POINT_GEO_IGNORE": False}

#: Bytes at each end of a local file that distinguish it from another.
ENDS = 64 << 10

#: `warnings.catch_warnings` changes the whole process, and headers are read in threads.
_QUIET = process_lock()


def read_header(
    location: Location,
    spec: BandSpec,
    *,
    fallback_grid: Callable[[tuple[int, int]], Grid | None] | None = None,
    size: int | None = None,
    checksum: str | None = None,
    sidecars: tuple[Location, ...] = (),
    policy: Policy | None = None,
) -> Band:
    """Read what the header of a one-band GeoTIFF says; no pixels.

    Parameters
    ----------
    location : Location
        Where the file is.
    spec : BandSpec
        What the band means.
    fallback_grid : callable, optional
        Called with the shape (height, width) of a file without georeference, to give its grid
        (from the MTL), or None.
    size : int, optional
        Bytes of the file, where already known.
    checksum : str, optional
        Multihash of the file, recorded for when it is fetched.
    sidecars : tuple of Location, optional
        Its sidecars, as a listing has them; those of a local file are looked for.
    policy : Policy, optional
        Retry budget for a remote store, and who pays.

    Raises
    ------
    ReadError
        The file cannot be fetched, or is not a TIFF.
    SceneError
        It has no CRS, is rotated, holds several bands, or pixels that cannot be reduced.
    """
    with ExitStack() as stack, _damage_told(location):
        file = stack.enter_context(files.header(files.FetchRequest(location, size, policy=policy)))
        stack.enter_context(gdal_settings(**OPTIONS))
        source = stack.enter_context(open_raster(file.gdal_path, location, pixels=False))
        found = validity.sidecars(location) or sidecars
        if found and location.kind != "file":
            validity.check_apart(location, found, policy)
        elif found:
            stack.enter_context(gdal_settings(GDAL_DISABLE_READDIR_ON_OPEN=False))
            own, source = source, stack.enter_context(open_raster(file.gdal_path, location, pixels=False))
            validity.check_sidecars(own, source, found, file.layout, location)
        validity.check_masks(source, file.layout, location)
        layout = _layout(source)
        raster_header.check(layout, location)
        spec = validity.meaning(source, spec, found, location)
        scale, offset = source.scales[0], source.offsets[0]
        scaled = (scale, offset) != (1.0, 0.0)
        spec = spec.stored_as(layout.dtype, source.units[0], scaled=scaled)
        return Band(
            spec=spec,
            href=location.href,
            grid=_grid(source, location, fallback_grid),
            dtype=layout.dtype,
            nodata=spec.fill if source.nodata is None else source.nodata,
            block_shape=layout.block_shape,
            scale=scale if scaled else None,
            offset=offset if scaled else None,
            unit=source.units[0] or None,
            description=source.descriptions[0] or None,
            area_or_point=source.tags().get("AREA_OR_POINT"),
            size=size if size is not None else file.size,
            etag=_identity(file) if location.is_local else file.etag,
            checksum=checksum,
            predictor=raster_header.unrepeated_predictor(file.layout, spec, location),
            requester_pays=policy is not None and policy.requester_pays,
            allow_hosts=policy.allow_hosts if policy else (),
            led=policy is not None and policy.led,
        )


@contextmanager
def _damage_told(location: Location) -> Iterator[None]:
    """What GDAL says of a damaged directory, where rasterio lets it through as it is."""
    try:
        yield
    except CPLE_BaseError as error:
        raise ReadError(f"cannot open {location!r}: its header is damaged; fetch it again") from error


def _layout(source: rasterio.DatasetReader) -> RasterLayout:
    dtype = source.dtypes[0]
    return RasterLayout(
        bands=source.count,
        shape=source.shape,
        block_shape=source.block_shapes[0],
        dtype=dtype,
        gcps=len(source.gcps[0]),
    )


def open_raster(path: str, location: Location, *, pixels: bool = True) -> rasterio.DatasetReader:
    """Open a local path as a GeoTIFF, for its pixels at full resolution only.

    Parameters
    ----------
    pixels : bool, optional
        False to look at its header: without georeference, a dataset opened for its pixels has
        whatever was in memory for a transform (rasterio 1.4 and 1.5 with ``OVERVIEW_LEVEL=NONE``).

    Raises
    ------
    ReadError
        GDAL cannot read it; the message names `location`, not the path of a temporary copy.
    """
    try:
        with _QUIET, warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # said better by `_grid`
            if not pixels:
                return rasterio.open(path, driver="GTiff")
            return rasterio.open(path, driver="GTiff", OVERVIEW_LEVEL="NONE")
    except RasterioIOError as error:
        raise ReadError(
            f"cannot open {location!r}: GDAL finds no raster in it that it can read; fetch it again"
        ) from error


def _grid(source: rasterio.DatasetReader, location: Location, fallback_grid: Callable[..., Any] | None) -> Grid:
    """The grid of an open raster: its own, or where it has none that of its metadata."""
    shape, transform = source.shape, source.transform
    crs = crs_name(source.crs)
    placed = not transform.is_identity
    if crs and placed:
        return raster_header.grid_of(shape, transform, crs, location)
    if placed:
        raster_header.grid_of(shape, transform, "", location)  # refuses a rotated grid before asking for its CRS
    fallback = fallback_grid(shape) if fallback_grid else None
    if fallback is None:
        lacks = "CRS" if placed or not crs else "position"
        raise SceneError(
            f"{location!r} has no {lacks}: give it one first (gdal_edit.py -a_srs -a_ullr), "
            "or put the scene's MTL file beside it"
        )
    return fallback if not placed else Grid(shape, transform, fallback.crs)


def crs_name(crs: CRS | None) -> str | None:
    """An authority string where there is one, else WKT, else None."""
    if not crs:
        return None
    try:
        authority = crs.to_authority()
    except RasterioError:
        authority = None
    return ":".join(authority) if authority else crs.to_wkt()


def _identity(file: LocalFile) -> str:
    """Tell a local file from another of its size by a digest of its ends, without reading it all.

    The header of a compressed TIFF holds the length of every block, so that any change of a
    pixel shows there. A remote store gives an ETag of its own.
    """
    digest = hashlib.sha256()
    with open_regular(file.path) as opened:
        for position in (file.offset, file.offset + max(file.size - ENDS, 0)):
            opened.seek(position)
            digest.update(opened.read(min(ENDS, file.size)))
    return digest.hexdigest()[:16]
