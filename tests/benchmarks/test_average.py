"""The page on averages: its script measures what it says, and its table has every case."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import average

SIDE = 611


@pytest.fixture(scope="module", name="image")
def _image() -> np.ndarray:
    return np.random.default_rng(4).integers(1, 20_000, (SIDE, SIDE)).astype(float)


def test_an_average_is_right_where_cells_are_whole_pixels(image):
    """In the image's own zone, GDAL and the polygons have nothing to differ by."""
    upright = average.Case("", "EPSG:32614", (-100, 40), "", "EPSG:32614", 240, (-15, 15), "zone", 240)
    gdal = {name: method for name, method in average.METHODS.items() if "GDAL" in name}
    for percent, largest in average.errors(upright, {"noise": image}, gdal, 90)["noise"]:
        assert percent < 1e-3 and largest < 0.02


def test_an_average_is_wrong_on_a_sheared_grid(image):
    (found,) = average.errors(average.CASES[0], {"noise": image}, {"average": average.gdal_average}, 60)["noise"]
    assert found[0] > 30
    source = average.CASES[0].source(SIDE)
    target = average.CASES[0].lattice(source)
    cells = average.truth(source, target, 463, 60)
    means = np.full(target.shape, np.nan)
    for row, column, weights in zip(*cells, strict=True):
        means[row, column] = average.oracle.weighted_mean(image, image > 0, weights)
    right = average.errors(average.CASES[0], {"noise": image}, {"right": lambda *_: means}, 60)["noise"]
    assert right == [(0, 0)]
    assert average.as_average(average.CASES[0], image)  # rioxarray goes by GDAL


@pytest.mark.parametrize("case", average.CASES, ids=lambda case: f"{case.place} {case.grid}")
def test_ours_is_right_on_all_of_these_grids(case, image):
    (found,) = average.errors(case, {"noise": image}, {"ours": average.ours}, 60)["noise"]
    assert found[1] < 0.3  # DN, of noise up to 20 000


def test_the_weights_of_gdal_are_those_by_which_it_averages(image):
    case = average.CASES[-1]
    source = case.source(SIDE)
    target = case.lattice(source)
    row, column = (n // 2 for n in target.shape)
    left, bottom, right, top = average._bounds(target, row, column)
    outline = average.oracle.cell_polygon(case.target, left, bottom, right, top, source_crs=case.zone, segments=4)
    x0, _, _, y1 = outline.bounds
    first, upper = int((x0 - source.transform.c) // 30) - 4, int((source.transform.f - y1) // 30) - 4
    window = average.Raster(source.crs, source.transform @ average.Affine.translation(first, upper), (50, 60))
    weights = average.gdal_weights(case, source, (left, bottom, right, top), window)
    part = image[upper : upper + 50, first : first + 60]
    expected = average.gdal_average(image, source, target)[row, column]
    assert (weights * part).sum() == pytest.approx(expected, rel=2e-3)  # its transformer is approximate over an image


def test_the_page_has_a_row_for_every_case_and_keeps_its_text(tmp_path):
    rows = [line for line in average.PAGE.read_text().splitlines() if line.startswith("| ")]
    for case in average.CASES:
        assert sum(row.startswith(f"| {case.place} | {case.grid} |") for row in rows) == 2
    copy = tmp_path / "average.md"
    copy.write_text(average.PAGE.read_text())
    average.put(["| new |"], copy)
    average.put(["| newer |"], copy)
    text = copy.read_text()
    assert "| newer |" in text and "| new |" not in text and "| Kansas" not in text
    assert text.partition(average.BEGIN)[0] == average.PAGE.read_text().partition(average.BEGIN)[0]
    assert text.partition(average.END)[2] == average.PAGE.read_text().partition(average.END)[2]


def test_the_picture_is_drawn(tmp_path):
    average.draw(average.CASES[0], tmp_path / "cell.png")
    with Image.open(tmp_path / "cell.png") as drawn, Image.open(Path(average.PAGE).with_suffix(".png")) as kept:
        assert drawn.size == kept.size
