"""`clusters` and `doctor` on a real Kubernetes."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from command import call

import landsat_downsample as ld
from landsat_downsample.cli.doctor.examine import Asked, examine
from landsat_downsample.execution import kubernetes
from landsat_downsample.execution.kube_api import DASK
from landsat_downsample.execution.kubernetes import ALIVE, IMAGE, MANAGED

pytestmark = pytest.mark.usefixtures("spotless")


def make(api, *, alive: str | None = None, ours: bool = True) -> str:
    """Make a cluster without workers, as a run that died long ago would have left it; give its name."""
    made = kubernetes.prepared(kubernetes.read_manifest(), kubernetes.run_id(), workers=0)
    if alive:
        made["metadata"]["annotations"][ALIVE] = alive
    if not ours:
        made["metadata"]["labels"].pop(MANAGED)
    path = f"namespaces/{api.namespace}/daskclusters"
    assert api.request("POST", DASK, path, made).status == 201
    return made["metadata"]["name"]


def lines(*words: str) -> list[dict]:
    result = call("clusters", *words)
    assert result.code == 0, result.err
    return [json.loads(line) for line in result.out.splitlines()]


@pytest.mark.timeout(900)  # an operator ends the making of a cluster before it removes it
def test_orphans_are_listed_and_removed_and_nothing_else(api):
    orphan, living, foreign = make(api, alive="2020-01-01T00:00:00+00:00"), make(api), make(api, ours=False)
    try:
        assert {line["name"]: line["state"] for line in lines("list")} == {orphan: "orphan", living: "alive"}
        assert [(line["name"], line["removed"]) for line in lines("clean")] == [(orphan, False)]
        assert [line["name"] for line in lines("clean", "--all")] == [line["name"] for line in lines("list")]
        assert [(line["name"], line["removed"]) for line in lines("clean", "--yes")] == [(orphan, True)]
        assert [line["name"] for line in lines("list", "--namespace", api.namespace)] == [living]
        assert lines("list", "--namespace", "kube-system") == []
        assert [line["name"] for line in lines("clean", "--all", "--yes")] == [living]
        path = f"namespaces/{api.namespace}/daskclusters/{foreign}"
        assert api.request("GET", DASK, path).status == 200
    finally:
        for name in (orphan, living, foreign):
            kubernetes.remove(api, name, api.namespace, hurry=True)


def powerless(api, folder: Path) -> str:
    """A kubeconfig of an account without rights."""
    path = f"namespaces/{api.namespace}/serviceaccounts/default/token"
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = api.request("POST", "v1", path, body).body["status"]["token"]
    config = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
    (folder / "config").write_text(yaml.safe_dump(config))
    return str(folder / "config")


def test_without_rights_it_is_one_line(api, tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", powerless(api, tmp_path))
    for action in ("list", "clean"):
        result = call("clusters", action)
        assert result.code == 1 and len(result.lines) == 1
        assert "daskclusters.kubernetes.dask.org is forbidden" in result.err


def states(asked: Asked) -> dict[str, tuple[str, str]]:
    found = {finding.what: (finding.state, finding.fact) for finding in examine(asked)}
    print(*(f"{state}  {what}: {fact}" for what, (state, fact) in found.items()), sep="\n")
    return found


def pods_left(api) -> list[str]:
    found = api.items("v1", f"namespaces/{api.namespace}/pods?labelSelector=dask.org/component%3Dprobe")
    return [pod["metadata"]["name"] for pod in found if "deletionTimestamp" not in pod["metadata"]]


def test_doctor_of_a_good_cluster(api, bucket, tmp_path):
    scene = ld.make_scene(tmp_path, size=(151, 139), bands=["SR_B4", "QA_PIXEL"])
    for path in scene.iterdir():
        bucket.put_object(Bucket="scenes", Key=f"doctor/{path.name}", Body=path.read_bytes())
    asked = Asked("s3://scenes/doctor", "s3://scenes/doctor-out", "kubernetes", requester_pays=True)
    found = states(asked)
    wrong = {what: fact for what, (state, fact) in found.items() if state != "ok"}
    assert not set(wrong) - {"dashboard", "kernel"}, wrong
    for what in ("kubernetes", "types (CRDs)", "operator", "rights (RBAC)", "image", "cluster", "source from a worker"):
        assert found[what][0] == "ok"
    assert "tcp://" in found["requester pays"][1]
    assert pods_left(api) == []


def test_doctor_of_an_image_that_is_not_there(api, monkeypatch):
    monkeypatch.setenv(IMAGE, "localhost/nowhere:1")
    found = states(Asked(cluster="kubernetes"))
    assert found["image"][0] == "no" and "localhost/nowhere:1" in found["image"][1]
    assert found["cluster"] == ("--", "not tried: it would not come about")
    assert pods_left(api) == []


def test_doctor_without_rights(api, tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", powerless(api, tmp_path))
    found = states(Asked(cluster="kubernetes"))
    state, fact = found["rights (RBAC)"]
    assert state == "no" and "create/delete/get/list/patch on daskclusters.kubernetes.dask.org" in fact
    assert found["types (CRDs)"][0] == "ok"
    assert found["operator"][0] == found["image"][0] == "--"


@pytest.mark.skipif("LANDSAT_K8S_HOME" not in os.environ, reason="stops the operator: only on a cluster for tests")
def test_doctor_without_an_operator(api):
    path = "namespaces/dask-operator/deployments/dask-operator"
    api.request("PATCH", "apps/v1", path, {"spec": {"replicas": 0}})
    try:
        _until(lambda: not api.request("GET", "apps/v1", path).body["status"].get("readyReplicas"))
        found = states(Asked(cluster="kubernetes"))
        assert found["operator"][0] == "no" and "dask-operator/dask-operator is not ready" in found["operator"][1]
        assert found["image"][0] == "ok"  # looked at all the same
        assert found["cluster"][0] == "--"
    finally:
        api.request("PATCH", "apps/v1", path, {"spec": {"replicas": 1}})
        _until(lambda: api.request("GET", "apps/v1", path).body["status"].get("readyReplicas"))


def _until(true, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.5)
