"""What the verbs share: exit codes, lines on stderr, and the types of their arguments."""

from __future__ import annotations

import argparse
import gc
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import pairwise
from typing import Any, NoReturn, TypeAlias

from landsat_downsample.cli.last_words import leave_words
from landsat_downsample.errors import UsageError
from landsat_downsample.model import environment
from landsat_downsample.model.location import Location
from landsat_downsample.model.log import ERROR, INFO, tell, tell_trace
from landsat_downsample.model.nearest import did_you_mean
from landsat_downsample.model.safe_text import plain
from landsat_downsample.model.words import words as split_words
from landsat_downsample.storage.bugs import Traces

DONE, NONE_SUCCEEDED, WRONG_USAGE, SOME_FAILED, INTERRUPTED = 0, 1, 2, 3, 130

#: None succeeded, but only because a source or store did not answer in time: EX_TEMPFAIL of sysexits.h.
TEMPORARY = 75

#: What `add_verb` adds to.
Verbs: TypeAlias = "argparse._SubParsersAction[Parser]"

SOURCE = "a GeoTIFF, scene folder or prefix, MTL, STAC item or tar"


def discard_stdout() -> None:
    """Spare the interpreter its own attempt to flush what nobody takes."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(line: str, level: int = INFO) -> None:
    """Tell the user one line; the shell shows it on stderr."""
    tell("message", line, level)


def print_line(line: str) -> None:
    """Print a line for people on stdout, where data goes as it is."""
    print(plain(line), flush=True)


def complain(error: Exception, arguments: argparse.Namespace, line: str | None = None) -> None:
    """Report an error in one line, with -v its traceback too; the first bug of ours always with its traceback."""
    traces = vars(arguments).setdefault("traces", Traces(verbose=arguments.verbose))
    tell_trace(traces.of(error))
    say(line or str(error), ERROR)
    leave_words([line or error])


@contextmanager
def loading(own_process: bool) -> Iterator[None]:
    """Load modules with the garbage collector at rest, which would search them again and again for nothing.

    In a process of another's its garbage may not be left out, and all stays as it is.
    """
    if not own_process:
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # modules stay to the end: the searches to come pass over them
        gc.enable()


class _Flag(argparse._StoreTrueAction):
    """A flag that ``--no-NAME``, which the help of an option need not list, takes back from a file of options."""

    @property
    def opposites(self) -> list[str]:
        names = [name for name in self.option_strings if name.startswith("--")]
        return [f"--{name[5:]}" if name.startswith("--no-") else f"--no-{name[2:]}" for name in names]

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        setattr(namespace, self.dest, option_string in self.option_strings)


class Parser(argparse.ArgumentParser):
    """One line for a usage error, with the way to the help; examples keep their lines."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **settings)
        self.register("action", "store_true", _Flag)
        # What begins as a negative number is one, a list of them too: -123.5,37,-122,38.
        self._negative_number_matcher = re.compile(r"-\.?\d")

    def error(self, message: str) -> NoReturn:
        """Exit with one line, and with the code for wrong usage."""
        self.exit(WRONG_USAGE, f"{self.prog}: {plain(message)}; see {self.prog} --help\n")

    def parse_known_args(  # argparse says no more: what is given as the namespace comes back
        self, args: Iterable[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Parse; an unknown option is reported before what is missing because of it."""
        args = sys.argv[1:] if args is None else list(args)
        for action in [action for action in self._actions if isinstance(action, _Flag)]:
            self._option_string_actions |= dict.fromkeys(action.opposites, action)
        for word in args:
            if word == "--" or (self._subparsers and not word.startswith("-")):  # what follows is the verb's
                break
            name = word.partition("=")[0]
            if self._looks_like_option(name) and name not in self._option_string_actions:
                self.error(f"there is no option {name}{did_you_mean(name, self._option_string_actions)}")
        return super().parse_known_args(args, namespace)

    def _looks_like_option(self, word: str) -> bool:
        if len(word) < 2 or word[0] != "-" or " " in word or self._negative_number_matcher.match(word):
            return False
        return word.startswith("--") or not all(f"-{flag}" in self._option_string_actions for flag in word[1:])

    def _check_value(self, action: argparse.Action, value: object) -> None:
        if action.choices is not None and value not in action.choices:
            known = [str(choice) for choice in action.choices]
            message = f"{value!r} is none of {', '.join(known)}{did_you_mean(str(value), known)}"
            raise argparse.ArgumentError(action, message)


def word_of(argv: Sequence[str], option: str) -> str | None:
    """What a command line says for an option, before it is parsed; the last word for it."""
    end = argv.index("--") if "--" in argv else len(argv)
    found = [second for first, second in pairwise(argv[:end]) if first == option]
    joined = [word.partition("=")[2] for word in argv[:end] if word.startswith(f"{option}=")]
    return next(reversed([*found, *joined]), None)


def add_verb(
    verbs: Verbs, name: str, function: Callable[[argparse.Namespace], int], text: str, epilog: str | None = None
) -> argparse.ArgumentParser:
    """Add a verb with the options that all have."""
    parser = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", epilog=epilog)
    parser.add_argument("-v", "--verbose", action="store_true", help="show the traceback of an error")
    parser.add_argument("-q", "--quiet", action="store_true", help="show errors only")
    parser.add_argument(
        "--config", type=href_type, metavar="FILE",
        help="TOML file of options (factor = 10, bands = ['red']); the command line comes first, where --no-overwrite "
        "takes back overwrite = true, and so for each flag",
    )  # fmt: skip
    parser.set_defaults(verb=function)
    return parser


def add_access(parser: argparse.ArgumentParser) -> None:
    """Add what a reader agrees to."""
    parser.add_argument("--requester-pays", action="store_true", help="agree to pay for reads where the bucket asks it")
    parser.add_argument(
        "--allow-host", action="append", default=[], metavar="HOST",
        help="host of this machine or its own network that remote documents and redirects may lead to; repeatable",
    )  # fmt: skip


def add_relative_to(parser: argparse._ActionsContainer) -> None:
    """Add where hrefs on stdout start."""
    parser.add_argument(
        "--relative-to", metavar="DIR", help="print the hrefs of what lies in this folder relative to it"
    )


def relative_href(href: str, folder: str | None) -> str:
    """Give an href as ``--relative-to`` asks for it."""
    if folder is None or not (place := Location(href)).is_local:
        return href
    path, start = os.path.realpath(place.path), os.path.realpath(folder)
    return os.path.relpath(path, start) if os.path.commonpath([path, start]) == start else href


@contextmanager
def variable(name: str, value: str | None) -> Iterator[None]:
    """Set a variable for this process and those that it starts; None leaves it as it is."""
    before = environment.read(name)
    if value is not None:
        os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name, None)
        if before is not None:
            os.environ[name] = before


def allowed_hosts(arguments: argparse.Namespace) -> AbstractContextManager[None]:
    """Let the hosts of ``--allow-host`` be inside, besides those of the environment."""
    hosts = getattr(arguments, "allow_host", None)
    if not hosts:
        return nullcontext()
    from landsat_downsample.model.policy import ALLOW_HOSTS

    return variable(ALLOW_HOSTS, ",".join([*filter(None, [environment.read(ALLOW_HOSTS)]), *hosts]))


def seconds(text: str) -> float:
    """A number of seconds."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return value


def href_type(text: str) -> str:
    """Convert a location, or refuse it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(f"{text!r} is not valid UTF-8, which metadata must be: rename it") from None
    return text


def number(text: str) -> float:
    """Convert a finite number."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    return int(value) if value.is_integer() else value


def size(text: str) -> tuple[int, int]:
    """Convert ``W,H``."""
    from landsat_downsample.model.grid import width_height

    try:
        return width_height(text.split(","))
    except UsageError:
        raise argparse.ArgumentTypeError(f"{text!r} is not W,H: two whole numbers such as 100,0") from None


def bounds(text: str) -> tuple[float, float, float, float]:
    """Convert ``LEFT,BOTTOM,RIGHT,TOP``."""
    try:
        left, bottom, right, top = (float(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not LEFT,BOTTOM,RIGHT,TOP: four numbers") from None
    return left, bottom, right, top


def position(text: str) -> tuple[float, float]:
    """Convert ``X,Y``."""
    try:
        x, y = (float(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not X,Y: two numbers") from None
    return x, y


def count(text: str) -> int:
    """Convert a number of things, at least 1."""
    digits = text.removesuffix(".0")  # CWL runners may say so of whole numbers
    if not digits.isdecimal() or int(digits) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(digits)


def whole(text: str) -> int:
    """Convert a whole number, at least 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def counts(text: str) -> tuple[int, ...]:
    """Convert a comma-separated list of whole numbers."""
    return tuple(count(word) for word in words(text))


def words(text: str) -> tuple[str, ...]:
    """Convert a comma-separated list."""
    names = split_words(text, empty=True)
    if not all(names):
        raise argparse.ArgumentTypeError(f"{text!r} has an empty name: give names with commas between them")
    return names


def method(text: str) -> tuple[str, str]:
    """Convert ``BAND=METHOD``."""
    band, sign, method = text.partition("=")
    if not (band and sign and method):
        raise argparse.ArgumentTypeError(f"{text!r} is not BAND=METHOD, such as ST_QA=rms")
    return band, method
