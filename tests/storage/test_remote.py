from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from concurrent import futures
from functools import lru_cache

import numpy as np
import pytest
import rasterio
import s3
from command import call as shell
from conftest_s3 import apply, figures, proxied, s3_env, seaweed  # noqa: F401 - fixtures
from fault_proxy import FaultProxy, FileServer
from staging_cases import served, small
from tiffs import cog, pixels, read, tiff

from landsat_downsample.errors import ReadError, SceneError
from landsat_downsample.formats.tiff import full_resolution_run, parse
from landsat_downsample.model.location import Location, container
from landsat_downsample.model.policy import Policy
from landsat_downsample.storage import files as store
from landsat_downsample.storage import signing
from landsat_downsample.storage.publication import Publication

QUICK = Policy(budget=1000, base=0.01, cap=0.1)
HASTY = Policy(budget=1000, timeout=1, base=0.01, cap=0.1)
LARGE = (2100, 1900)


@lru_cache
def large() -> bytes:
    return cog(*LARGE, 256)


@lru_cache
def large_pixels() -> np.ndarray:
    return pixels(*LARGE)


def put(server, key: str, data: bytes) -> str:
    server.client().put_object(Bucket=s3.BUCKET, Key=key, Body=data)
    return f"s3://{s3.BUCKET}/{key}"


@pytest.fixture(scope="module")
def web():
    """A plain web server through a fault proxy."""
    files = {
        "/B4.TIF": large(),
        "/small.TIF": cog(),
        "/strips.TIF": tiff(pixels(300, 200), blockysize=16),
        "/end.TIF": tiff(pixels(900, 800), tiled=True, blockxsize=128, blockysize=128, compress="DEFLATE"),
        "/MTL.txt": b"GROUP = LANDSAT_METADATA_FILE\nEND\n" * 50,
        "/cut.TIF": large()[:-9000],
        "/empty.TIF": b"",
    }
    with FileServer(files) as server, FaultProxy(server.endpoint) as proxy:
        yield proxy


def gets(proxy) -> list:
    return [seen for seen in proxy.seen if seen.method == "GET"]


def run_bytes(data: bytes) -> int:
    layout = parse(lambda offset, length: data[offset : offset + length], len(data))
    start, stop = full_resolution_run(layout)
    return stop - start


@pytest.mark.parametrize("kind", ["s3", "http"])
def test_a_usgs_cog_takes_two_requests_and_its_full_resolution_bytes(kind, proxied, web, seaweed, figures):  # noqa: F811
    proxy, href = (proxied, put(seaweed, "B4.TIF", large())) if kind == "s3" else (web, f"{web.endpoint}/B4.TIF")
    proxy.plan()
    with store.fetch(store.FetchRequest(Location(href), policy=QUICK)) as file:
        np.testing.assert_array_equal(read(file.gdal_path), pixels(*LARGE))
        assert os.path.getsize(file.path) == len(large())
    assert len(proxy.seen) == 2
    ideal = 65536 + run_bytes(large())
    assert proxy.down <= 1.02 * ideal
    assert proxy.down < 0.85 * len(large())
    figures.lines.append(
        f"{kind}: band of {len(large())} bytes: {len(proxy.seen)} requests, {proxy.down} bytes "
        f"({proxy.down / ideal:.3f} of header + full resolution)"
    )


@pytest.mark.parametrize("name", ["small.TIF", "strips.TIF", "end.TIF"])
def test_other_layouts_come_whole(web, name):
    web.plan()
    with store.fetch(store.FetchRequest(Location(f"{web.endpoint}/{name}"), policy=QUICK)) as file:
        found = read(file.gdal_path)
    with (
        store.header(store.FetchRequest(Location(f"{web.endpoint}/{name}"), policy=QUICK)) as file,
        rasterio.open(file.gdal_path) as dataset,
    ):
        assert dataset.shape == found.shape[1:]
        assert dataset.crs.to_epsg() == 32621
    np.testing.assert_array_equal(found, pixels(*found.shape[1:]))


def test_headers_take_little_and_give_all_tags(proxied, seaweed):  # noqa: F811
    href = put(seaweed, "B4.TIF", large())
    proxied.plan()
    with (
        store.header(store.FetchRequest(Location(href), policy=QUICK)) as file,
        rasterio.open(file.gdal_path) as dataset,
    ):
        assert dataset.shape == LARGE
        assert dataset.overviews(1) == [2, 4, 8, 16]
    assert len(proxied.seen) == 2  # twice the same: nothing else guards a header over a bare connection
    assert proxied.down == 2 * 65536


@pytest.mark.parametrize("faults", [[], ["flip"], ["short"], ["cut"]])
def test_a_small_object_comes_whole_with_its_header_and_is_proven_by_the_store(faults, proxied, seaweed):  # noqa: F811
    data = cog(150, 130, 64)
    request = store.FetchRequest(Location(put(seaweed, f"small-{faults}.TIF", data)), policy=QUICK)
    proxied.plan(*faults)
    with store.header(request) as file, rasterio.open(file.gdal_path) as dataset:
        assert dataset.shape == (150, 130)
    known = store.FetchRequest(request.location, file.size, file.etag, policy=QUICK)
    with store.fetch(known) as file:
        np.testing.assert_array_equal(read(file.gdal_path), pixels(150, 130))
        assert file.requests == len(proxied.seen) == 1 + len(faults)
    whole = hashlib.sha256(data).hexdigest()
    with store.fetch(store.FetchRequest(request.location, file.size, file.etag, f"1220{whole}", QUICK)) as file:
        np.testing.assert_array_equal(read(file.gdal_path), pixels(150, 130))
    with (
        pytest.raises(ReadError, match="sha256 checksum"),
        store.fetch(store.FetchRequest(request.location, file.size, file.etag, f"1220{'0' * 64}", QUICK)),
    ):
        pass


@pytest.fixture(scope="module")
def stored(seaweed) -> str:  # noqa: F811
    return put(seaweed, "faults/B4.TIF", large())


WAITED_FOR = [pytest.param(fault, marks=pytest.mark.slow) for fault in ("stall", "silence")]


@pytest.mark.parametrize("fault", ["slowdown", "error", "reset", "headers", "midbody", "short", "cut", *WAITED_FOR])
@pytest.mark.parametrize("kind", ["s3", "http"])
def test_one_fault_is_retried(kind, fault, proxied, web, stored):  # noqa: F811
    proxy, href = (proxied, stored) if kind == "s3" else (web, f"{web.endpoint}/B4.TIF")
    for position in (0, 1):
        proxy.plan(*[None] * position, fault)
        with store.fetch(store.FetchRequest(Location(href), policy=HASTY)) as file:
            np.testing.assert_array_equal(read(file.gdal_path), large_pixels())


@pytest.mark.parametrize("name", ["B4.TIF", "strips.TIF", "MTL.txt"])
def test_flipped_bits_are_found_without_any_digest(web, name):
    good = None
    for seed in range(12):
        web.random.seed(seed)
        web.plan(None, *["flip"] * (seed > 0))
        href = f"{web.endpoint}/{name}"
        if name == "MTL.txt":
            found = store.read_bytes(href, policy=QUICK)
        else:
            with store.fetch(store.FetchRequest(Location(href), policy=QUICK)) as file:
                found = read(file.gdal_path).tobytes()
        good = found if good is None else good
        assert found == good


def test_busy_servers_are_waited_for(web):
    web.plan("busy")
    began = time.monotonic()
    assert store.read_bytes(f"{web.endpoint}/MTL.txt", policy=QUICK)
    assert time.monotonic() - began >= 1


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["slowdown", "error", "reset", "midbody", "short", "stall", "silence", "flip"])
def test_a_fault_for_ever_ends_within_the_budget(web, fault):
    policy = Policy(budget=2, timeout=0.5, base=0.01, cap=0.1)
    web.plan(*[fault] * 5000)
    with (
        pytest.raises(ReadError, match=r"B4\.TIF"),
        store.fetch(store.FetchRequest(Location(f"{web.endpoint}/B4.TIF"), policy=policy)) as file,
    ):
        # Flips may miss all blocks and tags that matter; then the pixels are right.
        assert fault == "flip"
        np.testing.assert_array_equal(read(file.gdal_path), pixels(*LARGE))
        raise ReadError("B4.TIF")
    assert web.faults, "more were to come"


@pytest.mark.parametrize(
    ("name", "fault", "words", "requests"),
    [
        ("B4.TIF", "login", "it is a web page", 1),
        ("B4.TIF", "forbidden", "status 403: access denied", 1),
        ("B5.TIF", None, "there is no such object", 1),
        ("cut.TIF", None, "TIFF is cut", 8),
        ("empty.TIF", None, "416|empty", 4),
        ("MTL.txt", None, "not a TIFF", 8),
    ],
)
def test_what_is_not_retryable_is_refused_soon(web, name, fault, words, requests):
    web.plan(fault)
    with (
        pytest.raises(ReadError, match=words),
        store.fetch(store.FetchRequest(Location(f"{web.endpoint}/{name}?sig=SECRET"), policy=QUICK)),
    ):
        pass
    assert len(web.seen) <= requests


def test_changed_objects_are_refused(web):
    href = f"{web.endpoint}/B4.TIF"
    with store.header(store.FetchRequest(Location(href), policy=QUICK)) as file:
        etag = file.etag
    web.plan()
    with store.fetch(store.FetchRequest(Location(href), etag=etag, policy=QUICK)):
        assert web.seen[0].headers["If-Match"] == f'"{etag}"'
    with (
        pytest.raises(ReadError, match="was changed"),
        store.fetch(store.FetchRequest(Location(href), etag="other", policy=QUICK)),
    ):
        pass
    with (
        pytest.raises(ReadError, match="were expected"),
        store.fetch(store.FetchRequest(Location(href), size=5, policy=QUICK)),
    ):
        pass


def test_an_object_replaced_between_two_requests_is_refused(web):
    with FileServer({"/B4.TIF": large()}) as server:
        handle, other = server._handle, cog(*LARGE, 256, seed=1)

        async def swap(request):
            reply = await handle(request)
            server.files["/B4.TIF"] = other
            return reply

        server._runner.server.request_handler = swap
        with (
            pytest.raises(ReadError, match="was changed"),
            store.fetch(store.FetchRequest(Location(f"{server.endpoint}/B4.TIF"), policy=QUICK)) as file,
        ):
            read(file.gdal_path)


def test_checksums_of_a_catalogue_are_compared(web):
    right = "1220" + hashlib.sha256(large()).hexdigest()
    web.plan("flip")
    with store.fetch(store.FetchRequest(Location(f"{web.endpoint}/B4.TIF"), checksum=right, policy=QUICK)) as file:
        np.testing.assert_array_equal(read(file.gdal_path), pixels(*LARGE))
    wrong = "1220" + "0" * 64
    with (
        pytest.raises(ReadError, match="sha256 checksum"),
        store.fetch(store.FetchRequest(Location(f"{web.endpoint}/B4.TIF"), checksum=wrong, policy=QUICK)),
    ):
        pass


def test_servers_without_ranges_or_lengths():
    files = {"/B4.TIF": large(), "/MTL.txt": b"END\n"}
    with FileServer(files, ranges=False) as server:
        with store.fetch(store.FetchRequest(Location(f"{server.endpoint}/B4.TIF"), policy=QUICK)) as file:
            np.testing.assert_array_equal(read(file.gdal_path), pixels(*LARGE))
        with (
            store.header(store.FetchRequest(Location(f"{server.endpoint}/B4.TIF"), policy=QUICK)) as file,
            rasterio.open(file.gdal_path) as dataset,
        ):
            assert dataset.shape == LARGE


def test_a_body_cut_without_content_length_is_refused(web):
    web.plan(*["cut"] * 50)
    with pytest.raises(ReadError, match=r"no length|cut"):
        store.read_bytes(f"{web.endpoint}/MTL.txt", policy=QUICK)
    web.plan(*["cut"] * 50)
    with pytest.raises(ReadError), store.fetch(store.FetchRequest(Location(f"{web.endpoint}/B4.TIF"), policy=QUICK)):
        pass


def test_a_body_cut_twice_the_same_way_is_found_by_its_total(web):
    web.plan(None, None)
    whole = store.read_bytes(f"{web.endpoint}/MTL.txt", policy=QUICK)
    web.plan("short", "short")
    assert store.read_bytes(f"{web.endpoint}/MTL.txt", policy=QUICK) == whole


def test_no_secret_in_any_message(web):
    secret = "?X-Amz-Signature=SECRET&sig=SECRET"
    base = web.endpoint.replace("http://", "http://user:SECRET@")
    calls = [
        lambda: store.read_bytes(f"{base}/none{secret}", policy=QUICK),
        lambda: store.list_names(f"{base}/none{secret}", policy=QUICK),
        lambda: store.fetch(store.FetchRequest(Location(f"{base}/cut.TIF{secret}"), policy=QUICK)).__enter__(),
        lambda: store.fetch(
            store.FetchRequest(Location(f"http://127.0.0.1:9/B4.TIF{secret}"), policy=Policy(budget=0.3))
        ).__enter__(),
        lambda: store.fetch(
            store.FetchRequest(Location(f"http://user:SECRET@no.such.host.invalid/B4.TIF{secret}"), policy=QUICK)
        ).__enter__(),
    ]
    for call in calls:
        with pytest.raises(ReadError) as caught:
            call()
        error: BaseException | None = caught.value
        while error is not None:
            assert "SECRET" not in str(error)
            error = error.__cause__ if error.__suppress_context__ or error.__cause__ else error.__context__


def test_shell_metacharacters_in_a_url_are_only_characters():
    name = "/a b;$(touch x)&'.TIF"
    with (
        FileServer({name: cog()}) as server,
        store.fetch(store.FetchRequest(Location(f"{server.endpoint}{name}"), policy=QUICK)) as file,
    ):
        np.testing.assert_array_equal(read(file.gdal_path), pixels(700, 600))


# --- S3 -----------------------------------------------------------------------------------


def test_listing_and_looking(s3_env):  # noqa: F811
    put(s3_env, "list/a.TIF", b"1")
    put(s3_env, "list/deep/b.TIF", b"1")
    assert store.list_names("s3://scenes/list") == ["a.TIF"]
    assert store.exists("s3://scenes/list/a.TIF")
    assert store.exists("s3://scenes/list")
    assert not store.exists("s3://scenes/nothing")
    with pytest.raises(ReadError, match=r"cannot list 's3://scenes/nothing'.*no such"):
        store.list_names("s3://scenes/nothing")


def test_keys_that_are_wrong_or_missing(seaweed, monkeypatch):  # noqa: F811
    apply(monkeypatch, s3.environ(seaweed.endpoint, ("testkey", "wrong")))
    monkeypatch.setenv("LANDSAT_DOWNSAMPLE_TIMEOUT", "7")  # a filesystem of its own: keys are read once
    with pytest.raises(ReadError, match="status 403"):
        store.read_bytes("s3://scenes/ready")
    with pytest.raises(ReadError, match="status 403"):
        store.exists("s3://scenes/ready")


def test_a_reader_may_read_and_not_write(seaweed, monkeypatch):  # noqa: F811
    apply(monkeypatch, s3.environ(seaweed.endpoint, s3.RO))
    monkeypatch.setenv("LANDSAT_DOWNSAMPLE_TIMEOUT", "8")
    assert store.read_bytes("s3://scenes/ready") == b"1"
    publication = Publication("s3://scenes/ro", "x_downsampled")
    with pytest.raises(SceneError.__base__, match="status 403 AccessDenied: access denied") as caught:
        publication.put("a", b"1")
    assert "requester" not in str(caught.value)


def test_requester_pays_is_said_to_the_store(proxied, seaweed):  # noqa: F811
    put(seaweed, "ready", b"1")
    proxied.plan()
    store.read_bytes("s3://scenes/ready", policy=Policy(requester_pays=True))
    assert all(seen.headers.get("x-amz-request-payer") == "requester" for seen in proxied.seen)
    proxied.plan("forbidden")
    with pytest.raises(ReadError, match="--requester-pays"):
        store.read_bytes("s3://scenes/ready")
    assert "x-amz-request-payer" not in proxied.seen[0].headers


def test_many_threads_share_one_session(proxied, seaweed):  # noqa: F811
    hrefs = [put(seaweed, f"many/{i}.TIF", cog(seed=i)) for i in range(4)] * 6
    proxied.plan(*["slowdown", None, "midbody", None, None] * 4)

    def one(href: str) -> bool:
        with store.fetch(store.FetchRequest(Location(href), policy=QUICK)) as file:
            return bool((read(file.gdal_path) == pixels(700, 600, seed=int(href[-5]))).all())

    before = set(threading.enumerate())
    with futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, hrefs))
    more = set(threading.enumerate()) - before
    assert len(more) < 12, more  # of one session, whoever works besides


def in_a_process(href: str) -> int:
    with store.fetch(store.FetchRequest(Location(href), policy=QUICK)) as file:
        return int(read(file.gdal_path).sum())


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_processes(s3_env, method):  # noqa: F811
    href = put(s3_env, "process.TIF", cog())
    wanted = in_a_process(href)  # the parent has sessions open already
    with futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool:
        assert list(pool.map(in_a_process, [href] * 4)) == [wanted] * 4


@pytest.mark.parametrize("end", ["", "raise SystemExit(3)", "import threading; [t.join() for t in ts]"])
def test_nothing_is_said_at_exit(s3_env, web, end):  # noqa: F811
    web.plan()
    href = put(s3_env, "exit.TIF", cog())
    code = f"""
import threading
from landsat_downsample.model.location import Location
from landsat_downsample.storage import files as store
def go(href):
    with store.fetch(store.FetchRequest(Location(href))) as file:
        print(file.size > 0)
for href in ({href!r}, {web.endpoint + "/B4.TIF"!r}):
    go(href)
    ts = [threading.Thread(target=go, args=(href,)) for _ in range(3)]
    [t.start() for t in ts]
    [t.join() for t in ts]
{end}
"""
    done = subprocess.run([sys.executable, "-X", "dev", "-c", code], capture_output=True, check=False, text=True)
    assert done.stdout.count("True") == 8
    noise = [line for line in done.stderr.splitlines() if "Warning" in line or "Error" in line or "Unclosed" in line]
    ours = [line for line in noise if "DeprecationWarning" not in line]
    assert not ours, done.stderr
    assert done.returncode == (3 if "3" in end else 0)


# --- Planetary Computer -------------------------------------------------------------------


class Tokens(FileServer):
    """A token service and its blobs: a blob needs the token last given."""

    given = 0

    async def _handle(self, request):
        from aiohttp import web as aio

        if request.path.startswith("/token/"):
            self.given += 1
            expiry = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
            body = {"token": f"sv=1&sig=T{self.given}", "msft:expiry": expiry}
            return aio.Response(body=json.dumps(body).encode(), content_type="application/json")
        if request.query.get("sig") != f"T{self.given}" or self.given == 0:
            return aio.Response(status=403)
        return await super()._handle(request)


def test_blobs_are_signed_just_before_reading_and_again_at_403(monkeypatch):
    with Tokens({"/account/landsat-c2/B4.TIF": cog()}) as server:
        monkeypatch.setenv("LANDSAT_DOWNSAMPLE_SAS_ENDPOINT", f"{server.endpoint}/token")
        href = f"{server.endpoint}/account/landsat-c2/B4.TIF"
        for _ in range(3):
            with store.fetch(store.FetchRequest(Location(href), policy=QUICK)) as file:
                np.testing.assert_array_equal(read(file.gdal_path), pixels(700, 600))
        assert server.given == 1
        server.given = 7  # all tokens given so far are void
        assert store.exists(href, policy=QUICK)
        assert store.read_bytes(href, policy=QUICK) == cog()


class Fickle(Tokens):
    """Takes its tokens back after some requests, once."""

    async def _handle(self, request):
        if len(self.seen) == 6 and self.given == 1:
            self.given = 50
        if self.given > 50 and request.query.get("sig", "")[1:] in map(str, range(51, 60)):
            return await FileServer._handle(self, request)
        return await super()._handle(request)


def test_a_run_signs_anew_and_keeps_no_signature(monkeypatch, tmp_path):
    scene = small(tmp_path / "scene")
    with Fickle(served(scene, "/account/landsat-c2")) as server:
        monkeypatch.setenv("LANDSAT_DOWNSAMPLE_SAS_ENDPOINT", f"{server.endpoint}/token")
        href = f"{server.endpoint}/account/landsat-c2/{scene.name}_MTL.json"
        result = shell("run", href, "--to", tmp_path / "out", "--factor", 5)
        assert result.code == 0 and server.given > 50, result.err
    reported = [result.out, result.err] + [
        path.read_bytes().decode("latin-1") for path in (tmp_path / "out").rglob("*.*") if path.is_file()
    ]
    assert not any("sig=" in text for text in reported)


def test_only_blobs_of_the_planetary_computer_without_a_signature_are_signed():
    assert container(Location("https://landsateuwest.blob.core.windows.net/landsat-c2/a.TIF?sig=x")) is None
    assert container(Location("https://other.blob.core.windows.net/landsat-c2/a.TIF")) is None
    assert container(Location("s3://landsat-c2/a.TIF")) is None


def test_tokens_are_renewed_before_they_end():
    signing._tokens.clear()
    asked = []

    def fetch(url):
        asked.append(url)
        return json.dumps({"token": f"sig={len(asked)}", "msft:expiry": "2026-01-01T01:00:00Z"}).encode()

    href = Location("https://landsateuwest.blob.core.windows.net/landsat-c2/a.TIF")
    base = 1767225600.0  # 2026-01-01T00:00:00Z
    assert signing.sign(href, fetch, now=base).href == f"{href}?sig=1"
    assert signing.sign(href, fetch, now=base + 3200).href == f"{href}?sig=1"
    assert signing.sign(href, fetch, now=base + 3400).href == f"{href}?sig=2"
    assert asked[0].href.endswith("/landsateuwest/landsat-c2")
    signing._tokens.clear()
