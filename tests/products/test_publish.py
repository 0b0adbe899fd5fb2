"""From reduced bands to a product: complete, consistent with itself, and told apart from others."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from command import holds

import landsat_downsample as ld
from landsat_downsample.execution.work import BandWork
from landsat_downsample.model.options import Options
from landsat_downsample.model.plan import plan_scene
from landsat_downsample.pipeline.band import process
from landsat_downsample.products import publish, verify
from landsat_downsample.products.picture import EarlyPicture, draw
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


def test_each_statistic_is_a_file_of_its_own(folder, product, tmp_path):
    options = {"factor": 5, "mask": "cloud", "methods": {"SR_B2": "max"}}
    (outcome,) = ld.run(ld.plan(folder, tmp_path, **options, stats="min,count,std,mean"))
    made, scene = Path(outcome.href).parent, product.name.removesuffix("_downsampled")
    extra = {f"{scene}_{band}_{stat}.TIF" for band in ("SR_B3", "SR_B4") for stat in ("MIN", "STD", "COUNT")}
    assert {path.name for path in made.glob("*.TIF")} == {path.name for path in product.glob("*.TIF")} | extra
    for name in (f"{scene}_SR_B4.TIF", f"{scene}_QA_PIXEL.TIF"):  # the mean has the band's name, and is the same
        assert (made / name).read_bytes() == (product / name).read_bytes()
    ld.run(ld.plan(folder, tmp_path / "means", **options))
    picture = Path(made.name) / f"{made.name}.browse.png"
    assert (tmp_path / picture).read_bytes() == (tmp_path / "means" / picture).read_bytes()
    item = record(made, ".stac.json")
    std, count = (item["assets"][f"red_{stat}"] for stat in ("std", "count"))
    assert std["roles"] == ["data", "reflectance", "std"] and count["roles"] == ["data", "count"]
    assert std["bands"][0]["raster:scale"] and "raster:offset" not in std["bands"][0]
    assert count["bands"][0]["unit"] == "pixel" and "raster:scale" not in count["bands"][0]
    assert [k for k, a in item["assets"].items() if a.get("bands", [{}])[0].get("eo:common_name") == "red"] == ["red"]
    assert (
        item["properties"]["landsat_ds:methods"] | {"SR_B4_STD": "std", "SR_B4": "mean", "SR_B2": "max"}
        == (item["properties"]["landsat_ds:methods"])
    )
    for path in made.glob("*_MTL.txt"):
        text = path.read_text()
        assert 'METHOD_SR_B4 = "mean,min,std,count"' in text and "STATISTICS_FILES" in text and "_STD.TIF" not in text
    report = ld.verify(str(made), source=str(folder))
    assert not report.wrong and sum("all equal" in line for line in report.checked) == 11
    assert set(ld.open_scene(made).bands) == set(ld.open_scene(folder).bands)  # with warnings being errors
    with rasterio.open(made / f"{scene}_SR_B4_COUNT.TIF") as raster:
        assert raster.nodata is None and raster.dtypes == ("float64",)
        assert raster.descriptions == ("Red surface reflectance: area of the valid pixels, in pixels",)


def test_a_wrong_cell_of_a_statistic_is_found(folder, tmp_path):
    (outcome,) = ld.run(ld.plan(folder, tmp_path, factor=50, bands="red", stats="std,sum,count,median"))
    made = Path(outcome.href).parent
    written = sorted(made.glob("*_SR_B4_*.TIF"))
    assert [path.name.rpartition("_")[2] for path in written] == ["COUNT.TIF", "MEDIAN.TIF", "STD.TIF", "SUM.TIF"]
    plan = ld.plan(folder, tmp_path, factor=50, bands="red", stats="std,sum,count,median")[0]
    for path in written:
        with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as raster:
            raster.write(raster.read() + 1)
        method = path.stem.rpartition("_")[2].lower()
        report, facts = verify.Report(), {"reducer": method, "file": path.name}
        verify._check_band(str(made), plan.targets[0], facts, report, (16, 0))
        assert report.wrong and report.wrong[0].startswith(f"SR_B4 {method}: ")


def test_bands_may_arrive_in_any_order(folder, product, tmp_path):
    plan = plan_scene(ld.open_scene(folder), str(tmp_path), Options(factor=5, mask=("cloud",)))
    publication = Publication(plan.dest, plan.name)
    done = [process(target, publication) for target in plan.targets]
    assert publish.publish(plan, done[::-1], publication) == str(tmp_path / plan.name / plan.marker)
    assert record(tmp_path / plan.name, ".stac.json") == record(product, ".stac.json")


def test_the_picture_of_a_lone_band_is_the_same_drawn_beside_its_file(folder, tmp_path):
    (plan,) = ld.plan(folder, tmp_path, factor=5, bands="red")
    publication = Publication(plan.dest, plan.name)
    busy, beside = (BandWork(plan.targets[0], publication, alone=True).carry_out(lambda n=n: n) for n in (1, 2))
    assert busy.picture is None and beside.picture == draw(busy, title=plan.scene.id)
    publication.abort()


def test_a_picture_is_drawn_before_other_bands_are_done_where_all_that_it_shows_have_data(folder, tmp_path):
    (plan,) = ld.plan(folder, tmp_path, factor=5)
    publication = Publication(plan.dest, plan.name)
    whole = {target.band.name: process(target, publication) for target in plan.targets}
    red = whole["SR_B4"]
    bare = whole | {"SR_B4": replace(red, preview=np.full_like(red.preview, red.preview_nodata))}
    seen = []
    with ThreadPoolExecutor(1) as pool:
        for parts in (whole, bare):
            early = EarlyPicture(plan, pool)
            for name in ("QA_PIXEL", "SR_B2", "SR_B3", "SR_B4"):
                assert early.shows(name) and early.result() is None
                early.add(parts[name])
            seen.append((early.result(), draw(*parts.values(), title=plan.scene.id)))
    (drawn, expected), (none, other) = seen
    assert drawn == expected != other and none is None and not early.shows("QA_RADSAT")
    publication.abort()


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
    ({"stats": ("std", "mean")}, "was made with no stats; asked for is stats mean,std"),
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
