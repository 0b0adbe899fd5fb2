"""Synthetic Landsat scenes: realistic in shape, layout and statistics, and the same bytes for the same arguments."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import rasterio

from landsat_downsample.errors import UsageError, WriteError
from landsat_downsample.model import flags
from landsat_downsample.model.bands import BandSpec
from landsat_downsample.model.grid import width_height
from landsat_downsample.model.words import names_or_all
from landsat_downsample.testing.synthetic import files as texts
from landsat_downsample.testing.synthetic import ground as land
from landsat_downsample.testing.synthetic import mtl, series
from landsat_downsample.testing.synthetic.bands import Painter
from landsat_downsample.testing.synthetic.families import FamilyRecipe, recipe_of
from landsat_downsample.testing.synthetic.recipe import MISSIONS, Recipe
from landsat_downsample.testing.synthetic.tables import SATURATES


def make_scene(
    folder: str | os.PathLike[str],
    *,
    sensor: str = "oli",
    level: int | None = None,
    size: tuple[int, int] | None = None,
    seed: int = 0,
    bands: Iterable[str] | None = None,
    southern: bool = False,
) -> Path:
    """Write a synthetic scene as USGS delivers one, and return its folder.

    The footprint is turned in its frame, with fill around; there are fields, woods, towns, mountains with
    snow, a river and a coast, clouds with their shadows. The quality bands say what the image bands show.

    Parameters
    ----------
    folder : path
        Where the scene's own folder, ``<product_id>``, is made. Files already in it are replaced.
    sensor : str
        ``oli`` (Landsat 8, or 9 for an odd seed), ``etm`` (Landsat 7 with scan gaps), ``tm`` (Landsat 5),
        ``mss`` (Landsat 5) or ``mss123`` (Landsat 1); of other families ``hls-l30``, ``hls-s30``, ``ard`` or ``dea``.
    level : int, optional
        Processing level: 1 or 2, only 1 of MSS. Default: the highest.
    size : (int, int), optional
        (width, height) of the 30 m frame, 60 m for MSS, at least 40 each. Default: a full scene, or a whole tile.
    seed : int
        Another seed makes another landscape, acquired on another day.
    bands : iterable of str, optional
        USGS names of the bands to write, such as ``SR_B4``; the metadata lists only these. Default: all.
    southern : bool
        South of the equator: a northern UTM zone with negative northing, as USGS has it.

    Returns
    -------
    Path
        ``folder / product_id``.

    Raises
    ------
    UsageError
        There is no such product, no such band, or the size is too small.
    WriteError
        The folder cannot be written.

    Examples
    --------
    >>> ld.make_scene("scenes", sensor="etm", size=(300, 260), bands=["SR_B3", "QA_PIXEL"]).name
    'LE07_L2SP_192028_20120707_20200908_02_T1'
    """
    recipe = recipe_of(sensor, level, _size(sensor, size), int(seed), bool(southern))
    return _make(folder, recipe, _chosen(recipe, bands))


def make_scenes(
    folder: str | os.PathLike[str],
    *,
    dates: int = 1,
    rows: int = 1,
    paths: int = 1,
    sensor: str = "oli",
    level: int | None = None,
    size: tuple[int, int] | None = None,
    seed: int = 0,
    bands: Iterable[str] | None = None,
    southern: bool = False,
) -> list[Path]:
    """Write synthetic scenes of one piece of the earth: several dates, and neighbours that overlap.

    Frames lie as USGS lays them: from date to date they wander by steps of 300 m and differ in size, on the lattice
    that all scenes of a zone share. Where frames overlap they show the same ground. Seasons change it: fields
    ripen, trees lose their leaves, snow comes down. Rows of one pass share its clouds; other passes have others.

    Parameters
    ----------
    folder : path
        Where each scene's own folder, ``<product_id>``, is made. Files already in them are replaced.
    dates : int
        Dates of each path and row, spread over a year in multiples of the satellite's cycle.
    rows, paths : int
        Rows to the south and paths to the west, the first among them; a path is seen a week after the one before.
    sensor : str
        As of `make_scene`.
    level : int, optional
        As of `make_scene`.
    size : (int, int), optional
        (width, height) about which those of the frames vary; rounded to tens of pixels and one more.
    seed : int
        Another seed is another piece of the earth.
    bands : iterable of str, optional
        USGS names of the bands to write. Default: all.
    southern : bool
        South of the equator.

    Returns
    -------
    list of Path
        The scenes' folders: by date, then by path, then by row. One scene alone is that of `make_scene`.

    Raises
    ------
    UsageError
        There is no such product, no such band, the size is too small, or there are too many scenes.
    WriteError
        A folder cannot be written.

    Examples
    --------
    >>> [folder.name for folder in ld.make_scenes("scenes", dates=2, size=(300, 260), bands=["SR_B4"])]
    ['LC08_L2SP_192028_20230714_20230724_02_T1', 'LC08_L2SP_192028_20240106_20240116_02_T1']
    """
    first = recipe_of(sensor, level, _size(sensor, size), int(seed), bool(southern))
    scenes = series.recipes(first, dates=dates, rows=rows, paths=paths)
    chosen = _chosen(first, bands)
    return [_make(folder, recipe, chosen) for recipe in (scenes if len(scenes) > 1 else [first])]


def _make(folder: str | os.PathLike[str], recipe: Recipe, chosen: tuple[BandSpec, ...]) -> Path:
    target = Path(folder) / recipe.product_id
    painter = Painter(land.build(recipe))
    try:
        target.mkdir(parents=True, exist_ok=True)
        for old in target.glob(f"{recipe.product_id[:8]}*"):  # of another size, perhaps
            old.unlink()
        for spec in chosen:
            _write_band(target / recipe.band_file(spec), painter, spec)
        if isinstance(recipe, FamilyRecipe):
            recipe.write_texts(target, chosen, _cloud_cover(painter))
        else:
            _write_texts(target, painter, chosen)
    except (OSError, rasterio.errors.RasterioError) as error:
        raise WriteError(f"cannot write a synthetic scene to {str(folder)!r}: {error}") from error
    return target


def _size(sensor: str, size: tuple[int, int] | None) -> tuple[int, int]:
    if size is None:
        return MISSIONS[sensor].size if sensor in MISSIONS else (0, 0)
    return width_height(size)


def _chosen(recipe: Recipe, names: Iterable[str] | None) -> tuple[BandSpec, ...]:
    specs = recipe.bands
    wanted = names_or_all(names)
    if wanted is None:
        return tuple(specs.values())
    unknown = sorted(set(wanted) - set(specs))
    if unknown or not wanted:
        what = f"no band {', '.join(unknown)} in" if unknown else "no bands asked of"
        raise UsageError(f"{what} a level {recipe.level} scene of {recipe.sensor}: choose from {', '.join(specs)}")
    return tuple(spec for name, spec in specs.items() if name in wanted)


def _write_band(path: Path, painter: Painter, spec: BandSpec) -> None:
    """Write one band as a cloud-optimized GeoTIFF with the layout and the tags of USGS."""
    recipe = painter.recipe
    grid = recipe.pan_grid if spec.group == "panchromatic" else recipe.grid
    profile = {
        "driver": "COG",
        "width": grid.width,
        "height": grid.height,
        "count": 1,
        "dtype": spec.dtype,
        "crs": grid.crs,
        "transform": grid.transform,
        "nodata": recipe.nodata_of(spec),
        "blocksize": 256,
        "compress": "DEFLATE",
        "level": 1,  # a third cheaper than the default, and no larger for noisy bands
        "predictor": "FLOATING_POINT" if str(spec.dtype).startswith("float") else "STANDARD",
        "overview_resampling": "NEAREST",
        "num_threads": "ALL_CPUS",
    }
    with rasterio.open(path, "w", **profile) as target:
        target.update_tags(AREA_OR_POINT=recipe.area_or_point)
        if recipe.states_scale and spec.scale is not None:
            target.scales, target.offsets = [spec.scale], [spec.offset or 0.0]
        for start, stop in land.strips(grid.height):
            target.write(painter.rows(spec, start, stop), 1, window=((start, stop), (0, grid.width)))


def _write_texts(target: Path, painter: Painter, chosen: tuple[BandSpec, ...]) -> None:
    listed = tuple(spec for spec in chosen if not spec.name.startswith("GM_"))
    contents = mtl.Contents(painter.recipe, listed, _cloud_cover(painter), _saturated_bands(painter))
    groups = mtl.groups_of(contents)
    files = {"MTL.txt": mtl.to_odl(groups), "MTL.json": mtl.to_json(groups), "MTL.xml": mtl.to_xml(groups)}
    if painter.recipe.mission.sensor_id != "MSS":
        files["ANG.txt"] = texts.angle_text(contents)
    for suffix, data in files.items():
        (target / contents.file_name(suffix)).write_bytes(data)
    for name, data in texts.stac_items(contents, target).items():
        (target / name).write_bytes(data)


def _cloud_cover(painter: Painter) -> float:
    """Percent of the pixels that the quality band has data for that it calls cloud."""
    spec = next(spec for spec in painter.recipe.bands.values() if spec.quality)
    cloud, cloudy, valid = flags.mask_bits(spec, ("cloud",)), 0, 0
    for start, stop in land.strips(painter.height):
        codes = painter.rows(spec, start, stop)
        valid += int(np.count_nonzero(~flags.without_data(codes, spec)))
        cloudy += int(np.count_nonzero(flags.codes_of(codes, spec) & cloud))
    return 100 * cloudy / max(valid, 1)


def _saturated_bands(painter: Painter) -> frozenset[str]:
    groups = np.unique(painter.saturated[1]).tolist()
    return frozenset(name for group in groups for name in SATURATES[painter.recipe.sensor][group])
