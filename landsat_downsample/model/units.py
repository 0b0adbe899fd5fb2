"""What the numbers of a band are: as the source stores them, or physical values. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from landsat_downsample.errors import UsageError
from landsat_downsample.model.bands import specs
from landsat_downsample.model.nearest import did_you_mean
from landsat_downsample.model.scene import Scene

#: What the numbers of continuous bands are: as the source stores them, or physical values.
UNITS = ("dn", "scaled")


def physical_dtype(dtype: np.dtype) -> np.dtype:
    """Type of the physical values of stored ones: float32, or float64 where those have more than 24 bits."""
    small = dtype.itemsize <= 2 or dtype == np.float32
    return np.dtype(np.float32 if small else np.float64)


def scaling_of(method: str, scaling: tuple[float, float] | None) -> tuple[float, float] | None:
    """Scale and offset of a statistic, from those of the values that it was made of; None where there are none.

    An offset cancels in a deviation. A sum holds it once for each pixel and a root mean square bends it, so that no
    two numbers make physical values of them, but where it is 0. A count is of pixels.
    """
    if scaling is None or method == "count":
        return None
    scale, offset = scaling
    if method == "std":
        return scale, 0.0
    return None if method in ("sum", "rms") and offset else scaling


def check_units(units: str) -> str:
    """Return known units, or raise UsageError."""
    if units not in UNITS:
        near = did_you_mean(str(units), UNITS)
        raise UsageError(f"units {units!r} are unknown{near}: choose one of {', '.join(UNITS)}")
    return units


def _instead(scene: Scene) -> str:
    if scene.sensor and not any(spec.scale for spec in specs(scene.sensor, 2).values()):
        return f"no Level 2 is made of {scene.sensor}: take its bands, or scenes of another sensor"
    return "take a Level-2 product"


def scalings(scene: Scene, names: Iterable[str], asked: str = "units 'scaled'") -> dict[str, tuple[float, float]]:
    """Scale and offset of the bands that are to be scaled; what its file says is in physical units stays so.

    Parameters
    ----------
    asked : str
        What wants them, for messages.

    Raises
    ------
    UsageError
        Nothing states the scale of a band, or it is none that keeps the order of values.
    """
    bands = [scene.bands[name] for name in names if not scene.bands[name].spec.categorical]
    known = {band.name: band.scaling for band in bands}
    if lacking := [b.name for b in bands if not known[b.name] and (b.spec.scale or np.dtype(b.dtype).kind != "f")]:
        raise UsageError(
            f"{asked} of {scene.id}: nothing states the scale of {', '.join(lacking)}"
            + (" (Level-1 numbers have their factors in the MTL)" if scene.level == 1 else "")
            + ("; take other bands, or units 'dn'" if asked.startswith("units") else f"; {_instead(scene)}")
        )
    found = {name: scaling for name, scaling in known.items() if scaling}
    for name, (scale, offset) in found.items():
        if not (0 < scale < math.inf and math.isfinite(offset)):
            raise UsageError(f"{asked}: {name} states the scale {scale:g} and offset {offset:g}; take units 'dn'")
    return found
