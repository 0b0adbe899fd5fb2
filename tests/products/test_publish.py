"""From reduced bands to a product: complete, consistent with itself, and told apart from others."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import rasterio
from command import holds

import landsat_downsample as ld
from landsat_downsample.model.plan import Options, plan_scene
from landsat_downsample.pipeline.band import process
from landsat_downsample.products import publish
from landsat_downsample.storage.publication import Publication


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    bands = ["SR_B2", "SR_B3", "SR_B4", "QA_PIXEL", "QA_RADSAT"]
    return ld.make_scene(tmp_path_factory.mktemp("scenes"), size=(131, 117), bands=bands)


@pytest.fixture(scope="module")
def product(folder, tmp_path_factory) -> Path:
    (outcome,) = ld.run(ld.plan(folder, tmp_path_factory.mktemp("out"), factor=5, mask="cloud"))
    return Path(outcome.href).parent


def record(product: Path, ending: str) -> dict:
    return json.loads((product / f"{product.name}{ending}").read_text())


def test_every_file_is_an_asset_and_every_asset_a_file(product):
    assets = record(product, ".stac.json")["assets"].values()
    names = {asset["href"].removeprefix("./") for asset in assets}
    assert names == set(holds(product)) - {f"{product.name}.stac.json"}
    for asset in assets:
        data = (product / asset["href"]).read_bytes()
        assert asset["file:size"] == len(data)
        assert asset["file:checksum"] == "1220" + hashlib.sha256(data).hexdigest()


def test_the_metadata_know_every_raster(product):
    met = record(product, ".met.json")
    assert met["fingerprint"] == record(product, ".stac.json")["properties"]["landsat_ds:fingerprint"]
    reported = json.dumps(met)
    for path in product.glob("*.TIF"):
        assert path.name in reported and hashlib.sha256(path.read_bytes()).hexdigest() in reported


def test_every_mtl_records_the_reduction(product):
    mtls = list(product.glob("*_MTL.*"))
    assert len(mtls) == 3
    for path in mtls:
        text = path.read_text()
        assert "SOFTWARE_VERSION" in text and record(product, ".met.json")["fingerprint"] in text
        assert "METHOD_SR_B4" in text and "SOURCE_HREF" not in text


def test_the_mtl_names_the_type_of_each_band(folder, product, tmp_path):
    methods = {"SR_B3": "std", "SR_B4": "sum"}
    (outcome,) = ld.run(ld.plan(folder, tmp_path, factor=5, methods=methods))
    for made, types in ((product, ("UINT16", "UINT16")), (Path(outcome.href).parent, ("FLOAT32", "FLOAT64"))):
        for path in made.glob("*_MTL.json"):
            contents = json.loads(path.read_text())["LANDSAT_METADATA_FILE"]["PRODUCT_CONTENTS"]
            assert (contents["DATA_TYPE_BAND_3"], contents["DATA_TYPE_BAND_4"]) == types
            for band, dtype in zip(("3", "4"), types, strict=True):
                with rasterio.open(made / contents[f"FILE_NAME_BAND_{band}"]) as raster:
                    assert raster.dtypes == (dtype.lower(),)


def test_bands_may_arrive_in_any_order(folder, product, tmp_path):
    plan = plan_scene(ld.open_scene(folder), str(tmp_path), Options(factor=5, mask=("cloud",)))
    publication = Publication(plan.dest, plan.name)
    done = [process(target, publication) for target in plan.targets]
    assert publish.publish(plan, done[::-1], publication) == str(tmp_path / plan.name / plan.marker)
    assert record(tmp_path / plan.name, ".stac.json") == record(product, ".stac.json")


def test_a_file_that_was_lost_on_the_way_is_missed(folder, tmp_path):
    plan = plan_scene(ld.open_scene(folder), str(tmp_path), Options(factor=5))
    publication = Publication(plan.dest, plan.name)
    done = [process(target, publication) for target in plan.targets]
    (staging,) = tmp_path.iterdir()
    (staging / plan.targets[0].filename).unlink()
    with pytest.raises(ld.WriteError, match="did not arrive"):
        publish.publish(plan, done, publication)
    publication.abort()
    assert holds(tmp_path) == []


# Is it there already? --------------------------------------------------------------------------


def planned(folder: Path, product: Path, **options) -> object:
    scene = ld.open_scene(folder)
    return plan_scene(scene, str(product.parent), Options(**({"factor": 5, "mask": ("cloud",)} | options)))


def test_the_same_request_is_done_already(folder, product):
    assert publish.already_done(planned(folder, product))
    every = ("QA_RADSAT", "SR_B2", "SR_B3", "SR_B4", "QA_PIXEL")
    assert not publish.already_done(replace(planned(folder, product), overwrite=True))
    assert not publish.already_done(replace(planned(folder, product, bands=every), dest="/nowhere"))


DIFFERENCES = [
    ({"factor": 6}, "was made with factor 5; asked for is factor 6"),
    ({"factor": None, "size": (20, 0)}, "was made with factor 5, grid zone; asked for is grid scene, size 20,0"),
    ({"mask": ()}, "was made with mask cloud; asked for is no mask"),
    ({"bands": ("red",)}, "was made with all bands; asked for is bands SR_B4"),
    ({"min_valid": 0.5}, "was made with no min_valid; asked for is min_valid 0.5"),
    ({"methods": {"red": "max"}}, "was made with no methods; asked for is methods SR_B4=max"),
    ({"qa": "mode"}, "was made with qa conservative; asked for is qa mode"),
]


@pytest.mark.parametrize(("options", "words"), DIFFERENCES, ids=lambda value: str(value)[:40])
def test_another_request_is_refused_with_the_difference(options, words, folder, product):
    with pytest.raises(ld.WriteError, match=words):
        publish.already_done(planned(folder, product, **options))


def test_other_bytes_are_another_source(folder, product):
    plan = planned(folder, product)
    band = replace(plan.scene.bands["SR_B4"], etag="other")
    changed = replace(plan, scene=replace(plan.scene, bands=plan.scene.bands | {"SR_B4": band}))
    with pytest.raises(ld.WriteError, match="its source has changed"):
        publish.already_done(changed)


def test_a_damaged_marker_is_reported(folder, product, tmp_path):
    plan = replace(planned(folder, product), dest=str(tmp_path))
    (tmp_path / plan.name).mkdir()
    (tmp_path / plan.name / plan.marker).write_text("{")
    with pytest.raises(ld.ReadError, match="is not JSON"):
        publish.already_done(plan)
