"""Granules of HLS behind an Earthdata login: staged, reduced here and by workers; no secret in what comes of it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path

import pytest
from command import call, command
from conftest_earthdata import WAYS, by_netrc, by_token, certificate, hosts_of_earthdata  # noqa: F401 - fixtures
from earthdata_hosts import LOGIN, NAME, PASSWORD, ROOT, SIGNED, TOKEN
from staging_cases import files

import landsat_downsample as ld
from landsat_downsample.cli.doctor.examine import Asked, examine
from landsat_downsample.execution.cost import Setting, cost_of
from landsat_downsample.testing.synthetic.make import make_scene

OPTIONS = ["--bands", "B04,B05,Fmask", "--factor", 7, "--grid", "scene"]


@pytest.fixture(scope="module")
def granule(tmp_path_factory) -> Path:
    return make_scene(tmp_path_factory.mktemp("hls"), sensor="hls-l30", size=(131, 117), bands=["B04", "B05", "Fmask"])


@pytest.fixture
def item(world, granule, tmp_path) -> Path:
    """An item on this disk, as CMR gives it: its files lie at LP DAAC."""
    folder = f"/HLSL30.020/{granule.name}"
    world.files.update({f"{folder}/{name}": data for name, data in files(granule).items()})
    record = json.loads((granule / f"{granule.name}_stac.json").read_text())
    for asset in record["assets"].values():
        asset["href"] = f"{ROOT}{folder}/{asset['href'].removeprefix('./')}"
    path = tmp_path / f"{granule.name}_stac.json"
    path.write_text(json.dumps(record | {"links": []}))
    return path


def holds_no_secret(*places: Path, texts: tuple[str, ...] = ()) -> None:
    """Look into all that was written and said."""
    written = [path.read_bytes() for place in places for path in place.rglob("*") if path.is_file()]
    for data in (*written, *(text.encode() for text in texts)):
        for secret in (b"never-shown", TOKEN.encode(), PASSWORD.encode(), NAME.encode(), b"Signature=", b"cloudfront"):
            assert secret not in data, secret


def bands(product: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(product.glob("*.tif"))}


@pytest.mark.parametrize("way", WAYS)
def test_a_granule_is_reduced_and_staged(granule, item, tmp_path, monkeypatch, way):
    WAYS[way](monkeypatch, tmp_path)
    here = call("run", granule, "--to", tmp_path / "here", *OPTIONS)
    there = call("run", item, "--to", tmp_path / "there", *OPTIONS)
    staged = call("stage-in", item, "--to", tmp_path / "staged")
    assert (here.code, there.code, staged.code) == (0, 0, 0), there.err + staged.err
    wanted, made = (bands(tmp_path / place / f"{granule.name}_downsampled") for place in ("here", "there"))
    assert len(wanted) == 4 and made == wanted
    assert bands(tmp_path / "staged" / granule.name) == bands(granule)
    holds_no_secret(tmp_path / "there", tmp_path / "staged", texts=(there.out, there.err, staged.out, staged.err))


def test_a_plan_counts_the_redirect_of_each_request(world, item, tmp_path, monkeypatch):
    by_token(monkeypatch)
    plans = ld.plan(item, tmp_path / "out", factor=7, bands="B04,B05,Fmask")
    cost = cost_of(plans[0], Setting(on_dask=False))
    ld.run(plans)
    assert cost.web == len(world.asked) > 3 and len(world.to(SIGNED)) == len(world.asked) / 2


def run_apart(item: Path, to: Path, *options: object) -> subprocess.CompletedProcess[str]:
    """Run the command as a process of its own, whose bands worker processes reduce."""
    words = command("run", item, "--to", to, "--cluster", "local", "--workers", "2", *OPTIONS, *options)
    return subprocess.run(words, capture_output=True, text=True, env=dict(os.environ), check=False)


@pytest.mark.slow
def test_worker_processes_log_in_by_the_environment(world, granule, item, tmp_path, monkeypatch):
    by_netrc(monkeypatch, tmp_path)
    done = run_apart(item, tmp_path / "there")
    assert done.returncode == 0, done.stderr
    assert len(bands(tmp_path / "there" / f"{granule.name}_downsampled")) == 4
    assert 2 <= len(world.to(LOGIN)) <= 3  # the command, and each worker that read a band
    holds_no_secret(tmp_path / "there", texts=(done.stdout, done.stderr))


@pytest.mark.slow
def test_a_token_that_ends_while_bands_are_read(world, granule, item, tmp_path, monkeypatch):
    by_token(monkeypatch)
    world.allowance = 4  # headers of the three bands, and the beginning of the run
    done = run_apart(item, tmp_path / "there", "-v")
    assert world.to(SIGNED) and done.returncode == 1
    assert "Earthdata refuses the token of EARTHDATA_TOKEN: make another one" in done.stderr
    assert not (tmp_path / "there" / f"{granule.name}_downsampled").exists()
    holds_no_secret(tmp_path / "there", texts=(done.stdout, done.stderr))
    world.allowance, world.tokens = None, {"new-never-shown"}
    by_token(monkeypatch, "new-never-shown")
    again = run_apart(item, tmp_path / "there")
    assert again.returncode == 0 and len(bands(tmp_path / "there" / f"{granule.name}_downsampled")) == 4


def test_without_a_login_one_line_says_what_is_needed(world, item, tmp_path):
    to = ["--to", tmp_path / "out"]
    for words in (["info", item], ["run", item, *to, *OPTIONS], ["stage-in", item, *to]):
        done = call(*words)
        lines = [line for line in done.lines if "Earthdata login is needed" in line]
        assert done.code != 0 and len(lines) == 1 and "set EARTHDATA_TOKEN" in lines[0], done.err


def findings(source: object) -> dict[str, tuple[str, str]]:
    return {found.what: (found.state, found.fact) for found in examine(Asked(str(source)))}


def test_the_doctor_tells_which_login_there_is(world, granule, item, tmp_path, monkeypatch):
    band = f"{ROOT}/HLSL30.020/{granule.name}/{granule.name}.B04.tif"
    found = findings(band)
    assert found["source"][0] == "no" and found["Earthdata login"][0] == "no"
    assert "set EARTHDATA_TOKEN" in found["Earthdata login"][1]
    path = by_netrc(monkeypatch, tmp_path)
    found = findings(item)
    assert (found["source"][0], found["Earthdata login"]) == ("ok", ("ok", f"name and password from {path}"))
    by_token(monkeypatch)
    found = findings(f"s3://lp-prod-protected/HLSL30.020/{granule.name}/{granule.name}.B04.tif")
    assert found["Earthdata login"] == ("ok", "token from EARTHDATA_TOKEN") and found["source"][0] == "ok"
    assert found["credentials"][0] == "--"  # of S3: none of the user's own is asked for
    assert findings(granule)["Earthdata login"] == ("--", "no source asks for one; token from EARTHDATA_TOKEN")
    holds_no_secret(granule, texts=tuple(fact for _, fact in found.values()))


def test_lazy_arrays_are_read_so_too(world, granule, item, monkeypatch):
    by_token(monkeypatch)
    there, here = (ld.open_scene(str(place)).band("red") for place in (item, granule))
    assert (ld.open_scene(str(item))["red"].values == ld.open_scene(str(granule))["red"].values).all()
    assert there.name == here.name and "never-shown" not in repr(there)
