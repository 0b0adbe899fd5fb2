"""Environment variables: one table of all that are read, which the docs and the doctor show."""

from __future__ import annotations

import ast
import json
import re
import runpy
from pathlib import Path

import pytest
from command import call

import landsat_downsample
from landsat_downsample.model.environment import read, variables
from landsat_downsample.model.policy import Policy

PACKAGE = Path(landsat_downsample.__file__).parent
DOCS = PACKAGE.parent / "docs"


def test_no_variable_is_read_past_the_table():
    past = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if path == PACKAGE / "model" / "environment.py":
            continue
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            text = ast.unparse(node) if isinstance(node, (ast.Attribute, ast.Subscript, ast.Compare, ast.Call)) else ""
            reads = re.match(r"(os\.)?(getenv\(|environ\.get\b)|.* (not )?in os\.environ$", text)
            subscript = isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load)
            if reads or (subscript and text.startswith("os.environ[")):
                past.append(f"{path.relative_to(PACKAGE)}: {text}")
    assert past == []


def test_every_variable_that_is_named_is_in_the_table():
    named = set()
    for path in [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.yaml"), *(PACKAGE.parent / "k8s").rglob("*.yaml")]:
        named |= set(re.findall(r"\bLANDSAT_DOWNSAMPLE_[A-Z]+(?:_[A-Z]+)*\b", path.read_text()))
        if path.suffix == ".py":
            named |= set(re.findall(r"\b((?:GDAL|GTIFF)_[A-Z_]+)=\S", path.read_text()))
    named.discard("GDAL_STRUCTURAL_METADATA_SIZE")  # of a TIFF's header
    assert named - set(variables()) == set()
    with pytest.raises(KeyError):
        read("LANDSAT_DOWNSAMPLE_NOTHING")


def test_defaults_are_those_of_the_code():
    policy, table = Policy(), variables()
    assert float(table["LANDSAT_DOWNSAMPLE_BUDGET"].default) == policy.budget
    assert float(table["LANDSAT_DOWNSAMPLE_TIMEOUT"].default) == policy.timeout
    assert int(table["LANDSAT_DOWNSAMPLE_REQUESTS_PER_HOST"].default) == policy.per_host


def test_the_page_is_up_to_date():
    made = runpy.run_path(str(DOCS / "make_environment.py"))
    assert made["PAGE"].read_text() == made["page"](), "python docs/make_environment.py"


def test_the_doctor_shows_them_without_secrets(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://me:word@127.0.0.1:9000")
    monkeypatch.setenv("LANDSAT_DOWNSAMPLE_BUDGET", "31")
    done = call("doctor", "--env")
    rows = {line.split()[0]: line for line in done.out.splitlines() if line.split()}
    assert set(variables()) <= set(rows)
    assert rows["LANDSAT_DOWNSAMPLE_BUDGET"].split()[-2:] == ["120", "31"] and "(set)" in rows["AWS_SECRET_ACCESS_KEY"]
    assert "127.0.0.1:9000" in rows["AWS_ENDPOINT_URL"]
    assert {json.loads(line)["name"] for line in call("doctor", "--env", "--json").out.splitlines()} == set(variables())
    assert "very-secret" not in done.out and "word" not in rows["AWS_ENDPOINT_URL"]
