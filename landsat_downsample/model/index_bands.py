"""The bands of a scene that an index is made of, and the one that it is. Pure."""

from __future__ import annotations

from dataclasses import replace

from landsat_downsample.errors import UsageError
from landsat_downsample.model.band import Band
from landsat_downsample.model.indices import Index, common_names
from landsat_downsample.model.scene import Scene
from landsat_downsample.model.units import scalings


def inputs_of(scene: Scene, index: Index) -> tuple[Band, ...]:
    """The bands of a scene that an index takes, in the order of its formula.

    Raises
    ------
    UsageError
        The scene lacks one, or they are not in its units, or not of the same pixels.
    """
    by_name = {band.spec.common_name: band for band in scene.bands.values() if not band.spec.categorical}
    found = {name: next((by_name[n] for n in common_names(name) if n in by_name), None) for name in index.bands}
    if lacking := [name for name, band in found.items() if band is None]:
        have = ", ".join(str(name) for name in by_name if name) or ", ".join(scene.bands)
        raise UsageError(
            f"index {index.name} needs {', '.join(lacking)}, which {scene.id} does not have: it has {have}"
        )
    bands = tuple(band for band in found.values() if band)
    scalings(scene, (band.name for band in bands), f"index {index.name}")
    for band in bands:
        unit = band.unit or band.spec.unit or "1"
        if unit != index.unit:
            what = "reflectance" if index.unit == "1" else f"a surface temperature in {index.unit}"
            raise UsageError(f"index {index.name} is made of {what}, and {band.name} of {scene.id} is in {unit}")
        if band.grid != bands[0].grid:
            sizes = " and ".join(f"{b.name} {b.grid.resolution[1]:g}" for b in (bands[0], band))
            raise UsageError(f"index {index.name} needs bands of the same pixels, and those of {scene.id} are {sizes}")
    return bands


def found_inputs(scene: Scene, index: Index) -> dict[str, Band]:
    """Those of the bands of an index that a scene has, by the names that the formula has for them."""
    by_name = {band.spec.common_name: band for band in scene.bands.values() if not band.spec.categorical}
    pairs = ((name, next((by_name[n] for n in common_names(name) if n in by_name), None)) for name in index.bands)
    return {name: band for name, band in pairs if band}


def band_of(index: Index, inputs: tuple[Band, ...], order: str) -> Band:
    """What stands for an index among the bands of a scene; the band itself where the index is one."""
    if index.plain:
        [band] = inputs
        named = index.spec(order)
        return replace(
            band, spec=replace(band.spec, name=named.name, title=named.title, key=named.key, common_name=None),
            description=None, asset_key=None,
        )  # fmt: skip
    first = inputs[0]
    sizes = [band.size for band in inputs]
    return Band(
        index.spec(order),
        first.href,
        first.grid,
        "float32",
        None,
        first.block_shape,
        unit=index.unit,
        size=None if None in sizes else sum(size or 0 for size in sizes),
        requester_pays=first.requester_pays,
        allow_hosts=first.allow_hosts,
        led=first.led,
    )
