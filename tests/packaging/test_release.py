"""What must agree before a release: versions, dates, pinned actions, oldest dependencies."""

from __future__ import annotations

import configparser
import re
import subprocess
from pathlib import Path

import yaml
from packaging.requirements import Requirement

import landsat_downsample as ld

ROOT = Path(__file__).parents[2]


def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def test_version_stands_in_one_word_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    heading = re.search(r"^## (\S+) \((\S+)\)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    image = re.search(r"^IMAGE \?= \S+:(\S+)$", (ROOT / "Makefile").read_text(), re.M)
    assert heading and image
    assert {heading[1], image[1], citation["version"], ld.__version__} == {ld.__version__}
    assert heading[2] in ("unreleased", str(citation["date-released"]))


def test_actions_of_others_are_pinned():
    used = [
        word
        for path in (ROOT / ".github" / "workflows").glob("*.yml")
        for word in re.findall(r"uses: (\S+)", path.read_text())
    ]
    assert len(used) > 10
    assert [word for word in used if not re.fullmatch(r"(\./.*|[\w/-]+@[0-9a-f]{40})", word)] == []


def test_oldest_dependencies_are_those_that_setup_cfg_allows():
    """What `make test-oldest` installs: the lower bound of each requirement that has one."""
    extras = setup_cfg()["options.extras_require"]
    lines = setup_cfg()["options"]["install_requires"] + extras["cube"] + extras["netcdf"]
    wanted = {}
    for line in filter(None, (line.partition("#")[0].strip() for line in lines.splitlines())):
        requirement = Requirement(line)
        bounds = [one.version for one in requirement.specifier if one.operator == ">="]
        wanted |= dict.fromkeys([requirement.name], *bounds) if bounds else {}
    pinned = (ROOT / "tests" / "oldest.txt").read_text().splitlines()
    found = dict(line.split("==") for line in pinned if not line.startswith("#"))
    assert found == wanted


def test_extras_in_messages_can_be_pasted_into_zsh():
    """Where brackets without quotes are a pattern for file names."""
    wrong = r"install [\w-]+\["
    assert re.search(wrong, "pip install landsat-downsample[s3]")
    texts = {path: path.read_text() for path in (ROOT / "landsat_downsample").rglob("*.py")}
    assert [path.name for path, text in texts.items() if re.search(wrong, text)] == []


def test_every_target_of_make_is_one():
    """Its rules are read, and each that is named has one and a word in the help."""
    targets = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.M)[1].split()
    subprocess.run(["make", "--dry-run", *targets], cwd=ROOT, check=True, capture_output=True)
    shown = subprocess.run(["make", "--silent", "help"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert sorted(line.split()[0] for line in shown.splitlines()) == sorted(targets)
