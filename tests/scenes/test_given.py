"""What Python users give for scenes: items as pystac has them, and what is none."""

from __future__ import annotations

import json
from pathlib import Path

import pystac
import pytest
import rasterio

import landsat_downsample as ld


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Path:
    return ld.make_scene(tmp_path_factory.mktemp("scenes"), size=(61, 57), bands=["SR_B4", "ST_B10", "QA_PIXEL"])


@pytest.fixture(scope="module")
def items(scene) -> list[pystac.Item]:
    return [pystac.Item.from_file(str(path)) for path in sorted(scene.glob("*_stac.json"))]


def forms(items: list[pystac.Item]) -> list:
    both = pystac.ItemCollection(items)
    return [items, tuple(items), both, both.to_dict(), [item.to_dict() for item in items], iter(items)]


def test_items_of_pystac_are_opened_as_their_folder_is(scene, items, tmp_path):
    meant = ld.open_scene(scene)
    for source in forms(items):
        opened = ld.open_scene(source)
        assert (opened.id, opened.grid, list(opened.bands)) == (meant.id, meant.grid, list(meant.bands))
    assert list(ld.open_scene(items[0]).bands) == ["SR_B4", "QA_PIXEL"]
    for source in forms(items):  # of which each scene is one plan
        (plan,) = ld.plan(source, tmp_path, factor=7)
        assert [target.band.href for target in plan.targets] == [band.href for band in meant.bands.values()]


def test_a_scene_is_planned_for_each_among_many_items(tmp_path):
    scenes = [ld.make_scene(tmp_path / str(seed), size=(61, 57), bands=["SR_B4"], seed=seed) for seed in (0, 1)]
    scenes[1] = scenes[1].rename(tmp_path / "other")
    for path in [*scenes[1].iterdir()]:
        path.rename(path.with_name(path.name.replace("192028", "192029")))
    for path in scenes[1].glob("*.json"):
        path.write_text(path.read_text().replace("192028", "192029"))
    found = [pystac.Item.from_file(str(next(scene.glob("*_SR_stac.json")))) for scene in scenes]
    plans = ld.plan(pystac.ItemCollection(found), tmp_path / "out", factor=7)
    assert [plan.scene.id[10:16] for plan in plans] == ["192028", "192029"]


def test_an_item_from_elsewhere_starts_where_it_was_read(items):
    record = json.loads(json.dumps(items[0].to_dict()))
    record["links"] = [{"rel": "self", "href": "https://host.invalid/a/item.json"}]
    for asset in record["assets"].values():
        asset["href"] = f"/etc/{asset['href'].rpartition('/')[2]}"
    with pytest.raises(ld.SceneError, match=r"points to ./etc/.*refused"):
        ld.open_scene(pystac.Item.from_dict(record))


def test_what_is_no_source_is_refused_in_words_that_help(scene, tmp_path):
    path = next(scene.glob("*_SR_B4.TIF"))
    with rasterio.open(path) as dataset:
        given = ((dataset, f"'DatasetReader'.*such as its name, '{path}'"), (None, "'NoneType'"), (3, "'int'"))
        calls = (ld.open_scene, lambda one: ld.plan(one, tmp_path, factor=2), lambda one: ld.open_scene([one]))
        for wrong, words in given:
            for call in calls:
                with pytest.raises(ld.UsageError, match=f"neither an href nor a STAC item but of type {words}"):
                    call(wrong)
            with pytest.raises(ld.UsageError, match=r"run takes plans.*give what plan\(\.\.\.\) returns"):
                ld.run(wrong)
    with pytest.raises(ld.UsageError, match="'Catalog'"):
        ld.open_scene(pystac.Catalog("x", "y"))
