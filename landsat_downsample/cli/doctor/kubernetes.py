"""Checks of Kubernetes: reachable, operator, its types, rights, and an image that its nodes can pull."""

from __future__ import annotations

import copy
import time
import uuid
from collections.abc import Iterator
from typing import Any

from landsat_downsample.cli.doctor.finding import NO, NOT_ASKED, OK, Finding, tried
from landsat_downsample.errors import ReadError
from landsat_downsample.execution import kubernetes, pods
from landsat_downsample.execution.kube_api import DASK, Api, KubernetesError
from landsat_downsample.execution.kubernetes import IMAGE, MANAGED, OURS
from landsat_downsample.model import environment

#: What a client needs to make a cluster, watch it, join it, scale it and remove it: verbs by API group and resource,
#: as the role dask-client of k8s/common/roles.yaml has them.
NEEDED = {
    ("kubernetes.dask.org", "daskclusters"): ("create", "delete", "get", "list", "patch"),
    ("kubernetes.dask.org", "daskworkergroups"): ("get", "list", "patch"),
    ("kubernetes.dask.org", "daskautoscalers"): ("delete", "get", "list"),
    ("apps", "deployments"): ("delete", "get", "list"),
    ("", "pods"): ("delete", "get", "list"),
    ("", "pods/log"): ("get",),
    ("", "services"): ("get", "list"),
    ("", "events"): ("list",),
}

#: From outside of the cluster, as the role dask-client-outside has them. A connection over a websocket is asked for
#: with GET, or create from Kubernetes 1.35 on.
FROM_OUTSIDE = {("", "pods/portforward"): ("create", "get")}

#: Types that the operator brings.
TYPES = {"daskclusters", "daskworkergroups", "daskautoscalers"}

#: Seconds in which an image must be pulled, and a pod of it have run.
PULL = 180.0

_CODE = "import landsat_downsample as ld, platform; print(f'landsat-downsample {ld.__version__}, Python', end=' ')\n"
_CODE += "print(platform.python_version())"


def of_kubernetes(api: Api, spec: str, *, inside: bool) -> Iterator[Finding]:
    """All checks that need no Dask cluster.

    Parameters
    ----------
    spec : str
        ``kubernetes`` or the path of a manifest.
    inside : bool
        Whether this process is a pod itself, which needs no port-forward.
    """
    found: list[dict[str, Any]] = []

    def read() -> str:
        manifest = kubernetes.read_manifest(None if spec == "kubernetes" else spec)
        found.append(kubernetes.prepared(manifest, kubernetes.run_id(), image=_image()))
        return f"{'the package' if spec == 'kubernetes' else spec}: a DaskCluster with scheduler and workers"

    yield tried("types (CRDs)", lambda: types(api))
    yield tried("operator", lambda: operator(api))
    yield tried("manifest", read)
    namespace = (found[0]["metadata"].get("namespace") if found else None) or api.namespace
    needed = NEEDED if inside else NEEDED | FROM_OUTSIDE
    yield tried("rights (RBAC)", lambda: rights(api, namespace, needed))
    if found:
        yield tried("image", lambda: image(api, namespace, found[0]))
    else:
        yield Finding(NOT_ASKED, "image", "the manifest does not name one")


def _image() -> str | None:
    return environment.read(IMAGE)


def types(api: Api) -> str:
    """Whether the server knows the operator's types."""
    answer = api.request("GET", DASK, "")
    there = {entry["name"] for entry in answer.body.get("resources", [])}
    missing = sorted(TYPES - there)
    if answer.status not in (200, 404):
        raise KubernetesError(f"the server does not tell of {DASK}: {answer.message}")
    if missing:
        raise KubernetesError(
            f"{', '.join(missing)} of {DASK} unknown: install the dask-kubernetes operator with its CRDs"
        )
    return f"{', '.join(sorted(TYPES))} of {DASK}"


def operator(api: Api) -> Finding:
    """Whether the operator runs, as far as one may look."""
    what, answer = "operator", api.request("GET", "apps/v1", "deployments")
    if answer.status == 403:
        return Finding(NOT_ASKED, what, "deployments of all namespaces may not be listed; the line 'cluster' tells")
    if answer.status != 200:
        raise ReadError(f"deployments cannot be listed: {answer.message}")
    found = [one for one in answer.body["items"] if _is_operator(one)]
    if not found:
        return Finding(NO, what, "not found: helm install --repo https://helm.dask.org dask-kubernetes-operator")
    for one in found:
        name = f"{one['metadata']['namespace']}/{one['metadata']['name']}"
        if one.get("status", {}).get("readyReplicas"):
            return Finding(OK, what, f"{name} is ready")
    return Finding(NO, what, f"{name} is not ready: see kubectl describe deployment, and its log")


def _is_operator(deployment: dict[str, Any]) -> bool:
    containers = deployment["spec"]["template"]["spec"]["containers"]
    words = [
        word for one in containers for word in (one.get("image", ""), *one.get("args", ()), *one.get("command", ()))
    ]
    return any("dask-kubernetes-operator" in word or "dask_kubernetes.operator" in word for word in words)


def rights(api: Api, namespace: str, needed: dict[tuple[str, str], tuple[str, ...]]) -> str:
    """Ask the server about each verb that is needed (SelfSubjectAccessReview)."""
    missing: list[str] = []
    for (group, resource), verbs in needed.items():
        refused = [verb for verb in verbs if not _may(api, namespace, group, resource, verb)]
        if refused:
            missing.append(f"{'/'.join(refused)} on {resource}{'.' if group else ''}{group}")
    if missing:
        raise KubernetesError(
            f"namespace {namespace!r}: you may not {', '.join(missing)}: ask for the roles of k8s/common/roles.yaml"
        )
    return f"all {sum(map(len, needed.values()))} that a run needs in namespace {namespace!r}"


def _may(api: Api, namespace: str, group: str, resource: str, verb: str) -> bool:
    resource, _, part = resource.partition("/")
    asked = {"namespace": namespace, "group": group, "resource": resource, "subresource": part, "verb": verb}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": asked},
    }
    answer = api.request("POST", "authorization.k8s.io/v1", "selfsubjectaccessreviews", review)
    if answer.status >= 300:
        raise ReadError(f"rights cannot be asked for: {answer.message}")
    return bool(answer.body.get("status", {}).get("allowed"))


def image(api: Api, namespace: str, manifest: dict[str, Any], *, deadline: float = PULL) -> Finding:
    """Run one pod of the workers' image, as the workers' pods are, and remove it."""
    pod = probe(manifest, deadline)
    name, reference = pod["metadata"]["name"], pod["spec"]["containers"][0]["image"]
    answer = api.request("POST", "v1", f"namespaces/{namespace}/pods", pod)
    if remedy := pods.missing(answer.message, namespace):
        raise KubernetesError(f"{reference}: its pod was refused: {remedy}")
    if answer.status == 403:
        return Finding(NOT_ASKED, "image", f"{reference}: pods may not be made by you; the line 'cluster' tells")
    if answer.status >= 300:
        raise KubernetesError(f"{reference}: its pod was refused: {answer.message}")
    path = f"namespaces/{namespace}/pods/{name}"
    try:
        phase = _awaited(api, namespace, name, deadline)
        words = api.request("GET", "v1", f"{path}/log?tailLines=3").message.strip()
    finally:
        api.request("DELETE", "v1", path, {"gracePeriodSeconds": 0})
    if phase == "Failed":
        raise KubernetesError(f"{reference} was pulled, but {words[-300:]!r}: build it from this checkout")
    return Finding(OK, "image", f"{reference} was pulled and runs: {words}")


def probe(manifest: dict[str, Any], deadline: float) -> dict[str, Any]:
    """The pod of `image`: a worker's, but for what it does. Pure."""
    spec = copy.deepcopy(manifest["spec"]["worker"]["spec"])
    worker, name = spec["containers"][0], f"landsat-downsample-doctor-{uuid.uuid4().hex[:8]}"
    kept = {
        key: worker[key] for key in ("image", "imagePullPolicy", "securityContext", "volumeMounts") if key in worker
    }
    small = {"requests": {"cpu": "10m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}
    spec["containers"] = [kept | {"name": "probe", "command": ["python3", "-c", _CODE], "resources": small}]
    spec |= {"restartPolicy": "Never", "activeDeadlineSeconds": int(deadline), "terminationGracePeriodSeconds": 1}
    # The labels of a cluster's pods let them be looked at in the same way.
    labels = {MANAGED: OURS, "dask.org/cluster-name": name, "dask.org/component": "probe"}
    metadata = {"name": name, "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _awaited(api: Api, namespace: str, name: str, deadline: float) -> str:
    """Wait until the pod has run: ``Succeeded`` or ``Failed``."""
    until, view = time.monotonic() + deadline, None
    while time.monotonic() < until:
        answer = api.request("GET", "v1", f"namespaces/{namespace}/pods/{name}")
        phase = answer.body.get("status", {}).get("phase")
        if phase in ("Succeeded", "Failed"):
            return str(phase)
        view = pods.look(api, namespace, name, "probe")
        if view.fatal:
            raise KubernetesError(f"{view.fatal}{view.events}")
        time.sleep(0.5)
    raise KubernetesError(f"pod {name!r} had not run after {deadline:g} s{view.events if view else ''}")
