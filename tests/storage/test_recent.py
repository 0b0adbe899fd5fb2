"""Caches that threads share: nothing raised, nothing lost, a bound that holds, and no step that walks all of it."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

from landsat_downsample.execution import dask_worker
from landsat_downsample.model.location import Location
from landsat_downsample.storage import header_cache
from landsat_downsample.storage.header_cache import OVERHEAD, Header
from landsat_downsample.storage.locks import process_lock
from landsat_downsample.storage.publication_folder import _hold, _release
from landsat_downsample.storage.recent import Recent


class Cycle:
    """Garbage with a finalizer, as HTTP clients make it: the collector runs it in the midst of anything."""

    def __init__(self) -> None:
        self.me = self

    def __del__(self) -> None:
        sum(range(300))


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads take turns a thousand times more often than they do by default."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    yield
    sys.setswitchinterval(before)


def hammer(work: Callable[[int, int], object], *, threads: int = 8, times: int = 300) -> list[BaseException]:
    """Call ``work(thread, turn)`` from many threads; what it raised."""
    raised = []

    def repeat(number: int) -> None:
        for turn in range(times):
            Cycle()
            try:
                work(number, turn)
            except Exception as error:
                raised.append(error)

    started = [threading.Thread(target=repeat, args=(number,)) for number in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    return raised


def header(size: int = 2000) -> SimpleNamespace:
    return SimpleNamespace(parts=[(0, b"x" * size)], size=size)


def test_threads_share_the_headers_of_remote_files(restless, monkeypatch):
    monkeypatch.setattr(header_cache, "_headers", Recent(50 * (2000 + OVERHEAD), header_cache._headers._weigh))

    def work(thread: int, time: int) -> None:
        href, mine = Location(f"s3://bucket/{thread}/{time}"), header()
        header_cache.keep(href, "tag", mine)
        assert header_cache.find(href, "tag", 2000) in (mine, None)  # None: others have filled it meanwhile
        if time % 3 == 0:
            header_cache.forget(href, "tag")

    assert hammer(work) == []
    kept = header_cache._headers
    assert kept.total == len(kept) * (2000 + OVERHEAD) <= 50 * (2000 + OVERHEAD)


def test_threads_share_the_flags_of_a_worker(restless, monkeypatch):
    monkeypatch.setattr(dask_worker, "_flags", Recent(64))
    assert hammer(lambda thread, time: dask_worker.stop_on_worker(f"{time % 100}")) == []
    assert len(dask_worker._flags) == 64


def test_threads_share_the_locks_of_folders(restless, tmp_path):
    def work(thread: int, time: int) -> None:
        folder = str(tmp_path / f"{thread}-{time % 7}")
        _hold(folder)
        if time % 3 == 0:
            os.rmdir(folder)  # as a commit does that is made elsewhere
        elif time % 3 == 1:
            _release(folder)

    assert hammer(work, times=60) == []
    for folder in tmp_path.iterdir():
        _release(str(folder))


def test_what_was_used_last_is_kept():
    recent = Recent(3)
    for key in "abc":
        recent.put(key, key.upper())
    assert (recent.get("a"), recent.setdefault("b", "new")) == ("A", "B")
    recent.put("d", "D")
    assert [recent.get(key) for key in "abcd"] == ["A", "B", None, "D"]
    recent.drop("a")
    recent.drop("absent")
    assert (len(recent), recent.total) == (2, 2)


def test_the_weight_is_that_of_what_is_kept():
    recent = Recent(10, len)
    for key, size in [("a", 4), ("b", 4), ("a", 5), ("c", 3), ("huge", 11), ("d", 10)]:
        recent.put(key, "x" * size)
        assert recent.total == sum(size for _, size in recent._values.values()) <= 10
    assert [key for key in ("a", "b", "c", "huge", "d") if recent.get(key)] == ["d"]


def test_no_step_walks_all_that_is_kept():
    """Counted: values are weighed once each, however many there are."""
    weighed = []
    recent = Recent(10_000, lambda value: weighed.append(value) or 1)
    for number in range(30_000):
        recent.put(number, number)
        recent.get(number - 5)
    assert len(weighed) == 30_000
    assert len(recent) == 10_000


def test_the_cost_of_a_header_is_claimed_once(restless):
    layout = SimpleNamespace(parts=((0, 10),))
    costs = []
    for _ in range(200):
        one = Header([(0, b"x" * 20)], layout, 20, 2, 20)
        hammer(lambda thread, time, one=one: costs.append(one.claim()), threads=2, times=1)
    assert sum(cost == (2, 20) for cost in costs) == 200
    assert set(costs) <= {(2, 20), (0, 0)}


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # of threads beside it: they are what is tested
def test_a_child_finds_locks_free_that_other_threads_held():
    lock, held, forking = process_lock(), threading.Event(), threading.Event()
    os.register_at_fork(before=forking.set)  # registered last, it comes first

    def work() -> None:
        with lock:
            held.set()
            forking.wait()
            time.sleep(0.2)  # without the lock's own care the fork would come now; with it, it waits

    thread = threading.Thread(target=work)
    thread.start()
    held.wait()
    child = os.fork()
    if child == 0:
        os._exit(0 if lock.acquire(blocking=False) else 1)
    thread.join()
    assert os.waitpid(child, 0)[1] == 0
