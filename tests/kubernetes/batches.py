"""Batches of scenes from S3 to S3, and what became of them."""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import landsat_downsample as ld

BUCKET, PRODUCTS = "scenes", "products"

#: Enough of a scene: surface reflectance, temperature, quality.
BANDS = ("SR_B1", "SR_B4", "SR_B5", "ST_B10", "QA_PIXEL")


def upload(client, folder: Path, sizes: list[tuple[int, int]], *, damaged: int | None = None) -> list[str]:
    """Make scenes of these sizes and store them; SR_B1 of number ``damaged`` has wrong bytes after a right header."""

    def store(number: int) -> str:
        made = ld.make_scene(folder / str(number), size=sizes[number], seed=number, bands=BANDS)
        for path in made.iterdir():
            data = path.read_bytes()
            if number == damaged and path.name.endswith("_SR_B1.TIF"):
                middle = len(data) // 2
                data = data[:middle] + bytes(byte ^ 0x55 for byte in data[middle : middle + 64]) + data[middle + 64 :]
            client.put_object(Bucket=BUCKET, Key=f"sources/{number}/{made.name}/{path.name}", Body=data)
        return f"s3://{BUCKET}/sources/{number}/{made.name}"

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(store, range(len(sizes))))


def run(hrefs: list[str], client, *, numbers: list[int] | None = None) -> list[ld.Outcome]:
    """Reduce scenes, each to a place of its own since many have one name; on a dask client or in this process."""
    places = [f"s3://{BUCKET}/{PRODUCTS}/{number}" for number in numbers or range(len(hrefs))]
    plans = [ld.plan(href, place, factor=7)[0] for href, place in zip(hrefs, places, strict=True)]
    try:
        return ld.run(plans, client=client)
    except ld.RunError as error:
        return list(error.outcomes)


def keys(client) -> list[str]:
    """Keys of all that lies under the products' prefix."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{PRODUCTS}/")
    return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


def await_products(client, count: int, running: Future) -> None:
    """Wait until some products are whole while the run is still on."""
    until = time.monotonic() + 120
    while sum(key.endswith(".stac.json") for key in keys(client)) < count:
        assert not running.done(), "the run ended before it could be disturbed"
        assert time.monotonic() < until
        time.sleep(0.2)
    assert not running.done()


def take(client) -> dict[str, str]:
    """Digest of every object of the products, which are deleted: the next run makes them anew, to the same place."""
    found = {}
    for key in keys(client):
        found[key] = hashlib.sha256(client.get_object(Bucket=BUCKET, Key=key)["Body"].read()).hexdigest()
        client.delete_object(Bucket=BUCKET, Key=key)
    return found


def kill(api, namespace: str, pod: str):
    """Kill a pod without notice."""
    return api.request("DELETE", "v1", f"namespaces/{namespace}/pods/{pod}", {"gracePeriodSeconds": 0})
