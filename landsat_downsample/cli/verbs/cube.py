"""The verb cube."""

from __future__ import annotations

import argparse

from landsat_downsample.cli.arguments import (
    Verbs,
    add_verb,
    bounds,
    count,
    counts,
    href_type,
    loading,
    print_line,
    words,
)

_EXAMPLES = """\
examples:
  landsat-downsample cube out --to out.zarr
  landsat-downsample cube s3://bucket/products --to s3://bucket/cube.zarr --bands red,nir08,qa_pixel
  landsat-downsample cube out --to cube.zarr --bounds 257700,5201000,272700,5215000 --group pass
  landsat-downsample cube out --to cube.zarr --levels 2,4,8  # made with --stats mean,sum,count
  landsat-downsample cube out --to cube.nc --bands red,qa_pixel --index ndvi
  landsat-downsample cube out --to cogs --format cog

The same command again adds the dates that are new. A reader sees all of them or none: the document
that tells of them is written last. stdout has a JSON line of what was added. Read it by
xarray.open_zarr; its products need a common grid (--grid zone, the default, or one with a name).

exit codes: 0 done, 3 done but for scenes that were left out or differ, 1 not done, 2 wrong usage"""


def add_cube(verbs: Verbs) -> None:
    """Add the verb ``cube``."""
    text = "make one cube (time, y, x) of finished products, or add to it what is new"
    parser = add_verb(verbs, "cube", _cube, text, _EXAMPLES)
    parser.add_argument(
        "sources", nargs="+", metavar="DEST", help="where products are: a run's destination, folders of products, @LIST"
    )
    parser.add_argument("--to", type=href_type, required=True, metavar="CUBE", help="folder or prefix: CUBE.zarr")
    parser.add_argument(
        "--bands", type=words, metavar="NAMES",
        help="variables, by common or USGS name: red,qa_pixel,red_std,cloud (default: all that products have)",
    )  # fmt: skip
    parser.add_argument(
        "--index", type=words, default=(), metavar="NAMES",
        help="spectral indices beside them, such as ndvi: those of the products; where not all have one, that of the "
        "bands' means, ndvi_of_means",
    )  # fmt: skip
    parser.add_argument("--datetime", metavar="RANGE", help="only products of that time: 2023-06/2023-08")
    parser.add_argument(
        "--bounds", type=bounds, metavar="L,B,R,T",
        help="the cube's cells, in CRS units (default: those of the products that it begins with)",
    )  # fmt: skip
    parser.add_argument(
        "--group", choices=("pass",), help="pass: rows of a path that were taken in one pass are one date"
    )
    layout = parser.add_argument_group("how it is stored, where it begins")
    layout.add_argument(
        "--format", metavar="NAME",
        help="zarr (default); netcdf (of names that end with .nc): one file, written whole each time; cog: "
        "a folder with a COG of each date and variable; icechunk: a repository, a snapshot for each run",
    )  # fmt: skip
    layout.add_argument(
        "--dates-per-shard", type=count, metavar="N",
        help="dates in one file of a variable: more make a cell's series quicker, a date's map slower (20)",
    )  # fmt: skip
    layout.add_argument(
        "--levels", type=counts, metavar="N,N",
        help="larger cells beside the cube's own, 2,4,8 times as large, of the pixels' sums and counts; "
        "the cube is then the group 1 and its levels 2, 4, 8: xarray.open_datatree",
    )  # fmt: skip
    layout.add_argument("--no-shards", action="store_true", help="a file for each chunk, which GDAL 3.12 reads too")
    work = parser.add_argument_group("where and how the work is done")
    work.add_argument("--workers", type=count, metavar="N", help="threads or workers (default: one for each CPU)")
    work.add_argument(
        "--cluster",
        type=href_type,
        default="none",
        metavar="SPEC",
        help="as of run: none (default), local, kubernetes ...",
    )


def _cube(arguments: argparse.Namespace) -> int:
    with loading(arguments.own_process):
        import json
        from dataclasses import asdict

        from landsat_downsample.api.cube import cube
        from landsat_downsample.execution.cluster import cluster
    with cluster(arguments.cluster, workers=arguments.workers) as client:
        outcome = cube(
            arguments.sources,
            arguments.to,
            arguments.bands,
            datetime=arguments.datetime,
            bounds=arguments.bounds,
            group=arguments.group,
            index=arguments.index,
            format=arguments.format,
            dates_per_shard=arguments.dates_per_shard,
            shards=False if arguments.no_shards else None,
            levels=arguments.levels,
            workers=arguments.workers,
            client=client,
        )
    print_line(json.dumps({key: value for key, value in asdict(outcome).items() if value != ()}))
    return 3 if outcome.changed or outcome.earlier else 0
