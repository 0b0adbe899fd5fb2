"""Dates whose frames wander, and neighbours, give products that fit together without resampling."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
import rioxarray
import xarray as xr
from affine import Affine
from rasterio.merge import merge

import landsat_downsample as ld

#: Columns to the right and rows down, in pixels: USGS moves frames of one path and row by steps of 300 m.
WANDER = [(0, 0), (10, 0), (-220, 10), (40, -10), (0, 10), (130, 0)]
SIDE, MARGIN = (211, 307), 230  # of a frame; of the ground around it


@pytest.fixture(scope="module", name="ground")
def _ground() -> np.ndarray:
    return np.random.default_rng(5).integers(1, 20_000, (SIDE[0] + 2 * MARGIN, SIDE[1] + 2 * MARGIN), "uint16")


def dates(folder: Path, ground: np.ndarray, moves) -> list[str]:
    """Frames of one ground, each a file of its own."""
    paths = []
    for k, (right, down) in enumerate(moves):
        row, column = MARGIN + down, MARGIN + right
        transform = Affine(30, 0, 256185 + 30 * right, 0, -30, 5216415 - 30 * down)
        profile = {"driver": "GTiff", "height": SIDE[0], "width": SIDE[1], "count": 1, "dtype": "uint16", "nodata": 0}
        paths.append(str(folder / f"date{k}_B4.TIF"))
        with rasterio.open(paths[-1], "w", crs="EPSG:32633", transform=transform, **profile) as file:
            file.write(ground[row : row + SIDE[0], column : column + SIDE[1]], 1)
    return paths


def products(paths: list[str], to: Path, **how) -> list[Path]:
    done = ld.run(ld.plan(paths, str(to), **how), workers=2)
    assert [outcome.status for outcome in done] == ["done"] * len(paths)
    return sorted(to.glob("*/*.TIF"))


@pytest.mark.parametrize("how", [{"factor": 8}, {"factor": 10}, {"factor": 16}, {"resolution": 1000}], ids=str)
def test_dates_stack(ground, tmp_path, how):
    files = products(dates(tmp_path, ground, WANDER), tmp_path / "out", **how)
    opened = [rioxarray.open_rasterio(file).squeeze("band", drop=True) for file in files]
    cell = opened[0].rio.resolution()[0]
    cube = xr.concat(opened, "time", join="outer", fill_value=0)
    for name in ("x", "y"):  # an outer join of lattices that differ would have more coordinates
        assert set(np.abs(np.diff(cube[name]))) == {cell}
    if cell % 30:
        return
    factor = int(cell) // 30
    for array, (right, down) in zip(opened, WANDER, strict=True):
        left, top = array.rio.transform().c, array.rio.transform().f
        row, column = round((5216415 - top) / 30) + MARGIN, round((left - 256185) / 30) + MARGIN
        height, width = (n - 2 for n in array.shape)  # those at the edges hold what the frame has of them
        assert 0 <= down + MARGIN - row < factor and 0 <= right + MARGIN - column < factor
        blocks = ground[row + factor :, column + factor :][: height * factor, : width * factor]
        sums = blocks.reshape(height, factor, width, factor).sum((1, 3), dtype=np.int64).ravel().tolist()
        assert array.values[1:-1, 1:-1].ravel().tolist() == [round(Fraction(total, factor**2)) for total in sums]


def test_the_same_cells_come_of_an_array_and_of_a_part_of_it(ground, tmp_path):
    one, other = dates(tmp_path, ground, WANDER[1:3])
    whole, moved = (ld.coarsen(ld.open_scene(path)["B4"], factor=16).compute() for path in (one, other))
    part = ld.coarsen(rioxarray.open_rasterio(one)[0, 3:190, 5:301], factor=16).compute()
    for found, edge in ((moved, 1), (part, 1)):
        inner = found[edge:-edge, edge:-edge]
        a, b = xr.align(whole[1:-1, 1:-1], inner, join="inner")
        assert a.size >= 40
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match=r"align|index"):  # the same, counted from each corner: not so
        xr.align(
            *(ld.coarsen(ld.open_scene(p)["B4"], factor=16, grid="scene")[:5, :5] for p in (one, other)),
            join="exact",
        )


def test_neighbours_make_a_mosaic_without_resampling(ground, tmp_path):
    files = products(dates(tmp_path, ground, [(0, 0), (190, 40)]), tmp_path / "out", factor=7)
    mosaic, transform = merge(list(map(str, files)))
    for file in files:
        with rasterio.open(file) as product:
            column, row = ~transform @ (product.transform.c, product.transform.f)
            assert (column, row) == (round(column), round(row))
            values = product.read(1)[1:-1, 1:-1]
        where = mosaic[0, int(row) + 1 :, int(column) + 1 :][: values.shape[0], : values.shape[1]]
        assert (where == values).mean() > 0.9  # but for cells that the other one saw more of


SIX = ["SR_B4", "QA_PIXEL"]


@pytest.fixture(scope="module", name="six")
def _six(tmp_path_factory) -> list[Path]:
    """Six dates of one path and row."""
    return ld.make_scenes(tmp_path_factory.mktemp("six"), dates=6, size=(397, 411), bands=SIX)


@pytest.mark.parametrize("how", [{"factor": 8}, {"factor": 10}, {"factor": 16}, {"resolution": 1000}], ids=str)
def test_six_dates_of_one_area_stack_exactly(six, tmp_path, how):
    area = (258_017.0, 5_207_031.0, 265_003.0, 5_214_019.0)
    products(list(map(str, six)), tmp_path / "out", bounds=area, **how)
    for band in SIX:
        files = sorted((tmp_path / "out").glob(f"*/*_{band}.TIF"))
        opened = [rioxarray.open_rasterio(file).squeeze("band", drop=True) for file in files]
        cube = xr.concat(opened, "time", join="exact")
        assert cube.sizes["time"] == 6 and cube.rio.crs.to_epsg() == 32633
        assert abs(cube.rio.resolution()[0]) == how.get("resolution", 30 * how.get("factor", 0))
    whole = products(list(map(str, six)), tmp_path / "whole", **how)  # a part of a scene has the cells of the whole one
    for file in whole:
        part = rioxarray.open_rasterio(tmp_path / "out" / file.parent.name / file.name)[0, 1:-1, 1:-1]
        _, found = xr.align(part, rioxarray.open_rasterio(file)[0], join="left")
        np.testing.assert_array_equal(found, part)


@pytest.fixture(scope="module", name="rows")
def _rows(tmp_path_factory) -> list[Path]:
    """Products of two rows of one pass, of cells of seven pixels."""
    folder = tmp_path_factory.mktemp("rows")
    scenes = ld.make_scenes(folder, rows=2, size=(397, 411), bands=["SR_B4"])
    return products(list(map(str, scenes)), folder / "out", factor=7)


def test_rows_of_one_path_make_a_mosaic_of_the_very_same_cells(rows):
    mosaic, transform = merge(list(map(str, rows)))
    expected = np.zeros_like(mosaic[0])
    for file in rows:
        with rasterio.open(file) as product:
            column, row = ~transform @ (product.transform.c, product.transform.f)
            assert (column, row) == (round(column), round(row))
            values = product.read(1)
        part = expected[int(row) :, int(column) :][: values.shape[0], : values.shape[1]]
        np.copyto(part, values, where=part == 0)  # the first that saw a place gives it
    np.testing.assert_array_equal(mosaic[0], expected)


def test_gdalbuildvrt_makes_a_mosaic_without_resampling(rows, tmp_path):
    if shutil.which("gdalbuildvrt") is None:
        pytest.skip("needs gdalbuildvrt, which comes with GDAL's programs and not with rasterio")
    subprocess.run(["gdalbuildvrt", "-q", "-strict", tmp_path / "both.vrt", *rows], check=True)
    windows = ElementTree.parse(tmp_path / "both.vrt").iter("DstRect")
    places = [[float(window.attrib[key]) for key in ("xOff", "yOff", "xSize", "ySize")] for window in windows]
    assert len(places) == 2
    with rasterio.open(tmp_path / "both.vrt") as mosaic:
        for file, place in zip(rows, places, strict=True):
            assert place == [round(n) for n in place]
            with rasterio.open(file) as product:
                assert (product.width, product.height) == tuple(place[2:])
                assert product.transform.c - mosaic.transform.c == place[0] * 210
                assert mosaic.transform.f - product.transform.f == place[1] * 210


@pytest.mark.slow
def test_the_pages_on_stacking_can_be_followed(tmp_path, monkeypatch):
    pages = "".join((Path(__file__).parents[2] / "docs" / name).read_text() for name in ("stacking.md", "mosaic.md"))
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for language, text in re.findall(r"```(sh|python)\n(.*?)```", pages, re.DOTALL):
        if language == "python":
            exec(text, names)
            continue
        program = f'"{sys.executable}" -m landsat_downsample'
        script = text.replace("landsat-downsample", program)
        subprocess.run(["sh", "-e", "-c", script], check=True, capture_output=True)
    cube, mosaic = names["cube"], names["mosaic"]
    assert cube.sizes["time"] == 6 and cube.indexes["time"].is_monotonic_increasing
    assert (cube.indexes["time"][0].year, cube.indexes["time"][0].month) == (2023, 7)
    assert (mosaic > 0).mean() > 0.5
    scenes = names["scenes"]
    assert scenes.sizes["time"] == 4
    for name in ("x", "y"):  # without gaps
        assert np.ptp(np.diff(scenes[name])) < 1e-6
