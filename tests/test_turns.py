"""Whose turn it is: order by scene, limits by host, nothing lost; against a plain model and through real threads."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from command import call
from hypothesis import given
from hypothesis import strategies as st

import landsat_downsample as ld
from landsat_downsample._plan import Options, plan_scene
from landsat_downsample._store import Publication
from landsat_downsample._threads import Threads
from landsat_downsample._turns import Turns, host_of


def test_earlier_scenes_go_first_and_equals_in_turn():
    turns = Turns()
    for order, item in [(1, "b1"), (0, "a1"), (1, "b2"), (0, "a2")]:
        turns.push(order, None, item)
    assert [turns.pop() for _ in range(5)] == ["a1", "a2", "b1", "b2", None]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from([None, "x", "y"])), max_size=40),
    st.integers(1, 4),
    st.randoms(),
)
def test_against_a_plain_model(items, limit, chance):
    turns, waiting, working = Turns(limit), [], []
    for sequence, (order, host) in enumerate(items):
        turns.push(order, host, (order, sequence, host))
        waiting.append((order, sequence, host))
    while waiting or working:
        assert len(turns) == len(waiting)
        allowed = [one for one in waiting if one[2] is None or sum(w[2] == one[2] for w in working) < limit]
        found = turns.pop()
        assert found == min(allowed, default=None, key=lambda one: one[:2])
        if found:
            waiting.remove(found)
            working.append(found)
        if working and (not found or chance.random() < 0.5):
            turns.ended(working.pop(chance.randrange(len(working)))[2])


def test_what_is_withdrawn_is_gone_and_the_rest_keeps_its_order():
    turns = Turns()
    for number in range(20):
        turns.push(number % 3, "xyz"[number % 2], number)
    assert sorted(turns.withdraw(lambda number: number % 4 == 0)) == [0, 4, 8, 12, 16]
    rest = [turns.pop() for _ in range(len(turns))]
    assert rest == sorted((n for n in range(20) if n % 4), key=lambda n: (n % 3, n))


def test_a_limit_of_none_at_all_is_refused():
    with pytest.raises(ld.UsageError, match="at least 1"):
        Turns(0)


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
def test_the_host_of_a_target(href, host, targets):
    target = replace(targets[0], band=replace(targets[0].band, href=href))
    assert host_of(target) == host


class Counting(SimpleHTTPRequestHandler):
    """Serves files slowly, and counts how many requests it is at; it does not know ranges.

    A request ends before the last byte of its answer is sent: its client may be quicker than this server.
    """

    busy, most, lock = 0, 0, threading.Lock()

    def do_GET(self) -> None:
        with self.lock:
            Counting.busy += 1
            Counting.most = max(self.most, self.busy)
        time.sleep(0.03)  # to be seen beside others
        super().do_GET()

    def end_headers(self) -> None:
        with self.lock:
            Counting.busy -= 1
        super().end_headers()

    def log_message(self, *_) -> None:
        """Keep quiet."""


@pytest.mark.parametrize(("cluster", "most"), [("none", 2), ("local", 4)])
def test_a_run_asks_a_host_for_no_more_at_once(cluster, most, targets, tmp_path):
    """With workers, two more by the client: it opens the next scenes while they fetch."""
    scene = Path(targets[0].band.href).parent
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Counting, directory=str(scene.parent))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        Counting.most = 0
        href = f"http://127.0.0.1:{server.server_port}/{scene.name}/{scene.name}_MTL.json"
        words = ("--factor", 3, "--workers", 6 if cluster == "none" else 2, "--requests-per-host", 2)
        result = call("run", href, "--to", tmp_path / "out", *words, "--cluster", cluster, "-q")
        server.shutdown()
    assert result.code == 0, result.err
    assert 1 <= Counting.most <= most


def test_a_scene_that_is_given_up_leaves_the_others_alone(targets, tmp_path):
    threads = Threads(1)
    first, second = (Publication(str(tmp_path), name) for name in ("first", "second"))
    given_up = [threads.submit(target, first) for target in targets * 5]
    kept = [threads.submit(target, second) for target in targets]
    threads.halt(first)
    for future in given_up:
        assert future.cancelled() or future.exception() or future.result()
    assert any(future.cancelled() for future in given_up)
    assert {future.result().name for future in kept} == {target.band.name for target in targets}
    threads.close()
    first.abort()
    second.abort()
