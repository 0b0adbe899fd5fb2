"""The demonstration: a full-size scene, the main job on it, and what to look at."""

from __future__ import annotations

import os
import sys

from landsat_downsample import _store
from landsat_downsample._plan import Options, plan_scene
from landsat_downsample._report import Reporter, size_words
from landsat_downsample._run import run_plans
from landsat_downsample._scene import open_scene
from landsat_downsample._synthetic import make_scene


def demo(folder: str, *, size: tuple[int, int] | None = None, factor: float = 10) -> int:
    """Make a scene in `folder`, reduce it, and say where the product is; return the exit code."""
    scene = open_scene(_scene_in(folder, size))
    plans = [plan_scene(scene, os.path.join(folder, "out"), Options(factor=factor), overwrite=True)]
    height, width = scene.grid.shape
    _say(f"reducing {scene.id} by {factor:g}: {len(scene.bands)} bands of {height} x {width} pixels")
    with Reporter(plans) as reporter:
        (outcome,) = run_plans(plans, report=reporter)
    if outcome.error:
        raise outcome.error
    _tell(os.path.dirname(outcome.href), scene.id, outcome, folder)
    return 0


def _scene_in(folder: str, size: tuple[int, int] | None) -> str:
    """The scene of an earlier demonstration, if it is the same one; else a new one."""
    scenes = os.path.join(folder, "scene" if size is None else f"scene-{size[0]}x{size[1]}")
    if os.path.isdir(scenes) and (made := [name for name in os.listdir(scenes) if not name.startswith(".")]):
        return os.path.join(scenes, made[0])
    what = "a Landsat 8 Level 2 scene" + (" of full size (19 bands, 0.8 GB; two minutes)" if size is None else "")
    _say(f"making {what} in {scenes}")
    return str(make_scene(scenes, size=size))


def _tell(product: str, scene_id: str, outcome, folder: str) -> None:
    written = sum(os.path.getsize(os.path.join(product, name)) for name in _store.list_names(product))
    lines = (
        f"{size_words(outcome.bytes_in)} became {size_words(written)} in {outcome.seconds:.1f} s. Look at:",
        f"  {product}/",
        f"    {os.path.basename(product)}.browse.png   the scene in natural colours",
        f"    {scene_id}_SR_B4.TIF ...   the bands, cloud-optimised GeoTIFFs on one grid",
        f"    {scene_id}_QA_FRACTIONS.TIF   percent of valid, clear, cloudy ... pixels in each cell",
        f"    {os.path.basename(product)}.met.json, .stac.json   what was done, file by file",
        "Check it against its source, cell by cell, by a second code path:",
        f"  landsat-downsample verify {product} --source {os.path.join(folder, 'scene')}/{scene_id}",
    )
    for line in lines:
        _say(line)


def _say(line: str) -> None:
    print(line, file=sys.stderr)
