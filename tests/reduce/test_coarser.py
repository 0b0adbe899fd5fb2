"""Larger cells made of cells are those that the pixels give, reduced straight to them."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from oracles import CODES, SENSORS

from landsat_downsample.model.bands import specs
from landsat_downsample.model.cells import Cells, Overlay
from landsat_downsample.model.flags import OUTSIDE, fraction_names
from landsat_downsample.reduce.bits import QualityRule, reduce_quality
from landsat_downsample.reduce.coarser import Coarser
from landsat_downsample.reduce.rule import Rule
from landsat_downsample.reduce.values import reduce_strips, reducer_for

#: Pixels of a side of a cell, parts of a pixel allowed; cells of a side of a larger one.
CASES = [(Fraction(2), 2), (Fraction(3), 4), (Fraction(10, 3), 3), (Fraction(10), 2), (Fraction(5), 8)]
SHAPE, AHEAD = (83, 71), (7, 16)


def overlay(ratio: Fraction, before: tuple[int, int]) -> Overlay:
    """Cells of an image that begins some pixels after the edge of a cell of the lattice."""
    axes = []
    for pixels, ahead in zip(SHAPE, before, strict=True):
        inside = ahead % ratio
        axes.append(Cells.cut(pixels, math.ceil((pixels + inside) / ratio), ratio, inside))
    return Overlay(*axes)


def padded(cells: np.ndarray, ratio: Fraction, n: int, fill: float) -> np.ndarray:
    """Cells as they lie in whole larger ones: what is not there is fill."""
    before = [int(ahead // ratio) % n for ahead in AHEAD]
    around = [(first, -(first + size) % n) for first, size in zip(before, cells.shape, strict=True)]
    return np.pad(cells, around, constant_values=fill)


def reduced(pixels: np.ndarray, method: str, cells: Overlay, nodata: float | None) -> np.ndarray:
    fill = 0 if method == "count" else np.nan if method in ("sum", "std") else nodata or 0
    rule = Rule(method, pixels.dtype, nodata, fill, fill_is_legal=method == "count" or nodata is None)
    strips = reduce_strips(reducer_for(rule, cells), cells, lambda a, b: (pixels[a:b], None))
    return np.concatenate([part for _, (part,) in strips])


@pytest.fixture(name="pixels", params=[("uint16", 0), ("int16", -9999), ("uint16", None), ("uint8", 7)], ids=str)
def _pixels(request):
    """Numbers, of which many give means that are halves, or the value of no data; and a corner without data."""
    dtype, nodata = request.param
    rng = np.random.default_rng(5)
    pixels = rng.choice([nodata or 3, 1, 2, 6, 8, 200], SHAPE).astype(dtype)
    pixels[: SHAPE[0] // 2] = rng.integers(0, np.iinfo(dtype).max, (SHAPE[0] // 2, SHAPE[1]), dtype)
    if nodata is not None:
        pixels[:30, 40:] = nodata
    return pixels, nodata


@pytest.mark.parametrize(("ratio", "n"), CASES, ids=str)
def test_values(pixels, ratio, n):
    pixels, nodata = pixels
    fine, coarse = overlay(ratio, AHEAD), overlay(ratio * n, AHEAD)
    kept = {
        method: reduced(pixels, method, fine, nodata) for method in ("mean", "sum", "count", "min", "max", "std", "rms")
    }
    fills = {name: np.nan if name in ("sum", "std") else 0 if name == "count" else nodata or 0 for name in kept}
    placed = {name: padded(cells, ratio, n, fills[name]) for name, cells in kept.items()}

    def made(how: str, *of: str) -> np.ndarray:
        name = "mean" if how.startswith("mean") else how
        coarser = Coarser(how, str(kept[name].dtype), fills[name], nodata is None)
        return coarser([placed[one] for one in of], n)

    def straight(method: str) -> np.ndarray:
        return reduced(pixels, method, coarse, nodata)

    np.testing.assert_array_equal(made("mean", "sum", "count"), straight("mean"), strict=True)
    whole = ratio.denominator == 1  # parts of a pixel are ninths, whose sums are rounded in their last bit
    for name in ("sum", "count"):
        compare = np.testing.assert_array_equal if whole else np.testing.assert_allclose
        compare(made(name, name), straight(name))
    for name in ("min", "max") if nodata is not None else ():
        np.testing.assert_array_equal(made(name, name), straight(name), strict=True)
    np.testing.assert_allclose(made("std", "std", "sum", "count"), straight("std"), rtol=2e-6, atol=1e-3)
    for how, of in (("mean by count", ("mean", "count")), ("rms", ("rms", "count"))):
        far = np.abs(made(how, *of).astype("int64") - straight(of[0]))
        assert far.max() <= 1 + (nodata is not None)  # and one more, off the value of no data
        assert (far <= 1).mean() > 0.9


def quality(codes: np.ndarray, spec, ratio: Fraction) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    rule = QualityRule(spec, "conservative", fractions=bool(spec.field("fill")))
    found = reduce_quality(rule, overlay(ratio, AHEAD), lambda a, b: (codes[a:b], None))
    return found.codes, {} if found.percent is None else dict(zip(fraction_names(spec), found.percent, strict=True))


def codes_of(sensor: str, pool: list[int]) -> np.ndarray:
    """Patches with noise in them, so that cells of one code, of few and of many are there; and a corner of fill."""
    rng = np.random.default_rng(len(sensor))
    codes = np.kron(np.array(pool, "u2")[rng.integers(0, len(pool), (11, 11))], np.ones((8, 8), "u2"))
    codes = codes[: SHAPE[0], : SHAPE[1]].copy()
    noise = rng.random(SHAPE) < 0.2
    codes[noise] = np.array(pool, "u2")[rng.integers(0, len(pool), noise.sum())]
    codes[:14, :29] = 1
    return codes


@pytest.mark.parametrize("sensor", SENSORS)
@pytest.mark.parametrize(("ratio", "n"), CASES, ids=str)
def test_flags_and_shares(sensor, ratio, n):
    """All flags, water by majority too, and all percentages: of cells of up to 100 pixels, or parts of them."""
    spec = specs(sensor, 1)["QA_PIXEL"]
    codes = codes_of(sensor, CODES[sensor])
    (fine, percent), (coarse, expected) = quality(codes, spec, ratio), quality(codes, spec, ratio * n)
    placed = {name: padded(cells, ratio, n, 255) for name, cells in percent.items()}
    pixels = ratio.numerator**2
    by_majority = [placed["water"], placed["valid"]] if spec.field("water") else []
    found = Coarser("codes", "uint16", 1, spec=spec, pixels=pixels)([padded(fine, ratio, n, 1), *by_majority], n)
    np.testing.assert_array_equal(found, coarse, strict=True)
    assert len(np.unique(coarse)) > 2 or n * ratio > 6  # then all cells have all flags
    for name in percent:
        made = Coarser("valid" if name == "valid" else "share", "uint8", 255, pixels=pixels)
        found = made([placed[name]] if name == "valid" else [placed[name], placed["valid"]], n)
        np.testing.assert_array_equal(found, expected[name], strict=True)


def test_a_code_that_contradicts_itself_stays_where_it_is_alone():
    """USGS's *clear* of Landsat 4-7 is wrong in 5504 and 5442: a cell of one code gives it back, at any level."""
    spec = specs("tm", 1)["QA_PIXEL"]
    codes = np.full(SHAPE, 5504, "u2")
    codes[:, 40:] = 5442
    for ratio, n in CASES:
        (fine, percent), (coarse, _) = quality(codes, spec, ratio), quality(codes, spec, ratio * n)
        placed = [padded(percent[name], ratio, n, 255) for name in ("water", "valid")]
        made = Coarser("codes", "uint16", 1, spec=spec, pixels=ratio.numerator**2)
        np.testing.assert_array_equal(made([padded(fine, ratio, n, 1), *placed], n), coarse)


@pytest.mark.parametrize(("ratio", "n"), CASES, ids=str)
def test_flags_without_a_value_of_no_data(ratio, n):
    spec = specs("oli_tirs", 2)["QA_RADSAT"]
    rng = np.random.default_rng(2)
    codes = np.where(rng.random(SHAPE) < 0.02, rng.choice([1, 2, 4, 256, 2048], SHAPE), 0).astype("u2")
    (fine, _), (coarse, _) = quality(codes, spec, ratio), quality(codes, spec, ratio * n)
    found = Coarser("codes", "uint16", OUTSIDE, spec=spec)([padded(fine, ratio, n, OUTSIDE)], n)
    np.testing.assert_array_equal(found, coarse)
    nothing = np.full((n, n), OUTSIDE, "u2")
    assert Coarser("codes", "uint16", OUTSIDE, spec=spec)([nothing], n).tolist() == [[OUTSIDE]]


def test_percentages_of_many_pixels():
    """Of 400 pixels a cell: what a share means of the whole cell is within 2 percent of it."""
    spec, ratio, n = specs("oli_tirs", 1)["QA_PIXEL"], Fraction(20), 2
    codes = codes_of("oli_tirs", CODES["oli_tirs"])
    (_, percent), (_, expected) = quality(codes, spec, ratio), quality(codes, spec, ratio * n)
    placed = {name: padded(cells, ratio, n, 255) for name, cells in percent.items()}
    valid = Coarser("valid", "uint8", 255)([placed["valid"]], n).astype(int)
    assert np.abs(valid - expected["valid"]).max() <= 1
    for name in percent.keys() - {"valid"}:
        found = Coarser("share", "uint8", 255)([placed[name], placed["valid"]], n).astype(int)
        np.testing.assert_array_equal(found == 255, expected[name] == 255)
        assert (np.abs(found - expected[name]) * expected["valid"] / 100).max() <= 2
