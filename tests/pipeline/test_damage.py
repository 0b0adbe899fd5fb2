"""A source that was damaged before it was stored has the right length, ETag and SHA-256, and is refused all the same.

By whichever reader: the C extension, its decoder before sums by NumPy, or GDAL alone, which takes one damaged
block in eight for pixels.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from command import call, holds
from conftest_s3 import s3_env, seaweed  # noqa: F401 - fixtures
from staging_cases import to_s3

import landsat_downsample as ld
from landsat_downsample.pipeline import tiles
from landsat_downsample.reduce import native

FACTOR = ("--factor", 7, "-q")


@pytest.fixture(params=["extension", "decoder", "GDAL"])
def reader(request, monkeypatch) -> str:
    monkeypatch.setattr(random, "uniform", min)  # the pauses between tries are as short as they may be by chance
    if request.param != "extension":
        monkeypatch.setattr(native, "_native", None)
    if request.param == "GDAL":
        monkeypatch.setattr(tiles, "available", False)
    return request.param


@pytest.fixture(
    scope="module", params=[(151, 139), pytest.param((931, 847), marks=pytest.mark.slow)], ids=["whole", "by ranges"]
)
def scene(request, tmp_path_factory) -> Path:
    """Small enough to be fetched whole, and large enough to be fetched by ranges."""
    return ld.make_scene(tmp_path_factory.mktemp("scene"), size=request.param, bands=["SR_B4", "QA_PIXEL"])


@pytest.mark.parametrize("place", ["disk", "S3"])
def test_damage_as_stored_is_never_pixels(reader, scene, place, tmp_path, s3_env):  # noqa: F811
    band = next(scene.glob("*_SR_B4.TIF"))
    whole, chance = band.read_bytes(), random.Random(7)
    refused = 0
    for trial in range(6):
        data = bytearray(whole)
        for _ in range(chance.choice([1, 64])):
            data[chance.randrange(len(data) // 3, 2 * len(data) // 3)] ^= 1 << chance.randrange(8)
        band.write_bytes(data)
        try:
            href = scene if place == "disk" else to_s3(s3_env, scene, f"{tmp_path.name}-{trial}")
        finally:
            band.write_bytes(whole) if place == "S3" else None
        try:
            result = call("run", href, "--to", tmp_path / "out", "--bands", "SR_B4", *FACTOR)
        finally:
            band.write_bytes(whole)
        if result.code == 0:
            unchanged(tmp_path / "out", scene, tmp_path)
            continue
        assert result.code == 1 and len(result.lines) == 1 and "SR_B4" in result.err, result.err
        assert holds(tmp_path / "out") == []
        refused += 1
    assert refused >= 3, "most damage lies in the pixels of full resolution"


def unchanged(out: Path, scene: Path, tmp_path: Path) -> None:
    """The damage was in an overview, which is not read: the product is that of the whole file."""
    assert call("run", scene, "--to", tmp_path / "right", "--bands", "SR_B4", *FACTOR).code == 0
    (made,) = out.glob("*/*_SR_B4.TIF")
    (right,) = (tmp_path / "right").glob("*/*_SR_B4.TIF")
    assert made.read_bytes() == right.read_bytes()
    for folder in (out, tmp_path / "right"):
        for path in sorted(folder.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
