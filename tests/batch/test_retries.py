"""What is tried again of a run in parts: of one part, of all, of those that were killed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import call, products

import landsat_downsample as ld
from landsat_downsample.batch.parts import Part
from landsat_downsample.batch.record import run_ids
from landsat_downsample.batch.requests import Order
from landsat_downsample.batch.retries import Retry, retry
from landsat_downsample.batch.runs import status
from landsat_downsample.errors import UsageError
from landsat_downsample.model.options import Options

FACTOR = ("--factor", 7)
OF = 3


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("scenes")
    return [ld.make_scene(folder, size=(101, 87), bands=["SR_B4", "QA_PIXEL"], seed=seed) for seed in range(7)]


@pytest.fixture(scope="module")
def whole(scenes, tmp_path_factory) -> dict[str, dict[str, str]]:
    dest = tmp_path_factory.mktemp("whole")
    assert call("run", *scenes, "--to", dest, *FACTOR, "-q").code == 0
    return products(dest)


def run(*words: object) -> int:
    return call("run", *words, *FACTOR, "-q").code


@pytest.fixture
def damaged(scenes, tmp_path):
    """A destination with three parts, of which two have one scene that failed; the scenes are whole again."""
    bands = [next(scenes[number].glob("*_SR_B4.TIF")) for number in (0, 4)]  # parts 1 and 2
    kept = [band.read_bytes() for band in bands]
    for band, data in zip(bands, kept, strict=True):
        band.write_bytes(data[: len(data) // 2])
    dest = tmp_path / "out"
    codes = [run(*scenes, "--part", f"{number}/{OF}", "--to", dest) for number in (1, 2, 3)]
    for band, data in zip(bands, kept, strict=True):
        band.write_bytes(data)
    assert codes == [3, 3, 0]
    return dest


def left(dest: Path, part: Part | None = None) -> Retry:
    return retry(str(dest), Order(Options(factor=7), str(dest)), part)


def names(found: Retry) -> list[str]:
    return sorted(Path(entry.label).name for entry in found.entries)


def test_a_retry_of_all_parts_at_once(damaged, scenes, whole):
    assert names(left(damaged)) == sorted([scenes[0].name, scenes[4].name])
    assert run("--retry-failed", damaged, "--to", damaged) == 0
    assert products(damaged) == whole
    found = status(damaged)
    assert (found.done, found.failed, found.total, found.exit_code) == (7, 0, 7, 0)
    page = Path(call("report", damaged).out.strip()).read_text()
    assert "All 7 scenes done" in page
    again = call("run", "--retry-failed", damaged, "--to", damaged, *FACTOR)
    assert again.code == 0 and len(again.lines) == 1 and "nothing is left to do" in again.err


def test_a_retry_by_the_same_array(damaged, scenes, whole):
    """The same tasks with --retry-failed: each takes what failed in its part, whatever the others have done by then."""
    assert names(left(damaged, Part(2, OF))) == [scenes[4].name]
    for number in (2, 3, 1):
        assert run("--retry-failed", damaged, "--part", f"{number}/{OF}", "--to", damaged) == 0
    assert products(damaged) == whole
    found = status(damaged)
    assert (found.done, found.failed, found.total, found.exit_code) == (7, 0, 7, 0)
    assert len(found.parts) == OF and len(run_ids(str(damaged))) == OF + 2, "part 3 had nothing to do"


def test_a_retry_of_one_record(damaged, scenes, whole):
    record = next(damaged.glob("_runs/*-part-2-of-3-*"))
    assert names(left(record)) == [scenes[4].name] == names(left(record, Part(2, OF)))
    assert names(left(record, Part(1, 2))) == [scenes[4].name] and names(left(record, Part(2, 2))) == []
    assert run("--retry-failed", record, "--to", damaged) == 0
    found = status(damaged)
    assert (found.done, found.failed, found.exit_code) == (6, 1, 3)


def test_a_retry_with_other_options_is_a_run_of_its_own(damaged):
    assert call("run", "--retry-failed", damaged, "--to", damaged, "--factor", 9, "-q").code == 0
    found = status(damaged)
    assert (found.parts, found.done, found.total) == ((), 2, 2)


def test_a_retry_elsewhere_is_a_run_of_its_own(damaged, tmp_path):
    assert run("--retry-failed", damaged, "--to", tmp_path / "else") == 0
    assert len(products(tmp_path / "else")) == 2 and status(tmp_path / "else").parts == ()
    assert status(damaged).failed == 2


def test_parts_that_are_none_are_refused(damaged):
    with pytest.raises(UsageError, match=r"in 3 parts: give --part I/3"):
        left(damaged, Part(1, 2))
    for record in damaged.glob("_runs/*-part-2-of-3-*/*"):
        record.unlink()
    next(damaged.glob("_runs/*-part-2-of-3-*")).rmdir()
    with pytest.raises(UsageError, match=r"part 2/3 is not on record .* run it with its list"):
        left(damaged, Part(2, OF))


def test_what_a_killed_part_did_not_reach_is_tried_again_and_what_one_at_work_has_left_is_not(damaged, scenes):
    record = next(damaged.glob("_runs/*-part-3-of-3-*"))
    (record / "outcomes.ndjson").write_text("")
    beat = json.loads((record / "status.json").read_text()) | {"state": "running"}
    (record / "status.json").write_text(json.dumps(beat))
    failed = [scenes[0].name, scenes[4].name]
    found = left(damaged)
    assert names(found) == sorted(failed) and found.busy == (record.name,)
    said = call("run", "--retry-failed", damaged, "--to", damaged, "--factor", 9)
    assert f"left to them: {record.name}" in said.err
    (record / "status.json").write_text(json.dumps(beat | {"alive": "2026-01-01T00:00:00Z"}))
    for latest in damaged.glob("_runs/*Z-??????"):
        latest.rename(damaged / latest.name)
    found = left(damaged)
    assert names(found) == sorted([*failed, scenes[2].name, scenes[5].name]) and found.busy == ()


def test_what_a_whole_run_left_can_be_shared(scenes, tmp_path):
    dest = tmp_path / "out"
    assert run(tmp_path / "a", tmp_path / "b", tmp_path / "c", "--to", dest) == 1
    order = Order(Options(factor=7), str(dest))
    shares = [names(retry(str(dest), order, Part(number, 2))) for number in (1, 2)]
    # In the order of the record, which is that in which they failed.
    assert [len(share) for share in shares] == [2, 1] and sorted(shares[0] + shares[1]) == ["a", "b", "c"]


def test_a_retry_overwrites_where_the_run_did(scenes, tmp_path):
    dest = tmp_path / "out"
    assert run(*scenes[:2], "--to", dest) == 0
    band = next(scenes[1].glob("*_SR_B4.TIF"))
    kept = band.read_bytes()
    band.write_bytes(kept[: len(kept) // 2])
    other = ("--to", dest, "--factor", 9)
    assert call("run", *scenes[:2], *other, "--overwrite", "-q").code == 3
    band.write_bytes(kept)
    record = next(path for path in dest.glob("_runs/*/outcomes.ndjson") if '"failed"' in path.read_text())
    for place in (dest, record):
        refused = call("run", "--retry-failed", place, *other, "--no-overwrite", "-q")
        assert refused.code != 0 and "overwrite" in refused.err
    again = call("run", "--retry-failed", record, *other)
    assert again.code == 0 and "--overwrite as of the run that is retried" in again.err
