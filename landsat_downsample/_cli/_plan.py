"""The verb plan."""

from __future__ import annotations

import argparse
import json

from landsat_downsample._cli._parts import add_verb, complain, href_type
from landsat_downsample._cli._reduction import add_reduction, exit_code, options
from landsat_downsample._errors import LandsatDownsampleError, UsageError


def add_plan(verbs) -> None:
    parser = add_verb(verbs, "plan", _plan, "show what run would do: targets, shapes, bytes, peak memory")
    add_reduction(parser)
    parser.add_argument(
        "--to", type=href_type, default="out", metavar="DEST", help="folder or prefix for the products (default: out)"
    )
    parser.add_argument("--json", action="store_true", help="the whole plan as one JSON line for each scene")


def _plan(arguments: argparse.Namespace) -> int:
    from landsat_downsample._batch._entries import read_entries
    from landsat_downsample._batch._requests import Order, SceneRequest, distinct
    from landsat_downsample._display._tables import show_plan
    from landsat_downsample._plan import estimate

    order = Order(options(arguments), arguments.to, requester_pays=arguments.requester_pays)
    requests = [SceneRequest(entry, order) for entry in distinct(read_entries(arguments.sources))]
    if not requests:
        raise UsageError("no scene to plan: give a SOURCE, or @LIST")
    plans, failures = 0, []
    for request in requests:
        try:
            item = request.plan()
        except LandsatDownsampleError as error:
            complain(error, arguments)
            failures.append(error)
            continue
        plans += 1
        if arguments.json:
            print(json.dumps(item.to_dict() | {"estimate": estimate(item)}))
        else:
            show_plan(item)
    return exit_code(plans, failures)
