"""One band by one program in a process of its own: ``python -m benchmarks.peers NAME FILE FACTOR OUT``.

Each peer writes its means as a NumPy array to OUT; the parent measures the process and compares.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np


def rasterio_decimated(path, factor, *, overviews=False):
    import rasterio
    from rasterio.enums import Resampling
    from rasterio.windows import Window

    with rasterio.open(path, **({} if overviews else {"OVERVIEW_LEVEL": "NONE"})) as source:
        shape = tuple(n // factor for n in source.shape)
        window = Window(0, 0, shape[1] * factor, shape[0] * factor)
        return source.read(1, window=window, out_shape=shape, resampling=Resampling.average)


def rasterio_overviews(path, factor):
    return rasterio_decimated(path, factor, overviews=True)


def xarray_coarsen(path, factor):
    import rioxarray

    source = rioxarray.open_rasterio(path, chunks={"y": 256 * factor, "x": -1}, lock=False)[0]
    mean = source.where(source != 0).coarsen(y=factor, x=factor, boundary="pad").mean()
    return np.rint(mean.fillna(0)).astype("uint16").compute().values


def odc_stac(path, factor):
    import odc.stac

    item, frame = _item(path, factor)
    box = odc.geo.geobox.GeoBox(frame["shape"], frame["transform"], frame["crs"])
    return odc.stac.load([item], bands=["band"], geobox=box, resampling="average", nodata=0).band[0].values


def stackstac(path, factor):
    import stackstac as peer
    from rasterio.enums import Resampling

    item, frame = _item(path, factor)
    options = {"bounds": frame["bounds"], "resolution": frame["step"], "epsg": int(frame["crs"].split(":")[1])}
    cube = peer.stack([item], ["band"], resampling=Resampling.average, rescale=False, snap_bounds=False, **options)
    return np.rint(cube[0, 0].fillna(0)).astype("uint16").compute().values


def _item(path, factor):
    """A STAC item about one file, and the coarse grid."""
    import datetime

    import pystac
    import rasterio
    from rasterio.warp import transform_bounds

    with rasterio.open(path) as source:
        shape, transform, crs = source.shape, source.transform, source.crs.to_string()
    coarse = tuple(n // factor for n in shape)
    wide = transform @ transform.scale(factor)
    bounds = (wide.c, wide.f + coarse[0] * wide.e, wide.c + coarse[1] * wide.a, wide.f)
    lonlat = transform_bounds(crs, "EPSG:4326", *bounds)
    west, south, east, north = lonlat
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    facts = {"proj:code": crs, "proj:epsg": int(crs.split(":")[1]), "proj:shape": list(shape)}
    facts["proj:transform"] = list(transform)[:6]
    when = datetime.datetime(2023, 7, 14, tzinfo=datetime.UTC)
    extension = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
    geometry = {"type": "Polygon", "coordinates": [ring]}
    item = pystac.Item("scene", geometry, list(lonlat), when, facts, stac_extensions=[extension])
    item.add_asset("band", pystac.Asset(str(path), media_type=pystac.MediaType.COG, roles=["data"]))
    return item, {"shape": coarse, "transform": wide, "crs": crs, "bounds": bounds, "step": wide.a}


def rio_tiler(path, factor):
    from rio_tiler.io import Reader

    with Reader(path) as source:
        shape = (-(-source.dataset.height // factor), -(-source.dataset.width // factor))
        return source.read(height=shape[0], width=shape[1], resampling_method="average").data[0]


PEERS = {
    "rasterio decimated read, average, full resolution": rasterio_decimated,
    "rasterio decimated read, overviews (not the same answer)": rasterio_overviews,
    "rioxarray + xarray coarsen": xarray_coarsen,
    "odc-stac (takes overviews)": odc_stac,
    "stackstac": stackstac,
    "rio-tiler (not the same answer)": rio_tiler,
}

if __name__ == "__main__":
    name, path, factor, out = sys.argv[1:]
    try:
        result = PEERS[name](Path(path), int(factor))
    except ModuleNotFoundError as error:
        print(f"absent: {error.name}")
        sys.exit(3)
    np.save(out, result)
