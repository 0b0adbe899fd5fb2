"""How patiently to talk to servers, and who pays: all that is needed of it where no server is asked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from landsat_downsample._errors import UsageError

#: Objects read from one host or bucket at one time, and the environment variable that says otherwise.
PER_HOST, REQUESTS_PER_HOST = 32, "LANDSAT_DOWNSAMPLE_REQUESTS_PER_HOST"


@dataclass(frozen=True, slots=True)
class Policy:
    """How patiently to talk to a server, and who pays."""

    budget: float = 120.0
    """Seconds that one object may take, all retries included, besides the time for its bytes."""
    slowest: float = 250_000.0
    """Bytes per second: the slowest transfer tolerated; silence is bounded by ``timeout``."""
    timeout: float = 20.0
    """Seconds of silence after which a connection counts as dead."""
    base: float = 0.25
    """First backoff in seconds; doubles with each try, full jitter."""
    cap: float = 15.0
    """Longest backoff in seconds."""
    requester_pays: bool = False
    """Whether the reader agrees to pay (S3 Requester Pays buckets)."""
    per_host: int = PER_HOST
    """Objects that this process reads from one host or bucket at one time."""

    def __post_init__(self) -> None:
        if min(self.budget, self.slowest, self.timeout, self.base, self.cap) <= 0:
            raise UsageError("budget, timeout and backoff must be more than 0 seconds")
        if self.per_host < 1:
            raise UsageError(f"requests per host {self.per_host!r} must be at least 1: nothing would ever be fetched")

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> Policy:
        """Build a policy from LANDSAT_DOWNSAMPLE_BUDGET, _TIMEOUT, _REQUESTS_PER_HOST and AWS_REQUEST_PAYER."""
        values = {}
        for name in ("budget", "timeout"):
            text = environ.get(f"LANDSAT_DOWNSAMPLE_{name.upper()}")
            try:
                values |= {name: float(text)} if text else {}
            except ValueError as error:
                raise UsageError(f"LANDSAT_DOWNSAMPLE_{name.upper()} is {text!r}: give seconds") from error
        if per_host := environ.get(REQUESTS_PER_HOST):
            if not per_host.isdecimal():
                raise UsageError(f"{REQUESTS_PER_HOST} is {per_host!r}: give a whole number")
            values["per_host"] = int(per_host)
        return cls(**values, requester_pays=environ.get("AWS_REQUEST_PAYER") == "requester")
