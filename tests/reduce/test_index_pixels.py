"""Indices of pixels in C and in NumPy, against exact fractions; sums of whole numbers of 32 bits."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from landsat_downsample.model.cells import Cells, Overlay
from landsat_downsample.model.indices import INDICES
from landsat_downsample.reduce import native
from landsat_downsample.reduce.index_pixels import BITS, NONE, IndexPixels
from landsat_downsample.reduce.kernels import Strip

pytestmark = pytest.mark.skipif(not native.available(), reason="installed without a C compiler")

#: Of Landsat, of HLS, of Sentinel-2 since 2022, and of 8 bits.
KINDS = {
    "uint16": ((2.75e-5, -0.2), 0),
    "int16": ((0.0001, 0.0), -9999),
    "offset": ((0.0001, -0.1), 0),
    "uint8": ((0.004, 0.0), None),
}


def pixels_of(kind: str, index: str, seed: int) -> tuple[IndexPixels, list[np.ndarray]]:
    scaling, nodata = KINDS[kind]
    dtype = np.dtype({"offset": "uint16"}.get(kind, kind))
    limits, rng, bands = np.iinfo(dtype), np.random.default_rng(seed), INDICES[index].bands
    values = [rng.integers(limits.min, limits.max, (37, 53), dtype, endpoint=True) for _ in bands]
    for band in values:
        band[rng.random(band.shape) < 0.2] = nodata or 0
    values[0][:5] = rng.integers(-40, 40, (5, 53)).astype(dtype) + dtype.type(0 if kind != "offset" else 1000)
    values[1][:5] = values[0][:5] if kind == "int16" else 2000 - values[0][:5].astype(int) if kind == "offset" else 1
    if kind == "int16":
        values[1][:5] *= -1
    return IndexPixels(INDICES[index], (scaling,) * len(bands), (nodata,) * len(bands)), values


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("index", ["ndvi", "savi", "evi"])
@pytest.mark.parametrize("kind", KINDS)
def test_c_and_numpy_give_what_fractions_give(kind, index, masked, monkeypatch):
    pixels, values = pixels_of(kind, index, seed=3)
    ok = np.random.default_rng(4).random(values[0].shape) < 0.7 if masked else None
    made = pixels.whole(values, ok)
    monkeypatch.setattr(native, "_native", None)
    np.testing.assert_array_equal(pixels.whole(values, ok), made)
    (scale, offset), nodata = KINDS[kind]
    for at in [*np.ndindex(5, 53), *((row, row) for row in range(5, 37))]:
        numbers = [int(band[at]) for band in values]
        above, below = pixels.index.exact(Fraction(repr(scale)) * n + Fraction(repr(offset)) for n in numbers)
        if nodata in numbers or (masked and not ok[at]) or below == 0:
            assert made[at] == NONE
        else:
            exact = min(max(above / below, Fraction(-1)), Fraction(1))
            assert abs(int(made[at]) - exact * (1 << BITS)) <= Fraction(1, 2) + Fraction(1, 1 << 20)


def test_bands_of_two_types_take_the_path_of_numpy():
    pixels, values = pixels_of("uint16", "ndvi", seed=5)
    np.testing.assert_array_equal(pixels.whole([values[0], values[1].astype("i4")], None), pixels.whole(values, None))
    strided = [np.repeat(band, 2, axis=1)[:, ::2] for band in values]
    np.testing.assert_array_equal(pixels.whole(strided, None), pixels.whole(values, None))


@pytest.mark.parametrize("nodata", [None, -7.0, 0.5, float(NONE)])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("ratio", [Fraction(5), Fraction(7, 3), Fraction(2, 5)])
def test_whole_numbers_are_added_up_exactly(ratio, masked, nodata):
    rng = np.random.default_rng(6)
    values = rng.integers(-(1 << 31), 1 << 31, (23, 31), np.int32)
    values[rng.random(values.shape) < 0.2] = -7
    values[rng.random(values.shape) < 0.2] = NONE
    ok = rng.random(values.shape) < 0.6 if masked else None
    rows, columns = (Cells.cut(n, -(-n // ratio), ratio, Fraction(1, 4)) for n in values.shape)
    overlay = Overlay(rows, columns)
    count, total = native.cell_sums(values, ok, nodata, overlay, Strip(0, rows.size, 0, 23))
    good = np.ones(values.shape, bool) if ok is None else ok
    if nodata is not None:
        good = good & (values != nodata)
    shares = [
        [{p: int(w) for p, w in zip(range(a, b), _weights(axis, k), strict=True)}
         for k, (a, b) in enumerate(zip(axis.start, axis.stop, strict=True))]
        for axis in (rows, columns)
    ]  # fmt: skip
    for i, down in enumerate(shares[0]):
        for j, across in enumerate(shares[1]):
            parts = [(int(values[r, c]), h * w) for r, h in down.items() for c, w in across.items() if good[r, c]]
            assert (count[i, j], total[i, j]) == (sum(w for _, w in parts), sum(v * w for v, w in parts))


def _weights(axis: Cells, k: int) -> list[int]:
    wide = int(axis.stop[k] - axis.start[k])
    return [*([axis.head[k]] if wide else []), *[axis.unit] * (wide - 2), *([axis.tail[k]] if wide > 1 else [])]
