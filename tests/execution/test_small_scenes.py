"""What a scene costs beside its pixels: counted, not timed."""

from __future__ import annotations

import pytest
from rasterio import session

import landsat_downsample as ld


def test_no_session_of_amazon_is_made_for_files_of_a_disk(tmp_path, monkeypatch):
    scene = ld.make_scene(tmp_path, size=(600, 560), bands=["SR_B4", "QA_PIXEL"])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setattr(session.AWSSession, "__init__", lambda *_, **__: pytest.fail("a session was made"))
    (outcome,) = ld.run(ld.plan(scene, tmp_path / "out", factor=2))
    assert outcome.status == "done"
