"""Which quality band says which pixels of an array count, and where it is."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from landsat_downsample.api.array_blocks import Request
from landsat_downsample.api.array_grid import axes, north_up
from landsat_downsample.api.array_meaning import Meaning, Origin, meaning_of, origin_of
from landsat_downsample.errors import UsageError
from landsat_downsample.model import flags
from landsat_downsample.model.bands import BandSpec, quality_names

if TYPE_CHECKING:
    import xarray as xr

    #: An array, and what it means where that is known.
    Plane = tuple[xr.DataArray, Meaning | None]


@dataclass(frozen=True, slots=True)
class MaskBand:
    """Which quality band says which pixels count, and where it is."""

    bits: int = 0
    """Quality bits of pixels that do not count; 0 where there is no quality band."""
    spec: BandSpec | None = None
    """What the quality band is."""
    role: str = ""
    """``mask`` or ``fill``; empty where there is none."""
    array: xr.DataArray | None = None
    """(..., y, x), north up; None where it is read from its file."""

    def plane(self, at: tuple[int, ...]) -> Any:
        """Its pixels beside one plane of the array."""
        if self.array is None:
            return None
        return self.array.data[at[len(at) - (self.array.ndim - 2) :]]

    def origin(self, source: Origin | None) -> Origin | None:
        """Where a block may be read from, instead of taking the pixels it is given."""
        if source is None or self.array is not None:
            return None
        return source if self.bits else Origin(source.band, None)


def is_quality(name: Hashable, array: xr.DataArray) -> bool:
    """Whether a variable of a Dataset is its quality band: QA_PIXEL, Fmask."""
    return str(array.attrs.get("landsat_band", name)).lower() in quality_names() and bool(axes(array))


def mask_band_of(array: xr.DataArray, spec: BandSpec, request: Request, quality: Plane | None) -> MaskBand:
    """Find what says which pixels of an array count: a quality band beside it, or that of its own scene.

    Raises
    ------
    UsageError
        A mask was asked for, and there is none.
    """
    wanted = request.mask if not spec.categorical else ()
    if not wanted and not spec.fill_from:
        return MaskBand()
    role, source = "mask" if wanted else "fill", origin_of(array)
    given, meaning = quality or (None, None)
    beside = None if given is None else _beside(array, north_up(given))
    own = origin_of(beside) if beside is not None else None
    if source and source.quality and (beside is None or (own and own.band == source.quality)):
        return MaskBand(tested_bits(source.quality.spec, wanted, spec), source.quality.spec, role)
    if beside is not None:
        meaning = meaning or meaning_of(beside)
        if not meaning.spec.fields:
            raise UsageError(
                f"mask {','.join(wanted)!r}: of which table the codes of {meaning.spec.name} are is not known; "
                "say so by its attributes, such as landsat_band='Fmask', landsat_sensor='hls_s30', landsat_level=3"
            )
        return MaskBand(tested_bits(meaning.spec, wanted, spec), meaning.spec, role, beside)
    if wanted:
        raise UsageError(
            f"mask {','.join(wanted)!r} needs QA_PIXEL or its like: coarsen a Dataset that holds it on the same grid"
        )
    return MaskBand()


def tested_bits(quality: BandSpec, wanted: tuple[str, ...], spec: BandSpec) -> int:
    """Quality bits of pixels that do not count for a band: of the flags, and of fill where the band cannot say it."""
    return flags.mask_bits(quality, wanted) | (flags.fill_mask(quality) if spec.fill_from else 0)


def _beside(array: xr.DataArray, quality: xr.DataArray) -> xr.DataArray | None:
    """A quality array whose planes lie beside those of another; None if they do not."""
    extra = [dim for dim in quality.dims if dim not in array.dims]
    if any(quality.sizes[dim] > 1 for dim in extra):
        return None
    quality = quality.squeeze(extra, drop=True) if extra else quality
    return quality if quality.shape == array.shape[array.ndim - quality.ndim :] else None
