"""What is read of an index: pixels of several bands at one time, as whole numbers of it."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from landsat_downsample.model.target import Target
from landsat_downsample.pipeline.pixels import MaskBand, Rows
from landsat_downsample.reduce.index_pixels import IndexPixels, index_rules
from landsat_downsample.reduce.rule import Rule
from landsat_downsample.reduce.values import ReadRows


def index_reads(
    target: Target, bands: Sequence[Rows], mask_band: MaskBand | None, threads: int
) -> tuple[list[Rule], list[ReadRows]]:
    """How the pixels of an index are reduced, and what reads them: one for each of some threads, where bands can."""
    pixels = IndexPixels.of(target.index, target.inputs)
    dtype = np.result_type(*(band.dtype for band in target.inputs))
    share = Fraction(str(target.min_valid))
    rules = index_rules(pixels, target.index_order, target.methods, dtype, share)
    parts = zip(*(rows.readers(1 if mask_band else threads) for rows in bands), strict=False)
    return rules, [_reader(pixels, rules[0], part, mask_band) for part in parts]


def _reader(pixels: IndexPixels, rule: Rule, bands: Sequence[Rows], mask_band: MaskBand | None) -> ReadRows:
    def read(start: int, stop: int) -> tuple[np.ndarray, np.ndarray | None]:
        values = [rows.read(start, stop) for rows in bands]
        return pixels.given(values, mask_band.ok(start, stop) if mask_band else None, rule)

    return read
