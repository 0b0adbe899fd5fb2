"""Listings of many prefixes from pages that they share tell what each one's own listing tells, and cost no more."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import s3
from conftest_s3 import proxied, s3_env, seaweed  # noqa: F401 - fixtures

from landsat_downsample.errors import ReadError
from landsat_downsample.formats.s3_page import parse_page
from landsat_downsample.model.location import Location
from landsat_downsample.model.policy import Policy
from landsat_downsample.storage import transport
from landsat_downsample.storage.listed import below, listed, neighbours

POLICY = Policy(budget=5, base=0.01)

#: Folders with names as no Landsat scene has them, what lies in each, and folders that are not there.
ODD = {
    "a b+c%d": ["x y", "é&<>", "100%", "a+b", "sub/deeper/file", "zz"],
    "marked": ["", "one"],
    "deep": [f"sub/{number:03}" for number in range(120)] + ["own"],
    "wide": [f"{number:03}" for number in range(75)],
    **{f"scene_{number:02}": [f"scene_{number:02}_B{band}.TIF" for band in range(number % 7)] for number in range(40)},
}
LACKING = ["nothing", "wid", "wider", "scene_100", "z"]


def put(server, root: str, folders: dict[str, list[str]]) -> dict[str, tuple[int, str]]:
    """Put objects of different bytes; their names, bytes and ETags as the store gave them."""
    client = server.client()

    def one(name: str) -> tuple[str, tuple[int, str]]:
        body = b"" if name.endswith("/") else b"x" * (sum(name.encode()) % 11)
        return name, (len(body), client.put_object(Bucket=s3.BUCKET, Key=f"{root}/{name}", Body=body)["ETag"])

    names = [f"{folder}/{file}" for folder, files in folders.items() for file in files]
    with ThreadPoolExecutor(8) as pool:
        return dict(pool.map(one, names))


def of_folder(stored: dict[str, tuple[int, str]], folder: str) -> list[tuple[str, int, str]]:
    """What a folder's listing has to tell."""
    parts = [(name.rpartition("/"), facts) for name, facts in stored.items()]
    return sorted((file, *facts) for (of, _, file), facts in parts if of == folder and file)


def places(root: str, names) -> list[Location]:
    return [Location(f"s3://{s3.BUCKET}/{root}/{name}") for name in names]


def check(root: str, stored, folders: list[str], left_out: set[str] = frozenset()) -> None:
    asked = dict(zip((place.href for place in places(root, folders)), folders, strict=True))
    told = {asked[place.href]: files for place, files in neighbours(places(root, folders), POLICY)}
    assert told == {folder: of_folder(stored, folder) for folder in folders if folder not in left_out}
    for folder in folders:
        assert listed(places(root, [folder])[0], POLICY) == of_folder(stored, folder)


def test_pages_of_many_prefixes_tell_what_each_listing_tells(proxied, seaweed):  # noqa: F811
    root = uuid.uuid4().hex
    stored = put(seaweed, root, ODD)
    check(root, stored, [*ODD, *LACKING])
    proxied.plan()
    assert dict(below(places(root, [""])[0], [], POLICY)) == stored
    starts = ["a b+c%d", "deep", "nothing", "scene_20", "zzz"]
    assert dict(below(places(root, [""])[0], starts, POLICY)) == stored
    proxied.plan()
    few = ["scene_01", "scene_02", "scene_39"]
    assert len(list(neighbours(places(root, few), POLICY))) == 3
    assert len(proxied.seen) <= 3  # never more than one by one


@pytest.mark.slow
def test_many_pages(proxied, seaweed):  # noqa: F811
    """Folders of which pages hold only the beginning; one that is larger than a page."""
    root = uuid.uuid4().hex
    folders = {f"{number:03}": [f"B{band}" for band in range(23)] for number in range(101)}
    folders |= {"050": [f"B{band:04}" for band in range(1003)], "051": [f"sub/{band:04}" for band in range(1007)]}
    stored = put(seaweed, root, folders)
    proxied.plan()
    check(root, stored, list(folders), left_out={"050", "051"})
    assert dict(below(places(root, [""])[0], sorted(folders)[10::10], POLICY)) == stored
    proxied.plan()
    list(neighbours(places(root, [*folders][:40]), POLICY))
    assert len(proxied.seen) <= 2
    proxied.plan()
    sparse = [*folders][::9]
    list(neighbours(places(root, sparse), POLICY))
    assert len(proxied.seen) <= len(sparse) + 1
    assert all("max-keys=1000" not in one.path for one in proxied.seen[1:])


@pytest.mark.parametrize("fault", ["login", "cut", "slowdown", "midbody", "error"])
def test_what_fails_is_asked_for_again(fault, proxied, seaweed):  # noqa: F811
    root = uuid.uuid4().hex
    stored = put(seaweed, root, {"a": ["1", "2"], "b": ["3"]})
    proxied.plan(fault)
    check(root, stored, ["a", "b"])


def test_what_is_refused_is_said(proxied):  # noqa: F811
    proxied.plan("forbidden")
    with pytest.raises(ReadError, match=r"cannot list 's3://.*access denied"):
        list(neighbours(places("no", ["a", "b"]), POLICY))


def test_a_reader_who_pays_says_so_of_every_page(proxied):  # noqa: F811
    list(neighbours(places("none", ["a", "b"]), Policy(requester_pays=True)))
    assert {one.headers["x-amz-request-payer"] for one in proxied.seen} == {"requester"}


def test_other_listings_of_the_client_are_as_before(s3_env):  # noqa: F811
    root = uuid.uuid4().hex
    put(s3_env, root, {"a": ["1", "2"]})
    place = places(root, ["a"])[0]
    assert len(listed(place, POLICY)) == 2
    found = transport.listing(place, deep=False, policy=POLICY, seconds=5)
    assert [(one["name"].rpartition("/")[2], one["type"], "LastModified" in one) for one in found] == [
        ("1", "file", True),
        ("2", "file", True),
    ]


def test_a_client_that_parses_answers_itself_gives_the_same(s3_env, monkeypatch):  # noqa: F811
    """As botocore before 1.35, which lets nobody else read them."""
    root = uuid.uuid4().hex
    stored = put(s3_env, root, ODD)
    monkeypatch.setattr(transport, "parse_page", lambda body: parse_page(b""))
    check(root, stored, list(ODD)[:8])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html/>",
        b"<Error><Code>SlowDown</Code></Error>",
        b"<ListBucketResult/>",
        b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        b"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a</Key></Contents></ListBucketResult>",
    ],
)
def test_what_is_no_listing_is_refused(body):
    with pytest.raises(ValueError):
        parse_page(body)
