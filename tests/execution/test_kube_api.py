"""Requests to the API of Kubernetes, where the extra `kubernetes` is installed: what they open is closed."""

from __future__ import annotations

import gc
import json
import warnings
from http.server import BaseHTTPRequestHandler

import pytest
from loopback import serving

from landsat_downsample.execution.kube_api import Api

pytest.importorskip("kr8s", reason="the extra kubernetes is not installed: .ci/kubernetes runs this where it is")

KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: here, cluster: {server: '%s'}}]
users: [{name: nobody, user: {}}]
contexts: [{name: here, context: {cluster: here, user: nobody}}]
current-context: here
"""


class Kubernetes(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections stay open

    def do_GET(self) -> None:
        body = json.dumps({"major": "1", "minor": "33", "gitVersion": "v1.33.0", "items": []}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_) -> None:
        pass


def test_what_it_opens_is_closed(tmp_path, monkeypatch):
    with serving(Kubernetes) as url, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        (tmp_path / "config").write_text(KUBECONFIG % url)
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
        with Api() as api:
            assert api.request("GET", "v1", "pods").status == 200
        del api
        gc.collect()
    assert [one for one in caught if issubclass(one.category, ResourceWarning)] == []
