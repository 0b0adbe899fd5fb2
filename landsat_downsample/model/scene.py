"""A scene: its bands, its grid and what is known of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from landsat_downsample.errors import BandError
from landsat_downsample.model import bands as bands_module
from landsat_downsample.model.band import Band
from landsat_downsample.model.bands import BandSpec
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.location import Location
from landsat_downsample.model.nearest import did_you_mean
from landsat_downsample.model.safe_text import plain


@dataclass(frozen=True, slots=True, repr=False)
class Scene:
    """A Landsat scene, or a single file: an id, one grid, and its bands by USGS name."""

    id: str
    """Landsat product ID, or the single file's name without its ending."""
    href: str
    """What was opened, free of signatures and passwords."""
    grid: Grid
    """The grid that all bands share, but for the panchromatic one."""
    bands: dict[str, Band]
    sensor: str | None = None
    """Catalogue key: ``oli_tirs``, ``etm``, ``tm``, ``mss45``, ``mss123``; None when unknown."""
    level: int | None = None
    lone: bool = False
    """Whether it is a single file rather than a scene."""
    absent: tuple[str, ...] = ()
    """Bands the scene's own metadata lists but that are not there."""
    metadata: dict[str, str] = field(default_factory=dict)
    """Metadata files by kind: ``MTL.txt``, ``MTL.json``, ``MTL.xml``, ``ANG.txt`` -> href."""
    properties: dict[str, Any] = field(default_factory=dict)
    """STAC properties known of it: datetime, platform, instruments, ``eo:cloud_cover``, ``view:*``, ``landsat:*``."""
    item_href: str | None = None
    """The STAC item it came from, if it did."""
    requester_pays: bool = False
    """Whether its storage says that readers pay."""
    allow_hosts: tuple[str, ...] = ()
    """Hosts that may be of this machine or its own network when its files are read."""
    led: bool = False
    """Whether a document of another host led to its files: theirs may not be inside then, unless allowed."""

    @property
    def location(self) -> Location:
        """What was opened, for who asks where that is."""
        return Location(self.href)

    @property
    def quality(self) -> Band | None:
        """The band whose flags say what all its pixels show: QA_PIXEL, Fmask; None where it has none."""
        return next((band for band in self.bands.values() if band.spec.quality), None)

    def band(self, name: str) -> Band:
        """Return the band that answers to a USGS name (``SR_B4``) or a common name (``red``), in any case.

        Raises
        ------
        BandError
            The scene has no such band.
        """
        spec = self.spec(name)
        if spec is None:
            raise no_such_band(name, self.id, [band.spec for band in self.bands.values()])
        return self.bands[spec.name]

    def spec(self, name: str) -> BandSpec | None:
        """Return what the catalogue knows of the band that answers to a name, as of `band`; None where none does."""
        return bands_module.find(name, {key: band.spec for key, band in self.bands.items()})

    def to_dict(self) -> dict[str, Any]:
        """Describe it in JSON types; signatures and passwords are taken out of every href."""
        record = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return record | {
            "grid": self.grid.to_dict(),
            "bands": {name: band.to_dict() for name, band in self.bands.items()},
            "absent": list(self.absent),
            "allow_hosts": list(self.allow_hosts),
            "metadata": {kind: Location(href).shown for kind, href in self.metadata.items()},
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Scene:
        """Make it from what `to_dict` gave."""
        made = {
            "grid": Grid.from_dict(record["grid"]),
            "bands": {name: Band.from_dict(band) for name, band in record["bands"].items()},
            "absent": tuple(record.get("absent", ())),
            "allow_hosts": tuple(record.get("allow_hosts", ())),
        }
        return cls(**(record | made))

    def _groups(self) -> dict[str, list[str]]:
        """Names of bands by what they are, for people."""
        groups: dict[str, list[str]] = {}
        for name, band in self.bands.items():
            group = "quality" if band.spec.categorical else band.spec.group
            common = band.spec.common_name
            groups.setdefault(group, []).append(f"{name} ({common})" if common else name)
        return groups

    def _facts(self) -> str:
        kind = f"{self.sensor} level {self.level}" if self.sensor else "single file" if self.lone else "unknown sensor"
        height, width = self.grid.shape
        step_y, step_x = self.grid.resolution
        size = f"{step_x:g}" if step_x == step_y else f"{step_y:g} x {step_x:g}"
        return f"{kind}, {height} x {width} pixels of {size}, {self.grid.crs.partition('[')[0]}"

    def __repr__(self) -> str:
        rows = [*self._groups().items(), *([("absent", list(self.absent))] if self.absent else [])]
        lines = [plain(f"<Scene {self.id}: {self._facts()}>")]
        return "\n".join([*lines, *(f"  {plain(group)}: {plain(', '.join(names))}" for group, names in rows)])

    def _repr_html_(self) -> str:
        from html import escape

        rows = [*self._groups().items(), *([("absent", list(self.absent))] if self.absent else [])]
        cells = "".join(
            f"<tr><th style='text-align:left;vertical-align:top'>{escape(group)}</th>"
            f"<td style='text-align:left'>{escape(plain(', '.join(names)))}</td></tr>"
            for group, names in rows
        )
        return f"<div><strong>{escape(plain(self.id))}</strong><br>{escape(self._facts())}<table>{cells}</table></div>"


def no_such_band(name: str, scene: str, specs: Collection[BandSpec]) -> BandError:
    """Return an error that names the bands there are, and the nearest one."""
    near = did_you_mean(name, (word for spec in specs for word in (spec.name, spec.common_name) if word))
    have = ", ".join(f"{s.name} ({s.common_name})" if s.common_name else s.name for s in specs)
    return BandError(f"band {name!r} is not in {scene}{near}: it has {have}")
