"""The S3 server of a test session, started once."""

from __future__ import annotations

import atexit
import urllib.error
import urllib.request
from functools import lru_cache

from landsat_downsample.testing.seaweed import BUCKET, RO, RW, Seaweed, environ, free_port, weed

__all__ = ["BUCKET", "RO", "RW", "Seaweed", "alive", "environ", "free_port", "server", "weed"]


@lru_cache(maxsize=1)
def server() -> Seaweed:
    """Start the server of this session, or give the one that runs."""
    running = Seaweed()
    atexit.register(running.stop)
    return running.start()


def alive(url: str) -> bool:
    """Tell whether anything answers at a URL."""
    try:
        urllib.request.urlopen(url, timeout=2).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True
