"""A run on dask workers gives the bytes of a run in this process, and leaves its client open."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import landsat_downsample as ld
from landsat_downsample.model.words import part_words


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    return [ld.make_scene(folder, sensor=sensor, size=(231, 187)) for sensor in ("oli", "tm")]


def test_the_bytes_are_those_of_one_process(scenes, local, tmp_path):
    for name, options in (("here", {}), ("there", {"client": local})):
        outcomes = ld.run(ld.plan(scenes, str(tmp_path / name), factor=7, mask="cloud"), **options)
        assert [outcome.status for outcome in outcomes] == ["done", "done"]
    assert digests(tmp_path / "here") == digests(tmp_path / "there")
    assert local.status == "running"


def test_the_dashboard_tells_how_far_a_run_is(scenes, local, tmp_path):
    ld.run(ld.plan(scenes, str(tmp_path), factor=7), client=local)
    bars = local.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.task_prefixes))
    assert {"scene 1 of 2", "scene 2 of 2"} <= set(bars)
    names = {part_words(number, total) for total in (1, 10, 11, 99, 100_000) for number in range(0, total, 7)}
    assert max(map(len, names)) <= 15  # what dask shows of a name


def test_a_failing_scene_leaves_the_others_alone(scenes, local, tmp_path):
    plans = ld.plan(scenes, str(tmp_path / "out"), factor=7)
    damaged = next(path for path in scenes[0].glob("*_SR_B4.TIF"))
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[: len(whole) // 2])
    try:
        with pytest.raises(ld.RunError, match="1 of 2 scenes failed") as error:
            ld.run(plans, client=local)
    finally:
        damaged.write_bytes(whole)
    assert [outcome.status for outcome in error.value.outcomes] == ["failed", "done"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == [plans[1].name]


def test_a_relative_destination_is_here_and_not_where_workers_are(scenes, local, tmp_path, monkeypatch):
    """Workers of a scheduler elsewhere have current folders of their own."""
    (tmp_path / "there").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    plans = ld.plan(scenes[:1], "out", factor=7, bands=["SR_B4"])
    (before,) = set(local.run(os.getcwd).values())
    local.run(os.chdir, tmp_path / "there")
    try:
        assert [outcome.status for outcome in ld.run(plans, client=local)] == ["done"]
    finally:
        local.run(os.chdir, before)
    assert [path.name for path in (tmp_path / "here" / "out").iterdir()] == [plans[0].name]
    assert not [path for path in (tmp_path / "there").rglob("*.TIF")]


@pytest.mark.slow
def test_a_dashboard_that_does_not_work_is_not_linked():
    code = (
        "import sys; sys.modules['bokeh'] = None\n"
        "from landsat_downsample.execution.cluster import cluster, dashboard_link, lacks_dashboard\n"
        "if __name__ == '__main__':\n"
        "    with cluster('local', workers=1) as client:\n"
        "        print(dashboard_link(client), lacks_dashboard(client))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "None True\n"
