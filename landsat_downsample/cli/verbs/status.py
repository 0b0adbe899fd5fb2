"""The verbs that look at the record of a run: status, report."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from landsat_downsample.cli.arguments import Verbs, add_verb, href_type, print_line

if TYPE_CHECKING:
    from landsat_downsample.batch.status import Status

#: Parts that did not begin, and are named.
NAMED = 20


def add_status(verbs: Verbs) -> None:
    """Add the verb ``status``."""
    text = "tell how far a run of several scenes is, from any machine that can read its destination"
    epilog = """\
examples:
  landsat-downsample status s3://bucket/products
  landsat-downsample status out --json | jq .eta
  landsat-downsample status out --all

A run in parts (run --part) is shown as a whole, whichever machines its parts are on; --run ID shows
one part.

exit codes: 0 running or ended well, 3 ended with scenes missing, 1 without any success or no sign
of life, 2 no run there; with --all those of the latest run"""
    parser = add_verb(verbs, "status", _status, text, epilog)
    _add_place(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--run", metavar="ID", help="the run of that id (default: the latest)")
    which.add_argument("--all", action="store_true", help="every run there, a line each, the oldest first")
    parser.add_argument("--json", action="store_true", help="a JSON line for each run")


def add_report(verbs: Verbs) -> None:
    """Add the verb ``report``."""
    text = "make the report of a run anew: report.html beside its record"
    epilog = """\
examples:
  landsat-downsample report out
  landsat-downsample report s3://bucket/products --run 20261122T215049Z-3f2a

A run in parts (run --part) has one page for all of them, in DEST/_runs/parts-of-N-.../. stdout has
the report's href"""
    parser = add_verb(verbs, "report", _report, text, epilog)
    _add_place(parser)
    parser.add_argument("--run", metavar="ID", help="the run of that id (default: the latest)")


def _add_place(parser: argparse.ArgumentParser) -> None:
    text = "where the products go, or the folder of a run's record"
    parser.add_argument("dest", type=href_type, metavar="DEST", help=text)


def _status(arguments: argparse.Namespace) -> int:
    from landsat_downsample.batch.runs import all_of, status

    found = all_of(arguments.dest) if arguments.all else [status(arguments.dest, run=arguments.run)]
    for one in found:
        if arguments.json:
            print(json.dumps(one.to_dict()), flush=True)
        elif arguments.all:
            print_line(f"{one.id}  {_state(one)}; {_scenes(one)}")
        else:
            for line in _lines(one):
                print_line(line)
    return found[-1].exit_code


def _report(arguments: argparse.Namespace) -> int:
    from landsat_downsample.batch.record import find_run
    from landsat_downsample.batch.report import write_report

    print(write_report(find_run(arguments.dest, arguments.run)))
    return 0


def _state(one: Status) -> str:
    """Its state in words.

    >>> from landsat_downsample.batch.status import Status
    >>> _state(Status("20261122T215049Z-3f2a", "out/_runs/...", "running", age=300.0))
    'no heartbeat for 300 s; it was running'
    """
    if one.parts:
        return _states(one)
    if one.silent:
        was = "" if one.state == "unknown" else f"; it was {one.state}"
        return f"no heartbeat for {one.age or 0:.0f} s{was}"
    if one.state == "unknown":
        return "begun, no heartbeat yet"
    if one.at_work:
        return f"{one.state}, seen {one.age:.0f} s ago"
    state = "broke off" if one.state == "failed" else one.state
    return f"{state}: {one.reason}" if one.reason else state


def _states(one: Status) -> str:
    """States of the parts of a run, in words."""
    from landsat_downsample.batch.record import number_of_parts

    counts = {
        "ended": sum(part.state == "ended" for part in one.parts),
        "at work": sum(part.at_work and not part.silent for part in one.parts),
        "without a heartbeat": sum(part.silent for part in one.parts),
        "broke off": sum(part.state == "failed" for part in one.parts),
        "not begun": len(one.missing),
    }
    found = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    return f"{number_of_parts(one.id)} parts, {found}"


def _parts(one: Status) -> Iterator[str]:
    """Name the parts that are to be looked after."""
    from landsat_downsample.batch.record import number_of_parts, part_number

    of = number_of_parts(one.id)
    for part in one.parts:
        if part.silent or part.state == "failed":
            number = part_number(part.id)
            yield f"  {f'part {number}/{of}' if number else 'the retry'} ({part.id}): {_state(part)}"
    if one.missing and not one.at_work:
        numbers = ", ".join(map(str, one.missing[:NAMED])) + (", ..." if len(one.missing) > NAMED else "")
        yield f"  not begun: {numbers}; run each with its list and --part {one.missing[0]}/{of}"
    if one.missing and (others := _other_runs(one)):
        yield f"  parts of another list, or of other options, are there too: {', '.join(others)}"


def _other_runs(one: Status) -> list[str]:
    """Runs in as many parts that are on record beside this one."""
    from landsat_downsample.batch.record import dest_of, number_of_parts, run_ids, run_in_parts

    names = {name for run in run_ids(dest_of(one.href)) if (name := run_in_parts(run))} - {one.id}
    return sorted(name for name in names if number_of_parts(name) == number_of_parts(one.id))


def _scenes(one: Status) -> str:
    of = "" if one.total is None else f" of {one.total}"
    at_work = f", {one.in_hand} in hand" if one.at_work else ""
    there = f" ({one.skipped} were there already)" if one.skipped else ""
    return f"{one.done + one.skipped}{of} scenes done{there}, {one.failed} failed{at_work}"


def _lines(one: Status) -> Iterator[str]:
    from landsat_downsample.batch.record import OUTCOMES
    from landsat_downsample.model.words import duration_words, grouped, size_words

    yield f"run {one.id}: {_state(one)}"
    yield f"  {_scenes(one)}"
    read, written, spent = size_words(one.bytes_in), size_words(one.bytes_out), duration_words(one.seconds)
    yield f"  {one.bands_done} of {one.bands_known} bands, {read} read, {written} written in {spent}"
    if one.at_work and not one.silent:
        left = "" if one.eta is None else f", about {duration_words(one.eta)} left"
        yield f"  {size_words(one.rate)}/s over the last minute{left}"
        workers = "" if one.workers is None else f"{one.workers} workers"
        workers += f" ({one.workers_lost} lost)" if one.workers_lost else ""
        where = ", ".join(filter(None, (workers, one.dashboard and f"dashboard {one.dashboard}")))
        if where:
            yield f"  {where}"
    yield from _parts(one)
    for failure in one.failures:
        name, why = failure["id"] or "", failure["error"] or failure["cause"] or "for an unknown reason"
        yield f"  failed: {why}" if name in why else f"  failed: {name}: {why}"
    if one.failed:
        more = one.failed - len(one.failures)
        folder = one.href.replace("/parts-", "/*-") if one.parts else one.href
        yield f"  {f'and {grouped(more)} more failed; ' if more > 0 else ''}each stands in {folder}/{OUTCOMES}"
