"""The command line: data on stdout, everything else on stderr, exit codes 0, 1, 2, 3 and 130.

landsat-downsample demo
landsat-downsample run SCENE --to out --factor 10 | jq -r .href
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import warnings
from contextlib import suppress

from landsat_downsample import __version__
from landsat_downsample._cli._looking import add_demo, add_info, add_make_scene, add_verify
from landsat_downsample._cli._parts import DONE, INTERRUPTED, NONE_SUCCEEDED, Parser, complain, discard_stdout, say
from landsat_downsample._cli._reduction import add_plan, add_run
from landsat_downsample._cli._staging import add_clean, add_stage_in, add_stage_out
from landsat_downsample._errors import LandsatDownsampleError

_VERBS = (
    add_run,
    add_plan,
    add_info,
    add_verify,
    add_stage_in,
    add_stage_out,
    add_clean,
    add_make_scene,
    add_demo,
)


def main(argv: list[str] | None = None) -> int:
    """Run a verb; return its exit code."""
    try:
        return _main(argv)
    except KeyboardInterrupt:
        _on_signals(signal.SIG_IGN)
        say("interrupted; products already told of are whole, nothing else was published")
        if argv is None:
            _leave(INTERRUPTED)
        return INTERRUPTED
    finally:  # the code is known: a Ctrl-C while Python winds up must not change it
        _on_signals(signal.SIG_IGN)


def _main(argv: list[str] | None) -> int:
    _told_to_stop.clear()
    _on_signals(_interrupt)
    warnings.showwarning = _show_warning
    arguments = _parser().parse_args(argv)
    if arguments.quiet:
        warnings.simplefilter("ignore")
    try:
        code = arguments.verb(arguments)
        sys.stdout.flush()
        return code
    except Exception as error:
        if _told_to_stop.is_set():  # a lock or a callback that was cut in two
            raise KeyboardInterrupt from error
        return _failed(error, arguments)


def _failed(error: Exception, arguments: argparse.Namespace) -> int:
    """Tell of an error in one line; return the exit code."""
    if isinstance(error, BrokenPipeError):  # the reader of our stdout has seen enough
        discard_stdout()
        return DONE
    if isinstance(error, LandsatDownsampleError):
        complain(error, arguments)
        return error.exit_code
    if isinstance(error, OSError):
        discard_stdout()
        complain(error, arguments)
    else:
        complain(error, arguments, f"unexpected {type(error).__name__}: {error}; please report it with what -v shows")
    return NONE_SUCCEEDED


def _leave(code: int) -> None:
    """End this process now: Python would kill itself by SIGINT if the Ctrl-C came while a module was loaded."""
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _on_signals(handler) -> None:
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, handler)


#: A KeyboardInterrupt may be turned into another error on its way: `threading` does so with its locks.
_told_to_stop = threading.Event()


def _interrupt(signum, frame):
    _told_to_stop.set()
    raise KeyboardInterrupt


def _show_warning(message, *where, **_):
    say(f"warning: {message}")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="landsat-downsample",
        description="Landsat scenes, smaller and still right: every pixel read, every band reduced\nby what it means.",
        epilog="""\
examples:
  landsat-downsample demo
  landsat-downsample info LC08_L2SP_008059_20191201_20200825_02_T1.tar
  landsat-downsample run SCENE --to out --factor 10 --mask cloud,shadow | jq -r .href

exit codes: 0 all done, 3 some scenes failed, 1 none succeeded, 2 wrong usage, 130 interrupted""",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    verbs = parser.add_subparsers(required=True, metavar="VERB", title="verbs", parser_class=Parser)
    for add in _VERBS:
        add(verbs)
    return parser
