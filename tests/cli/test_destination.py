"""A destination is tried once before the work, and one that takes nothing more stops the run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import s3
from command import Result, call, spawn
from conftest_s3 import proxied, s3_env, seaweed  # noqa: F401 - fixtures

import landsat_downsample as ld
from landsat_downsample.model.location import Location
from landsat_downsample.storage.probe import NAME, check_room, try_place


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> list[Path]:
    """Bands by themselves, of which each is a scene of a run."""
    folder = tmp_path_factory.mktemp("sources")
    scene = ld.make_scene(folder, size=(300, 280), bands=["SR_B4"])
    band = next(scene.glob("*_SR_B4.TIF"))
    return [Path(shutil.copy(band, folder / f"band{number}_B4.TIF")) for number in range(12)]


@pytest.fixture
def small(tmp_path):
    """A file system of 1 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("this user may mount nothing")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def stopped(done, dest: object, code: int = 1) -> str:
    """The one failure of a run that stopped at its first scene."""
    assert done.code == code and done.out == "", done.err
    assert [line for line in done.lines if line.endswith("the same command goes on with them")] == [
        "landsat-downsample: stopped: the destination takes nothing more: 11 of 12 scenes did not begin; once it does, "
        "the same command goes on with them"
    ]
    (failure,) = [line for line in done.lines if f"cannot write to '{dest}': " in line]
    return failure


def test_a_path_below_a_file_is_refused_before_any_scene_begins(sources, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    done = call("run", *sources, "--to", tmp_path / "file" / "out", "--factor", 10)
    assert "not a directory" in stopped(done, tmp_path / "file" / "out")
    assert "did not begin" in done.err and "begun" not in done.err


def in_its_own_process(seaweed, keys: tuple[str, str], *words: object) -> Result:  # noqa: F811 - a fixture's name
    """Run with other keys: a process keeps those that it began with."""
    environ = os.environ | {k: v for k, v in s3.environ(seaweed.endpoint, keys).items() if v is not None}
    process = spawn("run", *words, env=environ)
    out, err = process.communicate(timeout=100)
    return Result(process.returncode, out, err)


@pytest.mark.parametrize("keys", [s3.RO, ("nobody", "nosecret")], ids=["read-only", "wrong"])
def test_keys_that_may_not_write_are_refused_before_any_scene_begins(keys, sources, seaweed):  # noqa: F811
    dest = f"s3://{s3.BUCKET}/refused"
    done = in_its_own_process(seaweed, keys, *sources, "--to", dest, "--factor", 10)
    assert "status 403" in done.err and "check credentials" in done.err
    assert done.code == 1 and "11 of 12 scenes did not begin" in done.err
    assert "Contents" not in seaweed.client().list_objects_v2(Bucket=s3.BUCKET, Prefix="refused/")


def test_what_is_there_already_needs_no_leave_to_write(sources, s3_env):  # noqa: F811
    dest = f"s3://{s3.BUCKET}/there"
    assert [outcome.status for outcome in ld.run(ld.plan(sources[:1], dest, factor=10))] == ["done"]
    done = in_its_own_process(s3_env, s3.RO, sources[0], "--to", dest, "--factor", 10)
    assert done.code == 0 and '"status": "skipped"' in done.out


def test_it_takes_two_requests_and_leaves_nothing(sources, proxied, tmp_path):  # noqa: F811
    dest = f"s3://{s3.BUCKET}/tried"
    assert {outcome.status for outcome in ld.run(ld.plan(sources[:3], dest, factor=10))} == {"done"}
    assert [each.method for each in proxied.seen if NAME in each.path] == ["PUT", "DELETE"]
    try_place(Location(str(tmp_path / "a" / "b")))
    assert os.listdir(tmp_path) == []


def test_too_little_room_is_reported_before_any_scene_begins(sources, tmp_path, small):
    words = r"1\.05 MB are free, and 3 scenes take about 2 MB; free some"
    with pytest.raises(ld.WriteError, match=words) as caught:
        try_place(Location(str(small / "out")), 2e6, "3 scenes")
    assert caught.value.for_all
    done = call("run", *sources, "--to", small / "out", "--factor", 1)
    assert "12 scenes like band0_B4 take about" in stopped(done, small / "out")
    done = call("doctor", sources[0], "--to", small, "--factor", 1, "--scenes", 12)
    assert done.code == 1 and "12 scenes like it take about" in done.out
    done = call("doctor", sources[0], "--to", small, "--factor", 10, "--scenes", 2)
    assert "needed by 2 scenes like it" in done.out


def test_room_that_is_nearly_enough_is_warned_of_only():
    with pytest.warns(UserWarning, match=r"'/x' may become full: 100 MB are free, and 3 scenes take about 110 MB"):
        check_room("/x", 100e6, 110e6, "3 scenes")
    with pytest.raises(ld.WriteError, match="100 MB are free, and 3 scenes take about 130 MB"):
        check_room("/x", 100e6, 130e6, "3 scenes")


def test_a_disk_that_fills_stops_the_run(sources, small):
    plans = ld.plan(sources, small / "out", factor=10)

    def fill(step) -> None:
        """Once a scene is done, somebody else takes all that is left."""
        if step.outcome and step.outcome.status == "done" and not (small / "other").exists():
            with open(small / "other", "wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
                while True:
                    file.write(bytes(4096))

    with pytest.raises(ld.RunError, match=r"no space left.*; \d+ did not begin") as caught:
        ld.run(plans, workers=1, report=fill)
    outcomes = caught.value.outcomes
    done = [outcome for outcome in outcomes if outcome.status == "done"]
    assert 1 <= len(done) <= len(outcomes) < 12
    os.unlink(small / "other")
    assert [outcome.status for outcome in ld.run(plans)].count("skipped") == len(done)


def test_keys_that_stop_working_stop_the_run(sources, proxied):  # noqa: F811
    plans = ld.plan(sources, f"s3://{s3.BUCKET}/revoked", factor=10)

    def revoke(step) -> None:
        """Once a scene is done, the store takes nothing more for these keys."""
        if step.outcome and step.outcome.status == "done" and not proxied.faults:
            proxied.methods = ("PUT", "POST")
            proxied.faults.extend(["forbidden"] * 500)

    with pytest.raises(ld.RunError, match=r"check credentials.*; \d+ did not begin") as caught:
        ld.run(plans, workers=1, report=revoke)
    assert 1 <= len(caught.value.outcomes) < 12
    proxied.faults.clear()
    assert {outcome.status for outcome in ld.run(plans)} == {"done", "skipped"}


def test_the_record_says_why_a_run_stopped(sources, tmp_path):
    """It lies elsewhere here, where it can be kept."""
    from landsat_downsample.batch.journal import Journal
    from landsat_downsample.execution.run import run_plans

    plans = ld.plan(sources, tmp_path / "x" / "out", factor=10)
    (tmp_path / "x").write_bytes(b"")
    with Journal(tmp_path / "kept", entries=b"", total=len(plans)) as journal:
        assert [outcome.status for outcome in run_plans(plans, report=journal)] == ["failed"]
    reported = json.loads(Path(journal.href, "status.json").read_text())
    assert (reported["state"], reported["reason"]) == ("ended", "stopped early: the destination takes nothing more")
