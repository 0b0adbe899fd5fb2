"""What an import costs, that no module needs itself, and that the front door keeps its promises."""

from __future__ import annotations

import ast
import inspect
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import landsat_downsample as ld
from landsat_downsample import _tiles

PACKAGE = Path(ld.__file__).parent


def _dotted(path: Path) -> str:
    """Name of a module below the package: ``_store._tiff``, and ``_store`` for its ``__init__``."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


FILES = {_dotted(path): path for path in sorted(PACKAGE.rglob("*.py"))}
MODULES = sorted(FILES)
COMPILED = {_dotted(path) for path in PACKAGE.rglob("*.c")}
HEAVY = {"distributed", "matplotlib", "dask_kubernetes", "dask", "xarray", "rioxarray", "rasterio", "PIL", "pystac"}


def modules_after(code: str, *argv: object) -> set[str]:
    """Names of the modules that a fresh interpreter has after running some code."""
    told = f"{code}\nimport sys; print('loaded', *(name for name, module in sys.modules.items() if module))"
    words = [sys.executable, "-c", told, *(str(word) for word in argv)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("loaded ")[2].split())


def test_the_front_door_is_light():
    assert not modules_after("import landsat_downsample") & (HEAVY | {"numpy", "fsspec", "rich"})


def test_a_run_needs_no_array_library_but_numpy(tmp_path):
    scene = ld.make_scene(tmp_path, size=(61, 57), bands=["SR_B4", "QA_PIXEL"])
    code = "from landsat_downsample._cli import main\nassert main() == 0"
    loaded = modules_after(code, "run", scene, "--to", tmp_path / "out", "--factor", 4)
    assert "rasterio" in loaded
    assert not loaded & (HEAVY - {"rasterio"} | {"fsspec", "asyncio", "ssl", "botocore"})


#: What only talks to other machines, prices work, or reads what comes with a scene.
ELSEWHERE = {
    *(f"_store.{name}" for name in ("_remote", "_follow", "_retry", "_transport", "_known", "_signing")),
    *(f"_store.{name}" for name in ("_place_objects", "_small", "_whole")),
    *("_cost", "_mtl", "_batch._search", "_batch._query", "_batch._journal", "_display._live", "_coarsen"),
}


def test_a_run_of_a_local_band_loads_nothing_for_other_places(tmp_path):
    scene = ld.make_scene(tmp_path, size=(61, 57), bands=["SR_B4"])
    band = next(Path(scene).glob("*_SR_B4.TIF"))
    code = "from landsat_downsample._cli import main\nassert main() == 0"
    loaded = modules_after(code, "run", band, "--to", tmp_path / "out", "--factor", 4)
    assert set(FILES) >= ELSEWHERE
    assert not loaded & {f"landsat_downsample.{name}" for name in ELSEWHERE}
    assert "boto3" not in loaded
    # Under Python 3.12 rasterio loads the first.
    assert not loaded & ({"socket", "multiprocessing", "secrets"} - modules_after("import rasterio"))


def test_a_command_collects_garbage_once_it_is_loaded(tmp_path):
    scene = ld.make_scene(tmp_path, size=(61, 57), bands=["SR_B4"])
    code = "from landsat_downsample._cli import main\n{}\nimport gc; print(gc.isenabled() and gc.get_freeze_count())"
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
    assert _tiles.deflate is not None or not can_be


# Cycles ----------------------------------------------------------------------------------------


def _names(node: ast.AST) -> set[str]:
    """Modules of ours that an import statement names."""
    if isinstance(node, ast.Import):
        found = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and node.module:
        # ``from package import module`` needs the module, ``from package import name`` the package.
        names = [f"{node.module}.{alias.name}" for alias in node.names]
        names = [name for name in names if name.removeprefix("landsat_downsample.") not in COMPILED]
        found = [_module(name) or node.module for name in names]
    else:
        found = []
    return {module for name in found if (module := _module(name))}


def _module(name: str) -> str | None:
    known = name.removeprefix("landsat_downsample.")
    return known if known in FILES else None


def _is_typing_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def _walk(node: ast.AST, inside: bool):
    """Import statements under a node with whether each stands in a function."""
    for child in ast.iter_child_nodes(node):
        if _is_typing_only(child):
            continue
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child, inside
        yield from _walk(child, inside or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)))


def imports(module: str) -> dict[str, set[str]]:
    """Modules of ours that a module imports: when it is loaded (``top``), and when a function runs (``late``)."""
    found: dict[str, set[str]] = {"top": set(), "late": set()}
    for node, inside in _walk(ast.parse(FILES[module].read_text()), False):
        found["late" if inside else "top"] |= _names(node) - {module}
    return found


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """The first way found from a module back to itself; empty when there is none."""
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        for other in sorted(graph[module]):
            if found := visit(other, [*path, module]):
                return found
        done.add(module)
        return []

    return next((found for module in graph if (found := visit(module, []))), [])


def test_no_module_needs_itself_to_load():
    assert cycle({module: imports(module)["top"] for module in MODULES}) == []


#: ``scene["red"]`` is lazy xarray, which a run neither needs nor loads; the lazy face itself is made of scenes.
KNOWN_LATE = {("_scene", "_coarsen")}


def test_late_imports_close_no_unknown_cycle():
    graph = {}
    for module in MODULES:
        found = imports(module)
        graph[module] = found["top"] | {other for other in found["late"] if (module, other) not in KNOWN_LATE}
    assert cycle(graph) == []


def test_the_cycle_finder_finds_cycles():
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == ["a", "b", "c", "a"]
    assert cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


@pytest.mark.parametrize("module", [name for name in MODULES if name not in ("__main__", "__init__")])
def test_each_module_loads_alone(module):
    assert modules_after(f"import landsat_downsample.{module}")


# The front door --------------------------------------------------------------------------------


def test_all_names_are_there_and_explained():
    assert ld.__all__ == sorted(ld.__all__)
    for name in ld.__all__:
        assert (getattr(ld, name).__doc__ or "").strip(), name
    assert set(ld.__all__) <= set(dir(ld))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ld.nothing  # noqa: B018


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
