"""The benchmarks' arithmetic and words; and all of them once, on a small scene."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest

import landsat_downsample as ld
from benchmarks import __main__ as suite
from benchmarks import bounds, growth, network, report, scenes, skips, whole
from benchmarks.bounds import Bound
from benchmarks.cluster import Way
from benchmarks.cube_peers import Store
from benchmarks.floor import exact_mean, numpy_sums
from benchmarks.grid_peers import AVERAGE, EXACT, SUMS, Peer
from benchmarks.grids import Grids
from benchmarks.interleave import rounds
from benchmarks.network import Taken
from benchmarks.steady import Steady
from benchmarks.whole import Cost, Row


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_the_exponent_is_that_of_the_growth(power):
    assert growth.exponent({n: 3 * n**power for n in (1, 2, 4, 8, 16)}) == pytest.approx(power)


def test_every_point_counts_for_the_exponent():
    straight, bent = {1: 1, 2: 2, 4: 4, 8: 8}, {1: 1, 2: 2, 4: 6, 8: 8}
    assert growth.exponent(bent) > growth.exponent(straight)  # their ends are the same


def test_rounds_begin_with_another_case_each_time():
    assert list(rounds("abc", 4)) == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"], ["a", "b", "c"]]


@pytest.mark.parametrize(
    ("bound", "asked", "met"),
    [
        (Bound("a", 1.35, 1.35), "at most 1.35 x", True),
        (Bound("a", 1.36, 1.35), "at most 1.35 x", False),
        (Bound("a", 1.84, low=1.85), "at least 1.85 x", False),
        (Bound("a", 0.95, 1.05, 0.95), "0.95 to 1.05", True),
        (Bound("a", 100, 100, 100, unit="%"), "100 %", True),
        (Bound("a", math.nan, 1.35), "at most 1.35 x", False),  # what was not measured is not met
    ],
)
def test_a_bound_says_what_was_asked_and_whether_it_holds(bound, asked, met):
    assert (bound.asked, bound.met) == (asked, met)


def test_stores_are_compared_with_each_peer_that_is_installed():
    found = {
        "ours": Store(Cost(3.0, 4.0, 200.0), ""),
        "odc-stac": Store(Cost(12.0, 9.0, 500.0), "100.00 % of cells within 1"),
        "stackstac": Store(None, "absent: stackstac is not installed"),
    }
    assert [(bound.measured, bound.met) for bound in bounds.of_stores(found)] == [(0.25, True), (0.4, False)]
    assert report.stores_table(found)[3:] == [
        "| odc-stac | 12.00 | 9.00 | 500 | 0.25 | 0.40 | 100.00 % of cells within 1 |",
        "| stackstac | - | - | - | - | - | absent: stackstac is not installed |",
    ]


def test_the_bounds_table_marks_what_is_not_met():
    lines = report.bounds_table(
        [Bound("good", 0.5, 1.0), Bound("bad", 2.0, 1.0, note="why"), Bound("gone", math.nan, 1)]
    )
    assert lines[2:] == [
        "| good | at most 1 x | 0.5 | yes |",
        "| bad (why) | at most 1 x | 2 | NO |",
        "| gone | at most 1 x | not measured | NO |",
    ]


def steady_row(factor: float, ours: float, band: str = "SR_B4") -> Steady:
    return Steady(band, factor, True, {"ours": [ours, ours], "floor": [1.0, 1.0], "decode": [0.5, 0.5]})


def test_steady_bounds_take_the_worst_factor():
    costs = {2: 1.2, 2.5: 2.0, 3: 1.3, 10: 1.0, 10.5: 1.0, 11: 1.0}
    rows = [steady_row(factor, cost) for factor, cost in costs.items()]
    found = {bound.name: bound for bound in bounds.of_steady(rows, rows)}
    means = found["mean, CPU / fused floor, any factor"]
    assert (means.measured, means.note) == (1.3, "worst: factor 3")  # area weights have a bound of their own
    assert found["area weights / blocks, CPU, mean"].measured == pytest.approx(2.0 / 1.25)


def test_without_a_compiler_the_floor_is_not_measured():
    rows = [Steady("SR_B4", factor, True, {"ours": [1.0], "decode": [1.0]}) for factor in (2, 2.5, 3, 10, 10.5, 11)]
    first = bounds.of_steady(rows, rows)[0]
    assert math.isnan(first.measured)
    assert not first.met


def test_absent_programs_leave_their_bounds_unmet():
    there = [Row(group, whole.OURS, [Cost(1, 1, 100)], "exact") for group in (whole.ONE, whole.SCENE)]
    gone = [
        Row(group, name, answer="absent: nothing here")
        for group in (whole.ONE, whole.SCENE, whole.NOTHING)
        for name in (whole.TRANSLATE, whole.PARALLEL, whole.HELP, *whole.SCENE_PEERS)
    ]
    verdicts = {bound.name: bound.met for bound in bounds.of_whole(there + gone)}
    assert not verdicts["scene, CPU / gdal_translate"]
    assert verdicts["one band, peak memory"]
    assert report.whole_table([there[0], gone[0]])[-1].endswith("| absent: nothing here |")


def test_bounds_of_grids_take_the_worst_of_each_size_and_say_which_peers_are_absent():
    nan = math.nan
    seconds = {
        ("large", "cells"): [1.2], ("large", "blocks"): [1.0], ("larger", "cells"): [2.6], ("larger", "blocks"): [2.0],
        ("small", "cells"): [9.0, 1.5, 1.5], ("small", "blocks"): [1.0],
        ("lone band", "cells"): [2.0], ("lone band", "blocks"): [1.0], (AVERAGE, "all"): [4.0],
    }  # fmt: skip
    peers = [Peer(AVERAGE, nan, 100, "differs"), Peer(SUMS, nan, 10, "absent: old"), Peer(EXACT, 10, 1, "differs")]
    found = Grids({"large": 15.4, "larger": 40, "small": 7.7}, seconds, 41.0, True, 100, peers)
    by_name = {bound.name: bound for bound in bounds.of_grids(found)}
    scene = "a scene on other grids / blocks of the same size, CPU, cells of"
    assert by_name[f"{scene} 15 pixels and more"].measured == pytest.approx(1.3)
    assert by_name[f"{scene} 8 pixels"].measured == 1.5
    beside = [bound for bound in by_name.values() if "geometry included / " in bound.name]
    assert [bound.measured for bound in beside] == pytest.approx([2, 0.5, nan, 0.002], nan_ok=True)
    assert [bound.note for bound in beside] == ["", "", "absent: old", ""]
    assert not by_name["geometry of modis:500m, once a scene"].met  # it was not measured
    assert "| GDAL sum / sum(1), tolerance 0 | - | 0.00 | - | - | absent: old |" in report.grids_lines(found)


def test_two_workers_are_compared_with_one():
    ways = [Way("one thread", 1, 9, 9, 9), Way("one worker", 1, 0.1, 10, 9.5), Way("two workers", 2, 0.1, 5.2, 9.8)]
    ways += [Way("one process, no dask", 1, 0, 9, 9), Way("two processes, no dask", 2, 0, 4.8, 9.6)]
    (bound,) = bounds.of_cluster(ways)
    assert bound.measured == pytest.approx(10 / 5.2)
    assert bound.note == "two processes without dask: 1.88"
    assert "| two workers | 5.20 | 9.80 | 6.1 % | 0.10 |" in report.cluster_table(ways)


def test_no_reader_is_faster_than_the_cores_that_serve_receive_and_decode():
    fetch, decode, ours = Taken(wall=0.3, cpu=0.2, busy=0.9), Taken(0.35, 0.66, 1.0), Taken(0.63, 0.9, 1.0)
    row = {"taken": {"fetch": [fetch], "decode": [decode], "ours": [ours]}}
    cores = os.cpu_count()
    assert network.ratio(row) == pytest.approx(0.63 / 0.35)
    assert network.beside_cores(row) == pytest.approx(0.63 / max(0.35, 0.3 * 0.9 + 0.66 / cores))


def test_a_program_that_cannot_be_started_is_no_crash():
    assert whole.run(["/nowhere/program"]) == (None, "cannot start /nowhere/program")


def test_answers_are_compared_cell_by_cell(tmp_path):
    right = np.array([[1, 2], [3, 4]], np.uint16)
    np.save(tmp_path / "same.npy", right)
    np.save(tmp_path / "other.npy", right + np.array([[0, 0], [0, 3]], np.uint16))
    assert whole.compare({"a": (tmp_path / "same.npy", right)}) == "exact"
    both = {"a": (tmp_path / "same.npy", right), "b": (tmp_path / "other.npy", right)}
    assert whole.compare(both) == "12.50 % of cells differ, by 3 at most"
    assert whole.compare({"a": (tmp_path / "same.npy", right[:1])}) == "other grid (2, 2)"


def test_sums_by_numpy_are_those_of_all_pixels(tmp_path):
    scene = ld.make_scene(tmp_path, size=(61, 57), bands=["SR_B4"])
    total, count = numpy_sums(scenes.band_of(scene, "SR_B4"), 100)
    (data,) = (ld.open_scene(scene)["SR_B4"].values,)
    assert (total.item(), count.item()) == (data[data != 0].sum(dtype=int), np.count_nonzero(data))
    assert exact_mean(np.array([5, 3, 0, 1]), np.array([2, 2, 0, 9])).tolist() == [2, 2, 0, 1]  # half to even; never 0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_suite_runs_on_a_small_scene(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(suite, "CACHE", tmp_path / "cache")
    monkeypatch.chdir(Path(suite.__file__).parents[1])  # peers run as `python -m benchmarks.peers`
    (tmp_path / "cache").mkdir()
    assert suite.main(["--repeats", "1", "--size", "600", "500", "--out", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert (tmp_path / "out" / "RESULTS.md").read_text() == text
    assert (tmp_path / "out" / "growth.png").stat().st_size > 10_000
    assert "| answers of ours that are exact | 100 % | 100 | yes |" in text
    assert "| factors whose cells are exact | 100 % | 100 | yes |" in text
    assert "failed" not in text


@pytest.mark.slow
def test_scenes_that_are_there_are_skipped_in_the_measurement_of_it(tmp_path):
    """That all are skipped is checked where it is measured."""
    there = skips.make(tmp_path, 30)
    assert len({Path(place).name for place in skips.places(10_000)}) == 10_000
    rows = {"disk": skips.measure([str(tmp_path / "in" / place) for place in there], str(tmp_path / "out"), 1)}
    assert [line.split(" | ")[1] for line in skips.table(30, rows)[2:]] == ["skipping", "the whole run"]
