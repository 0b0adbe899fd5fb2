"""One cluster for all tests of this folder that need no other: to start one costs seconds."""

from __future__ import annotations

import pytest
from command import wait_until

from landsat_downsample.execution.cluster import cluster


@pytest.fixture(scope="session")
def two_processes():
    with cluster("local", workers=2) as client:
        yield client


@pytest.fixture
def local(two_processes):
    """A cluster of two processes, also where a test before has killed one."""
    wait_until(lambda: len(two_processes.nthreads()) == 2)
    return two_processes
