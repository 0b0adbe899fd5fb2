"""Dask on a real Kubernetes: made, used by a client that may do no more than it must, scaled, and gone afterwards."""

from __future__ import annotations

import os
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import batches
import pytest
from conftest import NAMESPACE, pods_of

import landsat_downsample as ld
from landsat_downsample.execution import kubernetes
from landsat_downsample.execution.cluster import cluster, dashboard_link
from landsat_downsample.execution.kube_api import DASK
from landsat_downsample.execution.kubernetes import RUN, KubernetesCluster


@pytest.fixture(scope="module")
def pods(api, bucket, as_client):
    """A cluster of two workers, made when the secret with the bucket's keys is there."""
    with cluster("kubernetes", workers=2, deadline=180) as client:
        yield client
    assert kubernetes.find(api, NAMESPACE) == []
    assert pods_of(api) == []


@pytest.fixture(scope="module")
def batch(bucket, tmp_path_factory):
    """Hrefs of six small scenes and two larger ones."""
    return batches.upload(bucket, tmp_path_factory.mktemp("scenes"), [(151, 139)] * 6 + [(1500, 1300)] * 2)


def test_workers_run_as_the_manifest_says(pods, api):
    info = pods.scheduler_info(n_workers=-1)["workers"]
    assert [worker["memory_limit"] for worker in info.values()] == [2 << 30] * 2
    assert [worker["nthreads"] for worker in info.values()] == [1] * 2
    assert set(pods.run(os.getuid).values()) == {1001}
    assert set(pods.run(os.access, "/opt", os.W_OK).values()) == {False}
    assert set(pods.run(os.access, "/scratch", os.W_OK).values()) == {True}
    [made] = kubernetes.find(api, NAMESPACE)
    assert [pod["metadata"]["labels"][RUN] for pod in pods_of(api)] == [made.run] * 3
    for pod in pods_of(api):
        [container] = pod["spec"]["containers"]
        assert container["resources"]["requests"].keys() >= {"cpu", "memory"}
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not [volume for volume in pod["spec"]["volumes"] if "emptyDir" not in volume]


def test_dashboard_answers_at_its_link(pods):
    assert urllib.request.urlopen(dashboard_link(pods), timeout=20).status == 200


def test_scaling_down_at_work_loses_nothing(pods, bucket, batch):
    plans = ld.plan(batch, batches.DEST, grid="modis:250m")
    ld.run(plans)
    expected = batches.take(bucket)
    with ThreadPoolExecutor(1) as aside:
        running = aside.submit(ld.run, plans, client=pods)
        batches.await_products(bucket, 2, lambda: not running.done())
        pods.cluster.scale(1)
        outcomes = running.result(240)
    assert [outcome.status for outcome in outcomes] == ["done"] * 8
    assert batches.take(bucket) == expected
    assert len(expected.objects) >= 8 * 10
    until = time.monotonic() + 90
    while len(pods.nthreads()) != 1 and time.monotonic() < until:
        time.sleep(0.5)
    assert len(pods.nthreads()) == 1
    pods.cluster.scale(2)
    pods.wait_for_workers(2, timeout=120)


def test_lost_phase_is_corrected(pods, api):
    [made] = kubernetes.find(api, NAMESPACE)
    path = f"namespaces/{NAMESPACE}/daskclusters/{made.name}"
    api.request("PATCH", DASK, path, {"status": {"phase": "Pending"}})
    kept = KubernetesCluster({"metadata": {"name": made.name}, "spec": {}})
    kept._correct_phase()
    kept.api.close()
    assert kubernetes.find(api, NAMESPACE)[0].phase == "Running"


def test_cluster_in_use_is_listed_and_not_cleaned(pods, api):
    [made] = kubernetes.find(api, NAMESPACE)
    assert made.workers == 2
    assert not made.orphan
    assert kubernetes.clean(api, NAMESPACE) == []
    assert len(kubernetes.find(api, NAMESPACE)) == 1
