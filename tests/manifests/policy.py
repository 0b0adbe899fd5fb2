"""What we demand of a manifest beyond its schema: pure functions that list faults."""

from __future__ import annotations

import re
from collections.abc import Iterator

#: The one secret, made by hand, that manifests may name.
SECRET = "landsat-downsample"

#: Volumes that go with a pod or are read-only by nature.
_SHORT_LIVED = {"emptyDir", "configMap", "persistentVolumeClaim"}
_SECRET_NAME = re.compile(r"SECRET|TOKEN|PASSWORD|ACCESS_KEY|CREDENTIAL", re.I)


def faults(manifests: list[dict], *, one_node: bool = False) -> list[str]:
    """List what is wrong with the manifests of one ``kubectl apply``.

    Parameters
    ----------
    one_node : bool
        Whether a volume for one node will do.
    """
    found = [*_names(manifests), *_claims(manifests, one_node=one_node), *_roles(manifests), *_jobs(manifests)]
    found += [f"{m['kind']} {m['metadata']['name']}: holds a secret" for m in manifests if m["kind"] == "Secret"]
    for name, spec in pod_specs(manifests):
        found += [f"{name}: {fault}" for fault in (*_pod(spec), *_volumes(spec))]
        for container in containers(spec):
            found += [f"{name}/{container['name']}: {fault}" for fault in _container(container)]
    return found


def pod_specs(manifests: list[dict]) -> Iterator[tuple[str, dict]]:
    """Name and spec of every pod that manifests make."""
    for one in manifests:
        name = f"{one['kind']} {one['metadata']['name']}"
        if one["kind"] == "Pod":
            yield name, one["spec"]
        elif one["kind"] == "Job":
            yield name, one["spec"]["template"]["spec"]
        elif one["kind"] == "DaskCluster":
            yield f"{name} scheduler", one["spec"]["scheduler"]["spec"]
            yield f"{name} worker", one["spec"]["worker"]["spec"]


def containers(spec: dict) -> list[dict]:
    return [*spec.get("initContainers", []), *spec["containers"]]


def _pod(spec: dict) -> Iterator[str]:
    context = spec.get("securityContext", {})
    wanted = {"runAsNonRoot": True, "runAsUser": 1001, "runAsGroup": 0, "seccompProfile": {"type": "RuntimeDefault"}}
    for key, value in wanted.items():
        if context.get(key) != value:
            yield f"securityContext.{key} is {context.get(key)!r}, not {value!r}"
    if not spec.get("serviceAccountName"):
        yield "has no service account"
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(key):
            yield f"{key} is set"


def _volumes(spec: dict) -> Iterator[str]:
    for volume in spec.get("volumes", []):
        kinds = set(volume) - {"name"}
        if not kinds <= _SHORT_LIVED:
            yield f"volume {volume['name']} is {kinds}"
        if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
            yield f"volume {volume['name']} may fill the node"


def _container(container: dict) -> Iterator[str]:
    image = container["image"]
    tag = image.rpartition("/")[2].partition(":")[2]
    if "@sha256:" not in image and tag in ("", "latest"):
        yield f"image {image!r} is not pinned"
    resources = container.get("resources", {})
    missing = [f"requests.{k}" for k in ("cpu", "memory") if k not in resources.get("requests", {})]
    missing += [] if "memory" in resources.get("limits", {}) else ["limits.memory"]
    for key in missing:
        yield f"has no resources.{key}"
    context = container.get("securityContext", {})
    wanted = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    for key, value in wanted.items():
        if context.get(key) != value:
            yield f"securityContext.{key} is {context.get(key)!r}, not {value!r}"
    yield from _leaks(container)


def _leaks(container: dict) -> Iterator[str]:
    """Ways by which a key gets into a pod's spec or a process list."""
    for variable in container.get("env", []):
        if "value" in variable and _SECRET_NAME.search(variable["name"]):
            yield f"variable {variable['name']} holds a secret"
    for word in (*container.get("command", []), *container.get("args", [])):
        if _SECRET_NAME.search(str(word)):
            yield f"argument {word!r} holds a secret"
    for source in container.get("envFrom", []):
        if (name := source.get("secretRef", {}).get("name", SECRET)) != SECRET:
            yield f"names secret {name!r}"


def _names(manifests: list[dict]) -> Iterator[str]:
    """References to what is not among the manifests."""
    there = {(one["kind"], one["metadata"]["name"]) for one in manifests}
    for name, spec in pod_specs(manifests):
        wanted = [("ServiceAccount", spec.get("serviceAccountName"))]
        for volume in spec.get("volumes", []):
            wanted += [("ConfigMap", volume["configMap"]["name"])] if "configMap" in volume else []
            if "persistentVolumeClaim" in volume:
                wanted.append(("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]))
        for container in containers(spec):
            refs = [
                source["configMapRef"]["name"] for source in container.get("envFrom", []) if "configMapRef" in source
            ]
            wanted += [("ConfigMap", ref) for ref in refs]
        missing = [pair for pair in wanted if pair not in there]
        yield from (f"{name}: {kind} {missed} is not there" for kind, missed in missing)
    for one in manifests:
        if one["kind"] not in ("Namespace", "StorageClass", "DaskCluster"):
            namespace = one["metadata"].get("namespace")
            if namespace != "landsat-downsample":
                yield f"{one['kind']} {one['metadata']['name']}: namespace is {namespace!r}"


def _claims(manifests: list[dict], *, one_node: bool) -> Iterator[str]:
    classes = {one["metadata"]["name"] for one in manifests if one["kind"] == "StorageClass"}
    wanted = ["ReadWriteOnce"] if one_node else ["ReadWriteMany"]
    for one in manifests:
        if one["kind"] == "PersistentVolumeClaim":
            if one["spec"]["accessModes"] != wanted:
                yield f"claim {one['metadata']['name']}: {one['spec']['accessModes']} is not {wanted}"
            name = one["spec"].get("storageClassName")
            if name is None and not one_node:
                yield f"claim {one['metadata']['name']}: has no storage class"
            if name and name.startswith("landsat-downsample") and name not in classes:
                yield f"claim {one['metadata']['name']}: class {name!r} is not there"


def _roles(manifests: list[dict]) -> Iterator[str]:
    bound = {one["subjects"][0]["name"] for one in manifests if one["kind"] == "RoleBinding"}
    for one in manifests:
        name = f"{one['kind']} {one['metadata']['name']}"
        if one["kind"].startswith("ClusterRole"):
            yield f"{name}: reaches beyond its namespace"
        for rule in one.get("rules", []):
            words = {*rule["verbs"], *rule["resources"], *rule["apiGroups"]}
            if words & {"*", "secrets", "escalate", "bind", "impersonate", "deletecollection"}:
                yield f"{name}: {sorted(words)} is too much"
        idle = one["kind"] == "ServiceAccount" and one["metadata"]["name"] not in bound
        if idle and one.get("automountServiceAccountToken") is not False:
            yield f"{name}: gets a token and needs none"


def _jobs(manifests: list[dict]) -> Iterator[str]:
    for one in manifests:
        if one["kind"] == "Job":
            missing = {"backoffLimit", "ttlSecondsAfterFinished", "activeDeadlineSeconds"} - set(one["spec"])
            yield from (f"Job {one['metadata']['name']}: has no {key}" for key in sorted(missing))
            if one["spec"]["template"]["spec"].get("restartPolicy") != "Never":
                yield f"Job {one['metadata']['name']}: hides failures by restarting"
