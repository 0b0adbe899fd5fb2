"""Many scenes from Python: lists, items, searches; the shell's record, report and retry; what is logged."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import nbclient
import nbformat
import pystac
import pytest
from command import call
from stac_api import StacApi, usgs_items

import landsat_downsample as ld
from landsat_downsample.batch.record import OUTCOMES, REPORT

BANDS = ["SR_B4", "QA_PIXEL"]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("scenes")
    return [Path(ld.make_scene(folder, size=(61, 57), seed=seed, bands=BANDS)) for seed in range(3)]


@pytest.fixture
def listed(scenes, tmp_path) -> str:
    """A list of two scenes and one that is not there."""
    path = tmp_path / "list.txt"
    path.write_text(f"# some\n{scenes[0]}\n{tmp_path / 'later'}\n{scenes[1]}\n")
    return f"@{path}"


def ends(folder: str) -> list[dict]:
    """What became of the scenes of a record, without what differs between runs."""
    lines = (Path(folder) / OUTCOMES).read_text().splitlines()
    kept = ("id", "status", "files", "cause", "error", "source")
    return sorted(({key: json.loads(line)[key] for key in kept} for line in lines), key=lambda one: one["id"])


def test_a_list_is_run_recorded_and_retried_as_in_the_shell(scenes, listed, tmp_path):
    plans = ld.plan(listed, tmp_path / "python", factor=7)
    assert len(plans) == 3 and "later" in repr(plans)
    outcomes = ld.run(plans, record=True, check=False)
    assert [outcome.status for outcome in outcomes] == ["done", "failed", "done"]
    assert "no such file or folder" in str(outcomes[1].error)
    assert call("run", listed, "--to", tmp_path / "shell", "--factor", 7).code == 3
    python, shell = ld.status(tmp_path / "python"), ld.status(tmp_path / "shell")
    assert ends(python.href) == ends(shell.href)
    assert (python.state, python.done, python.failed, python.options) == ("ended", 2, 1, shell.options)
    assert (Path(python.href) / REPORT).exists()

    (tmp_path / "later").symlink_to(scenes[2])
    for dest in (tmp_path / "python", tmp_path / "shell"):  # whichever door made the record
        (outcome,) = ld.retry_failed(dest)
        assert outcome.status == "done" and outcome.scene_id == scenes[2].name
        assert ld.status(dest).options == python.options
        assert ld.retry_failed(dest) == []


def test_a_retry_makes_tiles_where_the_run_did(scenes, listed, tmp_path):
    dest = tmp_path / "out"
    ld.run(ld.plan(listed, dest, grid="modis:1km", bands="SR_B4", tiles=True), record=True, check=False)
    (tmp_path / "later").symlink_to(scenes[2])
    (outcome,) = ld.retry_failed(dest)
    assert outcome.status == "done"
    tiles = {path.name.removesuffix("_downsampled").rpartition("_")[2] for path in dest.glob("LC*")}
    assert len(list(dest.glob("LC*"))) == 3 and len(tiles) == 1 and tiles.pop().startswith("h")


def test_a_failure_raises_at_the_end_with_every_outcome(listed, tmp_path):
    with pytest.raises(ld.RunError, match=r"1 of 3 scenes failed: .*later") as caught:
        ld.run(ld.plan(listed, tmp_path / "out", factor=7))
    assert [outcome.status for outcome in caught.value.outcomes] == ["done", "failed", "done"]


def test_a_wrong_option_and_a_lone_source_raise_at_once(scenes, listed, tmp_path):
    with pytest.raises(ld.UsageError, match="qa"):
        ld.plan(listed, tmp_path, factor=7, qa="best")
    with pytest.raises(ld.UsageError, match="SR_B9"):
        ld.plan(scenes, tmp_path, factor=7, bands="SR_B9")
    with pytest.raises(ld.UsageError, match="finer than the source"):
        ld.plan(scenes, tmp_path, resolution=10)
    with pytest.raises(ld.ReadError, match="no such file"):
        ld.plan(tmp_path / "nothing", tmp_path, factor=7)
    with pytest.raises(ld.UsageError, match="names no scene"):
        (tmp_path / "empty.txt").write_text("# none\n")
        ld.plan(f"@{tmp_path / 'empty.txt'}", tmp_path, factor=7)
    with pytest.raises(ld.UsageError, match=r"run takes plans.*'Scene' is none: give what plan"):
        ld.run(ld.open_scene(scenes[0]))


def test_plans_are_opened_when_they_are_looked_at(scenes, tmp_path):
    plans = ld.plan([*scenes[:2], tmp_path / "nothing"], tmp_path / "out", factor=7)
    assert plans[1].scene.id == scenes[1].name and plans[1] is plans[1]
    with pytest.raises(ld.ReadError, match="no such file"):
        plans[2]
    assert isinstance(plans[:2], ld.Plans) and [plan.scene.id for plan in plans[:2]] == [one.name for one in scenes[:2]]
    assert len(plans + ld.plan(scenes[2], tmp_path / "out", factor=7)) == 4
    assert [outcome.status for outcome in ld.run(plans[:2])] == ["done", "done"]
    assert not (tmp_path / "out" / "_runs").exists()


def test_items_paths_and_opened_scenes_stand_side_by_side(scenes, tmp_path):
    items = [pystac.Item.from_file(str(path)) for path in sorted(scenes[0].glob("*_stac.json"))]
    given = [items[0], str(scenes[1]), items[-1], ld.open_scene(scenes[2])]
    plans = ld.plan(given, tmp_path / "out", factor=7)
    assert [plan.scene.id for plan in plans] == [one.name for one in scenes]
    assert [outcome.status for outcome in ld.run(plans, record=True)] == ["done"] * 3
    assert ld.status(tmp_path / "out").done == 3
    with pytest.raises(ld.UsageError, match="one destination"):
        ld.run([*plans[:1], *ld.plan(scenes[1], tmp_path / "other", factor=7)], record=True)


def test_what_a_search_finds_is_planned(scenes, tmp_path):
    folder = scenes[0].parent
    items = [item for scene in scenes for item in usgs_items(scene)]
    with StacApi("usgs", items, folder) as api:
        found = ld.search(api.url, "landsat-c2l2-sr,landsat-c2l2-st", datetime="2023")
        assert sorted(found.ids) == sorted(one.name for one in scenes) and len(found.items) == len(items)
        assert len(found[:2]) == 2 and found[0].ids == found.ids[:1] and scenes[0].name in repr(found)
        outcomes = ld.run(ld.plan(found[:2], tmp_path / "out", factor=7), record=True)
    assert [outcome.scene_id for outcome in outcomes] == found.ids[:2]


_CELLS = [
    "import landsat_downsample as ld, sys",
    "outcomes = ld.run(ld.plan({sources!r}, {to!r}, factor=7), record=True, check=False)",
]


@pytest.mark.slow  # a kernel comes with the extra `notebook`
def test_a_notebook_shows_a_run_in_one_output(scenes, tmp_path):
    sources = [str(scenes[0]), str(tmp_path / "<b>nothing")]
    book = nbformat.v4.new_notebook()
    words = {"sources": sources, "to": str(tmp_path / "out")}
    book.cells = [nbformat.v4.new_code_cell(cell.format(**words)) for cell in _CELLS]
    nbclient.NotebookClient(book, timeout=300).execute()
    (shown,) = book.cells[1].outputs
    text, html = shown.data["text/plain"], shown.data["text/html"]
    assert text.startswith("1 done, 1 failed of 2 scenes in ") and "no such file or folder" in text
    report = Path(ld.status(tmp_path / "out").href) / REPORT
    assert text.splitlines()[-1] == f"report: {report}" and str(report) in html
    assert "&lt;b&gt;nothing" in html and "<b>" not in html and "<progress" not in html  # it is over


# What is logged ---------------------------------------------------------------------------------


def test_every_step_is_a_record_with_its_fields(listed, scenes, tmp_path, caplog):
    with caplog.at_level(logging.DEBUG, "landsat_downsample"):
        ld.run(ld.plan(listed, tmp_path / "out", factor=7), check=False, record=True)
    told = [record for record in caplog.records if record.name == "landsat_downsample"]
    events = [record.event for record in told]
    assert sorted(set(events)) == [
        "band-done", "catalogue", "report", "run-begun", "run-ended", "scene-begun", "scene-done", "scene-failed"
    ]  # fmt: skip
    assert events.count("band-done") == 4 and events.count("scene-done") == 2 and events[-1] == "run-ended"
    failed = told[events.index("scene-failed")]
    assert failed.levelname == "ERROR" and failed.cause == "MissingError" and failed.error == failed.getMessage()
    band = told[events.index("band-done")]
    assert band.id in {one.name for one in scenes} and band.band in BANDS and band.bytes_in > 0


def test_no_secret_is_logged(tmp_path, caplog):
    with caplog.at_level(logging.DEBUG, "landsat_downsample"):
        given = ["http://me:hunter2@127.0.0.1:9/a.tar?sig=hunter2", str(tmp_path / "x?token=hunter2")]
        ld.run(ld.plan(given, tmp_path / "out", factor=7), check=False)
    assert [record.event for record in caplog.records].count("scene-failed") == 2
    assert "hunter2" not in "".join(str(vars(record)) for record in caplog.records)


_SCRIPT = """
import logging, sys
import landsat_downsample as ld
if sys.argv[1] == "logged":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
before = logging.root.handlers[:], logging.getLogger("landsat_downsample").handlers[:]
plans = ld.plan(sys.argv[3:], sys.argv[2], factor=7)
ld.run(plans, check=False, progress={"quiet": None, "shown": True, "logged": True, "none": False}[sys.argv[1]])
logger = logging.getLogger("landsat_downsample")
assert (logging.root.handlers, logger.handlers) == before
assert logger.level == logging.NOTSET and logger.propagate and "IPython" not in sys.modules
"""


@pytest.mark.parametrize("how", ["quiet", "none", "shown", "logged"])
def test_a_script_is_quiet_unless_it_asks_and_nothing_is_said_twice(how, scenes, tmp_path):
    words = [sys.executable, "-c", _SCRIPT, how, tmp_path / "out", scenes[0], tmp_path / "nothing"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    if how in ("quiet", "none"):
        assert lines == []
        return
    assert len(lines) == 5  # two bands, a scene done, one failed, the summary
    assert [line for line in lines if "no such file" in line] and len(set(lines)) == 5
    assert all(("landsat-downsample: " in line) == (how == "shown") for line in lines)


# Parts ---------------------------------------------------------------------------------------


def test_parts_are_those_of_the_shell(scenes, listed, tmp_path):
    """The same scenes, under the same name of the run, so that the parts of both doors are one run."""
    dest = tmp_path / "out"
    assert call("run", listed, "--part", "1/2", "--to", dest, "--factor", 7).code == 0
    plans = ld.plan(listed, dest, factor=7, part=(2, 2))
    ld.run(plans, record=True, check=False)
    told = ld.status(dest)
    assert (told.done, told.failed, told.missing, len(told.parts)) == (2, 1, (), 2)
    assert [plans.share.to_dict() for plans in (ld.plan(listed, dest, factor=7, part="2/2"), plans)] == [
        {"number": 2, "of": 2, "scenes": 3}
    ] * 2


def test_all_parts_are_all_scenes(scenes, tmp_path):
    given = [scenes[0], ld.open_scene(scenes[1]), str(scenes[2])]
    parts = [ld.plan(given, tmp_path, factor=7, part=(number, 2)) for number in (1, 2)]
    assert [len(part) for part in parts] == [2, 1]
    names = [plan.name for part in parts for plan in part]
    assert sorted(names) == sorted(plan.name for plan in ld.plan(given, tmp_path, factor=7))


def test_a_part_may_have_nothing_to_do(scenes, tmp_path):
    plans = ld.plan(scenes[0], tmp_path / "out", factor=7, part=(3, 3))
    assert len(plans) == 0 and ld.run(plans, record=True) == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("part", [(0, 2), (3, 2), "1", 5, ("a", "b"), (1, 2, 3)])
def test_what_is_no_part_is_refused(scenes, tmp_path, part):
    with pytest.raises(ld.UsageError, match=r"part .* is not"):
        ld.plan(scenes[0], tmp_path, factor=7, part=part)


# What a retry asks ---------------------------------------------------------------------------


@pytest.mark.parametrize("door", ["python", "shell"])
def test_a_retry_asks_as_the_run_did(scenes, tmp_path, door, monkeypatch):
    """It replaces what was made otherwise, and pays, where the run was allowed to."""
    dest, later = tmp_path / "out", tmp_path / scenes[2].name
    ld.run(ld.plan(scenes[2], dest, factor=5))  # in the way of the scene that fails first
    sources = [str(scenes[0]), str(later)]
    if door == "python":
        monkeypatch.setenv("AWS_REQUEST_PAYER", "requester")
        ld.run(ld.plan(sources, dest, factor=7, overwrite=True), record=True, check=False)
        monkeypatch.delenv("AWS_REQUEST_PAYER")
    else:
        call("run", *sources, "--to", dest, "--factor", 7, "--overwrite", "--requester-pays")
    told = ld.status(dest)
    assert (told.failed, told.overwrite, told.requester_pays) == (1, True, True)
    later.symlink_to(scenes[2])
    (outcome,) = ld.retry_failed(dest)
    assert outcome.status == "done"
    again = ld.status(dest)
    assert (again.failed, again.overwrite, again.requester_pays) == (0, True, True)


def test_nothing_is_replaced_or_paid_unasked(scenes, tmp_path):
    dest, later = tmp_path / "out", tmp_path / scenes[2].name
    ld.run(ld.plan(scenes[2], dest, factor=5))
    ld.run(ld.plan([scenes[0], later], dest, factor=7), record=True, check=False)
    told = ld.status(dest)
    assert (told.overwrite, told.requester_pays) == (False, False)
    later.symlink_to(scenes[2])
    with pytest.raises(ld.RunError, match="was made with factor 5"):
        ld.retry_failed(dest)
