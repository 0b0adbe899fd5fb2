"""Do the rasters of a scene lie on one grid, and is it the one that its MTL describes? Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError

from landsat_downsample._errors import SceneError
from landsat_downsample._grid import Grid
from landsat_downsample._scene._header import Band

if TYPE_CHECKING:
    from landsat_downsample._mtl import Mtl

PAN = "panchromatic"

#: Of a pixel: 30 micrometres on the ground, which only rounding in a file's tags can explain.
TOLERANCE = 1e-6


def scene_grid(bands: dict[str, Band]) -> Grid:
    """The grid that all bands but the panchromatic one share.

    Raises
    ------
    SceneError
        Two of them lie on different grids, or the panchromatic band does not overlay them.
    """
    main = {name: band for name, band in bands.items() if band.spec.group != PAN}
    pan = {name: band for name, band in bands.items() if band.spec.group == PAN}
    first, anchor = next(iter((main or pan).items()))
    for name, band in (main or pan).items():
        if not same(anchor.grid, band.grid):
            raise SceneError(
                f"bands {first} and {name} lie on different grids: {describe(anchor.grid)} and {describe(band.grid)}; "
                "open them one by one"
            )
    for name, band in pan.items():
        if not same_crs(band.grid.crs, anchor.grid.crs) or not _within(band.grid, anchor.grid, anchor.grid.resolution):
            raise SceneError(
                f"panchromatic band {name} does not lie over {first}: {describe(band.grid)} and "
                f"{describe(anchor.grid)}; open them one by one"
            )
    return anchor.grid


def same(one: Grid, other: Grid) -> bool:
    """Whether two grids are equal to within `TOLERANCE` of a pixel."""
    if one.shape != other.shape or not same_crs(one.crs, other.crs):
        return False
    return _within(one, other, tuple(step * TOLERANCE for step in one.resolution))


def same_crs(one: str, other: str) -> bool:
    """Whether two CRS are one, however they are written."""
    if one == other:
        return True
    try:
        return CRS.from_user_input(one) == CRS.from_user_input(other)
    except CRSError:
        return False


def _within(one: Grid, other: Grid, margin: tuple[float, float]) -> bool:
    """Whether the edges of two grids differ by no more than a margin (y, x) in CRS units."""
    margins = (margin[1], margin[0], margin[1], margin[0])
    return all(abs(a - b) <= m for a, b, m in zip(one.bounds, other.bounds, margins, strict=True))


def describe(grid: Grid) -> str:
    """A grid in one line."""
    height, width = grid.shape
    (step_y, step_x), (left, bottom, right, top) = grid.resolution, grid.bounds
    return (
        f"{height} x {width} pixels of {step_y:g} x {step_x:g}, left {left:.10g} bottom {bottom:.10g} "
        f"right {right:.10g} top {top:.10g}, {grid.crs.partition('[')[0]}"
    )


def check_mtl(mtl: Mtl, bands: dict[str, Band]) -> None:
    """Hold the MTL's frame against the rasters.

    Bounds are compared, not shapes: an overview of a whole scene still covers its frame. The
    panchromatic band is not asked, as it is held against the others already.

    Raises
    ------
    SceneError
        An edge differs by more than a pixel of the raster, or the CRS does.
    """
    from landsat_downsample import _mtl  # not above: a band of its own has none

    for group in ("reflective", "thermal"):
        frame = _mtl.frame(mtl, group)
        name, band = next(((n, b) for n, b in bands.items() if b.spec.group == group), (None, None))
        if frame is None or band is None:
            continue
        if not same_crs(frame.crs, band.grid.crs) or not _within(frame, band.grid, band.grid.resolution):
            raise SceneError(
                f"the MTL disagrees with {name}: it says {describe(frame)}, the file says {describe(band.grid)}; "
                "they are not of one product"
            )


def fallback(mtl: Mtl, group: str, shape: tuple[int, int]) -> Grid | None:
    """The grid that the MTL gives a raster which has none itself; None where the shape does not fit.

    Parameters
    ----------
    group : str
        Of the band: ``reflective``, ``thermal`` or ``panchromatic``.
    shape : (int, int)
        (height, width) of the raster.
    """
    from landsat_downsample import _mtl

    frame = _mtl.frame(mtl, group) or _mtl.frame(mtl, "reflective")
    if frame is None:
        return None
    if shape == frame.shape:
        return frame
    reflective = _mtl.frame(mtl, "reflective")
    if group != PAN or reflective is None:
        return None
    # The pan band shares the first centre with the others; crops of it may have a row more or less.
    grid = Grid(shape, Affine(*frame.transform[:6]), frame.crs)
    return grid if _within(grid, reflective, reflective.resolution) else None
