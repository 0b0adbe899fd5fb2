"""Try transient failures again, give up at once on others, and never beyond a budget of seconds."""

from __future__ import annotations

import errno
import os
import random
import re
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

from landsat_downsample.errors import LandsatDownsampleError, MissingError, ReadError, Trace, WriteError
from landsat_downsample.model import environment
from landsat_downsample.model.policy import Policy
from landsat_downsample.model.safe_text import trace
from landsat_downsample.storage import cancellation
from landsat_downsample.storage.bugs import raise_bug

T = TypeVar("T")

#: Wrong bytes may be right the next time, but a file that is damaged where it lies never is.
MAX_MISMATCHES = 4

#: S3 error codes that are retryable although their status is 400.
_RETRYABLE_CODES = {"SlowDown", "RequestTimeout", "IncompleteBody", "BadDigest", "XAmzContentSHA256Mismatch"}
_RETRYABLE_CODES |= {"XAmzContentChecksumMismatch", "InternalError", "ServiceUnavailable", "Throttling"}
_RETRYABLE_STATUS = {408, 425, 429, 500, 502, 503, 504}
_UNKNOWN, _REFUSED = "its host is unknown", "the connection was refused: no server listens there"
#: By name, so that neither aiohttp nor botocore need be imported to recognise their errors; the first that fits counts.
_RETRYABLE_TYPES = {
    "ProxyConnectionError": "its proxy cannot be reached: see HTTPS_PROXY and NO_PROXY",
    "ClientProxyConnectionError": "its proxy cannot be reached: see HTTPS_PROXY and NO_PROXY",
    "ConnectionRefusedError": _REFUSED,
    "gaierror": "its host's name cannot be looked up",
    "ClientConnectorError": "cannot connect",
    "ClientPayloadError": "the body was cut",
    "ServerDisconnectedError": "the connection was cut",
    "TimeoutError": "the server did not answer in time",
    "ClientOSError": "the connection was cut",
    "EndpointConnectionError": "cannot connect",
    "HTTPClientError": "the connection failed",
    "IncompleteRead": "the body was cut",
    "IncompleteReadError": "the body was cut",
    "FlexibleChecksumError": "the bytes do not have the checksum of the object",
    "ResponseParserError": "the answer was cut",
    "BadStatusLine": "the answer was cut",
    "ConnectionError": "the connection was cut",
}
#: Environment variable that says which secret a pod has its keys from, as NAMESPACE/NAME: the manifests set it.
IDENTITY_FROM = "LANDSAT_DOWNSAMPLE_IDENTITY_FROM"

_SIGN_IN = "credentials could not be had: sign in again, as with aws sso login"
_FINAL_TYPES = {
    "SSLCertVerificationError": "its certificate is not valid; for an authority of your own set SSL_CERT_FILE, for S3 "
    "AWS_CA_BUNDLE",
    "ClientSSLError": "it does not answer as an https:// server does: should it be http://?",
    "SSLError": "it does not answer as an https:// server does: should it be http://?",
    "NonHttpUrlClientError": "it redirects to what is neither http:// nor https://",
    "InvalidUrlRedirectClientError": "it redirects to what is not a valid URL",
    "InvalidURL": "it is not a valid URL",
    "TooManyRedirects": "it redirects in a loop",
    "NoCredentialsError": "no credentials were found; set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY,"
    " or FSSPEC_S3_ANON=true for a public bucket",
    "PartialCredentialsError": "credentials are incomplete",
    "ProfileNotFound": "the profile of AWS_PROFILE does not exist",
    "CredentialRetrievalError": _SIGN_IN,
    "TokenRetrievalError": _SIGN_IN,
    "SSOError": _SIGN_IN,
    "LoginError": _SIGN_IN,
    "ConfigParseError": "the file of AWS_CONFIG_FILE or AWS_SHARED_CREDENTIALS_FILE is not as it should be",
    "InvalidRegionError": "the region is not one's name: see AWS_DEFAULT_REGION and the profile",
    "ParamValidationError": "its bucket or key has a name that S3 does not allow: give s3://BUCKET/KEY",
}

_ABSENT = "there is no such object"


class Mismatch(Exception):
    """What arrived is not what was asked for: short, of another object, with another checksum."""


class Refusal(Exception):
    """A server's answer with an error status."""

    def __init__(self, status: int, code: str = "", retry_after: float | None = None) -> None:
        super().__init__(f"status {status} {code}".strip())
        self.status = status
        self.code = code
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Fault:
    """An error seen from the point of view of trying again."""

    retryable: bool
    reason: str
    status: int = 0
    retry_after: float | None = None
    known: bool = True
    """False where there are no better words for it than its type."""


def classify(error: BaseException) -> Fault:
    """Judge an error of aiohttp, botocore, fsspec or our own: is it retryable, and what to call it.

    The reason never quotes the error's own words: they hold URLs with signatures.
    """
    if isinstance(error, Mismatch):
        return Fault(True, str(error))
    refusal = error if isinstance(error, Refusal) else _refusal(error)
    if refusal is not None:
        retryable = refusal.status in _RETRYABLE_STATUS or refusal.code in _RETRYABLE_CODES
        return Fault(retryable, str(refusal), refusal.status, refusal.retry_after)
    if isinstance(error, FileNotFoundError):  # nobody said 404: an empty listing, a store without HTTP
        return Fault(False, _ABSENT, 404)
    retryable, reason = _judge_types(_chain(error))
    return Fault(retryable, reason or type(error).__name__, known=bool(reason))


def _judge_types(parts: list[BaseException]) -> tuple[bool, str]:
    names = {kind.__name__ for part in parts for kind in type(part).__mro__}
    final, reason = (
        next((table[name] for name in table if name in names), "") for table in (_FINAL_TYPES, _RETRYABLE_TYPES)
    )
    if any(isinstance(part, socket.gaierror) and part.errno != socket.EAI_AGAIN for part in parts):
        final = _UNKNOWN
    number = getattr(parts[0], "errno", None)
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        final = "no space for its local copy; free some or point TMPDIR elsewhere"
    words = os.strerror(number).lower() if isinstance(parts[0], OSError) and isinstance(number, int) else ""
    return (False, final) if final else (bool(reason), reason or words)


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found and len(found) < 8:
        found.append(error)
        # Of botocore and of aiohttp: where they keep what they caught.
        inner = (getattr(error, "kwargs", None) or {}).get("error"), getattr(error, "os_error", None)
        error = error.__cause__ or next((part for part in inner if isinstance(part, BaseException)), None)
    return found


def _refusal(error: BaseException) -> Refusal | None:
    for part in _chain(error):
        response = getattr(part, "response", None)
        if isinstance(response, dict):
            meta = response.get("ResponseMetadata", {})
            code = re.sub(r"[^A-Za-z0-9]", "", str(response.get("Error", {}).get("Code", "")))[:40]
            code = "" if code.isdigit() else code
            return Refusal(int(meta.get("HTTPStatusCode", 0)), code, retry_after(meta.get("HTTPHeaders", {})))
        status = getattr(part, "status", None)
        if isinstance(status, int) and status >= 400:
            return Refusal(status, "", retry_after(getattr(part, "headers", None) or {}))
    return None


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Read how many seconds a server asks to wait: a number or a date.

    >>> retry_after({"Retry-After": "3"})
    3.0
    """
    text = next((value for key, value in headers.items() if key.lower() == "retry-after"), None)
    if text is None:
        return None
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text.strip()):
        return float(text)
    from email.utils import parsedate_to_datetime  # as much to import as all of this package's modules

    try:
        date = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (date - (now or datetime.now(UTC))).total_seconds())


@dataclass(slots=True)
class RetryBudget:
    """A policy at work on one object: its budget runs from the moment this is made."""

    policy: Policy
    error: type[LandsatDownsampleError] = ReadError
    retries: int = 0
    allowed: int = 0
    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = cancellation.pause
    deadline: float = field(init=False)

    def __post_init__(self) -> None:
        self.deadline = self.clock() + self.policy.budget

    def allow(self, size: int) -> None:
        """Grant a large object the time it takes at the slowest rate tolerated."""
        if size > self.allowed:
            self.deadline += (size - self.allowed) / self.policy.slowest
            self.allowed = size

    @property
    def left(self) -> float:
        """Seconds left, never quite none."""
        return max(0.05, self.deadline - self.clock())

    def call(self, what: str, attempt: Callable[[float], T]) -> T:
        """Call ``attempt(seconds left)`` until it succeeds, cannot succeed, or time is up.

        Parameters
        ----------
        what : str
            The operation for messages, free of secrets: ``cannot read 's3://b/k'``.
        attempt : callable
            Does it once.

        Raises
        ------
        LandsatDownsampleError
            Of the class ``error``; errors of our own family pass through.
        """
        mismatches = 0
        for tries in range(1, 1_000_000):
            cancellation.check()
            try:
                return attempt(self.left)
            except LandsatDownsampleError:
                raise
            except Exception as error:
                fault = classify(error)
                if not fault.known:
                    raise_bug(error, what)
                wait = self._wait(fault, tries)
                mismatches += isinstance(error, Mismatch)
                hopeless = not fault.retryable or mismatches >= MAX_MISMATCHES
                if hopeless or self.clock() + wait >= self.deadline:
                    # Bytes that are wrong each time are wrong where they lie.
                    passing = not isinstance(error, Mismatch)
                    # Not chained itself: what aiohttp and botocore say holds URLs with signatures.
                    cause = None if fault.known else Trace(trace(error))
                    raise self._final(what, fault, tries, passing=passing) from cause
            self.retries += 1
            self.pause(wait)
        raise AssertionError("unreachable")

    def _wait(self, fault: Fault, tries: int) -> float:
        backoff = random.uniform(0, min(self.policy.cap, self.policy.base * 2 ** min(tries - 1, 20)))
        return backoff if fault.retry_after is None else fault.retry_after + backoff

    def _final(self, what: str, fault: Fault, tries: int, *, passing: bool) -> LandsatDownsampleError:
        text = f"{what}: {fault.reason}{_remedy(fault, what, self.policy)}"
        if not fault.retryable:
            missing = fault.status == 404 and self.error is ReadError
            error = (MissingError if missing else self.error)(text)
            if isinstance(error, WriteError):
                error.for_all = _is_for_all(fault)
            return error
        error = self.error(f"{text}; gave up after {tries} tries (budget {self.policy.budget:g} s)")
        error.passing = passing
        return error


def _is_for_all(fault: Fault) -> bool:
    """Whether a store that refuses one object refuses all: for its keys, its bucket or its room."""
    expired = fault.status == 400 and "Token" in fault.reason
    return fault.status in (401, 403, 404, 507) or expired or fault.reason in _FINAL_TYPES.values()


def _remedy(fault: Fault, what: str, policy: Policy) -> str:
    if fault.reason in (_UNKNOWN, _REFUSED):
        return "; see AWS_ENDPOINT_URL and AWS_DEFAULT_REGION" if "s3://" in what else ""
    if fault.reason == _FINAL_TYPES["NoCredentialsError"] and (secret := environment.read(IDENTITY_FROM)):
        namespace, _, name = secret.partition("/")
        return (
            f"; this pod has them from secret {name!r} of namespace {namespace!r}, which is not there or holds none: "
            f"kubectl -n {namespace} create secret generic {name} --from-env-file=store.env (or bind an identity "
            "to its service account)"
        )
    if fault.status in (401, 403):
        asked = policy.requester_pays or "s3://" not in what or "read" not in what
        hint = "" if asked else "; if readers pay here (s3://usgs-landsat) add --requester-pays"
        return f": access denied; check credentials and permissions{hint}"
    if fault.reason == _ABSENT:
        return ""
    return {
        404: f": {_ABSENT}",
        416: ": it is empty, or shorter than expected",
        412: ": it was changed",
    }.get(fault.status, "")
