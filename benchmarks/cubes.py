"""A hundred products as one Zarr store: CPU seconds beside copying their cells, and how long its parts take to read.

The peer is the simplest loop that is right: into arrays of the same shards and codec, twenty dates of a band at a
time, each file read by rasterio. It keeps no coordinates, locks nothing, cannot grow and leaves half a store where it
is killed. Both have one thread.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from statistics import median

import numpy as np
import rasterio

import landsat_downsample as ld
from benchmarks.interleave import cpu_seconds
from benchmarks.scenes import EIGHT

PRODUCTS, DATES = 100, 20
#: Of the long series: so many dates of one band, by other names of the same files.
LONG = 1000
FACTOR = 10

#: Names of the eight bands in the cube.
NAMES = [*EIGHT]


@dataclass(frozen=True, slots=True)
class Cubes:
    """What was measured."""

    ours: float
    """CPU seconds."""
    loop: float
    opened: float
    """Wall seconds to open the products themselves, of their items."""
    series: float
    """Wall seconds of one cell over all dates, one band."""
    map: float
    """Wall seconds of one date of one band."""
    same: bool
    """Whether both stores hold the same."""
    long_series: float
    """Wall seconds of one cell over `LONG` dates, the store's files out of the page cache."""
    long_map: float
    """Wall seconds of one date of these, likewise."""


def measure(scene: Path, repeats: int) -> Cubes:
    """Make the products once, and both stores in turn."""
    with tempfile.TemporaryDirectory() as folder:
        products = _products(scene, Path(folder))
        ours, loop = Path(folder) / "ours.zarr", Path(folder) / "loop.zarr"

        def make() -> None:
            shutil.rmtree(ours, ignore_errors=True)
            ld.cube(products, ours, NAMES, workers=1)

        def copy() -> None:
            shutil.rmtree(loop, ignore_errors=True)
            _copied(products, loop)

        found = cpu_seconds({"ours": make, "loop": copy}, min(repeats, 3))
        begun = time.perf_counter()
        ld.open_products(products, ["red", "nir08", "qa_pixel"])
        opened = time.perf_counter() - begun
        series, one_map, same = _read(ours, loop)
        shutil.rmtree(loop)
        long = Path(folder) / "long.zarr"
        ld.cube(_many(products, Path(folder) / "long"), long, ["SR_B4"])
        far = _cold(long)
    return Cubes(median(found["ours"]), median(found["loop"]), opened, series, one_map, same, *far)


def _products(scene: Path, folder: Path) -> Path:
    """One product, and as many of other dates with other noise."""
    (done,) = ld.run(ld.plan(scene, folder / "one", factor=FACTOR, bands=EIGHT))
    first, rng = Path(done.href).parent, np.random.default_rng(1)
    text = Path(done.href).read_text()
    moment = json.loads(text)["properties"]["datetime"]
    for number in range(PRODUCTS):
        day = date(2000, 1, 1) + timedelta(days=16 * number)
        name = f"{done.scene_id[:17]}{day:%Y%m%d}_{day:%Y%m%d}{done.scene_id[34:]}"
        target = folder / "many" / f"{name}_downsampled"
        target.mkdir(parents=True)
        item = json.loads(text.replace(done.scene_id, name).replace(moment, f"{day}T10:00:00Z"))
        for band in EIGHT:
            path = target / f"{name}_{band}.TIF"
            _noisy(first / f"{done.scene_id}_{band}.TIF", path, rng, flags=band == "QA_PIXEL")
            for asset in item["assets"].values():
                if asset["href"] == f"./{path.name}":
                    asset["file:size"] = path.stat().st_size
        (target / f"{name}_downsampled.stac.json").write_text(json.dumps(item))
    return folder / "many"


def _many(products: Path, to: Path) -> Path:
    """Products of `LONG` dates: the files of those there are, linked."""
    folders = sorted(products.iterdir())
    for number in range(LONG):
        source = folders[number % len(folders)]
        old, day = source.name.removesuffix("_downsampled"), date(2000, 1, 1) + timedelta(days=8 * number)
        new = f"{old[:17]}{day:%Y%m%d}_{day:%Y%m%d}{old[34:]}"
        target = to / f"{new}_downsampled"
        target.mkdir(parents=True)
        (target / f"{new}_SR_B4.TIF").hardlink_to(source / f"{old}_SR_B4.TIF")
        text = (source / f"{source.name}.stac.json").read_text()
        moment = json.loads(text)["properties"]["datetime"]
        item = json.loads(text.replace(old, new).replace(moment, f"{day}T10:00:00Z"))
        kept = {key: one for key, one in item["assets"].items() if one["href"].endswith("_SR_B4.TIF")}
        (target / f"{target.name}.stac.json").write_text(json.dumps(item | {"assets": kept}))
    return to


def _cold(store: Path) -> tuple[float, float]:
    """Seconds of a cell's series and of a date's map, opening included; files are not in the page cache."""
    import zarr

    seconds: dict[str, list[float]] = {"series": [], "map": []}
    _, height, width = zarr.open_group(store, mode="r")["SR_B4"].shape
    for number in range(5):
        for what, at in (
            ("series", np.s_[:, height // 3 + number, width // 4]),
            ("map", np.s_[(211 * number + 3) % LONG]),
        ):
            _forget(store)
            begun = time.perf_counter()
            zarr.open_group(store, mode="r")["SR_B4"][at]
            seconds[what].append(time.perf_counter() - begun)
    return median(seconds["series"]), median(seconds["map"])


def _forget(store: Path) -> None:
    """Take files out of the page cache, where the system lets us."""
    for path in store.rglob("*"):
        if path.is_file():
            handle = os.open(path, os.O_RDONLY)
            os.fsync(handle)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(handle)


def _noisy(source: Path, target: Path, rng: np.random.Generator, *, flags: bool) -> None:
    with rasterio.open(source) as file:
        cells, profile = file.read(1), file.profile
    if not flags:
        cells = np.where(cells > 100, cells + rng.integers(-25, 26, cells.shape), cells).astype(cells.dtype)
    profile |= {
        "driver": "GTiff",
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
        "compress": "DEFLATE",
        "predictor": 2,
    }
    with rasterio.open(target, "w", **profile) as file:
        file.write(cells, 1)


def _copied(products: Path, to: Path) -> None:
    import zarr
    from zarr.codecs import BloscCodec

    folders = sorted(products.iterdir())
    root = zarr.create_group(to, zarr_format=3)
    codec = BloscCodec(cname="zstd", clevel=5, shuffle="shuffle")
    for band in EIGHT:
        files = [next(folder.glob(f"*_{band}.TIF")) for folder in folders]
        with rasterio.open(files[0]) as file:
            (height, width), dtype = file.shape, file.dtypes[0]
        sides = [-(-size // 64) * 64 for size in (height, width)]
        array = root.create_array(
            band,
            shape=(len(files), height, width),
            chunks=(DATES, 64, 64),
            shards=(DATES, *sides),
            dtype=dtype,
            compressors=codec,
        )
        for first in range(0, len(files), DATES):
            block = np.zeros((min(DATES, len(files) - first), height, width), dtype)
            for number, path in enumerate(files[first : first + DATES]):
                with rasterio.open(path) as file:
                    block[number] = file.read(1)
            array[first : first + DATES] = block


def _read(ours: Path, loop: Path) -> tuple[float, float, bool]:
    import zarr

    one, other = (zarr.open_group(path, mode="r") for path in (ours, loop))
    same = all(np.array_equal(one[band][...], other[band][...]) for band in EIGHT)
    array, seconds = one["SR_B4"], {"series": [], "map": []}
    for number in range(5):
        begun = time.perf_counter()
        array[:, array.shape[1] // 2 + number, array.shape[2] // 3]
        seconds["series"].append(time.perf_counter() - begun)
        begun = time.perf_counter()
        array[(DATES * number + 3) % array.shape[0]]
        seconds["map"].append(time.perf_counter() - begun)
    return median(seconds["series"]), median(seconds["map"]), same
