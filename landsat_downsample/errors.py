"""One family of errors: catch `LandsatDownsampleError` and you catch ours.

    LandsatDownsampleError
    ├── UsageError          the request makes no sense (wrong option): exit code 2
    │   └── BandError       a band that the scene does not have; a KeyError too
    ├── SceneError          the source is not a scene we can read rightly
    ├── ReadError           bytes could not be fetched, verified or decoded
    │   └── VerifyError     a product is not what it should be; carries the report
    ├── WriteError          the destination refused, or holds something else
    ├── RunError            some scenes of a run failed; carries their outcomes
    └── InternalError       a bug in this library: neither the source nor the request is at fault

A message is one lower-case line: what was asked, what is wrong, what to do.
"""

from __future__ import annotations

from typing import Any


class LandsatDownsampleError(Exception):
    """Base class of every error this library raises on purpose."""

    exit_code = 1

    passing = False
    """Whether a source or store merely did not answer in time: the same request may succeed later."""


class UsageError(LandsatDownsampleError, ValueError):
    """The request itself is wrong: an option, a band name, a factor."""

    exit_code = 2


class BandError(UsageError, KeyError):
    """A band that the scene does not have: what a mapping raises for a missing key."""

    __str__ = Exception.__str__  # that of KeyError puts quotes around it


class SceneError(LandsatDownsampleError):
    """The source cannot be understood as a Landsat scene or band."""


class ReadError(LandsatDownsampleError):
    """A source could not be fetched, verified or decoded; never turned into nodata."""


class VerifyError(ReadError):
    """A product is not what its records, or its source, say that it is.

    Attributes
    ----------
    report : Report
        What was checked, and what is wrong.
    """

    def __init__(self, message: str, report: Any = None) -> None:
        super().__init__(message)
        self.report = report

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.report)


class WriteError(LandsatDownsampleError):
    """A destination could not be written, or holds a different product."""

    for_all = False
    """Whether it would refuse all other scenes too: it is full or read-only, or the keys are not taken."""


class InternalError(LandsatDownsampleError):
    """A bug in this library, met at work on a scene: please report it.

    Attributes
    ----------
    trace : str
        The traceback of what went wrong, which survives pickling; free of secrets.
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
    outcomes : tuple of Outcome
        One for each scene of the run, failed or not.
    """

    def __init__(self, message: str, outcomes: tuple[Any, ...] = ()) -> None:
        super().__init__(message)
        self.outcomes = outcomes

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.outcomes)
