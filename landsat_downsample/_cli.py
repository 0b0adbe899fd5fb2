"""The command line: data on stdout, everything else on stderr, exit codes 0, 1, 2, 3 and 130.

landsat-downsample demo
landsat-downsample run SCENE --to out --factor 10 | jq -r .href
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import warnings
from contextlib import contextmanager, suppress

from landsat_downsample import __version__, _cli_staging
from landsat_downsample._errors import LandsatDownsampleError, UsageError

DONE, NONE_SUCCEEDED, WRONG_USAGE, SOME_FAILED, INTERRUPTED = 0, 1, 2, 3, 130

_STAGING = (_cli_staging.add_stage_in, _cli_staging.add_stage_out, _cli_staging.add_clean)
_SOURCE = "a GeoTIFF, scene folder or prefix, MTL, STAC item or tar"


def main(argv: list[str] | None = None) -> int:
    """Run a verb; return its exit code."""
    try:
        return _main(argv)
    except KeyboardInterrupt:
        _on_signals(signal.SIG_IGN)
        _say("interrupted; products already told of are whole, nothing else was published")
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
        _discard_stdout()
        return DONE
    if isinstance(error, LandsatDownsampleError):
        _complain(error, arguments)
        return error.exit_code
    if isinstance(error, OSError):
        _discard_stdout()
        _complain(error, arguments)
    else:
        _complain(error, arguments, f"unexpected {type(error).__name__}: {error}; please report it with what -v shows")
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


def _discard_stdout() -> None:
    """Spare the interpreter its own attempt to flush what nobody takes."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show_warning(message, *where, **_):
    _say(f"warning: {message}")


def _say(line: str) -> None:
    print(f"landsat-downsample: {line}", file=sys.stderr)


def _complain(error: Exception, arguments: argparse.Namespace, line: str | None = None) -> None:
    if arguments.verbose:
        import traceback

        traceback.print_exception(error)
    _say(line or str(error))


class _Parser(argparse.ArgumentParser):
    """One line for a usage error, with the way to the help; examples keep their lines."""

    def __init__(self, **settings) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **settings)

    def error(self, message: str):
        self.exit(WRONG_USAGE, f"{self.prog}: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
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
    verbs = parser.add_subparsers(required=True, metavar="VERB", title="verbs", parser_class=_Parser)
    for add in (_add_run, _add_plan, _add_info, _add_verify, _add_make_scene, _add_demo, *_STAGING):
        add(verbs)
    return parser


def _verb(verbs, name: str, function, text: str, epilog: str | None = None) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", epilog=epilog)
    parser.add_argument("-v", "--verbose", action="store_true", help="show the traceback of an error")
    parser.add_argument("-q", "--quiet", action="store_true", help="show errors only")
    parser.set_defaults(verb=function)
    return parser


def _add_reduction(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sources", nargs="+", type=_href, metavar="SOURCE", help=_SOURCE)
    size = parser.add_argument_group("how small (exactly one)").add_mutually_exclusive_group(required=True)
    size.add_argument("--factor", type=_number, metavar="N", help="pixels per cell along each axis")
    size.add_argument("--resolution", type=_number, metavar="METRES", help="cell size in units of the CRS")
    size.add_argument("--size", type=_size, metavar="W,H", help="cells across and down; a 0 keeps the aspect: 100,0")
    parser.add_argument(
        "--bounds", type=_bounds, metavar="L,B,R,T",
        help="area of interest (left,bottom,right,top in units of the CRS), widened to whole cells",
    )  # fmt: skip
    how = parser.add_argument_group("how each band is reduced")
    how.add_argument(
        "--bands", type=_words, metavar="BANDS", help="USGS or common names, such as red,SR_B5,QA_PIXEL (default: all)"
    )
    how.add_argument(
        "--qa", default="conservative", metavar="POLICY",
        help="bit fields: conservative (default), majority, mode or nearest",
    )  # fmt: skip
    how.add_argument(
        "--mask",
        type=_words,
        default=(),
        metavar="FLAGS",
        help="leave out pixels with these QA_PIXEL flags: cloud,shadow",
    )
    how.add_argument(
        "--min-valid", type=_number, default=0, metavar="F",
        help="least share of valid pixels in a cell that holds data, 0 to 1 (default 0)",
    )  # fmt: skip
    how.add_argument(
        "--method", action="append", default=[], type=_method, metavar="BAND=METHOD",
        help="mean, median, min, max, sum, std, rms, mode or nearest for one band; repeatable",
    )  # fmt: skip
    _add_requester_pays(parser)


def _add_requester_pays(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--requester-pays", action="store_true", help="agree to pay for reads where the bucket asks it")


def _href(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(f"{text!r} is not valid UTF-8, which metadata must be: rename it") from None
    return text


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    return int(value) if value.is_integer() else value


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not W,H: two whole numbers such as 100,0") from None
    return width, height


def _bounds(text: str) -> tuple[float, float, float, float]:
    try:
        left, bottom, right, top = (float(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not LEFT,BOTTOM,RIGHT,TOP: four numbers") from None
    return left, bottom, right, top


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def _words(text: str) -> tuple[str, ...]:
    names = tuple(word.strip() for word in text.split(","))
    if not all(names):
        raise argparse.ArgumentTypeError(f"{text!r} has an empty name: give names with commas between them")
    return names


def _method(text: str) -> tuple[str, str]:
    band, sign, method = text.partition("=")
    if not (band and sign and method):
        raise argparse.ArgumentTypeError(f"{text!r} is not BAND=METHOD, such as ST_QA=rms")
    return band, method


_RUN_EXAMPLES = """\
examples:
  landsat-downsample run LC08_L2SP_008059_20191201_20200825_02_T1 --to out --factor 10
  landsat-downsample run *.tar --to out --resolution 300 --bands red,nir08,QA_PIXEL
  landsat-downsample run LC08_MTL.txt --to out --size 100,0 --mask cloud,shadow --min-valid 0.5

stdout has one JSON line for each finished product, or a table on a terminal"""


def _add_run(verbs) -> None:
    text = "reduce scenes and publish the products, each whole or not at all"
    parser = _verb(verbs, "run", _run, text, _RUN_EXAMPLES)
    _add_reduction(parser)
    parser.add_argument("--to", type=_href, required=True, metavar="DEST", help="folder or prefix for the products")
    parser.add_argument("--overwrite", action="store_true", help="replace products that were made otherwise")
    parser.add_argument("--workers", type=_count, metavar="N", help="threads or workers (default: one for each CPU)")
    parser.add_argument(
        "--cluster", type=_href, default="auto", metavar="SPEC",
        help="where the work is done: none (threads of this process), local (dask workers of this machine), "
        "kubernetes, a scheduler's address or file, a DaskCluster manifest; auto (default): by the amount of work",
    )  # fmt: skip


def _options(arguments: argparse.Namespace):
    from landsat_downsample._plan import Options

    return Options(
        factor=arguments.factor,
        resolution=arguments.resolution,
        size=arguments.size,
        bands=arguments.bands,
        qa=arguments.qa,
        mask=arguments.mask,
        min_valid=arguments.min_valid,
        methods=dict(arguments.method),
        bounds=arguments.bounds,
    )


def _open_and_plan(arguments: argparse.Namespace) -> tuple[list, list[LandsatDownsampleError]]:
    """Plan every source; one that cannot be opened is told of, and does not stop the others."""
    from landsat_downsample._plan import distinct, plan_scene
    from landsat_downsample._scene import open_scene

    options = _options(arguments)  # a contradiction is refused before anything is opened
    plans, failures = [], []
    for source in dict.fromkeys(arguments.sources):
        try:
            scene = open_scene(source, bands=options.bands, requester_pays=arguments.requester_pays)
            plans.append(plan_scene(scene, arguments.to, options, overwrite=getattr(arguments, "overwrite", False)))
        except LandsatDownsampleError as error:
            _complain(error, arguments)
            failures.append(error)
    return distinct(plans), failures


def _run(arguments: argparse.Namespace) -> int:
    from landsat_downsample._report import Reporter
    from landsat_downsample._run import run_plans

    plans, failures = _open_and_plan(arguments)
    with _executor(arguments, plans) as executor, Reporter(plans, quiet=arguments.quiet) as reporter:
        outcomes = run_plans(plans, workers=arguments.workers, executor=executor, report=reporter)
    for outcome in outcomes:
        if outcome.error:
            told = str(outcome.error)
            _complain(outcome.error, arguments, told if outcome.scene_id in told else f"{outcome.scene_id}: {told}")
    failed = [outcome.error for outcome in outcomes if outcome.error]
    return _exit_code(len(plans) - len(failed), [*failures, *failed])


@contextmanager
def _executor(arguments: argparse.Namespace, plans: list):
    """What ``--cluster`` names, as long as the run lasts; None for the threads of this process."""
    from landsat_downsample._api import on_client
    from landsat_downsample._cluster import cluster

    work = sum(target.bytes_in for plan in plans for target in plan.targets)
    with cluster(arguments.cluster, workers=arguments.workers, work=work) as client:
        if client is not None and not arguments.quiet:
            from landsat_downsample._cluster import dashboard_link

            _say(f"dashboard: {dashboard_link(client)}")
        # A cluster made here is this run's alone; one that was joined is not.
        yield on_client(client, owned=client is not None and client.cluster is not None)


def _exit_code(succeeded: int, failures: list[LandsatDownsampleError]) -> int:
    if not failures:
        return DONE
    if succeeded:
        return SOME_FAILED
    return WRONG_USAGE if all(isinstance(error, UsageError) for error in failures) else NONE_SUCCEEDED


def _add_plan(verbs) -> None:
    parser = _verb(verbs, "plan", _plan, "show what run would do: targets, shapes, bytes, peak memory")
    _add_reduction(parser)
    parser.add_argument(
        "--to", type=_href, default="out", metavar="DEST", help="folder or prefix for the products (default: out)"
    )
    parser.add_argument("--json", action="store_true", help="the whole plan as one JSON line for each scene")


def _plan(arguments: argparse.Namespace) -> int:
    from landsat_downsample._plan import estimate
    from landsat_downsample._report import show_plan

    plans, failures = _open_and_plan(arguments)
    for item in plans:
        if arguments.json:
            print(json.dumps(item.to_dict() | {"estimate": estimate(item)}))
        else:
            show_plan(item)
    return _exit_code(len(plans), failures)


def _add_info(verbs) -> None:
    parser = _verb(verbs, "info", _info, "show a scene: id, sensor, grid and bands")
    parser.add_argument("source", type=_href, metavar="SOURCE", help=_SOURCE)
    parser.add_argument("--json", action="store_true", help="as one JSON line")
    _add_requester_pays(parser)


def _info(arguments: argparse.Namespace) -> int:
    from landsat_downsample._report import show_scene
    from landsat_downsample._scene import open_scene

    scene = open_scene(arguments.source, requester_pays=arguments.requester_pays)
    if arguments.json:
        print(json.dumps(scene.to_dict()))
    else:
        show_scene(scene)
    return DONE


def _add_verify(verbs) -> None:
    parser = _verb(verbs, "verify", _verify, "check a product, and recompute random blocks of it by a second code path")
    parser.add_argument("product", type=_href, metavar="PRODUCT", help="folder of the product")
    parser.add_argument(
        "--blocks", type=_count, default=16, metavar="N", help="random cells to recompute in each band (default 16)"
    )
    parser.add_argument(
        "--source",
        type=_href,
        metavar="HREF",
        help="where the source is; without it only the product itself is checked",
    )
    parser.add_argument("--seed", type=_whole, default=0, metavar="N", help="which random cells (default 0)")


def _verify(arguments: argparse.Namespace) -> int:
    from landsat_downsample._verify import verify

    problems = verify(arguments.product, source=arguments.source, blocks=arguments.blocks, seed=arguments.seed)
    for line in problems.checked:
        print(line)
    for line in problems.wrong:
        _say(line)
    return NONE_SUCCEEDED if problems.wrong else DONE


def _add_make_scene(verbs) -> None:
    parser = _verb(verbs, "make-scene", _make_scene, "make a synthetic scene that looks and compresses like a real one")
    parser.add_argument("folder", metavar="DIR", help="where the scene's own folder will be")
    parser.add_argument(
        "--sensor", default="oli", choices=("oli", "etm", "tm", "mss", "mss123"),
        help="oli (default), etm (scan gaps), tm, mss (Landsat 5) or mss123 (Landsat 1)",
    )  # fmt: skip
    parser.add_argument("--level", type=int, choices=(1, 2), help="processing level (default 2; 1 for MSS)")
    parser.add_argument("--size", type=_size, metavar="W,H", help="pixels across and down (default: a full scene)")
    parser.add_argument("--seed", type=_whole, default=0, metavar="N", help="another seed, another scene (default 0)")
    parser.add_argument("--bands", type=_words, metavar="BANDS", help="USGS names of the bands to make (default: all)")
    parser.add_argument("--southern", action="store_true", help="south of the equator, in a northern UTM zone")


def _make_scene(arguments: argparse.Namespace) -> int:
    from landsat_downsample._synthetic import make_scene

    path = make_scene(
        arguments.folder,
        sensor=arguments.sensor,
        level=arguments.level or (1 if arguments.sensor.startswith("mss") else 2),
        size=arguments.size,
        seed=arguments.seed,
        bands=arguments.bands,
        southern=arguments.southern,
    )
    print(path)
    return DONE


def _add_demo(verbs) -> None:
    parser = _verb(verbs, "demo", _demo, "make a full-size scene, run the main job on it, and say what to look at")
    parser.add_argument("folder", nargs="?", default="demo", metavar="DIR", help="working folder (default: demo)")
    parser.add_argument("--size", type=_size, metavar="W,H", help="size of the scene (default: full)")
    parser.add_argument("--factor", type=_number, default=10, metavar="N", help="pixels per cell (default 10)")


def _demo(arguments: argparse.Namespace) -> int:
    from landsat_downsample._demo import demo

    return demo(arguments.folder, size=arguments.size, factor=arguments.factor)
