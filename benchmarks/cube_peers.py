"""Full-size scenes to a Zarr store of coarse cells: ``python -m benchmarks.cube_peers NAME FACTOR OUT SCENE...``.

Each library as its documentation shows it, on files in place, without overviews (cells made of those are other ones):

- continuous bands are averaged, QA_PIXEL is decimated (nearest), which is less work than its flags;
- the cells are those of ours, a lattice of the zone; no peer writes COGs, items, counts of pixels or flags;
- Zarr's default chunks and codec, which for one date are a file a band.

Ours is ``run`` and then ``cube``: products with all that belongs to them, and the store made of them.
"""

from __future__ import annotations

import math
import shlex
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks import peers
from benchmarks.scenes import EIGHT, band_of
from benchmarks.whole import Cost, run

#: (x, y) of a corner of the zone's lattice: Landsat's pixels lie half a pixel beside the origin.
LATTICE = -15.0, 15.0


@dataclass(frozen=True, slots=True)
class Store:
    """What making one took, and how it compares with ours."""

    cost: Cost | None
    answer: str


def measure(scenes: list[Path], factor: int) -> dict[str, Store]:
    """A store by ours and by each peer, once."""
    with tempfile.TemporaryDirectory() as folder:
        return _measured(scenes, factor, Path(folder))


def _measured(scenes: list[Path], factor: int, folder: Path) -> dict[str, Store]:
    program, paths = f"{shlex.quote(sys.executable)} -m landsat_downsample", shlex.join(map(str, scenes))
    to = folder / "ours.zarr"
    ours = (
        f"{program} run {paths} --factor {factor} --bands {','.join(EIGHT)} --to {folder}/products"
        f" && {program} cube {folder}/products --to {to} --bands {','.join(EIGHT)}"
    )
    cost, words = run(("sh", "-c", ours))
    found = {"ours": Store(cost, words)}
    for name in PEERS:
        out = folder / f"{name}.zarr"
        words = (sys.executable, "-m", "benchmarks.cube_peers", name, str(factor), str(out), *map(str, scenes))
        cost, said = run(words)
        found[name] = Store(cost, said or _compared(to, out))
    return found


def _compared(ours: Path, other: Path) -> str:
    """How means of a peer differ from ours, in cells that hold data in both."""
    import xarray as xr

    one, two = (xr.open_zarr(path, mask_and_scale=False)["SR_B4"] for path in (ours, other))
    both = {axis: np.intersect1d(one[axis], two[axis]) for axis in ("x", "y")}
    one, two = (np.asarray(array.sel(both)).astype("int64") for array in (one, two))
    if one.shape != two.shape or 0 in one.shape:
        return f"other cells: {one.shape}, {two.shape}"
    error = np.abs(one - two)[(one > 0) & (two > 0)]
    return f"{100 * (error <= 1).mean():.2f} % of cells within 1, 99.9 % within {np.quantile(error, 0.999):.0f}"


def _items(scenes: list[Path], factor: int):
    """STAC items of scenes with an asset for each band, and the lattice's cells that they have together."""
    items, frames = [], []
    for scene in scenes:
        item, frame = peers._item([band_of(scene, band) for band in EIGHT], factor)
        item.id, item.datetime = scene.name, datetime.strptime(scene.name[17:25], "%Y%m%d").replace(tzinfo=UTC)
        item.assets = dict(zip(EIGHT, item.assets.values(), strict=True))
        items.append(item)
        frames.append(frame)
    step = frames[0]["step"]
    left, bottom, right, top = zip(*(frame["bounds"] for frame in frames), strict=True)
    (x, y), floor, ceil = LATTICE, math.floor, math.ceil
    bounds = (
        floor((min(left) - x) / step) * step + x,
        floor((min(bottom) - y) / step) * step + y,
        ceil((max(right) - x) / step) * step + x,
        ceil((max(top) - y) / step) * step + y,
    )
    return items, bounds, step, frames[0]["crs"]


def odc_stac(scenes: list[Path], factor: int, out: Path) -> None:
    import odc.stac
    from affine import Affine
    from odc.geo.geobox import GeoBox

    items, bounds, step, crs = _items(scenes, factor)
    methods = {band: "nearest" if band == "QA_PIXEL" else "average" for band in EIGHT}
    shape = round((bounds[3] - bounds[1]) / step), round((bounds[2] - bounds[0]) / step)
    box = GeoBox(shape, Affine(step, 0, bounds[0], 0, -step, bounds[3]), crs)
    cube = odc.stac.load(
        items,
        bands=EIGHT,
        geobox=box,
        resampling=methods,
        nodata=0,
        dtype="uint16",
        chunks={},
        use_overviews=False,
        groupby="id",
    )
    cube.to_zarr(out)


def stackstac(scenes: list[Path], factor: int, out: Path) -> None:
    import stackstac as peer
    import xarray as xr
    from rasterio.enums import Resampling

    items, bounds, step, crs = _items(scenes, factor)
    for item in items:
        for asset in item.assets.values():  # it has no option for overviews
            asset.href = f"vrt://{asset.href}?oo=OVERVIEW_LEVEL%3DNONE"
    records = [item.to_dict() for item in items]
    for record in records:  # which pystac takes out, and it looks for
        record["properties"]["proj:epsg"] = int(crs.split(":")[1])
    place = {"bounds": bounds, "resolution": step, "epsg": int(crs.split(":")[1]), "snap_bounds": False}
    found = []
    for method, bands in ((Resampling.average, [*EIGHT[:-1]]), (Resampling.nearest, ["QA_PIXEL"])):
        how = {"resampling": method, "rescale": False, "dtype": "uint16", "fill_value": np.uint16(0)}
        cube = peer.stack(records, bands, xy_coords="center", **how, **place)
        found.append(cube.reset_coords(drop=True).to_dataset("band"))
    xr.merge(found).drop_attrs().to_zarr(out)


PEERS = {"odc-stac": odc_stac, "stackstac": stackstac}


def main(name: str, factor: str, out: str, *scenes: str) -> int:
    """Do it; return 3 where the peer is not installed."""
    try:
        PEERS[name]([Path(scene).resolve() for scene in scenes], int(factor), Path(out))
    except ModuleNotFoundError as error:
        print(f"absent: {error.name} is not installed", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
