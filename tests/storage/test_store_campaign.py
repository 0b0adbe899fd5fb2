"""Hundreds of seeded runs against faults: nothing wrong, nothing half, nothing tried beyond its budget."""

from __future__ import annotations

import collections
import contextlib
import random
import time

import numpy as np
import pytest
import s3
from conftest_s3 import figures, proxied, seaweed  # noqa: F401 - fixtures
from fault_proxy import FAULTS, FaultProxy, FileServer
from tiffs import pixels, read, tiff

from landsat_downsample.errors import LandsatDownsampleError
from landsat_downsample.model.location import Location
from landsat_downsample.model.policy import Policy
from landsat_downsample.storage import files as store
from landsat_downsample.storage.publication import Publication

RUNS = 600
POLICY = Policy(budget=1000, timeout=0.3, base=0.002, cap=0.02)
SHORT = Policy(budget=1.5, timeout=0.12, base=0.002, cap=0.02)
SHAPE = (500, 400)
NAME = "LC08_downsampled"
MARKER = f"{NAME}.stac.json"
TEXT = b"GROUP = LANDSAT_METADATA_FILE\n  REFLECTANCE_MULT_BAND_4 = 2.75e-05\nEND\n" * 20


def sources() -> dict[str, bytes]:
    array = pixels(*SHAPE)
    return {
        "cog.TIF": tiff(array, "COG", compress="DEFLATE", predictor=2, blocksize=128),
        "bare.TIF": tiff(array, blockysize=32),
        "lzw.TIF": tiff(array, tiled=True, blockxsize=128, blockysize=128, compress="LZW"),
        "MTL.txt": TEXT,
    }


#: What would lie rather than fail comes more often; what only takes time, less.
WEIGHTS = {"flip": 4, "short": 3, "lost": 2, "stall": 0.5, "silence": 0.5}


def for_ever(run: int) -> bool:
    return run % 40 == 39


def plan(rng: random.Random, run: int) -> list[str | None]:
    """Draw the faults of one run: a few, among requests that pass; in every 40th one kind for ever."""
    if for_ever(run):
        return [FAULTS[run // 40 % len(FAULTS)]] * 10_000
    drawn = rng.choices(FAULTS, [WEIGHTS.get(fault, 1) for fault in FAULTS], k=rng.randint(1, 5))
    return [fault if rng.random() < 0.6 else None for fault in drawn]


def read_run(base: str, name: str, size: int | None, policy: Policy) -> bool:
    """Read one object, its size planned or not; True if every pixel or byte is right."""
    href = Location(base) / name
    if name == "MTL.txt":
        return store.read_bytes(href, policy=policy) == TEXT
    with store.fetch(store.FetchRequest(href, size=size, policy=policy)) as file:
        return bool(np.array_equal(read(file.gdal_path), pixels(*SHAPE)))


def write_run(dest: str, policy: Policy) -> dict[str, bytes]:
    """Publish one product; on failure clean up as a runner does."""
    files = {f"LC08_B{i}.TIF": bytes([i]) * 3000 for i in range(2)}
    publication = Publication(dest, NAME, policy=policy)
    try:
        expected = {name: publication.put(name, data) for name, data in files.items()}
        publication.commit(MARKER, b'{"id": 1}', expected=expected)
    except LandsatDownsampleError:
        # Where the store still fails, what is left has no marker.
        with contextlib.suppress(LandsatDownsampleError):
            publication.abort()
        raise
    return files


def look(client, prefix: str) -> dict[str, bytes]:
    """See what is there, without our own code."""
    listed = client.list_objects_v2(Bucket=s3.BUCKET, Prefix=prefix).get("Contents", [])
    keys = [entry["Key"] for entry in listed]
    return {key.rpartition("/")[2]: client.get_object(Bucket=s3.BUCKET, Key=key)["Body"].read() for key in keys}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_fault_campaign(proxied, seaweed, figures):  # noqa: F811
    rng = random.Random(20260801)
    client = seaweed.client()
    count: collections.Counter = collections.Counter()
    began = time.monotonic()
    stored = sources()
    for name, data in stored.items():
        client.put_object(Bucket=s3.BUCKET, Key=f"campaign/{name}", Body=data)
    with FileServer({f"/{name}": data for name, data in stored.items()}) as web, FaultProxy(web.endpoint) as http:
        for run in range(RUNS):
            kind = rng.choice(["s3", "http", "write"])
            proxy = http if kind == "http" else proxied
            proxy.plan(*plan(rng, run))
            dest, policy = f"s3://{s3.BUCKET}/campaign-out/{run}", SHORT if for_ever(run) else POLICY
            try:
                if kind == "write":
                    files = write_run(dest, policy)
                else:
                    base = http.endpoint if kind == "http" else f"s3://{s3.BUCKET}/campaign"
                    name = rng.choice(["cog.TIF", "cog.TIF", "bare.TIF", "lzw.TIF", "MTL.txt"])
                    if not read_run(base, name, rng.choice([None, len(stored[name])]), policy):
                        count["wrong"] += 1
                        faults = [seen.fault for seen in proxy.seen]
                        figures.lines.append(f"wrong: run {run}, {kind} {name}, faults {faults}")
                outcome = "done"
            except LandsatDownsampleError:
                outcome = "refused"
            count["late"] += for_ever(run) and not proxy.faults  # it ended with the faults, not with its budget
            count[f"{kind} {outcome}"] += 1
            count["faults"] += sum(seen.fault is not None for seen in proxy.seen)
            if kind == "write":
                found = look(client, f"campaign-out/{run}/")
                whole = {**files, MARKER: b'{"id": 1}'} if outcome == "done" else None
                count["half"] += (found != whole) if whole else (MARKER in found and len(found) < 3)
    figures.lines.append(
        f"fault campaign: {RUNS} runs, {count['faults']} faults in {time.monotonic() - began:.0f} s; "
        f"wrong {count['wrong']}, half products {count['half']}, "
        f"past the budget {count['late']}; " + ", ".join(f"{key} {count[key]}" for key in sorted(count) if " " in key)
    )
    assert (count["wrong"], count["half"], count["late"]) == (0, 0, 0)
    assert count["s3 done"] + count["http done"] + count["write done"] > 0.85 * RUNS
