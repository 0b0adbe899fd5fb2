"""Thousands of small remote scenes in one run: none is lost, and the last ones cost no more than the first."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from command import call
from conftest_s3 import *  # noqa: F403 - fixtures
from s3 import BUCKET

import landsat_downsample as ld
from landsat_downsample.storage import header_cache
from landsat_downsample.storage.header_cache import LIMIT

MANY = 3000


@pytest.fixture
def sources(s3_env, tmp_path) -> list[str]:
    """A few small bands under many names."""
    scenes = [ld.make_scene(tmp_path, size=(57, 43), bands=["SR_B4"], seed=seed) for seed in range(3)]
    data = [next(scene.glob("*_SR_B4.TIF")).read_bytes() for scene in scenes]
    client, keys = s3_env.client(), [f"many/{number:04}_SR_B4.TIF" for number in range(MANY)]
    with ThreadPoolExecutor(4) as pool:
        put = [pool.submit(client.put_object, Bucket=BUCKET, Key=key, Body=data[k % 3]) for k, key in enumerate(keys)]
        assert all(future.result() for future in put)
    return [f"s3://{BUCKET}/{key}" for key in keys]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_none_of_many_remote_scenes_is_lost(sources, tmp_path):
    listed, dest = tmp_path / "list.txt", tmp_path / "out"
    listed.write_text("\n".join(sources))
    result = call("run", f"@{listed}", "--to", dest, "--factor", 8, "--cluster", "none", "--workers", 8, "-q")
    assert result.code == 0, result.err[-2000:]
    (run,) = Path(dest).glob("_runs/*Z-*")
    outcomes = [json.loads(line) for line in (run / "outcomes.ndjson").read_text().splitlines()]
    assert [line["status"] for line in outcomes] == ["done"] * MANY
    assert len({line["id"] for line in outcomes}) == MANY == len(list(dest.glob("*_downsampled")))
    # Counted, not timed: each took its header with it, read once, whatever was kept of those before.
    assert {line["requests"] for line in outcomes[-500:]} == {line["requests"] for line in outcomes[:500]}
    assert 0 < header_cache._headers.total <= LIMIT
