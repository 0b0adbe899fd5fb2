"""A cube as it is in its store: its grid, its variables, and the dates that it has."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import reduce
from operator import truediv
from typing import Any

import numpy as np
from affine import Affine
from pyproj import CRS

from landsat_downsample.cubes.common_grid import CommonGrid
from landsat_downsample.cubes.levels import Level, Recipe, largest_block
from landsat_downsample.cubes.passes import Date
from landsat_downsample.cubes.series import Series, Variable
from landsat_downsample.cubes.zarr_format import (
    DATES,
    ChunkFormat,
    Described,
    DescribedGroup,
    documents,
    read_coordinate,
)
from landsat_downsample.errors import MissingError, UsageError
from landsat_downsample.model.crs import cf_axes
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.lattice import Lattice
from landsat_downsample.model.location import Location
from landsat_downsample.model.product import SUFFIX
from landsat_downsample.storage import files

ROOT = "zarr.json"

#: The conventions of GeoZarr: rioxarray finds these names, others go by the UUID. https://github.com/zarr-conventions
CONVENTIONS = {
    "proj": ("f17cb550-5864-4468-aeb7-f3180cfb622f", "Coordinate reference system information for geospatial data"),
    "spatial": ("689b58e2-cf7b-45e0-9fff-9cfc0883d6b4", "Spatial coordinate information"),
}
MULTISCALES = ("d35379db-88df-4056-af3a-620245f8e347", "Multiscale layout of zarr datasets")

#: How times are stored: whole numbers, as exact as items have them.
EPOCH = {"units": "microseconds since 1970-01-01", "calendar": "standard"}


@dataclass(frozen=True, slots=True)
class Stored:
    """What stays of a variable of a cube."""

    dtype: str
    fill: float
    rules: dict[str, Any]
    """How its products were made and store it: method, scale and offset, options."""
    attributes: dict[str, Any]
    """In JSON types."""

    @classmethod
    def of(cls, variable: Variable, series: Series) -> Stored:
        """A variable of the series that a cube begins with."""
        attrs = variable.attributes(series.scenes)
        # Products of other sensors may follow.
        kept = {key: value for key, value in attrs.items() if key not in ("landsat_sensor", "landsat_level")}
        made = {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in kept.items()}
        fill = 0.0 if variable.fill is None else variable.fill
        if variable.fill is not None and not np.isnan(fill) and variable.first.stat != "count":
            # `_FillValue` only of what has a scale, which is meant to become floats: codes stay integers.
            made["_FillValue" if "scale_factor" in made else "nodata"] = int(fill)
        return cls(variable.dtype, fill, rules(variable, series), made)


def _check_free(to: Location) -> None:
    """Refuse a place that holds other things than what a killed run left of a new cube, which are folders alone."""
    try:
        names = [name for name in files.list_names(to) if not name.startswith(".")]
    except MissingError:
        return
    names += [folder.name for folder in files.list_folders(to) if folder.name.endswith(SUFFIX)]
    if names:
        raise UsageError(f"{to!r} holds {names[0]}, which is no part of a Zarr cube: choose another place")


def rules(variable: Variable, series: Series) -> dict[str, Any]:
    """By which rules the products of a variable were made."""
    band = variable.first.band
    return {
        "dtype": variable.dtype,
        "nodata": str(variable.fill),
        "scale": [band.scale, band.offset],
        "method": variable.first.method,
        "band": variable.first.common_name,
        "options": series.decisive(variable),
    }


def further_dates(common: CommonGrid, dates: Sequence[Date], known: Mapping[str, dict[str, Any]]) -> Series:
    """Dates for a cube, of its variables those that they have; `known` are the rules of all.

    Raises
    ------
    UsageError
        Their values are no part of those of the cube.
    """
    exact = {name for name, of_cube in known.items() if of_cube.get("band") == name}
    there = [name for name in known if any(scene.find(name, exact=name in exact) for date in dates for scene in date)]
    series = Series.of(common, dates, there, exact=exact)
    for variable in series.variables:
        of_cube = known[variable.name]
        scene = next(scene for scene in series.scenes if scene.location.href in variable.layers)
        for fact, value in json.loads(json.dumps(rules(variable, series))).items():
            if value != of_cube.get(fact, value):  # the first cubes did not have all of them
                what = "make a cube by common names" if fact == "band" else "reduce it as the others were"
                raise UsageError(
                    f"{variable.name} of {scene.id} is no part of the cube: its {fact} is {value}, "
                    f"and {of_cube[fact]} there; {what}"
                )
    return series


@dataclass(frozen=True, slots=True)
class Layout:
    """What stays of a cube for as long as it is: its cells, its variables, how they are cut."""

    common: CommonGrid
    variables: dict[str, Stored]
    dates: int
    """In a shard, or in a chunk of cubes without."""
    sharded: bool
    group: str | None
    bounded: bool
    """Whether its cells were asked for, and are not those of its first products."""
    levels: tuple[int, ...] = ()
    """Beside the cube itself: cells of it along a side of one of theirs."""
    recipes: dict[str, Recipe] = field(default_factory=dict)
    """How the variables that levels have are made."""

    @property
    def grids(self) -> list[Level]:
        """Cells of the cube itself, and of its levels."""
        return [Level.of(self.common, number) for number in (1, *self.levels)]

    def path(self, level: int) -> str:
        """The group of a level, or of the cube itself; that is the root where there are no levels."""
        return str(level) if self.levels else ""

    def form(self, name: str, level: Level | None = None) -> ChunkFormat:
        """How a variable is stored, of a level or of the cube itself."""
        one, number = self.variables[name], level.number if level else 1
        return ChunkFormat.of(
            one.dtype,
            one.fill,
            self.dates,
            (level.common if level else self.common).grid.shape,
            sharded=self.sharded,
            largest=largest_block(self.levels, number),
        )

    def to_dict(self) -> dict[str, Any]:
        """Describe it in JSON types, but for what the arrays say themselves."""
        return {
            "lattice": self.common.lattice.to_dict(),
            "grid": self.common.grid.to_dict(),
            "rules": {name: one.rules for name, one in self.variables.items()},
            "dates": self.dates,
            "sharded": self.sharded,
            "group": self.group,
            "bounded": self.bounded,
            "levels": self.levels,
            "recipes": {name: asdict(one) for name, one in self.recipes.items()},
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any], arrays: dict[str, Any]) -> Layout:
        """Make it from what `to_dict` gave, and the documents of arrays."""
        common = CommonGrid(Lattice.from_dict(record["lattice"]), Grid.from_dict(record["grid"]))
        place = {*geozarr(common.grid), "grid_mapping"}
        levels = tuple(record.get("levels", ()))  # the first cubes had none
        variables = {}
        for name, one in record["rules"].items():
            array = arrays[f"1/{name}" if levels else name]
            kept = {key: value for key, value in array["attributes"].items() if key not in place}
            variables[name] = Stored(array["data_type"], float(array["fill_value"]), one, kept)
        recipes = {name: Recipe.from_dict(one) for name, one in record.get("recipes", {}).items()}
        dates, sharded, group, bounded = (record[key] for key in ("dates", "sharded", "group", "bounded"))
        return cls(common, variables, dates, sharded, group, bounded, levels, recipes)


@dataclass(frozen=True, slots=True)
class CubeState:
    """A cube with its dates."""

    layout: Layout
    coordinates: dict[str, tuple[np.ndarray, dict[str, Any]]]
    """By name: values and attributes of those along time; ``product`` and ``fingerprint`` among them."""

    @property
    def count(self) -> int:
        """Dates."""
        return len(self.coordinates["time"][0]) if self.coordinates else 0

    @classmethod
    def read(cls, to: Location) -> CubeState | None:
        """Of a store; None where there is no cube.

        Raises
        ------
        UsageError
            What is there is no cube of this library.
        """
        if not files.exists(to / ROOT):
            _check_free(to)
            return None
        return cls.of(to, lambda key: files.read_bytes(reduce(truediv, key.split("/"), to)))

    @classmethod
    def of(cls, to: Location, read: Callable[[str], bytes]) -> CubeState:
        """Of what `read` gives of keys.

        Raises
        ------
        UsageError
            It is no cube of this library.
        """
        try:
            root = json.loads(read(ROOT))
            arrays = root["consolidated_metadata"]["metadata"]
            layout = Layout.from_dict(_record(root["attributes"]["landsat_ds:cube"]), arrays)
        except (KeyError, ValueError, TypeError) as error:
            raise UsageError(f"{to!r} is there, and no cube of this library: choose another place") from error
        found, base = {}, layout.path(1)
        for path, array in arrays.items():
            folder, _, name = path.rpartition("/")
            if folder == base and array.get("dimension_names") == ["time"]:
                chunks = [read(f"{path}/c/{number}") for number in range(-(-array["shape"][0] // DATES))]
                found[name] = read_coordinate(array, chunks), array["attributes"]
        return cls(layout, found)

    def with_dates(self, series: Series, fingerprints: list[str]) -> CubeState:
        """The same with further dates at its end."""
        new = series.coordinates()
        time, attrs = new["time"][1].astype("datetime64[us]").astype("int64"), new["time"][2]
        new["time"] = ("time", time, attrs | EPOCH)
        new["fingerprint"] = ("time", fingerprints, {"long_name": "digest of what each product was made of"})
        made = {}
        for name, (_, found, attrs) in new.items():
            before = [self.coordinates[name][0]] if self.coordinates else []
            made[name] = np.concatenate([*before, np.asarray(found)]), attrs
        return CubeState(self.layout, made)

    def documents(self, attributes: Mapping[str, Any]) -> dict[str, bytes]:
        """All documents, and the chunks of coordinates, by key; that of the root last."""
        layout = self.layout
        record = {"landsat_ds:cube": json.dumps(layout.to_dict())}
        base, *coarse = (self._group(level, attributes) for level in layout.grids)
        if not coarse:
            return documents({"": replace(base, attributes={**base.attributes, **record})})
        groups = {layout.path(level.number): one for level, one in zip(layout.grids, (base, *coarse), strict=True)}
        said = {**attributes, **multiscales(layout), **record}
        return documents({"": DescribedGroup({}, said), **groups})

    def _group(self, level: Level, attributes: Mapping[str, Any]) -> DescribedGroup:
        """Of the cube itself, or of a level: each is complete, as readers open it alone."""
        layout, grid, lattice = self.layout, level.common.grid, level.common.lattice
        crs, place, t = CRS.from_user_input(grid.crs), geozarr(grid), grid.transform
        arrays = {name: Described(("time",), dict(attrs), found) for name, (found, attrs) in self.coordinates.items()}
        for name, found, at in zip("yx", lattice.centres(grid), lattice.edges(grid), strict=True):
            arrays[name] = Described((name,), cf_axes(grid.crs)[name] | {"bounds": f"{name}_bnds"}, found)
            arrays[f"{name}_bnds"] = Described(
                (name, "bnds"), {"long_name": f"edges of the cells along {name}"}, np.stack([at[:-1], at[1:]], -1)
            )
        mapping = crs.to_cf() | {"GeoTransform": f"{t.c!r} {t.a!r} 0.0 {t.f!r} 0.0 {t.e!r}"}
        arrays["spatial_ref"] = Described((), mapping, np.array(0))
        for name, one in layout.variables.items():
            if level.number > 1 and name not in layout.recipes:
                continue
            attrs = one.attributes | {"grid_mapping": "spatial_ref", **place}
            if level.number > 1 and (said := layout.recipes[name].said):
                attrs["comment"] = said
            shape = (self.count, *grid.shape)
            arrays[name] = Described(("time", "y", "x"), attrs, None, layout.form(name, level), shape)
        aside = sorted({*self.coordinates, "spatial_ref", "x_bnds", "y_bnds"} - {"time"})
        own = {key: value for key, value in attributes.items() if level.number == 1 or key != "landsat_grid"}
        return DescribedGroup(arrays, {**own, **place, "coordinates": " ".join(aside)})


def _record(said: Any) -> Any:
    """What the root says of a cube: text, which NetCDF can hold too; the first cubes had it as it is."""
    return json.loads(said) if isinstance(said, str) else said


def geozarr(grid: Grid) -> dict[str, Any]:
    """Where an array lies, by the conventions of GeoZarr."""
    code = grid.crs if ":" in grid.crs and "[" not in grid.crs else None
    crs = CRS.from_user_input(grid.crs)
    return {
        "zarr_conventions": [_convention(name, f"{name}:", *one) for name, one in CONVENTIONS.items()],
        **({"proj:code": code} if code else {"proj:wkt2": crs.to_wkt("WKT2_2019")}),
        "spatial:dimensions": ["y", "x"],
        "spatial:transform": list(Affine(*grid.transform[:6]))[:6],
        "spatial:bbox": list(grid.bounds),
        "spatial:shape": list(grid.shape),
        "spatial:registration": "pixel",
    }


def multiscales(layout: Layout) -> dict[str, Any]:
    """Which groups are the levels of a cube, by the conventions of GeoZarr."""
    place = geozarr(layout.common.grid)
    levels = []
    for level in layout.grids:
        at = geozarr(level.common.grid)
        levels.append(
            {
                "asset": layout.path(level.number),
                **({"derived_from": layout.path(1)} if level.number > 1 else {}),
                "transform": {"scale": [float(level.number)] * 2},
                **{key: at[key] for key in ("spatial:shape", "spatial:transform")},
            }
        )
    kept = {key: value for key, value in place.items() if key not in ("spatial:shape", "spatial:transform")}
    conventions = [*place["zarr_conventions"], _convention("multiscales", "multiscales", *MULTISCALES)]
    return {
        **kept,
        "zarr_conventions": conventions,
        "multiscales": {"layout": levels},
    }


def _convention(repository: str, name: str, uuid: str, text: str) -> dict[str, str]:
    return {
        "uuid": uuid,
        "name": name,
        "schema_url": f"https://raw.githubusercontent.com/zarr-conventions/{repository}/refs/tags/v0.1/schema.json",
        "spec_url": f"https://github.com/zarr-conventions/{repository}/blob/v0.1/README.md",
        "description": text,
    }
