"""The C kernels give what NumPy gives, bit for bit."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from command import write_tif
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from landsat_downsample.model.bands import specs
from landsat_downsample.model.cells import Cells, Overlay
from landsat_downsample.model.methods import POLICIES
from landsat_downsample.pipeline import tiles as tiles_module
from landsat_downsample.reduce import bits, native
from landsat_downsample.reduce.bits import QualityRule
from landsat_downsample.reduce.kernels import Strip, groups
from landsat_downsample.reduce.rule import Rule
from landsat_downsample.reduce.several import NEEDS, reducer_of
from landsat_downsample.reduce.values import reduce_strips

fused = pytest.importorskip("landsat_downsample.reduce._native", reason="installed without a C compiler")


def test_the_kernel_is_the_one_that_python_is_made_for():
    assert fused.INTERFACE == native.INTERFACE


@pytest.mark.parametrize(
    ("verb", "stale"),
    [("run", "del kernel.INTERFACE"), ("run", "kernel.INTERFACE += 1"), ("doctor", "kernel.INTERFACE -= 1")],
)
def test_a_kernel_of_another_version_is_refused_in_one_line(tmp_path, verb, stale):
    words = {
        "doctor": [],
        "run": [str(write_tif(tmp_path / "red.tif")), "--to", str(tmp_path / "out"), "--factor", "9"],
    }
    code = (
        f"import landsat_downsample.reduce._native as kernel; {stale}; from landsat_downsample.cli.main import main; "
    )
    code += f"raise SystemExit(main({[verb, *words[verb]]}))"
    said = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert said.returncode != 0
    [line] = [line for line in (said.stdout + said.stderr).splitlines() if "kernel" in line]
    assert "of another version than the Python code" in line and "pip install -e ." in line
    assert "bug" not in said.stderr and "Traceback" not in said.stderr


ratios = st.integers(1, 64).map(Fraction) | st.fractions(1, 64, max_denominator=100)
sides = st.integers(1, 150)
offsets = st.sampled_from([Fraction(0), Fraction(1, 2), Fraction(-3, 4)])


@st.composite
def overlays(draw):
    axes = []
    for _ in range(2):
        pixels, ratio, offset = draw(sides), draw(ratios), draw(offsets)
        cells = -(-pixels // ratio) + draw(st.sampled_from([0, 0, 1, 2]))  # a band may be narrower than its scene
        axes.append(Cells.cut(pixels, cells, ratio, offset))
    assume(all(axis.extent.any() for axis in axes))
    rows, columns = axes
    return Overlay(rows, columns.shifted(0, columns.pixels) if draw(st.booleans()) else columns)


@st.composite
def images(draw, overlay, dtype):
    shape = overlay.rows.pixels, overlay.columns.pixels
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    limits = np.iinfo(dtype)
    low, high = draw(st.sampled_from([(limits.min, limits.max), (0, 1), (0, 40), (limits.max - 1, limits.max)]))
    return rng.integers(low, high, shape, dtype, endpoint=True)


def without_extension(call):
    """What a call gives on the plain path."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "_native", None)
        return call()


def reduced(reducer, overlay, values, ok=None):
    read = lambda a, b: (values[a:b], None if ok is None else ok[a:b])  # noqa: E731
    strips = [arrays for _, arrays in reduce_strips(reducer, overlay, read)]
    return [np.concatenate(parts, axis=-2) for parts in zip(*strips, strict=True)]


@settings(max_examples=150)
@given(data=st.data())
def test_values_equal_the_plain_path(data):
    dtype = np.dtype(data.draw(st.sampled_from(["uint8", "uint16", "int16"])))
    overlay = data.draw(overlays())
    values = data.draw(images(overlay, dtype))
    ok = data.draw(st.none() | st.just(values % 3 > 0))
    nodata = data.draw(st.sampled_from([None, 0, 1, int(np.iinfo(dtype).max), -9999, 0.5]))
    fill = data.draw(st.sampled_from([0, 1, int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)]))
    share = data.draw(st.sampled_from([Fraction(0), Fraction(1, 3), Fraction(1)]))
    methods, legal = data.draw(st.lists(st.sampled_from(sorted(NEEDS)), min_size=1)), data.draw(st.booleans())
    rules = [Rule(method, dtype, nodata, fill, fill_is_legal=legal, min_valid=share) for method in methods]
    run = lambda: reduced(reducer_of(rules, overlay), overlay, values, ok)  # noqa: E731
    for one, other in zip(run(), without_extension(run), strict=True):
        np.testing.assert_array_equal(one, other, strict=True)


@settings(max_examples=100)
@given(data=st.data())
def test_quality_equals_the_plain_path(data):
    overlay = data.draw(overlays())
    shape = overlay.rows.pixels, overlay.columns.pixels
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 32)))
    codes = rng.choice(np.array([1, 21824, 21952, 22280, 55052, 30048], np.uint16), shape)
    codes[: shape[0] // 2] = np.sort(codes[: shape[0] // 2], axis=1)
    ok = data.draw(st.none() | st.just(rng.random(shape) > 0.2))
    policy = data.draw(st.sampled_from(POLICIES))
    rule = QualityRule(specs("oli_tirs", 2)["QA_PIXEL"], policy, Fraction(1, 4), fractions=True)

    def run():
        found = bits.reduce_quality(rule, overlay, lambda a, b: (codes[a:b], None if ok is None else ok[a:b]))
        return found.codes, found.percent, found.code_counts

    for one, other in zip(run(), without_extension(run), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("axis", [0, 1])
def test_a_quality_cell_without_pixels_is_fill(policy, axis):
    beyond, whole = Cells.cut(23, 6, Fraction(163, 36), Fraction(-3, 4)), Cells.cut(4, 2, Fraction(2))
    assert beyond.extent[-1] == 0
    overlay = Overlay(beyond, whole) if axis == 0 else Overlay(whole, beyond)
    rule = QualityRule(specs("oli_tirs", 2)["QA_PIXEL"], policy, Fraction(0), fractions=True)
    codes = np.full((overlay.rows.pixels, overlay.columns.pixels), 21824, np.uint16)
    found = lambda: bits.reduce_quality(rule, overlay, lambda a, b: (codes[a:b], None))  # noqa: E731
    for made in (found(), without_extension(found)):
        expected = np.full(made.codes.shape, 21824)
        expected.swapaxes(0, axis)[-1] = 1
        np.testing.assert_array_equal(made.codes, expected)


@pytest.mark.parametrize("cells", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("method", ["median", "min", "mean"])
def test_cells_that_end_before_the_image_or_begin_beyond_it(cells, method):
    values = np.random.default_rng(cells).integers(1, 999, (8, 16)).astype("u2")
    overlay = Overlay(Cells.cut(8, cells, Fraction(5)), Cells.cut(16, cells, Fraction(5)))
    (made,) = reduced(reducer_of([Rule(method, values.dtype, None, 0)], overlay), overlay, values)
    for i, j in np.ndindex(cells, cells):
        cell = values[5 * i : 5 * i + 5, 5 * j : 5 * j + 5]
        assert abs(made[i, j] - (getattr(np, method)(cell) if cell.size else 0)) <= 0.5, (i, j)


def test_a_cell_of_several_strips_equals_the_plain_path():
    overlay = Overlay(Cells.cut(1300, 2, Fraction(1001, 1)), Cells.cut(30, 4, Fraction(17, 2)))
    values = np.random.default_rng(1).integers(0, 1 << 16, (1300, 30), np.uint16)
    assert len(next(groups(overlay.rows))) > 1
    for methods in (["mean"], ["mean", "std", "min", "max", "count"]):
        rules = [Rule(method, values.dtype, 0, 0) for method in methods]
        run = lambda rules=rules: reduced(reducer_of(rules, overlay), overlay, values)  # noqa: E731
        for one, other in zip(run(), without_extension(run), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("ratio", [2, 3, 5, 6])
def test_cells_that_an_edge_cuts_have_all_of_their_pixels(ratio):
    """Wherever the first pixel of an image lies in its cell: also where two cells are all, the first the shorter."""
    values = np.arange(1, 12, dtype="u2").reshape(1, -1)
    for pixels, ahead, cells in product(range(1, 12), range(ratio), range(1, 7)):
        whole = Cells.cut(pixels, cells, Fraction(ratio), Fraction(ahead))
        first, last = whole.span
        axis = whole.shifted(first, last)
        overlay = Overlay(Cells.cut(1, 1, Fraction(1)), axis)
        count, total = native.cell_sums(
            np.ascontiguousarray(values[:, first:last]), None, 0, overlay, Strip(0, 1, 0, 1)
        )
        there = (np.arange(pixels) + ahead) // ratio
        for cell in range(cells):
            mine = values[0, :pixels][there == cell]
            assert (count[0, cell], total[0, cell]) == (mine.size, mine.sum()), (pixels, ahead, cells)


def test_sums_that_need_more_than_32_bits_are_left_to_numpy():
    overlay = Overlay(Cells.cut(100, 2, Fraction(759137, 10000)), Cells.cut(8, 4, Fraction(2)))
    strip = next(groups(overlay.rows))[0]
    assert native.cell_sums(np.ones((100, 8), np.uint16), None, 0, overlay, strip) is None
    assert native.cell_sums(np.ones((100, 8), np.float32), None, 0, overlay, strip) is None
    assert native.cell_moments(np.ones((100, 8), np.uint16), None, 0, overlay, strip) is None
    long = Overlay(*[Cells.cut(40_000, 1, Fraction(40_000))] * 2)  # cells whose squares need more than 64
    assert native.cell_moments(np.ones((2, 40_000), np.uint16), None, 0, long, Strip(0, 1, 0, 2)) is None


INSIDE, LATER = ((np.array([start, start + 2, 1, 1]), 1, 0) for start in (0, 1))


def decode(tiles: tuple, out: bytearray, count: int = 1, *, base: int = 0, offset: int = 0, size: int = 0):
    """Tiles of a row that hold nothing, or as told."""
    offsets, sizes = (np.full(count, number, np.uint64) for number in (offset, size))
    fused.decode(0, base, offsets, sizes, tiles, out)
    return out


def decode_sums(tiles: tuple = (2, 2, 4, 1, 0, 4), rows: int = 2, y=None, x=None, *, size: int = 8, moments=()):
    """Sums of one cell of a tile that holds nothing."""
    where, more = (0, 0, bytes(8), bytes(8), tiles), [bytearray(size) for size in moments]
    fused.decode_sums(*where, rows, 0, -1, y or INSIDE, x or INSIDE, total := bytearray(size), bytearray(8), *more)
    return total


@pytest.mark.skipif(not tiles_module.available, reason="installed without a C compiler: GDAL reads")
def test_tiles_that_were_never_written_are_empty():
    assert np.frombuffer(decode((2, 2, 4, 2, 7, 6), bytearray(24), 2), np.uint16).tolist() == [7] * 12
    assert decode((1, 2, 4, 1, 7, 3), bytearray(6)) == bytes([7] * 6)
    assert np.frombuffer(decode_sums((2, 2, 4, 1, 7, 4)), np.int64).tolist() == [28]


HUGE = 1 << 62


def axis(*, start=0, stop=2, head=1, tail=1, unit=1):
    return np.array([start, stop, head, tail]), unit, 0


def sums(y=INSIDE, x=INSIDE, *, width=2, flip=0, size=8, ok=None, moments=()):
    """Sums of one cell of two by two pixels."""
    fused.sums(bytes(8), ok, width, flip, 0, y, x, bytearray(size), bytearray(8), *map(bytearray, moments))


def quality(
    y=INSIDE, x=INSIDE, *, width=2, first=0, axes=(0, 0, 2, 2), levels=0, planes=0, size=2, meaning=1 << 20, own=0
):
    """A code for one cell of two by two pixels."""
    facts, room = (0, 0, 0, 0, 0, planes), bytearray(size)
    given = bytes(8), width, y, x, bytes(meaning), bytes(24 * levels), facts, None, np.array(axes)
    fused.quality(*given, own, bytearray(8 << 16), first, room, bytearray(planes * size // 2))


def histogram(cells=(0,), rank=0, width=2, x=INSIDE):
    """Weights of the codes of one cell of two by two pixels."""
    ranks = np.full(1 << 16, rank, np.int32)
    fused.histogram(bytes(8), width, INSIDE, x, np.array(cells), ranks, bytearray(8))


def test_calls_that_agree_are_answered():
    for call in (sums, quality, histogram):
        call()
    sums(moments=(8, 8, 2, 2)), decode_sums(moments=(8, 8, 2, 2))
    quality(y=axis(start=2, stop=2))  # a cell below the last row


@pytest.mark.parametrize("call", [
    lambda: sums(width=HUGE),
    lambda: sums(width=0),
    lambda: sums(y=axis(stop=3)),  # below the rows
    lambda: sums(y=axis(start=-1)),
    lambda: sums(y=axis(start=2, stop=1)),
    lambda: sums(y=axis(head=2)),  # more than a pixel weighs
    lambda: sums(y=axis(tail=-1)),
    lambda: sums(y=axis(unit=0)),
    lambda: sums(x=axis(unit=HUGE, head=HUGE, tail=HUGE)),
    lambda: sums(y=axis(head=40_000, tail=40_000, unit=40_000)),  # sums of more than 32 bits
    lambda: sums(y=(np.zeros((4, 0), np.int64), 1, 0), width=HUGE),  # no row, but columns
    lambda: sums(flip=1),
    lambda: sums(size=0),
    lambda: sums(ok=bytes(3)),
    lambda: sums(moments=(8,)),  # some of four
    lambda: sums(moments=(8, 0, 2, 2)),
    lambda: sums(moments=(8, 8, 2, 0)),
    lambda: decode_sums(moments=(0, 8, 2, 2)),
    lambda: decode_sums(moments=(8, 8, 2)),
    lambda: quality(first=1),
    lambda: quality(first=HUGE),
    lambda: quality(first=-1),
    lambda: quality(width=HUGE),
    lambda: quality(axes=(0, 0, 2)),
    lambda: quality(axes=(0, 2, 2, 2)),
    lambda: quality(axes=(0, 0, 1, 2)),
    lambda: quality(axes=(0, 0, 2, 1 << 30)),
    lambda: quality(levels=33),
    lambda: quality(planes=9),
    lambda: quality(meaning=8),
    lambda: histogram(cells=(1,)),
    lambda: histogram(cells=(-1,)),
    lambda: histogram(rank=1),
    lambda: histogram(width=HUGE),
    lambda: histogram(x=axis(unit=HUGE)),
    lambda: fused.means(bytes(8), bytes(16), bytearray(2), bytes(32)),
    lambda: decode(tiles=(2, HUGE, HUGE, 1, 0, 4), out=bytearray(8)),  # tiles that no memory holds
    lambda: decode(tiles=(2, 1 << 16, 1 << 16, 1, 0, 4), out=bytearray(8)),
    lambda: decode(tiles=(2, 2, 4, 1, 0, HUGE), out=bytearray(8)),
    lambda: decode(tiles=(2, 2, 4, 1, 0, 4), out=bytearray(16), base=-1),
    lambda: decode(tiles=(2, 2, 4, 1, 0, 4), out=bytearray(16), base=HUGE, offset=HUGE),
    lambda: decode(tiles=(2, 2, 4, 1, 0, 4), out=bytearray(16), size=1 << 31),
    lambda: decode_sums(rows=HUGE),
    lambda: decode(tiles=(1, 2, 4, 1, 0, 4), out=bytearray(16)),  # more rows than the tile holds
    lambda: decode(tiles=(2, 2, 4, 1, 0, 3), out=bytearray(4), count=2),  # a tile below the rows
    lambda: decode(tiles=(2, 2, 4, 1, 0, 5), out=bytearray(10), count=3),  # a row of tiles that is not whole
    lambda: decode(tiles=(4, 2, 4, 1, 0, 4), out=bytearray(32)),  # no such item size
    lambda: decode(tiles=(2, 2, 4, 1, 0, 5), out=bytearray(20)),  # rows longer than their tiles
    lambda: decode_sums(rows=3),  # more rows than the tile holds
    lambda: decode_sums(rows=0),  # a tile below the rows
    lambda: decode_sums(tiles=(1, 2, 4, 1, 0, 4)),  # of a type that is not added up
    lambda: decode_sums(y=LATER),  # cells below the rows
    lambda: decode_sums(x=LATER, tiles=(2, 2, 4, 1, 0, 2)),  # cells beside the columns
    lambda: decode_sums(x=(*INSIDE[:2], 1 << 40)),  # blocks that no image has
    lambda: decode_sums(size=0),  # no room for the sums
    lambda: fused.sums(bytes(8), None, 2, 0, 0, LATER, INSIDE, bytearray(8), bytearray(8)),
    lambda: fused.tally(bytes(8), bytearray(8)),
])  # fmt: skip
def test_sizes_that_do_not_agree_are_refused(call):
    with pytest.raises(BufferError, match="do not agree"):
        call()
