"""Files of this machine opened to be read: regular ones only, as a pipe or device may never answer or end."""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader


def irregular(mode: int) -> str | None:
    """What a thing of that mode is, where it is no regular file.

    >>> irregular(stat.S_IFIFO), irregular(stat.S_IFREG)
    ('it is a pipe, not a regular file', None)
    """
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    kind = stat.S_IFMT(mode)
    return None if kind == stat.S_IFREG else f"it is {kinds.get(kind, 'a device')}, not a regular file"


def open_regular(path: str) -> BufferedReader:
    """Open a file, without waiting for whoever may be at the other end of it.

    Raises
    ------
    OSError
        It cannot be opened, or is no regular file; ``strerror`` says which.
    """
    if why := irregular(os.stat(path).st_mode):  # before: a device may act on being opened, a socket cannot be
        raise OSError(errno.EINVAL, why, path)
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if why := irregular(os.fstat(handle).st_mode):  # exchanged meanwhile
        os.close(handle)
        raise OSError(errno.EINVAL, why, path)
    return open(handle, "rb")
