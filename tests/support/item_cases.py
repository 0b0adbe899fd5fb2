"""STAC items of a synthetic scene as others write them: the layout and the oddities of each, without a download."""

from __future__ import annotations

from pathlib import Path

USGS_DATA = "https://landsatlook.usgs.gov/data"
BLOB = "https://landsateuwest.blob.core.windows.net/landsat-c2"
API = "https://planetarycomputer.microsoft.com/api"
#: Keys of assets that Planetary Computer does not name after the file.
KEYS = {"ST_QA": "qa", "SR_B4": "red", "SR_B5": "nir08", "ST_B10": "lwir11", "SR_QA_AEROSOL": "qa_aerosol"}


def names(folder: Path) -> dict[str, str]:
    """File names of a scene by what follows its ID, without the ending of images."""
    found = sorted(path.name for path in folder.glob(f"{folder.name}_*") if not path.name.endswith("stac.json"))
    return {name.removeprefix(f"{folder.name}_").removesuffix(".TIF"): name for name in found}


def usgs_item(folder: Path, *, alternates: bool = True, level: int = 2) -> dict:
    """An item as USGS writes one: hrefs of its own web page, copies in a bucket whose readers pay, multihashes."""
    place = f"collection02/level-{level}/standard/oli-tirs/2019/008/059/{folder.name}"
    assets = {"index": {"href": f"https://landsatlook.usgs.gov/stac-browser/{place}", "type": "text/html"}}
    for kind, name in names(folder).items():
        asset = {"href": f"{USGS_DATA}/{place}/{name}", "file:checksum": "1340" + "00" * 64}
        if alternates:
            asset["alternate"] = {"s3": {"href": f"s3://usgs-landsat/{place}/{name}", "storage:requester_pays": True}}
        assets[kind.partition(".")[0].lower()] = asset
    properties = {"datetime": "2019-12-01T15:13:51.861099Z", "platform": "LANDSAT_8", "created": "2022-07-06T18:20:21Z"}
    return {"type": "Feature", "id": folder.name, "properties": properties, "assets": assets, "links": []}


def dated_item(folder: Path) -> dict:
    """An item as USGS wrote them in 2020: STAC 0.7, a bare date, platform and sun under ``eo:``, keys with endings."""
    place = f"{USGS_DATA}/collection02/level-2/standard/tm/1998/090/084/{folder.name}"
    properties = {"datetime": "1998-03-08", "eo:platform": "LANDSAT_5", "eo:instrument": "TM", "eo:off_nadir": 0}
    properties |= {"eo:sun_azimuth": 61.29879916, "eo:sun_elevation": 41.58326399, "landsat:wrs_row": "084"}
    properties["eo:bands"] = [{"name": "ST_B6", "common_name": "tir11", "gsd": 30, "center_wavelength": 11.45}]
    assets = {"thumbnail": {"href": f"{place}/{folder.name}_thumb_small.jpeg", "type": "image/jpeg"}}
    tif = "image/vnd.stac.geotiff; cloud-optimized=true"
    for kind, name in names(folder).items():
        key, media = (kind, "text/plain") if "." in kind else (f"{kind}.TIF", tif)
        assets[key] = {"href": f"{place}/{name}", "type": media}
    record = {"type": "Feature", "id": folder.name, "stac_version": "0.7.0", "properties": properties}
    return record | {"description": "Landsat Collection 2", "assets": assets, "links": []}


def planetary_item(folder: Path, *, level: int = 2) -> dict:
    """An item as Planetary Computer writes one: no processing date in its ID, common names, bands and codes at length,
    and pictures that are computed when they are asked for."""
    number = folder.name.split("_")
    item_id = "_".join(number[:4] + number[5:])
    place = f"{BLOB}/level-{level}/standard/oli-tirs/2023/192/028/{folder.name}"
    preview = f"{API}/data/v1/item/preview.png?item={item_id}&assets=red"
    assets = {"rendered_preview": {"href": preview, "type": "image/png", "roles": ["overview"]}}
    assets["tilejson"] = {"href": f"{API}/data/v1/item/tilejson.json?item={item_id}", "type": "application/json"}
    for kind, name in names(folder).items():
        words = f"Collection 2 Level-{level} {kind} of a sensor of Landsat, as the USGS describes it at length"
        asset = {"href": f"{place}/{name}", "title": words, "description": words, "roles": ["data"]}
        if kind.startswith("QA"):
            classes = [{"name": f"level_{n}", "value": n, "description": words} for n in range(4)]
            asset["classification:bitfields"] = [
                {"name": f"bits_{n}", "offset": n, "length": 2, "classes": classes, "description": words}
                for n in range(0, 16, 2)
            ]
        assets[KEYS.get(kind, kind.lower())] = asset
    properties = {"datetime": "2023-07-14T10:02:33.477296Z", "platform": "landsat-8", "eo:cloud_cover": 97.54}
    properties |= {"created": "2023-08-01T00:00:00Z", "sci:doi": "10.5066/P9OGBGM6", "description": "Landsat"}
    properties |= {"proj:epsg": 32633, "landsat:correction": "L2SP", "landsat:wrs_path": "192"}
    self_link = {"rel": "self", "href": f"{API}/stac/v1/collections/landsat-c2-l{level}/items/{item_id}"}
    return {"type": "Feature", "id": item_id, "properties": properties, "assets": assets, "links": [self_link]}
