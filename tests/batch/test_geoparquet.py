"""Lists of items as tables, written by rustac; read in Python and in the shell."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import rustac
from command import call
from loopback import serving

import landsat_downsample as ld
from landsat_downsample.batch.scene_lists import read_entries

BANDS = ["SR_B4", "QA_PIXEL"]


def absolute(item: dict, folder: str) -> dict:
    assets = {key: asset | {"href": asset["href"].replace("./", folder)} for key, asset in item["assets"].items()}
    return item | {"assets": assets}


@pytest.fixture(scope="module")
def items(tmp_path_factory) -> list[dict]:
    """Items of two scenes, whose assets are files of this machine; one has an asset that the other has not."""
    folder, made = tmp_path_factory.mktemp("scenes"), []
    for scene in ld.make_scenes(folder, size=(61, 57), bands=BANDS, dates=2):
        (outcome,) = ld.run(ld.plan(scene, folder / "items", factor=1))
        path = Path(outcome.href)
        made.append(absolute(json.loads(path.read_text()), f"{path.parent}/"))
    del made[1]["assets"]["browse"]
    return made


@pytest.fixture
def table(items, tmp_path) -> Path:
    path = tmp_path / "some items.parquet"
    rustac.write_sync(str(tmp_path / "plain.parquet"), items)
    return (tmp_path / "plain.parquet").rename(path)


@pytest.mark.parametrize("spelt", ["path", "text", "list"])
def test_a_table_is_a_list_of_scenes(items, table, tmp_path, spelt):
    source = {"path": table, "text": str(table), "list": f"@{table}"}[spelt]
    plans = ld.plan(source, tmp_path / "out", factor=7, bands="red")
    assert [plan.scene.id for plan in plans] == [item["id"].removesuffix("_downsampled") for item in items]
    assert [outcome.status for outcome in ld.run(plans)] == ["done", "done"]


def test_it_gives_what_its_items_give(items, table):
    from_table = read_entries([str(table)])
    for entry, item in zip(from_table, items, strict=True):
        kept = entry.items[0]
        rasters = {key for key, asset in item["assets"].items() if "tiff" in asset["type"]}
        assert len(rasters) == 3 and rasters < set(kept["assets"]) < set(item["assets"]) | {"browse"}
        assert all(kept["assets"][key]["href"] == item["assets"][key]["href"] for key in kept["assets"])


def test_in_the_shell(items, table, tmp_path):
    result = call("run", table, "--to", tmp_path / "out", "--factor", 7, "--bands", "red")
    assert result.code == 0, result.err
    assert len(list((tmp_path / "out").glob("*_downsampled"))) == len(items)
    assert call("plan", table, "--to", tmp_path / "out", "--factor", 7).code == 0
    part = call("run", f"@{table}", "--part", "2/2", "--to", tmp_path / "part", "--factor", 7)
    assert part.code == 0 and len(list((tmp_path / "part").glob("*_downsampled"))) == 1


def test_a_remote_table_may_not_lead_to_this_machine(table):
    with serving(folder=table.parent) as address:
        plans = ld.plan(f"{address}/some%20items.parquet", "out", factor=7)
        assert len(plans) == 2
        with pytest.raises(ld.LandsatDownsampleError, match="a path of a machine is not allowed there"):
            plans[0]


@pytest.mark.parametrize("content", [b"PAR1 and no more", b"", b"[]"])
def test_what_is_no_table_is_refused_in_one_line(content, tmp_path):
    path = tmp_path / "items.parquet"
    path.write_bytes(content)
    result = call("run", path, "--to", tmp_path / "out", "--factor", 7)
    assert (result.code, len(result.lines)) == (2, 1)
    assert "is no stac-geoparquet that can be read" in result.err
    assert not (tmp_path / "out").exists()


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"items\.parquet"):
        ld.plan(tmp_path / "items.parquet", tmp_path / "out", factor=7)


def test_without_rustac_it_says_what_to_install(table, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rustac", None)
    with pytest.raises(ld.UsageError, match=r"needs rustac, .*: pip install 'landsat-downsample\[geoparquet\]'"):
        ld.plan(table, tmp_path / "out", factor=7)
