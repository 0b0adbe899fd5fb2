"""The verb grids."""

from __future__ import annotations

import argparse
import json

from landsat_downsample.cli.arguments import DONE, Verbs, add_verb

_EPILOG = """\
Tiles are written last: modis:500m:h18v04, ard:CU:300:h018v014, mgrs:32TQM:300, dea:300:x28y25.
Besides: zone and scene (see run --help), zone:300, CRS@SIZE or CRS@X,Y such as EPSG:3035@500,
FILE@SIZE of a file with WKT or PROJJSON, and like:HREF of any raster, cube or product."""


def add_grids(verbs: Verbs) -> None:
    """Add the verb ``grids``."""
    parser = add_verb(verbs, "grids", _grids, "list the grids that --grid knows by name", _EPILOG)
    parser.add_argument("--json", action="store_true", help="a JSON line for each, with where its numbers are from")


def _grids(arguments: argparse.Namespace) -> int:
    from landsat_downsample.display.tables import show_grids
    from landsat_downsample.model.named_grids import listed

    grids = listed()
    if arguments.json:
        for grid in grids:
            print(json.dumps(grid))
    else:
        show_grids(grids)
    return DONE
