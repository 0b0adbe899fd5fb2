"""Unexpected errors: a bug of ours is reported as one, faults of the environment as failures of what was asked."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from landsat_downsample.errors import InternalError, LandsatDownsampleError, ReadError
from landsat_downsample.model.safe_text import plain, trace
from landsat_downsample.model.shortage import shortage

#: What Python and NumPy raise where a program is wrong. Libraries report bad data and servers by classes of their own.
_KINDS = (
    ArithmeticError, AssertionError, AttributeError, BufferError, LookupError, NameError, RuntimeError, SyntaxError,
    TypeError, Warning,
)  # fmt: skip


def is_bug(error: BaseException) -> bool:
    """Whether an error shows that this program is wrong, not what it was given or asked.

    A ValueError may be either: it is a bug where our own code raised it.
    """
    if shortage(error) or type(error).__module__.partition(".")[0] not in ("builtins", "numpy", "landsat_downsample"):
        return False
    return isinstance(error, _KINDS) or (isinstance(error, ValueError) and _raised_here(error))


def _raised_here(error: BaseException) -> bool:
    last = None
    for last, _ in traceback.walk_tb(error.__traceback__):  # noqa: B007 - the innermost
        pass
    return last is not None and last.f_globals.get("__name__", "").partition(".")[0] in ("landsat_downsample", "numpy")


def wrapped(
    error: BaseException, what: str, family: type[LandsatDownsampleError] = ReadError
) -> LandsatDownsampleError:
    """Return an error as one of our family.

    Parameters
    ----------
    error : BaseException
        Whatever came; one of the family stays as it is.
    what : str
        What was asked, for the message: ``band B4 failed``. Free of secrets.
    family : type
        Class for what is no bug.

    Returns
    -------
    LandsatDownsampleError
        An `InternalError` with its traceback where it `is_bug`.
    """
    if isinstance(error, LandsatDownsampleError):
        return error
    if words := shortage(error):
        found = family(f"{what}: {words}")
    elif isinstance(error, OSError) and error.strerror:
        found = family(f"{what}: {error.strerror.lower()}")
    elif is_bug(error):
        words = f"{what}: this is a bug in landsat-downsample, please report it: {_words(error)}"
        return InternalError(words, trace(error))
    else:
        found = family(f"{what}: {_words(error)}")
    found.__cause__ = error
    return found


def raise_bug(error: BaseException, what: str) -> None:
    """Raise an error as `wrapped` if it is a bug; of others the caller knows more to say."""
    if is_bug(error):
        found = wrapped(error, what)
        raise found from found.__cause__


@contextmanager
def wrapping(what: str, family: type[LandsatDownsampleError] = ReadError) -> Iterator[None]:
    """Raise whatever goes wrong in the body as `wrapped`."""
    try:
        yield
    except Exception as error:
        found = wrapped(error, what, family)
        raise found from found.__cause__


def _words(error: BaseException) -> str:
    return plain(f"{type(error).__name__}: {error}")


class BugWarning(UserWarning):
    """A bug of ours that cost something beside the work; shown with its traceback."""


def warn(error: BaseException, what: str) -> None:
    """Warn of an error that does not end the work: of a bug with its traceback.

    Parameters
    ----------
    what : str
        What it cost, as for `wrapped`.
    """
    found = wrapped(error, what)
    text = f"{what}: {error}" if found is error else str(found)
    with suppress(Warning):  # where warnings are errors: the work goes on all the same
        bug = BugWarning(f"{text}\n{found.trace}") if isinstance(found, InternalError) else None
        warnings.warn(bug or text, stacklevel=3)


class Traces:
    """Which tracebacks to show: all where they are asked for, else that of the first bug."""

    def __init__(self, *, verbose: bool) -> None:
        self._verbose, self._shown = verbose, False

    def of(self, error: BaseException) -> str:
        """The traceback of an error, or nothing."""
        bug = isinstance(error, InternalError)
        if not self._verbose and (self._shown or not bug):
            return ""
        self._shown |= bug
        return error.trace if isinstance(error, InternalError) else trace(error)
