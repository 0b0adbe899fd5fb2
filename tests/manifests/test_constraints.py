"""What the check of the pins finds: an extra that does not go together with them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path) -> Path:
    (tmp_path / "k8s").mkdir()
    for path in (ROOT / "setup.cfg", *(ROOT / "k8s").glob("*constraints*")):
        shutil.copy(path, tmp_path / path.relative_to(ROOT))
    return tmp_path


def check(checkout: Path, extras: dict[str, str], *pythons: str) -> subprocess.CompletedProcess:
    """Check pins with other extras than ours, which take minutes."""
    text, head, _ = (checkout / "setup.cfg").read_text().partition("[options.extras_require]\n")
    given = "".join(f"{name} =\n    {line}\n" for name, line in extras.items())
    (checkout / "setup.cfg").write_text(text + head + given)
    words = [sys.executable, checkout / "k8s" / "make_constraints.py", "--check", *pythons]
    return subprocess.run(words, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_an_extra_that_the_pins_do_not_allow_is_named(checkout):
    extras = {"s3": "six", "kubernetes": "six", "notebook": "six", "good": "affine", "bad": "mistune<1"}
    done = check(checkout, extras, sys.executable)
    version = "{}.{}".format(*sys.version_info[:2])
    assert done.returncode == 1
    assert f"Python {version}: bad does not resolve:\n" in done.stdout and "mistune" in done.stdout
    for extra in ("s3", "good"):
        assert f" of {extra}\n" in done.stdout


def test_each_supported_python_is_looked_for():
    sys.path.insert(0, str(ROOT / "k8s"))
    try:
        import make_constraints
    finally:
        sys.path.pop(0)
    found = [make_constraints.minor(python) for python in make_constraints.supported()]
    assert set(found) <= {"3.11", "3.12", "3.13"} and len(set(found)) == len(found)
    assert "landsat-downsample" not in " ".join(make_constraints.needed("test-slow"))
    assert {"numpy>=2.0", "papermill", "pygeoapi>=0.21"} <= set(make_constraints.needed("test-slow"))
