from __future__ import annotations

import json
import random
from collections import deque
from pathlib import Path

import pytest
from stac_api import StacApi, like, one_item, usgs_items

import landsat_downsample as ld
from landsat_downsample.api.scene import open_scene
from landsat_downsample.batch import stac_search
from landsat_downsample.batch.search_cache import found
from landsat_downsample.batch.stac_query import PAGE, Query
from landsat_downsample.batch.stac_search import search
from landsat_downsample.errors import LandsatDownsampleError, ReadError, UsageError
from landsat_downsample.execution.run import run_plans
from landsat_downsample.model.policy import Policy

QUICK = Policy(budget=1000, base=0.01, cap=0.05)
L2 = ("landsat-c2-l2",)
USGS = ("landsat-c2l2-sr", "landsat-c2l2-st")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("served")
    ld.make_scene(place, size=(151, 139), bands=["SR_B4", "SR_B5", "ST_B10", "QA_PIXEL"])
    return place


@pytest.fixture(scope="module")
def scene(folder) -> Path:
    return next(folder.iterdir())


@pytest.fixture
def api(folder):
    """Makes an API of some flavour with items in it."""
    running = []

    def make(flavour: str, items: list[dict], **more) -> StacApi:
        running.append(StacApi(flavour, items, folder, **more).__enter__())
        return running[-1]

    yield make
    for one in running:
        one.__exit__(None, None, None)


def ids(query: Query) -> list[str]:
    return [item["id"] for item in search(query, policy=QUICK)]


# Flavours and pages --------------------------------------------------------------------------


@pytest.mark.parametrize("flavour", ["planetary", "cql2", "earth-search", "usgs", "plain"])
@pytest.mark.parametrize(("count", "most"), [(1, 1000), (7, 3), (250, 1000)])
def test_every_page_is_taken_once(api, scene, flavour, count, most):
    item = one_item(scene)
    served = api(flavour, [like(item, number) for number in range(count)], most=most)
    got = ids(Query(served.url, L2))
    assert got == [one["id"] for one in served.items]
    assert len(served.asked) == max(1, -(-count // min(most, PAGE)))
    assert all(entry == "landing" or entry.startswith("GET" if flavour == "plain" else "POST")
               for entry in served.requests)  # fmt: skip


@pytest.mark.parametrize("flavour", ["planetary", "cql2", "earth-search", "usgs", "plain"])
def test_properties_choose_scenes_on_every_api(api, scene, flavour):
    item = one_item(scene)
    items = [
        like(item, 0, **{"eo:cloud_cover": 5.0}),
        like(item, 1, **{"eo:cloud_cover": 50.0}),  # cloudy
        like(item, 2, **{"eo:cloud_cover": 5.0, "landsat:collection_category": "T2"}),  # tier
        like(item, 3, **{"eo:cloud_cover": 5.0, "landsat:wrs_row": "029"}),  # row
        like(item, 4, **{"eo:cloud_cover": None}),  # does not tell
        like(item, 5, **{"eo:cloud_cover": 20}),
        like(item, 6, **{"eo:cloud_cover": -1}),  # not looked for
    ]
    served = api(flavour, items)
    query = Query(served.url, L2, path_row=("192/28",), cloud_cover=20, tier="T1")
    assert ids(query) == [items[0]["id"], items[5]["id"]]
    asked = served.asked[0]
    assert ("query" in asked, "filter" in asked) == {"cql2": (False, True), "plain": (False, False)}.get(
        flavour, (True, False)
    )


def test_what_an_api_passes_over_is_checked_here(api, scene):
    item = one_item(scene)
    items = [like(item, number, **{"eo:cloud_cover": float(number)}) for number in range(30)]
    other = like(item, 31, platform="sentinel-2a") | {"id": "S2A_1"}
    served = api("planetary", [*items, other], tricks=frozenset({"ignore"}))
    assert len(ids(Query(served.url, L2, cloud_cover=9.5))) == 10
    assert ids(Query(served.url, L2))[-1] == items[-1]["id"]


def test_ground_and_time(api, scene):
    item = one_item(scene)
    served = api("earth-search", [like(item, number) for number in range(60)])
    west, south, east, north = item["bbox"]
    assert len(ids(Query(served.url, L2, bbox=(west - 1, south - 1, east + 1, north + 1)))) == 60
    with pytest.raises(UsageError, match=r"found no scene \(.*; bbox -80"):
        ids(Query(served.url, L2, bbox=(-80, 0, -70, 10)))
    assert len(ids(Query(served.url, L2, datetime="2000-02"))) == 25
    assert len(ids(Query(served.url, L2, datetime="2000-02-03/..", limit=5))) == 5
    assert len(ids(Query(served.url, L2, datetime="2000-01-25/2000-02-01"))) == 2


def test_the_limit_counts_scenes_and_ends_the_paging(api, scene):
    items = [like(one, number) for number in range(40) for one in usgs_items(scene)]
    served = api("usgs", items, most=7)
    entries = found(Query(served.url, USGS, limit=10))
    assert len(entries) == 10 and all(len(entry.items) == 2 for entry in entries)
    assert len(served.asked) < 6
    served.asked.clear()
    assert len(found(Query(served.url, USGS[:1], limit=3))) == 3
    assert len(served.asked) == 1


def test_an_empty_page_before_others_is_no_end(api, scene):
    served = api("planetary", [like(one_item(scene), number) for number in range(5)], tricks=frozenset({"empty"}))
    assert len(ids(Query(served.url, L2))) == 5
    assert len(served.asked) == 2


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ({"method": "POST", "body": {"token": 2}}, ("https://api.example/search", {"token": 2})),
        ({"method": "POST", "body": {"token": 2}, "merge": True}, ("https://api.example/search", {"a": 1, "token": 2})),
        ({"body": {"token": 2}}, ("https://api.example/search", {"token": 2})),
        ({"method": "POST", "href": "?token=2"}, ("https://api.example/search?token=2", {"a": 1})),
        ({"method": "GET", "href": "/search?token=2"}, ("https://api.example/search?token=2", None)),
        ({"href": "http://api.example/search?token=2"}, ("https://api.example/search?token=2", None)),
    ],
)
def test_forms_of_next_links(link, expected):
    query = Query("https://api.example", L2)
    page = {"links": [{"rel": "prev", "href": "x"}, {"rel": "next", "href": "https://api.example/search"} | link]}
    made = stac_search._next(page, stac_search._Request("https://api.example/search", {"a": 1}), query)
    assert (made.href, made.body) == expected
    assert stac_search._next({"links": []}, made, query) is None


# Faults --------------------------------------------------------------------------------------


@pytest.mark.parametrize("flavour", ["planetary", "plain"])
def test_transient_faults_are_retried(api, scene, flavour):
    served = api(flavour, [like(one_item(scene), number) for number in range(9)], most=2)
    faults = ["busy", "limited", None, "error", "timeout", "reset", None, "cut", "garbage", "redirect", None]
    served.faults = deque(faults)
    assert ids(Query(served.url, L2)) == [item["id"] for item in served.items]
    assert not served.faults


@pytest.mark.parametrize("seed", range(4))
def test_faults_at_random_lose_and_double_nothing(api, scene, seed):
    chance = random.Random(seed)
    flavour = ("planetary", "earth-search", "usgs", "plain")[seed]
    served = api(flavour, [like(one_item(scene), number) for number in range(40)], most=chance.randint(1, 5))
    kinds = ["busy", "limited", "error", "timeout", "reset", "cut", "redirect", None, None, None]
    served.faults = deque(chance.choice(kinds) for _ in range(60))
    assert ids(Query(served.url, L2)) == [item["id"] for item in served.items]


def test_silence_is_bounded(api, scene):
    served = api("planetary", [one_item(scene)])
    served.faults = deque(["silence"])
    policy = Policy(budget=1000, timeout=0.5, base=0.01, cap=0.05)
    assert len(list(search(Query(served.url, L2), policy=policy))) == 1


def test_the_budget_is_kept(api, scene):
    served = api("planetary", [one_item(scene)])
    served.faults = deque(["busy"] * 100_000)
    with pytest.raises(ReadError, match=r"gave up after \d+ tries .budget 1 s") as caught:
        list(search(Query(served.url, L2), policy=Policy(budget=1, timeout=1, base=0.05, cap=0.1)))
    assert caught.value.passing


@pytest.mark.parametrize(
    ("fault", "words"),
    [("page", "web page"), ("refuse", "status 400 .bbox is out of range")],
)
def test_lasting_faults_end_at_once(api, scene, fault, words):
    served = api("planetary", [one_item(scene)])
    served.faults = deque([fault])
    with pytest.raises(ReadError, match=words):
        ids(Query(served.url, L2))
    assert len(served.asked) == 1


@pytest.mark.parametrize("flavour", ["planetary", "earth-search", "usgs", "plain"])
@pytest.mark.parametrize("trick", ["loop", "repeat"])
def test_pages_that_go_round_are_refused(api, scene, flavour, trick):
    items = [like(one_item(scene), number) for number in range(9)]
    served = api(flavour, items, most=2, tricks=frozenset({trick}))
    with pytest.raises(ReadError, match="goes round in circles"):
        ids(Query(served.url, L2))
    assert len(served.asked) <= 3


def test_a_search_without_end_is_given_up(api, scene, monkeypatch):
    served = api("planetary", [like(one_item(scene), number) for number in range(40)], most=4)
    lines, now = [], iter(range(0, 10_000, 3))
    with pytest.raises(ReadError, match=r"24 scenes on 6 pages: narrow it down, or raise --search-time \(now 18 s\)"):
        list(search(Query(served.url, L2, search_time=18), policy=QUICK, report=lines.append, clock=lambda: next(now)))
    assert lines == ["the search goes on: 16 scenes on 4 pages so far"]
    assert len(ids(Query(served.url, L2, search_time=0, limit=4))) == 4  # what is on one page needs no more time
    monkeypatch.setattr(stac_search, "MAX_SCENES", 12)
    with pytest.raises(ReadError, match="12 scenes on 3 pages: narrow it down, or give --limit"):
        ids(Query(served.url, L2))
    assert len(ids(Query(served.url, L2, limit=13))) == 13


def test_how_long_to_search_is_no_part_of_the_question(api, scene):
    query = Query("https://api.example/stac", L2, search_time=5)
    assert query.digest == Query("https://api.example/stac", L2).digest
    assert "search_time" not in query.to_dict()
    with pytest.raises(UsageError, match="search time -1 must be 0 seconds or more"):
        Query("https://api.example/stac", L2, search_time=-1)


def test_pages_do_not_lead_to_another_host(api, scene):
    items = [like(one_item(scene), number) for number in range(5)]
    with pytest.raises(ReadError, match=r"leads to another host, 'http://stac\.invalid"):
        ids(Query(api("planetary", items, most=2, tricks=frozenset({"away"})).url, L2))
    assert len(ids(Query(api("planetary", items, most=2, tricks=frozenset({"scheme"})).url, L2))) == 5


# Bad input -----------------------------------------------------------------------------------


def test_what_is_no_api_is_said_in_one_line(api, scene, folder):
    served = api("planetary", [one_item(scene)], tricks=frozenset({"nolinks"}))
    with pytest.raises(UsageError, match="is a STAC Catalog without a search: give the URL of a STAC API"):
        ids(Query(served.url, L2))
    item = next(scene.glob("*_SR_stac.json")).name
    with pytest.raises(UsageError, match="is a STAC Feature without a search"):
        ids(Query(f"{served.endpoint}/files/{scene.name}/{item}", L2))
    with pytest.raises(ReadError, match="web page, not JSON"):
        ids(Query(f"{served.endpoint}/page", L2))
    with pytest.raises(ReadError, match="status 404"):
        ids(Query(f"{served.endpoint}/nothing", L2))


def test_nothing_found_is_explained(api, scene):
    served = api("usgs", usgs_items(scene))
    with pytest.raises(UsageError, match="has no collection landsat-c2-l2: it has landsat-c2l2-sr, landsat-c2l2-st"):
        ids(Query(served.url, L2))
    with pytest.raises(UsageError, match=r"found no scene \(collections landsat-c2l2-sr; tier T2\): widen it"):
        ids(Query(served.url, USGS[:1], tier="T2"))
    served.tricks = frozenset({"ignore"})
    with pytest.raises(UsageError, match="1 that came do not fit"):
        ids(Query(served.url, USGS[:1], tier="T2"))
    other = one_item(scene) | {"id": "S2A_1", "collection": "s2"}
    other["properties"] = other["properties"] | {"platform": "sentinel-2a"}
    with pytest.raises(UsageError, match="not of Landsat"):
        ids(Query(api("planetary", [other]).url, ("s2",)))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"url": "s3://bucket/stac"}, "not a http"),
        ({"collections": ()}, "needs collections: give such as landsat-c2-l2"),
        ({"bbox": (0, 0, 1)}, "not west,south,east,north"),
        ({"bbox": (0, 10, 1, 0)}, "not west,south,east,north"),
        ({"bbox": (500000, 0, 600000, 1)}, "in degrees"),
        ({"bbox": (float("nan"), 0, 1, 1)}, "in degrees"),
        ({"datetime": "yesterday"}, "not a date or range"),
        ({"datetime": "2023-13"}, "not a date or range"),
        ({"datetime": "../.."}, "not a date or range"),
        ({"datetime": ""}, "not a date or range"),
        ({"datetime": "2023/2022"}, "ends before it begins"),
        ({"path_row": ("192",)}, "not PPP/RRR"),
        ({"path_row": ("252/1",)}, "not PPP/RRR"),
        ({"cloud_cover": 101}, "not 0 to 100"),
        ({"tier": "T3"}, "give T1, T2, RT"),
        ({"limit": 0}, "at least 1"),
    ],
)
def test_queries_that_make_no_sense(wrong, words):
    with pytest.raises(UsageError, match=words):
        Query(**({"url": "https://api.example", "collections": L2} | wrong))


def test_one_search_has_one_digest_however_it_is_spelled():
    first = Query("https://me:pw@api.example/v1/search?key=secret", "landsat-c2-l2", datetime="2023", path_row="8/59")
    second = Query("https://api.example/v1", L2, datetime="2023-01/2023-12-31", path_row=("008/059",))
    assert first.digest == second.digest == Query(**json.loads(json.dumps(second.to_dict()))).digest
    assert "secret" not in str(first.to_dict()) and "pw" not in str(first.to_dict())
    assert first.digest != Query("https://api.example/v1", L2, datetime="2023", path_row="8/60").digest
    # Kept lists are found by this name: it may not change from one release to the next.
    assert Query("https://api.example/v1", L2).digest == "26cd5dda88e3"


def test_boxes_across_the_antimeridian():
    query = Query("https://api.example", L2, bbox=(170, -20, -170, -10))
    item = {"type": "Feature", "id": "LC08_L2SP_073072_20230714_20230724_02_T1", "collection": L2[0], "properties": {}}
    assert query.fits(item | {"bbox": [-175, -15, -174, -14]})
    assert query.fits(item | {"bbox": [174, -15, 0, 175, -14, 0]})
    assert query.fits(item | {"bbox": [179, -15, -179, -14]})
    assert not query.fits(item | {"bbox": [0, -15, 1, -14]})
    assert not query.fits(item | {"bbox": [174, 15, 175, 16]})


# Whole scenes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flavour", "collections"), [("planetary", L2), ("earth-search", L2), ("usgs", USGS), ("plain", L2)]
)
def test_a_scene_found_is_reduced_as_its_folder_is(api, scene, tmp_path, flavour, collections):
    items = usgs_items(scene) if flavour == "usgs" else [one_item(scene, processed=flavour != "planetary")]
    served = api(flavour, items)
    (entry,) = found(Query(served.url, collections, path_row=("192/028",)))
    opened = open_scene(entry.source, base=entry.base)
    assert opened.id == scene.name and list(opened.bands) == ["SR_B4", "SR_B5", "ST_B10", "QA_PIXEL"]
    assert opened.item_href.startswith(f"{served.url}/collections/{collections[0]}/items/")
    made, meant = ld.plan(opened, tmp_path / "a", factor=7), ld.plan(scene, tmp_path / "b", factor=7)
    assert [outcome.status for outcome in run_plans([*made, *meant])] == ["done", "done"]
    rasters = sorted(path.name for path in (tmp_path / "b").glob("*/*.TIF"))
    assert len(rasters) >= 4
    for name in rasters:
        one, other = (next((tmp_path / side).glob(f"*/{name}")).read_bytes() for side in "ab")
        assert one == other


def test_a_hostile_item_fails_alone(api, scene):
    bad = like(one_item(scene), 3)
    bad["assets"] = {"red": {"href": "file:///etc/LC08_SR_B4.TIF", "type": "image/tiff"}}
    served = api("planetary", [bad, one_item(scene)])
    hostile, good = found(Query(served.url, L2))
    with pytest.raises(LandsatDownsampleError, match="refused"):
        open_scene(hostile.source, base=hostile.base)
    assert open_scene(good.source, base=good.base).bands
