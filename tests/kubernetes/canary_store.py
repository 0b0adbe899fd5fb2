"""An S3 server that pods reach, and whose one key is nowhere else: where it turns up, it has leaked."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from landsat_downsample.testing import seaweed
from landsat_downsample.testing.seaweed import BUCKET, Seaweed


@dataclass(frozen=True, slots=True)
class CanaryStore:
    """A running server; ``client`` is botocore's, apart from our own code."""

    endpoint: str
    """As pods see it."""
    key: str
    secret: str
    client: object

    @property
    def variables(self) -> dict[str, str]:
        """What a Kubernetes secret says of it."""
        keys = {"AWS_ACCESS_KEY_ID": self.key, "AWS_SECRET_ACCESS_KEY": self.secret}
        return {**keys, "AWS_ENDPOINT_URL": self.endpoint, "AWS_DEFAULT_REGION": "us-east-1"}

    def objects(self, prefix: str) -> dict[str, bytes]:
        """What lies under a prefix, by the rest of its key."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        get = self.client.get_object
        return {key.removeprefix(prefix): get(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}


@contextmanager
def canary_store(host: str) -> Iterator[CanaryStore]:
    """Run a server on an address of this machine that pods reach."""
    pair = (f"CANARYKEY{secrets.token_hex(6)}", f"canary-{secrets.token_hex(16)}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seaweed, "RW", pair)
        server = Seaweed().start()
        client = server.client()
    try:
        with _forwarded(host, server.port) as port:
            yield CanaryStore(f"http://{host}:{port}", *pair, client)
    finally:
        server.stop()


@contextmanager
def _forwarded(host: str, target: int) -> Iterator[int]:
    """Pass bytes from a free port of an address to one of loopback."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="forward", daemon=True)
    thread.start()

    async def serve(near_reader: asyncio.StreamReader, near_writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(_pump(near_reader, far_writer), _pump(far_reader, near_writer))

    opened = asyncio.run_coroutine_threadsafe(asyncio.start_server(serve, host, 0), loop).result(10)
    try:
        yield opened.sockets[0].getsockname()[1]
    finally:
        opened.close()
        asyncio.run_coroutine_threadsafe(_cancel_the_rest(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _cancel_the_rest() -> None:
    """End connections that are still open: a pending task would complain when the process ends."""
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
