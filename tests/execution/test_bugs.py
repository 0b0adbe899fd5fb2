"""A bug of ours is told as one, with its traceback, once; it fails its scene, and nobody else's data is blamed."""

from __future__ import annotations

import json
import pickle
import threading
import traceback
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

import fsspec
import pytest
from command import call
from fsspec.implementations.memory import MemoryFileSystem

import landsat_downsample as ld
from landsat_downsample.errors import InternalError, ReadError
from landsat_downsample.execution.dask_executor import DaskExecutor, Limits
from landsat_downsample.execution.run import run_plans
from landsat_downsample.model.options import Options
from landsat_downsample.model.plan import plan_scene
from landsat_downsample.model.policy import Policy
from landsat_downsample.storage.bugs import BugWarning, Traces, is_bug, wrapped
from landsat_downsample.storage.files import read_bytes

BUG = "this is a bug in landsat-downsample, please report it"
SECRET = "https://me:pass@host/B4.TIF?sig=abcdef"


#: What the client of a store raises, by the first name of what is read.
RAISED = {
    "type": lambda: TypeError("'NoneType' object is not iterable"),
    "race": lambda: RuntimeError(f"dictionary changed size during iteration of {SECRET}"),
    "key": lambda: KeyError("ContentLength"),
    "value": lambda: ValueError("Invalid endpoint"),
}


class Faulty(MemoryFileSystem):
    """A store whose client has a bug, or refuses."""

    protocol = "faulty"

    def info(self, path: str, **_):
        raise RAISED[path.partition("://")[2].partition("/")[0]]()


@pytest.fixture(autouse=True)
def faulty(monkeypatch):
    fsspec.register_implementation("faulty", Faulty, clobber=True)
    monkeypatch.setenv("LANDSAT_DOWNSAMPLE_BUDGET", "1")


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Path:
    return ld.make_scene(tmp_path_factory.mktemp("scenes"), size=(47, 43), bands=["SR_B4"])


@pytest.mark.parametrize("name", ["type", "race", "key"])
def test_a_bug_met_while_reading_is_not_the_sources_fault(name):
    with pytest.raises(ld.InternalError, match=BUG) as caught:
        read_bytes(f"faulty://{name}/B4.TIF", policy=Policy(budget=1))
    error = caught.value
    assert str(error).startswith(f"cannot read 'faulty://{name}/B4.TIF': {BUG}: {type(RAISED[name]()).__name__}")
    shown = "".join(traceback.format_exception(error))
    assert "in info" in error.trace and "in info" in shown
    assert "pass@" not in shown and "abcdef" not in shown + str(error)


def test_what_a_client_library_refuses_is_no_bug_of_ours_and_its_cause_can_be_seen():
    with pytest.raises(ReadError, match="ValueError") as caught:
        read_bytes("faulty://value/B4.TIF", policy=Policy(budget=1))
    assert not isinstance(caught.value, InternalError)
    assert "Invalid endpoint" in "".join(traceback.format_exception(caught.value))


def test_it_survives_pickling_with_its_traceback():
    try:
        {}["absent"]
    except KeyError as error:
        found = wrapped(error, "band B4 failed")
    again = pickle.loads(pickle.dumps(found))
    assert (type(again), str(again), again.trace) == (InternalError, str(found), found.trace)
    assert '{}["absent"]' in "".join(traceback.format_exception(again))


def _library_error() -> Exception:
    import botocore.exceptions

    return botocore.exceptions.InvalidRegionError(region_name="?")  # a ValueError too


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (TypeError, True),
        (RecursionError, True),
        (IndexError, True),
        (ValueError, False),  # raised by nobody
        (FileNotFoundError, False),
        (MemoryError, False),
        (EOFError, False),
        (lambda: json.JSONDecodeError("no", "", 0), False),
        (_library_error, False),
        (lambda: ReadError("no"), False),
    ],
)
def test_kinds_of_errors(make, expected):
    assert is_bug(make()) is expected


def test_a_value_error_is_a_bug_where_our_own_code_raised_it():
    with pytest.raises(ValueError) as caught:
        ld.Grid("no shape", None, None)
    assert is_bug(caught.value)


class Raising:
    """An executor whose targets meet an error; or a request that meets it while it is opened."""

    width = 2
    label, source = "raising", {"source": "raising"}

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def submit(self, work) -> Future:
        future = Future()
        future.set_exception(self.error)
        return future

    def halt(self, group) -> None:
        """Nothing is at work."""

    def close(self, *, now: bool = False) -> None:
        """Nothing is at work."""

    def plan(self):
        raise self.error


def test_a_bug_while_a_scene_is_opened_fails_that_scene_only(scene, tmp_path):
    good = plan_scene(ld.open_scene(scene), str(tmp_path), Options(factor=3))
    bug, full = Raising(AttributeError("no such thing")), Raising(OSError(28, "Disk full"))
    first, second, third = run_plans([bug, good, full])
    assert second.status == "done"
    assert (first.status, first.to_dict()["cause"]) == ("failed", "InternalError")
    assert BUG in first.to_dict()["error"] and "in plan" in first.error.trace
    assert (type(third.error), str(third.error)) == (ReadError, "cannot open 'raising': disk full")


@pytest.mark.parametrize("error", [TypeError("of an executor"), AssertionError()])
def test_a_bug_of_an_executor_is_reported_as_one(error, scene, tmp_path):
    plan = plan_scene(ld.open_scene(scene), str(tmp_path), Options(factor=3))
    (outcome,) = run_plans([plan], executor=Raising(error))
    assert (outcome.status, type(outcome.error)) == ("failed", InternalError)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [(), ("--log-format", "json")])
def test_its_traceback_is_shown_once_in_a_run_and_its_cause_is_on_record(words, scene, tmp_path):
    listed = tmp_path / "list.txt"
    listed.write_text(f"faulty://type/a_MTL.json\n{scene}\nfaulty://type/b_MTL.json\n")
    result = call("run", f"@{listed}", "--to", tmp_path / "out", "--factor", 3, *words)
    assert result.code == 3, result.err
    assert result.err.count("Traceback") == 1
    assert result.err.count("TypeError: 'NoneType'") >= 3  # once below its traceback, once for each scene
    (record,) = (tmp_path / "out" / "_runs").glob("*/outcomes.ndjson")
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    assert sorted(str(line["cause"]) for line in lines) == ["InternalError", "InternalError", "None"]
    if words:
        events = [json.loads(line) for line in result.lines]
        assert [event["event"] for event in events].count("traceback") == 1


def test_other_verbs_show_its_traceback_too():
    result = call("info", "faulty://race/a_MTL.json")
    assert result.code == 1
    assert result.err.count("Traceback") == 1
    assert result.lines[-1].startswith("landsat-downsample: cannot") and BUG in result.lines[-1]
    assert "abcdef" not in result.err


def test_all_tracebacks_are_shown_where_they_are_asked_for():
    bugs = [InternalError("one", "trace 1\n"), InternalError("two", "trace 2\n"), ReadError("three")]
    quiet, verbose = Traces(verbose=False), Traces(verbose=True)
    assert [quiet.of(error) for error in bugs] == ["trace 1\n", "", ""]
    expected = ["trace 1", "trace 2", "landsat_downsample.errors.ReadError: three"]
    assert [verbose.of(error).strip() for error in bugs] == expected


def test_a_bug_of_the_watchdog_of_a_cluster_fails_what_is_in_hand_and_is_reported(scene, tmp_path):
    """Whatever the executor's own thread meets: nobody waits, and nobody else is blamed."""
    plan = plan_scene(ld.open_scene(scene), str(tmp_path), Options(factor=3))
    executor = DaskExecutor(Client(AttributeError("no such method")), limits=Limits(poll=0.01))
    (outcome,) = run_plans([plan], executor=executor)
    assert type(outcome.error) is InternalError and "in submit" in outcome.error.trace


def test_what_cannot_be_asked_of_a_cluster_is_reported(scene, tmp_path):
    """Of a bug with its traceback; that a scheduler does not answer is seen to by the retries of the executor."""
    client = Client(None, look=TypeError("a changed signature"))
    with pytest.warns(BugWarning, match="(?s)cannot ask the cluster: .*TypeError: a changed signature.*in sync"):
        executor = DaskExecutor(client, limits=Limits(poll=0.01, lost=0.2))
        assert client.looked.wait(120)
        executor.close()


class Client:
    """What the executor asks of dask's client; it raises what it is told to."""

    status, direct_to_workers, scheduler = "running", True, SimpleNamespace(ncores=None)

    def __init__(self, sent: Exception | None, look: Exception | None = None) -> None:
        self.sent, self.look, self.asked, self.looked = sent, look, 0, threading.Event()

    def sync(self, *_, **__) -> dict:
        self.asked += 1
        if self.look is not None and self.asked > 1:
            self.looked.set()
            raise self.look
        return {"worker": 1}

    def submit(self, *_, **__):
        raise self.sent

    def subscribe_topic(self, *_) -> None:
        """Nothing is told."""

    unsubscribe_topic = subscribe_topic
