"""The environment variables that matter: none is read that does not stand in ``environment.json``, with what it is for.

`docs/environment.md` and ``landsat-downsample doctor --env`` are made of it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Variable:
    """An environment variable, and what it is for."""

    name: str
    group: str
    """Who reads it, or what it is about: a heading."""
    meaning: str
    default: str = ""
    """What holds where it is not set, where that is not nothing."""
    secret: bool = False
    """Whether its value is never shown."""


@cache
def variables() -> dict[str, Variable]:
    """All of them by name, group by group."""
    groups = json.loads(Path(__file__).with_suffix(".json").read_text("utf-8"))
    return {name: Variable(name, group, **facts) for group, names in groups.items() for name, facts in names.items()}


def read(name: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """The value of a variable of the table; None where it is not set.

    >>> read("LANDSAT_DOWNSAMPLE_BUDGET", {"LANDSAT_DOWNSAMPLE_BUDGET": "30"})
    '30'
    """
    return environ.get(variables()[name].name)
