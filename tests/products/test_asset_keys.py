"""Keys of a product's assets: those of its source, in each form in which one comes; and items with the former keys."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from product_cases import CASES, EXTRA, OLI

import landsat_downsample as ld
from landsat_downsample.model.bands import specs
from landsat_downsample.model.product import Product
from landsat_downsample.products import stac
from landsat_downsample.products.met import dumps

BANDS = ("SR_B4", "ST_TRAD", "SR_QA_AEROSOL", "QA_PIXEL")


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory) -> Path:
    return ld.make_scene(tmp_path_factory.mktemp("keys"), size=(61, 47), bands=BANDS)


@pytest.fixture(scope="module", name="product")
def _product(folder, tmp_path_factory) -> Path:
    return reduced(folder, tmp_path_factory.mktemp("out"))


def reduced(source, destination, **options) -> Path:
    (outcome,) = ld.run(ld.plan(source, destination, **{"factor": 5, **options}))
    assert outcome.status == "done", outcome
    return Path(outcome.href).parent


def item(product: Path) -> dict:
    return json.loads((product / f"{product.name}.stac.json").read_text())


def rasters(product: Path) -> dict[str, str]:
    """What follows the scene's ID in the name of each raster, by its asset's key."""
    assets = item(product)["assets"].items()
    return {key: asset["href"][43:-4] for key, asset in assets if asset["href"].endswith(".TIF")}


USGS = {"red": "SR_B4", "TRAD": "ST_TRAD", "qa_aerosol": "SR_QA_AEROSOL", "qa_pixel": "QA_PIXEL"}


def test_a_folder_and_a_tar_have_the_keys_of_usgs(folder, product, tmp_path):
    assert rasters(product) == USGS | {"qa_fractions": "QA_FRACTIONS"}
    archive = tmp_path / f"{folder.name}.tar"
    with tarfile.open(archive, "w") as tar:
        for path in folder.iterdir():
            tar.add(path, path.name)
    assert rasters(reduced(archive, tmp_path)) == rasters(product)


def source_item(folder: Path, keys: dict[str, str]) -> dict:
    """An item of the scene whose bands have the given keys."""
    assets = {
        key: {"href": str(folder / f"{folder.name}_{name}.TIF"), "type": "image/tiff"} for key, name in keys.items()
    }
    return {"type": "Feature", "id": folder.name, "properties": {}, "links": [], "assets": assets}


@pytest.mark.parametrize(
    "keys",
    [
        {
            "red": "SR_B4",
            "trad": "ST_TRAD",
            "qa_aerosol": "SR_QA_AEROSOL",
            "qa_pixel": "QA_PIXEL",
        },  # Planetary Computer
        {"SR_B4.TIF": "SR_B4", "ST_TRAD.TIF": "ST_TRAD", "QA_PIXEL.TIF": "QA_PIXEL"},  # USGS in 2020
        {"B04-x": "SR_B4", "quality": "QA_PIXEL"},
    ],
)
def test_an_item_keeps_its_own_keys(keys, folder, tmp_path):
    made = reduced(source_item(folder, keys), tmp_path, stats="mean,std")
    extra = {"qa_fractions": "QA_FRACTIONS"}
    averaged = {key: name for key, name in keys.items() if name in ("SR_B4", "ST_TRAD")}
    extra |= {f"{key}_std": f"{name}_STD" for key, name in averaged.items()}
    assert rasters(made) == keys | extra
    for number, source in enumerate((made, made / f"{made.name}.stac.json")):  # and so does what is made of that
        again = reduced(source, tmp_path / str(number), factor=2)
        assert rasters(again) == keys | {"qa_fractions": "QA_FRACTIONS"}


def test_keys_that_cannot_be_typed_are_not_repeated(folder, tmp_path):
    made = reduced(source_item(folder, {"r\x1b[31med": "SR_B4", "\ud800": "ST_TRAD", "": "QA_PIXEL"}), tmp_path)
    assert rasters(made) == {"red": "SR_B4", "TRAD": "ST_TRAD", "qa_pixel": "QA_PIXEL", "qa_fractions": "QA_FRACTIONS"}


def test_no_file_takes_the_key_of_another(folder, tmp_path):
    keys = {"browse": "SR_B4", "red": "ST_TRAD", "qa_fractions": "QA_PIXEL"}  # as three files of ours are called
    made = reduced(source_item(folder, keys), tmp_path)
    assert rasters(made) == {
        "SR_B4": "SR_B4",
        "red": "ST_TRAD",
        "qa_fractions": "QA_PIXEL",
        "QA_FRACTIONS": "QA_FRACTIONS",
    }
    assert "browse" in item(made)["assets"]
    band = OLI.scene.bands["SR_B5"]
    twice = replace(OLI.scene, bands=OLI.scene.bands | {"SR_B5": replace(band, asset_key="red")})
    keys = stac.asset_keys(twice, OLI.products, [one["key"] for one in EXTRA])
    assert len(set(keys)) == len(OLI.products) and {"red", "SR_B5"} <= set(keys)


def test_a_staged_scene_hands_its_keys_on(folder, tmp_path):
    own = tmp_path / "own.json"
    own.write_text(json.dumps(source_item(folder, {"trad": "ST_TRAD", "qa_pixel": "QA_PIXEL", "MTL.txt": "SR_B4"})))
    for source, keys in ((folder, USGS), (own, {"trad": "ST_TRAD", "qa_pixel": "QA_PIXEL", "MTL.txt": "SR_B4"})):
        catalogue = ld.stage_in(source, tmp_path / source.stem / "staged")
        assert rasters(reduced(catalogue, tmp_path / source.stem)) == keys | {"qa_fractions": "QA_FRACTIONS"}


@pytest.mark.parametrize("name", CASES)
def test_each_form_of_bands_says_the_same(name):
    for asset in stac.item(CASES[name].plan, CASES[name].products)["assets"].values():
        bands, eo = asset["bands"], asset["eo:bands"]
        assert [band["name"] for band in bands] == [band["name"] for band in eo]
        for new, old in zip(bands, eo, strict=True):
            for key in ("common_name", "center_wavelength", "full_width_half_max"):
                assert new.get(f"eo:{key}") == old.get(key)
        if len(bands) > 1:
            assert "raster:bands" not in asset
            continue
        ((new,), (old,)) = bands, asset["raster:bands"]
        for key in ("data_type", "unit", "statistics", "nodata"):
            assert old.get(key) == new.get(key)
        for key in ("scale", "offset", "spatial_resolution"):
            assert old.get(key) == new.get(f"raster:{key}")


def real_items() -> list[dict]:
    folder = os.environ.get("LANDSAT_DATA")
    if not folder:
        pytest.skip("LANDSAT_DATA is not set")
    found = [json.loads(path.read_text()) for path in sorted(Path(folder).rglob("*.json"))]
    flat = [one for record in found for one in (record if isinstance(record, list) else [record])]
    return [one for one in flat if isinstance(one, dict) and one.get("stac_version") == "1.0.0" and "assets" in one]


def test_the_catalogue_has_the_keys_of_real_items():
    seen = set()
    for one in real_items():
        for key, asset in one["assets"].items():
            name = asset["href"].rpartition("/")[2].partition("?")[0]
            if not (name.startswith("L") and name.endswith(".TIF") and name[35:37] == "02"):
                continue
            mss = "mss123" if int(name[2:4]) < 4 else "mss45"
            sensor = {"LC": "oli_tirs", "LE": "etm", "LT": "tm", "LM": mss}[name[:2]]
            wanted = specs(sensor, int(name[6]))[name[41:-4]].asset_key
            assert key == (wanted.lower() if "blob.core" in asset["href"] else wanted), name
            seen.add(wanted)
    assert len(seen) > 20


# Items in the form that products had before


def older(record: dict, products: dict[str, str]) -> dict:
    """The item as it was written then: USGS names for keys, STAC 1.1's ``bands`` alone, version 2 of the extensions."""
    text = json.dumps(record).replace("/projection/v1.2.0/", "/projection/v2.0.0/")
    made = json.loads(text.replace("/eo/v1.1.0/", "/eo/v2.0.0/").replace("/raster/v1.1.0/", "/raster/v2.0.0/"))
    made["assets"] = {products.get(key, key): asset for key, asset in made["assets"].items()}
    for asset in made["assets"].values():
        for form in ("eo:bands", "raster:bands"):
            asset.pop(form, None)
        if asset.get("landsat_ds:method") == "std":
            asset["bands"][0]["nodata"] = "nan"
    del made["properties"]["proj:epsg"]
    made["properties"]["processing:expression"]["expression"]["methods"] = {}
    return made


@pytest.fixture(scope="module", name="former")
def _former(folder, tmp_path_factory) -> Path:
    made = reduced(folder, tmp_path_factory.mktemp("former"), stats="mean,std,count")
    record = older(item(made), rasters(made))
    assert {"SR_B4", "SR_B4_STD", "QA_PIXEL", "QA_FRACTIONS"} <= set(record["assets"])
    assert stac.validate_item(record) == []
    (made / f"{made.name}.stac.json").write_bytes(dumps(record))
    return made


def test_a_product_with_the_former_keys_opens(folder, former):
    for source in (former, former / f"{former.name}.stac.json", item(former)):
        base = {"base": former / "item.json"} if isinstance(source, dict) else {}
        scene = ld.open_scene(source, **base)
        assert set(scene.bands) == set(ld.open_scene(folder).bands) == set(BANDS)
        assert scene["red"].shape == scene["SR_B4"].shape == (10, 13)
    cube = ld.open_products(former.parent)
    assert cube["red"].sizes == {"time": 1, "y": 10, "x": 13}


def test_a_product_with_the_former_keys_is_right_and_done(folder, former):
    report = ld.verify(former, source=folder)
    assert report, report.wrong
    (outcome,) = ld.run(ld.plan(folder, former.parent, factor=5, stats="mean,std,count"))
    assert outcome.status == "skipped"


def test_a_product_with_the_former_keys_is_a_source(product, former, tmp_path):
    new, old = (reduced(source, tmp_path / source.parent.name, factor=2) for source in (product, former))
    assert rasters(new) == rasters(old)
    assert {path.name for path in new.glob("*.TIF")} == {path.name for path in old.glob("*.TIF")}
    for path in new.glob("*.TIF"):
        assert (old / path.name).read_bytes() == path.read_bytes()
    copy = tmp_path / "copy" / former.name
    shutil.copytree(former, copy)
    href = ld.stage_out(copy, tmp_path / "published")
    assert ld.verify(Path(href).parent).wrong == []


def test_a_product_that_lost_a_file_is_not_done_in_either_form(former, product, folder, tmp_path):
    for number, (made, options) in enumerate(((former, {"stats": "mean,std,count"}), (product, {}))):
        there = tmp_path / str(number) / made.name
        shutil.copytree(made, there)
        next(there.glob("*_SR_B4.TIF")).unlink()
        with pytest.raises(ld.LandsatDownsampleError, match="has lost"):
            ld.run(ld.plan(folder, there.parent, factor=5, **options))


def test_statistics_have_keys_of_their_own():
    made: Product = next(one for one in OLI.products if one.band == "SR_B4")
    two = (made, replace(made, stat="std", filename="x_SR_B4_STD.TIF"))
    assert stac.asset_keys(OLI.scene, two) == ["red", "red_std"]
