"""What scenes cost in CPU time, requests, bytes and dollars, estimated from their plans. Pure.

Costs add up and scale: a million scenes cost a million times the mean of those that were planned.
What is counted is a first run in which nothing fails: no retries, no record of the run (a PUT each
5 seconds, two LIST a scene), no try of its destination (a PUT and a DELETE), no search, no start of a cluster.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

from landsat_downsample.errors import UsageError
from landsat_downsample.model.band import Band
from landsat_downsample.model.family import access_rule
from landsat_downsample.model.location import WEB, Location
from landsat_downsample.model.plan import ScenePlan
from landsat_downsample.model.target import Target, bytes_of_cell
from landsat_downsample.pipeline.band import PREVIEW
from landsat_downsample.products.browse import MAX_SIDE
from landsat_downsample.products.grid_facts import why_no_mtl
from landsat_downsample.storage.fetch_request import HEADER, MAX_SPANS, PARTIAL, WORTHWHILE, PixelWindow

# CPU seconds: `python -m benchmarks.coefficients`, 2026-11-28, on 2 vCPUs at rest (Intel Xeon, 2.5 GHz), with the C
# kernel; without it a band takes four times as much. Where others use the machine too, a third more.

#: To decode, check and reduce a pixel, by the kind of the band; medians and modes take longer.
PIXEL = {"continuous": 4.8e-9, "bits": 1.9e-9}

#: To make a cell, besides its pixels: flag by flag where it holds bits.
CELL = {"continuous": 35e-9, "bits": 33e-9}

#: To encode, hash and store a byte of cells, overviews included.
CELL_BYTE = 24e-9

#: To add up its square and compare it, where several statistics are asked for.
MOMENTS = 0.6e-9

#: To compute an index of two or three bands.
INDEX = 2e-9

#: To encode and store one file more, whatever its size.
FILE = 2.8e-3

#: To encode and store a byte of counts, most of which are alike, beside a byte of other cells; and what is left of it.
COUNT_BYTE, COUNT_KEPT = 0.25, 0.05

#: To read a pixel of QA_PIXEL beside a band, where that says which pixels count.
MASK_BAND = 2.5e-9

#: For a target, whatever its size; to open a band; to publish a scene, and for each cell of the picture's bands.
TARGET, OPENED, PUBLISHED, PICTURE_CELL = 5.1e-3, 1.9e-3, 30e-3, 0.19e-6

#: To receive a byte from a store on this machine (a band's are verified while they are decoded), and to make a request.
FETCHED_BYTE, REQUEST = 1.8e-9, 3e-3

# Overhead of dask in CPU seconds of client, scheduler and worker together: `python -m benchmarks.simulate`,
# the same machine on the same day; results that must pass through the scheduler take 6 to 8 ms more a target.
DASK_TARGET, DASK_SCENE = 14e-3, 4e-3

# Bytes, of a synthetic full-size scene at factors 4 to 30.

#: Bytes of a file per byte of its cells, overviews included.
COMPRESSED = {"continuous": 0.78, "bits": 0.1}

#: Bytes of a metadata file, of met.json and of the STAC item, and of a pixel of the browse picture.
METADATA, RECORD, PICTURE_PIXEL = 12_500, 24_000, 1.6

#: Share of a cloud-optimised file that is not overviews, each of which is a quarter of the one before.
FULL_RESOLUTION = 0.75


@dataclass(frozen=True, slots=True)
class Setting:
    """Where the work is done, as far as it decides the number of requests."""

    on_dask: bool = True
    """On dask workers, which read each header anew, and not in the threads of one process."""
    bare: bool = False
    """Whether ``s3://`` is asked over plain http, where headers are read twice to be compared, unless they are all."""


@dataclass(frozen=True, slots=True)
class Prices:
    """Dollars: list prices of AWS in us-west-2, where s3://usgs-landsat is, as remembered in November 2026.

    All are assumptions, to be checked against https://aws.amazon.com/s3/pricing and /ec2/pricing.

    Raises
    ------
    UsageError
        A price is negative or no number.
    """

    core_hour: float = 0.05
    """Of a vCPU with 4 GiB, on demand (m6i: 0.048); spot capacity costs a third of it."""
    thousand_gets: float = 0.0004
    """1000 GET or HEAD, S3 Standard; of a requester-pays bucket the reader pays them."""
    thousand_puts: float = 0.005
    """1000 PUT or LIST, S3 Standard."""
    egress_gb: float = 0.0
    """10^9 bytes that leave the source's region: nothing within it; 0.02 to another region, 0.09 to the internet."""
    storage_gb_month: float = 0.023
    """10^9 bytes kept for a month, S3 Standard."""

    def __post_init__(self) -> None:
        for name, price in asdict(self).items():
            if not 0 <= price < float("inf"):
                raise UsageError(f"price {name}={price!r} is no amount of dollars: give a number, 0 or more")


@dataclass(frozen=True, slots=True)
class Cost:
    """What something costs; everything is a sum, so that costs add up."""

    scenes: float = 0
    targets: float = 0
    core_seconds: float = 0
    """CPU time of all processes."""
    overhead_seconds: float = 0
    """Those of them that are dask's: client, scheduler, and workers around the work."""
    gets: float = 0
    """GET of object stores."""
    heads: float = 0
    lists: float = 0
    puts: float = 0
    """PUT: one for each file, whatever its size; there are no multipart uploads."""
    web: float = 0
    """Requests to web servers, which nobody is charged for; without a login to Earthdata, once for each process."""
    bytes_in: float = 0
    """Bytes read, from disks too."""
    bytes_fetched: float = 0
    """Those of them that come over the network."""
    bytes_out: float = 0
    """Bytes of the products' files."""

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Cost)))

    def times(self, count: float) -> Cost:
        """The same so many times over."""
        return Cost(*(getattr(self, f.name) * count for f in fields(Cost)))

    def like(self, scenes: float) -> Cost:
        """So many scenes that cost the mean of these."""
        return self.times(scenes / self.scenes)

    @property
    def requests(self) -> float:
        """Requests of every kind."""
        return self.gets + self.heads + self.lists + self.puts + self.web

    def dollars(self, prices: Prices) -> dict[str, float]:
        """Dollars by what they are paid for; ``total`` is without ``storage_month``, which goes on."""
        parts = {
            "compute": self.core_seconds / 3600 * prices.core_hour,
            "requests": (
                (self.gets + self.heads) * prices.thousand_gets + (self.lists + self.puts) * prices.thousand_puts
            )
            / 1000,
            "egress": self.bytes_fetched / 1e9 * prices.egress_gb,
        }
        return parts | {"total": sum(parts.values()), "storage_month": self.bytes_out / 1e9 * prices.storage_gb_month}

    def to_dict(self, prices: Prices) -> dict[str, Any]:
        """Describe it in JSON types."""
        record = {name: float(f"{value:.6g}") for name, value in asdict(self).items()}
        record |= {"core_hours": float(f"{self.core_seconds / 3600:.6g}"), "requests": float(f"{self.requests:.6g}")}
        return record | {"dollars": {name: float(f"{value:.6g}") for name, value in self.dollars(prices).items()}}


def total(costs: Iterable[Cost]) -> Cost:
    """Add costs up."""
    return sum(costs, Cost())


def cost_of(item: ScenePlan, setting: Setting | None = None) -> Cost:
    """Tell what a scene will cost: opened, reduced and published.

    Parameters
    ----------
    item : ScenePlan
        From `plan_scene`.
    setting : Setting, optional
        Dask workers, and stores asked over TLS, by default.

    Returns
    -------
    Cost
        Requests are exact for cloud-optimised bands of some MB and more, and for prefixes and STAC items.
    """
    setting = setting or Setting()
    parts = [_opening(item, setting), *(reduction(target, setting) for target in item.targets), _publication(item)]
    counted = total(parts)
    overhead = DASK_SCENE + DASK_TARGET * len(item.targets) if setting.on_dask else 0.0
    busy = counted.requests * REQUEST + counted.bytes_fetched * FETCHED_BYTE + overhead
    return counted + Cost(scenes=1, core_seconds=busy, overhead_seconds=overhead)


def _asked(location: Location, *, gets: int = 0, heads: int = 0, lists: int = 0, puts: int = 0) -> Cost:
    """Requests to whatever is there."""
    if location.is_local:
        return Cost()
    if location.kind in WEB:
        rule = access_rule(location.href)
        steps = 2 if rule and rule.access == "earthdata" else 1  # to the host, which redirects to a signed address
        return Cost(web=steps * (gets + heads + lists + puts))
    return Cost(gets=gets, heads=heads, lists=lists, puts=puts)


def _received(location: Location, count: float) -> Cost:
    return Cost(bytes_in=count, bytes_fetched=0 if location.is_local else count)


def _opening(item: ScenePlan, setting: Setting) -> Cost:
    """Its files found, and the header of each band read."""
    found, scene = Cost(core_seconds=OPENED * len(item.scene.bands)), item.scene
    for band in scene.bands.values():
        source = band.location
        bare = source.kind == "http" or (setting.bare and source.kind == "s3" and not _small(band))
        reads = 0 if source.is_local else 2 if bare else 1
        found += _asked(source, gets=reads) + _received(source, reads * min(HEADER, band.size or HEADER))
    source = next(iter(scene.bands.values())).location
    if scene.item_href:
        place = Location(scene.item_href)
        return found + _asked(place, gets=1) + _received(place, METADATA)
    if scene.lone:  # an MTL beside it, for a file that is named after a product
        return found + (_asked(source, gets=1, heads=1) if scene.sensor else Cost())
    mtl = any(kind.startswith("MTL.") for kind in scene.metadata)
    return found + _asked(source, lists=1, gets=mtl) + _received(source, mtl * METADATA)


def reduction(target: Target, setting: Setting) -> Cost:
    """A band read, reduced, encoded and stored, with its mask band; and its files stored."""
    kind, cells = _kind(target), target.coarse.height * target.coarse.width
    # Of cells in another projection, which pixels they take is known only once the band's corners are projected.
    window = (
        target.overlay().window
        if target.projection is None
        else (0, target.band.grid.height, 0, target.band.grid.width)
    )
    counts = 8 * cells if "count" in target.files else 0
    pixels, raw = _area(window), cells * bytes_of_cell(target) - counts
    per_pixel = PIXEL[kind] * len(target.sources) + INDEX * target.computed + MOMENTS * (len(target.stats) > 1)
    cpu = TARGET + pixels * per_pixel + cells * CELL[kind]
    cpu += (raw + counts * COUNT_BYTE) * CELL_BYTE + FILE * max(len(target.stats) - 1, 0)
    read = total(_pixels_of(band, window, setting) for band in target.sources)
    if target.quality:
        cpu += pixels * MASK_BAND
        share = pixels / (target.band.grid.height * target.band.grid.width)
        height, width = (round(n * share**0.5) for n in target.quality.grid.shape)
        read += _pixels_of(target.quality, (0, height, 0, width), setting)
    return read + Cost(targets=1, core_seconds=cpu, bytes_out=raw * COMPRESSED[kind] + counts * COUNT_KEPT)


def _small(band: Band) -> bool:
    """Whether a band comes whole where its header is asked for."""
    return 0 < (band.size or 0) <= HEADER


def _kind(target: Target) -> str:
    return "bits" if target.band.spec.kind == "bits" else "continuous"


def _area(window: PixelWindow) -> int:
    return (window[1] - window[0]) * (window[3] - window[2])


def _pixels_of(band: Band, window: PixelWindow, setting: Setting) -> Cost:
    """The full-resolution blocks under a window fetched, after the header where that is not known here."""
    size, share = band.size or 0, _area(window) / (band.grid.height * band.grid.width)
    if band.location.is_local:
        return _received(band.location, size)
    if _small(band):  # its header was all of it
        return _asked(band.location, gets=setting.on_dask) + _received(band.location, size * setting.on_dask)
    part = size * FULL_RESOLUTION * share
    spans = -(-(window[1] - window[0]) // band.block_shape[0]) if window[3] - window[2] < band.grid.width else 1
    if part >= PARTIAL * size or spans > MAX_SPANS:
        part, spans = size * FULL_RESOLUTION, 1
    checked = band.checksum and share == 1  # the sum of the whole object, which needs all of it
    if checked or (spans == 1 and part >= WORTHWHILE * size - HEADER):
        part, spans = size, 1
    headers = 1 if setting.on_dask and not checked else 0
    read = headers * min(HEADER, size) + part
    return _asked(band.location, gets=headers + spans) + _received(band.location, read)


def _publication(item: ScenePlan) -> Cost:
    """Whether it is there looked up; metadata, picture and records made; all files stored, and bands listed."""
    cells = item.coarse.height * item.coarse.width
    texts = {} if item.scene.lone else item.scene.metadata
    if why_no_mtl(item):
        texts = {kind: href for kind, href in texts.items() if not kind.startswith("MTL.")}
    rasters = sum(len(target.files) + bool(target.fractions) for target in item.targets)
    puts = rasters + len(texts) + 3  # the picture, met.json and the STAC item
    if item.overwrite:  # the old marker is looked for before each PUT, and what is left of the old product at the end
        asked = _asked(item.destination, puts=puts, heads=puts + len(texts) + 2, lists=2)
    else:
        asked = _asked(item.destination, puts=puts, gets=1, lists=1)
    for place in map(Location, texts.values()):
        asked += _asked(place, gets=2 if place.kind == "http" else 1) + _received(place, METADATA)
    written = len(texts) * METADATA + 2 * RECORD + min(cells, MAX_SIDE**2) * PICTURE_PIXEL
    return asked + Cost(core_seconds=PUBLISHED + min(cells, PREVIEW**2) * PICTURE_CELL, bytes_out=written)
