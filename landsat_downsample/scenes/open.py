"""Scenes and their bands, opened from whatever form Landsat comes in: headers only, no pixels."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any

from landsat_downsample.errors import NoSceneError, UsageError
from landsat_downsample.formats import product_id, scene_files
from landsat_downsample.formats.product_id import parse
from landsat_downsample.formats.scene_files import File, Listing
from landsat_downsample.model import bands as bands_module
from landsat_downsample.model.band import Band
from landsat_downsample.model.bands import BandSpec
from landsat_downsample.model.crs import with_datum
from landsat_downsample.model.family import Family, of_sensor
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.indices import common_names, index_of
from landsat_downsample.model.location import Location
from landsat_downsample.model.policy import Policy
from landsat_downsample.model.product import FRACTIONS
from landsat_downsample.model.scene import Scene, no_such_band
from landsat_downsample.model.words import count_words, names_or_all, words
from landsat_downsample.scenes import checksums, frame, validity
from landsat_downsample.scenes.finder import Finder, Source, single_file
from landsat_downsample.scenes.frame import PAN
from landsat_downsample.scenes.given_items import given_items
from landsat_downsample.scenes.header import read_header
from landsat_downsample.storage import files

if TYPE_CHECKING:
    from pystac import Item, ItemCollection

#: Headers of bands of one host that are read at once by this process; a scene has about 20.
_THREADS = 16


@cache
def _pool(_process: int, _host: str | None) -> ThreadPoolExecutor:
    """Threads that read headers, the same for all scenes of a host: in a new one PROJ opens its database, 7 ms of CPU.

    A host that hangs holds up its own scenes alone.
    """
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="headers")


def open_scene(
    source: str | os.PathLike[str] | dict[str, Any] | Sequence[dict[str, Any]] | Item | ItemCollection,
    *,
    base: str | os.PathLike[str] | None = None,
    bands: Iterable[str] | str | None = None,
    requester_pays: bool = False,
    as_band: str | None = None,
    allow_hosts: Iterable[str] = (),
) -> Scene:
    """Open a scene, or a single band file, by its headers: see `landsat_downsample.open_scene`."""
    policy = Policy.from_environ().allowing(allow_hosts)
    policy = dataclasses.replace(policy, requester_pays=policy.requester_pays or requester_pays)
    return open_with(policy, source, base=base, bands=bands, as_band=as_band)


def open_with(
    policy: Policy,
    source: str | os.PathLike[str] | dict[str, Any] | Sequence[dict[str, Any]] | Item | ItemCollection,
    *,
    base: str | os.PathLike[str] | None = None,
    bands: Iterable[str] | str | None = None,
    as_band: str | None = None,
    indices: Iterable[str] = (),
) -> Scene:
    """As `open_scene`, with a policy that says who pays, and whether a document of another host led here.

    Of `bands` and those that spectral indices are made of, as far as it has these.
    """
    finder, bands = Finder(policy), names_or_all(bands)
    if isinstance(source, str | os.PathLike):
        location = _absolute(os.fspath(source))
        with files.reading(location):
            found = finder.find(location) if as_band is None else Source(_as_single_file(location, as_band))
            return _open(finder, found, bands, as_band, indices)
    items, own = given_items(source)
    if as_band is not None:
        raise UsageError(f"as_band {as_band!r} says what a single file holds: a STAC item is not one")
    place = _absolute(os.fspath(base)) if base is not None else Location(own or os.path.join(os.getcwd(), "item.json"))
    led = Finder(unproven(policy, own) if base is None else policy)
    with files.reading(place):
        return _open(led, led.of_items(items, place), bands, as_band, indices)


def unproven(policy: Policy, place: str | None) -> Policy:
    """Where an item says itself that it is, is trusted no more than its other hrefs."""
    return dataclasses.replace(policy, led=policy.led or (place is not None and not Location(place).is_local))


def _open(
    finder: Finder,
    found: Source,
    bands: Iterable[str] | str | None,
    as_band: str | None,
    indices: Iterable[str],
) -> Scene:
    finder = Finder(found.policy or finder.policy)
    if found.listing.single_file:
        return _open_single_file(finder, found.listing, bands, as_band)
    return _open_bands(finder, found, bands, indices)


def _absolute(href: str) -> Location:
    location = Location.checked(href)
    is_path = "://" not in href or href.lower().startswith("file://")
    return Location(location.path) if is_path else location


def _as_single_file(location: Location, as_band: str) -> Listing:
    if location.is_archive or (location.kind == "file" and os.path.isdir(location.path)):
        raise UsageError(f"as_band {as_band!r} says what a single file holds: {location!r} is not one")
    return single_file(location)


def _read(finder: Finder, listing: Listing, file: File, spec: BandSpec, fallback_grid: Callable[..., Any]) -> Band:
    # An item that says that readers pay was given by somebody who means to.
    pays = finder.policy.requester_pays or listing.requester_pays
    band = read_header(
        file.location,
        spec,
        fallback_grid=fallback_grid,
        size=file.size,
        checksum=file.checksum,
        sidecars=file.sidecars,
        policy=dataclasses.replace(finder.policy, requester_pays=pays),
    )
    return dataclasses.replace(band, asset_key=file.asset_key)


def _open_single_file(
    finder: Finder, listing: Listing, bands: Iterable[str] | str | None, as_band: str | None
) -> Scene:
    file = listing.files[""]
    name = file.location.name
    spec = scene_files.forced_spec(name, as_band) if as_band else scene_files.single_file_spec(name)

    def sibling_grid(shape: tuple[int, int]) -> Grid | None:
        mtl = finder.sibling_mtl(file.location)
        return frame.fallback(mtl, spec.group, shape) if mtl else None

    guess = bands_module.unknown(spec.name)  # its fill is not known before its data type is
    band = _placed(_read(finder, listing, file, guess, sibling_grid), product_id.family_of(name))
    band = _with_meaning(band, spec, name, forced=as_band is not None)
    product = parse(name)
    scene = Scene(
        id=listing.id,
        href=listing.location.shown,
        grid=band.grid,
        bands={band.name: band},
        sensor=product.sensor if product else None,
        level=product.level if product else None,
        lone=True,
        properties=listing.properties or (product.properties() if product else {}),
        item_href=listing.item_href,
        requester_pays=finder.policy.requester_pays or listing.requester_pays,
        allow_hosts=finder.policy.allow_hosts,
        led=finder.policy.led,
    )
    for wanted in _names(bands):
        scene.band(wanted)
    return scene


def _placed(band: Band, family: Family | None) -> Band:
    """A band on its grid, whose CRS has the datum that its family's files may leave out."""
    if family is None or not family.unknown_datum:
        return band
    return dataclasses.replace(band, grid=dataclasses.replace(band.grid, crs=with_datum(band.grid.crs)))


def _with_meaning(band: Band, spec: BandSpec, name: str, *, forced: bool) -> Band:
    """Give a band the meaning that its name or the user says, once its data type is known."""
    if not forced:
        spec = scene_files.settle(spec, band.dtype, band.nodata, name)
        scene_files.check_scale(dataclasses.replace(band, spec=spec), name)
        spec = validity.settled(spec, band.spec, name)
    elif spec.categorical:
        scene_files.check_dtype(spec, band.dtype, name)
    return dataclasses.replace(band, spec=spec, nodata=spec.fill if band.nodata is None else band.nodata)


def _open_bands(finder: Finder, source: Source, bands: Iterable[str] | str | None, indices: Iterable[str]) -> Scene:
    listing, mtl = source.listing, source.mtl
    wanted = _wanted(listing, bands)
    wanted += [name for name in _of_indices(listing, indices) if name not in wanted]
    _warn(listing, bands is None)
    read = _read_all(finder, source, [*wanted, *_extra(listing, wanted)])
    for name, band in read.items():
        scene_files.check_stored(band.spec, band.dtype, band.nodata, listing.files[name].location.name)
        scene_files.check_scale(band, listing.files[name].location.name)
    family = of_sensor(listing.sensor)
    read = {name: _placed(band, family) for name, band in read.items()}
    grid = frame.scene_grid(read, frame.of(mtl) if mtl else None)
    frame.check_predictors(read)
    if mtl is not None:
        frame.check_mtl(mtl, read)
    elif len(read) == 1:  # nothing else shows a damaged header
        checksums.compare(band.location for band in read.values())
    read = {n: b if b.spec.group == PAN else dataclasses.replace(b, grid=grid) for n, b in read.items()}
    return Scene(
        id=listing.id,
        href=listing.location.shown,
        grid=grid,
        bands={name: band for name, band in read.items() if name in wanted or band.spec.quality},
        sensor=listing.sensor,
        level=listing.level,
        absent=listing.absent,
        metadata={kind: one.href for kind, one in listing.metadata.items()},
        properties=listing.properties,
        item_href=listing.item_href,
        requester_pays=finder.policy.requester_pays or listing.requester_pays,
        allow_hosts=finder.policy.allow_hosts,
        led=finder.policy.led,
    )


def _names(bands: Iterable[str] | str | None) -> list[str]:
    if bands is None:
        return []
    names = words(bands, empty=True)
    if not all(names):
        raise UsageError(f"bands {bands!r}: a name is empty; give names such as red,SR_B5,QA_PIXEL")
    return list(names)


def _wanted(listing: Listing, bands: Iterable[str] | str | None) -> list[str]:
    """USGS names of the bands to open, in the order asked for."""
    if bands is None:
        return list(listing.specs)
    wanted: dict[str, None] = {}
    for name in _names(bands):
        spec = bands_module.find(name, listing.specs)
        if spec is None and name.upper() == FRACTIONS:  # made of the quality band
            spec = _quality(listing)
        if spec is None:
            if missing := bands_module.find(name, _absent_specs(listing)):
                raise NoSceneError(
                    f"band {missing.name} of {listing.id} is listed in its metadata but not there: fetch it"
                )
            raise no_such_band(name, listing.id, listing.specs.values())
        wanted[spec.name] = None
    return list(wanted)


def _of_indices(listing: Listing, indices: Iterable[str]) -> list[str]:
    """USGS names of the bands that indices are made of; what is not there is told when they are planned."""
    words = [word for index in indices for band in index_of(index).bands for word in common_names(band)]
    found = (bands_module.find(word, listing.specs) for word in words)
    return list(dict.fromkeys(spec.name for spec in found if spec))


def _quality(listing: Listing) -> BandSpec | None:
    return next((spec for spec in listing.specs.values() if spec.quality), None)


def _absent_specs(listing: Listing) -> dict[str, BandSpec]:
    known = bands_module.specs(listing.sensor, listing.level) if listing.absent else {}
    return {band: known.get(band) or bands_module.unknown(band) for band in listing.absent}


def _extra(listing: Listing, wanted: list[str]) -> list[str]:
    """Bands to open besides: the quality band, and one that has the scene's grid."""
    extra = [name for name, spec in listing.specs.items() if spec.quality and name not in wanted]
    if all(listing.specs[name].group == PAN for name in [*wanted, *extra]):
        extra += [name for name, spec in listing.specs.items() if spec.group != PAN][:1]
    return extra


def _warn(listing: Listing, everything: bool) -> None:
    if listing.absent and everything:
        warnings.warn(
            f"{listing.id}: {count_words(len(listing.absent), 'band')} listed in its metadata not found: "
            f"{', '.join(listing.absent)}",
            stacklevel=4,
        )
    unknown = [name for name, spec in listing.specs.items() if spec.dtype is None]
    odd = [*listing.skipped, *unknown]
    if odd and everything:
        warnings.warn(
            f"{listing.id}: {count_words(len(odd), 'raster')} of no Landsat band we know: {', '.join(odd[:6])}"
            + (f"; averaged as plain numbers: {', '.join(unknown)}" if unknown else "; left out"),
            stacklevel=4,
        )


def _read_all(finder: Finder, source: Source, names: list[str]) -> dict[str, Band]:
    """Read the headers of bands: one after another on this machine, at once from remote stores."""
    listing = source.listing

    def read(name: str) -> Band:
        spec = listing.specs[name]

        def of_mtl(shape: tuple[int, int]) -> Grid | None:
            mtl = source.mtl or finder.read_mtl(listing.metadata)
            return frame.fallback(mtl, spec.group, shape) if mtl else None

        return _read(finder, listing, listing.files[name], spec, of_mtl)

    if all(listing.files[name].location.is_local for name in names):
        return {name: read(name) for name in names}
    pool = _pool(os.getpid(), listing.files[names[0]].location.host)
    return dict(zip(names, pool.map(read, names), strict=True))
