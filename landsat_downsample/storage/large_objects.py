"""A file of any size brought to its place in one act: renamed, or uploaded in parts that are none before the end."""

from __future__ import annotations

import errno
import os

from landsat_downsample.errors import WriteError
from landsat_downsample.model.location import S3, Location
from landsat_downsample.model.policy import Policy
from landsat_downsample.storage import transport
from landsat_downsample.storage.filesystems import filesystem
from landsat_downsample.storage.retry import Mismatch, RetryBudget


def put_file(path: str, location: Location, *, policy: Policy | None = None) -> None:
    """Move a file of this disk to its place; readers see all of it or the one before.

    Parameters
    ----------
    path : str
        Of a local destination: on the same file system. It is gone afterwards; of another one it stays.
    location : Location
        Where to; what is there is replaced.
    policy : Policy, optional
        From the environment if not given.

    Raises
    ------
    WriteError
        The place refuses it.
    """
    if location.is_local:
        try:
            os.replace(path, location.path)
        except OSError as error:
            reason = "no space left" if error.errno == errno.ENOSPC else (error.strerror or "it failed").lower()
            raise WriteError(f"cannot write {location!r}: {reason}; choose another destination") from error
        return
    policy = policy or Policy.from_environ()
    RetryBudget(policy, WriteError).call(
        f"cannot write {location!r}", lambda seconds: _upload(path, location, policy, seconds)
    )


def _upload(path: str, location: Location, policy: Policy, seconds: float) -> None:
    """Store a file as one object; a large one in parts, which are no object before the last one has arrived."""
    fs, size = filesystem(location, policy), os.path.getsize(path)
    remote = fs._strip_protocol(location.href)
    if location.kind in S3:
        with transport._turn(location, policy, seconds) as left:
            transport._wait(fs, transport._bound(policy, left, size), fs._put_file(path, remote))
    else:
        fs.put_file(path, remote)
    if fs.info(remote)["size"] != size:
        raise Mismatch("what arrived is not as long as what was sent")
