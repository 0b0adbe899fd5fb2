"""A canary for a key: once a step works it may be nowhere but in the job file that its owner wrote."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import uuid
from collections.abc import Callable
from pathlib import Path

import cwl_cases
import psutil
import pytest
import s3
from command import wait_until
from cwl_cases import CWL, folder
from fault_proxy import FaultProxy

#: In the credentials twice: as the key that opens the store, and as a comment that no other process has.
KEY, CANARY = s3.RW[1], uuid.uuid4().hex


class Watch(threading.Thread):
    """Samples the arguments and the environment of every process of a session while it runs.

    Those that this process starts meanwhile are told apart: the store's own key is in the environment of others, which
    run beside the session.
    """

    def __init__(self, step: bytes = b"", let_go: Callable[[], object] = lambda: None) -> None:
        """With a step that is kept at work until it was seen, and what lets it go."""
        super().__init__(daemon=True)
        self._step, self._let_go = step, let_go
        self.seen: set[bytes] = set()
        self.ours: set[bytes] = set()
        self._over = threading.Event()
        self._before = {child.pid for child in psutil.Process().children(recursive=True)}

    def run(self) -> None:
        while not self._over.wait(0.02):
            ours = {child.pid for child in psutil.Process().children(recursive=True)} - self._before
            for pid in set(psutil.pids()) - {os.getpid()}:
                reported = {_read(f"/proc/{pid}/{what}") for what in ("cmdline", "environ")}
                self.seen |= reported
                self.ours |= reported if pid in ours else set()
            if any(self._step in seen for seen in self.ours):
                self._let_go()

    def leaks(self) -> list[bytes]:
        """List what showed the canary anywhere, or the key in a process of ours."""
        return [seen for seen in self.seen if CANARY.encode() in seen] + [
            seen for seen in self.ours if KEY.encode() in seen
        ]

    def __enter__(self) -> Watch:
        self.start()
        return self

    def __exit__(self, *error) -> None:
        self._over.set()
        self.join()


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:  # it ended, or is not ours
        return b""


def hits(*places: Path) -> list[str]:
    """List the files that hold the canary."""
    found = []
    for place in places:
        for path in [place] if place.is_file() else place.rglob("*"):
            if path.is_file() and any(word.encode() in path.read_bytes() for word in (KEY, CANARY)):
                found.append(str(path))
    return found


def job(server, scene: Path, tmp_path: Path, **more) -> dict:
    to = f"s3://{s3.BUCKET}/{tmp_path.name}"
    return {
        "href": folder(scene),
        "to": to,
        "factor": 10,
        "aws_credentials": f"{cwl_cases.credentials(server)}# {CANARY}\n",
    } | more


def environment(tmp_path: Path) -> dict:
    """Everything that a runner writes goes below this folder."""
    (tmp_path / "tmp").mkdir(exist_ok=True)
    return os.environ | {"TMPDIR": str(tmp_path / "tmp"), "HOME": str(tmp_path)}


MODES = {
    "plain": ("--no-container",),
    "debug": ("--no-container", "--debug"),
    "cache": ("--no-container", "--cachedir", "cache"),
    "provenance": ("--no-container", "--provenance", "research-object"),
    "parallel": ("--no-container", "--parallel", "--debug"),
}


@pytest.mark.parametrize(
    "mode", [pytest.param(mode, marks=pytest.mark.slow if mode != "debug" else ()) for mode in MODES]
)
def test_no_mode_shows_the_key(mode, seaweed, scene, tmp_path):
    before = environment(tmp_path)
    with FaultProxy(seaweed.endpoint) as proxy, Watch(b"stage-out", proxy.let_go) as watch:
        proxy.hold(".TIF")
        asked = job(proxy, scene, tmp_path)
        done = cwl_cases.command(CWL / "workflow.cwl", asked, tmp_path / "out", *MODES[mode], cwd=tmp_path, env=before)
    assert done.status == "success", done.log
    (tmp_path / "out.json").unlink()  # the job file
    (tmp_path / "cwltool.log").write_text(done.log)
    assert (tmp_path / "out" / "item_href.txt").is_file() and hits(tmp_path) == []
    assert any(b"stage-out" in seen for seen in watch.ours)
    assert watch.leaks() == []


@pytest.mark.slow
def test_a_failing_step_shows_nothing_either(seaweed, tmp_path, scene):
    asked = job(seaweed, scene, tmp_path, href=f"s3://{s3.BUCKET}/absent/scene.tar")
    for number, name in enumerate(("workflow", "scatter")):
        asked["href"] = [asked["href"]] if name == "scatter" else asked["href"]
        out = tmp_path / f"out{number}"
        done = cwl_cases.command(
            CWL / f"{name}.cwl", asked, out, "--no-container", "--debug", cwd=tmp_path, env=environment(tmp_path)
        )
        assert done.status == "permanentFail" and "absent" in "".join(
            path.read_text() for path in out.glob("*.log.txt")
        )
        (tmp_path / f"out{number}.json").unlink()
        (tmp_path / "cwltool.log").write_text(done.log)
        assert hits(tmp_path) == []


SIGNALS = {"INT": signal.SIGINT, "TERM": signal.SIGTERM, "KILL": signal.SIGKILL}
#: How each staging step is held in its work: the end of the objects whose requests are kept.
HELD = {"stage_in": ".tar", "stage_out": ".TIF"}


@pytest.mark.slow
@pytest.mark.parametrize("step", HELD)
@pytest.mark.parametrize("name", SIGNALS)
@pytest.mark.usefixtures("ctrl_c")
def test_an_interrupted_run(name, step, proxied, scene, tmp_path):
    """Interrupted while a step talks to the store: cwltool leaves the step's folder behind, but no key in it."""
    more = {"href": f"s3://{s3.BUCKET}/{tmp_path.name}/scene.tar"} if step == "stage_in" else {}
    path = cwl_cases.write_job(job(proxied, scene, tmp_path, **more), tmp_path / "job.json")
    proxied.hold(HELD[step])
    words = cwl_cases.words(CWL / "workflow.cwl", path, tmp_path / "out", "--no-container", "--debug")
    with open(tmp_path / "cwltool.log", "wb") as log:
        runner = subprocess.Popen(
            words, stdout=log, stderr=log, cwd=tmp_path, env=environment(tmp_path), start_new_session=True
        )
        try:
            wait_until(lambda: proxied.holding, runner)
            path.unlink()
            assert (tmp_path / "tmp").is_dir() and hits(tmp_path) == []
            os.killpg(runner.pid, SIGNALS[name])
            proxied.let_go()  # what was asked of a store is waited for
            assert runner.wait() != 0
        finally:
            _end(runner)
    assert any((tmp_path / "tmp").rglob(f"{step}.log.txt")) or name != "KILL"
    assert hits(tmp_path) == []


@pytest.mark.slow
def test_the_file_is_gone_before_a_step_fails(seaweed, scene, tmp_path):
    """With --leave-tmpdir all that a step had is left."""
    asked = {
        "href": f"s3://{s3.BUCKET}/absent/scene.tar",
        "aws_credentials": job(seaweed, scene, tmp_path)["aws_credentials"],
    }
    options = ("--no-container", "--debug", "--leave-tmpdir", "--leave-outputs")
    done = cwl_cases.command(
        CWL / "stage_in.cwl", asked, tmp_path / "out", *options, cwd=tmp_path, env=environment(tmp_path)
    )
    assert done.status == "permanentFail" and "absent" in done.text("stage_in_log")
    (tmp_path / "out.json").unlink()
    (tmp_path / "cwltool.log").write_text(done.log)
    assert hits(tmp_path) == []


def _end(process: subprocess.Popen) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()
