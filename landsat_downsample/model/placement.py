"""Where the cells of a grid lie over an image."""

from __future__ import annotations

from dataclasses import dataclass

from landsat_downsample.errors import UsageError
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.lattice import Lattice
from landsat_downsample.model.projection import Projection
from landsat_downsample.model.region import check_region, offer
from landsat_downsample.model.target_grid import TargetGrid
from landsat_downsample.model.ties import covering


@dataclass(frozen=True, slots=True)
class Placement:
    """A window of cells, and how coordinates of an image become those of the cells."""

    coarse: Grid
    """The cells."""
    lattice: Lattice
    """Where they lie, exactly."""
    projection: Projection | None
    """From the coordinates of the image; None where they are the same."""

    @classmethod
    def of(cls, image: Grid, target: TargetGrid, *, whole: bool = False) -> Placement:
        """The cells of a grid that hold any part of an image; all of the grid's with `whole`, if it ends.

        Raises
        ------
        UsageError
            There are none, or the image has no place on the grid, or cells are finer than its pixels.
        """
        lattice = target.lattice
        if image.crs == lattice.crs:
            projection, touched = None, lattice.covering(image)
        else:
            check_region(image, target)
            projection = Projection.between(image, lattice.crs)
            touched = covering(image, lattice, projection)
        found = target.cut(touched)
        if found is None:
            raise UsageError(f"the scene does not reach {target.described}: {offer(image)}")
        if whole and target.extent:
            found = target.grid(target.extent)
        return cls(found, lattice, projection)
