"""Figures for notebooks and reports: before and after, fractions, footprints.

Every function returns a matplotlib ``Figure`` of its own: no pyplot, no global state. In a
notebook the figure shows itself; elsewhere, ``figure.savefig("name.png")``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from landsat_downsample.api.array_meaning import codes_of, is_kept
from landsat_downsample.errors import UsageError
from landsat_downsample.model import flags
from landsat_downsample.model.bands import BandSpec
from landsat_downsample.model.crs import same_crs
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.projection import Projection
from landsat_downsample.products.browse import classify

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

__all__ = ["before_after", "footprint", "fractions"]

#: A panel of a figure has about this many pixels: more than that is read for nothing.
PANEL_PIXELS = 900

#: Light to dark in a hue of its own, so that panels are told apart and dark always means more.
FRACTION_COLOURS = {
    "valid": "Greys",
    "clear": "Greens",
    "cloud": "PuBu",
    "cloud_shadow": "Purples",
    "snow": "BuPu",
    "water": "Blues",
    "cirrus": "RdPu",
}

#: Behind every picture, where there is no data: no colour of a value or a class, and hatched where there is room.
NO_DATA: dict[str, Any] = {"facecolor": "#e6d3b3", "edgecolor": "#c9b084", "hatch": "//////"}

#: What QA_FRACTIONS stores where a cell has no data.
NO_FRACTION = 255


def __dir__() -> list[str]:
    return __all__


def before_after(
    before: xarray.DataArray,
    after: xarray.DataArray,
    *,
    bounds: tuple[float, float, float, float] | None = None,
    spec: BandSpec | None = None,
    title: str | None = None,
) -> Figure:
    """Draw a band next to its coarse self, on the same axes and colours.

    Parameters
    ----------
    before, after : xarray.DataArray
        One band each, (y, x) or (1, y, x), lazy or not. A band larger than a panel is decimated
        for display, and the panel says so; its values are not changed. A quality band is drawn by class.
    bounds : (float, float, float, float), optional
        Part to show (left, bottom, right, top) in units of the CRS, such as one small enough that cells can be seen.
    spec : BandSpec, optional
        The catalogue's entry, where the array does not say which band it is.
    title : str, optional
        Headline; the band's name by default.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    UsageError
        An array is not one band of two dimensions, or has nothing within the bounds.

    Examples
    --------
    >>> quality = scene["qa_pixel"]
    >>> figure = ld.plot.before_after(quality, ld.coarsen(quality, factor=10))
    >>> figure.savefig("quality.png")
    """
    spec = spec or _classes_of(before)
    figure, axes = _panels(1, 2, size=(10.5, 5.6))
    bands = [_plane(before), _plane(after)]
    alike = _unit_of(bands[0]) == _unit_of(bands[1]) != (1.0, "pixels") and same_crs(*map(_crs_of, bands))
    if bounds:
        if not alike:
            raise UsageError(f"bounds {bounds!r} are of one CRS, but the arrays have not the same: crop each by itself")
        bands = [_crop(band, bounds) for band in bands]
    shown = [_decimate(band) for band in bands]
    pictures = [_masked(band) for band, _ in shown]
    extents = [_extent(band) for band in bands]
    if spec is not None and spec.categorical:
        _draw_classes(axes[0], pictures, extents, spec)
    else:
        _draw_values(axes[0], pictures, extents, spec or bands[0])
    for axis, word, band, (_, step) in zip(axes[0], ("before", "after"), bands, shown, strict=True):
        note = f"\n1 of every {step} × {step} pixels shown" if step > 1 else ""
        height, width = band.shape
        axis.set_title(f"{word}: {height} × {width} of {_cell_size(band)}{note}", fontsize=10, loc="left")
        _label(axis, band)
    if alike:
        divisor, frame = _unit_of(bands[1])[0], extents[1]
        if bounds:
            left, bottom, right, top = (edge / divisor for edge in bounds)
            frame = left, right, bottom, top
        for axis in axes[0]:  # the same frame, so that one place is at one spot of both
            axis.set(xlim=frame[:2], ylim=frame[2:])
    figure.suptitle(title or str(before.name or "band"), fontsize=13, x=0.01, ha="left")
    return figure


def fractions(data: xarray.DataArray | xarray.Dataset, *, title: str | None = None) -> Figure:
    """Draw the bands of QA_FRACTIONS, in percent of each cell, as small multiples.

    Parameters
    ----------
    data : xarray.DataArray or xarray.Dataset
        (band, y, x), named by ``long_name`` or by the ``band`` coordinate; or a variable (y, x)
        per fraction. Percent, 255 where there is no data.
    title : str, optional
        Headline.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> figure = ld.plot.fractions(ld.fractions(scene["qa_pixel"], factor=10), title="Clouds and more")
    >>> figure.savefig("fractions.png")
    """
    bands = _named_bands(data)
    columns = min(4, len(bands))
    rows = math.ceil(len(bands) / columns)
    figure, axes = _panels(rows, columns, size=(3.3 * columns, 3.5 * rows + 0.4))
    lacking = False
    for axis, (name, band) in zip(axes.flat, bands.items(), strict=False):
        picture = _masked(_decimate(band)[0])
        picture = np.ma.masked_where(picture.data == NO_FRACTION, picture)
        lacking |= bool(np.ma.getmaskarray(picture).any())
        colours = FRACTION_COLOURS.get(name, "cividis_r")
        image = axis.imshow(picture, extent=_extent(band), cmap=colours, vmin=0, vmax=100, interpolation="nearest")
        mean = "no data" if not picture.count() else f"mean {picture.mean():.1f} %"
        axis.set_title(f"{name}: {mean}", fontsize=10, loc="left")
        bar = figure.colorbar(image, ax=axis, orientation="horizontal", shrink=0.8, ticks=(0, 25, 50, 75, 100))
        whole = "the cell" if name == "valid" else "its valid pixels"
        bar.set_label(f"% of {whole}", fontsize=8)
        bar.ax.tick_params(labelsize=8)
        _label(axis, band)
    for axis in axes.flat[len(bands) :]:
        axis.set_visible(False)
    for axis in axes.flat:
        axis.label_outer()
    _explain(figure, [_no_data()] if lacking else [])
    figure.suptitle(title or "QA fractions", fontsize=13, x=0.01, ha="left")
    return figure


def footprint(scene_grid: Grid, coarse_grid: Grid) -> Figure:
    """Draw how a coarse grid lies over the grid of its scene.

    The left panel has both outlines, the right one the lower right corner, where the last
    cells reach beyond the scene: the product always covers the source. Cells of another
    projection are drawn where they lie in the scene's, as the curves that their sides are there.

    Parameters
    ----------
    scene_grid, coarse_grid : Grid
        Of a scene, ``scene.grid``, and of what is planned of it, ``plan.coarse``.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> plan = ld.plan(scene, "out", grid="modis:500m")[0]
    >>> ld.plot.footprint(scene.grid, plan.coarse).savefig("footprint.png")
    """
    divisor, unit = _unit(scene_grid.crs)
    there = None if same_crs(scene_grid.crs, coarse_grid.crs) else Projection.between(scene_grid, coarse_grid.crs)
    figure, ((whole, corner),) = _panels(1, 2, size=(10.5, 5.2))
    for axis in (whole, corner):
        coarse_label, scene_label = (
            f"{k}: {_described(g)}" for k, g in (("coarse", coarse_grid), ("scene", scene_grid))
        )
        _outline(axis, coarse_grid, divisor, there, color="#d55e00", label=coarse_label)
        _outline(axis, scene_grid, divisor, color="#0072b2", label=scene_label)
        axis.set(xlabel=f"easting ({unit})", ylabel=f"northing ({unit})", aspect="equal")
        axis.tick_params(labelsize=8)
    whole.set_title("outlines", fontsize=10, loc="left")
    whole.margins(0.06)
    figure.legend(*whole.get_legend_handles_labels(), fontsize=8, loc="outside lower left", ncols=2, frameon=False)
    if there is None:
        _lines(corner, scene_grid, coarse_grid, divisor)
    else:
        _curves(corner, scene_grid, coarse_grid, divisor, there)
    corner.set_title("lower right corner: cells and pixels", fontsize=10, loc="left")
    figure.suptitle(f"{scene_grid.crs[:40]}", fontsize=13, x=0.01, ha="left")
    return figure


def _panels(rows: int, columns: int, *, size: tuple[float, float]) -> tuple[Figure, np.ndarray]:
    from landsat_downsample.api.figure import ShownFigure

    figure = ShownFigure(figsize=size, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


# --- arrays


def _plane(band: xarray.DataArray) -> xarray.DataArray:
    plane = band.squeeze(drop=True) if band.ndim > 2 else band
    if plane.ndim != 2:
        raise UsageError(f"array of dimensions {band.dims} is not one band: select one, such as array.sel(band=1)")
    return plane


def _classes_of(band: xarray.DataArray) -> BandSpec | None:
    """The catalogue's entry of a quality band that was not computed with: what came of that is numbers."""
    stored = is_kept(band) or "landsat_band" not in band.attrs
    return codes_of(band) if stored and band.dtype.kind in "iu" else None


def _crop(band: xarray.DataArray, bounds: tuple[float, float, float, float]) -> xarray.DataArray:
    """The pixels that any of which lies within bounds."""
    left, bottom, right, top = bounds
    y, x, down, across = _steps(band)
    rows = (abs(y - (bottom + top) / 2) < (top - bottom + abs(down)) / 2).nonzero()[0]
    columns = (abs(x - (left + right) / 2) < (right - left + abs(across)) / 2).nonzero()[0]
    if not (len(rows) and len(columns)):
        raise UsageError(
            f"bounds {bounds!r} hold nothing of {band.name!r}: give (left, bottom, right, top) within "
            f"({min(x):.10g}, {min(y):.10g}, {max(x):.10g}, {max(y):.10g})"
        )
    return band[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _decimate(band: xarray.DataArray) -> tuple[xarray.DataArray, int]:
    """Every nth pixel of a band, and n: for display only."""
    step = max(1, math.ceil(max(band.shape) / PANEL_PIXELS))
    return band[step // 2 :: step, step // 2 :: step], step


def _masked(band: xarray.DataArray) -> np.ma.MaskedArray:
    """Values of a band, without its nodata."""
    values = np.ma.masked_invalid(np.asarray(band.values))
    known = (*(place.get("_FillValue") for place in (band.attrs, band.encoding)), band.attrs.get("nodata"))
    for nodata in known:
        if nodata is not None and not np.isnan(nodata):
            values = np.ma.masked_where(np.ma.getdata(values) == nodata, values)
    return values


def _named_bands(data: xarray.DataArray | xarray.Dataset) -> dict[str, xarray.DataArray]:
    from xarray import Dataset

    if isinstance(data, Dataset):
        return {str(name): _plane(band) for name, band in data.data_vars.items() if band.ndim >= 2}
    if data.ndim == 2:
        return {str(data.name or "fraction"): data}
    names = data.attrs.get("long_name")
    if isinstance(names, str) or names is None or len(names) != len(data):
        names = [str(name) for name in data[data.dims[0]].values]
    return {str(name): data[i] for i, name in enumerate(names)}


# --- axes


def _unit(crs: object) -> tuple[float, str]:
    """What to divide coordinates by, and the unit they are then in."""
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    try:
        geographic = CRS.from_user_input(crs).is_geographic
    except CRSError:
        geographic = False
    return (1.0, "degrees") if geographic else (1000.0, "km")


def _unit_of(band: xarray.DataArray) -> tuple[float, str]:
    if not all(dim in band.coords for dim in band.dims):
        return 1.0, "pixels"
    return _unit(_crs_of(band))


def _crs_of(band: xarray.DataArray) -> str:
    reference = band.coords.get("spatial_ref")
    return str(reference.attrs.get("crs_wkt", "")) if reference is not None else ""


def _steps(band: xarray.DataArray) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Coordinates (y, x) and the signed distance from one to the next."""
    y, x = (np.asarray(band[dim].values, "float64") for dim in band.dims)
    down, across = ((a[-1] - a[0]) / (len(a) - 1) if len(a) > 1 else 0.0 for a in (y, x))
    return y, x, down or -abs(across) or -1.0, across or abs(down) or 1.0


def _extent(band: xarray.DataArray) -> tuple[float, float, float, float]:
    """Outer edges (left, right, bottom, top) in the unit of the axes."""
    divisor, unit = _unit_of(band)
    y, x, down, across = _steps(band)
    edges = x[0] - across / 2, x[-1] + across / 2, y[-1] + down / 2, y[0] - down / 2
    return tuple(edge / divisor for edge in edges) if unit != "pixels" else (0, len(x), len(y), 0)


def _cell_size(band: xarray.DataArray) -> str:
    _, _, down, across = _steps(band)
    unit = {"km": "m", "degrees": "°", "pixels": "px"}[_unit_of(band)[1]]
    sides = [f"{abs(side):.4g}" for side in (down, across)]
    return f"{sides[0]} {unit}" if sides[0] == sides[1] else f"{' × '.join(sides)} {unit}"


def _label(axis: Axes, band: xarray.DataArray) -> None:
    unit = _unit_of(band)[1]
    names = ("column", "row") if unit == "pixels" else ("easting", "northing")
    if unit == "degrees":
        names = ("longitude", "latitude")
    axis.set_xlabel(f"{names[0]} ({unit})", fontsize=9)
    axis.set_ylabel(f"{names[1]} ({unit})", fontsize=9)
    axis.tick_params(labelsize=8)
    axis.locator_params(nbins=5)
    axis.ticklabel_format(useOffset=False)
    axis.patch.set(**NO_DATA)


def _draw_values(
    axes: np.ndarray, pictures: list[Any], extents: list[Any], source: xarray.DataArray | BandSpec
) -> None:
    """Draw both with the same limits and one colour bar."""
    scale, offset, label = _meaning(source)
    pictures = [picture * scale + offset for picture in pictures]
    known = np.concatenate([picture.compressed() for picture in pictures])
    low, high = np.percentile(known, (1, 99)) if known.size else (0, 1)
    colours = "inferno" if "(" in label else "gray"
    for axis, picture, extent in zip(axes, pictures, extents, strict=True):
        image = axis.imshow(picture, extent=extent, cmap=colours, vmin=low, vmax=high, interpolation="nearest")
    bar = axes[0].figure.colorbar(image, ax=list(axes), shrink=0.75, extend="both", pad=0.02)
    bar.set_label(label, fontsize=9)
    bar.ax.tick_params(labelsize=8)
    lacking = any(np.ma.getmaskarray(picture).any() for picture in pictures)
    _explain(axes[0].figure, [_no_data()] if lacking else [])


def _no_data() -> Patch:
    from matplotlib.patches import Patch

    return Patch(**NO_DATA, label="no data")


def _explain(figure: Figure, handles: list[Patch]) -> None:
    """Say below what colours mean, and what no data looks like."""
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=5, fontsize=9, frameon=False)


def _meaning(source: xarray.DataArray | BandSpec) -> tuple[float, float, str]:
    """Scale, offset and the label of a colour bar."""
    if isinstance(source, BandSpec):
        scale, offset, name, unit = source.scale, source.offset, source.title or source.name, source.unit
    else:
        known = {**source.encoding, **source.attrs}
        scale, offset = known.get("scale_factor"), known.get("add_offset")
        name, unit = str(known.get("long_name") or source.name or ""), known.get("units") or known.get("unit")
    label = name or "value" if scale is not None or unit else f"{name or 'value'}, DN"
    return scale or 1.0, offset or 0.0, f"{label} ({unit})" if unit not in (None, "", "1") else label


def _draw_classes(axes: np.ndarray, pictures: list[Any], extents: list[Any], spec: BandSpec) -> None:
    """Draw both by class, with one legend below."""
    from matplotlib.patches import Patch

    present: dict[str, Any] = {}
    lacking = False
    for axis, picture, extent in zip(axes, pictures, extents, strict=True):
        codes = np.ma.getdata(picture)
        valid = ~np.ma.getmaskarray(picture) & ~flags.without_data(codes, spec)
        index, table = classify(codes, spec)
        palette = np.array([(*entry.colour, 255) for entry in table], "uint8")
        axis.imshow(np.where(valid[..., None], palette[index], 0), extent=extent, interpolation="nearest")
        lacking |= not valid.all()
        present |= {entry.label: entry for i, entry in enumerate(table) if (index[valid] == i).any()}
    handles = [Patch(fc=np.divide(e.colour, 255), ec="#8c9298", label=e.label) for e in present.values()]
    _explain(axes[0].figure, [*handles, _no_data()] if lacking else handles)


# --- footprints


def _described(grid: Grid) -> str:
    return f"{grid.height} × {grid.width} of {' × '.join(dict.fromkeys(f'{side:.6g}' for side in grid.resolution))}"


def _outline(
    axis: Axes, grid: Grid, divisor: float, projection: Projection | None = None, *, color: str, label: str
) -> None:
    left, bottom, right, top = grid.bounds
    corners = np.array([(left, bottom), (right, bottom), (right, top), (left, top), (left, bottom)])
    xs, ys = corners.T
    if projection:
        along = np.linspace(0, 4, 4 * 64 + 1)
        xs, ys = projection.backward(*(np.interp(along, range(5), axis) for axis in (xs, ys)))
    axis.plot(xs / divisor, ys / divisor, color=color, label=label, linewidth=1.8)


def _curves(axis: Axes, fine: Grid, coarse: Grid, divisor: float, projection: Projection) -> None:
    """Zoom to the cell of another projection that holds the lower right corner, and to those around it."""
    t, (_, bottom, right, _) = coarse.transform, fine.bounds
    # PROJ's package takes a lone point for a number, and NumPy warns of that.
    x, y = projection.forward(np.array([right, right]), np.array([bottom, bottom]))
    column, row = math.floor((x[0] - t.c) / t.a), math.floor((y[0] - t.f) / t.e)
    along, points = np.linspace(-1, 2, 25), []
    for k in range(-1, 3):
        for columns, rows in ((column + along, row + np.full(25, k)), (column + np.full(25, k), row + along)):
            xs, ys = projection.backward(t.c + columns * t.a, t.f + rows * t.e)
            axis.plot(xs / divisor, ys / divisor, color="#d55e00")
            points.append((xs, ys))
    (west, south), (east, north) = (np.array(points).min((0, 2)), np.array(points).max((0, 2)))
    axis.set(xlim=(west / divisor, east / divisor), ylim=(south / divisor, north / divisor))
    _pixel_lines(axis, fine, (west, north), divisor, (north - south) / 3)
    axis.ticklabel_format(useOffset=False)
    axis.locator_params(nbins=5)


def _pixel_lines(axis: Axes, fine: Grid, upper_left: tuple[float, float], divisor: float, cell: float) -> None:
    """Lines between the pixels from a place to the lower right corner."""
    (left, top), (high, broad) = upper_left, fine.resolution
    if cell / min(high, broad) > 40:  # finer pixels than that would be a smear
        return
    xs = np.arange(fine.bounds[2], left - broad / 2, -broad) / divisor
    ys = np.arange(fine.bounds[1], top + high / 2, high) / divisor
    axis.vlines(xs, ys[0], top / divisor, color="#0072b2", linewidth=0.4, alpha=0.6)
    axis.hlines(ys, left / divisor, xs[0], color="#0072b2", linewidth=0.4, alpha=0.6)


def _lines(axis: Axes, fine: Grid, coarse: Grid, divisor: float) -> None:
    """Zoom to the last three cells, with the lines of both grids."""
    _, bottom, right, _ = coarse.bounds
    tall, wide = coarse.resolution
    rows, columns = min(3, coarse.height), min(3, coarse.width)
    left, top = right - columns * wide, bottom + rows * tall
    axis.set_xlim((left - wide / 8) / divisor, (right + wide / 4) / divisor)
    axis.set_ylim((bottom - tall / 4) / divisor, (top + tall / 8) / divisor)
    _pixel_lines(axis, fine, (left, top), divisor, max(tall, wide))
    axis.vlines((right - np.arange(columns + 1) * wide) / divisor, bottom / divisor, top / divisor, color="#d55e00")
    axis.hlines((bottom + np.arange(rows + 1) * tall) / divisor, left / divisor, right / divisor, color="#d55e00")
    axis.ticklabel_format(useOffset=False)
    axis.locator_params(nbins=5)
