"""Bands by one program in a process of its own: ``python -m benchmarks.peers NAME FACTOR OUT FILE...``.

Each peer writes its cells as NumPy arrays, ``OUT/<stem of FILE>.npy``; the parent measures the process and
compares. Each is used as its documentation shows it, on files in place, and with what is cheapest of that:

- continuous bands are averaged; QA_PIXEL, whose flags no peer can reduce, is only decimated (nearest), which
  is less work than ours;
- no peer writes a raster, metadata or a picture, ours writes them all;
- peers that work on arrays get chunks that cut no tile and no cell (the least common multiple of both), read
  without rioxarray's lock, and dask's own threads;
- all are asked for whole cells only (the last, incomplete ones are left out): some would stretch the grid.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

#: Tiles of USGS's files.
TILE = 256


def categorical(path: Path) -> bool:
    """Whether a band holds flags."""
    return "_QA_" in path.stem


def rasterio_decimated(paths: list[Path], factor: int, *, overviews: bool = False, **options) -> list[np.ndarray]:
    import rasterio
    from rasterio.enums import Resampling
    from rasterio.windows import Window

    found = []
    for path in paths:
        method = Resampling.nearest if categorical(path) else Resampling.average
        with rasterio.open(path, **options, **({} if overviews else {"OVERVIEW_LEVEL": "NONE"})) as source:
            shape = tuple(n // factor for n in source.shape)
            window = Window(0, 0, shape[1] * factor, shape[0] * factor)
            found.append(source.read(1, window=window, out_shape=shape, resampling=method))
    return found


def rasterio_overviews(paths: list[Path], factor: int) -> list[np.ndarray]:
    return rasterio_decimated(paths, factor, overviews=True)


def rasterio_threads(paths: list[Path], factor: int) -> list[np.ndarray]:
    return rasterio_decimated(paths, factor, NUM_THREADS="ALL_CPUS")


def libertiff_decode(paths: list[Path], factor: int) -> list[np.ndarray]:
    """Every pixel decoded by GDAL's newest reader of TIFF; no means, but each cell's first pixel."""
    return [pixels[::factor, ::factor].copy() for pixels in _by_libertiff(paths, factor)]


def libertiff_mean(paths: list[Path], factor: int) -> list[np.ndarray]:
    """The same, then means; an output shape would be answered from an overview."""
    read = zip(paths, _by_libertiff(paths, factor), strict=True)
    return [_block_means(pixels, factor, categorical(path)) for path, pixels in read]


def _block_means(pixels: np.ndarray, factor: int, decimated: bool) -> np.ndarray:
    """The simplest mean that is right, of whole cells."""
    if decimated:
        return pixels[factor // 2 :: factor, factor // 2 :: factor]
    blocks = pixels.reshape(pixels.shape[0] // factor, factor, pixels.shape[1] // factor, factor)
    count = np.count_nonzero(blocks, axis=(1, 3))
    total = blocks.sum(axis=(1, 3), dtype=np.uint64)
    return np.rint(total / np.maximum(count, 1)).astype("uint16")


def _by_libertiff(paths: list[Path], factor: int) -> Iterator[np.ndarray]:
    import rasterio
    from rasterio.windows import Window

    with rasterio.Env() as env:
        if "LIBERTIFF" not in env.drivers():
            raise ImportError(f"GDAL {rasterio.__gdal_version__} has no driver LIBERTIFF")
    for path in paths:
        with rasterio.open(path, driver="LIBERTIFF", NUM_THREADS="ALL_CPUS") as source:
            height, width = (n // factor * factor for n in source.shape)
            yield source.read(1, window=Window(0, 0, width, height))


def async_geotiff(paths: list[Path], factor: int) -> list[np.ndarray]:
    """All files at once, on the threads that it takes, then means by NumPy: it reduces nothing itself."""
    import asyncio

    from async_geotiff import GeoTIFF, Window
    from obstore.store import LocalStore

    async def read(path: Path) -> np.ndarray:
        source = await GeoTIFF.open(path.name, store=LocalStore(path.parent))
        height, width = (n // factor * factor for n in source.shape)
        raster = await source.read(window=Window(0, 0, width, height))
        return await asyncio.to_thread(_block_means, raster.data[0], factor, categorical(path))

    async def read_all() -> list[np.ndarray]:
        return await asyncio.gather(*map(read, paths))

    return asyncio.run(read_all())


def rio_tiler(paths: list[Path], factor: int, *, overviews: bool = False) -> list[np.ndarray]:
    import rasterio
    from rasterio.windows import Window
    from rio_tiler.io import Reader

    found = []
    for path in paths:
        method = "nearest" if categorical(path) else "average"
        with (
            rasterio.open(path, **({} if overviews else {"OVERVIEW_LEVEL": "NONE"})) as dataset,
            Reader(str(path), dataset=dataset) as source,
        ):
            height, width = (n // factor for n in dataset.shape)
            window = Window(0, 0, width * factor, height * factor)
            image = source.read(window=window, height=height, width=width, resampling_method=method)
            found.append(image.data[0])
    return found


def rio_tiler_overviews(paths: list[Path], factor: int) -> list[np.ndarray]:
    return rio_tiler(paths, factor, overviews=True)


def xarray_coarsen(paths: list[Path], factor: int) -> list[np.ndarray]:
    import dask
    import rioxarray

    found = []
    for path in paths:
        rows = math.lcm(TILE, factor)
        source = rioxarray.open_rasterio(path, chunks={"y": rows, "x": -1}, lock=False)[0]
        if categorical(path):
            found.append(source[factor // 2 :: factor, factor // 2 :: factor].data)
            continue
        mean = source.where(source != 0).coarsen(y=factor, x=factor, boundary="trim").mean()
        found.append(np.rint(mean.fillna(0)).astype("uint16").data)
    return list(dask.compute(*found))


def odc_stac(paths: list[Path], factor: int, *, overviews: bool = False) -> list[np.ndarray]:
    import odc.stac
    from odc.geo.geobox import GeoBox

    item, frame = _item(paths, factor)
    methods = {path.stem: "nearest" if categorical(path) else "average" for path in paths}
    cube = odc.stac.load(
        [item],
        bands=list(methods),
        geobox=GeoBox(frame["shape"], frame["transform"], frame["crs"]),
        resampling=methods,
        nodata=0,
        chunks={},
        use_overviews=overviews,
    ).compute()
    return [cube[path.stem][0].values for path in paths]


def odc_stac_overviews(paths: list[Path], factor: int) -> list[np.ndarray]:
    return odc_stac(paths, factor, overviews=True)


def stackstac(paths: list[Path], factor: int) -> list[np.ndarray]:
    import dask
    import stackstac as peer
    from rasterio.enums import Resampling

    item, frame = _item(paths, factor)
    place = {"bounds": frame["bounds"], "resolution": frame["step"], "epsg": int(frame["crs"].split(":")[1])}
    found = []
    for path in paths:
        method = Resampling.nearest if categorical(path) else Resampling.average
        cube = peer.stack([item], [path.stem], resampling=method, rescale=False, snap_bounds=False, **place)
        found.append(np.rint(cube[0, 0].fillna(0)).astype("uint16").data)
    return list(dask.compute(*found))


def pyresample(paths: list[Path], factor: int) -> list[np.ndarray]:
    """As satpy uses it: it puts every pixel's centre into its cell by its longitude and latitude."""
    import dask.array as da
    import rioxarray
    from pyresample import AreaDefinition
    from pyresample.bucket import BucketResampler

    found = []
    for path in paths:
        source = rioxarray.open_rasterio(path, chunks={"y": 4 * TILE, "x": -1}, lock=False)[0]
        (height, width), at, crs = source.shape, source.rio.transform(), source.rio.crs.to_wkt()
        fine = AreaDefinition("fine", "", "", crs, width, height, source.rio.bounds())
        rows, columns = height // factor, width // factor
        edges = (at.c, at.f + rows * factor * at.e, at.c + columns * factor * at.a, at.f)
        coarse = AreaDefinition("coarse", "", "", crs, columns, rows, edges)
        buckets = BucketResampler(coarse, *fine.get_lonlats(chunks=4 * TILE))
        mean = buckets.get_average(da.where(source.data == 0, np.nan, source.data.astype("float64")))
        found.append(np.rint(np.nan_to_num(mean.compute())).astype("uint16"))
    return found


def xarray_spatial(paths: list[Path], factor: int) -> list[np.ndarray]:
    """Its `resample` came with 0.10, for Python 3.12; what 3.11 gets has nothing that averages blocks."""
    import rioxarray
    from xrspatial import resample

    found = []
    for path in paths:
        rows = math.lcm(TILE, factor)
        source = rioxarray.open_rasterio(path, chunks={"y": rows, "x": -1}, lock=False)[0]
        height, width = (n // factor * factor for n in source.shape)
        method = "nearest" if categorical(path) else "average"
        mean = resample(source[:height, :width], scale_factor=1 / factor, method=method, nodata=0)
        found.append(np.rint(mean.fillna(0)).astype("uint16").values)
    return found


def xcube_resampling(paths: list[Path], factor: int) -> list[np.ndarray]:
    """Block means, then bilinear between them, as it does by default: on cells that are blocks of the source too."""
    import rioxarray
    from xcube_resampling import affine_transform_dataset
    from xcube_resampling.gridmapping import GridMapping

    found = []
    for path in paths:
        rows = math.lcm(TILE, factor)
        opened = rioxarray.open_rasterio(path, chunks={"y": rows, "x": -1}, lock=False)[0].drop_vars("band")
        height, width = (n // factor for n in opened.shape)
        source = opened[: height * factor, : width * factor]
        fill = source.where(source != 0) if not categorical(path) else source
        west, _, _, north = source.rio.bounds()
        step = abs(source.rio.resolution()[0]) * factor
        first = (west + step / 2, north - (height - 0.5) * step)  # the centre of the first cell from below
        target = GridMapping.regular((width, height), first, step, source.rio.crs.to_string(), tile_size=1024)
        method = "center" if categorical(path) else "mean"
        made = affine_transform_dataset(fill.to_dataset(name="cells"), target, agg_methods=method)
        found.append(np.rint(np.nan_to_num(made["cells"].values)).astype("uint16"))
    return found


def _item(paths: list[Path], factor: int):
    """A STAC item about some files of one grid, and the coarse grid of whole cells."""
    import datetime

    import pystac
    import rasterio
    from rasterio.warp import transform_bounds

    with rasterio.open(paths[0]) as source:
        shape, transform, crs = source.shape, source.transform, source.crs.to_string()
    coarse = tuple(n // factor for n in shape)
    wide = transform @ transform.scale(factor)
    bounds = (wide.c, wide.f + coarse[0] * wide.e, wide.c + coarse[1] * wide.a, wide.f)
    west, south, east, north = lonlat = transform_bounds(crs, "EPSG:4326", *bounds)
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    facts = {"proj:code": crs, "proj:epsg": int(crs.split(":")[1]), "proj:shape": list(shape)}
    facts["proj:transform"] = list(transform)[:6]
    when = datetime.datetime(2023, 7, 14, tzinfo=datetime.UTC)
    extension = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
    geometry = {"type": "Polygon", "coordinates": [ring]}
    item = pystac.Item("scene", geometry, list(lonlat), when, facts, stac_extensions=[extension])
    for path in paths:
        item.add_asset(path.stem, pystac.Asset(str(path), media_type=pystac.MediaType.COG, roles=["data"]))
    return item, {"shape": coarse, "transform": wide, "crs": crs, "bounds": bounds, "step": wide.a}


OTHER = "(not the same answer)"
COARSEN, ODC, STACKSTAC = "rioxarray + xarray coarsen", "odc-stac, full resolution", "stackstac"
THREADS = "rasterio decimated read, full resolution, on all cores"
DECODE = f"GDAL's LIBERTIFF, decoding alone, on all cores {OTHER}"
MEAN = "GDAL's LIBERTIFF, on all cores, means by NumPy"
ASYNC = "async-geotiff, means by NumPy"
PEERS = {
    "rasterio decimated read, full resolution": rasterio_decimated,
    THREADS: rasterio_threads,
    DECODE: libertiff_decode,
    MEAN: libertiff_mean,
    f"rasterio decimated read, overviews {OTHER}": rasterio_overviews,
    COARSEN: xarray_coarsen,
    ODC: odc_stac,
    f"odc-stac, overviews {OTHER}": odc_stac_overviews,
    STACKSTAC: stackstac,
    "rio-tiler, full resolution": rio_tiler,
    f"rio-tiler, overviews {OTHER}": rio_tiler_overviews,
    "pyresample BucketResampler": pyresample,
    "xarray-spatial resample": xarray_spatial,
    "xcube-resampling, means": xcube_resampling,
    ASYNC: async_geotiff,
}
#: Takes a minute a band: measured once.
SLOW = ("pyresample BucketResampler",)


def main(name: str, factor: str, out: str, *files: str) -> int:
    """Do it; return 3 where the peer is not installed, or not in a version that can."""
    paths = [Path(file).resolve() for file in files]
    try:
        arrays = PEERS[name](paths, int(factor))
    except ModuleNotFoundError as error:
        print(f"absent: {error.name} is not installed", file=sys.stderr)
        return 3
    except ImportError as error:
        print(f"absent: {error}", file=sys.stderr)
        return 3
    Path(out).mkdir(exist_ok=True)
    for path, array in zip(paths, arrays, strict=True):
        np.save(Path(out) / f"{path.stem}.npy", array)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
