"""One family of errors: catch `LandsatDownsampleError` and you catch ours.

    LandsatDownsampleError
    ├── UsageError          the request makes no sense (wrong option, unknown band): exit code 2
    ├── SceneError          the source is not a scene we can read rightly
    ├── ReadError           bytes could not be fetched, verified or decoded
    ├── WriteError          the destination refused, or holds something else
    └── RunError            some scenes of a run failed; carries their outcomes

A message is one lower-case line: what was asked, what is wrong, what to do.
"""

from __future__ import annotations


class LandsatDownsampleError(Exception):
    """Base class of every error this library raises on purpose."""

    exit_code = 1

    passing = False
    """Whether a source or store merely did not answer in time: the same request may succeed later."""


class UsageError(LandsatDownsampleError, ValueError):
    """The request itself is wrong: an option, a band name, a factor."""

    exit_code = 2


class SceneError(LandsatDownsampleError):
    """The source cannot be understood as a Landsat scene or band."""


class ReadError(LandsatDownsampleError):
    """A source could not be fetched, verified or decoded; never turned into nodata."""


class WriteError(LandsatDownsampleError):
    """A destination could not be written, or holds a different product."""

    for_all = False
    """Whether it would refuse all other scenes too: it is full or read-only, or the keys are not taken."""


class RunError(LandsatDownsampleError):
    """At least one scene of a run failed; the others were published.

    Attributes
    ----------
    outcomes : tuple of Outcome
        One for each scene of the run, failed or not.
    """

    def __init__(self, message: str, outcomes: tuple = ()) -> None:
        super().__init__(message)
        self.outcomes = outcomes

    def __reduce__(self):
        return type(self), (str(self), self.outcomes)
