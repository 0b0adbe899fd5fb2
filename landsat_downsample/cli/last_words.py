"""Why a pod's container ends, where Kubernetes shows it: in the container's termination message."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress

from landsat_downsample.model.safe_text import plain

#: There in containers of Kubernetes alone; never made here. What is written to it shows in the pod's status.
TERMINATION_LOG = "/dev/termination-log"

#: Errors that are told, and bytes that Kubernetes takes.
MOST, ROOM = 5, 4096


def leave_words(errors: Iterable[object]) -> None:
    """Write errors, a line each, to the termination message of this container, if this is one."""
    with suppress(OSError):
        descriptor = os.open(TERMINATION_LOG, os.O_WRONLY | os.O_TRUNC)
        with open(descriptor, "wb") as file:
            lines = list(dict.fromkeys(plain(str(error)) for error in errors))
            more = [f"and {len(lines) - MOST} more"] if len(lines) > MOST else []
            file.write("\n".join([*lines[:MOST], *more]).encode()[:ROOM])
