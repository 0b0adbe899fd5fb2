"""What `make fuzz` runs under sanitizers, some of it on the kernel as it is installed."""

from __future__ import annotations

import ctypes
import random

import pytest

from landsat_downsample.pipeline import tiles

if not tiles.available:
    pytest.skip("installed without a C compiler: GDAL reads", allow_module_level=True)

from fuzz import targets


@pytest.mark.parametrize("name", ["Inflate", "Tiles", "Shares", "Calls"])
def test_made_up_input_gives_what_zlib_and_numpy_give(name):
    rng = random.Random(5)
    target = getattr(targets, name)(ctypes.CDLL(tiles._native.__file__))
    corpus = target.seeds(rng)
    for data in (*corpus, *(target.changed(rng, corpus) for _ in range(300))):
        target.run(data)
    assert target.accepted >= 6
