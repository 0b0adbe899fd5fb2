"""The options of a STAC search, which gives a run its scenes."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from landsat_downsample.cli.arguments import count, number, seconds, words
from landsat_downsample.errors import UsageError

if TYPE_CHECKING:
    from landsat_downsample.batch.stac_query import Query

#: What goes with --stac.
OPTIONS = ("collection", "bbox", "datetime", "path_row", "cloud_cover", "tier", "limit", "search_time")


def add_search(parser: argparse.ArgumentParser) -> None:
    """Add the options of a search."""
    group = parser.add_argument_group("scenes by a STAC search, frozen to a list that a re-run uses again")
    group.add_argument("--stac", metavar="URL", help="a STAC API, such as https://earth-search.aws.element84.com/v1")
    group.add_argument("--collection", type=words, metavar="C", help="its name there, such as landsat-c2-l2")
    group.add_argument("--bbox", type=_bbox, metavar="W,S,E,N", help="in degrees of longitude and latitude")
    group.add_argument("--datetime", metavar="RANGE", help="2023-07-14, or 2023-06-01/2023-08-31")
    group.add_argument("--path-row", type=words, metavar="PATH/ROW", help="of the WRS-2 grid, such as 192/028")
    group.add_argument("--cloud-cover", type=number, metavar="MAX", help="percent of cloud at most")
    group.add_argument("--tier", choices=("T1", "T2", "RT"), help="geometric quality")
    group.add_argument("--limit", type=count, metavar="N", help="scenes at most")
    group.add_argument(
        "--search-time", type=seconds, metavar="S", help="give a search up that is not at its end then (default 3600)"
    )
    group.add_argument("--search-again", action="store_true", help="search anew, not in the list frozen before")


def check_search(arguments: argparse.Namespace) -> None:
    """Refuse options of a search without one."""
    given = [name for name in OPTIONS if getattr(arguments, name) is not None]
    if given and not arguments.stac:
        raise UsageError(f"--{given[0].replace('_', '-')} belongs to a search: give --stac URL too")
    if arguments.search_again and arguments.part:
        raise UsageError(
            "--search-again with --part: each part would have a list of its own; before the parts begin remove "
            "DEST/_runs/search-*.ndjson, and the first part that has searched gives all of them its list"
        )


def query(arguments: argparse.Namespace) -> Query:
    """What is searched for."""
    from landsat_downsample.batch.stac_query import SEARCH_TIME, Query

    if not arguments.collection:
        raise UsageError("--stac needs --collection, such as landsat-c2-l2 (Planetary Computer, Earth Search)")
    return Query(
        url=arguments.stac,
        collections=arguments.collection,
        bbox=arguments.bbox,
        datetime=arguments.datetime,
        path_row=arguments.path_row or (),
        cloud_cover=arguments.cloud_cover,
        tier=arguments.tier,
        limit=arguments.limit,
        search_time=SEARCH_TIME if arguments.search_time is None else arguments.search_time,
    )


def _bbox(text: str) -> tuple[float, float, float, float]:
    try:
        west, south, east, north = (float(edge) for edge in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not WEST,SOUTH,EAST,NORTH: four numbers") from None
    return west, south, east, north
