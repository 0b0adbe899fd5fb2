"""Planetary Computer blobs: signed just before they are read, unsigned everywhere else.

Tokens last about 45 minutes and are shared by all readers of a container; one is kept
per container with a margin, and asked for anew when the store answers 403.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import datetime

from landsat_downsample.model.location import Location, container, endpoint
from landsat_downsample.storage.locks import process_lock
from landsat_downsample.storage.retry import Mismatch

MARGIN = 300.0
"""Seconds before its expiry at which a token is renewed."""

_lock = process_lock()
_tokens: dict[tuple[str, str, str], tuple[str, float]] = {}


def sign(location: Location, fetch: Callable[[Location], bytes], *, now: float | None = None) -> Location:
    """Add a token to a blob's location where it needs one.

    Parameters
    ----------
    location : Location
        Returned as it is when it needs no token.
    fetch : callable
        ``fetch(url) -> bytes``, asks the token service.
    now : float, optional
        Seconds since 1970, for tests.
    """
    place = container(location)
    if place is None:
        return location
    key = (endpoint(), *place)
    now = time.time() if now is None else now
    with _lock:
        token, expiry = _tokens.get(key, ("", 0.0))
    if now > expiry - MARGIN:
        token, expiry = _ask(fetch(Location("/".join(key))))
        with _lock:
            _tokens[key] = (token, expiry)
    return Location(f"{location.href}{'&' if '?' in location.href else '?'}{token}")


def forget(location: Location, signed: Location) -> None:
    """Drop the token of a location's container, unless another thread has renewed the one that was refused."""
    if (place := container(location)) is None:
        return
    key = (endpoint(), *place)
    with _lock:
        token, _ = _tokens.get(key, ("", 0.0))
        if token and signed.href.endswith(token):
            del _tokens[key]


def _ask(answer: bytes) -> tuple[str, float]:
    try:
        fields = json.loads(answer)
        return str(fields["token"]), datetime.fromisoformat(fields["msft:expiry"].replace("Z", "+00:00")).timestamp()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Mismatch("the token service of the Planetary Computer gave no token") from error
