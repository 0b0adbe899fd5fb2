"""The command line as newcomers and scripts meet it: help, streams, exit codes, every form of every sensor."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from command import call, command, holds, spawn, write_tif

import landsat_downsample as ld

VERBS = ("run", "plan", "info", "verify", "status", "report", "cube", "catalogue", "doctor", "grids", "clusters")
VERBS += ("make-scene", "demo")
FACTOR = ("--factor", 4)


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Path:
    bands = ["SR_B2", "SR_B3", "SR_B4", "QA_PIXEL"]
    return ld.make_scene(tmp_path_factory.mktemp("scenes"), size=(131, 117), bands=bands)


# Help ------------------------------------------------------------------------------------------


def test_the_help_lists_the_verbs_and_an_example():
    result = call("--help")
    assert result.code == 0 and result.err == ""
    assert all(f"    {verb}" in result.out for verb in VERBS)
    assert "landsat-downsample run SCENE --to out" in result.out and "exit codes" in result.out


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_explains_itself(verb):
    result = call(verb, "--help")
    assert result.code == 0 and result.err == ""
    assert f"usage: landsat-downsample {verb}" in result.out
    options = re.findall(r"^  (-.*|[A-Z]+)$", result.out, re.MULTILINE)
    assert all(len(line) <= 100 for line in result.out.splitlines()), options
    assert not re.search(r"^  --?\S+(?: \S+)?$\n(?!  {10})", result.out, re.MULTILINE)  # every option has a help


def test_help_is_cheap():
    code = (
        "import sys; from landsat_downsample.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'rasterio', 'fsspec', 'rich', 'xarray', 'dask', 'matplotlib'} & set(sys.modules)\n"
        "print(sorted(heavy), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_the_version_is_printed():
    assert call("--version").out == f"landsat-downsample {ld.__version__}\n"


@pytest.mark.parametrize("argv", [[], ["fly"], ["run"], ["info"], ["info", "a", "b"], ["plan", "a"]])
def test_wrong_usage_is_one_line_that_points_to_the_help(argv):
    result = call(*argv)
    assert result.code == 2 and result.out == ""
    assert len(result.lines) == 1 and "--help" in result.err


# Streams ---------------------------------------------------------------------------------------


def test_stdout_has_one_json_line_for_each_product(scene, tmp_path):
    single = scene / f"{scene.name}_SR_B4.TIF"
    result = call("run", scene, single, "--to", tmp_path, *FACTOR)
    assert result.code == 0
    records = [json.loads(line) for line in result.out.splitlines()]
    assert {record["id"] for record in records} == {scene.name, single.stem}
    for record in records:
        assert list(record) == ["id", "status", "href", "files", "bytes_in", "requests", "peak_memory", "seconds"]
        assert record["status"] == "done" and record["bytes_in"] > 0
        assert record["href"] == str(tmp_path / f"{record['id']}_downsampled" / f"{record['id']}_downsampled.stac.json")
        assert len(list(Path(record["href"]).parent.glob("*.TIF"))) == record["files"]


def test_progress_is_plain_lines_on_stderr_when_it_is_no_terminal(scene, tmp_path):
    result = call("run", scene, "--to", tmp_path, *FACTOR)
    stamp, of = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO landsat-downsample: ", rf"of {scene.name} in \d+\.\d s"
    assert all(re.match(rf"{stamp}\S+ {of}; [1-4]/4 bands, ", line) for line in result.lines[:4])
    assert re.match(rf"{stamp}{scene.name} done in \d+\.\d s; 4/4 bands, ", result.lines[4])
    assert len(result.lines) == 5
    assert "\x1b" not in result.err


def test_quiet_says_nothing_but_errors(scene, tmp_path):
    result = call("run", scene, "--to", tmp_path, *FACTOR, "-q")
    assert result.code == 0 and result.err == ""


def on_a_terminal(*argv: object) -> tuple[int, str]:
    """Exit code and screen of a command whose streams are a terminal."""
    leader, follower = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "150"}
    process = subprocess.Popen(command(*argv), stdin=follower, stdout=follower, stderr=follower, env=environment)
    os.close(follower)
    screen = b""
    try:
        while chunk := os.read(leader, 65536):
            screen += chunk
    except OSError:  # Linux says so when the other end has closed
        pass
    os.close(leader)
    return process.wait(), screen.decode()


def test_a_terminal_gets_a_live_display_and_a_table(scene, tmp_path):
    code, screen = on_a_terminal("run", scene, "--to", tmp_path, *FACTOR)
    assert code == 0
    assert "\x1b[" in screen and "4/4 bands" in screen
    assert "status" in screen and "done" in screen
    assert f"{tmp_path}/{scene.name}_downsampled/{scene.name}_downsampled.stac.json" in screen.replace("\r\n", "")
    assert '"href"' not in screen


def test_a_terminal_that_is_asked_for_quiet_gets_the_table_only(scene, tmp_path):
    code, screen = on_a_terminal("run", scene, "--to", tmp_path, *FACTOR, "-q")
    assert code == 0 and "bands" not in screen and "done" in screen


def test_a_reader_that_goes_away_does_not_stop_the_work(scene, tmp_path):
    single = [scene / f"{scene.name}_{band}.TIF" for band in ("SR_B2", "SR_B3", "SR_B4")]
    process = spawn("run", *single, "--to", tmp_path, *FACTOR, "-q")
    process.stdout.close()
    assert process.wait() == 0 and process.stderr.read() == ""
    process.stderr.close()
    assert len(list(tmp_path.glob("*_downsampled/*.stac.json"))) == 3


@pytest.mark.parametrize("verb", [["info"], ["plan", *FACTOR]])
def test_a_full_stdout_is_one_line(verb, scene):
    with open("/dev/full", "w") as full:
        process = spawn(*verb, scene, stdout=full)
        _, err = process.communicate()
    assert process.returncode == 1 and "Traceback" not in err
    assert len(err.splitlines()) == 1 and "no space left" in err


# Exit codes ------------------------------------------------------------------------------------


def test_exit_codes(scene, tmp_path):
    nothing, single = tmp_path / "nothing", scene / f"{scene.name}_SR_B2.TIF"
    to = ("--to", tmp_path / "out", *FACTOR, "-q")
    assert call("run", single, *to).code == 0
    assert call("run", single, *to).code == 0  # skipped is done
    assert call("run", single, nothing, *to).code == 3
    assert call("run", nothing, *to).code == 1
    assert call("run", nothing, tmp_path / "nothing-else", *to).code == 1
    assert call("run", single, "", *to).code == 2
    assert call("run", single, *to, "--bands", "pan").code == 2
    assert call("plan", scene, nothing, *FACTOR).code == 3
    assert call("info", nothing).code == 1


def test_the_module_is_the_command(scene):
    words = [sys.executable, "-m", "landsat_downsample", "info", str(scene), "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["id"] == scene.name and done.stderr == ""


# Every sensor in every form --------------------------------------------------------------------

SENSORS = [("oli", 1), ("oli", 2), ("etm", 1), ("etm", 2), ("tm", 1), ("tm", 2), ("mss", 1), ("mss123", 1)]


def test_a_profiler_gets_to_its_end(scene):
    words = [sys.executable, "-m", "cProfile", "-m", "landsat_downsample", "plan", scene, "--factor", "3"]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=True)
    assert "function calls" in done.stdout and "plan_scene" in done.stdout


@pytest.mark.parametrize(("sensor", "level"), SENSORS)
def test_every_sensor_from_end_to_end(sensor, level, tmp_path):
    made = call("make-scene", tmp_path, "--sensor", sensor, "--level", level, "--size", "67,61", "--southern")
    assert made.code == 0, made.err
    folder = Path(made.out.strip())
    reported = call("info", folder)
    assert reported.code == 0 and folder.name in reported.out and f"level {level}" in reported.out
    planned = call("plan", folder, *FACTOR)
    width = 18 if sensor.startswith("mss") else 17  # edges of 60 m pixels lie 15 m off those of the cells
    assert planned.code == 0 and f"16 x {width} cells" in planned.out
    result = call("run", folder, "--to", tmp_path / "out", *FACTOR)
    assert result.code == 0, result.err
    product = Path(json.loads(result.out)["href"]).parent
    names = {path.name.removeprefix(folder.name) for path in folder.glob("*.TIF")} | {"_QA_FRACTIONS.TIF"}
    assert {path.name.removeprefix(folder.name) for path in product.glob("*.TIF")} == names
    assert sum(name in planned.out for name in names) == len(names)
    assert len(list(product.glob("*_MTL.*"))) == len(list(folder.glob("*_MTL.*")))
    checked = call("verify", product, "--source", folder, "--blocks", 2)
    assert checked.code == 0, checked.err


def test_mss_has_no_level_2(tmp_path):
    result = call("make-scene", tmp_path, "--sensor", "mss", "--level", 2)
    assert result.code == 2 and len(result.lines) == 1
    assert call("make-scene", tmp_path, "--sensor", "mss", "--size", "61,57", "--bands", "B1,QA_PIXEL").code == 0


def test_several_dates_and_rows_are_made_at_once(tmp_path):
    made = call("make-scene", tmp_path, "--dates", 2, "--rows", 2, "--size", "61,57", "--bands", "SR_B4,QA_PIXEL")
    assert made.code == 0, made.err
    folders = [Path(line) for line in made.out.splitlines()]
    assert sorted(folders) == sorted(tmp_path.iterdir()) and len(folders) == 4
    refused = call("make-scene", tmp_path / "none", "--paths", 9, "--size", "61,57")
    assert refused.code == 2 and len(refused.lines) == 1 and "paths 9" in refused.err


def forms(scene: Path, place: Path) -> dict[str, Path]:
    """The same scene in every form that a newcomer has it in."""
    name = scene.name
    top, deep = place / "top.tar", place / "deep.tar"
    with tarfile.open(top, "w") as tar:
        for path in sorted(scene.iterdir()):
            tar.add(path, path.name)
    with tarfile.open(deep, "w") as tar:
        tar.add(scene, name)
    found = {kind: scene / f"{name}_MTL.{kind}" for kind in ("txt", "json", "xml")}
    return {"folder": scene, "top": top, "deep": deep, "item": scene / f"{name}_SR_stac.json"} | found


def test_every_form_is_understood(scene, tmp_path):
    for form, href in forms(scene, tmp_path).items():
        assert json.loads(call("info", href, "--json").out)["id"] == scene.name, form
        result = call("run", href, "--to", tmp_path / form, *FACTOR, "-q")
        assert result.code == 0, result.err
        assert holds(tmp_path / form) == [f"{scene.name}_downsampled"], form


@pytest.mark.parametrize("band", ["SR_B4", "QA_PIXEL"])
def test_a_single_file_is_a_product_of_its_own(band, scene, tmp_path):
    stem = f"{scene.name}_{band}"
    assert call("run", scene / f"{stem}.TIF", "--to", tmp_path, *FACTOR, "-q").code == 0
    endings = [".TIF", ".browse.png", ".met.json", ".stac.json"]
    assert holds(tmp_path / f"{stem}_downsampled") == [f"{stem}_downsampled{ending}" for ending in endings]


def test_a_file_of_any_name_will_do(tmp_path):
    path = write_tif(tmp_path / "cog.tif")
    assert call("run", path, "--to", tmp_path / "out", "--size", "5,0", "-q").code == 0
    assert holds(tmp_path / "out" / "cog_downsampled")[0] == "cog_downsampled.TIF"


# Plans -----------------------------------------------------------------------------------------


def test_a_plan_touches_nothing(scene, tmp_path):
    result = call("plan", scene, *FACTOR, "--to", tmp_path / "out", "--mask", "cloud", "--bands", "red,QA_FRACTIONS")
    assert result.code == 0 and result.err == ""
    assert "SR_B4" in result.out and "mean, masked" in result.out and "QA_FRACTIONS" in result.out
    assert "SR_B3" not in result.out and "cloud" in result.out
    assert not (tmp_path / "out").exists()


def test_a_plan_in_json_is_one_line_for_each_scene(scene):
    single = scene / f"{scene.name}_SR_B4.TIF"
    lines = call("plan", scene, single, *FACTOR, "--json").out.splitlines()
    first, second = (json.loads(line) for line in lines)
    assert (first["name"], second["name"]) == (f"{scene.name}_downsampled", f"{single.stem}_downsampled")
    assert first["estimate"]["shape"] == [30, 33] and len(first["targets"]) == 4


def test_in_a_pipe_nothing_is_cut(scene):
    out = call("plan", scene, *FACTOR, "--to", "a/" * 200).out
    assert "…" not in out and f"{'a/' * 200}" in out
