"""NASA's Earthdata Login, which LP DAAC asks for before it gives a file of HLS.

A host of a family's table redirects to the login host, that one back with a code, for which the host sets a cookie,
and then to the file's signed address elsewhere. A token goes to the table's hosts, name and password to the login
host; both over TLS alone, and to nobody whom these redirect to. Nothing is kept beyond the process.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import netrc
import os
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from landsat_downsample.errors import ReadError
from landsat_downsample.model import environment
from landsat_downsample.model.family import earthdata_hosts
from landsat_downsample.model.inner_hosts import host_name
from landsat_downsample.model.location import Location
from landsat_downsample.storage.retry import Mismatch

LOGIN = "urs.earthdata.nasa.gov"

_NOT_ALLOWED = (
    f"the Earthdata account is not allowed it: log in at https://{LOGIN}, and under Applications, Authorized Apps "
    "approve LP DAAC's, with the agreement (EULA) that it asks for"
)
_AUTHORIZATION = "Authorization"

Handler = Callable[[Any], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Credentials:
    """A token, or a name and a password."""

    place: str
    """Where they were found: a variable or a file."""
    token: str = field(default="", repr=False)
    name: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @property
    def kind(self) -> str:
        """What they are, and where from; for people, without the secret."""
        if not self.token:
            return f"name and password from {self.place}"
        end = self.end
        return f"token from {self.place}{time.strftime(', valid until %Y-%m-%d', time.gmtime(end)) if end else ''}"

    @property
    def end(self) -> float:
        """When the token ends, in seconds since 1970, as it says itself (RFC 7519); 0 where it does not say."""
        try:
            claims = self.token.split(".")[1]
            return float(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"])
        except (IndexError, ValueError, KeyError, TypeError, OverflowError):
            return 0.0

    @property
    def refused(self) -> str:
        """What to say where nobody knows them."""
        if self.token:
            return f"Earthdata refuses the token of {self.place}: make another one at https://{LOGIN} (Generate Token)"
        return f"Earthdata does not know the name and password of {self.place}: see whether they open https://{LOGIN}"


#: Names and passwords that the login host refused: not tried again, for it locks an account after a few times.
_refused: set[Credentials] = set()
#: Of each session: the first request logs in for all.
_turns: WeakKeyDictionary[Any, asyncio.Lock] = WeakKeyDictionary()


def needed() -> str:
    """What to do where there are no credentials."""
    return (
        f"an Earthdata login is needed: set EARTHDATA_TOKEN to a token of https://{LOGIN} (Generate Token), or write "
        f"'machine {LOGIN} login NAME password WORD' into {_netrc()}; the Planetary Computer has the same granules "
        "without one (collections hls2-l30, hls2-s30)"
    )


def credentials() -> Credentials | None:
    """The credentials of this process: EARTHDATA_TOKEN, EARTHDATA_USERNAME with EARTHDATA_PASSWORD, or netrc.

    Raises
    ------
    ReadError
        They cannot be credentials, or the token has ended. The message holds nothing of them.
    """
    if token := (environment.read("EARTHDATA_TOKEN") or "").strip():
        if not re.fullmatch("[!-~]+", token):
            raise ReadError("EARTHDATA_TOKEN holds signs that no token has: give the token alone")
        found = Credentials("EARTHDATA_TOKEN", token=token)
        if 0 < found.end < time.time():
            ended = time.strftime("%Y-%m-%d", time.gmtime(found.end))
            raise ReadError(f"EARTHDATA_TOKEN ended on {ended}: make another one at https://{LOGIN} (Generate Token)")
        return found
    name, password = environment.read("EARTHDATA_USERNAME"), environment.read("EARTHDATA_PASSWORD")
    if name and password:
        return Credentials("EARTHDATA_USERNAME and EARTHDATA_PASSWORD", name=name, password=password)
    return _of_netrc(_netrc())


def _netrc() -> str:
    return environment.read("NETRC") or "~/.netrc"


def _of_netrc(path: str) -> Credentials | None:
    try:
        found = netrc.netrc(os.path.expanduser(path)).hosts.get(LOGIN)
    except FileNotFoundError:
        return None
    except netrc.NetrcParseError as error:  # whose words may be a part of a password
        raise ReadError(f"{path} is not as a netrc file must be: see its line {error.lineno}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ReadError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}") from None
    return Credentials(path, name=found[0], password=found[2]) if found and found[0] and found[2] else None


def applies(location: Location) -> bool:
    """Whether it is on a host that gives files after an Earthdata login."""
    return host_name(location) in earthdata_hosts()


@asynccontextmanager
async def opened(session: Any, method: str, url: Any, **options: Any) -> AsyncIterator[Any]:
    """Make a request to a host of a table, and log in where it asks for that.

    Yields
    ------
    aiohttp.ClientResponse
        Of the file, wherever it is; its status may be any that has nothing to do with a login.

    Raises
    ------
    ReadError
        There are no credentials, they are refused, or do not allow the file.
    Mismatch
        The signed address was refused.
    """
    found = credentials()
    async with AsyncExitStack() as stack:
        if found and not found.token and not session.cookie_jar.filter_cookies(url):
            await stack.enter_async_context(_turns.setdefault(session, asyncio.Lock()))
        reply = await session.request(method, url, middlewares=(partial(_log_in, found),), **options)
    async with reply:
        _judge(reply, found)
        yield reply


async def _log_in(found: Credentials | None, request: Any, handler: Handler) -> Any:
    """Send one request of a chain of redirects, with the credentials that are for its host."""
    request.headers.pop(_AUTHORIZATION, None)  # aiohttp's, of a line of netrc that is for every host
    host, sealed = request.url.host, request.url.scheme == "https"
    if host == LOGIN:
        return await _ask_login_host(found, sealed, request, handler)
    if sealed and host in earthdata_hosts() and found and found.token:
        request.headers[_AUTHORIZATION] = f"Bearer {found.token}"
    return await handler(request)


async def _ask_login_host(found: Credentials | None, sealed: bool, request: Any, handler: Handler) -> Any:
    if found is None:
        raise ReadError(needed())
    if found.token or found in _refused:  # a token that is good is not sent here
        raise ReadError(found.refused)
    if not sealed:
        raise ReadError("it redirects to a login that is not encrypted: refused")
    word = base64.b64encode(f"{found.name}:{found.password}".encode()).decode()
    request.headers[_AUTHORIZATION] = f"Basic {word}"
    reply = await handler(request)
    if reply.status == 401:
        reply.close()
        _refused.add(found)
        raise ReadError(found.refused)
    return reply


def _judge(reply: Any, found: Credentials | None) -> None:
    """Take neither a login page nor an answer about the login for one about the file."""
    host, status = reply.url.host, reply.status
    ours = host in earthdata_hosts()
    if ours and status in (401, 403) and found is None:
        raise ReadError(needed())
    if ours and status == 401 and found:
        raise ReadError(found.refused)
    page = status < 400 and (host == LOGIN or (ours and reply.content_type == "text/html"))
    if page or (status == 403 and (ours or host == LOGIN)):
        raise ReadError(_NOT_ALLOWED if found else needed())
    if status == 403:
        raise Mismatch("the store refuses its signed address, as it does where there is no such file")


async def keep_home(request: Any, handler: Handler) -> Any:
    """Send any other request: without the name and password of Earthdata, whoever redirects to its login host."""
    if request.url.host == LOGIN:
        request.headers.pop(_AUTHORIZATION, None)
    return await handler(request)


def no_netrc(record: logging.LogRecord) -> bool:
    """Drop what aiohttp logs of a netrc file that is wrong: its words may be a part of a password."""
    return "netrc" not in str(record.msg)
