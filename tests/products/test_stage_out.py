from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
from pathlib import Path

import pytest
import s3
from aiohttp import web
from command import call, spawn, wait_until
from conftest_s3 import apply, figures, proxied, s3_env, seaweed  # noqa: F401 - fixtures
from fault_proxy import FaultProxy
from staging_cases import PATIENT, QUICK, files, small

import landsat_downsample as ld
from landsat_downsample.errors import ReadError, SceneError, UsageError, WriteError
from landsat_downsample.products.staging.stage_in import stage_in
from landsat_downsample.products.staging.stage_out import stage_out


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A finished product."""
    folder = tmp_path_factory.mktemp("made")
    (outcome,) = ld.run(ld.plan(str(small(folder / "scene")), folder / "out", factor=10))
    return Path(outcome.href).parent


@pytest.fixture
def product(made, tmp_path) -> Path:
    """A copy of the product, to be spoilt."""
    return Path(shutil.copytree(made, tmp_path / "copy" / made.name))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    apply(monkeypatch, QUICK)


def stored(server, prefix: str) -> dict[str, bytes]:
    """What a bucket holds under a prefix, without our own code."""
    client = server.client()
    listed = client.list_objects_v2(Bucket=s3.BUCKET, Prefix=prefix).get("Contents", [])
    return {
        entry["Key"].removeprefix(prefix): client.get_object(Bucket=s3.BUCKET, Key=entry["Key"])["Body"].read()
        for entry in listed
    }


def marker(product: Path) -> str:
    return f"{product.name}.stac.json"


def test_a_product_arrives_whole_with_its_item_last(made, proxied, seaweed, tmp_path, figures):  # noqa: F811
    dest = f"s3://{s3.BUCKET}/{tmp_path.name}"
    proxied.plan()
    href = stage_out(made, dest)
    assert href == f"{dest}/{made.name}/{marker(made)}"
    found = stored(seaweed, f"{tmp_path.name}/{made.name}/")
    assert found == files(made)
    puts = [seen for seen in proxied.seen if seen.method == "PUT"]
    assert puts[-1].path.endswith(marker(made)) and len(puts) == len(found)
    assert all(seen.headers["If-None-Match"] == "*" for seen in puts)
    for name, data in found.items():
        head = seaweed.client().head_object(Bucket=s3.BUCKET, Key=f"{tmp_path.name}/{made.name}/{name}")
        assert head["Metadata"]["sha256"] == hashlib.sha256(data).hexdigest()
    figures.lines.append(f"stage-out of {len(found)} files to S3: {len(proxied.seen)} requests")
    proxied.plan()
    assert stage_out(made, dest) == href
    assert not [seen for seen in proxied.seen if seen.method == "PUT"]
    assert ld.open_scene(href).id == ld.open_scene(made).id


def test_to_a_folder_and_from_the_folder_above(made, tmp_path):
    href = stage_out(made.parent, tmp_path)
    assert files(Path(href).parent) == files(made) and Path(href).name == marker(made)
    inode = os.stat(href).st_ino
    assert stage_out(made, tmp_path) == href and os.stat(href).st_ino == inode
    assert os.listdir(tmp_path) == [made.name]
    with pytest.raises(UsageError, match="that is where it is"):
        stage_out(made, made.parent)


def spoil(product: Path, kind: str) -> str:
    """Damage a product; give words that the error must have."""
    raster = next(product.glob("*SR_B4.TIF"))
    item = json.loads((product / marker(product)).read_text())
    if kind == "missing":
        raster.unlink()
        return "SR_B4.TIF' is missing"
    if kind == "cut":
        raster.write_bytes(raster.read_bytes()[:-7])
        return "bytes where its item says"
    if kind == "flipped":
        data = raster.read_bytes()
        raster.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
        return "does not have the sha256"
    if kind == "link":
        raster.rename(product / "real.TIF")
        raster.symlink_to(product / "real.TIF")
        return "SR_B4.TIF' is missing"
    key = next(key for key, asset in item["assets"].items() if asset["href"].endswith(raster.name))
    if kind == "unsummed":
        del item["assets"][key]["file:checksum"]
    else:
        item["assets"][key]["href"] = {"up": "../x.TIF", "remote": "https://host/x.TIF", "abs": "/etc/passwd"}[kind]
    (product / marker(product)).write_text(json.dumps(item))
    return {"unsummed": "no checksum"}.get(kind, "not self-contained")


@pytest.mark.parametrize("kind", ["missing", "cut", "flipped", "link", "unsummed", "up", "remote", "abs"])
def test_a_damaged_product_is_refused_before_anything_is_sent(product, proxied, kind):  # noqa: F811
    words = spoil(product, kind)
    proxied.plan()
    with pytest.raises((ReadError, SceneError), match=words):
        stage_out(product, f"s3://{s3.BUCKET}/never")
    assert proxied.seen == []


def test_folders_that_are_no_product(made, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "two").mkdir()
    for name in ("a", "b"):
        shutil.copytree(made, tmp_path / "two" / name / made.name)
        shutil.copytree(made, tmp_path / "pair" / f"{name}_downsampled")
    (tmp_path / "file").write_text("")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "x_downsampled.stac.json").write_text("hello")
    cases = {"empty": "no finished product", "two": "no finished product", "pair": "2 products", "file": "it is a file"}
    for name, words in {**cases, "none": "no such folder", "text": "not JSON"}.items():
        result = call("stage-out", tmp_path / name, "--to", tmp_path / "out")
        assert result.code in (1, 2) and words in result.err and len(result.lines) == 1 and result.out == ""
    assert not (tmp_path / "out").exists()


def test_another_product_of_that_name_stays_unless_it_may_be_replaced(product, made, s3_env, tmp_path):  # noqa: F811
    for dest in (f"s3://{s3.BUCKET}/{tmp_path.name}-other", str(tmp_path / "out")):
        stage_out(made, dest)
        (outcome,) = ld.run(ld.plan(str(made.parents[1] / "scene" / os.listdir(made.parents[1] / "scene")[0]),
                                    tmp_path / f"nine{len(dest)}", factor=9))  # fmt: skip
        other = Path(outcome.href).parent
        with pytest.raises(WriteError, match=r"another product of that name.*--overwrite"):
            stage_out(other, dest)
        href = stage_out(other, dest, overwrite=True)
        assert ld.open_scene(href).grid.shape == ld.open_scene(other).grid.shape
        (Path(other) / "notes.txt").write_text("not of the product")
        assert stage_out(other, dest) == href


def test_a_published_product_that_lost_a_file_is_reported(made, s3_env, tmp_path):  # noqa: F811
    dest = f"s3://{s3.BUCKET}/{tmp_path.name}"
    stage_out(made, dest)
    lost = next(name for name in files(made) if name.endswith("SR_B4.TIF"))
    s3_env.client().delete_object(Bucket=s3.BUCKET, Key=f"{tmp_path.name}/{made.name}/{lost}")
    with pytest.raises(WriteError, match=r"SR_B4.TIF.*not there.*--overwrite"):
        stage_out(made, dest)
    stage_out(made, dest, overwrite=True)
    assert stored(s3_env, f"{tmp_path.name}/{made.name}/") == files(made)


def test_a_staged_scene_may_be_published(made, s3_env, tmp_path):  # noqa: F811
    source = next((made.parents[1] / "scene").iterdir())
    folder = Path(stage_in(source, tmp_path)).parent
    href = stage_out(folder, f"s3://{s3.BUCKET}/{tmp_path.name}")
    item = json.loads(stored(s3_env, f"{tmp_path.name}/{folder.name}/")[f"{folder.name}.stac.json"])
    assert not {link["rel"] for link in item["links"]} & {"root", "parent", "self"}
    assert ld.open_scene(href).id == source.name
    assert stage_out(folder, f"s3://{s3.BUCKET}/{tmp_path.name}") == href


def test_a_catalogue_with_its_item_in_a_folder_below(made, tmp_path):
    shutil.copytree(made, tmp_path / "ogc" / "x")
    links = [{"rel": "item", "href": f"./x/{marker(made)}"}]
    catalogue = {"type": "Catalog", "id": "c", "stac_version": "1.0.0", "description": "c", "links": links}
    (tmp_path / "ogc" / "catalog.json").write_text(json.dumps(catalogue))
    assert files(Path(stage_out(tmp_path / "ogc", tmp_path / "out")).parent) == files(made)
    for href in ("../x.json", "https://host/item.json", "/etc/passwd"):
        links[0]["href"] = href
        (tmp_path / "ogc" / "catalog.json").write_text(json.dumps(catalogue))
        with pytest.raises(UsageError, match="outside"):
            stage_out(tmp_path / "ogc", tmp_path / "out")


def test_destinations_that_refuse(made, seaweed, monkeypatch, tmp_path):  # noqa: F811
    cases = [
        (s3.RO, f"s3://{s3.BUCKET}/ro", "403"),
        (("testkey", "wrongSECRET"), f"s3://{s3.BUCKET}/x", "403"),
        (s3.RW, "https://host/x?sig=SECRET", "cannot publish to"),
        (s3.RW, "/proc/none", "cannot write"),
        (s3.RW, "htp://host/x", "htp:// is not known"),
    ]
    for number, (keys, dest, words) in enumerate(cases):
        apply(monkeypatch, s3.environ(seaweed.endpoint, keys))
        monkeypatch.setenv("LANDSAT_DOWNSAMPLE_TIMEOUT", f"{5 + number}")  # sessions of their own: keys are read once
        result = call("stage-out", made, "--to", dest)
        assert result.code in (1, 2) and len(result.lines) == 1 and words in result.err, result.err
        assert "SECRET" not in result.err and result.out == ""


class NoBucket(FaultProxy):
    """A store without the bucket asked for; SeaweedFS itself would make it."""

    async def _before(self, request, fault):
        body = "<Error><Code>NoSuchBucket</Code><Message>no</Message></Error>"
        return web.Response(status=404, text=body, content_type="application/xml")


def test_a_missing_bucket(made, seaweed, monkeypatch, tmp_path):  # noqa: F811
    with NoBucket(seaweed.endpoint) as proxy:
        apply(monkeypatch, s3.environ(proxy.endpoint))
        out = call("stage-out", made, "--to", "s3://none/x")
        into = call("stage-in", "s3://none/x", "--to", tmp_path / "in")
    for result in (out, into):
        assert result.code == 1 and len(result.lines) == 1 and "404 NoSuchBucket" in result.err, result.err


@pytest.mark.parametrize("fault", ["slowdown", "reset", "lost", "flip", "error", "stall"])
def test_transient_faults_are_retried_and_everything_is_sent_once(made, proxied, seaweed, tmp_path, fault):  # noqa: F811
    for place in (0, 3, 6):
        proxied.plan(*[None] * place, fault, None, fault)
        stage_out(made, f"s3://{s3.BUCKET}/{tmp_path.name}/{place}")
        assert stored(seaweed, f"{tmp_path.name}/{place}/{made.name}/") == files(made)


def test_a_store_that_fails_for_ever_shows_no_product(made, proxied, seaweed, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("LANDSAT_DOWNSAMPLE_BUDGET", "1")
    proxied.plan(*[None] * 4, *["error"] * 5000)
    with pytest.raises((WriteError, ReadError), match="gave up"):  # as it looks whether the product is there, if slow
        stage_out(made, f"s3://{s3.BUCKET}/{tmp_path.name}")
    assert proxied.faults, "more were to come"
    assert marker(made) not in stored(seaweed, f"{tmp_path.name}/{made.name}/")


@pytest.mark.slow
def test_killed_at_any_moment_and_repeated(made, proxied, seaweed, tmp_path, figures):  # noqa: F811
    env = os.environ | PATIENT
    proxied.plan()
    whole = spawn("stage-out", made, "--to", f"s3://{s3.BUCKET}/{tmp_path.name}/alone", env=env)
    whole.communicate()
    assert whole.returncode == 0
    moments = random.Random(11).sample(range(3, len(proxied.seen)), 8)  # requests answered before it is killed
    left = 0
    for run in moments:
        dest = f"s3://{s3.BUCKET}/{tmp_path.name}/{run}"
        proxied.plan(*[None] * run, *["silence"] * 50)
        process = spawn("stage-out", made, "--to", dest, env=env)
        wait_until(lambda: proxied.silent, process)
        process.kill()
        process.communicate()
        proxied.plan()
        found = stored(seaweed, f"{tmp_path.name}/{run}/{made.name}/")
        assert marker(made) not in found or found == files(made)
        listed = call("clean", dest, "--older-than", 0)
        assert len(listed.out.splitlines()) == (bool(found) and marker(made) not in found)
        left += len(listed.out.splitlines())
        again = call("stage-out", made, "--to", dest)
        assert again.code == 0, again.err
        assert stored(seaweed, f"{tmp_path.name}/{run}/{made.name}/") == files(made)
        assert call("clean", dest, "--older-than", 0).out == ""
    figures.lines.append(f"stage-out killed at 8 moments: {left} left leftovers; repeated, all whole, none left")
    assert left > 0
