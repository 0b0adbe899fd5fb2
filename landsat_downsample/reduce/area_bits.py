"""Bit fields on cells of another projection: flag by flag, from the area that each code has in a cell."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from landsat_downsample.model.flags import empty_code, fill_mask, fraction_names
from landsat_downsample.reduce import native
from landsat_downsample.reduce.area_values import whole_cells
from landsat_downsample.reduce.areas import Areas, Pairs
from landsat_downsample.reduce.bits import (
    HISTOGRAM_SIZE,
    NO_PERCENT,
    Histogram,
    QualityRule,
    Summary,
    decide,
    meaning_of,
    percent_of_uniform,
    percentages,
    whole_codes,
)
from landsat_downsample.reduce.kernels import Strip
from landsat_downsample.reduce.native import Answers
from landsat_downsample.reduce.values import ReadRows, least_area, read_strip


def reduce_quality_areas(rule: QualityRule, areas: Areas, read: ReadRows) -> Summary:
    """Reduce a quality band, strip by strip."""
    spec, shape = rule.spec, areas.shape
    names = fraction_names(spec) if rule.fractions else ()
    fill = np.uint16(empty_code(spec))
    percent = np.zeros((len(names), *shape), np.uint8)
    for k, name in enumerate(names):
        percent[k] = 0 if name == "valid" else NO_PERCENT
    answers = Answers(np.full(shape, fill), percent, np.zeros(1 << 16, np.int64))
    centres = np.full(shape, fill) if rule.policy == "nearest" else None
    meaning = meaning_of(spec, rule.policy) if native.answers_pairs(areas.largest) else None

    def pairs_of(strip: Strip) -> tuple[Pairs, np.ndarray]:
        pixels = whole_codes(*read_strip(read, strip, fill.dtype), spec)
        if centres is not None:
            cells, at = areas.centres_in(strip)
            found = pixels.ravel()[at]
            centres.flat[cells] = np.where(found & fill_mask(spec), fill, found)
        return areas.code_pairs(pixels, strip, answers.counts)

    for pairs in whole_cells(areas, pairs_of):
        if meaning is None:
            _judge(rule, areas, pairs, answers, centres)
        elif len(pairs.cell):
            given = pairs.cell, pairs.value, pairs.weight
            least = _least(rule, areas, pairs) if rule.min_valid else None
            native.judge_pairs(given, meaning, answers, areas.outside, least=least, centres=centres)
    return Summary.of(rule, answers.codes, percent, answers.counts)


def _least(rule: QualityRule, areas: Areas, pairs: Pairs) -> np.ndarray:
    """The weight of valid pixels that each cell needs, of those that some pairs are of: int64 (cells, cells)."""
    least, cells = np.zeros(areas.shape, np.int64), pairs.cell[pairs.starts]
    extent = np.add.reduceat(pairs.weight, pairs.starts) + areas.outside.flat[cells]
    least.flat[cells] = least_area(extent, rule.min_valid)
    return least


def _judge(rule: QualityRule, areas: Areas, pairs: Pairs, answers: Answers, centres: np.ndarray | None) -> None:
    """As `native.judge_pairs`, without the extension and for the largest cells."""
    spec, fill, percent = rule.spec, np.uint16(empty_code(rule.spec)), answers.percent.reshape(-1, answers.codes.size)
    alone, mixed = _apart(pairs, areas)
    answers.codes.flat[alone.cell] = np.where(alone.value & fill_mask(spec), fill, alone.value)
    if rule.fractions:
        percent[:, alone.cell] = percent_of_uniform(spec, alone.value)
    for cells, histogram in _histograms(mixed):
        valid = histogram.counts @ ((histogram.codes & fill_mask(spec)) == 0)
        extent = histogram.counts.sum(1).astype(np.int64) + areas.outside.flat[cells]
        decided = decide(rule, histogram, valid) if centres is None else centres.flat[cells]
        answers.codes.flat[cells] = np.where(valid < least_area(extent, rule.min_valid), fill, decided)
        if rule.fractions:
            percent[:, cells] = percentages(spec, histogram, valid, extent)


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
