"""Whose turn it is: order by scene, limits by host, nothing lost; against a plain model and through real threads."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from command import call
from hypothesis import given
from hypothesis import strategies as st
from loopback import Files, serving

import landsat_downsample as ld
from landsat_downsample.execution import work as work_module
from landsat_downsample.execution.host_queue import HostQueue
from landsat_downsample.execution.threads import Threads
from landsat_downsample.execution.work import BandWork
from landsat_downsample.model.options import Options
from landsat_downsample.model.plan import plan_scene
from landsat_downsample.model.policy import Policy
from landsat_downsample.pipeline.band import process
from landsat_downsample.storage.files import exists, read_bytes
from landsat_downsample.storage.host_gate import Gate
from landsat_downsample.storage.publication import Publication


def test_earlier_scenes_go_first_and_equals_in_turn():
    queue = HostQueue()
    for order, item in [(1, "b1"), (0, "a1"), (1, "b2"), (0, "a2")]:
        queue.push(order, None, item)
    assert [queue.pop() for _ in range(5)] == ["a1", "a2", "b1", "b2", None]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from([None, "x", "y"])), max_size=40),
    st.integers(1, 4),
    st.randoms(),
)
def test_against_a_plain_model(items, limit, chance):
    queue, waiting, working = HostQueue(Policy(per_host=limit)), [], []
    for sequence, (order, host) in enumerate(items):
        queue.push(order, host, (order, sequence, host))
        waiting.append((order, sequence, host))
    while waiting or working:
        assert len(queue) == len(waiting)
        allowed = [one for one in waiting if one[2] is None or sum(w[2] == one[2] for w in working) < limit]
        found = queue.pop()
        assert found == min(allowed, default=None, key=lambda one: one[:2])
        if found:
            waiting.remove(found)
            working.append(found)
        if working and (not found or chance.random() < 0.5):
            queue.ended(working.pop(chance.randrange(len(working)))[2])


def test_what_is_withdrawn_is_gone_and_the_rest_keeps_its_order():
    queue = HostQueue()
    for number in range(20):
        queue.push(number % 3, "xyz"[number % 2], number)
    assert sorted(queue.withdraw(lambda number: number % 4 == 0)) == [0, 4, 8, 12, 16]
    rest = [queue.pop() for _ in range(len(queue))]
    assert rest == sorted((n for n in range(20) if n % 4), key=lambda n: (n % 3, n))


def test_a_limit_of_none_at_all_is_refused():
    with pytest.raises(ld.UsageError, match="at least 1"):
        Policy(per_host=0)


@pytest.fixture(scope="module")
def targets(tmp_path_factory):
    folder = ld.make_scene(
        tmp_path_factory.mktemp("scene"), size=(47, 43), bands=["SR_B2", "SR_B3", "SR_B4", "QA_PIXEL"]
    )
    return plan_scene(ld.open_scene(folder), str(folder.parent), Options(factor=3)).targets


@pytest.mark.parametrize(
    ("href", "host"),
    [
        ("/data/B4.TIF", None),
        ("file:///data/B4.TIF", None),
        ("https://user:word@example.com/a/B4.TIF?sig=1", "https://example.com"),
        ("s3://bucket/a/B4.TIF", "s3://bucket"),
    ],
)
def test_the_host_of_a_target(href, host, targets, tmp_path):
    target = replace(targets[0], band=replace(targets[0].band, href=href))
    assert BandWork(target, Publication(str(tmp_path), "product")).host == host


class Counting(Files):
    """Serves files and counts how many requests wait for their answer; it does not know ranges.

    A request counts until its answer begins: from its end on, which this thread sees after the client has,
    the client may make the next one. The first two for whole files are answered once both are there.
    """

    busy, most, lock = 0, 0, threading.Lock()
    pair = threading.Barrier(2)

    def do_GET(self) -> None:
        self._count()
        super().do_GET()

    def do_HEAD(self) -> None:
        self._count()
        super().do_HEAD()

    def _count(self) -> None:
        with self.lock:
            Counting.busy += 1
            Counting.most = max(self.most, self.busy)
        if self.path.endswith(".TIF") and "Range" not in self.headers:
            with suppress(threading.BrokenBarrierError):
                self.pair.wait(60)
                self.pair.abort()  # later ones do not wait
        time.sleep(0.03)  # only to make it likelier that a fault is seen
        with self.lock:
            Counting.busy -= 1


@pytest.mark.parametrize(("cluster", "workers"), [("none", 6), ("local", 3)])
def test_a_run_asks_a_host_for_no_more_at_once(cluster, workers, targets, tmp_path):
    """Of one scene: while workers fetch, the client, which counts by itself, has no other to open."""
    scene = Path(targets[0].band.href).parent
    with serving(Counting, scene.parent) as address:
        Counting.busy, Counting.most, Counting.pair = 0, 0, threading.Barrier(2)
        href = f"{address}/{scene.name}/{scene.name}_MTL.json"
        words = ("--factor", 3, "--workers", workers, "--requests-per-host", 2)
        result = call("run", href, "--to", tmp_path / "out", *words, "--cluster", cluster, "-q")
    assert result.code == 0, result.err
    assert Counting.most == 2


def test_requests_of_every_kind_take_turns(targets, tmp_path, monkeypatch):
    """Through the store's own calls, many threads at a time, against a server that counts."""
    folder = Path(targets[0].band.href).parent
    names = sorted(path.name for path in folder.iterdir())
    with serving(Counting, folder) as address:
        Counting.busy, Counting.most, Counting.pair = 0, 0, threading.Barrier(2)
        policy = Policy(per_host=2)
        hrefs = [f"{address}/{name}" for name in names]
        with ThreadPoolExecutor(8) as pool:
            there = pool.map(lambda href: exists(href, policy=policy), hrefs * 3)
            sizes = pool.map(lambda href: len(read_bytes(href, policy=policy)), hrefs * 3)
            assert all(there)
            assert list(sizes) == [(folder / name).stat().st_size for name in names] * 3
    assert Counting.most == 2


def test_turns_at_a_gate_come_in_order():
    gate, order, inside, go = Gate(1), [], threading.Event(), threading.Event()

    def first() -> None:
        with gate.turn(60):
            inside.set()
            go.wait(60)

    def later(number: int) -> None:
        with gate.turn(60):
            order.append(number)

    threads = [threading.Thread(target=first), *(threading.Thread(target=later, args=(n,)) for n in range(5))]
    threads[0].start()
    inside.wait(60)
    for number, thread in enumerate(threads[1:], 1):
        thread.start()
        while len(gate._waiting) < number:
            time.sleep(0.001)
    with pytest.raises(TimeoutError), gate.turn(0):
        """It came too late, and leaves the queue as it was."""
    go.set()
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4]
    with gate.turn(0) as left:
        assert left > 0


def test_a_scene_that_is_given_up_leaves_the_others_alone(targets, tmp_path, monkeypatch):
    halted = threading.Event()
    monkeypatch.setattr(work_module, "process", lambda *what: halted.wait() and process(*what))
    threads = Threads(1)
    first, second = (Publication(str(tmp_path), name) for name in ("first", "second"))
    given_up = [threads.submit(BandWork(target, first)) for target in targets * 5]
    kept = [threads.submit(BandWork(target, second)) for target in targets]
    threads.halt(first.token)
    halted.set()
    for future in given_up:
        assert future.cancelled() or future.exception() or future.result()
    assert all(future.cancelled() for future in given_up[1:])  # the first may have begun
    assert {future.result().name for future in kept} == {target.band.name for target in targets}
    threads.close()
    first.abort()
    second.abort()
