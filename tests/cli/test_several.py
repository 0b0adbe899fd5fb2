"""Several scenes or products at one time: told of in a line each, and in one at the end."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command import call

import landsat_downsample as ld

FACTOR = ("--factor", 4)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> list[Path]:
    place = tmp_path_factory.mktemp("scenes")
    return [ld.make_scene(place, size=(61, 57), seed=seed, bands=["SR_B4", "QA_PIXEL"]) for seed in range(3)]


@pytest.fixture(scope="module")
def made(scenes, tmp_path_factory) -> Path:
    """A destination with three products."""
    dest = tmp_path_factory.mktemp("made")
    assert call("run", *scenes, "--to", dest, *FACTOR, "-q").code == 0
    return dest


@pytest.fixture
def dest(made, tmp_path) -> Path:
    """The same, to be spoilt."""
    return Path(shutil.copytree(made, tmp_path / "dest"))


def test_a_plan_of_several_is_a_line_for_each_scene(scenes, tmp_path):
    short, long = (call("plan", *scenes, *FACTOR, "--to", tmp_path, *words).out for words in ((), ("-v",)))
    for line, scene in zip(short.splitlines(), scenes, strict=False):
        assert line.startswith(f"{scene.name} -> {tmp_path}/{scene.name}_downsampled: 2 bands, 15 x 16 cells, ")
    assert len(short.splitlines()) == len(scenes) + 3 and "SR_B4" not in short
    assert short.splitlines()[3].startswith("3 scenes: ")
    assert long.count("..._SR_B4.TIF") == 3
    alone = call("plan", scenes[0], *FACTOR).out
    assert alone.count("..._SR_B4.TIF") == 1


def test_the_summary_of_a_run_is_its_last_line(scenes, tmp_path):
    result = call("run", *scenes, tmp_path / "nothing", "--to", tmp_path / "out", *FACTOR, "--log-format", "plain")
    assert result.said[-3].startswith("landsat-downsample: report: ")
    assert result.said[-2].startswith("landsat-downsample: catalogue: 3 products in ")
    assert result.said[-1].startswith("landsat-downsample: 3 done, 1 failed of 4 scenes in ")


def products(dest: Path) -> list[Path]:
    return sorted(dest.glob("*_downsampled"))


def test_products_are_verified_however_they_are_named(dest, tmp_path):
    listed = tmp_path / "list.txt"
    items = [str(next(product.glob("*.stac.json"))) for product in products(dest)]
    listed.write_text("\n".join(items))
    for words in ([dest], products(dest), [f"@{listed}"], items, [dest, *products(dest)]):
        result = call("verify", *words)
        assert (result.code, result.out, result.err) == (0, "3 of 3 products are right\n", "")
    assert call("verify", dest, "-v").out.count("have the size and SHA-256") == 3


def test_what_is_wrong_is_reported_by_product_and_counted(dest):
    first, second, _ = products(dest)
    with open(next(first.glob("*_SR_B4.TIF")), "ab") as file:
        file.write(b"more")
    next(second.glob("*.met.json")).unlink()
    result = call("verify", dest)
    assert result.code == 3 and result.out == "1 of 3 products are right, 2 wrong or unreadable\n"
    assert any(str(first) in line and "SHA-256 differs" in line for line in result.lines)
    assert any(str(second) in line and "not a finished product" in line for line in result.lines)


def test_one_product_is_verified_as_before(dest, scenes):
    product = products(dest)[0]
    source = next(scene for scene in scenes if product.name.startswith(scene.name))
    result = call("verify", product, "--source", source, "--blocks", 2)
    assert result.code == 0 and len(result.out.splitlines()) > 3
    assert call("verify", dest, "--source", source).code == 2
    assert call("verify", dest / "nothing").code == 1


def test_what_a_run_reports_can_be_verified(scenes, tmp_path):
    out = call("run", *scenes, "--to", tmp_path / "out", *FACTOR, "-q").out
    hrefs = [json.loads(line)["href"] for line in out.splitlines()]
    assert call("verify", *hrefs).out == "3 of 3 products are right\n"


def test_the_demo_makes_its_scene_elsewhere(tmp_path):
    """Else the memory of that would be told as the run's."""
    code = (
        "import sys; from landsat_downsample.cli.main import main\n"
        "assert main() == 0; assert not any('testing.synthetic' in name for name in sys.modules)"
    )
    words = [sys.executable, "-c", code, "demo", str(tmp_path / "demo"), "--size", "100,90"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "peak_memory" in done.stdout and "Check it against its source" in done.stderr
    result = call("demo", tmp_path / "other", "--size", "0,0")
    assert result.code == 2 and len(result.lines) == 2 and "Traceback" not in result.err
