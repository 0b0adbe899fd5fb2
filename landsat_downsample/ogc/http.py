"""Requests to a processing service and what its answers mean: JSON, or a problem in one line."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import IO, Any
from urllib.parse import urlsplit

from landsat_downsample.errors import LandsatDownsampleError, ReadError, UsageError
from landsat_downsample.model import environment
from landsat_downsample.model.location import redact
from landsat_downsample.model.policy import Policy
from landsat_downsample.storage.retry import Refusal, RetryBudget, classify, retry_after

#: Environment variable with the bearer token of the service; its value is never shown.
TOKEN = "LANDSAT_DOWNSAMPLE_ADES_TOKEN"

#: An answer is a description, a status or links; anything larger is not what was asked for.
MAX_ANSWER = 64 << 20

#: Seconds that a question may take with all retries: whoever waits for a job asks again anyway.
RETRY_BUDGET = 30.0

#: Answers that say: not now. Only a question is asked again; what was sent may have been taken.
_RETRYABLE = (408, 425, 429, 502, 503, 504)

_PORTS = {"http": 80, "https": 443}
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def _policy() -> Policy:
    policy = Policy.from_environ()
    return replace(policy, budget=min(policy.budget, RETRY_BUDGET))


class AdesError(LandsatDownsampleError):
    """A processing service refused a request, or its job failed.

    Attributes
    ----------
    status : int
        HTTP status of the answer; 0 for a job that failed.
    kind : str
        Last part of the problem's type URI: ``no-such-process``, ``duplicated-process`` ...

    Examples
    --------
    >>> with ld.ades("local") as service:
    ...     try:
    ...         service.describe("nothing")
    ...     except ld.AdesError as error:
    ...         print(error.status)
    404
    """

    def __init__(self, message: str, status: int = 0, kind: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind


@dataclass(frozen=True, slots=True)
class ServiceResponse:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def document(self, what: str) -> dict[str, Any]:
        """Read the JSON object in it."""
        try:
            found = json.loads(self.body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            kind = self.headers.get("Content-Type", "of no media type")
            raise AdesError(f"{what}: the answer ({kind}) is no JSON object: see that this is an OGC API", self.status)
        return found


@dataclass(frozen=True, slots=True)
class ServiceClient:
    """The way to one service: its address, and who asks."""

    url: str
    token: Callable[[], str] | None = field(default=None, repr=False)
    policy: Policy = field(default_factory=_policy)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise UsageError(f"service {redact(self.url)!r} is no address: give one such as https://host/ogc-api")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise UsageError(f"service {redact(self.url)!r}: give the bare address, and a token in {TOKEN}")
        object.__setattr__(self, "url", self.url.rstrip("/"))

    def get(self, path: str, what: str) -> ServiceResponse:
        """Ask for something; transient failures are retried, as long as the policy allows."""
        return RetryBudget(self.policy).call(what, lambda left: self._exchange(self._request("GET", path), what, left))

    def send(
        self, method: str, path: str, what: str, body: bytes | None = None, headers: dict[str, Any] | None = None
    ) -> ServiceResponse:
        """Change something, in one try: a second one might do it twice."""
        request = self._request(method, path, body, headers)
        try:
            return self._exchange(request, what, self.policy.budget)
        except Refusal as refusal:
            raise AdesError(f"{what}: {refusal}: try again later", refusal.status) from None
        except (OSError, http.client.HTTPException) as error:
            raise ReadError(f"{what}: {classify(error).reason}: see that the service runs") from error

    def place(self, location: str | None, path: str) -> str:
        """Where a resource is: as the service says, unless a proxy before it made that another host's address."""
        return location if location and _origin(location) == _origin(self.url) else self.url + path

    def _request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, Any] | None = None
    ) -> urllib.request.Request:
        address = path if path.startswith(("http://", "https://")) else self.url + path
        sent = {"Accept": "application/json"} | (headers or {})
        request = urllib.request.Request(address, data=body, method=method, headers=sent)
        if secret := self._secret():
            # Unredirected: a redirect to another host must not carry it along.
            request.add_unredirected_header("Authorization", f"Bearer {secret}")
        return request

    def _secret(self) -> str:
        secret = (self.token() if self.token else environment.read(TOKEN) or "").strip()
        parts = urlsplit(self.url)
        if secret and parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise UsageError(f"service {self.url!r} would get the token unencrypted: use its https:// address")
        return secret

    def _exchange(self, request: urllib.request.Request, what: str, seconds: float) -> ServiceResponse:
        try:
            with _OPENER.open(request, timeout=min(seconds, self.policy.timeout)) as response:
                body = response.read(MAX_ANSWER)
                if response.length:  # what should still come; read(amount) itself does not mind
                    raise http.client.IncompleteRead(body, response.length)
                return ServiceResponse(response.status, response.headers, body)
        except urllib.error.HTTPError as error:
            with error:
                if error.code in _RETRYABLE:
                    raise Refusal(error.code, retry_after=retry_after(dict(error.headers.items()))) from None
                raise _problem(error, what, secret=request.get_header("Authorization", "")) from None
        except urllib.error.URLError as error:
            raise error.reason if isinstance(error.reason, OSError) else ConnectionError(str(error.reason)) from None


def _problem(error: urllib.error.HTTPError, what: str, secret: str) -> AdesError:
    """What a service says is wrong, as RFC 7807 has it, or its elder cousins."""
    try:
        problem = json.loads(error.read(MAX_ANSWER))
    except (ValueError, OSError):
        problem = None
    problem = problem if isinstance(problem, dict) else {}
    words = next((str(problem[key]) for key in ("detail", "description", "title") if problem.get(key)), "")
    kind = str(problem.get("type") or problem.get("code") or "").rstrip("/").rpartition("/")[2]
    if secret:
        words, kind = (text.replace(secret.removeprefix("Bearer "), "...") for text in (words, kind))
    facts = ", ".join(part for part in (f"status {error.code}", kind) if part)
    line = f"{what}: {one_line(words) or error.reason} ({facts})"
    if error.code in (401, 403):
        line += f": see that {TOKEN} holds a token that the service takes"
    elif 300 <= error.code < 400:
        line += f": its address is now {redact(error.headers.get('Location', 'another'))}"
    return AdesError(line, error.code, kind)


def one_line(words: str, limit: int = 400) -> str:
    """Text of a service, short and without line breaks."""
    words = " ".join(words.split())
    return words if len(words) <= limit else words[: limit - 3] + "..."


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows what only asks; a redirected POST would become a GET and seem to succeed."""

    def redirect_request(  # noqa: PLR0917
        self,
        request: urllib.request.Request,
        answer: IO[bytes],
        code: int,
        message: str,
        headers: http.client.HTTPMessage,
        address: str,
    ) -> urllib.request.Request | None:
        if request.get_method() != "GET":
            return None
        made = super().redirect_request(request, answer, code, message, headers, address)
        if made is not None and _origin(address) == _origin(request.full_url):
            for name, value in request.unredirected_hdrs.items():
                if name == "Authorization":
                    made.add_unredirected_header(name, value)
        return made


_OPENER = urllib.request.build_opener(_Redirects)


def _origin(url: str) -> tuple[Any, ...]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)
