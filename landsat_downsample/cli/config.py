"""Options from a TOML file (``--config run.toml``): keys are the options' names, and the command line comes first."""

from __future__ import annotations

import argparse
import re
import tomllib
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from landsat_downsample.cli.arguments import Parser, count, href_type, number, seconds, whole
from landsat_downsample.cli.search import OPTIONS as SEARCH
from landsat_downsample.model.nearest import did_you_mean

#: What no file may say, and what it may not hold: it is kept, copied and passed on.
_NOT_HERE = {"help", "version", "config"}
_SECRET = re.compile(r"secret|token|password|access_?key", re.IGNORECASE)

_NUMBERS = (number, count, seconds, whole, int, float)
#: Types of options whose text is one thing: the others take a list too, whose parts stand between commas.
_SINGLE = (None, href_type, *_NUMBERS)

#: Options of which one says it all: where the command line has one of them, the file's others do not count.
_ALTERNATIVES = (("factor", "resolution", "size", "grid"), ("sources", "retry_failed", "stac"))


class _Wrong(Exception):
    """What is wrong with a file, in the words for its user."""


def parse(parser: Parser, every: Parser, argv: Sequence[str], path: str, namespace: argparse.Namespace) -> Any:
    """Parse a command line with the options of a file, where it has none of its own.

    Parameters
    ----------
    parser, every : Parser
        What understands this command line, and that of any verb: a file may hold options of several verbs.
    path : str
        The file. Relative paths in it start at the current directory, as on the command line.
    """
    verb = _verb(parser, argv)
    try:
        values = _values(
            verb, _table(path), {name: action for one in _parsers(every) for name, action in _actions(one).items()}
        )
    except _Wrong as wrong:
        verb.error(f"{path}: {wrong}")
    actions = _actions(verb)
    defaults = {dest: action.default for dest, action in actions.items()}
    for dest in values:  # an attribute that is there after all is the command line's
        actions[dest].default, actions[dest].required = argparse.SUPPRESS, False
        if actions[dest].nargs is None and not actions[dest].option_strings:
            actions[dest].nargs = "?"
    arguments = parser.parse_args(argv, namespace)
    given = {dest for dest in actions if getattr(arguments, dest, None) not in (None, [], defaults[dest])}
    given |= {dest for dest in values if hasattr(arguments, dest)}
    left_out = _left_out(given, arguments, values)
    for dest, value in values.items():
        if dest not in given:
            nothing = [] if actions[dest].nargs == "*" else defaults[dest]
            setattr(arguments, dest, nothing if dest in left_out else value)
    return arguments


def _left_out(given: set[str], arguments: argparse.Namespace, values: dict[str, Any]) -> set[str]:
    """Options of the file in whose place the command line has another one."""
    out: set[str] = set()
    for one in _ALTERNATIVES:
        asked = given & set(one)
        if not _has_cells(getattr(arguments, "grid", None)):  # zone and scene go with a factor
            asked -= {"grid"}
        out |= set(one) - asked if asked else set()
    if not _has_cells(values.get("grid")):
        out -= {"grid"}
    return out | {*SEARCH, "search_again"} if "stac" in out else out


def _has_cells(grid: str | None) -> bool:
    return grid not in (None, "zone", "scene")


def _verb(parser: Parser, argv: Sequence[str]) -> Parser:
    """The parser that the first words lead to."""
    for word in argv:
        found = next((a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction)), {})
        if word not in found:
            break
        parser = found[word]
    return parser


def _parsers(parser: argparse.ArgumentParser) -> Iterable[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from _parsers(inner)


def _actions(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    actions = (action for action in parser._actions if not isinstance(action, argparse._SubParsersAction))
    return {action.dest: action for action in actions if action.dest not in _NOT_HERE}


def _table(path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise _Wrong(f"cannot be read: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise _Wrong("is not UTF-8, which TOML must be") from error
    except tomllib.TOMLDecodeError as error:
        words = str(error)
        raise _Wrong(f"is not TOML: {words[:1].lower()}{words[1:]}") from error


def _values(verb: Parser, table: dict[str, Any], known: dict[str, argparse.Action]) -> dict[str, Any]:
    """The values of a verb's options; those that only other verbs have are passed over."""
    actions, found = _actions(verb), {}
    for key, value in table.items():
        dest = key.replace("-", "_")
        if dest in found:
            raise _Wrong(f"{key} is there twice, once with - and once with _")
        if dest in actions:
            found[dest] = _value(verb, key, actions[dest], value)
        elif _SECRET.search(key):
            raise _Wrong(f"{key}: no secrets in a file of options: they come from the environment or a profile")
        elif dest not in known:
            raise _Wrong(f"there is no option {key}{did_you_mean(dest, known)}")
        elif isinstance(value, dict) and not isinstance(known[dest], argparse._AppendAction):
            raise _Wrong(f"{key} is a table: options stand at the top, whatever verb they are of")
    return found


def _value(verb: Parser, key: str, action: argparse.Action, value: Any) -> Any:
    if action.nargs == 0:  # a flag
        if not isinstance(value, bool):
            raise _Wrong(f"{key} = {value!r} is neither true nor false")
        return value
    several = isinstance(action, argparse._AppendAction)
    if several or action.nargs in ("*", "+"):
        if isinstance(value, dict) and several:
            value = [f"{name}={one}" for name, one in value.items()]
        return [_single(verb, key, action, one) for one in (value if isinstance(value, list) else [value])]
    if isinstance(value, list) and action.type not in _SINGLE:
        if any(isinstance(one, (list, dict, bool)) for one in value):
            raise _Wrong(f"{key} = {value!r}: give a list of names or numbers")
        value = ",".join(map(str, value))
    return _single(verb, key, action, value)


def _single(verb: Parser, key: str, action: argparse.Action, value: Any) -> Any:
    """One value as the command line would have it."""
    if action.type in _NUMBERS and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise _Wrong(f"{key} = {value!r} is no number: give one, without quotes")
    text = value.isoformat() if isinstance(value, date) else value
    if not isinstance(text, str):
        if isinstance(text, (bool, list, dict)) or action.type in (None, href_type):
            raise _Wrong(f"{key} = {value!r} is no text: give one, in quotes")
        text = str(text)
    try:
        made = action.type(text) if callable(action.type) else text
        verb._check_value(action, made)
    except (argparse.ArgumentTypeError, argparse.ArgumentError, ValueError) as error:
        raise _Wrong(f"{key}: {getattr(error, 'message', None) or error}") from error
    return made
