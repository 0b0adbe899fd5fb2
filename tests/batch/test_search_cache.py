from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import s3
from command import call
from conftest_s3 import s3_env, seaweed  # noqa: F401
from stac_api import StacApi, like, usgs_items

import landsat_downsample as ld
from landsat_downsample.batch.entry import Entry
from landsat_downsample.batch.scene_lists import recorded_entries
from landsat_downsample.batch.search_cache import freeze, frozen
from landsat_downsample.batch.stac_query import Query
from landsat_downsample.errors import UsageError, WriteError
from landsat_downsample.model.location import Location
from landsat_downsample.storage import files, small_objects

USGS = ("landsat-c2l2-sr", "landsat-c2l2-st")


@pytest.fixture
def served(tmp_path):
    scene = ld.make_scene(tmp_path / "served", size=(61, 57), bands=["SR_B4", "ST_B10", "QA_PIXEL"])
    items = [like(item, number) for number in range(1, 6) for item in usgs_items(scene)]
    with StacApi("usgs", items, tmp_path / "served") as api:
        yield api


@pytest.fixture(params=["local", "s3", "memory"])
def dest(request, tmp_path) -> str:
    if request.param == "local":
        return str(tmp_path / "out")
    if request.param == "memory":
        return f"memory://{tmp_path.name}/out"
    request.getfixturevalue("s3_env")
    return f"s3://{s3.BUCKET}/frozen-{os.getpid()}-{tmp_path.name}"


def labels(entries: list[Entry]) -> list[str]:
    return [entry.label for entry in entries]


def test_a_search_is_made_once_for_a_destination(served, dest):
    query = Query(served.url, USGS, path_row="192/28")
    href, entries = frozen(query, dest)
    assert href == (Location(dest) / "_runs" / f"search-{query.digest}.ndjson").href
    assert len(entries) == 5 and len(served.asked) == 1
    kept = files.read_bytes(href)
    served.items = served.items[2:]  # the catalogue changes
    again, same = frozen(query, dest)
    assert (again, labels(same), len(served.asked)) == (href, labels(entries), 1)
    assert [entry.to_dict() for entry in same] == [entry.to_dict() for entry in entries]
    _, fewer = frozen(query, dest, again=True)
    assert labels(fewer) == labels(entries)[1:] and len(served.asked) == 2
    assert labels(frozen(query, dest)[1]) == labels(fewer) and files.read_bytes(href) != kept
    other, _ = frozen(Query(served.url, USGS, path_row="192/28", limit=1), dest)
    assert other != href


def test_a_search_that_fails_leaves_no_list(served, dest):
    query = Query(served.url, USGS, tier="T2")
    with pytest.raises(UsageError, match="found no scene"):
        frozen(query, dest)
    assert not files.exists(Location(dest) / "_runs" / f"search-{query.digest}.ndjson")


def test_runs_side_by_side_see_one_list(served, tmp_path):
    query = Query(served.url, USGS)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: frozen(query, str(tmp_path / "out")), range(8)))
    assert len({json.dumps([entry.to_dict() for entry in entries]) for _, entries in found}) == 1
    assert os.listdir(tmp_path / "out" / "_runs") == [f"search-{query.digest}.ndjson"]


def test_a_list_is_written_whole_or_not_at_all(dest):
    href = (Location(dest) / "_runs" / "x" / "scenes.ndjson").href
    entries = [Entry("s3://bucket/a"), Entry("/data/b")]
    assert freeze(entries, href)
    assert recorded_entries(href) == entries
    assert not freeze(entries[:1], href, create=True)
    assert recorded_entries(href) == entries
    assert freeze(entries[:1], href)
    assert recorded_entries(href) == entries[:1]


def test_places_that_refuse(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(WriteError, match="choose another destination"):
        small_objects.put(str(tmp_path / "file" / "x"), b"1")
    with pytest.raises(UsageError, match="cannot write 'https://host"):
        small_objects.put("https://host.example/x?sig=1", b"1")
    (tmp_path / "folder").mkdir()
    with pytest.raises(WriteError):
        small_objects.put(str(tmp_path / "folder"), b"1")
    assert sorted(path.name for path in Path(tmp_path).iterdir()) == ["file", "folder"]


def test_parts_of_a_search_share_its_list(served, tmp_path):
    """Whichever part searches first: its list is everyone's, whatever the catalogue says later."""
    words = ["run", "--stac", served.url, "--collection", ",".join(USGS), "--to", tmp_path, "--factor", 7, "-q"]
    listed = []
    for part in ("2/2", "1/2"):
        call(*words, "--part", part)
        served.items = served.items[4:]
        (kept,) = tmp_path.glob(f"_runs/*-part-{part[0]}-of-2-*/scenes.ndjson")
        listed.append(labels(recorded_entries(str(kept))))
    (whole,) = tmp_path.glob("_runs/search-*.ndjson")
    whole = labels(recorded_entries(str(whole)))
    assert len(served.asked) == 1 and listed == [whole[1::2], whole[::2]]
    again = call(*words, "--part", "1/2", "--search-again")
    assert again.code == 2 and "--search-again with --part" in again.err and len(again.lines) == 1
