"""Several statistics from one read: each against NumPy's own arithmetic on whole weights, for every kind of cell."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from oracles import shares

from landsat_downsample.model.bands import unknown
from landsat_downsample.model.cells import Cells, Overlay
from landsat_downsample.model.methods import STATS, output_dtype
from landsat_downsample.reduce import native
from landsat_downsample.reduce.rule import declared_nodata, rule_of
from landsat_downsample.reduce.several import reducer_of
from landsat_downsample.reduce.values import reduce_strips

SHAPE = 131, 117


def overlay_of(factor, offset=0, shape=SHAPE) -> Overlay:
    ratio, offset = Fraction(str(factor)), Fraction(str(offset))
    return Overlay(*(Cells.cut(n, math.ceil((n + offset) / ratio), ratio, offset) for n in shape))


def image(dtype, nodata, shape=SHAPE) -> np.ndarray:
    """Noise over all of a type, some of it at its ends, with holes, one of them wider than a cell."""
    random = np.random.default_rng(5)
    limits = np.iinfo(dtype)
    values = random.integers(limits.min, limits.max, shape, endpoint=True, dtype=dtype)
    values[random.random(shape) < 0.1] = limits.max
    values[70:, 60:] = limits.min if nodata != limits.min else limits.min + 1
    if nodata is not None:
        values[random.random(shape) < 0.3] = nodata
        values[:35, :33] = nodata
    return values


def weights(axis: Cells, pixels: int) -> np.ndarray:
    """What each pixel weighs in each cell, in units of the axis: (cells, pixels)."""
    table = np.zeros((axis.size, pixels), np.int64)
    for i in range(axis.size):
        for pixel, share in shares(axis, i):
            table[i, pixel] = share * axis.unit
    return table


def oracle(values, good, overlay, rule, least=Fraction(0)) -> dict[str, np.ndarray]:
    """Every statistic of every cell but the median, from integer matrices and loops over cells."""
    down, across = weights(overlay.rows, values.shape[0]), weights(overlay.columns, values.shape[1])
    area = overlay.rows.unit * overlay.columns.unit
    whole = np.where(good, values, 0).astype(np.int64)
    count, total, squares = (down @ part @ across.T for part in (good.astype(np.int64), whole, whole**2))
    extent = np.multiply.outer(overlay.rows.whole, overlay.columns.whole)
    made = {stat: np.empty(count.shape, output_dtype(stat, values.dtype)) for stat in STATS if stat != "median"}
    for cell in np.ndindex(count.shape):
        n, s, q = (int(part[cell]) for part in (count, total, squares))
        made["count"][cell] = n / area
        if not n or n < least * int(extent[cell]):
            for stat in ("mean", "rms", "min", "max"):
                made[stat][cell] = rule.fill
            made["sum"][cell] = made["std"][cell] = np.nan
            continue
        touched = values[np.ix_(down[cell[0]] > 0, across[cell[1]] > 0)]
        held = touched[good[np.ix_(down[cell[0]] > 0, across[cell[1]] > 0)]]
        exact = {"mean": Fraction(s, n), "min": held.min(), "max": held.max()}
        for stat, value in exact.items():
            stored = round(value)
            if stored == rule.fill and not rule.fill_is_legal:
                up = value >= rule.fill if rule.fill != np.iinfo(values.dtype).max else False
                stored += 1 if up or rule.fill == np.iinfo(values.dtype).min else -1
            made[stat][cell] = stored
        made["sum"][cell] = s / area
        made["std"][cell] = np.sqrt(np.float64(n * q - s * s) / np.square(np.float64(n)))
        rms = min(np.rint(np.sqrt(np.float64(q) / n)), np.iinfo(values.dtype).max)
        made["rms"][cell] = rms + (rms == rule.fill and not rule.fill_is_legal)
    return made


def rules_of(dtype, nodata, stats, share=Fraction(0), role=""):
    given = [rule_of(unknown("x"), dtype, nodata, method=s, min_valid=share, mask_role=role) for s in stats]
    return {rule.method: rule for rule in given}


def run(rules, overlay, values, ok=None) -> dict[str, np.ndarray]:
    def read(start, stop):
        return values[start:stop], None if ok is None else ok[start:stop]

    parts = [arrays for _, arrays in reduce_strips(reducer_of(list(rules.values()), overlay), overlay, read)]
    return {stat: np.concatenate(made) for stat, *made in zip(rules, *parts, strict=True)}


STORED = [("uint8", 255), ("uint8", None), ("uint16", 0), ("uint16", None), ("int16", -9999), ("int16", -32768)]


@pytest.fixture(params=["with C", "without"])
def _kernel(request, monkeypatch):
    if request.param == "without":
        monkeypatch.setattr(native, "_native", None)


@pytest.mark.usefixtures("_kernel")
@pytest.mark.parametrize("masked", [False, True], ids=["", "masked"])
@pytest.mark.parametrize("cells", [(3, 0), (10, 7), (16, 0.5), (2.5, 0), ("20/3", 0), (200, 0)], ids=str)
@pytest.mark.parametrize(("dtype", "nodata"), STORED)
def test_each_statistic_is_that_of_whole_numbers(dtype, nodata, cells, masked):
    values, overlay, share = image(dtype, nodata), overlay_of(*cells), Fraction(1, 3) if masked else Fraction(0)
    ok = np.random.default_rng(8).random(SHAPE) < 0.6 if masked else None
    good = np.ones(SHAPE, bool) if nodata is None else values != nodata
    rules = rules_of(dtype, nodata, STATS, share, "mask" if masked else "")
    expected = oracle(values, good if ok is None else good & ok, overlay, rules["mean"], share)
    found = run(rules, overlay, values, ok)
    for stat, array in expected.items():
        assert found[stat].dtype == array.dtype
        np.testing.assert_array_equal(found[stat], array, err_msg=stat)
    np.testing.assert_array_equal(found["median"], run({"median": rules["median"]}, overlay, values, ok)["median"])


@pytest.mark.parametrize("stats", [["std"], ["count", "mean"], ["min", "sum"], ["median", "std"]], ids=",".join)
def test_which_ones_are_asked_for_changes_none(stats):
    values, overlay = image("int16", -9999), overlay_of(13)
    every = run(rules_of("int16", -9999, STATS), overlay, values)
    for stat, array in run(rules_of("int16", -9999, stats), overlay, values).items():
        np.testing.assert_array_equal(array, every[stat])


@pytest.mark.parametrize(("dtype", "nodata"), [("float32", np.nan), ("int32", -1), ("float64", None)])
def test_other_types_give_what_each_statistic_alone_gives(dtype, nodata):
    values = np.random.default_rng(3).normal(0, 1e4, SHAPE).astype(dtype)
    values[:40, :50] = values[60, 60] if nodata is None else nodata
    rules, overlay = rules_of(dtype, nodata, STATS), overlay_of(7.5)
    for stat, array in run(rules, overlay, values).items():
        np.testing.assert_array_equal(array, run({stat: rules[stat]}, overlay, values)[stat])


def test_a_count_has_no_fill_and_does_not_ask_whether_there_are_enough():
    values = np.zeros((20, 20), np.uint16)
    values[3, 4] = 9
    rules = rules_of("uint16", 0, ["mean", "count"], Fraction(1, 2))
    found = run(rules, overlay_of(10, shape=(20, 20)), values)
    assert found["count"].tolist() == [[1, 0], [0, 0]] and not found["mean"].any()
    assert declared_nodata(rules["count"]) is None


def test_products_are_averaged_further_without_loss():
    values, fine, coarse = (
        image("uint16", 0, (120, 120)),
        overlay_of(4, shape=(120, 120)),
        overlay_of(20, shape=(120, 120)),
    )
    rules = rules_of("uint16", 0, ["sum", "count"])
    made = run(rules, fine, values)
    again = {stat: np.nansum(array.reshape(6, 5, 6, 5), axis=(1, 3)) for stat, array in made.items()}
    for stat, array in run(rules, coarse, values).items():
        np.testing.assert_array_equal(again[stat], np.nan_to_num(array))
