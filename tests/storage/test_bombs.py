"""Small files that ask for much are refused by their headers, and take no more memory than others."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from command import call, peak_mib
from tables import ASCII, LONG, directory, image, tiled

import landsat_downsample as ld
from landsat_downsample.model.plan import estimate

ZEROS = zlib.compress(bytes(1 << 20))
WIDE = 1 << 14  # a tile of so many pixels a side takes 512 MiB


def chain(links: int) -> bytes:
    """Directories, each with the next one behind it."""
    one = {
        256: (LONG, [16]),
        257: (LONG, [16]),
        258: (LONG, [8]),
        273: (LONG, [8]),
        278: (LONG, [16]),
        279: (LONG, [8]),
    }
    size = len(directory(one, 8))
    parts = [directory(one, 8, 8 + (number + 1) * size) for number in range(links)]
    return struct.pack("<2sHI", b"II", 42, 8) + b"".join(parts)


def shared(tiles: tuple[int, int], side: int) -> bytes:
    """So many tiles, down and across, that are one."""
    count = tiles[0] * tiles[1]
    tables = {"counts": [len(ZEROS)] * count, "offsets": [4096] * count}
    return tiled((tiles[0] * side, tiles[1] * side), (side, side), [ZEROS], **tables)


SMALL = (16, 16), (16, 16)
HUGE, FAR = 0x7FFFFFF0, 0x80001000

#: A TIFF, and what is said of it. It is made longer, by a hole, to where its tables point.
BOMBS = {
    "64 tiles that are one": (shared((8, 8), WIDE), "too large for a Landsat band"),
    "8 tiles that are one": (shared((2, 4), WIDE), "share bytes"),
    "tiles that overlap": (tiled((16, 32), (16, 16), counts=[99, 99], offsets=[800, 898]), "share bytes"),
    "a tile of 2 GiB": (tiled((64, 64), (64, 64), counts=[HUGE], offsets=[999]), "more bytes than its pixels"),
    "a tile that decodes to 1 GiB": (tiled((64, 64), (WIDE, 2 * WIDE), [ZEROS]), "would need 1024 MiB"),
    "a wide row": (tiled((1, 1 << 30), (16, 1 << 30), [ZEROS]), "too large for a Landsat band"),
    "sides of 31 bits": (tiled((HUGE, HUGE), (HUGE, HUGE), [ZEROS]), "too large for a Landsat band"),
    "tiles of a pixel": (tiled((2048, 2048), (1, 1), counts=[1], offsets=[8]), "more than 2097152 blocks"),
    "a table that is too long": (tiled(*SMALL, counts=[1] * 99_999, offsets=[8] * 99_999), "lists 99999 offsets"),
    "many images": (chain(1000), "more than 256 images"),
    "images in a circle": (chain(1)[:-4] + struct.pack("<I", 8), "loop"),
    "images by the million": (tiled(*SMALL, [ZEROS], more={330: (LONG, [0] * (1 << 20))}), "cut or damaged"),
    "a comment of 2 GiB": (tiled(*SMALL, [ZEROS], more={270: (ASCII, (HUGE, 900))}), "MiB of tags"),
}


@pytest.fixture(params=BOMBS)
def bomb(request, tmp_path) -> tuple[Path, str]:
    data, words = BOMBS[request.param]
    return write(tmp_path / "band.tif", data), words


def test_a_bomb_is_refused_by_its_header(bomb):
    path, words = bomb
    reported = call("plan", path, "--factor", 4)
    assert reported.code == 1 and len(reported.lines) == 1 and words in reported.err, reported.err


def test_bombs_take_no_more_memory_than_others(tmp_path):
    usual = tmp_path / "LC08_L2SP_192028_20230714_20230724_02_T1_SR_B4.TIF"
    usual.write_bytes(image(np.full((64, 64), 7, np.uint16), (16, 16), predictor=2))
    code, least = peak_mib("run", usual, "--factor", 4, "--to", tmp_path / "out")
    assert code == 0
    bombs = [write(tmp_path / f"{number}.tif", data) for number, (data, _) in enumerate(BOMBS.values())]
    code, peak = peak_mib("run", *bombs, "--factor", 4, "--to", tmp_path / "none")
    assert code == 1 and peak < least + 64


def write(path: Path, data: bytes) -> Path:
    with open(path, "wb") as file:
        file.write(data)
        file.truncate(FAR + len(data))
    return path


def test_a_large_tile_is_in_the_memory_that_a_plan_reports(tmp_path):
    """A tile that is larger than its image is decoded whole."""
    path = tmp_path / "band.tif"
    path.write_bytes(tiled((64, 64), (4096, 4096), [zlib.compress(bytes(2 * 4096 * 4096), 1)]))
    (item,) = ld.plan(path, "out", factor=4)
    assert estimate(item)["peak_memory"] >= (64 << 20) + 2 * (2 * 4096 * 4096)
