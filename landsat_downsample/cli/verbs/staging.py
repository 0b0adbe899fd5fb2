"""The verbs of the command line around a run: stage-in, stage-out, clean."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from landsat_downsample.cli.arguments import (
    Verbs,
    add_access,
    add_relative_to,
    add_verb,
    relative_href,
    seconds,
    variable,
    words,
)

if TYPE_CHECKING:
    from landsat_downsample.products.staging.clean import FoundLeftover

_SOURCE = "what run takes, and a remote or compressed tar: URL, s3:// prefix, STAC item, MTL, folder, GeoTIFF"


def add_stage_in(verbs: Verbs) -> None:
    """Add the verb ``stage-in``."""
    text = "bring a scene or a file to this disk, verified, with a self-contained STAC catalogue"
    epilog = """\
examples:
  landsat-downsample stage-in s3://bucket/LC08_L2SP_008059_20191201_20200825_02_T1 --to scenes
  landsat-downsample run "$(landsat-downsample stage-in ITEM.json --to scenes)" --to out --factor 10

stdout has the path of catalog.json"""
    parser = add_verb(verbs, "stage-in", _stage_in, text, epilog)
    parser.add_argument("href", metavar="HREF", help=_SOURCE)
    parser.add_argument("--to", required=True, metavar="DIR", help="local folder; the scene gets its own in it")
    parser.add_argument("--bands", type=words, metavar="BANDS", help="names of the bands to bring (default: all)")
    parser.add_argument("--overwrite", action="store_true", help="replace a folder that holds something else")
    add_access(parser)
    _add_store(parser)


def _add_store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--budget",
        type=seconds,
        metavar="S",
        help="try a request that fails for a while again for so long (default: LANDSAT_DOWNSAMPLE_BUDGET, else 120)",
    )
    parser.add_argument(
        "--credentials-once",
        metavar="FILE",
        help="take AWS credentials or earthdata_token from this INI file ([default]) and delete it before all else",
    )


def _take_credentials(arguments: argparse.Namespace) -> None:
    if arguments.credentials_once is not None:
        from landsat_downsample.storage.credentials import take_credentials

        take_credentials(arguments.credentials_once)


def _budget(arguments: argparse.Namespace) -> AbstractContextManager[None]:
    from landsat_downsample.model.policy import BUDGET

    return variable(BUDGET, None if arguments.budget is None else str(arguments.budget))


def _stage_in(arguments: argparse.Namespace) -> int:
    _take_credentials(arguments)
    from landsat_downsample.products.staging.stage_in import stage_in

    with _budget(arguments):
        path = stage_in(
            arguments.href,
            arguments.to,
            bands=arguments.bands,
            requester_pays=arguments.requester_pays,
            overwrite=arguments.overwrite,
        )
    print(path)
    return 0


def add_stage_out(verbs: Verbs) -> None:
    """Add the verb ``stage-out``."""
    text = "publish a product's folder, whole or not at all, and verify what arrived"
    epilog = """\
examples:
  landsat-downsample stage-out out/LC08_L2SP_008059_20191201_20200825_02_T1_downsampled --to s3://bucket/products

stdout has the href of the published STAC item"""
    parser = add_verb(verbs, "stage-out", _stage_out, text, epilog)
    parser.add_argument("folder", metavar="DIR", help="a product, a folder with exactly one, or a staged folder")
    parser.add_argument("--to", required=True, metavar="DEST", help="folder or prefix for the product")
    parser.add_argument("--overwrite", action="store_true", help="replace another product of that name")
    add_relative_to(parser)
    _add_store(parser)


def _stage_out(arguments: argparse.Namespace) -> int:
    _take_credentials(arguments)
    from landsat_downsample.products.staging.stage_out import stage_out

    with _budget(arguments):
        href = stage_out(arguments.folder, arguments.to, overwrite=arguments.overwrite)
    print(relative_href(href, arguments.relative_to))
    return 0


def add_clean(verbs: Verbs) -> None:
    """Add the verb ``clean``."""
    text = "list what crashes left at a destination; delete it with --yes"
    epilog = """\
examples:
  landsat-downsample clean s3://bucket/products | jq -r .href
  landsat-downsample clean out --yes

stdout has one JSON line for each leftover, or a table on a terminal; what is written to lately is
active, and deleted only if --older-than allows it"""
    parser = add_verb(verbs, "clean", _clean, text, epilog)
    parser.add_argument("dest", metavar="DEST", help="folder or prefix that holds products")
    parser.add_argument("--yes", action="store_true", help="delete leftovers")
    parser.add_argument(
        "--older-than",
        type=seconds,
        default=3600.0,
        metavar="S",
        help="seconds without a write after which work counts as dead (default 3600)",
    )


def _clean(arguments: argparse.Namespace) -> int:
    from landsat_downsample.products.staging.clean import clean

    found = clean(arguments.dest, delete=arguments.yes, older_than=arguments.older_than)
    if sys.stdout.isatty():
        _show(found)
        return 0
    for entry in found:
        print(json.dumps(entry.to_dict()), flush=True)
    return 0


def _show(found: Sequence[FoundLeftover]) -> None:
    from rich.console import Console
    from rich.table import Table

    from landsat_downsample.model.words import size_words

    table = Table(box=None, pad_edge=False)
    for column in ("state", "kind", "files", "size", "age", "href"):
        table.add_column(column, overflow="fold")
    for entry in found:
        left, age = entry.leftover, "unknown" if entry.age is None else f"{entry.age:.0f} s"
        record = entry.to_dict()
        table.add_row(entry.state, left.kind, str(left.files), size_words(left.size), age, record["href"])
    console = Console(highlight=False, markup=False, emoji=False)
    console.print(table if found else "nothing was left here")
