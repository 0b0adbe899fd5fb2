"""The verb notebook."""

from __future__ import annotations

import argparse
from typing import Any

from landsat_downsample.cli.arguments import Verbs, add_verb, count, href_type, print_line, seconds
from landsat_downsample.cli.reduction import add_reduction, grid_request
from landsat_downsample.cli.signals import limited

_EXAMPLES = """\
examples:
  landsat-downsample notebook LC08_L2SP_008059_20191201_20200825_02_T1 --to out --factor 10 --output report.ipynb
  jupyter nbconvert --to html report.ipynb

The product is that of run. The notebook is kept also if a cell of it fails; there are no secrets, signatures or
folders of this machine in it. stdout has its name."""


def add_notebook(verbs: Verbs) -> None:
    """Add the verb ``notebook``."""
    text = "reduce a scene by a notebook, and keep that as it was executed: with pictures, or the cell that failed"
    parser = add_verb(verbs, "notebook", _notebook, text, _EXAMPLES)
    add_reduction(parser, many=False)
    parser.add_argument("--to", type=href_type, required=True, metavar="DEST", help="folder or prefix for the product")
    parser.add_argument(
        "--output", default="output_nb.ipynb", metavar="FILE", help="the executed notebook (default: output_nb.ipynb)"
    )
    parser.add_argument("--workers", type=count, default=0, metavar="N", help="threads (default: one for each CPU)")
    parser.add_argument("--timeout", type=seconds, metavar="S", help="stop after so many seconds, with exit code 75")


def _notebook(arguments: argparse.Namespace) -> int:
    grid_request(arguments)  # a contradiction is refused before anything is executed
    from landsat_downsample.cli.executed_notebook import execute

    with limited(arguments.timeout):
        execute(_parameters(arguments), arguments.output)
    print_line(arguments.output)
    return 0


def _parameters(arguments: argparse.Namespace) -> dict[str, Any]:
    """The notebook's parameters, each of its type; what was not asked for is 0 or empty there."""
    return {
        "source": arguments.source,
        "to": arguments.to,
        "factor": arguments.factor or 0,
        "resolution": arguments.resolution or 0,
        "size": _list(arguments.size),
        "grid": arguments.grid or "",
        "anchor": _list(arguments.anchor),
        "bounds": _list(arguments.bounds),
        "bands": _list(arguments.bands),
        "qa": arguments.qa,
        "mask": _list(arguments.mask),
        "min_valid": arguments.min_valid,
        "method": [f"{band}={method}" for band, method in arguments.method],
        "stats": _list(arguments.stats),
        "units": arguments.units,
        "index": _list(arguments.index),
        "index_order": arguments.index_order,
        "workers": arguments.workers,
    }


def _list(values: Any) -> str:
    return ",".join(map(str, values or ()))
