"""Grids and tiles on the command line: what is listed, planned, made under which name, and refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from command import call

import landsat_downsample as ld
from landsat_downsample.model.named_grids import record


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Path:
    return ld.make_scene(tmp_path_factory.mktemp("scenes"), size=(611, 577), bands=["SR_B4", "QA_PIXEL"])


def test_grids_are_listed_with_sizes_and_tiles_and_as_json_with_sources():
    result = call("grids")
    assert result.code == 0 and max(map(len, result.out.splitlines())) <= 100
    for name, family in record()["families"].items():
        assert f"{name} " in result.out
        assert family.get("tiles", {}).get("looks", name) in result.out
    lines = [json.loads(line) for line in call("grids", "--json").out.splitlines()]
    assert [line["grid"] for line in lines] == list(record()["families"])
    assert all(line["sources"] and line["examples"] for line in lines)


def test_info_and_plan_say_which_cells_and_tiles_are_met(scene):
    line = "rows 10304 to 10343, columns 45127 to 45173 of grid modis:500m; tiles h18v04"
    assert line in call("info", scene, "--grid", "modis:500m").out
    assert line in call("plan", scene, "--grid", "modis:500m").out
    met = {"grid": "modis:500m", "first": [10304, 45127], "shape": [40, 47], "tiles": ["h18v04"]}
    assert json.loads(call("info", scene, "--grid", "modis:500m", "--json").out)["cells"] == met
    assert json.loads(call("plan", scene, "--grid", "modis:500m", "--json").out)["cells"] == met


def test_each_tile_is_a_product_of_its_own_with_the_cells_of_the_tile(scene, tmp_path):
    made = call("run", scene, "--to", tmp_path / "out", "--grid", "hls:300", "--tiles")
    assert made.code == 0
    ids = [json.loads(line)["id"] for line in made.out.splitlines()]
    assert sorted(ids) == [f"{scene.name}_T33TTM", f"{scene.name}_T33TTN"]  # whichever ends first
    for name in ids:
        folder = tmp_path / "out" / f"{name}_downsampled"
        assert (folder / f"{name}_downsampled.stac.json").exists()
        tile = name.rpartition("_")[2]
        alone = call("run", scene, "--to", tmp_path / "alone", "--grid", f"mgrs:{tile[1:]}:300")
        assert json.loads(alone.out)["id"] == name
        with rasterio.open(folder / f"{scene.name}_SR_B4.TIF") as file:
            assert file.shape == (366, 366) and file.bounds.left == 199980
            pixels = file.read(1)
        with rasterio.open(tmp_path / "alone" / folder.name / f"{scene.name}_SR_B4.TIF") as file:
            np.testing.assert_array_equal(pixels, file.read(1))
        assert call("verify", folder, "--source", scene).code == 0
    again = call("run", scene, "--to", tmp_path / "out", "--grid", "hls:300", "--tiles")
    assert [json.loads(line)["status"] for line in again.out.splitlines()] == ["skipped", "skipped"]


def test_a_run_by_tiles_is_on_record_and_tried_again_tile_by_tile(scene, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / f"{scene.name}_T33TTM_downsampled").write_text("in the way")
    words = ("--to", tmp_path / "out", "--grid", "hls:300", "--tiles")
    assert call("run", scene, *words).code == 3
    [run] = (tmp_path / "out" / "_runs").iterdir()
    listed = [json.loads(line) for line in (run / "scenes.ndjson").read_text().splitlines()]
    assert [line["tile"] for line in listed] == ["mgrs:33TTN:300", "mgrs:33TTM:300"]
    assert "1 of 2 scenes done" in call("status", tmp_path / "out").out
    (tmp_path / "out" / f"{scene.name}_T33TTM_downsampled").unlink()
    again = call("run", "--retry-failed", tmp_path / "out", *words)
    assert [json.loads(line)["id"] for line in again.out.splitlines()] == [f"{scene.name}_T33TTM"]


def test_a_list_may_name_tiles_of_a_scene(scene, tmp_path):
    lines = [{"source": str(scene), "tile": f"mgrs:33TT{row}:300"} for row in "MN"]
    (tmp_path / "list.ndjson").write_text("\n".join(map(json.dumps, lines)))
    made = call("run", f"@{tmp_path / 'list.ndjson'}", "--to", tmp_path / "out", "--grid", "hls:300")
    assert sorted(json.loads(line)["id"][-6:] for line in made.out.splitlines()) == ["T33TTM", "T33TTN"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--grid", "mgrs:33UUP:300"), "does not reach tile T33UUP of grid mgrs:300: it reaches T33TTN, T33TTM"),
        (("--grid", "modis:1km:h19v04"), "does not reach tile h19v04 of grid modis:1km: it reaches h18v04"),
        (("--grid", "latlon:0.05", "--tiles"), "grid latlon:0.05 has no tiles of whole cells"),
        (("--factor", 10, "--tiles"), "--tiles needs a --grid that has tiles"),
        (("--grid", "modis:500m", "--factor", 10), "leave out factor"),
        (("--grid", "EPSG:3035@"), "is no cell size"),
        (("--grid", "EPSG:999999@100"), "grid of CRS 'EPSG:999999': it is unknown"),
        (
            ("--grid", "eea:1km", "--bounds", "5100000,5100000.25,5200000,5200000"),
            "bounds 5100000,5100000.25,5200000,5200000 hold nothing of the image",
        ),
        (("--grid", "eea:1km", "--bounds", "5100000,0,5000000,1"), "bounds 5100000,0,5000000,1 are empty"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(scene, tmp_path, words, message, capfd):
    result = call("plan", scene, *words)
    assert capfd.readouterr().err == ""  # where GDAL and PROJ write themselves
    assert result.code == 2 and len(result.lines) == 1 and message in result.err


def test_tiles_in_python(scene, tmp_path):
    plans = ld.plan(scene, tmp_path, grid="hls:300", tiles=True)
    assert [plan.id.rpartition("_")[2] for plan in plans] == ["T33TTN", "T33TTM"]
    assert [plan.coarse.shape for plan in plans] == [(366, 366)] * 2
