"""Other readers open products by what their users type: each row of ``docs/readers.md``, by the real package."""

from __future__ import annotations

import ast
import asyncio
import json
import re
import subprocess
import venv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

import landsat_downsample as ld

#: They come with the extra ``test-slow``; what they warn of is theirs.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

PAGE = Path(ld.__file__).parents[1] / "docs" / "readers.md"
ROWS = re.findall(r"^\| (\S+) ([^|]*?) \| `(.+?)` \| .* \|$", PAGE.read_text(), re.MULTILINE)
SCALE, OFFSET = 2.75e-05, -0.2


@pytest.fixture(scope="module", name="full")
def _full(tmp_path_factory) -> Path:
    return ld.make_scene(tmp_path_factory.mktemp("full"), size=(300, 260), seed=2)


@pytest.fixture(scope="module", name="product")
def _product(full, tmp_path_factory) -> Path:
    return made(full, tmp_path_factory.mktemp("out"), factor=5, stats="mean,std")


def made(full: Path, out: Path, **options: Any) -> Path:
    (outcome,) = ld.run(ld.plan(full, out, **options))
    return Path(outcome.href).parent


def known(product: Path, folder: Path) -> dict[str, Any]:
    """What the page's first block makes, by running it in a folder where the product is in ``out``."""
    (folder / "out").mkdir()
    (folder / "out" / product.name).symlink_to(product)
    names: dict[str, Any] = {}
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    exec(block, names)
    return names


@pytest.fixture(name="names")
def _names(product, tmp_path, monkeypatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    return known(product, tmp_path)


def stored(product: Path, suffix: str, band: int = 1) -> np.ndarray:
    with rasterio.open(next(product.glob(f"*_T1_{suffix}.TIF"))) as raster:
        return raster.read(band)


def typed(reader: str) -> list[str]:
    return [code for name, _, code in ROWS if name == reader]


def run(code: str, names: dict[str, Any], *modules: str) -> Any:
    return eval(code, names | {name.partition(".")[0]: __import__(name) for name in modules})


# odc-stac

LAYERS = {
    "red": ("SR_B4", 1), "nir08": ("SR_B5", 1), "qa_pixel": ("QA_PIXEL", 1), "SR_B4": ("SR_B4", 1),
    "QA_PIXEL": ("QA_PIXEL", 1), "red_std": ("SR_B4_STD", 1), "clear": ("QA_FRACTIONS", 2),
    "cloud_shadow": ("QA_FRACTIONS", 4), "TRAD": ("ST_TRAD", 1),
}  # fmt: skip


def check_cube(found: dict[str, np.ndarray], transform: list[float], code: str, product: Path) -> None:
    """Hold loaded bands against the product's files."""
    with rasterio.open(next(product.glob("*_SR_B4.TIF"))) as raster:
        np.testing.assert_allclose(transform, tuple(raster.transform)[:6])
    asked = re.findall(r'"(\w+)"', code) or ["red", "qa_pixel", "red_std", "TRAD"]
    assert set(asked) <= set(found)
    for name in asked:
        wanted = stored(product, *LAYERS[name])
        assert found[name].dtype == wanted.dtype
        np.testing.assert_array_equal(found[name][0], wanted)


@pytest.mark.parametrize("code", typed("odc-stac"))
def test_odc_stac(code, names, product):
    cube = run(code, names, "odc.stac")
    check_cube({k: v.values for k, v in cube.data_vars.items()}, list(cube.odc.geobox.affine)[:6], code, product)
    fills = {
        "red": 0,
        "nir08": 0,
        "SR_B4": 0,
        "qa_pixel": 1,
        "QA_PIXEL": 1,
        "clear": 255,
        "cloud_shadow": 255,
        "TRAD": -9999,
    }
    for name in set(cube.data_vars) & set(fills):
        assert cube[name].odc.nodata == fills[name]
    assert cube.odc.crs.to_epsg() == 32633


def test_odc_stac_on_a_grid_without_a_code(full, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    product = made(full, tmp_path / "made", grid="modis:500m", bands="red,QA_PIXEL")
    names = known(product, tmp_path)
    assert names["record"]["properties"]["proj:epsg"] is None
    code = 'odc.stac.load(items, bands=["red", "qa_pixel"])'
    cube = run(code, names, "odc.stac")
    check_cube({k: v.values for k, v in cube.data_vars.items()}, list(cube.odc.geobox.affine)[:6], code, product)


def test_a_band_comes_before_the_share_of_its_name(tmp_path):
    import odc.stac
    import pystac

    full = ld.make_scene(tmp_path, size=(80, 70), level=1, bands=["B9", "QA_PIXEL"])
    product = made(full, tmp_path / "made", factor=5)
    item = pystac.Item.from_file(next(product.glob("*.stac.json")))
    item.make_asset_hrefs_absolute()
    cube = odc.stac.load([item], bands=["cirrus", "qa_fractions.7", "water"])
    for name, band in {
        "cirrus": ("B9", 1),
        "qa_fractions.7": ("QA_FRACTIONS", 7),
        "water": ("QA_FRACTIONS", 6),
    }.items():
        np.testing.assert_array_equal(cube[name][0], stored(product, *band))


#: Of the summer of 2024, when odc-stac 0.3.9 was new.
OLD = ("odc-stac==0.3.9", "odc-geo<0.4.9", "pystac==1.10.1", "xarray==2024.7.0", "dask==2024.7.1")
OLD += ("numpy<2", "rasterio<1.4", "pandas<2.3")

LOAD = """
import json, sys, warnings
warnings.simplefilter("ignore")
import numpy as np, odc.stac, pystac
assert odc.stac.__version__ == "0.3.9"
item, codes = sys.argv[1], json.loads(sys.argv[2])
items = [pystac.Item.from_file(item)]
items[0].make_asset_hrefs_absolute()
for number, code in enumerate(codes):
    cube = eval(code)
    bands = {name: cube[name].values for name in cube.data_vars}
    np.savez(f"{number}.npz", __transform=list(cube.odc.geobox.affine)[:6], **bands)
"""


@pytest.fixture(scope="module", name="old_python")
def _old_python(tmp_path_factory) -> Path:
    """An interpreter with packages that cannot share an environment with today's."""
    folder = tmp_path_factory.mktemp("old")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    done = subprocess.run([python, "-m", "pip", "install", "-q", *OLD], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return python


def test_odc_stac_of_2024(old_python, product, tmp_path):
    codes = [code for name, version, code in ROWS if name == "odc-stac" and "0.3.9" in version]
    (item,) = product.glob("*.stac.json")
    command = [old_python, "-c", LOAD, item, json.dumps(codes)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(codes) == 4
    for number, code in enumerate(codes):
        with np.load(tmp_path / f"{number}.npz") as bands:
            check_cube({k: bands[k] for k in bands.files}, bands["__transform"], code, product)


# stackstac


@pytest.mark.parametrize("code", typed("stackstac"))
def test_stackstac(code, names, product):
    stack = run(code, names, "stackstac")
    with rasterio.open(next(product.glob("*_SR_B4.TIF"))) as raster:
        assert (stack.attrs["transform"], stack.attrs["crs"]) == (raster.transform, "epsg:32633")
    if "qa_pixel" in code:
        np.testing.assert_array_equal(stack[0, 0], stored(product, "QA_PIXEL"))
        return
    red = stored(product, "SR_B4")
    np.testing.assert_allclose(stack.sel(band="red")[0], np.where(red == 0, np.nan, red * SCALE + OFFSET), rtol=1e-12)
    if "assets" not in code:
        codes = stored(product, "QA_PIXEL")
        np.testing.assert_array_equal(stack.sel(band="qa_pixel")[0], np.where(codes == 1, np.nan, codes))
        std = stored(product, "SR_B4_STD") * SCALE
        np.testing.assert_allclose(stack.sel(band="red_std")[0], std, rtol=1e-6)
        with pytest.raises(RuntimeError, match="exactly 1 band"):
            stack.sel(band="qa_fractions").load()


def test_physical_values_in_the_files_or_not_are_the_same(full, names, tmp_path):
    import stackstac

    product = made(full, tmp_path / "made", factor=5, units="scaled", bands="red,QA_PIXEL")
    record = json.loads(next(product.glob("*.stac.json")).read_text())
    record["assets"]["red"]["href"] = str(product / record["assets"]["red"]["href"])
    records = names["record"], record
    dn, scaled = (stackstac.stack([one], assets=["red"], snap_bounds=False) for one in records)
    np.testing.assert_allclose(dn, scaled, atol=SCALE)


# Others


def test_rio_tiler(names, product):
    from rio_tiler.io import STACReader

    (code,) = typed("rio-tiler")
    image = eval(code, names | {"STACReader": STACReader})
    red = stored(product, "SR_B4")
    np.testing.assert_array_equal(image.array.data[0], red)
    np.testing.assert_array_equal(image.array.mask[0], red == 0)


def test_rioxarray(names, product):
    (code,) = typed("rioxarray")
    found = run(code, names, "rioxarray")
    np.testing.assert_array_equal(found[0], stored(product, "SR_B4"))
    assert found.rio.nodata == 0


def test_xlandsat(full, tmp_path, monkeypatch):
    import xlandsat

    monkeypatch.chdir(tmp_path)
    product = made(full, tmp_path / "made", factor=5)
    (code,) = typed("xlandsat")
    scene = run(code, known(product, tmp_path), "xlandsat")
    source = xlandsat.load_scene(full)
    for name, suffix in (("red", "SR_B4"), ("nir", "SR_B5"), ("thermal", "ST_B10")):
        band, dn = scene[name][::-1], stored(product, suffix)  # its rows run north
        scaling = {key: band.attrs[f"scaling_{key}"] for key in ("mult", "add")}
        assert scaling == {key: source[name].attrs[f"scaling_{key}"] for key in ("mult", "add")}
        wanted = np.where(dn == 0, np.nan, dn * scaling["mult"] + scaling["add"])
        np.testing.assert_allclose(band, wanted, rtol=2e-3, atol=1e-3)
    with rasterio.open(next(product.glob("*_SR_B4.TIF"))) as raster:  # coordinates are of cells' centres
        west, south, east, north = raster.bounds
        step = raster.res[0]
    assert (scene.easting.min(), scene.easting.max()) == (west + step / 2, east - step / 2)
    assert (scene.northing.min(), scene.northing.max()) == (south + step / 2, north - step / 2)


@pytest.mark.parametrize("code", typed("GDAL"))
def test_gdal(code, names, product):
    Path("items.json").write_text(json.dumps({"type": "FeatureCollection", "features": [names["record"]]}))
    with run(code, names, "rasterio") as raster:
        np.testing.assert_array_equal(raster.read(1), stored(product, "SR_B4"))
        assert raster.nodata == 0 and raster.crs.to_epsg() == 32633
        if "STACIT" not in code:
            assert raster.descriptions == ("Red surface reflectance",)


def test_pystac(names):
    (code,) = typed("pystac")
    assert run(code, names) == "red"
    bands = names["items"][0].assets["qa_pixel"].ext.raster.bands
    assert [(band.nodata, band.data_type) for band in bands] == [(1, "uint16")]
    assert names["items"][0].ext.proj.epsg == 32633


def simple(value: Any) -> Any:
    """A record without what a table does not keep: fields of null, and how a moment is written."""
    if isinstance(value, dict):
        return {key: simple(one) for key, one in value.items() if one is not None and key != "datetime"}
    return [simple(one) for one in value] if isinstance(value, list) else value


async def there_and_back(records: list[dict], path: str) -> list[dict]:
    import rustac

    await rustac.write(path, records)
    return (await rustac.read(path))["features"]


def test_rustac(names, product, full, tmp_path):
    import rustac

    (code,) = typed("rustac")
    asyncio.run(eval(compile(code, PAGE, "eval", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names | {"rustac": rustac}))
    options = (
        {"factor": 5},
        {"grid": "modis:500m"},
        {"factor": 5, "units": "scaled"},
        {"factor": 5, "bands": "qa_fractions"},
        {"factor": 4, "mask": "cloud", "methods": {"SR_B4": "max"}, "min_valid": 0.5},
    )
    records = [
        json.loads(next(made(full, tmp_path / str(n), **some).glob("*.stac.json")).read_text())
        for n, some in enumerate(options)
    ]
    lone = made(next(full.glob("*_SR_B4.TIF")), tmp_path / "lone", factor=5)
    records += [json.loads(next(lone.glob("*.stac.json")).read_text()), names["record"]]
    for number, some in enumerate([*([one] for one in records), records]):
        back = asyncio.run(there_and_back(some, f"{number}.parquet"))
        for one, other in zip(back, some, strict=True):
            assert simple(one)["assets"] == simple(other)["assets"]
            assert simple(one)["properties"] == simple(other)["properties"]
    assert Path("items.parquet").stat().st_size


def test_each_row_of_the_page_is_tested():
    readers = {"odc-stac", "stackstac", "rio-tiler", "rioxarray", "xlandsat", "GDAL", "pystac", "rustac"}
    assert {name for name, _, _ in ROWS} == readers
    assert len(ROWS) == len(re.findall(r"^\| (?!reader|---)", PAGE.read_text().partition("| reader")[2], re.MULTILINE))
