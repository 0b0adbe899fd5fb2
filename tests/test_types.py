"""Types: of the front door, and as a type checker sees them in scripts of users."""

from __future__ import annotations

import ast
from pathlib import Path

import landsat_downsample as ld


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
