"""Targets of whole synthetic scenes, from the file to the file, against NumPy, GDAL and the definition."""

from __future__ import annotations

import hashlib
import math
import os
import threading
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from oracles import PIXEL, one_cell
from rasterio.enums import Resampling
from rasterio.io import MemoryFile
from rasterio.warp import reproject

from landsat_downsample import ReadError, SceneError, make_scene, open_scene
from landsat_downsample.execution import threads as threads_module
from landsat_downsample.execution.run import run_plans
from landsat_downsample.model.bands import specs
from landsat_downsample.model.options import Options
from landsat_downsample.model.plan import plan_scene
from landsat_downsample.model.target import Target
from landsat_downsample.pipeline import band as band_module
from landsat_downsample.pipeline import tiles
from landsat_downsample.pipeline.band import PREVIEW, preview, process, reduce_target
from landsat_downsample.pipeline.cell_statistics import statistics_of_cells
from landsat_downsample.reduce import native
from landsat_downsample.storage import cancellation
from landsat_downsample.storage.publication_place import Stored

KINDS = [("oli", 1), ("oli", 2), ("etm", 1), ("etm", 2), ("tm", 1), ("tm", 2), ("mss", 1)]


class Kept:
    """A publication that keeps its files in memory."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def put(self, filename: str, data: bytes | memoryview) -> Stored:
        assert filename not in self.files
        self.files[filename] = bytes(data)
        return Stored(hashlib.sha256(data).hexdigest())


@pytest.fixture(scope="session", name="scenes")
def _scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    made = {}
    for sensor, level in KINDS:
        made[sensor, level] = open_scene(str(make_scene(folder, sensor=sensor, level=level, size=(331, 287), seed=3)))
    return made


def targets_of(scene, **options) -> dict[str, Target]:
    return {t.band.name: t for t in plan_scene(scene, "out", Options(**options)).targets}


def pixels(band) -> np.ndarray:
    with rasterio.open(band.href, OVERVIEW_LEVEL="NONE") as source:
        return source.read(1)


def lengths(fine, coarse) -> list[np.ndarray]:
    """For each axis, the length in half metres that each cell and each pixel have in common: (cells, pixels)."""
    tables = []
    for axis in (0, 1):
        edges = []
        for grid in (coarse, fine):
            start = -grid.transform.f if axis == 0 else grid.transform.c
            edges.append((start + np.arange(grid.shape[axis] + 1) * grid.resolution[axis]) * 2)
        (low, high), (left, right) = ((e[:-1], e[1:]) for e in edges)
        common = np.minimum(high[:, None], right) - np.maximum(low[:, None], left)
        whole = np.rint(common).astype(np.int64)
        assert np.allclose(common, whole)
        tables.append(np.maximum(whole, 0))
    return tables


def counted(target, scene, *, mask=0) -> np.ndarray:
    """Which pixels of a band count."""
    band = target.band
    values = pixels(band)
    good = np.ones(values.shape, bool) if band.nodata is None else values != band.nodata
    quality = pixels(scene.bands["QA_PIXEL"])
    bits = mask | (1 if band.spec.fill_from else 0)
    if quality.shape == values.shape:
        return good & ((quality & bits) == 0)
    # 15 m: a pixel counts if no quality pixel that it touches says otherwise.
    rows, columns = (np.arange(n) for n in values.shape)
    bad = np.pad((quality & bits) != 0, 1, mode="edge")
    for r in (rows // 2, (rows + 1) // 2):
        for c in (columns // 2, (columns + 1) // 2):
            good &= ~bad[1:, 1:][np.ix_(r, c)]
    return good


def exact(target, values, good) -> np.ndarray:
    """What each cell must hold, from exact sums over the area."""
    down, across = lengths(target.band.grid, target.coarse)
    sums = [down @ (part * good).astype(np.int64) @ across.T for part in (np.ones_like(values), values)]
    count, total = (s.ravel().tolist() for s in sums)
    if target.method == "rms":
        square = (down @ (values.astype(np.int64) ** 2 * good) @ across.T).ravel().tolist()
        fill = target.band.nodata
        return np.array([round(math.sqrt(Fraction(s, n))) if n else fill for s, n in zip(square, count, strict=True)])
    found = [round(Fraction(t, n)) if n else 0 for t, n in zip(total, count, strict=True)]
    if target.band.spec.fill_from is None:
        fill = target.band.nodata
        found = [fill if not n else v if v != fill else v + 1 for v, n in zip(found, count, strict=True)]
    return np.array(found)


def inside(target, i: int, j: int):
    """Where a cell's pixels lie, of cells of whole pixels."""
    fine, coarse = target.band.grid.transform, target.coarse.transform
    factor = round(coarse.a / fine.a)
    row, column = i * factor - round((coarse.f - fine.f) / fine.a), j * factor + round((coarse.c - fine.c) / fine.a)
    return np.s_[max(row, 0) : row + factor, max(column, 0) : column + factor]


def check_values(target, scene, found, *, mask=0):
    values, good = pixels(target.band), counted(target, scene, mask=mask)
    if target.method in ("mean", "rms"):
        assert (found.ravel() == exact(target, values, good)).all()
        return
    for i, j in np.ndindex(found.shape):
        at = inside(target, i, j)
        chosen = values[at][good[at]]
        if target.method == "circular":
            vector = np.exp(1j * np.deg2rad(chosen / 100)).sum() if chosen.size else 1
            turn = (found[i, j] / 100 - np.rad2deg(np.angle(vector)) + 180) % 360 - 180
            assert abs(turn) <= 0.006 or abs(vector) < 1e-2, (i, j)
        elif target.method == "min":
            assert found[i, j] == (chosen.min() if chosen.size else target.band.nodata)
        elif target.method == "mode":
            names, counts = np.unique(values[at], return_counts=True)
            assert found[i, j] == names[counts.argmax()]
        else:
            raise AssertionError(target.method)


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: f"{k[0]}{k[1]}")
@pytest.mark.parametrize("factor", [7, 30])
def test_every_band_of_a_scene_is_right(scenes, kind, factor):
    scene = scenes[kind]
    for target in targets_of(scene, factor=factor).values():
        reduced = reduce_target(target)
        assert reduced.data.dtype == np.dtype(target.band.dtype)
        if target.band.spec.kind == "bits" or target.band.name == "GM_B8":
            continue
        check_values(target, scene, reduced.data)


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: f"{k[0]}{k[1]}")
def test_quality_bands_of_a_scene_follow_their_tables(scenes, kind):
    scene = scenes[kind]
    grid = "zone" if kind[0] != "mss" else "scene"  # 60 m pixels are cut by the zone's cells
    targets = targets_of(scene, factor=10 if grid == "scene" else 7, grid=grid, bands=("QA_PIXEL", "QA_RADSAT"))
    quality, saturation = (pixels(scene.bands[n]) for n in ("QA_PIXEL", "QA_RADSAT"))
    codes, radsat = (reduce_target(targets[n]) for n in ("QA_PIXEL", "QA_RADSAT"))
    table = PIXEL[scene.sensor]
    for i, j in np.ndindex(codes.data.shape):
        at = inside(targets["QA_PIXEL"], i, j)
        pairs = [(c, Fraction(1)) for c in quality[at].ravel().tolist()]
        assert codes.data[i, j] == one_cell(pairs, table, "conservative")
        assert radsat.data[i, j] == np.bitwise_or.reduce(saturation[at][(quality[at] & 1) == 0], initial=0)
    values, counts = np.unique(quality, return_counts=True)
    assert codes.code_counts == dict(zip(values.tolist(), counts.tolist(), strict=True))
    assert codes.nodata == 1
    assert radsat.nodata is None
    assert not codes.notes


@pytest.mark.parametrize("kind", [("oli", 1), ("etm", 1), ("tm", 2)], ids=lambda k: f"{k[0]}{k[1]}")
def test_a_mask_leaves_out_pixels_of_continuous_bands_only(scenes, kind):
    scene = scenes[kind]
    plain, masked = targets_of(scene, factor=7), targets_of(scene, factor=7, mask=("cloud", "shadow"))
    names = [n for n in masked if n in ("B3", "B8", "VZA", "SR_B4", "ST_B6", "QA_PIXEL", "ST_CDIST")]
    assert len(names) >= 4
    for name in names:
        found = reduce_target(masked[name])
        if masked[name].band.spec.categorical:
            np.testing.assert_array_equal(found.data, reduce_target(plain[name]).data)
            continue
        assert found.nodata is not None
        if name == "VZA":
            continue
        check_values(masked[name], scene, found.data, mask=0b11000)


def test_a_masked_zenith_of_zero_is_distinguished_from_no_zenith(scenes):
    scene = scenes["oli", 1]
    target = targets_of(scene, factor=7, mask=("cloud",))["VZA"]
    reduced = reduce_target(target)
    good = counted(target, scene, mask=8)
    down, across = lengths(target.band.grid, target.coarse)
    covered = (down @ good.astype(int) @ across.T) > 0
    assert ((reduced.data != reduced.nodata) == covered).all()


@pytest.mark.parametrize("kind", [{"factor": 7}, {"factor": 2.5}, {"size": (100, 0)}, {"resolution": 240}])
def test_the_pan_band_is_weighted_by_area(scenes, kind):
    scene = scenes["oli", 1]
    target = targets_of(scene, **kind)["B8"]
    found = reduce_target(target).data
    assert found.shape == target.coarse.shape
    values = pixels(target.band)
    if "size" not in kind:  # cells of 99.3 m do not have whole half metres
        check_values(target, scene, found)
    wanted = np.zeros(found.shape)
    with rasterio.open(target.band.href, OVERVIEW_LEVEL="NONE") as source:
        reproject(
            values.astype("f8"),
            wanted,
            src_transform=source.transform,
            src_crs=source.crs,
            dst_transform=target.coarse.transform,
            dst_crs=source.crs,
            src_nodata=0,
            dst_nodata=0,
            resampling=Resampling.average,
            tolerance=0,
        )
    assert ((wanted == 0) == (found == 0)).all()
    assert np.abs(found - wanted).max() <= 0.501


@pytest.mark.parametrize("factor", [2, 7, 10, 2.5])
@pytest.mark.parametrize(("kind", "name"), [(("oli", 2), "SR_B4"), (("tm", 1), "B1"), (("etm", 2), "ST_ATRAN")])
def test_means_agree_with_gdal_to_rounding(scenes, kind, name, factor):
    target = targets_of(scenes[kind], factor=factor)[name]
    found, band = reduce_target(target).data, target.band
    wanted = np.zeros(found.shape)
    reproject(
        pixels(band).astype("f8"),
        wanted,
        src_transform=band.grid.transform,
        src_crs=band.grid.crs,
        dst_transform=target.coarse.transform,
        dst_crs=band.grid.crs,
        src_nodata=band.nodata,
        dst_nodata=band.nodata,
        resampling=Resampling.average,
        tolerance=0,
    )
    assert np.abs(found - wanted).max() <= 0.501


# Files ---------------------------------------------------------------------------------------


def done_of(scene, **options):
    for target in plan_scene(scene, "out", Options(**options)).targets:
        kept = Kept()
        yield target, process(target, kept), kept.files


@pytest.mark.parametrize("kind", [("oli", 1), ("etm", 2), ("mss", 1)], ids=lambda k: f"{k[0]}{k[1]}")
def test_facts_of_products_are_those_of_their_files(scenes, kind):
    from rio_cogeo import cog_validate

    for target, done, files in done_of(scenes[kind], factor=5):
        assert set(files) == {product.filename for product in done.products}
        assert done.name == target.band.name
        assert max(done.preview.shape) <= PREVIEW
        for product in done.products:
            data = files[product.filename]
            assert product.size == len(data)
            assert product.sha256 == hashlib.sha256(data).hexdigest()
            with MemoryFile(data) as memory, memory.open() as raster:
                values = raster.read()
                assert raster.dtypes[0] == product.dtype
                assert raster.nodata == product.nodata
                assert raster.bounds == pytest.approx(target.coarse.bounds, abs=1e-3)
                assert tuple(raster.transform) == pytest.approx(tuple(target.coarse.transform), abs=1e-9)
                assert raster.crs == rasterio.crs.CRS.from_string(target.coarse.crs)
                assert raster.block_shapes[0] == tuple(min(256, -(-n // 16) * 16) for n in (256, 256))
                assert raster.tags()["AREA_OR_POINT"] == "Area"
                assert len(raster.overviews(1)) == len(product.overviews)
            assert len(product.statistics) == len(values)
            for stored, facts in zip(values, product.statistics, strict=True):
                good = stored[stored != product.nodata].astype(float) if product.nodata is not None else stored
                assert facts["minimum"] == good.min()
                assert facts["maximum"] == good.max()
                assert facts["mean"] == pytest.approx(good.mean())
                assert facts["stddev"] == pytest.approx(good.std())
            share = (values[0] != product.nodata).mean() if product.nodata is not None else 1
            assert product.valid_fraction == pytest.approx(share)
            with MemoryFile(data) as memory:
                assert cog_validate(memory.name, strict=True, quiet=True)[0]


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
def test_statistics_of_narrow_integers_are_exact_to_the_last_rounding(dtype):
    limits = np.iinfo(dtype)
    noise = np.random.default_rng(0).integers(limits.min, limits.max, (700, 300), dtype, endpoint=True)
    extremes = np.where(noise < 0 if limits.min else noise > limits.max // 2, limits.min, limits.max).astype(dtype)
    nearly_one = np.full((600, 7), limits.max, dtype)
    nearly_one[599, 6] -= 1
    for data in (noise, extremes, nearly_one, nearly_one[:1]):
        nodata = int(data.flat[0])
        share, found = statistics_of_cells(data, nodata if (data != nodata).any() else None)
        cells = [int(cell) for cell in data[data != nodata]] or [nodata] * data.size
        assert share == len(cells) / data.size
        mean = Fraction(sum(cells), len(cells))
        variance = Fraction(sum(cell**2 for cell in cells), len(cells)) - mean**2
        assert (found["minimum"], found["maximum"]) == (min(cells), max(cells))
        assert found["mean"] == float(mean)
        assert found["stddev"] == math.sqrt(float(variance))
    assert statistics_of_cells(np.full((3, 5), 7, dtype), 7) == (0.0, {})


def test_fractions_are_one_file_of_named_percentages(scenes):
    (done,) = [d for t, d, _ in done_of(scenes["oli", 2], factor=7) if t.band.name == "QA_PIXEL"]
    (files,) = [f for t, _, f in done_of(scenes["oli", 2], factor=7) if t.band.name == "QA_PIXEL"]
    product = next(p for p in done.products if p.band == "QA_FRACTIONS")
    names = ("valid", "clear", "cloud", "cloud_shadow", "snow", "water", "cirrus")
    assert product.names == names
    assert product.method == "fraction"
    with MemoryFile(files[product.filename]) as memory, memory.open() as raster:
        assert raster.descriptions == names
        assert raster.units == ("percent",) * 7
        assert set(raster.nodatavals) == {255}
        values = raster.read()
    assert values.dtype == np.uint8
    assert values[values != 255].max() <= 100
    quality = pixels(scenes["oli", 2].bands["QA_PIXEL"])
    for i, j in np.ndindex(values.shape[1:]):
        block = quality[i * 7 : i * 7 + 7, j * 7 : j * 7 + 7]
        valid = block[(block & 1) == 0]
        assert values[0, i, j] == round(Fraction(100 * valid.size, block.size))
        cloud = round(Fraction(100 * int(np.count_nonzero(valid & 8)), valid.size)) if valid.size else 255
        assert values[2, i, j] == cloud


@pytest.mark.parametrize("readers", ["tiles", "GDAL"])
@pytest.mark.parametrize("factor", [7, 2.5, 287])
def test_a_band_on_several_threads_is_the_band_on_one(scenes, factor, readers, monkeypatch):
    if readers == "GDAL":
        monkeypatch.setattr(tiles, "available", False)
    target = targets_of(scenes["oli", 2], factor=factor)["SR_B4"]
    alone = reduce_target(target)
    monkeypatch.setattr(tiles, "TOGETHER", 1)  # the scene has two rows of tiles
    for threads in (2, 3, 5):
        np.testing.assert_array_equal(reduce_target(target, lambda n=threads: n).data, alone.data)


def test_threads_beside_are_asked_to_stop(scenes):
    flag, asked = threading.Event(), []

    def idle_threads() -> int:
        flag.set()
        asked.append(True)
        return 3

    for method in ("mean", "median"):
        flag.clear()
        target = replace(targets_of(scenes["oli", 2], factor=7)["SR_B4"], method=method)
        with cancellation.stoppable(flag), pytest.raises(ReadError, match="stopped"):
            reduce_target(target, idle_threads)
    assert len(asked) == 2
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("beside", "tiles"))]


def test_threads_have_ended_where_what_they_give_cannot_be_used(tmp_path, monkeypatch):
    scene = open_scene(make_scene(tmp_path, size=(300, 2100), bands=["SR_B4"]))
    asked = []

    def refused(*arrays) -> None:
        asked.append(arrays)
        raise MemoryError

    monkeypatch.setattr(native, "means", refused)
    with pytest.raises(MemoryError) as kept:
        reduce_target(targets_of(scene, factor=2)["SR_B4"], lambda: 3)
    assert asked and kept.tb
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("tiles")]


@pytest.mark.parametrize("bands", [1, 2])
def test_a_run_gives_a_single_band_all_of_its_threads(scenes, bands, tmp_path, monkeypatch):
    given, reduce = [], band_module.reduce_target

    def noted(target, idle_threads):
        given.append(idle_threads())
        return reduce(target, lambda: given[-1])

    monkeypatch.setattr(band_module, "reduce_target", noted)
    monkeypatch.setattr(threads_module, "cpus", lambda: 3)
    plan = plan_scene(scenes["oli", 2], str(tmp_path), Options(factor=7, bands=("SR_B4", "SR_B5")[:bands]))
    for workers in (2, 5):  # more threads than CPUs are for bands to be fetched
        given.clear()
        [outcome] = run_plans([replace(plan, dest=str(tmp_path / f"{workers}"))], workers=workers)
        assert outcome.status == "done"
        assert given == [min(workers, 3)] if bands == 1 else len(given) == 2


def test_the_same_target_gives_the_same_bytes_in_any_thread(scenes):
    targets = targets_of(scenes["oli", 1], factor=3, mask=("cloud",))
    found: dict[int, dict[str, bytes]] = {}

    def work(k: int) -> None:
        kept = Kept()
        for name in ("B4", "B8", "QA_PIXEL", "QA_RADSAT", "SAA"):
            process(targets[name], kept)
        found[k] = kept.files

    threads = [threading.Thread(target=work, args=(k,)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(
    ("method", "dtype", "keeps_offset"),
    [("mean", "uint16", True), ("max", "uint16", True), ("std", "float32", False), ("sum", "float64", False)],
)
def test_tags_are_kept_where_they_still_mean_the_same(tmp_path, method, dtype, keeps_offset):
    path = tmp_path / "somewhere.tif"
    values = np.random.default_rng(0).integers(1, 9000, (101, 77), dtype="uint16")
    profile = {"driver": "GTiff", "height": 101, "width": 77, "count": 1, "dtype": "uint16", "nodata": 0}
    transform = Affine(30, 0, 5e5, 0, -30, 4e6)
    with rasterio.open(path, "w", crs="EPSG:32633", transform=transform, **profile) as target:
        target.write(values, 1)
        target.scales, target.offsets, target.units = [2.75e-5], [-0.2], ["reflectance"]
        target.set_band_description(1, "red band")
    scene = open_scene(str(path))
    name = next(iter(scene.bands))
    ((_, done, files),) = done_of(scene, factor=10, methods={name: method})
    (product,) = done.products
    assert product.filename == "somewhere_downsampled.TIF"
    with MemoryFile(files[product.filename]) as memory, memory.open() as raster:
        has_scale = method != "sum"  # which holds the offset many times
        assert raster.scales == (2.75e-5 if has_scale else 1.0,)
        assert raster.offsets == ((-0.2,) if keeps_offset else (0.0,))
        assert raster.units == ("reflectance" if has_scale else None,)
        assert raster.descriptions == ("red band",)
        assert raster.dtypes == (dtype,)
        assert raster.nodata == 0 if keeps_offset else math.isnan(raster.nodata)


def single(tmp_path, name, values, **extra):
    path = tmp_path / name
    profile = {
        "driver": "GTiff",
        "height": values.shape[0],
        "width": values.shape[1],
        "count": 1,
        "dtype": values.dtype,
    }
    transform = Affine(30, 0, 5e5, 0, -30, 4e6)
    with rasterio.open(path, "w", crs="EPSG:32633", transform=transform, **profile, **extra) as target:
        target.write(values, 1)
    (target,) = targets_of(open_scene(str(path)), factor=10, grid="scene").values()
    return target


def test_a_quality_band_of_collection_1_in_the_name_of_collection_2_is_refused(tmp_path):
    codes = np.random.default_rng(0).choice(np.array([1, 2720, 2724, 2800], "uint16"), (50, 50))
    target = single(tmp_path, "LC08_L1TP_016037_20170813_20200903_02_T1_QA_PIXEL.TIF", codes)
    with pytest.raises(SceneError, match="Collection 1 quality band"):
        reduce_target(target)


@pytest.mark.parametrize(
    ("codes", "title"),
    [
        ([1, 2720, 2724, 2800], "Collection 1"),
        ([1, 21824, 22280], "Pixel quality"),
        ([1, 5440, 5696, 5896], "Pixel quality"),
    ],
)
def test_a_nameless_quality_band_is_never_averaged(tmp_path, codes, title):
    values = np.random.default_rng(0).choice(np.array(codes, "uint16"), (50, 50))
    reduced = reduce_target(single(tmp_path, "something.tif", values))
    assert reduced.spec.kind == "bits"
    assert title in reduced.notes[0]
    assert reduced.nodata == 1


def test_a_nameless_image_is_averaged_and_zero_is_a_value(tmp_path):
    values = np.zeros((50, 50), "uint8")
    values[:, 30:] = np.random.default_rng(0).integers(0, 255, (50, 20))
    reduced = reduce_target(single(tmp_path, "something.tif", values))
    assert reduced.nodata is None
    assert reduced.spec.kind == "continuous"
    wanted = [
        [round(Fraction(int(values[i : i + 10, j : j + 10].sum()), 100)) for j in range(0, 50, 10)]
        for i in range(0, 50, 10)
    ]
    np.testing.assert_array_equal(reduced.data, wanted)


def test_a_float_file_with_nan(tmp_path):
    values = np.random.default_rng(0).normal(size=(50, 50)).astype("float32")
    values[:12, :12] = np.nan
    reduced = reduce_target(single(tmp_path, "something.tif", values, nodata=np.nan))
    assert np.isnan(reduced.data[0, 0])
    assert np.isnan(reduced.nodata)
    assert reduced.data[1, 1] == np.float32(np.nanmean(values[10:20, 10:20].astype("f8")))


def test_angles_without_quality_band_say_what_they_took_for_fill(scenes, tmp_path):
    source = Path(scenes["tm", 1].bands["VZA"].href)
    (tmp_path / source.name).write_bytes(source.read_bytes())
    (target,) = targets_of(open_scene(str(tmp_path / source.name)), factor=10).values()
    reduced = reduce_target(target)
    assert "no QA_PIXEL beside it: pixels with the value 0 were taken as fill" in reduced.notes


def test_a_preview_is_reduced_by_what_the_band_means(scenes):
    codes = reduce_target(targets_of(scenes["oli", 1], factor=1)["B8"])
    assert preview(codes).shape == codes.data.shape
    big = replace(codes, data=np.arange(1100 * 700, dtype="uint16").reshape(1100, 700) % 500)
    step = -(-1100 // PREVIEW)
    assert preview(big).shape == (-(-1100 // step), -(-700 // step))
    quality = replace(big, spec=specs("oli_tirs", 1)["QA_PIXEL"], nodata=1)
    assert set(np.unique(preview(quality))) <= set(np.unique(big.data))


# Whole scenes ---------------------------------------------------------------------------------


def check_cells(scene) -> None:
    """Some cells of each band against the mean of its valid pixels, as fractions."""
    for name, target in targets_of(scene, factor=7, grid="scene").items():
        reduced = reduce_target(target)
        assert reduced.data.shape == target.coarse.shape
        if target.method in ("mean", "rms") and not target.band.spec.fill_from:
            values = pixels(target.band)
            good = values != target.band.nodata
            fill = target.band.nodata
            for i, j in [
                (0, 0),
                (3, 5),
                tuple(n - 1 for n in reduced.data.shape),
                *np.argwhere(reduced.data != fill)[::97],
            ]:
                at = np.s_[i * 7 : i * 7 + 7, j * 7 : j * 7 + 7]
                chosen = [int(v) for v in values[at][good[at]]]
                power = 2 if target.method == "rms" else 1
                if chosen:
                    mean = Fraction(sum(v**power for v in chosen), len(chosen))
                    wanted = round(mean) if power == 1 else round(math.sqrt(mean))
                    assert reduced.data[i, j] == wanted, name
                else:
                    assert reduced.data[i, j] == fill


#: All but those whose panchromatic band has other cells.
ALIKE = [kind for kind in KINDS if kind not in (("oli", 1), ("etm", 1))]


@pytest.mark.parametrize("kind", ALIKE, ids=lambda kind: f"{kind[0]}-{kind[1]}")
def test_cells_of_whole_scenes(kind, scenes):
    check_cells(scenes[kind])


DATA = os.environ.get("LANDSAT_DATA", "")


@pytest.mark.skipif(not DATA, reason="LANDSAT_DATA is not set")
@pytest.mark.parametrize(
    "path",
    [
        "stactools-landsat/assets3",
        "eo-datasets/LE07_L2SP_090084_20210331_20210426_02_T1",
        "eo-datasets/LT05_L2SP_090084_19980308_20200909_02_T1",
    ],
)
def test_real_scenes(path):
    check_cells(open_scene(str(Path(DATA) / path)))
