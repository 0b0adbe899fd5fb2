"""What repo2docker reads: the extras it installs exist, and its Python is one of ours."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HOME = Path(__file__).parents[2]


def test_binder_installs_this_package_with_extras_it_has():
    setup = configparser.ConfigParser()
    setup.read(HOME / "setup.cfg")
    (line,) = (HOME / "binder" / "requirements.txt").read_text().split()
    # The dot first: by that repo2docker knows that it must copy the sources before it installs.
    extras = re.fullmatch(r"\.\[([\w,]+)\]", line)[1].split(",")
    assert set(extras) <= set(setup["options.extras_require"]) and "notebook" in extras
    wanted = setup["options.extras_require"]["notebook"].split()
    assert {"jupyterlab", "dask-labextension", "jupyter-server-proxy", "bokeh", "cwltool"} <= set(wanted)


def test_binder_has_a_python_that_is_supported():
    version = re.fullmatch(r"python-(3\.\d+)", (HOME / "binder" / "runtime.txt").read_text().strip())[1]
    classifiers = (HOME / "setup.cfg").read_text()
    assert f"Programming Language :: Python :: {version}\n" in classifiers


@pytest.fixture
def checkout(tmp_path) -> Path:
    """What of the sources an installation reads, and no more."""
    for name in ("binder", "landsat_downsample", "notebooks"):
        shutil.copytree(HOME / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    for name in ("pyproject.toml", "setup.cfg", "setup.py", "README.md", "LICENSE"):
        shutil.copy(HOME / name, tmp_path)
    return tmp_path


def repo2docker(*words: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "repo2docker", "--user-id", "1000", "--user-name", "me", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_repo2docker_makes_of_it_what_is_meant(checkout):
    """Its Python, and our package installed from the sources, which are there by then."""
    done = repo2docker("--no-build", "--debug", checkout)
    assert done.returncode == 0, done.stderr
    reported = done.stdout + done.stderr
    version = (checkout / "binder" / "runtime.txt").read_text().strip().removeprefix("python-")
    assert f"Building conda environment for python={version}" in reported
    copied, installed = reported.index("COPY --chown=1000:1000 src/ "), reported.index('-r "binder/requirements.txt"')
    assert copied < installed


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_repo2docker_builds_it_and_a_notebook_runs(checkout):
    """Its base image comes from Docker Hub and its Python from conda-forge: skipped, with the reason, without them."""
    if shutil.which("docker") is None:
        pytest.skip("docker is not on the PATH, and repo2docker builds with nothing else")
    alive = subprocess.run(["docker", "info"], capture_output=True, text=True, check=False)
    if alive.returncode:
        pytest.skip(f"docker does not work here: {alive.stderr.strip()[-200:]}")
    base = subprocess.run(["docker", "pull", "buildpack-deps:24.04"], capture_output=True, text=True, check=False)
    if base.returncode:
        pytest.skip(f"its base image cannot be had: {base.stderr.strip()[-200:]}")
    words = ["papermill", "notebooks/downsample_landsat.ipynb", "/tmp/executed.ipynb"]
    done = repo2docker("--image-name", "landsat-downsample-binder-test", checkout, *words)
    assert done.returncode == 0, done.stderr[-3000:]
