"""One job of a processing service: its status, the wait for its end, its results."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from landsat_downsample.errors import ReadError
from landsat_downsample.ogc.http import AdesError, ServiceClient, one_line

#: Seconds between two looks at a job: the first, how they grow, and the most.
FIRST, GROWTH, MOST = 0.5, 1.5, 20.0

_WORDS = {"failed": "failed", "dismissed": "was dismissed"}
_ENDED = ("successful", *_WORDS)


@dataclass(frozen=True, slots=True)
class JobStatus:
    """What a service says of a job (``statusInfo`` of OGC API - Processes).

    Examples
    --------
    >>> status = ld.JobStatus("7", "running", progress=40)
    >>> print(status, status.ended)
    running, 40 % False
    """

    job_id: str
    state: str
    """``accepted``, ``running``, ``successful``, ``failed`` or ``dismissed``."""
    progress: int | None = None
    """Percent, where the service gives it."""
    message: str = ""
    created: str | None = None
    started: str | None = None
    finished: str | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in _ENDED

    def __str__(self) -> str:
        share = "" if self.progress is None else f", {self.progress} %"
        return f"{self.state}{share}" + (f": {self.message}" if self.message else "")


@dataclass(frozen=True, slots=True)
class Job:
    """A job of a service. In a ``with`` block, a job that has not ended is dismissed when an error leaves the block.

    Examples
    --------
    >>> from pathlib import Path
    >>> source = Path(ld.stage_in("LC08_L2SP_192028_20230714_20230724_02_T1", "staged")).resolve().parent
    >>> with ld.ades("local") as service:   # whose jobs need cwltool
    ...     job = service.execute(service.deploy(), {"source": {"href": source.as_uri()}, "factor": 10})
    ...     print(job.wait(), list(job.results()), job.status().ended)
    ...     job.dismiss()
    successful ['product'] True
    """

    client: ServiceClient = field(repr=False)
    id: str
    url: str

    def status(self) -> JobStatus:
        """Ask once what has become of the job."""
        what = f"cannot ask for the status of job {self.id!r}"
        return status_of(self.client.get(self.url, what).document(what), self.id)

    def wait(self, *, deadline: float = 3600.0, report: Callable[[JobStatus], None] | None = None) -> JobStatus:
        """Wait for the end of the job: looks at it often first, then every 20 seconds.

        Parameters
        ----------
        deadline : float
            Seconds to wait at most. The job goes on after that; wait again, or dismiss it.
        report : callable, optional
            Told of each new status.

        Returns
        -------
        JobStatus
            Of a job that succeeded.

        Raises
        ------
        AdesError
            The job failed or was dismissed, or has not ended in time.
        ReadError
            The service did not answer until the deadline.
        """
        end, pause, known = time.monotonic() + deadline, FIRST, None
        while True:
            status = self._look(end)
            if report and status != known:
                report(status)
            known = status
            if status.ended:
                return self._succeeded(status)
            if time.monotonic() >= end:
                raise AdesError(f"job {self.id!r} is still {status} after {deadline:g} s: wait again, or dismiss it")
            time.sleep(min(pause, max(0.0, end - time.monotonic())))
            pause = min(pause * GROWTH, MOST)

    def _look(self, end: float) -> JobStatus:
        """The status; a service that is down for a while is waited for until the deadline."""
        while True:
            try:
                return self.status()
            except ReadError:
                if time.monotonic() + MOST >= end:
                    raise
                time.sleep(MOST)

    def _succeeded(self, status: JobStatus) -> JobStatus:
        if status.state == "successful":
            return status
        why = status.message or ("no reason given" if status.state == "failed" else "somebody ended it")
        raise AdesError(f"job {self.id!r} {_WORDS[status.state]}: {one_line(why)}", kind=status.state)

    def results(self) -> dict[str, Any]:
        """Fetch the results: a value, or a link (``{"href": ...}``), by the name of each output."""
        what = f"cannot fetch the results of job {self.id!r}"
        return self.client.get(f"{self.url}/results", what).document(what)

    def dismiss(self) -> None:
        """End the job if it runs, and let the service forget it."""
        self.client.send("DELETE", self.url, f"cannot dismiss job {self.id!r}")

    def __enter__(self) -> Job:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: object) -> None:
        if error is None:
            return
        try:
            if not self.status().ended:
                self.dismiss()
        except (AdesError, ReadError) as second:
            error.add_note(str(second))


def job_at(client: ServiceClient, job_id: str, location: str | None = None) -> Job:
    """The job of that id."""
    return Job(client, job_id, client.place(location, f"/jobs/{quote(job_id, safe='')}"))


def status_of(record: dict[str, Any], job_id: str) -> JobStatus:
    """Read a ``statusInfo``; what a service leaves out stays empty."""
    progress = record.get("progress")
    return JobStatus(
        job_id=str(record.get("jobID") or record.get("id") or job_id),
        state=str(record.get("status") or "unknown"),
        progress=int(progress) if isinstance(progress, (int, float)) else None,
        message=one_line(str(record.get("message") or "")),
        created=record.get("created"),
        started=record.get("started"),
        finished=record.get("finished"),
    )
