"""Pages: every block of commands or Python runs in its order, or says before it why it does not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import fsspec
import pytest
from conftest_s3 import s3_env, seaweed  # noqa: F401 - fixtures
from stac_api import StacApi, one_item

import landsat_downsample as ld
from landsat_downsample.testing.seaweed import BUCKET

ROOT = Path(__file__).parents[2]
SCENE = "LC08_L2SP_192028_20230714_20230724_02_T1"
#: Those of batch systems are run by tests/recipes.
PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
#: A part of the full-size scene, for which a part of the small one stands, and services that are not here.
INSTEAD = {
    "(347_085, 5_059_815, 356_085, 5_068_815)": "(260_085, 5_203_815, 269_085, 5_212_815)",
    "https://ades.example.com/ogc-api": "local",
}
APIS = ("https://earth-search.aws.element84.com/v1", "https://planetarycomputer.microsoft.com/api/stac/v1")
#: The commands of this installation.
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


@dataclass(frozen=True)
class Block:
    """A block of a page, and the reason for which it is not run."""

    language: str
    text: str
    not_run: str | None


def blocks(page: str) -> list[Block]:
    pattern = r"(?:^<!-- not run: (.+) -->\n)?^```(sh|python)\n(.*?)^```$"
    found = re.findall(pattern, (ROOT / page).read_text(), re.M | re.S)
    return [Block(language, text, reason or None) for reason, language, text in found]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return ld.make_scene(tmp_path_factory.mktemp("made"), size=(600, 500))


@pytest.fixture
def place(made, tmp_path, monkeypatch) -> Path:
    """A folder with what pages take as given: a clone's notebooks and steps, a scene here and there, lists."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", PATH)
    for folder in (".", "demo/scene", "scenes"):
        shutil.copytree(made, tmp_path / folder / SCENE)
    for folder in ("cwl", "notebooks"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    other = ld.make_scene(tmp_path, level=1, size=(600, 500))
    (tmp_path / "scenes.txt").write_text(f"{SCENE}\n{other}\n")
    return tmp_path


@pytest.fixture
def instead(place, made, request) -> dict[str, str]:
    """Words of pages and what stands here in their place: a store, an API, a scene of this machine."""
    item = Path(ld.stage_in(str(made), str(place / "staged"))).parent
    words = INSTEAD | {"s3://bucket/scene/item.json": item.as_uri()}
    page = (ROOT / request.node.callspec.params["page"]).read_text()
    if "modis_ndvi.tif" in page:
        bands = ld.open_scene(made).dataset(["red", "nir08"])
        ld.coarsen(bands, grid="modis:500m").landsat.index("ndvi").rio.to_raster("modis_ndvi.tif")
    if "s3://bucket" in page:
        store = request.getfixturevalue("s3_env")
        bucket = f"s3://{BUCKET}/{place.name}"
        for name in ("scene", f"scenes/{SCENE}", "scenes/LC09_L2SP_192028_20230730_20230809_02_T1"):
            fsspec.filesystem("s3").put(f"{made}/", f"{bucket}/{name}/", recursive=True)
        words |= {"s3://bucket": bucket, "https://objects.example": store.endpoint}
    if any(api in page for api in APIS):
        service = request.getfixturevalue("api")
        words |= dict.fromkeys(APIS, service.url)
    return words


@pytest.fixture(scope="module")
def api(made):
    with StacApi("earth-search", [one_item(made)], made.parent) as service:
        yield service


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if any(not one.not_run for one in blocks(page))])
def test_blocks_of_pages_run(page, place, instead):
    names: dict[str, object] = {"ld": ld, "scenes": [SCENE]}
    for block in blocks(page):
        text = block.text
        for word, other in instead.items():
            text = text.replace(word, other)
        if block.not_run:
            continue
        if block.language == "python":
            exec(compile(text, page, "exec"), names)
        else:
            done = subprocess.run(["bash", "-euc", text], capture_output=True, text=True, check=False)
            assert done.returncode == 0, (text, done.stderr[-3000:])
    if "service" in names:
        names["service"].close()  # type: ignore[attr-defined]


def test_each_page_is_found_from_another():
    """Each stands in one list of contents; those that people come for in that of how-to.md."""
    listed = {page: re.findall(r"^```{toctree}\n(.*?)^```$", (ROOT / page).read_text(), re.M | re.S) for page in PAGES}
    names = {page: re.findall(r"^[\w/-]+$", "".join(texts), re.M) for page, texts in listed.items()}
    recipes = [f"recipes/{path.stem}" for path in (ROOT / "docs" / "recipes").glob("*.md")]
    pages = sorted([*recipes, *(Path(page).stem for page in PAGES if page not in ("README.md", "docs/index.md"))])
    assert sorted(name for some in names.values() for name in some if name in pages) == pages
    analyses = "ndvi surface-temperature time-series mosaic modis hls"
    places = "object-stores requester-pays dask recipes/coiled recipes/slurm kubernetes cwl ades"
    assert {*analyses.split(), *places.split()} <= set(names["docs/how-to.md"])


def test_links_within_the_repository_lead_to_files_and_headings():
    """Sphinx looks at those of the site only."""
    others = [*ROOT.glob("*.md"), *ROOT.glob("benchmarks/*.md"), *ROOT.glob("docs/recipes/*.md")]
    for page in {*others, *(ROOT / name for name in PAGES)}:
        for target in re.findall(r"\]\((?!\w+:)([^)\s]+)\)", page.read_text()):
            path, _, heading = target.partition("#")
            file = page.parent / path if path else page
            assert file.exists(), f"{page.name}: {target}"
            assert not heading or heading in headings(file.read_text()), f"{page.name}: {target}"


def headings(text: str) -> set[str]:
    """The names by which links know a page's headings."""
    return {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in re.findall(r"^#+ (.+)$", text, re.M)}


def test_only_blocks_that_need_more_than_this_machine_do_not_run():
    """Half of them at most, and each says why."""
    every = [block for page in PAGES for block in blocks(page)]
    assert len(every) > 50
    assert len([block for block in every if block.not_run]) < len(every) / 2
    assert all(len(block.not_run.split()) > 1 for block in every if block.not_run)
