"""Earthdata Login against hosts on loopback that answer as NASA's do, under their own names; no secret goes astray."""

from __future__ import annotations

import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor

import earthdata_hosts as hosts
import numpy as np
import pytest
from conftest_earthdata import WAYS, by_netrc, by_token, certificate, hosts_of_earthdata  # noqa: F401 - fixtures
from conftest_s3 import apply
from earthdata_hosts import DATA, LOGIN, NAME, PASSWORD, PUBLIC, ROOT, S3, SIGNED
from tiffs import cog, pixels, read, tiff

from landsat_downsample.errors import MissingError, ReadError
from landsat_downsample.model.location import Location
from landsat_downsample.model.policy import Policy
from landsat_downsample.storage import files as store
from landsat_downsample.storage.fetch_request import FetchRequest

QUICK = Policy(budget=1000, base=0.01, cap=0.1)
SIZE = (1100, 900)
RANGED, WHOLE = cog(*SIZE, 256), tiff(pixels(300, 200), blockysize=16)
FILES = {"/G/B04.tif": RANGED, "/G/strips.tif": WHOLE, "/G/cmr.xml": b"<Granule/>", "/G/thumb.jpg": b"jpeg"}


@pytest.fixture(autouse=True)
def _files(world):
    world.files.update(FILES)


def fetched(href: str) -> np.ndarray:
    with store.fetch(FetchRequest(Location(href), policy=QUICK)) as file:
        return read(file.path)


def refusal(href: str = f"{ROOT}/G/B04.tif") -> str:
    """The words of a refusal, of one line and without any secret."""
    with pytest.raises(ReadError) as caught:
        fetched(href)
    words = str(caught.value)
    assert "\n" not in words and "never-shown" not in words and PASSWORD not in words and "Signature" not in words
    return words


@pytest.mark.parametrize("way", WAYS)
def test_bands_are_read_by_ranges_and_whole(world, monkeypatch, tmp_path, way):
    WAYS[way](monkeypatch, tmp_path)
    np.testing.assert_array_equal(fetched(f"{ROOT}/G/B04.tif"), pixels(*SIZE))
    np.testing.assert_array_equal(fetched(f"{ROOT}/G/strips.tif"), pixels(300, 200))
    assert store.read_bytes(f"{ROOT}/G/cmr.xml", policy=QUICK) == b"<Granule/>"
    assert store.exists(f"{ROOT}/G/cmr.xml", policy=QUICK)
    assert len([one for one in world.to(SIGNED) if "range" in one.headers]) >= 2
    # One login for all of it.
    assert len(world.to(LOGIN)) == (way == "netrc")


def test_name_and_password_may_come_from_the_environment(world, monkeypatch):
    monkeypatch.setenv("EARTHDATA_USERNAME", NAME)
    monkeypatch.setenv("EARTHDATA_PASSWORD", PASSWORD)
    np.testing.assert_array_equal(fetched(f"{ROOT}/G/B04.tif"), pixels(*SIZE))


def test_many_requests_at_once_log_in_once(world, monkeypatch, tmp_path):
    by_netrc(monkeypatch, tmp_path)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: store.read_bytes(f"{ROOT}/G/cmr.xml", policy=QUICK), range(16)))
    assert set(found) == {b"<Granule/>"} and len(world.to(LOGIN)) == 1


def test_a_cookie_that_ends_is_made_anew(world, monkeypatch, tmp_path):
    by_netrc(monkeypatch, tmp_path)
    fetched(f"{ROOT}/G/B04.tif")
    world.cookies.clear()
    fetched(f"{ROOT}/G/strips.tif")
    assert len(world.to(LOGIN)) == 2


def test_without_credentials_one_line_says_what_is_needed(world):
    words = refusal()
    assert f"'{ROOT}/G/B04.tif': an Earthdata login is needed: set EARTHDATA_TOKEN" in words
    assert f"machine {LOGIN} login NAME password WORD" in words
    assert world.to(LOGIN) == [] and len(world.to(DATA)) == 1
    # What needs no login is read without one.
    assert store.read_bytes(f"https://{DATA}/lp-prod-public/G/thumb.jpg", policy=QUICK) == b"jpeg"


def test_a_wrong_password_is_tried_once(world, monkeypatch, tmp_path):
    path = by_netrc(monkeypatch, tmp_path, "wrong-never-shown")
    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(lambda _: refusal(), range(12)))
    assert found == {
        f"cannot read '{ROOT}/G/B04.tif': Earthdata does not know the name and password of {path}: see whether they "
        f"open https://{LOGIN}"
    }
    assert len(world.to(LOGIN)) == 1
    by_netrc(monkeypatch, tmp_path)  # put right
    fetched(f"{ROOT}/G/B04.tif")


def test_a_token_that_is_refused(world, monkeypatch):
    by_token(monkeypatch, "revoked-never-shown")
    assert "Earthdata refuses the token of EARTHDATA_TOKEN: make another one" in refusal()
    assert world.to(LOGIN) == []  # to whom it is not sent
    by_token(monkeypatch, "two words")
    assert "EARTHDATA_TOKEN holds signs that no token has" in refusal()


def jwt(end: float) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"uid": "never-shown", "exp": end}).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJSUzI1NiJ9.{claims}.never-shown"


def test_a_token_that_ends_in_the_midst_of_a_run(world, monkeypatch):
    token = jwt(time.time() + 3600)
    by_token(monkeypatch, token)
    world.tokens.add(token)
    fetched(f"{ROOT}/G/B04.tif")
    world.tokens.discard(token)
    assert "Earthdata refuses the token of EARTHDATA_TOKEN: make another one" in refusal()


def test_a_token_that_says_that_it_has_ended_is_not_sent(world, monkeypatch):
    by_token(monkeypatch, jwt(1_700_000_000))
    assert "EARTHDATA_TOKEN ended on 2023-11-14: make another one" in refusal()
    assert world.asked == []


@pytest.mark.parametrize("status", [401, 403])
def test_the_data_host_may_refuse_a_token_itself(world, monkeypatch, status):
    by_token(monkeypatch)
    world.broken[DATA] = [status]
    assert ("refuses the token" if status == 401 else "(EULA)") in refusal()


@pytest.mark.parametrize("lacks", ["authorized", "agreed"])
@pytest.mark.parametrize("way", WAYS)
def test_an_account_that_has_not_agreed(world, monkeypatch, tmp_path, way, lacks):
    WAYS[way](monkeypatch, tmp_path)
    setattr(world, lacks, False)
    if way == "token" and lacks == "authorized":
        world.agreed = False  # of a token the data host says so
    assert "the Earthdata account is not allowed it: log in at https://urs" in refusal()


def test_faults_on_the_way_are_tried_again(world, monkeypatch, tmp_path):
    by_netrc(monkeypatch, tmp_path)
    world.broken = {DATA: [503, 500], LOGIN: [502, 429], SIGNED: [403, 503]}
    np.testing.assert_array_equal(fetched(f"{ROOT}/G/B04.tif"), pixels(*SIZE))


def test_what_is_not_there_is_missing(world, monkeypatch):
    by_token(monkeypatch)
    with pytest.raises(MissingError, match="there is no such object"):
        fetched(f"{ROOT}/G/B99.tif")


def test_an_address_that_is_refused_each_time(world, monkeypatch):
    """As S3 answers to who may not list a bucket: nobody can tell what is not there from what may not be read."""
    by_token(monkeypatch)
    world.broken[SIGNED] = [403] * 9
    assert "the store refuses its signed address, as it does where there is no such file; gave up after 4" in refusal()


def test_a_folder_is_not_listed(world, monkeypatch):
    by_token(monkeypatch)
    with pytest.raises(ReadError, match="lists no folders: give the granule's STAC item"):
        store.list_names(f"{ROOT}/G/", policy=QUICK)


@pytest.mark.parametrize(
    "target", [f"https://{PUBLIC[0]}/G/cmr.xml", f"https://{LOGIN}/oauth/authorize?client_id=evil"]
)
@pytest.mark.parametrize("way", WAYS)
def test_other_hosts_get_no_secret(world, monkeypatch, tmp_path, way, target):
    """A redirect of the data host leads anywhere; that of another host, to the login host, logs nobody in."""
    WAYS[way](monkeypatch, tmp_path)
    if LOGIN not in target:
        world.moved[f"/{hosts.BUCKET}/G/cmr.xml"] = target
        assert store.read_bytes(f"{ROOT}/G/cmr.xml", policy=QUICK) == b"<Granule/>"
        assert "authorization" not in world.to(PUBLIC[0])[-1].headers
        return
    store.read_bytes(target, policy=QUICK)
    assert [one.headers.get("authorization") for one in world.to(LOGIN)] == [None] * len(world.to(LOGIN))


@pytest.mark.parametrize("content", [f"machine {LOGIN} login {NAME} password two never-shown words\n", "\0never-shown"])
def test_a_netrc_that_is_wrong_is_not_quoted(world, monkeypatch, tmp_path, caplog, content):
    path = by_netrc(monkeypatch, tmp_path)
    path.write_text(content)
    assert f"{path} is not as a netrc file must be" in refusal()
    store.read_bytes(f"https://{PUBLIC[0]}/G/cmr.xml", policy=QUICK)
    assert "never-shown" not in caplog.text


# S3 ------------------------------------------------------------------------------------------


@pytest.fixture
def own_store(monkeypatch):
    """Keys and endpoint of a store of the user's own, which are for no bucket of these."""
    apply(
        monkeypatch,
        {
            "AWS_ACCESS_KEY_ID": "own-never-shown",
            "AWS_SECRET_ACCESS_KEY": "own-secret-never-shown",
            "AWS_SESSION_TOKEN": None,
            "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_PROFILE": None,
        },
    )


@pytest.mark.parametrize("way", WAYS)
def test_the_bucket_is_read_with_temporary_keys(world, own_store, monkeypatch, tmp_path, way):
    WAYS[way](monkeypatch, tmp_path)
    for _ in range(2):
        np.testing.assert_array_equal(fetched(f"s3://{hosts.BUCKET}/G/B04.tif"), pixels(*SIZE))
    assert [one.path for one in world.to(DATA)].count("/s3credentials") == (2 if way == "netrc" else 1)
    assert len(world.keys) == 1 and len(world.to(S3)) >= 2


def test_keys_are_renewed_before_they_end_and_when_they_are_refused(world, own_store, monkeypatch):
    by_token(monkeypatch)
    world.lifetime = 299  # of which nothing is left but the margin
    for _ in range(2):
        store.read_bytes(f"s3://{hosts.BUCKET}/G/cmr.xml", policy=QUICK)
    assert len(world.keys) == 2
    world.lifetime = 3600
    store.read_bytes(f"s3://{hosts.BUCKET}/G/cmr.xml", policy=QUICK)
    world.keys.clear()
    assert store.read_bytes(f"s3://{hosts.BUCKET}/G/cmr.xml", policy=QUICK) == b"<Granule/>"
    assert len(world.keys) == 1


def test_the_bucket_outside_of_its_region_and_without_a_login(world, own_store, monkeypatch):
    assert "an Earthdata login is needed" in refusal(f"s3://{hosts.BUCKET}/G/B04.tif")
    by_token(monkeypatch)
    world.broken[S3] = [403]
    assert f"inside of us-west-2 alone; elsewhere give hrefs of https://{DATA}" in refusal(
        f"s3://{hosts.BUCKET}/G/B04.tif"
    )


@pytest.mark.parametrize("host", PUBLIC)
def test_public_buckets_are_read_unsigned_in_their_region(world, own_store, host):
    np.testing.assert_array_equal(fetched(f"s3://{host.partition('.')[0]}/G/B04.tif"), pixels(*SIZE))
    assert {one.host for one in world.asked} == {host}
