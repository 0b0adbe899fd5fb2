"""A canary for a key: it may be nowhere but in the job file that its owner wrote and in the step's own HOME."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import threading
import time
import uuid
from pathlib import Path

import cwl_cases
import pytest
import s3
from cwl_cases import CWL, folder

#: In the credentials twice: as the key that opens the store, and as a comment that no other process has.
KEY, CANARY = s3.RW[1], uuid.uuid4().hex


class Watch(threading.Thread):
    """Samples the arguments and the environment of every process of a session while it runs."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: set[bytes] = set()
        self.samples = 0
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.02):
            for name in os.listdir("/proc"):
                if name.isdigit() and int(name) != os.getpid():
                    self.seen |= {_read(f"/proc/{name}/{what}") for what in ("cmdline", "environ")}
            self.samples += 1

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
    asked = job(seaweed, scene, tmp_path)
    with Watch() as watch:
        done = cwl_cases.command(CWL / "workflow.cwl", asked, tmp_path / "out", *MODES[mode], cwd=tmp_path, env=before)
    assert done.status == "success", done.log
    (tmp_path / "out.json").unlink()  # the job file
    (tmp_path / "cwltool.log").write_text(done.log)
    assert (tmp_path / "out" / "item_href.txt").is_file() and hits(tmp_path) == []
    assert watch.samples > 5 and any(b"stage-out" in seen for seen in watch.seen)
    assert not [seen for seen in watch.seen if CANARY.encode() in seen]


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


@pytest.mark.slow
@pytest.mark.parametrize("name", SIGNALS)
def test_an_interrupted_run(name, seaweed, proxied, scene, tmp_path):
    """Interrupted while stage_out sends: cwltool leaves the step's folder behind, which only its owner can open."""
    asked = job(proxied, scene, tmp_path)
    path = cwl_cases.write_job(asked, tmp_path / "job.json")
    proxied.methods = ("PUT",)
    proxied.plan(*["silence"] * 50)
    patient = environment(tmp_path) | {"LANDSAT_DOWNSAMPLE_TIMEOUT": "100", "LANDSAT_DOWNSAMPLE_BUDGET": "100"}
    words = cwl_cases.words(CWL / "workflow.cwl", path, tmp_path / "out", "--no-container", "--debug")
    with open(tmp_path / "cwltool.log", "wb") as log:
        runner = subprocess.Popen(words, stdout=log, stderr=log, cwd=tmp_path, env=patient, start_new_session=True)
        try:
            sends = _wait_for(lambda: any(seen.method == "PUT" for seen in proxied.seen), 200)
            assert sends and hits(tmp_path / "tmp"), (tmp_path / "cwltool.log").read_text()
            os.killpg(runner.pid, SIGNALS[name])
            runner.wait(60)
        finally:
            _end(runner)
    path.unlink()
    for found in hits(tmp_path):
        assert Path(found).name == "credentials" and (tmp_path / "tmp") in Path(found).parents
        private = Path(found).parents[1]
        assert stat.S_IMODE(private.stat().st_mode) == 0o700, "the runner's folder is open to others"


def _wait_for(found, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found():
            return True
        time.sleep(0.1)
    return False


def _end(process: subprocess.Popen) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()
