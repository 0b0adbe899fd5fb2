"""Clusters on a real Kubernetes that do not come about, or that end by themselves."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import yaml

from landsat_downsample._cluster import _kube_api, _kubernetes, cluster

pytestmark = pytest.mark.usefixtures("spotless")


def manifest(folder: Path, change) -> str:
    """The package's manifest with a change, as a file."""
    spec = _kubernetes.read_manifest()
    change(spec["spec"])
    path = folder / "cluster.yaml"
    path.write_text(yaml.safe_dump(spec))
    return str(path)


def refused(spec: str, **options) -> str:
    with pytest.raises(_kube_api.KubernetesError) as caught, cluster(spec, workers=1, **options):
        pass
    return str(caught.value)


def test_bad_image(tmp_path):
    begun = time.monotonic()
    told = refused("kubernetes", image="localhost/nowhere:1", deadline=120)
    assert "localhost/nowhere:1" in told
    assert "ImagePullBackOff" in told
    assert "Failed to pull image" in told
    assert time.monotonic() - begun < 110


def test_no_node_has_room(tmp_path):
    def change(spec):
        spec["worker"]["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "1000"
        spec["worker"]["spec"]["containers"][0]["resources"]["limits"]["cpu"] = "1000"

    told = refused(manifest(tmp_path, change), deadline=40)
    assert "no worker was ready after 40 s" in told
    assert "Insufficient cpu" in told


def test_missing_secret(tmp_path):
    def change(spec):
        spec["worker"]["spec"]["containers"][0]["envFrom"] = [{"secretRef": {"name": "not-there"}}]

    told = refused(manifest(tmp_path, change), deadline=120)
    assert "CreateContainerConfigError" in told
    assert "not-there" in told


def test_command_that_fails(tmp_path):
    def change(spec):
        spec["scheduler"]["spec"]["containers"][0]["args"] = ["python3", "-c", "raise SystemExit('no such thing')"]

    told = refused(manifest(tmp_path, change), deadline=120)
    assert "CrashLoopBackOff" in told
    assert "no such thing" in told


def test_account_without_rights(api, tmp_path, monkeypatch):
    path = f"namespaces/{api.namespace}/serviceaccounts/default/token"
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = api.request("POST", "v1", path, body).body["status"]["token"]
    config = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    told = refused("kubernetes")
    assert "daskclusters.kubernetes.dask.org is forbidden" in told


def test_idle_cluster_ends_by_itself(api, tmp_path):
    spec = _kubernetes.read_manifest()
    spec["spec"]["idleTimeout"] = 10
    made = _kubernetes.prepared(spec, _kubernetes.run_id(), workers=1, image=os.environ[_kubernetes.IMAGE])
    left = _kubernetes.KubernetesCluster(made)
    left.start()
    until = time.monotonic() + 120
    while _kubernetes.find(api) and time.monotonic() < until:
        time.sleep(1)
    assert _kubernetes.find(api) == []
    left.close()


def test_orphan_is_found_and_cleaned(api):
    made = _kubernetes.prepared(_kubernetes.read_manifest(), _kubernetes.run_id(), workers=0)
    made["metadata"]["annotations"][_kubernetes.ALIVE] = "2020-01-01T00:00:00+00:00"
    path = f"namespaces/{api.namespace}/daskclusters"
    assert api.request("POST", _kube_api.DASK, path, made).status == 201
    [found] = _kubernetes.find(api)
    assert found.orphan
    assert [gone.name for gone in _kubernetes.clean(api)] == [made["metadata"]["name"]]


@pytest.mark.skipif("LANDSAT_K8S_HOME" not in os.environ, reason="stops the operator: only on a cluster for tests")
def test_no_operator(api):
    path = "namespaces/dask-operator/deployments/dask-operator"
    api.request("PATCH", "apps/v1", path, {"spec": {"replicas": 0}})
    until = time.monotonic() + 60
    while api.items("v1", "namespaces/dask-operator/pods?labelSelector=app%3Ddask-operator"):
        assert time.monotonic() < until
        time.sleep(0.5)
    try:
        told = refused("kubernetes")
        assert "no operator took notice of it in 45 s" in told
    finally:
        api.request("PATCH", "apps/v1", path, {"spec": {"replicas": 1}})
        until = time.monotonic() + 90
        while not api.request("GET", "apps/v1", path).body["status"].get("readyReplicas"):
            assert time.monotonic() < until
            time.sleep(0.5)
