"""Hand-built scenes and products of several sensors, for the tests of what is written about them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from fractions import Fraction

from affine import Affine
from lattices import coarse_grid, corner_lattice

from landsat_downsample.model import bands as bands_module
from landsat_downsample.model.band import Band
from landsat_downsample.model.bands import BandSpec
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.options import Options
from landsat_downsample.model.plan import ScenePlan
from landsat_downsample.model.product import Product
from landsat_downsample.model.scene import Scene

FACTOR = Fraction(10)
OPTIONS = Options(factor=10)

LANDSAT = {
    "landsat:scene_id": "LC80080592019335LGN00",
    "landsat:collection_category": "T1",
    "landsat:collection_number": "02",
    "landsat:wrs_type": "2",
    "landsat:wrs_path": "8",
    "landsat:wrs_row": "59",
    "landsat:cloud_cover_land": 81.02,
    "landsat:correction": "L2SP",
}


@dataclass(frozen=True)
class Case:
    """A scene with the product made from it."""

    scene: Scene
    grid: Grid
    products: tuple[Product, ...]
    ratio: tuple[Fraction, Fraction] = (FACTOR, FACTOR)
    options: Options = OPTIONS

    @property
    def plan(self) -> ScenePlan:
        name = f"{self.scene.id}_downsampled"
        lattice = corner_lattice(self.scene.grid, self.ratio)
        return ScenePlan(self.scene, self.options, "/home/me/out", name, self.grid, lattice, ())


def frame(crs: str = "EPSG:32618", left: float = 171285.0, top: float = 275115.0, *, step: float = 30.0) -> Grid:
    """A frame of a full scene's size, whose sides no factor divides."""
    pixels = int(7591 * 30 / step), int(7741 * 30 / step)
    return Grid(pixels, Affine(step, 0, left, 0, -step, top), crs)


def product(spec: BandSpec, filename: str, policy: str = "conservative") -> Product:
    """A product file with plausible facts."""
    return Product(
        band=spec.name,
        filename=filename,
        method=policy if spec.kind == "bits" else spec.method,
        dtype=spec.dtype or "uint16",
        nodata=spec.fill,
        size=12345,
        sha256=hashlib.sha256(filename.encode()).hexdigest(),
        valid_fraction=0.75,
        statistics=({"minimum": 1.0, "maximum": 9.0, "mean": 4.25, "stddev": 1.5},),
        scale=spec.scale,
        offset=spec.offset,
        unit=spec.unit,
        block_shape=(512, 512),
        overviews=((380, 388),),
    )


def fractions_product(scene_id: str, names: tuple[str, ...]) -> Product:
    return Product(
        band="QA_FRACTIONS",
        filename=f"{scene_id}_QA_FRACTIONS.TIF",
        method="fraction",
        dtype="uint8",
        nodata=255,
        size=999,
        sha256="ab" * 32,
        valid_fraction=0.75,
        statistics=tuple({"minimum": 0, "maximum": 100, "mean": 50.0, "stddev": 1.0} for _ in names),
        names=names,
        unit="%",
    )


def case(
    scene_id: str,
    sensor: str,
    level: int,
    grid: Grid | None = None,
    *,
    properties: dict | None = None,
    folder: str = "/home/me/secret folder",
) -> Case:
    """All bands of a product of a sensor, with QA_FRACTIONS."""
    grid = grid or frame()
    specs = bands_module.specs(sensor, level)
    bands = {
        name: Band(
            spec, f"{folder}/{scene_id}_{name}.TIF", grid, spec.dtype or "uint16", spec.fill, (256, 256), size=1000 + i
        )
        for i, (name, spec) in enumerate(specs.items())
    }
    scene = Scene(
        id=scene_id,
        href=f"{folder}/{scene_id}_MTL.txt",
        grid=grid,
        bands=bands,
        sensor=sensor,
        level=level,
        metadata={"MTL.txt": f"{folder}/{scene_id}_MTL.txt"},
        properties={"datetime": "2019-12-01T15:19:42.1234567Z", "platform": "landsat-8", **(properties or {})},
    )
    made = [product(spec, f"{scene_id}_{name}.TIF") for name, spec in specs.items()]
    names = (
        "valid",
        *(n for n in ("clear", "cloud", "cloud_shadow", "snow", "water", "cirrus") if specs["QA_PIXEL"].field(n)),
    )
    return Case(scene, coarse_grid(grid, FACTOR), (*made, fractions_product(scene_id, names)))


def lone_case(filename: str = "some picture.tif", grid: Grid | None = None) -> Case:
    """A single file that says nothing of its date or sensor."""
    grid = grid or frame()
    spec = bands_module.unknown("B1")
    stem = filename.rpartition(".")[0]
    band = Band(spec, f"/data/in/{filename}", grid, "float32", float("nan"), (1, 7741), size=77)
    scene = Scene(stem, f"/data/in/{filename}", grid, {"B1": band}, lone=True)
    made = Product(
        "B1",
        f"{stem}_downsampled.TIF",
        "mean",
        "float32",
        float("nan"),
        5,
        "cd" * 32,
        0.0,
        ({"minimum": float("nan")},),
    )
    return Case(scene, coarse_grid(grid, FACTOR), (made,))


OLI = case(
    "LC08_L2SP_008059_20191201_20200825_02_T1",
    "oli_tirs",
    2,
    properties={
        **LANDSAT,
        "instruments": ["oli", "tirs"],
        "eo:cloud_cover": 81.02,
        "view:sun_azimuth": 136.3,
        "view:sun_elevation": 57.1,
        "view:off_nadir": 0,
        "sci:doi": "10.5066/P9OGBGM6",
    },
)
TM = case("LT05_L2SP_090084_19980308_20200909_02_T1", "tm", 2, properties={"eo:cloud_cover": -1.0})
MSS = case(
    "LM05_L1GS_001001_19850524_20210918_02_T2",
    "mss45",
    1,
    frame("EPSG:32631", 376050, 9098730, step=60.0),
    properties={"datetime": "1985-05-24", "view:sun_azimuth": -149.5},
)
ETM = case("LE07_L1TP_021030_20100109_20200911_02_T1", "etm", 1)
ANTARCTIC = case("LC08_L2SR_099120_20191129_20201016_02_T2", "oli_tirs", 2, frame("EPSG:3031", 250185.0, 1000215.0))
ROSS = case("LC08_L2SR_060118_20200101_20201016_02_T2", "oli_tirs", 2, frame("EPSG:3031", -115005.0, -1270005.0))
EAST = case("LC08_L2SP_089013_20200701_20201016_02_T1", "oli_tirs", 2, frame("EPSG:32660", 650085.0, 7230015.0))
WEST = case("LC08_L2SP_073072_20200701_20201016_02_T1", "oli_tirs", 2, frame("EPSG:32601", 166785.0, -1770015.0))
LONE = lone_case()

CASES = {
    "oli": OLI,
    "tm": TM,
    "mss": MSS,
    "etm": ETM,
    "antarctic": ANTARCTIC,
    "ross": ROSS,
    "east": EAST,
    "west": WEST,
    "lone": LONE,
}

EXTRA = (
    {
        "key": "MTL.txt",
        "filename": "x_MTL.txt",
        "media type": "text/plain",
        "roles": ["metadata"],
        "size": 10,
        "sha256": "01" * 32,
    },
    {
        "key": "browse",
        "filename": "x.browse.png",
        "media type": "image/png",
        "roles": ["overview"],
        "size": 20,
        "sha256": "02" * 32,
    },
)
