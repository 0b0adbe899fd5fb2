"""Makes the picture of the README anew, by the README's own lines: ``make picture``."""

from __future__ import annotations

import contextlib
import re
import tempfile
from pathlib import Path

import landsat_downsample as ld

HERE = Path(__file__).resolve().parent


def lines() -> list[str]:
    """Lines of the README from the import to the picture."""
    found = re.search(r"```python\n(.*?)  # the picture above\n", (HERE.parent / "README.md").read_text(), re.DOTALL)
    assert found, "the README has no line that says that it makes the picture"
    return found[1].splitlines()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        ld.make_scene("demo/scene", bands=["SR_B5"])  # as `make demo` makes it, but for its other bands
        *before, last = lines()
        names: dict[str, object] = {}
        exec("\n".join(before), names)
        eval(last, names).savefig(HERE / "before_after.png")
