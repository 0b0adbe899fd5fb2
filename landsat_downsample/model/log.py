"""What the library says: records of the logger ``landsat_downsample``, each with an ``event`` and fields of its own."""

from __future__ import annotations

import logging
from logging import DEBUG, ERROR, INFO, WARNING, LogRecord
from typing import Any

from landsat_downsample.model.safe_text import plain, scrubbed

__all__ = ["DEBUG", "ERROR", "INFO", "LOGGER", "WARNING", "fields", "tell", "tell_trace"]

LOGGER = logging.getLogger("landsat_downsample")

#: Attributes that every record has.
_COMMON = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "event"}


def tell(event: str, message: str, level: int = INFO, **facts: Any) -> None:
    """Log an event: one line for people, fields (JSON values) for programs, neither with secrets."""
    if LOGGER.isEnabledFor(level):
        LOGGER.log(level, plain(message), extra={"event": event} | _safe(facts), stacklevel=2)


def tell_trace(trace: str, **facts: Any) -> None:
    """Log how an error came about, from `safe_text.trace`, which has taken the secrets out."""
    if trace:
        LOGGER.error("%s", trace.rstrip("\n"), extra={"event": "traceback"} | _safe(facts), stacklevel=2)


def fields(record: LogRecord) -> dict[str, Any]:
    """What `tell` was given beside the event and the message."""
    return {name: value for name, value in vars(record).items() if name not in _COMMON}


def _safe(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: scrubbed(value, name) for name, value in facts.items()}
