"""Send work to a processing service (ADES): OGC API - Processes, Part 1 Core and Part 2 Deploy, Replace, Undeploy.

Part 1 is OGC 18-062r2, Part 2 the draft OGC 20-044.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urljoin, urlsplit

from landsat_downsample.errors import UsageError
from landsat_downsample.ogc.http import AdesError, ServiceClient, ServiceResponse
from landsat_downsample.ogc.job import Job, JobStatus, job_at
from landsat_downsample.ogc.package import Package, read_package

if TYPE_CHECKING:
    from landsat_downsample.ogc.local import LocalService

__all__ = ["Ades", "AdesError", "Job", "JobStatus", "ades"]


def ades(spec: str, *, token: Callable[[], str] | None = None) -> Ades:
    """Talk to a processing service: deploy an application package, execute it, fetch its results.

    Parameters
    ----------
    spec : str
        Address of the service, the one under which ``/processes`` is; or ``local`` for a small
        service of this machine, which runs packages with cwltool and ends when it is closed.
    token : callable, optional
        Gives a bearer token, and is asked before each request, so that it may renew it. By default
        the environment variable LANDSAT_DOWNSAMPLE_ADES_TOKEN, where that is set.

    Returns
    -------
    Ades
        Close it, or use it in a ``with`` block. Jobs of a remote service outlive it.

    Raises
    ------
    UsageError
        It is no address, or the token would cross the network unencrypted.

    Examples
    --------
    >>> with ld.ades("local") as service:   # or https://ades.example.com/ogc-api
    ...     service.deploy()
    'landsat-downsample'
    """
    if token is not None and not callable(token):
        raise UsageError("token must be a function that gives it, so that it stays out of code and notebooks")
    if spec.strip() == "local":
        from landsat_downsample.ogc.local import LocalService

        service = LocalService()
        return Ades(ServiceClient(service.start(), lambda: service.token), service)
    return Ades(ServiceClient(spec.strip(), token))


class Ades:
    """A processing service.

    Examples
    --------
    >>> from pathlib import Path
    >>> service = ld.ades("local")
    >>> process = service.deploy()
    >>> service.url.partition(":")[0], service.describe(process)["title"], len(service.processes())
    ('http', 'Landsat scenes, smaller and still right', 1)
    >>> service.replace(process) == process
    True
    >>> staged = ld.stage_in("LC08_L2SP_192028_20230714_20230724_02_T1", "staged")
    >>> job = service.execute(process, {"source": {"href": Path(staged).resolve().parent.as_uri()}, "factor": 10})
    >>> service.job(job.id).dismiss()
    >>> service.undeploy(process)
    >>> service.close()
    """

    def __init__(self, client: ServiceClient, local: LocalService | None = None) -> None:
        self._client = client
        self._local = local

    @property
    def url(self) -> str:
        """Address of the service."""
        return self._client.url

    def __repr__(self) -> str:
        return f"<Ades {self.url}>"

    def processes(self) -> list[dict[str, Any]]:
        """List the summaries of the processes there are, page by page: id, version, title ..."""
        what = "cannot list the processes"
        found: list[dict[str, Any]] = []
        page: str | None = "/processes"
        while page:
            record = self._client.get(page, what).document(what)
            found += record.get("processes", [])
            page = _next(record, page, self._client)
        return found

    def describe(self, process: str) -> dict[str, Any]:
        """Fetch the description of a process: its inputs and outputs with their schemas."""
        what = f"cannot describe process {process!r}"
        return self._client.get(_process(process), what).document(what)

    def deploy(
        self,
        package: str | os.PathLike[str] | dict[str, Any] | None = None,
        *,
        workflow: str | None = None,
        replace: bool = False,
    ) -> str:
        """Deploy an application package, and return the id of the process that it became.

        Parameters
        ----------
        package : path, href or dict, optional
            ``ogcapppkg.json``, its content, or CWL; by default what deploys this library.
        workflow : str, optional
            Which workflow of the CWL; its first by default.
        replace : bool
            Replace the process of that name.

        Raises
        ------
        AdesError
            The service refuses, as when the process is there already.
        """
        parsed = read_package(package, workflow)
        what = f"cannot deploy {parsed.id!r}" if parsed.id else "cannot deploy the package"
        if replace and not parsed.id:
            raise UsageError(f"{what} in place of another: it does not tell its id here; name the workflow")
        try:
            answer = self._put("POST", "/processes", parsed, what, workflow)
        except AdesError as error:
            if error.status != 409:
                raise
            if not replace:
                raise AdesError(f"{error}: deploy it with replace=True", error.status, error.kind) from None
            return self.replace(parsed.id, package, workflow=workflow)
        return _deployed(answer, parsed.id)

    def replace(
        self,
        process: str,
        package: str | os.PathLike[str] | dict[str, Any] | None = None,
        *,
        workflow: str | None = None,
    ) -> str:
        """Put another package (by default this library's) in place of a deployed process; return its id."""
        parsed = read_package(package, workflow)
        answer = self._put("PUT", _process(process), parsed, f"cannot replace {process!r}", workflow)
        return _deployed(answer, process)

    def undeploy(self, process: str) -> None:
        """Take back a process that was deployed."""
        self._client.send("DELETE", _process(process), f"cannot undeploy {process!r}")

    def execute(self, process: str, inputs: dict[str, Any], *, outputs: dict[str, Any] | None = None) -> Job:
        """Start a job and return at once.

        Parameters
        ----------
        inputs : dict
            By name, as the description has them: numbers, texts, lists; files and folders as
            links, ``{"href": ..., "type": ...}``.
        outputs : dict, optional
            Which outputs, and how (``{"out": {"transmissionMode": "reference"}}``); all by default.

        Raises
        ------
        AdesError
            There is no such process, or an input is wrong.
        """
        what = f"cannot execute {process!r}"
        order = {"inputs": inputs, "response": "document"} | ({"outputs": outputs} if outputs else {})
        headers = {"Content-Type": "application/json", "Prefer": "respond-async"}
        answer = self._client.send("POST", f"{_process(process)}/execution", what, json.dumps(order).encode(), headers)
        location = _absolute(answer.headers.get("Location"), self.url)
        found = _record(answer).get("jobID") or _last(location)
        if not found or answer.status not in (201, 202):
            raise AdesError(
                f"{what}: the service ran it at once instead of as a job: it gives no status", answer.status
            )
        return job_at(self._client, str(found), location)

    def job(self, job_id: str) -> Job:
        """Come back to a job that was started earlier."""
        return job_at(self._client, job_id)

    def close(self) -> None:
        """End the service, if it is one of this machine."""
        if self._local is not None:
            self._local.stop()

    def __enter__(self) -> Ades:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _put(self, method: str, path: str, parsed: Package, what: str, workflow: str | None) -> ServiceResponse:
        """Send a package, as each of its media types until one is taken."""
        path += f"?w={quote(workflow, safe='')}" if workflow else ""
        *others, last = parsed.media
        for media in others:
            try:
                return self._client.send(method, path, what, parsed.body, {"Content-Type": media})
            except AdesError as error:
                if error.status != 415:
                    raise
        return self._client.send(method, path, what, parsed.body, {"Content-Type": last})


def _process(process: str) -> str:
    return f"/processes/{quote(process, safe='')}"


def _record(answer: ServiceResponse) -> dict[str, Any]:
    """The JSON object of an answer that may be empty."""
    try:
        found = json.loads(answer.body or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _deployed(answer: ServiceResponse, expected: str) -> str:
    record = _record(answer)
    summary = record.get("processSummary", record)
    return str(summary.get("id") or _last(answer.headers.get("Location")) or expected)


def _absolute(location: str | None, url: str) -> str | None:
    return urljoin(f"{url}/", location) if location else None


def _last(location: str | None) -> str:
    return unquote(urlsplit(location or "").path.rstrip("/").rpartition("/")[2])


def _next(record: dict[str, Any], page: str, client: ServiceClient) -> str | None:
    links = [link for link in record.get("links", []) if link.get("rel") == "next"]
    following = client.place(_absolute(links[0].get("href"), client.url), "/processes") if links else None
    return None if following in (page, f"{client.url}/processes") else following
