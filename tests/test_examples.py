"""Examples: each public name has one in its docstring, and all of them run."""

from __future__ import annotations

import doctest
import importlib
import inspect
import shutil
from pathlib import Path

import pytest
from stac_api import StacApi, one_item

import landsat_downsample as ld
from landsat_downsample.api.accessor import DataArrayAccessor, DatasetAccessor
from landsat_downsample.model import named_grids
from landsat_downsample.testing.seaweed import Seaweed

HOME = Path(ld.__file__).parent
#: Modules with examples. Those of jobs and of the S3 server start other programs, those of notebooks reduce scenes.
MODULES = [path.relative_to(HOME).as_posix() for path in sorted(HOME.rglob("*.py")) if ">>> " in path.read_text()]
SLOW = ("ogc/job.py", "testing/", "api/", "batch/", "cubes/", "execution/", "products/")
SCENE = "LC08_L2SP_192028_20230714_20230724_02_T1"
#: The API that examples ask, in whose place one of this machine answers.
API = "https://earth-search.aws.element84.com/v1"
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return ld.make_scene(tmp_path_factory.mktemp("made"), size=(600, 500))


@pytest.fixture(scope="module")
def api(made):
    with StacApi("earth-search", [one_item(made)], made.parent) as service:
        yield service


@pytest.mark.parametrize(
    "name", [pytest.param(one, marks=pytest.mark.slow) if one.startswith(SLOW) else one for one in MODULES]
)
def test_examples_run(name, made, api, tmp_path, monkeypatch):
    parts = Path(HOME.name, name).with_suffix("").parts
    module = importlib.import_module(".".join(part for part in parts if part != "__init__"))
    ran = 0
    for number, test in enumerate(doctest.DocTestFinder(exclude_empty=True).find(module, module.__name__)):
        folder = tmp_path / str(number)
        text = "".join(example.source for example in test.examples)
        folder.mkdir()
        if "ld." in text or "scene" in text:  # others are of pure functions
            shutil.copytree(made, folder / SCENE)
            test.globs |= {"ld": ld, "scene": ld.open_scene(folder / SCENE)}
        monkeypatch.chdir(folder)
        for example in test.examples:
            example.source = example.source.replace(API, api.url)
        said: list[str] = []
        result = doctest.DocTestRunner(optionflags=FLAGS).run(test, out=said.append)
        assert result.failed == 0, "".join(said)
        ran += result.attempted
    assert ran


def public() -> dict[str, object]:
    """Public things by name: functions, classes, and what these classes have of their own."""
    found: dict[str, object] = {f"plot.{name}": getattr(ld.plot, name) for name in ld.plot.__all__}
    found |= {
        f"named_grids.{name}": getattr(named_grids, name) for name in ("canonical", "examples", "listed", "named")
    }
    things = {name: getattr(ld, name) for name in ld.__all__ if name != "plot"}
    things |= {one.__name__: one for one in (DataArrayAccessor, DatasetAccessor, Seaweed)}
    for name, thing in things.items():
        found[name] = thing
        if inspect.isclass(thing):
            ours = [one for one in thing.__mro__ if one.__module__.startswith("landsat_downsample")]
            members = {key: value for one in ours for key, value in vars(one).items() if not key.startswith("_")}
            kinds = (property, classmethod, staticmethod)
            found |= {f"{name}.{k}": v for k, v in members.items() if inspect.isfunction(v) or isinstance(v, kinds)}
    return found


def _examples(thing: object) -> str:
    """The lines of a docstring that run."""
    found = doctest.DocTestParser().get_examples(inspect.getdoc(thing) or "")
    return "".join(one.source for one in found if doctest.SKIP not in one.options)


def test_each_public_name_has_an_example():
    things = public()
    without = []
    for name, thing in things.items():
        owner, _, member = name.rpartition(".")
        if not _examples(thing) and f".{member}" not in _examples(things.get(owner)):  # a class shows its methods
            without.append(name)
    assert without == []
