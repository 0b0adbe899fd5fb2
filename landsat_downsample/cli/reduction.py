"""What the verbs run, plan and notebook are asked: which scenes, how small, how each band is reduced."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import TYPE_CHECKING

from landsat_downsample.cli.arguments import (
    DONE,
    NONE_SUCCEEDED,
    SOME_FAILED,
    SOURCE,
    TEMPORARY,
    WRONG_USAGE,
    add_access,
    bounds,
    href_type,
    method,
    number,
    position,
    size,
    words,
)
from landsat_downsample.errors import LandsatDownsampleError, UsageError

if TYPE_CHECKING:
    from landsat_downsample.model.grid_request import GridRequest
    from landsat_downsample.model.options import Options


def add_reduction(parser: argparse.ArgumentParser, *, many: bool = True) -> None:
    """Add the arguments that run, plan and notebook share; the last takes one scene only."""
    if many:
        parser.add_argument(
            "sources",
            nargs="*",
            type=href_type,
            metavar="SOURCE",
            help=f"{SOURCE}; @LIST, items.parquet or - for a list",
        )
        add_access(parser)
    else:
        parser.add_argument("source", type=href_type, metavar="SOURCE", help=SOURCE)
    group = parser.add_argument_group("how small (exactly one, or a --grid that says so)")
    how_small = group.add_mutually_exclusive_group()
    how_small.add_argument("--factor", type=number, metavar="N", help="pixels per cell along each axis")
    how_small.add_argument("--resolution", type=number, metavar="METRES", help="cell size in units of the CRS")
    how_small.add_argument(
        "--size", type=size, metavar="W,H", help="cells across and down; a 0 keeps the aspect: 100,0"
    )
    parser.add_argument(
        "--grid", metavar="GRID",
        help="zone (default): cells on one lattice for all scenes of a CRS, so that they stack; "
        "scene (implied by --size): counted from the scene's own corner; a grid with cells of its own: modis:500m, "
        "latlon:0.05, mgrs:32TQM:300 ... (the verb grids lists them), CRS@SIZE such as EPSG:3035@500, like:HREF",
    )  # fmt: skip
    if many:
        parser.add_argument(
            "--tiles", action="store_true",
            help="a product for each tile of the grid that a scene meets, such as ..._h18v04_downsampled with "
            "--grid modis:500m; the headers of all scenes are read first",
        )  # fmt: skip
    parser.add_argument(
        "--anchor", type=position, metavar="X,Y", help="corner of any cell in units of the CRS (default -15,15)"
    )
    parser.add_argument(
        "--bounds", type=bounds, metavar="L,B,R,T",
        help="area of interest (left,bottom,right,top in units of the grid's CRS), widened to whole cells",
    )  # fmt: skip
    _add_methods(parser.add_argument_group("how each band is reduced"))


def _add_methods(how: argparse._ArgumentGroup) -> None:
    how.add_argument(
        "--bands",
        type=words,
        metavar="BANDS",
        help="their own or common names, such as red,SR_B5,QA_PIXEL (default: all)",
    )
    how.add_argument(
        "--qa", default="conservative", metavar="POLICY",
        help="bit fields: conservative (default), majority, mode or nearest",
    )  # fmt: skip
    how.add_argument(
        "--mask",
        type=words,
        default=(),
        metavar="FLAGS",
        help="leave out pixels with these flags of the quality band: cloud,shadow,adjacent,snow,water,cirrus",
    )
    how.add_argument(
        "--min-valid", type=number, default=0, metavar="F",
        help="least share of valid pixels in a cell that holds data, 0 to 1 (default 0)",
    )  # fmt: skip
    how.add_argument(
        "--method", action="append", default=[], type=method, metavar="BAND=METHOD",
        help="mean, median, min, max, sum, std, rms, count, mode or nearest for one band; repeatable",
    )  # fmt: skip
    how.add_argument(
        "--stats", type=words, metavar="STATS",
        help="statistics of bands that are averaged, a file each, from one read: mean,std,min,max,count (also median, "
        "rms, sum); the mean keeps the band's name, the others are ..._STD.TIF, ..._COUNT.TIF; a band with a --method "
        "has that alone; no angles, codes or classes",
    )  # fmt: skip
    how.add_argument(
        "--units", default="dn", metavar="UNITS",
        help="dn (default): numbers as the source stores them, with scale and offset in the files' tags; "
        "scaled: reflectance, kelvin ... in float32, NaN where there is no data",
    )  # fmt: skip
    how.add_argument(
        "--index", type=words, default=(), metavar="NAMES",
        help="spectral indices, a file each: ndvi,evi,savi,msavi,ndmi,nbr,nbr2,ndwi,mndwi,ndsi,ndbi, and lst, the "
        "surface temperature in kelvin; --bands none for them alone",
    )  # fmt: skip
    how.add_argument(
        "--index-order", default="mean-of-index", metavar="ORDER",
        help="mean-of-index (default): each pixel's index, then their mean; index-of-means: the index of the bands' "
        "means, in files ..._NDVI_OF_MEANS.TIF",
    )  # fmt: skip


def options(arguments: argparse.Namespace) -> Options:
    """Make the options of a plan from arguments."""
    from landsat_downsample.model.indices import warn_of_stats
    from landsat_downsample.model.options import Options

    cells = grid_request(arguments)
    made = Options(
        factor=cells.factor,
        resolution=cells.resolution,
        size=cells.size,
        grid=cells.grid,
        anchor=cells.anchor,
        bands=arguments.bands,
        qa=arguments.qa,
        mask=arguments.mask,
        min_valid=arguments.min_valid,
        methods=dict(arguments.method),
        bounds=arguments.bounds,
        stats=arguments.stats,
        units=arguments.units,
        index=arguments.index,
        index_order=arguments.index_order,
    )
    warn_of_stats(made.index, made.index_order, made.stats)
    return made


def grid_request(arguments: argparse.Namespace) -> GridRequest:
    """Which cells arguments ask for.

    Raises
    ------
    UsageError
        There is neither a size nor a grid with cells of its own, or they contradict each other.
    """
    sizes = (arguments.factor, arguments.resolution, arguments.size)
    if arguments.grid in (None, "zone", "scene") and all(size is None for size in sizes):
        raise UsageError(
            "one of --factor, --resolution and --size is missing, or a --grid with cells of its own; see "
            "landsat-downsample run --help"
        )
    from landsat_downsample.model.grid_request import GridRequest
    from landsat_downsample.scenes.given_grid import read_grid

    return GridRequest(*sizes, read_grid(arguments.grid), arguments.anchor)


def exit_code(succeeded: int, failures: Iterable[LandsatDownsampleError]) -> int:
    """The exit code of a command over several scenes."""
    kinds = {(error.passing, isinstance(error, UsageError)) for error in failures}
    if not kinds:
        return DONE
    if succeeded:
        return SOME_FAILED
    if all(passing for passing, _ in kinds):
        return TEMPORARY
    return WRONG_USAGE if all(usage for _, usage in kinds) else NONE_SUCCEEDED
