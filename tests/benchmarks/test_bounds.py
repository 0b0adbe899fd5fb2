"""Areas of interest: whole cells of the whole scene's lattice, and only the blocks they need."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from conftest_s3 import s3_env, seaweed  # noqa: F401

from landsat_downsample import UsageError, open_scene, plan, run, verify
from landsat_downsample.storage import files
from landsat_downsample.testing.synthetic.make import make_scene


@pytest.fixture(scope="module")
def scene_folder(tmp_path_factory):
    return str(
        make_scene(tmp_path_factory.mktemp("scene"), level=1, size=(831, 687), bands=("B4", "B8", "QA_PIXEL", "VAA"))
    )


@pytest.fixture(scope="module")
def wholes(scene_folder, tmp_path_factory) -> dict[tuple[str, str], tuple[np.ndarray, rasterio.Affine]]:
    """Each band of the whole scene, by its file's name and how its size was asked for."""
    found = {}
    for size in SIZES:
        dest = tmp_path_factory.mktemp("whole")
        run(plan(scene_folder, str(dest), mask="cloud", **size))
        found |= {(path.name, *size): read(path) for path in dest.glob("*/*.TIF")}
    return found


def area(folder: str, shares: tuple[float, float, float, float]) -> tuple[float, ...]:
    """An area by its shares of the scene's width and height."""
    left, bottom, right, top = open_scene(folder).grid.bounds
    x0, y0, x1, y1 = shares
    width, height = right - left, top - bottom
    return left + x0 * width, bottom + y0 * height, left + x1 * width, bottom + y1 * height


def read(href: str) -> tuple[np.ndarray, rasterio.Affine]:
    with rasterio.open(href) as raster:
        return raster.read(), raster.transform


SIZES = [{"factor": 7}, {"resolution": 100}, {"size": (50, 0)}]
AREAS = [(0.31, 0.22, 0.58, 0.71), (0.9, 0.0, 1.2, 0.1), (-1, -1, 0.011, 2), (0, 0, 1, 1)]


@pytest.mark.parametrize("shares", AREAS)
@pytest.mark.parametrize("size", SIZES, ids=lambda size: next(iter(size)))
def test_an_area_is_cut_out_of_the_whole(scene_folder, wholes, tmp_path, size, shares):
    bounds = area(scene_folder, shares)
    run(plan(scene_folder, str(tmp_path), mask="cloud", bounds=bounds, **size))
    (product,) = tmp_path.iterdir()
    for path in product.glob("*.TIF"):
        part, transform = read(path)
        whole, anchor = wholes[path.name, *size]
        column = round((transform.c - anchor.c) / anchor.a)
        row = round((transform.f - anchor.f) / anchor.e)
        cut = whole[:, row : row + part.shape[1], column : column + part.shape[2]]
        np.testing.assert_array_equal(part, cut)
        assert transform.c <= max(bounds[0], anchor.c) + 1e-6
        assert transform.f >= min(bounds[3], anchor.f) - 1e-6
        assert transform.c == pytest.approx(anchor.c + column * anchor.a, abs=1e-3)
    assert verify(str(product), source=scene_folder, blocks=6).wrong == []


def test_an_area_outside_is_refused(scene_folder, tmp_path):
    with pytest.raises(UsageError, match="hold nothing of the image"):
        plan(scene_folder, str(tmp_path), factor=7, bounds=(0, 0, 1, 1))
    with pytest.raises(UsageError, match="are empty"):
        plan(scene_folder, str(tmp_path), factor=7, bounds=(5, 0, 1, 1))


def test_a_remote_area_fetches_only_its_blocks(scene_folder, s3_env, tmp_path):  # noqa: F811
    import fsspec

    fs, path = fsspec.core.url_to_fs("s3://scenes/area")
    for name in files.list_names(scene_folder):
        fs.put_file(f"{scene_folder}/{name}", f"{path}/{name}")
    bounds = area(scene_folder, (0.4, 0.4, 0.45, 0.45))
    plans = plan("s3://scenes/area", str(tmp_path), factor=7, bands=("B4",), bounds=bounds)
    (outcome,) = run(plans)
    band = plans[0].scene.bands["B4"]
    assert 0 < outcome.bytes_in < 0.35 * band.size
    run(plan(scene_folder, str(tmp_path / "local"), factor=7, bands=("B4",), bounds=bounds))
    name = f"{plans[0].name}/{plans[0].scene.id}_B4.TIF"
    np.testing.assert_array_equal(read(tmp_path / name)[0], read(tmp_path / "local" / name)[0])
