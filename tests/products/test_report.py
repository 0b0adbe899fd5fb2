"""The report of a verification: false where anything is wrong, and what it shows."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import pytest
from shown_html import html_rows

import landsat_downsample as ld


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    scene = ld.open_scene(ld.make_scene(folder, size=(61, 47), bands=["SR_B4", "QA_PIXEL"]))
    (plan,) = ld.plan(scene, folder / "out", factor=7)
    ld.run(plan)
    return scene, folder / "out" / plan.name


@pytest.fixture
def damaged(made, tmp_path):
    product = Path(shutil.copytree(made[1], tmp_path / made[1].name))
    with next(product.glob("*_SR_B4.TIF")).open("ab") as file:
        file.write(b"<b>")
    return product


def test_a_report_is_true_where_nothing_is_wrong(made):
    scene, product = made
    report = ld.verify(product, source=scene, blocks=5, check=True)
    assert report and report == ld.verify(str(product), source=Path(scene.href), blocks=5)
    lines = repr(report).splitlines()
    assert lines[0] == f"<Report {product}: nothing wrong>"
    assert "  checked  SR_B4: 5 cells recomputed, all equal (mean)" in lines
    assert html_rows(report._repr_html_()) == [["checked", line] for line in report.checked]


def test_a_report_is_false_where_anything_is_wrong(made, damaged):
    report = ld.verify(damaged, source=made[0])
    assert not report and len(report.wrong) == 2
    assert repr(report).startswith(f"<Report {damaged}: 2 wrong>\n  wrong    file '")
    assert html_rows(report._repr_html_())[:2] == [["wrong", line] for line in report.wrong]


def test_check_raises_with_the_report(damaged):
    with pytest.raises(ld.VerifyError, match=r"is not right: file 'LC08.*SR_B4.TIF' is not the one") as caught:
        ld.verify(damaged, check=True)
    assert isinstance(caught.value, ld.ReadError)
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.report == caught.value.report == ld.verify(damaged) and str(again) == str(caught.value)


def test_a_long_report_fits_a_screen_and_shows_no_secret():
    report = ld.Report("out", checked=[f"band {n} is <right>" for n in range(99)], wrong=["https://me:pw@host/a.TIF"])
    lines = repr(report).splitlines()
    assert len(lines) < 40 and lines[-1] == "  and 69 more checked" and lines[1] == "  wrong    https://host/a.TIF"
    assert html_rows(report._repr_html_())[1] == ["checked", "band 0 is <right>"]
    assert "<right>" not in report._repr_html_() and "pw" not in report._repr_html_()
