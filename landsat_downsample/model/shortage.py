"""What the machine lacked when something failed."""

from __future__ import annotations

import errno

_MEMORY = "there is too little memory: give more of it, or take fewer workers or threads"
_THREADS = (
    "no more threads may be started: raise the limits of processes and memory (ulimit -u, -v), or take fewer workers"
)

#: As the C++ library, SQLite, the loader and the kernel say it; PROJ and GDAL quote them behind words of their own
#: that mislead: "The EPSG code is unknown".
_NO_MEMORY = ("std::bad_alloc", "out of memory", "Cannot allocate memory", "failed to map segment")


def shortage(error: BaseException | None) -> str | None:
    """Say what the machine lacked, and what to do; None where that is not why an error came about.

    >>> shortage(OSError(errno.EMFILE, "Too many open files"))
    'too many files are open: raise their limit (ulimit -n), or take fewer workers'
    """
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        text = str(error)
        if isinstance(error, MemoryError) or any(words in text for words in _NO_MEMORY):
            return _MEMORY
        if isinstance(error, RuntimeError) and "can't start new thread" in text:
            return _THREADS
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            return "too many files are open: raise their limit (ulimit -n), or take fewer workers"
        error = error.__cause__ or error.__context__
    return None
