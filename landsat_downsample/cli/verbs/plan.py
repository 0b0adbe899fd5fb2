"""The verb plan."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from landsat_downsample.cli.arguments import Verbs, add_verb, complain, count, href_type
from landsat_downsample.cli.reduction import add_reduction, exit_code, options
from landsat_downsample.errors import UsageError
from landsat_downsample.model import environment
from landsat_downsample.storage.bugs import wrapped

if TYPE_CHECKING:
    from landsat_downsample.execution.cost import Prices, Setting
    from landsat_downsample.model.plan import ScenePlan

#: Prices by their names on the command line.
PRICES = {
    "core-hour": "core_hour",
    "1000-get": "thousand_gets",
    "1000-put": "thousand_puts",
    "egress-gb": "egress_gb",
    "storage-gb-month": "storage_gb_month",
}


_EPILOG = """\
stdout has the bands of a scene and what it costs; of several scenes a line each
(-v for the bands), and what they cost together"""


def add_plan(verbs: Verbs) -> None:
    """Add the verb plan."""
    parser = add_verb(
        verbs, "plan", _plan, "show what run would do: targets, shapes, bytes, peak memory, cost", _EPILOG
    )
    add_reduction(parser)
    parser.add_argument(
        "--to", type=href_type, default="out", metavar="DEST", help="folder or prefix for the products (default: out)"
    )
    parser.add_argument("--json", action="store_true", help="the whole plan as one JSON line for each scene")
    parser.add_argument(
        "--scenes", type=count, default=1_000_000, metavar="N",
        help="tell what so many scenes like these would cost (default: 1000000)",
    )  # fmt: skip
    parser.add_argument(
        "--price", action="append", default=[], type=price, metavar="NAME=DOLLARS",
        help=f"another price than assumed, of {', '.join(PRICES)}; repeatable",
    )  # fmt: skip


def price(text: str) -> tuple[str, float]:
    """A price and its name in `Prices`."""
    name, _, amount = text.partition("=")
    try:
        dollars = float(amount)
    except ValueError:
        dollars = -1.0
    if name not in PRICES or not 0 <= dollars < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=DOLLARS with a name of {', '.join(PRICES)}")
    return PRICES[name], dollars


def _plan(arguments: argparse.Namespace) -> int:
    from landsat_downsample.batch.requests import Order, SceneRequest, by_tiles, distinct, names_list
    from landsat_downsample.batch.scene_lists import read_entries
    from landsat_downsample.display.tables import show_cost, show_plan, show_plan_line
    from landsat_downsample.execution.cost import Prices, cost_of, total

    order = Order(options(arguments), arguments.to, requester_pays=arguments.requester_pays, tiles=arguments.tiles)
    entries = distinct(read_entries(arguments.sources), listed=names_list(arguments.sources))
    entries = by_tiles(entries, order) if arguments.tiles else entries
    requests = [SceneRequest(entry, order) for entry in entries]
    if not requests:
        raise UsageError("no scene to plan: give a SOURCE, or @LIST")
    costs, failures, prices, setting = [], [], Prices(**dict(arguments.price)), _setting()
    summary = len(requests) > 1 and not arguments.verbose
    for request in requests:
        try:
            item = request.plan()
        except Exception as error:
            failures.append(wrapped(error, f"cannot plan {request.label!r}"))
            complain(failures[-1], arguments)
            continue
        costs.append(cost_of(item, setting))
        if arguments.json:
            print(json.dumps(_record(item, arguments.scenes, prices, setting)))
        elif summary:
            show_plan_line(item)
        else:
            show_plan(item)
    if costs and not arguments.json:
        show_cost(total(costs), arguments.scenes, prices)
    return exit_code(len(costs), failures)


def _record(item: ScenePlan, scenes: int, prices: Prices, setting: Setting) -> dict[str, Any]:
    """A scene's plan in JSON types, with what it costs, and what so many like it would."""
    from dataclasses import asdict

    from landsat_downsample.execution.cost import cost_of
    from landsat_downsample.model.plan import estimate

    cost = cost_of(item, setting)
    costs = {"scene": cost.to_dict(prices), "like_it": cost.like(scenes).to_dict(prices)}
    costs |= {"prices": asdict(prices), "setting": asdict(setting)}
    return item.to_dict() | {"estimate": estimate(item), "cost": costs, "cells": item.cells_met}


def _setting() -> Setting:
    """Dask workers, as many scenes need them, and stores asked as the environment says."""
    from landsat_downsample.execution.cost import Setting

    names = ("FSSPEC_S3_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    endpoint = next(filter(None, map(environment.read, names)), "")
    return Setting(bare=endpoint.lower().startswith("http://"))
