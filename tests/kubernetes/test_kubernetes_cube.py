"""A cube of products in S3, written by pods, one of which is killed: the same objects as by threads."""

from __future__ import annotations

import json
import time

import batches
import command
import pytest
from conftest import NAMESPACE, pods_of

import landsat_downsample as ld

pytestmark = pytest.mark.usefixtures("as_client", "spotless")

PREFIX = "cubes"
PLACE = f"s3://{batches.BUCKET}/{PREFIX}"
LAYOUT = ("--bands", "red,qa_pixel,red_count", "--dates-per-shard", "1")


@pytest.fixture(scope="module")
def products(bucket, tmp_path_factory):
    """Where products of twelve dates are."""
    names = ["SR_B4", "QA_PIXEL"]
    scenes = ld.make_scenes(tmp_path_factory.mktemp("dates"), dates=12, size=(351, 339), bands=names)
    done = ld.run(ld.plan(scenes, f"{PLACE}/products", factor=2, stats=["mean", "count"]), workers=2)
    assert [outcome.status for outcome in done] == ["done"] * 12
    return f"{PLACE}/products"


def objects(client, cube: str) -> dict[str, bytes]:
    """Content of each object of a cube, by its key there."""
    prefix = f"{PREFIX}/{cube}/"
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=batches.BUCKET, Prefix=prefix)
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    read = (client.get_object(Bucket=batches.BUCKET, Key=key)["Body"].read() for key in keys)
    return dict(zip((key.removeprefix(prefix) for key in keys), read, strict=True))


@pytest.mark.timeout(1200)
def test_pods_write_the_cube_that_threads_write(api, bucket, products):
    done = command.call("cube", products, "--to", f"{PLACE}/threads.zarr", *LAYOUT)
    assert done.code == 0, done.err
    words = ("--cluster", "kubernetes", "--workers", "2")
    running = command.spawn("cube", products, "--to", f"{PLACE}/pods.zarr", *LAYOUT, *words)
    try:
        until = time.monotonic() + 300
        while not objects(bucket, "pods.zarr"):
            assert running.poll() is None and time.monotonic() < until
            time.sleep(0.1)
        pod = pods_of(api, "worker")[0]["metadata"]["name"]
        assert batches.kill(api, NAMESPACE, pod).status == 200
        out, err = running.communicate(timeout=600)
    finally:
        running.kill()
        running.wait()
    assert running.returncode == 0, err
    assert json.loads(out)["dates"] == 12
    assert objects(bucket, "pods.zarr") == objects(bucket, "threads.zarr")
    assert len(objects(bucket, "pods.zarr")) > 3 * 12
