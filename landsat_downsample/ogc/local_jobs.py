"""Packages run on this machine by cwltool, as a platform does it: stage in, run, publish what came out."""

from __future__ import annotations

import glob
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from landsat_downsample.errors import LandsatDownsampleError
from landsat_downsample.model import environment
from landsat_downsample.model.product import MARKER
from landsat_downsample.ogc.local_processes import Process
from landsat_downsample.storage.bugs import is_bug, warn

#: Seconds that cwltool gets to end its steps.
_GRACE = 10.0

#: Not ``-m cwltool``: that ends with 0 whatever happened.
_CWLTOOL = (sys.executable, "-c", "import sys; from cwltool.main import run; sys.exit(run())")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


@dataclass(slots=True)
class LocalJob:
    """A package at work."""

    id: str
    process: Process
    inputs: dict[str, Any]
    folder: str
    state: str = "accepted"
    message: str = ""
    created: str = field(default_factory=_now)
    started: str | None = None
    finished: str | None = None
    results: dict[str, Any] | None = None
    child: subprocess.Popen[str] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def status(self) -> dict[str, Any]:
        """What ``GET /jobs/{id}`` answers."""
        record = {
            "processID": self.process.id,
            "type": "process",
            "jobID": self.id,
            "status": self.state,
            "message": self.message,
            "created": self.created,
            "started": self.started,
            "finished": self.finished,
        }
        return {key: value for key, value in record.items() if value}

    def run(self, base: str) -> None:
        """Stage in, run, and make links below `base` of what came out."""
        with self.lock:
            if self.state != "accepted":
                return
            self.state, self.started = "running", _now()
        try:
            order = self._staged()
            outputs = self._execute(order)
            self.results = {name: _linked(value, self.folder, base) for name, value in outputs.items()}
            self._end("successful", "")
        except LandsatDownsampleError as error:
            self._end("failed", str(error))
        except Exception as error:
            if is_bug(error):
                warn(error, f"job {self.id} failed")
            self._end("failed", f"{type(error).__name__}: {error}")

    def dismiss(self) -> None:
        """Stop it, and what it started."""
        self._end("dismissed", "")
        if self.child is not None and self.child.poll() is None:
            _signal(self.child, signal.SIGTERM)
            try:
                self.child.wait(_GRACE)
            except subprocess.TimeoutExpired:
                _signal(self.child, signal.SIGKILL)

    def _end(self, state: str, message: str) -> None:
        with self.lock:
            if self.finished is None:
                self.state, self.message, self.finished = state, message, _now()

    def _staged(self) -> dict[str, Any]:
        """The job order: links to folders become folders of this disk."""
        kinds = self.process.kinds()
        order = {}
        for name, value in self.inputs.items():
            links = value if isinstance(value, list) else [value]
            if str(kinds.get(name)).startswith("Directory"):
                staged = [self._folder(link, f"{name}-{number}") for number, link in enumerate(links)]
                order[name] = staged if isinstance(value, list) else staged[0]
            elif str(kinds.get(name)).startswith("File"):
                files = [{"class": "File", "location": _href(link)} for link in links]
                order[name] = files if isinstance(value, list) else files[0]
            else:
                order[name] = value
        return order

    def _folder(self, link: object, name: str) -> dict[str, Any]:
        from landsat_downsample.products.staging.stage_in import stage_in

        catalogue = stage_in(_href(link), os.path.join(self.folder, "in", name))
        return {"class": "Directory", "path": os.path.dirname(catalogue)}

    def _execute(self, order: dict[str, Any]) -> dict[str, Any]:
        package, order_path = (os.path.join(self.folder, name) for name in ("package.cwl", "order.json"))
        with open(package, "wb") as file:
            file.write(self.process.cwl)
        with open(order_path, "w", encoding="utf-8") as file:
            json.dump(order, file)
        out = os.path.join(self.folder, "out")
        words = [*_CWLTOOL, "--no-container", "--outdir", out, "--log-dir", self._logs()]
        words += [f"{package}#{self.process.id}" if b"$graph" in self.process.cwl else package, order_path]
        beside = os.path.dirname(sys.executable)  # where the package's commands are when this is a virtualenv
        environ = os.environ | {"PATH": f"{beside}{os.pathsep}{environment.read('PATH') or ''}"}
        with self.lock:
            if self.finished:  # dismissed while its inputs were brought
                return {}
            self.child = subprocess.Popen(
                words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ, cwd=self.folder,
                start_new_session=True,
            )  # fmt: skip
        printed, log = self.child.communicate()
        if self.child.returncode:
            raise LandsatDownsampleError(_reason(self._logged() + log))
        results: dict[str, Any] = json.loads(printed)
        return results

    def _logs(self) -> str:
        return os.path.join(self.folder, "log")

    def _logged(self) -> str:
        """What the steps of the package said, where the package captures that."""
        files = sorted(glob.glob(os.path.join(glob.escape(self._logs()), "**", "*"), recursive=True))
        texts = []
        for path in filter(os.path.isfile, files):
            with open(path, encoding="utf-8", errors="replace") as file:
                texts.append(file.read())
        return "\n".join(texts)


def _href(link: object) -> str:
    return str(link["href"]) if isinstance(link, dict) else str(link)


def _reason(log: str) -> str:
    """The line of a log that says most: what our own verbs say, else the last one."""
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip() for line in log.splitlines()]
    lines = [line for line in lines if line]
    ours = [found[1] for line in lines if (found := re.match(r"(?:\S+Z ERROR )?(landsat-downsample: .*)", line))]
    errors = [line for line in lines if "ERROR" in line]
    return [*(lines or ["cwltool failed"])[-1:], *errors[-1:], *ours[-1:]][-1]


def _linked(value: object, folder: str, base: str) -> object:
    """A CWL output as a result: links for files and folders, others by value."""
    if isinstance(value, list):
        return [_linked(part, folder, base) for part in value]
    if not isinstance(value, dict) or "class" not in value:
        return value
    path = value["path"]
    if value["class"] == "Directory":
        path = _entry(path)
    below = quote(os.path.relpath(path, os.path.join(folder, "out")))
    kind = "application/json" if path.endswith(".json") else "application/octet-stream"
    return {"href": f"{base}/{below}", "type": kind, "rel": "item"}


def _signal(child: subprocess.Popen[str], number: int) -> None:
    with suppress(ProcessLookupError):  # it has ended meanwhile
        os.killpg(child.pid, number)


def _entry(folder: str) -> str:
    """The file by which a folder is read: its STAC catalogue, else its item."""
    items = sorted(glob.glob(os.path.join(glob.escape(folder), "*" + MARKER)))
    return next(iter([*glob.glob(os.path.join(glob.escape(folder), "catalog.json")), *items]), folder)


def scratch() -> tempfile.TemporaryDirectory[str]:
    """A folder for jobs, gone with the service."""
    return tempfile.TemporaryDirectory(prefix="landsat-downsample-ades-", ignore_cleanup_errors=True)
