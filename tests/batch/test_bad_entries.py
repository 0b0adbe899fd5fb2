"""Whatever a list, a search, an item or an archive holds, what cannot be opened fails by itself."""

from __future__ import annotations

import copy
import io
import json
import os
import re
import shutil
import sys
import tarfile
from pathlib import Path

import fsspec
import pytest
from command import call
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stac_api import StacApi, like, one_item

import landsat_downsample as ld
from landsat_downsample.api.scene import open_scene
from landsat_downsample.batch.entry import Entry, item_entry
from landsat_downsample.batch.retries import retry_entries
from landsat_downsample.batch.scene_lists import read_entries
from landsat_downsample.batch.search_cache import found
from landsat_downsample.batch.stac_query import Query, is_landsat
from landsat_downsample.formats import checked_item, stac_item, stac_source
from landsat_downsample.model.location import Location
from landsat_downsample.storage.tar import members

L2 = ("landsat-c2-l2",)


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Path:
    return ld.make_scene(tmp_path_factory.mktemp("scenes"), size=(61, 57), bands=["SR_B4", "ST_B10", "QA_PIXEL"])


def item(**changes) -> dict:
    asset = {"href": "x.TIF", "type": "image/tiff"}
    return {"type": "Feature", "id": "q", "properties": {"platform": "landsat-8"}, "assets": {"red": asset}} | changes


#: Lines of a list that are no scene, and what is said of each.
BAD = {
    "http://[::1/x.TIF": "is no URL",
    "https://host:99999/x.TIF": "is no URL",
    "tar://a": "is not tar://MEMBER::ARCHIVE",
    "file://host/x.TIF": "names a host",
    "scene\0.TIF": "control characters",
    '"scene\\ud800.TIF"': "holds a sign that no path has",
    '"s3://bucket/\\ud800.TIF"': "holds a sign that no URL has",
    '{"type": "Feature"': "not JSON",
    json.dumps(item(id="")): "has no id",
    json.dumps(item(id=7)): "has no id",
    json.dumps(item(assets=5)): "has no assets",
    json.dumps(item(assets={"red": {"href": "http://[::1/x.TIF"}})): "is no URL",
    json.dumps(item(assets={"red": {"href": "x.TIF", "type": "image/tiff", "eo:bands": 5}})): "no such file",
    json.dumps(item(properties=5, links=5, bbox=5)): "no such file",
    json.dumps({"type": "FeatureCollection", "features": [item(id=None), 5]}): "item 1: a STAC item has no id",
    json.dumps(["", 7]): "value 2: a bare int",
    "[" * 500 + "7" + "]" * 500: "value 1: ",
}


# Lists ---------------------------------------------------------------------------------------


def test_bad_entries_of_a_list_fail_alone(tmp_path, scene, monkeypatch):
    monkeypatch.chdir(tmp_path)
    other = shutil.copy(next(scene.glob("*_SR_B4.TIF")), tmp_path / "second_B4.TIF")
    lines = [str(scene), *BAD, str(other)]
    Path("list.txt").write_text("\n".join(lines) + "\n", errors="surrogatepass")
    done = call("run", "@list.txt", "--to", "out", "--factor", 10)
    assert done.code == 3 and len(list(Path("out").glob("*_downsampled"))) == 2, done.err
    (run,) = Path("out/_runs").iterdir()
    outcomes = [json.loads(line) for line in (run / "outcomes.ndjson").read_text().splitlines()]
    failed = [one for one in outcomes if one["status"] == "failed"]
    assert len(outcomes) == len(failed) + 2 and len(failed) >= len(BAD)
    for number, (line, words) in enumerate(BAD.items(), 2):
        # An item that can be understood fails as any other scene does.
        where = "" if words == "no such file" else f"list 'list.txt', line {number}: .*"
        assert any(re.search(where + words, one["error"]) for one in failed), line
    again = retry_entries(str(run))
    assert sorted(str(entry.error) for entry in again if entry.error) == sorted(
        one["error"] for one in failed if "invalid" in one
    )


def test_a_list_without_any_entry_is_reported_at_once(tmp_path):
    for line in (line for line, words in BAD.items() if words != "no such file"):
        with pytest.raises(ld.UsageError, match="line 1: "):
            read_entries(["-"], stdin=io.BytesIO((line + "\n").encode(errors="surrogatepass")))


def test_words_of_a_command_line_fail_alone(tmp_path, scene):
    done = call("run", scene, "tar://a", "http://[::1/x.TIF", "--to", tmp_path, "--factor", 10, "--bands", "red")
    assert done.code == 3 and len(list(tmp_path.glob("*_downsampled"))) == 1
    for words in ("'tar://a' is not tar://MEMBER::ARCHIVE", "'http://[::1/x.TIF' is no URL"):
        assert len([line for line in done.lines if words in line]) == 1


def test_a_closed_stdin_is_reported(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "stdin", None)
    done = call("run", "-", "--to", tmp_path, "--factor", 10)
    assert done.code == 2 and len(done.lines) == 1 and "list 'stdin' names no scene" in done.err
    sys.stdin.close()  # what was opened in its place


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="only Linux has a file whose first byte is an error")
def test_what_the_system_says_of_a_file_is_an_error_of_the_source():
    with pytest.raises(ld.ReadError, match="cannot read '/proc/self/mem': "):
        open_scene("/proc/self/mem")


# Searches ------------------------------------------------------------------------------------


def test_bad_items_of_a_search_fail_alone(scene):
    good = one_item(scene)
    bad = [copy.deepcopy(good) for _ in range(4)]
    bad[0]["id"] = ""
    bad[1]["assets"]["red"] = {"href": "http://[::1/x.TIF", "type": "image/tiff"}
    bad[2] = like(good, 2) | {"assets": {}}
    bad[3] = like(good, 3, instruments=5) | {"bbox": ["a", 1, 2, 3]}
    for asset in bad[3]["assets"].values():
        asset["eo:bands"] = 5
    with StacApi("planetary", [*bad, good], scene.parent) as served:
        entries = found(Query(served.url, L2))
        errors = [str(entry.error) for entry in entries if entry.error]
        assert len(errors) == 2 and "item 1 of the search: a STAC item has no id" in errors[0]
        assert "item 2 of the search" in errors[1] and "is no URL" in errors[1]
        *others, right = [entry for entry in entries if not entry.error]
        assert [entry.label for entry in others] == [bad[2]["id"], bad[3]["id"]]
        assert open_scene(right.source, base=right.base).id == scene.name
        for other in others:
            with pytest.raises(ld.LandsatDownsampleError):
                open_scene(other.source, base=other.base)


# Items, mutated at random --------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=8)
    | st.sampled_from(["", "http://[::1/x.TIF", "tar://a", "../x.TIF", "a\0.TIF", "https://a:b/", "landsat-8"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


def places(value: object, way: tuple = ()) -> list[tuple]:
    """Ways to all values in a JSON value."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [way, *(place for key, part in parts for place in places(part, (*way, key)))]


def mutated(value: object, way: tuple, other: object) -> object:
    if not way:
        return other
    made = copy.copy(value)
    made[way[0]] = mutated(made[way[0]], way[1:], other)
    return made


#: Every field that is read of an item.
FULL = {
    "type": "Feature", "stac_version": "1.0.0", "id": "LC08_L2SP_008059_20191201_20200825_02_T1_SR", "collection": "c",
    "bbox": [1.0, 2.0, 3.0, 4.0], "links": [{"rel": "self", "href": "https://host.example/item.json"}],
    "properties": {
        "datetime": "2019-12-01T15:00:00Z", "platform": "landsat-8", "instruments": ["oli"], "eo:cloud_cover": 3.5,
        "landsat:correction": "L2SP", "landsat:wrs_path": "008", "landsat:wrs_row": "059", "view:sun_azimuth": 3,
        "landsat:collection_category": "T1", "sci:doi": "10/1", "start_datetime": "2019-12-01T15:00:00Z",
    },
    "assets": {
        "red": {
            "href": "https://landsatlook.usgs.gov/data/x_SR_B4.TIF", "type": "image/tiff", "file:size": 7,
            "file:checksum": "1220" + "0" * 64, "eo:bands": [{"common_name": "red"}], "storage:requester_pays": True,
            "alternate": {"s3": {"href": "s3://usgs-landsat/x_SR_B4.TIF", "storage:requester_pays": True}},
        },
        "qa_pixel": {"href": "x_QA_PIXEL.TIF"}, "mtl": {"href": "x_MTL.txt"},
    },
}  # fmt: skip


@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_whatever_an_item_holds_is_understood_or_refused(data):
    record = FULL
    for _ in range(data.draw(st.integers(1, 3))):
        record = mutated(record, data.draw(st.sampled_from(places(record))), data.draw(JSON))
    query = Query(
        "https://host.example", L2, bbox=(0, 0, 9, 9), datetime="2019", path_row="8/59", cloud_cover=50, tier="T1"
    )
    for base in ("/data/item.json", "https://host.example/item.json"):
        entry, at = item_entry(record, base), Location(base)
        json.dumps(Entry.from_dict(json.loads(json.dumps(entry.to_dict()))).to_dict()).encode()
        assert entry.label and entry.key
        try:
            known = checked_item.checked(record)
            query.fits(known), is_landsat(known), stac_item.scene_id(known), stac_item.own_location(record, at)
            listing = stac_source.listing([(record, at)], at)
        except ld.LandsatDownsampleError:
            continue
        json.dumps(listing.properties, allow_nan=False).encode()
        assert all(file.size is None or file.size >= 0 for file in listing.files.values())
    try:
        open_scene(record, base="/nowhere/item.json", bands="red")
        stac_source.links(record, Location("/data/item.json"))
    except ld.LandsatDownsampleError:
        return


def test_nothing_that_is_right_is_left_out():
    known = checked_item.checked(FULL)
    assert known == FULL and stac_item.slim(FULL) == {key: value for key, value in FULL.items() if key != "bbox"}


# Archives ------------------------------------------------------------------------------------


def chained(path: Path) -> None:
    """Thousands of long names, each of the next one."""
    with open(path, "wb") as file:
        for _ in range(5000):
            info = tarfile.TarInfo("././@LongLink")
            info.type, info.size = tarfile.GNUTYPE_LONGNAME, 5
            file.write(info.tobuf(tarfile.GNU_FORMAT) + b"name\0".ljust(512, b"\0"))
        file.write(bytes(1024))


def with_headers(**headers: str):
    def write(path: Path) -> None:
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
            info = tarfile.TarInfo("x.TIF")
            info.size, info.pax_headers = 512, headers
            tar.addfile(info, io.BytesIO(b"nothing".ljust(512)))

    return write


def large(path: Path) -> None:
    """A header of 64 MiB, of which the disk need hold nothing."""
    with open(path, "wb") as file:
        info = tarfile.TarInfo("x")
        info.type, info.size = tarfile.XHDTYPE, 64 << 20
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        file.truncate(65 << 20)


@pytest.mark.parametrize(
    "write",
    [
        chained,
        large,
        with_headers(**{"GNU.sparse.map": "a,b"}),
        with_headers(**{"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "x"}),
        with_headers(**{"GNU.sparse.size": "many", "GNU.sparse.major": "0", "GNU.sparse.minor": "1"}),
        with_headers(size="-512"),
        with_headers(**{"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "x"}),
    ],
    ids=["chained", "large", "map", "sparse", "size", "negative", "realsize"],
)
def test_tars_that_upset_tarfile_are_refused(tmp_path, write):
    write(tmp_path / "scene.tar")
    with pytest.raises(ld.LandsatDownsampleError, match=r"scene\.tar"):
        open_scene(tmp_path / "scene.tar")


def test_a_scene_in_a_tar_is_read_as_before(tmp_path, scene):
    with tarfile.open(tmp_path / "scene.tar", "w") as tar:
        tar.add(scene, arcname=scene.name)
    assert len(members(Location(str(tmp_path / "scene.tar")))) == len(list(scene.iterdir()))
    assert open_scene(tmp_path / "scene.tar").id == scene.name


# Folders -------------------------------------------------------------------------------------


def test_a_folder_of_scenes_says_what_to_give(scene):
    with pytest.raises(ld.SceneError, match=r"holds 1 folder or archive, such as .LC08.*: give them .*/\*$"):
        open_scene(scene.parent)


def test_a_remote_folder_of_scenes_says_what_to_give(scene):
    store = fsspec.filesystem("memory")
    for name in ("LC08_A/x.TIF", "LC08_B/x.TIF", "LC08_C.tar"):
        store.pipe(f"/folder-of-scenes/{name}", b"")
    words = "it holds 3 folders or archives, such as 'LC08_A': give them one by one, or a list of them, @FILE or -"
    with pytest.raises(ld.SceneError, match=re.escape(words)):
        open_scene("memory://folder-of-scenes")


@pytest.mark.parametrize("href", ["https:/host.example/x.TIF", "http:host/x", "s3:/bucket/x", Path("https://host/x")])
def test_a_url_that_lost_a_slash_is_reported(href):
    with pytest.raises(ld.UsageError, match="is no URL: two slashes follow"):
        open_scene(href)


def test_a_file_as_destination_is_reported_with_what_to_do(scene, tmp_path):
    (tmp_path / "out").touch()
    done = call("run", scene, "--to", tmp_path / "out", "--factor", 10)
    assert done.code == 1 and "not a directory: a file stands in the way; choose another destination" in done.err


# Scenes in each other's way ------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["run", "plan"])
def test_two_copies_in_a_list_fail_by_themselves(scene, tmp_path, verb):
    copy = shutil.copytree(scene, tmp_path / "copy" / scene.name)
    (tmp_path / "list").write_text(f"{scene}\n{copy}\n")
    options = ["--to", tmp_path / "out", "--factor", 10]
    done = call(verb, f"@{tmp_path / 'list'}", *options)
    assert done.code == 3
    (line,) = [line for line in done.lines if "would both be written to" in line]
    assert str(scene) in line and str(copy) in line
    done = call(verb, scene, copy, *options)
    assert done.code == 2 and len(done.lines) == 1 and "would both be written to" in done.err


def test_a_warning_before_a_failure_is_said_once(scene, tmp_path):
    broken = shutil.copytree(scene, tmp_path / scene.name)
    first, second = sorted(broken.glob("*_B*.TIF"))[:2]
    first.unlink()
    second.write_bytes(b"II")
    done = call("run", broken, "--to", tmp_path / "out", "--factor", 10)
    assert done.code == 1
    assert len([line for line in done.lines if "1 band listed in its metadata not found" in line]) == 1
