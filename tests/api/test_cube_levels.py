"""Levels of a cube are what a reduction of the scenes straight to their cells gives, and grow and break as it does."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import command
import numpy as np
import pytest
import s3
import xarray as xr
from conftest_s3 import s3_env, seaweed  # noqa: F401 - fixtures
from test_cube import KILLED

import landsat_downsample as ld
from landsat_downsample.cubes import levels as levels_module
from landsat_downsample.cubes.levels import checked
from landsat_downsample.storage import small_objects

pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")

#: Numbers of cells that no level divides.
SIZE = (371, 263)
BANDS = ["SR_B4", "ST_B10", "ST_EMSD", "ST_CDIST", "QA_PIXEL", "QA_RADSAT", "SR_QA_AEROSOL"]
STATS = ["mean", "median", "sum", "count", "std", "min", "max"]
LEVELS = (2, 4, 8)
BOUNDS = (257000, 5203000, 268000, 5216000)


@pytest.mark.parametrize(
    ("levels", "said"),
    [
        ((2, 3), "2,3 are none"),
        ((1, 2), "1,2 are none"),
        ((4, 2), "4,2 are none"),
        ((2, 64), "the last one can be 32"),
        (2, "levels 2 are no numbers of cells"),
        ("2,4", "levels '2,4' are no numbers of cells"),
    ],
)
def test_levels_that_cannot_be(levels, said):
    with pytest.raises(ld.UsageError, match=said):
        checked(levels)


@pytest.fixture(scope="module", name="source")
def _source(tmp_path_factory) -> list[Path]:
    return sorted(ld.make_scenes(tmp_path_factory.mktemp("series"), dates=5, size=SIZE, bands=BANDS), key=when)


def when(scene: Path) -> str:
    return Path(scene).name[17:25]


@pytest.fixture(scope="module", name="made")
def _made(source, tmp_path_factory) -> dict[int, Path]:
    """Products of the scenes at factor 2, and straight at the levels', by level; the first ones by time."""
    folder = tmp_path_factory.mktemp("products")
    for level in (1, *LEVELS):
        ld.run(ld.plan(source, folder / str(level), factor=2 * level, stats=STATS), workers=2)
    return {level: folder / str(level) for level in (1, *LEVELS)}


def products(folder: Path) -> list[Path]:
    return sorted(folder.glob("*_downsampled"), key=when)


def tree(cube: Path | str, **how) -> dict[int, xr.Dataset]:
    opened = xr.open_datatree(cube, engine="zarr", mask_and_scale=False, **how)
    return {int(name): node.to_dataset().load() for name, node in opened.children.items()}


def identical(one: dict[int, xr.Dataset], other: dict[int, xr.Dataset]) -> None:
    assert one.keys() == other.keys()
    for level, found in one.items():
        xr.testing.assert_identical(found, other[level])


@pytest.mark.slow
@pytest.mark.parametrize("shards", [True, False])
def test_levels_are_what_the_pixels_give(made, tmp_path, shards):
    outcome = ld.cube(made[1], tmp_path / "cube.zarr", levels=LEVELS, shards=shards)
    assert outcome.dates == 5
    (note,) = outcome.notes
    assert note.startswith("left out of the levels: red_median, lwir11_median, because ") and "\n" not in note
    assert "EMSD, because how many pixels" in note and "qa_aerosol, because retrieval and water go" in note
    found = tree(tmp_path / "cube.zarr")
    assert {*found} == {1, *LEVELS} and {*found[1].data_vars} - {*found[2].data_vars} == {
        "red_median", "lwir11_median", "EMSD", "qa_aerosol",
    }  # fmt: skip
    assert all(size % 8 for size in found[1].red.shape[1:])
    for level, cells in found.items():
        straight = ld.open_products(made[level], list(cells.data_vars)).load()
        for name in (*cells.data_vars, "x", "y", "time", "product"):
            if name.endswith("std") and level > 1:
                np.testing.assert_allclose(cells[name], straight[name], rtol=1e-6)
                assert "rounded to float32" in cells[name].attrs["comment"]
            else:
                np.testing.assert_array_equal(cells[name].values, straight[name].values, name)
                assert "comment" not in cells[name].attrs
            assert cells[name].dtype == straight[name].dtype or name == "product"  # a string of any width
    alone = xr.open_zarr(tmp_path / "cube.zarr", group="4", mask_and_scale=False).load()
    xr.testing.assert_identical(alone, found[4])
    identical(tree(tmp_path / "cube.zarr", consolidated=False), found)


@pytest.mark.slow
def test_levels_grow_by_dates(made, tmp_path):
    paths, names, how = (
        products(made[1]),
        ["red", "red_median", "qa_pixel", "cloud"],
        {"dates_per_shard": 2, "bounds": BOUNDS},
    )
    for number in range(1, 6):
        outcome = ld.cube(paths[:number], tmp_path / "cube.zarr", names, levels=LEVELS if number < 3 else None, **how)
        assert (outcome.dates, len(outcome.added)) == (number, 1) and len(outcome.notes) == (number == 1)
    ld.cube(paths, tmp_path / "once.zarr", names, levels=LEVELS, **how)
    identical(tree(tmp_path / "cube.zarr"), tree(tmp_path / "once.zarr"))
    with pytest.raises(ld.UsageError, match="the cube has the levels 2,4,8: leave levels out"):
        ld.cube(paths, tmp_path / "cube.zarr", levels=(2, 4))
    assert ld.cube(paths, tmp_path / "cube.zarr").added == ()


@pytest.mark.slow
def test_counts_alone_give_means_within_one(source, made, tmp_path):
    ld.run(ld.plan(source[:2], tmp_path / "out", factor=2, stats=["mean", "count"], bands=["red", "qa_pixel"]))
    ld.cube(tmp_path / "out", tmp_path / "cube.zarr", levels=LEVELS)
    for level, cells in tree(tmp_path / "cube.zarr").items():
        straight = ld.open_products(products(made[level])[:2], ["red", "red_count", "qa_pixel"]).load()
        assert np.abs(cells.red.astype(int) - straight.red).max() == (level > 1)
        assert ("within 1 of the mean of the pixels" in cells.red.attrs.get("comment", "")) == (level > 1)
        for name in ("red_count", "qa_pixel"):
            np.testing.assert_array_equal(cells[name], straight[name])


@pytest.mark.slow
def test_neighbours_share_the_cells_of_their_levels(made, tmp_path):
    """Two halves of a place, cut where no level has an edge: their sums and counts add up to those of the whole."""
    left, bottom, right, top = BOUNDS
    middle = -15 + 60 * 4351
    for name, bounds in (("whole", BOUNDS), ("a", (left, bottom, middle, top)), ("b", (middle, bottom, right, top))):
        names = ["red", "red_sum", "red_count", "qa_pixel"]
        ld.cube(made[1], tmp_path / f"{name}.zarr", names, levels=LEVELS, bounds=bounds)
    whole, *halves = (tree(tmp_path / f"{name}.zarr") for name in ("whole", "a", "b"))
    for level in LEVELS:
        assert set(np.intersect1d(halves[0][level].x, halves[1][level].x)) < set(whole[level].x.values)
        assert np.intersect1d(halves[0][level].x, halves[1][level].x).size == 1  # cells that both have a part of
        for name in ("red_sum", "red_count"):
            both = [one[level][name].fillna(0).reindex(x=whole[level].x, fill_value=0) for one in halves]
            np.testing.assert_array_equal(both[0] + both[1], whole[level][name].fillna(0))


@pytest.mark.slow
def test_rows_of_a_pass_count_once(tmp_path):
    rows = ld.make_scenes(tmp_path / "source", rows=2, size=(331, 263), bands=["SR_B4", "QA_PIXEL"])
    ld.run(ld.plan(rows, tmp_path / "out", factor=2, stats=["mean", "sum", "count"]), workers=2)
    names = ["red", "red_sum", "red_count", "valid"]
    ld.cube(tmp_path / "out", tmp_path / "cube.zarr", names, group="pass", levels=(2,))
    base, level = tree(tmp_path / "cube.zarr").values()
    alone = [ld.open_products(path, ["red_count"]).load() for path in products(tmp_path / "out")]
    assert base.sizes["time"] == 1 and len(alone) == 2
    assert base.red_count.sum() < sum(one.red_count.sum() for one in alone)  # they overlap
    sums, counts = (level[f"red_{stat}"].values for stat in ("sum", "count"))
    assert counts.sum() == base.red_count.sum() and counts.max() == 16
    assert np.nansum(sums) == np.nansum(base.red_sum)
    np.testing.assert_array_equal(level.red, np.where(counts > 0, np.rint(sums / np.maximum(counts, 1)), 0))
    assert level.valid.where(level.valid != 255).max() == 100


@pytest.mark.slow
def test_levels_of_many_blocks(source, tmp_path, monkeypatch):
    """As those of grids of thousands of cells: several files of each level, over the same cells of the base."""
    ld.run(ld.plan(source[:2], tmp_path / "out", factor=1, stats=["mean", "sum", "count"], bands=["red", "qa_pixel"]))
    ld.cube(tmp_path / "out", tmp_path / "one.zarr", levels=(2, 4))
    monkeypatch.setattr(levels_module, "READ", 256)
    for shards in (True, False):
        cube = tmp_path / f"many-{shards}.zarr"
        ld.cube(tmp_path / "out", cube, levels=(2, 4), shards=shards)
        for level in ("2", "4"):
            assert len(list((cube / level / "red" / "c").glob("0/*/*"))) > 3
        identical(tree(cube), tree(tmp_path / "one.zarr"))


@pytest.mark.slow
def test_refusals(source, made, tmp_path):
    def product(name: str, **how) -> Path:
        ld.run(ld.plan(source[-1], tmp_path / name, factor=2, bands=["red", "lwir11", "qa_pixel"], **how))
        return tmp_path / name

    with pytest.raises(ld.UsageError, match=r"levels of red, lwir11 need .*: reduce with --stats mean,sum,count"):
        ld.cube(product("means"), tmp_path / "cube.zarr", levels=LEVELS)
    with pytest.raises(ld.UsageError, match="made with --min-valid, which lost pixels that levels need"):
        ld.cube(product("few", stats=["mean", "sum", "count"], min_valid=0.5), tmp_path / "cube.zarr", levels=LEVELS)
    with pytest.raises(ld.UsageError, match="no variable can have levels: red_median, because a median"):
        ld.cube(made[1], tmp_path / "cube.zarr", ["red_median"], levels=LEVELS)
    assert not (tmp_path / "cube.zarr").exists()
    ld.cube(products(made[1])[:2], tmp_path / "plain.zarr", ["red"])
    with pytest.raises(ld.UsageError, match="the cube has no levels: leave levels out, or make one at another place"):
        ld.cube(made[1], tmp_path / "plain.zarr", levels=LEVELS)
    ld.cube(products(made[1])[:2], tmp_path / "levels.zarr", ["red"], levels=LEVELS, bounds=BOUNDS)
    with pytest.raises(ld.UsageError, match="lacks red_sum, of which the cube's levels of red are made"):
        ld.cube([*products(made[1])[:2], product("counts", stats=["mean", "count"])], tmp_path / "levels.zarr")
    assert len(ld.cube(made[1], tmp_path / "levels.zarr").added) == 3


@pytest.mark.slow
def test_by_the_command(made, tmp_path):
    words = ["--to", tmp_path / "cube.zarr", "--bands", "red,red_median", "--levels"]
    done = command.call("cube", made[1], *words, "2,3")
    assert done.code == 2 and "levels 2,3 are none: give numbers, each a multiple" in done.err
    done = command.call("cube", made[1], *words, "2,4,8")
    assert done.code == 0 and done.err.count("left out of the levels: red_median, because a median of medians") == 1
    assert json.loads(done.out)["dates"] == 5
    assert {*tree(tmp_path / "cube.zarr")} == {1, *LEVELS}


@pytest.mark.slow
def test_killed_at_any_file_it_is_as_before_or_after_and_the_next_run_makes_it_good(made, tmp_path):
    paths, names = products(made[1]), ["red", "red_count", "qa_pixel"]
    how = {"dates_per_shard": 2, "bounds": BOUNDS, "levels": (2, 8)}
    ld.cube(paths[:3], tmp_path / "before.zarr", names, **how)
    ld.cube(paths, tmp_path / "after.zarr", names, **how)
    before, after, moments = tree(tmp_path / "before.zarr"), tree(tmp_path / "after.zarr"), []
    shutil.copytree(tmp_path / "before.zarr", tmp_path / "counted.zarr")
    with pytest.MonkeyPatch.context() as patch:
        put = small_objects.put
        patch.setattr(small_objects, "put", lambda *what, **how: moments.append(what[0]) or put(*what, **how))
        ld.cube(paths, tmp_path / "counted.zarr", workers=1)
    last = len(moments) - 1  # the root's document
    for moment in (*range(0, last - 5, 9), *range(last - 4, last + 1)):
        cube = Path(shutil.copytree(tmp_path / "before.zarr", tmp_path / f"{moment}.zarr"))
        words = [sys.executable, "-c", KILLED, str(moment), str(cube), *map(str, paths)]
        assert subprocess.run(words, capture_output=True, check=False).returncode == -signal.SIGKILL
        identical(tree(cube), before)
        for level in (1, 2, 8):  # a group that is opened alone is right too: as before or as after
            alone = xr.open_zarr(cube, group=str(level), mask_and_scale=False).load()
            assert alone.identical(before[level]) or alone.identical(after[level])
        ld.cube(paths, cube)
        identical(tree(cube), after)


@pytest.mark.slow
def test_killed_while_it_begins(made, tmp_path):
    """Other cells of the same number, asked for after a run that was killed, are not taken for those that it wrote."""
    left, bottom, right, top = BOUNDS
    script = KILLED.replace("workers=1", f"['red'], bounds={BOUNDS}, levels=(2,), workers=1")
    words = [sys.executable, "-c", script, "9", str(tmp_path / "cube.zarr"), *map(str, products(made[1]))]
    assert subprocess.run(words, capture_output=True, check=False).returncode == -signal.SIGKILL
    assert list((tmp_path / "cube.zarr").rglob("c/0/0/0")) and not (tmp_path / "cube.zarr" / "zarr.json").exists()
    moved = (left + 120, bottom, right + 120, top)
    for name in ("cube", "clean"):
        ld.cube(made[1], tmp_path / f"{name}.zarr", ["red"], bounds=moved, levels=(2,))
    identical(tree(tmp_path / "cube.zarr"), tree(tmp_path / "clean.zarr"))


@pytest.mark.slow
def test_in_an_object_store(made, tmp_path, s3_env):  # noqa: F811
    to, names = f"s3://{s3.BUCKET}/{tmp_path.name}/cube.zarr", ["red", "qa_pixel"]
    ld.cube(products(made[1])[:3], to, names, bounds=BOUNDS, levels=LEVELS)
    assert len(ld.cube(made[1], to).added) == 2
    ld.cube(made[1], tmp_path / "here.zarr", names, bounds=BOUNDS, levels=LEVELS)
    options = {"key": os.environ["AWS_ACCESS_KEY_ID"], "secret": os.environ["AWS_SECRET_ACCESS_KEY"]}
    options["client_kwargs"] = {"endpoint_url": os.environ["AWS_ENDPOINT_URL"]}
    identical(tree(to, storage_options=options), tree(tmp_path / "here.zarr"))
