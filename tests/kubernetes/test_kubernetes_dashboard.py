"""A browser that shows the dashboard of a cluster of pods when a run ends."""

from __future__ import annotations

import batches
import pytest
from watched_run import watched

pytestmark = pytest.mark.usefixtures("as_client", "spotless")


def test_end_of_a_run_is_quiet_while_its_dashboard_is_open(bucket, tmp_path):
    [href] = batches.upload(bucket, tmp_path, [(151, 139)])
    code, reported = watched(tmp_path, "kubernetes", href, batches.DEST)
    assert code == 0, reported
    assert reported == ""
    assert len(batches.take(bucket).objects) >= 10
