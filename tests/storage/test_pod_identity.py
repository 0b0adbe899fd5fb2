"""Where a pod finds no keys, the message names the secret that should hold them."""

from __future__ import annotations

import os
import subprocess

import pytest
from command import command

from landsat_downsample.storage.retry import IDENTITY_FROM

LINE = "kubectl -n here create secret generic keys --from-env-file=store.env"


@pytest.mark.parametrize("named", [True, False])
def test_missing_keys(tmp_path, named):
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "FSSPEC_"))}
    env |= {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"} | (
        {IDENTITY_FROM: "here/keys"} if named else {}
    )
    done = subprocess.run(
        command("info", "s3://bucket/scene/B4.TIF"), env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "no credentials were found" in done.stderr
    assert (LINE in done.stderr) == named
    assert done.stderr.count("\n") == 1
