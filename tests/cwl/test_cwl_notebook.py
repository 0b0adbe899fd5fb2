"""The notebook as a step: executed on the step's own inputs, given back with the product, also when a cell fails."""

from __future__ import annotations

import re
import shutil
import uuid
from pathlib import Path

import cwl_cases
import nbformat
import pytest
from command import digests
from cwl_cases import folder
from test_cwl_secrets import environment

import landsat_downsample as ld

pytestmark = pytest.mark.slow
CANARY = f"canary{uuid.uuid4().hex}"
#: What a runner may give a step of its environment.
KEPT = ("--no-container", "--preserve-environment", "AWS_SECRET_ACCESS_KEY", "--preserve-environment", "SAS_TOKEN")


def command(name: str, job: dict, place: Path) -> cwl_cases.Done:
    """Run below folders whose names must not be told, with secrets in the environment."""
    place = place / CANARY
    place.mkdir()
    env = environment(place) | {"AWS_SECRET_ACCESS_KEY": CANARY, "SAS_TOKEN": f"sig={CANARY}"}
    return cwl_cases.command(cwl_cases.CWL / f"{name}.cwl", job, place / "out", *KEPT, env=env)


def check_clean(path: Path) -> nbformat.NotebookNode:
    text = path.read_text()
    assert CANARY not in text
    assert not re.findall(r"(?:/home|/root|/Users|/tmp|/var|/opt|/usr|/work|/mnt|site-packages)/[\w/]*", text)
    return nbformat.reads(text, as_version=4)


def code_cells(book) -> list:
    return [cell for cell in book.cells if cell.cell_type == "code"]


def errors(book) -> list:
    return [output for cell in code_cells(book) for output in cell.outputs if output.output_type == "error"]


OPTIONS = {"resolution": 250, "bands": "SR_B4,SR_B5,QA_PIXEL", "qa": "majority", "mask": "cloud"}
OPTIONS |= {
    "min_valid": 0.25,
    "method": ["SR_B4=max"],
    "workers": 2,
    "timeout": 280,
    "grid": "zone",
    "anchor": "-5.0,7.0",
    "stats": "count,mean",
}


@pytest.mark.parametrize("case", ["factor", "options", "size", "single file"])
def test_the_product_is_that_of_downsample(case, scene, tmp_path):
    left, bottom, right, top = ld.open_scene(scene).grid.bounds
    source = cwl_cases.file(scene / f"{scene.name}_QA_PIXEL.TIF") if case == "single file" else folder(scene)
    job = {"options": OPTIONS | {"bounds": f"{left + 300},{bottom + 600},{right - 900},{top - 300}"}}
    job = job.get(case, {"size": "31,0"} if case == "size" else {"factor": 7}) | {"source": source}
    done = command("notebook", job, tmp_path)
    assert done.status == "success" and done.text("notebook_log") == "", done.log
    expected = cwl_cases.run("downsample", job, tmp_path / "expected").path("dataset_dir")
    assert digests(done.path("dataset_dir")) == digests(expected)
    book = check_clean(done.path("output_nb"))
    assert not errors(book) and all(cell.execution_count for cell in code_cells(book))
    pictures = [output for cell in code_cells(book) for output in cell.outputs if "image/png" in output.get("data", {})]
    assert len(pictures) >= (3 if case == "single file" else 4)
    told = book.metadata.papermill.parameters
    assert told["source"] == Path(source["location"]).name and told["workers"] == job.get("workers", 1)
    for name, value in job.items():
        if name not in ("source", "timeout"):  # each in its own type, not as text
            assert told[name] == value and type(told[name]) in (type(value), float), name


def damaged(scene: Path, place: Path) -> Path:
    """A scene whose near infrared is broken in its middle."""
    copy = shutil.copytree(scene, place / scene.name)
    band = copy / f"{scene.name}_SR_B5.TIF"
    content = bytearray(band.read_bytes())
    content[-2000:-1900] = bytes(100)
    band.write_bytes(content)
    return copy


def test_a_failing_notebook_comes_back_with_the_cell_that_failed(scene, tmp_path):
    done = command("notebook", {"source": folder(damaged(scene, tmp_path)), "factor": 10}, tmp_path)
    assert done.status == "permanentFail" and done.outputs["dataset_dir"] is None
    book = check_clean(done.path("output_nb"))
    (error,) = errors(book)
    assert error.ename == "ReadError" and f"{scene.name}_SR_B5.TIF" in error.evalue
    executed = [bool(cell.execution_count) for cell in code_cells(book) if "papermill" in cell.metadata]
    assert True in executed and False in executed, "cells after the one that failed were executed"
    (line,) = done.text("notebook_log").splitlines()
    number = re.match(r"landsat-downsample: cell (\d+) failed: ReadError: ", line)[1]
    assert f"In [{number}]" in book.cells[0].source  # papermill's link to the cell


def test_an_option_that_is_wrong_fails_the_step(scene, tmp_path):
    done = command("notebook", {"source": folder(scene), "factor": 10, "bands": "B99"}, tmp_path)
    assert done.status == "permanentFail"
    assert "BandError" in done.text("notebook_log") and errors(check_clean(done.path("output_nb")))


def test_the_workflow_gives_the_notebook_back_where_it_is_asked_for(scene, product, tmp_path):
    job = {"href": folder(scene), "to": "published", "factor": 10}
    done = cwl_cases.run("workflow", job, tmp_path / "without")
    assert done.status == "success" and done.outputs["output_nb"] is None
    done = command("workflow", job | {"notebook": True}, tmp_path)
    assert done.status == "success", done.log
    assert not errors(check_clean(done.path("output_nb")))
    assert {path.name for path in (done.path("published") / product.name).iterdir()} == set(digests(product))


_DEADLY = """\
#!/bin/sh
case "$*" in notebook*) echo '{{}}' > output_nb.ipynb; exit 1 ;; esac
exec {command} "$@"
"""


def test_a_notebook_that_fails_does_not_take_the_product_with_it(scene, product, tmp_path, monkeypatch):
    path = tmp_path / "bin" / "landsat-downsample"
    path.parent.mkdir()
    path.write_text(_DEADLY.format(command=cwl_cases.BIN / path.name))
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}:{cwl_cases.PATH}")
    job = {"href": folder(scene), "to": "published", "factor": 10, "notebook": True}
    done = cwl_cases.run("workflow", job, tmp_path / "out")
    assert done.status == "permanentFail" and done.path("output_nb").is_file()
    assert (tmp_path / "out" / done.text("item_href").strip()).is_file()
    assert {path.name for path in (done.path("published") / product.name).iterdir()} == set(digests(product))
