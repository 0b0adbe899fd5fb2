"""What is told of a run while it goes on: counts, rates, lines, JSON, and the display on a real terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
from command import call, command, wait_until

import landsat_downsample as ld
from landsat_downsample.display.handlers import as_json, in_words, shell, show_warning
from landsat_downsample.display.reporter import Reporter, choose_style
from landsat_downsample.display.words import summary
from landsat_downsample.errors import ReadError
from landsat_downsample.execution.outcomes import Outcome
from landsat_downsample.execution.progress import RATE_BANDS, ProgressCounter
from landsat_downsample.execution.run import Progress, run_plans
from landsat_downsample.model.words import duration_words, size_words

BANDS = ["SR_B4", "SR_B5", "QA_PIXEL"]
FACTOR = ("--factor", 10)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("scenes")
    return [ld.make_scene(folder, size=(151, 139), seed=seed, bands=BANDS) for seed in range(3)]


@pytest.fixture(scope="module")
def steps(scenes, tmp_path_factory) -> list[Progress]:
    """The steps of a real run of three scenes, the second of which is there already."""
    out, found = tmp_path_factory.mktemp("out"), []
    plans = ld.plan(scenes, out, factor=10)
    run_plans([plans[1]])
    run_plans(plans, workers=2, report=found.append)
    return found


def failed(step: Progress) -> Progress:
    """The end of a scene as if it had not worked out."""
    outcome = replace(step.outcome, status="failed", href=None, error=ReadError("the bytes of B4 are wrong"))
    return replace(step, outcome=outcome)


def ends(steps: list[Progress], status: str = "done") -> list[Progress]:
    return [step for step in steps if step.outcome and step.outcome.status == status]


# Counting --------------------------------------------------------------------------------------


def test_totals_grow_with_what_is_known(steps):
    progress = ProgressCounter(10, begun=100.0)
    assert (progress.bands_total, progress.seconds_left(100.0), progress.rate(100.0)) == (None, None, None)
    begun = [step for step in steps if step.begun]
    progress.take(begun[0], 100.0)
    assert progress.bands_total == 30 and progress.is_estimate
    progress.take(replace(begun[1], plan=replace(begun[1].plan, targets=begun[1].plan.targets[:1])), 100.0)
    assert progress.bands_total == 3 + 1 + 8 * 2  # by the mean of those that have begun


def test_the_end_is_counted_exactly(steps):
    progress = ProgressCounter(3, begun=0.0)
    for number, step in enumerate(steps):
        progress.take(step, float(number))
    assert (progress.bands, progress.bands_total, progress.is_estimate) == (6, 6, False)
    assert progress.in_hand == {} and progress.ended == {"done": 2, "skipped": 1}
    assert progress.bytes_in == sum(step.done.bytes_in for step in steps if step.done)
    assert progress.seconds_left(9.0) == 0


def test_a_failed_scene_leaves_nothing_to_wait_for(steps):
    progress = ProgressCounter(1, begun=0.0)
    begun = next(step for step in steps if step.begun)
    done = next(step for step in steps if step.done and step.plan is begun.plan)
    end = next(step for step in ends(steps) if step.plan is begun.plan)
    for step in (begun, done, failed(end)):
        progress.take(step, 1.0)
    assert (progress.bands, progress.bands_total, progress.seconds_left(2.0)) == (1, 1, 0)


def test_a_source_given_twice_does_not_end_its_twin(steps):
    progress = ProgressCounter(2, begun=0.0)
    begun = next(step for step in steps if step.begun)
    progress.take(begun, 0.0)
    twin = Outcome(begun.scene_id, "failed", error=ReadError("another scene has this place"))
    progress.take(Progress(begun.scene_id, replace(begun.plan), outcome=twin), 0.0)
    assert len(progress.in_hand) == 1 and progress.bands_total == 3


def test_the_rate_is_of_late(steps):
    done = next(step for step in steps if step.done)
    size, progress = done.done.bytes_in, ProgressCounter(1000, begun=0.0)
    for second in range(100):  # slow: a band in ten seconds
        progress.take(done, second * 10.0)
    assert progress.rate(990.0) == pytest.approx(size / 10)
    for tenth in range(600):  # fast: ten in a second
        progress.take(done, 1000.0 + tenth / 10)
    assert progress.rate(1060.0) == pytest.approx(size * 10, rel=0.02)
    assert progress.mean_rate(1060.0) == pytest.approx(size * 700 / 1060)
    assert progress.rate(2060.0) == pytest.approx(size * RATE_BANDS / 1000, rel=0.01)  # nothing comes any more


def test_no_time_has_passed(steps):
    progress = ProgressCounter(3, begun=5.0)
    for step in steps:
        progress.take(step, 5.0)
        assert progress.rate(5.0) is None and progress.seconds_left(5.0) in (None, 0)
    assert summary(progress, 5.0).startswith("2 done, 1 skipped of 3 scenes in 0.0 s, ")


def test_the_summary_says_it_in_one_line():
    progress = ProgressCounter(200, begun=0.0, bytes_in=13_207_024_435)
    progress.ended.update(done=198, skipped=1, failed=1)
    reported = "198 done, 1 skipped, 1 failed of 200 scenes in 3 min 12 s, 12.3 GiB read, 65.6 MiB/s"
    assert summary(progress, 192.0) == reported
    assert summary(progress, 192.0, interrupted=True) == f"{reported}; interrupted"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0.0 s"), (9.96, "10 s"), (59.6, "1 min 00 s"), (3599.7, "1 h 00 min"), (86399.6, "1 d 0 h")],
)
def test_times_carry_over(seconds, words):
    assert duration_words(seconds) == words


def test_large_sizes_have_units():
    assert size_words(0) == "0 B" and size_words(9 << 40) == "9.0 TiB"


# Lines -----------------------------------------------------------------------------------------


#: What the lines of a run begin with.
STAMP = r"\S+Z (INFO|WARNING|ERROR) landsat-downsample: "


def reported(capsys, steps: list[Progress], style: str, scenes: int | None) -> list[str]:
    with shell(in_words), Reporter(scenes=scenes, style=style) as reporter:
        for step in steps:
            reporter(step)
    return capsys.readouterr().err.splitlines()


def test_small_runs_get_a_line_for_each_band(steps, capsys):
    lines = reported(capsys, steps, "plain", 3)
    assert len([line for line in lines if re.match(STAMP + r"\S+ of \S+ in \d+\.\d s; \d/\d bands, ", line)]) == 6
    assert len([line for line in lines if "is there already" in line]) == 1
    assert re.fullmatch(STAMP + r"2 done, 1 skipped of 3 scenes in .*", lines[-1])
    assert len(lines) == 10


@pytest.mark.parametrize("count", [6, None])
def test_large_runs_get_a_line_for_each_scene(steps, count, capsys):
    lines = reported(capsys, steps, "plain", count)
    assert len(lines) == 4
    of = "/6" if count else ""
    assert any(re.match(rf"{STAMP}\S+ done in \d+\.\d s; [123]{of} scenes, ", line) for line in lines)


def test_a_failure_is_reported_at_once_in_every_style(steps, capsys):
    end = failed(ends(steps)[0])
    for style in ("plain", "quiet"):
        lines = reported(capsys, [end], style, 1)
        assert len(lines) == 1
        assert lines[0].endswith(f"landsat-downsample: {end.scene_id}: the bytes of B4 are wrong")
    events = [json.loads(line) for line in reported(capsys, [end], "json", 1)]
    assert [event["event"] for event in events] == ["run-begun", "scene-failed", "run-ended"]
    assert events[1]["cause"] == "ReadError" and events[1]["error"] == "the bytes of B4 are wrong"


def test_verbose_shows_how_a_failure_came_about(steps, capsys):
    with shell(in_words), Reporter(scenes=1, style="quiet", verbose=True) as reporter:
        reporter(failed(ends(steps)[0]))
    assert "ReadError: the bytes of B4 are wrong" in capsys.readouterr().err


def test_every_step_is_an_event(steps, capsys):
    events = [json.loads(line) for line in reported(capsys, steps, "json", 3)]
    names = [event["event"] for event in events]
    assert sorted(names) == sorted(
        ["run-begun", *["scene-begun"] * 2, *["band-done"] * 6, *["scene-done"] * 2, "scene-skipped", "run-ended"]
    )
    assert all(re.match(r"\d{4}-\d\d-\d\dT.*\+00:00$", event["time"]) for event in events)
    last = events[-1]
    assert (last["done"], last["skipped"], last["failed"], last["bands"]) == (2, 1, 0, 6)
    assert last["bytes_in"] == sum(event["bytes_in"] for event in events if event["event"] == "band-done")


def test_the_command_reports_events_and_prints_products(scenes, tmp_path):
    result = call("run", *scenes, tmp_path / "nothing", "--to", tmp_path / "out", *FACTOR, "--log-format", "json")
    assert result.code == 3
    events = [json.loads(line)["event"] for line in result.lines if line.startswith("{")]
    assert events.count("scene-done") == 3 and events.count("scene-failed") == 1 and events[-1] == "run-ended"
    assert len([json.loads(line)["href"] for line in result.out.splitlines()]) == 3


def test_warnings_are_events_too(capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = show_warning
        with shell(as_json), Reporter(scenes=2, style="json"):
            warnings.warn("the sky\nis low", UserWarning, stacklevel=1)
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [event.get("message") for event in events if event["event"] == "warning"] == ["the sky is low"]


def test_stopping_is_reported(steps, capsys):
    with shell(in_words), Reporter(scenes=3, style="plain") as reporter:
        for step in [step for step in steps if step.begun]:
            reporter(step)
        reporter.stopping()
    assert "landsat-downsample: finishing 2 scenes in hand; Ctrl-C again to stop now\n" in capsys.readouterr().err
    reporter.stopping()
    assert capsys.readouterr().err == "", "it is over: a second Ctrl-C was faster"


def test_an_interrupted_run_says_so(steps, capsys):
    with pytest.raises(KeyboardInterrupt), shell(in_words), Reporter(scenes=3, style="plain") as reporter:
        reporter(ends(steps)[0])
        raise KeyboardInterrupt
    assert capsys.readouterr().err.splitlines()[-1].endswith("; interrupted")


def test_a_stderr_that_takes_nothing_does_not_stop_the_work(scenes, tmp_path):
    with open("/dev/full", "w") as full:
        words = command("run", *scenes, "--to", tmp_path, *FACTOR)
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=full, check=False, text=True)
    assert len(done.stdout.splitlines()) == 3


def test_styles(monkeypatch):
    assert choose_style() == "plain"  # pytest's stderr is no terminal
    assert choose_style(quiet=True) == "quiet"
    assert choose_style(quiet=True, log_format="json") == "json"
    assert choose_style(log_format="plain") == "plain"


def test_a_cluster_is_counted_and_linked(steps, capsys):
    from landsat_downsample.execution.cluster import cluster

    with (
        cluster("local", workers=1) as client,
        shell(as_json),
        Reporter(scenes=3, style="json", client=client) as reporter,
    ):
        wait_until(lambda: reporter._workers == 1)
        link = client.dashboard_link
    begun = json.loads(capsys.readouterr().err.splitlines()[0])
    assert begun["event"] == "run-begun" and begun["dashboard"] == link


# A terminal ------------------------------------------------------------------------------------


def on_a_terminal(words: list[str], *, columns: int = 100, piped: bool = False, **more: str) -> tuple[int, str, str]:
    """Exit code, screen and stdout of a command with a terminal for stderr, and for stdout if it is not piped."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    kept = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
    stdout = subprocess.PIPE if piped else follower
    streams = {"stdin": follower, "stdout": stdout, "stderr": follower}
    process = subprocess.Popen(words, env=kept | {"TERM": "xterm-256color", "PYTHONUTF8": "1"} | more, **streams)
    os.close(follower)
    screen = b""
    try:
        while chunk := os.read(leader, 65536):
            screen += chunk
    except OSError:  # Linux says so when the other end has closed
        pass
    os.close(leader)
    out, _ = process.communicate()
    return process.returncode, screen.decode(), (out or b"").decode()


def plain_text(screen: str) -> list[str]:
    """The lines that were ever shown, without the codes between them."""
    return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen).replace("\r", "\n").split("\n")]


def test_the_display_fits_a_narrow_terminal(scenes, tmp_path):
    words = command("run", *scenes, "/nothing.tar", "--to", tmp_path, *FACTOR)
    code, screen, out = on_a_terminal(words, columns=60, piped=True)
    lines = plain_text(screen)
    assert code == 3
    assert any(re.match(r"\d/4 scenes(, 1 failed)? ━+ \d+%$", line) for line in lines), lines
    assert any(re.match(r"\d/~?\d+ bands  ", line) for line in lines)
    shown = [line for line in lines if re.match(r"\d/| *\.\.\.|  LC", line)]
    assert shown and max(map(len, shown)) <= 60
    assert any("'/nothing.tar'" in line for line in lines)
    assert any(re.match(r"landsat-downsample: 3 done, 1 failed of 4 scenes", line) for line in lines)
    # stdout is data: none of it is on the screen.
    assert len([json.loads(line)["href"] for line in out.splitlines()]) == 3
    assert '"href"' not in screen


@pytest.mark.parametrize(("more", "codes"), [({"NO_COLOR": "1"}, r"\x1b\[[0-9;]*3[0-7]m"), ({"TERM": "dumb"}, r"\x1b")])
def test_a_terminal_may_want_no_colours_or_no_display(more, codes, scenes, tmp_path):
    words = command("run", *scenes, "/nothing.tar", "--to", tmp_path, *FACTOR)
    code, screen, _ = on_a_terminal(words, piped=True, **more)
    assert code == 3 and "3 done, 1 failed of 4 scenes" in screen
    assert not re.search(codes, screen)


_SPEAKING = """\
import logging, sys, warnings
from landsat_downsample.display.handlers import as_json, in_words, shell, show_warning
from landsat_downsample.display.reporter import Reporter, choose_style
from landsat_downsample.display.words import summary
from landsat_downsample.display.handlers import in_words, shell, show_warning
logging.basicConfig(stream=sys.stderr, format="%(message)s")
warnings.showwarning = show_warning
with shell(in_words), Reporter(scenes=3, style=choose_style()) as reporter:
    reporter._picture._screen.refresh()
    warnings.warn("the sky is low")
    logging.warning("a line of a log")
    print("a print of some library", file=sys.stderr)
    reporter.stopping()
    reporter._picture._screen.refresh()
"""


def test_what_is_said_meanwhile_stays_above_the_display():
    code, screen, _ = on_a_terminal([sys.executable, "-c", _SPEAKING])
    assert code == 0
    lines = plain_text(screen)
    for line in (
        "landsat-downsample: warning: the sky is low",
        "a line of a log",
        "a print of some library",
        "landsat-downsample: finishing 0 scenes in hand; Ctrl-C again to stop now",
    ):
        assert line in lines, lines  # each alone on a line: none was written into the display
    assert "0/3 scenes stopping" in lines


def test_a_terminal_is_not_flooded_with_products(tmp_path):
    code = (
        "from landsat_downsample.display.reporter import Reporter\n"
        "from landsat_downsample.execution.outcomes import Outcome\n"
        "from landsat_downsample.execution.run import Progress\n"
        "from landsat_downsample.cli.products import Products\n"
        "with Products() as products, Reporter(scenes=100, style='live') as reporter:\n"
        "    for number in range(100):\n"
        "        name = f'scene-{number}'\n"
        "        step = Progress(name, outcome=Outcome(name, 'done', f'out/{name}.stac.json'))\n"
        "        reporter(step), products(step)\n"
    )
    code, screen, _ = on_a_terminal([sys.executable, "-c", code])
    lines = plain_text(screen)
    assert code == 0 and lines.count("out/scene-39.stac.json") == 1 and "out/scene-40.stac.json" not in lines
    assert any(line.startswith("and 60 products more") for line in lines), lines
    assert "landsat-downsample: 100 done of 100 scenes in" in screen
