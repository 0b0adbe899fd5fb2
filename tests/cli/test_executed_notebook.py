"""What is taken out of an executed notebook, and what must stay."""

from __future__ import annotations

import base64
import json
import os
import sys

import pytest
from command import spawn
from fault_proxy import FileServer
from staging_cases import served, small

from landsat_downsample.cli import executed_notebook
from landsat_downsample.cli.executed_notebook import cleaned
from landsat_downsample.errors import UsageError

CANARY = "c4n4ry0123456789"

GONE = {
    "a path with a space": ("cannot read '/data/my scenes/LC08_X/B4.TIF'", "cannot read 'LC08_X/B4.TIF'"),
    "a path": ("see /srv/of/somebody/B4.TIF: damaged", "see B4.TIF: damaged"),
    "a path after an equals sign": ("to=/srv/of/somebody/out", "to=out"),
    "a file URL": ("file:///srv/of/somebody/B4.TIF", "B4.TIF"),
    "a home": ("~/of/somebody/B4.TIF", "B4.TIF"),
    "a coloured path": ("File \x1b[32m/srv/of/x.py:7\x1b[39m, in f", "File x.py:7, in f"),
    "a package": ("/opt/x/lib/python3.12/site-packages/xarray/core/a.py", "xarray/core/a.py"),
    "a signature": (f"read https://host/a/B4.TIF?sig={CANARY}, and", "read https://host/a/B4.TIF, and"),
    "a password": (f"https://me:{CANARY}@host/a/B4.TIF", "https://host/a/B4.TIF"),
    "a secret": (f"key {CANARY}!", "key ***!"),
}
STAYS = [
    "https://host/a/b/c.json",
    "s3://bucket/a/b",
    "../a/b/c",
    "./a/b/c",
    "a/b/c",
    "and/or",
    "1 / 2",
    "<b>x</b></td></tr>",
]
STAYS += ["text/html", "km/h/s", base64.b64encode(os.urandom(3000)).decode()]


@pytest.fixture(autouse=True)
def secret(monkeypatch):
    monkeypatch.setenv("SOME_TOKEN", CANARY)


@pytest.mark.parametrize("case", GONE)
def test_what_is_of_this_machine_is_gone(case):
    before, after = GONE[case]
    book = {"cells": [{"source": before, "outputs": [{"text": [before]}]}], "metadata": {"papermill": {"x": before}}}
    made = cleaned(book, "/data/my scenes/LC08_X")
    assert made == json.loads(json.dumps(book).replace(json.dumps(before), json.dumps(after)))


@pytest.mark.parametrize("text", STAYS)
def test_what_is_of_no_machine_stays(text):
    assert cleaned({"text": text}, "/data/LC08_X") == {"text": text}


def test_pictures_are_left_alone():
    picture = {"image/png": f"/of/somebody/{CANARY}/x", "text/plain": "/of/somebody/x"}
    assert cleaned(picture, "/data/LC08_X") == picture | {"text/plain": "x"}


def test_without_papermill_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "papermill", None)
    with pytest.raises(UsageError, match=r"pip install 'landsat-downsample\[notebook\]'"):
        executed_notebook.execute({"source": "x"}, str(tmp_path / "out.ipynb"))


@pytest.mark.slow
def test_a_signed_source(tmp_path):
    scene = small(tmp_path / "s")
    out = tmp_path / "out.ipynb"
    with FileServer(served(scene)) as server:
        href = f"{server.endpoint}/scene/{scene.name}_MTL.json?sig={CANARY}&se=2030"
        process = spawn("notebook", href, "--to", tmp_path / "made", "--factor", 10, "--output", out)
        said, log = process.communicate(timeout=200)
    assert process.returncode == 0 and said.strip() == str(out), log
    text = out.read_text()
    assert CANARY not in text and "se=2030" not in text and f"/scene/{scene.name}_MTL.json" in text
    assert str(tmp_path) not in text
    assert (tmp_path / "made" / f"{scene.name}_downsampled" / f"{scene.name}_downsampled.stac.json").is_file()
