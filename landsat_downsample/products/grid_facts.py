"""What a product says of its cells: which they are, how large, and how pixels were shared among them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from rasterio.crs import CRS

from landsat_downsample.formats.mtl.coarse import can_say
from landsat_downsample.model.grid import Grid
from landsat_downsample.model.plan import ScenePlan
from landsat_downsample.model.projection import proj_version
from landsat_downsample.model.region import beyond_use
from landsat_downsample.model.target_grid import TargetGrid
from landsat_downsample.model.ties import tie_facts
from landsat_downsample.reduce.area_shares import UNIT


def crs_fields(name: str) -> dict[str, Any]:
    """A CRS in the fields of STAC's projection extension: its code; WKT2 and PROJJSON where EPSG has none.

    ``proj:epsg``, which version 1.2 of the extension has beside the code, is what readers of before 2025 look for.

    >>> crs_fields("EPSG:3035")
    {'proj:code': 'EPSG:3035', 'proj:epsg': 3035}
    """
    crs = CRS.from_user_input(name)
    authority = crs.to_authority()
    if authority and authority[0] == "EPSG":
        return {"proj:code": f"EPSG:{authority[1]}", "proj:epsg": int(authority[1])}
    return {
        "proj:code": ":".join(authority) if authority else None,
        "proj:epsg": None,
        "proj:wkt2": crs.to_wkt(version="WKT2_2019"),
        "proj:projjson": crs.to_dict(projjson=True),
    }


def describe_ratio(ratio: tuple[Fraction, Fraction]) -> dict[str, Any]:
    """``ratio`` as [y, x] numbers, and ``factor`` where both are one whole number.

    >>> describe_ratio((Fraction(10), Fraction(10)))
    {'ratio': [10.0, 10.0], 'factor': 10}
    """
    ry, rx = map(Fraction, ratio)
    record: dict[str, Any] = {"ratio": [float(ry), float(rx)]}
    if ry == rx and ry.denominator == 1:
        record["factor"] = int(ry)
    return record


def describe_cells(plan: ScenePlan) -> dict[str, Any]:
    """Name of the grid, [row, column] in it of the upper-left cell, and the size of a cell in source pixels.

    The size is ``ratio`` as of `describe_ratio`; on another projection, where sides of cells are no number of pixels,
    ``cell_area``: the mean area of a cell.
    """
    grid = plan.options.grid
    facts = {
        "grid": grid.name if isinstance(grid, TargetGrid) else grid,
        "first_cell": list(plan.lattice.first(plan.coarse)),
    }
    return facts | ({"cell_area": round(plan.cell_area, 6)} if plan.projection else describe_ratio(plan.ratio))


def describe_projection(plan: ScenePlan) -> dict[str, Any] | None:
    """How pixels came to the cells of another projection; None in the scene's own.

    ``operation`` is PROJ's pipeline, ``PROJ`` its version. Each pixel is shared out in whole parts of which
    ``parts_of_a_pixel`` make one.
    """
    if plan.projection is None:
        return None
    return {"operation": plan.projection.definition, "PROJ": proj_version(), "parts_of_a_pixel": UNIT}


def describe_ties(plan: ScenePlan, pixels: Grid | None) -> dict[str, Any]:
    """What decides the weights of a band's pixels on another projection.

    ``tie_points``: digest of the positions on the grid that PROJ gave; ``tie_step``: pixels from one to the next.
    """
    if plan.projection is None or pixels is None:
        return {}
    ties = tie_facts(pixels, plan.lattice, plan.projection)
    return {"tie_points": ties.digest, "tie_step": ties.step}


def software(plan: ScenePlan) -> dict[str, str]:
    """Further software that decides a product's bytes: PROJ, where positions are its."""
    return {"PROJ": proj_version()} if plan.projection else {}


def cells_in_words(plan: ScenePlan) -> str:
    """What the cells are to the pixels, for people."""
    if plan.projection is None:
        ry, rx = map(float, plan.ratio)
        return f"Cells of {ry:g} x {rx:g} (y, x) full-resolution pixels of {plan.scene.id}"
    return (
        f"Cells of the grid {describe_cells(plan)['grid']}, of {plan.cell_area:.4g} full-resolution pixels of "
        f"{plan.scene.id} on average, which count by the area that they share with a cell (nothing is interpolated)"
    )


def doubts(plan: ScenePlan) -> list[str]:
    """What people should know of a product's grid before they make it."""
    far = beyond_use(plan.scene.grid, plan.coarse.crs) if plan.projection else ""
    return [line for line in (why_no_mtl(plan), far) if line]


def why_no_mtl(plan: ScenePlan) -> str:
    """Why the source's MTL is not in the product; empty where it is, or where there is none."""
    if not any(kind.startswith("MTL.") for kind in plan.scene.metadata):
        return ""
    if plan.projection is None or can_say(plan.scene.grid.crs, plan.coarse.crs):
        return ""
    return (
        "no MTL: its fields can name the UTM zones that USGS uses, not this grid's projection; "
        "the STAC item and met.json describe the product, the source has the MTL"
    )
