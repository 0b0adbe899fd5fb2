"""Text made safe to show: names from items and files, and errors that quote them, may hold anything. Pure."""

from __future__ import annotations

import math
import re
import traceback

_HREF = re.compile(r"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]{1,30}://[^\s'\"<>]+")
#: A CRS and a cell size, which read like a login and a host.
_CELLS = r"(?:EPSG|ESRI|OGC|IGNF|IAU_\d+):\w+@[\d.,/]+(?!\w)"
#: Of a URL whose scheme was left out: ``user:password@``, and a query that holds a secret.
_LOGIN = re.compile(rf"(?<![^\s'\"/])(?!{_CELLS})[^\s'\"/:@]+:(?!//)[^\s'\"@]+@(?=[^\s'\"])")
#: The same, of a password that holds what looks like the beginning of a URL.
_LOGIN_BEFORE_URL = re.compile(r"(?<![^\s'\"/])[^\s'\"/:@]+:(?![/:])[^\s'\"@]*://[^\s'\"@]*@(?=[^\s'\"])")
_SIGNED = re.compile(
    r"[?;&][^\s'\"?;&=/]*(?:sig|token|key|secret|passw|credential|auth)[^\s'\"?;&=/]*=[^\s'\"]*", re.IGNORECASE
)
#: Names of what holds a secret.
_SECRET = re.compile(r"(?i)password|passwd|secret|token|signature|credential|authorization|(^|_)key($|_id$)")


def plain(text: object, limit: int = 2000) -> str:
    r"""Make a text safe to show: on one line, all that is not seen escaped, secrets of hrefs taken out.

    Escaped are terminal controls, and marks that turn the direction of writing; letters of any language stay.

    >>> plain("cannot read https://me:pw@host/B4.TIF?sig=abc: \x1b[31mno"), plain("me:pw@host/Grüße?sig=a")
    ('cannot read https://host/B4.TIF: \\x1b[31mno', 'host/Grüße')
    >>> plain("grid EPSG:3035@500, or 'me:pw@10.0.0.1'")
    "grid EPSG:3035@500, or '10.0.0.1'"
    """
    line = public(_LOGIN_BEFORE_URL.sub("", " ".join(str(text)[: 4 * limit].split())))
    line = _SIGNED.sub("", _LOGIN.sub("", line))  # without a scheme
    line = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii") for sign in line)
    return line if len(line) <= limit else line[: limit - 3] + "..."


def public(text: str) -> str:
    """Take user names, passwords and signatures out of every href of a text."""
    return _HREF.sub(lambda found: _public(found[0]), text)


def _public(href: str) -> str:
    from landsat_downsample.model.location import redact  # loads numpy with the whole of its package

    bare = href.rstrip(".,;:)]")
    return redact(bare) + href[len(bare) :]  # the sentence around it


def scrubbed(value: object, name: str = "") -> object:
    """Take secrets out of JSON values: what is named like one, and what hrefs carry.

    >>> scrubbed({"to": "s3://bucket/out", "token": "abc", "from": ["https://host/a?sig=1"]})
    {'to': 's3://bucket/out', 'token': '***', 'from': ['https://host/a']}
    """
    if value is None or isinstance(value, (bool, int, float)):
        return value if value is None or math.isfinite(value) else None
    if _SECRET.search(name):
        return "***"
    if isinstance(value, dict):
        return {str(key): scrubbed(part, str(key)) for key, part in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [scrubbed(part, name) for part in value]
    return plain(value)


def trace(error: BaseException) -> str:
    """How an error came about, as Python prints it, with each message on one line."""
    return "".join(
        part if part.startswith("  ") or not part.strip() else f"{plain(part)}\n"
        for part in traceback.TracebackException.from_exception(error).format()
    )
