"""Runs killed at any moment and repeated: the bytes of an undisturbed run, and nothing left over."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
import s3
from command import call, command, digests, spawn
from conftest_s3 import figures, s3_env, seaweed  # noqa: F401 - fixtures
from staging_cases import small, to_s3

MOMENTS = 10
OPTIONS = ("--factor", 5, "-q")


@pytest.fixture
def source(s3_env, tmp_path):  # noqa: F811
    scene = small(tmp_path / "scene", size=(900, 800), bands=["SR_B4", "SR_B5", "ST_B10", "QA_PIXEL"])
    return to_s3(s3_env, scene, f"kill-{tmp_path.name}")


def stored(dest: str | Path, client) -> dict[str, str]:
    """SHA-256 of every file at a destination, hidden ones too, by its path there."""
    if isinstance(dest, Path) and not dest.exists():
        return {}
    if isinstance(dest, Path):
        return {
            f"{folder.name}/{name}": digest
            for folder in sorted(dest.iterdir())
            for name, digest in digests(folder).items()
        }
    prefix = dest.removeprefix(f"s3://{s3.BUCKET}/") + "/"
    keys = [entry["Key"] for entry in client.list_objects_v2(Bucket=s3.BUCKET, Prefix=prefix).get("Contents", [])]
    read = {key.removeprefix(prefix): client.get_object(Bucket=s3.BUCKET, Key=key)["Body"].read() for key in keys}
    return {name: hashlib.sha256(data).hexdigest() for name, data in read.items()}


def kill_at(seconds: float, *words, env: dict) -> bool:
    """Run a command and kill it; False if it was faster."""
    process = subprocess.Popen(command(*words), env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    return process.wait(60) == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize("place", ["disk", "s3"])
def test_killed_at_any_moment_and_repeated(place, source, seaweed, tmp_path, figures):  # noqa: F811
    client, rng = seaweed.client(), random.Random(place)
    (tmp_path / "spill").mkdir()
    env = os.environ | {"TMPDIR": str(tmp_path / "spill")}

    def dest(run: object) -> str | Path:
        return tmp_path / f"out-{run}" if place == "disk" else f"s3://{s3.BUCKET}/{tmp_path.name}/out-{run}"

    begun = time.perf_counter()
    assert spawn("run", source, "--to", dest("calm"), *OPTIONS, env=env).wait(60) == 0
    length = time.perf_counter() - begun
    calm, killed, left = stored(dest("calm"), client), 0, 0
    for run in range(MOMENTS):
        # Python and its modules take the first third, in which nothing can go wrong.
        killed += kill_at(rng.uniform(0.4, 1.0) * length, "run", source, "--to", dest(run), *OPTIONS, env=env)
        left += bool(stored(dest(run), client))
        again = call("run", source, "--to", dest(run), *OPTIONS)
        assert again.code == 0, again.err
        assert stored(dest(run), client) == calm
        assert call("clean", dest(run), "--older-than", 0).out == ""
    assert os.listdir(tmp_path / "spill") == []
    figures.lines.append(
        f"run to {place}: killed at {killed} of {MOMENTS} moments of {length:.1f} s, {left} left something behind; "
        "all repeated: bytes identical, nothing for clean to list, no spilled file left"
    )
    assert killed
