"""What the Containerfile promises, read without building it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def stages() -> list[list[str]]:
    """Instructions of each stage; what comes before the first is left out."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Containerfile").read_text(), flags=re.M).replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip()]
    starts = [k for k, line in enumerate(lines) if line.startswith("FROM ")]
    return [lines[a:b] for a, b in zip(starts, [*starts[1:], None], strict=True)]


def test_every_stage_starts_from_the_one_base(stages):
    assert len(stages) == 3
    assert all(stage[0].split()[1] == "${BASE_IMAGE}" for stage in stages)
    assert "ARG BASE_IMAGE=docker.io/library/python:3.12-slim" in (ROOT / "Containerfile").read_text().splitlines()


def test_last_stage_runs_as_a_plain_user_and_by_plain_commands(stages):
    last = stages[-1]
    assert [line for line in last if line.startswith("USER ")] == ["USER 1001:0"]
    assert last.index("USER 1001:0") > max(k for k, line in enumerate(last) if line.startswith("RUN "))
    assert not [line for stage in stages for line in stage if line.startswith("ENTRYPOINT")]


def test_compiler_stays_in_its_stage(stages):
    assert [any("gcc" in line for line in stage) for stage in stages] == [True, False, False]


def test_packages_are_pinned(stages):
    text = "\n".join(stages[1])
    for name in ("constraints.txt", "constraints-notebook.txt"):
        assert f"--constraint {name}" in text
        lines = [line for line in (ROOT / "k8s" / name).read_text().splitlines() if not line.startswith("#")]
        assert all(
            re.match(r"[a-z0-9-]+==[0-9][0-9a-z.]*(; python_version [<>=]+ \"3\.\d+\")?$", line) for line in lines
        )


def test_pins_do_not_contradict():
    pins: dict[str, str] = {}
    for name in ("constraints.txt", "constraints-notebook.txt"):
        for line in (ROOT / "k8s" / name).read_text().splitlines():
            if "==" in line and ";" not in line:
                package, _, version = line.partition("==")
                assert pins.setdefault(package, version) == version


def test_context_holds_what_is_copied_and_no_more(stages):
    copied = {
        word
        for stage in stages
        for line in stage
        if line.startswith("COPY ") and "--from" not in line
        for word in line.split()[1:-1]
    }
    kept = {line[1:] for line in (ROOT / ".containerignore").read_text().splitlines() if line.startswith("!")}
    tops = {word.replace("constraints*.txt", "constraints.txt") for word in copied} - {"landsat_downsample/__init__.py"}
    assert tops <= kept
    assert kept - tops == {"k8s/constraints-notebook.txt"}
