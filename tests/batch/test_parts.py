"""Shares of a list: disjoint, complete, balanced, and the same whoever takes them."""

from __future__ import annotations

import json
import os
import random
import string
from pathlib import Path

import pytest
from command import call, products, spawn
from conftest_s3 import s3_env, seaweed  # noqa: F401 - fixtures
from hypothesis import given, settings
from hypothesis import strategies as st

import landsat_downsample as ld
from landsat_downsample.batch.entry import Entry
from landsat_downsample.batch.parts import Part, share
from landsat_downsample.batch.requests import distinct, place_key
from landsat_downsample.batch.scene_lists import read_entries
from landsat_downsample.model.options import Options
from landsat_downsample.testing.seaweed import BUCKET

TEN = Options(factor=10)
FACTOR = ("--factor", 7)


# What a part is asked for as -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0/10", "$((INDEX + 1))/N"),
        ("11/10", "1/10 to 10/10"),
        ("3", "such as 3/10"),
        ("3/", "such as 3/10"),
        ("-1/10", "such as 3/10"),
        ("1/0", "1/0"),
        ("1.5/3", "such as 3/10"),
        ("/3", "such as 3/10"),
        ("²/3", "such as 3/10"),
    ],
)
def test_a_part_that_is_none_is_refused_in_a_line(text, said, tmp_path):
    result = call("run", "scene", f"--part={text}", "--to", tmp_path, "--factor", 7)
    assert result.code == 2 and len(result.lines) == 1 and said in result.err, result.err


def test_a_part_says_what_it_is():
    assert str(Part.parse(" 10/10 ")) == "10/10" and Part.parse("1/1") == Part(1, 1)


# Shares ----------------------------------------------------------------------------------------

#: Lines as lists have them: products of every spelling, folders and files without an ID, what is no href.
PRODUCTS = [f"LC08_L2SP_{path:03}0{row:02}_2023071{row % 10}_20230724_02_T1" for path in (7, 192) for row in range(17)]
WORDS = st.text(string.ascii_letters + string.digits + "_ .é", min_size=1, max_size=9).map(str.strip).filter(bool)
LINES = st.one_of(
    st.sampled_from(PRODUCTS).flatmap(
        lambda name: st.sampled_from(
            [
                f"/data/{name}",
                f"s3://bucket/{name}/",
                f"{name}.tar",
                f"a/{name}/{name}_MTL.json",
                f"https://x.org/{name}.tar",
            ]
        )
    ),
    WORDS.map(lambda word: f"/data/{word}/scene"),
    WORDS.map(lambda word: f"s3://bucket/{word}.TIF"),
    st.just("s3://"),
    st.just('{"type": "Catalog"}'),
)


@settings(max_examples=200, deadline=None)
@given(lines=st.lists(LINES, max_size=60), of=st.integers(1, 23))
def test_shares_are_disjoint_complete_and_balanced(lines, of, tmp_path_factory):
    listed = tmp_path_factory.mktemp("list") / "list.txt"
    listed.write_text("\n".join(["/data/first", *lines]))
    entries = read_entries([f"@{listed}"])
    shares = [share(entries, Part(number, of), TEN) for number in range(1, of + 1)]
    together = [entry for one in shares for entry in one.entries]
    assert sorted(map(id, together)) == sorted(map(id, entries)), "each entry is in one share"
    assert len({one.run for one in shares}) == len({one.scenes for one in shares}) == 1
    good = [[entry for entry in one.entries if entry.error is None] for one in shares]
    places = [{place_key(entry) for entry in one} for one in good]
    assert sum(map(len, places)) == len(set().union(*places)), "no two parts write to one place"
    sizes = [len(places[k]) + len(shares[k].entries) - len(good[k]) for k in range(of)]
    assert max(sizes) - min(sizes) <= 1 and sizes == [Part(k + 1, of).size(shares[0].scenes) for k in range(of)]
    # An oracle that knows nothing of places: what is distinct as a whole is distinct in shares.
    whole = distinct(entries, listed=True)
    apart = [entry for one in shares for entry in distinct(one.entries, listed=True)]
    assert sorted(map(describe, apart)) == sorted(map(describe, whole))


def describe(entry: Entry) -> str:
    return f"{entry.source} {entry.error}"


def test_a_share_is_that_of_the_list_alone(tmp_path, monkeypatch):
    """Not of the folder that a machine is in, of its files, of links, or of where it has the list."""
    scene = ld.make_scene(tmp_path / "here", size=(61, 57), bands=["SR_B4"])
    (tmp_path / "here" / "latest").symlink_to(scene)
    text = "\n".join([scene.name, "latest", f"./{scene.name}", "other", f"{scene.name}/{scene.name}_MTL.json"])
    seen = []
    for folder, name in (("here", "list.txt"), ("there", "another.txt")):
        (tmp_path / folder).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / folder)
        Path(name).write_text(text)
        entries = read_entries([f"@{name}"])
        seen.append([[entry.source for entry in share(entries, Part(k, 3), TEN).entries] for k in (1, 2, 3)])
        seen[-1].append(share(entries, Part(1, 3), TEN).run)
    assert seen[0] == seen[1]
    assert seen[0][:3] == [
        [scene.name, f"./{scene.name}", f"{scene.name}/{scene.name}_MTL.json"],
        ["latest"],
        ["other"],
    ]


def test_scenes_that_are_added_leave_the_others_where_they_were():
    entries = [Entry(f"/data/{k}") for k in range(40)]
    shuffled = random.Random(5).sample(entries, 40)
    for number in range(1, 8):
        before = share(shuffled[:29], Part(number, 7), TEN).entries
        assert share(shuffled, Part(number, 7), TEN).entries[: len(before)] == before


def test_another_list_or_other_options_are_another_run():
    entries = [Entry(f"/data/{k}") for k in range(5)]
    names = {
        share(entries, Part(1, 3), TEN).run,
        share(entries[:4], Part(1, 3), TEN).run,
        share(entries[::-1], Part(1, 3), TEN).run,
        share(entries, Part(1, 3), Options(factor=11)).run,
        share(entries, Part(1, 4), TEN).run,
    }
    assert len(names) == 5


# Runs ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("scenes")
    return [ld.make_scene(folder, size=(101, 87), bands=["SR_B4", "QA_PIXEL"], seed=seed) for seed in range(5)]


@pytest.fixture(scope="module")
def whole(scenes, tmp_path_factory) -> dict[str, dict[str, str]]:
    dest = tmp_path_factory.mktemp("whole")
    assert call("run", *scenes, "--to", dest, *FACTOR, "-q").code == 0
    return products(dest)


def side_by_side(of: int, *words: object, **settings) -> None:
    """Run all parts at once, each in a process of its own."""
    running = [spawn("run", *words, "--part", f"{number}/{of}", **settings) for number in range(1, of + 1)]
    for process in running:
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, (out, err)


def listed(path: Path, scenes: list[Path]) -> str:
    path.write_text("".join(f"{scene}\n" for scene in scenes))
    return f"@{path}"


def test_parts_side_by_side_make_what_a_whole_run_makes(scenes, whole, tmp_path):
    dest = tmp_path / "out"
    side_by_side(2, listed(tmp_path / "list.txt", scenes), "--to", dest, *FACTOR)
    assert products(dest) == whole
    found = call("status", dest)
    assert found.code == 0 and "2 parts, 2 ended" in found.out and "5 of 5 scenes done, 0 failed" in found.out
    line = json.loads(call("status", dest, "--json").out)
    assert (line["done"], line["total"], line["listed"], line["missing"]) == (5, 5, 5, [])
    assert [part["part"] for part in line["parts"]] == [1, 2] and [part["done"] for part in line["parts"]] == [3, 2]
    page = call("report", dest)
    assert page.code == 0 and page.out.strip().endswith(f"{line['id']}/report.html")
    text = Path(page.out.strip()).read_text()
    assert "All 5 scenes done" in text and all(f"../../{name}" in text for name in whole)
    one = call("status", dest, "--run", line["parts"][1]["id"])
    assert one.code == 0 and "2 of 2 scenes done" in one.out
    assert call("status", dest, "--run", line["id"]).out == call("status", dest).out
    assert len(call("status", dest, "--all").out.splitlines()) == 2


@pytest.mark.slow
def test_parts_on_an_object_store(scenes, whole, tmp_path, s3_env):  # noqa: F811
    import fsspec

    dest = f"s3://{BUCKET}/{tmp_path.name}"
    side_by_side(2, listed(tmp_path / "list.txt", scenes), "--to", dest, *FACTOR, env=dict(os.environ))
    store = fsspec.filesystem("s3")
    for name in whole:
        store.get(f"{dest}/{name}/", str(tmp_path / "got" / name), recursive=True)
    assert products(tmp_path / "got") == whole
    line = json.loads(call("status", dest, "--json").out)
    assert (line["state"], line["done"], line["failed"], len(line["parts"])) == ("ended", 5, 0, 2)
    page = call("report", dest).out.strip()
    assert b"All 5 scenes done" in store.cat(page)


def test_a_part_with_nothing_to_do_ends_at_once(scenes, tmp_path):
    result = call("run", *scenes[:2], "--part", "3/3", "--to", tmp_path / "out", *FACTOR)
    assert result.code == 0 and len(result.lines) == 1 and "part 3/3 has nothing to do" in result.err
    assert not (tmp_path / "out").exists()


def test_a_part_of_one_scene_is_on_record(scenes, tmp_path):
    for number in (1, 2):
        assert call("run", *scenes[:2], "--part", f"{number}/3", "--to", tmp_path, *FACTOR, "-q").code == 0
    line = json.loads(call("status", tmp_path, "--json").out)
    assert (line["done"], line["total"], line["missing"], line["state"]) == (2, 2, [], "ended")


@pytest.mark.slow
def test_parts_of_stdin(scenes, whole, tmp_path):
    lines = "\n".join(map(str, scenes)) + "\n"
    for number in (1, 2, 3):
        process = spawn("run", "-", "--part", f"{number}/3", "--to", tmp_path, *FACTOR, "-q", stdin=-1)
        process.communicate(lines, timeout=240)
        assert process.returncode == 0
    assert products(tmp_path) == whole
