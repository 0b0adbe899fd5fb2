"""Temporary keys of a bucket that an Earthdata login opens: asked for when they are needed, anew before they end."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime
from typing import Any

from aiobotocore.credentials import AioCredentials
from aiobotocore.session import AioSession
from botocore.credentials import ReadOnlyCredentials

from landsat_downsample.storage import earthdata
from landsat_downsample.storage.retry import Mismatch, Refusal, retry_after

#: Seconds before their end at which keys are renewed: they last for an hour.
MARGIN = 300.0
_LIMIT = 1 << 16


class Keys(AioCredentials):  # type: ignore[misc]  # of a base without types
    """Keys for botocore, whose requests ask for them one by one."""

    def __init__(self, web: Any, url: str) -> None:
        super().__init__("", "", method="earthdata")
        self._web, self._url = web, url
        self._turn = asyncio.Lock()
        self._frozen: ReadOnlyCredentials | None = None
        self._until = 0.0

    async def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """The keys of now."""
        async with self._turn:
            if self._frozen is None or time.time() > self._until - MARGIN:
                self._frozen, self._until = await self._ask()
            return self._frozen

    def forget(self) -> None:
        """Ask anew the next time: the store says that they have ended."""
        self._frozen = None

    async def _ask(self) -> tuple[ReadOnlyCredentials, float]:
        session = await self._web.set_session()
        async with earthdata.opened(session, "GET", self._url) as reply:
            if reply.status != 200:
                raise Refusal(reply.status, "", retry_after(reply.headers))
            text = await reply.content.read(_LIMIT)
        try:
            record = json.loads(text)
            words = (record[name] for name in ("accessKeyId", "secretAccessKey", "sessionToken"))
            return ReadOnlyCredentials(*map(str, words)), _seconds(record["expiration"])
        except (ValueError, KeyError, TypeError) as error:
            raise Mismatch("the service of Earthdata's temporary keys gave none") from error


def _seconds(text: str) -> float:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


class _Provider:
    def __init__(self, keys: Keys) -> None:
        self.keys = keys

    async def load_credentials(self) -> Keys:
        return self.keys


def session_of(keys: Keys) -> AioSession:
    """A session whose clients have these keys."""
    session = AioSession()
    session.register_component("credential_provider", _Provider(keys))
    return session
