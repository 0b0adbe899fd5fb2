"""A browser that shows the dashboard when a run ends."""

from __future__ import annotations

import pytest
from watched_run import watched

import landsat_downsample as ld


@pytest.mark.slow
def test_end_of_a_run_is_quiet_while_its_dashboard_is_open(tmp_path):
    scene = ld.make_scene(tmp_path, size=(151, 139), bands=("SR_B4", "QA_PIXEL"))
    assert watched(tmp_path, "local", str(scene), str(tmp_path / "out")) == (0, "")
    assert len(list((tmp_path / "out").iterdir())) == 1
