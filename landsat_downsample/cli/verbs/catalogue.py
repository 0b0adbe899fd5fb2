"""The verb catalogue."""

from __future__ import annotations

import argparse

from landsat_downsample.cli.arguments import Verbs, add_verb, href_type, loading, print_line

_EXAMPLES = """\
examples:
  landsat-downsample catalogue out
  landsat-downsample catalogue s3://bucket/products

DEST/collection.json is a STAC collection of the products, DEST/items.parquet a table of their items
(stac-geoparquet; the extra geoparquet writes it). A run of several scenes does this at its end.
Items are read of products that are new or changed. stdout has a JSON line of what was.

exit codes: 0 done, 3 done but for products that are left out, 1 not done, 2 wrong usage"""


def add_catalogue(verbs: Verbs) -> None:
    """Add the verb ``catalogue``."""
    text = "keep a STAC collection and a table of a destination's products, up to date"
    parser = add_verb(verbs, "catalogue", _catalogue, text, _EXAMPLES)
    parser.add_argument("dest", type=href_type, metavar="DEST", help="where products are: a run's destination")


def _catalogue(arguments: argparse.Namespace) -> int:
    with loading(arguments.own_process):
        import json
        from dataclasses import asdict

        from landsat_downsample.api.catalogue import catalogue
    outcome = catalogue(arguments.dest)
    print_line(json.dumps({key: value for key, value in asdict(outcome).items() if value != ()}))
    return 3 if outcome.notes else 0
