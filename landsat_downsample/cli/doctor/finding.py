"""What a check found, in one line that holds no secret."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, urlsplit

from landsat_downsample.errors import LandsatDownsampleError
from landsat_downsample.model.safe_text import plain
from landsat_downsample.storage.bugs import is_bug, warn

OK, NO, NOT_ASKED = "ok", "no", "--"

#: Environment variables whose values are never shown.
_SECRET = re.compile(r"KEY|SECRET|TOKEN|PASSW|CREDENTIAL|SIGNATURE", re.IGNORECASE)

#: Shorter values are words such as "true", which would black out half of a line.
_SHORTEST = 6


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor."""

    state: str
    """``ok``, ``no`` (the fact says what to do) or ``--`` (not asked, not applicable)."""
    what: str
    fact: str

    def __post_init__(self) -> None:
        if self.state not in (OK, NO, NOT_ASKED):
            raise ValueError(f"state {self.state!r} is none of ok, no and --")

    def __str__(self) -> str:
        return f"{self.state}  {self.what}: {self.fact}"

    def to_dict(self) -> dict[str, str]:
        """Describe it in JSON types."""
        return {"state": self.state, "what": self.what, "fact": self.fact}


def tried(what: str, check: Callable[[], str | Finding]) -> Finding:
    """Make a check; whatever goes wrong is what it found."""
    try:
        found = check()
    except LandsatDownsampleError as error:
        return Finding(NO, what, str(error))
    except Exception as error:
        if is_bug(error):
            warn(error, what)
        # Its own words may hold a secret of any kind.
        return Finding(NO, what, f"failed unexpectedly with {type(error).__name__}: please report it")
    return found if isinstance(found, Finding) else Finding(OK, what, found)


def secrets(hrefs: Iterable[str]) -> tuple[str, ...]:
    """Values that no line may hold: of the environment, and of the addresses that were given."""
    found = {value for name, value in os.environ.items() if _SECRET.search(name)}
    for href in (*hrefs, *(value for name, value in os.environ.items() if name.endswith(("_URL", "_PROXY", "_proxy")))):
        try:
            parts = urlsplit(href)
            found |= {parts.username or "", parts.password or "", parts.query}
        except ValueError:
            continue
        found |= {value for _, value in parse_qsl(parts.query)}
    return tuple(sorted((value for value in found if len(value) >= _SHORTEST), key=len, reverse=True))


def cleaned(finding: Finding, hidden: tuple[str, ...]) -> Finding:
    """One line, without any of the values to hide."""
    fact = plain(finding.fact)
    for value in hidden:
        fact = fact.replace(value, "***")
    return replace(finding, fact=fact)
