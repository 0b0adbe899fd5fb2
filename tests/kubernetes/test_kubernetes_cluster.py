"""Dask on a real Kubernetes: made, used by a client that may do no more than it must, scaled, and gone afterwards."""

from __future__ import annotations

import os
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import batches
import pytest
from conftest import NAMESPACE, pods_of

from landsat_downsample._cluster import _kube_api, _kubernetes, cluster, dashboard_link


@pytest.fixture(scope="module")
def pods(api, bucket, as_client):
    """A cluster of two workers, made when the secret with the bucket's keys is there."""
    with cluster("kubernetes", workers=2, deadline=180) as client:
        yield client
    assert _kubernetes.find(api, NAMESPACE) == []
    assert pods_of(api) == []


@pytest.fixture(scope="module")
def batch(bucket, tmp_path_factory):
    """Hrefs of 40 small scenes and two larger ones; one band of one of the small is damaged."""
    return batches.upload(bucket, tmp_path_factory.mktemp("scenes"), [(151, 139)] * 40 + [(1500, 1300)] * 2, damaged=17)


@pytest.fixture(scope="module")
def serial(bucket, batch):
    """What the threads of this process make of the batch, taken away again."""
    told = batches.run(batch, None)
    return told, batches.take(bucket)


def test_workers_run_as_the_manifest_says(pods, api):
    info = pods.scheduler_info(n_workers=-1)["workers"]
    assert [worker["memory_limit"] for worker in info.values()] == [2 << 30] * 2
    assert [worker["nthreads"] for worker in info.values()] == [1] * 2
    assert set(pods.run(os.getuid).values()) == {1001}
    assert set(pods.run(os.access, "/opt", os.W_OK).values()) == {False}
    assert set(pods.run(os.access, "/scratch", os.W_OK).values()) == {True}
    [made] = _kubernetes.find(api, NAMESPACE)
    assert [pod["metadata"]["labels"][_kubernetes.RUN] for pod in pods_of(api)] == [made.run] * 3
    for pod in pods_of(api):
        [container] = pod["spec"]["containers"]
        assert container["resources"]["requests"].keys() >= {"cpu", "memory"}
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not [volume for volume in pod["spec"]["volumes"] if "emptyDir" not in volume]


def test_dashboard_answers_at_its_link(pods):
    assert urllib.request.urlopen(dashboard_link(pods), timeout=20).status == 200


def test_batch_with_a_killed_pod_and_a_corrupt_source(pods, api, bucket, batch, serial):
    with ThreadPoolExecutor(1) as aside:
        running = aside.submit(batches.run, batch, pods)
        batches.await_products(bucket, 5, running)
        victim = pods_of(api, "worker")[0]["metadata"]
        # Killed as a node's end does it: without notice.
        assert batches.kill(api, NAMESPACE, victim["name"]).status == 200
        outcomes = running.result(280)
    assert [number for number, outcome in enumerate(outcomes) if outcome.status != "done"] == [17]
    assert "SR_B1" in str(outcomes[17].error)
    expected, objects = serial
    assert [outcome.status for outcome in outcomes] == [outcome.status for outcome in expected]
    assert batches.take(bucket) == objects
    assert len(objects) > 41 * 10
    assert victim["uid"] not in [pod["metadata"]["uid"] for pod in pods_of(api, "worker")]
    pods.wait_for_workers(2, timeout=120)


def test_scaling_down_at_work_loses_nothing(pods, bucket, batch, serial):
    part = [*batch[:6], *batch[-2:]]
    with ThreadPoolExecutor(1) as aside:
        running = aside.submit(batches.run, part, pods, numbers=[*range(6), 40, 41])
        batches.await_products(bucket, 2, running)
        pods.cluster.scale(1)
        assert {outcome.status for outcome in running.result(240)} == {"done"}
    made = batches.take(bucket)
    assert made.items() <= serial[1].items()
    assert len({key.split("/")[1] for key in made}) == 8
    until = time.monotonic() + 90
    while len(pods.nthreads()) != 1 and time.monotonic() < until:
        time.sleep(0.5)
    assert len(pods.nthreads()) == 1
    pods.cluster.scale(2)
    pods.wait_for_workers(2, timeout=120)


def test_lost_phase_is_corrected(pods, api):
    [made] = _kubernetes.find(api, NAMESPACE)
    path = f"namespaces/{NAMESPACE}/daskclusters/{made.name}"
    api.request("PATCH", _kube_api.DASK, path, {"status": {"phase": "Pending"}})
    kept = _kubernetes.KubernetesCluster({"metadata": {"name": made.name}, "spec": {}})
    kept._correct_phase()
    kept.api.close()
    assert _kubernetes.find(api, NAMESPACE)[0].phase == "Running"


def test_cluster_in_use_is_listed_and_not_cleaned(pods, api):
    [made] = _kubernetes.find(api, NAMESPACE)
    assert made.workers == 2
    assert not made.orphan
    assert _kubernetes.clean(api, NAMESPACE) == []
    assert len(_kubernetes.find(api, NAMESPACE)) == 1
