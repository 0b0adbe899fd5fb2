"""What a cube may be stored as. Each format is a module with one function that writes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from landsat_downsample.cubes.growing import CubeOutcome
from landsat_downsample.errors import UsageError
from landsat_downsample.model.location import Location
from landsat_downsample.model.nearest import did_you_mean


@dataclass(frozen=True, slots=True)
class Format:
    """How cubes of a format are written."""

    title: str
    writer: str
    """Module and function, loaded when it is used: as of `growing.write_cube`."""
    options: tuple[str, ...] = ()
    """Of a cube's layout, those that it has."""

    @property
    def write(self) -> Callable[..., CubeOutcome]:
        """Its function."""
        module, _, name = self.writer.partition(":")
        found: Callable[..., CubeOutcome] = getattr(import_module(f"{__package__}.{module}"), name)
        return found

    def check(self, name: str, layout: Mapping[str, Any]) -> None:
        """Refuse options of other formats.

        Raises
        ------
        UsageError
            One is given.
        """
        for option, value in layout.items():
            if value is not None and option not in self.options:
                having = ", ".join(key for key, one in FORMATS.items() if option in one.options)
                raise UsageError(f"{option} is of the format {having}: leave it out with {name}, {self.title}")


FORMATS = {
    "zarr": Format("a Zarr store that grows", "growing:write_cube", ("dates_per_shard", "shards", "levels")),
    "netcdf": Format("one NetCDF-4 file", "netcdf_file:write_netcdf"),
    "icechunk": Format("an Icechunk repository", "icechunk_repository:write_icechunk", ("dates_per_shard", "shards")),
    "cog": Format("a folder of COGs", "mosaics:write_mosaics"),
}


#: How files are called that no cube is.
_FILES = (".tif", ".tiff", ".vrt", ".h5", ".hdf5", ".zip", ".tar", ".parquet", ".json")


def format_of(name: str | None, to: Location) -> tuple[str, Format]:
    """The format that is asked for, or that a place's name says: ``.nc`` is NetCDF, all else Zarr.

    Raises
    ------
    UsageError
        There is no such format, or the name is of a file that no cube is.
    """
    if to.name.lower().endswith(_FILES):
        raise UsageError(
            f"{to!r} is called like a file that is no cube: give CUBE.zarr, CUBE.nc or a folder of COGs (format cog)"
        )
    name = name or ("netcdf" if to.name.lower().endswith((".nc", ".nc4")) else "zarr")
    if name not in FORMATS:
        raise UsageError(f"format {name!r} is unknown{did_you_mean(name, FORMATS)}: choose {', '.join(FORMATS)}")
    return name, FORMATS[name]
