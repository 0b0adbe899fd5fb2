"""What will be done: targets listed, nothing decoded and nothing written yet."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from landsat_downsample.errors import UsageError
from landsat_downsample.model import flags
from landsat_downsample.model.band import Band
from landsat_downsample.model.bands import specs
from landsat_downsample.model.crs import short_crs
from landsat_downsample.model.family import file_name
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.index_bands import band_of, inputs_of
from landsat_downsample.model.indices import Index, index_of, stats_of
from landsat_downsample.model.lattice import Lattice
from landsat_downsample.model.location import Location
from landsat_downsample.model.met_tiles import cells_line, cells_met, check_tile, met_tiles
from landsat_downsample.model.methods import check_method
from landsat_downsample.model.options import Options
from landsat_downsample.model.placement import Placement
from landsat_downsample.model.product import FRACTIONS, MARKER, SUFFIX, same_product
from landsat_downsample.model.projection import Projection
from landsat_downsample.model.scene import Scene
from landsat_downsample.model.shown import Shown
from landsat_downsample.model.target import Target, bytes_of_cell, cell_sizes
from landsat_downsample.model.ties import tie_facts
from landsat_downsample.model.units import scalings
from landsat_downsample.model.words import size_words

#: Rows of a strip: enough to amortise a read, few enough to stay in a megabyte-sized cache.
STRIP_ROWS = 512
#: GDAL's block cache, in bytes. It must hold one row of blocks of the widest band (15 m pan:
#: 61 blocks of 128 KiB); GDAL's own default of 5 % of the node's memory looks like a leak in a pod.
BLOCK_CACHE = 64 << 20


@dataclass(frozen=True, slots=True, repr=False)
class ScenePlan:
    """One scene on its way to one product; it shows itself as ``landsat-downsample plan`` does.

    Examples
    --------
    >>> plan = ld.plan(scene, "out", factor=10, bands="red,qa_pixel")[0]
    >>> plan.id, plan.destination.name
    ('LC08_L2SP_192028_20230714_20230724_02_T1', 'out')
    >>> plan.location.name == plan.name, plan.marker.removeprefix(plan.name)
    (True, '.stac.json')
    >>> plan.ratio, plan.cell_area, plan.cells_met["grid"]
    ((Fraction(10, 1), Fraction(10, 1)), 100.0, 'zone')
    >>> plan.band("SR_B4") == scene.band("red"), plan.index("SR_B4")
    (True, None)
    >>> print(plan.shown("as it was said").above[2])
    as it was said
    >>> ld.ScenePlan.from_dict(plan.to_dict()) == plan
    True
    """

    scene: Scene
    options: Options
    dest: str
    name: str
    """Folder of the product: ``<product_id>_downsampled``; of a tile ``<product_id>_h18v04_downsampled``."""
    coarse: Grid
    lattice: Lattice
    targets: tuple[Target, ...]
    projection: Projection | None = None
    """From the scene's coordinates to those of `coarse`, where they differ."""
    overwrite: bool = False

    def shown(self, *remarks: str) -> Shown:
        """What it looks like: a row for each file that it will write; `remarks` are said above too."""
        cost = estimate(self)
        step_y, step_x = self.coarse.resolution
        above = [
            f"{self.scene.id} -> {self.destination}/{self.name}",
            f"{self.coarse.height} x {self.coarse.width} cells of {step_y:.10g} x {step_x:.10g} "
            f"({_in_pixels(self)}), {short_crs(self.coarse.crs)}",
            *remarks,
            cells_line(self.cells_met),
        ]
        if self.options.mask:
            above.append(
                f"masked: without the pixels that {_quality_name(self.scene)} flags as {', '.join(self.options.mask)}"
            )
        for target in self.targets:
            if target.index:
                above.append(f"{target.band.name}: {index_of(target.index).told(target.index_order)}")
        if self.options.units == "scaled":
            above.append("scaled: physical values (reflectance, kelvin) as floats, NaN where there is no data")
        below = (
            f"{size_words(cost['bytes_in'])} to read, {size_words(cost['bytes_decoded'])} decoded, "
            f"at most {size_words(cost['bytes_out'])} to write; "
            f"about {size_words(cost['peak_memory'])} of memory for each band at work"
        )
        rows = tuple(row for target in self.targets for row in _rows_of(target))
        return Shown(tuple(above), ("band", "reduced by", "source", "type", "read", "file"), rows, (below,))

    def __repr__(self) -> str:
        return self.shown().text()

    def _repr_html_(self) -> str:
        return self.shown().html()

    @property
    def destination(self) -> Location:
        """Folder or prefix that holds the product, for who writes to it or prints it."""
        return Location(self.dest)

    @property
    def location(self) -> Location:
        """Where the product will be."""
        return self.destination / self.name

    @property
    def ratio(self) -> tuple[Fraction, Fraction]:
        """Cell size (y, x) in pixels of the scene, in whose CRS the cells are."""
        (ry, rx) = (
            side / Fraction(step) for side, step in zip(self.lattice.cell, self.scene.grid.resolution, strict=True)
        )
        return ry, rx

    @property
    def cell_area(self) -> float:
        """Area of a cell in pixels of the scene; the mean of those that it meets, where they differ."""
        if self.projection is None:
            return float(self.ratio[0] * self.ratio[1])
        return tie_facts(self.scene.grid, self.lattice, self.projection).cell_area

    def band(self, name: str) -> Band | None:
        """The band of its scene, or the one that stands for an index, that files name; None for QA_FRACTIONS."""
        target = self.index(name)
        return target.band if target else self.scene.bands.get(name)

    def index(self, name: str) -> Target | None:
        """The target of an index whose files bear a name."""
        return next((target for target in self.targets if target.index and target.band.name == name), None)

    @property
    def id(self) -> str:
        """What the product is called among those of a run: its scene's ID, and the tile."""
        return self.name.removesuffix(SUFFIX)

    @property
    def cells_met(self) -> dict[str, Any]:
        """Which cells and tiles of its grid it meets: see `met_tiles.cells_met`."""
        return cells_met(self.scene.grid, self.options.grid_request.target(self.scene.grid), self.options.bounds)

    @property
    def marker(self) -> str:
        """File that makes the product complete: its STAC item."""
        return f"{self.name}{MARKER}"

    def to_dict(self) -> dict[str, Any]:
        """Describe it in JSON types."""
        return {
            "scene": self.scene.to_dict(),
            "options": self.options.to_dict(),
            "dest": self.dest,
            "name": self.name,
            "coarse": self.coarse.to_dict(),
            "lattice": self.lattice.to_dict(),
            "targets": [target.to_dict() for target in self.targets],
            "projection": self.projection.to_dict() if self.projection else None,
            "overwrite": self.overwrite,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> ScenePlan:
        """Make it from what `to_dict` gave."""
        return cls(
            scene=Scene.from_dict(record["scene"]),
            options=Options.from_dict(record["options"]),
            dest=record["dest"],
            name=record["name"],
            coarse=Grid.from_dict(record["coarse"]),
            lattice=Lattice.from_dict(record["lattice"]),
            targets=tuple(Target.from_dict(t) for t in record["targets"]),
            projection=Projection.from_dict(record["projection"]) if record["projection"] else None,
            overwrite=record["overwrite"],
        )


def plan_scene(scene: Scene, dest: str, options: Options, *, overwrite: bool = False) -> ScenePlan:
    """List the targets of one scene; pure: the scene's headers are all it looks at.

    Raises
    ------
    UsageError
        A band or flag the scene does not have, a mean of a bit field, or no destination.
    """
    _check_places(scene, dest)
    target = options.grid_request.target(scene.grid)
    check_tile(scene.grid, target)
    placed = Placement.of(scene.grid, target)
    coarse = placed.coarse.within(options.bounds) if options.bounds else placed.coarse
    wanted, fractions = _wanted(scene, options)
    methods = _methods(scene, options)
    _check_mask(scene, options.mask)
    terms = scalings(scene, wanted) if options.units == "scaled" else {}
    quality = scene.quality
    names = list(wanted) + ([quality.name] if fractions and quality and quality.name not in wanted else [])
    known: dict[str, Any] = {
        "scene_id": scene.id,
        "qa": options.qa,
        "coarse": coarse,
        "lattice": placed.lattice,
        "projection": placed.projection,
        "min_valid": float(options.min_valid),
    }
    targets = []
    for name in names:
        band = scene.bands[name]
        mask = () if band.spec.categorical else options.mask
        gives_fractions = fractions and band == quality
        stats = options.stats or () if band.spec.averaged and name not in methods else ()
        own = band.spec.policy(options.qa)
        targets.append(
            Target(
                **known,
                band=band,
                filename=f"{scene.id}{SUFFIX}.TIF" if scene.lone else file_name(scene.sensor, scene.id, name),
                method=stats[0] if stats else methods.get(name, own),
                quality=quality if mask or band.spec.fill_from else None,
                mask=mask,
                fractions=file_name(scene.sensor, scene.id, FRACTIONS) if gives_fractions else None,
                codes_written=name in wanted,
                stats=stats,
                scaling=terms.get(name),
            )
        )
    targets += [_index_target(scene, options, index_of(name), known) for name in options.index]
    name = f"{scene.id}_{target.tile}{SUFFIX}" if target.tile else scene.id + SUFFIX
    places = coarse, placed.lattice
    return ScenePlan(scene, options, dest, name, *places, tuple(targets), placed.projection, overwrite)


def _index_target(scene: Scene, options: Options, index: Index, known: dict[str, Any]) -> Target:
    inputs = inputs_of(scene, index)
    band = band_of(index, inputs, options.index_order)
    stats = stats_of(index, options.index_order, options.stats or ())
    return Target(
        **known,
        band=band,
        filename=file_name(scene.sensor, scene.id, band.name),
        method=stats[0] if stats else "mean",
        quality=scene.quality if options.mask else None,
        mask=options.mask,
        stats=stats,
        scaling=band.scaling if index.plain else None,
        index=index.name,
        index_order=options.index_order,
        inputs=inputs,
    )


def plan_tiles(scene: Scene, dest: str, options: Options, *, overwrite: bool = False) -> list[ScenePlan]:
    """A plan for each tile of the grid that a scene meets.

    Raises
    ------
    UsageError
        The grid has no tiles, or as of `plan_scene`.
    """
    return [
        plan_scene(scene, dest, replace(options, grid=grid), overwrite=overwrite) for grid in tiles_of(scene, options)
    ]


def tiles_of(scene: Scene, options: Options) -> list[str]:
    """The names of the tiles of a grid that a scene meets, each a grid to ask for.

    Raises
    ------
    UsageError
        The grid has no tiles, or none of whole cells.
    """
    target = options.grid_request.target(scene.grid)
    if target.tiles is None:
        raise UsageError(
            f"grid {target.name} has no tiles of whole cells: give one that has, such as modis:500m, ard:300 or hls:300"
        )
    names = [target.tile] if target.tile else met_tiles(scene.grid, target, options.bounds)
    if not names:
        raise UsageError(f"the scene meets no tile of grid {target.name}: give another grid")
    return [target.of_tile(name).name for name in names]


def _check_places(scene: Scene, dest: str) -> None:
    if not str(dest).strip():
        raise UsageError("destination is empty: give a folder or prefix for the products")
    if Location(str(dest)).is_archive:
        raise UsageError(f"destination {str(dest)!r} is named as an archive is: give a folder or prefix")
    try:
        scene.id.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"name {scene.id!r} is not valid text, which its metadata would need: rename it") from error


def _check_mask(scene: Scene, mask: tuple[str, ...]) -> None:
    if not mask:
        return
    if scene.quality is None:
        raise UsageError(f"mask {','.join(mask)!r} needs {_quality_name(scene)}, which {scene.id} does not have")
    flags.mask_bits(scene.quality.spec, mask)


def _quality_name(scene: Scene) -> str:
    """What the quality band of a scene is called; of one that lacks it, as others of its family call theirs."""
    if scene.quality:
        return scene.quality.name
    known = specs(scene.sensor, scene.level).values() if scene.sensor and scene.level else ()
    return next((spec.name for spec in known if spec.quality), "QA_PIXEL")


def _wanted(scene: Scene, options: Options) -> tuple[tuple[str, ...], bool]:
    """USGS names of the bands to write, and whether QA_FRACTIONS is among them."""
    if options.bands is None:
        return tuple(scene.bands), scene.quality is not None and not scene.lone
    asked = [name for name in options.bands if name.upper() != FRACTIONS]
    names = tuple(dict.fromkeys(scene.band(name).name for name in asked))
    explicit = len(asked) < len(options.bands)
    quality = scene.quality
    if explicit and quality is None:
        raise UsageError(f"band {FRACTIONS} is made from {_quality_name(scene)}, which {scene.id} does not have")
    return names, explicit or (quality is not None and quality.name in names and not scene.lone)


def _methods(scene: Scene, options: Options) -> dict[str, str]:
    methods = {}
    for asked, method in options.methods.items():
        band = scene.band(asked)
        check_method(method, band.spec)
        methods[band.name] = method
    return methods


def distinct(plans: Iterable[ScenePlan]) -> list[ScenePlan]:
    """Plans without those given twice.

    Raises
    ------
    UsageError
        Two sources would be written to one place.
    """
    seen: dict[tuple[str, str], ScenePlan] = {}
    for item in plans:
        other = seen.setdefault((item.dest, item.name), item)
        if other.scene.href != item.scene.href:
            raise same_product(other.scene.href, item.scene.href, item.name)
    return list(seen.values())


#: Bytes of a pixel and a cell that meet while they are sorted: three numbers, and copies of them (measured).
_MEETING = 96


def estimate(item: ScenePlan) -> dict[str, Any]:
    """What a scene will cost: bytes in, bytes decoded, cells out, and peak memory of one target at a time.

    The memory figure is that of `_kernels.STRIP_ROWS` rows, or those of a block, with their masks and sums,
    two blocks, the block cache, and the reduced band with its COG; it excludes the interpreter and its imports.
    What ranks pixels on cells of another projection also holds a value and a weight for each pixel and cell that meet.
    """
    cells = item.coarse.height * item.coarse.width
    bands = [band for target in item.targets for band in target.sources]
    widest = max(b.grid.width * min(max(STRIP_ROWS, b.block_shape[0]), b.grid.height) for b in bands)
    block = max(math.prod(b.block_shape) * _itemsize(b) for b in bands)
    return {
        "bytes_in": sum(t.bytes_in for t in item.targets),
        "bytes_decoded": sum(b.grid.height * b.grid.width * _itemsize(b) for b in bands),
        "shape": list(item.coarse.shape),
        "bytes_out": cells * sum(bytes_of_cell(t) for t in item.targets),
        "peak_memory": widest * 8
        + 2 * block
        + BLOCK_CACHE
        + cells * max(map(_bytes_held, item.targets))
        + _ranking(item, widest, cells),
    }


def _ranking(item: ScenePlan, pixels: int, cells: int) -> int:
    """Bytes that a median or mode takes on cells of another projection."""
    if not any(target.projection and {"median", "mode"} & set(target.files) for target in item.targets):
        return 0
    meetings = pixels * (1 + item.cell_area**-0.5) ** 2
    return int(meetings * _MEETING) + cells * 32  # area and value of each cell, and copies as they are stored


def _itemsize(band: Band) -> int:
    return np.dtype(band.dtype).itemsize


def _bytes_held(target: Target) -> int:
    """Bytes of a cell in memory: of all that is reduced, or what is not yet stored and a statistic as it is encoded."""
    sizes = cell_sizes(target)
    return max([8, bytes_of_cell(target), *(sum(sizes[k:]) + 3 * size for k, size in enumerate(sizes))])


def _in_pixels(item: ScenePlan) -> str:
    if item.projection:
        return f"{item.cell_area:.4g} pixels on average"
    ry, rx = (float(r) for r in item.ratio)
    return f"{ry:.6g} x {rx:.6g} pixels"


def _rows_of(target: Target) -> Iterator[tuple[str, ...]]:
    """A row for each file that a target gives."""
    height, width = target.band.grid.shape
    masked = ", masked" if target.mask else ""
    size, source = size_words(target.bytes_in), f"{height} x {width}"
    types = target.dtypes
    files = [(target.band.name, method + masked, types[method].name, file) for method, file in target.files.items()]
    files += [(FRACTIONS, "fractions", "uint8", target.fractions)] if target.fractions else []
    for number, (band, method, dtype, file) in enumerate(files):
        read = "" if number else size  # all of them from one read
        yield band, method, source, dtype, read, file.replace(target.scene_id, "...", 1)  # which stands above the table
