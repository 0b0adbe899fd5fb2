"""Bit fields on cells of another projection: flag by flag, from the area that each code has in a cell."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from landsat_downsample.model.flags import empty_code, fill_mask, fraction_names
from landsat_downsample.reduce.area_values import whole_cells
from landsat_downsample.reduce.areas import Areas, Pairs
from landsat_downsample.reduce.bits import (
    HISTOGRAM_SIZE,
    NO_PERCENT,
    Histogram,
    QualityRule,
    Summary,
    decide,
    percent_of_uniform,
    percentages,
    whole_codes,
)
from landsat_downsample.reduce.kernels import Strip
from landsat_downsample.reduce.values import ReadRows, least_area, read_strip


def reduce_quality_areas(rule: QualityRule, areas: Areas, read: ReadRows) -> Summary:
    """Reduce a quality band, strip by strip."""
    spec, shape = rule.spec, areas.shape
    names = fraction_names(spec) if rule.fractions else ()
    none = np.uint16(empty_code(spec))
    codes = np.full(shape, none, np.uint16)
    percent = np.zeros((len(names), *shape), np.uint8)
    for k, name in enumerate(names):
        percent[k] = 0 if name == "valid" else NO_PERCENT
    counts = np.zeros(1 << 16, np.int64)
    centre = codes.copy()

    def pairs_of(strip: Strip) -> tuple[Pairs, np.ndarray]:
        pixels = whole_codes(*read_strip(read, strip, counts.dtype), spec)
        if rule.policy == "nearest":
            cells, at = areas.centres_in(strip)
            centre.flat[cells] = pixels.ravel()[at]
        return areas.code_pairs(pixels, strip, counts)

    for pairs in whole_cells(areas, pairs_of):
        alone, mixed = _apart(pairs, areas)
        fill = alone.value & fill_mask(spec) != 0
        codes.flat[alone.cell] = np.where(fill, none, alone.value)
        if names:
            percent.reshape(len(names), -1)[:, alone.cell] = percent_of_uniform(spec, alone.value)
        for cells, histogram in _histograms(mixed):
            valid = histogram.counts @ ((histogram.codes & fill_mask(spec)) == 0)
            extent = histogram.counts.sum(1).astype(np.int64) + areas.outside.flat[cells]
            decided = centre.flat[cells] if rule.policy == "nearest" else decide(rule, histogram, valid)
            codes.flat[cells] = np.where(valid < least_area(extent, rule.min_valid), none, decided)
            if names:
                percent.reshape(len(names), -1)[:, cells] = percentages(spec, histogram, valid, extent)
    return Summary.of(rule, codes, percent, counts)


def _apart(pairs: Pairs, areas: Areas) -> tuple[Pairs, Pairs]:
    """Cells inside of the image that hold one code, and the others."""
    counts = np.diff(pairs.starts, append=len(pairs.cell))
    alone = np.repeat(counts == 1, counts) & (areas.outside.flat[pairs.cell] == 0)
    return pairs.where(alone), pairs.where(~alone)


def _histograms(pairs: Pairs) -> Iterator[tuple[np.ndarray, Histogram]]:
    """Cells in bounded portions, and how much each has of every code among them."""
    present, rank = np.unique(pairs.value, return_inverse=True)
    starts = pairs.starts
    portion = max(1, HISTOGRAM_SIZE // max(len(present), 1))
    for first in range(0, len(starts), portion):
        begin = starts[first]
        end = starts[first + portion] if first + portion < len(starts) else len(pairs.cell)
        cells, row = np.unique(pairs.cell[begin:end], return_inverse=True)
        counts = np.zeros((len(cells), len(present)))
        counts[row, rank[begin:end]] = pairs.weight[begin:end]
        yield cells, Histogram(present.astype(np.uint16), counts)
