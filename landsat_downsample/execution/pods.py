"""What the pods of a cluster say of themselves: ready, on their way, or never to be."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from landsat_downsample.execution.kube_api import Api

#: What Kubernetes says of a thing that a pod names and that its namespace lacks, and how to make it.
_MISSING = re.compile(r'(secret|configmap|serviceaccount) "([^"]+)" not found')
_MAKING = {
    "secret": ("secret", "create secret generic {} --from-env-file=store.env"),
    "configmap": ("config map", "create configmap {} --from-env-file=FILE"),
    "serviceaccount": ("service account", "create serviceaccount {}"),
}

#: Reasons of a container that waiting does not mend, and what to do.
_HOPELESS = {
    "InvalidImageName": "correct the image's name",
    "ErrImageNeverPull": "load the image to the nodes, or change imagePullPolicy",
    "ImagePullBackOff": "see that the image is there and may be pulled, or name another with LANDSAT_DOWNSAMPLE_IMAGE",
    "CreateContainerConfigError": "see the secrets and config maps that the manifest names",
    "CreateContainerError": "see the command and mounts of the manifest",
    "RunContainerError": "see the command and mounts of the manifest",
    "CrashLoopBackOff": "see its log",
}


@dataclass(frozen=True, slots=True)
class View:
    """The pods of one component at one moment."""

    found: bool
    """Whether its deployment is there."""
    ready: bool
    fatal: str | None
    """Why it will never be ready."""
    events: str
    """Latest warnings, as the end of a sentence; empty if there are none."""


def look(api: Api, namespace: str, cluster: str, component: str) -> View:
    """Look at a component: ``scheduler`` or ``worker``."""
    base, selector = f"namespaces/{namespace}", _selector(cluster, component)
    pods = [pod for pod in api.items("v1", f"{base}/pods?{selector}") if "deletionTimestamp" not in pod["metadata"]]
    if any(_ready(pod) for pod in pods):
        return View(True, True, None, "")
    deployments = api.items("apps/v1", f"{base}/deployments?{selector}")
    fatal = next((hopeless for pod in pods if (hopeless := _hopeless(api, namespace, pod))), None)
    names = [thing["metadata"]["name"] for thing in (*pods, *deployments)]
    events = _warnings(api, namespace, names)
    if not pods and (remedy := missing(events, namespace)):
        return View(True, False, remedy, "")
    return View(bool(pods or deployments), False, fatal, events)


def missing(words: str, namespace: str) -> str | None:
    """Name what a namespace lacks by Kubernetes' own words, and the command that makes it; None if nothing."""
    if (found := _MISSING.search(words)) is None:
        return None
    (what, command), name = _MAKING[found[1]], found[2]
    return f"{what} {name!r} is not in namespace {namespace!r}: kubectl -n {namespace} {command.format(name)}"


def left(api: Api, namespace: str, cluster: str) -> list[str]:
    """Names of all pods of a cluster, and of the deployments that would make a pod anew in place of a lost one."""
    base, selector = f"namespaces/{namespace}", _selector(cluster)
    found = (*api.items("apps/v1", f"{base}/deployments?{selector}"), *api.items("v1", f"{base}/pods?{selector}"))
    return [one["metadata"]["name"] for one in found]


def sweep(api: Api, namespace: str, cluster: str, *, hurry: bool) -> None:
    """Remove what a cluster left when it went: its operator may have made more at the same moment.

    Kubernetes would collect it too, a minute or two later. Where that is not allowed, it does.
    """
    base, selector = f"namespaces/{namespace}", _selector(cluster)
    for left in api.items("apps/v1", f"{base}/deployments?{selector}"):
        path = f"{base}/deployments/{left['metadata']['name']}"
        api.request("DELETE", "apps/v1", path, {"propagationPolicy": "Background"})
    for pod in api.items("v1", f"{base}/pods?{selector}") if hurry else ():
        # A node that is busy pulling an image lets go of its pod minutes later; nothing of it runs that could be lost.
        grace = 0 if _never_ran(pod) else 1
        api.request("DELETE", "v1", f"{base}/pods/{pod['metadata']['name']}", {"gracePeriodSeconds": grace})


def _selector(cluster: str, component: str | None = None) -> str:
    rest = f",dask.org/component%3D{component}" if component else ""
    return f"labelSelector=dask.org/cluster-name%3D{cluster}{rest}"


def _ready(pod: dict[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _never_ran(pod: dict[str, Any]) -> bool:
    statuses = pod.get("status", {}).get("containerStatuses", [])
    return all(status.get("state", {}).keys() <= {"waiting"} and not status.get("lastState") for status in statuses)


def _hopeless(api: Api, namespace: str, pod: dict[str, Any]) -> str | None:
    name = pod["metadata"]["name"]
    for status in pod.get("status", {}).get("containerStatuses", []):
        waiting = status.get("state", {}).get("waiting", {})
        reason = waiting.get("reason")
        if reason not in _HOPELESS:
            continue
        remedy = missing(waiting.get("message", ""), namespace) or _HOPELESS[reason]
        words = f"pod {name!r}: {reason} of image {status['image']!r}: {remedy}"
        return words + (_last_words(api, namespace, name) if reason == "CrashLoopBackOff" else "")
    return None


def _last_words(api: Api, namespace: str, name: str) -> str:
    path = f"namespaces/{namespace}/pods/{name}/log?tailLines=3&previous=true"
    words = " ".join(api.request("GET", "v1", path).message.split())
    return f" (log ends: {words[-400:]})"


def _warnings(api: Api, namespace: str, started_by: list[str]) -> str:
    """The latest different warnings of pods, and of what should have made them."""
    events = api.items("v1", f"namespaces/{namespace}/events?fieldSelector=type%3DWarning")
    latest: dict[str, None] = {}
    for event in sorted(events, key=lambda one: one.get("lastTimestamp") or one.get("eventTime") or ""):
        name = event["involvedObject"].get("name", "")
        if any(name.startswith(start) for start in started_by):
            words = f"{event['reason']}: {' '.join(str(event.get('message')).split())[:300]}"
            latest.pop(words, None)
            latest[words] = None
    return "; Kubernetes says " + "; ".join(list(latest)[-4:]) if latest else ""
