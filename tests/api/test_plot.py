"""Figures: what they say and what they draw, without pyplot."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pyproj
import pytest
import rioxarray  # noqa: F401
import xarray
from affine import Affine
from lattices import coarse_grid
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg

import landsat_downsample as ld
from landsat_downsample.api import plot
from landsat_downsample.errors import UsageError
from landsat_downsample.model import bands
from landsat_downsample.model.grid import Grid
from landsat_downsample.products import browse

GRID = Grid((1031, 1025), Affine(30.0, 0.0, 300_000.0, 0.0, -30.0, 1_200_000.0), "EPSG:32621")


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def band(values, grid, **attrs):
    y, x = grid.coordinates()
    return xarray.DataArray(values, dims=("y", "x"), coords={"y": y, "x": x}, name="SR_B4", attrs=attrs)


def drawn(figure):
    """Everything a figure says; drawing it first, as a notebook does."""
    figure.draw_without_rendering()
    texts = [figure.get_suptitle()]
    for axis in figure.axes:
        texts += [axis.get_title(loc="left"), axis.get_xlabel(), axis.get_ylabel()]
    return texts


def pair(dtype="uint16"):
    values = np.random.default_rng(0).integers(8000, 15000, GRID.shape).astype(dtype)
    values[:300] = 0
    coarse = coarse_grid(GRID, 10)
    attrs = {"scale_factor": 2.75e-5, "add_offset": -0.2, "_FillValue": 0, "long_name": "red reflectance"}
    return band(values, GRID, **attrs).chunk(512), band(values[::10, ::10], coarse, **attrs)


def test_before_after_shows_decimated_pixels_and_says_so():
    before, after = pair()
    figure = plot.before_after(before, after, title="red")
    texts = " ".join(drawn(figure))
    for said in ("red", "1031 × 1025 of 30 m", "1 of every 2 × 2 pixels", "104 × 103 of 300 m", "easting (km)"):
        assert said in texts
    left, right = (axis.images[0] for axis in figure.axes[:2])
    assert left.get_clim() == right.get_clim()
    stored = before.values[1::2, 1::2]
    expected = np.ma.masked_equal(stored, 0) * 2.75e-5 - 0.2
    np.testing.assert_allclose(left.get_array().filled(-1), expected.filled(-1), rtol=1e-6)
    np.testing.assert_allclose(right.get_extent(), (300, 330.9, 1168.8, 1200))
    np.testing.assert_allclose(left.get_extent(), (300, 330.75, 1169.07, 1200))


def test_before_after_by_class():
    spec = bands.specs("oli_tirs", 2)["QA_PIXEL"]
    codes = np.array([[21824, 21952], [22280, 1]], "uint16")
    small = Grid((2, 2), GRID.transform, GRID.crs)
    figure = plot.before_after(band(codes, small), band(codes[:1, :1], coarse_grid(small, 2)), spec=spec)
    drawn(figure)
    picture = figure.axes[0].images[0].get_array()
    assert tuple(picture[1, 0]) == (236, 240, 244, 255) and not picture[1, 1].any()
    assert set(words_below(figure)) == {"Clear", "Water", "Cloud", "no data"}


def words_below(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_a_quality_array_is_drawn_by_its_own_classes(tmp_path):
    scene = ld.open_scene(ld.make_scene(tmp_path, size=(231, 117), bands=["SR_B4", "QA_PIXEL"]))
    quality = scene["qa_pixel"]
    cells = ld.coarsen(quality, factor=7)
    drawn(figure := plot.before_after(quality, cells))
    by_spec = plot.before_after(quality, cells, spec=scene.band("qa_pixel").spec)
    drawn(by_spec)
    for axis, other in zip(figure.axes, by_spec.axes, strict=True):
        np.testing.assert_array_equal(axis.images[0].get_array(), other.images[0].get_array())
    assert words_below(figure) == words_below(by_spec) and "Clear" in words_below(figure)
    computed = (quality & 8) > 0  # no band any more: numbers
    assert plot.before_after(computed.astype("uint8"), cells).axes[0].images[0].get_array().ndim == 2


def test_only_a_part_is_shown_where_bounds_are_given():
    before, after = pair()
    drawn(figure := plot.before_after(before, after, bounds=(303_015, 1_182_000, 306_030, 1_185_000)))
    left, right = figure.axes[:2]
    for axis in (left, right):
        assert (*axis.get_xlim(), *axis.get_ylim()) == pytest.approx((303.015, 306.03, 1182, 1185))
    stored = before.values[500:600, 100:201]  # the last column is cut by the bounds
    np.testing.assert_allclose(left.images[0].get_array(), stored * 2.75e-5 - 0.2, rtol=1e-6)
    np.testing.assert_allclose(right.images[0].get_array(), after.values[50:60, 10:21] * 2.75e-5 - 0.2, rtol=1e-6)
    upside_down = before[::-1]
    drawn(turned := plot.before_after(upside_down, after, bounds=(303_015, 1_182_000, 306_030, 1_185_000)))
    np.testing.assert_allclose(turned.axes[0].images[0].get_array(), (stored * 2.75e-5 - 0.2)[::-1], rtol=1e-6)


def test_bounds_that_hold_nothing_are_refused():
    before, after = pair()
    with pytest.raises(UsageError, match=r"hold nothing of 'SR_B4'"):
        plot.before_after(before, after, bounds=(0, 0, 1, 1))
    with pytest.raises(UsageError, match="not the same"):
        plot.before_after(before, after.rio.write_crs(3035), bounds=(303_015, 1_182_000, 306_030, 1_185_000))


def pixels_of(figure):
    """What one sees: RGB, (row, column, 3)."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def seen_at(figure, axis, x, y):
    """Colours within 12 pixels of a place in an axis."""
    rows = pixels_of(figure)
    column, row = axis.transData.transform((x, y)).astype(int)
    around = rows[len(rows) - row - 12 : len(rows) - row + 12, column - 12 : column + 12]
    return {tuple(map(int, one)) for one in around.reshape(-1, 3)}


def test_no_data_has_a_look_of_its_own_and_its_name_below():
    before, after = pair()
    figure = plot.before_after(before, after)
    assert words_below(figure) == ["no data"]
    (patch,) = figure.legends[0].get_patches()
    of_legend = tuple(round(255 * part) for part in patch.get_facecolor()[:3])
    for axis in figure.axes[:2]:
        assert of_legend in seen_at(figure, axis, 315, 1196)  # of the first 300 rows, which are fill
        assert of_legend not in seen_at(figure, axis, 315, 1180)
    of_classes = [one.colour for table in (browse.CLOUD_CLASSES, browse.AEROSOL_CLASSES) for one in table]
    drawn_with = [*browse.SATURATION_COLOURS, *browse.CODE_COLOURS, *of_classes]
    for name in ("gray", "inferno", "cividis_r", *plot.FRACTION_COLOURS.values()):
        drawn_with += [tuple(255 * part for part in colormaps[name](level)[:3]) for level in range(256)]
    assert min(np.abs(np.subtract(colour, of_legend)).max() for colour in drawn_with) > 15


def test_nothing_is_said_of_no_data_where_there_is_none():
    before, after = pair()
    assert words_below(plot.before_after(before[300:], after[30:])) == []


def test_before_after_refuses_several_bands():
    stack = xarray.DataArray(np.zeros((3, 4, 4)), dims=("band", "y", "x"))
    with pytest.raises(UsageError, match="not one band"):
        plot.before_after(stack, stack)


@pytest.mark.parametrize("values", [np.full((3, 3), np.nan), np.zeros((1, 1), "uint8"), np.zeros((1, 5), "int16")])
def test_before_after_without_coordinates_or_data(values):
    plain = xarray.DataArray(values, dims=("y", "x"), attrs={"_FillValue": -9999})
    assert "column (pixels)" in drawn(plot.before_after(plain, plain))


def test_fractions_from_array_or_dataset():
    names = ("valid", "clear", "cloud", "cloud_shadow", "water")
    values = np.full((5, 4, 3), 255, "uint8")
    values[:, 1:] = 40
    data = xarray.DataArray(values, dims=("band", "y", "x"), attrs={"long_name": names})
    variables = xarray.Dataset({name: (("y", "x"), values[i]) for i, name in enumerate(names)})
    for some in (data, variables, data.drop_attrs().assign_coords(band=list(names))):
        figure = plot.fractions(some)
        texts = drawn(figure)
        assert [f"{name}: mean 40.0 %" in texts for name in names] == [True] * 5
        images = [axis.images[0] for axis in figure.axes if axis.images]
        assert all(image.get_clim() == (0, 100) and image.get_array().mask[0].all() for image in images)


def test_footprint_has_both_grids():
    figure = plot.footprint(GRID, coarse_grid(GRID, 10))
    texts = drawn(figure)
    assert "easting (km)" in texts
    labels = {text.get_text() for text in figure.legends[0].get_texts()}
    assert labels == {"coarse: 104 × 103 of 300", "scene: 1031 × 1025 of 30"}
    coarse, scene = figure.axes[0].lines
    assert (coarse.get_xdata().max(), scene.get_xdata().max()) == (330.9, 330.75)


def test_cells_of_another_projection_are_drawn_where_they_lie():
    wide = Grid((30, 40), Affine(0.01, 0, -57.2, 0, -0.01, 10.86), "EPSG:4326")
    figure = plot.footprint(GRID, wide)
    drawn(figure)
    coarse, scene = figure.axes[0].lines
    x, y = pyproj.Transformer.from_crs(4326, GRID.crs, always_xy=True).transform(-57.2, 10.56)
    assert (coarse.get_xdata()[0], coarse.get_ydata()[0]) == pytest.approx((x / 1000, y / 1000))
    assert np.ptp(coarse.get_ydata()[:65]) > 0.005  # its lower side is a curve
    assert scene.get_xdata().max() == 330.75
    (west, east), (south, north) = figure.axes[1].get_xlim(), figure.axes[1].get_ylim()
    assert west < 330.75 < east and south < 1169.07 < north


def test_before_after_of_two_projections_have_frames_of_their_own():
    wide = Grid((30, 40), Affine(1000, 0, 4_000_000, 0, -1000, 3_000_000), "EPSG:3035")
    named = [band(np.ones(grid.shape, "int16"), grid).rio.write_crs(grid.crs) for grid in (coarse_grid(GRID, 10), wide)]
    figure = plot.before_after(*named)
    drawn(figure)
    assert figure.axes[0].get_xlim() == pytest.approx((300, 330.9))
    assert figure.axes[1].get_xlim() == pytest.approx((4000, 4040))


def test_figures_show_themselves_in_a_notebook():
    from IPython.core.formatters import DisplayFormatter

    formatters = DisplayFormatter()
    figures = (plot.before_after(*pair()), plot.footprint(GRID, coarse_grid(GRID, 10)))
    for figure in figures:
        shown, _ = formatters.format(figure)
        width, height = (int.from_bytes(shown["image/png"][at : at + 4], "big") for at in (16, 20))
        assert (width, height) == tuple(figure.get_size_inches() * figure.dpi)


def test_importing_it_brings_in_nothing_heavy():
    heavy = "{'matplotlib', 'xarray', 'PIL', 'dask'}"
    code = f"import sys, landsat_downsample.api.plot; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_pyplot():
    code = (
        "import sys, numpy, xarray; from landsat_downsample.api import plot;"
        "a = xarray.DataArray(numpy.zeros((4, 4)), dims=('y', 'x'));"
        "plot.before_after(a, a).draw_without_rendering(); print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
