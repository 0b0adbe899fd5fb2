"""Cells of other projections: against polygons, against NumPy, and against every pixel's shares one by one."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from fractions import Fraction
from functools import cache

import numpy as np
import polygon_cells
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from polygon_cells import SINUSOIDAL

from landsat_downsample.errors import UsageError
from landsat_downsample.model.bands import specs
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.lattice import Lattice
from landsat_downsample.model.methods import STATS, output_dtype
from landsat_downsample.model.projection import Projection
from landsat_downsample.model.ties import Ties, covering
from landsat_downsample.reduce import packed_shares
from landsat_downsample.reduce.area_bits import reduce_quality_areas
from landsat_downsample.reduce.area_shares import UNIT, Shares, shares_of_pixels
from landsat_downsample.reduce.area_values import reduce_areas
from landsat_downsample.reduce.areas import Areas
from landsat_downsample.reduce.bits import QualityRule
from landsat_downsample.reduce.rule import Rule

KANSAS = Grid((311, 287), Affine(30, 0, 399885, 0, -30, 4600215), "EPSG:32614")
#: Odd sizes, that divide by nothing; south, far north, polar; the 15 m band of another scene; coarse products.
IMAGES = {
    "Kansas": KANSAS,
    "Siberia": Grid((293, 303), Affine(30, 0, 399885, 0, -30, 7700115), "EPSG:32648"),
    "Tasmania": Grid((277, 301), Affine(30, 0, 500085, 0, -30, -4699785), "EPSG:32655"),
    "Svalbard": Grid((291, 283), Affine(30, 0, 499785, 0, -30, 8800215), "EPSG:32633"),
    "Antarctica": Grid((301, 289), Affine(30, 0, 900015, 0, -30, -899985), "EPSG:3031"),
    "Fiji": Grid((287, 297), Affine(30, 0, 176385, 0, -30, -1899885), "EPSG:32601"),
    "pan": Grid((601, 577), Affine(15, 0, 399892.5, 0, -15, 4600207.5), "EPSG:32614"),
    "MSS": Grid((155, 143), Affine(60, 0, 399870, 0, -60, 4600230), "EPSG:32614"),
    "Lincoln": Grid((301, 289), Affine(30, 0, 499785, 0, -30, 9100215), "EPSG:32622"),  # 82 N
    "coarse": Grid((149, 131), Affine(300, 0, 399885, 0, -300, 4600215), "EPSG:32614"),
    "coarser": Grid((141, 127), Affine(450, 0, 299985, 0, -450, 9050115), "EPSG:32622"),  # 81 N
}
#: Pixels from tie point to tie point.
STEPS = {
    "Siberia-+proj=sin-463.3": 8,
    "Svalbard-EPSG:4326-0.008929": 8,
    "Antarctica-EPSG:4326-0.01": 8,
    "Lincoln-EPSG:4326-0.05": 8,
    "Lincoln-EPSG:6933-1001": 4,
    "Lincoln-EPSG:6933-3.603e+04": 4,
    "coarse-+proj=sin-463.3": 4,
    "coarse-EPSG:4326-0.01": 8,
    "coarser-EPSG:4326-0.05": 2,
    "coarser-EPSG:6933-1001": 1,
}
MODIS = (Fraction("10007554.677"), Fraction("-20015109.354"))


def sinusoidal(cell: str) -> Lattice:
    return Lattice(SINUSOIDAL, MODIS, (Fraction(cell), Fraction(cell)))


def lattice(crs: str, high: object, wide: object = None, origin: tuple[object, object] = (0, 0)) -> Lattice:
    y, x = (Fraction(n) for n in origin)
    return Lattice(crs, (y, x), (Fraction(high), Fraction(wide or high)))


LATLON = lattice("EPSG:4326", Fraction(1, 100), origin=(90, -180))
EASE_M = lattice("EPSG:6933", "1000.89502334956", origin=("7314540.8306386", "-17367530.4451615"))
CASES = [
    ("Kansas", sinusoidal("463.312716527917")),
    ("Kansas", sinusoidal("66.1875309325596")),
    ("Kansas", LATLON),
    ("Kansas", lattice("EPSG:5070", 480)),
    ("Kansas", lattice("EPSG:3857", 611, 433)),
    ("Kansas", lattice("EPSG:32615", 300)),
    ("Siberia", sinusoidal("463.312716527917")),
    ("Siberia", lattice("EPSG:6931", 3000, origin=(9000000, -9000000))),
    ("Tasmania", EASE_M),
    ("Svalbard", lattice("EPSG:4326", Fraction(1, 112), origin=(90, -180))),
    ("Svalbard", lattice("EPSG:3413", 1000)),
    ("Svalbard", lattice("EPSG:3035", 1000)),
    ("Antarctica", lattice("EPSG:4326", Fraction(1, 100), Fraction(1, 20), origin=(90, -180))),
    ("Antarctica", lattice("EPSG:6932", 1000)),
    ("Fiji", LATLON),
    ("Fiji", lattice("EPSG:3857", 300)),
    ("pan", sinusoidal("463.312716527917")),
    ("MSS", LATLON),
    ("Lincoln", lattice("EPSG:4326", Fraction(1, 20), origin=(90, -180))),
    ("Lincoln", EASE_M),
    ("Lincoln", lattice("EPSG:6933", "36032.220840584", origin=("7314540.8306386", "-17367530.4451615"))),
    ("coarse", sinusoidal("463.312716527917")),
    ("coarse", LATLON),
    ("coarser", lattice("EPSG:4326", Fraction(1, 20), origin=(90, -180))),
    ("coarser", EASE_M),
    ("coarser", lattice("EPSG:3413", 1000)),
]
IDS = [f"{place}-{grid.crs[:9]}-{float(grid.cell[0]):.4g}" for place, grid in CASES]


@cache
def laid(place: str, grid: Lattice) -> Areas:
    image = IMAGES[place]
    projection = Projection.between(image, grid.crs)
    return Areas(image, covering(image, grid, projection), grid, projection)


def weights_of(areas: Areas) -> dict[int, list[tuple[int, int]]]:
    """(pixel, weight) of each cell, pixel by pixel."""
    found: dict[int, list[tuple[int, int]]] = {}
    wide = areas.window[3] - areas.window[2]
    for strip in areas.strips:
        shares, first = areas.shares(strip), strip.first * areas.shape[1]
        pixel = (strip.start - areas.window[0]) * wide
        for start, length, cell in zip(shares.run_start, shares.run_length, shares.run_cell, strict=True):
            found.setdefault(first + cell, []).extend((pixel + start + k, UNIT) for k in range(length))
        for at, cell, weight in zip(shares.part_pixel, shares.part_cell, shares.part_weight, strict=True):
            found.setdefault(first + cell, []).append((pixel + at, weight))
    return found


def values_for(image: Grid, dtype: str = "uint16") -> np.ndarray:
    """Rough values, a fifth of them 0, and smooth ones among them."""
    rng = np.random.default_rng(image.height)
    rough = rng.integers(1, np.iinfo(dtype).max, image.shape)
    rough[rng.random(image.shape) < 0.2] = 0
    return rough.astype(dtype)


def reduced(rule: Rule, areas: Areas, reads: list) -> np.ndarray:
    [made] = reduce_areas([rule], areas, reads)
    return made


def reader(areas: Areas, values: np.ndarray, ok: np.ndarray | None = None):
    _, _, left, right = areas.window
    return lambda a, b: (values[a:b, left:right], None if ok is None else ok[a:b, left:right])


@pytest.mark.parametrize(("place", "grid"), CASES, ids=IDS)
def test_the_shares_of_a_pixel_add_up_to_it_and_reach_no_pixel_twice(place, grid):
    areas = laid(place, grid)
    pixels = np.zeros(math.prod(IMAGES[place].shape), np.int64)
    assert areas.window == (0, IMAGES[place].height, 0, IMAGES[place].width)
    for strip in areas.strips:
        shares, wide = areas.shares(strip), IMAGES[place].width
        own = pixels[strip.start * wide : strip.stop * wide]
        for start, length in zip(shares.run_start, shares.run_length, strict=True):
            own[start : start + length] += UNIT
        np.add.at(own, shares.part_pixel, shares.part_weight)
        assert shares.part_weight.min() > 0
    assert (pixels == UNIT).all()


#: Every third place is in the fast run.
SOME = [
    pytest.param(*case, id=name, marks=[pytest.mark.slow] if number % 3 else [])
    for number, (case, name) in enumerate(zip(CASES, IDS, strict=True))
]


@pytest.mark.parametrize(("place", "grid"), SOME)
def test_weights_and_means_are_those_of_polygons(place, grid):
    areas, image = laid(place, grid), IMAGES[place]
    known, values = weights_of(areas), values_for(image)
    mean = reduced(Rule("mean", np.dtype("uint16"), 0, 0), areas, [reader(areas, values)])
    extent = areas.extent(0, areas.shape[0])
    row, column = areas._cells[0], areas._cells[2]
    rng = np.random.default_rng(5)
    chosen = rng.permutation(sorted(known))[:60]
    edges = []
    for cell in chosen:
        i, j = divmod(int(cell), areas.shape[1])
        top, left = grid.origin[0] - (row + i) * grid.cell[0], grid.origin[1] + (column + j) * grid.cell[1]
        edges.append(tuple(map(float, (left, top - grid.cell[0], left + grid.cell[1], top))))
    metres = math.sqrt(areas.largest / UNIT) * image.resolution[0]
    segments = max(16, 4 * polygon_cells.segments_of(metres))
    found = polygon_cells.cells(grid.crs, edges, image.crs, image.transform, image.shape, segments=segments)
    # Pixels are quadrilaterals of the target's plane, cells polygons of the source's; between ties we interpolate.
    slack = 1e-3
    for cell, exact, box in zip(chosen, found, edges, strict=True):
        ours = np.zeros(image.shape)
        for pixel, weight in known[cell]:
            ours.flat[pixel] += weight / UNIT
        exact_shares = np.zeros(image.shape)
        rows, columns = exact.shares.shape
        exact_shares[exact.row : exact.row + rows, exact.column : exact.column + columns] = exact.shares
        assert abs(ours - exact_shares).max() < slack
        expected = polygon_cells.weighted_mean(values, values > 0, exact)
        area = polygon_cells.valid_area(values > 0, exact)
        if area > 0.5:
            assert abs(int(mean.flat[cell]) - expected) <= 1 + 65535 * slack / area
        outline = polygon_cells.cell_polygon(grid.crs, *box, source_crs=image.crs, segments=segments)
        assert extent.flat[cell] / UNIT == pytest.approx(outline.area / math.prod(image.resolution), rel=2e-3, abs=0.02)


def test_tie_points_are_as_dense_as_the_curves_of_a_projection_ask_for():
    found = {name: laid(place, grid).ties.step for name, (place, grid) in zip(IDS, CASES, strict=True)}
    assert found == {name: STEPS.get(name, 16) for name in IDS}


@pytest.mark.parametrize(("place", "grid"), CASES, ids=IDS)
def test_c_and_numpy_share_alike(place, grid):
    image = IMAGES[place]
    ties = Ties.of(image, grid, Projection.between(image, grid.crs))
    first, last = laid(place, grid)._cells[:2]
    left, right = laid(place, grid)._cells[2:]
    windows = [(first, last, left, right), (first + 1, last, left + 1, right - 1), (first, first + 1, left, left + 1)]
    for pixels in [(0, 131, 0, image.width), (131, image.height, 16, 101), (17, 19, 32, 33)]:
        for window in (w for w in windows if w[0] < w[1] and w[2] < w[3]):
            packed = packed_shares.share_areas(ties, pixels, window)
            if packed is None:
                pytest.skip("installed without a C compiler")
            assert one_by_one(packed.listed()) == one_by_one(shares_of_pixels(ties, pixels, window))


def one_by_one(shares: Shares) -> Counter[tuple[int, int, int]]:
    """(pixel, cell, weight) of all, however they lie in runs."""
    runs = zip(shares.run_start, shares.run_length, shares.run_cell, strict=True)
    found = Counter((int(start) + k, int(cell), UNIT) for start, length, cell in runs for k in range(length))
    parts = zip(shares.part_pixel.tolist(), shares.part_cell.tolist(), shares.part_weight.tolist(), strict=True)
    found.update(parts)
    return found


def mode_of(values: list[tuple[int, int]]) -> int:
    counts: Counter[int] = Counter()
    for value, weight in values:
        counts[value] += weight
    return min(counts, key=lambda value: (-counts[value], value))


def median_of(values: list[tuple[int, int]]) -> float:
    ordered = sorted(values)
    running = list(itertools.accumulate(weight for _, weight in ordered))
    low = next(v for (v, _), r in zip(ordered, running, strict=True) if 2 * r >= running[-1])
    high = next(v for (v, _), r in zip(ordered, running, strict=True) if 2 * r > running[-1])
    return (low + high) / 2


def mean_of(values: list[tuple[int, int]]) -> Fraction:
    return Fraction(sum(v * w for v, w in values), sum(w for _, w in values))


def variance_of(values: list[tuple[int, int]]) -> Fraction:
    return mean_of([(v * v, w) for v, w in values]) - mean_of(values) ** 2


EXACT = {
    "mean": lambda values: round(mean_of(values)),
    "sum": lambda values: sum(v * w for v, w in values) / UNIT,
    "std": lambda values: np.float32(math.sqrt(variance_of(values))),
    "rms": lambda values: round(math.sqrt(mean_of([(v * v, w) for v, w in values]))),
    "min": lambda values: min(v for v, _ in values),
    "max": lambda values: max(v for v, _ in values),
    "median": lambda values: round(median_of(values)),
    "mode": mode_of,
}
FEW = [CASES[i] for i in (0, 1, 7, 12)]


@pytest.mark.parametrize(("place", "grid"), FEW)
@pytest.mark.parametrize("method", EXACT)
@pytest.mark.parametrize("dtype", ["uint16", "int16", "uint8"])
def test_every_statistic_is_that_of_the_weights(place, grid, method, dtype):
    areas, image = laid(place, grid), IMAGES[place]
    values = values_for(image, dtype)
    if dtype == "int16":
        values = np.where(values % 3 == 0, -values, values).astype(dtype)
    ok = np.random.default_rng(2).random(image.shape) < 0.9
    rule = Rule(method, np.dtype(dtype), 0, 0, fill_is_legal=True)
    out = reduced(rule, areas, [reader(areas, values, ok)])
    assert out.dtype == output_dtype(method, np.dtype(dtype))
    for cell, shares in weights_of(areas).items():
        counted = [(int(values.flat[p]), int(w)) for p, w in shares if values.flat[p] and ok.flat[p]]
        if not counted:
            assert not out.flat[cell] or np.isnan(out.flat[cell])
        else:
            assert out.flat[cell] == EXACT[method](counted)


@pytest.mark.parametrize("policy", ["conservative", "majority", "mode", "nearest"])
@pytest.mark.parametrize(("place", "grid"), FEW[:3])
def test_bit_fields_are_reduced_flag_by_flag(place, grid, policy):
    areas, image = laid(place, grid), IMAGES[place]
    spec = specs("oli_tirs", 2)["QA_PIXEL"]
    rng = np.random.default_rng(8)
    patches = rng.choice([21824, 22280, 23888, 21890, 54596, 1], (40, 40), p=[0.5, 0.2, 0.1, 0.05, 0.05, 0.1])
    codes = np.kron(patches, np.ones((8, 8), int))[: image.height, : image.width].astype(np.uint16)
    found = reduce_quality_areas(QualityRule(spec, policy, Fraction(1, 3), True), areas, reader(areas, codes))
    assert found.code_counts == {int(k): int(n) for k, n in zip(*np.unique(codes, return_counts=True), strict=True)}
    extent = areas.extent(0, areas.shape[0])
    y, x = areas._coarse.coordinates()
    for cell, shares in list(weights_of(areas).items())[::7]:
        counts: Counter[int] = Counter()
        for pixel, weight in shares:
            counts[int(codes.flat[pixel])] += int(weight)
        valid = sum(n for code, n in counts.items() if not code & 1)
        cloud = sum(n for code, n in counts.items() if not code & 1 and code & 8)
        percent = found.percent.reshape(len(found.percent), -1)[:, cell]
        assert percent[0] == round(Fraction(100 * valid, int(extent.flat[cell])))
        code = int(found.codes.flat[cell])
        if Fraction(valid, int(extent.flat[cell])) < Fraction(1, 3):
            assert code == 1
            continue
        assert percent[2] == round(Fraction(100 * cloud, valid))
        data = {code: n for code, n in counts.items() if not code & 1}
        if policy == "mode":
            assert code == min(data, key=lambda c: (-data[c], c))
        elif policy == "conservative":
            assert bool(code & 8) == bool(cloud)
        elif policy == "majority":
            assert bool(code & 8) == (2 * cloud >= valid)
        else:
            i, j = divmod(int(cell), areas.shape[1])
            px, py = areas._projection.backward(np.array([x[j]]), np.array([y[i]]))
            left, top = image.transform.c, image.transform.f
            column = math.floor((float(px[0]) - left) / image.resolution[1])
            row = math.floor((top - float(py[0])) / image.resolution[0])
            inside = 0 <= row < image.height and 0 <= column < image.width
            assert code == (int(codes[row, column]) if inside else 1)


@pytest.mark.parametrize("policy", ["conservative", "majority", "mode", "nearest"])
@pytest.mark.parametrize("share", [Fraction(0), Fraction(2, 3)])
def test_bit_fields_are_reduced_alike_without_the_extension(policy, share, monkeypatch):
    image = Grid((601, 287), KANSAS.transform, KANSAS.crs)
    projection = Projection.between(image, "EPSG:5070")
    areas = Areas(image, covering(image, CASES[3][1], projection), CASES[3][1], projection)
    rng, spec = np.random.default_rng(4), specs("oli_tirs", 2)["QA_PIXEL"]
    patches = rng.choice([21824, 22280, 23888, 21890, 54596, 1, 55052, 5440], (90, 60))
    codes = np.kron(patches, np.ones((7, 5), int))[: image.height, : image.width].astype(np.uint16)
    ok = np.random.default_rng(2).random(image.shape) < 0.99
    for fractions in (True, False):
        rule, read = QualityRule(spec, policy, share, fractions), reader(areas, codes, ok)
        one = reduce_quality_areas(rule, areas, read)
        with monkeypatch.context() as without:
            without.setattr("landsat_downsample.reduce.native._native", None)
            other = reduce_quality_areas(rule, areas, read)
        np.testing.assert_array_equal(one.codes, other.codes)
        assert one.code_counts == other.code_counts
        assert (one.percent is None) == (not fractions)
        if fractions:
            np.testing.assert_array_equal(one.percent, other.percent)


@pytest.mark.parametrize("method", ["mean", "std", "max"])
def test_cells_do_not_depend_on_readers_nor_on_the_room_that_is_kept(method, monkeypatch):
    image = Grid((1031, 287), KANSAS.transform, KANSAS.crs)
    grid = sinusoidal("463.312716527917")
    projection = Projection.between(image, grid.crs)
    coarse = covering(image, grid, projection)
    values, rule = values_for(image), Rule(method, np.dtype("uint16"), 0, 0)
    seen = set()
    for readers, kept in [(1, 64 << 20), (3, 64 << 20), (2, 0), (1, 60000)]:
        monkeypatch.setattr("landsat_downsample.reduce.areas.KEPT", kept)
        areas = Areas(image, coarse, grid, projection)
        assert areas.nbytes <= kept
        for _ in range(2):
            seen.add(reduced(rule, areas, [reader(areas, values)] * readers).tobytes())
    monkeypatch.setattr("landsat_downsample.reduce.packed_shares._native", None)
    areas = Areas(image, coarse, grid, projection)
    seen.add(reduced(rule, areas, [reader(areas, values)]).tobytes())
    assert len(seen) == 1


@pytest.mark.parametrize("readers", [1, 3])
def test_several_statistics_are_those_of_each_alone(readers):
    areas = laid("Kansas", sinusoidal("463.312716527917"))
    values = values_for(KANSAS, "int16")
    ok = np.random.default_rng(2).random(KANSAS.shape) < 0.9
    rules = [Rule(stat, values.dtype, 0, 0, min_valid=Fraction(1, 2)) for stat in STATS]
    read = reader(areas, values, ok)
    for rule, out in zip(rules, reduce_areas(rules, areas, [read] * readers), strict=True):
        assert out.dtype == output_dtype(rule.method, values.dtype)
        np.testing.assert_array_equal(out, reduced(rule, areas, [read]), err_msg=rule.method)


def test_a_part_of_the_cells_is_what_all_of_them_hold_there():
    grid, image = sinusoidal("463.312716527917"), KANSAS
    whole = laid("Kansas", grid)
    values = values_for(image)
    rule = Rule("mean", np.dtype("uint16"), 0, 0, min_valid=Fraction(1, 2))
    expected = reduced(rule, whole, [reader(whole, values)])
    t = whole._coarse.transform
    part = Grid((7, 5), Affine(t.a, 0, t.c + 9 * t.a, 0, t.e, t.f + 6 * t.e), grid.crs)
    areas = Areas(image, part, grid, Projection.between(image, grid.crs))
    assert areas.window != whole.window
    assert np.array_equal(reduced(rule, areas, [reader(areas, values)]), expected[6:13, 9:14])


@given(
    st.integers(0, 2**32 - 1), st.floats(35, 2000), st.sampled_from(["EPSG:4326", "EPSG:5070", "EPSG:3857", SINUSOIDAL])
)
@settings(max_examples=25, deadline=None)
def test_sums_of_all_cells_are_the_sum_of_all_pixels(seed, cell, crs):
    rng = np.random.default_rng(seed)
    image = Grid((int(rng.integers(1, 90)), int(rng.integers(1, 90))), KANSAS.transform, KANSAS.crs)
    size = Fraction(round(cell if crs != "EPSG:3857" else 1.5 * cell, 3)) / (80000 if crs == "EPSG:4326" else 1)
    grid = lattice(crs, size, origin=(round(float(rng.normal()), 3), round(float(rng.normal()), 3)))
    areas = Areas(image, covering(image, grid, p := Projection.between(image, crs)), grid, p)
    values = rng.integers(0, 65536, image.shape).astype(np.uint16)
    sums = reduced(Rule("sum", np.dtype("uint16"), None, np.nan), areas, [reader(areas, values)])
    assert np.nansum(sums * UNIT) == UNIT * int(values.sum(dtype=np.int64))
    constant = np.full(image.shape, 12345, np.uint16)
    mean = reduced(Rule("mean", np.dtype("uint16"), 0, 0), areas, [reader(areas, constant)])
    assert set(np.unique(mean)) <= {0, 12345}
    assert (mean == 12345).any()


@pytest.mark.parametrize(
    ("place", "grid", "words"),
    [
        ("Kansas", lattice("EPSG:4326", Fraction(1, 5000)), "finer than the source: give at least 0.00031"),
        ("Kansas", lattice("+proj=geos +h=35785831 +lon_0=140 +type=crs", 3000), "no place for a part of the image"),
        ("Fiji", sinusoidal("463.312716527917"), "torn within the image"),
        ("Kansas", lattice("EPSG:4301", Fraction(1, 100)), "datum 'Tokyo' lies up to hundreds of metres off"),
    ],
)
def test_a_grid_that_gives_no_right_answer_is_refused(place, grid, words):
    with pytest.raises(UsageError, match=words):
        laid(place, grid)


def test_what_lies_beyond_the_edge_of_a_map_has_no_area():
    image = Grid((251, 247), Affine(30, 0, 692985, 0, -30, 5765985), "EPSG:32660")  # 52 N, up to 179.9 E
    grid = sinusoidal("926.625433055833")
    areas = Areas(image, covering(image, grid, p := Projection.between(image, grid.crs)), grid, p)
    extent = areas.extent(0, areas.shape[0]) / UNIT
    edge, metres = np.pi * 6371007.181, 926.625433055833
    y, x = areas._coarse.coordinates()
    half = edge * np.cos(y / 6371007.181)  # where the map ends
    whole = x[None, :] + metres / 2 < half[:, None] - metres
    touched = areas._inside > 0
    assert (whole & touched).any()
    np.testing.assert_allclose(extent[whole & touched], metres**2 / 900, rtol=5e-3)
    assert (extent < 1.01 * metres**2 / 900).all()


def test_an_image_across_180_degrees_has_neighbours_side_by_side():
    areas = laid("Fiji", LATLON)
    left, _, right, _ = areas._coarse.bounds
    assert right - left < 0.2
    assert left >= -180
