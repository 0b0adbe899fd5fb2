"""The verbs that look at things or make some to look at: info, verify, make-scene, demo."""

from __future__ import annotations

import argparse
import json

from landsat_downsample.cli.arguments import (
    DONE,
    SOURCE,
    Verbs,
    add_access,
    add_verb,
    complain,
    count,
    href_type,
    number,
    print_line,
    say,
    size,
    whole,
    words,
)
from landsat_downsample.cli.reduction import exit_code
from landsat_downsample.errors import LandsatDownsampleError, UsageError


def add_info(verbs: Verbs) -> None:
    """Add the verb info."""
    parser = add_verb(verbs, "info", _info, "show a scene: id, sensor, grid and bands")
    parser.add_argument("source", type=href_type, metavar="SOURCE", help=SOURCE)
    parser.add_argument("--json", action="store_true", help="as one JSON line")
    parser.add_argument(
        "--grid", metavar="GRID", help="say which of its cells and tiles the scene meets, such as modis:500m"
    )
    add_access(parser)


def _info(arguments: argparse.Namespace) -> int:
    from landsat_downsample.display.tables import show_scene
    from landsat_downsample.scenes.open import open_scene

    scene, met = open_scene(arguments.source, requester_pays=arguments.requester_pays), None
    if arguments.grid:
        from landsat_downsample.model.grid_request import GridRequest
        from landsat_downsample.model.met_tiles import cells_met
        from landsat_downsample.scenes.given_grid import read_grid

        met = cells_met(scene.grid, GridRequest(grid=read_grid(arguments.grid)).target(scene.grid))
    if arguments.json:
        print(json.dumps(scene.to_dict() | ({"cells": met} if met else {})))
    else:
        show_scene(scene, met)
    return DONE


def add_verify(verbs: Verbs) -> None:
    """Add the verb verify."""
    parser = add_verb(
        verbs, "verify", _verify, "check a product, and recompute random blocks of it by a second code path"
    )
    parser.add_argument(
        "products", nargs="+", type=href_type, metavar="PRODUCT",
        help="folder or item of a product, a destination that holds some, or @LIST of them (- for stdin)",
    )  # fmt: skip
    parser.add_argument(
        "--blocks", type=count, default=16, metavar="N", help="random cells to recompute in each band (default 16)"
    )
    parser.add_argument(
        "--source",
        type=href_type,
        metavar="HREF",
        help="where the source is; without it only the product itself is checked",
    )
    parser.add_argument("--seed", type=whole, default=0, metavar="N", help="which random cells (default 0)")


def _verify(arguments: argparse.Namespace) -> int:
    from landsat_downsample.batch.product_lists import products
    from landsat_downsample.products.verify import verify

    found = products(arguments.products)
    if arguments.source and len(found) > 1:
        raise UsageError(f"--source is of one product, but {len(found)} are named: verify them one by one")
    alone, failures = len(found) == 1, []
    for product in found:
        try:
            if isinstance(product, LandsatDownsampleError):
                raise product
            report = verify(product, source=arguments.source, blocks=arguments.blocks, seed=arguments.seed)
        except LandsatDownsampleError as error:
            complain(error, arguments)
            failures.append(error)
            continue
        for line in report.checked if alone or arguments.verbose else ():
            print_line(line if alone else f"{product}: {line}")
        for line in report.wrong:
            say(line if alone else f"{product}: {line}")
        failures += [] if report else [report.error()]
    if not alone:
        wrong = f", {len(failures)} wrong or unreadable" if failures else ""
        print(f"{len(found) - len(failures)} of {len(found)} products are right{wrong}")
    return exit_code(len(found) - len(failures), failures)


def add_make_scene(verbs: Verbs) -> None:
    """Add the verb make-scene."""
    parser = add_verb(
        verbs, "make-scene", _make_scene, "make synthetic scenes that look and compress like real ones",
        "example: landsat-downsample make-scene demo/dates --dates 6 --size 1200,1100 --bands SR_B4,QA_PIXEL",
    )  # fmt: skip
    parser.add_argument("folder", metavar="DIR", help="where each scene's own folder will be")
    parser.add_argument(
        "--sensor", default="oli", choices=("oli", "etm", "tm", "mss", "mss123"),
        help="oli (default), etm (scan gaps), tm, mss (Landsat 5) or mss123 (Landsat 1)",
    )  # fmt: skip
    parser.add_argument(
        "--family",
        choices=("hls-l30", "hls-s30", "ard", "dea"),
        help="a scene of another family than Landsat Collection 2",
    )
    parser.add_argument("--level", type=int, choices=(1, 2), help="processing level (default: the highest)")
    parser.add_argument("--size", type=size, metavar="W,H", help="pixels across and down (default: a full scene)")
    parser.add_argument("--seed", type=whole, default=0, metavar="N", help="another seed, another scene (default 0)")
    parser.add_argument("--bands", type=words, metavar="BANDS", help="USGS names of the bands to make (default: all)")
    parser.add_argument("--southern", action="store_true", help="south of the equator, in a northern UTM zone")
    several = parser.add_argument_group(
        "several scenes of the same ground", "in frames that wander by steps of 300 m, as those of USGS do"
    )
    several.add_argument("--dates", type=count, default=1, metavar="N", help="dates, spread over a year (default 1)")
    several.add_argument(
        "--rows", type=count, default=1, metavar="N", help="rows, each overlapping the one north of it"
    )
    several.add_argument(
        "--paths", type=count, default=1, metavar="N", help="paths, each overlapping the one east of it"
    )


def _make_scene(arguments: argparse.Namespace) -> int:
    from landsat_downsample.testing.synthetic.make import make_scenes

    paths = make_scenes(
        arguments.folder,
        dates=arguments.dates,
        rows=arguments.rows,
        paths=arguments.paths,
        sensor=arguments.family or arguments.sensor,
        level=arguments.level,
        size=arguments.size,
        seed=arguments.seed,
        bands=arguments.bands,
        southern=arguments.southern,
    )
    print(*paths, sep="\n")
    return DONE


def add_demo(verbs: Verbs) -> None:
    """Add the verb demo."""
    parser = add_verb(verbs, "demo", _demo, "make a full-size scene, run the main job on it, and say what to look at")
    parser.add_argument("folder", nargs="?", default="demo", metavar="DIR", help="working folder (default: demo)")
    parser.add_argument("--size", type=size, metavar="W,H", help="size of the scene (default: full)")
    parser.add_argument("--factor", type=number, default=10, metavar="N", help="pixels per cell (default 10)")


def _demo(arguments: argparse.Namespace) -> int:
    from landsat_downsample.cli.verbs.demo import demo

    return demo(arguments.folder, size=arguments.size, factor=arguments.factor)
