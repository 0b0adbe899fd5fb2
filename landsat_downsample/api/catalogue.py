"""The catalogue of a destination's products, brought up to date."""

from __future__ import annotations

import os

from landsat_downsample.cubes import items_table
from landsat_downsample.cubes.catalogue import CatalogueOutcome, keep
from landsat_downsample.model.location import Location
from landsat_downsample.model.log import WARNING, tell


def catalogue(dest: str | os.PathLike[str]) -> CatalogueOutcome:
    """Keep a STAC collection and a table of a destination's products beside them.

    ``DEST/collection.json`` is a STAC 1.1 collection; ``DEST/items.parquet`` (stac-geoparquet) has its items, and needs
    the extra ``geoparquet``. `run` with a record does this at its end. Items are read of products that are new, and of
    those whose item has another size, time or ETag than before.

    Parameters
    ----------
    dest : str or path
        Folder or prefix that holds products.

    Returns
    -------
    CatalogueOutcome
        What was added, changed and removed.

    Raises
    ------
    UsageError
        It holds no finished product, or nothing can be written there.
    ReadError
        It cannot be listed.
    WriteError
        It takes no files.

    Examples
    --------
    >>> done = ld.run(ld.plan(scene, "out", factor=50, bands=["red", "qa_pixel"]))
    >>> ld.catalogue("out").products
    1
    >>> import pystac
    >>> [item.properties["gsd"] for item in pystac.Collection.from_file("out/collection.json").get_items()]
    [1500.0]
    """
    place = Location.checked(os.fspath(dest))
    outcome = keep(Location(place.path) if place.is_local else place)
    tell_of(outcome)
    return outcome


def tell_of(outcome: CatalogueOutcome) -> None:
    """Tell what became of a catalogue, in a line, and in one for each thing that is wrong."""
    for line in outcome.notes:
        tell("catalogue", line, WARNING)
    if outcome.left:
        text = "another process writes it, and looks again when it ends"
    else:
        text = f"{outcome.products} products in {outcome.href}"
        if outcome.items is None and not items_table.available():
            text += f"; items.parquet needs pip install '{items_table.EXTRA}'"
    tell("catalogue", f"catalogue: {text}", href=outcome.href)
