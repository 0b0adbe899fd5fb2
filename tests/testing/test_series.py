"""Dates and neighbours of one synthetic world: frames as USGS lays them, and one ground under all of them."""

from __future__ import annotations

import re
from datetime import date

import numpy as np
import pytest
import rasterio

from landsat_downsample.errors import UsageError
from landsat_downsample.scenes.open import open_scene
from landsat_downsample.testing.synthetic.make import make_scene, make_scenes

SIZE = (237, 213)
#: Pixels within which a frame does not know the shadows of clouds outside of it, nor their fringe.
BLIND = 30


def parts(folder):
    """(path, row, date) of a product id."""
    path, row, acquired = re.fullmatch(
        r"L[COTEM]\d\d_L[12]\w\w_(\d{3})(\d{3})_(\d{8})_\d{8}_02_T1", folder.name
    ).groups()
    return int(path), int(row), date.fromisoformat(acquired)


def read(folder, band):
    with rasterio.open(folder / f"{folder.name}_{band}.TIF") as file:
        return file.read(1), file.transform


def common(one, other, band):
    """The same places in two scenes, without what lies at the frames' edges."""
    (a, at_a), (b, at_b) = read(one, band), read(other, band)
    column, row = (round(n) for n in ~at_a @ (at_b.c, at_b.f))
    top, left = max(0, row) + BLIND, max(0, column) + BLIND
    bottom = min(a.shape[0], row + b.shape[0]) - BLIND
    right = min(a.shape[1], column + b.shape[1]) - BLIND
    assert bottom - top > 10 and right - left > 10
    return a[top:bottom, left:right], b[top - row : bottom - row, left - column : right - column]


@pytest.fixture(scope="module", name="year")
def _year(tmp_path_factory):
    bands = ["SR_B4", "SR_B5", "ST_B10", "QA_PIXEL"]
    return make_scenes(tmp_path_factory.mktemp("year"), dates=6, size=SIZE, bands=bands)


@pytest.fixture(scope="module", name="neighbours")
def _neighbours(tmp_path_factory):
    """(path, row) -> folder."""
    folder = tmp_path_factory.mktemp("neighbours")
    made = make_scenes(folder, rows=2, paths=2, size=(397, 411), bands=["SR_B4", "SR_B5", "QA_PIXEL", "QA_RADSAT"])
    return {parts(scene)[:2]: scene for scene in made}


@pytest.mark.parametrize("sensor, southern", [("oli", False), ("oli", True), ("mss", False), ("mss123", True)])
def test_frames_begin_and_end_where_those_of_usgs_do(tmp_path, sensor, southern):
    level = 1 if sensor.startswith("mss") else 2
    options = {"sensor": sensor, "level": level, "southern": southern}
    made = make_scenes(tmp_path, dates=2, rows=2, paths=2, size=(123, 141), bands=["QA_PIXEL"], **options)
    assert len({parts(scene) for scene in made}) == 8
    frames = []
    for scene in made:
        with rasterio.open(scene / f"{scene.name}_QA_PIXEL.TIF") as file:
            corners = [*file.xy(0, 0), *file.xy(file.height - 1, file.width - 1)]
        assert [n % 300 for n in corners] == [0, 0, 0, 0]
        assert abs((corners[2] - corners[0]) - 122 * file.transform.a) <= 600
        frames.append(corners)
    assert len({tuple(frame[:2]) for frame in frames[::4]}) > 1  # they wander
    assert len({(right - left, top - bottom) for left, top, right, bottom in frames}) > 1


def test_ids_dates_and_metadata_are_those_of_the_path_and_row(tmp_path):
    made = make_scenes(tmp_path, dates=2, rows=2, paths=2, size=(61, 57), bands=["SR_B4", "QA_PIXEL"])
    assert [parts(scene)[:2] for scene in made] == [(192, 28), (192, 29), (193, 28), (193, 29)] * 2
    days = [(parts(scene)[2] - parts(made[0])[2]).days for scene in made]
    assert days[:4] == [0, 0, 7, 7] and days[4] % 16 == 0 and 150 < days[4] < 215
    for scene in made:
        path, row, acquired = parts(scene)
        text = (scene / f"{scene.name}_MTL.txt").read_text()
        assert f"WRS_PATH = {path}\n" in text and f"WRS_ROW = {row}\n" in text
        assert f"DATE_ACQUIRED = {acquired}" in text
        opened = open_scene(scene)
        assert opened.id == scene.name
        assert f"CORNER_UL_PROJECTION_X_PRODUCT = {opened.grid.transform.c + 15:.3f}" in text


def test_rows_of_one_pass_show_the_very_same_where_they_overlap(neighbours):
    for path in (192, 193):
        one, other = neighbours[path, 28], neighbours[path, 29]
        seen = np.ones(common(one, other, "QA_PIXEL")[0].shape, bool)
        for fill, band in ((1, "QA_PIXEL"), (-1, "QA_RADSAT")):
            for codes in common(one, other, band):
                seen &= (codes != fill) if fill > 0 else (codes == 0)
        assert seen.sum() > 500
        for band in ("QA_PIXEL", "SR_B4", "SR_B5"):
            a, b = common(one, other, band)
            np.testing.assert_array_equal(a[seen], b[seen])
        assert np.ptp(common(one, other, "SR_B5")[0][seen]) > 3000


def test_paths_show_the_same_ground_under_other_clouds(neighbours):
    one, other = neighbours[192, 28], neighbours[193, 28]
    codes = common(one, other, "QA_PIXEL")
    clear = np.logical_and(*[code & 0b1111111 == 0b1000000 for code in codes])
    assert clear.sum() > 500
    assert (codes[0] & 8 != codes[1] & 8).any()
    a, b = (band[clear].astype(float) for band in common(one, other, "SR_B5"))
    assert np.median(np.abs(a - b)) < 150 and np.std(a) > 1000
    assert np.corrcoef(a, b)[0, 1] > 0.98


def test_seasons_change_the_ground_but_not_what_it_is(year):
    greenness, snow, kelvin = [], [], []
    for scene in year:
        (red, _), (nir, _), (thermal, _), (qa, _) = (read(scene, b) for b in ("SR_B4", "SR_B5", "ST_B10", "QA_PIXEL"))
        clear = (qa == 21824) & (thermal > 0)
        red, nir = (band[clear] * 2.75e-5 - 0.2 for band in (red, nir))
        greenness.append(np.median((nir - red) / (nir + red)))
        snow.append((qa & 32 != 0).sum() / (qa != 1).sum())
        kelvin.append(np.median(thermal[clear]) * 0.00341802 + 149)
    months = [parts(scene)[2].month for scene in year]
    summer, winter = months.index(7), months.index(1)
    assert greenness[summer] == max(greenness) > min(greenness) + 0.15
    assert snow[winter] == max(snow) > snow[summer]
    assert kelvin[winter] == min(kelvin) < kelvin[summer] - 15
    spring = next(n for n, month in enumerate(months) if month in (5, 6))
    codes = common(year[summer], year[spring], "QA_PIXEL")
    bare = np.logical_and(*[code & 0b0111111 == 0 for code in codes])  # of cloud, shadow and snow
    assert bare.sum() > 1000
    assert np.array_equal(codes[0][bare] & 128, codes[1][bare] & 128)


def test_a_scene_is_the_same_with_more_neighbours(tmp_path):
    options = {"size": (97, 83), "bands": ["SR_B4", "QA_PIXEL"]}
    few = make_scenes(tmp_path / "few", rows=2, **options)
    many = {scene.name: scene for scene in make_scenes(tmp_path / "many", rows=3, paths=2, **options)}
    for scene in few:
        for path in scene.iterdir():
            assert path.read_bytes() == (many[scene.name] / path.name).read_bytes()


def test_one_scene_alone_is_that_of_make_scene(tmp_path):
    (one,) = make_scenes(tmp_path / "a", size=(67, 59), seed=3)
    other = make_scene(tmp_path / "b", size=(67, 59), seed=3)
    assert {path.name: path.read_bytes() for path in one.iterdir()} == {
        path.name: path.read_bytes() for path in other.iterdir()
    }


@pytest.mark.parametrize("options", [{"dates": 0}, {"rows": 10}, {"paths": 5}, {"dates": 400}], ids=str)
def test_too_many_scenes_are_refused(tmp_path, options):
    (name,) = options
    with pytest.raises(UsageError, match=rf"{name} \d+: a synthetic series has from 1 to \d+ {name}"):
        make_scenes(tmp_path, size=(61, 57), **options)
    assert not list(tmp_path.iterdir())
