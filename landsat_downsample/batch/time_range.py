"""Spans of time as STAC writes them: dates of any precision, and ranges with open ends. Pure."""

from __future__ import annotations

import calendar
import re
from datetime import UTC, datetime, timedelta

from landsat_downsample.errors import UsageError

_DATE = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?$")


def parse(text: str) -> tuple[datetime | None, datetime | None]:
    """Read a moment or range, as its first and last moment; None for an open end.

    Parameters
    ----------
    text : str
        A year, month, day or RFC 3339 moment, or two of them with ``/`` between; ``..`` or nothing is an open end.

    Raises
    ------
    UsageError
        It is none of these, or ends before it begins.

    Examples
    --------
    >>> [moment.isoformat() for moment in parse("2023-02")]
    ['2023-02-01T00:00:00+00:00', '2023-02-28T23:59:59.999999+00:00']
    """
    first, sign, last = text.partition("/")
    try:
        start, end = _span(first), _span(last if sign else first)
    except ValueError as error:
        raise _wrong(text) from error
    if (start[0] is None and end[1] is None) or "/" in last:
        raise _wrong(text)
    if start[0] is not None and end[1] is not None and start[0] > end[1]:
        raise UsageError(f"datetime {text!r} ends before it begins: give the earlier one first")
    return start[0], end[1]


def words(span: tuple[datetime | None, datetime | None]) -> str:
    """Write a span as a STAC API takes it.

    >>> words(parse("2023/.."))
    '2023-01-01T00:00:00Z/..'
    """
    return "/".join(".." if one is None else one.isoformat().replace("+00:00", "Z") for one in span)


def _span(text: str) -> tuple[datetime | None, datetime | None]:
    text = text.strip()
    if text in ("", ".."):
        return None, None
    found = _DATE.match(text)
    if found is None:
        if "T" not in text.upper():
            raise ValueError(text)
        moment = datetime.fromisoformat(text.upper())
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        return moment, moment
    year, month, day = (int(part or 0) for part in found.groups())
    first = datetime(year, month or 1, day or 1, tzinfo=UTC)
    last_month = month or 12
    last = datetime(year, last_month, day or calendar.monthrange(year, last_month)[1], tzinfo=UTC)
    return first, last + timedelta(days=1) - timedelta(microseconds=1)


def _wrong(text: str) -> UsageError:
    return UsageError(f"datetime {text!r} is not a date or range: give 2023, 2023-06-01/2023-08-31 or 2023-06-01/..")
