"""Dask clusters on Kubernetes, by the dask-kubernetes operator: made, watched while they start, removed.

The operator's own client waits for ever for a pod that cannot start, and for a phase that the
operator may lose (dask-kubernetes#968). So the resource is made here, its pods are watched here,
and `KubeCluster` only joins a scheduler that is ready.
"""

from __future__ import annotations

import copy
import getpass
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import resources
from typing import TYPE_CHECKING, Any, TypeVar

from landsat_downsample.errors import LandsatDownsampleError, UsageError
from landsat_downsample.execution import pods
from landsat_downsample.execution.kube_api import DASK, Api, ApiResponse, KubernetesError, any_version, quiet_ports
from landsat_downsample.model import environment
from landsat_downsample.storage.bugs import raise_bug

if TYPE_CHECKING:
    from dask_kubernetes.operator import KubeCluster
    from dask_kubernetes.operator.kubecluster.kubecluster import CreateMode
    from distributed import Client

T = TypeVar("T")

MANAGED = "app.kubernetes.io/managed-by"
OURS = "landsat-downsample"
RUN = "landsat-downsample/run"
ALIVE = "landsat-downsample/alive"
OWNER = "landsat-downsample/owner"

#: Environment variable that names the image of scheduler and workers.
IMAGE = "LANDSAT_DOWNSAMPLE_IMAGE"

#: Run of a cluster that no run made: the manifest as it is, given to ``kubectl apply``.
APPLIED = "none"

#: Seconds between two heartbeats, and without one after which a cluster counts as an orphan.
HEARTBEAT, SILENCE = 60.0, 600.0

#: Seconds that the operator may take to notice a new cluster.
NOTICE = 45.0

#: Seconds that pods may take to end.
SHUTDOWN = 90.0

#: Seconds for the port-forward to a scheduler that is ready.
CONNECT = 120.0


@dataclass(frozen=True, slots=True)
class Made:
    """A cluster that somebody's run made."""

    name: str
    namespace: str
    run: str
    owner: str
    phase: str
    workers: int
    age: float
    """Seconds since it was made."""
    silent: float
    """Seconds since its owner last sent a heartbeat."""

    @property
    def orphan(self) -> bool:
        """Whether nobody seems to use it any more; of one that was applied as it is, nobody can know."""
        return self.run != APPLIED and self.silent > SILENCE


def read_manifest(path: str | None = None) -> dict[str, Any]:
    """Read a DaskCluster manifest; the package's own by default.

    Raises
    ------
    UsageError
        It cannot be read, or is no DaskCluster.
    """
    import yaml

    try:
        if path is None:
            text = resources.files(__package__).joinpath("cluster.yaml").read_text("utf-8")
        else:
            with open(path, encoding="utf-8") as file:
                text = file.read()
        manifest = yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageError(f"cluster manifest {path!r} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(manifest, dict) or manifest.get("kind") != "DaskCluster":
        kind = manifest.get("kind") if isinstance(manifest, dict) else type(manifest).__name__
        raise UsageError(f"cluster manifest {path!r} holds {kind}, not one DaskCluster: start from k8s/cluster.yaml")
    return manifest


def prepared(
    manifest: dict[str, Any], run: str, *, workers: int | None = None, image: str | None = None
) -> dict[str, Any]:
    """Give a manifest to one run: name, labels, workers, image. Pure.

    Raises
    ------
    UsageError
        The manifest has no container for the scheduler or the worker.
    """
    made = copy.deepcopy(manifest)
    metadata = made.setdefault("metadata", {})
    metadata["name"] = name = f"{metadata.get('name', OURS)[:24].rstrip('-.')}-{run}"
    metadata.setdefault("labels", {}).update({MANAGED: OURS, RUN: run})
    metadata.setdefault("annotations", {}).update({OWNER: _owner(), ALIVE: _now()})
    try:
        spec = made["spec"]
        spec["scheduler"]["service"]["selector"]["dask.org/cluster-name"] = name
        containers = [spec[part]["spec"]["containers"][0] for part in ("scheduler", "worker")]
    except (KeyError, IndexError, TypeError) as error:
        raise UsageError(f"cluster manifest has no {error} where one is needed: start from k8s/cluster.yaml") from error
    for container in containers:
        # KubeCluster reads the scheduler's arguments, and fails where there are none.
        container.setdefault("args", [])
        container["image"] = image or container["image"]
    if workers is not None:
        spec["worker"]["replicas"] = workers
    return made


@dataclass(slots=True)
class KubernetesCluster:
    """A cluster made for one run: in use from `start` to `close`."""

    manifest: dict[str, Any]
    deadline: float = 300.0
    """Seconds that it may take until one worker has joined."""
    api: Api = field(init=False)
    joined: KubeCluster | None = field(default=None, init=False)
    _until: float = field(default=0.0, init=False)
    _made: bool = field(default=False, init=False)
    _ended: threading.Event = field(default_factory=threading.Event, init=False)

    def __post_init__(self) -> None:
        self.api = Api()

    @property
    def name(self) -> str:
        """Name of the cluster."""
        return str(self.manifest["metadata"]["name"])

    @property
    def namespace(self) -> str:
        """Namespace of the cluster."""
        return self.manifest["metadata"].get("namespace") or self.api.namespace

    @property
    def image(self) -> str:
        """Image of its workers."""
        return str(self.manifest["spec"]["worker"]["spec"]["containers"][0]["image"])

    @property
    def _path(self) -> str:
        return f"daskclusters/{self.name}"

    def start(self) -> KubeCluster:
        """Make the cluster and join it.

        Returns
        -------
        dask_kubernetes.operator.KubeCluster
            Its scheduler is ready, and one worker's pod runs.

        Raises
        ------
        KubernetesError
            It did not come about in time; the message gives the pods' own reasons. Nothing of it is left.
        """
        self._until = time.monotonic() + self.deadline
        self._create()
        threading.Thread(target=self._send_heartbeats, name="cluster-alive", daemon=True).start()
        self._check_idle_timeout()
        self._watch("scheduler")
        self._correct_phase()
        if self._replicas:
            self._watch("worker")
        with any_version():
            self.joined = _in_time(self._join, CONNECT, f"join the scheduler of cluster {self.name!r}")
        return self.joined

    def _create(self) -> None:
        answer = self._ask("POST", "daskclusters", self.manifest)
        self._made = answer.status < 300
        if self._made:
            return
        remedy = {
            404: "its DaskCluster type is unknown: install the dask-kubernetes operator with its CRDs",
            403: f"{answer.message}: ask for the role in k8s/common/roles.yaml",
        }.get(answer.status, answer.message)
        raise KubernetesError(f"cannot make cluster {self.name!r} in namespace {self.namespace!r}: {remedy}")

    def _check_idle_timeout(self) -> None:
        wanted = self.manifest["spec"].get("idleTimeout", 0)
        found = self._ask("GET", self._path).body.get("spec", {}).get("idleTimeout", 0)
        if wanted and found != wanted:
            raise KubernetesError(
                f"cluster {self.name!r} would never end by itself: idleTimeout {wanted} was dropped (it is {found}): "
                "update the operator's CRDs, or remove idleTimeout from the manifest"
            )

    def await_workers(self, client: Client) -> None:
        """Wait until workers have joined: all of them for as long as it took so far, then one.

        Raises
        ------
        KubernetesError
            None came in time; the message gives the pods' own reasons.
        """
        if not self._replicas:
            return
        limit = max(self.deadline - (self._until - time.monotonic()), 15.0)
        for count, until in ((self._replicas, time.monotonic() + limit), (min(self._replicas, 1), self._until)):
            try:
                client.wait_for_workers(count, timeout=max(until - time.monotonic(), 1.0))
                return
            except TimeoutError as error:
                timeout_error, view = error, pods.look(self.api, self.namespace, self.name, "worker")
        raise self._failed(
            f"no worker joined its scheduler within {self.deadline:g} s: {view.fatal or 'see its pods'}{view.events}"
        ) from timeout_error

    def _failed(self, what: str) -> KubernetesError:
        return KubernetesError(f"cluster {self.name!r} in namespace {self.namespace!r} did not start: {what}")

    @property
    def _replicas(self) -> int:
        return int(self.manifest["spec"]["worker"].get("replicas", 0))

    def _watch(self, component: str) -> None:
        """Wait until one pod of a component is ready, and not for one that never will be."""
        begun = time.monotonic()
        while True:
            view = pods.look(self.api, self.namespace, self.name, component)
            if view.ready:
                return
            fatal = view.fatal
            waited, notice = time.monotonic() - begun, min(NOTICE, self.deadline)
            if not view.found and component == "scheduler" and waited > notice:
                fatal = self._unnoticed(notice)
            if fatal or time.monotonic() > self._until:
                what = fatal or f"no {component} was ready after {self.deadline:g} s"
                raise self._failed(f"{what}{view.events}")
            time.sleep(0.5)

    def _unnoticed(self, seconds: float) -> str | None:
        if self._ask("GET", self._path).body.get("status", {}).get("phase"):
            return None
        return (
            f"no operator took notice of it in {seconds:g} s: see that the dask-kubernetes operator runs and watches "
            f"namespace {self.namespace!r}, or restart it"
        )

    def _correct_phase(self) -> None:
        """Overcome dask-kubernetes#968: two handlers of the operator write the phase, and the wrong one wins."""
        for _ in range(10):
            if self._ask("GET", self._path).body.get("status", {}).get("phase") == "Running":
                return
            time.sleep(0.5)
        self._ask("PATCH", self._path, {"status": {"phase": "Running"}})

    def _join(self) -> KubeCluster:
        from dask_kubernetes.operator import KubeCluster

        quiet_ports()
        return KubeCluster(
            name=self.name,
            namespace=self.namespace,
            create_mode=_connect_only(),
            shutdown_on_close=False,
            # Outside of a cluster the service's name is looked up in vain, 10 s each time.
            port_forward_cluster_ip=environment.read("KUBERNETES_SERVICE_HOST") is None,
            quiet=True,
        )

    def _send_heartbeats(self) -> None:
        while not self._ended.wait(HEARTBEAT):
            try:
                self._ask("PATCH", self._path, {"metadata": {"annotations": {ALIVE: _now()}}})
            except LandsatDownsampleError:
                continue  # a server that is away for a minute is no reason to end

    def close(self) -> None:
        """Remove the cluster and wait until its pods are gone.

        Raises
        ------
        KubernetesError
            It could not be removed.
        """
        self._ended.set()
        try:
            if self.joined is not None:
                with suppress(LandsatDownsampleError):
                    _in_time(self.joined.close, 30, f"leave cluster {self.name!r}")
            if self._made:
                remove(self.api, self.name, self.namespace, hurry=self.joined is None)
        finally:
            self.api.close()

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> ApiResponse:
        return self.api.request(method, DASK, f"namespaces/{self.namespace}/{path}", body)


def _connect_only() -> CreateMode:
    from dask_kubernetes.operator.kubecluster.kubecluster import CreateMode

    return CreateMode.CONNECT_ONLY


def _in_time(call: Callable[[], T], seconds: float, what: str) -> T:
    """Call in a thread that is left behind if it hangs: parts of KubeCluster wait without end."""
    found: list[T | Exception] = []

    def work() -> None:
        try:
            found.append(call())
        except Exception as error:  # handed to the caller
            found.append(error)

    thread = threading.Thread(target=work, name=what, daemon=True)
    thread.start()
    thread.join(seconds)
    if not found:
        raise KubernetesError(
            f"cannot {what}: no connection within {seconds:g} s: see that pods may be port-forwarded to"
        )
    result = found[0]
    if isinstance(result, Exception):
        raise_bug(result, f"cannot {what}")
        raise KubernetesError(f"cannot {what}: {type(result).__name__}: {result}") from result
    return result


def remove(api: Api, name: str, namespace: str, *, hurry: bool = False) -> list[str]:
    """Remove a cluster and wait until it and its pods are gone.

    Parameters
    ----------
    hurry : bool
        Give its pods no time to end their work.

    Returns
    -------
    list of str
        Pods that were still ending after `SHUTDOWN`; usually none.

    Raises
    ------
    KubernetesError
        It may not be removed.
    """
    path, begun, swept = f"namespaces/{namespace}/daskclusters/{name}", time.monotonic(), 0.0
    answer = api.request("DELETE", DASK, path, {"propagationPolicy": "Background"})
    if answer.status >= 300 and answer.status != 404:
        raise KubernetesError(f"cannot remove cluster {name!r} of namespace {namespace!r}: {answer.message}")
    while True:
        there = api.request("GET", DASK, path).status != 404
        left = pods.left(api, namespace, name)
        if not there and not left:
            return []
        waited = time.monotonic() - begun
        if not there and waited > swept:
            pods.sweep(api, namespace, name, hurry=hurry)
            swept = waited + 10
        if there and waited > SHUTDOWN / 3:
            # Its operator is away, and would be waited for without end while pods cost money.
            api.request("PATCH", DASK, path, {"metadata": {"finalizers": None}})
        if waited > SHUTDOWN:
            logging.getLogger(__name__).warning("cluster %s was removed, but pods are still ending: %s", name, left)
            return left
        time.sleep(0.5)


def find(api: Api, namespace: str | None = None) -> list[Made]:
    """List the clusters that runs made, of one namespace or of all that may be read."""
    selector = f"labelSelector={MANAGED}%3D{OURS}"
    everywhere = api.request("GET", DASK, f"daskclusters?{selector}") if namespace is None else None
    if everywhere is not None and everywhere.status == 200:
        found = everywhere.body["items"]
    else:
        answer = api.request("GET", DASK, f"namespaces/{namespace or api.namespace}/daskclusters?{selector}")
        if answer.status not in (200, 404):
            raise KubernetesError(f"cannot list clusters: {answer.message}")
        found = answer.body.get("items", [])
    return [_made(record) for record in found]


def clean(api: Api, namespace: str | None = None, *, everything: bool = False) -> list[Made]:
    """Remove orphans, or all clusters that runs made; the ones removed are returned."""
    gone = [made for made in find(api, namespace) if everything or made.orphan]
    for made in gone:
        remove(api, made.name, made.namespace, hurry=True)
    return gone


def _made(record: dict[str, Any]) -> Made:
    metadata, now = record["metadata"], datetime.now(UTC)
    notes, created = metadata.get("annotations", {}), metadata["creationTimestamp"]
    return Made(
        name=metadata["name"],
        namespace=metadata["namespace"],
        run=metadata.get("labels", {}).get(RUN, ""),
        owner=notes.get(OWNER, "unknown"),
        phase=record.get("status", {}).get("phase", "unnoticed"),
        workers=record["spec"]["worker"].get("replicas", 0),
        age=(now - _when(created)).total_seconds(),
        silent=(now - _when(notes.get(ALIVE, created))).total_seconds(),
    )


def _when(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _owner() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name
        return f"uid {os.getuid()}"


def run_id() -> str:
    """Short name of one run, unique enough for a label."""
    return uuid.uuid4().hex[:8]
