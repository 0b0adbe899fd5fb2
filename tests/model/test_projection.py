"""Choosing PROJ's operation on several threads at a time, in a process that has not asked for one yet."""

from __future__ import annotations

import subprocess
import sys

_TOGETHER = """\
import sys
import threading
from affine import Affine
from concurrent.futures import ThreadPoolExecutor
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.projection import Projection, proj_version

ended = threading.Event()

def choose(zone):
    while zone > 31 and "pyproj" not in sys.modules and not ended.is_set():
        pass  # until the first one is at its import, which it has not ended then
    if zone % 2:
        proj_version()
    image = Grid((71, 73), Affine(30, 0, 499985, 0, -30, 5200015), f"EPSG:326{zone}")
    try:
        return Projection.between(image, "EPSG:6933").definition
    finally:
        ended.set()

with ThreadPoolExecutor(8) as pool:
    print(len(set(pool.map(choose, range(31, 39)))))
"""


def test_threads_that_are_first_to_need_proj_wait_for_each_other():
    done = subprocess.run([sys.executable, "-c", _TOGETHER], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("8\n", 0), done.stderr
