from __future__ import annotations

import io
import json
import os
import re
import time
import tracemalloc
from pathlib import Path

import pytest
from item_cases import planetary_item
from stac_api import StacApi, like, one_item, usgs_items

import landsat_downsample as ld
from landsat_downsample.api.scene import open_scene
from landsat_downsample.batch.entry import Entry, gathered, item_entry
from landsat_downsample.batch.retries import retry_entries
from landsat_downsample.batch.scene_lists import read_entries
from landsat_downsample.errors import ReadError, SceneError, UsageError
from landsat_downsample.formats import stac_item

DATA = os.environ.get("LANDSAT_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="LANDSAT_DATA is not set")
HREFS = ["s3://usgs-landsat/a/LC08_1", "scenes/LC08_2", "/data/LC08_3.tar", "https://host.example/item.json"]


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Path:
    return ld.make_scene(tmp_path_factory.mktemp("scenes"), size=(61, 57), bands=["SR_B4", "ST_B10", "QA_PIXEL"])


@pytest.fixture(scope="module")
def items(scene) -> list[dict]:
    """The scene's own two items, whose hrefs are relative."""
    return [json.loads(path.read_text()) for path in sorted(scene.glob("*_stac.json"))]


def listed(path: Path, content: str | bytes) -> list[Entry]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_entries([f"@{path}"])


def sources(entries: list[Entry]) -> list:
    return [entry.source for entry in entries]


# Forms of lists ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        "\n".join(HREFS),
        "\ufeff# scenes of 2023\r\n\r\n  " + "\r\n".join(HREFS) + "\r\n\n",
        "\n".join(json.dumps(href) for href in HREFS),
        "\n".join(json.dumps({"href": href, "cloud": 3}) for href in HREFS) + "\n",
        "\n".join(json.dumps({"source": href}) for href in HREFS),
        "\n".join(json.dumps({"id": "x", "status": "done", "href": "s3://out/x", "source": href}) for href in HREFS),
        "\n".join(json.dumps({"id": "x", "status": "failed", "source": {"source": href}}) for href in HREFS),
        json.dumps(HREFS),
        json.dumps(HREFS, indent=2),
        json.dumps([{"href": href} for href in HREFS], indent=2),
        HREFS[0] + "\n" + json.dumps(HREFS[1]) + "\n" + json.dumps({"href": HREFS[2]}) + "\n" + HREFS[3],
    ],
    ids=["text", "windows", "strings", "hrefs", "frozen", "outcomes", "nested", "array", "pretty", "objects", "mixed"],
)
def test_a_list_is_recognised_by_its_content(tmp_path, content):
    for name in ("list.txt", "list.json", "list"):
        entries = listed(tmp_path / name, content)
        assert sources(entries) == HREFS
        assert all(entry.base is None for entry in entries)
    assert sources(read_entries(["-"], stdin=io.BytesIO(content.encode()))) == HREFS


def test_words_of_a_command_line(tmp_path):
    (tmp_path / "a").write_text("one\ntwo\n")
    words = ["zero", f"@{tmp_path / 'a'}", "-", "two", "zero"]
    assert sources(read_entries(words, stdin=io.BytesIO(b"three\none\n"))) == ["zero", "one", "two", "three"]
    with pytest.raises(UsageError, match="stdin can be read once"):
        read_entries(["-", "-"], stdin=io.BytesIO(b"x"))
    with pytest.raises(UsageError, match="followed by no list"):
        read_entries(["@"])


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("form", ["collection", "list", "lines", "collections in lines"])
def test_items_of_one_scene_are_one_entry(tmp_path, items, form, indent):
    if form == "collection":
        text = json.dumps({"type": "FeatureCollection", "features": items}, indent=indent)
    elif form == "list":
        text = json.dumps(items, indent=indent)
    elif form == "lines":
        text = "\n".join(map(json.dumps, [*items, *items]))
    else:
        text = "\n".join(json.dumps({"type": "FeatureCollection", "features": [item]}) for item in items)
    (entry,) = listed(tmp_path / "x", text)
    assert [item["id"] for item in entry.source] == [item["id"] for item in items]
    assert entry.base == str(tmp_path / "x")
    assert entry.label == items[0]["id"].removesuffix("_SR").removesuffix("_ST")


def test_many_scenes_of_a_collection_keep_their_order(tmp_path, scene):
    base = usgs_items(scene)
    features = [like(item, number) for item in base for number in range(20)]  # all of one kind, then all of the other
    entries = listed(tmp_path / "x", json.dumps({"type": "FeatureCollection", "features": features}))
    assert len(entries) == 20 and all(len(entry.items) == 2 for entry in entries)
    assert [entry.label for entry in entries] == [stac_item.scene_id(item) for item in features[:20]]


def test_an_href_that_may_hold_a_password_is_told_to_be_given_anew():
    kept = Entry("https://host.example/scenes@v2/LC08_1").to_dict()
    assert kept == {"source": "https://***"}
    assert "was not kept on record, as its @ may come after a password" in str(Entry.from_dict(kept).error)


# EarthExplorer's CSV -------------------------------------------------------------------------

IDS = ("LC08_L2SP_008059_20191201_20200825_02_T1", "LE07_L1TP_192028_20010714_20200917_02_T1",
       "LM01_L1TP_208028_19720801_20200909_02_T2")  # fmt: skip
HOSTED = [
    f"s3://usgs-landsat/collection02/level-{place}/{name}"
    for place, name in zip(
        ("2/standard/oli-tirs/2019/008/059", "1/standard/etm/2001/192/028", "1/standard/mss/1972/208/028"), IDS,
        strict=True,
    )
]  # fmt: skip


@pytest.mark.parametrize(
    "content",
    [
        "Display ID,Ordering ID,Date Acquired\n" + "".join(f"{name},x,2019/12/01\n" for name in IDS),
        '\ufeff"Landsat Scene Identifier","Landsat Product Identifier L1","Landsat Product Identifier L2"\r\n'
        + "".join(f'"LC8","{name}",""\r\n' for name in IDS),
        '"Landsat Product Identifier L1","Cloud, Land","DISPLAY ID "\n\n'
        + "\n".join(f'LC08_L1TP_no,"1,5",{name.lower()}' for name in IDS),
        "Display ID;Cloud\n" + "\n".join(f'"{name}";"1,5"' for name in IDS),
        "Display ID\n" + "\n".join((*IDS, IDS[0])),
    ],
    ids=["plain", "quoted, BOM", "mixed", "semicolons", "alone"],
)
def test_earth_explorers_csv_is_a_list(tmp_path, content):
    assert sources(listed(tmp_path / "LANDSAT_OT_C2_L2.csv", content)) == HOSTED
    assert sources(read_entries(["-"], stdin=io.BytesIO(content.encode()))) == HOSTED


def test_scenes_beside_a_csv_are_taken(tmp_path):
    (tmp_path / IDS[0]).mkdir()
    (tmp_path / f"{IDS[1]}.tar").touch()
    entries = listed(tmp_path / "x.csv", "\n".join(("Display ID,Cloud", *IDS)))
    assert sources(entries) == [str(tmp_path / IDS[0]), str(tmp_path / f"{IDS[1]}.tar"), HOSTED[2]]


def test_a_row_without_a_product_fails_alone(tmp_path):
    rows = [
        f'{IDS[0]},"not closed',
        ",",
        ",x",
        "LC80080592019335LGN00,x",
        "LC08_L1TP_008059_20191201_20191217_01_T1",
        IDS[2],
    ]
    entries = listed(tmp_path / "x.csv", "\n".join(("Display ID,Cloud", *rows)))
    assert [entry.error is None for entry in entries] == [True, False, False, False, True]
    words = [str(entry.error).partition("x.csv', ")[2] for entry in entries if entry.error]
    assert words == [
        "line 4: no product ID in this row",
        "line 5: 'LC80080592019335LGN00' is no Landsat product ID",
        "line 6: 'LC08_L1TP_008059_20191201_20191217_01_T1' is no product of Collection 2",
    ]
    with pytest.raises(UsageError, match="names no scene"):
        listed(tmp_path / "x.csv", "Display ID,Cloud\n")


def test_a_saved_search_keeps_of_its_items_what_a_scene_needs(scene, tmp_path):
    item = planetary_item(scene)
    (entry,) = listed(tmp_path / "search.json", json.dumps([item]))
    assert entry.label == item["id"] and len(json.dumps(entry.source)) < 0.35 * len(json.dumps(item))


@needs_data
def test_real_search_results():
    place = Path(DATA, "stac-items/planetary-computer/landsat-c2-l2-pc.json")
    entries = read_entries([f"@{place}"])
    assert [entry.label for entry in entries] == [item["id"] for item in json.loads(place.read_text())]
    kept = len(json.dumps(entries[0].source))
    assert kept < 0.35 * len(json.dumps(json.loads(place.read_text())[0]))


# What is wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "names no scene"),
        ("# nothing\n\n", "names no scene"),
        ("[]", "names no scene"),
        ('{"type": "FeatureCollection", "features": []}', "names no scene"),
        ("one\n\ntwo\x00\n", "line 3: control characters"),
        (b"one\n\xff\xfe\n", "line 2: not UTF-8 text"),
        (b"II*\0\x08\0\0\0", "line 1: .*a scene itself goes without @"),
        ("<!DOCTYPE html>\n<title>Sign in</title>", "line 1: a web page"),
        ('"one"\n{"href": "two"\n"three"', "line 2: not JSON"),
        ('{"href": "one"\n{"href": "two"}', "line 1: not JSON"),
        ('[\n"one",\n"two",\n"three\n]', r"line 1: not JSON .*3 lines below"),
        ('"one"\n7', None),
        ('["one", 7]', "line 1: value 2: a bare int"),
        ('one\n{"name": "x"}', "line 2: neither an href nor a STAC item; it has name"),
        ('one\n{"id": "x", "status": "failed", "source": null}', "line 2: an outcome that does not say its source"),
        ('{"type": "Catalog", "links": []}', "line 1: a STAC Catalog, which is no list"),
        ('{"type": "FeatureCollection", "features": [{"type": "Point"}]}', "line 1: a FeatureCollection of other"),
        ('one\n""', "line 2: href is empty"),
        ("[" * 100_000, "line 1: not JSON"),
    ],
)
def test_errors_name_the_list_and_the_line(tmp_path, content, words):
    if words is None:
        assert sources(listed(tmp_path / "x", content)) == ["one", "7"]
        return
    error = why_not(tmp_path / "x", content)
    assert re.search(words, error) and repr(str(tmp_path / "x")) in error and "\n" not in error


def why_not(path: Path, content: str | bytes) -> str:
    """What is said of a list that holds nothing that is right, or else of its one wrong entry."""
    try:
        (entry,) = [entry for entry in listed(path, content) if entry.error]
    except UsageError as error:
        return str(error)
    return str(entry.error)


def test_a_list_that_cannot_be_read(tmp_path):
    with pytest.raises(ReadError, match="no such file"):
        read_entries([f"@{tmp_path / 'nothing'}"])
    with pytest.raises(ReadError, match="cannot read the list"):
        read_entries([f"@{tmp_path}"])


# Where things are ----------------------------------------------------------------------------


def test_relative_hrefs_start_where_a_user_expects(tmp_path, scene, items, monkeypatch):
    monkeypatch.chdir(scene.parent)
    (tmp_path / "x").write_text(f"{scene.name}\n")
    (entry,) = read_entries([f"@{tmp_path / 'x'}"])
    assert open_scene(entry.source, base=entry.base).id == scene.name
    (scene / "list.json").write_text(json.dumps(items))
    (entry,) = read_entries([f"@{scene.name}/list.json"])
    assert list(open_scene(entry.source, base=entry.base).bands) == ["SR_B4", "ST_B10", "QA_PIXEL"]
    monkeypatch.chdir(scene)
    (entry,) = read_entries(["-"], stdin=io.BytesIO(json.dumps(items).encode()))
    assert open_scene(entry.source, base=entry.base).id == scene.name
    monkeypatch.chdir(tmp_path)
    again = Entry.from_dict(json.loads(json.dumps(read_entries([f"@{scene}/list.json"])[0].to_dict())))
    assert open_scene(again.source, base=again.base).id == scene.name


def test_a_remote_list_points_to_remote_places_only(tmp_path, scene):
    served = tmp_path / "served"
    served.mkdir()
    lists = {
        "good.txt": "https://host.example/LC08\nnear/LC08.tar\ns3://bucket/LC08\n",
        "path.txt": "s3://bucket/LC08\n/etc/passwd\n",
        "file.txt": "file:///etc/passwd\n",
        "inside.txt": '{"href": "http://169.254.169.254/latest"}\n',
        "frozen.txt": '{"source": {"type": "Feature", "id": "x", "assets": {}}, "base": "/etc/x.json"}\n',
    }
    for name, text in lists.items():
        (served / name).write_text(text)
    (served / "item.json").write_text(json.dumps(one_item(scene)).replace("{origin}/files", "file:///data"))
    with StacApi(folder=served) as server:
        place = f"{server.endpoint}/files"
        hrefs = sources(read_entries([f"@{place}/good.txt?sig=1"]))
        assert hrefs == ["https://host.example/LC08", f"{place}/near/LC08.tar?sig=1", "s3://bucket/LC08"]
        for name in ("path.txt", "file.txt", "inside.txt", "frozen.txt"):
            with pytest.raises(UsageError, match=r"list 'http.*', line \d: .*refused") as caught:
                (*_, entry) = read_entries([f"@{place}/{name}"])
                raise entry.error
            assert name in str(caught.value)
        (entry,) = read_entries([f"@{place}/item.json"])
        with pytest.raises(SceneError, match="refused"):
            open_scene(entry.source, base=entry.base)


# Records -------------------------------------------------------------------------------------


def test_a_record_has_no_secrets(items, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blob = "https://landsateuwest.blob.core.windows.net/landsat-c2/LC08_SR_B4.TIF?sv=2&sig=hush"
    item = items[0] | {"assets": {"red": {"href": blob}, "x": {"href": "https://me:hush@host.example/B5.TIF?a=1"}}}
    entries = [
        Entry("https://me:hush@host.example/item.json?sig=hush"),
        Entry("scene"),
        item_entry(item, "https://host.example/search?key=hush"),
    ]
    lines = [json.dumps(entry.to_dict()) for entry in entries]
    assert "hush" not in "".join(lines)
    assert entries[2].source["assets"]["red"]["href"] == blob.partition("?")[0]  # to be signed anew, when it is read
    assert "a=1" in entries[2].source["assets"]["x"]["href"]
    again = [Entry.from_dict(json.loads(line)) for line in lines]
    assert sources(again[:2]) == ["https://host.example/item.json", str(tmp_path / "scene")]
    assert (again[2].base, again[2].label) == ("https://host.example/search", entries[2].label)
    with pytest.raises(UsageError, match="2 entries"):
        Entry.from_dict(["a", "b"])


def outcome(entry: Entry, status: str) -> str:
    return json.dumps({"id": entry.label, "status": status, "href": "s3://out/x", "source": entry.to_dict()}) + "\n"


@pytest.fixture
def record(tmp_path, items) -> tuple[Path, list[Entry]]:
    """A run of four scenes, one of them by items: one done, two failed, one never begun; its last line was cut."""
    entries = [Entry("/data/a"), Entry("s3://bucket/b"), *gathered(
        item_entry(item, "https://host.example/search") for item in items
    ), Entry("/data/d")]  # fmt: skip
    folder = tmp_path / "_runs" / "20261122T215049Z-3f2a"
    folder.mkdir(parents=True)
    (folder / "scenes.ndjson").write_text("".join(json.dumps(entry.to_dict()) + "\n" for entry in entries))
    lines = [outcome(entries[0], "done"), outcome(entries[1], "failed"), outcome(entries[2], "failed")]
    (folder / "outcomes.ndjson").write_text("".join(lines) + outcome(entries[3], "done")[:30])
    return folder, entries


def test_what_failed_is_tried_again(record):
    folder, entries = record
    failed = retry_entries(str(folder / "outcomes.ndjson"))
    assert [entry.label for entry in failed] == [entry.label for entry in entries[1:3]]
    assert failed[1].base == "https://host.example/search" and len(failed[1].items) == 2
    for place in (folder, folder.parent.parent):  # what never ended too
        assert [entry.label for entry in retry_entries(str(place))] == [entry.label for entry in entries[1:]]
    with open(folder / "outcomes.ndjson", "w") as file:
        file.writelines(outcome(entry, "done") for entry in entries)
    assert retry_entries(str(folder)) == []


def test_the_last_outcome_of_a_scene_counts(tmp_path):
    lines = [outcome(Entry("/a"), "failed"), outcome(Entry("/b"), "done"), outcome(Entry("/a"), "done")]
    (tmp_path / "outcomes.ndjson").write_text("".join([*lines, outcome(Entry("/b"), "failed")]))
    assert sources(retry_entries(str(tmp_path))) == ["/b"]


def test_retries_of_something_else(tmp_path):
    (tmp_path / "x.ndjson").write_text('{"href": "s3://a"}\n')
    with pytest.raises(UsageError, match="line 1: not an outcome of a run"):
        retry_entries(str(tmp_path / "x.ndjson"))
    (tmp_path / "x.ndjson").write_text("s3://a\n")
    with pytest.raises(UsageError, match="line 1: not JSON"):
        retry_entries(str(tmp_path / "x.ndjson"))
    with pytest.raises(UsageError, match="no run is on record"):
        retry_entries(str(tmp_path))


# Size ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["{}", '{{"href": "{}"}}'])
def test_a_hundred_thousand_lines(tmp_path, form):
    prefix = "s3://usgs-landsat/collection02/level-2/standard/oli-tirs/2023/192/028/LC08_"
    (tmp_path / "x").write_text("".join(form.format(f"{prefix}{number}") + "\n" for number in range(100_000)))
    begun = time.process_time()
    entries = read_entries([f"@{tmp_path / 'x'}"])
    assert len(entries) == 100_000 and entries[-1].source.endswith("_99999")
    assert time.process_time() - begun < 10  # 0.6 and 1.4 s on a loaded machine


def test_memory_grows_with_the_scenes_not_with_what_is_said_of_them(tmp_path, scene):
    item = one_item(scene)
    padded = item | {"properties": item["properties"] | {"description": "x" * 50_000}}
    with open(tmp_path / "x", "w") as file:
        file.writelines(json.dumps(like(padded, number)) + "\n" for number in range(400))
    tracemalloc.start()
    entries = read_entries([f"@{tmp_path / 'x'}"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(entries) == 400 and peak < 400 * 12_000
