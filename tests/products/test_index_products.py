"""Files of indices in a product: names, tags, records, and what `verify` finds."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import fsspec
import numpy as np
import pytest
import rasterio
from conftest_s3 import s3_env, seaweed  # noqa: F401 - fixtures

import landsat_downsample as ld
from landsat_downsample.cli.main import main
from landsat_downsample.errors import RunError, UsageError
from landsat_downsample.model.options import Options
from landsat_downsample.model.plan import estimate, plan_scene
from landsat_downsample.model.target import Target
from landsat_downsample.products.met import source_identity
from landsat_downsample.products.stac import _file_fields
from landsat_downsample.testing.seaweed import BUCKET

pytestmark = pytest.mark.filterwarnings("ignore:no std of ndvi")

BANDS = ["SR_B4", "SR_B5", "ST_B10", "QA_PIXEL"]
ASKED = {"factor": 6, "bands": "red,qa_pixel", "index": "ndvi,lst", "mask": "cloud"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return Path(ld.make_scene(tmp_path_factory.mktemp("scenes"), size=(131, 117), bands=BANDS))


@pytest.fixture(scope="module")
def products(folder, tmp_path_factory) -> dict[str, Path]:
    out, made = tmp_path_factory.mktemp("out"), {}
    for order in ("mean-of-index", "index-of-means"):
        plans = ld.plan(folder, out / order, index_order=order, stats="mean,std,count", **ASKED)
        made[order] = Path(ld.run(plans)[0].href).parent
    return made


def item_of(product: Path) -> dict:
    return json.loads(next(product.glob("*.stac.json")).read_text())


def test_files_and_assets_are_named_after_index_and_order(folder, products):
    known = {"red", "red_std", "red_count", "qa_pixel", "qa_fractions", "lst", "lst_std", "lst_count"}
    others = {"browse", "met.json", "MTL.json", "MTL.txt", "MTL.xml", "ANG.txt"}
    assert set(item_of(products["mean-of-index"])["assets"]) - others == known | {"ndvi", "ndvi_std", "ndvi_count"}
    means = {"ndvi_of_means", "ndvi_of_means_count"}
    assert set(item_of(products["index-of-means"])["assets"]) - others == known | means
    assert (products["index-of-means"] / f"{folder.name}_NDVI_OF_MEANS.TIF").exists()


def test_what_an_asset_says(products):
    for order, key in (("mean-of-index", "ndvi"), ("index-of-means", "ndvi_of_means")):
        asset = item_of(products[order])["assets"][key]
        assert asset["landsat_ds:index"] == {
            "name": "ndvi",
            "formula": "(nir08 - red) / (nir08 + red)",
            "order": order,
            "limits": [-1.0, 1.0],
            "bands": {"nir08": "SR_B5", "red": "SR_B4"},
            "mask": ["cloud"],
            "reference": "Rouse et al. 1974, NASA SP-351, 309-317",
        }
        assert asset["roles"] == ["data", "index"] and asset["landsat_ds:method"] == "mean"
        (band,) = asset["raster:bands"]
        assert (band["data_type"], band["unit"]) == ("float32", "1") and "scale" not in band
        assert asset["eo:bands"][0]["name"] == key.upper() and "common_name" not in asset["eo:bands"][0]
    lst = item_of(products["mean-of-index"])["assets"]["lst"]
    assert lst["roles"] == ["data", "temperature"] and lst["raster:bands"][0]["unit"] == "kelvin"
    assert lst["landsat_ds:index"]["bands"] == {"lwir11": "ST_B10"} and "order" not in lst["landsat_ds:index"]


def test_met_json_and_mtl_say_it_too(folder, products):
    product = products["mean-of-index"]
    files = json.loads(next(product.glob("*.met.json")).read_text())["files"]
    (ndvi,) = (file for file in files if file["file"] == f"{folder.name}_NDVI.TIF")
    assert ndvi["index"] == item_of(product)["assets"]["ndvi"]["landsat_ds:index"] and "source" not in ndvi
    assert (ndvi["rounding"], ndvi["bands"][0]["noDataValue"]) == ("once, to float32", "nan")
    mtl = (product / f"{folder.name}_MTL.txt").read_text()
    assert "METHOD_NDVI = " in mtl and "METHOD_SR_B5" not in mtl


def test_tags_are_those_that_readers_look_for(folder, products):
    with rasterio.open(products["mean-of-index"] / f"{folder.name}_NDVI.TIF") as file:
        assert (file.dtypes, file.units, file.scales, file.offsets) == (("float32",), ("1",), (1.0,), (0.0,))
        assert np.isnan(file.nodata) and file.descriptions == ("Normalised difference vegetation index",)
        values = file.read(1)
    assert np.nanmin(values) >= -1 and np.nanmax(values) <= 1
    with rasterio.open(products["index-of-means"] / f"{folder.name}_NDVI_OF_MEANS.TIF") as file:
        assert file.descriptions == ("Normalised difference vegetation index, of the bands' means",)
        other = file.read(1)
    difference = np.abs(values - other)
    assert 0.1 < np.nanmax(difference) < 1 and np.nanmedian(difference) < 0.05


@pytest.mark.parametrize("order", ["mean-of-index", "index-of-means"])
@pytest.mark.parametrize("grid", [None, "modis:500m"])
def test_verify_finds_what_is_right_and_what_is_not(folder, products, tmp_path, order, grid):
    product = products[order]
    if grid:
        asked = {**ASKED, "factor": None, "grid": grid, "index_order": order}
        product = Path(ld.run(ld.plan(folder, tmp_path, **asked))[0].href).parent
    report = ld.verify(product, source=folder)
    name = "NDVI" if order == "mean-of-index" else "NDVI_OF_MEANS"
    assert report and any(line.startswith(name) and "recomputed" in line for line in report.checked)
    altered = tmp_path / "altered"
    altered.mkdir()
    for path in product.iterdir():
        (altered / path.name).write_bytes(path.read_bytes())
    path = altered / f"{folder.name}_{name}.TIF"
    with rasterio.open(path) as file:
        values, profile = file.read(1), file.profile
    with rasterio.open(path, "w", **profile) as file:
        file.write(np.clip(values + np.float32(0.03), -1, 1), 1)
    _record(altered, path)
    report = ld.verify(altered, source=folder)
    assert not report and report.wrong[0].startswith(f"{name}{'' if grid else ' mean'}: ")


def _record(product: Path, path: Path) -> None:
    """Let the records say what a file is now."""
    size, digest = path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()
    for name in ("stac.json", "met.json"):
        (record,) = product.glob(f"*.{name}")
        said = json.loads(record.read_text())
        for asset in said.get("assets", {}).values():
            if asset["href"] == f"./{path.name}":
                asset.update(_file_fields(size, digest))
        for file in said.get("files", ()):
            if file["file"] == path.name:
                file["bytes"] = size
        record.write_text(json.dumps(said))
        if name == "met.json":
            (item,) = product.glob("*.stac.json")
            known = json.loads(item.read_text())
            known["assets"]["met.json"] |= _file_fields(
                record.stat().st_size, hashlib.sha256(record.read_bytes()).hexdigest()
            )
            item.write_text(json.dumps(known))


def test_the_picture_and_bands_are_as_without_an_index(folder, products, tmp_path):
    asked = {key: value for key, value in ASKED.items() if key != "index"}
    plain = Path(ld.run(ld.plan(folder, tmp_path, stats="mean,std,count", **asked))[0].href).parent
    for path in plain.glob("*.TIF"):
        assert path.read_bytes() == (products["mean-of-index"] / path.name).read_bytes()
    (picture,) = plain.glob("*.browse.png")
    assert picture.read_bytes() == (products["mean-of-index"] / picture.name).read_bytes()


def test_an_index_alone(folder, tmp_path, capsys):
    words = [str(folder), "--factor", "6", "--bands", "none", "--index", "NDVI"]
    assert main(["run", *words, "--to", str(tmp_path), "-q"]) == 0
    (product,) = tmp_path.glob("*_downsampled")
    assert [path.name.rpartition("T1_")[2] for path in product.glob("*.TIF")] == ["NDVI.TIF"]
    assert ld.verify(product, source=folder)
    capsys.readouterr()
    assert main(["plan", *words]) == 0
    said = capsys.readouterr().out
    assert "NDVI: mean of (nir08 - red) / (nir08 + red)" in said and "float32" in said
    assert main(["run", str(folder), "--factor", "6", "--bands", "none", "--to", str(tmp_path)]) != 0


def test_another_order_is_another_product(folder, products):
    with pytest.raises(RunError, match="index_order mean-of-index; asked for is index_order index-of-means"):
        ld.run(ld.plan(folder, products["mean-of-index"].parent, stats="mean,std,count",
                       index_order="index-of-means", **ASKED))  # fmt: skip
    with pytest.raises(RunError, match="was made with index lst,ndvi; asked for is no index"):
        asked = {key: value for key, value in ASKED.items() if key != "index"}
        ld.run(ld.plan(folder, products["mean-of-index"].parent, stats="mean,std,count", **asked))


def test_options_without_an_index_make_the_products_of_before(folder):
    scene = ld.open_scene(folder)
    before = {key: value for key, value in Options(factor=6).to_dict().items() if not key.startswith("index")}
    options = Options(factor=6, index_order="index-of-means")  # of nothing
    assert source_identity(scene, options.to_dict()) == source_identity(scene, before)
    one, other = (Options(factor=6, bands=("red",), index=names) for names in (("ndvi", "lst"), ("LST", "NDVI")))
    assert source_identity(scene, one.to_dict()) == source_identity(scene, other.to_dict())
    assert set(source_identity(scene, one.to_dict())["sources"]) == {*BANDS}


def test_a_plan_counts_the_bytes_of_all_bands(folder):
    plan = plan_scene(ld.open_scene(folder), "out", Options(factor=6, bands=("none",), index=("ndvi",)))
    (target,) = plan.targets
    assert target.bytes_in == sum((folder / f"{folder.name}_{band}.TIF").stat().st_size for band in ("SR_B4", "SR_B5"))
    cost = estimate(plan)
    assert (cost["bytes_decoded"], cost["bytes_out"]) == (2 * 2 * 131 * 117, 4 * np.prod(cost["shape"]))
    assert Target.from_dict(json.loads(json.dumps(target.to_dict()))) == target
    assert Options.from_dict(plan.options.to_dict()) == plan.options


@pytest.mark.parametrize("order", ["mean-of-index", "index-of-means"])
def test_bands_of_hls_have_indices_too(tmp_path, order):
    """Signed numbers, another fill, other names of files; its thermal bands are no surface temperature."""
    granule = ld.make_scene(tmp_path, sensor="hls-l30", size=(61, 47))
    asked = {"factor": 7, "bands": "none", "index": "ndvi,evi", "index_order": order, "stats": "mean,count"}
    product = Path(ld.run(ld.plan(granule, tmp_path / "out", mask="cloud", **asked))[0].href).parent
    assert ld.verify(product, source=granule, check=True)
    end = "NDVI" if order == "mean-of-index" else "NDVI_OF_MEANS"
    with rasterio.open(product / f"{Path(granule).name}.{end}.tif") as file:
        assert np.isfinite(file.read(1)).any()
    with pytest.raises(UsageError, match="index lst is made of a surface temperature in kelvin, and B10 of HLS"):
        plan_scene(ld.open_scene(granule), "out", Options(factor=7, index=("lst",)))


@pytest.mark.slow
def test_bands_of_a_store_and_of_dask_workers_give_the_same_bytes(folder, products, tmp_path, s3_env):  # noqa: F811
    place = f"s3://{BUCKET}/{tmp_path.name}/{folder.name}"
    fsspec.filesystem("s3").put(f"{folder}/", place, recursive=True)
    with ld.cluster("local", workers=2) as client:
        for source, way in ((place, {}), (folder, {"client": client}), (place, {"client": client})):
            out = tmp_path / str(len(list(tmp_path.iterdir())))
            made = Path(ld.run(ld.plan(source, out, stats="mean,std,count", **ASKED), **way)[0].href).parent
            for path in made.glob("*.TIF"):
                assert path.read_bytes() == (products["mean-of-index"] / path.name).read_bytes()
