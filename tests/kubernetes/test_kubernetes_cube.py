"""A cube of products in S3, written by pods, one of which is killed: the same objects as by threads."""

from __future__ import annotations

import json
import time
from pathlib import Path

import batches
import command
import nbformat
import papermill
import pytest
from conftest import NAMESPACE, pods_of

import landsat_downsample as ld

pytestmark = pytest.mark.usefixtures("as_client", "spotless")

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
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


@pytest.mark.timeout(1200)
def test_forty_dates_become_months_in_a_notebook(bucket, tmp_path):
    """`monthly_composites` on pods: its figures are made, and its cube is that of threads of this machine."""
    made = ld.make_scenes(tmp_path / "dates", dates=40, size=(151, 139), bands=["SR_B4", "SR_B5", "QA_PIXEL"])
    for path in (path for scene in made for path in scene.iterdir()):
        key = f"{PREFIX}/forty/{path.parent.name}/{path.name}"
        bucket.put_object(Bucket=batches.BUCKET, Key=key, Body=path.read_bytes())
    sources = [f"{PLACE}/forty/{scene.name}" for scene in made]
    for to, cluster in ((f"{PLACE}/pods", "kubernetes"), (f"{PLACE}/threads", "none")):
        papermill.execute_notebook(
            NOTEBOOKS / "monthly_composites.ipynb",
            done := tmp_path / f"{cluster}.ipynb",
            {"sources": sources, "to": to, "cluster": cluster},
            kernel_name="python3",
            cwd=tmp_path,
            progress_bar=False,
        )
        outputs = [out for cell in nbformat.read(done, 4).cells for out in cell.get("outputs", [])]
        assert sum("image/png" in out.get("data", {}) for out in outputs) == 3
        assert any("40 dates, 40 of them new" in out.get("text", "") for out in outputs)
    assert objects(bucket, "pods/cube.zarr") == objects(bucket, "threads/cube.zarr")
