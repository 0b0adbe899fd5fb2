"""What the header of a raster says, as a value, and which headers are refused. Pure."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from landsat_downsample._bands import BandSpec, BitField
from landsat_downsample._errors import SceneError
from landsat_downsample._grid import Grid
from landsat_downsample._store._hrefs import redact, redacted_repr
from landsat_downsample._store._tiff import Layout as TiffLayout


@dataclass(frozen=True, slots=True)
class Band:
    """One raster of a scene: what it means, where it is, and what its header says."""

    __repr__ = redacted_repr

    spec: BandSpec
    href: str
    """Where its bytes are: an absolute path, a URL, or ``tar://MEMBER::ARCHIVE``."""
    grid: Grid
    dtype: str
    """Stored data type, as numpy names it."""
    nodata: float | None
    """The file's nodata tag, else the catalogue's fill, else None."""
    block_shape: tuple[int, int]
    """(height, width) of a block on disk."""
    scale: float | None = None
    """Scale in the file's own tags; None where it has none."""
    offset: float | None = None
    unit: str | None = None
    description: str | None = None
    area_or_point: str | None = None
    """``Point`` or ``Area`` as the file's tag says."""
    size: int | None = None
    """Bytes of the file."""
    etag: str | None = None
    """Identity of these bytes where the store gives one."""
    checksum: str | None = None
    """Multihash (hex) from a STAC item's ``file:checksum``, to verify what is fetched."""
    predictor: int | None = None
    """Predictor of a compressed file without overviews, which would repeat it."""
    requester_pays: bool = False
    """Whether its reader has agreed to pay, as its storage demands."""
    allow_hosts: tuple[str, ...] = ()
    """Hosts that may be of this machine or its own network when it is read."""
    led: bool = False
    """Whether a document of another host led to it: its own host may not be inside then, unless allowed."""

    @property
    def name(self) -> str:
        """USGS name: ``SR_B4``."""
        return self.spec.name

    def to_dict(self) -> dict:
        """Describe it in JSON types; signatures are taken out of the href."""
        record = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        record = {key: value for key, value in record.items() if value is not None}
        record["spec"] = _sparse(self.spec)
        record["href"] = redact(self.href)
        record["grid"] = self.grid.to_dict()
        record["block_shape"] = list(self.block_shape)
        record["allow_hosts"] = list(self.allow_hosts)
        if isinstance(self.nodata, float) and not math.isfinite(self.nodata):
            record["nodata"] = str(self.nodata)  # JSON has no NaN
        return record

    @classmethod
    def from_dict(cls, record: dict) -> Band:
        """Make it from what `to_dict` gave."""
        spec, nodata = dict(record["spec"]), record.get("nodata")
        spec["fields"] = tuple(BitField(**_tuples(field)) for field in spec.get("fields", ()))
        made = {
            "spec": BandSpec(**_tuples(spec)),
            "grid": Grid.from_dict(record["grid"]),
            "block_shape": tuple(record["block_shape"]),
            "allow_hosts": tuple(record.get("allow_hosts", ())),
            "nodata": float(nodata) if isinstance(nodata, str) else nodata,
        }
        return cls(**(record | made))


def _sparse(spec) -> dict:
    """The fields of a spec, or of one of its bit fields, that differ from their defaults."""
    record = {}
    for field in dataclasses.fields(spec):
        value = getattr(spec, field.name)
        if value != field.default:
            record[field.name] = list(value) if isinstance(value, tuple) else value
    if "fields" in record:
        record["fields"] = [_sparse(field) for field in spec.fields]
    return record


def _tuples(record: dict) -> dict:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in record.items()}


@dataclass(frozen=True, slots=True)
class Layout:
    """The facts of a header that decide whether we can read the pixels rightly."""

    bands: int
    shape: tuple[int, int]
    """(height, width)."""
    block_shape: tuple[int, int]
    dtype: str
    gcps: int = 0
    """Ground control points."""


def check(layout: Layout, href: str) -> None:
    """Refuse a raster that cannot be a band of Landsat.

    Raises
    ------
    SceneError
        Several bands, complex or 64-bit integers, or ground control points.
    """
    where = repr(redact(href))
    if layout.bands != 1:
        raise SceneError(
            f"{where} holds {layout.bands} bands, a Landsat band file holds one: "
            "split it first (gdal_translate -b 1 IN OUT)"
        )
    if layout.dtype.startswith("complex"):
        raise SceneError(f"{where} holds {layout.dtype} pixels, which are not Landsat data: give a real-valued file")
    if layout.dtype in ("int64", "uint64"):
        raise SceneError(f"{where} holds {layout.dtype} pixels, whose sums would overflow: convert it to 32 bits first")
    if layout.gcps:
        raise SceneError(
            f"{where} is placed by {layout.gcps} ground control points, not by a grid: warp it first (gdalwarp)"
        )


def lone_predictor(layout: TiffLayout, spec: BandSpec, href: str) -> int | None:
    """The predictor of compressed blocks, where no overview repeats it; other bands of the scene may.

    Raises
    ------
    SceneError
        It is not the one that USGS's layout, which the file has in all else, goes with.
    """
    image, *others = layout.directories
    if any(other.reduced and not other.mask for other in others) or image.compression == 1:
        return None
    usgs = layout.trailer and spec.dtype and image.block_shape == (256, 256) and image.compression == 8
    if usgs and image.predictor != 2:
        raise SceneError(
            f"{redact(href)!r} says predictor {image.predictor}, with which USGS writes no band: it is damaged or was "
            "changed; fetch it again"
        )
    return image.predictor


def grid_of(shape: tuple[int, int], transform, crs: str, href: str) -> Grid:
    """Make the grid of a raster.

    Raises
    ------
    SceneError
        The grid is rotated, or rows run from south to north.
    """
    where = repr(redact(href))
    if transform.b or transform.d:
        raise SceneError(f"{where} is on a rotated grid: only north-up grids are supported; warp it first (gdalwarp)")
    if transform.e >= 0 or transform.a <= 0:
        raise SceneError(
            f"{where} is stored south-up or mirrored (pixel size {transform.a:g}, {transform.e:g}): "
            "turn it north-up first (gdalwarp)"
        )
    return Grid(shape, transform, crs)
