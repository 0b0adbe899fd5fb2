"""What the header of a raster says, as a value, and which headers are refused. Pure."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from landsat_downsample.model.bands import BandSpec, BitField
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.location import Location
from landsat_downsample.model.safe_text import plain


@dataclass(frozen=True, slots=True, repr=False)
class Band:
    """One raster of a scene: what it means, where it is, and what its header says.

    Examples
    --------
    >>> band = scene.band("red")
    >>> band.name, band.dtype, band.nodata, band.grid.shape, band.location.name
    ('SR_B4', 'uint16', 0.0, (500, 600), 'LC08_L2SP_192028_20230714_20230724_02_T1_SR_B4.TIF')
    >>> band.scaling
    (2.75e-05, -0.2)
    >>> ld.Band.from_dict(band.to_dict()) == band
    True
    """

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
    asset_key: str | None = None
    """Key of its asset in the STAC item that led to it; None where none did."""
    predictor: int | None = None
    """Predictor of a compressed file without overviews, which would repeat it."""
    requester_pays: bool = False
    """Whether its reader has agreed to pay, as its storage demands."""
    allow_hosts: tuple[str, ...] = ()
    """Hosts that may be of this machine or its own network when it is read."""
    led: bool = False
    """Whether a document of another host led to it: its own host may not be inside then, unless allowed."""

    def __repr__(self) -> str:
        common = f" ({self.spec.common_name})" if self.spec.common_name else ""
        nodata = "" if self.nodata is None else f", nodata {self.nodata:g}"
        height, width = self.grid.shape
        facts = f"{self.dtype}, {height} x {width} pixels of {self.grid.resolution[1]:g}{nodata}"
        return plain(f"<Band {self.name}{common}: {facts}>")

    @property
    def location(self) -> Location:
        """Where its bytes are, for who reads or prints it."""
        return Location(self.href)

    @property
    def scaling(self) -> tuple[float, float] | None:
        """Scale and offset that make physical values of stored ones: those of the file's tags, else the catalogue's.

        None where nothing states them: USGS files have no such tags, and the catalogue's hold for the type it knows.
        """
        if self.scale is not None or self.offset is not None:
            return 1.0 if self.scale is None else self.scale, self.offset or 0.0
        if self.spec.scale is None or self.dtype != self.spec.dtype:
            return None
        return self.spec.scale, self.spec.offset or 0.0

    @property
    def name(self) -> str:
        """USGS name: ``SR_B4``."""
        return self.spec.name

    def to_dict(self) -> dict[str, Any]:
        """Describe it in JSON types; signatures are taken out of the href."""
        record = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        record = {key: value for key, value in record.items() if value is not None}
        record["spec"] = _sparse(self.spec)
        record["href"] = self.location.shown
        record["grid"] = self.grid.to_dict()
        record["block_shape"] = list(self.block_shape)
        record["allow_hosts"] = list(self.allow_hosts)
        if isinstance(self.nodata, float) and not math.isfinite(self.nodata):
            record["nodata"] = str(self.nodata)  # JSON has no NaN
        return record

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Band:
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


def _sparse(spec: BandSpec | BitField) -> dict[str, Any]:
    """The fields of a spec, or of one of its bit fields, that differ from their defaults."""
    record: dict[str, Any] = {}
    for field in dataclasses.fields(spec):
        value = getattr(spec, field.name)
        if value != field.default:
            record[field.name] = list(value) if isinstance(value, tuple) else value
    if isinstance(spec, BandSpec) and spec.fields:
        record["fields"] = [_sparse(field) for field in spec.fields]
    return record


def _tuples(record: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in record.items()}
