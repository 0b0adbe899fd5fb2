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
    reported = {"LANDSAT_DOWNSAMPLE_IMAGE": "example.org/a/b:9", "WORKFLOW": "workflow", "CALRISSIAN_POD_NAME": "pod-1"}
    command = ["/bin/sh", str(volume.parent / "given/prepare/prepare.sh")]
    env = {"PATH": os.environ["PATH"], **reported, **variables}
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
        assert all("dockerPull: example.org/a/b:9" in line for line in lines)
        pulled += lines
    assert len(pulled) >= 3


def test_what_a_killed_run_left_goes(volume):
    left = volume / "tmp/x/.aws/credentials"
    left.parent.mkdir(parents=True)
    left.write_text("key")
    (volume / "out/pod-0").mkdir(parents=True)
    prepare(volume)
    assert list((volume / "tmp").iterdir()) == []
    assert sorted(path.name for path in (volume / "out").iterdir()) == ["pod-0", "pod-1"]
    assert stat.S_IMODE((volume / "out/pod-1/logs").stat().st_mode) == 0o775
