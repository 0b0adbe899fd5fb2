"""The steps in containers, where an engine really runs the image LANDSAT_DOWNSAMPLE_IMAGE."""

from __future__ import annotations

import os
import shutil
import subprocess

import cwl_cases
import pytest
import s3
from command import digests
from cwl_cases import folder
from test_cwl_secrets import Watch, environment, hits, job

pytestmark = pytest.mark.slow
IMAGE = os.environ.get("LANDSAT_DOWNSAMPLE_IMAGE")
NOTEBOOK_IMAGE = os.environ.get("LANDSAT_DOWNSAMPLE_NOTEBOOK_IMAGE")
ENGINES = {"podman": "--podman", "docker": "--relax-path-checks", "singularity": "--singularity"}


def probe(engine: str) -> str | None:
    """Run the image; say in the engine's own words why it cannot, or None."""
    if not IMAGE:
        return "LANDSAT_DOWNSAMPLE_IMAGE names no image"
    if shutil.which(engine) is None:
        return f"{engine} is not on the PATH"
    words = [engine, "exec" if engine == "singularity" else "run", *([] if engine == "singularity" else ["--rm"])]
    done = subprocess.run(
        [*words, IMAGE, "landsat-downsample", "--version"], capture_output=True, text=True, check=False
    )
    return None if done.returncode == 0 else f"{engine} run failed ({done.returncode}): {done.stderr.strip()[-300:]}"


@pytest.fixture(params=ENGINES)
def engine(request) -> str:
    refused = probe(request.param)
    if refused and os.environ.get("REQUIRE_ENGINE") == request.param:
        pytest.fail(refused)
    if refused:
        pytest.skip(refused)
    return request.param


@pytest.fixture
def files(tmp_path):
    return cwl_cases.with_image(tmp_path / "cwl", IMAGE)


def test_workflow_with_cwltools_defaults(engine, files, scene, product, tmp_path):
    asked = {"href": folder(scene), "to": "published", "factor": 10}
    done = cwl_cases.command(files / "workflow.cwl", asked, tmp_path / "out", ENGINES[engine])
    assert done.status == "success", done.log
    made = {name: digest for name, digest in digests(done.path("dataset_dir")).items() if name.endswith(".TIF")}
    assert made == {name: digest for name, digest in digests(product).items() if name.endswith(".TIF")}


@pytest.mark.skipif(not NOTEBOOK_IMAGE, reason="LANDSAT_DOWNSAMPLE_NOTEBOOK_IMAGE names no image")
def test_workflow_gives_the_executed_notebook_back(engine, scene, product, tmp_path):
    """All of it in the notebook's image, which has everything that the other has."""
    asked = {"href": folder(scene), "to": "published", "factor": 10, "notebook": True}
    path = cwl_cases.with_image(tmp_path / "cwl", NOTEBOOK_IMAGE) / "workflow.cwl"
    done = cwl_cases.command(path, asked, tmp_path / "out", ENGINES[engine])
    assert done.status == "success", done.log
    text = done.path("output_nb").read_text()
    assert '"output_type": "error"' not in text and "image/png" in text
    assert "/var/" not in text and "/opt/" not in text and str(tmp_path) not in text
    assert (tmp_path / "out" / done.text("item_href").strip()).is_file()


def test_scatter_keeps_the_others(engine, files, scene, tmp_path):
    (tmp_path / "not.TIF").write_bytes(b"no TIFF")
    asked = {"href": [cwl_cases.file(tmp_path / "not.TIF"), folder(scene)], "to": "published", "factor": 10}
    done = cwl_cases.command(files / "scatter.cwl", asked, tmp_path / "out", ENGINES[engine])
    assert done.status == "permanentFail" and done.outputs["exit_codes"] == [[1], [0, 0, 0]], done.log


def test_the_key_is_shown_nowhere(engine, files, scene, tmp_path):
    """The store of the tests is on this host's loopback, which a container does not reach: the last step fails."""
    asked = job(s3.server(), scene, tmp_path, budget=2)
    with Watch() as watch:
        done = cwl_cases.command(
            files / "workflow.cwl", asked, tmp_path / "out", ENGINES[engine], "--debug",
            cwd=tmp_path, env=environment(tmp_path) | {"HOME": os.environ["HOME"]},
        )  # fmt: skip
    (tmp_path / "out.json").unlink()
    (tmp_path / "cwltool.log").write_text(done.log)
    assert done.outputs["stage_out_log"] and hits(tmp_path) == []
    assert watch.leaks() == []


@pytest.mark.parametrize("user", ["4711:4711", "1000680000:0"])
def test_any_uid_and_a_read_only_root(engine, scene, tmp_path, user):
    if engine == "singularity":
        pytest.skip("singularity runs as the caller")
    tmp_path.chmod(0o777)
    words = [engine, "run", "--rm", "--user", user, "--read-only", "--network=none", "--tmpfs=/tmp", "--env=HOME=/work"]
    words += [f"--volume={tmp_path}:/work", f"--volume={scene.parent}:/in:ro", "--workdir=/work", IMAGE]
    words += ["landsat-downsample", "run", "--to=.", "--factor", "10", f"/in/{scene.name}"]
    for parent in (scene.parent, scene.parent.parent, tmp_path.parent):
        parent.chmod(0o755)
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / f"{scene.name}_downsampled" / f"{scene.name}_downsampled.stac.json").is_file()
