"""Dask on a real Kubernetes: made, used, hurt, scaled, refused, and gone afterwards."""

from __future__ import annotations

import hashlib
import os
import time
import urllib.request
from concurrent.futures import wait
from pathlib import Path

import pytest

import landsat_downsample as ld
from landsat_downsample import _publish, _store
from landsat_downsample._cluster import _kube_api, _kubernetes, cluster, dashboard_link
from landsat_downsample._cluster._dask_executor import DaskExecutor

BUCKET = "scenes"


def run(executor, plans) -> list[str]:
    """Run plans on an executor: targets, then publish."""
    work = []
    for plan in plans:
        publication = _store.Publication(plan.dest, plan.name)
        work.append((plan, publication, [executor.submit(target, publication) for target in plan.targets]))
    return [_publish.publish(plan, [f.result(240) for f in futures], pub) for plan, pub, futures in work]


def digests(client, prefix: str) -> dict[str, str]:
    """Digest of each object under a prefix, but those that hold the time of their making or their place."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    keys = [key for key in keys if key.endswith((".TIF", ".png", ".txt"))]
    read = {key.removeprefix(prefix): client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}
    return {key: hashlib.sha256(data).hexdigest() for key, data in read.items()}


@pytest.fixture(scope="module")
def scenes(bucket, tmp_path_factory):
    """Two small scenes in the bucket; their hrefs."""
    folder, hrefs = tmp_path_factory.mktemp("scenes"), []
    for seed in (1, 2):
        made = Path(str(ld.make_scene(str(folder / str(seed)), size=(1100, 900), seed=seed)))
        for path in made.iterdir():
            bucket.put_object(Bucket=BUCKET, Key=f"in{seed}/{made.name}/{path.name}", Body=path.read_bytes())
        hrefs.append(f"s3://{BUCKET}/in{seed}/{made.name}")
    return hrefs


@pytest.fixture(scope="module")
def pods(api, bucket):
    """A cluster of two workers, made when the secret with the bucket's keys is there."""
    with cluster("kubernetes", workers=2, deadline=180) as client:
        yield client
    assert _kubernetes.find(api) == []


def plans_to(scenes, prefix: str) -> list:
    """One plan for each scene, to a folder of its own: the scenes' names are alike."""
    return [ld.plan(href, f"s3://{BUCKET}/{prefix}/{k}", factor=7)[0] for k, href in enumerate(scenes)]


@pytest.fixture(scope="module")
def expected(bucket, scenes):
    """Digests of what this process makes of the scenes by itself."""
    for plan in plans_to(scenes, "here"):
        ld.run(plan)
    return digests(bucket, "here")


def test_workers_run_as_the_manifest_says(pods):
    info = pods.scheduler_info(n_workers=-1)["workers"]
    assert [worker["memory_limit"] for worker in info.values()] == [2 << 30] * 2
    assert [worker["nthreads"] for worker in info.values()] == [1] * 2
    assert set(pods.run(os.getuid).values()) == {1001}
    assert set(pods.run(os.access, "/opt", os.W_OK).values()) == {False}
    assert set(pods.run(os.access, "/scratch", os.W_OK).values()) == {True}


def test_dashboard_answers_at_its_link(pods):
    assert urllib.request.urlopen(dashboard_link(pods), timeout=20).status == 200


def test_batch_from_s3_to_s3_gives_the_bytes_of_one_process(pods, bucket, scenes, expected):
    executor = DaskExecutor(pods, owned=True)
    assert executor.width == 2
    run(executor, plans_to(scenes, "pods"))
    executor.close()
    assert len(expected) > 30
    assert digests(bucket, "pods") == expected


def test_worker_pod_killed_at_work(pods, api, bucket, scenes, expected):
    executor = DaskExecutor(pods, owned=True)
    plans = plans_to(scenes, "killed")
    work = [(plan, _store.Publication(plan.dest, plan.name)) for plan in plans]
    futures = [[executor.submit(target, pub) for target in plan.targets] for plan, pub in work]
    wait(futures[0][:4], timeout=120)
    path = f"namespaces/{api.namespace}/pods"
    victims = api.items("v1", f"{path}?labelSelector=dask.org/component%3Dworker")
    body = {"gracePeriodSeconds": 0}
    assert api.request("DELETE", "v1", f"{path}/{victims[0]['metadata']['name']}", body).status == 200
    for (plan, pub), part in zip(work, futures, strict=True):
        _publish.publish(plan, [future.result(240) for future in part], pub)
    executor.close()
    assert digests(bucket, "killed") == expected
    pods.wait_for_workers(2, timeout=120)


def test_scaling_down_at_work_loses_nothing(pods, bucket, scenes, expected):
    executor = DaskExecutor(pods, owned=True)
    plans = plans_to(scenes, "scaled")
    work = [(plan, _store.Publication(plan.dest, plan.name)) for plan in plans]
    futures = [[executor.submit(target, pub) for target in plan.targets] for plan, pub in work]
    wait(futures[0][:2], timeout=120)
    pods.cluster.scale(1)
    for (plan, pub), part in zip(work, futures, strict=True):
        _publish.publish(plan, [future.result(240) for future in part], pub)
    executor.close()
    assert digests(bucket, "scaled") == expected
    until = time.monotonic() + 90
    while len(pods.nthreads()) != 1 and time.monotonic() < until:
        time.sleep(0.5)
    assert len(pods.nthreads()) == 1
    pods.cluster.scale(2)
    pods.wait_for_workers(2, timeout=120)


def test_lost_phase_is_corrected(pods, api):
    made = _kubernetes.find(api)[0]
    path = f"namespaces/{made.namespace}/daskclusters/{made.name}"
    api.request("PATCH", _kube_api.DASK, path, {"status": {"phase": "Pending"}})
    kept = _kubernetes.KubernetesCluster({"metadata": {"name": made.name}, "spec": {}})
    kept._correct_phase()
    kept.api.close()
    assert _kubernetes.find(api)[0].phase == "Running"


def test_cluster_in_use_is_listed_and_not_cleaned(pods, api):
    [made] = _kubernetes.find(api)
    assert made.workers == 2
    assert not made.orphan
    assert _kubernetes.clean(api) == []
    assert len(_kubernetes.find(api)) == 1
