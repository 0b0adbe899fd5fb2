"""What a scene consists of before any header is read: its files by band, and what a single file's name says. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from landsat_downsample.errors import ReadError, SceneError, UsageError
from landsat_downsample.formats import product_id
from landsat_downsample.formats.product_id import FileName, ProductId
from landsat_downsample.model.band import Band
from landsat_downsample.model.bands import BandSpec, coded, find, specs, unknown
from landsat_downsample.model.family import Family, metadata_kinds, usual
from landsat_downsample.model.indices import called
from landsat_downsample.model.location import Location, redacted_repr
from landsat_downsample.model.methods import STATS
from landsat_downsample.model.nearest import did_you_mean
from landsat_downsample.model.product import FRACTIONS

#: Any of these may hide behind a name that says nothing; the codes decide, once they are read.
_HIDDEN = ("c1", "pre", "qa_pixel")


@dataclass(frozen=True, slots=True)
class File:
    """Where a file is, and what is known of its bytes."""

    location: Location
    size: int | None = None
    checksum: str | None = None
    """Multihash, hex."""
    sidecars: tuple[Location, ...] = ()
    """What GDAL would read with it, as the listing of its folder says."""
    asset_key: str | None = None
    """Key of its asset, where a STAC item names it by one that may be repeated."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a scene, or of a single file."""

    __repr__ = redacted_repr

    id: str
    location: Location
    """What was asked for."""
    sensor: str | None = None
    level: int | None = None
    specs: dict[str, BandSpec] = field(default_factory=dict)
    """Meaning of each band that is there, by USGS name."""
    files: dict[str, File] = field(default_factory=dict)
    """Where each band is, by USGS name."""
    absent: tuple[str, ...] = ()
    metadata: dict[str, Location] = field(default_factory=dict)
    properties: dict[str, Any] = field(default_factory=dict)
    item_href: str | None = None
    requester_pays: bool = False
    single_file: bool = False
    skipped: tuple[str, ...] = ()
    """Rasters that are no band of the catalogue."""


def catalogue(product: ProductId) -> dict[str, BandSpec]:
    """Every band that a product may have, by USGS name.

    Raises
    ------
    SceneError
        Products of its family are no scenes.
    """
    if why := product.family.not_scenes:
        raise SceneError(f"scene {product.id} {why}: give its files one by one")
    return specs(product.sensor, product.level)


def metadata_kind(name: str) -> str | None:
    """Kind of a metadata file by its name, or None.

    >>> metadata_kind("LC08_L2SP_008059_20191201_20200825_02_T1_MTL.txt")
    'MTL.txt'
    """
    return next((kind for kind, known in metadata_kinds() if re.search(known.file, name, re.IGNORECASE)), None)


def check_metadata(kind: str, data: bytes, location: Location) -> None:
    """Refuse text that is no metadata file of that kind: another server's answer must not be published as one.

    Raises
    ------
    ReadError
        It does not begin as one does, or lacks what every one holds, such as the name of the spacecraft.
    """
    known = dict(metadata_kinds())[kind]
    if not re.match(known.begins, data) or known.holds not in data:
        raise ReadError(f"{location!r} is no {known.what} of a Landsat scene: correct its href, or leave it out")


def sort_bands(
    names: Iterable[str], product: ProductId, listed: Iterable[str] = ()
) -> tuple[dict[str, Any], dict[str, Any], tuple[Any, ...]]:
    """Find the bands among file names.

    Parameters
    ----------
    names : iterable of str
        Names of files that are there.
    listed : iterable of str
        Names that the scene's metadata lists; only these may be of bands that the catalogue does not know.
        Case and ending may differ: ``.tif`` for ``.TIF``.

    Returns
    -------
    (specs, files, skipped)
        Meaning and file name by USGS name, in the catalogue's order; and names of other rasters.
    """
    known, listed = catalogue(product), {product_id.folded(name) for name in listed}
    found: dict[str, tuple[BandSpec, str]] = {}
    skipped = []
    for name in sorted(name for name in names if product_id.is_tiff(name)):
        parts = product_id.parse_file(name)
        suffix = parts.suffix if parts is not None and parts.product.id == product.id else None
        spec = find(suffix, known) if suffix else None
        if spec is not None:
            found[spec.name] = spec, name
        elif suffix and is_of_product(suffix, known):
            continue
        elif product_id.folded(name) in listed:
            band = suffix or product_id.stem(name)
            found[band] = _unknown(band), name
        else:
            skipped.append(name)
    order = {band: rank for rank, band in enumerate(known)}
    bands = sorted(found, key=lambda band: (order.get(band, len(order)), band))
    return {b: found[b][0] for b in bands}, {b: found[b][1] for b in bands}, tuple(skipped)


def is_of_product(suffix: str, known: Mapping[str, BandSpec]) -> bool:
    """Whether a file is, by its suffix, one that products of ours have beside bands: fractions, or a band's statistic.

    >>> known = specs("oli_tirs", 2)
    >>> is_of_product("SR_B4_STD", known), is_of_product("SR_B4", known)
    (True, False)
    """
    band, _, stat = suffix.rpartition("_")
    if suffix.endswith(FRACTIONS) or called(suffix):
        return True
    return stat.lower() in STATS and (find(band, known) is not None or called(band) is not None)


def single_file_spec(name: str) -> BandSpec:
    """What the name of a single file says about its meaning.

    The ID of a product of scenes and a band are believed; other names are hints, to be held against
    the data type (`settle`) and, for quality bands, against the codes (`BandSpec.candidates`).

    Raises
    ------
    SceneError
        The name says that the file is of a kind whose meaning we do not know.
    """
    if why := product_id.unsupported(name):
        raise SceneError(f"{name!r} {why}; to read it all the same, say what it holds with as_band")
    parts, family = product_id.parse_file(name), product_id.family_of(name)
    if parts and not parts.product.family.not_scenes:
        found = _leading(parts.suffix, catalogue(parts.product))
        return found or _unknown(parts.suffix or product_id.stem(name))
    return _hinted(name, parts, family)


def _hinted(name: str, parts: FileName | None, family: Family | None) -> BandSpec:
    stem = product_id.stem(name)
    sensor = product_id.sensor_hint(name)
    tables = specs(sensor or "oli_tirs", 1) | specs(sensor or "oli_tirs", 2)
    token = _token(parts.suffix if parts and parts.suffix else stem, [*tables, "BQA"])
    if token is None:
        return _unknown(parts.suffix if parts and parts.suffix else stem)
    if token == "BQA":
        return _bqa(family)
    if sensor:
        return tables[token]
    if re.fullmatch(r"B\d+", token):  # which wavelength B4 is depends on the sensor
        return unknown(token)
    return replace(tables[token], common_name=None, wavelength=None, title="")


def _bqa(family: Family | None) -> BandSpec:
    """The quality band of a family before Collection 2; where none is known, its codes will say of which."""
    era = next((sensor for sensor in ("c1", "pre") if family and sensor in family.sensors), None)
    return specs(era, 1)["BQA"] if era else replace(specs("c1", 1)["BQA"], candidates=("c1", "pre"))


def _unknown(name: str) -> BandSpec:
    """A band that the catalogue does not know: classes, where its name says so."""
    return coded(name) or unknown(name)


def settle(spec: BandSpec, dtype: str, nodata: float | None, name: str) -> BandSpec:
    """Hold what a single file's name says against its data type.

    Raises
    ------
    SceneError
        The name is of a product, and that band has another data type or nodata value there.
    """
    named_only = spec.dtype is None and spec.kind == "class"
    if product_id.of_scenes(name):
        check_stored(spec, dtype, nodata, name)
    elif spec.dtype and dtype != spec.dtype:
        spec = unknown(spec.name)
    if named_only and dtype.startswith("float"):
        spec = unknown(spec.name)
    hidden = spec.dtype is None and spec.kind == "continuous" and dtype.startswith(("int", "uint"))
    return replace(spec, candidates=_HIDDEN) if hidden else spec


def check_dtype(spec: BandSpec, dtype: str, name: str) -> None:
    """Refuse a band whose data type is not the one that its family gives it."""
    if spec.dtype and dtype != spec.dtype:
        raise SceneError(
            f"{name!r}: {spec.name} is {spec.dtype} in {_title(name)}, this file holds {dtype}: it was changed; "
            "give the original, or open it alone with as_band='continuous'"
        )


def check_stored(spec: BandSpec, dtype: str, nodata: float | None, name: str) -> None:
    """Refuse a band whose data type or nodata value is not the one that its family gives it."""
    check_dtype(spec, dtype, name)
    if spec.fill is not None and spec.kind != "bits" and nodata not in (None, spec.fill):
        raise SceneError(
            f"{name!r}: nodata of {spec.name} is {spec.fill} in {_title(name)}, this file says {nodata:g}: "
            "it is damaged or was changed; give the original, or open it alone with as_band='continuous'"
        )


def check_scale(band: Band, name: str) -> None:
    """Refuse a band of integers whose own tags state another scale than its family's.

    Raises
    ------
    SceneError
        They do: nobody can know which one holds.
    """
    spec, own = band.spec, band.scaling
    if band.scale is None or spec.scale is None or own is None or spec.dtype != band.dtype:
        return
    wanted = spec.scale, spec.offset or 0.0
    if any(not math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-12) for one, other in zip(own, wanted, strict=True)):
        raise SceneError(
            f"{name!r} states scale {own[0]:g} and offset {own[1]:g}, {spec.name} has {wanted[0]:g} and {wanted[1]:g} "
            f"in {_title(name)}: correct its tags, or open it alone with as_band='continuous'"
        )


def _title(name: str) -> str:
    """The family of a file's name; the one that bare names of bands are of where it says none."""
    return (product_id.family_of(name) or usual()).title.removeprefix("Landsat ")


def forced_spec(name: str, as_band: str) -> BandSpec:
    """The meaning that the user gives a single file.

    Raises
    ------
    UsageError
        No sensor has a band of that name.
    """
    wanted = as_band.upper()
    if wanted == "CONTINUOUS":
        return unknown(product_id.stem(name))
    if wanted == "BQA":
        return _bqa(product_id.family_of(name))
    sensor = product_id.sensor_hint(name) or "oli_tirs"
    tables = {spec.name.upper(): spec for level in (1, 2, 3) for spec in specs(sensor, level).values()}
    if wanted not in tables:
        near = did_you_mean(as_band, ("continuous", "BQA", *tables))
        raise UsageError(f"as_band {as_band!r} is unknown{near}: give continuous, BQA or one of {', '.join(tables)}")
    return tables[wanted]


def _leading(suffix: str, known: dict[str, BandSpec]) -> BandSpec | None:
    """The band whose name a suffix is or begins with (``SR_B4_CROP``), the longest one."""
    names = sorted(known, key=len, reverse=True)
    return next((known[n] for n in names if re.match(re.escape(n.upper()) + r"(?![A-Z0-9])", suffix)), None)


def _token(text: str, names: Iterable[str]) -> str | None:
    """The one band name that stands in a text between other signs; None for none or several."""
    choices = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    found = set(re.findall(rf"(?<![A-Z0-9])(?:{choices})(?![A-Z0-9])", text.upper()))
    return found.pop() if len(found) == 1 else None
