"""Do the rasters of a scene lie on one grid, and is it the one that its MTL describes? Pure."""

from __future__ import annotations

from collections import Counter

from affine import Affine

from landsat_downsample.errors import SceneError
from landsat_downsample.formats.mtl import frame as frame_module
from landsat_downsample.formats.mtl.document import Mtl
from landsat_downsample.model.band import Band
from landsat_downsample.model.crs import same_crs
from landsat_downsample.model.grid import Grid

PAN = "panchromatic"

#: Of a pixel: 30 micrometres on the ground, which only rounding in a file's tags can explain.
TOLERANCE = 1e-6

#: Of what an MTL says, in CRS units: its corners have three decimals, which resolve half of that.
MTL_TOLERANCE = 1e-3


def scene_grid(bands: dict[str, Band], frame: Grid | None = None) -> Grid:
    """The grid that all bands but the panchromatic one share: where they differ by rounding, that of most.

    Parameters
    ----------
    frame : Grid, optional
        What the MTL says, which counts as a band where it differs by no more.

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
        if not _overlays(band.grid, anchor.grid):
            raise SceneError(
                f"panchromatic band {name} does not lie over {first}: {describe(band.grid)} and "
                f"{describe(anchor.grid)}; open them one by one"
            )
    votes = Counter(band.grid for band in (main or pan).values())
    if frame is not None and main and same(frame, anchor.grid):
        votes[frame] += 1
    return votes.most_common(1)[0][0]


def _overlays(pan: Grid, main: Grid) -> bool:
    """Whether a panchromatic grid lies over that of the other bands, to within a pixel of theirs.

    One of half their pixels, as USGS has it, shares either their upper left edge or their first centre; copies on
    fewer pixels need not.
    """
    if not same_crs(pan.crs, main.crs) or not _within(pan, main, main.resolution):
        return False
    halves = [fine / wide * 2 for fine, wide in zip(pan.resolution, main.resolution, strict=True)]
    if any(abs(half - 1) > 0.01 for half in halves):
        return True
    ahead = (main.transform.f - pan.transform.f, pan.transform.c - main.transform.c)
    return all(
        abs(half - 1) * size < TOLERANCE and min(abs(by), abs(by - (wide - fine) / 2)) < TOLERANCE * wide
        for half, size, by, fine, wide in zip(halves, pan.shape, ahead, pan.resolution, main.resolution, strict=True)
    )


def check_predictors(bands: dict[str, Band]) -> None:
    """Refuse bands whose blocks are to be decoded in different ways: differences would be taken for values.

    Raises
    ------
    SceneError
        The header of one of them is damaged.
    """
    known = {name: band for name, band in bands.items() if band.predictor is not None and band.dtype[0] != "f"}
    ways: dict[int | None, list[str]] = {}
    for name, band in known.items():
        ways.setdefault(band.predictor, []).append(name)
    if len(ways) > 1:
        odd = min(ways, key=lambda way: len(ways[way]))
        raise SceneError(
            f"{known[ways[odd][0]].location!r} says predictor {odd}, other bands of the scene do not: "
            "one of them is damaged; fetch it again, or open them one by one"
        )


def same(one: Grid, other: Grid) -> bool:
    """Whether two grids are equal to within `TOLERANCE` of a pixel."""
    if one.shape != other.shape or not same_crs(one.crs, other.crs):
        return False
    step_y, step_x = one.resolution
    return _within(one, other, (step_y * TOLERANCE, step_x * TOLERANCE))


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


def of(mtl: Mtl) -> Grid | None:
    """The grid of the bands but the panchromatic one, as an MTL says."""
    return frame_module.frame(mtl, "reflective") or frame_module.frame(mtl, "thermal")


def check_mtl(mtl: Mtl, bands: dict[str, Band]) -> None:
    """Hold the MTL's frame against the rasters.

    A raster of the frame's shape lies just where that does; an overview of a whole scene covers it to
    within one of its own, larger pixels.

    Raises
    ------
    SceneError
        An edge differs by more than that, or the CRS does.
    """
    reflective = frame_module.frame(mtl, "reflective")
    for group in ("reflective", "thermal", PAN):
        frame = frame_module.frame(mtl, group)
        name, band = next(((n, b) for n, b in bands.items() if b.spec.group == group), (None, None))
        if frame is None or band is None:
            continue
        if group == PAN and reflective and not _within(frame, reflective, reflective.resolution):
            continue  # it was left as it was when the others were cut
        if not same_crs(frame.crs, band.grid.crs) or not _covers(band.grid, frame):
            raise SceneError(
                f"the MTL disagrees with {name}: it says {describe(frame)}, the file says {describe(band.grid)}; "
                "they are not of one product"
            )


def _covers(grid: Grid, frame: Grid) -> bool:
    """Whether a raster is the frame's, or an overview of all of it."""
    if grid.shape == frame.shape:
        return _within(grid, frame, (MTL_TOLERANCE, MTL_TOLERANCE))
    coarser = all(step > 1.5 * fine for step, fine in zip(grid.resolution, frame.resolution, strict=True))
    return coarser and _within(grid, frame, grid.resolution)


def fallback(mtl: Mtl, group: str, shape: tuple[int, int]) -> Grid | None:
    """The grid that the MTL gives a raster which has none itself; None where the shape does not fit.

    Parameters
    ----------
    group : str
        Of the band: ``reflective``, ``thermal`` or ``panchromatic``.
    shape : (int, int)
        (height, width) of the raster.
    """
    frame = frame_module.frame(mtl, group) or frame_module.frame(mtl, "reflective")
    if frame is None:
        return None
    if shape == frame.shape:
        return frame
    reflective = frame_module.frame(mtl, "reflective")
    if group != PAN or reflective is None:
        return None
    # The pan band shares the first centre with the others; crops of it may have a row more or less.
    grid = Grid(shape, Affine(*frame.transform[:6]), frame.crs)
    return grid if _within(grid, reflective, reflective.resolution) else None
