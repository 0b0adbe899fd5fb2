"""The command line: data on stdout, everything else on stderr, exit codes 0, 1, 2 and 3.

    landsat-downsample demo
    landsat-downsample run SCENE --to out --factor 10 | jq -r .href
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import warnings

from landsat_downsample import __version__
from landsat_downsample._errors import LandsatDownsampleError, UsageError

DONE, NONE_SUCCEEDED, WRONG_USAGE, SOME_FAILED, INTERRUPTED = 0, 1, 2, 3, 130


def main(argv: list[str] | None = None) -> int:
    """Run a verb; return its exit code."""
    arguments = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, _terminate)
    warnings.showwarning = _show_warning
    try:
        return arguments.verb(arguments)
    except LandsatDownsampleError as error:
        _complain(error, arguments)
        return error.exit_code
    except BrokenPipeError:  # the reader of our stdout has gone; nothing is wrong with the products
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        print("landsat-downsample: interrupted; nothing was published half", file=sys.stderr)
        return INTERRUPTED


def _terminate(signum, frame):
    raise KeyboardInterrupt


def _show_warning(message, category, filename, lineno, file=None, line=None):
    print(f"landsat-downsample: warning: {message}", file=sys.stderr)


def _complain(error: Exception, arguments: argparse.Namespace) -> None:
    if arguments.verbose:
        import traceback

        traceback.print_exception(error)
    print(f"landsat-downsample: {error}", file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    """One line for a usage error, with the way to the help."""

    def error(self, message: str):
        self.exit(WRONG_USAGE, f"{self.prog}: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="landsat-downsample",
        description="Landsat scenes, smaller and still right: every pixel read, every band reduced by what it means.",
        epilog="example:  landsat-downsample run LC08_L2SP_008059_20191201_20200825_02_T1.tar --to out --factor 10 | jq -r .href",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    verbs = parser.add_subparsers(required=True, metavar="VERB", parser_class=_Parser)
    _add_run(verbs)
    _add_plan(verbs)
    _add_info(verbs)
    _add_verify(verbs)
    _add_make_scene(verbs)
    _add_demo(verbs)
    return parser


def _verb(verbs, name: str, function, text: str, **extra) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", **extra)
    parser.add_argument("-v", "--verbose", action="store_true", help="show tracebacks and every step")
    parser.add_argument("-q", "--quiet", action="store_true", help="show errors only")
    parser.set_defaults(verb=function)
    return parser


def _add_reduction(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="a GeoTIFF, scene folder or prefix, MTL, STAC item or tar")
    size = parser.add_argument_group("how small (exactly one)").add_mutually_exclusive_group(required=True)
    size.add_argument("--factor", type=_number, metavar="N", help="pixels per cell along each axis")
    size.add_argument("--resolution", type=_number, metavar="METRES", help="cell size in units of the CRS")
    size.add_argument("--size", type=_size, metavar="W,H", help="cells across and down; a 0 keeps the aspect: 100,0")
    how = parser.add_argument_group("how each band is reduced")
    how.add_argument("--bands", type=_words, metavar="BANDS", help="USGS or common names, such as red,SR_B5,QA_PIXEL (default: all)")
    how.add_argument("--qa", default="conservative", metavar="POLICY", help="bit fields: conservative (default), majority, mode or nearest")
    how.add_argument("--mask", type=_words, default=(), metavar="FLAGS", help="leave out pixels with these QA_PIXEL flags: cloud,shadow")
    how.add_argument("--min-valid", type=_number, default=0.0, metavar="F", help="least share of valid pixels in a cell (default 0)")
    how.add_argument(
        "--method", action="append", default=[], type=_method, metavar="BAND=METHOD",
        help="mean, median, min, max, sum, std, rms, mode or nearest for one band; repeatable",
    )  # fmt: skip
    parser.add_argument("--requester-pays", action="store_true", help="agree to pay for requests to buckets that ask for it")


def _number(text: str) -> float:
    value = float(text)
    return int(value) if value.is_integer() else value


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition(",")
    return int(width), int(height or 0)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _method(text: str) -> tuple[str, str]:
    band, sign, method = text.partition("=")
    if not (band and sign and method):
        raise argparse.ArgumentTypeError(f"{text!r} is not BAND=METHOD, such as ST_QA=rms")
    return band, method


_number.__name__, _size.__name__, _words.__name__ = "number", "W,H", "list"


def _add_run(verbs) -> None:
    parser = _verb(verbs, "run", _run, "reduce scenes and publish the products, each whole or not at all")
    _add_reduction(parser)
    parser.add_argument("--to", required=True, metavar="DEST", help="folder or prefix for the products")
    parser.add_argument("--overwrite", action="store_true", help="replace products that were made with other parameters")
    parser.add_argument("--workers", type=int, metavar="N", help="threads (default: one for each CPU)")


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
    )


def _open_and_plan(source: str, arguments: argparse.Namespace, dest: str):
    from landsat_downsample._plan import plan_scene
    from landsat_downsample._scene import open_scene

    options = _options(arguments)
    scene = open_scene(source, bands=options.bands, requester_pays=arguments.requester_pays)
    return plan_scene(scene, dest, options, overwrite=getattr(arguments, "overwrite", False))


def _run(arguments: argparse.Namespace) -> int:
    from landsat_downsample._plan import check_same_names
    from landsat_downsample._report import Reporter
    from landsat_downsample._run import run_plans

    _options(arguments)  # a contradiction is refused before anything is opened
    failures, plans = [], []
    for source in arguments.sources:
        try:
            plans.append(_open_and_plan(source, arguments, arguments.to))
        except LandsatDownsampleError as error:
            _complain(error, arguments)
            failures.append(error)
    check_same_names(plans)
    with Reporter(plans, quiet=arguments.quiet) as reporter:
        outcomes = run_plans(plans, workers=arguments.workers, report=reporter)
    for outcome in outcomes:
        if outcome.error:
            _complain(outcome.error, arguments)
            failures.append(outcome.error)
    return _exit_code(len(arguments.sources), failures)


def _exit_code(scenes: int, failures: list[LandsatDownsampleError]) -> int:
    if not failures:
        return DONE
    if len(failures) < scenes:
        return SOME_FAILED
    return WRONG_USAGE if all(isinstance(error, UsageError) for error in failures) else NONE_SUCCEEDED


def _add_plan(verbs) -> None:
    parser = _verb(verbs, "plan", _plan, "show what run would do: targets, shapes, bytes, peak memory")
    _add_reduction(parser)
    parser.add_argument("--to", default="out", metavar="DEST", help="folder or prefix for the products (default: out)")
    parser.add_argument("--json", action="store_true", help="the whole plan as one JSON line for each scene")


def _plan(arguments: argparse.Namespace) -> int:
    from landsat_downsample._plan import estimate
    from landsat_downsample._report import show_plan

    for source in arguments.sources:
        item = _open_and_plan(source, arguments, arguments.to)
        if arguments.json:
            print(json.dumps(item.to_dict() | {"estimate": estimate(item)}))
        else:
            show_plan(item)
    return DONE


def _add_info(verbs) -> None:
    parser = _verb(verbs, "info", _info, "show a scene: id, sensor, grid and bands")
    parser.add_argument("source", metavar="SOURCE", help="a GeoTIFF, scene folder or prefix, MTL, STAC item or tar")
    parser.add_argument("--json", action="store_true", help="as one JSON line")
    parser.add_argument("--requester-pays", action="store_true", help="agree to pay for requests to buckets that ask for it")


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
    parser.add_argument("product", metavar="PRODUCT", help="folder of the product")
    parser.add_argument("--blocks", type=int, default=16, metavar="N", help="random cells to recompute in each band (default 16)")
    parser.add_argument("--source", metavar="HREF", help="where the source is; without it only the product itself is checked")
    parser.add_argument("--seed", type=int, default=0, help="which random cells (default 0)")


def _verify(arguments: argparse.Namespace) -> int:
    from landsat_downsample._verify import verify

    problems = verify(arguments.product, source=arguments.source, blocks=arguments.blocks, seed=arguments.seed)
    for line in problems.checked:
        print(line)
    for line in problems.wrong:
        print(f"landsat-downsample: {line}", file=sys.stderr)
    return NONE_SUCCEEDED if problems.wrong else DONE


def _add_make_scene(verbs) -> None:
    parser = _verb(verbs, "make-scene", _make_scene, "make a synthetic scene that looks and compresses like a real one")
    parser.add_argument("folder", metavar="DIR", help="where the scene's own folder will be")
    parser.add_argument("--sensor", default="oli", choices=("oli", "etm", "tm", "mss"), help="default: oli")
    parser.add_argument("--level", type=int, default=2, choices=(1, 2), help="processing level (default 2)")
    parser.add_argument("--size", type=_size, metavar="W,H", help="pixels across and down (default: a full scene)")
    parser.add_argument("--seed", type=int, default=0, help="another seed, another scene (default 0)")


def _make_scene(arguments: argparse.Namespace) -> int:
    from landsat_downsample._synthetic import make_scene

    level = 1 if arguments.sensor == "mss" else arguments.level
    path = make_scene(arguments.folder, sensor=arguments.sensor, level=level, size=arguments.size, seed=arguments.seed)
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
