"""Synthetic scenes of other families than Landsat Collection 2: what of a recipe is theirs, and what texts."""

from __future__ import annotations

import json
import math
import uuid
from abc import abstractmethod
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar
from xml.sax.saxutils import escape

from affine import Affine
from rasterio.warp import transform_geom

from landsat_downsample.errors import UsageError
from landsat_downsample.model.bands import BandSpec
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.mgrs import MgrsTiles
from landsat_downsample.model.named_grids import named
from landsat_downsample.model.target_grid import TargetGrid
from landsat_downsample.testing.synthetic.recipe import MISSIONS, Recipe

COG_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"


def recipe_of(sensor: str, level: int | None, size: tuple[int, int], seed: int, southern: bool) -> Recipe:
    """The recipe of a lone scene.

    Raises
    ------
    UsageError
        There is no such sensor or level, or the size is too small.
    """
    if sensor not in MISSIONS:
        raise UsageError(f"no synthetic sensor {sensor!r}: choose one of {', '.join(MISSIONS)}")
    level = MISSIONS[sensor].levels[-1] if level is None else level
    return RECIPES.get(sensor.partition("-")[0], Recipe)(sensor, level, size, seed, southern)


@dataclass(frozen=True, slots=True)
class FamilyRecipe(Recipe):
    """A scene of another family. What is smaller than one of its tiles lies where a Landsat scene's frame begins."""

    area_or_point = "Area"

    def nodata_of(self, spec: BandSpec) -> float | None:
        """The value that the file of a band states as no data."""
        return math.nan if str(spec.dtype).startswith("float") else spec.fill

    @abstractmethod
    def write_texts(self, target: Path, chosen: tuple[BandSpec, ...], cloud_cover: float) -> None:
        """Write what comes beside the bands: metadata, and the STAC item."""

    def stac_item(self, chosen: tuple[BandSpec, ...], properties: dict[str, Any]) -> dict[str, Any]:
        """An item whose assets have the names of its archive."""
        left, bottom, right, top = self.grid.bounds
        ring = [[left, top], [left, bottom], [right, bottom], [right, top], [left, top]]
        geometry = transform_geom(self.crs, "EPSG:4326", {"type": "Polygon", "coordinates": [ring]}, precision=6)
        lon, lat = zip(*geometry["coordinates"][0], strict=True)
        return {
            "type": "Feature",
            "stac_version": "1.0.0",
            "stac_extensions": [
                f"https://stac-extensions.github.io/{name}/v1.0.0/schema.json" for name in ("eo", "projection", "view")
            ],
            "id": self.product_id,
            "bbox": [min(lon), min(lat), max(lon), max(lat)],
            "geometry": geometry,
            "properties": {
                "datetime": f"{self.centre_time:%Y-%m-%dT%H:%M:%S.%f}Z",
                **properties,
                "proj:shape": list(self.grid.shape),
                "proj:transform": [*list(self.grid.transform)[:6], 0.0, 0.0, 1.0],
            },
            "links": [{"rel": "self", "href": f"./{self.product_id}_stac.json"}],
            "assets": {spec.asset_key: self._asset(spec) for spec in chosen},
        }

    def _asset(self, spec: BandSpec) -> dict[str, Any]:
        return {
            "href": f"./{self.band_file(spec)}",
            "type": COG_TYPE,
            "roles": ["data"],
            "eo:bands": [{"name": spec.asset_key}],
        }


@dataclass(frozen=True, slots=True)
class HlsRecipe(FamilyRecipe):
    """A granule of HLS version 2.0: pixels whose edges are multiples of 30 m, where Landsat's are 15 m off."""

    states_scale = True

    @property
    def tile(self) -> str:
        """Its tile of the Military Grid Reference System, such as ``T33TUN``."""
        x, y = self._corner
        touched = MgrsTiles(Fraction(30), self.zone).touched((x, y - 30, x + 30, y))
        return touched[0]

    @property
    def _corner(self) -> tuple[float, float]:
        """Left and top of its first pixel: of a whole tile the tile's own."""
        x, y = Recipe.upper_left.fget(self)  # type: ignore[attr-defined]
        x, y = x + 15, y - 15
        if self.size != self.mission.size:
            return x, y
        tiles = MgrsTiles(Fraction(30), self.zone)
        _, lattice = tiles.find(tiles.touched((x, y - 30, x + 30, y))[0])
        return float(lattice.origin[1]), float(lattice.origin[0])

    @property
    def upper_left(self) -> tuple[float, float]:
        """Centre (x, y) of the first pixel."""
        x, y = self._corner
        return x + 15, y - 15

    @property
    def product_id(self) -> str:
        """Granule ID."""
        return f"HLS.{self.prefix}.{self.tile}.{self.centre_time:%Y%jT%H%M%S}.v2.0"

    @property
    def platform(self) -> str:
        """The satellite; an odd seed is seen by the other one."""
        pair = ("LANDSAT-8", "LANDSAT-9") if self.prefix == "L30" else ("Sentinel-2A", "Sentinel-2B")
        return pair[self.seed % 2]

    def write_texts(self, target: Path, chosen: tuple[BandSpec, ...], cloud_cover: float) -> None:
        """Write the granule's record (``cmr.xml``) and its STAC item, as LP DAAC has them."""
        elevation, azimuth = self.sun
        properties = {
            "platform": self.platform.lower(),
            "instruments": ["oli"] if self.prefix == "L30" else ["msi"],
            "eo:cloud_cover": round(cloud_cover),
            "view:sun_azimuth": round(azimuth % 360, 8),
            "sci:doi": f"10.5067/HLS/HLS{self.prefix}.002",
            "proj:epsg": int(self.crs.removeprefix("EPSG:")),
        }
        item = json.dumps(self.stac_item(chosen, properties), indent=2)
        (target / f"{self.product_id}_stac.json").write_text(item, "utf-8")
        said = {
            "CLOUD_COVERAGE": round(cloud_cover),
            "MGRS_TILE_ID": self.tile[1:],
            "REF_SCALE_FACTOR": 0.0001,
            "ANG_SCALE_FACTOR": 0.01,
            "FILLVALUE": -9999,
            "QA_FILLVALUE": 255,
            "NCOLS": self.size[0],
            "NROWS": self.size[1],
            "MEAN_SUN_AZIMUTH_ANGLE": round(azimuth % 360, 8),
            "MEAN_SUN_ZENITH_ANGLE": round(90 - elevation, 8),
        }
        (target / f"{self.product_id}.cmr.xml").write_text(self._granule(said), "utf-8")

    def _granule(self, said: dict[str, Any]) -> str:
        time = f"{self.centre_time:%Y-%m-%dT%H:%M:%S.%f}Z"
        attributes = "\n".join(
            f"    <AdditionalAttribute>\n      <Name>{escape(name)}</Name>\n"
            f"      <Values>\n        <Value>{value}</Value>\n      </Values>\n    </AdditionalAttribute>"
            for name, value in said.items()
        )
        return (
            f"<Granule>\n  <GranuleUR>{self.product_id}</GranuleUR>\n"
            "  <Temporal>\n    <RangeDateTime>\n"
            f"      <BeginningDateTime>{time}</BeginningDateTime>\n      <EndingDateTime>{time}</EndingDateTime>\n"
            "    </RangeDateTime>\n  </Temporal>\n"
            f"  <Platforms>\n    <Platform>\n      <ShortName>{self.platform}</ShortName>\n    </Platform>\n"
            f"  </Platforms>\n  <AdditionalAttributes>\n{attributes}\n  </AdditionalAttributes>\n</Granule>\n"
        )


@dataclass(frozen=True, slots=True)
class ArdRecipe(FamilyRecipe):
    """A tile of US ARD, Collection 2, of two source scenes; one that is smaller begins at the tile's corner."""

    #: Tile of the conterminous states: column and row.
    tile: ClassVar[tuple[int, int]] = (5, 2)

    def nodata_of(self, spec: BandSpec) -> float | None:
        """The value that the file of a band states as no data."""
        return None if spec.kind == "bits" else spec.fill

    @property
    def _tile_grid(self) -> TargetGrid:
        column, row = self.tile
        return named(f"ard:CU:30:h{column:03d}v{row:03d}", Grid((1, 1), Affine.scale(1, -1), "EPSG:4326"))

    @property
    def crs(self) -> str:
        """Albers' equal-area projection of the conterminous states, which has no code."""
        return self._tile_grid.lattice.crs

    @property
    def upper_left(self) -> tuple[float, float]:
        """Centre (x, y) of the first pixel."""
        left, _, _, top = self._tile_grid.bounds
        return left + 15, top - 15

    @property
    def product_id(self) -> str:
        """ID of the tile."""
        column, row = self.tile
        return f"{self.prefix}_CU_{column:03d}{row:03d}_{self.acquired:%Y%m%d}_{self.processed:%Y%m%d}_02"

    def write_texts(self, target: Path, chosen: tuple[BandSpec, ...], cloud_cover: float) -> None:
        """Write the tile's metadata, with a part for each of its source scenes, as USGS has it."""
        column, row = self.tile
        tile = {
            "satellite": f"LANDSAT_{self.satellite}",
            "instrument": "OLI/TIRS_Combined",
            "region": "CU",
            "acquisition_date": f"{self.acquired:%Y-%m-%d}",
            "product_id": self.product_id,
            "scene_count": 2,
            "cloud_cover": f"{cloud_cover:.4f}",
        }
        scenes = [
            {
                "acquisition_date": f"{self.acquired:%Y-%m-%d}",
                "scene_center_time": f"{self.centre_time + number * timedelta(seconds=23.9):%H:%M:%S.%f}0Z",
                "product_id": f"{self.prefix}_L1TP_044{27 + number:03d}_{self.acquired:%Y%m%d}_02_T1",
            }
            for number in range(2)
        ]
        bands = "\n".join(
            f'      <band name="{spec.name}" data_type="{str(spec.dtype).upper()}" fill_value="{spec.fill}"/>'
            for spec in chosen
        )
        text = (
            '<?xml version="1.0" encoding="utf-8"?>\n'
            '<ard_metadata version="1.0" xmlns="https://landsat.usgs.gov/ard/v1">\n  <tile_metadata>\n'
            f'    <global_metadata>\n{_elements(tile)}\n      <tile_grid h="{column:03d}" v="{row:03d}"/>\n'
            f"    </global_metadata>\n    <bands>\n{bands}\n    </bands>\n  </tile_metadata>\n"
        )
        for number, scene in enumerate(scenes, 1):
            text += (
                f"  <scene_metadata>\n    <index>{number}</index>\n    <global_metadata>\n{_elements(scene)}\n"
                "    </global_metadata>\n  </scene_metadata>\n"
            )
        (target / f"{self.product_id}.xml").write_text(f"{text}</ard_metadata>\n", "utf-8")


@dataclass(frozen=True, slots=True)
class DeaRecipe(FamilyRecipe):
    """A scene of Digital Earth Australia: USGS's frames and 15 m band, south of the equator in a northern zone."""

    @property
    def zone(self) -> int:
        """UTM zone."""
        return 56

    @property
    def path_row(self) -> tuple[int, int]:
        """WRS-2 path and row."""
        return 88, 80

    @property
    def upper_left(self) -> tuple[float, float]:
        """Centre (x, y) of the first pixel."""
        return 526800.0, -3077100.0

    @property
    def product_id(self) -> str:
        """Name of the dataset; its files have another word for ``ard``."""
        return f"ga_{self.prefix}_ard_3-2-1_{self.path_row[0]:03d}{self.path_row[1]:03d}_{self.acquired:%Y-%m-%d}_final"

    def band_file(self, spec: BandSpec) -> str:
        """Name of a band's file."""
        group, _, rest = (spec.suffixes[0] if spec.suffixes else spec.name).partition("_")
        return f"{self.product_id.replace('_ard_', f'_{group}_')}_{rest}.tif"

    def write_texts(self, target: Path, chosen: tuple[BandSpec, ...], cloud_cover: float) -> None:
        """Write the dataset document and the STAC item, whose id is no name."""
        elevation, azimuth = self.sun
        said = {
            "datetime": f"{self.centre_time:%Y-%m-%d %H:%M:%S.%f}Z",
            "eo:cloud_cover": round(cloud_cover, 6),
            "eo:instrument": "OLI_TIRS",
            "eo:platform": f"landsat-{self.prefix[2]}",
            "eo:sun_azimuth": round(azimuth % 360, 8),
            "eo:sun_elevation": round(elevation, 8),
            "landsat:wrs_path": self.path_row[0],
            "landsat:wrs_row": self.path_row[1],
        }
        identity = str(uuid.uuid5(uuid.NAMESPACE_URL, self.product_id))
        document = [
            "---",
            "$schema: https://schemas.opendatacube.org/dataset",
            f"id: {identity}",
            f"label: {self.product_id}",
            f"crs: {self.crs.lower()}",
            "properties:",
            *(f"  {key}: {value}" for key, value in said.items()),
            "measurements:",
            *(f"  {spec.name}:\n    path: {self.band_file(spec)}" for spec in chosen),
            "...",
        ]
        (target / f"{self.product_id}.odc-metadata.yaml").write_text("\n".join([*document, ""]), "utf-8")
        properties = {
            "title": self.product_id,
            "platform": said["eo:platform"],
            "instruments": ["oli", "tirs"],
            "eo:cloud_cover": said["eo:cloud_cover"],
            "proj:epsg": int(self.crs.removeprefix("EPSG:")),
        }
        item = self.stac_item(chosen, properties) | {"id": identity}
        (target / f"{self.product_id}.stac-item.json").write_text(json.dumps(item, indent=2), "utf-8")


def _elements(said: dict[str, Any]) -> str:
    return "\n".join(f"      <{name}>{value}</{name}>" for name, value in said.items())


RECIPES: dict[str, type[Recipe]] = {"ard": ArdRecipe, "dea": DeaRecipe, "hls": HlsRecipe}
