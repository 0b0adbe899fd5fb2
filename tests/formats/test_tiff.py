from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.io import MemoryFile
from tiffs import cog, pixels, tiff

from landsat_downsample import make_scene
from landsat_downsample.errors import ReadError
from landsat_downsample.formats.tiff import check_blocks, check_complete, full_resolution_run, verifiable
from landsat_downsample.formats.tiff_layout import TiffLayout

VARIANTS = {
    "tiled": dict(tiled=True, blockxsize=64, blockysize=32, compress="DEFLATE"),
    "strips": dict(blockysize=7, compress="DEFLATE", predictor=2),
    "uncompressed": dict(blockysize=16),
    "uncompressed tiles": dict(tiled=True, blockxsize=16, blockysize=16),
    "big": dict(tiled=True, blockxsize=64, blockysize=64, BIGTIFF="YES", compress="LZW"),
    "big-endian": dict(ENDIANNESS="BIG", tiled=True, blockxsize=64, blockysize=64),
    "zstd": dict(compress="ZSTD", blockysize=10),
    "planes": dict(INTERLEAVE="BAND", blockysize=9, compress="DEFLATE"),
    "interleaved": dict(INTERLEAVE="PIXEL", blockysize=9, compress="DEFLATE"),
}


def memory_read(data: bytes):
    return lambda offset, length: data[offset : offset + length]


def complete(data: bytes) -> TiffLayout:
    return check_complete(memory_read(data), len(data))


@pytest.mark.parametrize("name", VARIANTS)
def test_layout_is_the_one_gdal_reads(name):
    data = tiff(pixels(133, 101, 2), **VARIANTS[name])
    image = complete(data).directories[0]
    with MemoryFile(data) as memory, memory.open() as dataset:
        assert image.shape == dataset.shape
        assert image.block_shape == dataset.block_shapes[0]
        assert image.samples == dataset.count
        for index, (row, column) in enumerate(np.ndindex(*image.grid)):
            size = dataset.tags(1, ns="TIFF").get(f"BLOCK_SIZE_{column}_{row}")
            assert size is None or int(size) == image.counts[index]


def test_uncompressed_blocks_hold_the_pixels():
    array = pixels(40, 32)
    data = tiff(array, tiled=True, blockxsize=16, blockysize=16)
    image = complete(data).directories[0]
    blocks = [data[o : o + c] for o, c in zip(image.offsets, image.counts, strict=True)]
    first = np.frombuffer(blocks[3], "<u2").reshape(16, 16)
    np.testing.assert_array_equal(first, array[0, 16:32, 16:32])


@pytest.mark.parametrize("name", [*VARIANTS, "cog"])
def test_a_file_cut_at_any_byte_is_refused(name):
    data = cog(150, 140, 64) if name == "cog" else tiff(pixels(33, 21, 2), **VARIANTS[name])
    complete(data)
    step = max(1, len(data) // 1500)
    for stop in {*range(0, len(data), step), *range(len(data) - 40, len(data))}:
        with pytest.raises(ReadError):
            complete(data[:stop])


def check_whole_and_cut(folder: Path) -> int:
    """Files of a folder that pass whole, and fail without their last byte."""
    seen = 0
    for path in sorted(folder.rglob("*.TIF")):
        data = path.read_bytes()
        if data[:2] not in (b"II", b"MM"):
            continue
        layout = complete(data)
        with pytest.raises(ReadError, match="cut"):
            complete(data[:-1])
        if verifiable(layout.directories[0]):
            check_blocks(memory_read(data), layout.directories[0])
        seen += 1
    return seen


@pytest.mark.skipif("LANDSAT_DATA" not in os.environ, reason="LANDSAT_DATA is not set")
def test_real_files_pass_whole_and_fail_without_their_last_byte():
    assert check_whole_and_cut(Path(os.environ["LANDSAT_DATA"])) > 20


@pytest.mark.parametrize(("sensor", "level", "count"), [("oli", 2, 19), ("etm", 1, 24), ("tm", 2, 19), ("mss", 1, 6)])
def test_files_as_usgs_lays_them_out_pass_whole_and_fail_without_their_last_byte(sensor, level, count, tmp_path):
    make_scene(tmp_path, sensor=sensor, level=level, size=(310, 290))
    assert check_whole_and_cut(tmp_path) == count


def test_sparse_blocks_are_legitimate():
    array = np.zeros((1, 128, 128), "u2")
    array[0, :10, :10] = 7
    data = tiff(array, tiled=True, blockxsize=32, blockysize=32, SPARSE_OK="TRUE", compress="DEFLATE")
    image = complete(data).directories[0]
    assert (image.counts > 0).sum() == 1
    check_blocks(memory_read(data), image)


def test_the_full_resolution_of_a_cog_is_one_run_behind_its_overviews():
    data = cog()
    layout = complete(data)
    start, stop = full_resolution_run(layout)
    assert stop == len(data)
    assert layout.trailer == 4
    assert len(layout.directories) > 1
    # The oracle: with everything but header and run blanked, the pixels are the same.
    blanked = data[:4096] + bytes(start - 4096) + data[start:stop]
    with MemoryFile(data) as one, MemoryFile(blanked) as two, one.open() as a, two.open(OVERVIEW_LEVEL="NONE") as b:
        np.testing.assert_array_equal(a.read(), b.read())


def test_scattered_or_masked_layouts_have_no_run(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(pixels(300, 300), tiled=True, blockxsize=64, blockysize=64, compress="DEFLATE"))
    with rasterio.open(path, "r+") as dataset:
        dataset.write_mask(True)
    data = path.read_bytes()
    masks = [image for image in complete(data).directories if image.reduced]
    assert not masks or full_resolution_run(complete(data)) is None
    empty = tiff(np.zeros((1, 64, 64), "u2"), tiled=True, blockxsize=32, blockysize=32, SPARSE_OK="TRUE")
    assert full_resolution_run(complete(empty)) is None


def test_every_flipped_bit_of_a_deflate_block_is_found():
    data = tiff(pixels(32, 32, seed=3), tiled=True, blockxsize=32, blockysize=32, compress="DEFLATE", predictor=2)
    image = complete(data).directories[0]
    offset, count = int(image.offsets[0]), int(image.counts[0])
    good = zlib.decompress(data[offset : offset + count])
    for bit in range(count * 8):
        flipped = bytearray(data)
        flipped[offset + bit // 8] ^= 1 << bit % 8
        try:
            check_blocks(memory_read(bytes(flipped)), image)
        except ReadError:
            continue
        # The window size in zlib's header may differ and still decode to the same bytes.
        assert zlib.decompressobj().decompress(bytes(flipped[offset : offset + count])) == good


def test_a_bomb_is_stopped_at_the_size_of_its_block():
    data = tiff(np.zeros((1, 16, 16), "u2"), tiled=True, blockxsize=16, blockysize=16, compress="DEFLATE")
    image = complete(data).directories[0]
    bomb = zlib.compress(bytes(50_000_000))
    with pytest.raises(ReadError, match="513 bytes where 512"):
        check_blocks(lambda offset, length: bomb, image)


def classic(entries: list[tuple[int, int, int, int]], following: int = 0, size: int = 4096) -> bytes:
    body = struct.pack("<2sHIH", b"II", 42, 8, len(entries))
    body += b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return (body + struct.pack("<I", following)).ljust(size, b"\0")


IMAGE = [(256, 3, 1, 16), (257, 3, 1, 16), (258, 3, 1, 8), (273, 4, 1, 200), (278, 3, 1, 16), (279, 4, 1, 256)]


def changed(**values) -> list[tuple[int, int, int, int]]:
    new = {int(tag[1:]): entry for tag, entry in values.items()}
    return [new.get(entry[0], entry) for entry in IMAGE]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b'{"error": "x"}', "JSON"),
        (b"II*", "not a TIFF"),
        (b"II*\0\x08\0\0\0", "cut"),
        (classic(IMAGE, following=8), "loop"),
        (classic(changed(t273=(273, 4, 1 << 30, 100))), "cut or damaged"),  # 4 GiB of offsets
        (classic(changed(t273=(273, 4, 900, 100))), "offsets"),
        (classic(changed(t256=(256, 4, 1, 0))), "damaged"),
        (classic(changed(t256=(256, 4, 1, 0xFFFFFFFF), t257=(257, 4, 1, 0xFFFFFFFF))), "damaged|too large"),
        (classic(changed(t279=(279, 4, 1, 10))), "smaller than its pixels"),
        (classic(changed(t279=(279, 4, 1, 0xFFFFFFFF))), "beyond"),
        (classic(changed(t273=(273, 12, 1, 100))), "type 12|cut or damaged"),
        (struct.pack("<2sHI", b"II", 42, 8) + b"\xff\xff" + bytes(100), "65535 entries"),
        (struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16) + struct.pack("<Q", 1 << 60) + bytes(100), "entries"),
        (struct.pack("<2sHHHQ", b"II", 43, 8, 0, (1 << 64) - 4) + bytes(100), "cut or damaged"),
    ],
)
def test_hostile_headers_are_refused_at_once(data, words):
    with pytest.raises(ReadError, match=words):
        complete(data)


def test_a_long_chain_of_directories_is_refused():
    size = 2 + 12 * len(IMAGE) + 4
    entries = b"".join(struct.pack("<HHII", *entry) for entry in IMAGE)
    chain = b"".join(
        struct.pack("<H", len(IMAGE)) + entries + struct.pack("<I", 8 + (i + 1) * size) for i in range(1000)
    )
    with pytest.raises(ReadError, match="more than 256 images"):
        complete(struct.pack("<2sHI", b"II", 42, 8) + chain + bytes(1000))


def test_random_damage_gives_a_layout_or_our_error():
    good = cog(150, 140, 64)
    rng = np.random.default_rng(5)
    for _ in range(1500):
        data = bytearray(good)
        for _ in range(rng.integers(1, 6)):
            data[rng.integers(0, 2500)] = rng.integers(0, 256)
        try:
            complete(bytes(data))
        except ReadError:
            continue
