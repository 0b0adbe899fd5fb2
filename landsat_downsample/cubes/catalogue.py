"""The catalogue of a destination: a STAC collection and a table of its products, kept beside them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from landsat_downsample.cubes import items_table
from landsat_downsample.cubes.catalogued_items import COLLECTION, KEPT, TABLE, KeptItems, Listing
from landsat_downsample.cubes.reduced_scene import ReducedScene
from landsat_downsample.cubes.stac_collection import collection, dimensions_of, with_table
from landsat_downsample.errors import (
    LandsatDownsampleError,
    MissingError,
    ReadError,
    SceneError,
    UsageError,
    WriteError,
)
from landsat_downsample.model.location import Location
from landsat_downsample.model.product import MARKER
from landsat_downsample.products.met import dumps
from landsat_downsample.storage import files, small_objects
from landsat_downsample.storage.lease import HeldError, Lease

#: Seconds to wait for another writer before the rest is left to it, and between two tries.
WAIT, _STEP = 60.0, 0.2
#: Items of a remote store that are read at once.
_THREADS = 16


@dataclass(frozen=True, slots=True)
class CatalogueOutcome:
    """What became of a catalogue.

    Examples
    --------
    >>> done = ld.run(ld.plan(scene, "out", factor=50, bands=["red", "qa_pixel"]))
    >>> outcome = ld.catalogue("out")
    >>> outcome.products, outcome.added
    (1, ('LC08_L2SP_192028_20230714_20230724_02_T1_downsampled',))
    >>> ld.catalogue("out").written      # nothing has changed
    False
    """

    href: str
    """Of its collection."""
    products: int
    """That it has."""
    items: str | None = None
    """Href of the table of its items; None where there is none, as the extra that writes it is not installed."""
    added: tuple[str, ...] = ()
    """Names of products that are new in it."""
    changed: tuple[str, ...] = ()
    """Of those whose item was another one."""
    removed: tuple[str, ...] = ()
    """Of those that are gone."""
    notes: tuple[str, ...] = ()
    """What is wrong: a line for each product that it leaves out, and for a table that cannot be made."""
    written: bool = False
    """Whether it was not yet as it is now."""
    left: bool = False
    """Whether the rest was left to another writer, who was at work all the time and looks again when it ends."""


def keep(dest: Location) -> CatalogueOutcome:
    """Bring the catalogue of a destination up to date.

    Items are read of products that it does not have, or whose item has another size, time or ETag in the listing.
    Writers take turns. Who finds another one at work leaves a note, and tries again until its turn comes or `WAIT` is
    over; who has written takes the notes of others before it lists, and begins again where it finds one after its turn.
    So whoever ends last has listed after every note.

    Raises
    ------
    UsageError
        There is no product and no catalogue, or nothing can be written there.
    ReadError
        The destination cannot be listed.
    WriteError
        It takes no files.
    """
    if not dest.is_writable:
        raise UsageError(f"cannot keep a catalogue at {dest!r}: give a folder, s3:// or another fsspec store")
    if dest.is_local and not os.path.isdir(dest.path):
        raise UsageError(f"{dest!r} is no folder: give the destination of a run")
    note, until, noted = dest / f".{COLLECTION}.again", time.monotonic() + WAIT, False
    while True:
        try:
            with Lease(dest / COLLECTION) as lease:
                _remove(note)
                outcome = _updated(dest, lease)
        except HeldError:
            if not noted:
                noted = small_objects.put(note, b"")
            elif time.monotonic() > until:
                return CatalogueOutcome((dest / COLLECTION).href, 0, left=True)
            else:
                time.sleep(_STEP)
            continue
        if not files.exists(note):
            return outcome


def _updated(dest: Location, lease: Lease) -> CatalogueOutcome:
    kept = KeptItems.read(dest)
    listing = Listing.of(dest, kept.stamps)
    if not listing.items and COLLECTION not in listing.files:
        raise UsageError(f"{dest!r} holds no finished product: give the destination of a run")
    there = {name: stamp[0] for name, stamp in listing.files.items()}
    full = there.keys() >= {COLLECTION} and (TABLE in there or not listing.items or not items_table.available())
    if full and kept.are_all(listing):  # without unpacking them, which takes longer than all else
        return _outcome(dest, len(listing.items), TABLE in there)
    items = kept.current(listing)
    unknown = sorted(listing.items.keys() - items.keys())
    notes: list[str] = []
    for name, found in zip(unknown, _read(dest, unknown), strict=True):
        if isinstance(found, dict):
            items[name] = found
        elif not isinstance(found, MissingError):  # removed meanwhile
            notes.append(f"left out of the catalogue: {found}")
    current = items.keys() == kept.stamps.keys() and not items.keys() & set(unknown) and kept.sizes == there and full
    if not current:
        there = _write(dest, lease, items, listing, notes)
    return replace(
        _outcome(dest, len(items), TABLE in there),
        added=tuple(name for name in unknown if name in items and name not in kept.stamps),
        changed=tuple(name for name in unknown if name in items and name in kept.stamps),
        removed=tuple(sorted(kept.stamps.keys() - items.keys())),
        notes=tuple(notes),
        written=not current,
    )


def _outcome(dest: Location, products: int, table: bool) -> CatalogueOutcome:
    return CatalogueOutcome((dest / COLLECTION).href, products, (dest / TABLE).href if table else None)


def _write(
    dest: Location, lease: Lease, items: dict[str, dict[str, Any]], listing: Listing, notes: list[str]
) -> dict[str, int]:
    """Write the table, the collection that names it, and last what says that both are as they should be.

    Returns
    -------
    dict
        Sizes of the first two.
    """
    items = dict(sorted(items.items()))
    scenes = {name: _scene(dest, name, item) for name, item in items.items()}
    made = collection(
        dest, dimensions_of(list(scenes.values())), items, _before(dest) if COLLECTION in listing.files else {}
    )
    written: dict[str, bytes] = {}
    if items and items_table.available():
        try:
            written[TABLE] = items_table.table(items.items(), made["id"])
            made = with_table(made, written[TABLE])
        except WriteError as error:
            notes.append(str(error))
    written[COLLECTION] = dumps(made)
    sizes = {name: len(data) for name, data in written.items()}
    written[KEPT] = KeptItems.of({name: listing.items[name] for name in items}, items, sizes).dumped()
    lease.check()
    if TABLE not in written and TABLE in listing.files:  # who reads it would miss products, and not know
        _remove(dest / TABLE)
    for name, data in written.items():
        lease.check()
        small_objects.put(dest / name, data)
    return sizes


def _before(dest: Location) -> dict[str, Any]:
    try:
        record = json.loads(files.read_bytes(dest / COLLECTION, limit=1 << 28))
    except (ReadError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _read(dest: Location, names: Sequence[str]) -> list[dict[str, Any] | LandsatDownsampleError]:
    if dest.is_local or len(names) < 2:
        return [_item(dest, name) for name in names]
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="items") as pool:
        return list(pool.map(lambda name: _item(dest, name), names))


def _item(dest: Location, name: str) -> dict[str, Any] | LandsatDownsampleError:
    """The item of a product; what is wrong with one that is no item of ours."""
    place = dest / name / (name + MARKER)
    try:
        item = json.loads(files.read_bytes(place))
        _scene(dest, name, item)
    except ValueError as error:
        return SceneError(f"{place!r} is not JSON: {error}")
    except (ReadError, SceneError) as error:
        return error
    found: dict[str, Any] = item
    return found


def _scene(dest: Location, name: str, item: dict[str, Any]) -> ReducedScene:
    return ReducedScene.of(item, dest / name / (name + MARKER))


def _remove(place: Location) -> None:
    if place.is_local:
        with suppress(FileNotFoundError):
            os.unlink(place.path)
    else:
        small_objects.remove(place)
