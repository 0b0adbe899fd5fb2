"""Runs killed at any moment and repeated: the bytes of an undisturbed run, and nothing left over."""

from __future__ import annotations

import hashlib
import json
import os
import random
from pathlib import Path

import pytest
import s3
from command import call, digests, spawn, wait_until
from conftest_s3 import figures, proxied, s3_env, seaweed  # noqa: F401 - fixtures
from staging_cases import PATIENT, small, to_s3

MOMENTS = 6
OPTIONS = ("--factor", 5, "-q")


@pytest.fixture
def stored_scene(s3_env, tmp_path):  # noqa: F811
    """A scene in the store, and a client of it."""
    scene = small(tmp_path / "scene", size=(900, 800), bands=["SR_B4", "SR_B5", "ST_B10", "QA_PIXEL"])
    return to_s3(s3_env, scene, f"kill-{tmp_path.name}"), s3_env.client()


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


@pytest.mark.slow
@pytest.mark.parametrize("place", ["disk", "s3"])
def test_killed_at_any_moment_and_repeated(place, stored_scene, proxied, tmp_path, figures):  # noqa: F811
    """Its source and the store of its product answer so many requests, and then keep it waiting."""
    source, client = stored_scene
    (tmp_path / "spill").mkdir()
    env = os.environ | PATIENT | {"TMPDIR": str(tmp_path / "spill")}

    def dest(run: object) -> str | Path:
        return tmp_path / f"out-{run}" if place == "disk" else f"s3://{s3.BUCKET}/{tmp_path.name}/out-{run}"

    proxied.plan()
    whole = spawn("run", source, "--to", dest("calm"), *OPTIONS, env=env)
    whole.communicate()
    assert whole.returncode == 0
    requests = len(proxied.seen)
    calm, left = stored(dest("calm"), client), 0
    # Among them the last request, when all other bands are there.
    for run in [*random.Random(place).sample(range(requests // 4, requests - 1), MOMENTS - 1), requests - 1]:
        proxied.plan(*[None] * run, *["silence"] * 200)
        process = spawn("run", source, "--to", dest(run), *OPTIONS, env=env)
        wait_until(lambda: proxied.silent, process)
        process.kill()
        process.communicate()
        proxied.plan()
        left += bool(stored(dest(run), client))
        again = call("run", source, "--to", dest(run), *OPTIONS)
        assert again.code == 0, again.err
        # One that is killed before it reads anything leaves what it tried the store by.
        cleaned = call("clean", dest(run), "--older-than", 0, "--yes").out.splitlines()
        assert {json.loads(line)["kind"] for line in cleaned} <= {"probe"}
        assert stored(dest(run), client) == calm
        assert call("clean", dest(run), "--older-than", 0).out == ""
    assert os.listdir(tmp_path / "spill") == []
    figures.lines.append(
        f"run to {place}: killed at {MOMENTS} moments among {requests} requests, {left} left something behind; "
        "all repeated: bytes identical, nothing for clean to list, no spilled file left"
    )
    assert left
