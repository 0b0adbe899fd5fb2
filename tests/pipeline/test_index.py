"""Cells of an index against NumPy's float64 pixels: on blocks and polygons, masked, at edges of fill, beyond limits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polygon_cells
import pytest
import rasterio
from affine import Affine

import landsat_downsample as ld
from landsat_downsample.errors import UsageError
from landsat_downsample.model.options import Options
from landsat_downsample.model.plan import plan_scene
from landsat_downsample.model.target import Target
from landsat_downsample.pipeline import tiles
from landsat_downsample.pipeline.band import reduce_target
from landsat_downsample.reduce import areas, kernels, native, packed_shares

BANDS = {"SR_B2": "blue", "SR_B4": "red", "SR_B5": "nir08"}
SCALINGS = {"catalogue": (2.75e-5, -0.2), "tags": (0.0001, -0.1)}
#: Half of a multiple of 2**-24, and of float32's last digit below 1.
HAIR = 2.0**-25 + 2.0**-25
FORMULAS = {
    "ndvi": lambda blue, red, nir08: (nir08 - red) / (nir08 + red),
    "evi": lambda blue, red, nir08: 2.5 * (nir08 - red) / (nir08 + 6 * red - 7.5 * blue + 1),
    "msavi": lambda blue, red, nir08: (2 * nir08 + 1 - np.sqrt((2 * nir08 + 1) ** 2 - 8 * (nir08 - red))) / 2,
}
OPTIONS = {
    "blocks": {"factor": 7},
    "blocks of the scene": {"factor": 7, "grid": "scene"},
    "cut pixels": {"resolution": 100},
    "larger than strips": {"factor": 60},
    "masked": {"factor": 7, "mask": ("cloud", "shadow"), "min_valid": 0.4},
    "cut and masked": {"resolution": 250, "mask": ("cloud",), "min_valid": 0.7},
    "a part": {"factor": 5, "bounds": (258000, 5212200, 259200, 5213100)},
}

CASES = [*(("ndvi", case) for case in OPTIONS), ("evi", "cut and masked"), ("evi", "blocks"), ("msavi", "masked")]


@pytest.fixture(scope="module", params=SCALINGS)
def scene(request, tmp_path_factory) -> ld.Scene:
    """A scene with reflectances that are negative, saturated and add up to 0, and edges of fill of each band's own."""
    folder = Path(ld.make_scene(tmp_path_factory.mktemp(request.param), size=(131, 117), bands=[*BANDS, "QA_PIXEL"]))
    scale, offset = SCALINGS[request.param]
    rng = np.random.default_rng(8)
    for number, band in enumerate(BANDS):
        with rasterio.open(next(folder.glob(f"*_{band}.TIF"))) as file:
            path, values, profile = file.name, file.read(1), file.profile
        values[20:40, 30:60] = np.rint(rng.uniform(-0.03, 0.05, (20, 30)) / scale - offset / scale)
        values[41, 30:60] = np.rint((0.02 * (-1) ** number - offset) / scale)  # of red and nir08 the sum is 0
        values[50:60, 10 + 9 * number : 50] = 65535
        values[70:90, 40 + 11 * number : 70] = 0
        values[95:102, 56:70] = 0
        profile |= {
            "driver": "GTiff",
            "tiled": True,
            "blockxsize": 256,
            "blockysize": 256,
            "compress": "deflate",
            "predictor": 2,
        }
        with rasterio.open(path, "w", **profile) as file:
            file.write(values, 1)
    made = ld.open_scene(folder)
    bands = {name: replace(made.bands[name], scale=scale, offset=offset) for name in BANDS}
    return replace(made, bands=made.bands | bands) if request.param == "tags" else made


def target_of(scene: ld.Scene, index: str, order: str = "mean-of-index", **options) -> Target:
    plan = plan_scene(scene, "out", Options(bands=("none",), index=(index,), index_order=order, **options))
    (target,) = plan.targets
    return target


def stored(scene: ld.Scene, band: str) -> np.ndarray:
    with rasterio.open(scene.bands[band].href) as file:
        return file.read(1)


def pixels(scene: ld.Scene, name: str, mask: tuple[str, ...] = ()) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Physical values by common name, float64, and which pixels hold data in all bands of an index."""
    bits = sum({"cloud": 8, "shadow": 16}[flag] for flag in mask)
    valid, found = (stored(scene, "QA_PIXEL") & bits) == 0, {}
    for band, common_name in BANDS.items():
        scale, offset = scene.bands[band].scaling
        found[common_name] = stored(scene, band) * scale + offset
        valid &= (stored(scene, band) != 0) | (common_name == "blue" and name != "evi")
    return found, valid


def index_of_pixels(scene: ld.Scene, name: str, mask: tuple[str, ...] = ()) -> tuple[np.ndarray, np.ndarray]:
    """The index of each pixel, and which of them have one."""
    values, valid = pixels(scene, name, mask)
    with np.errstate(all="ignore"):
        index = FORMULAS[name](**values)
    if name == "ndvi" and scene.bands["SR_B4"].scaling == SCALINGS["tags"]:
        undefined = stored(scene, "SR_B4").astype(int) + stored(scene, "SR_B5") == 2000
        assert (undefined & valid).sum() > 9
        valid &= ~undefined
    return np.clip(index, -1, 1), valid & np.isfinite(index)


def weights(target: Target) -> tuple[np.ndarray, np.ndarray]:
    """What part of each pixel each cell has, along each axis: (cells, pixels)."""
    tables = []
    for axis in (0, 1):
        edges = []
        for grid in (target.coarse, target.band.grid):
            start = -grid.transform.f if axis == 0 else grid.transform.c
            edges.append(start + np.arange(grid.shape[axis] + 1) * grid.resolution[axis])
        (low, high), (left, right) = ((e[:-1], e[1:]) for e in edges)
        common = np.minimum(high[:, None], right) - np.maximum(low[:, None], left)
        tables.append(np.maximum(common, 0) / target.band.grid.resolution[axis])
    return tables[0], tables[1]


def summed(target: Target, values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    rows, columns = weights(target)
    return rows @ np.where(valid, values, 0) @ columns.T


def enough(target: Target, area: np.ndarray) -> np.ndarray:
    whole = np.prod(np.divide(target.coarse.resolution, target.band.grid.resolution))
    return (area > 1e-9) & (area >= target.min_valid * whole - 1e-9)


@pytest.mark.parametrize(("name", "case"), CASES, ids=str)
def test_the_mean_of_the_index_of_pixels(scene, name, case):
    target = target_of(scene, name, stats=("mean", "std", "min", "max", "sum", "count"), **OPTIONS[case])
    index, valid = index_of_pixels(scene, name, target.mask)
    found = reduce_target(target)
    got = {part.method: part for part in (found, *found.others)}
    area, total = summed(target, np.ones(index.shape), valid), summed(target, index, valid)
    there = enough(target, area)
    assert there.any() and (case in ("a part", "larger than strips") or not there.all())
    np.testing.assert_allclose(got["count"].data, area, rtol=1e-12, atol=1e-12)
    assert got["mean"].data.dtype == np.float32 and np.isnan(got["mean"].nodata) and got["count"].nodata is None
    for method in ("mean", "std", "min", "max", "sum"):
        np.testing.assert_array_equal(np.isnan(got[method].data), ~there)
    mean = total[there] / area[there]
    np.testing.assert_allclose(got["mean"].data[there], mean, rtol=0, atol=HAIR)
    np.testing.assert_allclose(got["sum"].data[there], total[there], rtol=0, atol=HAIR * area.max())
    square = summed(target, index**2, valid)[there] / area[there]
    np.testing.assert_allclose(got["std"].data[there] ** 2, np.maximum(square - mean**2, 0), rtol=0, atol=3 * HAIR)
    rows, columns = (table > 0 for table in weights(target))
    for row, column in zip(*np.nonzero(there), strict=True):
        window = np.ix_(rows[row], columns[column])
        some = index[window][valid[window]]
        for method, extreme in (("min", some.min()), ("max", some.max())):
            assert abs(got[method].data[row, column] - extreme) <= HAIR


@pytest.mark.parametrize(("name", "case"), CASES, ids=str)
def test_the_index_of_the_means_of_pixels(scene, name, case):
    target = target_of(scene, name, "index-of-means", stats=("mean", "std", "count"), **OPTIONS[case])
    values, valid = pixels(scene, name, target.mask)
    found = reduce_target(target)
    (count,) = found.others
    area = summed(target, np.ones(valid.shape), valid)
    there = enough(target, area)
    np.testing.assert_allclose(count.data, area, rtol=1e-12, atol=1e-12)
    with np.errstate(all="ignore"):
        means = {band: summed(target, pixel, valid) / area for band, pixel in values.items()}
        wanted = np.clip(FORMULAS[name](**means), -1, 1)
    np.testing.assert_array_equal(np.isnan(found.data), ~there)
    np.testing.assert_allclose(found.data[there], wanted[there], rtol=0, atol=HAIR)
    if case == "blocks":
        other = reduce_target(target_of(scene, name, **OPTIONS[case])).data
        assert np.nanmax(np.abs(found.data - other)) > 0.01


@pytest.mark.parametrize("order", ["mean-of-index", "index-of-means"])
@pytest.mark.parametrize("grid", ["modis:500m", "EPSG:3035@333"])
def test_cells_of_another_projection_are_weighted_by_polygons(scene, grid, order):
    target = target_of(scene, "ndvi", order, grid=grid, mask=("cloud",), stats=("mean", "count"))
    index, valid = index_of_pixels(scene, "ndvi", ("cloud",))
    values, known = pixels(scene, "ndvi", ("cloud",))
    found = reduce_target(target)
    (count,) = found.others
    cells, fine = target.coarse, target.band.grid
    t = cells.transform
    boxes = [
        (t.c + j * t.a, t.f + (i + 1) * t.e, t.c + (j + 1) * t.a, t.f + i * t.e)
        for i in range(cells.height)
        for j in range(cells.width)
    ]
    polygons = polygon_cells.cells(cells.crs, boxes, fine.crs, fine.transform, fine.shape, segments=8)
    compared = 0
    for got, area, polygon in zip(found.data.ravel(), count.data.ravel(), polygons, strict=True):
        if order == "mean-of-index":
            wanted, right = polygon_cells.weighted_mean(index, valid, polygon), valid
        else:
            means = {band: polygon_cells.weighted_mean(pixel, known, polygon) for band, pixel in values.items()}
            wanted, right = FORMULAS["ndvi"](**means), known
        exact = polygon_cells.valid_area(right, polygon)
        assert abs(area - exact) < 0.02
        if exact > 1:
            assert abs(got - wanted) < 2e-3
            compared += 1
    assert compared > 30


@pytest.mark.parametrize("order", ["mean-of-index", "index-of-means"])
@pytest.mark.parametrize("case", ["cut pixels", "masked", "projected"])
def test_the_bytes_hang_on_no_strips_threads_or_kernel(scene, case, order, monkeypatch):
    """An index by its first principle: sums are of integers."""
    options = {"grid": "modis:500m"} if case == "projected" else OPTIONS[case]
    target = target_of(scene, "evi", order, stats=("mean", "std", "count"), **options)

    def made(threads: int = 1) -> list[bytes]:
        found = reduce_target(target, lambda: threads)
        return [part.data.tobytes() for part in (found, *found.others)]

    first = made()
    assert made(3) == first
    monkeypatch.setattr(kernels, "STRIP_CELLS", 3)
    assert made(2) == first
    monkeypatch.setattr(tiles, "available", False)
    assert made() == first
    areas._RECENT._known.clear()  # shares of pixels that C has made
    for module in (native, packed_shares):
        monkeypatch.setattr(module, "_native", None)
    assert made() == first
    areas._RECENT._known.clear()


def test_the_surface_temperature_is_the_band_in_kelvin(tmp_path):
    for sensor, band in (("oli", "ST_B10"), ("tm", "ST_B6")):
        folder = ld.make_scene(tmp_path / sensor, sensor=sensor, size=(61, 47), bands=[band, "QA_PIXEL"])
        opened = ld.open_scene(folder)
        options = Options(factor=7, bands=(band,), units="scaled", index=("lst",), mask=("cloud",))
        of_band, of_index = plan_scene(opened, "out", options).targets
        assert (of_index.band.name, of_index.filename) == ("LST", f"{opened.id}_LST.TIF")
        one, other = reduce_target(of_band), reduce_target(of_index)
        assert one.data.tobytes() == other.data.tobytes() and other.data.dtype == np.float32
        assert 200 < np.nanmean(other.data) < 340 and other.spec.unit == "kelvin"


@pytest.mark.parametrize(
    ("name", "said"),
    {
        "nbr": "index nbr needs swir22, which LC08_.* does not have: it has blue, red, nir08",
        "lst": "index lst needs lwir11, which .* does not have",
        "nope": "index 'nope' is unknown: choose one of ndvi, evi",
    }.items(),
)
def test_what_cannot_be_computed_is_refused(scene, name, said):
    with pytest.raises(UsageError, match=said):
        target_of(scene, name, factor=7)


def test_bands_of_other_pixels_units_and_levels_are_refused(scene):
    red = scene.bands["SR_B4"]
    t = red.grid.transform
    coarse = replace(red.grid, transform=Affine(2 * t.a, 0, t.c, 0, 2 * t.e, t.f))
    for change, said in (
        ({"grid": coarse}, "index ndvi needs bands of the same pixels, and those of LC08_.* are SR_B5 30 and SR_B4 60"),
        ({"unit": "kelvin"}, "index ndvi is made of reflectance, and SR_B4 of LC08_.* is in kelvin"),
        ({"scale": -1.0}, "index ndvi: SR_B4 states the scale -1"),
        ({"dtype": "uint8", "scale": None, "offset": None}, "index ndvi of LC08_.*: nothing states the scale of SR_B4"),
    ):
        with pytest.raises(UsageError, match=said):
            target_of(replace(scene, bands=scene.bands | {"SR_B4": replace(red, **change)}), "ndvi", factor=7)


def test_numbers_of_level_1_have_their_factors_elsewhere(tmp_path):
    folder = ld.make_scene(tmp_path, level=1, size=(61, 47), bands=["B4", "B5", "QA_PIXEL"])
    with pytest.raises(UsageError, match=r"nothing states the scale of B5, B4 \(Level-1 .*; take a Level-2 product"):
        target_of(ld.open_scene(folder), "ndvi", factor=7)
    for sensor in ("mss", "mss123"):
        folder = ld.make_scene(tmp_path, sensor=sensor, size=(61, 47))
        with pytest.raises(UsageError, match=r"no Level 2 is made of mss.*: take its bands"):
            target_of(ld.open_scene(folder), "ndvi", factor=7)
