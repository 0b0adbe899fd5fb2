"""A finished product as its STAC item tells it: when, where, and what its files hold. None of them is opened."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote

import numpy as np
from affine import Affine

from landsat_downsample.errors import LandsatDownsampleError, SceneError
from landsat_downsample.formats import product_id
from landsat_downsample.formats.scene_files import single_file_spec
from landsat_downsample.model.band import Band
from landsat_downsample.model.bands import ALIASES, BandSpec, specs, unknown
from landsat_downsample.model.flags import FRACTION_NAMES
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.indices import INDEX_OF_MEANS, called, common_names
from landsat_downsample.model.location import Location
from landsat_downsample.model.methods import STATS
from landsat_downsample.model.product import FRACTIONS, SUFFIX

#: Options that decide what cells hold, as items record them: products that differ in one of these are no series.
DECISIVE = ("qa", "mask", "min_valid", "units")


@dataclass(frozen=True, slots=True)
class Layer:
    """What one band of a file of a product holds."""

    band: Band
    method: str
    """Reducer as recorded: ``mean``, ``conservative``, ``fraction``, ``count`` ..."""
    stat: str = ""
    """Statistic beside the mean, that the file's name tells."""
    number: int = 1
    """Of the band in its file, from 1."""
    share: str = ""
    """Which pixels are counted, of a band of QA_FRACTIONS: ``valid``, ``cloud``."""
    inputs: tuple[Layer, ...] = ()
    """Of an index that no file holds: the bands whose stored means it is made of."""

    @property
    def name(self) -> str:
        """USGS name, and the statistic: ``SR_B4``, ``SR_B4_STD``; of fractions which pixels: ``cloud``."""
        return self.share or (f"{self.band.name}_{self.stat.upper()}" if self.stat else self.band.name)

    @property
    def common_name(self) -> str:
        """The name that means the same for all sensors: ``red``, ``red_std``, ``qa_pixel``."""
        return f"{self.key}_{self.stat}" if self.stat else self.key

    @property
    def key(self) -> str:
        """The same without the statistic."""
        if self.share:
            return self.share
        key = self.band.spec.common_name or self.band.spec.asset_key
        return f"{key}_band" if key in FRACTION_NAMES else key  # cirrus is a band of light, and a share of pixels

    def answers_to(self, name: str, words: Mapping[str, str] = MappingProxyType({})) -> bool:
        """Whether a USGS or common name, in any case, means it; or one of the `words` for such names."""
        word = name.lower()
        stem, _, last = word.rpartition("_")
        stat = last if stem and last in STATS and last != "mean" else ""
        word = stem if stat else word
        if self.share or stat != self.stat:
            return not stat and word == self.share
        return words.get(word, word) in {*self.band.spec.names, self.key.lower()}


@dataclass(frozen=True, slots=True)
class ReducedScene:
    """A product: one acquisition on a coarse grid."""

    id: str
    """Of the source scene."""
    location: Location
    """Of its item."""
    grid: Grid
    first_cell: tuple[int, int]
    """(row, column) of its upper-left cell in the grid's own numbering."""
    grid_name: str
    time: np.datetime64 | None
    """When the scene was taken, UTC; the start of the day where no more is known."""
    layers: dict[str, Layer]
    """By `Layer.name`."""
    properties: dict[str, Any] = field(repr=False)
    options: dict[str, Any] = field(repr=False)
    sensor: str | None = None
    level: int | None = None
    stage: tuple[Any, ...] = ()
    """As of `ProductId.stage`, where its ID is one."""

    @property
    def acquisition(self) -> tuple[Any, ...]:
        """What two products of one and the same acquisition and level have in common."""
        said = self.properties
        place = tuple(str(said.get(f"landsat:wrs_{key}") or "") for key in ("type", "path", "row"))
        day = None if self.time is None else self.time.astype("datetime64[D]")
        if any(place):
            return (said.get("platform"), self.level, *place, day)
        product = product_id.parse(self.id)
        return product.acquisition if product else (self.id,)

    @classmethod
    def of(cls, item: dict[str, Any], location: Location) -> ReducedScene:
        """Read an item.

        Raises
        ------
        SceneError
            It is not the item of a product of this library.
        """
        try:
            said = item["properties"]
            identity = said["landsat_ds:source_id"]
            shape, transform = said["proj:shape"], said["proj:transform"]
            crs = said.get("proj:code") or said["proj:wkt2"]
            grid = Grid((int(shape[0]), int(shape[1])), Affine(*transform[:6]), crs)
            product = product_id.parse(identity)
            known = specs(product.sensor, product.level) if product and not product.family.not_scenes else {}
            layers = _layers(item, location, grid, known)
            row, column = said["landsat_ds:first_cell"]
            options = said["processing:expression"]["expression"]
        except (KeyError, TypeError, ValueError, LandsatDownsampleError) as error:
            what = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
            raise SceneError(f"{location!r} is not the item of a downsampled product: {what}") from error
        return cls(
            identity,
            location,
            grid,
            (row, column),
            str(said.get("landsat_ds:grid", "zone")),
            moment(said.get("datetime") or (said.get("start_datetime") if _is_dated(said) else None)),
            layers,
            said,
            options,
            product.sensor if product else None,
            product.level if product else None,
            product.stage if product else (),
        )

    def find(self, name: str, *, exact: bool = False) -> Layer | None:
        """The layer that a USGS or common name means, or whose common name it is; None where the product has none.

        An index of means, ``ndvi_of_means``, which no file holds is one of the means of bands that are there.
        """
        layers = sorted(self.layers.values(), key=lambda layer: not layer.share)
        if exact:
            known = next((one for one in layers if one.common_name == name), None)
        else:
            known = next((one for words in ({}, ALIASES) for one in layers if one.answers_to(name, words)), None)
        return known or self._index_of_means(name)

    def _index_of_means(self, name: str) -> Layer | None:
        index, order = called(name) or (None, "")
        if index is None or (order != INDEX_OF_MEANS and not index.plain):
            return None
        words = (common_names(band) for band in index.bands)
        inputs = [next((layer for word in some if (layer := self.find(word))), None) for some in words]
        bands = tuple(layer for layer in inputs if layer and (layer.band.scaling or layer.band.spec.physical))
        if len(bands) < len(inputs):
            return None
        first = bands[0].band
        band = Band(index.spec(order), first.href, self.grid, "float32", None, self.grid.shape, unit=index.unit)
        return Layer(band, INDEX_OF_MEANS, inputs=bands)


def moment(text: str | None) -> np.datetime64 | None:
    """A moment as RFC 3339 writes it, UTC; None of None."""
    if text is None:
        return None
    found = datetime.fromisoformat(text)
    found = found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC)
    return np.datetime64(found.replace(tzinfo=None), "ns")


def _is_dated(said: dict[str, Any]) -> bool:
    return not said.get("landsat_ds:datetime_unknown")


def _layers(item: dict[str, Any], location: Location, grid: Grid, known: dict[str, BandSpec]) -> dict[str, Layer]:
    found = {}
    prefix = item["id"].removesuffix(SUFFIX)
    before, after = (location.parent / "*").href.rsplit("*", 1)  # joined once: there are tens of files
    for asset in item["assets"].values():
        name = posixpath.basename(unquote(asset["href"]))
        if not product_id.is_tiff(name) or "bands" not in asset:
            continue
        stem = product_id.stem(name)
        spec, stat = _meaning(stem.removeprefix(prefix).lstrip("_.") or stem, known)
        for number, said in enumerate(asset["bands"], 1):
            nodata = said.get("nodata")
            band = Band(
                spec.stored_as(said["data_type"], said.get("unit"), scaled="raster:scale" in said),
                before + name + after,
                grid,
                said["data_type"],
                float("nan") if nodata == "nan" else nodata,
                grid.shape,
                scale=said.get("raster:scale"),
                offset=said.get("raster:offset"),
                unit=said.get("unit"),
                description=said.get("description"),
                size=asset.get("file:size"),
            )
            share = said["name"] if spec.name == FRACTIONS else ""
            layer = Layer(band, asset["landsat_ds:method"], stat, number, share)
            found[layer.name] = layer
    return found


def _meaning(key: str, known: dict[str, BandSpec]) -> tuple[BandSpec, str]:
    """What a file holds, by what its name adds to the product's, and which statistic of it."""
    stem, _, last = key.rpartition("_")
    stat = last.lower() if stem and last.isupper() and last.lower() in STATS and key not in known else ""
    name = stem if stat else key
    if name not in known and (index := called(name)):
        return index[0].spec(index[1]), stat
    if known or name == FRACTIONS:
        return known.get(name) or unknown(name), stat
    return single_file_spec(f"{name}.TIF"), stat
