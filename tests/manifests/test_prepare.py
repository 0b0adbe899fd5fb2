"""The script that lays out a Calrissian run, as its container runs it."""

from __future__ import annotations

import configparser
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
KEYS = {"AWS_ACCESS_KEY_ID": "AKIA:x", "AWS_SECRET_ACCESS_KEY": "a/b+c\\n#'\"%s =", "AWS_ENDPOINT_URL": "http://s3:1"}


@pytest.fixture
def volume(tmp_path):
    """A volume with a folder for the job file, and beside it what the pod is given."""
    (tmp_path / "given/prepare").mkdir(parents=True)
    shutil.copy(ROOT / "k8s/base/prepare.sh", tmp_path / "given/prepare")
    shutil.copytree(ROOT / "cwl", tmp_path / "given/cwl")
    (tmp_path / "volume/cwl").mkdir(parents=True)
    return tmp_path / "volume"


def prepare(volume: Path, **variables: str) -> subprocess.CompletedProcess:
    given = {"LANDSAT_DOWNSAMPLE_IMAGE": "example.org/a/b:9", "WORKFLOW": "workflow", "CALRISSIAN_POD_NAME": "pod-1"}
    command = ["/bin/sh", str(volume.parent / "given/prepare/prepare.sh")]
    env = {"PATH": os.environ["PATH"], "JOB_UID": "uid-1", "POD_NAMESPACE": "here", **given, **variables}
    return subprocess.run(command, cwd=volume, env=env, capture_output=True, text=True, check=True)


@pytest.mark.parametrize("workflow", ["workflow", "scatter"])
def test_keys_go_to_the_job_file_alone(volume, workflow):
    done = prepare(volume, WORKFLOW=workflow, **KEYS)
    job = volume / f"cwl/{workflow}-inputs.yml"
    reported = yaml.safe_load(job.read_text())
    given = configparser.RawConfigParser()
    given.read_string(reported.pop("aws_credentials"))
    assert reported == yaml.safe_load((ROOT / f"cwl/{workflow}-inputs.yml").read_text())
    assert dict(given["default"]) == {
        "aws_access_key_id": KEYS["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": KEYS["AWS_SECRET_ACCESS_KEY"],
        "endpoint_url": KEYS["AWS_ENDPOINT_URL"],
    }
    assert stat.S_IMODE(job.stat().st_mode) == 0o600
    with_key = [p for p in volume.parent.rglob("*") if p.is_file() and KEYS["AWS_SECRET_ACCESS_KEY"] in p.read_text()]
    assert with_key == [job]
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in done.stdout + done.stderr


def test_without_keys_the_inputs_are_as_given(volume):
    prepare(volume)
    assert (volume / "cwl/workflow-inputs.yml").read_text() == (ROOT / "cwl/workflow-inputs.yml").read_text()


def test_steps_run_the_image_of_the_cluster(volume):
    prepare(volume)
    pulled = []
    for path in sorted((volume / "cwl").glob("*.cwl")):
        made, given = path.read_text(), (ROOT / "cwl" / path.name).read_text()
        lines = [a for a, b in zip(made.splitlines(), given.splitlines(), strict=True) if a != b]
        pulled += [line for line in lines if "dockerPull: example.org/a/b:9" in line]
        # Each go of a job must find what the one before has left: results of stage_in too, and by the same command.
        kept = [line.strip() for line in lines if "enableReuse: true" in line or "to=." in line]
        assert len(kept) == {"stage_in.cwl": 1, "downsample.cwl": 2, "scatter.cwl": 3, "app-package.cwl": 2}.get(
            path.name, 0
        )
        assert len(lines) == len(kept) + sum("dockerPull" in line for line in lines)
    assert len(pulled) >= 3


def test_what_a_killed_run_left_goes(volume):
    left = volume / "tmp/x/.aws/credentials"
    left.parent.mkdir(parents=True)
    left.write_text("key")
    (volume / "out/pod-0").mkdir(parents=True)
    prepare(volume)
    assert [path.relative_to(volume / "tmp").as_posix() for path in (volume / "tmp").rglob("*")] == [
        "cache",
        "cache/job",
    ]
    assert sorted(path.name for path in (volume / "out").iterdir()) == ["pod-0", "pod-1"]
    assert stat.S_IMODE((volume / "out/pod-1/logs").stat().st_mode) == 0o775


def test_another_go_of_a_job_keeps_what_steps_have_made(volume):
    prepare(volume)
    cache = volume / "tmp/cache"
    for made in (
        "a/staged/scene/catalog.json",
        "a/.aws/credentials",
        "b/scene_downsampled/x.TIF",
        "c/stage_in.log.txt",
        "d/staged/.scene.partial-1/x.TIF",
    ):
        (cache / made).parent.mkdir(parents=True, exist_ok=True)
        (cache / made).write_text("x")
        (cache / f"{made[0]}.status").write_text("success")
    prepare(volume, CALRISSIAN_POD_NAME="pod-2")
    left = {path.relative_to(cache).as_posix() for path in cache.rglob("*") if path.is_file()}
    # The other two failed or were killed, which scatter.cwl counts as a success.
    assert left == {"job", "a.status", "a/staged/scene/catalog.json", "b.status", "b/scene_downsampled/x.TIF"}
    prepare(volume, JOB_UID="uid-2")
    assert [path.name for path in cache.iterdir()] == ["job"]


@pytest.mark.parametrize("href", ["s3://bucket/scene", "https://example.org/scene"])
def test_missing_keys_are_told_of_where_they_are_needed(volume, href):
    (volume.parent / "given/cwl/workflow-inputs.yml").write_text(f"href: {href}\nto: published  # or s3://bucket\n")
    line = "kubectl -n here create secret generic landsat-downsample --from-env-file=store.env"
    assert (line in prepare(volume).stderr) == href.startswith("s3://")
    assert prepare(volume, **KEYS).stderr == ""
    assert (volume / "cwl/pod-env.yml").read_text() == "LANDSAT_DOWNSAMPLE_IDENTITY_FROM: here/landsat-downsample\n"
