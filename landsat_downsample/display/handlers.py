"""Handlers of the library's logger: what a shell shows of it on stderr, in words, as timed lines, or as JSON."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from logging import LogRecord

from landsat_downsample.model.log import DEBUG, ERROR, INFO, LOGGER, WARNING, fields, tell, tell_trace
from landsat_downsample.storage.bugs import BugWarning

#: Every shell line begins with it.
PROGRAM = "landsat-downsample"


def in_words(record: LogRecord) -> str:
    """A line for the person who has typed a command."""
    if _event(record) in ("traceback", "demo"):  # of several lines, or to be copied from
        return record.getMessage()
    return f"{PROGRAM}: {'warning: ' if record.levelno == WARNING else ''}{record.getMessage()}"


def timed(record: LogRecord) -> str:
    """A line of a log: when, how grave, what.

    >>> timed(logging.makeLogRecord({"created": 0.25, "levelname": "INFO", "msg": "3 done of 3 scenes"}))
    '1970-01-01T00:00:00.250Z INFO landsat-downsample: 3 done of 3 scenes'
    """
    return f"{_when(record).replace('+00:00', 'Z')} {record.levelname} {PROGRAM}: {record.getMessage()}"


def as_json(record: LogRecord) -> str:
    """A JSON object for programs."""
    told = {"time": _when(record), "level": record.levelname.lower(), "event": _event(record)}
    name = "traceback" if told["event"] == "traceback" else "message"
    return json.dumps(told | {name: record.getMessage()} | fields(record))


def _event(record: LogRecord) -> str:
    return getattr(record, "event", "message")


def _when(record: LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


class Lines(logging.Handler):
    """Writes each record on stderr at once, as one piece; where nobody takes it the work still goes on."""

    def __init__(self, words: Callable[[LogRecord], str], level: int = INFO) -> None:
        super().__init__(level)
        self._words = words

    def emit(self, record: LogRecord) -> None:
        """Write a record."""
        with suppress(OSError):
            sys.stderr.write(f"{self._words(record)}\n")
            sys.stderr.flush()


class Quiet(Lines):
    """Errors alone, and the answer to a Ctrl-C."""

    def __init__(self) -> None:
        super().__init__(in_words, INFO)

    def emit(self, record: LogRecord) -> None:
        """Write a record, if it is an error."""
        if record.levelno >= ERROR or _event(record) == "stopping":
            super().emit(record)


def is_heard() -> bool:
    """Whether the program that uses the library has a handler for its records."""
    handlers = [*LOGGER.handlers, *(logging.root.handlers if LOGGER.propagate else ())]
    return any(not isinstance(handler, (logging.NullHandler, Lines)) for handler in handlers)


@contextmanager
def showing(handler: logging.Handler) -> Iterator[None]:
    """Let a handler show what is told, in place of the shell's; none where a program listens by its own handlers."""
    shell: list[logging.Handler] = [one for one in LOGGER.handlers if isinstance(one, Lines)]
    if not shell and is_heard():
        yield
        return
    with _handled_by(handler, instead=shell, level=min(LOGGER.level or handler.level, handler.level)):
        yield


@contextmanager
def shell(words: Callable[[LogRecord], str]) -> Iterator[None]:
    """Show everything that is told, and every warning of Python, on stderr alone, as long as a command lasts."""
    propagate, LOGGER.propagate = LOGGER.propagate, False
    try:
        with _handled_by(Lines(words), instead=LOGGER.handlers[:], level=DEBUG):
            yield
    finally:
        LOGGER.propagate = propagate


@contextmanager
def _handled_by(handler: logging.Handler, *, instead: list[logging.Handler], level: int) -> Iterator[None]:
    before, kept = LOGGER.level, LOGGER.handlers[:]
    LOGGER.handlers = [*(one for one in kept if one not in instead), handler]
    LOGGER.setLevel(level)
    try:
        yield
    finally:
        LOGGER.setLevel(before)
        LOGGER.handlers = kept


def show_warning(message: Warning | str, *where: object, **more: object) -> None:
    """Tell of a warning of Python; takes the place of `warnings.showwarning` in a shell."""
    line, _, trace = str(message).partition("\n") if isinstance(message, BugWarning) else (str(message), "", "")
    tell_trace(trace)
    tell("warning", line, WARNING)
