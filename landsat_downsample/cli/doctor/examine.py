"""What a run needs, looked at before it is needed: each check is one line, and goes on after others failed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from landsat_downsample.cli.doctor import here, places
from landsat_downsample.cli.doctor.finding import NO, NOT_ASKED, Finding, cleaned, secrets, tried
from landsat_downsample.execution.threads import threads_for
from landsat_downsample.model import environment
from landsat_downsample.model.location import redacted_repr
from landsat_downsample.model.policy import BUDGET
from landsat_downsample.model.scene import Scene

if TYPE_CHECKING:
    from distributed import Client

#: Seconds that a source or destination gets to answer; a run waits longer.
SECONDS = "20"

#: Seconds until a cluster on Kubernetes must have a worker.
DEADLINE = 150.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What to look at; None for what not to."""

    __repr__ = redacted_repr

    source: str | None = None
    to: str | None = None
    cluster: str | None = None
    """As `cluster` takes it."""
    requester_pays: bool = False
    factor: float | None = None
    scenes: int = 1
    """How many scenes like the source are to be reduced by which factor, to compare the destination's room."""

    @property
    def on_kubernetes(self) -> bool:
        """Whether the cluster is one that a run makes on Kubernetes."""
        return self.cluster is not None and (self.cluster == "kubernetes" or self.cluster.endswith((".yaml", ".yml")))


def examine(asked: Asked) -> Iterator[Finding]:
    """Make all checks that were asked for, one after the other.

    Yields
    ------
    Finding
        As soon as it is known; none of them holds a secret.
    """
    hidden = secrets(href for href in (asked.source, asked.to, asked.cluster) if href)
    with _hurried():
        for finding in _findings(asked):
            yield cleaned(finding, hidden)


@contextmanager
def _hurried() -> Iterator[None]:
    """Give up on a server sooner than a run does, unless that is set."""
    given = environment.read(BUDGET) is not None
    os.environ.setdefault(BUDGET, SECONDS)
    try:
        yield
    finally:
        if not given:
            os.environ.pop(BUDGET, None)


def _findings(asked: Asked) -> Iterator[Finding]:
    yield tried("versions", here.versions)
    yield tried("kernel", here.kernel)
    opened: list[Scene] = []
    yield _source(asked, opened)
    scene = opened[0] if opened else None
    if (to := asked.to) is None:
        yield Finding(NOT_ASKED, "destination", "not asked (--to DEST)")
    else:
        yield tried(
            "destination",
            lambda: places.takes(to, *places.needed(scene, to, asked.factor, asked.scenes)),
        )
    if places.uses_s3(asked.source, asked.to, scene):
        yield tried("credentials", here.credentials)
    else:
        yield Finding(NOT_ASKED, "credentials", "no s3:// was named")
    yield tried("Earthdata login", lambda: here.earthdata(needed=places.uses_earthdata(asked.source, scene)))
    largest = places.largest_fetched(scene)
    yield tried("scratch space", lambda: _scratch(largest))
    yield from _cluster(asked, largest)


def _source(asked: Asked, opened: list[Scene]) -> Finding:
    """Open the source; where that works the scene is appended to `opened`."""
    if (source := asked.source) is None:
        return Finding(NOT_ASKED, "source", "not asked (SOURCE)")

    def read() -> str:
        opened.append(places.opened(source, requester_pays=asked.requester_pays))
        return places.describe(opened[0])

    return tried("source", read)


def _scratch(largest: int | None) -> Finding:
    folder, free = here.free_space()
    return here.scratch(free, folder, largest=largest, at_once=threads_for(None, local=not largest))


def _cluster(asked: Asked, largest: int | None) -> Iterator[Finding]:
    from landsat_downsample.cli.doctor import workers

    if asked.cluster is None or asked.cluster == "none":
        yield Finding(NOT_ASKED, "cluster", "not asked (--cluster SPEC)")
        yield workers.pays(asked.requester_pays, "answered here at best: name a --cluster to ask from a worker")
        return
    if asked.on_kubernetes:
        hopeless = False
        for finding in _on_kubernetes(asked.cluster):
            hopeless |= finding.state == NO
            yield finding
        if hopeless:
            yield Finding(NOT_ASKED, "cluster", "not tried: it would not come about")
            yield workers.pays(asked.requester_pays, "there is no worker to ask")
            return
    yield from _with_workers(asked, asked.cluster, largest)


def _on_kubernetes(spec: str) -> Iterator[Finding]:
    from landsat_downsample.cli.doctor import kubernetes
    from landsat_downsample.execution import version_check
    from landsat_downsample.execution.kube_api import Api

    apis: list[Api] = []

    def needs() -> str:
        version_check.check_extra("kubernetes")
        return "what the extra 'kubernetes' brings is installed here"

    def connect() -> str:
        apis.append(Api())
        return f"reachable, namespace {apis[0].namespace!r}"

    yield tried("packages", needs)
    yield tried("kubernetes", connect)
    if apis:
        with apis[0] as api:
            yield from kubernetes.of_kubernetes(
                api, spec, inside=environment.read("KUBERNETES_SERVICE_HOST") is not None
            )


def _with_workers(asked: Asked, spec: str, largest: int | None) -> Iterator[Finding]:
    """Start or join the cluster, and let its workers look."""
    from landsat_downsample.cli.doctor import workers
    from landsat_downsample.execution.cluster import cluster

    clients: list[Client] = []
    with ExitStack() as stack:

        def join() -> str | Finding:
            client = stack.enter_context(cluster(spec, workers=1, deadline=DEADLINE))
            if client is None:
                return Finding(NOT_ASKED, "cluster", f"{spec!r} stands for the threads of this process")
            clients.append(client)
            return f"{spec}: joined, one version everywhere"

        yield tried("cluster", join)
        if not clients:
            yield workers.pays(asked.requester_pays, "there is no worker to ask")
            return
        yield from workers.of_cluster(clients[0], asked.source, requester_pays=asked.requester_pays, largest=largest)
