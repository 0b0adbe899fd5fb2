"""What the user asks for, checked once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from landsat_downsample.errors import UsageError
from landsat_downsample.model.grid import how_small
from landsat_downsample.model.grid_request import PLACEMENTS, GridRequest
from landsat_downsample.model.indices import ORDERS, check_indices, check_order
from landsat_downsample.model.methods import METHODS, check_policy, check_stats
from landsat_downsample.model.nearest import did_you_mean
from landsat_downsample.model.target_grid import TargetGrid
from landsat_downsample.model.units import check_units
from landsat_downsample.model.words import names_or_all

#: Options that JSON holds as lists.
TUPLES = ("size", "anchor", "bands", "mask", "bounds", "stats", "index")

#: Instead of bands: an index alone.
NO_BANDS = "none"


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asks for, the same for every scene of a run.

    Examples
    --------
    >>> options = ld.Options(factor=10, bands=("red",), mask=("cloud", "shadow"))
    >>> options.grid_request.factor, options.qa
    (10, 'conservative')
    >>> ld.Options.from_dict(options.to_dict()) == options
    True
    """

    factor: float | None = None
    """Source pixels per cell along each axis."""
    resolution: float | None = None
    """Cell size in CRS units (metres)."""
    size: tuple[int, int] | None = None
    """(width, height) in cells; a 0 keeps the aspect."""
    grid: str | TargetGrid | None = None
    """How cells are placed, or the grid that says so: see `GridRequest`."""
    anchor: tuple[float, float] | None = None
    """(x, y) of any corner of a cell, in place of the zone's."""
    bands: tuple[str, ...] | None = None
    """USGS or common names; None or ``all`` takes all, ``none`` beside an index none."""
    qa: str = "conservative"
    """How bit fields are reduced: conservative, majority, mode or nearest."""
    mask: tuple[str, ...] = ()
    """Flags of the quality band whose pixels are left out of continuous bands."""
    min_valid: float = 0.0
    """Least share of valid pixels in a cell that holds data, 0 to 1."""
    methods: dict[str, str] = field(default_factory=dict)
    """Reducer by band, where it is not the catalogue's."""
    bounds: tuple[float, float, float, float] | None = None
    """Area of interest (left, bottom, right, top) in CRS units; widened to whole cells. None takes all."""
    stats: tuple[str, ...] | None = None
    """Statistics of bands that are averaged, a file each; None for the mean alone."""
    units: str = "dn"
    """What continuous bands hold: ``dn``, numbers as the source stores them, or ``scaled``, physical values."""
    index: tuple[str, ...] = ()
    """Spectral indices, a file each."""
    index_order: str = ORDERS[0]
    """What comes first: the index of each pixel (``mean-of-index``), or the mean of each band (``index-of-means``)."""

    def __post_init__(self) -> None:
        asked = self.grid_request
        for name in ("resolution", "grid", "anchor"):
            object.__setattr__(self, name, getattr(asked, name))
        if self.grid in PLACEMENTS:
            name, value = how_small(self.factor, self.resolution, self.size)
            # One number has one form (7, never 7.0 or numpy's), so that equal requests are recorded alike.
            object.__setattr__(self, name, value if name == "size" else _plain(getattr(self, name)))
        object.__setattr__(self, "min_valid", _share(self.min_valid))
        object.__setattr__(self, "index", check_indices(self.index))
        object.__setattr__(self, "bands", names_or_all(self.bands))
        if self.bands == (NO_BANDS,) and self.index:
            object.__setattr__(self, "bands", ())
        if NO_BANDS in (self.bands or ()):
            raise UsageError(f"bands {','.join(self.bands or ())!r}: {NO_BANDS} is given alone, beside an index")
        if self.bands is not None and not self.bands and not self.index:
            raise UsageError("bands is an empty list: name some such as red,SR_B5,QA_PIXEL, or leave it out for all")
        if self.bounds is not None:
            object.__setattr__(self, "bounds", _bounds(self.bounds))
        if self.stats is not None:
            object.__setattr__(self, "stats", check_stats(self.stats))
        check_policy(self.qa)
        check_units(self.units)
        check_order(self.index_order)
        for band, method in self.methods.items():
            if method not in METHODS:
                near = did_you_mean(method, METHODS)
                raise UsageError(f"method {method!r} for {band} is unknown{near}: choose one of {', '.join(METHODS)}")

    @property
    def grid_request(self) -> GridRequest:
        """Which cells are asked for."""
        return GridRequest(self.factor, self.resolution, self.size, self.grid, self.anchor)

    def to_dict(self) -> dict[str, Any]:
        """Describe it in JSON types."""
        record = asdict(self)
        for key in TUPLES:
            record[key] = list(record[key]) if record[key] is not None else None
        record["grid"] = self.grid.to_dict() if isinstance(self.grid, TargetGrid) else self.grid
        return record

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Options:
        """Make it from what `to_dict` gave."""
        tuples = {k: tuple(record[k]) if record[k] is not None else None for k in TUPLES if k in record}
        grid = record.get("grid")
        return cls(**{**record, **tuples, "grid": TargetGrid.from_dict(grid) if isinstance(grid, dict) else grid})


def _plain(value: float) -> float:
    return int(value) if float(value).is_integer() else float(value)


def _share(value: float) -> float:
    try:
        share = float(value)
    except (TypeError, ValueError) as error:
        raise UsageError(f"min_valid {value!r} is not a number: give a share from 0 to 1") from error
    if not 0 <= share <= 1:
        raise UsageError(f"min_valid {value!r} must lie between 0 and 1: it is a share of the pixels")
    return _plain(share)


def _bounds(value: Iterable[float]) -> tuple[float, float, float, float]:
    try:
        left, bottom, right, top = (float(edge) for edge in value)
    except (TypeError, ValueError) as error:
        raise UsageError(f"bounds {value!r} are not four numbers: give left,bottom,right,top in CRS units") from error
    if not (left < right and bottom < top):  # also where one is not a number
        raise UsageError(
            f"bounds {left:.10g},{bottom:.10g},{right:.10g},{top:.10g} are empty: give left,bottom,right,top"
        )
    return left, bottom, right, top
