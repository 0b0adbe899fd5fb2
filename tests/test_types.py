"""Types: of the front door, and as a type checker sees them in scripts of users."""

from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys
from pathlib import Path

import jedi
import pytest

import landsat_downsample as ld
from landsat_downsample.api import accessor, lazy


def test_checkers_and_interpreter_see_the_same_door():
    tree = ast.parse(Path(ld.__file__).read_text())
    blocks = {ast.unparse(node.test): node.body for node in tree.body if isinstance(node, ast.If)}
    seen = {}
    for node in blocks["TYPE_CHECKING"]:
        assert isinstance(node, ast.ImportFrom)
        module = str(node.module).removeprefix("landsat_downsample.")
        seen |= {name.name: f"{module}.plot" if name.name == "plot" else module for name in node.names}
    assert seen == ld._HOME
    assert sorted(seen) == ld.__all__ == dir(ld)
    for name, module in seen.items():
        thing = getattr(ld, name)
        assert getattr(thing, "__module__", thing.__name__) == f"landsat_downsample.{module}", (
            f"{name} is made elsewhere"
        )


RIGHT = """
from collections.abc import Sequence
from pathlib import Path

import landsat_downsample as ld
import xarray as xr

def show(step: ld.Progress) -> None:
    print(step.scene_id, step.plan, step.outcome)

folder = ld.make_scene("scenes", sensor="oli", size=(600, 500), bands=["SR_B4", "QA_PIXEL"])
scene: ld.Scene = ld.open_scene(folder, bands="red")
band: ld.Band = scene.band("red")
red: xr.DataArray = ld.coarsen(scene["red"], factor=10, mask="cloud")
both: xr.Dataset = ld.coarsen(scene.dataset(["red"]), size=(100, 0))
clear: xr.Dataset = scene.dataset(["red", "nir08", "qa_pixel"]).landsat.coarsen(grid="modis:500m", mask="cloud")
ndvi: xr.DataArray = scene.dataset(["red", "nir08"]).landsat.scaled().landsat.index("ndvi")
share: float = scene["qa_pixel"].landsat.flags["cloud"].mean().item()
means: xr.Dataset = scene["red"].landsat.coarsen(factor=10, stats="mean,std")
cube = xr.concat([scene["red"], scene.dataset()["red"] * 2], dim="time").mean("time").rio.reproject("EPSG:3035")
scaled: xr.Dataset = scene.dataset("red,qa_pixel", scaled=True)
several: xr.Dataset = ld.coarsen(scene["red"], factor=10, stats="mean,std")
names: list[str] = [name for name in scene if "red" in scene]
bands: dict[str, xr.DataArray] = dict(scene.items())
shares: xr.Dataset = ld.fractions(scene["QA_PIXEL"], resolution=300)
ld.plot.before_after(scene["red"], red).savefig("red.png")
ld.plot.fractions(shares)
plans: ld.Plans = ld.plan([folder, "s3://usgs-landsat/scene", scene], "out", factor=10, bands=["red"])
found: ld.SearchResult = ld.search("https://earth-search.aws.element84.com/v1", "landsat-c2-l2", path_row="192/028")
plans = plans[:2] + ld.plan(found[:10], "out", factor=10) + ld.plan("@list.txt", "out", factor=10)
ld.plot.footprint(scene.grid, plans[0].coarse)
with ld.cluster("local", workers=2) as client:
    outcomes: Sequence[ld.Outcome] = ld.run(plans, client=client, report=show)
try:
    ld.run(plans[0], workers=4)
    ld.run(plans, record=True, progress=True)
    left: Sequence[ld.Outcome] = ld.retry_failed("out", check=False)
    print(ld.status("out").failed)
except ld.RunError as error:
    print(error.outcomes)
report: ld.Report = ld.verify("out/product", source=scene, check=False)
if not report:
    print(report.checked, report.wrong)
try:
    ld.verify(Path("out/product"), source=folder, check=True)
except ld.VerifyError as failure:
    print(failure.report)
clutter: tuple[ld.FoundLeftover, ...] = ld.clean("out", delete=True)
print([(one.leftover.href, one.age, one.state) for one in clutter])
print(ld.stage_out(ld.stage_in(folder, "here", bands="red"), "s3://bucket/there").upper())
service: ld.Ades = ld.ades("local")
job: ld.Job = service.execute(service.deploy(), {"factor": 10})
status: ld.JobStatus = job.wait()
print(status, job.results())
"""

#: A wrong line of a script, and what is said of it.
WRONG = {
    'ld.plan("scene", "out", facto=10)': 'Unexpected keyword argument "facto" for "plan"',
    'ld.plan("scene", "out", factor="ten")': 'Argument "factor" to "plan" has incompatible type "str"',
    'ld.coarsen(ld.open_scene("scene"), factor=10)': 'No overload variant of "coarsen" matches argument types "Scene"',
    'ld.coarsn(ld.open_scene("scene")["red"], factor=10)': 'Module has no attribute "coarsn"',
    'ld.open_scene("s")["red"].landsat.coarsen(mehtod="mean")': 'Unexpected keyword argument "mehtod"',
    'ld.coarsen(ld.open_scene("s").dataset(), factor=9).landsat.scald()': '"DatasetAccessor" has no attribute "scald"',
    'ld.run("out")': 'Argument 1 to "run" has incompatible type "str"',
    'ld.clean("out", delete="yes")': 'Argument "delete" to "clean" has incompatible type "str"',
    "ld.nonsense": 'Module has no attribute "nonsense"',
}


@pytest.fixture
def scripts(tmp_path):
    (tmp_path / "right.py").write_text(RIGHT)
    (tmp_path / "wrong.py").write_text("\n".join(["import landsat_downsample as ld", *WRONG]))
    return tmp_path


@pytest.mark.slow
@pytest.mark.timeout(1200)  # it reads NumPy, xarray and dask, once
def test_a_checker_takes_right_scripts_and_refuses_wrong_lines(scripts):
    words = ["--strict", "--follow-imports=silent", "--no-error-summary", "--hide-error-context"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *words, scripts / "right.py", scripts / "wrong.py"],
        cwd=Path(ld.__file__).parents[1],
        check=False,
        capture_output=True,
        text=True,
    )
    errors = [line.rpartition("/")[2] for line in done.stdout.splitlines() if ": error: " in line]
    assert len(errors) == len(WRONG), done.stdout + done.stderr
    for number, (error, words) in enumerate(zip(errors, WRONG.values(), strict=True), 2):
        assert error.startswith(f"wrong.py:{number}: error: ") and words in error, error


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_so_does_the_checker_of_editors(scripts):
    """Pyright, which Pylance is made of, as basedpyright has it: that brings its own node."""
    settings = {"typeCheckingMode": "standard", "extraPaths": [str(Path(ld.__file__).parents[1])]}
    (scripts / "pyrightconfig.json").write_text(json.dumps(settings))
    words = ["--outputjson", "--level", "error", "--pythonpath", sys.executable, "--project", scripts]
    done = subprocess.run(
        [sys.executable, "-m", "basedpyright", *words], cwd=scripts, check=False, capture_output=True, text=True
    )
    found = json.loads(done.stdout)["generalDiagnostics"]
    lines = {(Path(one["file"]).name, one["range"]["start"]["line"]) for one in found}
    assert lines == {("wrong.py", number) for number in range(1, len(WRONG) + 1)}, found


def test_an_editor_completes_names_and_shows_arguments():
    """By jedi, as IPython and editors without a language server do."""
    names = {one.name for one in jedi.Script("import landsat_downsample as ld\nld.").complete()}
    assert set(ld.__all__) <= names
    (shown,) = jedi.Script("import landsat_downsample as ld\nld.run(").get_signatures()
    assert [one.name for one in shown.params] == list(inspect.signature(ld.run).parameters)
    live = jedi.Interpreter("ld.retry", [{"ld": ld}])
    assert [one.name for one in live.complete()] == ["retry_failed"]


def test_the_accessor_takes_what_coarsen_takes():
    told = []
    for module, name in ((accessor, "__call__"), (lazy, "coarsen")):
        found = [one for one in ast.walk(ast.parse(inspect.getsource(module))) if getattr(one, "name", "") == name]
        overloads = [one for one in found if [ast.unparse(word) for word in one.decorator_list] == ["overload"]]
        told.append([ast.unparse(one.args).partition(", ")[2] for one in overloads])  # without self or obj
    assert told[0] == told[1] and len(told[0]) == 2
