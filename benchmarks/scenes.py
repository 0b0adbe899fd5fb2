"""What is measured: one synthetic scene of full size, made once, and one band grown sixteenfold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio

import landsat_downsample as ld

CACHE = Path(__file__).parent / ".cache"

#: What a scene of eight bands holds: seven continuous ones of 16 bits, and the flags.
EIGHT = (*(f"SR_B{n}" for n in range(1, 8)), "QA_PIXEL")
#: Two more, so that two workers can share bands evenly: flags cost a third of the others.
TEN = (*EIGHT[:-1], "ST_B10", "QA_PIXEL", "SR_QA_AEROSOL")

#: (width, height) of the smallest of the growing bands: whole tiles, so that all of them hold the same tiles.
SEED_SIZE = (1792, 2048)
#: How often it is repeated, down and across.
REPEATED = ((1, 1), (1, 2), (2, 2), (2, 4), (4, 4))


def full_scene(cache: Path = CACHE, size: tuple[int, int] | None = None) -> Path:
    """The scene with `TEN` bands, of the size of a real one (7641 x 7801 pixels) unless another is asked for."""
    return _made(cache / ("full" if size is None else f"{size[0]}x{size[1]}"), TEN, size)


def dates(cache: Path = CACHE, size: tuple[int, int] | None = None) -> list[Path]:
    """Three dates of one frame with `EIGHT` bands, of full size unless another is asked for."""
    folder = cache / ("dates" if size is None else f"dates-{size[0]}x{size[1]}")
    made = sorted(folder.glob("L*")) if folder.is_dir() else []
    if len(made) == 3 and all((scene / f"{scene.name}_MTL.txt").exists() for scene in made):
        return made
    return [Path(one) for one in ld.make_scenes(folder, dates=3, bands=EIGHT, size=size, seed=1)]


def band_of(scene: Path, band: str) -> Path:
    """The file of one band."""
    (path,) = scene.glob(f"*_{band}.TIF")
    return path


def growing_bands(cache: Path, size: tuple[int, int] = SEED_SIZE) -> list[Path]:
    """SR_B4 of one small scene, repeated 1, 2, 4, 8 and 16 times: the same tiles, so only their number grows."""
    seed = band_of(_made(cache / f"seed-{size[0]}x{size[1]}", ("SR_B4",), size), "SR_B4")
    return [_repeated(seed, times) for times in REPEATED]


def _made(folder: Path, bands: tuple[str, ...], size: tuple[int, int] | None) -> Path:
    made = sorted(folder.glob("L*")) if folder.is_dir() else []
    if made and list(made[0].glob("*_MTL.txt")) and all(list(made[0].glob(f"*_{band}.TIF")) for band in bands):
        return made[0]
    return ld.make_scene(folder, bands=bands, size=size, seed=1)


def _repeated(seed: Path, times: tuple[int, int]) -> Path:
    folder = seed.parent.parent / f"repeated-{times[0]}x{times[1]}"
    path = folder / seed.name
    if path.exists():
        return path
    folder.mkdir(exist_ok=True)
    with rasterio.open(seed) as source:
        data = np.tile(source.read(1), times)
        profile = {"crs": source.crs, "transform": source.transform, "nodata": source.nodata, "dtype": data.dtype}
    profile |= {"driver": "COG", "count": 1, "height": data.shape[0], "width": data.shape[1], "overviews": "NONE"}
    profile |= {"blocksize": 256, "compress": "DEFLATE", "level": 1, "predictor": "STANDARD"}  # as in make_scene
    half = path.with_suffix(".half")
    with rasterio.open(half, "w", num_threads="ALL_CPUS", **profile) as target:
        target.write(data, 1)
    half.rename(path)
    return path
