"""The notebooks in the image with Jupyter Lab, LANDSAT_DOWNSAMPLE_NOTEBOOK_IMAGE, where an engine really runs it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest

from landsat_downsample.testing.seaweed import free_port

HOME = Path(__file__).parents[2]
NOTEBOOKS = sorted((HOME / "notebooks").glob("*.ipynb"))
IMAGE = os.environ.get("LANDSAT_DOWNSAMPLE_NOTEBOOK_IMAGE")
TOKEN = "only-for-this-test"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not IMAGE, reason="LANDSAT_DOWNSAMPLE_NOTEBOOK_IMAGE names no image"),
]


@pytest.fixture(scope="module")
def engine() -> str:
    refused = []
    for name in ("podman", "docker"):
        if shutil.which(name):
            done = run(name, ["landsat-downsample", "--version"])
            if done.returncode == 0:
                return name
            refused.append(f"{name}: {done.stderr.strip()[-300:]}")
    words = "; ".join(refused) or "neither podman nor docker is on the PATH"
    pytest.fail(words) if os.environ.get("REQUIRE_ENGINE") else pytest.skip(words)


def run(engine: str, words: list[str], *options: str) -> subprocess.CompletedProcess:
    return subprocess.run([engine, "run", "--rm", *options, IMAGE, *words], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def notebooks(tmp_path_factory) -> Path:
    """As in a checkout: everybody may read them, and the container's user writes nothing beside them."""
    folder = tmp_path_factory.mktemp("checkout") / "notebooks"
    folder.mkdir()
    for path in NOTEBOOKS:
        shutil.copy(path, folder)
    for place in (folder, *list(folder.parents)[:3]):
        place.chmod(0o755)
    return folder


@pytest.fixture
def results(tmp_path) -> Path:
    tmp_path.chmod(0o777)
    for place in list(tmp_path.parents)[:2]:
        place.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("user", ["1001:0", "4711:4711"])
@pytest.mark.parametrize("name", [path.stem for path in NOTEBOOKS])
def test_a_notebook_runs_where_its_folder_is_read_only(name, user, engine, notebooks, results):
    options = ["--user", user, "--read-only", "--tmpfs", "/tmp", "--volume", f"{results}:/results"]
    options += ["--volume", f"{notebooks}:/home/landsat/notebooks:ro", "--workdir", "/home/landsat/notebooks"]
    words = ["papermill", f"{name}.ipynb", "/results/executed.ipynb", "--no-progress-bar"]
    done = run(engine, words, *options)
    assert done.returncode == 0, done.stderr[-3000:]
    book = nbformat.read(results / "executed.ipynb", as_version=4)
    assert all(cell.execution_count for cell in book.cells if cell.cell_type == "code" and cell.source)
    assert sorted(path.name for path in notebooks.iterdir()) == [path.name for path in NOTEBOOKS]


def test_jupyter_lab_as_the_page_starts_it(engine, notebooks):
    """Its own command line, but for the port and for a token that is known."""
    (line,) = (one for one in (HOME / "docs" / "notebooks.md").read_text().splitlines() if one.startswith("docker run"))
    port, name = free_port(), f"landsat-downsample-lab-{os.getpid()}"
    words = line.replace("8888:8888", f"127.0.0.1:{port}:8888").replace("$PWD/notebooks", str(notebooks))
    words = words.replace("landsat-downsample:notebook", IMAGE).replace("docker run", f"{engine} run --name {name}")
    process = subprocess.Popen(
        words.replace("--rm", f"--rm --env JUPYTER_TOKEN={TOKEN}"), shell=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        end = time.monotonic() + 200
        while (listed := ask(port, "api/contents/notebooks")) is None and time.monotonic() < end:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.5)
        assert listed, "no answer"
        assert sorted(entry["name"] for entry in listed["content"]) == [path.name for path in NOTEBOOKS]
        assert "python3" in ask(port, "api/kernelspecs")["kernelspecs"]
    finally:
        subprocess.run([engine, "rm", "--force", name], capture_output=True, check=False)
        process.communicate(timeout=60)


def ask(port: int, path: str) -> dict | None:
    asked = urllib.request.Request(f"http://127.0.0.1:{port}/{path}", headers={"Authorization": f"token {TOKEN}"})
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return json.load(answer)
    except OSError:
        return None


LIST = "import json, importlib.metadata as m; print(json.dumps({d.name.lower(): d.version for d in m.distributions()}))"


def test_image_says_what_is_in_it(engine):
    """A bill of materials with each package that is installed, and no other."""
    bill = json.loads(run(engine, ["cat", "/opt/landsat/sbom.cdx.json"]).stdout)
    assert bill["bomFormat"] == "CycloneDX"
    found = {one["name"].lower(): one["version"] for one in bill["components"]}
    assert found == json.loads(run(engine, ["python", "-c", LIST]).stdout)
