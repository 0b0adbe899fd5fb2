"""How long to retry, how many requests to make at once, and who pays."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from landsat_downsample.errors import UsageError
from landsat_downsample.model import environment
from landsat_downsample.model.inner_hosts import canonical, host_name
from landsat_downsample.model.location import Location
from landsat_downsample.model.words import words

#: Seconds of `Policy.budget`, where they are to be others.
BUDGET = "LANDSAT_DOWNSAMPLE_BUDGET"

#: Requests to one host or bucket at one time, where `Policy.per_host` is to be another.
REQUESTS_PER_HOST = "LANDSAT_DOWNSAMPLE_REQUESTS_PER_HOST"

#: Hosts that may be inside, with commas between them.
ALLOW_HOSTS = "LANDSAT_DOWNSAMPLE_ALLOW_HOSTS"


@dataclass(frozen=True, slots=True)
class Policy:
    """How long to retry, how many requests to make at once, and who pays."""

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
    per_host: int = 32
    """Requests that this process makes to one host or bucket at one time, reads and writes; bands that a run does."""
    allow_hosts: tuple[str, ...] = ()
    """Hosts that may be of this machine or its own network (`_inside`), whoever names them."""
    led: bool = False
    """Whether a document of another host led here; what the user names himself may be inside."""

    def __post_init__(self) -> None:
        if min(self.budget, self.slowest, self.timeout, self.base, self.cap) <= 0:
            raise UsageError("budget, timeout and backoff must be more than 0 seconds")
        if self.per_host < 1:
            raise UsageError(f"requests per host {self.per_host!r} must be at least 1: nothing would ever be fetched")

    def led_by(self, location: Location) -> Policy:
        """What to follow a document with: a remote one may lead to its own host, and to none inside but that."""
        return (
            self if self.led or location.is_local else replace(self, allow_hosts=self.may_be_inside(location), led=True)
        )

    def may_be_inside(self, location: Location) -> tuple[str, ...]:
        """Hosts that may be inside while a location is read."""
        own = () if self.led else (host_name(location),)
        return tuple(host for host in dict.fromkeys((*self.allow_hosts, *own)) if host)

    def allowing(self, hosts: Iterable[str]) -> Policy:
        """Let more hosts be inside.

        Raises
        ------
        UsageError
            One is a URL, or empty.
        """
        hosts = (hosts,) if isinstance(hosts, str) else tuple(hosts)
        for host in hosts:
            if not canonical(host) or "/" in host:
                raise UsageError(f"allowed host {host!r} is no host: give its name or address alone, such as 10.0.0.5")
        return replace(self, allow_hosts=tuple(dict.fromkeys((*self.allow_hosts, *map(canonical, hosts)))))

    @classmethod
    def of(cls, part: Any) -> Policy:
        """Build one from the environment and what was agreed when a scene or band was opened."""
        policy = cls.from_environ().allowing(part.allow_hosts)
        return replace(policy, requester_pays=part.requester_pays, led=part.led)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> Policy:
        """Build one from LANDSAT_DOWNSAMPLE_BUDGET, _TIMEOUT, _REQUESTS_PER_HOST, _ALLOW_HOSTS; AWS_REQUEST_PAYER."""
        values: dict[str, Any] = {}
        for name in ("budget", "timeout"):
            text = environment.read(f"LANDSAT_DOWNSAMPLE_{name.upper()}", environ)
            try:
                values |= {name: float(text)} if text else {}
            except ValueError as error:
                raise UsageError(f"LANDSAT_DOWNSAMPLE_{name.upper()} is {text!r}: give seconds") from error
        if per_host := environment.read(REQUESTS_PER_HOST, environ):
            if not per_host.isdecimal():
                raise UsageError(f"{REQUESTS_PER_HOST} is {per_host!r}: give a whole number")
            values["per_host"] = int(per_host)
        hosts = words(environment.read(ALLOW_HOSTS, environ) or "")
        pays = environment.read("AWS_REQUEST_PAYER", environ) == "requester"
        return cls(**values, requester_pays=pays).allowing(hosts)
