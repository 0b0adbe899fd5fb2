"""Full-size scenes from one store to another: requests, bytes and memory, as the server sees them."""

from __future__ import annotations

import collections
import json
import os
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
import s3
from command import command, digests
from conftest_s3 import figures, seaweed  # noqa: F401 - fixtures
from fault_proxy import FaultProxy, FileServer
from staging_cases import served, to_s3

import landsat_downsample as ld
from landsat_downsample.formats import tiff

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def full(tmp_path_factory) -> Path:
    return ld.make_scene(tmp_path_factory.mktemp("full"), bands=["SR_B4", "SR_B5", "ST_B10", "QA_PIXEL"])


def needed(scene: Path) -> int:
    """Bytes of the headers and the full-resolution tiles of all bands."""
    total = 0
    for path in scene.glob("*.TIF"):
        data = path.read_bytes()
        layout = tiff.parse(lambda start, length, data=data: data[start : start + length], len(data))
        total += max(start + length for start, length in layout.parts) + int(layout.directories[0].counts.sum())
    return total


def run(*words, **env) -> dict:
    done = subprocess.run(
        command("run", *words, "--factor", 10, "-q"),
        env={key: value for key, value in (os.environ | env).items() if value is not None},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


def judge(record: dict, requests: list[str], down: int, scene: Path, most: int) -> str:
    """Hold what `run` says, and what its server saw, against the promise; give a line for the summary."""
    bands = collections.Counter(name.rpartition("/")[2] for name in requests if name.endswith(".TIF"))
    assert set(bands) == {path.name for path in scene.glob("*.TIF")}
    assert max(bands.values()) <= most, bands
    assert record["requests"] == sum(bands.values())
    texts = sum(path.stat().st_size for path in scene.iterdir() if path.suffix != ".TIF")
    # Texts are read when the scene is opened and when its product is published, over a bare connection twice each.
    assert 0 <= down - record["bytes_in"] <= 4 * texts + (64 << 10)
    assert down <= 1.02 * needed(scene)
    assert 50 << 20 < record["peak_memory"] < 1 << 30
    return (
        f"{max(bands.values())} requests a band, {down} bytes ({down / needed(scene):.4f} of header + full resolution, "
        f"{down / sum(path.stat().st_size for path in scene.glob('*.TIF')):.2f} of the files), "
        f"peak memory {record['peak_memory'] >> 20} MiB, {record['seconds']:.1f} s"
    )


def test_from_s3_to_s3(full, seaweed, tmp_path, figures):  # noqa: F811
    href = to_s3(seaweed, full, "full-size")
    with FaultProxy(seaweed.endpoint) as proxy:
        record = run(href, "--to", f"s3://{s3.BUCKET}/full-size-out", **s3.environ(proxy.endpoint))
        paths = [one.path.partition("?")[0] for one in proxy.seen if one.method == "GET"]
        # The header comes twice: without TLS nothing else guards its bytes.
        line = judge(record, [path for path in paths if "/full-size/" in path], proxy.down, full, most=3)
    figures.lines.append(f"full-size scene s3 -> s3, bare connection: {line}")
    assert run(full, "--to", tmp_path)["status"] == "done"
    (here,) = tmp_path.iterdir()
    prefix = f"full-size-out/{here.name}/"
    listed = seaweed.client().list_objects_v2(Bucket=s3.BUCKET, Prefix=prefix)["Contents"]
    assert {entry["Key"].removeprefix(prefix) for entry in listed} == set(digests(here))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    words += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", f"{path}.key", "-out", str(path)]
    subprocess.run(words, check=True, capture_output=True)
    return path


def test_from_https_to_a_folder(full, certificate, tmp_path, figures):  # noqa: F811
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, f"{certificate}.key")
    with FileServer(served(full), tls=tls) as web:
        href = f"{web.endpoint}/scene/{full.name}_MTL.json"
        record = run(href, "--to", tmp_path / "out", SSL_CERT_FILE=str(certificate))
        line = judge(record, web.seen, web.down, full, most=2)
    figures.lines.append(f"full-size scene https -> folder: {line}")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [f"{full.name}_downsampled"]
