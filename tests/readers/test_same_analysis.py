"""An analysis that was written for full scenes runs on reduced ones unchanged, and gives what their cells must."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr

import landsat_downsample as ld

#: The readers come with the extra ``test-slow``; what they warn of is theirs.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

FACTOR, FLAGS = 5, 0b11111  # fill, dilated cloud, cirrus, cloud, shadow
SCALE, OFFSET = 2.75e-05, -0.2


# What somebody has written for USGS's items: NDVI where no flag is set


def by_odc_stac(item: Path) -> xr.Dataset:
    import odc.stac
    import pystac

    found = pystac.Item.from_file(item)
    found.make_asset_hrefs_absolute()
    data = odc.stac.load([found], bands=["red", "nir08", "qa_pixel"], chunks={}).isel(time=0)
    clear = (data.qa_pixel & FLAGS) == 0
    red, nir = (
        data[name].where(clear & (data[name] != data[name].odc.nodata)) * SCALE + OFFSET for name in ("red", "nir08")
    )
    return xr.Dataset({"clear": clear, "red": red, "ndvi": (nir - red) / (nir + red)}).compute()


def by_stackstac(item: Path) -> xr.Dataset:
    import stackstac

    record = json.loads(item.read_text())
    for asset in record["assets"].values():
        asset["href"] = str(item.parent / asset["href"])
    bands = ["red", "nir08", "qa_pixel"]
    stack = stackstac.stack([record], assets=bands, snap_bounds=False, xy_coords="center").isel(time=0)
    codes = stack.sel(band="qa_pixel", drop=True).fillna(1).astype("uint16")
    clear = (codes & FLAGS) == 0
    red, nir = (stack.sel(band=name, drop=True).where(clear) for name in ("red", "nir08"))
    return xr.Dataset(
        {"clear": clear, "red": red, "ndvi": (nir - red) / (nir + red)}, {"x": stack.x, "y": stack.y}
    ).compute()


def by_rioxarray(item: Path) -> xr.Dataset:
    import pystac
    import rioxarray

    assets = pystac.Item.from_file(item).assets
    physical = []
    for key in ("red", "nir08"):
        band = assets[key].extra_fields["raster:bands"][0]
        array = rioxarray.open_rasterio(assets[key].get_absolute_href())[0]
        physical.append(array.where(array != band["nodata"]) * band["scale"] + band["offset"])
    clear = (rioxarray.open_rasterio(assets["qa_pixel"].get_absolute_href())[0] & FLAGS) == 0
    red, nir = (array.where(clear) for array in physical)
    return xr.Dataset({"clear": clear, "red": red, "ndvi": (nir - red) / (nir + red)})


# What it must give


def pixels(folder: Path, name: str) -> np.ndarray:
    with rasterio.open(next(folder.glob(f"*_{name}.TIF"))) as raster:
        return raster.read(1)


def expected(red: np.ndarray, nir: np.ndarray, clear: np.ndarray) -> dict[str, np.ndarray]:
    red, nir = (np.where(clear & (band != 0), band * SCALE + OFFSET, np.nan) for band in (red, nir))
    return {"clear": clear, "red": red, "ndvi": (nir - red) / (nir + red)}


def blocks(values: np.ndarray) -> np.ndarray:
    """(y, x) to (cells down, cells across, pixels of a cell)."""
    height, width = (size // FACTOR for size in values.shape)
    return values.reshape(height, FACTOR, width, FACTOR).swapaxes(1, 2).reshape(height, width, -1)


def cells(band: np.ndarray) -> np.ndarray:
    """Mean of a cell's valid pixels, rounded as stored; 0 where there is none."""
    parts = blocks(band)
    count = (parts != 0).sum(-1)
    return np.rint(parts.sum(-1) / np.maximum(count, 1))


@pytest.fixture(scope="module", name="items")
def _items(tmp_path_factory) -> tuple[Path, Path]:
    """The item of a full scene, as USGS has it, and that of its product."""
    full = ld.make_scene(tmp_path_factory.mktemp("full"), size=(300, 260), seed=2)
    (item,) = full.glob("*_SR_stac.json")
    (outcome,) = ld.run(ld.plan(full, tmp_path_factory.mktemp("out"), factor=FACTOR, grid="scene"))
    return item, Path(outcome.href)


@pytest.mark.parametrize("analysis", [by_odc_stac, by_stackstac, by_rioxarray])
def test_the_same_analysis(analysis, items):
    full, product = items
    at_full, at_cells = analysis(full), analysis(product)
    red, nir, codes = (pixels(full.parent, name) for name in ("SR_B4", "SR_B5", "QA_PIXEL"))
    wanted = expected(red, nir, codes & FLAGS == 0)
    for name, values in wanted.items():
        np.testing.assert_allclose(at_full[name], values, rtol=1e-5, atol=1e-5)  # of single precision
    # A cell is fill where all its pixels are, and cloud where any valid one is.
    parts = blocks(codes)
    flagged = ((parts & (FLAGS - 1)) != 0) & (parts & 1 == 0)
    clear = ~flagged.any(-1) & ~(parts & 1 == 1).all(-1)
    assert 100 < clear.sum() < clear.size - 100
    reduced = expected(cells(red), cells(nir), clear)
    for name, values in reduced.items():
        np.testing.assert_allclose(at_cells[name], values, rtol=1e-5, atol=1e-5)  # of single precision
    for axis in ("x", "y"):
        np.testing.assert_allclose(at_cells[axis], at_full[axis].values.reshape(-1, FACTOR).mean(-1))
    # Where every pixel is clear, masking before the mean and after it are one.
    whole = blocks(wanted["clear"] & (red != 0)).all(-1)
    assert whole.sum() > 100
    means = blocks(at_full["red"].values)[whole].mean(-1)
    np.testing.assert_allclose(at_cells["red"].values[whole], means, atol=SCALE / 2 * 1.0001)
