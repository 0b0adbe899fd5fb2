"""A destination tried before the work: what it would refuse once a scene is reduced, it refuses now."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
import warnings
from contextlib import suppress

from landsat_downsample.errors import LandsatDownsampleError, WriteError
from landsat_downsample.model.location import Location
from landsat_downsample.model.policy import Policy
from landsat_downsample.storage.publication_folder import refusal

PROBE = b"landsat-downsample probe\n"

#: How the name of the object begins that is written and removed again.
NAME = ".landsat-downsample-probe-"

#: Times the free bytes that an estimate may be and still be tried.
NEARLY = 1.2


def try_place(dest: Location, needed: float = 0, what: str = "", *, policy: Policy | None = None) -> None:
    """Write to a destination, and leave nothing there; two requests to an object store.

    Parameters
    ----------
    dest : Location
        Folder or prefix; it need not exist.
    needed : float
        Bytes that it must have room for, where that can be known.
    what : str
        What needs them, for the message.

    Raises
    ------
    WriteError
        It refuses, or is too small; with `WriteError.for_all`.
    """
    try:
        if dest.is_local:
            _try_folder(dest.path, needed, what)
        else:
            _try_store(dest, policy or Policy.from_environ())
    except WriteError as error:
        error.for_all = True
        raise


def _try_folder(path: str, needed: float, what: str) -> None:
    there = path
    while not os.path.lexists(there):
        there = os.path.dirname(there)
    try:
        with tempfile.TemporaryFile(prefix=NAME, dir=there) as file:  # without a name, where the system can
            file.write(bytes(4096))  # a block: what is smaller may find room on a disk that is full
            file.flush()
        free = shutil.disk_usage(there).free
    except OSError as error:
        raise WriteError(f"cannot write to {path!r}: {refusal(error)}") from error
    check_room(path, free, needed, what)


def check_room(path: str, free: float, needed: float, what: str) -> None:
    """Compare free bytes with those that are needed; where they are nearly enough, warn only: an estimate is no count.

    Raises
    ------
    WriteError
        They are too few.
    """
    short = f"{words(free)} are free, and {what} take about {words(needed)}; free some, "
    if needed > NEARLY * free:
        raise WriteError(f"cannot write to {path!r}: {short}choose another destination, or give fewer scenes")
    if needed > free:
        with suppress(Warning):  # where warnings are errors: the work goes on all the same
            warnings.warn(f"{path!r} may become full: {short}or run the rest once it is full", stacklevel=3)


def words(count: float) -> str:
    """Bytes, for people."""
    return f"{count / 1e9:.3g} GB" if count >= 1e9 else f"{count / 1e6:.3g} MB"


def _try_store(dest: Location, policy: Policy) -> None:
    from landsat_downsample.storage import small_objects  # not above: a folder needs nothing of what they load
    from landsat_downsample.storage.retry import RetryBudget

    probe = dest / (NAME + uuid.uuid4().hex)
    RetryBudget(policy, WriteError).call(
        f"cannot write to {dest!r}", lambda seconds: put_probe(probe, dest, policy, seconds, create=False)
    )
    with suppress(LandsatDownsampleError):  # who may write may not be allowed to remove
        small_objects.remove(probe, policy=policy)


def put_probe(probe: Location, dest: Location, policy: Policy, seconds: float, *, create: bool) -> bool:
    """Store a probe once; whether on the condition that there is none, as asked by ``create``.

    Raises
    ------
    WriteError
        There is no such bucket.
    """
    from landsat_downsample.storage import transport
    from landsat_downsample.storage.retry import classify

    try:
        transport.put(probe, PROBE, metadata={}, create=create, policy=policy, seconds=seconds)
    except Exception as error:
        status = classify(error).status
        if status == 404:
            raise WriteError(f"cannot write to {dest!r}: its bucket does not exist: make it, or name another") from None
        if create and status == 412:  # our own write, whose answer got lost: nobody else knows this name
            return True
        if not create or status != 501:
            raise
        transport.put(probe, PROBE, metadata={}, create=False, policy=policy, seconds=seconds)
        return False
    return create
