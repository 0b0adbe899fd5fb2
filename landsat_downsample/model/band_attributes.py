"""What an array says of the band that it holds, by the CF conventions."""

from __future__ import annotations

from typing import Any

import numpy as np

from landsat_downsample.model import flags
from landsat_downsample.model.band import Band


def band_attributes(band: Band, sensor: str | None, level: int | None) -> dict[str, Any]:
    """What an array says of its band, whatever scene it is of."""
    spec = band.spec
    record = {
        "long_name": spec.title or spec.name,
        "units": band.unit or spec.unit,
        "scale_factor": band.scale if band.scale is not None else spec.scale,
        "add_offset": band.offset if band.offset is not None else spec.offset,
        "landsat_band": spec.name,
        "landsat_sensor": sensor,
        "landsat_level": level,
        **flag_attributes(band),
    }
    return {key: value for key, value in record.items() if value is not None}


def flag_attributes(band: Band) -> dict[str, Any]:
    """The flags of a bit field, as the CF conventions (section 3.5) have them."""
    known = flags.meanings(band.spec)
    if not known or np.dtype(band.dtype).kind not in "iu":
        return {}
    masks, values = zip(*known.values(), strict=True)
    return {
        "flag_masks": np.array(masks, band.dtype),
        "flag_values": np.array(values, band.dtype),
        "flag_meanings": " ".join(known),
    }
