"""Scenes of other families on an object store: as a prefix, staged, and published there, as those of Landsat."""

from __future__ import annotations

import pytest
from conftest_s3 import *  # noqa: F403 - fixtures
from s3 import BUCKET

import landsat_downsample as ld
from landsat_downsample.products.staging.stage_in import stage_in
from landsat_downsample.testing.synthetic.make import make_scene

BANDS = {
    "hls-s30": ["B04", "B8A", "Fmask", "SAA"],
    "ard": ["SR_B4", "QA_PIXEL", "QA_LINEAGE"],
    "dea": ["nbart_red", "nbart_panchromatic", "oa_fmask"],
}


@pytest.mark.slow
@pytest.mark.parametrize("family", BANDS)
def test_a_prefix_is_the_scene_that_its_folder_is(s3_env, tmp_path, family):
    folder = make_scene(tmp_path / "made", sensor=family, size=(77, 61), bands=BANDS[family])
    client, root = s3_env.client(), f"families/{folder.name}"
    for path in folder.iterdir():
        client.put_object(Bucket=BUCKET, Key=f"{root}/{path.name}", Body=path.read_bytes())
    here, there = ld.open_scene(str(folder)), ld.open_scene(f"s3://{BUCKET}/{root}")
    assert (there.id, there.grid, list(there), there.properties) == (here.id, here.grid, list(here), here.properties)
    target = f"s3://{BUCKET}/families/products"
    [outcome] = ld.run(ld.plan(f"s3://{BUCKET}/{root}", target, factor=7), progress=False)
    [local] = ld.run(ld.plan(str(folder), str(tmp_path / "out"), factor=7), progress=False)
    assert outcome.status == local.status == "done", outcome
    product = f"{folder.name}_downsampled"
    for path in (tmp_path / "out" / product).glob("*.[tT][iI][fF]"):
        stored = client.get_object(Bucket=BUCKET, Key=f"families/products/{product}/{path.name}")["Body"].read()
        assert stored == path.read_bytes(), path.name
    assert (report := ld.verify(f"{target}/{product}", source=f"s3://{BUCKET}/{root}")), report.wrong
    staged = stage_in(f"s3://{BUCKET}/{root}", tmp_path / "staged")
    again = ld.open_scene(str(tmp_path / "staged" / folder.name))
    assert (again.id, list(again), again.properties["datetime"]) == (here.id, list(here), here.properties["datetime"])
    assert ld.open_scene(str(staged)).id == here.id
