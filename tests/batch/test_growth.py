"""What a batch costs for a scene does not grow with the scenes before it: counted, not timed."""

from __future__ import annotations

import threading
from dataclasses import replace

import landsat_downsample as ld
from landsat_downsample.batch.entry import Entry, gathered
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
