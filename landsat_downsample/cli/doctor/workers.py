"""Checks that a cluster's workers make: source, requester pays, scratch space; and its dashboard."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from landsat_downsample.cli.doctor import here
from landsat_downsample.cli.doctor.finding import NO, NOT_ASKED, OK, Finding, tried
from landsat_downsample.cli.doctor.places import describe, opened
from landsat_downsample.errors import LandsatDownsampleError, ReadError
from landsat_downsample.execution.cluster import dashboard_link
from landsat_downsample.model.location import redact
from landsat_downsample.model.policy import Policy
from landsat_downsample.storage.bugs import raise_bug

if TYPE_CHECKING:
    from distributed import Client, Future

#: Seconds that a worker may take for a check; a source has its own budget of tries.
CHECK_TIMEOUT = 180.0

#: Seconds for the dashboard's page.
PAGE = 10.0


def read_there(source: str, requester_pays: bool, allow_hosts: tuple[str, ...]) -> tuple[bool, str]:
    """Open a source, on a worker: whether it could, and what it says."""
    try:
        return True, describe(opened(source, requester_pays=requester_pays, allow_hosts=allow_hosts))
    except LandsatDownsampleError as error:
        return False, str(error)


def space_there() -> tuple[str, int]:
    """Folder of temporary files and its free bytes, on a worker."""
    return here.free_space()


def of_cluster(client: Client, source: str | None, *, requester_pays: bool, largest: int | None) -> Iterator[Finding]:
    """All checks of a cluster that has come about."""
    threads = client.nthreads()
    if not threads:
        yield Finding(NO, "workers", "the cluster has none: scale it up")
        return
    yield Finding(OK, "workers", f"{len(threads)} of the same versions, {sum(threads.values())} threads")
    yield tried("dashboard", lambda: dashboard(client))
    yield from _source(client, next(iter(threads)), source, requester_pays)
    yield tried("scratch space on workers", lambda: _scratch(client, threads, largest))


def _source(client: Client, worker: str, source: str | None, requester_pays: bool) -> Iterator[Finding]:
    if source is None:
        yield Finding(NOT_ASKED, "source from a worker", "no SOURCE was named")
        yield pays(requester_pays, "no SOURCE was named")
        return
    found = tried("source from a worker", lambda: _asked(client, worker, source, requester_pays))
    yield found
    if not requester_pays:
        yield pays(False, "")
    elif found.state == OK:
        yield Finding(OK, "requester pays", f"worker {worker} was answered, agreeing to pay")
    else:
        yield Finding(NO, "requester pays", "the worker could not read the source, agreeing to pay: see the line above")


def pays(asked: bool, why: str) -> Finding:
    """The line of requester pays where no worker was asked."""
    return Finding(NOT_ASKED, "requester pays", why if asked else "not asked (--requester-pays)")


def _asked(client: Client, worker: str, source: str, requester_pays: bool) -> str:
    asked = source, requester_pays, Policy.from_environ().allow_hosts
    sent = client.submit(read_there, *asked, workers=[worker], pure=False, key=f"doctor-source-{id(source):x}")
    able, detail = _result(sent, worker)
    if not able:
        raise ReadError(f"worker {worker}: {detail}")
    return f"worker {worker}: {detail}"


def _scratch(client: Client, threads: dict[str, int], largest: int | None) -> Finding:
    """The tightest place: workers of one machine share it."""
    sent = {
        worker: client.submit(space_there, workers=[worker], pure=False, key=f"doctor-scratch-{number}-{id(client):x}")
        for number, worker in enumerate(threads)
    }
    places: dict[tuple[str, str], list[int]] = {}
    for worker, future in sent.items():
        folder, free = _result(future, worker)
        entry = places.setdefault((_host(worker), folder), [free, 0])
        entry[0], entry[1] = min(entry[0], free), entry[1] + threads[worker]
    (host, folder), (free, count) = min(places.items(), key=lambda item: item[1][0] / item[1][1])
    what = "scratch space on workers"
    return here.scratch(free, f"{folder} of {host}", largest=largest, at_once=count, what=what)


def _host(address: str) -> str:
    return address.rpartition("://")[2].rpartition(":")[0]


def _result(sent: Future[Any], worker: str) -> Any:
    try:
        return sent.result(timeout=CHECK_TIMEOUT)
    except LandsatDownsampleError:
        raise
    except TimeoutError as error:
        raise ReadError(f"worker {worker} did not answer within {CHECK_TIMEOUT:g} s: see its log") from error
    except Exception as error:
        raise_bug(error, f"worker {worker} failed")
        raise ReadError(f"worker {worker} failed with {type(error).__name__}: see its log") from error
    finally:
        sent.release()


def dashboard(client: Client) -> Finding:
    """Ask for the page behind the dashboard's address, where it is a whole one."""
    link = dashboard_link(client)
    if link is None:
        return Finding(NOT_ASKED, "dashboard", "the scheduler serves none")
    shown = redact(link)
    if not link.startswith(("http://", "https://")):
        return Finding(OK, "dashboard", f"{shown} on the address of JupyterHub")
    try:
        with urllib.request.urlopen(link, timeout=PAGE) as page:
            page.read(1)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (404, 500):
            return Finding(NOT_ASKED, "dashboard", f"{shown} has no page: pip install bokeh where the scheduler runs")
        return Finding(NO, "dashboard", f"{shown} answers with status {error.code}: see who guards it")
    except (OSError, ValueError):
        return Finding(
            NO,
            "dashboard",
            f"{shown} does not answer from here: forward its port, or set DASK_DISTRIBUTED__DASHBOARD__LINK",
        )
    return Finding(OK, "dashboard", shown)
