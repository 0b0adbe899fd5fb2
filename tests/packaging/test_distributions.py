"""What is uploaded: a wheel that needs no compiler, a source distribution with its tests."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "landsat_downsample"
SCENE = "LC08_L2SP_192028_20230714_20230724_02_T1"


@functools.cache
def python(minor: int) -> str | None:
    """A Python of this version that runs, from the PATH, where pyenv's may only say that it is elsewhere."""
    for folder in os.environ["PATH"].split(os.pathsep):
        found = shutil.which(f"python3.{minor}", path=folder)
        if found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:
            return found
    return None


#: Those that setup.cfg names.
MINORS = [
    int(line.rpartition(".")[2])
    for line in (ROOT / "setup.cfg").read_text().splitlines()
    if line.strip().startswith("Programming Language :: Python :: 3.")
]


def run(*words: object, cwd: Path | None = None, **variables: str) -> str:
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory) -> Path:
    """What ``make wheel`` makes of a copy of this tree, where nothing else writes."""
    clone = tmp_path_factory.mktemp("source") / "landsat-downsample"
    left = ("*.so", "*.egg-info", "__pycache__", ".*_cache", ".venv", ".git", ".hypothesis", "build", "dist", "demo")
    shutil.copytree(ROOT, clone, ignore=shutil.ignore_patterns(*left))
    run("make", "wheel", f"PYTHON={sys.executable}", cwd=clone)
    return clone / "dist"


@pytest.fixture(scope="module")
def wheel(dist) -> Path:
    (found,) = dist.glob("*.whl")
    return found


@pytest.mark.slow
def test_one_wheel_serves_all_pythons_and_holds_what_runs(wheel):
    name, _, interpreter, abi, platform = wheel.stem.split("-")
    assert (name, interpreter, abi) == ("landsat_downsample", "cp311", "abi3")
    assert ("manylinux" in platform) == (sys.platform == "linux")
    with zipfile.ZipFile(wheel) as archive:
        names = {one for one in archive.namelist() if ".dist-info/" not in one and not one.endswith("/")}
        (meta,) = (one for one in archive.namelist() if one.endswith(".dist-info/METADATA"))
        metadata = archive.read(meta).decode()
    here = {
        str(path.relative_to(ROOT))
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix not in (".c", ".h", ".so")
    }
    assert names == here | {"landsat_downsample/reduce/_native.abi3.so"}
    for word in ("Author:", "Project-URL: Documentation,", "Project-URL: Issues,", "Project-URL: Changelog,"):
        assert f"\n{word} " in metadata
    assert "\nHome-page: " in metadata or "\nProject-URL: Homepage," in metadata


@pytest.mark.slow
@pytest.mark.parametrize("minor", MINORS)
def test_wheel_installed_without_a_compiler_has_the_kernel(minor, wheel, tmp_path):
    """By pip, with what it depends on, on each Python; then the first commands of the documentation."""
    base = python(minor)
    if base is None:
        pytest.skip(f"no Python 3.{minor} here")
    run(base, "-m", "venv", tmp_path / "venv")
    alone = str(tmp_path / "venv" / "bin")
    assert not any(shutil.which(word, path=alone) for word in ("cc", "gcc", "clang"))
    run(f"{alone}/python", "-m", "pip", "install", "--quiet", "--no-compile", wheel, PATH=alone)
    for words in (
        ["python", "-c", "from landsat_downsample.reduce import native; assert native.available()"],
        ["landsat-downsample", "make-scene", "scenes", "--size", "307,211", "--bands", "SR_B4,QA_PIXEL"],
        ["landsat-downsample", "run", f"scenes/{SCENE}", "--to", "out", "--factor", "10"],
        ["landsat-downsample", "verify", "out"],
    ):
        run(f"{alone}/{words[0]}", *words[1:], cwd=tmp_path, PATH=alone)
    shown = run(f"{alone}/python", "-m", "pip", "show", "--verbose", "landsat-downsample", PATH=alone)
    for word in ("Author:", "Documentation,", "Issues,", "Changelog,"):
        assert word in shown


@pytest.mark.slow
def test_source_distribution_holds_what_its_tests_need(dist, tmp_path):
    (archive,) = dist.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    listed = run("git", "ls-files", cwd=ROOT).split("\n") if (ROOT / ".git").exists() else []
    held = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert [one for one in listed if one and not one.startswith((".ci/", ".git")) and one not in held] == []
    run(sys.executable, "setup.py", "--quiet", "build_ext", "--inplace", cwd=folder)
    tests = [f"tests/{name}" for name in ("model", "manifests/test_containerfile.py", "reduce/test_native.py")]
    run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", *tests, cwd=folder)


@pytest.mark.slow
def test_missing_kernel_is_an_error_for_who_asks_for_it(tmp_path):
    """A wheel for others is not to be without it; an install from source may be."""
    copy = tmp_path / "copy"
    shutil.copytree(PACKAGE, copy / "landsat_downsample", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for name in ("setup.py", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    build = [sys.executable, "setup.py", "build_ext", "--inplace"]
    environ = os.environ | {"CC": "/nowhere/cc"}
    assert subprocess.run(build, cwd=copy, env=environ, capture_output=True, check=False).returncode == 0
    environ["LANDSAT_DOWNSAMPLE_REQUIRE_KERNEL"] = "1"
    assert subprocess.run(build, cwd=copy, env=environ, capture_output=True, check=False).returncode != 0
