"""A cube as it is in its store: its grid, its variables, and the dates that it has."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import truediv
from typing import Any

import numpy as np
from affine import Affine
from pyproj import CRS

from landsat_downsample.cubes.common_grid import CommonGrid
from landsat_downsample.cubes.series import Series, Variable
from landsat_downsample.cubes.zarr_format import DATES, ChunkFormat, Described, documents, read_coordinate
from landsat_downsample.errors import UsageError
from landsat_downsample.model.crs import cf_axes
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.lattice import Lattice
from landsat_downsample.model.location import Location
from landsat_downsample.storage import files

ROOT = "zarr.json"

#: The conventions of GeoZarr: rioxarray finds these names, others go by the UUID. https://github.com/zarr-conventions
CONVENTIONS = {
    "proj": ("f17cb550-5864-4468-aeb7-f3180cfb622f", "Coordinate reference system information for geospatial data"),
    "spatial": ("689b58e2-cf7b-45e0-9fff-9cfc0883d6b4", "Spatial coordinate information"),
}

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


def rules(variable: Variable, series: Series) -> dict[str, Any]:
    """By which rules the products of a variable were made."""
    band = variable.first.band
    return {
        "dtype": variable.dtype,
        "nodata": str(variable.fill),
        "scale": [band.scale, band.offset],
        "method": variable.first.method,
        "options": series.decisive(variable),
    }


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

    @classmethod
    def of(cls, series: Series, dates: int, *, sharded: bool, group: str | None, bounded: bool) -> Layout:
        """Of a cube that begins with a series."""
        variables = {variable.name: Stored.of(variable, series) for variable in series.variables}
        return cls(series.common, variables, dates, sharded, group, bounded)

    def form(self, name: str) -> ChunkFormat:
        """How a variable is stored."""
        one = self.variables[name]
        return ChunkFormat.of(one.dtype, one.fill, self.dates, self.common.grid.shape, sharded=self.sharded)

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
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any], arrays: dict[str, Any]) -> Layout:
        """Make it from what `to_dict` gave, and the documents of arrays."""
        common = CommonGrid(Lattice.from_dict(record["lattice"]), Grid.from_dict(record["grid"]))
        place = {*geozarr(common.grid), "grid_mapping"}
        variables = {
            name: Stored(
                arrays[name]["data_type"],
                float(arrays[name]["fill_value"]),
                one,
                {key: value for key, value in arrays[name]["attributes"].items() if key not in place},
            )
            for name, one in record["rules"].items()
        }
        return cls(common, variables, *(record[key] for key in ("dates", "sharded", "group", "bounded")))


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
        found = {}
        for name, array in arrays.items():
            if array.get("dimension_names") == ["time"]:
                chunks = [read(f"{name}/c/{number}") for number in range(-(-array["shape"][0] // DATES))]
                found[name] = read_coordinate(root, name, chunks), array["attributes"]
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
        layout, grid = self.layout, self.layout.common.grid
        crs, place, t = CRS.from_user_input(grid.crs), geozarr(grid), grid.transform
        arrays = {name: Described(("time",), dict(attrs), found) for name, (found, attrs) in self.coordinates.items()}
        for name, found, at in zip(
            "yx", layout.common.lattice.centres(grid), layout.common.lattice.edges(grid), strict=True
        ):
            arrays[name] = Described((name,), cf_axes(grid.crs)[name] | {"bounds": f"{name}_bnds"}, found)
            arrays[f"{name}_bnds"] = Described(
                (name, "bnds"), {"long_name": f"edges of the cells along {name}"}, np.stack([at[:-1], at[1:]], -1)
            )
        mapping = crs.to_cf() | {"GeoTransform": f"{t.c!r} {t.a!r} 0.0 {t.f!r} 0.0 {t.e!r}"}
        arrays["spatial_ref"] = Described((), mapping, np.array(0))
        for name, one in layout.variables.items():
            attrs = one.attributes | {"grid_mapping": "spatial_ref", **place}
            arrays[name] = Described(("time", "y", "x"), attrs, None, layout.form(name), (self.count, *grid.shape))
        aside = sorted({*self.coordinates, "spatial_ref", "x_bnds", "y_bnds"} - {"time"})
        said = {**attributes, **place, "coordinates": " ".join(aside), "landsat_ds:cube": json.dumps(layout.to_dict())}
        return documents(arrays, said)


def _record(said: Any) -> Any:
    """What the root says of a cube: text, which NetCDF can hold too; the first cubes had it as it is."""
    return json.loads(said) if isinstance(said, str) else said


def geozarr(grid: Grid) -> dict[str, Any]:
    """Where an array lies, by the conventions of GeoZarr."""
    code = grid.crs if ":" in grid.crs and "[" not in grid.crs else None
    crs = CRS.from_user_input(grid.crs)
    return {
        "zarr_conventions": [
            {
                "uuid": uuid,
                "name": f"{name}:",
                "schema_url": f"https://raw.githubusercontent.com/zarr-conventions/{name}/refs/tags/v0.1/schema.json",
                "spec_url": f"https://github.com/zarr-conventions/{name}/blob/v0.1/README.md",
                "description": text,
            }
            for name, (uuid, text) in CONVENTIONS.items()
        ],
        **({"proj:code": code} if code else {"proj:wkt2": crs.to_wkt("WKT2_2019")}),
        "spatial:dimensions": ["y", "x"],
        "spatial:transform": list(Affine(*grid.transform[:6]))[:6],
        "spatial:bbox": list(grid.bounds),
        "spatial:shape": list(grid.shape),
        "spatial:registration": "pixel",
    }
