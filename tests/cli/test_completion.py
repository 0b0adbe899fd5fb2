"""Completion in real shells, by the script that the command prints."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

COMMAND = Path(sys.executable).with_name("landsat-downsample")


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scripts")
    for shell in ("bash", "zsh", "tcsh"):
        done = subprocess.run([COMMAND, "completion", shell], capture_output=True, text=True, check=True)
        (folder / ("_landsat-downsample" if shell == "zsh" else shell)).write_text(done.stdout)
    return folder


@pytest.fixture
def here(tmp_path):
    (tmp_path / "scenes").mkdir()
    (tmp_path / "scenes" / "LC08_scene.tar").touch()
    return tmp_path


@pytest.fixture
def bash(scripts, here):
    """An interactive bash; what it has at the prompt after a key comes back."""
    shell = pexpect.spawn("bash", ["--norc", "--noprofile", "-i"], cwd=here, encoding="utf-8", dimensions=(50, 300))
    setup = (
        "bind 'set enable-bracketed-paste off'; bind 'set completion-query-items 0'; bind 'set page-completions off'"
    )
    shell.sendline(f"PS1='READY> '; {setup}; source {scripts / 'bash'}; echo LOADED''")
    shell.expect("LOADED\r\nREADY> ")
    yield lambda line: pressed(shell, line)
    shell.close(force=True)


def pressed(shell: pexpect.spawn, line: str) -> str:
    """What stands at the prompt after TAB, twice where there are several words for it; above it those words."""
    shell.send(f"{line}\t\t\x01: \x05 #END\r")  # as a comment, so that nothing is run
    shell.expect(r"#END[^\n]*\r\nREADY> ")
    return re.sub(r"\x1b\[[\d;?]*[a-zA-Z]|[\x07\x08]", "", shell.before)


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("landsat-downsample ru", "run"),
        ("landsat-downsample run scenes/LC", "LC08_scene.tar"),
        ("landsat-downsample run scenes/LC08_scene.tar --fact", "--factor"),
        ("landsat-downsample clusters cl", "clean"),
        ("landsat-downsample plan x --grid modis:5", "modis:500m"),
        ("landsat-downsample run x --qa maj", "majority"),
        ("landsat-downsample run x --mask cloud_", "cloud_shadow"),
        ("landsat-downsample run x --bands nir", "nir08"),
        ("landsat-downsample run x --method SR_B4=med", "SR_B4=median"),
        ("landsat-downsample run x --cluster kub", "kubernetes"),
        ("landsat-downsample run x --units sc", "scaled"),
        ("landsat-downsample cube x --format netc", "netcdf"),
        ("landsat-downsample make-scene d --sensor mss1", "mss123"),
    ],
)
def test_bash_completes(bash, line, word):
    assert word in bash(line), bash(line)


def test_bash_lists_what_there_is(bash):
    shown = bash("landsat-downsample plan x --grid mod\t")
    assert {"250m", "500m", "1km"} <= set(shown.split())  # what comes after the colon


def test_each_verb_and_option_is_in_each_script(scripts):
    from landsat_downsample.cli.main import make_parser
    from landsat_downsample.cli.verbs.completion import _actions

    words = {word for action in _actions(make_parser()) for word in [*action.option_strings, *(action.choices or [])]}
    for script in scripts.iterdir():
        text = script.read_text().replace("\\:", ":")
        assert {word for word in map(str, words) if word.lstrip("-") not in text} == set(), script.name


@pytest.mark.parametrize("shell", ["zsh", "tcsh"])
def test_other_shells_take_their_scripts(scripts, here, shell):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    if shell == "tcsh":
        done = subprocess.run(
            [shell, "-f", "-c", f"source {scripts / 'tcsh'}; complete"], check=False, capture_output=True, text=True
        )
        assert done.returncode == 0 and "landsat-downsample" in done.stdout, done.stderr
        return
    zsh = pexpect.spawn("zsh", ["-f", "-i"], cwd=here, encoding="utf-8", dimensions=(50, 300))
    zsh.sendline(f"PS1='READY> '; fpath=({scripts} $fpath); autoload -Uz compinit && compinit -D; echo LOADED''")
    zsh.expect("LOADED")
    for line, word in (
        ("landsat-downsample ru", "sample run"),
        ("landsat-downsample plan x --grid modis:5", "modis:500m"),
    ):
        zsh.send(f"{line}\t")
        zsh.expect(word)
        zsh.send("\x15")
    zsh.close(force=True)
