"""What says which pixels of a raster are valid besides their values, and what they mean besides its name.

Masks, alpha bands and nodata values lie in the file or beside it, colour tables and flags too. A reader that looked
at the TIFF alone would average what lies under a mask, and disagree with every other reader of the file.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import rasterio
from rasterio.enums import ColorInterp, MaskFlags

from landsat_downsample.errors import SceneError
from landsat_downsample.formats.tiff_layout import TiffLayout
from landsat_downsample.model.bands import BandSpec
from landsat_downsample.model.location import Location
from landsat_downsample.model.policy import Policy
from landsat_downsample.storage import files

#: GDAL's files beside NAME: what it knows besides the TIFF, a mask, and ESRI's table of classes.
SIDECARS = (".aux.xml", ".msk", ".vat.dbf")

#: What a ``.aux.xml`` may say that changes what pixels are; statistics and histograms do not.
_TELLING = (
    b"<NoDataValue",
    b"<ColorTable",
    b"<CategoryNames",
    b"<GDALRasterAttributeTable",
    b"<GeoTransform",
    b"<Scale",
)

#: Tags that only codes have: of CF, and of ERDAS and ArcGIS.
_FLAGS = ("flag_values", "flag_masks", "flag_meanings")

_ADVICE = "write it into the pixels first, as a value that none of them has (gdalwarp -dstnodata 0 IN OUT"


def sidecars(location: Location) -> tuple[Location, ...]:
    """Find the files beside a local raster that GDAL would read with it; of a remote one, a listing has them."""
    if not location.is_local:
        return ()
    folder, name = location.parent, location.name
    return tuple(sidecar for end in SIDECARS if files.exists(sidecar := folder / (name + end)))


def check_apart(location: Location, found: Iterable[Location], policy: Policy | None) -> None:
    """Refuse sidecars that say something, where GDAL cannot read them with their raster.

    Raises
    ------
    SceneError
        They do.
    """
    for sidecar in found:
        name = sidecar.name
        if name.endswith(".aux.xml") and not any(word in files.read_bytes(sidecar, policy=policy) for word in _TELLING):
            continue
        raise SceneError(f"{location!r}: {name!r} beside it says more of its pixels: bring both to a folder here")


def check_sidecars(
    own: rasterio.DatasetReader,
    whole: rasterio.DatasetReader,
    found: Iterable[Location],
    layout: TiffLayout,
    location: Location,
) -> None:
    """Hold a raster without its sidecars against the same with them.

    Raises
    ------
    SceneError
        What they say differs from what the file says itself, or cannot be followed.
    """
    where = f"{location!r}: {' and '.join(one.name for one in found)} beside it"
    if (whole.transform, whole.crs) != (own.transform, own.crs):
        raise SceneError(f"{where} puts it elsewhere than its own tags do: remove what is wrong")
    if own.nodata is not None and not _same(own.nodata, whole.nodata):
        raise SceneError(f"{where} says nodata {whole.nodata:g}, its own tag says {own.nodata:g}: remove what is wrong")
    if own.nodata is None is not whole.nodata and (layout.directories[0].counts == 0).any():
        raise SceneError(
            f"{where} says what blocks hold that were never written: write it into the file (gdal_translate IN OUT)"
        )


def _same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


def check_masks(source: rasterio.DatasetReader, layout: TiffLayout, location: Location) -> None:
    """Refuse a raster that says by a mask or an alpha band which pixels are valid.

    Raises
    ------
    SceneError
        It does: we do not read it.
    """
    if ColorInterp.alpha in source.colorinterp:
        band = source.colorinterp.index(ColorInterp.alpha) + 1
        split = "" if source.count == 2 else ", then gdal_translate -b N for each band"
        raise SceneError(
            f"{location!r} says by an alpha band (band {band}) which pixels are valid, which is not read: "
            f"{_ADVICE}{split}); -b alone would lose it"
        )
    if any(image.mask for image in layout.directories) or MaskFlags.per_dataset in source.mask_flag_enums[0]:
        raise SceneError(f"{location!r} says by a mask which pixels are valid, which is not read: {_ADVICE})")


def meaning(source: rasterio.DatasetReader, spec: BandSpec, found: Iterable[Location], location: Location) -> BandSpec:
    """What a band holds: as its name says, unless its file says that it holds classes; as of `settled`."""
    classes = BandSpec(name=spec.name, kind="class", method="mode")
    return settled(spec, classes, location.shown) if _says_classes(source, found) else spec


def settled(spec: BandSpec, said: BandSpec, name: str) -> BandSpec:
    """What a band holds, by its name and by what its file said.

    Raises
    ------
    SceneError
        The file said classes, and the catalogue knows the band to hold none.
    """
    if said.kind != "class" or spec.categorical:
        return spec
    if spec.dtype:
        raise SceneError(
            f"{name!r} says by a colour table or by flags that it holds classes, which {spec.name} does not: "
            "it was changed; give the original, or open it alone with as_band='continuous'"
        )
    return replace(said, name=spec.name)


def _says_classes(source: rasterio.DatasetReader, found: Iterable[Location]) -> bool:
    tags = source.tags(1)
    return (
        source.colorinterp[0] == ColorInterp.palette
        or any(one.name.endswith(".vat.dbf") for one in found)
        or tags.get("LAYER_TYPE", "").lower() == "thematic"
        or any(name in tags for name in _FLAGS)
    )
