"""`clusters` where there is no Kubernetes: help, usage, and one clear line."""

from __future__ import annotations

import sys

import pytest
from command import call
from test_display import on_a_terminal, plain_text


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("words", [(), ("prune",), ("list", "--yes"), ("clean", "now")])
def test_wrong_usage_is_one_line(words):
    result = call("clusters", *words)
    assert result.code == 2 and len(result.lines) == 1 and "--help" in result.err


@pytest.mark.parametrize("words", [("list",), ("clean",), ("clean", "--yes", "--all")])
def test_without_a_cluster_it_is_one_line(words):
    result = call("clusters", *words)
    assert result.code != 0 and result.out == ""
    assert len(result.lines) == 1 and "kubernetes" in result.err.lower()


def test_help_says_what_is_touched():
    result = call("clusters", "--help")
    assert result.code == 0 and "app.kubernetes.io/managed-by=landsat-downsample" in result.out
    assert "--all" in call("clusters", "clean", "--help").out


_SHOWN = """\
from landsat_downsample.cli.verbs.clusters import _record, _show
from landsat_downsample.execution.kubernetes import Made
made = Made("ld-1a2b3c4d", "science", "1a2b3c4d", "ada", "Running", 3, age=7500.0, silent=700.0)
_show([_record(made)], "nothing")
_show([], "no cluster of a run was found")
"""


def test_a_terminal_gets_a_table():
    code, screen, _ = on_a_terminal([sys.executable, "-c", _SHOWN], columns=110)
    head, row, nothing = plain_text(screen.replace("\r\n", "\n"))[:3]
    assert code == 0
    assert head.split() == ["name", "namespace", "run", "owner", "state", "phase", "workers", "age", "silent"]
    assert row.split()[:7] == ["ld-1a2b3c4d", "science", "1a2b3c4d", "ada", "orphan", "Running", "3"]
    assert "2 h 05 min" in row and "11 min 40 s" in row
    assert nothing == "no cluster of a run was found"
