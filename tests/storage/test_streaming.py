"""Remote bands decoded while they arrive: the pixels of the disk, or an error, whatever happens in their midst."""

from __future__ import annotations

import itertools
import os
import random
import threading
import zlib
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
from command import call, digests, wait_until
from conftest_s3 import figures, proxied, s3_env, seaweed  # noqa: F401 - fixtures
from fault_proxy import FAULTS, FaultProxy, FileServer
from staging_cases import served, to_s3

import landsat_downsample as ld
from landsat_downsample import ReadError
from landsat_downsample.formats import tiff
from landsat_downsample.formats.tiff_layout import TiffLayout
from landsat_downsample.model.location import Location
from landsat_downsample.model.policy import Policy
from landsat_downsample.pipeline import tiles as tiles_module
from landsat_downsample.pipeline.band import reduce_target
from landsat_downsample.storage import cancellation
from landsat_downsample.storage import files as store

POLICY = Policy(budget=1000, base=0.01, cap=0.05)
HASTY = Policy(budget=1000, timeout=0.5, base=0.01, cap=0.05)
SIZE = (1031, 1025)
HIGH = 256
"""Rows of a tile, as USGS cuts them."""

_native = tiles_module._native
pytestmark = pytest.mark.skipif(not tiles_module.available, reason="installed without a C compiler: GDAL reads")


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Path:
    return ld.make_scene(tmp_path_factory.mktemp("scene"), size=SIZE, bands=["SR_B4", "QA_PIXEL"])


@pytest.fixture(scope="module")
def band(scene) -> Path:
    return next(scene.glob("*_SR_B4.TIF"))


@pytest.fixture
def web(scene):
    with FileServer(served(scene)) as server, FaultProxy(server.endpoint) as proxy:
        yield proxy


@pytest.fixture(autouse=True)
def nothing_left():
    """No thread and no spilled file outlives a read, however it ends."""
    before = spilled()
    yield
    for thread in threading.enumerate():
        assert not thread.name.startswith("landsat-downsample-receive")
        if thread.name == "landsat-downsample-close":
            thread.join()
    assert spilled() == before


def spilled() -> list[str]:
    """Nameless files that this process has open: local copies, and those of the tests' own framework."""
    found = []
    for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        try:
            found.append(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:  # that of the listing itself
            continue
    return sorted(path for path in found if path.endswith("(deleted)"))


def href_of(web, band: Path) -> str:
    return f"{web.endpoint}/scene/{band.name}"


class Reader:
    """Reads all pixels of a path by tiles, and records how far each attempt came."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.streamed: list[bool] = []

    def __call__(self, file: store.LocalFile) -> np.ndarray:
        self.rows.append(0)
        self.streamed.append(file.arriving is not None)
        parts = []
        with tiles_module.open_tiles(file, "it", "uint16", lambda: 0) as tiles:
            for start in range(0, SIZE[0], HIGH):
                stop = min(start + HIGH, SIZE[0])
                parts.append(tiles.read(start, stop).copy())
                self.rows[-1] = stop
        return np.concatenate(parts)


def pixels(band: Path) -> np.ndarray:
    with rasterio.open(band, OVERVIEW_LEVEL="NONE") as source:
        return source.read(1)


def target_of(href, **options):
    (plan,) = ld.plan(href, to="out", **({"factor": 7} | options))
    return next(target for target in plan.targets if target.band.name.endswith("B4"))


# What is read ----------------------------------------------------------------------------------


@pytest.fixture(params=["s3", "http"])
def place(request, scene, band) -> tuple[FaultProxy, str]:
    """A proxy, and the href of the band behind it."""
    if request.param == "http":
        web = request.getfixturevalue("web")
        return web, href_of(web, band)
    proxy = request.getfixturevalue("proxied")
    return proxy, f"{to_s3(request.getfixturevalue('seaweed'), scene, 'fetch_streaming')}/{band.name}"


def test_two_requests_and_each_block_is_inflated_once(place, band, monkeypatch):
    proxy, href = place
    inflated = {"kernel": 0, "zlib": 0}

    def decode(checksum, handle, base, offsets, counts, *rest):
        inflated["kernel"] += np.count_nonzero(counts)
        return _native.decode(checksum, handle, base, offsets, counts, *rest)

    monkeypatch.setattr(tiles_module, "_native", SimpleNamespace(decode=decode))
    monkeypatch.setattr(tiff, "zlib", counting(zlib, "decompressobj", inflated, "zlib"))
    proxy.plan()
    reader = Reader()
    found, path = store.fetch_streaming(store.FetchRequest(Location(href), policy=POLICY), reader)
    np.testing.assert_array_equal(found, pixels(band))
    assert reader.streamed == [True]
    assert path.requests == len(proxy.seen) == 2 and path.received == proxy.down
    image = layout_of(band).directories[0]
    assert inflated == {"kernel": np.count_nonzero(image.counts), "zlib": 0}


def counting(module, name: str, counts: dict[str, int], key: str) -> SimpleNamespace:
    """A library of which the calls of one function are counted; it does its work as ever."""
    real = getattr(module, name)

    def counted(*args, **settings):
        counts[key] += 1
        return real(*args, **settings)

    return SimpleNamespace(**(vars(module) | {name: counted}))


def layout_of(band: Path) -> TiffLayout:
    data = band.read_bytes()
    return tiff.parse(lambda offset, length: data[offset : offset + length], len(data))


@pytest.mark.parametrize("size", [(1031, 1025), (769, 1300), (1280, 700)])
def test_cells_are_those_of_the_disk(size, tmp_path):
    scene = ld.make_scene(tmp_path, size=size, bands=["SR_B4", "QA_PIXEL"])
    with FileServer(served(scene)) as server:
        for factor, options in itertools.product((7, 10, 3.3), ({}, {"mask": "cloud"})):
            near = reduce_target(target_of(scene, factor=factor, **options))
            target = target_of(f"{server.endpoint}/scene/{scene.name}_MTL.json", factor=factor, **options)
            for threads in (1, 3):
                far = reduce_target(target, lambda n=threads: n)
                np.testing.assert_array_equal(near.data, far.data, strict=True)


def test_a_lazy_band_is_the_one_of_the_disk(scene, web):
    near = ld.coarsen(ld.open_scene(scene)["red"], factor=7).compute()
    web.plan(*[None] * 8, "flip", "midbody")
    far = ld.coarsen(ld.open_scene(f"{web.endpoint}/scene/{scene.name}_MTL.json")["red"], factor=7).compute()
    np.testing.assert_array_equal(near.values, far.values)


def test_what_gdal_reads_comes_whole_first(band, web, monkeypatch):
    near = reduce_target(target_of(band))
    monkeypatch.setattr(tiles_module, "available", False)
    target = target_of(href_of(web, band))
    for seed in range(6):
        web.random.seed(seed)
        web.plan("flip")
        np.testing.assert_array_equal(reduce_target(target).data, near.data)


def test_what_the_work_raises_comes_through_at_once(band, web):
    calls = []
    for error in (KeyError("of our own"), MemoryError(), TimeoutError("of our own")):

        def fail(path, error=error):
            calls.append(path)
            raise error

        with pytest.raises(type(error)) as caught:
            store.fetch_streaming(store.FetchRequest(Location(href_of(web, band)), policy=POLICY), fail)
        assert caught.value is error
    assert len(calls) == 3


# Faults in its midst ---------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["midbody", "cut", "stall", "short", "headers", "slowdown"])
def test_a_fault_after_decoding_began_is_retried(fault, band, web):
    web.plan(None, fault)
    reader = Reader()
    if fault in ("midbody", "cut"):
        web.may_break = lambda: reader.rows[0] >= HIGH
    found, path = store.fetch_streaming(
        store.FetchRequest(Location(href_of(web, band)), policy=HASTY if fault == "stall" else POLICY), reader
    )
    np.testing.assert_array_equal(found, pixels(band))
    assert set(reader.streamed) == {True} and reader.rows[-1] == SIZE[0]
    assert reader.rows[0] < SIZE[0]
    assert path.requests == len(web.seen)
    if fault != "stall":  # where a slow answer of another kind may have passed for one
        # From the start of the band: its header is asked for again.
        assert len(reader.rows) == 2 and len(web.seen) == 4


@pytest.mark.parametrize("seed", range(12))
def test_a_flipped_bit_is_fetched_again(seed, band, web):
    web.random.seed(seed)
    web.plan(None, "flip")
    reader = Reader()
    found, path = store.fetch_streaming(store.FetchRequest(Location(href_of(web, band)), policy=POLICY), reader)
    np.testing.assert_array_equal(found, pixels(band))
    assert path.requests == len(web.seen) and path.received == web.down
    assert len(reader.rows) == 2 or len(web.seen) == 2  # it may be in a byte that is no block's


@pytest.mark.parametrize(
    "fault", ["midbody", "flip", *(pytest.param(fault, marks=pytest.mark.slow) for fault in ("stall", "cut", "short"))]
)
def test_products_are_those_of_a_calm_network(fault, scene, web, tmp_path, monkeypatch):
    if fault == "stall":
        monkeypatch.setenv("LANDSAT_DOWNSAMPLE_TIMEOUT", "0.5")
    href = f"{web.endpoint}/scene/{scene.name}_MTL.json"
    words = ("--factor", 7, "--mask", "cloud", "--workers", 1, "-q")
    assert call("run", href, "--to", tmp_path / "calm", *words).code == 0
    calm = digests(tmp_path / "calm" / f"{scene.name}_downsampled")
    opening = next(
        k for k, seen in enumerate(web.seen) if not seen.headers.get("Range", "bytes=0-").startswith("bytes=0-")
    )
    for run in range(3):
        web.random.seed(run)
        web.plan(*[None] * opening, *[fault, None] * 2)
        assert call("run", href, "--to", tmp_path / str(run), *words).code == 0
        assert [seen.fault for seen in web.seen].count(fault) == 2
        assert digests(tmp_path / str(run) / f"{scene.name}_downsampled") == calm


class Restless(FileServer):
    """Another identity with each answer from the second on, to clients that insist on the first, too."""

    async def _answer(self, request):
        headers = {name: value for name, value in request.headers.items() if name != "If-Match"}
        answer = await super()._answer(request.clone(headers=headers))
        if len(self.seen) > 1:
            answer.headers["ETag"] = f'"{len(self.seen)}"'
        return answer


def test_an_object_changed_in_its_midst_is_refused(scene, band):
    with Restless(served(scene)) as server:
        reader = Reader()
        with pytest.raises(ReadError, match="was changed since it was first looked at; plan again"):
            store.fetch_streaming(
                store.FetchRequest(Location(f"{server.endpoint}/scene/{band.name}"), policy=POLICY), reader
            )
        assert reader.rows == [SIZE[0]], "its blocks were whole: only its identity tells"


@pytest.mark.parametrize("fault", ["midbody", "stall", "flip"])
@pytest.mark.slow
def test_a_fault_for_ever_ends_within_the_budget(fault, band, web):
    policy = Policy(budget=2, timeout=0.3, base=0.01, cap=0.05)
    href = href_of(web, band)
    with store.header(store.FetchRequest(Location(href), policy=POLICY)) as path:
        etag = path.etag
    web.plan(*[fault] * 1000)
    with pytest.raises(ReadError, match=rf"cannot read .*{band.name}.*gave up after \d+ tries"):
        store.fetch_streaming(store.FetchRequest(Location(href), etag=etag, policy=policy), Reader())
    assert web.faults, "more were to come"


def test_a_band_damaged_where_it_lies_is_refused_in_the_same_words(scene, band):
    files, image = served(scene), layout_of(band).directories[0]
    data = bytearray(band.read_bytes())
    data[int(image.offsets[-2]) + int(image.counts[-2]) // 2] ^= 16
    files[f"/scene/{band.name}"] = bytes(data)
    said = []
    with FileServer(files) as server:
        for read in (
            lambda href: store.fetch(store.FetchRequest(Location(href), policy=POLICY)).__enter__(),
            lambda href: store.fetch_streaming(store.FetchRequest(Location(href), policy=POLICY), Reader()),
        ):
            server.seen.clear()
            with pytest.raises(ReadError) as caught:
                read(f"{server.endpoint}/scene/{band.name}")
            said.append((str(caught.value), len(server.seen)))
    assert said[0] == said[1]
    assert f"block {len(image.counts) - 2} is damaged" in said[0][0] and "gave up after 4 tries" in said[0][0]


# Interruptions ---------------------------------------------------------------------------------


#: What is asked of it is never given up.
STUBBORN = Policy(budget=1000, timeout=1000)


@contextmanager
def unwanted_once(true):
    """Ask to stop once something is so, as a run that was interrupted does."""
    flag = threading.Event()

    def wait():
        wait_until(true)
        flag.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    with cancellation.stoppable(flag):
        yield
    waiting.join()


@pytest.mark.parametrize("way", ["streamed", "fetched"])
@pytest.mark.parametrize("fault", ["stall", "silence"])
def test_work_that_is_not_wanted_any_more_stops_at_once(way, fault, band, web):
    web.plan(None, fault)
    with pytest.raises(ReadError, match="stopped"), unwanted_once(lambda: len(web.seen) == 2):
        if way == "streamed":
            store.fetch_streaming(store.FetchRequest(Location(href_of(web, band)), policy=STUBBORN), Reader())
        else:
            store.fetch(store.FetchRequest(Location(href_of(web, band)), policy=STUBBORN)).__enter__()


def test_ctrl_c_in_the_midst_leaves_no_thread(band, web):
    def interrupted(path):
        path.arriving.wait(1)
        raise KeyboardInterrupt

    web.plan(None, "stall")
    with pytest.raises(KeyboardInterrupt):
        store.fetch_streaming(store.FetchRequest(Location(href_of(web, band)), policy=STUBBORN), interrupted)


def test_work_waits_for_a_turn_at_its_host(band, web):
    policy = Policy(budget=1000, per_host=1)
    read = {}

    def one(name: int) -> None:
        read[name] = store.fetch_streaming(store.FetchRequest(Location(href_of(web, band)), policy=policy), Reader())[0]

    threads = [threading.Thread(target=one, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(read) == [0, 1, 2, 3]
    for found in read.values():
        np.testing.assert_array_equal(found, pixels(band))


# By the hundred --------------------------------------------------------------------------------


@pytest.mark.slow
def test_seeded_faults(place, band, figures):  # noqa: F811
    (proxy, href), right = place, pixels(band)
    kind = href.partition(":")[0]
    rng, wrong, done, faults = random.Random(kind), 0, 0, 0
    policy = Policy(budget=1000, timeout=0.3, base=0.002, cap=0.02)
    runs = 100
    for _ in range(runs):
        proxy.plan(*(fault if rng.random() < 0.6 else None for fault in rng.choices(FAULTS + ("flip",) * 4, k=6)))
        try:
            found, _ = store.fetch_streaming(store.FetchRequest(Location(href), policy=policy), Reader())
        except ReadError:
            found = None
        done += found is not None
        wrong += found is not None and not np.array_equal(found, right)
        faults += sum(seen.fault is not None for seen in proxy.seen)
    figures.lines.append(f"{kind}: streamed {runs} times through {faults} faults: {done} right, {wrong} wrong")
    assert wrong == 0 and done > 0.7 * runs
