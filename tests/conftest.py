"""What holds for all tests: none of them knows how fast the machine is, nor how they were started."""

from __future__ import annotations

import gc
import signal

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture
def ctrl_c():
    """Let processes started here hear of SIGINT, even where this one was started in the background by a script."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    kept, gc.callbacks[:] = gc.callbacks[:], []  # hypothesis's, in which Python would drop a KeyboardInterrupt
    yield
    gc.callbacks[:] = kept
    signal.signal(signal.SIGINT, before)
