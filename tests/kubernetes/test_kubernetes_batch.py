"""A list of scenes from S3 to S3 by the command line on a real Kubernetes, with a pod killed and a source corrupt."""

from __future__ import annotations

import json
import time

import batches
import pytest
from conftest import NAMESPACE, pods_of

pytestmark = pytest.mark.usefixtures("as_client", "spotless")

SMALL = (151, 139)
#: Number of the scene that is damaged.
DAMAGED = 17

#: The second one is for machines with time: its four are as large as the archive's.
BATCHES = {"few": [SMALL] * 40 + [(1500, 1300)] * 2, "many": [SMALL] * 200 + [(7641, 7801)] * 4}


@pytest.fixture(scope="module", params=BATCHES)
def batch(request, bucket, tmp_path_factory):
    """Hrefs of small scenes and larger ones; one band of one of the small is damaged."""
    return batches.upload(bucket, tmp_path_factory.mktemp("scenes"), BATCHES[request.param], damaged=DAMAGED)


@pytest.fixture(scope="module")
def serial(bucket, batch, tmp_path_factory):
    """What one thread of one process makes of the batch, taken away again."""
    folder, begun = tmp_path_factory.mktemp("serial"), time.monotonic()
    assert batches.start(folder, batch, "--cluster", "none", "--workers", "1").wait(1200) == 3, batches.reported(folder)
    print(f"one thread of this process: {time.monotonic() - begun:.0f} s")
    return batches.take(bucket)


@pytest.mark.timeout(2400)
def test_batch_with_a_killed_pod_and_a_corrupt_source(api, bucket, batch, serial, tmp_path):
    begun = time.monotonic()
    running = batches.start(tmp_path, batch, "--cluster", "kubernetes", "--workers", "2")
    try:
        batches.await_products(bucket, 5, lambda: running.poll() is None)
        first = time.monotonic()
        workers = {pod["metadata"]["uid"]: pod["metadata"]["name"] for pod in pods_of(api, "worker")}
        assert len(workers) == 2
        assert batches.kill(api, NAMESPACE, next(iter(workers.values()))).status == 200
        assert running.wait(1200) == 3, batches.reported(tmp_path)
    finally:
        running.kill()
        running.wait()
    print(f"two pods: five products after {first - begun:.0f} s, the end after {time.monotonic() - begun:.0f} s")
    out, err = batches.reported(tmp_path)
    found = batches.take(bucket)
    assert found.objects == serial.objects
    assert len(found.objects) >= 10 * (len(batch) - 1)
    assert [line["source"] for line in found.outcomes if line["status"] != "done"] == [batch[DAMAGED]]
    assert sorted(line["source"] for line in found.outcomes) == sorted(batch)
    assert len(out.splitlines()) == len(batch) - 1
    assert all(json.loads(line) for line in out.splitlines())
    [failure] = [line for line in err.splitlines() if "SR_B1" in line]
    assert batch[DAMAGED].rpartition("/")[2] in failure


#: Of the list to one grid of another projection.
THOUSAND = 1000


@pytest.mark.timeout(3600)
def test_many_scenes_to_one_grid(bucket, tmp_path):
    """A thousand scenes of a list: two pods give the bytes of one thread."""
    folder = tmp_path / "scenes"
    hrefs = batches.upload(bucket, folder, [(73, 61)] * THOUSAND, only=("SR_B4", "QA_PIXEL"))
    found, cells = {}, ("--grid", "modis:500m")
    for name, words in {
        "serial": ("--cluster", "none", "--workers", "1"),
        "pods": ("--cluster", "kubernetes", "--workers", "2"),
    }.items():
        begun = time.monotonic()
        running = batches.start(tmp_path / name, hrefs, *words, cells=cells)
        try:
            assert running.wait(1500) == 0, batches.reported(tmp_path / name)
        finally:
            running.kill()
            running.wait()
        print(f"{THOUSAND} scenes, {name}: {time.monotonic() - begun:.0f} s")
        found[name] = batches.take(bucket)
    assert len(found["serial"].outcomes) == len(found["pods"].outcomes) == THOUSAND
    assert found["pods"].objects == found["serial"].objects
    print(f"{len(found['pods'].objects)} objects alike")
