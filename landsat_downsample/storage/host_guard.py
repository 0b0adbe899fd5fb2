"""Connections that lead inside only to hosts that the user named: judged at each request, redirects too.

The address that counts is the one connected to, so that a name which resolves to another address
each time it is asked for gains nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver

from landsat_downsample.errors import ReadError
from landsat_downsample.model.inner_hosts import canonical, is_inside


class Connector(aiohttp.TCPConnector):
    """Refuses hosts inside, by the names in URLs and by the addresses that they turn out to have."""

    def __init__(self, allowed: frozenset[str]) -> None:
        self._inside = allowed
        self._proxies: set[str] = set()  # named by the environment; they connect to the host in our place
        super().__init__(resolver=_Resolver(lambda name: name in allowed or name in self._proxies))

    async def connect(self, req: Any, traces: Any, timeout: Any) -> Any:
        """Connect, unless the host is inside and not allowed."""
        name = canonical(req.url.raw_host or "")
        if name in self._inside:
            return await super().connect(req, traces, timeout)
        if is_inside(name):
            raise _refusal(name)
        if req.proxy is not None:
            self._proxies.add(canonical(req.proxy.raw_host or ""))
            return await super().connect(req, traces, timeout)
        made = await super().connect(req, traces, timeout)
        peer = made.transport and made.transport.get_extra_info("peername")
        if not peer or is_inside(peer[0]):
            made.close()
            raise _refusal(name)
        return made


class _Resolver(AbstractResolver):
    """Looks addresses up; of a name that is not allowed none may be inside, so that they are not even knocked at."""

    def __init__(self, allows: Callable[[str], bool]) -> None:
        self._allows = allows
        self._plain = aiohttp.ThreadedResolver()

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[Any]:
        found = await self._plain.resolve(host, port, family)
        name = canonical(host)
        if not self._allows(name) and any(is_inside(one["host"]) for one in found):
            raise _refusal(name)
        return found

    async def close(self) -> None:
        await self._plain.close()


def _refusal(name: str) -> ReadError:
    return ReadError(
        f"host {name!r} is this machine or in its own network, where a document or redirect of another host may not "
        f"lead: refused; if it is meant, add --allow-host {name}"
    )
