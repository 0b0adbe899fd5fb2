"""What an import costs, that no module needs itself, and that the public names keep their promises."""

from __future__ import annotations

import inspect
import os
import re
import runpy
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import landsat_downsample as ld
from landsat_downsample.pipeline import tiles

PACKAGE = Path(ld.__file__).parent


def _dotted(path: Path) -> str:
    """Name of a module below the package: ``formats.tiff``, and ``formats`` for its ``__init__``."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


FILES = {_dotted(path): path for path in sorted(PACKAGE.rglob("*.py"))}
MODULES = sorted(FILES)
HEAVY = {"distributed", "matplotlib", "dask_kubernetes", "dask", "xarray", "rioxarray", "rasterio", "PIL", "pystac"}


def modules_after(code: str, *argv: object) -> set[str]:
    """Names of the modules that a fresh interpreter has after running some code."""
    reported = f"{code}\nimport sys; print('loaded', *(name for name, module in sys.modules.items() if module))"
    words = [sys.executable, "-c", reported, *(str(word) for word in argv)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("loaded ")[2].split())


def test_importing_the_package_is_light():
    assert not modules_after("import landsat_downsample") & (HEAVY | {"numpy", "fsspec", "rich"})


def test_a_run_needs_no_array_library_but_numpy(tmp_path):
    scene = ld.make_scene(tmp_path, size=(61, 57), bands=["SR_B4", "QA_PIXEL"])
    code = "from landsat_downsample.cli.main import main\nassert main() == 0"
    loaded = modules_after(code, "run", scene, "--to", tmp_path / "out", "--factor", 4)
    assert "rasterio" in loaded
    others = {"fsspec", "asyncio", "ssl", "botocore", "pyproj", "pandas", "yaml", "rich", "jinja2", "zarr"}
    assert not loaded & (HEAVY - {"rasterio"} | others)


def test_a_plan_of_a_local_scene_loads_nothing_of_the_network(tmp_path):
    scene = ld.make_scene(tmp_path, size=(61, 57), bands=["SR_B4", "QA_PIXEL"])
    code = "from landsat_downsample.cli.main import main\nassert main() == 0"
    loaded = modules_after(code, "plan", scene, "--factor", 4)
    assert "landsat_downsample.execution.cost" in loaded
    assert not loaded & {"asyncio", "ssl", "fsspec", "landsat_downsample.storage.remote"}


#: What only talks to other machines, prices work, or keeps the record of many scenes.
ELSEWHERE = {
    *(f"storage.{name}" for name in ("remote", "streaming", "retry", "transport", "header_cache", "signing")),
    *(f"storage.{name}" for name in ("publication_objects", "small_objects", "verified_copy")),
    *("execution.cost", "batch.stac_search", "batch.stac_query", "batch.journal"),
    *("display.live", "display.notebook", "api.lazy"),
}


def test_what_is_no_posix_is_told_at_import(monkeypatch):
    monkeypatch.setattr(os, "name", "nt")
    with pytest.raises(ImportError, match="needs POSIX"):
        runpy.run_path(ld.__file__)


def test_a_run_of_a_local_band_loads_nothing_for_other_places(tmp_path):
    scene = ld.make_scene(tmp_path, size=(61, 57), bands=["SR_B4"])
    band = next(Path(scene).glob("*_SR_B4.TIF"))
    code = "from landsat_downsample.cli.main import main\nassert main() == 0"
    loaded = modules_after(code, "run", band, "--to", tmp_path / "out", "--factor", 4)
    assert set(FILES) >= ELSEWHERE
    assert not loaded & {f"landsat_downsample.{name}" for name in ELSEWHERE}
    assert not loaded & {"boto3", "yaml", "html"}
    # Under Python 3.12 rasterio loads the first. `socket` is needed everywhere: addresses are judged with it.
    assert not loaded & ({"multiprocessing", "numpy.ma", "secrets"} - modules_after("import rasterio"))


def test_a_command_collects_garbage_once_it_is_loaded(tmp_path):
    scene = ld.make_scene(tmp_path, size=(61, 57), bands=["SR_B4"])
    code = (
        "from landsat_downsample.cli.main import main\n{}\nimport gc; print(gc.isenabled() and gc.get_freeze_count())"
    )
    argv = ["run", str(scene), "--to", str(tmp_path / "out"), "--factor", "4", "--overwrite"]
    frozen = []
    # A process of its own, one of somebody else's, and that before, of which Python 3.12 freezes a little itself.
    for call in ("main()", f"main({argv!r})", "import gc"):
        words = [sys.executable, "-c", code.format(call), *argv]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        frozen.append(int(done.stdout.split()[-1]))
    assert frozen[0] > 10_000 and frozen[1] == frozen[2] < 1000


def test_the_kernel_is_there_where_it_can_be_built():
    """Tests of it skip where it is not: nobody would see that it was not built."""
    header = Path(sysconfig.get_paths()["include"], "Python.h")
    can_be = shutil.which("cc") is not None and header.exists() and sys.byteorder == "little"
    assert tiles.available or not can_be


_ALONE = """
import importlib, os, sys
import {heavy}
for name in sys.argv[1:]:
    child = os.fork()  # what others wrote is loaded once, ours in each child anew
    if child == 0:
        importlib.import_module("landsat_downsample." + name)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        print(name)
"""


@pytest.mark.slow  # of two hundred modules, each in a process
def test_each_module_loads_alone():
    heavy = "dask.array, fsspec, numpy, rasterio.warp, rioxarray, xarray"
    names = [name for name in MODULES if name not in ("__main__", "__init__")]
    words = [sys.executable, "-c", _ALONE.format(heavy=heavy), *names]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [], done.stderr


# The public names ------------------------------------------------------------------------------


def test_all_names_are_there_and_explained():
    assert ld.__all__ == sorted(ld.__all__)
    for name in ld.__all__:
        assert (getattr(ld, name).__doc__ or "").strip(), name
    assert set(ld.__all__) <= set(dir(ld))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ld.nothing  # noqa: B018


def test_only_public_names_are_listed_and_the_help_names_each_verb():
    assert dir(ld) == ld.__all__ and dir(ld.plot) == ld.plot.__all__ == ["before_after", "footprint", "fractions"]
    beside = {name for name in vars(ld) if not name.startswith("_")} - set(ld.__all__)
    assert all(inspect.ismodule(getattr(ld, name, None) or vars(ld)[name]) for name in beside - {"TYPE_CHECKING"}), (
        beside
    )
    verbs = [name for name in ld.__all__ if inspect.isfunction(getattr(ld, name))]
    assert [name for name in [*verbs, *dir(ld.plot)] if not re.search(rf"\b{name}\b", ld.__doc__)] == []


def documented() -> list[tuple[str, object]]:
    """Public functions, and public methods of public classes."""
    found = []
    for name in ld.__all__:
        thing = getattr(ld, name)
        if inspect.isfunction(thing):
            found.append((name, thing))
        elif inspect.isclass(thing):
            own = {key: value for key, value in vars(thing).items() if inspect.isfunction(value)}
            found += [(f"{name}.{key}", value) for key, value in own.items() if not key.startswith("_")]
        elif inspect.ismodule(thing):
            names = getattr(thing, "__all__", [key for key in vars(thing) if not key.startswith("_")])
            made_here = [key for key in names if getattr(getattr(thing, key), "__module__", "") == thing.__name__]
            found += [(f"{name}.{key}", getattr(thing, key)) for key in made_here]
    return [(name, thing) for name, thing in found if inspect.isfunction(thing)]


def test_public_functions_are_documented_in_full():
    missing = []
    for name, function in documented():
        text = inspect.getdoc(function) or ""
        first = text.partition("\n")[0]
        if not first.endswith("."):
            missing.append(f"{name}: first line is no sentence")
        asked = [key for key in inspect.signature(function).parameters if key not in ("self", "cls")]
        if "." not in name:  # methods tell in a sentence what functions tell in sections
            given = "Yields" if _has(text, "Yields") else "Returns"
            missing += [f"{name}: no {section}" for section in ("Parameters", given) if not _has(text, section)]
            missing += [f"{name}: {key}" for key in asked if not _explains(text, key)]
    assert missing == []


def _has(text: str, section: str) -> bool:
    return f"{section}\n{'-' * len(section)}\n" in text


def _explains(text: str, parameter: str) -> bool:
    return bool(re.search(rf"^(.*, )?{parameter}\b.* : ", text, re.MULTILINE))
