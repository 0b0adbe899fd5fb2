"""Bands read tile by tile: the pixels that GDAL gives, and no others."""

from __future__ import annotations

import math
import shutil
import zlib
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import rasterio
import streams
import tables
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.transform import from_origin
from tiffs import local_file

import landsat_downsample as ld
from landsat_downsample.errors import ReadError
from landsat_downsample.formats import tiff
from landsat_downsample.model.cells import Cells, Overlay
from landsat_downsample.pipeline import band as process
from landsat_downsample.pipeline import tiles as tiles_module

pytestmark = pytest.mark.skipif(not tiles_module.available, reason="installed without a C compiler: GDAL reads")


def write(path, values, *, nodata=None, predictor=2, block=(32, 48), sparse=False, **options):
    """A tiled GeoTIFF; a sparse one leaves out the tiles that are all nodata."""
    height, width = values.shape
    profile = {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "count": 1,
        "dtype": values.dtype,
        "crs": "EPSG:32621",
    }
    layout = {
        "tiled": True,
        "blockysize": block[0],
        "blockxsize": block[1],
        "compress": "DEFLATE",
        "predictor": predictor,
    }
    profile |= layout | {"transform": from_origin(0, 0, 30, 30), "nodata": nodata, "SPARSE_OK": sparse} | options
    with rasterio.open(path, "w", **profile) as target:
        target.write(values, 1)
    return str(path)


def opened(path, *part):
    file = local_file(path, *part)
    with rasterio.open(file.gdal_path) as source:
        nodata = source.nodata
        return tiles_module.open_tiles(file, path, source.dtypes[0], lambda: nodata), source.read(1)


def first_image(data):
    return tiff.parse(lambda a, n: bytes(data[a : a + n]), len(data)).directories[0]


def pixels(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, np.iinfo(dtype).max, shape, dtype)
    values[: shape[0] // 2, : shape[1] // 2] = 0
    return values


@contextmanager
def drawn_calls(data):
    """Tiles by the row, by some rows, or all in one call."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles_module, "TOGETHER", data.draw(st.sampled_from([1, 40_000, 1 << 25])))
        patch.setattr(tiles_module, "CELLS", data.draw(st.sampled_from([1, 100, 1 << 18])))
        yield


@settings(max_examples=60)
@given(data=st.data())
def test_rows_equal_gdal(data, tmp_path_factory):
    shape = data.draw(st.tuples(st.integers(1, 200), st.integers(1, 200)))
    values = pixels(shape, data.draw(st.sampled_from(["uint8", "uint16", "int16"])), data.draw(st.integers(0, 99)))
    nodata, sparse = data.draw(st.sampled_from([None, 0, 7])), data.draw(st.booleans())
    options = {"predictor": data.draw(st.sampled_from([1, 2])), "BIGTIFF": data.draw(st.sampled_from(["YES", "NO"]))}
    path = write(tmp_path_factory.mktemp("tiles") / "b.tif", values, nodata=nodata, sparse=sparse, **options)
    tiles, expected = opened(path)
    step = data.draw(st.integers(1, 90))
    with tiles as rows, drawn_calls(data):
        got = [rows.read(a, min(a + step, shape[0])) for a in range(0, shape[0], step)]
        start = data.draw(st.integers(0, shape[0] - 1))  # out of order, too
        np.testing.assert_array_equal(rows.read(start, shape[0]), expected[start:])
    np.testing.assert_array_equal(np.concatenate(got), expected, strict=True)


def weights(cells: Cells) -> np.ndarray:
    """Weight of each pixel in each cell of an axis: (cells, pixels)."""
    out = np.zeros((cells.size, cells.pixels), np.int64)
    for row, start, stop, head, tail in zip(out, cells.start, cells.stop, cells.head, cells.tail, strict=True):
        row[start:stop] = cells.unit
        row[max(stop - 1, start) : stop] = tail
        row[start : min(start + 1, stop)] = head
    return out


@settings(max_examples=80)
@given(data=st.data())
def test_sums_equal_matrix_products(data, tmp_path_factory):
    shape = data.draw(st.tuples(*[st.integers(4, 200)] * 2))
    values = pixels(shape, data.draw(st.sampled_from(["uint16", "int16"])), data.draw(st.integers(0, 99)))
    nodata, sparse = data.draw(st.sampled_from([None, 0, 7])), data.draw(st.booleans())
    path = write(
        tmp_path_factory.mktemp("sums") / "b.tif",
        values,
        nodata=nodata,
        sparse=sparse,
        predictor=data.draw(st.sampled_from([1, 2])),
    )
    ratio = data.draw(st.sampled_from(["1", "2", "5/2", "3", "4", "7", "21/2", "55/6", "64", "150"]).map(Fraction))
    offset = data.draw(st.sampled_from([Fraction(0), Fraction(1, 2), Fraction(-3)]))
    counts = [max(1, math.ceil((n + offset) / ratio) + data.draw(st.integers(0, 1))) for n in shape]
    cells = [Cells.cut(n, count, ratio, offset) for n, count in zip(shape, counts, strict=True)]
    first, last = sorted(data.draw(st.tuples(*[st.integers(0, cells[0].size)] * 2)))
    overlay = Overlay(cells[0].part(first, max(last, min(first + 1, cells[0].size))), cells[1])
    tiles, expected = opened(path)
    threads, moments = data.draw(st.sampled_from([1, 1, 2, 3])), data.draw(st.booleans())
    with tiles as rows, drawn_calls(data):
        parts = []
        for row, *made in rows.sums(overlay, nodata, threads, moments=moments) if overlay.rows.size else ():
            parts.append((row, *(array.copy() for array in made)))
    good = np.ones(shape, bool) if nodata is None else expected != nodata
    down, across = weights(overlay.rows), weights(overlay.columns).T
    assert [first for first, *_ in parts] == np.cumsum([0] + [len(count) for _, count, *_ in parts])[:-1].tolist()
    got = [np.concatenate(part) for part in list(zip(*parts, strict=True))[1:]]
    whole = np.where(good, expected, 0).astype(np.int64)
    for found, pixel in zip(got, (good, whole, whole**2), strict=False):
        np.testing.assert_array_equal(found, down @ pixel @ across)
    for found, least in zip(got[3:], (True, False), strict=False):
        for cell in zip(*np.nonzero(got[0]), strict=True):
            at = np.ix_(down[cell[0]] > 0, across[:, cell[1]] > 0)
            held = expected[at][good[at]]
            assert found[cell] == (held.min() if least else held.max())


def test_an_array_in_use_is_never_written_over(tmp_path):
    values = pixels((300, 64), "uint16")
    tiles, expected = opened(write(tmp_path / "b.tif", values))
    with tiles as rows:
        held = [rows.read(a, a + 30) for a in range(0, 300, 30)]
    np.testing.assert_array_equal(np.concatenate(held), expected)


def test_tiles_never_written_hold_nodata(tmp_path):
    values = np.full((64, 96), 7, np.int16)
    values[40:, 50:] = 3
    path = write(tmp_path / "b.tif", values, nodata=7, sparse=True)
    assert (first_image(Path(path).read_bytes()).counts == 0).any()
    tiles, expected = opened(path)
    with tiles as rows:
        np.testing.assert_array_equal(rows.read(0, 64), expected)


def test_a_member_of_a_tar_is_read_in_place(tmp_path):
    path = write(tmp_path / "b.tif", pixels((70, 100), "uint16"))
    data = Path(path).read_bytes()
    (tmp_path / "a.tar").write_bytes(b"x" * 512 + data + b"x" * 512)
    tiles, expected = opened(tmp_path / "a.tar", 512, len(data))
    with tiles as rows:
        np.testing.assert_array_equal(rows.read(0, 70), expected)


@pytest.mark.parametrize("options", [
    {"compress": "LZW"}, {"compress": "NONE", "predictor": 1}, {"compress": "ZSTD"}, {"ENDIANNESS": "BIG"},
    {"tiled": False}, {"dtype": "float32", "predictor": 3}, {"dtype": "uint32"}, {"dtype": "int8"},
    {"NBITS": "12", "predictor": 1},
])  # fmt: skip
def test_other_layouts_are_left_to_gdal(tmp_path, options):
    values = np.ones((40, 40), options.get("dtype", "uint16"))
    options = {k: v for k, v in options.items() if k != "dtype"}
    if not options.get("tiled", True):
        options |= {"blockxsize": 40, "blockysize": 8}
    tiles, _ = opened(write(tmp_path / "b.tif", values, **options))
    with tiles as rows:
        assert rows is None


def test_a_flipped_bit_is_an_error(tmp_path):
    path = write(tmp_path / "b.tif", pixels((64, 96), "uint16"))
    data = bytearray(Path(path).read_bytes())
    image = first_image(data)
    for at in np.linspace(2, int(image.counts[-1]) - 1, 40).astype(int):
        damaged = data.copy()
        damaged[int(image.offsets[-1]) + at] ^= 4
        (tmp_path / "d.tif").write_bytes(damaged)
        with (
            tiles_module.open_tiles(local_file(tmp_path / "d.tif"), "d.tif", "uint16", lambda: None) as rows,
            pytest.raises(ReadError, match=r"rows 32-64 of 'd.tif'.*damaged"),
        ):
            rows.read(0, 32)
            rows.read(32, 64)


def test_a_file_cut_while_it_is_read_is_an_error(tmp_path):
    path = write(tmp_path / "b.tif", pixels((64, 96), "uint16"))
    shutil.copy(path, tmp_path / "c.tif")
    with tiles_module.open_tiles(local_file(tmp_path / "c.tif"), "c.tif", "uint16", lambda: None) as rows:
        rows.read(0, 32)
        with open(tmp_path / "c.tif", "r+b") as file:
            file.truncate(5000)
        with pytest.raises(ReadError, match="cut short"):
            rows.read(32, 64)


def test_tiles_that_hold_too_little_are_an_error(tmp_path):
    path = write(tmp_path / "b.tif", np.zeros((32, 48), np.uint16))
    data = bytearray(Path(path).read_bytes())
    image = first_image(data)
    short = zlib.compress(bytes(10))
    data[int(image.offsets[0]) : int(image.offsets[0]) + len(short)] = short
    (tmp_path / "s.tif").write_bytes(data)
    with (
        tiles_module.open_tiles(local_file(tmp_path / "s.tif"), "s.tif", "uint16", lambda: None) as rows,
        pytest.raises(ReadError, match="damaged"),
    ):
        rows.read(0, 32)


READS = {
    "run": lambda band: process.reduce_target(ld.plan(band.parent, "out", factor=5, bands="red")[0].targets[0]),
    "area": lambda band: process.reduce_target(
        ld.plan(band.parent, "out", factor=5, bands="red", bounds=corner(band))[0].targets[0]
    ),
    "lazy": lambda band: ld.open_scene(band.parent)["red"].compute(),
    "lazy area": lambda band: ld.open_scene(band.parent)["red"][:30, :30].compute(),
    "coarsened": lambda band: ld.coarsen(ld.open_scene(band.parent)["red"], factor=5).compute(),
}


def corner(band):
    with rasterio.open(band) as source:
        left, top = source.bounds.left, source.bounds.top
    return left, top - 900, left + 900, top


@pytest.mark.parametrize("kernel", ["compiled", "plain"])
@pytest.mark.parametrize("way", READS)
def test_a_flipped_bit_is_an_error_whoever_reads(way, kernel, tmp_path, monkeypatch):
    if kernel == "plain":
        monkeypatch.setattr(tiles_module, "available", False)
    elif not tiles_module.available:
        pytest.skip("installed without a C compiler: GDAL reads")
    scene = ld.make_scene(tmp_path, size=(131, 117), bands=["SR_B4"])
    band = scene / f"{scene.name}_SR_B4.TIF"
    whole = band.read_bytes()
    image = first_image(whole)
    for bit in np.random.default_rng(3).integers(0, int(image.counts[0]) * 8, 12):
        damaged = bytearray(whole)
        damaged[int(image.offsets[0]) + bit // 8] ^= 1 << bit % 8
        band.write_bytes(damaged)
        with pytest.raises(ReadError, match="damaged"):
            READS[way](band)


@pytest.mark.parametrize("kernel", ["compiled", "plain"])
@pytest.mark.parametrize("good", [True, False], ids=["complete", "incomplete"])
def test_a_code_is_refused_that_leaves_bits_whoever_reads(good, kernel, tmp_path, monkeypatch):
    if kernel == "plain":
        monkeypatch.setattr(tiles_module, "available", False)
    lengths = [0] * 257
    lengths[65] = lengths[streams.END] = 1 if good else 2
    tile = streams.block(lengths, [0], [65] * 256 + [streams.END]).stream(b"A" * 256)
    (tmp_path / "b.tif").write_bytes(tables.tiled((16, 16), (16, 16), [tile], bits=8))
    target = ld.plan(tmp_path / "b.tif", "out", factor=4)[0].targets[0]
    if good:
        assert (process.reduce_target(target).data == 65).all()
        return
    with pytest.raises(ReadError, match="damaged"):
        process.reduce_target(target)
