"""Clusters on a real Kubernetes that do not come about, that end by themselves, or whose client ends."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import time
from pathlib import Path

import batches
import command
import pytest
import yaml
from conftest import NAMESPACE, RULES, account, pods_of

from landsat_downsample.execution import kubernetes, pods
from landsat_downsample.execution.cluster import cluster
from landsat_downsample.execution.kube_api import DASK, KubernetesError
from landsat_downsample.execution.kubernetes import ALIVE, IMAGE, KubernetesCluster

pytestmark = pytest.mark.usefixtures("as_client", "spotless")


def manifest(folder: Path, change) -> str:
    """The package's manifest with a change, as a file."""
    spec = kubernetes.read_manifest()
    change(spec["spec"])
    path = folder / "cluster.yaml"
    path.write_text(yaml.safe_dump(spec))
    return str(path)


def refused(spec: str, **options) -> str:
    with pytest.raises(KubernetesError) as caught, cluster(spec, workers=1, **options):
        pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


def await_that(what, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.3)


def test_bad_image(api):
    begun = time.monotonic()
    reported = refused("kubernetes", image="localhost/nowhere:1", deadline=240)
    assert "localhost/nowhere:1" in reported
    assert "ImagePullBackOff" in reported
    assert "Failed to pull image" in reported
    assert time.monotonic() - begun < 200  # told of as soon as Kubernetes does


def test_no_node_has_room(tmp_path):
    def change(spec):
        resources = spec["scheduler"]["spec"]["containers"][0]["resources"]
        resources["requests"]["cpu"] = resources["limits"]["cpu"] = "1000"

    reported = refused(manifest(tmp_path, change), deadline=15)
    assert "no scheduler was ready after 15 s" in reported
    assert "Insufficient cpu" in reported


def test_missing_secret(tmp_path):
    def change(spec):
        spec["scheduler"]["spec"]["containers"][0]["envFrom"] = [{"secretRef": {"name": "not-there"}}]

    reported = refused(manifest(tmp_path, change), deadline=120)
    assert "CreateContainerConfigError" in reported
    assert f"secret 'not-there' is not in namespace '{NAMESPACE}'" in reported
    assert f"kubectl -n {NAMESPACE} create secret generic not-there --from-env-file=store.env" in reported


def test_missing_service_account(tmp_path):
    def change(spec):
        spec["scheduler"]["spec"]["serviceAccountName"] = "not-there"

    reported = refused(manifest(tmp_path, change), deadline=120)
    assert reported.endswith(
        f"service account 'not-there' is not in namespace '{NAMESPACE}': "
        f"kubectl -n {NAMESPACE} create serviceaccount not-there"
    )


def test_workers_without_keys_say_which_secret_is_missing(bucket, tmp_path):
    """The secret is optional, as pods may have an identity of their own: what tells is the first read."""

    def change(spec):
        [worker] = spec["worker"]["spec"]["containers"]
        worker["envFrom"][0]["secretRef"]["name"] = "not-there"
        [named] = [entry for entry in worker["env"] if entry["name"] == "LANDSAT_DOWNSAMPLE_IDENTITY_FROM"]
        named["value"] = "$(POD_NAMESPACE)/not-there"
        worker["env"] += [{"name": name, "value": os.environ[name]} for name in ("AWS_ENDPOINT_URL",)]

    [href] = batches.upload(bucket, tmp_path, [(151, 139)])
    words = ("run", href, "--to", f"s3://{batches.BUCKET}/never", "--factor", "7", "--workers", "1")
    spawned = command.command(*words, "--cluster", manifest(tmp_path, change))
    done = subprocess.run(spawned, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 1, done.stderr
    assert "no credentials were found" in done.stderr
    assert f"kubectl -n {NAMESPACE} create secret generic not-there --from-env-file=store.env" in done.stderr


def test_command_that_fails(tmp_path):
    def change(spec):
        spec["scheduler"]["spec"]["containers"][0]["args"] = ["sh", "-c", "echo no such thing; exit 1"]

    reported = refused(manifest(tmp_path, change), deadline=120)
    assert "CrashLoopBackOff" in reported
    assert "no such thing" in reported


def test_account_without_rights(api, tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(account(api, tmp_path, "nobody", [])))
    begun = time.monotonic()
    reported = refused("kubernetes")
    assert "daskclusters.kubernetes.dask.org is forbidden" in reported
    assert "system:serviceaccount:landsat-downsample-tests:nobody" in reported
    assert time.monotonic() - begun < 30


def test_account_that_may_not_forward_ports(api, tmp_path, monkeypatch):
    rules = [rule for rule in RULES if "pods/portforward" not in rule["resources"]]
    monkeypatch.setenv("KUBECONFIG", str(account(api, tmp_path, "deaf", rules)))
    monkeypatch.setattr(kubernetes, "CONNECT", 20)
    assert "see that pods may be port-forwarded to" in refused("kubernetes", deadline=180)


def test_server_without_the_type(api, monkeypatch):
    monkeypatch.setattr(kubernetes, "DASK", "kubernetes.dask.org/v0")
    reported = refused("kubernetes")
    assert "its DaskCluster type is unknown: install the dask-kubernetes operator with its CRDs" in reported


def test_idle_cluster_ends_by_itself(api, tmp_path):
    spec = kubernetes.read_manifest()
    spec["spec"]["idleTimeout"] = 5
    made = kubernetes.prepared(spec, kubernetes.run_id(), workers=0, image=os.environ[IMAGE])
    left = KubernetesCluster(made)
    left.start()
    await_that(lambda: not kubernetes.find(api, NAMESPACE) and not pods_of(api), 180)
    left.close()


def test_orphan_is_found_and_cleaned(api):
    image = os.environ[IMAGE]
    made = kubernetes.prepared(kubernetes.read_manifest(), kubernetes.run_id(), workers=0, image=image)
    made["metadata"]["annotations"][ALIVE] = "2020-01-01T00:00:00+00:00"
    path = f"namespaces/{NAMESPACE}/daskclusters"
    assert api.request("POST", DASK, path, made).status == 201
    [found] = kubernetes.find(api, NAMESPACE)
    assert found.orphan
    assert [gone.name for gone in kubernetes.clean(api, NAMESPACE)] == [made["metadata"]["name"]]


@pytest.fixture
def at_work(api, bucket, tmp_path):
    """A command whose cluster has been made for it, and whose worker's pod is on its way; and its cluster."""
    [href] = batches.upload(bucket, tmp_path, [(151, 139)])
    words = ("run", href, "--to", f"s3://{batches.BUCKET}/never", "--factor", "7")
    client = command.spawn(*words, "--cluster", "kubernetes", "--workers", "1")
    try:
        await_that(lambda: client.poll() is not None or kubernetes.find(api, NAMESPACE), 60)
        await_that(lambda: client.poll() is not None or pods_of(api, "worker"), 90)
        assert client.poll() is None, client.communicate()
        [made] = kubernetes.find(api, NAMESPACE)
        yield client, made
    finally:
        client.kill()
        client.communicate()


def test_interrupted_client_leaves_no_pod(api, at_work):
    client, _ = at_work
    client.send_signal(signal.SIGINT)
    _, reported = client.communicate(timeout=120)
    assert client.returncode == 130, reported
    # `spotless` sees that nothing of it is left.


def test_killed_client_leaves_an_orphan_that_is_cleaned(api, at_work):
    client, made = at_work
    client.kill()
    client.wait()
    assert kubernetes.clean(api, NAMESPACE) == []  # it may yet be in use: ten minutes of silence make an orphan
    path = f"namespaces/{NAMESPACE}/daskclusters/{made.name}"
    silent = {"metadata": {"annotations": {ALIVE: "2020-01-01T00:00:00+00:00"}}}
    assert api.request("PATCH", DASK, path, silent).status == 200
    assert [gone.run for gone in kubernetes.clean(api, NAMESPACE)] == [made.run]
    assert pods_of(api) == []


def test_applied_manifest_is_joined_and_left(api, bucket, tmp_path):
    """What ``kubectl apply -f k8s/cluster.yaml`` makes, reached by a port-forward; only the image is another."""
    path = Path(__file__).parents[2] / "k8s" / "cluster.yaml"
    assert path.read_bytes() == Path(kubernetes.__file__).with_name("cluster.yaml").read_bytes()
    image = kubernetes.read_manifest()["spec"]["worker"]["spec"]["containers"][0]["image"]
    text = path.read_text().replace(image, os.environ[IMAGE])
    subprocess.run(["kubectl", "apply", "-f", "-"], input=text, text=True, check=True, timeout=60)
    name = "landsat-downsample"
    await_that(lambda: pods.look(api, NAMESPACE, name, "worker").ready, 180)
    [href] = batches.upload(bucket, tmp_path, [(151, 139)])
    forward = subprocess.Popen(
        ["kubectl", "port-forward", f"service/{name}-scheduler", ":8786"], stdout=subprocess.PIPE, text=True
    )
    try:
        port = forward.stdout.readline().split(" -> ")[0].rpartition(":")[2]
        words = ("run", href, "--to", batches.DEST, "--factor", "7")
        done = subprocess.run(
            command.command(*words, "--cluster", f"tcp://127.0.0.1:{port}"),
            capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    finally:
        forward.terminate()
        forward.communicate()
    assert len(batches.take(bucket).objects) >= 10
    [left] = kubernetes.find(api, NAMESPACE)
    assert left.name == name  # joined, so not removed
    assert not dataclasses.replace(left, silent=1e6).orphan  # nor by `clean`: its users send no heartbeats
    assert kubernetes.remove(api, name, NAMESPACE) == []


@pytest.mark.skipif("LANDSAT_K8S_HOME" not in os.environ, reason="stops the operator: only on a cluster for tests")
def test_no_operator(api, monkeypatch):
    monkeypatch.setattr(kubernetes, "NOTICE", 4)
    path = "namespaces/dask-operator/deployments/dask-operator"
    api.request("PATCH", "apps/v1", path, {"spec": {"replicas": 0}})
    gone = "namespaces/dask-operator/pods?labelSelector=app%3Ddask-operator"
    await_that(lambda: not api.items("v1", gone), 60)
    try:
        reported = refused("kubernetes", deadline=30)
        assert "no operator took notice of it in 4 s" in reported
    finally:
        api.request("PATCH", "apps/v1", path, {"spec": {"replicas": 1}})
        await_that(lambda: api.request("GET", "apps/v1", path).body["status"].get("readyReplicas"), 120)
