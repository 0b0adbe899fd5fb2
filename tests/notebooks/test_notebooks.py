"""The notebooks: written with the public face and the command line's words, stripped, and run as they are."""

from __future__ import annotations

import argparse
import ast
import json
import re
import subprocess
import sys
from html import unescape
from pathlib import Path

import nbformat
import papermill
import pytest

import landsat_downsample as ld

HOME = Path(__file__).parents[2]
NOTEBOOKS = {path.stem: path for path in sorted((HOME / "notebooks").glob("*.ipynb"))}

#: The verb that says the same in a shell; besides its options a notebook may have these parameters.
VERBS = {
    "stage_in": "stage-in",
    "downsample_landsat": "notebook",
    "batch_on_kubernetes": "run",
    "submit_via_ades": "run",
    "average": "run",
    "ndvi_time_series": "run",
    "operate_a_batch": "run",
    "monthly_composites": "run",
    "landsat_and_hls": "run",
}
BESIDES = {"submit_via_ades": {"ades", "package"}}

every = pytest.mark.parametrize("name", NOTEBOOKS)


def book(name):
    return nbformat.read(NOTEBOOKS[name], as_version=4)


def code_of(name) -> str:
    return "\n".join(cell.source for cell in book(name).cells if cell.cell_type == "code")


# As they are kept --------------------------------------------------------------------------------


def test_all_of_them_are_here():
    assert set(NOTEBOOKS) == set(VERBS)


@every
def test_nothing_is_kept_of_a_run(name):
    cells = book(name).cells
    assert [cell.id for cell in cells] == [str(number) for number in range(len(cells))]
    assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]


def test_the_command_has_the_same_notebook():
    package = HOME / "landsat_downsample" / "cli" / "downsample_landsat.ipynb"
    assert package.read_bytes() == NOTEBOOKS["downsample_landsat"].read_bytes(), (
        f"cp notebooks/{package.name} {package}"
    )


def test_nbstripout_finds_nothing_to_strip():
    stripper = [sys.executable, "-m", "nbstripout", "--verify", *map(str, NOTEBOOKS.values())]
    done = subprocess.run(stripper, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@every
def test_no_place_of_a_machine_is_named(name):
    text = NOTEBOOKS[name].read_text()
    assert not re.findall(r"(?:/home|/root|/Users|/tmp|/work|/mnt|[A-Z]:\\\\)[\w/\\]*", text)
    assert not re.findall(r"AKIA\w+|[Bb]earer \w{8,}|secret_access_key", text)


@every
def test_cells_are_small(name):
    cells = book(name).cells
    assert cells[0].cell_type == "markdown" and cells[0].source.startswith("# ")
    code = [cell for cell in cells if cell.cell_type == "code" and "parameters" not in cell.metadata.get("tags", ())]
    assert max(len(cell.source.splitlines()) for cell in code) <= 16  # parameters: one for each option


@every
def test_only_the_public_face_is_used(name):
    for node in ast.walk(ast.parse(code_of(name))):
        if isinstance(node, ast.Import):
            assert all(alias.asname == "ld" for alias in node.names if alias.name.startswith("landsat"))
        elif isinstance(node, ast.ImportFrom):
            assert not node.module.startswith("landsat")
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert not node.attr.startswith("_")
            assert node.value.id != "ld" or node.attr in ld.__all__, node.attr


# Doors -------------------------------------------------------------------------------------------


def words_of(verb: str) -> set[str]:
    """Options and arguments of a verb, as Python names."""
    from landsat_downsample.cli import main

    (verbs,) = (action for action in main.make_parser()._actions if isinstance(action, argparse._SubParsersAction))
    return {action.dest for action in verbs.choices[verb]._actions}


@every
def test_parameters_are_the_words_of_the_command_line(name):
    known = words_of(VERBS[name])
    known |= BESIDES.get(name, set()) | ({"source"} if "sources" in known else set())
    found = papermill.inspect_notebook(str(NOTEBOOKS[name]))
    assert found and set(found) <= known
    for parameter in found.values():
        assert parameter["inferred_type_name"] not in ("", "None"), parameter
        assert parameter["help"], parameter


@every
def test_every_parameter_is_used(name):
    for parameter in papermill.inspect_notebook(str(NOTEBOOKS[name])):
        assert len(re.findall(rf"\b{parameter}\b", code_of(name))) > 1, parameter


def test_the_service_is_asked_in_the_words_of_the_package():
    package = json.loads((HOME / "cwl" / "ogcapppkg.json").read_text())
    (asked,) = re.findall(r"execute\(process, (\{.*\})\)", code_of("submit_via_ades"))
    keys = {key.value for key in ast.parse(asked, mode="eval").body.keys}
    assert keys and keys <= set(package["processDescription"]["inputs"])


# As they run -------------------------------------------------------------------------------------


def run(name, folder, **parameters):
    """Run a notebook in a folder; give what its cells put out."""
    out = folder / f"{name}.ipynb"
    done = papermill.execute_notebook(
        str(NOTEBOOKS[name]), str(out), parameters, cwd=str(folder), progress_bar=False, execution_timeout=280
    )
    outputs = [output for cell in done.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    return outputs


def text_of(outputs) -> str:
    parts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs]
    return "\n".join(parts)


def pictures(outputs) -> list[bytes]:
    return [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]


@pytest.mark.slow
def test_stage_in_runs(tmp_path):
    said = text_of(run("stage_in", tmp_path))
    assert re.search(r"\d+% of the frame is fill; reflectance = 2.75e-05 x DN", said)
    assert "ReadError: cannot read 'LC08" in said and "staged: False" in said
    (folder,) = (tmp_path / "demo" / "staged").iterdir()
    with pytest.warns(UserWarning, match="16 bands listed in its metadata not found"):
        assert set(ld.open_scene(folder).bands) == {"SR_B4", "SR_B5", "QA_PIXEL"}


@pytest.mark.slow
def test_downsample_runs(tmp_path):
    outputs = run("downsample_landsat", tmp_path, factor=7, to="products")
    said = text_of(outputs)
    assert len(pictures(outputs)) == 4  # the band, its quality, the fractions, the browse picture
    assert "16 cells recomputed, all equal (conservative)" in said and "WRONG" not in said
    assert [path.name for path in tmp_path.glob("products/*/*_QA_FRACTIONS.TIF")]


@pytest.mark.slow
@pytest.mark.parametrize("cluster", ["none", "local"])
def test_batch_runs(tmp_path, cluster):
    outputs = run("batch_on_kubernetes", tmp_path, cluster=cluster)
    said = text_of(outputs)
    assert "7 done, 1 failed of 8 scenes" in said and "ReadError: cannot" in said
    assert "1 done of 1 scene" in said and re.search(r"\[\('LC\w+', 'done'\)\]", said)
    assert len(list(tmp_path.glob("demo/batch/_runs/*/report.html"))) == 2
    assert len(list(tmp_path.glob("demo/batch/*/*.stac.json"))) == 8


@pytest.mark.slow
def test_submit_runs(tmp_path):
    outputs = run("submit_via_ades", tmp_path)
    assert "successful" in text_of(outputs) and len(pictures(outputs)) == 1
    assert list(tmp_path.glob("demo/fetched/*/catalog.json"))


@pytest.mark.slow
@pytest.mark.parametrize("grid", ["modis:500m", "latlon:0.01"])
def test_average_runs(tmp_path, grid):
    outputs = run("average", tmp_path, grid=grid)
    said = text_of(outputs)
    assert len(pictures(outputs)) == 2  # the maps, the cell
    found = re.search(r"points: (.*), ld.coarsen: (.*), GDAL's average: (.*) DN", said)
    points, exact, gdal = map(float, found.groups())
    assert abs(points - exact) < 3
    assert abs(gdal - exact) > (3000 if grid == "modis:500m" else 10)  # those of lat/lon are nearly upright


@pytest.mark.slow
def test_time_series_runs(tmp_path):
    outputs = run("ndvi_time_series", tmp_path)
    said = text_of(outputs)
    assert len(pictures(outputs)) == 5  # a date, all dates, the series, before and after, MODIS's cells
    assert re.search(r"EPSG:32633 {'time': 6, .*} normalised difference vegetation index", said)
    summer, winter = _means(said)
    assert summer > winter + 0.1 and list(tmp_path.glob("demo/ndvi/cube.nc"))


@pytest.mark.slow
def test_monthly_composites_run(tmp_path):
    outputs = run("monthly_composites", tmp_path)
    assert "40 dates, 40 of them new" in text_of(outputs) and len(pictures(outputs)) == 3
    assert len(list(tmp_path.glob("demo/months/cube.zarr/red/c/*/0/0"))) == 2


def _means(said: str) -> tuple[float, float]:
    """NDVI of July and January, as the table of the time series says."""
    rows = re.findall(r"^(20\d\d-\d\d)-\d\d +(0\.\d+) +\d+ ", said, re.MULTILINE)
    means = {month: float(mean) for month, mean in rows}
    return means["2023-07"], means["2024-01"]


@pytest.mark.slow
@pytest.mark.parametrize("cluster", ["none", "local"])
def test_operating_a_batch_runs(tmp_path, cluster):
    outputs = run("operate_a_batch", tmp_path, cluster=cluster)
    said = text_of(outputs)
    assert "7 scenes: 5 done, 2 failed" in said and "2 scenes: 1 done, 1 failed" in said and "0 leftovers" in said
    assert said.count("all equal") == 3 and "no such file or folder" in said and "fetch it again" in said
    assert len(list(tmp_path.glob("demo/operated/*/*.stac.json"))) == 6 and len(pictures(outputs)) == 1
    shown = next(html for one in outputs if "srcdoc=" in (html := one.get("data", {}).get("text/html", "")))
    (page,) = re.findall(r'srcdoc="([^"]+)"', shown)
    assert unescape(page) in [one.read_text() for one in tmp_path.glob("demo/operated/_runs/*/report.html")]


@pytest.mark.slow
def test_landsat_and_hls_runs(tmp_path):
    outputs = run("landsat_and_hls", tmp_path)
    said = text_of(outputs)
    assert len(pictures(outputs)) == 1 and "hls_s30" in said and "B8A" in said
    assert said.count("landsat-8 2023-07-14") >= 2 and "sentinel-2a 2023-07-16" in said  # of USGS, and L30
    assert len(list(tmp_path.glob("demo/landsat-and-hls/*_downsampled"))) == 4
