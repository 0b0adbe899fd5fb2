"""A processing service of this machine, to try packages and notebooks with: OGC API - Processes, Parts 1 and 2.

It listens on loopback, asks for a token that only its maker knows, and is no platform: jobs run
at once, side by side, and everything is gone when it stops.
"""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import socket
import threading
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from landsat_downsample.errors import UsageError
from landsat_downsample.ogc.local_jobs import LocalJob, scratch
from landsat_downsample.ogc.local_processes import Problem, Process, deployable, document

_PART1 = "http://www.opengis.net/spec/ogcapi-processes-1/1.0/conf/"
_PART2 = "http://www.opengis.net/spec/ogcapi-processes-2/1.0/conf/"
_CONFORMS = [_PART1 + name for name in ("core", "ogc-process-description", "json", "job-list", "dismiss")]
_CONFORMS += [_PART2 + name for name in ("deploy-replace-undeploy", "ogcapppkg", "cwl")]

#: Largest body taken: a package is text.
_MAX_BODY = 16 << 20
#: Bytes of a refused one that are let pass by.
_MAX_LINGER = 1 << 20


@dataclass(frozen=True, slots=True)
class ServiceRequest:
    """What a handler gets to know."""

    path: list[str]
    query: dict[str, list[str]]
    media: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """What it answers."""

    status: int
    document: dict[str, Any] | None = None
    location: str | None = None
    raw: tuple[str, bytes] | None = None
    """Media type and bytes, where it is no document."""


class LocalService:
    """The service, with what was deployed and the jobs that were started."""

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(24)
        self.processes: dict[str, Process] = {}
        self.jobs: dict[str, LocalJob] = {}
        self.url = ""
        self._scratch = scratch()
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> str:
        """Listen; return the address.

        Raises
        ------
        UsageError
            There is nothing to run packages with.
        """
        if importlib.util.find_spec("cwltool") is None:
            raise UsageError("service 'local' runs packages with cwltool, which is not here: pip install cwltool")
        handler = type("Handler", (_Handler,), {"service": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="ades", daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        return self.url

    def stop(self) -> None:
        """End the jobs, and the service with all it holds."""
        for job in self.jobs.values():
            if job.finished is None:
                job.dismiss()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        self._scratch.cleanup()

    # Part 1: core

    def landing(self, request: ServiceRequest) -> Reply:
        """Answer ``GET /``."""
        rels = {"conformance": "/conformance", "http://www.opengis.net/def/rel/ogc/1.0/processes": "/processes"}
        links = [{"rel": rel, "href": self.url + path, "type": "application/json"} for rel, path in rels.items()]
        return Reply(200, {"title": "landsat-downsample, a processing service of this machine", "links": links})

    def conformance(self, request: ServiceRequest) -> Reply:
        """Answer ``GET /conformance``."""
        return Reply(200, {"conformsTo": _CONFORMS})

    def list_processes(self, request: ServiceRequest) -> Reply:
        """Answer ``GET /processes``."""
        return Reply(200, {"processes": [process.summary() for process in self.processes.values()], "links": []})

    def describe(self, request: ServiceRequest) -> Reply:
        """Answer ``GET /processes/{id}``."""
        return Reply(200, self._process(request).description)

    def execute(self, request: ServiceRequest) -> Reply:
        """Answer ``POST /processes/{id}/execution``: always a job."""
        process = self._process(request)
        inputs = document(request.body).get("inputs", {})
        if not isinstance(inputs, dict):
            raise Problem(400, "invalid-parameter", "the inputs are no JSON object")
        process.check(inputs)
        job_id = str(uuid.uuid4())
        folder = os.path.join(self._scratch.name, job_id)
        os.makedirs(folder)
        job = self.jobs[job_id] = LocalJob(job_id, process, inputs, folder)
        address = f"{self.url}/jobs/{job_id}"
        threading.Thread(target=job.run, args=(f"{address}/files",), name=f"job-{job_id}", daemon=True).start()
        return Reply(201, job.status(), address)

    def list_jobs(self, request: ServiceRequest) -> Reply:
        """Answer ``GET /jobs``."""
        return Reply(200, {"jobs": [job.status() for job in self.jobs.values()], "links": []})

    def status(self, request: ServiceRequest) -> Reply:
        """Answer ``GET /jobs/{id}``."""
        return Reply(200, self._job(request).status())

    def results(self, request: ServiceRequest) -> Reply:
        """Answer ``GET /jobs/{id}/results``."""
        job = self._job(request)
        if job.state == "failed":
            raise Problem(500, "execution-failed", job.message)
        if job.results is None:
            raise Problem(404, "result-not-ready", f"job {job.id} is {job.state}")
        return Reply(200, job.results)

    def dismiss(self, request: ServiceRequest) -> Reply:
        """Answer ``DELETE /jobs/{id}``."""
        job = self._job(request)
        job.dismiss()
        del self.jobs[job.id]
        return Reply(200, job.status() | {"status": "dismissed"})

    def file(self, request: ServiceRequest) -> Reply:
        """Answer ``GET /jobs/{id}/files/...``: what a job put out."""
        out = os.path.realpath(os.path.join(self._job(request).folder, "out"))
        path = os.path.realpath(os.path.join(out, *request.path[3:]))
        if os.path.commonpath((out, path)) != out or not os.path.isfile(path):
            raise Problem(404, "no-such-file", f"there is no file {'/'.join(request.path[3:])!r}")
        with open(path, "rb") as file:
            kind = "application/json" if path.endswith(".json") else "application/octet-stream"
            return Reply(200, raw=(kind, file.read()))

    # Part 2: deploy, replace, undeploy

    def deploy(self, request: ServiceRequest) -> Reply:
        """Answer ``POST /processes``."""
        process = self._deployable(request)
        if process.id in self.processes:
            raise Problem(409, "duplicated-process", f"process {process.id!r} is there already")
        self.processes[process.id] = process
        return Reply(201, process.summary(), f"{self.url}/processes/{process.id}")

    def replace(self, request: ServiceRequest) -> Reply:
        """Answer ``PUT /processes/{id}``."""
        old, process = self._process(request), self._deployable(request)
        if process.id != old.id:
            raise Problem(400, "invalid-parameter", f"the package is {process.id!r}, not {old.id!r}")
        self.processes[old.id] = process
        return Reply(204)

    def undeploy(self, request: ServiceRequest) -> Reply:
        """Answer ``DELETE /processes/{id}``."""
        del self.processes[self._process(request).id]
        return Reply(204)

    def package(self, request: ServiceRequest) -> Reply:
        """Answer ``GET /processes/{id}/package``."""
        process = self._process(request)
        return Reply(200, raw=(process.media, process.package))

    def _deployable(self, request: ServiceRequest) -> Process:
        try:
            return deployable(request.media, request.body, next(iter(request.query.get("w", ())), None))
        except (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise Problem(400, "invalid-parameter", "the package is not written as one") from error

    def _process(self, request: ServiceRequest) -> Process:
        name = request.path[1]
        if name not in self.processes:
            raise Problem(404, "no-such-process", f"there is no process {name!r}")
        return self.processes[name]

    def _job(self, request: ServiceRequest) -> LocalJob:
        name = request.path[1]
        if name not in self.jobs:
            raise Problem(404, "no-such-job", f"there is no job {name!r}")
        return self.jobs[name]


_ROUTES: dict[tuple[str, str], Callable[[LocalService, ServiceRequest], Reply]] = {
    ("GET", ""): LocalService.landing,
    ("GET", "conformance"): LocalService.conformance,
    ("GET", "processes"): LocalService.list_processes,
    ("POST", "processes"): LocalService.deploy,
    ("GET", "processes/*"): LocalService.describe,
    ("PUT", "processes/*"): LocalService.replace,
    ("DELETE", "processes/*"): LocalService.undeploy,
    ("GET", "processes/*/package"): LocalService.package,
    ("POST", "processes/*/execution"): LocalService.execute,
    ("GET", "jobs"): LocalService.list_jobs,
    ("GET", "jobs/*"): LocalService.status,
    ("DELETE", "jobs/*"): LocalService.dismiss,
    ("GET", "jobs/*/results"): LocalService.results,
    ("GET", "jobs/*/files"): LocalService.file,
}


class _Handler(BaseHTTPRequestHandler):
    service: LocalService
    protocol_version = "HTTP/1.1"

    timeout = 60
    """Seconds of silence after which a connection ends."""

    def _serve(self) -> None:
        try:
            reply = self._answer()
        except Problem as problem:
            reply = _refusal(problem)
        except Exception as error:  # ours, not the client's: answered as such, where an answer is waited for
            reply = _refusal(Problem(500, "internal-error", f"the service failed: {type(error).__name__}"))
        kind, body = reply.raw or (
            "application/json",
            b"" if reply.document is None else json.dumps(reply.document).encode(),
        )
        self.send_response(reply.status)
        if reply.status != 204:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
        if reply.location:
            self.send_header("Location", reply.location)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        if self.close_connection:
            self._linger()

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve

    def handle_expect_100(self) -> bool:
        """Ask for no body before the token was seen: `_body` does."""
        return True

    def _answer(self) -> Reply:
        # Until all of the body is read nothing that comes after may be taken for a request.
        persistent, self.close_connection = not self.close_connection, True
        path, query = self._address()
        # Files need no token: whoever reads results has their links, and a job's id cannot be guessed.
        if path[2:3] != ["files"] and not self._knows():
            raise Problem(401, "unauthorized", "the token is missing or wrong")
        body = self._body()
        self.close_connection = not persistent
        method = "GET" if self.command == "HEAD" else self.command
        found = _ROUTES.get((method, _pattern(path)))
        if found is None:
            raise Problem(404, "not-found", f"there is nothing at {self.command} /{'/'.join(path)}")
        media = (self.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
        return found(self.service, ServiceRequest(path, query, media, body))

    def _address(self) -> tuple[list[str], dict[str, list[str]]]:
        if self.request_version >= "HTTP/1.1" and len(self.headers.get_all("Host") or ()) != 1:
            raise Problem(400, "invalid-parameter", "the request must have one Host")
        try:
            parts = urlsplit(self.path)
            path = [unquote(word, errors="strict") for word in parts.path.strip("/").split("/")]
            query = parse_qs(parts.query)
        except ValueError:
            path, query = ["\0"], {}
        if any("\0" in word for word in path):
            raise Problem(400, "invalid-parameter", "the request's path is none")
        return path, query

    def _body(self) -> bytes:
        """Read the body, of a length that is given and bounded."""
        if "Transfer-Encoding" in self.headers:
            raise Problem(411, "invalid-parameter", "the body must come with a Content-Length, not in chunks")
        lengths = {text.strip() for text in self.headers.get_all("Content-Length") or ("0",)}
        text = lengths.pop()
        if lengths or not (text.isascii() and text.isdecimal()):
            raise Problem(400, "invalid-parameter", "Content-Length is no whole number")
        if len(text) > len(str(_MAX_BODY)) or int(text) > _MAX_BODY:
            raise Problem(413, "invalid-parameter", f"a body of more than {_MAX_BODY} bytes is too large")
        if (self.headers.get("Expect") or "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        try:
            body = self.rfile.read(int(text))
        except TimeoutError:
            raise Problem(408, "invalid-parameter", "the body did not come") from None
        if len(body) < int(text):
            raise Problem(400, "invalid-parameter", f"the body ended after {len(body)} of {text} bytes")
        return body

    def _linger(self) -> None:
        """Let the client read the answer although it still sends: closed at once, the system would drop that."""
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(1)
            left = _MAX_LINGER
            while left > 0 and (data := self.connection.recv(min(left, 1 << 16))):
                left -= len(data)

    def _knows(self) -> bool:
        given = self.headers.get("Authorization") or ""
        return secrets.compare_digest(given.encode(), f"Bearer {self.service.token}".encode())

    def log_message(self, *args: object) -> None:
        """Keep quiet."""


def _refusal(problem: Problem) -> Reply:
    return Reply(problem.status, raw=("application/problem+json", json.dumps(problem.record()).encode()))


def _pattern(path: list[str]) -> str:
    words = path[:3]
    return "/".join("*" if place == 1 else word for place, word in enumerate(words))
