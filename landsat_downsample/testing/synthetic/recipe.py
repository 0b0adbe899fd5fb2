"""What a synthetic scene is to be: mission, product id, sun, grid and the shape of its footprint."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import ClassVar

import numpy as np
from affine import Affine

from landsat_downsample.errors import UsageError
from landsat_downsample.model.bands import BandSpec, specs
from landsat_downsample.model.family import file_name
from landsat_downsample.model.grid import Grid

#: Narrower scenes have no room for a cloud and its shadow.
SMALLEST = 40


@dataclass(frozen=True, slots=True)
class Mission:
    """The facts of a satellite and its instrument that names and metadata need."""

    catalogue: str
    """Key of the catalogue of bands."""
    prefixes: tuple[str, ...]
    """Start of the product id; an odd seed takes the last one."""
    sensor_id: str
    """SENSOR_ID of the MTL."""
    first: date
    """Acquisition date of seed 0."""
    processed: date | None
    """Processing date of the whole archive; None: ten days after the acquisition."""
    size: tuple[int, int] = (7641, 7801)
    """(width, height) of a full scene."""
    step: int = 30
    """Pixel size of the frame, in metres."""
    station: str = "LGN"
    orbit_type: int = 2
    """World Reference System: 1 up to Landsat 3, 2 later."""
    levels: tuple[int, ...] = (1, 2)
    """Processing levels that there are."""
    like: str = ""
    """The Landsat whose pixels its own are painted like; empty for a Landsat itself."""


MISSIONS = {
    "oli": Mission("oli_tirs", ("LC08", "LC09"), "OLI_TIRS", date(2023, 7, 14), None),
    "etm": Mission("etm", ("LE07",), "ETM", date(2012, 7, 7), date(2020, 9, 8), station="EDC"),
    "tm": Mission("tm", ("LT05",), "TM", date(2009, 7, 7), date(2020, 8, 27), station="KIS"),
    "mss": Mission(
        "mss45", ("LM05",), "MSS", date(1985, 7, 5), date(2021, 9, 18), (3901, 3921), 60, "KIS", levels=(1,)
    ),
    # Not a gap: real scene IDs of Landsat 1 have XXX where others name the receiving station (LM10010101972252XXX01).
    "mss123": Mission("mss123", ("LM01",), "MSS", date(1974, 7, 9), date(2020, 9, 7), (3901, 3921), 60, "XXX", 1, (1,)),
    "hls-l30": Mission("hls_l30", ("L30",), "OLI_TIRS", date(2023, 7, 14), None, (3660, 3660), levels=(3,), like="oli"),
    "ard": Mission(
        "ard_oli_tirs", ("LC08", "LC09"), "OLI_TIRS", date(2023, 7, 5), None, (5000, 5000), levels=(2,), like="oli"
    ),
    "dea": Mission("dea_oli_tirs", ("ls8c", "ls9c"), "OLI_TIRS", date(2023, 7, 6), None, levels=(2,), like="oli"),
    "hls-s30": Mission("hls_s30", ("S30",), "MSI", date(2023, 7, 16), None, (3660, 3660), levels=(3,), like="oli"),
}

#: Corners of the footprint, (x, y) as fractions of the frame: upper left, upper right, lower
#: right, lower left. A descending orbit seen at mid latitude; about 30 % of the frame is fill.
CORNERS = ((0.183, 0.0045), (0.9955, 0.172), (0.8165, 0.9955), (0.0045, 0.828))

#: ETM+ after its scan line corrector failed: a gap every 33 pixels along the track, up to 16 wide
#: at the edges of the swath and none in its middle: about a fifth of the scene.
GAP_PERIOD, GAP_WIDTH, GAP_FREE = 33.0, 16.0, 0.12


@dataclass(frozen=True, slots=True)
class Frame:
    """Which scene of a series of dates and neighbours one is."""

    size: tuple[int, int]
    """(width, height) of the series' frames, about which each one's own varies."""
    days: int = 0
    """After the first date."""
    path: int = 0
    """Paths to the west of the first."""
    row: int = 0
    """Rows to the south of the first."""
    moved: tuple[int, int] = (0, 0)
    """Pixels (right, down) from the first frame's upper left corner to this one's."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One synthetic scene, before its pixels: everything here follows from the arguments."""

    sensor: str
    """``oli``, ``etm``, ``tm``, ``mss`` or ``mss123``."""
    level: int
    size: tuple[int, int]
    """(width, height) of the 30 m frame (60 m for MSS)."""
    seed: int = 0
    southern: bool = False
    frame: Frame | None = None
    """Where and when in a series; None of a lone scene, whose landscape is its own."""

    def __post_init__(self) -> None:
        if self.sensor not in MISSIONS:
            raise UsageError(f"no synthetic sensor {self.sensor!r}: choose one of {', '.join(MISSIONS)}")
        if self.level not in self.mission.levels:
            levels = " and ".join(map(str, self.mission.levels))
            raise UsageError(f"no level {self.level!r} of {self.sensor}: it has {levels}")
        if min(self.size) < SMALLEST:
            raise UsageError(f"scene of {self.size[0]} x {self.size[1]} pixels: make both sides at least {SMALLEST}")

    @property
    def mission(self) -> Mission:
        """The mission of its sensor."""
        return MISSIONS[self.sensor]

    @property
    def like(self) -> str:
        """The Landsat sensor whose pixels its own are painted like."""
        return self.mission.like or self.sensor

    @property
    def bands(self) -> dict[str, BandSpec]:
        """Every band of such a product, by USGS name."""
        return specs(self.mission.catalogue, self.level)

    @property
    def prefix(self) -> str:
        """How its IDs begin: ``LC08``."""
        return self.mission.prefixes[self.seed % len(self.mission.prefixes)]

    @property
    def satellite(self) -> int:
        """Number of the satellite: 8 for Landsat 8."""
        return int(self.prefix[2:])

    @property
    def centre_time(self) -> datetime:
        """When its centre was seen, UTC: rows follow each other down the orbit, 248 of them in its 5933 seconds."""
        row = self.frame.row if self.frame else 0
        first = datetime(self.acquired.year, self.acquired.month, self.acquired.day, 10, 4, 17, 253099)
        return first + row * timedelta(seconds=5933 / 248)

    @property
    def path_row(self) -> tuple[int, int]:
        """WRS-2 path and row."""
        path, row = (166, 67) if self.southern else (192, 28)
        return (path, row) if self.frame is None else (path + self.frame.path, row + self.frame.row)

    @property
    def landscape_size(self) -> tuple[int, int]:
        """(width, height) that the landscape's scale follows from: one for all frames of a series."""
        return self.size if self.frame is None else self.frame.size

    @property
    def origin(self) -> tuple[int, int]:
        """(row, column) of the frame's first pixel in its landscape."""
        return (0, 0) if self.frame is None else self.frame.moved[::-1]

    @property
    def acquired(self) -> date:
        """Sixteen days later with each seed, as the satellite comes round; of each year the first twenty times."""
        years, cycle = divmod(self.seed, 20)
        later = 0 if self.frame is None else self.frame.days
        return self.mission.first + timedelta(days=16 * cycle + 23 * 16 * years + later)

    @property
    def summer(self) -> float:
        """1 in the warmest days of the year, 0 in the coldest; a lone scene is always seen in summer."""
        if self.frame is None:
            return 1.0
        warmest = 15 if self.southern else 200
        return 0.5 + 0.5 * math.cos(2 * math.pi * (self.acquired.timetuple().tm_yday - warmest) / 365.25)

    @property
    def processed(self) -> date:
        """Date of processing."""
        return self.mission.processed or self.acquired + timedelta(days=10)

    @property
    def product_id(self) -> str:
        """Landsat product ID."""
        return self.product_id_at("L2SP" if self.level == 2 else "L1TP")

    def product_id_at(self, correction: str) -> str:
        """Product id with another processing level, such as ``L1TP`` of a Level 2 scene."""
        path, row = self.path_row
        return f"{self.prefix}_{correction}_{path:03d}{row:03d}_{self.acquired:%Y%m%d}_{self.processed:%Y%m%d}_02_T1"

    @property
    def scene_id(self) -> str:
        """The older scene ID of USGS."""
        path, row = self.path_row
        return f"{self.prefix[:2]}{self.satellite}{path:03d}{row:03d}{self.acquired:%Y%j}{self.mission.station}00"

    @property
    def zone(self) -> int:
        """UTM zone; always the northern one, as USGS has it, also south of the equator."""
        return 37 if self.southern else 33

    @property
    def upper_left(self) -> tuple[float, float]:
        """Centre (x, y) of the first pixel: multiples of 300 m."""
        x, y = (271200.0, -1014600.0) if self.southern else (256200.0, 5216400.0)
        down, right = self.origin
        return x + right * self.mission.step, y - down * self.mission.step

    @property
    def grid(self) -> Grid:
        """The frame that all bands but the panchromatic one share."""
        return self._grid_of(self.mission.step, self.size)

    @property
    def pan_grid(self) -> Grid:
        """15 m grid with the same first centre: its edge lies 7.5 m inside the frame."""
        return self._grid_of(self.mission.step // 2, (2 * self.size[0] - 1, 2 * self.size[1] - 1))

    def _grid_of(self, step: int, size: tuple[int, int]) -> Grid:
        x, y = self.upper_left
        transform = Affine(step, 0.0, x - step / 2, 0.0, -step, y + step / 2)
        return Grid((size[1], size[0]), transform, self.crs)

    @property
    def crs(self) -> str:
        """Of its grids."""
        return f"EPSG:326{self.zone:02d}"

    @property
    def sun(self) -> tuple[float, float]:
        """(elevation, azimuth) of the sun in degrees at 10:15 local time, from the date and the latitude.

        Declination after Cooper (1969), then the spherical triangle.
        """
        latitude = math.radians(-10.1 if self.southern else 46.0)
        day = self.acquired.timetuple().tm_yday
        declination = math.radians(23.45) * math.sin(2 * math.pi * (284 + day) / 365)
        hour = math.radians(-26.25)
        up = math.sin(latitude) * math.sin(declination) + math.cos(latitude) * math.cos(declination) * math.cos(hour)
        east = -math.cos(declination) * math.sin(hour)
        north = math.sin(declination) * math.cos(latitude) - math.cos(declination) * math.cos(hour) * math.sin(latitude)
        return math.degrees(math.asin(up)), math.degrees(math.atan2(east, north))

    @property
    def has_gaps(self) -> bool:
        """Whether the scan line corrector is off."""
        return self.sensor == "etm"

    #: What its files' tags say.
    area_or_point: ClassVar[str] = "Point"
    states_scale: ClassVar[bool] = False

    def nodata_of(self, spec: BandSpec) -> float | None:
        """The value that the file of a band states as no data."""
        return spec.fill if self.level == 2 and spec.kind == "continuous" else None

    def band_file(self, spec: BandSpec) -> str:
        """Name of a band's file."""
        return file_name(self.mission.catalogue, self.product_id, spec.name)

    def footprint(self, rows: np.ndarray, finer: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """First column inside the footprint and first one after it, for each of `rows`.

        Parameters
        ----------
        rows : array of int
            Rows of the frame, or of the grid `finer` times finer with the same first centre.
        """
        width, height = self.size
        (ul, ur, lr, ll) = [(x * (width - 1), y * (height - 1)) for x, y in CORNERS]
        y = np.asarray(rows) / finer
        left = np.interp(y, [ul[1], ll[1], lr[1]], [ul[0], ll[0], lr[0]]) * finer
        right = np.interp(y, [ul[1], ur[1], lr[1]], [ul[0], ur[0], lr[0]]) * finer
        inside = (y >= ul[1]) & (y <= lr[1])
        start = np.ceil(left).astype(np.int64)
        stop = np.where(inside, np.floor(right).astype(np.int64) + 1, start)
        return start, np.maximum(stop, start)

    def swath(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Place of each pixel of `rows` in the swath.

        Returns
        -------
        across : float32 array, shape (rows, width)
            -1 at the western edge of the footprint to 1 at the eastern one.
        along : float32 array, shape (rows, width)
            Pixels along the track from the centre of the frame.
        """
        width, height = self.size
        ul, ur, lr, ll = (np.array((x * (width - 1), y * (height - 1))) for x, y in CORNERS)
        centre = (ul + lr) / 2
        down, right = (ll - ul) / np.hypot(*(ll - ul)), (ur - ul) / 2
        to_swath = np.linalg.inv(np.column_stack((right, down)))
        dx = (np.arange(width) - centre[0]).astype(np.float32)
        dy = (np.asarray(rows) - centre[1]).astype(np.float32)[:, None]
        matrix = to_swath.astype(np.float32)
        return matrix[0, 0] * dx + matrix[0, 1] * dy, matrix[1, 0] * dx + matrix[1, 1] * dy

    def gap_depth(self, rows: np.ndarray) -> np.ndarray:
        """Pixels from each pixel of `rows` to the nearest edge of a scan gap, positive inside; float32."""
        across, along = self.swath(rows)
        half = (np.abs(across) - np.float32(GAP_FREE)) * np.float32(GAP_WIDTH / 2 / (1 - GAP_FREE))
        phase = along * np.float32(1 / GAP_PERIOD)
        phase -= np.floor(phase)
        return np.where(
            half > 0, half - np.abs(phase - np.float32(0.5)) * np.float32(GAP_PERIOD), np.float32(-GAP_PERIOD)
        )
