"""The report of a run: true, self-contained, safe against what it shows, and small."""

from __future__ import annotations

import html
import json
import os
import random
import re
import shutil
import subprocess
import tracemalloc
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from statistics import median
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pytest
import s3
from command import call
from conftest_s3 import s3_env, seaweed  # noqa: F401 - fixtures
from hypothesis import given
from hypothesis import strategies as st
from loopback import Files, serving

import landsat_downsample as ld
from landsat_downsample.api.scene import open_scene
from landsat_downsample.batch import report_gallery
from landsat_downsample.batch.failure_groups import band_of, pattern_of
from landsat_downsample.batch.journal import Journal
from landsat_downsample.batch.report import findings, page, write_report
from landsat_downsample.batch.report_chart import STATUSES, Bins, Ended, cut, draw
from landsat_downsample.batch.report_gallery import evenly, relative
from landsat_downsample.batch.runs import status
from landsat_downsample.errors import ReadError
from landsat_downsample.execution.outcomes import Outcome
from landsat_downsample.execution.run import Progress, run_plans
from landsat_downsample.model.options import Options
from landsat_downsample.model.plan import plan_scene
from landsat_downsample.storage import files

SVG = "{http://www.w3.org/2000/svg}"

EVIL = "<script src='http://127.0.0.1:{port}/script'></script><img src=http://127.0.0.1:{port}/img onerror=fetch('http://127.0.0.1:{port}/js')>"


class Page(HTMLParser):
    """What a page holds: its elements with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.found if name == tag]


def run_of(dest: str, scenes: list[Path], *, failures: list[tuple[str, str]] = ()) -> Journal:
    """A run of real scenes on record, with failures of some more."""
    plans = [plan_scene(open_scene(str(scene)), dest, Options(factor=5)) for scene in scenes]
    about = {"workers": 2, "options": {"factor": 5, "mask": [], "bands": None}}
    with Journal(dest, entries=b"", total=len(scenes) + len(failures), about=about) as journal:
        run_plans(plans, report=journal)
        for name, message in failures:
            journal(Progress(name, outcome=Outcome(name, "failed", error=ReadError(message), seconds=1.5)))
    return journal


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("scenes")
    bands = ["SR_B2", "SR_B3", "SR_B4", "QA_PIXEL"]
    return [ld.make_scene(folder, size=(151, 139), seed=seed, bands=bands) for seed in range(3)]


# The page --------------------------------------------------------------------------------------


def test_the_page_reports_what_the_run_did(scenes, tmp_path):
    broken = "band SR_B4 LC08_x failed: its worker was killed"
    journal = run_of(str(tmp_path / "out"), scenes, failures=[("LC08_x", broken), ("LC08_y", broken.replace("x", "y"))])
    href = write_report(journal.href)
    assert href == f"{journal.href}/report.html"
    shown = Page(Path(href).read_text("utf-8"))
    assert "3 of 5 scenes done, 2 failed" in shown.text
    assert re.search(r"2 scenes\s*· ReadError: band … failed: its worker was killed", shown.text)
    for scene in scenes:
        assert scene.name in shown.text
    pictures = shown.all("img")
    assert len(pictures) == 3 and all(picture["src"].startswith("data:image/") for picture in pictures)
    item = json.loads(next((tmp_path / "out").glob(f"{scenes[0].name}*/*.stac.json")).read_text("utf-8"))
    assert item["properties"]["datetime"][:10] in shown.text
    assert f"{item['properties']['eo:cloud_cover']:.3g} %" in shown.text and "192/028" in shown.text
    assert "150 m" in shown.text and "31 × 28" in shown.text
    valid = [
        part["landsat_ds:valid_fraction"] for part in item["assets"].values() if "landsat_ds:valid_fraction" in part
    ]
    assert len(valid) == 5 and f"{100 * median(valid):.3g} %" in shown.text


def test_links_lead_from_the_record_to_the_items(scenes, tmp_path):
    journal = run_of(str(tmp_path / "before"), scenes)
    os.rename(tmp_path / "before", tmp_path / "after")  # hrefs in the outcomes name the old place
    folder = tmp_path / "after" / "_runs" / journal.id
    shown = Page(Path(write_report(str(folder))).read_text("utf-8"))
    links = [link["href"] for link in shown.all("a")]
    items = [link for link in links if link.endswith(".stac.json")]
    assert len(set(items)) == 3 and len(shown.all("img")) == 3
    for link in links:
        assert (folder / unquote(link)).resolve().is_file(), link


def test_the_page_is_accessible(scenes, tmp_path):
    shown = Page(page(run_of(str(tmp_path), scenes, failures=[("a", "no")]).href))
    assert shown.all("html")[0]["lang"] == "en" and len(shown.all("h1")) == 1 and len(shown.all("main")) == 1
    assert all(picture["alt"].startswith("Browse picture of L") for picture in shown.all("img"))
    drawings = [part for part in shown.all("div") if part.get("role") == "img"]
    assert len(drawings) == len(shown.all("svg")) == 2 and all(part["aria-label"] for part in drawings)
    ids = [attributes["id"] for _, attributes in shown.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert all(cell.get("scope") in ("col", "row") for cell in shown.all("th"))
    levels_seen = [int(tag[1]) for tag, _ in shown.found if re.fullmatch("h[1-6]", tag)]
    assert all(after <= before + 1 for before, after in pairwise(levels_seen))


def _luminance(colour: str) -> float:
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


#: WCAG 2: 4.5 for text, 3 for what is drawn.
LEAST = {"ink": 4.5, "soft": 4.5, "link": 4.5, "failed": 4.5, "done": 3, "read": 3, "skipped": 3}


def test_its_colours_have_contrast(tmp_path):
    with Journal(str(tmp_path), entries=b"", total=0) as journal:
        pass
    themes = re.findall(r":root \{(.*?)\}", page(journal.href), re.S)
    assert len(themes) == 3
    for theme in themes:
        colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", theme))
        for ground in ("page", "card"):
            for name, least in LEAST.items():
                pair = sorted((_luminance(colours[name]), _luminance(colours[ground])))
                assert (pair[1] + 0.05) / (pair[0] + 0.05) >= least, (name, ground)


def test_the_verb_makes_it_anew(scenes, tmp_path):
    journal = run_of(str(tmp_path), scenes[:1])
    result = call("report", tmp_path)
    assert result.code == 0 and result.out == f"{journal.href}/report.html\n"
    first = Path(result.out.strip()).read_bytes()
    assert call("report", journal.href).code == 0
    assert Path(result.out.strip()).read_bytes() == first


def test_a_run_that_goes_on_has_a_report_too(tmp_path):
    with Journal(str(tmp_path), entries=b"", total=3, every=0.05) as journal:
        journal(Progress("a", outcome=Outcome("a", "failed", error=ReadError("no"))))
        while not (Path(journal.href) / "outcomes.ndjson").exists() or not status(tmp_path).failed:
            pass
        shown = Page(page(journal.href))
    assert "0 of 3 scenes done, 1 failed, 2 not reached" in shown.text and "running" in shown.text


def test_a_record_without_anything_gives_a_page(tmp_path):
    (tmp_path / "_runs" / "20200101T000000Z-00ff").mkdir(parents=True)
    result = call("report", tmp_path)
    assert result.code == 0 and "0 scenes" in Path(result.out.strip()).read_text("utf-8")


def test_a_product_that_is_gone_or_damaged_costs_its_picture_only(scenes, tmp_path):
    dest = tmp_path / "out"
    journal = run_of(str(dest), scenes)
    shutil.rmtree(dest / f"{scenes[0].name}_downsampled")
    (dest / f"{scenes[1].name}_downsampled" / f"{scenes[1].name}_downsampled.browse.png").write_bytes(b"GIF89a")
    shown = Page(page(journal.href))
    assert len(shown.all("img")) == 1 and shown.text.count("No picture:") == 2


def test_the_page_is_made_on_s3_from_s3(scenes, s3_env):  # noqa: F811
    journal = run_of(f"s3://{s3.BUCKET}/report", scenes[:2], failures=[("a", "no")])
    result = call("report", f"s3://{s3.BUCKET}/report")
    assert result.code == 0, result.err
    shown = Page(files.read_bytes(f"{journal.href}/report.html").decode())
    assert len(shown.all("img")) == 2 and "2 of 3 scenes done" in shown.text
    for link in {link["href"] for link in shown.all("a") if link["href"].startswith("..")}:
        assert files.exists(f"s3://{s3.BUCKET}/report/{unquote(link[len('../../') :])}")


# Hostile input ---------------------------------------------------------------------------------


def hostile(dest: str, port: int = 9) -> Journal:
    """A record whose every text is an attack."""
    evil = EVIL.format(port=port)
    hrefs = ["javascript:alert(1)", f"{dest}/../../../etc/passwd", f"x/{evil}/{evil}"]
    hrefs += ['x/a"onclick="alert(1)/b.stac.json', "x/\ud800/\x00.stac.json"]
    about = {"options": {evil: evil}, "dashboard": "javascript:alert(1)"}
    with Journal(dest, entries=b"", total=9, about=about) as kept:
        for number, href in enumerate(hrefs):
            kept(Progress(evil, outcome=Outcome(f"{evil}{number}", "done", href, seconds=1)))
        kept(Progress(evil, outcome=Outcome(evil, "failed", error=ReadError(f"{evil}\x00\u202e\x1b[31m {{{{7*7}}}}"))))
    return kept


def test_what_outcomes_hold_is_shown_as_text(tmp_path):
    text = page(hostile(str(tmp_path)).href)
    shown = Page(text)
    assert not shown.all("script") and not shown.all("img")
    assert not [name for _, attributes in shown.found for name in attributes if name.startswith("on")]
    assert {link["href"].split("/")[0] for link in shown.all("a")} <= {"..", "outcomes.ndjson", "scenes.ndjson"}
    assert "<script src=" in shown.text and "{{7*7}}" in shown.text
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", text)
    assert html.escape("<script src=") in text


def test_links_never_leave_the_destination():
    assert relative("javascript:alert(1)") is None
    assert relative("s3://bucket/out/a/../b.stac.json") is None
    assert relative("x//b.stac.json") is None
    assert relative("C:\\out\\a\\b.stac.json") == "../../a/b.stac.json"
    assert relative('x/a"b/c:d') == "../../a%22b/c%3Ad"


def test_a_picture_that_claims_to_be_huge_is_not_unpacked():
    import io
    import struct
    import zlib

    from PIL import Image

    out = io.BytesIO()
    Image.new("L", (8, 8)).save(out, "PNG")
    data = bytearray(out.getvalue())
    data[16:24] = struct.pack(">II", 9000, 9000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    with pytest.raises(ValueError, match="too large"):
        report_gallery._small(bytes(data))


# Chromium --------------------------------------------------------------------------------------


def chromium() -> str:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None and os.environ.get("REQUIRE_CHROMIUM") == "1":
        pytest.fail("REQUIRE_CHROMIUM is 1, and there is no chromium")
    if found is None:
        pytest.skip("there is no chromium")
    return found


class Site(Files):
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()


@pytest.fixture
def site(tmp_path):
    """A server of the test's folder; its port, and the paths that were asked for."""
    handler = type("Asked", (Site,), {"asked": []})
    with serving(handler, tmp_path) as address:
        yield address.rpartition(":")[2], handler.asked


_QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
          "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage")  # fmt: skip


def browse(url: str, profile: Path, *words: str) -> str:
    """Open a page in headless Chromium; what it printed."""
    command = [chromium(), "--headless", *_QUIET, f"--user-data-dir={profile}", "--virtual-time-budget=3000", *words]
    done = subprocess.run([*command, url], capture_output=True, timeout=120, check=True)
    return done.stdout.decode()


def test_chromium_shows_it_and_nothing_is_fetched(scenes, site, tmp_path):
    port, asked = site
    run_of(str(tmp_path / "out"), scenes, failures=[(EVIL.format(port=port), EVIL.format(port=port))])
    href = call("report", tmp_path / "out").out.strip()
    path = f"/{Path(href).relative_to(tmp_path)}"
    url = f"http://127.0.0.1:{port}{path}"
    dom = browse(url, tmp_path / "profile", "--dump-dom")
    assert set(asked) <= {path, "/favicon.ico"} and path in asked
    shown = Page(dom)
    assert shown.all("svg") and len(shown.all("img")) == len(scenes) and not shown.all("script")

    browse(url, tmp_path / "profile", f"--screenshot={tmp_path}/shot.png", "--window-size=1200,1500")
    assert set(asked) <= {path, "/favicon.ico"}
    assert _colours(tmp_path / "shot.png") > 1000, "pictures are drawn"


def test_the_policy_holds_where_escaping_would_not(site, tmp_path):
    """The same page with an attack put into it raw: its own policy forbids the request. Without it, it is made."""
    port, asked = site
    with Journal(str(tmp_path), entries=b"", total=0) as journal:
        pass
    text = page(journal.href).replace("</main>", EVIL.format(port=port) + "</main>")
    (tmp_path / "guarded.html").write_text(text, "utf-8")
    browse(f"http://127.0.0.1:{port}/guarded.html", tmp_path / "profile", "--dump-dom")
    assert set(asked) <= {"/guarded.html", "/favicon.ico"}
    (tmp_path / "bare.html").write_text(re.sub("<meta http-equiv.*?>", "", text), "utf-8")
    browse(f"http://127.0.0.1:{port}/bare.html", tmp_path / "profile", "--dump-dom")
    assert {"/img", "/script"} <= set(asked)


def _colours(path: Path) -> int:
    from PIL import Image

    with Image.open(path) as picture:
        return len(picture.convert("RGB").getcolors(1 << 24))


# Size ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_ten_thousand_scenes_make_a_page_of_less_than_5_mb(tmp_path):
    """Pictures of noise, which compress worst, beside 10 000 outcomes of which a quarter failed, each its own way."""
    from PIL import Image

    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (512, 512, 4), np.uint8))
    noise.save(tmp_path / "noise.png", compress_level=1)
    for number in range(70):
        folder = tmp_path / f"p{number}_downsampled"
        folder.mkdir()
        os.link(tmp_path / "noise.png", folder / f"{folder.name}.browse.png")
        (folder / f"{folder.name}.stac.json").write_text('{"properties": {}, "assets": {}}')
    rng = random.Random(0)
    with Journal(str(tmp_path), entries=b"", total=10_000) as journal:
        journal._seconds = lambda: rng.uniform(0, 40_000)
        for number in range(10_000):
            name, folder = f"LC08_{number:05d}", f"p{number % 70}_downsampled"
            words = "".join(rng.choices("abcdefgh ", k=400))
            failed = Outcome(name, "failed", error=ReadError(words), seconds=9.0, bytes_in=10)
            done = Outcome(name, "done", f"{tmp_path}/{folder}/{folder}.stac.json", seconds=99.0, bytes_in=1 << 30)
            journal(Progress(name, outcome=failed if number % 4 == 0 else done))
    text = Path(write_report(journal.href)).read_text("utf-8")
    assert len(text.encode()) < 5_000_000
    shown = Page(text)
    assert 10 < len(shown.all("img")) <= 60
    assert "7500 of 10 000 scenes done, 2500 failed" in shown.text
    assert "60 of 7500, chosen evenly over the run" in shown.text and "2480 rarer causes" in shown.text


# Arithmetic ------------------------------------------------------------------------------------

EVENTS = st.lists(
    st.tuples(st.floats(0, 5000), st.floats(0, 900), st.integers(0, 1 << 33), st.sampled_from(STATUSES)), min_size=1
)


def binned(events: list[tuple[float, float, int, str]], seconds: float, most: int) -> Bins | None:
    scenes = Ended()
    for event in events:
        scenes.add(*event)
    return cut(scenes, seconds, most)


@given(events=EVENTS, seconds=st.floats(0.01, 6000), most=st.integers(1, 130))
def test_bins_lose_no_byte_and_no_scene(events, seconds, most):
    bins = binned(events, seconds, most)
    assert len(bins.rates) <= most
    widths = np.diff(np.minimum(np.arange(len(bins.rates) + 1) * bins.width, bins.seconds))
    assert float(bins.rates @ widths) == pytest.approx(sum(size for _, _, size, _ in events), rel=1e-6, abs=1)
    for row, name in zip(bins.ended, STATUSES, strict=True):
        assert row.sum() == sum(status == name for *_, status in events)


@pytest.mark.parametrize("seconds", [0.03, 7.0, 3600.0, 9e6])
@pytest.mark.parametrize("size", [0, 3, 1 << 50])
def test_the_drawing_shows_the_bins_within_its_frame(seconds, size):
    events = [(seconds * share, seconds / 3, size, name) for share in (0.1, 0.5, 1) for name in STATUSES]
    text = draw(binned(events, seconds, 40), 360)
    drawing = ElementTree.fromstring(text)
    _, _, width, height = map(float, drawing.get("viewBox").split())
    assert width == 360
    points = re.findall(r"[ML] (-?[\d.]+) (-?[\d.]+)", " ".join(path.get("d") for path in drawing.iter(f"{SVG}path")))
    assert len(points) > 50 and all(-5 <= float(x) <= width and 0 <= float(y) <= height for x, y in points)
    words = [part.text for part in drawing.iter(f"{SVG}text")]
    assert "Read, " in " ".join(words) and "Scenes ended, in each" in " ".join(words) and words.count("0") == 3
    for name in ("read", *STATUSES):
        assert f"fill: var(--{name})" in text, name
    assert not re.search("#[0-9a-f]{6}", text), "every colour is one of the page"
    assert not {part.tag for part in drawing.iter()} & {f"{SVG}script", f"{SVG}image", f"{SVG}metadata"}


def test_a_drawing_has_the_same_bytes_each_time_whatever_the_settings_of_matplotlib():
    import matplotlib

    bins = binned([(4.0, 3.0, 70, "done"), (9.0, 1.0, 5, "failed")], 10.0, 40)
    first = draw(bins, 904)
    with matplotlib.rc_context({"svg.fonttype": "path", "font.family": "monospace", "axes.facecolor": "black"}):
        assert draw(bins, 904) == first
    ids = [set(re.findall(' id="([^"]+)"', draw(bins, width))) for width in (904, 360)]
    assert ids[0] and not ids[0] & ids[1], "both stand in one page"


def test_bytes_are_spread_over_the_time_they_took():
    bins = binned([(10.0, 4.0, 400, "done"), (3.0, 1.0, 50, "failed")], 10.0, 10)
    assert bins.width == 1
    assert bins.rates.tolist() == [0, 0, 50, 0, 0, 0, 100, 100, 100, 100]
    assert bins.ended.tolist() == [[0] * 9 + [1], [0] * 10, [0, 0, 0, 1] + [0] * 6]
    assert binned([], 10.0, 10) is None


def test_failures_are_grouped_by_what_made_them():
    place = "cannot read 's3://b/LC08_{0:03d}_T1_SR_B{1}.TIF': status "
    errors = [place.format(n, n % 3 + 2) + f"503; gave up after {n} tries" for n in range(30)]
    errors += [place.format(n, 2) + "404: there is no such object" for n in (30, 31)]
    errors += ["band ST_B10 LC08_032 failed: its worker ran out of memory (limit 2 GiB)"]
    usual = {"status": "failed", "cause": "ReadError", "ended": 1.0, "seconds": 1}
    found = findings(usual | {"id": f"LC08_{n:03d}", "error": error} for n, error in enumerate(errors))
    groups = found.causes.grouped()
    assert [group.count for group in groups] == [30, 2, 1]
    assert groups[0].pattern == "cannot read …: status 503; gave up after … tries"
    assert len(groups[0].shown) + groups[0].left == 30
    assert [failure.band for failure in groups[0].shown[:4]] == ["SR_B2", "SR_B3", "SR_B4", "SR_B2"]
    assert groups[2].shown[0].band == "ST_B10"


def test_a_message_without_a_band_names_none():
    assert band_of({"error": "cannot open 'LC08_L2SP_192028_20230714_20230724_02_T1': no such file"}) == ""
    assert band_of({"error": None}) == "" and band_of({"band": "SR_B7", "error": "band SR_B1 x"}) == "SR_B7"
    assert pattern_of({}) == "no message"


def test_of_the_scenes_that_took_longest_the_first_of_equals_are_shown():
    took = [7.0, 3.0, 7.0, 0.5, 90.0] * 11
    found = findings({"id": str(n), "status": "done", "seconds": seconds} for n, seconds in enumerate(took))
    wanted = sorted(range(len(took)), key=lambda n: (-took[n], n))[:20]
    assert [int(row.id) for row in found.slowest] == wanted
    assert not findings({"status": "skipped", "seconds": 9.0} for _ in range(3)).slowest


def test_a_scene_adds_little_to_what_a_report_keeps():
    def kept(count: int) -> int:
        usual = {"status": "failed", "cause": "ReadError", "ended": 1.0, "seconds": 1}
        tracemalloc.start()
        found = findings(
            usual | {"id": f"LC08_{n:06d}", "error": f"cannot read 's3://b/{n}': 503"} for n in range(count)
        )
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert found.counts["failed"] == count
        return size

    assert kept(9_000) - kept(2_000) < 7_000 * 40


def test_choosing_is_even():
    assert evenly(list(range(5)), 60) == [0, 1, 2, 3, 4]
    chosen = evenly(list(range(10_000)), 60)
    assert len(set(chosen)) == 60 and chosen[0] == 0 and chosen[-1] == 9999
    assert max(np.diff(chosen)) - min(np.diff(chosen)) <= 1


def test_outcomes_that_are_none_count_as_nothing():
    odd = [{}, {"status": "lost"}, {"status": "done", "ended": "x", "seconds": -1, "bytes_in": float("nan"), "href": 3}]
    found = findings(odd)
    assert found.counts.total() == 1 and found.bytes_in == 0 and not found.products
