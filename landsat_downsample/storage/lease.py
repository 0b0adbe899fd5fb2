"""One writer at a time: a lock that a killed process does not keep.

On a disk the kernel's, of a hidden file beside the place. In an object store an object beside it, which its writer
renews; one that is not renewed for `LEASE` seconds, as the one who waits measures them, may be taken over.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import threading
import time
import uuid
from contextlib import ExitStack, suppress
from types import TracebackType

from landsat_downsample.errors import ReadError, WriteError
from landsat_downsample.model.location import S3, Location
from landsat_downsample.model.policy import Policy
from landsat_downsample.storage import files, transport
from landsat_downsample.storage.retry import RetryBudget, classify
from landsat_downsample.storage.transport import HttpResponse

#: Seconds between two renewals, and without one until an object may be taken over.
RENEWED, LEASE = 15.0, 60.0


class HeldError(WriteError):
    """Another process holds the place."""


class Lease:
    """Holds a place while it is entered.

    Parameters
    ----------
    location : Location
        What is to be written by one process at a time.
    renewed, lease : float
        As of `RENEWED` and `LEASE`.

    Raises
    ------
    HeldError
        Another process holds it; where it is not known whether that is alive, after `lease` seconds at the latest.
    WriteError
        The place takes nothing.
    """

    def __init__(self, location: Location, *, renewed: float = RENEWED, lease: float = LEASE) -> None:
        self._location = location
        self._beside = location.parent / f".{location.name}.lock"
        self._renewed, self._lease = renewed, lease
        self._token = uuid.uuid4().hex
        self._policy = Policy.from_environ()
        self._stack = ExitStack()
        self._ended, self._lost = threading.Event(), False

    def __enter__(self) -> Lease:
        with self._stack:
            if self._location.is_local:
                self._lock()
            else:
                self._take()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._stack.close()

    def check(self) -> None:
        """Refuse to go on where another process holds the place by now.

        Raises
        ------
        HeldError
            It does.
        """
        if self._lost:
            raise HeldError(f"another process writes {self._location!r} by now, as this one gave no sign: try again")

    def _lock(self) -> None:
        path = self._beside.path
        os.makedirs(os.path.dirname(path), exist_ok=True)
        while True:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(handle)
                raise self._held() from error
            with suppress(FileNotFoundError):
                if os.fstat(handle).st_ino == os.stat(path).st_ino:
                    break
            os.close(handle)  # its holder removed it just now
        self._stack.callback(os.close, handle)
        self._stack.callback(os.unlink, path)  # while it is locked: nobody else holds it

    def _held(self, by: str = "another process") -> HeldError:
        return HeldError(f"{by} writes {self._location!r}: try again when it has ended")

    def _take(self) -> None:
        if not self._put(create=True):
            self._wait_for_its_holder()
        renewing = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._stack.callback(self._release)
        renewing.start()
        self._stack.callback(renewing.join)
        self._stack.callback(self._ended.set)

    def _wait_for_its_holder(self) -> None:
        """Take over what is not renewed."""
        known, since = None, 0.0
        while True:
            found = self._look()
            if found is None:
                if self._put(create=True):
                    return
                known = None
            elif known is None:  # its time counts from here
                known, since = found, time.monotonic()
            elif found.etag != known.etag:
                raise self._held("another run")
            elif time.monotonic() - since > self._lease:
                if self._put(replacing=found.etag):
                    return
                raise self._held("another run")
            time.sleep(min(1.0, self._renewed))

    def _keep(self) -> None:
        while not self._ended.wait(self._renewed):
            with suppress(WriteError):  # a store that does not answer: the next time, perhaps
                found = self._look()
                self._lost = (
                    self._lost or not self._is_mine(found) or not self._put(replacing=found.etag if found else None)
                )

    def _release(self) -> None:
        with suppress(WriteError):
            if self._is_mine(self._look()):
                RetryBudget(self._policy, WriteError).call(
                    f"cannot remove {self._beside!r}",
                    lambda seconds: transport.delete(self._beside, policy=self._policy, seconds=seconds),
                )

    def _put(self, *, create: bool = False, replacing: str | None = None) -> bool:
        """Write the object; False where another one is there."""
        said = {"holder": self._token, "host": platform.node(), "process": os.getpid(), "sign": uuid.uuid4().hex}
        metadata, data = {"holder": self._token}, json.dumps(said).encode()

        def attempt(seconds: float) -> bool:
            try:
                transport.put(
                    self._beside,
                    data,
                    metadata=metadata,
                    create=create,
                    policy=self._policy,
                    seconds=seconds,
                    replacing=replacing,
                )
            except Exception as error:
                if classify(error).status not in (409, 412):
                    raise
                return self._is_mine(self._look())  # our own write, whose answer got lost, counts
            return True

        return RetryBudget(self._policy, WriteError).call(f"cannot write {self._beside!r}", attempt)

    def _is_mine(self, found: HttpResponse | None) -> bool:
        if found is None or self._location.kind in S3:
            return found is not None and dict(found.metadata).get("holder") == self._token
        try:  # other stores keep nothing beside an object's bytes
            return bool(json.loads(files.read_bytes(self._beside, policy=self._policy))["holder"] == self._token)
        except (ReadError, ValueError):
            return False

    def _look(self) -> HttpResponse | None:
        def attempt(seconds: float) -> HttpResponse | None:
            try:
                return transport.head(self._beside, policy=self._policy, seconds=seconds)
            except Exception as error:
                if classify(error).status == 404:
                    return None
                raise

        return RetryBudget(self._policy, WriteError).call(f"cannot read {self._beside!r}", attempt)
