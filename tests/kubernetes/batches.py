"""Batches of scenes from S3 to S3, and what became of them."""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import command

import landsat_downsample as ld

BUCKET, PRODUCTS = "scenes", "products"
DEST = f"s3://{BUCKET}/{PRODUCTS}"

#: Enough of a scene: surface reflectance, temperature, quality; and as much of a large one as is worth its bytes.
BANDS = ("SR_B1", "SR_B4", "SR_B5", "ST_B10", "QA_PIXEL")
FEWER = ("SR_B1", "SR_B4", "QA_PIXEL")

#: Pixels across from which a scene counts as large.
LARGE = 5000


@dataclass(frozen=True, slots=True)
class Taken:
    """What a run left under `DEST`."""

    objects: dict[str, str]
    """Digest of each object of a product, by key."""
    outcomes: list[dict]
    """Of the run's record; empty where a run keeps none."""


def upload(
    client, folder: Path, sizes: list[tuple[int, int]], *, damaged: int | None = None, only: tuple[str, ...] = ()
) -> list[str]:
    """Make scenes of these sizes and store them; SR_B1 of number ``damaged`` has wrong bytes after a right header.

    Returns
    -------
    list of str
        An href for each scene, no two of one name.
    """

    def store(number: int) -> str:
        bands = only or (FEWER if sizes[number][0] >= LARGE else BANDS)
        made = ld.make_scene(folder / str(number), size=sizes[number], seed=number, bands=bands)
        name = _own_name(made.name, number)
        for path in made.iterdir():
            data = path.read_bytes()
            if path.suffix != ".TIF":
                data = data.replace(made.name.encode(), name.encode())
            elif number == damaged and path.name.endswith("_SR_B1.TIF"):
                middle = len(data) // 2
                data = data[:middle] + bytes(byte ^ 0x55 for byte in data[middle : middle + 64]) + data[middle + 64 :]
            client.put_object(Bucket=BUCKET, Key=f"sources/{name}/{path.name.replace(made.name, name)}", Body=data)
            path.unlink()
        return f"s3://{BUCKET}/sources/{name}"

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(store, range(len(sizes))))


def _own_name(name: str, number: int) -> str:
    """A product ID with a path and a row that no other number has: synthetic scenes are all of one place."""
    words = name.split("_")
    words[2] = f"{1 + number // 100:03d}{1 + number % 100:03d}"
    return "_".join(words)


def start(
    folder: Path, hrefs: list[str], *words: object, cells: tuple[str, str] = ("--factor", "7")
) -> subprocess.Popen:
    """Start the command that reduces a list of scenes; `reported` gives what it said."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = folder / "scenes.txt"
    listed.write_text("".join(f"{href}\n" for href in hrefs))
    with open(folder / "out", "wb") as out, open(folder / "err", "wb") as err:
        return command.spawn("run", f"@{listed}", "--to", DEST, *cells, *words, stdout=out, stderr=err)


def reported(folder: Path) -> tuple[str, str]:
    """What the command of `start` wrote to stdout and stderr."""
    return (folder / "out").read_text(), (folder / "err").read_text()


def keys(client) -> list[str]:
    """Keys of all that lies under the products' prefix."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{PRODUCTS}/")
    return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


def await_products(client, count: int, running: Callable[[], bool], seconds: float = 240) -> None:
    """Wait until some products are whole while the run is still on."""
    until = time.monotonic() + seconds
    while sum(key.endswith(".stac.json") for key in keys(client)) < count:
        assert running(), "the run ended before it could be disturbed"
        assert time.monotonic() < until
        time.sleep(0.3)
    assert running()


def take(client) -> Taken:
    """Take all that a run left; the next one makes it anew, to the same place."""
    objects, outcomes = {}, []
    for key in keys(client):
        data = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        client.delete_object(Bucket=BUCKET, Key=key)
        if "_downsampled/" in key:  # the catalogue beside products says when they were written
            objects[key] = hashlib.sha256(data).hexdigest()
        elif key.endswith("/outcomes.ndjson"):
            outcomes += [json.loads(line) for line in data.splitlines()]
    return Taken(objects, outcomes)


def kill(api, namespace: str, pod: str):
    """Kill a pod without notice, as the end of its node does."""
    return api.request("DELETE", "v1", f"namespaces/{namespace}/pods/{pod}", {"gracePeriodSeconds": 0})
