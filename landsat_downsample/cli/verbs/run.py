"""The verb run."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from landsat_downsample.cli.arguments import (
    INTERRUPTED,
    Verbs,
    add_relative_to,
    add_verb,
    count,
    href_type,
    loading,
    number,
    say,
    seconds,
    variable,
)
from landsat_downsample.cli.last_words import leave_words
from landsat_downsample.cli.reduction import add_reduction, exit_code, options
from landsat_downsample.cli.search import add_search, check_search, query
from landsat_downsample.cli.signals import draining, limited
from landsat_downsample.errors import LandsatDownsampleError, UsageError
from landsat_downsample.model.words import KIB

if TYPE_CHECKING:
    from distributed import Client

    from landsat_downsample.batch.entry import Entry
    from landsat_downsample.batch.parts import Part, Share
    from landsat_downsample.batch.requests import Order, SceneRequest
    from landsat_downsample.execution.outcomes import Outcomes

#: MiB that a process takes beside its bands.
_PROCESS = 128

_EXAMPLES = """\
examples:
  landsat-downsample run LC08_L2SP_008059_20191201_20200825_02_T1 --to out --factor 10
  landsat-downsample run *.tar --to out --resolution 300 --bands red,nir08,QA_PIXEL
  landsat-downsample run LC08_MTL.txt --to out --size 100,0 --mask cloud,shadow --min-valid 0.5
  landsat-downsample run @scenes.txt --to s3://bucket/products --factor 10 --cluster local
  landsat-downsample run --retry-failed out/_runs/20261122T215049Z-3f2a --to out --factor 10
  landsat-downsample run @scenes.txt --part 3/10 --to s3://bucket/products --factor 10

stdout has one JSON line for each finished product, or a table on a terminal. A run of several
scenes keeps its record (outcomes.ndjson, report.html) in DEST/_runs. The first Ctrl-C lets the
scenes in hand finish, the second stops at once. The tasks of a job array each run the same
command with a --part of their own; where they are numbered from 0: --part $((INDEX + 1))/N."""


def add_run(verbs: Verbs) -> None:
    """Add the verb ``run``."""
    text = "reduce scenes and publish the products, each whole or not at all"
    parser = add_verb(verbs, "run", _run, text, _EXAMPLES)
    add_reduction(parser)
    parser.add_argument("--to", type=href_type, required=True, metavar="DEST", help="folder or prefix for the products")
    parser.add_argument("--overwrite", action="store_true", help="replace products that were made otherwise")
    parser.add_argument(
        "--retry-failed", type=href_type, metavar="FILE",
        help="the scenes that failed or never began in an earlier run: its folder, or its outcomes.ndjson; with its "
        "--overwrite and --requester-pays",
    )  # fmt: skip
    parser.set_defaults(overwrite=None, requester_pays=None)  # neither yes nor no: as the run that is retried
    add_relative_to(parser)
    parser.add_argument(
        "--part", type=_part, metavar="I/N",
        help="only the I-th of N equal shares of the scenes, I from 1 to N: the others may be run at the same time, "
        "anywhere; with --retry-failed DEST what failed in that part",
    )  # fmt: skip
    add_search(parser)
    _add_work(parser.add_argument_group("where and how the work is done"))


def _part(text: str) -> Part:
    from landsat_downsample.batch.parts import Part

    try:
        return Part.parse(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _add_work(group: argparse._ActionsContainer) -> None:
    group.add_argument("--workers", type=count, metavar="N", help="threads or workers (default: one for each CPU)")
    group.add_argument(
        "--memory", type=number, metavar="MIB",
        help="MiB of memory for this process: fewer threads where the bands that they work on would need more",
    )  # fmt: skip
    group.add_argument(
        "--cluster", type=href_type, default="auto", metavar="SPEC",
        help="none (threads of this process), local (dask workers of this machine), kubernetes, a scheduler's "
        "address or file, a DaskCluster manifest; auto (default): by the amount of work",
    )  # fmt: skip
    group.add_argument(
        "--requests-per-host", type=count, metavar="N",
        help="bands fetched from one host or bucket at one time, over all workers (default 32)",
    )  # fmt: skip
    group.add_argument("--timeout", type=seconds, metavar="S", help="stop after so many seconds, with exit code 75")
    group.add_argument("--log-format", choices=("plain", "json"), help="what stderr gets, where it is no terminal")
    group.add_argument(
        "--min-spin-time", type=number, default=0, metavar="S", help="simulated CPU load before the work, at least"
    )
    group.add_argument(
        "--max-spin-time", type=number, metavar="S", help="and at most (default: as --min-spin-time; no load)"
    )


def _run(arguments: argparse.Namespace) -> int:
    with loading(arguments.own_process):
        import landsat_downsample.batch.requests
        import landsat_downsample.display.reporter  # noqa: F401 - it needs all that runs
        from landsat_downsample.model.policy import REQUESTS_PER_HOST
    per_host = arguments.requests_per_host
    with limited(arguments.timeout), variable(REQUESTS_PER_HOST, None if per_host is None else str(per_host)):
        requests, share = _requests(arguments)
        arguments.workers = _fitting(arguments, requests)
        _spin(arguments)
        outcomes, begun_all = _outcomes(arguments, requests, share)
    # Read again for each question: a million errors would take a gigabyte.
    succeeded = sum(not outcome.error for outcome in outcomes)
    if succeeded < len(outcomes):
        leave_words(_errors(outcomes))
    if not begun_all:
        left = f"{len(requests) - len(outcomes)} of {len(requests)} scenes did not begin"
        if not any(getattr(error, "for_all", False) for error in _errors(outcomes)):
            say(f"interrupted: {left}; the same command goes on with them")
            return INTERRUPTED
        say(f"stopped: the destination takes nothing more: {left}; once it does, the same command goes on with them")
    return exit_code(succeeded, _errors(outcomes))


def _errors(outcomes: Outcomes) -> Iterator[LandsatDownsampleError]:
    return (outcome.error for outcome in outcomes if outcome.error)


def _spin(arguments: argparse.Namespace) -> None:
    from landsat_downsample.testing.simulated_load import spin

    shortest = arguments.min_spin_time
    spin(shortest, shortest if arguments.max_spin_time is None else arguments.max_spin_time)


def _fitting(arguments: argparse.Namespace, requests: Sequence[SceneRequest]) -> int | None:
    """Threads that were asked for; no more than ``--memory`` has room for, by the first scene."""
    if arguments.memory is None or not requests:
        return cast("int | None", arguments.workers)
    from landsat_downsample.batch.requests import sample
    from landsat_downsample.execution.threads import threads_for
    from landsat_downsample.model.plan import estimate

    asked = threads_for(arguments.workers, local=True)
    first = sample(requests)
    room = (arguments.memory - _PROCESS) * KIB**2
    return max(1, min(asked, int(room // estimate(first)["peak_memory"]))) if first else asked


def _requests(arguments: argparse.Namespace) -> tuple[list[SceneRequest], Share | None]:
    """What is asked for, none of it opened yet; and which part of a run it is."""
    from landsat_downsample.batch.requests import Order, SceneRequest, distinct, names_list

    order = Order(  # a contradiction is refused before anything is opened
        options(arguments),
        arguments.to,
        overwrite=bool(arguments.overwrite),
        requester_pays=bool(arguments.requester_pays),
        tiles=arguments.tiles,
    )
    if arguments.retry_failed:
        order = _as_before(arguments, order)
    entries, share = _entries(arguments, order)
    entries = distinct(entries, listed=not arguments.sources or names_list(arguments.sources))
    return [SceneRequest(entry, order) for entry in entries], share


def _as_before(arguments: argparse.Namespace, order: Order) -> Order:
    """The same with what the run that is retried had agreed to, where the command line does not say."""
    from landsat_downsample.batch.retries import run_of

    before = run_of(arguments.retry_failed)
    overwrite = before is not None and before.overwrite and arguments.overwrite is None
    pays = before is not None and before.requester_pays and arguments.requester_pays is None
    for flag, taken in (("overwrite", overwrite), ("requester-pays", pays)):
        if taken:
            say(f"--{flag} as of the run that is retried; --no-{flag} takes it back")
    return replace(order, overwrite=order.overwrite or overwrite, requester_pays=order.requester_pays or pays)


def _entries(arguments: argparse.Namespace, order: Order) -> tuple[list[Entry], Share | None]:
    check_search(arguments)
    ways = [bool(arguments.sources), bool(arguments.retry_failed), bool(arguments.stac)]
    if sum(ways) != 1:
        what = "nothing" if not any(ways) else "more than one of them"
        raise UsageError(f"which scenes: give SOURCEs, --stac URL or --retry-failed FILE, not {what}")
    if arguments.retry_failed:
        return _left(arguments, order)
    entries = _found(arguments) if arguments.stac else _listed(arguments)
    if arguments.tiles:
        from landsat_downsample.batch.requests import by_tiles

        entries = by_tiles(entries, order)
    if arguments.part is None:
        return entries, None
    from landsat_downsample.batch.parts import share

    own = share(entries, arguments.part, order.options)
    if not own.entries:
        say(own.nothing)
    return own.entries, own


def _listed(arguments: argparse.Namespace) -> list[Entry]:
    from landsat_downsample.batch.scene_lists import read_entries

    return read_entries(arguments.sources)


def _found(arguments: argparse.Namespace) -> list[Entry]:
    """What a search finds, or found before."""
    from landsat_downsample.batch.search_cache import frozen

    progress = (lambda line: None) if arguments.quiet else say
    href, entries = frozen(query(arguments), arguments.to, again=arguments.search_again, report=progress)
    say(f"{len(entries)} scenes found; their list is {href}")
    return entries


def _left(arguments: argparse.Namespace, order: Order) -> tuple[list[Entry], Share | None]:
    """What an earlier run left."""
    from landsat_downsample.batch.retries import retry

    left = retry(arguments.retry_failed, order, arguments.part)
    if left.busy:
        say(f"still at work, so that what they have not ended is left to them: {', '.join(left.busy)}")
    entries = left.entries
    if arguments.tiles:
        from landsat_downsample.batch.requests import by_tiles

        entries = by_tiles(entries, order)
    if not entries:
        say(f"no scene failed in {arguments.retry_failed!r}: nothing is left to do")
    return entries, left.share


def _outcomes(
    arguments: argparse.Namespace, requests: Sequence[SceneRequest], share: Share | None
) -> tuple[Outcomes, bool]:
    """Run them; also say whether all of them began."""
    from landsat_downsample.api.carry_out import carry_out
    from landsat_downsample.cli.products import Products
    from landsat_downsample.display.reporter import choose_style
    from landsat_downsample.execution.outcomes import Outcomes
    from landsat_downsample.model.policy import Policy

    if not requests:
        return Outcomes(), True
    policy = Policy.from_environ()  # refused before a cluster is made
    stop = threading.Event()
    with _client(arguments, requests) as client:
        outcomes = carry_out(
            requests,
            policy=policy,
            style=choose_style(quiet=arguments.quiet, log_format=arguments.log_format),
            workers=arguments.workers,
            client=client,
            owned=client is not None and client.cluster is not None,  # made here; one that was joined is others' too
            record=len(requests) > 1 or share is not None,
            share=share,
            verbose=arguments.verbose,
            listeners=(Products(arguments.relative_to),),
            stop=stop,
            stoppable=lambda announce: draining(stop, announce),
        )
    return outcomes, len(outcomes) == len(requests)


@contextmanager
def _client(arguments: argparse.Namespace, requests: Sequence[SceneRequest]) -> Iterator[Client | None]:
    """What ``--cluster`` names, as long as the run lasts; None for the threads of this process."""
    from landsat_downsample.batch.requests import sample
    from landsat_downsample.execution.cluster import cluster

    work = 0
    if arguments.cluster.strip() == "auto":
        first = sample(requests)
        work = len(requests) * sum(target.bytes_in for target in first.targets) if first else 0
    with cluster(arguments.cluster, workers=arguments.workers, work=work) as client:
        yield client
