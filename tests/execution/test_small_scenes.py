"""What a scene costs beside its pixels: counted, not timed."""

from __future__ import annotations

from collections import Counter

import pytest
import s3
from conftest_s3 import proxied, s3_env, seaweed  # noqa: F401 - fixtures
from rasterio import session

import landsat_downsample as ld
from landsat_downsample.storage.probe import NAME


def test_no_session_of_amazon_is_made_for_files_of_a_disk(tmp_path, monkeypatch):
    scene = ld.make_scene(tmp_path, size=(600, 560), bands=["SR_B4", "QA_PIXEL"])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setattr(session.AWSSession, "__init__", lambda *_, **__: pytest.fail("a session was made"))
    (outcome,) = ld.run(ld.plan(scene, tmp_path / "out", factor=2))
    assert outcome.status == "done"


def test_a_small_scene_takes_a_request_for_each_file_and_few_more(tmp_path, proxied, seaweed):  # noqa: F811
    scene = ld.make_scene(tmp_path, size=(120, 110), bands=["SR_B4", "SR_B5", "QA_PIXEL"])
    for path in scene.iterdir():
        seaweed.client().put_object(Bucket=s3.BUCKET, Key=f"few/{scene.name}/{path.name}", Body=path.read_bytes())
    proxied.plan()
    (outcome,) = ld.run(ld.plan(f"s3://{s3.BUCKET}/few/{scene.name}", f"s3://{s3.BUCKET}/few-out", factor=3))
    seen = Counter("LIST" if "list-type" in one.path else one.method for one in proxied.seen if NAME not in one.path)
    assert outcome.status == "done"
    # Bands once, with their headers; the MTL twice and three more texts; the product's item, which is not there.
    assert seen["GET"] == 3 + 5 + 1
    assert seen["PUT"] == 4 + 4 + 3  # bands and QA_FRACTIONS; texts; picture, met.json, STAC item
    assert seen["LIST"] == 2 and seen["HEAD"] == 0  # the source; the product, before its item is written
