"""LP DAAC, its login host, CloudFront and Amazon S3 on loopback, under their own names.

Clients reach them through a proxy (HTTPS_PROXY) that connects every host to one TLS server, whose certificate has all
the names: no client is changed, and other processes find them as well. Every request is recorded.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlencode

from aiohttp import web
from fault_proxy import FileServer
from loopback import Loopback

DATA, LOGIN, SIGNED = "data.lpdaac.earthdatacloud.nasa.gov", "urs.earthdata.nasa.gov", "d1nklfio7vscoe.cloudfront.net"
BUCKET = "lp-prod-protected"
ROOT = f"https://{DATA}/{BUCKET}"
S3 = f"{BUCKET}.s3.us-west-2.amazonaws.com"
PUBLIC = ("dea-public-data.s3.ap-southeast-2.amazonaws.com", "deafrica-landsat.s3.af-south-1.amazonaws.com")
NAME, PASSWORD, TOKEN = "kelvin-of-lab", "p#ss:w0rd-never-shown", "eyJ0eXAi.never-shown.tok3n"
HTML = "<!DOCTYPE html><html><title>Earthdata Login</title></html>" + " " * 3000


def certificate(folder: Path) -> Path:
    """A certificate for all hosts, which signs itself; its key lies beside it."""
    path = folder / "hosts.pem"
    names = ",".join(f"DNS:{name}" for name in (DATA, LOGIN, SIGNED, S3, *PUBLIC))
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=loopback"]
    words += ["-addext", f"subjectAltName={names}", "-keyout", f"{path}.key", "-out", str(path)]
    subprocess.run(words, check=True, capture_output=True)
    return path


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    host: str
    method: str
    path: str
    headers: dict[str, str]
    """Names in lower case."""

    @property
    def text(self) -> str:
        return f"{self.method} {self.path} {self.headers}"


@dataclass
class Hosts(FileServer):
    """All hosts; `files` are named as in the bucket, ``/HLSL30.020/...``."""

    accounts: dict[str, str] = field(default_factory=lambda: {NAME: PASSWORD})
    tokens: set[str] = field(default_factory=lambda: {TOKEN})
    authorized: bool = True
    """Whether the account has approved the application."""
    agreed: bool = True
    """Whether it has agreed to the EULA."""
    broken: dict[str, list[int]] = field(default_factory=dict)
    """Statuses that a host answers with before it works."""
    allowance: int | None = None
    """How many files are given until all tokens and cookies have ended; None: they do not end."""
    moved: dict[str, str] = field(default_factory=dict)
    """Where paths of the data host redirect to."""
    lifetime: float = 3600
    """Seconds that temporary keys say they last."""
    asked: list[Asked] = field(default_factory=list)
    _codes: set[str] = field(default_factory=set)
    cookies: set[str] = field(default_factory=set)
    keys: dict[str, str] = field(default_factory=dict)
    """Session tokens of the temporary keys that are good, by key."""
    _count: int = 0

    def to(self, host: str) -> list[Asked]:
        return [one for one in self.asked if one.host == host]

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        host = headers["host"]
        self.asked.append(Asked(host, request.method, request.path_qs, headers))
        if self.broken.get(host):
            return web.Response(status=self.broken[host].pop(0))
        answer = {DATA: self._data, LOGIN: self._login, SIGNED: self._signed, S3: self._s3}.get(host, self._public)
        return await answer(request)

    def _new(self, kind: str) -> str:
        self._count += 1
        return f"{kind}-never-shown-{self._count}"

    # LP DAAC ------------------------------------------------------------------------------

    async def _data(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/login":
            return self._came_back(request)
        if request.path.startswith("/lp-prod-public/"):
            return await self._file(request, request.path.removeprefix("/lp-prod-public"))
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if bearer not in self.tokens and request.cookies.get("asf-urs") not in self.cookies:
            back = urlencode({"client_id": "lpdaac", "redirect_uri": f"https://{DATA}/login", "state": request.path})
            return web.Response(status=302, headers={"Location": f"https://{LOGIN}/oauth/authorize?{back}"})
        return self._for_the_known(request)

    def _for_the_known(self, request: web.BaseRequest) -> web.Response:
        if self.allowance is not None:
            self.allowance -= 1
            if self.allowance < 0:
                self.tokens.clear()
        if not self.agreed:
            said = {"status_code": 403, "error_description": "EULA Acceptance Failure", "resolution_url": "https://x"}
            return web.json_response(said, status=403)
        if request.path == "/s3credentials":
            return self._temporary()
        address = f"https://{SIGNED}{request.path.removeprefix(f'/{BUCKET}')}?A-userid=x&Signature={self._new('sig')}"
        return web.Response(status=303, headers={"Location": self.moved.get(request.path, address)})

    def _came_back(self, request: web.BaseRequest) -> web.Response:
        if request.query.get("code") not in self._codes:
            return web.Response(status=400)
        self._codes.discard(request.query["code"])
        cookie = self._new("cookie")
        self.cookies.add(cookie)
        kept = f"asf-urs={cookie}; Domain=.earthdatacloud.nasa.gov; Path=/; Secure; HttpOnly"
        return web.Response(status=301, headers={"Location": request.query["state"], "Set-Cookie": kept})

    def _temporary(self) -> web.Response:
        key = f"ASIA{self._new('KEY')}"
        self.keys[key] = self._new("session")
        until = time.strftime("%Y-%m-%d %H:%M:%S+00:00", time.gmtime(time.time() + self.lifetime))
        secret = self._new("secret")
        said = {"accessKeyId": key, "secretAccessKey": secret, "sessionToken": self.keys[key], "expiration": until}
        return web.json_response(said)

    # Earthdata Login ----------------------------------------------------------------------

    async def _login(self, request: web.BaseRequest) -> web.StreamResponse:
        given = request.headers.get("Authorization", "")
        if not given:
            return web.Response(text=HTML, content_type="text/html")
        name, _, password = base64.b64decode(given.removeprefix("Basic ")).decode().partition(":")
        if not given.startswith("Basic ") or self.accounts.get(name) != password:
            return web.Response(status=401, text="HTTP Basic: Access denied.\n")
        if not self.authorized:
            return web.Response(text=HTML, content_type="text/html")
        code = self._new("code")
        self._codes.add(code)
        back = f"{request.query['redirect_uri']}?code={code}&state={quote(request.query['state'])}"
        return web.Response(status=302, headers={"Location": back})

    # Stores -------------------------------------------------------------------------------

    async def _signed(self, request: web.BaseRequest) -> web.StreamResponse:
        if "Authorization" in request.headers:
            return web.Response(status=400, text="Only one auth mechanism allowed")
        return await self._file(request, request.path)

    async def _s3(self, request: web.BaseRequest) -> web.StreamResponse:
        signature = request.headers.get("Authorization", "")
        key = signature.partition("Credential=")[2].partition("/")[0]
        token = request.headers.get("X-Amz-Security-Token")
        if token is None or self.keys.get(key) != token or "/us-west-2/s3/" not in signature:
            code = "ExpiredToken" if token else "AccessDenied"
            text = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{code}</Message></Error>'
            return web.Response(status=400 if token else 403, text=text, content_type="application/xml")
        return await self._file(request, request.path)

    async def _public(self, request: web.BaseRequest) -> web.StreamResponse:
        if "Authorization" in request.headers:
            return web.Response(status=403)
        return await self._file(request, request.path)

    async def _file(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        return await self._answer(request.clone(rel_url=path))


@dataclass
class Proxy(Loopback):
    """Connects whatever host is asked for to one server on loopback."""

    target: int = 0
    asked: list[str] = field(default_factory=list)

    async def _start(self) -> None:
        self._open: set[asyncio.StreamWriter] = set()
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        self._server.close()
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        for writer in self._open:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.asked.append(head.split()[1].decode())
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
            self._open.add(back)
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(_copy(reader, back), _copy(there, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


def settings(proxy: Proxy, pem: Path) -> dict[str, str | None]:
    """Environment of a client that finds these hosts, and no credentials of who runs the tests."""
    hidden = ("EARTHDATA_TOKEN", "EARTHDATA_USERNAME", "EARTHDATA_PASSWORD", "NO_PROXY", "no_proxy", "https_proxy")
    found = {"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}", "SSL_CERT_FILE": str(pem), "AWS_CA_BUNDLE": str(pem)}
    return dict.fromkeys(hidden) | found | {"NETRC": str(pem.parent / "no-netrc")}


def tls(pem: Path) -> ssl.SSLContext:
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.load_cert_chain(pem, f"{pem}.key")
    return made


def check_secrets_stayed_home(world: Hosts) -> None:
    """Hold every request against whom its secrets are for."""
    word = base64.b64encode(f"{NAME}:{PASSWORD}".encode()).decode()
    for one in world.asked:
        given, kept = one.headers.get("authorization", ""), one.headers.get("cookie", "")
        assert "default-never" not in base64.b64decode(given[6:] + "==" if given.startswith("Basic") else "").decode()
        if one.host == DATA:
            assert given == "" or given.startswith("Bearer ")
            continue
        assert "cookie-never-shown" not in kept and not given.startswith("Bearer")
        if one.host == S3:
            assert "x-amz-security-token" in one.headers and "own-never-shown" not in given
        elif one.host == LOGIN:
            assert "never-shown" not in one.text and (given == "" or given.startswith("Basic "))
        else:
            assert given == "" and word not in one.text
