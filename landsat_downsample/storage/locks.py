"""Locks of what the threads of one process share."""

from __future__ import annotations

import os
import threading


def process_lock() -> threading.RLock:
    """Make a lock for the life of the process, which the child of a fork finds free.

    A child has one thread only; a lock that another one held would never be released there. It is
    reentrant, for the garbage collector may run anybody's finalizer while it is held.
    """
    lock = threading.RLock()
    os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock
