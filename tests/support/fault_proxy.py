"""A proxy on loopback that fails the way stores and networks do, one fault per request.

Faults (strings in ``FaultProxy.faults``, taken from the front; None lets a request pass):

===============  =====================================================================
``slowdown``     503 with S3's SlowDown
``busy``         503 with ``Retry-After: 1``
``error``        500
``reset``        connection reset before any answer, request not forwarded
``headers``      headers of the answer, then reset
``midbody``      half the body, then reset
``short``        the last tenth of the body missing, Content-Length and Content-Range consistent
``cut``          half the body, connection closed, no Content-Length
``flip``         one bit of the body flipped (of the answer, or of what is sent in a PUT)
``stall``        half the body, then silence
``silence``      no answer at all
``lost``         forwarded and done by the store, the answer lost
``login``        200 with a web page
``forbidden``    403
===============  =====================================================================

Where something must happen in the midst of other work, ``hold`` keeps that work waiting until ``let_go``.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import ClientSession, ClientTimeout, web
from loopback import Loopback
from multidict import CIMultiDict
from yarl import URL

from landsat_downsample.storage.fetch_request import HEADER

FAULTS = ("slowdown", "error", "reset", "headers", "midbody", "short", "cut", "flip", "stall", "silence", "lost")
_HOP = {"expect", "connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "proxy-connection"}
_HEADER = f"bytes=0-{HEADER - 1}"
_SLOW = '<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>'
_LOGIN = "<!DOCTYPE html><html><title>Sign in</title></html>" + " " * 3000


@dataclass(frozen=True)
class Seen:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    fault: str | None


@dataclass
class FaultProxy(Loopback):
    """Forwards to ``upstream``; every request is recorded in ``seen``."""

    upstream: str
    faults: deque = field(default_factory=deque)
    methods: tuple[str, ...] = ("GET", "PUT", "HEAD", "DELETE", "POST")
    """Requests of other methods pass without taking a fault."""
    seed: int = 0
    seen: list[Seen] = field(default_factory=list)
    down: int = 0
    """Bytes of bodies sent to clients."""
    may_break: Callable[[], bool] = lambda: True
    """Whether a body may break off already."""
    _held: str | None = None

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def hold(self, end: str) -> None:
        """Keep requests for the pixels of files whose name ends so, all but their headers, until `let_go`."""
        self._let_go.clear()
        self._held = end

    def let_go(self) -> None:
        self._held = None
        self._loop.call_soon_threadsafe(self._let_go.set)

    @property
    def holding(self) -> bool:
        """Whether a request has come that is kept."""
        return any(seen.fault == "held" for seen in self.seen)

    @property
    def silent(self) -> bool:
        """Whether a request has come that never gets an answer."""
        return any(seen.fault == "silence" for seen in self.seen)

    def plan(self, *faults: str | None) -> FaultProxy:
        """Set the faults to come, and forget what was seen."""
        self.faults = deque(faults)
        self.seen.clear()
        self.down = 0
        return self

    async def _start(self) -> None:
        self._let_go = asyncio.Event()
        self._session = ClientSession(auto_decompress=False, timeout=ClientTimeout(total=None))
        await super()._start()

    async def _stop(self) -> None:
        await super()._stop()
        await self._session.close()
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Expect", "").lower() == "100-continue":
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await request.read()
        fault = self._next_fault(request)
        self.seen.append(Seen(request.method, request.raw_path, dict(request.headers), fault))
        if fault == "held":
            await self._let_go.wait()
        early = await self._before(request, fault)
        if early is not None:
            return early
        if fault == "flip" and request.method == "PUT" and body:
            body = self._flip(body)
        status, headers, data = await self._forward(request, body)
        return await self._after(request, fault, status, headers, data)

    def _next_fault(self, request: web.BaseRequest) -> str | None:
        if self._held and request.path.endswith(self._held) and request.headers.get("Range") != _HEADER:
            return "held"
        return self.faults.popleft() if self.faults and request.method in self.methods else None

    async def _before(self, request: web.BaseRequest, fault: str | None) -> web.StreamResponse | None:
        plain = {
            "slowdown": lambda: web.Response(status=503, text=_SLOW, content_type="application/xml"),
            "busy": lambda: web.Response(status=503, headers={"Retry-After": "1"}),
            "error": lambda: web.Response(status=500),
            "forbidden": lambda: web.Response(status=403),
            "login": lambda: web.Response(text=_LOGIN, content_type="text/html"),
        }
        if fault in plain:
            return plain[fault]()
        if fault == "reset":
            self._abort(request)
        if fault == "silence":
            await asyncio.Event().wait()
        return None

    async def _forward(self, request: web.BaseRequest, body: bytes) -> tuple[int, CIMultiDict, bytes]:
        headers = CIMultiDict((k, v) for k, v in request.headers.items() if k.lower() not in _HOP)
        url = URL(self.upstream + request.raw_path, encoded=True)
        async with self._session.request(
            request.method, url, headers=headers, data=body or None, allow_redirects=False
        ) as reply:
            data = await reply.read()
            kept = CIMultiDict((k, v) for k, v in reply.headers.items() if k.lower() not in _HOP)
            return reply.status, kept, data

    async def _after(self, request, fault, status: int, headers: CIMultiDict, data: bytes) -> web.StreamResponse:
        if fault == "lost":
            self._abort(request)
        if fault == "flip" and request.method == "GET" and data:
            data = self._flip(data)
        if fault == "short" and data:
            data, headers = _shorten(data, headers)
        headers.popall("Date", None)
        if fault == "cut":
            headers.popall("Content-Length", None)
        response = web.StreamResponse(status=status, headers=headers)
        if fault == "cut":
            response.force_close()
            response._length_check = False
        await response.prepare(request)
        if fault == "headers":
            self._abort(request)
        broken = fault in ("midbody", "stall", "cut") and data
        part = data[: len(data) // 2] if broken else data
        if part and request.method != "HEAD":
            await response.write(part)
            self.down += len(part)
        if broken:
            await self._break(request, fault)
        await response.write_eof()
        return response

    async def _break(self, request: web.BaseRequest, fault: str) -> None:
        await asyncio.sleep(0.01)
        while not self.may_break():
            await asyncio.sleep(0.01)
        if fault == "stall":
            await asyncio.Event().wait()
        if fault == "cut":
            if request.transport is not None:
                request.transport.close()
            raise asyncio.CancelledError
        self._abort(request)

    def _abort(self, request: web.BaseRequest) -> None:
        if request.transport is not None:
            request.transport.abort()
        raise asyncio.CancelledError

    def _flip(self, data: bytes) -> bytes:
        flipped = bytearray(data)
        bit = self.random.randrange(len(data) * 8)
        flipped[bit // 8] ^= 1 << bit % 8
        return bytes(flipped)


def _shorten(data: bytes, headers: CIMultiDict) -> tuple[bytes, CIMultiDict]:
    """Cut a body as a store that lost its end would: every header agrees with what is left, but the total."""
    data = data[: len(data) - max(1, len(data) // 10)]
    headers["Content-Length"] = str(len(data))
    if "Content-Range" in headers:
        span, _, total = headers["Content-Range"].removeprefix("bytes ").partition("/")
        first = int(span.partition("-")[0])
        headers["Content-Range"] = f"bytes {first}-{first + len(data) - 1}/{total}"
    return data, headers


@dataclass
class FileServer(Loopback):
    """A plain web server of bytes by path: ranges, ETag, If-Match; no digest headers."""

    files: dict[str, bytes]
    ranges: bool = True
    length: bool = True
    """Whether it sends Content-Length."""
    tls: ssl.SSLContext | None = None
    seen: list[str] = field(default_factory=list)
    """Paths of all requests."""
    down: int = 0
    """Bytes of all bodies."""

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.seen.append(request.path)
        answer = await self._answer(request)
        self.down += len(answer.body or b"") if isinstance(answer, web.Response) else 0
        return answer

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        data = self.files.get(request.path)
        if data is None:
            return web.Response(status=404)
        etag = f'"{len(data):x}-{hash(data) & 0xFFFFFFFF:x}"'
        if request.headers.get("If-Match", etag) != etag:
            return web.Response(status=412)
        headers = {"ETag": etag, "Content-Type": "application/octet-stream"}
        span = request.headers.get("Range", "").removeprefix("bytes=")
        if span and self.ranges:
            first, _, last = span.partition("-")
            stop = min(int(last) + 1, len(data))
            if int(first) >= len(data):
                return web.Response(status=416)
            headers["Content-Range"] = f"bytes {first}-{stop - 1}/{len(data)}"
            return web.Response(status=206, body=data[int(first) : stop], headers=headers)
        if self.length:
            return web.Response(body=data, headers=headers)
        return await self._endless(request, data, headers)

    async def _endless(self, request, data: bytes, headers: dict) -> web.StreamResponse:
        """Answer as an HTTP/1.0 server: the end of the connection is the end of the body."""
        response = web.StreamResponse(headers=headers)
        response.force_close()
        await response.prepare(request)
        await response.write(data)
        await response.write_eof()
        return response
