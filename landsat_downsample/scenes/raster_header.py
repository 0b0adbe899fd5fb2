"""Which headers of rasters are refused, and the grid that one gives. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from landsat_downsample.errors import SceneError
from landsat_downsample.formats.tiff_layout import TiffLayout
from landsat_downsample.model.bands import BandSpec
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.location import Location

if TYPE_CHECKING:
    from affine import Affine


@dataclass(frozen=True, slots=True)
class RasterLayout:
    """The facts of a header that decide whether we can read the pixels rightly."""

    bands: int
    shape: tuple[int, int]
    """(height, width)."""
    block_shape: tuple[int, int]
    dtype: str
    gcps: int = 0
    """Ground control points."""


def check(layout: RasterLayout, at: Location) -> None:
    """Refuse a raster that cannot be a band of Landsat.

    Raises
    ------
    SceneError
        Several bands, complex or 64-bit integers, or ground control points.
    """
    if layout.bands != 1:
        raise SceneError(
            f"{at!r} holds {layout.bands} bands, a Landsat band file holds one: "
            "split it first (gdal_translate -b 1 IN OUT)"
        )
    if layout.dtype.startswith("complex"):
        raise SceneError(f"{at!r} holds {layout.dtype} pixels, which are not Landsat data: give a real-valued file")
    if layout.dtype in ("int64", "uint64"):
        raise SceneError(f"{at!r} holds {layout.dtype} pixels, whose sums would overflow: convert it to 32 bits first")
    if layout.gcps:
        raise SceneError(
            f"{at!r} is placed by {layout.gcps} ground control points, not by a grid: warp it first (gdalwarp)"
        )


def unrepeated_predictor(layout: TiffLayout, spec: BandSpec, at: Location) -> int | None:
    """The predictor of compressed blocks, where no overview repeats it; other bands of the scene may.

    Raises
    ------
    SceneError
        It is not the one that USGS's layout, which the file has in all else, goes with.
    """
    image, *others = layout.directories
    if any(other.reduced and not other.mask for other in others) or image.compression == 1:
        return None
    usgs = layout.trailer and spec.dtype and image.block_shape == (256, 256) and image.compression == 8
    if usgs and image.predictor != (3 if spec.physical else 2):
        who = "we write no band in physical units" if spec.physical else "USGS writes no band"
        raise SceneError(
            f"{at!r} says predictor {image.predictor}, with which {who}: it is damaged or was changed; fetch it again"
        )
    return image.predictor


def grid_of(shape: tuple[int, int], transform: Affine, crs: str, at: Location) -> Grid:
    """Make the grid of a raster.

    Raises
    ------
    SceneError
        The grid is rotated, or rows run from south to north.
    """
    if transform.b or transform.d:
        raise SceneError(f"{at!r} is on a rotated grid: only north-up grids are supported; warp it first (gdalwarp)")
    if transform.e >= 0 or transform.a <= 0:
        raise SceneError(
            f"{at!r} is stored south-up or mirrored (pixel size {transform.a:g}, {transform.e:g}): "
            "turn it north-up first (gdalwarp)"
        )
    return Grid(shape, transform, crs)
