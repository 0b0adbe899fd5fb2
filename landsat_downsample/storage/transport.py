"""One request to one store, with everything its answer says; no retries, no judgement.

fsspec chooses the store and finds the credentials; for HTTP and S3 its own sessions are
used one level lower, because ``cat_file`` hides what must be checked: status, range,
length and checksums (a short or flipped range is returned as if it were right).
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from landsat_downsample.errors import ReadError
from landsat_downsample.formats.s3_page import Page, parse_page
from landsat_downsample.model.location import S3, WEB, Location
from landsat_downsample.model.policy import Policy
from landsat_downsample.storage import cancellation, earthdata
from landsat_downsample.storage.filesystems import filesystem
from landsat_downsample.storage.host_gate import PROMPT, Gate
from landsat_downsample.storage.locks import process_lock
from landsat_downsample.storage.retry import Mismatch, Refusal, retry_after

T = TypeVar("T")

CHUNK = 1 << 18
Span = tuple[int, int]
"""(start, stop) of a range of bytes; stop may lie beyond the end of the object."""
Sink = Callable[[bytes], Any]


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """What a store said about an object beside its bytes."""

    size: int | None
    """Bytes of the whole object; None where the server does not say."""
    etag: str | None = None
    """As the server spells it, without quotes; weak ones keep their ``W/``."""
    digests: tuple[tuple[str, str], ...] = ()
    """(algorithm, hex digest) of the whole object, as far as known."""
    sealed: bool = False
    """Whether the connection itself proves that no bit was changed (TLS)."""
    checked: bool = False
    """Whether the client library has already compared a checksum of the whole body."""
    metadata: tuple[tuple[str, str], ...] = ()
    """User metadata (S3)."""
    ranged: bool = True
    """Whether the server honoured the range; if not, the sink got the object from its start."""


_lock = process_lock()
_gates: dict[tuple[Any, ...], Gate] = {}


def _turn(location: Location, policy: Policy, seconds: float) -> AbstractContextManager[float]:
    """Wait until the host may be asked once more by this process; gives the seconds that are left then."""
    key = (os.getpid(), location.host, policy.per_host)
    with _lock:
        return _gates.setdefault(key, Gate(policy.per_host)).turn(seconds)


def _bound(policy: Policy, seconds: float, size: int = 0) -> float:
    """Limit one exchange that is not a download: no socket timeout covers the wait for leave to send."""
    return min(seconds, 2 * policy.timeout + size / policy.slowest)


def _wait(fs: Any, seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on fsspec's loop; cancelled, not abandoned, when time is up or nobody wants it any more."""
    import asyncio

    from fsspec.asyn import sync

    async def bounded() -> T:
        task = asyncio.ensure_future(asyncio.wait_for(work, seconds))
        try:
            while not (await asyncio.wait({task}, timeout=PROMPT))[0]:
                cancellation.check()  # the flag of the calling thread: a task inherits its context
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return task.result()

    found: T = sync(fs.loop, bounded)
    return found


def get(
    location: Location, span: Span | None, sink: Sink, *, policy: Policy, etag: str | None, seconds: float
) -> HttpResponse:
    """Stream an object, or one range of it, into a sink.

    Raises
    ------
    Refusal, Mismatch, or an error of the client library: see `retry.classify`.
    """
    fs = filesystem(location, policy)
    with _turn(location, policy, seconds) as left:
        if location.kind in WEB:
            return _wait(fs, left, _http_get(fs, location, span, sink, etag))
        if location.kind in S3:
            return _wait(fs, left, _s3_get(fs, location, span, sink, etag))
        return _plain_get(fs, location, span, sink, etag)


def head(location: Location, *, policy: Policy, seconds: float) -> HttpResponse:
    """Ask for an object's facts without its bytes; what `classify` gives the status 404 if there is none."""
    fs = filesystem(location, policy)
    with _turn(location, policy, seconds) as left:
        if location.kind in WEB:
            return _wait(fs, _bound(policy, left), _http_head(fs, location))
        if location.kind in S3:
            return _wait(fs, _bound(policy, left), _s3_head(fs, location))
        return _plain_head(fs, location)


# --- HTTP ---------------------------------------------------------------------------------


def _url(location: Location) -> Any:
    import yarl

    # A URL that is quoted or signed already must go out as it is, to the letter.
    return yarl.URL(location.href, encoded="%" in location.href or "?" in location.href)


def _requested(session: Any, method: str, location: Location, **options: Any) -> AbstractAsyncContextManager[Any]:
    request = partial(earthdata.opened, session) if earthdata.applies(location) else session.request
    made: AbstractAsyncContextManager[Any] = request(method, _url(location), **options)
    return made


async def _http_get(fs: Any, location: Location, span: Span | None, sink: Sink, etag: str | None) -> HttpResponse:
    headers = dict(fs.kwargs.get("headers", {})) | {"Accept-Encoding": "identity"}
    if span:
        headers["Range"] = f"bytes={span[0]}-{span[1] - 1}"
    if etag and not etag.startswith("W/"):
        headers["If-Match"] = f'"{etag}"'
    options = {key: value for key, value in fs.kwargs.items() if key != "headers"}
    session = await fs.set_session()
    async with _requested(session, "GET", location, headers=headers, **options) as reply:
        _refuse_http(reply)
        ranged = span is None or reply.status == 206
        answer = _http_answer(reply, span if reply.status == 206 else None, location, ranged=ranged)
        expected = _expected(answer.size, span if ranged or span is None else (0, span[1]))
        if expected is None and span and not ranged:  # as much as is wanted of what may go on
            expected = span[1]
        if span and not ranged and span[0] > 0:
            raise Mismatch("the server does not honour ranges")
        if expected is None and not _self_delimiting(reply):
            raise Mismatch("the server tells no length, so that a cut body cannot be told from a whole one")
        await _drain(reply.content.iter_chunked(CHUNK), sink, expected, stop_early=not ranged)
    return answer


def _self_delimiting(reply: Any) -> bool:
    return "chunked" in reply.headers.get("Transfer-Encoding", "").lower()


def _refuse_http(reply: Any) -> None:
    if reply.status >= 400:
        raise Refusal(reply.status, "", retry_after(reply.headers))
    if reply.status not in (200, 206):
        raise Mismatch(f"the server answered with status {reply.status}")
    if reply.headers.get("Content-Encoding", "identity").lower() not in ("identity", ""):
        raise Refusal(415, "CompressedBody")


def _http_answer(reply: Any, span: Span | None, location: Location, *, ranged: bool) -> HttpResponse:
    headers = reply.headers
    size = int(headers["Content-Length"]) if headers.get("Content-Length", "").isdigit() else None
    if span:
        size = _total(headers.get("Content-Range"), span, size)
    tls = location.kind == "https" and reply.url.scheme == "https"
    return HttpResponse(
        size, bare_etag(headers.get("ETag")), _http_digests(headers, tls=tls), sealed=tls, ranged=ranged
    )


def bare_etag(text: str | None) -> str | None:
    """An ETag without its quotes."""
    return text.replace('"', "") if text else None


def _http_digests(headers: Any, *, tls: bool) -> tuple[tuple[str, str], ...]:
    """Collect digests of the whole object; names as RFC 9530, RFC 3230, Azure, Google and S3 spell them."""
    found = []
    if headers.get("x-ms-blob-content-md5"):
        found.append(("md5", headers["x-ms-blob-content-md5"]))
    elif headers.get("Content-MD5") and "Content-Range" not in headers:
        found.append(("md5", headers["Content-MD5"]))
    for field in headers.getall("x-goog-hash", ()):
        found += [("md5", part.strip()[4:]) for part in field.split(",") if part.strip().startswith("md5=")]
    match = re.search(r"sha-256=:?([A-Za-z0-9+/=]+):?", headers.get("Repr-Digest", headers.get("Digest", "")), re.I)
    if match:
        found.append(("sha256", match.group(1)))
    digests = [(name, _hex(value)) for name, value in found]
    if re.fullmatch(r"[0-9a-f]{64}", headers.get("x-amz-meta-sha256", "")):
        digests.append(("sha256", headers["x-amz-meta-sha256"]))
    if headers.get("Server") == "AmazonS3" and headers.get("x-amz-server-side-encryption", "AES256") == "AES256":
        digests += _md5_etag(headers.get("ETag"))
    return tuple((name, value) for name, value in digests if value)


def _hex(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).hex()
    except ValueError:
        return ""


def _md5_etag(etag: str | None) -> list[tuple[str, str]]:
    text = (etag or "").strip('"')
    return [("md5", text)] if re.fullmatch(r"[0-9a-f]{32}", text) else []


async def _http_head(fs: Any, location: Location) -> HttpResponse:
    session = await fs.set_session()
    headers = dict(fs.kwargs.get("headers", {})) | {"Accept-Encoding": "identity"}
    async with _requested(session, "HEAD", location, headers=headers) as reply:
        if reply.status >= 400:
            raise Refusal(reply.status, "", retry_after(reply.headers))
        return _http_answer(reply, None, location, ranged=True)


# --- S3 -----------------------------------------------------------------------------------


def s3_names(location: Location) -> tuple[str, str]:
    """Split an S3 href into (bucket, key)."""
    bucket, _, key = location.href.partition("://")[2].partition("/")
    return bucket, key


async def _s3_get(fs: Any, location: Location, span: Span | None, sink: Sink, etag: str | None) -> HttpResponse:
    bucket, key = s3_names(location)
    wanted: dict[str, Any] = {"Bucket": bucket, "Key": key}
    wanted |= {"Range": f"bytes={span[0]}-{span[1] - 1}"} if span else {"ChecksumMode": "ENABLED"}
    wanted |= {"IfMatch": f'"{etag}"'} if etag else {}
    reply = await fs._call_s3("get_object", **wanted)
    body = reply["Body"]
    try:
        size = reply.get("ContentLength")
        if size is None:
            raise Mismatch("the store tells no length")
        status = reply["ResponseMetadata"]["HTTPStatusCode"]
        if span and status == 206:
            size = _total(reply.get("ContentRange"), span, size)
        elif span and span[0] > 0:
            raise Mismatch("the server does not honour ranges")
        ranged = not span or status == 206
        answer = _s3_answer(fs, reply, size, ranged=ranged)
        expected = _expected(size, span)
        await _drain(_chunks(body), sink, expected, stop_early=not ranged)
    finally:
        body.close()
    return answer


async def _chunks(body: Any) -> AsyncIterator[bytes]:
    while data := await body.read(CHUNK):
        yield data


def _s3_answer(fs: Any, reply: dict[str, Any], size: int, *, ranged: bool = True) -> HttpResponse:
    metadata = {key.lower(): value for key, value in reply.get("Metadata", {}).items()}
    digests = [("sha256", metadata["sha256"])] if re.fullmatch(r"[0-9a-f]{64}", metadata.get("sha256", "")) else []
    if reply.get("ServerSideEncryption", "AES256") == "AES256" and "SSECustomerAlgorithm" not in reply:
        digests += _md5_etag(reply.get("ETag"))
    tls = str(fs._s3.meta.endpoint_url).startswith("https://")
    checked = any(
        reply.get(name) for name in ("ChecksumSHA256", "ChecksumCRC32", "ChecksumCRC32C", "ChecksumCRC64NVME")
    )
    checked = checked and reply.get("ChecksumType") != "COMPOSITE" and "ContentRange" not in reply
    etag = bare_etag(reply.get("ETag"))
    return HttpResponse(size, etag, tuple(digests), tls, checked, tuple(sorted(metadata.items())), ranged)


async def _s3_head(fs: Any, location: Location) -> HttpResponse:
    bucket, key = s3_names(location)
    reply = await fs._call_s3("head_object", Bucket=bucket, Key=key)
    return _s3_answer(fs, reply, reply["ContentLength"])


# --- anything else fsspec knows -----------------------------------------------------------


def _plain_get(fs: Any, location: Location, span: Span | None, sink: Sink, etag: str | None) -> HttpResponse:
    answer = _plain_head(fs, location)
    if etag and answer.etag != etag:
        raise Refusal(412)
    expected = _expected(answer.size, span)
    data = fs.cat_file(fs._strip_protocol(location.href), *(span or (None, None)))
    if len(data) != expected:
        raise Mismatch(f"{len(data)} bytes arrived where {expected} were asked for")
    sink(data)
    return answer


def _plain_head(fs: Any, location: Location) -> HttpResponse:
    info = fs.info(fs._strip_protocol(location.href))
    if info.get("type") == "directory":
        raise FileNotFoundError(location.href)
    found = (info.get(name) for name in ("etag", "ETag", "md5Hash", "md5", "created", "mtime"))
    tag = next((str(value) for value in found if value), None)
    return HttpResponse(info["size"], tag.replace('"', "") if tag else None, sealed=True)


# --- checks common to all -----------------------------------------------------------------


def _total(content_range: str | None, span: Span, length: int | None) -> int:
    """Check that a 206 covers the range asked for, and give the size of the whole object."""
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", (content_range or "").strip())
    if not match:
        raise Mismatch(f"the server answered a range with Content-Range {(content_range or 'absent')[:60]!r}")
    first, last, total = map(int, match.groups())
    if first != span[0] or last != min(span[1], total) - 1 or length not in (None, last - first + 1):
        raise Mismatch(f"the server sent bytes {first}-{last} of {total} where {span[0]}-{span[1] - 1} were asked for")
    return total


def _expected(size: int | None, span: Span | None) -> int | None:
    return size if span is None or size is None else max(0, min(span[1], size) - span[0])


async def _drain(chunks: Any, sink: Sink, expected: int | None, *, stop_early: bool) -> None:
    count = 0
    async for data in chunks:
        part = data if expected is None else data[: expected - count]
        sink(part)
        count += len(data)
        if expected is not None and count >= expected and stop_early:
            return
        if expected is not None and count > expected:
            raise Mismatch(f"more than the {expected} bytes asked for arrived")
    if expected is not None and count != expected:
        raise Mismatch(f"{count} bytes arrived where {expected} were asked for")


# --- writing ------------------------------------------------------------------------------


def put(
    location: Location,
    data: bytes,
    *,
    metadata: dict[str, str],
    create: bool,
    policy: Policy,
    seconds: float,
    replacing: str | None = None,
) -> str | None:
    """Store one object in one request; gives the ETag that an S3 store answers with.

    With ``create`` a `Refusal` of status 412 if there is one already; with the ETag of one that it is to replace (S3
    only) if there is another one by now.
    """
    fs = filesystem(location, policy)
    if location.kind in S3:
        only = {"IfNoneMatch": "*"} if create else {"IfMatch": f'"{replacing}"'} if replacing else {}
        with _turn(location, policy, seconds) as left:
            return _wait(fs, _bound(policy, left, len(data)), _s3_put(fs, location, data, metadata, only))
    path = fs._strip_protocol(location.href)
    if create and fs.exists(path):
        raise Refusal(412)
    fs.pipe_file(path, data)
    if fs.cat_file(path) != data:
        raise Mismatch("what arrived is not what was sent")
    return None


async def _s3_put(
    fs: Any, location: Location, data: bytes, metadata: dict[str, str], only: dict[str, str]
) -> str | None:
    bucket, key = s3_names(location)
    wanted = {
        "Bucket": bucket,
        "Key": key,
        "Body": data,
        "Metadata": metadata,
        # Both, because each store checks at least one; the second stays with the object.
        "ContentMD5": base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode(),
        "ChecksumSHA256": base64.b64encode(hashlib.sha256(data).digest()).decode(),
    }
    reply = await fs._call_s3("put_object", **wanted, **only)
    if reply["ResponseMetadata"]["HTTPStatusCode"] not in (200, 201):
        raise Mismatch("the store did not confirm the write")
    return bare_etag(reply.get("ETag"))


def delete(location: Location, *, policy: Policy, seconds: float) -> None:
    """Remove an object; it is no error if there is none."""
    fs = filesystem(location, policy)
    if location.kind in S3:
        bucket, key = s3_names(location)
        with _turn(location, policy, seconds) as left:
            _wait(fs, _bound(policy, left), fs._call_s3("delete_object", Bucket=bucket, Key=key))
        return
    try:
        fs.rm_file(fs._strip_protocol(location.href))
    except FileNotFoundError:
        return


def listing(location: Location, *, deep: bool, policy: Policy, seconds: float) -> list[dict[str, Any]]:
    """List what lies under a prefix: dicts with ``name``, ``type`` and ``size`` as fsspec gives them."""
    if earthdata.applies(location):
        raise ReadError(f"{location.host} lists no folders: give the granule's STAC item, or its files one by one")
    fs = filesystem(location, policy)
    path = fs._strip_protocol(location.href)
    with _turn(location, policy, seconds) as left:
        work = getattr(fs, "_find" if deep else "_ls", None)
        if work:
            found = _wait(fs, _bound(policy, left), work(path, detail=True))
        else:
            found = (fs.find if deep else fs.ls)(path, detail=True)
    return list(found.values()) if deep else found


#: Whether the request that is under way wants its answer as a `Page`: other listings are read by the client itself.
_as_page: ContextVar[bool] = ContextVar("as_page", default=False)


def page(
    prefix: Location, *, deep: bool, after: str = "", token: str = "", most: int = 1000, policy: Policy, seconds: float
) -> Page:
    """List the objects of an S3 store whose keys begin as `prefix` says: one answer of a listing.

    Parameters
    ----------
    prefix : Location
        Any beginning of keys, with its bucket.
    deep : bool
        Those of deeper folders too.
    after : str
        The key behind which it begins.
    token : str
        Of the page before.
    most : int
        Objects that it may hold.
    """
    bucket, key = s3_names(prefix)
    asked = {"Bucket": bucket, "Prefix": key, "MaxKeys": most} | ({} if deep else {"Delimiter": "/"})
    asked |= ({"StartAfter": after} if after else {}) | ({"ContinuationToken": token} if token else {})
    fs = filesystem(prefix, policy)
    with _turn(prefix, policy, seconds) as left:
        return _wait(fs, _bound(policy, left), _s3_page(fs, asked))


async def _s3_page(fs: Any, asked: dict[str, Any]) -> Page:
    await fs.set_session()
    client = await fs.get_s3(asked["Bucket"])
    # By this name it comes before botocore's own look for an error, which would parse the answer too.
    client.meta.events.register("before-parse.*.ListObjectsV2", _parse_page, unique_id="landsat-downsample-page")
    _as_page.set(True)  # of this task alone
    reply = await fs._call_s3("list_objects_v2", **asked)
    if "Page" in reply:
        found: Page = reply["Page"]
        return found
    # The client has no such event (before botocore 1.35), or has to say itself what is wrong with the answer.
    if reply.get("IsTruncated") is None or reply["IsTruncated"] != ("NextContinuationToken" in reply):
        raise Mismatch("the store's answer is no whole page of a listing")
    objects = [(one["Key"], one["Size"], one.get("ETag", "")) for one in reply.get("Contents", ())]
    return Page(objects, reply["NextContinuationToken"] if reply["IsTruncated"] else "")


def _parse_page(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    """Read a listing in place of botocore's parser, which takes 0.08 ms of CPU for each object."""
    if not _as_page.get() or response_dict["status_code"] != 200:
        return
    try:
        customized_response_dict["Page"] = parse_page(response_dict["body"])
    except ValueError:
        return
    response_dict["body"] = b""
