"""What a batch costs for a scene does not grow with the scenes before it: counted, not timed."""

from __future__ import annotations

import gc
import pickle
import threading
from collections import Counter
from dataclasses import replace

import landsat_downsample as ld
from landsat_downsample.batch.entry import Entry, gathered
from landsat_downsample.batch.requests import Order, SceneRequest
from landsat_downsample.errors import UsageError, WriteError
from landsat_downsample.execution import outcomes as outcomes_module
from landsat_downsample.execution.outcomes import Outcome, Outcomes
from landsat_downsample.execution.run import PUBLISHING, SCENES_AT_ONCE, Progress, run_plans
from landsat_downsample.model.options import Options
from landsat_downsample.model.plan import plan_scene
from landsat_downsample.products import publish as publish_module


class Counted(dict):
    """A STAC item that counts how often it is looked at."""

    looks = 0

    def get(self, *words):
        Counted.looks += 1
        return super().get(*words)


def entries(count: int) -> list[Entry]:
    product = "LC08_L2SP_008059_20191201_20200825_02_T1"
    return [
        Entry(Counted(id=f"{product}_{number}", properties={"landsat:product_id": product}), "https://host/")
        for number in range(count)
    ]


def test_items_of_one_scene_are_joined_without_a_walk_over_those_before():
    looks = []
    for count in (100, 1000):
        Counted.looks, given = 0, entries(count)
        (found,) = gathered([*given, *given])
        assert [item["id"] for item in found.items] == [entry.items[0]["id"] for entry in given]
        looks.append(Counted.looks)
    assert looks[1] <= 10 * looks[0]


def test_an_entry_given_twice_stays_itself():
    one, other = entries(2)
    assert gathered([one, one])[0] is one
    assert gathered([Entry("a"), Entry("a"), Entry("b")]) == [Entry("a"), Entry("b")]
    twice = Entry([one.items[0], one.items[0]], one.base)
    assert gathered([twice, other])[0].items == [one.items[0], other.items[0]]


def test_scenes_do_not_pile_up_before_a_slow_destination(tmp_path, monkeypatch):
    scene = ld.open_scene(ld.make_scene(tmp_path, size=(47, 43), bands=["SR_B4"]))
    plan = plan_scene(scene, str(tmp_path), Options(factor=3))
    plans = [replace(plan, dest=str(tmp_path / f"{number}")) for number in range(40)]
    publish, go, begun, ended = publish_module.publish, threading.Event(), [], []

    def slow(*words):
        go.wait(3)  # until all have begun, which must not be
        return publish(*words)

    def report(step: Progress) -> None:
        begun.extend([step] if step.begun else [])
        ended.extend([step] if step.outcome else [])
        in_hand.append(len(begun) - len(ended))
        if len(begun) == len(plans):
            go.set()

    in_hand: list[int] = []
    monkeypatch.setattr(publish_module, "publish", slow)
    threading.Timer(1, go.set).start()
    outcomes = run_plans(plans, workers=2, report=report)
    assert [outcome.status for outcome in outcomes] == ["done"] * 40
    # Those that wait to be published, those at work, and two bands for each of the threads.
    assert max(in_hand) <= 2 * PUBLISHING + SCENES_AT_ONCE + 2 * 2


def test_of_many_outcomes_few_are_in_memory_and_all_are_told_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(outcomes_module, "KEPT", 5)
    scene = ld.open_scene(ld.make_scene(tmp_path, size=(47, 43), bands=["SR_B4"]))
    plan = plan_scene(scene, str(tmp_path / "out"), Options(factor=3))
    run_plans([plan])
    wrong = SceneRequest(Entry("LC08", error=UsageError("no scene")), Order(plan.options, plan.dest))
    seen = []

    def report(step: Progress) -> None:
        if step.outcome:
            seen.append(step.outcome.status)

    found = run_plans([*[plan] * 7, wrong, *[plan] * 40], report=report)
    gc.collect()
    assert sum(isinstance(one, Outcome) for one in gc.get_objects()) <= 5 + 1
    assert Counter(seen) == Counter(one.status for one in found) == {"skipped": 47, "failed": 1}
    assert found[7].status == "failed" and found[7].reason == "LC08: no scene" and len(found[40:]) == 8
    assert [one.scene_id for one in found[6:9]] == [plan.id, "LC08", plan.id]
    assert len(pickle.loads(pickle.dumps(found))) == 48


def test_outcomes_that_cannot_go_to_the_disk_stay_in_memory():
    class Local(WriteError):
        """No pickle can be made of it."""

    given = [Outcome(f"{number}", "failed", error=Local("full")) for number in range(4)]
    found = Outcomes(kept=1)
    for number in (2, 0, 3, 1):
        found.add(number, given[number])
    assert list(found) == given and found[-1] is given[-1] and found != given[:3]
    assert repr(found).startswith("4 scenes: 4 failed")


def test_hrefs_of_scenes_are_kept_once():
    href = "s3://bucket/collection02/LC08_L2SP_008059_20191201_20200825_02_T1"
    assert Entry(href).label is href
