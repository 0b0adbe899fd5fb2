"""What a user sees of plans, bands and outcomes: in a shell of Python, and in a notebook."""

from __future__ import annotations

import re

import pytest
from command import call
from IPython.core.formatters import DisplayFormatter
from shown_html import html_rows, html_words

import landsat_downsample as ld

#: A screen: lines, and columns of a line.
LINES, COLUMNS = 40, 140


def shown(value) -> tuple[str, str]:
    """Text and HTML that IPython shows of a value."""
    data, _ = DisplayFormatter().format(value, include=["text/plain", "text/html"])
    return data["text/plain"], data.get("text/html", "")


def fits(text: str) -> bool:
    lines = text.splitlines()
    return len(lines) <= LINES and max(map(len, lines)) <= COLUMNS


@pytest.fixture
def scene(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return ld.open_scene(ld.make_scene("scenes", size=(61, 47)))


@pytest.mark.parametrize("options", [{}, {"mask": "cloud", "bands": "red,qa_pixel", "stats": "mean,std"}])
def test_a_plan_shows_the_table_of_the_command_line(scene, options):
    plans = ld.plan(scene, "out", factor=7, **options)
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    said = call("plan", scene.href, "--to", "out", "--factor", 7, *words).out.splitlines()
    text, html = shown(plans)
    lines = text.splitlines()
    assert [line.split() for line in lines] == [line.split() for line in said[: len(lines)]]
    assert lines[-1].startswith(said[len(lines) - 1][:20]) and "of memory" in lines[-1]
    assert fits(text) and shown(plans[0]) == (text, html)
    heads = [number for number, line in enumerate(lines) if line.startswith("band ")]
    cells = [re.split(r"  +", line) for line in lines[heads[0] : -1]]
    assert [[cell for cell in row if cell] for row in html_rows(html)] == cells
    assert set(html_words(html)) >= {lines[0], lines[-1]}


def test_several_plans_have_a_row_each_also_where_they_are_not_open_yet(scene):
    plans = ld.plan([scene, *(f"later{n}" for n in range(30))], "out", factor=7)
    text, html = shown(plans)
    lines = text.splitlines()
    assert lines[:2] == ["31 plans", lines[1]] and lines[1].split("  ")[0] == "scene"
    assert lines[2].split()[:5] == [scene.id, "19", "7", "x", "9"]
    assert lines[3] == "later0" and "and 11 more" in lines and fits(text)
    assert [row[0] for row in html_rows(html)] == ["scene", scene.id, *(f"later{n}" for n in range(19))]
    assert shown(plans[:0]) == ("0 plans", "<div><strong>0 plans</strong></div>")


def test_bands_and_targets_fit_a_screen(scene):
    text, _ = shown(scene.bands)
    assert fits(text) and len(text.splitlines()) == len(scene.bands) == 19
    assert "<Band SR_B4 (red): uint16, 47 x 61 pixels of 30, nodata 0>" in text
    text, _ = shown(ld.plan(scene, "out", factor=7)[0].targets)
    assert (
        fits(text) and "<Target QA_PIXEL: conservative, 7 x 9 cells -> ..._QA_PIXEL.TIF, ..._QA_FRACTIONS.TIF>" in text
    )


def test_what_became_of_a_run_is_a_table(scene):
    steps = []
    plans = ld.plan([scene, *(f"no{n}" for n in range(30))], "out", factor=7, bands="red,qa_pixel")
    outcomes = ld.run(plans, report=steps.append, check=False)
    text, html = shown(outcomes)
    assert fits(text) and text.startswith("31 scenes: 1 done, 30 failed\nscene ") and len(outcomes[1:]) == 30
    assert re.search(r"\nand 11 more\ncannot open '\S*no\d+': no such file or folder\n", text)
    assert html_rows(html)[0] == ["scene", "status", "files", "read", "seconds"] and len(html_rows(html)) == 21
    (done,) = ld.run(ld.plan(scene, "other", factor=7, bands="red,qa_pixel"))
    assert repr(done).startswith(f"<Outcome {scene.id}: done, 3 files, ") and done.href in repr(done)
    for one in (*outcomes, *steps):
        assert repr(one)[0] == "<" and len(repr(one)) <= 500 and one.scene_id in repr(one)
    assert any(re.search(r": SR_B4 done, \S+ KiB read in \S+ s>", repr(step)) for step in steps)
    assert shown(ld.run([])) == ("no scenes", "<div><strong>no scenes</strong></div>")
