"""What the Containerfile promises, read without building it."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

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


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-notebook.txt"])
def test_packages_are_pinned_by_hashes(name, stages):
    assert any("--require-hashes --requirement /src/${REQUIREMENTS}" in line for line in stages[1])
    for entry in entries(name):
        assert re.match(r"[a-z0-9-]+==[0-9][0-9a-z.]*( ;[^\\]*)?( --hash=sha256:[0-9a-f]{64})+$", entry), entry


def test_clients_take_the_versions_of_the_image():
    """Those of each Python, and a notebook's image too."""
    image = [entry.partition(" --hash")[0] for entry in entries("requirements.txt")]
    assert image == entries("constraints.txt")
    assert {one for one in image if ";" not in one} <= {
        one.partition(" --hash")[0].partition(" ;")[0] for one in entries("requirements-notebook.txt")
    }


@pytest.mark.parametrize(("name", "extras"), [("requirements.txt", "image"), ("requirements-notebook.txt", "notebook")])
def test_pins_are_of_what_setup_cfg_asks_for(name, extras):
    """Where this fails, a package was added to setup.cfg and ``make pins`` not run."""
    pinned = {entry.partition("==")[0] for entry in entries(name)}
    assert {Requirement(line).name for line in wanted(extras)} <= pinned


def entries(name: str) -> list[str]:
    """Each package of a file with its marker and hashes, in one line."""
    text = (ROOT / "k8s" / name).read_text().replace("\\\n", " ")
    return [re.sub(" +", " ", line).strip() for line in text.splitlines() if not line.startswith("#")]


def wanted(extra: str) -> Iterator[str]:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = setup["options"]["install_requires"] + setup["options.extras_require"][extra]
    for line in filter(None, lines.splitlines()):
        own = re.fullmatch(r"landsat-downsample\[(.+)\]", line)
        if own:
            for name in own[1].split(","):
                yield from wanted(name)
        elif not line.startswith("#"):
            yield line


def test_context_holds_what_is_copied_and_no_more(stages):
    copied = {
        word
        for stage in stages
        for line in stage
        if line.startswith("COPY ") and "--from" not in line
        for word in line.split()[1:-1]
    }
    kept = {line[1:] for line in (ROOT / ".containerignore").read_text().splitlines() if line.startswith("!")}
    copied = {word for word in copied if "*" not in word} | {"k8s/requirements.txt", "k8s/requirements-notebook.txt"}
    assert copied == kept
