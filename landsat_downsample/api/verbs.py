"""The verbs of the library that a shell run is made of: plan, run, retry what failed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, TypeAlias

from landsat_downsample.api.carry_out import carry_out
from landsat_downsample.api.given_grid import given_grid
from landsat_downsample.batch.given import planned
from landsat_downsample.batch.parts import Part
from landsat_downsample.batch.plans import Plans, requests_of
from landsat_downsample.batch.requests import Order
from landsat_downsample.batch.retries import left_of
from landsat_downsample.display.reporter import style_of_python
from landsat_downsample.errors import RunError
from landsat_downsample.execution.outcomes import Outcomes
from landsat_downsample.execution.run import Progress
from landsat_downsample.model.indices import warn_of_stats
from landsat_downsample.model.log import tell
from landsat_downsample.model.options import Options
from landsat_downsample.model.plan import ScenePlan
from landsat_downsample.model.policy import Policy
from landsat_downsample.model.scene import Scene
from landsat_downsample.model.words import words

if TYPE_CHECKING:
    from distributed import Client
    from pystac import Item, ItemCollection

    from landsat_downsample.batch.search_result import SearchResult

    #: What stands for scenes.
    Sources: TypeAlias = str | PathLike[str] | Scene | dict[str, Any] | Item | ItemCollection | SearchResult


def plan(
    sources: Sources | Iterable[Sources],
    to: str | PathLike[str],
    *,
    factor: float | None = None,
    resolution: float | None = None,
    size: tuple[int, int] | None = None,
    grid: Any = None,
    like: Any = None,
    anchor: tuple[float, float] | None = None,
    bands: str | Iterable[str] | None = None,
    qa: str = "conservative",
    mask: str | Iterable[str] = (),
    min_valid: float = 0.0,
    methods: dict[str, str] | None = None,
    bounds: tuple[float, float, float, float] | None = None,
    tiles: bool = False,
    stats: str | Iterable[str] | None = None,
    units: str = "dn",
    index: str | Iterable[str] = (),
    index_order: str = "mean-of-index",
    overwrite: bool = False,
    part: tuple[int, int] | str | None = None,
) -> Plans:
    """Plan what `run` will do: headers are read, pixels are not, nothing is written.

    The first scene is opened now, each of the others when it is looked at, or when its turn comes in a run.

    Parameters
    ----------
    sources : str, path, Scene, dict, pystac.Item or ItemCollection, SearchResult, or an iterable of them
        Hrefs that `open_scene` takes, opened scenes, or STAC items: those of one scene make one plan.
        ``@scenes.txt`` is a list of scenes, as the command line takes it; ``items.parquet`` is stac-geoparquet (with
        rustac). What `search` found, or a slice of it.
    to : str or path
        Destination folder or prefix; each product becomes a folder in it.
    factor, resolution, size : optional
        Exactly one, or none with a grid that has cells of its own: pixels per cell; cell size in CRS
        units (metres); or (width, height) in cells, where a 0 keeps the aspect.
    grid : str, TargetGrid, Grid, GeoBox or DataArray, optional
        ``zone``, the default with factor and resolution: cells are counted from a corner that all
        scenes of a CRS share, so that dates, rows and paths stack. ``scene``, implied by size:
        from the scene's own upper-left corner. Or a grid with cells of its own, without factor,
        resolution and size: a name (``modis:500m``, ``latlon:0.05``, ``mgrs:32TQM:300``; the verb
        ``grids`` lists them), ``EPSG:3035@500``, ``FILE@500`` of a file with WKT or PROJJSON,
        ``like:HREF``, or an object with ``crs``, ``transform`` and ``shape``.
    like : str, path or object, optional
        The raster, cube, product or object whose cells to take: as `grid`, for what is not a word.
    anchor : (float, float), optional
        (x, y) of any corner of a cell in CRS units, in place of the zone's -15, 15.
    bands : str or iterable of str, optional
        USGS names (``SR_B4``) or common names (``red``); all by default.
    qa : str
        Policy for bit fields: conservative, majority, mode or nearest.
    mask : str or iterable of str
        Flags of the quality band (``"cloud,shadow"``) whose pixels are left out of continuous bands: ``cloud``,
        ``shadow``, ``snow``, ``water``, ``cirrus``, ``adjacent`` mean the same in all families.
    min_valid : float
        Least share of valid pixels in a cell that holds data, 0 to 1.
    methods : dict of str to str, optional
        Reducer by band, where it is not the band's own.
    bounds : (float, float, float, float), optional
        Area of interest (left, bottom, right, top) in units of the grid's CRS, widened to whole cells;
        of a remote source only the blocks under it are fetched.
    tiles : bool
        A product for each tile of the grid that a scene meets, each the whole tile: a grid with tiles, such as
        ``modis:500m``, ``ard:300`` or ``hls:300``.
    stats : str or iterable of str, optional
        Statistics of bands that are averaged, a file each, from one read: any of mean, median, rms, min, max,
        sum, std and count (the area of valid pixels, in pixels). The mean's file has the band's name, others are
        ``..._STD.TIF``, ``..._COUNT.TIF``. A band in `methods` has that method alone.
    units : str
        What bands that are no bit fields or classes hold: ``dn``, numbers as the source stores them, with scale and
        offset in their tags; or ``scaled``, physical values (reflectance, kelvin, degrees) in float32 with NaN where
        there is no data, made of the exact result in float64 and rounded once.
    index : str or iterable of str, optional
        Spectral indices, a file each: ndvi, evi, savi, msavi, ndmi, nbr, nbr2, ndwi, mndwi, ndsi, ndbi, and lst, the
        surface temperature in kelvin; float32 with NaN where there is no data. Their bands need not be among `bands`;
        ``bands="none"`` writes no other file.
    index_order : str
        ``mean-of-index``: each pixel's index, then the mean of them. ``index-of-means``: the index of the bands' means,
        in files ``..._NDVI_OF_MEANS.TIF``, of which there are no other `stats` than mean and count.
    overwrite : bool
        Replace products that are there but were made otherwise.
    part : (int, int) or str, optional
        ``(1, 4)`` or ``"1/4"``: only the first of four equal shares of the scenes, those that ``--part 1/4`` takes of
        the same list and options. Parts may be run at the same time, anywhere; their records are one run.

    Returns
    -------
    Plans
        A sequence of ScenePlan. Of several scenes, one that cannot be opened fails by itself when it is run, and raises
        where it is looked at.

    Raises
    ------
    UsageError
        The options contradict each other or the first scenes; a list has nothing in it; two sources make one product.
    SceneError, ReadError
        The one source that is given cannot be opened.

    Examples
    --------
    >>> plans = ld.plan(scene, "out", factor=10, bands=["red", "qa_pixel"], mask="cloud,shadow")
    >>> plans
    LC08_L2SP_192028_20230714_20230724_02_T1 -> out/LC08_L2SP_192028_20230714_20230724_02_T1_downsampled
    50 x 60 cells of 300 x 300 (10 x 10 pixels), EPSG:32633
    rows -17388 to -17339, columns 854 to 913 of grid zone
    masked: without the pixels that QA_PIXEL flags as cloud, shadow
    band          reduced by    source     type    read       file
    SR_B4         mean, masked  500 x 600  uint16  492.3 KiB  ..._SR_B4.TIF
    QA_PIXEL      conservative  500 x 600  uint16  50.8 KiB   ..._QA_PIXEL.TIF
    QA_FRACTIONS  fractions     500 x 600  uint8              ..._QA_FRACTIONS.TIF
    543.1 KiB to read, 1.1 MiB decoded, at most 32.2 KiB to write; about 66.6 MiB of memory for each band at work
    >>> len(ld.plan("LC08_L2SP_192028_20230714_20230724_02_T1", "out", grid="modis:500m", tiles=True))
    1
    """
    options = Options(
        factor=factor,
        resolution=resolution,
        size=size,
        grid=given_grid(grid, like),
        anchor=anchor,
        bands=None if bands is None else words(bands),
        qa=qa,
        mask=words(mask),
        min_valid=min_valid,
        methods=dict(methods or {}),
        bounds=bounds,
        stats=None if stats is None else words(stats),
        units=units,
        index=words(index),
        index_order=index_order,
    )
    warn_of_stats(options.index, options.index_order, options.stats)
    order = Order(options, fspath(to), overwrite=overwrite, tiles=tiles)
    return planned(sources, order, None if part is None else Part.made_of(part))


def run(
    plans: Plans | ScenePlan | Iterable[ScenePlan],
    *,
    workers: int | None = None,
    client: Client | None = None,
    requests_per_host: int | None = None,
    record: bool = False,
    progress: bool | None = None,
    check: bool = True,
    report: Callable[[Progress], object] | None = None,
) -> Outcomes:
    """Reduce and publish every planned scene.

    Each step is told to the logger ``landsat_downsample`` (INFO; a failure ERROR; each band of many scenes DEBUG), with
    an ``event`` and fields.

    Parameters
    ----------
    plans : Plans, ScenePlan or iterable of ScenePlan
        From `plan`.
    workers : int, optional
        Threads; as many as there are CPUs.
    client : distributed.Client, optional
        A dask client, from `cluster` or any other: its workers reduce the bands instead of
        this process' threads. It is left open.
    requests_per_host : int, optional
        Bands that are fetched from one host or bucket at one time, over all workers;
        LANDSAT_DOWNSAMPLE_REQUESTS_PER_HOST if not given, else 32.
    record : bool
        Keep the record of the run and a page of it in ``_runs`` of the destination, as the command line does, for
        `status` and `retry_failed`. All plans then have one destination and the same options.
    progress : bool, optional
        Whether to show how far it is. By default in Jupyter, as a display below the cell; if asked for elsewhere,
        on stderr: live on a terminal, else in lines, unless the program handles the logger's records itself.
    check : bool
        Raise a RunError at the end if scenes failed; else the outcomes alone tell.
    report : callable, optional
        Told of every step, in this thread: a scene begun, a band done, a scene ended.

    Returns
    -------
    Outcomes
        A sequence with one for each scene, ``done`` or ``skipped``; or ``failed``, without `check`.

    Raises
    ------
    RunError
        Some scenes failed; the others were published, but for those that did not begin because the
        destination would refuse them too. It carries all outcomes.
    UsageError
        What is given is no plan; or a record is asked for of plans that have no one destination and options.

    Examples
    --------
    >>> outcomes = ld.run(ld.plan(scene, "out", factor=10, bands="red"), record=True)
    >>> [(outcome.scene_id, outcome.status) for outcome in outcomes]
    [('LC08_L2SP_192028_20230714_20230724_02_T1', 'done')]
    """
    share = plans.share if isinstance(plans, Plans) else None
    if share and not plans:
        tell("nothing", share.nothing)
        return Outcomes()
    policy = Policy.from_environ()
    policy = policy if requests_per_host is None else replace(policy, per_host=requests_per_host)
    requests = requests_of(plans)
    listed = None if isinstance(plans, Iterator) and not record else list(requests)
    outcomes = carry_out(
        requests if listed is None else listed,
        policy=policy,
        style=style_of_python(progress),
        workers=workers,
        client=client,
        record=record,
        share=share,
        listeners=() if report is None else (report,),
    )
    failed = sum(outcome.error is not None for outcome in outcomes)
    if failed and check:
        first = list(islice((outcome for outcome in outcomes if outcome.error), 3))
        words = "; ".join(f"{outcome.scene_id}: {outcome.error}" for outcome in first)
        left = len(listed) - len(outcomes) if listed is not None else 0
        words += f"; {left} did not begin" if left else ""
        raise RunError(f"{failed} of {len(outcomes)} scenes failed: {words}", outcomes) from first[0].error
    return outcomes


def retry_failed(
    dest: str | PathLike[str],
    *,
    workers: int | None = None,
    client: Client | None = None,
    requests_per_host: int | None = None,
    progress: bool | None = None,
    check: bool = True,
    report: Callable[[Progress], object] | None = None,
) -> Outcomes:
    """Try again what failed in the last run that is on record at a destination, or never began in it.

    With the options of that run, whether it was run in Python or by the command line; on record itself.

    Parameters
    ----------
    dest : str or path
        Where the products go; or the folder of a record, ``DEST/_runs/<run id>``.
    workers, requests_per_host : int, optional
        As of `run`.
    client : distributed.Client, optional
        As of `run`.
    progress, check : bool, optional
        As of `run`.
    report : callable, optional
        As of `run`.

    Returns
    -------
    Outcomes
        One for each scene that was tried again; empty where none had failed.

    Raises
    ------
    RunError
        As `run`.
    UsageError
        No run is on record there.
    ReadError
        The record cannot be read.

    Examples
    --------
    >>> sources = ["LC08_L2SP_192028_20230714_20230724_02_T1", "LC08_L2SP_192028_20240106_20240116_02_T1"]
    >>> outcomes = ld.run(ld.plan(sources, "out", factor=10, bands="red"), record=True, check=False)
    >>> [outcome.status for outcome in outcomes]
    ['done', 'failed']
    >>> folders = ld.make_scenes(".", dates=2, size=(600, 500), bands=["SR_B4"])   # the other one arrives
    >>> [(outcome.scene_id, outcome.status) for outcome in ld.retry_failed("out")]
    [('LC08_L2SP_192028_20240106_20240116_02_T1', 'done')]
    """
    plans = left_of(fspath(dest))
    if not plans:
        return Outcomes()
    return run(
        plans, workers=workers, client=client, requests_per_host=requests_per_host, record=True, progress=progress,
        check=check, report=report,
    )  # fmt: skip
