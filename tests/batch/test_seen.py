"""Products that are there are passed by without opening their sources, and only as long as nothing has changed."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import s3
from conftest_s3 import proxied, s3_env, seaweed  # noqa: F401 - fixtures

import landsat_downsample as ld
from landsat_downsample.batch import ahead, record, requests
from landsat_downsample.batch.ahead import Ahead
from landsat_downsample.batch.entry import Entry
from landsat_downsample.batch.requests import product_of
from landsat_downsample.batch.seen import Seen, _recorded
from landsat_downsample.storage.probe import NAME


@pytest.fixture
def scenes(tmp_path) -> list[Path]:
    return [ld.make_scene(tmp_path / "in", size=(60, 50), bands=["SR_B4", "QA_PIXEL"], seed=seed) for seed in range(3)]


@pytest.fixture
def opened(monkeypatch) -> list[str]:
    """Sources that were opened, beside the first, which a plan opens."""
    found: list[str] = []
    open_it = requests._opened
    monkeypatch.setattr(requests, "_opened", lambda entry, order: (found.append(entry.label), open_it(entry, order))[1])
    return found


def run(scenes: list[Path] | list[str], dest: object, **options):
    plans = ld.plan(list(map(str, scenes)), dest, **({"factor": 4} | options))
    return [one.status for one in ld.run(plans, record=True, check=False)]


def test_a_second_run_opens_no_source(scenes, tmp_path, opened):
    dest = tmp_path / "out"
    assert run(scenes, dest) == ["done"] * 3
    opened.clear()
    assert run(scenes, dest) == ["skipped"] * 3
    assert opened == [str(scenes[0])]  # by the plan
    assert run(scenes[1:], dest) == ["skipped"] * 2
    assert opened == [str(scenes[0]), str(scenes[1])]
    lines = [line for run in record.run_ids(str(dest)) for line in record.outcomes(f"{dest}/_runs/{run}")]
    assert {line["id"] for line in lines} == {scene.name for scene in scenes}
    some, more = (list(_recorded(str(dest), "", {scenes[number].name})) for number in (2, 1))
    assert (len(some), len(more)) == (1, 3)  # as many records are read as tell of all that is asked for
    assert ld.verify(f"{dest}/{scenes[2].name}_downsampled")


CHANGES = {
    "another byte in a band of the source": lambda scene, product: touched(next(scene.glob("*SR_B4.TIF"))),
    "a file more in the source": lambda scene, product: (scene / "note.txt").write_text("new"),
    "the item written anew": lambda scene, product: touched(next(product.glob("*.stac.json"))),
    "a band of the product cut": lambda scene, product: os.truncate(next(product.glob("*SR_B4.TIF")), 10),
}


def touched(path: Path) -> None:
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


@pytest.mark.parametrize("change", CHANGES)
def test_what_has_changed_is_looked_at_whole(change, scenes, tmp_path, opened):
    run(scenes, tmp_path / "out")
    CHANGES[change](scenes[2], tmp_path / "out" / f"{scenes[2].name}_downsampled")
    opened.clear()
    assert run(scenes, tmp_path / "out") == ["skipped"] * 3
    assert opened == [str(scenes[0]), str(scenes[2])]


def test_a_product_that_lost_its_files_or_is_asked_for_otherwise_is_none_that_was_seen(scenes, tmp_path):
    run(scenes, tmp_path / "out")
    assert run(scenes, tmp_path / "out", factor=5) == ["failed"] * 3
    os.unlink(next((tmp_path / "out" / f"{scenes[1].name}_downsampled").glob("*SR_B4.TIF")))
    shutil.rmtree(tmp_path / "out" / f"{scenes[2].name}_downsampled")
    assert run(scenes, tmp_path / "out") == ["skipped", "failed", "done"]


def test_a_source_that_lies_elsewhere_than_its_folder_is_opened(scenes, tmp_path, opened):
    folder = tmp_path / "items" / scenes[2].name
    folder.mkdir(parents=True)
    item = json.loads(next(scenes[2].glob("*SR_stac.json")).read_text())
    for asset in item["assets"].values():
        asset["href"] = str(scenes[2] / asset["href"].rpartition("/")[2])
    (folder / f"{scenes[2].name}_SR_stac.json").write_text(json.dumps(item))
    assert run([scenes[0], folder], tmp_path / "out") == ["done"] * 2
    opened.clear()
    assert run([scenes[0], folder], tmp_path / "out") == ["skipped"] * 2
    assert str(folder) in opened


def test_names_that_tell_what_a_listing_must_hold():
    scene = "LC08_L2SP_192028_20230714_20230724_02_T1"
    assert product_of(Entry(f"in/{scene}/")) == product_of(Entry(f"s3://b/{scene}")) == scene
    assert product_of(Entry(f"in/{scene}.tar")) == scene
    for other in (f"in/{scene}/{scene}_MTL.json", f"in/{scene}_SR_B4.TIF", "in/scene", f"in/{scene}_copy"):
        assert product_of(Entry(other)) is None


@pytest.fixture
def stored(scenes, proxied, seaweed) -> list[str]:  # noqa: F811
    """Those scenes in a store, and there a product of each; its own folder for each test."""
    root = f"seen-{uuid.uuid4().hex}"
    for path in (path for scene in scenes for path in scene.iterdir()):
        key = f"{root}/in/{path.parent.name}/{path.name}"
        seaweed.client().put_object(Bucket=s3.BUCKET, Key=key, Body=path.read_bytes())
    sources = [f"s3://{s3.BUCKET}/{root}/in/{scene.name}" for scene in scenes]
    assert run(sources, f"s3://{s3.BUCKET}/{root}/out") == ["done"] * 3
    proxied.plan()
    return sources


def dest_of(sources: list[str]) -> str:
    return sources[0].replace("/in/", "/out/").rpartition("/")[0]


def test_on_a_store_two_pages_tell_that_products_are_there(stored, proxied, opened):  # noqa: F811
    assert run(stored, dest_of(stored)) == ["skipped"] * 3
    assert opened == stored[:1]  # by the plan
    name = stored[2].rpartition("/")[2]
    pages = [one.path for one in proxied.seen if "start-after" in one.path]
    assert len(pages) == 2 and all("max-keys" in path for path in pages)  # two scenes, a page for each side
    others = [one.path for one in proxied.seen if name in one.path and NAME not in one.path and one.path not in pages]
    assert [
        path for path in others if not path.endswith((".browse.png", ".stac.json"))
    ] == []  # of the report's pictures


@pytest.mark.slow
def test_what_has_changed_in_a_store_is_looked_at_whole(stored, seaweed, opened):  # noqa: F811
    client, opened[:] = seaweed.client(), []
    key = f"{stored[1].partition(s3.BUCKET + '/')[2]}/note.txt"
    client.put_object(Bucket=s3.BUCKET, Key=key, Body=b"new")
    assert run(stored, dest_of(stored)) == ["skipped"] * 3
    assert opened == stored[:2]
    assert run(stored, dest_of(stored)) == ["skipped"] * 3
    assert opened == [*stored[:2], stored[0]]  # as it was when it was looked at
    name = stored[2].rpartition("/")[2]
    key = f"{dest_of(stored).partition(s3.BUCKET + '/')[2]}/{name}_downsampled/{name}_SR_B4.TIF"
    client.delete_object(Bucket=s3.BUCKET, Key=key)
    assert run(stored, dest_of(stored)) == ["skipped", "skipped", "failed"]


@pytest.mark.slow
def test_what_no_page_tells_is_listed_by_itself(stored, proxied, monkeypatch):  # noqa: F811
    """Where pages are refused; where they are old by the time that a scene's turn comes."""
    plans, name = ld.plan(stored, dest_of(stored), factor=4), stored[2].rpartition("/")[2]
    for faults, fresh in ((["forbidden"] * 2, ahead.FRESH), ([], 0.0)):
        monkeypatch.setattr(ahead, "FRESH", fresh)
        seen = Seen.of(plans.requests, "")
        proxied.plan(*faults)
        found = [seen.there(seen.look(request)) for request in plans.requests[1:]]
        assert found[1][0] == f"{dest_of(stored)}/{name}_downsampled/{name}_downsampled.stac.json"
        assert sum("delimiter" in one.path for one in proxied.seen) == 4


def test_windows_give_what_was_found_of_each_scene_once():
    asked: list[int] = []

    def find(some):
        asked.append(len(some))
        return {id(one): one.upper() for one in some if one[-1] != "7"}

    names = [f"s{number}" for number in range(700)]
    windows = Ahead(names, find)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(windows.of, names))
    assert found == [None if name[-1] == "7" else name.upper() for name in names]
    assert asked == [64, 256, 380]
    assert windows.of("another") is None
