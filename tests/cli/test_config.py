"""Options from a TOML file: as if they stood on the command line, which comes first."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import pytest
from command import call

import landsat_downsample as ld
from landsat_downsample.cli.arguments import word_of
from landsat_downsample.cli.config import parse
from landsat_downsample.cli.main import make_parser

DOCS = Path(ld.__file__).parents[1] / "docs"
ID = "LC08_L2SP_192028_20230714_20230724_02_T1"


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return ld.make_scene(tmp_path_factory.mktemp("scenes"), size=(600, 500), bands=["SR_B4", "SR_B5", "QA_PIXEL"])


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(text: str) -> None:
    Path("run.toml").write_text(text, encoding="utf-8")


def parsed(*argv: str):
    """What a command line with the file comes to."""
    words = [*argv, "--config", "run.toml"]
    return parse(make_parser(words), make_parser(), words, "run.toml", argparse.Namespace())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("to = 'o'\nfactor = 10", ["--to", "o", "--factor", "10"]),
        ("to = 'o'\nfactor = 2.5\nmin_valid = 1", ["--to", "o", "--factor", "2.5", "--min-valid", "1"]),
        ("to = 'o'\nresolution = 300\nmin-valid = 0.5", ["--to", "o", "--resolution", "300", "--min-valid", "0.5"]),
        ("to = 'o'\nsize = [100, 0]", ["--to", "o", "--size", "100,0"]),
        ("to = 'o'\nsize = '100,0'\ntiles = true", ["--to", "o", "--size", "100,0", "--tiles"]),
        ("to = 'o'\ntiles = false\nquiet = true", ["--to", "o", "-q"]),
        ("to = 'o'\nbands = ['red', 'B5']\nmask = 'cloud'", ["--to", "o", "--bands", "red,B5", "--mask", "cloud"]),
        ("to = 'o'\nbounds = [-1, 2.5, 3, 4e3]", ["--to", "o", "--bounds", "-1,2.5,3,4e3"]),
        ("to = 'o'\nmethod = {red = 'min', B5 = 'rms'}", ["--to", "o", "--method", "red=min", "--method", "B5=rms"]),
        ("to = 'o'\nmethod = ['red=min']\nallow-host = 'x'", ["--to", "o", "--method", "red=min", "--allow-host", "x"]),
        ("to = 'o'\nsources = ['a', 'b']", ["a", "b", "--to", "o"]),
        ("to = 'o'\nsources = 'a'\npart = '3/10'", ["a", "--to", "o", "--part", "3/10"]),
        ("to = 'o'\nstac = 'h'\ndatetime = 2023-07-14", ["--to", "o", "--stac", "h", "--datetime", "2023-07-14"]),
        ("to = 'o'\nscenes = 7\nprice = {core-hour = 1}", ["--to", "o"]),  # of plan: passed over
    ],
)  # fmt: skip
def test_a_file_is_a_command_line(here, text, words):
    write(text)
    asked = vars(make_parser(["run"]).parse_args(["run", *words]))
    assert vars(parsed("run")) == asked | {"config": "run.toml"}


@pytest.mark.parametrize(
    ("text", "words", "kept"),
    [
        ("factor = 10\nqa = 'mode'", ["--factor", "7", "--qa", "conservative"], {"factor": 7, "qa": "conservative"}),
        ("factor = 10", ["--size", "100,0"], {"factor": None, "size": (100, 0)}),
        ("factor = 10", ["--grid", "modis:500m"], {"factor": None, "grid": "modis:500m"}),
        ("factor = 10", ["--grid", "scene"], {"factor": 10, "grid": "scene"}),
        ("grid = 'modis:500m'", ["--factor", "7"], {"factor": 7, "grid": None}),
        ("factor = 10\ngrid = 'scene'", ["--factor", "7"], {"factor": 7, "grid": "scene"}),
        ("sources = ['a']", ["b"], {"sources": ["b"]}),
        ("sources = ['a']", ["--retry-failed", "out"], {"sources": [], "retry_failed": "out"}),
        ("stac = 'https://x'\ntier = 'T1'", ["b"], {"stac": None, "tier": None, "sources": ["b"]}),
        ("stac = 'https://x'\ntier = 'T1'", ["--tier", "T2"], {"stac": "https://x", "tier": "T2"}),
        ("method = {red = 'median'}", ["--method", "red=min"], {"method": [("red", "min")]}),
        (
            "overwrite = true\nquiet = true\ntiles = true",
            ["--no-overwrite", "--no-quiet"],
            {"overwrite": False, "quiet": False, "tiles": True},
        ),
        ("to = 'there'", ["--to", "here"], {"to": "here"}),
    ],
)
def test_the_command_line_comes_first(here, text, words, kept):
    write(text if "to =" in text else f"to = 'out'\n{text}")
    assert {key: value for key, value in vars(parsed("run", *words)).items() if key in kept} == kept


def test_a_flag_that_says_no_is_taken_back_too(here):
    write("no-shards = true")
    assert parsed("cube", "a", "--to", "b").no_shards
    assert not parsed("cube", "a", "--to", "b", "--shards").no_shards


WRONG = {
    "facter = 10": "run.toml: there is no option facter (did you mean factor?)",
    "min_vald = 1": "there is no option min_vald (did you mean min_valid?)",
    "factor = '10'": "factor = '10' is no number: give one, without quotes",
    "factor = true": "factor = True is no number",
    "factor = [1, 2]": "factor = [1, 2] is no number",
    "grid = 500": "grid = 500 is no text: give one, in quotes",
    "to = ['a', 'b']": "to = ['a', 'b'] is no text",
    "tiles = 'yes'": "tiles = 'yes' is neither true nor false",
    "tier = 'T9'": "tier: 'T9' is none of T1, T2, RT",
    "bounds = [1, 2, 3]": "bounds: '1,2,3' is not LEFT,BOTTOM,RIGHT,TOP",
    "bands = [['red']]": "bands = [['red']]: give a list of names or numbers",
    "bands = {red = 1}": "bands = {'red': 1} is no text",
    "method = {red = ''}": "method: 'red=' is not BAND=METHOD",
    "method = ['red']": "method: 'red' is not BAND=METHOD",
    "part = '11/10'": "part: ",
    "workers = 1.5": "workers: '1.5' is not a whole number of at least 1",
    "min-valid = 1\nmin_valid = 1": "min_valid is there twice",
    "aws_secret_access_key = 'x'": "aws_secret_access_key: no secrets in a file of options",
    "config = 'other.toml'": "there is no option config",
    "factor = ": "run.toml: is not TOML: invalid value (at",
    "[run]\nfactor = 10": "run is a table: options stand at the top",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_told_in_a_line(here, text):
    write(text)
    result = call("run", "scene", "--config", "run.toml")
    assert result.code == 2 and result.out == "" and len(result.lines) == 1, result.err
    assert result.err.startswith("landsat-downsample run: run.toml: ") and WRONG[text] in result.err
    assert "see landsat-downsample run --help" in result.err


def test_a_file_that_cannot_be_read_is_told(here):
    assert "run.toml: cannot be read: no such file or directory" in call("run", "--config", "run.toml").err
    Path("run.toml").write_bytes(b"to = '\xff'")
    assert "run.toml: is not UTF-8" in call("run", "--config=run.toml").err
    assert "cannot be read: is a directory" in call("run", "--config", ".").err
    assert "expected one argument" in call("run", "--config").err


def test_the_last_file_on_the_command_line_counts_and_none_after_its_end():
    assert word_of(["run", "--config", "a", "--config=b"], "--config") == "b"
    assert word_of(["run", "--", "--config", "a"], "--config") is None


def test_the_example_of_the_docs_plans_runs_and_records(here, scene):
    shutil.copytree(scene, here / "scenes" / ID)
    shutil.copy(DOCS / "run.toml", here)
    plan = call("plan", "--config", "run.toml", "--json")
    assert plan.code == 0, plan.err
    options = json.loads(plan.out)["options"]
    assert (options["factor"], options["mask"], options["min_valid"]) == (10, ["cloud", "shadow"], 0.5)
    done = call("run", "--config", "run.toml", "--factor", "20", "--bands", "red", "-q")
    assert done.code == 0, done.err
    (item,) = (here / "out").glob("*/*.stac.json")
    assert Path(json.loads(done.out)["href"]) == item
    doctor = call("doctor", "--config", "run.toml", f"scenes/{ID}")
    assert "destination: out" in doctor.out or str(here / "out") in doctor.out, doctor.out


def test_every_option_of_the_example_is_one(here):
    """Commented ones too: each line with an equals sign, its comment sign taken away."""
    lines = [line.removeprefix("# ") for line in (DOCS / "run.toml").read_text().splitlines()]
    keys = [line.partition(" = ")[0] for line in lines if " = " in line and " " not in line.partition(" = ")[0]]
    write("\n".join(line for line in lines if line.partition(" = ")[0] in keys and not line.startswith("sources")))
    arguments = parsed("run")
    assert len(keys) > 15 and arguments.stac and arguments.method == [("ST_QA", "rms")]
    assert parsed("plan").price == [("egress_gb", 0.09)]


def test_what_a_verb_must_have_may_stand_in_the_file(here, scene):
    write(f"source = '{scene}'\nhref = '{scene}'\nto = 'staged'")
    assert call("info", "--config", "run.toml").out.startswith(ID)
    assert call("stage-in", "--config", "run.toml").out.endswith(f"staged/{ID}/catalog.json\n")
    assert "cannot open" in call("info", "nowhere", "--config", "run.toml").err
    write("factor = 10")
    assert "arguments are required: SOURCE" in call("info", "--config", "run.toml").err


def test_json_lines_can_be_asked_for_in_a_file(here, scene):
    write("to = 'out'\nfactor = 10\nlog-format = 'json'\nbands = ['red']")
    result = call("run", scene, "--config", "run.toml")
    assert result.code == 0 and all(json.loads(line) for line in result.lines)
