"""A bit that flips in a header, which no checksum guards, is refused or changes neither a pixel nor a place.

What else tells of it: the directories of overviews, the MTL, other bands, USGS's own layout, a checksum in the folder.
"""

from __future__ import annotations

import hashlib
import random
import struct
from pathlib import Path

import numpy as np
import pytest
from command import call
from tiffs import cog, pixels, tiff

import landsat_downsample as ld
from landsat_downsample.errors import LandsatDownsampleError, ReadError, SceneError
from landsat_downsample.formats.tiff import check_complete
from landsat_downsample.formats.tiff_layout import TiffLayout
from landsat_downsample.model.options import Options
from landsat_downsample.model.plan import plan_scene
from landsat_downsample.pipeline.band import reduce_target

L2 = {"bands": ["SR_B4", "QA_PIXEL"]}
L1 = {"bands": ["B4", "B8", "QA_PIXEL"], "level": 1}
OVERVIEWS, NONE = {"size": (310, 290)}, {"size": (150, 140)}

#: Of which scene, which band is damaged, and which other files are not there.
CASES = {
    "of three tellers": (L2 | OVERVIEWS, "SR_B4", ()),
    "with an MTL alone": ({"bands": ["SR_B4"]} | OVERVIEWS, "SR_B4", ("stac",)),
    "with other bands alone": (L2 | OVERVIEWS, "SR_B4", ("MTL", "stac")),
    "without overviews": (L2 | NONE, "SR_B4", ()),
    "without overviews, with an MTL alone": ({"bands": ["SR_B4"]} | NONE, "SR_B4", ("stac",)),
    "without overviews, with other bands alone": (L2 | NONE, "SR_B4", ("MTL", "stac")),
    "with a checksum alone": ({"bands": ["SR_B4"]} | NONE, "SR_B4", ("MTL",)),
    "a quality band": (L2 | OVERVIEWS, "QA_PIXEL", ()),
    "a signed band": ({"bands": ["ST_EMIS", "QA_PIXEL"]} | OVERVIEWS, "ST_EMIS", ()),
    "panchromatic": (L1 | NONE, "B8", ()),
    "panchromatic, with other bands alone": (L1 | NONE, "B8", ("MTL", "stac")),
}

#: Those with the fewest tellers, of each header: what one of these refuses, more of them refuse too.
FEWEST = [case for case in CASES if case not in ("of three tellers", "without overviews", "panchromatic")]
#: A checksum of the whole file tells of every bit alike: some of them are enough.
FEWEST.remove("with a checksum alone")


class Damaged:
    """A scene of which one band is damaged again and again."""

    def __init__(self, folder: Path, case: str) -> None:
        recipe, self.band, without = CASES[case]
        self.scene = ld.make_scene(folder, **recipe)
        for path in self.scene.iterdir():
            if any(word in path.name for word in (*without, "MTL.json")):  # what the text says too is read faster
                path.unlink()
        (self.path,) = self.scene.glob(f"*_{self.band}.TIF")
        self.whole = self.path.read_bytes()
        layout = parse(self.whole)
        self.pixels = min(int(one.offsets[one.counts > 0].min()) for one in layout.directories)
        self.right = self.reduced()

    def reduced(self):
        scene = ld.open_scene(self.scene, bands=[self.band])
        targets = plan_scene(scene, "out", Options(factor=7)).targets
        (target,) = (target for target in targets if target.band.name == self.band)
        found = reduce_target(target)
        return found.data.copy(), found.nodata, target.coarse

    def put(self, at: int, value: int) -> None:
        with open(self.path, "r+b") as file:
            file.seek(at)
            file.write(bytes([value]))

    def flip(self, byte: int, bit: int) -> str:
        """What became of it: refused, or not changed."""
        self.put(byte, self.whole[byte] ^ 1 << bit)
        try:
            cells, nodata, grid = self.reduced()
        except LandsatDownsampleError:
            return "refused"
        finally:
            self.put(byte, self.whole[byte])
        where = f"byte {byte}, bit {bit}"
        np.testing.assert_array_equal(cells, self.right[0], where)
        assert nodata == self.right[1], where
        assert grid.shape == self.right[2].shape and grid.crs == self.right[2].crs, where
        moved = [abs(a - b) for a, b in zip(grid.bounds, self.right[2].bounds, strict=True)]
        assert max(moved) < 1e-3, where  # what an MTL can tell
        return "not changed"


def parse(data: bytes) -> TiffLayout:
    return check_complete(lambda offset, length: data[offset : offset + length], len(data))


@pytest.mark.parametrize("case", CASES)
def test_flipped_bits_of_a_header_change_nothing_or_are_refused(case, tmp_path):
    damaged = Damaged(tmp_path, case)
    places = [(byte, bit) for byte in range(damaged.pixels) for bit in range(8)]
    outcomes = [damaged.flip(*place) for place in random.Random(case).sample(places, 40)]
    assert outcomes.count("refused") >= 8


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("case", FEWEST)
def test_no_flipped_bit_of_a_header_changes_a_pixel_or_a_place(case, tmp_path):
    damaged = Damaged(tmp_path, case)
    outcomes = [damaged.flip(byte, bit) for byte in range(damaged.pixels) for bit in range(8)]
    assert outcomes.count("refused") > len(outcomes) / 4


# One kind at a time --------------------------------------------------------------------------


def entry(data: bytes, tag: int, directory: int = 0) -> int:
    """Where an entry of a directory of a classic little-endian TIFF lies."""
    (offset,) = struct.unpack_from("<I", data, 4)
    for _ in range(directory + 1):
        (count,) = struct.unpack_from("<H", data, offset)
        entries = [offset + 2 + 12 * k for k in range(count)]
        (offset,) = struct.unpack_from("<I", data, offset + 2 + 12 * count)
    return next(at for at in entries if struct.unpack_from("<H", data, at)[0] == tag)


def changed(data: bytes, at: int, *new: int) -> bytes:
    return data[:at] + bytes(new) + data[at + len(new) :]


@pytest.mark.parametrize("directory", [0, 1], ids=["full resolution", "overview"])
@pytest.mark.parametrize(
    ("tag", "value", "words"),
    [
        (259, 5, "compression"),
        (317, 1, "predictor"),
        (339, 2, "sample format"),
        (258, 8, "bits of a sample"),
        (284, 2, "planar"),
    ],
)
def test_directories_of_one_file_agree(directory, tag, value, words):
    data = cog()
    with pytest.raises(ReadError, match=rf"TIFF has {words}.*the file is damaged"):
        parse(changed(data, entry(data, tag, directory) + 8, value))


@pytest.mark.parametrize("directory", [0, 1], ids=["full resolution", "overview"])
def test_directories_of_one_file_agree_in_nodata(directory):
    data = cog()
    with pytest.raises(ReadError, match="another nodata value at full resolution than in an overview"):
        parse(changed(data, entry(data, 42113, directory) + 8, ord("1")))


@pytest.mark.parametrize(("tag", "other"), [(317, 257), (317, 284), (317, 325)], ids=["unsorted", "repeated", "late"])
def test_tags_rise(tag, other):
    data = cog()
    with pytest.raises(ReadError, match=r"TIFF tag \d+ follows tag \d+"):
        parse(changed(data, entry(data, tag), other & 255, other >> 8))


def test_blocks_do_not_share_bytes():
    data = tiff(pixels(300, 280), compress="DEFLATE", tiled=True, blockxsize=128, blockysize=128)
    image = parse(data).directories[0]
    (table,) = struct.unpack_from("<I", data, entry(data, 324) + 8)
    for offset in (int(image.offsets[1]), int(image.offsets[1] + 1), 8):
        with pytest.raises(ReadError, match=r"shares? bytes"):
            parse(changed(data, table, *struct.pack("<I", offset)))


def test_a_block_without_bytes_has_no_place():
    data = tiff(pixels(300, 280), compress="DEFLATE", tiled=True, blockxsize=128, blockysize=128)
    (table,) = struct.unpack_from("<I", data, entry(data, 325) + 8)
    with pytest.raises(ReadError, match="a block of no bytes"):
        parse(changed(data, table, 0, 0, 0, 0))


def test_nodata_that_collection_2_never_has_is_refused(tmp_path):
    (band,) = ld.make_scene(tmp_path, bands=["SR_B4"], **NONE).glob("*_SR_B4.TIF")
    data = band.read_bytes()
    band.write_bytes(changed(data, entry(data, 42113) + 8, ord("1")))
    for source in (band, band.parent):
        with pytest.raises(SceneError, match="nodata of SR_B4 is 0 in Collection 2, this file says 1"):
            ld.open_scene(source)


def test_bands_of_one_scene_are_decoded_in_one_way(tmp_path):
    folder = ld.make_scene(tmp_path, bands=["SR_B4", "SR_B5", "QA_PIXEL"], **NONE)
    for band in folder.glob("*.TIF"):  # as others write: no COG by GDAL
        height, width = ld.open_scene(band).grid.shape
        predictor = 1 if "SR_B5" in band.name else 2
        made = tiff(pixels(height, width), compress="DEFLATE", predictor=predictor, tiled=True)
        band.write_bytes(made)
    for text in folder.glob("*_MTL.*"):  # the place is another
        text.unlink()
    with pytest.raises(SceneError, match=r"SR_B5.TIF' says predictor 1, other bands of the scene do not"):
        ld.open_scene(folder)


# Checksums in the folder ---------------------------------------------------------------------


@pytest.fixture(name="checked", params=["item", "MD5"])
def _checked(request, tmp_path):
    """A scene beside which checksums lie, and its product."""
    folder = ld.make_scene(tmp_path / "in", **L2 | OVERVIEWS)
    if request.param == "MD5":
        for item in folder.glob("*_stac.json"):
            item.unlink()
        sums = [f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.name}" for path in folder.glob("*.TIF")]
        (folder / f"{folder.name}_MD5.txt").write_text("\n".join(sums))
    assert call("run", folder, "--to", tmp_path / "out", "--factor", 7, "-q").code == 0
    (product,) = (tmp_path / "out").iterdir()
    return folder, product


def test_verify_compares_the_checksums_that_lie_beside_a_source(checked):
    folder, product = checked
    reported = call("verify", product, "--source", folder)
    assert reported.code == 0 and "2 source files have the checksums that lie beside them" in reported.out
    band = next(folder.glob("*_SR_B4.TIF"))
    data = bytearray(band.read_bytes())
    data[parse(bytes(data)).directories[1].offsets[0] + 99] ^= 1  # in an overview, which no cell is made of
    band.write_bytes(data)
    reported = call("verify", product, "--source", folder)
    assert reported.code == 1 and "SR_B4.TIF': " in reported.err
    assert "checksum that lies beside it" in reported.err


def test_a_text_that_is_no_item_has_no_checksums(tmp_path):
    folder = ld.make_scene(tmp_path, bands=["SR_B4"], **NONE)
    for text in folder.glob("*_MTL.*"):
        text.unlink()
    for number, text in enumerate([b"{", b"[]", b'{"assets": 3}', b'{"assets": {"a": {}}}']):
        (folder / f"{number}_stac.json").write_bytes(text)
    assert list(ld.open_scene(folder).bands) == ["SR_B4"]
