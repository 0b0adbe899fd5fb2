"""What goes wrong is told in one line, with the right exit code, and leaves nothing behind."""

from __future__ import annotations

import errno
import json
import os
import random
import shlex
import shutil
import subprocess
import threading
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from command import BESIDE, Result, call, command, digests, holds, peak_mib, write_tif
from loopback import serving
from rasterio.control import GroundControlPoint
from rasterio.errors import CRSError

import landsat_downsample as ld
from landsat_downsample.execution import threads
from landsat_downsample.execution.work import BandWork
from landsat_downsample.model.options import Options
from landsat_downsample.model.plan import plan_scene
from landsat_downsample.storage.publication import Publication

FACTOR = ("--factor", 4)


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Path:
    bands = ["SR_B3", "SR_B4", "ST_CDIST", "QA_PIXEL", "QA_RADSAT"]
    return ld.make_scene(tmp_path_factory.mktemp("scenes"), size=(131, 117), bands=bands)


@pytest.fixture
def copy(scene, tmp_path) -> Path:
    """The scene, to be spoilt."""
    return Path(shutil.copytree(scene, tmp_path / scene.name))


def refused(result: Result, dest: Path, code: int, *words: str) -> None:
    """One line on stderr that says all of `words`, the exit code, and no trace of a product."""
    assert result.code == code, result.err
    assert result.out == ""
    assert len(result.lines) == 1, result.err
    assert result.said[0].startswith("landsat-downsample")
    for word in words:
        assert word in result.err
    assert "Traceback" not in result.err and "unexpected" not in result.err
    assert holds(dest) == []


def band(scene: Path, name: str) -> Path:
    return scene / f"{scene.name}_{name}.TIF"


# Sources ---------------------------------------------------------------------------------------


def _rotated() -> Affine:
    return Affine.translation(300000, 5200000) @ Affine.rotation(5) @ Affine.scale(30, -30)


def _gcps() -> list[GroundControlPoint]:
    corners = [(0, 0), (0, 50), (40, 0), (40, 50)]
    return [GroundControlPoint(row=y, col=x, x=300000 + 30 * x, y=5200000 - 30 * y) for y, x in corners]


BAD_FILES = {
    # What is wrong: how to write such a file, and words that its message must have.
    "text": (lambda path: path.write_text("no picture at all"), ["not a TIFF"]),
    "empty": (lambda path: path.write_bytes(b""), ["empty"]),
    "html": (lambda path: path.write_text("<!DOCTYPE html><html><body>Please log in"), ["web page"]),
    "tiff magic only": (lambda path: path.write_bytes(b"II*\0"), []),
    "no CRS": (lambda path: write_tif(path, crs=None), ["no CRS"]),
    "rotated": (lambda path: write_tif(path, transform=_rotated()), ["rotated"]),
    "ground control points": (lambda path: write_tif(path, transform=None, gcps=_gcps()), ["control points"]),
    "south up": (lambda path: write_tif(path, transform=Affine(30, 0, 3e5, 0, 30, 5e6)), ["south-up"]),
    "complex": (lambda path: write_tif(path, np.zeros((40, 50), "complex64")), ["complex64"]),
    "64-bit": (lambda path: write_tif(path, np.zeros((40, 50), "int64")), ["int64"]),
    "64 bands": (lambda path: write_tif(path, np.zeros((64, 40, 50), "uint8")), ["64 bands"]),
}


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("what", BAD_FILES)
def test_a_file_that_is_no_band_is_refused(what, tmp_path):
    write, words = BAD_FILES[what]
    path = tmp_path / "band.TIF"
    write(path)
    refused(call("run", path, "--to", tmp_path / "out", *FACTOR), tmp_path / "out", 1, str(path), *words)


@pytest.mark.parametrize("name", ["nothing.TIF", "nothing", "nothing.tar", "nothing_MTL.txt", "nothing.json"])
def test_what_is_not_there_is_reported(name, tmp_path):
    refused(call("run", tmp_path / name, "--to", tmp_path / "out", *FACTOR), tmp_path / "out", 1, name)


@pytest.mark.parametrize("href", ["", "  "])
def test_an_empty_href_is_wrong_usage(href, tmp_path):
    refused(call("run", href, "--to", tmp_path / "out", *FACTOR), tmp_path / "out", 2, "href is empty")


def test_a_web_address_that_has_nothing_is_reported(tmp_path):
    with serving(folder=tmp_path) as address:
        result = call("run", f"{address}/B4.TIF?sig=secret", "--to", tmp_path / "out", *FACTOR)
    refused(result, tmp_path / "out", 1, f"{address}/B4.TIF")
    assert "secret" not in result.err


def cut_places(size: int) -> list[int]:
    """Both ends byte by byte, and anywhere between."""
    anywhere = random.Random(7).sample(range(size), 40)
    return sorted({*range(0, 16), *range(size - 16, size), size // 2, *anywhere})


def test_a_band_that_was_cut_anywhere_is_refused(scene, tmp_path):
    whole = band(scene, "SR_B4").read_bytes()
    path = tmp_path / "SR_B4.TIF"
    for length in cut_places(len(whole)):
        path.write_bytes(whole[:length])
        result = call("run", path, "--to", tmp_path / "out", *FACTOR, "-q")
        refused(result, tmp_path / "out", 1, str(path))


def test_a_band_with_a_hole_fails_its_scene(copy, tmp_path):
    path = band(copy, "SR_B4")
    whole = path.read_bytes()
    hole = slice(650, 850)  # inside the first block's Huffman tables
    path.write_bytes(whole[: hole.start] + bytes(200) + whole[hole.stop :])
    result = call("run", copy, "--to", tmp_path / "out", *FACTOR, "-q")
    refused(result, tmp_path / "out", 1, path.name)


def test_one_bad_band_fails_its_scene_and_not_the_others(scene, tmp_path):
    other = ld.make_scene(tmp_path / "other", size=(131, 117), bands=["SR_B4", "QA_PIXEL"], seed=4)
    path = band(other, "SR_B4")
    path.write_bytes(path.read_bytes()[:-300])
    result = call("run", other, tmp_path / "nothing", scene, "--to", tmp_path / "out", *FACTOR, "-q")
    assert result.code == 3
    assert len(result.lines) == 2 and "nothing" in result.err and path.name in result.err
    assert [json.loads(line)["id"] for line in result.out.splitlines()] == [scene.name]
    assert holds(tmp_path / "out") == [f"{scene.name}_downsampled", *BESIDE]


def test_a_sparse_file_of_a_huge_size_is_read_in_bounded_memory(tmp_path):
    side, path = 20480, tmp_path / "sparse.TIF"
    profile = {"driver": "GTiff", "count": 1, "height": side, "width": side, "dtype": "uint16", "crs": "EPSG:32633"}
    tiles = {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "DEFLATE", "sparse_ok": True}
    with rasterio.open(path, "w", **profile, **tiles, transform=Affine(30, 0, 3e5, 0, -30, 5.2e6)):
        pass
    assert path.stat().st_size < 1 << 20
    code, peak = peak_mib("run", path, "--to", tmp_path / "out", "--factor", 100, "-q")
    assert code == 0 and peak < 500


def test_a_huge_file_in_one_block_is_refused(tmp_path):
    side, path = 20480, tmp_path / "block.TIF"
    profile = {"driver": "GTiff", "count": 1, "height": side, "width": side, "dtype": "uint16", "crs": "EPSG:32633"}
    block = {"tiled": False, "blockysize": side, "compress": "DEFLATE", "sparse_ok": True}
    with rasterio.open(path, "w", **profile, **block, transform=Affine(30, 0, 3e5, 0, -30, 5.2e6)):
        pass
    result = call("run", path, "--to", tmp_path / "out", "--factor", 100)
    refused(result, tmp_path / "out", 1, "block of 20480 x 20480", "rewrite it")


def test_an_mtl_of_another_frame_is_refused(copy, tmp_path):
    for path in copy.glob("*_MTL.*"):
        text = path.read_text()
        for key in ("CORNER_UL_PROJECTION_X_PRODUCT", "CORNER_LR_PROJECTION_X_PRODUCT"):
            text = _moved(text, key)
        path.write_text(text)
    refused(call("run", copy, "--to", tmp_path / "out", *FACTOR), tmp_path / "out", 1, "MTL disagrees")


def _moved(text: str, key: str) -> str:
    """The same MTL with one coordinate 300 m further east, in any of its formats."""
    head, mark, rest = text.partition(key)
    digits = "".join(character if character in "0123456789." else " " for character in rest)
    number = digits.split()[0]
    return head + mark + rest.replace(number, f"{float(number) + 300:.3f}", 1)


def test_bands_on_two_grids_are_refused(copy, tmp_path):
    with rasterio.open(band(copy, "SR_B3")) as source:
        data, profile = source.read(), source.profile
    profile["transform"] @= Affine.translation(1, 0)
    profile = {key: profile[key] for key in ("dtype", "crs", "transform", "nodata")}
    write_tif(band(copy, "SR_B3"), data, **profile)
    refused(call("run", copy, "--to", tmp_path / "out", *FACTOR), tmp_path / "out", 1, "different grids", "SR_B3")


def test_collection_1_codes_under_a_collection_2_name_are_refused(copy, tmp_path):
    path = band(copy, "QA_PIXEL")
    with rasterio.open(path) as source:
        shape, profile = source.shape, source.profile
    codes = np.random.default_rng(3).choice(np.array([1, 2720, 2724, 2800, 6896, 3744], "uint16"), shape)
    write_tif(path, codes, crs=profile["crs"], transform=profile["transform"])
    refused(call("run", copy, "--to", tmp_path / "out", *FACTOR, "-q"), tmp_path / "out", 1, "QA_PIXEL", "Collection 1")


# Requests --------------------------------------------------------------------------------------

BAD_REQUESTS = [
    (["--factor", 0], 2, "greater than zero"),
    (["--factor", "-3"], 2, "greater than zero"),
    (["--factor", "nan"], 2, "factor nan is not a number"),
    (["--factor", "inf"], 2, "factor inf is not a number"),
    (["--factor", "many"], 2, "'many' is not a number"),
    (["--factor", 1000], 2, "larger than the image"),
    (["--factor", 0.5], 2, "finer than the source"),
    (["--resolution", 0], 2, "greater than zero"),
    (["--resolution", 10], 2, "finer than the source"),
    (["--size", "0,0"], 2, "must be positive"),
    (["--size=-3,4"], 2, "must be positive"),
    (["--size", "100"], 2, "'100' is not W,H"),
    (["--size", "1,2,3"], 2, "is not W,H"),
    (["--size", "a,b"], 2, "is not W,H"),
    (["--size", "9999,0"], 2, "finer than the source"),
    ([], 2, "one of --factor, --resolution and --size is missing"),
    (["--factor", 4, "--size", "9,9"], 2, "not allowed with"),
    ([*FACTOR, "--bands", "SR_B9"], 2, "it has SR_B3"),
    ([*FACTOR, "--bands", "nir08"], 2, "'nir08' is not in"),
    ([*FACTOR, "--bands", ""], 2, "empty name"),
    ([*FACTOR, "--bands", "red,,green"], 2, "empty name"),
    ([*FACTOR, "--mask", "fog"], 2, "choose from"),
    ([*FACTOR, "--qa", "guess"], 2, "choose one of"),
    ([*FACTOR, "--method", "QA_PIXEL=mean"], 2, "its values are bits"),
    ([*FACTOR, "--method", "QA_RADSAT=max"], 2, "its values are bits"),
    ([*FACTOR, "--method", "red=guess"], 2, "choose one of"),
    ([*FACTOR, "--method", "red"], 2, "BAND=METHOD"),
    ([*FACTOR, "--method", "swir16=max"], 2, "'swir16' is not in"),
    ([*FACTOR, "--min-valid", 2], 2, "between 0 and 1"),
    ([*FACTOR, "--min-valid", "nan"], 2, "between 0 and 1"),
    ([*FACTOR, "--workers", 0], 2, "at least 1"),
    ([*FACTOR, "--colour"], 2, "there is no option --colour"),
]


@pytest.mark.parametrize(("options", "code", "words"), BAD_REQUESTS, ids=lambda value: str(value)[:40])
def test_a_wrong_request_is_refused(options, code, words, scene, tmp_path):
    refused(call("run", scene, "--to", tmp_path / "out", *options), tmp_path / "out", code, words)


def test_a_contradiction_is_reported_once_for_all_sources(tmp_path):
    result = call("run", "a", "b", "c", "--to", tmp_path / "out", "--factor", 0)
    refused(result, tmp_path / "out", 2, "factor 0")


def test_a_flag_that_the_sensor_does_not_have_is_refused(tmp_path):
    scene = ld.make_scene(tmp_path, sensor="tm", size=(61, 57), bands=["SR_B4", "QA_PIXEL"])
    result = call("run", scene, "--to", tmp_path / "out", *FACTOR, "--mask", "cirrus")
    refused(result, tmp_path / "out", 2, "'cirrus'", "cloud_shadow")


# Destinations ----------------------------------------------------------------------------------


def test_a_destination_that_is_a_file_is_refused(scene, tmp_path):
    dest = tmp_path / "file"
    dest.write_text("mine")
    refused(call("run", scene, "--to", dest, *FACTOR, "-q"), dest, 1, str(dest))
    assert dest.read_text() == "mine"


@pytest.mark.parametrize("dest", ["/proc/nowhere", "/dev/null/deeper"])
def test_a_destination_that_takes_nothing_is_refused(dest, scene):
    refused(call("run", scene, "--to", dest, *FACTOR, "-q"), Path(dest), 1, dest)


@pytest.mark.parametrize("dest", ["", "https://example.com/out", "tar://a::b.tar"])
def test_a_destination_that_cannot_be_one_is_wrong_usage(dest, scene, tmp_path):
    refused(call("run", scene, "--to", dest, *FACTOR, "-q"), tmp_path / "out", 2)


def test_a_full_disk_is_reported_and_left_clean(scene, tmp_path):
    dest = tmp_path / "small"
    dest.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(dest)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system is not permitted here")
    try:
        refused(call("run", scene, "--to", dest, *FACTOR, "-q"), dest, 1, "no space left")
    finally:
        subprocess.run(["umount", str(dest)], check=True)


def test_a_product_of_other_parameters_is_kept(scene, tmp_path):
    dest = tmp_path / "out"
    assert call("run", scene, "--to", dest, *FACTOR, "-q").code == 0
    before = digests(dest / f"{scene.name}_downsampled")
    result = call("run", scene, "--to", dest, "--factor", 5, "--mask", "cloud", "-q")
    assert result.code == 1 and len(result.lines) == 1
    assert "was made with factor 4, no mask; asked for is factor 5, mask cloud" in result.err
    assert "--overwrite" in result.err
    assert digests(dest / f"{scene.name}_downsampled") == before
    assert call("run", scene, "--to", dest, "--factor", 5, "--mask", "cloud", "-q", "--overwrite").code == 0
    assert digests(dest / f"{scene.name}_downsampled") != before
    assert holds(dest) == [f"{scene.name}_downsampled"]


def test_a_changed_source_is_not_taken_for_the_same(copy, tmp_path):
    dest = tmp_path / "out"
    assert call("run", copy, "--to", dest, *FACTOR, "-q").code == 0
    with rasterio.open(band(copy, "SR_B4")) as source:
        data, crs, transform = source.read() + 1, source.crs, source.transform
    write_tif(band(copy, "SR_B4"), data, crs=crs, transform=transform, nodata=0)
    result = call("run", copy, "--to", dest, *FACTOR, "-q")
    assert result.code == 1 and "source has changed" in result.err


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch], ids=["folder", "file"])
def test_what_is_not_ours_is_kept(make, scene, tmp_path):
    place = tmp_path / "out" / f"{scene.name}_downsampled"
    place.parent.mkdir()
    make(place)
    if place.is_dir():
        (place / "thesis.txt").write_text("mine")
    result = call("run", scene, "--to", tmp_path / "out", *FACTOR, "-q")
    assert result.code == 1 and "no product of ours" in result.err and len(result.lines) == 1
    assert holds(tmp_path / "out") == [place.name]
    assert not place.is_dir() or holds(place) == ["thesis.txt"]


def test_two_sources_of_one_product_are_refused(scene, tmp_path):
    copy = shutil.copytree(scene, tmp_path / "copy" / scene.name)
    refused(call("run", scene, copy, "--to", tmp_path / "out", *FACTOR), tmp_path / "out", 2, "both be written to")


def test_a_scene_and_its_own_mtl_are_one_source(scene, tmp_path):
    result = call("run", scene, scene / f"{scene.name}_MTL.txt", "--to", tmp_path / "out", *FACTOR, "-q")
    assert result.code == 0 and len(result.out.splitlines()) == 1


def test_a_source_given_twice_is_done_once(scene, tmp_path):
    spelt_otherwise = os.path.relpath(scene)
    result = call("run", scene, spelt_otherwise, scene, "--to", tmp_path / "out", *FACTOR, "-q")
    assert result.code == 0 and len(result.out.splitlines()) == 1


def test_a_product_is_not_made_into_itself(scene, tmp_path):
    dest = tmp_path / "out"
    assert call("run", scene, "--to", dest, *FACTOR, "-q").code == 0
    product = dest / f"{scene.name}_downsampled"
    before = digests(product)
    link = tmp_path / "link"
    link.symlink_to(dest)
    for place in (dest, link):
        result = call("run", product, "--to", place, "--factor", 2, "--overwrite", "-q")
        assert result.code == 2 and "lies inside" in result.err
    assert digests(product) == before
    assert call("run", product, "--to", tmp_path / "again", "--factor", 2, "-q").code == 0


WEIRD = [
    "a b.TIF",
    "it's.TIF",
    'say "x".TIF',
    "$(touch owned) `id`; rm -rf *.TIF",
    "Zürich 山.TIF",
    "50%25?#&.TIF",
    "-q.TIF",
]


@pytest.mark.parametrize("name", WEIRD)
def test_a_weird_name_is_a_name(name, tmp_path):
    folder = tmp_path / "in & out"
    folder.mkdir()
    path = write_tif(folder / name)
    result = call("run", path, "--to", folder / "über", *FACTOR, "-q")
    assert result.code == 0, result.err
    stem = name.removesuffix(".TIF")
    href = json.loads(result.out)["href"]
    assert href == str(folder / "über" / f"{stem}_downsampled" / f"{stem}_downsampled.stac.json")
    assert f"{stem}_downsampled.TIF" in holds(Path(href).parent)
    assert holds(folder) == sorted([name, "über"])


def test_a_name_that_is_no_text_is_refused(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.TIF"))
    shutil.move(write_tif(tmp_path / "plain.TIF"), path)
    process = subprocess.run(command("run", path, "--to", tmp_path / "out", *FACTOR), capture_output=True, check=False)
    assert process.returncode == 2 and b"rename it" in process.stderr and b"Traceback" not in process.stderr
    assert holds(tmp_path / "out") == []


def test_a_traceback_is_shown_only_when_asked_for(tmp_path):
    argv = ("run", tmp_path / "nothing.TIF", "--to", tmp_path / "out", *FACTOR)
    assert "Traceback" not in call(*argv).err
    assert "Traceback" in call(*argv, "-v").err


# The machine ------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", ["<&-", "< /dev/null"])
def test_a_closed_stdin_is_an_empty_one(stream, tmp_path):
    words = f"{shlex.join(command('run', '-', '--to', tmp_path / 'out', *FACTOR))} {stream}"
    done = subprocess.run(["sh", "-c", words], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == "landsat-downsample: list 'stdin' names no scene: give one href a line\n"


LACKING = {
    "memory": (MemoryError(), "too little memory"),
    # As PROJ words it where SQLite gets none.
    "memory of PROJ": (CRSError("The EPSG code is unknown. PROJ: SQLite error [ out of memory ]"), "too little memory"),
    "threads": (RuntimeError("can't start new thread"), "no more threads may be started"),
    "files": (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "too many"),
    "the file": (FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "B4.TIF"), "no such file"),
}


@pytest.mark.parametrize("what", LACKING)
def test_a_band_that_lacks_something_says_what(what, scene, tmp_path):
    """Whatever the machine lacks once a band is open."""
    error, words = LACKING[what]

    def idle_threads():
        raise error

    (target, *_) = plan_scene(ld.open_scene(band(scene, "SR_B4")), str(tmp_path), Options(factor=4)).targets
    publication = Publication(str(tmp_path), "x_downsampled")
    item = threads._Item(BandWork(target, publication), Future(), threading.Event())
    threads._settle(item, idle_threads)
    publication.abort()
    found = item.future.exception()
    assert isinstance(found, ld.ReadError) and words in str(found)
    assert "SR_B4" in str(found) and "Error" not in str(found)
