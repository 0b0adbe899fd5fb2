"""Small things: a file written in one act, and a question that a web service answers with JSON."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import uuid
from contextlib import suppress
from typing import Any
from urllib.parse import urljoin, urlsplit

from landsat_downsample.errors import ReadError, UsageError, WriteError
from landsat_downsample.model.location import WEB, Location
from landsat_downsample.model.policy import Policy
from landsat_downsample.storage import transport
from landsat_downsample.storage.filesystems import filesystem
from landsat_downsample.storage.retry import Mismatch, Refusal, RetryBudget, classify, retry_after
from landsat_downsample.storage.transport import HttpResponse

#: Bytes of an answer: pages of a search have a few MB.
ANSWER_LIMIT = 64 << 20
_REDIRECTS = (301, 302, 307, 308)
_HOPS = 5

#: What a file is called until it is complete.
_PART = re.compile(r"\..+\.[0-9a-f]{32}")


def put(href: str | Location, data: bytes, *, create: bool = False, policy: Policy | None = None) -> bool:
    """Write a small file or object; readers see all of it or the one before.

    Parameters
    ----------
    href : str or Location
        Where to; folders on the way are made.
    data : bytes
        All of it.
    create : bool
        Leave one that is there already as it is.
    policy : Policy, optional
        RetryBudget; from the environment if not given.

    Returns
    -------
    bool
        Whether it was written: False where ``create`` found one.

    Raises
    ------
    WriteError
        The place refuses it.
    UsageError
        Nothing can be written to such a place.
    """
    location = Location.of(href)
    if not location.is_writable:
        raise UsageError(f"cannot write {location!r}: give a folder, s3:// or another fsspec store")
    if location.is_local:
        return _put_file(location.path, data, create)
    return _put_object(location, data, create, policy or Policy.from_environ())


def _put_object(location: Location, data: bytes, create: bool, policy: Policy) -> bool:
    metadata = {"sha256": hashlib.sha256(data).hexdigest(), "publication": uuid.uuid4().hex}

    def attempt(seconds: float) -> bool:
        try:
            transport.put(location, data, metadata=metadata, create=create, policy=policy, seconds=seconds)
        except Exception as error:
            status = classify(error).status
            if status == 409:
                raise Mismatch("another write of it is under way") from None
            if not create or status not in (412, 501):
                raise
            found = _look(location, policy, seconds)
            if found is None:  # a store without conditional writes
                transport.put(location, data, metadata=metadata, create=False, policy=policy, seconds=seconds)
                return True
            # Our own write, whose answer got lost, counts.
            return dict(found.metadata).get("publication") == metadata["publication"]
        return True

    return RetryBudget(policy, WriteError).call(f"cannot write {location!r}", attempt)


def remove(location: Location, *, policy: Policy | None = None) -> None:
    """Remove an object; it is no error if there is none.

    Parameters
    ----------
    location : Location
        Of an object store.
    policy : Policy, optional
        RetryBudget; from the environment if not given.

    Raises
    ------
    WriteError
        The store refuses it.
    """
    policy = policy or Policy.from_environ()
    RetryBudget(policy, WriteError).call(
        f"cannot remove {location!r}",
        lambda seconds: transport.delete(location, policy=policy, seconds=seconds),
    )


def _look(location: Location, policy: Policy, seconds: float) -> HttpResponse | None:
    try:
        return transport.head(location, policy=policy, seconds=seconds)
    except Exception as error:
        if classify(error).status == 404:
            return None
        raise


def _put_file(path: str, data: bytes, create: bool) -> bool:
    folder, name = os.path.split(path)
    part = os.path.join(folder, f".{name}.{uuid.uuid4().hex}")
    try:
        os.makedirs(folder, exist_ok=True)
        with open(part, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if create:
            return _link(part, path)
        os.replace(part, path)
    except OSError as error:
        reason = "no space left" if error.errno == errno.ENOSPC else (error.strerror or "it failed").lower()
        raise WriteError(f"cannot write {path!r}: {reason}; choose another destination") from error
    finally:
        with suppress(OSError):
            os.unlink(part)
    return True


def sweep(folder: Location) -> None:
    """Remove what killed writers left under hidden names in a folder of a disk, into which nobody writes now."""
    with suppress(OSError), os.scandir(folder.path) as entries:
        for entry in entries:
            if _PART.fullmatch(entry.name):
                os.unlink(entry.path)


def _link(part: str, path: str) -> bool:
    """Give a file its name unless that is taken: a link is refused by the system, and cannot be overtaken."""
    try:
        os.link(part, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        if os.path.lexists(path):
            return False
        os.replace(part, path)
    return True


def ask(href: str | Location, question: dict[str, Any] | None = None, *, policy: Policy | None = None) -> Any:
    """Ask a web service something, and give the JSON of its answer.

    Parameters
    ----------
    href : str or Location
        A http(s) URL.
    question : dict, optional
        Sent by POST as JSON; without it the URL is asked by GET.
    policy : Policy, optional
        RetryBudget; from the environment if not given.

    Raises
    ------
    ReadError
        It refuses, does not answer in time, or answers with something else.
    UsageError
        The href is not of a web service.
    """
    location = Location.of(href)
    if location.kind not in WEB:
        raise UsageError(f"cannot ask {location!r}: give a http(s) URL")
    policy = policy or Policy.from_environ()

    def attempt(seconds: float) -> Any:
        fs = filesystem(location, policy)
        return _parsed(transport._wait(fs, seconds, _exchange(fs, location, question)), location)

    return RetryBudget(policy).call(f"cannot read {location!r}", attempt)


async def _exchange(fs: Any, location: Location, question: dict[str, Any] | None) -> bytes:
    session = await fs.set_session()
    method = "GET" if question is None else "POST"
    headers = dict(fs.kwargs.get("headers", {})) | {"Accept": "application/geo+json, application/json"}
    url = location
    for _ in range(_HOPS):
        # Not followed by the client: it would turn a POST into a GET, which asks for everything.
        async with session.request(
            method, transport._url(url), json=question, headers=headers, allow_redirects=False
        ) as reply:
            if reply.status in _REDIRECTS and reply.headers.get("Location"):
                url = _moved(url, reply.headers["Location"], location)
                continue
            if reply.status >= 400:
                words = _words(await reply.content.read(4096)) if reply.status in (400, 422) else ""
                raise Refusal(reply.status, words, retry_after(reply.headers))
            if reply.status != 200:
                raise Mismatch(f"the server answered with status {reply.status}")
            return await _body(reply)
    raise ReadError(f"cannot read {location!r}: it is redirected more than {_HOPS} times")


async def _body(reply: Any) -> bytes:
    parts, count = [], 0
    async for part in reply.content.iter_chunked(1 << 18):
        count += len(part)
        if count > ANSWER_LIMIT:
            raise ReadError(f"cannot read {Location(str(reply.url))!r}: its answer has more than {ANSWER_LIMIT} bytes")
        parts.append(part)
    return b"".join(parts)


def _moved(url: Location, to: str, location: Location) -> Location:
    moved = Location(urljoin(url.href, to))
    if urlsplit(moved.href).hostname != urlsplit(url.href).hostname or moved.kind not in ("https", url.kind):
        raise ReadError(f"cannot read {location!r}: it is redirected to {moved!r}; give that URL")
    return moved


def _words(body: bytes) -> str:
    """What a service says of a refused question, cut to a safe phrase; empty where it says nothing."""
    try:
        record = json.loads(body)
    except ValueError:
        return ""
    said = next((record[key] for key in ("description", "detail", "message") if isinstance(record.get(key), str)), "")
    return f"({said[:120]})" if said and not re.search(r"https?:|[^\x20-\x7e]", said) else ""


def _parsed(data: bytes, location: Location) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        if data.lstrip()[:1] == b"<":
            raise ReadError(f"cannot read {location!r}: it answers with a web page, not JSON") from None
        raise Mismatch("its answer is not JSON") from None
