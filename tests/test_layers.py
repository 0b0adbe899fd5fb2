"""The layers of the package: each folder imports only from those below it. The table is their documentation."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import landsat_downsample

PACKAGE = Path(landsat_downsample.__file__).parent

#: Each folder of the package and what lives there. It may import what stands below it, and nothing above.
LAYERS = (
    ("cli", "the verbs: arguments, doctor, demo, signals"),
    ("testing", "what helps people test: synthetic scenes, an S3 server, a simulated load"),
    ("api", "what a notebook imports: lazy arrays, the Python verbs, plots"),
    ("display", "what is shown of a run: its log's handlers, the terminal's display, the notebook's"),
    ("cubes", "many products as one: the grid they share, their cells in time"),
    ("batch", "many scenes: lists, searches, the record of a run, its report"),
    ("execution", "where and in what order: threads, dask, Kubernetes, progress, cost"),
    ("ogc", "a client of OGC API - Processes, and a small service of this machine to try it with"),
    ("products", "what is published: MTL, met.json, STAC, browse picture; verify, staging"),
    ("pipeline", "one band: pixels, reduced cells, COG bytes"),
    ("scenes", "an href becomes a scene, headers only"),
    ("storage", "bytes: fetched, proven, published"),
    ("reduce", "NumPy in, NumPy out; the C kernel"),
    ("formats", "pure parsers and writers of text and headers"),
    ("model", "values: Grid, Cells, Band, Scene, Plan, Product, locations, the catalogue of bands"),
    ("errors", "one family of errors"),
)
ORDER = [name for name, _ in LAYERS]
#: Rooms that stand above others in the table and may not import them all the same: neither needs the other.
APART = {
    ("testing", "api"),
    ("testing", "batch"),
    ("display", "batch"),
    ("scenes", "reduce"),
    ("storage", "reduce"),
    ("reduce", "formats"),
}
#: The public names and `python -m` may import any layer.
ENTRANCES = {"__init__", "__main__"}


def modules() -> dict[str, Path]:
    """Every module of the package, by its dotted name below it."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)] = path
    return found


MODULES = modules()


def imported(path: Path) -> Iterator[str]:
    """Modules of the package that a file imports: anywhere in it, for types only too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            inner = name.removeprefix("landsat_downsample.") if name.startswith("landsat_downsample.") else None
            while inner and inner not in MODULES and inner != "reduce._native":
                inner = inner.rpartition(".")[0]
            if inner:
                yield inner


ARROWS = sorted(
    {(name, target) for name, path in MODULES.items() if name not in ENTRANCES for target in imported(path)}
)


def room(module: str) -> str:
    return module.partition(".")[0]


def test_every_room_of_the_package_is_in_the_table():
    assert {room(name) for name in MODULES} - ENTRANCES == set(ORDER)


def test_no_import_runs_up():
    up = [(a, b) for a, b in ARROWS if ORDER.index(room(a)) > ORDER.index(room(b)) or (room(a), room(b)) in APART]
    assert not up, "\n".join(f"{a} imports {b}" for a, b in up)


def test_no_modules_import_each_other_in_a_circle():
    waiting = {name: {b for a, b in ARROWS if a == name and b != name} for name in MODULES}
    while free := [name for name, needs in waiting.items() if not needs & waiting.keys()]:
        for name in free:
            del waiting[name]
    assert not waiting, sorted(waiting)


def test_packages_hold_no_code_of_their_own():
    """What `import landsat_downsample.storage` gives is found in its files, by name."""
    for name, path in MODULES.items():
        if path.name == "__init__.py" and name != "__init__":
            assert [type(node) for node in ast.parse(path.read_text()).body] == [ast.Expr], f"{path}: code in __init__"


@pytest.mark.parametrize("name", MODULES)
def test_modules_and_functions_are_short(name):
    text = MODULES[name].read_text()
    assert text.count("\n") <= 500, f"{name} has over 500 lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
            lines = node.end_lineno - body[0].lineno + 1
            assert lines <= 50, f"{name}.{node.name} has {lines} lines"


def test_the_package_folder_is_seen_at_a_glance():
    shown = {path.name for path in PACKAGE.iterdir() if not path.name.startswith("__")}
    assert len(shown) <= 17, sorted(shown)


if __name__ == "__main__":
    rooms = sorted({path.name for path in PACKAGE.iterdir() if not path.name.startswith("__")})
    between = {(room(a), room(b)) for a, b in ARROWS if room(a) != room(b)}
    lines = sum(path.read_text().count("\n") for path in MODULES.values())
    print(f"{len(rooms)} entries in the package folder, {len(MODULES)} modules, {lines} lines of Python")
    print(f"{len(ARROWS)} imports between modules, {len(between)} arrows between folders")
