"""Oracle of cells on any grid: their outlines as polygons in the plane of the source, and exact areas of pixels.

Of ours it uses nothing: pyproj says where a cell's outline runs, shapely what area each pixel has inside it. A cell
is bounded by straight lines of its own CRS, which are curves in the source; `segments` chords a side stand for them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import shapely
from affine import Affine
from pyproj import CRS, Transformer
from shapely.affinity import affine_transform

#: Plane of MODIS and VIIRS: a sphere, to which latitudes go unchanged.
SINUSOIDAL = "+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m +no_defs"


class Weights(NamedTuple):
    """Share of each pixel's area that lies in a cell, over the window of pixels that the cell touches."""

    row: int
    column: int
    shares: np.ndarray
    """float64, shape (rows, columns)."""


def segments_of(side: float) -> int:
    """Chords a side that keep within 0.001 pixels of the true edge up to 60 degrees; `side` is in metres."""
    return max(4, math.ceil(side / 700))


def cell_polygon(
    lattice_crs: str | CRS,
    left: float,
    bottom: float,
    right: float,
    top: float,
    *,
    source_crs: str | CRS,
    segments: int,
) -> shapely.Polygon:
    """Outline of a cell in the source's plane, each side cut into `segments` chords."""
    to_source = Transformer.from_crs(lattice_crs, source_crs, always_xy=True)
    return _outline(to_source, (left, bottom, right, top), segments)


def _outline(to_source: Transformer, bounds: tuple[float, float, float, float], segments: int) -> shapely.Polygon:
    left, bottom, right, top = bounds
    along = np.arange(segments) / segments
    there, back = left + (right - left) * along, right + (left - right) * along
    up, down = bottom + (top - bottom) * along, top + (bottom - top) * along
    x = np.concatenate((there, np.full(segments, right), back, np.full(segments, left)))
    y = np.concatenate((np.full(segments, bottom), up, np.full(segments, top), down))
    polygon = shapely.Polygon(np.column_stack(to_source.transform(x, y, errcheck=True)))
    assert polygon.is_valid, f"cell {bounds} folds over in {to_source.target_crs}"
    return polygon


def weights(polygon: shapely.Polygon, source_transform: Affine, shape: tuple[int, int]) -> Weights:
    """Area shares, exact to 1e-9, of the pixels of a source of this transform and shape inside `polygon`."""
    a, b, c, d, e, f = (~source_transform)[:6]
    outline = affine_transform(polygon, (a, b, d, e, c, f))  # into columns and rows of pixels
    x0, y0, x1, y1 = outline.bounds
    column, row = max(0, math.floor(x0)), max(0, math.floor(y0))
    columns, rows = min(shape[1], math.ceil(x1)) - column, min(shape[0], math.ceil(y1)) - row
    if columns <= 0 or rows <= 0:
        return Weights(row, column, np.zeros((0, 0)))
    outline = shapely.transform(outline, lambda xy: xy - (column, row))
    x, y = np.meshgrid(np.arange(columns), np.arange(rows))
    pixels = shapely.box(x, y, x + 1, y + 1)
    shapely.prepare(outline)
    shares = shapely.covers(outline, pixels).astype(float)
    cut = shapely.intersects(outline, pixels) & (shares == 0)
    shares[cut] = shapely.area(shapely.intersection(outline, pixels[cut]))
    return Weights(row, column, shares)


def weighted_mean(values: np.ndarray, valid: np.ndarray, weights: Weights) -> float:
    """Mean of the valid pixels of the source by their areas in the cell; NaN where it holds none."""
    rows, columns = weights.shares.shape
    window = slice(weights.row, weights.row + rows), slice(weights.column, weights.column + columns)
    areas = np.where(valid[window], weights.shares, 0)
    total = areas.sum()
    return float((areas * values[window]).sum() / total) if total > 0 else math.nan


def valid_area(valid: np.ndarray, weights: Weights) -> float:
    """Area of the valid pixels in the cell, in pixels."""
    rows, columns = weights.shares.shape
    window = slice(weights.row, weights.row + rows), slice(weights.column, weights.column + columns)
    return float(weights.shares[valid[window]].sum())


def cells(
    lattice_crs: str | CRS,
    bounds: Iterable[tuple[float, float, float, float]],
    source_crs: str | CRS,
    source_transform: Affine,
    shape: tuple[int, int],
    *,
    segments: int,
) -> list[Weights]:
    """Weights of many cells, each (left, bottom, right, top) in its lattice's CRS."""
    to_source = Transformer.from_crs(lattice_crs, source_crs, always_xy=True)
    return [weights(_outline(to_source, box, segments), source_transform, shape) for box in bounds]
