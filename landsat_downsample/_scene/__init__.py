"""Scenes and their bands, opened from whatever form Landsat comes in: headers only, no pixels."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from landsat_downsample import _bands, _store
from landsat_downsample._bands import BandSpec
from landsat_downsample._errors import SceneError, UsageError
from landsat_downsample._grid import Grid
from landsat_downsample._nearest import did_you_mean
from landsat_downsample._scene import _checksums, _frame, _listing, _validity
from landsat_downsample._scene._given import given_items
from landsat_downsample._scene._header import Band
from landsat_downsample._scene._listing import File, Listing
from landsat_downsample._scene._product_id import parse
from landsat_downsample._scene._read import read_header
from landsat_downsample._scene._sources import Finder, Source, lone
from landsat_downsample._shown import plain
from landsat_downsample._store._hrefs import check

if TYPE_CHECKING:
    from pystac import Item, ItemCollection

__all__ = ["Band", "Scene", "open_scene"]

#: Headers of remote bands read at once; a scene has about 20.
_THREADS = 8

#: Made from QA_PIXEL, and asked for as if it were a band.
_DERIVED = {"qa_fractions": "QA_PIXEL"}


@dataclass(frozen=True, slots=True, repr=False)
class Scene:
    """A Landsat scene, or a lone file: an id, one grid, and its bands by USGS name."""

    id: str
    """Landsat product ID, or the lone file's name without its ending."""
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
    properties: dict = field(default_factory=dict)
    """STAC properties known of it: datetime, platform, instruments, eo:cloud_cover, view:*, landsat:*."""
    item_href: str | None = None
    """The STAC item it came from, if it did."""
    requester_pays: bool = False
    """Whether its storage says that readers pay."""
    allow_hosts: tuple[str, ...] = ()
    """Hosts that may be of this machine or its own network when its files are read."""
    led: bool = False
    """Whether a document of another host led to its files: theirs may not be inside then, unless allowed."""

    def band(self, name: str) -> Band:
        """Return the band that answers to a USGS name (``SR_B4``) or a common name (``red``), in any case.

        Raises
        ------
        UsageError
            The scene has no such band.
        """
        spec = _bands.find(name, {key: band.spec for key, band in self.bands.items()})
        if spec is None:
            raise _no_band(name, self.id, [band.spec for band in self.bands.values()])
        return self.bands[spec.name]

    def __getitem__(self, name: str):
        """Open a band lazily, as a dask-backed `xarray.DataArray` of stored values, dimensions (y, x)."""
        from landsat_downsample import _coarsen

        return _coarsen.lazy_band(self, self.band(name))

    def dataset(self, names: Iterable[str] | None = None):
        """Open bands of one grid lazily, as an `xarray.Dataset`; all of them by default."""
        from landsat_downsample import _coarsen

        return _coarsen.lazy_dataset(self, names)

    def to_dict(self) -> dict:
        """Describe it in JSON types; signatures and passwords are taken out of every href."""
        record = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return record | {
            "grid": self.grid.to_dict(),
            "bands": {name: band.to_dict() for name, band in self.bands.items()},
            "absent": list(self.absent),
            "allow_hosts": list(self.allow_hosts),
            "metadata": {kind: _store.redact(href) for kind, href in self.metadata.items()},
        }

    @classmethod
    def from_dict(cls, record: dict) -> Scene:
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


def open_scene(
    source: str | os.PathLike | dict | Sequence[dict] | Item | ItemCollection,
    *,
    base: str | os.PathLike | None = None,
    bands: Iterable[str] | str | None = None,
    requester_pays: bool = False,
    as_band: str | None = None,
    allow_hosts: Iterable[str] = (),
) -> Scene:
    """Open a Landsat scene, or a single band file, by its headers.

    Parameters
    ----------
    source : str, path, dict, pystac.Item or pystac.ItemCollection, or a sequence of these items
        Href of a GeoTIFF, of a folder or prefix that holds one scene, of its ``_MTL.json``, ``.txt`` or
        ``.xml``, of a STAC item (USGS, Planetary Computer, Earth Search) or a catalogue that points to one,
        or of a ``.tar`` as EarthExplorer delivers it. Or a STAC item itself, or the items of one scene.
    base : str or path, optional
        Where items given as such were read: their relative hrefs start there, and where it is remote
        they may not point to this machine. By default an item of pystac knows it, and so does one whose ``self`` link
        is a path; the current directory otherwise.
    bands : iterable of str, optional
        USGS or common names, in any case; all by default. QA_PIXEL comes along where there is one.
    requester_pays : bool, optional
        Whether to pay for reading, where the storage asks for it.
    as_band : str, optional
        What a single file holds, against what its name says: ``continuous``, ``BQA``, ``SR_B4`` ...
    allow_hosts : iterable of str, optional
        Hosts of this machine or its own network that remote documents and redirects may lead to. The host of
        `source` itself is allowed to a document that is read there.

    Returns
    -------
    Scene
        All bands but the panchromatic one lie on its grid.

    Raises
    ------
    SceneError
        It is not one Landsat scene that can be read rightly.
    ReadError
        Something could not be fetched, or is not a TIFF.
    UsageError
        A band that the scene does not have.
    """
    policy = _store.Policy.from_environ().allowing(allow_hosts)
    policy = dataclasses.replace(policy, requester_pays=policy.requester_pays or requester_pays)
    return open_with(policy, source, base=base, bands=bands, as_band=as_band)


def open_with(
    policy: _store.Policy,
    source: str | os.PathLike | dict | Sequence[dict],
    *,
    base: str | os.PathLike | None = None,
    bands: Iterable[str] | str | None = None,
    as_band: str | None = None,
) -> Scene:
    """As `open_scene`, with a policy that says who pays, and whether a document of another host led here."""
    finder = Finder(policy)
    if isinstance(source, str | os.PathLike):
        href = _absolute(os.fspath(source))
        with _store.reading(href):
            found = finder.find(href) if as_band is None else Source(_as_lone(href, as_band))
            return _open(finder, found, bands, as_band)
    items, own = given_items(source)
    if as_band is not None:
        raise UsageError(f"as_band {as_band!r} says what a single file holds: a STAC item is not one")
    place = _absolute(os.fspath(base)) if base is not None else own or os.path.join(os.getcwd(), "item.json")
    led = Finder(_unproven(policy, own) if base is None else policy)
    with _store.reading(place):
        return _open(led, led.of_items(items, place), bands, as_band)


def open_given(source: str | os.PathLike | Sequence[dict], place: str | None, bands: Iterable[str] | None) -> Scene:
    """Open what `given_scenes` gives."""
    return open_with(_unproven(_store.Policy.from_environ(), place), source, base=place, bands=bands)


def _unproven(policy: _store.Policy, place: str | None) -> _store.Policy:
    """Where an item says itself that it is, is trusted no more than its other hrefs."""
    return dataclasses.replace(policy, led=policy.led or (place is not None and not _store.is_local(place)))


def _open(finder: Finder, found: Source, bands: Iterable[str] | str | None, as_band: str | None) -> Scene:
    finder = Finder(found.policy or finder.policy)
    if found.listing.lone:
        return _open_lone(finder, found.listing, bands, as_band)
    return _open_bands(finder, found, bands)


def _absolute(href: str) -> str:
    check(href)
    is_path = "://" not in href or href.lower().startswith("file://")
    return _store.local_path(href) if is_path else href


def _as_lone(href: str, as_band: str) -> Listing:
    if _store.is_tar(href) or (_store.is_local(href) and "://" not in href and os.path.isdir(href)):
        raise UsageError(f"as_band {as_band!r} says what a single file holds: {_store.redact(href)!r} is not one")
    return lone(href)


def _read(finder: Finder, listing: Listing, file: File, spec: BandSpec, fallback_grid: Callable) -> Band:
    # An item that says that readers pay was given by somebody who means to.
    pays = finder.policy.requester_pays or listing.requester_pays
    return read_header(
        file.href,
        spec,
        fallback_grid=fallback_grid,
        size=file.size,
        checksum=file.checksum,
        beside=file.beside,
        policy=dataclasses.replace(finder.policy, requester_pays=pays),
    )


# Lone files ----------------------------------------------------------------------------------


def _open_lone(finder: Finder, listing: Listing, bands: Iterable[str] | str | None, as_band: str | None) -> Scene:
    file = listing.files[""]
    name = _store.basename(file.href)
    spec = _listing.forced_spec(name, as_band) if as_band else _listing.lone_spec(name)

    def beside(shape: tuple[int, int]) -> Grid | None:
        mtl = finder.sibling_mtl(file.href)
        return _frame.fallback(mtl, spec.group, shape) if mtl else None

    guess = _bands.unknown(spec.name)  # its fill is not known before its data type is
    band = _read(finder, listing, file, guess, beside)
    band = _with_meaning(band, spec, name, forced=as_band is not None)
    product = parse(name)
    scene = Scene(
        id=listing.id,
        href=_store.redact(listing.href),
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


def _with_meaning(band: Band, spec: BandSpec, name: str, *, forced: bool) -> Band:
    """Give a band the meaning that its name or the user says, once its data type is known."""
    if not forced:
        spec = _listing.settle(spec, band.dtype, band.nodata, name)
        spec = _validity.settled(spec, band.spec, name)
    elif spec.categorical:
        _listing.check_dtype(spec, band.dtype, name)
    return dataclasses.replace(band, spec=spec, nodata=spec.fill if band.nodata is None else band.nodata)


# Scenes --------------------------------------------------------------------------------------


def _open_bands(finder: Finder, source: Source, bands: Iterable[str] | str | None) -> Scene:
    listing, mtl = source.listing, source.mtl
    wanted = _wanted(listing, bands)
    _warn(listing, bands is None)
    read = _read_all(finder, source, [*wanted, *_extra(listing, wanted)])
    for name, band in read.items():
        _listing.check_stored(band.spec, band.dtype, band.nodata, _store.basename(listing.files[name].href))
    grid = _frame.scene_grid(read, _frame.of(mtl) if mtl else None)
    _frame.check_predictors(read)
    if mtl is not None:
        _frame.check_mtl(mtl, read)
    elif len(read) == 1:  # nothing else tells of a damaged header
        _checksums.compare(band.href for band in read.values())
    read = {n: b if b.spec.group == _frame.PAN else dataclasses.replace(b, grid=grid) for n, b in read.items()}
    return Scene(
        id=listing.id,
        href=_store.redact(listing.href),
        grid=grid,
        bands={name: band for name, band in read.items() if name in wanted or name == "QA_PIXEL"},
        sensor=listing.sensor,
        level=listing.level,
        absent=listing.absent,
        metadata=listing.metadata,
        properties=listing.properties,
        item_href=listing.item_href,
        requester_pays=finder.policy.requester_pays or listing.requester_pays,
        allow_hosts=finder.policy.allow_hosts,
        led=finder.policy.led,
    )


def _names(bands: Iterable[str] | str | None) -> list[str]:
    if bands is None:
        return []
    names = bands.split(",") if isinstance(bands, str) else list(bands)
    names = [name.strip() for name in names]
    if not all(names):
        raise UsageError(f"bands {bands!r}: a name is empty; give names such as red,SR_B5,QA_PIXEL")
    return [_DERIVED.get(name.lower(), name) for name in names]


def _wanted(listing: Listing, bands: Iterable[str] | str | None) -> list[str]:
    """USGS names of the bands to open, in the order asked for."""
    if bands is None:
        return list(listing.specs)
    wanted = {}
    for name in _names(bands):
        spec = _bands.find(name, listing.specs)
        if spec is None:
            if missing := _bands.find(name, _absent_specs(listing)):
                raise SceneError(
                    f"band {missing.name} of {listing.id} is listed in its metadata but not there: fetch it"
                )
            raise _no_band(name, listing.id, listing.specs.values())
        wanted[spec.name] = None
    return list(wanted)


def _absent_specs(listing: Listing) -> dict[str, BandSpec]:
    known = _bands.specs(listing.sensor, listing.level) if listing.absent else {}
    return {band: known.get(band) or _bands.unknown(band) for band in listing.absent}


def _no_band(name: str, scene: str, specs: Collection[BandSpec]) -> UsageError:
    near = did_you_mean(name, (word for spec in specs for word in (spec.name, spec.common_name) if word))
    have = ", ".join(f"{s.name} ({s.common_name})" if s.common_name else s.name for s in specs)
    return UsageError(f"band {name!r} is not in {scene}{near}: it has {have}")


def _extra(listing: Listing, wanted: list[str]) -> list[str]:
    """Bands to open besides: the quality band, and one that tells the scene's grid."""
    extra = [name for name in ("QA_PIXEL",) if name in listing.specs and name not in wanted]
    if all(listing.specs[name].group == _frame.PAN for name in [*wanted, *extra]):
        extra += [name for name, spec in listing.specs.items() if spec.group != _frame.PAN][:1]
    return extra


def _warn(listing: Listing, everything: bool) -> None:
    if listing.absent and everything:
        warnings.warn(
            f"{listing.id}: {len(listing.absent)} bands listed in its metadata are not there: "
            f"{', '.join(listing.absent)}",
            stacklevel=4,
        )
    unknown = [name for name, spec in listing.specs.items() if spec.dtype is None]
    odd = [*listing.skipped, *unknown]
    if odd and everything:
        warnings.warn(
            f"{listing.id}: {len(odd)} rasters are not Landsat bands we know: {', '.join(odd[:6])}"
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
            return _frame.fallback(mtl, spec.group, shape) if mtl else None

        return _read(finder, listing, listing.files[name], spec, of_mtl)

    if all(_store.is_local(listing.files[name].href) for name in names):
        return {name: read(name) for name in names}
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="headers") as pool:
        return dict(zip(names, pool.map(read, names), strict=True))
