"""The command line: data on stdout, everything else on stderr, exit codes 0, 1, 2, 3 and 130.

landsat-downsample demo
landsat-downsample run SCENE --to out --factor 10 | jq -r .href
"""

from __future__ import annotations

import argparse
import atexit
import importlib
import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from logging import LogRecord

from landsat_downsample import __version__
from landsat_downsample.cli.arguments import (
    DONE,
    INTERRUPTED,
    NONE_SUCCEEDED,
    TEMPORARY,
    Parser,
    allowed_hosts,
    complain,
    discard_stdout,
    say,
    word_of,
)
from landsat_downsample.cli.last_words import leave_words
from landsat_downsample.cli.signals import (
    begin_to_listen,
    interrupt_again,
    leave_signals,
    on_signals,
    signals_taken,
    timed_out,
)
from landsat_downsample.display import handlers
from landsat_downsample.errors import LandsatDownsampleError
from landsat_downsample.model import environment
from landsat_downsample.model.shortage import shortage
from landsat_downsample.storage.bugs import wrapped

#: Where each verb lives: only the one that is asked for is loaded.
_VERBS = {
    "run": "verbs.run",
    "plan": "verbs.plan",
    "info": "verbs.inspection",
    "verify": "verbs.inspection",
    "cube": "verbs.cube",
    "catalogue": "verbs.catalogue",
    "notebook": "verbs.notebook",
    "stage-in": "verbs.staging",
    "stage-out": "verbs.staging",
    "clean": "verbs.staging",
    "grids": "verbs.grids",
    "clusters": "verbs.clusters",
    "doctor": "verbs.doctor",
    "status": "verbs.status",
    "report": "verbs.status",
    "make-scene": "verbs.inspection",
    "completion": "verbs.completion",
    "demo": "verbs.inspection",
}


def command() -> None:
    """Run the process of a command from its beginning to its end."""
    sys.exit(main())


def main(argv: list[str] | None = None) -> int:
    """Run a verb; return its exit code."""
    if argv is None:  # the whole process is ours
        # rasterio loads boto3 where there is one, which takes as long as rasterio itself and numpy together,
        # for sessions with S3 that GDAL never has here: bytes come by fsspec.
        sys.modules.setdefault("boto3", None)  # type: ignore[arg-type]  # typeshed has no None, which forbids an import
        # OpenBLAS starts its threads when numpy is loaded, and they spin; the few products taken here are small.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        if environment.read("MALLOC_ARENA_MAX") is None:
            _keep_memory_together()
        sys.unraisablehook = interrupt_again
    words, arguments = sys.argv[1:] if argv is None else argv, argparse.Namespace(own_process=argv is None)
    try:
        return _main(words, arguments)
    except KeyboardInterrupt:
        on_signals(signal.SIG_IGN)
        code, why = (TEMPORARY, "the time limit is over") if timed_out() else (INTERRUPTED, "interrupted")
        with handlers.shell(_words(words, arguments)):
            say(f"{why}; products already told of are whole, nothing else was published")
        leave_words([why])
        if argv is None:
            _leave(code)
        return code
    finally:
        if argv is None:  # the code is known: a Ctrl-C while Python winds up must not change it
            on_signals(signal.SIG_IGN)
        else:
            leave_signals()


def _keep_memory_together() -> None:
    """Let glibc have one heap for all threads: each would keep what it freed in one of its own, a fifth of the peak."""
    import ctypes

    with suppress(AttributeError, OSError, TypeError):  # of other C libraries, which have no such setting
        ctypes.CDLL(None).mallopt(-8, 1)  # M_ARENA_MAX


def _main(words: Sequence[str], arguments: argparse.Namespace) -> int:
    begin_to_listen()
    warnings.showwarning = handlers.show_warning
    _open_streams()
    parser, config = make_parser(words), word_of(words, "--config")
    if config is None:
        parser.parse_args(words, arguments)
    else:
        from landsat_downsample.cli.config import parse

        parse(parser, make_parser(), words, config, arguments)
    if arguments.quiet:
        warnings.simplefilter("ignore")
    with handlers.shell(_words(words, arguments)):
        return _code(arguments)


def _words(words: Sequence[str], arguments: argparse.Namespace) -> Callable[[LogRecord], str]:
    """How lines on stderr are written; also where the command line is not parsed yet."""
    wanted = getattr(arguments, "log_format", None) or word_of(words, "--log-format")
    return handlers.as_json if wanted == "json" else handlers.in_words


def _code(arguments: argparse.Namespace) -> int:
    """Do what is asked; return the exit code."""
    try:
        with allowed_hosts(arguments):
            code = int(arguments.verb(arguments))
        sys.stdout.flush()
        return code
    except Exception as error:
        if signals_taken:  # a lock or a callback that was cut in two
            raise KeyboardInterrupt from error
        return _failed(error, arguments)


def _open_streams() -> None:
    """Let streams that the shell has closed (``>&-``) lead nowhere; Python knows them as None."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - as long as the process


def _failed(error: Exception, arguments: argparse.Namespace) -> int:
    """Report an error in one line; return the exit code."""
    if isinstance(error, BrokenPipeError):  # the reader of our stdout has seen enough
        discard_stdout()
        return DONE
    if not isinstance(error, LandsatDownsampleError):
        words = shortage(error)
        if isinstance(error, OSError) and not words:
            discard_stdout()
            words = _words_of(error)
        if words:
            complain(error, arguments, words)
            return NONE_SUCCEEDED
        error = wrapped(error, "the command broke off")
    complain(error, arguments)
    return TEMPORARY if error.passing else error.exit_code


def _words_of(error: OSError) -> str:
    """What the system says of an error, without its number."""
    where = f"{str(error.filename)!r}: " if error.filename else ""
    return f"{where}{(error.strerror or str(error) or type(error).__name__).lower()}"


def _leave(code: int) -> None:
    """End this process now: Python would kill itself by SIGINT if the Ctrl-C came while a module was loaded."""
    atexit._run_exitfuncs()  # of multiprocessing: what it left is complained of by a process of its own
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def make_parser(argv: Sequence[str] = ()) -> Parser:
    """What understands a command line: of its verb, where it begins with one; of all verbs otherwise."""
    parser = Parser(
        prog="landsat-downsample",
        description="Landsat scenes, smaller and still right: every pixel read, every band reduced\nby what it means.",
        epilog="""\
examples:
  landsat-downsample demo
  landsat-downsample info LC08_L2SP_008059_20191201_20200825_02_T1.tar
  landsat-downsample run SCENE --to out --factor 10 --mask cloud,shadow | jq -r .href

exit codes: 0 all done, 3 some scenes failed, 1 none succeeded, 2 wrong usage,
75 none succeeded, but trying again later may help, 130 interrupted""",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    verbs = parser.add_subparsers(required=True, metavar="VERB", title="verbs", parser_class=Parser)
    for verb in argv[:1] if argv and argv[0] in _VERBS else _VERBS:
        module = importlib.import_module(f"{__package__}.{_VERBS[verb]}")
        getattr(module, f"add_{verb.replace('-', '_')}")(verbs)
    return parser
