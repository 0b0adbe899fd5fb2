"""Web servers on loopback: `serving` for a handler of the standard library, `Loopback` as the base of aiohttp's."""

from __future__ import annotations

import asyncio
import logging
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self


class Files(SimpleHTTPRequestHandler):
    """Gives the files of a folder, and says nothing."""

    def log_message(self, *_) -> None:
        pass


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler] = Files, folder: Path | None = None) -> Iterator[str]:
    """Run a server, of the files in a folder where one is given; its address."""
    answer = partial(handler, directory=str(folder)) if folder else handler
    with ThreadingHTTPServer(("127.0.0.1", 0), answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class Loopback:
    """A server with an event loop in a thread of its own; a subclass has a `_handle`, or makes another runner."""

    port = 0
    tls: ssl.SSLContext | None = None

    @property
    def endpoint(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # broken connections are its trade
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(120)
        return self

    def __exit__(self, *_) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(120)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _make_runner(self):
        from aiohttp import web

        return web.ServerRunner(web.Server(self._handle), handle_signals=False, shutdown_timeout=0.2)

    async def _start(self) -> None:
        from aiohttp import web

        self._runner = self._make_runner()
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self.tls)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        await self._runner.cleanup()
