"""The two verbs of the library that a shell run is made of: plan, run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

from landsat_downsample.api.given_grid import given_grid
from landsat_downsample.errors import RunError, UsageError
from landsat_downsample.execution.run import Outcome, Progress, run_plans
from landsat_downsample.model.plan import Options, ScenePlan, distinct, plan_scene, plan_tiles
from landsat_downsample.model.policy import Policy
from landsat_downsample.model.scene import Scene
from landsat_downsample.model.words import words
from landsat_downsample.scenes.given_items import given_scenes
from landsat_downsample.scenes.open import open_given

if TYPE_CHECKING:
    from distributed import Client
    from pystac import Item, ItemCollection

    from landsat_downsample.execution.dask_executor import DaskExecutor


def plan(
    sources: str
    | PathLike[str]
    | Scene
    | dict[str, Any]
    | Item
    | ItemCollection
    | Iterable[str | PathLike[str] | Scene | dict[str, Any] | Item],
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
    overwrite: bool = False,
) -> list[ScenePlan]:
    """Plan what `run` will do: headers are read, pixels are not, nothing is written.

    Parameters
    ----------
    sources : str, path, Scene, dict, pystac.Item or ItemCollection, or an iterable of them
        Hrefs that `open_scene` takes, opened scenes, or STAC items: those of one scene make one plan.
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
        Flags of QA_PIXEL (``"cloud,shadow"``) whose pixels are left out of continuous bands.
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
    overwrite : bool
        Replace products that are there but were made otherwise.

    Returns
    -------
    list of ScenePlan

    Raises
    ------
    UsageError
        The options contradict each other or the scene.
    SceneError, ReadError
        A source cannot be opened.
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
    )
    plans = []
    for source, base in given_scenes([sources] if isinstance(sources, Scene) else sources):
        scene = source if isinstance(source, Scene) else open_given(source, base, options.bands)
        if tiles:
            plans += plan_tiles(scene, fspath(to), options, overwrite=overwrite)
        else:
            plans.append(plan_scene(scene, fspath(to), options, overwrite=overwrite))
    return distinct(plans)


def run(
    plans: ScenePlan | Iterable[ScenePlan],
    *,
    workers: int | None = None,
    client: Client | None = None,
    requests_per_host: int | None = None,
    report: Callable[[Progress], None] | None = None,
) -> list[Outcome]:
    """Reduce and publish every planned scene.

    Parameters
    ----------
    plans : ScenePlan or iterable of ScenePlan
        From `plan`.
    workers : int, optional
        Threads; as many as there are CPUs.
    client : distributed.Client, optional
        A dask client, from `cluster` or any other: its workers reduce the bands instead of
        this process' threads. It is left open.
    requests_per_host : int, optional
        Bands that are fetched from one host or bucket at one time, over all workers;
        LANDSAT_DOWNSAMPLE_REQUESTS_PER_HOST if not given, else 32.
    report : callable, optional
        Told of every step, in this thread: a scene begun, a band done, a scene ended.

    Returns
    -------
    list of Outcome
        One for each scene, ``done`` or ``skipped``.

    Raises
    ------
    RunError
        Some scenes failed; the others were published, but for those that did not begin because the
        destination would refuse them too. It carries all outcomes.
    """
    plans = _checked(plans) if isinstance(plans, Iterator) else list(_checked(plans))
    policy = Policy.from_environ()
    policy = policy if requests_per_host is None else replace(policy, per_host=requests_per_host)
    executor = on_client(client, policy=policy)
    outcomes = run_plans(plans, workers=workers, executor=executor, policy=policy, report=report)
    failed = [outcome for outcome in outcomes if outcome.error]
    if failed:
        words = "; ".join(f"{outcome.scene_id}: {outcome.error}" for outcome in failed[:3])
        left = len(plans) - len(outcomes) if isinstance(plans, list) else 0
        words += f"; {left} did not begin" if left else ""
        raise RunError(f"{len(failed)} of {len(outcomes)} scenes failed: {words}", tuple(outcomes)) from failed[0].error
    return outcomes


def _checked(plans: ScenePlan | Iterable[ScenePlan]) -> Iterator[ScenePlan]:
    for one in plans if isinstance(plans, Iterable) else [plans]:
        if not isinstance(one, ScenePlan):
            raise UsageError(f"run takes plans, and {type(one).__name__!r} is none: give what plan(...) returns")
        yield one


def on_client(client: Client | None, *, owned: bool = False, policy: Policy | None = None) -> DaskExecutor | None:
    """The executor of a dask client; None for none.

    Parameters
    ----------
    owned : bool
        Whether its cluster is this run's alone, so that workers that hang may be restarted.
    policy : Policy, optional
        As of `HostQueue`.
    """
    if client is None:
        return None
    from landsat_downsample.execution.dask_executor import DaskExecutor

    return DaskExecutor(client, owned=owned, policy=policy)
