"""One family of errors: catch `LandsatDownsampleError` and you catch ours.

    LandsatDownsampleError
    ├── UsageError          the request makes no sense (wrong option): exit code 2
    │   └── BandError       a band that the scene does not have; a KeyError too
    ├── SceneError          the source is not a scene we can read rightly
    │   └── NoSceneError    a folder without a scene, or without a band of it; a FileNotFoundError too
    ├── ReadError           bytes could not be fetched, verified or decoded
    │   ├── MissingError    a file, folder or object is not there; a FileNotFoundError too
    │   └── VerifyError     a product is not what it should be; carries the report
    ├── WriteError          the destination refused, or holds something else
    ├── RunError            some scenes of a run failed; carries their outcomes
    └── InternalError       a bug in this library: neither the source nor the request is at fault

A message is one lower-case line: what was asked, what is wrong, what to do.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import Any


class LandsatDownsampleError(Exception):
    """Base class of every error this library raises on purpose.

    Examples
    --------
    >>> try:
    ...     ld.open_scene("nowhere")
    ... except ld.LandsatDownsampleError as error:
    ...     print(type(error).__name__, error.exit_code)
    MissingError 1
    """

    exit_code = 1

    passing = False
    """Whether a source or store merely did not answer in time: the same request may succeed later."""


class UsageError(LandsatDownsampleError, ValueError):
    """The request itself is wrong: an option, a band name, a factor.

    Examples
    --------
    >>> ld.plan(scene, "out", factor=0.5)
    Traceback (most recent call last):
        ...
    landsat_downsample.errors.UsageError: cell of 0.5 x 0.5 pixels is finer than the source: give a larger one
    """

    exit_code = 2


class BandError(UsageError, KeyError):
    """A band that the scene does not have: what a mapping raises for a missing key.

    Examples
    --------
    >>> scene["redd"]
    Traceback (most recent call last):
        ...
    landsat_downsample.errors.BandError: band 'redd' is not in LC08_... (did you mean red?): it has ...
    """

    __str__ = Exception.__str__  # that of KeyError puts quotes around it


class SceneError(LandsatDownsampleError):
    """The source cannot be understood as a Landsat scene or band.

    Examples
    --------
    >>> import os
    >>> os.mkdir("empty")
    >>> ld.open_scene("empty")
    Traceback (most recent call last):
        ...
    landsat_downsample.errors.NoSceneError: '.../empty' holds no Landsat scene: ...
    """


class _NotThere(FileNotFoundError):
    """What is not there, in one line of our own: ``errno`` is set, ``strerror`` too, neither is in the message."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.errno, self.strerror = errno.ENOENT, os.strerror(errno.ENOENT)

    __str__ = Exception.__str__  # that of OSError tells the number


class NoSceneError(SceneError, _NotThere):
    """A folder without a scene, or a scene without a band that its metadata list: what `open` raises for a file.

    Examples
    --------
    >>> import os
    >>> os.mkdir("bare")
    >>> try:
    ...     ld.open_scene("bare")
    ... except FileNotFoundError as error:
    ...     print(error.errno == 2)
    True
    """


class ReadError(LandsatDownsampleError):
    """A source could not be fetched, verified or decoded; never turned into nodata.

    Examples
    --------
    >>> from pathlib import Path
    >>> Path("red.tif").write_text("no raster at all")
    16
    >>> ld.open_scene("red.tif")
    Traceback (most recent call last):
        ...
    landsat_downsample.errors.ReadError: cannot read '.../red.tif': not a TIFF: it begins with other bytes
    """


class MissingError(ReadError, _NotThere):
    """A file, folder or object is not there: what `open` raises then.

    Of a local one the system's own error is its ``__cause__``; of a remote one there is none, as such words hold
    signatures.

    Examples
    --------
    >>> try:
    ...     ld.open_scene("nowhere")
    ... except FileNotFoundError as error:
    ...     print(isinstance(error, ld.ReadError), error.errno == 2)
    True True
    """


def read_error(message: str, cause: BaseException) -> ReadError:
    """Make an error of reading, which tells as `cause` does whether something is not there."""
    return MissingError(message) if isinstance(cause, FileNotFoundError) else ReadError(message)


class VerifyError(ReadError):
    """A product is not what its records, or its source, say that it is.

    Attributes
    ----------
    report : Report
        What was checked, and what is wrong.

    Examples
    --------
    >>> from pathlib import Path
    >>> (outcome,) = ld.run(ld.plan(scene, "out", factor=10, bands="red"))
    >>> product = Path(outcome.href).parent
    >>> with next(product.glob("*_SR_B4.TIF")).open("ab") as file:
    ...     file.write(b"damage")
    6
    >>> try:
    ...     ld.verify(product, check=True)
    ... except ld.VerifyError as error:
    ...     print(len(error.report.wrong), "wrong")
    2 wrong
    """

    def __init__(self, message: str, report: Any = None) -> None:
        super().__init__(message)
        self.report = report

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.report)


class WriteError(LandsatDownsampleError):
    """A destination could not be written, or holds a different product.

    Examples
    --------
    >>> outcomes = ld.run(ld.plan(scene, "out", factor=10, bands="red"))
    >>> others = ld.run(ld.plan(scene, "out", factor=20, bands="red"), check=False)
    >>> type(others[0].error).__name__
    'WriteError'
    """

    for_all = False
    """Whether it would refuse all other scenes too: it is full or read-only, or the keys are not taken."""


class InternalError(LandsatDownsampleError):
    """A bug in this library, met at work on a scene: please report it.

    Attributes
    ----------
    trace : str
        The traceback of what went wrong, which survives pickling; free of secrets.

    Examples
    --------
    >>> error = ld.InternalError("cannot reduce SR_B4", trace="ZeroDivisionError: division by zero")
    >>> error.trace
    'ZeroDivisionError: division by zero'
    """

    def __init__(self, message: str, trace: str = "") -> None:
        super().__init__(message)
        self.trace = trace
        if trace:
            self.__cause__ = Trace(trace)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.trace)


class Trace(Exception):
    """A traceback as text: the cause of an error that may come from another process, or whose words hold secrets."""

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


class RunError(LandsatDownsampleError):
    """At least one scene of a run failed; the others were published.

    Attributes
    ----------
    outcomes : sequence of Outcome
        One for each scene of the run, failed or not.

    Examples
    --------
    >>> try:
    ...     ld.run(ld.plan([scene, "nowhere"], "out", factor=10, bands="red"))
    ... except ld.RunError as error:
    ...     print([outcome.status for outcome in error.outcomes])
    ['done', 'failed']
    """

    def __init__(self, message: str, outcomes: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.outcomes = outcomes

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.outcomes)
