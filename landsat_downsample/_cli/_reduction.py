"""The verbs that reduce: run, plan."""

from __future__ import annotations

import argparse
import json
from contextlib import contextmanager

from landsat_downsample._cli._parts import (
    DONE,
    NONE_SUCCEEDED,
    SOME_FAILED,
    SOURCE,
    WRONG_USAGE,
    add_requester_pays,
    add_verb,
    bounds,
    complain,
    count,
    href_type,
    method,
    number,
    say,
    size,
    words,
)
from landsat_downsample._errors import LandsatDownsampleError, UsageError


def _add_reduction(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sources", nargs="+", type=href_type, metavar="SOURCE", help=SOURCE)
    how_small = parser.add_argument_group("how small (exactly one)").add_mutually_exclusive_group(required=True)
    how_small.add_argument("--factor", type=number, metavar="N", help="pixels per cell along each axis")
    how_small.add_argument("--resolution", type=number, metavar="METRES", help="cell size in units of the CRS")
    how_small.add_argument(
        "--size", type=size, metavar="W,H", help="cells across and down; a 0 keeps the aspect: 100,0"
    )
    parser.add_argument(
        "--bounds", type=bounds, metavar="L,B,R,T",
        help="area of interest (left,bottom,right,top in units of the CRS), widened to whole cells",
    )  # fmt: skip
    how = parser.add_argument_group("how each band is reduced")
    how.add_argument(
        "--bands", type=words, metavar="BANDS", help="USGS or common names, such as red,SR_B5,QA_PIXEL (default: all)"
    )
    how.add_argument(
        "--qa", default="conservative", metavar="POLICY",
        help="bit fields: conservative (default), majority, mode or nearest",
    )  # fmt: skip
    how.add_argument(
        "--mask",
        type=words,
        default=(),
        metavar="FLAGS",
        help="leave out pixels with these QA_PIXEL flags: cloud,shadow",
    )
    how.add_argument(
        "--min-valid", type=number, default=0, metavar="F",
        help="least share of valid pixels in a cell that holds data, 0 to 1 (default 0)",
    )  # fmt: skip
    how.add_argument(
        "--method", action="append", default=[], type=method, metavar="BAND=METHOD",
        help="mean, median, min, max, sum, std, rms, mode or nearest for one band; repeatable",
    )  # fmt: skip
    add_requester_pays(parser)


_RUN_EXAMPLES = """\
examples:
  landsat-downsample run LC08_L2SP_008059_20191201_20200825_02_T1 --to out --factor 10
  landsat-downsample run *.tar --to out --resolution 300 --bands red,nir08,QA_PIXEL
  landsat-downsample run LC08_MTL.txt --to out --size 100,0 --mask cloud,shadow --min-valid 0.5

stdout has one JSON line for each finished product, or a table on a terminal"""


def add_run(verbs) -> None:
    text = "reduce scenes and publish the products, each whole or not at all"
    parser = add_verb(verbs, "run", _run, text, _RUN_EXAMPLES)
    _add_reduction(parser)
    parser.add_argument("--to", type=href_type, required=True, metavar="DEST", help="folder or prefix for the products")
    parser.add_argument("--overwrite", action="store_true", help="replace products that were made otherwise")
    parser.add_argument("--workers", type=count, metavar="N", help="threads or workers (default: one for each CPU)")
    parser.add_argument(
        "--cluster", type=href_type, default="auto", metavar="SPEC",
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
            complain(error, arguments)
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
            complain(outcome.error, arguments, told if outcome.scene_id in told else f"{outcome.scene_id}: {told}")
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

            say(f"dashboard: {dashboard_link(client)}")
        # A cluster made here is this run's alone; one that was joined is not.
        yield on_client(client, owned=client is not None and client.cluster is not None)


def _exit_code(succeeded: int, failures: list[LandsatDownsampleError]) -> int:
    if not failures:
        return DONE
    if succeeded:
        return SOME_FAILED
    return WRONG_USAGE if all(isinstance(error, UsageError) for error in failures) else NONE_SUCCEEDED


def add_plan(verbs) -> None:
    parser = add_verb(verbs, "plan", _plan, "show what run would do: targets, shapes, bytes, peak memory")
    _add_reduction(parser)
    parser.add_argument(
        "--to", type=href_type, default="out", metavar="DEST", help="folder or prefix for the products (default: out)"
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
